"""The built-in detector: a small center detector, trained from nothing in under a minute on one CPU thread.

It is made to close the loop anywhere, not to win: 0.35 million parameters, no pretrained weights. With one
thread the same images, settings and seed give the same weights, bit for bit, on the same machine and torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, SwathError
from swath.labels.shapes import Modality
from swath.trainers._center_images import Samples, Shrunk, as_input, height_for, in_image, read_image
from swath.trainers.base import Model, Predictions, Progress, TrainingSet
from swath.trainers.fitting import channels_last, follow, hold_out, steady_torch
from swath.trainers.model_file import read_model, write_model

if TYPE_CHECKING:
    from torch import Tensor

    from swath.trainers._center_net import CenterNet

_FORMAT = 1  # of the model file


@dataclass(frozen=True)
class CenterTrainer:
    """Settings of the center detector; the defaults suit 30 to 100 images and 40 s on a slow core.

    width: of the network's input, px, a multiple of 16; the height follows the training images' aspect
    steps: weight updates, `batch` images each; lr: the highest learning rate
    threads: of torch; 1 gives the same weights every time
    holdout: share of the drives that is kept apart, to choose among `checks` checkpoints; 0: take the last
    min_score, most: predictions below the score or beyond the count (per image) are not reported
    """

    width: int = 384
    steps: int = 600
    batch: int = 4
    lr: float = 2e-3
    threads: int = 1
    holdout: float = 0.15
    checks: int = 5
    min_score: float = 0.02
    most: int = 60

    def __post_init__(self) -> None:
        if self.width < 32 or self.width % 16 or min(self.steps, self.batch, self.threads, self.checks) < 1:
            raise ConfigError(
                f"center trainer: expected a width that is a multiple of 16 and positive counts, got {self}"
            )
        if not 0 <= self.holdout < 1 or self.lr <= 0:
            raise ConfigError(f"center trainer: expected 0 <= holdout < 1 and lr > 0, got {self}")

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
            state, info = _train(self, samples, apart, len(data.classes), rng, progress)
        header = {"format": _FORMAT, "classes": list(data.classes), "width": self.width, "height": height}
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
        from swath.trainers._center_net import decode

        found: list[Predictions] = []

        def collect(net: CenterNet, batch: Tensor, shrunk: list[Shrunk]) -> None:
            heat, sides = net(batch)
            for image, boxes, scores, labels in zip(shrunk, *decode(heat, sides, self.most), strict=True):
                found.append(in_image(image, boxes, scores, labels, self.min_score))

        self._see(model, images, collect, progress)
        return found

    def features(
        self, model: Model, images: Sequence[str], *, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """(n, 192) what the backbone sees, averaged over each image. See `FeatureTrainer.features`."""
        rows = [np.zeros((0, 192), dtype=np.float32)]

        def collect(net: CenterNet, batch: Tensor, _: list[Shrunk]) -> None:
            rows.append(net.pooled(batch).numpy())

        self._see(model, images, collect, progress)
        return np.concatenate(rows)

    def _see(
        self,
        model: Model,
        images: Sequence[str],
        collect: Callable[[CenterNet, Tensor, list[Shrunk]], None],
        progress: Progress | None,
    ) -> None:
        """Hands the loaded network and the images to `collect`, batch by batch, in order."""
        header, state = read_model(model)
        with steady_torch(self.threads, seed=0):
            import torch

            from swath.trainers._center_net import CenterNet

            net = CenterNet(len(model.classes))
            net.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
            channels_last(net.eval())
            with torch.no_grad():
                for start in range(0, len(images), self.batch):
                    paths = images[start : start + self.batch]
                    shrunk = [read_image(path, header["width"], header["height"]) for path in paths]
                    collect(net, as_input(np.stack([one.pixels for one in shrunk])), shrunk)
                    if progress:
                        progress(start + len(paths), len(images))


def _train(
    settings: CenterTrainer,
    samples: Samples,
    apart: NDArray[np.bool_],
    classes: int,
    rng: np.random.Generator,
    progress: Progress | None,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The weights of the best checkpoint, or of the last where nothing is kept apart, and how it went."""
    import torch

    from swath.trainers._center_net import CenterNet, loss, targets

    height, width = samples.pixels.shape[1:3]
    net = channels_last(CenterNet(classes))
    smooth = channels_last(CenterNet(classes)).eval()
    smooth.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=settings.steps, pct_start=0.15
    )
    rows, held = np.flatnonzero(~apart), np.flatnonzero(apart)
    queue: NDArray[np.int64] = rows[:0]
    every = max(1, settings.steps // 2 // settings.checks)  # early checkpoints are unfinished, lucky or not
    best: tuple[float, int, dict[str, Any]] | None = None
    curve: list[tuple[int, float]] = []
    for step in range(1, settings.steps + 1):
        while len(queue) < settings.batch:
            queue = np.concatenate([queue, rng.permutation(rows)])
        batch, queue = queue[: settings.batch], queue[settings.batch :]
        images, boxes, labels = samples.shaken(batch, rng)
        heat, sides = net(images)
        value = loss(heat, sides, targets(boxes, labels, classes, height, width))
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        follow(smooth, net, keep=min(0.98, step / (step + 10)))
        left = settings.steps - step
        if len(held) and left % every == 0 and left // every < settings.checks:
            with torch.no_grad():
                images, boxes, labels = samples.plain(held)
                heat, sides = smooth(images)
                on_held = float(loss(heat, sides, targets(boxes, labels, classes, height, width)))
            curve.append((step, round(on_held, 4)))
            if best is None or on_held < best[0]:
                best = (on_held, step, {name: v.clone() for name, v in smooth.state_dict().items()})
        if progress:
            progress(step, settings.steps)
    chosen = best[2] if best else smooth.state_dict()
    info = {
        "steps": best[1] if best else settings.steps,
        "loss": round(float(value.detach()), 4),
        "held_out_loss": curve,
    }
    return {name: v.contiguous().numpy() for name, v in chosen.items()}, info
