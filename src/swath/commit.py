"""How a decision becomes what is shown: committing a batch, projecting the journal, and finishing what was interrupted.

    plan       the batch with its whole manifest (`journal.batches.plan`)
    assign     one assignment per scene, channel and slot
    project    tags, status, saved view: computed from the journal, each idempotent
    committed  by compare-and-set

Interrupted anywhere after the first, the next writer goes on from the manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from swath import adjudication, appearance, evaluations, life, projection
from swath.records.assignment import Assignment, Said
from swath.records.batch import Batch
from swath.records.manifest import Manifest
from swath.records.shown import SceneState
from swath.store.journal.lease import Writer

if TYPE_CHECKING:
    from swath.workspace import Workspace


def plan(workspace: Workspace, writer: Writer, manifest: Manifest) -> Batch:
    """Commits a decision, from its plan to the end."""
    workspace.journal.batches.plan(writer, manifest, workspace.journal.loop().floor)
    return commit(workspace, writer, manifest.round)


def commit(workspace: Workspace, writer: Writer, name: str) -> Batch:
    """What is left of committing a planned batch, from its manifest; doing it again changes nothing."""
    manifest = workspace.journal.batches.manifest(workspace.journal.batches.get(name))
    workspace.journal.assignments.assign(writer, assignments_of(manifest))
    views = [f"batch_{name}"] if manifest.role == "pool" else []
    project(workspace, writer, [scene.key for scene in manifest.scenes], views)
    return workspace.journal.batches.advance(writer, name, "commit")


def assignments_of(manifest: Manifest) -> Iterator[Assignment]:
    """One assignment per scene, channel and slot of a manifest, golden scenes included. Of a round one labelling is asked for, and a
    second of some scenes."""
    twice = set(manifest.second)
    for scene in manifest.scenes:
        slots = manifest.slots if manifest.role == "reference" else 1 + (scene.key in twice)
        for channel in scene.channels:
            for slot in range(slots):
                yield Assignment(
                    round=manifest.round,
                    key=scene.key,
                    role="second" if slot and manifest.role == "pool" else manifest.role,
                    channel=channel,
                    slot=slot,
                    split=scene.split,
                    stream=scene.stream,
                )
    for asked in manifest.golden:
        for channel in asked.channels:
            yield Assignment(
                round=manifest.round,
                key=asked.key,
                role="golden",
                channel=channel,
                split="golden",
            )


def settle(workspace: Workspace, writer: Writer) -> None:
    """Finishes in the journal what a killed process had decided: planned batches are committed, ended ones let go."""
    assignments = workspace.journal.assignments
    for batch in workspace.journal.batches.all():
        if batch.state == "planned":
            batch = commit(workspace, writer, batch.round)
        if batch.state == "annotating":
            ask_again(workspace, writer, batch)
        elif batch.cancelled or batch.steps.close is not None:
            back = projection.given_back(assignments.find(round=batch.round))
            assignments.release(writer, batch.round, "unreviewed", "returned")
            assignments.release(writer, batch.round, "skipped", "returned", back)
        if batch.state in life.ENDED:
            assignments.release(writer, batch.round)


def ask_again(workspace: Workspace, writer: Writer, batch: Batch) -> None:
    """What annotators said of a batch that was reopened, and not sent to them again, is as if nobody had looked."""
    sends, times = batch.steps.send, len(batch.steps.reopen)
    slots = {slot for one in sends if one.reopened < times for slot in one.slots}
    if slots:
        rows = workspace.journal.assignments.find(round=batch.round, active=True)
        again = [
            Said(key=row.key, role=row.role, channel=row.channel, slot=row.slot, state="unreviewed")
            for row in rows
            if row.slot in slots
        ]
        workspace.journal.assignments.answer(writer, batch.round, again)


def recover(workspace: Workspace, writer: Writer) -> None:
    """After a writer that did not end: shut it out, roll planned batches forward, project everything. A journal of 0.1.0 is
    brought to today's schema."""
    raise_fence(workspace, writer)
    if workspace.journal.is_old():
        workspace.scenes.declare()
        workspace.journal.migrate(writer)
    if workspace.is_split():
        settle(workspace, writer)
        adjudication.settle(workspace, writer)
        project_all(workspace, writer)


def raise_fence(workspace: Workspace, writer: Writer) -> None:
    """Shuts out every earlier writer, everywhere, and reads the dataset anew."""
    workspace.journal.raise_fence(writer)
    workspace.scenes.raise_fence(writer)
    workspace.scenes.refresh()


# ---------------------------------------------------------------------- projecting


def project(workspace: Workspace, writer: Writer, keys: Collection[str], views: Iterable[str] = ()) -> None:
    """Writes tags and status of `keys`, the saved `views`, and `dataset.info`. Costs what `keys` cost, not what there is."""
    workspace.scenes.project(_states_of(workspace, keys), writer)
    _save_views(workspace, writer, views)
    workspace.scenes.set_info(info(workspace), writer)
    workspace.journal.lease.barrier(writer)
    workspace.scenes.refresh()


def project_all(workspace: Workspace, writer: Writer) -> None:
    """Writes tags and status of every scene that differs, all saved views and `dataset.info`, the evaluations that FiftyOne lacks,
    and what the App shows; views of rounds that are no more are deleted."""
    states = workspace.states()
    workspace.scenes.name_slices(writer)
    differ = {one.scene for one in workspace.scenes.differences(states)}
    workspace.scenes.project({key: states[key] for key in sorted(differ)}, writer)
    wanted = projection.view_names(workspace.journal.batches.all())
    _save_views(workspace, writer, wanted)
    for name in workspace.scenes.views.owned():
        if name not in wanted:
            workspace.scenes.views.delete(name, writer)
    workspace.scenes.set_info(info(workspace), writer)
    workspace.scenes.refresh()
    for batch in life.evaluated(workspace.journal.batches.all()):
        evaluations.show(workspace, writer, batch)
    appearance.show(workspace, writer)
    workspace.journal.lease.barrier(writer)


def _states_of(workspace: Workspace, keys: Collection[str]) -> dict[str, SceneState]:
    """Tags and status of `keys`, without reading who else is in which split: assignments say it of their scenes."""
    if not keys:
        return {}
    journal = workspace.journal
    rows = journal.assignments.find(keys=keys)
    split = {row.key: row.split for row in rows if row.split}
    if split.keys() != set(keys):
        return workspace.states(keys)
    batches = journal.batches.all()
    mined = workspace.failures(batches) if "val" in split.values() else {}
    return projection.scene_states(split, batches, rows, mined, workspace.modality_of())


def _save_views(workspace: Workspace, writer: Writer, names: Iterable[str]) -> None:
    for name in names:
        style = appearance.view_style(name, workspace.journal.batches.all())
        workspace.scenes.save_view(name, view(workspace, name), style, writer)


def view(workspace: Workspace, name: str) -> list[str]:
    """Scenes of a saved view, sorted, as the journal has them; those that were deleted by hand too."""
    journal = workspace.journal
    for split, split_view in projection.VIEWS.items():
        if name == split_view:
            return projection.split_view(workspace.membership(), split)
    kind, round_name, *_ = name.split("_")
    if kind == "batch":
        return projection.batch_view(journal.assignments.find(round=round_name))
    failures = journal.batches.failures(journal.batches.get(round_name))
    return sorted(one.key for one in failures if one.notable)


def info(workspace: Workspace) -> Mapping[str, Any]:
    """What `dataset.info` mirrors, as the journal has it."""
    begun = workspace.journal.loop().steps.init
    return projection.info(
        workspace.config.classes,
        workspace.rig.modalities,
        workspace.journal.batches.all(),
        begun.history if begun else (),
    )
