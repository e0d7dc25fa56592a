"""What the formats share: numbered media, who is kept apart, and predictions with those that were refused."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swath.formats.images import ENDINGS, decode, image_size
from swath.kernels.detection import Predictions
from swath.kernels.detection3d import Predictions3D
from swath.labels.clean import Rejected, clean
from swath.labels.shapes import AnyLabels, Cuboids
from swath.trainers.base import TrainingSet

PARTS = ("train", "val")


@dataclass(frozen=True, eq=False)
class Read:
    """Predictions, one result per medium, best first; those that were refused, with where they stood and why."""

    found: tuple[Predictions | Predictions3D, ...]
    rejected: tuple[Rejected, ...]


def number(row: int) -> str:
    """The name of a medium, by its row."""
    return f"{row:06d}"


def part(data: TrainingSet, apart: Set[str], row: int) -> str:
    """`train`, or `val` for rows of the drives that are kept apart."""
    return PARTS[data.groups[row] in apart]


def put_image(path: str, folder: Path, name: str) -> tuple[str, tuple[int, int]]:
    """Puts an image into a folder under a name; returns its file name and size (width, height). A link, where other readers
    see what swath sees; where they would not (EXIF turns it, 16 bits, another kind of file), 8-bit RGB as a PNG."""
    ending = Path(path).suffix.lower()
    width, height = image_size(path)
    with Image.open(path) as image:
        plain = (
            image.mode in ("RGB", "L")
            and image.size == (width, height)
            and not image.getexif().get(0x0112, 1) > 1
        )
    if plain and ending in ENDINGS:
        _link(Path(path), folder / f"{name}{ending}")
        return f"{name}{ending}", (width, height)
    decode(path).save(folder / f"{name}.png")
    return f"{name}.png", (width, height)


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    os.symlink(source.resolve(), target)


def judged(
    labels: AnyLabels,
    scores: Sequence[object],
    classes: Sequence[str],
    size: tuple[int, int],
    where: Sequence[str],
) -> tuple[Predictions | Predictions3D, tuple[Rejected, ...]]:
    """The good predictions of one medium, best first (equals in the order in which they came), and the others. `size`: width and
    height of an image, in pixels; `where`: names each."""
    good, rejected = clean(labels, classes, *size, where)
    refused = list(rejected)
    lost = {one.where for one in rejected}
    left = [row for row, name in enumerate(where) if name not in lost]
    values: list[float] = []
    kept: list[int] = []
    for at, row in enumerate(left):
        value = _score(scores[row])
        if value is None:
            refused.append(
                Rejected(where[row], f"score: expected a number from 0 to 1, got {str(scores[row])[:30]!r}")
            )
        else:
            values.append(value)
            kept.append(at)
    good = good.take(kept)
    order = np.argsort(-np.array(values, float), kind="stable")
    best = good.take(order)
    positions = np.array([list(classes).index(name) for name in best.classes], np.int64)
    sorted_scores = np.array(values, float)[order]
    if isinstance(best, Cuboids):
        return Predictions3D(best.shapes, sorted_scores, positions), tuple(refused)
    return Predictions(inside(best.shapes, size), sorted_scores, positions), tuple(refused)


def inside(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Boxes (n, 4) cut to the image."""
    width, height = size
    return np.clip(boxes, 0, np.array([width, height, width, height], float))


def _score(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 <= number <= 1 else None


def lines(items: Iterable[object]) -> str:
    """One a line."""
    return "".join(f"{item}\n" for item in items)
