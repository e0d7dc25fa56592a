"""Committing a batch to FiftyOne: swath's journaled commit against the loop of the annotation guide's fourth step.

What is measured: 3 slices per scene on a private mongod. The guide's loop walks every slice with `iter_samples(autosave=True)`,
appends two tags and sets the status of the scenes of the batch, and saves a view that matches a tag. swath commits the same
batch with its journal (manifest, assignments for 2D and 3D, tags and status on all slices, saved view, state), each durable
before the next; "without journal" is its projection and view alone. To beat: 10 times with the journal, 20 times without.

    python -m benchmarks.commit --short    (2,000 scenes, 400 of them in the batch)
    python -m benchmarks.commit --long     (20,000 scenes, 4,000 of them in the batch)
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import options, save, say
from swath import database
from swath.config import LoopConfig

SLICES = ("left", "right", "pcd")


def main() -> None:
    long = options(__doc__)
    scenes, batch = (20_000, 4_000) if long else (2_000, 400)
    with tempfile.TemporaryDirectory() as folder:
        server = database.start(Path(folder) / "db")
        os.environ["FIFTYONE_DATABASE_URI"] = server.uri
        try:
            rows = measure(scenes, batch, Path(folder))
        finally:
            server.stop()
    guide = next(row["wall_s"] for row in rows if row["what"] == "guide's loop")
    for row in rows:
        row["times_the_guide"] = guide / row["wall_s"]
    save("commit", long, __doc__, {f"{batch:,} of {scenes:,} scenes, 3 slices": rows})


def measure(scenes: int, batch: int, folder: Path) -> list[dict[str, Any]]:
    database.ensure()
    import fiftyone as fo

    fo.config.show_progress_bars = False
    rows = []
    for what, run in (
        ("guide's loop", guide),
        ("swath, without journal", projection),
        ("swath, with journal", journaled),
    ):
        say(f"{what}: building {scenes:,} scenes")
        workspace = build(f"bench-{len(rows)}", scenes, folder)
        keys = workspace.scenes.table.keys.tolist()[:: scenes // batch][:batch]
        say(f"{what}: committing {len(keys):,}")
        started = time.perf_counter()
        run(workspace, keys)
        wall = time.perf_counter() - started
        done = workspace.scenes.dataset._sample_collection.count_documents(
            {"tags": "batch:v0", "annotation_status": "selected"}
        )
        if done != batch * len(SLICES):
            raise SystemExit(f"{what}: {done} samples are tagged, expected {batch * len(SLICES)}")
        rows.append({"what": what, "wall_s": wall, "samples": done})
        fo.delete_dataset(workspace.name)
    return rows


def build(name: str, scenes: int, folder: Path) -> Any:
    """A split dataset of scenes without media: one made by FiftyOne, the others cloned in the database."""
    import fiftyone as fo
    from bson import ObjectId

    from swath.records.loop import Initialised, SplitDone
    from swath.store.dataset import Stored
    from swath.store.scenes import Scenes, open_journal
    from swath.workspace import Workspace

    dataset = fo.Dataset(name, overwrite=True)
    dataset.add_group_field("group", default="left")
    group = fo.Group()
    media = {"left": "000000.png", "right": "000000r.png", "pcd": "000000.pcd"}
    dataset.add_samples(
        [fo.Sample(f"/nowhere/{media[one]}", group=group.element(one)) for one in SLICES], progress=False
    )
    config = LoopConfig()
    store = Scenes(Stored.of(dataset), config)
    store.declare()
    templates = list(dataset._sample_collection.find({}))
    clones = []
    for i in range(1, scenes):
        group_id = ObjectId()
        for one in templates:
            path = one["filepath"].replace("000000", f"{i:06d}")
            clones.append(
                {**one, "_id": ObjectId(), "filepath": path, "group": {**one["group"], "_id": group_id}}
            )
    for start in range(0, len(clones), 20_000):
        dataset._sample_collection.insert_many(clones[start : start + 20_000])
    store.give_keys()
    journal = open_journal(dataset)
    journal.create(config.model_dump(mode="json"), str(folder))
    workspace = Workspace(store, journal, config, folder)
    with journal.lease.writer("build") as writer:
        steps = {"init": Initialised(scenes=scenes), "split": SplitDone(seed=0, units=scenes)}
        frozen = journal.frozen(dict.fromkeys(store.table.keys.tolist(), "pool"))
        journal.record(writer, steps, membership=frozen)
    return workspace


def guide(workspace: Any, keys: list[str]) -> None:
    """As the guide does it: sample by sample, slice by slice."""
    dataset = workspace.scenes.dataset
    chosen = set(workspace.scenes.table.ids[workspace.scenes.table.rows(keys)].tolist())
    for one in dataset.group_slices:
        for sample in dataset.select_group_slices([one]).iter_samples(autosave=True, progress=False):
            if sample.group.id in chosen:
                sample.tags += ["batch:v0", "to_annotate"]
                sample["annotation_status"] = "selected"
    dataset.save_view("batch_v0", dataset.match_tags("batch:v0"))


def projection(workspace: Any, keys: list[str]) -> None:
    """Tags, status and saved view, fenced, and nothing else."""
    from swath.records.shown import SceneState
    from swath.store.journal.lease import Writer

    state = SceneState(("batch:v0", "source:coverage", "split:pool", "to_annotate"), "selected")
    writer = Writer(1, "", "bench")
    workspace.scenes.project(dict.fromkeys(keys, state), writer)
    workspace.scenes.save_view("batch_v0", keys, "bench", writer)


def journaled(workspace: Any, keys: list[str]) -> None:
    """The whole commit, as `select` does it once it has chosen."""
    from swath import commit
    from swath.records.manifest import BatchSize, Chosen, Manifest

    scenes = tuple(
        Chosen(
            key=key,
            stream="coverage",
            rank=rank,
            score=1 / rank,
            reason="covers the pool",
            channels=("left", "pcd"),
            split="pool",
        )
        for rank, key in enumerate(keys, 1)
    )
    size = BatchSize(budget=len(keys), size=len(keys), coverage=len(keys))
    manifest = Manifest(round="v0", number=0, role="pool", size=size, scenes=scenes)
    with workspace.writer("select") as writer:
        commit.plan(workspace, writer, manifest)


if __name__ == "__main__":
    main()
