"""Drives through made streets: who is where, when, and under which conditions.

Street frame of a drive: x along the road, y to its left, z up, metres; the road's middle is y = 0 and traffic
keeps right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from swath.worlds import shapes
from swath.worlds.cast import Array
from swath.worlds.parts import Shape
from swath.worlds.shapes import Rng

SECONDS_PER_FRAME = 0.25
LANE = 1.75  # metres from the road's middle to that of a lane
REACH = (-35.0, 78.0)  # metres behind and before the first frame that are furnished
PLACES = {
    # What one meets depends on where one drives: factors on cyclists and people, share of vans, and of houses.
    "city": {"cyclists": 1.2, "people": 1.7, "vans": 0.13, "houses": 0.9},
    "suburb": {"cyclists": 1.8, "people": 0.7, "vans": 0.10, "houses": 0.45},
    "country": {"cyclists": 0.15, "people": 0.05, "vans": 0.22, "houses": 0.0},
}
HOME = {
    "Truck": "country",
    "Tram": "city",
    "Person_sitting": "city",
    "Misc": "suburb",
}  # where rare ones are met first
RARE = {
    "Truck": 0.30,
    "Tram": 0.09,
    "Person_sitting": 0.12,
    "Misc": 0.20,
}  # share of drives that may hold one


@dataclass(frozen=True)
class DrivePlan:
    """What is decided over all drives together, so that every condition and rare class gets its share."""

    index: int
    frames: int
    time: str  # day, dusk
    weather: str  # clear, fog, rain
    density: str  # busy, empty, far
    place: str  # city, suburb, country
    rare: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"drive_{self.index:04d}"


@dataclass(frozen=True, eq=False)
class Actor:
    """A thing in the street; `label` is None for what KITTI doesn't label. Moves at (vx, vy) m/s; yaw in
    radians.
    """

    label: str | None
    shape: Shape
    x: float
    y: float
    yaw: float
    vx: float = 0.0
    vy: float = 0.0

    def at(self, seconds: float) -> tuple[float, float]:
        return self.x + self.vx * seconds, self.y + self.vy * seconds

    def reach(self) -> tuple[float, float]:
        """Half its extent along x and along y."""
        c, s = abs(math.cos(self.yaw)), abs(math.sin(self.yaw))
        long, wide = self.shape.length / 2, self.shape.width / 2
        return long * c + wide * s, long * s + wide * c


@dataclass(eq=False)
class Street:
    """One drive: the ego vehicle's way, the road, and everything along it."""

    plan: DrivePlan
    speed: float
    ego_y: float
    ego_yaw: float
    road_half: float  # metres from the middle to the kerb
    pavement: float  # metres from the kerb to where gardens begin
    crossing: float | None  # x of a side street's middle
    ground: tuple[Array, Array, Array]  # colours of asphalt, pavement, grass
    noise: Array  # (256, 256) in 0..1
    sun: Array  # direction to the sun, street frame
    haze: Array  # colour of the horizon
    tilt: tuple[float, float, float]  # LiDAR against camera: roll, pitch, yaw in radians
    actors: list[Actor] = field(default_factory=list)
    around: bool = False  # furnished behind us as far as ahead
    mount: tuple[float, float, float] | None = None  # of a camera that looks elsewhere: ahead, left, yaw

    def ego(self, frame: int) -> tuple[float, float, float]:
        """x, y, yaw of the camera in a frame."""
        seconds = frame * SECONDS_PER_FRAME
        x, y, yaw = (
            self.speed * seconds,
            self.ego_y + 0.06 * math.sin(seconds),
            self.ego_yaw * math.cos(0.7 * seconds),
        )
        if self.mount is None:
            return x, y, yaw
        ahead, left, turn = self.mount
        cos, sin = math.cos(yaw), math.sin(yaw)
        return x + cos * ahead - sin * left, y + sin * ahead + cos * left, yaw + turn


def plan_drives(scenes: int, seed: int) -> list[DrivePlan]:
    """Drives of 3 to 8 frames, about 4.5 in the mean, that add up to `scenes` (fewer than 3 scenes: one short
    drive).
    """
    rng = np.random.default_rng([seed, 1])
    count = max(1, round(scenes / 4.5))
    frames = [3] * count if scenes >= 3 else [scenes]
    while sum(frames) < scenes:
        drive = int(rng.integers(count))
        frames[drive] += frames[drive] < 8
    times = _shares(rng, count, {"day": 0.75, "dusk": 0.25})
    weathers = _shares(rng, count, {"clear": 0.68, "rain": 0.18, "fog": 0.14})
    densities = _shares(rng, count, {"busy": 0.48, "far": 0.34, "empty": 0.18})
    places = _shares(rng, count, {"city": 0.42, "suburb": 0.33, "country": 0.25})
    rare: list[list[str]] = [[] for _ in range(count)]
    for label, share in RARE.items():
        drives = rng.permutation([i for i in range(count) if densities[i] != "empty"])
        at_home = np.array([places[i] == HOME[label] for i in drives], dtype=bool)
        for drive in [*drives[at_home], *drives[~at_home]][: max(1, round(share * count))]:
            rare[drive].append(label)
    return [
        DrivePlan(i, frames[i], times[i], weathers[i], densities[i], places[i], tuple(rare[i]))
        for i in range(count)
    ]


def build_street(plan: DrivePlan, seed: int, *, around: bool = False) -> Street:
    """Furnish one drive. Depends on the plan and the seed alone, and on whether it is seen all `around`."""
    rng = np.random.default_rng([seed, 2, plan.index])
    dusk, fog, rain = plan.time == "dusk", plan.weather == "fog", plan.weather == "rain"
    haze = np.array((0.70, 0.78, 0.86) if not dusk else (0.62, 0.50, 0.47))
    if fog or rain:
        haze = np.array((0.72, 0.73, 0.74) if not dusk else (0.50, 0.50, 0.54)) * (0.9 if rain else 1.0)
    high, turn = (rng.uniform(0.12, 0.25) if dusk else rng.uniform(0.6, 1.1)), rng.uniform(0, 2 * math.pi)
    grey = rng.uniform(0.27, 0.36) * (0.8 if rain else 1.0)
    street = Street(
        plan,
        speed=rng.uniform(3.0, 9.0) if plan.density != "busy" else rng.uniform(2.0, 6.0),
        ego_y=-LANE + rng.uniform(-0.2, 0.2),
        ego_yaw=rng.uniform(-0.02, 0.02),
        road_half=2 * LANE + rng.uniform(2.0, 2.6),
        pavement=rng.uniform(2.2, 3.5) * {"city": 1.25, "suburb": 0.9, "country": 0.35}[plan.place],
        crossing=float(rng.uniform(24, 40)) if rng.random() < 0.35 else None,
        ground=(
            np.array((grey, grey, grey * 1.03)),
            np.array((0.52, 0.50, 0.47)) * rng.uniform(0.9, 1.1),
            np.array((0.26, 0.36, 0.15)) * rng.uniform(0.85, 1.15),
        ),
        noise=_noise(rng),
        sun=np.array((math.cos(high) * math.cos(turn), math.cos(high) * math.sin(turn), math.sin(high))),
        haze=haze,
        tilt=(rng.uniform(-0.008, 0.008), rng.uniform(-0.008, 0.008), rng.uniform(-0.008, 0.008)),
        around=around,
    )
    if around and street.crossing is not None and rng.random() < 0.5:
        street.crossing = -street.crossing
    _add_rare(street, rng)
    _add_traffic(street, rng)
    _add_people(street, rng)
    _add_scenery(street, rng)
    return street


def _add_rare(street: Street, rng: Rng) -> None:
    for label in street.plan.rare:
        shape = shapes.LABELLED[label](rng)
        for _ in range(8):
            x, kerb = _ahead(street, rng), street.road_half
            if label == "Person_sitting":
                side = 1 if rng.random() < 0.5 else -1
                y, yaw = side * (kerb + street.pavement - 0.6), -side * math.pi / 2
                if _put(street, Actor(label, shape, x, y, yaw)):
                    street.actors.append(Actor(None, shapes.bench(), x, y + side * 0.1, yaw))
                    break
            elif label == "Misc":
                side = 1 if rng.random() < 0.5 else -1
                if _put(street, Actor(label, shape, x, side * (kerb - 1.1), rng.choice([0.0, math.pi]))):
                    break
            else:  # Truck, Tram: in the lane towards us, or ahead in ours
                towards = label == "Tram" or rng.random() < 0.5
                speed = -rng.uniform(0, 7) if towards else street.speed + rng.uniform(-0.5, 1.5)
                x = x + shape.length / 2 + 4
                if _put(
                    street,
                    Actor(label, shape, x, LANE if towards else -LANE, math.pi if towards else 0.0, speed),
                ):
                    break


def _add_traffic(street: Street, rng: Rng) -> None:
    """Moving and parked cars, a van among every eight, cyclists at the kerb."""
    plan = street.plan
    count = {"busy": int(rng.integers(9, 17)), "far": int(rng.integers(4, 9)), "empty": 0}[plan.density]
    if plan.density == "empty" and rng.random() < 0.4:
        count = 1
    lanes = {lane: rng.uniform(2.0, 8.0) for lane in ("ours", "towards")}
    for _ in range(count):
        label = "Van" if rng.random() < PLACES[plan.place]["vans"] else "Car"
        shape, x, yaw, draw = (
            shapes.LABELLED[label](rng),
            _ahead(street, rng),
            rng.normal(0, 0.025),
            rng.random(),
        )
        parked = street.road_half - 1.05
        if draw < 0.16:
            actor = Actor(
                label, shape, x, -LANE + rng.normal(0, 0.15), yaw, max(lanes["ours"], street.speed - 0.5)
            )
        elif draw < 0.42:
            actor = Actor(label, shape, x, LANE + rng.normal(0, 0.15), math.pi + yaw, -lanes["towards"])
        elif draw < 0.52 and street.crossing is not None:
            way = 1 if rng.random() < 0.5 else -1
            actor = Actor(
                label,
                shape,
                street.crossing - 1.8 * way,
                rng.uniform(-14, 14),
                way * math.pi / 2 + yaw,
                0,
                way * 1.5,
            )
        else:
            side = 1 if rng.random() < 0.45 else -1
            turned = math.pi if (side > 0) != (rng.random() < 0.15) else 0.0
            actor = Actor(label, shape, x, side * (parked + rng.normal(0, 0.1)), turned + yaw)
        _put(street, actor)
    mean = {"busy": 1.1, "far": 0.35, "empty": 0.0}[plan.density] * PLACES[plan.place]["cyclists"]
    for _ in range(int(rng.poisson(mean))):
        side = 1 if rng.random() < 0.4 else -1
        actor = Actor(
            "Cyclist",
            shapes.cyclist(rng),
            _ahead(street, rng),
            side * (2 * LANE + 0.1),
            math.pi if side > 0 else rng.normal(0, 0.05),
            -side * rng.uniform(2.5, 5),
        )
        _put(street, actor)


def _add_people(street: Street, rng: Rng) -> None:
    mean = {"busy": 3.0, "far": 0.9, "empty": 0.0}[street.plan.density] * PLACES[street.plan.place]["people"]
    for _ in range(int(rng.poisson(mean))):
        side = 1 if rng.random() < 0.5 else -1
        y = side * (street.road_half + rng.uniform(0.4, max(0.5, street.pavement - 1.2)))
        if rng.random() < 0.12:  # crossing the road
            way = -side
            actor = Actor(
                "Pedestrian",
                shapes.pedestrian(rng),
                _ahead(street, rng) + 5,
                side * rng.uniform(1, 5),
                way * math.pi / 2,
                0,
                way * 1.3,
            )
        else:
            way = 1 if rng.random() < 0.5 else -1
            yaw = (0.0 if way > 0 else math.pi) + rng.normal(0, 0.15)
            actor = Actor(
                "Pedestrian", shapes.pedestrian(rng), _ahead(street, rng), y, yaw, way * rng.uniform(0, 1.6)
            )
        _put(street, actor)


def _add_scenery(street: Street, rng: Rng) -> None:
    """Houses, trees, hedges and lamps on both sides; nothing stands in the side street."""
    edge = street.road_half + street.pavement
    houses = PLACES[street.plan.place]["houses"]

    def free(x: float, half: float) -> bool:
        return street.crossing is None or abs(x - street.crossing) > half + 4.5

    start = -REACH[1] if street.around else REACH[0]
    for side in (1, -1):
        x = start + rng.uniform(0, 6)
        while x < REACH[1] + 15:
            length = rng.uniform(9, 18)
            if free(x + length / 2, length / 2) and rng.random() < houses:
                shape = shapes.building(rng, length, rng.uniform(7, 11))
                y = side * (edge + rng.uniform(1.5, 4.0) + shape.width / 2)
                street.actors.append(Actor(None, shape, x + length / 2, y, 0.0))
            elif free(x + length / 2, length / 2):
                hedge = shapes.hedge(rng, length - 1)
                street.actors.append(Actor(None, hedge, x + length / 2, side * (edge + 0.6), 0.0))
                for _ in range(2):
                    place = x + rng.uniform(0, length), side * (edge + rng.uniform(2.5, 9))
                    street.actors.append(Actor(None, shapes.tree(rng), *place, 0.0))
            x += length + rng.uniform(0.5, 4)
        for x in np.arange(start + rng.uniform(0, 20), REACH[1] + 10, 22.0):
            if free(float(x), 0):
                yaw = math.pi if side > 0 else 0.0
                street.actors.append(
                    Actor(None, shapes.lamp(rng), float(x), side * (street.road_half + 0.35), yaw)
                )


def _ahead(street: Street, rng: Rng) -> float:
    """Where along the road to try: far drives have their traffic far off, others near and behind too. Seen
    all around, half of it is behind, and much of it is beside us.
    """
    low, high = {"busy": (-12.0, 48.0), "far": (26.0, 68.0), "empty": (12.0, 45.0)}[street.plan.density]
    if street.around:
        low = max(low, 0.0)
        return (low + (high - low) * float(rng.random()) ** 2) * (1 if rng.random() < 0.5 else -1)
    return float(rng.uniform(low, high))


def _put(street: Street, actor: Actor) -> bool:
    """Add an actor unless it would meet another labelled one, or us, in any frame."""
    half_x, half_y = actor.reach()
    for frame in range(street.plan.frames):
        seconds = frame * SECONDS_PER_FRAME
        x, y = actor.at(seconds)
        ego_x, ego_y, _ = street.ego(frame)
        if abs(x - ego_x) < half_x + 4.0 and abs(y - ego_y) < half_y + 1.4:
            return False
        for other in street.actors:
            other_x, other_y = other.at(seconds)
            reach_x, reach_y = other.reach()
            if abs(x - other_x) < half_x + reach_x + 0.5 and abs(y - other_y) < half_y + reach_y + 0.15:
                return False
    street.actors.append(actor)
    return True


def _shares(rng: Rng, count: int, shares: dict[str, float]) -> list[str]:
    """`count` names in a random order, as near to the shares as whole numbers come; the first name takes the
    rest.
    """
    first, *others = shares
    names = [name for name in others for _ in range(round(shares[name] * count))][:count]
    names += [first] * (count - len(names))
    return [names[i] for i in rng.permutation(count)]


def _noise(rng: Rng) -> Array:
    """A tile of grain with some structure at 2, 8 and 32 cells, 0..1, that repeats without seams."""
    tile = np.zeros((256, 256))
    for cells, weight in ((256, 0.4), (64, 0.35), (16, 0.25)):
        tile += weight * np.kron(rng.random((cells, cells)), np.ones((256 // cells, 256 // cells)))
    return np.asarray((tile - tile.min()) / (tile.max() - tile.min()))
