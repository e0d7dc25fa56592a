"""How good are the models, and where do they fail? Predictions on val against the reference, in images and in clouds.

mAP and mAP50 with intervals by drive, and the gain over the round before, paired by drive (`policies.gain`); every prediction
typed at one operating threshold; failures of the mined modality ranked by evidence (`policies.failures`). `final` evaluates on
test instead, once its reference is there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from swath import appearance, aspects, commit, evaluations, life, opinions, tracking
from swath.errors import StateError, some
from swath.evaluations import Found, Truth
from swath.kernels import typed
from swath.kernels.detection import (
    DetectionScores,
    Matched,
    score_matches,
)
from swath.kernels.mistakes import Mistakes
from swath.labels import stored
from swath.labels.shapes import Labels, Modality
from swath.policies import failures as policy
from swath.policies import gain, strata
from swath.policies.modes import Objects, modes
from swath.policies.notable import notable
from swath.policies.opinions import excused
from swath.policies.strata import Axis
from swath.policies.unclear import CLEAR, Error, Unclear, ambiguity
from swath.records.base import Blob, Document, Estimate
from swath.records.batch import (
    FINAL_REFERENCE,
    REFERENCE,
    Batch,
    ClassFigures,
    Evaluated,
    Failure,
    Figures,
    Gain,
    Graded,
    Trainings,
)
from swath.records.matches import Matches, packed
from swath.records.results import EvaluateResult
from swath.store.journal.lease import Writer
from swath.suggest import command
from swath.words import ordinal
from swath.workspace import Workspace


def evaluate(workspace: Workspace, *, final: bool = False) -> EvaluateResult:
    """Evaluates the models of the last round on val, and tags failures; with `final`, on test (no tags, no failures). Then MLflow is
    told, where that is configured: nothing is held meanwhile."""
    return _evaluated(workspace, final).with_(told=tracking.tell(workspace))


def _evaluated(workspace: Workspace, final: bool) -> EvaluateResult:
    journal = workspace.journal
    with workspace.writer("evaluate") as writer:
        batches = journal.batches.all()
        batch = _which(workspace, batches, final)
        keys = workspace.members("test" if final else "val")
        notes: list[str] = []
        scored = _scored(workspace, batch, keys, notes)
        main = scored[0]
        unclear, errors = _unclear(workspace, batches, main, final)
        failures = () if final else _failures(workspace, main, unclear)
        earlier = _earlier(workspace, batches, batch, final)
        trained = {one.modality: _trainings(workspace, batch, one, notes) for one in scored}
        gains = {
            one.modality: _gain(workspace, batch, earlier, one, trained[one.modality], notes)
            for one in scored
        }
        uses = sum(one.steps.evaluate is not None for one in life.rounds(batches)) + 1
        if not final and uses > 1:
            notes.append(
                f"val is evaluated and mined for the {ordinal(uses)} time: a claim about gain needs the final evaluation, on test"
            )
        record = Evaluated(
            round=batch.round,
            on="test" if final else "val",
            scenes=len({truth.key for truth in main.truths}),
            modality=main.modality,
            figures={
                one.modality: one.figures(
                    workspace.config.classes,
                    gains[one.modality],
                    earlier.figures.get(one.modality) if earlier else None,
                ).with_(trainings=_repeated(workspace, batch, one.modality, trained[one.modality]))
                for one in scored
            },
            failing=len(failures),
            worst=policy.worst(failures),
            failures=Blob.model_validate(journal.batches.keep(failures)) if failures else None,
            matches={one.modality: journal.batches.keep_matches(one.matches) for one in scored},
            repeats={
                modality: tuple(journal.batches.keep_matches(one) for one in more)
                for modality, (_, *more) in trained.items()
                if more
            },
            uses=uses,
            notes=tuple(notes),
            ambiguity=ambiguity(errors),
        )
        if final:
            journal.record(writer, {f"final.{batch.round}": record})
            return EvaluateResult(record=record, failures=())
        for one in scored:
            _write_predictions(workspace, writer, batch.round, one)
        evaluations.forget(workspace, writer, batch)
        journal.lease.barrier(writer)
        batch = journal.batches.advance(writer, batch.round, "evaluate", {"evaluate": record})
        commit.project(workspace, writer, keys, views=[f"eval_{batch.round}_failures"])
        evaluations.show(workspace, writer, batch)
        appearance.show_predictions(workspace, writer, keys)
        appearance.configure(workspace, writer)
    return EvaluateResult(record=record, failures=failures)


def _which(workspace: Workspace, batches: Sequence[Batch], final: bool) -> Batch:
    """The round whose models are evaluated; `StateError` before there are models, or a reference."""
    there = life.standing(batches)
    closed = final and there and there[-1].state == "closed"
    steps = ("evaluate", "stop") if final else ("evaluate",)
    last = there[-1] if closed else life.latest(batches, *steps, dataset=workspace.name)
    if not life.reference_done(batches, final=final):
        name = FINAL_REFERENCE if final else REFERENCE
        more = ("--final",) if final else ()
        first = command("reference", workspace.name, *more, "--from", "FIELD")
        raise StateError(f"evaluate: the {name} batch has no labels yet; run `{first}`")
    if last.steps.train is None:
        raise StateError(
            f"{last.round} has no model yet; `{command('next', workspace.name)}` says what is next"
        )
    return last


@dataclass(frozen=True, eq=False)
class _Scored:
    """One model's predictions against the reference, sample by sample."""

    modality: Modality
    truths: Sequence[Truth]
    found: Sequence[Found]
    scores: DetectionScores
    mistakes: Sequence[Mistakes]
    matches: Matches
    table: typed.Table
    volume: DetectionScores | None
    axes: Sequence[Axis]
    objects: Objects
    kitti: tuple[Graded, ...]

    def seen(self, unclear: Sequence[Unclear]) -> list[policy.Seen]:
        return [
            policy.Seen(truth.key, wrong, found.scores, found.labels, truth.positions, which)
            for truth, found, wrong, which in zip(
                self.truths, self.found, self.mistakes, unclear, strict=True
            )
        ]

    def figures(self, classes: Sequence[str], gain: Gain | None, before: Figures | None) -> Figures:
        scores = asdict(self.scores)
        for one in scores["classes"]:
            one["drives"] = one.pop("clusters")
        threshold, traits = self.scores.operating.threshold, strata.traits(self.axes)
        return Figures(
            map=scores["map"],
            map50=scores["map50"],
            classes={
                name: ClassFigures.model_validate(one)
                for name, one in zip(classes, scores["classes"], strict=True)
                if one["references"]
            },
            operating=scores["operating"],
            errors=policy.kinds(self.mistakes),
            drives=self.scores.clusters,
            gain=gain,
            mending={kind: round(one, 6) for kind, one in typed.gains(self.table, len(classes)).items()},
            strata=strata.strata(self.table, len(classes), threshold, self.axes),
            volume={name: Estimate(**asdict(getattr(self.volume, name))) for name in ("map", "map50")}
            if self.volume
            else {},
            modes=modes(
                traits, self.table.found_by(threshold) < 0, before.modes if before else (), self.objects
            ),
            kitti=self.kitti,
            confusion=policy.confusion(self.seen([CLEAR] * len(self.truths)), classes),
        )


def _unclear(
    workspace: Workspace, batches: Sequence[Batch], scored: _Scored, final: bool
) -> tuple[list[Unclear], list[Error]]:
    """Which errors people disagree about as well, sample by sample; and every error in a sample that was labelled more than once."""
    classes = workspace.config.classes
    made = next((one for one in reversed(life.references(batches, final=final)) if not one.cancelled), None)
    drawn = _opinions(workspace, made, {truth.key for truth in scored.truths}) if made else {}
    table = workspace.scenes.of({truth.key for truth in scored.truths})
    which: list[Unclear] = []
    errors: list[Error] = []
    for truth, found, wrong in zip(scored.truths, scored.found, scored.mistakes, strict=True):
        labellings = drawn.get((truth.key, truth.channel.name), ())
        if len(labellings) < 2:
            which.append(CLEAR)
            continue
        lost = [row for row, fate in enumerate(wrong.fates) if fate != "found"]
        kept = zip(wrong.kept.tolist(), wrong.kinds, strict=True)
        false = [row for row, kind in kept if kind != "right"]
        missed = truth.labels.take(truth.rows[np.array(lost, np.int64)])
        invented = evaluations.labels_of(found, classes).take(np.array(false, np.int64))
        one, other = excused(labellings, missed, invented)
        which.append(
            Unclear(
                frozenset(row for row, yes in zip(lost, one, strict=True) if yes),
                frozenset(row for row, yes in zip(false, other, strict=True) if yes),
            )
        )
        drive = table.drive(truth.key)
        errors += [Error(drive, name, bool(yes)) for name, yes in zip(missed.classes, one, strict=True)]
        errors += [Error(drive, name, bool(yes)) for name, yes in zip(invented.classes, other, strict=True)]
    return which, errors


def _opinions(
    workspace: Workspace, made: Batch, keys: Collection[str]
) -> dict[tuple[str, str], tuple[Labels, ...]]:
    """(scene, channel) -> the labellings of a reference, where there are several."""
    rows = workspace.journal.assignments.find(round=made.round, keys=keys)
    asked = opinions.several(rows)
    out: dict[tuple[str, str], tuple[Labels, ...]] = {}
    for channel in workspace.rig.labelled:
        mine = [row for (_, name), them in asked.items() if name == channel.name for row in them]
        for key, by_slot in opinions.there(workspace, made.round, channel, mine).items():
            out[key, channel.name] = tuple(by_slot[slot].labels for slot in sorted(by_slot))
    return out


def _failures(workspace: Workspace, scored: _Scored, unclear: Sequence[Unclear]) -> tuple[Failure, ...]:
    """The scenes that a model gets wrong, worst first, those that are worth a look marked."""
    ranked = policy.rank(scored.seen(unclear), workspace.config.classes)
    keys = {truth.key for truth in scored.truths}
    table = workspace.scenes.of(keys)
    chosen = {one.key for one in notable(ranked, {key: table.drive(key) for key in keys})}
    return tuple(one.with_(notable=one.key in chosen) for one in ranked)


def _scored(workspace: Workspace, batch: Batch, keys: Sequence[str], notes: list[str]) -> list[_Scored]:
    """Every model of a round, scored; the one whose failures are mined first (of images, where there is one)."""
    trained = batch.steps.train
    scored: list[_Scored] = []
    for model in trained.models if trained else ():
        truths = evaluations.truths(workspace, keys, model.modality)
        without = sorted(set(keys) - {truth.key for truth in truths})
        if not truths and not scored:
            fields = workspace.config.fields
            field = fields.detections if model.modality == "2d" else fields.cuboids
            raise StateError(f"evaluate: none of {len(keys)} scenes has a reference in {field!r}")
        if without:
            which = "" if not scored else f"{model.modality} "
            notes.append(f"{len(without)} scenes have no {which}reference and are left out: {some(without)}")
        if truths:
            scored.append(_score(workspace, batch, truths, model.modality, notes))
    return scored


def _score(
    workspace: Workspace, batch: Batch, truths: Sequence[Truth], modality: Modality, notes: list[str]
) -> _Scored:
    config = workspace.config
    truths, found = evaluations.predict_readable(workspace, batch, truths, modality, notes)
    table = workspace.scenes.of({truth.key for truth in truths})
    drives = [table.drive(truth.key) for truth in truths]
    wanted, classes, strict = (
        [truth.references for truth in truths],
        len(config.classes),
        int(modality == "3d"),
    )

    def scored(by: Literal["bev", "3d"], *seed: int) -> tuple[Sequence[Matched], DetectionScores]:
        matched, precision = evaluations.matched(found, wanted, classes, by)
        rng = np.random.default_rng([config.seed, batch.number or 0, 0xE7A1, *seed])
        resamples, over = config.evaluate.resamples, slice(strict, None)
        return matched, score_matches(
            matched, drives, rng=rng, resamples=resamples, precision=precision, strict=over
        )

    volume = scored("3d", 4)[1] if modality == "3d" else None
    matched, scores = scored("bev", *([3] if modality == "3d" else []))
    threshold = scores.operating.threshold
    mistakes = [
        evaluations.mistakes(one, truth.references, threshold, config.evaluate.iou)
        for one, truth in zip(found, truths, strict=True)
    ]
    samples = [
        (truth.key, truth.channel.name, drive, truth.digest)
        for truth, drive in zip(truths, drives, strict=True)
    ]
    shared = [evaluations.overlap(one, truth) for one, truth in zip(found, truths, strict=True)]
    every = typed.table(
        (one.scores, one.labels, truth.positions, iou)
        for one, truth, iou in zip(found, truths, shared, strict=True)
    )
    return _Scored(
        modality,
        truths,
        found,
        scores,
        mistakes,
        packed(matched, samples, strict),
        every,
        volume,
        aspects.axes(workspace, truths, found, every, notes),
        aspects.Objects(workspace, truths),
        aspects.by_kitti(workspace, truths, found, shared),
    )


# ---------------------------------------------------------------------- repeated trainings


def _trainings(workspace: Workspace, batch: Batch, scored: _Scored, notes: list[str]) -> tuple[Matches, ...]:
    """What every training of a model found in the samples that the round's own was scored on, that one first."""
    classes, own = len(workspace.config.classes), scored.matches
    wanted = [truth.references for truth in scored.truths]
    more = batch.steps.train.trainings(scored.modality)[1:] if batch.steps.train else ()
    found = [evaluations.predict_with(workspace, one, scored.truths, notes) for one in more]
    return own, *(
        packed(evaluations.matched(one, wanted, classes)[0], own.samples, own.strict) for one in found
    )


def _repeated(
    workspace: Workspace, batch: Batch, modality: Modality, found: Sequence[Matches]
) -> Trainings | None:
    """How far the trainings are from each other; None of one."""
    if len(found) < 2 or batch.steps.train is None:
        return None
    rng = np.random.default_rng([workspace.config.seed, batch.number or 0, 0x7EA1])
    trained = batch.steps.train.trainings(modality)
    return gain.repeated(trained, found, rng=rng, resamples=workspace.config.evaluate.resamples)


# ---------------------------------------------------------------------- the gain


def _earlier(workspace: Workspace, batches: Sequence[Batch], batch: Batch, final: bool) -> Evaluated | None:
    """The evaluation on the same split that came before: of the round before, or of an earlier round's final one."""
    before = [one for one in life.standing(batches) if (one.number or 0) < (batch.number or 0)]
    if final:
        finals = workspace.journal.loop().steps.final
        return next((finals[one.round] for one in reversed(before) if one.round in finals), None)
    there = (one.steps.evaluate for one in reversed(before))
    return next((one for one in there if one is not None and one.on == "val"), None)


def _gain(
    workspace: Workspace,
    batch: Batch,
    earlier: Evaluated | None,
    scored: _Scored,
    now: Sequence[Matches],
    notes: list[str],
) -> Gain | None:
    """The gain over an earlier evaluation; a note says why there is none."""
    if earlier is None or scored.modality not in earlier.figures:
        return None
    before = workspace.journal.batches.matches_of_all(earlier, scored.modality)
    if not before:
        notes.append(
            f"no gain over {earlier.round}: it was evaluated by an earlier swath, which did not keep what it takes to pair"
        )
        return None
    config = workspace.config
    found = gain.gain(
        earlier.round,
        before,
        now,
        rng=np.random.default_rng([config.seed, batch.number or 0, 0x6A14]),
        resamples=config.evaluate.resamples,
    )
    if found.left_out:
        notes.append(
            f"the gain over {earlier.round} leaves out {found.left_out} scenes: without a reference in one of the rounds, or with "
            "one that was changed in between"
        )
    return found


def _write_predictions(workspace: Workspace, writer: Writer, name: str, scored: _Scored) -> None:
    rig, classes = workspace.rig, workspace.config.classes
    values: dict[str, dict[str, Document]] = {}
    for truth, found in zip(scored.truths, scored.found, strict=True):
        documents = evaluations.documents(rig, classes, name, truth, found)
        field = {truth.channel.predictions: stored.field_of(documents)}
        values.setdefault(truth.channel.name, {})[truth.key] = field
    for channel, of_channel in values.items():
        workspace.scenes.write(channel, of_channel, writer)
