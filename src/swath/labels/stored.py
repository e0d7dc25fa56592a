"""Labels as FiftyOne stores them.

FiftyOne's 2D box is `[x, y, w, h]` in shares of the image; its 3D box has `location` (centre), `dimensions` (along the
object's own axes) and `rotation` (Euler, three.js order) in the frame of the cloud: the cuboid convention of the kernels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bson import ObjectId

from swath.config import digest
from swath.labels.shapes import Boxes, Cuboids, Labels

Document = dict[str, Any]
SHAPES = ("bounding_box", "location", "dimensions", "rotation")


def object_id(*parts: object) -> ObjectId:
    """An ObjectId that is a function of `parts`: labels written twice are the same labels."""
    return ObjectId(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:12])


def field_of(documents: Sequence[Mapping[str, Any]]) -> Document:
    """A FiftyOne `Detections`, raw. An empty one says: looked, and nothing is there."""
    return {"_cls": "Detections", "detections": list(documents)}


def documents_of(
    labels: Labels,
    size: tuple[int, int],
    identity: Sequence[object],
    *,
    ids: Sequence[object] = (),
    **attributes: Any,
) -> list[Document]:
    """Raw FiftyOne labels of boxes (pixels of an image of `size`: width, height) or cuboids (LiDAR frame).

    Their ids are a function of `identity` and their place; but `ids`, one for each or none, go first where they are ObjectIds.
    An attribute that is a list of length n gives each label its own.
    """
    shaped = _box_shapes(labels, size) if isinstance(labels, Boxes) else _cuboid_shapes(labels)
    return [
        {
            "_id": ids[i] if ids and isinstance(ids[i], ObjectId) else object_id(*identity, i),
            "_cls": "Detection",
            "attributes": {},
            "tags": [],
            "label": name,
            **shape,
            **{key: value[i] if isinstance(value, list) else value for key, value in attributes.items()},
        }
        for i, (shape, name) in enumerate(zip(shaped, labels.classes, strict=True))
    ]


def _box_shapes(labels: Boxes, size: tuple[int, int]) -> list[Document]:
    width, height = size
    out = []
    for x1, y1, x2, y2 in labels.shapes.tolist():
        out.append({"bounding_box": [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]})
    return out


def _cuboid_shapes(labels: Cuboids) -> list[Document]:
    # FiftyOne's own have an empty 2D box, and its App's grid of a cloud slice is an error page without.
    return [
        {"bounding_box": [], "location": one[:3], "dimensions": one[3:6], "rotation": one[6:]}
        for one in labels.shapes.tolist()
    ]


def digest_of(documents: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of what raw labels say (class and shape, in order), whatever FiftyOne adds to them."""
    return digest(
        [[one.get("label"), *(_spelled(one.get(shape) or None) for shape in SHAPES)] for one in documents]
    )


def _spelled(shape: Any) -> Any:
    """A shape as JSON can hold it: people's labels may hold NaN."""
    if not isinstance(shape, list | tuple):
        return shape if shape is None else str(shape)
    finite = all(isinstance(value, int | float) and np.isfinite(value) for value in shape)
    return list(shape) if finite else [str(value) for value in shape]


def detections(field: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], ...]:
    """The raw labels of a raw `Detections` field; none where there is no field."""
    return tuple((field or {}).get("detections") or ())


def read(
    modality: str, field: Mapping[str, Any] | None, size: tuple[int, int], *, of_round: str | None = None
) -> Labels:
    """The labels of a raw `Detections` field, with the documents they came from; `of_round`: those of one round alone.

    What is no box of four numbers, or lacks location or dimensions, becomes NaN, for the checks to find.
    """
    documents = detections(field)
    if of_round is not None:
        documents = tuple(one for one in documents if one.get("round") == of_round)
    classes = tuple(str(one.get("label")) for one in documents)
    if modality == "2d":
        return Boxes(_boxes(documents, size), classes, documents)
    return Cuboids(_cuboids(documents), classes, documents)


def _boxes(documents: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    boxes = np.full((len(documents), 4), np.nan)
    for i, one in enumerate(documents):
        try:
            x, y, w, h = (float(value) for value in one.get("bounding_box") or ())
            boxes[i] = x * size[0], y * size[1], (x + w) * size[0], (y + h) * size[1]
        except (TypeError, ValueError):
            continue
    return boxes


def _cuboids(documents: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
    cuboids = np.full((len(documents), 9), np.nan)
    for i, one in enumerate(documents):
        try:
            values = [*one["location"], *one["dimensions"], *(one.get("rotation") or (0.0, 0.0, 0.0))]
            cuboids[i] = [float(value) for value in values]
        except (KeyError, TypeError, ValueError):
            continue
    return cuboids
