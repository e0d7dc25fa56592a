"""Looks for labels that cannot be right: in images, in clouds, and between the two. Findings are shown, never acted upon.

The rules are `kernels.checks`. Findings of a batch are written to the field `findings` of the labelled channels: to each its
own, and those of the scene's channels of the other kind, which it is compared with. They are counted in the journal; nothing
is deleted or changed on their account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from swath import life
from swath.errors import FormatError
from swath.formats.pcd import read_pcd
from swath.kernels import checks
from swath.labels import stored
from swath.labels.calibration import Camera, camera
from swath.labels.channels import Channel
from swath.labels.shapes import Labels
from swath.opinions import agreement_of
from swath.records.batch import Checked, Finding
from swath.store.scenes import FINDINGS
from swath.store.table import SceneTable
from swath.workspace import Workspace

LISTED: Final = 500  # findings that the journal and the report keep in full


def check(workspace: Workspace) -> Checked:
    """Checks the labels of the round that was fetched last. Doing it again replaces its findings."""
    with workspace.writer("check") as writer:
        name = life.latest(workspace.journal.batches.all(), "check", dataset=workspace.name).round
        scenes, table = _labelled(workspace, name)
        calibrations = workspace.scenes.calibrations([scene.key for scene in scenes])
        found: dict[str, list[Finding]] = {}
        notes: list[str] = []
        tick = workspace.progress(f"check labels of {name}")
        for i, scene in enumerate(scenes):
            rules = _Rules(workspace.config.classes, scene, table)
            found[scene.key] = [*rules.alone(), *rules.across(calibrations.get(scene.key))]
            notes += rules.notes
            tick(i + 1, len(scenes))
        for channel in workspace.rig.labelled:
            values = {
                key: {FINDINGS: [f"{name} {_line(one)}" for one in _shown_on(channel, listed)]}
                for key, listed in found.items()
                if table.has(channel.name, key)
            }
            workspace.scenes.write(channel.name, values, writer)
        result = _result(name, found, notes).with_(agreement=agreement_of(workspace, name))
        workspace.journal.lease.barrier(writer)
        kept = result.with_(findings=result.findings[:LISTED])
        workspace.journal.batches.advance(writer, name, "check", {"check": kept})
        workspace.scenes.refresh()
    return result


@dataclass(frozen=True)
class _Scene:
    """A scene of the round, with the labels that came, by channel in the rig's order."""

    key: str
    labels: Mapping[Channel, Labels]


def _labelled(workspace: Workspace, name: str) -> tuple[list[_Scene], SceneTable]:
    """The scenes of a round whose labels came, by key."""
    rows = workspace.journal.assignments.labelled(round=name, role=("pool", "second"))
    done = {(row.key, row.channel) for row in rows}
    table = workspace.scenes.of({key for key, _ in done})
    keys = table.known(sorted({key for key, _ in done}))
    labels: dict[str, dict[Channel, Labels]] = {key: {} for key in keys}
    for channel in workspace.rig.labelled:
        here = [key for key in keys if (key, channel.name) in done and table.has(channel.name, key)]
        for key, doc in zip(here, workspace.scenes.values(channel.name, here, [channel.human]), strict=True):
            size = table.size(channel.name, key)
            labels[key][channel] = stored.read(channel.modality, doc.get(channel.human), size)
    return [_Scene(key, labels[key]) for key in keys], table


class _Rules:
    """The rules of `kernels.checks`, asked of one scene."""

    def __init__(self, classes: Sequence[str], scene: _Scene, table: SceneTable) -> None:
        self._classes, self._scene, self._table = classes, scene, table
        self._images = [channel for channel in scene.labels if channel.kind == "image"]
        self._clouds = [channel for channel in scene.labels if channel.kind == "cloud"]
        self.notes: list[str] = []

    def alone(self) -> Iterator[Finding]:
        """What each channel's labels say by themselves."""
        for channel in self._images:
            labels, size = self._scene.labels[channel], self._table.size(channel.name, self._scene.key)
            yield from self._of(
                checks.check_boxes(labels.shapes, labels.classes, self._classes, *size), channel, channel
            )
        for channel in self._clouds:
            labels = self._scene.labels[channel]
            yield from self._of(
                checks.check_cuboids(labels.shapes, labels.classes, self._classes, self._points(channel)),
                channel,
                channel,
            )

    def across(self, calibration: Mapping[str, Any] | None) -> Iterator[Finding]:
        """What each image says of the cuboids of the first cloud, and they of it, where the camera is calibrated."""
        for cloud in self._clouds[:1]:
            for channel in self._images:
                seen_by = self._camera(calibration, channel)
                if seen_by is None:
                    continue
                boxes, cuboids = self._scene.labels[channel], self._scene.labels[cloud]
                found = checks.check_across(
                    boxes.shapes,
                    boxes.classes,
                    cuboids.shapes,
                    cuboids.classes,
                    seen_by.project,
                    *self._table.size(channel.name, self._scene.key),
                    image=channel.name,
                )
                yield from self._of(found, channel, cloud)

    def _camera(self, calibration: Mapping[str, Any] | None, channel: Channel) -> Camera | None:
        try:
            return camera(calibration, channel.camera)
        except FormatError as error:
            self.notes.append(f"{self._scene.key}: image and cloud were not compared: {error}")
            return None

    def _points(self, channel: Channel) -> npt.NDArray[np.float32] | None:
        try:
            return read_pcd(Path(self._table.path(channel.name, self._scene.key)))[:, :3]
        except FormatError as error:
            self.notes.append(f"{self._scene.key}: points were not checked: {error}")
            return None

    def _of(self, found: Iterable[checks.Finding], image: Channel, cloud: Channel) -> Iterator[Finding]:
        """Findings as they are recorded; `object` is a place among the labels of the channel that is named."""
        for one in found:
            yield Finding(
                scene=self._scene.key,
                rule=one.rule,
                severity=one.severity,
                modality=one.modality,
                channel=(image if one.modality == "2d" else cloud).name,
                object=one.object,
                evidence=one.evidence,
            )


def _shown_on(channel: Channel, found: Iterable[Finding]) -> list[Finding]:
    return [one for one in found if one.channel == channel.name or one.modality != channel.modality]


def _result(name: str, found: Mapping[str, list[Finding]], notes: list[str]) -> Checked:
    listed = [one for _, findings in sorted(found.items()) for one in findings]
    listed.sort(key=lambda one: one.severity != "error")
    errors = sum(one.severity == "error" for one in listed)
    return Checked(
        round=name,
        scenes=len(found),
        rules=dict(sorted(Counter(one.rule for one in listed).items())),
        errors=errors,
        warnings=len(listed) - errors,
        findings=tuple(listed),
        notes=tuple(notes),
    )


def _line(finding: Finding) -> str:
    where = "" if finding.object is None else f" #{finding.object}"
    return f"{finding.severity} {finding.modality} {finding.rule}{where}: {finding.evidence}"
