"""One self-contained HTML page about a backtest: no script, no network. The report has a section of the same parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from swath.formats.files import write_atomic
from swath.records.backtest import Against, BacktestResult, Cost, Point
from swath.records.base import Estimate
from swath.report.charts import Frame, Ticks, ticks

FOLDER, RESULT, PAGE = "backtest", "result.json", "backtest.html"  # in the dataset's folder
KINDS: Final[tuple[tuple[Cost, str], ...]] = (
    ("boxes", "objects drawn"),
    ("minutes", "minutes of labelling"),
    ("scenes", "labelled scenes"),
)
FIGURES: Final = {"map50": "mAP50", "map": "mAP", "rare": "rare classes, mean"}


@dataclass(frozen=True)
class Mark:
    """One round of an arm in a chart, pixels; `of`: its cost and estimate."""

    x: float
    y: float
    low: float | None
    high: float | None
    round: int
    cost: float
    estimate: Estimate


@dataclass(frozen=True)
class Line:
    arm: str
    nth: int
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Chart:
    """The learning curves over one kind of cost."""

    title: str
    frame: Frame
    lines: tuple[Line, ...]
    x_ticks: Ticks
    y_ticks: Ticks


@dataclass(frozen=True)
class Shown:
    """What the page and the section show of a backtest. `rows` and `by_minutes`: each arm against random at equal objects, and at equal
    minutes; `drawn`: what the objects are."""

    found: BacktestResult
    charts: tuple[Chart, ...]
    rows: tuple[Against, ...]
    by_minutes: tuple[Against, ...]
    drawn: str


def shown(found: BacktestResult) -> Shown:
    rows, by_minutes = (
        tuple(one for one in found.against if one.cost == cost) for cost in ("boxes", "minutes")
    )
    drawn = "boxes" if found.modality == "2d" else "cuboids"
    return Shown(found, tuple(chart(found, cost, title) for cost, title in KINDS), rows, by_minutes, drawn)


def write_page(found: BacktestResult, path: Path) -> Path:
    """Writes the page; a reader sees the old one or the new one."""
    from swath.report import templates

    text = templates().get_template("backtest_page.html").render(it=shown(found), names=FIGURES)
    write_atomic(path.resolve(), text.encode())
    return path


def chart(found: BacktestResult, cost: Cost, title: str) -> Chart:
    """mAP50 of each arm against what was paid, the mean over the seeds, with intervals."""
    points = [point for curve in found.curves for point in curve.points]
    shown = [point.figures["map50"] for point in points]
    most = max([1.0, *(paid(point, cost) for point in points)])
    top = max([0.05, *(end for one in shown for end in (one.value, one.high) if end is not None)])
    frame = Frame(560, 330, (0, most * 1.05), (0, min(1.0, top * 1.08)), 44, 14, 12, 40)
    lines = tuple(
        Line(
            curve.arm,
            nth + 1,
            tuple(
                _mark(frame, point, cost, 3 * nth)
                for point in curve.points
                if point.figures["map50"].value is not None
            ),
        )
        for nth, curve in enumerate(found.curves)
    )
    return Chart(
        title,
        frame,
        lines,
        tuple((frame.at_x(value), value) for value in ticks(*frame.x)),
        tuple((frame.at_y(value), value) for value in ticks(*frame.y)),
    )


def paid(point: Point, cost: Cost) -> float:
    return {"boxes": point.boxes, "minutes": point.minutes, "scenes": point.scenes}[cost]


def _mark(frame: Frame, point: Point, cost: Cost, shift: float) -> Mark:
    """`shift`: pixels to the right, so that bars of two arms do not cover each other."""
    one = point.figures["map50"]
    return Mark(
        x=round(frame.at_x(paid(point, cost)) + shift, 1),
        y=frame.at_y(one.value or 0.0),
        low=None if one.low is None else frame.at_y(max(one.low, 0.0)),
        high=None if one.high is None else frame.at_y(min(one.high, frame.y[1])),
        round=point.round,
        cost=paid(point, cost),
        estimate=one,
    )
