"""The guide's way, with swath, in a process of its own: a dataset of 200 groups -> splits, v0, a model, its failures, v1.

python run_guide.py NAME FOLDER HOME WORKERS    prints one JSON object: what was chosen, by scene key
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

CLASSES = ("Car", "Pedestrian", "Cyclist")
SCENES = 200


def main(name: str, folder: Path, home: Path, workers: int) -> dict[str, Any]:
    import small_scenes
    from swath import Loop, database

    database.ensure()
    small_scenes.make_dataset(name, folder, SCENES, CLASSES)
    changes = {
        "classes": list(CLASSES),
        "embed": {"encoder": "field:given", "workers": workers},
        "select": {"workers": workers, "zcore_max_draws": 4000},
        "annotate": {"annotator": "simulated"},
        "train": {"steps": 12, "width": 96},
    }
    loop, _ = Loop.init_fiftyone(name, changes=changes, home=home)
    split = loop.split()
    loop.embed()
    loop.reference("ground_truth")
    loop.run(1)
    after_v0 = loop.status()
    v1 = loop.select()
    evaluated = loop.workspace.journal.round("v0")["steps"]
    v0 = loop.workspace.journal.manifest("v0")["scenes"]
    question = loop.workspace.journal.manifest("v1")
    return {
        "hash": hash("swath"),
        "splits": dict(split.splits),
        "members": loop.workspace.membership(),
        "v0": [[scene["key"], scene["stream"], scene["rank"], scene["score"]] for scene in v0],
        "v1": [asdict(one) for one in v1.scenes],
        "evidence": dict(zip(question["candidates"], question["evidence"], strict=True)),
        "kinds": {failure["key"]: failure["kinds"] for failure in question["failures"]},
        "budget": [v1.budget, v1.size, v1.coverage, v1.targeted],
        "model": evaluated["train"]["sha256"],
        "failures": [failure["key"] for failure in evaluated["evaluate"]["failures"]],
        "golden": after_v0.rounds[0]["golden"],
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
