"""Which objects the last model finds, and which it does not; and its figures by KITTI's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from swath.records.batch import Figures, Graded, StratumFigures
from swath.report import charts
from swath.report.known import Known

BY: Final = {
    "class": "by class",
    "size": "by height in the image",
    "distance": "by distance",
    "occlusion": "by how far it is hidden",
    "points": "by points inside",
}
DIFFICULTIES: Final = ("easy", "moderate", "hard")
KITTI: Final = {"2d": "boxes", "bev": "footprints", "3d": "volumes"}


@dataclass(frozen=True)
class Axis:
    """What objects are told apart by."""

    words: str
    strata: tuple[StratumFigures, ...]


@dataclass(frozen=True)
class KittiRow:
    """One class by one overlap: what holds at each of the difficulties, None where there is no object."""

    name: str
    by: str
    cells: tuple[Graded | None, ...]


@dataclass(frozen=True)
class Model:
    modality: str
    axes: tuple[Axis, ...]
    kitti: tuple[KittiRow, ...]


@dataclass(frozen=True)
class Strata:
    models: tuple[Model, ...]
    difficulties: tuple[str, ...]
    ruler: charts.Ruler


def data(known: Known) -> Strata:
    record = known.record
    ordered = [record.modality, *sorted(set(record.figures) - {record.modality})] if record else []
    models = [_model(one, record.figures[one]) for one in ordered] if record else []
    return Strata(
        tuple(one for one in models if one.axes or one.kitti), DIFFICULTIES, charts.ruler(1.0, percent=True)
    )


def _model(modality: str, figures: Figures) -> Model:
    axes = groupby(figures.strata, key=lambda one: one.by)
    return Model(
        modality,
        tuple(Axis(BY.get(by, f"by {by}"), tuple(mine)) for by, mine in axes),
        _kitti(figures.kitti),
    )


def _kitti(found: Sequence[Graded]) -> tuple[KittiRow, ...]:
    cell = {(one.name, one.by, one.difficulty): one for one in found}
    rows = dict.fromkeys((one.name, one.by) for one in sorted(found, key=lambda one: one.name))
    return tuple(
        KittiRow(name, KITTI[by], tuple(cell.get((name, by, difficulty)) for difficulty in DIFFICULTIES))
        for name, by in rows
    )
