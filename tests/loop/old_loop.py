"""What becomes of a loop that swath 0.1.0 left behind, in a process and a database of its own; prints one JSON object.

python old_loop.py look|migrate STATE DATABASE FOLDER    STATE: of `fixtures/loop_0_1_0`; the server: FIFTYONE_DATABASE_URI
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "fixtures" / "loop_0_1_0")]
Json = dict[str, Any]


def look(state: str, folder: Path) -> Json:
    """Every command that looks, in a loop of its own: what it wrote, and whether any document changed."""
    from support import watched
    from swath.loop import Loop

    told = load("one", folder, state)
    commands: dict[str, Callable[[Loop], Any]] = {
        "open": lambda loop: Loop.open(loop.name),
        "status": lambda loop: loop.status(),
        "plan": lambda loop: loop.plan(),
        "explain": lambda loop: [loop.explain(one["scene"]) for one in told["explain"].values()],
        "batch": lambda loop: [loop.batch(name) for name in told["batches"]],
        "replay": lambda loop: [loop.replay(name) for name in told["replay"]],
        "report": lambda loop: loop.report(),
        "repair --check": lambda loop: loop.repair(check=True),
    }
    Loop.open(
        "one"
    ).workspace.scenes.stored.load()  # FiftyOne makes its own indexes when it first meets a database
    before, writes = stored(), {}
    for name, command in commands.items():
        with watched() as seen:
            command(Loop.open("one"))
        assert seen.documents, name
        writes[name] = seen.writes
    return {
        "writes": writes,
        "unchanged": stored() == before,
        "old": Loop.open("one").workspace.journal.is_old(),
    }


def migrate(state: str, folder: Path) -> Json:
    """Two such loops in one database: the first is looked at, brought to today's schema, opened again and gone on with, while the
    second waits, and is migrated in two halves at last."""
    from support import watched
    from swath.loop import Loop
    from swath.store.journal.assignments import Assignments

    out: Json = {name: {"expected": load(name, folder / name, state)} for name in ("one", "two")}
    one, two = out["one"], out["two"]

    loop = Loop.open("one")
    one["before"] = says(loop, one["expected"])
    one["old before"] = loop.workspace.journal.is_old()
    drawn = labels(loop)
    loop.recover()
    one["old after"] = loop.workspace.journal.is_old()
    one["after"] = says(Loop.open("one"), one["expected"])
    one["kept"] = labels(loop) == drawn
    one["left of 0.1.0"] = left_of_0_1_0(loop)
    one["app"] = in_app(Loop.open("one"))

    two["old"] = Loop.open("two").workspace.journal.is_old()
    two["beside"] = says(Loop.open("two"), two["expected"])

    before = stored()
    with watched() as seen:
        again = Loop.open("one")
        again.recover()
        again.plan()
    one["again"] = {"writes": seen.writes, "unchanged": stored() == before}

    fetched = Loop.open("one").fetch()
    one["fetch"] = fetched.as_json()
    one["kept by fetch"] = kept(drawn, labels(loop))
    one["whole after fetch"] = whole(Loop.open("one"))
    one["further"] = further(Loop.open("one"))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    untouched, Assignments.migrate = Assignments.migrate, killed  # type: ignore[method-assign, assignment]
    try:
        Loop.open("two").recover()
    except KeyboardInterrupt:
        two["half"] = says(Loop.open("two"), two["expected"])
        two["old half-way"] = Loop.open("two").workspace.journal.is_old()
    Assignments.migrate = untouched  # type: ignore[method-assign]
    two["fetch"] = Loop.open("two").fetch().as_json()  # a step that writes migrates, unasked
    two["old after"] = Loop.open("two").workspace.journal.is_old()
    two["whole after fetch"] = whole(Loop.open("two"))
    return out


def load(name: str, folder: Path, state: str) -> Json:
    """Puts the loop there; what 0.1.0 said of it."""
    import load_fixture

    where = {"uri": os.environ["FIFTYONE_DATABASE_URI"], "name": name, "folder": folder}
    load_fixture.load(**where, state=state, database=os.environ["FIFTYONE_DATABASE_NAME"])  # type: ignore[arg-type]
    expected: Json = load_fixture.expected(name, folder, state=state)
    return expected


def says(loop: Any, expected: Json) -> Json:
    """What today's swath says of a loop, under the names of `make_fixture.says`."""
    from support import samples_of

    workspace = loop.workspace
    dataset, batches = workspace.scenes.dataset, workspace.journal.batches
    scenes: Json = {}
    for doc in samples_of(loop).find({}).sort("scene_key", 1):
        one = {"tags": sorted(doc["tags"]), "annotation_status": doc["annotation_status"]}
        assert scenes.setdefault(doc["scene_key"], one) == one, doc["scene_key"]
    return {
        "status": loop.status().as_json(),
        "explain": {why: loop.explain(one["scene"]).as_json() for why, one in expected["explain"].items()},
        "replay": {name: loop.replay(name).as_json() for name in expected["replay"]},
        "repair --check": loop.repair(check=True).as_json(),
        "batches": {
            batch.round: [one.key for one in batches.manifest(batch).scenes] for batch in batches.all()
        },
        "scenes": scenes,
        "views": {
            name: sorted(dataset.load_saved_view(name).values("scene_key"))
            for name in dataset.list_saved_views()
        },
        "info": dict(dataset.info),
        "evaluations": sorted(dataset.list_evaluations()),
    }


def in_app(loop: Any) -> Json:
    """Saved view -> slice -> the scenes that the App shows of it."""
    from support import in_the_app

    dataset = loop.workspace.scenes.dataset
    return {
        name: {one: sorted(in_the_app(dataset.load_saved_view(name), one)) for one in dataset.group_slices}
        for name in dataset.list_saved_views()
    }


def left_of_0_1_0(loop: Any) -> list[str]:
    """Documents and indexes in the old form."""
    from support import journal_of
    from swath.store.journal.assignments import OF_0_1

    mine = {"dataset": loop.workspace.journal.dataset_id}
    loops = journal_of(loop, "loops").find_one({"_id": mine["dataset"]})
    found = [name for name in ("membership_sha256", "test_sha256") if name in loops]
    found += [
        f"round {one['round']}" for one in journal_of(loop, "rounds").find({**mine, "schema": {"$ne": 2}})
    ]
    old = {
        "$or": [
            {"modality": {"$exists": True}},
            {"channel": {"$exists": False}},
            {"split": {"$exists": False}},
        ]
    }
    found += [f"assignment {one['key']}" for one in journal_of(loop, "assignments").find({**mine, **old})]
    members = loop.workspace.membership()
    rows = loop.workspace.journal.assignments.find()
    found += [f"split of {row.key}" for row in rows if row.split != members[row.key]]
    return found + [name for name in journal_of(loop, "assignments").index_information() if name in OF_0_1]


def labels(loop: Any) -> Json:
    """ "scene slice field" -> classes and shapes of people's labels; an empty shape, as the App wants it in cuboids, is none."""
    from support import samples_of
    from swath.labels import stored as stored_labels

    out: Json = {}
    for doc in samples_of(loop).find({}):
        for field in ("human_detections", "human_cuboids", "golden_detections", "golden_cuboids"):
            if doc.get(field) is not None:
                drawn = stored_labels.detections(doc[field])
                name = f"{doc['scene_key']} {doc['group']['name']} {field}"
                out[name] = [
                    [one["label"], *(one.get(part) or None for part in stored_labels.SHAPES)] for one in drawn
                ]
    return out


def kept(before: Json, after: Json) -> Json:
    """How many of the labels that were there are there as they were, and which are not."""
    changed = sorted(name for name in before if "human_" in name and after.get(name) != before[name])
    return {"of": len(before), "changed": changed, "new": len(after.keys() - before.keys())}


def whole(loop: Any) -> list[str]:
    """Where the dataset is not what the journal says."""
    found = loop.repair(check=True)
    return [*map(str, found.differences), *found.strangers, *found.gone, *found.edited]


def further(loop: Any) -> Json:
    """Closes the open round and a whole one after it, whatever is decided in between; where the pool is used up, new scenes are taken in
    first."""
    from swath.errors import StateError

    closed = sum(one.state == "closed" for one in loop.status().rounds)
    ran = loop.run(closed + 2)
    steps = [step for step, _ in ran.done]
    if ran.closed < closed + 2:  # it decided to stop
        try:
            loop.select(anyway=True)
        except StateError:  # no candidates
            loop = with_more_scenes(loop)
            loop.embed()
            loop.select(anyway=True)
            steps += ["init", "embed"]
        ran = loop.run(closed + 2)
        steps += ["select", *(step for step, _ in ran.done)]
    last = loop.workspace.journal.batches.all()[-1]
    return {
        "closed": ran.closed - closed,
        "waits": ran.waits,
        "steps": steps,
        "rounds": [one.as_json() for one in loop.status().rounds],
        "replay": loop.replay(last.round).equal,
        "whole": whole(loop),
        "report": loop.report().stat().st_size,
    }


def with_more_scenes(loop: Any) -> Any:
    """Takes in twelve scenes that somebody added."""
    import quick_loop
    from support import samples_of
    from swath.loop import Loop

    made = quick_loop.dataset("more", quick_loop.SCENES + 12)
    samples_of(loop).insert_many(list(samples_of(made).find({"filepath": {"$regex": r"/00(6\d|7[01])\."}})))
    grown, result = Loop.init_fiftyone(loop.name)
    assert result.added == 12
    return grown


def stored() -> str:
    """A fingerprint of every document of the database, without FiftyOne's stamps."""
    import fiftyone.core.odm as foo

    database, digest = foo.get_db_conn(), hashlib.sha256()
    for name in sorted(database.list_collection_names()):
        for doc in sorted(database[name].find({}), key=lambda one: str(one["_id"])):
            doc.pop("last_loaded_at", None)
            digest.update(f"{name} {doc}".encode())
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """As JSON holds it."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def main(action: str, state: str, database: str, folder: str) -> None:
    os.environ["FIFTYONE_DATABASE_NAME"] = database
    import pymongo

    import support  # hears every client from here on

    assert support.LISTENER
    client: pymongo.MongoClient[Json] = pymongo.MongoClient(os.environ["FIFTYONE_DATABASE_URI"])
    client.drop_database(database)
    try:
        said = {"look": look, "migrate": migrate}[action](state, Path(folder))
    finally:
        client.drop_database(database)
    print(json.dumps(plain(said), default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
