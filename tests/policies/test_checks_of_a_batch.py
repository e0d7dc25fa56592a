"""What all labels of a batch have in common is said once; what is wrong with single labels is said of them, in every image."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels"))

from scenery import FOCAL, GROUND, HEIGHT, WIDTH, cuboids, from_cloud

from swath.kernels.sight import projected
from swath.labels.calibration import Camera
from swath.labels.channels import Channel
from swath.labels.shapes import Boxes, Cuboids
from swath.policies import checks
from swath.records.batch import Finding

CLASSES = ("Car", "Van", "Pedestrian")
LEFT = Channel("left", "image", True, True, "P2", *"abcd")
RIGHT = Channel("right", "image", True, True, "P3", *"abcd")
PCD = Channel("pcd", "cloud", True, True, "pcd", *"abcd")


def a_camera(yaw: float = 0.0, right: float = 0.0) -> Camera:
    """Turned to the left by `yaw` degrees, `right` metres beside the LiDAR."""
    a = np.radians(yaw)
    turn = np.array([[np.cos(a), 0, np.sin(a), 0], [0, 1, 0, 0], [-np.sin(a), 0, np.cos(a), 0], [0, 0, 0, 1]])
    aside = np.eye(4)
    aside[0, 3] = -right
    lens = np.array([[FOCAL, 0, WIDTH / 2, 0], [0, FOCAL, HEIGHT / 2, 0], [0, 0, 1, 0]])
    return Camera(lens, turn @ aside @ from_cloud())


def a_scene(number: int, told: float = 0.0) -> checks.Scene:
    """Labels as they are; the left camera's calibration is `told` degrees off."""
    table, names = cuboids(number)
    left, right = a_camera(), a_camera(right=0.5)
    drawn = {
        channel: Boxes(projected(table, one.project)[0], tuple(names))
        for channel, one in ((LEFT, left), (RIGHT, right))
    }
    sizes = {"left": (WIDTH, HEIGHT), "right": (WIDTH, HEIGHT)}
    labels = {**drawn, PCD: Cuboids(table, tuple(names))}
    cameras = {"left": a_camera(yaw=told), "right": right}
    return checks.Scene(f"{number:04}", labels, sizes, cameras, lambda _: None)  # type: ignore[arg-type]


def found(scenes: list[checks.Scene]) -> list[Finding]:
    batch = checks.together(scenes)
    usual = checks.usual_sizes((scene.key, one) for scene in scenes for one in scene.labels.values())
    return [
        *batch.findings,
        *(one for scene in scenes for one in checks.of_scene(scene, CLASSES, usual, batch)),
    ]


def test_nothing_wrong() -> None:
    """Exact labels of twenty scenes in two images give no finding, nor does a batch of none."""
    assert found([a_scene(number) for number in range(20)]) == []
    assert found([]) == []


@pytest.mark.parametrize("degrees", [1.0, 5.0])
def test_a_wrong_calibration_is_one_finding(degrees: float) -> None:
    """A left camera that is off in every scene: one error, of no scene, of the left channel, with how far; and nothing else."""
    (one,) = found([a_scene(number, told=degrees) for number in range(20)])
    assert (one.rule, one.severity, one.scene, one.channel, one.object) == (
        "calibration",
        "error",
        "",
        "left",
        None,
    )
    assert "for 60 objects of 20 scenes" in one.evidence
    assert "px left" in one.evidence  # where it looks left, all is expected further right


def test_what_is_wrong_besides_is_still_found() -> None:
    """With the calibration off by 5 degrees, a box that was left out and another class are still named, and only they."""
    scenes = [a_scene(number, told=5.0) for number in range(20)]
    left = scenes[3].labels[LEFT]
    scenes[3] = replace(scenes[3], labels={**scenes[3].labels, LEFT: left.take([1, 2])})
    other = tuple("Van" if name != "Van" else "Car" for name in scenes[7].labels[LEFT].classes)
    wrong = replace(scenes[7].labels[LEFT], classes=(other[0], *scenes[7].labels[LEFT].classes[1:]))
    scenes[7] = replace(scenes[7], labels={**scenes[7].labels, LEFT: wrong})
    said = {(one.scene, one.rule, one.channel, one.object) for one in found(scenes)}
    assert said == {
        ("", "calibration", "left", None),
        ("0003", "missing_2d", "pcd", 0),
        ("0007", "class_mismatch", "left", 0),
    }


def test_one_calibration_of_several() -> None:
    """Ten of forty scenes have a calibration that is off: it is named by its scenes; the others are not accused."""
    scenes = [a_scene(number, told=2.0 if number < 10 else 0.0) for number in range(40)]
    (one,) = found(scenes)
    assert one.rule == "calibration"
    assert "of 10 scenes" in one.evidence
    assert "0000" in one.evidence


def test_every_image_is_compared() -> None:
    """A box that is missing in the right image alone is named there, by the right image."""
    scenes = [a_scene(number) for number in range(5)]
    right = scenes[2].labels[RIGHT]
    scenes[2] = replace(scenes[2], labels={**scenes[2].labels, RIGHT: right.take([0, 1])})
    (one,) = found(scenes)
    assert (one.scene, one.rule, one.channel, one.object) == ("0002", "missing_2d", "pcd", 2)
    assert "in the right image" in one.evidence


def test_a_wrong_frame_is_one_finding() -> None:
    """A scene whose cuboids are in the camera's frame: one error that says so, instead of all others; the other scenes are right."""
    scenes = [a_scene(number) for number in range(5)]
    solid = scenes[1].labels[PCD]
    mixed = solid.shapes.copy()
    mixed[:, :3] = np.c_[-mixed[:, 1], -mixed[:, 2], mixed[:, 0]]
    scenes[1] = replace(scenes[1], labels={**scenes[1].labels, PCD: Cuboids(mixed, solid.classes)})
    (one,) = found(scenes)
    assert (one.scene, one.rule, one.severity, one.object) == ("0001", "wrong_frame", "error", None)
    assert "0 of 3 cuboids are where a box is; moved, 3 are" in one.evidence


def test_a_missing_cuboid_needs_witnesses() -> None:
    """A box without a cuboid is a warning; an error where points stand where its object must be."""
    scene = a_scene(4)
    solid = scene.labels[PCD]
    gone = replace(scene, labels={**scene.labels, PCD: solid.take([0, 2])})
    x, y = solid.shapes[1, :2]
    around = np.random.default_rng(0).normal(size=(40, 3)) * [0.2, 0.2, 0.2] + [x, y, GROUND + 0.8]
    for points, severity in ((None, "warning"), (around, "error"), (around * [2.2, 2.2, 1], "warning")):
        said = found([replace(gone, points=lambda _, points=points: points)])
        about = [(one.rule, one.severity, one.channel, one.object) for one in said]
        assert about == [("missing_3d", severity, name, 1) for name in ("left", "right")]
