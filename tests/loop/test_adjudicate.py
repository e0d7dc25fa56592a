"""A reference of two labellings: what they see differently is listed and drawn, decided, and kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quick_loop
from run_cli import run_cli
from support import remove, samples_of
from swath import adjudication
from swath.errors import ConfigError, StateError, UnknownNameError, WaitingError
from swath.labels import stored
from swath.loop import Loop

pytestmark = pytest.mark.database
SETTINGS = {"golden": {"reference": "adjudicated"}, "annotate": {"miss": 0.2, "swap": 0.2}}


@pytest.fixture
def name(mongod: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    own = f"t-{request.node.originalname[5:45]}"
    yield own
    remove(own)


def made(name: str, changes: dict[str, Any] = SETTINGS) -> Loop:
    """A loop whose reference careless people labelled, as the settings say."""
    quick_loop.at("new", name)
    loop = Loop.open(name, changes=changes)
    loop.split()
    loop.embed()
    loop.reference()
    return loop


def human(loop: Loop) -> dict[str, Any]:
    """Labels of the reference, with all that is stored of them."""
    found = samples_of(loop).find({"scene_key": {"$in": loop.workspace.members("val", "golden")}})
    fields = ("human_detections", "human_cuboids")
    return {
        str(doc["_id"]): [
            (one["_id"], one["label"]) for field in fields for one in stored.detections(doc.get(field))
        ]
        for doc in found
    }


def reference(loop: Loop) -> Any:
    return loop.workspace.journal.batches.get("reference")


def test_two_labellings_are_asked_for_and_wait_for_decisions(name: str) -> None:
    """The setting asks for two; the loop waits; everything decided, it goes on, the reference is recorded as adjudicated, its error
    rates come from the opinions, and are less than those of one labelling."""
    loop = made(name)
    assert reference(loop).slots == 2
    assert reference(loop).state == "closed"
    with pytest.raises(WaitingError, match="two labellings"):
        loop.next()
    assert any("--adjudicate" in one for one in loop.ways_on(loop.plan()))
    found = loop.adjudicate()
    assert found.open == len(found.differences) > 5
    assert loop.plan().people
    assert loop.adjudicate({"*": "a"}).open == 0
    loop.run(1, until="golden")
    checked = loop.workspace.journal.batches.get("v0").steps.golden
    assert checked is not None
    assert checked.reference is not None
    assert (checked.reference.made, checked.reference.source) == ("adjudicated", "opinions")
    assert checked.reference.labellings > 20
    assert 0 < checked.reference.rates["swap"] < 0.2
    assert any(
        one.startswith("the reference is two labellings whose differences were decided")
        for one in checked.reasons
    )
    with pytest.raises(StateError, match="v0 was compared"):
        loop.adjudicate({"*": "b"})
    assert loop.adjudicate().open == 0


def test_until_it_is_decided_it_counts_as_single(name: str) -> None:
    """Who does not decide gets a reference of one labelling's worth."""
    from swath.policies.golden_reference import made as how

    loop = made(name)
    batches = loop.workspace.journal.batches
    assert how(batches.all(), loop.workspace.config.golden) == "single"
    loop.adjudicate({"*": "none"})
    assert how(batches.all(), loop.workspace.config.golden) == "adjudicated"


def test_a_decision_is_taken_and_can_be_taken_back(name: str) -> None:
    """One name, one choice: the labels that count have the object, or not; the rest stays; deciding the same again writes nothing;
    nothing is amiss with labels or journal."""
    loop = made(name)
    found = loop.adjudicate()
    one = next(one for one in found.differences if "that A alone has" in one.what and one.channel == "left")
    before = human(loop)
    loop.adjudicate({one.name: "a"})
    with_it = human(loop)
    changed = [key for key in before if before[key] != with_it[key]]
    assert len(changed) == 1
    assert len(with_it[changed[0]]) == len(before[changed[0]]) + 1
    revision = reference(loop).revision
    again = loop.adjudicate({one.name: "a"})
    assert human(loop) == with_it
    assert reference(loop).revision == revision
    assert [other.name for other in again.differences] == [other.name for other in found.differences]
    assert again.open == found.open - 1
    looked = loop.repair(check=True)
    assert (looked.differences, looked.edited) == ((), ())
    loop.adjudicate({one.name: "b"})
    assert human(loop) == before


def test_a_killed_process_is_finished_by_the_next(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the decision and the labels: whoever opens the loop next writes them."""
    loop = made(name)
    lease = loop.workspace.journal.lease

    def dies(*given: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    before = human(loop)
    with monkeypatch.context() as patch:
        patch.setattr(adjudication, "apply", dies)
        patch.setattr(type(lease), "release", lambda *given: None, raising=False)
        with pytest.raises(KeyboardInterrupt):
            loop.adjudicate({"*": "a"})
    assert human(loop) == before
    assert reference(loop).decided
    again = Loop.open(name)
    again.repair()
    again.adjudicate()
    after = human(again)
    assert after != before
    assert again.repair(check=True).edited == ()


def test_labels_edited_by_hand_are_kept_and_said(name: str) -> None:
    """A reference that somebody corrected after it came is not written over."""
    loop = made(name)
    found = loop.adjudicate()
    one = next(one for one in found.differences if "A says" in one.what and one.channel == "left")
    where = {"scene_key": one.scene, "group.name": "left"}
    samples_of(loop).update_one(where, {"$set": {"human_detections.detections": []}})
    done = loop.adjudicate({one.name: "a"})
    assert any("edited by hand" in note and one.scene in note for note in done.notes)
    kept = samples_of(loop).find_one(where)
    assert kept is not None
    assert kept["human_detections"]["detections"] == []


def test_mistakes_are_named(name: str) -> None:
    """A difference that there is not, a choice that there is not, a reference of one labelling, none at all."""
    quick_loop.at("new", name)
    loop = Loop.open(name, changes=SETTINGS)
    loop.split()
    with pytest.raises(StateError, match="not there yet"):
        loop.adjudicate()
    loop.embed()
    loop.reference()
    first = loop.adjudicate().differences[0].name
    with pytest.raises(UnknownNameError, match="no difference"):
        loop.adjudicate({f"{first}9": "a"})
    with pytest.raises(ConfigError, match="expected one of a"):
        loop.adjudicate({first: "c"})
    assert reference(loop).steps.adjudicate.decisions == ()
    loop.cancel("reference", "anew")
    loop.reference("ground_truth")
    with pytest.raises(StateError, match="one labelling"):
        loop.adjudicate()


def test_on_the_command_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed as text and JSON; decided by name, by file, and one by one; the page draws each open difference in every sensor, and
    needs nothing from elsewhere."""
    made(name)
    code, out, _ = run_cli("reference", "--adjudicate", "--dataset", name, "--json")
    assert code == 0
    found = json.loads(out)
    names = [one["name"] for one in found["differences"]]
    page = Path(found["page"]).read_text()
    assert page.count("<figure>") >= 2 * len(names)
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    code, out, _ = run_cli("reference", "--adjudicate", "--decide", f"{names[0]}=a", "--dataset", name)
    assert code == 0
    assert f"{len(names)} things" in out
    assert "1 decided" in out
    told = tmp_path / "decisions.txt"
    told.write_text(f"# by the lead\n{names[1]}=b\n\n{names[2]} = none  # no car\n")
    run_cli("reference", "--adjudicate", "--decide", str(told), "--dataset", name)
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("perhaps\na\n\nq\n"))
    code, out, _ = run_cli("reference", "--adjudicate", "--ask", "--dataset", name)
    assert code == 0
    assert "got 'perhaps'" in out
    assert "4 decided" in out
    kept = reference(Loop.open(name)).steps.adjudicate
    assert [one.choice for one in kept.decisions[:4]] == ["a", "b", "none", "a"]
    code, _, err = run_cli("reference", "--decide", "x=a", "--dataset", name)
    assert code == 2
    assert "--adjudicate" in err
