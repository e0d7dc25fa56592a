"""The plugin by mouse: the panel, its forms, a whole round, labelling in a work set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drawing
import pytest
from app_driver import App
from plugin_driver import Panel

import quick_loop
import small_scenes
import work_sets
from support import remove, samples_of
from swath.annotators import marks
from swath.loop import Loop
from swath.plugin.install import install

pytestmark = pytest.mark.database
WORK_SET = "t-by-mouse-work-v0"


@pytest.fixture(scope="module", autouse=True)
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Servers that start from here on have the plugin."""
    folder, before = tmp_path_factory.mktemp("plugins"), os.environ.get("FIFTYONE_PLUGINS_DIR")
    install(folder)
    os.environ["FIFTYONE_PLUGINS_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["FIFTYONE_PLUGINS_DIR"]
    else:
        os.environ["FIFTYONE_PLUGINS_DIR"] = before


@pytest.fixture
def loop(browser: Any, dataset_name: str) -> Loop:
    """A loop whose first round is closed."""
    return quick_loop.at("closed", dataset_name)


@pytest.mark.slow
def test_the_panel_says_where_the_loop_stands(loop: Loop, app: App) -> None:
    """It opens beside the grid with status and next step, no wider than its half of the window; a click on a failure shows its
    scene in the grid, alone."""
    app.open(loop.name)
    panel = Panel(app)
    status = loop.status()
    said = panel.says(status.next.why, f"{status.pool.annotated} annotated")
    assert f"Next: {status.next.step}" in said
    app.until(lambda: panel.at.locator(".js-plotly-plot").count() == 2, "no charts")
    app.picture()  # at rest
    app.shot("plugin-loop")
    wide = panel.at.bounding_box()["width"]
    for part in panel.at.locator("table, .js-plotly-plot").all():
        box = part.bounding_box()
        assert box["x"] + box["width"] <= panel.at.bounding_box()["x"] + wide, part
    app.page.set_viewport_size({"width": 2600, "height": 950})
    app.picture()
    app.shot("plugin-loop-wide")
    app.page.set_viewport_size({"width": 1500, "height": 950})
    panel.tab("Failures")
    panel.says("are worth a look")
    app.picture()
    app.shot("plugin-failures")
    worst = loop.workspace.journal.batches.failures(loop.workspace.journal.batches.get("v0"))[0].key
    panel.row(worst)
    app.counts(1)
    for name, words in (("Batch", "for coverage"), ("Labels", "golden scenes")):
        panel.tab(name)
        panel.says(words)
        app.picture()
        app.shot(f"plugin-{name.lower()}")


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_round_by_mouse(loop: Loop, app: App) -> None:
    """Choose, look, commit, send, fetch, check, golden, train, evaluate, stop: by buttons alone a round is closed, and what was
    committed is what was shown. While another process holds the dataset a button says who does, and does nothing."""
    app.open(loop.name)
    panel = Panel(app)
    panel.press("Choose the next batch")
    assert "Nothing is written yet" in panel.form()
    app.shot("plugin-form-choose")
    with loop.workspace.writer("train"):
        panel.send("Show me the batch", answers=True)
        app.until(lambda: "is held by process" in panel.form(), "nobody is named")
        app.shot("plugin-held")
    panel.close()
    panel.press("Choose the next batch")
    panel.form()
    panel.send("Show me the batch")
    panel.says("v1 would be", "Nothing is written yet")
    app.shot("plugin-proposed")
    assert [one.round for one in loop.status().rounds] == ["v0"]
    expected = {one.key for one in loop.select(dry_run=True).scenes}
    panel.press("Commit it")
    assert f"v1: {len(expected)} scenes" in panel.form()
    app.shot("plugin-form-commit")
    panel.send("Commit")
    panel.says("select ended", "Send the batch")
    assert {one.choice.key for one in loop.batch("v1").scenes} == expected
    panel.press("Send the batch")
    assert "Annotator" in panel.form()
    app.shot("plugin-form-send")
    panel.send("Send")
    panel.says("send ended", "Fetch labels")
    panel.press("Fetch labels")
    assert "Fetching twice does no harm" in panel.form()
    app.shot("plugin-form-fetch")
    panel.send("Fetch")
    panel.says("fetch ended")
    for step in ("check", "golden", "train", "evaluate", "stop"):
        panel.says(f"Next: {step}")
        panel.press(f"Do {step}")
        assert step in panel.form()
        panel.send("Go")
        panel.says("The step has ended" if step != "stop" else "v1 is closed")
        app.shot(f"plugin-after-{step}")
    done = Loop.open(loop.name).status().rounds[-1]
    assert (done.round, done.state) == ("v1", "closed")
    assert done.golden is not None
    assert done.map50 is not None
    assert not Loop.open(loop.name).repair(check=True).differences


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_round_that_somebody_labels_by_mouse(browser: Any, dataset_name: str, app: App) -> None:
    """A round whose labels are drawn: chosen and sent by forms, a box and a cuboid drawn and the other scenes marked in the work set
    that the panel leads to, fetched; the golden check blocks (golden scenes were called empty) and is passed over for a reason; the
    round is closed, and what was drawn is what arrived."""
    quick_loop.at("ready", dataset_name)
    strict = {"miss": 0.02, "min_objects": 2, "icc": 0, "reference_errors": 0}
    loop = Loop.open(dataset_name, changes={"golden": strict})
    loop.configure()
    app.open(loop.name)
    panel = Panel(app)
    panel.press("Choose the next batch")
    panel.form()
    panel.fill("Scenes", "2")
    app.shot("round-choose")
    panel.send("Show me the batch")
    panel.says("v0 would be 2 scenes")
    panel.press("Commit it")
    panel.form()
    panel.send("Commit")
    panel.says("select ended")
    panel.press("Send the batch")
    panel.form()
    panel.choose("Annotator", "people, in this App")
    app.shot("round-send")
    panel.send("Send")
    work_set = f"{loop.name}-work-v0"
    panel.says("send ended", f"Label in {work_set}")
    app.shot("round-sent")
    try:
        panel = panel.leads_to(f"Label in {work_set}", work_set)
        drawn = label_by_mouse(app, panel, work_set)
        panel = panel.leads_to(f"To {loop.name}", loop.name)
        panel.press("Fetch labels")
        panel.form()
        panel.send("Fetch")
        panel.says("fetch ended")
        app.shot("round-fetched")
        assert {one: arrived(loop, one) for one in drawn} == drawn
        for step in ("check", "golden"):
            panel.press(f"Do {step}")
            panel.form()
            panel.send("Go")
            panel.says("The step has ended" if step == "check" else "golden check of v0 blocks")
        app.shot("round-blocked")
        panel.press("Go on despite the golden check")
        panel.form()
        panel.fill("Why you go on", "nothing was drawn on purpose")
        panel.tick("This cannot be taken back")
        app.shot("round-override")
        panel.send("Go on all the same")
        for step in ("train", "evaluate", "stop"):
            panel.says(f"Next: {step}")
            panel.press(f"Do {step}")
            panel.form()
            panel.send("Go")
        panel.says("v0 is closed")
        app.shot("round-closed")
    finally:
        remove(work_set)
    done = Loop.open(loop.name).status().rounds[-1]
    assert (done.round, done.state) == ("v0", "closed")
    assert not Loop.open(loop.name).repair(check=True).differences


def label_by_mouse(app: App, panel: Panel, name: str) -> dict[str, list[str]]:
    """Draws a box and a cuboid in the first scene that waits, and calls the others empty; channel -> ids of what was drawn."""
    import fiftyone as fo

    work_set = fo.load_dataset(name)
    scenes = len(marks.scenes(work_set))
    panel.says(f"0 of {scenes} scenes")
    first = marks.next_waiting(work_set)
    panel.press("Next scene that waits")
    app.until(lambda: shown_scene(app) == first, "no scene is open")
    app.click("annotate")
    drawing.choose_slice(app, "left")
    drawing.draw_box(app, (small_scenes.WIDTH, small_scenes.HEIGHT), (20, 10, 50, 40), "car")
    app.until(lambda: len(ids_of(work_set, "left")) == 1, "no box is stored")
    drawing.back(app)
    drawing.choose_slice(app, "pcd")
    drawing.place_cuboid(app, (12.5, 2.0, -0.9, 4.2, 1.7, 1.5), "car")
    app.until(lambda: len(ids_of(work_set, "pcd")) == 1, "no cuboid is stored")
    drawing.back(app)
    app.until(lambda: len(fresh(work_set)) == scenes - 1, "the scene is not answered")
    app.shot("round-drawn")
    Panel(app, beside=True).press("Next scene that waits")
    for left in range(scenes - 1, 0, -1):
        there = marks.next_waiting(work_set)
        app.until(lambda there=there: shown_scene(app) == there, "the next scene is not open")
        Panel(app, beside=True).press("Empty")
        app.until(lambda left=left: len(fresh(work_set)) == left - 1, "it was not marked")
    drawing.leave(app)
    panel.says("Every scene has an answer")
    app.shot("round-labelled")
    return {one: ids_of(work_set, one) for one in ("left", "pcd")}


def ids_of(where: Any, channel: str) -> list[str]:
    """Ids of the labels that a slice of a work set holds, in all scenes."""
    found = samples_of(where).find({"group.name": channel})
    return [str(one["_id"]) for doc in found for one in (doc.get(marks.LABELS) or {}).get("detections") or []]


def arrived(loop: Loop, channel: str) -> list[str]:
    """Ids of the labels that came into the loop's own dataset: into the pool's field, or, of a golden scene, into the blind one."""
    kind = {"left": "detections", "pcd": "cuboids"}[channel]
    docs = list(samples_of(loop).find({"group.name": channel}))
    labels = [doc.get(f"human_{kind}") for doc in docs if "batch:v0" in doc["tags"]]
    labels += [doc.get(f"golden_{kind}") for doc in docs]
    return [str(one["_id"]) for label in labels if label for one in label["detections"]]


@pytest.fixture
def work_set(browser: Any, mongod: str) -> Iterator[Any]:
    """A work set of four scenes, as `marks` describes one."""
    made = work_sets.make(WORK_SET, "t-by-mouse")
    yield made
    remove(WORK_SET)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_scenes_are_marked_by_mouse(work_set: Any, app: App) -> None:
    """In a work set the panel leads to the next scene that waits; the buttons of the open scene mark it and lead on, until every
    scene has an answer, which the panel says."""
    app.open(work_set.name)
    panel = Panel(app)
    panel.says("0 of 4 scenes")
    app.picture()
    app.shot("plugin-work-set")
    panel.press("Next scene that waits")
    app.wait_for("modal")
    for i, what in enumerate((marks.EMPTY, marks.SKIPPED, marks.DONE, marks.EMPTY)):
        task = marks.next_waiting(work_set)
        app.until(lambda task=task: shown_scene(app) == task, f"scene {i} is not shown")
        app.shot(f"plugin-modal-{i}")
        Panel(app, beside=True).press({marks.EMPTY: "Empty", marks.SKIPPED: "Skip", marks.DONE: "Done"}[what])
        app.until(lambda i=i: len(fresh(work_set)) == 3 - i, f"{what} was not marked")
    app.page.keyboard.press("Escape")
    panel.says("4 of 4 scenes", "Every scene has an answer")
    app.shot("plugin-work-set-done")
    said = [one.said for one in marks.scenes(work_set)]
    assert sorted(map(str, said)) == ["done", "empty", "empty", "skip"]


def fresh(work_set: Any) -> list[str]:
    """Scenes that wait, as they are now."""
    work_set.reload()
    return marks.waiting(work_set)


def shown_scene(app: App) -> str | None:
    """The group id of the scene that is open, as the address says."""
    found = app.page.url.partition("groupId=")[2].partition("&")[0]
    return found or None
