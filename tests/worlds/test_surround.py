"""Made worlds seen all around: a rig folder without damage, labels that fit each other in every camera, the
same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from swath.errors import ConfigError
from swath.formats.images import read_image
from swath.formats.pcd import read_pcd
from swath.kernels.boxes import iou
from swath.kernels.cuboids import corners, points_inside, rotations
from swath.labels.calibration import Camera, camera
from swath.sources import Found, make
from swath.sources.base import Scan
from swath.worlds import World, make_world
from swath.worlds.street import build_street, plan_drives
from swath.worlds.surround import MOUNTS, RIGS

SCALE = 0.2
WIDTH, HEIGHT = 160, 80


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Scan]:
    world = make_world(tmp_path_factory.mktemp("surround"), scenes=36, seed=6, scale=SCALE, rig="surround")
    return world, make("rig", world.root).scan()


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def camera_of(scene: Found, name: str) -> Camera:
    found = camera(scene.calibration, name)
    assert found is not None
    return found


def test_it_reads_as_a_rig_folder_without_damage(made: tuple[World, Scan]) -> None:
    """Six cameras and a LiDAR in every scene, all labelled by the world, two cameras marked as labelled;
    drives as made."""
    world, found = made
    assert found.damages == ()
    assert list(found.channels) == [*MOUNTS, "lidar"]
    assert found.primary == "front"
    assert [name for name, one in found.channels.items() if one["labelled"]] == ["front", "back", "lidar"]
    assert [name for name, one in found.channels.items() if one["embed"]] == ["front", "lidar"]
    hidden = json.loads((world.root / "world.json").read_text())["frames"]
    assert {one.key: one.sequence for one in found.scenes} == {
        key: facts["drive"] for key, facts in hidden.items()
    }
    things: Counter[str] = Counter()
    for scene in found.scenes:
        assert set(scene.media) == set(scene.truth) == {*MOUNTS, "lidar"}
        assert set(scene.sizes.values()) == {(WIDTH, HEIGHT)}
        seen = {}
        for one in scene.truth.values():
            seen |= dict(zip(one.attributes.get("track", []), one.labels.classes, strict=True))
        things.update(seen.values())
    assert things == world.objects


def test_there_is_something_on_every_side(made: tuple[World, Scan]) -> None:
    """Every camera has labels, and a third of the cuboids at least lies behind us."""
    counts = Counter({name: sum(len(one.truth[name].labels) for one in made[1].scenes) for name in MOUNTS})
    assert min(counts.values()) >= 2, counts
    assert min(counts["front"], counts["back"]) > 36
    cuboids = np.concatenate([one.truth["lidar"].labels.shapes for one in made[1].scenes])
    assert len(cuboids) > 150
    assert 1 / 3 < (cuboids[:, 0] < 0).mean() < 2 / 3


@pytest.mark.parametrize("name", MOUNTS)
def test_cameras_look_where_they_say(made: tuple[World, Scan], name: str) -> None:
    """What a camera has in the middle of its image lies in the direction of its mount, and at its height."""
    _, _, degrees = MOUNTS[name]
    for scene in made[1].scenes[::9]:
        turn = np.radians(degrees)
        pixels, depth = camera_of(scene, name).project([[20 * np.cos(turn), 20 * np.sin(turn), 0.0]])
        assert depth[0] == pytest.approx(20, abs=0.8)
        assert np.abs(pixels[0] - [WIDTH / 2, HEIGHT * 0.4]).max() < 0.06 * WIDTH


def test_every_direction_is_seen(made: tuple[World, Scan]) -> None:
    """Of a circle of points around us each is in the image of one camera at least, and some are in two."""
    scene = made[1].scenes[0]
    around = np.linspace(0, 2 * np.pi, 720)
    points = np.column_stack([30 * np.cos(around), 30 * np.sin(around), np.full(720, -1.0)])
    seen = np.zeros(720, int)
    for name in MOUNTS:
        pixels, _ = camera_of(scene, name).project(points)
        with np.errstate(invalid="ignore"):
            seen += ((pixels >= -0.5) & (pixels <= [WIDTH - 0.5, HEIGHT - 0.5])).all(axis=1)
    assert seen.min() == 1
    assert seen.max() == 2


def pairs(scenes: tuple[Found, ...]) -> list[tuple[str, int, np.ndarray, np.ndarray]]:
    """(camera, occluded, box (4,), projected cuboid (4,), cut off at the image's edge) of all things that
    have both."""
    found = []
    for scene in scenes:
        solid = scene.truth["lidar"]
        by_track = dict(zip(solid.attributes.get("track", []), solid.labels.shapes, strict=True))
        for name in MOUNTS:
            flat = scene.truth[name]
            facts = (flat.attributes.get(one, []) for one in ("track", "occluded", "truncated"))
            for box, track, occluded, truncated in zip(flat.labels.shapes, *facts, strict=True):
                if track in by_track and truncated < 0.5:
                    pixels, depth = camera_of(scene, name).project(corners(by_track[track][None])[0])
                    if depth.min() > 1:
                        outline = np.array([pixels.min(axis=0), pixels.max(axis=0)])
                        outline = np.clip(outline, 0, [WIDTH - 1, HEIGHT - 1]).ravel()
                        found.append((name, occluded, box, outline))
    return found


def test_cuboids_project_onto_the_boxes(made: tuple[World, Scan]) -> None:
    """In each camera the cuboid of a thing in full view, projected, holds its 2D box and is hardly larger."""
    found = [one for one in pairs(made[1].scenes) if one[1] == 0]
    assert len(found) > 60
    assert {name for name, *_ in found} == set(MOUNTS)
    overlaps = np.array([iou(box[None], outline[None])[0, 0] for _, _, box, outline in found])
    assert np.median(overlaps) > 0.85
    assert overlaps.min() > 0.5
    for _, _, box, outline in found:
        assert (box[:2] > outline[:2] - 0.01).all()
        assert (box[2:] < outline[2:] + 0.01).all()


def test_points_of_a_thing_lie_in_its_cuboid_and_its_boxes(made: tuple[World, Scan]) -> None:
    """As many points as are said lie in each cuboid; those that an unoccluded box shows are in it."""
    counted, inside = 0, []
    for scene in made[1].scenes:
        cloud = read_pcd(scene.media["lidar"])
        solid = scene.truth["lidar"]
        said = np.array(solid.attributes.get("points", []), int)
        wide = solid.labels.shapes + np.array([0, 0, 0, 0.15, 0.15, 0.15, 0, 0, 0])
        assert (points_inside(cloud, wide) >= 0.95 * said).all()
        counted += len(said)
        for cuboid, track in zip(solid.labels.shapes, solid.attributes.get("track", []), strict=True):
            local = (cloud[:, :3] - cuboid[:3]) @ rotations(cuboid[None])[0]
            own = cloud[(np.abs(local) <= cuboid[3:6] / 2).all(axis=1), :3]
            for name in MOUNTS:
                flat = scene.truth[name]
                facts = (flat.attributes.get(one, []) for one in ("track", "occluded"))
                for box, other, occluded in zip(flat.labels.shapes, *facts, strict=True):
                    if other == track and occluded == 0:
                        pixels, _ = camera_of(scene, name).project(own)
                        seen = ((pixels >= 0) & (pixels <= [WIDTH - 1, HEIGHT - 1])).all(axis=1)
                        within = ((pixels >= box[:2] - 1.5) & (pixels <= box[2:] + 1.5)).all(axis=1)
                        inside += within[seen].tolist()
    assert counted > 150
    assert len(inside) > 1000
    assert np.mean(inside) > 0.97


def test_a_tree_stays_where_it_is(made: tuple[World, Scan]) -> None:
    """Neighbouring cameras agree: where their images overlap, the same things have nearly the same
    colours."""
    checked = 0
    for scene in made[1].scenes[::7]:
        images = {name: read_image(scene.media[name]).astype(int) for name in MOUNTS}
        around = np.linspace(0, 2 * np.pi, 2000)
        far = np.column_stack([400 * np.cos(around), 400 * np.sin(around), np.full(2000, 20.0)])
        seen = {}
        for name in MOUNTS:
            pixels, _ = camera_of(scene, name).project(far)
            with np.errstate(invalid="ignore"):
                inside = ((pixels >= 0) & (pixels <= [WIDTH - 1, HEIGHT - 1])).all(axis=1)
            at = np.round(np.nan_to_num(pixels)).astype(int) * inside[:, None]
            seen[name] = inside, images[name][at[:, 1], at[:, 0]]
        for one in MOUNTS:
            for two in MOUNTS:
                both = seen[one][0] & seen[two][0]
                if one < two and both.sum() > 5:
                    difference = np.abs(seen[one][1][both] - seen[two][1][both]).max(axis=1)
                    checked += np.median(difference) < 60
    assert checked >= 24


def test_sensors_see_the_same_in_every_rig(made: tuple[World, Scan], tmp_path: Path) -> None:
    """Images, sweeps and their labels are the same bytes in the rigs that have them; the others have no
    files."""
    whole = files(made[0].root)
    for rig in ("images", "cloud"):
        world = make_world(tmp_path / rig, scenes=36, seed=6, scale=SCALE, rig=rig)
        part = files(world.root)
        channels = set(RIGS[rig]["channels"])
        assert {name.split("/")[0] for name in part} == channels | {
            "labels",
            "drives.txt",
            "rig.json",
            "world.json",
        }
        for name, data in part.items():
            if name not in ("rig.json", "world.json"):
                assert data == whole[name]
        found = make("rig", world.root).scan()
        assert found.damages == ()
        assert set(found.channels) == channels
        assert all(one.calibration is None for one in found.scenes)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """One worker and two, with two hash seeds, in two processes, write the same files byte for byte."""
    code = (
        "import sys; from pathlib import Path; from swath.worlds import make_world\n"
        "make_world(Path(sys.argv[1]), scenes=9, seed=9, scale=0.1, rig='surround', workers=int(sys.argv[2]))"
    )
    for workers, hash_seed in ((1, "1"), (2, "77")):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        root = tmp_path / str(workers)
        subprocess.run([sys.executable, "-c", code, str(root), str(workers)], check=True, env=environment)
    one, two = files(tmp_path / "1"), files(tmp_path / "2")
    assert len(one) == 9 * (7 + 7 + 1) + 3
    assert one == two


def test_worlds_of_two_rigs_do_not_mix(tmp_path: Path) -> None:
    """Asking again changes nothing; another rig in the same folder is refused; an interrupted world is
    finished."""
    made: dict[str, World] = {}
    for rig in ("surround", "cloud", "kitti"):
        made[rig] = make_world(tmp_path / rig, scenes=4, seed=1, scale=0.1, rig=rig)
        before = files(tmp_path / rig)
        assert make_world(tmp_path / rig, scenes=4, seed=1, scale=0.1, rig=rig) == made[rig]
        assert files(tmp_path / rig) == before
    for rig, other in (("surround", "kitti"), ("kitti", "surround"), ("cloud", "images")):
        with pytest.raises(ConfigError, match="something else"):
            make_world(tmp_path / rig, scenes=4, seed=1, scale=0.1, rig=other)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_world(tmp_path / "again", scenes=4, seed=1, scale=0.1, rig="cloud", progress=stop)
    make_world(tmp_path / "again", scenes=4, seed=1, scale=0.1, rig="cloud")
    assert files(tmp_path / "again") == files(tmp_path / "cloud")
    with pytest.raises(ConfigError, match="expected the rig kitti, surround, images, cloud, got 'fisheye'"):
        make_world(tmp_path / "x", scenes=4, rig="fisheye")


def test_streets_for_kitti_are_as_they_were() -> None:
    """Looking all around is another street; the one that KITTI's rig drives through holds what it held: most
    of it ahead."""
    plan = next(one for one in plan_drives(60, 4) if one.density == "busy")
    ahead, around = build_street(plan, 4), build_street(plan, 4, around=True)
    moving = [[one.x for one in street.actors if one.label] for street in (ahead, around)]
    assert np.mean(np.array(moving[0]) < -12) == 0
    assert np.mean(np.array(moving[1]) < 0) > 0.2
    assert min(one.x for one in ahead.actors) > -45 > -70 > min(one.x for one in around.actors)
