"""The parts of the report, in the order of the page. To add one: a module here with a function that takes `Known` and returns
frozen values, a template of its name in `templates/`, and a line below."""

from __future__ import annotations

from typing import Final

from swath.report.known import Section
from swath.report.sections import (
    again,
    backtest,
    batches,
    curves,
    failures,
    findings,
    first,
    golden,
    leaks,
    map,
    modes,
    notes,
    rounds,
    scores,
    strata,
    targeting,
)

SECTIONS: Final = (
    Section("first", "Where we are", first.data),
    Section("rounds", "Rounds", rounds.data),
    Section("scores", "Scores", scores.data),
    Section("curves", "Curves", curves.data),
    Section("strata", "Strata", strata.data),
    Section("golden", "Golden check", golden.data),
    Section("targeting", "Targeting", targeting.data),
    Section("backtest", "Against chance", backtest.data),
    Section("failures", "Failures", failures.data),
    Section("modes", "Failure modes", modes.data),
    Section("batches", "Batches", batches.data),
    Section("map", "Map", map.data),
    Section("findings", "Checks", findings.data),
    Section("leaks", "Leaks", leaks.data),
    Section("notes", "Notes", notes.data),
    Section("again", "Reproduce", again.data),
)
