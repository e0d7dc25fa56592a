"""Casting rays at solids: the arithmetic behind the made cameras and the made LiDAR.

Everything is in the camera frame of one scene (rectified camera 0: x right, y down, z forward, metres). A
solid stands upright: its own frame (x forward, y left, z up, the origin in the middle of its foot) is turned
about the vertical only. A grid of rays, (H, W), shares one origin; `cast` finds for each the nearest surface.
No BLAS is used, so that the same world has the same bytes whatever the thread count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Block = tuple[Any, Any]  # what selects some rows and some columns of a grid

NEAR = 0.05  # metres; nothing closer is seen


@dataclass(frozen=True, eq=False)
class Part:
    """One convex piece of a solid, in the solid's own frame.

    `points` (P, 3) lie on its hull; `bounds` (2, 3) are its least and greatest coordinates. Convex pieces
    have `planes` (F, 4), outward normal and distance; ellipsoids and cylinders fill their bounds, cylinders
    along `axis`. The ends of a cylinder are open within `hollow` (a share of its radius). `colours` is (F,
    3), one per face, or (1, 3).
    """

    kind: Literal["planes", "ellipsoid", "cylinder"]
    points: Array
    bounds: Array
    colours: Array
    planes: Array | None = None
    axis: int = 2
    hollow: float = 0.0
    reflectance: float = 0.3
    glow: float = 0.0
    texture: Literal["plain", "windows", "leaves"] = "plain"


@dataclass(frozen=True, eq=False)
class Solid:
    """Parts at a place: `place` (3,) is the middle of the foot, `rotation_y` the heading in the camera frame
    (KITTI's).
    """

    parts: tuple[Part, ...]
    place: Array
    rotation_y: float

    def axes(self) -> Array:
        """(3, 3): the solid's own x, y, z axes as columns, in the camera frame."""
        cos, sin = math.cos(self.rotation_y), math.sin(self.rotation_y)
        return np.array([[cos, sin, 0.0], [0.0, 0.0, -1.0], [-sin, cos, 0.0]])

    def to_camera(self, points: Array) -> Array:
        """Points, (N, 3) in the solid's frame, in the camera frame."""
        axes = self.axes()
        return np.asarray((points[:, None, :] * axes).sum(axis=2) + self.place)


class Rays(Protocol):
    """A grid of rays: one `origin` (3,), and `directions`, three (H, W) arrays x, y, z."""

    origin: Array
    directions: tuple[Array, Array, Array]

    def block(self, corners: Array) -> Block | None:
        """The rows and columns that can meet the box with these corners (8, 3); None where none can."""
        ...


class CameraRays:
    """The pixels of a pinhole camera, (height, width); distances along them are depths (z)."""

    def __init__(
        self, origin: Array, focal: float, centre: tuple[float, float], size: tuple[int, int]
    ) -> None:
        self.origin, self.focal, self.centre, (self.width, self.height) = origin, focal, centre, size
        x = (np.arange(self.width) - centre[0]) / focal
        y = (np.arange(self.height) - centre[1]) / focal
        shape = (self.height, self.width)
        self.directions = np.broadcast_to(x, shape), np.broadcast_to(y[:, None], shape), np.ones(shape)

    def block(self, corners: Array) -> Block | None:
        seen = clip_to_front(corners - self.origin)
        if len(seen) == 0:
            return None
        u = seen[:, 0] / seen[:, 2] * self.focal + self.centre[0]
        v = seen[:, 1] / seen[:, 2] * self.focal + self.centre[1]
        left, right = max(0, math.floor(u.min())), min(self.width, math.ceil(u.max()) + 1)
        top, bottom = max(0, math.floor(v.min())), min(self.height, math.ceil(v.max()) + 1)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


class LidarRays:
    """A turning LiDAR: one row per beam (`elevations`, descending, radians), one column per azimuth step.

    `rotation` (3, 3) takes LiDAR directions to the camera frame; it is upright but for a tilt of at most 0.02
    radians.
    """

    _SLACK = 0.03  # radians: the tilt, and half as much again

    def __init__(self, origin: Array, rotation: Array, elevations: Array, steps: int) -> None:
        self.origin, self.elevations, self.steps = origin, elevations, steps
        self.azimuths = np.linspace(math.pi, -math.pi, steps, endpoint=False)
        e, a = elevations[:, None], self.azimuths[None, :]
        self.beams = (
            np.cos(e) * np.cos(a),
            np.cos(e) * np.sin(a),
            np.broadcast_to(np.sin(e), (len(elevations), steps)),
        )
        x, y, z = (sum(rotation[i, j] * self.beams[j] for j in range(3)) for i in range(3))
        self.directions = x, y, z

    def block(self, corners: Array) -> Block | None:
        x, y, z = (corners - self.origin).T
        forward, left, up = z, -x, -y
        nearest = _distance_to_rectangle(forward[:4], left[:4])
        if nearest < 0.5:
            return slice(None), slice(None)
        farthest = float(np.hypot(forward, left).max())
        top, bottom = float(up.max()), float(up.min())
        highest = math.atan2(top, nearest if top > 0 else farthest) + self._SLACK
        lowest = math.atan2(bottom, nearest if bottom < 0 else farthest) - self._SLACK
        rows = np.flatnonzero((self.elevations >= lowest) & (self.elevations <= highest))
        middle = math.atan2(left.mean(), forward.mean())
        reach = np.abs(_wrap(np.arctan2(left, forward) - middle)).max() + self._SLACK
        columns = np.flatnonzero(np.abs(_wrap(self.azimuths - middle)) <= reach)
        return tuple(np.ix_(rows, columns)) if len(rows) and len(columns) else None  # type: ignore[return-value]


@dataclass(eq=False)
class Hits:
    """What each ray of a grid meets first; `solid` is the position in the list of solids, -1 for none, all
    (H, W).
    """

    distance: Array  # in lengths of the ray's direction; inf where nothing is met
    solid: NDArray[np.int32]
    albedo: Array  # (H, W, 3), 0..1
    normal: Array  # (H, W, 3), camera frame
    reflectance: Array
    glow: Array

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Hits:
        flat, colour = np.zeros(shape), np.zeros((*shape, 3))
        return cls(
            np.full(shape, np.inf), np.full(shape, -1, np.int32), colour, colour.copy(), flat, flat.copy()
        )


def cast(rays: Rays, solids: list[Solid], hits: Hits, noise: Array, count: int = 0) -> NDArray[np.int64]:
    """Enter every solid into `hits`. Returns how many rays each of the first `count` would meet if it were
    alone, (count,).

    `noise` is a square tile of values in 0..1 that textures are drawn from.
    """
    alone = np.zeros(count, dtype=np.int64)
    for number, solid in enumerate(solids):
        own = np.zeros(hits.distance.shape, dtype=bool) if number < count else None
        axes = solid.axes()
        start = tuple(float((axes[:, k] * (rays.origin - solid.place)).sum()) for k in range(3))
        for part in solid.parts:
            block = rays.block(solid.to_camera(box_corners(part.bounds)))
            if block is None:
                continue
            x, y, z = (direction[block] for direction in rays.directions)
            local = tuple(axes[0, k] * x + axes[1, k] * y + axes[2, k] * z for k in range(3))
            distance, face = _meet(part, start, local)
            if own is not None:
                own[block] |= np.isfinite(distance)
            _enter(hits, block, number, part, axes, start, local, distance, face, noise)
        if own is not None:
            alone[number] = own.sum()
    return alone


def _enter(
    hits: Hits, block: Block, number: int, part: Part, axes: Array, start: tuple[float, ...],
    local: tuple[Array, ...], distance: Array, face: NDArray[np.int8], noise: Array,
) -> None:  # fmt: skip
    """Enter one part where it is nearer than what is there."""
    nearer = distance < hits.distance[block]
    if not nearer.any():
        return
    for buffer, values in (
        (hits.distance, distance),
        (hits.solid, number),
        (hits.reflectance, part.reflectance),
    ):
        buffer[block] = np.where(nearer, values, buffer[block])
    t, faces = distance[nearer], face[nearer]
    at = [start[k] + t * local[k][nearer] for k in range(3)]
    normal = _normals(part, at, faces)
    albedo, glow = _texture(part, at, faces, noise)
    for wide, narrow in (
        (hits.normal, [sum(axes[i, k] * normal[k] for k in range(3)) for i in range(3)]),
        (hits.albedo, albedo),
    ):
        values = wide[block]
        values[nearer] = np.stack(narrow, axis=1)
        wide[block] = values
    values = hits.glow[block]
    values[nearer] = glow
    hits.glow[block] = values


def _meet(part: Part, start: tuple[float, ...], ray: tuple[Array, ...]) -> tuple[Array, NDArray[np.int8]]:
    """Distance at which rays enter a part (inf: never) and the face. For cylinders face 0 is the side, 1 an
    end.
    """
    if part.kind == "planes":
        return _meet_planes(part, start, ray)
    middle, half = part.bounds.mean(axis=0), (part.bounds[1] - part.bounds[0]) / 2
    o = [(start[k] - middle[k]) / half[k] for k in range(3)]
    d = [ray[k] / half[k] for k in range(3)]
    round_axes = [k for k in range(3) if part.kind == "ellipsoid" or k != part.axis]
    a = sum(d[k] * d[k] for k in round_axes)
    b = sum(o[k] * d[k] for k in round_axes)
    c = sum(o[k] * o[k] for k in round_axes) - 1.0
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    a = np.maximum(a, 1e-12)
    distance = np.where((b * b > a * c) & (-b - root > NEAR * a), (-b - root) / a, np.inf)
    face = np.zeros(distance.shape, dtype=np.int8)
    if part.kind == "cylinder":
        along = part.axis
        slope = np.where(d[along] == 0, 1e-12, d[along])
        with np.errstate(invalid="ignore"):
            distance = np.where(np.abs(o[along] + distance * slope) <= 1, distance, np.inf)
        end = (math.copysign(1.0, o[along]) - o[along]) / slope
        radius = sum((o[k] + end * d[k]) ** 2 for k in round_axes)
        lid = (radius <= 1) & (radius >= part.hollow**2) & (end > NEAR) & (end < distance)
        distance, face = np.where(lid, end, distance), lid.astype(np.int8)
    return distance, face


def _meet_planes(
    part: Part, start: tuple[float, ...], ray: tuple[Array, ...]
) -> tuple[Array, NDArray[np.int8]]:
    assert part.planes is not None
    enter = np.full(ray[0].shape, -np.inf)
    leave = np.full(ray[0].shape, np.inf)
    face = np.zeros(ray[0].shape, dtype=np.int8)
    for number, (nx, ny, nz, offset) in enumerate(part.planes.tolist()):
        slope = nx * ray[0] + ny * ray[1] + nz * ray[2]
        slope[slope == 0] = 1e-12
        t = (offset - nx * start[0] - ny * start[1] - nz * start[2]) / slope
        later = (slope < 0) & (t > enter)
        enter[later] = t[later]
        face[later] = number
        leave = np.where(slope > 0, np.minimum(leave, t), leave)
    return np.where((enter < leave) & (enter > NEAR), enter, np.inf), face


def _normals(part: Part, at: list[Array], face: NDArray[np.int8]) -> list[Array]:
    if part.planes is not None:
        return [part.planes[face, k] for k in range(3)]
    middle, half = part.bounds.mean(axis=0), (part.bounds[1] - part.bounds[0]) / 2
    normal = [(at[k] - middle[k]) / half[k] ** 2 for k in range(3)]
    if part.kind == "cylinder":
        end = np.sign(normal[part.axis])
        normal = [
            np.where(face == 1, end if k == part.axis else 0.0, 0.0 if k == part.axis else n)
            for k, n in enumerate(normal)
        ]
    length = np.maximum(np.sqrt(sum(n * n for n in normal)), 1e-9)
    return [n / length for n in normal]


def _texture(part: Part, at: list[Array], face: NDArray[np.int8], noise: Array) -> tuple[list[Array], Array]:
    """Albedo, three arrays, and how much of it glows at dusk."""
    colour = part.colours[np.minimum(face, len(part.colours) - 1)]
    albedo = [colour[:, k] for k in range(3)]
    glow = np.full(len(face), part.glow)
    if part.texture == "leaves":
        shade = 0.6 + 0.8 * sample(noise, at[0] * 7 + at[1] * 3, at[2] * 7 + at[1] * 5)
        albedo = [channel * shade for channel in albedo]
    elif part.texture == "windows":
        along = np.where(face < 2, at[1], at[0]) + 100.0
        up = at[2]
        pane = (face < 4) & (np.mod(along, 2.8) > 1.0) & (np.mod(along, 2.8) < 2.2) & (np.mod(up, 3.1) > 1.1)
        pane &= (np.mod(up, 3.1) < 2.5) & (up > 0.5)
        lit = sample(noise, np.floor(along / 2.8) * 13, np.floor(up / 3.1) * 29) > 0.72
        grain = 0.92 + 0.16 * sample(noise, along * 9, up * 9)
        dark = (0.16, 0.19, 0.24)
        warm = (0.95, 0.8, 0.45)
        albedo = [
            np.where(pane, np.where(lit, 0.5 * (dark[k] + warm[k]), dark[k]), albedo[k] * grain)
            for k in range(3)
        ]
        glow = np.where(pane & lit, 0.7, 0.0)
    return albedo, glow


def sample(noise: Array, x: Array, y: Array) -> Array:
    """Values of a square tile, 0..1, at integer parts of x and y, repeating."""
    size = len(noise)
    columns, rows = np.floor(x).astype(np.int64) % size, np.floor(y).astype(np.int64) % size
    return np.asarray(noise[rows, columns])


def box_corners(bounds: Array) -> Array:
    """(8, 3); the first four lie around the foot."""
    (x0, y0, z0), (x1, y1, z1) = bounds
    foot = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return np.array([(x, y, z) for z in (z0, z1) for x, y in foot])


_EDGES = np.array(
    [(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)]
)


def clip_to_front(corners: Array) -> Array:
    """The corners (8, 3) in front of the camera, and where the edges of the box cross the plane just before
    it.
    """
    depth = corners[:, 2]
    a, b = corners[_EDGES[:, 0]], corners[_EDGES[:, 1]]
    crossing = (a[:, 2] - NEAR) * (b[:, 2] - NEAR) < 0
    a, b = a[crossing], b[crossing]
    share = (NEAR - a[:, 2]) / (b[:, 2] - a[:, 2])
    return np.concatenate([corners[depth >= NEAR], a + share[:, None] * (b - a)])


def _distance_to_rectangle(x: Array, y: Array) -> float:
    """From the origin to a rectangle with the corners (4,) and (4,) in order; 0 inside."""
    edge_x, edge_y = np.roll(x, -1) - x, np.roll(y, -1) - y
    turns = np.sign(x * edge_y - y * edge_x)
    if (turns >= 0).all() or (turns <= 0).all():
        return 0.0
    share = np.clip(-(x * edge_x + y * edge_y) / np.maximum(edge_x**2 + edge_y**2, 1e-12), 0, 1)
    return float(np.hypot(x + share * edge_x, y + share * edge_y).min())


def _wrap(angle: Array) -> Array:
    return np.asarray(np.mod(angle + math.pi, 2 * math.pi) - math.pi)
