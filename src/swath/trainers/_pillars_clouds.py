"""Clouds for the pillar detector: where it looks, what it keeps of a scan, shaken for training, seen from above.

LiDAR frame throughout (x forward, y left, z up; metres, radians). Cuboids in here are upright: (n, 7) x, y,
z, l, w, h, yaw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.formats.pcd import read_pcd
from swath.kernels.cuboids import bev_iou

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

DEEPEST = 8  # cells: the grid's sides are multiples of it
_CM = 100.0
_THIN = 10  # cm: points nearer to each other than about this are not all kept
_LOG_COUNT = (np.log1p(np.arange(512)) / 2).astype(np.float32)
_MARGIN = 4.0  # metres beyond the outermost objects' centres


@dataclass(frozen=True)
class Grid:
    """Where the network looks: the rectangle `x`, `y` in cells of `cell` metres, `z` in `layers`.

    `bright`: the intensity that counts as 1.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    z: tuple[float, float]
    cell: float
    layers: int
    bright: float

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along x (rows) and along y (columns)."""
        return round((self.x[1] - self.x[0]) / self.cell), round((self.y[1] - self.y[0]) / self.cell)

    @property
    def channels(self) -> int:
        return self.layers + 4

    @property
    def middle(self) -> tuple[float, float]:
        """Of the rectangle, x and y."""
        return (self.x[0] + self.x[1]) / 2, (self.y[0] + self.y[1]) / 2

    def window(self, side: float) -> Grid:
        """A part of it, at most `side` metres long and wide (rounded up to what fits), about its middle."""
        unit = DEEPEST * self.cell
        ranges = []
        for (low, high), middle in zip((self.x, self.y), self.middle, strict=True):
            half = min(high - low, unit * float(np.ceil(side / unit - 1e-9))) / 2
            ranges.append((middle - half, middle + half))
        return replace(self, x=ranges[0], y=ranges[1])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for the model's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Grid:
        """The inverse of `to_dict`."""
        ranges = {name: (float(stored[name][0]), float(stored[name][1])) for name in ("x", "y", "z")}
        return cls(**{**stored, **ranges})


def choose_grid(
    clouds: Sequence[NDArray[np.float32]], cuboids: Array, *, cell: float, layers: int, reach: float
) -> Grid:
    """The grid that suits labelled objects, upright cuboids (n, 7) of all training scans, and some scans.

    It reaches ahead and aside as far as 99 % of the objects and a margin, `reach` metres at most; and back as
    far as ahead, where more than 2 % of the objects lie behind. Without objects the points decide. With
    objects they don't: a turning LiDAR sees all around, but where its objects were labelled in a camera's
    view only (KITTI), those behind are neither background nor worth the time.
    """
    points = np.concatenate([np.zeros((0, 4), dtype=np.float32), *clouds])
    points = points[np.isfinite(points).all(axis=1)]
    bright = float(np.quantile(points[:, 3], 0.99)) if len(points) else 1.0
    places, low, high = points[:, :2], points[:, 2], points[:, 2]
    if len(cuboids):
        places = cuboids[:, :2]
        low, high = cuboids[:, 2] - cuboids[:, 5] / 2, cuboids[:, 2] + cuboids[:, 5] / 2
    if not len(places):
        places, low, high = np.zeros((1, 2)), np.full(1, -2.0), np.full(1, 2.0)
    unit = DEEPEST * cell

    def cells(far: float, least: float) -> float:
        return unit * float(np.ceil(min(max(far + _MARGIN, least), reach) / unit - 1e-9))

    ahead = cells(float(np.quantile(np.abs(places[:, 0]), 0.99)), least=24.0)
    aside = cells(float(np.quantile(np.abs(places[:, 1]), 0.99)), least=16.0)
    behind = np.mean(places[:, 0] < -2.0) > 0.02
    return Grid(
        (-ahead if behind else 0.0, ahead),
        (-aside, aside),
        (float(np.quantile(low, 0.01)) - 0.3, float(np.quantile(high, 0.99)) + 0.3),
        cell,
        layers,
        bright if bright > 0 else 1.0,
    )


@dataclass(frozen=True, eq=False)
class Sweep:
    """What is kept of a scan: points in and around the grid, centimetres (n, 3) int16, intensity (n,) uint8;
    of several within a tenth of a metre the first.
    """

    place: NDArray[np.int16]
    light: NDArray[np.uint8]

    def points(self) -> NDArray[np.float32]:
        """(n, 4) x, y, z in metres and intensity in 0..1."""
        out = np.empty((len(self.place), 4), dtype=np.float32)
        out[:, :3] = self.place / np.float32(_CM)
        out[:, 3] = self.light / np.float32(255)
        return out


def read_sweep(path: str, grid: Grid) -> Sweep:
    """The scan in a .pcd file; points that are not finite, or far outside the grid, are left out."""
    cloud = read_pcd(Path(path))
    x, y, z = cloud[:, 0], cloud[:, 1], cloud[:, 2]
    with np.errstate(invalid="ignore"):
        near = (x > grid.x[0] - _MARGIN) & (x < grid.x[1] + _MARGIN)
        near &= (y > grid.y[0] - _MARGIN) & (y < grid.y[1] + _MARGIN)
        near &= (z > grid.z[0] - 1.0) & (z < grid.z[1] + 1.0) & np.isfinite(cloud[:, 3])
    cloud = cloud[near]
    place = np.round(cloud[:, :3] * _CM).astype(np.int16)
    cube = (place // _THIN).astype(np.int64) + 2**13
    _, first = np.unique((cube[:, 0] << 28) + (cube[:, 1] << 14) + cube[:, 2], return_index=True)
    light = np.clip(cloud[first, 3] / grid.bright, 0, 1) * 255
    return Sweep(place[first], np.round(light).astype(np.uint8))


def from_above(points: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """(channels, rows, columns) what stands in each cell's pillar, for points (n, 4); 0 where nothing does.

    First the number of points per layer, as log(1 + count) / 2; then of the whole pillar the height of its
    highest point (0..1 of the range), its mean intensity, and where its points lie on average, from the
    cell's middle along x and y (-1..1).
    """
    rows, columns = grid.shape
    count = rows * columns
    u = (points[:, 0] - np.float32(grid.x[0])) / np.float32(grid.cell)
    v = (points[:, 1] - np.float32(grid.y[0])) / np.float32(grid.cell)
    h = (points[:, 2] - np.float32(grid.z[0])) / np.float32(grid.z[1] - grid.z[0])
    inside = (u >= 0) & (u < rows) & (v >= 0) & (v < columns) & (h >= 0) & (h < 1)
    u, v, h, light = u[inside], v[inside], h[inside], points[inside, 3]
    row, column = u.astype(np.int64), v.astype(np.int64)
    cell = row * columns + column
    layer = np.minimum((h * grid.layers).astype(np.int64), grid.layers - 1)
    out = np.zeros((grid.channels, count), dtype=np.float32)
    layers = np.bincount(layer * count + cell, minlength=grid.layers * count).reshape(grid.layers, count)
    out[: grid.layers] = _LOG_COUNT[np.minimum(layers, len(_LOG_COUNT) - 1)]
    total = np.maximum(layers.sum(axis=0), 1)
    np.maximum.at(out[-4], cell, h)
    out[-3] = np.bincount(cell, light, count) / total
    out[-2] = np.bincount(cell, 2 * (u - row) - 1, count) / total
    out[-1] = np.bincount(cell, 2 * (v - column) - 1, count) / total
    return out.reshape(grid.channels, rows, columns)


@dataclass(frozen=True)
class Shake:
    """A scan mirrored left to right or not, turned by `turn` radians about the sensor, scaled, and moved so
    that what was at `at` (x, y in metres) is in a window's middle.
    """

    mirror: bool
    turn: float
    scale: float
    at: tuple[float, float]

    @classmethod
    def drawn(cls, rng: np.random.Generator, grid: Grid, window: Grid) -> Shake:
        """Any part of the grid that fills the window is as likely."""
        mirror, turn, scale = rng.random() < 0.5, rng.uniform(-0.2, 0.2), rng.uniform(0.95, 1.05)
        slack = [
            (whole[1] - whole[0] - part[1] + part[0]) / 2
            for whole, part in ((grid.x, window.x), (grid.y, window.y))
        ]
        at = [
            float(middle + rng.uniform(-room, room)) for middle, room in zip(grid.middle, slack, strict=True)
        ]
        return cls(bool(mirror), float(turn), float(scale), (at[0], at[1]))

    def points(self, points: NDArray[np.float32], window: Grid) -> NDArray[np.float32]:
        """(n, 4) points, moved into the window's frame."""
        turned, moved = self._matrix(window)
        out: NDArray[np.float32] = points.copy()
        out[:, :2] = points[:, :2] @ turned.astype(np.float32).T + moved.astype(np.float32)
        out[:, 2] *= np.float32(self.scale)
        return out

    def cuboids(self, cuboids: Array, window: Grid) -> Array:
        """(n, 7) upright cuboids, moved along."""
        turned, moved = self._matrix(window)
        out: Array = cuboids.copy()
        out[:, :2] = cuboids[:, :2] @ turned.T + moved
        out[:, 2:6] *= self.scale
        out[:, 6] = (-cuboids[:, 6] if self.mirror else cuboids[:, 6]) + self.turn
        return out

    def _matrix(self, window: Grid) -> tuple[Array, Array]:
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        turned = (
            self.scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([1.0, -1.0 if self.mirror else 1.0])
        )
        return turned, np.array(window.middle) - self.at


@dataclass(frozen=True, eq=False)
class Cutout:
    """An object cut out of its scan: upright cuboid (7,), label, and its points."""

    cuboid: Array
    label: int
    sweep: Sweep


def cut_out(sweep: Sweep, cuboids: Array, labels: Labels, least: int = 5) -> list[Cutout]:
    """The objects of a scan, upright cuboids (n, 7), that hold at least so many points."""
    points = sweep.points()
    found = []
    for cuboid, label in zip(cuboids, labels, strict=True):
        mine = _inside(points, cuboid, 0.1)
        if np.count_nonzero(mine) >= least:
            found.append(Cutout(cuboid, int(label), Sweep(sweep.place[mine], sweep.light[mine])))
    return found


def set_in(
    points: NDArray[np.float32], cuboids: Array, labels: Labels, added: Sequence[Cutout]
) -> tuple[NDArray[np.float32], Array, Labels]:
    """A scan, points (p, 4), cuboids (n, 7) and labels (n,), with objects of other scans at the places they had.

    What the scan had in an object's place goes; objects that would overlap one that is there are left out.
    They had that place before the same kind of sensor, so that their points are as many as they should be
    (Yan, Mao and Li 2018, "SECOND"); that they cast no shadow is accepted.
    """
    for one in added:
        wide = one.cuboid.copy()
        wide[3:5] += 0.4
        if (bev_iou(wide[None], cuboids) > 0).any():
            continue
        points = np.concatenate([points[~_inside(points, one.cuboid, 0.2)], one.sweep.points()])
        cuboids = np.concatenate([cuboids, one.cuboid[None]])
        labels = np.append(labels, one.label)
    return points, cuboids, labels


def _inside(points: NDArray[np.float32], cuboid: Array, grown: float) -> NDArray[np.bool_]:
    """(n,) which points lie in an upright cuboid (7,) whose faces are moved outwards by `grown` metres."""
    x, y, z, length, width, height, yaw = (np.float32(value) for value in cuboid)
    dx, dy = points[:, 0] - x, points[:, 1] - y
    inside = np.abs(np.cos(yaw) * dx + np.sin(yaw) * dy) <= length / 2 + grown
    inside &= np.abs(np.cos(yaw) * dy - np.sin(yaw) * dx) <= width / 2 + grown
    inside &= np.abs(points[:, 2] - z) <= height / 2 + grown
    return inside  # type: ignore[no-any-return]
