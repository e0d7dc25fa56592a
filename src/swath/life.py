"""A batch's life: which step moves it from where to where, who is waited for, and what is next. Pure: records in, words out.

    planned -> committed -> annotating -> labeled -> checked -> trained -> evaluated -> closed        (or cancelled)

A reference batch is closed as soon as its labels are there. Everything that asks "may this step be done now?" asks here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from swath.errors import StateError, WaitingError
from swath.records.batch import FINAL_REFERENCE, REFERENCE, Batch, State
from swath.records.loop import LoopRecord
from swath.records.shown import Next
from swath.suggest import ADJUDICATE, command

STEPS: Final = (
    "split",
    "embed",
    "reference",
    "select",
    "send",
    "fetch",
    "check",
    "golden",
    "train",
    "evaluate",
    "stop",
)


class Move(NamedTuple):
    """What a step does to a batch: from one of `before` to `after` (a reference batch: to `reference`)."""

    step: str
    before: tuple[State, ...]
    after: State
    reference: State | None = None


MOVES: Final = {
    move.step: move
    for move in (
        Move("commit", ("planned",), "committed"),
        Move("send", ("committed",), "annotating"),
        Move("send more", ("annotating",), "annotating"),
        Move("import", ("committed",), "closed"),
        Move("fetch", ("annotating",), "labeled", "closed"),
        Move("fetch again", ("labeled", "checked"), "labeled"),
        Move("check", ("labeled",), "labeled"),
        Move("golden", ("labeled",), "checked"),
        Move("golden blocks", ("labeled",), "labeled"),
        Move("train", ("checked",), "trained"),
        Move("evaluate", ("trained",), "evaluated"),
        Move("stop", ("evaluated",), "closed"),
        Move("cancel", ("planned", "committed", "annotating", "labeled", "checked"), "cancelled"),
        Move("adjudicate", ("closed",), "closed"),  # a reference of two labellings
        Move("take back", ("closed",), "cancelled"),  # a reference that nothing was compared with yet
        Move("close", ("annotating",), "labeled", "closed"),
        Move("reopen", ("labeled", "checked"), "annotating"),
        Move("adopt", ("planned",), "closed"),
        Move("adopt open", ("planned",), "committed"),
    )
}

NAME: Final = "NAME"
"""Stands for the dataset in a message, where nobody says which it is."""

OPEN: Final[tuple[State, ...]] = ("planned", "committed", "annotating")
"""Its scenes are with annotators, or about to be."""
FETCHED: Final[tuple[State, ...]] = MOVES["fetch"].before + MOVES["fetch again"].before
"""Its labels may come in."""
ENDED: Final[tuple[State, ...]] = ("closed", "cancelled")


def after(step: str, batch: Batch) -> State:
    """The state that `step` brings a batch to."""
    move = MOVES[step]
    return move.after if batch.is_round or move.reference is None else move.reference


# ---------------------------------------------------------------------- which batch


def rounds(batches: Iterable[Batch]) -> list[Batch]:
    """The rounds, cancelled ones included, in order."""
    return [batch for batch in batches if batch.is_round]


def standing(batches: Iterable[Batch]) -> list[Batch]:
    """The rounds that were not cancelled, in order."""
    return [batch for batch in rounds(batches) if not batch.cancelled]


def evaluated(batches: Iterable[Batch]) -> list[Batch]:
    """The rounds that were evaluated and not cancelled, in order."""
    return [batch for batch in standing(batches) if batch.steps.evaluate is not None]


def next_number(batches: Iterable[Batch]) -> int:
    """The number of the next round; cancelled rounds keep theirs."""
    return max((batch.number for batch in rounds(batches) if batch.number is not None), default=-1) + 1


def latest(batches: Iterable[Batch], *steps: str, dataset: str = NAME) -> Batch:
    """The last round, where one of `steps` may be done on it; else an error that says where it stands."""
    states = tuple(state for step in steps for state in MOVES[step].before)
    there = standing(batches)
    if not there:
        raise StateError(f"there is no round yet; `{command('next', dataset)}` says what is next")
    last = there[-1]
    if last.state not in states:
        held = last.state == "labeled" and last.steps.golden is not None
        raise (WaitingError if held else StateError)(
            f"{last.round} is {last.state}{', its golden check blocks' if held else ''}; "
            f"this step needs it to be {' or '.join(dict.fromkeys(states))}; `{command('next', dataset)}` says what is next"
            f"{_said(last, steps[0], dataset)}"
        )
    return last


def _said(last: Batch, step: str, dataset: str) -> str:
    """How to see again what a step that decides said of this round, where it did."""
    again = {
        "golden": (last.steps.golden, command("golden", dataset, "--show")),
        "evaluate": (last.steps.evaluate, command("evaluate", dataset, "--show")),
        "stop": (last.steps.stop, command("stop", dataset, "--show")),
    }
    recorded, how = again.get(step, (None, ""))
    return "" if recorded is None else f", `{how}` what it said"


def open_batch(batches: Iterable[Batch], dataset: str = NAME) -> Batch:
    """The batch that is with annotators, or waits to be sent; `StateError` when there is none."""
    for batch in batches:
        if batch.state in MOVES["send"].before + MOVES["fetch"].before:
            return batch
    raise StateError(
        f"no batch is open; choose one first: `{command('select', dataset)}`, or `{command('next', dataset)}` says what is next"
    )


def to_fetch(batches: Sequence[Batch], dataset: str = NAME) -> Batch:
    """The batch whose labels may come in: the open one, or the last round, as long as no model has learned from it."""
    there = standing(batches)
    if not any(batch.state in OPEN for batch in batches) and there:
        last = there[-1]
        if last.state in MOVES["fetch again"].before and last.steps.send:
            return last
    return open_batch(batches, dataset)


def references(batches: Iterable[Batch], *, final: bool = False) -> list[Batch]:
    """The reference batches of val and golden (of test, with `final`), in order; all but the last were cancelled."""
    name = FINAL_REFERENCE if final else REFERENCE
    return [batch for batch in batches if not batch.is_round and batch.round.partition(".")[0] == name]


def reference_done(batches: Iterable[Batch], *, final: bool = False) -> bool:
    """Whether the reference of val and golden (of test, with `final`) is there."""
    return any(batch.state == "closed" for batch in references(batches, final=final))


def compared(batches: Iterable[Batch], *, final: bool = False) -> str | None:
    """The first round that something was compared with the reference in (golden check, evaluation), None before there is one. The
    reference of test is compared with in the final evaluation alone, which no round knows of."""
    used = (one.round for one in standing(batches) if not final and (one.steps.golden or one.steps.evaluate))
    return next(used, None)


def may_select(batches: Sequence[Batch], *, anyway: bool = False, dataset: str = NAME) -> Batch | None:
    """The round whose failures the next one answers (None: the next is the first); `WaitingError` while one is open, or
    after a decision to stop that `anyway` does not pass over."""
    there = standing(batches)
    if not there:
        return None
    last = there[-1]
    if last.state != "closed":
        raise WaitingError(
            f"{last.round} is {last.state}: finish or cancel it before the next batch; see `{command('next', dataset)}`"
        )
    if last.steps.stop is not None and last.steps.stop.decision == "stop" and not anyway:
        raise WaitingError(
            f"{last.round} ended with the decision to stop ({last.steps.stop.why}); "
            f"to go on all the same: `{command('select', dataset, '--anyway')}`"
        )
    return last


# ---------------------------------------------------------------------- what is next


@dataclass(frozen=True)
class Situation:
    """What `plan` looks at besides the records. `waiting`: scenes of the open batch that nobody has looked at; `holder`: who
    holds the dataset; `encoder`: the configured one; `annotator`: whether somebody is there to label."""

    waiting: int = 0
    holder: str | None = None
    encoder: str = "descriptor"
    annotator: bool = False


def plan(loop: LoopRecord, batches: Sequence[Batch], at: Situation, dataset: str) -> Next:
    """The next step and why."""
    if loop.membership is None:
        return Next("split", "the scenes are not split into test, val, golden and pool yet")
    embedded = loop.steps.embed
    if embedded is None:
        return Next("embed", "pool, val and golden have no embeddings yet")
    if embedded.encoder != at.encoder:
        return Next("embed", f"the encoder is {at.encoder!r} now, it was {embedded.encoder!r}")
    if embedded.membership_sha256 != loop.membership.sha256:
        return Next("embed", "scenes came in after the last embedding")
    for batch in batches:
        if batch.state in OPEN:
            return _open(batch, at)
    if not reference_done(batches):
        take = command("reference", dataset, "--from", "FIELD")
        how = "" if at.annotator else f"; import it with `{take}`, or give an annotator"
        return Next("reference", f"val and golden have no reference labels yet{how}", not at.annotator)
    there = standing(batches)
    if not there and any(_undecided(batch) for batch in references(batches)):
        why = "the two labellings of the reference differ, or may: decide what counts where they do"
        return Next(ADJUDICATE, why, True)
    if not there:
        return Next("select", f"nothing is chosen yet: v{next_number(batches)}, for coverage")
    return _after(there[-1])


def _undecided(batch: Batch) -> bool:
    """Whether a reference was to be decided where its two labellings differ, and is not yet."""
    made = batch.steps.fetch.made if batch.steps.fetch else None
    return batch.state == "closed" and batch.slots == 2 and made == "adjudicated" and not batch.decided


def shortly(reasons: Sequence[str]) -> str:
    """The first of `reasons`, and how many more there are."""
    more = f" (and {len(reasons) - 1} more reasons)" if len(reasons) > 1 else ""
    return (reasons[0] if reasons else "no reason is on record") + more


def _open(batch: Batch, at: Situation) -> Next:
    if batch.state == "planned":
        by = at.holder or "a process that ended; the next step that writes finishes it"
        return Next("select", f"{batch.round} is being committed by {by}", at.holder is not None)
    if batch.state == "committed":
        return Next("send", f"{batch.size.size} scenes of {batch.round} wait to be sent to annotators")
    if batch.unsent:
        return Next("send", f"{batch.round} was reopened: it waits to be sent to its annotators again")
    if not at.waiting:
        return Next(
            "fetch",
            f"all scenes of {batch.round} have an answer: take in what changed, or decide whose edits hold",
        )
    return Next("fetch", f"{at.waiting} scenes of {batch.round} wait for labels")


def _after(batch: Batch) -> Next:
    name, state, steps = batch.round, batch.state, batch.steps
    if state == "labeled":
        if steps.check is None:
            return Next("check", f"the labels of {name} came and are not checked yet")
        if steps.golden is not None and steps.golden.holds:
            why = f"the golden check of {name} blocks: {shortly(steps.golden.reasons)}"
            return Next("golden", why, True)
        return Next("golden", f"the blind labels of {name} are not compared with the reference yet")
    if state == "checked":
        verdict: str = steps.golden.verdict if steps.golden else "none"
        if steps.golden is not None and steps.golden.override is not None:
            verdict += f", passed over ({steps.golden.override})"
        return Next("train", f"{name} is labelled and checked; golden check: {verdict}")
    if state == "trained":
        return Next("evaluate", f"the model of {name} was not evaluated yet")
    if state == "evaluated":
        return Next("stop", f"{name} is evaluated: go on, or stop?")
    if steps.stop is not None and steps.stop.decision == "stop":
        return Next(None, f"{name} ended with the decision to stop: {steps.stop.why}")
    return Next("select", f"{name} is closed ({steps.stop.why if steps.stop else 'no decision'})")
