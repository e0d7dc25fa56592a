"""Operators, run as FiftyOne runs them: forms that say what will happen, steps that are the command line's, errors in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from plugin_forms import properties, refusal

import quick_loop
from support import remove, samples_of
from swath.annotators.base import Answer, Fetched
from swath.cli import INTERRUPTED
from swath.errors import SwathError, WaitingError
from swath.loop import Loop
from swath.plugin.jobs import Jobs

pytestmark = pytest.mark.database
Press = Callable[..., dict[str, Any]]
Form = Callable[..., dict[str, Any]]


def state(name: str) -> str:
    return Loop.open(name).workspace.journal.batches.all()[-1].state


def told(form: dict[str, Any]) -> str:
    """All that a form says in words."""
    return str(form)


# ---------------------------------------------------------------------- steps


def test_a_batch_is_shown_and_then_committed(press: Press, form: Form, dataset_name: str) -> None:
    """`choose` writes nothing and shows a batch; `commit` commits that batch, scene by scene; a second commit is refused."""
    name = dataset_name
    loop = quick_loop.at("ready", name)
    assert refusal(form("choose_batch", name)) is None
    refused = refusal(form("commit_batch", name))
    assert refused is not None
    assert "choose one first" in refused
    out = sorted(key for key, split in loop.workspace.membership().items() if split == "pool")[:2]
    said = press("choose_batch", name, budget=7, exclude=", ".join(out), wait=120)
    assert said["code"] == 0
    assert "--dry-run" in said["did"]
    assert not [one for one in loop.workspace.journal.batches.all() if one.is_round]
    assert "7 scenes" in told(form("commit_batch", name))
    said = press("commit_batch", name, wait=120)
    assert said["code"] == 0
    shown = {one.choice.key for one in Loop.open(name).batch("v0").scenes}
    assert len(shown) == 7
    assert shown == {
        one.key for one in quick_loop.at("ready", f"{name}-too").select(budget=7, exclude=out).scenes
    }
    remove(f"{name}-too")
    again = refusal(form("choose_batch", name))
    assert again is not None
    assert "v0 is committed" in again


@pytest.mark.slow
def test_a_batch_that_is_overtaken_is_not_committed(press: Press, form: Form, dataset_name: str) -> None:
    """Where the journal has changed since the batch was shown it is chosen again, and not committed unseen."""
    name = dataset_name
    quick_loop.at("ready", name)
    press("choose_batch", name, budget=7, wait=120)
    assert refusal(form("commit_batch", name)) is None
    Loop.open(name, changes={"stop": {"target": 0.9}}).configure()
    moved = refusal(form("commit_batch", name))
    assert moved is not None
    assert "has moved on" in moved


@pytest.mark.slow
def test_a_step_is_interrupted(press: Press, dataset_name: str) -> None:
    """A job that is interrupted ends as Ctrl-C ends a command: nothing is half done, and it can be begun again."""
    loop = quick_loop.at("ready", dataset_name)
    jobs = Jobs(loop.workspace.home)
    press("choose_batch", dataset_name)
    job = jobs.last()
    assert job is not None
    time.sleep(1)  # its signal handler is there
    assert jobs.interrupt()
    ended = jobs.wait(job, 120)
    assert ended is not None
    assert ended.code == INTERRUPTED
    assert "run the same command again" in ended.error
    assert press("choose_batch", dataset_name, wait=120)["code"] == 0


def test_labels_are_fetched(press: Press, form: Form, dataset_name: str) -> None:
    """`fetch` takes in what is there, says what the command line says, and leads on to `next`."""
    quick_loop.at("sent", dataset_name)
    assert "v0" in told(form("fetch_labels", dataset_name))
    said = press("fetch_labels", dataset_name, edits="mine", wait=120)
    assert said["did"] == f"swath fetch --mine --dataset {dataset_name}"
    assert said["code"] == 0
    assert state(dataset_name) == "labeled"
    assert "check" in told(form("next_step", dataset_name))


# ---------------------------------------------------------------------- forms


def test_every_form_opens_wherever_a_loop_stands(form: Form, mongod: str) -> None:
    """On a loop at any point, and on a dataset that is none, each form is filled in or says why it cannot be sent."""
    import fiftyone as fo

    names = (
        "next_step",
        "choose_batch",
        "commit_batch",
        "reference",
        "send_batch",
        "fetch_labels",
        "override_golden",
        "change_round",
        "explain_scene",
    )
    remove("t-plain")
    fo.Dataset("t-plain", persistent=True)
    can = {
        "new": {"next_step", "reference", "explain_scene"},
        "ready": {"next_step", "choose_batch", "reference", "explain_scene"},
        "sent": {"next_step", "fetch_labels", "send_batch", "change_round", "reference", "explain_scene"},
        "closed": {"next_step", "choose_batch", "reference", "explain_scene"},
    }
    for point, possible in can.items():
        found = {one: refusal(form(one, quick_loop.base(point))) for one in names}
        assert {one for one, why in found.items() if why is None} == possible, (point, found)
        assert all("Traceback" not in (why or "") and "defect" not in (why or "") for why in found.values())
    for one in names:
        why = refusal(form(one, "t-plain"))
        assert why is not None
        assert "swath init t-plain --fiftyone t-plain" in why
    remove("t-plain")


def test_a_form_that_cannot_be_sent_is_not_run(press: Press, mongod: str) -> None:
    """FiftyOne itself refuses it, and repeats why."""
    from fiftyone.operators.executor import ExecutionError

    name = quick_loop.base("sent")
    with pytest.raises(ExecutionError, match="no golden check holds this loop"):
        press("override_golden", name, reason="because", sure=True)
    with pytest.raises(ExecutionError, match="budget"):
        press("choose_batch", quick_loop.base("ready"), budget=0)


def test_the_annotator_needs_what_it_needs(form: Form, mongod: str) -> None:
    """The form of `send` offers every annotator that there is, and asks for a folder where files are meant."""
    from typing import get_args

    from swath.config import Annotate

    name = quick_loop.base("sent")
    offered = properties(form("send_batch", name))["annotator"]["type"]["values"]
    kinds = [
        one for part in get_args(Annotate.model_fields["annotator"].annotation) for one in get_args(part)
    ]
    assert offered == [one for one in kinds if isinstance(one, str)]
    assert "folder" not in properties(form("send_batch", name, annotator="simulated"))
    assert properties(form("send_batch", name, annotator="files"))["folder"]["required"] is True


def test_the_reference_is_never_taken_from_swath_s_own_fields(form: Form, mongod: str) -> None:
    """Fields of the user's are offered; those that swath writes are not."""
    own = {"human_detections", "golden_detections", "predictions", "predictions_sure", "opinions_2d"}
    for point in ("ready", "closed"):
        fields = properties(form("reference", quick_loop.base(point)))["field"]["type"]["values"]
        assert "ground_truth" in fields
        assert not own & set(fields)
    assert own - {"opinions_2d"} <= set(
        Loop.open(quick_loop.base("closed")).workspace.scenes.dataset.get_field_schema()
    )


def test_an_adopted_reference_is_taken_from_where_it_stands(
    press: Press, form: Form, dataset_name: str
) -> None:
    """In a loop that was run by hand the form offers the fields of people's labels that hold those of val and golden, boxes and
    cuboids; both are taken together, as `--from A --from B` does."""
    loop = quick_loop.at("ready", dataset_name)
    loop.cancel("reference", "it was labelled by hand")
    stored = samples_of(loop)
    for channel, field in (("left", "human_detections"), ("pcd", "human_cuboids")):
        keys = {"scene_key": {"$in": loop.workspace.members("val", "golden")}, "group.name": channel}
        stored.update_many(keys, [{"$set": {field: "$ground_truth"}}])
    fields = properties(form("reference", dataset_name))
    for name in ("field", "also"):
        assert fields[name]["type"]["values"] == ["human_detections", "human_cuboids", "ground_truth"]
    said = press(
        "reference", dataset_name, how="field", field="human_detections", also="human_cuboids", wait=120
    )
    assert said["did"] == (
        f"swath reference --from human_detections --from human_cuboids --dataset {dataset_name}"
    )
    assert said["code"] == 0
    taken = loop.workspace.journal.batches.get("reference.2").steps.fetch
    assert taken is not None
    assert min(taken.labels.values()) > 0
    assert set(taken.labels) == {"2d", "3d"}


# ---------------------------------------------------------------------- errors, and two at once


def test_what_cannot_be_taken_back_wants_to_be_meant(press: Press, dataset_name: str) -> None:
    """A round is not cancelled without a ticked box and a reason: nothing is begun."""
    loop = quick_loop.at("sent", dataset_name)
    for given, why in (
        ({"reason": "oops"}, "tick the box"),
        ({"reason": "  ", "sure": True}, "reason is recorded"),
    ):
        said = press("change_round", dataset_name, round="v0", what="cancel", **{"sure": False, **given})
        assert why in said["error"]
    assert Jobs(loop.workspace.home).last() is None
    assert state(dataset_name) == "annotating"


def test_two_at_once(press: Press, dataset_name: str) -> None:
    """While a process holds the dataset, a step is refused at once, and who holds it is named; nothing is begun."""
    loop = quick_loop.at("sent", dataset_name)
    with loop.workspace.writer("train"):
        said = press("fetch_labels", dataset_name)
        assert "is held by process" in said["error"]
        assert "(train)" in said["error"]
        assert Jobs(loop.workspace.home).last() is None


@pytest.mark.slow
def test_a_block_is_passed_over_for_a_reason(press: Press, form: Form, dataset_name: str) -> None:
    """Where the golden check blocks, `next` leads no further, the form says why, and the reason given is the one on record."""
    name = dataset_name
    loop = Loop.open(quick_loop.at("sent", name).name, changes={"golden": {"miss": 0.001, "extra": 0.001}})
    loop.annotator = careless = quick_loop.Picky()
    fetch = careless.fetch

    def nothing(work: Any, receipt: Any) -> Fetched:
        asked = fetch(work, receipt).answers
        return Fetched(tuple(Answer(one.task, one.channel, "reviewed_empty", None) for one in asked))

    careless.fetch = nothing  # type: ignore[method-assign]
    loop.fetch()
    loop.check()
    with pytest.raises(WaitingError):
        loop.golden()
    why = refusal(form("next_step", name))
    assert why is not None
    assert "the golden check of v0 blocks" in why
    checked = loop.workspace.journal.batches.get("v0").steps.golden
    assert checked is not None
    assert checked.reasons[0] in told(form("override_golden", name))
    assert "tick the box" in press("override_golden", name, reason="a pilot", sure=False)["error"]
    said = press("override_golden", name, reason="a pilot", sure=True, wait=120)
    assert said["code"] == 0
    checked = loop.workspace.journal.batches.get("v0").steps.golden
    assert checked is not None
    assert checked.override == "a pilot"
    assert state(name) == "checked"


@pytest.mark.slow
def test_two_press_at_once(press: Press, dataset_name: str) -> None:
    """Of two who press at once one fetches, the other is told that it runs."""
    quick_loop.at("sent", dataset_name)
    answers: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(press("fetch_labels", dataset_name, wait=120)))
        for _ in range(2)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    first, second = sorted(answers, key=lambda one: "error" in one)
    assert first["code"] == 0
    assert "`fetch` runs since" in second["error"]
    assert state(dataset_name) == "labeled"


def test_a_mistake_in_a_step_is_told_with_its_ways_on(press: Press, dataset_name: str) -> None:
    """What the command line says of a mistake comes back as it is said there, and is no traceback."""
    loop = quick_loop.at("sent", dataset_name)
    said = press("change_round", dataset_name, round="v0", what="reopen", reason="again", sure=True, wait=120)
    with pytest.raises(SwathError) as expected:
        loop.reopen("v0", "again")
    assert said["code"] == expected.value.exit_code
    assert said["error"] == str(expected.value)


def test_a_defect_is_named_and_no_traceback(
    press: Press, mongod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is nobody's mistake says that it is a defect; its traceback is in the log."""
    monkeypatch.setattr(Loop, "explain", lambda self, key: 1 // 0)
    said = press("explain_scene", quick_loop.base("closed"), scene="0001")
    assert said["error"].startswith("ZeroDivisionError")
    assert "this is a defect" in said["error"]
    assert "Traceback" not in str(said)


# ---------------------------------------------------------------------- explaining


def test_a_scene_is_explained(press: Press, form: Form, mongod: str) -> None:
    """The scene that is selected is filled in; what is said is what the command line says; an unknown one is a line."""
    from swath import show

    loop = Loop.open(quick_loop.base("closed"))
    key = loop.batch("v0").scenes[0].choice.key
    sample = loop.workspace.scenes.view([key]).first()
    filled = properties(form("explain_scene", loop.name, selected=[sample.id]))["scene"]["default"]
    assert filled == key
    assert press("explain_scene", loop.name, scene=key)["text"] == show.told(loop.explain(key))
    assert "no scene" in press("explain_scene", loop.name, scene="nowhere")["error"]
