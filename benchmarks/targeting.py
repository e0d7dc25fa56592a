"""Do targeted scenes hold what their failures missed? Looks alone against looks and what the model sees; scenes against objects.

What is measured: made worlds with hidden truth; v0 is labelled, trained and evaluated by the loop itself, then the next batch
is chosen (and not committed) for several shares of class evidence (`select.class_evidence`), and for failing scenes, failing objects
or both as queries (`select.queries`). The failing kind of a failure is the class it missed most of, measured against how many of that class
val has; that of an object is its class. `share`: targeted scenes that hold the failing
kind of the failure they answer, over all worlds; `base`: the same for scenes drawn from the candidates by chance. Share 0 is
the guide's rule, the nearest scenes by embedding. To beat: the base rate. Vectors: the descriptor of image and cloud, that of the
image alone, EfficientNet-Lite0 with ImageNet's weights (of the image), the features of the round's own detector. v0 is the same for
all. Results are kept as worlds come.

    python -m benchmarks.targeting --short    (1 world of 100 scenes at a quarter of KITTI's size)
    python -m benchmarks.targeting --long     (4 worlds of 200 scenes at half size; about 15 minutes of processor time)
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import interval, options, save, say
from swath import database
from swath.encoders.pretrained import SPEC
from swath.measure import held, measured
from swath.policies.aim import failing_kinds

if TYPE_CHECKING:
    from swath.loop import Loop
    from swath.records.results import SelectResult

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
QUERIES = {
    "descriptor": ("scenes", "objects", "both"),
    "descriptor:image": ("scenes",),
    SPEC: ("scenes",),
    "model:v0": ("scenes",),
}


Way = tuple[str, str, float]
"""Encoder, queries, share of class evidence."""


def main() -> None:
    long = options(__doc__)
    worlds, scenes, scale = (range(11, 15), 200, 0.5) if long else (range(11, 12), 100, 0.25)
    found: dict[Way, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = database.start(Path(folder) / "db")
        os.environ["FIFTYONE_DATABASE_URI"] = server.uri
        try:
            for seed in worlds:
                say(f"world {seed}")
                for key, pair in measure(seed, scenes, scale, Path(folder) / str(seed)).items():
                    found.setdefault(key, []).append(pair)
                save(
                    "targeting", long, __doc__, {"Targeted scenes that hold the failing kind": rows_of(found)}
                )
        finally:
            server.stop()


def rows_of(found: dict[Way, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """One row for each way, over the worlds so far."""
    rows = []
    for (encoder, queries, share), pairs in found.items():
        hits, base = np.array(pairs).T
        gain, low, high = interval(hits - base)
        gained = {"gain": gain, "worlds": len(pairs)}
        if len(pairs) > 1:
            gained |= {"low": low, "high": high}
        rows.append(
            {
                "encoder": encoder,
                "queries": queries,
                "class evidence": share,
                "share": hits.mean(),
                "base": base.mean(),
                **gained,
            }
        )
    return rows


def measure(seed: int, scenes: int, scale: float, folder: Path) -> dict[Way, tuple[float, float]]:
    """Way -> (share of targeted scenes with the failing kind, base rate) in one world."""
    from swath.loop import Loop
    from swath.worlds import make_world

    make_world(folder / "kitti", scenes=scenes, seed=seed, scale=scale)
    name = f"targeting-{seed}"
    settings = {"annotate": {"annotator": "simulated"}, "seed": seed}
    loop, _ = Loop.init_kitti(name, folder / "kitti", changes=settings, home=folder / "home")
    loop.run(1)
    out = {}
    for encoder, queries in QUERIES.items():
        loop = Loop.open(name, changes={"embed": {"encoder": encoder}})
        loop.embed()
        for query in queries:
            for share in SHARES:
                changes = {"select": {"class_evidence": share, "queries": query}}
                loop = Loop.open(name, changes=changes)
                out[encoder, query, share] = hits(loop, loop.select(dry_run=True))
    return out


def hits(loop: Loop, batch: SelectResult) -> tuple[float, float]:
    """Share of the targeted scenes of a batch that hold the failing kind, and that of the candidates."""
    workspace, batches = loop.workspace, loop.workspace.journal.batches
    v0 = batches.get("v0")
    record = v0.steps.evaluate
    assert record is not None
    pool, labelled = workspace.members("pool"), {one.key for one in batches.manifest(v0).scenes}
    there = held(workspace, pool, record.modality)
    free = [there[key] for key in pool if key not in labelled]
    found = measured(batch, failing_kinds(record, batches.failures(v0)), there, free)
    return found.share, found.base_rate


if __name__ == "__main__":
    main()
