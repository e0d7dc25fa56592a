"""Krippendorff's alpha: his own published examples, another way to the same number, and what must hold whatever the ratings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from swath.kernels.agreement import MISSING, alpha, alpha_by_scene, coincidences, one_against_rest


def table(*raters: str) -> np.ndarray:
    """Raters' answers, a letter or digit a unit, `.` where there is none, as ratings (units, raters)."""
    names = sorted(set("".join(raters)) - {"."})
    return np.array([[names.index(c) if c != "." else MISSING for c in one] for one in raters]).T


@pytest.mark.parametrize(
    ("raters", "published"),
    [
        (("0100000010", "1110010000"), 0.095),  # A. binary data, two observers
        (("aabbdcccedda", "babbbcccedd" + "d"), 0.692),  # B. nominal data, two observers
        (
            ("123321412...", "123322412" + "5.3", ".33323422" + "51.", "123324412" + "51."),
            0.743,
        ),  # C. missing data
    ],
)
def test_published_examples(raters: tuple[str, ...], published: float) -> None:
    """The examples of Krippendorff 2011 come out as printed there."""
    ratings = table(*raters)
    assert alpha(coincidences(ratings, ratings.max() + 1)) == pytest.approx(published, abs=5e-4)


def by_definition(ratings: np.ndarray) -> float | None:
    """Alpha from all pairs of ratings, one after the other."""
    units = [[c for c in unit if c != MISSING] for unit in ratings.tolist()]
    units = [unit for unit in units if len(unit) > 1]
    values = [c for unit in units for c in unit]
    n = len(values)
    if n < 2:
        return None
    observed = (
        sum(sum(a != b for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units) / n
    )
    expected = sum(a != b for a, b in itertools.permutations(values, 2)) / (n * (n - 1))
    return None if expected == 0 else 1 - observed / expected


RATINGS = arrays.arrays(
    np.int64, st.tuples(st.integers(1, 8), st.integers(2, 4)), elements=st.integers(-1, 3)
)


@given(RATINGS)
def test_it_is_what_its_definition_says(ratings: np.ndarray) -> None:
    """The matrix gives what pairs, counted one by one, give; the order of units and raters changes nothing."""
    found = alpha(coincidences(ratings, 4))
    assert found == (
        None if by_definition(ratings) is None else pytest.approx(by_definition(ratings), abs=1e-9)
    )
    turned = alpha(coincidences(ratings[::-1, ::-1], 4))
    assert turned == (None if found is None else pytest.approx(found, abs=1e-9))


@given(RATINGS, RATINGS)
def test_parts_add_up(one: np.ndarray, two: np.ndarray) -> None:
    """Matrices of parts add up to that of the whole, also where other raters rated them."""
    width = max(one.shape[1], two.shape[1])
    both = [
        np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=MISSING) for part in (one, two)
    ]
    whole = coincidences(np.concatenate(both), 4)
    np.testing.assert_allclose(coincidences(one, 4) + coincidences(two, 4), whole, atol=1e-9)


@given(RATINGS, st.integers(0, 3))
def test_one_against_the_rest_is_two_categories(ratings: np.ndarray, category: int) -> None:
    """Collapsing the matrix is the same as collapsing the ratings."""
    two = np.where(ratings == MISSING, MISSING, (ratings != category).astype(int))
    np.testing.assert_allclose(
        one_against_rest(coincidences(ratings, 4), category), coincidences(two, 2), atol=1e-9
    )


def test_what_cannot_be_said() -> None:
    """No units, single ratings, and one category alone have no alpha; one scene has no interval."""
    assert alpha(coincidences(np.zeros((0, 2)), 3)) is None
    assert alpha(coincidences([[0, MISSING], [MISSING, 1]], 3)) is None
    assert alpha(coincidences([[1, 1], [1, 1]], 3)) is None
    assert alpha_by_scene(np.zeros((0, 3, 3))) == (None, None, None)
    one = coincidences([[0, 0], [1, 1], [0, 1]], 2)
    assert alpha_by_scene([one]) == (alpha(one), None, None)
    with pytest.raises(ValueError, match="-1 to 2"):
        coincidences([[3, 0]], 3)


def test_chance_has_no_agreement() -> None:
    """Two who draw their answers agree about 0; the interval of many scenes holds 0, and holds 1 never."""
    rng = np.random.default_rng(4)
    scenes = [coincidences(rng.integers(0, 3, (6, 2)), 3) for _ in range(200)]
    value, low, high = alpha_by_scene(scenes)
    assert None not in (value, low, high)
    assert low is not None
    assert high is not None
    assert low < 0 < high < 0.2


def test_intervals_hold_the_truth() -> None:
    """Where raters agree on whole scenes or not at all, the interval by scene holds the true alpha in 90 % of 200 studies at
    least; one that takes objects for independent would hold it less often."""
    rng = np.random.default_rng(8)

    def study(scenes: int) -> list[np.ndarray]:
        out = []
        for _ in range(scenes):
            truth = rng.integers(0, 3, 6)
            other = truth if rng.random() < 0.7 else rng.integers(0, 3, 6)
            out.append(coincidences(np.column_stack([truth, other]), 3))
        return out

    true = alpha(np.sum(study(20_000), axis=0))
    assert true is not None
    held = 0
    for _ in range(200):
        _, low, high = alpha_by_scene(study(25))
        assert low is not None
        assert high is not None
        held += low <= true <= high
    assert held >= 180
