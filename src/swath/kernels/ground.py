"""Where the ground is, and what a LiDAR sees through: from points (p, 3) x, y, z in the LiDAR frame, metres."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from swath.kernels import cuboids as cuboid_kernel

Array = NDArray[np.float64]

FOOT = 0.3  # m above its bottom that a cuboid's points are not counted: they are the ground's


def ground_height(points: Array, places: Array) -> Array:
    """Height of the ground, metres (m,), at `places` (m, 2) x, y: from `points` (p, 3); NaN where none is
    known.

    A plane is fitted to the lowest points of 4 m cells within 60 m, four times, each time closer. The height
    at a place is the plane's, corrected by the points within 4 m that are near the plane where there are ten
    of them. Without such points it is the plane's up to 40 m from the sensor and not known beyond; with
    fewer than six cells there is no plane, and nothing is known.
    """
    plane = _plane(points)
    height = np.full(len(places), np.nan)
    if plane is None:
        return height
    above = points[:, 2] - (points[:, :2] @ plane[:2] + plane[2])
    near_plane = np.abs(above) < 0.5
    low, above = points[near_plane], above[near_plane]
    for at, place in enumerate(places):
        level = float(place @ plane[:2] + plane[2])
        around = np.hypot(low[:, 0] - place[0], low[:, 1] - place[1]) < 4
        if np.count_nonzero(around) >= 10:
            height[at] = level + np.quantile(above[around], 0.25)
        elif math.hypot(*place) <= 40:
            height[at] = level
    return height


def _plane(points: Array) -> Array | None:
    """(a, b, c) of z = a x + b y + c, or None."""
    points = points[np.hypot(points[:, 0], points[:, 1]) < 60]
    if not len(points):
        return None
    cell = np.floor(points[:, :2] / 4).astype(np.int64) @ np.array([1000, 1])
    order = np.lexsort((points[:, 2], cell))
    _, first, count = np.unique(cell[order], return_index=True, return_counts=True)
    lowest = points[order[first[count >= 5]]]  # a single low point is an echo, not a road
    if len(lowest) < 6:
        return None
    near = lowest[np.argsort(np.hypot(lowest[:, 0], lowest[:, 1]), kind="stable")[:12]]
    plane = np.array([0.0, 0.0, np.median(near[:, 2])])
    for reach in (1.5, 0.8, 0.4, 0.3):
        off = np.abs(lowest[:, 2] - (lowest[:, :2] @ plane[:2] + plane[2]))
        kept = lowest[off < reach + 0.01 * np.hypot(lowest[:, 0], lowest[:, 1])]
        if len(kept) < 6:
            return plane
        plane = np.linalg.lstsq(np.c_[kept[:, :2], np.ones(len(kept))], kept[:, 2], rcond=None)[0]
    return np.asarray(plane)


def points_of(cuboids: Array, points: Array) -> NDArray[np.int64]:
    """(n,) points of each cuboid (n, 9) that are not the ground's. Labels hug the points, so a hand's width is added; what
    touches the ground is ground, so the foot is cut off."""
    body = cuboids.copy()
    foot = np.minimum(FOOT, 0.3 * body[:, 5])
    body[:, 3:6] += 0.1
    body[:, 5] -= foot
    body[:, 2] += foot / 2
    return cuboid_kernel.points_inside(points, body)


def line_of_sight(cuboid: Array, points: Array) -> tuple[int, int]:
    """How many points lie behind the middle of a cuboid (9,) as the sensor sees it, and how many before it."""
    corners = cuboid_kernel.corners(cuboid[None])[0]
    turn = math.atan2(cuboid[1], cuboid[0])

    def seen(where: Array) -> tuple[Array, Array]:
        away = np.hypot(where[:, 0], where[:, 1])
        aside = cuboid_kernel.wrap(np.arctan2(where[:, 1], where[:, 0]) - turn)
        return np.column_stack([aside, where[:, 2] / np.maximum(away, 1e-6)]), away

    (outline, edge), (view, away) = seen(corners), seen(points)
    middle, half = (outline.max(axis=0) + outline.min(axis=0)) / 2, np.ptp(outline, axis=0) / 2
    inner = (np.abs(view - middle) < 0.6 * half).all(axis=1)
    return int(np.count_nonzero(away[inner] > edge.max())), int(np.count_nonzero(away[inner] < edge.min()))
