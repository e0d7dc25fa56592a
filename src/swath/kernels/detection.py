"""How good are predicted boxes? COCO's average precision, with intervals by drive, and the best threshold.

Predictions and references are matched per image and class by pycocotools, greedily by score, at IoU 0.50,
0.55, .. 0.95; at most 100 predictions per image and class count. AP is the mean of the interpolated
precision at 101 recalls (Lin et al. 2014); AP50 that at IoU 0.50; mAP and mAP50 the means over the classes
that have references.

Intervals come from a bootstrap over clusters: the matches are made once, and each resample of the drives
weighs them anew. With s the standard deviation of the resampled values and D the number of drives that hold
references, the interval is the value plus and minus t(D - 1) * s * sqrt(D / (D - 1)), within [0, 1]: the
bootstrap of D drives knows a variance that is too small by (D - 1) / D, and s itself is known no better than
D - 1 degrees of freedom allow. `benchmarks/intervals.py` shows how often it holds the truth.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.kernels.boxes import area

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100  # predictions per image and class that count, best first


@dataclass(frozen=True, eq=False)
class Predictions:
    """One image's predictions: boxes (n, 4) px, scores (n,), labels (n,) positions in the class list.

    ValueError if the lengths differ or a number is not finite. `Predictions.none()`: an image with none.
    """

    boxes: Array
    scores: Array
    labels: Labels

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.labels.shape != (n,) or self.scores.shape != (n,):
            raise ValueError(
                f"expected boxes (n, 4), scores (n,), labels (n,), got {self.boxes.shape}, "
                f"{self.scores.shape}, {self.labels.shape}"
            )
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise ValueError("expected finite boxes and scores, got NaN or infinity")

    @staticmethod
    def none() -> Predictions:
        return Predictions(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class References:
    """One image's reference objects: boxes (n, 4) px, labels (n,) positions in the class list."""

    boxes: Array
    labels: Labels

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.labels), 4) or self.labels.ndim != 1:
            raise ValueError(
                f"expected boxes (n, 4) and labels (n,), got {self.boxes.shape}, {self.labels.shape}"
            )
        if not np.isfinite(self.boxes).all():
            raise ValueError("expected finite boxes, got NaN or infinity")

    @staticmethod
    def none() -> References:
        return References(np.zeros((0, 4)), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class Estimate:
    """A figure in [0, 1] with its 95 % interval; all None where undefined, the ends None where unknown.

    Unknown: one drive holds the references, or no resample differs (AP 0 throughout): that says nothing of
    what other drives would bring.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClassScore:
    """One class: how many references and predictions, and its AP; None where the class has no references.
    `clusters`: in how many of them the references are; fewer than 2 give no interval."""

    references: int
    predictions: int
    ap: Estimate
    ap50: Estimate
    clusters: int


@dataclass(frozen=True)
class Operating:
    """The score threshold with the best F1 at IoU 0.5 over all classes together, and what holds there.

    Where no prediction is right at any threshold, F1 is 0 and the threshold 1.0.
    """

    threshold: float
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True)
class DetectionScores:
    """`classes` by label. `clusters`: how many were resampled; fewer than 2 with references give no intervals."""

    map: Estimate
    map50: Estimate
    classes: tuple[ClassScore, ...]
    operating: Operating
    images: int
    clusters: int


def score_detections(
    predictions: Sequence[Predictions],
    references: Sequence[References],
    classes: int,
    *,
    clusters: Sequence[str] | None = None,
    rng: np.random.Generator,
    resamples: int = 200,
) -> DetectionScores:
    """Scores one list of predictions per image against one list of references per image.

    `classes`: length of the class list that labels index. `clusters`: the drive of each image (default:
    each image its own); they are resampled whole, with replacement. A resample without references of a
    class leaves that class out. The order of images decides only between equal scores.

    No images or no references: every figure is None. References without predictions: AP 0. A predicted box
    without area is a wrong one (pycocotools' loadRes would leave it out if its area came out negative).
    """
    if len(predictions) != len(references) or (clusters is not None and len(clusters) != len(references)):
        raise ValueError(
            f"expected predictions, references and clusters per image, got {len(predictions)}, "
            f"{len(references)}, {len(clusters) if clusters is not None else 'no clusters'}"
        )
    matched, precision = match_images(predictions, references, classes)
    names = [str(i) for i in range(len(references))] if clusters is None else clusters
    return score_matches(matched, names, rng=rng, resamples=resamples, precision=precision)


@dataclass(frozen=True, eq=False)
class Curves:
    """Interpolated precision (T, classes, 101) at `RECALLS`, and the highest recall (T, classes), at the overlaps (T,) that
    `ap` is the mean of: the mean of a class's precision is its AP. NaN for classes without references."""

    overlaps: Array
    precision: Array
    recall: Array


def detection_curves(
    predictions: Sequence[Predictions], references: Sequence[References], classes: int
) -> Curves:
    """What the figures of `score_detections` are means of."""
    return curves_of(match_images(predictions, references, classes)[0], OVERLAPS)


@dataclass(frozen=True, eq=False)
class Matched:
    """One class over all images, best score first: scores (D,), image row (D,), right (T, D); references
    (I,).

    `right`: whether the prediction has found an object of its own, at each of T overlaps. At most 100
    predictions per image.
    """

    scores: Array
    image: Labels
    right: NDArray[np.bool_]
    references: Labels


def score_matches(
    matched: Sequence[Matched],
    clusters: Sequence[str],
    *,
    rng: np.random.Generator,
    resamples: int,
    precision: Array | None = None,
    strict: slice = slice(None),
) -> DetectionScores:
    """Scores what has been matched, by class; `clusters` names the drive of each image.

    `ap50` and `map50` are those of the first overlap, `ap` and `map` the means over the overlaps `strict`.
    `precision` (classes, T): the AP at each overlap, where it is known already.
    """
    images = len(clusters)
    cluster, count = numbered(clusters)
    if precision is None:
        precision = precision_of(matched, np.ones(images, dtype=np.int64))
    drawn = np.zeros((resamples if count > 1 else 0, *precision.shape))
    for row, weights in enumerate(draws(cluster, count, rng, len(drawn))):
        drawn[row] = precision_of(matched, weights)
    holding = [_holding(one.references, cluster) for one in matched]
    everywhere = _holding(sum((one.references for one in matched), np.zeros(images, np.int64)), cluster)

    scores = tuple(
        ClassScore(
            references=int(one.references.sum()),
            predictions=len(one.scores),
            ap=_estimate(precision[label, strict], drawn[:, label, strict], holding[label]),
            ap50=_estimate(precision[label, :1], drawn[:, label, :1], holding[label]),
            clusters=holding[label],
        )
        for label, one in enumerate(matched)
    )
    return DetectionScores(
        map=_estimate(precision[:, strict], drawn[:, :, strict], everywhere),
        map50=_estimate(precision[:, :1], drawn[:, :, :1], everywhere),
        classes=scores,
        operating=_operating(matched),
        images=images,
        clusters=count,
    )


# ---------------------------------------------------------------------- resampling drives


def numbered(clusters: Sequence[str]) -> tuple[Labels, int]:
    """(I,) number of each image's cluster, in the order of their names, and how many there are."""
    names, cluster = np.unique(np.array(clusters, dtype=str), return_inverse=True)
    return cluster, len(names)


def draws(cluster: Labels, count: int, rng: np.random.Generator, resamples: int) -> Iterator[Labels]:
    """`resamples` times `count` clusters, drawn with replacement: (I,) how often each image counts."""
    for _ in range(resamples):
        yield np.bincount(rng.integers(0, count, count), minlength=count)[cluster]


def precision_of(matched: Sequence[Matched], weights: Labels) -> Array:
    """(classes, T) AP when image i counts `weights[i]` times; NaN for a class without references."""
    overlaps = max((len(one.right) for one in matched), default=0)
    return np.array([_average_precision(one, weights) for one in matched]).reshape(len(matched), overlaps)


def half_width(deviation: float, clusters: int) -> float | None:
    """Half the 95 % interval of a figure whose bootstrap over so many clusters has this standard deviation; None with fewer
    than two. See the head of this file."""
    from scipy.special import stdtrit  # scipy takes its time, and is not always needed

    if clusters < 2:
        return None
    return float(stdtrit(clusters - 1, 0.975) * deviation * np.sqrt(clusters / (clusters - 1)))


def _holding(references: Labels, cluster: Labels) -> int:
    """In how many clusters the references (I,) are."""
    return len(np.unique(cluster[references > 0]))


def match_images(
    predictions: Sequence[Predictions], references: Sequence[References], classes: int
) -> tuple[list[Matched], Array]:
    """pycocotools' matches per class, and its AP (classes, T), NaN for classes without references."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset, found.dataset = _as_coco(references, classes), _as_coco(predictions, classes)
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.imgIds = list(range(len(references)))
        evaluation.params.catIds = list(range(classes))
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST]
        evaluation.params.iouThrs, evaluation.params.recThrs = OVERLAPS, RECALLS
        evaluation.evaluate()
        evaluation.accumulate()
    precision: Array = evaluation.eval["precision"][
        :, :, :, 0, 0
    ]  # (T, recalls, classes); -1 where undefined
    precision = np.where(precision < 0, np.nan, precision).mean(axis=1).T

    images = len(references)
    rows = [evaluation.evalImgs[label * images : (label + 1) * images] for label in range(classes)]
    return [_class_matches(results, images) for results in rows], precision


def _as_coco(side: Sequence[Predictions | References], classes: int) -> dict[str, object]:
    """COCO's dictionary; annotation ids from 1, since pycocotools takes a match with id 0 for none."""
    annotations: list[dict[str, object]] = []
    for image, one in enumerate(side):
        xywh = np.hstack([one.boxes[:, :2], one.boxes[:, 2:] - one.boxes[:, :2]])
        scores = one.scores if isinstance(one, Predictions) else np.zeros(len(one.labels))
        for box, label, size, score in zip(xywh, one.labels, area(one.boxes), scores, strict=True):
            if not 0 <= label < classes:
                raise ValueError(f"expected labels 0 to {classes - 1}, got {label}")
            row = {"id": len(annotations) + 1, "image_id": image, "category_id": int(label), "iscrowd": 0}
            annotations.append({**row, "bbox": box.tolist(), "area": float(size), "score": float(score)})
    return {
        "images": [{"id": image} for image in range(len(side))],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": annotations,
    }


def _class_matches(results: Sequence[dict[str, object] | None], images: int) -> Matched:
    scores, image = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    right = [np.zeros((len(OVERLAPS), 0), dtype=bool)]
    references = np.zeros(images, dtype=np.int64)
    for row, result in enumerate(results):
        if result is not None:
            scores.append(np.asarray(result["dtScores"], dtype=np.float64))
            image.append(np.full(len(scores[-1]), row))
            right.append(np.asarray(result["dtMatches"]) > 0)
            references[row] = len(result["gtIds"])  # type: ignore[arg-type]
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Matched(
        np.concatenate(scores)[order], np.concatenate(image)[order], np.hstack(right)[:, order], references
    )


def curves_of(matched: Sequence[Matched], overlaps: Array, rows: slice = slice(None)) -> Curves:
    """Curves of what has been matched, by class; `rows`: those of its overlaps that `overlaps` (T,) are."""
    precision = np.full((len(overlaps), len(matched), len(RECALLS)), np.nan)
    recall = np.full(precision.shape[:2], np.nan)
    for label, one in enumerate(matched):
        total = int(one.references.sum())
        if total:
            once = np.ones(len(one.references), dtype=np.int64)
            precision[:, label] = _interpolated(one, once)[rows]
            recall[:, label] = one.right.sum(axis=1)[rows] / total
    return Curves(overlaps, precision, recall)


def _average_precision(one: Matched, weights: Labels) -> Array:
    """(T,) AP of a class when image i counts `weights[i]` times; NaN without references."""
    if not one.references @ weights:
        return np.full(len(one.right), np.nan)
    return np.mean(_interpolated(one, weights), axis=1)  # type: ignore[no-any-return]


def _interpolated(one: Matched, weights: Labels) -> Array:
    """(T, 101) precision at `RECALLS` of a class with references, when image i counts `weights[i]` times.

    The same as repeating images: copies of a prediction stand next to each other in the ranking.
    """
    times = weights[one.image]
    counted = times > 0
    right = np.cumsum(one.right[:, counted] * times[counted], axis=1)
    precision = right / (np.cumsum(times[counted]) + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.hstack([best, np.zeros((len(best), 1))])  # a recall that is never reached has precision 0
    reached = [np.searchsorted(row, RECALLS, side="left") for row in right / int(one.references @ weights)]
    return np.take_along_axis(best, np.array(reached), axis=1)


def _estimate(values: Array, drawn: Array, clusters: int) -> Estimate:
    """The mean of `values` without the NaN, with its interval; `drawn` (resamples, ...): each resample's; `clusters`: how many
    hold what is measured."""
    value = mean(values.ravel()[None])[0]
    if np.isnan(value):
        return Estimate(None, None, None)
    means = mean(drawn.reshape(len(drawn), -1)) if len(drawn) else np.zeros(0)
    means = means[~np.isnan(means)]
    half = half_width(means.std(ddof=1), clusters) if len(means) > 1 and np.ptp(means) > 0 else None
    if half is None:
        return Estimate(float(value), None, None)
    low, high = np.clip([value - half, value + half], 0.0, 1.0)
    return Estimate(float(value), float(low), float(high))


def mean(values: Array) -> Array:
    """(N,) row means of (N, K) without the NaN; NaN where a row has nothing else."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    out: Array = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return out


def _operating(matched: Sequence[Matched]) -> Operating:
    scores = np.concatenate([np.zeros(0), *[one.scores for one in matched]])
    right = np.concatenate([np.zeros(0, dtype=bool), *[one.right[0] for one in matched]])
    wanted = sum(int(one.references.sum()) for one in matched)
    if not right.any():
        return Operating(1.0, 0.0, 0.0, 0.0)
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(right[order])
    kept = np.arange(1, len(scores) + 1)
    f1 = 2 * found / (kept + wanted)
    f1[np.append(scores[1:] == scores[:-1], False)] = -1.0  # a threshold can't part equal scores
    best = int(np.argmax(f1))  # of equal F1 the highest threshold
    return Operating(
        float(scores[best]), float(f1[best]), float(found[best] / kept[best]), float(found[best] / wanted)
    )
