"""The network of the center detector: what it sees, what it is told, how its answer is read. Pure torch.

Three levels with cells of 8, 16 and 32 pixels share one head (Lin et al. 2017, "Feature Pyramid Networks"). A
cell says for each class how well a box of it lies there, and the distances from the cell's middle to the sides
of that box. The cells around an object's centre are told of it, on the level that suits its size (Tian et al.
2019, "FCOS"). What a cell should say of the class is the IoU of the box that it says with the true one, so
that well placed boxes come first (Li et al. 2020, "Generalized Focal Loss"). Coordinates in here are pixels of
the network's input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from swath.kernels.boxes import iou
from swath.trainers.fitting import begin_at, unrivalled

Boxes = NDArray[np.float64]
Labels = NDArray[np.int64]

STRIDES = (8, 16, 32)
SIZES = ((0.0, 40.0), (28.0, 96.0), (72.0, np.inf))
"""Per level the sizes (square root of the area, px) of its objects; where two overlap, both levels learn."""
RADIUS = 1.5  # cells this near to the centre are told of an object
CANDIDATES = 300  # the best, of which those that overlap a better one go


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class LevelNet(nn.Module, ABC):
    """(B, 3, H, W) in about [-1, 1] -> for all N cells, those of 8 px first, row by row: classes (B, C, N) as
    logits, and sides (B, 4, N), the distances left, up, right and down in pixels > 0.

    What it sees at strides 8, 16 and 32 is its subclass's: maps of `channels`, which `head` is told.
    """

    features: int
    """Numbers of `pooled`: the sum of the channels."""

    @abstractmethod
    def seen(self, images: Tensor) -> Sequence[Tensor]: ...

    def head(self, classes: int, channels: Sequence[int], width: int = 64) -> None:
        """Adds the layers that speak."""
        self.narrow = nn.ModuleList(_conv(one, width, kernel=1) for one in channels)
        self.mix = nn.ModuleList(_conv(width, width) for _ in STRIDES)
        self.tower = _conv(width, width)
        self.classes = nn.Conv2d(width, classes, 1)
        self.sides = nn.Conv2d(width, 4, 1)
        self.scale = nn.Parameter(torch.zeros(len(STRIDES)))
        begin_at(self.classes, -4.0)  # objects are rare: begin by expecting none
        begin_at(self.sides, np.log(2.0))
        nn.init.normal_(self.sides.weight, std=0.01)

    def pooled(self, images: Tensor) -> Tensor:
        """(B, features) what the backbone sees, averaged over the image at strides 8, 16 and 32."""
        return torch.cat([one.mean(dim=(2, 3)) for one in self.seen(images)], dim=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        levels: list[Tensor] = [
            narrow(seen) for narrow, seen in zip(self.narrow, self.seen(images), strict=True)
        ]
        for fine in (1, 0):
            up = F.interpolate(levels[fine + 1], size=levels[fine].shape[2:])
            levels[fine] = levels[fine] + up
        classes, sides = [], []
        for level, mix, scale, stride in zip(levels, self.mix, self.scale, STRIDES, strict=True):
            said = self.tower(mix(level))
            classes.append(self.classes(said).flatten(2))
            sides.append(stride * (self.sides(said) + scale).clamp(-4.0, 4.0).exp().flatten(2))
        return torch.cat(classes, dim=2), torch.cat(sides, dim=2)

    def found(self, images: Tensor, most: int) -> Iterator[tuple[Boxes, Boxes, Labels]]:
        """Per image at most `most` boxes (K, 4), scores (K,) and labels (K,), best first. See `decode`."""
        height, width = images.shape[2:]
        classes, sides = self(images)
        yield from decode(classes, sides, height, width, most)


class CenterNet(LevelNet):
    """With a backbone of its own, which knows nothing before it has learned."""

    features = 320

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.at4 = nn.Sequential(_conv(3, 16, 2), _conv(16, 32, 2), _conv(32, 32))
        self.at8 = nn.Sequential(_conv(32, 64, 2), _conv(64, 64))
        self.at16 = nn.Sequential(_conv(64, 128, 2), _conv(128, 128))
        self.at32 = nn.Sequential(_conv(128, 128, 2), _conv(128, 128))
        self.head(classes, (64, 128, 128))

    def seen(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        at8 = self.at8(self.at4(images))
        at16 = self.at16(at8)
        return at8, at16, self.at32(at16)


@cache
def cells(height: int, width: int) -> tuple[Boxes, Labels]:
    """(N, 2) the middles of all cells, and (N,) their level, in the order in which the network speaks of them."""
    middles, levels = [], []
    for level, stride in enumerate(STRIDES):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.mgrid[:rows, :columns]
        middles.append(stride * (np.column_stack([x.ravel(), y.ravel()]) + 0.5))
        levels.append(np.full(rows * columns, level))
    return np.concatenate(middles), np.concatenate(levels)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What the network should have said for a batch: one row for each cell that is told of an object.

    image, cell, label (M,): where, and what class; sides (M, 4): left, up, right, down, the middle of a cell
    may lie outside of a thin box; weight (M,): 1 over the number of cells that are told of the same object.
    """

    image: Tensor
    cell: Tensor
    label: Tensor
    sides: Tensor
    weight: Tensor


def targets(boxes: list[Boxes], labels: list[Labels], height: int, width: int) -> Wanted:
    """Which cells are told what for a batch of images, boxes (n, 4) in input pixels.

    An object is told to the cells of its levels whose middle lies in its box and within RADIUS cells of its
    centre, and to the nearest cell anyway. Where boxes compete for a cell the smaller has it. Boxes with a
    centre outside the input or without area are left out.
    """
    middles, _ = cells(height, width)
    found: list[tuple[NDArray[Any], ...]] = []
    for row, (there, named) in enumerate(zip(boxes, labels, strict=True)):
        order = np.argsort(-(there[:, 2:] - there[:, :2]).prod(axis=1), kind="stable")
        told = _told(there[order], height, width)
        cell = np.flatnonzero(told.any(axis=0))
        owner = len(order) - 1 - told[::-1, cell].argmax(axis=0) if len(order) else cell
        box = there[order][owner]
        sides = np.hstack([middles[cell] - box[:, :2], box[:, 2:] - middles[cell]])
        weight = 1.0 / np.bincount(owner, minlength=1)[owner] if len(owner) else np.zeros(0)
        found.append((np.full(len(cell), row), cell, named[order][owner], sides, weight))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    whole = [torch.from_numpy(one.astype(np.int64)) for one in columns[:3]]
    return Wanted(*whole, *(torch.from_numpy(one.astype(np.float32)) for one in columns[3:]))


def _told(boxes: Boxes, height: int, width: int) -> NDArray[np.bool_]:
    """(n, N) which cells are told of which box."""
    middles, levels = cells(height, width)
    size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    there = (size > 0).all(axis=1) & (centre >= 0).all(axis=1) & (centre < (width, height)).all(axis=1)
    extent = np.sqrt(np.maximum(size, 0.0).prod(axis=1))
    away = np.abs(middles[None] - centre[:, None]).max(axis=2)
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    inside = np.asarray(((middles[None] > low) & (middles[None] < high)).all(axis=2))
    told = np.zeros(away.shape, dtype=bool)
    for level, (stride, (least, most)) in enumerate(zip(STRIDES, SIZES, strict=True)):
        here = levels == level
        near = away[:, here]
        mine = (inside[:, here] & (near <= RADIUS * stride)) | (near <= near.min(axis=1, keepdims=True))
        told[:, here] = mine & (there & (extent >= least) & (extent < most))[:, None]
    return told


def loss(classes: Tensor, sides: Tensor, wanted: Wanted) -> Tensor:
    """Quality focal loss of the classes, per cell that is told something, plus twice 1 - GIoU, per object."""
    said = sides.permute(0, 2, 1)[wanted.image, wanted.cell]
    overlap, apart = _overlap(said, wanted.sides)
    quality = torch.zeros_like(classes)
    quality[wanted.image, wanted.label, wanted.cell] = overlap.detach()
    off = F.binary_cross_entropy_with_logits(classes, quality, reduction="none")
    focal = (off * (quality - classes.sigmoid()).square()).sum() / max(1, len(wanted.cell))
    boxes = ((1 - overlap + apart) * wanted.weight).sum() / wanted.weight.sum().clamp(min=1.0)
    return focal + 2 * boxes


def _overlap(said: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) the IoU of boxes given by their sides (M, 4) from one point, and the share of their hull that neither has."""
    a, b = (torch.cat([-sides[:, :2], sides[:, 2:]], dim=1) for sides in (said, true))
    shared = (torch.minimum(a, b)[:, 2:] - torch.maximum(a, b)[:, :2]).clamp(min=0).prod(dim=1)
    hull = (torch.maximum(a, b)[:, 2:] - torch.minimum(a, b)[:, :2]).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - shared
    return shared / union, (hull - union) / hull


def decode(
    classes: Tensor, sides: Tensor, height: int, width: int, most: int, rival: float = 0.55
) -> Iterator[tuple[Boxes, Boxes, Labels]]:
    """Per image: boxes (K, 4), scores (K,), labels (K,), best first, at most `most`.

    Of two boxes of a class with an IoU above `rival` the lesser is left out.
    """
    p = classes.sigmoid()
    scores, order = p.flatten(1).sort(dim=1, descending=True, stable=True)
    scores, order = scores[:, :CANDIDATES], order[:, :CANDIDATES]
    labels, cell = order // p.shape[2], order % p.shape[2]
    away = sides.gather(2, cell[:, None, :].expand(-1, 4, -1)).permute(0, 2, 1).double().numpy()
    middle = cells(height, width)[0][cell.numpy()]
    boxes = np.concatenate([middle - away[..., :2], middle + away[..., 2:]], axis=2)
    for box, score, label in zip(boxes, scores.double().numpy(), labels.numpy(), strict=True):
        rivals = (iou(box, box) > rival) & (label[:, None] == label[None, :])
        kept = np.flatnonzero(unrivalled(rivals))[:most]
        yield box[kept], score[kept], label[kept]
