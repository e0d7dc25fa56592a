"""Where a point of the cloud lands in an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from swath.errors import FormatError
from swath.formats.kitti_records import Calibration
from swath.labels.calibration import Camera, camera

AXES = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], float)
angles = st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3)
offsets = st.lists(st.floats(-2, 2), min_size=3, max_size=3)


@st.composite
def calibrations(draw: st.DrawFn) -> Calibration:
    """KITTI's form: a LiDAR that is turned and moved, a rectification, two cameras with a baseline each."""

    def projection() -> np.ndarray:
        f, cx, cy = draw(st.floats(200, 900)), draw(st.floats(100, 700)), draw(st.floats(50, 300))
        intrinsics = np.array([[f, 0, cx], [0, f, cy], [0, 0, 1]])
        return np.column_stack([intrinsics, np.array(draw(offsets)) * [100, 1, 0.01]])

    def rotation() -> np.ndarray:
        return Rotation.from_euler("xyz", draw(angles)).as_matrix()

    to_camera = np.column_stack([rotation() @ AXES, draw(offsets)])
    return Calibration(projection(), projection(), rotation(), to_camera)


points = st.lists(st.lists(st.floats(-60, 60), min_size=3, max_size=3), max_size=8)


@given(calibrations(), points)
def test_kitti(calibration: Calibration, cloud: list[list[float]]) -> None:
    """Both cameras of a stored KITTI calibration project as KITTI's own formula does, under either spelling."""
    spelled: dict[str, Any] = {
        "P2": calibration.p2.tolist(),
        "P3": calibration.p3.tolist(),
        "R0_rect": calibration.r0.tolist(),
        "Tr_velo_to_cam": calibration.velo_to_cam.tolist(),
    }
    for stored in (calibration.to_dict(), spelled):
        for name, side in (("P2", "left"), ("P3", "right")):
            one = camera(stored, name)
            assert one is not None
            pixels, depth = one.project(cloud)
            wanted, wanted_depth = calibration.project(cloud, side)  # type: ignore[arg-type]
            np.testing.assert_allclose(depth, wanted_depth, atol=1e-9)
            clear = np.abs(wanted_depth) > 1e-3  # nearer, rounding decides on which side of the camera it is
            np.testing.assert_allclose(pixels[clear], wanted[clear], rtol=1e-6, atol=1e-6)


@given(calibrations(), points)
def test_named_cameras(calibration: Calibration, cloud: list[list[float]]) -> None:
    """The same camera under a name of its own projects to the same pixels; a camera stored and read again is the same."""
    known = camera(calibration.to_dict(), "P2")
    assert known is not None
    stored = {"cameras": {"front": known.to_dict(), "back": Camera(np.eye(3, 4), np.eye(4)).to_dict()}}
    front, back = camera(stored, "front"), camera(stored, "back")
    assert front is not None
    assert back is not None
    for mine, wanted in zip(front.project(cloud), known.project(cloud), strict=True):
        np.testing.assert_array_equal(mine, wanted)
    np.testing.assert_array_equal(back.projection, np.eye(3, 4))


def test_behind_the_camera() -> None:
    """A point behind the camera has a depth below 0 and no pixel; one outside the image keeps its pixel."""
    one = Camera(np.array([[100, 0, 50, 0], [0, 100, 50, 0], [0, 0, 1, 0]], float), np.eye(4))
    pixels, depth = one.project([[0, 0, -5], [0, 0, 5], [100, 0, 5]])
    assert depth.tolist() == [-5, 5, 5]
    assert np.isnan(pixels[0]).all()
    assert pixels[1:].tolist() == [[50, 50], [2050, 50]]
    assert one.project([])[0].shape == (0, 2)


@pytest.mark.parametrize(
    "stored", [None, {}, {"cameras": {}}, {"cameras": {"a": Camera(np.eye(3, 4), np.eye(4)).to_dict()}}]
)
def test_unknown_name(stored: dict[str, Any] | None) -> None:
    """No calibration, or none of that name: None."""
    assert camera(stored, "left") is None


def test_unknown_name_in_kitti() -> None:
    """A KITTI calibration has no camera of another name."""
    stored = Calibration(np.eye(3, 4), np.eye(3, 4), np.eye(3), np.eye(3, 4)).to_dict()
    assert camera(stored, "left") is None


GOOD = {"projection": np.eye(3, 4).tolist(), "from_cloud": np.eye(4).tolist()}


@pytest.mark.parametrize(
    "change",
    [
        {"projection": np.eye(3).tolist()},
        {"from_cloud": np.eye(3, 4).tolist()},
        {"projection": [[1, 0, 0, 0], [0, 1, 0], [0, 0, 1, 0]]},
        {"projection": "eye"},
        {"from_cloud": np.full((4, 4), np.inf).tolist()},
        {"from_cloud": None},
    ],
)
def test_bad_shapes(change: dict[str, Any]) -> None:
    """Other shapes, words and numbers that are not finite are a FormatError that says calibration."""
    with pytest.raises(FormatError, match="calibration"):
        camera({"cameras": {"left": {**GOOD, **change}}}, "left")


@pytest.mark.parametrize("gone", ["r0", "velo_to_cam"])
def test_half_a_kitti_calibration(gone: str) -> None:
    """A KITTI calibration without one of its parts is a FormatError."""
    stored = Calibration(np.eye(3, 4), np.eye(3, 4), np.eye(3), np.eye(3, 4)).to_dict()
    with pytest.raises(FormatError, match="P2"):
        camera({name: value for name, value in stored.items() if name != gone}, "P2")


@pytest.mark.parametrize("stored", [{"cameras": [1]}, {"cameras": {"left": 3}}])
def test_not_a_calibration(stored: dict[str, Any]) -> None:
    """What is stored in another form is a FormatError, not a defect."""
    with pytest.raises(FormatError, match="calibration"):
        camera(stored, "left")
