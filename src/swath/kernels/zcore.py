"""ZCore: which rows cover the space of the embeddings, and which are redundant.

Griffin, Marks, Corso, "Zero-Shot Coreset Selection via Iterative Subspace Sampling", WACV 2026. Each draw takes m
dimensions and a point in them; the nearest row gains one, and its k nearest rows share the loss of one. Exact: the
same draws give the published scores to rounding, at a cost per draw that grows far slower than N. Departures, costs
and limits: `docs/methods/zcore.md`. Index space: `row` is a position in `embeddings` (N, D).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import some
from swath.kernels._zcore_columns import Brute, Walk

Array = NDArray[Any]
Method = Literal["auto", "brute", "walk"]

MEMORY = 4 * 2**30  # bytes of sorted columns that are kept in memory, unless told otherwise
_LARGEST = 1e37  # differences of larger float32 values would overflow
_MOST_DRAWS = 2**24  # int64 holds 2**25 units of 2**-38
_MOST_NEIGHBOURS = 2**22
_FEW_ROWS = 1500  # plus ten a neighbour: so few are quicker to look at than to walk among
_FIRST_BLOCK = 4096
_DRAWS_A_ROW = 5  # before these, halves can agree on a ranking that more draws will overturn
_GROUPS = 8
_CHUNK = 2**22  # values checked in one go


@dataclass(frozen=True)
class Draws:
    """`dims` (n, m) int64: columns of the embeddings; `points` (n, m) float64: a point in each, in their units."""

    dims: Array
    points: Array

    def __len__(self) -> int:
        return len(self.dims)

    def __getitem__(self, part: slice) -> Draws:
        return Draws(self.dims[part], self.points[part])


@dataclass(frozen=True)
class Partial:
    """Scores of some of the draws: `units` (N,) int64 in 2**-38, to be merged in any order."""

    units: Array
    draws: int


@dataclass(frozen=True)
class ZCoreResult:
    """`scores` (N,) float64 in 0..1, the highest first to be labelled; and how sure the ranking is.

    overlap: share of the selected rows on which two independent halves of the draws agree, mean over the splits.
    interval: 95 % interval of that share. reason: why the drawing ended.
    """

    scores: Array
    draws: int
    overlap: float
    interval: tuple[float, float]
    reason: Literal["overlap reached", "draw budget"]


def draw(embeddings: Array, n: int, rng: np.random.Generator, *, subspace: int = 2, start: int = 0) -> Draws:
    """Draw `n` subspaces and a point in each, distributed as published.

    Dimensions without replacement, points triangular (least, median, largest value) in each; constant dimensions are
    left out, so m = min(subspace, dimensions that vary). One key is taken from `rng`; draw i depends on that key, the
    data and `start + i` alone, so any split of the draws gives the same ones. ValueError names non-finite rows.
    """
    if n < 0 or start < 0 or subspace < 1:
        raise ValueError(f"expected n >= 0, start >= 0, subspace >= 1; got {n}, {start}, {subspace}")
    key = rng.integers(0, 2**64, size=2, dtype=np.uint64)
    return _draw(_spread(_checked(embeddings)), n, key, subspace, start)


def raw_scores(
    embeddings: Array,
    draws: Draws,
    *,
    k: int = 1000,
    exponent: int = 4,
    labelled: int = 0,
    workers: int = 1,
    method: Method = "auto",
    memory: int = MEMORY,
) -> Array:
    """(N,) float64: over the draws, +1 to the row nearest to the point, -1 shared by the k rows nearest to that row.

    Shares go as distance**-exponent; a row equal to the nearest one (in the drawn dimensions) takes the whole loss.
    Ties: lowest row. The same bits for any `workers`, `method`, `memory` (bytes of sorted columns kept in memory; the
    rest goes to a temporary file) and split of the draws. A single row only gains; no rows: empty; m = 0: zeros.
    The last `labelled` rows only gain: they absorb draws, and losses are shared by the k nearest of the other rows.
    Embeddings count as float32. ValueError names rows that are not finite or exceed 1e37.
    """
    options: Any = {"k": k, "exponent": exponent, "labelled": labelled}
    return finish(partial(embeddings, draws, **options, workers=workers, method=method, memory=memory))


def partial(
    embeddings: Array,
    draws: Draws,
    *,
    k: int = 1000,
    exponent: int = 4,
    labelled: int = 0,
    workers: int = 1,
    method: Method = "auto",
    memory: int = MEMORY,
) -> Partial:
    """What these draws add to the scores, in whole units, as `raw_scores` describes; then `merge`, then `finish`."""
    data = _checked(embeddings)
    dims, points = _checked_draws(draws, data.shape[1])
    _check_options(k, exponent, workers)
    if not 0 <= labelled <= len(data):
        raise ValueError(f"expected 0 to {len(data)} labelled rows, got {labelled}")
    totals = np.zeros((workers, len(data)), np.int64)
    if len(data) and dims.size:
        lanes = [(dims[lane::workers], points[lane::workers]) for lane in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            engine = _engine(data, np.unique(dims), dims.shape[1], len(dims), k, method, memory, pool)
            engine.add(lanes, totals, (min(k, len(data)), exponent, len(data) - labelled), pool)
    return Partial(np.asarray(totals.sum(axis=0)), len(draws))


def merge(parts: Sequence[Partial]) -> Partial:
    """The sum of partial scores of the same rows, in any order and grouping."""
    if not parts or len({part.units.shape for part in parts}) > 1:
        raise ValueError(
            f"expected partial scores of the same rows, got {[part.units.shape for part in parts]}"
        )
    draws = sum(part.draws for part in parts)
    if draws > _MOST_DRAWS:
        raise ValueError(f"expected at most {_MOST_DRAWS} draws in one sum, got {draws}")
    return Partial(np.asarray(sum(part.units for part in parts)), draws)


def finish(part: Partial) -> Array:
    """(N,) float64: the partial scores in units of one draw."""
    scores: Array = part.units * 2.0**-38
    return scores


def score(
    embeddings: Array,
    *,
    seed: int,
    labelled: Array | None = None,
    select: float = 0.1,
    target_overlap: float = 0.8,
    max_draws: int | None = None,
    k: int = 1000,
    exponent: int = 4,
    subspace: int = 2,
    workers: int = 1,
    method: Method = "auto",
    memory: int = MEMORY,
    progress: Callable[[int, int], None] | None = None,
) -> ZCoreResult:
    """Score every row, drawing until the selection is stable or the draw budget ends.

    select: share of the rows that will be chosen; the overlap is that of the best `ceil(select * N)`. Drawing ends when
    the lower end of its interval reaches `target_overlap`, after five draws a row at the earliest. max_draws: by default 200 a row, at least 50,000, at most
    2,000,000. progress: called with (draws done, budget). labelled (M, D): rows that are labelled already; they absorb
    draws and are not ranked, but what lies near to them loses. Other arguments and errors: as `raw_scores`; rows of
    `labelled` are named as if they followed those of `embeddings`.
    Draw i belongs to group i mod 8, and the 35 ways to make two halves of the groups give overlap and interval. It is
    the agreement of half the draws with the other half: the ranking by all of them is steadier than it says.
    No rows, or none that differ: no draws, scores all 0, and the overlap of chance.
    """
    if not 0 < select <= 1 or not 0 <= target_overlap <= 1:
        raise ValueError(
            f"expected 0 < select <= 1, 0 <= target_overlap <= 1; got {select}, {target_overlap}"
        )
    _check_options(k, exponent, workers)
    data = _checked(embeddings if labelled is None else np.concatenate([embeddings, labelled]))
    rows = len(embeddings)
    chosen = int(np.ceil(round(select * rows, 9)))
    budget = min(max(200 * rows, 50_000), 2_000_000) if max_draws is None else min(max_draws, _MOST_DRAWS)
    spread = _spread(data)
    m = min(subspace, len(spread.dims))
    key = np.random.Generator(np.random.Philox(seed)).integers(0, 2**64, size=2, dtype=np.uint64)
    totals = np.zeros((_GROUPS, len(data)), np.int64)
    overlap, interval = _agreement(totals[:, :rows], chosen, key)
    done, reached = 0, False
    with ThreadPoolExecutor(workers) as pool:
        engine = _engine(data, spread.dims, m, budget, k, method, memory, pool) if m and rows else None
        while engine is not None and done < budget and not reached:
            block = min(max(done, _FIRST_BLOCK), budget - done)
            draws = _draw(spread, block, key, subspace, done)
            groups = [draws[(group - done) % _GROUPS :: _GROUPS] for group in range(_GROUPS)]
            lanes = [(group.dims, group.points) for group in groups]
            engine.add(lanes, totals, (min(k, len(data)), exponent, rows), pool)
            done += block
            overlap, interval = _agreement(totals[:, :rows], chosen, key)
            reached = interval[0] >= target_overlap and done >= min(_DRAWS_A_ROW * rows, budget)
            if progress is not None:
                progress(done, budget)
    scores = _unit(np.asarray(totals.sum(axis=0))[:rows])
    return ZCoreResult(scores, done, overlap, interval, "overlap reached" if reached else "draw budget")


@dataclass(frozen=True)
class _Spread:
    """The dimensions that vary, (V,) int64, and their least, median and largest values, (V,) float64."""

    dims: Array
    low: Array
    middle: Array
    high: Array


def _checked(embeddings: Array) -> Array:
    """`embeddings` as (N, D) float32; ValueError names the rows that hold what can't be measured."""
    given = np.asarray(embeddings)
    if given.ndim != 2 or given.dtype.kind not in "fiub":
        raise ValueError(f"expected (N, D) real numbers, got shape {given.shape}, {given.dtype}")
    with np.errstate(over="ignore"):
        data: Array = given.astype(np.float32, copy=False)
    step = max(1, _CHUNK // max(1, data.shape[1]))
    bad: list[int] = []
    for start in range(0, len(data), step):
        fine = (np.abs(data[start : start + step]) <= _LARGEST).all(axis=1)
        bad.extend((np.flatnonzero(~fine) + start).tolist())
    if bad:
        raise ValueError(
            f"expected finite values up to {_LARGEST:g}; rows {some(bad)} hold others: leave them out"
        )
    return data


def _checked_draws(draws: Draws, columns: int) -> tuple[Array, Array]:
    dims, points = np.asarray(draws.dims, np.int64), np.asarray(draws.points, np.float64)
    if dims.ndim != 2 or dims.shape != points.shape:
        raise ValueError(f"expected dims and points of one shape (n, m), got {dims.shape} and {points.shape}")
    if len(dims) > _MOST_DRAWS:
        raise ValueError(f"expected at most {_MOST_DRAWS} draws in one sum, got {len(dims)}")
    if dims.size and not (dims.min() >= 0 and dims.max() < columns and np.isfinite(points).all()):
        raise ValueError(f"expected dims in 0..{columns - 1} and finite points")
    return dims, points


def _check_options(k: int, exponent: int, workers: int) -> None:
    if not 1 <= k <= _MOST_NEIGHBOURS:
        raise ValueError(f"expected k in 1..{_MOST_NEIGHBOURS}, got {k}")
    if not isinstance(exponent, int) or not 0 <= exponent <= 64:
        raise ValueError(f"expected a whole exponent in 0..64, got {exponent!r}")
    if workers < 1:
        raise ValueError(f"expected at least one worker, got {workers}")


def _engine(
    data: Array,
    dims: Array,
    m: int,
    draws: int,
    k: int,
    method: Method,
    memory: int,
    pool: ThreadPoolExecutor,
) -> Brute | Walk:
    """The way to carry out `draws` draws of m of the columns `dims`: a walk where its sort pays."""
    if method not in ("auto", "brute", "walk") or (method == "walk" and m != 2):
        raise ValueError(
            f"expected auto, brute or (two dimensions a draw) walk; got {method!r} with {m} dimensions"
        )
    pays = m == 2 and len(data) > _FEW_ROWS + 10 * k and draws > 4 * len(dims)
    if method == "walk" or (method == "auto" and pays):
        return Walk(data, dims, memory, pool)
    return Brute(data, memory)


def _spread(data: Array) -> _Spread:
    rows, columns = data.shape
    low, middle, high = np.zeros((3, columns))
    step = max(1, _CHUNK // max(1, rows))
    for start in range(0, columns if rows else 0, step):
        part = slice(start, start + step)
        block = data[:, part].T.copy()  # of its own: the median reorders it
        low[part], high[part] = block.min(axis=1), block.max(axis=1)
        middle[part] = np.median(block, axis=1, overwrite_input=True)
    dims = np.flatnonzero(high > low)
    return _Spread(dims, low[dims], middle[dims], high[dims])


def _draw(spread: _Spread, n: int, key: Array, subspace: int, start: int) -> Draws:
    """Draws start .. start + n of the stream of `key`: each has whole Philox blocks (4 words) of its own."""
    m = min(subspace, len(spread.dims))
    blocks = -(-2 * m // 4)
    stream = np.random.Philox(key=key, counter=start * blocks)
    words = stream.random_raw(n * blocks * 4).reshape(n, blocks * 4)
    uniform = (words[:, : 2 * m] >> np.uint64(11)) * 2.0**-53
    place = np.empty((n, m), np.int64)
    for j in range(m):  # the rank-th of the dimensions that are not taken yet
        left = len(spread.dims) - j
        rank = np.minimum((uniform[:, j] * left).astype(np.int64), left - 1)
        for taken in np.sort(place[:, :j], axis=1).T:
            rank += rank >= taken
        place[:, j] = rank
    low, middle, high = spread.low[place], spread.middle[place], spread.high[place]
    u, width = uniform[:, m:], high - low
    rising = low + np.sqrt(u * width * (middle - low))
    falling = high - np.sqrt((1 - u) * width * (high - middle))
    return Draws(spread.dims[place], np.where(u * width <= middle - low, rising, falling))


def _agreement(totals: Array, chosen: int, key: Array) -> tuple[float, tuple[float, float]]:
    """Overlap of the best `chosen` rows between halves of the groups: mean over 35 splits, and a 95 % interval."""
    rows = totals.shape[1]
    if chosen >= rows:
        return 1.0, (1.0, 1.0)
    if not totals.any():
        return chosen / rows, (0.0, 1.0)
    luck = np.random.Generator(np.random.Philox(key=key + np.uint64(1)))
    everything = totals.sum(axis=0)
    shares = []
    for others in combinations(range(1, _GROUPS), _GROUPS // 2 - 1):
        half = totals[[0, *others]].sum(axis=0)
        both = _best(half, chosen, luck) & _best(everything - half, chosen, luck)
        shares.append(both.sum() / chosen)
    mean, spread = float(np.mean(shares)), 1.96 * float(np.std(shares, ddof=1))
    return mean, (max(0.0, mean - spread), min(1.0, mean + spread))


def _best(units: Array, chosen: int, luck: np.random.Generator) -> Array:
    """(N,) bool: the `chosen` highest; ties at the edge by lot, as ties broken by row would pass for agreement."""
    edge = np.partition(units, len(units) - chosen)[len(units) - chosen]
    best: Array = units > edge
    tied = np.flatnonzero(units == edge)
    best[luck.permutation(tied)[: chosen - int(best.sum())]] = True
    return best


def _unit(total: Array) -> Array:
    """Scaled to 0..1; all zeros where no row differs from another."""
    if not len(total) or total.max() == total.min():
        return np.zeros(len(total))
    scaled: Array = (total - total.min()) / (total.max() - total.min())
    return scaled
