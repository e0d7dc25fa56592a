"""What goes to annotators, what comes back, and the protocol that all of them keep.

A step hands an annotator a `Work`: scenes to label, golden and pool mixed, in an order that tells nothing.
The annotator gives back one `Answer` per task and modality. Four states are never confused:

    unreviewed       nobody has looked (or all that came back was bad: somebody has to look again)
    reviewed_empty   somebody looked, and there is nothing to label
    labeled          somebody looked, and here are the labels
    skipped          somebody looked and would not label it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from swath.formats.kitti import Calibration

Floats = npt.NDArray[np.float64]
Modality = Literal["2d", "3d"]
State = Literal["unreviewed", "reviewed_empty", "labeled", "skipped"]

MODALITIES: tuple[Modality, ...] = ("2d", "3d")
STATES: tuple[State, ...] = ("unreviewed", "reviewed_empty", "labeled", "skipped")


@dataclass(frozen=True, eq=False)
class Boxes:
    """2D labels of one image: `boxes` (n, 4) float64 x1, y1, x2, y2 in pixels, 0-based; `classes` n names."""

    boxes: Floats
    classes: tuple[str, ...]

    @classmethod
    def empty(cls) -> Boxes:
        return cls(np.zeros((0, 4)), ())

    def __len__(self) -> int:
        return len(self.boxes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Boxes) and _same(self.boxes, other.boxes) and self.classes == other.classes

    def take(self, rows: npt.ArrayLike) -> Boxes:
        """The labels at `rows` (integer positions, (m,)), in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        return Boxes(np.asarray(self.boxes, float)[rows], tuple(self.classes[row] for row in rows))


@dataclass(frozen=True, eq=False)
class Cuboids:
    """3D labels of one cloud: `cuboids` (n, 9) float64 x, y, z, l, w, h, rx, ry, rz; `classes` n names.

    Centre and sizes in metres, LiDAR frame (x forward, y left, z up); Euler angles in radians, R = Rx Ry Rz.
    """

    cuboids: Floats
    classes: tuple[str, ...]

    @classmethod
    def empty(cls) -> Cuboids:
        return cls(np.zeros((0, 9)), ())

    def __len__(self) -> int:
        return len(self.cuboids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cuboids):
            return False
        return _same(self.cuboids, other.cuboids) and self.classes == other.classes

    def take(self, rows: npt.ArrayLike) -> Cuboids:
        """The labels at `rows` (integer positions, (m,)), in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        return Cuboids(np.asarray(self.cuboids, float)[rows], tuple(self.classes[row] for row in rows))


def _same(one: Floats, two: Floats) -> bool:
    return bool(np.array_equal(one, two, equal_nan=True))


@dataclass(frozen=True)
class Task:
    """One scene to label, as an annotator sees it. Nothing in it says what the labels are for.

    `task` is an opaque id, unique in its `Work`; `key` the scene's key; `media` slice -> path; `width`,
    `height` of the left image in pixels; `slot` counts the independent labellings of one scene (0 is the
    first).
    """

    task: str
    key: str
    media: Mapping[str, str]
    width: int
    height: int
    calibration: Calibration | None = None
    modalities: tuple[Modality, ...] = MODALITIES
    slot: int = 0


@dataclass(frozen=True)
class Work:
    """What is sent at once: `batch` ("v0", "reference"), the `round` it belongs to, the frozen `classes`."""

    batch: str
    round: str
    classes: tuple[str, ...]
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Rejected:
    """A label that was put in quarantine: `where` it is (file:line, or task/object), and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Answer:
    """What came back for one task and modality. `boxes` (2d) or `cuboids` (3d) is set where `state` is
    labeled or reviewed_empty, None elsewhere; `rejected` are the bad labels that were left out of it."""

    task: str
    modality: Modality
    state: State
    boxes: Boxes | None = None
    cuboids: Cuboids | None = None
    annotator: str = ""
    rejected: tuple[Rejected, ...] = ()


@runtime_checkable
class Annotator(Protocol):
    """People, a tool or a program that labels scenes.

    `name` is recorded with each label; `opinions` is how many independent labellings of one scene it can give
    (slots 0 .. opinions - 1). `notes` is what a user should know about the last `fetch` that no answer can
    say.
    """

    name: str
    opinions: int

    @property
    def notes(self) -> tuple[str, ...]: ...

    def send(self, work: Work) -> None:
        """Hand the work over. Sending the same work again changes nothing."""

    def fetch(self, work: Work) -> Iterable[Answer]:
        """One answer per task and modality of `work`, in its order. Fetching again gives equal answers."""


def answered(
    task: Task, modality: Modality, labels: Boxes | Cuboids, rejected: Iterable[Rejected], annotator: str
) -> Answer:
    """The answer for a scene that was looked at: `labels` are the good ones, `rejected` the bad ones.

    Labels -> labeled; none at all -> reviewed_empty; only bad ones -> unreviewed, since a scene whose labels
    were all refused is not an empty scene.
    """
    rejected = tuple(rejected)
    if not len(labels) and rejected:
        return Answer(task.task, modality, "unreviewed", annotator=annotator, rejected=rejected)
    kind: dict[str, Any] = {"boxes" if isinstance(labels, Boxes) else "cuboids": labels}
    state: State = "labeled" if len(labels) else "reviewed_empty"
    return Answer(task.task, modality, state, annotator=annotator, rejected=rejected, **kind)
