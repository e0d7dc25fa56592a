"""People with known error rates: they look at the hidden truth, and miss, invent, confuse and mis-draw
objects.

For the demo, for tests and for benchmarks. Every decision is drawn from its own generator, seeded by what it
is about (seed, annotator, slot, scene key, round, modality, object): neither the order of the tasks nor what
else is sent changes a label, and each round errs anew.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from swath.annotators.base import (
    Answer,
    Boxes,
    Cuboids,
    Floats,
    Modality,
    Rejected,
    Task,
    Work,
    answered,
)
from swath.annotators.clean import clean
from swath.errors import ConfigError
from swath.kernels.boxes import clip, iou
from swath.kernels.checks import PRIORS
from swath.kernels.cuboids import wrap

Truth = Callable[[Task], tuple[Boxes | None, Cuboids | None]]

# Classes that people confuse first.
ALIKE = (("Car", "Van", "Truck"), ("Pedestrian", "Person_sitting", "Cyclist"))
GROUND = -1.73  # m: the road below KITTI's LiDAR, used where a scene has no object to stand beside
TRIES = 16


@dataclass(frozen=True)
class ErrorRates:
    """How often, and by how much. The defaults of miss, extra and swap are half of what is usually accepted.

    miss, swap: chance per object; extra: chance per object of one that is not there (one chance in a scene
    without objects); skip: chance per scene. Standard deviations: `jitter_2d` of each edge of a box as a
    share of its width or height, `centre` of each axis in metres, `size` of each side as a share, `yaw` in
    radians.
    """

    miss: float = 0.025
    extra: float = 0.015
    swap: float = 0.01
    skip: float = 0.0
    jitter_2d: float = 0.02
    centre: float = 0.06
    size: float = 0.03
    yaw: float = 0.03

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{field.name} of the simulated annotator: expected 0 .. 1, got {value}")


class Simulated:
    """Labels scenes from `truth(task)`, the hidden truth, with errors at `rates`.

    `truth` gives None for a modality that has no truth: the scene is then skipped in it, with the reason.
    Objects of classes outside the work's class map (DontCare among them) are not labelled.
    """

    opinions = 3
    notes: tuple[str, ...] = ()

    def __init__(
        self, truth: Truth, rates: ErrorRates | None = None, seed: int = 0, name: str = "simulated"
    ) -> None:
        self.name = name
        self._truth = truth
        self._rates = rates or ErrorRates()
        self._seed = seed

    def send(self, work: Work) -> None:
        """Nothing to send: the labels are drawn when they are fetched."""

    def fetch(self, work: Work) -> Iterator[Answer]:
        for task in work.tasks:
            boxes, cuboids = self._truth(task)
            skips = self._chance(task, work, "scene", "skip").random() < self._rates.skip
            for modality in task.modalities:
                truth = boxes if modality == "2d" else cuboids
                if truth is None:
                    reason = Rejected(f"{task.task}/{modality}", "no hidden truth to simulate labels from")
                    yield Answer(task.task, modality, "skipped", annotator=self.name, rejected=(reason,))
                elif skips:
                    yield Answer(task.task, modality, "skipped", annotator=self.name)
                else:
                    labels = self._label(task, work, truth)
                    where = f"{task.task}/{modality}"
                    good, bad = clean(labels, work.classes, task.width, task.height, where)
                    yield answered(task, modality, good, bad, self.name)

    def _chance(self, task: Task, work: Work, *about: object) -> np.random.Generator:
        parts = (self._seed, self.name, task.slot, task.key, work.round, *about)
        digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).digest()
        return np.random.default_rng(int.from_bytes(digest, "little"))

    def _label(self, task: Task, work: Work, truth: Boxes | Cuboids) -> Boxes | Cuboids:
        flat = isinstance(truth, Boxes)
        modality: Modality = "2d" if flat else "3d"
        values = np.asarray(truth.boxes if isinstance(truth, Boxes) else truth.cuboids, float)
        seen = [row for row, name in enumerate(truth.classes) if name in work.classes]
        there, classes = values[seen], [truth.classes[row] for row in seen]
        rows: list[Floats] = []
        names: list[str] = []
        for row in seen:
            rng = self._chance(task, work, modality, row)
            missed, swapped = rng.random() < self._rates.miss, rng.random() < self._rates.swap
            name = truth.classes[row]
            drawn = self._draw_box(values[row], task, rng) if flat else self._draw_cuboid(values[row], rng)
            if not missed:
                rows.append(drawn)
                names.append(_confused(name, work.classes, rng) if swapped else name)
        for row in seen or [-1]:
            rng = self._chance(task, work, modality, "extra", row)
            if rng.random() < self._rates.extra and work.classes:
                invent = _invented_box if flat else _invented_cuboid
                found = invent(there, classes, work.classes, task, rng)
                if found is not None:
                    rows.append(found[0])
                    names.append(found[1])
        drawn = np.array(rows, float).reshape(len(rows), values.shape[1] if values.ndim == 2 else 0)
        return (
            Boxes(drawn.reshape(-1, 4), tuple(names)) if flat else Cuboids(drawn.reshape(-1, 9), tuple(names))
        )

    def _draw_box(self, box: Floats, task: Task, rng: np.random.Generator) -> Floats:
        size = np.tile(box[2:] - box[:2], 2)
        drawn = box + rng.normal(size=4) * self._rates.jitter_2d * size
        drawn = clip(drawn[None], task.width, task.height)[0]
        return drawn if (drawn[2:] - drawn[:2] >= 1).all() else box

    def _draw_cuboid(self, cuboid: Floats, rng: np.random.Generator) -> Floats:
        drawn: Floats = cuboid.copy()
        drawn[:3] += rng.normal(size=3) * self._rates.centre
        drawn[3:6] *= np.exp(rng.normal(size=3) * self._rates.size)
        drawn[8] = _wrapped(drawn[8] + rng.normal() * self._rates.yaw)
        return drawn


def _confused(name: str, classes: Sequence[str], rng: np.random.Generator) -> str:
    """Another class of the map: one that looks alike where there is one; `name` itself in a map of one."""
    alike = next((group for group in ALIKE if name in group), ())
    others = [other for other in classes if other != name]
    near = [other for other in others if other in alike] or others
    return near[rng.integers(len(near))] if near else name


def _invented_box(
    there: Floats, names: Sequence[str], classes: Sequence[str], task: Task, rng: np.random.Generator
) -> tuple[Floats, str] | None:
    """A box of the size of a real one, somewhere else in the image; None where no free place was found."""
    for _ in range(TRIES):
        if len(there):
            like = int(rng.integers(len(there)))
            name, box = names[like], there[like]
            width, height = (box[2:] - box[:2]) * np.exp(rng.normal(size=2) * 0.2)
            bottom = box[3] + rng.normal() * 0.02 * task.height
        else:
            name = classes[int(rng.integers(len(classes)))]
            height = task.height * rng.uniform(0.1, 0.3)
            width = height * rng.uniform(0.5, 1.8)
            bottom = task.height * rng.uniform(0.6, 0.9)
        left = rng.uniform(0, max(task.width - width, 1))
        box = clip([[left, bottom - height, left + width, bottom]], task.width, task.height)[0]
        if (box[2:] - box[:2] >= 2).all() and not (iou(box[None], there) > 0.2).any():
            return box, name
    return None


def _invented_cuboid(
    there: Floats, names: Sequence[str], classes: Sequence[str], task: Task, rng: np.random.Generator
) -> tuple[Floats, str] | None:
    """A cuboid of a class's usual size on the ground ahead, clear of real ones; None where none was found."""
    ground = float(np.median(there[:, 2] - there[:, 5] / 2)) if len(there) else GROUND
    for _ in range(TRIES):
        pick = [*names, *classes]
        name = pick[int(rng.integers(len(pick)))]
        size = np.array(PRIORS[name].mean if name in PRIORS else PRIORS["Car"].mean)
        size = size * np.exp(rng.normal(size=3) * 0.1)
        x = rng.uniform(6, 45)
        y = rng.uniform(-0.5, 0.5) * x
        yaw = rng.uniform(-math.pi, math.pi)
        apart = np.hypot(there[:, 0] - x, there[:, 1] - y) > (there[:, 3] + size[0]) / 2 + 1
        if apart.all():
            return np.array([x, y, ground + size[2] / 2, *size, 0.0, 0.0, yaw]), name
    return None


def _wrapped(angle: float) -> float:
    if -math.pi <= angle < math.pi:
        return angle  # not a bit changed
    return float(wrap(angle))
