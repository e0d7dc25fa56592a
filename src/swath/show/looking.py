"""Screens of the whole loop and of one scene, and what commands say after steps."""

from __future__ import annotations

from typing import Final

from swath.errors import some
from swath.records.base import Record
from swath.records.batch import Left
from swath.records.results import (
    ExplainedRound,
    ExplainResult,
    RepairResult,
    ReplayResult,
    RoundStatus,
    SendResult,
    Status,
)
from swath.records.shown import Next
from swath.show.batches import work
from swath.show.given import Did, Finished, Ran, Reported, result
from swath.show.lines import MANY, cell, first, line, marked, note, quarantine, table, verdict
from swath.show.verdicts import wrong
from swath.suggest import command, init, ways_on
from swath.words import counts, number


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
        note(f"nothing to do: {closed} rounds are closed already; for one more: `{more}`")
    result(value.status)


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
        done, out = round(30 * pool.annotated / total), round(30 * pool.selected / total)
        bar = "█" * done + "▒" * out + "░" * (30 - done - out)
        line(
            f"  pool: {bar} {pool.annotated} annotated, {pool.selected} selected, {pool.unlabeled} unlabeled of {pool.total}"
        )
    if value.rounds:
        words = ("round", "state", "golden", "decision")
        figures = ("batch", "coverage", "targeted", "annotated", "mAP", "mAP50")
        order = (*words[:2], *figures, *words[2:])
        table({name: "right" if name in figures else "left" for name in order}, map(_round_row, value.rounds))
    if value.held_by:
        line(f"  held by {value.held_by}")
    line(f"  next: {value.next.step or 'nothing'}: {value.next.why}")
    for way in ways_on(
        value.next.step,
        value.next.people,
        value.dataset,
        value.rounds[-1].round if value.rounds else None,
    ):
        line(f"    `{way}`")


def _round_row(one: RoundStatus) -> tuple[str, ...]:
    size = one.batch
    return (
        one.round,
        verdict(one.state),
        f"{size.size}/{size.budget}",
        str(size.coverage),
        str(size.targeted),
        str(one.annotated),
        number(one.map),
        number(one.map50),
        verdict(one.golden),
        cell(one.decision),
    )


DRAWN: Final = (
    "they are kept, and count once the annotator has answered the scene, with an empty answer as they are"
)


@result.register
def explained(value: ExplainResult) -> None:
    drive = f", {value.sequence}" if value.sequence.startswith("drive") else f", drive {value.sequence}"
    line(f"{value.scene}: split {value.split}, {value.status}{drive if value.sequence else ''}")
    line(f"  FiftyOne id {value.id}; tags: {', '.join(value.tags) or 'none'}")
    for channel, path in value.media.items():
        line(f"  {channel}: {path}")
    for one in value.rounds:
        _explained_round(value.scene, one)
    for channel, labels in value.drawn.items():
        note(f"{channel}: {labels} labels drawn by hand; {DRAWN}")
    for failed in value.failures:
        line(f"  failure of {failed.round}: {wrong(failed.failure)}")
    for found in value.findings:
        one_finding = found.finding
        line(
            f"  check of {found.round}: {one_finding.severity} {one_finding.modality} {one_finding.rule}: "
            f"{one_finding.evidence}"
        )


def _explained_round(scene: str, one: ExplainedRound) -> None:
    why = "sent blind, or as a reference"
    if one.chosen is not None and one.chosen.reason is not None:
        why = f"{one.chosen.stream} {one.chosen.rank}: {one.chosen.reason}"
    line(f"  {one.round} ({one.state}): {why}")
    several = {row.slot for row in one.answers} != {0}
    for row in one.answers:
        modality = one.modality_of.get(row.channel, "")
        opinion = f", opinion {row.slot + 1}" if several else ""
        count = "" if row.count is None else f", {row.count} labels"
        line(
            f"    {row.role} {row.channel} ({modality}{opinion}) by {row.annotator or 'nobody yet'}: {row.state}{count}"
        )
        quarantine([Left.of(scene, modality, row.channel, bad) for bad in row.rejected])


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
