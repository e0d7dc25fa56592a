"""Is a round's model better than that of the round before? On the scenes that both were scored on, drive by drive. Where trainings were
repeated, the question is of the round and no longer of one model: the means of its trainings are compared, with both kinds of chance.

A scene counts where both rounds have a reference of it, the same one: where somebody changed labels of val between the rounds,
a difference would be the labels' and not the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from swath.kernels.gain import Resampled, paired, resampled
from swath.policies.chance import Floats, Spread, apart, spread
from swath.records.base import Estimate
from swath.records.batch import Gain, TrainedModel, Training, Trainings
from swath.records.matches import Matches


def gain(
    over: str,
    before: Sequence[Matches],
    now: Sequence[Matches],
    *,
    rng: np.random.Generator,
    resamples: int,
) -> Gain:
    """What the trainings with the matches `now` (one at least) are better by than those of round `over`."""
    both = [*before, *now]
    rows = alike(both)
    scenes = {now[-1].samples[row][0] for row in rows[-1]}
    drawn = _drawn(both, rows, rng, resamples)
    every = {scene for one in both for scene, *_ in one.samples}
    counts = len(before), len(now)
    alone = paired(drawn) if counts == (1, 1) else None
    return Gain(
        over=over,
        scenes=len(scenes),
        left_out=len(every - scenes),
        drives=drawn.clusters,
        map=Estimate(**asdict(alone.map)) if alone else _between(drawn, len(before), 0),
        map50=Estimate(**asdict(alone.map50)) if alone else _between(drawn, len(before), 1),
        trainings=None if alone else counts,
    )


def _between(drawn: Resampled, before: int, figure: int) -> Estimate:
    """The mean figure of the trainings after the first `before`, less that of those."""
    was, now = np.split(_of_each(drawn, figure), [before])
    difference = float(now[:, 0].mean() - was[:, 0].mean())
    return _around(difference, apart(now, was, drawn.clusters), -1.0)


def repeated(
    trained: Sequence[TrainedModel], found: Sequence[Matches], *, rng: np.random.Generator, resamples: int
) -> Trainings:
    """What several trainings of a round scored, and how far they are from each other; `found`: the matches of each, on the same scenes."""
    drawn = again(found, rng=rng, resamples=resamples)
    each = [_of_each(drawn, figure) for figure in (0, 1)]
    means = [_around(float(one[:, 0].mean()), spread(one, drawn.clusters), 0.0) for one in each]
    sds = [_known(float(one[:, 0].std(ddof=1))) for one in each]
    return Trainings(
        each=tuple(
            Training(seed=one.seed, sha256=one.sha256, map=_known(map_), map50=_known(map50))
            for one, (map_, map50) in zip(trained, drawn.values.tolist(), strict=True)
        ),
        map=means[0],
        map50=means[1],
        map_sd=sds[0],
        map50_sd=sds[1],
    )


def _of_each(drawn: Resampled, figure: int) -> Floats:
    """(R, 1 + draws) of each of R trainings a figure, first on all drives, then in each draw of them."""
    every = np.vstack([drawn.values[None, :, figure], drawn.drawn[:, :, figure]])
    return np.asarray(every.T)


def _around(value: float, of: Spread, least: float) -> Estimate:
    """With its interval within [least, 1]; without one where drives cannot tell: trainings alone would say too much."""
    found = of.around(value)
    if of.of_drives is None or found.low is None or found.high is None:
        return Estimate(value=found.value)
    return Estimate(value=value, low=max(found.low, least), high=min(found.high, 1.0))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


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
