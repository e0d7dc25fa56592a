"""Go on, or stop: each criterion, and the decision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from some_records import a_batch, an_evaluation, golden, some_figures, stopped, trained
from swath.config import Stop
from swath.kernels.gain import Resampled
from swath.policies.stopping import (
    Point,
    ambiguity,
    criteria,
    curve,
    decide,
    in_words,
    outcomes,
)
from swath.records.base import Estimate
from swath.records.batch import Ambiguity, Axis, Batch, Criterion, Forecast, Stopped

PRICE = Stop(min_gain=0.01, patience=2)


def points(*said: tuple[int, float]) -> list[Point]:
    """(scenes, mAP) by round; intervals 0.1 wide each way."""
    return [Point(scenes, Estimate(value=value, low=value - 0.1, high=value + 0.1)) for scenes, value in said]


def drawn_again(said: list[Point], sd: float, clusters: int = 12) -> Resampled:
    """The rounds over 200 draws of the drives, each round's value with a deviation of its own."""
    values = np.array([[one.map.value] * 2 for one in said], dtype=float)
    noise = np.random.default_rng(0).normal(0, sd, (200, len(said), 1))
    return Resampled(values, values + noise, clusters)


def plateau(
    *said: tuple[int, float], next_batch: int = 20, settings: Stop = PRICE, sd: float = 0.0005
) -> Criterion:
    told = points(*said)
    return criteria(told, 100, next_batch, settings, drawn_again(told, sd))["plateau"]


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


FLAT = ((20, 0.3), (40, 0.5), (60, 0.503), (80, 0.505))


def test_flat_and_nothing_to_expect_is_a_plateau() -> None:
    """v1 added 20 scenes, so that 0.01 a round are 0.05 per 100 scenes. The last two rounds brought 0.005 by 40 scenes, 0.0125
    per 100, surely below the price; and the curve promises less than that of the next 20."""
    found = plateau(*FLAT)
    assert found.stop is True
    assert found.numbers["gains"] == pytest.approx([0.2, 0.003, 0.002])
    assert found.numbers["price"] == pytest.approx(0.05)
    assert found.numbers["per_100"] == pytest.approx(0.0125)
    assert 0.0125 < found.numbers["below"] < 0.016
    assert found.numbers["next_gain"] < 0.01
    assert found.numbers["min_gain"] == 0.01
    assert "the last 2 rounds gained +0.0125 per 100 scenes (40 scenes), 80% surely below +0.01" in found.why
    assert "the price is 0.0500: flat; next batch: 0.00" in found.why


def test_surely_is_students_t_of_the_drives() -> None:
    """The bound is value + t(11) at 80 % * s * sqrt(12 / 11), scipy's t; the interval of the last gain that at 97.5 %."""
    found = plateau(*FLAT, sd=0.01)
    told = points(*FLAT)
    drawn = drawn_again(told, 0.01).drawn[:, :, 0]
    wide = np.sqrt(12 / 11)
    whole = np.std(drawn[:, 3] - drawn[:, 1], ddof=1) * wide
    assert found.numbers["below"] == pytest.approx((0.005 + stats.t.ppf(0.8, 11) * whole) / 40 * 100)
    last = np.std(drawn[:, 3] - drawn[:, 2], ddof=1) * wide * stats.t.ppf(0.975, 11)
    assert found.numbers["gain_low"] == pytest.approx(0.002 - last)
    assert found.numbers["gain_high"] == pytest.approx(0.002 + last)


def test_noise_is_no_plateau() -> None:
    """The same gains, known only to within 0.05: they may have been worth their price, and it goes on."""
    assert plateau(*FLAT, sd=0.05).stop is False
    assert "not flat" in plateau(*FLAT, sd=0.05).why


def test_flat_is_not_enough_where_more_is_expected() -> None:
    """The last two rounds were small and brought less than their price, but the curve that fits all rounds expects more of the
    next batch: go on."""
    settings = Stop(price=0.05, patience=2)
    noisy = ((20, 0.40), (40, 0.50), (42, 0.5005), (44, 0.501))
    found = plateau(*noisy, next_batch=20, settings=settings, sd=0.0001)
    assert found.numbers["below"] < 0.05
    assert found.numbers["next_gain"] / 20 * 100 > 0.05
    assert found.stop is False


def test_the_last_gains_count_together() -> None:
    """What two rounds brought together is worth its price though one of them brought nothing, and the other way round."""
    assert plateau((20, 0.3), (40, 0.31), (60, 0.33), (80, 0.332)).numbers["per_100"] == pytest.approx(0.055)
    assert plateau((20, 0.3), (40, 0.31), (60, 0.33), (80, 0.332)).stop is False
    assert plateau((20, 0.3), (40, 0.31), (60, 0.312), (80, 0.332)).stop is False


def test_gains_are_per_scene() -> None:
    """The same gains of batches that shrink are worth more per scene: no plateau where batches of one size have one."""
    same, shrunk = FLAT, ((20, 0.3), (40, 0.5), (44, 0.503), (48, 0.505))
    assert plateau(*same).stop is True
    assert plateau(*shrunk).stop is False
    assert plateau(*shrunk).numbers["per_100"] == pytest.approx(0.0625)


def test_a_price_wins_over_min_gain() -> None:
    """`stop.price` is said per 100 scenes; without it, `min_gain` is the price of as many scenes as v1 added."""
    assert plateau(*FLAT, settings=Stop(price=0.01)).stop is False
    assert plateau(*FLAT, settings=Stop(price=0.01)).numbers["price"] == 0.01
    assert plateau(*FLAT, settings=Stop(min_gain=0.002)).numbers["price"] == pytest.approx(0.01)


def test_patience_counts_rounds() -> None:
    """With a patience of one, one small gain is enough; with three, two are not enough to say."""
    flat = ((20, 0.5), (40, 0.5), (60, 0.5))
    assert plateau(*flat[:2], settings=Stop(patience=1)).stop is True
    too_few = plateau(*flat, settings=Stop(patience=3))
    assert too_few.stop is None
    assert "not enough rounds: 3 of 4" in too_few.why


def test_rounds_without_matches_have_their_own_intervals() -> None:
    """Rounds of 0.1.0 are not paired: their intervals add in quadrature, which is wide, and says so by not stopping."""
    told = points(*FLAT)
    old = criteria(told, 100, 20, PRICE)["plateau"]
    half = 2**0.5 / 10  # of two intervals of 0.1 each way
    assert old.numbers["gain_low"] == pytest.approx(0.002 - half)
    assert old.numbers["gain_high"] == pytest.approx(0.002 + half)
    assert old.stop is False
    new = drawn_again(told[1:], 0.0005)  # v0 is of 0.1.0, what counts is not
    mixed = criteria(told, 100, 20, PRICE, new)["plateau"]
    assert mixed.stop is True
    assert mixed.numbers["per_100"] == pytest.approx(0.0125)
    assert mixed.numbers["next_low"] is None  # the forecast needs every round


def test_one_drive_cannot_say() -> None:
    """Val of one drive: gains have no interval, and nothing is decided by them."""
    told = points(*FLAT)
    found = criteria(told, 100, 20, PRICE, Resampled(drawn_again(told, 0).values, np.zeros((0, 4, 2)), 1))[
        "plateau"
    ]
    assert found.stop is None
    assert "val needs two drives" in found.why


def test_the_forecast_has_an_interval() -> None:
    """Curves through the drawn rounds: the forecast is inside, the interval grows with the noise, and never promises a loss."""
    widths = []
    for sd in (0.001, 0.01):
        numbers = plateau(*FLAT, sd=sd).numbers
        assert 0 <= numbers["next_low"] <= numbers["next_gain"] <= numbers["next_high"]
        widths.append(numbers["next_high"] - numbers["next_low"])
    assert widths[0] < widths[1]


def test_it_cannot_say_without_a_forecast() -> None:
    """One round: no gain, nothing expected, nothing said."""
    found = plateau((20, 0.5))
    assert (found.stop, found.numbers["next_gain"], found.numbers["gains"]) == (None, None, [])
    assert "next batch: unknown expected" in found.why
    assert found.numbers["price"] is None


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
    st.integers(0, 7),
)
def test_any_history_can_be_decided(
    said: list[tuple[int, float]], next_batch: int, patience: int, newer: int
) -> None:
    """Whatever the sizes did: three criteria, a decision, and a stop only where the numbers say so."""
    settings = Stop(min_gain=0.02, patience=patience, target=0.6)
    told = points(*said)
    found = criteria(told, 3, next_batch, settings, drawn_again(told[-newer:], 0.01) if newer else None)
    assert list(found) == ["target", "plateau", "pool"]
    flat = found["plateau"]
    if flat.stop:
        assert flat.numbers["per_100"] <= flat.numbers["below"] < flat.numbers["price"]
        assert flat.numbers["next_gain"] / max(next_batch, 1) * 100 < flat.numbers["price"]
    stops = [name for name, one in found.items() if one.stop]
    assert decide("v0", found).decision == ("stop" if stops else "continue")


# ---------------------------------------------------------------------- forecasts


def told(name: str, expected: float | None, low: float | None, high: float | None, size: int) -> Stopped:
    return stopped(name).with_(forecast=Forecast(scenes=size, gain=expected, low=low, high=high))


def a_round(name: str, scenes: int, value: float, stop: Any = None) -> Batch:
    more = {"stop": stop} if stop else {}
    return a_batch(name, train=trained(name, scenes), evaluate=an_evaluation(name, value), **more)


def test_forecasts_are_held_against_what_came() -> None:
    """Expected of 20 scenes 0.02 (0.01 to 0.03): v1 brought 0.014 by 10, per 100 scenes 0.14 where 0.05 to 0.15 were expected;
    v2 brought nothing; a forecast without an interval is shown, and neither inside nor outside."""
    batches = [
        a_round("v0", 20, 0.5, told("v0", 0.02, 0.01, 0.03, 20)),
        a_round("v1", 30, 0.514, told("v1", 0.02, 0.01, 0.03, 20)),
        a_round("v2", 50, 0.514, told("v2", 0.02, None, None, 10)),
        a_round("v3", 60, 0.5165),
    ]
    found = outcomes(batches)
    assert [(one.round, one.inside) for one in found] == [("v1", True), ("v2", False), ("v3", None)]
    assert [one.expected for one in found] == pytest.approx([0.1, 0.1, 0.2])
    assert [one.got for one in found] == pytest.approx([0.14, 0, 0.025])
    assert in_words(found) == (
        "v3 was expected to bring +0.2000 per 100 scenes and brought +0.0250 (it had no interval); 1 of 2 forecasts held"
    )
    assert "of 1" not in in_words(found[:1])


def test_a_forecast_without_a_round_is_none() -> None:
    """Rounds that brought no scenes, and those of 0.1.0, which kept no forecast, have no outcome."""
    same = [a_round("v0", 20, 0.5, told("v0", 0.02, 0.01, 0.03, 20)), a_round("v1", 20, 0.5)]
    assert outcomes(same) == ()
    assert outcomes([a_round("v0", 20, 0.5, told("v0", None, None, None, 20)), a_round("v1", 30, 0.5)]) == ()
    assert outcomes([a_round("v0", 20, 0.5, stopped("v0")), a_round("v1", 30, 0.5)]) == ()


# ---------------------------------------------------------------------- ambiguity


def people(miss: float, extra: float, trials: int = 100) -> Any:
    def axis(rate: float) -> Axis:
        return Axis(
            errors=int(rate * trials), trials=trials, accepted=0.05, rate=rate, low=0, high=1, p_value=1
        )

    return golden("v0", axes={"2d miss": axis(miss), "2d extra": axis(extra)})


@pytest.mark.parametrize(
    ("miss", "extra", "trials", "stop"),
    [(0.75, 0.5, 100, True), (0.74, 0.5, 100, False), (0.75, 0.49, 100, False), (0.9, 0.9, 19, None)],
)
def test_what_people_disagree_about_is_ambiguous(
    miss: float, extra: float, trials: int, stop: bool | None
) -> None:
    """The model misses 75 % and half of its boxes are false (recall 0.25, precision 0.5): as good as people who do no better, in
    both; of fewer than 20 golden objects nothing is said."""
    batch = a_batch("v0", evaluate=an_evaluation("v0"), golden=people(miss, extra, trials))
    found = ambiguity(batch)
    assert found.stop is stop
    if stop is not None:
        assert found.numbers == {
            "model_misses": 0.75, "people_miss": miss, "model_false": 0.5, "people_false": extra
        }  # fmt: skip


def test_ambiguity_is_not_guessed() -> None:
    """Without a golden check, or for clouds, it says that it cannot say."""
    assert ambiguity(a_batch("v0", evaluate=an_evaluation("v0"))).stop is None
    cloud = an_evaluation("v0", figures={"3d": some_figures(0.5)}, modality="3d")
    assert "images alone" in ambiguity(a_batch("v0", evaluate=cloud, golden=people(1, 1))).why


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
        "forecast": None,
        "forecasts": {},
        "outcomes": (),
    }
    on = decide("v4", {"target": Criterion(stop=False, why="x"), "plateau": Criterion(stop=None, why="y")})
    assert (on.decision, on.why) == ("continue", "no criterion says stop")


@pytest.mark.parametrize(("low", "errors", "stops"), [(0.55, 40, True), (0.45, 40, False), (0.55, 19, None)])
def test_errors_that_people_disagree_about(low: float, errors: int, stops: bool | None) -> None:
    """Surely more than half of them: stop; perhaps: go on. Few errors say nothing of it, and what people err is looked at instead."""
    unclear = Ambiguity(errors=errors, ambiguous=30, share=Estimate(value=0.7, low=low, high=0.9), drives=9)
    found = ambiguity(a_batch("v0", evaluate=an_evaluation("v0").with_(ambiguity=unclear)))
    assert found.stop is stops
    if errors > 20:
        assert found.numbers["share"] == 0.7
        assert (
            found.why
            == f"people disagree about 70% ({low:.0%} to 90%) of the model's 40 errors on val as well"
        )
