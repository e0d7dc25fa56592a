"""The leak audit: pairs of scenes in different splits that look most alike. Test scenes are named, never shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from swath.records.loop import Pair
from swath.report.known import Known

LISTED: Final = 20


@dataclass(frozen=True)
class Leaks:
    split: bool
    pairs: tuple[Pair, ...]


def data(known: Known) -> Leaks:
    done = known.loop.steps.split
    return Leaks(done is not None, done.closest[:LISTED] if done else ())
