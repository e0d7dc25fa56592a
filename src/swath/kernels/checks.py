"""Rules that labels of one scene must keep: in the image, in the cloud, and between the two.

Arrays as everywhere: boxes (n, 4) x1, y1, x2, y2 in pixels; cuboids (n, 9) x, y, z, l, w, h, rx, ry, rz in
metres and radians, LiDAR frame; clouds (p, 3 or more) x, y, z. No labels give no findings, but for `empty`.
A label that is `degenerate` is left out of the other rules. docs/methods/checks.md has each rule's formula
and its weak spots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.kernels import boxes as box_kernel
from swath.kernels import cuboids as cuboid_kernel
from swath.kernels.match import match

Array = NDArray[np.float64]
Project = Callable[[Array], tuple[Array, Array]]
Severity = Literal["error", "warning"]

RULES = {
    "unknown_class": "the class is not in the frozen class map",
    "degenerate": "not finite, or without area or volume",
    "off_image": "the box is outside the image, or sticks out of it",
    "duplicate": "two labels of the same object",
    "size": "implausible size for the image, or for the class",
    "aspect": "implausible proportions; length and width swapped",
    "empty": "no label in the image at all",
    "no_points": "no LiDAR point inside the cuboid",
    "off_ground": "the cuboid floats above the ground, or sinks into it",
    "tilt": "the cuboid leans: roll or pitch where there should be none",
    "yaw_range": "the yaw is not in -pi .. pi",
    "missing_2d": "a cuboid that the image shows, without a 2D box",
    "missing_3d": "a 2D box without a cuboid",
    "class_mismatch": "box and cuboid of the same object have different classes",
    "poor_overlap": "box and projected cuboid of the same object hardly overlap",
}

DUPLICATE_IOU = 0.9
DUPLICATE_BEV_IOU = 0.5
STICKS_OUT = 0.02  # of the image's width or height
SMALLEST = 3.0  # px, of the shorter side
LARGEST = 0.9  # of the image's area
LONGEST_RATIO = 8.0
FOOT = 0.3  # m above its bottom that a cuboid's points are not counted: they are the ground's
SEEN_THROUGH = 3  # points behind a cuboid without points from which it can't be there
GROUND_SLACK = 0.4  # m, and 1 cm more per metre of distance
GROUND_ERROR = 1.0  # m
TILT = 0.35  # rad, 20 degrees
NEAR_PLANE = 0.5  # m before the camera
SEEN_HEIGHT = 25 / 375  # of the image's height: KITTI's smallest labelled objects have 25 px
SEEN_SHARE = 0.3  # of the projected box that lies in the image
HIDDEN_SHARE = 0.6  # of the projected box that nearer objects cover
SAME_OBJECT = 0.1  # IoU of box and projected cuboid from which they may be the same object
POOR_IOU = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing that a rule noticed. `object` is the row of the label in its `modality`, None for the
    scene."""

    rule: str
    severity: Severity
    modality: Literal["2d", "3d"]
    object: int | None
    evidence: str


@dataclass(frozen=True)
class Prior:
    """Usual size of a class: `mean` (l, w, h) in metres; `spread`: a side up to so many times larger or
    smaller."""

    mean: tuple[float, float, float]
    spread: tuple[float, float, float]


# Means over KITTI's training labels, as published with Frustum PointNets (Qi et al., CVPR 2018, in
# `g_type_mean_size`). The spreads are ours, wide enough for what KITTI calls a Truck
# (from a 4 m lorry to a 20 m bus) and for children.
PRIORS = {
    "Car": Prior((3.88, 1.63, 1.53), (1.8, 1.5, 1.6)),
    "Van": Prior((5.07, 1.90, 2.21), (1.8, 1.5, 1.7)),
    "Truck": Prior((10.14, 2.59, 3.25), (3.0, 1.7, 2.0)),
    "Pedestrian": Prior((0.84, 0.66, 1.76), (3.2, 2.2, 1.8)),
    "Person_sitting": Prior((0.80, 0.60, 1.27), (2.2, 2.2, 1.6)),
    "Cyclist": Prior((1.76, 0.60, 1.74), (1.7, 2.2, 1.5)),
    "Tram": Prior((16.17, 2.53, 3.53), (3.0, 1.6, 1.6)),
    "Misc": Prior((3.64, 1.54, 1.92), (8.0, 4.0, 4.0)),
}


def check_boxes(
    boxes: ArrayLike, names: Sequence[str], classes: Sequence[str], width: float, height: float
) -> tuple[Finding, ...]:
    """Findings on 2D labels: `boxes` (n, 4) px with class `names`, the class map, the image's size, px."""
    table = box_kernel.as_boxes(boxes)
    if not len(table):
        return (Finding("empty", "warning", "2d", None, "no 2D label in this scene"),)
    return tuple(_box_findings(table, names, classes, width, height))


def _box_findings(
    boxes: Array, names: Sequence[str], classes: Sequence[str], width: float, height: float
) -> Iterator[Finding]:
    yield from _unknown(names, classes, "2d")
    sizes = boxes[:, 2:] - boxes[:, :2]
    solid = _solid(boxes, sizes)
    for row, (box, (w, h)) in enumerate(zip(boxes, sizes, strict=True)):
        if not solid[row]:
            yield Finding("degenerate", "error", "2d", row, f"box {_list(box)}")
            continue
        out = np.array([-box[0] / width, -box[1] / height, box[2] / width - 1, box[3] / height - 1]).max()
        inside = box_kernel.area(box_kernel.clip(box[None], width, height))[0]
        size = f"{w:.0f} x {h:.0f} px in a {width:g} x {height:g} image"
        if inside == 0:
            yield Finding("off_image", "error", "2d", row, f"box {_list(box)} has no pixel in the image")
            continue
        if out > STICKS_OUT:
            yield Finding("off_image", "warning", "2d", row, f"box {_list(box)} sticks out by {out:.0%}")
        if min(w, h) < SMALLEST or inside > LARGEST * width * height:
            yield Finding("size", "warning", "2d", row, size)
        # An object cut by the image's edge may have any proportions.
        cut = min(box[0], box[1], width - box[2], height - box[3]) < 2
        if max(w / h, h / w) > LONGEST_RATIO and not cut:
            yield Finding("aspect", "warning", "2d", row, size)
    overlap = box_kernel.iou(boxes, boxes)
    for first, second in zip(*np.nonzero(np.triu(overlap > DUPLICATE_IOU, 1)), strict=True):
        if names[first] == names[second]:
            evidence = f"the same {names[first]} as object {first} (IoU {overlap[first, second]:.2f})"
            yield Finding("duplicate", "error", "2d", int(second), evidence)


def check_cuboids(
    cuboids: ArrayLike, names: Sequence[str], classes: Sequence[str], cloud: ArrayLike | None = None
) -> tuple[Finding, ...]:
    """Findings on 3D labels: `cuboids` (n, 9) with their class `names`, the class map, and the `cloud` (p,
    >= 3).

    Without a cloud, or with one of no points, the rules that need points are silent.
    """
    table = np.asarray(cuboids, float).reshape(-1, 9)
    findings = [*_unknown(names, classes, "3d")]
    good = _solid(table, table[:, 3:6])
    for row in np.flatnonzero(~good):
        findings.append(Finding("degenerate", "error", "3d", int(row), f"cuboid {_list(table[row])}"))
    rows = [int(row) for row in np.flatnonzero(good)]
    findings += _shape_findings(table, names, rows)
    findings += _pose_findings(table, rows)
    findings += _double_cuboids(table, names, rows)
    points = np.zeros((0, 3)) if cloud is None else np.asarray(cloud, float)[:, :3]
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) and rows:
        findings += _point_findings(table, rows, points)
        findings += _ground_findings(table, rows, points)
    return tuple(findings)


def _shape_findings(cuboids: Array, names: Sequence[str], rows: list[int]) -> Iterator[Finding]:
    for row in rows:
        prior = PRIORS.get(names[row])
        if prior is None:
            continue
        size, mean, spread = cuboids[row, 3:6], np.array(prior.mean), np.array(prior.spread)
        said = f"{names[row]} of {_metres(size)} m (usually {_metres(mean)})"
        off = np.maximum(size / mean, mean / size)
        swapped = np.maximum(size[[1, 0]] / mean[:2], mean[:2] / size[[1, 0]])
        if mean[0] > 1.5 * mean[1] and size[1] > 1.2 * size[0] and (swapped <= spread[:2]).all():
            yield Finding("aspect", "warning", "3d", row, f"{said}: length and width swapped?")
        elif (off > spread).any():
            yield Finding("size", "warning", "3d", row, said)


def _pose_findings(cuboids: Array, rows: list[int]) -> Iterator[Finding]:
    for row in rows:
        rx, ry, rz = cuboids[row, 6:]
        lean = math.acos(min(1.0, max(-1.0, float(cuboid_kernel.rotations(cuboids[row : row + 1])[0, 2, 2]))))
        if lean > TILT:
            said = f"leans by {math.degrees(lean):.0f} degrees (rx {rx:.2f}, ry {ry:.2f})"
            yield Finding("tilt", "warning", "3d", row, said)
        if abs(rz) > math.pi + 1e-6:
            yield Finding("yaw_range", "warning", "3d", row, f"rz {rz:.2f}: not in -pi .. pi; degrees?")


def _double_cuboids(cuboids: Array, names: Sequence[str], rows: list[int]) -> Iterator[Finding]:
    """Two solid things can't be in one place, whatever their classes."""
    upright = cuboid_kernel.yawed(cuboids[rows])
    overlap = cuboid_kernel.bev_iou(upright, upright)
    for a, b in zip(*np.nonzero(np.triu(overlap > DUPLICATE_BEV_IOU, 1)), strict=True):
        said = f"{names[rows[b]]} where object {rows[a]} ({names[rows[a]]}) is (BEV IoU {overlap[a, b]:.2f})"
        yield Finding("duplicate", "error", "3d", rows[b], said)


def _point_findings(cuboids: Array, rows: list[int], points: Array) -> Iterator[Finding]:
    # Labels hug the points, so a hand's width is added; what touches the ground is ground, so the foot is cut off.
    body = cuboids[rows].copy()
    foot = np.minimum(FOOT, 0.3 * body[:, 5])
    body[:, 3:6] += 0.1
    body[:, 5] -= foot
    body[:, 2] += foot / 2
    for row, count in zip(rows, cuboid_kernel.points_inside(points, body), strict=True):
        if count == 0:
            through, before = _line_of_sight(cuboids[row], points)
            severity: Severity = "error" if through >= SEEN_THROUGH and through > before else "warning"
            said = f"no LiDAR point inside, {through} seen through it and {before} before it"
            yield Finding(
                "no_points", severity, "3d", row, f"{said}, {math.hypot(*cuboids[row, :2]):.0f} m away"
            )


def _line_of_sight(cuboid: Array, points: Array) -> tuple[int, int]:
    """How many points lie behind the middle of the cuboid as the sensor sees it, and how many before it."""
    corners = cuboid_kernel.corners(cuboid[None])[0]
    turn = math.atan2(cuboid[1], cuboid[0])

    def seen(where: Array) -> tuple[Array, Array]:
        away = np.hypot(where[:, 0], where[:, 1])
        aside = cuboid_kernel.wrap(np.arctan2(where[:, 1], where[:, 0]) - turn)
        return np.column_stack([aside, where[:, 2] / np.maximum(away, 1e-6)]), away

    (outline, edge), (view, away) = seen(corners), seen(points)
    middle, half = (outline.max(axis=0) + outline.min(axis=0)) / 2, np.ptp(outline, axis=0) / 2
    inner = (np.abs(view - middle) < 0.6 * half).all(axis=1)
    return int(np.count_nonzero(away[inner] > edge.max())), int(np.count_nonzero(away[inner] < edge.min()))


def _ground_findings(cuboids: Array, rows: list[int], points: Array) -> Iterator[Finding]:
    corners = cuboid_kernel.corners(cuboids[rows])
    ground = ground_height(points, cuboids[rows, :2])
    for row, eight, floor in zip(rows, corners, ground, strict=True):
        above = float(np.sort(eight[:, 2])[:4].mean() - floor)
        away = math.hypot(*cuboids[row, :2])
        if abs(above) > GROUND_SLACK + 0.01 * away:  # NaN, where the ground is not known, is not
            severity: Severity = "error" if abs(above) > GROUND_ERROR + 0.01 * away else "warning"
            said = f"its bottom is {abs(above):.1f} m {'above' if above > 0 else 'below'} the ground"
            yield Finding("off_ground", severity, "3d", row, said)


def ground_height(points: Array, places: Array) -> Array:
    """Height of the ground, metres (m,), at `places` (m, 2) x, y: from `points` (p, 3); NaN where none is
    known.

    A plane is fitted to the lowest points of 4 m cells within 60 m, four times, each time closer. The height
    at a place is the plane's, corrected by the points within 4 m that are near the plane where there are ten
    of them. Without such points it is the plane's up to 40 m from the sensor and not known beyond; with
    fewer than six cells there is no plane, and nothing is known.
    """
    plane = _ground_plane(points)
    height = np.full(len(places), np.nan)
    if plane is None:
        return height
    above = points[:, 2] - (points[:, :2] @ plane[:2] + plane[2])
    near_plane = np.abs(above) < 0.5
    low, above = points[near_plane], above[near_plane]
    for at, place in enumerate(places):
        level = float(place @ plane[:2] + plane[2])
        around = np.hypot(low[:, 0] - place[0], low[:, 1] - place[1]) < 4
        if np.count_nonzero(around) >= 10:
            height[at] = level + np.quantile(above[around], 0.25)
        elif math.hypot(*place) <= 40:
            height[at] = level
    return height


def _ground_plane(points: Array) -> Array | None:
    """(a, b, c) of z = a x + b y + c, or None."""
    points = points[np.hypot(points[:, 0], points[:, 1]) < 60]
    if not len(points):
        return None
    cell = np.floor(points[:, :2] / 4).astype(np.int64) @ np.array([1000, 1])
    order = np.lexsort((points[:, 2], cell))
    _, first, count = np.unique(cell[order], return_index=True, return_counts=True)
    lowest = points[order[first[count >= 5]]]  # a single low point is an echo, not a road
    if len(lowest) < 6:
        return None
    near = lowest[np.argsort(np.hypot(lowest[:, 0], lowest[:, 1]), kind="stable")[:12]]
    plane = np.array([0.0, 0.0, np.median(near[:, 2])])
    for reach in (1.5, 0.8, 0.4, 0.3):
        off = np.abs(lowest[:, 2] - (lowest[:, :2] @ plane[:2] + plane[2]))
        kept = lowest[off < reach + 0.01 * np.hypot(lowest[:, 0], lowest[:, 1])]
        if len(kept) < 6:
            return plane
        plane = np.linalg.lstsq(np.c_[kept[:, :2], np.ones(len(kept))], kept[:, 2], rcond=None)[0]
    return np.asarray(plane)


def check_across(
    boxes: ArrayLike,
    box_names: Sequence[str],
    cuboids: ArrayLike,
    cuboid_names: Sequence[str],
    project: Project,
    width: float,
    height: float,
    image: str = "left",
) -> tuple[Finding, ...]:
    """Findings on the 2D labels of one image against the 3D labels of the scene.

    `project` takes points (m, 3) in the LiDAR frame to pixels (m, 2) of that image and depths (m,) in
    metres, as `formats.kitti.Calibration.project` does. Cuboids that are behind the camera, out of the
    image, small, or hidden by nearer ones need no box; small boxes, and boxes behind which a matched one
    stands, need no cuboid.
    """
    flat = box_kernel.as_boxes(boxes)
    table = np.asarray(cuboids, float).reshape(-1, 9)
    full, cut, depth = projected(table, project)
    shown = box_kernel.clip(full, width, height)
    area = box_kernel.area(shown)
    in_image = area > 0
    clear = in_image & (area >= SEEN_SHARE * box_kernel.area(full)) & ~cut
    clear &= (shown[:, 3] - shown[:, 1] >= SEEN_HEIGHT * height) & ~_hidden(shown, depth)
    overlap = box_kernel.iou(flat, np.nan_to_num(shown))
    same = np.array([[one == two for two in cuboid_names] for one in box_names], bool).reshape(overlap.shape)
    pairs = match(np.where(overlap >= SAME_OBJECT, overlap + 0.2 * same, -1), SAME_OBJECT)
    findings: list[Finding] = []
    for row, column in pairs.pairs.tolist():
        one, two, iou = box_names[row], cuboid_names[column], overlap[row, column]
        if one != two:
            said = f"{one} in the {image} image, {two} in the cloud (object {column})"
            findings.append(Finding("class_mismatch", "error", "2d", row, said))
        if iou < POOR_IOU and clear[column]:
            said = f"{one}: IoU {iou:.2f} with the projection of cuboid {column} in the {image} image"
            findings.append(Finding("poor_overlap", "warning", "2d", row, said))
    for column in pairs.unmatched_b.tolist():
        if clear[column]:
            said = (
                f"{cuboid_names[column]} shows in the {image} image at {_list(shown[column])}, without a box"
            )
            findings.append(Finding("missing_2d", "error", "3d", column, said))
    tall = flat[:, 3] - flat[:, 1] >= SEEN_HEIGHT * height
    for row in pairs.unmatched_a.tolist():
        if tall[row]:
            said = f"{box_names[row]} in the {image} image, without a cuboid"
            findings.append(Finding("missing_3d", "warning", "2d", row, said))
    return tuple(findings)


_EDGES = np.array(
    [(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)]
)


def projected(cuboids: ArrayLike, project: Project) -> tuple[Array, NDArray[np.bool_], Array]:
    """Boxes (n, 4) px around the projected cuboids (n, 9), not clipped to the image; which are `cut` by the
    plane 0.5 m before the camera (n,); and the depth of each centre, metres (n,).

    A box is NaN where no part of the cuboid is before that plane, or the cuboid is degenerate. What is cut
    is the box of the part before it: depth is linear along an edge, so the cut is exact.
    """
    table = np.asarray(cuboids, float).reshape(-1, 9)
    boxes, cut = np.full((len(table), 4), np.nan), np.zeros(len(table), bool)
    if not len(table):
        return boxes, cut, np.zeros(0)
    corners = cuboid_kernel.corners(table)
    depth = project(corners.reshape(-1, 3))[1].reshape(-1, 8)
    for row, (eight, deep) in enumerate(zip(corners, depth, strict=True)):
        if not np.isfinite(deep).all() or not (table[row, 3:6] > 0).all() or (deep < NEAR_PLANE).all():
            continue
        cut[row] = bool((deep < NEAR_PLANE).any())
        start, end = deep[_EDGES].T
        crosses = (start < NEAR_PLANE) != (end < NEAR_PLANE)
        part = (NEAR_PLANE - start[crosses]) / (end - start)[crosses]
        begin, stop = eight[_EDGES[crosses, 0]], eight[_EDGES[crosses, 1]]
        solid = np.concatenate([eight[deep >= NEAR_PLANE], begin + part[:, None] * (stop - begin)])
        pixels = project(solid)[0]
        boxes[row] = [*pixels.min(axis=0), *pixels.max(axis=0)]
    return boxes, cut, project(table[:, :3])[1]


def _hidden(shown: Array, depth: Array) -> NDArray[np.bool_]:
    """Which of the boxes are covered, for more than HIDDEN_SHARE of their area, by one nearer object's
    box."""
    covered = box_kernel.intersection(shown, shown)
    covered[~(depth[:, None] > depth[None, :])] = 0
    share: Array = (covered / np.maximum(box_kernel.area(shown), 1e-9)[:, None]).max(axis=1, initial=0)
    return share > HIDDEN_SHARE


def _unknown(
    names: Sequence[str], classes: Sequence[str], modality: Literal["2d", "3d"]
) -> Iterator[Finding]:
    for row, name in enumerate(names):
        if name not in classes:
            yield Finding("unknown_class", "error", modality, row, f"{name[:40]!r}: not in the class map")


def _solid(values: Array, sizes: Array) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values).all(axis=1) & (sizes > 0).all(axis=1))


def _list(values: Array) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _metres(size: Array) -> str:
    return " x ".join(f"{side:.1f}" for side in size)
