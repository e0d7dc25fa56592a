"""Results as people read them in a terminal: short tables, the numbers that matter, what to do next.

`result` prints any of them: one function per record, found by its type. `progress` draws bars beside the work.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import Final, Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from swath.demo import DemoResult
from swath.errors import some
from swath.policies.stopping import in_words
from swath.records.base import Document, Record
from swath.records.batch import Checked, Failure, Figures, GoldenChecked, Left, Stopped, Trained
from swath.records.results import (
    AdoptResult,
    BatchResult,
    BatchScene,
    Choice,
    EmbedResult,
    EvaluateResult,
    ExplainedRound,
    ExplainResult,
    FetchResult,
    InitResult,
    ReferenceResult,
    RepairResult,
    ReplayResult,
    RoundResult,
    RoundStatus,
    SelectResult,
    SendResult,
    Setting,
    Settings,
    SplitResult,
    Status,
)
from swath.records.shown import Next
from swath.suggest import command, init, ways_on
from swath.words import UNKNOWN, compared, counts, drives, estimated, number, percent, printable, ranked

PATIENCE: Final = 1.0  # seconds before a bar shows: short work stays quiet
EVERY: Final = 5.0  # seconds between lines where no bar can be drawn
SINGLE: Final = ("missed", "background", "class", "location", "duplicate", "both")
FEW, SOME, MANY = 5, 10, 20  # lines of a list that are shown
NARROW: Final = 100  # columns of a terminal below which tables are packed
DRAWN: Final = (
    "they are kept, and count once the annotator has answered the scene, with an empty answer as they are"
)
Tick = Callable[[int, int], None]


# ---------------------------------------------------------------------- while it works


class Bars:
    """Progress on standard error of whatever takes longer than a second: a bar that leaves nothing behind, or a line now and
    then where that is no terminal. One at a time: what was begun before is over."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._bar: Progress | None = None
        self._of: str | None = None

    def __call__(self, title: str) -> Tick:
        """Begins `title`; returns what is told how many are done, and of how many."""
        self.clear()
        started = said = time.monotonic()

        def tick(done: int, of: int) -> None:
            nonlocal said
            now = time.monotonic()
            if done >= of:
                self.clear()
            elif self._live:
                if now - started >= PATIENCE:
                    self._draw(title, done, of)
            elif now - said >= EVERY:
                said = now
                print(f"{title}: {done} of {of}", file=sys.stderr, flush=True)

        return tick

    def _draw(self, title: str, done: int, of: int) -> None:
        if self._bar is None or self._of != title:
            self.clear()
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            err = Console(stderr=True)
            self._bar = Progress(
                *columns, console=err, transient=True, redirect_stdout=sys.stdout.isatty()
            )  # what goes to a file must not end in the terminal
            self._bar.add_task(escape(title), total=of)
            self._of = title
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=of)

    def clear(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """A line about what is going on, on standard error."""
        self.clear()
        print(f"swath: {printable(text)}", file=sys.stderr, flush=True)


_OPEN: Final[list[Bars]] = []


@contextmanager
def progress() -> Iterator[Bars]:
    """Bars for as long as it lasts; none is left, whatever it ends with."""
    bars = Bars()
    _OPEN.append(bars)
    try:
        yield bars
    finally:
        _OPEN.remove(bars)
        bars.clear()


# ---------------------------------------------------------------------- lines


def console() -> Console:
    """Writes to whatever standard output is now (with `--json`, that is standard error), where no bar is in the way."""
    for bars in _OPEN:
        bars.clear()
    wide = None if sys.stdout.isatty() else 140
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty(), width=wide)


def line(text: str) -> None:
    """One line; in a terminal that is too narrow its rest is indented, but a command stays in one piece, to be copied."""
    to, text = console(), printable(text)
    if to.soft_wrap or "`" in text:
        to.print(escape(text), soft_wrap=True)
        return
    start = " " * (len(text) - len(text.lstrip()))
    wrapped = textwrap.wrap(
        text,
        max(to.width, 40),
        subsequent_indent=f"{start}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    to.print(escape("\n".join(wrapped)), soft_wrap=True)


def note(text: str) -> None:
    console().print(f"  [yellow]note:[/yellow] {escape(printable(text))}", soft_wrap=True)


def kept(settings: Mapping[str, object]) -> None:
    """Says which settings a command changed for good, if any."""
    if settings:
        listed = ", ".join(f"{name} = {new}" for name, new in settings.items())
        note(f"kept for the rounds that follow: {listed}")


def notes(lines: Iterable[str]) -> None:
    for one in lines:
        note(one)


def first(lines: Sequence[str], most: int, indent: str = "    ") -> None:
    """The first `most` of `lines`, and how many more there are."""
    for one in lines[:most]:
        line(f"{indent}{one}")
    if len(lines) > most:
        line(f"{indent}... and {len(lines) - most} more (--json lists all)")


def table(titles: Mapping[str, str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """`titles`: column -> "left" or "right". Cells hold markup of their own: `_cell` escapes them."""
    to = console()
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    made.collapse_padding = to.width < NARROW
    for name, side in titles.items():
        justify: Literal["left", "right"] = "right" if side == "right" else "left"
        made.add_column(name, justify=justify, overflow="fold", min_width=len(name))
    for row in rows:
        made.add_row(*row)
    to.print(made)


def _cell(value: object) -> str:
    return UNKNOWN if value is None else escape(printable(str(value)))


def _verdict(word: str | None) -> str:
    """A verdict in its colour: a `block` must not look like a `pass`."""
    colour = {"pass": "green", "block": "red", "cancelled": "red", "warn": "yellow"}.get(word or "")
    return f"[{colour}]{word}[/{colour}]" if colour else _cell(word)


def _places(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The folder that all of `paths` are in, and their names in it; "" where there is no such folder."""
    there = [str(Path(path).parent) for path in paths if path]
    folder = os.path.commonpath(there) if there and all(map(os.path.isabs, there)) else ""
    if len(folder) < 2:
        return "", list(paths)
    return folder, [os.path.relpath(path, folder) if path else "" for path in paths]


def _pictures(paths: Sequence[str]) -> list[str]:
    """Names of pictures, after a line that says where they are."""
    folder, names = _places(paths)
    if folder:
        line(f"  pictures are in {folder}")
    return names


# ---------------------------------------------------------------------- what commands give back, besides steps


class MadeWorld(Record):
    """`swath world`."""

    root: str
    scenes: int
    drives: int
    objects: dict[str, int]


class Selected(Record):
    """`swath select` with a picture's path for every scene."""

    batch: SelectResult
    pictures: dict[str, str]

    def as_json(self) -> Document:
        return {**self.batch.as_json(), "pictures": self.pictures}


class Did(Record):
    """`swath next`: the step, why it was next, and what came of it."""

    plan: Next
    came: Record

    def as_json(self) -> Document:
        return {"step": self.plan.step, "why": self.plan.why, "result": self.came.as_json()}


class Finished(Record):
    """`swath next` where nothing is next: why, and commands to go on all the same."""

    why: str
    ways: tuple[str, ...]

    def as_json(self) -> Document:
        return {"step": None, "why": self.why, "result": None, "ways": list(self.ways)}


class Ran(Record):
    """`swath run`: the steps, why it ended before the rounds were closed, and where the loop stands."""

    steps: tuple[str, ...]
    waits: str | None
    status: Status

    def as_json(self) -> Document:
        return {"steps": list(self.steps), "waits": self.waits, "status": self.status.as_json()}


class Reported(Record):
    """`swath report`."""

    report: str


# ---------------------------------------------------------------------- one function per record


@singledispatch
def result(value: Record) -> None:
    """Prints what a command or a step gives back."""
    raise TypeError(f"nothing shows a {type(value).__name__}")


@result.register
def world(value: MadeWorld) -> None:
    line(f"{value.scenes} scenes in {value.drives} drives: {value.root}")
    line(f"  objects: {ranked(value.objects)}")


@result.register
def begun(value: InitResult) -> None:
    line(f"{value.dataset}: {value.scenes} scenes, {value.added} of them new; slices: {counts(value.slices)}")
    if value.set_aside:
        note(f"{value.set_aside} new frames are of test drives and were set aside")
    notes(value.notes)
    if value.damages:
        line(f"  {len(value.damages)} things could not be used:")
        where = [one.file if one.line is None else f"{one.file}:{one.line}" for one in value.damages]
        first([f"{at}: {one.reason}" for at, one in zip(where, value.damages, strict=True)], MANY)


@result.register
def adopted(value: AdoptResult) -> None:
    rounds = counts({f"scenes in {name}": size for name, size in value.rounds.items()})
    line(f"{value.dataset}: {value.scenes} scenes; {counts(value.splits)}; rounds: {rounds}")
    notes(value.problems)
    if value.problems and not value.fixed:
        line(f"  nothing was changed in the dataset; `{command('repair', value.dataset)}` puts it right")


@result.register
def configured(value: Settings) -> None:
    """Those that differ from their default are marked."""
    rows = [
        (f"{'[yellow]*[/yellow]' if one.differs else ' '} {_cell(one.name)}", _spelled(one.value), _told(one))
        for one in value.settings
    ]
    table({"  setting": "left", "value": "left", "from": "left"}, rows)
    count = sum(one.differs for one in value.settings)
    line(f"  {len(value.settings)} settings; {count} not as by default (*)")
    kept(value.kept)


def _told(one: Setting) -> str:
    return _cell(f"{one.source} (default {json.dumps(one.default)})" if one.differs else one.source)


def _spelled(value: object) -> str:
    return _cell(json.dumps(value, ensure_ascii=False))


@result.register
def split(value: SplitResult) -> None:
    line(
        f"split: {counts(value.splits)} (from {value.units} units; test is frozen, {value.test_sha256[:12]})"
    )
    for pair in value.closest[:1]:
        (one, other), (here, there) = pair.scenes, pair.splits
        line(
            f"  most alike across splits: {one} ({here}) and {other} ({there}), cosine similarity "
            f"{number(pair.similarity, 4)}; {len(value.closest)} pairs in --json"
        )
    notes(value.notes)


@result.register
def embedded(value: EmbedResult) -> None:
    line(
        f"embed: {value.scenes} scenes, {value.computed} computed with {value.encoder} ({value.dim} dimensions)"
    )
    if value.problems:
        listed = "; ".join(f"{key}: {why}" for key, why in value.problems[:FEW])
        note(f"{len(value.problems)} scenes have no usable vector and are excluded: {listed}")
    for one in value.notes:
        note(one)


@result.register
def reference(value: ReferenceResult) -> None:
    line(f"{value.batch}: {value.scenes} scenes, labels: {counts(value.labels)}; it is {value.state}")
    if value.without:
        note(f"nothing was found for {len(value.without)}: {some(value.without)}")
    quarantine(value.rejected)


@result.register
def chosen(value: SelectResult) -> None:
    _summary(value)
    first([f"{one.key}  {one.stream} {one.rank}  {one.reason}" for one in value.scenes], FEW)
    if not value.dry_run:
        line(f"  the batch is listed by `{command('batch', value.dataset, value.round)}`")
    _left_out(value.excluded, value.notes)


@result.register
def selected(value: Selected) -> None:
    _summary(value.batch)
    _choices(value.batch.scenes, [value.pictures.get(one.key, "") for one in value.batch.scenes])
    _left_out(value.batch.excluded, value.batch.notes)


def _summary(value: SelectResult) -> None:
    would = " would be chosen" if value.dry_run else ""
    line(
        f"{value.round}: {value.size} scenes{would} (budget {value.budget}): {value.coverage} for coverage, "
        f"{value.targeted} targeted; {value.golden} golden scenes go along blind"
    )
    _agreement(value.overlap)


def _agreement(overlap: float | None) -> None:
    if overlap is not None:
        line(f"  two independent halves of the ZCore draws agree on {percent(overlap, 0)} of the choice")


def _choices(scenes: Sequence[Choice], pictures: Sequence[str]) -> None:
    rows = [
        (_cell(one.key), one.stream, str(one.rank), _cell(one.reason), _cell(picture))
        for one, picture in zip(scenes, _pictures(pictures), strict=True)
    ]
    table({"scene": "left", "stream": "left", "rank": "right", "reason": "left", "picture": "left"}, rows)


def _left_out(excluded: Sequence[tuple[str, str]], more: Iterable[str]) -> None:
    if excluded:
        listed = "; ".join(f"{key}: {why}" for key, why in excluded[:FEW])
        note(f"{len(excluded)} pool scenes could not be chosen: {listed}")
    notes(more)


@result.register
def batch(value: BatchResult) -> None:
    size = value.size
    line(
        f"{value.round} is {value.state}: {size.size} scenes (budget {size.budget}): {size.coverage} for coverage, "
        f"{size.targeted} targeted; {value.golden} golden scenes went along blind"
    )
    _agreement(value.overlap)
    names = _pictures([one.picture for one in value.scenes])
    rows = [_batch_row(one, name) for one, name in zip(value.scenes, names, strict=True)]
    sides = ("left", "left", "right", "left", "left", "left")
    titles = ("scene", "stream", "rank", "state", "reason", "picture")
    table(dict(zip(titles, sides, strict=True)), rows)
    _left_out(value.excluded, value.notes)


def _batch_row(one: BatchScene, picture: str) -> tuple[str, ...]:
    choice = one.choice
    came = {channel: state for channel, state in sorted(one.answers.items()) if state != "unreviewed"}
    told = ", ".join(f"{channel} {state}" for channel, state in came.items())
    state = f"{one.status} ({told})" if told else one.status
    return (
        _cell(choice.key),
        choice.stream,
        str(choice.rank or UNKNOWN),
        _cell(state),
        _cell(choice.reason or UNKNOWN),
        _cell(picture),
    )


@result.register
def sent(value: SendResult) -> None:
    _work(value)
    line(f"  next: `{command('fetch', value.dataset)}`, as often as labels come")


def _work(value: SendResult) -> None:
    again = " (the same work as before)" if value.sent_before else ""
    line(f"{value.batch}: {value.tasks} tasks are with {value.annotator}{again}")
    if folder := value.folder:
        line(f"  the work is in {folder}")
    if without := value.without_calibration:
        note(f"{without} scenes have no calibration: nobody can place cuboids in them")


@result.register
def fetched(value: FetchResult) -> None:
    line(
        f"{value.batch}: {counts(value.states)}; labels: {counts(value.labels)}; {value.batch} is {value.state}"
    )
    if value.waiting:
        shown = value.waits_for[:FEW]
        more = f" (+{value.waiting - len(shown)} more)" if value.waiting > len(shown) else ""
        named = f": {', '.join(shown)}{more}" if shown else ""
        note(f"{value.waiting} scenes wait for labels{named}")
    quarantine(value.rejected)
    notes(value.notes)


def quarantine(rejected: Sequence[Left]) -> None:
    """Labels that were left out, and why."""
    if rejected:
        line(f"  {len(rejected)} labels are in quarantine:")
        first([f"{one.scene} ({one.modality}) {one.where}: {one.reason}" for one in rejected], SOME)


@result.register
def checked(value: Checked) -> None:
    line(
        f"check of {value.round}: {value.errors} errors and {value.warnings} warnings in {value.scenes} scenes"
    )
    if value.rules:
        line(f"  {counts(value.rules)}")
    for one in value.findings[:FEW]:
        line(f"    {one.scene} {one.severity} {one.modality} {one.rule}: {one.evidence}")
    notes(value.notes)


@result.register
def golden(value: GoldenChecked) -> None:
    console().print(f"golden check of {value.round}: {_verdict(value.verdict)} on {value.scenes} scenes")
    for name, axis in value.axes.items():
        if axis.trials:
            sees = f"; would see {percent(axis.detectable)}" if axis.detectable else ""
            line(
                f"  {name:9s} {axis.errors:4d} of {axis.trials:4d}  {percent(axis.rate):>7s} "
                f"({percent(axis.low)} to {percent(axis.high)}), accepted {percent(axis.accepted)}{sees}"
            )
    for reason in value.reasons:
        line(f"  {reason}")


@result.register
def trained(value: Trained) -> None:
    for model in value.models:
        what = "images" if model.modality == "2d" else "clouds"
        line(
            f"model of {value.round}: {model.trainer} on {model.images} {what} ({model.negatives} without objects), "
            f"{sum(model.objects.values())} objects: {counts(model.objects)}; {model.sha256[:12]}"
        )
    notes(value.notes)


@result.register
def evaluated(value: EvaluateResult) -> None:
    record = value.record
    line(
        f"evaluation of {record.round} on {record.on} ({record.scenes} scenes of {drives(record.main.drives)}, 95 % intervals by "
        f"drive{'' if record.main.drives != 1 else ': one drive gives none'}):"
    )
    for modality, figures in record.figures.items():
        if len(record.figures) > 1:
            line(f"  {modality.upper()}")
        _figures(record.round, figures)
    if record.on == "val":
        line(f"  {len(value.failures)} scenes hold an error")
    for failure in value.failures[:3]:
        line(f"    {failure.key}: {_wrong(failure)}")
    notes(record.notes)


def _figures(round_: str, figures: Figures) -> None:
    line(f"  mAP {estimated(figures.map)}   mAP50 {estimated(figures.map50)}")
    if figures.volume:
        line(
            f"  by volume: mAP {estimated(figures.volume['map'])}   mAP50 {estimated(figures.volume['map50'])}"
        )
    for name, of in figures.classes.items():
        held = f" in {drives(of.drives)}" if of.drives is not None else ""
        line(f"  {name:15s} AP50 {estimated(of.ap50)}   {of.references} objects{held}")
    costs = sorted(((value, kind) for kind, value in figures.mending.items() if kind in SINGLE), reverse=True)
    if costs and costs[0][0] > 0:
        told = ", ".join(f"{kind} {value:+.3f}" for value, kind in costs if value >= 0.0005)
        line(f"  mending one type of error would add to mAP50: {told}")
    for one in figures.modes[:3]:
        then = f", {percent(one.before, 0)} the round before" if one.before is not None else ""
        line(f"  fails at {one.name}: {one.missed} of {one.objects} missed{then}")
    if figures.gain is not None:
        line(f"  {compared(round_, figures.gain)}")
    line(f"  errors at score {number(figures.operating.threshold, 2)}: {counts(figures.errors)}")


def _wrong(failure: Failure) -> str:
    false = f" ({ranked(failure.false)})" if failure.false else ""
    missed = f" ({ranked(failure.missed)})" if failure.missed else ""
    return f"{failure.fn} missed{missed}, {failure.fp} false{false}"


@result.register
def stopped(value: Stopped) -> None:
    line(f"{value.round}: {value.decision}")
    for name, one in value.criteria.items():
        line(f"  {name:9s} {one.why}")
    if value.outcomes:
        line(f"  {in_words(value.outcomes)}")


def step(plan: Next, came: Record) -> None:
    """What `swath next` and `swath run` say after a step."""
    console().print(f"[bold]{plan.step}[/bold]  [dim]{escape(printable(plan.why))}[/dim]")
    if isinstance(came, SendResult):
        _work(came)  # what is next comes by itself, or is said where it ends
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
    for one in value.rounds[-1:]:
        if one.gain is not None:
            line(f"  {compared(one.round, one.gain)}")
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
        _verdict(one.state),
        f"{size.size}/{size.budget}",
        str(size.coverage),
        str(size.targeted),
        str(one.annotated),
        number(one.map),
        number(one.map50),
        _verdict(one.golden),
        _cell(one.decision),
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
        line(f"  failure of {failed.round}: {_wrong(failed.failure)}")
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


@result.register
def round_changed(value: RoundResult) -> None:
    if value.state == "annotating":
        line(
            f"{value.round} is with its annotators again: {value.kept} scenes wait for new labels; the old ones stay till then"
        )
        return
    line(
        f"{value.round} is {value.state}: {value.returned} scenes go back to the pool, labels of {value.kept} are kept"
    )


@result.register
def demonstrated(value: DemoResult) -> None:
    rows = [
        (
            one.round,
            one.batch,
            estimated(one.car_ap50),
            estimated(one.map50),
            _verdict(one.golden),
            _cell(one.decision),
        )
        for one in value.rounds
    ]
    titles = ("round", "batch", "Car AP50", "mAP50", "golden", "decision")
    table(dict.fromkeys(titles, "left"), rows, title="The loop, round by round")
    for one in value.rounds[1:]:
        if one.gain is not None:
            line(compared(one.round, one.gain))
    for target in value.targeting:
        line(
            f"{target.round}: {target.hits} of {target.targeted} targeted scenes ({percent(target.share, 0)}) hold the kind of "
            f"object that their failure missed; in the pool it is {percent(target.base_rate, 0)} (hidden truth, "
            f"{number(target.ratio, 2)} times)"
            if target.targeted
            else f"{target.round}: no targeted scene answers a missed object"
        )
    line(
        "these figures depend on the machine: another processor trains another model, and asks for other scenes"
    )
    line(f"report: {value.report}")
    line(f"look at it in FiftyOne: `{command('app', value.dataset)}`;  {value.seconds:.0f} s in all")
