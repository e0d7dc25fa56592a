"""A loop whose batches are labelled in FiftyOne's App: what is drawn in a work set ends in the loop's own dataset."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "annotators"))

from app_desk import BOX, CUBOID, Person, remove_work_sets

import quick_loop
from swath import opening
from swath.annotators import marks
from swath.annotators.app import App
from swath.errors import ConflictError, StateError
from swath.kernels.detection import Predictions
from swath.loop import Loop
from swath.steps.annotate import task_id
from swath.trainers.center import CenterTrainer

pytestmark = pytest.mark.database
HERE = {**BOX, "label": "car"}
SOLID = {**CUBOID, "label": "car"}


class Batch:
    """A loop with v0 in the App, and somebody who labels it."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        loop.select(budget=4)
        loop.send()
        self.person = Person(App(loop.name, loop.workspace.home))
        secret = loop.workspace.journal.loop().secret
        self.rows = loop.workspace.journal.assignments.find(round="v0", active=True)
        self.task = {row.key: task_id(secret, "v0", row.key, 0) for row in self.rows}
        self.pool = sorted({row.key for row in self.rows if row.role == "pool"})
        self.golden = sorted({row.key for row in self.rows if row.role == "golden"})

    def draws(self, *keys: str) -> None:
        for key in keys:
            self.person.draws(self.task[key], "left", HERE)
            self.person.draws(self.task[key], "pcd", SOLID)

    def labels(self, key: str, field: str, channel: str = "left") -> list[dict[str, Any]]:
        (doc,) = self.loop.workspace.scenes.values(channel, [key], [field])
        return list((doc.get(field) or {}).get("detections") or [])


@pytest.fixture
def batch(dataset_name: str, mongod: str) -> Iterator[Batch]:
    quick_loop.at("ready", dataset_name)
    yield Batch(Loop.open(dataset_name, changes={"annotate": {"annotator": "app", "people": ["anna"]}}))
    remove_work_sets(dataset_name)


def test_labels_arrive(batch: Batch) -> None:
    """Boxes and cuboids of pool scenes end in `human_*`, those of golden scenes in `golden_*`, with the ids that they were drawn
    with and the name of who labels; scenes that are marked are answered, and the others wait. Fetching twice changes nothing."""
    first, second, third, _ = batch.pool
    batch.draws(first, batch.golden[0])
    batch.person.marks(batch.task[second], "empty")
    batch.person.marks(batch.task[third], "skip")
    result = batch.loop.fetch()
    assert result.states == {
        "labeled": 4,
        "reviewed_empty": 2,
        "skipped": 2,
        "unreviewed": 2 * len(batch.task) - 8,
    }
    assert result.waiting == len(batch.task) - 4
    for key, field, channel in (
        (first, "human_detections", "left"),
        (first, "human_cuboids", "pcd"),
        (batch.golden[0], "golden_detections", "left"),
        (batch.golden[0], "golden_cuboids", "pcd"),
    ):
        (drawn,), (came,) = batch.person.labels(batch.task[key], channel), batch.labels(key, field, channel)
        assert came["_id"] == drawn["_id"]
        assert (came["label"], came["annotator"], came["round"]) == ("car", "anna", "v0")
    before = batch.loop.workspace.journal.assignments.find(round="v0")
    assert batch.loop.fetch() == result
    assert batch.loop.workspace.journal.assignments.find(round="v0") == before


def test_drawing_after_fetching(batch: Batch) -> None:
    """Until the model is trained, fetching again takes what was drawn, changed and deleted since: a deleted label is gone, the
    others keep their ids; a slice that was emptied waits for the word that nothing is there, and its labels stay until then."""
    batch.draws(*batch.task)
    batch.person.draws(batch.task[batch.pool[0]], "left", {**HERE, "label": "sign"})
    assert batch.loop.fetch().state == "labeled"
    first, second, third = batch.pool[:3]
    kept = batch.labels(first, "human_detections")[1]["_id"]
    batch.person._update(batch.task[first], "left", {"$pop": {f"{marks.LABELS}.detections": -1}})
    batch.person.renames(batch.task[second], "left", "person")
    batch.person.deletes_all(batch.task[third], "left")
    batch.person.deletes_all(batch.task[third], "pcd")
    result = batch.loop.fetch()
    assert [one["_id"] for one in batch.labels(first, "human_detections")] == [kept]
    assert [one["label"] for one in batch.labels(second, "human_detections")] == ["person"]
    assert len(batch.labels(third, "human_detections")) == 1
    assert any("mark them empty if nothing is there" in note for note in result.notes)
    batch.person.marks(batch.task[third], "empty")
    batch.loop.fetch()
    assert batch.labels(third, "human_detections") == []


def test_a_work_set_goes_when_its_batch_ended(batch: Batch) -> None:
    """A cancelled round's work set is removed when everything in it has arrived."""
    batch.draws(batch.pool[0])
    batch.loop.fetch()
    batch.loop.cancel("v0", "the light was bad")
    assert not App(batch.loop.name, batch.loop.workspace.home).has("v0", 0)
    assert not (batch.loop.workspace.home / "work/v0").exists()
    assert len(batch.labels(batch.pool[0], "human_detections")) == 1


@pytest.mark.parametrize(
    "how", ["new", *(pytest.param(one, marks=pytest.mark.slow) for one in ("changed", "half of one"))]
)
def test_a_work_set_with_labels_that_never_came_is_kept(batch: Batch, how: str) -> None:
    """One with labels that were never fetched stays, and it is said which and why."""
    said: list[str] = []
    batch.loop.workspace.held = said.append
    key = batch.pool[0]
    batch.draws(key)
    batch.loop.fetch()
    if how == "new":
        batch.draws(batch.pool[1])
        key = batch.pool[1]
    elif how == "changed":
        batch.person.renames(batch.task[key], "pcd", "person")
    else:
        key = batch.pool[2]
        batch.person.draws(batch.task[key], "pcd", SOLID)
    batch.loop.cancel("v0", "the light was bad")
    assert App(batch.loop.name, batch.loop.workspace.home).has("v0", 0)
    (line,) = said
    assert f"never came ({batch.task[key]}); nothing was removed" in line
    assert f"`swath app --dataset {batch.person.name}`" in line


@pytest.mark.slow
def test_a_whole_round(batch: Batch) -> None:
    """A round that is labelled in the App is checked, trained, evaluated and closed as any other, and its work set goes."""
    batch.draws(*batch.task)
    for step in ("fetch", "check"):
        batch.loop.step(step)
    batch.loop.golden(override="drawn by a test")
    for step in ("train", "evaluate", "stop"):
        batch.loop.step(step)
    assert not App(batch.loop.name, batch.loop.workspace.home).has("v0", 0)


def test_what_opens(batch: Batch) -> None:
    """`swath app` opens the one work set in which scenes wait, at the next of them, on the first slice that lacks labels; with a
    name what it names; and says what to do when nothing waits, or when it cannot tell."""
    loop, name = batch.loop, batch.person.name
    first = min(batch.task.values())
    place = opening.place_of(name)
    scene = marks.following(batch.person.dataset)
    assert scene is not None
    sample = {one.name: one.sample_id for one in scene.slices}
    where = f"groupId={scene.group_id}&id="
    assert place.url(5151) == f"http://127.0.0.1:5151/datasets/{name}?slice=left&{where}{sample['left']}"
    assert place.lines[0] == f"{name}: {len(batch.task)} of {len(batch.task)} scenes wait; opens at {first}"
    assert f"`swath fetch --dataset {loop.name}`" in place.lines[1]
    assert place.lines[2].startswith("cuboids: click a corner at the front")
    batch.person.draws(first, "left", HERE)
    assert opening.place_of(name).query == f"slice=pcd&{where}{sample['pcd']}"
    assert opening.place_of(loop.name).query == ""
    for task in batch.task.values():
        batch.person.marks(task, "done")
    place = opening.place_of(name)
    assert place.query == ""
    assert "take them in: `swath fetch" in place.lines[0]


def test_which_work_set(mongod: str) -> None:
    """Without a name the only work set is opened, or the only one that waits; of several each is named; there may be none."""
    import fiftyone as fo

    for name in fo.list_datasets():
        if marks.is_work_set(fo.load_dataset(name)):
            fo.delete_dataset(name)
    assert opening.open_work_set() is None
    made = []
    for name in ("t-which-a", "t-which-b"):
        one = fo.Dataset(name, persistent=True, overwrite=True)
        one.info[marks.INFO] = {"loop": "t-which", "batch": "v0"}
        for field in (marks.TASK, marks.DRAW, marks.GIVEN):
            one.add_sample_field(field, fo.StringField)
        one.add_sample(fo.Sample(filepath="/a.png", task="a", draw="boxes"))
        one.save()
        made.append(one)
    try:
        with pytest.raises(StateError, match="2 work sets are there") as caught:
            opening.open_work_set()
        assert caught.value.ways == ("swath app --dataset t-which-a", "swath app --dataset t-which-b")
        assert opening.open_work_set("another loop") is None
        marks.mark(made[0], "a", "done")
        assert opening.open_work_set() == "t-which-b"
        assert opening.place_of("t-which-b").query.startswith("id=")
    finally:
        for one in made:
            one.delete()


def test_ports() -> None:
    """A port that is taken is not shared: a server shows one dataset to all its pages."""
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ConflictError, match=f"port {taken} is taken"):
            opening.free_port(taken)
    assert opening.free_port(taken) == taken
    assert opening.free_port(None) >= opening.FIRST_PORT


def test_prelabels(dataset_name: str, mongod: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the pool scenes get what the last model sees at or above its threshold; golden scenes get nothing; what that gives
    away is said; and nothing of it is a label until somebody says so."""
    quick_loop.at("closed", dataset_name)
    said: list[str] = []
    changes = {"annotate": {"annotator": "app", "prelabel": 0.5}}
    loop = Loop.open(dataset_name, changes=changes, held=said.append)
    journal = loop.workspace.journal
    evaluated = journal.batches.get("v0").steps.evaluate
    assert evaluated is not None
    least = evaluated.main.operating.threshold

    def predict(self: Any, model: Any, media: Any, *, progress: Any = None) -> list[Predictions]:
        """A car that is sure, and one that is not: a model that was trained for three steps sees nothing."""
        boxes, scores = np.array([[8.0, 8, 28, 28], [40, 8, 60, 28]]), np.array([least, least - 0.01])
        return [Predictions(boxes, scores, np.zeros(2, np.int64)) for _ in media]

    monkeypatch.setattr(CenterTrainer, "predict", predict)
    try:
        loop.select(budget=9, anyway=True)
        loop.send()
        loop.send()
        rows = journal.assignments.find(round="v1", active=True)
        key_of = {task_id(journal.loop().secret, "v1", row.key, 0): row for row in rows}
        person = Person(App(loop.name, loop.workspace.home), "v1")
        there = marks.scenes(person.dataset)
        given = [scene for scene in there if any(one.labels for one in scene.slices)]
        assert {key_of[scene.task].role for scene in given} <= {"pool"}
        assert len(given) == 4
        for scene in given:
            (one,) = person.labels(scene.task, "left")
            assert (one["label"], one["tags"]) == ("car", ["suggestion"])
            assert one["bounding_box"] == pytest.approx([8 / 96, 8 / 48, 20 / 96, 20 / 48])
        golden = len({row.key for row in rows if row.role == "golden"})
        assert said == [
            f"suggestions on 4 of 9 pool scenes, on none of {golden} golden ones: of the scenes without, "
            f"{100 * golden / (5 + golden):.1f} % are golden, of all {100 * golden / (9 + golden):.1f} %"
        ]
        assert loop.fetch().states == {"unreviewed": len(rows)}
    finally:
        remove_work_sets(dataset_name)
