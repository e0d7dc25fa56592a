"""What the label checks find, and how often they are wrong: on honest labels, and on labels with one flaw planted in each scene.

    python -m benchmarks.checks [--short | --long] [--seed N] [--scenes N] [--only TEXT ...]

short: 60 scenes; long: 640 (making them takes longest: CHECKS_WORLD=DIR keeps them there, and takes them from there). Another seed
than that of the scenes that the rules were made with (77) has a file of its own.

Made scenes (half of KITTI's size; two cameras, a cloud of 900 beams' columns): their truth is known. Honest labels are the truth as
an honest hand draws it: edges of boxes 2 % of width or height off, cuboids 6 cm, sides 3 %, 0.03 rad (standard deviations); nothing
missed, nothing invented, so that every finding is wrong. Flaws are planted by code of this file, which the rules do not know: one
labelled object in each of 90 scenes, drawn at random. A flaw is found if any finding is about its object; a finding is right if it is about the
flawed object, of whatever rule. Batches have 60 scenes. A calibration is planted in whole batches, or in the scenes of one drive.

Beside: the rules of labels and projections alone (no clouds) on 10,000 scenes with 100,000 objects, on one core.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, Array, Row, cost, save, say
from swath.formats.kitti_records import Calibration, KittiObject, to_cuboid
from swath.labels.calibration import Camera, camera
from swath.labels.channels import Channel
from swath.labels.shapes import Boxes, Cuboids
from swath.policies import checks
from swath.records.batch import Finding
from swath.worlds.rig import Rig, look, sweep
from swath.worlds.street import build_street, plan_drives

SCALE, SEED, BATCH = (
    0.5,
    77,
    60,
)  # `SEED`: what the rules were made with; figures that are kept are of another one
PLANTED, CALIBRATED = 90, 240  # scenes that flaws, and wrong calibrations, are planted in
CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
ALIKE = {"Car": "Van", "Van": "Car", "Truck": "Van", "Pedestrian": "Cyclist", "Cyclist": "Pedestrian"}
ALIKE |= {"Person_sitting": "Pedestrian", "Tram": "Truck", "Misc": "Car"}


def channel(name: str, kind: Any, seen_as: str = "") -> Channel:
    return Channel(name, kind, True, True, seen_as, "human", "golden", "opinions", "predictions")


LEFT, RIGHT, CLOUD = channel("left", "image", "P2"), channel("right", "image", "P3"), channel("pcd", "cloud")


# ---------------------------------------------------------------------- scenes


@dataclass
class Truth:
    """A made scene. `boxes[side]` (n, 4) px and `rows[side]` (n): which cuboid each is of; `cuboids` (m, 9), `names` (m)."""

    key: str
    drive: str
    size: tuple[int, int]
    boxes: dict[str, Array]
    rows: dict[str, list[int]]
    cuboids: Array
    names: list[str]
    cloud: Array
    calibration: Calibration


def world(scenes: int, seed: int) -> list[Truth]:
    """Made scenes, drive by drive."""
    kept = Path(os.environ.get("CHECKS_WORLD") or tempfile.mkdtemp(prefix="checks-"))
    kept.mkdir(parents=True, exist_ok=True)
    out: list[Truth] = []
    for plan in plan_drives(max(scenes, 1000), seed):
        path = kept / f"{seed}-{plan.index:04d}.pkl"
        if not path.exists():
            scratch = path.with_suffix(".tmp")
            scratch.write_bytes(pickle.dumps(list(_drive(plan, seed))))
            scratch.replace(path)
        out += pickle.loads(path.read_bytes())
        if len(out) >= scenes:
            break
    return out[:scenes]


def _drive(plan: Any, seed: int) -> Iterator[Truth]:
    street = build_street(plan, seed)
    rig = Rig.make(SCALE, street.tilt)
    for frame in range(plan.frames):
        rng = np.random.default_rng([seed, 3, plan.index, frame])
        seen = {
            side: [one for one in look(rays, street, frame, rng, SCALE)[1] if one[1].label != "DontCare"]
            for side, rays in (("left", rig.left), ("right", rig.right))
        }
        cloud, _ = sweep(rig.lidar, street, frame, rng)
        labelled: dict[int, KittiObject] = {id(actor): item for one in seen.values() for actor, item in one}
        place = {one: row for row, one in enumerate(labelled)}
        cuboids = [to_cuboid(item, rig.calibration) for item in labelled.values()]
        yield Truth(
            key=f"{plan.index:04d}/{frame:02d}",
            drive=plan.name,
            size=(rig.left.width, rig.left.height),
            boxes={
                side: np.array([item.box for _, item in one]).reshape(-1, 4) for side, one in seen.items()
            },
            rows={side: [place[id(actor)] for actor, _ in one] for side, one in seen.items()},
            cuboids=np.array(cuboids).reshape(-1, 9),
            names=[item.label for item in labelled.values()],
            cloud=cloud[:, :3],
            calibration=rig.calibration,
        )


# ---------------------------------------------------------------------- labels


@dataclass
class Drawn:
    """Labels of a scene that a flaw may still change: boxes of the left image, cuboids, and which object each is of (-1: none)."""

    size: tuple[int, int]
    boxes: Array
    box_names: list[str]
    box_of: list[int]
    cuboids: Array
    cuboid_names: list[str]
    cuboid_of: list[int]
    right: Boxes | None = None


def honest(truth: Truth, rng: np.random.Generator, *, right: bool = False) -> Drawn:
    """The truth as an honest hand draws it."""
    n = len(truth.cuboids)
    cuboids = truth.cuboids.copy()
    cuboids[:, :3] += rng.normal(size=(n, 3)) * 0.06
    cuboids[:, 3:6] *= np.exp(rng.normal(size=(n, 3)) * 0.03)
    cuboids[:, 8] = np.mod(cuboids[:, 8] + rng.normal(size=n) * 0.03 + np.pi, 2 * np.pi) - np.pi
    boxes = _jittered(truth, "left", rng)
    both = _jittered(truth, "right", rng) if right else None
    names = {side: [truth.names[row] for row in rows] for side, rows in truth.rows.items()}
    return Drawn(
        truth.size,
        boxes,
        names["left"],
        list(truth.rows["left"]),
        cuboids,
        list(truth.names),
        list(range(n)),
        None if both is None else Boxes(both, tuple(names["right"])),
    )


def _jittered(truth: Truth, side: str, rng: np.random.Generator) -> Array:
    boxes = truth.boxes[side]
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.clip(boxes + rng.normal(size=boxes.shape) * 0.02 * sides, 0, np.array(truth.size * 2))


def scene(
    truth: Truth, drawn: Drawn, calibration: Calibration | None = None, swap: bool = False
) -> checks.Scene:
    """What the checks get to see. `calibration`: what they are told; `swap`: the right camera's for the left image."""
    told = (calibration or truth.calibration).to_dict()
    cameras: dict[str, Camera | None] = {
        "left": camera(told, "P3" if swap else "P2"),
        "right": camera(told, "P3"),
    }
    labels: dict[Channel, Any] = {
        LEFT: Boxes(np.clip(drawn.boxes, 0, np.array(drawn.size * 2)), tuple(drawn.box_names))
    }
    if drawn.right is not None:
        labels[RIGHT] = drawn.right
    labels[CLOUD] = Cuboids(drawn.cuboids, tuple(drawn.cuboid_names))
    sizes = {"left": truth.size, "right": truth.size}
    known = {name: one for name, one in cameras.items() if one is not None}
    return checks.Scene(truth.key, labels, sizes, known, lambda _: truth.cloud)


def found(scenes: Sequence[checks.Scene], drives: Sequence[str]) -> list[Finding]:
    """All that is said of one batch."""
    usual = checks.usual_sizes(
        (drive, one) for drive, scene in zip(drives, scenes, strict=True) for one in scene.labels.values()
    )
    batch = checks.together(scenes)
    return [
        *batch.findings,
        *(one for scene in scenes for one in checks.of_scene(scene, CLASSES, usual, batch)),
    ]


# ---------------------------------------------------------------------- flaws of single objects


Flaw = Callable[[Drawn, int, np.random.Generator], int]
"""Changes labels about the object of box k; gives back the object that is flawed (-1: one that is not there)."""


def _drop_box(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
    gone = drawn.box_of.pop(k)
    drawn.boxes = np.delete(drawn.boxes, k, 0)
    del drawn.box_names[k]
    return gone


def _drop_cuboid(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
    gone = drawn.box_of[k]
    row = drawn.cuboid_of.index(gone)
    drawn.cuboids = np.delete(drawn.cuboids, row, 0)
    del drawn.cuboid_names[row], drawn.cuboid_of[row]
    return gone


def _drop_both(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
    _drop_cuboid(drawn, k, rng)
    return _drop_box(drawn, k, rng)


def _add_box(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
    width = drawn.boxes[k, 2] - drawn.boxes[k, 0]
    left = rng.uniform(0, drawn.size[0] - width)
    new = [left, drawn.boxes[k, 1], left + width, drawn.boxes[k, 3]]
    drawn.boxes = np.vstack([drawn.boxes, new])
    drawn.box_names.append(drawn.box_names[k])
    drawn.box_of.append(-1)
    return -1


def _add_cuboid(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
    new = drawn.cuboids[drawn.box_of[k]].copy()
    new[0] = rng.uniform(8, 35)
    new[1], new[8] = rng.uniform(-0.4, 0.4) * new[0], rng.uniform(-3, 3)
    drawn.cuboids = np.vstack([drawn.cuboids, new])
    drawn.cuboid_names.append(drawn.cuboid_names[drawn.box_of[k]])
    drawn.cuboid_of.append(-1)
    return -1


def _class_2d(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
    others = [name for name in CLASSES if name != drawn.box_names[k]]
    drawn.box_names[k] = others[int(rng.integers(len(others)))]
    return drawn.box_of[k]


def _class_both(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
    drawn.box_names[k] = drawn.cuboid_names[drawn.box_of[k]] = ALIKE[drawn.box_names[k]]
    return drawn.box_of[k]


def _off(px: float) -> Flaw:
    def flaw(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
        turn = rng.uniform(0, 2 * np.pi)
        drawn.boxes[k] += px * np.array([math.cos(turn), math.sin(turn)] * 2)
        return drawn.box_of[k]

    return flaw


def _loose(share: float) -> Flaw:
    def flaw(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
        sides = np.tile(drawn.boxes[k, 2:] - drawn.boxes[k, :2], 2)
        drawn.boxes[k] += share * sides * [-1, -1, 1, 1]
        return drawn.box_of[k]

    return flaw


def _twice_2d(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
    sides = np.tile(drawn.boxes[k, 2:] - drawn.boxes[k, :2], 2)
    drawn.boxes = np.vstack([drawn.boxes, drawn.boxes[k] + rng.normal(size=4) * 0.01 * sides])
    drawn.box_names.append(drawn.box_names[k])
    drawn.box_of.append(drawn.box_of[k])
    return drawn.box_of[k]


def _twice_3d(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
    row = drawn.box_of[k]
    new = drawn.cuboids[row].copy()
    new[:2] += 0.14
    drawn.cuboids = np.vstack([drawn.cuboids, new])
    drawn.cuboid_names.append(drawn.cuboid_names[row])
    drawn.cuboid_of.append(row)
    return row


def _cuboid(change: Callable[[Array, np.random.Generator], None]) -> Flaw:
    """A flaw of the one cuboid, in place."""

    def flaw(drawn: Drawn, k: int, rng: np.random.Generator) -> int:
        change(drawn.cuboids[drawn.box_of[k]], rng)
        return drawn.box_of[k]

    return flaw


def _shift(metres: float) -> Flaw:
    def change(one: Array, rng: np.random.Generator) -> None:
        turn = rng.uniform(0, 2 * np.pi)
        one[:2] += metres * np.array([math.cos(turn), math.sin(turn)])

    return _cuboid(change)


def _add(column: int, value: float) -> Flaw:
    def change(one: Array, rng: np.random.Generator) -> None:
        one[column] += value
        one[8] = math.remainder(one[8], 2 * math.pi)

    return _cuboid(change)


def _resize(times: float) -> Flaw:
    def change(one: Array, rng: np.random.Generator) -> None:
        one[3:6] *= times

    return _cuboid(change)


def _exchange(one: Array, rng: np.random.Generator) -> None:
    one[[3, 4]] = one[[4, 3]]


FLAWS: dict[str, Flaw] = {
    "2D box missed": _drop_box,
    "cuboid missed": _drop_cuboid,
    "missed in both": _drop_both,
    "2D box of nothing": _add_box,
    "cuboid of nothing": _add_cuboid,
    "class wrong in 2D": _class_2d,
    "a class that looks alike, in both": _class_both,
    "2D box 10 px off": _off(10),
    "2D box 20 px off": _off(20),
    "2D box 5 % looser at each edge": _loose(0.05),
    "2D box 10 % looser at each edge": _loose(0.10),
    "2D box twice": _twice_2d,
    "cuboid twice, 20 cm apart": _twice_3d,
    "cuboid shifted 0.5 m": _shift(0.5),
    "cuboid shifted 1 m": _shift(1.0),
    "cuboid 1.2 m too high": _add(2, 1.2),
    "yaw 15 degrees off": _add(8, math.radians(15)),
    "yaw 90 degrees off": _add(8, math.pi / 2),
    "yaw 180 degrees off": _add(8, math.pi),
    "size x 1.1": _resize(1.1),
    "size x 1.3": _resize(1.3),
    "length and width exchanged": _cuboid(_exchange),
}


def planted(truths: Sequence[Truth], name: str, seed: int, *, right: bool) -> Row:
    """One flaw in each scene that has a 2D box: the share found, and the share of findings that are about it."""
    rng = np.random.default_rng([seed, 1])
    flawed = hit = said = about = 0
    rules: Counter[str] = Counter()
    for start in range(0, len(truths), BATCH):
        part = truths[start : start + BATCH]
        drawn = [honest(one, rng, right=right) for one in part]
        wrong = {
            one.key: FLAWS[name](labels, int(rng.integers(len(labels.box_of))), rng)
            for one, labels in zip(part, drawn, strict=True)
            if labels.box_of
        }
        of = {one.key: (truth, one) for truth, one in zip(part, map(_keyed, part, drawn), strict=True)}
        findings = found(
            [scene(*pair) for pair in zip(part, drawn, strict=True)], [one.drive for one in part]
        )
        caught = set()
        for one in findings:
            said += 1
            if one.scene in wrong and _object(one, of[one.scene]) == wrong[one.scene]:
                about += 1
                caught.add(one.scene)
                rules[one.rule] += 1
        flawed, hit = flawed + len(wrong), hit + len(caught)
    return {
        "flaw": name,
        "planted": flawed,
        "found %": 100 * hit / flawed,
        "findings that are right %": 100 * about / max(said, 1),
        "by": ", ".join(rule for rule, _ in rules.most_common(3)),
    }


@dataclass
class _Keyed:
    key: str
    drawn: Drawn


def _keyed(truth: Truth, drawn: Drawn) -> _Keyed:
    return _Keyed(truth.key, drawn)


def _object(one: Finding, of: tuple[Truth, _Keyed]) -> int | None:
    """Which object a finding is about; None for the scene."""
    truth, keyed = of
    if one.object is None:
        return None
    if one.channel == "pcd":
        return keyed.drawn.cuboid_of[one.object]
    return truth.rows["right"][one.object] if one.channel == "right" else keyed.drawn.box_of[one.object]


# ---------------------------------------------------------------------- what is wrong everywhere


def nothing_wrong(truths: Sequence[Truth], *, right: bool, seed: int = 0) -> Row:
    """Honest labels: all that is said is wrong."""
    rng = np.random.default_rng([seed, 2])
    rules: Counter[str] = Counter()
    labels = 0
    for start in range(0, len(truths), BATCH):
        part = truths[start : start + BATCH]
        scenes = [scene(one, honest(one, rng, right=right)) for one in part]
        labels += sum(len(one) for each in scenes for one in each.labels.values())
        rules.update(f"{one.severity} {one.rule}" for one in found(scenes, [one.drive for one in part]))
    errors = sum(n for rule, n in rules.items() if rule.startswith("error"))
    return {
        "labelled images": "left and right" if right else "left",
        "scenes": len(truths),
        "labels": labels,
        "errors": errors,
        "errors per 20 scenes": 20 * errors / len(truths),
        "warnings per 20 scenes": 20 * (sum(rules.values()) - errors) / len(truths),
        "what": ", ".join(f"{n} {rule}" for rule, n in rules.most_common()),
    }


def turned(calibration: Calibration, axis: int, degrees: float) -> Calibration:
    """A calibration whose LiDAR is turned about an axis of the camera (0: x right, 1: y down, 2: z forward)."""
    a = math.radians(degrees)
    turn = np.eye(3)
    i, j = [n for n in range(3) if n != axis]
    turn[i, i] = turn[j, j] = math.cos(a)
    turn[i, j], turn[j, i] = -math.sin(a), math.sin(a)
    moved = calibration.velo_to_cam.copy()
    moved[:, :3] = turn @ moved[:, :3]
    return replace(calibration, velo_to_cam=moved)


def calibrations(truths: Sequence[Truth], seed: int = 0) -> Iterator[Row]:
    """A wrong calibration in whole batches, and in one drive of each: is it said, once, and what is said besides?"""
    ways: dict[str, Callable[[Truth], tuple[Calibration, bool]]] = {
        "none": lambda one: (one.calibration, False)
    }
    for degrees in (0.5, 1.0, 2.0, 5.0):
        for axis, name in enumerate(("pitch", "yaw", "roll")):
            ways[f"{name} {degrees:g} degrees"] = lambda one, a=axis, d=degrees: (
                turned(one.calibration, a, d),
                False,
            )
    ways["the right camera's"] = lambda one: (one.calibration, True)
    for name, told in ways.items():
        yield _everywhere(truths, name, told, seed, False)
    yield _everywhere(truths, "yaw 2 degrees", ways["yaw 2 degrees"], seed, True)


def _everywhere(
    truths: Sequence[Truth],
    name: str,
    told: Callable[[Truth], tuple[Calibration, bool]],
    seed: int,
    one_drive: bool,
) -> Row:
    rng = np.random.default_rng([seed, 3])
    batches = said = others = times = 0
    for start in range(0, len(truths) - BATCH + 1, BATCH):
        part = truths[start : start + BATCH]
        largest = Counter(one.drive for one in part).most_common(1)[0][0]
        scenes = [
            scene(one, honest(one, rng), *told(one))
            if not one_drive or one.drive == largest
            else scene(one, honest(one, rng))
            for one in part
        ]
        findings = found(scenes, [one.drive for one in part])
        about = sum(one.rule == "calibration" for one in findings)
        batches, said, times, others = (
            batches + 1,
            said + (about > 0),
            times + about,
            others + len(findings) - about,
        )
    return {
        "calibration": name,
        "in": "the largest drive" if one_drive else "all scenes",
        "batches": batches,
        "found %": 100 * said / batches,
        "findings per batch about it": times / batches,
        "other findings per batch": others / batches,
    }


def frame(truths: Sequence[Truth], seed: int = 0) -> Row:
    """Cuboids of every fifth scene in the camera's frame."""
    rng = np.random.default_rng([seed, 4])
    planted_in = named = false = 0
    for start in range(0, len(truths), BATCH):
        part = truths[start : start + BATCH]
        scenes, mixed = [], set()
        for i, one in enumerate(part):
            labels = honest(one, rng)
            if i % 5 == 0 and len(labels.cuboids):
                linear, offset = one.calibration.to_rect()
                labels.cuboids[:, :3] = labels.cuboids[:, :3] @ linear.T + offset
                mixed.add(one.key)
            scenes.append(scene(one, labels))
        about = {one.scene for one in found(scenes, [one.drive for one in part]) if one.rule == "wrong_frame"}
        planted_in, named, false = (
            planted_in + len(mixed),
            named + len(about & mixed),
            false + len(about - mixed),
        )
    return {
        "scenes in the camera's frame": planted_in,
        "named %": 100 * named / planted_in,
        "named wrongly": false,
    }


# ---------------------------------------------------------------------- speed


def speed(truths: Sequence[Truth], scenes: int, objects: int) -> Row:
    """Rules of labels and projections, without clouds: scenes filled up with copies of their objects to `objects` in all."""
    each = objects // scenes // 2  # as many boxes as cuboids
    rng = np.random.default_rng(5)
    some = [one for one in truths if len(one.rows["left"]) >= 3]
    asked = []
    for i in range(scenes):
        truth = some[i % len(some)]
        labels = honest(truth, rng)
        pick = np.arange(each) % len(labels.box_of)
        jitter = rng.normal(size=(each, 2))
        boxes = labels.boxes[pick] + np.tile(jitter * 40, 2)
        cuboids = labels.cuboids[[labels.box_of[k] for k in pick]]
        cuboids[:, :2] += jitter * 4
        names = tuple(labels.box_names[k] for k in pick)
        one = scene(
            truth,
            replace(labels, boxes=boxes, box_names=list(names), cuboids=cuboids, cuboid_names=list(names)),
        )
        asked.append(replace(one, key=f"{i:06d}", points=lambda _: None))
    with cost() as spent:
        n = len(found(asked, [f"{i // 10}" for i in range(scenes)]))
    return {
        "scenes": scenes,
        "objects": 2 * each * scenes,
        "findings": n,
        "CPU s": spent.cpu,
        "ms per scene": 1000 * spent.cpu / scenes,
        "peak MB": spent.peak_mb,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="a minute or two (the default)")
    size.add_argument("--long", action="store_true", help="what the figures in the documentation come from")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the made scenes ({SEED})")
    parser.add_argument("--scenes", type=int, help="how many (60, 640)")
    parser.add_argument("--only", nargs="+", default=[""], help="tables whose title contains one of these")
    asked = parser.parse_args()
    long = bool(asked.long)
    say("make scenes")
    truths = world(asked.scenes or (640 if long else 60), asked.seed)
    some = truths[: PLANTED if long else 20]
    parts: dict[str, Callable[[], Iterable[Row]]] = {
        "honest labels: every finding is wrong": lambda: [nothing_wrong(truths, right=True)],
        "wrong calibrations, without clouds": lambda: (
            calibrations([blind(one) for one in truths[:CALIBRATED]]) if long else ()
        ),
        "one flaw in each scene; boxes in the left image": lambda: (
            planted(some, name, 0, right=False) for name in FLAWS
        ),
        "wrong frame, in every fifth scene": lambda: [frame(some)],
        "rules of labels and projections, one core": lambda: [
            speed(truths, 10_000 if long else 500, 100_000 if long else 5_000)
        ],
    }
    name = "checks" if asked.seed == SEED else f"checks-{asked.seed}"
    kept = RESULTS / f"{name}-{'long' if long else 'short'}.json"
    whole = asked.only == [""] or not kept.exists()
    tables: dict[str, list[Row]] = {} if whole else json.loads(kept.read_text())["tables"]
    for title, part in parts.items():
        if any(text in title for text in asked.only):
            tables[title] = []
            for row in part():
                tables[title].append(told(row))
                save(name, long, __doc__, {one: rows for one, rows in tables.items() if rows})


def told(row: Row) -> Row:
    """The row, once it was said."""
    say(str({name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}))
    return row


def blind(one: Truth) -> Truth:
    """Without its cloud: what a calibration says needs none."""
    return replace(one, cloud=np.zeros((0, 3)))


if __name__ == "__main__":
    main()
