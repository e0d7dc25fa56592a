"""How much of a batch goes to coverage, where the ratio adapts: by what is known, within bounds, and by nothing else."""

from __future__ import annotations

from fractions import Fraction
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from some_records import a_failure
from swath.config import Cost, LoopConfig, merged
from swath.errors import ConfigError
from swath.policies.ratio import PRIOR, RATE, learned, moved, per_minute, price, worth
from swath.records.manifest import RoundWorth, StreamWorth


def stream(scenes: int, errors: float, seconds: float) -> StreamWorth:
    return StreamWorth(scenes=scenes, seconds=seconds, errors=errors)


def a_round(coverage: StreamWorth, targeted: StreamWorth, name: str = "v1") -> RoundWorth:
    return RoundWorth(round=name, coverage=coverage, targeted=targeted)


figures = st.floats(0, 1e4, allow_subnormal=False)
streams = st.builds(stream, st.integers(0, 1000), figures, figures)
starts = st.fractions(Fraction("0.3"), Fraction("0.9"), max_denominator=100).map(str)

# ---------------------------------------------------------------------- what a stream is worth


def test_worth_is_errors_and_what_the_labels_cost() -> None:
    """Missed objects and the scores of false ones, stream by stream, of labelled scenes; what nobody labelled counts nowhere."""
    failures = [a_failure("a", 2, 1), a_failure("c", 1), a_failure("not labelled", 9)]
    seconds = {"a": price(Cost(), 3, 0), "b": price(Cost(), 0, 0), "c": price(Cost(), 1, 2)}
    assert seconds == {"a": 31.0, "b": 10.0, "c": 97.0}
    found = worth("v1", {"a": "targeted", "b": "targeted", "c": "coverage"}, seconds, failures)
    assert found == a_round(stream(1, 1.0, 97.0), stream(2, 2.5, 41.0))


@pytest.mark.parametrize(
    ("streams", "seconds", "missed", "why"),
    [
        ("tt", 10.0, 1, "no coverage scene of it was labelled"),
        ("cc", 10.0, 1, "no targeted scene of it was labelled"),
        ("ct", 10.0, 0, "the model before had no error in it"),
        ("ct", 0.0, 1, "its labels cost nothing (`cost`)"),
    ],
)
def test_rounds_that_say_nothing(streams: str, seconds: float, missed: int, why: str) -> None:
    """A stream without labelled scenes, a model without errors, labels without a price: said, and the share is what it was."""
    names = {"t": "targeted", "c": "coverage"}
    of = {str(i): names[one] for i, one in enumerate(streams)}
    failures = [a_failure(key, missed) for key in of if missed]
    found = worth("v3", of, dict.fromkeys(of, seconds), failures)  # type: ignore[arg-type]
    assert found.unknown == why
    said = learned("1/3", [found], 4)
    assert (said.share, said.moves) == ("1/3", ())
    assert said.reason == (
        "adaptive ratio: coverage keeps its 1/3 of v4, nothing is known of what the streams are worth "
        f"(v3: {why})"
    )


def test_few_scenes_say_little() -> None:
    """Each stream has `PRIOR` scenes of the round's average besides: 8 errors in 2 minutes against 2 in 4 are 4 against 1/2 per
    minute, of one and three scenes nearly the same."""
    found = per_minute(a_round(stream(1, 8, 120), stream(3, 2, 240)))
    average = 10 / 4, 360 / 60 / 4  # errors and minutes of a scene
    expected = [(e + PRIOR * average[0]) / (m + PRIOR * average[1]) for e, m in ((8, 2), (2, 4))]
    assert found == pytest.approx(expected)
    many = per_minute(a_round(stream(1000, 8000, 120_000), stream(3000, 2000, 240_000)))
    assert many is not None
    assert found is not None
    assert found[0] / found[1] < 1.3 < 7 < many[0] / many[1] < 8


# ---------------------------------------------------------------------- how the share follows


def test_a_round_moves_the_odds_by_what_its_streams_are_worth() -> None:
    """Hedge: odds of 3 : 7 times exp(RATE * (2/3 - 1/3)), where coverage is worth twice what targets are."""
    odds = 3 / 7 * exp(RATE / 3)
    assert moved(0.3, 2.0, 1.0) == pytest.approx(odds / (1 + odds))
    assert pytest.approx(0.7446, abs=1e-4) == RATE


@given(start=starts, rounds=st.lists(st.builds(a_round, streams, streams), max_size=6))
def test_the_share_stays_within_its_bounds(start: str, rounds: list[RoundWorth]) -> None:
    """Whatever rounds say: coverage keeps 30 %, targets a tenth, after each round."""
    found = learned(start, rounds, 7)
    assert Fraction("0.3") <= Fraction(found.share) <= Fraction("0.9")
    assert all(0.3 <= one.share <= 0.9 for one in found.moves)
    assert found.start == start


@given(start=starts, n=st.integers(0, 3))
def test_nothing_known_nothing_moves(start: str, n: int) -> None:
    """Without rounds, or with rounds that say nothing, the share is the text that it was given as."""
    rounds = [RoundWorth(round=f"v{i}", unknown="v0 has no evaluated model") for i in range(n)]
    assert learned(start, rounds, 1).share == start


@given(one=streams, other=streams, more=figures, dearer=figures, share=st.floats(0.3, 0.9))
def test_more_errors_bring_more_and_dearer_labels_less(
    one: StreamWorth, other: StreamWorth, more: float, dearer: float, share: float
) -> None:
    """A stream in which more errors were found, or the same for less, never gets a smaller share for it."""

    def after(coverage: StreamWorth, targeted: StreamWorth) -> float:
        pair = per_minute(a_round(coverage, targeted))
        return share if pair is None else moved(share, *pair)

    if per_minute(a_round(one, other)) is None:
        return
    before, slack = after(one, other), 1e-9
    assert after(one.with_(errors=one.errors + more), other) >= before - slack
    assert after(one, other.with_(errors=other.errors + more)) <= before + slack
    assert after(one.with_(seconds=one.seconds + dearer), other) <= before + slack
    assert after(one, other.with_(seconds=other.seconds + dearer)) >= before - slack


@given(share=st.floats(0.3, 0.9), one=st.floats(0, 100), other=st.floats(0.1, 100))
def test_the_streams_are_treated_alike(share: float, one: float, other: float) -> None:
    """What moves the share for coverage up moves that for targets up as far, were they exchanged; odds never change by more than
    exp(RATE) in one round, and streams that are worth the same leave them."""
    assert moved(share, one, other) == pytest.approx(1 - moved(1 - share, other, one))
    odds = [value / (1 - value) for value in (share, moved(share, one, other))]
    assert exp(-RATE) - 1e-9 <= odds[1] / odds[0] <= exp(RATE) + 1e-9
    assert moved(share, other, other) == pytest.approx(share)


def test_a_batch_of_thirteen_scenes_does_not_swing_it() -> None:
    """Streams that are worth the same, 4 and 9 scenes of them, with errors that come together in scenes: after one round 95 % of
    200 loops are within 0.04 of where they began, after ten within 0.1; where coverage is worth twice as much, 95 % are higher."""

    def some(rng: np.random.Generator, scenes: int, rate: float) -> StreamWorth:
        errors = rng.poisson(rng.gamma(1, 3 * rate, scenes))
        return stream(scenes, float(errors.sum()), float((10 + 7 * rng.poisson(8, scenes)).sum()))

    def after(seed: int, rounds: int, rate: float) -> float:
        rng = np.random.default_rng(seed)
        there = [a_round(some(rng, 4, rate), some(rng, 9, 1.0), f"v{i}") for i in range(rounds)]
        return float(learned("0.5", there, 11).share)

    one, ten = (np.array([after(seed, n, 1.0) for seed in range(200)]) for n in (1, 10))
    assert np.mean(np.abs(one - 0.5) < 0.041) >= 0.95
    assert np.mean(np.abs(ten - 0.5) < 0.101) >= 0.95
    assert np.mean([after(seed, 10, 2.0) > 0.5 for seed in range(200)]) >= 0.95


def test_the_reason_names_what_moved_it() -> None:
    """Each of the last rounds with the worths of both streams and the share after it, or why it says nothing; earlier ones by
    number."""
    known = a_round(stream(40, 80, 2400), stream(90, 90, 5400))
    rounds = [known.with_(round=f"v{i}") for i in (1, 2, 3)] + [RoundWorth(round="v4", unknown="gone")]
    found = learned("0.30", rounds, 5)
    assert [one.round for one in found.moves] == ["v1", "v2", "v3"]
    last = found.moves[-1]
    assert found.share == f"{last.share:.2f}" > "0.30"
    assert found.reason.startswith(
        f"adaptive ratio: coverage gets {found.share} of v5; it began with 0.30 (1 earlier rounds"
    )
    assert f"v3: {last.coverage:.2f} errors per minute of labelling in 40 scenes for coverage" in found.reason
    assert found.reason.endswith("v4: gone)")


# ---------------------------------------------------------------------- what may be set


@pytest.mark.parametrize("share", ["0.29", "0", "0.91", "1"])
def test_where_it_may_begin(share: str) -> None:
    """An adaptive ratio begins between its bounds; a fixed one may be any share."""
    given_ = {"select": {"ratio": "adaptive", "coverage_share": share}}
    with pytest.raises(ConfigError, match=f"expected one from 0.3 to 0.9, got {share}"):
        merged(LoopConfig(), given_, "a test")
    assert merged(LoopConfig(), {"select": {"coverage_share": share}}, "a test").select.ratio == "fixed"
