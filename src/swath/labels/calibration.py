"""Where a point of the cloud lands in an image: pinhole cameras, by name, in a scene's calibration.

A scene's stored calibration is one of

    {"p2": 3x4, "p3": 3x4, "r0": 3x3, "velo_to_cam": 3x4}                         KITTI's, cameras P2 and P3; also under
                                                                                  its own names P2, P3, R0_rect,
                                                                                  Tr_velo_to_cam
    {"cameras": {NAME: {"projection": 3x4, "from_cloud": 4x4}, ...}}              any number of cameras
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import FormatError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera: `projection` (3, 4), its frame (metres, x right, y down, z forward) -> pixels; `from_cloud` (4, 4),
    LiDAR frame (x forward, y left, z up) -> camera frame. FormatError for other shapes or what is not finite."""

    projection: Floats
    from_cloud: Floats

    def __post_init__(self) -> None:
        for name, shape in (("projection", (3, 4)), ("from_cloud", (4, 4))):
            value = np.asarray(getattr(self, name))
            if value.shape != shape or not np.isfinite(value).all():
                raise FormatError(
                    f"calibration: expected {name} as {shape[0]} x {shape[1]} finite numbers, got shape {value.shape}"
                )

    def project(self, points: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Pixels (n, 2) and depth (n,), metres before the camera, of points (n, 3) of the LiDAR frame;
        pixels are NaN behind the camera, and not clipped to the image."""
        given = np.asarray(points, float).reshape(-1, 3)
        inside = np.column_stack([given, np.ones(len(given))]) @ self.from_cloud.T
        seen = inside @ self.projection.T
        depth = seen[:, 2]
        return seen[:, :2] / np.where(depth > 0, depth, np.nan)[:, None], depth

    def to_dict(self) -> dict[str, list[list[float]]]:
        """As a scene's calibration stores it."""
        return {"projection": self.projection.tolist(), "from_cloud": self.from_cloud.tolist()}


def camera(stored: Mapping[str, Any] | None, name: str) -> Camera | None:
    """The camera `name` of a scene's stored calibration; None where it has none of that name."""
    if not stored:
        return None
    try:
        if "cameras" in stored:
            one = stored["cameras"].get(name)
            if one is None:
                return None
            return Camera(np.array(one["projection"], float), np.array(one["from_cloud"], float))
        matrix = stored.get({"P2": "p2", "P3": "p3"}.get(name, name), stored.get(name))
        if matrix is None:
            return None
        r0 = np.array(_either(stored, "r0", "R0_rect"), float)
        to_camera = np.array(_either(stored, "velo_to_cam", "Tr_velo_to_cam"), float)
        whole = np.eye(4)
        whole[:3] = r0 @ to_camera
        return Camera(np.array(matrix, float), whole)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"calibration: camera {name!r} cannot be read: {error}") from None


def _either(stored: Mapping[str, Any], one: str, two: str) -> Any:
    return stored[one] if one in stored else stored[two]
