"""Worlds in which a model's learning is a formula, so that what an arm is worth is known: no image is read, a cell takes
milliseconds.

A scene is of a mode, and holds objects of that mode's classes; its vector says the mode, and little else. A model finds an
object with the chance 1 - exp(-n / need), n: objects of its class and mode that it learned from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from swath.backtest.archive import Archive, Sample
from swath.config import LoopConfig, merged
from swath.formats.files import write_atomic
from swath.kernels.detection import Predictions
from swath.trainers.base import Model, TrainingSet

SETTINGS: Mapping[str, Any] = {
    "select": {"zcore_max_draws": 1000},
    "evaluate": {"resamples": 40},
    "train": {"seed": 0},
}


@dataclass(frozen=True)
class Mode:
    """share of the drives; classes: name -> objects per scene; need: objects of a class that teach it to 63 %."""

    share: float
    classes: Mapping[str, int]
    need: float


@dataclass(frozen=True)
class TinyWorld:
    modes: tuple[Mode, ...]
    classes: tuple[str, ...]
    drives: int = 40
    frames: int = 4
    seed: int = 0

    def archive(self, **select: Any) -> Archive:
        rng = np.random.default_rng([self.seed, 1])
        shares = np.array([mode.share for mode in self.modes])
        bounds = np.cumsum(shares / shares.sum()) * self.drives
        of_drive = rng.permutation(np.searchsorted(bounds, np.arange(self.drives) + 0.5))
        keys, drives, samples, vectors, boxes = [], [], [], [], []
        for number in range(self.drives * self.frames):
            drive, mode = number // self.frames, int(of_drive[number // self.frames])
            labels = [
                self.classes.index(name) for name, n in self.modes[mode].classes.items() for _ in range(n)
            ]
            shapes = np.array([[40 * i, 10, 40 * i + 20, 40] for i in range(len(labels))], float).reshape(
                -1, 4
            )
            keys.append(f"{number:04d}")
            drives.append(f"d{drive:02d}")
            path = f"/nowhere/{number:04d}-{mode}.png"
            samples.append((Sample("left", path, shapes, np.array(labels, dtype=np.int64)),))
            vector = rng.normal(0, 0.15, 8)
            vector[mode] += 1
            vectors.append(vector)
            boxes.append(len(labels))
        config = merged(LoopConfig(classes=self.classes), {**SETTINGS, "seed": self.seed}, "tiny")
        config = merged(config, {"select": select}, "tiny")
        return Archive(
            name="tiny",
            config=config,
            modality="2d",
            keys=tuple(keys),
            drives=tuple(drives),
            channels=(("left",),) * len(keys),
            samples=tuple(samples),
            vectors=np.array(vectors, dtype=np.float32),
            boxes=np.array(boxes, dtype=np.int64),
            cuboids=np.zeros(len(keys), dtype=np.int64),
        )


@dataclass
class TinyTrainer:
    """Learns a world by its formula. `seed` changes which objects are found."""

    archive: Archive
    needs: Sequence[float]
    name: str = "tiny"
    modality: str = "2d"
    notes: tuple[str, ...] = ()
    _samples: dict[str, Sample] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._samples = {one.path: one for samples in self.archive.samples for one in samples}

    def fit(self, data: TrainingSet, out: Path, *, seed: int, progress: Any = None) -> Model:
        learned = np.zeros((len(self.needs), len(data.classes)))
        for path, labels in zip(data.media, data.labels, strict=True):
            np.add.at(learned[mode_of(path)], labels, 1)
        content = json.dumps({"learned": learned.tolist(), "seed": seed}).encode()
        write_atomic(out, content)
        return Model(str(out), hashlib.sha256(content).hexdigest(), data.classes, self.name)

    def predict(self, model: Model, media: Sequence[str], /, *, progress: Any = None) -> list[Predictions]:
        told = json.loads(Path(model.path).read_bytes())
        learned = np.array(told["learned"])
        return [self._see(path, learned, told["seed"]) for path in media]

    def _see(self, path: str, learned: np.ndarray[Any, Any], seed: int) -> Predictions:
        mode, sample = mode_of(path), self._samples[path]
        rng = np.random.default_rng([seed, int(Path(path).stem.split("-")[0])])
        chance = 1 - np.exp(-learned[mode][sample.labels] / self.needs[mode])
        found, sure = rng.random((2, len(sample.labels)))
        seen = (found < chance) | (found > 0.9)  # of what it does not find, some it sees out of place
        shifted = np.where((found < chance)[:, None], sample.shapes, sample.shapes + 15)
        scores = np.where(found < chance, 0.4 + 0.6 * sure, 0.3 * sure)
        return Predictions(shifted[seen], scores[seen], sample.labels[seen])


def mode_of(path: str) -> int:
    return int(Path(path).stem.split("-")[1])


@dataclass(frozen=True)
class Learns:
    """Makes the trainer of a world."""

    world: TinyWorld

    def __call__(self, archive: Archive) -> Any:
        return TinyTrainer(archive, [mode.need for mode in self.world.modes])


@dataclass
class Spies:
    """The same; keeps what was learned from and predicted."""

    world: TinyWorld
    fits: int = 0
    learned: set[str] = field(default_factory=set)
    predicted: list[set[str]] = field(default_factory=list)

    def __call__(self, archive: Archive) -> Any:
        trainer = Learns(self.world)(archive)
        fit, predict = trainer.fit, trainer.predict

        def fit_too(data: TrainingSet, *rest: Any, **more: Any) -> Any:
            self.fits += 1
            self.learned.update(data.media)
            return fit(data, *rest, **more)

        def predict_too(model: Model, media: Sequence[str], **more: Any) -> Any:
            self.predicted.append(set(media))
            return predict(model, media, **more)

        trainer.fit, trainer.predict = fit_too, predict_too
        return trainer


def no_difference(seed: int) -> TinyWorld:
    """Nothing in particular to choose."""
    modes = (Mode(0.6, {"car": 3}, 60), Mode(0.4, {"person": 2}, 40))
    return TinyWorld(modes, ("car", "person"), seed=seed)


def targeting_helps(seed: int) -> TinyWorld:
    """A class that is rare, looks like nothing else, and is learned from little; the others are learned soon."""
    modes = (Mode(0.75, {"car": 3}, 6), Mode(0.15, {"person": 2}, 6), Mode(0.1, {"tram": 1}, 8))
    return TinyWorld(modes, ("car", "person", "tram"), drives=60, seed=seed)


def targeting_hurts(seed: int) -> TinyWorld:
    """Scenes that cannot be learned (labels that are noise) look alike and fail for ever; the rest takes many labels."""
    modes = (Mode(0.35, {"noise": 3}, 1e9), Mode(0.35, {"car": 2}, 60), Mode(0.3, {"person": 2}, 60))
    return TinyWorld(modes, ("car", "person", "noise"), drives=60, seed=seed)
