"""By how much is one round's model better than another's, on the same scenes? And the whole curve, drawn again.

Rounds are evaluated on the same val scenes, so that what makes a drive hard makes it hard for both: their difference, drive by
drive, is known far better than either figure. Drives are drawn with replacement, the same ones for every round, and each draw
gives every round its mAP. The interval of the gain is that of `detection`, of the difference:

    gain +- t(D - 1) * s * sqrt(D / (D - 1))          s: of the gain over the draws;  D: drives with references

It says how sure the gain is for drives like these. That another training of the same scenes gives another model is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from swath.kernels.detection import (
    Array,
    Estimate,
    Labels,
    Matched,
    draws,
    half_width,
    mean,
    numbered,
    precision_of,
)


@dataclass(frozen=True, eq=False)
class Resampled:
    """`values` (R, 2): mAP and mAP50 of each of R rounds; `drawn` (draws, R, 2): those of each draw of the drives, the same
    drives for every round. `clusters`: how many hold references. NaN where nothing is to be found."""

    values: Array
    drawn: Array
    clusters: int


def resampled(
    rounds: Sequence[Sequence[Matched]],
    clusters: Sequence[str],
    *,
    rng: np.random.Generator,
    resamples: int,
    strict: slice = slice(None),
) -> Resampled:
    """Scores the matches of several rounds on the same images, by class; `clusters` names the drive of each image.

    mAP50 is that of the first overlap, mAP the mean over the overlaps `strict`. One drive: no draws.
    """
    images = len(clusters)
    if any(len(one.references) != images for classes in rounds for one in classes):
        raise ValueError(f"expected matches on {images} images in every round")
    cluster, count = numbered(clusters)
    found = np.zeros(images, dtype=bool)
    for one in rounds[0] if rounds else ():
        found |= one.references > 0

    def scored(weights: Labels) -> Array:
        both = [precision_of(classes, weights) for classes in rounds]
        flat = [[mean(part.reshape(1, -1))[0] for part in (p[:, strict], p[:, :1])] for p in both]
        return np.array(flat).reshape(-1, 2)

    drawn = [scored(weights) for weights in draws(cluster, count, rng, resamples if count > 1 else 0)]
    return Resampled(
        scored(np.ones(images, dtype=np.int64)),
        np.array(drawn).reshape(-1, len(rounds), 2),
        len(np.unique(cluster[found])),
    )


@dataclass(frozen=True)
class PairedGain:
    """How much the last of two rounds is better, in [-1, 1]. The ends are None where they cannot be said; where the two do the
    same in every draw they are the value."""

    map: Estimate
    map50: Estimate
    clusters: int


def paired(two: Resampled) -> PairedGain:
    """The gain of the second of two rounds over the first."""
    return PairedGain(difference(two, 0, 1, 0), difference(two, 0, 1, 1), two.clusters)


def difference(all_: Resampled, before: int, after: int, figure: int = 0) -> Estimate:
    """The gain of round `after` over round `before`; figure 0 is mAP, 1 is mAP50."""
    value = float(all_.values[after, figure] - all_.values[before, figure])
    if np.isnan(value):
        return Estimate(None, None, None)
    drawn = all_.drawn[:, after, figure] - all_.drawn[:, before, figure]
    drawn = drawn[~np.isnan(drawn)]
    half = half_width(float(drawn.std(ddof=1)), all_.clusters) if len(drawn) > 1 else None
    if half is None:
        return Estimate(value, None, None)
    return Estimate(value, max(value - half, -1.0), min(value + half, 1.0))
