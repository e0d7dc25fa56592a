"""What every annotator keeps, whoever labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from swath.annotators.base import STATES, Annotator, Answer, Boxes, Cuboids, Task, Work
from swath.annotators.files import Files
from swath.annotators.simulated import ErrorRates, Simulated
from swath.formats.kitti import Calibration, KittiObject, from_cuboid, write_objects

WIDTH, HEIGHT = 620, 188
CLASSES = ("Car", "Pedestrian", "Cyclist")
CALIBRATION = Calibration(
    p2=np.array([[360, 0, 310, 0], [0, 360, 94, 0], [0, 0, 1, 0]], float),
    p3=np.array([[360, 0, 310, -190], [0, 360, 94, 0], [0, 0, 1, 0]], float),
    r0=np.eye(3),
    velo_to_cam=np.array([[0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27]], float),
)

# Truth of each scene, as KITTI objects: two, none, one bad beside a good one, one outside the class map.
CAR = (np.array([12.0, 2, -0.9, 3.9, 1.6, 1.5, 0, 0, 0.3]), (200.0, 80, 290, 130), "Car")
WALKER = (np.array([15.0, -4, -0.8, 0.8, 0.6, 1.8, 0, 0, 1.2]), (390.0, 70, 412, 121), "Pedestrian")
OFF = (np.array([20.0, 1, -0.9, 3.9, 1.6, 1.5, 0, 0, 0.1]), (900.0, 80, 950, 130), "Car")
TRAM = (np.array([30.0, 8, 0, 15.0, 2.5, 3.5, 0, 0, 0.0]), (100.0, 40, 190, 110), "Tram")
SCENES = {"000001": [CAR, WALKER], "000002": [], "000003": [CAR, OFF], "000004": [CAR, TRAM]}


def make_work(keys: tuple[str, ...] = tuple(SCENES), round: str = "v0") -> Work:
    tasks = tuple(
        Task(f"t{key}", key, MappingProxyType({"left": f"{key}.png"}), WIDTH, HEIGHT, CALIBRATION)
        for key in keys
    )
    return Work(round, round, CLASSES, tasks)


def simulated(tmp_path: Path) -> Annotator:
    def truth(task: Task) -> tuple[Boxes, Cuboids]:
        objects = SCENES[task.key]
        names = tuple(name for _, _, name in objects)
        cuboids = np.array([cuboid for cuboid, _, _ in objects]).reshape(-1, 9)
        return Boxes(np.array([box for _, box, _ in objects]).reshape(-1, 4), names), Cuboids(cuboids, names)

    # Drawn exactly, so that the bad box of scene 3 stays as bad as it is.
    return Simulated(truth, ErrorRates(0, 0, 0, 0, 0, 0, 0, 0), seed=3)


def files(tmp_path: Path) -> Annotator:
    (tmp_path / "label_2").mkdir(parents=True)
    for key, objects in SCENES.items():
        kitti = []
        for cuboid, box, name in objects:
            size, place, turn = from_cuboid(cuboid, CALIBRATION)
            kitti.append(KittiObject(name, 0, 0, 0, box, size, place, turn))
        write_objects(tmp_path / "label_2" / f"{key}.txt", kitti)
    return Files(tmp_path)


@pytest.fixture(params=[simulated, files])
def annotator(request: pytest.FixtureRequest, tmp_path: Path) -> Annotator:
    make: Callable[[Path], Annotator] = request.param
    return make(tmp_path)


def by_task(answers: object) -> dict[tuple[str, str], Answer]:
    return {(a.task, a.modality): a for a in answers}  # type: ignore[attr-defined]


def test_is_an_annotator(annotator: Annotator) -> None:
    """Every annotator has the protocol's names, and at least one opinion to give."""
    assert isinstance(annotator, Annotator)
    assert annotator.opinions >= 1
    assert annotator.name


def test_one_answer_per_task_and_modality(annotator: Annotator) -> None:
    """The ids that come back are the ids that were sent, once per modality, in the order of the work."""
    work = make_work(("000003", "000001", "000002"))
    annotator.send(work)
    answers = list(annotator.fetch(work))
    assert [(a.task, a.modality) for a in answers] == [
        (task.task, kind) for task in work.tasks for kind in ("2d", "3d")
    ]


def test_only_the_modalities_asked_for(annotator: Annotator) -> None:
    """A task that asks for 2D gets no 3D answer."""
    work = make_work()
    work = replace(work, tasks=tuple(replace(task, modalities=("2d",)) for task in work.tasks))
    annotator.send(work)
    assert {a.modality for a in annotator.fetch(work)} == {"2d"}


def test_no_tasks(annotator: Annotator) -> None:
    """Work without tasks is sent and fetched without an answer."""
    work = make_work(())
    annotator.send(work)
    assert list(annotator.fetch(work)) == []


def test_states_are_not_confused(annotator: Annotator) -> None:
    """Labels go with `labeled`, an empty scene is `reviewed_empty`, and labels are there only where they
    should be."""
    annotator.send(make_work())
    answers = by_task(annotator.fetch(make_work()))
    assert answers["t000001", "2d"].state == "labeled"
    assert answers["t000002", "2d"].state == "reviewed_empty"
    assert answers["t000002", "3d"].state == "reviewed_empty"
    for (_, kind), answer in answers.items():
        assert answer.state in STATES
        looked = answer.state in ("labeled", "reviewed_empty")
        mine, other = (answer.boxes, answer.cuboids) if kind == "2d" else (answer.cuboids, answer.boxes)
        assert other is None
        assert (mine is not None) == looked
        if mine is not None:
            assert (len(mine) > 0) == (answer.state == "labeled")


def test_labels_are_those_that_were_drawn(annotator: Annotator) -> None:
    """2D boxes and cuboids of the first scene come back as they were put in, to what a label file keeps."""
    annotator.send(make_work())
    answers = by_task(annotator.fetch(make_work()))
    boxes, cuboids = answers["t000001", "2d"].boxes, answers["t000001", "3d"].cuboids
    assert boxes is not None
    assert cuboids is not None
    assert boxes.classes == cuboids.classes == ("Car", "Pedestrian")
    np.testing.assert_allclose(boxes.boxes, [CAR[1], WALKER[1]], atol=1e-5)
    np.testing.assert_allclose(cuboids.cuboids, [CAR[0], WALKER[0]], atol=1e-5)


def test_fetching_twice_is_equal(annotator: Annotator) -> None:
    """Fetching again, and sending again before, gives equal answers."""
    annotator.send(make_work())
    first = list(annotator.fetch(make_work()))
    annotator.send(make_work())
    assert list(annotator.fetch(make_work())) == first


def test_order_of_tasks_changes_nothing(annotator: Annotator) -> None:
    """The same scenes in another order get the same answers."""
    annotator.send(make_work())
    there = by_task(annotator.fetch(make_work()))
    back = by_task(annotator.fetch(make_work(tuple(reversed(SCENES)))))
    assert there == back


def test_bad_label_is_quarantined(annotator: Annotator) -> None:
    """A box off the image is rejected with a place and a reason, and the good box of the scene is kept."""
    annotator.send(make_work())
    answer = by_task(annotator.fetch(make_work()))["t000003", "2d"]
    assert answer.state == "labeled"
    assert answer.boxes is not None
    assert len(answer.boxes) == 1
    (bad,) = answer.rejected
    assert "off the 620 x 188 image" in bad.reason
    assert "000003" in bad.where


def test_answers_name_the_annotator(annotator: Annotator) -> None:
    """Each answer says whose it is."""
    annotator.send(make_work())
    assert {a.annotator for a in annotator.fetch(make_work())} == {annotator.name}
