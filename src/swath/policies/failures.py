"""Which scenes the model gets wrong, worst first, and what kinds of errors it makes.

A missed object is certain evidence; a false one is as strong as the model was sure of it. So a scene's evidence is the number
of objects it missed, plus the scores of what it saw falsely, over all channels of the scene.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from swath.kernels.mistakes import Mistakes
from swath.records.batch import Failure
from swath.records.migrate import WORST


@dataclass(frozen=True, eq=False)
class Seen:
    """One channel of one scene: its `mistakes`; scores and labels (n,) of all its predictions; labels (m,) of its references."""

    key: str
    mistakes: Mistakes
    scores: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.int64]


def rank(seen: Iterable[Seen], classes: Sequence[str]) -> tuple[Failure, ...]:
    """The scenes with errors, strongest evidence first, equals by key. Labels are positions in `classes`."""
    scenes: dict[str, _Scene] = {}
    for one in seen:
        scenes.setdefault(one.key, _Scene()).add(one, classes)
    failures = [scene.failure(key) for key, scene in scenes.items() if scene.fn or scene.scores]
    return tuple(sorted(failures, key=lambda failure: (-failure.evidence, failure.key)))


@dataclass
class _Scene:
    """What is wrong in one scene, over its channels: missed objects and false ones by class, and the scores of the latter."""

    fn: int = 0
    objects: int = 0
    scores: list[float] = field(default_factory=list)
    missed: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)

    def add(self, one: Seen, classes: Sequence[str]) -> None:
        self.fn += one.mistakes.fn
        self.objects += len(one.wanted)
        lost = (row for row, fate in enumerate(one.mistakes.fates) if fate != "found")
        self.missed.update(classes[one.wanted[row]] for row in lost)
        for row, kind in zip(one.mistakes.kept, one.mistakes.kinds, strict=True):
            if kind != "right":
                self.scores.append(float(one.scores[row]))
                self.false[classes[one.predicted[row]]] += 1

    def failure(self, key: str) -> Failure:
        kinds: tuple[Literal["high_fn", "high_fp"], ...] = ()
        kinds += ("high_fn",) if self.fn else ()
        kinds += ("high_fp",) if self.scores else ()
        return Failure(
            key=key,
            kinds=kinds,
            fn=self.fn,
            fp=len(self.scores),
            evidence=round(self.fn + sum(self.scores), 6),
            missed=dict(sorted(self.missed.items())),
            false=dict(sorted(self.false.items())),
            objects=self.objects,
        )


def ordered(failures: Sequence[Failure], by: Literal["count", "rate"]) -> tuple[Failure, ...]:
    """Worst first: by evidence, which crowded scenes have most of, or by its rate; equals by key."""
    if by == "count":
        return tuple(failures)
    return tuple(sorted(failures, key=lambda one: (-one.rate, one.key)))


def worst(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    """Those that stand in the record of an evaluation itself."""
    return tuple(failures[:WORST])


def kinds(mistakes: Iterable[Mistakes]) -> dict[str, int]:
    """Wrong predictions by kind, and the objects that nothing points at (`missed`)."""
    counted: Counter[str] = Counter()
    for one in mistakes:
        counted.update(kind for kind in one.kinds if kind != "right")
        counted["missed"] += one.fates.count("missed")
    return dict(sorted(counted.items()))
