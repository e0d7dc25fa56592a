"""Small scenes for FiftyOne datasets that swath had no part in: tiny images, a few points, labels, given vectors.

Everything is a function of the scene's number. Imports nothing of swath, so that plain FiftyOne can use it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 96, 48
COLOURS = ((200, 40, 40), (40, 90, 210), (230, 190, 40))
PLACES = 5  # clusters of scenes: a background, a mix of classes and a direction of the vectors each


def vector(number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(16,) float32: the place of the scene, and something of its own."""
    own = np.random.default_rng([9, number]).normal(0, 0.25, 16)
    own[number % PLACES] += 1.0 + 0.5 * (number % PLACES)
    return own.astype(np.float32)


def objects(number: int, classes: Sequence[str]) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Class and box (x1, y1, x2, y2 in pixels) of what is in the image; every ninth scene is empty."""
    rng = np.random.default_rng([10, number])
    out: list[tuple[str, tuple[int, int, int, int]]] = []
    for column in range(0 if number % 9 == 8 else 1 + number % 3):
        width, height = (int(one) for one in rng.integers(10, 22, 2))
        x, y = 4 + 30 * column + int(rng.integers(0, 6)), int(rng.integers(8, HEIGHT - height - 2))
        out.append((classes[(number % PLACES + column) % len(classes)], (x, y, x + width, y + height)))
    return out


def make_media(folder: Path, count: int, classes: Sequence[str]) -> None:
    """`left/N.png`, `right/N.png` and `pcd/N.pcd` of `count` scenes."""
    for name in ("left", "right", "pcd"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        shade = 60 + 35 * (number % PLACES)
        grain = np.random.default_rng([11, number]).integers(-9, 9, (HEIGHT, WIDTH, 3))
        for name, shift in (("left", 0), ("right", -3)):
            image = Image.new("RGB", (WIDTH, HEIGHT), (shade, shade, 90))
            draw = ImageDraw.Draw(image)
            for label, (x1, y1, x2, y2) in objects(number, classes):
                draw.rectangle((x1 + shift, y1, x2 + shift, y2), fill=COLOURS[list(classes).index(label) % 3])
            array = np.clip(np.asarray(image).astype(int) + grain, 0, 255).astype(np.uint8)
            Image.fromarray(array).save(folder / name / f"{number:04d}.png")
        points = np.random.default_rng([12, number]).uniform((2, -9, -1.8), (40, 9, 0.5), (60, 3))
        rows = "\n".join(" ".join(f"{one:.3f}" for one in point) for point in points)
        header = "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 60\nHEIGHT 1\n"
        (folder / "pcd" / f"{number:04d}.pcd").write_text(
            f"{header}VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 60\nDATA ascii\n{rows}\n"
        )


def make_dataset(
    name: str,
    folder: Path,
    count: int,
    classes: Sequence[str],
    *,
    grouped: bool = True,
    without: Sequence[tuple[int, str]] = (),
) -> Any:
    """A FiftyOne dataset of the media in `folder`, as a user has it: `ground_truth` in 2D and 3D, vectors in `given`.

    `without`: (scene, slice) that are left out.
    """
    import fiftyone as fo

    dataset = fo.Dataset(name, persistent=True)
    if grouped:
        dataset.add_group_field("group", default="left")
    samples = []
    for number in range(count):
        group = fo.Group()
        for slice_name in ("left", "right", "pcd") if grouped else ("left",):
            if (number, slice_name) in without:
                continue
            path = folder / slice_name / f"{number:04d}.{'pcd' if slice_name == 'pcd' else 'png'}"
            sample = fo.Sample(filepath=str(path))
            if grouped:
                sample["group"] = group.element(slice_name)
            if slice_name == "left":
                sample["given"] = vector(number)
                sample["ground_truth"] = fo.Detections(
                    detections=[_box(*one) for one in objects(number, classes)]
                )
            if slice_name == "pcd":
                solid = [_cuboid(*one) for one in objects(number, classes)]
                sample["ground_truth"] = fo.Detections(detections=solid)
            samples.append(sample)
    dataset.add_samples(samples, progress=False)
    return dataset


def _box(label: str, box: tuple[int, int, int, int]) -> Any:
    import fiftyone as fo

    x1, y1, x2, y2 = box
    shares = [x1 / WIDTH, y1 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT]
    return fo.Detection(label=label, bounding_box=shares)


def _cuboid(label: str, box: tuple[int, int, int, int]) -> Any:
    import fiftyone as fo

    place = [10.0 + box[1], (WIDTH / 2 - box[0]) / 4, -0.9]
    return fo.Detection(label=label, location=place, dimensions=[4.0, 1.7, 1.6], rotation=[0.0, 0.0, 0.3])
