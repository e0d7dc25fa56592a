"""What steps found worth saying, labels in quarantine, files that could not be used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from swath.records.batch import FINAL_REFERENCE, Left
from swath.records.loop import Damaged
from swath.report.known import Known
from swath.workspace import Workspace

LISTED: Final = 20  # labels, files that are listed
NAMED: Final = 5  # scenes in one note


@dataclass(frozen=True)
class Quarantine:
    """`first` of `count`: (round, label)."""

    count: int
    first: tuple[tuple[str, Left], ...]


@dataclass(frozen=True)
class Notes:
    """`notes`: (where, what); `damages`: the first of `damage_count`."""

    notes: tuple[tuple[str, str], ...]
    quarantine: Quarantine
    damages: tuple[Damaged, ...]
    damage_count: int


def data(known: Known) -> Notes:
    begun = known.loop.steps.init
    return Notes(
        notes=tuple(_notes(known)),
        quarantine=quarantine(known.workspace),
        damages=begun.damages[:LISTED] if begun else (),
        damage_count=begun.damage_count if begun else 0,
    )


def quarantine(workspace: Workspace) -> Quarantine:
    """Labels that were left out at fetch, with the reason; those of test scenes are not listed."""
    modality_of = workspace.modality_of()
    listed = [
        (row.round, Left.of(row.key, modality_of.get(row.channel, ""), row.channel, one))
        for row in workspace.journal.assignments.find(rejected=True)
        if row.round != FINAL_REFERENCE
        for one in row.rejected
    ]
    return Quarantine(len(listed), tuple(listed[:LISTED]))


def _notes(known: Known) -> list[tuple[str, str]]:
    """(where, what) of everything that a step found worth saying."""
    notes: list[tuple[str, str]] = []
    steps = known.loop.steps
    if steps.split is not None:
        notes += [("split", note) for note in steps.split.notes]
    if known.status.set_aside:
        notes.append(("init", f"{known.status.set_aside} new scenes are of test drives and were set aside"))
    embedded = steps.embed
    if embedded is not None and embedded.problem_count:
        first = _some((one.scene, one.reason) for one in embedded.problems)
        notes.append(
            ("embed", f"{embedded.problem_count} scenes have no usable vector and are excluded: {first}")
        )
    for batch in known.rounds:
        name, manifest, done = batch.round, known.manifests[batch.round], batch.steps
        notes += [(f"{name} select", note) for note in manifest.notes]
        excluded = manifest.question.excluded if manifest.question else ()
        if excluded:
            notes.append((f"{name} select", f"{len(excluded)} could not be chosen: {_some(excluded)}"))
        for step, record in (
            ("fetch", done.fetch),
            ("check", done.check),
            ("train", done.train),
            ("evaluate", done.evaluate),
        ):
            notes += [(f"{name} {step}", note) for note in (record.notes if record else ())]
    return notes


def _some(scenes: Iterable[tuple[str, str]]) -> str:
    """The first few: `scene: why; scene: why`."""
    return "; ".join(f"{key}: {why}" for key, why in list(scenes)[:NAMED])
