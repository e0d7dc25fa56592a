"""The base of all records."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from swath.records.html import table

Document = dict[str, Any]
SCHEMA = 2
"""Of the journal. 1 is swath 0.1.0, which wrote none; `records.migrate` brings it here."""

R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """A frozen value with a spelling as a document. A key that it does not know is an error: nothing is lost unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    def document(self) -> Document:
        """As it is stored: plain data, without what is None."""
        return self.model_dump(mode="json", exclude_none=True)

    def as_json(self) -> Document:
        """As `--json` prints it: plain data, None included."""
        return self.model_dump(mode="json")

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return table(type(self).__name__, {name: getattr(self, name) for name in type(self).model_fields})

    def with_(self: R, **changes: Any) -> R:
        """The same value with other fields."""
        return self.model_copy(update=changes)


class Estimate(Record):
    """A figure with its 95 % interval; None where it cannot be said."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Blob(Record):
    """Bytes that are kept apart, in pieces: their SHA-256, length, and number of pieces."""

    sha256: str
    size: int
    pieces: int
