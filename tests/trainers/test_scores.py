from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.kernels.detection import Matched
from swath.trainers.scores import fit_scores, fitted, raw, unreliability


def _seen(rng: np.random.Generator, count: int, slope: float, shift: float) -> Matched:
    """Predictions whose odds of being right are `slope` times those that the score says, plus `shift`."""
    scores = np.sort(rng.uniform(0.02, 0.98, count))[::-1]
    true = 1 / (1 + np.exp(-(slope * np.log(scores / (1 - scores)) + shift)))
    right = (rng.random(count) < true)[None]
    return Matched(scores, np.arange(count), right, np.ones(count, dtype=np.int64))


def test_what_bent_the_scores_is_found() -> None:
    """Of 4,000 predictions per class, slope and shifts come out as they were put in, and the scores become reliable."""
    rng = np.random.default_rng(0)
    seen = [_seen(rng, 4000, 1.6, 0.8), _seen(rng, 4000, 1.6, -0.7)]
    fit = fit_scores(seen, 0)
    np.testing.assert_allclose(fit, [[1.6, 0.8], [1.6, -0.7]], atol=0.15)
    for label, one in enumerate(seen):
        labels = np.full(len(one.scores), label)
        sure = fitted(one.scores, labels, fit)
        assert unreliability(one.scores, one.right[0]) > 0.08
        assert unreliability(sure, one.right[0]) < 0.03
        np.testing.assert_allclose(raw(sure, labels, fit), one.scores, atol=1e-9)


def test_few_predictions_bend_little() -> None:
    """Three predictions of a class, all right, raise its scores, but make nothing certain; a class that is not seen goes with
    all; without a right one nothing is bent.
    """
    rng = np.random.default_rng(1)
    many = _seen(rng, 1000, 1.0, 0.0)
    few = Matched(np.array([0.3, 0.2, 0.1]), np.arange(3), np.ones((1, 3), bool), np.ones(3, dtype=np.int64))
    none = Matched(
        np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros((1, 0), bool), np.ones(1, dtype=np.int64)
    )
    fit = fit_scores([many, few, none], 0)
    assert fit[1, 1] > fit[2, 1] + 0.3
    assert fitted(np.array([0.3]), np.array([1]), fit)[0] < 0.8
    assert fit[2, 1] == pytest.approx(fit[0, 1], abs=0.1)
    wrong = Matched(few.scores, few.image, ~few.right, few.references)
    np.testing.assert_array_equal(fit_scores([wrong, none], 0), [[1, 0], [1, 0]])


@given(
    scores=st.lists(st.floats(1e-5, 1 - 1e-5), min_size=2, max_size=30),
    right=st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_order_within_a_class_stays(scores: list[float], right: list[bool]) -> None:
    """Whatever was right, a higher score stays a higher one, and all are probabilities: a class's AP cannot change."""
    best = np.sort(scores)[::-1].copy()
    seen = Matched(
        best, np.arange(len(best)), np.array(right[: len(best)])[None], np.ones(30, dtype=np.int64)
    )
    fit = fit_scores([seen], 0)
    sure = fitted(best, np.zeros(len(best), dtype=np.int64), fit)
    assert (np.diff(sure) <= 0).all()
    assert ((sure > 0) & (sure < 1)).all()


def test_unreliability_by_hand() -> None:
    """Two bins: scores 0.2 of which none is right, and 0.8 of which all are: 0.2 off in each. Nothing is not off."""
    scores, right = np.array([0.2, 0.2, 0.8, 0.8]), np.array([False, False, True, True])
    assert unreliability(scores, right, bins=2) == pytest.approx(0.2)
    assert unreliability(np.zeros(0), np.zeros(0, bool)) == 0.0
