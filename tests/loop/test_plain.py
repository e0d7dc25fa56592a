"""Datasets that other people built: plain images with classes of their own; groups that lack slices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import durable
import small_scenes
from run_cli import run_cli
from support import QUICK, remove
from swath.loop import Loop

pytestmark = pytest.mark.database

CLASSES = ("crate", "person, seated", "fork lift")
SETTINGS: dict[str, Any] = {
    "classes": list(CLASSES),
    "train": {**QUICK["train"], "width": 96, "steps": 10},
    "select": {**QUICK["select"], "first_min": 10, "min": 6},
    "annotate": {"annotator": "simulated"},
}
SCENES = 60


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    small_scenes.make_media(folder, SCENES, CLASSES)
    return folder


@pytest.fixture(scope="module")
def plain(mongod: str, media: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """One round on an ungrouped dataset, step by step."""
    remove("t-plain")
    small_scenes.make_dataset("t-plain", media, SCENES, CLASSES, grouped=False)
    loop, result = Loop.init_fiftyone("t-plain", changes=SETTINGS, home=tmp_path_factory.mktemp("plain"))
    assert result.scenes == result.added == SCENES
    assert result.damages == ()
    result = loop.run(1)
    assert result.waits is None
    loop.select()
    yield loop
    remove("t-plain")


LACKING = ((3, "left"), (7, "pcd"), (11, "right"), (12, "right"), (12, "pcd"), (20, "pcd"))


@pytest.fixture(scope="module")
def lacking(mongod: str, media: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """One round on groups of which some lack a slice."""
    remove("t-lacking")
    small_scenes.make_dataset("t-lacking", media, SCENES, CLASSES, without=LACKING)
    loop, _ = Loop.init_fiftyone("t-lacking", changes=SETTINGS, home=tmp_path_factory.mktemp("lacking"))
    assert loop.run(1).waits is None
    loop.select()
    yield loop
    remove("t-lacking")


def test_a_plain_dataset_goes_round_in_2d(plain: Loop) -> None:
    """Splits, vectors, reference, batch, labels, checks, verdict, model, figures, decision: in 2D, with its own classes."""
    status = plain.status()
    assert dict(status.slices) == {"image": SCENES}
    assert dict(status.splits) == {"test": 9, "val": 9, "golden": 3, "pool": 39}
    v0, v1 = status.rounds
    assert (v0.state, v0.annotated, v0.decision) == ("closed", 10, "continue")
    assert v1.batch.as_json() == {"budget": 6, "size": 6, "coverage": 2, "targeted": 4}
    steps = plain.workspace.journal.batches.get("v0").steps
    assert steps.golden
    assert set(steps.golden.axes) == {f"2d {axis}" for axis in ("miss", "extra", "swap", "shift")}
    assert steps.fetch
    assert set(steps.fetch.labels) == {"2d"}
    assert steps.train
    (model,) = steps.train.models
    assert (model.modality, model.classes) == ("2d", CLASSES)
    assert set(model.objects) <= set(CLASSES)
    assert {row.channel for row in plain.workspace.journal.assignments.find()} == {"image"}


def test_views_and_tags_of_a_plain_dataset(plain: Loop) -> None:
    """Plain FiftyOne finds the guide's names: a view and a tag count the same samples."""
    import fiftyone as fo

    dataset = fo.load_dataset("t-plain")
    assert dataset.media_type == "image"
    for view, tag, size in (
        ("test_set", "split:test", 9),
        ("val_set", "split:val", 9),
        ("golden_qa", "split:golden", 3),
        ("pool", "split:pool", 39),
        ("batch_v0", "batch:v0", 10),
        ("batch_v1", "batch:v1", 6),
    ):
        shown = dataset.load_saved_view(view)
        assert len(shown) == size
        assert sorted(shown.values("id")) == sorted(dataset.match_tags(tag).values("id"))
    assert len(dataset.match_tags("to_annotate")) == 6
    assert len(dataset.match_tags(["annotated_2d:v0", "annotated:v0"], all=True)) == 10
    assert len(dataset.load_saved_view("eval_v0_failures")) == len(dataset.match_tags("failure:v0")) > 0
    assert dataset.list_evaluations() == ["eval_v0"]
    assert dataset.info["annotation_schema_2d"] == {"classes": list(CLASSES)}
    assert "annotation_schema_3d" not in dataset.info
    assert "human_cuboids" not in dataset.get_field_schema()
    counts = dataset.count_values("annotation_status")
    assert counts == {"annotated": 10 + 12, "selected": 6, "unlabeled": SCENES - 28}


def test_classes_on_the_command_line(mongod: str, media: Path, dataset_name: str, tmp_path: Path) -> None:
    """`init --fiftyone --classes` sets the class map; labels of other classes are not labelled as something else."""
    small_scenes.make_dataset(dataset_name, media, 40, CLASSES, grouped=False)
    arguments = ("--fiftyone", dataset_name, "--classes", "fork lift, crate", "--home", str(tmp_path))
    code, _, errors = run_cli("init", dataset_name, *arguments)
    assert (code, errors) == (0, "")
    loop = Loop.open(dataset_name)
    assert loop.workspace.config.classes == ("fork lift", "crate")
    loop.split()
    result = loop.reference("ground_truth")
    assert {one.scene for one in result.rejected}
    assert all("person" in one.reason for one in result.rejected)
    for doc in durable.samples(loop).values():
        for one in (doc.get("human_detections") or {}).get("detections", ()):
            assert one["label"] in ("fork lift", "crate")


def test_scenes_that_lack_slices_stay_scenes(lacking: Loop) -> None:
    """Counts are by scene and by slice; a scene without a cloud is labelled in 2D alone; one without `left` is named."""
    status = lacking.status()
    assert status.scenes == SCENES
    assert dict(status.slices) == {"left": SCENES - 1, "right": SCENES - 2, "pcd": SCENES - 3}
    assert sum(status.splits.values()) == SCENES
    assert status.rounds[0].state == "closed"
    assert status.rounds[0].annotated == status.rounds[0].batch.size == 10
    asked: dict[str, set[str]] = {}
    for row in lacking.workspace.journal.assignments.find():
        asked.setdefault(row.key, set()).add({"left": "2d", "pcd": "3d"}[row.channel])
    no_cloud = {f"{number:04d}" for number, name in LACKING if name == "pcd"}
    for key, modalities in asked.items():
        assert modalities == ({"2d"} if key in no_cloud else {"3d"} if key == "0003" else {"2d", "3d"})
    assert no_cloud & set(asked)
    if lacking.workspace.membership()["0003"] != "test":
        assert "left" in dict(lacking.embed().problems)["0003"]


def test_tags_of_scenes_that_lack_slices(lacking: Loop) -> None:
    """Every slice that a scene has carries its tags; a view holds all its scenes, and shows those with the active slice."""
    import fiftyone as fo

    by_scene: dict[str, list[list[str]]] = {}
    for (key, _), doc in durable.samples(lacking).items():
        by_scene.setdefault(key, []).append(sorted(doc["tags"]))
    assert sum(map(len, by_scene.values())) == 3 * SCENES - len(LACKING)
    for tags in by_scene.values():
        assert all(one == tags[0] for one in tags)
        assert any(tag.startswith("split:") for tag in tags[0])
    members = lacking.workspace.membership()
    dataset = fo.load_dataset("t-lacking")
    for view, split in {"test_set": "test", "val_set": "val", "golden_qa": "golden", "pool": "pool"}.items():
        expected = {key for key, one in members.items() if one == split}
        assert lacking.workspace.scenes.view_members(view) == sorted(expected)
        for name in ("left", "right", "pcd"):
            dataset.group_slice = name
            without = {f"{number:04d}" for number, slice_name in LACKING if slice_name == name}
            shown = dataset.load_saved_view(view)
            assert len(shown) == len(expected - without)  # FiftyOne counts groups by their active slice
            assert set(shown.select_group_slices([name]).values("scene_key")) == expected - without
