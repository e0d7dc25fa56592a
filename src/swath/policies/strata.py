"""Which objects the model finds, and which it does not: by class, size, distance, occlusion, points, condition. Pure: arrays in,
strata out.

    class       as the class map names them
    size        in images: height of the box, against 25 and 40 px of an image of KITTI's 375 rows
    distance    in clouds: of the cuboid's centre from the sensor, on the ground
    occlusion   where the labels say it (`occluded` 0, 1, 2, as KITTI does)
    points      in clouds: how many lie in the cuboid
    condition   of the scene, where fields of the dataset say one (`evaluate.conditions`: weather, time of day)

A wrong prediction has a class, a size, a distance and a scene of its own and counts in that stratum; what occlusion it would have
nobody knows, nor how many points what it should have been: there wrong predictions count in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

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
COUNTS: Final = (1, 10, 50)
POINTS: Final = {0: "no point", 1: "1 to 9 points", 2: "10 to 49 points", 3: "50 points or more"}
MOST: Final = 12  # values of one condition: a field with more says what a scene is, not what it is like


class Axis(NamedTuple):
    """What objects are told apart by: of each its `stratum` (M,), a key of `words` (others are of none); and of each prediction (P,),
    where that is known. `shared`: failure modes are named by it as well."""

    name: str
    words: Mapping[int, str]
    stratum: Ints
    false: Ints | None = None
    shared: bool = True


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


def points(inside: Ints) -> Ints:
    """(n,) which of `POINTS` cuboids with so many points `inside` (n,) are; -1 where that is unknown (-1)."""
    return np.where(inside < 0, -1, np.digitize(inside, COUNTS))


def condition(name: str, said: Sequence[str], place: Ints, image: Ints) -> Axis | None:
    """The conditions that scenes are in: `said` of each image ("": nothing), of which objects (M,) are in `place` and predictions
    (P,) in `image`. None where the same is said of all, or too many different things."""
    values = sorted(set(said) - {""})
    if len(set(said)) < 2 or len(values) > MOST:
        return None
    number = {value: i for i, value in enumerate(values)}
    code = np.array([number.get(one, -1) for one in said], dtype=np.int64)
    return Axis(name, dict(enumerate(values)), code[place], code[image])


def traits(axes: Sequence[Axis]) -> list[Trait]:
    """What objects can share, for `policies.modes`."""
    return [Trait(one.name, one.stratum, one.words) for one in axes if one.shared]


def strata(
    table: typed.Table, classes: int, threshold: float, axes: Sequence[Axis]
) -> tuple[StratumFigures, ...]:
    """Every stratum of these axes with an object in it."""
    return tuple(
        StratumFigures(
            by=axis.name,
            name=one.name,
            objects=one.objects,
            found=one.found,
            recall=one.recall,
            ap50=one.ap50,
        )
        for axis in axes
        for one in typed.strata(table, classes, threshold, axis.stratum, axis.words, axis.false)
        if one.objects
    )
