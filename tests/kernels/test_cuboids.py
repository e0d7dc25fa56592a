from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, Delaunay
from scipy.spatial.transform import Rotation
from shapely import Polygon

from swath.kernels import cuboids


def _random(rng: np.random.Generator, count: int, spread: float = 4.0) -> np.ndarray:
    centre, size = rng.uniform(-spread, spread, (count, 3)), rng.uniform(0.5, 6.0, (count, 3))
    return np.hstack([centre, size, rng.uniform(-np.pi, np.pi, (count, 1))])


def _tilted(rng: np.random.Generator, count: int) -> np.ndarray:
    c = cuboids.from_yawed(_random(rng, count))
    c[:, 6:] = rng.uniform(-np.pi, np.pi, (count, 3))
    return c


def _footprint(cuboid: np.ndarray) -> Polygon:
    return Polygon(cuboids.corners(cuboids.from_yawed(cuboid[None]))[0, :4, :2])


def test_rotation_is_scipys_intrinsic_xyz() -> None:
    """The matrices are Rx @ Ry @ Rz, as scipy builds them from intrinsic XYZ Euler angles."""
    c = _tilted(np.random.default_rng(1), 20)
    np.testing.assert_allclose(
        cuboids.rotations(c), Rotation.from_euler("XYZ", c[:, 6:]).as_matrix(), atol=1e-12
    )


def test_corners_by_hand() -> None:
    """A 4 x 2 x 1 cuboid that heads to the left has its front to the left, and its bottom half a metre
    down.
    """
    corners = cuboids.corners([[10, 0, 0, 4, 2, 1, 0, 0, np.pi / 2]])[0]
    expected = [[9, 2], [9, -2], [11, -2], [11, 2]]
    np.testing.assert_allclose(corners[:4], [[*xy, -0.5] for xy in expected], atol=1e-12)
    np.testing.assert_allclose(corners[4:], [[*xy, 0.5] for xy in expected], atol=1e-12)


def test_bev_iou_agrees_with_shapely() -> None:
    """The footprint IoU of 40 x 30 random pairs is shapely's to 1e-9."""
    rng = np.random.default_rng(2)
    a, b = _random(rng, 40), _random(rng, 30)
    p, q = [_footprint(c) for c in a], [_footprint(c) for c in b]
    oracle = [[one.intersection(two).area / one.union(two).area for two in q] for one in p]
    np.testing.assert_allclose(cuboids.bev_iou(a, b), oracle, atol=1e-9)
    assert np.count_nonzero(oracle) > 100


def test_volume_iou_agrees_with_counted_points() -> None:
    """The volume IoU is, to 0.03, the share of random points in both hulls among those in either."""
    rng = np.random.default_rng(3)
    a, b = _random(rng, 6, spread=1.5), _random(rng, 6, spread=1.5)
    points = rng.uniform(-6, 6, (200_000, 3))
    for one, two, value in zip(a, b, np.diag(cuboids.iou(a, b)), strict=True):
        inside = [
            Delaunay(cuboids.corners(cuboids.from_yawed(c[None]))[0]).find_simplex(points) >= 0
            for c in (one, two)
        ]
        counted = (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()
        assert value == pytest.approx(counted, abs=0.03)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, np.pi / 2, np.pi, -np.pi, np.pi / 4, 1e-9, 0.3]),
    st.sampled_from([0.0, 1e-12, 1.0, 2.0, 3.0]),
)
def test_touching_aligned_and_equal_footprints(seed: int, yaw: float, shift: float) -> None:
    """Footprints with shared sides, corners or everything in common give the exact overlap: clipping has no
    bad cases.
    """
    rng = np.random.default_rng(seed)
    one = np.array([*rng.uniform(-100, 100, 3), 3.0, 2.0, 1.5, rng.uniform(-np.pi, np.pi)])
    two = one.copy()
    two[:2] += shift * np.array([np.cos(one[6]), np.sin(one[6])])
    overlap = max(3.0 - shift, 0.0) * 2.0
    two[6] += np.pi * round(rng.uniform())
    assert cuboids.bev_iou(one[None], two[None])[0, 0] == pytest.approx(overlap / (12.0 - overlap), abs=1e-9)
    turned = one.copy()
    turned[6] += yaw
    oracle = _footprint(one).intersection(_footprint(turned)).area
    assert cuboids.bev_iou(one[None], turned[None])[0, 0] == pytest.approx(oracle / (12 - oracle), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_iou_is_symmetric_and_moves_along(seed: int) -> None:
    """Both IoUs are symmetric, in [0, 1], 1 on the diagonal, and stay when the whole scene is turned and
    moved.
    """
    rng = np.random.default_rng(seed)
    c = _random(rng, 6)
    angle, by = rng.uniform(-np.pi, np.pi), rng.uniform(-80, 80, 3)
    moved = c.copy()
    moved[:, :2] = c[:, :2] @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved[:, :3] += by
    moved[:, 6] += angle
    for overlap in (cuboids.bev_iou, cuboids.iou):
        values = overlap(c, c)
        assert ((values >= 0) & (values <= 1)).all()
        np.testing.assert_allclose(values, values.T, atol=1e-9)
        np.testing.assert_allclose(np.diag(values), 1.0)
        np.testing.assert_allclose(overlap(moved, moved), values, atol=1e-9)


def test_volume_iou_by_hand() -> None:
    """Unit cubes that share half their height share a third of their union; one above the other share
    nothing.
    """
    cube = np.array([[0, 0, 0, 1, 1, 1, 0.4]])
    assert cuboids.iou(cube, cube + np.eye(7)[2] / 2)[0, 0] == pytest.approx(1 / 3)
    assert cuboids.iou(cube, cube + np.eye(7)[2] * 1.5)[0, 0] == 0
    assert cuboids.bev_iou(cube, cube + np.eye(7)[2] * 1.5)[0, 0] == pytest.approx(1)


def test_none_and_broken_cuboids() -> None:
    """No cuboids keep their shapes; sizes of zero or below and NaN overlap nothing and hold no points."""
    good = np.array([[0, 0, 0, 2, 2, 2, 0.0]])
    broken = np.repeat(good, 3, axis=0)
    broken[0, 3], broken[1, 4], broken[2, 0] = 0.0, -2.0, np.nan
    for overlap in (cuboids.bev_iou, cuboids.iou):
        assert overlap([], good).shape == (0, 1)
        assert overlap(good, []).shape == (1, 0)
        assert not overlap(broken, good).any()
        assert not overlap(broken, broken).any()
    assert cuboids.corners([]).shape == (0, 8, 3)
    assert cuboids.yawed([]).shape == (0, 7)
    assert cuboids.from_yawed([]).shape == (0, 9)
    assert cuboids.points_inside(np.zeros((0, 3)), cuboids.from_yawed(good)).tolist() == [0]
    assert cuboids.points_inside([[0, 0, 0]], []).shape == (0,)
    assert cuboids.points_inside([[0.1, 0, 0]], cuboids.from_yawed(broken)).tolist() == [0, 0, 0]


def test_points_inside_agrees_with_the_convex_hull() -> None:
    """Points counted in tilted cuboids are those on the inner side of every face of the corners' convex
    hull.
    """
    rng = np.random.default_rng(5)
    c, points = _tilted(rng, 8), rng.uniform(-6, 6, (5000, 4))
    for cuboid, count in zip(c, cuboids.points_inside(points, c), strict=True):
        faces = ConvexHull(cuboids.corners(cuboid[None])[0]).equations
        assert count == ((points[:, :3] @ faces[:, :3].T + faces[:, 3]) <= 0).all(axis=1).sum()


def test_upright_round_trip_and_roll() -> None:
    """Upright cuboids survive the way to 9 numbers and back; turned upside down, the heading is mirrored."""
    c = _random(np.random.default_rng(6), 30)
    np.testing.assert_allclose(cuboids.yawed(cuboids.from_yawed(c)), c, atol=1e-12)
    assert cuboids.yawed([[0, 0, 0, 1, 1, 1, np.pi, 0, 0.3]])[0, 6] == pytest.approx(-0.3)


@settings(max_examples=100, deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50))
def test_yaw_difference_is_the_angle_between_headings(a: float, b: float) -> None:
    """The difference is the angle between the two headings; with a period of pi, of their lines; wrap keeps
    headings.
    """
    cosine = np.cos(a) * np.cos(b) + np.sin(a) * np.sin(b)
    assert np.cos(cuboids.yaw_difference(a, b)) == pytest.approx(cosine, abs=1e-9)
    assert 0 <= cuboids.yaw_difference(a, b) <= np.pi
    assert np.cos(cuboids.yaw_difference(a, b, period=np.pi)) == pytest.approx(abs(cosine), abs=1e-6)
    assert -np.pi <= cuboids.wrap(a) < np.pi
    np.testing.assert_allclose(
        [np.cos(cuboids.wrap(a)), np.sin(cuboids.wrap(a))], [np.cos(a), np.sin(a)], atol=1e-9
    )
