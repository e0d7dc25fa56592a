"""YOLO's folder: `images/train/000000.png`, `labels/train/000000.txt` with `class cx cy w h` in shares of the image, `data.yaml`.

As https://docs.ultralytics.com/datasets/detect/ describes it. An image without objects has an empty label file.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import numpy as np
import yaml

from swath.exports.base import PARTS, inside, lines, number, part, put_image
from swath.trainers.base import TrainingSet


def write(data: TrainingSet, apart: Set[str], folder: Path) -> None:
    """See `exports.write`. Without a drive apart, `val` is `train` again: the tools want one."""
    for which in PARTS:
        for kind in ("images", "labels"):
            (folder / kind / which).mkdir(parents=True)
    for row, path in enumerate(data.media):
        which = part(data, apart, row)
        _, size = put_image(path, folder / "images" / which, number(row))
        label = folder / "labels" / which / f"{number(row)}.txt"
        label.write_text(lines(_lines(inside(data.shapes[row], size), data.labels[row], size)))
    val = "images/val" if any(group in apart for group in data.groups) else "images/train"
    about = {
        "path": str(folder.resolve()),
        "train": "images/train",
        "val": val,
        "names": dict(enumerate(data.classes)),
    }
    (folder / "data.yaml").write_text(yaml.safe_dump(about, sort_keys=False, allow_unicode=True))


def _lines(boxes: np.ndarray, labels: np.ndarray, size: tuple[int, int]) -> list[str]:
    width, height = size
    return [
        f"{label} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} {(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}"
        for label, (x1, y1, x2, y2) in zip(labels.tolist(), boxes.tolist(), strict=True)
        if x2 > x1 and y2 > y1
    ]
