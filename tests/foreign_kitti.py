"""A KITTI object folder that swath's own world had no part in, with one of each kind of damage.

Imports nothing of swath. Another image size, focal length, principal point and baseline; a LiDAR that is pitched by six
degrees; gaps in the frame numbers; no `drives.txt`; labels with two decimals; empty label files; DontCare. Objects are
painted as shaded boxes, far to near, where their labels say, so that a detector can learn them.

    python tests/foreign_kitti.py DIR
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 800, 256
FOCAL, CENTRE = 640.0, (388.4, 117.2)
P2 = np.array([[FOCAL, 0, CENTRE[0], 19.5], [0, FOCAL, CENTRE[1], -0.8], [0, 0, 1, 0.0011]])
P3 = np.array([[FOCAL, 0, CENTRE[0], -172.3], [0, FOCAL, CENTRE[1], 0.6], [0, 0, 1, -0.0007]])
CAMERA_HEIGHT = 1.9
KINDS = {  # class: height, width, length; colour; how often
    "Car": ((1.5, 1.7, 4.2), (190, 40, 40), 0.62),
    "Pedestrian": ((1.75, 0.6, 0.6), (40, 90, 200), 0.26),
    "Cyclist": ((1.7, 0.6, 1.8), (230, 180, 30), 0.12),
}
FACES = ((0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (4, 5, 6, 7))


def rotation(axis: int, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.eye(3)
    a, b = [k for k in range(3) if k != axis]
    matrix[a, a] = matrix[b, b] = cos
    matrix[a, b], matrix[b, a] = (-sin, sin) if axis != 1 else (sin, -sin)
    return matrix


R0 = rotation(0, -0.006) @ rotation(2, 0.011)
TR = np.column_stack(
    [
        np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
        @ rotation(1, math.radians(6))
        @ rotation(0, -0.03)
        @ rotation(2, 0.05),
        [0.12, -0.31, -0.45],
    ]
)


def corners(place: np.ndarray, size: tuple[float, float, float], turn: float) -> np.ndarray:
    """(8, 3) in rectified camera 0; the first four around the foot."""
    height, width, length = size
    foot = [
        (length / 2, width / 2),
        (length / 2, -width / 2),
        (-length / 2, -width / 2),
        (-length / 2, width / 2),
    ]
    points = np.array([(x, y, z) for y in (0.0, -height) for x, z in foot])
    return points @ rotation(1, turn).T + place


def project(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    image = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return image[:, :2] / image[:, 2:]


def make_foreign(root: Path, seed: int = 7, frames: int = 60) -> dict[str, Any]:
    """Write the folder; at least 20 frames.

    Returns what there is to know: `frames` (keys with something usable), `objects` (objects per key whose label
    file is whole or damaged in single lines; DontCare not counted), `empty` (keys with an empty label file), and
    `damages` (dicts of kind, file relative to `root`, and line or None), each planted once.
    """
    rng = np.random.default_rng(seed)
    training = root / "training"
    for folder in ("image_2", "image_3", "velodyne", "calib", "label_2"):
        (training / folder).mkdir(parents=True)
    numbers = np.cumsum(rng.choice([1, 1, 1, 2, 5, 13], frames)) + 40
    keys = [f"{number:06d}" for number in numbers]
    counts = {}
    for position, key in enumerate(keys):
        things = [] if position % 9 == 4 else place_things(rng)
        labels = write_frame(training, key, things, rng)
        counts[key] = sum(not line.startswith("DontCare") for line in labels)
    empty = [key for key in keys if counts[key] == 0]
    full = [key for key in keys if counts[key] >= 2]
    damages = plant(training, full, counts, rng)
    return {"frames": keys, "objects": counts, "empty": empty, "damages": damages}


def place_things(rng: np.random.Generator) -> list[tuple[str, np.ndarray, tuple[float, float, float], float]]:
    """Things that don't stand in each other, far to near: class, place, size, rotation_y."""
    things: list[tuple[str, np.ndarray, tuple[float, float, float], float]] = []
    for _ in range(int(rng.integers(2, 8))):
        kind = str(rng.choice(list(KINDS), p=[share for *_, share in KINDS.values()]))
        depth = rng.uniform(9, 45)
        place = np.array([rng.uniform(-0.5, 0.5) * depth, CAMERA_HEIGHT, depth])
        size = tuple(float(side * rng.uniform(0.9, 1.1)) for side in KINDS[kind][0])
        if all(np.hypot(*(place - other)[[0, 2]]) > 5 for _, other, _, _ in things):
            things.append((kind, place.round(2), (size[0], size[1], size[2]), float(rng.uniform(-3.1, 3.1))))
    return sorted(things, key=lambda thing: -thing[1][2])


def write_frame(training: Path, key: str, things: list[Any], rng: np.random.Generator) -> list[str]:
    ground = int(rng.integers(70, 120))
    shades = rng.uniform(0.6, 1.2, len(things))
    for folder, matrix in (("image_2", P2), ("image_3", P3)):
        image = Image.new("RGB", (WIDTH, HEIGHT), (150, 190, 230))
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, CENTRE[1], WIDTH, HEIGHT), fill=(ground, ground, ground - 10))
        for (kind, place, size, turn), shade in zip(things, shades, strict=True):
            paint(draw, project(corners(place, size, turn), matrix), KINDS[kind][1], shade)
        grain = rng.normal(0, 4, (HEIGHT, WIDTH, 3))
        Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)).save(
            training / folder / f"{key}.png"
        )
    (training / "velodyne" / f"{key}.bin").write_bytes(sweep(things, rng).tobytes())
    rows = {"P0": P2, "P1": P3, "P2": P2, "P3": P3, "R0_rect": R0, "Tr_velo_to_cam": TR}
    text = "".join(f"{name}: {' '.join(f'{v:.9e}' for v in row.ravel())}\n" for name, row in rows.items())
    (training / "calib" / f"{key}.txt").write_text(text + "Tr_imu_to_velo: 1 0 0 0 0 1 0 0 0 0 1 0\n\n")
    labels = [label(*thing) for thing in things]
    if things and rng.random() < 0.5:
        labels.append("DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10")
    (training / "label_2" / f"{key}.txt").write_text("".join(f"{line}\n" for line in labels))
    return labels


def paint(draw: ImageDraw.ImageDraw, outline: np.ndarray, colour: tuple[int, int, int], shade: float) -> None:
    """The faces of a box that look at the camera, each in its own shade."""
    for number, face in enumerate(FACES):
        polygon = [tuple(outline[k]) for k in face]
        area = sum(polygon[i - 1][0] * polygon[i][1] - polygon[i][0] * polygon[i - 1][1] for i in range(4))
        if area > 0:
            tone = shade * (0.7, 1.0, 0.7, 1.0, 1.25)[number]
            draw.polygon(polygon, fill=tuple(min(255, int(c * tone)) for c in colour))


def label(kind: str, place: np.ndarray, size: tuple[float, float, float], turn: float) -> str:
    outline = project(corners(place, size, turn), P2)
    (x1, y1), (x2, y2) = outline.min(axis=0), outline.max(axis=0)
    box = max(x1, 0), max(y1, 0), min(x2, WIDTH - 1), min(y2, HEIGHT - 1)
    truncated = 1 - (box[2] - box[0]) * (box[3] - box[1]) / ((x2 - x1) * (y2 - y1))
    alpha = math.remainder(turn - math.atan2(place[0], place[2]), 2 * math.pi)
    numbers = (alpha, *box, *size, *place, turn)
    return f"{kind} {truncated:.2f} 0 " + " ".join(f"{number:.2f}" for number in numbers)


def sweep(things: list[Any], rng: np.random.Generator) -> np.ndarray:
    """Points strewn over the ground and the things' sides, (N, 4) float32 in the LiDAR frame."""
    depth = 4 + rng.exponential(12, 4000)
    ground = np.column_stack([rng.uniform(-1, 1, 4000) * depth, np.full(4000, CAMERA_HEIGHT), depth])
    surfaces = [ground]
    for _, place, size, turn in things:
        count = int(np.clip(12000 / place[2], 100, 1500))
        height, width, length = size
        unit = rng.uniform(-0.5, 0.5, (count, 3))
        side = rng.integers(0, 2, count)
        unit[np.arange(count), np.where(side, 0, 2)] = rng.choice([-0.5, 0.5], count)
        local = unit * (length, height, width) + (0, -height / 2, 0)
        surfaces.append(local @ rotation(1, turn).T + place)
    rect = np.concatenate(surfaces)
    lidar = np.linalg.solve(TR[:, :3], np.linalg.solve(R0, rect.T) - TR[:, 3:]).T
    reflectance = rng.uniform(0, 1, (len(lidar), 1)).round(2)
    return np.column_stack([lidar, reflectance]).astype("<f4")


def plant(
    training: Path, keys: list[str], counts: dict[str, int], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """One of each kind of damage, each in a frame of its own among `keys`."""
    chosen = iter(rng.permutation(keys).tolist())
    damages: list[dict[str, Any]] = []

    def report(kind: str, path: Path, line: int | None = None) -> Path:
        file = path.relative_to(training.parent).as_posix()
        damages.append({"kind": kind, "file": file, "line": line})
        return path

    report("missing right image", training / "image_3" / f"{next(chosen)}.png").unlink()
    report("missing cloud", training / "velodyne" / f"{next(chosen)}.bin").unlink()
    path = report("truncated image", training / "image_2" / f"{next(chosen)}.png")
    path.write_bytes(path.read_bytes()[:60])
    path = report("cloud of a wrong size", training / "velodyne" / f"{next(chosen)}.bin")
    path.write_bytes(path.read_bytes()[:-5])
    path = report("points that are not finite", training / "velodyne" / f"{next(chosen)}.bin")
    cloud = np.frombuffer(path.read_bytes(), "<f4").reshape(-1, 4).copy()
    cloud[[3, 17, 40], [0, 2, 3]] = (np.nan, np.inf, np.nan)
    path.write_bytes(cloud.tobytes())
    for kind, change in (
        ("short label line", lambda words: words[:9]),
        ("NaN in a label line", lambda words: [*words[:12], "nan", *words[13:]]),
    ):
        key = next(chosen)
        path = report(kind, training / "label_2" / f"{key}.txt", 2)
        lines = path.read_text().splitlines()
        lines[1] = " ".join(change(lines[1].split()))
        path.write_text("\n".join(lines) + "\n")
        counts[key] -= 1
    report("missing calibration", training / "calib" / f"{next(chosen)}.txt").unlink()
    path = report("bad calibration row", training / "calib" / f"{next(chosen)}.txt", 4)
    lines = path.read_text().splitlines()
    lines[3] = " ".join(lines[3].split()[:-2]) + " n/a 0"
    path.write_text("\n".join(lines) + "\n")
    report("unexpected file", training / "image_2" / "Thumbs.db").write_bytes(b"\0\1")
    report("label without image", training / "label_2" / "000007.txt").write_text("")
    return damages


if __name__ == "__main__":
    for damage in make_foreign(Path(sys.argv[1]))["damages"]:
        print(damage)
