"""Which failures are worth a look."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from some_records import a_failure
from swath.policies.notable import LEAST, notable
from swath.records.batch import Failure


def failures(**evidence: float) -> list[Failure]:
    return [a_failure(key, evidence=value) for key, value in evidence.items()]


def keys(found: tuple[Failure, ...]) -> str:
    return " ".join(one.key for one in found)


def drives(*lengths: int) -> dict[str, str]:
    """`a0 a1 .. b0 ..`: key -> drive, of so many scenes each."""
    letters = "abcdefgh"
    return {f"{letters[d]}{i}": letters[d] for d, length in enumerate(lengths) for i in range(length)}


def test_half_of_the_evidence() -> None:
    """The worst scenes that together hold half of the evidence: 5 + 3 + 2 of 18 are enough, 5 + 3 are not."""
    where = {key: key for key in "abcdefghijklmnopqrst"}
    found = notable(failures(a=5, b=3, c=2, d=2, e=2, f=1, g=1, h=1, i=1), where)
    assert keys(found) == "a b c"


def test_at_least_three() -> None:
    """Two more stand beside one that holds nearly all of the evidence; with fewer failures, all of them."""
    where = {key: key for key in "abcdefghijklmnopqrst"}
    assert keys(notable(failures(a=50, b=1, c=1, d=1), where)) == "a b c"
    assert keys(notable(failures(b=1, a=50), where)) == "a b"
    assert notable([], where) == ()


def test_at_most_a_third_of_the_scenes() -> None:
    """Of twelve scenes, all with the same evidence, four stand there: half would be six."""
    where = {key: key for key in "abcdefghijkl"}
    assert keys(notable(failures(**dict.fromkeys("abcdefghijkl", 1.0)), where)) == "a b c d"


def test_two_of_a_drive_come_first() -> None:
    """The third scene of the worst drive waits until every drive has shown two, although it is worse than theirs."""
    where = drives(10, 10, 10)
    found = notable(failures(a0=9, a1=8, a2=7, a3=6, b0=3, b1=2, c0=1, c1=1), where)
    assert keys(found) == "a0 a1 b0"
    level = notable(failures(a0=9, a1=9, a2=9, a3=9, a4=9, b0=2, c0=1), where)
    assert (
        keys(level) == "a0 a1 a2 b0 c0"
    )  # 9 + 9 + 2 + 1 of 48 is less than half: a third one of the first drive


def test_scenes_without_a_drive_stand_for_themselves() -> None:
    """A scene with no drive, or that nobody knows, is a drive of its own."""
    where = {**dict.fromkeys("abcdefghijkl", "")}
    assert keys(notable(failures(a=3, b=2, c=1), where)) == "a b c"
    assert keys(notable(failures(a=3, b=2, c=1, d=1), {})) == "a b c"


def test_ties_go_by_key() -> None:
    """Scenes with the same evidence stand in the order of their keys, however they came."""
    where = {key: key for key in "abcdefghijkl"}
    assert keys(notable(failures(d=1, b=1, c=1, a=1, e=1, f=1, g=1), where)) == "a b c d"


@pytest.mark.parametrize("seed", range(3))
def test_their_order_does_not_matter(seed: int) -> None:
    """Any order of the failures gives the same list, worst first."""
    given = failures(a0=4, a1=3, a2=3, b0=2, b1=2, c0=1)
    wanted = notable(given, drives(6, 6, 6))
    random.Random(seed).shuffle(given)
    found = notable(given, drives(6, 6, 6))
    assert found == wanted
    assert [one.evidence for one in found] == sorted((one.evidence for one in found), reverse=True)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 20)), max_size=40),
    st.integers(0, 30),
)
def test_bounds(rows: list[tuple[int, float]], clean: int) -> None:
    """Never more than a third of the scenes (or three), never fewer than three where there are three; each once; and no
    failure of a drive that shows fewer than two is left out for the third of another."""
    given_ = [a_failure(f"s{i}", evidence=value) for i, (_, value) in enumerate(rows)]
    where = {f"s{i}": f"d{drive}" for i, (drive, _) in enumerate(rows)} | {f"x{i}": "x" for i in range(clean)}
    found = notable(given_, where)
    names = [one.key for one in found]
    assert len(set(names)) == len(names) <= max(LEAST, len(where) // 3)
    assert len(names) >= min(LEAST, len(rows))
    taken = [sum(where[name] == drive for name in names) for drive in sorted(set(where.values()))]
    there = [sum(where[one.key] == drive for one in given_) for drive in sorted(set(where.values()))]
    if any(n > 2 for n in taken):
        assert all(n >= min(2, most) for n, most in zip(taken, there, strict=True))
