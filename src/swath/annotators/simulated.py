"""People with known error rates: they look at the hidden truth, and miss, invent, confuse and mis-draw
objects.

For the demo, for tests and for benchmarks. Every decision is drawn from its own generator, seeded by what it
is about (seed, annotator, slot, scene key, batch, modality, object; of a further channel of the same modality
its name too): neither the order of the tasks nor what else is sent changes a label, and each batch errs anew.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from swath.annotators.base import Answer, Fetched, Receipt, Task, Work, answered
from swath.errors import ConfigError
from swath.kernels.boxes import clip, iou
from swath.kernels.checks import PRIORS
from swath.kernels.cuboids import wrap
from swath.labels.channels import Channel
from swath.labels.clean import Rejected, clean
from swath.labels.shapes import Boxes, Cuboids, Floats, Labels


@dataclass(frozen=True)
class Known:
    """What is true of one scene: its `key`, and the labels of each channel by name; None or absent: not known there."""

    key: str
    labels: Mapping[str, Labels | None]


Truth = Callable[[str], Known]
"""The hidden truth of a task, by its id."""

# Classes that people confuse first.
ALIKE = (("Car", "Van", "Truck"), ("Pedestrian", "Person_sitting", "Cyclist"))
GROUND = -1.73  # m: the road below KITTI's LiDAR, used where a scene has no object to stand beside
TRIES = 16

Size = tuple[int, int]


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
    """Labels scenes from `truth(task id)`, the hidden truth, with errors at `rates`.

    A channel without a truth is skipped, with the reason. Objects of classes outside the work's class map (DontCare among
    them) are not labelled. There is nothing to remember: the receipt is empty.
    """

    opinions = 3

    def __init__(
        self, truth: Truth, rates: ErrorRates | None = None, seed: int = 0, name: str = "simulated"
    ) -> None:
        self.name = name
        self._truth = truth
        self._rates = rates or ErrorRates()
        self._seed = seed

    def send(self, work: Work) -> Receipt:
        """Nothing to send: the labels are drawn when they are fetched."""
        return {}

    def fetch(self, work: Work, receipt: Receipt) -> Fetched:
        """An answer for every task and channel, in the order of the work."""
        return Fetched(tuple(answer for task in work.tasks for answer in self._answers(task, work)))

    def _answers(self, task: Task, work: Work) -> list[Answer]:
        known = self._truth(task.task)
        seeds = (self._seed, self.name, task.slot, known.key, work.batch)
        skipped = _chance(*seeds, "scene", "skip").random() < self._rates.skip
        answers = []
        for channel in task.channels:
            truth = known.labels.get(channel.name)
            where = f"{task.task}/{channel.name}"
            if truth is None:
                reason = Rejected(where, "no hidden truth to simulate labels from")
                answers.append(Answer(task.task, channel.name, "skipped", None, self.name, (reason,)))
            elif skipped:
                answers.append(Answer(task.task, channel.name, "skipped", None, self.name))
            else:
                of = (*seeds, *_told_apart(channel, work, known), channel.modality)
                size = task.sizes[channel.name] if channel.kind == "image" else (0, 0)
                good, bad = self._label(truth, work.classes, size, of, where)
                answers.append(answered(task, channel, good, bad, self.name))
        return answers

    def _label(
        self, truth: Labels, classes: Sequence[str], size: Size, of: tuple[object, ...], where: str
    ) -> tuple[Labels, tuple[Rejected, ...]]:
        """Labels as somebody would draw them, and those that turned out bad. `of`: what its draws are about."""
        flat = isinstance(truth, Boxes)
        values = truth.shapes
        seen = [row for row, name in enumerate(truth.classes) if name in classes]
        there, names_there = values[seen], [truth.classes[row] for row in seen]
        rows: list[Floats] = []
        names: list[str] = []
        for row in seen:
            rng = _chance(*of, row)
            missed, swapped = rng.random() < self._rates.miss, rng.random() < self._rates.swap
            name = truth.classes[row]
            drawn = self._draw_box(values[row], size, rng) if flat else self._draw_cuboid(values[row], rng)
            if not missed:
                rows.append(drawn)
                names.append(_confused(name, classes, rng) if swapped else name)
        for row in seen or [-1]:
            rng = _chance(*of, "extra", row)
            if rng.random() < self._rates.extra and classes:
                found = (
                    _invented_box(there, names_there, classes, size, rng)
                    if flat
                    else _invented_cuboid(there, names_there, classes, rng)
                )
                if found is not None:
                    rows.append(found[0])
                    names.append(found[1])
        if flat:
            return clean(Boxes(np.array(rows, float).reshape(-1, 4), tuple(names)), classes, *size, where)
        return clean(Cuboids(np.array(rows, float).reshape(-1, 9), tuple(names)), classes, *size, where)

    def _draw_box(self, box: Floats, size: Size, rng: np.random.Generator) -> Floats:
        sides = np.tile(box[2:] - box[:2], 2)
        drawn = box + rng.normal(size=4) * self._rates.jitter_2d * sides
        drawn = clip(drawn[None], *size)[0]
        return drawn if (drawn[2:] - drawn[:2] >= 1).all() else box

    def _draw_cuboid(self, cuboid: Floats, rng: np.random.Generator) -> Floats:
        drawn: Floats = cuboid.copy()
        drawn[:3] += rng.normal(size=3) * self._rates.centre
        drawn[3:6] *= np.exp(rng.normal(size=3) * self._rates.size)
        drawn[8] = _wrapped(drawn[8] + rng.normal() * self._rates.yaw)
        return drawn


def _chance(*about: object) -> np.random.Generator:
    """The generator of one decision: a function of what it is about."""
    digest = hashlib.blake2b("\x1f".join(map(str, about)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _told_apart(channel: Channel, work: Work, known: Known) -> tuple[str, ...]:
    """What joins the seeds of a channel: its name, but for one of each modality, the one that is shown or the first cloud."""
    clouds = [name for name, labels in known.labels.items() if isinstance(labels, Cuboids)]
    first = work.primary if work.primary in clouds else clouds[0] if clouds else None
    return () if channel.name in (work.primary, first) else (channel.name,)


def _confused(name: str, classes: Sequence[str], rng: np.random.Generator) -> str:
    """Another class of the map: one that looks alike where there is one; `name` itself in a map of one."""
    alike = next((group for group in ALIKE if name in group), ())
    others = [other for other in classes if other != name]
    near = [other for other in others if other in alike] or others
    return near[rng.integers(len(near))] if near else name


def _invented_box(
    there: Floats, names: Sequence[str], classes: Sequence[str], size: Size, rng: np.random.Generator
) -> tuple[Floats, str] | None:
    """A box of the size of a real one, somewhere else in the image; None where no free place was found."""
    across, down = size
    for _ in range(TRIES):
        if len(there):
            like = int(rng.integers(len(there)))
            name, box = names[like], there[like]
            width, height = (box[2:] - box[:2]) * np.exp(rng.normal(size=2) * 0.2)
            bottom = box[3] + rng.normal() * 0.02 * down
        else:
            name = classes[int(rng.integers(len(classes)))]
            height = down * rng.uniform(0.1, 0.3)
            width = height * rng.uniform(0.5, 1.8)
            bottom = down * rng.uniform(0.6, 0.9)
        left = rng.uniform(0, max(across - width, 1))
        box = clip([[left, bottom - height, left + width, bottom]], across, down)[0]
        if (box[2:] - box[:2] >= 2).all() and not (iou(box[None], there) > 0.2).any():
            return box, name
    return None


def _invented_cuboid(
    there: Floats, names: Sequence[str], classes: Sequence[str], rng: np.random.Generator
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
