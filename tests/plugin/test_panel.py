"""The panel, event by event, as FiftyOne calls it: what it says, what it shows in the grid, and that it never falls over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from operators import to_its_end

import quick_loop
import work_sets
from support import in_the_app, remove
from swath.annotators import marks
from swath.errors import ConflictError
from swath.loop import Loop
from swath.plugin import contents
from swath.plugin.jobs import Jobs
from swath.records.batch import Failure

pytestmark = pytest.mark.database
Event = Callable[..., dict[str, list[Any]]]


@pytest.fixture
def event(plugins: Path) -> Event:
    """Calls a method of the panel; gives back what the App is asked to do: operation -> parameters of each."""
    import fiftyone.operators as foo

    def called(
        method: str, dataset: str, state: dict[str, Any] | None = None, selected: Any = (), **given: Any
    ) -> dict[str, list[Any]]:
        params = {"__method__": method, "panel_id": "p", "panel_state": state or {}, **given}
        request = {"dataset": dataset, "params": params, "selected": list(selected)}
        result = to_its_end(lambda: foo.execute_operator("@swath/loop/swath", request))
        done: dict[str, list[Any]] = {}
        for one in result.executor.to_json()["requests"]:
            done.setdefault(one["operator_uri"], []).append(one["params"])
        return done

    return called


def drawn(done: dict[str, list[Any]]) -> str:
    """All that the panel draws, in words."""
    return str(done["show_panel_output"][-1]["output"]) + str(done.get("patch_panel_data"))


def test_selected_scenes_are_marked(event: Event, mongod: str) -> None:
    """In a work set the panel has buttons for the scenes that are selected in the grid: they mark all of them, open none, and
    end the selection; a mark is taken away the same way."""
    name = "t-panel-selected-work-v0"
    try:
        work_set = work_sets.make(name, "t-panel-selected")
        chosen = [one.slices[0].sample_id for one in marks.scenes(work_set)[:2]]
        assert "Mark them" not in drawn(event("on_load", name))
        assert "2 selected" in drawn(event("on_change_selected", name, selected=chosen))
        done = event("mark", name, selected=chosen, what=marks.EMPTY)
        assert not {"open_sample", "notify"} & set(done)
        assert "clear_selected_samples" in done
        assert [one.said for one in marks.scenes(work_set)] == ["empty", "empty", None, None]
        event("mark", name, selected=chosen[:1], what="none")
        assert [one.said for one in marks.scenes(work_set)] == [None, "empty", None, None]
        (said,) = event("mark", name, what=marks.EMPTY)["notify"]
        assert "no scene is open or selected" in said["message"]
    finally:
        remove(name)


def test_links_load_the_page_anew(event: Event, mongod: str) -> None:
    """The panel of a loop leads to its work sets and back by links: FiftyOne's operator, which changes the dataset in an open page,
    leaves the Annotate tab without fields."""
    name = "t panel (links)-work-v0"
    loop = quick_loop.base("sent")
    try:
        work_sets.make(name, loop)
        assert f"[Label in {name}](./t%20panel%20%28links%29-work-v0)" in drawn(event("on_load", loop))
        assert f"[To {loop}](./{loop})" in drawn(event("on_load", name))
    finally:
        remove(name)


def test_every_tab_at_every_point(event: Event, mongod: str) -> None:
    """Wherever a loop stands each tab is drawn without an error, with the next step, its reason and the button that does it."""
    buttons = {"new": "next_step", "ready": "choose_batch", "sent": "fetch_labels", "closed": "choose_batch"}
    for point, operator in buttons.items():
        name = quick_loop.base(point)
        plan = Loop.open(name).plan()
        for tab in ("loop", "batch", "failures", "honest"):
            said = drawn(event("on_load", name, {"tab": tab}))
            assert plan.why in said
            assert f"@swath/loop/{operator}" in said
            assert "'wrong'" not in said
    said = drawn(event("on_load", quick_loop.base("closed"), {"tab": "failures"}))
    failed = Loop.open(quick_loop.base("closed")).workspace.journal
    assert failed.batches.failures(failed.batches.get("v0"))[0].key in said


def test_a_dataset_that_is_no_loop(event: Event, mongod: str) -> None:
    """The panel says how to begin one."""
    import fiftyone as fo

    remove("t-plain")
    fo.Dataset("t-plain", persistent=True)
    assert "swath init t-plain --fiftyone t-plain" in drawn(event("on_load", "t-plain"))
    remove("t-plain")


def test_no_dataset(event: Event, mongod: str) -> None:
    """With no dataset open the panel says so."""
    assert "no dataset is open" in drawn(event("on_load", None))


def test_a_click_shows_the_scenes(event: Event, mongod: str) -> None:
    """A row of a table, and a button, set a view with just these scenes, which the App's server can open on any slice."""
    import fiftyone as fo

    name = quick_loop.base("closed")
    loop = Loop.open(name)
    shown = contents.gather(loop)
    dataset = fo.load_dataset(name)
    assert shown.batch is not None
    wanted = {
        ("failures", 1): [shown.failures[1].key],
        ("modes", 0): list(shown.modes[0].keys),
        ("scenes_of_batch", 2): [shown.batch.scenes[2].choice.key],
    }
    for (table, row), keys in wanted.items():
        done = event("show_row", name, path=table, row=row)
        view = fo.DatasetView._build(dataset, done["set_view"][0]["view"])
        for part in dataset.group_slices:
            assert sorted(in_the_app(view, part)) == sorted(keys)
    assert event("show_row", name, path="rounds", row=0)["set_view"][0]["name"] == "batch_v0"
    assert "set_view" not in event("show_row", name, path="failures", row=10_000)
    assert "set_view" not in event("show_row", name, path="failures", row=-1)


def test_what_runs_is_shown_and_its_end_noticed(event: Event, dataset_name: str) -> None:
    """While a step runs there is no button for another; once it has ended, what it said is there, the grid is loaded anew, once."""
    loop = quick_loop.at("sent", dataset_name)
    jobs = Jobs(loop.workspace.home)
    job = jobs.start(dataset_name, "fetch", "--mine", "--theirs")  # refused by the parser: quick
    if jobs.running():
        said = drawn(event("refresh", dataset_name))
        assert "**fetch** runs since" in said or "fetch:" in said
    jobs.wait(job, 120)
    said = drawn(event("refresh", dataset_name))
    assert "fetch: " in said
    assert "runs since" not in said
    done = event("tick", dataset_name)
    assert "reload_dataset" in done
    assert "reload_dataset" not in event("tick", dataset_name, {"seen": job.key})
    event("forget", dataset_name)
    assert jobs.last() is None


def test_an_error_does_not_take_the_panel_away(
    event: Event, mongod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake, and a defect, are told in the panel or in a notification; the panel is drawn all the same."""
    name = quick_loop.base("closed")

    def busy(*_: object) -> None:
        raise ConflictError("held by somebody")

    monkeypatch.setattr(Jobs, "interrupt", busy)
    done = event("interrupt", name)
    assert done["notify"][0]["message"] == "held by somebody"
    assert "show_panel_output" in done
    monkeypatch.setattr(contents, "stamp", lambda loop: 1 // 0)
    said = drawn(event("refresh", name))
    assert "ZeroDivisionError" in said
    assert "Traceback" not in said


def test_modes_count_objects_and_scenes() -> None:
    """Derived by hand: two scenes miss three cars, one of them sees a false person."""
    failures = (
        Failure(
            key="b", kinds=("high_fn",), fn=2, fp=1, evidence=2.0, missed={"car": 2}, false={"person": 1}
        ),
        Failure(key="a", kinds=("high_fn",), fn=1, fp=0, evidence=1.0, missed={"car": 1}, false={}),
    )
    assert [(one.what, one.objects, one.keys) for one in contents.modes(failures)] == [
        ("missed car", 3, ("b", "a")),
        ("false person", 1, ("b",)),
    ]
    assert contents.modes(()) == ()
