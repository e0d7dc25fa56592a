"""The drift charts of the report: where they put what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from some_records import golden
from swath.records.batch import Deviation, GoldenChecked
from swath.report import drift


def check(name: str, mean: float, **more: Any) -> GoldenChecked:
    one = Deviation(
        unit="m",
        objects=40,
        mean=mean,
        low=mean - 0.01,
        high=mean + 0.01,
        tolerance=0.05,
        margin=0.02,
        **more,
    )
    return golden(name, measures={"3d up": one})


def test_a_dot_for_each_check_within_its_band() -> None:
    """Rounds from left to right, higher values higher, the band from minus to plus the tolerance."""
    (chart,) = drift.data([check("v0", 0.0), check("v1", 0.04), golden("v2"), check("v3", 0.02)])
    assert [dot.round for dot in chart.dots] == ["v0", "v1", "v3"]
    assert chart.dots[0].x < chart.dots[1].x < chart.dots[2].x
    assert chart.dots[2].x - chart.dots[1].x == pytest.approx(
        2 * (chart.dots[1].x - chart.dots[0].x), abs=0.3
    )
    assert chart.dots[1].y < chart.dots[2].y < chart.dots[0].y
    assert chart.band == (chart.frame.at_y(0.05), chart.frame.at_y(-0.05))
    assert not any(dot.beyond for dot in chart.dots)


def test_what_is_beyond_the_band_or_moved_is_marked() -> None:
    """An interval that reaches into the band is within; one that moved beyond its margin is not, and a change without an interval
    says nothing."""
    moved = {"change": -0.04, "change_low": -0.05, "change_high": -0.03}
    (chart,) = drift.data(
        [
            check("v0", 0.07),
            check("v1", -0.07),
            check("v2", 0.055),
            check("v3", 0.0, **moved),
            check("v4", 0.0, change=0.9),
        ]
    )
    assert [dot.beyond for dot in chart.dots] == [True, True, False, True, False]


def test_names_are_escaped_and_nothing_is_drawn_of_nothing() -> None:
    """A round's name cannot leave its place; without measures there is no section; the last check is told in numbers."""
    assert drift.html([]) == drift.html([golden("v0")]) == ""
    page = drift.html(
        [check("<b>", 0.0), check("v1", 0.02, change=0.02, change_low=0.01, change_high=0.03, paired=38)]
    )
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert page.count("<circle") == 2
    assert '<td class="n" data-th="same objects">38</td>' in page
    assert "+0.01 m – +0.03 m" in page


def test_what_was_measured_twice_has_a_table_of_its_own() -> None:
    """Against the reference every measure has a row, whatever the earlier rounds were; every cell names its column, for phones."""
    alone, twice = (drift.html([check("v0", 0.02, **more)]) for more in ({}, {"change": 0.01, "paired": 9}))
    assert (alone.count("<table"), twice.count("<table")) == (1, 2)
    assert "Since earlier rounds" not in alone
    assert twice.count("<td ") == twice.count("data-th=") == 12
