"""Cuboids in the camera's frame are recognised and named; those that are only badly placed are not."""

from __future__ import annotations

import numpy as np
import pytest
from scenery import GROUND, camera, cuboids, from_cloud

from swath.kernels.frames import View, frames, wrong_frame
from swath.kernels.sight import projected


def ground(places: np.ndarray) -> np.ndarray:
    return np.full(len(places), GROUND)


def in_camera(table: np.ndarray, *, bottom: bool = False) -> np.ndarray:
    """x right, y down, z forward: (-y, -z, x); KITTI's have the middle of the bottom, half a height further down."""
    x, y, z = table[:, :3].T
    out = table.copy()
    out[:, :3] = np.c_[-y, -z + (table[:, 5] / 2 if bottom else 0), x]
    return out


def in_cloud(table: np.ndarray) -> np.ndarray:
    """What becomes of LiDAR coordinates that are read as a camera's: the way from camera to LiDAR, once too often."""
    x, y, z = table[:, :3].T
    out = table.copy()
    out[:, :3] = np.c_[z, -x, -y]
    return out


def view(seed: int) -> View:
    table, names = cuboids(seed)
    return View(projected(table, camera())[0], names, camera())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("by", ["boxes", "ground"])
def test_mixed_up_frames_are_named(seed: int, by: str) -> None:
    """Camera coordinates, with centre or bottom, by boxes or by the ground; LiDAR coordinates read as the camera's, by boxes."""
    table, names = cuboids(seed)
    how = {"views": [view(seed)]} if by == "boxes" else {"views": [], "ground": ground}
    ways = [(in_camera(table), "camera's frame"), (in_camera(table, bottom=True), "camera's frame")]
    if by == "boxes":  # what is ahead is near the ground by chance in the other one
        ways.append((in_cloud(table), "read as the camera's"))
    for mixed, words in ways:
        said = wrong_frame(mixed, names, from_cloud=from_cloud(), **how)  # type: ignore[arg-type]
        assert said is not None
        assert words in said
        assert "0 of 3" in said
        assert wrong_frame(mixed, names, **how) is not None  # type: ignore[arg-type]
    assert wrong_frame(table, names, from_cloud=from_cloud(), **how) is None  # type: ignore[arg-type]


def test_frames_undo_what_was_mixed_up() -> None:
    """One of the ways to mix up frames leads back to where the cuboids are, to the last bit but one."""
    table, _ = cuboids(1)
    for mixed in (in_camera(table), in_camera(table, bottom=True), in_cloud(table)):
        ways = [np.abs(moved - table).max() for _, moved in frames(mixed, from_cloud())]
        assert min(ways) < 1e-9


def test_bad_places_are_no_other_frame() -> None:
    """Cuboids 20 m beside theirs, or 5 m above the road, fit nowhere: nothing is said of their frame."""
    table, names = cuboids(2)
    for axis, metres in ((1, 20.0), (2, 5.0)):
        moved = table.copy()
        moved[:, axis] += metres
        assert wrong_frame(moved, names, [view(2)], ground, from_cloud()) is None


def test_too_little_to_say() -> None:
    """No cuboids, none that is finite, neither boxes nor ground, one cuboid without boxes: nothing."""
    table, names = cuboids(3)
    mixed = in_camera(table)
    assert wrong_frame(np.zeros((0, 9)), [], [view(3)], ground) is None
    assert wrong_frame(mixed * np.nan, names, [view(3)], ground) is None
    assert wrong_frame(mixed, names, []) is None
    assert wrong_frame(mixed[:1], names[:1], [], ground) is None
