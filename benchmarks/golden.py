"""Does the golden check see what it must, and nothing that is not there?

Annotators are simulated here, by formulas of this file alone: scenes of about m objects, labelled in images and clouds; errors at
given rates that clump by scene (ICC: the share of the variance that is the scene's), either because the scene is hard, for
everybody and in every round, or in each labelling anew; jitter that clumps in the same way; references of one labelling, or of a
majority of three. Labels are compared by formulas of this file, and what was measured goes to `policies.golden_verdict`, as it
does in the loop: two honest earlier rounds, then up to three rounds with what is planted.

Beside it: the check of 0.1.0 (exact binomial tests and Fisher's, Holm), a chi-square test of all counts against the accepted
rates (5 %), and a threshold on the mean IoU (0.85).

    python -m benchmarks.golden [--short | --long] [--only TEXT ...] [--minutes N]

Rows take turns, some runs each, and their counts are kept (`results/golden-*-cells.json`): it can be stopped at any time, and goes on
where it was, unless the code that judges or simulates is another one. `--only`: the tables whose title contains a text.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv
from scipy.stats import beta, binom, chi2, hypergeom

from benchmarks.common import RESULTS, save, say
from swath.config import Golden
from swath.kernels import clustered, drift
from swath.policies.golden_reference import quality
from swath.policies.golden_verdict import asked, suspected
from swath.records.measured import Measured, Objects

Array = NDArray[Any]
SETTINGS = Golden()
KINDS = {
    "2d": ("miss", "extra", "swap", "shift"),
    "3d": ("miss", "extra", "swap", "shift", "flip", "exchange"),
}
ACCEPTED = {"miss": 0.05, "extra": 0.03, "swap": 0.02, "shift": 0.05, "flip": 0.01, "exchange": 0.01}


# ---------------------------------------------------------------------- scenes and people


@dataclass(frozen=True)
class Setting:
    """Scenes, mean objects of one, ICC; `clumps`: `scene` (hard scenes stay hard) or `round` (each labelling anew)."""

    scenes: int = 20
    objects: int = 5
    icc: float = 0.1
    clumps: str = "scene"
    reference: Literal["single", "adjudicated", "majority"] = "majority"


@dataclass(frozen=True)
class Habits:
    """How somebody labels: error rates by modality and kind, jitter, and what is planted on top."""

    rates: Mapping[str, float]
    jitter: float = 1.0
    grow_box: float = 0.0  # share of the side that each edge is further out
    shift: float = 0.0  # m, along the heading
    forward: float = 0.0  # m, in the frame of the cloud
    size: float = 1.0  # of l, w, h
    yaw: float = 0.0  # degrees, to the left
    wobble: float = 0.0  # degrees, to the left or the right


HONEST = Habits({f"{modality} {kind}": ACCEPTED[kind] for modality, kinds in KINDS.items() for kind in kinds})


def more(habits: Habits, kind: str, by: float, modalities: tuple[str, ...] = ("2d", "3d")) -> Habits:
    added = {
        name: habits.rates[name] + by
        for name in (f"{one} {kind}" for one in modalities)
        if name in habits.rates
    }
    return replace(habits, rates={**habits.rates, **added})


class World(NamedTuple):
    """scene (K,): whose object it is; side (K, 2) px; cuboid sizes (K, 3), heading (K,) rad; classes (K,)."""

    of: Setting
    scene: Array
    side: Array
    size: Array
    heading: Array
    classes: Array
    hard: Mapping[str, Array]  # (S,) quantiles of the scenes' own rates
    pull: Mapping[str, Array]  # (S, n) of the scenes' own jitter


DIMS = {"box": 4, "centre": 3, "dims": 3, "yaw": 1}
SD = {"box": 0.02, "centre": 0.06, "dims": 0.03, "yaw": 1.7}


def world(of: Setting, rng: np.random.Generator) -> World:
    counts = 1 + rng.poisson(of.objects - 1, of.scenes)
    scene = np.repeat(np.arange(of.scenes), counts)
    k = len(scene)
    person = rng.random(k) < 0.3
    size = np.where(person[:, None], [0.8, 0.6, 1.75], [4.2, 1.8, 1.6]) * np.exp(
        0.08 * rng.normal(size=(k, 3))
    )
    return World(
        of,
        scene,
        np.exp(rng.normal([4.2, 4.0], 0.5, size=(k, 2))),
        size,
        rng.uniform(-math.pi, math.pi, k),
        np.where(person, "person", "car"),
        {name: rng.random(of.scenes) for name in HONEST.rates},
        {name: rng.normal(size=(of.scenes, n)) for name, n in DIMS.items()},
    )


class Labelled(NamedTuple):
    """What somebody drew of each object: whether at all (by modality), class right or wrong, edges (K, 4) outward as shares of the
    side, centre (K, 3) in the object's frame, log sizes (K, 3), yaw (K,) degrees, flips, exchanges; labels of nothing, by scene."""

    seen: Mapping[str, Array]
    swapped: Mapping[str, Array]
    edges: Array
    centre: Array
    sizes: Array
    yaw: Array
    flipped: Array
    exchanged: Array
    extra: Mapping[str, Array]


def label(there: World, habits: Habits, rng: np.random.Generator) -> Labelled:
    scene, k, icc = there.scene, len(there.scene), there.of.icc

    def wrong(name: str) -> Array:
        rate = habits.rates[name]
        if icc <= 0 or rate <= 0:
            return rng.random(k) < rate
        size = (1 - icc) / icc
        own = there.hard[name] if there.of.clumps == "scene" else rng.random(there.of.scenes)
        return rng.random(k) < betaincinv(rate * size, (1 - rate) * size, own)[scene]

    def jitter(name: str) -> Array:
        own = there.pull[name] if there.of.clumps == "scene" else rng.normal(size=there.pull[name].shape)
        mixed = math.sqrt(icc) * own[scene] + math.sqrt(1 - icc) * rng.normal(size=(k, DIMS[name]))
        return SD[name] * habits.jitter * mixed

    edges, centre = jitter("box") + habits.grow_box, jitter("centre")
    off = wrong("2d shift")  # moved by a fifth of its size: IoU 0.67 or less
    away = 0.22 * rng.choice([-1, 1], k) * off
    edges += np.column_stack([-away, 0 * away, away, 0 * away])
    centre[:, 0] += habits.shift
    centre[:, 0] += habits.forward * np.cos(there.heading)
    centre[:, 1] -= habits.forward * np.sin(there.heading)
    far = wrong("3d shift")
    centre[:, 0] += 0.7 * rng.choice([-1, 1], k) * far
    seen = {one: ~wrong(f"{one} miss") for one in KINDS}
    return Labelled(
        seen,
        {one: wrong(f"{one} swap") for one in KINDS},
        edges,
        centre,
        jitter("dims") + math.log(habits.size),
        jitter("yaw")[:, 0] + habits.yaw + habits.wobble * rng.choice([-1, 1], k),
        wrong("3d flip"),
        wrong("3d exchange"),
        {one: np.bincount(scene, wrong(f"{one} extra"), there.of.scenes).astype(int) for one in KINDS},
    )


def reference(there: World, how: str, rng: np.random.Generator, habits: Habits = HONEST) -> Labelled:
    """One labelling, or what two of three saw, where they saw it on average."""
    if how == "single":
        return label(there, habits, rng)
    if how == "adjudicated":
        one, two, third = (label(there, habits, rng) for _ in range(3))
        return adjudicated(one, two, third, rng)
    three = [label(there, habits, rng) for _ in range(3)]

    def most(*values: Array) -> Array:
        return np.sum(values, axis=0) >= 2

    return Labelled(
        {one: most(*(each.seen[one] for each in three)) for one in KINDS},
        {one: most(*(each.swapped[one] for each in three)) for one in KINDS},
        np.mean([each.edges for each in three], axis=0),
        np.mean([each.centre for each in three], axis=0),
        np.mean([each.sizes for each in three], axis=0),
        np.mean([each.yaw for each in three], axis=0),
        most(*(each.flipped for each in three)),
        most(*(each.exchanged for each in three)),
        {one: np.zeros(there.of.scenes, int) for one in KINDS},
    )


def adjudicated(one: Labelled, two: Labelled, third: Labelled, rng: np.random.Generator) -> Labelled:
    """What two labellings have in common, on average; where they differ, what a third says, who errs like them."""

    def decided(a: Array, b: Array, c: Array) -> Array:
        return np.where(a == b, a, c)

    def placed(a: Array, b: Array, c: Array, most: float) -> Array:
        apart = np.abs(a - b).max(axis=1, keepdims=True) > most
        return np.where(apart, c, (a + b) / 2)

    return Labelled(
        {kind: decided(one.seen[kind], two.seen[kind], third.seen[kind]) for kind in KINDS},
        {kind: decided(one.swapped[kind], two.swapped[kind], third.swapped[kind]) for kind in KINDS},
        placed(one.edges, two.edges, third.edges, 0.15),
        placed(one.centre, two.centre, third.centre, 0.5),
        (one.sizes + two.sizes) / 2,
        (one.yaw + two.yaw) / 2,
        decided(one.flipped, two.flipped, third.flipped),
        decided(one.exchanged, two.exchanged, third.exchanged),
        {kind: rng.binomial(one.extra[kind] + two.extra[kind], ACCEPTED["extra"]) for kind in KINDS},
    )


# ---------------------------------------------------------------------- comparing, by formulas of its own


def compare(there: World, blind: Labelled, ref: Labelled, who: str = "a") -> Measured:
    """What the loop would have measured."""
    n, scene = there.of.scenes, there.scene
    errors: dict[str, list[int]] = {}
    trials: dict[str, list[int]] = {}
    objects: dict[str, Objects] = {}

    def per_scene(rows: Array) -> Array:
        return np.bincount(scene, rows, n).astype(int)

    for one in KINDS:
        pair = blind.seen[one] & ref.seen[one]
        only_ref, only_blind = ref.seen[one] & ~blind.seen[one], blind.seen[one] & ~ref.seen[one]
        swap = pair & (blind.swapped[one] != ref.swapped[one])
        values, flags = (_flat if one == "2d" else _solid)(there, blind, ref)
        told = {
            "miss": (per_scene(only_ref) + ref.extra[one], per_scene(ref.seen[one]) + ref.extra[one]),
            "extra": (
                per_scene(only_blind) + blind.extra[one],
                per_scene(blind.seen[one]) + blind.extra[one],
            ),
            "swap": (per_scene(swap), per_scene(pair)),
            **{kind: (per_scene(pair & of), per_scene(pair & able)) for kind, (of, able) in flags.items()},
        }
        for kind, (e, t) in told.items():
            errors[f"{one} {kind}"], trials[f"{one} {kind}"] = e.tolist(), t.tolist()
        rows = np.flatnonzero(pair)
        objects[one] = Objects.model_construct(
            keys=[str(row) for row in rows.tolist()],
            scenes=scene[rows].tolist(),
            classes=there.classes[rows].tolist(),
            wrong=(),
            values=values[rows].tolist(),
        )
    names = [f"{i:03d}" for i in range(n)]
    return Measured.model_construct(
        scenes=names,
        errors=errors,
        trials=trials,
        objects=objects,
        annotators={one: [who] * n for one in KINDS},
        extra={},
    )


def _flat(there: World, blind: Labelled, ref: Labelled) -> tuple[Array, dict[str, tuple[Array, Array]]]:
    """Of boxes of unit sides: edges as shares of the side are all that IoU and ratio depend on."""
    one, two = (
        1 + blind.edges[:, [0, 1]] + blind.edges[:, [2, 3]],
        1 + ref.edges[:, [0, 1]] + ref.edges[:, [2, 3]],
    )
    inner = (
        1
        + np.minimum(blind.edges[:, :2], ref.edges[:, :2])
        + np.minimum(blind.edges[:, 2:], ref.edges[:, 2:])
    )
    shared = np.maximum(inner, 0).prod(axis=1)
    overlap = shared / (one.prod(axis=1) + two.prod(axis=1) - shared)
    edges = (blind.edges - ref.edges) / np.tile(two, 2)
    values = np.column_stack([overlap, np.log(one.prod(axis=1) / two.prod(axis=1)), edges])
    return values, {"shift": (overlap < 0.7, np.ones(len(overlap), bool))}


def _solid(there: World, blind: Labelled, ref: Labelled) -> tuple[Array, dict[str, tuple[Array, Array]]]:
    apart = blind.centre - ref.centre
    cos, sin = np.cos(there.heading), np.sin(there.heading)
    ahead, left = cos * apart[:, 0] - sin * apart[:, 1], sin * apart[:, 0] + cos * apart[:, 1]
    far = np.linalg.norm(apart, axis=1)
    yaw = blind.yaw - ref.yaw
    crossed = blind.exchanged != ref.exchanged
    sizes = np.column_stack([blind.sizes - ref.sizes, yaw, np.abs(yaw)])
    sizes[crossed] = np.nan
    values = np.column_stack([apart, ahead, left, far, sizes])
    every = np.ones(len(far), bool)
    long = there.size[:, 0] / there.size[:, 1] > 1.3
    flags = {
        "shift": (far > 0.5, every),
        "flip": ((blind.flipped != ref.flipped), every),
        "exchange": (crossed & long, long),
    }
    return values, flags


# ---------------------------------------------------------------------- the checks


class Told(NamedTuple):
    block: bool
    warn: bool  # or block


def check(rounds: list[Measured], of: Setting) -> Told:
    """The golden check of the last of the rounds."""
    before: dict[str, tuple[int, int]] = {}
    for one in rounds[:-1]:
        for axis in one.errors:
            e, n = before.get(axis, (0, 0))
            before[axis] = e + sum(one.errors[axis]), n + sum(one.trials[axis])
    made = quality(of.reference, SETTINGS)
    given = asked(rounds[-1], rounds[:-1], before, ("2d", "3d"), SETTINGS, made)
    found = drift.judge(given.counts, given.values, given.icc)
    return Told(bool(found.blocking), bool(found.blocking or found.warning))


def check_0_1_0(rounds: list[Measured], of: Setting) -> Told:
    """Objects independent: binomial tests at the accepted rates, Fisher's against earlier rounds; Holm; four axes per modality."""
    level, both = [], []
    for axis in rounds[-1].errors:
        kind = axis.split()[1]
        if kind in ("flip", "exchange"):
            continue
        e, n = sum(rounds[-1].errors[axis]), sum(rounds[-1].trials[axis])
        if not n:
            continue
        p = float(binom.sf(e - 1, n, ACCEPTED[kind])) if e else 1.0
        level.append(p)
        both.append(p)
        e0, n0 = (sum(sum(getattr(one, what)[axis]) for one in rounds[:-1]) for what in ("errors", "trials"))
        if n0:
            both.append(float(hypergeom.sf(e - 1, n + n0, e + e0, n)) if e else 1.0)
    return Told(_least(level) <= 0.01, _least(level) <= 0.01 or _least(both) <= 0.05)


def _least(p_values: list[float]) -> float:
    """The smallest p after Holm."""
    return min(p_values) * len(p_values) if p_values else 1.0


def chi_square(rounds: list[Measured], of: Setting) -> Told:
    total, freedom = 0.0, 0
    for axis in rounds[-1].errors:
        rate = ACCEPTED[axis.split()[1]]
        e, n = sum(rounds[-1].errors[axis]), sum(rounds[-1].trials[axis])
        if n:
            total += (e - n * rate) ** 2 / (n * rate * (1 - rate))
            freedom += 1
    return Told(False, bool(chi2.sf(total, freedom) <= 0.05))


def mean_iou(rounds: list[Measured], of: Setting) -> Told:
    values = np.array(rounds[-1].objects["2d"].values)
    return Told(False, bool(len(values) and values[:, 0].mean() < 0.85))


OTHERS = {"0.1.0": check_0_1_0, "chi-square": chi_square, "mean IoU": mean_iou}


# ---------------------------------------------------------------------- runs


def history(of: Setting, habits: Habits, rounds: int, seed: int) -> Iterator[list[Measured]]:
    """Two honest rounds, and then one after the other those of `habits`: all rounds up to each of these. The honest ones are taken
    as they are, also where one in hundreds would have been blocked."""
    rng = np.random.default_rng([seed, of.scenes, of.objects, round(1000 * of.icc)])
    there = world(of, rng)
    ref = reference(there, of.reference, rng)
    before = [compare(there, label(there, HONEST, rng), ref) for _ in range(2)]
    for _ in range(rounds):
        before = [*before, compare(there, label(there, habits, rng), ref)]
        yield before


def tried(of: Setting, habits: Habits, rounds: int, seed: int) -> Counter[str]:
    """One run: what the first round of `habits` was told by this check and the others, and whether one of the `rounds` was warned."""
    told: Counter[str] = Counter()
    for at, found in enumerate(history(of, habits, rounds, seed)):
        new = check(found, of)
        if at == 0:
            told.update(block=new.block, warn=new.warn)
            for name, other in OTHERS.items():
                one = other(found, of)
                told.update({f"{name} block": one.block, name: one.warn})
        if new.warn:
            told["within"] = 1
            break
    return told


def share(times: int, of: int) -> tuple[float, str]:
    """A share with its 95 % interval (Clopper and Pearson)."""
    low = beta.ppf(0.025, times, of - times + 1) if times else 0.0
    high = beta.ppf(0.975, times + 1, of - times) if times < of else 1.0
    return times / of, f"{low:.4f} to {high:.4f}"


PLANTED: dict[str, Habits] = {
    "nothing": HONEST,
    "each edge 3.3 % out (mean IoU - 0.05)": replace(HONEST, grow_box=0.033),
    "each edge 1.9 % out (mean IoU - 0.02)": replace(HONEST, grow_box=0.019),
    "each edge 2.5 % out (5 % larger, mean IoU - 0.03)": replace(HONEST, grow_box=0.025),
    "cuboids 0.1 m ahead": replace(HONEST, shift=0.1),
    "cuboids 0.1 m forward in the cloud": replace(HONEST, forward=0.1),
    "yaw + 5 degrees": replace(HONEST, yaw=5.0),
    "yaw +- 5 degrees": replace(HONEST, wobble=5.0),
    "sizes x 1.1": replace(HONEST, size=1.1),
    "+ 10 % misses, 2D and 3D": more(HONEST, "miss", 0.1),
    "+ 10 % misses, 2D alone": more(HONEST, "miss", 0.1, ("2d",)),
    "+ 5 % swaps, 2D and 3D": more(HONEST, "swap", 0.05),
    "+ 5 % flips": more(HONEST, "flip", 0.05),
    "+ 5 % exchanges": more(HONEST, "exchange", 0.05),
    "jitter x 1.5, no bias": replace(HONEST, jitter=1.5),
}


def careless(scenes: int, seed: int) -> Counter[str]:
    """One of five annotators, who share the scenes out anew each round, errs ten times as often as the others (at half the accepted
    rates); three rounds."""
    of = Setting(scenes=scenes)
    calm = replace(HONEST, rates={name: rate / 2 for name, rate in HONEST.rates.items()})
    wild = replace(calm, rates={name: min(10 * rate, 0.5) for name, rate in calm.rates.items()})
    rng = np.random.default_rng([seed, scenes])
    there = world(of, rng)
    ref = reference(there, "majority", rng)
    rounds = []
    for _ in range(3):
        who = rng.permutation(np.arange(scenes) % 5)
        one, two = (compare(there, label(there, habits, rng), ref) for habits in (calm, wild))
        mixed = {
            what: {
                axis: [
                    b if w == 0 else a
                    for a, b, w in zip(of_, getattr(two, what)[axis], who.tolist(), strict=True)
                ]
                for axis, of_ in getattr(one, what).items()
            }
            for what in ("errors", "trials")
        }
        by = {modality: [f"p{w}" for w in who.tolist()] for modality in KINDS}
        rounds.append(one.model_copy(update={**mixed, "annotators": by}))
    made = quality("majority", SETTINGS)
    given = asked(rounds[-1], rounds[:-1], {}, ("2d", "3d"), SETTINGS, made)
    found = {one.annotator for one in suspected(rounds, given)}
    return Counter(named="p0" in found, accused=bool(found - {"p0"}))


def statistics(true: float, icc: float, seed: int) -> Counter[str]:
    """One axis accepted at 5 %, its design ICC 0.1, 20 scenes of about five: whether p <= 0.005 by the sum of errors, by the score."""
    rng = np.random.default_rng([round(100 * true), round(100 * icc), seed])
    n = 1 + rng.poisson(4, 20)
    size = (1 - icc) / icc if icc else 0
    e = rng.binomial(n, rng.beta(true * size, (1 - true) * size, 20) if icc else true)
    score = clustered.total_score(e, n, 0.05, 0.1)
    return Counter(
        sum=bool(clustered.tail(n, 0.05, 0.1)[e.sum()] <= 0.005),
        score=bool(clustered.score_tail(n, 0.05, 0.1)[score] <= 0.005),
    )


# ---------------------------------------------------------------------- what is run, and kept


class Cell(NamedTuple):
    """A row of a table: so many runs, by their seeds; what it says of their counts."""

    table: str
    name: str
    runs: int
    run: Callable[[int], Counter[str]]
    row: Callable[[Counter[str], int], dict[str, Any]]


def null_cell(of: Setting, runs: int) -> Cell:
    def row(found: Counter[str], n: int) -> dict[str, Any]:
        blocks, warns = share(found["block"], n), share(found["warn"], n)
        return {
            "clumps": of.clumps,
            "ICC": of.icc,
            "scenes": of.scenes,
            "objects": of.objects,
            "block": blocks[0],
            "95 % ": blocks[1],
            "warn or block": warns[0],
            "95 %": warns[1],
            "0.1.0: block": found["0.1.0 block"] / n,
            "0.1.0: warn or block": found["0.1.0"] / n,
            "chi-square": found["chi-square"] / n,
            "runs": n,
        }

    title = ALARMS + MADE[of.reference]
    return Cell(title, str(of), runs, lambda seed: tried(of, HONEST, 1, seed), row)


def power_cell(table: str, of: Setting, planted: str, runs: int, rounds: int = 3) -> Cell:
    def row(found: Counter[str], n: int) -> dict[str, Any]:
        later = share(found["within"], n)
        return {
            "planted": planted,
            "scenes": of.scenes,
            "block": found["block"] / n,
            "warn or block": found["warn"] / n,
            "95 %": share(found["warn"], n)[1],
            **({f"within {rounds} rounds": later[0], "95 % ": later[1]} if rounds > 1 else {}),
            **{name: found[name] / n for name in OTHERS},
            "runs": n,
        }

    return Cell(
        table, f"{of} {planted}", runs, lambda seed: tried(of, PLANTED[planted], rounds, 10_000 + seed), row
    )


def shares(table: str, given: dict[str, Any], runs: int, run: Callable[[int], Counter[str]]) -> Cell:
    """A row of shares, one for each thing that is counted."""

    def row(found: Counter[str], n: int) -> dict[str, Any]:
        return {**given, **{name: times / n for name, times in found.items()}, "runs": n}

    return Cell(table, str(given), runs, run, row)


def cells(long: bool) -> list[Cell]:
    """In the order of the tables."""
    null, power, curve = (1000, 400, 100) if long else (60, 20, 10)
    sizes = (10, 20, 30, 50, 100) if long else (10,)
    null_cells = [
        null_cell(Setting(s, m, icc, clumps, made), max(null * 5 // max(s // 4, 5), 10))
        for s, m, icc, clumps, made in (NULL if long else NULL[:2])
    ]
    return [
        *(power_cell(POWER, Setting(), name, power // (1 + 3 * (name in GEOMETRY))) for name in PLANTED),
        *null_cells,
        *(power_cell(CURVE, Setting(s), name, curve, 1) for name in CURVES for s in sizes),
        *(
            power_cell("Power where each labelling clumps anew", Setting(clumps="round"), name, curve)
            for name in CURVES[1:]
        ),
        *(
            shares(
                "A careless annotator among five, three rounds",
                {"scenes": s},
                curve,
                lambda seed, s=s: careless(s, seed),
            )
            for s in (10, 20)
        ),
        *(
            shares(
                "Sum of errors against score",
                {"true rate": true, "true ICC": icc},
                5 * null,
                lambda seed, true=true, icc=icc: statistics(true, icc, seed),
            )
            for true, icc in ((0.15, 0.1), (0.15, 0.2), (0.05, 0.0), (0.05, 0.1), (0.05, 0.2))
        ),
    ]


@cache
def code() -> str:
    """Which code the counts are of: another one begins anew."""
    parts = (
        clustered,
        drift,
        quality,
        asked,
        suspected,
        world,
        label,
        reference,
        adjudicated,
        compare,
        _flat,
        _solid,
        tried,
        careless,
        statistics,
        check,
    )
    text = [inspect.getsource(one) for one in parts] + [SETTINGS.model_dump_json()]
    return hashlib.sha256("".join(text).encode()).hexdigest()[:12]


def kept(path: Path) -> dict[str, dict[str, Any]]:
    """Cell -> its counts so far, of this code."""
    there: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"code": code(), "cells": {}}
    if there["code"] != code():
        say(f"{path.name} is of other code ({there['code']}); beginning anew")
        return {}
    found: dict[str, dict[str, Any]] = there["cells"]
    return found


def keep(path: Path, counts: Mapping[str, Mapping[str, Any]]) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps({"code": code(), "cells": counts}, indent=1, sort_keys=True) + "\n")
    scratch.replace(path)


def tables(every: Sequence[Cell], counts: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Of what has run."""
    out: dict[str, list[dict[str, Any]]] = {}
    for cell in every:
        there = counts.get(f"{cell.table}: {cell.name}")
        if there:
            out.setdefault(cell.table, []).append(cell.row(Counter(there["counts"]), there["runs"]))
    for table, rows in out.items():
        if table.startswith(ALARMS):
            mine = [
                counts.get(f"{one.table}: {one.name}", {"runs": 0}) for one in every if one.table == table
            ]
            rows.append(_together(rows[0], [one for one in mine if one["runs"]]))
    return out


def _together(like: dict[str, Any], mine: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All settings of a table of false alarms in one row: each promise is per check, whatever the setting."""
    total, n = sum((Counter(one["counts"]) for one in mine), Counter()), sum(one["runs"] for one in mine)
    blocks, warns = share(total["block"], n), share(total["warn"], n)
    said = {"clumps": "all of these", "block": blocks[0], "95 % ": blocks[1], "warn or block": warns[0]}
    said |= {"95 %": warns[1], "0.1.0: block": total["0.1.0 block"] / n, "runs": n}
    return {name: said.get(name, "") for name in like}


MADE = {
    "majority": "by majority of three",
    "single": "of one labelling",
    "adjudicated": "of two with adjudication",
}
NULL = (
    *((s, m, icc, "scene", "majority") for icc in (0.1, 0.2, 0.0) for s, m in ((20, 5), (10, 3))),
    (20, 5, 0.2, "round", "majority"),
    *(
        (s, m, icc, "scene", "majority")
        for icc in (0.1, 0.2, 0.0)
        for s, m in ((10, 15), (50, 10), (100, 3), (100, 15))
    ),
    *((s, m, 0.1, "scene", "single") for s, m in ((10, 3), (20, 5), (50, 10), (100, 15))),
    *((s, m, 0.1, "scene", "adjudicated") for s, m in ((10, 3), (20, 5), (50, 10))),
)
ALARMS = "False alarms, reference "
POWER = "Power at 20 scenes of 5 objects, ICC 0.1"
CURVE = "Power over scenes, one round"
GEOMETRY = tuple(PLANTED)[1:9]
CURVES = (
    "nothing",
    "each edge 1.9 % out (mean IoU - 0.02)",
    "cuboids 0.1 m ahead",
    "yaw +- 5 degrees",
    "+ 10 % misses, 2D and 3D",
    "+ 10 % misses, 2D alone",
    "+ 5 % flips",
)
NOTES = (
    "`clumps`: `scene`, hard scenes are hard for everybody and in every round; `round`, each labelling clumps anew.",
    "0.1.0, chi-square and mean IoU: warned or blocked in the first round, to be read beside their own false alarms (`nothing`).",
    "Measured in turns, with a busy machine: what was kept goes on where it stopped.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_true", help="a minute or two (the default)")
    size.add_argument("--long", action="store_true", help="what the figures in the documentation come from")
    parser.add_argument("--only", nargs="+", default=[""], help="tables whose title contains one of these")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    parser.add_argument(
        "--chunk", type=int, default=CHUNK, help="runs of a row before the next one has its turn"
    )
    given = parser.parse_args()
    every = cells(bool(given.long))
    path = RESULTS / f"golden-{'long' if given.long else 'short'}-cells.json"
    counts, until = kept(path), time.monotonic() + 60 * given.minutes
    left = [one for one in every if any(text in one.table for text in given.only)]
    while left and time.monotonic() < until:
        for cell in left:
            _more(cell, counts, given.chunk)
            keep(path, counts)
            if time.monotonic() >= until:
                break
        save("golden", bool(given.long), __doc__, tables(every, counts), NOTES)
        left = [one for one in left if _done(one, counts) < one.runs]


def _done(cell: Cell, counts: Mapping[str, Mapping[str, Any]]) -> int:
    return int(counts.get(f"{cell.table}: {cell.name}", {"runs": 0})["runs"])


def _more(cell: Cell, counts: dict[str, dict[str, Any]], runs: int) -> None:
    """Adds runs to what a cell has, up to its number."""
    there = counts.setdefault(f"{cell.table}: {cell.name}", {"runs": 0, "counts": {}})
    total = Counter(there["counts"])
    seeds = range(there["runs"], min(there["runs"] + runs, cell.runs))
    for seed in seeds:
        total.update(cell.run(seed))
    if seeds:
        there.update(runs=seeds.stop, counts={name: int(times) for name, times in total.items()})
        say(f"{cell.table}: {cell.row(total, seeds.stop)}")


CHUNK = 50


if __name__ == "__main__":
    main()
