"""Images as encoders take them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swath.formats import images


def read_image(path: str, width: int, height: int) -> npt.NDArray[np.float32]:
    """The image at `path` as (height, width, 3) float32 RGB in 0 .. 1, resized by area. FormatError where it
    is missing, damaged or no image."""
    pixels: npt.NDArray[np.float32] = images.read_image(path, (width, height)) / np.float32(255)
    return pixels
