"""How a label differs from the reference object that it was paired with: signed, object by object.

Boxes (pixels) and cuboids (LiDAR frame, metres) as the kernels have them, in K pairs. What has a sign keeps it: a mean of signed
differences is zero for people who are merely unsteady, and is not for people who draw too large, too low or turned.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.kernels import boxes as box_kernel
from swath.kernels import cuboids as cuboid_kernel

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

BOX: Final = ("iou", "area", "left", "top", "right", "bottom")
CUBOID: Final = (
    "along", "across", "up", "forward", "leftward", "distance", "length", "width", "height", "yaw", "turn",
)  # fmt: skip
METRES, RATIO, SIDE, DEGREES = 1.0, 0.7, 0.5, 20.0
"""Where single differences are cut (m, log ratio, share of a side, degrees), so that one wild object does not hide a drift."""
LONG: Final = 1.3  # length over width from which they can be told apart


def of_boxes(drawn: ArrayLike, reference: ArrayLike) -> Array:
    """(K, 6) of boxes (K, 4) against reference boxes (K, 4): IoU; log ratio of the areas; left, top, right and bottom edge, outward
    positive, as shares of the reference's width or height. NaN where a box has no area."""
    a, b = box_kernel.as_boxes(drawn), box_kernel.as_boxes(reference)
    both = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0.0).prod(axis=1)
    size_a, size_b = box_kernel.area(a), box_kernel.area(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        overlap = both / (size_a + size_b - both)
        ratio = np.clip(np.log(size_a / size_b), -RATIO, RATIO)
        sides = np.tile(b[:, 2:] - b[:, :2], 2)
        edges = np.clip((a - b) * np.array([-1, -1, 1, 1]) / sides, -SIDE, SIDE)
    out = np.column_stack([overlap, ratio, edges])
    out[(size_a <= 0) | (size_b <= 0)] = np.nan
    return out


class Turned(NamedTuple):
    """values (K, 11) in the order of `CUBOID`; flipped, exchanged: (K,); elongated: (K,) whether a reference is long enough for its
    sides to be told apart."""

    values: Array
    flipped: Flags
    exchanged: Flags
    elongated: Flags


def of_cuboids(drawn: ArrayLike, reference: ArrayLike) -> Turned:
    """Of cuboids (K, 9) against reference cuboids (K, 9).

    along, across, up: the centre in the reference's own frame (heading, its left, up), m; forward, leftward: in the LiDAR frame, m;
    distance: of the centres, m. length, width, height: log ratios. yaw: left positive, degrees, folded to (-90, 90], so that front
    and back are the same; turn: its absolute value. `flipped`: turned by more than 90 degrees. `exchanged`: length and width are
    each other's (the reference at least 1.3 times as long as wide): its sizes and yaw are NaN, as the error is counted apart.
    """
    a, b = cuboid_kernel.yawed(drawn), cuboid_kernel.yawed(reference)
    delta = a[:, :3] - b[:, :3]
    cos, sin = np.cos(b[:, 6]), np.sin(b[:, 6])
    along, across = cos * delta[:, 0] + sin * delta[:, 1], cos * delta[:, 1] - sin * delta[:, 0]
    centre = np.column_stack([along, across, delta[:, 2], delta[:, 0], delta[:, 1]])
    distance = np.minimum(np.linalg.norm(delta, axis=1), 2 * METRES)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_a, log_b = np.log(a[:, 3:6]), np.log(b[:, 3:6])
        sizes = log_a - log_b
        straight = np.abs(sizes[:, :2]).sum(axis=1)
        crossed = np.abs(log_a[:, :2] - log_b[:, [1, 0]]).sum(axis=1)
        elongated = np.abs(log_b[:, 0] - log_b[:, 1]) >= np.log(LONG)
    exchanged = elongated & (crossed < straight / 2)
    difference = cuboid_kernel.wrap(a[:, 6] - b[:, 6])
    flipped = (np.abs(difference) > np.pi / 2) & ~exchanged
    folded = np.degrees(np.where(flipped, cuboid_kernel.wrap(difference + np.pi), difference))
    yaw = np.column_stack([np.clip(folded, -DEGREES, DEGREES), np.minimum(np.abs(folded), DEGREES)])
    sized = np.column_stack([np.clip(sizes, -RATIO, RATIO), yaw])
    sized[exchanged] = np.nan
    values = np.column_stack([np.clip(centre, -METRES, METRES), distance, sized])
    values[~np.isfinite(sizes).all(axis=1)] = np.nan
    return Turned(values, flipped, exchanged, elongated)
