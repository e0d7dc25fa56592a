"""The network of the pillar detector: what it sees, what it is told, how its answer is read. Pure torch.

An object is a peak of its class's heatmap at its centre seen from above, and ten numbers there (Yin et al.
2021, "Center-based 3D Object Detection"): where the centre lies from the cell's, x and y in metres; z, l, w,
h against those usual for the class; the sine and cosine of twice the yaw, and of the yaw. The first pair
says along which line the object stands, the second which end is its front: a mean of two opposite headings
is no heading, but their line is one. As in the image detector, all of an object's middle is told, weighted
by a bell.

Maps have x along rows and y along columns; cells are STRIDE grid cells wide. Cuboids are upright: (n, 7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from swath.kernels.cuboids import bev_iou, from_yawed
from swath.trainers._pillars_clouds import Grid
from swath.trainers.fitting import begin_at, unrivalled

STRIDE = 2
NUMBERS = 10
FEATURES = 176


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class PillarNet(nn.Module):
    """(B, channels, H, W) -> heat (B, C, H/2, W/2) as logits, numbers (B, 10, H/2, W/2)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.at2 = nn.Sequential(_conv(channels, 24, 2), _conv(24, 24))
        self.at4 = nn.Sequential(_conv(24, 48, 2), _conv(48, 48))
        self.at8 = nn.Sequential(_conv(48, 64, 2), _conv(64, 64), _conv(64, 64))
        self.from8 = _conv(64, 48, kernel=1)
        self.mix4 = _conv(48, 48)
        self.from4 = _conv(48, 24, kernel=1)
        self.mix2 = _conv(24, 32)
        self.heat = nn.Conv2d(32, classes, 1)
        self.numbers = nn.Conv2d(32, NUMBERS, 1)
        begin_at(self.heat, -4.0)  # objects are rare: begin by expecting none
        begin_at(self.numbers, 0.0)
        nn.init.normal_(self.numbers.weight, std=0.01)

    def pooled(self, seen: Tensor) -> Tensor:
        """(B, 176) what the backbone sees: means at strides 4 and 8, and the highest at stride 8."""
        at4 = self.at4(self.at2(seen))
        at8 = self.at8(at4)
        return torch.cat([at4.mean(dim=(2, 3)), at8.mean(dim=(2, 3)), at8.amax(dim=(2, 3))], dim=1)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        at2 = self.at2(seen)
        at4 = self.at4(at2)
        up = self.from8(self.at8(at4))
        at4 = self.mix4(at4 + F.interpolate(up, scale_factor=2.0))
        at2 = self.mix2(at2 + F.interpolate(self.from4(at4), scale_factor=2.0))
        return self.heat(at2), self.numbers(at2)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What the network should have said for a batch of scans.

    heat (B, C, h, w): 1 at centres, a bell around them; numbers (B, 10, h, w); size (B, 2, h, w): the
    object's l and w in metres; weight (B, h, w): how much a cell's numbers count, adding up to about 1 per
    object.
    """

    heat: Tensor
    numbers: Tensor
    size: Tensor
    weight: Tensor


def targets(
    cuboids: list[NDArray[np.float64]],
    labels: list[NDArray[np.int64]],
    usual: NDArray[np.float64],
    grid: Grid,
) -> Wanted:
    """Maps for a batch: upright cuboids (n, 7) and labels (n,) of each scan; `usual` (C, 4): z, l, w, h.

    Where objects compete for a cell the smaller has it. Objects with a centre outside the grid are left out.
    """
    rows, columns = (count // STRIDE for count in grid.shape)
    heat = np.zeros((len(cuboids), len(usual), rows, columns), dtype=np.float32)
    maps = np.zeros((len(cuboids), NUMBERS + 3, rows, columns), dtype=np.float32)  # numbers, size, weight
    for i, (scan, classes) in enumerate(zip(cuboids, labels, strict=True)):
        for row in np.argsort(-scan[:, 3] * scan[:, 4], kind="stable"):  # large first: small ones overwrite
            _tell(scan[row], usual[classes[row]], heat[i, classes[row]], maps[i], grid)
    numbers, size, weight = maps[:, :NUMBERS], maps[:, NUMBERS:-1], maps[:, -1]
    return Wanted(*(torch.from_numpy(one) for one in (heat, numbers, size, weight)))


def _tell(
    cuboid: NDArray[np.float64],
    usual: NDArray[np.float64],
    heat: NDArray[np.float32],
    maps: NDArray[np.float32],
    grid: Grid,
) -> None:
    """Enters an object into its class's heat (h, w) and into the maps (13, h, w) of its scan, in place."""
    x, y, z, length, width, _, yaw = cuboid
    step = grid.cell * STRIDE
    at = np.array([(x - grid.x[0]) / step, (y - grid.y[0]) / step])
    u, v = np.floor(at).astype(int).tolist()
    if not (0 <= u < heat.shape[0] and 0 <= v < heat.shape[1]):
        return
    wide = np.maximum(0.1 * np.array([length, width]), 0.6 * step)
    reach = int(np.ceil(2.5 * wide.max() / step))  # as far as the bell is above 0.05
    rows = np.arange(max(u - reach, 0), min(u + reach + 1, heat.shape[0]))[:, None]
    columns = np.arange(max(v - reach, 0), min(v + reach + 1, heat.shape[1]))[None, :]
    cos, sin = np.cos(yaw), np.sin(yaw)
    along = (cos * (rows - u) + sin * (columns - v)) * step
    across = (cos * (columns - v) - sin * (rows - u)) * step
    bell = np.exp(-((along / wide[0]) ** 2 + (across / wide[1]) ** 2) / 2)
    here = bell > 0.05
    bell = np.where(here, bell, 0.0)
    heat[rows, columns] = np.maximum(heat[rows, columns], bell)

    says = np.empty((len(maps), *here.shape))
    says[0], says[1] = (at[0] - rows - 0.5) * step, (at[1] - columns - 0.5) * step
    same = [z - usual[0], *np.log(cuboid[3:6] / usual[1:])]
    same += [np.sin(2 * yaw), np.cos(2 * yaw), sin, cos, length, width]
    says[2:-1] = np.array(same)[:, None, None]
    says[-1] = bell / bell.sum()
    part = maps[:, rows[0, 0] : rows[-1, 0] + 1, columns[0, 0] : columns[0, -1] + 1]
    part[:, here] = says[:, here]


def loss(heat: Tensor, numbers: Tensor, wanted: Wanted) -> Tensor:
    """Penalty-reduced focal loss of the heat (per object), plus what the numbers are off (weighted mean).

    The footprint: 1 - GIoU of the rectangles in the object's own axes, as if the yaw were right. Height: the
    difference in z over 1 m and in log h. Yaw: the differences of its sines and cosines.
    """
    there = wanted.heat.eq(1)
    objects = there.sum().clamp(min=1)
    p = heat.sigmoid().clamp(1e-4, 1 - 1e-4)
    away = (1 - wanted.heat) ** 4 * p**2 * (1 - p).log()
    focal = torch.where(there, (1 - p) ** 2 * p.log(), away).sum()
    here = wanted.weight > 0
    weight = wanted.weight[here]
    said, true = numbers.permute(0, 2, 3, 1)[here], wanted.numbers.permute(0, 2, 3, 1)[here]
    size = wanted.size.permute(0, 2, 3, 1)[here]
    off = _footprint(said, true, size) + (said[:, 2] - true[:, 2]).abs() + (said[:, 5] - true[:, 5]).abs()
    off = off + 0.5 * (said[:, 6:] - true[:, 6:]).abs().sum(dim=1)
    return -focal / objects + 2 * (off * weight).sum() / weight.sum().clamp(min=1e-6)


def _footprint(said: Tensor, true: Tensor, size: Tensor) -> Tensor:
    """(n,) 1 - GIoU of the footprints, both turned as the true one is."""
    dx, dy = said[:, 0] - true[:, 0], said[:, 1] - true[:, 1]
    apart = torch.stack([true[:, 9] * dx + true[:, 8] * dy, true[:, 9] * dy - true[:, 8] * dx], dim=1).abs()
    other = size * (said[:, 3:5] - true[:, 3:5]).clamp(-3, 3).exp()
    shared = torch.minimum(torch.minimum(size, other), ((size + other) / 2 - apart)).clamp(min=0)
    hull = torch.maximum(torch.maximum(size, other), (size + other) / 2 + apart).prod(dim=1)
    inter = shared.prod(dim=1)
    union = size.prod(dim=1) + other.prod(dim=1) - inter
    return 1 - inter / union + (hull - union) / hull


def decode(
    heat: Tensor,
    numbers: Tensor,
    usual: NDArray[np.float64],
    grid: Grid,
    *,
    most: int,
    apart: float,
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]]:
    """Per scan: cuboids (n, 9), scores (n,), labels (n,) of at most `most` peaks, best first.

    A peak is a cell that none of its eight neighbours in its class exceeds; its centre must lie in the grid.
    Of two of a class with a BEV IoU above `apart` the lesser is left out.
    """
    p = heat.sigmoid()
    p = torch.where(F.max_pool2d(p, 3, 1, 1) == p, p, torch.zeros_like(p))
    batch, _, rows, columns = p.shape
    scores, order = p.reshape(batch, -1).sort(dim=1, descending=True, stable=True)
    scores, order = scores[:, : 2 * most], order[:, : 2 * most]
    labels, cell = order // (rows * columns), order % (rows * columns)
    said = numbers.reshape(batch, NUMBERS, -1).gather(2, cell[:, None, :].expand(-1, NUMBERS, -1))
    step = grid.cell * STRIDE
    found = []
    for one in range(batch):
        n, label, at = said[one].double().numpy(), labels[one].numpy(), cell[one].numpy()
        line = np.arctan2(n[6], n[7]) / 2
        front = np.cos(line) * n[9] + np.sin(line) * n[8] >= 0
        z, *lwh = usual[label].T
        upright = np.column_stack(
            [
                grid.x[0] + step * (at // columns + 0.5) + n[0],
                grid.y[0] + step * (at % columns + 0.5) + n[1],
                z + n[2],
                np.array(lwh).T * np.exp(np.clip(n[3:6].T, -3, 3)),
                np.where(front, line, line + np.pi),
            ]
        )
        score = scores[one].double().numpy()
        rivals = (bev_iou(upright, upright) > apart) & (label[:, None] == label[None, :])
        keep = unrivalled(rivals) & (score > 0)
        keep &= (upright[:, 0] >= grid.x[0]) & (upright[:, 0] <= grid.x[1])
        keep &= (upright[:, 1] >= grid.y[0]) & (upright[:, 1] <= grid.y[1])
        rows_kept = np.flatnonzero(keep)[:most]
        found.append((from_yawed(upright[rows_kept]), score[rows_kept], label[rows_kept]))
    return found
