"""Takes over a loop that was run by hand, with the FiftyOne annotation guide: its tags and labels become the journal.

What does not add up is reported: a split nobody is in, a tag on one slice only, two splits on one scene, a saved view that is
empty, a status that never became `annotated`. The dataset itself is changed only with `fix`: then every tag, status and view
is made what the journal says (`swath repair` does the same later).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swath import __version__
from swath.config import LoopConfig
from swath.errors import StateError, some
from swath.journal import Document, Writer, digest, pack
from swath.labels import digest_of
from swath.projection import SPLITS, VIEWS
from swath.scenes import load_dataset, open_journal
from swath.steps.init import init_fiftyone
from swath.steps.select import modalities_of
from swath.steps.workspace import Progress, Workspace, silent

Tags = dict[str, dict[str, set[str]]]  # scene key -> slice -> tags


@dataclass(frozen=True)
class AdoptResult:
    """`problems`: what did not add up, one line each; `fixed`: whether the dataset was made to match the journal."""

    dataset: str
    scenes: int
    splits: Mapping[str, int]
    rounds: Mapping[str, int]
    problems: tuple[str, ...]
    fixed: bool


def adopt(
    name: str, config: LoopConfig, home: Path, *, fix: bool = False, progress: Progress = silent
) -> tuple[Workspace, AdoptResult]:
    """Reads tags, status, labels and views of the dataset `name` into a new journal. Refuses where there is a loop already."""
    journal = open_journal(load_dataset(name))
    if journal.exists():
        if "membership" in journal.loop():
            raise StateError(f"{name} has a loop already; `swath status --dataset {name}` shows it")
        journal.forget()  # what an adoption that was killed left behind
    workspace, _ = init_fiftyone(name, config, home, progress=progress)
    tags = _tags(workspace)
    problems: list[str] = []
    membership = _membership(tags, problems)
    _views(workspace, membership, problems)
    _classes(workspace, problems)
    rounds: dict[str, int] = {}
    if not any(membership.values()):
        problems.append(
            f"no scene has a split: tags split:test, val, golden, pool are on 0 of {len(tags)} scenes; run `swath split`"
        )
    else:
        with workspace.writer("adopt") as writer:
            rounds = _rounds(workspace, writer, tags, membership, problems)
            test = sorted(key for key, split in membership.items() if split == "test")
            frozen = {
                "membership": pack(membership),
                "membership_sha256": digest(membership),
                "test_sha256": digest(test),
            }
            record = {"seed": config.seed, "units": 0, "notes": ["adopted from tags"], "closest": []}
            workspace.journal.record(writer, "split", record, **frozen)
            if fix:
                workspace.project(writer)
    sizes = {name: sum(split == name for split in membership.values()) for name in SPLITS}
    return workspace, AdoptResult(
        name, len(tags), sizes, rounds, tuple(problems), fix and workspace.is_split()
    )


def _tags(workspace: Workspace) -> Tags:
    out: Tags = {}
    keys = workspace.scenes.table.keys.tolist()
    for slice_name, ids in workspace.scenes.table.samples.items():
        for key, there, doc in zip(
            keys, ids, workspace.scenes.values(slice_name, keys, ["tags"]), strict=True
        ):
            if there:
                out.setdefault(key, {})[slice_name] = set(doc.get("tags") or ())
    return out


def _membership(tags: Tags, problems: list[str]) -> dict[str, str]:
    """key -> split ("" where none is tagged). Of two splits the more protected one holds: test, val, golden, pool."""
    membership: dict[str, str] = {}
    several: list[str] = []
    partly: dict[str, list[str]] = {}
    for key, slices in sorted(tags.items()):
        found = [split for split in SPLITS if any(f"split:{split}" in one for one in slices.values())]
        membership[key] = found[0] if found else ""
        if len(found) > 1:
            several.append(f"{key} ({', '.join(found)})")
        for split in found:
            if not all(f"split:{split}" in one for one in slices.values()):
                partly.setdefault(split, []).append(key)
    if several:
        problems.append(
            f"{len(several)} scenes are in two splits, the more protected one is kept: {some(several)}"
        )
    for split, keys in partly.items():
        problems.append(f"split:{split} is on some slices only of {len(keys)} scenes: {some(keys)}")
    without = [key for key, split in membership.items() if not split]
    if without and len(without) < len(membership):
        problems.append(f"{len(without)} scenes have no split; they are set aside: {some(without)}")
    empty = [split for split in SPLITS if any(membership.values()) and split not in membership.values()]
    if empty:
        problems.append(f"nobody is in {', '.join(empty)}")
    return membership


def _views(workspace: Workspace, membership: Mapping[str, str], problems: list[str]) -> None:
    dataset = workspace.scenes.dataset
    for split, view in VIEWS.items():
        wanted = sum(one == split for one in membership.values())
        if dataset.has_saved_view(view):
            found = len(dataset.load_saved_view(view))
            if found != wanted:
                problems.append(
                    f"saved view {view!r} shows {found} scenes where {wanted} are tagged split:{split}"
                )
        elif wanted:
            problems.append(f"there is no saved view {view!r}")


def _classes(workspace: Workspace, problems: list[str]) -> None:
    """Whether schemas and labels keep to the class map."""
    config = workspace.config
    for modality in workspace.modalities:
        schema = workspace.scenes.dataset.info.get(f"annotation_schema_{modality}")
        listed = (schema.get("classes") if isinstance(schema, Mapping) else None) or config.classes
        if set(listed) != set(config.classes):
            problems.append(
                f"annotation_schema_{modality} lists the classes {some(listed, 12)}, the class map is "
                f"{some(config.classes, 12)}; name the ones to keep in --config (classes: [...])"
            )
        flat = modality == "2d"
        slice_name = config.slices.image if flat else config.slices.cloud
        field = config.fields.detections if flat else config.fields.cuboids
        keys = workspace.scenes.table.keys.tolist()
        found = Counter(
            str(one.get("label"))
            for doc in workspace.scenes.values(slice_name, keys, [field])
            for one in (doc.get(field) or {}).get("detections") or ()
        )
        strange = sorted(set(found) - set(config.classes))
        if strange:
            problems.append(
                f"{sum(found[label] for label in strange)} labels in {field} are of no class in the class map: "
                f"{some(strange)}; training leaves them out"
            )


def _rounds(
    workspace: Workspace, writer: Writer, tags: Tags, membership: Mapping[str, str], problems: list[str]
) -> dict[str, int]:
    """Rounds from `batch:vN` tags, in order; returns their sizes."""
    members: dict[int, dict[str, str]] = {}
    partly: list[str] = []
    outside: list[str] = []
    for key, slices in sorted(tags.items()):
        union = set().union(*slices.values())
        for tag in sorted(union):
            if match := re.fullmatch(r"batch:v(\d+)", tag):
                if membership[key] != "pool":
                    outside.append(f"{key} ({tag}, {membership[key] or 'no split'})")
                    continue
                if not all(tag in one for one in slices.values()):
                    partly.append(key)
                stream = "targeted" if "source:targeted" in union else "coverage"
                members.setdefault(int(match[1]), {})[key] = stream
    if outside:
        problems.append(
            f"{len(outside)} scenes are in a batch and not in the pool; they are left out of it: {some(outside)}"
        )
    if partly:
        problems.append(f"batch tags are on some slices only of {len(partly)} scenes: {some(partly)}")
    sizes: dict[str, int] = {}
    taken: set[str] = set()
    for number in sorted(members):
        name = f"v{number}"
        again = sorted(set(members[number]) & taken)
        if again:
            problems.append(
                f"{name}: {len(again)} scenes were in an earlier batch and stay there: {some(again)}"
            )
        chosen = {key: stream for key, stream in members[number].items() if key not in taken}
        taken |= set(chosen)
        if chosen:
            _round(workspace, writer, name, number, chosen, last=number == max(members), problems=problems)
            sizes[name] = len(chosen)
    return sizes


def _round(
    workspace: Workspace,
    writer: Writer,
    name: str,
    number: int,
    chosen: Mapping[str, str],
    *,
    last: bool,
    problems: list[str],
) -> None:
    streams = list(chosen.values())
    batch = {"budget": len(chosen), "size": len(chosen), "coverage": streams.count("coverage")}
    batch["targeted"] = len(chosen) - batch["coverage"]
    scenes: list[Document] = [
        {
            "key": key,
            "stream": stream,
            "rank": rank,
            "score": 0.0,
            "reason": "adopted",
            "modalities": modalities_of(workspace, key),
        }
        for rank, (key, stream) in enumerate(chosen.items(), 1)
    ]
    manifest: Document = {"round": name, "number": number, "role": "pool", "batch": batch, "scenes": scenes}
    manifest |= {"golden": [], "excluded": [], "notes": ["adopted from tags"], "answers": None}
    manifest |= {"zcore": {"draws": 0, "overlap": None, "interval": [None, None], "reason": "adopted"}}
    manifest |= {"seed": workspace.config.seed, "config_hash": workspace.config.hash()}
    manifest |= {"versions": {"swath": __version__}, "fingerprints": {"embeddings": None, "pool": None}}
    workspace.journal.plan(writer, name, number, manifest)
    rows = [
        {"key": scene["key"], "role": "pool", "modality": modality, "slot": 0, "stream": scene["stream"]}
        for scene in scenes
        for modality in scene["modalities"]
    ]
    workspace.journal.assign(writer, name, rows)
    answers = _answers(workspace, rows)
    workspace.journal.answer(writer, name, answers)
    missing = {which["key"] for which, _ in answers}
    missing = {row["key"] for row in rows} - missing
    stale = [
        key
        for key, doc in _status(workspace, sorted(chosen)).items()
        if key not in missing and doc != "annotated"
    ]
    if stale:
        problems.append(
            f"{name}: annotation_status of {len(stale)} labelled scenes is not 'annotated': {some(stale)}"
        )
    if last and len(answers) < len(rows):
        problems.append(f"{name} is open: {len(missing)} of {len(chosen)} scenes have no labels yet")
        workspace.journal.advance(writer, name, "planned", "committed", {"adopt": {"scenes": len(chosen)}})
        return
    if missing:
        problems.append(
            f"{name}: {len(missing)} scenes have no labels and go back to the pool: {some(sorted(missing))}"
        )
    workspace.journal.release(writer, name, {"state": "unreviewed"}, state="returned")
    workspace.journal.release(writer, name, {})
    stop = {"decision": "continue", "why": "adopted", "criteria": {}}
    workspace.journal.advance(
        writer, name, "planned", "closed", {"adopt": {"scenes": len(chosen)}, "stop": stop}
    )


def _answers(workspace: Workspace, rows: Sequence[Document]) -> list[tuple[Document, Document]]:
    """What is labelled already, as answers."""
    config = workspace.config
    out: list[tuple[Document, Document]] = []
    for modality, slice_name, field in (
        ("2d", config.slices.image, config.fields.detections),
        ("3d", config.slices.cloud, config.fields.cuboids),
    ):
        keys = [row["key"] for row in rows if row["modality"] == modality]
        if not keys:
            continue
        for key, doc in zip(keys, workspace.scenes.values(slice_name, keys, [field]), strict=True):
            if doc.get(field) is None:
                continue
            found = doc[field].get("detections") or []
            state = "labeled" if found else "reviewed_empty"
            which = {"key": key, "role": "pool", "modality": modality, "slot": 0}
            told = {"state": state, "annotator": "adopted", "count": len(found), "digest": digest_of(found)}
            out.append((which, {**told, "active": False}))  # nobody is asked for it again
    return out


def _status(workspace: Workspace, keys: Sequence[str]) -> dict[str, str | None]:
    status = workspace.config.fields.status
    docs = workspace.scenes.values(workspace.config.slices.image, keys, [status])
    return {key: doc.get(status) for key, doc in zip(keys, docs, strict=True)}
