"""What an evaluation says where the reference carries KITTI's flags, and its scenes a condition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import durable
import quick_loop
from support import remove
from swath import aspects, evaluations
from swath.kernels.detection import Predictions
from swath.kernels.detection3d import Predictions3D
from swath.loop import Loop

pytestmark = pytest.mark.database
NAME = "t-graded"
FLAGS = {"occluded": (0, 1, 2, 3), "truncated": (0.0, 0.2, 0.4, 0.9)}


@pytest.fixture(scope="module")
def loop(mongod: str) -> Loop:
    """A loop of KITTI's classes, before its first batch. Its truth says of every label how far it is hidden and cut, in turn; even
    scenes are in the rain, and the first left image has an area to leave alone."""
    import fiftyone as fo

    remove(NAME)
    dataset = quick_loop.dataset(NAME)
    names = dict(zip(quick_loop.CLASSES, ("Car", "Pedestrian", "Van"), strict=True))
    for number, sample in enumerate(dataset.select_group_slices(_allow_mixed=True).sort_by("filepath")):
        if sample["ground_truth"] is not None:
            for nth, one in enumerate(sample["ground_truth"].detections):
                one.label = names[one.label]
                for name, values in FLAGS.items():
                    one[name] = values[(number + nth) % 4]
        sample["weather"] = fo.Classification(
            label="rain" if int(sample.filepath[-8:-4]) % 2 == 0 else "clear"
        )
        if sample.group.name == "left":
            sample["dont_care"] = fo.Detections(
                detections=[fo.Detection(label="DontCare", bounding_box=[0, 0, 0.5, 1])]
            )
        sample.save()
    changes = {**quick_loop.SETTINGS, "classes": ["Car", "Pedestrian", "Van"]}
    made, _ = Loop.init_fiftyone(NAME, changes=changes, home=quick_loop.homes() / NAME)
    made.split()
    made.reference("ground_truth")
    return made


def asked(loop: Loop, modality: Any) -> list[evaluations.Truth]:
    return evaluations.truths(loop.workspace, loop.workspace.members("val"), modality)


def perfect(truths: list[evaluations.Truth]) -> list[Any]:
    shape: Any = Predictions if truths[0].channel.modality == "2d" else Predictions3D
    return [
        shape(one.labels.shapes[one.rows], np.linspace(0.9, 0.5, len(one.rows)), one.positions)
        for one in truths
    ]


def test_flags_come_along_where_a_reference_is_taken_over(loop: Loop) -> None:
    """Every label of the reference says what the truth says, in images and in clouds."""
    for modality in ("2d", "3d"):
        told = [one for truth in asked(loop, modality) for one in truth.documents]
        assert told
        for name, values in FLAGS.items():
            assert {one[name] for one in told} == set(values)


def test_objects_count_by_difficulty(loop: Loop) -> None:
    """As many as the flags and heights allow, counted by hand; the harder, the more. Images of 48 rows: 40 px of 375 are 5.1."""
    truths = asked(loop, "2d")
    found = perfect(truths)
    rows = aspects.by_kitti(
        loop.workspace, truths, found, [evaluations.overlap(*one) for one in zip(found, truths, strict=True)]
    )
    limits = {"easy": (0, 0.15), "moderate": (1, 0.30), "hard": (2, 0.50)}
    wanted = {}
    for difficulty, (hidden, cut) in limits.items():
        for name in ("Car", "Pedestrian"):
            wanted[name, difficulty] = sum(
                doc["label"] == name and doc["occluded"] <= hidden and doc["truncated"] <= cut
                for truth in truths
                for doc in truth.documents
            )
    assert {(one.name, one.difficulty): one.objects for one in rows} == {
        of: n for of, n in wanted.items() if n
    }
    assert {one.by for one in rows} == {"2d"}
    assert all(0 <= one.ap <= 1 for one in rows)


def test_false_alarms_in_areas_to_leave_alone(loop: Loop) -> None:
    """A false alarm surer than all else, in the left half of each image: with its DontCare area it costs nothing, without much."""
    truths = asked(loop, "2d")
    alarm = np.array([[1.0, 1, 40, 47]])
    found = [
        Predictions(np.vstack([alarm, one.boxes]), np.append(0.99, one.scores), np.append(0, one.labels))
        for one in perfect(truths)
    ]
    shared = [np.vstack([np.zeros((1, len(one.rows))), np.eye(len(one.rows))]) for one in truths]
    bare = [
        evaluations.Truth(
            one.key, one.channel, one.size, one.labels, one.rows, one.positions, np.zeros((0, 4))
        )
        for one in truths
    ]
    with_, without = (
        {(one.name, one.difficulty): one.ap for one in aspects.by_kitti(loop.workspace, of, found, shared)}
        for of in (truths, bare)
    )
    assert with_["Car", "hard"] > without["Car", "hard"]
    assert with_["Pedestrian", "hard"] == without["Pedestrian", "hard"]


def test_clouds_have_both_overlaps(loop: Loop) -> None:
    """By footprints and by volumes; cuboids a metre too high have the same footprints and other volumes. Without a calibration
    nobody knows heights: all count."""
    truths = asked(loop, "3d")
    found = [Predictions3D(one.cuboids + np.eye(9)[2], one.scores, one.labels) for one in perfect(truths)]
    rows = aspects.by_kitti(
        loop.workspace, truths, found, [evaluations.overlap(*one) for one in zip(found, truths, strict=True)]
    )
    hard = {one.by: one for one in rows if (one.name, one.difficulty) == ("Pedestrian", "hard")}
    assert hard["bev"].objects == hard["3d"].objects > 1
    assert hard["bev"].ap > hard["3d"].ap == 0


def test_a_reference_without_flags_has_none_of_it(loop: Loop) -> None:
    """What labels do not say is not asked of them."""
    truths = asked(loop, "2d")
    for truth in truths:
        for one in truth.labels.documents:
            for name in FLAGS:
                one.pop(name)  # type: ignore[attr-defined]
    assert aspects.by_kitti(loop.workspace, truths, perfect(truths), []) == ()


def test_the_record_has_it_all(loop: Loop, dataset_name: str) -> None:
    """After a round: KITTI's figures, and strata by weather and occlusion whose objects add up to those of the classes."""
    durable.fork(NAME, dataset_name, quick_loop.homes() / dataset_name)
    done = Loop.open(dataset_name, changes={"train": {"trainer_3d": "pillars", "pillars": {"steps": 2}}})
    done.run(1)
    record = done.workspace.journal.batches.get("v0").steps.evaluate
    assert record is not None
    for modality, figures in record.figures.items():
        assert {one.by for one in figures.kitti} == ({"2d"} if modality == "2d" else {"bev", "3d"})
        total = sum(one.references for one in figures.classes.values())
        by = {one.by for one in figures.strata}
        assert by == {
            "class",
            "occlusion",
            "weather",
            *({"size"} if modality == "2d" else {"distance", "points"}),
        }
        for name in by - {"occlusion"}:
            assert sum(one.objects for one in figures.strata if one.by == name) == total
        assert {one.name for one in figures.strata if one.by == "weather"} == {"rain", "clear"}
    assert record.as_json()["kitti"]


def test_modes_have_places_of_their_own_and_replay(loop: Loop, dataset_name: str) -> None:
    """A second batch that gives half of its places for failures to modes: as its manifest says; chosen again it is the same."""
    durable.fork(NAME, dataset_name, quick_loop.homes() / dataset_name)
    changes = {"train": {"center": {"steps": 40}}, "select": {"modes": {"share": 0.5}, "budget": 12}}
    done = Loop.open(dataset_name, changes=changes)
    done.run(1)
    journal = done.workspace.journal.batches
    record = journal.get("v0").steps.evaluate
    assert record is not None
    if (
        not record.main.modes
    ):  # the model missed everything: which of it is worse than the rest, nobody can say
        pytest.skip("no mode in this machine's model")
    done.select()
    manifest = journal.manifest(journal.get("v1"))
    assert [one.name for one in manifest.modes] == [one.name for one in record.main.modes]
    assert (
        sum(one.filled for one in manifest.modes) == sum(one.mode is not None for one in manifest.scenes) > 0
    )
    scenes = {mode.name: set(mode.scenes) for mode in record.main.modes}
    assert all(one.failure in scenes[one.mode] for one in manifest.scenes if one.mode is not None)
    assert done.replay("v1").equal
