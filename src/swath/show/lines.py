"""Lines, notes and tables on standard output: what screens are made of."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from swath.records.batch import Left
from swath.show.bars import clear_all
from swath.words import UNKNOWN, printable

FEW, SOME, MANY = 5, 10, 20  # lines of a list that are shown
NARROW: Final = 100  # columns of a terminal below which tables are packed


def console() -> Console:
    """Writes to whatever standard output is now (with `--json`, that is standard error), where no bar is in the way."""
    clear_all()
    wide = None if sys.stdout.isatty() else 140
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty(), width=wide)


def line(text: str) -> None:
    """One line; in a terminal that is too narrow its rest is indented, but a command stays in one piece, to be copied."""
    to, text = console(), printable(text)
    if to.soft_wrap or "`" in text:
        to.print(escape(text), soft_wrap=True)
        return
    start = " " * (len(text) - len(text.lstrip()))
    wrapped = textwrap.wrap(
        text,
        max(to.width, 40),
        subsequent_indent=f"{start}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    to.print(escape("\n".join(wrapped)), soft_wrap=True)


def marked(text: str) -> None:
    """One line that holds markup; what comes from elsewhere is escaped in it (`cell`)."""
    console().print(text, soft_wrap=True)


def note(text: str) -> None:
    marked(f"  [yellow]note:[/yellow] {cell(text)}")


def kept(settings: Mapping[str, object]) -> None:
    """Says which settings a command changed for good, if any."""
    if settings:
        listed = ", ".join(f"{name} = {new}" for name, new in settings.items())
        note(f"kept for the rounds that follow: {listed}")


def notes(lines: Iterable[str]) -> None:
    for one in lines:
        note(one)


def first(lines: Sequence[str], most: int, indent: str = "    ") -> None:
    """The first `most` of `lines`, and how many more there are."""
    for one in lines[:most]:
        line(f"{indent}{one}")
    if len(lines) > most:
        line(f"{indent}... and {len(lines) - most} more (--json lists all)")


def table(titles: Mapping[str, str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """`titles`: column -> "left" or "right". Cells hold markup of their own: `cell` escapes them."""
    to = console()
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    made.collapse_padding = to.width < NARROW
    for name, side in titles.items():
        justify: Literal["left", "right"] = "right" if side == "right" else "left"
        made.add_column(name, justify=justify, overflow="fold", min_width=len(name))
    for row in rows:
        made.add_row(*row)
    to.print(made)


def cell(value: object) -> str:
    """`value` as text of a table or a marked line, without markup or commands of its own."""
    return UNKNOWN if value is None else escape(printable(str(value)))


def verdict(word: str | None) -> str:
    """A verdict in its colour: a `block` must not look like a `pass`."""
    colour = {"pass": "green", "block": "red", "cancelled": "red", "warn": "yellow"}.get(word or "")
    return f"[{colour}]{word}[/{colour}]" if colour else cell(word)


def _places(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The folder that all of `paths` are in, and their names in it; "" where there is no such folder."""
    there = [str(Path(path).parent) for path in paths if path]
    folder = os.path.commonpath(there) if there and all(map(os.path.isabs, there)) else ""
    if len(folder) < 2:
        return "", list(paths)
    return folder, [os.path.relpath(path, folder) if path else "" for path in paths]


def pictures_of(paths: Sequence[str]) -> list[str]:
    """Names of pictures, after a line that says where they are."""
    folder, names = _places(paths)
    if folder:
        line(f"  pictures are in {folder}")
    return names


def quarantine(rejected: Sequence[Left]) -> None:
    """Labels that were left out, and why."""
    if rejected:
        line(f"  {len(rejected)} labels are in quarantine:")
        first([f"{one.scene} ({one.modality}) {one.where}: {one.reason}" for one in rejected], SOME)
