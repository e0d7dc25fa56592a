"""Has the learning curve gone flat, and what would the next batch bring? Numbers for the decision to stop.

All values are a metric that grows when the model gets better (mAP, in [0, 1]), one per round, oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.kernels.detection import half_width

Array = NDArray[np.float64]

SURE = 0.8
"""How sure a gain must be below the price, one-sided. Surer stops later, and forfeits less: `benchmarks/stopping.py`."""


def highest(value: float, deviation: float, clusters: int) -> float | None:
    """The end of the one-sided interval, at `SURE`, of a gain with this standard deviation over draws of so many drives; None with
    fewer than two."""
    from scipy.special import stdtrit

    half = half_width(deviation, clusters)
    if half is None:
        return None
    return value + half * float(stdtrit(clusters - 1, SURE) / stdtrit(clusters - 1, 0.975))


def per_100(gain: float, scenes: int) -> float:
    """A gain by so many scenes (> 0), per 100 of them."""
    return 100 * gain / scenes


@dataclass(frozen=True)
class NextGain:
    """`gain`: what the next batch is expected to add; None if that cannot be said. `method`: how it was
    found. `low`, `high`: its 95 % interval; None without draws.
    """

    gain: float | None
    method: str
    reason: str
    low: float | None = None
    high: float | None = None


def next_gain_between(
    sizes: Sequence[int], values: Sequence[float], next_size: int, drawn: Array, clusters: int
) -> NextGain:
    """`next_gain`, with its interval: the same curve through the values (draws, rounds) of each draw of `clusters` drives.

    Its ends are the 2.5 % and 97.5 % points of the drawn forecasts, drawn apart by what `half_width` widens a standard
    deviation by. A curve that is no power law, and the luck of a training, are not in it.
    """
    found = next_gain(sizes, values, next_size)
    wider = half_width(1.0, clusters)
    if found.gain is None or wider is None or len(drawn) < 2:
        return found
    again = _gains(sizes, drawn[~np.isnan(drawn).any(axis=1)], next_size)
    if len(again) < 2:
        return found
    ends = found.gain + (np.quantile(again, [0.025, 0.975]) - found.gain) * wider / 1.96
    if found.method == "power law":
        ends = np.maximum(ends, 0.0)
    low, high = float(min(ends[0], found.gain)), float(max(ends[1], found.gain))
    return NextGain(found.gain, found.method, found.reason, low, high)


def next_gain(sizes: Sequence[int], values: Sequence[float] | Array, next_size: int) -> NextGain:
    """Expected gain when the labelled scenes grow from `sizes[-1]` to `next_size`.

    From three sizes on: least squares of value = a - b * size^-c, b >= 0, over a grid of c in [0.05, 2];
    the gain is the difference of the fitted curve between the two sizes. With two: the last gain, scaled by
    the logarithm of the sizes, and said so. With fewer: None. Forecasts from so few points are rough, and
    power laws tend to promise too little late gain (Mahmood et al. 2022).

    A step without growth tells nothing of what growth brings: rounds of one size (whose scenes were all
    skipped, say) are one point, at the mean of their values. Sizes may fall, where scenes were deleted: the
    curve goes by size, not by time. Sizes must be positive; `next_size` below the last size is a ValueError,
    equal to it a gain of 0.
    """
    n, y = np.asarray(sizes, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(n) != len(y) or (len(n) and (n.min() <= 0 or next_size < n[-1])):
        raise ValueError(
            f"expected positive sizes, one per value, up to next_size; got {list(sizes)}, {next_size}"
        )
    rounds, points = len(n), len(np.unique(n))
    alike = f"; rounds without growth: {rounds - points}" if points < rounds else ""
    if points < 2:
        return NextGain(None, "none", f"not enough rounds: {points} of 2 needed to predict a gain{alike}")
    gain = float(_gains(sizes, y[None], next_size)[0])
    if points == 2:
        reason = "not enough rounds for a curve (2 of 3): the last gain, scaled by log size"
        return NextGain(gain, "last gain", reason + alike)
    a, b, c = (float(one[0]) for one in _power_law(*_points(sizes, y[None])))
    return NextGain(gain, "power law", f"{a:.3f} - {b:.3g} * scenes^-{c:.2f} through {rounds} rounds{alike}")


def _gains(sizes: Sequence[int], values: Array, next_size: int) -> Array:
    """(N,) the gains that `next_gain` finds for each row of values (N, rounds), two sizes at least."""
    n, y = _points(sizes, values)
    now = sizes[-1]
    if len(n) == 2:
        scale = float(np.log(next_size / now) / np.log(n[1] / n[0]))
        return (y[:, 1] - y[:, 0]) * scale
    _, b, c = _power_law(n, y)
    return b * (float(now) ** -c - float(next_size) ** -c)


def _points(sizes: Sequence[int], values: Array) -> tuple[Array, Array]:
    """(P,) the sizes there are, ascending, and (N, P) the mean of the values at each."""
    n, point = np.unique(np.asarray(sizes, dtype=np.float64), return_inverse=True)
    return n, np.stack([values[:, point == i].mean(axis=1) for i in range(len(n))], axis=1)


def _power_law(n: Array, y: Array) -> tuple[Array, Array, Array]:
    """a, b >= 0, c (N,) of the best fit of a - b * n^-c to each row of y (N, P); of equal fits the smallest c."""
    powers = np.linspace(0.05, 2.0, 40)
    x = n[None, :] ** -powers[:, None]
    middle = x.mean(axis=1)
    apart = x - middle[:, None]
    level = y.mean(axis=1, keepdims=True)
    b = np.maximum(-((y - level) @ apart.T) / (apart**2).sum(axis=1), 0.0)
    off = (y - level)[:, None, :] + b[:, :, None] * apart
    error = (off**2).sum(axis=2)
    best = np.argmax(error <= error.min(axis=1, keepdims=True) + 1e-15, axis=1)
    rows = np.arange(len(y))
    return level[:, 0] + b[rows, best] * middle[best], b[rows, best], powers[best]
