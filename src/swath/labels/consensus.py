"""One set of labels out of several independent ones of the same scene: what a majority saw, where they saw
it.

Opinions are merged in pairs of labels, most alike first, into clusters that hold at most one label of each
opinion. A cluster that enough of them hold (a quorum; by default a strict majority) becomes one label: mean
position and size, circular mean of the angles, the class that most of its holders gave (a tie goes to the
class of the lowest slot in the tie). What fewer saw is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from swath.kernels import boxes as box_kernel
from swath.kernels import cuboids as cuboid_kernel
from swath.labels.shapes import AnyLabels, Boxes, Floats

BOX_IOU = 0.5
BEV_IOU = 0.3
CENTRE = 1.0  # m, seen from above: two people's cuboids of one pedestrian often overlap by less than 0.3


@dataclass(frozen=True)
class Consensus(Generic[AnyLabels]):
    """`labels`: what a strict majority of the `opinions` saw. `support`: how many hold each of them.

    `objects`: all clusters, `minority`: those that were dropped, `conflicts`: kept ones whose holders
    disagree on the class. With fewer than two opinions nobody can disagree, and both counts are 0.
    """

    labels: AnyLabels
    support: tuple[int, ...]
    opinions: int
    objects: int
    minority: int
    conflicts: int


def consensus(opinions: Sequence[AnyLabels], quorum: int | None = None) -> Consensus[AnyLabels]:
    """What `quorum` of the `opinions` hold at least (None: a strict majority), one set of labels per slot. The order matters
    for ties of the class only.

    The labels are ordered by where they are, not by who drew them. No opinions at all: ValueError.
    """
    kept = objects(opinions)
    flat = isinstance(opinions[0], Boxes)
    values = np.concatenate([opinion.shapes for opinion in opinions])
    classes = [name for opinion in opinions for name in opinion.classes]
    needed = len(opinions) // 2 + 1 if quorum is None else min(quorum, len(opinions))
    majority = [cluster for cluster in kept if len(cluster) >= needed]
    merged = [_mean(values[cluster]) for cluster in majority]
    names = [_vote([classes[row] for row in cluster]) for cluster in majority]
    order = sorted(range(len(merged)), key=lambda at: (tuple(merged[at]), names[at]))
    table = np.array([merged[at] for at in order], float).reshape(-1, 4 if flat else 9)
    labels = type(opinions[0])(table, tuple(names[at] for at in order))
    return Consensus(
        labels=labels,
        support=tuple(len(majority[at]) for at in order),
        opinions=len(opinions),
        objects=len(kept),
        minority=len(kept) - len(majority),
        conflicts=sum(len({classes[row] for row in cluster}) > 1 for cluster in majority),
    )


def objects(opinions: Sequence[AnyLabels]) -> list[list[int]]:
    """What the opinions saw: each object as the rows of its labels, counted through all opinions, in slot order; one of an opinion
    at most. No opinions at all: ValueError."""
    if not opinions:
        raise ValueError("expected at least one opinion, got none")
    values = np.concatenate([opinion.shapes for opinion in opinions])
    slots = np.repeat(np.arange(len(opinions)), [len(opinion) for opinion in opinions])
    alike = _alike(values) if isinstance(opinions[0], Boxes) else _alike_3d(values)
    return [sorted(cluster, key=lambda row: slots[row]) for cluster in _clusters(alike, values, slots)]


def _alike(boxes: Floats) -> Floats:
    """(n, n) IoU where it is enough for two labels to mean the same object, else 0."""
    overlap = box_kernel.iou(boxes, boxes)
    return np.where(overlap >= BOX_IOU, overlap, 0)


def _alike_3d(cuboids: Floats) -> Floats:
    """(n, n) likeness in (0, 2]: BEV IoU (+ 1) where it is enough, or of the centres, else 0."""
    upright = cuboid_kernel.yawed(cuboids)
    overlap = cuboid_kernel.bev_iou(upright, upright)
    away = np.hypot(*(upright[:, None, :2] - upright[None, :, :2]).transpose(2, 0, 1))
    near = np.where(away <= CENTRE, 1 - away / (2 * CENTRE), 0)
    return np.where(overlap >= BEV_IOU, 1 + overlap, near)


def _clusters(alike: Floats, values: Floats, slots: np.ndarray) -> list[list[int]]:
    """Rows grouped so that no group holds two of a slot; the most alike pair is joined first.

    Two groups are joined only if all their labels are alike: a chain of near misses is not one object.
    """
    of = list(range(len(values)))
    groups: dict[int, list[int]] = {row: [row] for row in of}
    pairs = [
        (a, b) for a in of for b in range(a + 1, len(values)) if slots[a] != slots[b] and alike[a, b] > 0
    ]

    def rank(pair: tuple[int, int]) -> tuple[object, ...]:
        return (-alike[pair], sorted((tuple(values[pair[0]]), tuple(values[pair[1]]))))

    for a, b in sorted(pairs, key=rank):
        one, two = groups[of[a]], groups[of[b]]
        if of[a] == of[b] or {*slots[one]} & {*slots[two]} or (alike[np.ix_(one, two)] <= 0).any():
            continue
        gone = of[b]
        for row in two:
            of[row] = of[a]
        groups[of[a]] = one + two
        del groups[gone]
    return list(groups.values())


def _mean(rows: Floats) -> Floats:
    """Mean of boxes or cuboids, in slot order; of angles the mean direction, or the first where they cancel
    out.

    Summed in sorted order, so that the bits don't depend on who was asked first.
    """
    ordered = rows[np.lexsort(rows.T[::-1])]
    mean = ordered.mean(axis=0)
    if rows.shape[1] == 9:
        sin, cos = np.sin(ordered[:, 6:]).mean(axis=0), np.cos(ordered[:, 6:]).mean(axis=0)
        clear = (np.hypot(sin, cos) > 0.1) & (len(rows) > 1)
        mean[6:] = np.where(clear, np.arctan2(sin, cos), rows[0, 6:])
    return np.asarray(mean)


def _vote(names: list[str]) -> str:
    """The most frequent of `names`, which are in slot order; the first of those that tie."""
    return max(names, key=lambda name: (names.count(name), -names.index(name)))
