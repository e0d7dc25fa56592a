"""Nothing of a person's work is lost or mixed up: each test is one way in which 0.1.0 lost it, by the number of the walk's list."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import durable
import quick_loop
from quick_loop import Picky, number_of
from support import remove
from swath.annotators.base import Answer, Fetched, Work
from swath.errors import ConfigError, StateError, SwathError
from swath.labels.clean import Rejected
from swath.labels.shapes import Boxes
from swath.loop import Loop


@pytest.fixture
def at(dataset_name: str, mongod: str) -> Callable[[str], Loop]:
    return lambda point: quick_loop.at(point, dataset_name)


def boxes_of(loop: Loop, key: str) -> list[dict[str, Any]]:
    (doc,) = loop.workspace.scenes.values("left", [key], ["human_detections"])
    return list(doc["human_detections"]["detections"])


def edit(loop: Loop, key: str) -> None:
    """Moves the first box of a scene by hand, behind swath's back."""
    collection = loop.workspace.scenes.dataset._sample_collection
    done = collection.update_one(
        {"scene_key": key, "group.name": "left"},
        {"$set": {"human_detections.detections.0.bounding_box": [0.1, 0.1, 0.5, 0.5]}},
    )
    assert done.modified_count == 1


class Changing(Picky):
    """As `Picky`, and from the second fetch on every first box is drawn otherwise."""

    fetched = 0
    changes = False

    def fetch(self, work: Work, receipt: Any) -> Fetched:
        self.fetched += 1
        answers = list(super().fetch(work, receipt).answers)
        if self.changes and self.fetched > 1:
            for i, one in enumerate(answers):
                if isinstance(one.labels, Boxes) and len(one.labels):
                    boxes = one.labels.boxes.copy()
                    boxes[0] += 1
                    answers[i] = Answer(
                        one.task, one.channel, one.state, Boxes(boxes, one.labels.classes), one.annotator
                    )
        return Fetched(tuple(answers))


def half_fetched(loop: Loop, *, changes: bool) -> tuple[Changing, str]:
    """v0 with one scene not looked at yet, and a labelled pool scene with boxes."""
    keys = sorted(scene.choice.key for scene in loop.batch("v0").scenes)
    annotator = Changing(lambda task, _: f"{number_of(task):04d}" != keys[0])
    annotator.changes = changes
    loop.annotator = annotator
    assert loop.fetch().waiting == 1
    key = next(key for key in keys[1:] if boxes_of(loop, key))
    annotator._wants = lambda task, channel: True
    return annotator, key


def test_2_labels_edited_by_hand_are_kept_and_named(at: Callable[[str], Loop]) -> None:
    """A box that somebody moved between two fetches stays where it is, and the fetch says so."""
    loop = at("sent")
    _, key = half_fetched(loop, changes=False)
    edit(loop, key)
    result = loop.fetch()
    assert result.edited == (key,)
    assert result.disputed == ()
    assert result.state == "labeled"
    assert boxes_of(loop, key)[0]["bounding_box"] == [0.1, 0.1, 0.5, 0.5]
    assert any("edited by hand" in note and key in note for note in result.notes)


@pytest.mark.parametrize("choice", ["mine", "theirs"])
def test_2_where_both_changed_somebody_decides(at: Callable[[str], Loop], choice: Any) -> None:
    """Edited by hand and changed by the annotator: neither is overwritten until `--mine` or `--theirs` says whose holds."""
    loop = at("sent")
    _, key = half_fetched(loop, changes=True)
    edit(loop, key)
    result = loop.fetch()
    assert result.disputed == (key,)
    assert key in result.waits_for
    assert result.state == "annotating"
    assert boxes_of(loop, key)[0]["bounding_box"] == [0.1, 0.1, 0.5, 0.5]
    assert any("--mine" in note and "--theirs" in note for note in result.notes)
    after = loop.fetch(edits=choice)
    assert (after.state, after.waiting) == ("labeled", 0)
    kept = boxes_of(loop, key)[0]["bounding_box"] == [0.1, 0.1, 0.5, 0.5]
    assert kept == (choice == "mine")


def test_a_box_drawn_before_the_first_fetch_is_not_overwritten(at: Callable[[str], Loop]) -> None:
    """What somebody drew in the App on a scene that waits is disputed when the annotator's labels come."""
    loop = at("sent")
    key = sorted(scene.choice.key for scene in loop.batch("v0").scenes)[3]
    drawn = {"_cls": "Detection", "label": "car", "bounding_box": [0.2, 0.2, 0.1, 0.1], "tags": []}
    loop.workspace.scenes.dataset._sample_collection.update_one(
        {"scene_key": key, "group.name": "left"},
        {"$set": {"human_detections": {"_cls": "Detections", "detections": [drawn]}}},
    )
    loop.annotator = Picky()
    result = loop.fetch()
    assert result.disputed == (key,)
    assert [one["bounding_box"] for one in boxes_of(loop, key)] == [[0.2, 0.2, 0.1, 0.1]]


class Spoiled(Picky):
    """One label of one pool scene is bad."""

    bad = ""

    def fetch(self, work: Work, receipt: Any) -> Fetched:
        answers = list(super().fetch(work, receipt).answers)
        task_of = {task.task: task for task in work.tasks}
        for i, one in enumerate(answers):
            if f"{number_of(task_of[one.task]):04d}" == self.bad and one.channel == "left":
                answers[i] = Answer(
                    one.task, one.channel, one.state, one.labels, one.annotator, (Rejected("file:3", "NaN"),)
                )
        return Fetched(tuple(answers))


def test_10_quarantine_keeps_a_scene_waiting(at: Callable[[str], Loop]) -> None:
    """A scene with a label in quarantine waits until it is mended or taken without it; its good labels are there meanwhile."""
    loop = at("sent")
    annotator = Spoiled()
    annotator.bad = next(
        scene.choice.key
        for scene in loop.batch("v0").scenes
        if quick_loop.small_scenes.objects(int(scene.choice.key), quick_loop.CLASSES)
    )
    loop.annotator = annotator
    result = loop.fetch()
    assert (result.waiting, result.waits_for, result.state) == (1, (annotator.bad,), "annotating")
    assert boxes_of(loop, annotator.bad)
    assert any("--accept-partial" in note for note in result.notes)
    assert loop.fetch(accept_partial=True).state == "labeled"


def test_10_fetch_works_until_the_model_is_trained(at: Callable[[str], Loop]) -> None:
    """Labels that were corrected after the checks come in with another fetch, and the round is checked again; after training
    it is too late."""
    loop = at("sent")
    annotator = Changing()
    loop.annotator = annotator
    loop.fetch()
    loop.check()
    assert loop.fetch().state == "labeled"
    assert loop.plan().step == "golden"  # nothing had changed: the check stands
    annotator.changes = True
    assert loop.fetch().state == "labeled"
    assert loop.plan().step == "check"
    for step in ("check", "golden", "train"):
        loop.step(step)
    with pytest.raises(StateError, match="no batch is open"):
        loop.fetch()


def test_6_a_reference_that_waits_can_be_imported_over(at: Callable[[str], Loop], dataset_name: str) -> None:
    """A reference batch that was sent and not answered gives way to an import; one with labels is cancelled first, by name."""
    loop = at("new")
    loop.split()
    loop.embed()
    loop.annotator = Picky(lambda task, _: False)
    assert loop.reference().waiting
    assert loop.reference("ground_truth").batch == "reference.2"
    assert loop.plan().step == "select"


def test_6_a_reference_can_be_cancelled(at: Callable[[str], Loop]) -> None:
    """With some labels there the import asks for it to be cancelled; then it goes through."""
    loop = at("new")
    loop.split()
    loop.embed()
    loop.annotator = Picky(lambda task, _: number_of(task) % 2 == 0)
    assert loop.reference().waiting
    with pytest.raises(StateError, match=r"swath round cancel reference --reason REASON --dataset"):
        loop.reference("ground_truth")
    assert loop.cancel("reference", "labels exist elsewhere").state == "cancelled"
    assert loop.reference("ground_truth").state == "closed"
    assert loop.plan().step == "select"


def test_7_classes_can_change_until_the_first_label(at: Callable[[str], Loop], dataset_name: str) -> None:
    """The class map of a split dataset changes as long as nobody has labelled anything, and not after."""
    loop = at("new")
    loop.split()
    again = Loop.open(dataset_name, changes={"classes": ["car", "person"]})
    again.embed()
    assert Loop.open(dataset_name).workspace.config.classes == ("car", "person")
    again.reference("ground_truth")
    with pytest.raises(ConfigError, match="once labels have come"):
        Loop.open(dataset_name, changes={"classes": ["car"]})


def test_7_init_says_which_classes_to_give(dataset_name: str, mongod: str, tmp_path: Path) -> None:
    """A dataset whose labels are of other classes than the class map: init names them and the command that takes them in."""
    quick_loop.dataset(dataset_name, 12)
    _, result = Loop.init_fiftyone(dataset_name, home=tmp_path)
    (note,) = [note for note in result.notes if "--classes" in note]
    assert "car, person, sign" in note
    assert f"swath init {dataset_name} --fiftyone {dataset_name} --classes car,person,sign" in note


@pytest.fixture(scope="module")
def kitti(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a KITTI folder of twelve frames; `shift` makes other pictures and clouds under the same names."""

    def make(name: str, shift: int = 0) -> Path:
        out = tmp_path_factory.mktemp("kitti") / name
        for part in ("image_2", "image_3", "velodyne", "label_2"):
            (out / "training" / part).mkdir(parents=True)
        for i in range(12):
            for part, source in (("image_2", "left"), ("image_3", "right")):
                picture = quick_loop.media() / source / f"{(i + shift) % 60:04d}.png"
                shutil.copy(picture, out / f"training/{part}/{i:06d}.png")
            points = np.random.default_rng(i + shift).uniform(2, 20, (50, 4)).astype("<f4")
            (out / f"training/velodyne/{i:06d}.bin").write_bytes(points.tobytes())
            line = f"Car 0 0 0 {10 + i} 10 {40 + i} 30 -1 -1 -1 -1000 -1000 -1000 -10\n"
            (out / f"training/label_2/{i:06d}.txt").write_text(line)
        return out

    return make


@pytest.fixture
def two(mongod: str, dataset_name: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    yield dataset_name, tmp_path / "home"
    remove(dataset_name)


def clouds(loop: Loop) -> dict[str, bytes]:
    table = loop.workspace.scenes.table
    return {key: Path(table.path("pcd", key)).read_bytes() for key in table.keys.tolist()}


def test_1_clouds_of_an_earlier_dataset_are_not_taken(
    two: tuple[str, Path], kitti: Callable[..., Path]
) -> None:
    """Another folder under the same names, the same dataset name and home: its own clouds, not the old ones."""
    name, home = two
    one, _ = Loop.init_kitti(name, kitti("one"), home=home)
    before = clouds(one)
    remove(name)
    other, _ = Loop.init_kitti(name, kitti("two", shift=20), home=home)
    after = clouds(other)
    assert before.keys() == after.keys()
    assert not [key for key in before if before[key] == after[key]]


def test_8_frames_with_names_that_are_taken_get_keys_of_their_own(
    two: tuple[str, Path], kitti: Callable[..., Path]
) -> None:
    """A second folder with other frames of the same names: all of them come in, and are named."""
    name, home = two
    Loop.init_kitti(name, kitti("one"), home=home)
    second = kitti("two", shift=20)
    loop, result = Loop.init_kitti(name, second)
    assert (result.scenes, result.added) == (24, 12)
    assert any("keys of their own" in note and "two/000000" in note for note in result.notes)
    again, result = Loop.init_kitti(name, second)
    assert (result.scenes, result.added, result.notes[:0]) == (24, 0, ())
    assert len(again.workspace.scenes.table) == len(loop.workspace.scenes.table)


def test_a_folder_that_moved_is_found_again(two: tuple[str, Path], kitti: Callable[..., Path]) -> None:
    """`init` with the new place of a folder relocates its scenes: same keys, same ids, media that exist."""
    name, home = two
    old = kitti("one")
    loop, _ = Loop.init_kitti(name, old, home=home)
    ids = loop.workspace.scenes.table.ids.tolist()
    new = old.parent / "elsewhere"
    old.rename(new)
    moved, result = Loop.init_kitti(name, new)
    table = moved.workspace.scenes.table
    assert (result.added, table.ids.tolist()) == (0, ids)
    assert any("12 scenes had moved" in note for note in result.notes)
    for key in table.keys.tolist():
        assert Path(table.path("left", key)).is_file()
        assert str(new) in table.path("left", key)


def test_9_label_files_that_changed_are_read_again(two: tuple[str, Path], kitti: Callable[..., Path]) -> None:
    """A repaired label file is taken in by the next init, and counted."""
    name, home = two
    folder = kitti("one")
    Loop.init_kitti(name, folder, home=home)
    path = folder / "training/label_2/000003.txt"
    path.write_text("Van 0 0 0 1 2 31 22 -1 -1 -1 -1000 -1000 -1000 -10\n")
    loop, result = Loop.init_kitti(name, folder)
    assert any("label files of 1 scenes had changed" in note for note in result.notes)
    (doc,) = loop.workspace.scenes.values("left", ["000003"], ["ground_truth"])
    assert [one["label"] for one in doc["ground_truth"]["detections"]] == ["Van"]


def test_11_a_dataset_with_lidar_can_be_labelled_in_2d_alone(
    dataset_name: str, mongod: str, tmp_path: Path
) -> None:
    """`modalities: [2d]`: nobody is asked for cuboids, and the loop closes a round."""
    quick_loop.dataset(dataset_name)
    settings = {**quick_loop.SETTINGS, "modalities": ["2d"]}
    loop, result = Loop.init_fiftyone(dataset_name, changes=settings, home=tmp_path)
    assert not [note for note in result.notes if "calibration" in note]
    assert loop.run(1).closed == 1
    rows = loop.workspace.journal.assignments.find()
    assert {row.channel for row in rows} == {"left"}
    assert "annotation_schema_3d" not in loop.workspace.scenes.dataset.info


def test_12_init_says_where_cuboids_cannot_be_placed(dataset_name: str, mongod: str, tmp_path: Path) -> None:
    """Scenes with a cloud and cameras and no calibration are counted at init, with the way out."""
    quick_loop.dataset(dataset_name, 12)
    _, result = Loop.init_fiftyone(dataset_name, changes=quick_loop.SETTINGS, home=tmp_path)
    assert any("12 of 12 scenes with a cloud have no calibration" in note for note in result.notes)
    assert any("modalities: [2d]" in note for note in result.notes)


@pytest.mark.parametrize("name", ["", " ", ".", "..", "x" * 300, "a\nb", " padded"])
def test_names_that_cannot_be(name: str, mongod: str, tmp_path: Path) -> None:
    """A dataset's name that no folder or terminal could bear is refused in one line, before anything is made."""
    with pytest.raises(ConfigError, match="expected a name"):
        Loop.init_kitti(name, tmp_path)


def test_a_name_does_not_leave_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`../../x` is a name, and its folder lies where all do."""
    from swath.workspace import default_home

    monkeypatch.setenv("SWATH_HOME", str(tmp_path))
    assert default_home("../../x").resolve().parent == tmp_path.resolve()
    assert default_home("drives") == tmp_path / "drives"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 99999999999999999999999999", "seed"),
        ("classes: &a [x, *a]", "references"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested deeper"),
        ("select:\n\tshare: 0.1", "line 2"),
    ],
)
def test_settings_that_cannot_be(text: str, said: str, tmp_path: Path) -> None:
    """Numbers that no machine holds, YAML that eats itself or the stack, a tab: one line that says where."""
    from swath.changes import read
    from swath.config import LoopConfig, merged

    path = tmp_path / "swath.yaml"
    path.write_text(text)
    with pytest.raises(SwathError, match=said):
        merged(LoopConfig(), read(path), str(path))


def test_a_share_may_be_a_number() -> None:
    """`coverage_share: 0.5` is what people write."""
    from swath.config import LoopConfig, merged

    assert merged(LoopConfig(), {"select": {"coverage_share": 0.5}}, "x").select.coverage_share == "0.5"


def test_5_an_interrupted_init_is_said(dataset_name: str, mongod: str, tmp_path: Path) -> None:
    """A loop whose scenes were never all taken in: every other command says what to do, and init goes on."""
    import fiftyone as fo

    from swath.config import LoopConfig
    from swath.store.scenes import open_journal

    quick_loop.dataset(dataset_name, 12)
    journal = open_journal(fo.load_dataset(dataset_name))
    journal.create(LoopConfig().model_dump(mode="json"), str(tmp_path))
    with pytest.raises(StateError, match="was interrupted; run the same init command again"):
        Loop.open(dataset_name)
    loop, _ = Loop.init_fiftyone(dataset_name, changes=quick_loop.SETTINGS, home=tmp_path)
    assert loop.plan().step == "split"
    assert durable.samples(loop)
