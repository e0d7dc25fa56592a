"""What a model sees of the failing kinds, as part of "like the failures".

Whole-scene vectors say where and when a scene was recorded, hardly what stands in it. What the model missed in a failure it
often half sees elsewhere: its weak detections of that class rank scenes that hold it far above chance, long before it
detects the class well. So a target's score is a mix of two figures in [0, 1]:

    score(failure, row) = (1 - share) * cosine(failure, row) + share * sum_k weight(failure, k) * evidence(row, k)

as one dot product of longer vectors, so that the exact search serves both. Measurements: `docs/methods/targeted.md`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.kernels.neighbors import top_k

Array = NDArray[np.float64]
Vectors = NDArray[Any]


def class_evidence(scores: Array) -> Array:
    """(N, K) in [0, 1] from the highest score (N, K) that a model gave each class in each row, 0 for none.

    The square of the percentile among the rows, class by class: scores of classes that were learned unequally well become
    comparable, and the top counts most. Ties share the lowest percentile; a row in which nothing was seen has 0.
    """
    scores = np.asarray(scores, dtype=np.float64)
    below = (
        np.stack([np.searchsorted(np.sort(column), column) for column in scores.T], axis=1)
        if scores.size
        else scores
    )
    return np.where(scores > 0, (below / max(len(scores) - 1, 1)) ** 2, 0.0)


def nearest_with_evidence(
    queries: Vectors, weights: Array, pool: Vectors, evidence: Array, share: float, k: int
) -> tuple[NDArray[np.int64], Array]:
    """The k pool rows with the best mixed score for each query: rows (F, min(k, N)) int64 and scores, best first.

    queries (F, D), pool (N, D), none zero; weights (F, K), each row adding up to 1, or 0; evidence (N, K) in [0, 1]. Exact,
    ties by lowest row, as `neighbors.top_k` is: a dot product is a cosine between vectors of equal length, and one more
    dimension makes the pool's equally long.
    """
    lines = np.hstack([np.sqrt(1 - share) * _unit(pool), np.sqrt(share) * evidence])
    squares = (lines * lines).sum(axis=1)
    longest = squares.max(initial=0.0)
    lines = np.hstack([lines, np.sqrt(longest - squares)[:, None]])
    asked = np.hstack(
        [np.sqrt(1 - share) * _unit(queries), np.sqrt(share) * weights, np.zeros((len(queries), 1))]
    )
    lengths = np.sqrt((asked * asked).sum(axis=1))
    rows, cosines = top_k(asked, lines, k)
    return rows, cosines.astype(np.float64) * lengths[:, None] * np.sqrt(longest)


def _unit(vectors: Vectors) -> Array:
    given = np.asarray(vectors, dtype=np.float64)
    return np.asarray(given / np.linalg.norm(given, axis=1, keepdims=True))
