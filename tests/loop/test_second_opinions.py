"""Scenes that are labelled twice: who is asked, what becomes of two labellings, and how far they agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quick_loop
from quick_loop import Picky, cuboids
from support import samples_of
from swath.annotators.base import Answer, Fetched, Task, Work
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.shapes import Boxes, Cuboids, Labels
from swath.loop import Loop

pytestmark = pytest.mark.database

TWICE = {"annotate": {"second": 0.25}}


class One:
    """Labels one object in each channel, `left` pixels from the left, a pixel further in the second slot."""

    def __init__(self, name: str, opinions: int = 1, left: float = 10, cls: str = "car") -> None:
        self.name, self.opinions, self._left, self._cls = name, opinions, left, cls

    def send(self, work: Work) -> dict[str, Any]:
        return {}

    def fetch(self, work: Work, receipt: Any) -> Fetched:
        answers = [self._answer(task, channel) for task in work.tasks for channel in task.channels]
        return Fetched(tuple(answers))

    def _answer(self, task: Task, channel: Channel) -> Answer:
        left = self._left + task.slot
        boxes = np.array([[left, 5, left + 20, 25]], float)
        labels: Labels = Boxes(boxes, (self._cls,))
        if channel.modality == "3d":
            labels = Cuboids(cuboids(boxes), (self._cls,))
        return Answer(task.task, channel.name, "labeled", labels, self.name)


@pytest.fixture
def loop(dataset_name: str) -> Loop:
    """A loop with v0 chosen, a quarter of it to be labelled twice."""
    quick_loop.at("ready", dataset_name)
    loop = Loop.open(dataset_name, changes=TWICE)
    loop.select()
    return loop


def seconds(loop: Loop) -> list[str]:
    """Keys of the scenes of v0 that are labelled twice."""
    return sorted({row.key for row in loop.workspace.journal.assignments.find(round="v0", role="second")})


def sample(loop: Loop, key: str) -> dict[str, Any]:
    """The image of a scene, as it is stored."""
    found: dict[str, Any] = samples_of(loop).find_one({"scene_key": key, "group.name": "left"})
    return found


def human(loop: Loop, key: str) -> list[dict[str, Any]]:
    return list((sample(loop, key).get("human_detections") or {}).get("detections", []))


def test_a_share_of_the_batch_is_labelled_twice(loop: Loop) -> None:
    """A quarter, rounded up, of the pool scenes and of no golden one; the same ones when it is chosen again."""
    batch = loop.workspace.journal.batches.get("v0")
    assert len(seconds(loop)) == -(-batch.size.size // 4)
    assert batch.slots == 2
    manifest = loop.workspace.journal.batches.manifest(batch)
    assert set(manifest.second) == set(seconds(loop)) <= {scene.key for scene in manifest.scenes}
    assert loop.replay("v0").equal


def test_one_annotator_with_two_opinions_answers_both(loop: Loop) -> None:
    """Boxes a pixel apart are one object, at the mean of both; both opinions are kept, with their slots; the round goes on, and
    fetching again changes nothing."""
    loop.annotator = One("anna and ben", opinions=2)
    sent = loop.send()
    fetched = loop.fetch()
    assert (fetched.waiting, fetched.state) == (0, "labeled")
    once = loop.workspace.journal.batches.get("v0").size.size
    golden = {row.key for row in loop.workspace.journal.assignments.find(round="v0", role="golden")}
    assert sent.tasks == once + len(golden) + len(seconds(loop))
    for key in seconds(loop):
        size = loop.workspace.scenes.of([key]).size("left", key)
        labels = stored.read("2d", stored.field_of(human(loop, key)), size)
        np.testing.assert_allclose(labels.shapes, [[10.5, 5, 30.5, 25]])
        kept = sample(loop, key)["opinions_2d"]["detections"]
        assert sorted(one["slot"] for one in kept) == [0, 1]
        assert {one["annotator"] for one in kept} == {"anna and ben"}
    assert loop.repair(check=True).differences == ()

    def labels_of(key: str) -> list[Any]:
        return [sample(loop, key)[field] for field in ("human_detections", "opinions_2d")]

    before = labels_of(seconds(loop)[0])
    again = loop.fetch()
    assert (again.edited, again.state) == ((), "labeled")
    assert labels_of(seconds(loop)[0]) == before


def test_two_annotators_answer_one_after_the_other(loop: Loop) -> None:
    """The first one's labels count until the second's are there; the scene waits for both; then both are merged, whoever came
    first, and the agreement of the round is on record."""
    for name in ("anna", "ben"):
        loop.annotator = One(name)
        loop.send()
    twice = seconds(loop)
    loop.annotator = One("anna")
    assert loop.fetch().waits_for == tuple(twice)
    assert [one["annotator"] for one in human(loop, twice[0])] == ["anna"]
    loop.annotator = One("ben", cls="sign")
    assert loop.fetch().state == "labeled"
    kept = sample(loop, twice[0])["opinions_2d"]["detections"]
    said = [(one["slot"], one["annotator"], one["label"]) for one in kept]
    assert said == [(0, "anna", "car"), (1, "ben", "sign")]
    assert [one["label"] for one in human(loop, twice[0])] == ["car"]  # a tie goes to the first
    found = loop.check().agreement["2d"]
    assert (found.scenes, found.objects, found.ambiguous) == (len(twice),) * 3
    assert found.alpha.value is not None
    assert found.alpha.value < 0
    checked = loop.workspace.journal.batches.get("v0").steps.check
    assert checked is not None
    assert checked.agreement["2d"] == found


@pytest.mark.parametrize(("quorum", "objects"), [(1, 2), (2, 0)])
def test_the_quorum_says_what_counts(dataset_name: str, quorum: int, objects: int) -> None:
    """Two boxes far apart: what either saw, or what both did."""
    quick_loop.at("ready", dataset_name)
    loop = Loop.open(dataset_name, changes={"annotate": {"second": 0.25, "quorum": quorum}})
    loop.select()
    for name, left in (("anna", 0.0), ("ben", 40.0)):
        loop.annotator = One(name, left=left)
        loop.send()
        loop.fetch()
    assert {len(human(loop, key)) for key in seconds(loop)} == {objects}


def test_labels_that_were_made_of_two_and_edited_are_kept(loop: Loop) -> None:
    """Somebody's edit of a merged scene is named and stays; `theirs` takes the annotators' again."""
    loop.annotator = One("both", opinions=2)
    loop.send()
    loop.fetch()
    key = seconds(loop)[0]
    where = {"scene_key": key, "group.name": "left"}
    samples_of(loop).update_one(where, {"$set": {"human_detections.detections.0.label": "person"}})
    assert loop.fetch().edited == (key,)
    assert [one["label"] for one in human(loop, key)] == ["person"]
    loop.fetch(edits="theirs")
    assert [one["label"] for one in human(loop, key)] == ["car"]


def test_a_second_labelling_that_never_comes_holds_nothing_up_for_good(loop: Loop) -> None:
    """Ending the wait keeps the first labels of the scene, gives nothing back to the pool, and the round goes on."""
    loop.annotator = One("anna")
    loop.send()
    loop.annotator = Picky(lambda task, channel: False, name="ben")
    loop.send()
    loop.annotator = One("anna")
    loop.fetch()
    closed = loop.close_round("v0")
    assert (closed.state, closed.returned) == ("labeled", 0)
    states = {row.state for row in loop.workspace.journal.assignments.find(round="v0", role="second")}
    assert states == {"returned"}
    assert loop.status().pool.annotated == loop.workspace.journal.batches.get("v0").size.size
    assert loop.check().agreement == {}


def test_errors_on_scenes_with_several_opinions_are_judged(dataset_name: str) -> None:
    """A reference that careless people labelled three times: how many of the model's errors people disagree about is on record, by class and
    with an interval by drive, and so are the errors of each failure that are no evidence."""
    quick_loop.at("new", dataset_name)
    loop = Loop.open(dataset_name, changes={"annotate": {"miss": 0.4}})
    loop.split()
    loop.embed()
    loop.reference()
    loop.run(1, until="evaluate")
    done = loop.workspace.journal.batches.get("v0").steps.evaluate
    assert done is not None
    assert done.ambiguity is not None
    found = loop.workspace.journal.batches.failures(loop.workspace.journal.batches.get("v0"))
    assert done.ambiguity.errors == sum(one.fn + one.fp for one in found)
    assert done.ambiguity.ambiguous == sum(one.unclear for one in found)
    assert 0 < done.ambiguity.ambiguous < done.ambiguity.errors
    assert done.ambiguity.share.low is not None
    assert "ambiguity" in loop.stop().criteria
