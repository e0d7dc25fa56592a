"""How many scenes a loop carries: where 0.1.0 broke between 0.4M and 0.9M scenes, and what a fetch of forty scenes costs.

What is measured, on a private mongod and a plain dataset without media (one sample made by FiftyOne, the others cloned in the
database; keys of 36 characters, as nuScenes has them; vectors of 16 dimensions):

    carry    init, split, embed (a field), reference (a field), select, send, fetch, evaluate with every val scene failing; a
             select that is killed (SIGKILL) while it commits, and the recovery by the next step. For each: seconds, the peak
             memory of the process, and, at the end, the largest document of any collection.
    fetch    the same forty scenes fetched in a small and in a ten times larger dataset: bytes and documents that the client
             receives, and its CPU seconds. To hold: within 1.3 times.

    python -m benchmarks.scale --short    (20,000 scenes; fetch in 4,000 and 40,000)
    python -m benchmarks.scale --long     (1,000,000 scenes; fetch in 40,000 and 400,000; about an hour)
    python -m benchmarks.scale --long --only fetch     (the other tables stay as they are kept, and say when they were measured)
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, machine, save, say
from swath import database

CLASSES = ("car", "person")
DIM = 16
BATCH = 40
SETTINGS: Mapping[str, Any] = {
    "classes": CLASSES,
    "fields": {"embeddings": "given"},
    "embed": {"encoder": "field:given"},
    "splits": {"audit_pairs": 0, "golden": 0.00002},
    "select": {"zcore_max_draws": 20_000, "budget": BATCH},
    "annotate": {"annotator": "simulated"},
    "golden": {"miss": 0.5, "extra": 0.5, "swap": 0.5, "shift": 0.5},
    "train": {"steps": 1, "width": 32},
    "evaluate": {"resamples": 10},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="the default")
    size.add_argument("--long", action="store_true")
    parser.add_argument("--only", choices=("fetch", "carry"))
    given = parser.parse_args()
    long, path = given.long, RESULTS / f"scale-{'long' if given.long else 'short'}.json"
    kept = json.loads(path.read_text()) if given.only else {"tables": {}}
    tables: dict[str, Any] = dict(kept["tables"])
    scenes, sizes = (1_000_000, (40_000, 400_000)) if long else (20_000, (4_000, 40_000))
    with tempfile.TemporaryDirectory() as folder:
        server = database.start(Path(folder) / "db")
        os.environ["FIFTYONE_DATABASE_URI"] = server.uri
        try:
            if given.only != "carry":
                fetched = [one_fetch(size, Path(folder)) for size in sizes]
                for row in fetched:
                    for what in ("kilobytes", "documents", "cpu_s"):
                        row[f"{what}_ratio"] = row[what] / fetched[0][what]
                tables[f"a fetch of {BATCH} scenes"] = measured(fetched)
            if given.only != "fetch":
                carried, largest = carry(scenes, Path(folder))
                tables[f"{scenes:,} scenes"] = measured(carried)
                tables["the largest documents"] = measured(largest)
        finally:
            server.stop()
    save("scale", long, __doc__, tables)


def measured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that say when they were measured, and under what load: parts may be of different days."""
    here = machine()
    when = {name: here[name] for name in ("date", "load_before")}
    return [{**row, **when} for row in rows]


# ---------------------------------------------------------------------- made datasets


def build(name: str, scenes: int, folder: Path) -> None:
    """A plain dataset: every scene has a vector, a key and one true object; all share one path's pattern and no file."""
    import fiftyone as fo
    from bson import ObjectId
    from fiftyone.core.utils import serialize_numpy_array

    dataset = fo.Dataset(name, persistent=True)
    truth = fo.Detections(detections=[fo.Detection(label="car", bounding_box=[0.2, 0.2, 0.4, 0.4])])
    sample = fo.Sample(
        "/nowhere/000000000.png",
        metadata=fo.ImageMetadata(width=100, height=100),
        ground_truth=truth,
        given=np.zeros(DIM, dtype=np.float32),
        scene_key="key",
        swath_fence=0,
    )
    dataset.add_sample(sample, dynamic=True)
    template = dataset._sample_collection.find_one({})
    rng = np.random.default_rng(0)
    docs: list[dict[str, Any]] = []
    for i in range(scenes - 1):
        vector = rng.normal(size=DIM).astype(np.float32)
        key = str(uuid.UUID(bytes=rng.bytes(16)))
        docs.append(
            {
                **template,
                "_id": ObjectId(),
                "filepath": f"/nowhere/{i + 1:09d}.png",
                "scene_key": key,
                "given": serialize_numpy_array(vector),
            }
        )
        if len(docs) == 10_000:
            dataset._sample_collection.insert_many(docs)
            docs = []
    if docs:
        dataset._sample_collection.insert_many(docs)


def truthful(trainer: Any, model: Any, media: Any, *, progress: Any = None) -> list[Any]:
    """A model that sees nothing: every scene with an object fails."""
    from swath.kernels.detection import Predictions

    return [Predictions(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)) for _ in media]


def untrained(trainer: Any, data: Any, out: Path, *, seed: int, progress: Any = None) -> Any:
    """A model without weights: what is measured is the record."""
    from swath.trainers.base import Model

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(b"nothing")
    return Model(str(out), "0" * 64, tuple(data.classes), "center", {})


# ---------------------------------------------------------------------- carry


def carry(scenes: int, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Each step in a process of its own, so that its memory is its own."""
    name = "carry"
    say(f"building {scenes:,} scenes")
    child(build, name, scenes, folder)
    rows = []
    for step in (
        "init",
        "split",
        "embed",
        "reference",
        "select, killed",
        "recover",
        "send",
        "fetch",
        "check to evaluate",
        "select again",
        "status",
        "repair --check",
    ):
        say(step)
        rows.append(child(one_step, name, step, folder))
    return rows, child(largest, name)


def one_step(name: str, step: str, folder: Path) -> dict[str, Any]:
    from swath.loop import Loop
    from swath.trainers.center import CenterTrainer

    CenterTrainer.predict, CenterTrainer.fit = truthful, untrained  # type: ignore[method-assign, assignment]
    started, cpu = time.perf_counter(), time.process_time()
    if step == "init":
        Loop.init_fiftyone(name, changes=SETTINGS, home=folder / "home")
    elif step == "select, killed":
        _killed(name)
    else:
        loop = Loop.open(name)
        doing: dict[str, Callable[[], object]] = {
            "split": loop.split,
            "embed": loop.embed,
            "reference": lambda: loop.reference("ground_truth"),
            "recover": loop.recover,
            "send": loop.send,
            "fetch": loop.fetch,
            "check to evaluate": lambda: loop.run(2, until="evaluate"),
            "select again": lambda: loop.run(2, until="select"),
            "status": loop.status,
            "repair --check": lambda: loop.repair(check=True),
        }
        doing[step]()
    return {
        "step": step,
        "wall_s": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _killed(name: str) -> None:
    """A process that is killed when it has written the plan of v0 and begins with its assignments."""
    child = multiprocessing.get_context("fork").Process(target=_die_in_select, args=(name,))
    child.start()
    child.join()
    if child.exitcode != -signal.SIGKILL:
        raise SystemExit(f"the select that was to be killed ended with {child.exitcode}")


def _die_in_select(name: str) -> None:
    from swath.loop import Loop
    from swath.store.journal.assignments import Assignments

    def die(*args: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    Assignments.assign = die  # type: ignore[method-assign, assignment]
    Loop.open(name).select()


def largest(name: str) -> list[dict[str, Any]]:
    """The largest document of each collection that swath writes to."""
    import fiftyone.core.odm as foo

    database.ensure()
    rows = []
    found = foo.get_db_conn()
    for collection in (
        "swath.loops",
        "swath.rounds",
        "swath.assignments",
        "swath.pieces",
        "views",
        "datasets",
    ):
        size = found[collection].aggregate(
            [{"$group": {"_id": None, "most": {"$max": {"$bsonSize": "$$ROOT"}}, "n": {"$sum": 1}}}]
        )
        row = next(iter(size), {"most": 0, "n": 0})
        rows.append({"collection": collection, "documents": row["n"], "largest_mb": row["most"] / 2**20})
    return rows


# ---------------------------------------------------------------------- fetch


def one_fetch(scenes: int, folder: Path) -> dict[str, Any]:
    """What a fetch of forty scenes reads, in a dataset of `scenes`."""
    name = f"fetch-{scenes}"
    say(f"building {scenes:,} scenes")
    child(build, name, scenes, folder)
    child(until_sent, name, folder)
    return child(count_fetch, name, scenes)


def until_sent(name: str, folder: Path) -> None:
    from swath.loop import Loop

    loop, _ = Loop.init_fiftyone(name, changes=SETTINGS, home=folder / name)
    loop.split()
    loop.embed()
    loop.reference("ground_truth")
    loop.select()
    loop.send()


def count_fetch(name: str, scenes: int) -> dict[str, Any]:
    """Opening and fetching, with what the client received counted on the wire."""
    import bson
    import pymongo.monitoring

    received = {"bytes": 0, "documents": 0}

    class Count(pymongo.monitoring.CommandListener):
        def started(self, event: Any) -> None: ...

        def failed(self, event: Any) -> None: ...

        def succeeded(self, event: Any) -> None:
            cursor = event.reply.get("cursor") if hasattr(event.reply, "get") else None
            for part in ("firstBatch", "nextBatch"):
                for one in (cursor or {}).get(part, ()):
                    received["documents"] += 1
                    received["bytes"] += len(bson.encode(one))

    pymongo.monitoring.register(Count())
    import fiftyone as fo

    import swath.steps.annotate  # noqa: F401
    from swath.loop import Loop

    fo.load_dataset(name)  # imports, connections and FiftyOne's start are no part of a fetch
    Loop.open(name).status()
    received.update(bytes=0, documents=0)
    started, cpu = time.perf_counter(), time.process_time()
    result = Loop.open(name).fetch()
    if result.waiting or result.state != "labeled":
        raise SystemExit(f"fetch of {name}: {result}")
    return {
        "scenes": scenes,
        "kilobytes": received["bytes"] / 1000,
        "documents": received["documents"],
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - started,
    }


def child(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


if __name__ == "__main__":
    main()
