"""The plane in which vectors differ most: for maps of the embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_VALUES: Final = 2**21  # values that are handled in one go


def plane(vectors: NDArray[Any]) -> tuple[Floats, Floats]:
    """(xy (n, 2), share of the variance (2,)) of vectors (n, d): the first two principal components.

    Rows are scaled to length one first, as cosine similarity sees them. Each axis points where its largest weight is
    positive (the first of equal ones). Missing axes (n < 2, d < 2, no variance) are zero. Rows must be finite and not zero.
    Makes no copy of the vectors: d x d values, and the rows of one block, are all that it holds.
    """
    n, d = vectors.shape
    xy, share = np.zeros((n, 2)), np.zeros(2)
    if n < 2 or d == 0:
        return xy, share
    mean, scatter = np.zeros(d), np.zeros((d, d))
    for _, rows in _unit_rows(vectors):
        mean += rows.sum(axis=0) / n
    for _, rows in _unit_rows(vectors):
        scatter += (rows - mean).T @ (rows - mean)
    values, axes = np.linalg.eigh(scatter)  # ascending
    total = float(np.clip(values, 0, None).sum())
    if total <= 1e-12 * n:
        return xy, share
    best = axes[:, ::-1][:, :2]
    best = best * np.where(best[np.argmax(np.abs(best), axis=0), np.arange(best.shape[1])] > 0, 1.0, -1.0)
    for at, rows in _unit_rows(vectors):
        xy[at, : best.shape[1]] = (rows - mean) @ best
    share[: best.shape[1]] = np.clip(values[::-1][:2], 0, None) / total
    return xy, share


def _unit_rows(vectors: NDArray[Any]) -> Iterator[tuple[slice, Floats]]:
    """Blocks of rows (b, d), each scaled to length one, with their place."""
    step = max(1, _VALUES // vectors.shape[1])
    for start in range(0, len(vectors), step):
        rows = vectors[start : start + step].astype(np.float64)
        yield slice(start, start + len(rows)), rows / np.linalg.norm(rows, axis=1, keepdims=True)
