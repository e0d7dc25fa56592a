"""How good are predicted cuboids, and what is wrong with each? The 3D side of `detection` and `mistakes`.

An overlap is the IoU of two footprints seen from above (`bev`), or of two upright volumes (`3d`); roll and
pitch are dropped (`cuboids.yawed`). Matching, AP, intervals and the operating threshold are those of
`detection`, so that a figure here and one there mean the same:

    matching   per scene and class, greedily by score, one to one, at IoU >= threshold, as pycocotools does
    AP         the mean of the interpolated precision at 101 recalls, as COCO does: not KITTI's at 40 recalls
               (R40), and without KITTI's grades of difficulty, which know objects that count neither way
    ap50       AP at the first overlap, 0.5: is it there? `map50`: its mean over the classes with references
    ap         AP at the other overlaps, 0.7 only: is it there exactly? `map`: its mean. COCO's .50:.95 would
               be mostly zero: at 30 m a sweep leaves 0.1 m of doubt, and a pedestrian's footprint is 0.5 m
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.kernels.cuboids import bev_iou, iou, yawed
from swath.kernels.detection import (
    MOST,
    ClassScore,
    Curves,
    DetectionScores,
    Estimate,
    Matched,
    Operating,
    curves_of,
    score_matches,
)
from swath.kernels.mistakes import Mistakes, keep, type_overlaps

__all__ = [
    "ClassScore",
    "DetectionScores",
    "Estimate",
    "Metric",
    "Mistakes",
    "Operating",
    "Predictions3D",
    "References3D",
    "cuboid_curves",
    "score_cuboids",
    "type_mistakes_3d",
]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Metric = Literal["bev", "3d"]

OVERLAPS_3D = (0.5, 0.7)
_OVERLAP = {"bev": bev_iou, "3d": iou}


@dataclass(frozen=True, eq=False)
class Predictions3D:
    """One scene's predictions: cuboids (n, 9), scores (n,), labels (n,) positions in the class list.

    Cuboids are x, y, z, l, w, h, rx, ry, rz in the LiDAR frame, metres and radians (see `cuboids`).
    ValueError if the lengths differ or a number is not finite. `Predictions3D.none()`: a scene with none.
    """

    cuboids: Array
    scores: Array
    labels: Labels

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.cuboids.shape != (n, 9) or self.labels.shape != (n,) or self.scores.shape != (n,):
            raise ValueError(
                f"expected cuboids (n, 9), scores (n,), labels (n,), got {self.cuboids.shape}, "
                f"{self.scores.shape}, {self.labels.shape}"
            )
        if not (np.isfinite(self.cuboids).all() and np.isfinite(self.scores).all()):
            raise ValueError("expected finite cuboids and scores, got NaN or infinity")

    @staticmethod
    def none() -> Predictions3D:
        return Predictions3D(np.zeros((0, 9)), np.zeros(0), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class References3D:
    """One scene's reference objects: cuboids (n, 9), LiDAR frame, and labels (n,)."""

    cuboids: Array
    labels: Labels

    def __post_init__(self) -> None:
        if self.cuboids.shape != (len(self.labels), 9) or self.labels.ndim != 1:
            raise ValueError(
                f"expected cuboids (n, 9) and labels (n,), got {self.cuboids.shape}, {self.labels.shape}"
            )
        if not np.isfinite(self.cuboids).all():
            raise ValueError("expected finite cuboids, got NaN or infinity")

    @staticmethod
    def none() -> References3D:
        return References3D(np.zeros((0, 9)), np.zeros(0, dtype=np.int64))


def score_cuboids(
    predictions: Sequence[Predictions3D],
    references: Sequence[References3D],
    classes: int,
    *,
    clusters: Sequence[str] | None = None,
    rng: np.random.Generator,
    resamples: int = 200,
    metric: Metric = "bev",
    overlaps: ArrayLike = OVERLAPS_3D,
) -> DetectionScores:
    """Scores one list of predictions per scene against one list of references per scene.

    `classes`, `clusters`, `rng`, `resamples`: as of `score_detections`, and so are the results (`images`
    counts scenes). `overlaps`: thresholds, (T,) for all classes or (classes, T), in (0, 1]. `ap50` and the
    operating threshold are at the first, `ap` is the mean over the others; with one, both are there.

    No scenes or no references: every figure is None. References without predictions: AP 0. A predicted
    cuboid without volume is a wrong one.
    """
    if len(predictions) != len(references) or (clusters is not None and len(clusters) != len(references)):
        raise ValueError(
            f"expected predictions, references and clusters per scene, got {len(predictions)}, "
            f"{len(references)}, {len(clusters) if clusters is not None else 'no clusters'}"
        )
    given = np.asarray(overlaps, dtype=np.float64)
    fits = given.ndim == 1 or (given.ndim == 2 and len(given) == classes)
    if not fits or not given.shape[-1] or not ((given > 0) & (given <= 1)).all():
        raise ValueError(f"expected overlaps (T,) or ({classes}, T) in (0, 1], got {given.tolist()}")
    if metric not in _OVERLAP:
        raise ValueError(f"expected the metric bev or 3d, got {metric!r}")
    thresholds = np.broadcast_to(given, (classes, given.shape[-1]))
    names = [str(i) for i in range(len(references))] if clusters is None else clusters
    strict = slice(1 if given.shape[-1] > 1 else 0, None)
    matched = match_scenes(predictions, references, thresholds, metric)
    return score_matches(matched, names, rng=rng, resamples=resamples, strict=strict)


def cuboid_curves(
    predictions: Sequence[Predictions3D], references: Sequence[References3D], classes: int
) -> Curves:
    """What the figures of `score_cuboids` are means of, with the metric and the overlaps that it has unless told otherwise."""
    given = np.asarray(OVERLAPS_3D)
    matched = match_scenes(predictions, references, np.broadcast_to(given, (classes, len(given))), "bev")
    return curves_of(matched, given[1:], slice(1, None))


def type_mistakes_3d(
    predictions: Predictions3D,
    references: References3D,
    threshold: float,
    *,
    found_at: float = 0.5,
    near_at: float = 0.1,
    metric: Metric = "bev",
) -> Mistakes:
    """Types one scene's predictions with score >= `threshold`, and its references: see `mistakes`.

    No predictions: all references are missed. No references: all predictions are background.
    """
    kept = keep(predictions.scores, threshold)
    overlap = _OVERLAP[metric](yawed(predictions.cuboids[kept]), yawed(references.cuboids))
    return type_overlaps(
        kept, predictions.labels[kept], references.labels, overlap, found_at=found_at, near_at=near_at
    )


def match_scenes(
    predictions: Sequence[Predictions3D],
    references: Sequence[References3D],
    thresholds: Array,
    metric: Metric,
) -> list[Matched]:
    """The matches of each class over all scenes; `thresholds` (classes, T)."""
    classes, count = thresholds.shape
    scenes, every, right = [np.zeros(0, dtype=np.int64)], [Predictions3D.none()], [np.zeros((count, 0), bool)]
    wanted = np.zeros((classes, len(references)), dtype=np.int64)
    for scene, (found, truth) in enumerate(zip(predictions, references, strict=True)):
        for labels in (found.labels, truth.labels):
            if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
                raise ValueError(f"expected labels 0 to {classes - 1}, got {labels.tolist()}")
        wanted[:, scene] = np.bincount(truth.labels, minlength=classes)
        best = _best(found, classes)
        scenes.append(np.full(len(best.scores), scene))
        every.append(best)
        right.append(_match(best, truth, thresholds, metric))
    scene_of, hits = np.concatenate(scenes), np.hstack(right)
    scores = np.concatenate([one.scores for one in every])
    label_of = np.concatenate([one.labels for one in every])
    order = np.argsort(-scores, kind="stable")
    out = []
    for label in range(classes):
        rows = order[label_of[order] == label]
        out.append(Matched(scores[rows], scene_of[rows], hits[:, rows], wanted[label]))
    return out


def _best(found: Predictions3D, classes: int) -> Predictions3D:
    """A scene's predictions, best first, at most MOST of each class."""
    order = np.argsort(-found.scores, kind="stable")
    if len(order) > MOST:
        kept = [order[found.labels[order] == label][:MOST] for label in range(classes)]
        order = np.concatenate(kept)
        order = order[np.argsort(-found.scores[order], kind="stable")]
    return Predictions3D(found.cuboids[order], found.scores[order], found.labels[order])


def _match(found: Predictions3D, truth: References3D, thresholds: Array, metric: Metric) -> NDArray[np.bool_]:
    """(T, n) which of a scene's predictions, best first, find an object of their class.

    Each takes the free object that it overlaps most; of equals the last one, as pycocotools does. Only the
    pairs whose circles meet have an overlap computed, and only those that reach a threshold are looked at.
    """
    right = np.zeros((thresholds.shape[1], len(found.scores)), dtype=bool)
    if not len(found.scores) or not len(truth.labels):
        return right
    overlap = _OVERLAP[metric](yawed(found.cuboids), yawed(truth.cuboids))
    overlap[found.labels[:, None] != truth.labels[None, :]] = 0.0
    needed = np.minimum(
        thresholds[found.labels], 1 - 1e-10
    )  # (n, T); IoU 1 is met by what rounding left of it
    near: dict[int, list[tuple[float, int]]] = {}  # prediction, best first -> the objects that it may find
    for row, column in zip(*np.nonzero(overlap >= needed.min(axis=1)[:, None]), strict=True):
        near.setdefault(int(row), []).append((float(overlap[row, column]), int(column)))
    for t, hit in enumerate(right):
        taken: set[int] = set()
        for row, objects in near.items():
            free = [one for one in objects if one[0] >= needed[row, t] and one[1] not in taken]
            if free:
                taken.add(max(free)[1])
                hit[row] = True
    return right
