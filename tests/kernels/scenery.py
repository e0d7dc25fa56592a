"""Made scenes for the kernels that look at many: cuboids on a road, and a camera at the sensor that looks along x."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from swath.kernels.sizes import KITTI

WIDTH, HEIGHT, FOCAL = 1240, 376, 720.0
GROUND = -1.73
Project = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def camera(yaw: float = 0.0, right: float = 0.0, focal: float = FOCAL) -> Project:
    """A camera that is turned to the left by `yaw` degrees, and stands `right` metres to the right."""
    cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))

    def project(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y = points[:, 1] + right
        depth, left = cos * points[:, 0] + sin * y, cos * y - sin * points[:, 0]
        ahead = np.where(depth > 0, depth, np.nan)
        return np.c_[WIDTH / 2 - focal * left / ahead, HEIGHT / 2 - focal * points[:, 2] / ahead], depth

    return project


def from_cloud() -> np.ndarray:
    """(4, 4) of that camera: x right, y down, z forward."""
    return np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def cuboids(seed: int) -> tuple[np.ndarray, list[str]]:
    """Three things side by side, none before another, (3, 9)."""
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.choice(["Car", "Van", "Pedestrian"], 3)]
    table = np.zeros((3, 9))
    for row, (name, side) in enumerate(zip(names, (-0.45, 0.0, 0.45), strict=True)):
        size = np.array(KITTI[name].mean) * np.exp(rng.normal(size=3) * 0.04)
        x = rng.uniform(12, 28)
        table[row] = [x, x * side, GROUND + size[2] / 2, *size, 0, 0, rng.uniform(-0.3, 0.3)]
    return table, names
