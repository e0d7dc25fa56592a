"""What a terminal shows: every record has its function, bars leave nothing behind, names cannot command a terminal."""

from __future__ import annotations

import os
import pty
import re
import sys
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest

from some_records import golden
from swath import cli, show
from swath.backtest import Ask
from swath.loop import Loop
from swath.records import batch, results
from swath.records.assignment import Assignment
from swath.records.backtest import BacktestResult
from swath.records.base import Estimate, Record
from swath.records.batch import (
    Axis,
    ClassFigures,
    Criterion,
    Evaluated,
    Failure,
    Figures,
    Finding,
    Gain,
    GoldenChecked,
    Graded,
    Left,
    Mode,
    OperatingPoint,
    Stopped,
)
from swath.records.manifest import BatchSize
from swath.records.results import (
    BatchResult,
    BatchScene,
    Choice,
    EvaluateResult,
    ExplainedFinding,
    ExplainedRound,
    ExplainResult,
    FetchResult,
    Pool,
    RoundStatus,
    SendResult,
    Status,
)
from swath.records.shown import Next
from swath.report import Look
from swath.show import lines
from swath.words import counts, estimated, interval, number, percent, printable, ranked


def given_back() -> Iterator[Any]:
    """Every record that a public method of `Loop` gives back."""
    names = {**vars(results), **vars(batch), "Next": Next, "Ask": Ask, "BacktestResult": BacktestResult}
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
        monkeypatch.setattr(lines, "console", lambda to=console: to)
        with console.capture() as drawn:
            show.result(golden(verdict=verdict))
        assert re.search(rf"\x1b\[(1;)?{colour}m{verdict}", drawn.get())


def test_pictures_are_named_once_by_their_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """A table of a batch says where the pictures are once; then their names, unless they are called like their scenes."""
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
    assert told.count(".png") == 1
    assert "  pictures: /a/very/long/way/down/SCENE.png\n" in told
    assert re.search(r"two +coverage +2 +selected \(left 3 labels\) +why *\n", told)
    assert "picture\n" not in told
    other = scenes[0].with_(picture="/a/very/long/way/up/other.png")
    told = said(capsys, one.with_(scenes=(other, scenes[1])))
    assert told.count("/a/very/long/way") == 1
    assert re.search(r"one +coverage +1 +selected \(left 3 labels\) +why +up/other\.png", told)


# ---------------------------------------------------------------------- one screen

WIDTH, HEIGHT = 80, 24


def drawn(monkeypatch: pytest.MonkeyPatch, value: Record, colours: bool = False) -> list[str]:
    """The lines of a terminal of 80 columns."""
    from rich.console import Console

    to = Console(force_terminal=True, color_system="standard" if colours else None, width=WIDTH)
    monkeypatch.setattr(lines, "console", lambda: to)
    with to.capture() as shown:
        show.result(value)
    return shown.get().splitlines()


def long_status() -> Status:
    """A loop of 14 rounds."""
    rounds = tuple(
        RoundStatus(
            round=f"v{n}",
            state="closed" if n < 13 else "annotating",
            batch=BatchSize(budget=1200, size=1200, coverage=360, targeted=840),
            annotated=1200 if n < 13 else 311,
            map=0.3123 if n < 13 else None,
            map50=0.5211 if n < 13 else None,
            golden=("pass", "warn", "not enough evidence")[n % 3] if n < 13 else None,
            decision="continue" if n < 13 else None,
            map_range=(0.2211, 0.4012) if n < 13 else None,
            map50_range=(0.4, 1.0) if n < 13 else None,
        )
        for n in range(14)
    )
    return Status(
        dataset="drives",
        scenes=40_000,
        slices={"left": 40_000, "pcd": 40_000, "right": 40_000},
        splits={"test": 6000, "val": 6000, "golden": 2000, "pool": 26_000},
        pool=Pool(total=26_000, selected=889, annotated=15_911, unlabeled=9200),
        rounds=rounds,
        next=Next("fetch", "889 scenes of v13 wait for labels"),
        set_aside=12,
        held_by="process 4242 on a-host-with-a-name (fetch)",
    )


def long_golden() -> GoldenChecked:
    """Two kinds of labels, four axes each."""
    axis = Axis(
        errors=112, trials=1140, accepted=0.05, rate=0.1, low=0.08, high=0.1234, p_value=0, detectable=0.1
    )
    names = [f"{modality} {name}" for modality in ("2d", "3d") for name in ("miss", "extra", "swap", "shift")]
    why = "2d miss: 112 of 1140 (9.8 %) is above the accepted 5.0 %: p 0.00001, after Holm's correction for 8 tests"
    return golden(verdict="block").with_(
        axes=dict.fromkeys(names, axis), reasons=(why, why.replace("2d", "3d"))
    )


def long_evaluation() -> EvaluateResult:
    """Two models, twelve classes, all that can be said of them, and failures."""
    known = Estimate(value=0.5, low=0.25, high=0.75)
    one = ClassFigures(references=1234, predictions=2000, ap=known, ap50=known)
    figures = Figures(
        map=known,
        map50=known,
        classes={f"Class{n}": one for n in range(12)},
        operating=OperatingPoint(threshold=0.29, precision=0.5, recall=0.5, f1=0.5),
        errors={"background": 101, "location": 1100, "class": 12, "duplicate": 3, "missed": 2801},
        gain=Gain(
            over="v2", scenes=900, drives=120, map=Estimate(value=0.03, low=-0.01, high=0.07), map50=known
        ),
        mending={"location": 0.1, "missed": 0.2, "background": 0.05, "class": 0.01},
        modes=(Mode(name="Person_sitting, 30 to 50 m, visible", objects=120, missed=80, before=0.7),) * 3,
        volume={"map": known, "map50": known},
        kitti=tuple(
            Graded(by="3d", name=name, difficulty=difficulty, objects=100, ap=0.5)
            for name in ("Car", "Pedestrian", "Cyclist")
            for difficulty in ("easy", "moderate", "hard")
        ),
    )
    failure = Failure(
        key="000010",
        kinds=("high_fn",),
        fn=10,
        fp=3,
        evidence=9.0,
        missed={"Car": 8, "Bus": 2},
        false={"Car": 3},
    )
    record = Evaluated(
        round="v3",
        on="val",
        scenes=900,
        figures={"2d": figures.with_(volume={}), "3d": figures},
        notes=(
            "val is evaluated and mined for the 4. time: a claim about gain needs the final evaluation, on test",
        ),
    )
    return EvaluateResult(record=record, failures=(failure,) * 300)


def long_decision() -> Stopped:
    why = "gains 0.004 (-0.010 to 0.020) over 3 rounds, below 0.010; next batch: 0.003 expected (power law over 6 rounds)"
    criteria = {
        name: Criterion(stop=says, why=why)
        for name, says in (("target", None), ("plateau", True), ("pool", False))
    }
    return Stopped(round="v6", decision="stop", why=why, criteria=criteria)


def long_explanation() -> ExplainResult:
    """A golden scene of many rounds, one of three opinions."""
    finding = Finding(
        scene="000005", modality="2d", rule="size", severity="warning", evidence="3 px high", channel="left"
    )
    rows = tuple(
        Assignment(
            round="reference", key="000005", role="reference", channel="left", slot=slot, split="golden",
            annotator="a", state="labeled", count=3 - slot,
        )
        for slot in range(3)
    )  # fmt: skip
    return ExplainResult(
        scene="000005",
        id="6b0e53930e182d1115ac7e96",
        split="golden",
        sequence="drive_0003",
        status="annotated",
        tags=("split:golden",),
        media={
            "left": "/data/kitti/training/image_2/000005.png",
            "pcd": "/home/swath/clouds/000005-0d1ccb640f10.pcd",
        },
        rounds=tuple(
            ExplainedRound(
                round=f"v{n}",
                state="closed",
                chosen=None,
                answers=rows if n == 9 else (rows[0].with_(role="golden"),),
                modality_of={"left": "2d"},
            )
            for n in range(10)
        ),
        failures=(),
        findings=(ExplainedFinding(round="v3", finding=finding),) * 40,
    )


@pytest.mark.parametrize(
    "made",
    [long_status, long_golden, long_evaluation, long_decision, long_explanation],
    ids=lambda made: made.__name__,
)
def test_a_screen_is_enough(made: Callable[[], Record], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long loop too, each of these fits 80 columns and 24 lines, the prompt included; what is left out is counted."""
    shown = drawn(monkeypatch, made())
    assert len(shown) < HEIGHT, "\n".join(shown)
    assert max(map(len, shown)) <= WIDTH, "\n".join(shown)


def test_what_is_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds, classes and findings that do not fit are counted, and what lists them is named."""
    status, evaluation, explanation = (
        "\n".join(drawn(monkeypatch, made())) for made in (long_status, long_evaluation, long_explanation)
    )
    assert "... and 7 earlier rounds: --json lists all" in status
    assert evaluation.count("... and 10 more classes: --json lists all") == 2
    assert "... and 5 earlier rounds: --json lists all" in explanation
    assert "... and 35 more: --json lists all" in explanation


def test_status_has_intervals_and_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round's figures come with the ends of their intervals; the last line can be typed."""
    shown = drawn(monkeypatch, long_status())
    assert any(
        re.search(r"v12 +closed +1200/1200 +840 +0\.312 \(\.22-\.40\) +0\.521 \(\.40-1\.00\)", one)
        for one in shown
    )
    assert shown[-1] == "    `swath fetch --dataset drives`"


def test_an_explanation_speaks_of_a_drive_and_of_the_consensus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The field's word for a drive is not said twice; of several opinions it is said that their consensus counts."""
    told = "\n".join(drawn(monkeypatch, long_explanation()))
    assert told.startswith("000005: split golden, annotated, drive 0003\n")
    assert "left (2d) 3 opinions by a: 3, 2, 1 labels; their consensus is what counts" in told
    assert "v8 (closed): sent blind, as a golden scene" in told


def test_no_colour_where_nobody_sees_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe there is no escape at all; a terminal with NO_COLOR gets the word of a verdict without its colour."""
    show.result(long_golden())
    show.result(long_status())
    assert "\x1b" not in capsys.readouterr().out
    assert any("\x1b[1;31mblock" in one for one in drawn(monkeypatch, long_golden(), colours=True))
    monkeypatch.undo()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any("31m" in one for one in drawn(monkeypatch, long_golden(), colours=True))


HOSTILE = "\x1b[2Jname\nswath: done\x07"


def test_a_name_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes, bells and line ends of a file's name are replaced, in lines, notes and tables."""
    bad = Left(scene=HOSTILE, modality="2d", where=HOSTILE, reason="[bold]why[/bold]")
    lines.quarantine([bad])
    show.note(HOSTILE)
    lines.table({"name": "left"}, [(lines.cell(HOSTILE),)])
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
show.bars.PATIENCE = 0.0

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
    monkeypatch.setattr(lines, "console", lambda: console)
    with console.capture() as drawn:
        show.line("  " + "word " * 20)
        show.line("  next: `swath round reopen v0 --reason REASON --dataset drives`")
        lines.table({"coverage": "right", "reason": "left"}, [("3", "because " * 12)])
    told = drawn.get().splitlines()
    assert told[0].startswith("  word")
    assert told[1].startswith("      word")
    assert any(one.endswith(" `swath round reopen v0 --reason REASON --dataset drives`") for one in told)
    assert any(line.startswith("coverage reason") for line in told)


def test_kittis_figures_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its three classes at moderate, of a cloud by volumes; without flags in the reference nothing is said of it."""
    value = long_evaluation()
    told = "\n".join(drawn(monkeypatch, value))
    assert told.count("by KITTI's rules, moderate, volumes: Car 0.50, Pedestrian 0.50, Cyclist 0.50") == 2
    bare = {"2d": value.record.figures["2d"].with_(kitti=())}
    alone = value.with_(record=value.record.with_(figures=bare))
    assert "KITTI" not in "\n".join(drawn(monkeypatch, alone))


def test_time_left_is_of_what_came_after_the_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes ready for the first is not counted for each: after 30 seconds and one done, then one each second, 8 more take 8."""
    now = [0.0]
    monkeypatch.setattr(show.bars.time, "monotonic", lambda: now[0])
    tick = show.bars.Bars()("train")
    for now[0], done in ((30.0, 1), (31.0, 2), (36.0, 7)):
        tick(done, 15)
    assert capsys.readouterr().err.splitlines() == ["train: 1 of 15", "train: 7 of 15, 8 s left"]
