"""The command on a dataset: nothing of it changes, and mistakes are one line."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import pytest

import durable
import quick_loop
from run_cli import run_cli
from support import samples_of, watched
from swath.backtest import Ask
from swath.backtest.archive import read
from swath.loop import Loop
from swath.records.backtest import BacktestResult

pytestmark = pytest.mark.database
SMALL = Ask(("hybrid",), seeds=1, rounds=2, budget=6)


def test_the_dataset_stays_as_it_is(dataset_name: str, tmp_path: Path) -> None:
    """A backtest sends the database no command that writes: dataset, tags and journal are what they were; cells, models and the page
    are in its folder."""
    loop = quick_loop.at("ready", dataset_name)
    before = durable.everything(loop)
    with watched() as commands:
        found = Loop.open(dataset_name).backtest("ground_truth", SMALL, to=tmp_path / "b")
    assert commands.writes == []
    assert durable.differences(before, durable.everything(loop)) == []
    assert {one.name for one in (tmp_path / "b").iterdir()} == {
        "cells",
        "models",
        "backtest.html",
        "result.json",
    }
    assert BacktestResult.model_validate_json((tmp_path / "b" / "result.json").read_bytes()) == found
    page = (tmp_path / "b" / "backtest.html").read_text()
    assert found.sentences[0] in page
    assert found.parts["score"].scenes[0] > 0
    in_the_report(Loop.open(dataset_name), tmp_path / "b" / "result.json", found)


def in_the_report(loop: Loop, result: Path, found: BacktestResult) -> None:
    """The report asks for a backtest where none is in the dataset's folder, shows what the last one found with its curves, and says
    so where that cannot be read."""
    ask = f"swath backtest --from FIELD --dataset {loop.workspace.name}"
    assert ask in loop.report(result.parent / "report.html").read_text()
    kept = loop.workspace.home / "backtest" / "result.json"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(result.read_bytes())
    page = loop.report(result.parent / "report.html").read_text()
    assert found.sentences[0] in page
    assert page.count('class="curve arms"') == 3
    assert found.notes
    assert all(escape(note) in page for note in found.notes)
    kept.write_bytes(b"{")
    told = f"backtest/result.json cannot be read: make it anew with `{ask}`"
    assert told in loop.report(result.parent / "report.html").read_text()


def test_test_scenes_are_not_in_it(dataset_name: str) -> None:
    """The archive has pool, val and golden; boxes and cuboids are counted as a labeller would draw them; a scene without the field
    is left out, and said."""
    loop = quick_loop.at("ready", dataset_name)
    member = loop.workspace.membership()
    gone = loop.workspace.members("pool")[0]
    samples_of(loop).update_many({"scene_key": gone}, {"$unset": {"ground_truth": 1}})
    archive = read(Loop.open(dataset_name).workspace, ["ground_truth"])
    assert {member[key] for key in archive.keys} == {"pool", "val", "golden"}
    assert set(archive.keys) == {key for key, split in member.items() if split != "test"} - {gone}
    assert archive.boxes.tolist() == archive.counts.sum(axis=1).tolist() == archive.cuboids.tolist()
    assert archive.notes == ("1 scenes have no labels in ground_truth: left out",)


def test_by_command_and_again(dataset_name: str, tmp_path: Path) -> None:
    """`--json` is the result; run again with two processes it is the same, from the cells that are there; the screen ends with the
    sentence and the page."""
    quick_loop.at("ready", dataset_name)
    words = ["backtest", "-d", dataset_name, "--from", "ground_truth", "--arm", "coverage", "--seeds", "1"]
    words += ["--rounds", "2", "--budget", "6", "--to", str(tmp_path)]
    code, said, errors = run_cli(*words, "--json")
    assert code == 0, errors
    assert "pilot: " in errors
    first = json.loads(said)
    assert first["arms"] == ["random", "coverage"]
    cells = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert json.loads(run_cli(*words, "--jobs", "2", "--json")[1]) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == cells
    code, shown, _ = run_cli(*words)
    assert code == 0
    assert shown.rstrip().splitlines()[-2:] == [first["sentences"][0], str(tmp_path / "backtest.html")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--from", "grund_truth"], "no field 'grund_truth' (did you mean 'ground_truth'?)"),
        (["--from", "given"], "expected a field of Detections"),
        (["--from", "ground_truth", "--arm", "random", "--arm", "hybird"], "no arm 'hybird'"),
    ],
)
def test_mistakes_are_one_line(mongod: str, words: list[str], expected: str, tmp_path: Path) -> None:
    """Exit code 1, and what to do."""
    code, _, errors = run_cli("backtest", "-d", quick_loop.base("ready"), *words, "--to", str(tmp_path / "b"))
    assert code == 1
    assert expected in errors
    assert errors.count("\n") == 1


def test_before_there_are_vectors(mongod: str) -> None:
    """A dataset that is not split yet says what comes first."""
    code, _, errors = run_cli("backtest", "-d", quick_loop.base("new"), "--from", "ground_truth")
    assert code == 1
    assert errors.count("\n") == 1
