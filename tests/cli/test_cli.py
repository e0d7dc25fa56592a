"""The command line: exit codes, one JSON object, one readable line for a mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import durable
import small_scenes
from run_cli import run_cli
from support import remove
from swath.loop import Loop

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


def as_json(*arguments: str, code: int = 0) -> dict[str, Any]:
    """The one JSON object that a command prints."""
    ended, said, errors = run_cli(*arguments, "--json")
    assert ended == code, errors
    assert "Traceback" not in errors
    assert said.count("\n") == 1, said
    result: dict[str, Any] = json.loads(said)
    assert isinstance(result, dict)
    return result


# ---------------------------------------------------------------------- the whole way


def test_a_round_by_commands(own: str) -> None:
    """Every step as a command, alternately for people and as JSON; what they say agrees with the status."""
    at = ("--dataset", own)
    assert as_json("status", *at)["next"]["step"] == "reference"
    assert as_json("reference", "--from", "ground_truth", *at)["state"] == "closed"
    dry = as_json("select", "--dry-run", *at)
    assert dry["dry_run"] is True
    assert as_json("status", *at)["rounds"] == []
    chosen = as_json("select", "--explain", *at)
    assert [scene["key"] for scene in chosen["scenes"]] == [scene["key"] for scene in dry["scenes"]]
    assert len(chosen["scenes"]) == chosen["size"] == chosen["budget"] == 8
    assert all(Path(picture).is_file() for picture in chosen["pictures"].values())
    assert own in text("status", *at)
    assert as_json("send", "--annotator", "simulated", *at)["tasks"] == 8 + 5
    text("fetch", *at)
    assert as_json("check", *at)["scenes"] == 8
    text("golden", *at)
    assert as_json("train", *at)["images"] == 8
    evaluated = as_json("evaluate", *at)
    assert evaluated["scenes"] == 7
    assert "v0" in text("stop", *at)
    status = as_json("status", *at)
    assert [row["state"] for row in status["rounds"]] == ["closed"]
    assert status["rounds"][0]["map"] == evaluated["map"]["value"]
    step = as_json("next", *at)
    assert step["step"] == "select"
    assert len(step["why"]) > 10
    assert step["result"]["round"] == "v1"
    explained = as_json("explain", chosen["scenes"][0]["key"], *at)
    assert explained["rounds"][0]["reason"] == chosen["scenes"][0]["reason"]
    assert as_json("replay", "v0", *at)["equal"] is True
    assert as_json("round", "cancel", "v1", "--reason", "another idea", *at)["state"] == "cancelled"
    ran = as_json("run", "--rounds", "2", *at)
    assert ran["waits"] is None
    assert [row["state"] for row in ran["status"]["rounds"]][-1] == "closed"
    assert as_json("repair", "--check", *at)["differences"] == []


def test_people_are_waited_for_with_exit_code_3(own: str) -> None:
    """Without an annotator the loop waits at the reference, and says how to go on; `run` reports where it stands."""
    at = ("--dataset", own)
    code, said, errors = run_cli("next", *at)
    assert (code, said) == (3, "")
    assert "swath reference --from FIELD" in errors
    assert errors.count("\n") == 1
    ran = as_json("run", *at, code=3)
    assert "reference" in ran["waits"]
    assert ran["status"]["next"]["step"] == "reference"


def test_a_difference_is_exit_code_3(own: str) -> None:
    """A tag that was removed by hand: `repair --check` names it and ends with 3, `repair` puts it back."""
    at = ("--dataset", own)
    loop = Loop.open(own)
    key = loop.workspace.members("val")[0]
    loop.workspace.scenes._collection.update_many({"scene_key": key}, {"$pull": {"tags": "split:val"}})
    found = as_json("repair", "--check", *at, code=3)
    assert [one["scene"] for one in found["differences"]] == [key]
    assert as_json("repair", *at)["differences"]
    assert as_json("repair", "--check", *at)["differences"] == []


# ---------------------------------------------------------------------- mistakes

HERE = "{dataset}"
MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown dataset": (("status", "--dataset", "nowhere"), "no dataset 'nowhere'; there are: "),
    "unknown dataset for init": (("init", "nowhere", "--fiftyone", "nowhere"), "there are: "),
    "unknown encoder": (("embed", "-d", HERE, "--encoder", "clip"), "embed.encoder"),
    "unknown label field": (("reference", "-d", HERE, "--from", "truth"), "no field 'truth'; there are: "),
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
        ("status",),
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


def test_a_defect_is_exit_code_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """What swath did not raise on purpose keeps its traceback, is called a defect, and ends with 4; stdout stays clean."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("swath.loop.Loop.open", broken)
    code, said, errors = run_cli("status", "--dataset", "any", "--json")
    assert (code, said) == (4, "")
    assert "ZeroDivisionError: planted" in errors
    assert "Traceback" in errors
    assert "defect" in errors.splitlines()[-1]


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
        "next",
        "run",
        "status",
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
    """A server that does not answer: exit code 1 and one line, long before the driver's own half minute."""
    uri = "mongodb://user:secret@127.0.0.1:9/"
    done = subprocess.run(
        [sys.executable, "-m", "swath", "status", "--dataset", "any"],
        capture_output=True,
        text=True,
        env=os.environ | {"FIFTYONE_DATABASE_URI": uri},
        timeout=25,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "no MongoDB answers at mongodb://127.0.0.1:9" in done.stderr
    assert "secret" not in done.stderr
    assert "FIFTYONE_DATABASE_URI" in done.stderr
