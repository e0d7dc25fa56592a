"""The same loop on a KITTI folder that swath's world had no part in: damaged, with gaps, without drives."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import durable
from foreign_kitti import make_foreign
from run_cli import run_cli
from support import QUICK, remove
from swath.loop import Loop
from swath.steps.annotate import task_id

pytestmark = pytest.mark.database

FRAMES = 60
SETTINGS = {**QUICK, "select": {**QUICK["select"], "first_min": 12, "min": 6}, "splits": {"golden": 0.15}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("foreign")
    return root, make_foreign(root, frames=FRAMES)


@pytest.fixture(scope="module")
def split(
    mongod: str, folder: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, Any], Path]]:
    """Name, `init --json` and folder of a loop that is split, embedded and has its reference."""
    home = tmp_path_factory.mktemp("foreign-home") / "home"
    settings = home.parent / "swath.yaml"
    settings.write_text(json.dumps(SETTINGS))  # JSON is YAML
    arguments = ("t-foreign", "--kitti", str(folder[0]), "--home", str(home), "--config", str(settings))
    code, said, _ = run_cli("init", *arguments, "--json")
    assert code == 0
    loop = Loop.open("t-foreign")
    loop.split()
    loop.embed()
    loop.reference("ground_truth")
    yield "t-foreign", json.loads(said), home
    remove("t-foreign")


@pytest.fixture
def own(split: tuple[str, dict[str, Any], Path], dataset_name: str, tmp_path: Path) -> Loop:
    """A copy of that loop for one test."""
    durable.fork(split[0], dataset_name, tmp_path / "home")
    return Loop.open(dataset_name)


def kind_of(facts: dict[str, Any]) -> dict[str, str]:
    """Kind of damage -> key of its frame."""
    return {damage["kind"]: Path(damage["file"]).stem for damage in facts["damages"]}


# ---------------------------------------------------------------------- taking it in


def test_every_damage_is_listed(
    split: tuple[str, dict[str, Any], Path], folder: tuple[Path, dict[str, Any]]
) -> None:
    """`init --json` exits 0 and lists each planted damage once, with its file, line and a reason; nothing else."""
    _, said, _ = split
    planted = sorted((damage["file"], damage["line"] or 0) for damage in folder[1]["damages"])
    assert sorted((damage["file"], damage["line"] or 0) for damage in said["damages"]) == planted
    assert all(damage["reason"] for damage in said["damages"])
    assert said["scenes"] == said["added"] == FRAMES
    kinds = kind_of(folder[1])
    lost = [kind for kind in kinds if kind in ("missing cloud", "cloud of a wrong size")]
    assert said["slices"] == {"left": FRAMES - 1, "right": FRAMES - 1, "pcd": FRAMES - len(lost)}


def test_nothing_else_is_lost(
    split: tuple[str, dict[str, Any], Path], folder: tuple[Path, dict[str, Any]]
) -> None:
    """Every good object of every frame is in `ground_truth`, in 2D, and in 3D where a calibration places it."""
    facts, kinds = folder[1], kind_of(folder[1])
    flat = solid = 0
    for (key, slice_name), doc in durable.samples(Loop.open(split[0])).items():
        labels = (doc.get("ground_truth") or {}).get("detections")
        if slice_name == "left":
            assert labels is not None
            assert len(labels) == facts["objects"][key], key
            flat += len(labels)
        elif slice_name == "pcd" and key not in (kinds["missing calibration"], kinds["bad calibration row"]):
            assert labels is not None
            assert len(labels) == facts["objects"][key], key
            solid += len(labels)
    assert flat > 150
    assert solid > 150


def test_strict_writes_nothing(
    mongod: str, folder: tuple[Path, dict[str, Any]], dataset_name: str, tmp_path: Path
) -> None:
    """`--strict` exits 1 with one line that counts the damages; no dataset, no folder."""
    import fiftyone as fo

    arguments = ("--kitti", str(folder[0]), "--home", str(tmp_path / "home"), "--strict")
    code, said, errors = run_cli("init", dataset_name, *arguments)
    assert (code, said) == (1, "")
    assert f"{len(folder[1]['damages'])} damages" in errors
    assert "nothing was written" in errors
    assert "Traceback" not in errors
    assert not fo.dataset_exists(dataset_name)
    assert not (tmp_path / "home").exists()


def test_init_twice_changes_nothing(
    split: tuple[str, dict[str, Any], Path], folder: tuple[Path, dict[str, Any]]
) -> None:
    """Again adds no scene, lists the same damages, and leaves samples, journal, views and info as they were."""
    name, said, home = split
    before = durable.everything(Loop.open(name))
    code, again, _ = run_cli("init", name, "--kitti", str(folder[0]), "--home", str(home), "--json")
    assert code == 0
    assert json.loads(again) == said | {"added": 0}
    assert durable.differences(before, durable.everything(Loop.open(name))) == []


def test_splits_say_that_no_drives_are_known(split: tuple[str, dict[str, Any], Path]) -> None:
    """Without `drives.txt` the split is by scene, and says what that risks."""
    result = Loop.open(split[0]).split()
    assert dict(result.splits) == {"test": 9, "val": 9, "golden": 9, "pool": 33}
    assert result.units == FRAMES
    assert any("no drives are known" in note for note in result.notes)
    assert result.closest


# ---------------------------------------------------------------------- the loop


def test_the_loop_closes_v0_in_2d_and_3d(own: Loop, folder: tuple[Path, dict[str, Any]]) -> None:
    """From selection to the decision: labels in both modalities, findings, a verdict with ten axes, a model, figures."""
    loop = Loop.open(own.name, changes={"annotate": {"annotator": "simulated"}})
    result = loop.run(1)
    assert result.waits is None
    (row,) = loop.status().rounds
    assert row.state == "closed"
    chosen = {scene.choice.key for scene in loop.batch("v0").scenes}
    assert row.batch.size == len(chosen) == 12
    assert row.annotated == len(chosen)  # what cannot be labelled in 3D holds up nothing
    steps = loop.workspace.journal.batches.get("v0").steps
    assert steps.golden
    assert len(steps.golden.axes) == 10
    assert len(steps.golden.measures) == 17
    assert all(axis.trials > 0 for axis in steps.golden.axes.values())
    assert steps.fetch
    assert steps.fetch.labels["2d"] > 20
    assert steps.fetch.labels["3d"] > 20
    assert steps.train
    assert steps.train.models[0].images == 12
    assert steps.evaluate
    assert steps.evaluate.scenes >= 8
    assert steps.check
    # A cuboid and its box are of one object: projected with this folder's calibration, nearly all of them meet.
    across = {rule: n for rule, n in steps.check.rules.items() if rule in ("missing_2d", "missing_3d")}
    assert sum(across.values()) < 0.25 * steps.fetch.labels["3d"]


def test_scenes_without_an_image_are_named_and_left_out(
    split: tuple[str, dict[str, Any], Path], folder: tuple[Path, dict[str, Any]]
) -> None:
    """The frame whose left image is cut short has no vector, is listed as such, and is no candidate."""
    loop = Loop.open(split[0])
    bad = kind_of(folder[1])["truncated image"]
    split_of = loop.workspace.membership()[bad]
    problems = dict(loop.embed().problems)
    if split_of != "test":
        assert "left" in problems[bad]
    assert bad not in {choice.key for choice in loop.select(dry_run=True).scenes}


# ---------------------------------------------------------------------- labels from a folder


@pytest.fixture
def labels(own: Loop, folder: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[Loop, Path, list[str]]:
    """v0 is chosen and sent to people who work with files; they label every scene as the folder has it. And its pool keys."""
    place = tmp_path / "labels"
    place.mkdir()
    loop = Loop.open(own.name, changes={"annotate": {"annotator": "files", "folder": str(place)}})
    usable = {key for key, count in folder[1]["objects"].items() if count >= 2}
    usable -= set(kind_of(folder[1]).values())
    others = sorted(set(loop.workspace.members("pool")) - usable)
    loop.select(exclude=others)
    assert not loop.send().sent_before
    keys = [scene.choice.key for scene in loop.batch("v0").scenes]
    for key in [*keys, *loop.workspace.members("golden")]:
        source = folder[0] / "training" / "label_2" / f"{key}.txt"
        (place / "v0" / "label_2" / f"{task_of(loop, key)}.txt").write_bytes(source.read_bytes())
    return loop, place / "v0", sorted(keys)


def task_of(loop: Loop, key: str) -> str:
    """The id under which annotators know a scene of v0."""
    return task_id(loop.workspace.journal.loop().secret, "v0", key, 0)


def test_files_say_what_to_label(labels: tuple[Loop, Path, list[str]]) -> None:
    """The folder that is sent lists every task once, golden ones among them, with the scene's own media and the class map; no
    name in it and no word says which scene a task is, or what it is for."""
    loop, place, keys = labels
    sent = [*keys, *loop.workspace.members("golden")]
    with (place / "tasks.csv").open() as file:
        rows = {row["task"]: row for row in csv.DictReader(file)}
    assert list(rows) == sorted(task_of(loop, key) for key in sent)
    table = loop.workspace.scenes.of(sent)
    for key in sent:
        for name in ("left", "right", "pcd"):
            shown = rows[task_of(loop, key)][f"media/{name}"]
            assert bool(shown) == table.has(name, key)
            if shown:
                assert (place / shown).read_bytes() == Path(table.path(name, key)).read_bytes()
    assert (place / "classes.txt").read_text().split() == list(loop.workspace.config.classes)
    names = [path.relative_to(place).as_posix() for path in place.rglob("*")]
    for told in ("".join(path.read_text() for path in place.glob("*.*")), *names):
        assert not [word for word in ("golden", "split", "pool", "reference", *sent) if word in told]


def test_labels_in_a_folder(
    labels: tuple[Loop, Path, list[str]], folder: tuple[Path, dict[str, Any]]
) -> None:
    """A bad line goes to quarantine with file and line, the rest of its file is kept, and its scene waits until it is taken so; an empty file is an empty scene; a
    skipped scene is none; files of other scenes are counted; 2D and 3D are what the folder says."""
    loop, place, keys = labels
    spoiled, empty, skipped, *rest = keys
    path = place / "label_2" / f"{task_of(loop, spoiled)}.txt"
    good = [line for line in path.read_text().splitlines() if not line.startswith("DontCare")]
    path.write_text("\n".join([good[0], "Car 0.00 0 nonsense", *good[1:]]) + "\n")
    (place / "label_2" / f"{task_of(loop, empty)}.txt").write_text("")
    (place / "label_2" / f"{task_of(loop, skipped)}.txt").unlink()
    with (place / "skipped.txt").open("a") as file:
        file.write(f"{task_of(loop, skipped)}\n")
    (place / "label_2" / "999999.txt").write_text(good[0] + "\n")
    (place / "label_2" / "notes.txt").write_text("remember the milk\n")

    result = loop.fetch()
    assert (result.state, result.waits_for) == ("annotating", (spoiled,))
    result = loop.fetch(accept_partial=True)
    assert (result.state, result.waiting) == ("labeled", 0)
    passed_over = {skipped}
    nothing = {key for key in folder[1]["frames"] if folder[1]["objects"][key] == 0} | {empty}
    rows = loop.workspace.journal.assignments.find(round="v0")
    kinds = kind_of(folder[1])
    unplaced = {
        kinds["missing calibration"],
        kinds["bad calibration row"],
    }  # no cuboid can be placed in these
    unplaced &= {row.key for row in rows}
    for row in rows:
        never = row.key in passed_over or (row.key in unplaced and row.channel == "pcd")
        state = "skipped" if never else "reviewed_empty" if row.key in nothing else "labeled"
        assert row.state == state, row.key
    assert result.states == Counter(row.state for row in rows)
    told = {(one.scene, one.modality): one for one in result.rejected}
    assert set(told) == {(spoiled, "2d"), *((key, "3d") for key in unplaced)}  # a line is told once
    assert len(told) == len(result.rejected)
    assert told[spoiled, "2d"].where.endswith(f"{path.name}:2")
    assert {row.channel for row in rows if row.key == spoiled and row.rejected} == {"left", "pcd"}
    assert all("no calibration" in told[key, "3d"].reason for key in unplaced)
    assert any("2 files" in note and "999999.txt" in note and "notes.txt" in note for note in result.notes)

    stored = durable.samples(loop)
    for slice_name, field in (("left", "human_detections"), ("pcd", "human_cuboids")):
        assert len(stored[spoiled, slice_name][field]["detections"]) == len(good)
        assert stored[empty, slice_name][field]["detections"] == []
        assert stored[skipped, slice_name].get(field) is None
    shape = {"left": "bounding_box", "pcd": "location"}
    for key in rest:
        for slice_name, field in (("left", "human_detections"), ("pcd", "human_cuboids")):
            given = stored[key, slice_name]["ground_truth"]["detections"]
            came = stored[key, slice_name][field]["detections"]
            assert [one["label"] for one in came] == [one["label"] for one in given]
            for one, two in zip(came, given, strict=True):
                assert one[shape[slice_name]] == pytest.approx(two[shape[slice_name]])
    assert stored[skipped, "left"]["annotation_status"] == "unlabeled"
    assert "annotated:v0" not in stored[skipped, "left"]["tags"]
    assert "annotated:v0" in stored[empty, "right"]["tags"]

    before = durable.everything(loop)
    loop.run(1)
    (row,) = loop.status().rounds
    assert (row.state, row.decision) == ("closed", "continue")
    steps = loop.workspace.journal.batches.get("v0").steps
    assert steps.golden
    axes = steps.golden.axes
    errors = {axis: of.errors for axis, of in axes.items()}
    assert errors == dict.fromkeys(axes, 0)  # they are the reference's own lines
    assert all(of.trials > 5 for of in axes.values())
    assert steps.train
    assert steps.train.models[0].images == len(keys) - 1
    assert steps.train.models[0].negatives >= 1
    after = durable.samples(loop)
    for where, doc in before["samples"].items():
        if where[0] in keys:
            assert doc.get("human_detections") == after[where].get("human_detections")
    excluded = dict(loop.select(dry_run=True).excluded)
    assert "skipped" in excluded[skipped]


def test_files_may_come_in_parts(labels: tuple[Loop, Path, list[str]]) -> None:
    """What is there is taken in and the rest is waited for, with exit code 3; another fetch takes in the rest."""
    loop, place, keys = labels
    late = place / "label_2" / f"{task_of(loop, keys[0])}.txt"
    text = late.read_text()
    late.unlink()
    code, said, errors = run_cli("fetch", "--dataset", loop.name, "--json")
    assert code == 3
    assert "Traceback" not in errors
    result = json.loads(said)
    assert (result["state"], result["waiting"]) == ("annotating", 1)
    assert loop.status().next.step == "fetch"
    assert loop.status().pool.selected == 1
    late.write_text(text)
    assert loop.fetch().waiting == 0
    assert loop.status().pool.selected == 0


def test_a_folder_that_is_not_there(labels: tuple[Loop, Path, list[str]]) -> None:
    """Labels are fetched from the folder that was named: when it is gone, one line says which."""
    loop, place, _ = labels
    shutil.rmtree(place.parent)
    code, _, errors = run_cli("fetch", "--dataset", loop.name)
    assert code == 1
    assert str(place.parent) in errors
    assert "Traceback" not in errors
