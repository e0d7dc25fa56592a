"""How labels of the golden scenes drift over the rounds: a small chart for each measured axis, and one table of the last check.

`data` gives what is drawn, `html` draws it; nothing else of the report is needed, and colours come from its style sheet or are
said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from swath.policies.golden_axes import in_words, measure_of
from swath.records.batch import Deviation, GoldenChecked
from swath.report.charts import Frame, ticks

WIDTH, HEIGHT = 270, 120
NAMES: Final = {
    "iou": "IoU of boxes",
    "area": "size of boxes",
    "along": "cuboids ahead (+) or back (-)",
    "across": "cuboids to their left (+) or right (-)",
    "up": "cuboids higher (+) or lower (-)",
    "forward": "cuboids forward (+) or backward (-) in the cloud",
    "leftward": "cuboids to the left (+) or right (-) in the cloud",
    "distance": "distance of centres",
    "length": "length of cuboids",
    "width": "width of cuboids",
    "height": "height of cuboids",
    "yaw": "heading, left (+) or right (-)",
    "turn": "size of the difference in heading",
    **{side: f"{side} edge, outward (+) or inward (-)" for side in ("left", "top", "right", "bottom")},
}


@dataclass(frozen=True)
class Dot:
    """One check: its mean, and the ends of its interval; `beyond`: the whole interval is beyond the tolerance, or the same objects
    moved further than the margin."""

    round: str
    told: str
    x: float
    y: float
    low: float
    high: float
    beyond: bool


@dataclass(frozen=True)
class Chart:
    """One axis over the rounds, in pixels. `band`: top and bottom of what is tolerated; `y_ticks`: (pixel, words)."""

    axis: str
    title: str
    frame: Frame
    dots: tuple[Dot, ...]
    band: tuple[float, float]
    y_ticks: tuple[tuple[float, str], ...]


def data(checks: Sequence[GoldenChecked]) -> tuple[Chart, ...]:
    """A chart per axis that was ever measured, of the checks in their order."""
    names = dict.fromkeys(name for one in checks for name in one.measures)
    return tuple(_chart(name, checks) for name in names)


def _chart(axis: str, checks: Sequence[GoldenChecked]) -> Chart:
    measure = measure_of(axis)
    there = [(at, one.round, one.measures[axis]) for at, one in enumerate(checks) if axis in one.measures]
    tolerance = there[-1][2].tolerance
    low, high = (
        (tolerance, 1.0) if measure.unit == "iou" else (-tolerance if measure.signed else 0.0, tolerance)
    )
    ends = [end for _, _, one in there for end in (one.mean, one.low, one.high) if end is not None]
    bottom, top = min([low, *ends]), max([high, *ends])
    room = 0.08 * (top - bottom)
    frame = Frame(WIDTH, HEIGHT, (-0.5, len(checks) - 0.5), (bottom - room, top + room), 62, 10, 8, 22)
    return Chart(
        axis=axis,
        title=f"{axis[:2].upper()} {NAMES[measure.name]}",
        frame=frame,
        dots=tuple(_dot(frame, at, name, one, (low, high)) for at, name, one in there),
        band=(frame.at_y(high), frame.at_y(low)),
        y_ticks=tuple(
            (
                frame.at_y(value),
                in_words(value, measure.unit, sign=measure.signed, short=True),
            )
            for value in ticks(*frame.y, 4)
        ),
    )


def _dot(frame: Frame, at: int, name: str, one: Deviation, band: tuple[float, float]) -> Dot:
    low, high = (one.mean if end is None else end for end in (one.low, one.high))
    moved = None not in (one.change_low, one.change_high) and (
        (one.change_low or 0) > one.margin or (one.change_high or 0) < -one.margin
    )
    words = [in_words(value, one.unit, short=True) for value in (one.mean, low, high)]
    told = f"{words[0]} ({words[1]} to {words[2]})"
    return Dot(
        round=name,
        told=told,
        x=frame.at_x(at),
        y=frame.at_y(one.mean),
        low=frame.at_y(low),
        high=frame.at_y(high),
        beyond=low > band[1] or high < band[0] or moved,
    )


# ---------------------------------------------------------------------- drawing


def html(checks: Sequence[GoldenChecked]) -> Markup:
    """The charts, and the table of the last check; nothing where nothing was measured."""
    charts = data(checks)
    if not charts:
        return Markup()
    figures = Markup("").join(_figure(one) for one in charts)
    grid = Markup(
        '<div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(min(250px,100%),1fr));gap:12px 22px">{}</div>'
    )
    legend = Markup(
        '<p class="small soft">Dots: mean over matched objects; bars: 95 % intervals by scene; band: what is tolerated. A red cross: '
        "the interval is beyond the band, or the same objects moved further than the margin since earlier rounds.</p>"
    )
    last = next(one for one in reversed(checks) if one.measures)
    return Markup("<h3>How labels differ, over the rounds</h3>{}{}{}").format(
        grid.format(figures), legend, _table(last)
    )


def _figure(one: Chart) -> Markup:
    frame = one.frame
    right = frame.width - frame.right
    told = ", ".join(f"{dot.round} {dot.told}" for dot in one.dots)
    parts = [
        Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="#e4f1e8"/>').format(
            frame.left, one.band[0], right - frame.left, round(one.band[1] - one.band[0], 1)
        )
    ]
    for y, words in one.y_ticks:
        parts.append(
            Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="#e3e7ec"/>').format(frame.left, right, y, y)
        )
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(frame.left - 5, y + 4, words)
        )
    every = max(1, -(-len(one.dots) // 8))
    for at, dot in enumerate(one.dots):
        parts.append(_mark(dot))
        if at % every == 0:
            parts.append(
                Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                    dot.x, frame.height - 6, dot.round
                )
            )
    return Markup(
        '<figure style="margin:0;min-width:0"><svg viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg>'
        "<figcaption>{}</figcaption></figure>"
    ).format(frame.width, frame.height, one.title, told, Markup("").join(parts), one.title)


def _mark(dot: Dot) -> Markup:
    colour = "#b3261e" if dot.beyond else "#2b62ad"
    bar = f"M{dot.x} {dot.low}V{dot.high}M{dot.x - 4} {dot.low}h8M{dot.x - 4} {dot.high}h8"
    sign = (
        Markup('<path d="M{} {}l9 9m0 -9l-9 9" stroke="{}" stroke-width="2.6" fill="none"/>').format(
            round(dot.x - 4.5, 1), round(dot.y - 4.5, 1), colour
        )
        if dot.beyond
        else Markup('<circle cx="{}" cy="{}" r="4.2" fill="{}"/>').format(dot.x, dot.y, colour)
    )
    return Markup(
        '<g><path d="{}" stroke="{}" stroke-width="1.4" fill="none"/>{}<title>{}: {}</title></g>'
    ).format(bar, colour, sign, dot.round, dot.told)


def _table(check: GoldenChecked) -> Markup:
    rows = Markup("").join(_row(name, one) for name, one in check.measures.items())
    return Markup(
        '<details><summary>How labels differ in {}, in numbers</summary><div><div class="scroll"><table><thead><tr><th>measure</th>'
        '<th class="n">objects</th><th class="n">mean</th><th>95 % interval</th><th class="n">tolerance</th><th class="n">would see</th>'
        '<th class="n">moved</th><th>95 % interval</th><th class="n">of objects</th><th class="n">margin</th><th class="n">would see</th>'
        "</tr></thead><tbody>{}</tbody></table></div></div></details>"
    ).format(check.round, rows)


def _row(name: str, one: Deviation) -> Markup:
    def words(value: float | None, *, sign: bool = True) -> str:
        return "–" if value is None else in_words(value, one.unit, sign=sign, short=True)

    def ends(low: float | None, high: float | None) -> str:
        return "" if low is None or high is None else f"{words(low)} – {words(high)}"

    title = f"{name[:2].upper()} {NAMES[measure_of(name).name]}"
    cells = (
        ("", title),
        ("n", str(one.objects)),
        ("n", words(one.mean)),
        ("tight", ends(one.low, one.high)),
        ("n", words(one.tolerance, sign=False)),
        ("n", words(one.detectable, sign=False)),
        ("n", words(one.change)),
        ("tight", ends(one.change_low, one.change_high)),
        ("n", str(one.paired) if one.paired else "–"),
        ("n", words(one.margin, sign=False)),
        ("n", words(one.change_detectable, sign=False)),
    )
    return Markup("<tr>{}</tr>").format(
        Markup("").join(Markup('<td class="{}">{}</td>').format(kind, text) for kind, text in cells)
    )
