"""Which objects a model gets wrong, as they are searched for, and where candidates may hold such ones. Pure.

Objects are asked for in turn, class by class, the class of which the largest share went wrong first. Of a class come those that were
missed, the largest first, each of another scene as long as there are some; then what was seen falsely, the surest first. In a
candidate those places are looked at where the model sees something, however unsure it is, and a row of windows as large and as
high up as the objects asked for, where it sees nothing: what is missed looks like that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Final

import numpy as np
import numpy.typing as npt

from swath.kernels.detection import Predictions, References
from swath.kernels.mistakes import Mistakes
from swath.records.manifest import FailingObject, Window, Wrong

CONTEXT: Final = (
    1.5  # times the width and height of an object that are cut out: it is known by what is around it as well
)
LEAST: Final = 24  # px of width and height that are cut out
SEEN: Final = 8  # detections of an image that are looked at, the surest
BLANK: Final = 4  # windows of an image that are looked at where nothing is seen


@dataclass(frozen=True, eq=False)
class Looked:
    """One image of val: its `size` (width, height) px, detections, references, and what is wrong with them."""

    key: str
    channel: str
    size: tuple[int, int]
    found: Predictions
    wanted: References
    mistakes: Mistakes


def failing(
    looked: Iterable[Looked], classes: Sequence[str], references: Mapping[str, int], most: int
) -> tuple[Wrong, ...]:
    """The objects that a batch answers, `most` at most. `references`: how many val has of each class."""
    missed: dict[str, list[_Object]] = {}
    false: dict[str, list[_Object]] = {}
    for one in looked:
        for row, fate in enumerate(one.mistakes.fates):
            if fate != "found":
                box, name = one.wanted.boxes[row], classes[one.wanted.labels[row]]
                missed.setdefault(name, []).append(_Object(_area(box), one, row, box))
        for row, kind in zip(one.mistakes.kept.tolist(), one.mistakes.kinds, strict=True):
            if kind != "right":
                name = classes[one.found.labels[row]]
                found = _Object(float(one.found.scores[row]), one, row, one.found.boxes[row])
                false.setdefault(name, []).append(found)
    share = {name: len(lost) / references[name] for name, lost in missed.items() if references.get(name)}
    names = sorted({*missed, *false}, key=lambda name: (-share.get(name, 0.0), name))
    lines = [
        [
            *(one.asked(name, false=False) for one in _spread(missed.get(name, ()))),
            *(one.asked(name, false=True) for one in _spread(false.get(name, ()))),
        ]
        for name in names
    ]
    turns = chain.from_iterable(zip_longest(*lines))
    return tuple(one for one in turns if one is not None)[:most]


@dataclass(frozen=True, eq=False)
class _Object:
    """`worth`: px² of what was missed, the score of what was seen falsely."""

    worth: float
    image: Looked
    row: int
    box: npt.NDArray[np.float64]

    def asked(self, name: str, *, false: bool) -> Wrong:
        x1, y1, x2, y2 = (round(float(value), 2) for value in self.box)
        return Wrong(
            key=self.image.key,
            fn=int(not false),
            fp=int(false),
            kinds={name: 1.0},
            object=FailingObject(
                channel=self.image.channel,
                name=name,
                false=false,
                box=(x1, y1, x2, y2),
                window=around(self.box, *self.image.size),
            ),
        )


def _spread(objects: Iterable[_Object]) -> list[_Object]:
    """The first of each scene, then the second, ...; of each turn those of most worth first."""
    listed = sorted(objects, key=lambda one: (-one.worth, one.image.key, one.image.channel, one.row))
    turn: Counter[str] = Counter()
    placed = []
    for nth, one in enumerate(listed):
        placed.append((turn[one.image.key], nth, one))
        turn[one.image.key] += 1
    return [one for _, _, one in sorted(placed, key=lambda one: one[:2])]


def _area(box: npt.NDArray[np.float64]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


# ---------------------------------------------------------------------- where to look


def around(box: npt.NDArray[np.float64], width: int, height: int) -> Window:
    """Whole px, inside the image, of a box (x1, y1, x2, y2) px and its surroundings."""
    middle, side = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) * CONTEXT, LEAST)
    low = np.clip(np.floor(middle - side / 2), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(middle + side / 2), low + 1, [width, height]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def windows(
    found: Predictions,
    threshold: float,
    size: tuple[int, int],
    asked: Sequence[tuple[FailingObject, tuple[int, int]]],
) -> tuple[Window, ...]:
    """Where a candidate's image of this `size` is looked at. `threshold`: score from which the model counts as seeing something;
    `asked`: the objects that are searched for, each with the size of its image."""
    order = np.argsort(-found.scores, kind="stable")[:SEEN]
    seen = [around(found.boxes[row], *size) for row in order]
    sure = found.boxes[found.scores >= threshold]
    return tuple(dict.fromkeys((*seen, *(one for one in _blank(size, asked) if _free(one, sure)))))


def _blank(size: tuple[int, int], asked: Sequence[tuple[FailingObject, tuple[int, int]]]) -> list[Window]:
    """A row of windows of the median size and height of what is asked for, as shares of the image."""
    shares = np.array([np.divide(one.window, (*of, *of)) for one, of in asked])
    width, height = np.median(shares[:, 2:] - shares[:, :2], axis=0) * size
    y = np.median(shares[:, 1] + shares[:, 3]) / 2 * size[1]
    middles = (np.arange(BLANK) + 0.5) / BLANK * size[0]
    boxes = np.stack([[x - width / 2, y - height / 2, x + width / 2, y + height / 2] for x in middles])
    corners = np.clip(np.rint(boxes), 0, [*size, *size]).astype(int)
    return [(int(a), int(b), int(c), int(d)) for a, b, c, d in corners if c > a and d > b]


def _free(window: Window, sure: npt.NDArray[np.float64]) -> bool:
    """Whether the middle of a window is in none of these boxes (n, 4)."""
    x, y = (window[0] + window[2]) / 2, (window[1] + window[3]) / 2
    inside = (sure[:, 0] <= x) & (x <= sure[:, 2]) & (sure[:, 1] <= y) & (y <= sure[:, 3])
    return not bool(inside.any())
