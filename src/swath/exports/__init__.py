"""Training sets as folders that other tools learn from, and their predictions read back.

    yolo     images/, labels/, data.yaml        boxes                what ultralytics and its kin read
    coco     images/, annotations/*.json        boxes                what most frameworks read
    kitti    training/ as the devkit has it     boxes or cuboids     what most LiDAR detectors read

`write(kind, data, apart, folder)` writes a set; `media(...)` puts what is to be predicted; `predictions(...)` reads what came of it.
Media are numbered by their row: `000000`, `000001`, ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Final

from swath.errors import ConfigError
from swath.exports import coco, kitti, yolo
from swath.exports.base import Read
from swath.labels.shapes import Modality
from swath.trainers.base import TrainingSet

WRITERS: Final[dict[str, Callable[[TrainingSet, Set[str], Path], None]]] = {
    "yolo": yolo.write,
    "coco": coco.write,
    "kitti": kitti.write,
}


def write(kind: str, data: TrainingSet, apart: Set[str], folder: Path) -> None:
    """Writes `data` to the empty `folder`; the drives `apart` are its validation part. ConfigError where the format cannot hold
    cuboids, or names of classes; FormatError for a medium that can't be read."""
    if data.modality == "3d" and kind != "kitti":
        raise ConfigError(f"export: cuboids are written as kitti alone, got {kind!r}")
    WRITERS[kind](data, apart, folder)


def read(
    kind: str,
    where: Path,
    media: Sequence[str],
    classes: Sequence[str],
    modality: Modality,
) -> Read:
    """Predictions from `where`: of `kind` coco the file predictions.json in it, of kitti a file for each medium. Bad ones are
    left out, with reasons. FormatError where there is nothing to be read."""
    if kind == "coco":
        return coco.read(where / "predictions.json", media, classes)
    return kitti.read(where, media, classes, modality)
