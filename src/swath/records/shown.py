"""What the dataset must show of a scene, and where it does not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneState:
    """What the journal says of one scene: its tags (swath's own, sorted) and its status."""

    tags: tuple[str, ...]
    status: str


@dataclass(frozen=True)
class Difference:
    """One place where the dataset is not what the journal says."""

    scene: str
    slice: str
    what: str
    expected: str
    found: str
