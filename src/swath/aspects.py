"""What is known of the objects of an evaluation besides their class: size or distance, occlusion, points inside, the condition of
their scene; and how high they are in images, which KITTI's rules ask.

Read from the reference, the calibrations, the clouds and the fields of `evaluate.conditions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from swath.errors import FormatError
from swath.evaluations import Found, Truth, overlap
from swath.formats.pcd import read_pcd
from swath.kernels import boxes as box_kernel
from swath.kernels import cuboids as cuboid_kernel
from swath.kernels import kitti, sight, typed
from swath.kernels.detection import Predictions
from swath.labels.calibration import Camera, camera
from swath.policies import graded, strata
from swath.policies.strata import Axis
from swath.records.batch import Graded, Missed

if TYPE_CHECKING:
    from swath.workspace import Workspace

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def axes(
    workspace: Workspace,
    truths: Sequence[Truth],
    found: Sequence[Found],
    table: typed.Table,
    notes: list[str],
) -> list[Axis]:
    """What the objects of a table are told apart by."""
    flat = truths[0].channel.modality == "2d"
    bins = strata.heights if flat else lambda cuboids, _: strata.distances(cuboids)
    wanted = [bins(one.labels.shapes[one.rows], one.size[1]) for one in truths]
    seen = [
        bins(_shapes(one)[typed.best(one.scores, one.labels)], truth.size[1])
        for truth, one in zip(truths, found, strict=True)
    ]
    by, words = ("size", strata.SIZES) if flat else ("distance", strata.DISTANCES)
    occluded = [strata.occlusions(one.documents) for one in truths]
    out = [
        Axis("class", dict(enumerate(workspace.config.classes)), table.wanted, table.label),
        Axis(by, words, np.concatenate(wanted), np.concatenate(seen)),
        Axis("occlusion", strata.OCCLUSIONS, np.concatenate(occluded)),
    ]
    if not flat:
        inside = strata.points(np.concatenate(_inside(workspace, truths)))
        out.append(Axis("points", strata.POINTS, inside, shared=False))  # distance says it in plainer words
    return out + _conditions(workspace, truths, table, notes)


class Objects:
    """All objects of a reference, sample by sample, as `policies.modes` keeps them."""

    def __init__(self, workspace: Workspace, truths: Sequence[Truth]) -> None:
        self._truths, self._table = truths, workspace.scenes.of({one.key for one in truths})
        self._starts = np.cumsum([0, *(len(one.rows) for one in truths)])

    def __getitem__(self, row: int) -> Missed:
        at = int(np.searchsorted(self._starts, row, side="right")) - 1
        one = self._truths[at]
        label = one.rows[row - self._starts[at]]
        shape = tuple(round(float(value), 3) for value in one.labels.shapes[label])
        drive, name = self._table.drive(one.key), one.labels.classes[label]
        return Missed(scene=one.key, drive=drive, channel=one.channel.name, name=name, shape=shape)


def _shapes(found: Found) -> Floats:
    return found.boxes if isinstance(found, Predictions) else found.cuboids


def _inside(workspace: Workspace, truths: Sequence[Truth]) -> list[Ints]:
    """(m,) of each cloud: how many of its points lie in each object; -1 where it cannot be read."""
    table, out = workspace.scenes.of({one.key for one in truths}), []
    tick = workspace.progress(f"count points in {len(truths)} clouds")
    for done, truth in enumerate(truths, 1):
        wanted = truth.labels.shapes[truth.rows]
        try:
            cloud = (
                read_pcd(Path(table.path(truth.channel.name, truth.key))) if len(wanted) else np.zeros((0, 4))
            )
            out.append(cuboid_kernel.points_inside(cloud, wanted))
        except FormatError:
            out.append(np.full(len(wanted), -1, dtype=np.int64))
        tick(done, len(truths))
    return out


def _conditions(
    workspace: Workspace, truths: Sequence[Truth], table: typed.Table, notes: list[str]
) -> list[Axis]:
    """An axis for each field of conditions that tells the scenes apart; a note where it has too many values."""
    fields, keys = workspace.config.evaluate.conditions, [one.key for one in truths]
    docs = workspace.scenes.values(workspace.rig.primary, keys, fields) if fields else []
    out: list[Axis] = []
    for field in fields:
        said = [_said(doc.get(field)) for doc in docs]
        axis = strata.condition(field, said, table.place, table.image)
        if axis is not None:
            out.append(axis)
        elif len(set(said)) > strata.MOST:
            notes.append(
                f"{field!r} has {len(set(said) - {''})} values in val, more than {strata.MOST}: figures are not told apart by it "
                "(evaluate: conditions)"
            )
    return out


def _said(value: Any) -> str:
    """A condition as a field says it: text, a number, or one of FiftyOne's classifications."""
    if isinstance(value, Mapping):
        value = value.get("label")
    return "" if value is None else str(value)


# ---------------------------------------------------------------------- KITTI


def by_kitti(
    workspace: Workspace,
    truths: Sequence[Truth],
    found: Sequence[Found],
    overlaps: Sequence[Floats],
) -> tuple[Graded, ...]:
    """The figures by KITTI's rules; none where no label says how far its object is hidden or cut. `overlaps`: of boxes or footprints."""
    if not any(graded.has_flags(one.documents) for one in truths):
        return ()
    classes = workspace.config.classes
    if truths[0].channel.modality == "2d":
        scenes = [_flat(*one) for one in zip(truths, found, overlaps, strict=True)]
        return graded.graded("2d", scenes, classes)
    cameras = _cameras(workspace, truths)
    tall = [
        (
            _tall(_shapes(one), cameras.get(truth.key, ())),
            _tall(truth.labels.shapes[truth.rows], cameras.get(truth.key, ())),
        )
        for truth, one in zip(truths, found, strict=True)
    ]
    volumes = [overlap(one, truth, volumes=True) for truth, one in zip(truths, found, strict=True)]
    out: tuple[Graded, ...] = ()
    by: graded.By
    for by, shared in (("bev", overlaps), ("3d", volumes)):
        scenes = [_solid(*one) for one in zip(truths, found, tall, shared, strict=True)]
        out += graded.graded(by, scenes, classes)
    return out


def _flat(truth: Truth, found: Found, shared: Floats) -> kitti.Scene:
    boxes, wanted = _shapes(found), truth.labels.shapes[truth.rows]
    absorbed = graded.absorbed(boxes, truth.dont_care)
    return graded.scene(
        found.scores, found.labels, boxes[:, 3] - boxes[:, 1], truth.positions, wanted[:, 3] - wanted[:, 1], truth.documents, shared,
        absorbed, float(truth.size[1]),
    )  # fmt: skip


def _solid(truth: Truth, found: Found, tall: tuple[Floats, Floats], shared: Floats) -> kitti.Scene:
    seen, wanted = tall
    return graded.scene(
        found.scores,
        found.labels,
        seen,
        truth.positions,
        wanted,
        truth.documents,
        shared,
        np.zeros(len(seen)),
    )


Sized = tuple[Camera, int, int]
"""A camera and the width and height of its image, pixels."""


def _cameras(workspace: Workspace, truths: Sequence[Truth]) -> dict[str, list[Sized]]:
    """scene -> its calibrated cameras, the labelled ones where there are any."""
    keys, rig = sorted({one.key for one in truths}), workspace.rig
    table, calibrations = workspace.scenes.of(keys), workspace.scenes.calibrations(keys)
    channels = [one for one in rig.images if one.labelled] or rig.images
    out: dict[str, list[Sized]] = {}
    for key, stored in calibrations.items():
        for channel in channels:
            width, height = table.size(channel.name, key) if table.has(channel.name, key) else (0, 0)
            with suppress(FormatError):  # one that cannot be read is none: `check` names it
                one = camera(stored, channel.camera)
                if one is not None and min(width, height) > 0:
                    out.setdefault(key, []).append((one, width, height))
    return out


def _tall(cuboids: Floats, cameras: Sequence[Sized]) -> Floats:
    """(n,) how high cuboids are in the image that shows them highest, in px of 375 rows; 0 where none does, NaN without a camera."""
    if not cameras:
        return np.full(len(cuboids), np.nan)
    out = np.zeros(len(cuboids))
    for one, width, height in cameras:
        shown = box_kernel.clip(sight.projected(cuboids, one.project)[0], width, height)
        rows = np.where(box_kernel.area(shown) > 0, shown[:, 3] - shown[:, 1], 0.0)
        out = np.maximum(out, np.nan_to_num(rows) * kitti.ROWS / height)
    return out
