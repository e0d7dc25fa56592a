"""A model of FiftyOne's zoo as an encoder. Its weights are downloaded by FiftyOne on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from swath.encoders.base import Encoded, Progress, Sensor, gather, path_of
from swath.errors import SwathError, UnknownNameError, some
from swath.formats.images import read_image


class Zoo:
    """The embeddings of the zoo model `model`, for the left image. Images go through one at a time, in
    order."""

    slices: tuple[Sensor, ...] = ("image",)

    def __init__(self, model: str) -> None:
        import fiftyone
        import fiftyone.zoo

        known = fiftyone.zoo.list_zoo_models()
        if model not in known:
            raise UnknownNameError(f"no model {model!r} in FiftyOne's zoo; it has {some(sorted(known), 12)}")
        try:
            self._model = fiftyone.zoo.load_zoo_model(model)
        except Exception as error:  # downloads, missing packages: whatever a model needs and has not got
            raise SwathError(f"the zoo model {model} can't be loaded: {error}") from error
        if not self._model.has_embeddings:
            raise SwathError(
                f"the zoo model {model} has no embeddings; choose one that has (clip, dinov2, ...)"
            )
        self.name = f"zoo:{model}"
        self.version = f"fiftyone {fiftyone.__version__}"
        self._dim = len(self._vector(np.zeros((224, 224, 3), np.uint8)))

    @property
    def dim(self) -> int:
        return self._dim

    def encode(
        self, paths: Sequence[Mapping[str, str]], *, workers: int = 1, progress: Progress | None = None
    ) -> Encoded:
        # One worker, whatever is asked for: zoo models promise nothing about threads.
        return gather(paths, self._one, self._dim, 1, progress)

    def _one(self, scene: Mapping[str, str]) -> npt.NDArray[np.float32]:
        return self._vector(read_image(path_of(scene, "image")))

    def _vector(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.asarray(self._model.embed(image), np.float32).reshape(-1)
