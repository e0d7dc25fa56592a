"""Takes over a loop that was run by hand, with the FiftyOne annotation guide: its tags and labels become the journal.

What does not add up is reported: a split nobody is in, a tag on one slice only, two splits on one scene, a saved view that is
empty, a status that never became `annotated`. The dataset itself is changed only with `fix`: then every tag, status and view
is made what the journal says (`swath repair` does the same later).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from swath import commit
from swath.errors import StateError, some
from swath.labels import stored
from swath.projection import SPLITS, VIEWS
from swath.records.assignment import Assignment, Said
from swath.records.batch import Adopted, Stopped
from swath.records.loop import SplitDone
from swath.records.manifest import BatchSize, Chosen, Coverage, Manifest, Stream
from swath.records.results import AdoptResult
from swath.store.journal import Journal
from swath.store.journal.lease import Writer
from swath.suggest import command
from swath.workspace import Workspace

Tags = dict[str, dict[str, set[str]]]  # scene key -> slice -> tags


def refuse_a_loop(journal: Journal, name: str) -> None:
    """`StateError` where there is a loop already; what an adoption that was killed left behind is forgotten."""
    if journal.exists():
        if journal.loop().membership is not None:
            raise StateError(f"{name} has a loop already; `{command('status', name)}` shows it")
        journal.forget()


def adopt(workspace: Workspace, *, fix: bool = False) -> AdoptResult:
    """Reads tags, status, labels and views of a dataset that was just taken in into its new journal."""
    tags = _tags(workspace)
    problems: list[str] = []
    membership = _membership(tags, problems)
    _views(workspace, membership, problems)
    _classes(workspace, problems)
    rounds: dict[str, int] = {}
    if not any(membership.values()):
        problems.append(
            f"no scene has a split: tags split:test, val, golden, pool are on 0 of {len(tags)} scenes; "
            f"run `{command('split', workspace.name)}`"
        )
    else:
        with workspace.writer("adopt") as writer:
            rounds = _rounds(workspace, writer, tags, membership, problems)
            record = SplitDone(seed=workspace.config.seed, units=0, notes=("adopted from tags",))
            frozen = workspace.journal.frozen(membership)
            workspace.journal.record(writer, {"split": record}, membership=frozen)
            if fix:
                commit.project_all(workspace, writer)
    found = list(membership.values())
    return AdoptResult(
        dataset=workspace.name,
        scenes=len(tags),
        splits={split: found.count(split) for split in SPLITS},
        rounds=rounds,
        problems=tuple(problems),
        fixed=fix and workspace.is_split(),
    )


def _tags(workspace: Workspace) -> Tags:
    out: Tags = {}
    keys = workspace.scenes.table.keys.tolist()
    for slice_name, paths in workspace.scenes.table.paths.items():
        docs = workspace.scenes.values(slice_name, keys, ["tags"])
        for key, there, doc in zip(keys, paths, docs, strict=True):
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
    for modality in workspace.rig.modalities:
        schema = workspace.scenes.dataset.info.get(f"annotation_schema_{modality}")
        listed = (schema.get("classes") if isinstance(schema, Mapping) else None) or config.classes
        if set(listed) != set(config.classes):
            problems.append(
                f"annotation_schema_{modality} lists the classes {some(listed, 12)}, the class map is "
                f"{some(config.classes, 12)}; name the ones to keep in --config (classes: [...])"
            )
    keys = workspace.scenes.table.keys.tolist()
    for channel in workspace.rig.labelled:
        found = Counter(
            str(one.get("label"))
            for doc in workspace.scenes.values(channel.name, keys, [channel.human])
            for one in stored.detections(doc.get(channel.human))
        )
        strange = sorted(set(found) - set(config.classes))
        if strange:
            problems.append(
                f"{sum(found[label] for label in strange)} labels in {channel.human} are of no class in the class map: "
                f"{some(strange)}; training leaves them out"
            )


def _rounds(
    workspace: Workspace, writer: Writer, tags: Tags, membership: Mapping[str, str], problems: list[str]
) -> dict[str, int]:
    """Rounds from `batch:vN` tags, in order; returns their sizes."""
    members: dict[int, dict[str, Stream]] = {}
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
                stream: Stream = "targeted" if "source:targeted" in union else "coverage"
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
    chosen: Mapping[str, Stream],
    *,
    last: bool,
    problems: list[str],
) -> None:
    table = workspace.scenes.table
    scenes = tuple(
        Chosen(
            key=key,
            stream=stream,
            rank=rank,
            score=0.0,
            reason="adopted",
            channels=tuple(channel.name for channel in workspace.channels_of(table, key)),
            split="pool",
        )
        for rank, (key, stream) in enumerate(chosen.items(), 1)
    )
    covering = sum(stream == "coverage" for stream in chosen.values())
    size = BatchSize(budget=len(chosen), size=len(chosen), coverage=covering, targeted=len(chosen) - covering)
    manifest = Manifest(
        round=name,
        number=number,
        role="pool",
        size=size,
        scenes=scenes,
        notes=("adopted from tags",),
        coverage=Coverage(draws=0, reason="adopted"),
    )
    journal = workspace.journal
    journal.batches.plan(writer, manifest, journal.loop().floor)
    rows = list(commit.assignments_of(manifest))
    journal.assignments.assign(writer, rows)
    answers = _answers(workspace, rows)
    journal.assignments.answer(writer, name, answers)
    missing = {row.key for row in rows} - {said.key for said in answers}
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
        journal.batches.advance(writer, name, "adopt open", {"adopt": Adopted(scenes=len(chosen))})
        return
    if missing:
        problems.append(
            f"{name}: {len(missing)} scenes have no labels and go back to the pool: {some(sorted(missing))}"
        )
    journal.assignments.release(writer, name, "unreviewed", "returned")
    journal.assignments.release(writer, name)
    stop = Stopped(round=name, decision="continue", why="adopted")
    done = {"adopt": Adopted(scenes=len(chosen)), "stop": stop}
    journal.batches.advance(writer, name, "adopt", done)


def _answers(workspace: Workspace, rows: Sequence[Assignment]) -> list[Said]:
    """What is labelled already, as answers."""
    out: list[Said] = []
    for channel in workspace.rig.labelled:
        keys = [row.key for row in rows if row.channel == channel.name]
        docs = workspace.scenes.values(channel.name, keys, [channel.human])
        for key, doc in zip(keys, docs, strict=True):
            if doc.get(channel.human) is None:
                continue
            there = stored.detections(doc[channel.human])
            out.append(
                Said(
                    key=key,
                    role="pool",
                    channel=channel.name,
                    slot=0,
                    state="labeled" if there else "reviewed_empty",
                    annotator="adopted",
                    count=len(there),
                    digest=stored.digest_of(there),
                    active=False,  # nobody is asked for it again
                )
            )
    return out


def _status(workspace: Workspace, keys: Sequence[str]) -> dict[str, str | None]:
    status = workspace.config.fields.status
    docs = workspace.scenes.values(workspace.config.primary, keys, [status])
    return {key: doc.get(status) for key, doc in zip(keys, docs, strict=True)}
