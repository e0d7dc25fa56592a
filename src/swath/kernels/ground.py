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
        around = (low[:, 0] - place[0]) ** 2 + (low[:, 1] - place[1]) ** 2 < 16
        if np.count_nonzero(around) >= 10:
            height[at] = level + np.quantile(above[around], 0.25)
        elif math.hypot(*place) <= 40:
            height[at] = level
    return height


def _plane(points: Array) -> Array | None:
    """(a, b, c) of z = a x + b y + c, or None."""
    points = points[points[:, 0] ** 2 + points[:, 1] ** 2 < 3600]
    if not len(points):
        return None
    lowest = _lowest(points)
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


def _lowest(points: Array) -> Array:
    """The lowest point of each 4 m cell that has five: a single low point is an echo, not a road. Points lie within 60 m."""
    x, y = (np.floor(points[:, :2] / 4) + 16).T
    cell = (32 * x + y).astype(np.int16)  # 16 bits: sorted by counting
    order = np.argsort(cell, kind="stable")
    cell, height = cell[order], points[order, 2]
    first = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
    count = np.diff(np.r_[first, len(cell)])
    is_least = np.flatnonzero(height == np.repeat(np.minimum.reduceat(height, first), count))
    owner = np.searchsorted(first, is_least, side="right") - 1
    of_each = is_least[np.unique(owner, return_index=True)[1]]
    return np.asarray(points[order[of_each[count >= 5]]])


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
