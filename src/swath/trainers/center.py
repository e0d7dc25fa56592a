"""The built-in detector: a small center detector, trained from nothing in under a minute on one CPU thread.

It is made to close the loop anywhere, not to win: 0.35 million parameters, no pretrained weights. With one
thread the same images, settings and seed give the same weights, bit for bit, on the same machine and torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swath.errors import ConfigError, IntegrityError, SwathError
from swath.kernels.boxes import area, clip
from swath.trainers.base import Model, Predictions, Progress, TrainingSet

if TYPE_CHECKING:
    from torch import Tensor

    from swath.trainers._center_net import CenterNet

_FORMAT = 1  # of the model file
_Boxes = list[NDArray[np.float64]]
_Labels = list[NDArray[np.int64]]


@dataclass(frozen=True)
class CenterTrainer:
    """Settings of the center detector; the defaults suit 30 to 100 images and 40 s on a slow core.

    width: of the network's input, px, a multiple of 16; the height follows the training images' aspect
    steps: weight updates, `batch` images each; lr: the highest learning rate
    threads: of torch; 1 gives the same weights every time
    holdout: share of the drives that is kept apart to choose the best of `checks` checkpoints; 0: take the
    last min_score, most: predictions below the score or beyond the count (per image) are not reported
    """

    width: int = 384
    steps: int = 350
    batch: int = 8
    lr: float = 4e-3
    threads: int = 1
    holdout: float = 0.15
    checks: int = 10
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

    def fit(self, data: TrainingSet, out: Path, *, seed: int, progress: Progress | None = None) -> Model:
        """Trains, and writes `out` in one piece. See `Trainer.fit`.

        Some drives (`holdout` of them, at least one) are kept out of training, and the checkpoint with the
        least loss on them is taken. That needs two drives; with one, all images train and the last
        checkpoint is taken, and `info["held_out"]` is empty.
        """
        if not data.images:
            raise SwathError("training: expected labelled images, got none; label a batch first")
        started = time.process_time()
        height = _height_for(data.images, self.width)
        shrunk = [_read_image(path, self.width, height) for path in data.images]
        samples = _Samples(
            np.stack([one.pixels for one in shrunk]),
            [one.scale * boxes for one, boxes in zip(shrunk, data.boxes, strict=True)],
            list(data.labels),
        )
        rng = np.random.default_rng(seed)
        held = _hold_out(data.groups, self.holdout, rng)
        apart = np.array([group in held for group in data.groups], dtype=bool)
        with _torch(self.threads, seed):
            state, info = _train(self, samples, apart, len(data.classes), rng, progress)
        header = {"format": _FORMAT, "classes": list(data.classes), "width": self.width, "height": height}
        digest = _write(out, header, state)
        info |= {
            "images": len(data.images),
            "objects": sum(len(boxes) for boxes in data.boxes),
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

        def collect(net: CenterNet, batch: Tensor, shrunk: list[_Image]) -> None:
            heat, sides = net(batch)
            for image, boxes, scores, labels in zip(shrunk, *decode(heat, sides, self.most), strict=True):
                found.append(_in_image(image, boxes, scores, labels, self.min_score))

        self._see(model, images, collect, progress)
        return found

    def features(
        self, model: Model, images: Sequence[str], *, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """(n, 192) what the backbone sees, averaged over each image. See `FeatureTrainer.features`."""
        rows = [np.zeros((0, 192), dtype=np.float32)]

        def collect(net: CenterNet, batch: Tensor, _: list[_Image]) -> None:
            rows.append(net.pooled(batch).numpy())

        self._see(model, images, collect, progress)
        return np.concatenate(rows)

    def _see(
        self,
        model: Model,
        images: Sequence[str],
        collect: Callable[[CenterNet, Tensor, list[_Image]], None],
        progress: Progress | None,
    ) -> None:
        """Hands the loaded network and the images to `collect`, batch by batch, in order."""
        header, state = _read(model)
        with _torch(self.threads, seed=0):
            import torch

            from swath.trainers._center_net import CenterNet

            net = CenterNet(len(model.classes))
            net.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
            net.eval().to(memory_format=torch.channels_last)
            with torch.no_grad():
                for start in range(0, len(images), self.batch):
                    paths = images[start : start + self.batch]
                    shrunk = [_read_image(path, header["width"], header["height"]) for path in paths]
                    collect(net, _as_input(np.stack([one.pixels for one in shrunk])), shrunk)
                    if progress:
                        progress(start + len(paths), len(images))


# -- images --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Image:
    """An image as the network gets it: pixels (H, W, 3) uint8, shrunk by `scale` into the top left corner."""

    pixels: NDArray[np.uint8]
    scale: float
    width: int
    height: int


def _opened(path: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            rgb: Image.Image = image.convert("RGB")
            return rgb
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SwathError(f"{path}: expected an image, got: {error}; replace or remove the file") from error


def _height_for(paths: Sequence[str], width: int) -> int:
    """The input height that suits the images' median aspect, a multiple of 16."""
    aspects = []
    for path in paths:
        image = _opened(path)
        aspects.append(image.height / image.width)
    return 16 * max(2, round(width * float(np.median(aspects)) / 16))


def _read_image(path: str, width: int, height: int) -> _Image:
    image = _opened(path)
    scale = min(width / image.width, height / image.height)
    across, down = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    pixels = np.full((height, width, 3), 128, dtype=np.uint8)
    pixels[:down, :across] = np.asarray(image.resize((across, down), Image.Resampling.BILINEAR))
    return _Image(pixels, scale, image.width, image.height)


def _as_input(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1], channels last in memory."""
    import torch

    return (torch.from_numpy(pixels).float() / 127.5 - 1).permute(0, 3, 1, 2)


def _in_image(
    image: _Image,
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    min_score: float,
) -> Predictions:
    boxes = clip(boxes / image.scale, image.width, image.height)
    keep = (scores >= min_score) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Predictions(boxes[keep], scores[keep], labels[keep])


# -- training ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Samples:
    """Training images as the network gets them (N, H, W, 3) uint8, with boxes in its pixels and labels."""

    pixels: NDArray[np.uint8]
    boxes: list[NDArray[np.float64]]
    labels: list[NDArray[np.int64]]

    def plain(self, rows: NDArray[np.int64]) -> tuple[Tensor, _Boxes, _Labels]:
        return _as_input(self.pixels[rows]), [self.boxes[i] for i in rows], [self.labels[i] for i in rows]

    def shaken(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Tensor, _Boxes, _Labels]:
        """A batch, each image mirrored or not, zoomed by 0.75 to 1.33, shifted, and lit otherwise."""
        import torch
        from torch.nn import functional as F

        images, boxes, labels = self.plain(rows)
        n, (height, width) = len(rows), images.shape[2:]
        size = np.array([width, height])
        zoom = np.exp(rng.uniform(np.log(0.75), np.log(1.33), n))
        mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0)
        shift = rng.uniform(-0.15, 0.15, (n, 2))  # of where the view's middle lies in the image, in [-1, 1]
        turn = np.zeros((n, 2, 3), dtype=np.float32)  # from the view to the image
        turn[:, 0, 0], turn[:, 1, 1], turn[:, :, 2] = mirror / zoom, 1 / zoom, shift
        grid = F.affine_grid(torch.from_numpy(turn), [n, 3, height, width], align_corners=False)
        images = F.grid_sample(images, grid, align_corners=False)
        contrast, light = rng.uniform(0.7, 1.3, (n, 3, 1, 1)), rng.uniform(-0.2, 0.2, (n, 1, 1, 1))
        images = images * torch.from_numpy(contrast).float() + torch.from_numpy(light).float()

        seen: tuple[_Boxes, _Labels] = ([], [])
        for i in range(n):
            scaled = boxes[i].reshape(-1, 2, 2) / size * 2 - 1
            moved = (scaled - shift[i]) * zoom[i] * np.array([mirror[i], 1.0])
            moved = np.sort((moved + 1) / 2 * size, axis=1).reshape(-1, 4)
            cut = clip(moved, width, height)
            keep = area(cut) >= np.maximum(0.3 * area(moved), 4.0)
            seen[0].append(cut[keep])
            seen[1].append(labels[i][keep])
        return images.contiguous(memory_format=torch.channels_last), *seen


def _hold_out(groups: Sequence[str], share: float, rng: np.random.Generator) -> frozenset[str]:
    """The drives to keep apart: `share` of them, at least one, and at least one is left; none of fewer than
    two.
    """
    names = sorted(set(groups))
    if share == 0 or len(names) < 2:
        return frozenset()
    count = min(max(1, round(share * len(names))), len(names) - 1)
    return frozenset(names[i] for i in rng.permutation(len(names))[:count])


def _train(
    settings: CenterTrainer,
    samples: _Samples,
    apart: NDArray[np.bool_],
    classes: int,
    rng: np.random.Generator,
    progress: Progress | None,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The weights of the best checkpoint, or of the last where nothing is kept apart, and how it went."""
    import torch

    from swath.trainers._center_net import CenterNet, loss, targets

    height, width = samples.pixels.shape[1:3]
    net = CenterNet(classes).to(memory_format=torch.channels_last)
    smooth = CenterNet(classes).to(memory_format=torch.channels_last).eval()
    smooth.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=settings.steps, pct_start=0.15
    )
    rows, held = np.flatnonzero(~apart), np.flatnonzero(apart)
    queue: NDArray[np.int64] = rows[:0]
    every = max(1, settings.steps // settings.checks)
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
        _follow(smooth, net, keep=min(0.98, step / (step + 10)))
        if len(held) and (step % every == 0 or step == settings.steps):
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


def _follow(smooth: CenterNet, net: CenterNet, keep: float) -> None:
    """Moves the smoothed weights towards the current ones: `keep` of the old stays."""
    import torch

    with torch.no_grad():
        for mine, new in zip(smooth.state_dict().values(), net.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(new, 1 - keep)
            else:
                mine.copy_(new)


@contextmanager
def _torch(threads: int, seed: int) -> Iterator[None]:
    """torch with so many threads, seeded and held to deterministic ways; all as before afterwards."""
    try:
        import torch
    except ImportError as error:
        raise SwathError("the center trainer needs torch: pip install 'swath[train]'") from error
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])


# -- the model file ------------------------------------------------------------------------------------------


def _digest(header: Mapping[str, Any], state: Mapping[str, NDArray[Any]]) -> str:
    """sha256 of what a model is: classes, input size, and every tensor by name, shape, type and values."""
    whole = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(state):
        values = state[name]
        whole.update(f"{name} {values.shape} {values.dtype.str}".encode())
        whole.update(np.ascontiguousarray(values).tobytes())
    return whole.hexdigest()


def _write(out: Path, header: Mapping[str, Any], state: Mapping[str, NDArray[Any]]) -> str:
    """Writes the model whole or not at all (a new file, then a rename), and returns its digest."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {f"state:{name}": values for name, values in state.items()}
    np.savez(content, header=np.array(json.dumps(header)), **arrays)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return _digest(header, state)


def _read(model: Model) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and tensors of a model file; IntegrityError unless they are exactly those of `model`."""
    try:
        with np.load(model.path, allow_pickle=False) as content:
            header = json.loads(str(content["header"]))
            state = {name[6:]: content[name] for name in content.files if name.startswith("state:")}
    except FileNotFoundError as error:
        raise SwathError(f"{model.path}: the model file is not there; train again") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise IntegrityError(f"{model.path}: expected a model file, got: {error}; train again") from error
    digest = _digest(header, state)
    if digest != model.sha256 or tuple(header["classes"]) != tuple(model.classes):
        raise IntegrityError(
            f"{model.path}: expected the model {model.sha256[:12]}, got {digest[:12]}: the file was changed or "
            "belongs to another round; train again"
        )
    return header, state
