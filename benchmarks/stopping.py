"""How often does the rule stop too early, or too late? On simulated learning curves, beside the rule of 0.1.0.

A pool of 130, 400 or 1,500 scenes is labelled by the default batches (25 %, then 20 % of what is left). The true mAP follows
a - b * scenes^-c with a, b, c drawn; in half of the cases it jumps by 0.05 once, late (a class that is learned all at once).
Each round is measured with noise, such that a gain has the standard deviation `sd`; the rule is told of 12 drives, and of draws
whose deviation is itself known no better than from 9 degrees of freedom.

The price is `min_gain` = 0.01 for as many scenes as v1 adds, `patience` = 2. The right round to stop after is the first from which
on no batch is worth its scenes. Of each rule:

    late          stops three or more rounds after that
    early         stops before it;  forfeits: the mAP that it gives away then, on average;  most: at worst
    more scenes   labelled beyond the right round, as a share of those at that round

    python -m benchmarks.stopping            60 curves for each line
    python -m benchmarks.stopping --long     600
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.common import Array, options, save, say
from swath.config import Stop
from swath.kernels import curves
from swath.kernels.curves import next_gain, next_gain_between, per_100
from swath.kernels.gain import Resampled
from swath.policies.stopping import Point, criteria
from swath.records.base import Estimate

SETTINGS = Stop(min_gain=0.01, patience=2)
DRIVES, DRAWS = 12, 60
RULES = ("0.1.0", "now", "now, each gain at 97.5 %")


def sizes(pool: int) -> list[int]:
    """Labelled scenes after each round."""
    out: list[int] = []
    left, batch = pool, max(int(0.25 * pool), 20)
    while left:
        batch = min(batch, left)
        left -= batch
        out.append(pool - left)
        batch = max(int(0.2 * left), 10)
    return out


def curve(rng: np.random.Generator, n: Array, jump: bool) -> Array:
    c = rng.uniform(0.3, 1.0)
    a, b = rng.uniform(0.3, 0.7), rng.uniform(0.06, 0.3) * n[0] ** c
    true = a - b * n**-c
    if jump:
        true[rng.integers(3, max(4, len(n) // 2)) :] += 0.05
    return true


def stops(n: Array, y: Array, sd: float, rng: np.random.Generator) -> dict[str, int]:
    """Rule -> the round after which it stops (the last, where it never does)."""
    told, found = sd * np.sqrt(rng.chisquare(9) / 9), {}
    price = per_100(SETTINGS.min_gain, int(n[1] - n[0]))
    noise = rng.normal(0, told / np.sqrt(2), (DRAWS, len(n), 1))
    for k in range(len(n) - 1):
        points = [Point(int(one), Estimate(value=value)) for one, value in zip(n, y[: k + 1], strict=False)]
        values = np.repeat(y[: k + 1, None], 2, axis=1)
        drawn = Resampled(values, values + noise[:, : k + 1], DRIVES)
        batch = int(n[k + 1] - n[k])
        now = criteria(points, 1, batch, SETTINGS, drawn)["plateau"]
        if now.stop:
            found.setdefault("now", k)
        if k < SETTINGS.patience:
            continue
        said = [int(one) for one in n[: k + 1]]
        expected = next_gain(said, y[: k + 1], int(n[k + 1])).gain or 0.0
        gains, new = np.diff(y[: k + 1])[-2:], np.diff(n[: k + 1])[-2:]
        if max(gains) < SETTINGS.min_gain and expected < SETTINGS.min_gain:
            found.setdefault("0.1.0", k)
        high = (gains + 2.2 * told * np.sqrt(DRIVES / (DRIVES - 1))) / new * 100
        if max(high) < price and per_100(expected, batch) < price:
            found.setdefault("now, each gain at 97.5 %", k)
    return {rule: found.get(rule, len(n) - 1) for rule in RULES}


def measured(sd: float, jump: bool, count: int) -> list[dict[str, Any]]:
    rows: dict[str, list[tuple[int, float, float]]] = {rule: [] for rule in RULES}
    for seed in range(count):
        rng = np.random.default_rng([seed, int(sd * 1000), jump])
        n = np.array(sizes(int(rng.choice([130, 400, 1500]))), float)
        true = curve(rng, n, jump)
        price = per_100(SETTINGS.min_gain, int(n[1] - n[0]))
        worth = np.diff(true) / np.diff(n) * 100 >= price
        right = max(int(np.flatnonzero(worth)[-1]) + 1 if worth.any() else 0, SETTINGS.patience)
        for rule, k in stops(n, true + rng.normal(0, sd / np.sqrt(2), len(n)), sd, rng).items():
            rows[rule].append((k - right, max(true[right] - true[k], 0.0), max(n[k] / n[right] - 1, 0.0)))
    out = []
    for rule, told in rows.items():
        late, lost, more = np.array(told, float).T
        early = late < 0
        out.append(
            {
                "sd of a gain": sd,
                "late jump": "yes" if jump else "no",
                "rule": rule,
                "late": float((late >= 3).mean()),
                "early": float(early.mean()),
                "forfeits": float(lost[early].mean()) if early.any() else 0.0,
                "most": float(lost.max()),
                "more scenes": float(more.mean()),
            }
        )
    return out


def held(sd: float, count: int) -> dict[str, Any]:
    """How often the interval of the forecast holds the true gain of the next batch, of curves that are power laws."""
    inside = 0
    for seed in range(count):
        rng = np.random.default_rng([seed, int(sd * 1000), 7])
        n = np.array(sizes(400), float)
        true, k = curve(rng, n, False), int(rng.integers(2, 6))
        y = true + rng.normal(0, sd / np.sqrt(2), len(n))
        drawn = y[None, : k + 1] + rng.normal(0, sd / np.sqrt(2), (DRAWS, k + 1))
        found = next_gain_between(
            [int(one) for one in n[: k + 1]], list(y[: k + 1]), int(n[k + 1]), drawn, DRIVES
        )
        inside += (found.low or 0) <= true[k + 1] - true[k] <= (found.high or 0)
    return {"sd of a gain": sd, "forecasts": count, "interval holds the truth": inside / count}


def main() -> None:
    long = options(__doc__)
    count = 600 if long else 60
    rows, forecasts = [], []
    for sd in (0.01, 0.02, 0.03):
        for jump in (False, True):
            say(f"sd {sd}, late jump {jump}")
            rows += measured(sd, jump, count)
        forecasts.append(held(sd, count))
    notes = [f"{count} curves for each line; bound of the rule now: {curves.SURE:.0%}, one-sided"]
    save("stopping", long, __doc__, {"rules": rows, "forecasts": forecasts}, notes)


if __name__ == "__main__":
    main()
