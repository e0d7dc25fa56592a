"""A scene's vector from those of its cameras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.steps.embed import fuse


def blocks(rows: int, *widths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(rows, width)).astype(np.float32) for width in widths]


def cosines(x: np.ndarray) -> np.ndarray:
    lines = x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    return lines @ lines.T


def test_one_camera_is_left_as_it_is() -> None:
    """Not even scaled, as 0.1.0 did it; and it is a copy."""
    (one,) = blocks(5, 3)
    found = fuse([one])
    assert np.array_equal(found, one)
    assert not np.shares_memory(found, one)


@given(
    rows=st.integers(1, 6),
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    scale=st.sampled_from([1e-3, 1, 1e3]),
    seed=st.integers(0, 99),
)
def test_cameras_count_equally(rows: int, widths: list[int], scale: float, seed: int) -> None:
    """Fused vectors have length one, and their cosine is the mean of the cameras' cosines, whatever the lengths and widths."""
    parts = blocks(rows, *widths, seed=seed)
    found = fuse([parts[0] * np.float32(scale), *parts[1:]])
    assert found.shape == (rows, sum(widths))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(cosines(found), np.mean([cosines(part) for part in parts], axis=0), atol=1e-5)


@pytest.mark.parametrize("value", [0, np.nan])
def test_a_camera_without_a_vector_leaves_the_scene_without_one(value: float) -> None:
    """A block of zeros has no direction: the whole row can't be compared, and the others are not touched."""
    parts = blocks(4, 3, 2)
    whole = fuse(parts)
    parts[1][2] = value
    found = fuse(parts)
    assert not np.isfinite(found[2]).all()
    assert np.array_equal(np.delete(found, 2, 0), np.delete(whole, 2, 0))
