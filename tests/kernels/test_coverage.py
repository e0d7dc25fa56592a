from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from swath.kernels import zcore
from swath.kernels.coverage import CoverageMethod, coverage_scores

METHODS = get_args(CoverageMethod)


def vectors(rows, width=8, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_scores_the_pool(method):
    """Every method gives one finite score in 0..1 per pool row, the same for the same seed and any number of workers."""
    pool, labelled = vectors(80), vectors(15, seed=1)
    scores = coverage_scores(pool, labelled, method=method, seed=3, max_draws=2000)
    assert scores.shape == (80,)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert len(np.unique(scores)) > 40
    again = coverage_scores(pool, labelled, method=method, seed=3, max_draws=2000, workers=2)
    np.testing.assert_array_equal(again, scores)


@pytest.mark.parametrize("method", METHODS)
def test_empty_pool_and_nothing_labelled(method):
    """No pool gives no scores; nothing labelled, written in any shape, is allowed."""
    assert coverage_scores(vectors(0), vectors(4), method=method, seed=0).shape == (0,)
    expected = coverage_scores(vectors(30), vectors(0), method=method, seed=0, max_draws=500)
    got = coverage_scores(vectors(30), np.zeros(0), method=method, seed=0, max_draws=500)
    np.testing.assert_array_equal(got, expected)


def test_zcore_is_the_published_method():
    """Method zcore is `zcore.score` of the pool; what is labelled changes nothing."""
    expected = zcore.score(vectors(80), seed=3, max_draws=2000).scores
    for labelled in (vectors(0), vectors(15, seed=1)):
        got = coverage_scores(vectors(80), labelled, method="zcore", seed=3, max_draws=2000)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("method", ["zcore_joint", "kcenter"])
def test_what_is_labelled_counts(method):
    """Of two like halves of the pool, the one that is labelled already falls behind the other, on average."""
    centre = 4 * np.eye(8, dtype=np.float32)
    pool = np.concatenate([vectors(100) + centre[0], vectors(100, seed=1) + centre[1]])
    given = vectors(100, seed=2) + centre[0]

    def lead(method):
        order = np.argsort(np.argsort(coverage_scores(pool, given, method=method, seed=3, max_draws=20_000)))
        return order[100:].mean() - order[:100].mean()

    assert lead(method) > 20
    assert abs(lead("zcore")) < 10


@pytest.mark.parametrize("labelled", [0, 1, 12])
def test_k_center_is_greedy_farthest_first(labelled):
    """k-center picks row by row the one with the largest angle to all before it, as a plain loop in float64 does."""
    pool, given = vectors(60), vectors(labelled, seed=1)
    lines, chosen = (x / np.linalg.norm(x.astype(float), axis=1, keepdims=True) for x in (pool, given))
    expected = []
    if not labelled:
        expected.append(int(np.argmax(lines @ lines.mean(axis=0))))
    while len(expected) < 15:
        nearest = (lines @ np.concatenate([chosen, lines[expected]]).T).max(axis=1)
        nearest[expected] = np.inf
        expected.append(int(np.argmin(nearest)))
    scores = coverage_scores(pool, given, method="kcenter", seed=0, select=0.25)
    assert np.argsort(-scores, kind="stable")[:15].tolist() == expected


def test_k_center_orders_equal_rows():
    """Rows that all point one way come in their order, and asking for all of them is allowed."""
    scores = coverage_scores(np.ones((9, 3)), np.ones((2, 3)), method="kcenter", seed=0, select=1.0)
    assert np.argsort(-scores, kind="stable").tolist() == list(range(9))


def test_wrong_arguments_are_refused():
    """Unknown methods, widths that differ and rows that can't be measured raise a ValueError that says so."""
    bad = vectors(20)
    bad[5] = np.nan
    with pytest.raises(ValueError, match="zcore, zcore_joint, kcenter, random; got 'best'"):
        coverage_scores(vectors(5), vectors(2), method="best", seed=0)
    with pytest.raises(ValueError, match=r"got \(5, 8\) and \(2, 3\)"):
        coverage_scores(vectors(5), vectors(2, 3), seed=0)
    for method in ("zcore", "zcore_joint", "kcenter"):
        with pytest.raises(ValueError, match="rows 5"):
            coverage_scores(bad, vectors(2), method=method, seed=0)
