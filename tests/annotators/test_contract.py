"""What every annotator keeps, whoever labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from app_desk import Person, remove_work_sets
from works import CALIBRATION, LEFT, PCD, SIZE, STORED, by_channel, make_media, tree, work_of

from swath.annotators.app import App
from swath.annotators.base import STATES, Annotator, Answer, Task, Work
from swath.annotators.files import Files
from swath.annotators.simulated import ErrorRates, Known, Simulated
from swath.formats.kitti_records import KittiObject, from_cuboid, write_objects
from swath.labels.shapes import Boxes, Cuboids
from swath.labels.stored import object_id

# Truth of each scene, as KITTI objects: two, none, one bad beside a good one, one outside the class map.
CAR = (np.array([12.0, 2, -0.9, 3.9, 1.6, 1.5, 0, 0, 0.3]), (200.0, 80, 290, 130), "Car")
WALKER = (np.array([15.0, -4, -0.8, 0.8, 0.6, 1.8, 0, 0, 1.2]), (390.0, 70, 412, 121), "Pedestrian")
OFF = (np.array([20.0, 1, -0.9, 3.9, 1.6, 1.5, 0, 0, 0.1]), (900.0, 80, 950, 130), "Car")
TRAM = (np.array([30.0, 8, 0, 15.0, 2.5, 3.5, 0, 0, 0.0]), (100.0, 40, 190, 110), "Tram")
SCENES = {"t1": [CAR, WALKER], "t2": [], "t3": [CAR, OFF], "t4": [CAR, TRAM]}


@dataclass
class Subject:
    """An annotator, and how its people come to label scenes of a batch that was sent."""

    annotator: Annotator
    label: Callable[[Work, Collection[str]], None]
    folder: Path
    media: Path

    def work(self, *tasks: str) -> Work:
        names = tasks or tuple(SCENES)
        made = []
        for name in names:
            media = make_media(self.media, name, {"left": ".png", "pcd": ".pcd"})
            made.append(Task(name, media, {"left": SIZE}, (LEFT, PCD), STORED))
        return replace(work_of(), tasks=tuple(made))

    def answers(self, work: Work) -> dict[tuple[str, str], Answer]:
        """Sent, labelled and fetched."""
        receipt = self.annotator.send(work)
        self.label(work, SCENES)
        return by_channel(self.annotator.fetch(work, receipt))


def simulated(tmp_path: Path) -> Subject:
    def truth(task: str) -> Known:
        objects = SCENES[task]
        names = tuple(name for _, _, name in objects)
        boxes = np.array([box for _, box, _ in objects], float).reshape(-1, 4)
        cuboids = np.array([cuboid for cuboid, _, _ in objects]).reshape(-1, 9)
        return Known(task, {"left": Boxes(boxes, names), "pcd": Cuboids(cuboids, names)})

    # Drawn exactly, so that the bad box of t3 stays as bad as it is.
    annotator = Simulated(truth, ErrorRates(0, 0, 0, 0, 0, 0, 0, 0), seed=3)
    return Subject(annotator, lambda work, tasks: None, tmp_path / "out", tmp_path / "media")


def files(tmp_path: Path) -> Subject:
    def label(work: Work, tasks: Collection[str]) -> None:
        for task in tasks:
            kitti = []
            for cuboid, box, name in SCENES[task]:
                size, place, turn = from_cuboid(cuboid, CALIBRATION)
                kitti.append(KittiObject(name, 0, 0, 0, box, size, place, turn))
            write_objects(tmp_path / "out" / work.batch / "label_2" / f"{task}.txt", kitti)

    return Subject(Files(tmp_path / "out"), label, tmp_path / "out", tmp_path / "media")


def app(tmp_path: Path) -> Subject:
    annotator = App("t-contract", tmp_path / "out")

    def label(work: Work, tasks: Collection[str]) -> None:
        person = Person(annotator, work.batch)
        for task in sorted(set(tasks) & {one.task for one in work.tasks}):
            for channel in ("left", "pcd"):
                person.deletes_all(task, channel)
            for place, (cuboid, (x1, y1, x2, y2), name) in enumerate(SCENES[task]):
                box = [x1 / SIZE[0], y1 / SIZE[1], (x2 - x1) / SIZE[0], (y2 - y1) / SIZE[1]]
                at, size, turn = (cuboid[i : i + 3].tolist() for i in (0, 3, 6))
                person.draws(
                    task, "left", {"_id": object_id(task, "left", place), "label": name, "bounding_box": box}
                )
                person.draws(
                    task,
                    "pcd",
                    {
                        "_id": object_id(task, "pcd", place),
                        "label": name,
                        "bounding_box": [],
                        "location": at,
                        "dimensions": size,
                        "rotation": turn,
                    },
                )
            if not SCENES[task]:
                person.marks(task, "empty")

    return Subject(annotator, label, tmp_path / "out", tmp_path / "media")


@pytest.fixture(params=[simulated, files, pytest.param(app, marks=pytest.mark.database)])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    make: Callable[[Path], Subject] = request.param
    if make is not app:
        yield make(tmp_path)
        return
    request.getfixturevalue("mongod")
    remove_work_sets("t-contract")
    yield make(tmp_path)
    remove_work_sets("t-contract")


def test_is_an_annotator(subject: Subject) -> None:
    """Every annotator has the protocol's names, and at least one opinion to give."""
    assert isinstance(subject.annotator, Annotator)
    assert subject.annotator.opinions >= 1
    assert subject.annotator.name


def test_one_answer_per_task_and_channel_at_most(subject: Subject) -> None:
    """What comes back is of tasks and channels that were sent, once each; scenes that were labelled are answered."""
    work = subject.work("t3", "t1", "t2")
    receipt = subject.annotator.send(work)
    subject.label(work, ("t3", "t1", "t2"))
    answers = subject.annotator.fetch(work, receipt).answers
    got = [(one.task, one.channel) for one in answers]
    assert sorted(got) == sorted(
        (task, channel) for task in ("t1", "t2", "t3") for channel in ("left", "pcd")
    )


def test_only_the_channels_asked_for(subject: Subject) -> None:
    """A task that asks for one channel gets no answer in another."""
    for channel in (LEFT, PCD):
        work = subject.work()
        work = replace(work, tasks=tuple(replace(task, channels=(channel,)) for task in work.tasks))
        assert {of for _, of in subject.answers(work)} == {channel.name}


def test_no_tasks(subject: Subject) -> None:
    """Work without tasks is sent and fetched without an answer."""
    work = replace(work_of(), tasks=())
    assert subject.annotator.fetch(work, subject.annotator.send(work)).answers == ()


def test_states_are_not_confused(subject: Subject) -> None:
    """Labels go with `labeled`, an empty scene is `reviewed_empty`, and labels of the channel's own kind are there where
    somebody looked, and only there."""
    answers = subject.answers(subject.work())
    assert answers["t1", "left"].state == "labeled"
    assert answers["t2", "left"].state == "reviewed_empty"
    assert answers["t2", "pcd"].state == "reviewed_empty"
    for (_, channel), answer in answers.items():
        assert answer.state in STATES
        if answer.state in ("labeled", "reviewed_empty"):
            assert isinstance(answer.labels, Boxes if channel == "left" else Cuboids)
            assert (len(answer.labels) > 0) == (answer.state == "labeled")
        else:
            assert answer.labels is None


def test_labels_are_those_that_were_drawn(subject: Subject) -> None:
    """Boxes and cuboids of the first scene come back as they were put in, to what a label file keeps."""
    answers = subject.answers(subject.work())
    boxes, cuboids = answers["t1", "left"].labels, answers["t1", "pcd"].labels
    assert boxes is not None
    assert cuboids is not None
    assert boxes.classes == cuboids.classes == ("Car", "Pedestrian")
    np.testing.assert_allclose(boxes.shapes, [CAR[1], WALKER[1]], atol=1e-5)
    np.testing.assert_allclose(cuboids.shapes, [CAR[0], WALKER[0]], atol=1e-5)


def test_fetching_twice_is_equal(subject: Subject) -> None:
    """Fetching again, and sending again before, gives equal answers and notes."""
    work = subject.work()
    receipt = subject.annotator.send(work)
    subject.label(work, SCENES)
    first = subject.annotator.fetch(work, receipt)
    assert subject.annotator.fetch(work, receipt) == first
    assert subject.annotator.fetch(work, subject.annotator.send(work)) == first


def test_sending_twice_changes_nothing(subject: Subject) -> None:
    """The same work gives the same receipt, and leaves what was written as it is: bytes, modes, times; labels too."""
    work = subject.work()
    receipt = subject.annotator.send(work)
    before = tree(subject.folder) if subject.folder.exists() else {}
    assert subject.annotator.send(work) == receipt
    assert (tree(subject.folder) if subject.folder.exists() else {}) == before
    subject.label(work, ("t1", "t2"))
    before = tree(subject.folder) if subject.folder.exists() else {}
    assert subject.annotator.send(work) == receipt
    assert (tree(subject.folder) if subject.folder.exists() else {}) == before


def test_receipts_are_plain(subject: Subject) -> None:
    """A receipt is what JSON can hold, and fetching works with the one that comes back from JSON."""
    work = subject.work()
    receipt = subject.annotator.send(work)
    subject.label(work, SCENES)
    back = json.loads(json.dumps(receipt))
    assert back == receipt
    assert subject.annotator.fetch(work, back) == subject.annotator.fetch(work, receipt)


def test_partial_answers(subject: Subject) -> None:
    """Where only some scenes were labelled these have their labels, and the others are not looked at, or not answered; what
    comes later joins them, and changes none."""
    work = subject.work()
    receipt = subject.annotator.send(work)
    subject.label(work, ("t1",))
    first = by_channel(subject.annotator.fetch(work, receipt))
    assert first["t1", "left"].state == "labeled"
    subject.label(work, ("t2", "t4"))
    later = by_channel(subject.annotator.fetch(work, receipt))
    assert later["t1", "left"] == first["t1", "left"]
    assert later["t4", "left"].state == "labeled"
    if isinstance(subject.annotator, Files | App):
        assert {first[task, "left"].state for task in ("t2", "t3", "t4")} == {"unreviewed"}
        assert later["t3", "left"].state == "unreviewed"


def test_order_of_tasks_changes_nothing(subject: Subject) -> None:
    """The same scenes in another order get the same answers."""
    there = subject.answers(subject.work())
    assert subject.answers(subject.work(*reversed(SCENES))) == there


def test_bad_label_is_quarantined(subject: Subject) -> None:
    """A box off the image is rejected with a place and a reason, and the good box of the scene is kept."""
    answer = subject.answers(subject.work())["t3", "left"]
    assert answer.labels is not None
    assert answer.labels.classes == ("Car",)
    assert len(answer.rejected) == 1
    assert "off the" in answer.rejected[0].reason
    assert answer.rejected[0].where


def test_answers_name_the_annotator(subject: Subject) -> None:
    """Each answer says whose it is."""
    assert {one.annotator for one in subject.answers(subject.work()).values()} == {subject.annotator.name}


def test_several_slots(tmp_path: Path) -> None:
    """The simulated annotator gives as many opinions of a scene as it says, each with errors of its own."""
    subject = simulated(tmp_path)
    scenes = {f"{task}-{slot}": task for task in SCENES for slot in range(subject.annotator.opinions)}
    inner = subject.annotator._truth  # type: ignore[attr-defined]
    annotator = Simulated(lambda task: inner(scenes[task]), ErrorRates(jitter_2d=0.1), seed=3)
    base = subject.work()
    tasks = tuple(
        replace(task, task=f"{task.task}-{slot}", slot=slot)
        for task in base.tasks
        for slot in range(annotator.opinions)
    )
    answers = by_channel(annotator.fetch(replace(base, tasks=tasks), {}))
    assert len(answers) == 2 * len(tasks)
    drawn = [answers[f"t1-{slot}", channel].labels for slot in range(3) for channel in ("left", "pcd")]
    assert not any(a == b for i, a in enumerate(drawn) for b in drawn[:i])
