"""The exact nearest rows of a pool, for thousands of queries and millions of rows, in little memory.

A float32 matrix product by blocks finds every row that could be among the best, with a margin that covers its rounding;
those are scored again in float64, each in the same order of additions. So the answer depends on the vectors alone: not
on the block size, the number of threads or the BLAS. Figures of the rows that count beside the cosine lengthen the lines
of that product, and are scored in the same pass. Index space: `row` is a position in `pool` (N, D).
Method, costs and limits: `docs/methods/targeted.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import some

Array = NDArray[Any]

_QUERIES = 1024  # queries in one matrix product
_VALUES = 2**20  # float64 values of vectors that are handled in one go: 8 MB
_PAIRS = 2**18  # of a query and a row, that are looked at in one go


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
    queries, pool = _vectors("query", queries), _vectors("pool", pool)
    nothing = np.zeros((len(queries), 0)), np.zeros((len(pool), 0))
    rows, similarity = mixed_top_k(queries, pool, k, *nothing, 0.0, block=block)
    return rows, similarity.astype(np.float32)


def mixed_top_k(
    queries: Array, pool: Array, k: int, weights: Array, figures: Array, share: float, *, block: int = 4096
) -> tuple[Array, Array]:
    """As `top_k`, ranked by (1 - share) * cosine(query, row) + share * sum_j weights[query, j] * figures[row, j].

    weights (F, J), figures (N, J) and share in [0, 1]. Returns rows (F, min(k, N)) int64 and those ranks,
    float64.
    """
    queries, pool = _vectors("query", queries), _vectors("pool", pool)
    if queries.shape[1] != pool.shape[1]:
        raise ValueError(
            f"expected queries and pool of one width, got {queries.shape[1]} and {pool.shape[1]}"
        )
    if k < 0 or block < 1:
        raise ValueError(f"expected k >= 0 and block >= 1, got {k} and {block}")
    weights, figures = _beside(len(queries), len(pool), weights, figures, share)
    query_lengths, lengths = _lengths("query", queries), _lengths("pool", pool)
    if share == 1:  # looks don't count
        queries, pool = queries[:, :0], pool[:, :0]
    k = min(k, len(pool))
    rows, ranks = np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k))
    lines = _Lines(pool, lengths, figures)
    for start in range(0, len(queries) if k else 0, _QUERIES):
        part = slice(start, start + _QUERIES)
        search = _Search(_Lines(queries[part], query_lengths[part], weights[part]), lines, share, k)
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


def _beside(count: int, size: int, weights: Array, figures: Array, share: float) -> tuple[Array, Array]:
    """The weights (F, J) and figures (N, J) of `mixed_top_k`; ValueError says what they must be and are not."""
    weights, figures = _vectors("weight", weights), _vectors("figure", figures)
    if weights.shape != (count, figures.shape[1]) or len(figures) != size:
        raise ValueError(
            f"expected weights ({count}, J) and figures ({size}, J), got {weights.shape} and {figures.shape}"
        )
    for name, given in (("weights", weights), ("figures", figures), ("a share", np.asarray(share))):
        low, high = given.min(initial=0), given.max(initial=0)
        if not (low >= 0 and high <= 1):
            raise ValueError(f"expected {name} in [0, 1], got {low} to {high}")
    return weights, figures


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


@dataclass(frozen=True)
class _Lines:
    """vectors (n, D), their float64 lengths (n,), and what counts beside them: figures or weights (n, J)."""

    vectors: Array
    lengths: Array
    beside: Array

    def rough(self, part: slice, looks: float, figures: float) -> Array:
        """(rows, D + J) float32: vectors of length `looks`, and what counts beside them times `figures`."""
        width = self.vectors.shape[1]
        out = np.empty((len(self.lengths[part]), width + self.beside.shape[1]), np.float32)
        np.divide(
            self.vectors[part],
            self.lengths[part, None],
            out=out[:, :width],
            dtype=np.float64,
            casting="same_kind",
        )
        out[:, width:] = self.beside[part]
        if looks != 1:
            out[:, :width] *= np.float32(looks)
        if figures != 1:
            out[:, width:] *= np.float32(figures)
        return out


class _Search:
    """The best k rows for some queries, while the pool goes by in blocks of rising rows."""

    def __init__(self, queries: _Lines, pool: _Lines, share: float, k: int) -> None:
        self._queries, self._pool, self._share, self._k = queries, pool, share, k
        self._asked = queries.rough(slice(None), 1 - share, share)
        heaviest = queries.beside.sum(axis=1, dtype=np.float64).max(initial=0)
        self._margin = _margin(self._asked.shape[1]) * max(1.0, (1 - share) + share * float(heaviest))
        self._rows = np.full((len(queries.lengths), k), len(pool.lengths), np.int64)
        self._ranks = np.full(self._rows.shape, -np.inf)  # best first
        self._found: list[tuple[Array, Array, Array]] = []  # (query, row, rank) not yet among them
        self._waiting = 0

    def look_at(self, start: int, end: int) -> None:
        rough = self._asked @ self._pool.rough(slice(start, end), 1, 1).T
        need = self._ranks[:, -1] - self._margin
        close = rough >= need[:, None].astype(np.float32)
        crowded = np.count_nonzero(close, axis=1) > 2 * self._k  # in the first block: all
        for many in np.flatnonzero(crowded):
            edge = np.partition(rough[many], -self._k)[-self._k]
            close[many] &= rough[many] >= np.float32(edge - 2 * self._margin)
        step = max(1, _PAIRS // (end - start))
        for first in range(0, len(close), step):  # where many rows are equal, nearly all pairs are close
            query, line = np.nonzero(close[first : first + step])
            self._add(query + first, line + start)

    def _add(self, query: Array, row: Array) -> None:
        rank = self._exact(query, row)
        better = rank > self._ranks[query, -1]  # equal: the lower row, which was there before, stays
        self._found.append((query[better], row[better], rank[better]))
        self._waiting += np.count_nonzero(better)
        if self._waiting > self._ranks.size // 4:
            self._merge()

    def result(self) -> tuple[Array, Array]:
        self._merge()
        return self._rows, self._ranks

    def _exact(self, query: Array, row: Array) -> Array:
        """(P,) float64 ranks of the pairs (query, row): the same additions for a pair whatever else is scored."""
        ranks = np.empty(len(query))
        step = max(1, _VALUES // max(1, self._asked.shape[1]))
        for start in range(0, len(query), step):
            q, r = query[start : start + step], row[start : start + step]
            cosine = _products(self._queries.vectors, q, self._pool.vectors, r)
            cosine /= self._queries.lengths[q] * self._pool.lengths[r]
            beside = _products(self._queries.beside, q, self._pool.beside, r)
            ranks[start : start + step] = (1 - self._share) * cosine + self._share * beside
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


def _products(one: Array, q: Array, two: Array, r: Array) -> Array:
    """(P,) float64 dot products of the rows `q` of one with the rows `r` of two, each added up in the same order."""
    products = two[r].astype(np.float64)
    products *= one[q]
    return np.asarray(products.sum(axis=1))


def _margin(width: int) -> float:
    """Bound of |float32 product - rank| for vectors of length one, whatever the order of additions.

    Higham, "Accuracy and Stability of Numerical Algorithms", 3.1: a sum of n products is off by at most
    n u / (1 - n u) of the sum of their sizes, here at most 1 (1 - share of the cosine, share of the figures, whose
    weights add up to 1; the caller scales it where they add up to more). The 8 cover the rounding of both lines and of
    the threshold, the last term what is lost below the smallest float32.
    """
    units = (width + 8) * 2.0**-24
    return units / (1 - units) + width * 1e-37
