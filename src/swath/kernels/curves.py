"""Has the learning curve gone flat, and what would the next batch bring? Numbers for the decision to stop.

All values are a metric that grows when the model gets better (mAP50, in [0, 1]), one per round, oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Plateau:
    """`flat`: each of the last `patience` gains was below `min_gain`; None while there are too few rounds
    to say.

    `gains`: round against the round before (one less than rounds). `gain_low`, `gain_high`: interval of the
    last gain, None where a round had no interval.
    """

    flat: bool | None
    gains: tuple[float, ...]
    gain_low: float | None
    gain_high: float | None
    reason: str


def plateau(
    values: Sequence[float],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    min_gain: float,
    patience: int,
) -> Plateau:
    """Flat when the last `patience` gains are all below `min_gain` (same unit as the values).

    `lows`, `highs`: each round's 95 % interval. That of the last gain adds the two rounds' half-widths in
    quadrature, as if they were independent; measured on the same scenes they are not, and the true interval
    is usually narrower.
    """
    if not len(values) == len(lows) == len(highs) or patience < 1:
        raise ValueError(
            f"expected one low and high per value and patience >= 1, got {len(values)} values, "
            f"{len(lows)} lows, {len(highs)} highs, patience {patience}"
        )
    gains = tuple(float(after - before) for before, after in pairwise(values))
    low, high = _gain_interval(gains, lows, highs)
    if len(gains) < patience:
        reason = f"not enough rounds: {len(values)} of {patience + 1} needed to see a plateau"
        return Plateau(None, gains, low, high, reason)
    recent = gains[-patience:]
    flat = max(recent) < min_gain
    said = ", ".join(f"{gain:+.3f}" for gain in recent)
    limit = f"below {min_gain:g}" if flat else f"not all below {min_gain:g}"
    return Plateau(flat, gains, low, high, f"last gains {said}: {limit}")


def _gain_interval(
    gains: tuple[float, ...], lows: Sequence[float | None], highs: Sequence[float | None]
) -> tuple[float | None, float | None]:
    if not gains:
        return None, None
    widths = [
        (high - low) / 2
        for low, high in zip(lows[-2:], highs[-2:], strict=True)
        if low is not None and high is not None
    ]
    if len(widths) < 2:
        return None, None
    half = float(np.hypot(widths[0], widths[1]))
    return gains[-1] - half, gains[-1] + half


@dataclass(frozen=True)
class NextGain:
    """`gain`: what the next batch is expected to add; None if that cannot be said. `method`: how it was
    found.
    """

    gain: float | None
    method: str
    reason: str


def next_gain(sizes: Sequence[int], values: Sequence[float], next_size: int) -> NextGain:
    """Expected gain when the labelled scenes grow from `sizes[-1]` to `next_size`.

    From three sizes on: least squares of value = a - b * size^-c, b >= 0, over a grid of c in [0.05, 2];
    the gain is the difference of the fitted curve between the two sizes. With two: the last gain, scaled by
    the logarithm of the sizes, and said so. With fewer: None. Forecasts from so few points are rough, and
    power laws tend to promise too little late gain (Mahmood et al. 2022).

    A step without growth tells nothing of what growth brings: rounds of one size (whose scenes were all
    skipped, say) are one point, at the mean of their values. Sizes may fall, where scenes were deleted: the
    curve goes by size, not by time. Sizes must be positive; `next_size` below the last size is a ValueError,
    equal to it a gain of 0.
    """
    n, y = np.asarray(sizes, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(n) != len(y) or (len(n) and (n.min() <= 0 or next_size < n[-1])):
        raise ValueError(
            f"expected positive sizes, one per value, up to next_size; got {list(sizes)}, {next_size}"
        )
    rounds, now = len(n), n[-1:]
    n, point = np.unique(n, return_inverse=True)
    y = np.array([y[point == i].mean() for i in range(len(n))])
    alike = f"; rounds without growth: {rounds - len(n)}" if len(n) < rounds else ""
    if len(n) < 2:
        return NextGain(None, "none", f"not enough rounds: {len(n)} of 2 needed to predict a gain{alike}")
    if len(n) == 2:
        gain = float((y[1] - y[0]) * np.log(next_size / now[0]) / np.log(n[1] / n[0]))
        reason = "not enough rounds for a curve (2 of 3): the last gain, scaled by log size"
        return NextGain(gain, "last gain", reason + alike)
    a, b, c = _power_law(n, y)
    gain = float(b * (now[0] ** -c - next_size**-c))
    return NextGain(gain, "power law", f"{a:.3f} - {b:.3g} * scenes^-{c:.2f} through {rounds} rounds{alike}")


def _power_law(n: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """a, b >= 0, c of the best fit of a - b * n^-c; of equal fits the smallest c."""
    best = (np.inf, float(y.mean()), 0.0, 0.05)
    for c in np.linspace(0.05, 2.0, 40):
        x = n**-c
        slope = -float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
        b = max(slope, 0.0)
        a = float(y.mean() + b * x.mean())
        error = float(((a - b * x - y) ** 2).sum())
        if error < best[0] - 1e-15:
            best = (error, a, b, float(c))
    return best[1:]
