"""How the model fails: the objects that it missed, gathered by what they share, each mode named in plain words. Pure.

Every object has a few traits: its class, its size or distance, how much of it is hidden. A mode is one combination of them whose
objects are missed more often than others: the combination with the most misses beyond what the overall share of misses would
give. Its objects are set aside, and the next mode is sought among the rest; what is left when no combination stands out, or
`MOST` are named, is no mode. A mode keeps which scenes hold most of what it missed, and a few of its objects to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from swath.records.batch import Missed, Mode

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MOST: Final = 6
LEAST: Final = 3  # missed objects that make a mode
DEEPEST: Final = 3  # traits that one mode has
SCENES: Final = 30  # of a mode that are kept, those with the most missed objects
EXAMPLES: Final = 4  # of its missed objects, each of another scene, of other drives first


class Trait(NamedTuple):
    """What objects can share: `code` (M,) of each, a key of `words`; other codes say nothing."""

    name: str
    code: Ints
    words: Mapping[int, str]


class Objects(Protocol):
    """Objects (M,): what is kept of one that was missed."""

    def __getitem__(self, row: int) -> Missed: ...


def modes(
    traits: Sequence[Trait], missed: Flags, before: Sequence[Mode] = (), objects: Objects | None = None
) -> tuple[Mode, ...]:
    """The modes of objects (M,) of which some were `missed`, the one with the most misses beyond the expected first. `before`: the
    modes of the round before, for the trend; without `objects` no scenes, classes and examples."""
    then = {one.name: one.share for one in before}
    free = np.ones(len(missed), dtype=bool)
    out: list[Mode] = []
    overall = float(missed.mean()) if len(missed) else 0.0
    while len(out) < MOST:
        best = _best(traits, missed, free, overall)
        if best is None:
            break
        name, mine = best
        lost = [objects[int(row)] for row in np.flatnonzero(mine & missed)] if objects is not None else []
        found = Mode(
            name=name, objects=int(mine.sum()), missed=int(missed[mine].sum()), before=then.get(name)
        )
        out.append(found.with_(**_kept(lost)))
        free &= ~mine
    return tuple(out)


def _kept(lost: Sequence[Missed]) -> dict[str, object]:
    """What a mode keeps of its missed objects."""
    of_scene = Counter(one.scene for one in lost)
    scenes = sorted(of_scene.items(), key=lambda one: (-one[1], one[0]))
    return {
        "scenes": dict(scenes[:SCENES]),
        "classes": dict(sorted(Counter(one.name for one in lost).items())),
        "examples": tuple(_examples([scene for scene, _ in scenes], lost)),
    }


def _examples(scenes: Sequence[str], lost: Sequence[Missed]) -> list[Missed]:
    """The first object of each of these scenes, drives in turn."""
    first = {one.scene: one for one in reversed(lost)}
    turn: Counter[str] = Counter()
    placed = []
    for nth, scene in enumerate(scenes):
        drive = first[scene].drive
        placed.append((turn[drive], nth, first[scene]))
        turn[drive] += 1
    return [one for _, _, one in sorted(placed, key=lambda one: one[:2])[:EXAMPLES]]


def _best(traits: Sequence[Trait], missed: Flags, free: Flags, overall: float) -> tuple[str, Flags] | None:
    """The combination with the most misses beyond the expected among the free objects; of equals the one with fewer traits."""
    found: tuple[float, str, Flags] | None = None
    for depth in range(1, min(DEEPEST, len(traits)) + 1):
        for some in combinations(traits, depth):
            codes = np.stack([one.code for one in some])
            there = free & np.all([np.isin(one.code, list(one.words)) for one in some], axis=0)
            values, group = np.unique(codes[:, there], axis=1, return_inverse=True)
            objects = np.bincount(group, minlength=values.shape[1])
            lost = np.bincount(group, weights=missed[there], minlength=values.shape[1])
            beyond = np.where((lost >= LEAST) & (lost > objects * overall), lost - objects * overall, 0.0)
            if len(beyond) and beyond.max() > (found[0] if found else 0.0) + 1e-9:
                at = int(np.argmax(beyond))
                words = [one.words[int(code)] for one, code in zip(some, values[:, at], strict=True)]
                mine = there.copy()
                mine[there] = group == at
                found = float(beyond[at]), ", ".join(words), mine
    return None if found is None else (found[1], found[2])
