"""Scores for coverage: which pool rows to label first, given what is labelled already.

    zcore         ZCore over the pool alone, as published: what is labelled does not count
    zcore_joint   ZCore over pool and labelled together: labelled rows absorb draws and lose nothing, so that what is
                  near to them does
    kcenter       greedy farthest-first from what is labelled, by angle (Sener and Savarese, ICLR 2018, algorithm 1)
    random        a seeded order

How they compare: `docs/methods/coverage.md`. Index space: `row` is a position in `pool` (N, D).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from swath.kernels import neighbors, zcore

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
    """(N,) float64 in 0..1, higher = label first, for pool (N, D) given labelled (M, D); M may be 0.

    select: the share of the pool that will be chosen; k-center places that many one by one, the rest by their distance
    from all of those. target_overlap, max_draws, workers, progress: as in `zcore.score`. Scores of different methods
    or calls can't be compared. ValueError on an unknown method, on widths that differ, and on rows that the method can't
    measure: those that are not finite and, for k-center, zero vectors.
    """
    if method not in get_args(CoverageMethod):
        raise ValueError(f"expected one of {', '.join(get_args(CoverageMethod))}; got {method!r}")
    pool, labelled = np.asarray(pool), np.asarray(labelled)
    if pool.ndim == 2 and not len(labelled):
        labelled = np.zeros((0, pool.shape[1]), pool.dtype)
    if pool.ndim != 2 or labelled.ndim != 2 or pool.shape[1] != labelled.shape[1]:
        raise ValueError(f"expected pool (N, D) and labelled (M, D), got {pool.shape} and {labelled.shape}")
    if method == "random":
        return np.random.Generator(np.random.Philox(seed)).random(len(pool))
    if method == "kcenter":
        return _k_center(pool, labelled, int(np.ceil(round(select * len(pool), 9))))
    return zcore.score(
        pool,
        seed=seed,
        labelled=labelled if method == "zcore_joint" else None,
        select=select,
        target_overlap=target_overlap,
        max_draws=max_draws,
        workers=workers,
        progress=progress,
    ).scores


def _k_center(pool: Array, labelled: Array, picks: int) -> Array:
    """Greedy farthest-first by cosine, ties by lowest row; with nothing labelled it starts at the most central row."""
    _, similarity = neighbors.top_k(pool, labelled, 1)  # also names rows without a direction
    rows = len(pool)
    scores = np.zeros(rows)
    if not rows:
        return scores
    lines = (pool / np.linalg.norm(pool.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)
    if len(labelled):
        nearest = similarity[:, 0]
    else:
        nearest = -np.einsum("ij,j->i", lines, lines.mean(axis=0))
    left = np.ones(rows, bool)
    for place in range(min(picks, rows)):
        row = int(np.argmin(np.where(left, nearest, np.inf)))
        left[row], scores[row] = False, rows - place
        similarity = np.einsum("ij,j->i", lines, lines[row])  # not BLAS, whose sums depend on its threads
        nearest = similarity if place == 0 and not len(labelled) else np.maximum(nearest, similarity)
    rest = np.flatnonzero(left)
    scores[rest[np.argsort(nearest[rest], kind="stable")]] = np.arange(len(rest), 0, -1)
    return scores / rows
