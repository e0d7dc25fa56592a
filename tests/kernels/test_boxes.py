from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely import box as rectangle

from swath.kernels import boxes


def _random(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(-5, 60, (count, 2))
    return np.hstack([corner, corner + rng.uniform(0.1, 40, (count, 2))])


def test_iou_agrees_with_shapely() -> None:
    """IoU, intersection and area of random boxes are what shapely's polygons say."""
    rng = np.random.default_rng(1)
    a, b = _random(rng, 12), _random(rng, 9)
    polygons = [[rectangle(*row) for row in side] for side in (a, b)]
    shared = np.array([[p.intersection(q).area for q in polygons[1]] for p in polygons[0]])
    union = np.array([[p.union(q).area for q in polygons[1]] for p in polygons[0]])
    np.testing.assert_allclose(boxes.intersection(a, b), shared, atol=1e-9)
    np.testing.assert_allclose(boxes.iou(a, b), shared / union, atol=1e-12)
    np.testing.assert_allclose(boxes.area(a), [p.area for p in polygons[0]])


def test_iou_agrees_with_pycocotools() -> None:
    """IoU is COCO's: the same as pycocotools on its own x, y, width, height form."""
    from pycocotools import mask

    rng = np.random.default_rng(2)
    a, b = _random(rng, 7), _random(rng, 5)
    as_xywh = [np.hstack([side[:, :2], side[:, 2:] - side[:, :2]]) for side in (a, b)]
    np.testing.assert_allclose(boxes.iou(a, b), mask.iou(as_xywh[0], as_xywh[1], [0] * 5), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (4, 4), elements=st.floats(-100, 100)))
def test_iou_is_symmetric_and_bounded(raw: np.ndarray) -> None:
    """IoU is in [0, 1], symmetric, 1 of a box with itself (if it has area), 0 for one turned inside out."""
    iou = boxes.iou(raw, raw)
    assert ((iou >= 0) & (iou <= 1 + 1e-12)).all()
    np.testing.assert_array_equal(iou, iou.T)
    solid = boxes.area(raw) > 1e-300
    np.testing.assert_allclose(np.diag(iou)[solid], 1.0)
    inside_out = (raw[:, 2] <= raw[:, 0]) | (raw[:, 3] <= raw[:, 1])
    assert not iou[inside_out].any()


def test_nothing_nan_and_points_overlap_nothing() -> None:
    """No boxes keep their shape; a NaN box and a box without area have area 0 and IoU 0, with themselves
    too.
    """
    odd = np.array([[np.nan, 0, 1, 1], [2, 2, 2, 5], [0, 0, 10, 10]])
    assert boxes.iou([], odd).shape == (0, 3)
    assert boxes.iou(odd, []).shape == (3, 0)
    assert boxes.iou([], []).shape == (0, 0)
    assert boxes.clip([], 5, 5).shape == (0, 4)
    np.testing.assert_array_equal(boxes.iou(odd, odd), np.diag([0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(boxes.area(odd), [0, 0, 100])


def test_clip_keeps_what_is_inside() -> None:
    """Clipping keeps inner boxes, cuts those on the edge, leaves those outside without area, and changes no
    input.
    """
    given_boxes = np.array([[1, 2, 3, 4], [-5, 5, 30, 8], [50, 1, 60, 2], [-9, -9, -1, -1]], dtype=float)
    before = given_boxes.copy()
    clipped = boxes.clip(given_boxes, 20, 10)
    np.testing.assert_array_equal(clipped[:2], [[1, 2, 3, 4], [0, 5, 20, 8]])
    np.testing.assert_array_equal(boxes.area(clipped)[2:], 0)
    np.testing.assert_array_equal(given_boxes, before)


def test_other_shapes_are_refused() -> None:
    """An array that is no list of boxes raises, and the message says the shape."""
    with pytest.raises(ValueError, match=r"\(N, 4\).*\(2, 5\)"):
        boxes.area(np.zeros((2, 5)))
