"""What the journal knows: of one scene, of one batch, of the whole loop. Reads; writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

from swath import life, projection
from swath.errors import StateError, UnknownNameError, some
from swath.kernels.vectors import usable
from swath.records.assignment import Assignment
from swath.records.base import Estimate
from swath.records.batch import Batch, GoldenChecked, Stopped
from swath.records.results import (
    BatchResult,
    BatchScene,
    Choice,
    EmbeddingStatus,
    EvaluateResult,
    ExplainedFailure,
    ExplainedFinding,
    ExplainedRound,
    ExplainResult,
    Pool,
    ReferenceStatus,
    RoundStatus,
    Status,
)
from swath.records.shown import Next, SceneState
from swath.settings import shortly
from swath.suggest import command, meant
from swath.workspace import Workspace


def explain(workspace: Workspace, name: str) -> ExplainResult:
    """Why a scene is where it is: split, rounds with stream, rank, score and reason, answers, checks, failures. `name`: its key
    or FiftyOne id."""
    key = _key(workspace, name)
    table = workspace.scenes.of([key])
    journal = workspace.journal
    state = workspace.states([key])[key] if workspace.is_split() else None
    asked = journal.assignments.find(keys=[key])
    rounds, failures, findings = [], [], []
    for batch in journal.batches.all():
        answers = tuple(row for row in asked if row.round == batch.round)
        if answers:
            manifest = journal.batches.manifest(batch)
            chosen = next((one for one in manifest.scenes if one.key == key), None)
            rounds.append(
                ExplainedRound(
                    round=batch.round,
                    state=batch.state,
                    chosen=chosen,
                    answers=answers,
                    modality_of=workspace.modality_of(),
                    ratio=manifest.ratio if chosen else None,
                )
            )
        for failure in journal.batches.failures(batch):
            if failure.key == key:
                failures.append(ExplainedFailure(round=batch.round, failure=failure))
        for finding in batch.steps.check.findings if batch.steps.check else ():
            if finding.scene == key:
                findings.append(ExplainedFinding(round=batch.round, finding=finding))
    split = "not split yet"
    if workspace.is_split():
        split = workspace.membership().get(key, "not in the journal") or "set aside"
    return ExplainResult(
        scene=key,
        id=str(table.ids[0]),
        split=split,
        sequence=str(table.sequence[0]),
        status=state.status if state else "unlabeled",
        tags=state.tags if state else (),
        media={name: str(paths[0]) for name, paths in table.paths.items() if paths[0]},
        rounds=tuple(rounds),
        failures=tuple(failures),
        findings=tuple(findings),
        drawn={channel: n for (_, channel), n in workspace.drawn(asked).items()},
        no_vector=_no_vector(workspace, key, split),
        notes=tuple(_not_as_told(workspace, key, state, asked)),
    )


def _not_as_told(
    workspace: Workspace, key: str, state: SceneState | None, asked: Sequence[Assignment]
) -> list[str]:
    """What to say where the samples of a scene are not what the journal says: tags, status, labels."""
    said = [
        f"{channel}: labels came, and are gone from {workspace.rig[channel].human}: nothing is learned from it or compared with it"
        for channel in workspace.bare(asked)
    ]
    differ = [] if state is None else workspace.scenes.differences({key: state}, [key])
    if differ:
        found = some([f"{one.slice} {one.what}: {one.found or 'nothing'}".lstrip() for one in differ], 3)
        said.insert(
            0, f"its samples say otherwise ({found}); `{command('repair', workspace.name)}` puts that right"
        )
    return said


def _no_vector(workspace: Workspace, key: str, split: str) -> str | None:
    """Why a scene that is embedded has no usable vector; None where it has one, or needs none."""
    embedded = workspace.journal.loop().steps.embed
    if embedded is None or split not in projection.EMBEDDED:
        return None
    if usable(workspace.scenes.vectors([key], workspace.config.fields.embeddings)).all():
        return None
    known = next((one.reason for one in embedded.problems if one.scene == key), None)
    return known or f"run `{command('embed', workspace.name)}`"


def _key(workspace: Workspace, name: str) -> str:
    if len(workspace.scenes.of([name])):
        return name
    found = workspace.scenes.keys_of([name])
    if name not in found:
        raise UnknownNameError(
            f"no scene {shortly(name)}{meant(name, workspace.scenes.all_keys())}; keys look like "
            f"{some(workspace.scenes.some_keys(3), 3)} (a FiftyOne id works too)"
        )
    return found[name]


def list_batch(workspace: Workspace, name: str) -> BatchResult:
    """A committed batch, scene by scene: why it was chosen, and what became of it."""
    journal, primary = workspace.journal, workspace.rig.primary
    batch = journal.batches.get(name)
    manifest = journal.batches.manifest(batch)
    keys = [scene.key for scene in manifest.scenes]
    table, states = workspace.scenes.of(keys), workspace.states(keys)
    answers: dict[str, dict[str, str]] = {}
    for row in journal.assignments.find(round=name):
        told = f"{row.count} labels" if row.state == "labeled" else row.state
        answers.setdefault(row.key, {})[row.channel] = told
    scenes = tuple(
        BatchScene(
            choice=Choice(
                key=one.key,
                stream=one.stream or manifest.role,
                rank=one.rank or 0,
                score=one.score or 0.0,
                reason=one.reason or "",
                failure=one.failure,
                similarity=one.similarity,
                object=one.object,
            ),
            status=states[one.key].status,
            answers=answers.get(one.key, {}),
            picture=table.path(primary, one.key) if one.key in table.row_of else "",
        )
        for one in manifest.scenes
    )
    return BatchResult(
        round=name,
        state=batch.state,
        size=batch.size,
        scenes=scenes,
        golden=len(manifest.golden),
        excluded=manifest.question.excluded if manifest.question else (),
        notes=manifest.notes,
        overlap=manifest.coverage.overlap if manifest.coverage else None,
        ratio=manifest.ratio,
    )


def status(workspace: Workspace, plan: Next) -> Status:
    """Progress by scene and slice, round by round."""
    journal, scenes = workspace.journal, workspace.scenes
    loop, batches = journal.loop(), journal.batches.all()
    members = journal.members(loop) if loop.membership else {}
    states = workspace.states() if members else {}
    there = scenes.all_keys()
    pool = Counter(states[key].status for key, split in members.items() if split == "pool" and key in there)
    sizes = Counter(members.values())
    embedded = loop.steps.embed
    reference = next((one for one in life.references(batches) if not one.cancelled), None)
    annotated = Counter(
        tag.removeprefix("annotated:")
        for state in states.values()
        for tag in state.tags
        if tag.startswith("annotated:")
    )
    return Status(
        dataset=workspace.name,
        scenes=len(there),
        slices=scenes.count_by_slice(),
        splits={name: sizes[name] for name in projection.SPLITS} if members else {},
        pool=Pool(
            total=sum(pool.values()),
            selected=pool["selected"],
            annotated=pool["annotated"],
            unlabeled=pool["unlabeled"],
        ),
        rounds=tuple(_round(batch, annotated[batch.round]) for batch in life.rounds(batches)),
        next=plan,
        embeddings=embedded
        and EmbeddingStatus(
            encoder=embedded.encoder,
            scenes=embedded.scenes,
            dim=embedded.dim,
            problem_count=embedded.problem_count,
        ),
        reference=reference and ReferenceStatus(state=reference.state, scenes=reference.size.size),
        set_aside=sizes[""],
        held_by=journal.lease.holder(),
    )


def _round(batch: Batch, annotated: int) -> RoundStatus:
    steps = batch.steps
    main = steps.evaluate.main if steps.evaluate else None
    return RoundStatus(
        round=batch.round,
        state=batch.state,
        batch=batch.size,
        annotated=annotated,
        map=main.map.value if main else None,
        map50=main.map50.value if main else None,
        gain=main.gain if main else None,
        golden=steps.golden.verdict if steps.golden else None,
        decision=steps.stop.decision if steps.stop else None,
        map_range=_range(main.map if main else None),
        map50_range=_range(main.map50 if main else None),
        trainings=main.trainings if main else None,
    )


def _range(of: Estimate | None) -> tuple[float, float] | None:
    return None if of is None or of.low is None or of.high is None else (of.low, of.high)


# ---------------------------------------------------------------------- what was decided, again


def last_golden(workspace: Workspace) -> GoldenChecked:
    """What the last golden check said."""
    found = [one.steps.golden for one in life.standing(workspace.journal.batches.all()) if one.steps.golden]
    return found[-1] if found else _never(workspace, "golden")


def last_stopped(workspace: Workspace) -> Stopped:
    """What was decided after the last round that was."""
    found = [one.steps.stop for one in life.standing(workspace.journal.batches.all()) if one.steps.stop]
    return found[-1] if found else _never(workspace, "stop")


def last_evaluated(workspace: Workspace, *, final: bool = False) -> EvaluateResult:
    """The last evaluation, on val or, with `final`, on test."""
    journal = workspace.journal
    if final:
        tests = sorted(journal.loop().steps.final.items())
        return EvaluateResult(record=tests[-1][1], failures=()) if tests else _never(workspace, "evaluate")
    for batch in reversed(life.evaluated(journal.batches.all())):
        if batch.steps.evaluate is not None:
            return EvaluateResult(record=batch.steps.evaluate, failures=journal.batches.failures(batch))
    return _never(workspace, "evaluate")


def _never(workspace: Workspace, step: str) -> NoReturn:
    how = command("next", workspace.name, "--plan")
    raise StateError(
        f"{step}: there is nothing to show yet, no round has come so far; `{how}` says what is next"
    )
