"""The exact nearest rows of a pool, for a few thousand queries and up to millions of rows.

A float32 matrix product by blocks finds every row that could be among the best, with a margin that covers its rounding;
those are scored again in float64, each in the same order of additions. So the answer depends on the vectors alone: not
on the block size, the number of threads or the BLAS. Index space: `row` is a position in `pool` (N, D).
Method and costs: `docs/methods/targeted.md`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import some

Array = NDArray[Any]
Metric = Literal["cosine", "dot"]

_QUERIES = 1024  # queries in one matrix product
_PAIRS = 2**20  # values scored again in one go (8 MB in float64, three times)


def top_k(
    queries: Array,
    pool: Array,
    k: int,
    *,
    metric: Metric = "cosine",
    offsets: Array | None = None,
    block: int = 4096,
) -> tuple[Array, Array]:
    """The k most similar pool rows of each query, best first, ties by lowest row.

    queries (F, D), pool (N, D), real and finite. Returns rows (F, min(k, N)) int64 and similarities of the same shape,
    float32. Ranked by the float64 similarity, plus `offsets` (N,) of the row where given.
    Beyond the vectors it needs about 4 * block * min(F, 1024) bytes and some 40 MB. Raises ValueError naming rows that
    are not finite or, for cosine, zero.
    """
    queries, pool = _vectors("queries", queries), _vectors("pool", pool)
    if queries.shape[1] != pool.shape[1]:
        raise ValueError(
            f"expected queries and pool of one width, got {queries.shape[1]} and {pool.shape[1]}"
        )
    if k < 0 or block < 1:
        raise ValueError(f"expected k >= 0 and block >= 1, got {k} and {block}")
    bonus = np.zeros(len(pool)) if offsets is None else np.asarray(offsets, np.float64)
    if bonus.shape != (len(pool),) or not np.isfinite(bonus).all():
        raise ValueError(f"expected one finite offset per pool row, got shape {bonus.shape}")
    lengths = _lengths("queries", queries, metric), _lengths("pool", pool, metric)
    k = min(k, len(pool))
    rows = np.zeros((len(queries), k), np.int64)
    values = np.zeros((len(queries), k), np.float32)
    for start in range(0, len(queries) if k else 0, _QUERIES):
        part = slice(start, start + _QUERIES)
        rows[part], values[part] = _search(queries[part], lengths[0][part], pool, lengths[1], k, bonus, block)
    return rows, values


def _vectors(name: str, given: Array) -> Array:
    vectors = np.asarray(given)
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiub":
        raise ValueError(f"expected {name} as (rows, D) real numbers, got {vectors.shape}, {vectors.dtype}")
    return vectors


def _lengths(name: str, vectors: Array, metric: Metric) -> Array:
    """(rows,) float64 lengths for cosine, ones for dot; ValueError names the rows that have no direction."""
    if metric not in ("cosine", "dot"):
        raise ValueError(f"expected metric 'cosine' or 'dot', got {metric!r}")
    lengths = np.empty(len(vectors))
    step = max(1, _PAIRS // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step].astype(np.float64)
        lengths[start : start + step] = np.sqrt((block * block).sum(axis=1))
    for what, bad in (("finite", ~np.isfinite(lengths)), ("longer than zero", lengths == 0)):
        if bad.any() and (what == "finite" or metric == "cosine"):
            found = some(np.flatnonzero(bad).tolist())
            raise ValueError(f"expected {name} vectors that are {what}; rows {found} are not: leave them out")
    return lengths if metric == "cosine" else np.ones(len(vectors))


def _search(
    queries: Array, lengths: Array, pool: Array, pool_lengths: Array, k: int, bonus: Array, block: int
) -> tuple[Array, Array]:
    """Rows and similarities (F, k) for one slice of queries."""
    count, width = queries.shape
    scaled = (queries / lengths[:, None]).astype(np.float32)
    slack = _slack(scaled, width)
    rows = np.full((count, k), len(pool), np.int64)
    ranks = np.full((count, k), -np.inf)  # float64 similarity + offset of `rows`, best first
    for start in range(0, len(pool), block):
        part = slice(start, start + block)
        lines = (pool[part] / pool_lengths[part, None]).astype(np.float32)
        margin = slack[:, None] * np.linalg.norm(lines, axis=1).max() + 1e-30
        rough = scaled @ lines.T
        if bonus.any():
            rough += bonus[part].astype(np.float32)
            margin = margin + 2.0**-22 * (np.abs(bonus[part]).max() + np.abs(rough).max())
        need = ranks[:, -1:] - margin
        for query in np.flatnonzero((rough >= need).sum(axis=1) > 2 * k):
            edge = np.partition(rough[query], -k)[-k]
            need[query] = max(need[query, 0], edge - 2 * margin[query, 0])
        query, line = np.nonzero(rough >= need.astype(np.float32))
        exact = _exact(queries, lengths, pool, pool_lengths, query, line + start) + bonus[line + start]
        _keep_best(rows, ranks, query, line + start, exact, k)
    return rows, (ranks - bonus[rows]).astype(np.float32)


def _slack(scaled: Array, width: int) -> Array:
    """(F,) bound of |float32 product - float64 similarity| per unit of a row's length, whatever the order of additions.

    Higham, "Accuracy and Stability of Numerical Algorithms", 3.1: n additions lose at most n * u / (1 - n * u) of the
    sum of the sizes, which Cauchy and Schwarz bound by the lengths; 4 more for the rounding of both vectors.
    """
    units = (width + 8) * 2.0**-24
    bound: Array = np.linalg.norm(scaled.astype(np.float64), axis=1) * units / (1 - units) * 1.01
    return bound


def _exact(
    queries: Array, lengths: Array, pool: Array, pool_lengths: Array, query: Array, row: Array
) -> Array:
    """(P,) float64 similarities of the pairs (query, row): one order of additions for each pair, in chunks."""
    found = np.empty(len(query))
    step = max(1, _PAIRS // max(1, pool.shape[1]))
    for start in range(0, len(query), step):
        q, r = query[start : start + step], row[start : start + step]
        products = pool[r].astype(np.float64)
        products *= queries[q]
        found[start : start + step] = products.sum(axis=1) / (lengths[q] * pool_lengths[r])
    return found


def _keep_best(rows: Array, ranks: Array, query: Array, row: Array, rank: Array, k: int) -> None:
    """Merge new pairs into the best k of each query, in place. New rows are all higher than the kept ones."""
    order = np.lexsort((row, -rank, query))
    query, row, rank = query[order], row[order], rank[order]
    starts = np.flatnonzero(np.r_[True, query[1:] != query[:-1]]) if len(query) else []
    for start, end in zip(starts, [*starts[1:], len(query)], strict=True):
        at, end = query[start], min(end, start + k)
        both = np.concatenate([ranks[at], rank[start:end]])
        best = np.argsort(-both, kind="stable")[:k]
        rows[at] = np.concatenate([rows[at], row[start:end]])[best]
        ranks[at] = both[best]
