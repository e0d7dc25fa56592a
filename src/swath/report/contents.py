"""What the report says, section by section. Reads the journal, and of the dataset only pool and val: embeddings for the map,
images for the pictures, labels of the failures that are shown.

The page gets records as they are, and the few things below that no record says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swath import __version__, life
from swath.labels.channels import Channel
from swath.records.base import Estimate
from swath.records.batch import (
    FINAL_REFERENCE,
    Batch,
    Checked,
    Evaluated,
    Failure,
    Figures,
    Finding,
    GoldenChecked,
    Left,
)
from swath.records.loop import LoopRecord
from swath.records.manifest import BatchSize, Chosen, Coverage, Manifest
from swath.records.results import Status
from swath.report import charts, drift, failures, pictures
from swath.report.embedding_map import embedding_map
from swath.report.pictures import Picture
from swath.suggest import command, ways_on
from swath.words import interval, number, percent, ranked
from swath.workspace import Workspace

FAILURES: Final = 12  # failures with a picture
ROWS: Final = 1000  # scenes of a batch that are listed
PER_ROUND, PICTURES = 60, 240  # scenes of a batch with a picture, per round and in all
LISTED: Final = 20  # findings, leaks, damages, quarantined labels that are listed
CLASS_ROUNDS: Final = 4  # rounds in the table of classes
SMALL, LARGE = 150, 620  # width of pictures, pixels
SERIES: Final = (("map50", "mAP50"), ("map", "mAP"))
FILTERS: Final[dict[str, Callable[..., str]]] = {
    "number": number,
    "percent": percent,
    "interval": interval,
    "counts": ranked,
}
Images = Mapping[tuple[str, int], Picture]


def gather(workspace: Workspace, status: Status) -> dict[str, Any]:
    """Everything that `report.html` shows. The same journal, labels and media give the same data: no clock, no paths but
    that of the source."""
    journal = workspace.journal
    loop, rounds = journal.loop(), life.rounds(journal.batches.all())
    manifests = {one.round: journal.batches.manifest(one) for one in rounds}
    standing, evaluated = life.standing(rounds), life.evaluated(rounds)
    last = evaluated[-1] if evaluated else None
    record = last.steps.evaluate if last else None
    wrong = journal.batches.failures(last) if last else ()
    illustrated = _illustrated(rounds, manifests)
    of_batches = [(key, SMALL) for keys in illustrated.values() for key in keys]
    images = pictures.load(workspace, pictures.shown(workspace.rig), of_batches)
    answers = _answers(workspace)
    begun = loop.steps.init
    return {
        "dataset": workspace.name,
        "status": status,
        "ways": ways_on(
            status.next.step, status.next.people, workspace.name, rounds[-1].round if rounds else None
        ),
        "rounds": [_row(one, status) for one in rounds],
        "last": record.main if record else None,
        "others": _others(record) if record else (),
        "gain": _gain(evaluated),
        "final": [(name, one, one.main) for name, one in sorted(loop.steps.final.items())],
        "classes": _classes(evaluated[-CLASS_ROUNDS:], workspace.config.classes),
        "series": SERIES,
        "curve": charts.learning_curve([_point(one) for one in evaluated], SERIES, 560, 300),
        "map": embedding_map(workspace, manifests[standing[-1].round] if standing else None, last),
        "batches": [
            _batch(one, manifests[one.round], illustrated[one.round], images, answers)
            for one in reversed(rounds)
        ],
        "explain": command("explain", workspace.name, "SCENE"),
        "failures": _wrong(workspace, record, wrong) if record else None,
        "golden": [_golden(one.steps.golden) for one in reversed(rounds) if one.steps.golden is not None],
        "drift": drift.html([one.steps.golden for one in rounds if one.steps.golden is not None]),
        "findings": _findings([one.steps.check for one in rounds if one.steps.check is not None]),
        "leaks": loop.steps.split.closest[:LISTED] if loop.steps.split else (),
        "notes": _notes(loop, rounds, manifests, status),
        "quarantine": _quarantine(workspace),
        "damages": begun.damages[:LISTED] if begun else (),
        "damage_count": begun.damage_count if begun else 0,
        "footer": _footer(workspace, loop, rounds, manifests),
    }


# ---------------------------------------------------------------------- rounds


@dataclass(frozen=True)
class RoundRow:
    """One row of the table of rounds, and why it ended as it did."""

    round: str
    state: str
    batch: BatchSize
    annotated: int | None
    figures: Figures | None
    golden: str | None
    decision: str | None
    why: str | None
    reasons: tuple[tuple[str, str], ...]


def _row(batch: Batch, status: Status) -> RoundRow:
    steps = batch.steps
    reasons: list[tuple[str, str]] = []
    for name, ended in (("cancel", steps.cancel), ("close", steps.close)):
        if ended is not None:
            back = f"{ended.returned} scenes went back to the pool"
            reasons.append((name, "; ".join(filter(None, (ended.reason, back)))))
    if steps.golden is not None and steps.golden.override:
        reasons.append(("golden check overridden", steps.golden.override))
    if steps.stop is not None:
        reasons += [(name, one.why) for name, one in steps.stop.criteria.items()]
    return RoundRow(
        round=batch.round,
        state=batch.state,
        batch=batch.size,
        annotated=next((one.annotated for one in status.rounds if one.round == batch.round), None),
        figures=steps.evaluate.main if steps.evaluate else None,
        golden=steps.golden.verdict if steps.golden else None,
        decision=steps.stop.decision if steps.stop else None,
        why=steps.stop.why if steps.stop else None,
        reasons=tuple(reasons),
    )


def _others(record: Evaluated) -> tuple[tuple[str, Figures], ...]:
    """Figures of the models whose failures are not mined."""
    return tuple((name, one) for name, one in record.figures.items() if name != record.modality)


def _point(batch: Batch) -> charts.Point:
    record, trained = batch.steps.evaluate, batch.steps.train
    assert record is not None
    return charts.Point(
        round=batch.round,
        scenes=trained.scenes if trained else 0,
        estimates={"map": record.main.map, "map50": record.main.map50},
    )


def _gain(evaluated: Sequence[Batch]) -> float | None:
    """mAP50 of the last evaluation less that of the one before."""
    values = [one.steps.evaluate.main.map50.value for one in evaluated[-2:] if one.steps.evaluate]
    if len(values) < 2 or values[0] is None or values[1] is None:
        return None
    return values[1] - values[0]


@dataclass(frozen=True)
class ClassRow:
    """AP50 of one class, round by round; None where val had none of it."""

    name: str
    references: int
    ap50: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class Classes:
    """Every class that val has, in the order of the class map."""

    rounds: tuple[str, ...]
    rows: tuple[ClassRow, ...]


def _classes(evaluated: Sequence[Batch], names: Sequence[str]) -> Classes:
    records = [(one.round, one.steps.evaluate.main.classes) for one in evaluated if one.steps.evaluate]
    rows = []
    for name in names:
        found = [of.get(name) for _, of in records]
        newest = next((one for one in reversed(found) if one is not None), None)
        if newest is not None:
            ap50 = tuple(one.ap50 if one is not None else None for one in found)
            rows.append(ClassRow(name, newest.references, ap50))
    return Classes(tuple(name for name, _ in records), tuple(rows))


# ---------------------------------------------------------------------- batches


@dataclass(frozen=True)
class SceneRow:
    """A scene of a batch. `answered`: the picture of the failure that it answers; `labels`: what came of it, in words."""

    scene: Chosen
    picture: Picture | None
    answered: Picture | None
    labels: tuple[str, ...]


@dataclass(frozen=True)
class BatchSection:
    """`unlisted`: scenes that are not listed; `pictured`: those with a picture; `targets`: whether any answers a failure."""

    round: str
    state: str
    batch: BatchSize
    scenes: tuple[SceneRow, ...]
    unlisted: int
    pictured: int
    targets: bool
    golden: int
    coverage: Coverage | None
    notes: tuple[str, ...]


def _best(scenes: Sequence[Chosen], most: int) -> list[Chosen]:
    """At most `most` scenes, the best of each stream in turn, in the order they came."""
    order = [(one.rank or 0, one.stream or "", i) for i, one in enumerate(scenes)]
    return [scenes[i] for i in sorted(i for _, _, i in sorted(order)[:most])]


def _illustrated(rounds: Sequence[Batch], manifests: Mapping[str, Manifest]) -> dict[str, list[str]]:
    """Round -> scenes with a picture, and the failures they answer; the last rounds first, as far as `PICTURES` goes."""
    left, out = PICTURES, {}
    for batch in reversed(rounds):
        scenes = _best(manifests[batch.round].scenes, min(PER_ROUND, left))
        left -= len(scenes)
        answered = [scene.failure for scene in scenes if scene.failure]
        out[batch.round] = list(dict.fromkeys([scene.key for scene in scenes] + answered))
    return out


def _answers(workspace: Workspace) -> dict[tuple[str, str], tuple[str, ...]]:
    """(round, scene) -> what came of it, in words, one entry per channel; a modality stands for its only channel."""
    modality_of = workspace.modality_of()
    of: Counter[str] = Counter(channel.modality for channel in workspace.rig.labelled)
    out: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in workspace.journal.assignments.find(role="pool"):
        modality = modality_of.get(row.channel, "2d")
        where = row.channel if of[modality] > 1 else modality.upper()
        words = {"labeled": str(row.count or ""), "reviewed_empty": "empty", "unreviewed": "waits"}
        told = f"{where} {words.get(row.state, row.state)}"
        out[row.round, row.key] = (*out.get((row.round, row.key), ()), told)
    return out


def _batch(
    batch: Batch,
    manifest: Manifest,
    illustrated: Sequence[str],
    images: Images,
    answers: Mapping[tuple[str, str], tuple[str, ...]],
) -> BatchSection:
    def picture(key: str | None) -> Picture | None:
        return images[key, SMALL] if key in illustrated and key is not None else None

    listed = _best(manifest.scenes, ROWS)
    rows = tuple(
        SceneRow(
            scene,
            picture(scene.key),
            picture(scene.failure),
            answers.get((batch.round, scene.key), ("returned",)),
        )
        for scene in listed
    )
    return BatchSection(
        round=batch.round,
        state=batch.state,
        batch=batch.size,
        scenes=rows,
        unlisted=len(manifest.scenes) - len(listed),
        pictured=sum(row.picture is not None for row in rows),
        targets=any(scene.failure for scene in listed),
        golden=len(manifest.golden),
        coverage=manifest.coverage,
        notes=manifest.notes,
    )


# ---------------------------------------------------------------------- failures, golden check, findings


@dataclass(frozen=True)
class ErrorBar:
    """How many errors of one kind, and their share of the most frequent kind."""

    kind: str
    name: str
    count: int
    share: float


@dataclass(frozen=True)
class Shot:
    """A failure with its picture, and what is drawn over it."""

    failure: Failure
    picture: Picture
    drawn: failures.Overlay


@dataclass(frozen=True)
class FailureSection:
    """`shown`: those with a picture; `undrawn`: why there is none. `cameras`: the labelled ones, the one that is shown first."""

    round: str
    scenes: int
    count: int
    figures: Figures
    errors: tuple[ErrorBar, ...]
    shown: tuple[Shot, ...]
    undrawn: str
    others: tuple[Failure, ...]
    cameras: tuple[str, ...]


def _wrong(workspace: Workspace, record: Evaluated, found: Sequence[Failure]) -> FailureSection:
    main, camera, undrawn = record.main, pictures.drawn(workspace.rig), ""
    if record.modality != "2d" or camera is None:
        undrawn = "They are in the cloud, which is not drawn: the list says where to look."
    shots = [] if undrawn or camera is None else _shots(workspace, camera, record, found[:FAILURES])
    most = max(main.errors.values(), default=0)
    ordered = sorted(main.errors.items(), key=lambda one: (-one[1], one[0]))
    labelled = [one.name for one in workspace.rig.images if one.labelled]
    return FailureSection(
        round=record.round,
        scenes=record.scenes,
        count=len(found),
        figures=main,
        errors=tuple(
            ErrorBar(failures.KINDS.get(kind, kind), kind, n, n / most if most else 0.0)
            for kind, n in ordered
        ),
        shown=tuple(shots),
        undrawn=undrawn,
        others=tuple(found[len(shots) : len(shots) + ROWS]),
        cameras=tuple(sorted(labelled, key=lambda name: (camera is None or name != camera.name, name))),
    )


def _shots(workspace: Workspace, camera: Channel, record: Evaluated, shown: Sequence[Failure]) -> list[Shot]:
    large = pictures.load(workspace, camera, [(failure.key, LARGE) for failure in shown])
    images = {failure.key: large[failure.key, LARGE] for failure in shown}
    drawn = failures.overlay(workspace, camera, record, images)
    return [Shot(failure, images[failure.key], drawn[failure.key]) for failure in shown]


@dataclass(frozen=True)
class GoldenSection:
    """The golden check of a round. `scale`: the rate at the end of its bars."""

    check: GoldenChecked
    scale: float


def _golden(check: GoldenChecked) -> GoldenSection:
    ends = [0.1]
    for axis in check.axes.values():
        ends += [axis.high, axis.accepted] if axis.trials else []
    return GoldenSection(check.with_(examples=check.examples[:LISTED]), min(1.0, max(ends) * 1.05))


@dataclass(frozen=True)
class RuleRow:
    """How often a rule found something, round by round, and in all."""

    rule: str
    counts: tuple[int, ...]
    total: int


@dataclass(frozen=True)
class FindingSection:
    """`rounds`: what was checked; `first`: findings of the last of them."""

    rounds: tuple[Checked, ...]
    rows: tuple[RuleRow, ...]
    first: tuple[Finding, ...]


def _findings(checks: Sequence[Checked]) -> FindingSection:
    total: Counter[str] = Counter()
    for check in checks:
        total.update(check.rules)
    rows = tuple(
        RuleRow(rule, tuple(check.rules.get(rule, 0) for check in checks), n)
        for rule, n in sorted(total.items(), key=lambda one: (-one[1], one[0]))
    )
    return FindingSection(tuple(checks), rows, checks[-1].findings[:LISTED] if checks else ())


# ---------------------------------------------------------------------- notes and footer


def _notes(
    loop: LoopRecord, rounds: Sequence[Batch], manifests: Mapping[str, Manifest], status: Status
) -> list[tuple[str, str]]:
    """(where, what) of everything that a step found worth saying."""
    notes: list[tuple[str, str]] = []
    if loop.steps.split is not None:
        notes += [("split", note) for note in loop.steps.split.notes]
    if status.set_aside:
        notes.append(("init", f"{status.set_aside} new scenes are of test drives and were set aside"))
    embedded = loop.steps.embed
    if embedded is not None and embedded.problem_count:
        first = _some((one.scene, one.reason) for one in embedded.problems)
        notes.append(
            ("embed", f"{embedded.problem_count} scenes have no usable vector and are excluded: {first}")
        )
    for batch in rounds:
        name, manifest, steps = batch.round, manifests[batch.round], batch.steps
        notes += [(f"{name} select", note) for note in manifest.notes]
        excluded = manifest.question.excluded if manifest.question else ()
        if excluded:
            notes.append((f"{name} select", f"{len(excluded)} could not be chosen: {_some(excluded)}"))
        for step, record in (
            ("fetch", steps.fetch),
            ("check", steps.check),
            ("train", steps.train),
            ("evaluate", steps.evaluate),
        ):
            notes += [(f"{name} {step}", note) for note in (record.notes if record else ())]
    return notes


def _some(scenes: Iterable[tuple[str, str]]) -> str:
    """The first five: `scene: why; scene: why`."""
    return "; ".join(f"{key}: {why}" for key, why in list(scenes)[:5])


@dataclass(frozen=True)
class Quarantine:
    """`first` of `count`: (round, label)."""

    count: int
    first: tuple[tuple[str, Left], ...]


def _quarantine(workspace: Workspace) -> Quarantine:
    """Labels that were left out at fetch, with the reason; those of test scenes are not listed."""
    modality_of = workspace.modality_of()
    listed = [
        (row.round, Left.of(row.key, modality_of.get(row.channel, ""), row.channel, one))
        for row in workspace.journal.assignments.find(rejected=True)
        if row.round != FINAL_REFERENCE
        for one in row.rejected
    ]
    return Quarantine(len(listed), tuple(listed[:LISTED]))


@dataclass(frozen=True)
class Footer:
    """What it takes to get the same again: `facts` of the loop; per round its name, the hash of its manifest, and facts."""

    facts: tuple[tuple[str, str], ...]
    rounds: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]


def _footer(
    workspace: Workspace, loop: LoopRecord, rounds: Sequence[Batch], manifests: Mapping[str, Manifest]
) -> Footer:
    steps, config, members = loop.steps, workspace.config, loop.membership
    folder = steps.init and (steps.init.kitti or steps.init.rig)
    facts = _facts(
        swath=__version__,
        seed=config.seed,
        configuration=config.hash(),
        classes=", ".join(config.classes),
        source=folder or f"FiftyOne dataset {workspace.name}",
        splits=members and members.sha256,
        test=members and members.test_sha256,
        encoder=steps.embed and steps.embed.encoder,
        embeddings=steps.embed and steps.embed.fingerprint,
    )
    named = tuple((_TITLES.get(name, name), value) for name, value in facts)
    return Footer(named, tuple(_again(one, manifests[one.round]) for one in rounds))


_TITLES: Final = {"test": "test (frozen)"}


def _again(batch: Batch, manifest: Manifest) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    question, prints = manifest.question, manifest.fingerprints
    models = batch.steps.train.models if batch.steps.train else ()
    facts = _facts(
        config=question and question.config_hash,
        embeddings=prints.embeddings,
        manifest=batch.manifest.sha256,
        model=", ".join(model.sha256 for model in models) or None,
        pool=prints.pool,
        seed=question and question.seed,
        swath=question and question.swath,
    )
    return batch.round, batch.manifest.sha256, facts


def _facts(**values: object) -> tuple[tuple[str, str], ...]:
    """Those that are known, as text."""
    return tuple((name, str(value)) for name, value in values.items() if value is not None)
