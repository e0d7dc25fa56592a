"""Which failures are worth a look: those that stand in the view `eval_vN_failures` and carry the tag `failure:vN`.

A young model fails somewhere in nearly every scene, and frames of a drive fail alike: a list of all of them ranks nothing.
So the worst two of each drive come first, then the rest of each, and the list ends once half of the evidence is in it. At
least three stand there, where there are three; at most a third of the scenes that were looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from swath.records.batch import Failure

FIRST: Final = 2  # of a drive, before any other of it
LEAST: Final = 3


def notable(failures: Sequence[Failure], drives: Mapping[str, str]) -> tuple[Failure, ...]:
    """The failures to look at, worst first. `drives`: key -> drive of every scene that was evaluated, those without errors too;
    a scene that is missing there, or has no drive (""), is a drive of its own."""
    ranked = sorted(failures, key=lambda one: (-one.evidence, one.key))
    seen: Counter[str] = Counter()
    turn: dict[str, int] = {}
    for one in ranked:
        drive = drives.get(one.key) or one.key
        turn[one.key] = seen[drive] // FIRST
        seen[drive] += 1
    half, most = sum(one.evidence for one in ranked) / 2, max(LEAST, len(drives) // 3)
    chosen: list[Failure] = []
    evidence = 0.0
    for one in sorted(ranked, key=lambda one: turn[one.key]):  # stable: worst first within a turn
        if len(chosen) >= most or (len(chosen) >= LEAST and evidence >= half):
            break
        chosen.append(one)
        evidence += one.evidence
    return tuple(sorted(chosen, key=lambda one: (-one.evidence, one.key)))
