"""The exact nearest pool scenes of a model's failures: time and memory; and what ranking by contrast is worth.

Search: against scikit-learn's cosine similarity with a sort, and faiss's exact search where it is installed; each in a
process of its own, one thread. `peak` is memory above the loaded vectors. Must reach: < 100 MB at F 1,000, N 1M, D 512.
Contrast: made worlds whose failing kind is known. Precision is the share of a batch of 100 (round-robin over the failures)
that holds it. Plain similarity against similarity minus that to clean validation scenes; paired over worlds.

    python -m benchmarks.neighbors [--short | --long]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.common import Array, alone, clustered, cost, interval, options, save, say
from swath.kernels.allocate import allocate
from swath.kernels.neighbors import contrast_top_k, top_k

K = 100


def search(method: str, rows: int, width: int, count: int) -> dict[str, Any]:
    pool = clustered(rows, width)
    queries = pool[:: max(1, rows // count)][:count] + np.float32(0.1) * clustered(count, width, seed=1)
    run = {"swath": _swath, "scikit-learn": _sklearn, "faiss": _faiss}[method]
    run(queries[:2], pool[:500])
    with cost() as spent:
        found = run(queries, pool)
    sample = np.arange(0, count, max(1, count // 20))
    truth = _sklearn(queries[sample].astype(np.float64), pool.astype(np.float64) if rows <= 200_000 else pool)
    recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found[sample], truth, strict=True)])
    return {
        "N": rows,
        "D": width,
        "F": count,
        "k": K,
        "method": method,
        "wall s": spent.wall,
        "cpu s": spent.cpu,
        "peak MB above vectors": spent.peak_mb,
        "vectors MB": (pool.nbytes + queries.nbytes) / 2**20,
        "recall on 20 queries": recall,
    }


def _swath(queries: Array, pool: Array) -> Array:
    return top_k(queries, pool, K)[0]


def _sklearn(queries: Array, pool: Array) -> Array:
    from sklearn.metrics.pairwise import cosine_similarity

    return np.argsort(-cosine_similarity(queries, pool), axis=1, kind="stable")[:, :K]


def _faiss(queries: Array, pool: Array) -> Array:
    import faiss

    lines = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, pool)]
    return faiss.knn(*lines, K, metric=faiss.METRIC_INNER_PRODUCT)[1]


def world(seed: int, spoilt: float) -> tuple[Array, Array, Array, Array]:
    """Pool (3000, 64), failures (20, 64), clean (180, 64), and which pool rows hold the failing kind.

    A scene is its drive (strong), its light (medium) and what is in it (weak): a rare kind on top of ordinary ones. The
    model fails where the rare kind is, and `spoilt` of the failures are chance errors in ordinary scenes.
    """
    rng = np.random.default_rng(seed)
    drives, light, kinds = (scale * rng.normal(size=(n, 64)) for n, scale in ((40, 1.0), (5, 0.7), (9, 0.5)))

    def scenes(n: int) -> tuple[Array, Array]:
        rare = rng.random(n) < 0.05
        kind = np.where(rare, 8, rng.integers(0, 8, n))
        x = drives[rng.integers(0, 40, n)] + light[rng.integers(0, 5, n)] + kinds[kind]
        return (x + 0.3 * rng.normal(size=x.shape)).astype(np.float32), rare

    pool, held = scenes(3000)
    val, rare = scenes(2000)
    fails, fine = np.flatnonzero(rare)[:20], np.flatnonzero(~rare)
    fails[: round(spoilt * len(fails))] = fine[: round(spoilt * len(fails))]
    return pool, val[fails], val[fine[-180:]], held


def contrast(spoilt: float, worlds: int) -> dict[str, Any]:
    precision: dict[str, list[float]] = {"plain": [], "0.5": [], "1.0": []}
    base = []
    for seed in range(worlds):
        pool, failures, clean, held = world(seed, spoilt)
        keys = [f"{i:05d}" for i in range(len(pool))]
        base.append(held.mean())
        for name, values in precision.items():
            weight = 0.0 if name == "plain" else float(name)
            found = contrast_top_k(failures, clean, pool, K, weight=weight)
            batch = allocate(100, [], [], *found, keys=keys, share="0")
            values.append(held[batch.rows].mean())
    row: dict[str, Any] = {
        "failures by chance": f"{spoilt:.0%}",
        "worlds": worlds,
        "base rate": np.mean(base),
    }
    row["plain"] = np.mean(precision["plain"])
    for name in ("0.5", "1.0"):
        gain = interval(np.subtract(precision[name], precision["plain"]))
        row[f"contrast {name}"] = np.mean(precision[name])
        row[f"gain {name}"] = "{:+.3f} ({:+.3f} to {:+.3f})".format(*gain)
    return row


def main() -> None:
    long = options(__doc__)
    sizes = [(20_000, 128, 200)] if not long else [(100_000, 512, 1000), (1_000_000, 512, 1000)]
    methods = ["swath", "scikit-learn"]
    try:
        import faiss  # noqa: F401

        methods.append("faiss")
    except ImportError:
        say("faiss is not installed: left out")
    table = []
    for rows, width, count in sizes:
        for method in methods:
            if rows > 200_000 and method == "scikit-learn":
                continue  # its similarities alone are 4 GB, and the sort's rows 8 GB
            table.append(alone(search, method, rows, width, count))
            say(f"{method} N {rows}: {table[-1]['wall s']:.1f} s")
    tables = {"Search": table}
    tables["Contrast"] = [contrast(spoilt, 40 if long else 8) for spoilt in (0.0, 0.3, 0.6)]
    save(
        "neighbors",
        long,
        __doc__,
        tables,
        ["faiss needs vectors of length one: its time and peak include that copy."],
    )


if __name__ == "__main__":
    main()
