from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, false_discovery_control

from swath.kernels.drift import BLOCK, WARN, Counts, Judged, Values, holm, judge, risen


def counts(errors: Any, trials: Any, accepted: float = 0.05, **more: Any) -> Counts:
    return Counts(np.asarray(errors, dtype=np.int64), np.asarray(trials, dtype=np.int64), accepted, **more)


def values(
    off: float, moved: float | None, tolerance: float = 0.1, margin: float = 0.02, **more: Any
) -> Values:
    """Twenty scenes of three objects, off by this on average, and moved by that since earlier rounds."""
    rng = np.random.default_rng(0)
    scenes = np.repeat(np.arange(20), 3)
    now = off + rng.normal(0, 0.02, 60)
    earlier = np.full(60, np.nan) if moved is None else now - moved + rng.normal(0, 0.01, 60)
    return Values(now, scenes, earlier, tolerance, margin, **more)


def found(one: Judged) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    return list(one.blocking), list(one.warning)


# ---------------------------------------------------------------------- the correction


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


def test_p_values_that_are_few_by_hand() -> None:
    """a can give 1 and 0.03, b can give 1, 0.2 and 0.04. With p 0.03 and 0.2: by chance b is never at most 0.03, so a's is
    0.03 + 0 rather than 2 * 0.03; then b's own is 0.2. With p 0.03 and 0.04: 0.03 + 0, then 0.04."""
    can = {"a": np.array([1, 0.03]), "b": np.array([1, 0.2, 0.04])}
    assert holm({"a": 0.03, "b": 0.2}, can) == pytest.approx({"a": 0.03, "b": 0.2})
    assert holm({"a": 0.03, "b": 0.04}, can) == pytest.approx({"a": 0.03, "b": 0.04})
    assert holm({"a": 0.03, "b": 0.04}) == pytest.approx({"a": 0.06, "b": 0.06})


@pytest.mark.parametrize("errors", [1, 3, 7])
def test_a_p_value_of_counts_is_that_of_as_many_errors_or_more(errors: int) -> None:
    """Forty scenes of one object each, without clumps: scipy's binomial, P(X >= errors) at the accepted 5 %."""
    seen = counts([1] * errors + [0] * (40 - errors), [1] * 40)
    assert judge({"miss": seen}, {}, 0.0).tests["counts"]["miss"].p == pytest.approx(
        binom.sf(errors - 1, 40, 0.05)
    )


def test_false_alarms_over_all_outcomes_of_two_axes() -> None:
    """Of all ways in which two axes can come out at the accepted rates, those that are rejected at alpha have a chance of alpha
    at most: computed, not drawn."""
    from swath.kernels.clustered import score_tail

    for trials in ([5] * 8, [2] * 30, [9, 9, 1]):
        can = [score_tail(trials, rate, 0.1) for rate in (0.05, 0.02)]
        mass = [-np.diff(np.append(one, 0.0)) for one in can]
        for alpha in (0.01, 0.05):
            wrong = 0.0
            for i in np.flatnonzero(mass[0] > 0):
                for j in np.flatnonzero(mass[1] > 0):
                    p = {"a": float(can[0][i]), "b": float(can[1][j])}
                    if min(holm(p, {"a": can[0], "b": can[1]}).values()) <= alpha:
                        wrong += float(mass[0][i] * mass[1][j])
            assert wrong <= alpha + 1e-9


def test_the_budgets_add_up() -> None:
    """What families may spend is no more than the whole, and a block is a warning as well."""
    assert 0.5 < sum(BLOCK.values()) < 1
    assert sum(WARN.values()) == pytest.approx(1)
    assert all(0.01 * share <= 0.05 * WARN[family] for family, share in BLOCK.items() if family == "counts")


# ---------------------------------------------------------------------- what blocks, what warns


def test_far_above_the_accepted_rate_blocks_a_little_above_warns() -> None:
    """One error in each of 14 of 20 scenes of five objects blocks at 5 % accepted; in 9 of them it warns; in 4 nothing."""
    trials = [5] * 20

    def said(scenes: int) -> Any:
        return found(judge({"2d miss": counts([1] * scenes + [0] * (20 - scenes), trials)}, {}, 0.1))

    assert said(14) == ([("counts", "2d miss")], [])
    assert said(9) == ([], [("counts", "2d miss")])
    assert said(4) == ([], [])


def test_level_blocks_and_change_only_warns() -> None:
    """Beyond the tolerance: a block. Within it, but moved beyond the margin since earlier rounds: a warning, however far."""
    assert found(judge({}, {"x": values(0.15, None)}, 0.1)) == ([("level", "x")], [])
    assert found(judge({}, {"x": values(-0.15, None)}, 0.1)) == ([("level", "x")], [])
    assert found(judge({}, {"x": values(-0.15, None, signed=False)}, 0.1)) == ([], [])
    assert found(judge({}, {"x": values(0.05, 0.05)}, 0.1)) == ([], [("change", "x")])
    assert found(judge({}, {"x": values(0.05, -0.3)}, 0.1)) == ([], [("change", "x")])
    assert found(judge({}, {"x": values(0.05, 0.01)}, 0.1)) == ([], [])
    assert found(judge({}, {"x": values(0.05, None)}, 0.1)) == ([], [])


def test_gross_errors_do_not_hide_a_drift() -> None:
    """Three objects that are 5 m off hide a shift of 0.1 m, unless they count no more than 0.2 m from the median."""
    one = values(0.1, None, tolerance=0.05)
    one.values[[0, 20, 40]] = [5, -5, 5]
    assert found(judge({}, {"x": one}, 0.1)) == ([], [])
    assert found(judge({}, {"x": one._replace(cut=0.2)}, 0.1)) == ([("level", "x")], [])


def test_a_window_sees_what_one_round_cannot() -> None:
    """Two errors in each of 14 of 20 scenes over three rounds warn where five in this one do not; not where this round is
    within what is accepted."""
    trials, longer = [5] * 20, ([2] * 14 + [0] * 6, [15] * 20)
    window = tuple(np.array(one) for one in longer)
    here = counts([1] * 7 + [0] * 13, trials, window=window)
    assert found(judge({"m": here._replace(window=counts([], []).window)}, {}, 0.1)) == ([], [])
    assert found(judge({"m": here}, {}, 0.1)) == ([], [("window", "m")])
    fine = counts([1] * 4 + [0] * 16, trials, window=window)
    assert found(judge({"m": fine}, {}, 0.1)) == ([], [])


def test_a_rise_that_is_still_accepted_can_only_warn() -> None:
    """From 2 of 2000 to one in each of 10 of 50 scenes of five: 4 % at 5 % accepted is a warning; unchanged it is none."""
    now = counts([1] * 10 + [0] * 40, [5] * 50)
    assert found(judge({"m": now._replace(before=(2, 2000))}, {}, 0.1)) == ([], [("rise", "m")])
    assert found(judge({"m": now._replace(before=(80, 2000))}, {}, 0.1)) == ([], [])
    assert risen(now._replace(before=(200, 2000)), 0.1) == 1.0
    assert risen(now._replace(before=(2, 40)), 0.1) > risen(now._replace(before=(2, 2000)), 0.1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=8, max_size=8), st.integers(0, 7), st.randoms())
def test_more_errors_never_lower_a_verdict(errors: list[int], at: int, random: Any) -> None:
    """One error more in any scene: the level's p is not above what it was; and the order of the scenes does not matter."""
    trials = [5] * 8
    more = [e + (i == at) for i, e in enumerate(errors)]
    one, two = (judge({"m": counts(e, trials)}, {}, 0.1).tests["counts"]["m"] for e in (errors, more))
    assert two.p <= one.p
    assert two.adjusted <= one.adjusted
    mixed = list(errors)
    random.shuffle(mixed)
    assert judge({"m": counts(mixed, trials)}, {}, 0.1).tests["counts"]["m"] == one


def test_nothing_to_test() -> None:
    """No objects, no axes: no test, and nothing found."""
    empty = Values(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0), 0.1, 0.1, cut=0.2)
    one = judge({"m": counts([], []), "n": counts([0], [0])}, {"x": empty}, 0.1)
    assert all(not tests for tests in one.tests.values())
    assert found(one) == ([], [])
