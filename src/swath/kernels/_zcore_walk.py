"""The compiled part of `zcore`: what one draw adds to the scores, by brute force and by a sorted walk.

Both ways end in the same `_penalise`, which takes an unordered set of neighbours and adds up whole numbers only, so they
give the same bits. Distances from the drawn point are float64 and distances between rows float32, as in the published
code run on float32 embeddings; rounding is monotone, so a bound made of rounded parts never cuts off a true neighbour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

ONE = 2**38  # one unit of score, in fixed point
_SHARE = 2.0**40  # fixed point of the weights' sum: k <= 2**22 neighbours can't overflow it
_ROW = np.uint64(0xFFFFFFFF)
_BITS = np.uint64(32)
_FAR = np.float32(np.inf)


def _compiled(function: F) -> F:
    """numba's `njit` without the GIL, cached on disk where any cache folder can be written."""
    try:
        compiled: F = njit(function, nogil=True, cache=True)
    except RuntimeError:  # no folder to cache in: a read-only home
        compiled = njit(function, nogil=True)
    return compiled


@_compiled
def _smallest(keys, count, k):  # type: ignore[no-untyped-def]
    """Move the k smallest of `keys[:count]` to the front (quickselect; the keys are all different)."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < keys[low]:
            keys[middle], keys[low] = keys[low], keys[middle]
        if keys[high] < keys[low]:
            keys[high], keys[low] = keys[low], keys[high]
        if keys[high] < keys[middle]:
            keys[high], keys[middle] = keys[middle], keys[high]
        pivot = keys[middle]
        i, j = low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break


@_compiled
def _distance(key):  # type: ignore[no-untyped-def]
    """The float32 distance in a neighbour's key: distance bits above, row below, so keys sort by (distance, row)."""
    return np.uint32(key >> _BITS).view(np.float32)


@_compiled
def _kth(keys, k):  # type: ignore[no-untyped-def]
    """The largest distance among `keys[:k]`."""
    largest = keys[0]
    for i in range(1, k):
        largest = max(largest, keys[i])
    return _distance(largest)


@_compiled
def _penalise(keys, count, k, exponent, weights, scores):  # type: ignore[no-untyped-def]
    """Take one unit from the k nearest of `keys[:count]`, in shares of distance**-exponent; all of it from an equal row."""
    if count == 0:
        return
    if count > k:
        _smallest(keys, count, k)
        count = k
    first = keys[0]
    for i in range(1, count):
        first = min(first, keys[i])
    nearest = np.float64(_distance(first))
    if nearest == 0.0:
        scores[first & _ROW] -= ONE
        return
    total = np.int64(0)
    for i in range(count):
        base = nearest / np.float64(_distance(keys[i]))
        weight = 1.0
        power = exponent
        while power:
            if power & 1:
                weight *= base
            base *= base
            power >>= 1
        weights[i] = weight
        total += np.int64(weight * _SHARE + 0.5)
    scale = ONE * (_SHARE / np.float64(total))
    for i in range(count):
        scores[keys[i] & _ROW] -= np.int64(weights[i] * scale + 0.5)


@_compiled
def brute(columns, dims, points, k, exponent, scores):  # type: ignore[no-untyped-def]
    """Add the draws to `scores` (N,) int64 by looking at every row.

    columns (C, N) float32, dims (n, m) positions in `columns`, points (n, m) float64.
    """
    rows = columns.shape[1]
    near = np.empty(rows, np.float32)
    far = np.empty(rows, np.float64)
    keys = np.empty(min(rows, 4 * k) + 1, np.uint64)
    weights = np.empty(keys.size, np.float64)
    for i in range(dims.shape[0]):
        far[:] = 0.0
        for j in range(dims.shape[1]):
            column, point = columns[dims[i, j]], points[i, j]
            for row in range(rows):
                far[row] += abs(np.float64(column[row]) - point)
        chosen = 0
        for row in range(1, rows):
            if far[row] < far[chosen]:
                chosen = row
        scores[chosen] += ONE
        near[:] = 0.0
        for j in range(dims.shape[1]):
            column = columns[dims[i, j]]
            centre = column[chosen]
            for row in range(rows):
                near[row] += abs(column[row] - centre)
        count = 0
        limit = _FAR
        for row in range(rows):
            if near[row] <= limit and row != chosen:
                keys[count] = (np.uint64(np.float32(near[row]).view(np.uint32)) << _BITS) | np.uint64(row)
                count += 1
                if count == keys.size:
                    _smallest(keys, count, k)
                    count = k
                    limit = _kth(keys, k)
        _penalise(keys, count, k, exponent, weights, scores)
