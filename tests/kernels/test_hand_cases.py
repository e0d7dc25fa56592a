"""What evaluations are given at their edges, in images, in clouds, typed and by KITTI's rules: each figure by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swath.kernels import kitti, typed
from swath.kernels.boxes import iou
from swath.kernels.detection import Predictions, References, score_detections
from swath.kernels.detection3d import Predictions3D, References3D, score_cuboids

RNG = np.random.default_rng(0)


def places(n: int, columns: int = 100) -> Any:
    """(n, 2) corners that are 20 apart."""
    at = np.arange(n)
    return 20.0 * np.stack([at % columns, at // columns], axis=1)


def boxes(n: int) -> Any:
    """(n, 4) boxes of 10 px that do not touch."""
    return np.hstack([places(n), places(n) + 10])


def cuboids(n: int) -> Any:
    """(n, 9) cuboids of 10 m that do not touch."""
    out = np.zeros((n, 9))
    out[:, :2], out[:, 3:6] = places(n), 10
    return out


def figures(
    kind: str, scores: Any, labels: Any, wanted: Any, right: int, classes: int = 2
) -> tuple[Any, Any, Any]:
    """AP at the loosest overlap by class, mAP50, and the operating point, of predictions of which the first `right` lie on the
    objects with their number, the others nowhere."""
    n, m = len(scores), len(wanted)
    scores, labels, wanted = (
        np.asarray(scores, float),
        np.asarray(labels, np.int64),
        np.asarray(wanted, np.int64),
    )
    shapes = (boxes if kind == "2d" else cuboids)(max(n, m) + n + 1)
    seen = np.vstack([shapes[:right], shapes[max(n, m) : max(n, m) + n - right]])
    if kind == "2d":
        told = score_detections(
            [Predictions(seen, scores, labels)], [References(shapes[:m], wanted)], classes, rng=RNG
        )
    else:
        told = score_cuboids(
            [Predictions3D(seen, scores, labels)], [References3D(shapes[:m], wanted)], classes, rng=RNG
        )
    return [one.ap50.value for one in told.classes], told.map50.value, told.operating


@pytest.mark.parametrize("kind", ["2d", "3d"])
def test_no_predictions(kind: str) -> None:
    """Nothing found of what is there: AP 0; of a class that is not there, unknown. No threshold finds anything: 1.0."""
    ap, mean, at = figures(kind, [], [], [0, 0], 0)
    assert (ap, mean, at.threshold, at.recall) == ([0.0, None], 0.0, 1.0, 0.0)


@pytest.mark.parametrize("kind", ["2d", "3d"])
def test_no_labels(kind: str) -> None:
    """Nothing there to be found: whatever is predicted, no figure is known."""
    ap, mean, _ = figures(kind, [0.9, 0.1], [0, 1], [], 0)
    assert (ap, mean) == ([None, None], None)


@pytest.mark.parametrize("kind", ["2d", "3d"])
def test_one_class(kind: str) -> None:
    """A class map of one: two objects, the surest prediction wrong, the next right. Precision 1/2 up to recall 1/2: 51 of 101 points
    at 1/2."""
    overlap = 51 / 101 / 2
    ap, mean, _ = figures(kind, [0.5, 0.9], [0, 0], [0, 0], 1, classes=1)
    assert ap == [pytest.approx(overlap)]
    assert mean == pytest.approx(overlap)


@pytest.mark.parametrize("kind", ["2d", "3d"])
def test_scores_that_are_no_numbers(kind: str) -> None:
    """They are refused in words, wherever they come in."""
    with pytest.raises(ValueError, match="finite"):
        figures(kind, [np.nan], [0], [0], 1)
    with pytest.raises(ValueError, match="numbers, got NaN"):
        typed.table([(np.array([np.nan]), np.array([0]), np.array([0]), np.ones((1, 1)))])
    none = np.zeros(1)
    scene = kitti.Scene(none * np.nan, np.array([0]), none, np.array([0]), none, none, np.array([0]), np.ones((1, 1)), none)  # fmt: skip
    with pytest.raises(ValueError, match="numbers, got NaN"):
        kitti.score([scene], ("Car",), "Car", "easy")


@pytest.mark.parametrize("kind", ["2d", "3d"])
def test_equal_scores(kind: str) -> None:
    """One right, one wrong, equally sure: in the order that they come in, so that AP is 1 or 1/2; the operating point takes or
    leaves both: precision 1/2, recall 1."""
    ap, _, at = figures(kind, [0.5, 0.5], [0, 0], [0], 1)
    assert ap[0] in (pytest.approx(1), pytest.approx(0.5))
    assert (at.threshold, at.precision, at.recall) == (0.5, 0.5, 1.0)


def test_equal_scores_by_kittis_rules() -> None:
    """50 equally sure, 40 of them right: each hit gives a threshold, all of the same score, at which 40 of 50 are right: 0.8 at the
    points 0 to 39, of which R40 takes 39 of 40."""
    n = 50
    overlap = np.vstack([np.eye(40), np.zeros((10, 40))])
    scene = kitti.Scene(
        np.full(n, 0.5), np.zeros(n, np.int64), np.full(n, 50.0), np.zeros(40, np.int64), np.full(40, 50.0), np.zeros(40),
        np.zeros(40, np.int64), overlap, np.zeros(n),
    )  # fmt: skip
    assert kitti.score([scene], ("Car",), "Car", "easy").ap == pytest.approx(0.8 * 39 / 40)


@pytest.mark.parametrize("kind", ["2d", "3d"])
def test_ten_thousand_in_one_sample(kind: str) -> None:
    """A model that says 10,000 boxes of one class in one sample with 20 objects: the surest 100 count, of which 20 are right: all are
    found before anything is wrong."""
    scores = np.linspace(1, 0.1, 10_000)
    ap, mean, at = figures(kind, scores, np.zeros(10_000), np.zeros(20), 20)
    assert (ap[0], mean) == (pytest.approx(1), pytest.approx(1))
    assert (at.precision, at.recall) == (1.0, 1.0)
    late = np.append(scores[-20:], scores[:-20])
    assert figures(kind, late, np.zeros(10_000), np.zeros(20), 20)[0][0] == 0


def test_ten_thousand_over_many_images() -> None:
    """100 images of 100 objects and predictions, typed: every second one right and surer than the wrong ones: half is found, and
    mending what is missed gives all."""
    overlap = np.diag(np.tile([1.0, 0.0], 50))
    scores = np.where(np.arange(100) % 2 == 0, 0.9, 0.3)
    zeros = np.zeros(100, np.int64)
    table = typed.table((scores, zeros, zeros, overlap) for _ in range(100))
    assert len(table.score) == len(table.wanted) == 10_000
    assert int((table.found_by() >= 0).sum()) == 5_000
    assert typed.average_precision(table, 1)[0] == pytest.approx(51 / 101)
    assert typed.gains(table, 1)["missed"] == pytest.approx(50 / 101)
    assert iou(boxes(100), boxes(100)).sum() == 100
