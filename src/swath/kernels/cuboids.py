"""Cuboids in the LiDAR frame (x forward, y left, z up; metres, radians), in two forms.

    (N, 9)  x, y, z, l, w, h, rx, ry, rz   centre, size along the cuboid's own x (heading), y and z,
                                           Euler angles with R = Rx(rx) @ Ry(ry) @ Rz(rz): what FiftyOne's
                                           App draws
    (N, 7)  x, y, z, l, w, h, yaw          upright: turned about +z only, yaw in [-pi, pi)

Overlaps are of the upright form. A cuboid with a size <= 0 or a NaN overlaps nothing (IoU 0) and holds no
points. Inputs are never changed; `[]` is no cuboids.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# The eight corners in units of half the size: the bottom counter-clockwise seen from above, from the front
# left; then the top in the same order.
_CORNERS = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], dtype=np.float64)
_UNIT = np.concatenate([np.column_stack([_CORNERS, np.full(4, z)]) for z in (-1.0, 1.0)])


def _table(values: ArrayLike, columns: int, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, columns))
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"expected {name} of shape (N, {columns}), got {array.shape}")
    return array


def rotations(cuboids: ArrayLike) -> Array:
    """(N, 3, 3) matrices Rx @ Ry @ Rz of (N, 9) cuboids: from the cuboid's own axes to the LiDAR frame."""
    c = _table(cuboids, 9, "cuboids")
    (cx, cy, cz), (sx, sy, sz) = np.cos(c[:, 6:9]).T, np.sin(c[:, 6:9]).T
    rows = [
        [cy * cz, -cy * sz, sy],
        [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy],
        [sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def corners(cuboids: ArrayLike) -> Array:
    """(N, 8, 3) corners of (N, 9) cuboids: the bottom from front left counter-clockwise, then the top."""
    c = _table(cuboids, 9, "cuboids")
    own: Array = _UNIT * c[:, None, 3:6] / 2
    turned: Array = own @ np.swapaxes(rotations(c), 1, 2)
    return c[:, None, :3] + turned


def wrap(angle: ArrayLike) -> Array:
    """Angles in radians, any shape, brought into [-pi, pi)."""
    a = np.asarray(angle, dtype=np.float64)
    turned = np.mod(a + np.pi, 2 * np.pi) - np.pi
    return np.where(turned >= np.pi, -np.pi, turned)  # mod of a tiny negative number rounds up to the period


def yawed(cuboids: ArrayLike) -> Array:
    """(N, 7) upright cuboids for (N, 9): yaw is the heading seen from above, roll and pitch are dropped.

    Exact where rx = ry = 0. A heading that points straight up or down has yaw 0.
    """
    c = _table(cuboids, 9, "cuboids")
    heading = rotations(c)[:, :, 0]
    return np.column_stack([c[:, :6], wrap(np.arctan2(heading[:, 1], heading[:, 0]))])


def from_yawed(cuboids: ArrayLike) -> Array:
    """(N, 9) cuboids for (N, 7) upright ones: rx = ry = 0, rz = yaw in [-pi, pi)."""
    c = _table(cuboids, 7, "upright cuboids")
    return np.column_stack([c[:, :6], np.zeros((len(c), 2)), wrap(c[:, 6])])


def yaw_difference(a: ArrayLike, b: ArrayLike, *, period: float = 2 * np.pi) -> Array:
    """How far apart two yaws are, radians in [0, period / 2], any (broadcastable) shapes.

    With `period=np.pi` front and back count as the same.
    """
    turned = np.mod(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), period)
    return np.minimum(turned, period - turned)


def _footprint_overlap(a: Array, b: Array) -> Array:
    """(K,) areas shared by the footprints of K pairs of upright cuboids (K, 7), in square metres.

    In b's own frame b is |x| <= l/2, |y| <= w/2. Clamping the outline of a to b leaves a curve that winds
    once around each inner point of b that lies in a, and around no other point: the area it encloses
    (shoelace) is the overlap. Clamping is linear between the lines that bear b's sides, so each side of a
    is cut there first. There is no case distinction: shared sides and touching corners are not special.
    """
    cos, sin = np.cos(b[:, 6]), np.sin(b[:, 6])
    dx, dy = a[:, 0] - b[:, 0], a[:, 1] - b[:, 1]
    centre = np.stack([cos * dx + sin * dy, cos * dy - sin * dx], axis=-1)
    turn = a[:, 6] - b[:, 6]
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    u, v = _CORNERS[:, 0] * a[:, None, 3] / 2, _CORNERS[:, 1] * a[:, None, 4] / 2
    start = centre[:, None, :] + np.stack([cos * u - sin * v, sin * u + cos * v], axis=-1)  # (K, 4, 2)
    step = np.roll(start, -1, axis=1) - start

    half = b[:, None, None, 3:5] / 2  # (K, 1, 1, 2)
    sides = np.concatenate([-half, half], axis=2)  # (K, 1, 2 signs, 2 axes)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        cuts = (sides - start[:, :, None, :]) / step[:, :, None, :]  # (K, 4, 2, 2)
    cuts = np.sort(np.clip(np.nan_to_num(cuts, nan=0.0), 0.0, 1.0).reshape(len(a), 4, 4), axis=2)
    cuts = np.concatenate([np.zeros((len(a), 4, 1)), cuts], axis=2)  # ends where the next side begins
    path = (start[:, :, None, :] + cuts[..., None] * step[:, :, None, :]).reshape(len(a), 20, 2)
    path = np.clip(path, -half[:, 0], half[:, 0])
    onward = np.roll(path, -1, axis=1)
    doubled = path[..., 0] * onward[..., 1] - path[..., 1] * onward[..., 0]
    enclosed: Array = np.maximum(doubled.sum(axis=1) / 2, 0.0)
    return enclosed


def _bev_intersection(a: Array, b: Array) -> Array:
    """(N, M) shared footprint of upright cuboids; only pairs whose circles meet are computed."""
    shared = np.zeros((len(a), len(b)))
    solid_a, solid_b = _solid(a), _solid(b)
    reach = np.hypot(a[:, 3], a[:, 4])[:, None] / 2 + np.hypot(b[:, 3], b[:, 4])[None, :] / 2
    apart = np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])
    rows, columns = np.nonzero(solid_a[:, None] & solid_b[None, :] & (apart <= reach))
    shared[rows, columns] = _footprint_overlap(a[rows], b[columns])
    return shared


def _solid(c: Array) -> NDArray[np.bool_]:
    return np.all(np.isfinite(c), axis=1) & np.all(c[:, 3:6] > 0, axis=1)  # type: ignore[no-any-return]


def _ratio(shared: Array, size_a: Array, size_b: Array) -> Array:
    union = size_a[:, None] + size_b[None, :] - shared
    return np.minimum(np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0), 1.0)


def bev_iou(a: ArrayLike, b: ArrayLike) -> Array:
    """(N, M) IoU of the footprints (rotated rectangles from above) of upright cuboids (N, 7) and (M, 7)."""
    p, q = _table(a, 7, "upright cuboids"), _table(b, 7, "upright cuboids")
    return _ratio(_bev_intersection(p, q), p[:, 3] * p[:, 4], q[:, 3] * q[:, 4])


def iou(a: ArrayLike, b: ArrayLike) -> Array:
    """(N, M) volume IoU of upright cuboids (N, 7), (M, 7): shared footprint x shared height over union."""
    p, q = _table(a, 7, "upright cuboids"), _table(b, 7, "upright cuboids")
    shared = _bev_intersection(p, q)
    rows, columns = np.nonzero(shared)
    top = np.minimum((p[:, 2] + p[:, 5] / 2)[rows], (q[:, 2] + q[:, 5] / 2)[columns])
    bottom = np.maximum((p[:, 2] - p[:, 5] / 2)[rows], (q[:, 2] - q[:, 5] / 2)[columns])
    shared[rows, columns] *= np.maximum(top - bottom, 0.0)
    return _ratio(shared, p[:, 3:6].prod(axis=1), q[:, 3:6].prod(axis=1))


def points_inside(points: ArrayLike, cuboids: ArrayLike) -> NDArray[np.int64]:
    """(N,) how many of the points (P, 3) lie in each of (N, 9) cuboids, faces included.

    A point may count in several. Both in the LiDAR frame, metres. More columns of `points` (reflectance)
    are ignored; NaN points lie nowhere.
    """
    p = np.asarray(points, dtype=np.float64)
    p = p.reshape(0, 3) if p.size == 0 else p[:, :3]
    c = _table(cuboids, 9, "cuboids")
    counts = np.zeros(len(c), dtype=np.int64)
    for row, (cuboid, turn) in enumerate(zip(c, rotations(c), strict=True)):
        near = p[np.abs(p[:, 0] - cuboid[0]) <= np.linalg.norm(cuboid[3:6]) / 2]
        own = (near - cuboid[:3]) @ turn
        counts[row] = np.count_nonzero((np.abs(own) <= cuboid[3:6] / 2 + 1e-9).all(axis=1))
    return counts
