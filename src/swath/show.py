"""Results as people read them in a terminal: short tables, the numbers that matter, what to do next."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Tick = Callable[[int, int], None]
PATIENCE = 1.0  # seconds before a bar shows: short work stays quiet


def console() -> Console:
    """Writes to whatever standard output is now (with `--json`, that is standard error)."""
    wide = None if sys.stdout.isatty() else 140
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty(), width=wide)


@contextmanager
def progress() -> Iterator[Callable[[str], Tick]]:
    """Bars on standard error for whatever takes longer than a second; lines now and then where that is no terminal."""
    bars = Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    live = sys.stderr.isatty()

    def begin(title: str) -> Tick:
        started = time.monotonic()
        task: list[Any] = []
        said = [started]

        def tick(done: int, of: int) -> None:
            now = time.monotonic()
            if now - started < PATIENCE and not task:
                return
            if live:
                if not task:
                    bars.start()
                    task.append(bars.add_task(title, total=of))
                bars.update(task[0], completed=done, total=of)
                if done >= of:
                    bars.remove_task(task.pop())
            elif now - said[0] >= 5 and done < of:
                said[0] = now
                print(f"{title}: {done} of {of}", file=sys.stderr, flush=True)

        return tick

    try:
        yield begin
    finally:
        if bars.live.is_started:  # else it would print an empty line
            bars.stop()


def line(text: str) -> None:
    console().print(escape(text))


def notes(lines: Any) -> None:
    for one in lines or ():
        console().print(f"  [yellow]note:[/yellow] {escape(str(one))}")


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def interval(estimate: Mapping[str, float | None]) -> str:
    """`0.31 (0.22 to 0.40)`."""
    if estimate["value"] is None:
        return "–"
    if estimate["low"] is None:
        return number(estimate["value"])
    return f"{number(estimate['value'])} ({number(estimate['low'])} to {number(estimate['high'])})"


def counts(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{value} {name}" for name, value in values.items()) or "none"


# ---------------------------------------------------------------------- one function per result


def world(result: Any) -> None:
    line(f"{result.scenes} scenes in {result.drives} drives: {result.root}")
    line(f"  objects: {counts(dict(sorted(result.objects.items(), key=lambda one: -one[1])))}")


def init(result: Any) -> None:
    line(
        f"{result.dataset}: {result.scenes} scenes, {result.added} of them new; slices: {counts(result.slices)}"
    )
    if result.set_aside:
        notes([f"{result.set_aside} new frames are of test drives and were set aside"])
    if result.damages:
        line(f"  {len(result.damages)} things could not be used:")
        for one in result.damages[:20]:
            where = f"{one['file']}:{one['line']}" if one["line"] else one["file"]
            line(f"    {where}: {one['reason']}")
        if len(result.damages) > 20:
            line(f"    ... and {len(result.damages) - 20} more (--json lists all)")


def adopt(result: Any) -> None:
    rounds = counts({f"scenes in {name}": size for name, size in result.rounds.items()})
    line(f"{result.dataset}: {result.scenes} scenes; {counts(result.splits)}; rounds: {rounds}")
    notes(result.problems)
    if result.problems and not result.fixed:
        line(f"  nothing was changed in the dataset; `swath repair --dataset {result.dataset}` puts it right")


def split(result: Any) -> None:
    line(
        f"split: {counts(result.splits)} (from {result.units} units; test is frozen, {result.test_sha256[:12]})"
    )
    if result.closest:
        pair = result.closest[0]
        line(
            f"  most alike across splits: {pair['scenes'][0]} ({pair['splits'][0]}) and {pair['scenes'][1]} "
            f"({pair['splits'][1]}), cosine similarity {pair['similarity']:.4f}; {len(result.closest)} pairs in --json"
        )
    notes(result.notes)


def embed(result: Any) -> None:
    line(
        f"embed: {result.scenes} scenes, {result.computed} computed with {result.encoder} ({result.dim} dimensions)"
    )
    if result.problems:
        listed = "; ".join(f"{key}: {why}" for key, why in result.problems[:5])
        notes([f"{len(result.problems)} scenes have no usable vector and are excluded: {listed}"])


def reference(result: Any) -> None:
    if hasattr(result, "waiting"):
        fetch(result)
        return
    line(f"reference: {result.scenes} scenes, labels: {counts(result.labels)}")
    if result.without:
        notes([f"nothing was found for {len(result.without)}: {', '.join(result.without[:5])}"])
    quarantine(result.rejected)


def select(result: Any, pictures: Mapping[str, str] | None = None) -> None:
    what = "would be" if result.dry_run else "is"
    line(
        f"{result.round}: {result.size} scenes (budget {result.budget}): {result.coverage} for coverage, "
        f"{result.targeted} targeted; {result.golden} golden scenes go along blind"
    )
    if result.overlap is not None:
        line(f"  two independent halves of the ZCore draws agree on {result.overlap:.0%} of the choice")
    if pictures:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("scene", "stream", "rank", "reason", "picture"):
            table.add_column(name, overflow="fold")
        for one in result.scenes:
            row = (one.key, one.stream, str(one.rank), one.reason, pictures.get(one.key, ""))
            table.add_row(*(escape(cell) for cell in row))
        console().print(table)
    else:
        for one in result.scenes[:5]:
            line(f"    {one.key}  {one.stream} {one.rank}  {one.reason}")
        if len(result.scenes) > 5:
            line(f"    ... and {len(result.scenes) - 5} more; the batch {what} listed by --explain")
    if result.excluded:
        listed = "; ".join(f"{key}: {why}" for key, why in result.excluded[:5])
        notes([f"{len(result.excluded)} pool scenes could not be chosen: {listed}"])
    notes(result.notes)


def send(result: Any) -> None:
    again = " (the same work as before)" if result.sent_before else ""
    line(f"{result.batch}: {result.tasks} tasks are with {result.annotator}{again}")


def fetch(result: Any) -> None:
    line(
        f"{result.batch}: {counts(result.states)}; labels: {counts(result.labels)}; {result.batch} is {result.state}"
    )
    if result.waiting:
        notes([f"{result.waiting} scenes wait for labels"])
    quarantine(result.rejected)
    notes(result.notes)


def quarantine(rejected: Any) -> None:
    if rejected:
        line(f"  {len(rejected)} labels are in quarantine:")
        for one in rejected[:10]:
            line(f"    {one['scene']} ({one['modality']}) {one['where']}: {one['reason']}")
        if len(rejected) > 10:
            line(f"    ... and {len(rejected) - 10} more (--json lists all)")


def check(result: Any) -> None:
    line(
        f"check of {result.round}: {result.errors} errors and {result.warnings} warnings in {result.scenes} scenes"
    )
    if result.rules:
        line(f"  {counts(result.rules)}")
    for one in result.findings[:5]:
        line(f"    {one['scene']} {one['severity']} {one['modality']} {one['rule']}: {one['evidence']}")
    notes(result.notes)


def golden(result: Any) -> None:
    colour = {"pass": "green", "block": "red"}.get(result.verdict, "yellow")
    console().print(
        f"golden check of {result.round}: [{colour}]{result.verdict}[/{colour}] on {result.scenes} scenes"
    )
    for axis, values in result.axes.items():
        if values["trials"]:
            line(
                f"  {axis:9s} {values['errors']:4d} of {values['trials']:4d}  {values['rate']:6.1%} "
                f"({values['low']:.1%} to {values['high']:.1%}), accepted {values['accepted']:.1%}"
                + (f"; would see {values['detectable']:.1%}" if values["detectable"] else "")
            )
    for reason in result.reasons:
        line(f"  {reason}")


def train(result: Any) -> None:
    line(
        f"model of {result.round}: {result.trainer} on {result.images} images ({result.negatives} without objects), "
        f"{sum(result.objects.values())} objects: {counts(result.objects)}; {result.sha256[:12]}"
    )
    notes(result.notes)


def evaluate(result: Any) -> None:
    line(f"evaluation of {result.round} on {result.on} ({result.scenes} scenes, 95 % intervals by drive):")
    line(f"  mAP {interval(result.map)}   mAP50 {interval(result.map50)}")
    for name, one in result.classes.items():
        line(f"  {name:15s} AP50 {interval(one['ap50'])}   {one['references']} objects")
    line(
        f"  errors at score {result.operating['threshold']:.2f}: {counts(result.errors)}; {len(result.failures)} failures"
    )
    for failure in result.failures[:3]:
        line(
            f"    {failure['key']}: {failure['fn']} missed ({counts(failure['missed'])}), {failure['fp']} false"
        )
    notes(result.notes)


def stop(result: Any) -> None:
    line(f"{result.round}: {result.decision}")
    for name, one in result.criteria.items():
        line(f"  {name:8s} {one['why']}")


def step(plan: Any, result: Any) -> None:
    """What `swath next` and `swath run` say after a step."""
    console().print(f"[bold]{plan.step}[/bold]  [dim]{escape(plan.why)}[/dim]")
    globals()[plan.step](result)


def status(result: Any) -> None:
    line(f"{result.dataset}: {result.scenes} scenes; slices: {counts(result.slices)}")
    if result.splits:
        line(
            f"  splits: {counts(result.splits)}"
            + (f"; {result.set_aside} set aside" if result.set_aside else "")
        )
        total = max(result.pool["total"], 1)
        done = round(30 * result.pool["annotated"] / total)
        out = round(30 * result.pool["selected"] / total)
        bar = "█" * done + "▒" * out + "░" * (30 - done - out)
        pool = result.pool
        line(
            f"  pool: {bar} {pool['annotated']} annotated, {pool['selected']} selected, "
            f"{pool['unlabeled']} unlabeled of {pool['total']}"
        )
    if result.rounds:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in (
            "round",
            "state",
            "batch",
            "coverage",
            "targeted",
            "annotated",
            "mAP",
            "mAP50",
            "golden",
            "decision",
        ):
            table.add_column(
                name, justify="right" if name not in ("round", "state", "golden", "decision") else "left"
            )
        for one in result.rounds:
            batch = one["batch"]
            cells = [
                one["round"],
                one["state"],
                f"{batch['size']}/{batch['budget']}",
                batch["coverage"],
                batch["targeted"],
            ]
            cells += [
                one["annotated"],
                number(one["map"]),
                number(one["map50"]),
                one["golden"] or "–",
                one["decision"] or "–",
            ]
            table.add_row(*(str(cell) for cell in cells))
        console().print(table)
    if result.held_by:
        line(f"  held by {result.held_by}")
    line(f"  next: {result.next.step or 'nothing'}: {result.next.why}")


def explain(result: Any) -> None:
    line(
        f"{result.scene}: split {result.split}, {result.status}"
        + (f", drive {result.sequence}" if result.sequence else "")
    )
    line(f"  FiftyOne id {result.id}; tags: {', '.join(result.tags) or 'none'}")
    for slice_name, path in result.media.items():
        line(f"  {slice_name}: {path}")
    for one in result.rounds:
        reason = (
            f"{one['stream']} {one['rank']}: {one['reason']}"
            if "reason" in one
            else "sent blind, or as a reference"
        )
        line(f"  {one['round']} ({one['state']}): {reason}")
        for answer in one["answers"]:
            count = "" if answer["count"] is None else f", {answer['count']} labels"
            line(
                f"    {answer['role']} {answer['modality']} by {answer['annotator'] or 'nobody yet'}: {answer['state']}{count}"
            )
            quarantine(
                [
                    {"scene": result.scene, "modality": answer["modality"], **bad}
                    for bad in answer["rejected"] or ()
                ]
            )
    for one in result.failures:
        line(
            f"  failure of {one['round']}: {one['fn']} missed ({counts(one['missed'])}), {one['fp']} false ({counts(one['false'])})"
        )
    for one in result.findings:
        line(
            f"  check of {one['round']}: {one['severity']} {one['modality']} {one['rule']}: {one['evidence']}"
        )


def replay(result: Any) -> None:
    if result.equal:
        line(f"{result.round}: chosen again, byte for byte the same")
        return
    line(f"{result.round}: chosen again, and it is not the same")
    for one in result.differs:
        line(f"  {one}")
    if result.added or result.removed:
        line(
            f"  {len(result.added)} scenes came in ({', '.join(result.added[:5])}), {len(result.removed)} fell out"
        )


def repair(result: Any) -> None:
    verb = "differ" if result.checked_only else "differed and are put right"
    line(
        f"{len(result.differences)} places {verb}"
        if result.differences
        else "everything is as the journal says"
    )
    for one in result.differences[:20]:
        where = f"{one.scene} ({one.slice})" if one.slice else one.scene
        line(f"  {where} {one.what}: expected {one.expected or 'nothing'}; found {one.found or 'nothing'}")
    if len(result.differences) > 20:
        line(f"  ... and {len(result.differences) - 20} more (--json lists all)")
    for keys, what in (
        (result.strangers, "scenes are not in the journal; take them in with `swath init`"),
        (result.gone, "scenes of the journal are not in the dataset any more"),
        (result.edited, "scenes have labels that are not the ones that were fetched (edited by hand?)"),
    ):
        if keys:
            notes([f"{len(keys)} {what}: {', '.join(keys[:5])}"])


def round_(result: Any) -> None:
    if result.state == "annotating":
        line(
            f"{result.round} is with its annotators again: {result.kept} scenes wait for new labels; the old ones stay till then"
        )
        return
    line(
        f"{result.round} is {result.state}: {result.returned} scenes go back to the pool, labels of {result.kept} are kept"
    )


def demo(result: Any) -> None:
    table = Table(
        title="The loop, round by round", title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for name in ("round", "batch", "Car AP50", "mAP50", "golden", "decision"):
        table.add_column(name)
    for one in result.rounds:
        cells = (
            one["round"],
            one["batch"],
            interval(one["car_ap50"]),
            interval(one["map50"]),
            one["golden"],
            one["decision"],
        )
        table.add_row(*(escape(str(cell)) for cell in cells))
    console().print(table)
    for one in result.targeting:
        line(
            f"{one['round']}: {one['hits']} of {one['targeted']} targeted scenes ({one['share']:.0%}) hold the kind of object that "
            f"their failure missed; in the pool it is {one['base_rate']:.0%} (hidden truth, {one['ratio']:.2f} times)"
            if one["targeted"]
            else f"{one['round']}: no targeted scene answers a missed object"
        )
    line(f"report: {result.report}")
    line(f"look at it in FiftyOne: `fiftyone app launch {result.dataset}`;  {result.seconds:.0f} s in all")
