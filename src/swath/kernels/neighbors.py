"""The exact nearest rows of a pool, for thousands of queries and millions of rows, in little memory.

A float32 matrix product by blocks finds every row that could be among the best, with a margin that covers its rounding;
those are scored again in float64, each in the same order of additions. So the answer depends on the vectors alone: not
on the block size, the number of threads or the BLAS. Index space: `row` is a position in `pool` (N, D).
Method, costs and limits: `docs/methods/targeted.md`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import some

Array = NDArray[Any]

_QUERIES = 1024  # queries in one matrix product
_VALUES = 2**20  # float64 values of vectors that are handled in one go: 8 MB


def top_k(
    queries: Array, pool: Array, k: int, *, metric: Literal["cosine"] = "cosine", block: int = 4096
) -> tuple[Array, Array]:
    """The k pool rows most similar to each query, best first, ties by lowest row.

    queries (F, D), pool (N, D), real and finite. Returns rows (F, min(k, N)) int64 and cosine similarities of the same
    shape, float32; the order is that of the float64 similarities. `block` rows of the pool are compared at a time: it
    changes the time and the memory (about 4 * block * min(F, 1024) bytes and 40 MB), never the answer. ValueError names
    rows that are zero or not finite.
    """
    if metric != "cosine":
        raise ValueError(f"expected metric 'cosine', got {metric!r}")
    rows, similarity = _top_k(queries, pool, k, None, block)
    return rows, similarity.astype(np.float32)


def contrast_top_k(
    failures: Array, clean: Array, pool: Array, k: int, *, weight: float = 1.0, block: int = 4096
) -> tuple[Array, Array]:
    """As `top_k`, ranked by similarity to a failure minus `weight` times the largest similarity to a clean scene.

    failures (F, D), clean (M, D): validation scenes without errors; M = 0 gives `top_k`. Returns rows (F, min(k, N))
    and those differences, float32. A pool row near to scenes that the model gets right falls behind.
    """
    clean = np.asarray(clean)
    if not len(clean):
        return top_k(failures, pool, k, block=block)
    _, similarity = top_k(pool, clean, 1, block=block)
    rows, difference = _top_k(failures, pool, k, -weight * similarity[:, 0].astype(np.float64), block)
    return rows, difference.astype(np.float32)


def _top_k(queries: Array, pool: Array, k: int, offsets: Array | None, block: int) -> tuple[Array, Array]:
    """Rows and float64 ranks (F, min(k, N)): cosine similarity plus the `offsets` (N,) of the rows."""
    queries, pool = _vectors("query", queries), _vectors("pool", pool)
    if queries.shape[1] != pool.shape[1]:
        raise ValueError(
            f"expected queries and pool of one width, got {queries.shape[1]} and {pool.shape[1]}"
        )
    if k < 0 or block < 1:
        raise ValueError(f"expected k >= 0 and block >= 1, got {k} and {block}")
    if offsets is None:
        offsets = np.zeros(len(pool))
    query_lengths, lengths = _lengths("query", queries), _lengths("pool", pool)
    k = min(k, len(pool))
    rows, ranks = np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k))
    for start in range(0, len(queries) if k else 0, _QUERIES):
        part = slice(start, start + _QUERIES)
        search = _Search(queries[part], query_lengths[part], pool, lengths, offsets, k)
        for first in range(0, len(pool), block):
            search.look_at(first, min(first + block, len(pool)))
        rows[part], ranks[part] = search.result()
    return rows, ranks


def _vectors(name: str, given: Array) -> Array:
    vectors = np.asarray(given)
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiub":
        raise ValueError(
            f"expected {name} vectors (rows, D) of real numbers, got {vectors.shape}, {vectors.dtype}"
        )
    return vectors


def _lengths(name: str, vectors: Array) -> Array:
    """(rows,) float64 lengths; ValueError names the rows that have no direction."""
    lengths = np.empty(len(vectors))
    step = max(1, _VALUES // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step].astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            block *= block
        lengths[start : start + step] = np.sqrt(block.sum(axis=1))
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        raise ValueError(
            f"expected {name} vectors that are finite and not zero; rows {some(bad.tolist())} are not"
        )
    return lengths


class _Search:
    """The best k rows for some queries, while the pool goes by in blocks of rising rows."""

    def __init__(
        self, queries: Array, query_lengths: Array, pool: Array, lengths: Array, offsets: Array, k: int
    ) -> None:
        self._queries, self._query_lengths = queries, query_lengths
        self._pool, self._lengths, self._offsets, self._k = pool, lengths, offsets, k
        self._scaled = _scaled(queries, query_lengths)
        self._margin = _margin(queries.shape[1])
        self._rows = np.full((len(queries), k), len(pool), np.int64)
        self._ranks = np.full((len(queries), k), -np.inf)  # best first
        self._found: list[tuple[Array, Array, Array]] = []  # (query, row, rank) not yet among them
        self._waiting = 0

    def look_at(self, start: int, end: int) -> None:
        rough = self._scaled @ _scaled(self._pool[start:end], self._lengths[start:end]).T
        offsets = self._offsets[start:end]
        margin = self._margin
        if offsets.any():
            rough += offsets.astype(np.float32)
            margin += 2.0**-22 * (1 + float(np.abs(offsets).max()))
        need = self._ranks[:, -1] - margin
        close = rough >= need[:, None].astype(np.float32)
        crowded = np.count_nonzero(close, axis=1) > 2 * self._k  # in the first block: all
        for many in np.flatnonzero(crowded):
            edge = np.partition(rough[many], -self._k)[-self._k]
            close[many] &= rough[many] >= np.float32(edge - 2 * margin)
        query, line = np.nonzero(close)
        self._found.append((query, line + start, self._exact(query, line + start)))
        self._waiting += len(query)
        if self._waiting > self._ranks.size // 4:
            self._merge()

    def result(self) -> tuple[Array, Array]:
        self._merge()
        return self._rows, self._ranks

    def _exact(self, query: Array, row: Array) -> Array:
        """(P,) float64 ranks of the pairs (query, row): the same additions for a pair whatever else is scored."""
        ranks = np.empty(len(query))
        step = max(1, _VALUES // max(1, self._pool.shape[1]))
        for start in range(0, len(query), step):
            q, r = query[start : start + step], row[start : start + step]
            products = self._pool[r].astype(np.float64)
            products *= self._queries[q]
            cosine = products.sum(axis=1) / (self._query_lengths[q] * self._lengths[r])
            ranks[start : start + step] = cosine + self._offsets[r]
        return ranks

    def _merge(self) -> None:
        count, k = self._ranks.shape
        query = np.concatenate([np.repeat(np.arange(count), k), *(found[0] for found in self._found)])
        row = np.concatenate([self._rows.ravel(), *(found[1] for found in self._found)])
        rank = np.concatenate([self._ranks.ravel(), *(found[2] for found in self._found)])
        order = np.lexsort((row, -rank, query))
        best = order[np.searchsorted(query[order], np.arange(count))[:, None] + np.arange(k)]
        self._rows, self._ranks = row[best], rank[best]
        self._found, self._waiting = [], 0


def _scaled(vectors: Array, lengths: Array) -> Array:
    """(rows, D) float32 of length one."""
    scaled = np.empty(vectors.shape, np.float32)
    return np.divide(vectors, lengths[:, None], out=scaled, dtype=np.float64, casting="same_kind")


def _margin(width: int) -> float:
    """Bound of |float32 product - cosine similarity| for vectors of length one, whatever the order of additions.

    Higham, "Accuracy and Stability of Numerical Algorithms", 3.1: a sum of n products is off by at most
    n u / (1 - n u) of the sum of their sizes, here at most 1; the 8 cover the rounding of both vectors and of the
    threshold, the last term what is lost below the smallest float32.
    """
    units = (width + 8) * 2.0**-24
    return units / (1 - units) + width * 1e-37
