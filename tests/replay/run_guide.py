"""The guide's way, with swath, in a process of its own: a dataset of 200 groups -> splits, v0, a model, its failures, v1.

python run_guide.py NAME FOLDER HOME WORKERS    prints one JSON object: what was chosen, by scene key
"""

from __future__ import annotations

import json
import sys
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
    batches = loop.workspace.journal.batches
    first, second = batches.get("v0"), batches.get("v1")
    question = batches.manifest(second).question
    trained = first.steps.train
    assert question is not None
    assert trained is not None
    failures = batches.failures(first)
    return {
        "hash": hash("swath"),
        "splits": split.splits,
        "members": loop.workspace.membership(),
        "v0": [[one.key, one.stream, one.rank, one.score] for one in batches.manifest(first).scenes],
        "v1": [one.as_json() for one in v1.scenes],
        "evidence": dict(zip(question.candidates, question.evidence, strict=True)),
        "kinds": {failure.key: failure.kinds for failure in question.failures},
        "budget": [v1.budget, v1.size, v1.coverage, v1.targeted],
        "model": trained.models[0].sha256,
        "failures": [failure.key for failure in failures],
        "notable": [failure.key for failure in failures if failure.notable],
        "golden": after_v0.rounds[0].golden,
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
