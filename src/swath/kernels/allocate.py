"""One budget over two streams: coverage gets its exact share, targets the rest, fairly over the failures.

Coverage takes its best `ceil(share * budget)` rows; then the failures take turns, each its best row that is left, the
best offer of a turn first. A stream that runs short leaves its places to the other, and the notes say so. Every tie is
broken by key, so the order in which rows or failures are listed changes nothing. Rules and reasons:
`docs/methods/allocation.md`. Index space: `row` is a position in `keys`, `failure` a position in `target_rows`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import some

Array = NDArray[Any]


@dataclass(frozen=True)
class Allocation:
    """A batch of B rows, coverage first, each stream in the order of its choice.

    rows (B,) int64; stream (B,) "coverage" or "targeted"; rank (B,) int64, from 1 within the stream; score (B,) float64
    that the row was chosen by; failure (B,) int64 that it is near to, -1 for coverage. notes: what ran short.
    """

    rows: Array
    stream: Array
    rank: Array
    score: Array
    failure: Array
    notes: tuple[str, ...]


def allocate(
    budget: int,
    coverage_rows: Array,
    coverage_scores: Array,
    target_rows: Array,
    target_scores: Array,
    *,
    keys: Sequence[str],
    share: str | Fraction | float = "0.30",
    exclude: Collection[str] = (),
    groups: Sequence[tuple[Collection[int], int]] = (),
) -> Allocation:
    """Choose min(budget, candidates) rows, exactly `ceil(share * budget)` for coverage while both streams last.

    coverage_rows, coverage_scores (C,); target_rows, target_scores (F, K), row -1 where a failure has fewer than K
    neighbours; higher scores first. keys: one distinct text per row. exclude: keys that are never chosen. A row that is
    listed twice counts with its best score; a row that is in both streams is chosen once, by coverage if that comes to
    it. groups: failures and the places that they have for themselves, before the failures of no group take turns. ValueError on rows outside `keys`, NaN scores, keys that repeat, a share outside 0..1 and a negative budget.
    """
    portion = Fraction(str(share)) if isinstance(share, float) else Fraction(share)
    if budget < 0 or not 0 <= portion <= 1:
        raise ValueError(f"expected budget >= 0 and a share in 0..1, got {budget} and {share}")
    order = _ranks(keys)
    banned = set(exclude)
    barred = np.array([key in banned for key in keys], bool) if banned else np.zeros(len(keys), bool)
    rows, scores = _stream("coverage", coverage_rows, coverage_scores, 1, order)
    coverage = _best_first(rows[None], scores[None], order, barred)
    targets = _best_first(*_stream("target", target_rows, target_scores, 2, order), order, barred)
    wanted = math.ceil(portion * budget)
    covered = list(zip(coverage.row[:wanted], coverage.score[:wanted], strict=True))
    taken = {row for row, _ in covered}
    targeted: list[tuple[int, float, int]] = []
    rest_of = set(range(len(targets.starts) - 1)).difference(*(mine for mine, _ in groups))
    for mine, places in (*groups, (rest_of, budget)):
        turns = _take_turns(targets, taken, min(places, budget - len(covered) - len(targeted)), mine)
        taken.update(row for row, _, _ in turns)
        targeted += turns
    rest = zip(coverage.row[wanted:], coverage.score[wanted:], strict=True)
    left = (pair for pair in rest if pair[0] not in taken)
    covered += islice(left, budget - len(covered) - len(targeted))
    notes = _notes(budget, wanted, len(covered), len(targeted), banned - set(keys) if banned else banned)
    return _allocation(covered, targeted, notes)


@dataclass(frozen=True)
class _Lists:
    """Lists of candidates, one after the other: list f is `starts[f]` to `starts[f + 1]`, best first, each row once.

    row; score; order: the place of the row's key; standing (F,): the place of a list among all, by what is in them.
    """

    row: list[int]
    score: list[float]
    order: list[int]
    starts: list[int]
    standing: list[int]


def _ranks(keys: Sequence[str]) -> Array:
    """(rows,) int64: the position of each row's key in sorted order."""
    if len(set(keys)) != len(keys):
        raise ValueError("expected distinct keys, got some twice")
    ranks = np.empty(len(keys), np.int64)
    ranks[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return ranks


def _stream(name: str, rows: Array, scores: Array, dimensions: int, order: Array) -> tuple[Array, Array]:
    rows, scores = np.asarray(rows), np.asarray(scores, np.float64)
    if rows.size == scores.size == 0:
        shape = (len(rows), 0) if dimensions == 2 else (0,)
        return np.zeros(shape, np.int64), np.zeros(shape)
    if rows.ndim != dimensions or rows.shape != scores.shape or rows.dtype.kind not in "iu":
        raise ValueError(
            f"expected whole {name} rows and scores of one shape, got {rows.shape}, {scores.shape}"
        )
    listed = rows != -1 if dimensions == 2 else np.ones(rows.shape, bool)
    wrong = rows[listed & ((rows < 0) | (rows >= len(order)))]
    if len(wrong):
        raise ValueError(f"expected {name} rows in 0..{len(order) - 1}, got {some(wrong.tolist())}")
    blank = rows[listed & np.isnan(scores)]
    if len(blank):
        raise ValueError(f"expected {name} scores without NaN, which rows {some(blank.tolist())} have")
    return rows.astype(np.int64), scores


def _best_first(rows: Array, scores: Array, order: Array, barred: Array) -> _Lists:
    """The candidates of each line of rows and scores (F, K) that may be chosen, best first, ties by key."""
    count, width = rows.shape
    fine = rows >= 0
    fine[fine] = ~barred[rows[fine]]
    line, row, score = np.nonzero(fine)[0], rows[fine], scores[fine] + 0.0
    sort = np.lexsort((order[row], -score, line))
    line, row, score = line[sort], row[sort], score[sort]
    first = np.sort(np.unique(line * len(order) + row, return_index=True)[1])
    line, row, score = line[first], row[first], score[first]
    starts = np.searchsorted(line, np.arange(count + 1))
    content = np.full((2 * width, count), np.inf)  # best score, its key, second score, ...
    place = 2 * (np.arange(len(line)) - starts[line])
    content[place, line], content[place + 1, line] = -score, order[row]
    standing = np.empty(count, np.int64)
    standing[np.lexsort(content[::-1]) if width else np.arange(count)] = np.arange(count)
    return _Lists(row.tolist(), score.tolist(), order[row].tolist(), starts.tolist(), standing.tolist())


def _take_turns(
    lists: _Lists, taken: set[int], places: int, mine: Collection[int]
) -> list[tuple[int, float, int]]:
    """(row, score, failure) for at most `places` rows that are not taken, of the lists that are `mine`: fewest served first, then the
    best offer.

    Failures that offer the same are told apart by the rest of their lists, so their own order changes nothing.
    """
    taken = set(taken)
    queue = [
        (0, -lists.score[start], lists.order[start], lists.standing[f], f, start)
        for f, (start, end) in enumerate(pairwise(lists.starts))
        if start < end and f in mine
    ]
    heapq.heapify(queue)
    chosen: list[tuple[int, float, int]] = []
    while queue and len(chosen) < places:
        served, _, _, standing, f, at = heapq.heappop(queue)
        row = lists.row[at]
        if row not in taken:
            taken.add(row)
            chosen.append((row, lists.score[at], f))
            served += 1
        at += 1
        if at < lists.starts[f + 1]:
            heapq.heappush(queue, (served, -lists.score[at], lists.order[at], standing, f, at))
    return chosen


def _notes(budget: int, wanted: int, covered: int, targeted: int, unknown: set[str]) -> tuple[str, ...]:
    notes = []
    if covered < wanted:
        notes.append(f"coverage ran short: {covered} of its {wanted} places taken")
    if targeted < budget - wanted:
        notes.append(f"targets ran short: {targeted} of their {budget - wanted} places taken")
    if covered + targeted < budget:
        notes.append(f"candidates ran short: {covered + targeted} for a budget of {budget}")
    if unknown:
        notes.append(f"excluded keys that no row has: {some(sorted(unknown))}")
    return tuple(notes)


def _allocation(
    covered: list[tuple[int, float]], targeted: list[tuple[int, float, int]], notes: tuple[str, ...]
) -> Allocation:
    return Allocation(
        rows=np.array([row for row, *_ in (*covered, *targeted)], np.int64),
        stream=np.array(["coverage"] * len(covered) + ["targeted"] * len(targeted), dtype="<U8"),
        rank=np.r_[1 : len(covered) + 1, 1 : len(targeted) + 1].astype(np.int64),
        score=np.array([pair[1] for pair in (*covered, *targeted)], np.float64),
        failure=np.array([-1] * len(covered) + [failure for *_, failure in targeted], np.int64),
        notes=notes,
    )
