from __future__ import annotations

from itertools import product
from math import prod, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom, binomtest, ttest_1samp

from swath.kernels import clustered
from swath.kernels.clustered import Mean

RATES = st.floats(0.001, 0.9)
ICCS = st.sampled_from([0.0, 0.02, 0.1, 0.4])
SCENES = st.lists(st.integers(0, 6), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), RATES, ICCS)
def test_a_scene_is_beta_binomial(trials: int, rate: float, icc: float) -> None:
    """As scipy has it: mean n * rate, variance n * rate * (1 - rate) * (1 + (n - 1) * icc); binomial without clumps."""
    k = np.arange(trials + 1)
    size = (1 - icc) / icc if icc else 0
    oracle = betabinom.pmf(k, trials, rate * size, (1 - rate) * size) if icc else binom.pmf(k, trials, rate)
    found = clustered.pmf(trials, rate, icc)
    assert found == pytest.approx(oracle, abs=1e-10)
    spread = found @ (k - trials * rate) ** 2
    assert spread == pytest.approx(trials * rate * (1 - rate) * (1 + (trials - 1) * icc), abs=1e-8)


def test_two_scenes_by_hand() -> None:
    """A rate of one half and an ICC of 1/3 is a beta (1, 1): 0, 1 or 2 of 2 with a third each. Two such scenes have
    0 .. 4 errors with 1, 2, 3, 2, 1 ninths; so 4 with 1/9, at least 3 with 3/9, at least 1 with 8/9."""
    assert clustered.pmf(2, 0.5, 1 / 3) == pytest.approx([1 / 3] * 3)
    assert clustered.tail([2, 2], 0.5, 1 / 3) == pytest.approx([1, 8 / 9, 6 / 9, 3 / 9, 1 / 9])


@settings(max_examples=30, deadline=None)
@given(SCENES, st.sampled_from([0.02, 0.05, 0.3]), ICCS)
def test_tails_are_those_of_all_outcomes(trials: list[int], rate: float, icc: float) -> None:
    """P(errors >= k) and P(score >= t) are sums over every way in which the scenes can come out."""
    sums: dict[int, float] = {}
    scores: dict[int, float] = {}
    for errors in product(*(range(n + 1) for n in trials)):
        chance = prod(clustered.pmf(n, rate, icc)[e] for n, e in zip(trials, errors, strict=True))
        total = clustered.total_score(errors, trials, rate, icc)
        sums[sum(errors)] = sums.get(sum(errors), 0) + chance
        scores[total] = scores.get(total, 0) + chance
    for k, found in enumerate(clustered.tail(trials, rate, icc)):
        assert found == pytest.approx(sum(p for at, p in sums.items() if at >= k), abs=1e-10)
    for t, found in enumerate(clustered.score_tail(trials, rate, icc)):
        assert found == pytest.approx(sum(p for at, p in scores.items() if at >= t), abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.floats(0.001, 0.6), ICCS)
def test_a_second_error_of_a_scene_weighs_less(trials: int, accepted: float, icc: float) -> None:
    """Scores begin with 0 and 8 and never fall; each error adds no more than the one before but for rounding; without clumps
    all weigh the same. They are the log likelihood ratio against three times the odds."""
    found = clustered.score(trials, accepted, icc)
    steps = np.diff(found)
    assert (found[0], found[1]) == (0, 8)
    assert (steps >= 0).all()
    if not icc:
        assert (steps == 8).all()
        return
    worse = 3 * accepted / (1 + 2 * accepted)
    size = (1 - icc) / icc
    k = np.arange(trials + 1)
    one, two = (betabinom.logpmf(k, trials, rate * size, (1 - rate) * size) for rate in (worse, accepted))
    ratio = one - two
    ratio -= ratio[0]
    assert found == pytest.approx(8 * ratio / ratio[1], abs=0.51)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(5, 8)), min_size=2, max_size=6), ICCS, st.randoms())
def test_the_order_of_scenes_does_not_matter(
    scenes: list[tuple[int, int]], icc: float, random: object
) -> None:
    """Scores, tails, rates and intervals are the same to the bit, and more errors score at least as much."""
    mixed = list(scenes)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    (e, n), (e2, n2) = (np.array(one).T for one in (scenes, mixed))
    assert clustered.total_score(e, n, 0.05, icc) == clustered.total_score(e2, n2, 0.05, icc)
    assert (clustered.score_tail(n, 0.05, icc) == clustered.score_tail(n2, 0.05, icc)).all()
    assert clustered.rate(e, n, icc) == clustered.rate(e2, n2, icc)
    for at in np.flatnonzero(e < n):
        worse = e.copy()
        worse[at] += 1
        assert clustered.total_score(worse, n, 0.05, icc) >= clustered.total_score(e, n, 0.05, icc)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60), st.floats(0, 1))
def test_intervals_are_clopper_and_pearson_s_without_clumps(trials: int, share: float) -> None:
    """At ICC 0 they are scipy's; of ten objects in each scene, clumps make them wider."""
    errors = round(share * trials)
    found = clustered.rate([errors], [trials], 0.0)
    if not trials:
        assert found == (0, 0, None, 0.0, 1.0)
        return
    exact = binomtest(errors, trials).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-5)
    if trials >= 20 and 0 < errors < trials:
        wider = clustered.rate([errors], [trials], 0.1)
        assert wider.high - wider.low > found.high - found.low


def test_detectable_has_the_stated_power() -> None:
    """At the detectable rate a check rejects with 80 %, at a lower one with less; too few objects see nothing."""
    trials = [5] * 20
    rate = clustered.detectable_rate(trials, 0.05, 0.1, alpha=0.0025)
    assert rate is not None
    assert clustered.power(trials, 0.05, 0.1, rate, alpha=0.0025) == pytest.approx(0.8, abs=1e-3)
    assert clustered.power(trials, 0.05, 0.1, 0.9 * rate, alpha=0.0025) < 0.8
    rng = np.random.default_rng(3)
    errors = rng.binomial(5, rng.beta(rate * 9, (1 - rate) * 9, (800, 20)))
    found = [clustered.total_score(one, trials, 0.05, 0.1) for one in errors]
    tail = clustered.score_tail(trials, 0.05, 0.1)
    assert np.mean([tail[one] <= 0.0025 for one in found]) == pytest.approx(0.8, abs=0.05)
    assert clustered.detectable_rate([1], 0.05, 0.1, alpha=0.01) is None
    assert clustered.power([1], 0.05, 0.1, 0.5, alpha=0.01) == 0


def test_clumps_are_discounted() -> None:
    """Six errors in six scenes are more surprising than six in one, which a hard scene explains."""
    trials = [6] * 20
    spread, clump = [1] * 6 + [0] * 14, [6] + [0] * 19
    tail = clustered.score_tail(trials, 0.02, 0.1)
    p = [float(tail[clustered.total_score(one, trials, 0.02, 0.1)]) for one in (spread, clump)]
    assert p[0] < 0.01 < p[1]


@pytest.mark.parametrize("true", [0.0, 0.1, 0.3])
def test_the_icc_is_found_where_errors_are_many(true: float) -> None:
    """From 10 axes of 300 scenes; and the design's where nothing was seen; the same rounds twice say no more than once."""
    rng = np.random.default_rng(1)
    size = (1 - true) / true if true else 1e9
    rounds = [(rng.binomial(6, rng.beta(0.08 * size, 0.92 * size, 300)), np.full(300, 6)) for _ in range(10)]
    assert clustered.estimated_icc(rounds, 0.1) == pytest.approx(true, abs=0.03)
    assert clustered.estimated_icc([], 0.1) == 0.1
    assert clustered.estimated_icc([(np.zeros(5), np.full(5, 9))], 0.2) == 0.2
    few = [(one[:4], of[:4]) for one, of in rounds[:2]]
    once = clustered.estimated_icc(few, 0.1)
    assert clustered.estimated_icc(few * 2, 0.1, share=0.5) == pytest.approx(once, rel=1e-9)


def test_a_clustered_mean_by_hand() -> None:
    """Scene 0 has 1 and 2, scene 1 has 4: mean 7/3. Sums of differences: -4/3 - 1/3 = -5/3, and 5/3. Variance
    2 / 1 * (25/9 + 25/9) / 3^2 = 100/81, so the error is 10/9, with one degree of freedom."""
    found = clustered.mean([1, 2, 4, np.nan], [0, 0, 1, 1])
    assert found.value == pytest.approx(7 / 3)
    assert found.error == pytest.approx(10 / 9)
    assert (found.freedom, found.objects) == (1, 3)
    assert clustered.mean([], []) == Mean(None, None, 0, 0)
    assert clustered.mean([1, 3], [4, 4]) == Mean(2.0, None, 0, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=12).filter(lambda x: np.std(x) > 1e-3))
def test_one_object_per_scene_is_student_s_test(values: list[float]) -> None:
    """Error and p-value are then scipy's, two-sided for a signed measure, one-sided for another; so is the interval."""
    found = clustered.mean(values, range(len(values)))
    assert found.error == pytest.approx(np.std(values, ddof=1) / sqrt(len(values)))
    two, one = ttest_1samp(values, 0), ttest_1samp(values, 0.5, alternative="greater")
    assert clustered.above(found, 0.0, signed=True) == pytest.approx(two.pvalue, abs=1e-9)
    assert clustered.above(found, 0.5, signed=False) == pytest.approx(one.pvalue, abs=1e-9)
    ends = two.confidence_interval(0.95)
    assert clustered.interval(found) == pytest.approx((ends.low, ends.high))


def test_a_mean_without_spread_or_scenes() -> None:
    """All the same: beyond the limit or within; one scene says nothing."""
    assert clustered.above(Mean(0.2, 0.0, 4, 5), 0.1, signed=True) == 0
    assert clustered.above(Mean(-0.2, 0.0, 4, 5), 0.1, signed=False) == 1
    assert clustered.above(Mean(0.1, 0.0, 4, 5), 0.1, signed=True) == 1
    assert clustered.above(Mean(9.0, None, 0, 5), 0.1, signed=True) == 1
    assert clustered.interval(Mean(9.0, None, 0, 5)) == (None, None)
    assert clustered.detectable_mean(Mean(9.0, None, 0, 5), 0.1, alpha=0.01) is None


def test_a_detectable_mean_is_found_with_about_its_power() -> None:
    """Means drawn around it are found in close to 80 % of the cases."""
    rng = np.random.default_rng(2)
    one = clustered.mean(rng.normal(size=40), range(40))
    sees = clustered.detectable_mean(one, 0.1, alpha=0.01)
    assert sees is not None
    drawn = [clustered.mean(sees + rng.normal(size=40) * one.error * sqrt(40), range(40)) for _ in range(500)]
    assert np.mean([clustered.above(each, 0.1, signed=False) <= 0.01 for each in drawn]) == pytest.approx(
        0.8, abs=0.06
    )


def test_impossible_counts_are_refused() -> None:
    """More errors than trials, fewer than none, or other scenes."""
    for errors, trials in (([3], [2]), ([-1], [2]), ([1, 1], [2])):
        with pytest.raises(ValueError, match="expected 0 <= errors <= trials"):
            clustered.rate(errors, trials, 0.1)
