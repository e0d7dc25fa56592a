"""What could not be used, and why: one `Damage` per file or line. A scan lists them and goes on."""

from __future__ import annotations

from dataclasses import dataclass

from swath.errors import FormatError


@dataclass(frozen=True)
class Damage:
    """One thing that could not be used: where (`line` is 1-based) and why.

    Both texts are printable: control characters and bytes that are no UTF-8 are written as escapes.
    """

    file: str
    line: int | None
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", printable(self.file))
        object.__setattr__(self, "reason", printable(self.reason))

    def __str__(self) -> str:
        return f"{self.file}: " + (f"line {self.line}: " if self.line else "") + self.reason


class DamageError(FormatError):
    """A file that can't be used at all; `damage` says where and why."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(str(damage))
        self.damage = damage


def printable(text: str) -> str:
    """`text` on one line, with escapes for what a terminal or a database could not take."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
