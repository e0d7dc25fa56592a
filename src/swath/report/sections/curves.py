"""Precision against recall of every class, and what objects are taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from swath.kernels.detection import OVERLAPS, RECALLS, Curves, Matched, curves_of
from swath.kernels.detection3d import OVERLAPS_3D
from swath.records.batch import Evaluated, Figures
from swath.report import charts
from swath.report.known import Known

CLASSES: Final = 12  # that are drawn, those with the most objects
STRICT: Final = {"2d": 5, "3d": 1}  # the overlap that is drawn beside 0.5: IoU 0.75, and 0.7 from above
OF: Final = {"2d": OVERLAPS, "3d": np.array(OVERLAPS_3D)}


@dataclass(frozen=True)
class Cell:
    """Objects of one class that were found as another. `right`: as their own; `share`: of the row, for the shade."""

    count: int
    right: bool
    share: float


@dataclass(frozen=True)
class Confusion:
    """`rows`: what objects are, and how many were found as each of `columns`; nothing is the last of both."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Model:
    """One modality. `more`: classes that are not drawn; `threshold`: where the dots are."""

    modality: str
    charts: tuple[charts.Tradeoff, ...]
    more: int
    threshold: float
    overlaps: tuple[str, str]
    confusion: Confusion | None


def data(known: Known) -> tuple[Model, ...]:
    record = known.record
    if record is None:
        return ()
    ordered = [record.modality, *sorted(set(record.figures) - {record.modality})]
    found = (_model(known, record, modality) for modality in ordered)
    return tuple(one for one in found if one.charts or one.confusion)


def _model(known: Known, record: Evaluated, modality: str) -> Model:
    figures, names = record.figures[modality], known.workspace.config.classes
    rows = [0, STRICT.get(modality, 0)]
    overlaps = OF.get(modality, OVERLAPS)[rows]
    words = f"{overlaps[0]:g}", f"{overlaps[1]:g}"
    most = sorted(figures.classes, key=lambda name: (-figures.classes[name].references, names.index(name)))
    drawn = _charts(known, record, modality, [one for one in names if one in most[:CLASSES]], rows, words)
    threshold = figures.operating.threshold
    return Model(
        modality, drawn, len(most) - len(drawn) if drawn else 0, threshold, words, _confusion(figures, names)
    )


def _charts(
    known: Known,
    record: Evaluated,
    modality: str,
    shown: Sequence[str],
    rows: list[int],
    words: Sequence[str],
) -> tuple[charts.Tradeoff, ...]:
    """One for each class; none where the evaluation did not keep what it found (before 0.2.0)."""
    matches = known.workspace.journal.batches.matches(record, modality)
    if matches is None:
        return ()
    matched = matches.unpacked()
    curves: Curves = curves_of(matched, np.zeros(matches.overlaps))
    at, names = record.figures[modality].operating.threshold, known.workspace.config.classes
    out = []
    for name in shown:
        label = names.index(name)
        lines = [
            (word, curves.precision[row, label], float(curves.recall[row, label]))
            for row, word in zip(rows, words, strict=True)
        ]
        out.append(charts.tradeoff(name, lines, RECALLS, _operating(matched[label], at)))
    return tuple(out)


def _operating(one: Matched, threshold: float) -> tuple[float, float] | None:
    """Recall and precision of a class at a score, by the loosest overlap; None where nothing is as sure."""
    kept, total = one.scores >= threshold, int(one.references.sum())
    if not kept.any() or not total:
        return None
    right = int(one.right[0, kept].sum())
    return right / total, right / int(kept.sum())


def _confusion(figures: Figures, names: Sequence[str]) -> Confusion | None:
    """Of the classes that there are; None where it was not kept."""
    if not figures.confusion:
        return None
    count = {(one.of, one.found): one.count for one in figures.confusion}
    there = [name for name in names if any(name in pair for pair in count)]
    ordered = [*there, None]
    rows = []
    for of in ordered:
        total = sum(count.get((of, found), 0) for found in ordered)
        cells = tuple(
            Cell(n, of == found, n / total if total else 0.0)
            for found in ordered
            for n in [count.get((of, found), 0)]
        )
        rows.append((of or "nothing", cells))
    return Confusion((*there, "nothing"), tuple(rows))
