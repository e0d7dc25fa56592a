"""What the model sees of failing kinds, mixed with looks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swath.kernels.evidence import class_evidence, nearest_with_evidence


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(1, 12))
def test_the_exact_search_finds_the_mixed_score(seed: int, share: float, k: int) -> None:
    """Rows and scores are those of the formula, computed pair by pair."""
    rng = np.random.default_rng(seed)
    queries, pool = rng.normal(size=(3, 5)), rng.normal(size=(9, 5))
    weights, evidence = rng.dirichlet(np.ones(4), size=3), rng.random((9, 4))
    rows, scores = nearest_with_evidence(queries, weights, pool, evidence, share, k)
    for i in range(3):
        cosine = pool @ queries[i] / (np.linalg.norm(pool, axis=1) * np.linalg.norm(queries[i]))
        wanted = (1 - share) * cosine + share * (evidence @ weights[i])
        assert np.allclose(wanted[rows[i]], scores[i], atol=1e-5)
        assert np.allclose(np.sort(wanted)[::-1][: min(k, 9)], scores[i], atol=1e-5)


def test_a_class_that_nobody_saw_is_no_evidence() -> None:
    """A score of 0 is evidence 0, the best of a class is evidence 1, and ties share the lowest percentile."""
    found = class_evidence(np.array([[0.0, 0.2], [0.0, 0.2], [0.0, 0.9]]))
    assert found.tolist() == [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]


@given(st.integers(0, 2**32 - 1))
def test_evidence_depends_on_the_order_of_scores_alone(seed: int) -> None:
    """Any growing function of the scores gives the same evidence: classes need not be calibrated."""
    scores = np.random.default_rng(seed).random((20, 3))
    assert np.array_equal(class_evidence(scores), class_evidence(np.sqrt(scores)))


def test_nothing_and_one() -> None:
    """No candidates give no rows; one candidate has nothing to be compared with, and evidence 0."""
    assert class_evidence(np.zeros((0, 2))).shape == (0, 2)
    assert class_evidence(np.array([[0.7]])).tolist() == [[0.0]]
    rows, scores = nearest_with_evidence(
        np.ones((1, 2)), np.zeros((1, 1)), np.zeros((0, 2)), np.zeros((0, 1)), 0.5, 3
    )
    assert rows.shape == scores.shape == (1, 0)
