"""Which scenes the model gets wrong, worst first, and what kinds of errors it makes.

A missed object is certain evidence; a false one is as strong as the model was sure of it. So a scene's evidence is the number
of objects it missed, plus the scores of what it saw falsely, over all channels of the scene; without the errors that people
disagree about as well (`policies.unclear`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from swath.kernels.mistakes import Mistakes
from swath.policies.unclear import CLEAR, Unclear
from swath.records.batch import Failure, FoundAs
from swath.records.migrate import WORST


@dataclass(frozen=True, eq=False)
class Seen:
    """One channel of one scene: its `mistakes`; scores and labels (n,) of all its predictions; labels (m,) of its references; which
    of the errors are `unclear`."""

    key: str
    mistakes: Mistakes
    scores: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.int64]
    unclear: Unclear = CLEAR


def rank(seen: Iterable[Seen], classes: Sequence[str]) -> tuple[Failure, ...]:
    """The scenes with errors, strongest evidence first, equals by key. Labels are positions in `classes`."""
    scenes: dict[str, _Scene] = {}
    for one in seen:
        scenes.setdefault(one.key, _Scene()).add(one, classes)
    failures = [scene.failure(key) for key, scene in scenes.items() if scene.fn or scene.fp]
    return tuple(sorted(failures, key=lambda failure: (-failure.evidence, failure.key)))


@dataclass
class _Scene:
    """What is wrong in one scene, over its channels: missed objects and false ones by class, and the scores of the latter."""

    fn: int = 0
    fp: int = 0
    unclear: int = 0
    objects: int = 0
    evidence: float = 0.0
    missed: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)

    def add(self, one: Seen, classes: Sequence[str]) -> None:
        lost = [row for row, fate in enumerate(one.mistakes.fates) if fate != "found"]
        kept = zip(one.mistakes.kept.tolist(), one.mistakes.kinds, strict=True)
        false = [row for row, kind in kept if kind != "right"]
        self.fn += len(lost)
        self.fp += len(false)
        self.objects += len(one.wanted)
        self.missed.update(classes[one.wanted[row]] for row in lost)
        self.false.update(classes[one.predicted[row]] for row in false)
        self.unclear += len(one.unclear.missed) + len(one.unclear.false)
        self.evidence += len(lost) - len(one.unclear.missed)
        self.evidence += sum(float(one.scores[row]) for row in false if row not in one.unclear.false)

    def failure(self, key: str) -> Failure:
        kinds: tuple[Literal["high_fn", "high_fp"], ...] = ()
        kinds += ("high_fn",) if self.fn else ()
        kinds += ("high_fp",) if self.fp else ()
        return Failure(
            key=key,
            kinds=kinds,
            fn=self.fn,
            fp=self.fp,
            evidence=round(self.evidence, 6),
            missed=dict(sorted(self.missed.items())),
            false=dict(sorted(self.false.items())),
            objects=self.objects,
            unclear=self.unclear,
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


def confusion(seen: Iterable[Seen], classes: Sequence[str]) -> tuple[FoundAs, ...]:
    """What objects were found as, by class; an object counts once, and so does a prediction: one that is of no object, or of one
    that a better prediction has, is of nothing."""
    counted: Counter[tuple[int, int]] = Counter()  # len(classes) is nothing
    nothing = len(classes)
    for one in seen:
        taken: dict[int, int] = {}
        kept = zip(one.mistakes.kept.tolist(), one.mistakes.kinds, one.mistakes.partner.tolist(), strict=True)
        for row, kind, partner in sorted(kept, key=lambda row: row[1] != "right"):  # who found it has it
            label = int(one.predicted[row])
            if kind in ("right", "class") and partner not in taken:
                taken[partner] = label
            else:
                counted[nothing, label] += 1
        counted.update((label, taken.get(row, nothing)) for row, label in enumerate(one.wanted.tolist()))
    names = [*classes, None]
    return tuple(
        FoundAs(of=names[of], found=names[found], count=n) for (of, found), n in sorted(counted.items())
    )
