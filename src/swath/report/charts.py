"""Coordinates of what the report draws. Pixels of an SVG: x to the right, y downwards, rounded to a tenth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.records.base import Estimate

Floats = npt.NDArray[np.float64]
Ticks = tuple[tuple[float, float], ...]
"""(pixel, value)."""


@dataclass(frozen=True)
class Frame:
    """Where values go: `x` and `y` are (lowest, highest) value, the margins are pixels."""

    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]
    left: float = 12
    right: float = 12
    top: float = 12
    bottom: float = 12

    def at_x(self, value: float) -> float:
        share = (value - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0)
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def at_y(self, value: float) -> float:
        share = (value - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0)
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 1)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most `most` + 1 round values (1, 2 or 5 times a power of ten apart) within [low, high]; none if it is empty."""
    if not high > low:
        return []
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * by for by in (1, 2, 5, 10) if (high - low) / (step * by) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def span(values: Floats) -> tuple[float, float]:
    """Lowest and highest of `values`, a little apart where they are equal; (0, 1) for none."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


# ---------------------------------------------------------------------- bars with an axis


@dataclass(frozen=True)
class Ruler:
    """The axis that the interval bars of a table share: from 0 to `end`, `width` pixels long."""

    end: float
    width: float
    ticks: Ticks
    percent: bool = False

    def at(self, value: float) -> float:
        """Pixels from its zero."""
        return round(self.width * min(max(value / self.end, 0.0), 1.0), 1)


def ruler(highest: float, *, percent: bool = False, width: float = 220) -> Ruler:
    """An axis from 0 to a little above `highest`, and at most to 1."""
    end = 1.0 if highest >= 0.95 else highest * 1.05
    return Ruler(end, width, tuple((round(width * one / end, 1), one) for one in ticks(0, end, 4)), percent)


# ---------------------------------------------------------------------- learning curve


@dataclass(frozen=True)
class Point:
    """One round: how many scenes its model learned from, and its estimates, by the key of their series."""

    round: str
    scenes: int
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True)
class Mark:
    """One estimate in a chart: where it is, and the ends of its bar, None where it has none."""

    round: str
    scenes: int
    estimate: Estimate
    x: float
    y: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Line:
    key: str
    title: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Band:
    """Where the loop began: the first estimate of the first series, and its interval, pixels from the top."""

    round: str
    y: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Curve:
    """`ahead`: where the last series is expected to be after the next batch, and where it is now."""

    frame: Frame
    lines: tuple[Line, ...]
    x_ticks: Ticks
    y_ticks: Ticks
    base: Band | None
    ahead: tuple[Mark, Mark] | None = None


def learning_curve(
    points: Sequence[Point],
    series: Sequence[tuple[str, str]],
    width: float,
    height: float,
    ahead: Point | None = None,
) -> Curve | None:
    """Each round's estimates against the scenes its model was trained on, with intervals; None without points.

    `series`: (key, title) of those that are drawn; from the second round on the first value of the first is the baseline.
    `ahead`: what is expected of the last series after the next batch.
    """
    if not points:
        return None
    expected = (*points, ahead) if ahead is not None else tuple(points)
    most = max(point.scenes for point in expected)
    shown = [point.estimates[key] for point in expected for key, _ in series if key in point.estimates]
    top = max([0.05, *(end for one in shown for end in (one.value, one.high) if end is not None)])
    frame = Frame(width, height, (0, most * 1.08), (0, min(1.0, top * 1.1)), 44, 14, 12, 40)
    lines = tuple(
        Line(
            key,
            title,
            tuple(
                mark
                for point in points
                if (mark := _mark(frame, point, point.estimates[key], 5 * nth)) is not None
            ),
        )
        for nth, (key, title) in enumerate(series)
    )
    first, after = next(iter(lines[0].marks), None), None
    if ahead is not None and lines[-1].marks:
        after = _mark(frame, ahead, ahead.estimates[series[-1][0]], 5 * (len(series) - 1))
    return Curve(
        frame,
        lines,
        tuple((frame.at_x(value), int(value)) for value in ticks(*frame.x) if value == int(value)),
        tuple((frame.at_y(value), value) for value in ticks(*frame.y)),
        Band(first.round, first.y, first.low, first.high) if first and len(lines[0].marks) > 1 else None,
        (lines[-1].marks[-1], after) if after is not None else None,
    )


def _mark(frame: Frame, point: Point, one: Estimate, shift: float) -> Mark | None:
    """`shift`: pixels to the right, so that bars of two series do not cover each other."""
    if one.value is None:
        return None
    return Mark(
        round=point.round,
        scenes=point.scenes,
        estimate=one,
        x=round(frame.at_x(point.scenes) + shift, 1),
        y=frame.at_y(one.value),
        low=None if one.low is None else frame.at_y(one.low),
        high=None if one.high is None else frame.at_y(min(one.high, frame.y[1])),
    )


# ---------------------------------------------------------------------- precision and recall


@dataclass(frozen=True)
class Tradeoff:
    """Precision against recall of one class. `lines`: at each overlap, the loosest first, what to call it and its points as SVG wants
    them; `at`: (pixels, recall and precision) of the operating point, None without a prediction there."""

    title: str
    frame: Frame
    lines: tuple[tuple[str, str], ...]
    x_ticks: Ticks
    y_ticks: Ticks
    at: tuple[float, float, float, float] | None


def tradeoff(
    title: str,
    curves: Sequence[tuple[str, Floats, float]],
    recalls: Floats,
    operating: tuple[float, float] | None,
) -> Tradeoff:
    """A small chart of curves (name, precision at `recalls`, highest recall), and of an operating point (recall, precision)."""
    frame = Frame(250, 170, (0, 1), (0, 1), 30, 8, 8, 22)
    lines = tuple((name, _falling(frame, precision, recalls, highest)) for name, precision, highest in curves)
    at = None
    if operating is not None:
        recall, precision = operating
        at = frame.at_x(recall), frame.at_y(precision), recall, precision
    marks = ticks(0, 1, 2)
    return Tradeoff(
        title,
        frame,
        lines,
        tuple((frame.at_x(one), one) for one in marks),
        tuple((frame.at_y(one), one) for one in marks),
        at,
    )


def _falling(frame: Frame, precision: Floats, recalls: Floats, highest: float) -> str:
    """A curve up to the highest recall that was reached, and down from there; corners alone."""
    here = recalls <= highest + 1e-9
    points = list(zip(recalls[here].tolist(), precision[here].tolist(), strict=True))
    points.append((highest, points[-1][1] if points else 0.0))
    kept = [
        one
        for nth, one in enumerate(points)
        if nth in (0, len(points) - 1) or one[1] != points[nth - 1][1] or one[1] != points[nth + 1][1]
    ]
    return " ".join(f"{frame.at_x(x):g},{frame.at_y(y):g}" for x, y in (*kept, (highest, 0.0)))


# ---------------------------------------------------------------------- drift


@dataclass(frozen=True)
class Rate:
    """Errors among trials in one round, as a rate with its interval."""

    round: str
    errors: int
    trials: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Dot:
    """A rate in a chart, pixels. `above`: its whole interval lies above what is accepted."""

    of: Rate
    x: float
    y: float
    low: float
    high: float
    above: bool


@dataclass(frozen=True)
class Drift:
    """One kind of error over the rounds. `accepted`: pixels from the top, of the rate that is accepted."""

    title: str
    frame: Frame
    dots: tuple[Dot, ...]
    rounds: tuple[tuple[float, str], ...]
    y_ticks: Ticks
    accepted: float
    accepted_rate: float


def drift(title: str, rates: Sequence[Rate], accepted: float, rounds: Sequence[str], top: float) -> Drift:
    """A small chart of `rates` over all `rounds`, from 0 to `top`; of many rounds every n-th is named."""
    frame = Frame(270, 150, (-0.5, len(rounds) - 0.5), (0, max(top, accepted) * 1.05), 38, 6, 10, 22)
    at = {name: frame.at_x(nth) for nth, name in enumerate(rounds)}
    dots = tuple(
        Dot(
            one,
            at[one.round],
            frame.at_y(one.rate),
            frame.at_y(one.low),
            frame.at_y(one.high),
            one.low > accepted,
        )
        for one in rates
    )
    every = max(1, -(-len(rounds) // 8))
    return Drift(
        title,
        frame,
        dots,
        tuple((x, name) for name, x in list(at.items())[::every]),
        tuple((frame.at_y(value), value) for value in ticks(*frame.y, 3)),
        frame.at_y(accepted),
        accepted,
    )
