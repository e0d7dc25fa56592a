"""FiftyOne's own evaluations: what swath writes is what FiftyOne would have computed, and is made again when it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from gridfs import GridFS

import durable
import quick_loop
from support import samples_of
from swath import evaluations
from swath.appearance.embedding_map import show_map
from swath.appearance.names import MAP
from swath.errors import FencedError
from swath.loop import Loop
from swath.records.batch import Batch
from swath.store.journal.lease import FENCE, Writer
from swath.store.runs import Runs
from swath.store.views import OF, ViewStyle

pytestmark = pytest.mark.database
EVALS = ("eval_v0", "eval_v0_3d")


@pytest.fixture(scope="module")
def source(mongod: str) -> str:
    """A loop with two cameras' worth of figures: images and clouds are trained, and v0 is evaluated."""
    from support import remove

    name = "t-evaluations"
    remove(name)
    durable.fork(quick_loop.base("sent"), name, quick_loop.homes() / name)
    more = {"train": {"trainer_3d": "pillars", "center": {"steps": 40}, "pillars": {"steps": 2}}}
    Loop.open(name, changes=more).run(1)
    return name


@pytest.fixture
def loop(source: str, dataset_name: str) -> Loop:
    """A copy of it."""
    durable.fork(source, dataset_name, quick_loop.homes() / dataset_name)
    return Loop.open(dataset_name)


def dataset_of(loop: Loop) -> Any:
    loop.workspace.scenes.refresh()
    return loop.workspace.scenes.dataset


def batch_of(loop: Loop, name: str = "v0") -> Batch:
    return loop.workspace.journal.batches.get(name)


def show(loop: Loop, name: str = "v0") -> None:
    with loop.workspace.writer("test") as writer:
        evaluations.show(loop.workspace, writer, batch_of(loop, name))


def database_of(loop: Loop) -> Any:
    return samples_of(loop).database


def results(dataset: Any, key: str) -> list[tuple[str, ...]]:
    found = dataset.load_evaluation_results(key, cache=False)
    columns = (found.ytrue, found.ypred, found.ytrue_ids, found.ypred_ids)
    return sorted(tuple(map(str, row)) for row in zip(*columns, strict=True))


@pytest.mark.parametrize("key", EVALS)
def test_every_field_that_fiftyone_declares_is_there(loop: Loop, key: str) -> None:
    """What FiftyOne adds to the schema for an evaluation is in it already, as FiftyOne would add it: registering the run adds nothing."""
    dataset = dataset_of(loop)
    before = list(dataset.get_field_schema(flat=True))
    dataset.get_evaluation_info(key).config.build().register_samples(dataset.load_evaluation_view(key), key)
    assert list(dataset.get_field_schema(flat=True)) == before
    assert f"human_detections.detections.{EVALS[0]}_iou" in before


@pytest.mark.parametrize("key", EVALS)
def test_fiftyone_matches_the_same_objects(loop: Loop, key: str) -> None:
    """FiftyOne's own evaluation of the run's view, with the run's settings, has the same matches, and writes the same
    fields."""
    dataset = dataset_of(loop)
    info = dataset.get_evaluation_info(key).config
    assert (info.type, info.method, info.iou, info.classwise) == ("detection", "coco", 0.5, True)
    view = dataset.load_evaluation_view(key)
    assert len(view) > 5
    view.evaluate_detections(
        info.pred_field, gt_field=info.gt_field, eval_key="own", iou=0.5, classes=list(quick_loop.CLASSES)
    )
    assert results(dataset, key) == results(dataset, "own")
    seen = 0
    for sample in dataset.load_evaluation_view(key):
        for part in ("tp", "fp", "fn"):
            assert sample[f"{key}_{part}"] == sample[f"own_{part}"]
        for name in (info.pred_field, info.gt_field):
            for one in sample[name].detections:
                assert (one[key], one[f"{key}_id"]) == (one["own"], one["own_id"])
                if one["own"] == "tp":
                    assert one[f"{key}_iou"] == pytest.approx(one["own_iou"])
                seen += 1
    assert seen > 10


def test_it_adds_up_to_the_record(loop: Loop) -> None:
    """The samples' counts are those of the failures in the journal; the panel's figures those of the operating point."""
    dataset, batch = dataset_of(loop), batch_of(loop)
    done = batch.steps.evaluate
    assert done is not None
    failures = loop.workspace.journal.batches.failures(batch)
    for part in ("fn", "fp"):
        assert dataset.sum(f"eval_v0_{part}") == sum(getattr(one, part) for one in failures) > 0
    found = dataset.load_evaluation_results("eval_v0").metrics()
    assert found["precision"] == pytest.approx(done.main.operating.precision)
    assert found["recall"] == pytest.approx(done.main.operating.recall)


@pytest.mark.parametrize("key", EVALS)
def test_the_panel_says_what_the_record_says(loop: Loop, key: str) -> None:
    """What FiftyOne's panel Model Evaluation is given: mAP of the record, although TP, FP and FN are those at the operating
    threshold, and that threshold."""
    done = batch_of(loop).steps.evaluate
    assert done is not None
    figures = done.figures["3d" if key.endswith("3d") else "2d"]
    found = dataset_of(loop).load_evaluation_results(key, cache=False)
    assert found.mAP() == pytest.approx(figures.map.value, abs=1e-4)
    for name, one in figures.classes.items():
        assert found.mAP([name]) == pytest.approx(one.ap.value, abs=1e-4)
    assert 0 <= found.mAR() <= 1
    (told,) = found.custom_metrics.values()
    assert (told["label"], told["value"]) == (evaluations.THRESHOLD, figures.operating.threshold)


def test_map_is_fiftyones_own(loop: Loop) -> None:
    """FiftyOne's own evaluation of all predictions of val comes to the same mAP."""
    dataset, keys = dataset_of(loop), loop.workspace.members("val")
    view = dataset.select_group_slices(["left"]).match_tags("split:val")
    assert len(view) == len(keys)
    own = view.evaluate_detections(
        "predictions", gt_field="human_detections", eval_key="own", compute_mAP=True,
        classes=list(quick_loop.CLASSES), max_preds=100,
    )  # fmt: skip
    assert own.mAP() == pytest.approx(dataset.load_evaluation_results("eval_v0").mAP(), abs=1e-3)


def test_showing_again_changes_nothing(loop: Loop) -> None:
    """Neither samples, nor runs, nor results; not even their ids."""

    def everything() -> Any:
        database, mine = database_of(loop), {"_dataset_id": dataset_of(loop)._doc.id}
        runs = sorted(map(str, database.runs.find(mine)))
        return durable.samples(loop), runs, dict(dataset_of(loop)._doc.evaluations.items()).keys()

    before = everything()
    show(loop)
    assert everything() == before
    assert loop.repair().differences == ()
    assert everything() == before


@pytest.mark.parametrize("what", ["run", "listing", "results", "half the results", "field", "other figures"])
def test_what_is_missing_is_noticed_and_made_again(loop: Loop, what: str) -> None:
    """Whatever is lost of an evaluation: it is a difference, `show` makes it again, and all is as it was."""
    dataset, database = dataset_of(loop), database_of(loop)
    before, listed = durable.samples(loop), results(dataset, "eval_v0")
    (run,) = database.runs.find({"_dataset_id": dataset._doc.id, "key": "eval_v0"})
    place = {"_id": dataset._doc.id}
    if what == "run":
        database.runs.delete_one({"_id": run["_id"]})
        database.datasets.update_one(place, {"$unset": {"evaluations.eval_v0": 1}})
    elif what == "listing":
        database.datasets.update_one(place, {"$unset": {"evaluations.eval_v0": 1}})
    elif what == "results":
        database["fs.files"].delete_one({"_id": run["results"]})
        database["fs.chunks"].delete_many({"files_id": run["results"]})
    elif what == "half the results":
        database["fs.files"].delete_one({"_id": run["results"]})
    elif what == "field":
        dataset.delete_sample_field("eval_v0_tp")
    else:
        database.runs.update_one({"_id": run["_id"]}, {"$set": {"config.swath": "of another life"}})
    loop = Loop.open(loop.name)
    assert [one.scene for one in evaluations.differences(loop.workspace)] == ["evaluation eval_v0"]
    show(loop)
    assert evaluations.differences(loop.workspace) == []
    assert durable.differences(before, durable.samples(loop)) == []
    assert results(dataset_of(loop), "eval_v0") == listed


def test_an_evaluation_by_fiftyone_itself_is_left(loop: Loop) -> None:
    """One that FiftyOne made, without a mark: with the right fields and its mAP it counts, without mAP or with other fields it does
    not."""
    dataset = dataset_of(loop)
    dataset.delete_evaluation("eval_v0")
    view = dataset.match_tags("split:val").select_group_slices(["left"])
    for truth, with_map, counts in (
        ("human_detections", True, True),
        ("human_detections", False, False),
        ("ground_truth", True, False),
    ):
        view.evaluate_detections("predictions", gt_field=truth, eval_key="eval_v0", compute_mAP=with_map)
        loop.workspace.scenes.refresh()
        differing = [one.scene for one in evaluations.differences(loop.workspace)]
        assert differing == ([] if counts else ["evaluation eval_v0"]), (truth, with_map)
        dataset.delete_evaluation("eval_v0")


def test_an_earlier_round_is_made_again_from_its_model(loop: Loop) -> None:
    """The predictions of v0 are written over by v1: its evaluation is computed from its model, equal to the last match; where
    the model is gone too, it stays missing and is said to be."""
    before = results(dataset_of(loop), "eval_v0")
    loop.run(2)
    assert sorted(dataset_of(loop).list_evaluations()) == ["eval_v0", "eval_v0_3d", "eval_v1", "eval_v1_3d"]
    samples = durable.samples(loop)
    for run in database_of(loop).runs.find({"_dataset_id": dataset_of(loop)._doc.id, "key": "eval_v0"}):
        database_of(loop).runs.delete_one({"_id": run["_id"]})
    show(loop)
    assert results(dataset_of(loop), "eval_v0") == before
    assert durable.differences(samples, durable.samples(loop)) == []

    dataset_of(loop).delete_evaluation("eval_v0")
    for path in (loop.workspace.home / "models").glob("v0-2d-*"):
        path.unlink()
    loop.workspace.scenes.refresh()
    show(loop)
    assert [one.scene for one in evaluations.differences(loop.workspace)] == ["evaluation eval_v0"]


def test_labels_that_were_changed_meanwhile_are_not_touched(loop: Loop) -> None:
    """Marks go to objects by id: a label that was added, and one that moved to another place in the list, keep what they
    are."""
    samples = samples_of(loop)
    one = samples.find_one({"group.name": "left", "human_detections.detections.eval_v0": "tp"})
    assert one is not None
    new = {"_id": one["_id"], "_cls": "Detection", "label": "zebra", "bounding_box": [0.1, 0.1, 0.1, 0.1]}
    labels = [new, *one["human_detections"]["detections"][::-1]]
    samples.update_one({"_id": one["_id"]}, {"$set": {"human_detections.detections": labels}})
    dataset_of(loop).delete_evaluation("eval_v0")
    loop.workspace.scenes.refresh()
    show(loop)
    after = samples.find_one({"_id": one["_id"]})
    assert after["human_detections"]["detections"] == labels
    assert after["predictions"] == one["predictions"]


def test_an_overtaken_writer_writes_no_evaluation(loop: Loop) -> None:
    """A writer that lost the dataset neither marks an object nor lists a run."""
    dataset_of(loop).delete_evaluation("eval_v0")
    loop.workspace.scenes.refresh()
    before = durable.samples(loop)
    with loop.workspace.writer("test") as writer:
        late = Writer(writer.token - 1, "late", "late")
        loop.workspace.scenes.raise_fence(writer)
        with pytest.raises(FencedError):
            evaluations.show(loop.workspace, late, batch_of(loop))
        with pytest.raises(FencedError):
            evaluations.forget(loop.workspace, late, batch_of(loop))
    assert durable.differences(before, durable.samples(loop)) == []
    assert "eval_v0" not in dataset_of(loop).list_evaluations()
    show(loop)
    assert evaluations.differences(loop.workspace) == []


def test_what_another_process_showed_is_seen(loop: Loop) -> None:
    """In a process that has had the dataset in memory for long, `repair --check` sees what another one has written since."""
    dataset = dataset_of(loop)
    found = database_of(loop).datasets.find_one({"_id": dataset._doc.id})
    assert found is not None
    info = {f"info.{key}": value for key, value in found["info"].items()}
    database_of(loop).datasets.update_one({"_id": dataset._doc.id}, {"$unset": {"info": ""}})
    dataset.reload()
    database_of(loop).datasets.update_one({"_id": dataset._doc.id}, {"$set": info})
    assert Loop.open(loop.name).repair(check=True).differences == ()


class AsItWas:
    """A collection in which one document is read as it was some time ago."""

    def __init__(self, collection: Any, stale: Mapping[str, Any]) -> None:
        self._collection, self._stale = collection, stale

    def find_one(self, *_: Any) -> Mapping[str, Any]:
        return self._stale

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)


def test_what_a_successor_listed_is_not_cleared(loop: Loop) -> None:
    """A writer that stopped after it had read what is listed, and goes on once a successor has listed an evaluation, a map and
    a view, deletes none of them, nor their results."""
    views = loop.workspace.scenes.views
    with loop.workspace.writer("test") as writer:
        dataset_of(loop).delete_evaluation("eval_v0")
        dataset_of(loop).delete_brain_run(MAP)
        loop.workspace.scenes.refresh()
        loop.workspace.scenes.raise_fence(writer)
        views.delete("pool", writer)
        stale = database_of(loop).datasets.find_one({"_id": dataset_of(loop)._doc.id})
        assert stale is not None
        evaluations.show(loop.workspace, writer, batch_of(loop))
        show_map(loop.workspace, writer)
        views.save("pool", dataset_of(loop).match_tags("split:pool"), ViewStyle("", "the pool"), writer)
        before = listed(loop)
        views._datasets = AsItWas(views._datasets, stale)  # type: ignore[assignment]
        views.raise_fence(Writer(writer.token - 1, "late", "late"))
    assert listed(loop) == before
    assert {"eval_v0", MAP, "pool"} <= {*before}
    assert all(before.values())


def listed(loop: Loop) -> dict[str, bool]:
    """Runs and views of the dataset -> whether there is a document, and a file with its results, of each."""
    database, dataset = database_of(loop), dataset_of(loop)
    doc = database.datasets.find_one({"_id": dataset._doc.id})
    assert doc is not None
    found = {}
    for key, one in {**doc["evaluations"], **doc["brain_methods"]}.items():
        run = database.runs.find_one({"_id": one})
        found[key] = run is not None and database["fs.files"].find_one({"_id": run["results"]}) is not None
    there = {one["_id"]: one["name"] for one in database.views.find({"_dataset_id": dataset._doc.id})}
    return found | {there.get(one, str(one)): one in there for one in doc["saved_views"]}


def test_results_that_nothing_lists_are_cleared(loop: Loop) -> None:
    """Who is killed between a file, its run and the list leaves what the next writer clears; what others keep in files stays."""
    database = database_of(loop)
    with loop.workspace.writer("test") as writer:
        runs, one = Runs(dataset_of(loop), "brain_methods"), listed(loop)
        before = {file["_id"] for file in database["fs.files"].find({}, {"_id": 1})}
        theirs = GridFS(database).put(b"somebody's")
        results, seen = dataset_of(loop).load_brain_results(MAP), dataset_of(loop).view()
        runs._change = lambda change, writer: None  # type: ignore[method-assign]
        runs._drop = lambda run: None  # type: ignore[method-assign]
        runs.put(MAP, results, seen, writer)
        GridFS(database).put(b"no run yet", **{OF: dataset_of(loop)._doc.id, FENCE: writer.token})
        assert len([*database["fs.files"].find({})]) == len(before) + 3
    with loop.workspace.writer("next") as writer:
        loop.workspace.scenes.raise_fence(writer)
    assert {file["_id"] for file in database["fs.files"].find({}, {"_id": 1})} == {*before, theirs}
    assert listed(loop) == one
    GridFS(database).delete(theirs)


def test_an_evaluation_without_map_is_made_again(loop: Loop) -> None:
    """FiftyOne shows "-" for the mAP of one that was listed without its curves (by 0.1.0): repair makes it anew where the model is
    there, and leaves it where that is gone."""
    database = database_of(loop)
    (run,) = database.runs.find({"_dataset_id": dataset_of(loop)._doc.id, "key": "eval_v0"})
    bare = {"$unset": {"config.compute_mAP": "", "config.iou_threshs": "", "config.swath": ""}}
    database.runs.update_one({"_id": run["_id"]}, bare)
    assert [one.scene for one in loop.repair(check=True).differences] == ["evaluation eval_v0"]
    shelf = loop.workspace.home / "models"
    shelf.rename(shelf.with_name("away"))
    assert loop.repair(check=True).differences == ()
    shelf.with_name("away").rename(shelf)
    loop.repair()
    assert loop.repair(check=True).differences == ()
    dataset = dataset_of(loop)
    assert dataset.load_evaluation_results("eval_v0").mAP() == pytest.approx(
        batch_of(loop).steps.evaluate.main.map.value,  # type: ignore[union-attr]
        abs=1e-6,  # scores are stored rounded
    )
