"""What a loop leaves behind, as plain data: to compare before and after, two datasets, or to go on from a copy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from support import samples_of
from swath.loop import Loop
from swath.store.scenes import load_dataset

STAMPS = ("last_modified_at", "swath_fence")
OF_ONE_DATASET = ("_id", "_dataset_id", "_rand", "filepath", "scene_3d", "created_at")


def samples(loop: Loop) -> dict[tuple[str, str], dict[str, Any]]:
    """(scene, slice) -> the stored document, ids, paths and stamps left out."""
    dataset = loop.workspace.scenes.dataset
    out = {}
    for doc in samples_of(dataset).find({}):
        slice_name = (doc.pop("group", None) or {}).get("name", "")
        out[doc["scene_key"], slice_name] = {
            name: value for name, value in doc.items() if name not in (*STAMPS, *OF_ONE_DATASET)
        }
    return out


def journal(loop: Loop) -> dict[str, Any]:
    """Records of the loop, its rounds and assignments; ids, revisions, durations and secrets left out."""
    book = loop.workspace.journal
    record = book.loop()
    rounds = []
    for batch in book.batches.all():
        told = batch.document()
        for name in ("revision", "mark", "fence", "manifest"):
            told.pop(name, None)
        trained = told["steps"].get("train", {})
        for model in (*trained.get("models", ()), *trained.get("repeats", ())):
            model.pop("info", None)  # holds seconds
        manifest = book.batches.manifest(batch).document()
        for scene in manifest["scenes"]:
            scene.pop("id", None)
        failures = [one.document() for one in book.batches.failures(batch)]
        rounds.append({**told, "manifest": manifest, "failures": failures})
    steps = record.steps.document()
    steps.pop("init", None)
    return {
        "rounds": rounds,
        "assignments": [row.document() for row in book.assignments.find()],
        "steps": steps,
        "config": record.config,
        "membership": record.membership and record.membership.document(),
    }


def shown(loop: Loop) -> dict[str, Any]:
    """Saved views by their scenes, `dataset.info`, evaluations."""
    scenes = loop.workspace.scenes
    scenes.refresh()
    dataset = scenes.dataset
    views = {name: scenes.view_members(name) for name in sorted(dataset.list_saved_views())}
    return {"views": views, "info": dict(dataset.info), "evaluations": sorted(dataset.list_evaluations())}


def everything(loop: Loop) -> dict[str, Any]:
    return {"samples": samples(loop), "journal": journal(loop), "shown": shown(loop)}


def differences(one: Any, two: Any, where: str = "") -> list[str]:
    """Where two of the above differ: paths, at most a dozen."""
    found: list[str] = []
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted(set(one) | set(two), key=str):
            if key not in one or key not in two:
                found.append(f"{where}/{key}: only in {'the second' if key in two else 'the first'}")
            else:
                found += differences(one[key], two[key], f"{where}/{key}")
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            found += differences(a, b, f"{where}[{i}]")
    elif one != two:
        found.append(f"{where}: {str(one)[:120]} != {str(two)[:120]}")
    return found[:12]


def fork(name: str, copy: str, home: Path) -> None:
    """A copy of a dataset with its journal and folder, to go another way from the same point."""
    loop = Loop.open(name)
    book = loop.workspace.journal
    load_dataset(name).clone(copy, persistent=True)
    new_id = load_dataset(copy)._doc.id
    moved = {"input": "$scene_3d", "find": str(loop.workspace.home), "replacement": str(home)}
    samples_of(copy).update_many({"scene_3d": {"$gt": ""}}, [{"$set": {"scene_3d": {"$replaceOne": moved}}}])
    if loop.workspace.home.exists():
        shutil.copytree(loop.workspace.home, home, ignore=shutil.ignore_patterns("clouds"))
    database = book._loops.database
    record = database["swath.loops"].find_one({"_id": book.dataset_id}) | {"_id": new_id, "home": str(home)}
    database["swath.loops"].insert_one(record)
    for part in ("rounds", "assignments", "pieces"):
        docs = list(database[f"swath.{part}"].find({"dataset": book.dataset_id}))
        for doc in docs:
            del doc["_id"]
            doc["dataset"] = new_id
        if docs:
            database[f"swath.{part}"].insert_many(docs)
