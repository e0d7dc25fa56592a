"""How large the things of a class usually are: from a table, or learned from labels.

Sizes are (l, w, h): along the cuboid's own x (its heading), y and z, metres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

ENOUGH: Final = 30  # labels of a class from which its sizes are learned
DRIVES: Final = 8  # drives that they must be of: one tram in thirty frames is one tram
REACH: Final = 5.0  # robust standard deviations of the logarithm that a side may be off
LEAST: Final = 1.25  # times larger or smaller that a side may always be
SIGMA: Final = 1.4826  # standard deviations of a normal distribution per median absolute deviation


@dataclass(frozen=True)
class Usual:
    """Usual size of a class: `mean` (l, w, h) in metres; `spread`: a side up to so many times larger or smaller; `labels`: how
    many it was learned from, 0 for the table."""

    mean: tuple[float, float, float]
    spread: tuple[float, float, float]
    labels: int = 0


# Means over KITTI's training labels, as published with Frustum PointNets (Qi et al., CVPR 2018, in
# `g_type_mean_size`). The spreads are ours, wide enough for what KITTI calls a Truck
# (from a 4 m lorry to a 20 m bus) and for children.
KITTI: Final[Mapping[str, Usual]] = {
    "Car": Usual((3.88, 1.63, 1.53), (1.8, 1.5, 1.6)),
    "Van": Usual((5.07, 1.90, 2.21), (1.8, 1.5, 1.7)),
    "Truck": Usual((10.14, 2.59, 3.25), (3.0, 1.7, 2.0)),
    "Pedestrian": Usual((0.84, 0.66, 1.76), (3.2, 2.2, 1.8)),
    "Person_sitting": Usual((0.80, 0.60, 1.27), (2.2, 2.2, 1.6)),
    "Cyclist": Usual((1.76, 0.60, 1.74), (1.7, 2.2, 1.5)),
    "Tram": Usual((16.17, 2.53, 3.53), (3.0, 1.6, 1.6)),
    "Misc": Usual((3.64, 1.54, 1.92), (8.0, 4.0, 4.0)),
}


def learned(names: Sequence[str], sizes: ArrayLike, drives: Sequence[str]) -> dict[str, Usual]:
    """Usual sizes of the classes `names` (n) of labels with `sizes` (n, 3) of these `drives` (n); the table's where a class has
    less than 30 that are finite and positive, or they are of less than 8 drives. Classes with neither are left out.

    Of each side the median, and five robust standard deviations of its logarithm (from the median absolute deviation), at least
    a quarter larger or smaller: half of the labels may be wrong without moving it far.
    """
    table = np.asarray(sizes, float).reshape(-1, 3)
    good = np.isfinite(table).all(axis=1) & (table > 0).all(axis=1)
    classes, of = np.array(names, dtype=np.str_), np.array(drives, dtype=np.str_)
    out = dict(KITTI)
    for name in sorted(set(names)):
        mine = good & (classes == name)
        if mine.sum() < ENOUGH or len(np.unique(of[mine])) < DRIVES:
            continue
        logs = np.log(table[mine])
        middle = np.median(logs, axis=0)
        off = SIGMA * np.median(np.abs(logs - middle), axis=0)
        mean, spread = np.exp(middle), np.exp(np.maximum(REACH * off, np.log(LEAST)))
        out[name] = Usual(_three(mean), _three(spread), int(mine.sum()))
    return out


def _three(values: Array) -> tuple[float, float, float]:
    a, b, c = values.tolist()
    return a, b, c
