"""What a terminal shows: every record has its function, bars leave nothing behind, names cannot command a terminal."""

from __future__ import annotations

import os
import pty
import re
import sys
from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest

from some_records import golden
from swath import cli, show
from swath.loop import Loop
from swath.records import batch, results
from swath.records.base import Estimate, Record
from swath.records.batch import Left
from swath.records.manifest import BatchSize
from swath.records.results import BatchResult, BatchScene, Choice, FetchResult, SendResult
from swath.records.shown import Next
from swath.report import Look
from swath.words import counts, estimated, interval, number, percent, printable, ranked


def given_back() -> Iterator[Any]:
    """Every record that a public method of `Loop` gives back."""
    names = {**vars(results), **vars(batch), "Next": Next}
    for name, method in vars(Loop).items():
        if callable(method) and not name.startswith("_"):
            hint = get_type_hints(
                method, globalns={**sys.modules[Loop.__module__].__dict__, **names, "Look": Look}
            )
            of = hint.get("return")
            for one in get_args(of) if isinstance(of, UnionType) else (of,):
                if isinstance(one, type) and issubclass(one, Record):
                    yield one


def test_every_result_of_the_loop_is_shown() -> None:
    """`show.result` has a function of its own for each record that the loop gives back (`swath run` shows the status)."""
    found = set(given_back()) - {results.RunResult, Record}
    assert len(found) > 15
    assert {one for one in found if one not in show.result.registry} == set()


def test_a_record_that_nobody_shows() -> None:
    """A record without a function is an error that names it, not an empty screen."""
    with pytest.raises(TypeError, match="nothing shows a Estimate"):
        show.result(Estimate())


def said(capsys: pytest.CaptureFixture[str], value: Record) -> str:
    show.result(value)
    return capsys.readouterr().out


def test_who_waits_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The first five of those that wait are named, and how many more there are."""
    fetched = FetchResult(
        dataset="d",
        batch="v0",
        annotator="files",
        state="annotating",
        states={"unreviewed": 7},
        labels={},
        waiting=7,
        waits_for=tuple("abcdefg"),
    )
    assert "7 scenes wait for labels: a, b, c, d, e (+2 more)\n" in said(capsys, fetched)
    few = fetched.with_(waiting=2, waits_for=("a", "b"))
    assert "2 scenes wait for labels: a, b\n" in said(capsys, few)


def test_where_the_work_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A receipt's folder is shown; an annotator without one has none."""
    sent = SendResult(dataset="d", batch="v0", annotator="x", tasks=3, sent_before=False)
    assert "the work is in" not in said(capsys, sent)
    told = said(capsys, sent.with_(receipt={"folder": "/work set/v0", "without_calibration": 2}))
    assert "the work is in /work set/v0\n" in told
    assert "2 scenes have no calibration" in told
    assert "`swath fetch --dataset d`" in told


def test_a_verdict_has_its_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a block is red and a pass is green."""
    from rich.console import Console

    for verdict, colour in (("pass", 32), ("block", 31), ("warn", 33)):
        console = Console(force_terminal=True, color_system="standard", width=100, record=True)
        monkeypatch.setattr(show, "console", lambda to=console: to)
        with console.capture() as drawn:
            show.result(golden(verdict=verdict))
        assert f"\x1b[{colour}m{verdict}" in drawn.get()


def test_pictures_are_named_once_by_their_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """A table of a batch says where the pictures are once, and then their names."""
    scenes = tuple(
        BatchScene(
            choice=Choice(key=key, stream="coverage", rank=i, score=1.0, reason="why"),
            status="selected",
            answers={"left": "3 labels", "pcd": "unreviewed"},
            picture=f"/a/very/long/way/down/{key}.png",
        )
        for i, key in enumerate(("one", "two"), 1)
    )
    size = BatchSize(budget=2, size=2, coverage=2)
    one = BatchResult(
        round="v0", state="annotating", size=size, scenes=scenes, golden=1, excluded=(), notes=()
    )
    told = said(capsys, one)
    assert told.count("/a/very/long/way/down") == 1
    assert re.search(r"two +coverage +2 +selected \(left 3 labels\) +why +two\.png", told)


HOSTILE = "\x1b[2Jname\nswath: done\x07"


def test_a_name_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes, bells and line ends of a file's name are replaced, in lines, notes and tables."""
    bad = Left(scene=HOSTILE, modality="2d", where=HOSTILE, reason="[bold]why[/bold]")
    show.quarantine([bad])
    show.note(HOSTILE)
    show.table({"name": "left"}, [(show._cell(HOSTILE),)])
    told = capsys.readouterr().out
    assert not set(told) & {"\x1b", "\x07"}
    assert "\nswath: done" not in told
    assert "[bold]why[/bold]" in told


def test_an_error_cannot_command_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """The line of an error is one line."""
    assert cli.Out(False).error(HOSTILE, 1) == 1
    assert capfd.readouterr().err.count("\n") == 1


# ---------------------------------------------------------------------- numbers


def test_how_numbers_read() -> None:
    """An interval is its two ends, and nothing where there is none; what is unknown is a dash; most come first where ranked."""
    known, bare = Estimate(value=0.5, low=0.25, high=0.75), Estimate(value=0.5)
    assert [interval(one) for one in (known, bare, Estimate(), None)] == ["0.25 – 0.75", "", "", ""]
    assert [estimated(one) for one in (known, bare, Estimate(), None)] == [
        "0.500 (0.250 to 0.750)",
        "0.500",
        "–",
        "–",
    ]
    assert (number(None), percent(None), percent(0.054), percent(0.5, 0)) == ("–", "–", "5.4 %", "50 %")
    assert ranked({"Car": 1, "Cyclist": 2, "Bus": 1}) == "2 Cyclist, 1 Bus, 1 Car"
    assert counts({"Car": 1, "Cyclist": 2}) == "1 Car, 2 Cyclist"
    assert (counts({}), ranked({})) == ("none", "none")
    assert printable("é\x1b\n\ud800x") == "é���x"


# ---------------------------------------------------------------------- bars

WORK = """
import sys, time
from swath import show
show.PATIENCE = 0.0

def work(bars, title, upto):
    tick = bars(title)
    for done in range(upto):
        tick(done, 10)
        time.sleep(0.02)

try:
    with show.progress() as bars:
        {body}
except ZeroDivisionError as error:
    print("ended", file=sys.stderr)
"""
BODIES = {
    "finished": "work(bars, 'first bar', 10); bars('x')(10, 10)",
    "raised": "work(bars, 'first bar', 5); 1 / 0",
    "another one": "work(bars, 'first bar', 5); work(bars, 'second bar', 5)",
    "a result in between": "work(bars, 'first bar', 5); show.line('a result'); work(bars, 'second bar', 5)",
    "somebody holds it": "work(bars, 'first bar', 5); bars.say('waiting for process 7')",
}


def screen(output: str) -> list[str]:
    """The lines that are left on a terminal that got `output`: carriage returns, erased lines and moves upwards obeyed."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b"):
            row = max(0, row - int(part[2:-1] or 1))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part[0] not in "\x1b\r":
            lines[row] = part if output else ""
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("body", BODIES)
def test_bars_leave_nothing_behind(body: str) -> None:
    """On a terminal a bar is drawn while there is work, and none is left on the screen, whatever it ends with."""
    child, terminal = pty.fork()
    if child == 0:  # in the terminal
        os.environ["TERM"] = "xterm"
        os.environ["COLUMNS"] = "100"
        os.execv(sys.executable, [sys.executable, "-c", WORK.format(body=BODIES[body])])
    output = b""
    try:
        while part := os.read(terminal, 65536):
            output += part
    except OSError:  # the other end is closed
        pass
    os.waitpid(child, 0)
    os.close(terminal)
    drawn = output.decode()
    assert "first bar" in drawn
    left = {"raised": ["ended"], "a result in between": ["a result"]}
    left["somebody holds it"] = ["swath: waiting for process 7"]
    assert screen(drawn) == left.get(body, [])


def test_what_is_held_is_said_where_no_bar_is(capfd: pytest.CaptureFixture[str]) -> None:
    """Where standard error is no terminal there are lines, and no escape."""
    with show.progress() as bars:
        bars("work")(1, 10)
        bars.say("waiting for process 7 on host (train), up to 30 s")
    told = capfd.readouterr().err
    assert told == "swath: waiting for process 7 on host (train), up to 30 s\n"


def test_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long lines go on with an indent, commands stay in one piece, and no title of a table is broken."""
    from rich.console import Console

    console = Console(force_terminal=True, color_system=None, width=50)
    monkeypatch.setattr(show, "console", lambda: console)
    with console.capture() as drawn:
        show.line("  " + "word " * 20)
        show.line("  next: `swath round reopen v0 --reason REASON --dataset drives`")
        show.table({"coverage": "right", "reason": "left"}, [("3", "because " * 12)])
    lines = drawn.get().splitlines()
    assert lines[0].startswith("  word")
    assert lines[1].startswith("      word")
    assert "  next: `swath round reopen v0 --reason REASON --dataset drives`" in lines
    assert any(line.startswith("coverage reason") for line in lines)
