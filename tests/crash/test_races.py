"""Several processes on one dataset: one wins, nothing is done twice, and who lost the dataset writes nothing more."""

from __future__ import annotations

import time
from typing import Any, get_args

import harness
import pytest
from bench import CASES, Bench
from shelf import differences, put_back

from swath.records.batch import State

pytestmark = [pytest.mark.database, pytest.mark.timeout(1200)]
RACERS = 4
STATES = get_args(State)  # in the order of a round's life


def history_check(bench: Bench, before: dict[str, Any], after: dict[str, Any]) -> None:
    """From one look at the journal to the next, revisions and states only go forward."""
    for name, one in before.items():
        two = after[name]
        assert two["revision"] >= one["revision"], name
        assert STATES.index(two["state"]) >= STATES.index(one["state"]), name
        assert two["manifest"] == one["manifest"], f"{name}: the manifest of a committed round changed"
        if two["revision"] == one["revision"]:
            assert two["state"] == one["state"], name


def rounds_of(bench: Bench) -> dict[str, Any]:
    return {one["round"]: one for one in bench.db["swath.rounds"].find({})}


def race(bench: Bench, case: str) -> list[str]:
    """`RACERS` processes do the same at once; returns how each ended."""
    it = CASES[case]
    put_back(bench.db, bench.home, bench.prepared[it.prepared])
    before, seen = rounds_of(bench), {}
    start_at = time.time() + 0.6  # when they all have opened the loop
    racers = [bench.forks.start("race", **bench.where, what=it.name, at=start_at) for _ in range(RACERS)]
    waiting = list(racers)
    ends = []
    while waiting:
        seen = rounds_of(bench)
        history_check(bench, before, seen)
        before = seen
        if (end := waiting[0].look()) is not None:
            ends.append(end)
            waiting.pop(0)
        time.sleep(0.005)
    assert not any(end.signal for end in ends)
    return [end.error or "done" for end in ends]


def check_selection(bench: Bench, case: str) -> None:
    """Batches hold what their manifests say, exactly to budget, and no pool scene is in two."""
    manifests = [one["manifest"] for one in bench.say()["rounds"]]
    chosen = [scene["key"] for one in manifests if one["role"] == "pool" for scene in one["scenes"]]
    assert len(chosen) == len(set(chosen)), "a scene was chosen twice"
    for one in manifests:
        assert len(one["scenes"]) == one["size"]["budget"] == one["size"]["size"]
    active = [
        (row["key"], row["channel"])
        for row in bench.db["swath.assignments"].find({"role": "pool", "active": True})
    ]
    assert len(active) == len(set(active)), "a scene is in two open batches"
    assert {key for key, _ in active} <= set(chosen)
    bench.unbroken(case)
    assert differences(bench.say(), bench.after[case]) == []


@pytest.mark.parametrize("case", ["select", "select again"])
def test_processes_that_select_at_once(bench: Bench, case: str) -> None:
    """Of four processes that select at once exactly one makes a batch, the one that a lone process would make."""
    bench.unbroken(case)
    for _ in range(5):
        ends = race(bench, case)
        assert ends.count("done") == 1, ends
        assert set(ends) <= {"done", "WaitingError", "ConflictError"}, ends
        check_selection(bench, case)


@pytest.mark.slow
def test_fifty_races(bench: Bench) -> None:
    """Fifty races of four selecting processes: one batch each time, and no scene twice."""
    for number in range(50):
        case = ("select", "select again")[number % 2]
        ends = race(bench, case)
        assert ends.count("done") == 1, ends
        check_selection(bench, case)


def test_processes_that_train_at_once(bench: Bench) -> None:
    """Of four processes that train at once one records its model; the others are told, and nothing is there twice."""
    bench.unbroken("train")
    ends = race(bench, "train")
    assert ends.count("done") == 1, ends
    assert set(ends) <= {"done", "StateError", "ConflictError"}, ends
    assert differences(bench.say(), bench.after["train"]) == []


def test_processes_that_migrate_at_once(bench: Bench) -> None:
    """Four processes that take up a loop of swath 0.1.0 at once bring it to where one alone would."""
    bench.unbroken("migrate")
    put_back(bench.db, bench.home, bench.prepared[CASES["migrate"].prepared])
    at = time.time() + 0.6
    racers = [bench.forks.start("race", **bench.where, what="migrate", at=at) for _ in range(RACERS)]
    ends = [racer.wait() for racer in racers]
    assert not any(end.error for end in ends), ends
    assert differences(bench.say(), bench.after["migrate"]) == []


def test_processes_that_fetch_and_repair_at_once(bench: Bench) -> None:
    """Fetching, checking and repairing at once ends as when one comes after the other."""
    it = CASES["fetch"]
    bench.unbroken("fetch")
    for _ in range(2):
        put_back(bench.db, bench.home, bench.prepared[it.prepared])
        at = time.time() + 0.6
        racers = [
            bench.forks.start("race", **bench.where, what=what, at=at)
            for what in ("fetch", "repair", "fetch", "repair")
        ]
        errors = {racer.wait().error for racer in racers}
        assert errors <= {"", "StateError", "ConflictError"}, errors
        assert differences(bench.say(), bench.after["fetch"]) == []


def test_a_live_holder_is_named(bench: Bench) -> None:
    """Who asks for a dataset that a live process holds is told, after waiting, which process it is and what it does."""
    it = CASES["fetch"]
    put_back(bench.db, bench.home, bench.prepared[it.prepared])
    holder = bench.forks.start(
        "operate", **bench.about(it), names=["fetch"], stop=6
    )  # the first writes come before the dataset is taken
    assert holder.wait_stopped()
    end = bench.forks.call("race", **bench.where, what="repair", at=0.0, wait=0.3)
    assert end.error == "ConflictError"
    assert f"process {holder.pid} on" in end.text
    assert "(fetch)" in end.text
    holder.kill()
    assert bench.forks.call("race", **bench.where, what="repair", at=0.0, wait=0.3).error == ""


def test_a_lease_that_ran_out_by_itself(bench: Bench) -> None:
    """A process that is stopped for longer than its lease loses the dataset, though it is alive, and is told so."""
    it = CASES["fetch"]
    put_back(bench.db, bench.home, bench.prepared[it.prepared])
    first = bench.forks.start("operate", **bench.about(it), names=["fetch"], stop=5, lease=1.0)
    assert first.wait_stopped()
    second = bench.forks.call("race", **bench.where, what="fetch", at=0.0, wait=10)
    assert second.error == "", second.text
    state = bench.say()
    first.go_on()
    end = first.wait()
    assert end.error == "FencedError", end
    assert differences(bench.say(), state) == []
    bench.unbroken("fetch")
    assert differences(state, bench.after["fetch"]) == []
    assert harness.DATASET in end.text
