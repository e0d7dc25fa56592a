from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from swath.kernels.curves import next_gain, plateau


def test_plateau_needs_all_of_the_last_gains_small() -> None:
    """Flat means each of the last two gains is below the limit; one larger among them is not flat."""
    none = [None] * 4
    assert plateau([0.1, 0.4, 0.405, 0.41], none, none, 0.01, 2).flat is True
    assert plateau([0.1, 0.4, 0.405, 0.43], none, none, 0.01, 2).flat is False
    assert plateau([0.1, 0.4, 0.43, 0.42], none, none, 0.01, 2).flat is False
    assert plateau([0.1, 0.4, 0.3, 0.2], none, none, 0.01, 2).flat is True


def test_too_few_rounds_are_said() -> None:
    """With two rounds and a patience of two nothing is concluded, and the reason says what is missing."""
    found = plateau([0.1, 0.2], [0.0, 0.1], [0.2, 0.3], 0.01, 2)
    assert found.flat is None
    assert "not enough rounds: 2 of 3" in found.reason
    empty = plateau([], [], [], 0.01, 1)
    assert (empty.flat, empty.gains, empty.gain_low) == (None, (), None)


def test_gain_interval_adds_in_quadrature() -> None:
    """Half-widths 0.03 and 0.04 make a gain uncertain by 0.05; a round without interval leaves none."""
    found = plateau([0.2, 0.3], [0.17, 0.26], [0.23, 0.34], 0.01, 1)
    assert (found.gain_low, found.gain_high) == pytest.approx((0.05, 0.15))
    assert plateau([0.2, 0.3], [None, 0.26], [0.23, 0.34], 0.01, 1).gain_low is None


def test_power_law_is_recovered() -> None:
    """On points of a power law the predicted gain is the true one, and scipy's own fit agrees on noisy
    ones.
    """

    def law(n: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return a - b * n**-c

    sizes = [32, 51, 67, 80, 91]
    exact = next_gain(sizes, law(np.array(sizes, float), 0.8, 2.0, 0.5), 100)
    assert exact.gain == pytest.approx(2.0 * (91**-0.5 - 100**-0.5), rel=0.02)
    noisy = law(np.array(sizes, float), 0.8, 2.0, 0.5) + np.random.default_rng(3).normal(0, 0.002, 5)
    bounds = ([-np.inf, 0, 0.05], [np.inf, np.inf, 2.0])
    fit, _ = curve_fit(law, np.array(sizes, float), noisy, p0=[0.8, 2.0, 0.5], bounds=bounds)
    gain = law(np.array([100.0]), *fit) - law(np.array([91.0]), *fit)
    assert next_gain(sizes, noisy, 100).gain == pytest.approx(gain[0], abs=5e-4)


def test_falling_curves_promise_nothing() -> None:
    """Where the metric falls with more labels, the predicted gain is 0, not a loss."""
    assert next_gain([10, 20, 30], [0.5, 0.4, 0.3], 40).gain == 0


def test_fewer_than_three_rounds_fall_back() -> None:
    """Two rounds give the last gain scaled by log size, and say so; one and none give nothing, and say so."""
    two = next_gain([32, 64], [0.2, 0.3], 128)
    assert two.gain == pytest.approx(0.1)
    assert two.method == "last gain"
    assert "not enough rounds" in two.reason
    for sizes in ([], [32]):
        none = next_gain(sizes, [0.2] * len(sizes), 64)
        assert none.gain is None
        assert "not enough rounds" in none.reason
    assert next_gain([32, 64, 70], [0.2, 0.3, 0.31], 70).gain == 0


def test_rounds_without_growth_are_one_point() -> None:
    """Rounds of one size count once, with the mean of their values: the gain is that of the curve through the sizes."""
    grown = next_gain([20, 40, 60], [0.2, 0.4, 0.5], 80)
    again = next_gain([20, 40, 40, 60], [0.2, 0.3, 0.5, 0.5], 80)
    assert again.gain == pytest.approx(grown.gain)
    assert again.reason.endswith("through 4 rounds; rounds without growth: 1")
    two = next_gain([32, 32, 64], [0.1, 0.3, 0.3], 128)
    assert (two.method, two.gain) == ("last gain", pytest.approx(0.1))
    none = next_gain([32, 32, 32], [0.2, 0.3, 0.4], 64)
    assert none.gain is None
    assert "not enough rounds: 1 of 2" in none.reason


def test_a_size_that_fell_is_a_point_too() -> None:
    """The curve goes by size, whatever the order of the rounds; the forecast starts at the last size."""
    law = [0.8 - 2.0 * n**-0.5 for n in (32, 51, 80, 67)]
    found = next_gain([32, 51, 80, 67], law, 80)
    assert found.gain == pytest.approx(2.0 * (67**-0.5 - 80**-0.5), rel=0.02)
    assert next_gain([20, 10], [0.5, 0.4], 20).gain == pytest.approx(0.1)


def test_sizes_that_cannot_be_are_refused() -> None:
    """Sizes that are not positive, a next size below the last, or a size without a value, raise."""
    for sizes, after in (([10, 20], 15), ([0, 5], 9)):
        with pytest.raises(ValueError, match="positive sizes"):
            next_gain(sizes, [0.1] * len(sizes), after)
    with pytest.raises(ValueError, match="one per value"):
        next_gain([10], [0.1, 0.2], 20)
    with pytest.raises(ValueError, match="one low and high per value"):
        plateau([0.1], [], [0.2], 0.1, 1)
