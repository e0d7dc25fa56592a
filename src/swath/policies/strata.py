"""Which objects the model finds, and which it does not: by class, size, distance, occlusion. Pure: arrays in, strata out.

    class       as the class map names them
    size        in images: height of the box, against 25 and 40 px of an image of KITTI's 375 rows
    distance    in clouds: of the cuboid's centre from the sensor, on the ground
    occlusion   where the labels say it (`occluded` 0, 1, 2, as KITTI does)

A wrong prediction has a class, a size and a distance of its own and counts in that stratum; what occlusion it would have nobody
knows, so that wrong predictions count in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from swath.kernels import typed
from swath.policies.modes import Trait
from swath.records.batch import StratumFigures

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HEIGHTS: Final = (25 / 375, 40 / 375)  # shares of the image's height
SIZES: Final = {0: "small", 1: "medium", 2: "large"}
METRES: Final = (15.0, 30.0, 50.0)
DISTANCES: Final = {0: "up to 15 m", 1: "15 to 30 m", 2: "30 to 50 m", 3: "beyond 50 m"}
OCCLUSIONS: Final = {0: "visible", 1: "partly occluded", 2: "largely occluded"}


def heights(boxes: Floats, rows: float) -> Ints:
    """(n,) which of `SIZES` boxes (n, 4) px are in an image with so many rows."""
    return np.digitize((boxes[:, 3] - boxes[:, 1]) / max(rows, 1.0), HEIGHTS)


def distances(cuboids: Floats) -> Ints:
    """(n,) which of `DISTANCES` cuboids (n, 9) are at, LiDAR frame."""
    return np.digitize(np.hypot(cuboids[:, 0], cuboids[:, 1]), METRES)


def occlusions(documents: Sequence[Mapping[str, Any]]) -> Ints:
    """(n,) which of `OCCLUSIONS` the labels say of themselves; -1 where they say nothing."""
    said = [one.get("occluded") for one in documents]
    return np.array([int(one) if one in (0, 1, 2) else -1 for one in said], dtype=np.int64).reshape(-1)


def traits(table: typed.Table, classes: Sequence[str], by: str, bins: Ints, occluded: Ints) -> list[Trait]:
    """What the objects of a table can share, for `policies.modes`."""
    words = SIZES if by == "size" else DISTANCES
    return [
        Trait("class", table.wanted, dict(enumerate(classes))),
        Trait(by, bins, words),
        Trait("occlusion", occluded, OCCLUSIONS),
    ]


def strata(
    table: typed.Table,
    classes: Sequence[str],
    threshold: float,
    by: str,
    bins: Ints,
    false: Ints,
    occluded: Ints,
) -> tuple[StratumFigures, ...]:
    """Every stratum with an object in it. `by`: size or distance, of which `bins` (M,) are the objects' and `false` (P,) the
    predictions'; `occluded` (M,): of `OCCLUSIONS`."""
    asked: list[tuple[str, Ints, Mapping[int, str], Ints | None]] = [
        ("class", table.wanted, dict(enumerate(classes)), table.label),
        (by, bins, SIZES if by == "size" else DISTANCES, false),
        ("occlusion", occluded, OCCLUSIONS, None),
    ]
    return tuple(
        StratumFigures(
            by=name, name=one.name, objects=one.objects, found=one.found, recall=one.recall, ap50=one.ap50
        )
        for name, of, names, wrong in asked
        for one in typed.strata(table, len(classes), threshold, of, names, wrong)
        if one.objects
    )
