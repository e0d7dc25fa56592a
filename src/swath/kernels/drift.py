"""Are the annotators still as good as agreed? All axes of a golden check put together, with one correction.

Counted axes (missed, extra, class swapped, ...) and measured ones (IoU, size, yaw, ...) are each asked two or three questions:

    counts   is the rate above what is accepted?                        `clustered.score_tail`      may block
    window   is it, over the last rounds together?                      the same                    warns
    rise     is it above that of the earlier rounds?                    the same, at their rate     warns
    level    is the mean beyond its tolerance?                          `clustered.above`           may block
    change   did the same objects' mean move by more than a margin?     `clustered.above`, paired   warns

The chance of a false alarm is a budget that the families share (`SHARES`); within a family it is Holm's (1979), sharpened for
counts, whose p-values take few values only (Tarone 1990). So over all axes together a check with annotators at just the accepted
rates and tolerances blocks wrongly with at most `block_alpha`, and warns or blocks with at most `warn_alpha`. Per check: over
many rounds false alarms add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from swath.kernels import clustered

Key = TypeVar("Key")
Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Family = Literal["counts", "window", "rise", "level", "change"]

BLOCK: Final[Mapping[Family, float]] = {"counts": 0.5, "level": 0.2}
"""Shares of the chance of a false block; the rest is kept for errors that clump twice as much as thought."""
WARN: Final[Mapping[Family, float]] = {
    "counts": 0.58,
    "window": 0.18,
    "rise": 0.05,
    "level": 0.05,
    "change": 0.14,
}
"""Shares of the chance of a false warning, blocks included."""
NONE: Final = np.zeros(0, dtype=np.int64)
NODES: Final = 3  # rates of earlier rounds that `rise` is averaged over
DULL: Final = 0.3  # a p-value at the highest of them that is not worth the others


class Counts(NamedTuple):
    """One counted axis. errors, trials: (S,) of this round, by scene; `accepted`: the rate that is, what the reference adds
    included; window: (errors, trials), each (W,), of the last rounds together, by scene (none: only this round); before: errors and
    trials of all earlier rounds."""

    errors: Ints
    trials: Ints
    accepted: float
    window: tuple[Ints, Ints] = (NONE, NONE)
    before: tuple[int, int] = (0, 0)


class Values(NamedTuple):
    """One measured axis. values: (K,) of the objects of this round, NaN where an object has none; scenes: (K,) whole numbers from
    0; earlier: (K,) mean of the same objects' earlier rounds, NaN where there is none; tolerance and margin: what a mean, and its
    change, may be; signed: whether both directions count; cut: how far from the median of all objects a single one counts at most,
    so that gross errors, which are counted apart, do not hide a drift."""

    values: Array
    scenes: Ints
    earlier: Array
    tolerance: float
    margin: float
    signed: bool = True
    cut: float = np.inf


class Test(NamedTuple):
    """One question about one axis. `adjusted`: p after the correction in its family."""

    p: float
    adjusted: float


@dataclass(frozen=True)
class Judged:
    """All tests, by family and axis; which of them block, and which warn (blocking ones not again), most surprising first. `means`
    and `moves`: of the measured axes, this round and against earlier ones."""

    tests: Mapping[Family, Mapping[str, Test]]
    blocking: tuple[tuple[Family, str], ...]
    warning: tuple[tuple[Family, str], ...]
    means: Mapping[str, clustered.Mean] = field(default_factory=dict)
    moves: Mapping[str, clustered.Mean] = field(default_factory=dict)


def judge(
    counts: Mapping[str, Counts],
    values: Mapping[str, Values],
    icc: float,
    *,
    block_alpha: float = 0.01,
    warn_alpha: float = 0.05,
) -> Judged:
    """Tests all axes of a round. `icc`: of the counts."""
    now = {
        name: _level(one.errors, one.trials, one.accepted, icc)
        for name, one in counts.items()
        if one.trials.sum()
    }
    longer = {
        name: _window(one, icc) for name, one in counts.items() if one.window[1].sum() > one.trials.sum() > 0
    }
    rises = {name: risen(one, icc) for name, one in counts.items() if one.before[1] and one.trials.sum()}
    means = {name: clustered.mean(_cut(one.values, one.cut), one.scenes) for name, one in values.items()}
    moves = {
        name: clustered.mean(_cut(one.values - one.earlier, one.cut), one.scenes)
        for name, one in values.items()
    }
    tests: dict[Family, dict[str, Test]] = {
        "counts": _family(
            {name: p for name, (p, _) in now.items()}, {name: can for name, (_, can) in now.items()}
        ),
        "window": _family(
            {name: p for name, (p, _) in longer.items()}, {name: can for name, (_, can) in longer.items()}
        ),
        "rise": _family(rises),
        "level": _family(
            {
                name: clustered.above(means[name], one.tolerance, signed=one.signed)
                for name, one in values.items()
                if means[name].error is not None
            }
        ),
        "change": _family(
            {
                name: clustered.above(moves[name], one.margin, signed=one.signed)
                for name, one in values.items()
                if moves[name].error is not None
            }
        ),
    }
    blocking = _found(tests, BLOCK, block_alpha)
    warning = tuple(one for one in _found(tests, WARN, warn_alpha) if one not in blocking)
    return Judged(tests, blocking, warning, means, moves)


def _cut(values: Array, cut: float) -> Array:
    """Values no further than `cut` from their median."""
    there = values[np.isfinite(values)]
    if not len(there) or not np.isfinite(cut):
        return values
    middle = float(np.median(there))
    return np.clip(values, middle - cut, middle + cut)


def _family(p_values: Mapping[str, float], attainable: Mapping[str, Array] | None = None) -> dict[str, Test]:
    adjusted = holm(p_values, attainable)
    return {name: Test(p, adjusted[name]) for name, p in p_values.items()}


def _found(
    tests: Mapping[Family, Mapping[str, Test]], shares: Mapping[Family, float], alpha: float
) -> tuple[tuple[Family, str], ...]:
    """(family, axis) of what its family rejects, families in order, the smallest p first."""
    return tuple(
        (family, name)
        for family, share in shares.items()
        for name, one in sorted(tests[family].items(), key=lambda item: (item[1].p, item[0]))
        if one.adjusted <= share * alpha
    )


def _level(errors: Ints, trials: Ints, accepted: float, icc: float) -> tuple[float, Array]:
    """(p-value of "the rate is at most `accepted`", all p-values that these scenes could give)."""
    can = clustered.score_tail(trials, accepted, icc)
    return float(can[clustered.total_score(errors, trials, accepted, icc)]), can


def _window(one: Counts, icc: float) -> tuple[float, Array]:
    """The same over the last rounds together; not a finding where this round is not above what is accepted."""
    p, can = _level(*one.window, one.accepted, icc)
    return (p if one.errors.sum() > one.accepted * one.trials.sum() else 1.0), can


def risen(one: Counts, icc: float) -> float:
    """p-value of "the rate is that of the earlier rounds": the tail at their rate, averaged over what it may have been (a beta
    distribution around it, with as many objects as they are worth when errors clump). 1 where they were not below what is
    accepted: `counts` sees that."""
    from scipy.special import betaincinv

    errors, trials = one.before
    share = errors / trials
    if share >= min(one.accepted, float(one.errors.sum() / one.trials.sum())):
        return 1.0
    scenes = max(int(np.count_nonzero(one.trials)), 1)
    worth = 1 + max(float(one.trials.sum()) / scenes - 1, 0) * icc
    quantiles = (np.arange(NODES) + 0.5) / NODES
    rates = betaincinv(0.5 + errors / worth, 0.5 + (trials - errors) / worth, quantiles)
    most = _at(one, float(rates[-1]), icc)
    if most > DULL:
        return most
    return float(np.mean([most, *(_at(one, float(rate), icc) for rate in rates[:-1])]))


def _at(one: Counts, rate: float, icc: float) -> float:
    """The p-value at a rate, to two digits: of that many, transforms are remembered."""
    return _level(one.errors, one.trials, float(f"{max(rate, 1e-4):.2g}"), icc)[0]


def holm(p_values: Mapping[Key, float], attainable: Mapping[Key, Array] | None = None) -> dict[Key, float]:
    """Holm's step-down adjustment: reject where the adjusted p is <= alpha. Keys and their order stay.

    `attainable`: the p-values that a test could have given (falling), where they are few: its part in the sum is then the largest
    of them that is not above p, rather than p itself, since it cannot fall below by chance more often than that (Tarone 1990, in
    Westfall and Wolfinger's (1997) form). Without, each part is p, and the sum is p times the tests that are left.
    """
    order = sorted(p_values, key=lambda key: p_values[key])  # stable: ties keep their order, and adjust alike
    parts = attainable or {}
    adjusted: dict[Key, float] = {}
    worst = 0.0
    for rank, key in enumerate(order):
        p = p_values[key]
        total = sum(_reachable(parts[other], p) if other in parts else p for other in order[rank:])
        worst = max(worst, min(1.0, total))
        adjusted[key] = worst
    return {key: adjusted[key] for key in p_values}


def _reachable(falling: Array, p: float) -> float:
    """The largest of `falling` values that is at most p; 0 where none is."""
    at = int(np.searchsorted(-falling, -p * (1 + 1e-12), side="left"))
    return float(falling[at]) if at < len(falling) else 0.0
