"""Building blocks of the made world: boxes, tapered boxes, ellipsoids and cylinders, and shapes made of them.

Own frame: x forward, y left, z up, metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from swath.worlds.cast import Array, Part

Colour = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Shape:
    """Parts, and the size of the box that they fill: length (x), width (y), height (z) in metres."""

    parts: tuple[Part, ...]
    length: float
    width: float
    height: float


def tapered(
    foot: Sequence[float], top: Sequence[float], z: tuple[float, float], *colours: Colour, **more: float
) -> Part:
    """A box whose foot and top are rectangles `x0, x1, y0, y1` of their own. Six colours: back, front, right,
    left, bottom, top.
    """
    (a0, a1, b0, b1), (c0, c1, d0, d1), (z0, z1) = foot, top, z
    points = np.array(
        [(x, y, z0) for x in (a0, a1) for y in (b0, b1)] + [(x, y, z1) for x in (c0, c1) for y in (d0, d1)]
    )
    rise = z1 - z0
    normals = np.array(
        [
            (-rise, 0, c0 - a0),
            (rise, 0, a1 - c1),
            (0, -rise, d0 - b0),
            (0, rise, b1 - d1),
            (0, 0, -1),
            (0, 0, 1),
        ]
    )
    normals /= np.sqrt((normals**2).sum(axis=1))[:, None]
    on = points[[0, 2, 0, 1, 0, 4]]
    planes = np.column_stack([normals, (normals * on).sum(axis=1)])
    return Part("planes", points, _bounds(points), np.array(colours), planes, **more)  # type: ignore[arg-type]


def box(
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], *colours: Colour, **more: float
) -> Part:
    """An upright box from least to greatest coordinates."""
    return tapered((*x, *y), (*x, *y), z, *colours, **more)


def ball(middle: Sequence[float], half: Sequence[float], colour: Colour) -> Part:
    """An ellipsoid along the axes."""
    bounds = np.array([np.subtract(middle, half), np.add(middle, half)])
    polar = [
        (p, a) for p in np.linspace(0, math.pi, 7) for a in np.linspace(0, 2 * math.pi, 12, endpoint=False)
    ]
    unit = np.array([(math.sin(p) * math.cos(a), math.sin(p) * math.sin(a), math.cos(p)) for p, a in polar])
    return Part("ellipsoid", unit * half + np.asarray(middle), bounds, np.array([colour]))


def cylinder(
    middle: Sequence[float], half: Sequence[float], axis: int, *colours: Colour, hollow: float = 0.0
) -> Part:
    """A cylinder along an axis (0 x, 1 y, 2 z). Two colours: side, ends."""
    bounds = np.array([np.subtract(middle, half), np.add(middle, half)])
    turn = np.linspace(0, 2 * math.pi, 16, endpoint=False)
    unit = np.zeros((32, 3))
    round_axes = [k for k in range(3) if k != axis]
    unit[:, round_axes[0]], unit[:, round_axes[1]] = np.tile(np.cos(turn), 2), np.tile(np.sin(turn), 2)
    unit[:, axis] = np.repeat((-1.0, 1.0), 16)
    points = unit * half + np.asarray(middle)
    return Part("cylinder", points, bounds, np.array(colours), axis=axis, hollow=hollow)


def assemble(*parts: Part) -> Shape:
    """Shift parts so that the middle of their common foot is the origin."""
    low = np.min([part.bounds[0] for part in parts], axis=0)
    high = np.max([part.bounds[1] for part in parts], axis=0)
    shift = -np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    length, width, height = (float(size) for size in high - low)
    return Shape(tuple(_moved(part, shift) for part in parts), length, width, height)


def _bounds(points: Array) -> Array:
    return np.array([points.min(axis=0), points.max(axis=0)])


def _moved(part: Part, shift: Array) -> Part:
    planes = None
    if part.planes is not None:
        planes = part.planes.copy()
        planes[:, 3] += (planes[:, :3] * shift).sum(axis=1)
    return replace(part, points=part.points + shift, bounds=part.bounds + shift, planes=planes)
