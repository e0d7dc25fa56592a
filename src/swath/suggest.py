"""Commands in messages, spelled so that they run when copied: with the dataset, quoted as a shell wants them.

Words in capitals (FIELD, DIR, REASON) are for the reader to fill in.
"""

from __future__ import annotations

import shlex


def command(step: str, dataset: str, *more: str) -> str:
    """`swath STEP MORE --dataset NAME`; a step of two words (`round close`) is two words."""
    return shlex.join(["swath", *step.split(), *more, "--dataset", dataset])


def init(dataset: str, *source: str) -> str:
    """`swath init NAME SOURCE`: the one command that names its dataset otherwise."""
    return shlex.join(["swath", "init", dataset, *source])


def ways_on(step: str | None, people: bool, dataset: str, last: str | None) -> tuple[str, ...]:
    """What to type next, given what is next (`life.Next`) and the last round: one command, or several to choose from where
    people decide."""
    if step is None:
        return command("evaluate", dataset, "--final"), command("select", dataset, "--anyway")
    if people and step == "reference":
        people_label = ("--annotator", "files", "--folder", "DIR")
        return command(step, dataset, "--from", "FIELD"), command(step, dataset, *people_label)
    if people and step == "golden" and last is not None:
        because = (last, "--reason", "REASON")
        return (
            command("report", dataset),
            command("round reopen", dataset, *because),
            command("round cancel", dataset, *because),
            command(step, dataset, "--override", "REASON"),
        )
    return (command("status" if people else step, dataset),)
