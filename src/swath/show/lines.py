"""Lines, notes and tables on standard output: what screens are made of."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Final, Literal, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from swath.records.batch import Left
from swath.show.bars import clear_all
from swath.words import UNKNOWN, printable

FEW, SOME, MANY = 5, 10, 20  # lines of a list that are shown
COMMAND: Final = re.compile(r"`[^`]*`")
UNBROKEN: Final = "\N{NO-BREAK SPACE}"
NARROW: Final = 100  # columns of a terminal below which tables are packed


INTO: Final[ContextVar[TextIO | None]] = ContextVar("into", default=None)
"""Where text goes instead of standard output, while somebody collects it."""


def console() -> Console:
    """Writes to whatever standard output is now (with `--json`, that is standard error), where no bar is in the way."""
    if (into := INTO.get(None)) is not None:
        return Console(file=into, highlight=False, soft_wrap=True, width=140)
    clear_all()
    wide = None if sys.stdout.isatty() else 140
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty(), width=wide)


def line(text: str, hang: int = 4) -> None:
    """One line; in a terminal that is too narrow its rest hangs below, `hang` columns further in than it begins. A command stays
    in one piece, to be copied."""
    marked(escape(_wrapped(printable(text), hang)))


def marked(text: str) -> None:
    """Prints text that holds markup; what comes from elsewhere is escaped in it (`cell`)."""
    console().print(text, soft_wrap=True)


def note(text: str) -> None:
    told = _wrapped(f"  note: {printable(text)}", 4)
    marked(escape(told).replace("note:", "[yellow]note:[/yellow]", 1))


def _wrapped(text: str, hang: int) -> str:
    """`text` in lines that fit the terminal, if it is one; what stands between backticks is not broken."""
    to = console()
    if to.soft_wrap:
        return text
    start = " " * (len(text) - len(text.lstrip()) + hang)
    whole = COMMAND.sub(lambda found: found[0].replace(" ", UNBROKEN), text)
    wrapped = textwrap.wrap(
        whole,
        max(to.width, 40),
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(wrapped).replace(UNBROKEN, " ")


def kept(settings: Mapping[str, object]) -> None:
    """Says which settings a command changed for good, if any."""
    if settings:
        listed = ", ".join(f"{name} = {new}" for name, new in settings.items())
        note(f"kept for the rounds that follow: {listed}")


def notes(lines: Iterable[str]) -> None:
    for one in lines:
        note(one)


def first(lines: Sequence[str], most: int, indent: str = "    ", rest: str = "--json lists all") -> None:
    """The first `most` of `lines`, how many more there are, and what lists them."""
    for one in lines[:most]:
        line(f"{indent}{one}")
    if len(lines) > most:
        line(f"{indent}... and {len(lines) - most} more: {rest}")


def table(titles: Mapping[str, str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """`titles`: column -> "left", or, never broken: "right", "whole" (left). Cells hold markup of their own: `cell` escapes
    them."""
    to = console()
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    made.collapse_padding = to.width < NARROW
    for name, side in titles.items():
        justify: Literal["left", "right"] = "right" if side == "right" else "left"
        whole = side != "left"
        made.add_column(name, justify=justify, overflow="fold", min_width=len(name), no_wrap=whole)
    for row in rows:
        made.add_row(*row)
    to.print(made)


def cell(value: object) -> str:
    """`value` as text of a table or a marked line, without markup or commands of its own."""
    return UNKNOWN if value is None else escape(printable(str(value)))


def verdict(word: str | None) -> str:
    """A verdict in its colour: a `block` must not look like a `pass`."""
    style = {
        "pass": "green",
        "block": "bold red",
        "cancelled": "red",
        "warn": "yellow",
        "stop": "bold yellow",
    }
    found = style.get(word or "")
    return f"[{found}]{word}[/{found}]" if found else cell(word)


def _places(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The folder that all of `paths` are in, and their names in it; "" where there is no such folder."""
    there = [str(Path(path).parent) for path in paths if path]
    folder = os.path.commonpath(there) if there and all(map(os.path.isabs, there)) else ""
    if len(folder) < 2:
        return "", list(paths)
    return folder, [os.path.relpath(path, folder) if path else "" for path in paths]


def pictures_of(scenes: Mapping[str, str]) -> dict[str, str]:
    """scene -> name of its picture, after a line that says where they are; nothing where they are called like their scenes."""
    folder, names = _places(list(scenes.values()))
    endings = {Path(name).suffix for name in names if name}
    ending = endings.pop() if len(endings) == 1 else None
    if folder and all(name in ("", f"{scene}{ending}") for scene, name in zip(scenes, names, strict=True)):
        line(f"  pictures: {folder}/SCENE{ending}")
        return {}
    if folder:
        line(f"  pictures are in {folder}")
    return dict(zip(scenes, names, strict=True))


def quarantine(rejected: Sequence[Left]) -> None:
    """Labels that were left out, and why."""
    if rejected:
        line(f"  {len(rejected)} labels are in quarantine:")
        first([f"{one.scene} ({one.modality}) {one.where}: {one.reason}" for one in rejected], SOME)
