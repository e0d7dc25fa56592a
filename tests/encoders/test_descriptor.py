"""The built-in descriptor sees what it is meant to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.encoders import descriptor, make
from swath.encoders.descriptor import CLOUD_DIM, IMAGE_DIM, Descriptor, cloud_descriptor, image_descriptor
from swath.errors import ConfigError
from swath.formats.kitti import read_cloud
from swath.formats.pcd import write_pcd
from swath.worlds.make import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, str]], np.ndarray]:
    """24 scenes of five drives, and the drive of each."""
    root = tmp_path_factory.mktemp("world")
    make_world(root, scenes=24, seed=3, scale=0.25)
    drives = dict(line.split() for line in (root / "drives.txt").read_text().splitlines())
    scenes = [
        {"image": str(root / f"training/image_2/{k}.png"), "cloud": str(root / f"training/velodyne/{k}.bin")}
        for k in sorted(drives)
    ]
    return scenes, np.array([drives[k] for k in sorted(drives)])


@pytest.mark.parametrize("spec", ["descriptor", "descriptor:image", "descriptor:cloud"])
def test_frames_of_a_drive_are_neighbours(spec: str, world: tuple[list[dict[str, str]], np.ndarray]) -> None:
    """Each frame's nearest is of its own drive, and same-drive pairs are closer than nearly all others."""
    scenes, drive = world
    vectors = make(spec).encode(scenes).vectors.astype(float)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -1)
    assert (drive[cosine.argmax(axis=1)] == drive).all()
    same = drive[:, None] == drive[None, :]
    off = ~np.eye(len(drive), dtype=bool)
    assert np.median(cosine[same & off]) > np.quantile(cosine[~same], 0.99)


def test_unit_length_and_weight(world: tuple[list[dict[str, str]], np.ndarray]) -> None:
    """A vector has length 1, and the image's share of its squared length is the weight."""
    scenes, _ = world
    for weight in (0.5, 0.2):
        encoder = Descriptor(weight=weight)
        vectors = encoder.encode(scenes[:3]).vectors.astype(float)
        np.testing.assert_allclose((vectors**2).sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose((vectors[:, :IMAGE_DIM] ** 2).sum(axis=1), weight, rtol=1e-5)
    assert Descriptor(weight=0.5).version != Descriptor(weight=0.2).version


def test_weight_is_checked() -> None:
    """A weight that leaves a sensor out is refused: that is what descriptor:image is for."""
    with pytest.raises(ConfigError, match="weight"):
        Descriptor(weight=1.0)


def test_bin_and_pcd_are_the_same(world: tuple[list[dict[str, str]], np.ndarray], tmp_path: Path) -> None:
    """A cloud gives the same vector from a KITTI .bin and from the PCD that the App shows."""
    scenes, _ = world
    write_pcd(tmp_path / "cloud.pcd", read_cloud(Path(scenes[0]["cloud"]))[0])
    got = make("descriptor:cloud").encode([scenes[0], {"cloud": str(tmp_path / "cloud.pcd")}])
    assert got.vectors[0].tobytes() == got.vectors[1].tobytes()


def test_flat_image_is_finite() -> None:
    """An image of one colour has a finite vector, and black and white ones are opposite."""
    black, white = (image_descriptor(np.full((64, 192, 3), v, np.float32)) for v in (0.0, 1.0))
    assert np.isfinite(black).all()
    assert black @ white < 0


def painted(cars: list[tuple[int, int]]) -> np.ndarray:
    """A road under a sky, with dark blocks at the given columns and rows."""
    image = np.full((64, 192, 3), 0.6, np.float32)
    image[30:] = 0.35
    for column, row in cars:
        image[row : row + 10, column : column + 16] = 0.1
    return image


def test_moving_a_car_less_moves_the_vector_less() -> None:
    """A car two pixels on is nearer than the same car on the other side of the road, and than no car at
    all."""
    here, close, away, none = (
        image_descriptor(painted(cars)) for cars in ([(40, 36)], [(42, 36)], [(140, 36)], [])
    )
    assert here @ close > here @ away
    assert here @ close > here @ none


def test_what_stands_somewhere_counts() -> None:
    """On the same ground, a wall ahead differs from a wall to the left; shifting the sensor's height does
    not."""
    rng = np.random.default_rng(1)
    ground = np.c_[rng.uniform(-40, 40, (8000, 2)), rng.normal(-1.7, 0.01, 8000)]
    face = np.c_[np.full(1500, 15.0), rng.uniform(-6, 6, 1500), rng.uniform(-1.5, 1, 1500)]
    ahead = cloud_descriptor(np.r_[ground, face])
    left = cloud_descriptor(np.r_[ground, face[:, [1, 0, 2]]])
    assert ahead @ left < 0.8
    np.testing.assert_allclose(cloud_descriptor(np.r_[ground, face] + [0, 0, 0.3]), ahead, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            *[st.sampled_from([-1e5, -80, -45.0, -12, 0, 0.3, 5, 7.999999999, 8, 26, 79.9999, 80, 1e5])] * 3
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_cloud(points: list[tuple[float, float, float]]) -> None:
    """Points on every bin's edge, at the sensor or out of range give a finite vector, in any order the
    same."""
    cloud = np.array(points, float)
    vector = cloud_descriptor(cloud)
    assert vector.shape == (CLOUD_DIM,)
    assert np.isfinite(vector).all()
    np.testing.assert_allclose(cloud_descriptor(cloud[::-1]), vector, atol=1e-12)


def test_sectors_look_where_they_say() -> None:
    """A pole straight ahead fills a front sector, one behind fills a back sector, each in its ring."""
    sectors = len(descriptor.AZIMUTHS) - 1
    pole = np.c_[np.zeros((20, 2)), np.linspace(-1.7, 1, 20)]
    for x, y, ring, sector in ((20.0, 1.0, 3, 6), (-20.0, 1.0, 3, 14), (1.0, 70.0, 6, 12)):
        vector = cloud_descriptor(pole + np.array([x, y, 0]))
        hits = vector[: sectors * (len(descriptor.RANGES) - 1)]
        assert hits.argmax() == ring * sectors + sector


def test_shapes_fall_into_their_bins() -> None:
    """A post as long and as high as a person and a block like a car are counted where they belong, wires
    nowhere."""
    rng = np.random.default_rng(2)
    ground = np.c_[rng.uniform(0, 50, (4000, 2)) - [0, 25], np.zeros(4000)]

    def block(x: float, y: float, length: float, low: float, high: float) -> np.ndarray:
        return np.c_[x + rng.uniform(-0.5, 0.5, 400) * length, np.full(400, y), rng.uniform(low, high, 400)]

    def counted(*things: np.ndarray) -> np.ndarray:
        points = np.concatenate([ground, *things])
        shapes = descriptor._shapes(points, points[:, 2]) ** 2
        return shapes.reshape(len(descriptor.LENGTHS) - 1, len(descriptor.TOPS) - 1)

    person, car, wire = block(15, 2, 0.6, 0, 1.75), block(20, -6, 4.4, 0, 1.45), block(30, 5, 6.0, 5, 5.2)
    assert np.unravel_index(counted(person).argmax(), (9, 9)) == (0, 4)
    assert np.unravel_index(counted(car).argmax(), (9, 9)) == (5, 2)
    assert counted(wire).sum() == 0
    np.testing.assert_allclose(counted(person, car), counted(person) + counted(car))
