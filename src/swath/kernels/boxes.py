"""Boxes in an image: (N, 4) float64 `x1, y1, x2, y2`, pixels, 0-based, x1 <= x2 and y1 <= y2.

A box that has no area (x2 <= x1, y2 <= y1) or holds a NaN overlaps nothing: its IoU with everything,
itself included, is 0. Inputs are never changed; lists are accepted where arrays are; `[]` is no boxes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def as_boxes(boxes: ArrayLike) -> Array:
    """`boxes` as (N, 4) float64; nothing becomes (0, 4). ValueError for any other shape."""
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"expected boxes of shape (N, 4), got {array.shape}")
    return array


def _without_nan(values: Array) -> Array:
    return np.where(np.isnan(values), 0.0, values)


def area(boxes: ArrayLike) -> Array:
    """(N,) areas in square pixels of (N, 4) boxes; 0 for a box without area or with a NaN."""
    b = as_boxes(boxes)
    size = np.maximum(b[:, 2:] - b[:, :2], 0.0)
    return _without_nan(size[:, 0] * size[:, 1])


def intersection(a: ArrayLike, b: ArrayLike) -> Array:
    """(N, M) areas shared by (N, 4) and (M, 4) boxes, square pixels."""
    p, q = as_boxes(a)[:, None, :], as_boxes(b)[None, :, :]
    size = np.maximum(np.minimum(p[..., 2:], q[..., 2:]) - np.maximum(p[..., :2], q[..., :2]), 0.0)
    return _without_nan(size[..., 0] * size[..., 1])


def iou(a: ArrayLike, b: ArrayLike) -> Array:
    """(N, M) intersection over union of (N, 4) and (M, 4) boxes, in [0, 1].

    (0, M) or (N, 0) where one side is empty. As COCO counts it: no "+ 1" to widths and heights.
    """
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(boxes: ArrayLike, width: float, height: float) -> Array:
    """(N, 4) boxes cut to an image of `width` x `height` pixels.

    What lies outside keeps no area; NaN stays NaN.
    """
    return np.clip(as_boxes(boxes), 0.0, np.array([width, height, width, height], dtype=np.float64))
