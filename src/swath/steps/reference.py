"""The careful labels of val and golden, made once, before the first evaluation; those of test only before the final one.

Either labels that exist are taken over from a field (the usual way), or val and golden become a batch of their own,
outside the pool's budget, labelled as often as the annotator can give independent opinions; their majority is the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from swath import commit, life
from swath.annotators.base import Annotator
from swath.errors import ConfigError, StateError, UnknownNameError, some
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.clean import Rejected, clean
from swath.labels.shapes import Boxes, Labels
from swath.records.assignment import Said
from swath.records.base import Document
from swath.records.batch import FINAL_REFERENCE, REFERENCE, Batch, Cancelled, Fetched, Left
from swath.records.manifest import BatchSize, Chosen, Manifest
from swath.records.results import ReferenceResult
from swath.settings import shortly
from swath.store.journal.lease import Writer
from swath.suggest import command, meant
from swath.workspace import Workspace

KEPT: Final = ("truncated", "occluded")  # what an evaluation asks of labels that are taken over
LABELLINGS: Final = {"single": 1, "adjudicated": 2, "majority": 3}
"""Of each scene, by how the reference is made."""


def plan_reference(workspace: Workspace, annotator: Annotator, *, final: bool = False) -> str:
    """Commits the reference batch, to be sent and fetched like any other. Returns its name."""
    there = _there(workspace, final)
    if there is not None and there.state == "closed":
        raise StateError(
            f"the reference is there already; it is made once; {_to_change(workspace, there, final)}"
        )
    if there is None:
        with workspace.writer("reference") as writer:
            manifest = _manifest(workspace, final, slots=_slots(workspace, annotator))
            there = commit.plan(workspace, writer, manifest)
    open_ = life.open_batch(workspace.journal.batches.all(), workspace.name).round
    if open_ != there.round:
        raise StateError(f"{open_} is open; fetch it before the {there.round} batch")
    return there.round


def _slots(workspace: Workspace, annotator: Annotator) -> int:
    """How many labellings of each scene: as the settings say, else as many as the annotator can give."""
    made = workspace.config.golden.reference
    slots = LABELLINGS[made] if made else annotator.opinions
    if slots > annotator.opinions and workspace.held is not None:
        workspace.held(
            f"a reference that is {made} takes {slots} labellings of each scene, and {annotator.name!r} gives {annotator.opinions}: it waits "
            f"until another annotator has it as well (`{command('send', workspace.name, '--annotator', 'NAME')}`); the App asks as many "
            "people as are named (annotate: {people: [...]})"
        )
    return slots


def _to_change(workspace: Workspace, batch: Batch, final: bool) -> str:
    """How a reference that is there can give way to another one."""
    if (used := life.compared(workspace.journal.batches.all(), final=final)) is not None:
        return f"{used} was compared with it, and it stays"
    how = command("round cancel", workspace.name, batch.round, "--reason", "REASON")
    return f"until something is compared with it, it can be taken back: `{how}`"


def import_reference(workspace: Workspace, sources: Sequence[str], *, final: bool = False) -> ReferenceResult:
    """Takes the reference over from the first of the fields `sources` that a scene has labels in, for each labelled channel. One
    that waits for annotators who have not answered anything yet is cancelled first."""
    hold_labels(workspace, sources, "reference")
    journal = workspace.journal
    with workspace.writer("reference") as writer:
        there = _there(workspace, final)
        if there is not None and there.state == "annotating":
            _withdraw(workspace, writer, there)
            there = None
        if there is None:
            there = commit.plan(workspace, writer, _manifest(workspace, final, slots=1))
        if there.state != "committed":
            raise StateError(
                f"the {there.round} batch is {there.state}: its labels are there; nothing was imported; "
                f"{_to_change(workspace, there, final)}"
            )
        name, keys = there.round, [scene.key for scene in journal.batches.manifest(there).scenes]
        keys = workspace.scenes.table.known(keys)
        taken = _take_over(workspace, writer, name, keys, sources)
        made = workspace.config.golden.reference
        entry = Fetched(
            source=", ".join(sources), labels=taken.labels, rejected=len(taken.rejected), made=made
        )
        journal.batches.advance(writer, name, "import", {"fetch": entry})
        commit.settle(workspace, writer)
        commit.project(workspace, writer, keys)
    return ReferenceResult(
        batch=name,
        state="closed",
        scenes=len(keys),
        labels=taken.labels,
        rejected=tuple(taken.rejected),
        without=tuple(taken.without),
        notes=tuple(_channels_without(workspace, name, keys, sources, taken)),
    )


def offered(workspace: Workspace, *, final: bool = False) -> list[str]:
    """Fields that the reference can be taken from: those of the user's own, and, until there is one, those of people's labels that
    stand in its scenes already, as in a loop that was adopted."""
    fields = workspace.scenes.label_fields()
    if not workspace.is_split() or life.reference_done(workspace.journal.batches.all(), final=final):
        return fields
    keys = workspace.members("test") if final else workspace.members("val", "golden")
    people = [one.human for one in workspace.rig.labelled if _stand(workspace, one, keys)]
    return list(dict.fromkeys([*people, *fields]))


def hold_labels(workspace: Workspace, sources: Sequence[str], said: str) -> None:
    """An error for a field that there is not, that holds no lists of labels, or that swath fills by itself (predictions, blind
    labels): nothing could be compared with those. People's own fields are sources: an adopted loop's reference stands there."""
    schema = workspace.scenes.dataset.get_field_schema()
    fields = workspace.scenes.label_fields()
    people = {channel.human for channel in workspace.rig.labelled}
    for source in sources:
        if source not in schema:
            raise UnknownNameError(
                f"{said}: no field {shortly(source)}{meant(source, schema)}; fields with labels: {some(fields, 20)}"
            )
        if source not in fields and source not in people:
            raise ConfigError(
                f"{said}: expected a field of Detections that is not swath's own, got {shortly(source)}; fields with labels: {some(fields, 20)}"
            )


def _channels_without(
    workspace: Workspace, name: str, keys: Sequence[str], sources: Sequence[str], taken: _Taken
) -> list[str]:
    """What to say of labelled channels of which nothing was found at all: boxes and cuboids are often in different fields."""
    said = []
    for channel in workspace.rig.labelled:
        if channel.name in taken.channels or not any(
            workspace.scenes.table.has(channel.name, key) for key in keys
        ):
            continue
        others = [one for one in workspace.scenes.label_fields(channel.name) if one not in sources]
        others += [channel.human] if channel.human not in sources and _stand(workspace, channel, keys) else []
        what = "boxes" if channel.modality == "2d" else "cuboids"
        text = f"no {what} of {channel.name} were found in {', '.join(sources)}: nothing can be checked or evaluated on them"
        if others:
            fields = [part for one in (*sources, "FIELD") for part in ("--from", one)]
            back = command("round cancel", workspace.name, name, "--reason", "REASON")
            again = command("reference", workspace.name, *fields)
            text += f"; other fields that hold labels there: {some(others)}; to take them as well: `{back}`, then `{again}`"
        said.append(text)
    return said


def _stand(workspace: Workspace, channel: Channel, keys: Sequence[str]) -> bool:
    """Whether people's labels of a channel are there already, as in a loop that was adopted."""
    there = [key for key in keys if workspace.scenes.table.has(channel.name, key)]
    docs = workspace.scenes.values(channel.name, there, [channel.human])
    return any(stored.detections(doc.get(channel.human)) for doc in docs)


def _there(workspace: Workspace, final: bool) -> Batch | None:
    """The reference batch that was not cancelled."""
    found = life.references(workspace.journal.batches.all(), final=final)
    return next((batch for batch in found if not batch.cancelled), None)


def _withdraw(workspace: Workspace, writer: Writer, batch: Batch) -> None:
    """Cancels a reference batch that nobody has answered; `StateError` where somebody has."""
    rows = workspace.journal.assignments.find(round=batch.round)
    if any(row.labelled for row in rows):
        how = command("round cancel", workspace.name, batch.round, "--reason", "REASON")
        raise StateError(
            f"the {batch.round} batch is with annotators, and labels of it have come; to import over them cancel it first: `{how}`"
        )
    scenes = len({row.key for row in rows})
    record = Cancelled(reason="imported over", was=batch.state, returned=scenes, kept=0)
    workspace.journal.batches.advance(writer, batch.round, "cancel", {"cancel": record})
    commit.settle(workspace, writer)


@dataclass
class _Taken:
    """What was found in fields: counts by modality, labels that were left out, scenes that they say
    nothing of, channels with a label or an empty list."""

    labels: dict[str, int] = field(default_factory=dict)
    rejected: list[Left] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    channels: set[str] = field(default_factory=set)


def _take_over(
    workspace: Workspace, writer: Writer, name: str, keys: Sequence[str], sources: Sequence[str]
) -> _Taken:
    taken = _Taken()
    for channel in workspace.rig.labelled:
        values = _channel(workspace, name, channel, keys, sources, taken)
        workspace.scenes.write(channel.name, values, writer)
    if not any(taken.labels.values()):
        classes = workspace.config.classes
        raise StateError(
            f"reference: field {', '.join(map(repr, sources))} has no usable label in {len(keys)} scenes ({len(taken.rejected)} were rejected: "
            f"{some(one.reason for one in taken.rejected[:3])}); are the classes right? They are: {some(classes, 12)}"
        )
    workspace.journal.lease.barrier(writer)
    workspace.journal.assignments.answer(writer, name, taken.said)
    return taken


def _channel(
    workspace: Workspace,
    name: str,
    channel: Channel,
    keys: Sequence[str],
    sources: Sequence[str],
    taken: _Taken,
) -> dict[str, Document]:
    """Values of the reference field of one channel; adds to `taken`."""
    table, first = workspace.scenes.table, workspace.rig.labelled
    alone = channel == next(one for one in first if one.modality == channel.modality)
    there = [key for key in keys if table.has(channel.name, key)]
    values: dict[str, Document] = {}
    for key, doc in zip(there, workspace.scenes.values(channel.name, there, sources), strict=True):
        source = next((one for one in sources if stored.detections(doc.get(one))), None)
        source = source or next((one for one in sources if doc.get(one) is not None), sources[0])
        place = {"key": key, "role": "reference", "channel": channel.name, "slot": 0, "annotator": source}
        if doc.get(source) is None:
            taken.without.append(f"{key} ({channel.modality if alone else channel.name})")
            taken.said.append(Said.model_validate({**place, "state": "skipped", "count": 0}))
            continue
        size = table.size(channel.name, key)
        drawn, bad = _cleaned(
            stored.read(channel.modality, doc[source], size), workspace.config.classes, size, key
        )
        identity = [key, name, channel.modality, *(() if alone else (channel.name,))]
        documents = stored.documents_of(drawn, size, identity, round=name, annotator=source)
        for written, of in zip(documents, drawn.documents, strict=True):
            written |= {one: of[one] for one in KEPT if of.get(one) is not None}
        values[key] = {channel.human: stored.field_of(documents)}
        taken.channels.add(channel.name)
        taken.labels[channel.modality] = taken.labels.get(channel.modality, 0) + len(drawn)
        taken.rejected += [
            Left(
                scene=key, modality=channel.modality, channel=channel.name, where=one.where, reason=one.reason
            )
            for one in bad
        ]
        state = "labeled" if len(drawn) else "reviewed_empty"
        told = {**place, "state": state, "count": len(drawn), "digest": stored.digest_of(documents)}
        taken.said.append(Said.model_validate(told))
    return values


def _cleaned(
    labels: Labels, classes: Sequence[str], size: tuple[int, int], where: str
) -> tuple[Labels, tuple[Rejected, ...]]:
    if isinstance(labels, Boxes):
        return clean(labels, classes, *size, where)
    return clean(labels, classes, *size, where)


def _manifest(workspace: Workspace, final: bool, slots: int) -> Manifest:
    """The reference batch of val and golden (of test, with `final`); one after a cancelled one has a number in its name."""
    keys = workspace.members("test") if final else workspace.members("val", "golden")
    before = len(life.references(workspace.journal.batches.all(), final=final))
    name = FINAL_REFERENCE if final else REFERENCE
    table, membership = workspace.scenes.table, workspace.membership()
    return Manifest(
        round=f"{name}.{before + 1}" if before else name,
        role="reference",
        slots=slots,
        size=BatchSize(budget=len(keys), size=len(keys)),
        scenes=tuple(
            Chosen(
                key=key,
                channels=tuple(one.name for one in workspace.channels_of(table, key)),
                split=membership[key],
            )
            for key in keys
        ),
    )
