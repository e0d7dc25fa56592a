"""How far do independent labellings agree, beyond chance? Krippendorff's alpha for names, from sums that can be added up.

Each unit (an object) was given a category by some of the raters. Per unit, every ordered pair of ratings counts 1 / (m - 1), m
being the unit's ratings; added up over units that is the coincidence matrix `o` (C, C), with margins n_c and total n.
Observed disagreement is what lies off the diagonal, expected disagreement what would if the n ratings were paired by chance:

    alpha = 1 - (n - 1) (n - sum o_cc) / (n^2 - sum n_c^2)

1: all agree; 0: as chance would have it; below 0: worse. Units with one rating say nothing. (Krippendorff 2011, "Computing
Krippendorff's Alpha-Reliability", section D.)

Raters agree better on some scenes than on others: intervals are by scene, from the jackknife (leave one scene out) with Student's t.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

MISSING = -1


def coincidences(ratings: ArrayLike, categories: int) -> Array:
    """(C, C) coincidence matrix of `ratings` (U, R): unit by rater, positions in the categories, `MISSING` where there is none.

    ValueError for a position that is no category."""
    table = np.asarray(ratings, dtype=np.int64)
    if table.size == 0:
        return np.zeros((categories, categories))
    if table.ndim != 2 or table.min() < MISSING or table.max() >= categories:
        raise ValueError(
            f"expected ratings (units, raters) of {MISSING} to {categories - 1}, got {table.shape}"
        )
    counts = (table[:, :, None] == np.arange(categories)).sum(axis=1).astype(float)  # (U, C)
    given = counts.sum(axis=1)
    counts, given = counts[given > 1], given[given > 1]
    pairs = counts / (given - 1)[:, None]
    out: Array = pairs.T @ counts - np.diag(pairs.sum(axis=0))
    return out


def alpha(matrix: ArrayLike) -> float | None:
    """Alpha of a coincidence matrix (C, C); None where it cannot be said: no pair of ratings, or one category alone."""
    (value,) = _alphas(np.asarray(matrix, float)[None])
    return None if np.isnan(value) else float(value)


def _alphas(matrices: Array) -> Array:
    """Alpha of each of (S, C, C), NaN where it cannot be said."""
    margins = matrices.sum(axis=2)
    n = margins.sum(axis=1)
    apart = n - np.trace(matrices, axis1=1, axis2=2)
    expected = n**2 - (margins**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(expected > 1e-9, 1 - (n - 1) * apart / expected, np.nan))


def alpha_by_scene(matrices: ArrayLike) -> tuple[float | None, float | None, float | None]:
    """Alpha of the sum of (S, C, C) matrices, one per scene, and its 95 % interval, within [-1, 1].

    The interval is None for fewer than two scenes with pairs of ratings, or where alpha cannot be said without one of them."""
    each = np.asarray(matrices, float)
    each = each.reshape(0, 1, 1) if each.size == 0 else each
    whole = each.sum(axis=0)
    value = alpha(whole)
    each = each[each.sum(axis=(1, 2)) > 0]
    count = len(each)
    if value is None or count < 2:
        return value, None, None
    without = _alphas(whole - each)
    if np.isnan(without).any():
        return value, None, None
    deviation = float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
    reach = float(stats.t.ppf(0.975, count - 1)) * deviation
    return value, max(-1.0, value - reach), min(1.0, value + reach)


def one_against_rest(matrices: ArrayLike, category: int) -> Array:
    """Coincidence matrices (..., C, C) with all other categories taken together: (..., 2, 2), the category first."""
    whole = np.asarray(matrices, float)
    mine = whole[..., category, category]
    beside = whole[..., category, :].sum(axis=-1) - mine
    rest = whole.sum(axis=(-2, -1)) - mine - 2 * beside
    return np.stack([np.stack([mine, beside], -1), np.stack([beside, rest], -1)], -2)
