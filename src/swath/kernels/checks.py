"""Rules that labels of one scene must keep: in the image, in the cloud, and between the two.

Arrays as everywhere: boxes (n, 4) x1, y1, x2, y2 in pixels; cuboids (n, 9) x, y, z, l, w, h, rx, ry, rz in
metres and radians, LiDAR frame; clouds (p, 3 or more) x, y, z. No labels give no findings.
A label that is `degenerate` is left out of the other rules. docs/methods/checks.md has each rule's formula, what it
was measured to find, and its weak spots.

    check_boxes, check_cuboids    labels of one channel by themselves
    check_across                  boxes of an image against cuboids, as the image shows them (`kernels.sight`)

What a whole batch says is in `kernels.aim` (calibration) and `kernels.frames` (cuboids in another frame); what a model says
is in `kernels.doubts`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.kernels import boxes as box_kernel
from swath.kernels import cuboids as cuboid_kernel
from swath.kernels.ground import ground_height, line_of_sight, points_of
from swath.kernels.match import match
from swath.kernels.sight import Project, Sight, see
from swath.kernels.sizes import KITTI, Usual

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]
Severity = Literal["error", "warning"]

RULES = {
    "unknown_class": "the class is not in the frozen class map",
    "degenerate": "not finite, or without area or volume",
    "off_image": "the box is outside the image, or sticks out of it",
    "duplicate": "two labels of the same object",
    "size": "implausible size for the image, or for the class",
    "aspect": "implausible proportions; length and width swapped",
    "no_points": "no LiDAR point inside the cuboid, and the sensor saw through it",
    "off_ground": "the cuboid floats above the ground, or sinks into it",
    "tilt": "the cuboid leans: roll or pitch where there should be none",
    "yaw_range": "the yaw is more than a whole turn: degrees taken for radians",
    "missing_2d": "a cuboid that the image shows, without a 2D box",
    "missing_3d": "a 2D box without a cuboid",
    "class_mismatch": "box and cuboid of the same object have different classes",
    "poor_overlap": "box and projected cuboid of the same object hardly overlap",
    "calibration": "all boxes of a camera lie beside their cuboids, in the same way",
    "wrong_frame": "the cuboids of a scene are in another frame than the LiDAR's",
    "overlooked": "a confident model sees an object that has no label",
    "swapped": "a confident model sees an object of another class there",
    "badly_placed": "a confident model sees the same object elsewhere, or turned",
    "turned": "a model that knows fronts from backs sees the object face the other way",
}

DUPLICATE_IOU = 0.9
DUPLICATE_BEV_IOU = 0.5
STICKS_OUT = 0.02  # of the image's width or height
SMALLEST = 2.0  # px, of the shorter side
LARGEST = 0.9  # of the image's area
LONGEST_RATIO = 8.0
AT_THE_EDGE = 2.0  # px from the image's edge within which a box is cut by it
SEEN_THROUGH = 3  # points behind a cuboid without points from which it can't be there
GROUND_SLACK = 0.4  # m, and 1 cm more per metre of distance
GROUND_ERROR = 1.0  # m
TILT = 0.35  # rad, 20 degrees
SAME_OBJECT = 0.1  # IoU of box and projected cuboid from which they may be the same object
POOR_IOU = 0.5  # of an object that is hidden or cut in part
POOR_IOU_WHOLE = 0.58  # of one that is not
LOOSE = 0.09  # of the logarithm of width and height, by which a box may be larger than the projection of a whole object
WITNESSES = 5  # points where the object of a box must stand, from which its cuboid is missing for certain


@dataclass(frozen=True)
class Finding:
    """One thing that a rule noticed. `object` is the row of the label in its `modality`, None for the
    scene; `score`: how sure a model is of it, 0 to 1, of what a model says."""

    rule: str
    severity: Severity
    modality: Literal["2d", "3d"]
    object: int | None
    evidence: str
    score: float | None = None


# ---------------------------------------------------------------------- boxes


def check_boxes(
    boxes: ArrayLike, names: Sequence[str], classes: Sequence[str], width: float, height: float
) -> tuple[Finding, ...]:
    """Findings on 2D labels: `boxes` (n, 4) px with class `names`, the class map, the image's size, px."""
    table = box_kernel.as_boxes(boxes)
    findings = [*_unknown(names, classes, "2d")]
    rows = _solid(table, table[:, 2:] - table[:, :2])
    findings += _degenerate(table, rows, "2d", "box")
    good = table[rows]
    inside = box_kernel.area(box_kernel.clip(good, width, height))
    findings += _outside(good, rows, inside, width, height)
    findings += _odd_boxes(good, rows, inside, width, height)
    findings += _double_boxes(good, names, rows)
    return tuple(findings)


def _outside(boxes: Array, rows: Rows, inside: Array, width: float, height: float) -> Iterator[Finding]:
    out = np.maximum(-boxes[:, :2], boxes[:, 2:] - [width, height]) / [width, height]
    far = out.max(axis=1, initial=0)
    for at in np.flatnonzero((inside == 0) | (far > STICKS_OUT)):
        said = f"box {_list(boxes[at])} "
        if inside[at] == 0:
            yield Finding("off_image", "error", "2d", int(rows[at]), said + "has no pixel in the image")
        else:
            yield Finding("off_image", "warning", "2d", int(rows[at]), said + f"sticks out by {far[at]:.0%}")


def _odd_boxes(boxes: Array, rows: Rows, inside: Array, width: float, height: float) -> Iterator[Finding]:
    """An object that is cut by the image's edge may have any proportions."""
    w, h = (boxes[:, 2:] - boxes[:, :2]).T
    small = np.minimum(w, h) < SMALLEST
    large = inside > LARGEST * width * height
    cut = np.minimum(boxes[:, :2], [width, height] - boxes[:, 2:]).min(axis=1, initial=np.inf) < AT_THE_EDGE
    long = (np.maximum(w, h) > LONGEST_RATIO * np.minimum(w, h)) & ~cut
    for at in np.flatnonzero((inside > 0) & (small | large | long)):
        said = f"{w[at]:.0f} x {h[at]:.0f} px in a {width:g} x {height:g} image"
        if small[at] or large[at]:
            yield Finding("size", "warning", "2d", int(rows[at]), said)
        if long[at]:
            yield Finding("aspect", "warning", "2d", int(rows[at]), said)


def _double_boxes(boxes: Array, names: Sequence[str], rows: Rows) -> Iterator[Finding]:
    overlap = box_kernel.iou(boxes, boxes)
    for a, b in zip(*np.nonzero(np.triu(overlap > DUPLICATE_IOU, 1)), strict=True):
        one, two = int(rows[a]), int(rows[b])
        if names[one] == names[two]:
            said = f"the same {names[one]} as object {one} (IoU {overlap[a, b]:.2f})"
            yield Finding("duplicate", "error", "2d", two, said)


# ---------------------------------------------------------------------- cuboids


def check_cuboids(
    cuboids: ArrayLike,
    names: Sequence[str],
    classes: Sequence[str],
    cloud: ArrayLike | None = None,
    usual: Mapping[str, Usual] = KITTI,
) -> tuple[Finding, ...]:
    """Findings on 3D labels: `cuboids` (n, 9) with their class `names`, the class map, the `cloud` (p, >= 3), and the `usual`
    sizes of classes.

    Without a cloud, or with one of no points, the rules that need points are silent; of a class without a usual size, those
    that need one.
    """
    table = np.asarray(cuboids, float).reshape(-1, 9)
    findings = [*_unknown(names, classes, "3d")]
    rows = _solid(table, table[:, 3:6])
    findings += _degenerate(table, rows, "3d", "cuboid")
    good = table[rows]
    if not len(good):
        return tuple(findings)
    findings += _sizes(good, [names[row] for row in rows], rows, usual)
    findings += _poses(good, rows)
    findings += _double_cuboids(good, names, rows)
    if cloud is not None:
        points = _points(cloud)
        if len(points):
            findings += _empty_cuboids(good, rows, points)
            findings += _off_ground(good, rows, points)
    return tuple(findings)


def _sizes(cuboids: Array, names: Sequence[str], rows: Rows, usual: Mapping[str, Usual]) -> Iterator[Finding]:
    known = np.array([name in usual for name in names])
    if not known.any():
        return
    of = [usual[name] for name in names if name in usual]
    size, at = cuboids[known, 3:6], np.flatnonzero(known)
    mean, spread = np.array([one.mean for one in of]), np.array([one.spread for one in of])
    off = np.maximum(size / mean, mean / size)
    crossed = size[:, [1, 0]]
    swapped = (np.maximum(crossed / mean[:, :2], mean[:, :2] / crossed) <= spread[:, :2]).all(axis=1)
    swapped &= (mean[:, 0] > 1.5 * mean[:, 1]) & (size[:, 1] > 1.2 * size[:, 0])
    for row in np.flatnonzero(swapped | (off > spread).any(axis=1)):
        one = of[row]
        source = f", from {one.labels} labels" if one.labels else ""
        said = f"{names[at[row]]} of {_metres(size[row])} m (usually {_metres(mean[row])}{source})"
        if swapped[row]:
            said += ": length and width swapped?"
        yield Finding("aspect" if swapped[row] else "size", "warning", "3d", int(rows[at[row]]), said)


def _poses(cuboids: Array, rows: Rows) -> Iterator[Finding]:
    upright = np.cos(cuboids[:, 6]) * np.cos(cuboids[:, 7])  # cosine of the lean, of Rx Ry Rz
    for at in np.flatnonzero(upright < math.cos(TILT)):
        rx, ry, _ = cuboids[at, 6:]
        lean = math.degrees(math.acos(min(1.0, max(-1.0, upright[at]))))
        said = f"leans by {lean:.0f} degrees (rx {rx:.2f}, ry {ry:.2f})"
        yield Finding("tilt", "warning", "3d", int(rows[at]), said)
    for at in np.flatnonzero(np.abs(cuboids[:, 8]) > 2 * math.pi + 1e-6):
        said = f"rz {cuboids[at, 8]:.2f} is more than a whole turn; degrees?"
        yield Finding("yaw_range", "warning", "3d", int(rows[at]), said)


def _double_cuboids(cuboids: Array, names: Sequence[str], rows: Rows) -> Iterator[Finding]:
    """Two solid things can't be in one place, whatever their classes."""
    apart = np.hypot(*(cuboids[:, None, :2] - cuboids[None, :, :2]).transpose(2, 0, 1))
    reach = np.hypot(cuboids[:, 3], cuboids[:, 4]) / 2
    close = np.triu(apart < reach[:, None] + reach[None, :], 1)
    near = np.flatnonzero(close.any(axis=0) | close.any(axis=1))
    upright = cuboid_kernel.yawed(cuboids[near])
    overlap = cuboid_kernel.bev_iou(upright, upright)
    for a, b in zip(*np.nonzero(np.triu(overlap > DUPLICATE_BEV_IOU, 1)), strict=True):
        one, two = int(rows[near[a]]), int(rows[near[b]])
        said = f"{names[two]} where object {one} ({names[one]}) is (BEV IoU {overlap[a, b]:.2f})"
        yield Finding("duplicate", "error", "3d", two, said)


def _empty_cuboids(cuboids: Array, rows: Rows, points: Array) -> Iterator[Finding]:
    """An empty cuboid alone says little: it may be hidden or far. One that the sensor saw through is not there."""
    for at in np.flatnonzero(points_of(cuboids, points) == 0):
        through, before = line_of_sight(cuboids[at], points)
        if through >= SEEN_THROUGH and through > before:
            away = math.hypot(*cuboids[at, :2])
            said = (
                f"no LiDAR point inside, {through} seen through it and {before} before it, {away:.0f} m away"
            )
            yield Finding("no_points", "error", "3d", int(rows[at]), said)


def _off_ground(cuboids: Array, rows: Rows, points: Array) -> Iterator[Finding]:
    bottom = np.sort(cuboid_kernel.corners(cuboids)[:, :, 2], axis=1)[:, :4].mean(axis=1)
    above = bottom - ground_height(points, cuboids[:, :2])
    slack = 0.01 * np.hypot(cuboids[:, 0], cuboids[:, 1])
    for at in np.flatnonzero(np.abs(above) > GROUND_SLACK + slack):  # NaN, where no ground is known, is not
        severity: Severity = "error" if abs(above[at]) > GROUND_ERROR + slack[at] else "warning"
        where = "above" if above[at] > 0 else "below"
        said = f"its bottom is {abs(above[at]):.1f} m {where} the ground"
        yield Finding("off_ground", severity, "3d", int(rows[at]), said)


# ---------------------------------------------------------------------- between an image and the cloud


def check_across(
    boxes: ArrayLike,
    box_names: Sequence[str],
    cuboids: ArrayLike,
    cuboid_names: Sequence[str],
    project: Project,
    width: float,
    height: float,
    image: str = "left",
    cloud: ArrayLike | None = None,
    usual: Mapping[str, Usual] = KITTI,
    seen: Sight | None = None,
) -> tuple[Finding, ...]:
    """Findings on the 2D labels of one image against the 3D labels of the scene.

    `project` takes points (m, 3) in the LiDAR frame to pixels (m, 2) of that image and depths (m,) in
    metres, as `labels.calibration.Camera.project` does. Cuboids that are behind the camera, out of the
    image, small, or hidden by nearer ones need no box; small boxes need no cuboid. A box without one is an error where the
    `cloud` has points of what it shows, else a warning. `seen`: what `sight.see` says, where it was asked before.
    """
    flat = box_kernel.as_boxes(boxes)
    seen = seen or see(cuboids, project, width, height)
    if not len(flat) and not len(seen.depth):
        return ()
    overlap = box_kernel.iou(flat, np.nan_to_num(seen.shown))
    same = _same(box_names, cuboid_names)
    pairs = match(np.where(overlap >= SAME_OBJECT, overlap + 0.2 * same, -1), SAME_OBJECT)
    findings: list[Finding] = []
    for row, column in pairs.pairs.tolist():
        one, two, iou = box_names[row], cuboid_names[column], overlap[row, column]
        if one != two:
            said = f"{one} in the {image} image, {two} in the cloud (object {column})"
            findings.append(Finding("class_mismatch", "error", "2d", row, said))
        if iou < (POOR_IOU_WHOLE if seen.whole[column] else POOR_IOU) and seen.clear[column]:
            said = f"{one}: IoU {iou:.2f} with the projection of cuboid {column} in the {image} image"
            findings.append(Finding("poor_overlap", "warning", "2d", row, said))
        elif seen.whole[column] and (larger := _larger(flat[row], seen.full[column])) > LOOSE:
            said = f"{one}: {math.expm1(larger):.0%} wider and higher than the projection of cuboid {column} in the {image} image"
            findings.append(Finding("poor_overlap", "warning", "2d", row, said))
    for column in pairs.unmatched_b.tolist():
        if seen.clear[column]:
            where = _list(seen.shown[column])
            said = f"{cuboid_names[column]} shows in the {image} image at {where}, without a box"
            findings.append(Finding("missing_2d", "error", "3d", column, said))
    tall = flat[:, 3] - flat[:, 1] >= seen.least_height
    lonely = [row for row in pairs.unmatched_a.tolist() if tall[row]]
    if lonely:
        points = np.zeros((0, 3)) if cloud is None else _points(cloud)
        for row in lonely:
            findings.append(_lonely(flat[row], row, box_names[row], image, project, points, usual))
    return tuple(findings)


def _larger(box: Array, shown: Array) -> float:
    """By how much (logarithm) a box is larger than a projection, both in width and height. A thing fills less than its cuboid."""
    sides, bound = box[2:] - box[:2], shown[2:] - shown[:2]
    return float(np.log(sides / bound).min())


def _lonely(
    box: Array, row: int, name: str, image: str, project: Project, points: Array, usual: Mapping[str, Usual]
) -> Finding:
    """A box without a cuboid."""
    said = f"{name} in the {image} image, without a cuboid"
    tall = usual[name].mean[2] if name in usual else None
    found = witnesses(box, tall, project, points) if tall is not None and len(points) else 0
    if found >= WITNESSES:
        return Finding("missing_3d", "error", "2d", row, f"{said}, where {found} LiDAR points are")
    return Finding("missing_3d", "warning", "2d", row, said)


def witnesses(box: Array, tall: float, project: Project, points: Array) -> int:
    """How many of the points (p, 3) are in the middle of the box (4,), upright as the object `tall` metres high that the box
    shows would be: as many metres away as makes it as high as the box, give or take a third."""
    pixels, depth = project(points)
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    with np.errstate(invalid="ignore"):
        inner = (depth > 0) & (np.abs(pixels - middle) < 0.6 * half).all(axis=1)
    there = points[inner]
    if not len(there):
        return 0
    top = project(there + np.array([0.0, 0.0, tall]))[0]
    high = np.abs(top[:, 1] - pixels[inner, 1])
    return int(np.count_nonzero((high > 2 * half[1] / 1.35) & (high < 2 * half[1] * 1.35)))


def _same(one: Sequence[str], two: Sequence[str]) -> Bools:
    return np.array([[a == b for b in two] for a in one], bool).reshape(len(one), len(two))


# ---------------------------------------------------------------------- what both kinds share


def _unknown(
    names: Sequence[str], classes: Sequence[str], modality: Literal["2d", "3d"]
) -> Iterator[Finding]:
    for row, name in enumerate(names):
        if name not in classes:
            yield Finding("unknown_class", "error", modality, row, f"{name[:40]!r}: not in the class map")


def _solid(values: Array, sizes: Array) -> Rows:
    """Rows that are finite and have area or volume."""
    good = np.isfinite(values).all(axis=1) & np.isfinite(sizes).all(axis=1) & (sizes > 0).all(axis=1)
    return np.flatnonzero(good).astype(np.int64)


def _degenerate(values: Array, solid: Rows, modality: Literal["2d", "3d"], what: str) -> Iterator[Finding]:
    if len(solid) < len(values):
        for row in np.setdiff1d(np.arange(len(values)), solid):
            yield Finding("degenerate", "error", modality, int(row), f"{what} {_list(values[row])}")


def _points(cloud: ArrayLike) -> Array:
    points = np.asarray(cloud, float)[:, :3]
    finite: Array = points[np.isfinite(points).all(axis=1)]
    return finite


def _list(values: Iterable[Any]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _metres(size: Array) -> str:
    return " x ".join(f"{side:.1f}" for side in size)
