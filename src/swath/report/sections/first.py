"""The first screen: five questions that whoever leads the labelling asks, each with a short answer and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from swath import life
from swath.records.base import Estimate
from swath.records.batch import GoldenChecked
from swath.records.results import Pool
from swath.report.changes import last_change
from swath.report.known import Known
from swath.report.sections.golden import axes_of
from swath.report.sections.notes import quarantine
from swath.suggest import command, ways_on
from swath.words import interval, number, percent, spread, trainings

Tone = Literal["good", "calm", "warn", "bad", "none"]
TOLD: Final[dict[str, tuple[str, Tone]]] = {
    "better": ("Better than", "good"),
    "worse": ("Worse than", "bad"),
    "not told apart": ("Not told apart from", "warn"),
}


@dataclass(frozen=True)
class Answer:
    """One question. `short`: the answer in a few words; `lines`: what it rests on; `commands`: what to type; `more`: the section
    that says it in full."""

    question: str
    short: str
    tone: Tone
    lines: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    more: str = ""


@dataclass(frozen=True)
class First:
    """`scenes`, `slices`, `splits`: what the dataset has; `date`: on which the page was written."""

    dataset: str
    date: str
    scenes: int
    slices: dict[str, int]
    splits: dict[str, int]
    set_aside: int
    pool: Pool
    where: Answer
    answers: tuple[Answer, ...]


def data(known: Known) -> First:
    status = known.status
    return First(
        dataset=known.workspace.name,
        date=f"{known.today.day} {known.today:%B %Y}",
        scenes=status.scenes,
        slices=status.slices,
        splits=status.splits,
        set_aside=status.set_aside,
        pool=status.pool,
        where=_where(known),
        answers=(_better(known), _honest(known), _next(known), _people(known)),
    )


def _where(known: Known) -> Answer:
    question, pool, there = "Where are we?", known.status.pool, known.standing
    if not known.status.splits:
        return Answer(question, "At the beginning", "none", ("The scenes are not split yet.",))
    share = f" ({percent(pool.annotated / pool.total, 0)})" if pool.total else ""
    short = f"{pool.annotated} of {pool.total} pool scenes labelled{share}"
    if not there:
        return Answer(question, short, "none", ("There is no round yet.",), more="rounds")
    last, count = there[-1], len(known.rounds)
    rounds = f"{count} round{'s' if count > 1 else ''} so far"
    return Answer(question, short, "calm", (f"{last.round} is {last.state}; {rounds}.",), more="rounds")


# ---------------------------------------------------------------------- is it getting better


def _better(known: Known) -> Answer:
    question, record = "Is it getting better?", known.record
    if record is None:
        return Answer(question, "Not known yet", "none", ("No model was evaluated yet.",), more="scores")
    on = f"Val is {record.scenes} scenes of {_plural(known.drives_of_val, 'drive')}."
    now = f"{record.round}: mAP50 {_estimate(record.main.map50)}"
    change = last_change(known)
    if change is None:
        return Answer(
            question,
            "One evaluation so far",
            "none",
            (f"{now}.", f"{on} A second round will tell."),
            (),
            "scores",
        )
    lines = [f"{now}; {change.before}: {_estimate(change.was)}."]
    if record.main.trainings is not None:
        lines.append(f"{spread(record.main.trainings)}.")
    if change.gain is not None:
        lines.append(
            f"On the same {_plural(change.gain.scenes, 'scene')} of {_plural(change.gain.drives, 'drive')}{trainings(change.gain)}, paired: mAP "
            f"{_gained(change.gain.map)}."
        )
    if change.largest is not None:
        name, count, was, is_ = change.largest
        lines.append(
            f"{name} ({count} objects in val): AP50 {number(was.value, 2)}, now {number(is_.value, 2)}."
        )
    short, tone = TOLD[change.told]
    if change.told == "not told apart":
        why = "The intervals overlap." if change.overlap else "There are no intervals to go by."
        if change.gain is not None:
            why = "The paired difference could be nothing."
        on = f"{why} {on}"
    return Answer(question, f"{short} {change.before}", tone, (*lines, on), (), "scores")


# ---------------------------------------------------------------------- are the labels honest


def _honest(known: Known) -> Answer:
    question = "Are the labels honest?"
    done = [one.steps.golden for one in known.rounds if one.steps.golden is not None]
    if not done:
        return Answer(
            question, "Not known yet", "none", ("No blind labels were compared yet.",), more="golden"
        )
    check = done[-1]
    short, tone = _verdict(check)
    lines = [f"Overridden: {check.override}"] if check.override else []
    if check.verdict in ("block", "warn"):
        lines += [f"{one}." for one in check.reasons[:2]]
    power = _power(check)
    where = f"{check.round}, {_plural(check.scenes, 'golden scene')}"
    lines.append(f"{where}: {power}" if power else f"{where} compared.")
    return Answer(question, short, tone, tuple(lines), (), "golden")


def _verdict(check: GoldenChecked) -> tuple[str, Tone]:
    """The verdict, no stronger than the check is."""
    if check.verdict == "pass":
        blind = any(one.detectable is None or one.detectable > 2 * one.accepted for one in axes_of(check))
        return ("Pass, as far as it can see", "calm") if blind else ("Pass", "good")
    if check.verdict == "block":
        return ("Blocked, overridden" if check.override else "Blocked"), "bad"
    return check.verdict.capitalize(), "warn"


def _power(check: GoldenChecked) -> str:
    """What the check would have noticed, against what is accepted."""
    axes = axes_of(check)
    seen = [one.detectable for one in axes if one.detectable is not None]
    if not seen:
        return ""
    objects = [one.trials for one in axes]
    accepted = [one.accepted for one in axes]
    count = f"{min(objects)} to {max(objects)}" if min(objects) < max(objects) else f"{objects[0]}"
    return (
        f"with {count} objects per kind of error it would notice {_range(seen)} wrong; "
        f"accepted are {_range(accepted)}."
    )


def _range(rates: list[float]) -> str:
    """`15 to 22 %`."""
    low, high = round(100 * min(rates)), round(100 * max(rates))
    return f"{low} to {high} %" if low < high else f"{low} %"


# ---------------------------------------------------------------------- what is next, who is needed


def _next(known: Known) -> Answer:
    question, plan = "What is next, and why?", known.status.next
    ways = ways_on(
        plan.step, plan.people, known.workspace.name, known.rounds[-1].round if known.rounds else None
    )
    decided = next((one.steps.stop for one in reversed(known.standing) if one.steps.stop), None)
    lines = [f"{plan.why}."]
    if decided is not None and decided.why not in plan.why:
        lines.append(f"Decision after {decided.round}: {decided.decision} ({decided.why}).")
    if plan.step is None:
        return Answer(question, "Stop, says the loop", "calm", tuple(lines), ways, "rounds")
    short = f"Next: {plan.step}" + (" (waits for people)" if plan.people else "")
    return Answer(question, short, "warn" if plan.people else "calm", tuple(lines), ways, "rounds")


def _people(known: Known) -> Answer:
    question, name = "What needs a person?", known.workspace.name
    lines = [*_waits(known), *_to_look_at(known)]
    if not lines:
        return Answer(question, "Nothing now", "good", ("No labels, decisions or files wait for anybody.",))
    ways = (command("status", name),) if known.status.next.people else ()
    return Answer(question, _plural(len(lines), "thing"), "warn", tuple(lines), ways, "notes")


def _waits(known: Known) -> list[str]:
    """What holds the loop up."""
    lines = []
    opened = next((one for one in known.rounds if one.state in life.OPEN), None)
    if opened is not None and opened.state == "annotating":
        waiting = known.workspace.journal.assignments.waiting(opened.round)
        if waiting:
            lines.append(f"{_plural(waiting, 'scene')} of {opened.round} wait for labels.")
    last = known.standing[-1] if known.standing else None
    if last is not None and last.steps.golden is not None and last.steps.golden.holds:
        lines.append(f"The golden check of {last.round} blocks: reopen, cancel or override it.")
    elif known.status.next.people and not lines:
        lines.append(f"{known.status.next.why}.")
    return lines


def _to_look_at(known: Known) -> list[str]:
    """What holds nothing up, and should be seen."""
    lines = []
    left_out = quarantine(known.workspace).count
    if left_out:
        lines.append(f"{_plural(left_out, 'label')} in quarantine: they could not be used.")
    checked = next((one.steps.check for one in reversed(known.standing) if one.steps.check), None)
    if checked is not None and checked.errors:
        lines.append(
            f"{_plural(checked.errors, 'label')} of {checked.round} cannot be right, say the checks "
            f"({_plural(checked.scenes, 'scene')} checked)."
        )
    embedded = known.loop.steps.embed
    if embedded is not None and embedded.problem_count:
        lines.append(f"{_plural(embedded.problem_count, 'scene')} without a usable embedding.")
    begun = known.loop.steps.init
    if begun is not None and begun.damage_count:
        lines.append(f"{_plural(begun.damage_count, 'file or line')} could not be used at import.")
    return lines


def _plural(count: int, what: str) -> str:
    """`1 drive`, `4 drives`, `2 files or lines`."""
    several = " or ".join(f"{one}s" for one in what.split(" or "))
    return f"{count} {what if count == 1 else several}"


def _gained(one: Estimate) -> str:
    """`+0.021 (-0.010 to +0.052)`."""
    ends = "" if one.low is None or one.high is None else f" ({one.low:+.3f} to {one.high:+.3f})"
    return "unknown" if one.value is None else f"{one.value:+.3f}{ends}"


def _estimate(one: Estimate) -> str:
    """`0.21 (0.03 – 0.32)`."""
    inside = interval(one)
    return f"{number(one.value, 2)} ({inside})" if inside else number(one.value, 2)
