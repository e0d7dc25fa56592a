"""The panel's charts, as plotly takes them: data and layout. Widths are set: FiftyOne's own guess is too wide or too narrow for a
panel of half the window (570 pixels)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from swath.plugin.contents import Labelling, Point
from swath.records.results import Status

WIDTH: Final = 500  # pixels: what half of a window leaves
GOOD, OUT, REST, LINE, OTHER = "#3FA7A0", "#E0A03C", "#5B6470", "#5AA9E6", "#E07A5F"
INK, GRID = "#B8BFC8", "rgba(150,160,170,0.25)"
QUIET: Final = {"displayModeBar": False, "responsive": False, "staticPlot": False, "scrollZoom": False}
Plot = dict[str, Any]


def pool(status: Status) -> Plot:
    """The pool as one bar: annotated, selected, unlabeled scenes."""
    of = status.pool
    parts = (
        ("annotated", of.annotated, GOOD),
        ("selected", of.selected, OUT),
        ("unlabeled", of.unlabeled, REST),
    )
    return _bar(parts)


def work(labelling: Labelling) -> Plot:
    """A work set as one bar."""
    done = labelling.marked["done"] + labelling.drawn
    parts = (
        ("labelled", done, GOOD),
        ("empty", labelling.marked["empty"], LINE),
        ("skipped", labelling.marked["skip"], OUT),
        ("waiting", len(labelling.waits), REST),
    )
    return _bar(parts)


def _bar(parts: Sequence[tuple[str, int, str]]) -> Plot:
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": f"{name} {n}",
            "x": [n],
            "y": [""],
            "marker": {"color": colour},
            "hovertemplate": f"{n} {name}<extra></extra>",
        }
        for name, n, colour in parts
    ]
    layout = {
        **_layout(76),
        "barmode": "stack",
        "showlegend": True,
        "margin": {"l": 4, "r": 4, "t": 4, "b": 40},
        "xaxis": {"visible": False, "fixedrange": True},
        "yaxis": {"visible": False, "fixedrange": True},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": -0.15,
            "yanchor": "top",
            "font": {"color": INK, "size": 12},
            "traceorder": "normal",
        },
    }
    return {"data": data, "layout": layout, "config": QUIET}


def curve(points: Sequence[Point]) -> Plot:
    """mAP50 on val over the scenes that each round's model learned from, with 95 % intervals; one line for each modality."""
    modalities = list(dict.fromkeys(name for one in points for name in one.estimates))
    data = []
    for modality, colour in zip(modalities, (LINE, OTHER), strict=False):
        there = [one for one in points if modality in one.estimates]
        known = [one for one in there if one.estimates[modality].value is not None]
        values = [one.estimates[modality].value or 0.0 for one in known]
        lows = [_or(one.estimates[modality].low, value) for one, value in zip(known, values, strict=True)]
        highs = [_or(one.estimates[modality].high, value) for one, value in zip(known, values, strict=True)]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers+text",
                "name": modality.upper(),
                "x": [one.scenes for one in known],
                "y": values,
                "text": [one.round for one in known],
                "textposition": "top left",
                "textfont": {"color": INK, "size": 12},
                "line": {"color": colour, "width": 2},
                "marker": {"size": 8},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high - value for high, value in zip(highs, values, strict=True)],
                    "arrayminus": [value - low for low, value in zip(lows, values, strict=True)],
                    "color": colour,
                    "thickness": 1.5,
                    "width": 5,
                },
                "hovertemplate": "%{text}: %{y:.3f}, learned from %{x} scenes<extra></extra>",
            }
        )
    axis = {"gridcolor": GRID, "zeroline": False, "color": INK, "fixedrange": True}
    layout = {
        **_layout(250),
        "margin": {"l": 52, "r": 12, "t": 12, "b": 44},
        "showlegend": len(modalities) > 1,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"color": INK}},
        "xaxis": {**axis, "title": {"text": "scenes learned from"}, "rangemode": "tozero"},
        "yaxis": {**axis, "title": {"text": "mAP50 on val"}, "rangemode": "tozero"},
    }
    return {"data": data, "layout": layout, "config": QUIET}


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _layout(height: int) -> Plot:
    return {
        "width": WIDTH,
        "height": height,
        "autosize": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK},
        "dragmode": False,
    }
