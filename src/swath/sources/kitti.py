"""KITTI object-detection folders as a source: `formats.kitti` reads them, this names the parts.

    image_2     the image channel with the calibration P2: 2D labels
    image_3     the image channel with the calibration P3
    velodyne    the first cloud channel: cuboids

A sensor without a channel is left out. The calibration is stored under `p2`, `p3`, `r0`, `velo_to_cam`.
Drives come from `drives.txt`; where there is none, from the mapping files of KITTI's development kit
(`formats.kitti_devkit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from swath.config import CHANNELS, Channel
from swath.errors import ConfigError
from swath.formats import kitti_devkit
from swath.formats.damage import Damage
from swath.formats.folders import relative
from swath.formats.kitti import Frame, KittiObject, read_cloud, scan, to_cuboid, whole
from swath.labels.shapes import Boxes, Cuboids
from swath.sources.base import DONT_CARE, Cloud, Found, Labelled, Progress, Scan, digest_of_files, shown


class Kitti:
    """The KITTI folder `root`: it holds `training/`, or is it; both are one folder (`formats.kitti.whole`)."""

    name = "kitti"

    def __init__(self, root: Path, channels: Mapping[str, Channel] = CHANNELS) -> None:
        self.root = whole(Path(root))
        self._channels = channels
        self._left = _first(channels, "image", "P2")
        self._right = _first(channels, "image", "P3")
        self._cloud = _first(channels, "cloud", None)
        if not (self._left or self._right or self._cloud):
            raise ConfigError(
                "channels: a KITTI folder holds an image with the calibration P2, one with P3, and a cloud; "
                f"none of the channels is one of these: {', '.join(channels) or 'there are none'}"
            )

    def scan(self, *, progress: Progress | None = None, workers: int = 1) -> Scan:
        """See `Source.scan`."""
        folder = scan(self.root, progress=progress, workers=workers)
        damages = list(folder.damages)
        drives: Mapping[str, str] = {}
        if not any((place / "drives.txt").is_file() for place in (self.root, self.root / "training")):
            drives, bad = kitti_devkit.drives(self.root, [frame.key for frame in folder.frames])
            damages += [Damage(relative(one.file, self.root), one.line, one.reason) for one in bad]
        scenes = [self._found(frame, drives) for frame in folder.frames]
        scenes = [scene for scene in scenes if scene.media]
        there = {name for scene in scenes for name in scene.media}
        used = {name: one.model_dump(mode="json") for name, one in self._channels.items() if name in there}
        channels, primary = shown(used, self._left or self._cloud or "")
        damages.sort(key=lambda one: (one.file, one.line or 0, one.reason))
        return Scan(tuple(scenes), tuple(damages), channels, primary)

    def cloud(self, path: Path) -> Cloud | None:
        """See `Source.cloud`."""
        return read_cloud(path)[0]

    def _found(self, frame: Frame, drives: Mapping[str, str]) -> Found:
        sides = {"left": self._left, "right": self._right, "cloud": self._cloud}
        paths = {"left": frame.left, "right": frame.right, "cloud": frame.cloud}
        media: dict[str, Path] = {}
        sizes: dict[str, tuple[int, int]] = {}
        for side, name in sides.items():
            path = paths[side]
            if name and path:
                media[name] = path.resolve()
                if side in frame.sizes:
                    sizes[name] = frame.sizes[side]
        truth: dict[str, Labelled] = {}
        dont_care: dict[str, Labelled] = {}
        if frame.objects is not None and self._left in media and self._left:
            cared = [one for one in frame.objects if one.label != DONT_CARE]
            truth[self._left] = _boxes(cared)
            dont_care[self._left] = _boxes([one for one in frame.objects if one.label == DONT_CARE])
        if frame.objects is not None and self._cloud in media and self._cloud and frame.calibration:
            solid = [one for one in frame.objects if one.label != DONT_CARE and one.has_cuboid]
            cuboids = np.array([to_cuboid(one, frame.calibration) for one in solid], float).reshape(-1, 9)
            labels = Cuboids(cuboids, tuple(one.label for one in solid))
            truth[self._cloud] = Labelled(labels, _attributes(solid, "truncated", "occluded"))
        return Found(
            frame.key,
            frame.sequence or drives.get(frame.key),
            media,
            sizes,
            frame.calibration.to_dict() if frame.calibration else None,
            truth,
            dont_care,
            digest_of_files([("label_2", frame.label_file)] if frame.label_file else []),
        )


def _first(channels: Mapping[str, Channel], kind: str, calibration: str | None) -> str | None:
    """The first channel of this kind, and calibration where one is given."""
    for name, one in channels.items():
        if one.kind == kind and (calibration is None or (one.calibration or name) == calibration):
            return name
    return None


def _boxes(objects: Sequence[KittiObject]) -> Labelled:
    boxes = np.array([one.box for one in objects], float).reshape(-1, 4)
    labels = Boxes(boxes, tuple(one.label for one in objects))
    return Labelled(labels, _attributes(objects, "truncated", "occluded", "alpha"))


def _attributes(objects: Sequence[KittiObject], *names: str) -> dict[str, list[float]]:
    return {name: [getattr(one, name) for one in objects] for name in names}
