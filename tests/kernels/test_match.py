from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from swath.kernels.match import match

MATRICES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(-1, 1))


def _exhaustive(gain: np.ndarray) -> float:
    """The greatest total over all one-to-one assignments, leaving any object apart for nothing."""
    wide = np.hstack([np.maximum(gain, 0), np.zeros((gain.shape[0], gain.shape[0]))])
    rows = range(gain.shape[0])
    return max(
        sum(wide[r, c] for r, c in zip(rows, chosen, strict=True))
        for chosen in permutations(range(wide.shape[1]), gain.shape[0])
    )


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=4), elements=st.floats(-1, 1)))
def test_assignment_is_the_best_of_all(similarity: np.ndarray) -> None:
    """Without an order, the total of similarity - threshold is that of an exhaustive search."""
    found = match(similarity, 0.25)
    total = sum(similarity[a, b] - 0.25 for a, b in found.pairs)
    assert total == pytest.approx(_exhaustive(similarity - 0.25), abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(MATRICES, st.booleans())
def test_pairs_and_leftovers_partition_both_sides(similarity: np.ndarray, greedy: bool) -> None:
    """Each row and column is in one pair or left over, no pair is below the threshold, and the input is not
    changed.
    """
    before = similarity.copy()
    found = match(similarity, 0.1, order=np.arange(len(similarity))[::-1] if greedy else None)
    assert sorted([*found.pairs[:, 0], *found.unmatched_a]) == list(range(similarity.shape[0]))
    assert sorted([*found.pairs[:, 1], *found.unmatched_b]) == list(range(similarity.shape[1]))
    assert (similarity[found.pairs[:, 0], found.pairs[:, 1]] >= 0.1).all()
    assert not (similarity[np.ix_(found.unmatched_a, found.unmatched_b)] >= 0.1).any()
    np.testing.assert_array_equal(similarity, before)


def test_the_most_certain_chooses_first() -> None:
    """Greedy pairs follow the order given, even where the whole would be better otherwise; the assignment
    differs.
    """
    similarity = np.array([[0.9, 0.8], [0.85, 0.1]])
    assert match(similarity, 0.5, order=[0, 1]).pairs.tolist() == [[0, 0]]
    assert match(similarity, 0.5, order=[1, 0]).pairs.tolist() == [[0, 1], [1, 0]]
    assert match(similarity, 0.5).pairs.tolist() == [[0, 1], [1, 0]]


def test_a_good_pair_is_not_given_up_for_two_poor_ones() -> None:
    """One pair at 0.9 beats two at 0.55 when 0.5 is the least that counts."""
    found = match([[0.9, 0.55], [0.55, 0.0]], 0.5)
    assert found.pairs.tolist() == [[0, 0]]
    assert found.unmatched_a.tolist() == found.unmatched_b.tolist() == [1]


def test_ties_threshold_nan_and_emptiness() -> None:
    """Equal candidates: the last; exactly the threshold counts; NaN never does; no objects, no pairs."""
    assert match([[0.7, 0.7]], 0.5, order=[0]).pairs.tolist() == [[0, 1]]
    assert match([[0.5]], 0.5).pairs.tolist() == match([[0.5]], 0.5, order=[0]).pairs.tolist() == [[0, 0]]
    assert match([[np.nan]], 0.0).pairs.shape == match([[np.nan]], 0.0, order=[0]).pairs.shape == (0, 2)
    for shape in ((0, 3), (3, 0), (0, 0)):
        for order in (None, np.arange(shape[0])):
            found = match(np.zeros(shape), 0.5, order=order)
            assert found.pairs.shape == (0, 2)
            assert (len(found.unmatched_a), len(found.unmatched_b)) == shape


def test_negated_distances_work() -> None:
    """Distances turned around pair by nearness within the limit: 1 m and 1.5 m apart pair, 4 m does not."""
    a, b = np.array([0.0, 10.0, 20.0]), np.array([11.0, 1.5, 24.0])
    assert match(-abs(a[:, None] - b), -2.0).pairs.tolist() == [[0, 1], [1, 0]]


def test_order_must_be_a_permutation() -> None:
    """An order that leaves a row out is refused."""
    with pytest.raises(ValueError, match="permutation of the 2 rows"):
        match(np.ones((2, 2)), 0.5, order=[0, 0])
