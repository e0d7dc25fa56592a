"""The compiled part of `zcore`: what draws add to the scores, by brute force and by a sorted walk.

Both end in the same `_penalise`, which takes an unordered set of neighbours and adds up whole numbers only, so they give
the same bits. Distances from the drawn point are float64 and distances between rows float32, as in the published code
run on float32 embeddings; rounding is monotone, so a bound made of rounded parts never cuts off a true neighbour.
"""

# mypy: disable-error-code="no-untyped-call"
# (numba derives the types of what it compiles, so they are `Any` here)
from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

ONE = 2**38  # one unit of score, in fixed point
_SHARE = 2.0**40  # fixed point of the weights' sum, which 2**22 neighbours can't overflow
_ROW = np.uint64(0xFFFFFFFF)
_BITS = np.uint64(32)
_FAR = np.float32(np.inf)
_STEP = 128  # rows a side that a window grows by at most


def _compiled(function: F) -> F:
    """numba's `njit` without the GIL, cached on disk where any cache folder can be written."""
    try:
        compiled: F = njit(function, nogil=True, cache=True)
    except RuntimeError:  # no folder to cache in: a read-only home
        compiled = njit(function, nogil=True)
    return compiled


@_compiled
def _smallest(keys: Any, count: Any, k: Any) -> Any:
    """Move the k smallest of `keys[:count]` to the front: quickselect without branches; the keys are all different."""
    low, high = 0, count
    while high - low > 2:
        one, two, three = keys[low], keys[(low + high) >> 1], keys[high - 1]
        pivot = max(min(one, two), min(max(one, two), three))
        edge = low
        for i in range(low, high):
            key = keys[i]
            keys[i] = keys[edge]
            keys[edge] = key
            edge += np.int64(key < pivot)
        if edge == k:
            return
        if edge > k:
            high = edge
        else:
            low = edge
    if high - low == 2 and keys[low + 1] < keys[low]:
        keys[low], keys[low + 1] = keys[low + 1], keys[low]


@_compiled
def _distance(key: Any) -> Any:
    """The float32 distance in a neighbour's key (distance bits, row), a whole number that sorts in that order."""
    return np.uint32(key >> _BITS).view(np.float32)


@_compiled
def _kth(keys: Any, k: Any) -> Any:
    """The largest distance among `keys[:k]`."""
    largest = keys[0]
    for i in range(1, k):
        largest = max(largest, keys[i])
    return _distance(largest)


@_compiled
def _penalise(keys: Any, count: Any, k: Any, exponent: Any, scratch: Any, scores: Any) -> Any:
    """Take one unit from the k nearest of `keys[:count]` by distance**-exponent; all of it from an equal row."""
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
    bases, weights = scratch
    for i in range(count):
        bases[i] = nearest / np.float64(_distance(keys[i]))
        weights[i] = 1.0
    while exponent:  # array by array, so that the compiler can use vector instructions
        if exponent & 1:
            for i in range(count):
                weights[i] *= bases[i]
        exponent >>= 1
        if exponent:
            for i in range(count):
                bases[i] *= bases[i]
    total = np.int64(0)
    for i in range(count):
        total += np.int64(weights[i] * _SHARE + 0.5)
    scale = ONE * (_SHARE / np.float64(total))
    for i in range(count):
        scores[keys[i] & _ROW] -= np.int64(weights[i] * scale + 0.5)


@_compiled
def brute(columns: Any, dims: Any, points: Any, k: Any, exponent: Any, losers: Any, scores: Any) -> Any:
    """Add the draws to `scores` (N,) int64 by looking at every row.

    columns (C, N) float32, dims (n, m) positions in `columns`, points (n, m) float64. Rows from `losers` on only gain.
    """
    rows = columns.shape[1]
    near = np.empty(rows, np.float32)
    far = np.empty(rows, np.float64)
    keys = np.empty(min(rows, 4 * k) + 1, np.uint64)
    scratch = (np.empty(keys.size), np.empty(keys.size))
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
            if near[row] <= limit and row != chosen and row < losers:
                keys[count] = (np.uint64(np.float32(near[row]).view(np.uint32)) << _BITS) | np.uint64(row)
                count += 1
                if count == keys.size:
                    _smallest(keys, count, k)
                    count = k
                    limit = _kth(keys, k)
        _penalise(keys, count, k, exponent, scratch, scores)


@_compiled
def _frontier(ordered: Any, left: Any, right: Any, centre: Any) -> Any:
    """Distance along one dimension of the nearest row outside the open window (left, right); inf if there is none."""
    distance = abs(ordered[0] - centre) + np.float32(np.inf)
    if left >= 0:
        distance = centre - ordered[left]
    if right < ordered.size:
        distance = min(distance, ordered[right] - centre)
    return distance


@_compiled
def _scan(
    ordered: Any,
    order: Any,
    other: Any,
    left: Any,
    right: Any,
    step: Any,
    limit: Any,
    here: Any,
    there: Any,
    best: Any,
    row: Any,
) -> Any:
    """Widen the window by at most `step` rows a side, up to `limit`; keep the nearest row seen, ties to the lowest."""
    last = max(left - step, -1)
    while left > last and here - ordered[left] <= limit:
        new = order[left]
        distance = (here - ordered[left]) + abs(other[new] - there)
        if distance < best or (distance == best and new < row):
            best, row = distance, new
        left -= 1
    last = min(right + step, ordered.size)
    while right < last and ordered[right] - here <= limit:
        new = order[right]
        distance = (ordered[right] - here) + abs(other[new] - there)
        if distance < best or (distance == best and new < row):
            best, row = distance, new
        right += 1
    return left, right, best, row


@_compiled
def _nearest(a: Any, b: Any, x: Any, y: Any, bound: Any, visits: Any) -> Any:
    """The row nearest to the point (x, y), float64; a, b = (values, ordered, order) of the two dimensions."""
    right_a = np.searchsorted(a[1], x)
    right_b = np.searchsorted(b[1], y)
    left_a, left_b = right_a - 1, right_b - 1
    best, row, step = np.inf, np.uint32(0), 4
    while True:
        edge_a, edge_b = _frontier(a[1], left_a, right_a, x), _frontier(b[1], left_b, right_b, y)
        if (edge_a + edge_b) * bound > best or edge_a == np.inf or edge_b == np.inf:
            break
        next_a = _frontier(a[1], left_a - step, right_a + step, x)
        next_b = _frontier(b[1], left_b - step, right_b + step, y)
        if next_a - edge_a > next_b - edge_b:
            left_a, right_a, best, row = _scan(
                a[1], a[2], b[0], left_a, right_a, step, next_a, x, y, best, row
            )
        else:
            left_b, right_b, best, row = _scan(
                b[1], b[2], a[0], left_b, right_b, step, next_b, y, x, best, row
            )
        step = min(step + 4, 64)
    visits[0] += right_a - left_a + right_b - left_b - 2
    return row


@_compiled
def _gather(
    ordered: Any, order: Any, other: Any, left: Any, right: Any, step: Any, limit: Any, here: Any, block: Any
) -> Any:
    """Widen the window as `_scan` does and only fetch: loads that wait for nothing overlap, so misses cost little."""
    rows, near, values = block
    n, last = 0, max(left - step, -1)
    while left - n > last and here - ordered[left - n] <= limit:
        n += 1
    for i in range(n):
        rows[i], near[i] = order[left - i], here - ordered[left - i]
    m, last = 0, min(right + step, ordered.size)
    while right + m < last and ordered[right + m] - here <= limit:
        m += 1
    for i in range(m):
        rows[n + i], near[n + i] = order[right + i], ordered[right + i] - here
    for i in range(n + m):
        values[i] = other[rows[i]]
    return left - n, right + m, n + m


@_compiled
def _collect(
    block: Any,
    n: Any,
    there: Any,
    seen: Any,
    chosen: Any,
    losers: Any,
    k: Any,
    keys: Any,
    count: Any,
    worst: Any,
) -> Any:
    """Put the fetched rows up to `worst` away into `keys`, but those that were seen along the other dimension."""
    rows, near, values = block
    low, low_row, high, high_row = seen
    for i in range(n):
        row, value = rows[i], values[i]
        distance = near[i] + abs(value - there)
        inside = ((value > low) | ((value == low) & (row >= low_row))) & (
            (value < high) | ((value == high) & (row <= high_row))
        )
        keys[count] = (np.uint64(np.float32(distance).view(np.uint32)) << _BITS) | np.uint64(row)
        count += np.int64((distance <= worst) & (row != chosen) & (row < losers) & (not inside))
    if count > keys.size - 2 * _STEP - 1:
        _smallest(keys, count, k)
        count = k
        worst = _kth(keys, k)
    return count, worst


@_compiled
def _seen(ordered: Any, order: Any, left: Any, right: Any) -> Any:
    """The first and last (value, row) of an open window; rows in it are those between, as the sort is stable."""
    if right - left < 2:
        return _FAR, np.uint32(0), -_FAR, np.uint32(0)
    return ordered[left + 1], order[left + 1], ordered[right - 1], order[right - 1]


@_compiled
def _neighbours(
    a: Any, b: Any, chosen: Any, losers: Any, k: Any, bound: Any, keys: Any, block: Any, visits: Any
) -> Any:
    """Fill `keys` with the k rows below `losers` nearest to `chosen` (and maybe more); returns how many they are."""
    x, y = a[0][chosen], b[0][chosen]
    right_a = np.searchsorted(a[1], x)
    right_b = np.searchsorted(b[1], y)
    left_a, left_b = right_a - 1, right_b - 1
    count, worst, step = 0, _FAR, 16
    while True:
        edge_a, edge_b = _frontier(a[1], left_a, right_a, x), _frontier(b[1], left_b, right_b, y)
        if (edge_a + edge_b) * bound > worst or edge_a == np.inf or edge_b == np.inf:
            break
        next_a = _frontier(a[1], left_a - step, right_a + step, x)
        next_b = _frontier(b[1], left_b - step, right_b + step, y)
        if next_a - edge_a > next_b - edge_b:
            left_a, right_a, n = _gather(a[1], a[2], b[0], left_a, right_a, step, next_a, x, block)
            seen = _seen(b[1], b[2], left_b, right_b)
            count, worst = _collect(block, n, y, seen, chosen, losers, k, keys, count, worst)
        else:
            left_b, right_b, n = _gather(b[1], b[2], a[0], left_b, right_b, step, next_b, y, block)
            seen = _seen(a[1], a[2], left_a, right_a)
            count, worst = _collect(block, n, x, seen, chosen, losers, k, keys, count, worst)
        step = min(step + 16, _STEP)
    visits[1] += right_a - left_a + right_b - left_b - 2
    return count


@_compiled
def walk(
    first: Any,
    second: Any,
    dims: Any,
    points: Any,
    k: Any,
    exponent: Any,
    losers: Any,
    bound: Any,
    scores: Any,
    visits: Any,
) -> Any:
    """Add the draws to `scores` (N,) int64 by walking outwards in two sorted columns (Fagin's threshold algorithm).

    first, second: (values (C, N) float32, the same ordered, the rows in that order uint32) of the dimensions that
    dims[:, 0] and dims[:, 1] (n, 2) count in. A row outside both windows is at least the sum of the two frontiers
    away, so the walk ends when `bound` (1: anything more is wrong) times that sum exceeds the best distance so far.
    Rows from `losers` on only gain. visits (2,) int64 counts the rows looked at for the nearest row and its neighbours.
    """
    keys = np.empty(k + k // 4 + 2 * _STEP + 17, np.uint64)  # room to choose the k best seldom
    scratch = (np.empty(keys.size), np.empty(keys.size))
    block = (np.empty(2 * _STEP, np.uint32), np.empty(2 * _STEP, np.float32), np.empty(2 * _STEP, np.float32))
    for i in range(dims.shape[0]):
        p, q = dims[i, 0], dims[i, 1]
        a = (first[0][p], first[1][p], first[2][p])
        b = (second[0][q], second[1][q], second[2][q])
        chosen = _nearest(a, b, points[i, 0], points[i, 1], bound, visits)
        scores[chosen] += ONE
        count = _neighbours(a, b, chosen, np.uint32(losers), k, np.float32(bound), keys, block, visits)
        _penalise(keys, count, k, exponent, scratch, scores)
