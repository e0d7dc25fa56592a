"""People label in FiftyOne's App: real App, real database, a browser that draws; and `fetch` brings what they drew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "annotators"))

import drawing
from app_desk import BOX, CUBOID, Person, remove_work_sets
from app_driver import App

import quick_loop
import small_scenes
from swath import opening
from swath.annotators import marks
from swath.annotators.app import App as InTheApp
from swath.loop import Loop
from swath.steps.annotate import task_id

pytestmark = pytest.mark.database
SIZE = (small_scenes.WIDTH, small_scenes.HEIGHT)


class Labelling:
    """A loop with v0 in the App."""

    def __init__(self, name: str) -> None:
        quick_loop.at("ready", name)
        changes = {"annotate": {"annotator": "app", "people": ["anna"]}}
        self.loop = Loop.open(name, changes=changes)
        self.loop.select(budget=4)
        self.loop.send()
        self.person = Person(InTheApp(name, self.loop.workspace.home))
        secret = self.loop.workspace.journal.loop().secret
        rows = self.loop.workspace.journal.assignments.find(round="v0", role="pool")
        self.keys = sorted({row.key for row in rows})
        self.task = {key: task_id(secret, "v0", key, 0) for key in self.keys}
        self.group = {scene.task: scene.group_id for scene in marks.scenes(self.person.dataset)}

    @property
    def work_set(self) -> str:
        return self.person.name

    def scene(self, key: str) -> str:
        """Its group in the work set."""
        return self.group[self.task[key]]

    def drawn(self, key: str, channel: str) -> list[dict[str, Any]]:
        """What is stored in the work set."""
        return self.person.labels(self.task[key], channel)

    def came(self, key: str, channel: str, field: str) -> list[dict[str, Any]]:
        """What is stored in the loop's own dataset."""
        (doc,) = self.loop.workspace.scenes.values(channel, [key], [field])
        return list((doc.get(field) or {}).get("detections") or [])

    def marks(self, key: str) -> set[str]:
        """The marks of its scene, as they are stored."""
        there = {scene.task: scene for scene in marks.scenes(self.person.dataset)}
        return set(there[self.task[key]].marks)

    def state(self, key: str) -> dict[str, str]:
        rows = self.loop.workspace.journal.assignments.find(round="v0", keys=[key])
        return {row.channel: row.state for row in rows}


@pytest.fixture
def labelling(browser: Any, dataset_name: str) -> Iterator[Labelling]:
    yield Labelling(dataset_name)
    remove_work_sets(dataset_name)


def test_a_box(labelling: Labelling, app: App) -> None:
    """A box that is dragged on the camera of the scene that opens, and named, is stored as it was drawn, and arrives with its id,
    its class and the name of who labels."""
    key = labelling.keys[0]
    place = opening.place_of(labelling.work_set)
    assert place.query.startswith("slice=left&groupId=")
    drawing.annotate(app, labelling.work_set, labelling.scene(key), "left")
    drawing.draw_box(app, SIZE, (20, 10, 50, 40), "person")
    app.until(
        lambda: [one["label"] for one in labelling.drawn(key, "left")] == ["person"], "no box is stored"
    )
    app.shot("labelling-box")
    labelling.loop.fetch()
    (drawn,), (came,) = labelling.drawn(key, "left"), labelling.came(key, "left", "human_detections")
    assert drawn["bounding_box"] == pytest.approx([20 / 96, 10 / 48, 30 / 96, 30 / 48], abs=2e-3)
    assert came["bounding_box"] == pytest.approx(drawn["bounding_box"])
    assert (came["_id"], came["label"], came["annotator"]) == (drawn["_id"], "person", "anna")
    assert labelling.state(key) == {"left": "labeled", "pcd": "unreviewed"}


@pytest.mark.slow
def test_a_cuboid(labelling: Labelling, app: App) -> None:
    """A cuboid that is placed in the cloud lands in the one field there is, and arrives as it was typed; with a box in the camera
    the scene is answered, and another waits next."""
    key = labelling.keys[0]
    labelling.person.draws(labelling.task[key], "left", {**BOX, "label": "car"})
    drawing.annotate(app, labelling.work_set, labelling.scene(key), "pcd")
    drawing.place_cuboid(app, (12.5, 2.0, -0.9, 4.2, 1.7, 1.5), "sign")
    wanted = {"location": [12.5, 2.0, -0.9], "dimensions": [4.2, 1.7, 1.5]}

    def stored() -> bool:
        found = labelling.drawn(key, "pcd")
        return [{name: one[name] for name in wanted} for one in found] == [wanted]

    app.until(stored, "the cuboid is not stored as it was typed")
    app.shot("labelling-cuboid")
    labelling.loop.fetch()
    (drawn,), (came,) = labelling.drawn(key, "pcd"), labelling.came(key, "pcd", "human_cuboids")
    assert {name: came[name] for name in wanted} == wanted
    assert (came["_id"], came["label"]) == (drawn["_id"], "sign")
    assert labelling.state(key) == {"left": "labeled", "pcd": "labeled"}
    assert labelling.scene(key) not in marks.waiting(labelling.person.dataset)


@pytest.mark.slow
def test_empty_and_skipped(labelling: Labelling, app: App) -> None:
    """Tags that are given in the grid and in an open scene say that nothing is there, and that a scene is left out."""
    empty, skipped = labelling.keys[:2]
    place = sorted(labelling.group).index(labelling.task[empty])
    drawing.tag_in_grid(app, labelling.work_set, place, 3 * len(labelling.group), "empty")
    tagged = labelling.marks
    app.until(lambda: tagged(empty) == {"empty"}, "the scene is not tagged")
    drawing.tag_in_scene(app, labelling.work_set, labelling.scene(skipped), "left", "skip")
    app.until(lambda: tagged(skipped) == {"skip"}, "the scene is not tagged")
    app.shot("labelling-tags")
    labelling.loop.fetch()
    assert set(labelling.state(empty).values()) == {"reviewed_empty"}
    assert set(labelling.state(skipped).values()) == {"skipped"}


@pytest.mark.slow
def test_a_label_that_is_deleted(labelling: Labelling, app: App) -> None:
    """A box that came and is deleted in the App is gone after the next fetch, and its neighbour keeps its id."""
    key = labelling.keys[0]
    task = labelling.task[key]
    labelling.person.draws(task, "left", {**BOX, "label": "car"}, {**BOX, "label": "sign"})
    labelling.person.draws(task, "pcd", {**CUBOID, "label": "car"})
    labelling.loop.fetch()
    kept = labelling.drawn(key, "left")[1]["_id"]
    drawing.annotate(app, labelling.work_set, labelling.scene(key), "left")
    drawing.delete_label(app, "car")
    app.until(lambda: len(labelling.drawn(key, "left")) == 1, "the box is still stored")
    labelling.loop.fetch()
    assert [one["_id"] for one in labelling.came(key, "left", "human_detections")] == [kept]


@pytest.mark.slow
def test_a_page_that_is_lost(labelling: Labelling, app: App) -> None:
    """What was drawn before the page was closed is there; the App opens again at the same scene, on the slice that lacks labels."""
    key = min(labelling.keys, key=lambda one: labelling.task[one])
    for task in labelling.group:
        if task < labelling.task[key]:
            labelling.person.marks(task, "done")
    drawing.annotate(app, labelling.work_set, labelling.scene(key), "left")
    drawing.draw_box(app, SIZE, (20, 10, 50, 40), "sign")
    app.until(lambda: [one["label"] for one in labelling.drawn(key, "left")] == ["sign"], "no box is stored")
    app.page.goto("about:blank")
    place = opening.place_of(labelling.work_set)
    assert place.query.startswith(f"slice=pcd&groupId={labelling.scene(key)}&id=")
    app.open(labelling.work_set, place.query)
    app.wait_for("annotate")
    app.shot("labelling-again")
