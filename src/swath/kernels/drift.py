"""Are the annotators still as good as agreed? Exact tests on how often golden objects were labelled wrongly.

One axis is one kind of error (missed, extra, class swapped, box off, ...), counted once per golden object,
blind label against reference. Two questions per axis, and only the first can block:

    level    is the error rate above the rate that is accepted?     exact one-sided binomial test
    change   is it above that of the earlier rounds?                Fisher's exact test, one-sided

`verdict` puts all axes together with Holm's correction (1979), so that with annotators who err at just the
accepted rates a check blocks wrongly at most `block_alpha` of the time and warns (or blocks) wrongly at
most `warn_alpha`, over all axes. Per check: over many rounds false alarms add up.

Objects count as independent. Errors that come in clumps (a whole scene skipped, one tired annotator) make
the tests alarm more often than stated; testing by scene is not done here yet. Nor is a golden set that is
labelled again and again a fresh sample: `change` then compares the same objects, and annotators may
remember them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

Key = TypeVar("Key")
Status = Literal["pass", "warn", "block", "not enough evidence"]


@dataclass(frozen=True)
class RateTest:
    """One axis. `rate` (None without trials) with its interval, and how surprising it is if `accepted` were
    true.

    `detectable`: the smallest true rate that this many trials would find (p <= alpha) with the stated power;
    None where even all wrong would not do.
    """

    errors: int
    trials: int
    accepted: float
    rate: float | None
    low: float
    high: float
    p_value: float
    detectable: float | None


def rate_test(
    errors: int,
    trials: int,
    accepted: float,
    *,
    alpha: float = 0.01,
    power: float = 0.8,
    confidence: float = 0.95,
) -> RateTest:
    """Tests H0 "the error rate is at most `accepted`" from `errors` among `trials` objects.

    The p-value is the exact binomial P(X >= errors) at the accepted rate; the interval is Clopper and
    Pearson's (1934), two-sided, never too narrow. No trials: no rate, the interval [0, 1], p = 1.
    ValueError for counts or rates that cannot be.
    """
    from scipy.stats import beta, binom

    if not 0 <= errors <= trials or not 0 <= accepted < 1:
        raise ValueError(
            f"expected 0 <= errors <= trials and 0 <= accepted < 1, got {errors}, {trials}, {accepted}"
        )
    tail = (1 - confidence) / 2
    return RateTest(
        errors=errors,
        trials=trials,
        accepted=accepted,
        rate=errors / trials if trials else None,
        low=float(beta.ppf(tail, errors, trials - errors + 1)) if errors else 0.0,
        high=float(beta.ppf(1 - tail, errors + 1, trials - errors)) if errors < trials else 1.0,
        p_value=float(binom.sf(errors - 1, trials, accepted)) if errors else 1.0,
        detectable=detectable_rate(trials, accepted, alpha=alpha, power=power),
    )


def detectable_rate(trials: int, accepted: float, *, alpha: float, power: float = 0.8) -> float | None:
    """The smallest true error rate at which p <= `alpha` comes out with probability `power`; None if none
    does.
    """
    from scipy.stats import beta, binom

    enough = np.flatnonzero(binom.sf(np.arange(trials + 1) - 1, trials, accepted) <= alpha)
    if not len(enough):
        return None
    critical = int(enough[0])  # P(X >= critical) as a function of the rate is a beta distribution
    return float(beta.ppf(power, critical, trials - critical + 1))


def change_test(errors: int, trials: int, earlier_errors: int, earlier_trials: int) -> float:
    """p-value of Fisher's exact test that the rate has not risen since the earlier rounds; 1 without
    either.
    """
    from scipy.stats import hypergeom

    if not trials or not earlier_trials or not errors:
        return 1.0
    return float(hypergeom.sf(errors - 1, trials + earlier_trials, errors + earlier_errors, trials))


@dataclass(frozen=True)
class Verdict:
    """What a golden check concludes; `reasons` are sentences for people.

    `adjusted`: Holm-adjusted p per axis of the level tests alone (what blocks: <= block_alpha).
    `detectable`: per axis the rate that would have blocked with 80 % power, were it the worst axis; None:
    no rate.
    """

    status: Status
    reasons: tuple[str, ...]
    adjusted: Mapping[str, float] = field(default_factory=dict)
    detectable: Mapping[str, float | None] = field(default_factory=dict)


def verdict(
    tests: Mapping[str, RateTest],
    *,
    warn_alpha: float = 0.05,
    block_alpha: float = 0.01,
    min_trials: int = 20,
    history: Mapping[str, tuple[int, int]] | None = None,
) -> Verdict:
    """One verdict over all axes (name -> level test), and `history` (name -> errors, trials of earlier
    rounds).

    block    a level test is <= block_alpha after Holm over the axes
    warn     a level or change test is <= warn_alpha after Holm over all of them
    not enough evidence    neither, and some axis has fewer than `min_trials` objects (or there is no axis)
    pass     neither, and every axis has enough

    Too few objects do not excuse: the tests are exact, and eight of ten missed is evidence. The false alarm
    rates hold whatever the axes' dependence (Holm). Axes with no trials do not count as tests.
    """
    tried = {axis: test for axis, test in tests.items() if test.trials}
    level = holm({axis: test.p_value for axis, test in tried.items()})
    changes = {
        (axis, "change"): change_test(test.errors, test.trials, *history[axis])
        for axis, test in tried.items()
        if history and axis in history and history[axis][1]
    }
    either = holm({**{(axis, "level"): test.p_value for axis, test in tried.items()}, **changes})

    blocking = [axis for axis in tried if level[axis] <= block_alpha]
    reasons = [_too_high(axis, tried[axis], level[axis], block_alpha) for axis in blocking]
    for (axis, kind), p in either.items():
        if p > warn_alpha or axis in blocking:
            continue
        if kind == "level":
            reasons.append(_too_high(axis, tried[axis], p, warn_alpha))
        else:
            now, before = _share(tried[axis].errors, tried[axis].trials), _share(*(history or {})[axis])
            reasons.append(f"{axis}: {now} wrong, {before} in earlier rounds (p = {p:.2g} after Holm)")
    warned = len(reasons) > len(blocking)
    thin = [axis for axis, test in tests.items() if test.trials < min_trials]
    if thin:
        counted = ", ".join(f"{axis} {tests[axis].trials}" for axis in thin)
        reasons.append(f"too few objects for a verdict, it needs {min_trials} of each: {counted}")
    if not tests:
        reasons.append("nothing was compared: no axis has a test")

    status: Status = "pass"
    if blocking:
        status = "block"
    elif warned:
        status = "warn"
    elif thin or not tests:
        status = "not enough evidence"
    else:
        reasons.append(f"no axis is above its accepted rate ({len(tests)} tested)")
    at_worst = {
        axis: detectable_rate(test.trials, test.accepted, alpha=block_alpha / max(len(tried), 1))
        for axis, test in tests.items()
    }
    return Verdict(status, tuple(reasons), level, at_worst)


def _too_high(axis: str, test: RateTest, p: float, alpha: float) -> str:
    interval = f"95 % interval {test.low:.1%} to {test.high:.1%}"
    limit = f"accepted {test.accepted:.1%} (p = {p:.2g} after Holm, limit {alpha:g})"
    return f"{axis}: {_share(test.errors, test.trials)} wrong ({interval}), {limit}"


def _share(errors: int, trials: int) -> str:
    return f"{errors} of {trials} ({errors / trials:.1%})"


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down adjustment: reject where the adjusted p is <= alpha. Keys and their order stay."""
    order = sorted(p_values, key=lambda key: p_values[key])  # stable: ties keep their order, and adjust alike
    adjusted: dict[Key, float] = {}
    worst = 0.0
    for rank, key in enumerate(order):
        worst = max(worst, min(1.0, p_values[key] * (len(order) - rank)))
        adjusted[key] = worst
    return {key: adjusted[key] for key in p_values}
