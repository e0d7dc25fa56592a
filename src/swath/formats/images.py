"""The one reader of images: whatever its kind, it becomes 8-bit RGB as it is to be seen.

    orientation    EXIF's is applied: the image stands upright, and its size is that of the upright image
    16 bits        greyscale is scaled by the range of 16 bits: value / 257, rounded; where only 10 or 12
                   bits are used, the image is dark. Colour loses its low byte: Pillow's decoder does that
    32 bits        whole numbers of 0 .. 65535 are taken as 16 bits; others and fractions are refused
    alpha          is left out; colours are taken as they are stored, also where nothing shows them
    grey, palette, CMYK, YCbCr    are converted by Pillow
    several images in a file      the first

An 8-bit RGB image without EXIF comes with the pixels that are stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from swath.formats.damage import Damage, DamageError

ENDINGS = (".png", ".jpg", ".jpeg")
_ORIENTATION = 0x0112  # EXIF's tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path | str, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The image at `path` as (height, width, 3) uint8 RGB, upright; with `size` (width, height) in pixels
    brought to that by area, whatever its aspect. FormatError where it is missing, damaged or no image."""
    whole = decode(path)
    if size is not None:
        whole = whole.resize(size, Image.Resampling.BOX)
    return np.asarray(whole, np.uint8)


def image_size(path: Path | str, *, whole: bool = True) -> tuple[int, int]:
    """`(width, height)` in pixels of the upright image. The whole image is decoded, so that a cut file is
    found out; with `whole=False` the header alone is read, and EXIF data that a PNG has behind its pixels is
    not seen. FormatError as in `read_image`."""
    with _opened(path) as image:
        if whole:
            image.load()
        elif image.format == "TIFF":
            return image.size  # upright already: Pillow does it for this kind
        width, height = image.size
        turned = _orientation(image, whole=whole) >= 5
        return (height, width) if turned else (width, height)


def decode(path: Path | str, *, near: int | None = None) -> Image.Image:
    """The image at `path` as an upright 8-bit RGB image of Pillow. `near`: pixels of width that will do; a
    JPEG may be decoded at a half, a quarter or an eighth of its size for it. FormatError as in
    `read_image`."""
    with _opened(path) as image:
        if near is not None:
            image.draft("RGB", (near, near))
        image.load()
        orientation = _orientation(image)
        image.info.pop("transparency", None)  # of a palette: it can't be expressed in RGB
        colour = _eight_bits(image).convert("RGB")
        return colour.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else colour


@contextmanager
def _opened(path: Path | str) -> Iterator[Image.Image]:
    """The image file, not decoded yet; whatever goes wrong with it becomes a DamageError that names it."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise _damaged(path, "there is no such file") from None
    except UnidentifiedImageError:
        raise _damaged(path, "decoding failed: no known kind of image") from None
    except DamageError:
        raise
    except Exception as error:  # a damaged file makes decoders raise about anything
        raise _damaged(path, f"decoding failed: {error or type(error).__name__}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image itself, or greyscale of more than 8 bits scaled down to 8."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint32)
    elif image.mode == "I":
        values = np.asarray(image)
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        if low < 0 or high > 65535:
            raise ValueError(
                f"expected values of 0 .. 65535, got {low} .. {high}; convert it to 8 or 16 bits"
            )
    elif image.mode == "F":
        raise ValueError("expected 8 or 16 bits, got floating point numbers; convert it to 8 or 16 bits")
    else:
        return image
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _orientation(image: Image.Image, *, whole: bool = True) -> int:
    """EXIF's orientation, 1 .. 8; 1 where there is none that can be read."""
    try:
        # A PNG's own getexif decodes the whole image.
        value = (image.getexif() if whole else Image.Image.getexif(image)).get(_ORIENTATION, 1)
    except Exception:  # the image can be seen without its EXIF data, however damaged they are
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _damaged(path: Path | str, reason: str) -> DamageError:
    return DamageError(Damage(str(path), None, f"expected an image, but {reason}"))
