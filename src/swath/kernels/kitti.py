"""Average precision by the rules of KITTI's object benchmark, for boxes in images, footprints and volumes alike.

The rules, as the development kit has them (Geiger et al. 2012; R40 after Simonelli et al. 2019):

    difficulty   easy, moderate, hard: objects at least 40 / 25 / 25 px high, occluded at most 0 / 1 / 2, truncated at most
                 0.15 / 0.30 / 0.50. Others of the class count neither way: they are no misses, and who finds them is no false alarm
    neighbours   Van beside Car, Person_sitting beside Pedestrian count neither way
    small        predictions below the height count neither way
    overlap      strictly greater than the threshold: 0.7 for Car, 0.5 for the others
    DontCare     in images alone: a false alarm that lies in such an area by more than the threshold is none
    R40          precision at 40 recalls 1/40 .. 1, the best at that recall or beyond, averaged

Heights are KITTI's for its images of 375 rows, and scaled to others. The kit also lets small predictions of *other* classes take
objects; here a prediction is looked at for its own class alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from swath.kernels.detection import Array, Labels

Difficulty = Literal["easy", "moderate", "hard"]
Flags = NDArray[np.bool_]

ROWS: Final = 375
HEIGHT: Final = {"easy": 40.0, "moderate": 25.0, "hard": 25.0}
OCCLUDED: Final = {"easy": 0, "moderate": 1, "hard": 2}
TRUNCATED: Final = {"easy": 0.15, "moderate": 0.30, "hard": 0.50}
NEIGHBOURS: Final = {"Car": ("Van",), "Pedestrian": ("Person_sitting",)}
OVERLAP: Final = {"Car": 0.7}
OTHERS: Final = 0.5
POINTS: Final = 40

COUNTS, NEITHER, OTHER = 0, 1, -1


@dataclass(frozen=True, eq=False)
class Scene:
    """One image or cloud. Predictions (n,): `scores`, `labels`, `heights` of their boxes in px (NaN: unknown, never too small).
    Objects (m,): `wanted` (their class), `tall` (px), `truncated`, `occluded`. `overlap` (n, m); `absorbed` (n,): the largest share
    of a prediction that lies in one DontCare area (0 in clouds). `rows`: of the image, in px."""

    scores: Array
    labels: Labels
    heights: Array
    wanted: Labels
    tall: Array
    truncated: Array
    occluded: Labels
    overlap: Array
    absorbed: Array
    rows: float = ROWS


@dataclass(frozen=True)
class Score:
    """`ap` in [0, 1], None without objects that count; `objects`: how many do."""

    ap: float | None
    objects: int


def score(scenes: Sequence[Scene], classes: Sequence[str], name: str, difficulty: Difficulty) -> Score:
    """R40 AP of one class at one difficulty. A score that is not a number is a ValueError."""
    if any(np.isnan(one.scores).any() for one in scenes):
        raise ValueError("expected scores that are numbers, got NaN")
    least = OVERLAP.get(name, OTHERS)
    cases = [_case(one, classes, name, difficulty, least) for one in scenes]
    objects = sum(int((one.object == COUNTS).sum()) for one in cases)
    if not objects:
        return Score(None, 0)
    hits = np.concatenate([np.zeros(0), *(_hits(one) for one in cases)])
    cuts = thresholds(hits, objects)
    tp, fp = np.zeros(len(cuts)), np.zeros(len(cuts))
    for one in cases:
        right, wrong = _counts(one, cuts)
        tp, fp = tp + right, fp + wrong
    precision = np.zeros(POINTS + 1)
    precision[: len(cuts)] = np.divide(tp, tp + fp, out=np.zeros(len(cuts)), where=tp + fp > 0)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return Score(float(best[1:].mean()), objects)


def thresholds(hits: Array, objects: int) -> Array:
    """At most 41 scores of right predictions, where recall comes nearest to 0, 1/40, .. 1; falling."""
    scores, out, recall = np.sort(hits)[::-1], [], 0.0
    for i, one in enumerate(scores):
        here = (i + 1) / objects
        after = (i + 2) / objects if i + 1 < len(scores) else here
        if after - recall < recall - here and i + 1 < len(scores):
            continue
        out.append(float(one))
        recall += 1 / POINTS
    return np.array(out[: POINTS + 1])


@dataclass(frozen=True, eq=False)
class _Case:
    """What of a scene is looked at for one class: predictions (n,) and objects (m,), each COUNTS or NEITHER; `near` (n, m): the
    overlap where it is enough, else 0; `absorbed` (n,): by a DontCare area."""

    scores: Array
    prediction: Labels
    object: Labels
    near: Array
    absorbed: Flags


def _case(one: Scene, classes: Sequence[str], name: str, difficulty: Difficulty, least: float) -> _Case:
    at = classes.index(name)
    beside = [classes.index(other) for other in NEIGHBOURS.get(name, ()) if other in classes]
    height = HEIGHT[difficulty] * one.rows / ROWS
    hard = (
        (one.tall < height) | (one.occluded > OCCLUDED[difficulty]) | (one.truncated > TRUNCATED[difficulty])
    )
    of_class = one.wanted == at
    objects = np.where(
        of_class & ~hard, COUNTS, np.where(of_class | np.isin(one.wanted, beside), NEITHER, OTHER)
    )
    predictions = np.where(one.heights < height, NEITHER, COUNTS)
    rows, columns = np.flatnonzero(one.labels == at), np.flatnonzero(objects != OTHER)
    overlap = one.overlap[np.ix_(rows, columns)]
    return _Case(
        one.scores[rows],
        predictions[rows],
        objects[columns],
        np.where(overlap > least, overlap, 0.0),
        one.absorbed[rows] > least,
    )


def _hits(one: _Case) -> Array:
    """Scores of right predictions, whatever the threshold: each object in turn takes the surest one that is free."""
    taken, out = np.zeros(len(one.scores), dtype=bool), []
    for column, counts in enumerate(one.object):
        free = (one.near[:, column] > 0) & ~taken
        if not free.any():
            continue
        row = int(np.argmax(np.where(free, one.scores, -np.inf)))
        taken[row] = True
        if counts == COUNTS and one.prediction[row] == COUNTS:
            out.append(float(one.scores[row]))
    return np.array(out)


def _counts(one: _Case, cuts: Array) -> tuple[Array, Array]:
    """Right and false predictions (T,) at each threshold: each object in turn takes what overlaps it most, and one that counts
    neither way where nothing else is there."""
    here = one.scores[None, :] >= cuts[:, None]
    taken, every = np.zeros_like(here), np.arange(len(cuts))
    right = np.zeros(len(cuts))
    for column, counts in enumerate(one.object):
        free = here & ~taken & (one.near[:, column] > 0)[None, :]
        sound = free & (one.prediction == COUNTS)[None, :]
        has, found = sound.any(axis=1), free.any(axis=1)
        if not found.any():
            continue
        best = np.argmax(np.where(sound, one.near[:, column], -1.0), axis=1)
        row = np.where(has, best, np.argmax(free, axis=1))
        taken[every[found], row[found]] = True
        right += has if counts == COUNTS else 0
    false = here & ~taken & (one.prediction == COUNTS)[None, :] & ~one.absorbed[None, :]
    return right, false.sum(axis=1).astype(np.float64)
