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

Told = tuple[
    str, int, Deviation, tuple[float | None, ...]
]  # title, objects, measure; value, its interval, limit, would see
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
    legend = Markup(
        '<p class="small soft">Dots: mean over matched objects; bars: 95 % intervals by scene; band: what is tolerated. A red cross: '
        "the interval is beyond the band, or the same objects moved further than the margin since earlier rounds.</p>"
    )
    last = next(one for one in reversed(checks) if one.measures)
    return Markup('<h3>How labels differ, over the rounds</h3><div class="small-charts">{}</div>{}{}').format(
        figures, legend, _table(last)
    )


def _figure(one: Chart) -> Markup:
    frame = one.frame
    right = frame.width - frame.right
    told = ", ".join(f"{dot.round} {dot.told}" for dot in one.dots)
    parts = [
        Markup('<rect class="band" x="{}" y="{}" width="{}" height="{}"/>').format(
            frame.left, one.band[0], right - frame.left, round(one.band[1] - one.band[0], 1)
        )
    ]
    for y, words in one.y_ticks:
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(frame.left, right, y, y)
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
        '<figure><svg viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg><figcaption>{}</figcaption></figure>'
    ).format(frame.width, frame.height, one.title, told, Markup("").join(parts), one.title)


def _mark(dot: Dot) -> Markup:
    bar = f"M{dot.x} {dot.low}V{dot.high}M{dot.x - 4} {dot.low}h8M{dot.x - 4} {dot.high}h8"
    sign = (
        Markup('<path class="sign" d="M{} {}l9 9m0 -9l-9 9"/>').format(
            round(dot.x - 4.5, 1), round(dot.y - 4.5, 1)
        )
        if dot.beyond
        else Markup('<circle cx="{}" cy="{}" r="4.2"/>').format(dot.x, dot.y)
    )
    return Markup('<g class="{}"><path d="{}"/>{}<title>{}: {}</title></g>').format(
        "dot above" if dot.beyond else "dot", bar, sign, dot.round, dot.told
    )


def _table(check: GoldenChecked) -> Markup:
    """Two tables: against the reference; and, where the same objects were measured in earlier rounds, against those."""
    names = {name: f"{name[:2].upper()} {NAMES[measure_of(name).name]}" for name in check.measures}
    there = [
        (names[name], one.objects, one, (one.mean, one.low, one.high, one.tolerance, one.detectable))
        for name, one in check.measures.items()
    ]
    since = [
        (
            names[name],
            one.paired,
            one,
            (one.change, one.change_low, one.change_high, one.margin, one.change_detectable),
        )
        for name, one in check.measures.items()
        if one.change is not None
    ]
    tables = _rows("objects", "mean", "tolerance", there)
    if since:
        tables += Markup('<p class="small soft">Since earlier rounds, by the same objects:</p>{}').format(
            _rows("same objects", "moved by", "margin", since)
        )
    return Markup(
        "<details><summary>How labels differ in {}, in numbers</summary><div>{}"
        '<p class="small soft">“Would see”: how far off the true value has to be for this check to find it in four of five cases.</p>'
        "</div></details>"
    ).format(check.round, tables)


def _rows(objects: str, value: str, limit: str, rows: Sequence[Told]) -> Markup:
    """A table; on a phone the heads stand beside the cells."""
    heads = (
        ("", "measure"),
        ("n", objects),
        ("n", value),
        ("ci", "95 % interval"),
        ("n", limit),
        ("n", "would see"),
    )
    top = Markup("").join(
        Markup('<th class="{}">{}</th>').format(kind if kind == "n" else "", head) for kind, head in heads
    )
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup('<td class="{}" data-th="{}">{}</td>').format(kind, head, cell)
                for (kind, head), cell in zip(heads, _cells(row), strict=True)
            )
        )
        for row in rows
    )
    return Markup('<table class="cards"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>').format(
        top, body
    )


def _cells(row: Told) -> tuple[str, ...]:
    title, objects, one, (value, low, high, limit, detectable) = row

    def words(given: float | None, *, sign: bool = True) -> str:
        return "–" if given is None else in_words(given, one.unit, sign=sign, short=True)

    between = "" if low is None or high is None else f"{words(low)} – {words(high)}"
    return title, str(objects), words(value), between, words(limit, sign=False), words(detectable, sign=False)
