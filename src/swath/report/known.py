"""What every section of the report starts from, read once."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from swath import life
from swath.records.batch import Batch, Evaluated, Failure
from swath.records.loop import LoopRecord
from swath.records.manifest import Manifest
from swath.records.results import Status
from swath.workspace import Workspace


class Section(NamedTuple):
    """A part of the page. `name`: its anchor, and that of its template (`templates/NAME.html`), which sees what `data` gives as
    `it`; `title`: what the navigation calls it."""

    name: str
    title: str
    data: Callable[[Known], Any]


@dataclass(frozen=True)
class Known:
    """A loop, as the report sees it: the records of its journal, and the day on which it is written."""

    workspace: Workspace
    status: Status
    today: datetime.date

    @cached_property
    def loop(self) -> LoopRecord:
        return self.workspace.journal.loop()

    @cached_property
    def rounds(self) -> Sequence[Batch]:
        """Every round, cancelled ones included, in order."""
        return life.rounds(self.workspace.journal.batches.all())

    @cached_property
    def manifests(self) -> Mapping[str, Manifest]:
        """Round -> its decision."""
        return {one.round: self.workspace.journal.batches.manifest(one) for one in self.rounds}

    @cached_property
    def standing(self) -> Sequence[Batch]:
        """The rounds that were not cancelled, in order."""
        return life.standing(self.rounds)

    @cached_property
    def evaluated(self) -> Sequence[Batch]:
        """The rounds with figures, in order."""
        return life.evaluated(self.rounds)

    @property
    def last(self) -> Batch | None:
        """The last round with figures."""
        return self.evaluated[-1] if self.evaluated else None

    @property
    def record(self) -> Evaluated | None:
        """The last evaluation."""
        return self.last.steps.evaluate if self.last else None

    @cached_property
    def failures(self) -> Sequence[Failure]:
        """Those of the last evaluation, worst first."""
        return self.workspace.journal.batches.failures(self.last) if self.last else ()

    @cached_property
    def drives_of_val(self) -> int:
        """How many drives val has: what its intervals are drawn over."""
        table = self.workspace.scenes.table
        return len({table.drive(key) for key in self.workspace.members("val")})
