from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.kernels.allocate import allocate

KEYS = [f"scene{i:02d}" for i in range(30)]
levels = st.sampled_from([0.0, 0.25, 0.5, 1.0])  # few, so that ties are common


@st.composite
def problems(draw):
    """Coverage over some rows, failures with lists of unequal length that share candidates, and a budget."""
    coverage = draw(st.dictionaries(st.integers(0, 29), levels, max_size=30))
    failures = draw(st.lists(st.dictionaries(st.integers(0, 29), levels, max_size=8), max_size=6))
    budget = draw(st.integers(0, 35))
    share = Fraction(draw(st.integers(0, 10)), 10)
    exclude = draw(st.sets(st.sampled_from(KEYS), max_size=4))
    return coverage, failures, budget, share, exclude


def run(coverage, failures, budget, share, exclude, keys=KEYS, order=None):
    """Allocate a problem, its failures listed in `order`; lists are padded with -1."""
    order = range(len(failures)) if order is None else order
    width = max((len(failure) for failure in failures), default=0)
    rows, scores = np.full((len(failures), width), -1), np.full((len(failures), width), np.nan)
    for line, f in enumerate(order):
        rows[line, : len(failures[f])] = list(failures[f])
        scores[line, : len(failures[f])] = list(failures[f].values())
    return allocate(
        budget, list(coverage), list(coverage.values()), rows, scores, keys=keys, share=share, exclude=exclude
    )


def candidates(coverage, failures, exclude):
    return {row for part in (coverage, *failures) for row in part if KEYS[row] not in exclude}


@given(problems())
@settings(max_examples=50, deadline=None)
def test_size_share_and_no_scene_twice(problem):
    """The batch has min(budget, candidates) distinct scenes, the exact share for coverage, or a note that says why not."""
    coverage, failures, budget, share, exclude = problem
    batch = run(*problem)
    assert len(batch.rows) == min(budget, len(candidates(coverage, failures, exclude)))
    assert len(set(batch.rows.tolist())) == len(batch.rows)
    assert set(batch.rows.tolist()) <= candidates(coverage, failures, exclude)
    covered, wanted = int((batch.stream == "coverage").sum()), math.ceil(share * budget)
    assert covered == wanted or any("ran short" in note for note in batch.notes)
    assert any("coverage ran short" in note for note in batch.notes) == (covered < wanted)
    assert any("targets ran short" in note for note in batch.notes) == (
        len(batch.rows) - covered < budget - wanted
    )


@given(problems())
@settings(max_examples=50, deadline=None)
def test_each_scene_comes_with_its_reason(problem):
    """Rank, score and failure of every scene are those of the list it was chosen from, coverage best first."""
    coverage, failures, *_ = problem
    batch = run(*problem)
    for row, stream, score, failure in zip(batch.rows, batch.stream, batch.score, batch.failure, strict=True):
        assert (stream == "coverage") == (failure == -1)
        assert score == (coverage if failure == -1 else failures[failure])[row]
    for stream in ("coverage", "targeted"):
        ranks = batch.rank[batch.stream == stream]
        np.testing.assert_array_equal(ranks, np.arange(1, len(ranks) + 1))
    assert (np.diff(batch.score[batch.stream == "coverage"]) <= 0).all()
    assert (batch.stream[:-1] <= batch.stream[1:]).all()


@given(problems(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_of_inputs_changes_nothing(problem, random):
    """Rows renumbered, candidates and failures listed in another order: the same keys in the same places."""
    coverage, failures, budget, share, exclude = problem
    rename = random.sample(range(30), 30)
    keys = [""] * 30
    for row, new in enumerate(rename):
        keys[new] = KEYS[row]
    lists = [{rename[row]: score for row, score in part.items()} for part in (coverage, *failures)]
    lists = [dict(random.sample(list(part.items()), len(part))) for part in lists]
    order = random.sample(range(len(failures)), len(failures))
    first = run(*problem)
    second = run(lists[0], lists[1:], budget, share, exclude, keys, order)
    assert [KEYS[row] for row in first.rows] == [keys[row] for row in second.rows]
    assert first.stream.tolist() == second.stream.tolist()
    assert first.score.tolist() == second.score.tolist()
    assert first.notes == second.notes


@given(problems(), st.integers(0, 29), st.integers(-1, 5), levels)
@settings(max_examples=50, deadline=None)
def test_one_more_candidate_never_shrinks_the_batch(problem, row, where, score):
    """Adding a candidate to coverage or to a failure's list never makes the batch smaller."""
    coverage, failures, *rest = problem
    more = [dict(part) for part in (coverage, *failures)]
    more[(where + 1) % len(more)][row] = score
    assert len(run(more[0], more[1:], *rest).rows) >= len(run(*problem).rows)


@given(problems())
@settings(max_examples=50, deadline=None)
def test_failures_are_served_in_turns(problem):
    """A failure that still has candidates left was served at most once less than any other, and each its best first."""
    _, failures, _, _, exclude = problem
    batch = run(*problem)
    chosen = set(batch.rows.tolist())
    served = [int((batch.failure == f).sum()) for f in range(len(failures))]
    for f, failure in enumerate(failures):
        if any(row not in chosen and KEYS[row] not in exclude for row in failure):
            assert all(served[f] >= other - 1 for other in served)
        assert (np.diff(batch.score[batch.failure == f]) <= 0).all()


def test_by_hand():
    """Budget 5, share 0.30: coverage takes ceil(1.5) = 2; then f1's best, f0's best, and f1's next, as f0's is taken."""
    batch = allocate(
        5,
        np.array([0, 1, 2, 3]),
        np.array([0.1, 0.9, 0.8, 0.2]),
        np.array([[4, 2, 5], [6, 7, -1]]),
        np.array([[0.7, 0.6, 0.5], [0.9, 0.4, np.nan]]),
        keys=list("abcdefgh"),
    )
    assert batch.rows.tolist() == [1, 2, 6, 4, 5]
    assert batch.stream.tolist() == ["coverage"] * 2 + ["targeted"] * 3
    assert batch.rank.tolist() == [1, 2, 1, 2, 3]
    assert batch.failure.tolist() == [-1, -1, 1, 0, 0]
    assert batch.score.tolist() == [0.9, 0.8, 0.9, 0.7, 0.5]
    assert batch.notes == ()


@pytest.mark.parametrize(
    ("share", "budget", "covered"),
    [
        ("0.30", 10, 3),
        (0.3, 10, 3),
        ("0.30", 19, 6),
        ("1/3", 9, 3),
        ("0", 5, 0),
        ("1", 5, 5),
        (Fraction(1, 7), 7, 1),
    ],
)
def test_the_share_is_exact(share, budget, covered):
    """ceil(share * budget) is taken of the exact fraction: 0.3 of 10 is 3, not 4 by a binary rounding."""
    rows, scores = np.arange(30), np.linspace(0, 1, 30)
    batch = allocate(budget, rows, scores, rows[None], scores[None], keys=KEYS, share=share)
    assert int((batch.stream == "coverage").sum()) == covered
    assert len(batch.rows) == budget


def test_nothing_to_choose_from():
    """Empty streams, written in any shape, and a budget of nothing give an empty batch."""
    for rows in ([], np.zeros((0, 5), int), np.zeros((3, 0), int)):
        batch = allocate(4, [], [], rows, rows, keys=KEYS)
        assert batch.rows.shape == batch.rank.shape == batch.failure.shape == (0,)
        assert batch.notes[-1] == "candidates ran short: 0 for a budget of 4"
    batch = allocate(0, [1], [1.0], [[2]], [[1.0]], keys=KEYS)
    assert (len(batch.rows), batch.notes) == (0, ())


def test_excluding_an_unknown_key_is_said():
    """An excluded key that no row has is in the notes: a typing error must not pass in silence."""
    batch = allocate(1, [1], [1.0], [], [], keys=KEYS, share="1", exclude=["scene99"])
    assert batch.notes == ("excluded keys that no row has: scene99",)


def test_wrong_arguments_are_refused():
    """Rows outside the keys, NaN scores, repeated keys, shares outside 0..1 and shapes that differ raise ValueError."""
    good = {"keys": KEYS}
    for arguments, options, message in (
        ((1, [30], [1.0], [], []), good, r"rows in 0\.\.29, got 30"),
        ((1, [-1], [1.0], [], []), good, r"rows in 0\.\.29, got -1"),
        ((1, [], [], [[-2]], [[1.0]]), good, r"rows in 0\.\.29, got -2"),
        ((1, [3], [np.nan], [], []), good, "without NaN, which rows 3"),
        ((1, [3, 4], [1.0], [], []), good, "one shape"),
        ((1, [3], [1.0], [], []), {"keys": ["a"] * 30}, "distinct keys"),
        ((1, [3], [1.0], [], []), {**good, "share": "1.1"}, "share in 0..1"),
        ((-1, [3], [1.0], [], []), good, "budget >= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            allocate(*arguments, **options)
