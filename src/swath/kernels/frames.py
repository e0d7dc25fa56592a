"""Are the cuboids of a scene in the LiDAR's frame, or in the camera's? Whoever mixes them up mixes up a whole scene.

    LiDAR     x forward, y left, z up
    camera    x right, y down, z forward

Only where cuboids are, and how high, is looked at: how a yaw was meant in a wrong frame nobody can know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.kernels import boxes as box_kernel
from swath.kernels.sight import Project

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

FITS_AS_IT_IS: Final = 0.2  # share of the cuboids, above which their frame is not doubted
FITS_OTHERWISE: Final = 0.6  # share that another frame must explain
ON_THE_GROUND: Final = 1.0  # m
AXES: Final = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
"""LiDAR frame to camera frame where no calibration says better."""


@dataclass(frozen=True, eq=False)
class View:
    """What one image says: its boxes (m, 4) px with their classes, and how the cloud is projected to it."""

    boxes: Array
    names: Sequence[str]
    project: Project


def frames(cuboids: ArrayLike, from_cloud: ArrayLike | None = None) -> Iterator[tuple[str, Array]]:
    """(in which frame they seem to be, where they are then (n, 9)) for every way to mix up frames. `from_cloud` (4, 4): LiDAR to
    camera, metres. KITTI's label files have the middle of an object's bottom where its centre is expected."""
    table = np.asarray(cuboids, float).reshape(-1, 9)
    to_camera = AXES if from_cloud is None else np.asarray(from_cloud, float)
    to_cloud = np.linalg.inv(to_camera)
    half = np.zeros((len(table), 3))
    half[:, 1] = table[:, 5] / 2
    in_camera = "in the camera's frame (x right, y down, z forward) instead of the LiDAR's"
    in_cloud = "LiDAR coordinates that were read as the camera's"
    for name, turn, before, after in (
        (in_camera, to_cloud, -half, 0 * half),
        (in_camera, to_cloud, 0 * half, 0 * half),
        (in_cloud, to_camera, 0 * half, half),
        (in_cloud, to_camera, 0 * half, 0 * half),
    ):
        moved = table.copy()
        moved[:, :3] = (table[:, :3] + before) @ turn[:3, :3].T + turn[:3, 3] + after
        yield name, moved


def wrong_frame(
    cuboids: ArrayLike,
    names: Sequence[str],
    views: Sequence[View],
    ground: Callable[[Array], Array] | None = None,
    from_cloud: ArrayLike | None = None,
) -> str | None:
    """In which frame the cuboids (n, 9) of a scene are, in words with the evidence; None where that is the LiDAR's, or nobody can
    say. `ground`: places (m, 2) to heights (m,), NaN where unknown.

    They are doubted where hardly any of them is where a box is (with no boxes: stands on the ground), and most are once they
    are moved from another frame. Without boxes at least two are needed.
    """
    table = np.asarray(cuboids, float).reshape(-1, 9)
    good = np.isfinite(table).all(axis=1) & (table[:, 3:6] > 0).all(axis=1)
    table, of = table[good], [name for name, one in zip(names, good, strict=True) if one]
    by_image = any(len(view.boxes) for view in views)
    if len(table) < (1 if by_image else 2) or (not by_image and ground is None):
        return None

    def fitting(where: Array) -> float:
        if by_image:
            return float(np.any([_in_a_box(where, of, view) for view in views], axis=0).mean())
        assert ground is not None
        return float(np.mean(np.abs(where[:, 2] - where[:, 5] / 2 - ground(where[:, :2])) < ON_THE_GROUND))

    now = fitting(table)
    if now > FITS_AS_IT_IS:
        return None
    best, name = max(
        ((fitting(moved), name) for name, moved in frames(table, from_cloud)), key=lambda one: one[0]
    )
    if best < FITS_OTHERWISE:
        return None
    what = "are where a box is" if by_image else "stand on the ground"
    n = len(table)
    return f"{name}: as they are, {round(now * n)} of {n} cuboids {what}; moved, {round(best * n)} are"


def _in_a_box(cuboids: Array, names: Sequence[str], view: View) -> Bools:
    """(n,) whether a box of its class is where the upright middle of a cuboid projects to, and about as high."""
    boxes = box_kernel.as_boxes(view.boxes)
    if not len(boxes):
        return np.zeros(len(cuboids), bool)
    up = np.zeros((len(cuboids), 3))
    up[:, 2] = cuboids[:, 5] / 2
    top, foot = view.project(cuboids[:, :3] + up)[0], view.project(cuboids[:, :3] - up)[0]
    middle, high = (top + foot) / 2, np.abs(foot[:, 1] - top[:, 1])
    at, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    same = np.array([[one == two for two in view.names] for one in names], bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        near = (np.abs(middle[:, None] - at[None]) < 0.35 * size[None]).all(axis=2)
        alike = np.abs(np.log(high[:, None] / size[None, :, 1])) < 0.4
    return np.asarray((same & near & alike).any(axis=1))
