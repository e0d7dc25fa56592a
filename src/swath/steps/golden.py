"""Are the labels still honest? This round's blind labels of the golden scenes against their reference (`policies.golden`), and what
follows (`policies.golden_verdict`).

A verdict of `block` holds training and the next selection until it is overridden with a reason. What was measured, scene by scene
and object by object, is kept for later rounds to compare with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from swath import commit, life
from swath.errors import IntegrityError, StateError, WaitingError, some
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.shapes import Labels
from swath.policies import golden as policy
from swath.policies import golden_plan, golden_reference, golden_verdict
from swath.records.assignment import Assignment
from swath.records.base import Blob
from swath.records.batch import Batch, GoldenChecked, ReferenceQuality
from swath.records.measured import Measured
from swath.records.results import GoldenPlan
from swath.suggest import command, ways_on
from swath.workspace import Workspace

HEARD: Final = 500
"""Scenes of the reference whose opinions tell how often one labelling errs."""


def golden(workspace: Workspace, *, override: str | None = None) -> GoldenChecked:
    """Compares, decides and records; a round that passes is `checked`. Raises `WaitingError` when it blocks.

    `override`: the reason to go on all the same, recorded beside the verdict.
    """
    with workspace.writer("golden") as writer:
        batches = workspace.journal.batches.all()
        batch = life.latest(batches, "golden", dataset=workspace.name)
        _may_be_checked(workspace, batch, batches, override)
        result, measured = _compare(workspace, batch, batches, override)
        kept = Blob.model_validate(workspace.journal.batches.keep([measured]))
        result = result.with_(measured=kept)
        step = "golden blocks" if result.holds else "golden"
        workspace.journal.batches.advance(writer, batch.round, step, {"golden": result})
        commit.project(workspace, writer, [])
    if result.holds:
        raise WaitingError(
            f"golden check of {result.round}: block: {life.shortly(result.reasons)}; look at it, have the round labelled "
            "again, cancel it, or go on with a reason:",
            ways_on("golden", True, workspace.name, result.round),
        )
    return result


def plan(workspace: Workspace) -> GoldenPlan:
    """How many golden scenes a round must have labelled again, to see what. Reads; writes nothing."""
    batches = workspace.journal.batches.all()
    checked = [one for one in life.standing(batches) if one.steps.golden is not None]
    rounds = [one for one in checked if one.steps.golden and one.steps.golden.verdict != "block"]
    measured = [one for one in map(workspace.journal.batches.measured, rounds) if one is not None]
    settings = workspace.config.golden
    reference = golden_reference.quality(golden_reference.made(batches, settings), settings)
    if rounds and rounds[-1].steps.golden and rounds[-1].steps.golden.reference:
        reference = rounds[-1].steps.golden.reference
    there = len(workspace.members("golden"))
    return golden_plan.plan(workspace.name, there, workspace.rig.modalities, measured, settings, reference)


def _may_be_checked(
    workspace: Workspace, batch: Batch, batches: Sequence[Batch], override: str | None
) -> None:
    if batch.steps.check is None:
        first = command("check", workspace.name)
        raise StateError(f"{batch.round}: its labels were not checked yet; run `{first}`")
    if not life.reference_done(batches):
        first = command("reference", workspace.name, "--from", "FIELD")
        raise StateError(
            f"golden labels have nothing to be compared with: there is no reference yet; run `{first}`"
        )
    if override is not None and not override.strip():
        how = command("golden", workspace.name, "--override", "REASON")
        raise StateError(f"an override needs its reason: `{how}`")


def _compare(
    workspace: Workspace, batch: Batch, batches: Sequence[Batch], override: str | None
) -> tuple[GoldenChecked, Measured]:
    rows = workspace.journal.assignments.find(round=batch.round, role="golden")
    rig, settings = workspace.rig, workspace.config.golden
    compared: list[tuple[str, str, policy.Compared, str]] = []
    shown: list[str] = []  # classes of the blind labels in the guide's figures: those of the first modality
    for modality in rig.modalities:
        for channel in rig.labelled:
            if channel.modality != modality:
                continue
            asked = [row for row in rows if row.channel == channel.name]
            for row, blind, careful in _both(workspace, batch.round, channel, asked):
                found = policy.errors(blind, careful, settings)
                compared.append((row.key, modality, found, row.annotator or ""))
                shown += blind.classes if modality == rig.modalities[0] else ()
    of = workspace.modality_of()
    counted = [row for row in rows if of.get(row.channel) == rig.modalities[0]]
    tally = policy.tally(compared)
    before = map(workspace.journal.batches.measured, policy.baseline(batches, batch))
    result = golden_verdict.decide(
        batch,
        batches,
        rig.modalities,
        tally,
        policy.blind_counts(counted, shown),
        settings,
        override,
        earlier=[one for one in before if one is not None],
        reference=_quality(workspace, batches),
    )
    lost = len({(row.key, one) for row in rows if row.labelled for one in row.rejected})
    told = f"{lost} blind labels are in quarantine, and count as missed: `{command('explain', workspace.name, 'SCENE')}`"
    more = (*([told] if lost else []), *_reference_gone(workspace, rows))
    return result.with_(reasons=(*result.reasons, *more)), tally.measured


def _reference_gone(workspace: Workspace, asked: Sequence[Assignment]) -> list[str]:
    """What to say, channel by channel, of answered golden scenes whose reference came, with labels, and is gone from the dataset."""
    keys = {row.key for row in asked if row.labelled}
    gone = workspace.bare(workspace.journal.assignments.labelled(keys=keys, role="reference"))
    return [
        f"the reference of {len(lost)} golden scenes is gone from {workspace.rig[channel].human} of {channel}, and they are not "
        f"compared there: {some(lost)}; bring the labels back from a backup"
        for channel, lost in gone.items()
    ]


def _both(
    workspace: Workspace, name: str, channel: Channel, asked: Sequence[Assignment]
) -> Iterator[tuple[Assignment, Labels, Labels]]:
    """(assignment, blind labels of this round, reference) of one channel, for the golden scenes that have both."""
    table = workspace.scenes.of({row.key for row in asked})
    members = workspace.membership()
    answered = [
        row for row in asked if row.labelled and row.key in table.row_of and members.get(row.key) == "golden"
    ]
    docs = workspace.scenes.values(
        channel.name, [row.key for row in answered], [channel.golden, channel.human]
    )
    both: list[tuple[Assignment, Labels, Labels | None]] = []
    lost: list[str] = []
    for row, doc in zip(answered, docs, strict=True):
        size = table.size(channel.name, row.key)
        blind = stored.read(channel.modality, doc.get(channel.golden), size, of_round=name)
        there = doc.get(channel.human)
        both.append((row, blind, None if there is None else stored.read(channel.modality, there, size)))
        if len(blind) != row.count:
            lost.append(row.key)
    if lost:
        repair = command("repair", workspace.name)
        raise IntegrityError(
            f"{name}: blind {channel.modality} labels of {len(lost)} golden scenes are not the ones that were fetched: "
            f"{some(lost)}; restore them, or `{repair}`"
        )
    for row, blind, careful in both:
        if careful is not None:  # without a reference it was skipped
            yield row, blind, careful


# ---------------------------------------------------------------------- the reference


def _quality(workspace: Workspace, batches: Sequence[Batch]) -> ReferenceQuality:
    """How good the reference is: from the opinions that it was made of (val's too), where there are several, else from the settings."""
    settings = workspace.config.golden
    made = golden_reference.made(batches, settings)
    there = [one for one in life.references(list(batches), final=False) if not one.cancelled]
    if made == "single" or not there or there[-1].slots < 2:
        return golden_reference.quality(made, settings)
    keys = [*workspace.members("golden"), *workspace.members("val")][:HEARD]
    rows = workspace.journal.assignments.find(round=there[-1].round, keys=keys)
    errors: Counter[str] = Counter()
    trials: Counter[str] = Counter()
    for channel in workspace.rig.labelled:
        asked = [row for row in rows if row.channel == channel.name and row.labelled]
        for opinion, careful in _opinions(workspace, channel, asked):
            for one in policy.errors(opinion, careful, settings).axes:
                errors[one.axis] += one.wrong
                trials[one.axis] += one.of
    heard = {kind: (errors[kind], trials[kind]) for kind in trials}
    return golden_reference.quality(made, settings, heard)


def _opinions(
    workspace: Workspace, channel: Channel, asked: Sequence[Assignment]
) -> Iterator[tuple[Labels, Labels]]:
    """(one labelling, the reference) of each opinion of a channel."""
    keys = sorted({row.key for row in asked})
    table = workspace.scenes.of(keys)
    keys = [key for key in keys if key in table.row_of]
    docs = dict(
        zip(keys, workspace.scenes.values(channel.name, keys, [channel.opinions, channel.human]), strict=True)
    )
    for row in asked:
        doc: Mapping[str, Any] = docs.get(row.key, {})
        if doc.get(channel.human) is None:
            continue
        size = table.size(channel.name, row.key)
        own = [one for one in stored.detections(doc.get(channel.opinions)) if one.get("slot") == row.slot]
        yield (
            stored.read(channel.modality, stored.field_of(own), size),
            stored.read(channel.modality, doc[channel.human], size),
        )
