"""Go on, or stop? A decision with the number of every criterion.

target     the lower bound of mAP has reached the target
plateau    the last rounds together gained less than their scenes cost, surely, and no more is expected of the next batch
ambiguity  what is left are questions of labelling: people disagree about most of the model's errors as well, or err as much
pool       nothing is left to label

Gains are per 100 scenes, since batches shrink from round to round, and paired: on the same scenes of val, drive by drive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from swath import life
from swath.config import Stop
from swath.kernels.curves import SURE, highest, next_gain_between, per_100
from swath.kernels.gain import Resampled, difference
from swath.records.base import Document, Estimate
from swath.records.batch import Ambiguity, Batch, Criterion, Forecast, Outcome, Stopped

MOSTLY = 0.5  # share of errors that are questions of labelling, from which on more labels do not help
ALIKE = 20  # objects, of the model's and of people's, below which nothing is said of ambiguity


class Point(NamedTuple):
    """One round of the learning curve: scenes that its model learned from, and its mAP."""

    scenes: int
    map: Estimate


def curve(batches: Iterable[Batch], modality: str | None = None) -> list[Point]:
    """The learning curve of the mined modality, or of another one: every round that was evaluated and not cancelled, in order."""
    rounds = [(one.steps.train, one.steps.evaluate) for one in life.evaluated(batches)]
    return [
        Point(trained.scenes, figures.map)
        for trained, done in rounds
        if trained is not None and done is not None
        if (figures := done.figures.get(modality or done.modality)) is not None
    ]


def criteria(
    points: list[Point], left: int, next_batch: int, settings: Stop, drawn: Resampled | None = None
) -> dict[str, Criterion]:
    """Each reason to stop that the curve knows, from the learning curve (one point at least), the pool scenes that are `left` to
    label, and how many of them the next batch would have. `drawn`: the last rounds of the curve over draws of val's drives;
    without it (rounds of 0.1.0) their own intervals must do."""
    return {
        "target": _target(points[-1].map, settings.target),
        "plateau": _plateau(points, next_batch, settings, drawn),
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


# ---------------------------------------------------------------------- plateau


class _Gain(NamedTuple):
    """From one round to a later one: the gain, its 95 % interval, and what it is surely below."""

    value: float
    low: float | None
    high: float | None
    below: float | None


def _plateau(points: list[Point], next_batch: int, settings: Stop, drawn: Resampled | None) -> Criterion:
    """Flat, and nothing more to expect. A round that brought no new labels (all its scenes were skipped) is no gain that was
    too small: of several rounds on the same scenes the last one counts."""
    grown = [row for row, one in enumerate(points) if not _same(one, points[row + 1 : row + 2])]
    scenes = [one.scenes for one in points]
    price = settings.price
    if price is None and len(grown) > 1:
        price = per_100(settings.min_gain, max(scenes[grown[1]] - scenes[grown[0]], 1))
    flat, numbers, why = _flat(points, grown, settings.patience, price, drawn)
    expected, how = forecast(points, next_batch, drawn)
    worthless = None
    if expected.gain is not None and price is not None:
        worthless = per_100(expected.gain, max(next_batch, 1)) < price
    return Criterion(
        stop=None if flat is None or worthless is None else flat and worthless,
        numbers={
            "gains": [_gain(points, a, b, drawn).value for a, b in pairwise(grown)],
            **numbers,
            "min_gain": settings.min_gain,
            "price": price,
            "next_gain": expected.gain,
            "next_low": expected.low,
            "next_high": expected.high,
        },
        why=f"{why}; next batch: {_between(expected, how)}",
    )


def _flat(
    points: list[Point], grown: Sequence[int], patience: int, price: float | None, drawn: Resampled | None
) -> tuple[bool | None, Document, str]:
    """Whether the last `patience` gains, taken together, are surely below the price; None where that cannot be said. Its numbers,
    and why."""
    last = _gain(points, grown[-2], grown[-1], drawn) if len(grown) > 1 else None
    numbers: Document = {"gain_low": last and last.low, "gain_high": last and last.high}
    numbers |= {"per_100": None, "below": None}
    if len(grown) <= patience or price is None:
        return None, numbers, f"not enough rounds: {len(grown)} of {patience + 1} needed to see a plateau"
    first, now = grown[-1 - patience], grown[-1]
    new = points[now].scenes - points[first].scenes
    if new <= 0:
        return None, numbers, f"no new scenes in the last {patience} rounds"
    gain = _gain(points, first, now, drawn)
    numbers["per_100"] = per_100(gain.value, new)
    said = f"the last {patience} rounds gained {per_100(gain.value, new):+.4f} per 100 scenes ({new} scenes)"
    if gain.below is None:
        return None, numbers, f"{said}, with an unknown interval: val needs two drives"
    below = per_100(gain.below, new)
    flat = below < price
    numbers["below"] = below
    sure = f"{SURE:.0%} surely below {below:+.4f}"
    return flat, numbers, f"{said}, {sure}; the price is {price:.4f}: {'flat' if flat else 'not flat'}"


def _gain(points: list[Point], before: int, after: int, drawn: Resampled | None) -> _Gain:
    """The gain of one round over another: paired where both were drawn again, else of their own figures and intervals."""
    skipped = len(points) - (len(drawn.values) if drawn is not None else 0)
    rows = before - skipped, after - skipped
    if drawn is not None and before >= skipped and np.isfinite(drawn.values[list(rows), 0]).all():
        gain = difference(drawn, *rows)
        apart = drawn.drawn[:, rows[1], 0] - drawn.drawn[:, rows[0], 0]
        apart = apart[~np.isnan(apart)]
        spread = float(apart.std(ddof=1)) if len(apart) > 1 else 0.0
        below = highest(gain.value or 0.0, spread, drawn.clusters) if len(apart) > 1 else None
        return _Gain(gain.value or 0.0, gain.low, gain.high, below)
    one, two = points[before].map, points[after].map
    value = (two.value or 0.0) - (one.value or 0.0)
    widths = [(end.high - end.low) / 2 for end in (one, two) if end.low is not None and end.high is not None]
    if len(widths) < 2:
        return _Gain(value, None, None, None)
    half = float(np.hypot(widths[0], widths[1]))  # as if they were independent, which they are not: too wide
    return _Gain(value, value - half, value + half, value + half * 0.842 / 1.96)


def forecast(points: list[Point], next_batch: int, drawn: Resampled | None) -> tuple[Forecast, str]:
    """What the next batch is expected to bring, with its interval where every round was drawn again; and how it was found."""
    whole = drawn is not None and len(drawn.values) == len(points) and not np.isnan(drawn.values[:, 0]).any()
    found = next_gain_between(
        [one.scenes for one in points],
        [one.map.value or 0.0 for one in points],
        points[-1].scenes + next_batch,
        drawn.drawn[:, :, 0] if drawn is not None and whole else np.zeros((0, len(points))),
        drawn.clusters if drawn is not None else 0,
    )
    return Forecast(scenes=next_batch, gain=found.gain, low=found.low, high=found.high), found.reason


def _between(one: Forecast, how: str) -> str:
    ends = "" if one.low is None or one.high is None else f" ({one.low:.3f} to {one.high:.3f})"
    return f"{_number(one.gain)}{ends} expected ({how})"


def _same(one: Point, after: Sequence[Point]) -> bool:
    return bool(after) and one.scenes == after[0].scenes


# ---------------------------------------------------------------------- forecasts that came true, or not


def outcomes(batches: Iterable[Batch]) -> tuple[Outcome, ...]:
    """Every forecast whose round is known by now, in order."""
    rounds = [one for one in life.evaluated(batches) if one.steps.train is not None]
    found = (_outcome(before, after) for before, after in pairwise(rounds))
    return tuple(one for one in found if one is not None)


def _outcome(before: Batch, after: Batch) -> Outcome | None:
    told = before.steps.stop.forecast if before.steps.stop else None
    trained, evaluated = (
        (before.steps.train, after.steps.train),
        (before.steps.evaluate, after.steps.evaluate),
    )
    if told is None or told.gain is None or not told.scenes or not all(trained) or not all(evaluated):
        return None
    one, two = (record.main.map.value for record in evaluated if record is not None)
    was, now = (record.scenes if record is not None else 0 for record in trained)
    new = now - was
    if one is None or two is None or new <= 0:
        return None
    gain = evaluated[1].gain if evaluated[1] is not None else None
    got = per_100(gain.map.value if gain is not None and gain.map.value is not None else two - one, new)
    inside = None
    if told.low is not None and told.high is not None:
        inside = per_100(told.low, told.scenes) <= got <= per_100(told.high, told.scenes)
    return Outcome(round=after.round, expected=per_100(told.gain, told.scenes), got=got, inside=inside)


def in_words(known: Sequence[Outcome]) -> str:
    """What became of the last forecast, and how many held."""
    last = known[-1]
    hit = {True: "inside its interval", False: "outside its interval", None: "it had no interval"}[
        last.inside
    ]
    said = f"{last.round} was expected to bring {last.expected:+.4f} per 100 scenes and brought {last.got:+.4f} ({hit})"
    inside = [one.inside for one in known if one.inside is not None]
    return said + (f"; {sum(inside)} of {len(inside)} forecasts held" if len(inside) > 1 else "")


# ---------------------------------------------------------------------- ambiguity


def ambiguity(last: Batch) -> Criterion:
    """Is what is left a question of labelling? Where val was labelled more than once: whether people surely disagree about more than
    half of the model's errors as well. Else: whether the model errs as little as people do, by its misses and false boxes at the
    operating point, on val, against those of the blind labels of the round's golden scenes: both against the same careful
    reference."""
    evaluated, golden = last.steps.evaluate, last.steps.golden
    if evaluated is not None and evaluated.ambiguity is not None and evaluated.ambiguity.errors >= ALIKE:
        return _unclear(evaluated.ambiguity)
    numbers: Document = {"model_misses": None, "people_miss": None, "model_false": None, "people_false": None}
    if evaluated is None or evaluated.modality != "2d" or "2d" not in evaluated.figures:
        return Criterion(stop=None, numbers=numbers, why="people and model are compared in images alone")
    axes = golden.axes if golden is not None else {}
    miss, extra = axes.get("2d miss"), axes.get("2d extra")
    trials = min((one.trials for one in (miss, extra) if one is not None), default=0)
    if miss is None or extra is None or miss.rate is None or extra.rate is None or trials < ALIKE:
        why = (
            f"{trials} golden objects that people labelled blindly are too few to say how much people differ"
        )
        return Criterion(stop=None, numbers=numbers, why=why)
    at = evaluated.main.operating
    model = 1 - at.recall, 1 - at.precision
    numbers = dict(zip(numbers, (model[0], miss.rate, model[1], extra.rate), strict=True))
    return Criterion(
        stop=model[0] <= miss.rate and model[1] <= extra.rate,
        numbers=numbers,
        why=f"the model misses {model[0]:.0%} of the objects of val, people {miss.rate:.0%} of the golden ones; of its boxes "
        f"{model[1]:.0%} are false, of people's {extra.rate:.0%}",
    )


def _unclear(found: Ambiguity) -> Criterion:
    share = found.share
    ends = "" if share.low is None or share.high is None else f" ({share.low:.0%} to {share.high:.0%})"
    return Criterion(
        stop=share.low is not None and share.low > MOSTLY,
        numbers={
            "errors": found.errors,
            "ambiguous": found.ambiguous,
            "share": share.value,
            "low": share.low,
        },
        why=f"people disagree about {share.value or 0:.0%}{ends} of the model's {found.errors} errors on val as well",
    )


# ---------------------------------------------------------------------- the decision


def decide(
    name: str,
    found: Mapping[str, Criterion],
    expected: Forecast | None = None,
    known: Sequence[Outcome] = (),
) -> Stopped:
    """The decision after round `name`: stop where one criterion says so."""
    stops = [criterion for criterion, one in found.items() if one.stop]
    return Stopped(
        round=name,
        decision="stop" if stops else "continue",
        why="; ".join(f"{one}: {found[one].why}" for one in stops) or "no criterion says stop",
        criteria=dict(found),
        forecast=expected,
        outcomes=tuple(known),
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
