"""`swath config`: the settings in force and where each was given, before and after they are kept; what may not change; and that
errors come as one object, of every command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

import durable
import quick_loop
from quick_loop import at
from run_cli import run_cli
from swath.cli import app
from swath.config import LoopConfig, values
from swath.loop import Loop


def told(*arguments: str) -> dict[str, Any]:
    """The settings that a command prints: name -> what it says of it."""
    code, said, errors = run_cli(*arguments, "--json")
    assert (code, errors) == (0, "")
    return {one["name"]: one for one in json.loads(said)["settings"]}


def differing(found: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    return {name: (one["value"], one["source"]) for name, one in found.items() if one["differs"]}


def refused(*arguments: str) -> str:
    code, said, errors = run_cli(*arguments)
    assert (code, said) == (1, "")
    assert errors.count("\n") == 1
    return errors


def test_without_a_dataset_the_defaults() -> None:
    """All of them, none marked; with settings given, what they would be: a file can be tried before it is used."""
    found = told("config")
    assert {name: one["value"] for name, one in found.items()} == values(LoopConfig())
    assert {one["source"] for one in found.values()} == {"default"}
    tried = told("config", "--set", "select.budget=7", "--set", "stop.target=0.5")
    assert differing(tried) == {
        "select.budget": (7, "config --set"),
        "stop.target": (0.5, "config --set"),
    }
    code, said, _ = run_cli("config", "--set", "select.budget=7")
    assert code == 0
    assert re.search(r"^\* select.budget +7 +config --set \(default null\)$", said, re.MULTILINE)
    assert re.search(r"^  select.share +0.2 +default *$", said, re.MULTILINE)
    assert f"  {len(values(LoopConfig()))} settings; 1 not as by default (*)\n" in said
    assert "tried, not kept: no dataset was named (--dataset NAME, or set SWATH_DATASET)" in said


def test_the_dataset_comes_from_the_environment(dataset_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SWATH_DATASET` names the dataset here too: what is set is kept in its loop."""
    at("new", dataset_name)
    monkeypatch.setenv("SWATH_DATASET", dataset_name)
    code, said, _ = run_cli("config", "--set", "select.budget=6")
    assert code == 0
    assert "kept for the rounds that follow: select.budget = 6" in said
    assert Loop.open(dataset_name).workspace.config.select.budget == 6


def test_where_each_setting_comes_from(mongod: str, dataset_name: str, tmp_path: Path) -> None:
    """The file of init, the options of later steps, `config --set`: each setting names the command it was given with; what is a
    default again is no longer marked; and each command says once what it keeps."""
    settings = tmp_path / "swath.yaml"
    settings.write_text(json.dumps({"classes": quick_loop.CLASSES, "stop": {"patience": 4}, "seed": 51}))
    quick_loop.dataset(dataset_name, grouped=False)
    here = ("-d", dataset_name)
    home = ("--home", str(tmp_path / "home"))
    code, _, errors = run_cli(
        "init", dataset_name, "--fiftyone", dataset_name, "--config", str(settings), *home
    )
    assert code == 0, errors
    found = differing(told("config", *here))
    assert found.pop("classes") == (list(quick_loop.CLASSES), f"init --config {settings}")
    assert found.pop("stop.patience") == (4, f"init --config {settings}")
    assert found
    assert {source for _, source in found.values()} == {"the dataset's slices"}
    assert all(name == "primary" or name.startswith("channels.") for name in found)
    run_cli("split", *here)
    run_cli("embed", "--encoder", "field:given", *here)
    code, said, _ = run_cli("config", "--set", "select.budget=6", "--set", "stop.patience=2", *here)
    assert code == 0
    assert "kept for the rounds that follow: select.budget = 6, stop.patience = 2" in said
    again = differing(told("config", *here))
    assert again["select.budget"] == (6, "config --set")
    assert again["embed.encoder"] == ("field:given", "embed --encoder")
    assert "stop.patience" not in again
    assert again["classes"][1] == f"init --config {settings}"
    assert Loop.open(dataset_name).workspace.config.select.budget == 6


def test_looking_at_settings_writes_nothing(mongod: str, dataset_name: str) -> None:
    """Without `--set`, or with one that changes nothing, the journal stays as it is."""
    loop = at("ready", dataset_name)
    loops = loop.workspace.journal._loops
    before = loops.find_one({"_id": loop.workspace.journal.dataset_id})
    told("config", "-d", dataset_name)
    told("config", "-d", dataset_name, "--set", f"seed={loop.workspace.config.seed}")
    assert loops.find_one({"_id": loop.workspace.journal.dataset_id}) == before


def test_settings_of_before_they_were_recorded(mongod: str, dataset_name: str) -> None:
    """A journal without origins opens: a setting that is no default comes from the journal."""
    loop = at("ready", dataset_name)
    mine = {"_id": loop.workspace.journal.dataset_id}
    loop.workspace.journal._loops.update_one(mine, {"$unset": {"origins": 1}})
    found = differing(told("config", "-d", dataset_name))
    assert found["embed.encoder"] == ("field:given", "the journal")
    told("config", "-d", dataset_name, "--set", "select.budget=6")
    found = differing(told("config", "-d", dataset_name))
    assert found["select.budget"] == (6, "config --set")
    assert found["embed.encoder"] == ("field:given", "the journal")


@pytest.mark.parametrize(
    ("assigned", "expected"),
    [
        ("splits.test=0.2", "splits.test: cannot change once the dataset is split (it is 0.15)"),
        (
            "fields.status=other",
            "fields.status: cannot change once the dataset is split (it is 'annotation_status')",
        ),
        ("classes=[car]", "classes: cannot change once labels have come"),
        ("select.bugdet=3", "--set: select.bugdet: there is no such setting; did you mean select.budget?"),
        ("select.budget=-3", "--set: select.budget: expected a whole number from 1"),
        ("select.budget", "--set: expected NAME=VALUE"),
        ("annotate.annotator=files", "--folder DIR"),
    ],
)
def test_a_setting_that_cannot_be_set(mongod: str, dataset_name: str, assigned: str, expected: str) -> None:
    """What is frozen, unknown, out of range or contradictory is refused in one line, as a file would be; nothing is kept."""
    loop = at("closed", dataset_name)
    before = durable.journal(loop)
    assert expected in refused("config", "-d", dataset_name, "--set", assigned)
    assert durable.journal(Loop.open(dataset_name)) == before


def test_several_mistakes_are_several_lines(tmp_path: Path) -> None:
    """A file with three mistakes: a line for each, with its own place; one object with `--json`."""
    path = tmp_path / "bad.yaml"
    path.write_text("sede: 3\nsplits:\n  test: 2\n  val: x\n")
    code, said, errors = run_cli("config", "--config", str(path))
    assert (code, said) == (1, "")
    lines = errors.splitlines()
    assert lines[0] == "swath: 3 settings cannot be:"
    assert [line.strip().split(":")[0] for line in lines[1:]] == [f"{path}, line {n}" for n in (1, 3, 4)]
    code, said, _ = run_cli("config", "--config", str(path), "--json")
    assert json.loads(said)["exit"] == code == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("status", "-d", "{}x"), "(did you mean '{}'?); there are: "),
        (("explain", "s0001O", "-d", "{}"), "(did you mean '"),
        (("select", "--exclude", "{key}x", "-d", "{}"), "(did you mean '{key}'?)"),
        (("reference", "--from", "ground_turth", "-d", "{}"), "(did you mean 'ground_truth'?)"),
        (("embed", "--encoder", "field:gievn", "-d", "{}"), "(did you mean 'given'?)"),
        (("embed", "--encoder", "descriptr", "-d", "{}"), "(did you mean 'descriptor'?)"),
        (("run", "--until", "slect", "-d", "{}"), "(did you mean 'select'?)"),
    ],
)
def test_what_was_meant_is_said(
    mongod: str, dataset_name: str, arguments: tuple[str, ...], expected: str
) -> None:
    """A slip in the name of a dataset, scene, field, encoder or step: the nearest one that there is."""
    loop = at("ready", dataset_name)
    key = loop.workspace.members("pool")[0]
    if arguments[0] == "explain":
        arguments = ("explain", f"{key}x", *arguments[2:])
    filled = [one.replace("{}", dataset_name).replace("{key}", key) for one in arguments]
    assert expected.replace("{}", dataset_name).replace("{key}", key) in refused(*filled)


def test_rounds_are_listed_as_a_span(mongod: str, dataset_name: str) -> None:
    """`v7` of a loop with rounds v0 to v2."""
    loop = at("closed", dataset_name)
    for _ in range(2):
        loop.select(budget=4)
        name = loop.workspace.journal.batches.all()[-1].round
        loop.cancel(name, "over")
    assert "no round 'v7'; there are: reference, v0 to v2" in refused("batch", "v7", "-d", dataset_name)


# ---------------------------------------------------------------------- every command

NEEDS = {"explain": ["x"], "batch": ["v0"], "replay": ["v0"], "cancel": ["v0", "--reason", "x"]}
NEEDS |= {
    "backtest": ["--from", "ground_truth"],
    "reopen": ["v0", "--reason", "x"],
    "close": ["v0", "--return-missing"],
}


def commands() -> dict[str, Any]:
    """Every command: its words -> the parser's object."""
    found: dict[str, Any] = {}

    def walk(one: Any, words: str) -> None:
        if hasattr(one, "commands"):
            for name, inner in one.commands.items():
                walk(inner, f"{words} {name}".strip())
        else:
            found[words] = one

    walk(typer.main.get_command(app), "")
    return found


def takes(command: Any, option: str) -> bool:
    return any(option in one.opts for one in command.params)


@pytest.mark.parametrize("words", sorted(commands()))
def test_every_error_is_an_object(
    mongod: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command on a dataset that is not there (or a folder that is not, or is another's), with `--json`: one object on stdout
    with error and exit code, one line on stderr. `app` has no result, and says so."""
    command = commands()[words]
    arguments = [*words.split(), *NEEDS.get(words.split()[-1], [])]
    if words in ("world", "demo"):
        (tmp_path / "file").write_text("")
        place = str(tmp_path / "file" / "w")
        arguments += [place] if words == "world" else ["--folder", place, "-d", "t-never", "--scenes", "40"]
    elif words == "init":
        arguments += ["no-such-dataset", "--fiftyone", "no-such-dataset"]
    elif words == "adopt":
        arguments += ["no-such-dataset"]
    elif words.startswith("plugin "):
        (tmp_path / "swath").mkdir()
        monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", str(tmp_path))
    else:
        arguments += ["--dataset", "no-such-dataset"]
    code, said, errors = run_cli(*arguments, "--json")
    assert code == (1 if takes(command, "--json") else 2), errors
    found = json.loads(said)
    assert said.count("\n") == 1
    assert found["exit"] == code
    assert set(found) == {"error", "exit"}
    if code == 1:
        assert errors == f"swath: {found['error']}\n"


def test_a_typo_in_a_section_says_where_it_was_given() -> None:
    """`--set slect.budget=3`: the section is wrong, and what was given was `--set`."""
    assert refused("config", "--set", "slect.budget=3") == (
        "swath: --set: slect: there is no such setting; did you mean select?\n"
    )
