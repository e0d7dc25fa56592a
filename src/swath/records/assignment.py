"""Who was asked to label what: one assignment per batch, scene, role, channel and annotator slot."""

from __future__ import annotations

from typing import Literal

from swath.records.base import Record

AnswerState = Literal["unreviewed", "reviewed_empty", "labeled", "skipped", "returned"]
Role = Literal["pool", "golden", "reference", "second"]

LABELLED: tuple[AnswerState, ...] = ("labeled", "reviewed_empty")
"""Somebody looked, and said what is there."""
DONE: tuple[AnswerState, ...] = (*LABELLED, "skipped")
"""Nobody is waited for."""


class Quarantined(Record):
    """A label that was left out: where it is, and why."""

    where: str
    reason: str


class Assignment(Record):
    """`split`: of the scene when it was asked for. `active`: the scene is in an open batch. `stream`: why a pool scene was
    chosen. `count`, `digest`: of the labels that came. `merged`: digest of what was made of several labellings of its scene, beside
    the first of them. `rejected`: labels that came and were left out."""

    round: str
    key: str
    role: Role
    channel: str
    slot: int = 0
    split: str = ""
    stream: str | None = None
    state: AnswerState = "unreviewed"
    active: bool = True
    annotator: str | None = None
    count: int | None = None
    digest: str | None = None
    merged: str | None = None
    rejected: tuple[Quarantined, ...] = ()

    @property
    def stands(self) -> str | None:
        """The digest of the labels that the dataset shows."""
        return self.merged or self.digest

    @property
    def labelled(self) -> bool:
        return self.state in LABELLED

    @property
    def unseen(self) -> bool:
        """Whether it counts as skipped, and nobody looked: no label could be given where it was sent, for the reason in `rejected`."""
        return self.state == "skipped" and bool(self.rejected)

    @property
    def place(self) -> tuple[str, str, int]:
        """What it is of its batch: scene, channel, slot."""
        return self.key, self.channel, self.slot


class Said(Record):
    """What an annotator said of one assignment: what `fetch` records."""

    key: str
    role: Role
    channel: str
    slot: int
    state: AnswerState
    annotator: str | None = None
    count: int | None = None
    digest: str | None = None
    merged: str | None = None
    rejected: tuple[Quarantined, ...] = ()
    active: bool | None = None
