"""Putting right and changing one's mind: repair finds what hands changed, cancel and close give scenes back, replay compares."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from swath.journal import pack
from swath.scenes import load_dataset

import durable
import quick_loop
from quick_loop import Picky, tag_by_hand, tags
from swath.annotators.base import Modality, Task
from swath.errors import StateError, UnknownNameError
from swath.loop import Loop


@pytest.fixture(scope="module", autouse=True)
def _database(mongod: str) -> None: ...


def chosen(loop: Loop, name: str) -> list[str]:
    return [scene["key"] for scene in loop.workspace.journal.manifest(name)["scenes"]]


def whole(loop: Loop) -> None:
    """Fails unless every projection is what the journal says, on every slice."""
    result = loop.repair(check=True)
    assert (result.differences, result.strangers, result.gone, result.edited) == ((), (), (), ())


# ---------------------------------------------------------------------- repair


def test_nothing_differs_after_the_steps(dataset_name: str) -> None:
    """A loop that nobody touched: no difference at any point, and repairing it changes nothing."""
    for point in ("new", "ready", "sent", "closed"):
        whole(Loop.open(quick_loop.base(point)))
    loop = quick_loop.at("closed", dataset_name)
    before = durable.samples(loop), durable.shown(loop)
    loop.repair()
    assert durable.differences(list(before), [durable.samples(loop), durable.shown(loop)]) == []


def test_tags_changed_by_hand(dataset_name: str) -> None:
    """A tag added, one removed, on one slice or all: each place is named; repair puts it right and keeps other tags."""
    loop = quick_loop.at("closed", dataset_name)
    before = durable.samples(loop)
    one, two, three = chosen(loop, "v0")[:3]
    for key in (one, two):
        tag_by_hand(loop, key, add=["check with Ada", "zebra"])
    tag_by_hand(loop, one, add=["batch:v7"], on=["right"])
    tag_by_hand(loop, two, drop=["annotated:v0"])
    tag_by_hand(loop, three, add=["to_annotate"], on=["pcd"])
    result = loop.repair(check=True)
    assert {(d.scene, d.slice, d.what) for d in result.differences} == {
        (one, "right", "tags"),
        *((two, name, "tags") for name in ("left", "right", "pcd")),
        (three, "pcd", "tags"),
    }
    (first,) = (d for d in result.differences if d.scene == one)
    assert "batch:v7" in first.found
    assert "batch:v7" not in first.expected
    assert loop.repair().differences == result.differences
    whole(loop)
    for key in (one, two):
        assert all(stored[:2] == ["check with Ada", "zebra"] for stored in tags(loop, key).values())
        for name in ("left", "right", "pcd"):
            before[key, name]["tags"] = ["check with Ada", "zebra", *before[key, name]["tags"]]
    assert durable.differences(before, durable.samples(loop)) == []


def test_status_views_and_info_changed_by_hand(dataset_name: str) -> None:
    """Status on one slice, a view that lost scenes, one redefined, one deleted, one too many, info: named, put right."""
    loop = quick_loop.at("closed", dataset_name)
    before = durable.samples(loop), durable.shown(loop)
    key = chosen(loop, "v0")[0]
    dataset = load_dataset(loop.name)
    dataset._sample_collection.update_one(
        {"scene_key": key, "group.name": "pcd"}, {"$set": {"annotation_status": "unlabeled"}}
    )
    ids = [str(one) for one in loop.workspace.scenes.table.ids]
    dataset.save_view("val_set", dataset.select_groups(ids[:3]), overwrite=True)
    dataset.save_view("pool", dataset.match_tags("split:pool"), overwrite=True)
    dataset.save_view("batch_v3", dataset.select_groups(ids[:1]))
    dataset.save_view("mine", dataset.select_groups(ids[:1]))
    dataset.delete_saved_view("golden_qa")
    dataset.info["golden_qa_history"] = []
    dataset.info["mine"] = 1
    dataset.save()
    loop = Loop.open(loop.name)
    found = {(d.scene, d.slice, d.what): d.found for d in loop.repair(check=True).differences}
    assert set(found) == {
        (key, "pcd", "annotation_status"),
        *((f"view {name}", "", "members") for name in ("val_set", "pool", "golden_qa", "batch_v3")),
        ("info golden_qa_history", "", "value"),
    }
    assert found[key, "pcd", "annotation_status"] == "unlabeled"
    assert "missing" in found["view golden_qa", "", "members"]
    assert found["view val_set", "", "members"].startswith("without ")
    loop.repair()
    whole(loop)
    after = durable.shown(loop)
    assert after["views"].pop("mine")
    assert after["info"].pop("mine") == 1
    assert durable.differences(list(before), [durable.samples(loop), after]) == []


def test_a_scene_moved_by_hand_from_test_to_the_pool(dataset_name: str) -> None:
    """Tags say pool, the journal says test: it is named, and no step embeds, chooses, sends, trains on or mines it."""
    loop = quick_loop.at("new", dataset_name)
    loop.split()
    moved = loop.workspace.members("test")[0]
    tag_by_hand(loop, moved, add=["split:pool"], drop=["split:test"])
    named = {d.scene for d in loop.repair(check=True).differences}
    assert named == {moved}
    loop = Loop.open(dataset_name)
    loop.run(1)
    doc = durable.samples(loop)[moved, "left"]
    assert not any(doc.get(field) for field in ("embeddings", "zcore", "human_detections", "predictions"))
    assert moved not in {row["key"] for row in loop.workspace.journal.assignments()}
    assert moved not in loop.workspace.journal.manifest("v0")["candidates"]
    assert loop.explain(moved).split == "test"
    loop.repair()
    assert all(stored == ["split:test"] for stored in tags(loop, moved).values())


def test_labels_edited_by_hand_are_named(dataset_name: str) -> None:
    """A box moved, a class changed, a cuboid deleted: the scenes are named; labels are people's, repair leaves them."""
    loop = quick_loop.at("closed", dataset_name)
    collection = loop.workspace.scenes.dataset._sample_collection
    full = [key for key in chosen(loop, "v0") if int(key) % 9 != 8]
    moved, renamed, emptied = full[:3]
    careful = next(key for key in loop.workspace.members("val") if int(key) % 9 != 8)
    label = "human_detections.detections.0"
    for key, name, change in (
        (moved, "left", {f"{label}.bounding_box.0": 0.123}),
        (renamed, "left", {f"{label}.label": "sign post"}),
        (emptied, "pcd", {"human_cuboids.detections": []}),
        (careful, "left", {f"{label}.bounding_box.0": 0.321}),
    ):
        assert collection.update_one({"scene_key": key, "group.name": name}, {"$set": change}).modified_count
    expected = tuple(sorted([moved, renamed, emptied, careful]))
    assert loop.repair(check=True).edited == expected
    assert loop.repair().edited == expected
    assert durable.samples(loop)[emptied, "pcd"]["human_cuboids"]["detections"] == []


def test_scenes_deleted_by_hand_hold_up_nothing(dataset_name: str) -> None:
    """Scenes of pool, batch, val, golden and test deleted in an open round: named; the loop goes on without them."""
    loop = quick_loop.at("sent", dataset_name)
    open_keys = chosen(loop, "v0")
    gone = [open_keys[0], next(key for key in loop.workspace.members("pool") if key not in open_keys)]
    gone += [loop.workspace.members(split)[0] for split in ("val", "golden", "test")]
    loop.workspace.scenes.dataset._sample_collection.delete_many({"scene_key": {"$in": gone}})
    loop = Loop.open(dataset_name)
    assert loop.repair(check=True).gone == tuple(sorted(gone))
    loop.repair()
    after = loop.repair(check=True)
    assert (after.differences, after.gone) == ((), tuple(sorted(gone)))
    loop.embed()
    loop.run(1)
    late = chosen(loop, "v0")[1]
    loop.workspace.scenes.dataset._sample_collection.delete_many({"scene_key": late})
    loop = Loop.open(dataset_name)
    assert not {*gone, late} & {one.key for one in loop.select().scenes}
    result = loop.run(2)
    assert result.closed == 2
    assert any(late in note for step, one in result.done if step == "train" for note in one.notes)
    assert loop.status().scenes == quick_loop.SCENES - 6


def test_a_slice_deleted_by_hand_is_no_difference(dataset_name: str) -> None:
    """One image fewer: the scene stays one, its other slices carry the tags."""
    loop = quick_loop.at("sent", dataset_name)
    key = chosen(loop, "v0")[0]
    loop.workspace.scenes.dataset._sample_collection.delete_one({"scene_key": key, "group.name": "right"})
    loop = Loop.open(dataset_name)
    whole(loop)
    loop.run(1)
    whole(loop)
    assert set(tags(loop, key)) == {"left", "pcd"}


# ---------------------------------------------------------------------- cancel


@pytest.mark.parametrize("state", ["committed", "annotating", "labeled", "checked"])
def test_cancel_gives_scenes_back_and_keeps_labels(state: str, dataset_name: str) -> None:
    """In every state before training: scenes without labels return, labels stay, the reason is on record, v1 may choose."""
    loop = quick_loop.at("ready", dataset_name)
    loop.annotator = Picky(lambda task, modality: int(task.key) % 2 == 0)
    loop.select()
    batch = chosen(loop, "v0")
    even = sorted(key for key in batch if int(key) % 2 == 0)
    odd = sorted(set(batch) - set(even))
    assert even
    assert odd
    if state != "committed":
        loop.send()
        assert loop.fetch().waiting >= len(odd)
    if state in ("labeled", "checked"):
        loop.annotator = Picky()
        loop.fetch()
        even, odd = sorted(batch), []
        assert loop.workspace.journal.round("v0")["state"] == "labeled"
    if state == "checked":
        loop.check()
        loop.golden()
    if state == "committed":
        even, odd = [], sorted(batch)
    assert loop.workspace.journal.round("v0")["state"] == state
    labels = {key: durable.samples(loop)[key, "left"].get("human_detections") for key in batch}

    result = loop.cancel("v0", "the lens was dirty")
    assert (result.state, result.returned, result.kept) == ("cancelled", len(odd), len(even))
    record = loop.workspace.journal.round("v0")["steps"]["cancel"]
    assert (record["reason"], record["was"]) == ("the lens was dirty", state)
    whole(loop)
    assert not any(
        "batch:v0" in stored or "to_annotate" in stored
        for key in batch
        for stored in tags(loop, key).values()
    )
    assert "batch_v0" not in load_dataset(dataset_name).list_saved_views()
    samples = durable.samples(loop)
    assert {key: samples[key, "left"].get("human_detections") for key in batch} == labels
    assert all(bool(labels[key]) == (key in even) for key in batch)
    assert {key: samples[key, "pcd"]["annotation_status"] for key in batch} == {
        **dict.fromkeys(even, "annotated"),
        **dict.fromkeys(odd, "unlabeled"),
    }
    after = loop.select()
    assert after.round == "v1"
    manifest = loop.workspace.journal.manifest("v1")
    assert set(odd) <= set(manifest["candidates"])
    assert not set(even) & set(manifest["candidates"])
    assert manifest["answers"] is None  # nothing was evaluated: coverage alone
    whole(loop)


def test_a_cancelled_loop_goes_on(dataset_name: str) -> None:
    """After a cancelled batch the next one is labelled, and its model is trained on the kept labels too."""
    loop = quick_loop.at("sent", dataset_name)
    loop.annotator = Picky(lambda task, modality: int(task.key) % 2 == 0)
    loop.fetch()
    kept = loop.cancel("v0", "again").kept
    loop.annotator = Picky()
    result = loop.run(1)
    assert result.closed == 1
    trained = loop.workspace.journal.round("v1")["steps"]["train"]["images"]
    assert trained == kept + len(chosen(loop, "v1"))
    whole(loop)
    assert loop.replay("v1").equal


def test_cancel_refuses(dataset_name: str) -> None:
    """No reason, no such round, a reference batch, a trained or a cancelled round: refused, nothing changes."""
    loop = quick_loop.at("closed", dataset_name)
    before = durable.everything(loop)
    for name, reason, error, told in (
        ("v0", "  ", StateError, "needs a reason"),
        ("v5", "why not", UnknownNameError, "no round 'v5'; there are: reference, v0"),
        ("reference", "why not", StateError, "only rounds can be cancelled"),
        ("v0", "why not", StateError, "v0 is closed; a round can be cancelled until its model is trained"),
    ):
        with pytest.raises(error, match=told):
            loop.cancel(name, reason)
    assert durable.differences(before, durable.everything(loop)) == []
    loop.select()
    loop.cancel("v1", "twice")
    with pytest.raises(StateError, match="v1 is cancelled"):
        loop.cancel("v1", "twice")


# ---------------------------------------------------------------------- close


def partly(loop: Loop) -> tuple[list[str], list[str], list[str]]:
    """Fetches v0 with an annotator who does half, and of a quarter only 2D; the keys: done, 2D only, nothing."""
    of: Callable[[str], int] = lambda key: int(key) % 4  # noqa: E731

    def wants(task: Task, modality: Modality) -> bool:
        return of(task.key) in (0, 1) or (of(task.key) == 2 and modality == "2d")

    loop.annotator = Picky(wants)
    assert loop.fetch().waiting > 0
    batch = chosen(loop, "v0")
    done = [key for key in batch if of(key) in (0, 1)]
    flat = [key for key in batch if of(key) == 2]
    nothing = [key for key in batch if of(key) == 3]
    assert done
    assert flat
    assert nothing
    return done, flat, nothing


def test_close_returns_what_is_missing_and_the_loop_goes_on(dataset_name: str) -> None:
    """Half-done scenes return with the labels they have, the round is checked, trained, evaluated; later only 3D is asked."""
    loop = quick_loop.at("sent", dataset_name)
    done, flat, nothing = partly(loop)
    result = loop.close_round("v0", "deadline")
    assert (result.state, result.returned, result.kept) == ("labeled", len(flat) + len(nothing), len(done))
    assert loop.workspace.journal.round("v0")["steps"]["close"]["reason"] == "deadline"
    whole(loop)
    view = load_dataset(dataset_name).load_saved_view("batch_v0")
    tagged = sorted(key for key in chosen(loop, "v0") if "batch:v0" in tags(loop, key)["left"])
    assert sorted(view.values("scene_key")) == tagged == sorted(done)
    for key in flat:
        assert all("annotated_2d:v0" in stored for stored in tags(loop, key).values())
        assert not any("annotated:v0" in stored for stored in tags(loop, key).values())
    status = {key: loop.workspace.states()[key].status for key in (*done, *flat, *nothing)}
    assert {status[key] for key in done} == {"annotated"}
    assert {status[key] for key in (*flat, *nothing)} == {"unlabeled"}

    loop.annotator = Picky()
    assert loop.run(1).closed == 1
    v0 = loop.workspace.journal.round("v0")["steps"]
    assert v0["train"]["images"] == len(done) + len(flat)
    whole(loop)
    asked: dict[str, set[str]] = {}
    while flat_left := [key for key in flat if key not in asked]:
        name = loop.select(anyway=True).round
        for row in loop.workspace.journal.assignments(round=name, role="pool"):
            asked.setdefault(row["key"], set()).add(row["modality"])
        before = {key: durable.samples(loop)[key, "left"]["human_detections"] for key in flat_left}
        loop.run(int(name[1:]) + 1)
        after = durable.samples(loop)
        assert {key: after[key, "left"]["human_detections"] for key in flat_left} == before
    assert all(asked[key] == {"3d"} for key in flat)
    assert all(asked[key] == {"2d", "3d"} for key in nothing if key in asked)
    for key in flat:
        assert loop.workspace.states()[key].status == "annotated"
    whole(loop)


def test_close_refuses(dataset_name: str) -> None:
    """A round without any label is to be cancelled, one that waits for nobody has nothing to close: refused."""
    loop = quick_loop.at("sent", dataset_name)
    before = durable.everything(loop)
    with pytest.raises(StateError, match="v0 has no labels yet; cancel it instead"):
        loop.close_round("v0")
    assert durable.differences(before, durable.everything(loop)) == []
    loop.run(1)
    with pytest.raises(StateError, match="v0 is closed; only a round that waits"):
        loop.close_round("v0")


# ---------------------------------------------------------------------- replay


def replant(loop: Loop, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrites a manifest as another time or code would have written it, its hash included."""
    manifest = loop.workspace.journal.manifest(name)
    change(manifest)
    packed = pack(manifest)
    sha = hashlib.sha256(packed).hexdigest()
    query = {"dataset": loop.workspace.journal.dataset_id, "round": name}
    loop.workspace.journal._rounds.update_one(query, {"$set": {"manifest": packed, "manifest_sha256": sha}})


def test_replay_names_what_differs(dataset_name: str) -> None:
    """One vector of a candidate, of a failure, another version, other settings: each is named, and which scenes changed."""
    loop = quick_loop.at("closed", dataset_name)
    loop.select()
    for name in ("v0", "v1"):
        result = loop.replay(name)
        assert (result.equal, result.differs, result.added, result.removed) == (True, (), (), ())

    other = Loop.open(dataset_name, changes={"select": {"share": 0.5}, "seed": 9})
    assert other.workspace.config.seed == 9
    assert other.replay("v1").equal  # asked again with the settings of then

    manifest = loop.workspace.journal.manifest("v1")
    replant(loop, "v1", lambda one: one["versions"].update(swath="0.0.1"))
    assert loop.replay("v1").differs == (f"code: swath {manifest['versions']['swath']} now, 0.0.1 then",)
    replant(loop, "v1", lambda one: one.update(manifest))
    replant(loop, "v1", lambda one: one.update(config_hash="f" * 16))
    assert loop.replay("v1").differs == (f"config: hash {manifest['config_hash']} now, {'f' * 16} then",)
    replant(loop, "v1", lambda one: one.update(manifest))
    assert loop.replay("v1").equal

    failure = manifest["failures"][0]["key"]
    for key, whose in ((failure, "failures"), (chosen(loop, "v1")[0], "candidates")):
        old = loop.workspace.scenes.vectors([key], "embeddings")
        with loop.workspace.writer("test") as writer:
            loop.workspace.scenes.write_vectors("embeddings", [key], -old, ["hand"], writer)
        result = loop.replay("v1")
        assert not result.equal
        assert any(line.startswith("embeddings:") and whose in line for line in result.differs)
        with loop.workspace.writer("test") as writer:
            loop.workspace.scenes.write_vectors("embeddings", [key], old, ["field:given"], writer)
        assert loop.replay("v1").equal


def test_replay_names_scenes_that_come_and_go(dataset_name: str) -> None:
    """A chosen scene that looks otherwise now: who leaves and who comes instead; one without a vector: why it can't be done."""
    loop = quick_loop.at("closed", dataset_name)
    loop.select()
    keys = chosen(loop, "v1")
    left = []
    for key in keys:
        vector = loop.workspace.scenes.vectors([key], "embeddings")
        with loop.workspace.writer("test") as writer:
            loop.workspace.scenes.write_vectors("embeddings", [key], -vector, ["hand"], writer)
        result = loop.replay("v1")
        assert not result.equal
        assert len(result.added) == len(result.removed)
        assert set(result.removed) <= set(keys)
        assert not set(result.added) & set(keys)
        left += [key] if key in result.removed else []
        with loop.workspace.writer("test") as writer:
            loop.workspace.scenes.write_vectors("embeddings", [key], vector, ["field:given"], writer)
    assert len(left) >= 3
    assert loop.replay("v1").equal
    with loop.workspace.writer("test") as writer:
        blank = np.full((1, 16), np.nan, np.float32)
        loop.workspace.scenes.write_vectors("embeddings", [key], blank, [""], writer)
    (why,) = loop.replay("v1").differs
    assert "cannot be chosen again" in why
    assert key in why
    with pytest.raises(UnknownNameError, match="no round 'v9'"):
        loop.replay("v9")
    with pytest.raises(StateError, match="nothing to replay"):
        loop.replay("reference")
