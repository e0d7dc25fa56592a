"""Putting right and changing one's mind: repair finds what hands changed, cancel and close give scenes back, replay compares."""

from __future__ import annotations

import numpy as np
import pytest

import durable
import quick_loop
from quick_loop import Picky, number_of, tag_by_hand, tags
from support import journal_of, samples_of
from swath.annotators.base import Task
from swath.errors import StateError, UnknownNameError
from swath.labels.channels import Channel
from swath.loop import Loop
from swath.records.batch import Batch
from swath.records.manifest import Manifest, Question
from swath.store.scenes import load_dataset

pytestmark = pytest.mark.database


@pytest.fixture(scope="module", autouse=True)
def _database(mongod: str) -> None: ...


def batch_of(loop: Loop, name: str) -> Batch:
    return loop.workspace.journal.batches.get(name)


def manifest_of(loop: Loop, name: str) -> Manifest:
    return loop.workspace.journal.batches.manifest(batch_of(loop, name))


def question_of(loop: Loop, name: str) -> Question:
    question = manifest_of(loop, name).question
    assert question is not None
    return question


def chosen(loop: Loop, name: str) -> list[str]:
    return [scene.key for scene in manifest_of(loop, name).scenes]


def trained_on(loop: Loop, name: str) -> int:
    """Images that the model of a round learned from."""
    trained = batch_of(loop, name).steps.train
    assert trained is not None
    return trained.models[0].images


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
    """Status on one slice, a view that lost scenes, one redefined by tag, one by other means (those of 0.1.0 too: they crash the
    App), one deleted, one too many, info: named, put right."""
    loop = quick_loop.at("closed", dataset_name)
    before = durable.samples(loop), durable.shown(loop)
    key = chosen(loop, "v0")[0]
    dataset = load_dataset(loop.name)
    samples_of(dataset).update_one(
        {"scene_key": key, "group.name": "pcd"}, {"$set": {"annotation_status": "unlabeled"}}
    )
    ids = [str(one) for one in loop.workspace.scenes.table.ids]
    pool = [str(one) for one in loop.workspace.scenes.ids(loop.workspace.members("pool"))]
    dataset.save_view("val_set", dataset.select_by("group.id", ids[:3]), overwrite=True)
    dataset.save_view("pool", dataset.match_tags("split:test"), overwrite=True)
    dataset.save_view("test_set", dataset.select_groups(pool), overwrite=True)
    dataset.save_view("batch_v3", dataset.select_groups(ids[:1]))
    dataset.save_view("mine", dataset.select_by("group.id", ids[:1]))
    dataset.delete_saved_view("golden_qa")
    dataset.info["golden_qa_history"] = []
    dataset.info["mine"] = 1
    dataset.save()
    loop = Loop.open(loop.name)
    found = {(d.scene, d.slice, d.what): d.found for d in loop.repair(check=True).differences}
    assert set(found) == {
        (key, "pcd", "annotation_status"),
        *(
            (f"view {name}", "", "members")
            for name in ("val_set", "pool", "test_set", "golden_qa", "batch_v3")
        ),
        ("info golden_qa_history", "", "value"),
    }
    assert found[key, "pcd", "annotation_status"] == "unlabeled"
    assert found["view golden_qa", "", "members"] == "missing, or not a selection of scenes"
    assert found["view test_set", "", "members"] == "missing, or not a selection of scenes"
    assert found["view val_set", "", "members"].startswith("without ")
    assert found["view pool", "", "members"].startswith("without ")
    assert ", with " in found["view pool", "", "members"]
    assert found["view batch_v3", "", "members"] == "there"
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
    assert moved not in {row.key for row in loop.workspace.journal.assignments.find()}
    assert moved not in question_of(loop, "v0").candidates
    assert loop.explain(moved).split == "test"
    loop.repair()
    assert all(stored == ["split:test"] for stored in tags(loop, moved).values())


def test_labels_edited_by_hand_are_named(dataset_name: str) -> None:
    """A box moved, a class changed, a cuboid deleted: the scenes are named; labels are people's, repair leaves them."""
    loop = quick_loop.at("closed", dataset_name)
    collection = samples_of(loop)
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
    samples_of(loop).delete_many({"scene_key": {"$in": gone}})
    loop = Loop.open(dataset_name)
    assert loop.repair(check=True).gone == tuple(sorted(gone))
    loop.repair()
    after = loop.repair(check=True)
    assert (after.differences, after.gone) == ((), tuple(sorted(gone)))
    loop.embed()
    loop.run(1)
    late = chosen(loop, "v0")[1]
    samples_of(loop).delete_many({"scene_key": late})
    loop = Loop.open(dataset_name)
    assert not {*gone, late} & {one.key for one in loop.select().scenes}
    result = loop.run(2)
    assert result.closed == 2
    told = f"1 labelled scenes were deleted from the dataset, whole or in part: {late}"
    assert [one.notes for step, one in result.done if step == "train"] == [(told,)]
    assert loop.status().scenes == quick_loop.SCENES - 6


def test_a_slice_added_by_hand_is_put_right(dataset_name: str) -> None:
    """An image that a scene did not have: its tags and status are named as missing; repair gives it the scene's key, and them."""
    import fiftyone as fo

    loop = quick_loop.at("sent", dataset_name)
    key = chosen(loop, "v0")[0]
    samples_of(loop).delete_one({"scene_key": key, "group.name": "right"})
    before = tags(loop, key)["left"]
    group = fo.Group(id=loop.workspace.scenes.ids([key])[0])
    sample = fo.Sample(filepath=str(quick_loop.media() / f"right/{key}.png"), group=group.element("right"))
    load_dataset(dataset_name).add_sample(sample)
    loop = Loop.open(dataset_name)
    found = loop.repair(check=True)
    assert {(d.scene, d.slice, d.what) for d in found.differences} == {
        (key, "right", "tags"),
        (key, "right", "annotation_status"),
    }
    assert (found.strangers, found.gone) == ((), ())
    assert loop.status().scenes == quick_loop.SCENES
    loop.repair()
    whole(loop)
    assert tags(loop, key)["right"] == before
    loop.run(1)
    whole(loop)


def test_a_slice_deleted_by_hand_is_no_difference(dataset_name: str) -> None:
    """One image fewer: the scene stays one, its other slices carry the tags."""
    loop = quick_loop.at("sent", dataset_name)
    key = chosen(loop, "v0")[0]
    samples_of(loop).delete_one({"scene_key": key, "group.name": "right"})
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
    loop.annotator = Picky(lambda task, channel: number_of(task) % 2 == 0)
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
        assert batch_of(loop, "v0").state == "labeled"
    if state == "checked":
        loop.check()
        loop.golden()
    if state == "committed":
        even, odd = [], sorted(batch)
    assert batch_of(loop, "v0").state == state
    labels = {key: durable.samples(loop)[key, "left"].get("human_detections") for key in batch}

    result = loop.cancel("v0", "the lens was dirty")
    assert (result.state, result.returned, result.kept) == ("cancelled", len(odd), len(even))
    record = batch_of(loop, "v0").steps.cancel
    assert record is not None
    assert record.as_json() == {
        "reason": "the lens was dirty",
        "was": state,
        "returned": len(odd),
        "kept": len(even),
    }
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
    question = question_of(loop, "v1")
    assert set(odd) <= set(question.candidates)
    assert not set(even) & set(question.candidates)
    assert question.answers is None  # nothing was evaluated: coverage alone
    whole(loop)


def test_a_cancelled_loop_goes_on(dataset_name: str) -> None:
    """After a cancelled batch the next one is labelled, and its model is trained on the kept labels too."""
    loop = quick_loop.at("sent", dataset_name)
    loop.annotator = Picky(lambda task, channel: number_of(task) % 2 == 0)
    loop.fetch()
    kept = loop.cancel("v0", "again").kept
    loop.annotator = Picky()
    result = loop.run(1)
    assert result.closed == 1
    assert trained_on(loop, "v1") == kept + len(chosen(loop, "v1"))
    whole(loop)
    assert loop.replay("v1").equal


def test_cancel_refuses(dataset_name: str) -> None:
    """No reason, no such round, a reference that a round was compared with, a trained or a cancelled round: refused, nothing changes."""
    loop = quick_loop.at("closed", dataset_name)
    before = durable.everything(loop)
    for name, reason, error, told in (
        ("v0", "  ", StateError, "needs a reason"),
        ("v5", "why not", UnknownNameError, "no round 'v5'; there are: reference, v0"),
        ("reference", "why not", StateError, "reference is closed, and v0 was compared with it"),
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

    def of(key: str) -> int:
        return int(key) % 4

    def wants(task: Task, channel: Channel) -> bool:
        return number_of(task) % 4 in (0, 1) or (number_of(task) % 4 == 2 and channel.modality == "2d")

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
    assert (result.state, result.returned) == ("labeled", len(flat) + len(nothing))
    assert result.kept == len(done) + len(
        flat
    )  # a scene with labels of one channel alone returns, and they are kept
    record = batch_of(loop, "v0").steps.close
    assert record is not None
    assert (record.reason, record.returned, record.kept) == ("deadline", result.returned, result.kept)
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
    assert trained_on(loop, "v0") == len(done) + len(flat)
    whole(loop)
    asked: dict[str, set[str]] = {}
    while flat_left := [key for key in flat if key not in asked]:
        name = loop.select(anyway=True).round
        for row in loop.workspace.journal.assignments.find(round=name, role="pool"):
            asked.setdefault(row.key, set()).add(row.channel)
        before = {key: durable.samples(loop)[key, "left"]["human_detections"] for key in flat_left}
        loop.run(int(name[1:]) + 1)
        after = durable.samples(loop)
        assert {key: after[key, "left"]["human_detections"] for key in flat_left} == before
    assert all(asked[key] == {"pcd"} for key in flat)
    assert all(asked[key] == {"left", "pcd"} for key in nothing if key in asked)
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


def replant(loop: Loop, name: str, manifest: Manifest) -> None:
    """Rewrites the manifest of a round as another time or code would have written it, its hash included."""
    journal = loop.workspace.journal
    planted = journal.blobs.put(manifest.document()).document()
    query = {"dataset": journal.dataset_id, "round": name}
    assert journal_of(loop, "rounds").update_one(query, {"$set": {"manifest": planted}}).matched_count


def test_replay_names_what_differs(dataset_name: str) -> None:
    """Another version, another choice, one vector of a candidate, of a failure: each is named. Settings that changed since are
    no difference: it is asked again with those of then."""
    loop = quick_loop.at("closed", dataset_name)
    loop.select()
    for name in ("v0", "v1"):
        result = loop.replay(name)
        assert (result.equal, result.differs, result.added, result.removed) == (True, (), (), ())

    other = Loop.open(dataset_name, changes={"select": {"share": 0.5}, "seed": 9})
    assert other.workspace.config.seed == 9
    assert other.replay("v1").equal  # asked again with the settings of then

    manifest, question = manifest_of(loop, "v1"), question_of(loop, "v1")
    older = question.with_(versions={**question.versions, "swath": "0.0.1"})
    for planted, differs in (
        # What an older version chose likewise is equal: who chose it is part of the question, and stays.
        (manifest.with_(question=older), ()),
        (manifest.with_(question=question.with_(config_hash="f" * 16)), ()),
        (
            manifest.with_(question=older, notes=("of another time",)),
            (f"code: swath {question.versions['swath']} now, 0.0.1 then", "notes: not the same"),
        ),
        (manifest.with_(size=manifest.size.with_(targeted=8)), ("size: not the same",)),
    ):
        replant(loop, "v1", planted)
        result = Loop.open(dataset_name).replay("v1")
        assert (result.equal, result.differs) == (not differs, differs)
    replant(loop, "v1", manifest)
    assert loop.replay("v1").equal

    failure = question.failures[0].key
    for key, whose in ((failure, "failures"), (chosen(loop, "v1")[0], "candidates")):
        old = loop.workspace.scenes.vectors([key], "embeddings")
        with loop.workspace.writer("test") as writer:
            loop.workspace.scenes.write_vectors("embeddings", [key], -old, ["hand"], writer)
        result = loop.replay("v1")
        assert not result.equal
        said = f"embeddings: the vectors of the {whose} are not the ones it was chosen with"
        assert [line for line in result.differs if line.startswith("embeddings:")] == [said]
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


def test_the_simulated_annotator_is_fetched_again(mongod: str, dataset_name: str) -> None:
    """A process that has not fetched the batch before: the same labels again, nothing doubled."""
    loop = quick_loop.at("sent", dataset_name)
    first = loop.fetch()
    before = durable.samples(Loop.open(dataset_name))
    again = Loop.open(dataset_name).fetch()
    assert (again.state, again.states, again.waiting) == (first.state, first.states, 0)
    assert durable.samples(Loop.open(dataset_name)) == before
