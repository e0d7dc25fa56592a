"""Does the image detector learn more on a pretrained backbone, in the same processor time?

What is measured: a made world at half of KITTI's size; half of its drives, at most as many scenes as said, train, the other drives
are scored (as in benchmarks/detector.py). The built-in network, EfficientNet-Lite0 as it came (rate 0), and the same at a tenth of
the learning rate, each for the same seconds by what an image is said to cost on it, which `train s` must bear out: processor
seconds on one thread, reading the files included. AP at IoU 0.5 by class; "mean, >= 50" over the classes with 50 objects and more
to learn from. The same scenes and hold-out drives for all of a seed. To beat: the built-in network.

    python -m benchmarks.backbone --short    (30 of 60 scenes, 10 s each; a minute)
    python -m benchmarks.backbone --long     (100 of 220 scenes, 60 s and 180 s each, two seeds; about 30 minutes of processor time;
                                              results are kept as they come)
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import cost, options, save, say
from benchmarks.detector import average_precision, halves, made, part, row_of
from swath.config import KITTI_CLASSES
from swath.trainers.base import TrainingSet
from swath.trainers.center import CenterTrainer
from swath.worlds import make_world

ARMS: dict[str, dict[str, Any]] = {
    "built-in": {},
    "efficientnet-lite0, rate 0": {"backbone": "efficientnet-lite0"},
    "efficientnet-lite0, rate 0.1": {"backbone": "efficientnet-lite0", "backbone_rate": 0.1},
}


def main() -> None:
    long = options(__doc__)
    scenes, most, budgets, seeds = (220, 100, (60.0, 180.0), (0, 1)) if long else (60, 30, (10.0,), (0,))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_world(folder / "kitti", scenes=scenes, seed=51, scale=0.5)
        train, test = halves(made(folder / "kitti", "kitti", "images"), 51)
        for seconds in budgets:
            for seed in seeds:
                for arm, settings in ARMS.items():
                    trainer = CenterTrainer(epochs=1e6, seconds=seconds, **settings)
                    row = measure(trainer, part(train, range(most)), test, seed, folder)
                    rows.append({"backbone": arm, "seconds": seconds, "seed": seed, **row})
                    say(f"{arm}, {seconds:.0f} s, seed {seed}: Car {row['Car']}")
                    save("backbone", long, __doc__, {"AP at IoU 0.5": rows})


def measure(
    trainer: CenterTrainer, train: TrainingSet, test: TrainingSet, seed: int, folder: Path
) -> dict[str, Any]:
    """What one training came to."""
    with cost() as training:
        model = trainer.fit(train, folder / "model.npz", seed=seed)
    with cost() as predicting:
        found = trainer.predict(model, test.media)
    objects = np.bincount(np.concatenate(train.labels), minlength=len(KITTI_CLASSES))
    return {
        "scenes": len(train.media),
        "train s": training.cpu,
        "steps": model.info["steps"],
        "ms per image": 1000 * predicting.cpu / len(test.media),
        **row_of(average_precision(found, test, "box"), objects),
    }


if __name__ == "__main__":
    main()
