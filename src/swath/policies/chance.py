"""How sure is a figure that hangs on two kinds of chance: on which drives it was measured, and how seeds fell (trainings, draws)?

    drives   a bootstrap, the same draws for every seed: variance V_D, times D / (D - 1); without what is a seed's own (other drives
             that it holds out, other objects that its training happens to find): that is in V_S already
    seeds    their variance over S, V_S (of what is no mean, by the jackknife: the same thing for a mean)

    figure +- sqrt(t(S - 1)^2 V_S + t(D - 1)^2 V_D)

Each part has its own Student's t, so the interval is exact where one of them is all there is, and wide with two seeds. (Drawing
both together, with Satterthwaite's degrees of freedom, told two draws of random apart in 7.8 % of repeats with two seeds.) One
seed says nothing of other seeds: then the drives are all there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from swath.records.base import Estimate

Floats = npt.NDArray[np.float64]
POWER: Final = 0.8


@dataclass(frozen=True)
class Spread:
    """Variances of a figure that `seeds` seeds and `drives` drives were resampled for; None where a part cannot be known."""

    of_seeds: float | None
    seeds: int
    of_drives: float | None
    drives: int

    def half(self, chance: float) -> float | None:
        """Half the width in which the figure is found with this chance on each side; None where nothing varies to tell by."""
        parts = [(self.of_seeds, self.seeds), (self.of_drives, self.drives)]
        known = [_t(chance, n - 1) ** 2 * of for of, n in parts if of is not None and n > 1]
        return float(np.sqrt(sum(known))) if sum(known) > 0 else None

    def around(self, value: float) -> Estimate:
        if np.isnan(value):
            return Estimate()
        half = self.half(0.975)
        if half is None:
            return Estimate(value=value)
        return Estimate(value=value, low=value - half, high=value + half)

    def detectable(self) -> float | None:
        """The difference that is seen (its interval above 0) with a chance of 80 %."""
        half, more = self.half(0.975), self.half(POWER)
        return half + more if half is not None and more is not None else None


def _t(chance: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, chance))


def spread(values: Floats, drives: int) -> Spread:
    """Of `values` (S, 1 + B): of each seed the figure, first on all drives, then in each draw of them. NaN seeds are left out."""
    values = values[~np.isnan(values[:, 0])]
    seeds = len(values)
    of_seeds = float(values[:, 0].var(ddof=1)) / seeds if seeds > 1 else None
    if not seeds:
        return Spread(None, 0, None, drives)
    together = of_drives(mean(values[:, 1:]), drives)
    if together is not None:
        together = max(together - _own(values, drives), 0.0)
    return Spread(of_seeds, seeds, together, drives)


def apart(ones: Floats, others: Floats, drives: int) -> Spread:
    """Of the mean of `ones` (S, 1 + B) less that of `others` (Z, 1 + B), each as of `spread`, all drawn alike: the same drives for both,
    but seeds of their own, which vary as much on either side (S + Z - 2 degrees of freedom: one side may have a single seed)."""
    sides = (ones, others)
    freedom = sum(len(one) - 1 for one in sides)
    of_seeds = None
    if freedom:
        off = [((one[:, 0] - one[:, 0].mean()) ** 2).sum() for one in sides]
        of_seeds = float(sum(off)) / freedom * sum(1 / len(one) for one in sides)
    together = of_drives(mean(ones[:, 1:]) - mean(others[:, 1:]), drives)
    if together is not None:
        together = max(together - sum(_own(one, drives) for one in sides), 0.0)
    return Spread(of_seeds, freedom + 1, together, drives)


def _own(values: Floats, drives: int) -> float:
    """What the drives' part of a mean of seeds holds of each seed's own: the part that varies over seeds too."""
    seeds, drawn = len(values), values[:, 1:]
    if seeds < 2:
        return 0.0
    own = [of_drives(one - mean(drawn), drives) or 0.0 for one in drawn]
    return sum(own) / (seeds * (seeds - 1))


def of_drives(drawn: Floats, drives: int) -> float | None:
    """The variance of a figure, from those (B,) of the draws of so many drives."""
    drawn = drawn[~np.isnan(drawn)]
    return float(drawn.var(ddof=1)) * drives / (drives - 1) if len(drawn) > 1 and drives > 1 else None


def mean(values: Floats) -> Floats:
    """The mean over the first axis without the NaN; NaN where there is nothing else."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    out: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return out
