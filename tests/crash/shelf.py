"""Prepared states of a database and a folder, put back in milliseconds; and what a state says, without ids and times.

Plain pymongo: nothing here passes through swath or FiftyOne, so that neither can hide a difference.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

RAW = CodecOptions(document_class=RawBSONDocument)
TIMES = {
    "created_at",
    "last_modified_at",
    "last_loaded_at",
    "last_deletion_at",
    "timestamp",
    "seconds",
    "cpu_seconds",
}
WRITERS = {"swath_fence", "mark", "token", "fence", "floor", "revision", "writer", "barrier", "home"}
UNSAID = TIMES | WRITERS | {"_id", "id", "_dataset_id", "_rand", "secret"}
BLOB = {"sha256", "size", "pieces"}


@dataclass(frozen=True)
class Prepared:
    """Documents and indexes by collection, and files by path (relative to the folder)."""

    documents: Mapping[str, list[bytes]]
    indexes: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, bytes]


def take(db: Database[Any], folder: Path) -> Prepared:
    names = sorted(db.list_collection_names())
    return Prepared(
        {name: _documents(db, name) for name in names},
        {name: db[name].index_information() for name in names},
        {path: (folder / path).read_bytes() for path in _files(folder)},
    )


def put_back(db: Database[Any], folder: Path, prepared: Prepared) -> None:
    """Writes what differs; afterwards the database and the folder are what was taken."""
    for name in db.list_collection_names():
        if name not in prepared.documents:
            db.drop_collection(name)
    for name, documents in prepared.documents.items():
        for index, how in db[name].index_information().items():
            if prepared.indexes[name].get(index) != how:
                db[name].drop_index(index)
        there = {bson.decode(one)["_id"]: one for one in _documents(db, name)}
        wanted = {bson.decode(one)["_id"]: one for one in documents}
        wrong = [key for key, one in there.items() if wanted.get(key) != one]
        if wrong:
            db[name].delete_many({"_id": {"$in": wrong}})
        missing = [RawBSONDocument(one) for key, one in wanted.items() if there.get(key) != one]
        if missing:
            db[name].insert_many(missing)
        for index, how in prepared.indexes[name].items():
            if index != "_id_" and index not in db[name].index_information():
                options = {key: value for key, value in how.items() if key not in ("key", "v", "ns")}
                db[name].create_index(list(how["key"]), name=index, **options)
    for path in set(_files(folder)) - set(prepared.files):
        (folder / path).unlink()
    for path, content in prepared.files.items():
        if not (folder / path).exists() or (folder / path).read_bytes() != content:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)


def _documents(db: Database[Any], name: str) -> list[bytes]:
    return [one.raw for one in db.get_collection(name, codec_options=RAW).find({})]


def _files(folder: Path) -> Iterator[str]:
    """Files that steps write and could be half written; clouds are many and are looked at by `init` alone."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder))


# ---------------------------------------------------------------------- what a state says


def say(db: Database[Any], dataset: str, folder: Path) -> dict[str, Any]:
    """All that a user could see of a dataset and its journal, by scene key, without ids and times."""
    doc = db.datasets.find_one({"name": dataset})
    if doc is None:
        return {}
    key_of: dict[str, str] = {}
    samples: dict[str, Any] = {}
    for one in db[doc["sample_collection_name"]].find({}):
        group = one.pop("group", None) or {"_id": one["_id"], "name": ""}
        key = one.get("scene_key") or str(one["filepath"])
        key_of |= {str(group["_id"]): key, str(one["_id"]): key}
        samples[f"{key} {group['name']}"] = {**_plain(one), "tags": sorted(one.get("tags") or [])}
    own = {"dataset": doc["_id"]}
    loop = _whole(db, doc["_id"], db["swath.loops"].find_one({"_id": doc["_id"]}) or {})
    rounds = [_plain(_whole(db, doc["_id"], one)) for one in db["swath.rounds"].find(own)]
    views = list(db.views.find({"_dataset_id": doc["_id"]}))
    runs = list(db.runs.find({"_dataset_id": doc["_id"]}))
    listed = {str(getattr(one, "id", one)) for one in doc.get("saved_views", [])}
    of_runs = {**(doc.get("evaluations") or {}), **(doc.get("brain_methods") or {})}
    evaluations = {str(getattr(one, "id", one)) for one in of_runs.values()}
    results = {one.get("results") for one in runs if str(one["_id"]) in evaluations}
    return {
        "samples": samples,
        "fields": sorted(field["name"] for field in doc["sample_fields"]),
        "told of fields": {one["name"]: one.get("description") for one in doc["sample_fields"]},
        "settings of the App": _plain(doc.get("app_config") or {}),
        "slices": sorted((doc.get("group_media_types") or {}).items()),
        "info": _plain(doc.get("info") or {}),
        "views": sorted(
            (one["name"], one.get("color"), one.get("description"), sorted(_members(one, key_of)))
            for one in views
            if str(one["_id"]) in listed
        ),
        "nothing lists": sorted(
            [one["name"] for one in views if str(one["_id"]) not in listed]
            + [one["key"] for one in runs if str(one["_id"]) not in evaluations]
        ),
        "files of nothing": sum(one["_id"] not in results for one in db["fs.files"].find({}, {"_id": 1})),
        "views that are gone": len(listed - {str(one["_id"]) for one in views}),
        "evaluations": sorted(of_runs),
        "runs": {one["key"]: _run(db, one) for one in runs if str(one["_id"]) in evaluations},
        "loop": {**_plain({key: one for key, one in loop.items() if key != "steps"}), "steps": _steps(loop)},
        "rounds": sorted(rounds, key=lambda one: str(one["round"])),
        "assignments": sorted(
            (_plain(one) for one in db["swath.assignments"].find(own)),
            key=lambda one: json.dumps(one, sort_keys=True, default=str),
        ),
        "indexes": {name: _indexes(db, name) for name in ("loops", "rounds", "assignments", "pieces")},
        "models": sorted(path.name for path in folder.rglob("*.pt")),
        "about models": {
            path.name: _plain(json.loads(path.read_bytes())["trained"])
            for path in sorted((folder / "models").glob("[!.]*.json"))
        },
        "clouds": sorted(
            (path.name, _hash(path.read_bytes()))
            for path in folder.rglob("*")
            if path.suffix in (".pcd", ".fo3d") and not path.name.startswith(".")
        ),
    }


def _whole(db: Database[Any], dataset: Any, value: Any) -> Any:
    """`value`, with the content of what is kept apart in pieces in its place; `ValueError` where it is not what it must be."""
    if isinstance(value, Mapping) and set(value) == BLOB:
        of = {"dataset": dataset, "sha256": value["sha256"]}
        data = b"".join(one["data"] for one in db["swath.pieces"].find(of).sort("n", 1))
        if _hash(data) != value["sha256"]:
            raise ValueError(
                f"{len(data)} bytes in pieces are not the {value['size']} that {value} refers to"
            )
        return json.loads(gzip.decompress(data))
    if isinstance(value, Mapping):
        return {name: _whole(db, dataset, one) for name, one in value.items()}
    return [_whole(db, dataset, one) for one in value] if isinstance(value, list) else value


def _run(db: Database[Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation run of FiftyOne's, with its results."""
    results = "".join(
        one["data"].decode() for one in db["fs.chunks"].find({"files_id": run["results"]}).sort("n", 1)
    )
    is_whole = db["fs.files"].find_one({"_id": run["results"]}) is not None
    told = {name: _plain(run[name]) for name in ("key", "config", "view_stages", "results_meta")}
    return {**told, "results": json.loads(results) if is_whole else None}


def _indexes(db: Database[Any], part: str) -> list[str]:
    name = f"swath.{part}"
    return sorted(db[name].index_information()) if name in db.list_collection_names() else []


def _steps(loop: Mapping[str, Any]) -> dict[str, Any]:
    """Records of steps outside rounds; that of a repair counts what it found, which a kill may change."""
    steps = _plain(loop.get("steps") or {})
    return {name: entry for name, entry in steps.items() if name != "repair"}


def _members(view: Mapping[str, Any], key_of: Mapping[str, str]) -> Iterator[str]:
    for stage in view["view_stages"]:
        for name, value in json.loads(stage)["kwargs"]:
            for one in value if isinstance(value, list) else [value]:
                yield f"{name} {key_of.get(str(one), one)}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(name): _plain(one) for name, one in value.items() if name not in UNSAID and name != "dataset"
        }
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return _hash(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def differences(one: Any, two: Any, where: str = "") -> list[str]:
    """The first places where two states differ, as `path: this / that`."""
    if isinstance(one, dict) and isinstance(two, dict):
        out: list[str] = []
        for name in sorted(set(one) | set(two), key=str):
            if name not in one or name not in two:
                out.append(f"{where}/{name}: only {'there' if name in one else 'here'}")
            else:
                out += differences(one[name], two[name], f"{where}/{name}")
        return out
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return [
            line
            for i, (a, b) in enumerate(zip(one, two, strict=True))
            for line in differences(a, b, f"{where}[{i}]")
        ]
    return [] if one == two else [f"{where}: {str(one)[:300]} / {str(two)[:300]}"]


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
