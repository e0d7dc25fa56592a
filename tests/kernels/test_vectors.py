"""Which vectors can be compared, how alike two are, whether they are the same."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics.pairwise import cosine_similarity

from swath.kernels import vectors as kernel
from swath.kernels.vectors import cosine, fingerprint, usable

MATRICES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
    elements=st.sampled_from([0.0, -0.0, 1.0, -2.0, 1e-45, np.nan, np.inf, -np.inf]),
)


@given(MATRICES)
def test_usable_is_finite_and_not_zero(vectors: np.ndarray) -> None:
    """Row by row: every value finite, and one that is not zero; without dimensions none is usable."""
    expected = [bool(np.isfinite(row).all() and (row != 0).any()) for row in vectors]
    assert usable(vectors).tolist() == expected
    assert usable(vectors).dtype == bool


def test_the_fingerprint_is_that_of_the_first_release() -> None:
    """Values that `swath.steps.embed.fingerprint` of 0.1.0 gave: manifests that are kept stay comparable."""
    vectors = (np.arange(12).reshape(3, 4) - 5.5) / 3
    kept = "7b9cdcb9623172c4123167e9c73bc39ff9353f25bf66b2e7e74fdf91d65ca2b6"
    assert fingerprint(["a", "ä b", "c/1"], vectors) == kept
    assert fingerprint(("a", "ä b", "c/1"), np.asfortranarray(vectors.astype(">f4"))) == kept
    nothing = "a117288688ad59388f308b82aa30755bcd67d6461625521d70a42c11912dcc05"
    assert fingerprint([], np.zeros((0, 0))) == nothing


@given(st.integers(0, 9), st.integers(0, 5), st.integers(1, 20))
def test_the_fingerprint_is_of_the_bytes(rows: int, width: int, at_once: int) -> None:
    """In whatever pieces the vectors are read, it is SHA-256 of the keys' digest and of all bytes in one."""
    rng = np.random.default_rng([rows, width])
    keys, vectors = [f"k{i}" for i in range(rows)], rng.normal(size=(rows, width)).astype("<f4")
    digest = hashlib.sha256(json.dumps(keys, separators=(",", ":")).encode()).hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_VALUES", at_once)
        assert fingerprint(keys, vectors) == hashlib.sha256(digest.encode() + vectors.tobytes()).hexdigest()


def test_the_fingerprint_sees_every_change() -> None:
    """Another key, another order, another last bit: another fingerprint."""
    keys, vectors = ["a", "b"], np.eye(2, dtype=np.float32)
    nudged = vectors.copy()
    nudged[1, 1] = np.nextafter(np.float32(1), np.float32(2))
    found = [
        fingerprint(keys, vectors),
        fingerprint(["a", "c"], vectors),
        fingerprint(keys, vectors[::-1]),
        fingerprint(keys, nudged),
    ]
    assert len(set(found)) == 4


def test_cosine_is_that_of_scikit_learn() -> None:
    """In float64 from float32 vectors, at any length that float32 holds."""
    one, two = np.random.default_rng(0).normal(size=(2, 512)).astype(np.float32)
    expected = cosine_similarity([one.astype(float)], [two.astype(float)])[0, 0]
    assert cosine(one, two) == pytest.approx(expected, abs=1e-15)
    assert cosine(one * np.float32(1e30), two) == pytest.approx(expected, abs=1e-7)
    assert cosine(one, -one) == pytest.approx(-1, abs=1e-15)
