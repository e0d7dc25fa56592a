"""`init` again: frames that came since are taken in by their drive; what a killed import left is completed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import durable
import quick_loop
from support import remove, samples_of
from swath.errors import ConfigError
from swath.loop import Loop
from swath.records.manifest import Question
from swath.steps import init as module
from swath.store.scenes import load_dataset

pytestmark = pytest.mark.database


@pytest.fixture(scope="module", autouse=True)
def _database(mongod: str) -> None: ...


def add(loop: Loop, drives: dict[int, str]) -> None:
    """Adds scenes by hand, as a user does between two rounds: number -> drive ("" for none)."""
    made = quick_loop.dataset("t-more", quick_loop.SCENES + len(drives))
    docs = list(samples_of(made).find({"filepath": {"$regex": r"/00(6\d|7[01])\."}}))
    for doc in docs:
        doc["sequence"] = drives[int(Path(doc["filepath"]).stem)] or None
    assert len(docs) == 3 * len(drives)
    samples_of(loop.name).insert_many(docs)
    remove("t-more")


def question_of(loop: Loop, name: str) -> Question:
    batches = loop.workspace.journal.batches
    question = batches.manifest(batches.get(name)).question
    assert question is not None
    return question


def test_new_frames_go_by_their_drive(dataset_name: str) -> None:
    """Frames of val drives join val, of pool and golden drives the pool, of test drives nothing; others join the pool."""
    loop = quick_loop.at("ready", dataset_name)
    before = loop.workspace.membership()
    drive = dict(
        zip(
            loop.workspace.scenes.table.keys.tolist(),
            loop.workspace.scenes.table.sequence.tolist(),
            strict=True,
        )
    )
    of = {
        split: drive[next(key for key in sorted(before) if before[key] == split)]
        for split in ("test", "val", "golden", "pool")
    }
    add(
        loop,
        {60: of["test"], 61: of["test"], 62: of["val"], 63: of["golden"], 64: of["pool"], 65: "new", 66: ""},
    )
    frozen = loop.workspace.journal.loop().membership
    assert frozen is not None

    loop, result = Loop.init_fiftyone(dataset_name)
    assert (result.added, result.scenes, result.set_aside) == (7, 67, 2)
    after = loop.workspace.membership()
    assert {key: after[key] for key in before} == before
    assert {key: after[key] for key in sorted(set(after) - set(before))} == {
        "0060": "", "0061": "", "0062": "val", "0063": "pool", "0064": "pool", "0065": "pool", "0066": "pool",
    }  # fmt: skip
    grown = loop.workspace.journal.loop().membership
    assert grown is not None
    assert grown.test_sha256 == frozen.test_sha256
    assert grown.sha256 != frozen.sha256
    assert loop.repair(check=True).differences == ()
    assert loop.status().set_aside == 2
    for stored in quick_loop.tags(loop, "0060").values():
        assert stored == []
    for stored in quick_loop.tags(loop, "0062").values():
        assert stored == ["split:val"]
    assert loop.plan().step == "embed"

    # Only what is new is computed, and what was set aside is used by no step.
    embedded = loop.embed()
    assert embedded.scenes == 52 + 5
    loop.select()
    asked = {row.key for row in loop.workspace.journal.assignments.find()}
    assert not {"0060", "0061"} & asked
    candidates = set(question_of(loop, "v0").candidates)
    assert not {"0060", "0061"} & candidates
    assert {"0063", "0064", "0065", "0066"} <= candidates

    again, result = Loop.init_fiftyone(dataset_name)
    assert (result.added, result.set_aside) == (0, 0)
    assert again.workspace.membership() == after


def test_embed_computes_only_what_is_new(dataset_name: str) -> None:
    """With an encoder of media: the second time as many vectors are computed as there are new scenes; none again."""
    quick_loop.dataset(dataset_name, 40)
    settings = {**quick_loop.SETTINGS, "embed": {"encoder": "descriptor:image"}}
    loop, _ = Loop.init_fiftyone(dataset_name, changes=settings, home=quick_loop.homes() / dataset_name)
    loop.split()
    first = loop.embed()
    assert first.computed == first.scenes == 40 - len(loop.workspace.members("test"))
    assert first.scenes < 40
    assert loop.embed().computed == 0
    more = quick_loop.dataset("t-more", 44)
    docs = list(samples_of(more).find({"filepath": {"$regex": r"/004[0-3]\."}}))
    samples_of(dataset_name).insert_many(docs)
    remove("t-more")
    loop, result = Loop.init_fiftyone(dataset_name)
    assert result.added == 4
    assert loop.embed().computed == 4


def test_settings_of_a_split_dataset_stay(dataset_name: str) -> None:
    """`init` again with other classes once labels are there, or other shares once the dataset is split: refused, and nothing
    changes."""
    loop = quick_loop.at("ready", dataset_name)
    before = durable.everything(loop)
    for changes, since in (
        ({"classes": ["car"]}, "labels have come"),
        ({"splits": {"test": 0.3}}, "the dataset is split"),
    ):
        with pytest.raises(ConfigError, match=f"cannot change once {since}"):
            Loop.init_fiftyone(dataset_name, changes=changes)
    assert durable.differences(before, durable.everything(Loop.open(dataset_name))) == []


# ---------------------------------------------------------------------- killed half-way


CALIBRATION = """\
P0: 80 0 48 0 0 80 24 0 0 0 1 0
P1: 80 0 48 -40 0 80 24 0 0 0 1 0
P2: 80 0 48 0 0 80 24 0 0 0 1 0
P3: 80 0 48 -40 0 80 24 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A KITTI folder of twelve frames in four drives."""
    out = tmp_path_factory.mktemp("twelve")
    for name in ("image_2", "image_3", "velodyne", "calib", "label_2"):
        (out / "training" / name).mkdir(parents=True)
    for i in range(12):
        key = f"{i:06d}"
        for name, source in (("image_2", "left"), ("image_3", "right")):
            shutil.copy(quick_loop.media() / source / f"{i:04d}.png", out / f"training/{name}/{key}.png")
        points = np.random.default_rng(i).uniform(2, 20, (50, 4)).astype("<f4")
        (out / f"training/velodyne/{key}.bin").write_bytes(points.tobytes())
        (out / f"training/calib/{key}.txt").write_text(CALIBRATION)
        (out / f"training/label_2/{key}.txt").write_text(
            f"Car 0 0 0 {10 + i} 10 {40 + i} 30 1.5 1.6 4 0 1.7 15 0\n"
        )
    (out / "drives.txt").write_text("".join(f"{i:06d} drive{i // 3}\n" for i in range(12)))
    return out


def begin(name: str, folder: Path) -> Loop:
    loop, result = Loop.init_kitti(name, folder, home=quick_loop.homes() / name)
    assert result.damages == ()
    return loop


def groups(loop: Loop) -> dict[str, str]:
    table = loop.workspace.scenes.table
    return dict(zip(table.keys.tolist(), table.ids.tolist(), strict=True))


def test_an_import_that_lost_slices_is_completed(folder: Path, dataset_name: str) -> None:
    """Samples that never came are added to the groups they belong to; the dataset equals an unbroken import."""
    loop = begin(dataset_name, folder)
    whole, ids = durable.samples(loop), groups(loop)
    lost = [("000001", "right"), ("000004", "left"), ("000004", "pcd"), ("000009", "pcd")]
    for key, slice_name in lost:
        assert samples_of(loop).delete_one({"scene_key": key, "group.name": slice_name}).deleted_count == 1
    again, result = Loop.init_kitti(dataset_name, folder)
    assert result.added == 0
    assert result.slices == {"left": 12, "right": 12, "pcd": 12}
    assert groups(again) == ids
    assert durable.differences(whole, durable.samples(again)) == []


def test_calibrations_and_labels_that_came_later(folder: Path, dataset_name: str) -> None:
    """A repaired calibration is taken in by the next init, with the cuboids that it places; what is gone from the folder stays, and
    is said."""
    mine = quick_loop.homes() / f"{dataset_name}-folder"
    shutil.copytree(folder, mine)
    one, other = (mine / f"training/calib/00000{i}.txt" for i in (3, 4))
    whole = one.read_text()
    one.write_text(whole.replace("R0_rect", "R0"))
    loop, first = Loop.init_kitti(dataset_name, mine, home=quick_loop.homes() / dataset_name)
    assert any("1 of 12 scenes with a cloud have no calibration" in note for note in first.notes)
    assert Loop.init_kitti(dataset_name, mine)[1].notes == first.notes
    one.write_text(whole)
    other.unlink()
    (mine / "training/label_2/000005.txt").unlink()
    loop, result = Loop.init_kitti(dataset_name, mine)
    assert result.notes == (
        "calibrations of 1 scenes had changed or are new, and were read again, with their cuboids: 000003",
        "label files of 1 scenes are gone; the labels that came with them stay (an empty file says that there is nothing): 000005",
        "calibrations of 1 scenes are gone or cannot be read any more; those that came stay: 000004",
    )
    assert loop.workspace.scenes.calibrations(["000003", "000004"]).keys() == {"000003", "000004"}
    placed, kept = (
        loop.workspace.scenes.values("pcd", [key], ["ground_truth"])[0] for key in ("000003", "000005")
    )
    assert len(placed["ground_truth"]["detections"]) == len(kept["ground_truth"]["detections"]) == 1
    other.write_text(CALIBRATION)
    shutil.copy(folder / "training/label_2/000005.txt", mine / "training/label_2/000005.txt")
    again, result = Loop.init_kitti(dataset_name, mine)
    assert result.notes == ()
    whole_one = begin(f"{dataset_name}-whole", folder)
    assert durable.differences(durable.samples(whole_one), durable.samples(again)) == []
    remove(f"{dataset_name}-whole")


def test_an_import_that_was_killed_goes_on(
    folder: Path, dataset_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two inserts: the frames that are there keep their groups, the rest comes, all get their place."""
    whole = durable.samples(begin(f"{dataset_name}-whole", folder))
    remove(f"{dataset_name}-whole")
    monkeypatch.setattr(module, "CHUNK", 5)
    calls: list[int] = []
    real = module._sample

    def dying(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 20:  # in the second of three inserts
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "_sample", dying)
    with pytest.raises(KeyboardInterrupt):
        begin(dataset_name, folder)
    assert len(load_dataset(dataset_name)) == 5
    there = {doc["scene_key"]: str(doc["group"]["_id"]) for doc in samples_of(dataset_name).find()}
    loop, result = Loop.init_kitti(dataset_name, folder, home=quick_loop.homes() / dataset_name)
    assert (result.added, result.scenes) == (7, 12)
    assert {key: groups(loop)[key] for key in there} == there
    assert durable.differences(whole, durable.samples(loop)) == []


def test_frames_that_came_before_a_kill_are_placed(
    folder: Path, dataset_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the split, killed when the new frames were in but had no split yet: the next `init` gives them one."""
    few = quick_loop.homes() / "few"
    shutil.copytree(folder, few)
    for file in few.glob("training/*/*"):
        if int(file.stem) >= 10:
            file.unlink()
    loop, _ = Loop.init_kitti(
        dataset_name, few, home=quick_loop.homes() / dataset_name, changes={"splits": {"by": "scene"}}
    )
    loop.split()

    def killed(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_place_new", killed)
        with pytest.raises(KeyboardInterrupt):
            Loop.init_kitti(dataset_name, folder)
    assert Loop.open(dataset_name).repair(check=True).strangers == ("000010", "000011")
    loop, _ = Loop.init_kitti(dataset_name, folder)
    assert len(loop.workspace.membership()) == 12
    assert loop.repair(check=True).strangers == ()
