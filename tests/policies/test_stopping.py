"""Go on, or stop: each criterion, and the decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from some_records import a_batch, an_evaluation, some_figures, trained
from swath.config import Stop
from swath.policies.stopping import Point, criteria, curve, decide
from swath.records.base import Estimate
from swath.records.batch import Criterion

PRICE = Stop(min_gain=0.01, patience=2)


def points(*said: tuple[int, float]) -> list[Point]:
    """(scenes, mAP) by round; intervals 0.1 wide each way."""
    return [Point(scenes, Estimate(value=value, low=value - 0.1, high=value + 0.1)) for scenes, value in said]


def plateau(*said: tuple[int, float], next_batch: int = 20, settings: Stop = PRICE) -> Criterion:
    return criteria(points(*said), 100, next_batch, settings)["plateau"]


# ---------------------------------------------------------------------- the curve


def test_the_curve_has_every_round_that_counts() -> None:
    """Rounds that were evaluated, in order, with the scenes that they learned from and the mAP of the mined modality; not
    cancelled ones, not those without figures, not reference batches."""
    both = {"2d": some_figures(0.9), "3d": some_figures(0.25)}
    batches = [
        a_batch("reference"),
        a_batch("v0", train=trained("v0", 20), evaluate=an_evaluation("v0", 0.5)),
        a_batch("v1", "cancelled", train=trained("v1", 30), evaluate=an_evaluation("v1", 0.9)),
        a_batch("v2", train=trained("v2", 40), evaluate=an_evaluation("v2", 0.75)),
        a_batch(
            "v3",
            "evaluated",
            train=trained("v3", 44),
            evaluate=an_evaluation("v3", figures=both, modality="3d"),
        ),
        a_batch("v4", "trained", train=trained("v4", 50)),
    ]
    found = curve(batches)
    assert [(one.scenes, one.map.value) for one in found] == [(20, 0.5), (40, 0.75), (44, 0.25)]


# ---------------------------------------------------------------------- target


def test_the_target_is_met_by_the_lower_bound() -> None:
    """mAP 0.5 with a lower bound of 0.4 has reached 0.4, not 0.41; the upper bound and the value say nothing."""
    now = points((20, 0.5))
    for target, met in ((0.4, True), (0.41, False), (0.5, False), (0.55, False)):
        found = criteria(now, 100, 20, Stop(target=target))["target"]
        assert found.stop is met
        assert found.numbers == {"target": target, "map": 0.5, "low": 0.4}
        assert found.why == f"lower bound of mAP 0.400, target {target:.3f}"


def test_only_the_last_round_meets_the_target() -> None:
    """A better earlier round does not count."""
    assert criteria(points((20, 0.9), (30, 0.5)), 100, 20, Stop(target=0.7))["target"].stop is False


def test_without_a_target_or_a_bound() -> None:
    """No target: it cannot say. No interval: not reached."""
    assert criteria(points((20, 0.9)), 100, 20, Stop())["target"] == Criterion(
        stop=None, numbers={"target": None, "map": 0.9, "low": 0.8}, why="no target is set"
    )
    unknown = criteria([Point(20, Estimate(value=0.9))], 100, 20, Stop(target=0.1))["target"]
    assert unknown.stop is False
    assert unknown.why == "lower bound of mAP unknown, target 0.100"


# ---------------------------------------------------------------------- plateau


def test_flat_and_nothing_to_expect_is_a_plateau() -> None:
    """Two small gains, and a curve that promises less than a round is worth."""
    found = plateau((20, 0.3), (40, 0.5), (60, 0.503), (80, 0.505))
    assert found.stop is True
    assert found.numbers["gains"] == pytest.approx([0.2, 0.003, 0.002])
    assert found.numbers["next_gain"] < 0.01
    assert found.numbers["min_gain"] == 0.01
    half = 2**0.5 / 10  # of two intervals of 0.1 each way, in quadrature
    assert found.numbers["gain_low"] == pytest.approx(0.002 - half)
    assert found.numbers["gain_high"] == pytest.approx(0.002 + half)
    assert "last gains +0.003, +0.002: below 0.01; next batch: 0.00" in found.why


def test_flat_is_not_enough_where_more_is_expected() -> None:
    """The same small gains, but the next batch is so large that the curve expects a gain from it: go on."""
    flat = ((20, 0.3), (40, 0.5), (60, 0.503), (80, 0.505))
    noisy = ((20, 0.40), (40, 0.50), (42, 0.505), (44, 0.51))
    assert plateau(*flat).stop is True
    found = plateau(*noisy, next_batch=100)
    assert found.numbers["next_gain"] > 0.01
    assert found.stop is False


def test_every_one_of_the_last_gains_must_be_small() -> None:
    """One larger gain among the last two: no plateau, though the smaller one is below the price."""
    assert plateau((20, 0.3), (40, 0.31), (60, 0.33), (80, 0.332)).stop is False
    assert plateau((20, 0.3), (40, 0.31), (60, 0.312), (80, 0.332)).stop is False


def test_patience_counts_gains() -> None:
    """With a patience of one, one small gain is enough; with three, two are not enough to say."""
    flat = ((20, 0.5), (40, 0.5), (60, 0.5))
    assert plateau(*flat[:2], settings=Stop(patience=1)).stop is True
    too_few = plateau(*flat, settings=Stop(patience=3))
    assert too_few.stop is None
    assert "not enough rounds: 3 of 4" in too_few.why


def test_it_cannot_say_without_a_forecast() -> None:
    """One round: no gain, nothing expected, nothing said."""
    found = plateau((20, 0.5))
    assert (found.stop, found.numbers["next_gain"], found.numbers["gains"]) == (None, None, [])
    assert "next batch: unknown expected" in found.why


def test_a_round_that_brought_nothing_does_not_wedge_the_loop() -> None:
    """All scenes of v1 were skipped: the same scenes, the same model. It is no small gain, and the forecast goes on."""
    found = plateau((20, 0.5), (20, 0.5), next_batch=10)
    assert (found.stop, found.numbers["gains"], found.numbers["next_gain"]) == (None, [], None)
    later = plateau((20, 0.3), (20, 0.3), (40, 0.5), (40, 0.5), next_batch=10)
    assert later.numbers["gains"] == pytest.approx([0.2])
    assert later.stop is None
    assert later.numbers["next_gain"] > 0.01
    flat = plateau((20, 0.3), (40, 0.5), (60, 0.503), (80, 0.505), (80, 0.505))
    assert flat.stop is True


def test_scenes_that_were_deleted_do_not_wedge_it_either() -> None:
    """A training set that shrank is a point of the curve like any other."""
    assert plateau((20, 0.3), (40, 0.5), (38, 0.5)).stop is not None


@given(
    st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), min_size=1, max_size=7),
    st.integers(0, 50),
    st.integers(1, 4),
)
def test_any_history_can_be_decided(said: list[tuple[int, float]], next_batch: int, patience: int) -> None:
    """Whatever the sizes did: three criteria, a decision, and a stop only where the numbers say so."""
    settings = Stop(min_gain=0.02, patience=patience, target=0.6)
    found = criteria(points(*said), 3, next_batch, settings)
    assert list(found) == ["target", "plateau", "pool"]
    flat = found["plateau"]
    if flat.stop:
        assert max(flat.numbers["gains"][-patience:]) < 0.02
        assert flat.numbers["next_gain"] < 0.02
    stops = [name for name, one in found.items() if one.stop]
    assert decide("v0", found).decision == ("stop" if stops else "continue")


# ---------------------------------------------------------------------- pool, and the decision


def test_the_pool_ends_it() -> None:
    """Nothing left to label is a reason; one scene left is none."""
    assert criteria(points((20, 0.5)), 0, 0, PRICE)["pool"] == Criterion(
        stop=True, numbers={"left": 0}, why="0 pool scenes are left"
    )
    assert criteria(points((20, 0.5)), 1, 1, PRICE)["pool"].stop is False


def test_one_criterion_is_enough_and_each_is_named() -> None:
    """The decision names every criterion that says stop, in order; None says nothing."""
    found = {
        "target": Criterion(stop=True, why="reached"),
        "plateau": Criterion(stop=None, why="too early"),
        "pool": Criterion(stop=True, why="empty"),
    }
    assert decide("v4", found).model_dump() == {
        "round": "v4",
        "decision": "stop",
        "why": "target: reached; pool: empty",
        "criteria": {name: {"stop": one.stop, "why": one.why} for name, one in found.items()},
    }
    on = decide("v4", {"target": Criterion(stop=False, why="x"), "plateau": Criterion(stop=None, why="y")})
    assert (on.decision, on.why) == ("continue", "no criterion says stop")
