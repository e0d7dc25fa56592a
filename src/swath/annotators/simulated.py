"""People with known error rates: they look at the hidden truth, and miss, invent, confuse and mis-draw
objects. How they err is `worlds.annotators`.

For the demo, for tests and for benchmarks. Every decision is drawn from its own generator, seeded by what it
is about (seed, annotator, slot, scene key, batch, modality, object; of a further channel of the same modality
its name too): neither the order of the tasks nor what else is sent changes a label, and each batch errs anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from swath.annotators.base import Answer, Fetched, Receipt, Task, Work, answered
from swath.kernels.frames import AXES
from swath.labels.calibration import camera
from swath.labels.channels import Channel
from swath.labels.clean import Rejected, clean
from swath.labels.shapes import Boxes, Cuboids, Floats, Labels
from swath.worlds.annotators import Chance, ErrorRates, Flaws, burden, honest, spoiled


@dataclass(frozen=True)
class Known:
    """What is true of one scene: its `key`, and the labels of each channel by name; None or absent: not known there."""

    key: str
    labels: Mapping[str, Labels | None]


Truth = Callable[[str], Known]
"""The hidden truth of a task, by its id."""


class Simulated:
    """Labels scenes from `truth(task id)`, the hidden truth, with errors at `rates`, and with `flaws`.

    A channel without a truth is skipped, with the reason. Objects of classes outside the work's class map (DontCare among
    them) are not labelled. There is nothing to remember: the receipt is empty.
    """

    opinions = 3

    def __init__(
        self,
        truth: Truth,
        rates: ErrorRates | None = None,
        seed: int = 0,
        name: str = "simulated",
        flaws: Flaws | None = None,
    ) -> None:
        self.name = name
        self._truth = truth
        self._rates = rates or ErrorRates()
        self._seed = seed
        self._flaws = flaws or Flaws()

    def send(self, work: Work) -> Receipt:
        """Nothing to send: the labels are drawn when they are fetched."""
        return {}

    def fetch(self, work: Work, receipt: Receipt) -> Fetched:
        """An answer for every task and channel, in the order of the work."""
        last = max(len(work.tasks) - 1, 1)
        return Fetched(
            tuple(
                answer
                for at, task in enumerate(work.tasks)
                for answer in self._answers(task, work, at / last)
            )
        )

    def _answers(self, task: Task, work: Work, position: float) -> list[Answer]:
        """`position`: of the task in the session, 0 to 1."""
        known = self._truth(task.task)
        seeds = (self._seed, self.name, task.slot, known.key, work.batch)
        skipped = _chance(*seeds, "scene", "skip").random() < self._rates.skip
        flaws = self._flaws.of_round(work.batch)
        rates, name = self._rates, self.name
        if flaws is not None:
            who = int(_chance(*seeds, "who").integers(flaws.annotators))
            rates = rates.times(burden(flaws, rates.miss, position, who, _chance(*seeds, "burden")))
            name = f"{name} {who + 1}" if flaws.annotators > 1 else name
        answers = []
        for channel in task.channels:
            truth = known.labels.get(channel.name)
            where = f"{task.task}/{channel.name}"
            if truth is None:
                reason = Rejected(where, "no hidden truth to simulate labels from")
                answers.append(Answer(task.task, channel.name, "skipped", None, name, (reason,)))
            elif skipped:
                answers.append(Answer(task.task, channel.name, "skipped", None, name))
            else:
                chance = partial(_chance, *seeds, *_told_apart(channel, work, known), channel.modality)
                good, bad = _label(truth, work, task, channel, rates, flaws, chance, where)
                answers.append(answered(task, channel, good, bad, name))
        return answers


def _label(
    truth: Labels,
    work: Work,
    task: Task,
    channel: Channel,
    rates: ErrorRates,
    flaws: Flaws | None,
    chance: Chance,
    where: str,
) -> tuple[Labels, tuple[Rejected, ...]]:
    """Labels as somebody would draw them, and those that turned out bad."""
    size = task.sizes[channel.name] if channel.kind == "image" else (0, 0)
    drawn, _ = honest(truth, work.classes, size, rates, chance)
    if flaws is not None:
        drawn = spoiled(drawn, flaws, work.classes, size, _from_cloud(task), chance)
    if isinstance(drawn, Boxes):
        return clean(drawn, work.classes, *size, where)
    return clean(drawn, work.classes, *size, where)


def _from_cloud(task: Task) -> Floats:
    """LiDAR frame to that of the first camera, (4, 4)."""
    found = (camera(task.calibration, one.camera) for one in task.channels if one.kind == "image")
    return next((one.from_cloud for one in found if one is not None), AXES)


def _chance(*about: object) -> np.random.Generator:
    """The generator of one decision: a function of what it is about."""
    digest = hashlib.blake2b("\x1f".join(map(str, about)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def _told_apart(channel: Channel, work: Work, known: Known) -> tuple[str, ...]:
    """What joins the seeds of a channel: its name, but for one of each modality, the one that is shown or the first cloud."""
    clouds = [name for name, labels in known.labels.items() if isinstance(labels, Cuboids)]
    first = work.primary if work.primary in clouds else clouds[0] if clouds else None
    return () if channel.name in (work.primary, first) else (channel.name,)
