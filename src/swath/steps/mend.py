"""Putting right and changing one's mind: repair, cancel, close, replay, explain.

The journal wins. `repair` recomputes every projection from it and says what differed; cancelling and closing are recorded,
and give scenes back to the pool; labels that came are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swath.errors import StateError, SwathError, UnknownNameError, some
from swath.journal import pack
from swath.scenes import Difference
from swath.steps.select import answer, question_of
from swath.steps.workspace import Workspace, settle

MAY_CANCEL = ("planned", "committed", "annotating", "labeled", "checked")


@dataclass(frozen=True)
class RepairResult:
    """`differences`: what was (with `checked_only`: is) not as the journal says; `strangers`: scenes the journal does not
    know; `gone`: scenes it knows that are not in the dataset; `edited`: scenes whose labels are not those that were fetched."""

    differences: tuple[Difference, ...]
    strangers: tuple[str, ...]
    gone: tuple[str, ...]
    edited: tuple[str, ...]
    checked_only: bool


def repair(workspace: Workspace, *, check: bool = False) -> RepairResult:
    """Makes tags, status, views and info what the journal says; with `check`, only says what differs."""
    if check:
        return _look(workspace, checked_only=True)
    with workspace.writer("repair") as writer:
        workspace.raise_fence(writer)
        settle(workspace, writer)
        found = _look(workspace, checked_only=False)
        if workspace.is_split():
            workspace.project(writer)
        workspace.journal.record(writer, "repair", {"differences": len(found.differences)})
    return found


def _look(workspace: Workspace, *, checked_only: bool) -> RepairResult:
    workspace.scenes.refresh()
    there = set(workspace.scenes.table.keys.tolist())
    if not workspace.is_split():
        return RepairResult((), (), (), (), checked_only)
    known = workspace.membership()
    differences = workspace.scenes.differences(workspace.states())
    for name, members in workspace.views().items():
        found = workspace.scenes.view_members(name)
        members = sorted(set(members) & there)
        if found != members:
            was = "missing, or not a selection by id" if found is None else _change(set(members), set(found))
            differences.append(Difference(f"view {name}", "", "members", f"{len(members)} scenes", was))
    for name in sorted(set(workspace.scenes.views.owned()) - set(workspace.views())):
        differences.append(Difference(f"view {name}", "", "members", "no such view", "there"))
    info = workspace.scenes.dataset.info
    for key, value in workspace.info().items():
        if info.get(key) != value:
            differences.append(
                Difference(
                    f"info {key}", "", "value", "as journaled", "missing" if key not in info else "changed"
                )
            )
    return RepairResult(
        tuple(differences),
        tuple(sorted(there - set(known))),
        tuple(sorted(set(known) - there)),
        tuple(edited(workspace)),
        checked_only,
    )


def _change(expected: set[str], found: set[str]) -> str:
    parts = []
    if expected - found:
        parts.append(f"without {some(sorted(expected - found), 3)}")
    if found - expected:
        parts.append(f"with {some(sorted(found - expected), 3)}")
    return ", ".join(parts)


def edited(workspace: Workspace) -> list[str]:
    """Scenes whose labels (of val and golden: whose reference) are not, bit for bit, the ones that came last.

    A reference that is the majority of several opinions is not compared: the journal has the opinions' digests, not its own.
    """
    from swath.labels import digest_of

    config = workspace.config
    last: dict[tuple[str, str], str] = {}
    number = {batch["round"]: batch["number"] for batch in workspace.journal.batches()}
    done = {"role": {"$in": ["pool", "reference"]}, "state": {"$in": ["labeled", "reviewed_empty"]}}
    rows = workspace.journal.assignments(**done)
    several = {(row["key"], row["modality"]) for row in rows if row["slot"] > 0}
    for row in sorted(rows, key=lambda row: number[row["round"]]):
        if (row["key"], row["modality"]) not in several:
            last[row["key"], row["modality"]] = row["digest"]
    out = set()
    for modality in workspace.modalities:
        flat = modality == "2d"
        slice_name = config.slices.image if flat else config.slices.cloud
        field = config.fields.detections if flat else config.fields.cuboids
        there = set(workspace.scenes.table.keys.tolist())
        keys = sorted(key for key, one in last if one == modality and key in there)
        for key, doc in zip(keys, workspace.scenes.values(slice_name, keys, [field]), strict=True):
            if digest_of((doc.get(field) or {}).get("detections") or ()) != last[key, modality]:
                out.add(key)
    return sorted(out)


# ---------------------------------------------------------------------- changing one's mind


@dataclass(frozen=True)
class RoundResult:
    """`returned`: scenes that went back to the pool; `kept`: scenes of the round whose labels are kept."""

    round: str
    state: str
    returned: int
    kept: int
    reason: str


def cancel(workspace: Workspace, name: str, reason: str) -> RoundResult:
    """Cancels a round before its model is trained. Scenes without labels go back to the pool."""
    if not reason.strip():
        raise StateError(f'cancelling {name} needs a reason: `swath round cancel {name} --reason "..."`')
    with workspace.writer("cancel") as writer:
        batch = workspace.journal.round(name)
        if batch["number"] < 0:
            raise StateError(f"{name} is no round; only rounds can be cancelled")
        if batch["state"] not in MAY_CANCEL:
            raise StateError(
                f"{name} is {batch['state']}; a round can be cancelled until its model is trained"
            )
        returned, kept = _given_back(workspace, name)
        record = {"reason": reason, "was": batch["state"], "returned": len(returned), "kept": len(kept)}
        workspace.journal.advance(writer, name, MAY_CANCEL, "cancelled", {"cancel": record})
        settle(workspace, writer)
        workspace.project(writer)
        return RoundResult(name, "cancelled", len(returned), len(kept), reason)


def close(workspace: Workspace, name: str, reason: str = "") -> RoundResult:
    """Ends the wait for labels: what did not come goes back to the pool, the round goes on with what came."""
    with workspace.writer("close") as writer:
        batch = workspace.journal.round(name)
        if batch["state"] != "annotating":
            raise StateError(
                f"{name} is {batch['state']}; only a round that waits for labels can be closed early"
            )
        rows = workspace.journal.assignments(round=name, state={"$in": ["labeled", "reviewed_empty"]})
        if not any(row["role"] in ("pool", "reference") for row in rows):
            raise StateError(
                f"{name} has no labels yet; cancel it instead: `swath round cancel {name} --reason ...`"
            )
        returned, kept = _given_back(workspace, name)
        record = {"reason": reason, "returned": len(returned), "kept": len(kept)}
        after = "closed" if batch["number"] < 0 else "labeled"
        workspace.journal.advance(writer, name, "annotating", after, {"close": record})
        settle(workspace, writer)
        workspace.project(writer)
        return RoundResult(name, after, len(returned), len(kept), reason)


def reopen(workspace: Workspace, name: str, reason: str) -> RoundResult:
    """Sends a labelled round back to its annotators, golden scenes too: all of it is labelled again.

    The labels stay where they are until new ones come; what the checks said is kept beside the reason.
    """
    if not reason.strip():
        raise StateError(f'reopening {name} needs a reason: `swath round reopen {name} --reason "..."`')
    with workspace.writer("reopen") as writer:
        batch = workspace.journal.round(name)
        if batch["state"] not in ("labeled", "checked"):
            raise StateError(
                f"{name} is {batch['state']}; a round can be reopened when its labels came and before it is trained"
            )
        if "send" not in batch["steps"]:
            raise StateError(f"{name} was never sent to an annotator: there is nobody to label it again")
        parts = ("check", "golden", "fetch")
        said = {"reason": reason, **{part: batch["steps"][part] for part in parts if part in batch["steps"]}}
        before = batch["steps"].get("reopen", {}).get("times", [])
        record = {"reopen": {"times": [*before, said]}}
        workspace.journal.advance(writer, name, ("labeled", "checked"), "annotating", record, drop=parts)
        rows = workspace.journal.assignments(round=name, active=True)
        which = ("key", "role", "modality", "slot")
        again = [({part: row[part] for part in which}, {"state": "unreviewed"}) for row in rows]
        workspace.journal.answer(writer, name, again)
        workspace.project(writer, sorted({row["key"] for row in rows}))
        return RoundResult(name, "annotating", 0, len({row["key"] for row in rows}), reason)


def _given_back(workspace: Workspace, name: str) -> tuple[set[str], set[str]]:
    """(scenes that go back to the pool, scenes whose labels are kept)."""
    rows = workspace.journal.assignments(round=name)
    back = {row["key"] for row in rows if row["state"] == "unreviewed" and row["role"] != "golden"}
    kept = {
        row["key"]
        for row in rows
        if row["state"] in ("labeled", "reviewed_empty") and row["role"] != "golden"
    }
    return back, kept - back


# ---------------------------------------------------------------------- explaining


@dataclass(frozen=True)
class ReplayResult:
    """Whether choosing again gives the committed manifest, byte for byte; `differs`: which parts, and why they may."""

    round: str
    equal: bool
    differs: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


def replay(workspace: Workspace, name: str) -> ReplayResult:
    """Chooses the batch of a round again, from its manifest and today's vectors and code."""
    old = workspace.journal.manifest(name)
    if old["role"] != "pool" or "candidates" not in old:
        raise StateError(f"{name} was not chosen by swath: there is nothing to replay")
    try:
        new, _ = answer(workspace, question_of(old))
    except SwathError as error:
        return ReplayResult(name, False, (f"it cannot be chosen again: {error}",), (), ())
    if pack(old) == pack(new):
        return ReplayResult(name, True, (), (), ())
    differs = []
    for part, whose in (
        ("embeddings", "candidates"),
        ("failures", "failures"),
        ("labelled", "labelled scenes"),
    ):
        if old["fingerprints"].get(part) != new["fingerprints"][part]:
            differs.append(f"embeddings: the vectors of the {whose} are not the ones it was chosen with")
    for part in sorted(set(old["versions"]) | set(new["versions"])):
        if old["versions"].get(part) != new["versions"].get(part):
            differs.append(f"code: {part} {new['versions'].get(part)} now, {old['versions'].get(part)} then")
    if old["config_hash"] != new["config_hash"]:
        differs.append(f"config: hash {new['config_hash']} now, {old['config_hash']} then")
    named = ("fingerprints", "versions", "config_hash")
    parts = [
        part for part in sorted(set(old) | set(new)) if part not in named and old.get(part) != new.get(part)
    ]
    differs += [f"{part}: not the same" for part in parts]
    before, after = ({scene["key"] for scene in one["scenes"]} for one in (old, new))
    return ReplayResult(
        name, False, tuple(differs), tuple(sorted(after - before)), tuple(sorted(before - after))
    )


@dataclass(frozen=True)
class ExplainResult:
    """All that the journal knows of one scene."""

    scene: str
    id: str
    split: str
    sequence: str
    status: str
    tags: tuple[str, ...]
    media: Mapping[str, str]
    rounds: tuple[Mapping[str, Any], ...]
    failures: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]


def explain(workspace: Workspace, key: str) -> ExplainResult:
    """Why a scene is where it is: split, rounds with stream, rank, score and reason, answers, checks, failures."""
    table = workspace.scenes.table
    if not table.known([key]):
        by_id = dict(zip(table.ids.tolist(), table.keys.tolist(), strict=True))
        if str(key) not in by_id:
            raise UnknownNameError(
                f"no scene {key!r}; keys look like {some(table.keys, 3)} (a FiftyOne id works too)"
            )
        key = by_id[str(key)]
    row = int(table.rows([key])[0])
    state = workspace.states()[key]
    rounds, failures, findings = [], [], []
    for batch in workspace.journal.batches():
        name = batch["round"]
        answers = [
            {
                part: one.get(part)
                for part in ("role", "modality", "slot", "state", "annotator", "count", "rejected")
            }
            for one in workspace.journal.assignments(round=name, key=key)
        ]
        if answers:
            chosen = [one for one in workspace.journal.manifest(name)["scenes"] if one["key"] == key]
            rounds.append(
                {"round": name, "state": batch["state"], **(chosen[0] if chosen else {}), "answers": answers}
            )
        for failure in batch["steps"].get("evaluate", {}).get("failures", ()):
            if failure["key"] == key:
                failures.append({"round": name, **failure})
        for finding in batch["steps"].get("check", {}).get("findings", ()):
            if finding["scene"] == key:
                findings.append({"round": name, **finding})
    split = workspace.membership().get(key, "not in the journal") if workspace.is_split() else ""
    return ExplainResult(
        key,
        str(table.ids[row]),
        split or "set aside",
        str(table.sequence[row]),
        state.status,
        state.tags,
        {name: str(paths[row]) for name, paths in table.paths.items() if paths[row]},
        tuple(rounds),
        tuple(failures),
        tuple(findings),
    )
