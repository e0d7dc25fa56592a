"""Are the labels still honest? Each golden check in full, and its error rates over the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from markupsafe import Markup

from swath.records.batch import GoldenChecked
from swath.report import blind, charts, drift
from swath.report.known import Known

LISTED: Final = 20  # examples
WORDS: Final = {
    "miss": "missed objects",
    "extra": "labels without an object",
    "swap": "wrong class",
    "shift": "drawn out of place",
    "flip": "turned around",
    "exchange": "length and width exchanged",
}


@dataclass(frozen=True)
class Axis:
    """One kind of error in one check: errors among trials, with 95 % interval. `detectable`: the smallest true rate that the
    check would have noticed."""

    title: str
    errors: int
    trials: int
    rate: float
    low: float
    high: float
    accepted: float
    detectable: float | None
    p_value: float


@dataclass(frozen=True)
class Difference:
    """A golden scene where blind label and reference differ."""

    scene: str
    title: str
    what: str


@dataclass(frozen=True)
class Check:
    """The golden check of a round; its bars share a `ruler`."""

    check: GoldenChecked
    axes: tuple[Axis, ...]
    ruler: charts.Ruler
    examples: tuple[Difference, ...]


@dataclass(frozen=True)
class Golden:
    """The last check first. `drift`: one small chart per kind of error, from two checks on; `measured`: charts of what is measured.
    Of the last check: what is called what (`confusion`), and the `worst` labels; of all: errors by class and by annotator."""

    checks: tuple[Check, ...]
    drift: tuple[charts.Drift, ...]
    measured: Markup
    confusion: tuple[blind.Matrix, ...] = ()
    worst: tuple[blind.Worst, ...] = ()
    classes: tuple[blind.Row, ...] = ()
    annotators: tuple[blind.Row, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=lambda: blind.ERRORS)


def data(known: Known) -> Golden:
    batches = [one for one in known.rounds if one.steps.golden is not None]
    done = [one.steps.golden for one in batches if one.steps.golden is not None]
    standing = [one for one in batches if not one.cancelled]
    measured = [one for one in map(known.workspace.journal.batches.measured, standing) if one is not None]
    return Golden(
        tuple(_check(one) for one in reversed(done)),
        _drift(done),
        drift.html(done),
        blind.matrices(done[-1]) if done else (),
        blind.worst(known, batches[-1]) if batches else (),
        blind.by_class(measured, blind.agreed(known.standing)),
        blind.by_annotator(measured),
    )


def title(axis: str) -> str:
    """`2D missed objects` for `2d miss`."""
    modality, _, kind = axis.partition(" ")
    return f"{modality.upper()} {WORDS.get(kind, kind)}" if kind else axis


def axes_of(check: GoldenChecked) -> tuple[Axis, ...]:
    """Those that were counted."""
    return tuple(
        Axis(
            title(name),
            one.errors,
            one.trials,
            one.rate or 0.0,
            one.low,
            one.high,
            one.accepted,
            one.detectable,
            one.p_value,
        )
        for name, one in check.axes.items()
        if one.trials
    )


def _check(check: GoldenChecked) -> Check:
    axes = axes_of(check)
    ends = [end for axis in axes for end in (axis.high, axis.accepted)]
    return Check(
        check,
        axes,
        charts.ruler(max([0.1, *ends]), percent=True),
        tuple(Difference(one.scene, title(one.axis), one.what) for one in check.examples[:LISTED]),
    )


def _drift(checks: Sequence[GoldenChecked]) -> tuple[charts.Drift, ...]:
    if len(checks) < 2:
        return ()
    names = dict.fromkeys(name for one in checks for name, axis in one.axes.items() if axis.trials)
    top = max(axis.high for one in checks for name, axis in one.axes.items() if axis.trials and name in names)
    return tuple(
        charts.drift(
            title(name),
            [
                charts.Rate(one.round, axis.errors, axis.trials, axis.rate or 0.0, axis.low, axis.high)
                for one in checks
                if (axis := one.axes.get(name)) is not None and axis.trials
            ],
            next(one.axes[name].accepted for one in reversed(checks) if name in one.axes),
            [one.round for one in checks],
            min(1.0, top),
        )
        for name in names
    )
