from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import curve_fit

from swath.kernels.curves import highest, next_gain, next_gain_between, per_100


def test_the_bound_is_students_t() -> None:
    """value + t(D - 1) at 80 % times s times sqrt(D / (D - 1)), as scipy has it; one drive has none."""
    for clusters in (2, 5, 40):
        wanted = 0.1 + stats.t.ppf(0.8, clusters - 1) * 0.02 * np.sqrt(clusters / (clusters - 1))
        assert highest(0.1, 0.02, clusters) == pytest.approx(wanted)
    assert highest(0.1, 0.02, 1) is None
    assert per_100(0.02, 40) == pytest.approx(0.05)


def test_a_forecast_of_draws() -> None:
    """The interval holds the forecast, is that of the drawn forecasts, wider for fewer drives; without draws there is none."""
    sizes, values = [32, 51, 67, 80], np.array([0.30, 0.36, 0.39, 0.41])
    drawn = values + np.random.default_rng(0).normal(0, 0.01, (300, 4))
    few, many = (next_gain_between(sizes, list(values), 100, drawn, clusters) for clusters in (3, 1000))
    assert few.gain == many.gain == next_gain(sizes, list(values), 100).gain
    again = [next_gain(sizes, row, 100).gain for row in drawn]
    assert many.high == pytest.approx(np.quantile(again, 0.975), rel=0.01)  # type: ignore[arg-type]
    assert 0 <= few.low <= many.low <= many.gain <= many.high < few.high  # type: ignore[operator]
    for none in (
        next_gain_between(sizes, list(values), 100, drawn[:0], 9),
        next_gain_between(sizes, list(values), 100, drawn, 1),
    ):
        assert (none.low, none.high) == (None, None)


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
