"""How much does the built-in pillar detector learn in so many seconds, and what does it cost to score cuboids?

What is measured: made worlds, 64 beams all around; labels where the camera sees (rig "kitti"), or all around ("cloud"). Half
of each world's drives train, the others are scored. Per number of steps: processor seconds of training on one thread (reading
the clouds included), and AP of the classes at IoU 0.5, of Car and the mean at 0.7 too, from above (bev) and of volumes (3d):
means over the worlds, and for Car the least and the most. AP is COCO's (101 recalls, all objects), not KITTI's R40 by grade of
difficulty. Must reach: Car 0.6 from above, at IoU 0.5, within 60 s. A clustering baseline had 0.67 on such scans, an earlier
pillar network 0.73. Then: seconds to match and score 5,000 scenes with 50,000 objects and 300,000 predictions; must stay under
60 s.

    python -m benchmarks.detector3d --short    (a world of each rig, 60 scans, 100 steps)
    python -m benchmarks.detector3d --long     (3 worlds of each rig, 150 scans, 50 to 400 steps; about 15 minutes)
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import cost, options, save, say
from swath.config import KITTI_CLASSES
from swath.formats.kitti import read_calibration, read_cloud, read_objects, to_cuboid, write_pcd
from swath.kernels.cuboids import from_yawed
from swath.kernels.detection3d import DetectionScores, Metric, Predictions3D, References3D, score_cuboids
from swath.trainers.pillars import CloudSet, PillarTrainer
from swath.worlds import make_world

METRICS: tuple[Metric, ...] = ("bev", "3d")
RIGS = ("kitti", "cloud")


def main() -> None:
    long = options(__doc__)
    worlds, scans, all_steps = (range(31, 34), 150, (50, 100, 200, 400)) if long else ([31], 60, (100,))
    found: dict[tuple[str, int], list[dict[str, Any]]] = {(rig, n): [] for rig in RIGS for n in all_steps}
    with tempfile.TemporaryDirectory() as folder:
        for rig, seed in ((rig, seed) for rig in RIGS for seed in worlds):
            say(f"rig {rig}, world {seed}")
            train, test = halves(made(Path(folder) / f"{rig}{seed}", scans, seed, rig), seed)
            for steps in all_steps:
                found[rig, steps].append(measure(train, test, steps, Path(folder) / "model.npz"))
                say(f"{steps} steps: {found[rig, steps][-1]['train s']:.0f} s")
    tables = {
        "What it costs": [costs(rig, steps, runs) for (rig, steps), runs in found.items()],
        **{
            f"AP, {metric}": [
                average_precision(rig, steps, runs, metric) for (rig, steps), runs in found.items()
            ]
            for metric in METRICS
        },
        "Scoring 5,000 scenes": [scoring(metric) for metric in METRICS],
    }
    save("detector3d", long, __doc__, tables)


def made(folder: Path, scans: int, seed: int, rig: str) -> CloudSet:
    """A made world's clouds as .pcd files, with the cuboids of the known classes."""
    make_world(folder, scenes=scans, seed=seed, scale=0.25, rig=rig)
    drives = dict(line.split() for line in (folder / "drives.txt").read_text().splitlines())
    read = {"kitti": kitti_scan, "cloud": cloud_scan}[rig]
    rows = [(key, *read(folder, key)) for key in sorted(drives)]
    paths, shapes, labels = [], [], []
    for _, path, names, cuboids in rows:
        known = [row for row, name in enumerate(names) if name in KITTI_CLASSES]
        paths.append(str(path))
        shapes.append(np.array([cuboids[row] for row in known], dtype=float).reshape(-1, 9))
        labels.append(np.array([KITTI_CLASSES.index(names[row]) for row in known], dtype=np.int64))
    groups = tuple(drives[key] for key, *_ in rows)
    return CloudSet(tuple(paths), tuple(shapes), tuple(labels), groups, KITTI_CLASSES)


def kitti_scan(folder: Path, key: str) -> tuple[Path, list[str], list[Any]]:
    """A frame of a KITTI folder: its cloud, made a .pcd, and the names and cuboids of its objects."""
    cloud, calibration, labels = (
        folder / "training" / name / f"{key}.{ending}"
        for name, ending in (("velodyne", "bin"), ("calib", "txt"), ("label_2", "txt"))
    )
    write_pcd(cloud.with_suffix(".pcd"), read_cloud(cloud)[0])
    view = read_calibration(calibration)
    objects = [one for one in read_objects(labels)[0] if one.has_cuboid]
    return (
        cloud.with_suffix(".pcd"),
        [one.label for one in objects],
        [to_cuboid(one, view) for one in objects],
    )


def cloud_scan(folder: Path, key: str) -> tuple[Path, list[str], list[Any]]:
    """A scene of a rig folder that has the LiDAR alone."""
    objects = json.loads((folder / "labels" / "lidar" / f"{key}.json").read_text())["labels"]
    return (
        folder / "lidar" / f"{key}.pcd",
        [one["label"] for one in objects],
        [one["cuboid"] for one in objects],
    )


def halves(data: CloudSet, seed: int) -> tuple[CloudSet, CloudSet]:
    """Half of the drives, drawn, and the other half."""
    drives = sorted(set(data.groups))
    first = {drives[i] for i in np.random.default_rng(seed).permutation(len(drives))[: len(drives) // 2]}
    mine = [group in first for group in data.groups]
    return part(data, mine), part(data, [not one for one in mine])


def part(data: CloudSet, wanted: list[bool]) -> CloudSet:
    rows = np.flatnonzero(wanted)
    columns = (data.media, data.shapes, data.labels, data.groups)
    media, shapes, labels, groups = (tuple(column[row] for row in rows) for column in columns)
    return CloudSet(media, shapes, labels, groups, data.classes)  # type: ignore[arg-type]


def measure(train: CloudSet, test: CloudSet, steps: int, out: Path) -> dict[str, Any]:
    """Train, predict and score once."""
    trainer = PillarTrainer(steps=steps)
    with cost() as training:
        model = trainer.fit(train, out, seed=0)
    with cost() as predicting:
        found = trainer.predict(model, test.media)
    truth = [References3D(*pair) for pair in zip(test.shapes, test.labels, strict=True)]
    return {
        "train s": training.cpu,
        "peak MB": training.peak_mb,
        "ms per scan": 1000 * predicting.cpu / len(test.media),
        "scans": len(train.media),
        "objects": int(sum(len(one) for one in train.labels)),
        **{metric: scored(found, truth, metric) for metric in METRICS},
    }


def scored(found: list[Predictions3D], truth: list[References3D], metric: Metric) -> DetectionScores:
    rng = np.random.default_rng(0)
    return score_cuboids(found, truth, len(KITTI_CLASSES), rng=rng, resamples=0, metric=metric)


def costs(rig: str, steps: int, runs: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("train s", "peak MB", "ms per scan", "scans", "objects")
    return {
        "rig": rig,
        "steps": steps,
        **{name: float(np.mean([run[name] for run in runs])) for name in names},
        "worlds": len(runs),
    }


def average_precision(rig: str, steps: int, runs: list[dict[str, Any]], metric: Metric) -> dict[str, Any]:
    """Means over the worlds, of each class over those that have objects of it."""
    scores: list[DetectionScores] = [run[metric] for run in runs]
    car = [one.classes[0].ap50.value for one in scores]
    row: dict[str, Any] = {
        "rig": rig,
        "steps": steps,
        "train s": float(np.mean([run["train s"] for run in runs])),
    }
    for label, name in enumerate(KITTI_CLASSES):
        values = [one.classes[label].ap50.value for one in scores]
        known = [value for value in values if value is not None]
        row[name] = float(np.mean(known)) if known else "-"
    row["Car, least"], row["Car, most"] = min(car), max(car)  # type: ignore[type-var]
    row["mean"] = float(np.mean([one.map50.value for one in scores]))  # type: ignore[arg-type]
    row["Car at 0.7"] = float(np.mean([one.classes[0].ap.value for one in scores]))  # type: ignore[arg-type]
    row["mean at 0.7"] = float(np.mean([one.map.value for one in scores]))  # type: ignore[arg-type]
    return row


def scoring(metric: Metric) -> dict[str, Any]:
    """5,000 scenes of 10 objects and 60 predictions each; ten of these are the objects, shaken."""
    rng = np.random.default_rng(0)
    predictions, references = [], []
    for _ in range(5000):
        upright = np.column_stack(
            [
                rng.uniform(-40, 40, (60, 2)),
                rng.normal(0, 0.3, 60),
                rng.normal((4.2, 1.7, 1.5), 0.1, (60, 3)),
                rng.uniform(-np.pi, np.pi, 60),
            ]
        )
        labels = rng.integers(0, 8, 60)
        references.append(References3D(from_yawed(upright[:10]), labels[:10]))
        shaken = upright + rng.normal(0, 1, upright.shape) * (0.2, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05)
        predictions.append(Predictions3D(from_yawed(shaken), rng.random(60), labels))
    drives = [str(scene // 20) for scene in range(5000)]
    times = []
    for resamples in (0, 200):
        with cost() as found:
            scores = score_cuboids(
                predictions, references, 8, clusters=drives, rng=rng, resamples=resamples, metric=metric
            )
        times.append(found.cpu)
    return {
        "metric": metric,
        "cpu s, no intervals": times[0],
        "cpu s, 200 resamples": times[1],
        "map50": scores.map50.value,
    }


if __name__ == "__main__":
    main()
