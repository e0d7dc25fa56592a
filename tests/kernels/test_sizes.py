"""Usual sizes are learned from labels that are many and of many drives, and a few bad ones don't move them."""

from __future__ import annotations

import math

import numpy as np

from swath.kernels.checks import check_cuboids
from swath.kernels.sizes import KITTI, LEAST, learned


def vans(n: int) -> np.ndarray:
    """(n, 3) sizes around 4 x 2 x 2 m, 3 % more or less."""
    return np.array([4.0, 2.0, 2.0]) * np.exp(np.random.default_rng(1).normal(size=(n, 3)) * 0.03)


def drives(n: int, of: int) -> list[str]:
    return [f"d{i % of}" for i in range(n)]


def test_few_labels_or_drives_leave_the_table() -> None:
    """29 labels, or any number of 7 drives, say nothing; a class that is in no table stays unknown."""
    assert learned(["Van"] * 29, vans(29), drives(29, 29))["Van"] == KITTI["Van"]
    assert learned(["Van"] * 90, vans(90), drives(90, 7))["Van"] == KITTI["Van"]
    assert "forklift" not in learned(["forklift"] * 29, vans(29), drives(29, 29))
    assert learned([], np.zeros((0, 3)), []) == KITTI


def test_median_and_spread() -> None:
    """By hand: of 31 sides from e^-0.15 to e^0.15 in equal steps the median is 1, the median deviation 0.08 (the 16th of 0, 0.01,
    0.01, 0.02, ...), so the spread is exp(5 * 1.4826 * 0.08); a side that hardly varies has a quarter."""
    logs = np.linspace(-0.15, 0.15, 31)
    sizes = np.exp(np.c_[logs, 0 * logs, logs / 100])
    got = learned(["forklift"] * 31, sizes, drives(31, 8))["forklift"]
    assert got.labels == 31
    np.testing.assert_allclose(got.mean, [1, 1, 1])
    np.testing.assert_allclose(got.spread, [math.exp(5 * 1.4826 * 0.08), LEAST, LEAST])


def test_a_third_of_nonsense_changes_little() -> None:
    """30 of 90 labels ten times too large, and a few that are NaN or 0, leave the mean within 5 %."""
    sizes = vans(90)
    sizes[::3] *= 10
    sizes[1], sizes[4] = np.nan, 0
    got = learned(["Van"] * 90, sizes, drives(90, 9))["Van"]
    np.testing.assert_allclose(got.mean, [4, 2, 2], rtol=0.05)
    assert got.labels == 88


def test_learned_sizes_are_what_is_checked() -> None:
    """A forklift one and a half times too long is named where forklifts are known, with how many, and only there."""
    usual = learned(["forklift"] * 90, vans(90), drives(90, 9))
    table = np.array([[9, 0, 0, 6.0, 2, 2, 0, 0, 0], [9, 9, 0, 4.0, 2, 2, 0, 0, 0]], float)
    names = ["forklift", "forklift"]
    (found,) = check_cuboids(table, names, names, None, usual)
    assert (found.rule, found.object) == ("size", 0)
    assert "from 90 labels" in found.evidence
    assert check_cuboids(table, names, names) == ()
