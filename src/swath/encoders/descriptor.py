"""The built-in encoder: hand-made features of image and cloud. No weights, no downloads, a few milliseconds
a scene.

It knows layout, light, colour, texture and where the sweep hits something; it knows no objects. What that is
good for, and what not, is measured in docs/methods/descriptor.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swath.encoders.base import Encoded, Progress, Sensor, gather, path_of
from swath.encoders.images import read_image
from swath.errors import ConfigError, FormatError

Vector = npt.NDArray[np.float64]

WIDTH, HEIGHT = 192, 64  # the image is worked on at this size, px
THUMB = (4, 12)  # rows, columns of the thumbnail
CELL = 16  # px, of a cell of the gradient histograms
ORIENTATIONS = 6
LEVELS = 3  # per colour channel, in the colour histograms

RANGES = np.array([0, 6, 12, 18, 26, 36, 50, 80.0])  # m
# Twelve sectors of 7.5 degrees where the camera looks, then six of 45 degrees around the rest.
AZIMUTHS = np.r_[np.arange(-45, 45, 7.5), np.arange(45, 316, 45)]  # degrees, to the left of straight ahead
HEIGHTS = np.array([-0.5, 0.2, 0.5, 0.8, 1.2, 1.6, 2.0, 2.5, 3.5, 5.0, 8.0])  # m above the ground
HEIGHT_RANGES = np.array([0, 12, 26, 50, 80.0])  # m

# The same bins as tables: by whole metres, 7.5 degrees from AZIMUTHS[0] on, and 0.1 m from HEIGHTS[0] on.
_RING = np.digitize(np.arange(80) + 0.5, RANGES) - 1
_BAND = np.digitize(np.arange(80) + 0.5, HEIGHT_RANGES) - 1
_SECTOR = np.digitize(AZIMUTHS[0] + 7.5 * np.arange(48) + 1, AZIMUTHS) - 1
_LEVEL = np.digitize(HEIGHTS[0] + 0.1 * np.arange(85) + 0.05, HEIGHTS) - 1

IMAGE_DIM = 3 * THUMB[0] * THUMB[1] + ORIENTATIONS * (HEIGHT // CELL) * (WIDTH // CELL) + 2 * LEVELS**3
# What stands ahead, by how long and how high it is, m: people, cars, lorries and houses fall into different bins.
LENGTHS = np.array([0, 0.7, 1.1, 1.7, 2.6, 3.6, 5.2, 8, 14, np.inf])
TOPS = np.array([0.3, 0.9, 1.25, 1.5, 1.7, 1.95, 2.4, 3.0, 4.0, np.inf])
AHEAD, GRID, FEWEST = 50.0, 0.4, 6  # m ahead that are looked at; m, of a grid cell; points of a shape

CLOUD_DIM = 2 * (len(RANGES) - 1) * (len(AZIMUTHS) - 1) + (len(HEIGHT_RANGES) - 1) * (len(HEIGHTS) - 1)
CLOUD_DIM += (len(LENGTHS) - 1) * (len(TOPS) - 1)


class Descriptor:
    """`slices`: the sensors that are read. `weight`: the image's share of a fused vector's squared length, 0
    .. 1."""

    def __init__(self, slices: Sequence[Sensor] = ("image", "cloud"), weight: float = 0.5) -> None:
        if not 0 < weight < 1:
            raise ConfigError(
                f"weight of the image in the descriptor: expected between 0 and 1, got {weight}"
            )
        self.slices: tuple[Sensor, ...] = tuple(slices)
        self.name = "descriptor" if len(self.slices) > 1 else f"descriptor:{self.slices[0]}"
        self.version = f"2 weight {weight:g}" if len(self.slices) > 1 else "2"
        self._scale = {"image": weight**0.5, "cloud": (1 - weight) ** 0.5}

    @property
    def dim(self) -> int:
        return sum({"image": IMAGE_DIM, "cloud": CLOUD_DIM}[sensor] for sensor in self.slices)

    def encode(
        self, paths: Sequence[Mapping[str, str]], *, workers: int = 1, progress: Progress | None = None
    ) -> Encoded:
        return gather(paths, self._one, self.dim, workers, progress)

    def _one(self, scene: Mapping[str, str]) -> npt.NDArray[np.float32]:
        parts = []
        for sensor in self.slices:
            path = path_of(scene, sensor)
            if sensor == "image":
                vector = image_descriptor(read_image(path, WIDTH, HEIGHT))
            else:
                vector = cloud_descriptor(read_points(path))
            parts.append(vector * (self._scale[sensor] if len(self.slices) > 1 else 1.0))
        return np.concatenate(parts).astype(np.float32)


def image_descriptor(image: npt.NDArray[np.float32]) -> Vector:
    """(IMAGE_DIM,) of unit length, from a (64, 192, 3) RGB image in 0 .. 1: layout, gradients, colours."""
    pixels = np.asarray(image, float)
    rows, columns = THUMB
    thumb = pixels.reshape(rows, HEIGHT // rows, columns, WIDTH // columns, 3).mean(axis=(1, 3)) - 0.5
    colours = [_colours(half) for half in (pixels[: HEIGHT // 2], pixels[HEIGHT // 2 :])]
    return _unit(
        np.concatenate(
            [
                _block(thumb.ravel(), 1.0, floor=1.0),
                _block(_gradients(pixels.mean(axis=2)), 1.0, floor=0.1),
                _block(np.concatenate(colours), 0.7, floor=0.1),
            ]
        )
    )


def _gradients(grey: Vector) -> Vector:
    """Histograms of gradient orientation (unsigned), weighted by strength, per cell; less their mean."""
    down, right = np.gradient(grey)
    strength = np.hypot(right, down)
    angle = np.arctan2(down, right) % np.pi
    bin_ = np.minimum((angle / np.pi * ORIENTATIONS).astype(np.int64), ORIENTATIONS - 1)
    row, column = np.indices(grey.shape) // CELL
    cells = row * (WIDTH // CELL) + column
    size = (HEIGHT // CELL) * (WIDTH // CELL) * ORIENTATIONS
    table = np.bincount((cells * ORIENTATIONS + bin_).ravel(), strength.ravel(), size)
    table = np.sqrt(table / CELL**2)
    return np.asarray(table - table.mean())


def _colours(pixels: Vector) -> Vector:
    """Joint histogram of the colours, square root of the shares (so that a dot product is Hellinger's),
    centred."""
    level = np.minimum((pixels * LEVELS).astype(np.int64), LEVELS - 1)
    code = (level[..., 0] * LEVELS + level[..., 1]) * LEVELS + level[..., 2]
    share = np.bincount(code.ravel(), minlength=LEVELS**3) / code.size
    return np.asarray(np.sqrt(share) - LEVELS**-1.5)


def cloud_descriptor(points: Vector) -> Vector:
    """(CLOUD_DIM,) of unit length, from points (p, 3) in metres, LiDAR frame.

    Where the sweep hits what stands on the ground, how high that is, and what shapes stand ahead.
    """
    away = np.hypot(points[:, 0], points[:, 1])
    near = away < RANGES[-1]
    points, away = points[near], away[near]
    close = points[away < 20, 2]
    ground = np.quantile(close if len(close) else points[:, 2], 0.1) if len(points) else 0.0
    height = points[:, 2] - ground

    # Ground returns say little: what stands on it makes the picture.
    stands = (height > 0.3) & (height < 8)
    azimuth = np.degrees(np.arctan2(points[stands, 1], points[stands, 0])) - AZIMUTHS[0]
    sectors, size = len(AZIMUTHS) - 1, (len(RANGES) - 1) * (len(AZIMUTHS) - 1)
    cell = (
        _RING[away[stands].astype(np.int64)] * sectors + _SECTOR[(azimuth % 360 / 7.5).astype(np.int64) % 48]
    )
    hits = np.log1p(np.bincount(cell, minlength=size)) / np.log1p(1000)
    top = np.zeros(size)
    np.maximum.at(top, cell, height[stands] / 4)

    inside = (height >= HEIGHTS[0]) & (height < HEIGHTS[-1])
    level = _LEVEL[np.minimum(((height[inside] - HEIGHTS[0]) * 10).astype(np.int64), len(_LEVEL) - 1)]
    levels = len(HEIGHTS) - 1
    band = _BAND[away[inside].astype(np.int64)]
    count = np.bincount(band * levels + level, minlength=(len(HEIGHT_RANGES) - 1) * levels)
    profile = np.sqrt(count / max(len(points), 1))
    blocks = [(hits, 1.0, 1.0), (top, 0.7, 1.0), (profile, 0.7, 0.1), (_shapes(points, height), 1.7, 1.0)]
    return _unit(np.concatenate([_block(b - b.mean(), weight, floor) for b, weight, floor in blocks]))


def _shapes(points: Vector, height: Vector) -> Vector:
    """How many things of which length and height stand on the ground ahead: a smoothed histogram, square
    root.

    Points above the ground are joined where their cells of the grid touch; what hangs in the air is left out.
    """
    from scipy.ndimage import gaussian_filter, label

    x, y = points[:, 0], points[:, 1]
    ahead = (height > 0.3) & (height < 8) & (x > 2) & (x < AHEAD) & (np.abs(y) < x + 3)
    x, y, height = x[ahead], y[ahead], height[ahead]
    row, column = (x / GRID).astype(np.int64), ((y + AHEAD + 3) / GRID).astype(np.int64)
    grid = np.zeros((int(AHEAD / GRID) + 1, int(2 * (AHEAD + 3) / GRID) + 1), bool)
    grid[row, column] = True
    named, count = label(grid, np.ones((3, 3)))
    of = named[row, column] - 1
    hits = np.maximum(np.bincount(of, minlength=count), 1)

    def mean(values: Vector) -> Vector:
        return np.asarray(np.bincount(of, values, count) / hits)

    dx, dy = x - mean(x)[of], y - mean(y)[of]
    half, cross = (mean(dx * dx) - mean(dy * dy)) / 2, mean(dx * dy)
    spread = (mean(dx * dx) + mean(dy * dy)) / 2 + np.hypot(half, cross)
    length = np.sqrt(12 * np.maximum(spread, 0))  # of a bar with this variance
    low, top = np.full(count, np.inf), np.zeros(count)
    np.minimum.at(low, of, height)
    np.maximum.at(top, of, height)
    stands = (hits >= FEWEST) & (low < 0.8)
    table = np.histogram2d(length[stands], top[stands], (LENGTHS, TOPS))[0]
    return np.asarray(np.sqrt(gaussian_filter(table, 0.6)).ravel())


def read_points(path: str) -> Vector:
    """The finite points (p, 3) of a KITTI .bin or a .pcd file. FormatError where there are none, or it is
    damaged."""
    from swath.formats.kitti import read_cloud, read_pcd

    ending = Path(path).suffix.lower()
    if ending == ".bin":
        cloud = read_cloud(Path(path))[0]
    elif ending == ".pcd":
        cloud = read_pcd(Path(path))
    else:
        raise FormatError(
            f"{path}: expected a point cloud in .bin (KITTI) or .pcd, got {ending or 'no ending'}"
        )
    points: Vector = np.asarray(cloud[:, :3], float)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        raise FormatError(f"{path}: no finite point in it")
    return points


def _block(values: Vector, weight: float, floor: float) -> Vector:
    """`values` brought to length `weight`; shorter than `floor` they stay short, so that noise isn't blown
    up."""
    return np.asarray(values * (weight / max(float(np.sqrt((values * values).sum())), floor)))


def _unit(values: Vector) -> Vector:
    length = float(np.sqrt((values * values).sum()))
    return values / length if length > 0 else values
