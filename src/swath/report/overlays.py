"""What the last evaluated model gets wrong in val scenes: reference and predictions as outlines to draw over a picture, of an
image or of a cloud seen from above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np

from swath.kernels.detection import Predictions, References
from swath.kernels.detection3d import Predictions3D, References3D, type_mistakes_3d
from swath.kernels.mistakes import Mistakes, type_mistakes
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.shapes import Floats, Ints, Labels, known
from swath.records.batch import Evaluated
from swath.workspace import Workspace

LETTER: Final = 10.5  # height of a line of text, pixels of the picture
WIDE: Final = 6.2  # width of a letter

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


class Canvas(Protocol):
    """What is drawn on: its size in pixels, and where shapes of labels (n, 4) or (n, 9) lie on it, (n, k, 2) pixels: outlines,
    which begin with the front where there is one."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    def outlines(self, shapes: Floats) -> Floats: ...


@dataclass(frozen=True)
class Photo:
    """A picture `width` x `height` of `size` pixels of an image, from `origin` on."""

    width: int
    height: int
    size: tuple[int, int]
    origin: tuple[int, int] = (0, 0)

    def outlines(self, shapes: Floats) -> Floats:
        x1, y1, x2, y2 = shapes.T
        corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=-1).reshape(-1, 4, 2)
        return (corners - self.origin) * [self.width / self.size[0], self.height / self.size[1]]


@dataclass(frozen=True)
class Outline:
    """One object. `points`: as SVG wants them; `x`, `y`: its upper left corner, pixels; `front`: middle of its front and its
    centre, of a cuboid. `kind` of mistake; `score` of a prediction."""

    points: str
    x: float
    y: float
    low: float
    label: str
    kind: str
    wrong: bool
    score: float | None = None
    front: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Text:
    """What is written beside an outline, in pixels of the picture."""

    of: Literal["reference", "prediction"]
    words: str
    x: float
    y: float
    wide: float


@dataclass(frozen=True)
class Overlay:
    """`references` and `predictions` (at or above the operating threshold); `texts` beside the wrong ones; `note`: what is
    amiss."""

    references: tuple[Outline, ...] = ()
    predictions: tuple[Outline, ...] = ()
    texts: tuple[Text, ...] = ()
    note: str = ""


# ---------------------------------------------------------------------- what is there


class Seen(NamedTuple):
    """Labels as `evaluate` takes them: shapes (n, 4) pixels or (n, 9) metres, positions in the class map (n,), scores (n,)."""

    shapes: Floats
    labels: Ints
    scores: Floats


@dataclass(frozen=True, eq=False)
class Compared:
    """One channel of a scene: reference, predictions and what is wrong; `mistakes` is None where no model saw it. `stale`: the
    stored predictions are of another round."""

    truth: Seen
    found: Seen
    mistakes: Mistakes | None
    stale: bool

    @property
    def shown(self) -> Floats:
        """All shapes that are drawn."""
        kept = self.found.shapes[self.mistakes.kept] if self.mistakes else self.found.shapes[:0]
        return np.concatenate([self.truth.shapes, kept])


def compare(
    workspace: Workspace,
    channel: Channel,
    record: Evaluated,
    sizes: Mapping[str, tuple[int, int]],
) -> dict[str, Compared]:
    """Each of the val scenes in `sizes` (scene -> pixels of its image) that are in the dataset, as `channel` has it.

    Predictions of another round than that of `record` are left out: the field holds those of the last evaluation only.
    """
    table = workspace.scenes.of(sizes)
    keys = table.known(workspace.only("val", list(sizes), "report"))
    here = [key for key in keys if table.has(channel.name, key)]
    docs = workspace.scenes.values(channel.name, here, [channel.human, channel.predictions])
    return {
        key: _compared(workspace, channel, record, doc, sizes[key])
        for key, doc in zip(here, docs, strict=True)
    }


def _compared(
    workspace: Workspace, channel: Channel, record: Evaluated, doc: Mapping[str, Any], size: tuple[int, int]
) -> Compared:
    classes, settings = workspace.config.classes, workspace.config.evaluate
    predicted = doc.get(channel.predictions)
    of_round = stored.read(channel.modality, predicted, size, of_round=record.round)
    truth = _seen(stored.read(channel.modality, doc.get(channel.human), size), classes)
    found, figures = _seen(of_round, classes), record.figures.get(channel.modality)
    mistakes = None
    if figures is not None and channel.modality == "2d":
        mistakes = type_mistakes(
            Predictions(found.shapes, found.scores, found.labels),
            References(truth.shapes, truth.labels),
            figures.operating.threshold,
            found_at=settings.iou,
        )
    elif figures is not None:
        mistakes = type_mistakes_3d(
            Predictions3D(found.shapes, found.scores, found.labels),
            References3D(truth.shapes, truth.labels),
            figures.operating.threshold,
            found_at=settings.iou,
        )
    return Compared(truth, found, mistakes, len(of_round) != len(stored.detections(predicted)))


def _seen(labels: Labels, classes: Sequence[str]) -> Seen:
    rows, positions = known(labels, classes)
    scores = [float(one.get("confidence") or 0.0) for one in labels.take(rows).documents]
    return Seen(labels.shapes[rows], positions, np.array(scores))


# ---------------------------------------------------------------------- how it is drawn


def overlay(canvas: Canvas, compared: Compared, classes: Sequence[str], round: str) -> Overlay:
    """What to draw over `canvas`."""
    truth, found, mistakes = compared.truth, compared.found, compared.mistakes
    fates = mistakes.fates if mistakes else ("found",) * len(truth.labels)
    references = tuple(
        outline(points, classes[label], KINDS[fate], fate != "found", solid=truth.shapes.shape[1] == 9)
        for points, label, fate in zip(canvas.outlines(truth.shapes), truth.labels, fates, strict=True)
    )
    predictions: tuple[Outline, ...] = ()
    if mistakes is not None:
        kept = mistakes.kept
        predictions = tuple(
            outline(
                points,
                classes[found.labels[row]],
                KINDS[kind],
                kind != "right",
                float(found.scores[row]),
                solid=found.shapes.shape[1] == 9,
            )
            for points, row, kind in zip(
                canvas.outlines(found.shapes[kept]), kept, mistakes.kinds, strict=True
            )
        )
    note = f"the predictions are no longer those of {round}" if compared.stale else ""
    return Overlay(references, predictions, _texts(references, predictions, canvas), note)


def outline(
    points: Floats, label: str, kind: str, wrong: bool, score: float | None = None, *, solid: bool = False
) -> Outline:
    """One outline (k, 2) in pixels. `solid`: of a cuboid, whose last and first point are the ends of its front."""
    (x1, y1), (_, y2) = points.min(axis=0), points.max(axis=0)
    front = None
    if solid:
        middle, centre = (points[0] + points[-1]) / 2, points.mean(axis=0)
        x, y, x2, y2 = (round(float(one), 1) for one in (*centre, *middle))
        front = x, y, x2, y2
    return Outline(
        " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        round(float(x1), 1),
        round(float(y1), 1),
        round(float(y2), 1),
        label,
        kind,
        wrong,
        score,
        front,
    )


def _texts(references: Sequence[Outline], predictions: Sequence[Outline], canvas: Canvas) -> tuple[Text, ...]:
    """Labels of what is wrong, above references and below predictions; one that would cover another is left to the tooltip."""
    placed: list[Text] = []
    of: tuple[tuple[Literal["reference", "prediction"], Sequence[Outline]], ...]
    of = (("reference", references), ("prediction", predictions))
    for what, outlines in of:
        for one in outlines:
            words = f"? {one.label}" if one.score is None else f"× {one.label} {one.score:.2f}"
            wide = WIDE * len(words)
            x = max(min(one.x, canvas.width - wide), 0.0)
            above, below = max(one.y - 3, LETTER), min(one.low + LETTER, canvas.height - 3)
            y = above if what == "reference" else below
            free = all(x > at.x + at.wide or at.x > x + wide or abs(y - at.y) > LETTER for at in placed)
            if one.wrong and free:
                placed.append(Text(what, words, round(x, 1), round(y, 1), wide))
    return tuple(placed)
