"""Coordinates of what the report draws. Pixels of an SVG: x to the right, y downwards, rounded to a tenth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.records.base import Estimate

Floats = npt.NDArray[np.float64]


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


@dataclass(frozen=True)
class Point:
    """One round: how many scenes its model learned from, and its estimates, by the key of their series."""

    round: str
    scenes: int
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True)
class Mark:
    """One estimate in the chart: where it is, and the ends of its bar, None where it has none."""

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
class Curve:
    """`x_ticks`, `y_ticks`: (pixel, value)."""

    frame: Frame
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, int], ...]
    y_ticks: tuple[tuple[float, float], ...]


def learning_curve(
    points: Sequence[Point], series: Sequence[tuple[str, str]], width: float, height: float
) -> Curve | None:
    """Each round's estimates against the scenes its model was trained on, with intervals; None without points.

    `series`: (key, title) of those that are drawn.
    """
    if not points:
        return None
    most = max(point.scenes for point in points)
    shown = [point.estimates[key] for point in points for key, _ in series]
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
    return Curve(
        frame,
        lines,
        tuple((frame.at_x(value), int(value)) for value in ticks(*frame.x) if value == int(value)),
        tuple((frame.at_y(value), value) for value in ticks(*frame.y)),
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


def span(values: Floats) -> tuple[float, float]:
    """Lowest and highest of `values`, a little apart where they are equal; (0, 1) for none."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
