"""Sends a batch to annotators, and fetches what they answered.

Annotators get a work set: scenes under opaque ids, pool and golden mixed in an order that tells nothing, without splits,
tags or references. `fetch` checks that the ids that came are the ids that were sent, puts bad labels in quarantine with a
reason, writes pool labels to `human_*`, golden ones to `golden_*` and several opinions of a reference to `opinions_*` and
their majority to `human_*`. Labels are on disk before the journal says that they are; fetching twice changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swath import labels
from swath.annotators.base import Annotator, Answer, Boxes, Cuboids, Modality, Task, Work
from swath.annotators.consensus import consensus
from swath.errors import ConfigError, IntegrityError, StateError, some
from swath.formats.kitti import Calibration
from swath.journal import DONE, Document, Writer
from swath.scenes import OPINIONS, Scenes
from swath.steps.workspace import Workspace, settle

OPEN = ("committed", "annotating")


@dataclass(frozen=True)
class SendResult:
    batch: str
    annotator: str
    tasks: int
    sent_before: bool


@dataclass(frozen=True)
class FetchResult:
    """`states`: answers by state, over modalities; `waiting`: scenes that somebody has yet to label; `rejected`: labels in
    quarantine (scene, modality, where, reason)."""

    batch: str
    annotator: str
    state: str
    states: Mapping[str, int]
    labels: Mapping[str, int]
    waiting: int
    rejected: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...]


def make_annotator(workspace: Workspace) -> Annotator:
    """The configured annotator; `ConfigError` when there is none."""
    from swath.annotators.files import Files
    from swath.annotators.simulated import ErrorRates, Simulated

    config = workspace.config.annotate
    if config.annotator == "files":
        if config.folder is None:
            raise ConfigError(
                "the `files` annotator needs a folder: --folder DIR, or annotate: {folder: DIR}"
            )
        return Files(config.folder)
    if config.annotator == "simulated":
        truth = hidden_truth(workspace.scenes)
        return Simulated(
            truth, ErrorRates(miss=config.miss, extra=config.extra, swap=config.swap), workspace.config.seed
        )
    raise ConfigError(
        "no annotator is configured; give --annotator simulated, or --annotator files --folder DIR"
    )


def hidden_truth(scenes: Scenes) -> Any:
    """What the simulated annotators look at: a function of a task. Read by them alone."""
    fields, slices, dataset = scenes.config.fields, scenes.config.slices, scenes.dataset
    if fields.truth not in dataset.get_field_schema():
        raise ConfigError(
            f"the simulated annotator needs the field {fields.truth!r}, which {dataset.name!r} lacks; it has "
            f"{some(sorted(dataset.get_field_schema()), 20)}; name it in the configuration (fields: {{truth: ...}})"
        )
    cache: dict[tuple[str, str], Mapping[str, Any]] = {}
    for slice_name in (slices.image, slices.cloud):
        if slice_name in scenes.slices:
            keys = scenes.table.keys.tolist()
            for key, doc in zip(keys, scenes.values(slice_name, keys, [fields.truth]), strict=True):
                cache[slice_name, key] = doc

    def truth(task: Task) -> tuple[Boxes | None, Cuboids | None]:
        flat = cache.get((slices.image, task.key), {}).get(fields.truth)
        solid = cache.get((slices.cloud, task.key), {}).get(fields.truth)
        boxes = labels.read_boxes(flat, (task.width, task.height))
        cuboids = labels.read_cuboids(solid)
        return (
            None if flat is None else Boxes(boxes.boxes, boxes.classes),
            None if solid is None else Cuboids(cuboids.cuboids, cuboids.classes),
        )

    return truth


# ---------------------------------------------------------------------- send


def open_batch(workspace: Workspace) -> Document:
    """The batch that is with annotators, or waits to be sent; `StateError` when there is none."""
    found = [batch for batch in workspace.journal.batches() if batch["state"] in OPEN]
    if not found:
        raise StateError(
            "no batch is open; choose one first: `swath select`, or `swath next` says what is next"
        )
    return found[0]


def send(workspace: Workspace, annotator: Annotator) -> SendResult:
    """Hands the open batch to `annotator`; doing it again hands over the same work."""
    with workspace.writer("send") as writer:
        batch = open_batch(workspace)
        name = batch["round"]
        before = batch["steps"].get("send")
        if before is not None and before["annotator"] != annotator.name:
            raise StateError(
                f"{name} is with {before['annotator']!r}; it cannot be sent to {annotator.name!r} as well"
            )
        work = work_of(workspace, name)
        annotator.send(work)
        if before is None:
            entry = {"annotator": annotator.name, "tasks": len(work.tasks)}
            workspace.journal.advance(writer, name, "committed", "annotating", {"send": entry})
        return SendResult(name, annotator.name, len(work.tasks), before is not None)


def work_of(workspace: Workspace, name: str) -> Work:
    """What annotators get to see of a batch: from its assignments, in the order of opaque ids."""
    config, table = workspace.config, workspace.scenes.table
    wanted: dict[tuple[str, int], set[str]] = {}
    for row in workspace.journal.assignments(round=name, active=True):
        wanted.setdefault((row["key"], row["slot"]), set()).add(row["modality"])
    keys = table.known(sorted({key for key, _ in wanted}))
    rows = dict(zip(keys, table.rows(keys), strict=True))
    known = calibrations(workspace.scenes, keys)
    tasks = []
    for (key, slot), modalities in sorted(wanted.items()):
        if key not in rows:  # deleted by hand since
            continue
        media = {
            slice_name: str(paths[rows[key]]) for slice_name, paths in table.paths.items() if paths[rows[key]]
        }
        width, height = (int(one) for one in table.size[rows[key]])
        ordered: tuple[Modality, ...] = tuple(one for one in ("2d", "3d") if one in modalities)
        opaque = task_id(config.seed, name, key, slot)
        tasks.append(Task(opaque, key, media, width, height, known.get(key), ordered, slot))
    return Work(name, name, config.classes, tuple(sorted(tasks, key=lambda task: task.task)))


def task_id(seed: int, batch: str, key: str, slot: int) -> str:
    """An id that says nothing about the scene's role."""
    return hashlib.blake2b(f"{seed}\x1f{batch}\x1f{key}\x1f{slot}".encode(), digest_size=8).hexdigest()


def calibrations(scenes: Scenes, keys: Sequence[str]) -> dict[str, Calibration]:
    """Calibration of the scenes that have one."""
    out: dict[str, Calibration] = {}
    for slice_name in (scenes.config.slices.image, scenes.config.slices.cloud):
        if slice_name in scenes.slices:
            for key, doc in zip(keys, scenes.values(slice_name, keys, ["calibration"]), strict=True):
                if doc.get("calibration") and key not in out:
                    out[key] = Calibration.from_dict(doc["calibration"])
    return out


# ---------------------------------------------------------------------- fetch


def fetch(workspace: Workspace, annotator: Annotator) -> FetchResult:
    """Takes in what annotators answered so far. When nobody is waited for, the batch is `labeled`."""
    with workspace.writer("fetch") as writer:
        batch = open_batch(workspace)
        name = batch["round"]
        if batch["state"] == "committed":
            raise StateError(f"{name} was not sent yet; run `swath send --dataset {workspace.name}`")
        if batch["steps"]["send"]["annotator"] != annotator.name:
            raise StateError(
                f"{name} was sent to {batch['steps']['send']['annotator']!r}, not to {annotator.name!r}"
            )
        work = work_of(workspace, name)
        answers = _checked(work, annotator.fetch(work))
        task_of = {task.task: task for task in work.tasks}
        rows = workspace.journal.assignments(round=name, active=True)
        role_of = {(row["key"], row["modality"], row["slot"]): row["role"] for row in rows}
        tick = workspace.progress(f"take in labels of {name}")
        for modality in ("2d", "3d"):
            found = [answer for answer in answers if answer.modality == modality]
            by_role: dict[str, list[tuple[Task, Answer]]] = {}
            for answer in found:
                task = task_of[answer.task]
                by_role.setdefault(role_of[task.key, modality, task.slot], []).append((task, answer))
            for role, pairs in sorted(by_role.items()):
                _write_labels(workspace, writer, name, role, modality, pairs)
        tick(1, 1)
        workspace.journal.barrier(writer)
        workspace.journal.answer(writer, name, _entries(answers, task_of, role_of))
        result = _result(workspace, name, annotator, answers, task_of)
        if result.waiting == 0:
            entry = {
                "states": dict(result.states),
                "labels": dict(result.labels),
                "notes": list(result.notes),
                "rejected": len(result.rejected),
            }
            after = "closed" if batch["number"] < 0 else "labeled"
            workspace.journal.advance(writer, name, "annotating", after, {"fetch": entry})
            settle(workspace, writer)
            result = _result(workspace, name, annotator, answers, task_of)
        workspace.project(writer, sorted({task.key for task in work.tasks}))
    return result


def _checked(work: Work, answers: Iterable[Answer]) -> list[Answer]:
    """The answers, one per task and modality that was sent; anything else is an `IntegrityError` that names it."""
    expected = {(task.task, modality) for task in work.tasks for modality in task.modalities}
    listed = list(answers)
    got = [(answer.task, answer.modality) for answer in listed]
    unknown, missing = sorted(set(got) - expected), sorted(expected - set(got))
    twice = sorted({one for one in got if got.count(one) > 1}) if len(set(got)) != len(got) else []
    for what, which in (("unknown", unknown), ("missing", missing), ("given twice", twice)):
        if which:
            raise IntegrityError(
                f"{work.batch}: {len(which)} answers are {what}: {some(which)}; nothing was written"
            )
    return listed


def _write_labels(
    workspace: Workspace,
    writer: Writer,
    name: str,
    role: str,
    modality: str,
    pairs: Sequence[tuple[Task, Answer]],
) -> None:
    """Labels of one role and modality. What nobody has looked at is not touched."""
    config = workspace.config
    flat = modality == "2d"
    slice_name = config.slices.image if flat else config.slices.cloud
    human = config.fields.detections if flat else config.fields.cuboids
    golden = config.fields.golden_detections if flat else config.fields.golden_cuboids
    seen = [(task, answer) for task, answer in pairs if answer.state in ("labeled", "reviewed_empty")]
    values: dict[str, dict[str, Any]] = {}
    if role in ("pool", "golden"):
        for task, answer in seen:
            documents = _documents(
                task, _labels(answer), [task.key, name, role, modality], name, answer.annotator
            )
            if role == "pool":
                values[task.key] = {human: labels.detections(documents)}
            else:
                values[task.key] = {golden: _replace_round(golden, name, documents)}
    else:
        values = _reference(workspace, name, modality, human, seen)
    for key, value in list(values.items()):
        if role != "golden":
            values[key] = {field: {"$literal": documents} for field, documents in value.items()}
    workspace.scenes.write(slice_name, values, writer, by_pipeline=True)


def _reference(
    workspace: Workspace, name: str, modality: str, human: str, seen: Sequence[tuple[Task, Answer]]
) -> dict[str, dict[str, Any]]:
    """All opinions of a scene, and their majority once all are in."""
    slots: dict[str, dict[int, tuple[Task, Answer]]] = {}
    for task, answer in seen:
        slots.setdefault(task.key, {})[task.slot] = (task, answer)
    needed: dict[str, int] = {}
    for row in workspace.journal.assignments(round=name, modality=modality):
        needed[row["key"]] = needed.get(row["key"], 0) + 1
    values: dict[str, dict[str, Any]] = {}
    for key, by_slot in slots.items():
        ordered = [by_slot[slot] for slot in sorted(by_slot)]
        task = ordered[0][0]
        opinions = []
        for one, answer in ordered:
            identity = [key, name, modality, one.slot]
            opinions += _documents(one, _labels(answer), identity, name, answer.annotator, slot=one.slot)
        values[key] = {OPINIONS[modality]: labels.detections(opinions)} if needed[key] > 1 else {}
        if len(ordered) == needed[key]:
            drawn = [_labels(answer) for _, answer in ordered]
            agreed = _majority(drawn)
            documents = _documents(
                task, agreed, [key, name, "reference", modality], name, ordered[0][1].annotator
            )
            values[key][human] = labels.detections(documents)
    return {key: value for key, value in values.items() if value}


def _majority(drawn: Sequence[Boxes | Cuboids]) -> Boxes | Cuboids:
    if len(drawn) == 1:
        return drawn[0]
    flat = [one for one in drawn if isinstance(one, Boxes)]
    return (
        consensus(flat).labels
        if flat
        else consensus([one for one in drawn if isinstance(one, Cuboids)]).labels
    )


def _labels(answer: Answer) -> Boxes | Cuboids:
    found = answer.boxes if answer.modality == "2d" else answer.cuboids
    if found is None:
        return Boxes.empty() if answer.modality == "2d" else Cuboids.empty()
    return found


def _documents(
    task: Task, drawn: Boxes | Cuboids, identity: Sequence[object], name: str, annotator: str, **more: Any
) -> list[dict[str, Any]]:
    return label_documents(
        drawn, (task.width, task.height), identity, round=name, annotator=annotator, **more
    )


def label_documents(
    drawn: Boxes | Cuboids, size: tuple[int, int], identity: Sequence[object], **attributes: Any
) -> list[dict[str, Any]]:
    """Raw FiftyOne labels of boxes or cuboids; ids are a function of `identity`."""
    if isinstance(drawn, Boxes):
        return labels.box_documents(drawn.boxes, drawn.classes, size, identity, **attributes)
    return labels.cuboid_documents(drawn.cuboids, drawn.classes, identity, **attributes)


def _replace_round(field: str, name: str, documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A pipeline expression: the field with the labels of this round replaced, those of other rounds kept."""
    others = {
        "$filter": {
            "input": {"$ifNull": [f"${field}.detections", []]},
            "as": "one",
            "cond": {"$ne": ["$$one.round", name]},
        }
    }
    return {"_cls": "Detections", "detections": {"$concatArrays": [others, {"$literal": list(documents)}]}}


def _entries(
    answers: Sequence[Answer], task_of: Mapping[str, Task], role_of: Mapping[tuple[str, str, int], str]
) -> Iterable[tuple[Document, Document]]:
    for answer in answers:
        task = task_of[answer.task]
        role = role_of[task.key, answer.modality, task.slot]
        which = {"key": task.key, "role": role, "modality": answer.modality, "slot": task.slot}
        drawn = _labels(answer)
        stored = label_documents(drawn, (task.width, task.height), [])
        yield (
            which,
            {
                "state": answer.state,
                "annotator": answer.annotator,
                "count": len(drawn),
                "digest": labels.digest_of(stored),
                "rejected": [{"where": one.where, "reason": one.reason} for one in answer.rejected],
            },
        )


def _result(
    workspace: Workspace,
    name: str,
    annotator: Annotator,
    answers: Sequence[Answer],
    task_of: Mapping[str, Task],
) -> FetchResult:
    states: dict[str, int] = {}
    counts: dict[str, int] = {}
    waiting: set[str] = set()
    rejected = []
    for answer in answers:
        key = task_of[answer.task].key
        states[answer.state] = states.get(answer.state, 0) + 1
        counts[answer.modality] = counts.get(answer.modality, 0) + len(_labels(answer))
        if answer.state not in DONE:
            waiting.add(key)
        for one in answer.rejected:
            rejected.append(
                {"scene": key, "modality": answer.modality, "where": one.where, "reason": one.reason}
            )
    return FetchResult(
        name,
        annotator.name,
        workspace.journal.round(name)["state"],
        dict(sorted(states.items())),
        dict(sorted(counts.items())),
        len(waiting),
        tuple(rejected),
        tuple(annotator.notes),
    )
