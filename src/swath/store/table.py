"""Scenes as aligned columns, sorted by key, and how scenes get their keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from swath.errors import IntegrityError, UnknownNameError, some

Strings = npt.NDArray[np.str_]


@dataclass(frozen=True)
class SceneTable:
    """Scenes of a dataset, sorted by key; every column has one entry per row.

    keys, ids    (N,) str; id is FiftyOne's group id (sample id in an ungrouped dataset), hex
    paths        channel -> (N,) str, absolute media path, "" where the scene lacks the channel
    sizes        image channel -> (N, 2) int, width and height in pixels, 0 where unknown
    sequence     (N,) str, the drive, "" where unknown
    """

    keys: Strings
    ids: Strings
    paths: Mapping[str, Strings]
    sizes: Mapping[str, npt.NDArray[np.int64]]
    sequence: Strings

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """key -> row."""
        return {str(key): row for row, key in enumerate(self.keys)}

    def rows(self, keys: Iterable[str]) -> npt.NDArray[np.int64]:
        """Rows of `keys`, in their order; `UnknownNameError` names those that do not exist."""
        keys = list(keys)
        unknown = [key for key in keys if key not in self.row_of]
        if unknown:
            raise UnknownNameError(
                f"{len(unknown)} of {len(keys)} scenes are not in the dataset: {some(unknown)}; "
                f"keys look like {some(self.keys, 3)}"
            )
        return np.array([self.row_of[key] for key in keys], dtype=np.int64)

    def known(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that are in the table, in their order: people delete scenes by hand."""
        return [key for key in keys if key in self.row_of]

    def path(self, channel: str, key: str) -> str:
        """Media path of a channel of a scene, "" where it has none."""
        return str(self.paths[channel][self.row_of[key]]) if channel in self.paths else ""

    def size(self, channel: str, key: str) -> tuple[int, int]:
        """Width and height of an image channel of a scene, pixels; 0 where unknown."""
        if channel not in self.sizes:
            return 0, 0
        width, height = self.sizes[channel][self.row_of[key]]
        return int(width), int(height)

    def has(self, channel: str, key: str) -> bool:
        return bool(self.path(channel, key))

    def drive(self, key: str) -> str:
        """The drive of a scene; one without is a drive of its own."""
        return str(self.sequence[self.row_of[key]]) or key

    def counts(self) -> dict[str, int]:
        """Scenes that have each channel."""
        return {name: int(np.count_nonzero(paths != "")) for name, paths in self.paths.items()}


def names(paths: Mapping[str, PurePath], taken: set[str], new: Sequence[str]) -> dict[str, str]:
    """Names of all scenes, by scene id: the stem where that tells all apart, else as much of the path's end as it takes,
    so that no name of a `new` one is among the keys that are `taken`."""
    for depth in range(1, 1 + max((len(path.parts) for path in paths.values()), default=0)):
        given = {
            one: path.stem if depth == 1 else "/".join(path.parts[-depth:]).replace("//", "/")
            for one, path in paths.items()
        }
        if len(set(given.values())) == len(given) and not taken & {given[one] for one in new}:
            return given
    if not new:
        return {}
    twice = sorted(path for path, n in Counter(map(str, paths.values())).items() if n > 1)
    raise IntegrityError(
        f"{len(twice)} scenes have the same media path: {some(twice)}; each scene needs media of its own"
    )
