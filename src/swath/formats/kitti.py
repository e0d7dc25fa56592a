"""KITTI object-detection folders: what is there, what can be used, and what can't and why.

    ROOT/training/image_2/*.png   left          ROOT/training/calib/*.txt
    ROOT/training/image_3/*.png   right         ROOT/training/label_2/*.txt
    ROOT/training/velodyne/*.bin  sweep         ROOT/drives.txt    `frame drive` per line (optional)

This module finds and checks the files; `kitti_records` holds what they say and the conversion to swath's
cuboids, `pcd` the clouds that the App draws.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swath.errors import FormatError, some
from swath.formats.damage import Damage, DamageError
from swath.formats.folders import Drives, listed, relative
from swath.formats.images import ENDINGS, image_size
from swath.formats.kitti_records import (
    Calibration,
    KittiObject,
    from_cuboid,
    heading,
    read_calibration,
    read_objects,
    to_cuboid,
    write_objects,
)
from swath.formats.pcd import read_pcd, write_pcd

__all__ = [
    "Calibration",
    "Damage",
    "DamageError",
    "Frame",
    "KittiFolder",
    "KittiObject",
    "check_image",
    "from_cuboid",
    "heading",
    "read_calibration",
    "read_cloud",
    "read_objects",
    "read_pcd",
    "scan",
    "to_cuboid",
    "whole",
    "write_objects",
    "write_pcd",
]

_MEDIA = {"image_2": ENDINGS, "image_3": ENDINGS, "velodyne": (".bin",)}
_SIDES = {"image_2": "left", "image_3": "right"}
_TEXTS = {"calib": (".txt",), "label_2": (".txt",)}


@dataclass(frozen=True)
class Frame:
    """One scene. A slice (`left`, `right`, `cloud`) is None where it is missing or damaged; at least one is
    there.

    `calibration` is None where it is missing or damaged, `objects` where there is no label file (an empty
    file gives `()`). `width` and `height` are the left image's, else the right one's, else None; `sizes` has
    (width, height) of each image that is there, by slice. `dropped_points` counts the cloud's points that
    aren't finite. `label_file` is where the objects come from, read or not.
    """

    key: str
    left: Path | None
    right: Path | None
    cloud: Path | None
    calibration: Calibration | None
    objects: tuple[KittiObject, ...] | None
    width: int | None
    height: int | None
    sequence: str | None
    dropped_points: int
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    label_file: Path | None = None


@dataclass(frozen=True)
class KittiFolder:
    """The usable frames, sorted by key, and everything that could not be used, sorted by file and line.

    The files in `damages` are named relative to the folder that was scanned.
    """

    frames: tuple[Frame, ...]
    damages: tuple[Damage, ...]


def read_cloud(path: Path) -> tuple[NDArray[np.float32], int]:
    """Read a `velodyne/*.bin`: `(cloud (N, 4) float32 x, y, z, reflectance, number of points dropped)`.

    Metres, LiDAR frame. Points with a number that isn't finite are dropped. FormatError where the size isn't
    a multiple of 16 bytes, and where no point is left.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DamageError(Damage(str(path), None, f"can't be read: {error.strerror}")) from error
    if len(data) == 0 or len(data) % 16:
        raise DamageError(
            Damage(
                str(path),
                None,
                f"expected float32 x 4 per point (a multiple of 16 bytes), got {len(data)} bytes",
            )
        )
    cloud = np.frombuffer(data, dtype="<f4").reshape(-1, 4)
    finite = np.isfinite(cloud).all(axis=1)
    if not finite.any():
        raise DamageError(Damage(str(path), None, f"expected points, but none of {len(cloud)} is finite"))
    return cloud[finite].astype(np.float32), int((~finite).sum())


def check_image(path: Path) -> tuple[int, int]:
    """Decode the whole image: `(width, height)` in pixels, upright. FormatError where that fails, as it does
    for a cut file.
    """
    return image_size(path)


def scan(root: Path, *, progress: Callable[[int, int], None] | None = None, workers: int = 1) -> KittiFolder:
    """Read a KITTI folder (`whole`). Every image is decoded and every cloud read.

    Frames are the stems found in image_2, image_3 and velodyne. Every file of the five folders is either used
    or in `damages`. `workers` threads read; the result doesn't depend on them. `progress(done, total)` counts
    frames. FormatError where this is no KITTI folder.
    """
    root = whole(Path(root))
    training = _training_folder(root)
    listing = _Listing(training)
    drives = Drives((root / "drives.txt", training / "drives.txt"))
    keys = sorted(set().union(*(listing.files[folder] for folder in _MEDIA)))
    frames: list[Frame] = []
    damages = [*listing.damages, *listing.orphans(keys), *drives.damages, *drives.unmatched(keys)]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        results = pool.map(lambda key: _read_frame(key, training, listing, drives.of.get(key)), keys)
        for done, (frame, found) in enumerate(results, start=1):
            frames += [frame] if frame else []
            damages += found
            if progress:
                progress(done, len(keys))
    named = (replace(damage, file=relative(damage.file, root)) for damage in damages)
    return KittiFolder(tuple(frames), tuple(sorted(named, key=lambda d: (d.file, d.line or 0, d.reason))))


def whole(root: Path) -> Path:
    """The KITTI folder that `root` means: it holds `training/`, or the folders of media themselves. A folder `training` is a part of
    its parent, where the drives are told."""
    inside = Path(os.path.abspath(root))
    is_part = inside.name == "training" and any((root / name).is_dir() for name in _MEDIA)
    return inside.parent if is_part and not (root / "training").is_dir() else root


def _training_folder(root: Path) -> Path:
    for folder in (root / "training", root):
        if any((folder / name).is_dir() for name in _MEDIA):
            return folder
    if not root.is_dir():
        raise FormatError(
            f"{root}: expected a KITTI folder with training/image_2, but there is no such folder"
        )
    there = some(sorted(entry.name for entry in root.iterdir()))
    raise FormatError(
        f"{root}: expected a KITTI folder with training/image_2, image_3 or velodyne; found {there}"
    )


class _Listing:
    """The files of the five folders by folder and stem, and what among them is not expected."""

    def __init__(self, training: Path) -> None:
        self.training = training
        self.files: dict[str, dict[str, Path]] = {folder: {} for folder in _MEDIA | _TEXTS}
        self.damages: list[Damage] = []
        for folder, endings in (_MEDIA | _TEXTS).items():
            if not (training / folder).is_dir():
                if folder != "label_2":  # an unlabelled folder is what this tool is for
                    self.damages.append(Damage(str(training / folder), None, "missing: no such folder"))
                continue
            self.files[folder], found = listed(training / folder, endings)
            self.damages += found

    def expects(self, folder: str) -> bool:
        """Whether a missing file is worth a word: where the whole folder is missing it has been said once."""
        return (self.training / folder).is_dir()

    def orphans(self, keys: list[str]) -> Iterator[Damage]:
        """Calibrations and labels without any image or cloud."""
        for folder in _TEXTS:
            for stem in sorted(self.files[folder].keys() - set(keys)):
                yield Damage(
                    str(self.files[folder][stem]), None, f"not used: no image or cloud is named {stem}"
                )


def _read_frame(
    key: str, training: Path, listing: _Listing, drive: str | None
) -> tuple[Frame | None, list[Damage]]:
    """One frame and what is wrong with it; None in place of the frame where no slice of it can be used."""
    damages: list[Damage] = []
    media: dict[str, Path | None] = {}
    sizes: dict[str, tuple[int, int]] = {}
    dropped = 0
    for folder, endings in _MEDIA.items():
        path = media[folder] = listing.files[folder].get(key)
        if path is None:
            if listing.expects(folder):
                damages.append(Damage(str(training / folder / f"{key}{endings[0]}"), None, "missing"))
            continue
        try:
            if folder == "velodyne":
                points, dropped = read_cloud(path)
                if dropped:
                    total = len(points) + dropped
                    damages.append(
                        Damage(
                            str(path), None, f"{dropped} of {total} points are not finite and are left out"
                        )
                    )
            else:
                sizes[_SIDES[folder]] = check_image(path)
        except DamageError as error:
            damages.append(error.damage)
            media[folder] = None
    if not any(media.values()):
        damages.append(
            Damage(str(training / "*" / key), None, "frame left out: no image or cloud of it can be used")
        )
        return None, damages
    calibration, objects = _read_texts(key, training, listing, damages)
    width, height = next(iter(sizes.values())) if sizes else (None, None)
    left, right, cloud = media.values()
    labels = listing.files["label_2"].get(key)
    frame = Frame(key, left, right, cloud, calibration, objects, width, height, drive, dropped, sizes, labels)
    return frame, damages


def _read_texts(
    key: str, training: Path, listing: _Listing, damages: list[Damage]
) -> tuple[Calibration | None, tuple[KittiObject, ...] | None]:
    calibration: Calibration | None = None
    objects: tuple[KittiObject, ...] | None = None
    try:
        if path := listing.files["calib"].get(key):
            calibration = read_calibration(path)
        elif listing.expects("calib"):
            damages.append(
                Damage(
                    str(training / "calib" / f"{key}.txt"),
                    None,
                    "missing: the frame has no 3D labels without it",
                )
            )
    except DamageError as error:
        damages.append(error.damage)
    try:
        if path := listing.files["label_2"].get(key):
            objects, bad_lines = read_objects(path)
            damages += bad_lines
    except DamageError as error:
        damages.append(error.damage)
    return calibration, objects
