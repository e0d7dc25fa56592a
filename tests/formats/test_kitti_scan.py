"""Scanning KITTI folders: what is used, and what is listed as damage."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_kitti_records import calibration_text, cuboid_corners

from swath.errors import FormatError
from swath.formats.kitti import KittiFolder, check_image, read_cloud, scan, to_cuboid, write_pcd
from swath.formats.pcd import read_pcd

spec = importlib.util.spec_from_file_location("foreign_kitti", Path(__file__).parents[1] / "foreign_kitti.py")
assert spec is not None
assert spec.loader is not None
foreign = importlib.util.module_from_spec(spec)
spec.loader.exec_module(foreign)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], KittiFolder]:
    root = tmp_path_factory.mktemp("foreign")
    facts = foreign.make_foreign(root, frames=24)
    return root, facts, scan(root, workers=2)


def test_every_planted_damage_is_reported_once(made: tuple[Path, dict[str, Any], KittiFolder]) -> None:
    """What was broken, with its file and line, is what is reported: nothing less, nothing more."""
    _, facts, folder = made
    planted = sorted((d["file"], d["line"] or 0) for d in facts["damages"])
    assert len(planted) == 11
    assert [(d.file, d.line or 0) for d in folder.damages] == planted


def test_the_rest_of_a_damaged_folder_is_kept(made: tuple[Path, dict[str, Any], KittiFolder]) -> None:
    """All frames come, in order, with every good label line and every slice that isn't damaged."""
    root, facts, folder = made
    assert [frame.key for frame in folder.frames] == facts["frames"]
    bad = {d["kind"]: Path(d["file"]).stem for d in facts["damages"]}
    for frame in folder.frames:
        assert frame.objects is not None
        assert sum(item.label != "DontCare" for item in frame.objects) == facts["objects"][frame.key]
        assert (frame.width, frame.height) == (800, 256)
        assert frame.sequence is None
        assert (frame.left is None) == (frame.key == bad["truncated image"])
        assert (frame.right is None) == (frame.key == bad["missing right image"])
        assert (frame.cloud is None) == (frame.key in (bad["missing cloud"], bad["cloud of a wrong size"]))
        no_calibration = (bad["missing calibration"], bad["bad calibration row"])
        assert (frame.calibration is None) == (frame.key in no_calibration)
        assert frame.dropped_points == (3 if frame.key == bad["points that are not finite"] else 0)
    assert {frame.key for frame in folder.frames if frame.objects == ()} == set(facts["empty"])
    assert scan(root / "training").frames[0].key == folder.frames[0].key


def test_cuboids_of_a_tilted_lidar_fit_both_images(made: tuple[Path, dict[str, Any], KittiFolder]) -> None:
    """Corners projected from the pitched LiDAR lie within a pixel of the foreign script's own, left and right."""
    checked = 0
    for frame in made[2].frames:
        for item in frame.objects or ():
            if frame.calibration is None or not item.has_cuboid:
                continue
            found = cuboid_corners(to_cuboid(item, frame.calibration))
            expected = foreign.corners(np.array(item.location), item.dimensions, item.rotation_y)
            for camera, matrix in (("left", foreign.P2), ("right", foreign.P3)):
                pixels, _ = frame.calibration.project(found, camera)  # type: ignore[arg-type]
                np.testing.assert_allclose(pixels, foreign.project(expected, matrix), atol=1e-3)
            checked += 1
    assert checked > 50


def test_workers_and_progress(made: tuple[Path, dict[str, Any], KittiFolder]) -> None:
    """One worker finds what two do, and progress counts every frame."""
    root, facts, folder = made
    seen: list[tuple[int, int]] = []
    again = scan(root, progress=lambda done, total: seen.append((done, total)))
    total = len(facts["frames"])
    assert seen == [(done, total) for done in range(1, total + 1)]
    assert again.damages == folder.damages
    assert [f.objects for f in again.frames] == [f.objects for f in folder.frames]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Three whole frames, a, b and c."""
    for folder in ("image_2", "image_3", "velodyne", "calib", "label_2"):
        (tmp_path / "training" / folder).mkdir(parents=True)
    for key in "abc":
        for folder in ("image_2", "image_3"):
            Image.new("RGB", (8, 4), (9, 9, 9)).save(tmp_path / "training" / folder / f"{key}.png")
        (tmp_path / "training/velodyne" / f"{key}.bin").write_bytes(np.ones((5, 4), "<f4").tobytes())
        (tmp_path / "training/calib" / f"{key}.txt").write_text(calibration_text())
        (tmp_path / "training/label_2" / f"{key}.txt").write_text("")
    return tmp_path


def reasons(folder: KittiFolder) -> list[tuple[str, int | None, str]]:
    return [(damage.file, damage.line, damage.reason) for damage in folder.damages]


def test_a_whole_folder_has_no_damage(small: Path) -> None:
    """Nothing is reported where nothing is wrong."""
    folder = scan(small)
    assert folder.damages == ()
    assert [(f.key, f.width, f.height, f.objects) for f in folder.frames] == [(k, 8, 4, ()) for k in "abc"]


def test_drives_give_sequences(small: Path) -> None:
    """Listed frames get their drive; bad, doubled and dangling lines are named, unlisted frames summed up."""
    (small / "drives.txt").write_text("# frame drive\na one\n\nb two\r\nb three\nx one\nc\n")
    folder = scan(small)
    assert [frame.sequence for frame in folder.frames] == ["one", "two", None]
    assert reasons(folder) == [
        ("drives.txt", None, "1 frames are not listed and have no drive: c"),
        ("drives.txt", 5, "frame b comes a second time (first in line 4)"),
        ("drives.txt", 6, "not used: no image or cloud is named x"),
        ("drives.txt", 7, "expected `frame drive`, got 1 words"),
    ]


def test_drives_may_lie_in_training_and_win_only_once(small: Path) -> None:
    """drives.txt is found beside the slices as well; of two, the one in the root is used and the other named."""
    (small / "training/drives.txt").write_text("a one\nb one\nc one\n")
    assert {frame.sequence for frame in scan(small).frames} == {"one"}
    (small / "drives.txt").write_text("a two\nb two\nc two\n")
    folder = scan(small)
    assert {frame.sequence for frame in folder.frames} == {"two"}
    assert [damage.file for damage in folder.damages] == ["training/drives.txt"]


def test_a_frame_without_any_slice_is_left_out_and_named(small: Path) -> None:
    """When images and cloud of a frame are all unusable the frame goes, and each reason is listed."""
    for folder in ("image_2", "image_3"):
        path = small / "training" / folder / "b.png"
        path.write_bytes(path.read_bytes()[:40])
    (small / "training/velodyne/b.bin").write_bytes(b"")
    folder = scan(small)
    assert [frame.key for frame in folder.frames] == ["a", "c"]
    assert [damage.file for damage in folder.damages] == [
        "training/*/b",
        "training/image_2/b.png",
        "training/image_3/b.png",
        "training/velodyne/b.bin",
    ]


def test_a_missing_folder_is_said_once(small: Path) -> None:
    """Without image_3 there is one line, not one per frame; without label_2 there are no labels, and no damage."""
    shutil.rmtree(small / "training/image_3")
    shutil.rmtree(small / "training/label_2")
    folder = scan(small)
    assert reasons(folder) == [("training/image_3", None, "missing: no such folder")]
    assert [(f.right, f.objects) for f in folder.frames] == [(None, None)] * 3


def test_an_unlabelled_frame_is_no_damage(small: Path) -> None:
    """No label file means nobody has labelled the frame; that is not the same as an empty one."""
    (small / "training/label_2/b.txt").unlink()
    folder = scan(small)
    assert [frame.objects for frame in folder.frames] == [(), None, ()]
    assert folder.damages == ()


def test_what_does_not_belong_is_named(small: Path) -> None:
    """Folders, doubles, hidden and dangling files in the five folders are listed, not passed over."""
    shutil.copy(small / "training/image_2/a.png", small / "training/image_2/a.jpg")
    (small / "training/velodyne/.a.bin.12-1.tmp").write_bytes(b"half")
    (small / "training/label_2/old").mkdir()
    (small / "training/calib/zz.txt").write_text(calibration_text())
    assert [damage.file for damage in scan(small).damages] == [
        "training/calib/zz.txt",
        "training/image_2/a.png",
        "training/label_2/old",
        "training/velodyne/.a.bin.12-1.tmp",
    ]


def test_other_folders_are_refused(tmp_path: Path) -> None:
    """A folder that is no KITTI folder, or isn't there, says what was expected and what was found."""
    (tmp_path / "holiday").mkdir()
    with pytest.raises(FormatError, match=r"expected a KITTI folder with training/image_2.*found holiday"):
        scan(tmp_path)
    with pytest.raises(FormatError, match="no such folder"):
        scan(tmp_path / "nowhere")


def test_images_are_decoded_whole(tmp_path: Path) -> None:
    """Every proper beginning of a PNG is refused, whatever its header promises."""
    noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    assert check_image(tmp_path / "a.png") == (30, 20)
    data = (tmp_path / "a.png").read_bytes()
    for length in (0, 5, 20, 60, len(data) // 2, len(data) - 40):
        (tmp_path / "cut.png").write_bytes(data[:length])
        with pytest.raises(FormatError, match="decoding failed"):
            check_image(tmp_path / "cut.png")


@pytest.mark.parametrize("data", [b"", b"\0" * 15, b"\0" * 33, np.full((2, 4), np.nan, "<f4").tobytes()])
def test_clouds_that_are_none(tmp_path: Path, data: bytes) -> None:
    """A size that isn't a multiple of 16, no point, and no finite point are refused."""
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(FormatError, match=r"a\.bin: expected"):
        read_cloud(tmp_path / "a.bin")


def test_points_that_are_not_finite_are_dropped_and_counted(tmp_path: Path) -> None:
    """The finite points come back in order, with the number of the others."""
    cloud = np.arange(20, dtype="<f4").reshape(5, 4)
    cloud[1, 2], cloud[4, 3] = np.nan, np.inf
    (tmp_path / "a.bin").write_bytes(cloud.tobytes())
    points, dropped = read_cloud(tmp_path / "a.bin")
    assert dropped == 2
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, np.arange(20).reshape(5, 4)[[0, 2, 3]])


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_pcd_round_trips(tmp_path: Path, count: int) -> None:
    """A cloud comes back bit for bit, is written with the same bytes twice, and leaves no other file."""
    cloud = np.random.default_rng(count).normal(0, 30, (count, 4)).astype(np.float32)
    write_pcd(tmp_path / "a.pcd", cloud)
    first = (tmp_path / "a.pcd").read_bytes()
    write_pcd(tmp_path / "a.pcd", cloud)
    assert (tmp_path / "a.pcd").read_bytes() == first
    np.testing.assert_array_equal(read_pcd(tmp_path / "a.pcd"), cloud)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcd"]


def test_other_pcd_files_are_read(tmp_path: Path) -> None:
    """Ascii files, padding and colours, doubles and missing intensity are read as the format's page describes."""
    head = "# .PCD v.7\nVERSION .7\nFIELDS {}\nSIZE {}\nTYPE {}\nCOUNT {}\nWIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA {}\n"
    path = tmp_path / "a.pcd"
    path.write_text(head.format("x y z", "4 4 4", "F F F", "1 1 1", "ascii") + "1 2 3\n4 5 6\n")
    np.testing.assert_array_equal(read_pcd(path), [[1, 2, 3, 0], [4, 5, 6, 0]])
    rows = np.zeros(2, [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("_", "u1", (3,)), ("intensity", "<u2")])
    rows["x"], rows["intensity"] = (7, 8), (1, 2)
    header = head.format("x y z _ intensity", "8 8 8 1 2", "F F F U U", "1 1 1 3 1", "binary")
    path.write_bytes(header.encode() + rows.tobytes())
    np.testing.assert_array_equal(read_pcd(path), [[7, 0, 0, 1], [8, 0, 0, 2]])


def test_broken_pcd_files_are_refused(tmp_path: Path) -> None:
    """Every cut of a file, another encoding and another format are FormatErrors that name the file."""
    path = tmp_path / "a.pcd"
    write_pcd(path, np.ones((3, 4), np.float32))
    whole = path.read_bytes()
    for data in (
        *(whole[:n] for n in range(0, len(whole), 7)),
        whole.replace(b"binary", b"binary_compressed"),
        b"\x89PNG\n",
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"a\.pcd: expected"):
            read_pcd(path)
