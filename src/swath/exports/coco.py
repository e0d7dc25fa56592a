"""COCO's folder (`images/`, `annotations/train.json`, `val.json`), and COCO's result file read back.

As https://cocodataset.org/#format-data has it: boxes are x, y, width, height in pixels; ids of images count from 1 in the order
of the rows, those of categories from 1 in the order of the class map.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from swath.errors import FormatError
from swath.exports.base import PARTS, Read, judged, number, part, put_image
from swath.formats.images import image_size
from swath.labels.clean import Rejected
from swath.labels.shapes import Boxes
from swath.trainers.base import TrainingSet

Document = dict[str, Any]


def write(data: TrainingSet, apart: Set[str], folder: Path) -> None:
    """See `exports.write`."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    files: dict[str, Document] = {which: _empty(data.classes) for which in PARTS}
    for row, path in enumerate(data.media):
        name, size = put_image(path, folder / "images", number(row))
        into = files[part(data, apart, row)]
        into["images"].append(_image(row, name, size))
        for (x1, y1, x2, y2), label in zip(data.shapes[row].tolist(), data.labels[row].tolist(), strict=True):
            into["annotations"].append(
                {
                    "id": sum(len(one["annotations"]) for one in files.values()) + 1,
                    "image_id": row + 1,
                    "category_id": label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    for which, content in files.items():
        (folder / "annotations" / f"{which}.json").write_text(json.dumps(content))


def write_media(media: Sequence[str], classes: Sequence[str], folder: Path) -> None:
    """Images to predict: `images/`, and `images.json` that lists them as COCO does, without annotations."""
    (folder / "images").mkdir(parents=True)
    content = _empty(classes)
    for row, path in enumerate(media):
        content["images"].append(_image(row, *put_image(path, folder / "images", number(row))))
    (folder / "images.json").write_text(json.dumps(content))


def _empty(classes: Sequence[str]) -> Document:
    names = [{"id": i + 1, "name": name} for i, name in enumerate(classes)]
    return {"images": [], "annotations": [], "categories": names}


def _image(row: int, name: str, size: tuple[int, int]) -> Document:
    return {"id": row + 1, "file_name": name, "width": size[0], "height": size[1]}


def read(path: Path, media: Sequence[str], classes: Sequence[str]) -> Read:
    """The results in `path`: a list of `image_id` (or `file_name`), `category_id`, `bbox`, `score`, or that list under
    `annotations`."""
    entries = _entries(path)
    of: dict[int, list[tuple[str, list[Any], str, object]]] = {row: [] for row in range(len(media))}
    rejected: list[Rejected] = []
    for i, entry in enumerate(entries):
        where = f"{path.name}[{i}]"
        try:
            row, name, box = _row(entry, len(media)), _class(entry, classes), _box(entry)
        except ValueError as error:
            rejected.append(Rejected(where, str(error)))
        else:
            of[row].append((where, box, name, entry.get("score")))
    found = []
    for row, listed in of.items():
        boxes = np.array([box for _, box, _, _ in listed], float).reshape(-1, 4)
        one, refused = judged(
            Boxes(boxes, tuple(name for _, _, name, _ in listed)),
            [score for *_, score in listed],
            classes,
            image_size(media[row], whole=False),
            [where for where, *_ in listed],
        )
        found.append(one)
        rejected += refused
    return Read(tuple(found), tuple(rejected))


def _entries(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise FormatError(f"{path}: expected COCO results, but it can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: expected COCO results as JSON: {error}") from None
    if isinstance(content, dict):
        content = content.get("annotations")
    if not isinstance(content, list):
        raise FormatError(f"{path}: expected a list of results, or an object with `annotations`")
    return content


def _row(entry: Any, count: int) -> int:
    if not isinstance(entry, Mapping):
        raise ValueError(f"expected an object, got {str(entry)[:30]!r}")
    given = entry.get("image_id")
    if given is None and isinstance(entry.get("file_name"), str):
        stem = Path(entry["file_name"]).stem
        given = int(stem) + 1 if stem.isdecimal() and len(stem) < 12 else stem
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= count:
        raise ValueError(f"image_id: expected 1 to {count}, got {str(given)[:30]!r}")
    return given - 1


def _class(entry: Mapping[str, Any], classes: Sequence[str]) -> str:
    given = entry.get("category_id")
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= len(classes):
        raise ValueError(f"category_id: expected 1 to {len(classes)}, got {str(given)[:30]!r}")
    return classes[given - 1]


def _box(entry: Mapping[str, Any]) -> list[float]:
    given = entry.get("bbox")
    try:
        x, y, width, height = (float(value) for value in given)  # type: ignore[union-attr]
    except (TypeError, ValueError):
        raise ValueError(f"bbox: expected x, y, width, height in pixels, got {str(given)[:40]!r}") from None
    return [x, y, x + width, y + height]
