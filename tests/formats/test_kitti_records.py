"""Calibration, label lines and the conversion between KITTI's objects and swath's cuboids."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from swath.errors import FormatError
from swath.formats.kitti import (
    Calibration,
    KittiObject,
    from_cuboid,
    heading,
    read_calibration,
    read_objects,
    to_cuboid,
    write_objects,
)
from swath.kernels import cuboids

P2 = "721.5377 0 609.5593 44.85728 0 721.5377 172.854 0.2163791 0 0 1 0.002745884"
P3 = "721.5377 0 609.5593 -339.5242 0 721.5377 172.854 2.199936 0 0 1 0.002729905"
R0 = "0.9999239 0.00983776 -0.007445048 -0.009869795 0.9999421 -0.004278459 0.007402527 0.004351614 0.9999631"
TR = (
    "0.007533745 -0.9999714 -0.000616602 -0.004069766 0.01480249 0.0007280733 -0.9998902 -0.07631618 "
    "0.9998621 0.00752379 0.01480755 -0.2717806"
)
CAR = "Car 0.00 0 -1.57 100.00 120.00 200.00 180.00 1.50 1.60 3.90 -2.00 1.70 15.00 -1.60"


def calibration_text(**rows: str) -> str:
    texts = {"P0": P2, "P1": P2, "P2": P2, "P3": P3, "R0_rect": R0, "Tr_velo_to_cam": TR} | rows
    return "".join(f"{name}: {row}\n" for name, row in texts.items()) + "Tr_imu_to_velo: 1 2\n\n"


def tilted(tilt: float = 0.2) -> Calibration:
    """KITTI's own intrinsics with a LiDAR that is rolled and pitched by `tilt` radians."""
    base = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    turn = base @ Rotation.from_euler("xyz", [tilt, -tilt / 2, 0.1]).as_matrix()
    r0 = Rotation.from_euler("xyz", [0.01, -0.02, 0.005]).as_matrix()
    matrices = [np.array(text.split(), dtype=float).reshape(3, 4) for text in (P2, P3)]
    return Calibration(matrices[0], matrices[1], r0, np.column_stack([turn, [0.1, -0.3, -0.5]]))


def devkit_corners(item: KittiObject) -> np.ndarray:
    """The 8 corners, (8, 3) in rectified camera 0, by the development kit's `computeBox3D.m`."""
    height, width, length = item.dimensions
    cos, sin = math.cos(item.rotation_y), math.sin(item.rotation_y)
    x = np.array([1, 1, -1, -1, 1, 1, -1, -1]) * length / 2
    y = np.array([0, 0, 0, 0, -1, -1, -1, -1]) * height
    z = np.array([1, -1, -1, 1, 1, -1, -1, 1]) * width / 2
    turned = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) @ np.stack([x, y, z])
    return turned.T + item.location


def cuboid_corners(cuboid: np.ndarray) -> np.ndarray:
    """The same 8 corners, (8, 3) in the LiDAR frame, from scipy's intrinsic XYZ Euler angles."""
    length, width, height = cuboid[3:6]
    x = np.array([1, 1, -1, -1, 1, 1, -1, -1]) * length / 2
    y = np.array([1, -1, -1, 1, 1, -1, -1, 1]) * width / 2
    z = np.array([-1, -1, -1, -1, 1, 1, 1, 1]) * height / 2
    return Rotation.from_euler("XYZ", cuboid[6:9]).apply(np.stack([x, y, z], axis=1)) + cuboid[:3]


def pixels(rect: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rectified camera points, (N, 3), to pixels, (N, 2), by the development kit's `projectToImage.m`."""
    image = np.column_stack([rect, np.ones(len(rect))]) @ matrix.T
    return image[:, :2] / image[:, 2:]


def number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


boxes = st.tuples(number(0, 600), number(0, 180), number(1, 600), number(1, 180)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
objects = st.builds(
    KittiObject,
    label=st.sampled_from(["Car", "Person_sitting", "Lkw-größer"]),
    truncated=number(0, 1),
    occluded=st.sampled_from([-1, 0, 1, 2, 3]),
    alpha=number(-math.pi, math.pi),
    box=boxes,
    dimensions=st.tuples(number(0.2, 5), number(0.2, 5), number(0.2, 20)),
    location=st.tuples(number(-40, 40), number(-3, 5), number(14, 80)),
    rotation_y=number(-math.pi, math.pi),
    score=st.none() | number(0, 1),
)


@given(objects, number(-0.3, 0.3))
def test_corners_project_to_the_same_pixels(item: KittiObject, tilt: float) -> None:
    """A cuboid's corners, projected from a tilted LiDAR, are the development kit's corners in both images."""
    calibration = tilted(tilt)
    corners = cuboid_corners(to_cuboid(item, calibration))
    for camera, matrix in (("left", calibration.p2), ("right", calibration.p3)):
        projected, depth = calibration.project(corners, camera)  # type: ignore[arg-type]
        np.testing.assert_allclose(projected, pixels(devkit_corners(item), matrix), atol=1e-6)
        assert (depth > 0).all()


def test_corners_project_with_rounded_calibration(tmp_path: Path) -> None:
    """KITTI's own calibration, rounded to seven digits and so not quite orthogonal, costs under 0.01 pixels."""
    (tmp_path / "calib.txt").write_text(calibration_text())
    calibration = read_calibration(tmp_path / "calib.txt")
    (tmp_path / "label.txt").write_text(CAR)
    (item,), _ = read_objects(tmp_path / "label.txt")
    corners = cuboid_corners(to_cuboid(item, calibration))
    for camera, matrix in (("left", calibration.p2), ("right", calibration.p3)):
        projected, _ = calibration.project(corners, camera)  # type: ignore[arg-type]
        np.testing.assert_allclose(projected, pixels(devkit_corners(item), matrix), atol=0.01)


@given(objects, number(-0.3, 0.3))
def test_cuboids_round_trip(item: KittiObject, tilt: float) -> None:
    """from_cuboid undoes to_cuboid to 1e-6."""
    dimensions, location, rotation_y = from_cuboid(to_cuboid(item, tilted(tilt)), tilted(tilt))
    np.testing.assert_allclose(dimensions, item.dimensions, atol=1e-6)
    np.testing.assert_allclose(location, item.location, atol=1e-6)
    assert math.remainder(rotation_y - item.rotation_y, 2 * math.pi) == pytest.approx(0, abs=1e-6)


@given(number(-0.3, 0.3), number(-0.3, 0.3), number(-3.1, 3.1))
def test_heading_is_the_direction_of_the_own_x_axis(rx: float, ry: float, rz: float) -> None:
    """The yaw is where scipy's rotation turns the x axis, seen from above."""
    axis = Rotation.from_euler("XYZ", [rx, ry, rz]).apply([1.0, 0, 0])
    yaw = heading(np.array([0, 0, 0, 1, 1, 1, rx, ry, rz]))
    assert math.remainder(yaw - math.atan2(axis[1], axis[0]), 2 * math.pi) == pytest.approx(0, abs=1e-9)


def test_a_car_ahead_drives_forward() -> None:
    """Without tilt, rotation_y = -90 degrees is a car that drives away: yaw 0, centre half its height up."""
    plain = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]])
    calibration = Calibration(tilted().p2, tilted().p3, np.eye(3), plain)
    item = KittiObject("Car", 0, 0, 0, (0, 0, 1, 1), (1.5, 1.6, 4.0), (-3.0, 1.7, 20.0), -math.pi / 2)
    np.testing.assert_allclose(to_cuboid(item, calibration), [20, 3, -0.95, 4, 1.6, 1.5, 0, 0, 0], atol=1e-12)


@given(st.lists(objects, max_size=4))
def test_labels_round_trip(tmp_path_factory: pytest.TempPathFactory, items: list[KittiObject]) -> None:
    """What write_objects writes, read_objects reads back to 1e-6, without damage."""
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    write_objects(path, items)
    found, damages = read_objects(path)
    assert not damages
    assert [(f.label, f.occluded, f.score is None) for f in found] == [
        (i.label, i.occluded, i.score is None) for i in items
    ]
    for one, other in zip(found, items, strict=True):
        for name in ("truncated", "alpha", "box", "dimensions", "location", "rotation_y"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-6)


def test_calibration_round_trips_through_plain_lists() -> None:
    """to_dict holds nothing but lists of floats, and from_dict gives every bit back."""
    stored = tilted().to_dict()
    assert {type(x) for rows in stored.values() for row in rows for x in row} == {float}
    again = Calibration.from_dict(stored)
    for name in ("p2", "p3", "r0", "velo_to_cam"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tilted(), name))


def test_points_behind_the_camera_have_no_pixel() -> None:
    """Depth tells behind from ahead; no points give empty arrays of the right shape."""
    projected, depth = tilted(0.0).project([[-10.0, 0, 0], [10.0, 0, 0]])
    assert np.isnan(projected[0]).all()
    assert np.isfinite(projected[1]).all()
    assert depth[0] < 0 < depth[1]
    assert [a.shape for a in tilted().project(np.zeros((0, 3)))] == [(0, 2), (0,)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"P2": "1 2 3"}, r"line 3: P2: expected 12 numbers, got 3"),
        ({"R0_rect": R0.replace("0.9999239", "nan")}, r"line 5: R0_rect: .*'nan', which is not finite"),
        (
            {"Tr_velo_to_cam": TR.replace("-0.9999714", "x")},
            r"line 6: Tr_velo_to_cam: .*'x', which is no num",
        ),
        ({"P0": "1e999 " + P2[9:]}, r"line 1: P0: .*'1e999', which is not finite"),
        ({"R0_rect": "1 0 0 0 1 0 0 0 3"}, r"r0: expected a rotation"),
        ({"R0_rect": "1 0 0 0 1 0 0 0 -1"}, r"r0: expected a rotation"),
    ],
)
def test_bad_calibration_rows_are_named(tmp_path: Path, row: dict[str, str], says: str) -> None:
    """A calibration that can't be used says the line, what was expected and what came."""
    (tmp_path / "000001.txt").write_text(calibration_text(**row))
    with pytest.raises(FormatError, match=rf"000001.txt: {says}"):
        read_calibration(tmp_path / "000001.txt")


def test_missing_and_doubled_calibration_rows(tmp_path: Path) -> None:
    """A row that is missing or comes twice is named; a missing file is a FormatError too."""
    path = tmp_path / "c.txt"
    path.write_text(f"P2: {P2}\nP3: {P3}\n")
    with pytest.raises(FormatError, match="missing: R0_rect, Tr_velo_to_cam"):
        read_calibration(path)
    path.write_text(f"P2: {P2}\nP2: {P3}\n")
    with pytest.raises(FormatError, match=r"line 2: P2 comes a second time \(first in line 1\)"):
        read_calibration(path)
    with pytest.raises(FormatError, match="can't be read"):
        read_calibration(tmp_path / "none.txt")


BAD_LINES = {
    "Car 0.00 0 -1.57 100 120": "15 or 16 columns, got 6",
    CAR + " 1 2": "15 or 16 columns, got 17",
    CAR.replace("15.00", "nan"): "'nan', which is not finite",
    CAR.replace("100.00", "-inf"): "'-inf', which is not finite",
    CAR.replace("1.60", "wide", 1): "'wide', which is no number",
    CAR.replace("Car 0.00", "Car 1.20"): "truncated: expected 0..1",
    CAR.replace("Car 0.00 0", "Car 0.00 0.5"): "occluded: expected 0, 1, 2, 3",
    CAR.replace("200.00", "100.00"): "box: expected x1 < x2",
    CAR.replace("180.00", "90.00"): "box: expected x1 < x2 and y1 < y2",
    CAR.replace("3.90", "-3.90"): "dimensions: expected three sizes above 0, or none",
    CAR.replace("-1.60", "-10"): "rotation_y: expected radians",
    CAR.replace("Car", "C" * 65): "at most 64 printable",
    CAR.replace("Car", "C\0r"): "at most 64 printable",
}


def test_bad_lines_are_listed_and_good_ones_kept(tmp_path: Path) -> None:
    """Each kind of bad line is one Damage with its 1-based number; the good lines around it are read."""
    path = tmp_path / "000001.txt"
    path.write_text("\n".join([line for bad in BAD_LINES for line in (CAR, bad)]))
    found, damages = read_objects(path)
    assert len(found) == len(BAD_LINES)
    assert [damage.line for damage in damages] == [2 * (i + 1) for i in range(len(BAD_LINES))]
    for damage, expected in zip(damages, BAD_LINES.values(), strict=True):
        assert damage.file == str(path)
        assert expected in damage.reason


def test_harmless_differences_are_read(tmp_path: Path) -> None:
    """A byte-order mark, Windows line ends, blank lines, extra blanks, a score and DontCare are no damage."""
    path = tmp_path / "a.txt"
    care = "DontCare -1 -1 -10 10.0 20.0 30.0 40.0 -1 -1 -1 -1000 -1000 -1000 -10"
    path.write_bytes(f"\ufeff{CAR}  \r\n\r\n{CAR} 0.75\r\n  {care}\r\n \t\r\n".encode())
    found, damages = read_objects(path)
    assert damages == ()
    assert [item.label for item in found] == ["Car", "Car", "DontCare"]
    assert [item.score for item in found] == [None, 0.75, None]
    assert [item.has_cuboid for item in found] == [True, True, False]
    with pytest.raises(ValueError, match="DontCare has no cuboid"):
        to_cuboid(found[2], tilted())


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    """A label file of random bytes gives damages and no objects, not a crash."""
    path = tmp_path / "a.txt"
    path.write_bytes(np.random.default_rng(1).bytes(2000) + b"\n" + CAR.replace("Car", "C").encode())
    found, damages = read_objects(path)
    assert [item.label for item in found] == ["C"]
    assert damages


def test_writing_refuses_what_reading_would(tmp_path: Path) -> None:
    """A class name with a blank, or a number that isn't finite, is refused and nothing is written."""
    good = read_line(tmp_path, CAR)
    for change in ({"label": "my car"}, {"alpha": math.nan}, {"box": (5.0, 0.0, 5.0, 1.0)}):
        with pytest.raises(ValueError, match="expected"):
            write_objects(tmp_path / "b.txt", [KittiObject(**(good.__dict__ | change))])
    assert not (tmp_path / "b.txt").exists()


def read_line(folder: Path, line: str) -> KittiObject:
    (folder / "line.txt").write_text(line)
    (found,), _ = read_objects(folder / "line.txt")
    return found


@given(objects, number(-0.3, 0.3))
def test_the_kernels_mean_the_same_by_a_cuboid(item: KittiObject, tilt: float) -> None:
    """Corners and yaw of the cuboid kernels, which the steps use, are those of this file's own oracle."""
    cuboid = to_cuboid(item, tilted(tilt))
    found, expected = cuboids.corners(cuboid[None])[0], cuboid_corners(cuboid)
    distances = np.linalg.norm(found[:, None] - expected[None], axis=2)
    assert max(distances.min(axis=0).max(), distances.min(axis=1).max()) < 1e-6
    assert math.remainder(cuboids.yawed(cuboid[None])[0, 6] - heading(cuboid), 2 * math.pi) == pytest.approx(
        0, abs=1e-9
    )
