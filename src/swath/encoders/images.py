"""Reads an image completely, or says why it can't: a file cut short still has a good header."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swath.errors import FormatError


def decode_image(path: str, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """The image at `path` as (height, width, 3) uint8 RGB; with `size` (width, height) px brought to that by
    area (the aspect is not kept). FormatError where the file is missing, damaged or no image."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            whole = image.convert("RGB")
            if size is not None:
                whole = whole.resize(size, Image.Resampling.BOX)
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file; expected an image") from None
    except UnidentifiedImageError:
        raise FormatError(f"{path}: not an image that can be read") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise FormatError(f"{path}: damaged image ({error})") from None
    pixels: npt.NDArray[np.uint8] = np.asarray(whole, np.uint8)
    return pixels


def read_image(path: str, width: int, height: int) -> npt.NDArray[np.float32]:
    """The image at `path` as (height, width, 3) float32 RGB in 0 .. 1, resized by area."""
    pixels: npt.NDArray[np.float32] = decode_image(path, (width, height)) / np.float32(255)
    return pixels
