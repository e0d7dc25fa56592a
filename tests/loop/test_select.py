"""Selecting: a dry run is the real one without writing; what is kept out is named, and why; notes say what ran short."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quick_loop
from quick_loop import Picky, number_of
from support import journal_of, samples_of
from swath.errors import FrozenSplitError, StateError, UnknownNameError, WaitingError
from swath.loop import Loop

pytestmark = pytest.mark.database


@pytest.fixture(scope="module", autouse=True)
def _database(mongod: str) -> None: ...


def contents(loop: Loop) -> dict[str, list[Any]]:
    """Every document of every collection of the database that belongs to the dataset, and all of the small ones."""
    samples = samples_of(loop)
    database, out = samples.database, {}
    for name in sorted(database.list_collection_names()):
        if not name.startswith("samples.") or name.startswith(samples.name):
            out[name] = sorted(database[name].find({}), key=lambda doc: str(doc["_id"]))
    return out


def set_vectors(loop: Loop, keys: list[str], value: Any) -> None:
    """Overwrites embeddings behind swath's back; None removes them."""
    from fiftyone.core.utils import serialize_numpy_array

    raw = None if value is None else serialize_numpy_array(np.asarray(value, np.float32))
    done = samples_of(loop).update_many(
        {"scene_key": {"$in": keys}, "group.name": "left"}, {"$set": {"embeddings": raw}}
    )
    assert done.matched_count == len(keys)


@pytest.mark.parametrize("point", ["ready", "closed"])
def test_a_dry_run_writes_nothing_and_is_what_comes(point: str, dataset_name: str) -> None:
    """Nothing in any collection changes; the real choice afterwards is the same, scene by scene, reasons included."""
    loop = quick_loop.at(point, dataset_name)
    before = contents(loop)
    assert len(before) >= 5
    dry = loop.select(dry_run=True)
    assert contents(loop) == before
    real = loop.select()
    assert dry.dry_run
    assert not real.dry_run
    assert dry.with_(dry_run=False) == real
    assert contents(loop) != before
    assert len(real.scenes) == real.size == real.budget > 0
    assert (real.targeted > 0) == (point == "closed")


def test_excluded_scenes_stay_out_and_say_so(dataset_name: str) -> None:
    """`--exclude` keeps a scene out of this batch only, with the reason; another takes its place."""
    loop = quick_loop.at("ready", dataset_name)
    first, second = (choice.key for choice in loop.select(dry_run=True).scenes[:2])
    result = loop.select(exclude=[second, first])
    assert dict(result.excluded) == dict.fromkeys((first, second), "excluded by hand")
    assert result.size == result.budget == 20
    assert not {first, second} & {choice.key for choice in result.scenes}
    loop.run(1)
    again = loop.select(dry_run=True)
    assert again.excluded == ()


def test_unknown_and_protected_scenes_cannot_be_excluded(dataset_name: str) -> None:
    """A key that is none, a val scene, a test scene: refused by name, in one line; nothing is written."""
    loop = quick_loop.at("ready", dataset_name)
    before = contents(loop)
    val, test = loop.workspace.members("val")[0], loop.workspace.members("test")[0]
    with pytest.raises(
        UnknownNameError, match=r"--exclude: not in the pool: ghost; pool keys look like \d{4}"
    ):
        loop.select(exclude=["ghost"])
    with pytest.raises(UnknownNameError, match=val):
        loop.select(exclude=[val])
    with pytest.raises(FrozenSplitError, match=test):
        loop.select(exclude=["ghost", test])
    assert contents(loop)["swath.rounds"] == before["swath.rounds"]
    assert contents(loop)["swath.assignments"] == before["swath.assignments"]


def failures_of(loop: Loop) -> list[str]:
    batches = loop.workspace.journal.batches
    return [failure.key for failure in batches.failures(batches.get("v0"))]


def test_scenes_without_vectors_are_named(dataset_name: str) -> None:
    """Missing, zero, NaN: never scored, never chosen, named with the reason; none at all is an error."""
    loop = quick_loop.at("ready", dataset_name)
    pool = loop.workspace.members("pool")
    set_vectors(loop, pool[:1], None)
    set_vectors(loop, pool[1:2], np.zeros(16))
    set_vectors(loop, pool[2:3], np.full(16, np.nan))
    result = loop.select(dry_run=True)
    assert dict(result.excluded) == dict.fromkeys(pool[:3], "no usable vector")
    assert not set(pool[:3]) & {choice.key for choice in result.scenes}
    set_vectors(loop, pool, None)
    with pytest.raises(StateError, match=rf"none of {len(pool)} pool scenes.*swath embed"):
        loop.select()


def test_skipped_scenes_are_not_chosen_again(dataset_name: str) -> None:
    """What annotators skipped stays out of the next batches, and the reason names them and the round."""
    loop = quick_loop.at("sent", dataset_name)
    skipped = sorted(scene.choice.key for scene in loop.batch("v0").scenes)[:4]
    loop.annotator = Picky(lambda task, _: f"{number_of(task):04d}" not in skipped, "skipped")
    assert loop.fetch().waiting == 0
    loop.run(1)
    result = loop.select()
    assert dict(result.excluded) == dict.fromkeys(skipped, "skipped by simulated in v0")
    assert not set(skipped) & {choice.key for choice in result.scenes}
    told = loop.explain(skipped[0])
    assert {answer.state for answer in told.rounds[0].answers} == {"skipped"}


def test_explain_says_why_a_scene_was_chosen(dataset_name: str) -> None:
    """Stream, rank, score and reason of every chosen scene, and for targeted ones the failure that it answers."""
    loop = quick_loop.at("closed", dataset_name)
    batch = loop.select()
    failures = failures_of(loop)
    for choice in batch.scenes:
        told = loop.explain(choice.key)
        assert told.split == "pool"
        assert told.status == "selected"
        (of_round,) = told.rounds
        why = of_round.chosen
        assert why is not None
        assert (of_round.round, why.stream, why.rank) == ("v1", choice.stream, choice.rank)
        assert (why.score, why.reason) == (choice.score, choice.reason)
        assert {(one.channel, one.state) for one in of_round.answers} == {
            ("left", "unreviewed"),
            ("pcd", "unreviewed"),
        }
        assert why.failure == choice.failure
        if choice.stream == "targeted":
            assert choice.failure in failures
            assert f"like {choice.failure}, a failure of v0" in choice.reason
            assert loop.explain(str(choice.failure)).failures[0].round == "v0"
    assert {choice.stream for choice in batch.scenes} == {"coverage", "targeted"}
    row = loop.workspace.scenes.table.rows([batch.scenes[0].key])[0]
    assert loop.explain(str(loop.workspace.scenes.table.ids[row])).scene == batch.scenes[0].key
    with pytest.raises(UnknownNameError, match="no scene 'ghost'"):
        loop.explain("ghost")


@pytest.mark.parametrize("method", ["zcore_joint", "kcenter", "random"])
def test_other_ways_to_cover(method: str, dataset_name: str) -> None:
    """Each configured coverage method fills the quota, says its name in the reasons, and can be replayed."""
    loop = quick_loop.at("closed", dataset_name)
    loop = Loop.open(dataset_name, changes={"select": {"coverage_method": method}})
    result = loop.select()
    assert (result.size, result.coverage, result.targeted) == (10, 3, 7)
    assert all(f"{method} score" in one.reason for one in result.scenes if one.stream == "coverage")
    assert loop.replay("v1").equal
    assert loop.replay("v0").equal


def test_without_failures_all_goes_to_coverage(dataset_name: str) -> None:
    """A model without an error on val: nothing to answer, the whole budget covers, and a note says so."""
    loop = quick_loop.at("closed", dataset_name)
    journal_of(loop, "rounds").update_one(
        {"dataset": loop.workspace.journal.dataset_id, "round": "v0"},
        {"$set": {"steps.evaluate.failing": 0, "steps.evaluate.worst": []}},
    )
    result = loop.select(dry_run=True)
    assert (result.size, result.coverage, result.targeted) == (10, 10, 0)
    assert any("no failures to answer: all places go to coverage" in note for note in result.notes)


def test_failures_without_vectors_are_named(dataset_name: str) -> None:
    """A failure that cannot be compared is left out with a note; the others are answered."""
    loop = quick_loop.at("closed", dataset_name)
    failures = failures_of(loop)
    assert len(failures) >= 2
    set_vectors(loop, failures[:1], None)
    result = loop.select(dry_run=True)
    assert any(
        f"1 failures have no usable vector and are left out: {failures[0]}" in note for note in result.notes
    )
    assert {one.failure for one in result.scenes if one.failure} <= set(failures[1:])
    assert result.targeted == 7


def test_one_batch_at_a_time(dataset_name: str) -> None:
    """While a round is open the next is refused, with what to do; the pool's last scenes make a smaller batch, then none."""
    loop = quick_loop.at("sent", dataset_name)
    with pytest.raises(WaitingError, match="v0 is annotating: finish or cancel it"):
        loop.select()
    loop.run(3)
    chosen = [len(loop.batch(f"v{i}").scenes) for i in range(3)]
    pool = len(loop.workspace.members("pool"))
    assert chosen == [20, 10, 10]
    assert pool == 41
    last = loop.select(anyway=True)
    assert (last.budget, last.size) == (1, 1)
