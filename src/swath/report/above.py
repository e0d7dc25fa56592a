"""Clouds seen from above: a small picture of the points, and where cuboids lie on it. Forward is up, left is left."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from swath.errors import FormatError
from swath.formats.pcd import read_pcd
from swath.kernels import cuboids
from swath.report.charts import ticks
from swath.report.pictures import Picture

Floats = npt.NDArray[np.float64]
SIDE: Final = 330  # pixels of a picture
LEAST, MOST, MARGIN = 30.0, 160.0, 4.0  # metres: of the square that is shown, and around its cuboids
PAPER, DARKEST = 250, 95  # grey values: no point, and many


@dataclass(frozen=True)
class Ground:
    """The square of the ground that a picture shows: `x` (forward) and `y` (left) of its middle, and its `span`, metres; `side`
    of the picture, pixels."""

    x: float
    y: float
    span: float
    side: int = SIDE

    @property
    def width(self) -> int:
        return self.side

    @property
    def height(self) -> int:
        return self.side

    def pixels(self, points: Floats) -> Floats:
        """(..., 2) pixels of (..., 2) or more x, y in metres."""
        scale = self.side / self.span
        across = (self.y - points[..., 1]) * scale + self.side / 2
        down = (self.x - points[..., 0]) * scale + self.side / 2
        return np.stack([across, down], axis=-1)

    def outlines(self, shapes: Floats) -> Floats:
        """Footprints (n, 4, 2) of cuboids (n, 9); first and last point are the ends of the front."""
        return self.pixels(cuboids.corners(shapes)[:, :4, :2])

    @property
    def sensor(self) -> tuple[float, float]:
        """Where the sensor is, pixels."""
        x, y = self.pixels(np.zeros(2))
        return round(float(x), 1), round(float(y), 1)

    @property
    def rings(self) -> tuple[tuple[float, str], ...]:
        """Distances from the sensor that are marked: (pixels, metres)."""
        far = float(np.hypot(abs(self.x) + self.span / 2, abs(self.y) + self.span / 2))
        return tuple(
            (round(one * self.side / self.span, 1), f"{one:g} m") for one in ticks(0, far, 5) if one > 0
        )


def ground(shapes: Floats) -> Ground:
    """The square that holds the sensor and these cuboids (n, 9), as far as `MOST` goes."""
    corners = cuboids.corners(shapes)[:, :4, :2].reshape(-1, 2)
    points = np.concatenate([np.zeros((1, 2)), corners])
    low, high = points.min(axis=0) - MARGIN, points.max(axis=0) + MARGIN
    x, y = ((low + high) / 2).tolist()
    return Ground(x, y, float(np.clip((high - low).max(), LEAST, MOST)))


def picture(path: str, on: Ground) -> Picture:
    """The points of the cloud at `path`: darker where there are more."""
    if not path:
        return Picture(None, on.width, on.height, "the scene has no cloud")
    try:
        cloud = read_pcd(Path(path))[:, :2].astype(np.float64)
    except FormatError:
        why = "the cloud cannot be read" if Path(path).exists() else "the cloud file is missing"
        return Picture(None, on.width, on.height, why)
    at = on.pixels(cloud[np.isfinite(cloud).all(axis=1)])
    across, down = np.floor(at[((at >= 0) & (at < on.side)).all(axis=1)]).astype(np.int64).T
    count = np.bincount(down * on.side + across, minlength=on.side**2).reshape(on.side, on.side)
    dark = np.minimum(np.log1p(count) / np.log(12.0), 1.0)
    levels = np.round(dark * 7)  # few greys, a small file
    grey = np.where(count > 0, PAPER - 40 - (PAPER - 40 - DARKEST) * levels / 7, PAPER)
    return Picture(png(grey.astype(np.uint8)), on.width, on.height)


def png(grey: npt.NDArray[Any]) -> str:
    """(h, w) uint8 as a data URI."""
    out = io.BytesIO()
    Image.fromarray(grey).quantize(16).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
