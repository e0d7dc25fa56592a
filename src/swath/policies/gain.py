"""Is a round's model better than that of the round before? On the scenes that both were scored on, drive by drive.

A scene counts where both rounds have a reference of it, the same one: where somebody changed labels of val between the rounds,
a difference would be the labels' and not the model's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swath.kernels.gain import Resampled, paired, resampled
from swath.records.base import Estimate
from swath.records.batch import Gain
from swath.records.matches import Matches


def gain(over: str, before: Matches, now: Matches, *, rng: np.random.Generator, resamples: int) -> Gain:
    """What the model with the matches `now` is better by than that of round `over`."""
    rows = alike([before, now])
    there = [now.samples[row] for row in rows[1]]
    scenes = {scene for scene, *_ in there}
    found = paired(_drawn([before, now], rows, rng, resamples))
    every = {scene for one in (before, now) for scene, *_ in one.samples}
    return Gain(
        over=over,
        scenes=len(scenes),
        left_out=len(every - scenes),
        drives=found.clusters,
        map=Estimate(value=found.map.value, low=found.map.low, high=found.map.high),
        map50=Estimate(value=found.map50.value, low=found.map50.low, high=found.map50.high),
    )


def again(rounds: Sequence[Matches], *, rng: np.random.Generator, resamples: int) -> Resampled:
    """mAP and mAP50 of several rounds on the scenes that all of them were scored on, over draws of their drives."""
    return _drawn(rounds, alike(rounds), rng, resamples)


def alike(rounds: Sequence[Matches]) -> list[list[int]]:
    """For each round its rows of the samples that all have with the same reference, in one order."""
    places = [{(*one[:2], one[3]): row for row, one in enumerate(matches.samples)} for matches in rounds]
    common = sorted(set.intersection(*map(set, places))) if places else []
    return [[place[one] for one in common] for place in places]


def _drawn(
    rounds: Sequence[Matches], rows: Sequence[Sequence[int]], rng: np.random.Generator, resamples: int
) -> Resampled:
    drives = [rounds[-1].samples[row][2] for row in rows[-1]]
    return resampled(
        [one.unpacked(mine) for one, mine in zip(rounds, rows, strict=True)],
        drives,
        rng=rng,
        resamples=resamples,
        strict=slice(rounds[-1].strict, None),
    )
