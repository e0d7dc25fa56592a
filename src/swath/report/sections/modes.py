"""How the model fails: what missed objects share, since when, and how they look, in the image or from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from swath.labels.channels import Channel
from swath.records.batch import Missed, Mode
from swath.report import above, overlays, pictures
from swath.report.known import Known
from swath.report.overlays import Outline
from swath.report.pictures import Picture
from swath.workspace import Workspace

WIDTH: Final = 200  # of a picture, pixels
AROUND: Final = 2.6  # its part of the image, against the box in it
LEAST: Final = 1 / 8  # of the image's width
SPAN: Final = 14.0  # metres of the ground, from above


@dataclass(frozen=True)
class Shown:
    """A missed object in its picture."""

    of: Missed
    picture: Picture
    about: Outline
    above: bool


@dataclass(frozen=True)
class Row:
    """A mode, and the `share` of its objects that was missed. `trend`: (round, share that was missed) of the rounds in which it was
    one, oldest first; `shown`: some of its objects."""

    mode: Mode
    share: float
    trend: tuple[tuple[str, float], ...]
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Model:
    modality: str
    rows: tuple[Row, ...]


def data(known: Known) -> tuple[Model, ...]:
    record = known.record
    if record is None:
        return ()
    ordered = [record.modality, *sorted(set(record.figures) - {record.modality})]
    models = (Model(one, tuple(_rows(known, one, record.figures[one].modes))) for one in ordered)
    return tuple(one for one in models if one.rows)


def _rows(known: Known, modality: str, modes: Sequence[Mode]) -> list[Row]:
    then = [
        (one.round, {mode.name: mode.share for mode in found.modes})
        for one in known.evaluated
        if one.steps.evaluate is not None and (found := one.steps.evaluate.figures.get(modality)) is not None
    ]
    return [
        Row(
            mode,
            mode.share,
            tuple((round_, shares[mode.name]) for round_, shares in then if mode.name in shares),
            tuple(_shown(known.workspace, mode.examples)),
        )
        for mode in modes
    ]


def _shown(workspace: Workspace, examples: Sequence[Missed]) -> list[Shown]:
    """The examples whose scenes are there."""
    table = workspace.scenes.of(workspace.only("val", [one.scene for one in examples], "report"))
    out = []
    for one in examples:
        if one.scene in table.row_of and one.channel in workspace.rig:
            channel = workspace.rig[one.channel]
            size, path = table.size(channel.name, one.scene), table.path(channel.name, one.scene)
            out.append(_drawn(one, channel, size, path))
    return out


def _drawn(one: Missed, channel: Channel, size: tuple[int, int], path: str) -> Shown:
    shape = np.array([one.shape])
    canvas: overlays.Canvas
    if channel.kind == "cloud":
        canvas = on = above.Ground(one.shape[0], one.shape[1], SPAN, WIDTH)
        image = above.picture(path, on)
    else:
        part = _part(one.shape, size)
        image = pictures.picture(path, WIDTH, size, part)
        at = (part[2] - part[0], part[3] - part[1]) if part else (image.width, image.height)
        canvas = overlays.Photo(image.width, image.height, at, part[:2] if part else (0, 0))
    about = overlays.outline(canvas.outlines(shape)[0], one.name, "missed", True, solid=len(one.shape) == 9)
    return Shown(one, image, about, channel.kind == "cloud")


def _part(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The square part of an image of `size` around a box, pixels; None where the size is unknown."""
    width, height = size
    if min(size) <= 0:
        return None
    x1, y1, x2, y2 = box
    side = int(min(max(AROUND * (x2 - x1), AROUND * (y2 - y1), width * LEAST), width, height))
    left = int(min(max((x1 + x2 - side) / 2, 0), width - side))
    top = int(min(max((y1 + y2 - side) / 2, 0), height - side))
    return left, top, left + max(side, 1), top + max(side, 1)
