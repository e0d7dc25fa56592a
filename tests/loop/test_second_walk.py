"""What a second walk with other people's data ran into: ways that ended nowhere, and what was found out too late."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quick_loop
from quick_loop import Picky, number_of
from run_cli import run_cli
from support import samples_of
from swath import models
from swath.annotators.base import Answer, Fetched, Work
from swath.errors import ConfigError, ConflictError, StateError, SwathError
from swath.labels.clean import Rejected
from swath.loop import Loop

pytestmark = pytest.mark.database


@pytest.fixture
def at(dataset_name: str, mongod: str) -> Callable[[str], Loop]:
    return lambda point: quick_loop.at(point, dataset_name)


def lose(loop: Loop, key: str, channel: str = "left") -> str:
    """The file of a scene is where nothing is any more; returns the place."""
    gone = f"/gone/{key}.png"
    place = {"scene_key": key, "group.name": channel}
    assert samples_of(loop).update_one(place, {"$set": {"filepath": gone}}).modified_count == 1
    loop.workspace.scenes.refresh()
    return gone


# ---------------------------------------------------------------------- media that are away


def test_a_lost_pool_image_does_not_hold_up_select(at: Callable[[str], Loop]) -> None:
    """The scene is left out of what the model looks at, by name, with the file and what to do; the others are chosen."""
    loop = at("closed")
    key = next(key for key in loop.workspace.members("pool") if loop.explain(key).status == "unlabeled")
    gone = lose(loop, key)
    result = loop.select()
    assert dict(result.excluded) == {key: f"its image cannot be read: bring it back ({gone})"}
    assert key not in {one.key for one in result.scenes}
    assert len(result.scenes) == result.size > 0
    assert loop.replay(result.round).equal


def test_lost_images_are_left_out_of_training_and_evaluation(at: Callable[[str], Loop]) -> None:
    """A labelled scene and one of val whose images are gone: both steps go on without them, and name them."""
    loop = at("sent")
    loop.fetch()
    loop.check()
    loop.golden()
    taught = loop.batch("v0").scenes[0].choice.key
    lose(loop, taught)
    (model,) = loop.train().models
    assert model.images == len(loop.batch("v0").scenes) - 1
    trained = loop.workspace.journal.batches.get("v0").steps.train
    assert trained is not None
    assert any(f"cannot be read, and are left out: {taught}" in note for note in trained.notes)
    val = loop.workspace.members("val")
    lose(loop, val[0])
    record = loop.evaluate().record
    assert record.scenes == len(val) - 1
    assert any(f"cannot be read, and are left out: {val[0]}" in note for note in record.notes)
    assert loop.workspace.scenes.dataset.list_evaluations() == ["eval_v0"]
    assert not loop.repair(check=True).differences


# ---------------------------------------------------------------------- the reference


def test_a_reference_of_half_the_labels_can_be_taken_back(at: Callable[[str], Loop]) -> None:
    """Closed when half of it had come: it is said what that means, it can be taken back and imported over, until something was
    compared with it."""
    loop = at("new")
    loop.split()
    loop.embed()
    loop.annotator = Picky(lambda task, _: number_of(task) % 2 == 0)
    assert loop.reference().waiting
    code, out, err = run_cli("round", "close", "reference", "--return-missing", "--dataset", loop.name)
    assert (code, err) == (0, "")
    assert "scenes have no reference, labels of" in out
    assert "pool" not in out
    loop = Loop.open(loop.name)
    with pytest.raises(
        StateError, match=f"`swath round cancel reference --reason REASON --dataset {loop.name}`"
    ):
        loop.reference("ground_truth")
    assert loop.cancel("reference", "only half came").state == "cancelled"
    again = loop.reference("ground_truth")
    assert (again.batch, again.state) == ("reference.2", "closed")
    assert not again.as_json()["without"]
    assert not loop.repair(check=True).differences
    assert loop.run(1).closed == 1
    with pytest.raises(StateError, match="v0 was compared with it: it stays"):
        loop.cancel("reference.2", "too late")
    with pytest.raises(StateError, match="v0 was compared with it"):
        loop.reference("ground_truth")


@pytest.fixture
def apart(at: Callable[[str], Loop]) -> Loop:
    """Embedded; boxes are in one field, cuboids in another."""
    loop = at("new")
    loop.split()
    loop.embed()
    dataset = loop.workspace.scenes.dataset
    import fiftyone as fo

    for name, channel in (("boxes", "left"), ("cubes", "pcd")):
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        samples_of(loop).update_many({"group.name": channel}, [{"$set": {name: "$ground_truth"}}])
    loop.workspace.scenes.refresh()
    return loop


def test_boxes_and_cuboids_in_different_fields(apart: Loop) -> None:
    """One field closes the reference without the others' labels: it is said which field has them, and how to take both; both
    together make a whole one."""
    first = apart.reference("boxes")
    assert first.labels.keys() == {"2d"}  # type: ignore[union-attr]
    (note,) = first.notes
    assert note.startswith("no cuboids of pcd were found in boxes")
    assert "other fields that hold labels there: cubes, ground_truth" in note
    assert f"`swath reference --from boxes --from FIELD --dataset {apart.name}`" in note
    apart.cancel("reference", "the cuboids are elsewhere")
    code, out, err = run_cli("reference", "--from", "boxes", "--from", "cubes", "--dataset", apart.name)
    assert (code, err) == (0, "")
    assert "note" not in out
    record = apart.workspace.journal.batches.get("reference.2").steps.fetch
    assert record is not None
    assert record.source == "boxes, cubes"
    assert record.labels["2d"] == record.labels["3d"] == first.labels["2d"] > 0


def test_a_field_without_labels_is_no_reference(apart: Loop) -> None:
    """Text, or swath's own predictions: one line with the fields that have labels, and nothing is begun."""
    for name in ("sequence", "predictions"):
        with pytest.raises(ConfigError, match="fields with labels: boxes, cubes, ground_truth"):
            apart.reference(["boxes", name])
    with pytest.raises(SwathError, match="did you mean 'boxes'"):
        apart.reference("boxs")
    assert apart.plan().step == "reference"


# ---------------------------------------------------------------------- init


def test_classes_of_every_label_field_are_compared(dataset_name: str, mongod: str, tmp_path: Path) -> None:
    """Labels of one's own classes in a field of one's own; a class with a comma, which `--classes` cannot part."""
    import fiftyone as fo

    dataset = quick_loop.dataset(dataset_name, 12)
    fields = {"labels": "lorry", "more": "person, seated"}
    for name in fields:
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    for name, label in fields.items():
        one = {"_cls": "Detection", "label": label, "bounding_box": [0.1, 0.1, 0.2, 0.2]}
        value = {name: {"_cls": "Detections", "detections": [one]}}
        samples_of(dataset).update_one({"group.name": "left"}, {"$set": value})
    changes = {**quick_loop.SETTINGS, "fields": {"truth": "ground_trth", "sequence": "drive"}}
    _, result = Loop.init_fiftyone(dataset_name, changes=changes, home=tmp_path)
    said = "\n".join(result.notes)
    assert "labels holds labels of 1 classes that are not in the class map (car, person, sign): lorry" in said
    assert f"`swath init {dataset_name} --fiftyone {dataset_name} --classes lorry`" in said
    config = f"""`swath config --set 'classes=["person, seated"]' --dataset {dataset_name}`"""
    assert config in said
    assert (
        "fields: {truth: ground_trth}: the dataset has no such field (did you mean 'ground_truth'?)" in said
    )
    assert "fields: {sequence: drive}: the dataset has no such field" in said
    assert run_cli("config", "--set", 'classes=["person, seated"]', "--dataset", dataset_name)[0] == 0
    assert Loop.open(dataset_name).workspace.config.classes == ("person, seated",)


# ---------------------------------------------------------------------- said too late, or not at all


def test_a_bad_folder_is_noticed_before_a_batch_is_committed(
    at: Callable[[str], Loop], tmp_path: Path
) -> None:
    """`run --folder` below a file: one line, and nothing was chosen or kept."""
    loop = at("ready")
    (tmp_path / "file").write_text("")
    bad = str(tmp_path / "file" / "work")
    code, _, err = run_cli("run", "--annotator", "files", "--folder", bad, "--dataset", loop.name)
    assert (code, err.count("\n")) == (1, 1), err
    assert "expected a folder for the annotators' tasks" in err
    assert loop.plan().step == "select"
    assert Loop.open(loop.name).workspace.config.annotate.folder is None


class Smudged(Picky):
    """A line of one task's file is broken: nobody can say whether it was a box or a cuboid."""

    def fetch(self, work: Work, receipt: Any) -> Fetched:
        answers = list(super().fetch(work, receipt).answers)
        bad = next(one.task for one in answers if one.state == "labeled")
        lost = (Rejected("label_2/x.txt:3", "expected 15 or 16 columns, got 3"),)
        return Fetched(
            tuple(
                Answer(one.task, one.channel, one.state, one.labels, one.annotator, lost)
                if one.task == bad
                else one
                for one in answers
            )
        )


def test_a_broken_line_is_one_label_in_quarantine(at: Callable[[str], Loop]) -> None:
    """Of a file that holds boxes and cuboids it is counted once, not once for each."""
    loop = at("sent")
    loop.annotator = Smudged()
    result = loop.fetch()
    assert len(result.rejected) == 1
    assert result.waiting == 1


def test_one_model_is_trained_by_one_process(at: Callable[[str], Loop]) -> None:
    """A second `train` of the same round says who is at it, and trains nothing; once the first is gone it trains."""
    loop = at("sent")
    for step in ("fetch", "check", "golden"):
        loop.step(step)
    said = r"the 2D model of v0 is being trained by process \d+"
    with models.alone(loop.workspace.home, "v0", "2d"), pytest.raises(ConflictError, match=said):
        loop.next()
    assert loop.next()[0].step == "train"


def test_explain_says_that_a_scene_has_no_vector(at: Callable[[str], Loop]) -> None:
    """With the reason, or with the command that computes it."""
    loop = at("ready")
    key = loop.workspace.members("pool")[0]
    assert loop.explain(key).no_vector is None
    assert loop.explain(loop.workspace.members("test")[0]).no_vector is None
    samples_of(loop).update_many({"scene_key": key}, {"$set": {"embeddings": None, "given": None}})
    assert loop.explain(key).no_vector == f"run `swath embed --dataset {loop.name}`"
    loop.embed()
    code, out, _ = run_cli("explain", key, "--dataset", loop.name)
    assert code == 0
    assert (
        "no usable vector, so that it cannot be chosen: field 'given' is missing, zero or not finite" in out
    )


def test_the_final_evaluation_says_first_that_a_round_is_open(at: Callable[[str], Loop]) -> None:
    """Nobody labels test for a round that has no model yet."""
    loop = at("sent")
    with pytest.raises(StateError, match=r"^v0 is annotating"):
        loop.evaluate(final=True)


def test_changed_settings_are_all_that_is_printed(at: Callable[[str], Loop]) -> None:
    """`config --set` shows what it changed, and says where nothing did; without it all settings are listed."""
    name = at("ready").name
    code, out, _ = run_cli("config", "--set", "golden.miss=0.2", "--dataset", name)
    assert (code, out.count("golden.miss")) == (0, 2)
    assert len(out.splitlines()) <= 4, out
    _, again, _ = run_cli("config", "--set", "golden.miss=0.2", "--dataset", name)
    assert "nothing is changed" in again
    _, whole, _ = run_cli("config", "--dataset", name)
    assert len(whole.splitlines()) > 60


@pytest.mark.parametrize("given", [["--home", ""], ["--home="], ["--kitti", ""], ["--config="]])
def test_nothing_is_no_path(given: list[str], mongod: str) -> None:
    """An empty path is not the current folder: a variable of the shell was empty."""
    code, out, err = run_cli("init", "t-nothing", *given)
    option = given[0].removesuffix("=")
    assert (code, out) == (1, "")
    assert err == f"swath: {option}: expected a path, got nothing; the folder one is in is `.`\n"
