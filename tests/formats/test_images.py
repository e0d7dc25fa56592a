"""The one image reader: what kinds of images become, and which way up."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from swath.errors import FormatError
from swath.formats.images import decode, image_size, read_image

NOISE = np.random.default_rng(3).integers(0, 256, (24, 40, 3), np.uint8)


def png16(path: Path, values: np.ndarray) -> None:
    """A PNG of 16 bits per channel, grey (h, w) or RGB (h, w, 3), written by hand: Pillow writes no 16-bit
    colour."""
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2 if values.ndim == 3 else 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def turned(path: Path, orientation: int, image: Image.Image | None = None) -> None:
    """Saves an image with EXIF's orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (image or Image.fromarray(NOISE)).save(path, exif=exif)


MODES = {
    "png": ("RGB", "RGBA", "L", "LA", "P", "1"),
    "jpeg": ("RGB", "L", "1", "CMYK"),
    "tiff": ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK"),
}
"""Kind of file -> what it can hold."""


@pytest.mark.parametrize(
    ("ending", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes]
)
def test_eight_bits_are_as_pillow_has_them(tmp_path: Path, mode: str, ending: str) -> None:
    """8-bit images of any mode have the pixels that Pillow converts to RGB, whole and shrunk by area; alpha
    is left out."""
    path = tmp_path / f"a.{ending}"
    image = Image.fromarray(NOISE).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(NOISE[..., 0]))
    image.save(path)
    with Image.open(path) as opened:
        plain = opened.convert("RGB")
    np.testing.assert_array_equal(read_image(path), np.asarray(plain))
    np.testing.assert_array_equal(
        read_image(str(path), (7, 5)), np.asarray(plain.resize((7, 5), Image.Resampling.BOX))
    )
    assert image_size(path) == image_size(path, whole=False) == (40, 24)


def test_colours_under_alpha_are_kept(tmp_path: Path) -> None:
    """What alpha hides keeps its colour, in RGBA and in a palette with alpha, without a warning."""
    image = Image.fromarray(NOISE)
    image.putalpha(0)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), NOISE)
    palette = Image.fromarray(NOISE // 128 * 128).quantize(8)
    palette.save(tmp_path / "p.png", transparency=bytes([0, 100, 200]))
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
def test_sixteen_bits_of_grey_are_scaled(tmp_path: Path, ending: str) -> None:
    """Every value v of 16 bits becomes round(v / 257): black to white, and no jump between neighbours."""
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = tmp_path / f"a.{ending}"
    Image.fromarray(values).save(path)
    found = read_image(path)
    np.testing.assert_array_equal(found[..., 0], np.round(values / 257).astype(np.uint8))
    assert (found[..., 0] == found[..., 1]).all()
    assert (found[..., 0] == found[..., 2]).all()
    assert (found[0, 0, 0], found[-1, -1, 0]) == (0, 255)


def test_sixteen_bits_by_hand(tmp_path: Path) -> None:
    """A 16-bit PNG that Pillow did not write: grey is scaled, colour loses its low byte."""
    values = np.random.default_rng(1).integers(0, 65536, (9, 11, 3)).astype(np.uint16)
    png16(tmp_path / "grey.png", values[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png")[..., 1], np.round(values[..., 0] / 257))
    png16(tmp_path / "colour.png", values)
    np.testing.assert_array_equal(read_image(tmp_path / "colour.png"), values >> 8)
    assert image_size(tmp_path / "colour.png") == (11, 9)


def test_thirty_two_bits(tmp_path: Path) -> None:
    """Whole numbers up to 65535 are taken as 16 bits; larger and negative ones and fractions are refused."""
    path = tmp_path / "a.tiff"
    values = np.array([[0, 257, 30000, 65535]], np.int32)
    Image.fromarray(values).save(path)
    assert read_image(path)[0, :, 0].tolist() == [0, 1, 117, 255]
    for bad in (values + 1, values - 1):
        Image.fromarray(bad).save(path)
        with pytest.raises(FormatError, match=r"a\.tiff: expected an image.*values of 0 \.\. 65535, got"):
            read_image(path)
    Image.fromarray(values.astype(np.float32)).save(path)
    with pytest.raises(FormatError, match=r"floating point.*convert it"):
        read_image(path)


@pytest.mark.parametrize("ending", ["jpeg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, ending: str, orientation: int) -> None:
    """Each of EXIF's eight orientations is applied as Pillow's own exif_transpose does; size and pixels
    agree."""
    path = tmp_path / f"a.{ending}"
    turned(path, orientation)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    np.testing.assert_array_equal(read_image(path), np.asarray(upright))
    expected = (24, 40) if orientation >= 5 else (40, 24)
    assert upright.size == expected
    assert image_size(path) == image_size(path, whole=False) == decode(path, near=9999).size == expected


def test_a_portrait_of_a_camera(tmp_path: Path) -> None:
    """A camera turned by a quarter: what lies at the left of the file is on top of the image, in 8 and in 16
    bits."""
    stored = np.zeros((64, 128, 3), np.uint8)
    stored[:, :32] = (255, 255, 255)
    turned(tmp_path / "a.jpeg", 6, Image.fromarray(stored))
    found = read_image(tmp_path / "a.jpeg", (16, 32))
    assert found[:6].min() > 200
    assert found[10:].max() < 50
    turned(tmp_path / "a.png", 6, Image.fromarray(stored[..., 0].astype(np.uint16) * 257))
    assert read_image(tmp_path / "a.png").shape == (128, 64, 3)
    assert (read_image(tmp_path / "a.png")[:32] == 255).all()


def test_bad_exif_is_left_alone(tmp_path: Path) -> None:
    """Orientations that are none, and EXIF data that are no EXIF, leave the image as it is stored."""
    plain = np.asarray(Image.fromarray(NOISE))
    for orientation in (0, 9, 60000):
        turned(tmp_path / "a.png", orientation)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), plain)
    for data in (
        b"",
        b"Exif\0\0",
        b"Exif\0\0MM\0*\0\0\0\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01",
        b"\xff" * 300,
    ):
        Image.fromarray(NOISE).save(tmp_path / "a.png", exif=data)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), plain)
        assert image_size(tmp_path / "a.png", whole=False) == (40, 24)


READERS: list[Callable[[Path], object]] = [
    read_image,
    image_size,
    decode,
    lambda path: read_image(path, (3, 3)),
]


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_image(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """Missing files, folders, texts, cut and garbled images are FormatErrors that name the file and say
    why."""
    path = tmp_path / "a.png"
    with pytest.raises(FormatError, match=r"a\.png: expected an image, but there is no such file"):
        read(path)
    with pytest.raises(FormatError, match="decoding failed"):
        read(tmp_path)
    path.write_bytes(b"not what the name says")
    with pytest.raises(FormatError, match=r"a\.png: expected an image, but decoding failed: no known kind"):
        read(path)
    for ending in ("png", "jpeg", "tiff"):
        Image.fromarray(NOISE).save(tmp_path / f"whole.{ending}")
        data = (tmp_path / f"whole.{ending}").read_bytes()
        for length in (0, 7, 30, len(data) // 2):
            path.write_bytes(data[:length])
            with pytest.raises(FormatError, match=r"a\.png: expected an image, but decoding failed"):
                read(path)


def test_a_small_draft_of_a_jpeg(tmp_path: Path) -> None:
    """A JPEG that is wanted small is decoded small, at no less than that width, and looks the same."""
    path = tmp_path / "a.jpeg"
    Image.fromarray(np.kron(NOISE, np.ones((32, 32, 1), np.uint8))).save(path)
    small = decode(path, near=100)
    assert 100 <= small.width < 640
    whole = decode(path).resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small, int) - np.asarray(whole)).mean() < 3
