"""What an image shows of cuboids: the boxes around their projections, and which of them it shows clearly.

Cuboids (n, 9) in the LiDAR frame (see `cuboids`), boxes (n, 4) x1, y1, x2, y2 in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.kernels import boxes as box_kernel
from swath.kernels import cuboids as cuboid_kernel

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Project = Callable[[Array], tuple[Array, Array]]
"""Points (m, 3) in the LiDAR frame -> pixels (m, 2), NaN behind the camera, and depths (m,) in metres."""

NEAR_PLANE = 0.5  # m before the camera
SEEN_HEIGHT = 25 / 375  # of the image's height: KITTI's smallest labelled objects have 25 px
SEEN_SHARE = 0.3  # of the projected box that lies in the image
WHOLE_SHARE = 0.95  # of the projected box that lies in the image, of what is not cut by its edge
HIDDEN_SHARE = 0.6  # of the projected box that nearer objects cover
COVERED_SHARE = 0.2  # of it that they cover, of what is hidden in part

_EDGES = np.array(
    [(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)]
)


@dataclass(frozen=True, eq=False)
class Sight:
    """Cuboids in an image. `full`, `shown` (n, 4): boxes around them, as they are and clipped to the image, NaN where nothing is
    before the camera; `depth` (n,) of their centres, m; `clear` (n,): it shows, so that somebody would label it; `whole` (n,):
    clear, and hardly cut or hidden. `least_height`: px from which anything is labelled."""

    full: Array
    shown: Array
    depth: Array
    clear: Bools
    whole: Bools
    least_height: float


def see(cuboids: ArrayLike, project: Project, width: float, height: float) -> Sight:
    """What an image of `width` x `height` px shows of cuboids (n, 9)."""
    full, cut, depth = projected(cuboids, project)
    shown = box_kernel.clip(full, width, height)
    area, least = box_kernel.area(shown), SEEN_HEIGHT * height
    inside = area / np.maximum(box_kernel.area(full), 1e-9)
    hidden = _hidden(shown, area, depth)
    tall = np.nan_to_num(shown[:, 3] - shown[:, 1]) >= least
    clear = (area > 0) & (inside >= SEEN_SHARE) & ~cut & tall & (hidden <= HIDDEN_SHARE)
    whole = clear & (inside >= WHOLE_SHARE) & (hidden <= COVERED_SHARE)
    return Sight(full, shown, depth, clear, whole, least)


def projected(cuboids: ArrayLike, project: Project) -> tuple[Array, Bools, Array]:
    """Boxes (n, 4) px around the projected cuboids (n, 9), not clipped to the image; which are `cut` by the
    plane 0.5 m before the camera (n,); and the depth of each centre, metres (n,).

    A box is NaN where no part of the cuboid is before that plane, or the cuboid is degenerate. What is cut
    is the box of the part before it: depth is linear along an edge, so the cut is exact.
    """
    table = np.asarray(cuboids, float).reshape(-1, 9)
    boxes, cut = np.full((len(table), 4), np.nan), np.zeros(len(table), bool)
    centre = np.full(len(table), np.nan)
    good = np.isfinite(table).all(axis=1) & (table[:, 3:6] > 0).all(axis=1)
    if not good.any():
        return boxes, cut, centre
    centre[good] = project(table[good, :3])[1]
    corners = cuboid_kernel.corners(table[good])
    pixels, depth = project(corners.reshape(-1, 3))
    pixels, deep = pixels.reshape(-1, 8, 2), depth.reshape(-1, 8)
    ahead = deep >= NEAR_PLANE
    some = ahead.any(axis=1) & np.isfinite(deep).all(axis=1)
    partly = some & ~ahead.all(axis=1)
    found = np.full((len(corners), 4), np.nan)
    whole = some & ~partly
    found[whole] = np.concatenate([pixels[whole].min(axis=1), pixels[whole].max(axis=1)], axis=1)
    for row in np.flatnonzero(partly):
        found[row] = _before_the_plane(corners[row], deep[row], project)
    boxes[good], cut[good] = found, partly
    return boxes, cut, centre


def _before_the_plane(eight: Array, deep: Array, project: Project) -> Array:
    """The box (4,) around the part of a cuboid, by its corners (8, 3) and their depths (8,), that is before the plane."""
    start, end = deep[_EDGES].T
    crosses = (start < NEAR_PLANE) != (end < NEAR_PLANE)
    part = (NEAR_PLANE - start[crosses]) / (end - start)[crosses]
    begin, stop = eight[_EDGES[crosses, 0]], eight[_EDGES[crosses, 1]]
    solid = np.concatenate([eight[deep >= NEAR_PLANE], begin + part[:, None] * (stop - begin)])
    pixels = project(solid)[0]
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])


def _hidden(shown: Array, area: Array, depth: Array) -> Array:
    """(n,) share of each box that one nearer object's box covers, the largest."""
    covered = box_kernel.intersection(shown, shown)
    covered[~(depth[:, None] > depth[None, :])] = 0
    share: Array = (covered / np.maximum(area, 1e-9)[:, None]).max(axis=1, initial=0)
    return share
