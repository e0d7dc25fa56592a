"""The golden check in a loop: what it keeps for later rounds, what it knows of its reference, how golden scenes take turns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import durable
import quick_loop
from run_cli import run_cli
from support import journal_of, remove
from swath.errors import IntegrityError
from swath.loop import Loop


@pytest.fixture
def name(mongod: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a loop of its own for each test."""
    own = f"t-{request.node.originalname[5:45]}"
    yield own
    remove(own)
    remove(f"{own}-2")


def test_later_rounds_are_compared_with_the_same_objects(name: str) -> None:
    """What v0 measured is kept, object by object; v1 pairs with it; a piece of it that is gone is said."""
    loop = quick_loop.at("closed", name)
    batches = loop.workspace.journal.batches
    first = batches.get("v0")
    kept = batches.measured(first)
    assert kept is not None
    assert first.steps.golden is not None
    assert len(kept.scenes) == first.steps.golden.scenes > 0
    assert sum(kept.errors["2d miss"]) == first.steps.golden.axes["2d miss"].errors
    assert set(kept.annotators["2d"]) == {"simulated"}
    assert all(one.change is None for one in first.steps.golden.measures.values())
    loop.select(anyway=True)
    loop.run(2, until="golden")
    second = batches.get("v1").steps.golden
    assert second is not None
    assert second.measures["2d iou"].paired > 0
    assert second.measures["2d iou"].change is not None
    assert second.icc_rounds == 1
    assert second.axes["2d miss"].window_trials > second.axes["2d miss"].trials  # type: ignore[operator]
    blob = first.steps.golden.measured
    assert blob is not None
    journal_of(loop, "pieces").delete_many(
        {"dataset": loop.workspace.journal.dataset_id, "sha256": blob.sha256}
    )
    with pytest.raises(IntegrityError, match="what its golden check measured"):
        Loop.open(name).workspace.journal.batches.measured(first)


def test_a_round_without_measurements_is_no_trouble(name: str) -> None:
    """A check of an earlier version kept totals alone: it opens, counts as history, and has no pairs."""
    loop = quick_loop.at("closed", name)
    new = ("measured", "measures", "icc", "icc_rounds", "reference", "suspects")
    journal_of(loop, "rounds").update_one(
        {"dataset": loop.workspace.scenes.dataset._doc.id, "round": "v0"},
        {"$unset": {f"steps.golden.{one}": 1 for one in new}},
    )
    loop = Loop.open(name)
    assert loop.status().rounds[0].golden
    loop.select(anyway=True)
    loop.run(2, until="golden")
    second = loop.workspace.journal.batches.get("v1").steps.golden
    assert second is not None
    assert second.measures["2d iou"].paired == 0
    assert second.icc_rounds == 0


def test_the_reference_is_recorded_as_it_was_made(name: str) -> None:
    """One that is imported is single unless the settings say otherwise; what they said then is kept."""
    for own, said, made in ((name, None, "single"), (f"{name}-2", "adjudicated", "adjudicated")):
        loop = quick_loop.at("new", own)
        if said:
            loop = Loop.open(own, changes={"golden": {"reference": said}})
        loop.split()
        loop.embed()
        loop.reference("ground_truth")
        assert loop.workspace.journal.batches.get("reference").steps.fetch.made == said  # type: ignore[union-attr]
        loop.run(1, until="golden")
        found = loop.workspace.journal.batches.get("v0").steps.golden
        assert found is not None
        assert found.reference is not None
        assert (found.reference.made, found.reference.source) == (made, "settings")


def test_a_majority_tells_its_own_error_rates(name: str) -> None:
    """Three labellings of each golden scene: how often one of them errs is measured against what they agree on."""
    loop = quick_loop.at("new", name)
    loop.split()
    loop.embed()
    loop.reference()
    loop.run(1, until="golden")
    found = loop.workspace.journal.batches.get("v0").steps.golden
    assert found is not None
    assert found.reference is not None
    assert (found.reference.made, found.reference.source) == ("majority", "opinions")
    assert found.reference.labellings > 20
    assert 0 < found.reference.rates["miss"] < 0.3
    assert any(reason.startswith("the reference is a majority of three") for reason in found.reasons)


def test_golden_scenes_take_turns_and_replay(name: str) -> None:
    """Two of them go along with each batch; one stays for the next; the batch can be chosen again, byte by byte."""
    loop = Loop.open(quick_loop.at("ready", name).name, changes={"golden": {"per_round": 2}})
    there = set(loop.workspace.members("golden"))
    assert len(there) > 2
    loop.run(1)
    loop.select(anyway=True)
    batches = loop.workspace.journal.batches
    sent = [{scene.key for scene in batches.manifest(batches.get(one)).golden} for one in ("v0", "v1")]
    assert [len(one) for one in sent] == [2, 2]
    assert len(sent[0] & sent[1]) == 1
    assert sent[0] | sent[1] <= there
    assert all(loop.replay(one).equal for one in ("v0", "v1"))


def test_a_plan_says_how_many_scenes(name: str) -> None:
    """`golden --plan` writes nothing, before any check and after one; text and JSON say the same."""
    loop = quick_loop.at("ready", name)
    before = durable.everything(loop)
    code, out, _ = run_cli("golden", "--plan", "--dataset", name, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["rounds"] == 0
    assert found["scenes"] == len(loop.workspace.members("golden"))
    rows = {row["axis"]: row for row in found["planned"]}
    assert {"2d miss", "3d flip", "2d area", "3d yaw"} <= set(rows)
    assert durable.everything(loop) == before
    loop.run(1, until="golden")
    code, text, _ = run_cli("golden", "--plan", "--dataset", name)
    assert code == 0
    assert "the last of 1 checks" in text
    assert "2d area" in text
    told = Loop.open(name).golden_plan()
    assert told.rounds == 1
    assert told.reference == "single"
