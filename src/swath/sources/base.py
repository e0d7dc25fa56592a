"""What a source of scenes gives: media, calibration, drives and labels of each scene, whatever the format on
disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from swath.formats.damage import Damage
from swath.labels.shapes import Labels

Cloud = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]  # scenes done, scenes in all

DONT_CARE = "DontCare"  # the class of what is in the picture and no object: kept apart from the labels


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labels of one channel, and what else the source says of them: `attributes` have one value per label,
    None where a label has none."""

    labels: Labels
    attributes: Mapping[str, list[Any]]


@dataclass(frozen=True, eq=False)
class Found:
    """One scene: what of it can be used.

    `key`: its name. `sequence`: its drive, None where the source names none. The mappings are by channel:
    `media` has the files, each checked, `sizes` (width, height) in pixels of each image, `truth` the labels
    of what has been labelled (no entry: nobody looked), `dont_care` the areas to leave alone. `calibration`
    is a stored form of `labels.calibration`, None where there is none. `label_digest`: SHA-256 of its label
    files, None without any: it tells that labels changed.
    """

    key: str
    sequence: str | None
    media: Mapping[str, Path]
    sizes: Mapping[str, tuple[int, int]]
    calibration: Mapping[str, Any] | None
    truth: Mapping[str, Labelled] = field(default_factory=dict)
    dont_care: Mapping[str, Labelled] = field(default_factory=dict)
    label_digest: str | None = None


@dataclass(frozen=True, eq=False)
class Scan:
    """`scenes`, sorted by key, and what could not be used, sorted by file and line, files as seen from the
    root.

    `channels` and `primary`: the settings of these names for a `LoopConfig` that fit the source; they name
    the channels that at least one scene has. Without scenes they are empty.
    """

    scenes: tuple[Found, ...]
    damages: tuple[Damage, ...]
    channels: Mapping[str, Mapping[str, Any]]
    primary: str


@runtime_checkable
class Source(Protocol):
    """A folder of scenes. Reading it changes nothing in it."""

    name: str
    root: Path

    def scan(self, *, progress: Progress | None = None, workers: int = 1) -> Scan:
        """Reads and checks every file. `workers` threads read; the result doesn't depend on them.
        `progress(done, total)` counts scenes. What is damaged is listed; FormatError where this is no folder
        of the kind."""

    def cloud(self, path: Path) -> Cloud | None:
        """The cloud at `path`, one of a scene's media, (N, 4) x, y, z (metres), intensity, without points
        that aren't finite; None where the file is a PCD, which can be used as it is."""


def digest_of_files(files: Sequence[tuple[str, Path]]) -> str | None:
    """SHA-256 over the named files' names and bytes, in this order; None of none. A file that can't be read
    counts as empty."""
    if not files:
        return None
    whole = hashlib.sha256()
    for name, path in files:
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        whole.update(f"{name}\n{len(data)}\n".encode() + data)
    return whole.hexdigest()


def shown(channels: Mapping[str, Mapping[str, Any]], primary: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Settings for the `channels` that there are: `primary` or the first one that is labelled is shown; where
    none is labelled, the one that is shown is labelled and embedded."""
    found = {name: dict(one) for name, one in channels.items()}
    if not found:
        return {}, ""
    labelled = [name for name, one in found.items() if one.get("labelled")]
    if primary not in found:
        primary = (labelled or list(found))[0]
    if not labelled:
        found[primary] |= {"labelled": True, "embed": True}
    if not any(one.get("embed") for one in found.values()):
        found[primary]["embed"] = True
    return found, primary
