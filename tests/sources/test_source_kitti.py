"""KITTI folders as a source: channels, labels apart from DontCare, stored calibration, drives of the
development kit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_source_contract import foreign

from swath.config import CHANNELS, Channel, LoopConfig
from swath.errors import ConfigError, FormatError
from swath.formats.kitti import read_cloud, scan, to_cuboid
from swath.formats.kitti_records import Calibration
from swath.labels.calibration import camera
from swath.sources import Found, make
from swath.sources.base import Scan
from swath.sources.kitti import Kitti


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scan]:
    root = tmp_path_factory.mktemp("kitti")
    foreign.make_foreign(root, frames=20)
    return root, make("kitti", root).scan(workers=2)


def test_scenes_are_the_frames(made: tuple[Path, Scan]) -> None:
    """Every frame of the folder is a scene with the media, sizes and damages that formats.kitti finds."""
    root, found = made
    folder = scan(root)
    assert found.damages == folder.damages
    assert [one.key for one in found.scenes] == [frame.key for frame in folder.frames]
    for scene, frame in zip(found.scenes, folder.frames, strict=True):
        expected = {"left": frame.left, "right": frame.right, "pcd": frame.cloud}
        assert dict(scene.media) == {name: path for name, path in expected.items() if path}
        assert dict(scene.sizes) == {name: (800, 256) for name in scene.media if name != "pcd"}
        assert scene.calibration == (frame.calibration.to_dict() if frame.calibration else None)


def test_labels_are_the_objects(made: tuple[Path, Scan]) -> None:
    """2D labels lie on the left image, with DontCare apart; cuboids on the cloud, where there is a
    calibration."""
    root, found = made
    frames = {frame.key: frame for frame in scan(root).frames}
    apart = 0
    for scene in found.scenes:
        frame = frames[scene.key]
        assert frame.objects is not None
        care = [one for one in frame.objects if one.label != "DontCare"]
        assert set(scene.truth) == {"left"} & set(scene.media) | (
            {"pcd"} & set(scene.media) if frame.calibration else set()
        )
        assert set(scene.dont_care) == {"left"} & set(scene.media)
        if "left" in scene.truth:
            one = scene.truth["left"]
            np.testing.assert_array_equal(one.labels.shapes, np.array([o.box for o in care]).reshape(-1, 4))
            assert one.labels.classes == tuple(o.label for o in care)
            assert one.attributes == {
                name: [getattr(o, name) for o in care] for name in ("truncated", "occluded", "alpha")
            }
            rest = scene.dont_care["left"]
            assert set(rest.labels.classes) <= {"DontCare"}
            assert len(rest.labels) == len(frame.objects) - len(care)
            assert set(map(len, rest.attributes.values())) == {len(rest.labels)}
            apart += len(rest.labels)
        if "pcd" in scene.truth:
            assert frame.calibration is not None
            one = scene.truth["pcd"]
            expected = np.array([to_cuboid(o, frame.calibration) for o in care]).reshape(-1, 9)
            np.testing.assert_array_equal(one.labels.shapes, expected)
            assert set(one.attributes) == {"truncated", "occluded"}
    assert apart > 3


def test_stored_calibrations_project(made: tuple[Path, Scan]) -> None:
    """labels.calibration finds the channels' cameras in what is stored."""
    for scene in made[1].scenes:
        if scene.calibration is not None:
            whole = Calibration.from_dict(dict(scene.calibration))
            for name, side in (("left", "left"), ("right", "right")):
                one = camera(scene.calibration, str(CHANNELS[name].calibration))
                assert one is not None
                points = [[12.0, 1, -1], [30, -4, 0]]
                np.testing.assert_allclose(one.project(points)[0], whole.project(points, side)[0])  # type: ignore[arg-type]


def test_clouds_are_converted(made: tuple[Path, Scan]) -> None:
    """A .bin becomes an array, without the points that aren't finite."""
    root, found = made
    path = found.scenes[0].media["pcd"]
    cloud = make("kitti", root).cloud(path)
    np.testing.assert_array_equal(cloud, read_cloud(path)[0])


def test_changed_labels_change_the_digest(made: tuple[Path, Scan]) -> None:
    """The digest tells one label file from another, and from none at all; other files don't matter to it."""
    root, found = made
    key = found.scenes[3].key
    path = root / f"training/label_2/{key}.txt"
    text = path.read_text()

    def digests() -> dict[str, str | None]:
        return {one.key: one.label_digest for one in make("kitti", root).scan().scenes}

    before = {one.key: one.label_digest for one in found.scenes}
    assert len(set(before.values())) > 10
    path.write_text(text + "\n")
    changed = digests()
    assert [one for one in before if before[one] != changed[one]] == [key]
    path.unlink()
    assert digests()[key] is None
    path.write_text(text)
    assert digests() == before


def test_other_names(made: tuple[Path, Scan]) -> None:
    """Channels find their sensors by calibration and kind; a sensor without a channel is left out."""
    channels = {
        "velo": Channel(kind="cloud", labelled=True),
        "cam3": Channel(calibration="P3", embed=True),
        "extra": Channel(kind="cloud"),
        "P2": Channel(labelled=True),
    }
    found = make("kitti", made[0], channels).scan()
    assert {name for one in found.scenes for name in one.media} == {"velo", "cam3", "P2"}
    assert found.primary == "P2"
    assert set(found.channels) == {"velo", "cam3", "P2"}
    by_key = {one.key: one for one in made[1].scenes}
    for scene in found.scenes:
        assert scene.media.get("cam3") == by_key[scene.key].media.get("right")
        assert set(scene.truth) <= {"velo", "P2"}
    only = make("kitti", made[0], {"pcd": Channel(kind="cloud", labelled=True)}).scan()
    assert only.primary == "pcd"
    assert all(set(one.media) == {"pcd"} for one in only.scenes)
    with pytest.raises(ConfigError, match=r"P2.*P3.*none of the channels is one of these: front"):
        make("kitti", made[0], {"front": Channel(labelled=True)})


def test_settings_fit_the_folder(made: tuple[Path, Scan], tmp_path: Path) -> None:
    """A whole folder implies the channels that are the default; without image_2 the cloud is shown; what is
    implied is a configuration."""
    found = made[1]
    assert LoopConfig(channels=found.channels, primary=found.primary).channels == dict(CHANNELS)
    (tmp_path / "training").mkdir()
    for name in ("velodyne", "calib"):
        (tmp_path / "training" / name).symlink_to(made[0] / "training" / name)
    less = make("kitti", tmp_path).scan()
    assert (less.primary, list(less.channels)) == ("pcd", ["pcd"])
    (tmp_path / "training/velodyne").unlink()
    (tmp_path / "training/image_3").symlink_to(made[0] / "training/image_3")
    right = make("kitti", tmp_path).scan()
    config = LoopConfig(channels=right.channels, primary=right.primary)
    assert list(config.channels) == ["right"]
    assert config.channels["right"].labelled
    assert config.channels["right"].calibration == "P3"


def test_no_kitti_folder(tmp_path: Path) -> None:
    """Another folder is refused with what was expected."""
    with pytest.raises(FormatError, match="expected a KITTI folder"):
        make("kitti", tmp_path).scan()


# ---------------------------------------------------------------------- drives of the development kit

MAPPING = """\
2011_09_26 2011_09_26_drive_0001_sync 0000000000
2011_09_26 2011_09_26_drive_0001_sync 0000000005
2011_09_28 2011_09_28_drive_0106_sync 0000000048
2011_09_29 0004 0000000001
"""
RAND = "3,1,4,2"
DRIVES = {
    "000000": "2011_09_28_drive_0106_sync",
    "000001": "2011_09_26_drive_0001_sync",
    "000002": "2011_09_29_0004",
    "000003": "2011_09_26_drive_0001_sync",
}


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Four frames of a point each, without drives.txt."""
    (tmp_path / "training/velodyne").mkdir(parents=True)
    (tmp_path / "training/calib").mkdir()
    for key in DRIVES:
        (tmp_path / f"training/velodyne/{key}.bin").write_bytes(np.ones((1, 4), "<f4").tobytes())
    return tmp_path


def give(folder: Path, mapping: str = MAPPING, rand: str = RAND) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train_mapping.txt").write_text(mapping)
    (folder / "train_rand.txt").write_text(rand)


def drives_of(root: Path) -> tuple[dict[str, str | None], list[str]]:
    """The drive of each scene, and what is said of the files of the mapping."""
    found = Kitti(root).scan()
    told = [str(one) for one in found.damages if "train_" in one.file or "drives" in one.file]
    return {one.key: one.sequence for one in found.scenes}, told


@pytest.mark.parametrize("place", [".", "mapping", "devkit/mapping", "devkit_object/mapping"])
def test_drives_of_the_kit(four: Path, place: str) -> None:
    """Frame k belongs to the line of train_mapping.txt that the k-th number of train_rand.txt names, and not
    the reverse."""
    assert drives_of(four) == (dict.fromkeys(DRIVES), [])
    give(four / place, rand=RAND + "\n")
    assert drives_of(four) == (DRIVES, [])


def test_own_drives_win(four: Path) -> None:
    """With a drives.txt in the folder the kit is not asked."""
    give(four / "mapping")
    (four / "drives.txt").write_text("000000 mine\n")
    found, told = drives_of(four)
    assert set(found.values()) == {"mine", None}
    assert told == ["drives.txt: 3 frames are not listed and have no drive: 000001, 000002, 000003"]


def test_gaps_of_the_kit(four: Path) -> None:
    """Frames that the kit can't know, numbers that are none, and bad lines are named; the rest have their
    drives."""
    for key in ("holiday", "000004", "9" * 400):
        (four / f"training/velodyne/{key[:200]}.bin").write_bytes(np.ones((1, 4), "<f4").tobytes())
    give(
        four / "mapping", MAPPING.replace("2011_09_29 0004 0000000001", "2011_09_29"), "3,-1,4,99999999999999"
    )
    found, told = drives_of(four)
    assert {key: drive for key, drive in found.items() if drive} == {"000000": DRIVES["000000"]}
    assert told == [
        "mapping/train_mapping.txt: line 4: expected `date drive frame`, got 1 words; frame 000002 has no drive",
        f"mapping/train_rand.txt: 5 frames are not in the mapping and have no drive: 000001, 000003, 000004, {'9' * 200}, holiday",
    ]


def test_half_a_kit(four: Path) -> None:
    """One of the two files alone gives no drives, and the other is named; bytes that are no text do no
    harm."""
    give(four / "mapping")
    (four / "mapping/train_rand.txt").unlink()
    found, told = drives_of(four)
    assert set(found.values()) == {None}
    assert told == ["mapping/train_rand.txt: can't be read: No such file or directory"]
    (four / "mapping/train_rand.txt").write_bytes(b"\xff\xfe\0,,\0" * 50)
    found, told = drives_of(four)
    assert set(found.values()) == {None}
    assert len(told) == 1


def test_found_is_what_is_stored(made: tuple[Path, Scan]) -> None:
    """Paths are absolute, for a database that outlives the working directory."""
    assert all(path.is_absolute() for one in made[1].scenes for path in one.media.values())
    assert isinstance(made[1].scenes[0], Found)
