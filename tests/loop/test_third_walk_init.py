"""What a third walk with other people's data ran into when scenes are taken in: fields of one's own, other rigs, other spellings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import durable
import quick_loop
from run_cli import run_cli
from support import remove, samples_of
from swath.errors import ConfigError
from swath.loop import Loop
from swath.worlds import make_world

pytestmark = pytest.mark.database


@pytest.fixture(scope="module", autouse=True)
def _database(mongod: str) -> None: ...


# ---------------------------------------------------------------------- fields of one's own


def own_fields(name: str) -> dict[str, Any]:
    """A plain dataset with fields of its own under names of swath's; returns its samples by id, as they are stored."""
    import fiftyone as fo

    made = quick_loop.dataset(name, 12, grouped=False)
    for sample in made:
        sample["annotation_status"] = fo.Classification(label="done")
        sample["zcore"] = "mine"
        sample["embeddings"] = np.ones(3)
        sample["predictions"] = fo.Detections(
            detections=[fo.Detection(label="car", bounding_box=[0, 0, 0.5, 0.5])]
        )
        sample["human_detections"] = sample["predictions"].copy()
        sample["findings"] = "text"
        sample.save()
    return stored(name)


def stored(name: str) -> dict[str, Any]:
    return {str(doc["_id"]): doc for doc in samples_of(name).find()}


def test_fields_of_ones_own_are_not_taken_over(dataset_name: str, tmp_path: Path) -> None:
    """Fields of swath's names that are of another type or hold values: one line names them all with the ways out, nothing is
    written, and with names given the loop begins beside them, for FiftyOne to read."""
    import fiftyone as fo

    before = own_fields(dataset_name)
    home = tmp_path / "home"
    arguments = ("init", dataset_name, "--fiftyone", dataset_name, "--home", str(home))
    code, out, err = run_cli(*arguments)
    assert (code, out, err.count("\n")) == (1, "", 1), err
    for words in (
        "has 6 fields of its own",
        "annotation_status (of another type, 12 values)",
        "zcore (of another type, 12 values)",
        "embeddings (12 values)",
        "predictions (12 values)",
        "human_detections (12 values)",
        "findings (of another type, 12 values)",
        "`fields: {detections: NAME, predictions: NAME, embeddings: NAME, zcore: NAME, status: NAME}`",
        "dataset.rename_sample_field(OLD, NEW)",
        f"`swath adopt {dataset_name}`",
    ):
        assert words in err
    assert stored(dataset_name) == before
    assert not home.exists()
    assert dataset_name not in Loop.names()

    dataset = fo.load_dataset(dataset_name)
    dataset.rename_sample_field("findings", "my_findings")
    others = {
        "predictions": "seen", "detections": "drawn", "zcore": "score", "status": "state", "embeddings": "vectors"
    }  # fmt: skip
    changes = {**quick_loop.SETTINGS, "fields": others, "splits": {"by": "scene"}}
    loop, result = Loop.init_fiftyone(dataset_name, changes=changes, home=home)
    assert result.added == 12
    loop.split()
    loop.embed()
    dataset.reload()
    assert dataset.first()["annotation_status"].label == "done"
    assert set(dataset.values("zcore")) == {"mine"}
    again, result = Loop.init_fiftyone(dataset_name)
    assert result.added == 0
    assert again.workspace.config.fields.zcore == "score"


def test_human_labels_that_the_configuration_names_stay(dataset_name: str, tmp_path: Path) -> None:
    """Labels in a field that `fields: {detections: ...}` names, and vectors that the encoder names, are the user's to give: init
    goes on, and says the labels aloud."""
    made = quick_loop.dataset(dataset_name, 12, grouped=False)
    made.clone_sample_field("ground_truth", "boxes")
    made.clone_sample_field("given", "embeddings")
    changes = {
        **quick_loop.SETTINGS, "splits": {"by": "scene"}, "fields": {"detections": "boxes"}, "embed": {"encoder": "field:embeddings"}
    }  # fmt: skip
    loop, result = Loop.init_fiftyone(dataset_name, changes=changes, home=tmp_path)
    assert [note for note in result.notes if note.startswith("boxes holds labels of 12 samples already")]
    loop.split()
    assert loop.embed().scenes > 0
    assert all(
        doc["boxes"]["detections"] == doc["ground_truth"]["detections"] for doc in samples_of(loop).find()
    )


def test_a_field_that_is_named_later_is_looked_at_too(dataset_name: str, tmp_path: Path) -> None:
    """A second init that names a field with somebody's values for swath to write: refused as the first is, and the loop stays."""
    quick_loop.dataset(dataset_name, 12)
    Loop.init_fiftyone(dataset_name, changes=quick_loop.SETTINGS, home=tmp_path)
    with pytest.raises(ConfigError, match=r"given \(12 values\)"):
        Loop.init_fiftyone(
            dataset_name,
            changes={"fields": {"embeddings": "given"}, "embed": {"encoder": "descriptor:image"}},
        )
    assert Loop.open(dataset_name).workspace.config.fields.embeddings == "embeddings"


def test_a_setting_that_names_somebodys_field_is_refused(dataset_name: str, tmp_path: Path) -> None:
    """Before the split a field may still be named otherwise, but not as one that holds somebody's values: nothing is changed."""
    made = quick_loop.dataset(dataset_name, 12, grouped=False)
    made.set_values("mine", [0.5] * 12)
    Loop.init_fiftyone(dataset_name, changes=quick_loop.SETTINGS, home=tmp_path)
    before = durable.everything(Loop.open(dataset_name))
    code, _, err = run_cli("config", "-d", dataset_name, "--set", "fields.zcore=mine")
    assert (code, err.count("\n")) == (1, 1)
    assert "mine (12 values)" in err
    assert durable.differences(before, durable.everything(Loop.open(dataset_name))) == []
    assert run_cli("config", "-d", dataset_name, "--set", "fields.zcore=other")[0] == 0


def test_fields_of_other_names_are_named(dataset_name: str, tmp_path: Path) -> None:
    """Labels and drives in fields of other names than the configuration's: init names them, until the split; the commands work."""
    made = quick_loop.dataset(dataset_name, 24)
    every = made.select_group_slices(_allow_mixed=True)
    every.set_values("drive_id", [int(one[1:]) for one in every.values("sequence")])
    made.delete_sample_field("sequence")
    made.rename_sample_field("ground_truth", "gt")
    _, result = Loop.init_fiftyone(dataset_name, changes=quick_loop.SETTINGS, home=tmp_path)
    assert "fields with labels: gt; it can be corrected until the split" in "\n".join(result.notes)
    assert "fields whose values scenes share: drive_id;" in "\n".join(result.notes)
    assert result.notes == Loop.init_fiftyone(dataset_name)[1].notes
    for setting in ("truth=gt", "sequence=drive_id"):
        assert f"--set fields.{setting.split('=')[0]}=NAME" in "\n".join(result.notes)
        assert run_cli("config", "--set", f"fields.{setting}", "--dataset", dataset_name)[0] == 0
    loop, result = Loop.init_fiftyone(dataset_name)
    assert "fields:" not in "\n".join(result.notes)
    told = loop.split()
    assert told.units == 6  # drive 0 is one
    assert "no drive" not in "\n".join(told.notes)


def test_scenes_without_a_drive_among_others(dataset_name: str, tmp_path: Path) -> None:
    """Drives known for some scenes only: the split counts the others and says what keeps them together."""
    made = quick_loop.dataset(dataset_name, 40)
    gone = {"filepath": {"$regex": r"/000[0-4]\."}}
    assert samples_of(made).update_many(gone, {"$unset": {"sequence": ""}}).modified_count == 15
    loop, _ = Loop.init_fiftyone(dataset_name, changes=quick_loop.SETTINGS, home=tmp_path)
    (note,) = [note for note in loop.split().notes if "have no drive" in note]
    assert note.startswith(
        "5 of 40 scenes have no drive (0000, 0001, 0002, 0003, 0004), and each stands alone"
    )
    assert "splits: {join_duplicates: 0.95}" in note


def test_no_way_out_that_is_closed(dataset_name: str) -> None:
    """Strange classes are said after the first label too, without the command that can no longer be."""
    loop = quick_loop.at("ready", dataset_name)
    strange = {"$set": {"ground_truth.detections.0.label": "lorry"}}
    query = {"group.name": "left", "ground_truth.detections.0": {"$exists": True}}
    assert samples_of(loop).update_one(query, strange).modified_count == 1
    said = "\n".join(Loop.init_fiftyone(dataset_name)[1].notes)
    assert "ground_truth holds labels of 1 classes that are not in the class map" in said
    assert "--classes" not in said


def test_the_dataset_is_looked_at_before_a_command_is_suggested(dataset_name: str, tmp_path: Path) -> None:
    """`init x --fiftyone` of a dataset that is not there, or holds nothing: said at once, and no command that would say it."""
    import fiftyone as fo

    fo.Dataset(dataset_name)
    for name, words in (
        (f"{dataset_name}-", f"did you mean '{dataset_name}'?"),
        (dataset_name, "holds nothing"),
    ):
        code, _, err = run_cli("init", "x", "--fiftyone", name)
        assert (code, err.count("\n")) == (1, 1)
        assert words in err
        assert "swath init" not in err


# ---------------------------------------------------------------------- folders


@pytest.fixture(scope="module")
def kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A KITTI folder of sixteen frames in four drives."""
    out = tmp_path_factory.mktemp("third") / "kt"
    for part, source in (("image_2", "left"), ("image_3", "right")):
        (out / "training" / part).mkdir(parents=True)
        for i in range(16):
            shutil.copy(quick_loop.media() / source / f"{i:04d}.png", out / f"training/{part}/{i:06d}.png")
    (out / "drives.txt").write_text("".join(f"{i:06d} drive{i // 4}\n" for i in range(16)))
    return out


def test_a_rig_folder_does_not_replace_the_rig(dataset_name: str, kitti: Path, tmp_path: Path) -> None:
    """`init --rig` of another rig over a loop that is split: one line, exit 1, and everything is as it was; more frames of the
    same folder still come."""
    changes = {"splits": {"by": "scene"}}
    loop, _ = Loop.init_kitti(dataset_name, kitti, changes=changes, home=tmp_path / "home")
    loop.split()
    make_world(tmp_path / "rig", rig="images", scenes=2, seed=1, scale=0.1)
    before = durable.everything(Loop.open(dataset_name))
    code, out, err = run_cli("init", dataset_name, "--rig", str(tmp_path / "rig"))
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert "channels" in err
    assert "cannot change once the dataset is split" in err
    assert durable.differences(before, durable.everything(Loop.open(dataset_name))) == []
    assert Loop.init_kitti(dataset_name, kitti)[1].added == 0


def test_both_spellings_of_a_kitti_folder(dataset_name: str, kitti: Path, tmp_path: Path) -> None:
    """`DIR` and `DIR/training`, from inside too, are one folder: the same scenes with the same drives, and the same loop."""
    whole, _ = Loop.init_kitti(dataset_name, kitti, home=tmp_path / "one")
    other = f"{dataset_name}-part"
    part, result = Loop.init_kitti(other, kitti / "training", home=tmp_path / "two")
    assert result.added == 16
    assert set(part.workspace.scenes.table.sequence.tolist()) == {f"drive{i}" for i in range(4)}
    assert durable.differences(durable.samples(whole), durable.samples(part)) == []
    init = [loop.workspace.journal.loop().steps.init for loop in (whole, part)]
    assert init[0] is not None
    assert init[0].kitti == init[1].kitti == str(kitti.resolve())  # type: ignore[union-attr]
    assert Loop.init_kitti(dataset_name, kitti / "training")[1].added == 0
    remove(other)
