"""The first network of the center detector: models of format 1 are still read, none is trained. Pure torch.

An object is a peak of its class's heatmap at the box centre, and four distances from there to the sides
(Zhou et al. 2019, "Objects as Points"). Coordinates are pixels of the network's input; cells are STRIDE
pixels wide.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 4

Found = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class FirstNet(nn.Module):
    """(B, 3, H, W) in about [-1, 1] -> heat (B, C, H/4, W/4) as logits, sides (B, 4, H/4, W/4) in pixels >
    0.
    """

    features = 192

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.at4 = nn.Sequential(_conv(3, 16, 2), _conv(16, 32, 2), _conv(32, 32))
        self.at8 = nn.Sequential(_conv(32, 64, 2), _conv(64, 64))
        self.at16 = nn.Sequential(_conv(64, 128, 2), _conv(128, 128))
        self.from16 = _conv(128, 64, kernel=1)
        self.mix8 = _conv(64, 64)
        self.from8 = _conv(64, 32, kernel=1)
        self.mix4 = _conv(32, 48)
        self.heat = nn.Conv2d(48, classes, 1)
        self.sides = nn.Conv2d(48, 4, 1)

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 192) what the backbone sees, averaged over the image at strides 8 and 16."""
        at8 = self.at8(self.at4(images))
        return torch.cat([at8.mean(dim=(2, 3)), self.at16(at8).mean(dim=(2, 3))], dim=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        at4 = self.at4(images)
        at8 = self.at8(at4)
        up = self.from16(self.at16(at8))
        at8 = self.mix8(at8 + F.interpolate(up, scale_factor=2.0))
        at4 = self.mix4(at4 + F.interpolate(self.from8(at8), scale_factor=2.0))
        return self.heat(at4), self.sides(at4).clamp(-4.0, 8.0).exp()

    def found(self, images: Tensor, most: int) -> Iterator[Found]:
        """Per image: boxes (K, 4), scores (K,), labels (K,) of the `most` highest peaks, best first."""
        heat, sides = self(images)
        yield from zip(*decode(heat, sides, most), strict=True)


def decode(heat: Tensor, sides: Tensor, most: int) -> Found:
    """Boxes (B, K, 4) in input pixels, scores (B, K), labels (B, K) of the `most` highest peaks, best first.

    A peak is a cell that none of its eight neighbours in its class exceeds.
    """
    p = heat.sigmoid()
    p = torch.where(F.max_pool2d(p, 3, 1, 1) == p, p, torch.zeros_like(p))
    batch, _, rows, columns = p.shape
    flat = p.reshape(batch, -1)
    scores, order = flat.sort(dim=1, descending=True, stable=True)
    scores, order = scores[:, :most], order[:, :most]
    labels, cell = order // (rows * columns), order % (rows * columns)
    distances = sides.reshape(batch, 4, -1).gather(2, cell[:, None, :].expand(-1, 4, -1))
    x, y = (cell % columns + 0.5) * STRIDE, (cell // columns + 0.5) * STRIDE
    boxes = torch.stack(
        [x - distances[:, 0], y - distances[:, 1], x + distances[:, 2], y + distances[:, 3]], dim=2
    )
    return boxes.double().numpy(), scores.double().numpy(), labels.numpy()
