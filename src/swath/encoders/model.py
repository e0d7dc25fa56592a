"""The loop's own detector as an encoder: `model:vN`, the pooled features of a round's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from swath import models
from swath.encoders.base import Encoded, Progress, Sensor, gather, path_of
from swath.errors import FormatError, SwathError
from swath.records.batch import TrainedModel
from swath.trainers.base import FeatureTrainer, Trainer


class ModelEncoder:
    """What the model of round `name` sees in an image; in a cloud, where it is a model of clouds."""

    def __init__(self, name: str, home: Path, trained: TrainedModel, trainer: Trainer) -> None:
        if not isinstance(trainer, FeatureTrainer):
            raise SwathError(f"embed: models of the trainer {trainer.name!r} do not say what they see")
        self._model = models.load(home, trained)
        self._trainer: FeatureTrainer = trainer
        self.name, self.version = f"model:{name}", self._model.sha256[:12]
        self.slices: tuple[Sensor, ...] = ("image",) if trained.modality == "2d" else ("cloud",)

    @property
    def dim(self) -> int:
        return int(self._trainer.features(self._model, []).shape[1])

    def encode(
        self,
        paths: Sequence[Mapping[str, str]],
        *,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> Encoded:
        sensor = self.slices[0]
        if all(scene.get(sensor) for scene in paths):
            try:
                media = [scene[sensor] for scene in paths]
                return Encoded(self._trainer.features(self._model, media, progress=progress), ())
            except FormatError:
                pass  # a file is damaged: scene by scene it shows which

        def one(scene: Mapping[str, str]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
            row = self._trainer.features(self._model, [path_of(scene, sensor)])[0]
            return np.asarray(row, np.float32).reshape(-1)

        return gather(paths, one, self.dim, 1, progress)
