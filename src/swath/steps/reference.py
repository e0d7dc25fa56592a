"""The careful labels of val and golden, made once, before the first evaluation; those of test only before the final one.

Either labels that exist are taken over from a field (the usual way), or val and golden become a batch of their own,
outside the pool's budget, labelled as often as the annotator can give independent opinions; their majority is the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swath import labels
from swath.annotators.base import Annotator, Boxes, Cuboids
from swath.annotators.clean import clean
from swath.errors import StateError, UnknownNameError, some
from swath.journal import FINAL_REFERENCE, REFERENCE, Document, Writer
from swath.steps.annotate import label_documents
from swath.steps.select import modalities_of
from swath.steps.workspace import Workspace, commit, settle


@dataclass(frozen=True)
class ReferenceResult:
    """`rejected`: labels that were left out (scene, modality, where, reason); `without`: scenes the field says nothing of."""

    batch: str
    state: str
    scenes: int
    labels: Mapping[str, int]
    rejected: tuple[Mapping[str, str], ...]
    without: tuple[str, ...] = ()


def plan_reference(workspace: Workspace, annotator: Annotator, *, final: bool = False) -> str:
    """Commits the reference batch, to be sent and fetched like any other. Returns its name."""
    name, keys = _which(workspace, final)
    if workspace.journal.has_round(name):
        return name
    with workspace.writer("reference") as writer:
        manifest = _manifest(workspace, name, keys, slots=annotator.opinions)
        workspace.journal.plan(writer, name, manifest["number"], manifest)
        commit(workspace, writer, name)
    return name


def import_reference(workspace: Workspace, field: str, *, final: bool = False) -> ReferenceResult:
    """Takes the reference over from `field` (2D on the primary slice, 3D on the cloud). Doing it again changes nothing."""
    name, keys = _which(workspace, final)
    schema = workspace.scenes.dataset.get_field_schema()
    if field not in schema:
        raise UnknownNameError(f"reference: no field {field!r}; there are: {some(sorted(schema), 20)}")
    with workspace.writer("reference") as writer:
        if not workspace.journal.has_round(name):
            workspace.journal.plan(
                writer, name, -2 if final else -1, _manifest(workspace, name, keys, slots=1)
            )
        if workspace.journal.round(name)["state"] == "planned":
            commit(workspace, writer, name)
        state = workspace.journal.round(name)["state"]
        if state != "committed":
            raise StateError(
                f"the {name} batch is {state}: its labels are there or on their way; nothing was imported"
            )
        result = _take_over(workspace, writer, name, keys, field)
        entry = {"from": field, "labels": dict(result.labels), "rejected": len(result.rejected)}
        workspace.journal.advance(writer, name, "committed", "closed", {"fetch": entry})
        settle(workspace, writer)
        workspace.project(writer, keys)
    return result


def _take_over(
    workspace: Workspace, writer: Writer, name: str, keys: Sequence[str], field: str
) -> ReferenceResult:
    config, table = workspace.config, workspace.scenes.table
    rejected: list[dict[str, str]] = []
    counts: dict[str, int] = {}
    without: list[str] = []
    answers: list[tuple[Document, Document]] = []
    for modality in workspace.modalities:
        flat = modality == "2d"
        slice_name, target = (
            (config.slices.image, config.fields.detections)
            if flat
            else (config.slices.cloud, config.fields.cuboids)
        )
        there = [key for key in keys if modality in modalities_of(workspace, key)]
        values: dict[str, dict[str, Any]] = {}
        for key, doc in zip(there, workspace.scenes.values(slice_name, there, [field]), strict=True):
            width, height = (int(one) for one in table.size[table.rows([key])[0]])
            which = {"key": key, "role": "reference", "modality": modality, "slot": 0}
            if doc.get(field) is None:
                without.append(f"{key} ({modality})")
                answers.append((which, {"state": "skipped", "annotator": field, "count": 0}))
                continue
            drawn: Boxes | Cuboids
            if flat:
                boxes = labels.read_boxes(doc[field], (width, height))
                drawn, bad = clean(Boxes(boxes.boxes, boxes.classes), config.classes, width, height, key)
            else:
                solid = labels.read_cuboids(doc[field])
                drawn, bad = clean(Cuboids(solid.cuboids, solid.classes), config.classes, width, height, key)
            documents = label_documents(
                drawn, (width, height), [key, name, modality], round=name, annotator=field
            )
            values[key] = {target: labels.detections(documents)}
            counts[modality] = counts.get(modality, 0) + len(drawn)
            rejected += [
                {"scene": key, "modality": modality, "where": one.where, "reason": one.reason} for one in bad
            ]
            state = "labeled" if len(drawn) else "reviewed_empty"
            told = {
                "state": state,
                "annotator": field,
                "count": len(drawn),
                "digest": labels.digest_of(documents),
            }
            answers.append((which, told))
        workspace.scenes.write(slice_name, values, writer)
    if not any(counts.values()):
        raise StateError(
            f"reference: field {field!r} has no usable label in {len(keys)} scenes ({len(rejected)} were rejected: "
            f"{some(one['reason'] for one in rejected[:3])}); are the classes right? They are: {some(config.classes, 12)}"
        )
    workspace.journal.barrier(writer)
    workspace.journal.answer(writer, name, answers)
    return ReferenceResult(name, "closed", len(keys), counts, tuple(rejected), tuple(without))


def is_done(workspace: Workspace, *, final: bool = False) -> bool:
    name = FINAL_REFERENCE if final else REFERENCE
    return workspace.journal.has_round(name) and workspace.journal.round(name)["state"] == "closed"


def _which(workspace: Workspace, final: bool) -> tuple[str, list[str]]:
    return (
        (FINAL_REFERENCE, workspace.members("test"))
        if final
        else (REFERENCE, workspace.members("val", "golden"))
    )


def _manifest(workspace: Workspace, name: str, keys: Sequence[str], slots: int) -> Document:
    return {
        "round": name,
        "number": -2 if name == FINAL_REFERENCE else -1,
        "role": "reference",
        "slots": slots,
        "batch": {"budget": len(keys), "size": len(keys), "coverage": 0, "targeted": 0},
        "scenes": [{"key": key, "modalities": modalities_of(workspace, key)} for key in keys],
        "config_hash": workspace.config.hash(),
    }
