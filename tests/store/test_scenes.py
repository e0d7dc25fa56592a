"""Scenes: aligned columns by key, and writes that reach every slice, whoever else writes and whatever slice is active."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bson import ObjectId

import quick_loop
import small_scenes
from support import remove, samples_of
from swath.config import LoopConfig, parse
from swath.errors import FencedError, IntegrityError, UnknownNameError
from swath.loop import Loop
from swath.records.loop import SplitDone
from swath.records.shown import SceneState
from swath.store import scenes as module
from swath.store.dataset import Stored
from swath.store.journal.lease import Writer
from swath.store.scenes import Scenes, load_dataset, open_journal
from swath.store.table import SceneTable
from swath.store.views import ViewStyle

pytestmark = pytest.mark.database

WITHOUT = ((3, "right"), (7, "pcd"))
STATE = SceneState(("batch:v0", "split:pool"), "selected")
NOWHERE = Path("/nowhere")
PLAIN = {"image": {"kind": "image", "labelled": True, "embed": True}}


@pytest.fixture
def make(mongod: str, dataset_name: str) -> Iterator[Callable[..., Scenes]]:
    """Scenes of a new dataset whose files nobody opens."""
    made: list[str] = []

    def scenes(count: int = 12, grouped: bool = True, **how: Any) -> Scenes:
        name = f"{dataset_name}-{len(made)}"
        remove(name)
        made.append(name)
        dataset = small_scenes.make_dataset(name, NOWHERE, count, quick_loop.CLASSES, grouped=grouped, **how)
        config = LoopConfig() if grouped else parse({"channels": PLAIN, "primary": "image"}, "test")
        one = Scenes(Stored.of(dataset), config)
        one.declare()
        one.give_keys()
        open_journal(dataset).create(config.model_dump(mode="json"), "/home/of/nobody")
        return one

    yield scenes
    for name in made:
        remove(name)


def stored(scenes: Scenes, key: str) -> dict[str, dict[str, Any]]:
    """slice -> the stored document of a scene."""
    docs = samples_of(scenes).find({"scene_key": key})
    return {(doc.get("group") or {}).get("name", "image"): doc for doc in docs}


def writer(token: int = 1) -> Writer:
    return Writer(token, "mark", "test")


# ---------------------------------------------------------------------- reading


def test_order_is_by_key_and_not_of_insertion(make: Callable[..., Scenes]) -> None:
    """Samples removed and put back in another order: the same rows, keys, paths; columns belong together."""
    scenes = make()
    before = scenes.table
    collection = samples_of(scenes)
    docs = list(collection.find({}))
    collection.delete_many({})
    collection.insert_many([docs[i] for i in np.random.default_rng(0).permutation(len(docs))])
    scenes.refresh()
    assert scenes.table is not before
    assert scenes.table.keys.tolist() == before.keys.tolist() == [f"{i:04d}" for i in range(12)]
    assert scenes.table.ids.tolist() == before.ids.tolist()
    for name in ("left", "right", "pcd"):
        assert scenes.table.paths[name].tolist() == before.paths[name].tolist()
        assert [Path(path).stem for path in scenes.table.paths[name]] == before.keys.tolist()


def same(one: SceneTable, two: SceneTable) -> bool:
    """Whether two tables are equal, column by column."""
    columns = [(one.keys, two.keys), (one.ids, two.ids), (one.sequence, two.sequence)]
    columns += [(one.paths[name], two.paths[name]) for name in one.paths]
    columns += [(one.sizes[name], two.sizes[name]) for name in one.sizes]
    return one.paths.keys() == two.paths.keys() and all(np.array_equal(a, b) for a, b in columns)


def test_a_part_is_read_alone_and_is_part_of_the_whole(make: Callable[..., Scenes]) -> None:
    """The table of some scenes is the same before and after all were read; keys that are none are left out; it is found by
    the index, so that it costs what it holds."""
    scenes = make(without=WITHOUT)
    wanted = ["0007", "ghost", "0003", "0003"]
    alone = scenes.of(wanted)
    assert "table" not in vars(scenes)
    assert alone.keys.tolist() == ["0003", "0007"]
    assert len(scenes.table) == 12
    assert same(alone, scenes.of(wanted))
    assert same(scenes.of(scenes.table.keys.tolist()), scenes.table)
    plan = samples_of(scenes).find({"scene_key": {"$in": wanted}}).explain()["executionStats"]
    assert plan["totalDocsExamined"] == plan["nReturned"] == 4


def test_scenes_that_are_gone(make: Callable[..., Scenes]) -> None:
    """People delete scenes by hand, and a key may be mistyped. Rows that are asked for by key are refused by name, with what
    keys look like; values are {}, views, tags and status pass it over; labels that reach no sample are an error that counts
    them, after those that there are were written."""
    scenes = make(4)
    with pytest.raises(UnknownNameError, match=r"1 of 2 scenes.*ghost.*0000, 0001, 0002"):
        scenes.table.rows(["0001", "ghost"])
    for fresh in (
        scenes,
        Scenes(scenes.stored, scenes.config),
    ):  # with, and without, the whole table in memory
        assert fresh.values("left", ["ghost", "0001"], ["filepath"]) == [
            {},
            {"filepath": "/nowhere/left/0001.png"},
        ]
        assert fresh.view(["ghost", "0001"]).values("scene_key") == ["0001"]
        assert len(fresh.slice_view(["ghost", "0001"], "pcd")) == 1
        fresh.project({"0001": STATE, "ghost": STATE}, writer())
    assert all(doc["tags"] == list(STATE.tags) for doc in stored(scenes, "0001").values())
    with (
        open_journal(scenes.dataset).lease.writer("test") as mine,
        pytest.raises(IntegrityError, match="values of 'left' were written to 1 of 2 samples"),
    ):
        scenes.write("left", {"0001": {"zcore": 1.0}, "ghost": {"zcore": 1.0}}, mine)
    assert stored(scenes, "0001")["left"]["zcore"] == 1.0
    assert stored(scenes, "ghost") == {}


@pytest.mark.parametrize("grouped", [True, False])
def test_ids_lead_to_scenes_and_back(make: Callable[..., Scenes], grouped: bool) -> None:
    """FiftyOne's ids (of groups; of samples, where there are none), as text, lead to their scenes, and keys to ids in the
    order of the keys; an id of no scene, or what is no id, is left out."""
    scenes = make(6, grouped=grouped)
    wanted = ["0004", "0001"]
    for fresh in (scenes, Scenes(scenes.stored, scenes.config)):
        ids = fresh.ids(wanted)
        view = scenes.dataset.select_groups(ids) if grouped else scenes.dataset.select(ids)
        assert sorted(view.values("scene_key")) == sorted(wanted)
        assert scenes.keys_of([*ids, str(ObjectId()), "ghost"]) == dict(zip(ids, sorted(wanted), strict=True))
        assert scenes.table is not None  # read, for the second turn to differ from the first
    assert scenes.keys_of([]) == {}
    assert scenes.ids([]) == []


def test_keys_by_their_index(make: Callable[..., Scenes]) -> None:
    """All keys, and the first few, once each, however many slices a scene has; samples by slice are counted."""
    scenes = make(without=WITHOUT)
    assert scenes.all_keys() == {f"{i:04d}" for i in range(12)}
    assert scenes.some_keys(3) == ["0000", "0001", "0002"]
    assert scenes.count_by_slice() == {"left": 12, "pcd": 11, "right": 11}


def test_missing_slices_are_explicit(make: Callable[..., Scenes]) -> None:
    """A scene without `right` has "" there, and {} as its values; counts are by slice; a write to it is an error that counts
    what it did not reach."""
    scenes = make(without=WITHOUT)
    table = scenes.table
    assert table.counts() == {"left": 12, "pcd": 11, "right": 11}
    assert table.paths["right"][3] == table.paths["pcd"][7] == ""
    assert table.paths["left"][3] != ""
    assert scenes.values("right", ["0003", "0004"], ["filepath"])[0] == {}
    assert len(scenes.slice_view(["0003", "0004"], "right")) == 1
    assert len(scenes.view(["0003", "0004"])) == 2
    with (
        open_journal(scenes.dataset).lease.writer("test") as mine,
        pytest.raises(IntegrityError, match="values of 'pcd' were written to 1 of 2 samples"),
    ):
        scenes.write("pcd", {"0006": {"zcore": 1.0}, "0007": {"zcore": 1.0}}, mine)
    assert all(doc.get("zcore") is None for doc in stored(scenes, "0007").values())


def test_vectors(make: Callable[..., Scenes]) -> None:
    """Rows come in the order asked for, NaN where there is none; written ones come back to the bit; NaN clears."""
    scenes = make(6)
    given = scenes.vectors(["0005", "0002"], "given")
    assert given.dtype == np.float32
    assert np.array_equal(given, [small_scenes.vector(5), small_scenes.vector(2)])
    assert scenes.vectors([], "given").shape == (0, 0)
    rows = np.array([[1, 2, 3], [np.nan, 0, 0], [4, 5, 6]], np.float32)
    scenes.write_vectors("embeddings", ["0000", "0001", "0003"], rows, ["a", "b", "c"], writer())
    back = scenes.vectors(["0003", "0001", "0000", "0004"], "embeddings")
    assert np.array_equal(back[[0, 2]], rows[[2, 0]])
    assert np.isnan(back[[1, 3]]).all()
    assert stored(scenes, "0001")["left"]["embeddings_source"] is None
    scenes.write_vectors("embeddings", ["0004"], np.ones((1, 5), np.float32), ["d"], writer())
    with pytest.raises(IntegrityError, match="different lengths"):
        scenes.vectors(["0000", "0004"], "embeddings")


def test_ungrouped(make: Callable[..., Scenes]) -> None:
    """In a plain image dataset a sample is a scene with one slice, and everything works the same."""
    scenes = make(5, grouped=False)
    assert scenes.slices == ("image",)
    assert scenes.table.counts() == {"image": 5}
    scenes.project({"0002": STATE}, writer())
    scenes.write("image", {"0002": {"zcore": 0.5}}, writer())
    assert stored(scenes, "0002")["image"]["tags"] == list(STATE.tags)
    assert len(scenes.dataset.match_tags("batch:v0")) == 1
    assert scenes.view(["0002", "0004"]).values("scene_key") == ["0002", "0004"]
    assert scenes.differences({"0002": STATE}) == []


# ---------------------------------------------------------------------- writing


@pytest.mark.parametrize("active", ["left", "right", "pcd"])
def test_writes_land_on_all_slices_whatever_slice_is_active(make: Callable[..., Scenes], active: str) -> None:
    """Tags and status of a scene reach its every slice, and no other scene; doing it again changes nothing."""
    scenes = make(without=WITHOUT)
    scenes.dataset.group_slice = active
    keys = ["0003", "0007", "0008"]
    scenes.project(dict.fromkeys(keys, STATE), writer())
    for key in keys:
        docs = stored(scenes, key)
        assert len(docs) == (3 if key == "0008" else 2)
        assert all(doc["tags"] == list(STATE.tags) for doc in docs.values())
        assert all(doc["annotation_status"] == "selected" for doc in docs.values())
    assert all(doc["tags"] == [] for doc in stored(scenes, "0009").values())
    assert scenes.differences(dict.fromkeys(keys, STATE)) == []
    before = [stored(scenes, key) for key in keys]
    scenes.project(dict.fromkeys(keys, STATE), writer())
    after = [stored(scenes, key) for key in keys]
    for docs in (*before, *after):
        for doc in docs.values():
            doc.pop("last_modified_at")
    assert before == after


def test_other_peoples_tags_stay_in_their_order(make: Callable[..., Scenes]) -> None:
    """Tags that swath does not own keep their order and place; what looks similar is not swath's."""
    scenes = make(2)
    theirs = ["zebra", "splits", "my split:test", "to_annotate_later", "Batch:v1", "a"]
    samples_of(scenes).update_many(
        {}, {"$set": {"tags": [*theirs[:3], "batch:v9", "split:test", *theirs[3:], "to_annotate"]}}
    )
    scenes.project({"0000": STATE}, writer())
    for doc in stored(scenes, "0000").values():
        assert doc["tags"] == [*theirs, *STATE.tags]
    gone = scenes.differences({"0000": SceneState((), "unlabeled")})
    assert {one.what for one in gone} == {"tags", "annotation_status"}
    assert {one.found for one in gone if one.what == "tags"} == {" ".join(STATE.tags)}


def test_a_tag_that_somebody_adds_meanwhile_is_kept(make: Callable[..., Scenes]) -> None:
    """Another client tags and untags with `$addToSet` while projections run: not one of its tags is lost."""
    from threading import Thread

    scenes = make(6)
    keys = scenes.table.keys.tolist()
    collection = samples_of(scenes)

    def other() -> None:
        for number in range(150):
            collection.update_many({}, {"$addToSet": {"tags": f"note{number}"}})

    thread = Thread(target=other)
    thread.start()
    turn = 0
    while thread.is_alive() or turn < 5:
        tags = (f"batch:v{turn}", "split:pool")
        scenes.project(dict.fromkeys(keys, SceneState(tags, "selected")), writer())
        turn += 1
    thread.join()
    for key in keys:
        for doc in stored(scenes, key).values():
            assert [tag for tag in doc["tags"] if tag.startswith("note")] == [f"note{i}" for i in range(150)]
            assert tags == tuple(tag for tag in doc["tags"] if not tag.startswith("note"))


def test_a_loser_writes_nothing(make: Callable[..., Scenes]) -> None:
    """Once another writer has taken over and raised the fence, tags, values and vectors of the first land nowhere."""
    scenes = make(4)
    mine, theirs = open_journal(scenes.dataset), open_journal(scenes.dataset)
    with pytest.raises(FencedError, match="lost the dataset"), mine.lease.writer("slow") as slow:
        scenes.project({"0000": STATE}, slow)
        mine._loops.update_one({"_id": mine.dataset_id}, {"$set": {"writer.expires": _long_ago()}})
        with theirs.lease.writer("quick", recover=scenes.raise_fence) as quick:
            assert quick.token > slow.token
            for attempt in (
                lambda: scenes.project({"0001": STATE}, slow),
                lambda: scenes.write("left", {"0001": {"zcore": 1.0}}, slow),
                lambda: scenes.write_vectors(
                    "embeddings", ["0001"], np.ones((1, 3), np.float32), ["x"], slow
                ),
                lambda: mine.lease.barrier(slow),
                lambda: mine.record(slow, {"split": SplitDone(seed=1, units=1)}),
            ):
                with pytest.raises(FencedError, match="slow lost the dataset"):
                    attempt()
            scenes.project({"0002": STATE}, quick)
        mine.lease.barrier(slow)
    for key, tags in (("0000", list(STATE.tags)), ("0001", []), ("0002", list(STATE.tags))):
        for doc in stored(scenes, key).values():
            assert doc["tags"] == tags
            assert doc.get("zcore") is None
            assert doc.get("embeddings") is None
    assert theirs.loop().steps.split is None


def _long_ago() -> Any:
    from datetime import datetime, timezone

    return datetime(2000, 1, 1, tzinfo=timezone.utc)


def test_the_dataset_in_memory_sees_what_was_written(make: Callable[..., Scenes]) -> None:
    """The dataset object, views and samples that were loaded before show tags, status and values after a refresh."""
    scenes = make(3)
    dataset = scenes.dataset
    sample = dataset[str(stored(scenes, "0001")["left"]["_id"])]
    view = dataset.select_group_slices(["left"])
    assert sample.tags == []
    scenes.project({"0001": STATE}, writer())
    scenes.write("left", {"0001": {"zcore": 0.25}}, writer())
    scenes.refresh()
    assert sample.tags == list(STATE.tags)
    assert sample["annotation_status"] == "selected"
    assert sample["zcore"] == 0.25
    assert view.match_tags("batch:v0").values("zcore") == [0.25]
    assert dataset.match_tags("batch:v0").count() == 1


def test_no_query_holds_more_than_a_chunk(
    make: Callable[..., Scenes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With chunks of five, no query names more than five scenes, and what is read and written is the same."""
    scenes = make()
    keys = scenes.table.keys.tolist()
    whole = scenes.vectors(keys, "given")
    seen: list[int] = []
    ids, table = scenes.ids(keys), scenes.of(keys)
    collection = samples_of(scenes)

    class Spy:
        def __getattr__(self, name: str) -> Any:
            def call(query: dict[str, Any], *rest: Any, **how: Any) -> Any:
                seen.extend(
                    len(one["$in"]) for one in query.values() if isinstance(one, dict) and "$in" in one
                )
                return getattr(collection, name)(query, *rest, **how)

            return call

    monkeypatch.setattr(module, "CHUNK", 5)
    monkeypatch.setattr(Scenes, "samples", Spy())
    fresh = Scenes(scenes.stored, scenes.config)  # has not read all of them
    assert np.array_equal(fresh.vectors(keys, "given"), whole)
    assert same(fresh.of(keys), table)
    assert fresh.ids(keys) == ids
    assert fresh.keys_of(ids) == dict(zip(ids, keys, strict=True))
    assert fresh.calibrations(keys) == {}
    assert len(fresh.slice_view(keys, "pcd")) == 12
    fresh.project(dict.fromkeys(keys, STATE), writer())
    assert seen == 8 * [5, 5, 2]  # a projection looks once more whether all of it landed
    assert scenes.differences(dict.fromkeys(keys, STATE)) == []


@pytest.mark.slow
def test_half_a_million_scenes(make: Callable[..., Scenes]) -> None:
    """500,000 scenes are read, tagged, compared and shown as a saved view, by their tag; MongoDB's limits are not met."""
    scenes = make(1, grouped=False)
    collection = samples_of(scenes)
    model = collection.find_one({})
    for start in range(0, 500_000, 50_000):
        docs = []
        for i in range(start, start + 50_000):
            docs.append(
                {**model, "_id": ObjectId(), "scene_key": f"s{i:06d}", "filepath": f"/nowhere/{i}.png"}
            )
        collection.insert_many(docs, ordered=False)
    scenes.refresh()
    keys = scenes.table.keys.tolist()
    assert len(keys) == 500_001
    states = dict.fromkeys(keys, STATE)
    scenes.project(states, writer())
    assert scenes.differences(states) == []
    values = scenes.values("image", keys, ["annotation_status"])
    assert all(one["annotation_status"] == "selected" for one in values)
    assert len(scenes.of(keys[:325_000])) == 325_000
    scenes.save_view("pool", keys, ViewStyle("#667085", "test"), writer())
    assert scenes.view_members("pool") == keys
    scenes.refresh()  # FiftyOne keeps a dataset's views in memory
    assert len(scenes.dataset.load_saved_view("pool")) == 500_001


# ---------------------------------------------------------------------- keys


@pytest.mark.parametrize("by", ["init", "repair"])
def test_a_slice_that_came_later_belongs_to_its_scene(make: Callable[..., Scenes], by: str) -> None:
    """A right image added by hand to a known scene is compared like the other slices, and gets its key from `init` or from
    whoever projects everything; then tags reach it. It is not a scene of its own, and no scene without a key."""
    import fiftyone as fo

    scenes = make(4, without=[(2, "right")])
    scenes.project(dict.fromkeys(scenes.table.keys.tolist(), STATE), writer())
    group = fo.Group(id=str(scenes.table.ids[2]))
    scenes.dataset.add_sample(fo.Sample(filepath="/nowhere/right/0002.png", group=group.element("right")))
    scenes.refresh()
    found = scenes.differences({key: STATE for key in scenes.table.keys.tolist()})
    assert {(one.scene, one.slice) for one in found} == {("0002", "right")}
    assert scenes.all_keys() == {"0000", "0001", "0002", "0003"}
    assert scenes.keys_of(scenes.ids(["0002"])) == {scenes.ids(["0002"])[0]: "0002"}
    if by == "init":
        assert scenes.give_keys() == 0
    else:
        scenes.name_slices(writer())
    assert stored(scenes, "0002")["right"]["scene_key"] == "0002"
    scenes.project({"0002": STATE}, writer())
    assert scenes.differences({key: STATE for key in scenes.table.keys.tolist()}) == []


def test_media_of_the_same_name_get_keys_by_path(make: Callable[..., Scenes]) -> None:
    """Where stems collide, the path tells scenes apart, in the first import and in a later one."""
    import fiftyone as fo

    scenes = make(1, grouped=False)
    for folder in ("a", "b", "c"):
        before = set(scenes.table.keys.tolist())
        for name in ("0000.png", "0001.png"):
            scenes.dataset.add_sample(fo.Sample(filepath=f"/nowhere/{folder}/{name}"))
        assert scenes.give_keys() == 2
        assert before < set(scenes.table.keys.tolist())
    assert len(set(scenes.table.keys.tolist())) == 7
    scenes.dataset.add_sample(fo.Sample(filepath="/nowhere/c/0001.png"))
    with pytest.raises(IntegrityError, match="same media path"):
        scenes.give_keys()


def test_the_same_folder_twice(dataset_name: str, make: Callable[..., Scenes]) -> None:
    """Two datasets of one folder, added in other orders: equal keys, splits, batches, scores and reasons."""
    names = [f"{dataset_name}-one", f"{dataset_name}-two"]
    found = []
    for turn, name in enumerate(names):
        made = quick_loop.dataset(name)
        if turn:
            collection = samples_of(made)
            docs = list(collection.find({}))[::-1]
            collection.delete_many({})
            new = {doc["group"]["_id"]: ObjectId() for doc in docs}
            for doc in docs:
                doc["_id"], doc["group"]["_id"] = ObjectId(), new[doc["group"]["_id"]]
            collection.insert_many(docs)
        loop, _ = Loop.init_fiftyone(name, changes=quick_loop.SETTINGS, home=quick_loop.homes() / name)
        loop.split()
        loop.embed()
        loop.reference("ground_truth")
        batch = loop.select()
        batches = loop.workspace.journal.batches
        ids = {scene.id for scene in batches.manifest(batches.get("v0")).scenes}
        assert None not in ids
        found.append((loop.workspace.membership(), batch.scenes, loop.workspace.states(), ids))
    for name in names:
        remove(name)
    assert found[0][:3] == found[1][:3]
    assert not found[0][3] & found[1][3]  # else the ids could have decided it


def test_strangers_are_named_and_taken_in(dataset_name: str) -> None:
    """A scene added by hand: status and repair say in one line which, and what to do; doing that takes it in."""
    import fiftyone as fo

    loop = quick_loop.at("ready", dataset_name)
    sample = fo.Sample(filepath="/nowhere/left/9999.png", group=fo.Group().element("left"))
    load_dataset(dataset_name).add_sample(sample)
    for look in (lambda: loop.repair(check=True), lambda: Loop.open(dataset_name).status()):
        with pytest.raises(
            IntegrityError, match=rf"1 scenes have no scene_key.*swath init {dataset_name}"
        ) as error:
            look()
        assert "\n" not in str(error.value)
    loop, result = Loop.init_fiftyone(dataset_name)
    assert result.added == 1
    assert loop.workspace.membership()["9999"] == "pool"
    assert loop.repair(check=True).differences == ()
