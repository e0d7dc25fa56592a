"""Labels as arrays, and as FiftyOne stores them.

FiftyOne's 2D box is `[x, y, w, h]` in shares of the image; its 3D box has `location` (centre), `dimensions` (along the
object's own axes) and `rotation` (Euler, three.js order) in the frame of the cloud: the cuboid convention of the kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.journal import digest
from swath.scenes import object_id

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Read2D:
    """2D labels of one image: boxes (n, 4) x1, y1, x2, y2 in pixels; classes; the raw documents they came from."""

    boxes: Floats
    classes: tuple[str, ...]
    documents: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Read3D:
    """3D labels of one cloud: cuboids (n, 9) in the LiDAR frame; classes; the raw documents they came from."""

    cuboids: Floats
    classes: tuple[str, ...]
    documents: tuple[Mapping[str, Any], ...]


def detection(identity: Sequence[object], label: str, **attributes: Any) -> dict[str, Any]:
    """One FiftyOne `Detection`, raw, with an id that is a function of `identity`."""
    return {
        "_id": object_id(*identity),
        "_cls": "Detection",
        "attributes": {},
        "tags": [],
        "label": label,
        **attributes,
    }


def detections(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A FiftyOne `Detections`, raw. An empty one says: looked, and nothing is there."""
    return {"_cls": "Detections", "detections": list(documents)}


def box_documents(
    boxes: Floats,
    classes: Sequence[str],
    size: tuple[int, int],
    identity: Sequence[object],
    **attributes: Any,
) -> list[dict[str, Any]]:
    """Raw detections of boxes (n, 4) in pixels of an image of `size` (width, height). An attribute that is a list of
    length n gives each box its own value."""
    width, height = size
    out = []
    for i, (box, name) in enumerate(zip(np.asarray(boxes, dtype=float).reshape(-1, 4), classes, strict=True)):
        x1, y1, x2, y2 = (float(one) for one in box)
        shares = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
        out.append(detection([*identity, i], name, bounding_box=shares, **_each(attributes, i)))
    return out


def cuboid_documents(
    cuboids: Floats, classes: Sequence[str], identity: Sequence[object], **attributes: Any
) -> list[dict[str, Any]]:
    """Raw detections of cuboids (n, 9) in the LiDAR frame."""
    out = []
    for i, (cuboid, name) in enumerate(
        zip(np.asarray(cuboids, dtype=float).reshape(-1, 9), classes, strict=True)
    ):
        values = [float(one) for one in cuboid]
        shape = {"location": values[:3], "dimensions": values[3:6], "rotation": values[6:]}
        out.append(detection([*identity, i], name, **shape, **_each(attributes, i)))
    return out


def digest_of(documents: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of what raw labels say (class and shape, in order), whatever FiftyOne adds to them."""
    shapes = ("bounding_box", "location", "dimensions", "rotation")
    return digest([[one.get("label"), *(one.get(shape) for shape in shapes)] for one in documents])


def _each(attributes: Mapping[str, Any], i: int) -> dict[str, Any]:
    return {name: value[i] if isinstance(value, list) else value for name, value in attributes.items()}


def read_boxes(field: Mapping[str, Any] | None, size: tuple[int, int]) -> Read2D:
    """Arrays of a raw `Detections` field; what is no 2D box of four numbers becomes NaN, for the checks to find."""
    documents = tuple((field or {}).get("detections") or ())
    boxes = np.full((len(documents), 4), np.nan)
    for i, one in enumerate(documents):
        try:
            x, y, w, h = (float(value) for value in one.get("bounding_box") or ())
            boxes[i] = x * size[0], y * size[1], (x + w) * size[0], (y + h) * size[1]
        except (TypeError, ValueError):
            continue
    return Read2D(boxes, tuple(str(one.get("label")) for one in documents), documents)


def read_cuboids(field: Mapping[str, Any] | None) -> Read3D:
    """Arrays of a raw `Detections` field in 3D; what lacks location, dimensions or rotation becomes NaN."""
    documents = tuple((field or {}).get("detections") or ())
    cuboids = np.full((len(documents), 9), np.nan)
    for i, one in enumerate(documents):
        try:
            values = [*one["location"], *one["dimensions"], *(one.get("rotation") or (0.0, 0.0, 0.0))]
            cuboids[i] = [float(value) for value in values]
        except (KeyError, TypeError, ValueError):
            continue
    return Read3D(cuboids, tuple(str(one.get("label")) for one in documents), documents)
