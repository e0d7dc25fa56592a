"""Screens of what is decided about a round: golden check, model, evaluation, stopping."""

from __future__ import annotations

from swath.records.batch import Failure, Figures, GoldenChecked, Stopped, Trained
from swath.records.results import EvaluateResult
from swath.show.given import result
from swath.show.lines import line, marked, notes, verdict
from swath.words import counts, estimated, number, percent, ranked


@result.register
def golden(value: GoldenChecked) -> None:
    marked(f"golden check of {value.round}: {verdict(value.verdict)} on {value.scenes} scenes")
    for name, axis in value.axes.items():
        if axis.trials:
            sees = f"; would see {percent(axis.detectable)}" if axis.detectable else ""
            line(
                f"  {name:9s} {axis.errors:4d} of {axis.trials:4d}  {percent(axis.rate):>7s} "
                f"({percent(axis.low)} to {percent(axis.high)}), accepted {percent(axis.accepted)}{sees}"
            )
    for reason in value.reasons:
        line(f"  {reason}")


@result.register
def trained(value: Trained) -> None:
    for model in value.models:
        what = "images" if model.modality == "2d" else "clouds"
        line(
            f"model of {value.round}: {model.trainer} on {model.images} {what} ({model.negatives} without objects), "
            f"{sum(model.objects.values())} objects: {counts(model.objects)}; {model.sha256[:12]}"
        )
    notes(value.notes)


@result.register
def evaluated(value: EvaluateResult) -> None:
    record = value.record
    line(f"evaluation of {record.round} on {record.on} ({record.scenes} scenes, 95 % intervals by drive):")
    for modality, figures in record.figures.items():
        if len(record.figures) > 1:
            line(f"  {modality.upper()}")
        _figures(figures)
    if record.on == "val":
        line(f"  {len(value.failures)} scenes hold an error")
    for failure in value.failures[:3]:
        line(f"    {failure.key}: {wrong(failure)}")
    notes(record.notes)


def _figures(figures: Figures) -> None:
    line(f"  mAP {estimated(figures.map)}   mAP50 {estimated(figures.map50)}")
    for name, one in figures.classes.items():
        line(f"  {name:15s} AP50 {estimated(one.ap50)}   {one.references} objects")
    line(f"  errors at score {number(figures.operating.threshold, 2)}: {counts(figures.errors)}")


def wrong(failure: Failure) -> str:
    false = f" ({ranked(failure.false)})" if failure.false else ""
    missed = f" ({ranked(failure.missed)})" if failure.missed else ""
    return f"{failure.fn} missed{missed}, {failure.fp} false{false}"


@result.register
def stopped(value: Stopped) -> None:
    line(f"{value.round}: {value.decision}")
    for name, one in value.criteria.items():
        line(f"  {name:8s} {one.why}")
