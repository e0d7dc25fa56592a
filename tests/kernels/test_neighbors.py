from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity
from threadpoolctl import threadpool_limits

from swath.kernels import neighbors
from swath.kernels.evidence import nearest_with_evidence
from swath.kernels.neighbors import mixed_top_k, top_k


def plain(queries, pool, k):
    """All similarities in float64 by scikit-learn, and a stable sort."""
    similarity = cosine_similarity(queries.astype(np.float64), pool.astype(np.float64))
    rows = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(similarity, rows, 1)


def vectors(rows, width=32, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 10, 500, 3000])
def test_equals_scikit_learn(k):
    """Rows and similarities are those of scikit-learn's cosine similarity and a sort, at most all rows of the pool."""
    rows, similarity = top_k(vectors(50), vectors(2000, seed=1), k)
    expected_rows, expected = plain(vectors(50), vectors(2000, seed=1), k)
    assert rows.shape == similarity.shape == (50, min(k, 2000))
    assert (rows.dtype, similarity.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(similarity, expected, atol=1e-7)


def near_ties():
    """A pool of tight clumps: differences below float32's, exact copies, and copies at other lengths."""
    rng = np.random.default_rng(2)
    pool = np.repeat(rng.normal(size=(40, 48)), 50, axis=0)
    pool += 1e-7 * rng.normal(size=pool.shape) * (rng.random((2000, 1)) < 0.5)
    pool *= 2.0 ** rng.integers(-3, 4, (2000, 1))
    return pool, rng.normal(size=(30, 48)) * 0.1 + pool[::67][:30]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_for_every_block_size_and_thread_count(dtype):
    """Clumps closer than float32 can tell come out the same, to the bit, for any block, threads and queries beside."""
    pool, queries = (array.astype(dtype) for array in near_ties())
    rows, similarity = top_k(queries, pool, 73)
    for block in (1, 7, 100, 1999, 5000):
        for threads in (1, 2):
            with threadpool_limits(threads):
                again = top_k(queries, pool, 73, block=block)
            np.testing.assert_array_equal(again[0], rows)
            np.testing.assert_array_equal(again[1], similarity)
    alone = [top_k(queries[i : i + 1], pool, 73)[0][0] for i in range(30)]
    np.testing.assert_array_equal(alone, rows)


def test_equal_rows_come_in_their_order():
    """Copies of a row, also at other lengths by powers of two, are equally similar and come lowest row first."""
    pool, queries = near_ties()
    rows, _ = top_k(queries, pool, 300)
    directions = pool / 2.0 ** np.floor(np.log2(np.abs(pool[:, :1])))
    _, same = np.unique(directions, axis=0, return_inverse=True)
    for found in rows:
        for copy in np.unique(same[found]):
            members = found[same[found] == copy]
            assert (np.diff(members) > 0).all()
    assert len(np.unique(same)) < 1200


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 5),
    size=st.integers(1, 60),
    width=st.integers(1, 6),
    k=st.integers(1, 70),
    block=st.integers(1, 70),
)
def test_small_whole_numbers_against_a_plain_sort(seed, count, size, width, k, block):
    """Where all products are exact, ties included, the answer is that of a stable sort of squared cosines in integers."""
    rng = np.random.default_rng(seed)
    queries, pool = rng.integers(1, 4, (count, width)), rng.integers(1, 4, (size, width))
    rows, _ = top_k(queries, pool, k, block=block)
    for query, found in zip(queries, rows, strict=True):
        dot, square = pool @ query, (pool * pool).sum(axis=1)
        scaled = [int(d) ** 2 * 9**5 * 2520**2 / int(s) for d, s in zip(dot, square, strict=True)]
        value = np.array(scaled)
        assert (np.diff(value[found]) <= 1e-9 * value.max()).all()
        assert len(set(found.tolist())) == min(k, size)
        left_out = np.delete(value, found)
        assert not len(left_out) or left_out.max() <= value[found[-1]] * (1 + 1e-9)


def test_a_margin_of_nothing_would_lose_neighbours(monkeypatch):
    """The margin is what makes the answer exact: without it the clumps come out wrong, and the comparison sees it."""
    pool, queries = (array.astype(np.float32) for array in near_ties())
    expected = top_k(queries, pool, 73)[0]
    monkeypatch.setattr(neighbors, "_margin", lambda width: -1e-7)
    assert (top_k(queries, pool, 73)[0] != expected).any()


def test_empty():
    """No queries, no pool and k = 0 give empty arrays of the right shape."""
    for count, size, k, shape in ((0, 5, 3, (0, 3)), (4, 0, 3, (4, 0)), (4, 5, 0, (4, 0))):
        rows, similarity = top_k(vectors(count), vectors(size), k)
        assert rows.shape == similarity.shape == shape


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vectors_without_direction_are_named(value):
    """A zero, NaN or infinite vector is named, in the queries and in the pool."""
    bad = vectors(9000)
    bad[[3, 8500]] = value
    with pytest.raises(ValueError, match=r"pool vectors .* rows 3, 8500 are not"):
        top_k(vectors(5), bad, 2)
    with pytest.raises(ValueError, match=r"query vectors .* rows 3, 8500 are not"):
        top_k(bad, vectors(5), 2)


def test_wrong_arguments_are_refused():
    """Unequal widths, other metrics and negative sizes raise a ValueError."""
    with pytest.raises(ValueError, match="one width, got 32 and 8"):
        top_k(vectors(5), vectors(5, 8), 2)
    with pytest.raises(ValueError, match="metric"):
        top_k(vectors(5), vectors(5), 2, metric="euclidean")
    with pytest.raises(ValueError, match="k >= 0"):
        top_k(vectors(5), vectors(5), -1)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_length_does_not_matter(scale):
    """Vectors of any length that float32 holds give the similarities of their directions."""
    expected = top_k(vectors(20), vectors(500, seed=1), 9)
    rows, similarity = top_k(vectors(20) * np.float32(scale), vectors(500, seed=1) * np.float32(scale), 9)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_allclose(similarity, expected[1], atol=1e-6)


@pytest.mark.parametrize("search", [top_k, nearest_with_evidence])
def test_memory_does_not_grow_with_the_pool(search):
    """Beyond the vectors and the evidence, a pool four times as large takes a few bytes a row more memory."""
    queries, pool = vectors(200, 64), vectors(200_000, 64)
    weights, evidence = np.full((200, 8), 1 / 8), np.random.default_rng(3).random((200_000, 8))
    peaks = []
    for size in (50_000, 200_000):
        tracemalloc.start()
        if search is top_k:
            top_k(queries, pool[:size], 20)
        else:  # what `select` calls
            nearest_with_evidence(queries, weights, pool[:size], evidence[:size], 0.5, 20)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 150_000 * 8 * 3  # a length, and what finds bad ones
    assert peaks[1] < 40e6


def test_memory_does_not_grow_with_copies():
    """Where all rows are equal, all are scored exactly, and the lowest come first; not all at one time."""
    queries, pool = vectors(600, 4), np.ones((8000, 4), np.float32)
    tracemalloc.start()
    rows, _ = top_k(queries, pool, 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (rows == np.arange(20)).all()
    assert peak < 60e6  # with all pairs at one time, before they are sorted: 115 MB


def test_figures_and_weights_that_cannot_be_are_refused():
    """Other shapes, values outside [0, 1] and NaN raise a ValueError that says which."""
    good = {"weights": np.ones((5, 2)) / 2, "figures": np.ones((9, 2)), "share": 0.5}
    for name, value, message in (
        ("weights", np.ones((5, 3)), r"weights \(5, J\) and figures \(9, J\), got \(5, 3\) and \(9, 2\)"),
        ("figures", np.ones((8, 2)), r"got \(5, 2\) and \(8, 2\)"),
        ("figures", np.ones(9), r"expected figure vectors"),
        ("weights", np.full((5, 2), -0.1), r"weights in \[0, 1\], got -0.1"),
        ("figures", np.full((9, 2), 1.1), r"figures in \[0, 1\], got 0.0 to 1.1"),
        ("figures", np.full((9, 2), np.nan), r"figures in \[0, 1\], got nan"),
        ("share", 1.5, r"a share in \[0, 1\], got 0.0 to 1.5"),
        ("share", np.nan, r"a share in \[0, 1\], got nan"),
    ):
        with pytest.raises(ValueError, match=message):
            mixed_top_k(vectors(5), vectors(9), 2, **{**good, name: value})
