"""Two kinds of chance, drives and seeds, of a mean and of the difference of two means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from swath.policies.chance import apart, spread


def scored(
    rng: np.random.Generator, seeds: int, weights: Any, of_seed: float, ease: Any, of_both: float = 0.0
) -> Any:
    """(S, 1 + B) figures of trainings: what drives (D,) make of all of them, what each is worth, and what it makes of each drive."""
    drives = len(ease)
    each = ease + rng.normal(0, of_seed, (seeds, 1)) + rng.normal(0, of_both, (seeds, drives))
    return each @ weights.T / drives


def draws(rng: np.random.Generator, drives: int, count: int = 100) -> Any:
    """(1 + B, D) how often each drive counts: once, and in each draw."""
    return np.vstack([np.ones(drives), rng.multinomial(drives, np.full(drives, 1 / drives), count)])


@pytest.mark.parametrize("seeds", [(2, 2), (3, 5), (1, 3), (4, 1)])
def test_where_drives_are_alike_it_is_students_test_of_two_samples(seeds: tuple[int, int]) -> None:
    """scipy's interval of the difference of two means with one variance; one side may have a single seed."""
    rng = np.random.default_rng(seeds)
    ones, others = (np.repeat(rng.normal(0.4, 0.02, (n, 1)), 9, axis=1) for n in seeds)
    found = apart(ones, others, 12).around(float(ones[:, 0].mean() - others[:, 0].mean()))
    if min(seeds) > 1:
        expected = stats.ttest_ind(ones[:, 0], others[:, 0]).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
        return
    many, (single,) = (ones, others[:, 0]) if seeds[1] == 1 else (others, ones[:, 0])
    n = len(many)  # where the next one of the same kind would lie
    half = stats.t.ppf(0.975, n - 1) * many[:, 0].std(ddof=1) * np.sqrt(1 + 1 / n)
    value = float(many[:, 0].mean() - single) * (1 if seeds[1] == 1 else -1)
    assert (found.low, found.high) == pytest.approx((value - half, value + half))


def test_one_seed_on_either_side_leaves_the_drives() -> None:
    """Then it is the interval of the paired difference, drive by drive."""
    rng = np.random.default_rng(1)
    weights, ease = draws(rng, 12), rng.normal(0.4, 0.1, 12)
    ones, others = (scored(rng, 1, weights, 0.02, ease, 0.05) for _ in range(2))
    found = apart(ones, others, 12)
    assert (found.of_seeds, found.seeds) == (None, 1)
    assert found.half(0.975) == spread(ones - others, 12).half(0.975)


@pytest.mark.parametrize(
    ("seeds", "of_seed", "of_both"),
    [
        ((2, 2), 0.02, 0.0),
        ((3, 3), 0.01, 0.05),
        ((1, 3), 0.02, 0.02),
        ((5, 2), 0.0, 0.1),
        ((3, 3), 0.02, 0.0),
    ],
)
def test_rounds_that_do_not_differ_are_called_different_at_most_so_often(
    seeds: tuple[int, int], of_seed: float, of_both: float
) -> None:
    """In 400 repeats at most one in twenty (and what 400 repeats leave to chance), whatever drives make of all trainings alike."""
    rng, different = np.random.default_rng([*seeds, 7]), 0
    for _ in range(400):
        weights, ease = draws(rng, 12), rng.normal(0.4, 0.2, 12)
        ones, others = (scored(rng, n, weights, of_seed, ease, of_both) for n in seeds)
        half = apart(ones, others, 12).half(0.975)
        assert half is not None
        different += abs(ones[:, 0].mean() - others[:, 0].mean()) > half
    assert different / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_what_each_training_makes_of_each_drive_counts_once() -> None:
    """Where that is all there is, both parts together are near the true variance of the difference, 0.1^2 over the drives and the
    trainings of each side, and not twice that (a part is never below 0, which makes them larger together)."""
    rng, parts, truth = np.random.default_rng(2), [], 2 * 0.1**2 / (12 * 3)
    for _ in range(300):
        weights = draws(rng, 12)
        ones, others = (scored(rng, 3, weights, 0.0, np.zeros(12), 0.1) for _ in range(2))
        found = apart(ones, others, 12)
        assert found.of_seeds is not None
        assert found.of_drives is not None
        parts.append(found.of_seeds + found.of_drives)
    assert 0.9 < np.mean(parts) / truth < 1.5


def test_the_two_parts_by_hand() -> None:
    """Two seeds of 0.2 and 0.4 have a variance of 0.02, their mean half of it. Drives: draws of 0.1, 0.3, 0.5 have 0.04, times 5 / 4 for
    five drives, 0.05; what each seed has of its own, here +-(0.1, -0.1, 0), is 0.01 * 5 / 4 of each, 2 * 0.0125 / (2 * 1) of the mean,
    and no part of it."""
    common, own = np.array([0.1, 0.3, 0.5]), np.array([0.1, -0.1, 0.0])
    alike = spread(np.vstack([[0.2, *common], [0.4, *common]]), drives=5)
    assert alike.of_seeds == pytest.approx(0.01)
    assert alike.of_drives == pytest.approx(0.05)
    apart_ = spread(np.vstack([[0.2, *(common + own)], [0.4, *(common - own)]]), drives=5)
    assert apart_.of_seeds == pytest.approx(0.01)
    assert apart_.of_drives == pytest.approx(0.0375)
