"""What two labellings of one channel of a scene see differently, object by object, and what decisions make of it.

Objects are those of `labels.consensus`: labels of one place, whatever their class. One differs where a labelling lacks it, where the
classes are two, or where the labels are further apart than a gross error is in a golden check. What does not differ is at the mean of
both; what differs is as somebody decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from swath.config import Golden, digest
from swath.kernels import deviations
from swath.labels.consensus import consensus, objects
from swath.labels.shapes import AnyLabels, Boxes, Labels
from swath.policies.golden_axes import CUT

Choice = Literal["a", "b", "mean", "none"]
WORDS: Final[Mapping[Choice, str]] = {
    "a": "as the first has it",
    "b": "as the second has it",
    "mean": "halfway between both",
    "none": "no object",
}
WHO: Final = ("A", "B")
DIGITS: Final = 6  # of the shapes that a difference is known by


class Difference(NamedTuple):
    """rows: the object's label in the first and in the second labelling, None where there is none; what: in words; choices: what may
    be decided; id: of these two labels in this place: other labels are another difference."""

    rows: tuple[int | None, int | None]
    what: str
    choices: tuple[Choice, ...]
    id: str


def differences(place: Sequence[str], a: AnyLabels, b: AnyLabels, settings: Golden) -> list[Difference]:
    """Of one channel, `place` (scene, channel), by two labellings; in the order of their labels."""
    out = []
    for rows in _objects(a, b):
        told = _told(rows, a, b, settings)
        if told:
            out.append(Difference(rows, told, _choices(rows, a, b), _id(place, rows, a, b)))
    return out


def decided(
    place: Sequence[str], a: AnyLabels, b: AnyLabels, settings: Golden, choices: Mapping[str, Choice]
) -> AnyLabels:
    """The labels that count, in the order of `consensus`; `choices` by the id of a difference. What nobody decided is as a strict
    majority of two has it: at the mean of both, and nothing where one of them lacks it."""
    known = {one.rows: choices.get(one.id) for one in differences(place, a, b, settings)}
    found = [_label(rows, known.get(rows), a, b) for rows in _objects(a, b)]
    kept = [one for one in found if one is not None]
    order = sorted(range(len(kept)), key=lambda at: (tuple(kept[at].shapes[0]), kept[at].classes))
    width = 4 if isinstance(a, Boxes) else 9
    shapes = np.array([kept[at].shapes[0] for at in order], dtype=np.float64).reshape(-1, width)
    return type(a)(shapes, tuple(kept[at].classes[0] for at in order))


def _objects(a: AnyLabels, b: AnyLabels) -> list[tuple[int | None, int | None]]:
    """(row of a, row of b) of each object."""
    out: list[tuple[int | None, int | None]] = []
    for cluster in objects([a, b]):
        first = next((row for row in cluster if row < len(a)), None)
        second = next((row - len(a) for row in cluster if row >= len(a)), None)
        out.append((first, second))
    return out


def _label(
    rows: tuple[int | None, int | None], choice: Choice | None, a: AnyLabels, b: AnyLabels
) -> AnyLabels | None:
    """One label, or none."""
    of = [labels.take([row]) for labels, row in zip((a, b), rows, strict=True) if row is not None]
    if choice in ("a", "b"):
        labels, row = ((a, rows[0]), (b, rows[1]))[choice == "b"]
        return None if row is None else labels.take([row])
    if choice == "none" or len(of) < 2:
        return None
    return consensus(of).labels


def _told(rows: tuple[int | None, int | None], a: AnyLabels, b: AnyLabels, settings: Golden) -> str:
    """How both differ on an object, in words; nothing where they do not."""
    i, j = rows
    if i is None or j is None:
        who, labels, row = (WHO[1], b, j) if i is None else (WHO[0], a, i)
        return f"{labels.classes[row or 0]} that {who} alone has"
    said = []
    if a.classes[i] != b.classes[j]:
        said.append(f"A says {a.classes[i]}, B says {b.classes[j]}")
    said += _apart(a.take([i]), b.take([j]), settings)
    name = f"{a.classes[i]}: " if a.classes[i] == b.classes[j] else ""
    return f"{name}{', '.join(said)}" if said else ""


def _apart(one: Labels, two: Labels, settings: Golden) -> list[str]:
    """Where two labels of an object are further apart than a gross error is."""
    if isinstance(one, Boxes):
        overlap = float(deviations.of_boxes(one.shapes, two.shapes)[0, 0])
        return [f"IoU {overlap:.2f}"] if overlap < settings.shift_iou else []
    turned = deviations.of_cuboids(one.shapes, two.shapes)
    value = dict(zip(deviations.CUBOID, turned.values[0].tolist(), strict=True))
    said = []
    if value["distance"] > settings.shift_center:
        said.append(f"centres {value['distance']:.2f} m apart")
    if turned.flipped[0]:
        said.append("they face opposite ways")
    if turned.exchanged[0]:
        said.append("length and width are each other's")
    if value["turn"] > CUT["degrees"]:
        said.append(f"headings {value['turn']:.0f} degrees apart")
    sizes = [name for name in ("length", "width", "height") if abs(value[name]) > CUT["ratio"]]
    said += [f"{name} {100 * abs(np.expm1(value[name])):.0f} % apart" for name in sizes]
    return said


def _choices(rows: tuple[int | None, int | None], a: AnyLabels, b: AnyLabels) -> tuple[Choice, ...]:
    i, j = rows
    same = i is not None and j is not None and a.classes[i] == b.classes[j]
    return ("a", "b", "mean", "none") if same else ("a", "b", "none")


def _id(place: Sequence[str], rows: tuple[int | None, int | None], a: Labels, b: Labels) -> str:
    return digest([*place, _spelled(a, rows[0]), _spelled(b, rows[1])])[:12]


def _spelled(labels: Labels, row: int | None) -> list[object] | None:
    if row is None:
        return None
    return [labels.classes[row], *np.round(labels.shapes[row], DIGITS).tolist()]
