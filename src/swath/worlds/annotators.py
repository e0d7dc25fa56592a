"""Labellers with known flaws: an honest base that errs at known rates, and what may be wrong with it besides.

For the simulated annotator, tests and benchmarks. Small pure functions, each of which makes one kind of mistake:

    honest                          the truth, with slips (misses, extras, swaps) and jitter at `ErrorRates`
    burden                          how many times more a labeller slips: errors that clump, a careless one, tiredness
    unseen, confused                misses that grow with distance and occlusion; swaps along a confusion matrix
    loosened, shifted, resized,     geometry that is off
    turned, flipped, exchanged
    in_camera_frame                 cuboids in the wrong frame
    spoiled                         all that a `Flaws` says, in a fixed order

Draws come from a `Chance`: a function from what a draw is about to a generator of its own, so that one flaw more or less
changes no other draw. Boxes are in pixels, cuboids in the LiDAR frame (see `labels.shapes`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import numpy.typing as npt

from swath.errors import ConfigError
from swath.kernels.boxes import area, clip, intersection, iou
from swath.kernels.cuboids import corners, wrap
from swath.kernels.sizes import KITTI
from swath.labels.shapes import Boxes, Cuboids, Floats, Labels

Chance = Callable[..., np.random.Generator]
Size = tuple[int, int]

# Classes that people confuse first.
ALIKE = (("Car", "Van", "Truck"), ("Pedestrian", "Person_sitting", "Cyclist"))
GROUND = -1.73  # m: the road below KITTI's LiDAR, used where a scene has no object to stand beside
TRIES = 16
FAR = 60.0  # m from which a cuboid is as far as can be
NEAR_HEIGHT = 0.25  # of the image's height from which a box is as near as can be
WORST = 0.9  # chance that no rate exceeds, whatever the burden


@dataclass(frozen=True)
class ErrorRates:
    """How often, and by how much. The defaults of miss, extra and swap are half of what is usually accepted.

    miss, swap: chance per object; extra: chance per object of one that is not there (one chance in a scene
    without objects); skip: chance per scene. Standard deviations: `jitter_2d` of each edge of a box as a
    share of its width or height, `centre` of each axis in metres, `size` of each side as a share, `yaw` in
    radians.
    """

    miss: float = 0.025
    extra: float = 0.015
    swap: float = 0.01
    skip: float = 0.0
    jitter_2d: float = 0.02
    centre: float = 0.06
    size: float = 0.03
    yaw: float = 0.03

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{one.name} of the simulated annotator: expected 0 .. 1, got {value}")

    def times(self, factor: float) -> ErrorRates:
        """The same hand, that slips `factor` times as often."""
        if factor == 1:
            return self
        return replace(
            self, **{name: min(getattr(self, name) * factor, WORST) for name in ("miss", "extra", "swap")}
        )


@dataclass(frozen=True)
class Flaws:
    """What is wrong with a labeller besides `ErrorRates`, from the round `since` on (a guideline that changed, or that was
    forgotten); nothing by default.

    How slips are spread: `clump`, the intra-class correlation of misses in a scene; `annotators` share the work, and the first of
    them slips `careless` times as often; at the end of a session one slips `tired` times as often as at its beginning.
    Objects: chance to miss one that is `far` (grows with the distance), or `hidden` (grows with the share that nearer ones cover);
    `confuse`: class -> class -> chance. Boxes: `loose`, the share of its width and height by which each edge lies outside (inside,
    if negative). Cuboids: `shift` metres away from the sensor, `size` times as large, `yaw` degrees to the left; chance that one is
    turned by half a turn (`flip`), or has length and width exchanged (`exchange`). `camera_frame`: chance that all cuboids of a
    scene are in the camera's frame.
    """

    since: int = 0
    clump: float = 0.0
    annotators: int = 1
    careless: float = 1.0
    tired: float = 1.0
    far: float = 0.0
    hidden: float = 0.0
    confuse: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    loose: float = 0.0
    shift: float = 0.0
    size: float = 1.0
    yaw: float = 0.0
    flip: float = 0.0
    exchange: float = 0.0
    camera_frame: float = 0.0

    def of_round(self, batch: str) -> Flaws | None:
        """Those that a batch (`v1`, `reference`) has; None for none. References are labelled without."""
        number = int(batch[1:]) if batch[:1] == "v" and batch[1:].isdigit() else -1
        return self if self != Flaws() and number >= max(self.since, 0) else None


# ---------------------------------------------------------------------- the honest base


def honest(
    truth: Labels, classes: Sequence[str], size: Size, rates: ErrorRates, chance: Chance
) -> tuple[Labels, npt.NDArray[np.int64]]:
    """Labels as somebody would draw them who looks at `truth`, and the row of the truth that each is of (n,), -1 for those that
    are not there. Objects of classes outside `classes` are not labelled. `size`: of the image, px."""
    flat = isinstance(truth, Boxes)
    values = truth.shapes
    seen = [row for row, name in enumerate(truth.classes) if name in classes]
    there, names_there = values[seen], [truth.classes[row] for row in seen]
    rows: list[Floats] = []
    names: list[str] = []
    of: list[int] = []
    for row in seen:
        rng = chance(row)
        missed, swapped = rng.random() < rates.miss, rng.random() < rates.swap
        name = truth.classes[row]
        drawn = _draw_box(values[row], size, rates, rng) if flat else _draw_cuboid(values[row], rates, rng)
        if not missed:
            rows.append(drawn)
            names.append(mistaken(name, classes, rng) if swapped else name)
            of.append(row)
    for row in seen or [-1]:
        rng = chance("extra", row)
        if rng.random() < rates.extra and classes:
            found = (
                _invented_box(there, names_there, classes, size, rng)
                if flat
                else _invented_cuboid(there, names_there, classes, rng)
            )
            if found is not None:
                rows.append(found[0])
                names.append(found[1])
                of.append(-1)
    table, whose = np.array(rows, float), np.array(of, np.int64)
    if flat:
        return Boxes(table.reshape(-1, 4), tuple(names)), whose
    return Cuboids(table.reshape(-1, 9), tuple(names)), whose


def _draw_box(box: Floats, size: Size, rates: ErrorRates, rng: np.random.Generator) -> Floats:
    sides = np.tile(box[2:] - box[:2], 2)
    drawn = box + rng.normal(size=4) * rates.jitter_2d * sides
    drawn = clip(drawn[None], *size)[0]
    return drawn if (drawn[2:] - drawn[:2] >= 1).all() else box


def _draw_cuboid(cuboid: Floats, rates: ErrorRates, rng: np.random.Generator) -> Floats:
    drawn: Floats = cuboid.copy()
    drawn[:3] += rng.normal(size=3) * rates.centre
    drawn[3:6] *= np.exp(rng.normal(size=3) * rates.size)
    drawn[8] = _wrapped(drawn[8] + rng.normal() * rates.yaw)
    return drawn


def mistaken(name: str, classes: Sequence[str], rng: np.random.Generator) -> str:
    """Another class of the map: one that looks alike where there is one; `name` itself in a map of one."""
    alike = next((group for group in ALIKE if name in group), ())
    others = [other for other in classes if other != name]
    near = [other for other in others if other in alike] or others
    return near[rng.integers(len(near))] if near else name


def _invented_box(
    there: Floats, names: Sequence[str], classes: Sequence[str], size: Size, rng: np.random.Generator
) -> tuple[Floats, str] | None:
    """A box of the size of a real one, somewhere else in the image; None where no free place was found."""
    across, down = size
    for _ in range(TRIES):
        if len(there):
            like = int(rng.integers(len(there)))
            name, box = names[like], there[like]
            width, height = (box[2:] - box[:2]) * np.exp(rng.normal(size=2) * 0.2)
            bottom = box[3] + rng.normal() * 0.02 * down
        else:
            name = classes[int(rng.integers(len(classes)))]
            height = down * rng.uniform(0.1, 0.3)
            width = height * rng.uniform(0.5, 1.8)
            bottom = down * rng.uniform(0.6, 0.9)
        left = rng.uniform(0, max(across - width, 1))
        box = clip([[left, bottom - height, left + width, bottom]], across, down)[0]
        if (box[2:] - box[:2] >= 2).all() and not (iou(box[None], there) > 0.2).any():
            return box, name
    return None


def _invented_cuboid(
    there: Floats, names: Sequence[str], classes: Sequence[str], rng: np.random.Generator
) -> tuple[Floats, str] | None:
    """A cuboid of a class's usual size on the ground ahead, clear of real ones; None where none was found."""
    ground = float(np.median(there[:, 2] - there[:, 5] / 2)) if len(there) else GROUND
    for _ in range(TRIES):
        pick = [*names, *classes]
        name = pick[int(rng.integers(len(pick)))]
        size = np.array(KITTI[name].mean if name in KITTI else KITTI["Car"].mean)
        size = size * np.exp(rng.normal(size=3) * 0.1)
        x = rng.uniform(6, 45)
        y = rng.uniform(-0.5, 0.5) * x
        yaw = rng.uniform(-math.pi, math.pi)
        apart = np.hypot(there[:, 0] - x, there[:, 1] - y) > (there[:, 3] + size[0]) / 2 + 1
        if apart.all():
            return np.array([x, y, ground + size[2] / 2, *size, 0.0, 0.0, yaw]), name
    return None


def _wrapped(angle: float) -> float:
    if -math.pi <= angle < math.pi:
        return angle  # not a bit changed
    return float(wrap(angle))


# ---------------------------------------------------------------------- how slips are spread


def burden(flaws: Flaws, miss: float, position: float, who: int, rng: np.random.Generator) -> float:
    """How many times more a labeller slips in one scene. `miss`: its rate of misses; `position`: of the scene in the session,
    0 to 1; `who`: which of the annotators. A gamma variable of mean 1 gives misses the correlation `clump` within scenes."""
    factor = 1.0 + (flaws.tired - 1.0) * position
    factor *= flaws.careless if who == 0 and flaws.annotators > 1 else 1.0
    if flaws.clump > 0 and miss > 0:
        variance = flaws.clump * (1 - miss) / miss
        factor *= float(rng.gamma(1 / variance, variance))
    return factor


# ---------------------------------------------------------------------- single flaws


def unseen(labels: Labels, size: Size, far: float, hidden: float, rng: np.random.Generator) -> Labels:
    """Without those that are missed since they are far away, or behind others."""
    chance = far * _distant(labels, size) + hidden * _covered(labels)
    return labels.take(np.flatnonzero(rng.random(len(labels)) >= chance))


def _distant(labels: Labels, size: Size) -> Floats:
    """(n,) from 0, near, to 1, far: by the distance of cuboids, by the height of boxes."""
    if isinstance(labels, Cuboids):
        return np.asarray(np.clip(np.hypot(*labels.shapes[:, :2].T) / FAR, 0, 1))
    height = labels.shapes[:, 3] - labels.shapes[:, 1]
    return np.asarray(1 - np.clip(height / (NEAR_HEIGHT * size[1]), 0, 1))


def _covered(labels: Labels) -> Floats:
    """(n,) share of each that the one before it covers most of: of boxes, the lower one is nearer; of cuboids, as the sensor sees
    them from above (the angle that they take up)."""
    if not len(labels):
        return np.zeros(0)
    if isinstance(labels, Boxes):
        shared, nearer = intersection(labels.shapes, labels.shapes), -labels.shapes[:, 3]
        whole = area(labels.shapes)
    else:
        around = corners(labels.shapes)[:, :4, :2]
        angle = np.arctan2(labels.shapes[:, 1], labels.shapes[:, 0])
        seen = wrap(np.arctan2(around[..., 1], around[..., 0]) - angle[:, None]) + angle[:, None]
        low, high = seen.min(axis=1), seen.max(axis=1)
        shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
        nearer, whole = np.hypot(*labels.shapes[:, :2].T), high - low
    shared = np.where(nearer[:, None] > nearer[None, :], np.maximum(shared, 0), 0)
    return np.asarray((shared / np.maximum(whole, 1e-9)[:, None]).max(axis=1))


def confused(
    labels: Labels,
    matrix: Mapping[str, Mapping[str, float]],
    classes: Sequence[str],
    rng: np.random.Generator,
) -> Labels:
    """With classes exchanged along a confusion matrix: class -> class -> chance."""
    names = []
    for name, drawn in zip(labels.classes, rng.random(len(labels)).tolist(), strict=True):
        given = name
        for other, chance in matrix.get(name, {}).items():
            if 0 <= drawn < chance and other in classes:
                given = other
            drawn -= chance
        names.append(given)
    return replace(labels, classes=tuple(names))


def loosened(boxes: Boxes, share: float, size: Size) -> Boxes:
    """Every edge further outside by `share` of the width or height (inside, if negative); cut to the image."""
    sides = np.tile(boxes.shapes[:, 2:] - boxes.shapes[:, :2], 2)
    return replace(boxes, boxes=clip(boxes.shapes + share * sides * [-1, -1, 1, 1], *size))


def shifted(cuboids: Cuboids, metres: float) -> Cuboids:
    """Further away from the sensor, as seen from above."""
    table = cuboids.shapes.copy()
    away = np.hypot(*table[:, :2].T)
    table[:, :2] *= ((away + metres) / np.maximum(away, 1e-9))[:, None]
    return replace(cuboids, cuboids=table)


def resized(cuboids: Cuboids, times: float) -> Cuboids:
    """Larger in every direction, on the same ground."""
    table = cuboids.shapes.copy()
    table[:, 2] += table[:, 5] / 2 * (times - 1)
    table[:, 3:6] *= times
    return replace(cuboids, cuboids=table)


def turned(cuboids: Cuboids, degrees: float) -> Cuboids:
    """All headings turned to the left."""
    table = cuboids.shapes.copy()
    table[:, 8] = wrap(table[:, 8] + math.radians(degrees))
    return replace(cuboids, cuboids=table)


def flipped(cuboids: Cuboids, chance: float, rng: np.random.Generator) -> Cuboids:
    """Some with front and back exchanged."""
    table = cuboids.shapes.copy()
    some = rng.random(len(table)) < chance
    table[some, 8] = wrap(table[some, 8] + math.pi)
    return replace(cuboids, cuboids=table)


def exchanged(cuboids: Cuboids, chance: float, rng: np.random.Generator) -> Cuboids:
    """Some with length and width exchanged."""
    table = cuboids.shapes.copy()
    some = rng.random(len(table)) < chance
    table[some, 3:5] = table[some, 3:5][:, ::-1]
    return replace(cuboids, cuboids=table)


def in_camera_frame(cuboids: Cuboids, from_cloud: Floats) -> Cuboids:
    """Centres in the frame that `from_cloud` (4, 4) leads to, as somebody writes them who mixes up frames."""
    table = cuboids.shapes.copy()
    table[:, :3] = table[:, :3] @ from_cloud[:3, :3].T + from_cloud[:3, 3]
    return replace(cuboids, cuboids=table)


# ---------------------------------------------------------------------- all of them


def spoiled(
    labels: Labels,
    flaws: Flaws,
    classes: Sequence[str],
    size: Size,
    from_cloud: Floats,
    chance: Chance,
) -> Labels:
    """`labels` with the flaws of `Flaws` that are about objects and geometry, in a fixed order."""
    if flaws.far or flaws.hidden:
        labels = unseen(labels, size, flaws.far, flaws.hidden, chance("unseen"))
    if flaws.confuse:
        labels = confused(labels, flaws.confuse, classes, chance("confused"))
    if isinstance(labels, Boxes):
        return loosened(labels, flaws.loose, size) if flaws.loose else labels
    labels = shifted(labels, flaws.shift) if flaws.shift else labels
    labels = resized(labels, flaws.size) if flaws.size != 1 else labels
    labels = turned(labels, flaws.yaw) if flaws.yaw else labels
    labels = flipped(labels, flaws.flip, chance("flipped")) if flaws.flip else labels
    labels = exchanged(labels, flaws.exchange, chance("exchanged")) if flaws.exchange else labels
    if flaws.camera_frame and chance("frame").random() < flaws.camera_frame:
        labels = in_camera_frame(labels, from_cloud)
    return labels
