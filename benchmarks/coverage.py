"""Which coverage score labels the most of a pool's variety, given what is labelled already.

A trial: half of the drives have been visited, and 15 % of all scenes, from those drives, are labelled; each method then
chooses 10 % of the rest. Afterwards: mean and 95th percentile of the distance (length of the chord between directions)
from a pool scene that is left to its nearest labelled one, and the shares of drives and of rare conditions of which at
least one scene is labelled. Trials differ in drives, labels and seeds; differences to `random` are paired by trial, with
95 % bootstrap intervals. ZCore has 100 draws per row.

Photographs and the rendered world are seen by the built-in descriptor, and by EfficientNet-Lite0 with ImageNet's weights (the same
drives and labels): distances are of each one's own vectors, so that only what is touched can be compared between the two.

    python -m benchmarks.coverage [--short | --long]
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.common import Array, crop, described, interval, options, pictures, save, say
from swath.encoders import Encoder, make
from swath.encoders.pretrained import SPEC, Pretrained
from swath.kernels.coverage import CoverageMethod, coverage_scores
from swath.kernels.neighbors import top_k

World = tuple[Array, Array, Array]  # embeddings (N, D), drive (N,), rare condition (N,) or -1
MEASURES = ("mean distance", "95 % distance", "drives", "rare conditions")


def even(seed: int) -> World:
    """Vectors: drives of like length, five kinds of light, and twelve rare conditions of about 0.5 % each."""
    return _vectors(seed, np.ones(60), 0.3)


def uneven(seed: int) -> World:
    """Vectors: a few drives hold most scenes, within which they differ little (a parked or a slow car); heavy tails."""
    return _vectors(seed, 1 / np.arange(1, 61), 0.15)


def _vectors(seed: int, share: Array, noise: float) -> World:
    rng = np.random.default_rng(seed)
    drives, light, kinds = (scale * rng.normal(size=(n, 64)) for n, scale in ((60, 1.0), (5, 0.7), (12, 0.8)))
    drive = rng.choice(60, 1200, p=share / share.sum())
    rare = np.where(rng.random(1200) < 0.06, rng.integers(0, 12, 1200), -1)
    x = drives[drive] + light[rng.integers(0, 5, 1200)] + np.where(rare[:, None] >= 0, kinds[rare], 0.0)
    return (x + noise * rng.standard_t(3, x.shape)).astype(np.float32), drive, rare


def crops(seed: int, see: Callable[[Array], Array]) -> World:
    """Crops of photographs, as `see` describes them: a drive is one spot of a picture, rare ones are dark."""
    rng, some = np.random.default_rng(seed), pictures()
    x, drive, rare = [], [], []
    for spot in range(40):
        picture = some[spot % len(some)]
        middle = rng.random(2)
        for _ in range(30):
            dark = rng.random() < 0.05
            around = middle + rng.normal(scale=0.04, size=2)
            x.append(see(crop(picture, (around[0], around[1]), 1, 0.3 if dark else rng.uniform(0.8, 1.0))))
            drive.append(spot)
            rare.append(spot % len(some) if dark else -1)
    return np.array(x), np.array(drive), np.array(rare)


def rendered(scenes: int, encoder: Encoder) -> World:
    """Scenes of a made world, as the encoder sees them; rare: a class that few scenes hold."""
    from swath.worlds.make import make_world

    with tempfile.TemporaryDirectory() as folder:
        make_world(Path(folder), scenes=scenes, seed=5, scale=0.25)
        frames = json.loads((Path(folder) / "world.json").read_text())["frames"]
        keys, home = sorted(frames), Path(folder) / "training"
        paths = [
            {"image": str(home / "image_2" / f"{key}.png"), "cloud": str(home / "velodyne" / f"{key}.bin")}
            for key in keys
        ]
        encoded = encoder.encode(paths)
        held = [{line.split()[0] for line in (home / "label_2" / f"{key}.txt").open()} for key in keys]
    if encoded.problems:
        raise RuntimeError(f"scenes that were not encoded: {encoded.problems}")
    count = Counter(label for labels in held for label in labels)
    seldom = sorted(label for label, scenes_with in count.items() if scenes_with <= 0.1 * len(keys))
    rare = [min((seldom.index(label) for label in labels & set(seldom)), default=-1) for labels in held]
    drive = np.unique([frames[key]["drive"] for key in keys], return_inverse=True)[1]
    return encoded.vectors, drive, np.array(rare)


def trial(world: World, method: CoverageMethod, seed: int) -> tuple[float, ...]:
    """The four measures after one batch chosen by `method`."""
    x, drive, rare = world
    rng = np.random.default_rng(seed)
    visited = rng.permutation(drive.max() + 1)[: (drive.max() + 1) // 2]
    known = rng.permutation(np.flatnonzero(np.isin(drive, visited)))[: round(0.15 * len(x))]
    pool = np.setdiff1d(np.arange(len(x)), known)
    scores = coverage_scores(x[pool], x[known], method=method, seed=seed, select=0.1, max_draws=100 * len(x))
    order = np.argsort(-scores, kind="stable")
    batch, left = np.split(order, [int(np.ceil(0.1 * len(pool)))])
    labelled = np.concatenate([known, pool[batch]])
    _, similarity = top_k(x[pool[left]], x[labelled], 1)
    distance = np.sqrt(np.maximum(0, 2 - 2 * similarity[:, 0].astype(np.float64)))
    kinds = np.unique(rare[rare >= 0])
    drives_touched = len(np.unique(drive[labelled])) / len(np.unique(drive))
    kinds_touched = len(np.intersect1d(rare[labelled], kinds)) / len(kinds)
    return float(distance.mean()), float(np.quantile(distance, 0.95)), drives_touched, kinds_touched


def compare(name: str, worlds: list[World], trials: int) -> list[dict[str, Any]]:
    """One row per method: the measures, and their paired differences to random."""
    got = {
        method: np.array([trial(worlds[seed % len(worlds)], method, seed) for seed in range(trials)])
        for method in reversed(get_args(CoverageMethod))
    }
    rows = []
    for method, values in got.items():
        row: dict[str, Any] = {"world": name, "method": method, "trials": trials}
        for i, measure in enumerate(MEASURES):
            row[measure] = values[:, i].mean()
            if method != "random":
                gain = interval(values[:, i] - got["random"][:, i])
                row[f"{measure}, against random"] = "{:+.3f} ({:+.3f} to {:+.3f})".format(*gain)
        rows.append(row)
        say(f"{name}: {method}")
    return rows


def main() -> None:
    long = options(__doc__)
    count, trials = (8, 16) if long else (2, 2)
    rows = compare("even drives, vectors", [even(seed) for seed in range(count)], trials)
    rows += compare("uneven drives, vectors", [uneven(seed) for seed in range(count)], trials)
    if long:
        see = make(SPEC)
        assert isinstance(see, Pretrained)
        for name, what in (("descriptor", described), ("pretrained", see.see)):
            rows += compare(f"photographs, {name}", [crops(seed, what) for seed in range(2)], trials)
        for name in ("descriptor", "descriptor:image", SPEC):
            rows += compare(f"rendered, {name}", [rendered(300, make(name))], trials)
    save("coverage", long, __doc__, {"Coverage": rows})


if __name__ == "__main__":
    main()
