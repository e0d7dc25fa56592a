"""The errors that swath raises on purpose.

    SwathError                  what a user can mend: one readable line, no traceback (exit code 1)
    ├── ConfigError             a setting that cannot be: unknown, out of range, contradictory
    ├── DatabaseError           no usable mongod, or it went away
    ├── FormatError             a file that is not what its name says
    ├── UnknownNameError        a dataset, scene, field, tag or round that does not exist
    ├── StateError              a step asked for at the wrong time
    │   └── FrozenSplitError    anything that would embed, select, train on or mine a test scene
    ├── ConflictError           another process holds the dataset, or was there first
    │   └── FencedError         this process lost its place as the writer; nothing more of it lands
    ├── IntegrityError          the dataset and the journal contradict each other
    └── WaitingError            people are needed, or a check blocks (exit code 3)

A message says what was expected, what came, and what to do. Anything else that is raised is a defect and keeps its
traceback (exit code 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class SwathError(Exception):
    """What a user can mend. `str(error)` is the one line to show; `lines`, where there are several; `ways`: commands to choose from,
    where there are several."""

    exit_code = 1

    def __init__(self, text: str = "", ways: Iterable[str] = ()) -> None:
        super().__init__(text)
        self.ways = tuple(ways)

    @property
    def lines(self) -> tuple[str, ...]:
        return (str(self),)


class ConfigError(SwathError):
    """With `several` mistakes, one line for each."""

    def __init__(self, message: str, several: Sequence[str] = ()) -> None:
        super().__init__(message + (": " + "; ".join(several) if several else ""))
        self._lines = (f"{message}:", *several) if several else (message,)

    @property
    def lines(self) -> tuple[str, ...]:
        return self._lines


class DatabaseError(SwathError): ...


class FormatError(SwathError): ...


class UnknownNameError(SwathError): ...


class StateError(SwathError): ...


class FrozenSplitError(StateError): ...


class ConflictError(SwathError): ...


class FencedError(ConflictError): ...


class IntegrityError(SwathError): ...


class WaitingError(SwathError):
    exit_code = 3


def some(names: Iterable[object], most: int = 5) -> str:
    """The first few of `names`, and how many more: `a, b, c (+97 more)`."""
    listed = [str(name) for name in names]
    head = ", ".join(listed[:most]) or "none"
    return head + (f" (+{len(listed) - most} more)" if len(listed) > most else "")
