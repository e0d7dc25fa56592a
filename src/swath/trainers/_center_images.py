"""Images for the center detector: read and shrunk to its input, shaken for training, boxes brought along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swath.formats.images import decode, image_size
from swath.kernels.boxes import area, clip
from swath.trainers.base import Predictions

if TYPE_CHECKING:
    from torch import Tensor

Boxes = list[NDArray[np.float64]]
Labels = list[NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Shrunk:
    """An image as the network gets it: pixels (H, W, 3) uint8, shrunk by `scale` into the top left corner."""

    pixels: NDArray[np.uint8]
    scale: float
    width: int
    height: int


def height_for(paths: Sequence[str], width: int) -> int:
    """The input height that suits the images' median aspect, a multiple of 16, at least 32."""
    sizes = np.array([image_size(path, whole=False) for path in paths], float)
    return 16 * max(2, round(width * float(np.median(sizes[:, 1] / sizes[:, 0])) / 16))


def read_image(path: str, width: int, height: int) -> Shrunk:
    """The image at the size of the input; what the aspect leaves over is grey."""
    image = decode(path)
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    pixels = np.full((height, width, 3), 128, dtype=np.uint8)
    pixels[: size[1], : size[0]] = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    return Shrunk(pixels, scale, image.width, image.height)


def as_input(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1], channels last in memory."""
    import torch

    return (torch.from_numpy(pixels).float() / 127.5 - 1).permute(0, 3, 1, 2)


def in_image(
    image: Shrunk,
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    min_score: float,
) -> Predictions:
    """Boxes (K, 4) in input pixels as predictions in pixels of the image, those without area or score left
    out.
    """
    boxes = clip(boxes / image.scale, image.width, image.height)
    keep = (scores >= min_score) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Predictions(boxes[keep], scores[keep], labels[keep])


@dataclass(frozen=True, eq=False)
class Samples:
    """Training images as the network gets them (N, H, W, 3) uint8, with boxes in its pixels and labels."""

    pixels: NDArray[np.uint8]
    boxes: list[NDArray[np.float64]]
    labels: list[NDArray[np.int64]]

    def plain(self, rows: NDArray[np.int64]) -> tuple[Tensor, Boxes, Labels]:
        """A batch as it is."""
        return as_input(self.pixels[rows]), [self.boxes[i] for i in rows], [self.labels[i] for i in rows]

    def shaken(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Tensor, Boxes, Labels]:
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

        seen: tuple[Boxes, Labels] = ([], [])
        for i in range(n):
            scaled = boxes[i].reshape(-1, 2, 2) / size * 2 - 1
            moved = (scaled - shift[i]) * zoom[i] * np.array([mirror[i], 1.0])
            moved = np.sort((moved + 1) / 2 * size, axis=1).reshape(-1, 4)
            cut = clip(moved, width, height)
            keep = area(cut) >= np.maximum(0.3 * area(moved), 4.0)
            seen[0].append(cut[keep])
            seen[1].append(labels[i][keep])
        return images.contiguous(memory_format=torch.channels_last), *seen
