"""Rig folders: any number of cameras and clouds, each in a folder of its own.

    ROOT/rig.json                {"channels": {NAME: {"kind": "image" or "cloud", "labelled": true or false,
                                                      "embed": true or false}, ...}, "primary": NAME}
    ROOT/NAME/KEY.png            an image (.png, .jpg, .jpeg), or a cloud (.pcd, .bin)
    ROOT/calibration/KEY.json    {"cameras": {NAME: {"projection": 3 x 4, "from_cloud": 4 x 4}, ...}}
    ROOT/calibration.json        the same, for the scenes that have no file of their own
    ROOT/labels/NAME/KEY.json    of an image: {"labels": [{"label": CLASS, "box": [x1, y1, x2, y2]}, ...]}
                                 of a cloud:  {"labels": [{"label": CLASS, "cuboid": [9 numbers]}, ...]}
    ROOT/drives.txt              `frame drive` per line

A scene is a KEY; it may lack channels. Everything but rig.json and the media may be left out.
docs/formats/rig_folder.md has the details: units, frames, further attributes of labels, what is named as
damage.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from swath.errors import FormatError, some
from swath.formats.damage import Damage, DamageError
from swath.formats.folders import Drives, listed, read_text, relative
from swath.formats.images import ENDINGS, image_size
from swath.formats.kitti import read_cloud
from swath.formats.pcd import read_pcd
from swath.labels.calibration import Camera
from swath.labels.clean import wrong_box, wrong_cuboid
from swath.labels.shapes import Boxes, Cuboids
from swath.sources.base import DONT_CARE, Cloud, Found, Labelled, Progress, Scan, digest_of_files, shown

CLOUD_ENDINGS = (".pcd", ".bin")
SHAPES = {"image": ("box", 4), "cloud": ("cuboid", 9)}  # what a label of it has, and of how many numbers
LARGEST_JSON = 8 * 2**20  # bytes: 20,000 labels
LARGEST = 1e6  # metres or pixels; nothing real is larger
MOST_DAMAGES = 20  # that are listed of one file
MOST_ATTRIBUTES = 64  # different ones in one file
NOT_CHANNELS = ("labels", "calibration")
RESERVED = frozenset(  # names that FiftyOne's labels have already, and swath's own
    (
        *("id", "label", "bounding_box", "mask", "mask_path", "confidence", "index", "instance", "tags"),
        *("attributes", "location", "dimensions", "rotation", "round"),
    )
)


class RigFolder:
    """The rig folder `root`."""

    name = "rig"

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def scan(self, *, progress: Progress | None = None, workers: int = 1) -> Scan:
        """See `Source.scan`. Where rig.json can't be used there are no scenes, and its damage is listed."""
        if not (self.root / "rig.json").is_file():
            entries = some(ascii(one.name)[1:-1] for one in _entries(self.root))
            raise FormatError(f"{self.root}: expected a rig folder with rig.json; found {entries}")
        channels, primary, damages = _read_rig(self.root / "rig.json")
        if not channels:
            return Scan((), tuple(replace(one, file="rig.json") for one in damages), {}, "")
        listing = _Listing(self.root, channels)
        damages += listing.damages
        scenes: list[Found] = []
        with ThreadPoolExecutor(max(1, workers)) as pool:
            results = pool.map(listing.read, listing.keys)
            for done, (scene, found) in enumerate(results, start=1):
                scenes += [scene] if scene else []
                damages += found
                if progress:
                    progress(done, len(listing.keys))
        there = {name for scene in scenes for name in scene.media}
        used, first = shown({name: one for name, one in channels.items() if name in there}, primary)
        named = [replace(one, file=relative(one.file, self.root)) for one in damages]
        named.sort(key=lambda one: (one.file, one.line or 0, one.reason))
        return Scan(tuple(scenes), tuple(named), used, first)

    def cloud(self, path: Path) -> Cloud | None:
        """See `Source.cloud`; a PCD with points that aren't finite is one to convert."""
        cloud, dropped = _read_cloud(path)
        return None if path.suffix.lower() == ".pcd" and not dropped else cloud


# ---------------------------------------------------------------------- rig.json


def _read_rig(path: Path) -> tuple[dict[str, dict[str, Any]], str, list[Damage]]:
    """The channels by name, in the file's order, the name of the one that is shown, and what is wrong."""
    damages: list[Damage] = []

    def bad(reason: str) -> None:
        damages.append(Damage(str(path), None, reason))

    try:
        said = _read_json(path)
    except DamageError as error:
        return {}, "", [error.damage]
    given = said.get("channels") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(given, dict) or not given:
        bad(
            f'expected {{"channels": {{NAME: ...}}, "primary": NAME}}, got {_shown(said)}; no scene can be read'
        )
        return {}, "", damages
    for key in sorted(said.keys() - {"channels", "primary"}):
        bad(f"unknown key {_shown(key)}; expected channels, primary")
    channels: dict[str, dict[str, Any]] = {}
    for name, one in given.items():
        if not re.fullmatch(r"\w[\w-]{0,63}", name) or name in NOT_CHANNELS:
            bad(
                f"channel {_shown(name)} is left out: expected a name of at most 64 letters, digits, _ and -, "
                f"and not {' or '.join(NOT_CHANNELS)}"
            )
        elif not isinstance(one, dict) or not isinstance(one.get("kind"), str) or one["kind"] not in SHAPES:
            kind = one.get("kind") if isinstance(one, dict) else one
            bad(f"channel {name} is left out: expected the kind image or cloud, got {_shown(kind)}")
        else:
            for key in sorted(one.keys() - {"kind", "labelled", "embed"}):
                bad(f"channel {name}: unknown key {_shown(key)}; expected kind, labelled, embed")
            flags = {key: one.get(key, False) for key in ("labelled", "embed")}
            for key, value in flags.items():
                if not isinstance(value, bool):
                    bad(f"channel {name}: {key}: expected true or false, got {_shown(value)}; false is taken")
            channels[name] = {
                "kind": one["kind"],
                **{key: value is True for key, value in flags.items()},
            }
    primary = said.get("primary")
    if channels and (not isinstance(primary, str) or primary not in channels):
        bad(f"primary: expected one of {', '.join(channels)}, got {_shown(primary)}")
        primary = ""
    return channels, str(primary or ""), _some_of(damages, path)


# ---------------------------------------------------------------------- the folders


class _Listing:
    """The files of a rig folder by channel and key, and what among them is not expected; `read` reads a
    scene."""

    def __init__(self, root: Path, channels: Mapping[str, Mapping[str, Any]]) -> None:
        self.root, self.channels = root, channels
        self.damages: list[Damage] = []
        self.media: dict[str, dict[str, Path]] = {}
        self.labels: dict[str, dict[str, Path]] = {}
        for name, one in channels.items():
            self.media[name] = self._listed(root / name, ENDINGS if one["kind"] == "image" else CLOUD_ENDINGS)
            self.labels[name] = self._listed(root / "labels" / name, (".json",), needed=False)
        self.keys = sorted(set().union(*self.media.values()))
        self.calibrations = self._listed(root / "calibration", (".json",), needed=False)
        self.common: Mapping[str, Any] | None = None
        if (root / "calibration.json").is_file():
            self.common = self._calibration(root / "calibration.json", self.damages)
        drives = Drives((root / "drives.txt",))
        self.drives = drives.of
        self.damages += [*drives.damages, *drives.unmatched(self.keys), *self._odd()]

    def _listed(self, folder: Path, endings: tuple[str, ...], *, needed: bool = True) -> dict[str, Path]:
        if not folder.is_dir():
            if needed:
                self.damages.append(Damage(str(folder), None, "missing: no such folder"))
            return {}
        files, damages = listed(folder, endings)
        self.damages += damages
        return files

    def _odd(self) -> Iterator[Damage]:
        """Folders of no channel, scenes without a file of a channel, labels and calibrations of no scene."""
        for place, known in (
            (self.root, (*self.channels, *NOT_CHANNELS)),
            (self.root / "labels", self.channels),
        ):
            for entry in _entries(place):
                if entry.is_dir() and entry.name not in known and not entry.name.startswith("."):
                    yield Damage(str(entry), None, "not used: rig.json has no channel of this name")
        for name, files in self.media.items():
            without = [key for key in self.keys if key not in files]
            if without and (self.root / name).is_dir():
                yield Damage(
                    str(self.root / name), None, f"{len(without)} scenes have no file: {some(without)}"
                )
            for key in sorted(self.labels[name].keys() - files.keys()):
                reason = f"not used: the channel {name} has no file named {key}"
                yield Damage(str(self.labels[name][key]), None, reason)
        for key in sorted(self.calibrations.keys() - set(self.keys)):
            yield Damage(str(self.calibrations[key]), None, f"not used: no image or cloud is named {key}")
        without = [key for key in self.keys if key not in self.calibrations]
        if self.calibrations and without and self.common is None:
            reason = f"{len(without)} scenes have no calibration: {some(without)}"
            yield Damage(str(self.root / "calibration"), None, reason)

    def read(self, key: str) -> tuple[Found | None, list[Damage]]:
        """One scene and what is wrong with it; None in place of the scene where no channel of it can be
        used."""
        damages: list[Damage] = []
        media: dict[str, Path] = {}
        sizes: dict[str, tuple[int, int]] = {}
        for name, files in self.media.items():
            if key not in files:
                continue
            try:
                if self.channels[name]["kind"] == "image":
                    sizes[name] = image_size(files[key])
                else:
                    _, dropped = _read_cloud(files[key])
                    if dropped:
                        reason = f"{dropped} points are not finite and are left out"
                        damages.append(Damage(str(files[key]), None, reason))
                media[name] = files[key].resolve()
            except DamageError as error:
                damages.append(error.damage)
        if not media:
            reason = "scene left out: no image or cloud of it can be used"
            return None, [*damages, Damage(str(self.root / "*" / key), None, reason)]
        calibration = self.common
        if key in self.calibrations:
            calibration = self._calibration(self.calibrations[key], damages)
        truth: dict[str, Labelled] = {}
        dont_care: dict[str, Labelled] = {}
        label_files = [(name, files[key]) for name, files in self.labels.items() if key in files]
        for name, path in label_files:
            if name in media:
                read = _read_labels(path, self.channels[name]["kind"], sizes.get(name), damages)
                if read is not None:
                    truth[name], dont_care[name] = read
        dont_care = {name: one for name, one in dont_care.items() if len(one.labels)}
        digest = digest_of_files(label_files)
        return Found(key, self.drives.get(key), media, sizes, calibration, truth, dont_care, digest), damages

    def _calibration(self, path: Path, damages: list[Damage]) -> dict[str, Any] | None:
        """The cameras of a calibration file that can be used, as they are stored; None of none."""
        try:
            said = _read_json(path)
        except DamageError as error:
            damages.append(error.damage)
            return None
        given = said.get("cameras") if isinstance(said, dict) else None
        if not isinstance(said, dict) or not isinstance(given, dict):
            reason = f'expected {{"cameras": {{NAME: ...}}}}, got {_shown(said)}'
            damages.append(Damage(str(path), None, reason))
            return None
        found: list[Damage] = []
        for key in sorted(said.keys() - {"cameras"}):
            found.append(Damage(str(path), None, f"unknown key {_shown(key)}; expected cameras"))
        cameras: dict[str, Any] = {}
        for name, one in given.items():
            if self.channels.get(name, {}).get("kind") != "image":
                reason = f"camera {_shown(name)} is left out: no image channel of rig.json has this name"
                found.append(Damage(str(path), None, reason))
                continue
            try:
                cameras[name] = _camera(one).to_dict()
                for key in sorted(one.keys() - {"projection", "from_cloud"}):
                    reason = f"camera {name}: {_shown(key)} is not used; expected projection, from_cloud"
                    found.append(Damage(str(path), None, reason))
            except (ValueError, FormatError) as error:
                found.append(Damage(str(path), None, f"camera {name} is left out: {error}"))
        damages += _some_of(found, path)
        return {"cameras": cameras} if cameras else None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read_cloud(path: Path) -> tuple[Cloud, int]:
    """The finite points (N, 4) of a .pcd or .bin, and how many are not. DamageError where it holds none."""
    if path.suffix.lower() == ".bin":
        return read_cloud(path)
    try:
        cloud = read_pcd(path)
    except DamageError:
        raise
    except FormatError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise DamageError(Damage(str(path), None, reason)) from error
    finite = np.isfinite(cloud).all(axis=1)
    if not finite.any():
        raise DamageError(Damage(str(path), None, f"expected points, but none of {len(cloud)} is finite"))
    return cloud[finite], int((~finite).sum())


# ---------------------------------------------------------------------- calibrations and labels


def _camera(said: Any) -> Camera:
    """A camera of a calibration file. ValueError or FormatError says what is wrong with it."""
    if not isinstance(said, dict):
        raise ValueError(f"expected projection and from_cloud, got {_shown(said)}")
    matrices = []
    for name, rows, columns in (("projection", 3, 4), ("from_cloud", 4, 4)):
        given = said.get(name)
        if not isinstance(given, list) or len(given) != rows:
            raise ValueError(f"{name}: expected {rows} rows of {columns} numbers, got {_shown(given)}")
        try:
            matrices.append(np.array([_numbers(row, columns) for row in given]))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    projection, pose = matrices
    turn = pose[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > 0.02 or np.linalg.det(turn) < 0:
        raise ValueError(f"from_cloud: expected a rotation in its first 3 x 3, got {turn.round(3).tolist()}")
    if pose[3].tolist() != [0, 0, 0, 1]:
        raise ValueError(f"from_cloud: expected the last row 0 0 0 1, got {pose[3].tolist()}")
    return Camera(projection, pose)


@dataclass
class _Kept:
    """Labels of one file that can be used."""

    shapes: list[list[float]]
    classes: list[str]
    attributes: list[dict[str, Any]]

    def labelled(self, kind: str) -> Labelled:
        names = list(dict.fromkeys(name for one in self.attributes for name in one))
        attributes = {name: [one.get(name) for one in self.attributes] for name in names}
        if kind == "image":
            boxes = np.array(self.shapes, float).reshape(-1, 4)
            return Labelled(Boxes(boxes, tuple(self.classes)), attributes)
        cuboids = np.array(self.shapes, float).reshape(-1, 9)
        return Labelled(Cuboids(cuboids, tuple(self.classes)), attributes)


def _read_labels(
    path: Path, kind: str, size: tuple[int, int] | None, damages: list[Damage]
) -> tuple[Labelled, Labelled] | None:
    """The labels of a file, and its DontCare areas; None where it can't be used at all."""
    try:
        said = _read_json(path)
    except DamageError as error:
        damages.append(error.damage)
        return None
    given = said.get("labels") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(given, list):
        damages.append(Damage(str(path), None, f'expected {{"labels": [...]}}, got {_shown(said)}'))
        return None
    found = [
        Damage(str(path), None, f"unknown key {_shown(key)}; expected labels")
        for key in sorted(said.keys() - {"labels"})
    ]
    known: set[str] = set()
    kept, apart = _Kept([], [], []), _Kept([], [], [])
    for number, one in enumerate(given):
        reasons: list[str] = []
        try:
            name, numbers = _label(one, kind, size)
            into = apart if name == DONT_CARE else kept
            into.attributes.append(_attributes(one, SHAPES[kind][0], known, reasons))
            into.classes.append(name)
            into.shapes.append(numbers)
        except ValueError as error:
            reasons.append(f"{error}; the label is left out")
        found += [Damage(str(path), None, f"labels[{number}]: {reason}") for reason in reasons]
    damages += _some_of(found, path)
    return kept.labelled(kind), apart.labelled(kind)


def _label(said: Any, kind: str, size: tuple[int, int] | None) -> tuple[str, list[float]]:
    """Class and numbers of one label. ValueError says what is wrong with it."""
    shape, count = SHAPES[kind]
    if not isinstance(said, dict):
        raise ValueError(f"expected label and {shape}, got {_shown(said)}")
    name = said.get("label")
    if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable():
        raise ValueError(
            f"label: expected a class name of at most 64 printable characters, got {_shown(name)}"
        )
    other = next(one for one, _ in SHAPES.values() if one != shape)
    if shape not in said or other in said:
        raise ValueError(
            f"expected a {shape}, as labels of {'an image' if kind == 'image' else 'a cloud'} have, "
            f"got {_shown(sorted(said))}"
        )
    try:
        numbers = _numbers(said[shape], count)
    except ValueError as error:
        raise ValueError(f"{shape}: {error}") from None
    values = np.array(numbers)
    reason = wrong_box(values, *size) if kind == "image" and size else None
    if reason or (kind == "cloud" and (reason := wrong_cuboid(values))):
        raise ValueError(reason)
    return name, numbers


def _attributes(said: Mapping[str, Any], shape: str, known: set[str], reasons: list[str]) -> dict[str, Any]:
    """What a label says besides class and shape. What can't be kept is added to `reasons`, the names that are
    kept to `known`."""
    kept: dict[str, Any] = {}
    for name, value in said.items():
        if name in ("label", shape):
            continue
        if not re.fullmatch(r"[A-Za-z]\w{0,63}", name, re.ASCII) or name in RESERVED:
            reasons.append(
                f"attribute {_shown(name)} is left out: expected a name of letters, digits and _ that is not taken"
            )
        elif name not in known and len(known) >= MOST_ATTRIBUTES:
            reasons.append(f"attribute {_shown(name)} is left out: there are {MOST_ATTRIBUTES} others")
        elif not _plain(value):
            reasons.append(
                f"attribute {name} is left out: expected a text, number, true, false or null, got {_shown(value)}"
            )
        else:
            known.add(name)
            kept[name] = value
    return kept


def _plain(value: Any) -> bool:
    """Whether a database can hold it as one value."""
    if isinstance(value, str):
        return len(value) <= 1000 and not any("\ud800" <= one <= "\udfff" for one in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) < 2**63)


def _numbers(said: Any, count: int) -> list[float]:
    """A list of `count` finite numbers. ValueError for anything else."""
    if not isinstance(said, list) or len(said) != count:
        got = f"{len(said)} values" if isinstance(said, list) else _shown(said)
        raise ValueError(f"expected {count} numbers, got {got}")
    for value in said:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"expected {count} numbers, got {_shown(value)} among them")
        if not abs(value) <= LARGEST:  # a NaN too
            raise ValueError(
                f"expected {count} numbers, got {_shown(value)}, which is not finite, or above {LARGEST:g}"
            )
    return [float(value) for value in said]


def _read_json(path: Path) -> Any:
    """What a JSON file says. DamageError where it can't be read, with the line where there is one."""
    try:
        return json.loads(read_text(path, LARGEST_JSON))
    except json.JSONDecodeError as error:
        reason = f"expected JSON, but {error.msg[0].lower()}{error.msg[1:]} (column {error.colno})"
        raise DamageError(Damage(str(path), error.lineno, reason)) from None
    except RecursionError:
        raise DamageError(Damage(str(path), None, "expected JSON that is less deep")) from None
    except UnicodeDecodeError:
        raise DamageError(Damage(str(path), None, "expected JSON in UTF-8, got other bytes")) from None
    except ValueError:
        reason = "expected JSON, but a number in it has thousands of digits"
        raise DamageError(Damage(str(path), None, reason)) from None


def _some_of(damages: Sequence[Damage], path: Path) -> list[Damage]:
    """The first damages of one file, and how many more there are."""
    more = len(damages) - MOST_DAMAGES
    if more <= 0:
        return list(damages)
    return [*damages[:MOST_DAMAGES], Damage(str(path), None, f"{more} more things are wrong in it")]


def _shown(value: Any) -> str:
    """A short picture of what came, safe to print."""
    if isinstance(value, dict):
        keys = ascii([str(key)[:20] for key in list(value)[:4]])
        return f"an object with the keys {keys[1:-1] or 'none'}{' ...' if len(value) > 4 else ''}"
    if isinstance(value, list):
        return f"a list of {len(value)}" + (f" ({ascii(value)[1:60]} ...)" if _short(value) else "")
    if isinstance(value, int) and abs(value) > 10**20:
        return "a very large number"
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _short(value: list[Any]) -> bool:
    return len(value) <= 4 and all(isinstance(one, str) and len(one) < 12 for one in value)
