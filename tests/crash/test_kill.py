"""Killed at any write, a loop recovers alone and ends as if nothing had happened."""

from __future__ import annotations

import random

import pytest
from bench import CASES, Bench
from harness import FENCED_OUT, PLANTS

pytestmark = [pytest.mark.database, pytest.mark.timeout(1200)]
PHASES = ("before", "after")
PER_CASE = 3  # of every case's writes, in the quick run: 57 in all, each before or after it happens


def some_points(bench: Bench, case: str, most: int = PER_CASE) -> list[tuple[int, str]]:
    """A sample of writes, the same each time."""
    chance = random.Random(f"points of {case}")
    numbers = chance.sample(range(1, len(bench.unbroken(case)) + 1), min(most, len(bench.unbroken(case))))
    return [(n, chance.choice(PHASES)) for n in sorted(numbers)]


def own_writes(bench: Bench, case: str) -> list[int]:
    """Writes that are done while the dataset is held: one who stops before taking it is nobody's predecessor."""
    log = bench.unbroken(case)
    first = log.index("takes the dataset") if "takes the dataset" in log else len(log)
    return [n for n, what in enumerate(log, 1) if n > first + 1 and what != "takes the dataset"]


def test_every_operation_writes_and_is_counted(bench: Bench) -> None:
    """The wire count sees each operation take the dataset first and write more after it."""
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


@pytest.mark.parametrize("case", ["select", "fetch", "evaluate"])
def test_killed_while_recovering(bench: Bench, case: str) -> None:
    """A recovery that is killed is recovered from as well."""
    middle = len(bench.unbroken(case)) // 2
    for m in (2, 5, 9):
        assert bench.killed_twice(case, middle, m) in ([], None), f"{case}: write {middle}, then write {m}"


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("init")])
def test_killed_while_recovering_at_every_write(bench: Bench, case: str) -> None:
    """From wherever an operation was killed, its recovery may be killed at any of its writes."""
    for n in sorted({2, len(bench.unbroken(case)) // 2, len(bench.unbroken(case))}):
        for m in range(1, 60):
            wrong = bench.killed_twice(case, n, m)
            if wrong is None:
                break
            assert wrong == [], f"{case}: write {n}, then write {m} of its recovery"


@pytest.mark.parametrize("case", ["select", "fetch", "cancel", "stop"])
def test_an_overtaken_writer_at_a_sample_of_writes(bench: Bench, case: str) -> None:
    """A writer that stops before a sampled write, and goes on after another took over, changes nothing any more."""
    chance = random.Random(f"overtaken in {case}")
    for n in chance.sample(own_writes(bench, case), 3):
        changed, error = bench.overtaken(case, n)
        assert changed == [], f"{case}, write {n}: {bench.unbroken(case)[n - 1]}"
        assert error.split(":")[0] in FENCED_OUT, error


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("init")])
def test_an_overtaken_writer_at_every_write(bench: Bench, case: str) -> None:
    """A writer that stops before any write, and goes on after another took over, changes nothing any more."""
    for n in own_writes(bench, case):
        changed, error = bench.overtaken(case, n)
        assert changed == [], f"{case}, write {n}: {bench.unbroken(case)[n - 1]}"
        assert error.split(":")[0] in FENCED_OUT, error


@pytest.mark.parametrize(
    ("plant", "case"), [("tags before journal", "select"), ("labeled before labels", "fetch")]
)
def test_a_planted_bug_in_the_order_of_writes_is_found(bench: Bench, plant: str, case: str) -> None:
    """With tags written before the journal, or the journal before labels, killing finds a state that is wrong."""
    bench.unbroken(case)
    writes = len(bench.unbroken(case, plant=plant))
    found = [n for n in range(1, writes) if bench.killed(case, n, "after", plant=plant)]
    assert found, f"{PLANTS[plant].__doc__} was not found at any of {writes} writes"


def test_a_missing_fence_is_found(bench: Bench) -> None:
    """Without the fence on samples, the late writes of an overtaken writer change what its successor wrote."""
    found = [n for n in own_writes(bench, "fetch") if bench.overtaken("fetch", n, plant="no fence")[0]]
    assert found
