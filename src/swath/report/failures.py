"""Val scenes that the last evaluated model gets wrong: reference and predictions as boxes to draw over a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from swath.kernels.detection import Predictions, References
from swath.kernels.mistakes import Mistakes, type_mistakes
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.shapes import Floats, Ints, Labels, known
from swath.records.batch import Evaluated
from swath.report.pictures import Picture
from swath.workspace import Workspace

LETTER: Final = 10.5  # height of a line of text, pixels of the picture

KINDS: Final = {
    "right": "right",
    "location": "badly placed",
    "class": "wrong class",
    "duplicate": "found twice",
    "background": "false alarm",
    "both": "wrong class and place",
    "missed": "missed",
    "found": "found",
}


@dataclass(frozen=True)
class Box:
    """A box in pixels of the picture. `kind` of mistake; `score` of a prediction."""

    x: float
    y: float
    w: float
    h: float
    label: str
    kind: str
    wrong: bool
    score: float | None = None


@dataclass(frozen=True)
class Text:
    """What is written beside a box, in pixels of the picture."""

    of: Literal["reference", "prediction"]
    words: str
    x: float
    y: float
    wide: float


@dataclass(frozen=True)
class Overlay:
    """`references` and `predictions` (at or above the operating threshold); `texts` beside the wrong ones; `note`: what is
    amiss."""

    references: tuple[Box, ...] = ()
    predictions: tuple[Box, ...] = ()
    texts: tuple[Text, ...] = ()
    note: str = ""


def overlay(
    workspace: Workspace, camera: Channel, record: Evaluated, pictures: Mapping[str, Picture]
) -> dict[str, Overlay]:
    """What to draw over each of `pictures` (val scene -> picture), which `camera` took.

    Predictions of another round than that of `record` are left out: the field holds those of the last evaluation only.
    """
    table = workspace.scenes.of(pictures)
    keys = table.known(workspace.only("val", list(pictures), "report"))
    docs = workspace.scenes.values(camera.name, keys, [camera.human, camera.predictions])
    out = dict.fromkeys(pictures, Overlay())
    for key, doc in zip(keys, docs, strict=True):
        picture, size = pictures[key], table.size(camera.name, key)
        at = size if min(size) > 0 else (picture.width, picture.height)
        out[key] = _drawn(workspace, camera, doc, record, picture, at)
    return out


class _Known(NamedTuple):
    """Labels as `evaluate` takes them: boxes (n, 4) pixels, positions in the class map (n,), scores (n,)."""

    boxes: Floats
    labels: Ints
    scores: Floats


def _known(labels: Labels, classes: Sequence[str]) -> _Known:
    rows, positions = known(labels, classes)
    scores = [float(one.get("confidence") or 0.0) for one in labels.take(rows).documents]
    return _Known(labels.shapes[rows], positions, np.array(scores))


def _drawn(
    workspace: Workspace,
    camera: Channel,
    doc: Mapping[str, Mapping[str, object]],
    record: Evaluated,
    picture: Picture,
    size: tuple[int, int],
) -> Overlay:
    classes = workspace.config.classes
    given = stored.detections(doc.get(camera.predictions))
    of_round = stored.read("2d", doc.get(camera.predictions), size, of_round=record.round)
    truth = _known(stored.read("2d", doc.get(camera.human), size), classes)
    found = _known(of_round, classes)
    mistakes = type_mistakes(
        Predictions(found.boxes, found.scores, found.labels),
        References(truth.boxes, truth.labels),
        record.main.operating.threshold,
        found_at=workspace.config.evaluate.iou,
    )
    scale = np.array([picture.width / size[0], picture.height / size[1]] * 2)
    names = [classes[label] for label in truth.labels], [classes[label] for label in found.labels]
    references = tuple(_references(mistakes, truth.boxes * scale, names[0]))
    predictions = tuple(_predictions(mistakes, found.boxes * scale, names[1], found.scores))
    return Overlay(
        references,
        predictions,
        _texts(references, predictions, picture),
        "" if len(of_round) == len(given) else f"the predictions are no longer those of {record.round}",
    )


def _references(mistakes: Mistakes, boxes: Floats, names: Sequence[str]) -> list[Box]:
    return [
        _box(box, name, fate, fate != "found")
        for box, name, fate in zip(boxes, names, mistakes.fates, strict=True)
    ]


def _predictions(mistakes: Mistakes, boxes: Floats, names: Sequence[str], scores: Floats) -> list[Box]:
    return [
        replace(_box(boxes[i], names[i], kind, kind != "right"), score=float(scores[i]))
        for i, kind in zip(mistakes.kept, mistakes.kinds, strict=True)
    ]


def _box(box: Floats, label: str, kind: str, wrong: bool) -> Box:
    x1, y1, x2, y2 = (round(float(one), 1) for one in box)
    wide, high = round(max(x2 - x1, 0.0), 1), round(max(y2 - y1, 0.0), 1)
    return Box(x1, y1, wide, high, label, KINDS[kind], wrong)


def _texts(references: Sequence[Box], predictions: Sequence[Box], picture: Picture) -> tuple[Text, ...]:
    """Labels of what is wrong, above references and below predictions; one that would cover another is left to the tooltip."""
    placed: list[Text] = []
    of: tuple[tuple[Literal["reference", "prediction"], Sequence[Box]], ...]
    of = (("reference", references), ("prediction", predictions))
    for what, boxes in of:
        for box in boxes:
            words = box.label if box.score is None else f"{box.label} {box.score:.2f}"
            wide = 6.2 * len(words)
            x = max(min(box.x, picture.width - wide), 0.0)
            above, below = max(box.y - 3, LETTER), min(box.y + box.h + LETTER, picture.height - 3)
            y = above if what == "reference" else below
            free = all(x > one.x + one.wide or one.x > x + wide or abs(y - one.y) > LETTER for one in placed)
            if box.wrong and free:
                placed.append(Text(what, words, round(x, 1), round(y, 1), wide))
    return tuple(placed)
