"""What kind of mistake is each wrong prediction, and each object that was not found?

The types of TIDE (Bolya et al. 2020), per image, for the predictions at or above a score threshold.
Predictions are matched best first, class by class, at IoU >= `found_at` (0.5). One that found no object of
its own is, by the first of these that holds (IoU with objects of the image):

    location     its class, near: `near_at` (0.1) <= IoU < `found_at`
    class        another class, IoU >= `found_at`
    duplicate    its class, IoU >= `found_at`, but a better prediction had the object
    background   IoU < `near_at` with everything
    both         what is left: near something of another class

An object that nothing found is `class` or `location` if such a prediction points at it, else `missed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from swath.kernels.boxes import iou
from swath.kernels.detection import Predictions, References
from swath.kernels.match import match

Kind = Literal["right", "location", "class", "duplicate", "background", "both"]
Fate = Literal["found", "location", "class", "missed"]
_FATES: tuple[tuple[Kind, Fate], ...] = (("location", "location"), ("class", "class"), ("right", "found"))


@dataclass(frozen=True, eq=False)
class Mistakes:
    """One image. `kept`: rows of its predictions at or above the threshold, best first; the rest by position.

    `kinds[i]` and `partner[i]` are of prediction `kept[i]`: the row of the reference that it found, or that
    its kind is about; -1 for background. `fates[j]` is of reference j.
    """

    kept: NDArray[np.int64]
    kinds: tuple[Kind, ...]
    partner: NDArray[np.int64]
    fates: tuple[Fate, ...]

    @property
    def tp(self) -> int:
        return self.kinds.count("right")

    @property
    def fp(self) -> int:
        return len(self.kinds) - self.tp

    @property
    def fn(self) -> int:
        return len(self.fates) - self.tp


def type_mistakes(
    predictions: Predictions,
    references: References,
    threshold: float,
    *,
    found_at: float = 0.5,
    near_at: float = 0.1,
) -> Mistakes:
    """Types one image's predictions with score >= `threshold`, and its references. See above.

    No predictions: all references are missed. No references: all predictions are background.
    """
    kept = keep(predictions.scores, threshold)
    overlap = iou(predictions.boxes[kept], references.boxes)
    return type_overlaps(
        kept, predictions.labels[kept], references.labels, overlap, found_at=found_at, near_at=near_at
    )


def keep(scores: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """The rows with a score >= `threshold`, best first."""
    order = np.argsort(-scores, kind="stable")
    return order[scores[order] >= threshold]


def type_overlaps(
    kept: NDArray[np.int64],
    labels: NDArray[np.int64],
    wanted: NDArray[np.int64],
    overlap: NDArray[np.float64],
    *,
    found_at: float,
    near_at: float,
) -> Mistakes:
    """Types predictions from their IoU with the references: `overlap` (K, M), rows best first, in the plane or not.

    `kept` (K,): which predictions they are; `labels` (K,) theirs, `wanted` (M,) the references'.
    """
    same = labels[:, None] == wanted[None, :]
    found = match(np.where(same, overlap, -1.0), found_at, order=np.arange(len(kept)))
    kinds: list[Kind] = ["right"] * len(kept)
    partner = np.full(len(kept), -1, dtype=np.int64)
    partner[found.pairs[:, 0]] = found.pairs[:, 1]
    for row in found.unmatched_a:
        kinds[row], partner[row] = _wrong(overlap[row], same[row], found_at, near_at)

    fates: list[Fate] = ["missed"] * len(wanted)
    for kind, fate in _FATES:
        for row, given in enumerate(kinds):
            if given == kind:
                fates[partner[row]] = fate
    return Mistakes(kept, tuple(kinds), partner, tuple(fates))


def _wrong(
    overlap: NDArray[np.float64], same: NDArray[np.bool_], found_at: float, near_at: float
) -> tuple[Kind, int]:
    """The kind of a prediction that found nothing, and the reference it is about."""
    if not len(overlap):
        return "background", -1
    own, other = np.where(same, overlap, -1.0), np.where(same, -1.0, overlap)
    if near_at <= own.max() < found_at:
        return "location", int(own.argmax())
    if other.max() >= found_at:
        return "class", int(other.argmax())
    if own.max() >= found_at:
        return "duplicate", int(own.argmax())
    if overlap.max() < near_at:
        return "background", -1
    return "both", int(other.argmax())
