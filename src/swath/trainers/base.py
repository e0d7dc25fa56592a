"""What a trainer is: labelled images in, a model file out; images in, boxes out.

A trainer gets the classes as a list that never changes between rounds: a label is a position in it. Images
without objects are training data too: what is not there is learned from them.
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

__all__ = ["FeatureTrainer", "Model", "Predictions", "Progress", "Trainer", "TrainingSet"]

Progress = Callable[[int, int], None]
"""Told `done, total` from time to time, so that an edge can draw a bar."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Labelled images. Row i of each: an image's path, its boxes (n, 4) px, its labels (n,), and its drive.

    `groups` names the drive of each image: near-duplicates share it, so that what is held out to stop a
    training is held out drive by drive. `classes` is the frozen class list that labels index. SwathError if
    rows don't fit together, a label is no class, or a box holds a NaN.
    """

    images: tuple[str, ...]
    boxes: tuple[NDArray[np.float64], ...]
    labels: tuple[NDArray[np.int64], ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        counts = {name: len(getattr(self, name)) for name in ("images", "boxes", "labels", "groups")}
        if len(set(counts.values())) > 1:
            raise SwathError(
                f"training set: expected as many boxes, labels and groups as images, got {counts}"
            )
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            raise SwathError(f"training set: expected a list of different classes, got {some(self.classes)}")
        for image, boxes, labels in zip(self.images, self.boxes, self.labels, strict=True):
            if boxes.shape != (len(labels), 4) or not np.isfinite(boxes).all():
                expected = f"{len(labels)} boxes of 4 finite numbers, one per label"
                raise SwathError(f"training set, {image}: expected {expected}, got shape {boxes.shape}")
            if len(labels) and not (labels.min() >= 0 and labels.max() < len(self.classes)):
                most = len(self.classes) - 1
                raise SwathError(f"training set, {image}: expected labels 0 to {most}, got {labels.tolist()}")


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
    """Trains and predicts. The same data and seed give a model of the same `sha256`."""

    @property
    def name(self) -> str: ...

    def fit(self, data: TrainingSet, out: Path, *, seed: int, progress: Progress | None = None) -> Model:
        """Trains on `data`, and writes the model to the file `out`: whole or not at all.

        SwathError if there is nothing to train on, or an image can't be read.
        """
        ...

    def predict(
        self, model: Model, images: Sequence[str], *, progress: Progress | None = None
    ) -> list[Predictions]:
        """One result per image, in order; boxes in pixels of that image, best first.

        IntegrityError if the file's content is not `model.sha256`.
        """
        ...


@runtime_checkable
class FeatureTrainer(Trainer, Protocol):
    """A trainer whose models can also say what they see: used as the encoder `model:vN`."""

    def features(
        self, model: Model, images: Sequence[str], *, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """(n, d) pooled features of the model's backbone, one row per image; (0, d) without images."""
        ...
