"""What the allocation of a batch costs: 5,000 picks from the lists of 1,000 failures with 100 neighbours each.

Beside it the naive way, the guide's: put all neighbours into a set and cut it; that is quick, and unranked, unfair and
different from run to run, so only its time is shown. Must reach: under 0.5 s.

    python -m benchmarks.allocate [--short | --long]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.common import cost, options, save
from swath.kernels.allocate import allocate


def problem(rows: int, failures: int, length: int, seed: int) -> tuple[Any, ...]:
    """Lists that overlap as neighbours of related failures do: each failure draws its own from a few regions."""
    rng = np.random.default_rng(seed)
    centre = rng.integers(0, rows, failures)[:, None]
    target = (centre + np.rint(rng.normal(scale=rows / 50, size=(failures, length)))).astype(np.int64) % rows
    score = np.sort(rng.random((failures, length)))[:, ::-1]
    return np.arange(rows), rng.random(rows), target, score


def measure(budget: int, rows: int, failures: int, length: int, seeds: int) -> dict[str, Any]:
    keys = [f"2011_09_26_drive_{i // 100:04d}/{i % 100:06d}" for i in range(rows)]
    walls, cpus, naive, batches = [], [], [], []
    for seed in range(seeds):
        coverage, scores, target, score = problem(rows, failures, length, seed)
        with cost() as spent:
            batch = allocate(budget, coverage, scores, target, score, keys=keys)
        walls.append(spent.wall)
        cpus.append(spent.cpu)
        batches.append(batch)
        with cost() as spent:
            list({int(row) for row in target.ravel()})[:budget]
        naive.append(spent.wall)
    served = np.bincount(batches[0].failure[batches[0].failure >= 0], minlength=failures)
    return {
        "budget": budget,
        "rows": rows,
        "failures": failures,
        "neighbours": length,
        "wall s, median": np.median(walls),
        "wall s, worst": max(walls),
        "cpu s, median": np.median(cpus),
        "set and cut, wall s": np.median(naive),
        "batch": len(batches[0].rows),
        "coverage": int((batches[0].stream == "coverage").sum()),
        "served per failure": f"{served.min()} to {served.max()}",
        "runs": seeds,
    }


def main() -> None:
    long = options(__doc__)
    rows = [measure(5000, 100_000, 1000, 100, 20 if long else 5), measure(39, 130, 10, 20, 20 if long else 5)]
    if long:
        rows += [measure(5000, 1_000_000, 1000, 100, 5), measure(50_000, 1_000_000, 5000, 200, 2)]
    save("allocate", long, __doc__, {"Allocation": rows})


if __name__ == "__main__":
    main()
