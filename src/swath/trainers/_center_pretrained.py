"""The center detector on a backbone that ImageNet taught: EfficientNet-Lite0 sees, the same head speaks."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.nn import Parameter

from swath.encoders.pretrained import network
from swath.trainers._center_net import LevelNet

CHANNELS = (40, 112, 320)


class PretrainedNet(LevelNet):
    """`taught`: with ImageNet's weights, to train from; else with weights that a model file is to replace."""

    features = sum(CHANNELS)

    def __init__(self, classes: int, *, taught: bool) -> None:
        super().__init__()
        self.backbone = network(taught=taught)
        self.head(classes, CHANNELS)

    def seen(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.backbone(images)
        return maps

    def train(self, mode: bool = True) -> PretrainedNet:
        """The backbone keeps the means and spreads of ImageNet: those of four images would replace them by noise."""
        super().train(mode)
        self.backbone.eval()
        return self


def rates(net: PretrainedNet, share: float) -> Iterator[tuple[list[Parameter], float]]:
    """The parameters that learn, with their share of the learning rate: `share` for the backbone, which stays as it is at 0."""
    net.backbone.requires_grad_(share > 0)
    spoken = [value for name, value in net.named_parameters() if not name.startswith("backbone.")]
    yield spoken, 1.0
    if share:
        yield list(net.backbone.parameters()), share
