"""What a backtest keeps and gives back."""

from __future__ import annotations

from typing import Literal

from swath.records.base import Estimate, Record

Verdict = Literal["better", "worse", "not told apart"]
Cost = Literal["boxes", "scenes", "minutes"]


class Cell(Record):
    """One arm, seed and round: the scenes that were chosen (which of them `targeted`), and how good the model is that learned from
    them and all before.

    `figures`: map, then AP50 by class, in the order of the class map; `marks`: their values, first on all held-out drives, then
    in each draw of the drives (1 + draws, figures); None where a class is not there.
    """

    arm: str
    seed: int
    round: int
    chosen: tuple[str, ...]
    targeted: tuple[str, ...] = ()
    marks: tuple[tuple[float | None, ...], ...]
    model: str
    notes: tuple[str, ...] = ()


class Point(Record):
    """One round of an arm, the mean over the seeds: what was paid so far, and what the model reached."""

    round: int
    scenes: float
    boxes: float
    minutes: float
    figures: dict[str, Estimate]


class Curve(Record):
    """The learning curve of an arm."""

    arm: str
    points: tuple[Point, ...]


class Step(Record):
    """The difference to random at one cost."""

    cost: float
    map50: Estimate


class Against(Record):
    """An arm against random at equal cost, paired by seed and drive.

    `figures`: the mean difference over the costs that both reach (the area between the curves), of mAP50, mAP, the mean of the
    rare classes and each class; `steps`: the difference of mAP50 at the costs of random's rounds; `ratio`: the cost at which the arm
    reaches what both reach, as a share of random's; `detectable`: the difference in mAP50 that would have been seen with a chance
    of 80 %.
    """

    arm: str
    cost: Cost
    figures: dict[str, Estimate]
    steps: tuple[Step, ...]
    ratio: Estimate
    detectable: float | None = None
    verdict: Verdict


class Pilot(Record):
    """Two draws of random against each other, before the run: the difference in mAP50 that so many seeds would see with a chance
    of 80 %."""

    seeds: int
    differences: tuple[float, ...]
    detectable: float | None = None


class Part(Record):
    """How large a part of the archive is, over the seeds: fewest and most."""

    scenes: tuple[int, int]
    drives: tuple[int, int]
    objects: tuple[int, int]


class BacktestResult(Record):
    """What a backtest found. `against`: one per arm and cost; `sentences`: one per arm, over boxes (cuboids, without images)."""

    dataset: str
    field: str
    modality: str
    trainer: str
    arms: tuple[str, ...]
    seeds: int
    rounds: int
    parts: dict[str, Part]
    rare: tuple[str, ...]
    costs: dict[str, float]
    curves: tuple[Curve, ...] = ()
    against: tuple[Against, ...] = ()
    pilot: Pilot | None = None
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    folder: str
    page: str | None = None

    def of(self, arm: str, cost: Cost) -> Against:
        return next(one for one in self.against if (one.arm, one.cost) == (arm, cost))
