"""Decides after the last evaluation whether to go on, and closes the round. The decision is `policies.stopping`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swath import commit, life
from swath.kernels.gain import Resampled
from swath.policies import gain, selection, stopping
from swath.records.batch import Batch, Forecast, Stopped
from swath.records.matches import Matches
from swath.workspace import Workspace


def stop(workspace: Workspace) -> Stopped:
    """Decides, records the number of every criterion, and closes the round."""
    journal, config = workspace.journal, workspace.config
    with workspace.writer("stop") as writer:
        batches = journal.batches.all()
        last = life.latest(batches, "stop", dataset=workspace.name)
        left = _left(workspace)
        next_batch = selection.size(config.select, left, first=False)
        points = stopping.curve(batches)
        drawn = _drawn(workspace, batches)
        criteria = stopping.criteria(points, left, next_batch, config.stop, drawn)
        criteria |= {"ambiguity": stopping.ambiguity(last)}
        expected, _ = stopping.forecast(points, next_batch, drawn)
        decided = stopping.decide(last.round, criteria, expected, stopping.outcomes(batches))
        decided = decided.with_(forecasts=_forecasts(workspace, batches, last, next_batch, expected))
        journal.batches.advance(writer, last.round, "stop", {"stop": decided})
        commit.settle(workspace, writer)
    return decided


def _forecasts(
    workspace: Workspace, batches: Sequence[Batch], last: Batch, next_batch: int, mined: Forecast
) -> dict[str, Forecast]:
    """What is expected of the next batch, by modality; the decision goes by that of the `mined` one."""
    done = last.steps.evaluate
    out: dict[str, Forecast] = {done.modality: mined} if done else {}
    for modality in sorted(set(done.figures) - set(out)) if done else ():
        points = stopping.curve(batches, modality)
        out[modality], _ = stopping.forecast(points, next_batch, _drawn(workspace, batches, modality))
    return out


def _drawn(workspace: Workspace, batches: Sequence[Batch], modality: str | None = None) -> Resampled | None:
    """The last rounds that kept what they found (of the mined modality, or of another one), on the scenes that all of them were
    scored on, over draws of val's drives."""
    found: list[Matches] = []
    for one in reversed(life.evaluated(batches)):
        if one.steps.train is None:
            continue  # no point of the curve either
        record = one.steps.evaluate
        matches = record and workspace.journal.batches.matches(record, modality or record.modality)
        if not matches or (
            found and (matches.overlaps, matches.strict) != (found[0].overlaps, found[0].strict)
        ):
            break
        found.insert(0, matches)
    if not found:
        return None
    seed = [workspace.config.seed, len(found), 0x570B]
    return gain.again(found, rng=np.random.default_rng(seed), resamples=workspace.config.evaluate.resamples)


def _left(workspace: Workspace) -> int:
    """Pool scenes that could still be labelled: without labels, and skipped by nobody."""
    states = workspace.states()
    skipped = {row.key for row in workspace.journal.assignments.find(role="pool", state="skipped")}
    return sum(states[key].status == "unlabeled" and key not in skipped for key in workspace.members("pool"))
