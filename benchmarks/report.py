"""How large the report gets, and what it costs: 200 and 20,000 scenes, every scene with an image of KITTI's size.

A plain dataset on a private mongod (`scale.build`: keys of 36 characters, vectors of 16 dimensions, one object a scene); all scenes
share one made image of 1242 x 375 pixels, so that pictures weigh what they weigh. A model that sees nothing: every val scene fails,
and the batches answer them. Rounds as large as the defaults make them.

    bytes      of report.html; to hold: under 10 MB
    cpu_s      of writing it, and the peak memory of the process

    python -m benchmarks.report --short    (200 and 20,000 scenes, two rounds)
    python -m benchmarks.report --long     (the same, six rounds)
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common import options, save, say
from benchmarks.scale import CLASSES, build, child, truthful, untrained
from swath import database

SIZES = (200, 20_000)
LIMIT_MB = 10.0
SETTINGS: Mapping[str, Any] = {
    "classes": CLASSES,
    "fields": {"embeddings": "given"},
    "embed": {"encoder": "field:given"},
    "splits": {"audit_pairs": 0, "golden": 0.01},
    "select": {"zcore_max_draws": 20_000},
    "annotate": {"annotator": "simulated"},
    "golden": {"miss": 0.5, "extra": 0.5, "swap": 0.5, "shift": 0.5},
    "stop": {"min_gain": 0.0},
    "evaluate": {"resamples": 10},
}


def main() -> None:
    long = options(__doc__)
    rounds, rows = 6 if long else 2, []
    with tempfile.TemporaryDirectory() as folder:
        server = database.start(Path(folder) / "db")
        os.environ["FIFTYONE_DATABASE_URI"] = server.uri
        try:
            for scenes in SIZES:
                name = f"report-{scenes}"
                say(f"{scenes:,} scenes")
                child(build, name, scenes, Path(folder))
                child(run, name, rounds, Path(folder))
                rows.append(child(written, name))
        finally:
            server.stop()
    save("report", long, __doc__, {"the report": rows})
    if any(row["mb"] > LIMIT_MB for row in rows):
        raise SystemExit(f"a report is larger than {LIMIT_MB} MB")


def run(name: str, rounds: int, folder: Path) -> None:
    """Closes `rounds` rounds on scenes that share one image."""
    import fiftyone as fo

    from swath.loop import Loop
    from swath.trainers.center import CenterTrainer
    from swath.worlds import make_world

    CenterTrainer.predict, CenterTrainer.fit = truthful, untrained  # type: ignore[method-assign, assignment]
    database.ensure()
    make_world(folder / "world", scenes=1, scale=1.0)
    image = next((folder / "world").rglob("image_2/*"))
    dataset = fo.load_dataset(name)
    size = {"metadata.width": 1242, "metadata.height": 375}
    dataset._sample_collection.update_many({}, {"$set": {"filepath": str(image), **size}})
    loop, _ = Loop.init_fiftyone(name, changes=SETTINGS, home=folder / name)
    loop.split()
    loop.embed()
    loop.reference("ground_truth")
    while loop.status().next.step == "select" and len(loop.status().rounds) < rounds:
        loop.select(anyway=True)
        loop.run(rounds, until="stop")


def written(name: str) -> dict[str, Any]:
    from swath.loop import Loop

    loop = Loop.open(name)
    started, cpu = time.perf_counter(), time.process_time()
    path = loop.report()
    return {
        "scenes": len(loop.workspace.scenes.table),
        "rounds": len(loop.status().rounds),
        "mb": path.stat().st_size / 1e6,
        "pictures": path.read_text().count("data:image"),
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
