"""Screens of the whole loop and of one scene, and what commands say after steps."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from swath.errors import some
from swath.life import ENDED
from swath.records.assignment import Assignment
from swath.records.base import Record
from swath.records.batch import Left
from swath.records.results import (
    ExplainedRound,
    ExplainResult,
    PluginResult,
    RepairResult,
    ReplayResult,
    RoundStatus,
    SendResult,
    Standing,
    Status,
    Where,
)
from swath.records.shown import Next
from swath.show.batches import work
from swath.show.given import Did, Finished, Ran, Reported, result
from swath.show.lines import (
    FEW,
    INTO,
    MANY,
    cell,
    first,
    line,
    marked,
    note,
    notes,
    quarantine,
    table,
    verdict,
)
from swath.show.verdicts import wrong
from swath.suggest import BEGIN, command, init, ways_on
from swath.words import compared, counts, number, spread


def step(plan: Next, came: Record) -> None:
    """What `swath next` and `swath run` say after a step."""
    marked(f"[bold]{plan.step}[/bold]  [dim]{cell(plan.why)}[/dim]")
    if isinstance(came, SendResult):
        work(came)  # what is next comes by itself, or is said where it ends
    else:
        result(came)


@result.register
def did(value: Did) -> None:
    step(value.plan, value.came)


@result.register
def finished(value: Finished) -> None:
    line(f"nothing is next: {value.why}")
    for way in value.ways:
        line(f"    `{way}`")


@result.register
def ran(value: Ran) -> None:
    if not value.steps and value.waits is None and value.status.next.step is not None:
        closed = sum(one.state == "closed" for one in value.status.rounds)
        more = command("run", value.status.dataset, "--rounds", str(closed + 1))
        last = value.status.rounds[-1]
        on = "for one more" if last.state in ENDED else f"to go on with {last.round}, which is {last.state}"
        note(f"nothing to do: {closed} rounds are closed already; {on}: `{more}`")
    result(value.status)


def told(value: Record) -> str:
    """What `result` prints of `value`, as text."""
    into = io.StringIO()
    before = INTO.set(into)
    try:
        result(value)
    finally:
        INTO.reset(before)
    return into.getvalue()


@result.register
def plugin(value: PluginResult) -> None:
    line(f"plugin: {value.done}; {value.place}")
    if value.done in ("installed", "updated"):
        line("  start the App again, if it runs; the panel is under + beside the grid: swath")


@result.register
def reported(value: Reported) -> None:
    line(f"report: {value.report}")


@result.register
def status(value: Status) -> None:
    line(f"{value.dataset}: {value.scenes} scenes; slices: {counts(value.slices)}")
    if value.splits:
        aside = f"; {value.set_aside} set aside" if value.set_aside else ""
        line(f"  splits: {counts(value.splits)}{aside}")
        pool = value.pool
        total = max(pool.total, 1)
        done, out = round(BAR * pool.annotated / total), round(BAR * pool.selected / total)
        bar = "█" * done + "▒" * out + "░" * (BAR - done - out)
        line(
            f"  pool: {bar} {pool.annotated} annotated, {pool.selected} selected, {pool.unlabeled} unlabeled of {pool.total}"
        )
    if (earlier := len(value.rounds) - ROUNDS) > 0:
        line(f"  ... and {earlier} earlier rounds: --json lists all")
    if value.rounds:
        words = ("round", "state", "labelled", "targeted", "mAP (95 %)", "mAP50 (95 %)", "golden")
        sides = ("left", "whole", "right", "right", "whole", "whole", "left")
        table(dict(zip(words, sides, strict=True)), map(_round_row, value.rounds[-ROUNDS:]))
    for one in value.rounds[-1:]:
        if one.trainings is not None:
            line(f"  {one.round}: {spread(one.trainings)}")
        if one.gain is not None:
            line(f"  {compared(one.round, one.gain)}")
    if value.held_by:
        line(f"  held by {value.held_by}")
    last = value.rounds[-1].round if value.rounds else None
    left = value.pool.unlabeled > 0
    _next(value.next, ways_on(value.next.step, value.next.people, value.dataset, last, left))


def _next(plan: Next, ways: Iterable[str]) -> None:
    """What is next and why, and what to type."""
    line(f"  next: {plan.step or 'nothing'}: {plan.why}")
    for way in ways:
        line(f"    `{way}`")


@result.register
def standing(value: Standing) -> None:
    line(
        f"{value.dataset}: {value.round} is {value.state}"
        if value.round
        else f"{value.dataset}: no round yet"
    )
    _next(value.next, value.ways)


@result.register
def where(value: Where) -> None:
    for one in value.loops:
        standing(one)
    if value.others:
        line(f"... and {len(value.others)} more loops: {some(value.others)}")
    if not value.loops:
        line("there is no loop yet; begin one:")
        for way in BEGIN:
            line(f"    `{way}`")
    line("all commands: swath --help")


def _round_row(one: RoundStatus) -> tuple[str, ...]:
    state = verdict(one.state)
    return (
        cell(one.round),
        f"{state}: {verdict('stop')}" if one.decision == "stop" else state,
        f"{one.annotated}/{one.batch.size}",
        str(one.batch.targeted),
        _with_range(one.map, one.map_range),
        _with_range(one.map50, one.map50_range),
        verdict(one.golden),
    )


def _with_range(value: float | None, ends: tuple[float, float] | None) -> str:
    """`0.310 (.22-.40)`."""
    if value is None or ends is None:
        return number(value)
    low, high = (number(end, 2).removeprefix("0") for end in ends)
    return f"{number(value)} ({low}-{high})"


DRIVE: Final = re.compile(r"^drive\W*_*", re.IGNORECASE)
BAR: Final = 16  # columns of the bar of the pool
ROUNDS: Final = 7  # of a status that fits a screen, each on two lines at most
DRAWN: Final = (
    "they are kept, and count once the annotator has answered the scene, with an empty answer as they are"
)


@result.register
def explained(value: ExplainResult) -> None:
    drive = DRIVE.sub("", value.sequence) or value.sequence
    line(f"{value.scene}: split {value.split}, {value.status}{f', drive {drive}' if drive else ''}")
    line(f"  FiftyOne id {value.id}; tags: {', '.join(value.tags) or 'none'}")
    for channel, path in value.media.items():
        line(f"  {channel}: {path}")
    if value.no_vector:
        note(f"no usable vector, so that it cannot be chosen: {value.no_vector}")
    if (earlier := len(value.rounds) - FEW) > 0:
        line(f"  ... and {earlier} earlier rounds: --json lists all")
    for one in value.rounds[-FEW:]:
        _explained_round(value.scene, one)
    notes(value.notes)
    for channel, labels in value.drawn.items():
        note(f"{channel}: {labels} labels drawn by hand; {DRAWN}")
    failed = [f"failure of {one.round}: {wrong(one.failure)}" for one in value.failures]
    first(failed, FEW, "  ")
    found = [
        f"check of {one.round}: {one.finding.severity} {one.finding.modality} {one.finding.rule}: {one.finding.evidence}"
        for one in value.findings
    ]
    first(found, FEW, "  ")


def _explained_round(scene: str, one: ExplainedRound) -> None:
    roles = {row.role for row in one.answers}
    why = "sent blind, as a golden scene" if "golden" in roles else "sent to be labelled as a reference"
    if one.chosen is not None and one.chosen.reason is not None:
        why = f"{one.chosen.stream} {one.chosen.rank}: {one.chosen.reason}"
    line(f"  {one.round} ({one.state}): {why}")
    if one.ratio is not None:
        line(f"    {one.ratio.reason}", hang=2)
    by_channel: dict[str, list[Assignment]] = {}
    for row in one.answers:
        by_channel.setdefault(row.channel, []).append(row)
    for channel, rows in by_channel.items():
        modality = one.modality_of.get(channel, "")
        line(f"    {channel} ({modality}) {_answers(sorted(rows, key=lambda row: row.slot))}", hang=2)
        for row in rows:
            quarantine([Left.of(scene, modality, channel, bad) for bad in row.rejected])


def _answers(rows: Sequence[Assignment]) -> str:
    """What came of one channel of a scene; of several opinions, that their consensus is what counts."""
    told = [f"by {row.annotator or 'nobody yet'}: {row.state}{_labels(row)}" for row in rows]
    if len(told) == 1:
        return told[0]
    same = {(row.annotator, row.state) for row in rows}
    if len(same) == 1 and rows[0].count is not None:
        listed = f"by {rows[0].annotator}: {', '.join(str(row.count) for row in rows)} labels"
    else:
        listed = "; ".join(f"{nth} {one}" for nth, one in enumerate(told, 1))
    return f"{len(told)} opinions {listed}; their consensus is what counts"


def _labels(row: Assignment) -> str:
    if row.count is None:
        return ""
    return f", {row.count} label{'' if row.count == 1 else 's'}"


@result.register
def replayed(value: ReplayResult) -> None:
    if value.equal:
        line(f"{value.round}: chosen again, byte for byte the same")
        return
    line(f"{value.round}: chosen again, and it is not the same")
    for one in value.differs:
        line(f"  {one}")
    if value.added or value.removed:
        line(f"  {len(value.added)} scenes came in ({some(value.added)}), {len(value.removed)} fell out")


@result.register
def repaired(value: RepairResult) -> None:
    verb = "differ" if value.checked_only else "differed and are put right"
    line(
        f"{len(value.differences)} places {verb}"
        if value.differences
        else "everything is as the journal says"
    )
    lines = []
    for one in value.differences:
        where = f"{one.scene} ({one.slice})" if one.slice else one.scene
        lines.append(
            f"{where} {one.what}: expected {one.expected or 'nothing'}; found {one.found or 'nothing'}"
        )
    first(lines, MANY, indent="  ")
    for keys, what in (
        (
            value.strangers,
            f"scenes are not in the journal; `{init(value.dataset, '--fiftyone', value.dataset)}` takes them in",
        ),
        (value.gone, "scenes of the journal are not in the dataset any more"),
        (value.edited, "scenes have labels that are not the ones that were fetched (edited by hand?)"),
        (value.drawn, f"scenes that wait have labels drawn by hand; {DRAWN}"),
    ):
        if keys:
            note(f"{len(keys)} {what}: {some(keys)}")
