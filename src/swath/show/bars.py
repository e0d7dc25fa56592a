"""Progress on standard error, of what takes longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from swath.words import printable

PATIENCE: Final = 1.0  # seconds before a bar shows: short work stays quiet
EVERY: Final = 5.0  # seconds between lines where no bar can be drawn
Tick = Callable[[int, int], None]


class Bars:
    """Progress on standard error of whatever takes longer than a second: a bar that leaves nothing behind, or a line now and
    then where that is no terminal. One at a time: what was begun before is over."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._bar: Progress | None = None
        self._of: str | None = None

    def __call__(self, title: str) -> Tick:
        """Begins `title`; returns what is told how many are done, and of how many."""
        self.clear()
        started = said = time.monotonic()
        # When the first were done, and how many: before, much is made ready.
        first: tuple[float, int] | None = None

        def tick(done: int, of: int) -> None:
            nonlocal said, first
            now = time.monotonic()
            if done and first is None:
                first = now, done
            if done >= of:
                self.clear()
            elif self._live:
                if now - started >= PATIENCE:
                    self._draw(title, done, of)
            elif now - said >= EVERY:
                said = now
                left = _left(now - first[0], done - first[1], of - done) if first else ""
                print(f"{title}: {done} of {of}{left}", file=sys.stderr, flush=True)

        return tick

    def _draw(self, title: str, done: int, of: int) -> None:
        if self._bar is None or self._of != title:
            self.clear()
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
            )
            err = Console(stderr=True)
            self._bar = Progress(
                *columns, console=err, transient=True, redirect_stdout=sys.stdout.isatty()
            )  # what goes to a file must not end in the terminal
            self._bar.add_task(escape(title), total=of)
            self._of = title
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=of)

    def clear(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """A line about what is going on, on standard error."""
        self.clear()
        print(f"swath: {printable(text)}", file=sys.stderr, flush=True)


_OPEN: Final[list[Bars]] = []


def _left(seconds: float, done: int, more: int) -> str:
    """`, 2 min left`, if what is left goes on as what was done in these seconds."""
    if not done:
        return ""
    rest = seconds / done * more
    return f", {rest:.0f} s left" if rest < 100 else f", {rest / 60:.0f} min left"


@contextmanager
def progress() -> Iterator[Bars]:
    """Bars for as long as it lasts; none is left, whatever it ends with."""
    bars = Bars()
    _OPEN.append(bars)
    try:
        yield bars
    finally:
        _OPEN.remove(bars)
        bars.clear()


def clear_all() -> None:
    """Takes every bar away: something is about to be printed."""
    for bars in _OPEN:
        bars.clear()
