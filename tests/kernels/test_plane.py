"""The plane of most variance: against scikit-learn, and what happens with little."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from swath.kernels import plane as module
from swath.kernels.plane import plane


def some_vectors(n: int, d: int, seed: int = 5) -> np.ndarray:
    """Three clusters, spread unevenly over the axes."""
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(3, d)) * 3
    return (spread[np.arange(n) % 3] + rng.normal(size=(n, d)) * np.linspace(1, 0.1, d)).astype(np.float32)


def test_it_is_the_pca_of_unit_rows() -> None:
    """Coordinates and shares of the variance are scikit-learn's, axis by axis, up to the sign of an axis."""
    vectors = some_vectors(200, 12)
    rows = vectors / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    wanted = PCA(2, svd_solver="full").fit(rows)
    xy, share = plane(vectors)
    np.testing.assert_allclose(np.abs(xy), np.abs(wanted.transform(rows)), atol=1e-6)
    np.testing.assert_allclose(share, wanted.explained_variance_ratio_, atol=1e-6)


def test_the_sign_is_that_of_the_largest_weight() -> None:
    """An axis points where its largest weight is positive: where those columns change their sign, so does the map."""
    rng = np.random.default_rng(1)
    t = rng.normal(size=100)
    vectors = np.column_stack([np.full(100, 10.0), 2 * t, -t])
    xy, _ = plane(vectors)
    assert np.corrcoef(xy[:, 0], t)[0, 1] > 0.99
    xy, _ = plane(vectors * [1, -1, -1])
    assert np.corrcoef(xy[:, 0], t)[0, 1] < -0.99


@pytest.mark.parametrize("values", [1, 100, 2**21])
def test_blocks_do_not_matter(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row at a time, a few, or all: the same plane."""
    vectors = some_vectors(90, 7)
    wanted, wanted_share = plane(vectors)
    monkeypatch.setattr(module, "_VALUES", values)
    xy, share = plane(vectors)
    np.testing.assert_allclose(xy, wanted, atol=1e-12)
    np.testing.assert_allclose(share, wanted_share, atol=1e-12)


@pytest.mark.parametrize(("n", "d"), [(0, 4), (1, 4), (5, 0)])
def test_too_little_is_the_origin(n: int, d: int) -> None:
    """Without two rows or any column every scene is at the origin."""
    xy, share = plane(np.ones((n, d)))
    assert xy.shape == (n, 2)
    assert not xy.any()
    assert not share.any()


def test_equal_vectors_are_at_the_origin() -> None:
    """Vectors that differ in length alone do not differ."""
    xy, share = plane(np.outer([1.0, 2.0, 3.0], [1.0, 2.0]))
    assert not xy.any()
    assert not share.any()


def test_two_rows_are_on_a_line() -> None:
    """Two vectors span one axis, which keeps all the variance."""
    xy, share = plane(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    assert xy[0, 0] == pytest.approx(-xy[1, 0])
    assert abs(xy[0, 0]) == pytest.approx(np.sqrt(2) / 2)
    np.testing.assert_allclose(share, [1, 0], atol=1e-12)


def test_vectors_are_not_changed() -> None:
    """The vectors are as they were."""
    vectors = some_vectors(10, 4)
    before = vectors.copy()
    plane(vectors)
    np.testing.assert_array_equal(vectors, before)
