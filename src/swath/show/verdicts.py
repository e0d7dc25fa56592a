"""Screens of what is decided about a round: golden check, model, evaluation, stopping."""

from __future__ import annotations

from typing import Final

from swath.policies.golden_axes import in_words, mistaken
from swath.policies.stopping import in_words as in_words_of_outcomes
from swath.records.batch import Axis, Deviation, Failure, Figures, Gain, GoldenChecked, Stopped, Trained
from swath.records.results import EvaluateResult, GoldenPlan
from swath.show.given import result
from swath.show.lines import FEW, SOME, cell, line, marked, notes, table, verdict
from swath.suggest import command
from swath.words import (
    UNKNOWN,
    compared,
    counts,
    drives,
    estimated,
    number,
    percent,
    ranked,
    signed,
    spread,
    trainings,
)

CLASSES, FEWER = 2, 3  # classes, and kinds of errors, of each of two models, so that both fit a screen
MODES: Final = 2
SINGLE: Final = ("missed", "background", "class", "location", "duplicate", "both")


@result.register
def golden(value: GoldenChecked) -> None:
    marked(f"golden check of {value.round}: {verdict(value.verdict)} on {value.scenes} scenes")
    rows = [_axis_row(name, axis) for name, axis in value.axes.items() if axis.trials]
    words = dict.fromkeys(("errors", "rate", "95 % interval", "accepted", "would see"), "right")
    table({"  axis": "left", **words}, rows)
    if value.measures:
        words = dict.fromkeys(("mean", "tolerance", "moved", "margin", "would see"), "right")
        table({"  measured": "left", **words}, [_measured(name, one) for name, one in value.measures.items()])
    for reason in value.reasons:
        line(f"  {reason}")
    if mixed := _mixed(value):
        line(f"  most often: {mixed}")
    if value.override is not None:
        line(f"  passed over, the round goes on: {value.override}")


def _mixed(value: GoldenChecked) -> str:
    """What was taken for what, the most frequent first."""
    wrong = sorted((one for one in value.confusion if one.truth != one.said), key=lambda one: -one.objects)
    return ", ".join(f"{one.modality} {mistaken(one)} {one.objects}" for one in wrong[:FEW])


def _axis_row(name: str, axis: Axis) -> tuple[str, ...]:
    return (
        f"  {cell(name)}",
        f"{axis.errors} of {axis.trials}",
        percent(axis.rate),
        f"{percent(axis.low)} to {percent(axis.high)}",
        percent(axis.accepted),
        percent(axis.detectable or None),
    )


def _measured(name: str, one: Deviation) -> tuple[str, ...]:
    """A row: means with the half width of their interval; what would have been seen, of the change where there is one."""

    def words(value: float | None, *, sign: bool = False) -> str:
        return UNKNOWN if value is None else in_words(value, one.unit, sign=sign, short=True)

    def around(value: float | None, low: float | None, high: float | None) -> str:
        if value is None or low is None or high is None:
            return words(value, sign=True)
        return f"{words(value, sign=one.unit != 'iou')} ± {words((high - low) / 2)}"

    sees = one.detectable if one.change is None else one.change_detectable
    mean, moved = around(one.mean, one.low, one.high), around(one.change, one.change_low, one.change_high)
    return (f"  {cell(name)}", mean, words(one.tolerance), moved, words(one.margin), words(sees))


@result.register
def golden_plan(value: GoldenPlan) -> None:
    of = f"the last of {value.rounds} checks" if value.rounds else "usual values: nothing was checked yet"
    objects = ", ".join(f"{n:g} {modality}" for modality, n in value.objects.items())
    line(
        f"{value.per_round} of {value.scenes} golden scenes go along with each batch ({objects} objects per scene; {of}; "
        f"reference: {value.reference}; ICC {value.icc:g})"
    )
    needs = f"scenes for {percent(value.power, 0)}"
    rows = [(f"  {cell(one.axis)}", cell(one.what), cell(one.needs), cell(one.sees)) for one in value.planned]
    table({"  axis": "left", "to see": "left", needs: "right", "now sees": "right"}, rows)
    more = command("config", value.dataset, "--set", "golden.per_round=N")
    line(f"`{more}` says how many go along; half of them stay for the next batch, and all take turns")


@result.register
def trained(value: Trained) -> None:
    for model in value.models:
        what = "images" if model.modality == "2d" else "clouds"
        line(
            f"model of {value.round}: {model.trainer} on {model.images} {what} ({model.negatives} without objects), "
            f"{sum(model.objects.values())} objects: {counts(model.objects)}; {model.sha256[:12]}"
        )
        if more := value.trainings(model.modality)[1:]:
            line(f"  and {len(more)} more by other seeds: {', '.join(one.sha256[:12] for one in more)}")
    notes(value.notes)


@result.register
def evaluated(value: EvaluateResult) -> None:
    record = value.record
    alone = ": one drive gives none" if record.main.drives == 1 else ""
    line(
        f"evaluation of {record.round} on {record.on}: {record.scenes} scenes of {drives(record.main.drives)}; 95 % intervals by "
        f"drive{alone}"
    )
    several = len(record.figures) > 1
    for modality, figures in record.figures.items():
        _classes(figures, modality, CLASSES if several else SOME)
        if not several:
            _errors(figures, SOME, MODES)
        elif modality == record.modality:
            _errors(figures, FEWER, 1)
        _by_kitti(figures)
        if figures.trainings is not None:
            line(f"  {spread(figures.trainings)}")
        if figures.gain is not None:
            line(f"  {_gained(figures.gain) if several else compared(record.round, figures.gain)}")
    if record.on == "val":
        line(f"  {len(value.failures)} scenes hold an error")
    for failure in value.failures[: 0 if several else 3]:
        line(f"    {failure.key}: {wrong(failure)}")
    notes([*record.notes, *([value.told] if value.told else [])])


def _classes(figures: Figures, modality: str, most: int) -> None:
    """One model: all classes together, then the first of them."""
    count = sum(one.references for one in figures.classes.values())
    rows = [("  all", str(count), estimated(figures.map), estimated(figures.map50))]
    rows += [
        (f"  {cell(name)}", str(one.references), estimated(one.ap), estimated(one.ap50))
        for name, one in list(figures.classes.items())[:most]
    ]
    table({f"  {modality.upper()}": "left", "objects": "right", "AP": "left", "AP50": "left"}, rows)
    if (more := len(figures.classes) - most) > 0:
        line(f"  ... and {more} more classes: --json lists all")
    if figures.volume:
        volume = (estimated(figures.volume[name]) for name in ("map", "map50"))
        line("  by volume: mAP {}, mAP50 {}".format(*volume))


def _errors(figures: Figures, kinds: int, modes: int) -> None:
    """The first `kinds` of errors, what mending them would bring, and where it fails."""
    most = sorted(figures.errors.items(), key=lambda one: (-one[1], one[0]))
    left = f" and {sum(n for _, n in most[kinds:])} others" if most[kinds:] else ""
    line(f"  at score {number(figures.operating.threshold, 2)}: {counts(dict(most[:kinds]))}{left}")
    costs = sorted(((value, kind) for kind, value in figures.mending.items() if kind in SINGLE), reverse=True)
    if costs and costs[0][0] > 0:
        told = ", ".join(f"{kind} {value:+.3f}" for value, kind in costs[:kinds] if value >= 0.0005)
        line(f"  mending would add to mAP50: {told}")
    for one in figures.modes[:modes]:
        then = f" (before {percent(one.before, 0)})" if one.before is not None else ""
        line(f"  fails at {one.name}: {one.missed} of {one.objects} missed{then}")


def _by_kitti(figures: Figures) -> None:
    """KITTI's classes at moderate, in one line."""
    by = "3d" if any(one.by == "3d" for one in figures.kitti) else "2d"
    shown = [one for one in figures.kitti if (one.by, one.difficulty) == (by, "moderate")]
    if shown:
        told = ", ".join(f"{one.name} {number(one.ap, 2)}" for one in shown)
        line(f"  by KITTI's rules, moderate{', volumes' if by == '3d' else ''}: {told}")


def _gained(gain: Gain) -> str:
    return f"against {gain.over}, paired: mAP {signed(gain.map)} ({drives(gain.drives)}{trainings(gain)}): {gain.verdict}"


def wrong(failure: Failure) -> str:
    false = f" ({ranked(failure.false)})" if failure.false else ""
    missed = f" ({ranked(failure.missed)})" if failure.missed else ""
    return f"{failure.fn} missed{missed}, {failure.fp} false{false}"


@result.register
def stopped(value: Stopped) -> None:
    marked(f"{cell(value.round)}: {verdict(value.decision)}")
    says = {True: verdict("stop"), False: "go on", None: UNKNOWN}
    rows = [(f"  {cell(name)}", says[one.stop], cell(one.why)) for name, one in value.criteria.items()]
    table({"  criterion": "left", "says": "left", "why": "left"}, rows)
    if value.outcomes:
        line(f"  {in_words_of_outcomes(value.outcomes)}")
