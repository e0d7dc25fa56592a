"""The exact nearest pool scenes of a model's failures, by looks and by what the model sees of them: time and memory.

Search: `nearest_with_evidence`, which `select` calls, with 8 classes and half of the weight on them; `top_k`, looks alone;
by looks alone also scikit-learn's cosine similarity with a sort, and faiss's exact search where it is installed. Each in a
process of its own, one thread. `peak` is memory above the loaded vectors and evidence. Recall is against all scores in
float64, sorted. Must reach: < 100 MB above the vectors at N 200k and 1M, D 512, F 10 and 1,000.
Evidence: what the term costs. Both searches in one process, in turns, three times each; the quickest of each, and the ratio.
Must reach: < 1.5.

    python -m benchmarks.neighbors [--short | --long]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import Array, alone, clustered, cost, options, save, say
from swath.kernels.evidence import nearest_with_evidence
from swath.kernels.neighbors import top_k

K = 100
CLASSES = 8
SHARE = 0.5
SELECT = "nearest_with_evidence"
PLAIN_MOST = (
    200_000  # rows: the similarities of scikit-learn take 4 GB where there are 1M, and the sort's rows 8 GB
)


def made(rows: int, width: int, count: int) -> tuple[Array, Array, Array, Array]:
    """Queries (F, D), weights (F, 8) of 3 classes each, pool (N, D), evidence (N, 8) in thousandths, 0 for most."""
    rng = np.random.default_rng(2)
    pool = clustered(rows, width)
    queries = pool[:: max(1, rows // count)][:count] + np.float32(0.1) * clustered(count, width, seed=1)
    weights = np.zeros((count, CLASSES))
    for row in weights:
        row[rng.permutation(CLASSES)[:3]] = rng.dirichlet(np.ones(3))
    evidence = np.rint(1000 * rng.random((rows, CLASSES)) ** 2 * (rng.random((rows, CLASSES)) < 0.3)) / 1000
    return queries, weights, pool, evidence


def search(method: str, rows: int, width: int, count: int) -> dict[str, Any]:
    queries, weights, pool, evidence = made(rows, width, count)
    run: Callable[[Array, Array, Array, Array], Array] = {
        SELECT: _mixed,
        "top_k": _looks,
        "scikit-learn": _sklearn,
        "faiss": _faiss,
    }[method]
    run(queries[:2], weights[:2], pool[:500], evidence[:500])
    with cost() as spent:
        found = run(queries, weights, pool, evidence)
    sample = np.arange(0, count, max(1, count // 20))[:20]
    share = SHARE if method == SELECT else 0.0
    truth = _truth(queries[sample], weights[sample], pool, evidence, share)
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


def _mixed(queries: Array, weights: Array, pool: Array, evidence: Array) -> Array:
    return nearest_with_evidence(queries, weights, pool, evidence, SHARE, K)[0]


def _looks(queries: Array, weights: Array, pool: Array, evidence: Array) -> Array:
    return top_k(queries, pool, K)[0]


def _sklearn(queries: Array, weights: Array, pool: Array, evidence: Array) -> Array:
    from sklearn.metrics.pairwise import cosine_similarity

    return np.argsort(-cosine_similarity(queries, pool), axis=1, kind="stable")[:, :K]


def _faiss(queries: Array, weights: Array, pool: Array, evidence: Array) -> Array:
    import faiss

    lines = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, pool)]
    return faiss.knn(*lines, K, metric=faiss.METRIC_INNER_PRODUCT)[1]


def _truth(queries: Array, weights: Array, pool: Array, evidence: Array, share: float) -> Array:
    """(F, k) rows by all scores in float64, block by block, and a stable sort."""
    queries = queries.astype(np.float64)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    scores = []
    for start in range(0, len(pool), 20_000):
        block = pool[start : start + 20_000].astype(np.float64)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        seen = evidence[start : start + 20_000]
        scores.append((1 - share) * queries @ block.T + share * weights @ seen.T)
    return np.argsort(-np.hstack(scores), axis=1, kind="stable")[:, :K]


def term(rows: int, width: int, count: int) -> dict[str, Any]:
    """What the evidence costs: both searches in turns, so that other work on the machine meets both."""
    given = made(rows, width, count)
    seconds: dict[str, list[tuple[float, float]]] = {SELECT: [], "top_k": []}
    for _ in range(3):
        for name, run in ((SELECT, _mixed), ("top_k", _looks)):
            wall, cpu = time.perf_counter(), time.process_time()
            run(*given)
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    row: dict[str, Any] = {"N": rows, "D": width, "F": count, "k": K, "classes": CLASSES}
    for at, unit in enumerate(("wall s", "cpu s")):
        best = {name: min(one[at] for one in runs) for name, runs in seconds.items()}
        row |= {f"{name} {unit}": value for name, value in best.items()}
        row[f"ratio of {unit}"] = best[SELECT] / best["top_k"]
    return row


def main() -> None:
    long = options(__doc__)
    sizes = [(20_000, 128, 200)]
    if long:
        sizes = [(200_000, 512, 10), (200_000, 512, 1000), (1_000_000, 512, 1000)]
    methods = [SELECT, "top_k", "scikit-learn"]
    try:
        import faiss  # noqa: F401

        methods.append("faiss")
    except ImportError:
        say("faiss is not installed: left out")
    found, terms = [], []
    for size in sizes:
        for method in methods:
            if size[0] > PLAIN_MOST and method == "scikit-learn":
                continue
            found.append(alone(search, method, *size))
            say(f"{method} N {size[0]} F {size[2]}: {found[-1]['wall s']:.1f} s")
        if size[0] <= PLAIN_MOST:
            terms.append(alone(term, *size))
            say(f"evidence N {size[0]} F {size[2]}: {terms[-1]['ratio of cpu s']:.2f} times")
    notes = ["faiss needs vectors of length one: its time and peak include that copy."] * ("faiss" in methods)
    save("neighbors", long, __doc__, {"Search": found, "Evidence": terms}, notes)


if __name__ == "__main__":
    main()
