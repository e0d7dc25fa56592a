"""Curves over cost, their areas and ratios, and how often the intervals hold what is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.backtest.answer import (
    Run,
    against,
    area,
    at_costs,
    common,
    in_words,
    labels_to_target,
    verdict,
)
from swath.policies.chance import spread

rising = st.lists(st.floats(0.1, 50), min_size=2, max_size=8).map(np.cumsum)


def line(costs: Any, values: Any, draws: int = 0) -> Run:
    """A curve that is the same in every draw of the drives."""
    costs, values = np.asarray(costs, float), np.asarray(values, float)
    every = np.repeat(values[:, None], 1 + draws, axis=1)
    return Run({"boxes": costs, "scenes": costs, "minutes": costs}, {"map50": every})


@given(costs=rising, data=st.data())
def test_between_rounds_curves_are_straight(costs: Any, data: st.DataObject) -> None:
    """As numpy's interpolation, for any costs that grow, the ends included."""
    values = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(costs), max_size=len(costs))))
    wanted = np.linspace(costs[0], costs[-1], 17)
    assert at_costs(costs, values, wanted) == pytest.approx(np.interp(wanted, costs, values), abs=1e-9)


def test_the_area_is_the_mean_difference_where_both_are() -> None:
    """Of two straight lines it is the difference in the middle of the costs that both reach; what only one paid does not count."""
    one, other = line([10, 30], [0.2, 0.6]), line([0, 20], [0.0, 0.2])
    assert area(one, other, "boxes", "map50")[0] == pytest.approx((0.2 + 0.4) / 2 - (0.1 + 0.2) / 2)
    grid = common(one.costs["boxes"], other.costs["boxes"])
    assert grid is not None
    assert (grid[0], grid[-1]) == (10, 20)


def test_without_a_cost_in_common_nothing_is_said() -> None:
    """An arm whose first batch is dearer than all of random's is not compared, and the sentence says so."""
    found = against("dear", [line([50, 60], [0.5, 0.6])], [line([10, 20], [0.1, 0.2])], "boxes", 9)
    assert found.figures["map50"].value is None
    assert found.verdict == "not told apart"
    assert "no cost that both reach" in in_words(found, "boxes")


@given(costs=rising, share=st.floats(0.3, 3), data=st.data())
def test_the_ratio_of_a_curve_that_is_cheaper_throughout(
    costs: Any, share: float, data: st.DataObject
) -> None:
    """The same curve at `share` of the cost needs `share` of the labels."""
    steps = data.draw(st.lists(st.floats(0.01, 1), min_size=len(costs), max_size=len(costs)))
    values = np.cumsum(steps) / sum(steps)
    found = labels_to_target([line(costs * share, values)], [line(costs, values)], "boxes", 9)
    assert found.value == pytest.approx(share, rel=1e-6)


def test_where_nothing_is_learned_there_is_no_ratio() -> None:
    """A curve that stays where it began has no cost for what both reach."""
    flat, other = line([1, 9], [0.3, 0.3]), line([1, 9], [0.1, 0.6])
    assert labels_to_target([flat], [other], "boxes", 9).value is None


# ---------------------------------------------------------------------- intervals


def simulated(
    rng: np.random.Generator, seeds: int, drives: int, of_seed: float, of_drive: float, held: float = 1.0
) -> Any:
    """(S, 1 + B) areas of arms that do not differ: noise of each seed, and of the drives that it holds out (a share of all), in their
    mean and in each draw of all drives."""
    noise = rng.normal(0, of_drive, drives)
    weights = np.concatenate(
        [np.ones((1, drives)), rng.multinomial(drives, np.full(drives, 1 / drives), 100)]
    )
    out = []
    for own in rng.normal(0, of_seed, seeds):
        mine = rng.permutation(drives)[: round(held * drives)]
        with np.errstate(invalid="ignore"):
            out.append(own + weights[:, mine] @ noise[mine] / weights[:, mine].sum(axis=1))
    return np.stack(out)


@pytest.mark.parametrize(
    ("seeds", "drives", "of_seed", "of_drive", "held"),
    [
        (2, 12, 0.02, 0.02, 1.0),
        (3, 12, 0.02, 0.05, 1.0),
        (5, 12, 0.02, 0.0, 1.0),
        (5, 20, 0.0, 0.05, 1.0),
        (3, 8, 0.01, 0.1, 1.0),
        (1, 15, 0.0, 0.1, 1.0),
        (3, 30, 0.005, 0.05, 0.3),
        (5, 30, 0.005, 0.05, 0.3),
        (10, 40, 0.01, 0.1, 0.3),
    ],
)
def test_arms_that_do_not_differ_are_called_different_at_most_so_often(
    seeds: int, drives: int, of_seed: float, of_drive: float, held: float
) -> None:
    """In 400 repeats at most one in twenty (and what 400 repeats leave to chance) is told apart, whether seeds or drives vary more,
    and whether seeds hold out the same drives or draw their own."""
    rng, different = np.random.default_rng([seeds, drives]), 0
    for _ in range(400):
        values = simulated(rng, seeds, drives, of_seed, of_drive, held)
        different += verdict(spread(values, drives).around(float(values[:, 0].mean()))) != "not told apart"
    assert different / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_what_would_be_seen_is_seen() -> None:
    """A true difference of the size that is `detectable` is told apart in about 80 % of repeats."""
    rng, seen = np.random.default_rng(3), 0
    sizes = [spread(simulated(rng, 5, 15, 0.02, 0.03), 15).detectable() or 0.0 for _ in range(200)]
    for _ in range(200):
        values = simulated(rng, 5, 15, 0.02, 0.03) + np.mean(sizes)
        seen += verdict(spread(values, 15).around(float(values[:, 0].mean()))) == "better"
    assert 0.7 < seen / 200 < 0.97


def test_the_jackknife_of_a_mean_is_its_variance() -> None:
    """For a ratio that is a mean on the scale of its logarithm, the seeds' part of its interval is that of a plain t-interval."""
    rng = np.random.default_rng(5)
    costs, values = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0.1, 0.2, 0.3, 0.4])
    others = [line(costs, values + rng.normal(0, 0.004)) for _ in range(6)]
    ones = [line(costs, values + rng.normal(0, 0.004)) for _ in range(6)]
    found = labels_to_target(ones, others, "boxes", 9)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 1 < found.high
    assert found.low * found.high == pytest.approx(found.value**2)


def test_one_seed_and_one_drive_give_no_interval() -> None:
    """Nothing varies that could tell: the value stands alone, and nothing is told apart."""
    values = np.full((1, 5), 0.4)
    found = spread(values, 1).around(0.4)
    assert (found.value, found.low, found.high) == (0.4, None, None)
    assert verdict(found) == "not told apart"
