"""Puts right what is not as the journal says, and says what it was. The journal wins; labels are never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swath import commit, evaluations, projection
from swath.errors import some
from swath.labels import stored
from swath.records.loop import Repaired
from swath.records.results import RepairResult
from swath.records.shown import Difference
from swath.workspace import Workspace


def repair(workspace: Workspace, *, check: bool = False) -> RepairResult:
    """Makes tags, status, views, info and shown evaluations what the journal says; with `check`, only says what differs."""
    if check:
        return _look(workspace, checked_only=True)
    with workspace.writer("repair") as writer:
        commit.raise_fence(workspace, writer)
        commit.settle(workspace, writer)
        found = _look(workspace, checked_only=False)
        if workspace.is_split():
            commit.project_all(workspace, writer)
        record = Repaired(differences=len(found.differences))
        workspace.journal.record(writer, {"repair": record})
    return found


def _look(workspace: Workspace, *, checked_only: bool) -> RepairResult:
    workspace.scenes.refresh()
    there = set(workspace.scenes.table.keys.tolist())
    if not workspace.is_split():
        nothing: tuple[str, ...] = ()
        return RepairResult(
            dataset=workspace.name,
            differences=(),
            strangers=nothing,
            gone=nothing,
            edited=nothing,
            drawn=nothing,
            checked_only=checked_only,
        )
    known = workspace.membership()
    unanswered = workspace.journal.assignments.find(role="pool", state="unreviewed", active=True)
    differences = workspace.scenes.differences(workspace.states())
    differences += _views(workspace, there)
    differences += _info(workspace)
    differences += evaluations.differences(workspace)
    return RepairResult(
        dataset=workspace.name,
        differences=tuple(differences),
        strangers=tuple(sorted(there - set(known))),
        gone=tuple(sorted(set(known) - there)),
        edited=tuple(edited(workspace)),
        drawn=tuple(sorted({key for key, _ in workspace.drawn(unanswered)})),
        checked_only=checked_only,
    )


def _views(workspace: Workspace, there: set[str]) -> list[Difference]:
    differences = []
    wanted = projection.view_names(workspace.journal.batches.all())
    for name in wanted:
        found = workspace.scenes.view_members(name)
        members = sorted(set(commit.view(workspace, name)) & there)
        if found != members:
            was = (
                "missing, or not a selection of scenes"
                if found is None
                else _change(set(members), set(found))
            )
            differences.append(Difference(f"view {name}", "", "members", f"{len(members)} scenes", was))
    for name in sorted(set(workspace.scenes.views.owned()) - set(wanted)):
        differences.append(Difference(f"view {name}", "", "members", "no such view", "there"))
    return differences


def _info(workspace: Workspace) -> list[Difference]:
    info = workspace.scenes.dataset.info
    return [
        Difference(f"info {key}", "", "value", "as journaled", "missing" if key not in info else "changed")
        for key, value in commit.info(workspace).items()
        if _said(info.get(key)) != _said(value)
    ]


def _said(value: Any) -> Any:
    """A value without what is None in it: that says no more than a key that is not there, as earlier versions of swath wrote it."""
    if isinstance(value, Mapping):
        return {name: _said(one) for name, one in value.items() if one is not None}
    return [_said(one) for one in value] if isinstance(value, list | tuple) else value


def _change(expected: set[str], found: set[str]) -> str:
    parts = []
    if expected - found:
        parts.append(f"without {some(sorted(expected - found), 3)}")
    if found - expected:
        parts.append(f"with {some(sorted(found - expected), 3)}")
    return ", ".join(parts)


def edited(workspace: Workspace) -> list[str]:
    """Scenes whose labels (of val and golden: whose reference) are not, bit for bit, the ones that came last.

    Where several labellings were made into one before the journal noted what they came to, nothing is compared.
    """
    order = {batch.round: i for i, batch in enumerate(workspace.journal.batches.all())}
    rows = workspace.journal.assignments.labelled(role=("pool", "reference"))
    several = {(row.key, row.channel) for row in rows if row.slot > 0}
    noted = {(row.key, row.channel) for row in rows if row.merged}
    last: dict[tuple[str, str], str | None] = {}
    for row in sorted(rows, key=lambda row: order[row.round]):
        if row.slot == 0 and (row.key, row.channel) not in several - noted:
            last[row.key, row.channel] = row.stands
    out: set[str] = set()
    there = workspace.scenes.table.row_of
    for channel in workspace.rig.labelled:
        keys = sorted(key for key, name in last if name == channel.name and key in there)
        values = workspace.scenes.values(channel.name, keys, [channel.human])
        for key, doc in zip(keys, values, strict=True):
            found = stored.detections(doc.get(channel.human))
            if stored.digest_of(found) != last[key, channel.name]:
                out.add(key)
    return sorted(out)
