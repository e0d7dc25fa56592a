"""What the panel says of a loop, and of a work set: read from the journal, in the order in which it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId

from swath import life, opening
from swath.annotators import marks
from swath.loop import Loop
from swath.records.base import Estimate
from swath.records.batch import Batch, Failure, GoldenChecked
from swath.records.results import BatchResult, RoundStatus, Status
from swath.records.shown import Next
from swath.store.scenes import KEY
from swath.words import UNKNOWN, estimated, number, percent, printable, ranked

ROWS: Final = 100  # rows of a table that are shown
Row = dict[str, Any]


@dataclass(frozen=True)
class Mode:
    """A way in which the model fails: missed or false objects of one class, and the scenes that hold them, worst first."""

    what: str
    objects: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """A round in the learning curve. `scenes`: what its model learned from; `estimates`: modality -> mAP50."""

    round: str
    scenes: int
    estimates: dict[str, Estimate]


@dataclass(frozen=True)
class Shown:
    """All that the panel shows of a loop, read at one time. `stamp`: changes whenever the journal does."""

    stamp: str
    status: Status
    ways: tuple[str, ...]
    work_sets: tuple[str, ...]
    batch: BatchResult | None
    golden: tuple[GoldenChecked, ...]
    curve: tuple[Point, ...]
    failed: str | None
    failing: int
    looked_at: int
    failures: tuple[Failure, ...]
    modes: tuple[Mode, ...]
    notes: tuple[str, ...]

    @property
    def next(self) -> Next:
        return self.status.next


def stamp(loop: Loop) -> str:
    """Changes whenever the journal of a loop does."""
    journal = loop.workspace.journal
    batches = journal.batches.all()
    return " ".join([str(journal.loop().revision), *(f"{one.round}:{one.revision}" for one in batches)])


def gather(loop: Loop) -> Shown:
    """Reads it. The same journal gives the same."""
    now = stamp(loop)
    journal = loop.workspace.journal
    plan, rounds = loop.plan(), life.rounds(journal.batches.all())
    standing, evaluated = life.standing(rounds), life.evaluated(rounds)
    last = evaluated[-1] if evaluated else None
    record = last.steps.evaluate if last else None
    failures = journal.batches.failures(last) if last else ()
    return Shown(
        stamp=now,
        status=loop.status(),
        ways=loop.ways_on(plan),
        work_sets=tuple(opening.work_sets(loop.name)),
        batch=loop.batch(standing[-1].round) if standing else None,
        golden=tuple(one.steps.golden for one in reversed(rounds) if one.steps.golden is not None),
        curve=tuple(_point(one) for one in evaluated),
        failed=last.round if last else None,
        failing=record.failing if record else 0,
        looked_at=record.scenes if record else 0,
        failures=tuple(one for one in failures if one.notable),
        modes=modes(failures),
        notes=record.notes if record else (),
    )


def _point(batch: Batch) -> Point:
    record, trained = batch.steps.evaluate, batch.steps.train
    figures = record.figures if record else {}
    return Point(
        round=batch.round,
        scenes=trained.scenes if trained else 0,
        estimates={modality: one.map50 for modality, one in figures.items()},
    )


def modes(failures: Sequence[Failure]) -> tuple[Mode, ...]:
    """The ways in which a model fails, those with the most objects first; the scenes of each in the order of `failures`."""
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for one in failures:
        for kind, counted in (("missed", one.missed), ("false", one.false)):
            for label, n in counted.items():
                found.setdefault((kind, label), []).append((one.key, n))
    made = [
        Mode(f"{kind} {label}", sum(n for _, n in there), tuple(key for key, _ in there))
        for (kind, label), there in found.items()
    ]
    return tuple(sorted(made, key=lambda one: (-one.objects, one.what)))


def keys_of(loop: Loop, sample_ids: Sequence[str]) -> list[str]:
    """Keys of the scenes that samples belong to, each once, in order; ids that are of no scene are passed over."""
    ids = [ObjectId(one) for one in sample_ids if ObjectId.is_valid(one)]
    found = loop.workspace.scenes.samples.find({"_id": {"$in": ids}}, {KEY: 1})
    key_of = {doc["_id"]: str(doc.get(KEY) or "") for doc in found}
    return list(dict.fromkeys(key_of[one] for one in ids if key_of.get(one)))


# ---------------------------------------------------------------------- as rows of tables


def round_rows(shown: Shown) -> list[Row]:
    return [_round_row(one) for one in shown.status.rounds]


def _round_row(one: RoundStatus) -> Row:
    return {
        "round": one.round,
        "state": one.state + (f", {one.decision}" if one.decision else ""),
        "batch": f"{one.annotated} of {one.batch.size}",
        "map50": number(one.map50),
        "golden": one.golden or UNKNOWN,
    }


def batch_rows(batch: BatchResult) -> list[Row]:
    return [
        {
            "key": one.choice.key,
            "stream": f"{one.choice.stream} {one.choice.rank}",
            "reason": printable(one.choice.reason),
        }
        for one in batch.scenes[:ROWS]
    ]


def failure_rows(failures: Sequence[Failure]) -> list[Row]:
    return [
        {
            "key": one.key,
            "missed": ranked(one.missed) if one.missed else UNKNOWN,
            "false": ranked(one.false) if one.false else UNKNOWN,
        }
        for one in failures[:ROWS]
    ]


def mode_rows(found: Sequence[Mode]) -> list[Row]:
    return [{"what": one.what, "objects": one.objects, "scenes": len(one.keys)} for one in found[:ROWS]]


def golden_rows(checked: GoldenChecked) -> list[Row]:
    """One per axis: errors of trials, the rate with its interval, what is accepted."""
    return [
        {
            "axis": axis,
            "errors": f"{one.errors} of {one.trials}",
            "rate": percent(one.rate),
            "interval": f"{percent(one.low)} to {percent(one.high)}",
            "accepted": percent(one.accepted),
        }
        for axis, one in checked.axes.items()
    ]


def last_figures(shown: Shown) -> str:
    """`mAP50 of v1: 0.310 (0.220 to 0.400) in 2D`."""
    if not shown.curve:
        return ""
    last = shown.curve[-1]
    told = [f"{estimated(one)} in {modality.upper()}" for modality, one in last.estimates.items()]
    return f"mAP50 of {last.round}: {', '.join(told)}"


# ---------------------------------------------------------------------- a work set


@dataclass(frozen=True)
class Labelling:
    """How far a work set is. `of`: the loop and batch that it was made for; `marked`: mark -> scenes; `waits`: group ids."""

    loop: str
    batch: str
    scenes: int
    marked: dict[str, int]
    drawn: int
    torn: int
    waits: tuple[str, ...]

    @property
    def done(self) -> int:
        return self.scenes - len(self.waits)


@dataclass(frozen=True)
class AtHand:
    """The scene that somebody looks at in a work set. `labels`: slice -> labels on it, of those that are to be labelled."""

    task: str
    group_id: str
    said: str | None
    waits: bool
    labels: dict[str, int]


def labelling(work_set: Any) -> Labelling | None:
    """How far a work set is; None of any other dataset."""
    of = marks.is_work_set(work_set)
    if of is None:
        return None
    there = marks.scenes(work_set)
    marked = {what: sum(one.said == what for one in there) for what in marks.MARKS}
    return Labelling(
        loop=of[0],
        batch=of[1],
        scenes=len(there),
        marked=marked,
        drawn=sum(one.said is None and not one.waits for one in there),
        torn=sum(one.torn for one in there),
        waits=tuple(one.group_id for one in there if one.waits),
    )


def at_hand(work_set: Any, sample_id: str | None) -> AtHand | None:
    """The scene of a sample (or group, or task); None where there is none."""
    for one in marks.scenes(work_set) if sample_id else ():
        if sample_id in one.names:
            labels = {part.name or "labels": len(part.labels) for part in one.asked}
            return AtHand(one.task, one.group_id, one.said, one.waits, labels)
    return None
