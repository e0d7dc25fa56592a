"""A reference of two labellings: what they see differently, and the labels that follow from what was decided of it.

Decisions are in the journal before a label is touched, and labels are a function of them and of both opinions: doing it again, or
going on after a process was killed in between, comes to the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from swath import life, opinions
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.shapes import Labels
from swath.policies import differences as policy
from swath.policies.differences import Choice, Difference
from swath.records.assignment import Assignment, Said
from swath.records.base import Document
from swath.records.batch import Batch
from swath.store.journal.lease import Writer
from swath.workspace import Workspace

BY = "adjudicated"
"""Whose labels those of a reference are that was decided."""


@dataclass(frozen=True)
class Both:
    """One channel of a scene with its two labellings, how they differ, and the assignment of the first."""

    key: str
    channel: Channel
    labels: tuple[Labels, Labels]
    differences: tuple[Difference, ...]
    first: Assignment


def both(workspace: Workspace, batch: Batch, keys: Collection[str] | None = None) -> list[Both]:
    """Every place of a reference batch (of `keys` alone) that has both labellings, by scene, channels as the rig has them."""
    asked = opinions.several(workspace.journal.assignments.find(round=batch.round, keys=keys))
    out: list[Both] = []
    for channel in workspace.rig.labelled:
        rows = {key: them for (key, of), them in asked.items() if of == channel.name}
        there = opinions.there(
            workspace, batch.round, channel, [row for them in rows.values() for row in them]
        )
        for key, by_slot in there.items():
            if len(by_slot) == 2:
                a, b = (by_slot[slot].labels for slot in sorted(by_slot))
                found = policy.differences((key, channel.name), a, b, workspace.config.golden)  # type: ignore[type-var]
                out.append(Both(key, channel, (a, b), tuple(found), rows[key][0]))
    place = {channel.name: at for at, channel in enumerate(workspace.rig.labelled)}
    return sorted(out, key=lambda one: (one.key, place[one.channel.name]))


def named(places: Sequence[Both]) -> Iterator[tuple[str, Both, Difference]]:
    """Every difference with its name, `KEY:N`: counted through the channels of a scene, from 1. Decisions do not change names."""
    count: dict[str, int] = {}
    for one in places:
        for difference in one.differences:
            count[one.key] = count.get(one.key, 0) + 1
            yield f"{one.key}:{count[one.key]}", one, difference


def choices_of(batch: Batch) -> dict[str, Choice]:
    """What was decided so far: difference's id -> choice."""
    record = batch.steps.adjudicate
    return {one.id: one.choice for one in record.decisions} if record else {}


def apply(workspace: Workspace, writer: Writer, batch: Batch, places: Sequence[Both]) -> tuple[str, ...]:
    """Writes the labels that follow. Returns scenes that were edited by hand since: those are as they are."""
    choices, edited = choices_of(batch), set()
    said: list[Said] = []
    for channel in workspace.rig.labelled:
        here = [one for one in places if one.channel == channel]
        keys = [one.key for one in here]
        table = workspace.scenes.of(keys)
        values: dict[str, Document] = {}
        for one, doc in zip(here, workspace.scenes.values(channel.name, keys, [channel.human]), strict=True):
            a, b = one.labels
            labels = policy.decided((one.key, channel.name), a, b, workspace.config.golden, choices)  # type: ignore[type-var]
            documents = stored.documents_of(
                labels,
                table.size(channel.name, one.key),
                opinions.identity(workspace, batch, channel, one.key, one.first.role),
                round=batch.round,
                annotator=BY,
            )
            comes = stored.digest_of(documents)
            there = stored.digest_of(stored.detections(doc.get(channel.human)))
            if there not in (comes, one.first.stands):
                edited.add(one.key)
                continue
            if there != comes:
                values[one.key] = {channel.human: stored.field_of(documents)}
            if one.first.stands != comes:
                said.append(_said(one.first, comes))
        workspace.scenes.write(channel.name, values, writer)
    workspace.journal.lease.barrier(writer)
    workspace.journal.assignments.answer(writer, batch.round, said)
    return tuple(sorted(edited))


def _said(row: Assignment, merged: str) -> Said:
    """What the journal has of an answer, with another digest of what several come to."""
    known = row.model_dump(include=set(Said.model_fields) - {"active", "merged"})
    return Said.model_validate({**known, "merged": merged})


def settle(workspace: Workspace, writer: Writer) -> None:
    """Finishes what a killed process had decided, as long as nothing was compared with the reference."""
    batches = workspace.journal.batches.all()
    for batch in life.references(batches):
        if batch.state == "closed" and batch.steps.adjudicate and life.compared(batches) is None:
            apply(workspace, writer, batch, both(workspace, batch))
