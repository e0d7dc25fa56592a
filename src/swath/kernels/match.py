"""Pairs two sets of objects one to one, given how alike each pair is.

Two questions, two answers. Predictions have scores: the most certain chooses first (`order`), as COCO
evaluates. Two labellings of the same scene (blind against reference, annotator against annotator) have no
order: the pairing as a whole is made as good as it can be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Matches:
    """`pairs` (K, 2): rows of a and b that belong together, by row of a; what is left over, ascending."""

    pairs: NDArray[np.int64]
    unmatched_a: NDArray[np.int64]
    unmatched_b: NDArray[np.int64]


def match(similarity: ArrayLike, threshold: float, *, order: ArrayLike | None = None) -> Matches:
    """One-to-one pairs of rows (a) and columns (b) of `similarity` (N, M), all at least `threshold` alike.

    With `order` (a permutation of the N rows, most certain first): greedy. Each row in turn takes the
    column it is most like among those still free; of equals the last one, as pycocotools does.

    Without: the assignment with the greatest total of `similarity - threshold` (Hungarian method): the
    cut-off distance of OSPA (Schuhmacher et al. 2008) turned around. So one good pair is not given up for two
    that barely pass, and negated distances do as well as IoUs. Of equally good assignments scipy's is
    taken: the same for the same input.

    NaN never matches. No rows or no columns: no pairs.
    """
    s = np.asarray(similarity, dtype=np.float64)
    if s.ndim != 2:
        raise ValueError(f"expected a similarity matrix (N, M), got shape {s.shape}")
    allowed = s >= threshold
    pairs = _best(s - threshold, allowed) if order is None else _greedy(s, allowed, np.asarray(order))
    free_a, free_b = np.ones(s.shape[0], dtype=bool), np.ones(s.shape[1], dtype=bool)
    free_a[pairs[:, 0]] = False
    free_b[pairs[:, 1]] = False
    return Matches(pairs[np.argsort(pairs[:, 0])], np.flatnonzero(free_a), np.flatnonzero(free_b))


def _best(gain: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment

    # Leaving two objects apart costs next to nothing, but not nothing: a pair exactly at the threshold is
    # made.
    rows, columns = linear_sum_assignment(np.where(allowed, -gain, 1e-9))
    keep = allowed[rows, columns]
    return np.column_stack([rows[keep], columns[keep]]).astype(np.int64)


def _greedy(
    s: NDArray[np.float64], allowed: NDArray[np.bool_], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    if not np.array_equal(np.sort(order), np.arange(s.shape[0])):
        raise ValueError(f"expected `order` to be a permutation of the {s.shape[0]} rows")
    free = np.ones(s.shape[1], dtype=bool)
    pairs: list[tuple[int, int]] = []
    for row in order:
        candidates = np.flatnonzero(allowed[row] & free)
        if len(candidates):
            likeness = s[row, candidates]
            column = candidates[np.flatnonzero(likeness == likeness.max())[-1]]
            free[column] = False
            pairs.append((int(row), int(column)))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
