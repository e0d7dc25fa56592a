"""The made sensor rig: two cameras and a 64-beam LiDAR, laid out and calibrated like KITTI's.

`Rig` holds the geometry; `render` makes one frame: images, sweep and exact labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.formats.kitti_records import Calibration, KittiObject
from swath.worlds.cast import (
    Array,
    CameraRays,
    Hits,
    LidarRays,
    Solid,
    box_corners,
    cast,
    clip_to_front,
    sample,
)
from swath.worlds.shapes import Rng
from swath.worlds.street import LANE, SECONDS_PER_FRAME, Actor, Street

CAMERA_HEIGHT = 1.65  # metres above the road
FOCAL, CENTRE, SIZE = 721.5377, (609.5593, 172.854), (1242, 375)  # KITTI's P2, at full size
SIDE = {
    "left": 0.06,
    "right": -0.48,
}  # P[0, 3] / focal: metres that camera 0 lies to the right of each camera
BEAMS = np.radians(np.concatenate([np.linspace(2.0, -8.33, 32), np.linspace(-8.83, -24.33, 32)]))
SMALLEST = 25.0  # pixels of height at full size; what is smaller is DontCare, as KITTI leaves it out
VISIBILITY = {"clear": 0.0012, "rain": 0.009, "fog": 0.034}  # extinction per metre


@dataclass(frozen=True, eq=False)
class Rig:
    """Where the sensors are. `scale` is the image size as a share of KITTI's; `tilt` turns the LiDAR
    (radians).
    """

    calibration: Calibration
    left: CameraRays
    right: CameraRays
    lidar: LidarRays
    scale: float

    @classmethod
    def make(cls, scale: float, tilt: tuple[float, float, float]) -> Rig:
        focal, centre = FOCAL * scale, (CENTRE[0] * scale, CENTRE[1] * scale)
        size = round(SIZE[0] * scale), round(SIZE[1] * scale)
        p2, p3 = (
            np.array([[focal, 0, centre[0], focal * side], [0, focal, centre[1], 0], [0, 0, 1, 0]])
            for side in SIDE.values()
        )
        r0 = _turn(0.004, -0.007, 0.0099)
        axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
        turn = _product(axes, _turn(*tilt))
        offset = np.array([-0.004, -0.076, -0.272])  # the LiDAR's place, seen from camera 0
        calibration = Calibration(p2, p3, r0, np.column_stack([turn, offset]))
        left, right = (CameraRays(np.array([-side, 0.0, 0.0]), focal, centre, size) for side in SIDE.values())
        lidar = LidarRays((r0 * offset).sum(axis=1), _product(r0, turn), BEAMS, max(900, round(1800 * scale)))
        return cls(calibration, left, right, lidar, scale)


@dataclass(frozen=True, eq=False)
class Rendered:
    """One frame: images (H, W, 3) uint8, the sweep (N, 4) float32, and its labels, near to far, DontCare
    last.
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    cloud: NDArray[np.float32]
    objects: tuple[KittiObject, ...]


def render(street: Street, rig: Rig, frame: int, rng: Rng) -> Rendered:
    """See one frame of a drive with every sensor."""
    left, found = look(rig.left, street, frame, rng, rig.scale)
    right, _ = look(rig.right, street, frame, rng, rig.scale)
    cloud, _ = sweep(rig.lidar, street, frame, rng)
    return Rendered(left, right, cloud, tuple(item for _, item in found))


def look(
    rays: CameraRays, street: Street, frame: int, rng: Rng, scale: float
) -> tuple[NDArray[np.uint8], list[tuple[Actor, KittiObject]]]:
    """What one camera sees: its image, (H, W, 3) uint8, and KITTI's labels in its own frame, near to far,
    DontCare last, each with the thing that it is of.
    """
    solids, labelled = _solids(street, frame)
    hits = Hits.none((rays.height, rays.width))
    points = _meet_ground(rays, hits, street, frame, solids[: len(labelled)])
    alone = cast(rays, solids, hits, street.noise, len(labelled))
    seen = np.bincount(hits.solid[hits.solid >= 0], minlength=len(solids))[: len(labelled)]
    visible = (seen / np.maximum(alone, 1) * (alone > 0)).tolist()
    image = _expose(rays, hits, points, street, frame, rng, scale)
    found = []
    for actor, solid, share in zip(labelled, solids, visible, strict=False):
        item = _label(rays, scale, street, actor, solid, share)
        found += [(actor, item)] if item else []
    return image, sorted(found, key=lambda one: (one[1].label == "DontCare", one[1].location[2], one[1].box))


def sweep(
    lidar: LidarRays, street: Street, frame: int, rng: Rng
) -> tuple[NDArray[np.float32], list[tuple[Actor, Solid, int]]]:
    """One turn of the LiDAR, (N, 4) float32 (x, y, z in metres and reflectance 0..1, LiDAR frame), and each
    thing that has a label with the number of its points.
    """
    solids, labelled = _solids(street, frame)
    cloud, of = _sweep(lidar, street, frame, solids, rng)
    points = np.bincount(of[of >= 0], minlength=len(solids)).tolist()
    return cloud, list(zip(labelled, solids, points, strict=False))


def _solids(street: Street, frame: int) -> tuple[list[Solid], list[Actor]]:
    """Everything as solids in the camera frame, first the things with a label: these are listed."""
    placed = sorted(_place(street, frame), key=lambda one: one[0].label is None)
    return [solid for _, solid in placed], [actor for actor, _ in placed if actor.label is not None]


def _place(street: Street, frame: int) -> list[tuple[Actor, Solid]]:
    """Everything within reach as solids in the camera frame."""
    seconds = frame * SECONDS_PER_FRAME
    ego_x, ego_y, ego_yaw = street.ego(frame)
    cos, sin = math.cos(ego_yaw), math.sin(ego_yaw)
    placed = []
    for actor in street.actors:
        x, y = actor.at(seconds)
        forward, left = cos * (x - ego_x) + sin * (y - ego_y), -sin * (x - ego_x) + cos * (y - ego_y)
        rotation_y = math.remainder(-(actor.yaw - ego_yaw) - math.pi / 2, 2 * math.pi)
        place = np.array([-left, CAMERA_HEIGHT, forward])
        placed.append((actor, Solid(actor.shape.parts, place, rotation_y)))
    return placed


def _meet_ground(
    rays: CameraRays | LidarRays, hits: Hits, street: Street, frame: int, casters: list[Solid]
) -> tuple[Array, Array]:
    """Enter the ground. Returns where each ray meets it, x and y in the street frame (NaN: never)."""
    dx, dy, dz = rays.directions
    with np.errstate(divide="ignore"):
        distance = np.where(dy > 1e-6, (CAMERA_HEIGHT - rays.origin[1]) / dy, np.inf)
    met = distance < 400
    distance = np.where(met, distance, np.nan)
    left, forward = -(rays.origin[0] + distance * dx), rays.origin[2] + distance * dz
    ego_x, ego_y, yaw = street.ego(frame)
    x = ego_x + math.cos(yaw) * forward - math.sin(yaw) * left
    y = ego_y + math.sin(yaw) * forward + math.cos(yaw) * left
    hits.distance[met] = distance[met]
    hits.normal[met] = (0.0, -1.0, 0.0)
    hits.albedo[met], hits.reflectance[met] = _ground_colours(street, x[met], y[met])
    for solid in casters:
        _shade_below(rays, hits, solid, left, forward)
    return x, y


def _ground_colours(street: Street, x: Array, y: Array) -> tuple[Array, Array]:
    """Albedo (N, 3) and reflectance (N,) of the ground: asphalt, markings, kerbs, pavement, grass, side
    street.
    """
    asphalt, pavement, grass = street.ground
    aside = np.abs(y)
    side_street = np.zeros(len(x), dtype=bool)
    if street.crossing is not None:
        side_street = np.abs(x - street.crossing) < 3.6
    road = (aside < street.road_half) | side_street
    walk = ~road & (aside < street.road_half + street.pavement)
    kerb = (np.abs(aside - street.road_half - 0.07) < 0.09) & ~side_street
    middle = (np.abs(y) < 0.07) & (np.mod(x, 6.0) < 3.0)
    edge = np.abs(aside - 2 * LANE) < 0.05
    marking = (middle | edge) & ~side_street
    slab = walk & ((np.mod(x, 1.2) < 0.05) | (np.mod(aside, 1.2) < 0.05))
    albedo = np.where(road[:, None], asphalt, np.where(walk[:, None], pavement, grass))
    grain = sample(street.noise, x * 14, y * 14)
    patches = sample(street.noise, x * 0.9, y * 2.1)
    albedo = albedo * (0.82 + 0.2 * grain + 0.16 * patches)[:, None]
    albedo[slab] *= 0.75
    albedo[kerb] = (0.58, 0.57, 0.55)
    albedo[marking] = (0.82, 0.82, 0.80)
    reflectance = np.where(road, 0.18, np.where(walk, 0.30, 0.40)) + 0.06 * grain
    reflectance[marking] = 0.75
    return albedo, reflectance


def _shade_below(rays: CameraRays | LidarRays, hits: Hits, solid: Solid, left: Array, forward: Array) -> None:
    """Darken the ground under and just around a labelled thing."""
    low = np.min([part.bounds[0] for part in solid.parts], axis=0)
    high = np.max([part.bounds[1] for part in solid.parts], axis=0)
    (x0, y0), (x1, y1) = low[:2] - 0.6, high[:2] + 0.6
    foot = np.array([(x, y, z) for z in (0.0, 0.01) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))])
    block = rays.block(solid.to_camera(foot))
    if block is None:
        return
    right, ahead = -left[block] - solid.place[0], forward[block] - solid.place[2]
    cos, sin = math.cos(solid.rotation_y), math.sin(solid.rotation_y)
    x, y = cos * right - sin * ahead, sin * right + cos * ahead
    outside = np.maximum(np.abs(x) - high[0], np.abs(y) - high[1])
    shade = 0.35 + 0.65 * np.clip((outside + 0.25) / 0.75, 0, 1)
    hits.albedo[block] *= np.where(np.isnan(shade), 1.0, shade)[..., None]


def _expose(
    rays: CameraRays,
    hits: Hits,
    points: tuple[Array, Array],
    street: Street,
    frame: int,
    rng: Rng,
    scale: float,
) -> NDArray[np.uint8]:
    """Light, haze, rain, lens and sensor: what the camera makes of its hits, (H, W, 3) uint8."""
    plan = street.plan
    dusk, clear = plan.time == "dusk", plan.weather == "clear"
    _, _, yaw = street.ego(frame)
    sun_forward = math.cos(yaw) * street.sun[0] + math.sin(yaw) * street.sun[1]
    sun_left = -math.sin(yaw) * street.sun[0] + math.cos(yaw) * street.sun[1]
    towards_sun = (
        hits.normal[..., 0] * -sun_left
        + hits.normal[..., 1] * -street.sun[2]
        + hits.normal[..., 2] * sun_forward
    )
    direct = 0.62 if clear else 0.18
    sky_light = 0.62 - 0.16 * hits.normal[..., 1]  # more from above
    light = (sky_light + direct * np.maximum(towards_sun, 0.0))[..., None]
    tint = np.array((1.0, 1.0, 1.0) if not dusk else (0.50, 0.46, 0.52))
    if not clear:
        tint = tint * (0.92 if plan.weather == "fog" else 0.8)
    colour = hits.albedo * light * tint
    glow = hits.glow[..., None] * (0.9 if dusk else 0.12)
    colour = np.maximum(colour, np.minimum(hits.albedo * 1.15, 1.0) * glow)
    horizon = street.haze * (0.8 if dusk else 1.0)
    up = np.clip(-rays.directions[1] * 2.2, 0, 1)[..., None]
    zenith = (
        horizon if not clear else (np.array((0.34, 0.52, 0.80)) if not dusk else np.array((0.20, 0.22, 0.36)))
    )
    sky = horizon * (1 - up) + zenith * up
    through = np.exp(-VISIBILITY[plan.weather] * np.where(np.isfinite(hits.distance), hits.distance, 400.0))[
        ..., None
    ]
    colour = np.where(np.isfinite(hits.distance)[..., None], colour * through + horizon * (1 - through), sky)
    colour = _blur(colour)
    if plan.weather == "rain":
        _rain(colour, rng, scale)
    noise = 0.012 + 0.014 * dusk + 0.008 * (plan.weather == "rain")
    colour += noise * rng.standard_normal(colour.shape, dtype=np.float32)
    return (np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8)


def _blur(image: Array) -> Array:
    """The lens: weights 1 2 1 over neighbours, both ways."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    padded = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return np.asarray(0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:])


def _rain(image: Array, rng: Rng, scale: float) -> None:
    """Bright slanted streaks, in place."""
    height, width, _ = image.shape
    for _ in range(int(260 * scale * 2)):
        x, y, length = (
            int(rng.integers(width)),
            int(rng.integers(height)),
            int(rng.integers(8, 26) * scale * 2),
        )
        rows = np.arange(y, min(height, y + length))
        columns = np.clip(x + (rows - y) // 7, 0, width - 1)
        image[rows, columns] += rng.uniform(0.06, 0.2) * (0.85 - image[rows, columns])


def _sweep(
    rays: LidarRays, street: Street, frame: int, solids: list[Solid], rng: Rng
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """One turn of the LiDAR, (N, 4) float32: x, y, z in metres and reflectance 0..1, LiDAR frame; and the
    solid that each point is of, (N,), -1 for the ground and for drops in the air.
    """
    weather = street.plan.weather
    hits = Hits.none(rays.directions[0].shape)
    _meet_ground(rays, hits, street, frame, [])
    cast(rays, solids, hits, street.noise)
    distance = hits.distance
    facing = np.abs(sum(hits.normal[..., k] * rays.directions[k] for k in range(3)))
    strength = hits.reflectance * (0.35 + 0.65 * facing)
    # Chance that a pulse comes back: weaker with distance, grazing angles, dark paint, drops in the air.
    back = np.where(np.isfinite(distance), distance, 1e9)
    chance = np.exp(-2.2 * VISIBILITY[weather] * np.minimum(back, 500.0)) * np.clip(
        1.6 - back / 90 + strength, 0, 0.97
    )
    kept = (back > 0.9) & (back < 100) & (rng.random(back.shape) < chance)
    measured = back + rng.normal(0, 0.015, back.shape)
    reflectance = np.clip(strength + rng.normal(0, 0.02, back.shape), 0, 1)
    if weather != "clear":  # drops: returns out of thin air, close by
        share = 0.006 if weather == "rain" else 0.010
        drops = rng.random(back.shape) < share
        near = np.minimum(2.0 + rng.exponential(3.5, back.shape), back)
        hits.solid[drops] = -1
        measured, reflectance = np.where(drops, near, measured), np.where(drops, 0.03, reflectance)
        kept |= drops & (near < 40)
    columns = [(measured * beam)[kept] for beam in rays.beams] + [np.round(reflectance[kept], 2)]
    return np.stack(columns, axis=1).astype(np.float32), hits.solid[kept]


def _label(
    camera: CameraRays, scale: float, street: Street, actor: Actor, solid: Solid, share: float
) -> KittiObject | None:
    """One label: the box of the whole outline, clipped to the image; occlusion from the visible `share`.

    DontCare where it is too small, too far out of the image or lost in fog; None where it is (all but)
    hidden.
    """
    whole = _outline(camera, solid)
    if share < 0.1 or whole is None:
        return None
    right, bottom = camera.width - 1.0, camera.height - 1.0
    box = max(whole[0], 0.0), max(whole[1], 0.0), min(whole[2], right), min(whole[3], bottom)
    if box[2] - box[0] < 2 or box[3] - box[1] < 2:
        return None
    area = (box[2] - box[0]) * (box[3] - box[1])
    truncated = round(1 - area / ((whole[2] - whole[0]) * (whole[3] - whole[1])), 2)
    x, y, z = (float(value) for value in solid.place)
    lost = math.exp(-VISIBILITY[street.plan.weather] * z) < 0.1
    if lost or truncated > 0.9 or z < 1.0 or box[3] - box[1] < SMALLEST * scale:
        return _dont_care(box)
    occluded = 0 if share > 0.8 else 1 if share > 0.45 else 2
    alpha = math.remainder(solid.rotation_y - math.atan2(x, z), 2 * math.pi)
    size = actor.shape.height, actor.shape.width, actor.shape.length
    return KittiObject(str(actor.label), truncated, occluded, alpha, box, size, (x, y, z), solid.rotation_y)


def _outline(camera: CameraRays, solid: Solid) -> tuple[float, float, float, float] | None:
    """The box, `x1, y1, x2, y2` in pixels and not clipped, of what lies before the camera; None where nothing
    does.
    """
    pieces = []
    for part in solid.parts:
        points = solid.to_camera(part.points) - camera.origin
        if points[:, 2].min() < 0.3:  # partly behind: its box, cut off just before the camera
            points = clip_to_front(solid.to_camera(box_corners(part.bounds)) - camera.origin)
        pieces.append(points)
    x, y, z = np.concatenate(pieces).T
    if len(z) == 0:
        return None
    u, v = x / z * camera.focal + camera.centre[0], y / z * camera.focal + camera.centre[1]
    return float(u.min()), float(v.min()), float(u.max()), float(v.max())


def _dont_care(box: tuple[float, float, float, float]) -> KittiObject:
    return KittiObject("DontCare", -1, -1, -10, box, (-1, -1, -1), (-1000, -1000, -1000), -10)


def _turn(rx: float, ry: float, rz: float) -> Array:
    """Rx @ Ry @ Rz."""
    (cx, sx), (cy, sy), (cz, sz) = ((math.cos(a), math.sin(a)) for a in (rx, ry, rz))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return _product(_product(about_x, about_y), about_z)


def _product(a: Array, b: Array) -> Array:
    return np.asarray((a[:, :, None] * b[None, :, :]).sum(axis=1))
