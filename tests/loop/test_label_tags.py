"""Tags that people give to single labels are theirs: fetching keeps them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "annotators"))

from app_desk import BOX, CUBOID, Person, remove_work_sets

import quick_loop
from support import samples_of
from swath.annotators.app import App
from swath.loop import Loop
from swath.steps.annotate import task_id

pytestmark = pytest.mark.database


@pytest.fixture
def loop(dataset_name: str, mongod: str) -> Iterator[Loop]:
    quick_loop.at("ready", dataset_name)
    loop = Loop.open(dataset_name)
    loop.select(budget=4)
    yield loop
    remove_work_sets(dataset_name)


def labels_of(loop: Loop, key: str) -> list[dict[str, Any]]:
    (doc,) = loop.workspace.scenes.values("left", [key], ["human_detections"])
    return list(doc["human_detections"]["detections"])


def tag(loop: Loop, key: str, *tags: str) -> None:
    """Tags the first label of a scene in the loop's dataset, as the App does."""
    where = {"scene_key": key, "group.name": "left"}
    change = {"$push": {"human_detections.detections.0.tags": {"$each": list(tags)}}}
    assert samples_of(loop).update_one(where, change).modified_count == 1


def test_labels_come_with_their_tags_and_keep_those_they_got(loop: Loop) -> None:
    """From the work set come tags of people, not those that swath reads or writes there; tags given in the loop's dataset stay when
    the label is fetched again, renamed meanwhile; what a check wrote goes with the labels that it saw."""
    loop = Loop.open(loop.name, changes={"annotate": {"annotator": "app", "people": ["anna"]}})
    loop.send()
    person = Person(App(loop.name, loop.workspace.home))
    rows = loop.workspace.journal.assignments.find(round="v0", role="pool")
    key, secret = rows[0].key, loop.workspace.journal.loop().secret
    task = task_id(secret, "v0", key, 0)
    person.draws(task, "left", {**BOX, "label": "car", "tags": ["unsure", "suggestion", "Done"]})
    person.draws(task, "pcd", {**CUBOID, "label": "car", "tags": ["parked"]})
    loop.fetch()
    assert [one["tags"] for one in labels_of(loop, key)] == [["unsure"]]
    tag(loop, key, "mine", "check:duplicate")
    person.renames(task, "left", "sign")
    loop.fetch()
    assert [(one["label"], one["tags"]) for one in labels_of(loop, key)] == [("sign", ["unsure", "mine"])]
    loop.fetch()
    assert [one["tags"] for one in labels_of(loop, key)] == [["unsure", "mine"]]
    assert loop.repair(check=True).edited == ()


def test_labels_without_ids_keep_their_tags_where_they_are_the_same(loop: Loop) -> None:
    """Labels from files are known by their place in them: a label that is as it was keeps its tag; another one in its place does not
    get it."""
    loop.annotator = quick_loop.Picky()
    loop.send()
    loop.fetch()
    rows = loop.workspace.journal.assignments.find(round="v0", role="pool")
    key = next(row.key for row in rows if row.channel == "left" and (row.count or 0) > 1)
    tag(loop, key, "mine")
    loop.fetch()
    assert [one["tags"] for one in labels_of(loop, key)][:2] == [["mine"], []]
    first = labels_of(loop, key)[0]
    where = {"scene_key": key, "group.name": "left"}
    samples_of(loop).update_one(where, {"$set": {"human_detections.detections.0.label": "other"}})
    loop.fetch(edits="theirs")
    after = labels_of(loop, key)[0]
    assert (after["_id"], after["label"], after["tags"]) == (first["_id"], first["label"], [])
