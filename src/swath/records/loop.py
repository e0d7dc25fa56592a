"""The record of one dataset: configuration, splits, and what steps outside rounds recorded."""

from __future__ import annotations

from typing import Any

from swath.records.base import Blob, Document, Record
from swath.records.batch import Evaluated


class Damaged(Record):
    """What could not be used of a source: file, line (None for the whole file) and reason."""

    file: str
    line: int | None = None
    reason: str


class Initialised(Record):
    """Where scenes came from. `kitti`, `rig`, `fiftyone`: the source, one of them; `history`: golden checks from before swath."""

    kitti: str | None = None
    rig: str | None = None
    fiftyone: str | None = None
    scenes: int
    history: tuple[Any, ...] = ()
    damages: tuple[Damaged, ...] = ()
    damage_count: int = 0
    set_aside: int = 0


class Pair(Record):
    """Two scenes in different splits that look alike."""

    scenes: tuple[str, str]
    splits: tuple[str, str]
    similarity: float


class SplitDone(Record):
    """How the splits were drawn; who is in which is `Membership`."""

    seed: int
    units: int
    notes: tuple[str, ...] = ()
    closest: tuple[Pair, ...] = ()
    config_hash: str = ""
    swath: str = ""


class Grown(Record):
    """Scenes that came in after the split."""

    added: int
    set_aside: int


class Problem(Record):
    """A scene without a usable vector."""

    scene: str
    reason: str


class Embedded(Record):
    """`problems`: the first scenes without a usable vector, of `problem_count`."""

    encoder: str
    scenes: int
    dim: int
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    fingerprint: str
    membership_sha256: str


class Repaired(Record):
    differences: int


class Configured(Record):
    hash: str


class Origin(Record):
    """Where a setting that is no default was given: its dotted name, and the command and option (`init --config swath.yaml`)."""

    setting: str
    source: str


class Membership(Record):
    """Who is in which split, kept apart: `members` (key -> split, "" where set aside) with its SHA-256, and that of test."""

    members: Blob
    sha256: str
    test_sha256: str


class Held(Record):
    """Who writes to the dataset, or wrote last. `token`: its fence; `mark`: the writer, None once it has ended; `born`: when its
    process began, s since the epoch; `unclean`: whether it, or the one that it took over from, left something half done."""

    token: int = 0
    mark: str | None = None
    operation: str = ""
    pid: int = 0
    host: str = ""
    born: float = 0.0
    unclean: bool = False


class LoopSteps(Record):
    init: Initialised | None = None
    split: SplitDone | None = None
    split_grown: Grown | None = None
    embed: Embedded | None = None
    repair: Repaired | None = None
    configure: Configured | None = None
    final: dict[str, Evaluated] = {}


class LoopRecord(Record):
    """`secret`: what makes the names that annotators see unguessable. `home`: where derived media and models are. `origins`: of
    settings; those that were changed before they were recorded have none."""

    schema_: int
    config: Document
    origins: tuple[Origin, ...] = ()
    home: str | None = None
    secret: str = ""
    membership: Membership | None = None
    steps: LoopSteps = LoopSteps()
    revision: int = 0
    floor: int = 0

    def known(self) -> dict[str, str]:
        """Dotted name of a setting -> where it was given."""
        return {one.setting: one.source for one in self.origins}
