"""What a failure asks for: the kind of object that it missed most."""

from __future__ import annotations

from collections.abc import Iterable

from swath.records.batch import Evaluated, Failure


def failing_kinds(record: Evaluated, failures: Iterable[Failure]) -> dict[str, str]:
    """Failure -> the class that it missed most of, where it missed anything: measured against how many of that class val has.
    Three missed of 23 pedestrians say more than three of 104 cars."""
    there = {name: one.references for name, one in record.main.classes.items()}
    return {
        one.key: min(one.missed, key=lambda name: (-one.missed[name] / there[name], name))
        for one in failures
        if one.missed
    }
