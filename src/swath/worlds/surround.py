"""Made rigs that look all around: six cameras and a LiDAR, or some of them, in the same streets.

Everything is known of what is seen: 2D boxes in every camera, cuboids in the sweep, and where each camera is.

    surround    six cameras and the LiDAR
    images      the cameras front and back, no calibration
    cloud       the LiDAR alone

A sensor sees the same in each of them: the images and the sweep of a seed, scene and scale are the same
bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.formats.kitti_records import KittiObject, to_cuboid
from swath.labels.calibration import Camera
from swath.worlds.cast import Array, CameraRays
from swath.worlds.rig import Rig, look, sweep
from swath.worlds.street import Street

SIZE = (800, 400)  # pixels at full size
VIEW = math.radians(66)  # what a camera sees from left to right
HORIZON = 0.4  # share of the image that is above it
MOUNTS = {  # metres ahead, metres to the left, degrees to the left
    "front": (0.4, 0.0, 0.0),
    "front_left": (0.25, 0.35, 60.0),
    "front_right": (0.25, -0.35, -60.0),
    "back": (-0.4, 0.0, 180.0),
    "back_left": (-0.25, 0.35, 120.0),
    "back_right": (-0.25, -0.35, -120.0),
}
LIDAR = "lidar"
FEWEST = 5  # points of a thing that has a cuboid
DIGITS = 6  # of numbers in JSON: micrometres, and no bit that depends on the machine

CLOUD: Mapping[str, Any] = {"kind": "cloud", "labelled": True, "embed": True}
RIGS: dict[str, dict[str, Any]] = {
    "surround": {
        "channels": {
            **{
                name: {"kind": "image", "labelled": name in ("front", "back"), "embed": name == "front"}
                for name in MOUNTS
            },
            LIDAR: CLOUD,
        },
        "primary": "front",
    },
    "images": {
        "channels": {
            "front": {"kind": "image", "labelled": True, "embed": True},
            "back": {"kind": "image", "labelled": True, "embed": False},
        },
        "primary": "front",
    },
    "cloud": {"channels": {LIDAR: CLOUD}, "primary": LIDAR},
}
"""What rig.json says of each rig."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame: images (H, W, 3) uint8 by camera, the sweep (N, 4) float32 or None, the cameras of its
    calibration, and the labels of each channel as a rig folder has them."""

    images: Mapping[str, NDArray[np.uint8]]
    cloud: NDArray[np.float32] | None
    cameras: Mapping[str, Camera]
    labels: Mapping[str, list[dict[str, Any]]]


def see(street: Street, kind: str, frame: int, seed: int, scale: float) -> Seen:
    """See one frame of a drive with every sensor of the rig `kind`."""
    channels = RIGS[kind]["channels"]
    base = Rig.make(scale, street.tilt)
    lens = _lens(scale)
    track = {id(actor): number for number, actor in enumerate(street.actors)}
    images: dict[str, NDArray[np.uint8]] = {}
    cameras: dict[str, Camera] = {}
    labels: dict[str, list[dict[str, Any]]] = {}

    def chance(sensor: str) -> np.random.Generator:
        return np.random.default_rng([seed, 5, street.plan.index, frame, [*MOUNTS, LIDAR].index(sensor)])

    for name in channels:
        if name == LIDAR:
            continue
        ahead, left, degrees = MOUNTS[name]
        turned = replace(street, mount=(ahead, left, math.radians(degrees)))
        images[name], found = look(lens, turned, frame, chance(name), scale)
        labels[name] = [
            {
                "label": item.label,
                "box": [round(float(value), DIGITS) for value in item.box],
                **({} if item.label == "DontCare" else _facts(item) | {"track": track[id(actor)]}),
            }
            for actor, item in found
        ]
        if LIDAR in channels:
            cameras[name] = Camera(_projection(lens), _pose(base, ahead, left, math.radians(degrees)))
    cloud = None
    if LIDAR in channels:
        cloud, things = sweep(base.lidar, street, frame, chance(LIDAR))
        labels[LIDAR] = []
        for actor, solid, points in sorted(things, key=lambda one: float(np.hypot(*one[1].place[[0, 2]]))):
            if points < FEWEST:
                continue
            size = actor.shape.height, actor.shape.width, actor.shape.length
            x, y, z = (float(value) for value in solid.place)
            item = KittiObject(str(actor.label), 0, 0, 0, (0, 0, 1, 1), size, (x, y, z), solid.rotation_y)
            cuboid = [round(float(value), DIGITS) for value in to_cuboid(item, base.calibration)]
            labels[LIDAR].append(
                {"label": actor.label, "cuboid": cuboid, "points": points, "track": track[id(actor)]}
            )
    return Seen(images, cloud, cameras, labels)


def _facts(item: KittiObject) -> dict[str, Any]:
    return {"truncated": item.truncated, "occluded": item.occluded}


def _lens(scale: float) -> CameraRays:
    """The camera, in its own frame; all six are alike."""
    size = round(SIZE[0] * scale), round(SIZE[1] * scale)
    focal = size[0] / 2 / math.tan(VIEW / 2)
    return CameraRays(np.zeros(3), focal, ((size[0] - 1) / 2, (size[1] - 1) * HORIZON), size)


def _projection(lens: CameraRays) -> Array:
    """(3, 4): the camera's frame to pixels."""
    (x, y), focal = lens.centre, lens.focal
    return np.array([[focal, 0, x, 0], [0, focal, y, 0], [0, 0, 1, 0]])


def _pose(base: Rig, ahead: float, left: float, turn: float) -> Array:
    """(4, 4): the LiDAR's frame to that of a camera mounted there, seen from the frame of the street's
    camera."""
    linear, offset = base.calibration.to_rect()
    cos, sin = math.cos(turn), math.sin(turn)
    own = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    pose = np.eye(4)
    pose[:3, :3] = own @ linear
    pose[:3, 3] = own @ (offset - np.array([-left, 0.0, ahead]))
    return np.asarray(pose.round(12))
