"""Vectors of parts of images: what an encoder gives for the part alone, kept by content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from swath.crops import Window, encoder_of, vectors
from swath.encoders import make
from swath.errors import ConfigError


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Two images of noise and one that is damaged."""
    out = []
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (60, 120, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        out.append(str(tmp_path / f"{number}.png"))
    (tmp_path / "bad.png").write_bytes(b"no image")
    return [*out, str(tmp_path / "bad.png")]


class Counts:
    """The descriptor of images; counts what it encodes."""

    name, version, slices = "counts", "1", ("image",)

    def __init__(self) -> None:
        self.encoded, self._inner = 0, make("descriptor:image")
        self.dim = self._inner.dim

    def encode(self, paths: Sequence[Any], **how: Any) -> Any:
        self.encoded += len(paths)
        return self._inner.encode(paths, **how)


ONE: Window = (10, 5, 60, 40)
TWO: Window = (0, 0, 120, 60)


def test_a_part_is_encoded_as_if_it_were_an_image(images: list[str], tmp_path: Path) -> None:
    """Each row is what the encoder gives for a file that holds that part alone, whatever the order, twice too."""
    encoder = make("descriptor:image")
    wanted = [(images[0], ONE), (images[0], TWO), (images[1], ONE), (images[0], ONE)]
    found = vectors(tmp_path / "home", encoder, wanted)
    for row, (path, window) in enumerate(wanted):
        with Image.open(path) as image:
            image.crop(window).save(tmp_path / "part.png")
        expected = encoder.encode([{"image": str(tmp_path / "part.png")}]).vectors[0]
        np.testing.assert_array_equal(found[row], expected)
    assert not np.array_equal(found[0], found[2])


def test_nothing_is_encoded_twice(images: list[str], tmp_path: Path) -> None:
    """What is kept is taken from there, for another place of the same file too; a new window alone is encoded; bytes are the same."""
    encoder: Any = Counts()
    first = vectors(tmp_path / "home", encoder, [(images[0], ONE), (images[1], ONE)])
    assert encoder.encoded == 2
    moved = tmp_path / "moved.png"
    moved.write_bytes(Path(images[0]).read_bytes())
    again = vectors(tmp_path / "home", encoder, [(images[1], ONE), (str(moved), ONE), (str(moved), TWO)])
    assert encoder.encoded == 3
    np.testing.assert_array_equal(again[:2], first[::-1])


@pytest.mark.parametrize(
    "damage", [b"", b"PK\x03\x04 cut off", None], ids=["empty", "cut off", "of another width"]
)
def test_what_is_kept_may_be_damaged(damage: bytes | None, images: list[str], tmp_path: Path) -> None:
    """It is made again, and is the same."""
    encoder: Any = Counts()
    first = vectors(tmp_path / "home", encoder, [(images[0], ONE)])
    (kept,) = (tmp_path / "home" / "crops").glob("*.npz")
    if damage is None:
        np.savez(kept, boxes=np.array([ONE]), vectors=np.zeros((1, 3), np.float32))
    else:
        kept.write_bytes(damage)
    np.testing.assert_array_equal(vectors(tmp_path / "home", encoder, [(images[0], ONE)]), first)
    assert encoder.encoded == 2


def test_an_image_that_cannot_be_read_has_no_vector(images: list[str], tmp_path: Path) -> None:
    """Its rows are NaN, those of others are there; nothing is kept of it, so that it counts once it is mended."""
    encoder = make("descriptor:image")
    found = vectors(tmp_path / "home", encoder, [(images[2], ONE), (images[0], ONE)])
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
    assert len(list((tmp_path / "home" / "crops").glob("*.npz"))) == 1
    Path(images[2]).write_bytes(Path(images[1]).read_bytes())
    assert np.isfinite(vectors(tmp_path / "home", encoder, [(images[2], ONE)])).all()


def test_encoders_of_scenes_and_of_parts() -> None:
    """The descriptor of scenes looks at images alone for parts; where no encoder of images is, one line says what to take."""
    assert encoder_of("descriptor").name == encoder_of("descriptor:image").name == "descriptor:image"
    for spec in ("field:given", "model:v0", "descriptor:cloud"):
        with pytest.raises(
            ConfigError, match=rf"select.queries: .*{spec}.*take one of descriptor, descriptor:image, "
        ):
            encoder_of(spec)
