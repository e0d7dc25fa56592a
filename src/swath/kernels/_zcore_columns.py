"""How the draws of `zcore` are carried out: by brute force, or by a walk in sorted columns within a memory budget.

Sorted columns take 12 bytes a value (the value, the ordered value, its row). Above the budget they go to a temporary
file, tile by tile, and the draws are grouped by the two tiles that they need, so that two tiles are in memory at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Lane = tuple[Array, Array]  # dims (n, m) and points (n, m) of some draws: one lane is one thread's work
Rule = tuple[int, int, int]  # k, exponent, and the first of the rows at the end that only gain
Tile = tuple[Array, Array, Array]  # values (C, N) float32, the same ordered, their rows uint32

BOUND = 1.0  # of `walk`; a test loosens it to see the equality suite fail
_VALUE_BYTES = 12
_CACHE = 2**23  # bytes of columns that a processor's cache is taken to hold twice


class Brute:
    """Every draw looks at every row: no preparation, any number of dimensions per draw."""

    def __init__(self, data: Array, memory: int) -> None:
        self._data, self._memory = data, memory

    def add(self, lanes: Sequence[Lane], totals: Array, rule: Rule, pool: ThreadPoolExecutor) -> None:
        """Add lane i to `totals[i]` (N,) int64."""
        list(pool.map(self._lane, lanes, totals, [rule] * len(lanes)))

    def _lane(self, lane: Lane, total: Array, rule: Rule) -> None:
        from swath.kernels._zcore_walk import brute

        dims, points = lane
        step = max(1, self._memory // (4 * len(self._data) * dims.shape[1]))  # draws whose columns fit
        for start in range(0, len(dims), step):
            used, place = np.unique(dims[start : start + step], return_inverse=True)
            columns = _columns(self._data, used)
            where = place.reshape(-1, dims.shape[1])
            brute(columns, where, np.array(points[start : start + step]), *rule, total)


class Walk:
    """Draws of two dimensions, each a walk in the sorted columns of `dims`, which are prepared here."""

    def __init__(self, data: Array, dims: Array, memory: int, pool: ThreadPoolExecutor) -> None:
        self._dims, self._rows = dims, len(data)
        column = _VALUE_BYTES * self._rows
        fits = column * len(dims) <= memory
        self._tile = len(dims) if fits else max(1, memory // (2 * column))
        self._near = max(1, _CACHE // column)
        self._tiles: list[Array] = []
        self._file = None if fits else tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the columns)
        for start in range(0, len(dims), self._tile):
            tile = _sorted_columns(data, dims[start : start + self._tile], pool)
            if self._file is None:
                self._tiles.append(tile)
            else:
                tile.tofile(self._file)
        if self._file is not None:
            self._file.flush()
        self.visits = np.zeros(2, np.int64)  # rows looked at: for the nearest row, for its neighbours

    def add(self, lanes: Sequence[Lane], totals: Array, rule: Rule, pool: ThreadPoolExecutor) -> None:
        """Add lane i to `totals[i]` (N,) int64."""
        from swath.kernels._zcore_walk import walk

        def work(lane: Lane, tiles: tuple[Tile, Tile], total: Array) -> Array:
            visits = np.zeros(2, np.int64)
            walk(*tiles, *lane, *rule, BOUND, total, visits)
            return visits

        for tiles, parts in self._grouped(lanes):
            jobs = [pool.submit(work, part, tiles, total) for part, total in zip(parts, totals, strict=True)]
            self.visits += sum(job.result() for job in jobs)

    def _grouped(self, lanes: Sequence[Lane]) -> Iterator[tuple[tuple[Tile, Tile], list[Lane]]]:
        """The draws by the two tiles that they need; within them by blocks of columns that stay in cache."""
        count = -(-len(self._dims) // self._tile)
        prepared = []
        for dims, points in lanes:
            place = np.searchsorted(self._dims, dims)
            swap = np.argsort(place, axis=1)  # (a, b) and (b, a) are the same walk
            place, points = np.take_along_axis(place, swap, 1), np.take_along_axis(points, swap, 1)
            pair = (place // self._tile) @ np.array([count, 1])
            near = place // self._near
            order = np.lexsort((place[:, 1], place[:, 0], near[:, 1], near[:, 0], pair))
            prepared.append((pair[order], place[order] % self._tile, points[order]))
        for pair in np.unique(np.concatenate([pairs for pairs, _, _ in prepared])):
            ends = [np.searchsorted(pairs, [pair, pair + 1]) for pairs, _, _ in prepared]
            parts = [
                (place[start:end], points[start:end])
                for (start, end), (_, place, points) in zip(ends, prepared, strict=True)
            ]
            yield (self._read(pair // count), self._read(pair % count)), parts

    def _read(self, number: int) -> Tile:
        if self._file is None:
            tile = self._tiles[number]
        else:  # mapped while it is used; the mapping goes with the last reference
            shape = (3, min(self._tile, len(self._dims) - number * self._tile), self._rows)
            offset = number * self._tile * _VALUE_BYTES * self._rows
            tile = np.asarray(np.memmap(self._file, np.uint32, "c", offset, shape))
        return tile[0].view(np.float32), tile[1].view(np.float32), tile[2]


def _columns(data: Array, dims: Array) -> Array:
    """(C, N) float32: the columns `dims`, without negative zeros."""
    columns: Array = np.ascontiguousarray(data[:, dims].T) + np.float32(0)
    return columns


def _sorted_columns(data: Array, dims: Array, pool: ThreadPoolExecutor) -> Array:
    """(3, C, N) uint32: bits of the values, bits of the ordered values, rows in that order; equal values by row."""
    tile = np.empty((3, len(dims), len(data)), np.uint32)

    def fill(start: int) -> None:
        part = slice(start, start + 8)  # eight columns share the cache lines of the rows
        values = _columns(data, dims[part])
        tile[0, part] = values.view(np.uint32)
        for at, column in enumerate(values, start):
            bits = column.view(np.uint32)
            rising = np.where(
                bits >> 31, ~bits, bits | np.uint32(2**31)
            )  # as integers in the order of the values
            keys = rising.astype(np.uint64) << np.uint64(32)
            keys |= np.arange(len(data), dtype=np.uint64)
            keys.sort()
            tile[2, at] = keys & np.uint64(0xFFFFFFFF)
            tile[1, at] = bits[tile[2, at]]

    list(pool.map(fill, range(0, len(dims), 8)))
    return tile
