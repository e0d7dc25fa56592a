"""Results as people read them in a terminal: short tables, the numbers that matter, what to do next.

    lines bars    what screens are made of, and progress beside the work
    given         what commands give back besides results of steps; `result` prints any of them
    beginning batches verdicts looking backtests

The last line has one function per record; `result` finds it by the record's type.
"""

from swath.show import backtests, batches, beginning, looking, verdicts  # noqa: F401 (they register with `result`)
from swath.show.bars import Bars, progress
from swath.show.beginning import ask_each, decisions_of
from swath.show.given import Did, Finished, Gated, MadeWorld, Ran, Reported, Selected, result
from swath.show.lines import kept, line, note
from swath.show.looking import step, told

__all__ = [
    "Bars",
    "Did",
    "Finished",
    "Gated",
    "MadeWorld",
    "Ran",
    "Reported",
    "Selected",
    "ask_each",
    "decisions_of",
    "kept",
    "line",
    "note",
    "progress",
    "result",
    "step",
    "told",
]
