"""What is shown to people: the state of a scene, where the dataset differs from it, what is next."""

from __future__ import annotations

from dataclasses import dataclass

from swath.records.html import table


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


@dataclass(frozen=True)
class Next:
    """The next step; `step` is None when there is none, `people` says that it waits for somebody."""

    step: str | None
    why: str
    people: bool = False

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return table("Next", {"step": self.step, "why": self.why, "waits for people": self.people})
