"""The command line: exit codes, one JSON object, one readable line for a mistake."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import durable
import small_scenes
import swath
from quick_loop import at
from run_cli import run_cli
from support import remove, samples_of
from swath.loop import Loop
from swath.records.manifest import Manifest

CLASSES = ("Car", "Pedestrian", "Cyclist")
SCENES = 48
SETTINGS = {
    "classes": list(CLASSES),
    "train": {"steps": 5, "width": 64},
    "select": {"zcore_max_draws": 2000, "first_min": 8, "min": 5},
    "splits": {"golden": 0.1},
}


def shell(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own; fails when it takes longer than a database driver's own patience."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "swath.yaml"
    path.write_text(json.dumps(SETTINGS))  # JSON is YAML
    return path


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    small_scenes.make_media(folder, SCENES, CLASSES)
    return folder


@pytest.fixture(scope="module")
def begun(
    mongod: str, media: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A dataset that is split and embedded, by commands."""
    small_scenes.make_dataset("t-cli", media, SCENES, CLASSES, grouped=False)
    home = str(tmp_path_factory.mktemp("home") / "cli")
    text("init", "t-cli", "--fiftyone", "t-cli", "--home", home, "--config", str(settings))
    text("split", "--dataset", "t-cli")
    text("embed", "--dataset", "t-cli", "--encoder", "field:given")
    yield "t-cli"
    remove("t-cli")


@pytest.fixture
def own(begun: str, dataset_name: str, tmp_path: Path) -> str:
    """A copy of it for one test."""
    durable.fork(begun, dataset_name, tmp_path / "home")
    return dataset_name


def text(*arguments: str) -> str:
    """What a command prints for people; it must end well and say nothing on stderr."""
    code, said, errors = run_cli(*arguments)
    assert (code, errors) == (0, ""), arguments
    assert said.strip()
    return said


def as_json(*arguments: str, code: int = 0, traceback: bool = False) -> dict[str, Any]:
    """The one JSON object that a command prints."""
    ended, said, errors = run_cli(*arguments, "--json")
    assert ended == code, errors
    assert ("Traceback" in errors) == traceback
    assert said.count("\n") == 1, said
    result: dict[str, Any] = json.loads(said)
    assert isinstance(result, dict)
    return result


def manifest(loop: Loop, name: str = "v0") -> Manifest:
    batches = loop.workspace.journal.batches
    return batches.manifest(batches.get(name))


# ---------------------------------------------------------------------- the whole way


def test_a_round_by_commands(own: str) -> None:
    """Every step as a command, alternately for people and as JSON; what they say agrees with the status."""
    here = ("--dataset", own)
    assert as_json("status", *here)["next"]["step"] == "reference"
    assert as_json("reference", "--from", "ground_truth", *here)["state"] == "closed"
    dry = as_json("select", "--dry-run", *here)
    assert dry["dry_run"] is True
    assert as_json("status", *here)["rounds"] == []
    chosen = as_json("select", "--explain", *here)
    assert [scene["key"] for scene in chosen["scenes"]] == [scene["key"] for scene in dry["scenes"]]
    assert len(chosen["scenes"]) == chosen["size"] == chosen["budget"] == 8
    assert all(Path(picture).is_file() for picture in chosen["pictures"].values())
    assert own in text("status", *here)
    assert as_json("send", "--annotator", "simulated", *here)["tasks"] == 8 + 5
    text("fetch", *here)
    assert as_json("check", *here)["scenes"] == 8
    text("golden", *here)
    assert as_json("train", *here)["images"] == 8
    evaluated = as_json("evaluate", *here)
    assert evaluated["scenes"] == 7
    assert "v0" in text("stop", *here)
    status = as_json("status", *here)
    assert [row["state"] for row in status["rounds"]] == ["closed"]
    assert status["rounds"][0]["map"] == evaluated["map"]["value"]
    step = as_json("next", *here)
    assert step["step"] == "select"
    assert len(step["why"]) > 10
    assert step["result"]["round"] == "v1"
    explained = as_json("explain", chosen["scenes"][0]["key"], *here)
    assert explained["rounds"][0]["reason"] == chosen["scenes"][0]["reason"]
    assert as_json("replay", "v0", *here)["equal"] is True
    assert as_json("round", "cancel", "v1", "--reason", "another idea", *here)["state"] == "cancelled"
    ran = as_json("run", "--rounds", "2", *here)
    assert ran["waits"] is None
    assert [row["state"] for row in ran["status"]["rounds"]][-1] == "closed"
    assert as_json("repair", "--check", *here)["differences"] == []


def test_people_are_waited_for_with_exit_code_3(own: str) -> None:
    """Without an annotator the loop waits at the reference, and says how to go on; `run` reports where it stands."""
    here = ("--dataset", own)
    code, said, errors = run_cli("next", *here)
    assert (code, said) == (3, "")
    assert f"swath reference --from FIELD --dataset {own}" in errors
    way = f"    swath reference --annotator files --folder DIR --dataset {own}"
    assert errors.splitlines()[1:] == [way]
    ran = as_json("run", *here, code=3)
    assert "reference" in ran["waits"]
    assert ran["status"]["next"]["step"] == "reference"


def test_a_difference_is_exit_code_3(own: str) -> None:
    """A tag that was removed by hand: `repair --check` names it and ends with 3, `repair` puts it back."""
    here = ("--dataset", own)
    loop = Loop.open(own)
    key = loop.workspace.members("val")[0]
    samples_of(loop).update_many({"scene_key": key}, {"$pull": {"tags": "split:val"}})
    found = as_json("repair", "--check", *here, code=3)
    assert [one["scene"] for one in found["differences"]] == [key]
    assert as_json("repair", *here)["differences"]
    assert as_json("repair", "--check", *here)["differences"] == []


def test_a_batch_is_listed(mongod: str, dataset_name: str) -> None:
    """`select` says how to list its batch; the command, as it is said, lists every scene with stream, rank, reason, state and
    picture; once labelled, with what came."""
    loop = at("ready", dataset_name)
    said = text("select", "--budget", "7", "-d", dataset_name)
    listing = f"swath batch v0 --dataset {dataset_name}"
    assert f"`{listing}`" in said
    listed = as_json(*shlex.split(listing)[1:])
    chosen = {scene.key: scene for scene in manifest(loop).scenes}
    assert (listed["round"], listed["state"], listed["size"], len(chosen)) == ("v0", "committed", 7, 7)
    assert [one["key"] for one in listed["scenes"]] == list(chosen)
    for one in listed["scenes"]:
        scene = chosen[one["key"]]
        assert (one["stream"], one["rank"], one["reason"]) == (scene.stream, scene.rank, scene.reason)
        assert one["status"] == "selected"
        assert set(one["answers"].values()) == {"unreviewed"}
        assert Path(one["picture"]).stem == one["key"]
    table = text("batch", "v0", "-d", dataset_name)
    for key, scene in chosen.items():
        assert re.search(rf"{key} +coverage +{scene.rank} ", table)
    text("send", "-d", dataset_name)
    text("fetch", "-d", dataset_name)
    after = as_json("batch", "v0", "-d", dataset_name)["scenes"]
    assert {one["status"] for one in after} == {"annotated"}
    assert not any(state == "unreviewed" for one in after for state in one["answers"].values())


def test_who_is_waited_for(mongod: str, dataset_name: str, tmp_path: Path) -> None:
    """`send` says where the work is and what comes next; `fetch` names the first of the scenes that wait, and ends with 3; that
    the annotator is kept for later rounds is said once, when it changes."""
    loop = at("ready", dataset_name)
    text("select", "--budget", "8", "-d", dataset_name)
    folder = tmp_path / "work"
    said = text("send", "--folder", str(folder), "-d", dataset_name)
    assert f"the work is in {folder / 'v0'}" in said
    assert f"`swath fetch --dataset {dataset_name}`" in said
    kept = said.splitlines()[-1]
    assert "kept for the rounds that follow: " in kept
    assert "annotate.annotator = files" in kept
    assert f"annotate.folder = {folder}" in kept
    again = text("send", "--folder", str(folder), "-d", dataset_name)
    assert "kept for" not in again
    keys = sorted(scene.key for scene in manifest(loop).scenes)
    found = as_json("fetch", "-d", dataset_name, code=3)
    assert found["waiting"] >= 8
    assert set(found["waits_for"][:5]) <= {*keys, *loop.workspace.members("golden")}
    code, said, errors = run_cli("fetch", "-d", dataset_name)
    assert (code, errors) == (3, "")
    assert f"{found['waiting']} scenes wait for labels: {', '.join(found['waits_for'][:5])} (+" in said
    text("round", "cancel", "v0", "--reason", "over", "-d", dataset_name)
    back = as_json("next", "--annotator", "simulated", "-d", dataset_name)
    assert back["kept"] == {"annotate.annotator": "simulated"}


def test_the_status_says_what_to_type(mongod: str, dataset_name: str) -> None:
    """Wherever the loop stands, the commands that `status` ends with are commands of this dataset; typed, the first is done."""
    at("new", dataset_name)
    for step in ("split", "embed", "reference", "select", "send", "fetch", "check", "golden"):
        said = text("status", "-d", dataset_name).splitlines()
        ways = [line.strip().strip("`") for line in said if line.strip().startswith("`swath ")]
        assert ways == [f"swath {step} --dataset {dataset_name}"]
        text(*shlex.split(ways[0])[1:])


def test_looking_writes_nothing(mongod: str, dataset_name: str, tmp_path: Path) -> None:
    """After a writer that was killed, the commands that only look change no document of the journal and of the dataset; the
    next step puts things right."""
    loop = at("sent", dataset_name)
    database = loop.workspace.journal._loops.database
    mine = {"_id": loop.workspace.journal.dataset_id}
    database["swath.loops"].update_one(mine, {"$set": {"writer.unclean": True}})
    key = loop.workspace.members("val")[0]
    samples_of(loop).update_many({"scene_key": key}, {"$pull": {"tags": "split:val"}})

    def everything() -> list[Any]:
        of = {"dataset": loop.workspace.journal.dataset_id}
        parts = [list(database[f"swath.{part}"].find(of)) for part in ("rounds", "assignments", "pieces")]
        return [*parts, database["swath.loops"].find_one(mine), durable.samples(loop)]

    before = everything()
    for arguments in (
        ("status",),
        ("explain", key),
        ("report", "--to", str(tmp_path / "report.html")),
        ("batch", "v0"),
        ("replay", "v0"),
        ("repair", "--check"),
    ):
        code, _, errors = run_cli(*arguments, "-d", dataset_name)
        assert code == (3 if arguments[0] == "repair" else 0), errors
        assert everything() == before, arguments
    text("round", "cancel", "v0", "--reason", "over", "-d", dataset_name)
    as_json("select", "--dry-run", "-d", dataset_name)
    assert as_json("repair", "--check", "-d", dataset_name)["differences"] == []


def test_a_dry_run_writes_nothing(mongod: str, dataset_name: str) -> None:
    """`select --dry-run` after a writer that was killed leaves that to the next step too."""
    loop = at("ready", dataset_name)
    loops = loop.workspace.journal._loops
    mine = {"_id": loop.workspace.journal.dataset_id}
    loops.update_one(mine, {"$set": {"writer.unclean": True}})
    before = loops.find_one(mine)
    assert as_json("select", "--dry-run", "--budget", "5", "-d", dataset_name)["size"] == 5
    assert loops.find_one(mine) == before


# ---------------------------------------------------------------------- mistakes

HERE = "{dataset}"
MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown dataset": (("status", "--dataset", "nowhere"), "no dataset 'nowhere'; there are: "),
    "unknown dataset for init": (("init", "nowhere", "--fiftyone", "nowhere"), "there are: "),
    "unknown encoder": (("embed", "-d", HERE, "--encoder", "clip"), "embed.encoder"),
    "unknown label field": (
        ("reference", "-d", HERE, "--from", "truth"),
        "no field 'truth'; fields with labels: ",
    ),
    "unknown annotator": (("run", "-d", HERE, "--annotator", "bob"), "annotate.annotator"),
    "files without a folder": (("run", "-d", HERE, "--annotator", "files"), "--folder"),
    "unknown scene": (("explain", "-d", HERE, "abc"), "keys look like"),
    "unknown scene to exclude": (("select", "-d", HERE, "--exclude", "abc"), "not in the pool: abc"),
    "unknown round": (("replay", "-d", HERE, "v7"), "no round 'v7'; there are: "),
    "unknown step": (("run", "-d", HERE, "--until", "lunch"), "there are: split, embed"),
    "train too early": (("train", "-d", HERE), "swath next"),
    "nobody to ask": (("send", "-d", HERE), "--annotator simulated"),
    "no KITTI folder": (("init", "new", "--kitti", "{tmp}"), "image_2"),
    "no folder": (("init", "new", "--kitti", "{tmp}/none"), "{tmp}/none"),
    "a file as a folder": (("world", "{tmp}/file"), "{tmp}/file"),
    "no config": (("status", "-d", HERE, "--config", "{tmp}/none.yaml"), "none.yaml: cannot be read"),
    "config is a folder": (("status", "-d", HERE, "--config", "{tmp}"), "cannot be read"),
}
BAD_SETTINGS = {
    "no YAML": ("select: [1, 2", "not YAML"),
    "no text": (b"\xff\xfe\x00seed: 1", "bad.yaml"),
    "no mapping": ("- 1\n- 2\n", "expected a mapping"),
    "unknown setting": ("trian: {steps: 3}", "trian"),
    "unknown nested setting": ("train: {step: 3}", "train.step"),
    "out of range": ("splits: {test: 2}", "splits.test"),
    "no pool left": ("splits: {test: 0.5, val: 0.5}", "splits"),
    "a share of nothing": ('select: {coverage_share: "1/0"}', "coverage_share"),
    "no share": ("select: {coverage_share: many}", "coverage_share"),
    "a number for a name": ("1: 2", "bad.yaml"),
    "a word for a section": ("annotate: simulated", "annotate"),
}


def is_one_line(code: int, said: str, errors: str, expected: str) -> None:
    assert (code, said) == (1, ""), errors
    assert errors.startswith("swath: ")
    assert errors.count("\n") == 1, errors
    assert expected in errors


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(begun: str, tmp_path: Path, mistake: str) -> None:
    """Exit code 1, nothing on stdout, one line on stderr that names what was wrong and what there is."""
    (tmp_path / "file").write_text("")
    arguments, expected = MISTAKES[mistake]
    filled = [one.replace(HERE, begun).replace("{tmp}", str(tmp_path)) for one in arguments]
    before = durable.journal(Loop.open(begun))
    is_one_line(*run_cli(*filled), expected.replace("{tmp}", str(tmp_path)))
    assert durable.journal(Loop.open(begun)) == before


@pytest.mark.parametrize("mistake", ["unknown dataset", "unknown round", "no KITTI folder"])
def test_a_mistake_as_json(begun: str, tmp_path: Path, mistake: str) -> None:
    """With `--json` the line on stderr comes with one object on stdout, which says the same, and the exit code."""
    arguments, _ = MISTAKES[mistake]
    filled = [one.replace(HERE, begun).replace("{tmp}", str(tmp_path)) for one in arguments]
    _, _, line = run_cli(*filled)
    assert as_json(*filled, code=1) == {"error": line.strip().removeprefix("swath: "), "exit": 1}


def test_waiting_as_json(own: str) -> None:
    """What waits for people is an error object with exit 3, where there is nothing else to say."""
    found = as_json("next", "-d", own, code=3)
    assert set(found) == {"error", "exit", "ways"}
    assert found["exit"] == 3
    assert [way.split()[1] for way in found["ways"]] == ["reference", "reference"]


def test_an_unknown_field_of_vectors(own: str) -> None:
    """`embed --encoder field:NAME` with a field that is not there names those that are, and keeps the vectors."""
    before = durable.samples(Loop.open(own))
    is_one_line(*run_cli("embed", "-d", own, "--encoder", "field:vectors"), "no field 'vectors'; it has")
    assert durable.samples(Loop.open(own)) == before


@pytest.mark.parametrize("mistake", BAD_SETTINGS)
def test_bad_settings_are_one_line(begun: str, tmp_path: Path, mistake: str) -> None:
    """A settings file that can't be: the line names the file, the setting, and what was expected; nothing is kept."""
    content, expected = BAD_SETTINGS[mistake]
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = Loop.open(begun).workspace.config
    is_one_line(*run_cli("run", "-d", begun, "--annotator", "simulated", "--config", str(path)), expected)
    assert Loop.open(begun).workspace.config == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain",),
        ("lunch",),
        ("status", "--dataset"),
        ("world", "x", "--scenes", "0"),
        ("select", "-d", "a", "--what"),
        ("init", "new", "--kitti", "x", "--fiftyone", "new"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    """What the parser can't take ends with 2, before anything is opened."""
    code, said, errors = run_cli(*arguments)
    assert (code, said) == (2, "")
    assert "Traceback" not in errors
    assert errors.strip()
    if arguments[-1] != "--dataset":  # whose value `--json` would be
        found = as_json(*arguments, code=2)
        assert found["exit"] == 2
        assert found["error"] in " ".join(errors.split())


def test_an_argument_that_is_no_text() -> None:
    """Bytes that are not UTF-8, as a shell passes on of an old file's name: one line, before anything is opened."""
    for arguments in (
        ("adopt", "caf\udce9"),
        ("status", "-d", "\udcff"),
        ("report", "-d", "a", "--to", "\udcff"),
    ):
        is_one_line(*run_cli(*arguments), "expected an argument in UTF-8, got '")
        assert as_json(*arguments, code=1)["exit"] == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("world", "x", "--scenes", "many"), "'--scenes': expected a whole number"),
        (("world", "x", "--scenes", "0"), "'--scenes': expected at least 1"),
        (("world", "x", "--scale", "7"), "'--scale': expected at most 1"),
        (("world", "x", "--rig", "bus"), "'--rig': 'bus' is not one of 'kitti'"),
    ],
)
def test_what_an_option_cannot_be(arguments: tuple[str, ...], expected: str) -> None:
    """In our words, not in those of the parser's library."""
    assert expected in as_json(*arguments, code=2)["error"]
    assert "Input should" not in run_cli(*arguments)[2]


@pytest.mark.parametrize("arguments", [("-h",), ("--help",), ("select", "-h"), ("round", "close", "-h")])
def test_help_has_a_short_name(arguments: tuple[str, ...]) -> None:
    """`-h` is `--help`, everywhere."""
    code, said, errors = run_cli(*arguments)
    assert (code, errors) == (0, "")
    assert "Usage:" in said


def test_the_version() -> None:
    """`--version` prints it and nothing else."""
    assert run_cli("--version") == (0, f"swath {swath.__version__}\n", "")


STOPPED = """
import os, signal, sys
import swath.loop
from swath.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start what runs behind it deaf to Ctrl-C

def interrupted(self):
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("it went on")

swath.loop.Loop.status = interrupted
main(["status", "--dataset", sys.argv[1], *sys.argv[2:]])
"""


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_an_interruption_is_one_line(begun: str, more: tuple[str, ...]) -> None:
    """Ctrl-C: exit code 130, and a line that says how to go on."""
    done = shell(STOPPED, begun, *more)
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() == "swath: interrupted; run the same command again to go on"
    assert (json.loads(done.stdout)["exit"] == 130) if more else (done.stdout == "")


def test_an_interrupted_training_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C where a model may be in training: the line says that this part is not gone on with."""

    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("swath.cli.app", interrupted)
    for command, more in (("train", "; a training starts anew"), ("split", "")):
        said = f"swath: interrupted; run the same command again to go on{more}\n"
        assert run_cli(command) == (130, "", said)


def test_a_defect_is_exit_code_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """What swath did not raise on purpose keeps its traceback, is called a defect, and ends with 4; stdout stays clean."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("swath.loop.Loop.open", broken)
    code, said, errors = run_cli("status", "--dataset", "any")
    assert (code, said) == (4, "")
    assert "ZeroDivisionError: planted" in errors
    assert "Traceback" in errors
    assert "defect" in errors.splitlines()[-1]
    assert as_json("status", "--dataset", "any", code=4, traceback=True) == {
        "error": "ZeroDivisionError: planted",
        "exit": 4,
    }


# ---------------------------------------------------------------------- in processes of their own

NOISY = """
import os, subprocess, sys
import swath.loop
from swath.cli import main

quiet = swath.loop.Loop.status

def noisy(self):
    import fiftyone as fo
    with fo.ProgressBar(total=3, progress=True) as bar:
        for _ in range(3):
            bar.update()
    print("a print")
    os.write(1, b"a raw write\\n")
    subprocess.run(["echo", "a child's line"], check=True)
    self.workspace.scenes.dataset.compute_metadata(overwrite=True, progress=True)
    return quiet(self)

swath.loop.Loop.status = noisy
main(["status", "--dataset", sys.argv[1], "--json"])
"""


def test_json_stays_alone_on_stdout(begun: str) -> None:
    """While bars are drawn, prints made, raw bytes written and children run: stdout holds one object, stderr the rest."""
    done = shell(NOISY, begun, FIFTYONE_SHOW_PROGRESS_BARS="true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["dataset"] == begun
    for noise in ("samples/s", "a print", "a raw write", "a child's line"):
        assert noise in done.stderr


LIGHT = """
import sys
import swath
heavy = ("fiftyone", "torch", "numba", "pymongo", "scipy", "mongoengine", "pycocotools", "onnxruntime")
print([name for name in heavy if name in sys.modules])
from swath.cli import main
try:
    main(["--help"])
except SystemExit as ended:
    print("ended", ended.code)
print([name for name in ("fiftyone", "torch") if name in sys.modules])
"""


def test_help_is_light_and_lists_all_commands() -> None:
    """`import swath` and `swath --help` load neither fiftyone nor torch; help names every command of the design."""
    done = shell(LIGHT, COLUMNS="120")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "[]"
    assert lines[-2:] == ["ended 0", "[]"]
    steps = [
        "split",
        "embed",
        "reference",
        "select",
        "send",
        "fetch",
        "check",
        "golden",
        "train",
        "evaluate",
        "stop",
    ]
    others = [
        "demo",
        "world",
        "init",
        "adopt",
        "next",
        "run",
        "status",
        "backtest",
        "batch",
        "explain",
        "report",
        "app",
        "replay",
        "repair",
        "round",
    ]
    first = {line.strip("│ ").split(" ")[0] for line in lines}
    assert set(steps + others) <= first


def test_a_dead_database_is_one_line() -> None:
    """A server that does not answer: exit code 1 and one line. How long it waits: `test_a_uri_comes_first`."""
    uri = "mongodb://user:secret@127.0.0.1:9/"
    done = subprocess.run(
        [sys.executable, "-m", "swath", "status", "--dataset", "any"],
        capture_output=True,
        text=True,
        env=os.environ | {"FIFTYONE_DATABASE_URI": uri},
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "no MongoDB answers at mongodb://127.0.0.1:9" in done.stderr
    assert "secret" not in done.stderr
    assert "FIFTYONE_DATABASE_URI" in done.stderr
