"""What a KITTI object folder says about one frame: its calibration and its labelled objects.

Frames, as in the KITTI object development kit (http://www.cvlibs.net/datasets/kitti/eval_object.php,
`readme.txt`):

    LiDAR       x forward, y left, z up, metres: the frame of clouds and of swath's cuboids
    camera 0    rectified: x right, y down, z forward, metres: the frame of KITTI's labels
    image       pixels, 0-based, x right, y down: `pixel = P2 @ R0_rect @ Tr_velo_to_cam @ point`; P3: right
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.errors import ConfigError
from swath.formats.damage import Damage as Damage
from swath.formats.damage import DamageError as DamageError
from swath.formats.files import write_atomic

Array = NDArray[np.float64]

_ROWS = {"P0": (3, 4), "P1": (3, 4), "P2": (3, 4), "P3": (3, 4), "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4)}
_NEEDED = ("P2", "P3", "R0_rect", "Tr_velo_to_cam")
_LARGEST = 1e6  # metres or pixels; nothing real is larger, and squares of it are still exact enough


@dataclass(frozen=True, eq=False)
class Calibration:
    """The calibration of one frame: `p2`, `p3`, `velo_to_cam` are (3, 4), `r0` is (3, 3), float64.

    ValueError for another shape, for numbers that aren't finite, and where a rotation isn't one.
    """

    p2: Array
    p3: Array
    r0: Array
    velo_to_cam: Array

    def __post_init__(self) -> None:
        for name, shape in (("p2", (3, 4)), ("p3", (3, 4)), ("r0", (3, 3)), ("velo_to_cam", (3, 4))):
            matrix = np.array(getattr(self, name), dtype=np.float64)
            if matrix.shape != shape or not np.isfinite(matrix).all():
                raise ValueError(f"{name}: expected {shape[0]} x {shape[1]} finite numbers")
            matrix.setflags(write=False)
            object.__setattr__(self, name, matrix)
        for name in ("r0", "velo_to_cam"):
            rotation = getattr(self, name)[:, :3]
            if np.abs(rotation @ rotation.T - np.eye(3)).max() > 0.02 or np.linalg.det(rotation) < 0:
                raise ValueError(f"{name}: expected a rotation, got {rotation.round(3).tolist()}")

    def to_rect(self) -> tuple[Array, Array]:
        """`(linear (3, 3), offset (3,))` with `rect = linear @ lidar + offset`: LiDAR frame to rectified
        camera 0, metres.
        """
        return self.r0 @ self.velo_to_cam[:, :3], self.r0 @ self.velo_to_cam[:, 3]

    def project(self, points: ArrayLike, camera: Literal["left", "right"] = "left") -> tuple[Array, Array]:
        """Project points, (N, 3) metres in the LiDAR frame: `(pixels (N, 2), depth (N,) in metres)`.

        Pixels aren't clipped to the image; they are NaN where depth <= 0, that is behind the camera. N may be
        0.
        """
        matrix = {"left": self.p2, "right": self.p3}[camera]
        linear, offset = self.to_rect()
        rect = np.asarray(points, dtype=np.float64).reshape(-1, 3) @ linear.T + offset
        image = rect @ matrix[:, :3].T + matrix[:, 3]
        depth = image[:, 2]
        ahead = np.where(depth > 0, depth, np.nan)
        return image[:, :2] / ahead[:, None], depth

    def to_dict(self) -> dict[str, list[list[float]]]:
        """Plain lists, for storage. `from_dict` gives the same numbers back, bit for bit."""
        return {name: getattr(self, name).tolist() for name in ("p2", "p3", "r0", "velo_to_cam")}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Calibration:
        """The inverse of `to_dict`."""
        return cls(
            **{name: np.array(stored[name], dtype=np.float64) for name in ("p2", "p3", "r0", "velo_to_cam")}
        )


@dataclass(frozen=True)
class KittiObject:
    """One line of a label file, in KITTI's own frames and units.

    `box` is `x1, y1, x2, y2` in pixels of the left image; `dimensions` are `height, width, length` in metres;
    `location` is the centre of the bottom face in rectified camera 0; `rotation_y` turns about that frame's y
    axis, `alpha` is the observation angle (radians). `truncated` is 0..1 or -1 (unknown), `occluded` 0, 1, 2,
    3 (unknown) or -1.
    """

    label: str
    truncated: float
    occluded: int
    alpha: float
    box: tuple[float, float, float, float]
    dimensions: tuple[float, float, float]
    location: tuple[float, float, float]
    rotation_y: float
    score: float | None = None

    @property
    def has_cuboid(self) -> bool:
        """False where the line labels a box only (sizes of 0 or -1, or the location -1000)."""
        return min(self.dimensions) > 0 and -1000 not in self.location


def read_calibration(path: Path) -> Calibration:
    """Read a `calib/*.txt`. FormatError names file, line, what was expected and what came."""
    rows: dict[str, tuple[int, Array]] = {}
    for line, words in read_lines(path):
        name = words[0].rstrip(":")
        if name not in _ROWS:
            continue  # Tr_imu_to_velo, and what other tools add
        expected = math.prod(_ROWS[name])
        if name in rows:
            raise DamageError(
                Damage(str(path), line, f"{name} comes a second time (first in line {rows[name][0]})")
            )
        try:
            numbers = [_number(word) for word in words[1:]]
        except ValueError as error:
            raise DamageError(
                Damage(str(path), line, f"{name}: expected {expected} numbers, got {error}")
            ) from None
        if len(numbers) != expected:
            raise DamageError(
                Damage(str(path), line, f"{name}: expected {expected} numbers, got {len(numbers)}")
            )
        rows[name] = line, np.array(numbers).reshape(_ROWS[name])
    missing = [name for name in _NEEDED if name not in rows]
    if missing:
        raise DamageError(
            Damage(str(path), None, f"expected rows {', '.join(_NEEDED)}; missing: {', '.join(missing)}")
        )
    try:
        return Calibration(*(rows[name][1] for name in _NEEDED))
    except ValueError as error:
        raise DamageError(Damage(str(path), None, str(error))) from None


def read_objects(path: Path) -> tuple[tuple[KittiObject, ...], tuple[Damage, ...]]:
    """Read a `label_2/*.txt`: the objects of its good lines in file order (DontCare too), and one Damage per
    bad line.

    Windows line ends, blank lines, more blanks and a 16th column (score) are fine; an empty file has no
    objects. FormatError where the file can't be read at all.
    """
    objects: list[KittiObject] = []
    damages: list[Damage] = []
    for line, words in read_lines(path):
        try:
            objects.append(parse_object(words))
        except ValueError as error:
            damages.append(Damage(str(path), line, str(error)))
    return tuple(objects), tuple(damages)


def write_objects(path: Path, objects: tuple[KittiObject, ...] | list[KittiObject]) -> None:
    """Write a label file that `read_objects` reads back to 1e-6. ValueError for an object it would refuse."""
    text = ""
    for item in objects:
        numbers = (item.alpha, *item.box, *item.dimensions, *item.location, item.rotation_y)
        words = [item.label, _format(item.truncated), str(item.occluded), *map(_format, numbers)]
        words += [] if item.score is None else [_format(item.score)]
        if item.label.split() != [item.label]:
            raise ValueError(f"expected a class name without blanks, got {item.label[:30]!r}")
        parse_object(words)
        text += " ".join(words) + "\n"
    write_atomic(path, text.encode())


def spelled(classes: Sequence[str]) -> dict[str, str]:
    """Classes by their names in label files, whose columns are parted by spaces: `traffic light` is `traffic_light` there."""
    out: dict[str, str] = {}
    for name in classes:
        word = "_".join(name.split())
        if word in out:
            raise ConfigError(
                f"label files cannot tell the classes {out[word]!r} and {name!r} apart: both are {word!r} there; "
                "take another annotator"
            )
        out[word] = name
    return out


def to_cuboid(item: KittiObject, calibration: Calibration) -> Array:
    """The object as a cuboid, (9,) `x, y, z, l, w, h, rx, ry, rz`: centre and sizes in metres, LiDAR frame.

    Angles in radians with R = Rx(rx) @ Ry(ry) @ Rz(rz). KITTI's objects stand upright in the *camera's*
    frame, so a tilt between camera and LiDAR shows in rx and ry. ValueError where the object has no cuboid.
    """
    if not item.has_cuboid:
        raise ValueError(
            f"{item.label} has no cuboid: dimensions {item.dimensions}, location {item.location}"
        )
    height, width, length = item.dimensions
    linear, offset = calibration.to_rect()
    centre = np.linalg.solve(linear, np.array(item.location) - (0.0, height / 2, 0.0) - offset)
    cos, sin = math.cos(item.rotation_y), math.sin(item.rotation_y)
    # Columns: the object's own x (along its length), y (width) and z (up), in rectified camera 0.
    axes = np.array([[cos, sin, 0.0], [0.0, 0.0, -1.0], [-sin, cos, 0.0]])
    rotation = _nearest_rotation(linear).T @ axes
    rx, ry, rz = (
        math.atan2(-rotation[1, 2], rotation[2, 2]),
        math.asin(min(1.0, max(-1.0, rotation[0, 2]))),
        math.atan2(-rotation[0, 1], rotation[0, 0]),
    )
    return np.array([*centre, length, width, height, rx, ry, rz])


def from_cuboid(
    cuboid: ArrayLike, calibration: Calibration
) -> tuple[tuple[float, float, float], tuple[float, float, float], float]:
    """A cuboid, (9,) in the LiDAR frame, in KITTI's terms: `(dimensions hwl, location, rotation_y in [-pi,
    pi])`.

    The inverse of `to_cuboid`. KITTI can't express a tilt against the camera: of another rotation only the
    heading is kept.
    """
    x, y, z, length, width, height, rx, ry, rz = (
        float(value) for value in np.asarray(cuboid, dtype=np.float64)
    )
    linear, offset = calibration.to_rect()
    centre = linear @ (x, y, z) + offset
    forward = np.array(  # the first column of Rx @ Ry @ Rz: the object's own x axis in the LiDAR frame
        [
            math.cos(ry) * math.cos(rz),
            math.cos(rx) * math.sin(rz) + math.sin(rx) * math.sin(ry) * math.cos(rz),
            math.sin(rx) * math.sin(rz) - math.cos(rx) * math.sin(ry) * math.cos(rz),
        ]
    )
    forward = _nearest_rotation(linear) @ forward
    location = (float(centre[0]), float(centre[1] + height / 2), float(centre[2]))
    return (height, width, length), location, math.atan2(-forward[2], forward[0])


def heading(cuboid: ArrayLike) -> float:
    """The yaw of a cuboid, (9,): direction of its own x axis about +z of the LiDAR frame, radians in [-pi,
    pi].
    """
    rx, ry, rz = (float(value) for value in np.asarray(cuboid, dtype=np.float64)[6:9])
    side = math.cos(rx) * math.sin(rz) + math.sin(rx) * math.sin(ry) * math.cos(rz)
    return math.atan2(side, math.cos(ry) * math.cos(rz))


def _nearest_rotation(linear: Array) -> Array:
    """The rotation nearest to a (3, 3) matrix that rounding in a calibration file has left not quite
    orthogonal.
    """
    left, _, right = np.linalg.svd(linear)
    return np.asarray(left @ right)


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """The words of each line that isn't blank, with its 1-based number. Bytes that aren't UTF-8 become
    U+FFFD.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise DamageError(Damage(str(path), None, f"can't be read: {error.strerror}")) from error
    return [(number, line.split()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f"{word[:30]!r}, which is no number") from None
    if not abs(value) <= _LARGEST:
        raise ValueError(f"{word[:30]!r}, which is not finite, or above {_LARGEST:g}")
    return value


def _format(value: float) -> str:
    return np.format_float_positional(value, precision=6, min_digits=2, trim="k")


def parse_object(words: list[str]) -> KittiObject:
    """One label line. ValueError says what is wrong with it."""
    if len(words) not in (15, 16):
        raise ValueError(f"expected 15 or 16 columns, got {len(words)}")
    label = words[0]
    if len(label) > 64 or not label.isprintable() or "\ufffd" in label:
        raise ValueError(f"expected a class name of at most 64 printable characters, got {label[:30]!r}")
    try:
        truncated, occluded, alpha, x1, y1, x2, y2, *rest = (_number(word) for word in words[1:])
    except ValueError as error:
        raise ValueError(f"expected numbers after {label}, got {error}") from None
    dimensions, location, rotation_y = rest[0:3], rest[3:6], rest[6]
    if not (truncated == -1 or 0 <= truncated <= 1):
        raise ValueError(f"truncated: expected 0..1 or -1, got {words[1]}")
    if occluded not in (-1, 0, 1, 2, 3):
        raise ValueError(f"occluded: expected 0, 1, 2, 3 or -1, got {words[2]}")
    if not (x2 > x1 and y2 > y1):
        raise ValueError(f"box: expected x1 < x2 and y1 < y2, got {' '.join(words[4:8])}")
    if max(dimensions) > 0 >= min(dimensions):
        raise ValueError(f"dimensions: expected three sizes above 0, or none, got {' '.join(words[8:11])}")
    if min(dimensions) > 0 and -1000 not in location and abs(rotation_y) > 2 * math.pi:
        raise ValueError(f"rotation_y: expected radians in -2 pi .. 2 pi, got {words[14]}")
    return KittiObject(
        label, truncated, int(occluded), alpha, (x1, y1, x2, y2),
        (dimensions[0], dimensions[1], dimensions[2]), (location[0], location[1], location[2]),
        rotation_y, rest[7] if len(rest) > 7 else None,
    )  # fmt: skip
