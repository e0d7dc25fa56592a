"""Reads an image completely, or says why it can't: a file cut short still has a good header."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swath.errors import FormatError


def read_image(path: str, width: int, height: int) -> npt.NDArray[np.float32]:
    """The image at `path` as (height, width, 3) float32 RGB in 0 .. 1, resized by area (aspect not kept)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((width, height), Image.Resampling.BOX)
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file; expected an image") from None
    except UnidentifiedImageError:
        raise FormatError(f"{path}: not an image that can be read") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(f"{path}: damaged image ({error})") from None
    pixels: npt.NDArray[np.float32] = np.asarray(small, np.float32) / np.float32(255)
    return pixels
