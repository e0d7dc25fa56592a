"""What commands give back besides results of steps, and `result`, which prints any of them."""

from __future__ import annotations

from functools import singledispatch
from typing import Literal

from swath.records.base import Document, Record
from swath.records.batch import Checked
from swath.records.results import SelectResult, Status
from swath.records.shown import Next
from swath.suggest import command


class MadeWorld(Record):
    """`swath world`."""

    root: str
    scenes: int
    drives: int
    objects: dict[str, int]


class Selected(Record):
    """`swath select` with a picture's path for every scene."""

    batch: SelectResult
    pictures: dict[str, str]

    def as_json(self) -> Document:
        return {**self.batch.as_json(), "pictures": self.pictures}


class Did(Record):
    """`swath next`: the step, why it was next, and what came of it."""

    plan: Next
    came: Record

    def as_json(self) -> Document:
        return {"step": self.plan.step, "why": self.plan.why, "result": self.came.as_json()}


class Finished(Record):
    """`swath next` where nothing is next: why, and commands to go on all the same."""

    why: str
    ways: tuple[str, ...]

    def as_json(self) -> Document:
        return {"step": None, "why": self.why, "result": None, "ways": list(self.ways)}


class Ran(Record):
    """`swath run`: the steps, why it ended before the rounds were closed, and where the loop stands."""

    steps: tuple[str, ...]
    waits: str | None
    status: Status

    def as_json(self) -> Document:
        return {"steps": list(self.steps), "waits": self.waits, "status": self.status.as_json()}


class Gated(Record):
    """`swath check --gate`: what was found, and whether that holds up whoever asked."""

    checked: Checked
    gate: Literal["error", "warning"]
    dataset: str

    @property
    def holds(self) -> bool:
        return self.checked.errors > 0 or (self.gate == "warning" and self.checked.warnings > 0)

    @property
    def why(self) -> str:
        found = f"{self.checked.errors} errors and {self.checked.warnings} warnings"
        return f"check of {self.checked.round}: {found}; have them mended and check again, or go on:"

    @property
    def ways(self) -> tuple[str, ...]:
        """Commands to choose from where it holds."""
        if not self.holds:
            return ()
        again = command("check", self.dataset, "--gate", "error")
        if self.gate == "warning":
            again = command("check", self.dataset, "--gate", "warning")
        return (
            command("report", self.dataset),
            command("round reopen", self.dataset, self.checked.round, "--reason", "REASON"),
            again,
            command("golden", self.dataset),
        )

    def as_json(self) -> Document:
        """What was found, as ever."""
        return {**self.checked.as_json(), "gate": self.gate, "holds": self.holds, "ways": list(self.ways)}


class Reported(Record):
    """`swath report`."""

    report: str


@singledispatch
def result(value: Record) -> None:
    """Prints what a command or a step gives back."""
    raise TypeError(f"nothing shows a {type(value).__name__}")
