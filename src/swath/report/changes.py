"""Is it getting better? Two evaluations on the same val, put side by side, and what may be said of the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swath.records.base import Estimate
from swath.records.batch import Evaluated, Gain
from swath.report.known import Known

Told = Literal["better", "worse", "not told apart"]


@dataclass(frozen=True)
class Change:
    """From one round to another. `told`: what the intervals allow to say; `overlap`: where they say nothing, that there are some.
    `largest`: the class of most objects in val, how many, and its AP50 then and now. `gain`: the paired difference, drive by drive,
    where both evaluations kept what they found: then `told` goes by it."""

    before: str
    now: str
    was: Estimate
    is_: Estimate
    told: Told
    overlap: bool
    largest: tuple[str, int, Estimate, Estimate] | None
    gain: Gain | None = None


def told(was: Estimate, now: Estimate) -> Told:
    """Better or worse where the intervals lie apart. Where they overlap, or there are none, the two are not told apart: each
    round's interval is wider than that of their difference, so this says too little rather than too much."""
    if was.low is not None and now.high is not None and now.high < was.low:
        return "worse"
    if was.high is not None and now.low is not None and now.low > was.high:
        return "better"
    return "not told apart"


def last_change(known: Known) -> Change | None:
    """From the last but one evaluation to the last; None before there are two of one modality."""
    both = [one.steps.evaluate for one in known.evaluated[-2:] if one.steps.evaluate]
    if len(both) < 2 or both[0].modality != both[1].modality:
        return None
    before, now = both
    gain = now.gain if now.gain is not None and now.gain.over == before.round else None
    paired = gain is not None and gain.verdict != "unknown"
    return Change(
        before.round,
        now.round,
        before.main.map50,
        now.main.map50,
        _paired(gain) if gain is not None and paired else told(before.main.map50, now.main.map50),
        None not in (before.main.map50.low, now.main.map50.low),
        _largest(before, now),
        gain if paired else None,
    )


def _paired(gain: Gain) -> Told:
    """By the interval of the paired difference of mAP."""
    return "better" if gain.verdict == "better" else "worse" if gain.verdict == "worse" else "not told apart"


def _largest(before: Evaluated, now: Evaluated) -> tuple[str, int, Estimate, Estimate] | None:
    both = [name for name in now.main.classes if name in before.main.classes]
    if not both:
        return None
    name = max(both, key=lambda one: (now.main.classes[one].references, one))
    of = now.main.classes[name]
    return name, of.references, before.main.classes[name].ap50, of.ap50
