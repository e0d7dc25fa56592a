"""Killed at any write, a loop recovers alone and ends as if nothing had happened."""

from __future__ import annotations

import random

import pytest
from bench import CASES, OLD, Bench
from harness import FENCED_OUT, PLANTS
from shelf import differences, put_back

pytestmark = [pytest.mark.database, pytest.mark.timeout(2400)]
PHASES = ("before", "after")
SAMPLE = {**dict.fromkeys(CASES, 1), **dict.fromkeys(("select", "fetch", "cancel", "repair"), 3)}
"""Writes per case, in the quick run."""


def some_points(bench: Bench, case: str) -> list[tuple[int, str]]:
    """A sample of writes, the same each time."""
    chance, most = random.Random(f"points of {case}"), SAMPLE[case]
    numbers = chance.sample(range(1, len(bench.unbroken(case)) + 1), min(most, len(bench.unbroken(case))))
    return [(n, chance.choice(PHASES)) for n in sorted(numbers)]


def own_writes(bench: Bench, case: str) -> list[int]:
    """Writes that are done while the dataset is held: one who stops before taking it is nobody's predecessor. A training is, once
    its model is on the shelf: it goes by what it read before. (One that stops sooner keeps its lock, and others are told to wait.)"""
    log = bench.unbroken(case)
    if case == "train":
        shelved = max(n for n, what in enumerate(log, 1) if what.startswith("replace"))
        return [n for n, what in enumerate(log, 1) if n > shelved and what != "takes the dataset"]
    first = log.index("takes the dataset") if "takes the dataset" in log else len(log)
    return [n for n, what in enumerate(log, 1) if n > first + 1 and what != "takes the dataset"]


def test_every_operation_writes_and_is_counted(bench: Bench) -> None:
    """The wire count sees each operation take the dataset and write more."""
    for case in CASES:
        log = bench.unbroken(case)
        assert "takes the dataset" in log, case
        assert len(log) >= 3, case


@pytest.mark.parametrize("case", CASES)
def test_killed_at_a_sample_of_writes(bench: Bench, case: str) -> None:
    """After SIGKILL at a sampled write, a new process recovers and the result is that of an unbroken run."""
    for n, when in some_points(bench, case):
        assert bench.killed(case, n, when) == [], f"{when} write {n}: {bench.unbroken(case)[n - 1]}"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_killed_at_every_write(bench: Bench, case: str) -> None:
    """After SIGKILL before or after any write, a new process recovers and the result is that of an unbroken run."""
    for n, what in enumerate(bench.unbroken(case), 1):
        for when in PHASES:
            assert bench.killed(case, n, when) == [], f"{when} write {n}: {what}"


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in ("init", "init again", "migrate")])
def test_killed_and_asked_for_again_at_every_write(bench: Bench, case: str) -> None:
    """The same, when nobody recovers, and the same operation is simply asked for once more."""
    for n, what in enumerate(bench.unbroken(case), 1):
        assert bench.killed(case, n, "after", alone=True) == [], f"after write {n}: {what}"


@pytest.mark.parametrize("case", ["select", "fetch"])
def test_killed_while_recovering(bench: Bench, case: str) -> None:
    """A recovery that is killed is recovered from as well."""
    middle = len(bench.unbroken(case)) // 2
    for m in (2, 7):
        assert bench.killed_twice(case, middle, m) in ([], None), f"{case}: write {middle}, then write {m}"


@pytest.mark.slow
@pytest.mark.parametrize("case", ["select", "fetch", "evaluate", "cancel", "reopen", "repair", "migrate"])
def test_killed_while_recovering_at_every_write(bench: Bench, case: str) -> None:
    """When an operation was killed halfway, its recovery may be killed at any of its writes."""
    n = len(bench.unbroken(case)) // 2
    for m in range(1, 60):
        wrong = bench.killed_twice(case, n, m)
        if wrong is None:
            return
        assert wrong == [], f"{case}: write {n}, then write {m} of its recovery"


@pytest.mark.parametrize("case", ["select", "fetch", "cancel", "stop"])
def test_an_overtaken_writer_at_a_sample_of_writes(bench: Bench, case: str) -> None:
    """A writer that stops before a sampled write, and goes on after another took over, changes nothing any more."""
    chance = random.Random(f"overtaken in {case}")
    for n in chance.sample(own_writes(bench, case), 2):
        changed, error = bench.overtaken(case, n)
        assert changed == [], f"{case}, write {n}: {bench.unbroken(case)[n - 1]}"
        assert error.split(":")[0] in FENCED_OUT, error


def test_an_overtaken_evaluation_is_whole(bench: Bench) -> None:
    """Of an evaluation that was overtaken, what FiftyOne shows is what the successor made: each run, with its results; and it is
    found when a late writer can take one off the list."""
    log = bench.unbroken("evaluate")
    forgets = log.index("update datasets", log.index("takes the dataset")) + 1
    for n in (forgets, log.index("insert runs") + 1):
        assert bench.overtaken("evaluate", n, successor=["evaluate"])[0] == [], f"write {n}: {log[n - 1]}"
        runs = bench.say()["runs"]
        assert sorted(runs) == ["eval_v0", "swath_map"]
        assert runs == bench.after["evaluate"]["runs"]
        assert runs["eval_v0"]["results"]["ytrue"], "no object was compared"
    changed, _ = bench.overtaken("evaluate", forgets, successor=["evaluate"], plant="evaluations not fenced")
    assert any(one.startswith("/runs") for one in changed), changed


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("init")])
def test_an_overtaken_writer_at_every_write(bench: Bench, case: str) -> None:
    """A writer that stops before any write, and goes on after another took over, changes nothing any more."""
    for n in own_writes(bench, case):
        changed, error = bench.overtaken(case, n)
        assert changed == [], f"{case}, write {n}: {bench.unbroken(case)[n - 1]}"
        assert error.split(":")[0] in FENCED_OUT, error


def test_looking_writes_nothing(bench: Bench) -> None:
    """Opening a loop and asking it everything writes nothing, whether it is one of swath 0.1.0, one that a killed process left
    half done, or one in order: FiftyOne notes that the dataset was loaded, no more."""
    middle = len(bench.unbroken("select again")) // 2
    for prepared, killed in ((OLD, ""), ("stop", ""), ("stop", "select")):
        put_back(bench.db, bench.home, bench.prepared[prepared])
        if killed:
            about = bench.about(CASES["select again"])
            assert bench.forks.call("operate", **about, names=[killed], kill=(middle, "after")).signal == 9
        before = bench.say()
        log = bench.check(bench.forks.call("look", **bench.where))
        assert set(log) <= {"createIndexes datasets", "update datasets"}, f"{prepared} {killed}: {log}"
        assert differences(bench.say(), before) == []


def test_one_who_stops_while_it_trains_is_waited_for(bench: Bench) -> None:
    """A training that stopped before its model is on the shelf holds its lock: another process is told which one to wait for, and
    changes nothing."""
    it = CASES["train"]
    put_back(bench.db, bench.home, bench.prepared[it.prepared])
    before = bench.say()["rounds"]
    first = bench.forks.start("operate", **bench.about(it), names=["train"], plant="stopped in the fit")
    assert first.wait_stopped()
    end = bench.forks.call("operate", **bench.about(it), names=["train"])
    first.kill()
    assert end.error == "ConflictError"
    assert f"is being trained by process {first.pid}" in end.text
    assert differences(bench.say()["rounds"], before) == []


def test_killed_while_it_trains(bench: Bench) -> None:
    """Training holds nothing: killed in the middle of it, a process leaves nothing to recover, and training again gives what it
    would have given; a model that was on the shelf when its process died is taken from there."""
    log = bench.unbroken("train")
    it = CASES["train"]
    put_back(bench.db, bench.home, bench.prepared[it.prepared])
    before = bench.say()
    end = bench.forks.call("operate", **bench.about(it), names=["train"], plant="killed in the fit")
    assert end.signal == 9
    assert differences(bench.say(), before) == []
    assert bench.check(bench.forks.call("finish", **bench.about(it), names=["train"])) == []
    assert differences(bench.say(), bench.after["train"]) == []
    put_back(bench.db, bench.home, bench.prepared[it.prepared])
    taken = log.index("takes the dataset") + 1
    end = bench.forks.call("operate", **bench.about(it), names=["train"], kill=(taken, "before"))
    assert end.signal == 9
    assert bench.check(bench.forks.call("finish", **bench.about(it), names=["train"], plant="no fit")) == []
    assert differences(bench.say(), bench.after["train"]) == []


@pytest.mark.parametrize(
    ("names", "error"),
    [(["reopen"], "ConflictError"), (["cancel"], "ConflictError"), (["repair"], "")],
)
def test_others_work_while_one_trains(bench: Bench, names: list[str], error: str) -> None:
    """Who trains keeps nobody waiting, and changes nothing when its round was changed meanwhile; else its model is recorded."""
    changed, ended = bench.beside(names)
    assert ended == error
    if error:
        assert changed == []
    else:
        bench.unbroken("train")
        assert differences(bench.say()["rounds"], bench.after["train"]["rounds"]) == []


@pytest.mark.parametrize(
    ("plant", "case"), [("tags before journal", "select"), ("labeled before labels", "fetch")]
)
def test_a_planted_bug_in_the_order_of_writes_is_found(bench: Bench, plant: str, case: str) -> None:
    """With tags written before the journal, or the journal before labels, killing finds a state that is wrong."""
    writes = len(bench.unbroken(case, plant=plant))
    found = (bench.killed(case, n, "after", plant=plant) for n in range(1, writes))
    assert any(found), f"{PLANTS[plant].__doc__} was not found at any of {writes} writes"


def test_a_missing_fence_is_found(bench: Bench) -> None:
    """With sample writes that are not fenced, those of an overtaken writer change what its successor wrote."""
    log = bench.unbroken("select")
    tags = max(n for n, what in enumerate(log, 1) if what.startswith("update samples."))
    assert bench.overtaken("select", tags)[0] == []
    assert bench.overtaken("select", tags, plant="no fence")[0] != []


def test_a_fence_that_is_not_raised_is_found(bench: Bench) -> None:
    """With a fence that a successor does not raise, late writes land where the successor wrote nothing: here it only recovers."""
    log = bench.unbroken("fetch")
    labels = next(n for n, what in enumerate(log, 1) if what.startswith("update samples."))
    assert bench.overtaken("fetch", labels, successor=[])[0] == []
    assert bench.overtaken("fetch", labels, successor=[], plant="fence not raised")[0] != []
