"""Go on, or stop? A decision with the number of every criterion.

target     the lower bound of mAP has reached the target
plateau    the last gains are below what a round is worth, and no more is expected of the next batch
pool       nothing is left to label
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from swath import life
from swath.config import Stop
from swath.kernels.curves import next_gain, plateau
from swath.records.base import Estimate
from swath.records.batch import Batch, Criterion, Stopped


class Point(NamedTuple):
    """One round of the learning curve: scenes that its model learned from, and its mAP."""

    scenes: int
    map: Estimate


def curve(batches: Iterable[Batch]) -> list[Point]:
    """The learning curve: every round that was evaluated and not cancelled, in order."""
    return [
        Point(batch.steps.train.scenes, batch.steps.evaluate.main.map)
        for batch in life.evaluated(batches)
        if batch.steps.train is not None and batch.steps.evaluate is not None
    ]


def criteria(points: list[Point], left: int, next_batch: int, settings: Stop) -> dict[str, Criterion]:
    """Each reason to stop, from the learning curve (one point at least), the pool scenes that are `left` to label, and how many
    of them the next batch would have."""
    return {
        "target": _target(points[-1].map, settings.target),
        "plateau": _plateau(points, next_batch, settings),
        "pool": Criterion(stop=left == 0, numbers={"left": left}, why=f"{left} pool scenes are left"),
    }


def _target(now: Estimate, target: float | None) -> Criterion:
    numbers = {"target": target, "map": now.value, "low": now.low}
    if target is None:
        return Criterion(stop=None, numbers=numbers, why="no target is set")
    return Criterion(
        stop=now.low is not None and now.low >= target,
        numbers=numbers,
        why=f"lower bound of mAP {_number(now.low)}, target {target:.3f}",
    )


def _plateau(points: list[Point], next_batch: int, settings: Stop) -> Criterion:
    """Flat, and nothing more to expect. A round that brought no new labels (all its scenes were skipped) is no gain that was
    too small: of several rounds on the same scenes the last one counts."""
    grown = [one for one, after in zip(points, [*points[1:], None], strict=True) if not _same(one, after)]
    flat = plateau(
        [one.map.value or 0.0 for one in grown],
        [one.map.low for one in grown],
        [one.map.high for one in grown],
        settings.min_gain,
        settings.patience,
    )
    scenes = [one.scenes for one in points]
    expected = next_gain(scenes, [one.map.value or 0.0 for one in points], scenes[-1] + next_batch)
    worthless = expected.gain is not None and expected.gain < settings.min_gain
    return Criterion(
        stop=None if flat.flat is None else flat.flat and worthless,
        numbers={
            "gains": list(flat.gains),
            "gain_low": flat.gain_low,
            "gain_high": flat.gain_high,
            "next_gain": expected.gain,
            "min_gain": settings.min_gain,
        },
        why=f"{flat.reason}; next batch: {_number(expected.gain)} expected ({expected.reason})",
    )


def _same(one: Point, after: Point | None) -> bool:
    return after is not None and one.scenes == after.scenes


def decide(name: str, found: Mapping[str, Criterion]) -> Stopped:
    """The decision after round `name`: stop where one criterion says so."""
    stops = [criterion for criterion, one in found.items() if one.stop]
    return Stopped(
        round=name,
        decision="stop" if stops else "continue",
        why="; ".join(f"{one}: {found[one].why}" for one in stops) or "no criterion says stop",
        criteria=dict(found),
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
