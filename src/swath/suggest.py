"""What messages suggest: commands, spelled so that they run when copied (with the dataset, quoted as a shell wants them), and
names that were meant.

Words in capitals (FIELD, DIR, REASON) are for the reader to fill in.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable
from itertools import islice
from typing import Final

LOOKED_AT: Final = 20_000  # names that are compared: a slip is found at once or not at all

ADJUDICATE: Final = "reference --adjudicate"
BEGIN: Final = ("swath demo", "swath init NAME --kitti DIR", "swath init NAME --fiftyone NAME")


def command(step: str, dataset: str, *more: str) -> str:
    """`swath STEP MORE --dataset NAME`; a step of two words (`round close`) is two words."""
    return shlex.join(["swath", *step.split(), *more, "--dataset", dataset])


def init(dataset: str, *source: str) -> str:
    """`swath init NAME SOURCE`: it and `adopt` name their dataset otherwise."""
    return shlex.join(["swath", "init", dataset, *source])


def adopt(dataset: str) -> str:
    """`swath adopt NAME`: takes over what was run by hand."""
    return shlex.join(["swath", "adopt", dataset])


def labels_back(dataset: str, name: str) -> str:
    """How labels that are gone from the dataset come back, those of the round `name` and those of earlier ones."""
    again = command("fetch", dataset, "--theirs")
    anew = command("round reopen", dataset, name, "--reason", "REASON")
    return (
        f"until a model has learned from {name}, `{again}` brings its labels back and `{anew}` has it labelled again; those of "
        "earlier rounds come back from a backup, or are drawn again in FiftyOne"
    )


def ways_on(
    step: str | None, people: bool, dataset: str, last: str | None, left: bool = True
) -> tuple[str, ...]:
    """What to type next, given what is next (`life.Next`), the last round, and whether anything is `left` in the pool: one command, or
    several to choose from where people decide."""
    if step is None:
        end = command("evaluate", dataset, "--final")
        return (end, command("select", dataset, "--anyway")) if left else (end,)
    if people and step == "reference":
        people_label = ("--annotator", "files", "--folder", "DIR")
        return command(step, dataset, "--from", "FIELD"), command(step, dataset, *people_label)
    if step == ADJUDICATE:
        return command(step, dataset), command(step, dataset, "--ask")
    if people and step == "golden" and last is not None:
        because = (last, "--reason", "REASON")
        return (
            command(step, dataset, "--show"),
            command("report", dataset),
            command("round reopen", dataset, *because),
            command("round cancel", dataset, *because),
            command(step, dataset, "--override", "REASON"),
        )
    return (command("status" if people else step, dataset),)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that `name` is most likely a slip of, or None. Of very many, those that begin or end alike are looked
    at."""
    known = sorted(set(names))
    if len(known) > LOOKED_AT:
        known = list(
            islice((one for one in known if one[:3] == name[:3] or one[-3:] == name[-3:]), LOOKED_AT)
        )
    by_lower: dict[str, str] = {}
    for one in known:
        by_lower.setdefault(one.lower(), one)
    found = difflib.get_close_matches(name[:200].lower(), by_lower, 1, 0.6)
    return by_lower[found[0]] if found else None


def meant(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'drives'?)`, or nothing."""
    close = nearest(name, names)
    return f" (did you mean {close!r}?)" if close else ""
