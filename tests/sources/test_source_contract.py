"""What every source keeps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from swath.config import Channel, LoopConfig
from swath.errors import FormatError, UnknownNameError
from swath.formats.folders import listed
from swath.formats.kitti_records import Damage
from swath.sources import KINDS, Source, make
from swath.worlds import make_world

spec = importlib.util.spec_from_file_location("foreign_kitti", Path(__file__).parents[1] / "foreign_kitti.py")
assert spec is not None
assert spec.loader is not None
foreign = importlib.util.module_from_spec(spec)
spec.loader.exec_module(foreign)


@pytest.fixture(scope="module", params=["kitti", "surround", "images", "cloud"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A made world of each rig as a source."""
    root = tmp_path_factory.mktemp(request.param)
    make_world(root, scenes=5, seed=2, scale=0.1, rig=request.param)
    return make("kitti" if request.param == "kitti" else "rig", root)


def test_a_made_world_is_whole(source: Source) -> None:
    """No damage; every scene has every channel, checked and with labels; the settings are a configuration."""
    assert isinstance(source, Source)
    assert source.name in KINDS
    seen: list[tuple[int, int]] = []
    found = source.scan(progress=lambda done, total: seen.append((done, total)))
    assert found.damages == ()
    assert seen == [(done, 5) for done in range(1, 6)]
    assert [one.key for one in found.scenes] == [f"{number:06d}" for number in range(5)]
    config = LoopConfig(channels=found.channels, primary=found.primary)
    images = {name for name, one in config.channels.items() if one.kind == "image"}
    for scene in found.scenes:
        assert set(scene.media) == set(config.channels)
        assert set(scene.sizes) == images
        assert {name for name, one in config.channels.items() if one.labelled} <= set(scene.truth)
        assert scene.sequence
        assert scene.label_digest
        for name, one in (*scene.truth.items(), *scene.dont_care.items()):
            assert one.labels.modality == ("2d" if name in images else "3d")
            assert len(one.labels.shapes) == len(one.labels.classes)
            assert set(map(len, one.attributes.values())) <= {len(one.labels)}
            assert "DontCare" not in one.labels.classes or name in scene.dont_care
    assert any(len(one.labels) for scene in found.scenes for one in scene.truth.values())


def test_clouds_are_used_or_converted(source: Source) -> None:
    """A PCD is used as it is, anything else comes as points (N, 4) float32."""
    found = source.scan()
    for name, one in found.channels.items():
        if one["kind"] == "cloud":
            path = found.scenes[0].media[name]
            cloud = source.cloud(path)
            assert (cloud is None) == (path.suffix == ".pcd")
            if cloud is not None:
                assert cloud.dtype == np.float32
                assert cloud.shape[1] == 4


def test_workers(source: Source) -> None:
    """Three workers find what one finds."""
    one, three = source.scan(), source.scan(workers=3)
    assert one.damages == three.damages
    for first, second in zip(one.scenes, three.scenes, strict=True):
        for name in ("key", "sequence", "media", "sizes", "calibration", "label_digest"):
            assert getattr(first, name) == getattr(second, name)
        assert {n: (o.labels, o.attributes) for n, o in first.truth.items()} == {
            n: (o.labels, o.attributes) for n, o in second.truth.items()
        }


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_there(kind: str, tmp_path: Path) -> None:
    """An empty folder, and one that isn't there, are FormatErrors that say what was expected."""
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(FormatError, match=f"expected a {kind if kind == 'rig' else 'KITTI'} folder"):
            make(kind, root).scan()


def test_unknown_kinds(tmp_path: Path) -> None:
    """A kind that there isn't is named, with those that there are."""
    with pytest.raises(UnknownNameError, match="no source 'coco'; expected one of kitti, rig"):
        make("coco", tmp_path, {"left": Channel()})


def test_damages_are_printable(tmp_path: Path) -> None:
    """Whatever a file is called, a damage can be printed and stored: one line, no control characters, valid
    UTF-8."""
    names: list[Callable[[], str]] = [
        lambda: "a\x1b[31mb\n.png",
        lambda: b"\xff\xfe.png".decode(errors="surrogateescape"),
    ]
    for name in names:
        (tmp_path / name()).write_bytes(b"")
    files, damages = listed(tmp_path, (".png",))
    assert files == {}
    assert len(damages) == 2
    for one in (*damages, Damage("a\nb", 3, "c\x1bd\udcff")):
        assert str(one).isprintable()
        str(one).encode()
    assert str(Damage("ä b", 3, "größer")) == "ä b: line 3: größer"
