"""What follows from a golden check: one verdict over all axes, with reasons that a lead understands, and what it could have seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from swath import life
from swath.config import Golden
from swath.kernels import clustered, drift
from swath.policies.golden import Tally, history
from swath.policies.golden_axes import COUNTED, CUT, MEASURED, WORDS, Measure, in_words, measure_of
from swath.policies.golden_reference import cost, expected, quality
from swath.records.batch import Axis, Batch, BlindCounts, Deviation, GoldenChecked, ReferenceQuality, Suspect
from swath.records.measured import Measured, Objects
from swath.words import ordinal

WINDOW: Final = 3  # rounds that are looked at together, this one included
PAIRED: Final = 8  # earlier rounds that objects are compared with, and the ICC is estimated from
TIMES: Final = 3.0  # a pass must have been able to see this many times what is accepted
ACCUSED: Final = 0.01  # chance that anybody is named wrongly
UNSTEADY: Final = 2**0.5  # by how much two labellings differ more from each other than from the truth
OUTSTANDING, SOME = 2.0, 3  # a class stands out by so many times the others', with so many errors
FEW: Final = 4  # gaps that a reason names

Floats = npt.NDArray[np.float64]


# ---------------------------------------------------------------------- what is tested


class Asked(NamedTuple):
    """The input of a judgement: what is counted, what is measured, and how much errors clump."""

    counts: dict[str, drift.Counts]
    values: dict[str, drift.Values]
    icc: float


def asked(
    now: Measured,
    earlier: Sequence[Measured],
    before: Mapping[str, tuple[int, int]],
    modalities: Sequence[str],
    settings: Golden,
    reference: ReferenceQuality,
) -> Asked:
    """All axes of a round, beside `earlier` rounds (oldest first) and the totals of all of them, `before`."""
    earlier = earlier[-PAIRED:]
    counts: dict[str, drift.Counts] = {}
    values: dict[str, drift.Values] = {}
    for modality in modalities:
        for kind in COUNTED[modality]:
            name = f"{modality} {kind}"
            rate = expected(settings, reference, kind)
            counts[name] = drift.Counts(
                *_by_scene(now, name), rate, _window([*earlier, now], name), before.get(name, (0, 0))
            )
        values |= _values(now, earlier, modality, settings, reference)
    return Asked(counts, values, _icc(earlier, settings))


def _by_scene(one: Measured, axis: str) -> tuple[drift.Ints, drift.Ints]:
    errors, trials = one.errors.get(axis, ()), one.trials.get(axis, ())
    return np.array(errors, dtype=np.int64), np.array(trials, dtype=np.int64)


def _window(rounds: Sequence[Measured], axis: str) -> tuple[drift.Ints, drift.Ints]:
    """(errors, trials) of the last rounds, scene by scene: a hard scene is hard in each of them."""
    if len(rounds) < 2:
        return drift.NONE, drift.NONE
    totals: dict[str, list[int]] = {}
    for one in rounds[-WINDOW:]:
        for key, e, n in zip(one.scenes, one.errors.get(axis, ()), one.trials.get(axis, ()), strict=False):
            of = totals.setdefault(key, [0, 0])
            of[0] += e
            of[1] += n
    table = np.array(list(totals.values()), dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _values(
    now: Measured, earlier: Sequence[Measured], modality: str, settings: Golden, reference: ReferenceQuality
) -> dict[str, drift.Values]:
    """The measured axes of a modality; IoU as what it lacks to 1, so that more is worse."""
    objects = now.objects.get(modality, Objects())
    table = _table(objects, modality)
    before = _before(objects, earlier, modality)
    scenes = np.array(objects.scenes, dtype=np.int64)
    out = {}
    for column, one in enumerate(MEASURED[modality]):
        value, was = table[:, column], before[:, column]
        if one.unit == "iou":
            value, was = 1 - value, 1 - was
        looser = UNSTEADY if reference.made == "single" and not one.signed else 1.0
        out[f"{modality} {one.name}"] = drift.Values(
            value,
            scenes,
            was,
            one.tolerance(settings) * looser,
            one.margin(settings),
            one.signed,
            CUT[one.unit],
        )
    return out


def _table(objects: Objects, modality: str) -> Floats:
    """(K, M) values, NaN where there is none."""
    empty = (None,) * len(MEASURED[modality])
    rows = [one or empty for one in objects.values]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(empty))


def _before(objects: Objects, earlier: Sequence[Measured], modality: str) -> Floats:
    """(K, M) means of the same objects' earlier rounds, NaN where there is none."""
    place = {key: at for at, key in enumerate(objects.keys)}
    total = np.zeros((len(place), len(MEASURED[modality])))
    times = np.zeros_like(total)
    for one in earlier:
        old = one.objects.get(modality, Objects())
        pairs = [(place[key], at) for at, key in enumerate(old.keys) if key in place]
        if not pairs:
            continue
        rows, at = np.array(pairs, dtype=np.int64).T
        values = _table(old, modality)[at]
        there = np.isfinite(values)
        total[rows] += np.where(there, values, 0.0)
        times[rows] += there
    return np.divide(total, times, out=np.full_like(total, np.nan), where=times > 0)


def _icc(earlier: Sequence[Measured], settings: Golden) -> float:
    """As earlier rounds have it; a scene that came in several of them says as much as one that came once."""
    if not earlier or not settings.icc:
        return settings.icc
    times = Counter(key for one in earlier for key in one.scenes)
    share = len(times) / max(sum(times.values()), 1)
    found = [(one.errors[axis], one.trials[axis]) for one in earlier for axis in one.errors]
    return round(clustered.estimated_icc(found, settings.icc, share=share), 2)


# ---------------------------------------------------------------------- the verdict


def decide(
    now: Batch,
    batches: Sequence[Batch],
    modalities: Sequence[str],
    found: Tally,
    blind: BlindCounts,
    settings: Golden,
    override: str | None = None,
    *,
    earlier: Sequence[Measured] = (),
    reference: ReferenceQuality | None = None,
) -> GoldenChecked:
    """The golden check of round `now`. earlier: what the rounds before it measured, oldest first, those alone that are a baseline."""
    of = reference or quality("majority", settings)
    given = asked(found.measured, earlier, history(batches, now), modalities, settings, of)
    judged = drift.judge(
        given.counts,
        given.values,
        given.icc,
        block_alpha=settings.block_alpha,
        warn_alpha=settings.warn_alpha,
    )
    axes = _axes(given, judged, settings)
    measures = _measures(given, judged, settings)
    gaps = _gaps(axes, measures, settings)
    suspects = suspected([*earlier, found.measured], given)
    said = [
        _reason(one, family, axis, axes, measures, found.measured, settings)
        for one, found_ in ((True, judged.blocking), (False, judged.warning))
        for family, axis in _once(found_)
        if one or axis not in {name for _, name in judged.blocking}
    ]
    verdict = "block" if judged.blocking else "warn" if said else "not enough evidence" if gaps else "pass"
    if verdict in ("warn", "block"):
        gaps = []  # each axis says what it could have seen
    if verdict == "pass":
        said.append(
            f"no axis is above what is accepted ({len(judged.tests['counts'])} counted, {len(measures)} measured)"
        )
    return GoldenChecked(
        round=now.round,
        verdict=verdict,
        reasons=(*said, *gaps, *_named(suspects), cost(of), *_seen_before(now, batches, found.scenes)),
        axes=axes,
        scenes=found.scenes,
        means=dict(found.means),
        measures=measures,
        examples=found.examples,
        override=override,
        blind=blind,
        icc=given.icc,
        icc_rounds=len(earlier[-PAIRED:]),
        reference=of,
        suspects=suspects,
        confusion=found.confusion,
    )


def _once(found: Iterable[tuple[drift.Family, str]]) -> list[tuple[drift.Family, str]]:
    """The first finding of each axis."""
    first: dict[str, drift.Family] = {}
    for family, axis in found:
        first.setdefault(axis, family)
    return [(family, axis) for axis, family in first.items()]


def _axes(given: Asked, judged: drift.Judged, settings: Golden) -> dict[str, Axis]:
    tested = max(len(judged.tests["counts"]), 1)
    alpha = settings.warn_alpha * drift.WARN["counts"] / tested
    longer = settings.warn_alpha * drift.WARN["window"] / max(len(judged.tests["window"]), 1)
    out = {}
    for name, one in given.counts.items():
        rate = clustered.rate(one.errors, one.trials, given.icc)
        level, window, rise = (judged.tests[family].get(name) for family in ("counts", "window", "rise"))
        out[name] = Axis(
            errors=rate.errors,
            trials=rate.trials,
            accepted=float(getattr(settings, name.split(" ", 1)[1])),
            rate=rate.value,
            low=rate.low,
            high=rate.high,
            p_value=level.p if level else 1.0,
            detectable=clustered.detectable_rate(one.trials, one.accepted, given.icc, alpha=alpha),
            expected=one.accepted,
            adjusted=level.adjusted if level else None,
            window_errors=int(one.window[0].sum()) if window else None,
            window_trials=int(one.window[1].sum()) if window else None,
            window_p=window.p if window else None,
            window_detectable=clustered.detectable_rate(one.window[1], one.accepted, given.icc, alpha=longer)
            if window
            else None,
            rise_p=rise.p if rise else None,
        )
    return out


def _measures(given: Asked, judged: drift.Judged, settings: Golden) -> dict[str, Deviation]:
    out = {}
    for name, one in given.values.items():
        mean, move = judged.means[name], judged.moves[name]
        if mean.value is None:
            continue
        level, change = judged.tests["level"].get(name), judged.tests["change"].get(name)
        measure = measure_of(name)
        alpha = settings.warn_alpha * drift.WARN["level"] / max(len(judged.tests["level"]), 1)
        moved = settings.warn_alpha * drift.WARN["change"] / max(len(judged.tests["change"]), 1)
        sees = clustered.detectable_mean(mean, one.tolerance, alpha=alpha)
        low, high = clustered.interval(mean)
        move_low, move_high = clustered.interval(move)
        falls = measure.unit == "iou"
        if falls and sees is not None and sees > 1:
            sees = None  # an IoU is never below 0
        out[name] = Deviation(
            unit=measure.unit,
            objects=mean.objects,
            mean=1 - mean.value if falls else mean.value,
            low=_turned(high, 1) if falls else low,
            high=_turned(low, 1) if falls else high,
            tolerance=1 - one.tolerance if falls else one.tolerance,
            p_value=level.p if level else 1.0,
            adjusted=level.adjusted if level else None,
            detectable=_turned(sees, 1) if falls else sees,
            paired=move.objects,
            change=_turned(move.value, 0) if falls else move.value,
            change_low=_turned(move_high, 0) if falls else move_low,
            change_high=_turned(move_low, 0) if falls else move_high,
            margin=one.margin,
            change_p=change.p if change else None,
            change_adjusted=change.adjusted if change else None,
            change_detectable=clustered.detectable_mean(move, one.margin, alpha=moved),
        )
    return out


def _turned(value: float | None, whole: float) -> float | None:
    return None if value is None else whole - value


# ---------------------------------------------------------------------- what could not be seen


def _gaps(axes: Mapping[str, Axis], measures: Mapping[str, Deviation], settings: Golden) -> list[str]:
    """Why it is no pass, though nothing was found: too few objects, or deviations that it could not have seen."""
    said = []
    if not any(axis.trials for axis in axes.values()):
        said.append("nothing was compared: no axis has a test")
    thin = [
        name for name, axis in axes.items() if axis.trials < settings.min_objects and _applies(name, axes)
    ]
    if thin:
        counted = ", ".join(f"{name} {axes[name].trials}" for name in thin)
        said.append(f"too few objects for a verdict, it needs {settings.min_objects} of each: {counted}")
    blunt = [_blunt(name, axis) for name, axis in axes.items() if name not in thin and axis.trials]
    dull = [_dull(name, one) for name, one in measures.items()]
    listed = [one for one in (*blunt, *dull) if one]
    if listed:
        more = f", and {len(listed) - FEW} axes more" if len(listed) > FEW else ""
        said.append(
            f"it could not have seen {TIMES:g} times what is accepted: {'; '.join(listed[:FEW])}{more}"
        )
    return said


def _applies(name: str, axes: Mapping[str, Axis]) -> bool:
    """Length and width can be exchanged in long objects alone; without any that axis says nothing."""
    modality, _, kind = name.partition(" ")
    return kind != "exchange" or axes[name].trials > 0 or axes[f"{modality} swap"].trials == 0


def _blunt(name: str, axis: Axis) -> str | None:
    sees = min((one for one in (axis.detectable, axis.window_detectable) if one is not None), default=None)
    if sees is not None and sees <= TIMES * axis.accepted:
        return None
    from_ = "never" if sees is None else f"from {sees:.1%}"
    return f"{name} is seen {from_} (accepted {axis.accepted:.1%})"


def _dull(name: str, one: Deviation) -> str | None:
    whole = 1.0 if one.unit == "iou" else 0.0
    if one.detectable is not None and abs(whole - one.detectable) <= TIMES * abs(whole - one.tolerance):
        return None
    sees = "never" if one.detectable is None else f"from {in_words(one.detectable, one.unit)}"
    return f"{name} is seen {sees} (tolerance {in_words(one.tolerance, one.unit)})"


# ---------------------------------------------------------------------- in words


def _reason(
    blocks: bool,
    family: drift.Family,
    axis: str,
    axes: Mapping[str, Axis],
    measures: Mapping[str, Deviation],
    now: Measured,
    settings: Golden,
) -> str:
    shares, alpha = (drift.BLOCK, settings.block_alpha) if blocks else (drift.WARN, settings.warn_alpha)
    limit = f"limit {shares[family] * alpha:.2g}"
    if axis in axes:
        return f"{axis}: {_counted(family, axis, axes[axis], limit)}{_class_of_errors(axis, now)}"
    return (
        f"{axis}: {_measured(family, measure_of(axis), measures[axis], limit)}{_class_of_values(axis, now)}"
    )


def _counted(family: drift.Family, axis: str, one: Axis, limit: str) -> str:
    what = WORDS[axis.split(" ", 1)[1]]
    accepted = f"accepted {one.accepted:.1%}"
    if one.expected is not None and one.expected > one.accepted + 0.0005:
        accepted += f", {one.expected:.1%} with what the reference adds"
    if family == "window":
        share = f"{one.window_errors} of {one.window_trials} ({(one.window_errors or 0) / (one.window_trials or 1):.1%})"
        return f"{share} {what} over the last {WINDOW} rounds, {accepted} (p = {one.window_p:.2g}, {limit})"
    share = f"{one.errors} of {one.trials} ({one.errors / one.trials:.1%})"
    if family == "rise":
        return f"{share} {what}, more than in earlier rounds, though still within what is accepted (p = {one.rise_p:.2g}, {limit})"
    interval = f"95 % interval {one.low:.1%} to {one.high:.1%}"
    return f"{share} {what} ({interval}), {accepted} (p = {one.adjusted:.2g} over all axes, {limit})"


def _measured(family: drift.Family, measure: Measure, one: Deviation, limit: str) -> str:
    unit = one.unit
    if family == "change":
        moved = one.change or 0.0
        words = measure.more if moved > 0 else measure.less
        ends = _ends(one.change_low, one.change_high, unit)
        return (
            f"{words} than in earlier rounds, by {in_words(abs(moved), unit)} ({ends}) on the same {one.paired} objects; "
            f"margin {in_words(one.margin, unit)} (p = {one.change_adjusted:.2g} over all axes, {limit})"
        )
    off = one.mean if unit != "iou" else one.mean - 1
    words = measure.more if off > 0 else measure.less
    ends = _ends(one.low, one.high, unit)
    return (
        f"{words} than the reference, {in_words(one.mean, unit, sign=measure.signed)} ({ends}) over {one.objects} objects; "
        f"tolerance {in_words(one.tolerance, unit)} (p = {one.adjusted:.2g} over all axes, {limit})"
    )


def _ends(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return "no interval"
    return f"95 % interval {in_words(low, unit, sign=True)} to {in_words(high, unit, sign=True)}"  # type: ignore[arg-type]


def _class_of_errors(axis: str, now: Measured) -> str:
    """The class that most errors are of, where it errs far more than the others."""
    modality, _, kind = axis.partition(" ")
    if kind == "extra":
        said = Counter(now.extra.get(modality, ()))
        name, times = max(said.items(), key=lambda one: (one[1], one[0]), default=("", 0))
        return (
            f"; mostly {name} ({times})"
            if times >= SOME and 2 * times > sum(said.values()) and len(said) > 1
            else ""
        )
    objects = now.objects.get(modality, Objects())
    every = Counter(objects.classes)
    wrong = Counter(name for name, of in zip(objects.classes, objects.wrong, strict=True) if kind in of)
    for name, times in sorted(wrong.items(), key=lambda one: (-one[1], one[0]))[:1]:
        rest, others = sum(wrong.values()) - times, len(objects.classes) - every[name]
        if times >= SOME and others and times / every[name] >= OUTSTANDING * rest / others:
            return f"; mostly {name} ({times} of {every[name]}, others {rest} of {others})"
    return ""


def _class_of_values(axis: str, now: Measured) -> str:
    """The class whose labels differ most, where it stands out from the others."""
    modality, _, name = axis.partition(" ")
    objects = now.objects.get(modality, Objects())
    column = [one.name for one in MEASURED[modality]].index(name)
    measure = MEASURED[modality][column]
    values = _table(objects, modality)[:, column]
    whole = 1.0 if measure.unit == "iou" else 0.0
    classes = np.array(objects.classes)
    there = np.isfinite(values)
    best = ("", 0.0, 0.0)
    for one in sorted(set(objects.classes)):
        own, rest = values[there & (classes == one)], values[there & (classes != one)]
        if len(own) >= SOME and len(rest) >= SOME:
            off, others = float(own.mean()) - whole, float(rest.mean()) - whole
            if abs(off) >= OUTSTANDING * abs(others) and abs(off) > abs(best[1]):
                best = (one, off, others)
    if not best[0]:
        return ""
    sign = measure.signed
    told = [in_words(value + whole, measure.unit, sign=sign) for value in best[1:]]
    return f"; mostly {best[0]} ({told[0]}, others {told[1]})"


def _seen_before(now: Batch, batches: Iterable[Batch], scenes: int) -> tuple[str, ...]:
    """A caution where annotators have had these scenes before, cancelled and blocked rounds included: they were looked at."""
    earlier = sum(one.steps.golden is not None for one in life.rounds(batches) if one.round != now.round)
    if not earlier:
        return ()
    return (
        f"the same {scenes} golden scenes for the {ordinal(earlier + 1)} time: annotators may remember them",
    )


# ---------------------------------------------------------------------- by annotator


def suspected(rounds: Sequence[Measured], given: Asked) -> tuple[Suspect, ...]:
    """Annotators who err more than is accepted, all rounds pooled scene by scene, with Holm over annotators and axes. Where there
    is one annotator alone the verdict says it."""
    cells: dict[tuple[str, str], dict[str, list[int]]] = {}
    for one in rounds:
        for axis, errors in one.errors.items():
            if axis not in given.counts:
                continue
            named = one.annotators.get(axis.partition(" ")[0], ())
            for key, who, e, n in zip(one.scenes, named, errors, one.trials[axis], strict=False):
                if who and n:
                    of = cells.setdefault((who, axis), {}).setdefault(key, [0, 0])
                    of[0] += e
                    of[1] += n
    if len({who for who, _ in cells}) < 2:
        return ()
    p_values, can, totals = {}, {}, {}
    for place, scenes in cells.items():
        e, n = np.array(list(scenes.values()), dtype=np.int64).T
        rate = given.counts[place[1]].accepted
        can[place] = clustered.score_tail(n, rate, given.icc)
        p_values[place] = float(can[place][clustered.total_score(e, n, rate, given.icc)])
        totals[place] = int(e.sum()), int(n.sum())
    adjusted = drift.holm(p_values, can)
    return tuple(
        Suspect(annotator=who, axis=axis, errors=totals[who, axis][0], trials=totals[who, axis][1], p_value=p)
        for (who, axis), p in sorted(adjusted.items(), key=lambda one: (one[1], one[0]))
        if p <= ACCUSED
    )


def _named(suspects: Sequence[Suspect]) -> list[str]:
    return [
        f"{one.annotator}, over all rounds: {one.axis} {one.errors} of {one.trials} ({one.errors / one.trials:.1%}); look at their "
        "scenes (exploratory, no part of the verdict)"
        for one in suspects
    ]
