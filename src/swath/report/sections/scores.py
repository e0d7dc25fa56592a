"""Is it getting better? The learning curve of each model and what is expected of the next batch, and every class, with n and
interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from swath.records.base import Estimate
from swath.records.batch import Batch, Figures, Forecast
from swath.report import charts
from swath.report.known import Known

CLASS_ROUNDS: Final = 4  # rounds in the table of classes
SERIES: Final = (("map50", "mAP50"), ("map", "mAP"))
WIDTH, HEIGHT = 560, 300  # of a curve, pixels
MEANS: Final = {
    "2d": "boxes in images; mAP50: found at an overlap (IoU) of 0.5; mAP: mean over .50 to .95",
    "3d": "cuboids, overlap seen from above; mAP50: at 0.5; mAP: at 0.7",
}


@dataclass(frozen=True)
class ClassRow:
    """AP50 of one class, round by round (None where val had none of it), and the last one as a bar."""

    name: str
    references: int
    ap50: tuple[Estimate | None, ...]
    last: Estimate | None


@dataclass(frozen=True)
class Model:
    """What one modality's models scored. `classes`: every class that val has, in the order of the class map; `expected`: what the
    next batch is expected to add to mAP."""

    modality: str
    means: str
    curve: charts.Curve
    rounds: tuple[str, ...]
    classes: tuple[ClassRow, ...]
    ruler: charts.Ruler
    expected: Forecast | None


@dataclass(frozen=True)
class Scores:
    """`scenes` and `drives` of val; intervals are drawn over its drives. `uses`: evaluations on val so far."""

    models: tuple[Model, ...]
    scenes: int
    drives: int
    uses: int


def data(known: Known) -> Scores:
    record = known.record
    if record is None:
        return Scores((), 0, 0, 0)
    ordered = [record.modality, *sorted(set(record.figures) - {record.modality})]
    return Scores(
        tuple(_model(known, modality) for modality in ordered),
        record.scenes,
        known.drives_of_val,
        record.uses,
    )


def _figures(batch: Batch, modality: str) -> Figures | None:
    return batch.steps.evaluate.figures.get(modality) if batch.steps.evaluate else None


def _model(known: Known, modality: str) -> Model:
    scored = [(one, of) for one in known.evaluated if (of := _figures(one, modality)) is not None]
    points = [
        charts.Point(
            one.round,
            one.steps.train.scenes if one.steps.train else 0,
            {"map": of.map, "map50": of.map50},
        )
        for one, of in scored
    ]
    expected = _expected(known, modality)
    curve = charts.learning_curve(points, SERIES, WIDTH, HEIGHT, _ahead(points[-1], expected))
    assert curve is not None, "the last evaluation has figures of it"
    recent = scored[-CLASS_ROUNDS:]
    return Model(
        modality,
        MEANS.get(modality, ""),
        curve,
        tuple(one.round for one, _ in recent),
        _classes([of for _, of in recent], known.workspace.config.classes),
        charts.ruler(1.0),
        expected,
    )


def _expected(known: Known, modality: str) -> Forecast | None:
    """What the decision after the last round expected of the next batch; None before there is one, or where it could not say."""
    stop = known.last.steps.stop if known.last else None
    found = stop.forecasts.get(modality) if stop else None
    if found is None and stop is not None and known.record is not None and modality == known.record.modality:
        found = stop.forecast  # decided by an earlier swath
    return found if found is not None and found.gain is not None and found.scenes else None


def _ahead(last: charts.Point, expected: Forecast | None) -> charts.Point | None:
    """Where the last series is expected to be."""
    now = last.estimates[SERIES[-1][0]].value
    if expected is None or expected.gain is None or now is None:
        return None
    value, low, high = (
        None if one is None else float(np.clip(now + one, 0, 1))
        for one in (expected.gain, expected.low, expected.high)
    )
    there = {SERIES[-1][0]: Estimate(value=value, low=low, high=high)}
    return charts.Point("the next batch", last.scenes + expected.scenes, there)


def _classes(figures: Sequence[Figures], names: Sequence[str]) -> tuple[ClassRow, ...]:
    rows = []
    for name in names:
        found = [one.classes.get(name) for one in figures]
        newest = next((one for one in reversed(found) if one is not None), None)
        if newest is not None:
            ap50 = tuple(one.ap50 if one is not None else None for one in found)
            rows.append(ClassRow(name, newest.references, ap50, newest.ap50))
    return tuple(rows)
