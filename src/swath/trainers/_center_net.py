"""The network of the center detector: what it sees, what it is told, how its answer is read. Pure torch.

An object is a peak of its class's heatmap at the box centre, and four distances from there to the sides
(Zhou et al. 2019, "Objects as Points"). All of a box's middle is told its distances, weighted by the
heatmap's bell, which learns from few images much faster than the one centre cell (Liu et al. 2020,
"Training-Time-Friendly Network"). Coordinates in here are pixels of the network's input; cells are STRIDE
pixels wide.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from swath.trainers.fitting import begin_at

STRIDE = 4
DEEPEST = 16  # the input's width and height are multiples of it


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class CenterNet(nn.Module):
    """(B, 3, H, W) in about [-1, 1] -> heat (B, C, H/4, W/4) as logits, sides (B, 4, H/4, W/4) in pixels >
    0.
    """

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
        begin_at(self.heat, -4.0)  # objects are rare: begin by expecting none
        begin_at(self.sides, np.log(16.0))
        nn.init.normal_(self.sides.weight, std=0.01)

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


def targets(
    boxes: list[NDArray[np.float64]], labels: list[NDArray[np.int64]], classes: int, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What the network should have said for a batch of images, boxes in input pixels.

    heat (B, C, h, w): 1 at centres, a bell around them; sides (B, 4, h, w): distances left, top, right,
    bottom; weight (B, h, w): how much a cell's distances count, adding up to about 1 per box. Where boxes
    compete for a cell the smaller has it. Boxes with a centre outside the input or without area are left
    out.
    """
    rows, columns = height // STRIDE, width // STRIDE
    heat = np.zeros((len(boxes), classes, rows, columns), dtype=np.float32)
    sides = np.ones((len(boxes), 4, rows, columns), dtype=np.float32)
    weight = np.zeros((len(boxes), rows, columns), dtype=np.float32)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    for i, (image_boxes, image_labels) in enumerate(zip(boxes, labels, strict=True)):
        size = image_boxes[:, 2:] - image_boxes[:, :2]
        for row in np.argsort(-size.prod(axis=1), kind="stable"):  # large first: small ones overwrite
            (x1, y1, x2, y2), (w, h) = image_boxes[row], size[row]
            u, v = int((x1 + x2) / 2 // STRIDE), int((y1 + y2) / 2 // STRIDE)
            if w <= 0 or h <= 0 or not (0 <= u < columns and 0 <= v < rows):
                continue
            sigma_x, sigma_y = np.maximum(0.09 * np.array([w, h]) / STRIDE, 0.35)
            bell = np.exp(-((x - u) ** 2) / (2 * sigma_x**2) - (y - v) ** 2 / (2 * sigma_y**2))
            bell[bell < 0.01] = 0.0
            layer = heat[i, image_labels[row]]
            np.maximum(layer, bell, out=layer)
            told = bell > 0
            centre_x, centre_y = (x[told] + 0.5) * STRIDE, (y[told] + 0.5) * STRIDE
            sides[i][:, told] = np.maximum([centre_x - x1, centre_y - y1, x2 - centre_x, y2 - centre_y], 0.5)
            weight[i][told] = bell[told] / bell.sum()
    return torch.from_numpy(heat), torch.from_numpy(sides), torch.from_numpy(weight)


def loss(heat: Tensor, sides: Tensor, wanted: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Penalty-reduced focal loss of the heat (per object) plus 1 - GIoU of the boxes (weighted mean)."""
    true_heat, true_sides, weight = wanted
    objects = true_heat.eq(1).sum().clamp(min=1)
    p = heat.sigmoid().clamp(1e-4, 1 - 1e-4)
    there = true_heat.eq(1)
    focal = torch.where(there, (1 - p) ** 2 * p.log(), (1 - true_heat) ** 4 * p**2 * (1 - p).log()).sum()
    told = weight > 0
    a, b = sides.permute(0, 2, 3, 1)[told], true_sides.permute(0, 2, 3, 1)[told]
    shared, hull = torch.minimum(a, b), torch.maximum(a, b)
    inter, around = _spanned(shared), _spanned(hull)
    union = _spanned(a) + _spanned(b) - inter
    giou = inter / union - (around - union) / around
    return -focal / objects + 2 * ((1 - giou) * weight[told]).sum() / weight.sum().clamp(min=1e-6)


def _spanned(sides: Tensor) -> Tensor:
    return (sides[:, 0] + sides[:, 2]) * (sides[:, 1] + sides[:, 3])


def decode(heat: Tensor, sides: Tensor, most: int) -> tuple[NDArray[np.float64], ...]:
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
