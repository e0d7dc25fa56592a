"""Labels that a confident model contradicts: overlooked, swapped, badly placed, turned round, the surest first.

The model must not have learned from these labels. How it errs where the labels are careful (on val) says from which score it is
to be heard, and how many of its doubts are its own mistakes. Predictions are typed by `mistakes`, with the labels as references.

Of one label the order is that of FiftyOne's `compute_mistakenness` ((1 + confidence) / 2 where the classes differ). Departures:
an unmatched prediction counts from the score at which the model is right on val, not from 0.95 whatever the model; a label that
the model does not see is no finding ("spurious" there), since that is nearly always a miss of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.kernels.checks import Finding
from swath.kernels.cuboids import wrap, yawed
from swath.kernels.mistakes import Mistakes

Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]
RIGHT: Final = (
    0.9  # share of the predictions that must be right on val, from the score at which a model is heard
)
FEWEST: Final = 20  # predictions of that score on val
LEAST: Final = 0.05  # scores below which predictions are not looked at
RULE: Final = {"background": "overlooked", "class": "swapped", "location": "badly_placed"}


@dataclass(frozen=True)
class Heard:
    """From which score a model is heard, and what share of its predictions from there contradicts careful labels."""

    score: float
    wrong: float


def heard(
    scores: ArrayLike, kinds: Sequence[str], share: float = RIGHT, fewest: int = FEWEST
) -> Heard | None:
    """The lowest score from which at least `share` of the predictions are right, given `scores` (n,) and `kinds` of all
    predictions on val (`mistakes.Kind`); None where fewer than `fewest` have such a score. Duplicates are not wrong."""
    values = np.asarray(scores, float)
    order = np.argsort(-values, kind="stable")
    bad = np.array([kinds[row] in RULE for row in order], bool)
    right = 1 - np.cumsum(bad) / np.arange(1, len(bad) + 1)
    last = np.r_[values[order][1:] < values[order][:-1], True][
        : len(bad)
    ]  # of those with one score all count, or none
    good = np.flatnonzero((right >= share) & last)
    if not len(good) or good[-1] + 1 < fewest:
        return None
    return Heard(float(values[order[good[-1]]]), float(1 - right[good[-1]]))


def doubts(
    found: Mistakes,
    scores: NDArray[np.float64],
    predicted: Sequence[str],
    labels: Sequence[str],
    where: Sequence[str],
    modality: Literal["2d", "3d"],
    model: str,
    least: float,
) -> tuple[Finding, ...]:
    """Findings on one channel's labels: `found` types the predictions against them; `scores` (n,), `predicted` (n) classes and
    `where` (n) they are, in words, of all predictions; `labels` (m) classes. `least`: the score from which `model` is heard."""
    out = []
    for row, kind, partner in zip(found.kept.tolist(), found.kinds, found.partner.tolist(), strict=True):
        score = float(scores[row])
        if kind not in RULE or score < least or (partner >= 0 and found.fates[partner] == "found"):
            continue
        said = f"{model} sees a {predicted[row]} at {where[row]} (score {score:.2f})"
        if kind == "class":
            said += f", labelled {labels[partner]}"
        elif kind == "location":
            said += f", the {labels[partner]} that is labelled is elsewhere"
        else:
            said += ", without a label"
        rule = RULE[kind]
        out.append(Finding(rule, "warning", modality, partner if partner >= 0 else None, said, score))
    return tuple(out)


def opposed(found: Mistakes, predicted: ArrayLike, labelled: ArrayLike) -> tuple[Rows, Rows, Flags]:
    """Of the predictions that are right in class and place: rows (k,) of the predictions (n, 9), rows (k,) of the labels (m, 9) that they
    found, and whether both face opposite ways, more than 90 degrees apart. Box, points and ground are the same either way: a model
    that knows fronts from backs is the only witness."""
    at = np.array([row for row, kind in enumerate(found.kinds) if kind == "right"], dtype=np.int64)
    rows, partner = found.kept[at], found.partner[at]
    one, two = yawed(predicted)[rows, 6], yawed(labelled)[partner, 6]
    return rows, partner, np.abs(wrap(one - two)) > np.pi / 2


def turned(
    found: Mistakes,
    scores: NDArray[np.float64],
    predicted: ArrayLike,
    labelled: ArrayLike,
    labels: Sequence[str],
    model: str,
    least: float,
) -> tuple[Finding, ...]:
    """Findings on cuboids (m, 9) of classes `labels` (m) that face the other way than predictions (n, 9) of the same object; `least`: the
    score from which `model` knows fronts from backs."""
    out = []
    for row, partner, other in zip(*opposed(found, predicted, labelled), strict=True):
        score = float(scores[row])
        if other and score >= least:
            said = f"{model} sees the {labels[partner]} face the other way (score {score:.2f})"
            out.append(Finding("turned", "warning", "3d", int(partner), said, score))
    return tuple(out)
