"""Every command that a message suggests runs as it is copied: it exists, has these options, and lacks none that it needs."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from swath import suggest
from swath.cli import app
from swath.life import STEPS

ROOT = Path(__file__).parents[1] / "src" / "swath"
QUOTED = re.compile(r"`(swath [^`]*)`")
FILLED = "filled"  # what stands in an f-string, or is an argument that the program alone knows
VALUES = {"N": "3"}
NUMBERS = ("--rounds",)  # options whose value the program fills in, and that take a number


class Suggested(NamedTuple):
    where: str
    text: str


def docstrings(tree: ast.AST) -> set[int]:
    """Ids of the strings that are documentation: they speak of commands, and suggest none."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def told(node: ast.AST) -> str | None:
    """The text of a string or an f-string; what is filled in at run time is a word."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(told(one) or FILLED for one in node.values)
    return None


def quoted() -> Iterator[Suggested]:
    """Commands between backticks in any string of swath's."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        prose = docstrings(tree)
        within = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree):
            if id(node) not in prose | within and (text := told(node)):
                for found in QUOTED.findall(text):
                    yield Suggested(f"{path.relative_to(ROOT)}:{node.lineno}", found)  # type: ignore[attr-defined]


def called() -> Iterator[Suggested]:
    """What the calls of `suggest.command` and `suggest.init` give; arguments that are no literals are words."""
    for path in sorted(ROOT.rglob("*.py")):
        if path.stem == "suggest":
            continue
        tree = ast.parse(path.read_text())
        names = {
            alias.asname or alias.name: alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "swath.suggest"
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and names.get(ast.unparse(node.func)) in ("command", "init"):
                arguments = [told(one) or FILLED for one in node.args if not isinstance(one, ast.Starred)]
                if arguments[0] == FILLED and names[ast.unparse(node.func)] == "command":
                    arguments[0] = "status"  # a step that is known at run time alone: see `STEPS`
                made = getattr(suggest, names[ast.unparse(node.func)])(*arguments)
                yield Suggested(f"{path.relative_to(ROOT)}:{node.lineno}", made)


def ways() -> Iterator[Suggested]:
    for step in (*STEPS, suggest.ADJUDICATE, None):
        for people in (False, True):
            for last in (None, "v0"):
                for way in suggest.ways_on(step, people, "a name", last):
                    yield Suggested(f"ways_on({step}, {people}, {last})", way)


def parse(text: str) -> dict[str, Any]:
    """The parameters of a command line, as the real parser reads them; raises what it cannot take."""
    words = [VALUES.get(word, word) for word in shlex.split(text)]
    words = ["3" if before in NUMBERS else word for before, word in zip(["", *words], words, strict=False)]
    command: Any = typer.main.get_command(app)
    context = command.make_context("swath", [], resilient_parsing=True)
    rest = words[1:]
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        given = [] if hasattr(command, "resolve_command") else rest
        lenient = hasattr(command, "resolve_command")
        context = command.make_context(name, list(given), parent=context, resilient_parsing=lenient)
    return dict(context.params)


@pytest.mark.parametrize("one", [*quoted(), *called(), *ways()], ids=lambda one: f"{one.where} {one.text}")
def test_a_suggested_command_can_be_typed(one: Suggested) -> None:
    """The parser takes it: command and options are there, and so is all that is required; it names its dataset, though one may be
    left out where there is one loop."""
    try:
        given = parse(one.text)
    except Exception as error:
        pytest.fail(f"{one.where}: `{one.text}`: {type(error).__name__}: {error}")
    assert given.get("dataset", "") is not None, f"{one.where}: `{one.text}` names no dataset"


def test_the_parser_is_the_real_one() -> None:
    """What it refuses: a command that is not there, an option that is not there, a reason that is missing."""
    assert parse("swath round close v0 --return-missing --dataset 'a name'")["dataset"] == "a name"
    for wrong in (
        "swath lunch",
        "swath round eat v0 --dataset a",
        "swath select --what --dataset a",
        "swath round cancel v0 --dataset a",
        "swath explain --dataset a",
        "swath select --budget many --dataset a",
    ):
        with pytest.raises(Exception, match=r"\w"):
            parse(wrong)


def test_names_are_quoted() -> None:
    """A dataset with a space is one word of the command."""
    made = suggest.command("round reopen", "my drives", "v0", "--reason", "it's late")
    assert shlex.split(made) == [
        *("swath", "round", "reopen", "v0", "--reason", "it's late", "--dataset", "my drives")
    ]
    assert suggest.init("my drives", "--kitti", "DIR") == "swath init 'my drives' --kitti DIR"


def test_there_are_suggestions() -> None:
    """The search finds them: messages of the life of a batch, and of the edges."""
    found = [one.where.split(":")[0] for one in (*quoted(), *called())]
    assert len(found) > 15
    assert {"life.py", "show/looking.py"} <= set(found)
