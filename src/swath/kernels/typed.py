"""Every prediction and every object of an evaluation in one table: what became of it. And what mending each type of error would
bring.

Types are those of `mistakes`, at IoU 0.5, of all predictions whatever their score (at most 100 per image and class). What a type
costs is what an oracle that mends it alone would bring, as TIDE has it (Bolya et al. 2020): AP is computed anew with

    location, class    the prediction put right, where its object is found by nothing else (of several the surest); else dropped
    duplicate, background, both    the prediction dropped
    missed             the object dropped, where nothing points at it
    false, unfound     all wrong predictions dropped; all objects dropped that nothing found

and the gain is that of the mean of the classes' AP at IoU 0.5. Gains of types do not add up: mending one changes what another
costs. A class of which no object is left has nothing left to get wrong: 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from swath.kernels.detection import MOST, Array, Labels, Matched, mean, precision_of
from swath.kernels.mistakes import Kind, type_overlaps

KINDS: Final[tuple[Kind, ...]] = ("right", "location", "class", "duplicate", "background", "both")
RIGHT: Final = 0
TYPES: Final = (*KINDS[1:], "missed", "false", "unfound")


@dataclass(frozen=True, eq=False)
class Table:
    """Predictions (P,), image by image, best first within an image: `score`, `label`, `image`, `kind` (position in `KINDS`) and
    `partner` (row of the object that it found or is about; -1: none). Objects (M,): `wanted` (their class), `place` (image)."""

    score: Array
    label: Labels
    image: Labels
    kind: Labels
    partner: Labels
    wanted: Labels
    place: Labels
    images: int

    def found_by(self, threshold: float = -np.inf) -> Labels:
        """(M,) the row of the prediction, of at least this score, that found each object; -1: none."""
        out = np.full(len(self.wanted), -1, dtype=np.int64)
        rows = np.flatnonzero((self.kind == RIGHT) & (self.score >= threshold))
        out[self.partner[rows]] = rows
        return out


Image = tuple[Array, Labels, Labels, Array]
"""One image: scores (n,), labels (n,) of predictions, labels (m,) of objects, and the overlap (n, m) of each pair."""


def table(images: Iterable[Image], *, found_at: float = 0.5, near_at: float = 0.1) -> Table:
    """The table of many images. A score that is not a number is a ValueError; no images: an empty table."""
    parts: dict[str, list[NDArray[np.generic]]] = {
        name: [] for name in Table.__dataclass_fields__ if name != "images"
    }
    objects = count = 0
    for image, (scores, labels, wanted, overlap) in enumerate(images):
        if np.isnan(scores).any():
            raise ValueError(f"image {image}: expected scores that are numbers, got NaN")
        kept = best(scores, labels)
        told = type_overlaps(kept, labels[kept], wanted, overlap[kept], found_at=found_at, near_at=near_at)
        parts["score"].append(scores[kept])
        parts["label"].append(labels[kept])
        parts["image"].append(np.full(len(kept), image))
        parts["kind"].append(np.array([KINDS.index(kind) for kind in told.kinds], dtype=np.int64))
        parts["partner"].append(np.where(told.partner >= 0, told.partner + objects, -1))
        parts["wanted"].append(wanted)
        parts["place"].append(np.full(len(wanted), image))
        objects, count = objects + len(wanted), image + 1
    whole = {name: np.concatenate(part) if part else np.zeros(0) for name, part in parts.items()}
    numbers = {name: part.astype(np.int64) for name, part in whole.items() if name != "score"}
    return Table(score=whole["score"].astype(np.float64), images=count, **numbers)


def best(scores: Array, labels: Labels) -> Labels:
    """Rows, best first, at most `MOST` of each class."""
    order = np.argsort(-scores, kind="stable")
    if len(order) <= MOST:
        return order
    nth = np.zeros(len(order), dtype=np.int64)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels[order] == label)
        nth[mine] = np.arange(len(mine))
    return order[nth < MOST]


# ---------------------------------------------------------------------- what mending would bring


def average_precision(one: Table, classes: int, kept: NDArray[np.bool_] | None = None) -> Array:
    """(classes,) AP at the table's overlap; NaN for a class without objects. `kept` (M,): objects that count, None: all."""
    counted = np.ones(len(one.wanted), dtype=bool) if kept is None else kept
    order = np.argsort(-one.score, kind="stable")
    matched = []
    for label in range(classes):
        rows = order[one.label[order] == label]
        of = counted & (one.wanted == label)
        references = np.bincount(one.place[of], minlength=max(one.images, 1))
        matched.append(Matched(one.score[rows], one.image[rows], (one.kind[rows] == RIGHT)[None], references))
    return precision_of(matched, np.ones(max(one.images, 1), dtype=np.int64))[:, 0]


def gains(one: Table, classes: int) -> dict[str, float]:
    """Type of error -> what mending it would add to mAP50; empty where there are no objects."""
    base = average_precision(one, classes)
    there = ~np.isnan(base)
    if not there.any():
        return {}
    out = {}
    for kind in TYPES:
        mended, kept = _mended(one, kind)
        found = average_precision(mended, classes, kept)[there]
        out[kind] = float(np.where(np.isnan(found), 1.0, found).mean() - mean(base[None])[0])
    return out


def _mended(one: Table, kind: str) -> tuple[Table, NDArray[np.bool_] | None]:
    """The table with one type of error mended, and the objects that count then."""
    if kind == "missed":
        pointed = np.isin(one.kind, [KINDS.index("location"), KINDS.index("class")])
        covered = np.zeros(len(one.wanted), dtype=bool)
        covered[one.partner[pointed]] = True
        return one, covered | (one.found_by() >= 0)
    if kind == "unfound":
        return one, one.found_by() >= 0
    if kind == "false":
        return _rows(one, one.kind == RIGHT), None
    mine = one.kind == KINDS.index(kind)
    if kind not in ("location", "class"):
        return _rows(one, ~mine), None
    put_right = _surest(one, mine)
    now = replace(
        one,
        kind=np.where(put_right, RIGHT, one.kind),
        label=np.where(put_right, one.wanted[one.partner] if len(one.wanted) else one.label, one.label),
    )
    return _rows(now, ~mine | put_right), None


def _surest(one: Table, mine: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(P,) of the predictions `mine`, those whose object nothing has found, one for each object: the surest."""
    taken = one.found_by() >= 0
    out = np.zeros(len(mine), dtype=bool)
    rows = np.flatnonzero(mine)
    for row in rows[np.argsort(-one.score[rows], kind="stable")]:
        if not taken[one.partner[row]]:
            taken[one.partner[row]] = out[row] = True
    return out


def _rows(one: Table, keep: NDArray[np.bool_]) -> Table:
    of = ("score", "label", "image", "kind", "partner")
    return replace(one, **{name: getattr(one, name)[keep] for name in of})


# ---------------------------------------------------------------------- strata


@dataclass(frozen=True)
class Stratum:
    """Some of the objects. `objects`: how many; `found`: by predictions at the operating threshold; `recall`: their share, None
    without objects; `ap50`: AP at the table's overlap, the mean of the classes, where objects of other strata count neither way."""

    name: str
    objects: int
    found: int
    recall: float | None
    ap50: float | None


def strata(
    one: Table,
    classes: int,
    threshold: float,
    bins: NDArray[np.int64],
    names: Mapping[int, str],
    false: NDArray[np.int64] | None = None,
) -> list[Stratum]:
    """Recall and AP by stratum: `bins` (M,) says which each object is of (a key of `names`; others are of none). `false` (P,): which
    stratum a wrong prediction is of, where it tells (by its size, say); None: wrong predictions count in every stratum."""
    found = one.found_by(threshold) >= 0
    right = one.kind == RIGHT
    out = []
    for at, name in names.items():
        mine = bins == at
        n = int(mine.sum())
        own = np.zeros(len(right), dtype=bool)
        own[right] = mine[one.partner[right]]
        own[~right] = True if false is None else false[~right] == at
        ap = mean(average_precision(_rows(one, own), classes, mine)[None])[0] if n else np.nan
        hits = int((found & mine).sum())
        out.append(Stratum(name, n, hits, hits / n if n else None, None if np.isnan(ap) else float(ap)))
    return out
