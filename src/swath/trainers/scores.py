"""What a detector's scores mean: of predictions with a score of 0.7, seven of ten should be right.

Scores are fitted on held-out drives (Platt 1999; Guo et al. 2017): the score's log-odds times a slope that all
classes share, plus a shift of each class. Within a class the order of predictions stays, and so does its AP.
Few held-out objects must not bend much: slope, shift and what classes differ by are drawn towards 1, 0 and 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from swath.kernels.detection import Matched

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

SLOPE, SHIFT, OWN = (
    0.5,
    2.0,
    0.7,
)  # how far, as a standard deviation, each lies from 1, 0 and 0 before anything is seen
LEAST = 0.1  # slope


def fit_scores(matched: Sequence[Matched], overlap: int) -> Array:
    """(classes, 2) slope and shift of each class, from the matches of each class at one of their overlaps.

    Slopes are at least LEAST. A class without predictions goes with all. Where no prediction is right all are (1, 0): that
    would only say that the model is bad.
    """
    right = np.concatenate([one.right[overlap] for one in matched]).astype(np.float64)
    odds = _odds(np.concatenate([one.scores for one in matched]))
    label = np.repeat(np.arange(len(matched)), [len(one.scores) for one in matched])
    if not right.any():
        return np.tile([1.0, 0.0], (len(matched), 1))
    both = np.column_stack([odds, np.ones(len(odds))])
    more, shift = _drawn(both, right, odds, (SLOPE, SHIFT), (LEAST - 1, None))
    slope = 1 + more
    own = _drawn(
        np.eye(len(matched))[label], right, slope * odds + shift, [OWN] * len(matched), [None] * len(matched)
    )
    return np.column_stack([np.full(len(matched), slope), shift + own])


def _drawn(
    columns: Array, right: Array, odds: Array, spread: Sequence[float], least: Sequence[float | None]
) -> Array:
    """(k,) by how much of each column (n, k) to change the log-odds (n,): the likeliest, each drawn towards 0, and not below its
    `least`."""
    from scipy.optimize import minimize

    width = np.asarray(spread)

    def cost(at: Array) -> tuple[float, Array]:
        z = odds + columns @ at
        value = np.logaddexp(0, z).sum() - (right * z).sum() + ((at / width) ** 2).sum() / 2
        return float(value), columns.T @ (_share(z) - right) + at / width**2

    bounds = [(low, None) for low in least]
    return np.asarray(minimize(cost, np.zeros(len(spread)), jac=True, method="L-BFGS-B", bounds=bounds).x)


def fitted(scores: Array, labels: Labels, fit: Array) -> Array:
    """(n,) the scores as probabilities; `fit` (classes, 2) as of `fit_scores`."""
    slope, shift = fit[labels].T
    return _share(slope * _odds(scores) + shift)


def raw(scores: Array, labels: Labels, fit: Array) -> Array:
    """(n,) what the network had said: undoes `fitted`."""
    slope, shift = fit[labels].T
    return _share((_odds(scores) - shift) / slope)


def _share(odds: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-odds)))


def _odds(scores: Array) -> Array:
    p = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)))


def unreliability(scores: Array, right: NDArray[np.bool_], bins: int = 10) -> float:
    """How far scores are from the share that is right, on average over `bins` bins of as many predictions (ECE); 0 for none."""
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(
        sum(len(part) * abs(scores[part].mean() - right[part].mean()) for part in parts) / max(1, len(order))
    )
