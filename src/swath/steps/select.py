"""Chooses the next batch, with a reason for every scene, and commits it; chooses a batch again, to see that it is the same.

What is chosen is `policies.selection`; here is what it is chosen from: the pool as the journal has it, vectors, the failures of
the last evaluation, and what its model sees in each candidate.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from swath import __version__, commit, evaluations, life, models
from swath.config import LoopConfig, canonical, parse
from swath.crops import encoder_of, vectors
from swath.errors import (
    ConfigError,
    FormatError,
    IntegrityError,
    StateError,
    SwathError,
    UnknownNameError,
    some,
)
from swath.evaluations import Truth
from swath.formats.readable import broken
from swath.kernels.detection import References
from swath.kernels.mistakes import Mistakes
from swath.kernels.vectors import usable
from swath.policies import objects, ratio, selection
from swath.policies.failures import Seen, ordered, rank
from swath.policies.golden import rotation
from swath.policies.selection import Vectors
from swath.records.batch import Batch, Evaluated, Failure, TrainedModel
from swath.records.manifest import Asked, AskedMode, Manifest, Question, RoundWorth, Window, Wrong
from swath.records.results import Choice, ReplayResult, SelectResult
from swath.suggest import command, meant
from swath.trainers import make
from swath.trainers.base import Predictions, Predictions3D
from swath.workspace import Workspace

WORST = 10  # times the objects that are answered: so many val scenes they are taken from


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
    question = manifest.question
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
                object=one.object,
            )
            for one in manifest.scenes
        ),
        golden=len(manifest.golden),
        excluded=question.excluded if question else (),
        notes=(*manifest.notes, *_fewer(question)),
        overlap=manifest.coverage.overlap if manifest.coverage else None,
        ratio=manifest.ratio,
        dry_run=dry_run,
    )


def _fewer(question: Question | None) -> list[str]:
    """A word where more scenes were asked for than there are."""
    if question is None or (question.budget or 0) <= len(question.candidates):
        return []
    return [
        f"{question.budget} scenes were asked for; {len(question.candidates)} could be chosen, all of them are"
    ]


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
        ("failing objects", one.objects, two.objects),
        ("windows of the candidates", one.windows, two.windows),
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
    failing: tuple[Wrong, ...] = ()
    modes = [one for one in done.main.modes if one.scenes] if done and config.select.modes.share > 0 else []
    if last is not None and done is not None:
        known = workspace.scenes.table.row_of
        there = [one for one in journal.batches.failures(last) if one.key in known]
        references = {name: one.references for name, one in done.main.classes.items()}
        most = config.select.failures
        worst = ordered(there, config.select.failure_by)
        if config.select.queries != "objects":
            failures = selection.wrong(worst, references, most)
        failures += selection.of_modes(modes, there, references, most)
        if config.select.queries != "scenes":
            failing = _failing_objects(workspace, last, done, worst, references)
    evidence: tuple[tuple[int, ...], ...] = ()
    windows: tuple[dict[str, tuple[Window, ...]], ...] = ()
    asked = bool(failing) or (bool(failures) and config.select.class_evidence > 0)
    if asked and last and done and last.steps.train is not None:
        seen, lost = _seen_in(workspace, last, found.keys)
        found = found.without(lost)
        if seen and config.select.class_evidence > 0:
            evidence = _evidence(config, seen)
        if failing:
            windows = _windows(workspace, done, found.keys, seen, failing)
    table = workspace.scenes.table
    return Question(
        number=number,
        candidates=found.keys,
        channels=found.channels,
        evidence=evidence,
        windows=windows,
        excluded=found.excluded,
        failures=(*failures, *failing),
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


Seeing = dict[str, Predictions | Predictions3D]
"""Of one scene: channel -> what a model sees in it."""


def _seen_in(workspace: Workspace, batch: Batch, keys: Sequence[str]) -> tuple[list[Seeing], dict[str, str]]:
    """What the model of `batch` sees in each candidate; and (scene -> reason) those that it cannot look at, which have no row."""
    trained, done = batch.steps.train, batch.steps.evaluate
    model = trained.of(done.modality) if trained and done else None
    if model is None:
        return [], {}
    seen: list[Seeing] = [{} for _ in keys]
    table, lost = workspace.scenes.table, dict[str, str]()
    for channel in workspace.rig.labelled:
        if channel.modality != model.modality:
            continue
        there = [row for row, key in enumerate(keys) if table.has(channel.name, key)]
        paths = {row: table.path(channel.name, keys[row]) for row in there}
        try:
            found = _seen(workspace, model, list(paths.values()))
        except FormatError as error:
            bad = [there[i] for i in broken(list(paths.values()), channel.kind)]
            if not bad:
                raise workspace.away(error) from error
            why = f"its {channel.kind} cannot be read: bring it back"
            lost |= {keys[row]: f"{why} ({paths.pop(row)})" for row in bad}
            found = _seen(workspace, model, list(paths.values()))
        for row, one in zip(paths, found, strict=True):
            seen[row][channel.name] = one
    return [one for key, one in zip(keys, seen, strict=True) if key not in lost], lost


def _evidence(config: LoopConfig, seen: Sequence[Seeing]) -> tuple[tuple[int, ...], ...]:
    """Per candidate and class of the class map, in thousandths."""
    best = np.zeros((len(seen), len(config.classes)))
    for row, channels in enumerate(seen):
        for one in channels.values():
            np.maximum.at(best[row], one.labels, one.scores)
    return selection.thousandths(best)


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


# ---------------------------------------------------------------------- failing objects


def _failing_objects(
    workspace: Workspace,
    batch: Batch,
    done: Evaluated,
    worst: Sequence[Failure],
    references: Mapping[str, int],
) -> tuple[Wrong, ...]:
    """The objects that the model of `batch` gets wrong in the worst scenes of val."""
    select = workspace.config.select
    encoder_of(workspace.config.embed.encoder)  # or says that there is none
    if batch.steps.train is None:
        raise StateError(
            f"select.queries: {batch.round} has no model to find failing objects with: `select.queries: scenes`"
        )
    if done.modality != "2d":
        raise ConfigError(
            "select.queries: objects are cut out of images, and what is mined here are clouds: `select.queries: scenes`"
        )
    keys = workspace.only("val", [one.key for one in worst[: WORST * select.failures]], "targeted selection")
    looked = []
    for truth, found, wrong in _judged(workspace, batch, done, evaluations.truths(workspace, keys, "2d")):
        wanted = truth.references
        if isinstance(found, Predictions) and isinstance(wanted, References):
            looked.append(objects.Looked(truth.key, truth.channel.name, truth.size, found, wanted, wrong))
    return objects.failing(looked, workspace.config.classes, references, select.failures)


def _windows(
    workspace: Workspace,
    done: Evaluated,
    keys: Sequence[str],
    seen: Sequence[Seeing],
    asked: Sequence[Wrong],
) -> tuple[dict[str, tuple[Window, ...]], ...]:
    """Per candidate, channel -> where it is looked at."""
    table, at = workspace.scenes.table, done.main.operating.threshold
    sought = [
        (one.object, table.size(one.object.channel, one.key)) for one in asked if one.object is not None
    ]
    return tuple(
        {
            channel: objects.windows(found, at, table.size(channel, key), sought)
            for channel, found in channels.items()
            if isinstance(found, Predictions)
        }
        for key, channels in zip(keys, seen, strict=True)
    )


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
        judged = _judged(workspace, before, done, answered)
    except IntegrityError as error:
        return RoundWorth(round=batch.round, unknown=str(error))
    seen = [Seen(one.key, wrong, found.scores, found.labels, one.positions) for one, found, wrong in judged]
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


def _judged(
    workspace: Workspace, batch: Batch, done: Evaluated, listed: Sequence[Truth]
) -> list[tuple[Truth, Predictions | Predictions3D, Mistakes]]:
    """What the model of `batch` sees in what is labelled, and what is wrong with that at its operating threshold; files that cannot be
    read are left out, and said."""
    notes: list[str] = []
    listed, found = evaluations.predict_readable(workspace, batch, listed, done.modality, notes)
    if workspace.held is not None:
        for note in notes:
            workspace.held(note)
    at, iou = done.main.operating.threshold, workspace.config.evaluate.iou
    return [
        (one, seen, evaluations.mistakes(seen, one.references, at, iou))
        for one, seen in zip(listed, found, strict=True)
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
        failures=scenes.vectors([one.key for one in question.failures if one.object is None], field),
        labelled=scenes.vectors(labelled, field),
        ids=[of_scene.get(key, "") for key in question.candidates],
        **_cut(workspace, question, config),
    )
    progress = workspace.progress("score coverage (ZCore)")
    return selection.answer(question, known, workspace.name, progress)


def _cut(workspace: Workspace, question: Question, config: LoopConfig) -> dict[str, Vectors]:
    """Vectors of the objects and windows that a question is about; none where it is about scenes."""
    asked, shown = selection.cut(question)
    if not asked:
        return {}
    encoder, table = encoder_of(config.embed.encoder), workspace.scenes.table
    wanted, looked_at = (
        [(table.path(channel, key), window) for key, channel, window in places] for places in (asked, shown)
    )
    progress = workspace.progress(f"look at {len(shown)} windows of the candidates")
    return {
        "objects": vectors(workspace.home, encoder, wanted),
        "windows": vectors(workspace.home, encoder, looked_at, progress),
    }
