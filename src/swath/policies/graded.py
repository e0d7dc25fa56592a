"""KITTI's figures: a reference whose labels say how far objects are hidden and cut, and predictions, by the rules of KITTI's kit. Pure.

`kernels.kitti` has the rules. A flag that a label lacks says nothing against its object: it counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from swath.kernels import kitti
from swath.kernels.boxes import area, intersection
from swath.kernels.kitti import Difficulty, Scene
from swath.records.batch import Graded

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
By = Literal["2d", "bev", "3d"]

CLASSES: Final = ("Car", "Pedestrian", "Cyclist")
DIFFICULTIES: Final[tuple[Difficulty, ...]] = ("easy", "moderate", "hard")
FLAGS: Final = {"occluded": (0, 1, 2, 3), "truncated": (0.0, 1.0)}  # what labels say, from least to most


def flag(document: Mapping[str, Any], name: str) -> float:
    """What a label says of itself, -1 where it says nothing that KITTI's labels do."""
    value, said = document.get(name), FLAGS[name]
    number = isinstance(value, int | float)
    return float(value) if number and said[0] <= float(value) <= said[-1] else -1.0  # type: ignore[arg-type]


def has_flags(documents: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any label says how far its object is hidden or cut."""
    return any(flag(one, name) >= 0 for one in documents for name in FLAGS)


def scene(
    scores: Floats,
    labels: Ints,
    heights: Floats,
    wanted: Ints,
    tall: Floats,
    documents: Sequence[Mapping[str, Any]],
    overlap: Floats,
    absorbed: Floats,
    rows: float = kitti.ROWS,
) -> Scene:
    """One image or cloud: predictions (n,) with the `heights` of their boxes, objects (m,) with theirs and what their labels say."""
    truncated, occluded = (
        np.array([flag(one, name) for one in documents]) for name in ("truncated", "occluded")
    )
    return Scene(
        scores, labels, heights, wanted, tall, truncated, occluded.astype(np.int64), overlap, absorbed, rows
    )


def absorbed(boxes: Floats, areas: Floats) -> Floats:
    """(n,) largest share of each box (n, 4) that lies in one of the areas (k, 4)."""
    shared: Floats = intersection(boxes, areas) / np.maximum(area(boxes), 1e-9)[:, None]
    return np.max(shared, axis=1, initial=0.0)  # type: ignore[no-any-return]


def graded(by: By, scenes: Sequence[Scene], classes: Sequence[str]) -> tuple[Graded, ...]:
    """KITTI's classes at its difficulties, those of which there are objects."""
    told = (
        (name, difficulty, kitti.score(scenes, classes, name, difficulty))
        for name in CLASSES
        if name in classes
        for difficulty in DIFFICULTIES
    )
    return tuple(
        Graded(by=by, name=name, difficulty=difficulty, objects=one.objects, ap=round(one.ap, 6))
        for name, difficulty, one in told
        if one.ap is not None
    )
