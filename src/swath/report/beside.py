"""Two labellings of one object beside each other: in the images that show it, and in the cloud from above.

The first labelling (a reference, or annotator A) and the second (a blind label, or B) are drawn in one picture; the object that it is
about is thick. A box in an image is found in the other sensors by the cuboid whose projection covers it best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from swath.errors import FormatError
from swath.kernels import boxes, sight
from swath.labels.calibration import Camera, camera
from swath.labels.channels import Channel
from swath.labels.shapes import Floats, Labels
from swath.report import above, overlays, pictures
from swath.report.overlays import Outline
from swath.report.pictures import Picture
from swath.store.table import SceneTable
from swath.workspace import Workspace

WIDTH: Final = 330  # of a picture, pixels
AROUND, SHAPE = 3.0, 1.8  # a picture, against the box in it; its width, against its height
LEAST: Final = 18.0  # metres: the side of the ground that is shown
SAME: Final = 0.3  # IoU of a box and the projection of a cuboid that is the same object
CAMERAS: Final = 2

Pair = tuple[Labels, Labels]
Rows = tuple[int | None, int | None]


@dataclass(frozen=True)
class View:
    """What one sensor shows: its picture, and what both labellings drew there."""

    name: str
    picture: Picture
    first: tuple[Outline, ...]
    second: tuple[Outline, ...]
    above: bool = False


@dataclass(frozen=True)
class Shown:
    """A scene: its media, calibration, and both labellings of each channel, by name."""

    key: str
    table: SceneTable
    calibration: Mapping[str, Any] | None
    labels: Mapping[str, Pair]


def views(workspace: Workspace, scene: Shown, about: Channel, rows: Rows) -> tuple[View, ...]:
    """The images that show it (two at most, that of `about` first; whole ones where no calibration tells) and the first cloud; `rows`: the object's label in both labellings of `about`."""
    shapes = [
        labels.shapes[[row]]
        for labels, row in zip(scene.labels[about.name], rows, strict=True)
        if row is not None
    ]
    there = [one for one in workspace.rig.channels if scene.table.has(one.name, scene.key)]
    cloud = next((one for one in there if one.kind == "cloud"), None)
    solid = np.concatenate(shapes) if about.kind == "cloud" else _solid(scene, about, cloud, shapes)
    images = sorted((one for one in there if one.kind == "image"), key=lambda one: one != about)
    seen = {one.name: _projected(scene, one, solid) for one in images}
    known = [one for one in images if one == about or len(seen[one.name])]
    out = [_image(scene, one, about, rows, seen[one.name]) for one in (known or images)[:CAMERAS]]
    if cloud is not None:
        out.append(_cloud(scene, cloud, about, rows, solid))
    return tuple(out)


def _solid(scene: Shown, about: Channel, cloud: Channel | None, shapes: list[Floats]) -> Floats:
    """(0 or 1, 9) the cuboid of either labelling that a box of the image is the projection of."""
    nothing = np.zeros((0, 9))
    if cloud is None or cloud.name not in scene.labels:
        return nothing
    every = np.concatenate([one.shapes for one in scene.labels[cloud.name]])
    found = _camera(scene, about)
    if found is None or not len(every):
        return nothing
    width, height = scene.table.size(about.name, scene.key)
    overlap = np.nan_to_num(boxes.iou(sight.see(every, found.project, width, height).shown, shapes[0]))[:, 0]
    best = int(overlap.argmax())
    return every[[best]] if overlap[best] >= SAME else nothing


def _camera(scene: Shown, channel: Channel) -> Camera | None:
    try:
        return camera(scene.calibration, channel.camera)
    except FormatError:
        return None


def _projected(scene: Shown, channel: Channel, solid: Floats) -> Floats:
    """(k, 4) boxes around cuboids in an image that shows them."""
    found = _camera(scene, channel) if len(solid) else None
    if found is None:
        return np.zeros((0, 4))
    width, height = scene.table.size(channel.name, scene.key)
    shown = sight.see(solid, found.project, width, height).shown
    return shown[np.isfinite(shown).all(axis=1) & (boxes.area(shown) > 0)]


def window(box: Floats, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The part (x1, y1, x2, y2) of an image of `size` that shows a box (4,) large, with some of what is around it; None where the
    size is unknown. Pixels."""
    width, height = size
    if min(size) <= 0:
        return None
    x1, y1, x2, y2 = box.tolist()
    wide = min(max(AROUND * (x2 - x1), AROUND * SHAPE * (y2 - y1), width / 5), width)
    high = min(wide / SHAPE, height)
    left = min(max((x1 + x2 - wide) / 2, 0), width - wide)
    top = min(max((y1 + y2 - high) / 2, 0), height - high)
    return int(left), int(top), max(int(left + wide), int(left) + 1), max(int(top + high), int(top) + 1)


def _image(scene: Shown, channel: Channel, about: Channel, rows: Rows, seen: Floats) -> View:
    size, path = scene.table.size(channel.name, scene.key), scene.table.path(channel.name, scene.key)
    mine = channel == about
    pair = scene.labels.get(channel.name)
    own = [one.shapes[[row]] for one, row in zip(pair or (), rows, strict=False) if mine and row is not None]
    around = np.concatenate([*own, seen]) if not mine else np.concatenate(own)
    whole = np.concatenate([around[:, :2].min(axis=0), around[:, 2:].max(axis=0)]) if len(around) else None
    part = None if whole is None else window(whole, size)
    image = pictures.picture(path, WIDTH, size, part)
    at = (part[2] - part[0], part[3] - part[1]) if part else (max(size[0], 1), max(size[1], 1))
    canvas = overlays.Photo(image.width, image.height, at, part[:2] if part else (0, 0))
    drawn = [
        _outlines(canvas, one, row if mine else None) for one, row in zip(pair or (), rows, strict=False)
    ]
    first, second = (*drawn, (), ())[:2]
    if not mine and about.kind == "cloud":
        first, second = _shadows(scene, channel, about, rows, canvas, first, second)
    return View(channel.name, image, first, second)


def _shadows(
    scene: Shown,
    channel: Channel,
    about: Channel,
    rows: Rows,
    canvas: overlays.Canvas,
    *drawn: tuple[Outline, ...],
) -> tuple[tuple[Outline, ...], tuple[Outline, ...]]:
    """What both drew in an image, and the boxes around the projections of both cuboids of the object."""
    out = []
    for labels, row, others in zip(scene.labels[about.name], rows, drawn, strict=True):
        boxes_ = _projected(scene, channel, labels.shapes[[] if row is None else [row]])
        more = [
            overlays.outline(points, f"{labels.classes[row or 0]} (cuboid)", "", True)
            for points in canvas.outlines(boxes_)
        ]
        out.append((*others, *more))
    return out[0], out[1]


def _cloud(scene: Shown, channel: Channel, about: Channel, rows: Rows, solid: Floats) -> View:
    pair = scene.labels.get(channel.name)
    every = np.concatenate([one.shapes for one in pair]) if pair else np.zeros((0, 9))
    on = _around(solid) if len(solid) else above.ground(every)
    drawn = [
        _outlines(on, one, row if channel == about else None)
        for one, row in zip(pair or (), rows, strict=False)
    ]
    first, second = (*drawn, (), ())[:2]
    return View(
        channel.name, above.picture(scene.table.path(channel.name, scene.key), on), first, second, True
    )


def _around(solid: Floats) -> above.Ground:
    middle, longest = solid[:, :2].mean(axis=0), float(solid[:, 3:5].max())
    spread = float(np.ptp(solid[:, :2], axis=0).max())
    return above.Ground(float(middle[0]), float(middle[1]), max(LEAST, 3 * longest + 2 * spread))


def _outlines(canvas: overlays.Canvas, labels: Labels, row: int | None) -> tuple[Outline, ...]:
    """Those that are finite and in the picture; that of `row` is thick."""
    there = np.flatnonzero(np.isfinite(labels.shapes).all(axis=1))
    out = []
    for at, points in zip(there.tolist(), canvas.outlines(labels.shapes[there]), strict=True):
        low, high = points.min(axis=0), points.max(axis=0)
        if (high >= 0).all() and low[0] <= canvas.width and low[1] <= canvas.height:
            solid = labels.shapes.shape[1] == 9
            out.append(overlays.outline(points, labels.classes[at], "", at == row, solid=solid))
    return tuple(out)
