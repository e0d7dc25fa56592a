"""What do vectors of scenes know? Of its nearest scenes in other drives, how many share what a scene has.

What is measured: made worlds at half of KITTI's size, each encoder's vectors of all scenes, the five nearest scenes by cosine among
those of other drives. "same drive": the nearest of all scenes is of the same drive. Time of day, weather, density: share of the five
that have the scene's own. A class: for the scenes that hold it, the share of the five that hold it too. `chance`: the same for
scenes of other drives drawn by chance; to beat. "traffic": correlation of a scene's number of objects with the mean of its five.
ms: processor time for a scene, one thread, reading included.

    python -m benchmarks.looks --short    (1 world of 60 scenes; half a minute)
    python -m benchmarks.looks --long     (2 worlds of 200 scenes; about 4 minutes of processor time)
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Array, cost, options, save, say
from swath.config import KITTI_CLASSES
from swath.encoders import make
from swath.encoders.pretrained import SPEC
from swath.worlds import make_world

ENCODERS = ("descriptor", "descriptor:image", SPEC)
NEAREST, FEWEST = 5, 10  # scenes looked at; scenes that hold a class, for it to be measured


def main() -> None:
    long = options(__doc__)
    seeds, scenes = ((1, 2), 200) if long else ((1,), 60)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for seed in seeds:
            folder = Path(name) / str(seed)
            make_world(folder, scenes=scenes, seed=seed, scale=0.5)
            rows += measure(folder, seed)
            save("looks", long, __doc__, {"Nearest scenes of other drives": rows})


def measure(folder: Path, seed: int) -> list[dict[str, Any]]:
    """A row for chance and for each encoder in one world."""
    frames = json.loads((folder / "world.json").read_text())["frames"]
    keys, home = sorted(frames), folder / "training"
    paths = [
        {"image": str(home / "image_2" / f"{key}.png"), "cloud": str(home / "velodyne" / f"{key}.bin")}
        for key in keys
    ]
    held = [[line.split()[0] for line in (home / "label_2" / f"{key}.txt").open()] for key in keys]
    drive = np.array([frames[key]["drive"] for key in keys])
    other = drive[:, None] != drive[None]
    shared = {name: _same([frames[key][name] for key in keys]) for name in ("time", "weather", "density")}
    for label in KITTI_CLASSES[1:]:  # nearly every scene holds a car
        has = np.array([label in one for one in held])
        if has.sum() >= FEWEST:
            shared[label] = np.where(has[:, None], np.tile(has.astype(float), (len(has), 1)), np.nan)
    count = np.array([len(one) for one in held], float)
    rows = [
        {
            "world": seed,
            "encoder": "chance",
            **{name: _share(values, other) for name, values in shared.items()},
        }
    ]
    for encoder in ENCODERS:
        sees = make(encoder)
        with cost() as spent:
            x = sees.encode(paths).vectors.astype(float)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        near, best = _nearest(x @ x.T, other)
        rows.append(
            {
                "world": seed,
                "encoder": encoder,
                **{name: _share(values, near) for name, values in shared.items()},
                "traffic": float(np.corrcoef(count, (near @ count) / NEAREST)[0, 1]),
                "same drive": float((drive[best] == drive).mean()),
                "ms": 1000 * spent.cpu / len(keys),
            }
        )
        say(f"world {seed}: {encoder}")
    return rows


def _same(values: list[str]) -> Array:
    """(n, n) 1.0 where two scenes have the same."""
    return (np.array(values)[:, None] == np.array(values)[None]).astype(float)


def _nearest(cosine: Array, other: Array) -> tuple[Array, Array]:
    """(n, n) which are the nearest of other drives, and (n,) the nearest of all."""
    np.fill_diagonal(cosine, -np.inf)
    order = np.argsort(np.where(other, -cosine, np.inf), axis=1, kind="stable")[:, :NEAREST]
    near = np.zeros(other.shape, bool)
    np.put_along_axis(near, order, True, axis=1)
    return near, cosine.argmax(axis=1)


def _share(values: Array, chosen: Array) -> float:
    """The mean over scenes of the mean of `values` (n, n) over those chosen; scenes of NaN are left out."""
    told = ~np.isnan(values).any(axis=1)
    return float(((values * chosen).sum(axis=1) / chosen.sum(axis=1))[told].mean())


if __name__ == "__main__":
    main()
