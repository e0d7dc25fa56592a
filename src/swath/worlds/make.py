"""Writing a made world: a folder of scenes in which everything is known.

    ROOT/training/{image_2,image_3,velodyne,calib,label_2}     rig kitti: as KITTI lays them out
    ROOT/rig.json, CHANNEL/, calibration/, labels/             other rigs: docs/formats/rig_folder.md
    ROOT/drives.txt                                            `frame drive` per line
    ROOT/world.json                                            what made it, and each frame's hidden
    conditions

`world.json` is for tests, benchmarks and the demo's closing figures; no step of the loop reads it.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError
from swath.formats.files import write_atomic
from swath.formats.kitti_records import Calibration, write_objects
from swath.formats.pcd import write_pcd
from swath.worlds.rig import Rig, render
from swath.worlds.street import DrivePlan, build_street, plan_drives
from swath.worlds.surround import LIDAR, RIGS, see

VERSION = 2  # raise it when the same seed gives another world
FOLDERS = ("image_2", "image_3", "velodyne", "calib", "label_2")


@dataclass(frozen=True)
class World:
    """A made folder: where, how many scenes and drives, and labelled objects by class.

    In a KITTI folder DontCare is among them. With other rigs an object counts once per scene, in however many
    channels it has a label, and DontCare is left out.
    """

    root: Path
    scenes: int
    drives: int
    objects: dict[str, int]


def make_world(
    root: Path,
    *,
    scenes: int = 200,
    seed: int = 0,
    scale: float = 0.5,
    rig: str = "kitti",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> World:
    """Make a world of `scenes` frames in `root`; `scale` is the image size as a share of KITTI's 1242 x 375.

    `rig`: "kitti", two cameras and a LiDAR in a KITTI folder; or in a rig folder "surround" (six cameras, 800
    x 400 at scale 1, and a LiDAR), "images" (two of these cameras) or "cloud" (the LiDAR alone).

    The same scenes, seed, scale and rig give the same bytes for every number of `workers` (processes; a
    script that asks for more than one needs the usual `if __name__ == "__main__"`). A folder that holds this
    world already is left as it is; one that was interrupted is made again. `progress(done, total)` counts
    frames. ConfigError for sizes that can't be, and where `root` holds something else.
    """
    root = Path(root)
    if scenes < 1 or not 0.1 <= scale <= 2.0 or seed < 0:
        raise ConfigError(
            "expected scenes >= 1, seed >= 0 and scale in 0.1 .. 2, "
            f"got scenes={scenes}, seed={seed}, scale={scale}"
        )
    if rig != "kitti" and rig not in RIGS:
        raise ConfigError(f"expected the rig kitti, {', '.join(RIGS)}, got {rig!r}")
    made_by: dict[str, object] = {"version": VERSION, "scenes": scenes, "seed": seed, "scale": scale}
    made_by |= {} if rig == "kitti" else {"rig": rig}
    finished = _look(root, made_by)
    if finished is not None:
        return finished
    for folder in _folders(rig):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _write_json(root / "world.json", {"made_by": made_by, "finished": False})
    if rig != "kitti":
        # Unsorted: the channels' order is theirs.
        write_atomic(root / "rig.json", (json.dumps(RIGS[rig], indent=1) + "\n").encode())
    plans = plan_drives(scenes, seed)
    starts = np.cumsum([0] + [plan.frames for plan in plans]).tolist()
    objects: Counter[str] = Counter()
    done = 0
    tasks = [(root, rig, plan, start, seed, scale) for plan, start in zip(plans, starts[:-1], strict=True)]
    for plan, counted in zip(plans, _write_drives(tasks, workers), strict=True):
        objects.update(counted)
        done += plan.frames
        if progress:
            progress(done, scenes)
    listed = list(_frames(plans))
    write_atomic(root / "drives.txt", "".join(f"{key} {plan.name}\n" for key, plan in listed).encode())
    world = World(root, scenes, len(plans), dict(sorted(objects.items())))
    hidden = {
        key: {"drive": p.name, "time": p.time, "weather": p.weather, "density": p.density, "place": p.place}
        for key, p in listed
    }
    _write_json(
        root / "world.json",
        {
            "made_by": made_by,
            "finished": True,
            "drives": world.drives,
            "objects": world.objects,
            "frames": hidden,
        },
    )
    return world


def _look(root: Path, made_by: dict[str, object]) -> World | None:
    """The world, if it is there already and whole. ConfigError where anything else is in the way."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        found = json.loads((root / "world.json").read_text())
        same = found["made_by"] == made_by
        if same and found["finished"]:
            return World(root, found["made_by"]["scenes"], found["drives"], found["objects"])
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise ConfigError(
            f"{root}: expected an empty folder or this very world, found something else; "
            "give another folder, or empty this one"
        )
    return None


def _frames(plans: list[DrivePlan]) -> Iterator[tuple[str, DrivePlan]]:
    """Frame names, in order, each with its drive."""
    for number, plan in enumerate(plan for one in plans for plan in [one] * one.frames):
        yield f"{number:06d}", plan


def _write_drives(tasks: list[Any], workers: int) -> Iterator[Counter[str]]:
    if workers <= 1:
        yield from (_write_drive(*task) for task in tasks)
        return
    # Not forked: a caller that has opened a database has threads, which forked children would lack.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_write_drive, *zip(*tasks, strict=True))


def _folders(rig: str) -> list[str]:
    """The folders of a world of this rig, below its root."""
    if rig == "kitti":
        return [f"training/{folder}" for folder in FOLDERS]
    channels = list(RIGS[rig]["channels"])
    calibration = ["calibration"] if rig == "surround" else []
    return [*channels, *(f"labels/{name}" for name in channels), *calibration]


def _write_drive(root: Path, rig: str, plan: DrivePlan, start: int, seed: int, scale: float) -> Counter[str]:
    if rig == "kitti":
        return _write_kitti_drive(root / "training", plan, start, seed, scale)
    street = build_street(plan, seed, around=True)
    objects: Counter[str] = Counter()
    for frame in range(plan.frames):
        seen = see(street, rig, frame, seed, scale)
        key = f"{start + frame:06d}"
        for name, image in seen.images.items():
            write_atomic(root / name / f"{key}.png", _png(image))
        if seen.cloud is not None:
            write_pcd(root / LIDAR / f"{key}.pcd", seen.cloud)
        if seen.cameras:
            cameras = {name: camera.to_dict() for name, camera in seen.cameras.items()}
            _write_json(root / "calibration" / f"{key}.json", {"cameras": cameras})
        for name, labels in seen.labels.items():
            _write_json(root / "labels" / name / f"{key}.json", {"labels": labels})
        things = {
            one["track"]: one["label"] for labels in seen.labels.values() for one in labels if "track" in one
        }
        objects.update(things.values())
    return objects


def _write_kitti_drive(training: Path, plan: DrivePlan, start: int, seed: int, scale: float) -> Counter[str]:
    street = build_street(plan, seed)
    rig = Rig.make(scale, street.tilt)
    objects: Counter[str] = Counter()
    for frame in range(plan.frames):
        rendered = render(street, rig, frame, np.random.default_rng([seed, 3, plan.index, frame]))
        key = f"{start + frame:06d}"
        write_atomic(training / "image_2" / f"{key}.png", _png(rendered.left))
        write_atomic(training / "image_3" / f"{key}.png", _png(rendered.right))
        write_atomic(training / "velodyne" / f"{key}.bin", rendered.cloud.astype("<f4").tobytes())
        write_atomic(training / "calib" / f"{key}.txt", _calibration_text(rig.calibration).encode())
        write_objects(training / "label_2" / f"{key}.txt", rendered.objects)
        objects.update(item.label for item in rendered.objects)
    return objects


def _png(image: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _calibration_text(calibration: Calibration) -> str:
    """All rows that KITTI writes. The grey cameras 0 and 1 share the colour cameras' intrinsics."""
    p0, p1 = calibration.p2.copy(), calibration.p3.copy()
    p0[:, 3], p1[0, 3] = 0.0, -0.54 * calibration.p2[0, 0]
    imu = np.array([[1.0, 0, 0, -0.81], [0, 1.0, 0, 0.32], [0, 0, 1.0, -0.80]])
    rows = {
        "P0": p0, "P1": p1, "P2": calibration.p2, "P3": calibration.p3, "R0_rect": calibration.r0,
        "Tr_velo_to_cam": calibration.velo_to_cam, "Tr_imu_to_velo": imu,
    }  # fmt: skip
    return "".join(f"{name}: {' '.join(f'{v:.12e}' for v in rows[name].ravel())}\n" for name in rows)


def _write_json(path: Path, content: dict[str, object]) -> None:
    write_atomic(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
