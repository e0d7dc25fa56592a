"""The made world: drives, labels that fit what is seen, conditions that matter, and the same bytes every time."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from swath.errors import ConfigError
from swath.formats.kitti import Frame, KittiFolder, KittiObject, read_cloud, scan, to_cuboid
from swath.worlds import World, make_world, rig
from swath.worlds.rig import Rig, render
from swath.worlds.street import RARE, build_street, plan_drives

SCALE = 0.25


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, KittiFolder]:
    world = make_world(tmp_path_factory.mktemp("world"), scenes=28, seed=4, scale=SCALE)
    return world, scan(world.root)


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def rect_corners(item: KittiObject) -> np.ndarray:
    """(8, 3) in rectified camera 0, by the formula of KITTI's development kit."""
    height, width, length = item.dimensions
    x, y, z = np.meshgrid([-length / 2, length / 2], [-height, 0], [-width / 2, width / 2])
    cos, sin = math.cos(item.rotation_y), math.sin(item.rotation_y)
    turned = np.stack([cos * x + sin * z, y, -sin * x + cos * z], axis=-1)
    return turned.reshape(-1, 3) + item.location


def labelled(folder: KittiFolder) -> list[tuple[Frame, KittiObject]]:
    return [(f, o) for f in folder.frames for o in f.objects or () if o.label != "DontCare"]


def project(frame: Frame, points: np.ndarray, matrix_name: str) -> np.ndarray:
    image = np.column_stack([points, np.ones(len(points))]) @ getattr(frame.calibration, matrix_name).T
    return image[:, :2] / image[:, 2:]


def test_it_reads_as_kitti_without_damage(made: tuple[World, KittiFolder]) -> None:
    """Every file is a valid KITTI file: each frame has all slices, calibration, labels and a drive."""
    world, folder = made
    assert folder.damages == ()
    assert [frame.key for frame in folder.frames] == [f"{i:06d}" for i in range(28)]
    for frame in folder.frames:
        assert None not in (
            frame.left,
            frame.right,
            frame.cloud,
            frame.calibration,
            frame.objects,
            frame.sequence,
        )
        assert (frame.width, frame.height) == (310, 94)
    sizes = Counter(frame.sequence for frame in folder.frames)
    assert len(sizes) == world.drives
    assert all(3 <= size <= 8 for size in sizes.values())
    assert Counter(o.label for f in folder.frames for o in f.objects or ()) == world.objects
    hidden = json.loads((world.root / "world.json").read_text())["frames"]
    assert {key: facts["drive"] for key, facts in hidden.items()} == {
        f.key: f.sequence for f in folder.frames
    }


@settings(max_examples=50)
@given(st.integers(1, 500), st.integers(0, 5))
def test_drives_add_up(scenes: int, seed: int) -> None:
    """Drives have 3 to 8 frames and add up to the scenes asked for; fewer than 3 scenes are one short drive."""
    frames = [plan.frames for plan in plan_drives(scenes, seed)]
    assert sum(frames) == scenes
    assert all(min(3, scenes) <= count <= 8 for count in frames)


@pytest.mark.parametrize("seed", range(5))
def test_two_hundred_scenes_hold_all_conditions_and_rare_classes(seed: int) -> None:
    """At least 40 drives; each condition on some; cars are most of what moves; rare classes exist and stay rare."""
    plans = plan_drives(200, seed)
    assert len(plans) >= 40
    assert {plan.time for plan in plans} == {"day", "dusk"}
    assert {plan.weather for plan in plans} == {"clear", "rain", "fog"}
    assert {plan.density for plan in plans} == {"busy", "far", "empty"}
    counts: Counter[str] = Counter()
    scenes_without = 0
    for plan in plans:
        labels = [actor.label for actor in build_street(plan, seed).actors if actor.label]
        counts.update({label: labels.count(label) * plan.frames for label in labels})
        scenes_without += plan.frames * (not labels)
    total = sum(counts.values())
    assert counts["Car"] > 0.5 * total
    for label in RARE:
        assert 0 < counts[label] < 0.07 * total
    assert counts["Van"] + counts["Pedestrian"] + counts["Cyclist"] > 0.1 * total
    assert scenes_without > 0


def test_corners_project_to_the_same_pixels(made: tuple[World, KittiFolder]) -> None:
    """The conversion to cuboids keeps every corner within a thousandth of a pixel, left and right."""
    things = labelled(made[1])
    assert len(things) > 60
    for frame, item in things:
        assert frame.calibration is not None
        cuboid = to_cuboid(item, frame.calibration)
        x, y, z = np.meshgrid(*[[-side / 2, side / 2] for side in cuboid[3:6]])
        local = np.stack([x, y, z], axis=-1).reshape(-1, 3)
        corners = Rotation.from_euler("XYZ", cuboid[6:]).apply(local) + cuboid[:3]
        for camera, name in (("left", "p2"), ("right", "p3")):
            found, depth = frame.calibration.project(corners, camera)  # type: ignore[arg-type]
            expected = project(frame, rect_corners(item), name)
            if depth.min() > 1:
                distances = np.linalg.norm(found[:, None] - expected[None], axis=2)
                assert distances.min(axis=1).max() < 1e-3
                assert distances.min(axis=0).max() < 1e-3


def test_boxes_lie_within_and_mostly_fill_the_cuboids(made: tuple[World, KittiFolder]) -> None:
    """A 2D box never reaches outside its projected cuboid, and covers most of it."""
    shares = []
    for frame, item in labelled(made[1]):
        corners = rect_corners(item)
        if corners[:, 2].min() < 1:
            continue
        pixels = project(frame, corners, "p2")
        low, high = np.clip([pixels.min(axis=0), pixels.max(axis=0)], 0, [frame.width - 1, frame.height - 1])  # type: ignore[operator]
        assert (np.array(item.box[:2]) >= low - 0.01).all()
        assert (np.array(item.box[2:]) <= high + 0.01).all()
        shares.append((item.box[2] - item.box[0]) * (item.box[3] - item.box[1]) / np.prod(high - low))
    assert np.median(shares) > 0.85
    assert min(shares) > 0.4


def test_images_show_things_where_the_labels_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking a thing away changes pixels inside its projected cuboid only, left and right; nine of ten edges of boxes are
    where the pixels end, to 1.5."""
    monkeypatch.setattr(rig, "_shade_below", lambda *args: None)
    off: list[float] = []
    clear = [p for p in plan_drives(60, 1) if (p.density, p.weather, p.time) == ("busy", "clear", "day")]
    for plan in clear[:3]:
        street = build_street(plan, 1)
        sensors = Rig.make(0.5, street.tilt)
        whole = render(street, sensors, 0, np.random.default_rng(0))
        places = {id(a): s.place for a, s in rig.placed_in(street, 0)}
        candidates = [o for o in whole.objects if o.occluded == 0 and o.truncated == 0 and o.location[2] < 30]
        for item in candidates[:2]:
            actor = next(a for a in street.actors if np.allclose(places[id(a)], item.location))
            without = replace(street, actors=[a for a in street.actors if a is not actor])
            other = render(without, sensors, 0, np.random.default_rng(0))
            for side, matrix in (("left", sensors.calibration.p2), ("right", sensors.calibration.p3)):
                change = np.abs(getattr(whole, side).astype(int) - getattr(other, side)).max(axis=2) > 14
                rows, columns = np.nonzero(change)
                seen = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
                image = np.column_stack([rect_corners(item), np.ones(8)]) @ matrix.T
                pixels = image[:, :2] / image[:, 2:]
                assert (seen[:2] > pixels.min(axis=0) - 2.5).all()
                assert (seen[2:] < pixels.max(axis=0) + 2.5).all()
                if side == "left":
                    off += np.abs(seen - item.box).tolist()
    # One may have the colour of what is behind it, or be hidden by a twig.
    assert len(off) >= 4 * 4
    assert np.mean(np.array(off) < 1.5) >= 0.9


def test_clouds_fall_on_the_labelled_things(made: tuple[World, KittiFolder]) -> None:
    """Near, visible things have LiDAR points in their cuboids, and those points project into their 2D boxes."""
    checked = 0
    hidden = json.loads((made[0].root / "world.json").read_text())["frames"]
    for frame in made[1].frames:
        reach = 12 if hidden[frame.key]["weather"] == "fog" else 25
        assert frame.cloud is not None
        assert frame.calibration is not None
        cloud, _ = read_cloud(frame.cloud)
        for item in frame.objects or ():
            if item.label == "DontCare" or item.occluded or item.truncated > 0.2 or item.location[2] > reach:
                continue
            cuboid = to_cuboid(item, frame.calibration)
            local = Rotation.from_euler("XYZ", cuboid[6:]).inv().apply(cloud[:, :3] - cuboid[:3])
            within = (np.abs(local) <= cuboid[3:6] / 2 + [0.06, 0.06, -0.06]).all(axis=1)
            assert within.sum() >= 5
            pixels, _ = frame.calibration.project(cloud[within, :3])
            slack = 1.0 + 0.06 * frame.calibration.p2[0, 0] / (item.location[2] - 2)
            visible = (pixels >= np.array(item.box[:2]) - slack) & (pixels <= np.array(item.box[2:]) + slack)
            on_image = ((pixels >= 0) & (pixels <= [309, 93])).all(axis=1)
            assert visible[on_image].all(axis=1).mean() > 0.95
            checked += 1
    assert checked > 30


def test_frames_of_a_drive_are_near_duplicates(made: tuple[World, KittiFolder]) -> None:
    """For nearly every frame the most similar other frame, by thumbnail, is one of its own drive."""
    frames = made[1].frames
    thumbnails = []
    for frame in frames:
        assert frame.left is not None
        with Image.open(frame.left) as image:
            thumbnails.append(
                np.asarray(image.convert("L").resize((62, 19), Image.Resampling.BOX), float).ravel()
            )
    stack = np.array(thumbnails)
    distance = np.abs(stack[:, None] - stack[None]).mean(axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1)
    same = [frames[i].sequence == frames[int(j)].sequence for i, j in enumerate(nearest)]
    assert np.mean(same) >= 0.9


def test_conditions_change_image_and_cloud() -> None:
    """Of one street: dusk is darker; fog hides what is far from the LiDAR; rain adds points in the air."""
    plan = replace(plan_drives(40, 3)[0], time="day", weather="clear", density="busy", place="city")
    seen = {}
    for name, change in {
        "day": {},
        "dusk": {"time": "dusk"},
        "fog": {"weather": "fog"},
        "rain": {"weather": "rain"},
    }.items():
        street = build_street(replace(plan, **change), 3)
        seen[name] = render(street, Rig.make(SCALE, street.tilt), 0, np.random.default_rng(0))
    assert seen["dusk"].left.mean() < 0.75 * seen["day"].left.mean()
    reach = {name: np.linalg.norm(r.cloud[:, :3], axis=1) for name, r in seen.items()}
    assert (reach["fog"] > 35).sum() < 0.3 * (reach["day"] > 35).sum()
    airborne = {name: ((r.cloud[:, 3] < 0.04) & (reach[name] < 8)).sum() for name, r in seen.items()}
    assert airborne["rain"] > 20 + 3 * airborne["day"]


def test_fog_flattens_images() -> None:
    """Over eight streets, the left image under fog has less than 0.85 of its contrast on a clear day, on average."""
    shares = []
    for plan in plan_drives(60, 3)[:8]:
        contrast = {}
        for weather in ("clear", "fog"):
            street = build_street(replace(plan, time="day", weather=weather), 3)
            contrast[weather] = render(
                street, Rig.make(SCALE, street.tilt), 0, np.random.default_rng(0)
            ).left.std()
        shares.append(contrast["fog"] / contrast["clear"])
    assert np.mean(shares) < 0.85


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """One worker and two, with two hash seeds, in two processes, write the same files byte for byte."""
    code = (
        "import sys; from pathlib import Path; from swath.worlds import make_world\n"
        "make_world(Path(sys.argv[1]), scenes=9, seed=9, scale=0.12, workers=int(sys.argv[2]))"
    )
    for workers, hash_seed in ((1, "1"), (2, "77")):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        root = tmp_path / str(workers)
        subprocess.run([sys.executable, "-c", code, str(root), str(workers)], check=True, env=environment)
    one, two = files(tmp_path / "1"), files(tmp_path / "2")
    assert len(one) == 9 * 5 + 2
    assert one == two


def test_another_seed_is_another_world(tmp_path: Path) -> None:
    """Nothing that is seen comes again under another seed: no image, no cloud, no label file of one is in the other."""
    first, second = (files(make_world(tmp_path / str(s), scenes=9, seed=s, scale=0.1).root) for s in (0, 1))
    seen = [name for name in first if Path(name).parent.name in ("image_2", "image_3", "velodyne", "label_2")]
    assert len(seen) == 4 * 9
    assert not {first[name] for name in seen} & set(second.values())


def test_a_world_is_made_once_and_finished_when_interrupted(tmp_path: Path) -> None:
    """Asking again changes no file; a run that was broken off is completed to the same bytes; progress counts frames."""
    seen: list[tuple[int, int]] = []
    world = make_world(
        tmp_path / "w", scenes=5, scale=0.1, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (5, 5)
    before = files(world.root)
    stamps = {path: path.stat().st_mtime_ns for path in world.root.rglob("*")}
    assert make_world(tmp_path / "w", scenes=5, scale=0.1) == world
    assert {path: path.stat().st_mtime_ns for path in world.root.rglob("*")} == stamps

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_world(tmp_path / "v", scenes=5, scale=0.1, progress=stop)
    assert files(tmp_path / "v") != before
    make_world(tmp_path / "v", scenes=5, scale=0.1)
    assert files(tmp_path / "v") == before


def test_what_is_in_the_way_stays(tmp_path: Path) -> None:
    """A folder that holds anything else, another world included, is refused and left alone."""
    (tmp_path / "photo.png").write_bytes(b"mine")
    with pytest.raises(ConfigError, match="expected an empty folder or this very world"):
        make_world(tmp_path, scenes=3)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
    make_world(tmp_path / "w", scenes=3, scale=0.1)
    before = files(tmp_path / "w")
    with pytest.raises(ConfigError, match="something else"):
        make_world(tmp_path / "w", scenes=4, scale=0.1)
    assert files(tmp_path / "w") == before
    with pytest.raises(ConfigError, match="got scenes=0"):
        make_world(tmp_path / "x", scenes=0)
