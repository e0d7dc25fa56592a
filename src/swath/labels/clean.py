"""The one validation of labels that come from outside: bad ones go to quarantine, good ones are kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from swath.labels.shapes import AnyLabels, Boxes

LONGEST_CLASS = 64


@dataclass(frozen=True)
class Rejected:
    """A label that was put in quarantine: `where` it is (file:line, or task/object), and why."""

    where: str
    reason: str


def clean(
    labels: AnyLabels,
    classes: Sequence[str],
    width: float,
    height: float,
    where: Sequence[str] | str = "object",
) -> tuple[AnyLabels, tuple[Rejected, ...]]:
    """Split `labels` into the good ones (order kept, values untouched) and the rejected ones with their
    reasons.

    `classes` is the frozen class map; `width`, `height` the image's size in pixels (used for boxes only).
    `where` names each label: a list with one name per label, or a prefix that the label's number is appended
    to. A box that sticks out of the image is kept as it was drawn; one with no pixel inside is rejected.
    """
    values = labels.shapes
    if len(values) != len(labels.classes):
        raise ValueError(f"{len(values)} labels with {len(labels.classes)} classes")
    names = [f"{where}/{row}" for row in range(len(values))] if isinstance(where, str) else where
    known = set(classes)
    good: list[int] = []
    rejected: list[Rejected] = []
    for row, (value, name) in enumerate(zip(values, labels.classes, strict=True)):
        reason = _wrong_class(name, known, classes)
        if reason is None and isinstance(labels, Boxes):
            reason = wrong_box(value, width, height)
        elif reason is None:
            reason = wrong_cuboid(value)
        if reason is None:
            good.append(row)
        else:
            rejected.append(Rejected(names[row], reason))
    return labels.take(good), tuple(rejected)


def wrong_box(box: np.ndarray, width: float, height: float) -> str | None:
    """Why `box` (4,) x1, y1, x2, y2 in pixels is no label of a width x height image; None where it is one."""
    if not np.isfinite(box).all():
        return f"box {_numbers(box)}: not a finite number"
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        return f"box {_numbers(box)}: negative size (expected x1 < x2, y1 < y2)"
    if x2 == x1 or y2 == y1:
        return f"box {_numbers(box)}: no area"
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return f"box {_numbers(box)}: entirely off the {width:g} x {height:g} image"
    return None


def wrong_cuboid(cuboid: np.ndarray) -> str | None:
    """Why `cuboid` (9,) is no label; None where it is one."""
    if not np.isfinite(cuboid).all():
        return f"cuboid {_numbers(cuboid)}: not a finite number"
    if (cuboid[3:6] < 0).any():
        return f"cuboid size {_numbers(cuboid[3:6])}: negative"
    if (cuboid[3:6] == 0).any():
        return f"cuboid size {_numbers(cuboid[3:6])}: no volume"
    return None


def _wrong_class(name: object, known: set[str], classes: Sequence[str]) -> str | None:
    if not isinstance(name, str) or not name:
        return f"class {shown(name)}: expected one of {', '.join(classes)}"
    if len(name) > LONGEST_CLASS:
        return f"class name of {len(name)} characters (at most {LONGEST_CLASS}): {shown(name)}"
    if not name.isprintable():
        return f"class name with a control character: {shown(name)}"
    if re.search(r"[<>&]", name):
        return f"class name with markup: {shown(name)}"
    if name not in known:
        return f"class {shown(name)}: unknown; expected one of {', '.join(classes)}"
    return None


def shown(name: object, most: int = 40) -> str:
    """`name` in a form that is safe to print anywhere: short, on one line, without markup."""
    text = re.sub(r"[^\w .,:+/-]", "?", str(name)[: most + 1])
    return f"'{text}'" if len(text) <= most else f"'{text[:most]}...'"


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:g}" for value in values)
