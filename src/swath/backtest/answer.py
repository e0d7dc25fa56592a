"""The answer: how much better than random is an arm at equal cost, and how sure is that?

A cell's marks are curves over cost, straight between rounds. Per seed, an arm is compared with random at the costs that both
reach; the mean difference there is the area between the curves, and the answer is its mean over the seeds, with two levels of
chance, seeds (draws, trainings, which drives are held out) and drives: `policies.chance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from swath.policies.chance import Floats, Spread, mean, of_drives, spread
from swath.records.backtest import Against, Cost, Curve, Point, Step, Verdict
from swath.records.base import Estimate

COSTS: Final[tuple[Cost, ...]] = ("boxes", "scenes", "minutes")
GRID: Final = 33  # costs at which two curves are compared


@dataclass(frozen=True, eq=False)
class Run:
    """One arm and seed. costs: of each kind (R,) so far, after each of R rounds; figures: name -> (R, 1 + B) values, first on all
    held-out drives, then in each of B draws of them; NaN where a class is not there."""

    costs: Mapping[Cost, Floats]
    figures: Mapping[str, Floats]


Runs = Sequence[Run]  # of one arm, by seed; all arms have the same seeds


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
    there = Spread(of_seeds, seeds, of_drives(drawn, drives), drives).around(float(np.log(value)))
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
