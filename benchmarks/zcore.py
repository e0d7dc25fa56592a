"""What a ZCore draw costs, against the published formula in NumPy, and what the whole score costs.

Per draw, one thread, the same draws for all: `published` is the formula of the paper, one draw after the other, with
NumPy's default sort as in the authors' code; `brute` (columns at hand) and `walk` are ours. The sort is excluded from
`walk` and listed beside it, with the number of draws from which the walk pays. `difference` is the largest difference
between our scores and the formula's, run on the draws that the formula was timed on (with a stable sort).
Must reach: 1000x (k = 50) and 200x (k = 1000) at N = 1M, D = 512; rows looked at grow with an exponent <= 0.40.

    python -m benchmarks.zcore [--short | --long]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.common import (
    Array,
    alone,
    clustered,
    cost,
    machine,
    normalised,
    options,
    photographs,
    ragged,
    save,
    say,
)
from swath.kernels import _zcore_walk as compiled
from swath.kernels import zcore
from swath.kernels._zcore_columns import Walk

DATA: dict[str, Callable[[int, int], Array]] = {
    "clustered": clustered,
    "ragged": ragged,
    "normalised": normalised,
}
SORTED = 128  # dimensions that the timed draws come from
COLD = "Cost of a draw, one thread"
DENSE = "Cost of a draw, pairs of dimensions as often as in a full run"
NOTES = (
    f"The timed draws come from {SORTED} of the dimensions, so that hardly a pair comes twice and columns are cold in cache.",
    "In the second table they come from 16: each pair about 16 times, as in the default 2,000,000 draws at D = 512.",
    "clustered: tails of whole rows; ragged: tails of single values; normalised: clustered, of length one.",
    "`rows seen` counts both sorted columns; `photographs` are crops, encoded by the built-in descriptor.",
    "`published` sorts as NumPy does by default (vector instructions, unstable), `stable` as a reproducible result needs.",
    "The ^ columns are slopes of log against log over N.",
)


def published(embeddings: Array, draws: zcore.Draws, k: int, kind: Any) -> Array:
    """The formula of the paper (section 3), one draw after the other; `kind` of sort."""
    scores = np.zeros(len(embeddings))
    for dims, point in zip(draws.dims, draws.points, strict=True):
        chosen = np.argmin(np.sum(np.abs(embeddings[:, dims] - point), axis=1))
        scores[chosen] += 1
        distance = np.sum(np.abs(embeddings[:, dims] - embeddings[chosen, dims]), axis=1)
        others = np.argsort(distance, kind=kind)[1:]
        if distance[others[0]] == 0:
            scores[others[0]] -= 1
        else:
            others = others[:k]
            share = 1 / distance[others] ** 4
            scores[others] -= share / share.sum()
    return scores


def timed(function: Callable[[], Any], draws: int) -> float:
    """Processor time in microseconds per draw."""
    start = time.process_time()
    function()
    return (time.process_time() - start) / draws * 1e6


def some_draws(x: Array, n: int, seed: int = 1, dims: int = SORTED) -> zcore.Draws:
    """Draws over `dims` of the dimensions, so that sorting them fits in memory at any N and D."""
    part = np.sort(np.random.default_rng(seed).choice(x.shape[1], min(dims, x.shape[1]), replace=False))
    draws = zcore.draw(np.ascontiguousarray(x[:, part]), n, np.random.default_rng(seed))
    return zcore.Draws(part[draws.dims], draws.points)


def costs(x: Array, data: str, few: int, many: int, dims: int = SORTED) -> list[dict[str, Any]]:
    """One row per k: the formula on `few` draws, ours on `many` draws over `dims` of the dimensions."""
    rows, width = x.shape
    draws = some_draws(x, many, dims=dims)
    found = []
    with ThreadPoolExecutor(1) as pool:
        start = time.process_time()
        engine = Walk(x, np.unique(draws.dims), 2**36, pool)
        sort = (time.process_time() - start) / len(np.unique(draws.dims))
        for k in (50, 1000):
            rule = (min(k, rows), 4, rows)
            total = np.zeros((1, rows), np.int64)
            engine.add([(draws.dims[:4], draws.points[:4])], total, rule, pool)  # compiled
            engine.visits[:], total[:] = 0, 0
            walk = timed(lambda: engine.add([(draws.dims, draws.points)], total, rule, pool), many)  # noqa: B023
            some = draws[: max(few, many // 50)]
            partly = np.zeros((1, rows), np.int64)
            used, place = np.unique(some.dims, return_inverse=True)
            columns = np.ascontiguousarray(x[:, used].T) + np.float32(0)
            given = (columns, place.reshape(-1, 2), some.points, *rule)
            compiled.brute(*given, partly[0])
            partly[:] = 0
            brute = timed(lambda: compiled.brute(*given, partly[0]), len(some))  # noqa: B023
            same = zcore.partial(x, some, k=k, method="walk").units
            if not np.array_equal(same, partly[0]):
                raise AssertionError(f"walk and brute force differ: {data}, N {rows}, D {width}, k {k}")
            literal = timed(lambda: published(x, draws[:few], k, None), few)  # noqa: B023
            start = time.process_time()
            reference = published(x, draws[:few], k, "stable")
            stable = (time.process_time() - start) / few * 1e6
            difference = np.abs(zcore.raw_scores(x, draws[:few], k=k) - reference).max()
            found.append(
                {
                    "N": rows,
                    "D": width,
                    "data": data,
                    "k": k,
                    "published us": literal,
                    "published, stable us": stable,
                    "brute us": brute,
                    "walk us": walk,
                    "published / walk": literal / walk,
                    "stable / walk": stable / walk,
                    "brute / walk": brute / walk,
                    "rows seen, nearest": engine.visits[0] / many,
                    "rows seen, k nearest": engine.visits[1] / many,
                    "sort ms a dim": sort * 1e3,
                    "walk pays from draws": width * sort * 1e6 / max(brute - walk, 1e-9),
                    "difference": difference,
                }
            )
            say(f"{data} N {rows} D {width} k {k}: {literal:.0f} / {brute:.0f} / {walk:.1f} us")
    return found


def growth(table: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Slopes of log cost over log N, from the smallest to the largest N of each D, data and k."""
    for group in dict.fromkeys((row["D"], row["data"], row["k"]) for row in table):
        rows = [row for row in table if (row["D"], row["data"], row["k"]) == group]
        if len(rows) > 1:
            log = np.log([row["N"] for row in rows])
            seen = [row["rows seen, nearest"] + row["rows seen, k nearest"] for row in rows]
            yield {
                "D": group[0],
                "data": group[1],
                "k": group[2],
                "N": f"{rows[0]['N']:,} to {rows[-1]['N']:,}",
                "rows seen ^": np.polyfit(log, np.log(seen), 1)[0],
                "walk time ^": np.polyfit(log, np.log([row["walk us"] for row in rows]), 1)[0],
                "brute time ^": np.polyfit(log, np.log([row["brute us"] for row in rows]), 1)[0],
                "published time ^": np.polyfit(log, np.log([row["published us"] for row in rows]), 1)[0],
            }


def threads(rows: int, width: int, draws: int) -> list[dict[str, Any]]:
    """The same draws by one and by all cores, sort and all; the scores must be the same bits."""
    x = clustered(rows, width)
    some, found, first = some_draws(x, draws), [], None
    for workers in dict.fromkeys((1, machine()["cores"])):
        with cost() as spent:
            units = zcore.partial(x, some, workers=workers, method="walk").units
        first = units if first is None else first
        found.append(
            {
                "N": rows,
                "D": width,
                "draws": draws,
                "workers": workers,
                "wall s": spent.wall,
                "cpu s": spent.cpu,
                "same bits": bool(np.array_equal(units, first)),
            }
        )
    return found


def job(
    rows: int, width: int, select: float, max_draws: int | None, workers: int, memory: int
) -> dict[str, Any]:
    """The whole `score` in a process of its own: sort, draws, overlap."""
    x = clustered(rows, width)
    zcore.score(x[:2000], seed=0, max_draws=100, k=50, method="walk")  # compiled
    with cost() as spent:
        result = zcore.score(x, seed=1, select=select, max_draws=max_draws, workers=workers, memory=memory)
    return {
        "N": rows,
        "D": width,
        "select": select,
        "workers": workers,
        "column budget MB": memory / 2**20,
        "draws": result.draws,
        "overlap of halves": result.overlap,
        "interval": "{:.3f} to {:.3f}".format(*result.interval),
        "ended by": result.reason,
        "wall s": spent.wall,
        "cpu s": spent.cpu,
        "peak MB above data": spent.peak_mb,
        "data MB": x.nbytes / 2**20,
    }


def honest_interval(rows: int, draws: int, seeds: int) -> list[dict[str, Any]]:
    """How often the stated interval holds the mean overlap of independent runs with half the draws."""
    x = clustered(rows, 64)
    best = []
    for seed in range(1000, 1040):
        raw = zcore.raw_scores(x, zcore.draw(x, draws // 2, np.random.default_rng(seed)), k=50)
        best.append(np.argsort(-raw, kind="stable")[: rows // 10])
    pairs = [np.isin(a, b).mean() for i, a in enumerate(best) for b in best[:i]]
    results = [zcore.score(x, seed=s, max_draws=draws, target_overlap=1.0, k=50) for s in range(seeds)]
    held = [r.interval[0] <= np.mean(pairs) <= r.interval[1] for r in results]
    return [
        {
            "N": rows,
            "draws": draws,
            "true overlap of halves": np.mean(pairs),
            "stated, mean": np.mean([r.overlap for r in results]),
            "interval width": np.mean([r.interval[1] - r.interval[0] for r in results]),
            "interval holds it": np.mean(held),
            "runs": seeds,
        }
    ]


def stability(rows: int, draws: list[int]) -> list[dict[str, Any]]:
    """The stated overlap of a tenth of the rows against the number of draws, on data of unlike kinds."""
    rng = np.random.default_rng(0)
    data = {
        "clustered": clustered(rows, 128),
        "normalised": normalised(rows, 128),
        "ragged": ragged(rows, 128),
        "gauss": rng.standard_normal((rows, 128), dtype=np.float32),
        "photographs": photographs(rows),
    }
    found = []
    for name, x in data.items():
        row: dict[str, Any] = {"data": name, "N": rows, "D": x.shape[1]}
        for n in draws:
            result = zcore.score(x, seed=1, max_draws=n, target_overlap=1.0, workers=2)
            row[f"{n / rows:g} draws a row"] = "{:.2f} ({:.2f} to {:.2f})".format(
                result.overlap, *result.interval
            )
        found.append(row)
    return found


def main() -> None:
    long = options(__doc__)
    table: list[dict[str, Any]] = []
    sizes = [(10_000, 128), (10_000, 512), (100_000, 128), (100_000, 512), (1_000_000, 128), (1_000_000, 512)]
    for rows, width in sizes if long else [(10_000, 128), (40_000, 128)]:
        for data, make in DATA.items():
            if (data == "ragged" and width == 128) or (data == "normalised" and rows * width > 2e8):
                continue  # enough at one of the sizes
            few = {10_000: 40, 100_000: 10}.get(rows, 4 if long else 20)
            table += costs(make(rows, width), data, few, 2000)
    crops = photographs(5000 if long else 1500)
    for part in (crops[:1250], crops) if long else (crops,):
        table += costs(part, "photographs", 20, 2000)
    table.sort(key=lambda row: row["N"])
    tables: dict[str, list[dict[str, Any]]] = {
        "Cost of a draw, one thread": table,
        "Growth": list(growth(table)),
    }
    say("a full run's density, threads and whole jobs")
    tables[DENSE] = costs(ragged(1_000_000 if long else 20_000, 512), "ragged", 4, 2000, dims=16)
    tables["Threads"] = threads(100_000 if long else 20_000, 128, 20_000 if long else 4000)
    tables["Stability"] = stability(*((1000, [1000, 10_000, 100_000]) if long else (500, [500, 5000])))
    tables["The interval"] = honest_interval(400, 8000, 200 if long else 40)
    gigabytes = 4 * 2**30
    jobs = [(130, 486, 0.25, None, 1, gigabytes), (5000, 512, 0.1, 20_000, 2, gigabytes)]
    if long:
        jobs += [(100_000, 512, 0.1, 20_000, 2, gigabytes), (100_000, 512, 0.1, 20_000, 2, 200 * 2**20)]
        jobs += [(5000, 512, 0.1, None, 2, gigabytes), (100_000, 512, 0.1, None, 2, gigabytes)]
    tables["The whole score"] = []
    for arguments in jobs:  # the last takes minutes: what there is, is kept
        tables["The whole score"].append(alone(job, *arguments))
        if long:
            save("zcore", long, __doc__, tables, NOTES)
            say(f"score {arguments}: {tables['The whole score'][-1]['wall s']:.0f} s")
    save("zcore", long, __doc__, tables, NOTES)


if __name__ == "__main__":
    main()
