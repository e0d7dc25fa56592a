"""Scores for coverage: which pool rows to label first, given what is labelled already.

    zcore         ZCore over the pool alone: the published method; what is labelled does not count
    zcore_joint   ZCore over pool and labelled together: labelled rows absorb draws, and their neighbours lose by them
    kcenter       greedy farthest-first from what is labelled (Sener and Savarese, ICLR 2018)
    random        a seeded order

How they compare: `docs/methods/coverage.md`. Index space: `row` is a position in `pool` (N, D).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from swath.errors import some
from swath.kernels import zcore

Array = NDArray[Any]
CoverageMethod = Literal["zcore", "zcore_joint", "kcenter", "random"]


def coverage_scores(
    pool: Array,
    labelled: Array,
    *,
    method: CoverageMethod = "zcore",
    seed: int,
    select: float = 0.1,
    target_overlap: float = 0.8,
    max_draws: int | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """(N,) float64, higher = label first, for pool (N, D) given labelled (M, D), M = 0 allowed.

    select: the share of the pool that will be chosen; k-center places that many one by one, the rest by distance.
    target_overlap, max_draws, workers, progress: as in `zcore.score`. Scores of different methods can't be compared.
    Raises ValueError on non-finite rows, on widths that differ and on an unknown method.
    """
    if method not in get_args(CoverageMethod):
        raise ValueError(f"expected a method of {', '.join(get_args(CoverageMethod))}; got {method!r}")
    pool, labelled = np.asarray(pool), np.asarray(labelled)
    if labelled.size == 0:
        labelled = np.zeros((0, pool.shape[1]), pool.dtype)
    if pool.ndim != 2 or labelled.ndim != 2 or pool.shape[1] != labelled.shape[1]:
        raise ValueError(f"expected pool (N, D) and labelled (M, D), got {pool.shape} and {labelled.shape}")
    if method == "random":
        return np.random.Generator(np.random.Philox(seed)).random(len(pool))
    if method == "kcenter":
        return _k_center(pool, labelled, int(np.ceil(round(select * len(pool), 9))))
    together = pool if method == "zcore" else np.concatenate([pool, labelled])
    result = zcore.score(
        together,
        seed=seed,
        select=select,
        target_overlap=target_overlap,
        max_draws=max_draws,
        workers=workers,
        progress=progress,
    )
    return result.scores[: len(pool)]


def _k_center(pool: Array, labelled: Array, picks: int) -> Array:
    """Scores by greedy farthest-first, ties by lowest row; the first of none is the row farthest from the mean."""
    data = _finite("pool", pool)
    rows = len(data)
    if rows == 0:
        return np.zeros(0)
    squares = (data * data).sum(axis=1)
    nearest = np.full(rows, np.inf)
    for other in _finite("labelled", labelled):
        np.minimum(nearest, squares - 2 * (data @ other) + other @ other, out=nearest)
    if not len(labelled):
        nearest = ((data - data.mean(axis=0)) ** 2).sum(axis=1)
    scores = np.zeros(rows)
    left = np.ones(rows, bool)
    for place in range(min(picks, rows)):
        row = int(np.argmax(np.where(left, nearest, -np.inf)))
        left[row], scores[row] = False, rows - place
        distance = squares - 2 * (data @ data[row]) + squares[row]
        nearest = distance if place == 0 and not len(labelled) else np.minimum(nearest, distance)
    rest = np.flatnonzero(left)
    scores[rest[np.argsort(-nearest[rest], kind="stable")]] = np.arange(len(rest), 0, -1)
    return scores / rows


def _finite(name: str, vectors: Array) -> Array:
    given: Array = vectors.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(given).all(axis=1))
    if len(bad):
        raise ValueError(f"expected finite {name} vectors; rows {some(bad.tolist())} are not: leave them out")
    return given
