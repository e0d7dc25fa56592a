"""EfficientNet-Lite0 in pure torch, made to hold the weights that were converted from TensorFlow.

Tan and Le 2019, "EfficientNet", in the Lite form that Google published in 2020: ReLU6 in place of swish, no squeeze and
excitation. The padding is TensorFlow's, since the weights were learned with it. Images are (B, 3, H, W) RGB in [-1, 1].
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = (
    # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
SEEN = {2: 40, 4: 112, 6: 320}
"""The stages whose maps are looked at, at strides 8, 16 and 32, and their channels."""
DIM = 1280


class _Conv(nn.Conv2d):
    """Without a bias. (H, W) -> (ceil(H / stride), ceil(W / stride)); where the padding is odd, right and below get more."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        if self.stride[0] > 1:
            pads = [self._missing(size) for size in (maps.shape[3], maps.shape[2])]
            maps = F.pad(maps, [one for pad in pads for one in (pad // 2, pad - pad // 2)])
        return super().forward(maps)

    def _missing(self, size: int) -> int:
        stride = self.stride[0]
        return max(0, (-(-size // stride) - 1) * stride + self.kernel_size[0] - size)


def _layers(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        _Conv(inputs, outputs, kernel, stride, groups),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
        nn.ReLU6(inplace=True),
    ]


class _Block(nn.Module):
    """Widened, seen channel by channel, narrowed; added to what came in where the shape is the same."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.layers = nn.Sequential(
            *(_layers(inputs, wide) if expansion > 1 else ()),
            *_layers(wide, wide, kernel, stride, groups=wide),
            *_layers(wide, outputs)[:2],
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        seen: Tensor = self.layers(maps)
        return maps + seen if self.adds else seen


class Body(nn.Module):
    """The network up to its last map: 2.96 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_layers(3, 32, kernel=3, stride=2))
        stages, inputs = [], 32
        for kernel, stride, expansion, channels, blocks in STAGES:
            widths = pairwise((inputs, *[channels] * blocks))
            made = [
                _Block(a, b, kernel, stride if i == 0 else 1, expansion) for i, (a, b) in enumerate(widths)
            ]
            stages.append(nn.Sequential(*made))
            inputs = channels
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps at strides 8, 16 and 32, (B, c, ceil(H / s), ceil(W / s)) each."""
        maps, seen = self.stem(images), []
        for i, stage in enumerate(self.stages):
            maps = stage(maps)
            if i in SEEN:
                seen.append(maps)
        return seen


class Whole(nn.Module):
    """(B, 3, H, W) -> (B, 1280): the network without its last layer, which names ImageNet's classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()
        self.head = nn.Sequential(*_layers(SEEN[6], DIM))

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.head(self.body(images)[-1])
        return maps.mean(dim=(2, 3))


def load(net: Body | Whole, path: str) -> None:
    """Gives the network the tensors of the file at `path`, which lie there in the order in which the network has its own."""
    tensors = torch.load(path, map_location="cpu", weights_only=True).values()
    net.load_state_dict(dict(zip(net.state_dict(), tensors, strict=False)))
