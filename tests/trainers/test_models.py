"""The shelf of models: what is trained once, is known by what it learned from, and is found again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath import models
from swath.encoders.base import Encoder
from swath.encoders.model import ModelEncoder
from swath.errors import FormatError, IntegrityError, SwathError
from swath.labels.shapes import Modality
from swath.records.batch import TrainedModel
from swath.trainers.base import Model, Predictions, Progress, TrainingSet

CLASSES = ("car", "person")
DATA = TrainingSet(
    ("a.png", "b.png", "c.png"),
    (np.array([[0.0, 0, 5, 5], [1, 1, 6, 6]]), np.zeros((0, 4)), np.array([[2.0, 2, 4, 4]])),
    (np.array([0, 1]), np.array([], dtype=np.int64), np.array([1])),
    ("d1", "d1", "d2"),
    CLASSES,
)
NAMES = ("a left", "b left", "c left")
SETTINGS: Mapping[str, Any] = {"steps": 3, "lr": 0.1}


@dataclass
class Fake:
    """A trainer whose model is a line of text; it counts how often it trains. What it sees of a file is the file's size."""

    modality: Modality = "2d"
    name: str = "fake"
    notes: tuple[str, ...] = ()
    fits: list[str] = field(default_factory=list)

    def fit(self, data: TrainingSet, out: Path, *, seed: int, progress: Progress | None = None) -> Model:
        self.fits.append(out.name)
        out.write_text(f"{data.media} {seed}")
        info = {"held_out": ("d2",), "loss": np.float64(0.5), "steps": np.int64(3), "at": Path("x")}
        return Model(str(out), f"{seed:064d}", data.classes, self.name, info)

    def predict(
        self, model: Model, media: Sequence[str], /, *, progress: Progress | None = None
    ) -> list[Predictions]:
        return [Predictions.none() for _ in media]

    def features(
        self, model: Model, media: Sequence[str], /, *, progress: Progress | None = None
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        rows = []
        for path in media:
            if not Path(path).exists():
                raise FormatError(f"{path}: expected an image, got nothing")
            rows.append([Path(path).stat().st_size, 1.0])
        return np.array(rows, np.float32).reshape(-1, 2)


def key_of(data: TrainingSet = DATA, names: Sequence[str] = NAMES, seed: int = 1, **settings: Any) -> str:
    return models.train_key(Fake(), data, names, {**SETTINGS, **settings}, seed)


def test_the_key_is_all_that_a_model_depends_on() -> None:
    """Another label, shape, class list, drive, scene, setting, seed or trainer is another key; another place on disk is not."""
    moved = replace(DATA, media=("/x/a.png", "/x/b.png", "/x/c.png"))
    assert key_of(moved) == key_of()
    nudged = (DATA.shapes[0] + [[0, 0, 0, 0], [0, 0, 0, 1e-9]], *DATA.shapes[1:])
    others = {
        key_of(replace(DATA, labels=(np.array([1, 1]), *DATA.labels[1:]))),
        key_of(replace(DATA, shapes=nudged)),
        key_of(replace(DATA, classes=("car", "human"))),
        key_of(replace(DATA, classes=("person", "car"))),
        key_of(replace(DATA, groups=("d1", "d2", "d2"))),
        key_of(names=("a left", "b left", "d left")),
        key_of(seed=2),
        key_of(steps=4),
        models.train_key(Fake(name="other"), DATA, NAMES, SETTINGS, 1),
        models.train_key(Fake(modality="3d"), DATA, NAMES, SETTINGS, 1),
    }
    assert len(others - {key_of()}) == 10


def test_a_model_is_put_on_the_shelf_and_found(tmp_path: Path) -> None:
    """The file is named by round, modality and key; its record counts what was learned from, as plain data; `find` gives the
    same record back, and `load` the model."""
    trainer, key = Fake(), key_of()
    assert models.find(tmp_path, "v0", "2d", key) is None
    trained = models.fit(tmp_path, "v0", trainer, DATA, key, seed=7)
    assert trained.model == f"v0-2d-{key[:12]}.pt"
    assert (trained.images, trained.negatives, trained.objects) == (3, 1, {"car": 1, "person": 2})
    assert trained.info == {"held_out": ["d2"], "loss": 0.5, "steps": 3, "at": "x"}
    assert trained.data == key
    assert models.find(tmp_path, "v0", "2d", key) == trained
    model = models.load(tmp_path, trained)
    assert model == Model(
        str(tmp_path / "models" / trained.model), f"{7:064d}", CLASSES, "fake", trained.info
    )


def test_a_later_round_that_learns_from_the_same_takes_the_same_model(tmp_path: Path) -> None:
    """A round whose scenes were all skipped has its predecessor's model; one of another key or modality has not."""
    key = key_of()
    trained = models.fit(tmp_path, "v0", Fake(), DATA, key, seed=7)
    assert models.find(tmp_path, "v1", "2d", key) == trained
    assert models.find(tmp_path, "v1", "3d", key) is None
    assert models.find(tmp_path, "v0", "2d", key[:12] + "0" * 52) is None


@pytest.mark.parametrize("what", ["no note", "half a note", "another model", "no model", "half a model"])
def test_what_is_not_whole_is_not_found(tmp_path: Path, what: str) -> None:
    """A training that was killed before its note, or a file that was changed since, is trained again."""
    key = key_of()
    trained = models.fit(tmp_path, "v0", Fake(), DATA, key, seed=7)
    model = tmp_path / "models" / trained.model
    note = model.with_suffix(".json")
    if what == "no note":
        note.unlink()
    elif what == "half a note":
        note.write_bytes(note.read_bytes()[:-20])
    elif what == "another model":
        content = json.loads(note.read_text())
        content["trained"]["model"] = "v9.pt"
        note.write_text(json.dumps(content))
    elif what == "no model":
        model.unlink()
    else:
        model.write_bytes(model.read_bytes()[:-1])
    assert models.find(tmp_path, "v0", "2d", key) is None


def test_a_model_that_is_gone_is_named(tmp_path: Path) -> None:
    """The error names the file, the round and the hash, whether the file is of today or of 0.1.0."""
    trained = models.fit(tmp_path, "v3", Fake(), DATA, key_of(), seed=7)
    (tmp_path / "models" / trained.model).unlink()
    with pytest.raises(
        IntegrityError, match=r"v3-2d-.*: the model of v3 is gone; put it back, its hash is 0{12}\.\.\."
    ):
        models.load(tmp_path, trained)
    with pytest.raises(IntegrityError, match=r"models/v0\.pt: the model of v0 is gone"):
        models.load(tmp_path, trained.with_(model="v0.pt"))


# ---------------------------------------------------------------------- as an encoder


@pytest.fixture
def trained(tmp_path: Path) -> TrainedModel:
    return models.fit(tmp_path, "v2", Fake(), DATA, key_of(), seed=7)


def test_it_is_an_encoder(tmp_path: Path, trained: TrainedModel) -> None:
    """Its name is the round's, its version the model's hash; it reads images, or clouds where it learned from clouds."""
    encoder = ModelEncoder("v2", tmp_path, trained, Fake())
    assert isinstance(encoder, Encoder)
    assert (encoder.name, encoder.version, encoder.slices, encoder.dim) == (
        "model:v2",
        "0" * 12,
        ("image",),
        2,
    )
    solid = ModelEncoder("v2", tmp_path, trained.with_(modality="3d"), Fake(modality="3d"))
    assert solid.slices == ("cloud",)
    for i, text in enumerate(("x", "yyy")):
        (tmp_path / f"{i}.png").write_text(text)
    found = encoder.encode([{"image": str(tmp_path / f"{i}.png"), "cloud": "none"} for i in (1, 0)])
    assert found.vectors.tolist() == [[3, 1], [1, 1]]
    assert found.problems == ()


def test_scenes_that_cannot_be_read_are_named(tmp_path: Path, trained: TrainedModel) -> None:
    """A missing file, or a scene without an image, is a problem of that scene; the others have their vectors."""
    (tmp_path / "0.png").write_text("x")
    there, gone = {"image": str(tmp_path / "0.png")}, {"image": str(tmp_path / "1.png")}
    encoder = ModelEncoder("v2", tmp_path, trained, Fake())
    for scenes in ([there, gone], [there, {"cloud": "c.pcd"}]):
        found = encoder.encode(scenes)
        assert found.vectors[0].tolist() == [1, 1]
        assert np.isnan(found.vectors[1]).all()
        assert [row for row, _ in found.problems] == [1]


def test_a_trainer_without_features_is_no_encoder(tmp_path: Path, trained: TrainedModel) -> None:
    """It is said at once, and so is a model that is gone."""

    class Blind:
        name, modality, notes = "blind", "2d", ()
        fit, predict = Fake.fit, Fake.predict

    with pytest.raises(SwathError, match="'blind' do not say what they see"):
        ModelEncoder("v2", tmp_path, trained, Blind())  # type: ignore[arg-type]
    (tmp_path / "models" / trained.model).unlink()
    with pytest.raises(IntegrityError, match="the model of v2 is gone"):
        ModelEncoder("v2", tmp_path, trained, Fake())
