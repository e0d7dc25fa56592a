"""The plugin by mouse: the panel, its forms, a whole round, labelling in a work set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_driver import App
from plugin_driver import Panel

import quick_loop
import work_sets
from support import remove
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
        panel.says("next ended" if step != "stop" else "v1 is closed")
        app.shot(f"plugin-after-{step}")
    done = Loop.open(loop.name).status().rounds[-1]
    assert (done.round, done.state) == ("v1", "closed")
    assert done.golden is not None
    assert done.map50 is not None
    assert not Loop.open(loop.name).repair(check=True).differences


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
        app.until(lambda task=task: shown_task(app, work_set) == task, f"scene {i} is not shown")
        app.shot(f"plugin-modal-{i}")
        beside = app.page.locator("[data-cy=modal] [data-cy=panel-tab-swath]").first
        beside.click()  # the panel in the tab beside the scene
        panel.press({marks.EMPTY: "Empty", marks.SKIPPED: "Skip", marks.DONE: "Done"}[what])
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


def shown_task(app: App, work_set: Any) -> str | None:
    """The group id of the scene that the address names."""
    found = app.page.url.partition("groupId=")[2].partition("&")[0]
    return found or None
