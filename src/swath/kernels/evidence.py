"""What a model sees of the failing kinds, as part of "like the failures".

Whole-scene vectors say where and when a scene was recorded, hardly what stands in it. What the model missed in a failure it
often half sees elsewhere: its weak detections of that class rank scenes that hold it far above chance, long before it
detects the class well. So a target's score is a mix of two figures in [0, 1]:

    score(failure, row) = (1 - share) * cosine(failure, row) + share * sum_k weight(failure, k) * evidence(row, k)

in one exact search (`neighbors.mixed_top_k`), which takes both as one dot product of longer vectors. Measurements:
`docs/methods/targeted.md`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.kernels.neighbors import mixed_top_k

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
    queries: Vectors,
    weights: Array,
    pool: Vectors,
    evidence: Array,
    share: float,
    k: int,
    *,
    block: int = 4096,
) -> tuple[NDArray[np.int64], Array]:
    """The k pool rows with the best mixed score for each query: rows (F, min(k, N)) int64 and scores, best first.

    queries (F, D), pool (N, D), none zero; weights (F, K), each row adding up to 1, or 0; evidence (N, K) in [0, 1];
    share in [0, 1]. Exact, ties by lowest row, in the time and memory of `neighbors.top_k`; scores are float64. `block`
    never changes the answer.
    """
    return mixed_top_k(queries, pool, k, weights, evidence, share, block=block)
