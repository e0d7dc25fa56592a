"""Marks in a work set: what the buttons write, and where they lead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import quick_loop
import work_sets
from support import remove
from swath.annotators import marks
from swath.plugin import contents

pytestmark = pytest.mark.database
Press = Callable[..., dict[str, Any]]
LOOP, NAME = "t-marks", "t-marks-work-v0"


@pytest.fixture
def work_set(mongod: str) -> Iterator[Any]:
    """A work set of four scenes, as `marks` describes one."""
    made = work_sets.make(NAME, LOOP)
    yield made
    remove(NAME)


def sample_of(work_set: Any, task: str) -> str:
    """A sample of a scene: what the App names when the scene is open."""
    return next(one.slices[-1].sample_id for one in marks.scenes(work_set) if one.task == task)


def test_marks_lead_on(press: Press, work_set: Any) -> None:
    """Each mark is on its scene, the next scene that waits is opened after it, and the last one says that none waits."""
    tasks = [one.task for one in marks.scenes(work_set)]
    groups = [one.group_id for one in marks.scenes(work_set)]
    names = ("mark_empty", "mark_skip", "mark_done", "mark_done")
    for i, (name, task) in enumerate(zip(names, tasks, strict=True)):
        said = press(name, NAME, current_sample=sample_of(work_set, task))
        assert said["next"] == (groups[i + 1] if i < 3 else None)
    assert [one.said for one in marks.scenes(work_set)] == ["empty", "skip", "done", "done"]
    assert contents.labelling(work_set).done == 4  # type: ignore[union-attr]
    assert press("next_waiting", NAME)["next"] is None
    press("take_mark_away", NAME, current_sample=sample_of(work_set, tasks[1]))
    assert press("next_waiting", NAME, current_sample=sample_of(work_set, tasks[2]))["next"] == groups[1]


def test_several_are_marked_in_the_grid(press: Press, work_set: Any) -> None:
    """Selected scenes are marked together, and nothing is opened."""
    there = marks.scenes(work_set)
    selected = [one.slices[0].sample_id for one in there[:3]]
    assert press("mark_empty", NAME, selected=selected) == {"marked": 3, "as": "empty"}
    assert marks.waiting(work_set) == [there[3].group_id]


def test_wrong_turns_are_lines(press: Press, work_set: Any) -> None:
    """Without a scene, and in a dataset that is no work set, nothing is marked, and it is said what to do."""
    assert "open one, or select some" in press("mark_done", NAME)["error"]
    other = quick_loop.base("closed")
    assert "is no work set" in press("mark_done", other, selected=["0" * 24])["error"]
    assert "no scene" in press("mark_done", NAME, selected=["0" * 24])["error"]


def test_how_far_the_labelling_is(work_set: Any) -> None:
    """Scenes are counted once each: marked, drawn, torn between two marks, waiting; a loop's dataset is no work set."""
    import fiftyone as fo

    there = marks.scenes(work_set)
    marks.mark(work_set, there[0].task, marks.SKIPPED)
    work_set.select_group_slices("left").select([there[1].slices[0].sample_id]).tag_samples(["skip", "done"])
    for part in there[2].asked:
        sample = work_set[part.sample_id]
        sample[marks.LABELS] = fo.Detections(
            detections=[fo.Detection(label="car", bounding_box=[0, 0, 0.1, 0.1])]
        )
        sample.save()
    found = contents.labelling(work_set)
    assert found is not None
    assert (found.loop, found.batch, found.scenes) == (LOOP, "v0", 4)
    assert found.marked == {"done": 0, "empty": 0, "skip": 1}
    assert (found.drawn, found.torn, found.done) == (1, 1, 2)
    assert found.waits == (there[1].group_id, there[3].group_id)
    at = contents.at_hand(work_set, there[2].slices[0].sample_id)
    assert at is not None
    assert (at.task, at.said, at.waits, sum(at.labels.values())) == (there[2].task, None, False, 2)
    assert contents.at_hand(work_set, None) is None
    assert contents.labelling(fo.load_dataset(quick_loop.base("closed"))) is None
