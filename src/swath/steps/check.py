"""Looks for labels that cannot be right: in images, in clouds, and between the two. Findings are shown, never acted upon.

What is asked is decided in `policies.checks`. Findings of a batch are written to the field `findings` of the labelled channels (to
each its own, and those of the scene's channels of the other kind, which it is compared with), and as tags `check:RULE` to the
labels themselves. They are counted in the journal; no label is deleted or changed on their account.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from swath import evaluations, life
from swath.errors import FormatError
from swath.evaluations import Found, Truth
from swath.formats.pcd import read_pcd
from swath.kernels.detection import Predictions
from swath.kernels.detection3d import Predictions3D
from swath.kernels.doubts import LEAST, Heard, doubts, heard, opposed, turned
from swath.kernels.mistakes import Mistakes
from swath.kernels.sizes import Usual
from swath.labels import stored
from swath.labels.calibration import Camera, camera
from swath.labels.channels import Channel
from swath.labels.shapes import Labels, Modality
from swath.opinions import agreement_of
from swath.policies import checks as policy
from swath.records.base import Document
from swath.records.batch import Batch, Checked, Finding
from swath.store.journal.lease import Writer
from swath.store.label_tags import CHECK, retagged
from swath.store.scenes import FINDINGS
from swath.store.table import SceneTable
from swath.workspace import Workspace

LISTED: Final = 500  # findings that the journal and the report keep in full
Matched = list[tuple[Truth, Found, Mistakes]]
EARLIER: Final = 2000  # scenes of earlier rounds from which the usual sizes are learned


def check(workspace: Workspace, *, model: bool = False) -> Checked:
    """Checks the labels of the round that was fetched last. Doing it again replaces its findings. With `model`, the last round's
    model is asked as well, which has not seen these labels."""
    with workspace.writer("check") as writer:
        batches = workspace.journal.batches.all()
        name = life.latest(batches, "check", dataset=workspace.name).round
        notes: list[str] = []
        scenes = _asked(workspace, name, notes)
        found = _found(workspace, name, scenes)
        if model:
            for one in _doubted(workspace, batches, scenes, notes):
                found[one.scene].append(one)
        _show(workspace, writer, name, scenes, found)
        result = _result(name, found, notes).with_(agreement=agreement_of(workspace, name))
        workspace.journal.lease.barrier(writer)
        kept = result.with_(findings=result.findings[:LISTED])
        workspace.journal.batches.advance(writer, name, "check", {"check": kept})
        workspace.scenes.refresh()
    return result


# ---------------------------------------------------------------------- what is checked


def _asked(workspace: Workspace, name: str, notes: list[str]) -> list[policy.Scene]:
    """The scenes of a round whose labels came, by key."""
    rows = workspace.journal.assignments.labelled(round=name, role=("pool", "second"))
    done = {(row.key, row.channel) for row in rows}
    table = workspace.scenes.of({key for key, _ in done})
    keys = table.known(sorted({key for key, _ in done}))
    labels: dict[str, dict[Channel, Labels]] = {key: {} for key in keys}
    for channel in workspace.rig.labelled:
        here = [key for key in keys if (key, channel.name) in done and table.has(channel.name, key)]
        for key, one in _read(workspace, table, channel, here):
            labels[key][channel] = one
    calibrations = workspace.scenes.calibrations(keys)
    return [
        policy.Scene(
            key,
            labels[key],
            {one.name: table.size(one.name, key) for one in labels[key] if one.kind == "image"},
            _cameras(key, labels[key], calibrations.get(key), notes),
            _Clouds(table, key, notes),
        )
        for key in keys
    ]


def _read(
    workspace: Workspace, table: SceneTable, channel: Channel, keys: Sequence[str]
) -> Iterable[tuple[str, Labels]]:
    values = workspace.scenes.values(channel.name, keys, [channel.human])
    for key, doc in zip(keys, values, strict=True):
        size = table.size(channel.name, key)
        yield key, stored.read(channel.modality, doc.get(channel.human), size)


def _cameras(
    key: str, channels: Iterable[Channel], calibration: Mapping[str, Any] | None, notes: list[str]
) -> dict[str, Camera]:
    found = {}
    for channel in channels:
        try:
            one = camera(calibration, channel.camera) if channel.kind == "image" else None
        except FormatError as error:
            notes.append(f"{key}: image and cloud were not compared: {error}")
            continue
        if one is not None:
            found[channel.name] = one
    return found


class _Clouds:
    """Reads the clouds of one scene."""

    def __init__(self, table: SceneTable, key: str, notes: list[str]) -> None:
        self._table, self._key, self._notes = table, key, notes

    def __call__(self, channel: Channel) -> npt.NDArray[np.float32] | None:
        try:
            return read_pcd(Path(self._table.path(channel.name, self._key)))[:, :3]
        except FormatError as error:
            self._notes.append(f"{self._key}: points were not checked: {error}")
            return None


def _found(workspace: Workspace, name: str, scenes: Sequence[policy.Scene]) -> dict[str, list[Finding]]:
    """key -> what the rules say of it, the scene's order; under no key what they say of the batch."""
    usual = _usual(workspace, name, scenes)
    batch = policy.together(scenes)
    found: dict[str, list[Finding]] = defaultdict(list, {"": list(batch.findings)})
    tick = workspace.progress(f"check labels of {name}")
    for i, scene in enumerate(scenes):
        found[scene.key] = policy.of_scene(scene, workspace.config.classes, usual, batch)
        tick(i + 1, len(scenes))
    return found


def _usual(workspace: Workspace, name: str, scenes: Sequence[policy.Scene]) -> dict[str, Usual]:
    """The usual sizes of classes, from the cuboids of this round and of (at most 2,000 scenes of) earlier ones."""
    clouds = [channel for channel in workspace.rig.labelled if channel.kind == "cloud"]
    if not clouds:
        return policy.usual_sizes(())
    mine = {scene.key for scene in scenes}
    rows = workspace.journal.assignments.labelled(role="pool")
    others = sorted({row.key for row in rows} - mine)
    others = others[:: max(1, -(-len(others) // EARLIER))]
    table = workspace.scenes.of([*mine, *others])
    so_far = [(table.drive(scene.key), one) for scene in scenes for one in scene.labels.values()]
    for channel in clouds:
        here = [key for key in table.known(others) if table.has(channel.name, key)]
        so_far += [(table.drive(key), one) for key, one in _read(workspace, table, channel, here)]
    return policy.usual_sizes(so_far)


# ---------------------------------------------------------------------- what a model says


def _doubted(
    workspace: Workspace, batches: Sequence[Batch], scenes: Sequence[policy.Scene], notes: list[str]
) -> list[Finding]:
    """What the model of the last round before says of the labels of this one, of every modality that it has."""
    taught = [batch for batch in life.standing(batches)[:-1] if batch.steps.train is not None]
    if not taught or taught[-1].steps.train is None:
        notes.append(
            "no model was asked: none is trained yet; the first is that of v0, and is asked about v1"
        )
        return []
    keys = workspace.only("pool", [scene.key for scene in scenes], "check --model")
    out: list[Finding] = []
    for model in taught[-1].steps.train.models:
        out += _asked_model(workspace, taught[-1], model.modality, keys, notes)
    return out


def _asked_model(
    workspace: Workspace, batch: Batch, modality: Modality, keys: Sequence[str], notes: list[str]
) -> list[Finding]:
    who = f"the {modality} model of {batch.round}"
    careful = _compared(workspace, batch, modality, workspace.members("val"), notes)
    scores = [float(found.scores[row]) for _, found, wrong in careful for row in wrong.kept]
    trusted = heard(scores, [kind for _, _, wrong in careful for kind in wrong.kinds])
    fronts = heard(*_headings(careful)) if modality == "3d" else None
    if trusted is None:
        notes.append(
            f"{who} was not asked: there is no score from which 9 of 10 of its predictions on val are right"
        )
    if fronts is None and modality == "3d":
        notes.append(
            f"{who} was not asked which way things face: there is no score from which 9 of 10 of its headings on val are right"
        )
    if trusted is None and fronts is None:
        return []
    mine = _compared(workspace, batch, modality, keys, notes)
    said: list[Finding] = []
    if trusted is not None:
        said += _contradicted(workspace, mine, who, trusted, notes)
    if fronts is not None:
        said += _turned(mine, who, fronts, notes)
    return sorted(said, key=lambda one: -(one.score or 0))


def _contradicted(
    workspace: Workspace, mine: Matched, who: str, trusted: Heard, notes: list[str]
) -> list[Finding]:
    said: list[Finding] = []
    sure = 0
    for truth, found, wrong in mine:
        sure += int(np.count_nonzero(found.scores >= trusted.score))
        said += _doubts(workspace, truth, found, wrong, who, trusted)
    expected = trusted.wrong * sure
    notes.append(
        f"{who} contradicts {len(said)} labels (score {trusted.score:.2f} and more, {sure} predictions); on val, whose labels are "
        f"careful, it would contradict about {expected:.0f} of as many: so many of these may be its own mistakes"
    )
    return said


def _headings(careful: Matched) -> tuple[list[float], list[str]]:
    """Scores of the predictions that found an object of val, and whether they face as it does, as `heard` wants them."""
    scores: list[float] = []
    kinds: list[str] = []
    for truth, found, wrong in careful:
        if isinstance(found, Predictions3D):
            rows, _, other = opposed(wrong, found.cuboids, truth.labels.shapes[truth.rows])
            scores += found.scores[rows].tolist()
            kinds += ["location" if one else "right" for one in other]
    return scores, kinds


def _turned(mine: Matched, who: str, trusted: Heard, notes: list[str]) -> list[Finding]:
    """Cuboids that the model sees face the other way."""
    said: list[Finding] = []
    sure = 0
    for truth, found, wrong in mine:
        if isinstance(found, Predictions3D):
            labels, shapes = (
                [truth.labels.classes[row] for row in truth.rows],
                truth.labels.shapes[truth.rows],
            )
            rows, _, _ = opposed(wrong, found.cuboids, shapes)
            sure += int(np.count_nonzero(found.scores[rows] >= trusted.score))
            about = turned(wrong, found.scores, found.cuboids, shapes, labels, who, trusted.score)
            for one in policy.recorded(truth.key, truth.channel, about):
                said.append(one.with_(object=None if one.object is None else int(truth.rows[one.object])))
    notes.append(
        f"{who} sees {len(said)} cuboids face the other way (score {trusted.score:.2f} and more, {sure} headings); by its mistakes on "
        f"val about {trusted.wrong * sure:.0f} of as many would be its own"
    )
    return said


def _compared(
    workspace: Workspace, batch: Batch, modality: Modality, keys: Sequence[str], notes: list[str]
) -> Matched:
    """Predictions of a round's model beside the labels of these scenes, each typed."""
    listed = evaluations.truths(workspace, keys, modality)
    found = evaluations.predict(workspace, batch, listed, modality, notes)
    iou = workspace.config.evaluate.iou
    return [
        (truth, one, evaluations.mistakes(one, truth.references, LEAST, iou))
        for truth, one in zip(listed, found, strict=True)
    ]


def _doubts(
    workspace: Workspace, truth: Truth, found: Found, wrong: Mistakes, who: str, trusted: Heard
) -> Iterable[Finding]:
    classes = workspace.config.classes
    shapes = found.boxes if isinstance(found, Predictions) else found.cuboids[:, :3]
    about = doubts(
        wrong,
        found.scores,
        [classes[label] for label in found.labels],
        [truth.labels.classes[row] for row in truth.rows],
        [" ".join(f"{value:.4g}" for value in shape) for shape in shapes],
        truth.channel.modality,
        who,
        trusted.score,
    )
    for one in policy.recorded(truth.key, truth.channel, about):
        row = None if one.object is None else int(truth.rows[one.object])
        yield one.with_(object=row)


# ---------------------------------------------------------------------- what is shown and recorded


def _show(
    workspace: Workspace,
    writer: Writer,
    name: str,
    scenes: Sequence[policy.Scene],
    found: Mapping[str, list[Finding]],
) -> None:
    """Writes findings and label tags of every scene; labels whose tags are as they must be are not written."""
    table = workspace.scenes.of(scene.key for scene in scenes)
    for channel in workspace.rig.labelled:
        values: dict[str, Document] = {}
        for scene in scenes:
            if not table.has(channel.name, scene.key):
                continue
            shown = [f"{name} {_line(one)}" for one in _shown_on(channel, found[scene.key])]
            values[scene.key] = {FINDINGS: {"$literal": shown}}
            labels = scene.labels.get(channel)
            tags = None if labels is None else _tags(labels, channel, found[scene.key])
            if tags is not None:
                values[scene.key][channel.human] = retagged(channel.human, tags, CHECK)
        workspace.scenes.write(channel.name, values, writer, by_pipeline=True)


def _tags(labels: Labels, channel: Channel, found: Iterable[Finding]) -> dict[Any, list[str]] | None:
    """Label's id -> its `check:` tags; None where the labels have just those already."""
    rules: list[set[str]] = [set() for _ in labels.documents]
    for one in found:
        if one.channel == channel.name and one.modality == channel.modality:
            whole = one.object is None and one.rule == "wrong_frame"
            for row in range(len(rules)) if whole else () if one.object is None else (one.object,):
                rules[row].add(f"{CHECK}{one.rule}")
    now = [
        {str(tag) for tag in doc.get("tags") or () if str(tag).startswith(CHECK)} for doc in labels.documents
    ]
    if now == rules:
        return None
    return {doc.get("_id"): sorted(of) for doc, of in zip(labels.documents, rules, strict=True)}


def _shown_on(channel: Channel, found: Iterable[Finding]) -> list[Finding]:
    return [one for one in found if one.channel == channel.name or one.modality != channel.modality]


def _result(name: str, found: Mapping[str, list[Finding]], notes: list[str]) -> Checked:
    listed = [one for _, findings in sorted(found.items()) for one in findings]
    listed.sort(key=lambda one: (one.severity != "error", -(one.score or 0)))
    errors = sum(one.severity == "error" for one in listed)
    return Checked(
        round=name,
        scenes=len(found) - ("" in found),
        rules=dict(sorted(Counter(one.rule for one in listed).items())),
        errors=errors,
        warnings=len(listed) - errors,
        findings=tuple(listed),
        notes=tuple(notes),
    )


def _line(finding: Finding) -> str:
    where = "" if finding.object is None else f" #{finding.object}"
    return f"{finding.severity} {finding.modality} {finding.rule}{where}: {finding.evidence}"
