"""How often do the 95 % intervals hold the truth? Of AP, by drive, and of the gain between two rounds.

A made world says of each drive how well the model does in it (and how much better the next model), what is in it, and how many
false alarms it gives; two common classes are everywhere, a rare one is in three drives of ten. The truth is the figure on 4,000
drives. Then a val split of 5, 10, 20 or 40 drives is drawn again and again, and each interval is asked whether the truth is in it:

    figures     mAP50 and AP50 by class: today's interval (`kernels.detection`), and what 0.1.0 made of the same resamples
                (value less the bootstrap's bias, plus and minus 1.96 s)
    gain        mAP50 of the next model less that of the first: paired by drive (`kernels.gain`), and what the two rounds' own
                intervals say in quadrature, as 0.1.0 did

`width`: the mean half-width. `none`: the share of repeats in which an interval cannot be given, and says so.

    python -m benchmarks.intervals            100 repeats of 100 resamples
    python -m benchmarks.intervals --long     500 repeats
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.common import Array, options, save, say
from swath.kernels.detection import Matched, draws, half_width, mean, numbered, precision_of
from swath.kernels.gain import paired, resampled

DRIVES = (5, 10, 20, 40)
CLASSES = 3  # two common ones, and one in three drives of ten
SCENES = 5  # of a drive, on average


def world(drives: int, rng: np.random.Generator) -> tuple[list[str], list[Matched], list[Matched]]:
    """The drive of each scene, and the matches of two rounds, by class, at one overlap."""
    names: list[str] = []
    rows: list[list[tuple[list[Array], list[Array], list[Array], list[int]]]] = [
        [([], [], [], []) for _ in range(CLASSES)] for _ in range(2)
    ]
    for drive in range(drives):
        easy, better = rng.normal(0, 0.8), 0.15 + rng.normal(0, 0.3)
        noise = rng.gamma(1.5, 0.6)
        there = [True, True, rng.random() < 0.3]
        crowd = rng.gamma(2.0, 1.0, CLASSES)
        for _ in range(1 + rng.poisson(SCENES - 1)):
            image = len(names)
            names.append(f"d{drive:04d}")
            for label in range(CLASSES):
                objects = int(rng.poisson(crowd[label])) if there[label] else 0
                false = int(rng.poisson(noise))
                luck, said, wrong = (
                    rng.normal(0, 1, objects),
                    rng.normal(0, 1, objects),
                    rng.normal(-1, 1, false),
                )
                for turn in range(2):
                    score, row, right, count = rows[turn][label]
                    level = easy + turn * better
                    found = luck < level
                    kept = rng.random(false) < 0.9  # most false alarms of one round are those of the other
                    score.append(np.concatenate([said[found] + 0.5 * level, wrong[kept]]))
                    row.append(np.full(found.sum() + kept.sum(), image))
                    right.append(np.concatenate([np.ones(found.sum(), bool), np.zeros(kept.sum(), bool)]))
                    count.append(objects)
    return names, *([_matched(one) for one in rows[turn]] for turn in range(2))


def _matched(one: Any) -> Matched:
    scores, image, right = (np.concatenate(part) for part in one[:3])
    order = np.argsort(-scores, kind="stable")
    return Matched(scores[order], image[order], right[order][None], np.array(one[3]))


@dataclass
class Tally:
    """What became of one kind of interval."""

    inside: int = 0
    given: int = 0
    asked: int = 0
    widths: list[float] = field(default_factory=list)

    def add(self, truth: float, value: float, half: float | None, shift: float = 0.0) -> None:
        self.asked += 1
        if half is not None and np.isfinite(half) and half > 0:
            self.given += 1
            self.inside += abs(value - shift - truth) <= half
            self.widths.append(half)

    def row(self, drives: int, what: str, how: str) -> dict[str, Any]:
        return {
            "drives": drives,
            "of": what,
            "interval": how,
            "holds the truth": self.inside / max(self.given, 1),
            "width": float(np.mean(self.widths)) if self.widths else 0.0,
            "none": 1 - self.given / max(self.asked, 1),
        }


def figures(drives: int, truths: Array, repeats: int, resamples: int) -> list[dict[str, Any]]:
    """Rows of the first table for val splits of so many drives; `truths`: AP50 by class, then mAP50."""
    tallies = {(what, how): Tally() for what in ("common", "rare", "mAP50") for how in ("now", "0.1.0")}
    for repeat in range(repeats):
        rng = np.random.default_rng([repeat, drives, 1])
        names, before, _ = world(drives, rng)
        cluster, count = numbered(names)
        once = precision_of(before, np.ones(len(names), np.int64))[:, 0]
        drawn = np.array([precision_of(before, w)[:, 0] for w in draws(cluster, count, rng, resamples)])
        every = np.column_stack([drawn, mean(drawn)])
        values = np.append(once, mean(once[None]))
        holding = [len(np.unique(cluster[one.references > 0])) for one in before] + [count]
        for at, what in ((0, "common"), (2, "rare"), (3, "mAP50")):
            if np.isnan(values[at]):
                continue
            some = every[~np.isnan(every[:, at]), at]
            s = float(some.std(ddof=1)) if len(some) > 1 else 0.0
            tallies[what, "now"].add(truths[at], values[at], half_width(s, holding[at]))
            tallies[what, "0.1.0"].add(truths[at], values[at], 1.96 * s, some.mean() - values[at])
    return [one.row(drives, what, how) for (what, how), one in tallies.items()]


def gains(drives: int, truth: float, repeats: int, resamples: int) -> list[dict[str, Any]]:
    """Rows of the second table."""
    now, then = Tally(), Tally()
    for repeat in range(repeats):
        rng = np.random.default_rng([repeat, drives, 2])
        names, before, after = world(drives, rng)
        both = resampled([before, after], names, rng=rng, resamples=resamples)
        gain = paired(both)
        now.add(
            truth,
            gain.map50.value or 0.0,
            None if gain.map50.low is None else (gain.map50.value or 0) - gain.map50.low,
        )
        apart = both.drawn[:, :, 1].std(axis=0, ddof=1) * 1.96
        then.add(truth, gain.map50.value or 0.0, float(np.hypot(*apart)))
    return [now.row(drives, "gain in mAP50", "paired"), then.row(drives, "gain in mAP50", "0.1.0")]


def main() -> None:
    long = options(__doc__)
    repeats, resamples = (500, 100) if long else (100, 100)
    names, before, after = world(4000, np.random.default_rng(99))
    once = np.ones(len(names), np.int64)
    truth = [precision_of(one, once)[:, 0] for one in (before, after)]
    whole = [np.append(one, one.mean()) for one in truth]
    say(f"truth: {whole[0].round(3)}, then {whole[1].round(3)}")
    tables: dict[str, list[dict[str, Any]]] = {"figures": [], "gain": []}
    for drives in DRIVES:
        say(f"{drives} drives")
        tables["figures"] += figures(drives, whole[0], repeats, resamples)
        tables["gain"] += gains(drives, float(whole[1][-1] - whole[0][-1]), repeats, resamples)
    save("intervals", long, __doc__, tables, [f"{repeats} repeats of {resamples} resamples; nominal 0.95"])


if __name__ == "__main__":
    main()
