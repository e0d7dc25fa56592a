"""The answer: how much better than random is an arm at equal cost, and how sure is that?

A cell's marks are curves over cost, straight between rounds. Per seed, an arm is compared with random at the costs that both
reach; the mean difference there is the area between the curves, and the answer is its mean over the seeds. Two levels of chance
are in it, seeds (draws, trainings, which drives are held out) and drives, and each is resampled:

    drives   a bootstrap, the same draws for every arm and seed: variance V_D, times D / (D - 1); without what seeds do not share,
             since they hold out other drives: that is in V_S already
    seeds    their variance over S, V_S (of what is no mean, by the jackknife: the same thing for a mean)

    difference +- sqrt(t(S - 1)^2 V_S + t(D - 1)^2 V_D)

Each part has its own Student's t, so the interval is exact where one of them is all there is, and wide with two seeds. (Drawing
both together, with Satterthwaite's degrees of freedom, told two draws of random apart in 7.8 % of repeats with two seeds.) One
seed says nothing of other seeds: then the drives are all there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from swath.records.backtest import Against, Cost, Curve, Point, Step, Verdict
from swath.records.base import Estimate

Floats = npt.NDArray[np.float64]
COSTS: Final[tuple[Cost, ...]] = ("boxes", "scenes", "minutes")
GRID: Final = 33  # costs at which two curves are compared
POWER: Final = 0.8


@dataclass(frozen=True, eq=False)
class Run:
    """One arm and seed. costs: of each kind (R,) so far, after each of R rounds; figures: name -> (R, 1 + B) values, first on all
    held-out drives, then in each of B draws of them; NaN where a class is not there."""

    costs: Mapping[Cost, Floats]
    figures: Mapping[str, Floats]


Runs = Sequence[Run]  # of one arm, by seed; all arms have the same seeds


# ---------------------------------------------------------------------- estimates


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
    drawn = values[:, 1:]
    of_drives = _of_drives(mean(drawn), drives)
    if of_drives is not None and seeds > 1:
        own = [_of_drives(one - mean(drawn), drives) or 0.0 for one in drawn]
        of_drives = max(of_drives - sum(own) / (seeds * (seeds - 1)), 0.0)
    return Spread(of_seeds, seeds, of_drives, drives)


def _of_drives(drawn: Floats, drives: int) -> float | None:
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


# ---------------------------------------------------------------------- two curves


def at_costs(costs: Floats, values: Floats, wanted: Floats) -> Floats:
    """(G, ...) values (R, ...) at `wanted` (G,) costs, straight between rounds; at the ends as they are."""
    if len(costs) < 2:
        return np.repeat(values[:1], len(wanted), axis=0)
    right = np.clip(np.searchsorted(costs, wanted), 1, len(costs) - 1)
    gap = costs[right] - costs[right - 1]
    share = np.clip(np.divide(wanted - costs[right - 1], gap, out=np.ones(len(wanted)), where=gap > 0), 0, 1)
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    out: Floats = values[right - 1] * (1 - share) + values[right] * share
    return out


def common(one: Floats, other: Floats) -> Floats | None:
    """The costs that both reach, at equal distances; None where there are none."""
    low, high = max(one[0], other[0]), min(one[-1], other[-1])
    if high < low:
        return None
    return np.linspace(low, high, GRID if high > low else 1)


def area(one: Run, other: Run, cost: Cost, figure: str) -> Floats:
    """(1 + B,) the mean difference over the costs that both reach; NaN where there are none."""
    grid = common(one.costs[cost], other.costs[cost])
    if grid is None:
        return np.full(one.figures[figure].shape[1], np.nan)
    mine, theirs = (at_costs(run.costs[cost], run.figures[figure], grid) for run in (one, other))
    return np.asarray((mine - theirs).mean(axis=0))


def labels_to_target(ones: Runs, others: Runs, cost: Cost, drives: int) -> Estimate:
    """The cost at which the mean curve of an arm reaches what both mean curves reach, as a share of the other's; its interval on the
    scale of its logarithm. None where one of them had nothing to learn for it."""
    grids, curves = [], []
    for runs in (ones, others):
        low = max(run.costs[cost][0] for run in runs)
        high = min(run.costs[cost][-1] for run in runs)
        if high <= low:
            return Estimate()
        grids.append(np.linspace(low, high, 4 * GRID))
        curves.append(
            np.stack([at_costs(run.costs[cost], run.figures["map50"], grids[-1]) for run in runs])
        )  # (S, G, 1 + B)
    value = float(ratios(*(mean(curve[:, :, :1]).T for curve in curves), *grids)[0])
    if np.isnan(value):
        return Estimate()
    drawn = np.log(ratios(*(mean(curve[:, :, 1:]).T for curve in curves), *grids))
    seeds = len(ones)
    left = [
        np.log(ratios(*(mean(np.delete(curve, seed, 0)[:, :, :1]).T for curve in curves), *grids)[0])
        for seed in range(seeds if seeds > 1 else 0)
    ]
    if (
        np.isnan(drawn).sum() > 0.1 * len(drawn) or np.isnan(left).any()
    ):  # one of the two often learns nothing
        return Estimate()
    of_seeds = float(np.var(left)) * (seeds - 1) if left else None
    there = Spread(of_seeds, seeds, _of_drives(drawn, drives), drives).around(float(np.log(value)))
    if there.low is None or there.high is None:
        return Estimate(value=value)
    return Estimate(value=value, low=float(np.exp(there.low)), high=float(np.exp(there.high)))


def ratios(one: Floats, other: Floats, costs_one: Floats, costs_other: Floats) -> Floats:
    """(N,) cost of the first of two curves (N, G), as a share of the second's, at the figure that both reach; NaN where one of them
    begins there."""
    one, other = np.maximum.accumulate(one, axis=1), np.maximum.accumulate(other, axis=1)
    level = np.minimum(one[:, -1], other[:, -1])
    learned = level > np.maximum(one[:, 0], other[:, 0]) + 1e-9
    share = _reached(one, costs_one, level) / _reached(other, costs_other, level)
    return np.where(learned, share, np.nan)


def _reached(curves: Floats, costs: Floats, level: Floats) -> Floats:
    """(N,) the first cost at which each growing curve (N, G) has its level."""
    at = np.maximum(np.argmax(curves >= level[:, None] - 1e-12, axis=1), 1)
    row = np.arange(len(curves))
    gap = curves[row, at] - curves[row, at - 1]
    share = np.divide(level - curves[row, at - 1], gap, out=np.ones(len(curves)), where=gap > 0)
    out: Floats = costs[at - 1] + np.clip(share, 0, 1) * (costs[at] - costs[at - 1])
    return out


# ---------------------------------------------------------------------- an arm against random


def against(name: str, ones: Runs, others: Runs, cost: Cost, drives: int) -> Against:
    """An arm against another (random) over one kind of cost."""
    areas = {
        figure: np.stack([area(one, other, cost, figure) for one, other in zip(ones, others, strict=True)])
        for figure in ones[0].figures
    }
    spreads = {figure: spread(values, drives) for figure, values in areas.items()}
    estimates = {figure: spreads[figure].around(_value(values)) for figure, values in areas.items()}
    return Against(
        arm=name,
        cost=cost,
        figures=estimates,
        steps=_steps(ones, others, cost, drives),
        ratio=labels_to_target(ones, others, cost, drives),
        detectable=spreads["map50"].detectable(),
        verdict=verdict(estimates["map50"]),
    )


def _value(values: Floats) -> float:
    return float(mean(values[:, :1])[0])


def _steps(ones: Runs, others: Runs, cost: Cost, drives: int) -> tuple[Step, ...]:
    """The difference of mAP50 at the mean costs of the other's rounds, of the seeds that both reach them in."""
    steps = []
    for at in np.mean([run.costs[cost] for run in others], axis=0):
        differences = []
        for one, other in zip(ones, others, strict=True):
            grid = common(one.costs[cost], other.costs[cost])
            if grid is not None and grid[0] <= at <= grid[-1]:
                mine, theirs = (
                    at_costs(run.costs[cost], run.figures["map50"], np.array([at]))[0] for run in (one, other)
                )
                differences.append(mine - theirs)
        if differences:
            values = np.stack(differences)
            steps.append(Step(cost=float(at), map50=spread(values, drives).around(_value(values))))
    return tuple(steps)


def verdict(one: Estimate) -> Verdict:
    if one.low is not None and one.low > 0:
        return "better"
    if one.high is not None and one.high < 0:
        return "worse"
    return "not told apart"


def curve(name: str, runs: Runs, drives: int) -> Curve:
    """The learning curve of an arm: the mean over the seeds, round by round."""
    points = []
    for number in range(len(runs[0].costs["scenes"])):
        at = {figure: np.stack([run.figures[figure][number] for run in runs]) for figure in runs[0].figures}
        costs = {cost: float(np.mean([run.costs[cost][number] for run in runs])) for cost in COSTS}
        figures = {figure: spread(values, drives).around(_value(values)) for figure, values in at.items()}
        points.append(Point(round=number, figures=figures, **costs))
    return Curve(arm=name, points=tuple(points))


def in_words(one: Against, what: str) -> str:
    """One sentence: better, worse, or not told apart."""
    found = one.figures["map50"]
    name = "oracle (hidden truth: an upper bound)" if one.arm == "oracle" else one.arm
    if found.value is None:
        return f"{name} cannot be compared with random: there is no cost that both reach."
    seen = "" if found.low is None else f" ({found.low:+.3f} to {found.high:+.3f})"
    difference = f"{found.value:+.3f} mAP50{seen} at equal {what}"
    if one.verdict == "not told apart":
        limit = f"; a difference below {one.detectable:.3f} would often not be seen" if one.detectable else ""
        return f"{name} is not told apart from random: {difference}{limit}."
    ratio = one.ratio
    share = ""
    if ratio.value is not None and ratio.low is not None and ratio.high is not None:
        share = f"; it needs {ratio.value:.2f} of the {what} ({ratio.low:.2f} to {ratio.high:.2f})"
    return f"{name} is {one.verdict} than random: {difference}{share}."
