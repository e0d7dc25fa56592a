"""Screens of a batch, from its choice to its checked labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from swath.errors import some
from swath.records.agreement import Agreement
from swath.records.batch import Checked
from swath.records.results import (
    BatchResult,
    BatchScene,
    Choice,
    FetchResult,
    RoundResult,
    SelectResult,
    SendResult,
)
from swath.show.given import Gated, Selected, result
from swath.show.lines import FEW, cell, first, line, note, notes, pictures_of, quarantine, table
from swath.suggest import command
from swath.words import UNKNOWN, counts, estimated, percent


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
    shown = pictures_of({one.key: picture for one, picture in zip(scenes, pictures, strict=True)})
    rows = [
        (cell(one.key), one.stream, str(one.rank), cell(one.reason), cell(shown.get(one.key, "")))
        for one in scenes
    ]
    titles = {"scene": "left", "stream": "left", "rank": "right", "reason": "left", "picture": "left"}
    _listed(titles, rows, bool(shown))


def _listed(titles: dict[str, str], rows: Iterable[tuple[str, ...]], pictures: bool) -> None:
    """A table whose last column is dropped where nothing is in it."""
    if pictures:
        table(titles, rows)
    else:
        table(dict(list(titles.items())[:-1]), (row[:-1] for row in rows))


def _left_out(excluded: Sequence[tuple[str, str]], more: Iterable[str]) -> None:
    if excluded:
        listed = [f"{key}: {why}" for key, why in excluded]
        note(f"{len(excluded)} pool scenes could not be chosen: {some(listed, FEW)}")
    notes(more)


@result.register
def batch(value: BatchResult) -> None:
    size = value.size
    line(
        f"{value.round} is {value.state}: {size.size} scenes (budget {size.budget}): {size.coverage} for coverage, "
        f"{size.targeted} targeted; {value.golden} golden scenes went along blind"
    )
    _agreement(value.overlap)
    shown = pictures_of({one.choice.key: one.picture for one in value.scenes})
    rows = [_batch_row(one, shown.get(one.choice.key, "")) for one in value.scenes]
    sides = ("left", "left", "right", "left", "left", "left")
    titles = ("scene", "stream", "rank", "state", "reason", "picture")
    _listed(dict(zip(titles, sides, strict=True)), rows, bool(shown))
    _left_out(value.excluded, value.notes)


def _batch_row(one: BatchScene, picture: str) -> tuple[str, ...]:
    choice = one.choice
    came = {channel: state for channel, state in sorted(one.answers.items()) if state != "unreviewed"}
    told = ", ".join(f"{channel} {state}" for channel, state in came.items())
    state = f"{one.status} ({told})" if told else one.status
    return (
        cell(choice.key),
        choice.stream,
        str(choice.rank or UNKNOWN),
        cell(state),
        cell(choice.reason or UNKNOWN),
        cell(picture),
    )


@result.register
def sent(value: SendResult) -> None:
    work(value)
    line(f"  next: `{command('fetch', value.dataset)}`, as often as labels come")


def work(value: SendResult) -> None:
    again = " (the same work as before)" if value.sent_before else ""
    line(f"{value.batch}: {value.tasks} tasks are with {value.annotator}{again}")
    if folder := value.folder:
        line(f"  the work is in {folder}")
    for work_set in value.work_sets:
        line(f"  label in FiftyOne's App: `{command('app', work_set)}`")
    if without := value.without_calibration:
        note(f"{without} scenes have no calibration: nobody can place cuboids in them")
    if value.unreadable:
        note(
            f"{len(value.unreadable)} files cannot be read and are left out ({some(value.unreadable, 3)}); what was to be labelled in "
            "them counts as skipped, unless they are brought back and the batch is sent again"
        )
    if value.respelled:
        told = ", ".join(f"{name!r} is written {word}" for name, word in value.respelled.items())
        note(f"in label files, {told}")


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


@result.register
def checked(value: Checked) -> None:
    line(
        f"check of {value.round}: {value.errors} errors and {value.warnings} warnings in {value.scenes} scenes"
    )
    if value.rules:
        line(f"  {counts(value.rules)}")
    for one in value.findings[:FEW]:
        where = one.scene or "the whole batch:"
        line(f"    {where} {one.severity} {one.modality} {one.rule}: {one.evidence}")
    for modality, found in value.agreement.items():
        line(f"  labelled twice, {modality.upper()}: {in_words(found)}")
    notes(value.notes)


@result.register
def gated(value: Gated) -> None:
    checked(value.checked)


def in_words(found: Agreement) -> str:
    """`12 scenes, 40 objects, 5 of them seen differently (12 %); alpha 0.81 (0.70 to 0.92)`."""
    share = percent(found.share) if found.share is not None else UNKNOWN
    return (
        f"{found.scenes} scenes, {found.objects} objects, {found.ambiguous} of them seen differently ({share}); "
        f"agreement beyond chance (alpha) {estimated(found.alpha)}"
    )


@result.register
def round_changed(value: RoundResult) -> None:
    if value.state == "annotating":
        line(
            f"{value.round} is with its annotators again: {value.kept} scenes wait for new labels; the old ones stay till then"
        )
        return
    back = "have no reference" if value.round.startswith("reference") else "go back to the pool"
    line(f"{value.round} is {value.state}: {value.returned} scenes {back}, labels of {value.kept} are kept")
