"""Labels as arrays: 2D boxes of one image, cuboids of one cloud. The one shape that all parts of swath pass on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Modality = Literal["2d", "3d"]
MODALITIES: tuple[Modality, ...] = ("2d", "3d")


@dataclass(frozen=True, eq=False)
class Boxes:
    """2D labels of one image: `boxes` (n, 4) float64 x1, y1, x2, y2 in pixels, 0-based; `classes` n names.

    `documents`: the stored labels they were read from, n or none. Two `Boxes` are equal if boxes and classes are.
    """

    boxes: Floats
    classes: tuple[str, ...]
    documents: tuple[Mapping[str, Any], ...] = ()

    modality = "2d"

    @classmethod
    def empty(cls) -> Boxes:
        return cls(np.zeros((0, 4)), ())

    @property
    def shapes(self) -> Floats:
        """(n, 4), whatever was given."""
        return np.asarray(self.boxes, float).reshape(-1, 4)

    def __len__(self) -> int:
        return len(self.boxes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Boxes) and _same(self.boxes, other.boxes) and self.classes == other.classes

    __hash__ = None  # type: ignore[assignment]

    def take(self, rows: npt.ArrayLike) -> Boxes:
        """The labels at `rows` (integer positions, (m,)), in that order."""
        at, classes, documents = _taken(rows, self.classes, self.documents)
        return Boxes(self.shapes[at], classes, documents)


@dataclass(frozen=True, eq=False)
class Cuboids:
    """3D labels of one cloud: `cuboids` (n, 9) float64 x, y, z, l, w, h, rx, ry, rz; `classes` n names.

    Centre and sizes in metres, LiDAR frame (x forward, y left, z up); Euler angles in radians, R = Rx Ry Rz.
    `documents`: the stored labels they were read from, n or none. Two are equal if cuboids and classes are.
    """

    cuboids: Floats
    classes: tuple[str, ...]
    documents: tuple[Mapping[str, Any], ...] = ()

    modality = "3d"

    @classmethod
    def empty(cls) -> Cuboids:
        return cls(np.zeros((0, 9)), ())

    @property
    def shapes(self) -> Floats:
        """(n, 9), whatever was given."""
        return np.asarray(self.cuboids, float).reshape(-1, 9)

    def __len__(self) -> int:
        return len(self.cuboids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cuboids):
            return False
        return _same(self.cuboids, other.cuboids) and self.classes == other.classes

    __hash__ = None  # type: ignore[assignment]

    def take(self, rows: npt.ArrayLike) -> Cuboids:
        """The labels at `rows` (integer positions, (m,)), in that order."""
        at, classes, documents = _taken(rows, self.classes, self.documents)
        return Cuboids(self.shapes[at], classes, documents)


Labels = Boxes | Cuboids
AnyLabels = TypeVar("AnyLabels", Boxes, Cuboids)


def empty(modality: str) -> Labels:
    """No labels: somebody looked, and nothing is there."""
    return Boxes.empty() if modality == "2d" else Cuboids.empty()


def known(labels: Labels, classes: Sequence[str]) -> tuple[Ints, Ints]:
    """(rows of the labels that are finite and of a class in the class map, their positions in the map), both (m,)."""
    position = {name: i for i, name in enumerate(classes)}
    finite: npt.NDArray[np.bool_] = np.atleast_1d(np.isfinite(labels.shapes).all(axis=1))
    rows = [row for row, name in enumerate(labels.classes) if name in position and finite[row]]
    return (
        np.array(rows, dtype=np.int64),
        np.array([position[labels.classes[row]] for row in rows], dtype=np.int64),
    )


def _taken(
    rows: npt.ArrayLike, classes: tuple[str, ...], documents: tuple[Mapping[str, Any], ...]
) -> tuple[Ints, tuple[str, ...], tuple[Mapping[str, Any], ...]]:
    at = np.asarray(rows, dtype=np.int64)
    return at, tuple(classes[row] for row in at), tuple(documents[row] for row in at if documents)


def _same(one: Floats, two: Floats) -> bool:
    return bool(np.array_equal(one, two, equal_nan=True))
