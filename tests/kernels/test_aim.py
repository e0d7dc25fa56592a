"""A camera that does not look where its calibration says is found, once, by how much; one that does is not accused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenery import FOCAL, HEIGHT, WIDTH, Project, camera, cuboids

from swath.kernels.aim import Aim, Shot, aim, shot
from swath.kernels.checks import check_across
from swath.kernels.sight import projected, see


def shots(truth: Project, told: Project, scenes: int = 20, noise: float = 0.7) -> list[Shot]:
    """Boxes where the camera `truth` sees the cuboids, up to drawing; the calibration says `told`."""
    out = []
    for seed in range(scenes):
        table, names = cuboids(seed)
        drawn = projected(table, truth)[0] + np.random.default_rng([7, seed]).normal(size=(3, 4)) * noise
        out.append(shot(drawn, names, see(table, told, WIDTH, HEIGHT), names, WIDTH, HEIGHT))
    return out


def found(truth: Project, told: Project, **how: float) -> Aim | None:
    return aim(shots(truth, told, **how), WIDTH, HEIGHT, FOCAL)  # type: ignore[arg-type]


def test_a_right_calibration_is_not_accused() -> None:
    """Sixty objects with boxes drawn to a pixel, and to five, show nothing."""
    assert found(camera(), camera()) is None
    assert found(camera(), camera(), noise=5.0) is None


@pytest.mark.parametrize("degrees", [0.5, 1.0, -2.0, 5.0])
def test_a_turn_is_measured(degrees: float) -> None:
    """A camera that is turned to the left by a sees what stands at the angle b to its right at f * tan(b + a) instead of
    f * tan(b): the median of that over the sixty objects is what is said, to 6 % (boxes have another middle than cuboids)."""
    got = found(camera(degrees), camera())
    assert got is not None
    where = np.concatenate([cuboids(seed)[0] for seed in range(20)])
    b, a = np.arctan2(-where[:, 1], where[:, 0]), math.radians(degrees)
    assert got.shift[0] == pytest.approx(np.median(FOCAL * (np.tan(b + a) - np.tan(b))), rel=0.06)
    assert abs(got.shift[1]) < 1
    assert got.objects >= 50
    assert f"{abs(got.shift[0]):.1f} px {'right' if degrees > 0 else 'left'}" in got.said("left")


def test_another_camera_is_recognised_by_depth() -> None:
    """The calibration of a camera half a metre to the right: off by f * 0.5 / depth, which no common shift explains; corrected,
    every box overlaps its projection again."""
    truth, told = camera(), camera(right=0.5)
    got = found(truth, told, noise=0.3)
    assert got is not None
    table, names = cuboids(3)
    boxes = projected(table, truth)[0]
    onto = projected(table, got.corrected(told))[0]
    np.testing.assert_allclose(onto, boxes, atol=3)
    assert check_across(boxes, names, table, names, told, WIDTH, HEIGHT)
    assert not check_across(boxes, names, table, names, got.corrected(told), WIDTH, HEIGHT)


def test_another_focal_length() -> None:
    """A calibration of images 4 % larger: off in proportion to the distance from the centre, to nothing on average."""
    got = found(camera(), camera(focal=1.04 * FOCAL), noise=0.3)
    assert got is not None
    assert got.warp[5] == pytest.approx(-0.04 / 1.04, abs=0.01)


def test_too_little_is_no_evidence() -> None:
    """Four scenes of three objects, and fifty boxes that are anywhere, accuse nobody."""
    assert aim(shots(camera(2.0), camera(), scenes=4), WIDTH, HEIGHT, FOCAL) is None
    lost = []
    for seed in range(20):
        table, names = cuboids(seed)
        rng = np.random.default_rng([8, seed])
        moved = projected(table, camera())[0] + np.tile(rng.uniform(-90, 90, (3, 2)), 2)
        lost.append(shot(moved, names, see(table, camera(), WIDTH, HEIGHT), names, WIDTH, HEIGHT))
    assert aim(lost, WIDTH, HEIGHT, FOCAL) is None
    assert aim([], WIDTH, HEIGHT, FOCAL) is None


def test_one_bad_labeller_is_not_the_calibration() -> None:
    """A fifth of the boxes 30 px to the right moves nothing: the others lie where they should."""
    mixed = [
        one if seed % 5 else bad
        for seed, (one, bad) in enumerate(
            zip(shots(camera(), camera()), shots(camera(2.4), camera()), strict=True)
        )
    ]
    assert aim(mixed, WIDTH, HEIGHT, FOCAL) is None
