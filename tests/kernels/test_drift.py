from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, false_discovery_control, fisher_exact

from swath.kernels.drift import RateTest, change_test, detectable_rate, holm, rate_test, verdict

ACCEPTED = {"miss": 0.05, "extra": 0.03, "swap": 0.02, "box": 0.05, "miss_3d": 0.05, "yaw": 0.05}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 120), st.floats(0, 1), st.sampled_from([0.0, 0.02, 0.05, 0.3]))
def test_rate_test_agrees_with_scipy(trials: int, share: float, accepted: float) -> None:
    """The p-value and the Clopper-Pearson interval are those of scipy's binomtest."""
    errors = round(share * trials)
    test = rate_test(errors, trials, accepted)
    if not trials:
        assert (test.rate, test.low, test.high, test.p_value) == (None, 0.0, 1.0, 1.0)
        return
    oracle = binomtest(errors, trials, accepted, alternative="greater")
    interval = binomtest(errors, trials, accepted).proportion_ci(0.95, method="exact")
    assert test.p_value == pytest.approx(oracle.pvalue, abs=1e-12)
    assert (test.low, test.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert test.low <= test.rate <= test.high  # type: ignore[operator]


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 60)] * 2), st.tuples(*[st.floats(0, 1)] * 2))
def test_change_test_agrees_with_scipy(trials: tuple[int, int], shares: tuple[float, float]) -> None:
    """The change test is scipy's one-sided fisher_exact on now against earlier."""
    errors = [round(share * count) for share, count in zip(shares, trials, strict=True)]
    table = [[errors[0], trials[0] - errors[0]], [errors[1], trials[1] - errors[1]]]
    oracle = fisher_exact(table, alternative="greater").pvalue
    assert change_test(errors[0], trials[0], errors[1], trials[1]) == pytest.approx(oracle, abs=1e-9)


@pytest.mark.parametrize("trials", [20, 40, 137, 600])
@pytest.mark.parametrize("accepted", [0.02, 0.05])
def test_detectable_rate_has_the_stated_power(trials: int, accepted: float) -> None:
    """At the detectable rate exactly 80 % of samples reject, at a lower one fewer."""
    rate = detectable_rate(trials, accepted, alpha=0.01)
    assert rate is not None
    rejecting = [k for k in range(trials + 1) if rate_test(k, trials, accepted).p_value <= 0.01]
    assert binom.pmf(rejecting, trials, rate).sum() == pytest.approx(0.8, abs=1e-6)
    assert binom.pmf(rejecting, trials, rate * 0.9).sum() < 0.8


def test_too_few_trials_detect_nothing() -> None:
    """One object at 5 % accepted cannot reject at 1 %: the detectable rate is None, as it is without
    objects.
    """
    assert detectable_rate(1, 0.05, alpha=0.01) is None
    assert rate_test(0, 0, 0.05).detectable is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_as_the_step_down_procedure(p_values: list[float]) -> None:
    """Adjusted p-values reject exactly what walking down the sorted list against alpha / (m - i) rejects."""
    adjusted = holm(dict(enumerate(p_values)))
    rejected = set()
    for rank, key in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[key] * (len(p_values) - rank) > 0.05:
            break
        rejected.add(key)
    assert {key for key, p in adjusted.items() if p <= 0.05} == rejected
    if p_values:
        assert all(adjusted[k] >= q - 1e-12 for k, q in enumerate(false_discovery_control(p_values)))


def _check(rng: np.random.Generator, objects: int, earlier: int, **planted: float) -> str:
    """The verdict on one simulated check whose axes err at the accepted rates, but for the planted ones."""
    tests, history = {}, {}
    for axis, accepted in ACCEPTED.items():
        tests[axis] = _cached(int(rng.binomial(objects, planted.get(axis, accepted))), objects, accepted)
        history[axis] = (int(rng.binomial(earlier, accepted)), earlier)
    return verdict(tests, history=history).status


_TESTS: dict[tuple[int, int, float], RateTest] = {}


def _cached(errors: int, trials: int, accepted: float) -> RateTest:
    key = (errors, trials, accepted)
    if key not in _TESTS:
        _TESTS[key] = rate_test(*key)
    return _TESTS[key]


@pytest.mark.parametrize("objects", [60, 250])
def test_false_alarms_stay_below_what_is_promised(objects: int) -> None:
    """With annotators who err at just the accepted rates, at most 1 % of checks block and 5 % warn or
    block.
    """
    rng = np.random.default_rng(objects)
    runs = 1200
    seen = [_check(rng, objects, 2 * objects) for _ in range(runs)]
    slack = 3  # standard deviations of the simulation
    for alarms, alpha in ((("block",), 0.01), (("block", "warn"), 0.05)):
        count = sum(status in alarms for status in seen)
        assert count <= runs * alpha + slack * np.sqrt(runs * alpha), (alarms, count)
    assert seen.count("pass") > 0.9 * runs


def test_a_planted_rate_is_found_with_the_stated_power() -> None:
    """At the rate a verdict states as detectable, close to 80 % of checks block, in spite of the other
    axes.
    """
    rng = np.random.default_rng(7)
    tests = {axis: rate_test(0, 120, accepted) for axis, accepted in ACCEPTED.items()}
    rate = verdict(tests).detectable["swap"]
    assert rate is not None
    assert 0.02 < rate < 0.2
    blocked = np.mean([_check(rng, 120, 0, swap=rate) == "block" for _ in range(400)])
    assert 0.74 <= blocked <= 0.9


def test_few_objects_are_not_enough_evidence_but_no_excuse() -> None:
    """Below 20 objects a clean check is no pass; eight of ten missed blocks all the same; nothing compared
    is said.
    """
    thin = {"miss": rate_test(0, 10, 0.05), "swap": rate_test(0, 40, 0.02)}
    assert verdict(thin).status == "not enough evidence"
    assert any("needs 20 of each: miss 10" in reason for reason in verdict(thin).reasons)
    assert verdict({"miss": rate_test(8, 10, 0.05)}).status == "block"
    assert verdict({}).status == "not enough evidence"
    assert verdict({"miss": rate_test(0, 0, 0.05)}).status == "not enough evidence"


def test_a_rise_that_is_still_accepted_can_only_warn() -> None:
    """From 1 of 1000 to 12 of 300 at 5 % accepted: a warning that names both rates, not a block; unchanged:
    pass.
    """
    tests = {"miss": rate_test(12, 300, 0.05)}
    found = verdict(tests, history={"miss": (1, 1000)})
    assert found.status == "warn"
    assert "12 of 300 (4.0%) wrong, 1 of 1000 (0.1%) in earlier rounds" in found.reasons[0]
    assert verdict(tests, history={"miss": (40, 1000)}).status == "pass"
    assert verdict(tests, history={"miss": (0, 0)}).status == "pass"


def test_block_says_rate_interval_and_limit() -> None:
    """A block names the axis, the count, the interval and what was accepted."""
    found = verdict({"swap": rate_test(9, 60, 0.02), "miss": rate_test(2, 60, 0.05)})
    assert found.status == "block"
    assert "swap: 9 of 60 (15.0%) wrong" in found.reasons[0]
    assert "accepted 2.0%" in found.reasons[0]
    assert len(found.reasons) == 1


def test_impossible_counts_are_refused() -> None:
    """More errors than trials, or an accepted rate of 1, raise."""
    for arguments in ((3, 2, 0.1), (-1, 2, 0.1), (0, 2, 1.0)):
        with pytest.raises(ValueError, match="expected 0 <= errors <= trials"):
            rate_test(*arguments)
