"""The built-in detector: a small center detector, trained from nothing in under a minute on one CPU thread.

It is made to close the loop anywhere, not to win: 0.76 million parameters, no pretrained weights (but those of a backbone, for
who asks for one). With one thread the same images, settings and seed give the same weights, bit for bit, on the same machine and torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, SwathError
from swath.kernels.detection import References, match_images
from swath.labels.shapes import Modality
from swath.trainers._center_images import (
    Boxes,
    Labels,
    Samples,
    Shrunk,
    as_input,
    height_for,
    in_image,
    read_image,
)
from swath.trainers.base import Model, Predictions, Progress, TrainingSet
from swath.trainers.fitting import Learner, Pace, alike, channels_last, hold_out, learn, steady_torch, weights
from swath.trainers.model_file import read_model, write_model
from swath.trainers.scores import fit_scores, fitted

if TYPE_CHECKING:
    from torch import Tensor

    from swath.trainers._center_first import FirstNet
    from swath.trainers._center_net import CenterNet, LevelNet
    from swath.trainers._center_pretrained import PretrainedNet
    from swath.trainers.fitting import Rates

BUILT_IN, PRETRAINED = "built-in", "efficientnet-lite0"
Backbone = Literal["built-in", "efficientnet-lite0"]
FORMATS: Final = (1, 2, 3)
"""Of the model file. 1: another network, no fitted scores; 3: as 2, on a pretrained backbone."""
SECONDS: Final[Mapping[tuple[str, bool], float]] = {
    (BUILT_IN, True): 0.5,
    (PRETRAINED, True): 2.5,
    (PRETRAINED, False): 0.7,
}
"""Of processor time that a megapixel of the input costs each time it trains (Intel Xeon, one thread), by backbone, and whether
that learns too."""

Found = Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]]


class _Network(Protocol):
    """What the networks of all formats answer, for images (B, 3, H, W)."""

    features: int

    def found(self, images: Tensor, most: int) -> Found: ...

    def pooled(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class CenterTrainer:
    """Settings of the center detector; the defaults suit a loop that is to go on within a minute or two.

    width: of the network's input, px, a multiple of 16; the height follows the training images' aspect
    epochs, seconds, steps, batch, lr: see `Pace`
    threads: of torch; 1 gives the same weights every time
    holdout: share of the drives that is kept apart, to choose among `checks` checkpoints; 0: take the last
    backbone: what sees; efficientnet-lite0 comes with ImageNet's weights (extra `pretrained`)
    backbone_rate: its share of the learning rate, where it is a pretrained one; 0: it stays as it came
    min_score, most: predictions below the score or beyond the count (per image) are not reported
    """

    width: int = 384
    epochs: float = 64.0
    seconds: float = 600.0
    steps: int = 0
    batch: int = 4
    lr: float = 3e-3
    backbone: Backbone = "built-in"
    backbone_rate: float = 0.0
    threads: int = 1
    holdout: float = 0.15
    checks: int = 5
    min_score: float = 0.02
    most: int = 60

    def __post_init__(self) -> None:
        if self.width < 32 or self.width % 16 or min(self.threads, self.most) < 1:
            raise ConfigError(
                f"center trainer: expected a width that is a multiple of 16 and positive counts, got {self}"
            )
        if self.backbone not in (BUILT_IN, PRETRAINED) or not 0 <= self.backbone_rate <= 1:
            raise ConfigError(
                f"center trainer: expected a backbone {BUILT_IN} or {PRETRAINED} and a rate of 0 to 1 of it, got {self}"
            )
        if not 0 <= self.holdout < 1:
            raise ConfigError(f"center trainer: expected 0 <= holdout < 1, got {self}")
        _ = self.pace

    @property
    def pace(self) -> Pace:
        return Pace(self.epochs, self.seconds, self.steps, self.batch, self.lr, self.checks)

    @property
    def cost(self) -> float:
        """Seconds that a megapixel of the input is said to cost each time it trains."""
        return SECONDS[self.backbone, self.backbone == BUILT_IN or self.backbone_rate > 0]

    @property
    def name(self) -> str:
        return "center"

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @property
    def modality(self) -> Modality:
        return "2d"

    def fit(self, data: TrainingSet, out: Path, *, seed: int, progress: Progress | None = None) -> Model:
        """Trains, and writes `out` in one piece. See `Trainer.fit`.

        Some drives (`holdout` of them, at least one) are kept out of training, and of the checkpoints in its
        second half the one with the least loss on them is taken. That needs two drives; with one, all images
        train, the last checkpoint is taken, and `info["held_out"]` is empty.
        """
        if not data.media:
            raise SwathError("training: expected labelled images, got none; label a batch first")
        if data.shapes[0].shape[1] != 4:
            raise SwathError("training: the center trainer learns boxes in images, got cuboids")
        started = time.process_time()
        height = height_for(data.media, self.width)
        shrunk = [read_image(path, self.width, height) for path in data.media]
        samples = Samples(
            np.stack([one.pixels for one in shrunk]),
            [one.scale * boxes for one, boxes in zip(shrunk, data.shapes, strict=True)],
            list(data.labels),
        )
        rng = np.random.default_rng(seed)
        held = hold_out(data.groups, self.holdout, rng)
        apart = np.array([group in held for group in data.groups], dtype=bool)
        with steady_torch(self.threads, seed):
            state, fit, info = _train(self, shrunk, samples, apart, len(data.classes), rng, progress)
        header: dict[str, Any] = {
            "format": 2 if self.backbone == BUILT_IN else 3,
            "classes": list(data.classes),
            "width": self.width,
            "height": height,
            "scores": fit.tolist(),
        }
        if self.backbone != BUILT_IN:
            header["backbone"] = self.backbone
        digest = write_model(out, header, state)
        info |= {
            "images": len(data.media),
            "objects": sum(len(boxes) for boxes in data.shapes),
            "held_out": sorted(held),
            "cpu_seconds": round(time.process_time() - started, 1),
        }
        return Model(str(out), digest, data.classes, self.name, info)

    def predict(
        self, model: Model, images: Sequence[str], *, progress: Progress | None = None
    ) -> list[Predictions]:
        """See `Trainer.predict`. Boxes are cut to the image; those left without area are dropped."""
        found: list[Predictions] = []

        def collect(net: _Network, batch: Tensor, shrunk: list[Shrunk], fit: NDArray[np.float64]) -> None:
            found.extend(_read(self, net, batch, shrunk, fit))

        self._see(model, images, collect, progress)
        return found

    def features(
        self, model: Model, images: Sequence[str], *, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """(n, 320), or (n, 472) with a pretrained backbone: what it sees, averaged over each image. See `FeatureTrainer.features`."""
        rows: list[NDArray[np.float32]] = []

        def collect(net: _Network, batch: Tensor, *_: object) -> None:
            rows.append(net.pooled(batch).numpy())

        net = self._see(model, images, collect, progress)
        return np.concatenate([np.zeros((0, net.features), dtype=np.float32), *rows])

    def _see(
        self,
        model: Model,
        images: Sequence[str],
        collect: Callable[[_Network, Tensor, list[Shrunk], NDArray[np.float64]], None],
        progress: Progress | None,
    ) -> _Network:
        """Hands the loaded network, which it returns, the images and what is known of its scores to `collect`, batch by batch, in order."""
        header, state = read_model(model, FORMATS)
        fit = np.array(header.get("scores", [[1.0, 0.0]] * len(model.classes)))
        with steady_torch(self.threads, seed=0):
            import torch

            net = _loaded(header["format"], state, len(model.classes))
            with torch.no_grad():
                for start in range(0, len(images), self.batch):
                    paths = images[start : start + self.batch]
                    shrunk = [read_image(path, header["width"], header["height"]) for path in paths]
                    collect(net, as_input(np.stack([one.pixels for one in shrunk])), shrunk, fit)
                    if progress:
                        progress(start + len(paths), len(images))
        return net


def _loaded(form: int, state: dict[str, NDArray[Any]], classes: int) -> _Network:
    """The network of a model file of this format."""
    import torch

    net = _network(form, classes)
    net.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
    return channels_last(net.eval())


def _network(form: int, classes: int) -> FirstNet | CenterNet | PretrainedNet:
    """The network that model files of this format hold, with weights that mean nothing."""
    if form == 1:
        from swath.trainers._center_first import FirstNet

        return FirstNet(classes)
    if form == 2:
        from swath.trainers._center_net import CenterNet

        return CenterNet(classes)
    from swath.trainers._center_pretrained import PretrainedNet

    return PretrainedNet(classes, taught=False)


def _read(
    settings: CenterTrainer, net: _Network, batch: Tensor, shrunk: Sequence[Shrunk], fit: NDArray[np.float64]
) -> Iterator[Predictions]:
    """What the network finds in a batch, in pixels of each image, its scores as they were fitted."""
    for image, (boxes, scores, labels) in zip(shrunk, net.found(batch, settings.most), strict=True):
        there = in_image(image, boxes, scores, labels, settings.min_score)
        sure = fitted(there.scores, there.labels, fit)
        order = np.argsort(-sure, kind="stable")
        yield Predictions(there.boxes[order], sure[order], there.labels[order])


def _train(
    settings: CenterTrainer,
    shrunk: Sequence[Shrunk],
    samples: Samples,
    apart: NDArray[np.bool_],
    classes: int,
    rng: np.random.Generator,
    progress: Progress | None,
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64], dict[str, Any]]:
    """The weights, what held-out images say of their scores, and how it went."""
    from swath.trainers._center_net import loss, targets

    height, width = samples.pixels.shape[1:3]
    new, rates = _to_learn(settings, classes)

    def told(net: LevelNet, images: Tensor, boxes: Boxes, labels: Labels) -> Tensor:
        named, sides = net(images)
        return loss(named, sides, targets(boxes, labels, height, width))

    learner = Learner(
        network=new,
        shaken=lambda net, rows: told(net, *samples.shaken(rows, rng)),
        plain=lambda net, rows: told(net, *samples.plain(rows)),
        rates=rates,
    )
    net, info = learn(learner, settings.pace, apart, settings.cost * height * width / 1e6, rng, progress)
    fit = _fit(settings, net, shrunk, samples, np.flatnonzero(apart), classes)
    return weights(net), fit, info


def _to_learn(
    settings: CenterTrainer, classes: int
) -> tuple[Callable[[], LevelNet], Callable[[LevelNet], Rates]]:
    """What makes the network that is to learn, and what says at which rates its parameters do."""
    if settings.backbone == BUILT_IN:
        from swath.trainers._center_net import CenterNet

        return lambda: CenterNet(classes), alike
    from swath.trainers._center_pretrained import PretrainedNet, rates

    return lambda: PretrainedNet(classes, taught=True), lambda net: rates(net, settings.backbone_rate)


def _fit(
    settings: CenterTrainer,
    net: _Network,
    shrunk: Sequence[Shrunk],
    samples: Samples,
    rows: NDArray[np.int64],
    classes: int,
) -> NDArray[np.float64]:
    """(classes, 2) what these images say of the network's scores: see `fit_scores`."""
    import torch

    plain = np.tile([1.0, 0.0], (classes, 1))
    found: list[Predictions] = []
    with torch.no_grad():
        for start in range(0, len(rows), settings.batch):
            some = rows[start : start + settings.batch]
            images, *_ = samples.plain(some)
            found += _read(settings, net, images, [shrunk[row] for row in some], plain)
    truth = [References(samples.boxes[row] / shrunk[row].scale, samples.labels[row]) for row in rows]
    return fit_scores(match_images(found, truth, classes)[0], overlap=0) if found else plain
