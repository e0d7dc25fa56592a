"""Where people see different things: agreement beyond chance by class, and what is ambiguous, from several labellings of a scene.

Localise first, then correct for chance (Tschirschwitz and Rodehorst 2025, arXiv:2603.27197, do so for boxes): labels of one
object are found by where they are (`labels.consensus`), whatever their class; each object is a unit, each labelling a rater, and
who did not see it gave it the category *nothing*. Alpha (`kernels.agreement`) is of these names: it says nothing of how well
outlines fit.

An object is ambiguous if its labellings differ: not all saw it, or not all under one name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.kernels import boxes as box_kernel
from swath.kernels import cuboids as cuboid_kernel
from swath.kernels.agreement import alpha_by_scene, coincidences, one_against_rest
from swath.labels.consensus import BEV_IOU, BOX_IOU, CENTRE, objects
from swath.labels.shapes import AnyLabels, Boxes, Labels
from swath.records.agreement import Agreement, ClassAgreement
from swath.records.base import Estimate

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Opinions:
    """Two or more labellings of one channel of a scene."""

    key: str
    labels: tuple[Labels, ...]


def ratings(opinions: Sequence[AnyLabels], classes: Sequence[str]) -> Ints:
    """(U, R) what each labelling calls each object that any of them saw: positions in `classes`; len(classes): *nothing*."""
    position = {name: i for i, name in enumerate(classes)}
    names = [name for opinion in opinions for name in opinion.classes]
    slots = np.repeat(np.arange(len(opinions)), [len(opinion) for opinion in opinions])
    seen = objects(opinions)
    out = np.full((len(seen), len(opinions)), len(classes), dtype=np.int64)
    for unit, rows in enumerate(seen):
        for row in rows:
            if names[row] in position:
                out[unit, slots[row]] = position[names[row]]
    known: Ints = out[(out != len(classes)).any(axis=1)]
    return known


def agreement(scenes: Sequence[Opinions], classes: Sequence[str]) -> Agreement:
    """Agreement over all scenes of a modality. Scenes come once per channel; those of one key count as one in the intervals."""
    tables = [(one.key, ratings(one.labels, classes)) for one in scenes]  # type: ignore[type-var]
    matrices: dict[str, npt.NDArray[np.float64]] = {}
    for key, table in tables:
        matrices[key] = matrices.get(key, 0) + coincidences(table, len(classes) + 1)
    stacked = np.array(list(matrices.values())).reshape(len(matrices), len(classes) + 1, len(classes) + 1)
    ambiguity = {key: _share(table) for key, table in _together(tables).items()}
    return Agreement(
        scenes=len(matrices),
        objects=sum(len(table) for _, table in tables),
        ambiguous=sum(int(_differ(table).sum()) for _, table in tables),
        alpha=_estimate(stacked),
        classes=_by_class(tables, stacked, classes),
        scenes_ambiguous={key: round(share, 6) for key, share in sorted(ambiguity.items()) if share},
    )


def _by_class(
    tables: Sequence[tuple[str, Ints]], stacked: npt.NDArray[np.float64], classes: Sequence[str]
) -> dict[str, ClassAgreement]:
    """Of every class that somebody saw: one class against the rest."""
    out = {}
    for i, name in enumerate(classes):
        mine = [table[(table == i).any(axis=1)] for _, table in tables]
        count = sum(map(len, mine))
        if count:
            differ = sum(int(_differ(table).sum()) for table in mine)
            out[name] = ClassAgreement(
                objects=count, ambiguous=differ, alpha=_estimate(one_against_rest(stacked, i))
            )
    return out


def _estimate(matrices: npt.NDArray[np.float64]) -> Estimate:
    value, low, high = alpha_by_scene(matrices)
    return Estimate(value=value, low=low, high=high)


def _differ(table: Ints) -> npt.NDArray[np.bool_]:
    """(U,) whether the labellings of each object differ."""
    return np.asarray((table != table[:, :1]).any(axis=1))


def _share(table: Ints) -> float:
    return float(_differ(table).mean()) if len(table) else 0.0


def _together(tables: Sequence[tuple[str, Ints]]) -> Mapping[str, Ints]:
    """Scene -> its objects, over its channels."""
    out: dict[str, list[Ints]] = {}
    for key, table in tables:
        out.setdefault(key, []).append(table)
    return {
        key: np.concatenate(parts) for key, parts in out.items() if len({one.shape[1] for one in parts}) == 1
    }


# ---------------------------------------------------------------------- errors of a model that people would make too


def holds(opinion: Labels, one: Labels) -> npt.NDArray[np.bool_]:
    """(n,) whether a labelling has each label of `one`: the same class, in the same place (IoU 0.5; cuboids: footprints 0.3, or
    centres within 1 m)."""
    if not len(one) or not len(opinion):
        return np.zeros(len(one), bool)
    if isinstance(one, Boxes):
        near = box_kernel.iou(one.shapes, opinion.shapes) >= BOX_IOU
    else:
        mine, theirs = cuboid_kernel.yawed(one.shapes), cuboid_kernel.yawed(opinion.shapes)
        away = np.linalg.norm(mine[:, None, :2] - theirs[None, :, :2], axis=2)
        near = (cuboid_kernel.bev_iou(mine, theirs) >= BEV_IOU) | (away <= CENTRE)
    same = np.array([[a == b for b in opinion.classes] for a in one.classes], bool).reshape(near.shape)
    return np.asarray((near & same).any(axis=1))


def excused(
    opinions: Sequence[Labels], missed: Labels, false: Labels
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which errors of a model people disagree about as well: objects that it `missed` and not every labelling holds, and
    predictions that count as `false` though one labelling holds them. Two labellings at least; else nobody can disagree."""
    if len(opinions) < 2:
        return np.zeros(len(missed), bool), np.zeros(len(false), bool)
    had = np.array([holds(one, missed) for one in opinions]).reshape(len(opinions), len(missed))
    agreed = np.array([holds(one, false) for one in opinions]).reshape(len(opinions), len(false))
    return np.asarray(~had.all(axis=0)), np.asarray(agreed.any(axis=0))
