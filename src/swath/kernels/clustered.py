"""Counts and means whose objects come in clumps, scene by scene.

Errors are not independent: a scene that is hard, or skipped, gives several. Of a scene with n objects the errors are
beta-binomial (Skellam 1948): the scene's own rate is a beta variable around the common `rate`, and `icc` (intra-class
correlation, 0 to 1) is the share of the variance that is the scene's. Scenes are independent.

Counts are tested with the likelihood ratio of the accepted rate against three times its odds (`score`): the most powerful test
between the two (Neyman and Pearson 1933), in which the second error of a scene weighs less than the first. Its distribution is
exact: the scores of the scenes are rounded to whole eighths of a first error, and convolved. Means are ratio estimates with
the variance between scenes (Cochran 1977, chapter 11) and Student's t with one degree of freedom less than there are scenes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Scenes = tuple[tuple[int, int], ...]  # (trials of a scene, scenes that have so many)
LEAST: Final = 1e-6  # a rate of 0 would make one error impossible
TINY: Final = 1e-14  # below this a convolved probability is rounding
STEPS: Final = 8  # whole numbers that the first error of a scene scores
ODDS: Final = 3.0  # between the accepted rate and the one that the score is best against


# ---------------------------------------------------------------------- one scene


def pmf(trials: int, rate: float, icc: float) -> Array:
    """(trials + 1,) P(X = k) of one scene: beta-binomial with mean `trials * rate`; binomial at icc 0."""
    return _pmf(int(trials), _inside(rate), float(icc))


def _inside(rate: float) -> float:
    return min(max(float(rate), LEAST), 1 - LEAST)


@lru_cache(maxsize=16384)
def _pmf(n: int, rate: float, icc: float) -> Array:
    from scipy.special import betaln, gammaln

    k = np.arange(n + 1, dtype=np.float64)
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    if icc <= 0:
        return _frozen(np.exp(choose + k * np.log(rate) + (n - k) * np.log1p(-rate)))
    size = (1 - icc) / icc
    a, b = rate * size, (1 - rate) * size
    return _frozen(np.exp(choose + betaln(k + a, n - k + b) - betaln(a, b)))


def _frozen(values: Array) -> Array:
    values.setflags(write=False)
    return values


def score(trials: int, accepted: float, icc: float) -> Ints:
    """(trials + 1,) what k errors in a scene count: whole numbers that never fall with k, 0 for none and 8 for the first.

    They are the log likelihood ratio of the rate with three times the odds of `accepted` against `accepted`, both with `icc`.
    """
    return _score(int(trials), _inside(accepted), float(icc))


def _score(n: int, accepted: float, icc: float) -> Ints:
    found: Ints = _scores(1 << n.bit_length(), accepted, icc)[n, : n + 1]
    return found


@lru_cache(maxsize=1024)
def _scores(most: int, accepted: float, icc: float) -> Ints:
    """(most + 1, most + 1) the score of k errors in n trials, at [n, k]; where there are none such it says nothing."""
    n, k = np.arange(most + 1, dtype=np.float64)[:, None], np.arange(most, dtype=np.float64)
    left = np.maximum(n - k - 1, 0)  # trials without error, after the next one with
    worse = ODDS * accepted / (1 + (ODDS - 1) * accepted)
    if icc <= 0:
        gains = np.full(left.shape, np.log(worse / accepted) - np.log((1 - worse) / (1 - accepted)))
    else:
        size = (1 - icc) / icc
        more = np.log((k + worse * size) / (k + accepted * size))
        fewer = np.log((left + (1 - accepted) * size) / (left + (1 - worse) * size))
        gains = more + fewer
    total = np.concatenate([np.zeros_like(n), np.cumsum(gains, axis=1)], axis=1)
    whole: Ints = np.rint(STEPS * total / gains[:, :1]).astype(np.int64)
    whole.setflags(write=False)
    return whole


# ---------------------------------------------------------------------- all scenes


def scenes_of(trials: ArrayLike) -> Scenes:
    """How many scenes have how many trials; those without any are left out. Their order does not matter."""
    times = np.bincount(np.asarray(trials, dtype=np.int64)).tolist()
    return tuple((n, scenes) for n, scenes in enumerate(times) if n and scenes)


def tail(trials: ArrayLike, rate: float, icc: float) -> Array:
    """(N + 1,) P(X >= k) for k = 0 .. N errors in all, of scenes with `trials` (S,), N = their sum. At 0 it is 1."""
    return _tail(scenes_of(trials), _inside(rate), float(icc), None)


def score_tail(trials: ArrayLike, accepted: float, icc: float, *, rate: float | None = None) -> Array:
    """P(total score >= t) for t = 0, 1, ... up to the highest, of scenes with `trials` (S,) that err at `rate` (the accepted one)."""
    of = _inside(accepted)
    return _tail(scenes_of(trials), of if rate is None else _inside(rate), float(icc), of)


@lru_cache(maxsize=512)
def _tail(scenes: Scenes, rate: float, icc: float, scored: float | None) -> Array:
    """Of the errors, or of the scores against the accepted rate `scored`."""
    top = sum((n if scored is None else int(_score(n, scored, icc)[-1])) * times for n, times in scenes)
    length = 1 << max(int(top).bit_length(), 1)
    transform = np.ones(length // 2 + 1, dtype=np.complex128)
    for n, times in scenes:
        transform *= _transform(n, rate, icc, scored, length) ** times
    found = np.fft.irfft(transform, length)[: top + 1]
    out = np.minimum(np.cumsum(np.where(found < TINY, 0.0, found)[::-1])[::-1], 1.0)
    out[0] = 1.0
    return _frozen(out)


@lru_cache(maxsize=4096)
def _transform(n: int, rate: float, icc: float, scored: float | None, length: int) -> NDArray[np.complex128]:
    """The Fourier transform of one scene's distribution, of its errors or of their scores."""
    mass = np.zeros(length)
    np.add.at(mass, np.arange(n + 1) if scored is None else _score(n, scored, icc), _pmf(n, rate, icc))
    found: NDArray[np.complex128] = np.fft.rfft(mass)
    found.setflags(write=False)
    return found


def total_score(errors: ArrayLike, trials: ArrayLike, accepted: float, icc: float) -> int:
    """What (S,) errors among (S,) trials score together."""
    e, n = checked(errors, trials)
    most = int(n.max()) if len(n) else 0
    return int(_scores(1 << most.bit_length(), _inside(accepted), float(icc))[n, e].sum())


def checked(errors: ArrayLike, trials: ArrayLike) -> tuple[Ints, Ints]:
    """Both as (S,) whole numbers; ValueError for counts that cannot be."""
    e, n = np.asarray(errors, dtype=np.int64), np.asarray(trials, dtype=np.int64)
    if e.shape != n.shape or (e < 0).any() or (e > n).any():
        raise ValueError(f"expected 0 <= errors <= trials, scene by scene, got {e.tolist()}, {n.tolist()}")
    return e, n


# ---------------------------------------------------------------------- rates


class Rate(NamedTuple):
    """Errors among objects: the pooled rate with its 95 % interval; None and (0, 1) without objects."""

    errors: int
    trials: int
    value: float | None
    low: float
    high: float


def rate(errors: ArrayLike, trials: ArrayLike, icc: float, confidence: float = 0.95) -> Rate:
    """The rate of (S,) errors among (S,) trials, and the rates that they do not contradict: each end is where the exact tail of the
    errors is (1 - confidence) / 2, as Clopper and Pearson (1934) have it for icc 0."""
    e, n = checked(errors, trials)
    wrong, total, side = int(e.sum()), int(n.sum()), (1 - confidence) / 2
    if not total:
        return Rate(0, 0, None, 0.0, 1.0)
    low = _solve(lambda p: tail(n, p, icc)[wrong], side) if wrong else 0.0
    high = _solve(lambda p: tail(n, p, icc)[wrong + 1], 1 - side) if wrong < total else 1.0
    return Rate(wrong, total, wrong / total, low, high)


def _solve(chance: Callable[[float], float], wanted: float) -> float:
    """The rate at which a chance that grows with it is `wanted`, to 1e-6."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) < wanted else (low, middle)
    return (low + high) / 2


def detectable_rate(
    trials: ArrayLike, accepted: float, icc: float, *, alpha: float, power: float = 0.8
) -> float | None:
    """The smallest true rate whose score has P <= `alpha` at the accepted rate with probability `power`; None where even all wrong
    would not do."""
    enough = np.flatnonzero(score_tail(trials, accepted, icc) <= alpha)
    if not len(enough):
        return None
    critical = int(enough[0])
    return _solve(lambda p: score_tail(trials, accepted, icc, rate=p)[critical], power)


def power(trials: ArrayLike, accepted: float, icc: float, rate: float, *, alpha: float) -> float:
    """The probability that scenes with `trials` (S,) which err at `rate` score P <= `alpha` at the accepted rate."""
    enough = np.flatnonzero(score_tail(trials, accepted, icc) <= alpha)
    return float(score_tail(trials, accepted, icc, rate=rate)[enough[0]]) if len(enough) else 0.0


def estimated_icc(
    rounds: Iterable[tuple[ArrayLike, ArrayLike]], design: float, *, share: float = 1.0, weight: float = 4.0
) -> float:
    """The intra-class correlation of errors that were counted before: of each axis and round (errors (S,), trials (S,)) the
    likelihood of its scenes at its own rate, all multiplied and taken to the power `share` (the same scenes twice say no more than
    once: 1/2), with a gamma prior of mean `design` and shape `weight`: the posterior mean over `GRID`. Where errors are few the
    prior decides; without any it is the design's."""
    from scipy.stats import gamma

    values = np.array(GRID)
    prior = np.asarray(gamma.logpdf(values, weight, scale=max(design, 1e-3) / weight)) + np.log(
        np.gradient(values)
    )
    log, heard = prior.copy(), False
    for wrong, of in rounds:
        e, n = checked(wrong, of)
        if not 0 < e.sum() < n.sum():
            continue
        heard = True
        own = float(f"{e.sum() / n.sum():.2g}")
        for (of, there), times in Counter(zip(n.tolist(), e.tolist(), strict=True)).items():
            log += share * times * _log_chances(of, own)[:, there]
    chance = np.exp(log - log.max())
    return float(values @ chance / chance.sum()) if heard else design


@lru_cache(maxsize=4096)
def _log_chances(n: int, rate: float) -> Array:
    """(len(GRID), n + 1) log P(X = k) of a scene at each ICC of the grid."""
    from scipy.special import betaln, gammaln

    k, size = np.arange(n + 1, dtype=np.float64), (1 / np.array(GRID) - 1)[:, None]
    a, b = _inside(rate) * size, (1 - _inside(rate)) * size
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return _frozen(choose + betaln(k + a, n - k + b) - betaln(a, b))


GRID: Final = (0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.125, 0.15, 0.18, 0.22, 0.27, 0.33, 0.4)


# ---------------------------------------------------------------------- means


class Mean(NamedTuple):
    """A mean over objects, its standard error by scene, degrees of freedom, objects; None where there are no two scenes."""

    value: float | None
    error: float | None
    freedom: int
    objects: int


def mean(values: ArrayLike, scenes: ArrayLike) -> Mean:
    """The mean of (K,) values of objects in (K,) scenes (whole numbers from 0). NaN is left out.

    variance = S / (S - 1) * sum over scenes of (sum of (value - mean))^2 / K^2, with S - 1 degrees of freedom.
    """
    x, s = np.asarray(values, dtype=np.float64), np.asarray(scenes, dtype=np.int64)
    there = np.isfinite(x)
    x, s = x[there], s[there]
    if not len(x):
        return Mean(None, None, 0, 0)
    value = float(x.mean())
    clusters = int(np.count_nonzero(np.bincount(s)))
    if clusters < 2:
        return Mean(value, None, 0, len(x))
    sums = np.bincount(s, weights=x - value)
    return Mean(
        value, float(np.sqrt(clusters / (clusters - 1) * (sums @ sums)) / len(x)), clusters - 1, len(x)
    )


def above(one: Mean, limit: float, *, signed: bool) -> float:
    """p-value of "the true mean is at most `limit`" (signed: within plus and minus `limit`), by Student's t; 1 where nothing can be
    said. Without any spread it is 0 beyond the limit and 1 within."""
    from scipy.special import stdtr

    if one.value is None or one.error is None:
        return 1.0
    size = abs(one.value) if signed else one.value
    if one.error <= 1e-12:
        return 0.0 if size > limit + 1e-9 else 1.0
    p = float(stdtr(one.freedom, (limit - size) / one.error))
    return min(p + float(stdtr(one.freedom, (-limit - size) / one.error)), 1.0) if signed else p


def interval(one: Mean, confidence: float = 0.95) -> tuple[float | None, float | None]:
    """The mean's interval by Student's t; None where it has none."""
    from scipy.special import stdtrit

    if one.value is None or one.error is None:
        return None, None
    half = float(stdtrit(one.freedom, (1 + confidence) / 2)) * one.error
    return one.value - half, one.value + half


def detectable_mean(one: Mean, limit: float, *, alpha: float, power: float = 0.8) -> float | None:
    """The smallest true mean that `above` would find (p <= alpha) with about this power: limit + (t_alpha + t_power) errors."""
    from scipy.special import stdtrit

    if one.error is None:
        return None
    quantiles = float(stdtrit(one.freedom, 1 - alpha) + stdtrit(one.freedom, power))
    return limit + quantiles * one.error
