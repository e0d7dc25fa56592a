"""What the things of the made world look like: a few boxes, tapered boxes, cylinders and ellipsoids each.

Own frame: x forward, y left, z up, metres; the origin is the middle of the foot. The extent of a shape is
that of its parts, so that its cuboid is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from swath.worlds.cast import Part
from swath.worlds.parts import Colour, Shape, assemble, ball, box, cylinder, tapered

Rng = np.random.Generator

GLASS: Colour = (0.10, 0.13, 0.17)
RUBBER: Colour = (0.05, 0.05, 0.055)
DARK: Colour = (0.13, 0.13, 0.14)
LAMP: Colour = (0.95, 0.93, 0.8)
TAIL: Colour = (0.75, 0.06, 0.05)
SKIN: tuple[Colour, ...] = ((0.85, 0.66, 0.54), (0.62, 0.44, 0.33), (0.36, 0.24, 0.18))
PAINT: tuple[Colour, ...] = (
    (0.82, 0.83, 0.84), (0.58, 0.60, 0.62), (0.12, 0.12, 0.13), (0.30, 0.32, 0.35),
    (0.62, 0.08, 0.08), (0.10, 0.20, 0.48), (0.09, 0.30, 0.22), (0.55, 0.47, 0.34),
)  # fmt: skip
PAINT_SHARES = (0.24, 0.20, 0.18, 0.14, 0.09, 0.08, 0.04, 0.03)
CLOTHES: tuple[Colour, ...] = (
    (0.68, 0.14, 0.14), (0.16, 0.26, 0.55), (0.80, 0.74, 0.62), (0.22, 0.42, 0.24),
    (0.82, 0.55, 0.12), (0.42, 0.20, 0.46), (0.28, 0.28, 0.30), (0.12, 0.55, 0.58),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = (
    (0.12, 0.14, 0.24),
    (0.10, 0.10, 0.11),
    (0.36, 0.32, 0.26),
    (0.24, 0.30, 0.42),
)


def car(rng: Rng) -> Shape:
    length, width, height = rng.normal(4.1, 0.3), rng.normal(1.68, 0.06), rng.normal(1.5, 0.06)
    paint = _pick(rng, PAINT, PAINT_SHARES)
    belt, side, long = 0.56 * height, width / 2, length
    body = tapered(
        (-long / 2, long / 2, -side, side),
        (-long / 2 + 0.06, long / 2 - 0.14, -side + 0.05, side - 0.05),
        (0.26, belt),
        paint,
        reflectance=0.45,
    )
    roof = rng.uniform(-0.40, -0.30)  # hatchbacks to saloons
    cabin = tapered(
        (-0.46 * long, 0.24 * long, -side + 0.09, side - 0.09),
        (roof * long, 0.06 * long, -side + 0.24, side - 0.24),
        (belt, height),
        GLASS,
        GLASS,
        GLASS,
        GLASS,
        paint,
        paint,
        reflectance=0.2,
    )
    return assemble(
        body, cabin, *_wheels(0.31 * long, side, 0.31), *_lights(long / 2, side, 0.58 * belt + 0.12)
    )


def van(rng: Rng) -> Shape:
    length, width, height = rng.normal(4.9, 0.25), rng.normal(1.88, 0.05), rng.normal(2.15, 0.1)
    paint = _pick(
        rng,
        ((0.84, 0.84, 0.82), (0.86, 0.70, 0.12), (0.55, 0.57, 0.6), (0.14, 0.26, 0.5)),
        (0.5, 0.2, 0.2, 0.1),
    )
    side, long = width / 2, length
    lower = box((-long / 2, long / 2), (-side, side), (0.3, 1.05), paint, reflectance=0.45)
    upper = tapered(
        (-long / 2, 0.36 * long, -side, side),
        (-long / 2 + 0.06, 0.20 * long, -side + 0.1, side - 0.1),
        (1.05, height),
        GLASS,
        GLASS,
        paint,
        paint,
        paint,
        paint,
        reflectance=0.45,
    )
    window = tapered(
        (0.05 * long, 0.27 * long, -side - 0.01, side + 0.01),
        (0.05 * long, 0.2 * long, -side + 0.05, side - 0.05),
        (1.1, 1.75),
        GLASS,
    )
    return assemble(lower, upper, window, *_wheels(0.32 * long, side, 0.34), *_lights(long / 2, side, 0.75))


def truck(rng: Rng) -> Shape:
    length, width, height = rng.normal(8.5, 1.0), rng.normal(2.5, 0.06), rng.normal(3.4, 0.15)
    cab = _pick(rng, ((0.7, 0.1, 0.08), (0.1, 0.25, 0.55), (0.85, 0.85, 0.85), (0.1, 0.42, 0.25)))
    load = _pick(rng, ((0.88, 0.88, 0.86), (0.70, 0.72, 0.74), (0.16, 0.3, 0.55), (0.75, 0.5, 0.15)))
    side, front = width / 2, length / 2
    parts = [
        tapered(
            (front - 2.0, front, -side, side),
            (front - 2.0, front - 0.25, -side + 0.05, side - 0.05),
            (0.5, 2.75),
            cab,
            reflectance=0.4,
        ),
        tapered(
            (front - 1.5, front + 0.01, -side + 0.1, side - 0.1),
            (front - 1.5, front - 0.14, -side + 0.1, side - 0.1),
            (1.55, 2.45),
            GLASS,
        ),
        box((front - 1.4, front - 0.5), (-side - 0.01, side + 0.01), (1.55, 2.3), GLASS),
        box((-length / 2, front - 2.2), (-side, side), (0.95, height), load, reflectance=0.55),
        box((-length / 2 + 0.2, front - 0.3), (-side + 0.35, side - 0.35), (0.55, 0.95), DARK),
        *_wheels(front - 1.1, side, 0.48, back=-length / 2 + 1.3),
        *_lights(front, side, 0.8, back=-length / 2),
    ]
    return assemble(*parts)


def pedestrian(rng: Rng) -> Shape:
    height, stride = rng.normal(1.72, 0.09), rng.uniform(0.05, 0.28)
    shirt, trousers, skin = _pick(rng, CLOTHES), _pick(rng, TROUSERS), _pick(rng, SKIN)
    hip, shoulder = 0.49 * height, 0.83 * height
    parts = [
        _limb((step * stride, 0.09 * step), (0.0, 0.09 * step), (0.0, hip + 0.05), 0.085, trousers)
        for step in (1, -1)
    ]
    parts += [
        _limb(
            (-step * stride * 0.8, 0.27 * step),
            (0.0, 0.22 * step),
            (hip - 0.02, shoulder - 0.02),
            0.055,
            shirt,
        )
        for step in (1, -1)
    ]
    torso = tapered((-0.11, 0.11, -0.16, 0.16), (-0.12, 0.12, -0.21, 0.21), (hip, shoulder), shirt)
    head = ball((0.02, 0, height - 0.125), (0.105, 0.09, 0.125), skin)
    return assemble(*parts, torso, head)


def person_sitting(rng: Rng) -> Shape:
    scale = rng.normal(1.0, 0.04)
    shirt, trousers, skin = _pick(rng, CLOTHES), _pick(rng, TROUSERS), _pick(rng, SKIN)
    parts = [_limb((0.45, 0.1 * s), (0.42, 0.1 * s), (0.0, 0.46), 0.075, trousers) for s in (1, -1)]
    parts += [box((-0.08, 0.5), (0.1 * s - 0.085, 0.1 * s + 0.085), (0.42, 0.58), trousers) for s in (1, -1)]
    parts += [
        tapered((-0.14, 0.12, -0.17, 0.17), (-0.2, 0.04, -0.21, 0.21), (0.5, 1.06 * scale), shirt),
        ball((-0.05, 0, 1.06 * scale + 0.13), (0.105, 0.09, 0.125), skin),
    ]
    return assemble(*parts)


def cyclist(rng: Rng) -> Shape:
    scale = rng.normal(1.0, 0.04)
    shirt, trousers, skin = _pick(rng, CLOTHES), _pick(rng, TROUSERS), _pick(rng, SKIN)
    frame, helmet = _pick(rng, CLOTHES), _pick(rng, ((0.9, 0.9, 0.9), (0.1, 0.1, 0.1), (0.8, 0.15, 0.1)))
    kick = rng.uniform(-0.14, 0.14)
    parts = [cylinder((x, 0, 0.34), (0.34, 0.03, 0.34), 1, RUBBER, hollow=0.8) for x in (-0.52, 0.52)]
    parts += [
        _limb((-0.05, 0.0), (0.42, 0.0), (0.32, 0.88), 0.028, frame),
        _limb((-0.05, 0.0), (-0.2, 0.0), (0.32, 0.95), 0.028, frame),
        _limb((0.52, 0.0), (0.42, 0.0), (0.34, 1.02), 0.025, frame),
        box((0.36, 0.44), (-0.27, 0.27), (1.0, 1.05), DARK),
        _limb((-0.02 + kick, 0.12), (-0.16, 0.1), (0.2, 0.98), 0.08, trousers),
        _limb((-0.02 - kick, -0.12), (-0.16, -0.1), (0.34, 0.98), 0.08, trousers),
        tapered((-0.32, -0.04, -0.15, 0.15), (0.02, 0.26, -0.2, 0.2), (0.92, 1.5 * scale), shirt),
        _limb((0.4, 0.22), (0.14, 0.19), (1.02, 1.46 * scale), 0.05, shirt),
        _limb((0.4, -0.22), (0.14, -0.19), (1.02, 1.46 * scale), 0.05, shirt),
        ball((0.22, 0, 1.5 * scale + 0.1), (0.11, 0.09, 0.13), skin),
        ball((0.21, 0, 1.5 * scale + 0.16), (0.14, 0.105, 0.1), helmet),
    ]
    return assemble(*parts)


def tram(rng: Rng) -> Shape:
    half, side, height = rng.normal(8.0, 0.6), 1.22, rng.normal(3.45, 0.05)
    livery = _pick(rng, ((0.72, 0.10, 0.10), (0.85, 0.72, 0.15), (0.12, 0.36, 0.3)))
    cream: Colour = (0.85, 0.82, 0.72)
    nose = half - 0.5
    return assemble(
        tapered(
            (-half, half, -side, side),
            (-nose, nose, -side + 0.04, side - 0.04),
            (0.35, height - 0.25),
            cream,
            reflectance=0.5,
        ),
        box((-half + 0.1, half - 0.1), (-side - 0.015, side + 0.015), (0.36, 1.25), livery, reflectance=0.5),
        box((-nose + 0.4, nose - 0.4), (-side - 0.01, side + 0.01), (1.5, 2.6), GLASS, reflectance=0.15),
        box((-half + 0.12, half - 0.12), (-side + 0.15, side - 0.15), (1.45, 2.7), GLASS, reflectance=0.15),
        box((-nose + 0.8, nose - 0.8), (-side + 0.3, side - 0.3), (0.0, 0.4), DARK),
        box((-2.0, 1.0), (-0.6, 0.6), (height - 0.3, height), DARK),
        *_lights(half - 0.05, side, 0.85),
    )


def misc(rng: Rng) -> Shape:
    """A trailer with a coloured cover."""
    length, width, height = rng.normal(2.6, 0.3), rng.normal(1.5, 0.1), rng.normal(1.55, 0.2)
    cover = _pick(rng, ((0.9, 0.42, 0.05), (0.1, 0.5, 0.75), (0.35, 0.65, 0.15), (0.85, 0.82, 0.2)))
    side, long = width / 2, length
    return assemble(
        box((-long / 2, long / 2), (-side, side), (0.45, 0.8), (0.45, 0.46, 0.48), reflectance=0.6),
        tapered(
            (-long / 2, long / 2, -side, side),
            (-long / 2 + 0.2, long / 2 - 0.2, -side + 0.25, side - 0.25),
            (0.8, height),
            cover,
        ),
        box((long / 2, long / 2 + 0.9), (-0.06, 0.06), (0.42, 0.52), DARK),
        cylinder((0, side + 0.08, 0.28), (0.28, 0.08, 0.28), 1, RUBBER),
        cylinder((0, -side - 0.08, 0.28), (0.28, 0.08, 0.28), 1, RUBBER),
    )


LABELLED: dict[str, Callable[[Rng], Shape]] = {
    "Car": car, "Van": van, "Truck": truck, "Pedestrian": pedestrian,
    "Person_sitting": person_sitting, "Cyclist": cyclist, "Tram": tram, "Misc": misc,
}  # fmt: skip


def building(rng: Rng, length: float, depth: float) -> Shape:
    wall = _pick(
        rng,
        ((0.72, 0.66, 0.55), (0.60, 0.40, 0.33), (0.66, 0.66, 0.66), (0.78, 0.74, 0.66), (0.50, 0.52, 0.56)),
    )
    roof = (0.35, 0.2, 0.17)
    tall = float(rng.choice([6.4, 9.5, 12.6, 15.7]))
    walls = box((-length / 2, length / 2), (-depth / 2, depth / 2), (0.0, tall), wall, reflectance=0.35)
    half, ridge = depth / 2 + 0.3, length / 2 + 0.2
    top = tapered(
        (-ridge, ridge, -half, half),
        (-ridge, ridge, -0.2, 0.2),
        (tall, tall + 0.3 * depth),
        roof,
        reflectance=0.25,
    )
    return assemble(replace(walls, texture="windows"), top)


def tree(rng: Rng) -> Shape:
    tall, spread = rng.uniform(5.0, 8.5), rng.uniform(1.3, 2.2)
    green: Colour = (rng.uniform(0.12, 0.26), rng.uniform(0.28, 0.40), rng.uniform(0.08, 0.16))
    crown = ball((0, 0, tall - 0.42 * tall), (spread, spread, 0.34 * tall), green)
    tip = ball(
        (rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), 0.76 * tall),
        (0.7 * spread, 0.7 * spread, 0.24 * tall),
        green,
    )
    trunk = cylinder((0, 0, 0.25 * tall), (0.16, 0.16, 0.25 * tall), 2, (0.28, 0.21, 0.15))
    return Shape(
        (replace(crown, texture="leaves"), replace(tip, texture="leaves"), trunk),
        2 * spread,
        2 * spread,
        tall,
    )


def lamp(rng: Rng) -> Shape:
    """A street lamp; its arm points to its left."""
    pole = cylinder((0, 0, 3.0), (0.07, 0.07, 3.0), 2, (0.32, 0.34, 0.33))
    arm = box((-0.05, 0.05), (0.0, 1.3), (5.9, 6.0), (0.32, 0.34, 0.33))
    head = box((-0.12, 0.12), (0.9, 1.5), (5.8, 5.92), LAMP, glow=1.0)
    return Shape((pole, arm, head), 0.24, 1.6, 6.0)


def hedge(rng: Rng, length: float) -> Shape:
    green: Colour = (rng.uniform(0.14, 0.22), rng.uniform(0.28, 0.36), 0.11)
    part = box((-length / 2, length / 2), (-0.35, 0.35), (0.0, rng.uniform(0.9, 1.5)), green)
    return assemble(replace(part, texture="leaves"))


def bench() -> Shape:
    wood: Colour = (0.42, 0.29, 0.18)
    return Shape(
        (
            box((-0.28, 0.2), (-0.8, 0.8), (0.36, 0.42), wood),
            box((-0.34, -0.28), (-0.8, 0.8), (0.36, 0.85), wood),
            box((-0.2, 0.1), (-0.7, -0.62), (0.0, 0.36), DARK),
            box((-0.2, 0.1), (0.62, 0.7), (0.0, 0.36), DARK),
        ),
        0.54, 1.6, 0.85,
    )  # fmt: skip


def _wheels(front: float, side: float, radius: float, back: float | None = None) -> list[Part]:
    places = [(x, y) for x in (front, -front if back is None else back) for y in (side - 0.1, -side + 0.1)]
    rim: Colour = (0.42, 0.43, 0.45)
    return [
        part
        for x, y in places
        for part in (
            cylinder((x, y, radius), (radius, 0.115, radius), 1, RUBBER),
            cylinder((x, y, radius), (0.6 * radius, 0.12, 0.6 * radius), 1, rim),
        )
    ]


def _lights(front: float, side: float, z: float, back: float | None = None) -> list[Part]:
    rear = -front if back is None else back
    spots = [(y - 0.16, y + 0.16) for y in (side - 0.26, -side + 0.26)]
    head = [
        box((front - 0.1, front + 0.005), y, (z - 0.08, z + 0.08), LAMP, glow=1.0, reflectance=0.9)
        for y in spots
    ]
    tail = [
        box((rear - 0.005, rear + 0.1), y, (z - 0.07, z + 0.12), TAIL, glow=0.8, reflectance=0.9)
        for y in spots
    ]
    return head + tail


def _limb(
    foot: tuple[float, float], top: tuple[float, float], z: tuple[float, float], r: float, colour: Colour
) -> Part:
    """A slanted bar with a square section of 2 r."""
    (x0, y0), (x1, y1) = foot, top
    return tapered((x0 - r, x0 + r, y0 - r, y0 + r), (x1 - r, x1 + r, y1 - r, y1 + r), z, colour)


def _pick(rng: Rng, choices: Sequence[Colour], shares: Sequence[float] | None = None) -> Colour:
    """One of the colours, a little lighter or darker."""
    base = choices[int(rng.choice(len(choices), p=shares))]
    shade = rng.uniform(0.9, 1.08)
    return (min(1.0, base[0] * shade), min(1.0, base[1] * shade), min(1.0, base[2] * shade))
