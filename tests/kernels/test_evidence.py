"""What the model sees of failing kinds, mixed with looks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from swath.kernels import neighbors
from swath.kernels.evidence import class_evidence, nearest_with_evidence
from swath.kernels.neighbors import top_k

QUARTERS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
Array = Any


def brute_force(
    queries: Array, weights: Array, pool: Array, evidence: Array, share: float
) -> list[list[float]]:
    """(F, N) scores by the formula, pair by pair, every sum in float64 without rounding (`math.fsum`)."""

    def dot(one: Array, two: Array) -> float:
        return math.fsum(float(a) * float(b) for a, b in zip(one, two, strict=True))

    return [
        [
            (1 - share) * dot(query, line) / math.sqrt(dot(query, query) * dot(line, line))
            + share * dot(weight, seen)
            for line, seen in zip(pool, evidence, strict=True)
        ]
        for query, weight in zip(queries, weights, strict=True)
    ]


@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-9, 0.5, 1 - 1e-9, 1.0])),
    size=st.integers(1, 25),
    width=st.integers(1, 5),
    classes=st.integers(0, 4),
    k=st.integers(1, 30),
    block=st.integers(1, 30),
)
def test_the_best_rows_by_brute_force(
    seed: int, share: float, size: int, width: int, classes: int, k: int, block: int
) -> None:
    """Scores are those of the formula to 1e-12, best first, none left out is better; copies come lowest row first."""
    rng = np.random.default_rng(seed)
    queries, pool = rng.normal(size=(3, width)), rng.normal(size=(size, width)).astype(np.float32)
    weights = rng.dirichlet(np.ones(classes), size=3) if classes else np.zeros((3, 0))
    weights[rng.random(3) < 0.3] = 0
    evidence = rng.integers(0, 4, (size, classes)) / 3
    twin = rng.integers(0, size, size)  # some rows are copies
    pool, evidence = pool[twin], evidence[twin]
    rows, scores = nearest_with_evidence(queries, weights, pool, evidence, share, k, block=block)
    assert rows.shape == scores.shape == (3, min(k, size))
    assert (rows.dtype, scores.dtype) == (np.int64, np.float64)
    wanted = np.array(brute_force(queries, weights, pool, evidence, share))
    for found, score, value in zip(rows, scores, wanted, strict=True):
        assert len(set(found.tolist())) == len(found)
        np.testing.assert_allclose(score, value[found], atol=1e-12, rtol=0)
        assert (np.diff(score) <= 0).all()
        assert np.delete(value, found).max(initial=-np.inf) <= value[found[-1]] + 1e-12
        for one in range(size):
            copies = np.flatnonzero(twin == one)
            assert found[np.isin(found, copies)].tolist() == copies[: np.isin(copies, found).sum()].tolist()


@given(
    seed=st.integers(0, 2**32 - 1),
    share=QUARTERS,
    size=st.integers(1, 60),
    k=st.integers(1, 70),
    block=st.integers(1, 70),
)
def test_ties_of_unlike_rows_come_in_their_order(
    seed: int, share: float, size: int, k: int, block: int
) -> None:
    """Where every product is exact (axes, quarters), the answer is a stable sort of the scores, bit for bit."""
    rng = np.random.default_rng(seed)
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    queries, pool = axes[rng.integers(0, 6, 4)], axes[rng.integers(0, 6, size)]
    weights = np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75], [0.0, 0.0]])
    evidence = rng.integers(0, 5, (size, 2)) / 4
    rows, scores = nearest_with_evidence(queries, weights, pool, evidence, share, k, block=block)
    wanted = np.array(brute_force(queries, weights, pool, evidence, share))
    expected = np.argsort(-wanted, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, np.take_along_axis(wanted, expected, 1))


def near_ties() -> tuple[Array, Array, Array, Array]:
    """Queries, weights, pool, evidence: clumps of rows whose scores differ by less than float32 can tell, and by nothing."""
    rng = np.random.default_rng(2)
    pool = np.repeat(rng.normal(size=(40, 48)), 50, axis=0)
    pool += 1e-7 * rng.normal(size=pool.shape) * (rng.random((2000, 1)) < 0.5)
    evidence = np.repeat(rng.random((40, 8)), 50, axis=0)
    evidence += 1e-8 * rng.random(evidence.shape) * (rng.random((2000, 1)) < 0.5)
    queries = rng.normal(size=(30, 48)) * 0.1 + pool[::67][:30]
    return queries, rng.dirichlet(np.ones(8), size=30), pool, np.minimum(evidence, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
def test_the_same_for_every_block_size_and_thread_count(dtype: type, share: float) -> None:
    """Clumps closer than float32 can tell come out the same, to the bit, for any block, threads and queries beside."""
    queries, weights, pool, evidence = near_ties()
    queries, pool = queries.astype(dtype), pool.astype(dtype)
    rows, scores = nearest_with_evidence(queries, weights, pool, evidence, share, 73)
    for block in (1, 7, 100, 1999, 5000):
        for threads in (1, 2):
            with threadpool_limits(threads):
                again = nearest_with_evidence(queries, weights, pool, evidence, share, 73, block=block)
            np.testing.assert_array_equal(again[0], rows)
            np.testing.assert_array_equal(again[1], scores)
    for i in range(30):
        one = slice(i, i + 1)
        alone = nearest_with_evidence(queries[one], weights[one], pool, evidence, share, 73)
        np.testing.assert_array_equal(alone[0][0], rows[i])
        np.testing.assert_array_equal(alone[1][0], scores[i])


@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 1),
    size=st.integers(1, 80),
    block=st.integers(1, 90),
    scale=st.sampled_from([1e-8, 1e-4, 1.0]),
)
def test_the_same_for_every_block_size(seed: int, share: float, size: int, block: int, scale: float) -> None:
    """Rows that lie `scale` apart in looks and in evidence: one block or many, the same bits."""
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(3, 6)).astype(np.float32)
    pool = (rng.normal(size=6) + scale * rng.normal(size=(size, 6))).astype(np.float32)
    weights, evidence = rng.dirichlet(np.ones(3), size=3), 1 - scale * rng.random((size, 3))
    rows, scores = nearest_with_evidence(queries, weights, pool, evidence, share, 7)
    again = nearest_with_evidence(queries, weights, pool, evidence, share, 7, block=block)
    np.testing.assert_array_equal(again[0], rows)
    np.testing.assert_array_equal(again[1], scores)


def test_a_margin_of_nothing_would_lose_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The margin covers the rounding of looks and evidence: without it the clumps come out wrong."""
    given_ = near_ties()
    expected, _ = nearest_with_evidence(*given_, 0.5, 73)
    monkeypatch.setattr(neighbors, "_margin", lambda width: -1e-7)
    assert (nearest_with_evidence(*given_, 0.5, 73)[0] != expected).any()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(1, 4000))
def test_the_margin_is_wider_than_the_rounding(seed: int, share: float, width: int) -> None:
    """The float32 product of the lines is nearer to the exact score than the margin, whatever the share."""
    rng = np.random.default_rng(seed)
    queries, pool = rng.normal(size=(2, width)) * 1e-20, np.abs(rng.normal(size=(3, width))) * 1e20
    weights, evidence = rng.dirichlet(np.ones(8), size=2), rng.random((3, 8))
    asked = neighbors._Lines(queries, np.linalg.norm(queries, axis=1), weights).rough(
        slice(None), 1 - share, share
    )
    lines = neighbors._Lines(pool, np.linalg.norm(pool, axis=1), evidence).rough(slice(None), 1, 1)
    off = asked @ lines.T - np.array(brute_force(queries, weights, pool, evidence, share))
    assert np.abs(off).max() < neighbors._margin(width + 8)


def test_looks_alone_are_the_plain_search() -> None:
    """With a share of 0, or without classes, the rows are those of `top_k`, and its similarities before they are rounded."""
    queries, weights, pool, evidence = near_ties()
    rows, similarity = top_k(queries, pool, 73)
    nothing = np.zeros((30, 0)), np.zeros((2000, 0))
    for found, scores in (
        nearest_with_evidence(queries, weights, pool, evidence, 0.0, 73),
        nearest_with_evidence(queries, nothing[0], pool, nothing[1], 0.0, 73),
    ):
        np.testing.assert_array_equal(found, rows)
        np.testing.assert_array_equal(scores.astype(np.float32), similarity)


def test_evidence_alone_where_nothing_is_seen() -> None:
    """With a share of 1 and nothing seen, all rows are equal: the lowest come first, with a score of 0."""
    rows, scores = nearest_with_evidence(
        np.eye(2), np.full((2, 3), 1 / 3), np.ones((9000, 2)), np.zeros((9000, 3)), 1.0, 5
    )
    assert rows.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert not scores.any()


def test_a_class_that_nobody_saw_is_no_evidence() -> None:
    """A score of 0 is evidence 0, the best of a class is evidence 1, and ties share the lowest percentile."""
    found = class_evidence(np.array([[0.0, 0.2], [0.0, 0.2], [0.0, 0.9]]))
    assert found.tolist() == [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]


@given(st.integers(0, 2**32 - 1))
def test_evidence_depends_on_the_order_of_scores_alone(seed: int) -> None:
    """Any growing function of the scores gives the same evidence: classes need not be calibrated."""
    scores = np.random.default_rng(seed).random((20, 3))
    assert np.array_equal(class_evidence(scores), class_evidence(np.sqrt(scores)))


def test_nothing_and_one() -> None:
    """No candidates give no rows; one candidate has nothing to be compared with, and evidence 0."""
    assert class_evidence(np.zeros((0, 2))).shape == (0, 2)
    assert class_evidence(np.array([[0.7]])).tolist() == [[0.0]]
    rows, scores = nearest_with_evidence(
        np.ones((1, 2)), np.zeros((1, 1)), np.zeros((0, 2)), np.zeros((0, 1)), 0.5, 3
    )
    assert rows.shape == scores.shape == (1, 0)
