"""Screens of what comes before the rounds, and of the demo."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from swath.demo import DemoResult
from swath.errors import ConfigError, some
from swath.records.batch import Gain
from swath.records.results import (
    AdjudicateResult,
    AdoptResult,
    EmbedResult,
    InitResult,
    ReferenceResult,
    Setting,
    Settings,
    SplitResult,
)
from swath.show.given import MadeWorld, result
from swath.show.lines import FEW, MANY, cell, first, kept, line, note, notes, quarantine, table, verdict
from swath.suggest import command
from swath.words import compared, counts, drives, estimated, number, percent, ranked, signed


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
    """Those that differ from their default are marked; where some were changed, these alone."""
    listed = [one for one in value.settings if not value.asked or one.name in value.asked]
    rows = [
        (f"{'[yellow]*[/yellow]' if one.differs else ' '} {cell(one.name)}", _spelled(one.value), _told(one))
        for one in listed
    ]
    table({"  setting": "left", "value": "left", "from": "left"}, rows)
    if value.asked:
        if not value.kept:
            note("they were so already: nothing is changed")
    else:
        count = sum(one.differs for one in value.settings)
        line(f"  {len(value.settings)} settings; {count} not as by default (*)")
        if value.dataset is None and count:
            note("tried, not kept: no dataset was named (--dataset NAME, or set SWATH_DATASET)")
    kept(value.kept)


def _told(one: Setting) -> str:
    return cell(f"{one.source} (default {json.dumps(one.default)})" if one.differs else one.source)


def _spelled(value: object) -> str:
    return cell(json.dumps(value, ensure_ascii=False))


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
    notes(value.notes)
    quarantine(value.rejected)


@result.register
def differing(value: AdjudicateResult) -> None:
    there = len(value.differences)
    line(
        f"{value.batch}: {there} things that two labellings of {value.scenes} scenes see differently, {there - value.open} decided"
    )
    waiting = [
        f"{one.name}  {one.channel}: {one.what}  ({', '.join(one.choices)})"
        for one in value.differences
        if not one.choice
    ]
    first(waiting, MANY, rest="--json and the page list all")
    if value.page:
        line(f"  drawn in {value.page}")
    if value.open:
        line(
            f"  to decide: `{value.way}`; `--ask` asks for each; `--decide '*=a'` takes the first for all that are open"
        )
    notes(value.notes)


def decisions_of(given: Iterable[str]) -> dict[str, str]:
    """`KEY:N=CHOICE`, or files of such lines (`#` begins a comment) -> name -> choice; ConfigError for anything else."""
    out: dict[str, str] = {}
    for one in given:
        path = Path(one)
        if "=" not in one or path.is_file():
            try:
                lines = path.read_text().splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"--decide: expected KEY:N=CHOICE or a file of such lines, got {one!r}: {error}"
                ) from None
            out |= decisions_of(text for line_ in lines if (text := line_.partition("#")[0].strip()) or False)
            continue
        name, _, choice = one.rpartition("=")
        out[name.strip()] = choice.strip()
    return out


def ask_each(
    value: AdjudicateResult, decide: Callable[[Mapping[str, str]], AdjudicateResult]
) -> AdjudicateResult:
    """Asks for each difference that is open, and records each answer at once. Nothing typed: later; `q`, or the end of input: enough."""
    if value.page:
        line(f"they are drawn in {value.page}")
    for one in [one for one in value.differences if not one.choice]:
        line(f"{one.name}  {one.channel}: {one.what}")
        while (said := _answer(one.choices)) not in (*one.choices, "", "q"):
            line(f"  expected {', '.join(one.choices)}, q to stop, or nothing for later, got {said!r}")
        if said == "q":
            break
        if said:
            value = decide({one.name: said})
    return value


def _answer(choices: Iterable[str]) -> str:
    print(f"  {'/'.join(choices)}? ", end="", file=sys.stderr, flush=True)
    return (sys.stdin.readline() or "q").strip()


@result.register
def demonstrated(value: DemoResult) -> None:
    rows = [
        (
            one.round,
            one.batch,
            estimated(one.car_ap50),
            estimated(one.map50),
            verdict(one.golden),
            cell(one.decision),
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
    if value.unmined is not None and value.rounds:
        line(unmined(value.rounds[-1].round, value.unmined))
    _held_up(value)
    line(
        "these figures depend on the machine: another processor trains another model, and asks for other scenes"
    )
    line(f"report: {value.report}")
    line(f"look at it in FiftyOne: `{command('app', value.dataset)}`;  {value.seconds:.0f} s in all")


def unmined(name: str, gain: Gain) -> str:
    """What the loop gained where its failures were not looked at, in a sentence."""
    said = {
        "better": f"more labels made {name} better",
        "worse": f"more labels made {name} worse",
        "not told apart": f"{name} is not told apart from {gain.over}",
        "unknown": "whether it is better cannot be told: an interval needs two drives",
    }
    return (
        f"gain on {gain.scenes} test scenes of {drives(gain.drives)} that nobody mined (hidden truth): mAP50 {signed(gain.map50)}, "
        f"mAP {signed(gain.map)}: {said[gain.verdict]}"
    )


def _held_up(value: DemoResult) -> None:
    """What was wrong with the labeller, what swath says of it, and the ways on."""
    if value.drift:
        changed = ", ".join(f"{name} {one}" for name, one in value.drift.flaws.items())
        line(f"the labeller changed at v{value.drift.since} ({changed}: docs/methods/checks.md)")
        if value.waits is None:
            note("the golden check did not hold it up: see what it says it could have seen")
    if value.waits is not None:
        line(f"the loop waits: {value.waits}")
        for reason in value.reasons[1:]:
            line(f"  {reason}")
        line("ways on:")
        for way in value.ways:
            line(f"    {way}")
