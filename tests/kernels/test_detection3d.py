from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon

from swath.kernels import cuboids
from swath.kernels.detection import OVERLAPS, DetectionScores, Predictions, References, score_detections
from swath.kernels.detection3d import (
    Metric,
    Predictions3D,
    References3D,
    cuboid_curves,
    score_cuboids,
    type_mistakes_3d,
)
from swath.kernels.mistakes import type_mistakes

CAR, VAN = 0, 1


def _cuboids(*rows: tuple[float, float]) -> np.ndarray:
    """Cuboids 4 m long, 2 wide and 2 high at (x, y), heading along x."""
    out = np.zeros((len(rows), 9))
    out[:, :2] = np.array(rows).reshape(-1, 2)
    out[:, 3:6] = 4, 2, 2
    return out


def _found(
    rows: Sequence[tuple[float, float]], scores: Sequence[float], labels: Sequence[int]
) -> Predictions3D:
    return Predictions3D(_cuboids(*rows), np.array(scores, dtype=float), np.array(labels, dtype=np.int64))


def _made(
    seed: int, scenes: int, classes: int = 3, turned: bool = True
) -> tuple[list[Predictions3D], list[References3D]]:
    """Scenes with objects, shaken copies of most of them as predictions, some of a wrong class, and noise."""
    rng = np.random.default_rng(seed)
    predictions, references = [], []
    for _ in range(scenes):
        n, extra = int(rng.integers(0, 6)), int(rng.integers(0, 4))
        truth = np.zeros((n + extra, 9))
        truth[:, :3] = rng.uniform(-12, 12, (n + extra, 3)) * [1, 1, 0.05]
        truth[:, 3:6] = rng.uniform([2, 1, 1.3], [5, 2.2, 2], (n + extra, 3))
        if turned:
            truth[:, 8] = rng.uniform(-np.pi, np.pi, n + extra)
        labels = rng.integers(0, classes, n + extra)
        seen = np.append(rng.random(n) < 0.8, np.ones(extra, dtype=bool))
        shaken = truth + rng.normal(0, 1, truth.shape) * [0.4, 0.2, 0.1, 0.3, 0.1, 0.1, 0, 0, 0.1 * turned]
        guessed = np.where(rng.random(n + extra) < 0.1, rng.integers(0, classes, n + extra), labels)
        scores = np.round(rng.beta(2, 2, seen.sum()), 2)  # rounded: there are ties
        predictions.append(Predictions3D(shaken[seen], scores, guessed[seen]))
        references.append(References3D(truth[:n], labels[:n]))
    return predictions, references


def _score(
    predictions: list[Predictions3D], references: list[References3D], **more: object
) -> DetectionScores:
    return score_cuboids(predictions, references, 3, rng=np.random.default_rng(0), **more)  # type: ignore[arg-type]


def test_ap_by_hand() -> None:
    """Two cars; of three predictions the first and the last find one each: AP is 51 recalls at precision 1
    and 50 at 2/3, of 101.

    4 m long, shifted by 0.5 m: IoU 3.5 / 4.5 = 0.78, enough for 0.7; shifted by 1 m: 3 / 5 = 0.6, enough for
    0.5 only. So at 0.7 only the first is right, and the recalls above 1/2 have precision 0.
    """
    truth = [References3D(_cuboids((0, 0), (20, 0)), np.array([CAR, CAR]))]
    found = [_found([(0.5, 0), (40, 0), (21, 0)], [0.9, 0.8, 0.7], [CAR, CAR, CAR])]
    scores = _score(found, truth).classes[CAR]
    assert scores.ap50.value == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert scores.ap.value == pytest.approx(51 / 101)
    assert (scores.references, scores.predictions) == (2, 3)


def test_the_means_of_the_curves_are_the_scores() -> None:
    """The curves are those at the overlap that `ap` is at, 0.7."""
    predictions, references = _made(8, 20)
    curves, scores = cuboid_curves(predictions, references, 3), _score(predictions, references)
    assert curves.overlaps.tolist() == [0.7]
    assert curves.precision.shape == (1, 3, 101)
    assert curves.precision.mean(axis=(0, 2)) == pytest.approx([one.ap.value for one in scores.classes])
    assert curves.precision.mean() == pytest.approx(scores.map.value)
    assert ((curves.recall >= 0) & (curves.recall <= 1)).all()


def test_height_counts_in_3d_only() -> None:
    """Half a metre too high, of 2 m: footprints agree, volumes to 1.5 / 2.5 = 0.6; 1 m: to 1 / 3."""
    truth = [References3D(_cuboids((0, 0)), np.array([CAR]))]
    for lift, right in ((0.5, 1.0), (1.0, 0.0)):
        raised = _cuboids((0, 0))
        raised[:, 2] = lift
        found = [Predictions3D(raised, np.ones(1), np.array([CAR]))]
        assert _score(found, truth, metric="bev").map.value == pytest.approx(1.0)
        assert _score(found, truth, metric="3d").map50.value == pytest.approx(right)
        assert _score(found, truth, metric="3d").map.value == 0.0


def test_overlaps_may_differ_by_class() -> None:
    """A car and a van, each found with IoU 3 / 5: at 0.55 for one and 0.65 for the other, one is right."""
    truth = [References3D(_cuboids((0, 0), (20, 0)), np.array([CAR, VAN]))]
    found = [_found([(1, 0), (21, 0)], [0.9, 0.9], [CAR, VAN])]
    scores = _score(found, truth, overlaps=[[0.55], [0.65], [0.65]])
    assert [one.ap50.value for one in scores.classes] == [pytest.approx(1.0), 0.0, None]
    assert scores.classes[CAR].ap == scores.classes[CAR].ap50


def test_each_object_is_found_once_by_the_surest() -> None:
    """Of two predictions on one car the surer has it, though it overlaps less; the other one is wrong."""
    truth = [References3D(_cuboids((0, 0)), np.array([CAR]))]
    found = [_found([(0, 0), (1, 0)], [0.7, 0.8], [CAR, CAR])]
    scores = _score(found, truth)
    assert scores.classes[CAR].ap50.value == pytest.approx(1.0)
    assert (scores.operating.threshold, scores.operating.precision) == (0.8, 1.0)
    assert scores.classes[CAR].ap.value == pytest.approx(0.5)  # at 0.7 it is the second that finds it


@pytest.mark.parametrize("seed", [1, 2])
def test_aligned_cuboids_score_as_their_rectangles(seed: int) -> None:
    """Cuboids along the axes have, at each of COCO's overlaps, pycocotools' AP of their footprints as boxes."""
    predictions, references = _made(seed, 40, turned=False)

    def flat(c: np.ndarray) -> np.ndarray:
        return np.hstack([c[:, :2] - c[:, 3:5] / 2, c[:, :2] + c[:, 3:5] / 2])

    planes = score_detections(
        [Predictions(flat(p.cuboids), p.scores, p.labels) for p in predictions],
        [References(flat(r.cuboids), r.labels) for r in references],
        3,
        rng=np.random.default_rng(0),
    )
    by_overlap = [_score(predictions, references, overlaps=[t]) for t in OVERLAPS]
    for label, plane in enumerate(planes.classes):
        aps = [one.classes[label].ap50.value for one in by_overlap]
        assert aps[0] == pytest.approx(plane.ap50.value, abs=1e-12)
        assert np.mean(aps) == pytest.approx(plane.ap.value, abs=1e-12)  # type: ignore[arg-type]
    assert by_overlap[0].operating == planes.operating
    low, high = by_overlap[0].map50.low, by_overlap[0].map50.high
    assert (low, high) == pytest.approx((planes.map50.low, planes.map50.high), abs=1e-12)
    assert 0.1 < planes.map50.value < 0.95  # type: ignore[operator]


def _slow_ap(
    predictions: list[Predictions3D], references: list[References3D], label: int, overlap: float
) -> float:
    """AP the obvious way: shapely's polygons, loops, and the precision at each of 101 recalls."""

    def outline(c: np.ndarray) -> Polygon:
        return Polygon(cuboids.corners(c[None])[0, :4, :2])

    ranked: list[tuple[float, bool]] = []
    for found, truth in zip(predictions, references, strict=True):
        free = [outline(c) for c in truth.cuboids[truth.labels == label]]
        mine = found.labels == label
        for row in np.argsort(-found.scores[mine], kind="stable"):
            shape = outline(found.cuboids[mine][row])
            likeness = [shape.intersection(one).area / shape.union(one).area for one in free]
            hit = bool(likeness) and max(likeness) >= overlap
            ranked.append((found.scores[mine][row], hit))
            if hit:
                free.pop(int(np.argmax(likeness)))
    ranked.sort(key=lambda one: -one[0])
    total = sum(int((truth.labels == label).sum()) for truth in references)
    right = np.cumsum([hit for _, hit in ranked])
    precision = right / np.arange(1, len(ranked) + 1)
    points = [precision[right / total >= recall].max(initial=0.0) for recall in np.linspace(0, 1, 101)]
    return float(np.mean(points))


@pytest.mark.parametrize("seed", [3, 4])
def test_turned_cuboids_score_as_shapely_says(seed: int) -> None:
    """With any headings, AP at 0.5 and 0.7 is that of a slow evaluation on shapely's polygons."""
    predictions, references = _made(seed, 30)
    scores = _score(predictions, references)
    for label, one in enumerate(scores.classes):
        slow = [_slow_ap(predictions, references, label, overlap) for overlap in (0.5, 0.7)]
        assert [one.ap50.value, one.ap.value] == pytest.approx(slow, abs=1e-12)
        assert 0 < slow[1] < slow[0] < 1


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from(["bev", "3d"]))
def test_order_within_and_among_scenes_does_not_matter(seed: int, metric: Metric) -> None:
    """Scenes, predictions and objects in another order have the same scores, as long as no scores are equal."""
    rng = np.random.default_rng(seed)
    predictions, references = _made(seed, 6)
    untied = [Predictions3D(p.cuboids, rng.random(len(p.scores)), p.labels) for p in predictions]
    one = _score(untied, references, clusters=list("aabbcc"), metric=metric, resamples=20)
    order = rng.permutation(6)
    mixed: tuple[list[Predictions3D], list[References3D]] = [], []
    for i in order:
        p, r = rng.permutation(len(untied[i].scores)), rng.permutation(len(references[i].labels))
        mixed[0].append(Predictions3D(untied[i].cuboids[p], untied[i].scores[p], untied[i].labels[p]))
        mixed[1].append(References3D(references[i].cuboids[r], references[i].labels[r]))
    names = [list("aabbcc")[i] for i in order]
    assert _score(*mixed, clusters=names, metric=metric, resamples=20) == one


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_3d_is_no_better_than_bev_and_strict_no_better_than_loose(seed: int) -> None:
    """Where scenes hold one object and one prediction, AP falls or stays from BEV to 3D and from 0.5 to 0.7."""
    predictions, references = _made(seed, 12, classes=1)
    single = [Predictions3D(p.cuboids[:1], p.scores[:1], p.labels[:1]) for p in predictions]
    truth = [References3D(r.cuboids[:1], r.labels[:1]) for r in references]
    bev, solid = (_score(single, truth, metric=metric).classes[0] for metric in ("bev", "3d"))
    if bev.references:
        assert bev.ap.value <= bev.ap50.value  # type: ignore[operator]
        assert solid.ap50.value <= bev.ap50.value  # type: ignore[operator]
        assert solid.ap.value <= min(bev.ap.value, solid.ap50.value)  # type: ignore[type-var, operator]


def test_nothing_is_defined() -> None:
    """No scenes and no references give None; references without predictions 0; absent classes None; a scene
    that is empty on one side is all wrong or all missed.
    """
    empty = _score([], [])
    assert (empty.map.value, empty.map50.value, empty.images, empty.clusters) == (None, None, 0, 0)
    predictions, references = _made(5, 6)
    assert _score(predictions, [References3D.none()] * 6).map.value is None
    blind = _score([Predictions3D.none()] * 6, references)
    assert (blind.map.value, blind.operating.threshold, blind.operating.f1) == (0.0, 1.0, 0.0)
    truth = [References3D(_cuboids((0, 0)), np.array([CAR])), References3D.none()]
    found = [_found([(0, 0)], [0.5], [CAR]), _found([(0, 0)], [0.9], [CAR])]
    scores = _score(found, truth)
    assert [one.ap50.value for one in scores.classes] == [pytest.approx(0.5), None, None]


def test_a_hundred_predictions_of_a_class_count() -> None:
    """The hundred best of each class count in a scene; the one on the car is seen as the 100th, not as the
    101st, and predictions of another class take nobody's place.
    """
    truth = [References3D(_cuboids((0, 0)), np.array([CAR]))]
    for others, value in ((99, 1 / 100), (100, 0.0)):
        rows = [(0.0, 0.0)] + [(50.0, 5.0 * i) for i in range(others + 40)]
        scores = [0.1] + [0.5] * (others + 40)
        labels = [CAR] * (others + 1) + [VAN] * 40
        found = [_found(rows, scores, labels)]
        assert _score(found, truth, resamples=0).classes[CAR].ap50.value == pytest.approx(value)


def test_a_cuboid_without_volume_is_a_wrong_prediction() -> None:
    """A sure prediction of no length on the car halves the precision of the right one after it."""
    flat = _cuboids((0, 0), (0, 0))
    flat[0, 3] = 0.0
    found = [Predictions3D(flat, np.array([0.9, 0.8]), np.array([CAR, CAR]))]
    truth = [References3D(_cuboids((0, 0)), np.array([CAR]))]
    assert _score(found, truth).classes[CAR].ap50.value == pytest.approx(0.5)


def test_what_does_not_fit_is_refused() -> None:
    """Lengths that differ, NaN, infinity, labels outside the class list and impossible overlaps raise."""
    one = np.zeros(1, dtype=np.int64)
    for broken in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            Predictions3D(np.full((1, 9), broken), np.ones(1), one)
        with pytest.raises(ValueError, match="finite"):
            References3D(np.full((1, 9), broken), one)
    with pytest.raises(ValueError, match="finite"):
        Predictions3D(np.ones((1, 9)), np.array([np.nan]), one)
    with pytest.raises(ValueError, match=r"\(n, 9\)"):
        References3D(np.zeros((2, 9)), one)
    with pytest.raises(ValueError, match=r"\(n, 9\)"):
        Predictions3D(np.zeros((1, 7)), np.ones(1), one)
    with pytest.raises(ValueError, match="per scene"):
        _score([Predictions3D.none()], [])
    for label in (3, -1):
        with pytest.raises(ValueError, match=f"labels 0 to 2, got \\[{label}\\]"):
            _score([Predictions3D.none()], [References3D(np.ones((1, 9)), np.array([label]))])
    for overlaps in ((), (0.0,), (1.5,), ((0.5,), (0.5,))):
        with pytest.raises(ValueError, match="expected overlaps"):
            _score([], [], overlaps=overlaps)
    with pytest.raises(ValueError, match="bev or 3d"):
        _score([], [], metric="2d")


TRUTH = References3D(_cuboids((0, 0), (20, 0), (40, 0)), np.array([CAR, CAR, VAN]))


@pytest.mark.parametrize(
    ("row", "kind", "fate", "partner"),
    [
        ((0, 0, CAR), "right", "found", 0),
        ((2, 0, CAR), "location", "location", 0),  # IoU 2 / 6
        ((40, 0, CAR), "class", "class", 2),
        ((42, 0, CAR), "both", "missed", 2),
        ((10, 0, CAR), "background", "missed", -1),
        ((3.5, 0, CAR), "background", "missed", -1),  # IoU 0.5 / 7.5: not near
    ],
)
def test_each_kind_by_hand(row: tuple[float, float, int], kind: str, fate: str, partner: int) -> None:
    """One prediction, placed by hand, has the kind that its BEV overlaps say, and so has its object."""
    found = type_mistakes_3d(_found([row[:2]], [0.9], [row[2]]), TRUTH, 0.5)
    assert found.kinds == (kind,)
    assert found.partner.tolist() == [partner]
    about = partner if partner >= 0 else 0
    assert found.fates[about] == fate
    assert [f for i, f in enumerate(found.fates) if i != about] == ["missed"] * 2


def test_duplicates_thresholds_and_nothing() -> None:
    """The less certain of two on one car is a duplicate; a score at the threshold counts, one below does
    not; nothing predicted is all missed, nothing there is all background.
    """
    twice = type_mistakes_3d(_found([(0, 0), (0.2, 0)], [0.7, 0.8], [CAR, CAR]), TRUTH, 0.7)
    assert (twice.kept.tolist(), twice.kinds) == ([1, 0], ("right", "duplicate"))
    assert (twice.tp, twice.fp, twice.fn) == (1, 1, 2)
    assert type_mistakes_3d(_found([(0, 0)], [0.49], [CAR]), TRUTH, 0.5).fates == ("missed",) * 3
    alone = type_mistakes_3d(_found([(0, 0)], [0.9], [CAR]), References3D.none(), 0.5)
    assert (alone.kinds, alone.fn) == (("background",), 0)
    assert type_mistakes_3d(Predictions3D.none(), References3D.none(), 0.5).kinds == ()


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_aligned_mistakes_are_those_of_the_rectangles(seed: int) -> None:
    """Cuboids along the axes have the kinds, partners and fates of their footprints as boxes."""
    for p, r in zip(*_made(seed, 4, turned=False), strict=True):
        flat = [
            np.hstack([c[:, :2] - c[:, 3:5] / 2, c[:, :2] + c[:, 3:5] / 2]) for c in (p.cuboids, r.cuboids)
        ]
        plane = type_mistakes(Predictions(flat[0], p.scores, p.labels), References(flat[1], r.labels), 0.3)
        full = type_mistakes_3d(p, r, 0.3)
        assert (full.kinds, full.fates) == (plane.kinds, plane.fates)
        assert (full.kept.tolist(), full.partner.tolist()) == (plane.kept.tolist(), plane.partner.tolist())


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_counts_add_up_to_the_operating_point(seed: int) -> None:
    """Right and wrong predictions at the operating threshold give the precision and recall that it states."""
    predictions, references = _made(seed, 5)
    operating = _score(predictions, references, resamples=0).operating
    typed = [
        type_mistakes_3d(p, r, operating.threshold) for p, r in zip(predictions, references, strict=True)
    ]
    tp, fp, fn = (sum(getattr(one, name) for one in typed) for name in ("tp", "fp", "fn"))
    assert tp / max(tp + fp, 1) == pytest.approx(operating.precision)
    assert tp / max(tp + fn, 1) == pytest.approx(operating.recall)
