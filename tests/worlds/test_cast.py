"""The ray caster against marching along rays, and its culling against none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.worlds import cast as module
from swath.worlds.cast import Hits, Part, cast
from swath.worlds.parts import assemble, ball, box, cylinder, tapered
from swath.worlds.rig import Rig, placed_in
from swath.worlds.street import build_street, plan_drives

GREY = (0.5, 0.5, 0.5)
PARTS = {
    "box": box((-1.0, 0.5), (-0.4, 0.7), (0.2, 1.3), GREY),
    "tapered": tapered((-1, 1, -0.5, 0.5), (-0.2, 0.6, -0.3, 0.1), (0.0, 1.2), GREY),
    "slanted": tapered((0.5, 0.9, -0.2, 0.2), (-0.9, -0.5, 0.1, 0.5), (0.1, 1.4), GREY),
    "ball": ball((0.1, -0.2, 0.8), (0.9, 0.5, 0.7), GREY),
    "cylinder": cylinder((0.1, 0.0, 0.6), (0.6, 0.3, 0.6), 1, GREY),
    "pole": cylinder((0.2, 0.1, 0.9), (0.4, 0.3, 0.9), 2, GREY),
}


def inside(part: Part, points: np.ndarray) -> np.ndarray:
    """Membership, (N,), from each shape's definition; tapered boxes by interpolating between foot and top."""
    low, high = part.bounds
    unit = (points - (low + high) / 2) / ((high - low) / 2)
    if part.kind == "ellipsoid":
        return (unit**2).sum(axis=1) < 1
    if part.kind == "cylinder":
        round_axes = [k for k in range(3) if k != part.axis]
        return ((unit[:, round_axes] ** 2).sum(axis=1) < 1) & (np.abs(unit[:, part.axis]) < 1)
    foot, top = part.points[:4], part.points[4:]
    share = (points[:, 2] - foot[0, 2]) / (top[0, 2] - foot[0, 2])
    least = foot.min(axis=0) + share[:, None] * (top.min(axis=0) - foot.min(axis=0))
    greatest = foot.max(axis=0) + share[:, None] * (top.max(axis=0) - foot.max(axis=0))
    aside = ((points > least) & (points < greatest))[:, :2].all(axis=1)
    return aside & (share > 0) & (share < 1)


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_rays_meet_parts_where_marching_does(name: str, seed: int) -> None:
    """The distance is where small steps along the ray first come inside, for rays from anywhere outside."""
    rng = np.random.default_rng(seed)
    part = PARTS[name]
    start = rng.normal(0, 1, 3)
    start *= rng.uniform(2.5, 6) / np.linalg.norm(start)
    rays = part.bounds.mean(axis=0) + rng.uniform(-0.8, 0.8, (20, 3)) - start
    rays /= np.linalg.norm(rays, axis=1)[:, None]
    found, _ = module._meet(part, tuple(start), tuple(rays.T[:, None]))
    step = 0.004
    distances = np.arange(0, 9, step)
    for ray, distance in zip(rays, found[0], strict=True):
        marched = inside(part, start + distances[:, None] * ray)
        if marched.any():
            first = distances[np.argmax(marched)]
            assert first - step - 1e-9 <= distance <= first + 1e-9
        elif np.isfinite(distance):  # cut off a corner between two steps
            assert inside(part, (start + (distance + step / 50) * ray)[None])[0]


def test_hollow_ends_let_rays_through() -> None:
    """Through a hollow wheel one sees what is behind it; its rim and tread are met."""
    wheel = replace(PARTS["cylinder"], hollow=0.7, bounds=np.array([[-1.0, -0.1, -1], [1, 0.1, 1]]))
    xs = np.array([[0.0, 0.5, 0.8, 0.95, 1.2]])
    rays = xs / 50, np.ones_like(xs), np.zeros_like(xs)
    found, face = module._meet(wheel, (0.0, -50.0, 0.0), rays)
    assert np.isfinite(found[0]).tolist() == [False, False, True, True, False]
    assert face[0, 2:4].tolist() == [1, 1]


def test_normals_face_the_ray() -> None:
    """Whatever a ray meets first turns its outside to it, and normals have length one."""
    rng = np.random.default_rng(3)
    for part in PARTS.values():
        rays = tuple((rng.normal(0, 0.15, (1, 400)), np.ones((1, 400)), rng.normal(0, 0.15, (1, 400))))
        start = (0.0, -5.0, 0.7)
        distance, face = module._meet(part, start, rays)
        met = np.isfinite(distance)
        assert met.sum() > 10
        at = [start[k] + distance[met] * rays[k][met] for k in range(3)]
        normal = module._normals(part, at, face[met])
        np.testing.assert_allclose(sum(n * n for n in normal), 1, atol=1e-9)
        assert (sum(n * ray[met] for n, ray in zip(normal, rays, strict=True)) < 1e-9).all()


def test_shapes_fill_their_size() -> None:
    """Assembling shifts parts so that they stand on the ground around the origin and fill the stated size."""
    shape = assemble(*PARTS.values())
    points = np.concatenate([part.points for part in shape.parts])
    np.testing.assert_allclose(points[:, 2].min(), 0, atol=1e-9)
    for axis, size in enumerate((shape.length, shape.width, shape.height)):
        assert np.ptp(points[:, axis]) == pytest.approx(size, abs=0.02)


@pytest.mark.parametrize("sensor", ["left", "right", "lidar"])
def test_culling_loses_nothing(sensor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking only where a part can be finds exactly what looking everywhere finds."""
    for plan in plan_drives(30, 2)[:3]:
        street = build_street(plan, 2)
        rig = Rig.make(0.1, (0.008, -0.008, 0.008))
        rays = getattr(rig, sensor)
        solids = [solid for _, solid in placed_in(street, 1)]
        results = []
        for everywhere in (False, True):
            with monkeypatch.context() as patch:
                if everywhere:
                    patch.setattr(type(rays), "block", lambda self, corners: (slice(None), slice(None)))
                hits = Hits.none(rays.directions[0].shape)
                cast(rays, solids, hits, street.noise)
            results.append(hits)
        np.testing.assert_array_equal(results[0].solid, results[1].solid)
        np.testing.assert_array_equal(results[0].distance, results[1].distance)
        assert (results[0].solid >= 0).any()
