"""Training: what is learned from, that the dataset is free meanwhile, and that no training is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import quick_loop
from support import samples_of
from swath import models
from swath.errors import ConflictError, StateError
from swath.loop import Loop
from swath.records.batch import Trained
from swath.store.journal.batches import Batches
from swath.trainers.center import CenterTrainer

pytestmark = pytest.mark.database


@pytest.fixture
def loop(dataset_name: str) -> Loop:
    """A loop whose round v0 is checked."""
    loop = quick_loop.at("sent", dataset_name)
    loop.run(1, until="golden")
    assert loop.plan().step == "train"
    return loop


def shelf(loop: Loop) -> list[str]:
    """Models and their notes; not the hidden files by which trainings keep out of each other's way, which stay."""
    return sorted(path.name for path in (loop.workspace.home / "models").glob("[!.]*"))


def test_the_dataset_is_free_while_a_model_is_trained(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may write during the training; the record is written afterwards."""
    fit, seen = CenterTrainer.fit, []

    def slow(*args: Any, **kwargs: Any) -> Any:
        with Loop.open(loop.name, wait=0).workspace.writer("other") as writer:
            seen.append(writer.operation)
        return fit(*args, **kwargs)

    monkeypatch.setattr(CenterTrainer, "fit", slow)
    trained = loop.train()
    assert seen == ["other"]
    assert loop.workspace.journal.batches.get("v0").steps.train == trained


def test_a_training_whose_record_was_not_written_is_not_lost(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away during a training: the next `train` records what is on the shelf, and trains nothing."""

    def gone(*_: Any, **__: Any) -> Any:
        raise ConnectionError("the database went away")

    with monkeypatch.context() as patched:
        patched.setattr(Batches, "advance", gone)
        with pytest.raises(ConnectionError):
            loop.train()
    files = shelf(loop)
    assert [Path(name).suffix for name in files] == [".json", ".pt"]
    monkeypatch.setattr(CenterTrainer, "fit", gone)
    trained = loop.train()
    assert trained.models[0].model == files[1]
    assert shelf(loop) == files
    assert loop.plan().step == "evaluate"


def test_a_round_that_changed_meanwhile_is_not_recorded(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reopened during its training, and labelled and checked again: the model learned from other labels, and is refused."""
    fit = CenterTrainer.fit

    def slow(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(CenterTrainer, "fit", fit)
        other = Loop.open(loop.name, wait=0)
        other.reopen("v0", "look again")
        other.run(1, until="golden")
        return fit(*args, **kwargs)

    monkeypatch.setattr(CenterTrainer, "fit", slow)
    with pytest.raises(ConflictError, match="v0 was changed by another process while its model was trained"):
        loop.train()
    assert loop.workspace.journal.batches.get("v0").state == "checked"


def test_only_a_checked_round_is_trained(loop: Loop, dataset_name: str) -> None:
    """A round that is trained, or not checked yet, is refused before anything is trained."""
    loop.train()
    with pytest.raises(StateError, match="v0 is trained; this step needs it to be checked"):
        loop.train()


def test_what_was_done_by_hand_is_said(loop: Loop) -> None:
    """Scenes that were deleted, labels that were moved without changing their number, classes outside the map: trained all
    the same, and noted."""
    keys = sorted({row.key for row in loop.workspace.journal.assignments.labelled(role="pool") if row.count})
    samples = samples_of(loop)
    samples.delete_many({"scene_key": keys[0]})
    where = "human_detections.detections.0"
    moved = {f"{where}.bounding_box": [0.1, 0.1, 0.25, 0.25]}
    assert samples.update_one({"scene_key": keys[1], "group.name": "left"}, {"$set": moved}).modified_count
    named = {f"{where}.label": "zebra"}
    assert samples.update_one({"scene_key": keys[2], "group.name": "left"}, {"$set": named}).modified_count
    loop.workspace.scenes.refresh()
    found = loop.train()
    assert found.notes == (
        f"1 labelled scenes were deleted from the dataset, whole or in part: {keys[0]}",
        f"labels of 2 scenes are not the ones that were fetched (edited by hand?): {keys[1]}, {keys[2]}",
        "1 labels are of no class in the class map, or not finite: left out",
    )
    assert "zebra" not in found.models[0].objects


def test_repeated_trainings(loop: Loop) -> None:
    """Each has a seed and a hash of its own; the first is the round's model, and what it would be alone."""
    again = Loop.open(loop.name, changes={"train": {"repeats": 3}})
    found = again.train()
    (first,) = found.models
    assert (first.seed, len(found.repeats)) == (0, 2)
    assert found.trainings("2d") == (first, *found.repeats)
    assert (
        len({one.sha256 for one in found.trainings("2d")})
        == len({one.seed for one in found.trainings("2d")})
        == 3
    )
    assert len(shelf(loop)) == 6
    assert all(one.images == first.images and one.data != first.data for one in found.repeats)


def test_the_first_of_repeated_trainings_is_the_one_without(loop: Loop) -> None:
    """So repeats may be asked for at any time: what was trained stays the round's model."""
    alone = models.fit  # the model that `train` puts on the shelf
    fitted: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        fitted.append(kwargs["seed"])
        return alone(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "fit", counted)
        patched.setattr(Batches, "advance", lambda *_, **__: None)
        without = loop.train()
        patched.undo()
        patched.setattr(models, "fit", counted)
        found = Loop.open(loop.name, changes={"train": {"repeats": 2}}).train()
    assert found.models == without.models
    assert fitted == [0, found.repeats[0].seed]


KILLED = """
import os, signal
from swath.loop import Loop
from swath.trainers.center import CenterTrainer

fit, begun = CenterTrainer.fit, []

def killed(*args, **kwargs):
    begun.append(1)
    if len(begun) == 2:
        kwargs["progress"] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    return fit(*args, **kwargs)

CenterTrainer.fit = killed
Loop.open({name!r}, changes={{"train": {{"repeats": 3}}}}).train()
"""


def test_killed_in_the_second_of_three_trainings(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is on the shelf and is not trained again; the others are, and the round has what it would have had."""
    done = subprocess.run([sys.executable, "-c", KILLED.format(name=loop.name)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [Path(name).suffix for name in shelf(loop)] == [".json", ".pt"]
    assert loop.plan().step == "train"
    fit, begun = CenterTrainer.fit, []

    def counted(*args: Any, **kwargs: Any) -> Any:
        begun.append(kwargs["seed"])
        return fit(*args, **kwargs)

    monkeypatch.setattr(CenterTrainer, "fit", counted)
    found = Loop.open(loop.name, changes={"train": {"repeats": 3}}).train()
    assert begun == [one.seed for one in found.repeats]
    assert len(found.trainings("2d")) == 3
    assert len(shelf(loop)) == 6
    assert loop.workspace.journal.batches.get("v0").steps.train == found


def modalities(trained: Trained) -> list[str]:
    return [model.modality for model in trained.models]


def test_clouds_are_trained_where_that_is_asked_for(loop: Loop) -> None:
    """Images alone by default; with `trainer_3d` both, from the same scenes, each with its own file."""
    pillars = {"train": {"trainer_3d": "pillars", "pillars": {"steps": 2}}}
    both = Loop.open(loop.name, changes=pillars).train()
    assert modalities(both) == ["2d", "3d"]
    assert both.models[0].images == both.models[1].images == both.scenes
    assert len(shelf(loop)) == 4
    assert both.models[0].sha256 != both.models[1].sha256


def test_images_alone_by_default(loop: Loop) -> None:
    """Labels of clouds are collected, and not trained on."""
    found = loop.train()
    assert modalities(found) == ["2d"]
    assert found.scenes == found.models[0].images == 20


TOY = f"{sys.executable} {Path(__file__).parents[1] / 'trainers' / 'toy_command.py'}"
COMMAND = {
    "train": {
        "trainer": "command",
        "command": {
            "fit": f"{TOY} fit coco --data {{data}} --model {{model}} --seed {{seed}}",
            "predict": f"{TOY} predict coco --data {{data}} --model {{model}} --out {{out}}",
        },
    }
}


def test_a_command_closes_the_loop(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's detector is trained, evaluated and mined; its bad predictions are told; its models stay its own when
    another trainer is configured later."""
    own = Loop.open(loop.name, changes=COMMAND)
    (model,) = own.train().models
    assert (model.trainer, model.info["command"]) == ("command", COMMAND["train"]["command"]["fit"])
    monkeypatch.setenv("TOY", "garbage")
    record = own.evaluate().record
    assert [note for note in record.notes if "6 predictions of the command are no good" in note]
    assert record.failing > 0
    own.stop()
    monkeypatch.delenv("TOY")
    other = Loop.open(loop.name, changes={"train": {"trainer": "center"}})
    assert other.select(budget=5).targeted > 0  # looks for failing kinds with the model of v0, by its command
    assert other.workspace.config.train.trainer == "center"
