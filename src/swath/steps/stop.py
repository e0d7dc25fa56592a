"""Decides after the last evaluation whether to go on, and closes the round. The decision is `policies.stopping`."""

from __future__ import annotations

from swath import commit, life
from swath.policies import selection, stopping
from swath.records.batch import Stopped
from swath.workspace import Workspace


def stop(workspace: Workspace) -> Stopped:
    """Decides, records the number of every criterion, and closes the round."""
    journal, config = workspace.journal, workspace.config
    with workspace.writer("stop") as writer:
        batches = journal.batches.all()
        name = life.latest(batches, "stop", dataset=workspace.name).round
        left = _left(workspace)
        next_batch = selection.size(config.select, left, first=False)
        criteria = stopping.criteria(stopping.curve(batches), left, next_batch, config.stop)
        decided = stopping.decide(name, criteria)
        journal.batches.advance(writer, name, "stop", {"stop": decided})
        commit.settle(workspace, writer)
    return decided


def _left(workspace: Workspace) -> int:
    """Pool scenes that could still be labelled: without labels, and skipped by nobody."""
    states = workspace.states()
    skipped = {row.key for row in workspace.journal.assignments.find(role="pool", state="skipped")}
    return sum(states[key].status == "unlabeled" and key not in skipped for key in workspace.members("pool"))
