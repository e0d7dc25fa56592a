"""Encoders by name: ONNX models of many shapes, the zoo, and names that don't exist."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from swath.encoders import make
from swath.encoders.onnx import pooled
from swath.errors import FormatError, SwathError, UnknownNameError


def identity(path: Path, shape: list[Any], kind: int = TensorProto.FLOAT, inputs: int = 1) -> Path:
    """A model whose output is its input, as float32."""
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    graph = helper.make_graph([node], "identity", [helper.make_tensor_value_info("x", kind, shape)], outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> dict[str, str]:
    """An orange picture: R 200, G 100, B 50."""
    path = tmp_path / "orange.png"
    Image.new("RGB", (50, 40), (200, 100, 50)).save(path)
    return {"image": str(path)}


@pytest.mark.parametrize("spec", ["", "clip", "descriptor:radar", "onnx", "onnx:", "zoo", "zoo:"])
def test_unknown_spec(spec: str) -> None:
    """A name that is no encoder is refused with the names that are."""
    with pytest.raises(UnknownNameError, match=r"descriptor, descriptor:image.*onnx:PATH.*zoo:NAME"):
        make(spec)


@pytest.mark.parametrize("shape", [["n", 3, 8, 12], [1, 8, 12, 3], ["n", 3, "h", "w"], ["n", "h", "w", 3]])
def test_layouts(tmp_path: Path, picture: dict[str, str], shape: list[Any]) -> None:
    """NCHW and NHWC, with fixed or open sizes, average to the same normalised colour."""
    encoder = make(f"onnx:{identity(tmp_path / 'm.onnx', shape)}", size=(12, 8))
    got = encoder.encode([picture]).vectors
    colour = np.array([200, 100, 50]) / 255
    expected = (colour - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert encoder.dim == 3
    np.testing.assert_allclose(got[0], expected, rtol=1e-4)


def test_settings(tmp_path: Path, picture: dict[str, str]) -> None:
    """Mean and std are those that are given, and a change of them, or of the model, changes the version."""
    path = identity(tmp_path / "m.onnx", ["n", 3, 8, 12])
    plain = make(f"onnx:{path}", mean=(0, 0, 0), std=(1, 1, 1))
    np.testing.assert_allclose(plain.encode([picture]).vectors[0], np.array([200, 100, 50]) / 255, rtol=1e-4)
    versions = {plain.version, make(f"onnx:{path}").version}
    versions.add(make(f"onnx:{identity(path, ['n', 3, 8, 13])}").version)
    assert len(versions) == 3


def test_uint8_and_grey(tmp_path: Path, picture: dict[str, str]) -> None:
    """A uint8 input gets whole pixels, 0 .. 255; a one-channel input gets the mean of the channels."""
    whole = make(f"onnx:{identity(tmp_path / 'u.onnx', [1, 8, 12, 3], TensorProto.UINT8)}")
    np.testing.assert_array_equal(whole.encode([picture]).vectors[0], [200, 100, 50])
    grey = make(f"onnx:{identity(tmp_path / 'g.onnx', [1, 1, 8, 12])}", mean=(0, 0, 0), std=(1, 1, 1))
    np.testing.assert_allclose(grey.encode([picture]).vectors[0], [350 / 3 / 255], rtol=1e-4)


def test_pooling() -> None:
    """Vectors are kept, tokens and maps are averaged."""
    values = np.arange(24, dtype=np.float32)
    np.testing.assert_array_equal(pooled(values.reshape(1, 24), False), values)
    np.testing.assert_array_equal(pooled(values.reshape(1, 4, 6), False), values.reshape(4, 6).mean(axis=0))
    np.testing.assert_array_equal(
        pooled(values.reshape(1, 2, 3, 4), False), values.reshape(2, 12).mean(axis=1)
    )
    np.testing.assert_array_equal(
        pooled(values.reshape(1, 3, 4, 2), True), values.reshape(12, 2).mean(axis=0)
    )


@pytest.mark.parametrize(
    ("shape", "said"), [([8, 3, 8, 8], "batch"), (["n", 5, 8, 8], "channels"), (["n", 3], "4 axes")]
)
def test_models_that_do_not_fit(tmp_path: Path, shape: list[Any], said: str) -> None:
    """A model that takes no single image is refused with what was expected."""
    with pytest.raises(FormatError, match=said):
        make(f"onnx:{identity(tmp_path / 'm.onnx', shape)}")


def test_no_model(tmp_path: Path) -> None:
    """A missing file, and one that is no model, are a user's mistakes with the path in them."""
    with pytest.raises(FormatError, match=r"none\.onnx: no such file"):
        make(f"onnx:{tmp_path / 'none.onnx'}")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(FormatError, match=r"text\.onnx: not an ONNX model"):
        make(f"onnx:{tmp_path / 'text.onnx'}")


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where onnxruntime is missing the message names the extra to install."""
    path = identity(tmp_path / "m.onnx", ["n", 3, 8, 8])
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SwathError, match=r"pip install 'swath\[onnx\]'"):
        make(f"onnx:{path}")


class FakeModel:
    """Stands in for a zoo model: FiftyOne's are downloads. Its vector is the mean colour, and the image's
    size."""

    has_embeddings = True

    def embed(self, image: np.ndarray) -> np.ndarray:
        return np.r_[image.mean(axis=(0, 1)), image.shape[0], image.shape[1]]


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    models = SimpleNamespace(known={"colours": FakeModel()})
    package, module = ModuleType("fiftyone"), ModuleType("fiftyone.zoo")
    package.__version__ = "1.22.1"  # type: ignore[attr-defined]
    package.zoo = module  # type: ignore[attr-defined]
    module.list_zoo_models = lambda: list(models.known)  # type: ignore[attr-defined]
    module.load_zoo_model = lambda name: models.known[name]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fiftyone", package)
    monkeypatch.setitem(sys.modules, "fiftyone.zoo", module)
    return models


def test_zoo(zoo: SimpleNamespace, picture: dict[str, str]) -> None:
    """A zoo model gets whole RGB images of uint8, and a damaged file is a problem of its row alone."""
    encoder = make("zoo:colours")
    got = encoder.encode([{"image": "nowhere.png"}, picture], workers=2)
    assert encoder.dim == 5
    np.testing.assert_array_equal(got.vectors[1], [200, 100, 50, 40, 50])
    assert np.isnan(got.vectors[0]).all()
    assert [row for row, _ in got.problems] == [0]


def test_zoo_names(zoo: SimpleNamespace) -> None:
    """An unknown zoo model is refused with names that exist; one without embeddings says so."""
    with pytest.raises(UnknownNameError, match="colours"):
        make("zoo:clip")
    zoo.known["plain"] = SimpleNamespace(has_embeddings=False)
    with pytest.raises(SwathError, match="no embeddings"):
        make("zoo:plain")
