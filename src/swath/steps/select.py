"""Chooses the next batch, with a reason for every scene, and commits it; chooses a batch again, to see that it is the same.

What is chosen is `policies.selection`; here is what it is chosen from: the pool as the journal has it, vectors, the failures of
the last evaluation, and what its model sees in each candidate.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from swath import __version__, commit, evaluations, life, models
from swath.config import LoopConfig, canonical, parse
from swath.errors import FormatError, IntegrityError, StateError, SwathError, UnknownNameError, some
from swath.evaluations import Truth
from swath.formats.readable import broken
from swath.kernels.vectors import usable
from swath.policies import ratio, selection
from swath.policies.failures import Seen, ordered, rank
from swath.policies.golden import rotation
from swath.records.batch import Batch, Evaluated, TrainedModel
from swath.records.manifest import Asked, AskedMode, Manifest, Question, RoundWorth, Wrong
from swath.records.results import Choice, ReplayResult, SelectResult
from swath.suggest import command, meant
from swath.trainers import make
from swath.trainers.base import Predictions, Predictions3D
from swath.workspace import Workspace


def select(
    workspace: Workspace,
    *,
    exclude: Sequence[str] = (),
    dry_run: bool = False,
    anyway: bool = False,
    budget: int | None = None,
) -> SelectResult:
    """Chooses and commits the next round. `dry_run` writes nothing; `anyway` goes on after a decision to stop; `budget`: so many
    scenes, in place of the configured share."""
    if budget is not None and budget < 1:
        raise StateError(f"select: expected a budget of at least 1 scene, got {budget}")
    if dry_run:
        return result_of(workspace.name, _decide(workspace, exclude, anyway, budget).manifest, dry_run=True)
    with workspace.writer("select") as writer:
        chosen = _decide(workspace, exclude, anyway, budget)
        question = chosen.manifest.question
        field = workspace.config.fields.zcore
        keys = question.candidates if question else ()
        values = {key: {field: score} for key, score in zip(keys, chosen.scores.tolist(), strict=True)}
        workspace.scenes.write(workspace.rig.primary, values, writer)
        commit.plan(workspace, writer, chosen.manifest)
    result = result_of(workspace.name, chosen.manifest, dry_run=False)
    return result.with_(notes=(*result.notes, *_nothing_left(workspace.name, chosen.manifest)))


def _nothing_left(dataset: str, manifest: Manifest) -> list[str]:
    """A word where the first batch takes the whole pool: there is nothing left to target then."""
    question = manifest.question
    if question is None or question.answers is not None or manifest.size.size < len(question.candidates):
        return []
    back = command("round cancel", dataset, manifest.round, "--reason", "REASON")
    fewer = command("select", dataset, "--budget", "N")
    return [
        f"{manifest.round} takes all {manifest.size.size} candidates: no later batch can be like the failures; for a smaller one "
        f"`{back}`, then `{fewer}`"
    ]


def result_of(dataset: str, manifest: Manifest, *, dry_run: bool) -> SelectResult:
    """A manifest as users see it."""
    return SelectResult(
        dataset=dataset,
        round=manifest.round,
        **manifest.size.model_dump(),
        scenes=tuple(
            Choice(
                key=one.key,
                stream=one.stream or "coverage",
                rank=one.rank or 0,
                score=one.score or 0.0,
                reason=one.reason or "",
                failure=one.failure,
                similarity=one.similarity,
            )
            for one in manifest.scenes
        ),
        golden=len(manifest.golden),
        excluded=manifest.question.excluded if manifest.question else (),
        notes=manifest.notes,
        overlap=manifest.coverage.overlap if manifest.coverage else None,
        ratio=manifest.ratio,
        dry_run=dry_run,
    )


def replay(workspace: Workspace, name: str) -> ReplayResult:
    """Chooses the batch of a round again, from its manifest and today's vectors and code."""
    old = workspace.journal.batches.manifest(workspace.journal.batches.get(name))
    if old.question is None:
        raise StateError(f"{name} was not chosen by swath: there is nothing to replay")
    try:
        new = _answer(workspace, old.question).manifest
    except SwathError as error:
        return ReplayResult(round=name, equal=False, differs=(f"it cannot be chosen again: {error}",))
    if _bytes(old) == _bytes(new):
        return ReplayResult(round=name, equal=True)
    before, after = ({scene.key for scene in one.scenes} for one in (old, new))
    return ReplayResult(
        round=name,
        equal=False,
        differs=tuple(_differences(old, new)),
        added=tuple(sorted(after - before)),
        removed=tuple(sorted(before - after)),
    )


def _bytes(manifest: Manifest) -> bytes:
    """What a replay compares. 0.1.0 rounded targeted scores to float32 on their way: of its rounds they are compared so."""
    if manifest.question is not None and manifest.question.swath == "0.1.0":
        scenes = tuple(
            one.with_(score=round(one.score, 5) if one.score is not None else None) for one in manifest.scenes
        )
        manifest = manifest.with_(scenes=scenes)
    return canonical(manifest.document())


def _differences(old: Manifest, new: Manifest) -> list[str]:
    differs = []
    one, two = old.fingerprints, new.fingerprints
    for whose, then, now in (
        ("candidates", one.embeddings, two.embeddings),
        ("failures", one.failures, two.failures),
        ("labelled scenes", one.labelled, two.labelled),
    ):
        if then != now:
            differs.append(f"embeddings: the vectors of the {whose} are not the ones it was chosen with")
    for part, then_ in sorted(old.question.versions.items() if old.question else ()):
        now_ = _versions().get(part)
        if then_ != now_:
            differs.append(f"code: {part} {now_} now, {then_} then")
    differs += [
        f"{part}: not the same"
        for part in Manifest.model_fields
        if part not in ("fingerprints", "question") and getattr(old, part) != getattr(new, part)
    ]
    return differs


# ---------------------------------------------------------------------- the question


def _decide(
    workspace: Workspace, exclude: Sequence[str], anyway: bool, budget: int | None
) -> selection.Answer:
    """The manifest of the next round, and the coverage score of every candidate. Reads; writes nothing."""
    return _answer(workspace, _ask(workspace, exclude, anyway, budget))


def _ask(workspace: Workspace, exclude: Sequence[str], anyway: bool, budget: int | None) -> Question:
    """What the next round is chosen from, as the journal stands."""
    journal, config = workspace.journal, workspace.config
    batches = journal.batches.all()
    last = life.may_select(batches, anyway=anyway, dataset=workspace.name)
    number = life.next_number(batches)
    found = _candidates(workspace, exclude)
    done = last.steps.evaluate if last else None
    failures: tuple[Wrong, ...] = ()
    modes = [one for one in done.main.modes if one.scenes] if done and config.select.modes.share > 0 else []
    if last is not None and done is not None:
        known = workspace.scenes.table.row_of
        there = [one for one in journal.batches.failures(last) if one.key in known]
        references = {name: one.references for name, one in done.main.classes.items()}
        most = config.select.failures
        failures = selection.wrong(ordered(there, config.select.failure_by), references, most)
        failures += selection.of_modes(modes, there, references, most)
    evidence: tuple[tuple[int, ...], ...] = ()
    if failures and config.select.class_evidence > 0 and last and last.steps.train is not None:
        evidence, lost = _evidence(workspace, last, found.keys)
        found = found.without(lost)
    table = workspace.scenes.table
    return Question(
        number=number,
        candidates=found.keys,
        channels=found.channels,
        evidence=evidence,
        excluded=found.excluded,
        failures=failures,
        modes=tuple(AskedMode(name=one.name, objects=one.objects, missed=one.missed) for one in modes),
        answers=last.round if last else None,
        labelled=_labelled(workspace, config, number),
        worths=_worths(workspace, life.standing(batches)) if config.select.ratio == "adaptive" else (),
        golden=tuple(
            Asked(key=key, channels=tuple(one.name for one in workspace.channels_of(table, key)))
            for key in rotation(workspace.members("golden"), config.golden.per_round, number, config.seed)
        ),
        budget=budget,
        config=config.model_dump(mode="json"),
        config_hash=config.hash(),
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    return {"swath": __version__, "numpy": np.__version__, "python": platform.python_version()}


def _candidates(workspace: Workspace, exclude: Sequence[str]) -> selection.Candidates:
    pool = workspace.members("pool")
    unknown = sorted(set(exclude) - set(pool))
    if unknown:
        workspace.not_test(unknown, "select --exclude")
        raise UnknownNameError(
            f"--exclude: not in the pool: {some(unknown)}{meant(unknown[0], pool)}; pool keys look like {some(pool, 3)}"
        )
    states = workspace.states()
    waiting = [key for key in pool if states[key].status == "unlabeled"]
    good = usable(workspace.scenes.vectors(waiting, workspace.config.fields.embeddings))
    if not good.any() and waiting:
        raise StateError(
            f"none of {len(waiting)} pool scenes has a usable vector in {workspace.config.fields.embeddings!r}; "
            f"run `{command('embed', workspace.name)}`"
        )
    table = workspace.scenes.table
    offered = {key: [one.name for one in workspace.channels_of(table, key)] for key in waiting}
    with_vector = {key for key, fine in zip(waiting, good, strict=True) if fine}
    return selection.candidates(
        offered, with_vector, workspace.journal.assignments.find(role="pool"), exclude
    )


def _labelled(workspace: Workspace, config: LoopConfig, before: int) -> tuple[str, ...]:
    """Pool scenes whose labels came in a round before round number `before`, sorted; none where coverage doesn't look at them."""
    if config.select.coverage_method == "zcore":
        return ()
    number = {one.round: one.number for one in workspace.journal.batches.all()}
    modality = workspace.rig.modalities[0]
    of = workspace.modality_of()
    keys = {
        row.key
        for row in workspace.journal.assignments.labelled(role="pool")
        if of.get(row.channel) == modality and (number.get(row.round) or 0) < before
    }
    return tuple(workspace.scenes.table.known(sorted(keys)))


def _evidence(
    workspace: Workspace, batch: Batch, keys: Sequence[str]
) -> tuple[tuple[tuple[int, ...], ...], dict[str, str]]:
    """What the model of `batch` sees in each candidate, per class of the class map, in thousandths; and (scene -> reason) those that
    it cannot look at, which have no row."""
    trained, done = batch.steps.train, batch.steps.evaluate
    model = trained.of(done.modality) if trained and done else None
    if model is None:
        return (), {}
    best = np.zeros((len(keys), len(workspace.config.classes)))
    table, lost = workspace.scenes.table, dict[str, str]()
    for channel in workspace.rig.labelled:
        if channel.modality != model.modality:
            continue
        there = [row for row, key in enumerate(keys) if table.has(channel.name, key)]
        paths = {row: table.path(channel.name, keys[row]) for row in there}
        try:
            found = _seen(workspace, model, list(paths.values()))
        except FormatError:
            bad = [there[i] for i in broken(list(paths.values()), channel.kind)]
            if not bad:
                raise
            why = f"its {channel.kind} cannot be read: bring it back"
            lost |= {keys[row]: f"{why} ({paths.pop(row)})" for row in bad}
            found = _seen(workspace, model, list(paths.values()))
        for row, one in zip(paths, found, strict=True):
            np.maximum.at(best[row], one.labels, one.scores)
    return selection.thousandths(best[[key not in lost for key in keys]]), lost


def _seen(
    workspace: Workspace, model: TrainedModel, paths: list[str]
) -> Sequence[Predictions | Predictions3D]:
    tick = workspace.progress(f"look for failing kinds in {len(paths)} candidates")
    trainer = make(workspace.config.train, model.modality, model.trainer)
    found = trainer.predict(models.load(workspace.home, model), paths, progress=tick)
    if workspace.held is not None:
        for note in trainer.notes:
            workspace.held(note)
    return found


# ---------------------------------------------------------------------- what the streams were worth


def _worths(workspace: Workspace, there: Sequence[Batch]) -> tuple[RoundWorth, ...]:
    """Of each round that had a round before it: as the last question has it, else measured now."""
    last = workspace.journal.batches.manifest(there[-1]).question if there else None
    known = {one.round: one for one in last.worths if one.unknown is None} if last else {}
    return tuple(known.get(one.round) or _worth(workspace, before, one) for before, one in pairwise(there))


def _worth(workspace: Workspace, before: Batch, batch: Batch) -> RoundWorth:
    """What the streams of a round were worth: the errors of the model before it in what was labelled."""
    done = before.steps.evaluate
    if done is None or before.steps.train is None:
        return RoundWorth(round=batch.round, unknown=f"{before.round} has no evaluated model")
    of = workspace.modality_of()
    rows = workspace.journal.assignments.labelled(round=batch.round, role="pool")
    asked = {(row.key, row.channel) for row in rows if of.get(row.channel) == done.modality}
    keys = workspace.only("pool", sorted({key for key, _ in asked}), "select")
    there = evaluations.truths(workspace, keys, done.modality)
    answered = [one for one in there if (one.key, one.channel.name) in asked]
    try:
        seen = _checked(workspace, before, done, answered)
    except IntegrityError as error:
        return RoundWorth(round=batch.round, unknown=str(error))
    looked_at = {one.key for one in seen}
    chosen = workspace.journal.batches.manifest(batch).scenes
    streams = {one.key: one.stream for one in chosen if one.stream and one.key in looked_at}
    drawn = {key: {"2d": 0, "3d": 0} for key in streams}
    for row in rows:
        if row.key in drawn and row.channel in of:
            drawn[row.key][of[row.channel]] += row.count or 0
    cost = workspace.config.cost
    seconds = {key: ratio.price(cost, boxes=n["2d"], cuboids=n["3d"]) for key, n in drawn.items()}
    return ratio.worth(batch.round, streams, seconds, rank(seen, workspace.config.classes))


def _checked(workspace: Workspace, batch: Batch, done: Evaluated, labelled: Sequence[Truth]) -> list[Seen]:
    """What the model of `batch` gets wrong in what is labelled, at its operating threshold; files that cannot be read are left out,
    and said."""
    notes: list[str] = []
    labelled, found = evaluations.predicted(workspace, batch, labelled, done.modality, notes)
    if workspace.held is not None:
        for note in notes:
            workspace.held(note)
    at, iou = done.main.operating.threshold, workspace.config.evaluate.iou
    return [
        Seen(
            one.key,
            evaluations.mistakes(seen, one.references, at, iou),
            seen.scores,
            seen.labels,
            one.positions,
        )
        for one, seen in zip(labelled, found, strict=True)
    ]


# ---------------------------------------------------------------------- the answer


def _answer(workspace: Workspace, question: Question) -> selection.Answer:
    """Answers a question from the vectors that are there today."""
    workspace.only("pool", question.candidates, "select")
    workspace.only("val", [one.key for one in question.failures], "targeted selection")
    scenes = workspace.scenes
    config = parse(question.config, f"the manifest of v{question.number}")
    field = config.fields.embeddings
    labelled = question.labelled or _labelled(workspace, config, question.number)  # 0.1.0 did not keep them
    of_scene = dict(zip(scenes.table.keys.tolist(), scenes.table.ids.tolist(), strict=True))
    known = selection.Known(
        vectors=scenes.vectors(question.candidates, field),
        failures=scenes.vectors([one.key for one in question.failures], field),
        labelled=scenes.vectors(labelled, field),
        ids=[of_scene.get(key, "") for key in question.candidates],
    )
    progress = workspace.progress("score coverage (ZCore)")
    return selection.answer(question, known, workspace.name, progress)
