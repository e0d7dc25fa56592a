"""A detector of somebody else's as a trainer: what it is given, and what becomes of it when it misbehaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from swath.config import LoopConfig, Train, parse
from swath.errors import ConfigError, IntegrityError, SwathError
from swath.trainers import make, settings_of
from swath.trainers.base import TrainingSet
from swath.trainers.command import CommandTrainer
from swath.trainers.commands import arguments, run

TOY = f"{sys.executable} {Path(__file__).with_name('toy_command.py')}"
TRAINER = CommandTrainer(
    "2d",
    f"{TOY} fit coco --data {{data}} --model {{model}} --seed {{seed}}",
    f"{TOY} predict coco --data {{data}} --model {{model}} --out {{out}}",
)


@pytest.fixture
def data(tmp_path: Path) -> TrainingSet:
    path = tmp_path / "a b.png"
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(path)
    boxes = np.array([[10.0, 5.0, 30.0, 25.0]])
    return TrainingSet((str(path),), (boxes,), (np.array([1]),), ("drive",), ("thing", "other"))


def left_behind(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.glob(".work-*"))


def test_it_learns_and_predicts(data: TrainingSet, tmp_path: Path) -> None:
    """What the command remembered comes back, in the frozen classes; the log is beside the model, the work folder is gone."""
    model = TRAINER.fit(data, tmp_path / "shelf" / "m.pt", seed=3)
    (found,) = TRAINER.predict(model, data.media)
    np.testing.assert_array_equal(found.boxes, [[10, 5, 30, 25]])  # type: ignore[union-attr]
    assert (found.labels.tolist(), TRAINER.notes) == ([1], [])
    assert "progress 3/3" in (tmp_path / "shelf" / "m.log").read_text()
    assert left_behind(tmp_path / "shelf") == []
    assert model.info["command"] == TRAINER.fit_command


@pytest.mark.parametrize(("data_as", "back_as"), [("yolo", "coco"), ("kitti", "kitti")])
def test_other_formats(data: TrainingSet, tmp_path: Path, data_as: str, back_as: str) -> None:
    """The data come in the format that is asked for."""
    fit = f"{TOY} fit {data_as} --data {{data}} --model {{model}} --seed {{seed}}"
    trainer = replace(TRAINER, fit_command=fit, format=data_as, predictions=back_as)  # type: ignore[arg-type]
    model = trainer.fit(data, tmp_path / "m.pt", seed=0)
    assert model.sha256 == trainer.fit(data, tmp_path / "n.pt", seed=0).sha256
    if data_as == "kitti":
        predict = f"{TOY} predict kitti --data {{data}} --model {{model}} --out {{out}}"
        (found,) = replace(trainer, predict_command=predict).predict(model, data.media)
        np.testing.assert_array_equal(found.boxes, [[10, 5, 30, 25]])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fail", r"ended with exit code 7; its last words: out of luck; all of them: .*m\.log"),
        ("nothing", r"wrote no model to \{model\}"),
    ],
)
def test_a_command_that_fails_says_how(
    data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, message: str
) -> None:
    """Exit code, last words and the log; no model, and nothing left lying about."""
    monkeypatch.setenv("TOY", how)
    with pytest.raises(SwathError, match=message):
        TRAINER.fit(data, tmp_path / "m.pt", seed=0)
    assert not (tmp_path / "m.pt").exists()
    assert left_behind(tmp_path) == []


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    """Its whole process group is."""
    note = tmp_path / "pid"
    child = f"import subprocess, sys; p = subprocess.Popen(['sleep', '600']); open({str(note)!r}, 'w').write(str(p.pid)); p.wait()"
    (tmp_path / "child.py").write_text(child)
    with pytest.raises(
        SwathError, match=r"did not end within 3 seconds and was ended; its last words: nothing"
    ):
        run(f"{sys.executable} {{program}}", {"program": tmp_path / "child.py"}, tmp_path / "log", 3, None)
    pid = int(note.read_text())
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child lives on")


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    """One line with its name."""
    with pytest.raises(SwathError, match=r"could not be started: '/no/such': No such file"):
        run("/no/such {x}", {"x": 1}, tmp_path / "log", 3, None)


def test_words_stay_words() -> None:
    """What is put in is one word, whatever it holds: no shell looks at it."""
    assert arguments("python 'my fit.py' --data={data} {x}", {"data": "a b; rm -rf $HOME", "x": 3}) == [
        "python",
        "my fit.py",
        "--data=a b; rm -rf $HOME",
        "3",
    ]


def test_bad_predictions_are_left_out_and_said(
    data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good ones count; how many are no good, and why, is a note of the evaluation."""
    trainer = replace(TRAINER, notes=[])
    model = trainer.fit(data, tmp_path / "m.pt", seed=0)
    monkeypatch.setenv("TOY", "garbage")
    (found,) = trainer.predict(model, data.media)
    assert len(found.scores) == 1
    (note,) = trainer.notes
    assert note.startswith("6 predictions of the command are no good and were left out: predictions.json[")


def test_a_model_may_be_a_folder(data: TrainingSet, tmp_path: Path) -> None:
    """It comes back as it was, its hash is of names and contents, and a changed byte is found."""
    (tmp_path / "fit.py").write_text(
        "import sys, pathlib\nm = pathlib.Path(sys.argv[1])\n(m / 'a').mkdir(parents=True)\n"
        "(m / 'a' / 'w.bin').write_bytes(b'12')\n(m / 'a-b').write_text('x')\n"
    )
    (tmp_path / "predict.py").write_text(
        "import sys, pathlib, json\nm, d, o = map(pathlib.Path, sys.argv[1:])\n"
        "assert (m / 'a' / 'w.bin').read_bytes() == b'12' and (m / 'a-b').read_text() == 'x'\n"
        "(o / 'predictions.json').write_text('[]')\n"
    )
    trainer = CommandTrainer(
        "2d",
        f"{sys.executable} {tmp_path / 'fit.py'} {{model}} {{data}}",
        f"{sys.executable} {tmp_path / 'predict.py'} {{model}} {{data}} {{out}}",
    )
    model = trainer.fit(data, tmp_path / "m.pt", seed=0)
    assert [len(one.scores) for one in trainer.predict(model, data.media)] == [0]
    content = bytearray((tmp_path / "m.pt").read_bytes())
    at = content.index(b"12")
    content[at : at + 2] = b"13"
    (tmp_path / "m.pt").write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match="train again"):
        trainer.predict(model, data.media)


def test_what_killed_processes_left_is_removed(data: TrainingSet, tmp_path: Path) -> None:
    """The work folder of a process that is no more goes; that of one that works stays."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getppid()):
        (tmp_path / f".work-{pid}-x").mkdir()
    TRAINER.fit(data, tmp_path / "m.pt", seed=0)
    assert left_behind(tmp_path) == [f".work-{os.getppid()}-x"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "train.py {data}"}, r"command\.fit: expected {data}, {model} in it, got no {model}"),
        ({"predict": "p {model} {data} {outt} {out}"}, r"{outt}: expected one of .*did you mean 'out'"),
        ({"fit": "train.py '{data} {model}"}, r"expected a command as a shell reads it"),
        ({"format": "voc"}, r"command\.format"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, str], message: str) -> None:
    """A command that does not say where its data are, or names what there is not, is found out when it is set."""
    with pytest.raises(ConfigError, match=message):
        parse({"train": {"command": settings}}, "swath.yaml")


def test_a_trainer_without_commands_says_which_to_give() -> None:
    """Also for clouds, whose format is kitti."""
    with pytest.raises(ConfigError, match=r"train: \{command: \{fit: \.\.\., predict: \.\.\.\}\}"):
        parse({"train": {"trainer": "command"}}, "swath.yaml")
    with pytest.raises(ConfigError, match=r"train: \{command_3d:"):
        parse({"train": {"trainer_3d": "command", "command": {"fit": "a {data} {model}"}}}, "swath.yaml")
    with pytest.raises(ConfigError, match=r"train: \{command: \{fit: \.\.\., predict: \.\.\.\}\}"):
        make(Train(), "2d", "command")  # a model of it is there, its commands are not


def test_ultralytics_needs_its_own_python(tmp_path: Path) -> None:
    """Where there is none, the way to it is said; weights that are not there are not downloaded; else it is a command."""
    with pytest.raises(ConfigError, match="make ultralytics"):
        make(Train.model_validate({"trainer": "ultralytics", "ultralytics": {"python": "/no/python"}}), "2d")
    there = {"python": sys.executable, "model": "yolov8n.pt"}
    with pytest.raises(ConfigError, match=r"there is no yolov8n.pt, and nothing is downloaded"):
        make(Train.model_validate({"trainer": "ultralytics", "ultralytics": there}), "2d")
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"")
    made = make(Train.model_validate({"ultralytics": {**there, "model": str(weights)}}), "2d", "ultralytics")
    assert isinstance(made, CommandTrainer)
    assert (made.name, made.format, made.predictions) == ("ultralytics", "yolo", "coco")
    assert str(weights) in made.fit_command


def test_a_model_depends_on_its_commands() -> None:
    """Other commands, other model: the settings that training the same again is known by hold them; and they are plain data."""
    train = LoopConfig.model_validate({"train": {"command": {"fit": "a {data} {model}"}}}).train
    settings = settings_of(train, "command", "2d")
    assert settings["fit"] == "a {data} {model}"
    assert json.loads(json.dumps(dict(settings_of(train, "ultralytics", "2d"))))["model"] == "yolov8n.yaml"
    assert settings_of(train, "command", "3d")["format"] == "kitti"
