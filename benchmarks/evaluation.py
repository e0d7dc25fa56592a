"""What does an evaluation cost? Matching, intervals, types, mending, strata, modes and KITTI's rules of 5,000 val scenes with 50,000 objects.

Made predictions on made objects (10 a scene, and as many predictions, some of them right, some misplaced, of another class,
twice, or nowhere) of 500 drives, 8 classes, 200 resamples: in images, and in clouds by footprints and by volumes. It must take
under three minutes on one core. Reading labels, predicting and writing are not in it.

    python -m benchmarks.evaluation            500 scenes
    python -m benchmarks.evaluation --long     5,000
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from benchmarks.common import cost, options, save, say
from swath.kernels import typed
from swath.kernels.boxes import iou
from swath.kernels.cuboids import bev_iou, yawed
from swath.kernels.cuboids import iou as cuboid_iou
from swath.kernels.detection import Predictions, References, match_images, score_matches
from swath.kernels.detection3d import OVERLAPS_3D, Predictions3D, References3D, match_scenes
from swath.kernels.kitti import Scene
from swath.kernels.mistakes import type_mistakes
from swath.policies import graded as kitti
from swath.policies import strata
from swath.policies.modes import modes

CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
OBJECTS, LENGTH, RESAMPLES = 10, 10, 200


def shaken(rng: np.random.Generator, truth: Any, labels: Any, sizes: Any) -> tuple[Any, Any, Any]:
    """As many predictions as there are objects: shapes, labels, scores."""
    rows = rng.integers(0, len(truth), len(truth))
    off = rng.choice([0.03, 0.2, 1.0], len(rows))[:, None] * rng.normal(0, 1, truth.shape) * sizes
    said = np.where(rng.random(len(rows)) < 0.1, rng.integers(0, len(CLASSES), len(rows)), labels[rows])
    return truth[rows] + off, said, rng.random(len(rows))


def boxes(scenes: int) -> tuple[list[Predictions], list[References]]:
    rng = np.random.default_rng(0)
    found, wanted = [], []
    for _ in range(scenes):
        corner = rng.uniform(0, 1000, (OBJECTS, 2))
        truth = np.hstack([corner, corner + rng.uniform(15, 120, (OBJECTS, 2))])
        labels = rng.integers(0, len(CLASSES), OBJECTS)
        shapes, said, scores = shaken(rng, truth, labels, 40)
        shapes[:, 2:] = np.maximum(shapes[:, 2:], shapes[:, :2] + 1)
        found.append(Predictions(shapes, scores, said))
        wanted.append(References(truth, labels))
    return found, wanted


def cuboids(scenes: int) -> tuple[list[Predictions3D], list[References3D]]:
    rng = np.random.default_rng(1)
    found, wanted = [], []
    for _ in range(scenes):
        truth = np.zeros((OBJECTS, 9))
        truth[:, :2] = rng.uniform(-60, 60, (OBJECTS, 2))
        truth[:, 3:6], truth[:, 8] = [4.0, 1.8, 1.6], rng.uniform(-3, 3, OBJECTS)
        labels = rng.integers(0, len(CLASSES), OBJECTS)
        shapes, said, scores = shaken(rng, truth, labels, np.array([1, 1, 0.2, 0.3, 0.2, 0.2, 0, 0, 0.2]))
        shapes[:, 3:6] = np.maximum(shapes[:, 3:6], 0.3)
        found.append(Predictions3D(shapes, scores, said))
        wanted.append(References3D(truth, labels))
    return found, wanted


T = TypeVar("T")


class Clock:
    """What each part cost: a row each."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def part(self, where: str, what: str, function: Callable[[], T]) -> T:
        with cost() as spent:
            out = function()
        self.rows.append(
            {"in": where, "what": what, "CPU s": spent.cpu, "wall s": spent.wall, "peak MB": spent.peak_mb}
        )
        say(f"{where}: {what}: {spent.cpu:.1f} CPU-s")
        return out


@dataclass(frozen=True)
class Kind:
    """How objects of one kind are compared and binned: `bins` of references (n,), `false` of predictions, in the words of `by`."""

    where: str
    overlap: Callable[[Any, Any], Any]
    by: str
    words: dict[int, str]
    bins: Callable[[Any], Any]
    false: Callable[[Any], Any]


IMAGES = Kind(
    "images",
    lambda p, r: iou(p.boxes, r.boxes),
    "size",
    strata.SIZES,
    lambda r: strata.heights(r.boxes, 375),
    lambda p: strata.heights(p.boxes[typed.best(p.scores, p.labels)], 375),
)
CLOUDS = Kind(
    "clouds",
    lambda p, r: bev_iou(yawed(p.cuboids), yawed(r.cuboids)),
    "distance",
    strata.DISTANCES,
    lambda r: strata.distances(r.cuboids),
    lambda p: strata.distances(p.cuboids[typed.best(p.scores, p.labels)]),
)


def measured(scenes: int) -> list[dict[str, Any]]:
    clock = Clock()
    flat, solid = boxes(scenes), cuboids(scenes)
    images(clock, *flat)
    clouds(clock, *solid)
    graded(clock, flat, solid)
    rows = clock.rows
    total = {name: sum(row[name] for row in rows) for name in ("CPU s", "wall s")}
    return [*rows, {"in": "all", "what": "together", **total, "peak MB": max(row["peak MB"] for row in rows)}]


def drives(scenes: int) -> list[str]:
    return [f"d{i // LENGTH:04d}" for i in range(scenes)]


def images(clock: Clock, found: Any, wanted: Any) -> None:
    """pycocotools' matching, figures with intervals, errors of each scene, and what errors share."""
    matched, precision = clock.part(
        "images", "matching (pycocotools)", lambda: match_images(found, wanted, len(CLASSES))
    )
    rng, of = np.random.default_rng(0), drives(len(found))
    scores = clock.part(
        "images",
        "figures and intervals",
        lambda: score_matches(matched, of, rng=rng, resamples=RESAMPLES, precision=precision),
    )
    at = scores.operating.threshold
    clock.part(
        "images",
        "errors of each scene",
        lambda: [type_mistakes(p, r, at) for p, r in zip(found, wanted, strict=True)],
    )
    shared(clock, IMAGES, found, wanted, at)


def clouds(clock: Clock, found: Any, wanted: Any) -> None:
    """Matching and figures by footprints and by volumes, and what errors share."""
    overlaps = np.broadcast_to(OVERLAPS_3D, (len(CLASSES), 2))
    rng, of = np.random.default_rng(0), drives(len(found))
    for metric in ("bev", "3d"):
        matched = clock.part(
            "clouds", f"matching, {metric}", partial(match_scenes, found, wanted, overlaps, metric)
        )
        told = clock.part(
            "clouds",
            f"figures and intervals, {metric}",
            partial(score_matches, matched, of, rng=rng, resamples=RESAMPLES, strict=slice(1, None)),
        )
    shared(clock, CLOUDS, found, wanted, told.operating.threshold)


def shared(clock: Clock, kind: Kind, found: Any, wanted: Any, threshold: float) -> None:
    """Errors by type, what mending each would gain, strata, and what failures have in common."""
    table = clock.part(
        kind.where,
        "types",
        lambda: typed.table(
            (p.scores, p.labels, r.labels, kind.overlap(p, r)) for p, r in zip(found, wanted, strict=True)
        ),
    )
    clock.part(kind.where, "mending", lambda: typed.gains(table, len(CLASSES)))
    here = np.concatenate([kind.bins(r) for r in wanted])
    there = np.concatenate([kind.false(p) for p in found])
    weather = [("rain", "clear")[i % 2] for i in range(len(found))]
    axes = [
        strata.Axis("class", dict(enumerate(CLASSES)), table.wanted, table.label),
        strata.Axis(kind.by, kind.words, here, there),
        strata.Axis("occlusion", strata.OCCLUSIONS, np.arange(len(here)) % 3),
        strata.Axis("points", strata.POINTS, np.arange(len(here)) % 4, shared=False),
        strata.condition("weather", weather, table.place, table.image),
    ]
    clock.part(kind.where, "strata", lambda: strata.strata(table, len(CLASSES), threshold, axes))
    traits = strata.traits(axes)
    clock.part(kind.where, "modes", lambda: modes(traits, table.found_by(threshold) < 0))


def graded(clock: Clock, flat: tuple[Any, Any], solid: tuple[Any, Any]) -> None:
    """KITTI's rules, with difficulties drawn by chance."""
    flags = np.random.default_rng(2)

    def scene(p: Any, r: Any, overlap: Any, heights: Any, tall: Any) -> Scene:
        n = len(r.labels)
        cut, hidden = flags.choice([0, 0.2, 0.6], n), flags.integers(0, 3, n)
        return Scene(
            p.scores, p.labels, heights, r.labels, tall, cut, hidden, overlap, np.zeros(len(p.scores))
        )

    def seen(overlap: Callable[[Any, Any], Any]) -> list[Scene]:
        unknown = np.full(OBJECTS, np.nan)
        return [
            scene(p, r, overlap(yawed(p.cuboids), yawed(r.cuboids)), unknown, unknown)
            for p, r in zip(*solid, strict=True)
        ]

    pictured = [
        scene(p, r, iou(p.boxes, r.boxes), p.boxes[:, 3] - p.boxes[:, 1], r.boxes[:, 3] - r.boxes[:, 1])
        for p, r in zip(*flat, strict=True)
    ]
    clock.part("images", "KITTI's rules", lambda: kitti.graded("2d", pictured, CLASSES))
    for by, overlap in (("bev", bev_iou), ("3d", cuboid_iou)):
        every = clock.part("clouds", f"overlaps for KITTI's rules, {by}", partial(seen, overlap))
        clock.part("clouds", f"KITTI's rules, {by}", partial(kitti.graded, by, every, CLASSES))


def main() -> None:
    long = options(__doc__)
    scenes = 5000 if long else 500
    save("evaluation", long, __doc__, {f"{scenes:,} scenes, {scenes * OBJECTS:,} objects": measured(scenes)})


if __name__ == "__main__":
    main()
