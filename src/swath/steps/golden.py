"""Are the labels still honest? This round's blind labels of the golden scenes against their reference (`policies.golden`).

A verdict of `block` holds training and the next selection until it is overridden with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from swath import commit, life
from swath.errors import IntegrityError, StateError, WaitingError, some
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.shapes import Labels
from swath.policies import golden as policy
from swath.records.assignment import Assignment
from swath.records.batch import Batch, GoldenChecked
from swath.suggest import command, ways_on
from swath.workspace import Workspace


def golden(workspace: Workspace, *, override: str | None = None) -> GoldenChecked:
    """Compares, decides and records; a round that passes is `checked`. Raises `WaitingError` when it blocks.

    `override`: the reason to go on all the same, recorded beside the verdict.
    """
    with workspace.writer("golden") as writer:
        batches = workspace.journal.batches.all()
        batch = life.latest(batches, "golden", dataset=workspace.name)
        _may_be_checked(workspace, batch, batches, override)
        result = _compare(workspace, batch, batches, override)
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
) -> GoldenChecked:
    rows = workspace.journal.assignments.find(round=batch.round, role="golden")
    rig, settings = workspace.rig, workspace.config.golden
    compared: list[tuple[str, str, policy.Compared]] = []
    shown: list[str] = []  # classes of the blind labels in the guide's figures: those of the first modality
    for modality in rig.modalities:
        for channel in rig.labelled:
            if channel.modality != modality:
                continue
            asked = [row for row in rows if row.channel == channel.name]
            for key, blind, careful in _both(workspace, batch.round, channel, asked):
                compared.append((key, modality, policy.errors(blind, careful, settings)))
                shown += blind.classes if modality == rig.modalities[0] else ()
    of = workspace.modality_of()
    counted = [row for row in rows if of.get(row.channel) == rig.modalities[0]]
    result = policy.decide(
        batch,
        batches,
        rig.modalities,
        policy.tally(compared),
        policy.blind_counts(counted, shown),
        settings,
        override,
    )
    lost = len({(row.key, one) for row in rows if row.labelled for one in row.rejected})
    told = f"{lost} blind labels are in quarantine, and count as missed: `{command('explain', workspace.name, 'SCENE')}`"
    return result.with_(reasons=(*result.reasons, told)) if lost else result


def _both(
    workspace: Workspace, name: str, channel: Channel, asked: Sequence[Assignment]
) -> Iterator[tuple[str, Labels, Labels]]:
    """(scene, blind labels of this round, reference) of one channel, for the golden scenes that have both."""
    table = workspace.scenes.of({row.key for row in asked})
    members = workspace.membership()
    answered = [
        row for row in asked if row.labelled and row.key in table.row_of and members.get(row.key) == "golden"
    ]
    docs = workspace.scenes.values(
        channel.name, [row.key for row in answered], [channel.golden, channel.human]
    )
    both: list[tuple[str, Labels, Labels | None]] = []
    lost: list[str] = []
    for row, doc in zip(answered, docs, strict=True):
        size = table.size(channel.name, row.key)
        blind = stored.read(channel.modality, doc.get(channel.golden), size, of_round=name)
        there = doc.get(channel.human)
        both.append((row.key, blind, None if there is None else stored.read(channel.modality, there, size)))
        if len(blind) != row.count:
            lost.append(row.key)
    if lost:
        repair = command("repair", workspace.name)
        raise IntegrityError(
            f"{name}: blind {channel.modality} labels of {len(lost)} golden scenes are not the ones that were fetched: "
            f"{some(lost)}; restore them, or `{repair}`"
        )
    for key, blind, careful in both:
        if careful is not None:  # without a reference it was skipped
            yield key, blind, careful
