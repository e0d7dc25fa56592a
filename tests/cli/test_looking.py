"""Looking is quick: it needs the journal and the stored samples, not FiftyOne; and it says the same as with FiftyOne."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import looking
import pytest

import quick_loop
from run_cli import run_cli
from support import remove, watched
from swath import database
from swath.loop import Loop

Json = dict[str, Any]
SCRIPT = Path(looking.__file__)


def python(*arguments: str, **environment: str) -> Json:
    """The last line of what a process of its own printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: Json = json.loads(done.stdout.splitlines()[-1])
    return told


# ---------------------------------------------------------------------- without FiftyOne


@pytest.fixture(scope="module")
def loops(mongod: str) -> Iterator[dict[str, list[str]]]:
    """name -> keys to explain: a grouped loop at every point of a round, a plain one, one whose name a shell would quote."""
    there: dict[str, list[str]] = {}
    for point in ("new", "ready", "sent", "closed"):
        loop = quick_loop.at(point, f"t-looks {point}")
        there[loop.name] = keys_of(loop)
    remove("t-looks-plain")
    quick_loop.dataset("t-looks-plain", grouped=False)
    plain, _ = Loop.init_fiftyone(
        "t-looks-plain", changes=quick_loop.SETTINGS, home=quick_loop.homes() / "plain"
    )
    plain.split()
    plain.embed()
    plain.reference("ground_truth")
    plain.select()
    there[plain.name] = keys_of(plain)
    yield there
    for name in there:
        remove(name)


def keys_of(loop: Loop) -> list[str]:
    """A scene of each split, one of the last batch, and one by its FiftyOne id."""
    workspace = loop.workspace
    if not workspace.is_split():
        return workspace.scenes.some_keys(2)
    found = [workspace.members(split)[0] for split in ("test", "val", "golden", "pool")]
    found += [scene.choice.key for one in loop.status().rounds for scene in loop.batch(one.round).scenes[:1]]
    return [*found, *workspace.scenes.ids(found[:1])]


def test_looking_needs_no_fiftyone_and_says_the_same(loops: dict[str, list[str]]) -> None:
    """A process that looks at loops in every state, grouped and plain, loads neither FiftyOne nor torch nor what comes with them;
    value by value it says what a process with FiftyOne says."""
    light = python(str(SCRIPT), *(f"{name}={','.join(keys)}" for name, keys in loops.items()))
    assert light["heavy"] == []
    assert "fiftyone" in sys.modules
    for name, keys in loops.items():
        full = looking.said(name, keys)
        assert light["said"][name] == full, name
        assert len(full["explain"]) == len(keys)


def test_a_loop_of_0_1_0_looks_the_same_without_fiftyone(mongod: str, tmp_path: Path) -> None:
    """A journal of swath 0.1.0, in a database of another name, is read without FiftyOne too, as with it."""
    here = {"FIFTYONE_DATABASE_NAME": "swath-looks-old"}
    load = (
        "import json, os, pathlib, sys; sys.path[:0] = sys.argv[1:4]\n"
        "import load_fixture, looking, fiftyone as fo\n"
        "name = os.environ['FIFTYONE_DATABASE_NAME']\n"
        "load_fixture.load(uri=os.environ['FIFTYONE_DATABASE_URI'], name='one', folder=pathlib.Path(sys.argv[4]), state='open', database=name)\n"
        "fo.load_dataset('one')\n"
        "keys = looking.Loop.open('one').workspace.scenes.some_keys(6)\n"
        "print(json.dumps({'keys': keys, 'said': looking.said('one', keys)}))\n"
    )
    tests = SCRIPT.parents[1]
    folders = (str(tests), str(tests / "fixtures" / "loop_0_1_0"), str(SCRIPT.parent))
    try:
        full = python("-c", load, *folders, str(tmp_path), **here)
        light = python(str(SCRIPT), f"one={','.join(full['keys'])}", **here)
    finally:
        database.connected().client.drop_database(here["FIFTYONE_DATABASE_NAME"])
    assert light["heavy"] == []
    assert light["said"]["one"] == full["said"]
    assert full["said"]["status"]["rounds"]


COMMANDS = """
import json, os, sys
from swath.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    heavy = [one for one in ("fiftyone", "torch", "pandas", "scipy", "PIL") if one in sys.modules]
    print(json.dumps([ended.code, heavy]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], [], ["status"], ["next", "--plan"], ["golden", "--show"]], ids=" ".join
)
def test_commands_that_look_are_quick(arguments: list[str], loops: dict[str, list[str]]) -> None:
    """From the command line too: nothing that a command goes through on its way loads FiftyOne, torch or the like."""
    given = (
        [*arguments, "--dataset", "t-looks closed"] if arguments and arguments != ["--help"] else arguments
    )
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, *given], capture_output=True, text=True, env=os.environ, check=False
    )
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []], done.stderr[-2000:]
    assert done.stdout.strip()


def test_what_another_fiftyone_wrote_is_opened_by_fiftyone(loops: dict[str, list[str]]) -> None:
    """A dataset whose document names another version of FiftyOne is not read by us before FiftyOne has brought it up to date."""
    from support import samples_of

    datasets = samples_of("t-looks new").database["datasets"]
    before = datasets.find_one({"name": "t-looks new"})["version"]
    datasets.update_one({"name": "t-looks new"}, {"$set": {"version": "1.0.0"}})
    try:
        told = python(str(SCRIPT), f"t-looks new={loops['t-looks new'][0]}")
        assert "fiftyone" in told["heavy"]
        assert datasets.find_one({"name": "t-looks new"})["version"] == before
    finally:
        datasets.update_one({"name": "t-looks new"}, {"$set": {"version": before}})


# ---------------------------------------------------------------------- which server


def test_a_server_that_fiftyone_runs_is_found(tmp_path: Path) -> None:
    """Where no server is configured, the port of the mongod that FiftyOne keeps for another process is found as FiftyOne finds it:
    by the arguments of the process that keeps it. (Here both are stand-ins: a process of that name, whose child listens.)"""
    child = "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(60)"
    keeper = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    look = "import json, os\nfrom swath import database\nprint(json.dumps([database.is_new(), database.address()]))"
    environment = {name: value for name, value in os.environ.items() if name != "FIFTYONE_DATABASE_URI"}
    environment |= {
        "FIFTYONE_CONFIG_PATH": str(tmp_path / "none.json"),
        "FIFTYONE_DATABASE_DIR": str(tmp_path),
    }

    def ask() -> Any:
        done = subprocess.run(
            [sys.executable, "-c", look], capture_output=True, text=True, env=environment, check=True
        )
        return json.loads(done.stdout)

    if ask() != [True, None]:
        pytest.skip("FiftyOne runs a server for this user already")
    service = subprocess.Popen(
        [sys.executable, "-c", keeper, "--51-service", "db", "--multi"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert service.stdout is not None
        port = service.stdout.readline().strip()
        new, address = ask()
        assert not new
        assert address.startswith(f"mongodb://127.0.0.1:{port}/")
    finally:
        import psutil

        for one in [*psutil.Process(service.pid).children(), service]:
            one.kill()
        service.wait()


# ---------------------------------------------------------------------- which loop


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes these the loops that there are."""
    monkeypatch.delenv("SWATH_DATASET", raising=False)
    return lambda *names: monkeypatch.setattr(Loop, "names", staticmethod(lambda: list(names)))


def test_the_dataset_may_be_left_out(
    loops: dict[str, list[str]], only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is one loop, it is meant; where there are several, `SWATH_DATASET` says which, or one line names them all;
    where there is none, the line says how one begins."""
    only("t-looks closed")
    code, out, _ = run_cli("status", "--json")
    assert (code, json.loads(out)["dataset"]) == (0, "t-looks closed")
    only("t-looks closed", "t-looks sent")
    code, out, err = run_cli("status")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "there are 2 loops: t-looks closed, t-looks sent; say which: --dataset NAME" in err
    monkeypatch.setenv("SWATH_DATASET", "t-looks sent")
    assert json.loads(run_cli("status", "--json")[1])["dataset"] == "t-looks sent"
    assert json.loads(run_cli("status", "--json", "-d", "t-looks closed")[1])["dataset"] == "t-looks closed"
    monkeypatch.delenv("SWATH_DATASET")
    only()
    code, out, err = run_cli("status")
    assert (code, out) == (1, "")
    assert "there is no loop yet" in err
    assert "swath demo" in err


def test_swath_alone_says_where_you_are(loops: dict[str, list[str]], only: Callable[..., None]) -> None:
    """Each loop, where it stands, and a command that can be typed next; without a loop, how one begins."""
    only(*loops)
    code, out, err = run_cli()
    assert (code, err) == (0, "")
    assert "t-looks closed: v0 is closed\n  next: select: v0 is closed" in out
    assert "`swath select --dataset 't-looks closed'`" in out
    assert "t-looks new: no round yet\n  next: split: " in out
    told = json.loads(run_cli("--json")[1])
    assert [one["dataset"] for one in told["loops"]] == list(loops)
    assert [one["step"] for one in told["loops"]] == ["split", "select", "fetch", "select", "send"]
    only(*("t-looks closed" for _ in range(9)))
    assert "... and 3 more loops: t-looks closed, t-looks closed" in run_cli()[1]
    only()
    code, out, _ = run_cli()
    assert (code, out.count("`swath init NAME")) == (0, 2)


def test_loops_that_there_are(loops: dict[str, list[str]]) -> None:
    """Datasets with a journal, sorted by name; others are none."""
    quick_loop.dataset("t-looks-none")
    try:
        there = Loop.names()
        assert there == sorted(there)
        assert set(loops) <= set(there)
        assert "t-looks-none" not in there
    finally:
        remove("t-looks-none")


# ---------------------------------------------------------------------- again


def test_the_last_verdicts_again(dataset_name: str) -> None:
    """`--show` says what golden, stop and evaluate said, to the value, on a round that is closed, and writes nothing; without it
    they say that the round is closed, and name `--show`."""
    loop = quick_loop.at("sent", dataset_name)
    loop.fetch()
    loop.check()
    came = {"golden": loop.golden().as_json()}
    loop.train()
    came["evaluate"] = loop.evaluate().as_json()
    came["stop"] = loop.stop().as_json()
    for step, value in came.items():
        with watched() as seen:
            code, out, _ = run_cli(step, "--show", "--json", "-d", dataset_name)
        assert (code, seen.writes) == (0, [])
        assert json.loads(out) == json.loads(json.dumps(value)), step
        code, out, err = run_cli(step, "-d", dataset_name)
        assert (code, out) == (1, ""), step
        assert f"`swath {step} --show --dataset {dataset_name}` what it said" in err
    assert run_cli("golden", "--show", "--override", "x", "-d", dataset_name)[0] == 2


def test_nothing_to_show(dataset_name: str) -> None:
    """Before there was a verdict, `--show` says so in one line."""
    loop = quick_loop.at("ready", dataset_name)
    for step in ("golden", "stop", "evaluate"):
        code, out, err = run_cli(step, "--show", "-d", loop.name)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "there is nothing to show yet" in err


def test_the_plan_writes_nothing(dataset_name: str) -> None:
    """`next --plan` names the step that `next` then does, and writes nothing."""
    loop = quick_loop.at("sent", dataset_name)
    with watched() as seen:
        code, out, _ = run_cli("next", "--plan", "--json", "-d", loop.name)
    told = json.loads(out)
    assert (code, seen.writes, told["step"], told["state"]) == (0, [], "fetch", "annotating")
    assert told["waiting"] > 0
    assert re.fullmatch(r"swath fetch --dataset \S+", told["ways"][0])
    assert json.loads(run_cli("next", "--json", "-d", loop.name)[1])["step"] == "fetch"
