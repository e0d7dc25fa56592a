"""What a trainer is: labelled media in, a model file out; media in, objects out.

A trainer learns one modality: 2D boxes in images, or cuboids in clouds. It gets the classes as a list that
never changes between rounds: a label is a position in it. Media without objects are training data too: what
is not there is learned from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from swath.errors import SwathError, some
from swath.kernels.detection import Predictions
from swath.kernels.detection3d import Predictions3D
from swath.labels.shapes import Modality

__all__ = [
    "FeatureTrainer",
    "Model",
    "Predictions",
    "Predictions3D",
    "Progress",
    "Trainer",
    "TrainingSet",
]

Progress = Callable[[int, int], None]
"""Told `done, total` from time to time, so that an edge can draw a bar."""

SHAPES = (4, 9)  # numbers of a box (x1, y1, x2, y2 in px), of a cuboid (LiDAR frame, see `labels.shapes`)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Labelled images, or labelled clouds. Row i of each: a file's path, its shapes, its labels (n,), its
    drive. Shapes are boxes (n, 4) px in all rows, or cuboids (n, 9) in all.

    `groups` names the drive of each file: near-duplicates share it, so that what is held out to stop a
    training is held out drive by drive. `classes` is the frozen class list that labels index. SwathError if
    rows don't fit together, a label is no class, or a shape holds a NaN.
    """

    media: tuple[str, ...]
    shapes: tuple[NDArray[np.float64], ...]
    labels: tuple[NDArray[np.int64], ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        counts = {name: len(getattr(self, name)) for name in ("media", "shapes", "labels", "groups")}
        if len(set(counts.values())) > 1:
            raise SwathError(
                f"training set: expected as many shapes, labels and groups as media, got {counts}"
            )
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            raise SwathError(f"training set: expected a list of different classes, got {some(self.classes)}")
        numbers = (
            self.shapes[0].shape[-1] if self.shapes and self.shapes[0].shape[-1] in SHAPES else SHAPES[0]
        )
        for path, shapes, labels in zip(self.media, self.shapes, self.labels, strict=True):
            if shapes.shape != (len(labels), numbers) or not np.isfinite(shapes).all():
                expected = f"{len(labels)} shapes of {numbers} finite numbers, one per label"
                raise SwathError(f"training set, {path}: expected {expected}, got shape {shapes.shape}")
            if len(labels) and not (labels.min() >= 0 and labels.max() < len(self.classes)):
                most = len(self.classes) - 1
                raise SwathError(f"training set, {path}: expected labels 0 to {most}, got {labels.tolist()}")

    @property
    def modality(self) -> Modality:
        """`3d` where the shapes are cuboids."""
        return "3d" if self.shapes and self.shapes[0].shape[-1] == SHAPES[1] else "2d"


@dataclass(frozen=True)
class Model:
    """A trained model: its file, the hash of its content (not of the file's bytes), its classes, who made it.

    `info` is what a person may want to know: what was held out, losses, seconds. No decision reads it.
    """

    path: str
    sha256: str
    classes: tuple[str, ...]
    trainer: str
    info: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Trainer(Protocol):
    """Trains and predicts one modality. The same data and seed give a model of the same `sha256`."""

    @property
    def name(self) -> str: ...

    @property
    def modality(self) -> Modality:
        """What it learns: `2d` boxes in images, or `3d` cuboids in clouds."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What is worth saying of the predictions that it made so far."""
        ...

    def fit(self, data: TrainingSet, out: Path, *, seed: int, progress: Progress | None = None) -> Model:
        """Trains on `data`, and writes the model to the file `out`: whole or not at all.

        SwathError if there is nothing to train on, or a file can't be read.
        """
        ...

    def predict(
        self, model: Model, media: Sequence[str], /, *, progress: Progress | None = None
    ) -> Sequence[Predictions | Predictions3D]:
        """One result per file, in order, best first: `Predictions` with boxes in pixels of that image, or
        `Predictions3D` with cuboids in the LiDAR frame.

        IntegrityError if the file's content is not `model.sha256`.
        """
        ...


@runtime_checkable
class FeatureTrainer(Trainer, Protocol):
    """A trainer whose models can also say what they see: used as the encoder `model:vN`."""

    def features(
        self, model: Model, media: Sequence[str], /, *, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """(n, d) pooled features of the model's backbone, one row per file; (0, d) without files."""
        ...
