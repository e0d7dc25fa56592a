"""How many golden scenes a round must have labelled again, to see a deviation of a stated size with 80 % power.

Objects per scene, and how much labels differ from scene to scene, are those of the last check, else those of people with usual
jitter. The thresholds are the strictest that the correction over all axes can ask for, so that the numbers err towards more scenes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from swath.config import Golden
from swath.kernels import clustered, drift
from swath.policies.golden_axes import MEASURED, WORDS, in_words
from swath.policies.golden_verdict import asked
from swath.records.batch import ReferenceQuality
from swath.records.measured import Measured
from swath.records.results import GoldenPlan, Planned

POWER: Final = 0.8
MOST: Final = 2000  # scenes; more are not counted up to
OBJECTS: Final = 5.0  # of a scene, before any is seen
SPREAD: Final = {"iou": 0.06, "ratio": 0.06, "share": 0.04, "m": 0.12, "degrees": 3.0}
"""Standard deviation of one label against the same object's earlier ones, before any is seen."""
EFFECTS: Final = {
    ("2d", "iou"): (0.05, "boxes that fit worse: IoU 0.05 lower"),
    ("2d", "area"): (math.log(1.05**2), "5 % looser boxes"),
    ("2d", "left"): (0.025, "an edge that is 2.5 % of the side further out"),
    ("3d", "along"): (0.1, "centres 0.1 m off in one direction"),
    ("3d", "length"): (math.log(1.1), "sizes 10 % too large"),
    ("3d", "yaw"): (5.0, "headings turned by 5 degrees"),
    ("3d", "turn"): (5.0, "headings 5 degrees less exact"),
}
RISE: Final = 0.1  # of an error rate


def plan(
    dataset: str,
    there: int,
    modalities: Sequence[str],
    rounds: Sequence[Measured],
    settings: Golden,
    reference: ReferenceQuality,
) -> GoldenPlan:
    """there: golden scenes of the dataset; rounds: what was measured so far, oldest first, none at the beginning."""
    last = rounds[-1] if rounds else None
    empty = Measured(scenes=(), errors={}, trials={})
    given = asked(last or empty, rounds[:-1], {}, modalities, settings, reference)
    now = min(settings.per_round or there, there)
    rows = [
        *_counts(given.counts, given.icc, now, settings),
        *_means(given.values, modalities, given.icc, now, last, settings),
    ]
    return GoldenPlan(
        dataset=dataset,
        scenes=there,
        per_round=now,
        rounds=len(rounds),
        objects={modality: _objects(given.counts, modality) for modality in modalities},
        power=POWER,
        icc=given.icc,
        reference=reference.made,
        planned=tuple(rows),
    )


def _objects(counts: dict[str, drift.Counts], modality: str) -> float:
    """Reference objects per scene."""
    trials = counts[f"{modality} miss"].trials
    return round(float(trials.mean()), 2) if len(trials) and trials.sum() else OBJECTS


def _counts(counts: dict[str, drift.Counts], icc: float, now: int, settings: Golden) -> list[Planned]:
    alpha = settings.warn_alpha * drift.WARN["counts"] / len(counts)
    out = []
    for name, one in counts.items():
        modality, _, kind = name.partition(" ")
        like = np.maximum(one.trials[one.trials > 0], 1)
        like = like if len(like) else np.array([round(_objects(counts, modality))])
        accepted = float(getattr(settings, kind))
        rate = min(accepted + RISE, 0.95)
        out.append(
            Planned(
                axis=name,
                what=f"{rate:.0%} {WORDS[kind]}, where {accepted:.0%} are accepted",
                needs=_fewest(_power(like, one.accepted, icc, rate, alpha)),
                sees=_percent(clustered.detectable_rate(_cycled(like, now), one.accepted, icc, alpha=alpha)),
            )
        )
    return out


def _power(
    like: drift.Ints, accepted: float, icc: float, rate: float, alpha: float
) -> Callable[[int], float]:
    return lambda scenes: clustered.power(_cycled(like, scenes), accepted, icc, rate, alpha=alpha)


def _percent(rate: float | None) -> str | None:
    return None if rate is None else f"{rate:.1%}"


def _cycled(like: drift.Ints, scenes: int) -> drift.Ints:
    """(scenes,) trials, as many scenes of each number as there are among `like`."""
    every = np.sort(like)
    return every[(np.arange(scenes) * len(every) // max(scenes, 1)) % len(every)]


def _fewest(power: Callable[[int], float]) -> int | None:
    """The fewest scenes at which a power that grows with them is reached; None where that is beyond `MOST`."""
    low, high = 1, MOST
    if power(high) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle + 1, high)
    return low


def _means(
    values: dict[str, drift.Values],
    modalities: Sequence[str],
    icc: float,
    now: int,
    last: Measured | None,
    settings: Golden,
) -> list[Planned]:
    alpha = settings.warn_alpha * drift.WARN["change"] / max(len(values), 1)
    out = []
    for (modality, name), (effect, what) in EFFECTS.items():
        if modality not in modalities:
            continue
        measure = next(one for one in MEASURED[modality] if one.name == name)
        spread = _spread(values[f"{modality} {name}"], measure.unit, icc)
        margin = measure.margin(settings)
        sees = _seen(spread, margin, now, alpha)
        out.append(
            Planned(
                axis=f"{modality} {name}",
                what=f"{what}, against earlier rounds",
                needs=next((n for n in range(2, MOST) if _at_most(spread, margin, n, alpha, effect)), None),
                sees=None if sees is None else in_words(sees, measure.unit, short=True),
            )
        )
    return out


def _spread(one: drift.Values, unit: str, icc: float) -> float:
    """Standard error of the change, times the root of the number of scenes."""
    for values in (
        one.values - one.earlier,
        (one.values - np.nanmean(one.values)) if len(one.values) else one.values,
    ):
        found = clustered.mean(values, one.scenes)
        if found.error:
            again = 1.0 if np.isfinite(one.earlier).any() else 2**0.5
            return again * found.error * math.sqrt(found.freedom + 1)
    return SPREAD[unit] * math.sqrt(2 * (1 / OBJECTS + icc * (1 - 1 / OBJECTS)))


def _seen(spread: float, margin: float, scenes: int, alpha: float) -> float | None:
    if scenes < 2:
        return None
    one = clustered.Mean(0.0, spread / math.sqrt(scenes), scenes - 1, scenes)
    return clustered.detectable_mean(one, margin, alpha=alpha, power=POWER)


def _at_most(spread: float, margin: float, scenes: int, alpha: float, effect: float) -> bool:
    sees = _seen(spread, margin, scenes, alpha)
    return sees is not None and sees <= effect
