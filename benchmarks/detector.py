"""How much do the built-in detectors learn from so many scenes in so many seconds, and are their scores to be believed?

What is measured: made worlds at half of KITTI's size; half of each world's drives, at most as many scenes as said, train, the
other drives are scored. Images: boxes in the left camera. Clouds: cuboids where the camera sees (rig "kitti") or all around
("cloud"). Per training: processor seconds on one thread (reading the files included), objects it learned from, and AP by class at
IoU 0.5: of boxes, of footprints (bev), of volumes (3d). AP is COCO's (101 recalls, all objects), not KITTI's R40 by grade of
difficulty. "mean, >= 50" is over the classes with at least 50 objects to learn from. Unreliability: how far scores are from the
share that is right at IoU 0.5, on average over ten equal bins of all predictions, as the network says them and as they were
fitted on held-out drives. Aims, 100 scenes and 360 s: Car 0.7 and mean 0.5 of boxes; Car 0.7 of footprints, 0.5 of volumes.
Then: seconds to match and score 5,000 scenes with 50,000 objects and 300,000 predictions; must stay under 60 s.

    python -m benchmarks.detector --short    (30 of 60 scenes by the defaults; about two minutes)
    python -m benchmarks.detector --long     (25, 50 and 100 of 220 scenes by the defaults; 100 scenes for 90 and for 360 s, images at 624 px;
                                              about 40 minutes; results are kept as they come)
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import cost, options, save, say
from swath.config import KITTI_CLASSES
from swath.formats.kitti import read_calibration, read_cloud, read_objects, to_cuboid, write_pcd
from swath.kernels.cuboids import from_yawed
from swath.kernels.detection import References, match_images, score_detections
from swath.kernels.detection3d import Metric, Predictions3D, References3D, match_scenes, score_cuboids
from swath.trainers.base import Model, Trainer, TrainingSet
from swath.trainers.center import CenterTrainer
from swath.trainers.model_file import read_model
from swath.trainers.pillars import PillarTrainer
from swath.trainers.scores import raw, unreliability
from swath.worlds import make_world

METRICS: tuple[Metric, ...] = ("bev", "3d")
ENOUGH = 50  # objects to learn from, for a class to count in the mean


def main() -> None:
    long = options(__doc__)
    scenes, pools = (220, (25, 50, 100)) if long else (60, (30,))
    budgets = (90.0, 360.0) if long else ()
    tables: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rig, kinds in (("kitti", ("images", "clouds")), ("cloud", ("clouds",))):
            make_world(folder / rig, scenes=scenes, seed=51, scale=0.5, rig=rig)
            for kind in kinds:
                train, test = halves(made(folder / rig, rig, kind), 51)
                for count, settings in plan(kind, pools, budgets if rig == "kitti" else ()):
                    measure(f"{rig} {kind}", part(train, range(count)), test, settings, folder, tables)
                    save("detector", long, __doc__, tables)
    tables["Scoring 5,000 scenes"] = [scoring(metric) for metric in METRICS]
    save("detector", long, __doc__, tables)


def plan(kind: str, pools: Sequence[int], budgets: Sequence[float]) -> list[tuple[int, Mapping[str, Any]]]:
    """How many scenes train, and what is set, for each training."""
    usual: list[tuple[int, Mapping[str, Any]]] = [(count, {}) for count in pools]
    wide = {"width": 624} if kind == "images" else {}
    return usual + [(pools[-1], {"epochs": 1e6, "seconds": budget, **wide}) for budget in budgets]


def made(folder: Path, rig: str, kind: str) -> TrainingSet:
    """A made world's images or clouds, with the boxes or cuboids of the known classes."""
    drives = dict(line.split() for line in (folder / "drives.txt").read_text().splitlines())
    read = {"images": kitti_image, "clouds": kitti_scan if rig == "kitti" else cloud_scan}[kind]
    width = 4 if kind == "images" else 9
    rows = [(key, *read(folder, key)) for key in sorted(drives)]
    paths, shapes, labels = [], [], []
    for _, path, names, found in rows:
        known = [row for row, name in enumerate(names) if name in KITTI_CLASSES]
        paths.append(str(path))
        shapes.append(np.array([found[row] for row in known], dtype=float).reshape(-1, width))
        labels.append(np.array([KITTI_CLASSES.index(names[row]) for row in known], dtype=np.int64))
    groups = tuple(drives[key] for key, *_ in rows)
    return TrainingSet(tuple(paths), tuple(shapes), tuple(labels), groups, KITTI_CLASSES)


def kitti_image(folder: Path, key: str) -> tuple[Path, list[str], list[Any]]:
    """The left image of a KITTI folder's frame, and the names and boxes of its objects."""
    objects = read_objects(folder / "training" / "label_2" / f"{key}.txt")[0]
    path = folder / "training" / "image_2" / f"{key}.png"
    return path, [one.label for one in objects], [one.box for one in objects]


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


def halves(data: TrainingSet, seed: int) -> tuple[TrainingSet, TrainingSet]:
    """Half of the drives, drawn, in the order drawn, and the other half."""
    drives = sorted(set(data.groups))
    drawn = [drives[i] for i in np.random.default_rng(seed).permutation(len(drives))]
    rows = [
        [row for drive in some for row, name in enumerate(data.groups) if name == drive]
        for some in (drawn[: len(drives) // 2], drawn[len(drives) // 2 :])
    ]
    return part(data, rows[0]), part(data, rows[1])


def part(data: TrainingSet, rows: Sequence[int]) -> TrainingSet:
    """These rows, as many of them as there are."""
    names = ("media", "shapes", "labels", "groups")
    return replace(
        data,
        **{name: tuple(getattr(data, name)[row] for row in rows if row < len(data.media)) for name in names},
    )


def measure(
    what: str,
    train: TrainingSet,
    test: TrainingSet,
    settings: Mapping[str, Any],
    folder: Path,
    tables: dict[str, list[dict[str, Any]]],
) -> None:
    """Trains, predicts and scores once; enters what came of it into the tables."""
    images = train.modality == "2d"
    trainer: Trainer = CenterTrainer(**settings) if images else PillarTrainer(**settings)
    with cost() as training:
        model = trainer.fit(train, folder / "model.npz", seed=0)
    with cost() as predicting:
        found = trainer.predict(model, test.media)
    objects = np.bincount(np.concatenate(train.labels), minlength=len(KITTI_CLASSES))
    seconds = settings.get("seconds", "defaults")
    this = {"what": what, "scenes": len(train.media), "budget": seconds, "train s": training.cpu}
    costs = {
        "steps": model.info["steps"],
        "epochs": model.info["epochs"],
        "held out": len(model.info["held_out"]),
        "objects": int(objects.sum()),
        "peak MB": training.peak_mb,
        "ms per file": 1000 * predicting.cpu / len(test.media),
    }
    tables.setdefault("Objects to learn from", []).append(
        {**this, **dict(zip(KITTI_CLASSES, objects.tolist(), strict=True))}
    )
    tables.setdefault("What it costs", []).append({**this, **costs})
    for metric in ("box",) if images else METRICS:
        values = average_precision(found, test, metric)
        tables.setdefault(f"AP at IoU 0.5, {metric}", []).append({**this, **row_of(values, objects)})
        say(f"{what}, {len(train.media)} scenes, {training.cpu:.0f} s: Car {values[0]} ({metric})")
    tables.setdefault("Unreliability of scores", []).append({**this, **reliability(model, found, test)})


def average_precision(found: Sequence[Any], test: TrainingSet, metric: str) -> list[float | None]:
    """AP at IoU 0.5 of each class; None of a class without objects."""
    rng, classes = np.random.default_rng(0), len(KITTI_CLASSES)
    pairs = list(zip(test.shapes, test.labels, strict=True))
    if metric == "box":
        scores = score_detections(found, [References(*pair) for pair in pairs], classes, rng=rng, resamples=0)
    else:
        truth = [References3D(*pair) for pair in pairs]
        scores = score_cuboids(found, truth, classes, rng=rng, resamples=0, metric=metric)
    return [one.ap50.value for one in scores.classes]


def row_of(values: Sequence[float | None], objects: Any) -> dict[str, Any]:
    """A row of AP: each class, and the mean of those that there was enough of."""
    row: dict[str, Any] = {
        name: "-" if v is None else v for name, v in zip(KITTI_CLASSES, values, strict=True)
    }
    enough = [v for v, count in zip(values, objects, strict=True) if v is not None and count >= ENOUGH]
    return {**row, "mean, >= 50": float(np.mean(enough)) if enough else "-", "classes": len(enough)}


def reliability(model: Model, found: Sequence[Any], test: TrainingSet) -> dict[str, Any]:
    """Unreliability of all scores, and of Car's and Pedestrian's, as the network says them (raw) and as fitted."""
    classes = len(KITTI_CLASSES)
    pairs = list(zip(test.shapes, test.labels, strict=True))
    if test.modality == "2d":
        matched = match_images(found, [References(*pair) for pair in pairs], classes)[0]
    else:
        truth = [References3D(*pair) for pair in pairs]
        matched = match_scenes(found, truth, np.full((classes, 1), 0.5), "bev")
    fit = np.array(read_model(model, (2,))[0]["scores"])
    row: dict[str, Any] = {"slope": fit[0, 0]}
    for name, some in (("all", range(classes)), ("Car", (0,)), ("Pedestrian", (3,))):
        sure = np.concatenate([matched[one].scores for one in some])
        said = np.concatenate(
            [raw(matched[one].scores, np.full(len(matched[one].scores), one), fit) for one in some]
        )
        right = np.concatenate([matched[one].right[0] for one in some])
        row |= {f"{name}, raw": unreliability(said, right), f"{name}, fitted": unreliability(sure, right)}
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
