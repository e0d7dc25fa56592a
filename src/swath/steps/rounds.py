"""Changing one's mind about a batch: cancel it, end the wait for its labels, have it labelled again. Labels that came are kept."""

from __future__ import annotations

from swath import commit, life, projection
from swath.errors import StateError
from swath.records.assignment import Assignment
from swath.records.batch import FINAL_REFERENCE, Batch, Cancelled, ClosedEarly, ReopenedOnce
from swath.records.results import RoundResult
from swath.suggest import command
from swath.workspace import Workspace


def cancel(workspace: Workspace, name: str, reason: str) -> RoundResult:
    """Cancels a round before its model is trained, or a reference batch before anything was compared with it. Scenes without labels
    go back to the pool."""
    if not reason.strip():
        how = command("round cancel", workspace.name, name, "--reason", "REASON")
        raise StateError(f"cancelling {name} needs a reason: `{how}`")
    with workspace.writer("cancel") as writer:
        batch = workspace.journal.batches.get(name)
        step = "take back" if not batch.is_round and batch.state == "closed" else "cancel"
        if step == "take back":
            _may_be_taken_back(workspace, batch)
        elif batch.state not in life.MOVES["cancel"].before:
            raise StateError(f"{name} is {batch.state}; a round can be cancelled until its model is trained")
        returned, kept = _given_back(workspace.journal.assignments.find(round=name))
        record = Cancelled(reason=reason, was=batch.state, returned=len(returned), kept=len(kept))
        workspace.journal.batches.advance(writer, name, step, {"cancel": record})
        commit.settle(workspace, writer)
        commit.project_all(workspace, writer)
        return _result(name, "cancelled", len(returned), len(kept), reason)


def _may_be_taken_back(workspace: Workspace, batch: Batch) -> None:
    """`StateError` for a reference that something was compared with."""
    final = batch.round.partition(".")[0] == FINAL_REFERENCE
    used = life.compared(workspace.journal.batches.all(), final=final)
    if final and workspace.journal.loop().steps.final:
        used = "the final evaluation"
    if used is not None:
        raise StateError(
            f"{batch.round} is closed, and {used} was compared with it: it stays; another reference needs another dataset"
        )


def close(workspace: Workspace, name: str, reason: str = "") -> RoundResult:
    """Ends the wait for labels: what did not come goes back to the pool, the round goes on with what came."""
    with workspace.writer("close") as writer:
        batch = workspace.journal.batches.get(name)
        if batch.state not in life.MOVES["close"].before:
            raise StateError(
                f"{name} is {batch.state}; only a round that waits for labels can be closed early"
            )
        rows = workspace.journal.assignments.find(round=name)
        if not any(row.labelled and row.role in ("pool", "reference") for row in rows):
            how = command("round cancel", workspace.name, name, "--reason", "REASON")
            raise StateError(f"{name} has no labels yet; cancel it instead: `{how}`")
        returned, kept = _given_back(rows)
        record = ClosedEarly(reason=reason, returned=len(returned), kept=len(kept))
        after = workspace.journal.batches.advance(writer, name, "close", {"close": record})
        commit.settle(workspace, writer)
        commit.project_all(workspace, writer)
        return _result(name, after.state, len(returned), len(kept), reason)


def reopen(workspace: Workspace, name: str, reason: str) -> RoundResult:
    """Sends a labelled round back to its annotators, golden scenes too: all of it is labelled again.

    The labels stay where they are until new ones come; what the checks said is kept beside the reason.
    """
    if not reason.strip():
        how = command("round reopen", workspace.name, name, "--reason", "REASON")
        raise StateError(f"reopening {name} needs a reason: `{how}`")
    with workspace.writer("reopen") as writer:
        batch = workspace.journal.batches.get(name)
        if batch.state not in life.MOVES["reopen"].before:
            raise StateError(
                f"{name} is {batch.state}; a round can be reopened when its labels came and before it is trained"
            )
        steps = batch.steps
        if not steps.send:
            raise StateError(f"{name} was never sent to an annotator: there is nobody to label it again")
        said = ReopenedOnce(reason=reason, fetch=steps.fetch, check=steps.check, golden=steps.golden)
        after = workspace.journal.batches.advance(
            writer, name, "reopen", {"reopen": [*steps.reopen, said]}, drop=("check", "golden", "fetch")
        )
        commit.ask_again(workspace, writer, after)
        keys = sorted({row.key for row in workspace.journal.assignments.find(round=name, active=True)})
        commit.project(workspace, writer, keys)
        return _result(name, "annotating", 0, len(keys), reason)


def _given_back(rows: list[Assignment]) -> tuple[set[str], set[str]]:
    """(scenes that go back to the pool, scenes of which labels are kept), from the assignments of a batch. A scene with labels of
    one channel and none of another is both: its labels are kept, and train uses them. A second labelling that did not come gives
    nothing back."""
    kept = {row.key for row in rows if row.role not in ("golden", "second") and row.labelled}
    return projection.given_back(rows), kept


def _result(name: str, state: str, returned: int, kept: int, reason: str) -> RoundResult:
    return RoundResult(round=name, state=state, returned=returned, kept=kept, reason=reason)
