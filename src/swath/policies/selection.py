"""Which scenes come next, and why: from a question (records) and vectors (arrays) to the manifest of a batch.

The first batch is chosen for coverage alone. Later ones give `ceil(30 %)` of the budget to coverage and the rest to scenes
that look like the failures of the last evaluation, failure by failure in turn (`kernels.allocate`); failure modes can have a share
of it for themselves (`select.modes`). The share for coverage can learn (`policies.ratio`). The same question and vectors give the
same manifest, byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from swath.config import LoopConfig, Modes, Select, digest, parse
from swath.errors import StateError, some
from swath.kernels import zcore
from swath.kernels.allocate import Allocation, allocate
from swath.kernels.coverage import coverage_scores
from swath.kernels.evidence import class_evidence, nearest_with_evidence
from swath.kernels.vectors import cosine, fingerprint, usable
from swath.policies import ratio
from swath.records.assignment import Assignment
from swath.records.batch import Failure, Mode
from swath.records.manifest import (
    BatchSize,
    Chosen,
    Coverage,
    Fingerprints,
    Manifest,
    ModePlaces,
    Question,
    Ratio,
    Stream,
    Window,
    Wrong,
)
from swath.suggest import command

Vectors = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

NONE: Final[Vectors] = np.zeros((0, 1), np.float32)
NO_VECTOR: Final = "no usable vector"
NOTHING_LEFT: Final = "nothing is left to label: it has labels, or no medium for them"
BY_HAND: Final = "excluded by hand"


# ---------------------------------------------------------------------- asking


@dataclass(frozen=True)
class Candidates:
    """Pool scenes that may be chosen, sorted; what is to be labelled in each; (scene, reason) of open ones that may not."""

    keys: tuple[str, ...]
    channels: tuple[tuple[str, ...], ...]
    excluded: tuple[tuple[str, str], ...]

    def without(self, why: Mapping[str, str]) -> Candidates:
        """The same, but for the scenes of `why` (key -> reason)."""
        left = [(key, names) for key, names in zip(self.keys, self.channels, strict=True) if key not in why]
        return Candidates(
            tuple(key for key, _ in left),
            tuple(names for _, names in left),
            tuple(sorted((*self.excluded, *why.items()))),
        )


def candidates(
    offered: Mapping[str, Sequence[str]],
    with_vector: Set[str],
    rows: Iterable[Assignment],
    exclude: Iterable[str] = (),
) -> Candidates:
    """Who may be chosen. `offered`: open pool scenes (without labels, in no batch) -> channels they could be labelled in;
    `with_vector`: those of them with a usable vector; `rows`: what was asked of pool scenes before."""
    why: dict[str, str] = {}
    done: dict[str, set[str]] = {}
    for row in rows:
        if row.state == "skipped":
            by = row.annotator or "the annotator"
            why[row.key] = f"skipped by {by} in {row.round}"
            if row.unseen:
                why[row.key] = f"not labelled by {by} in {row.round} ({row.rejected[-1].reason})"
        elif row.labelled:
            done.setdefault(row.key, set()).add(row.channel)
    left = {
        key: tuple(name for name in names if name not in done.get(key, ())) for key, names in offered.items()
    }
    why |= {key: NO_VECTOR for key in offered if key not in with_vector}
    why |= dict.fromkeys(exclude, BY_HAND)
    why |= {key: NOTHING_LEFT for key, names in left.items() if not names}
    keys = sorted(key for key in offered if key not in why)
    return Candidates(
        tuple(keys),
        tuple(left[key] for key in keys),
        tuple(sorted((key, why[key]) for key in offered if key in why)),
    )


def wrong(failures: Sequence[Failure], references: Mapping[str, int], most: int) -> tuple[Wrong, ...]:
    """The failures that a batch answers: the worst `most`, as selection sees them; `references`: how many val has of each class."""
    return tuple(
        Wrong(key=one.key, fn=one.fn, fp=one.fp, kinds=kinds(one, references)) for one in failures[:most]
    )


def of_modes(
    modes: Sequence[Mode], failures: Sequence[Failure], references: Mapping[str, int], most: int
) -> tuple[Wrong, ...]:
    """What stands for each mode in a batch: the scenes, `most` at most, in which most of its objects were missed."""
    by_key = {one.key: one for one in failures}
    return tuple(
        Wrong(
            key=key,
            fn=by_key[key].fn,
            fp=by_key[key].fp,
            kinds=_weights({name: n / references[name] for name, n in mode.classes.items()}),
            mode=mode.name,
        )
        for mode in modes
        for key in [scene for scene in mode.scenes if scene in by_key][:most]
    )


def kinds(failure: Failure, references: Mapping[str, int]) -> dict[str, float]:
    """Weights by class, adding up to 1: what a failure missed, against how many of the class val has; without a miss, what
    it saw falsely. Three missed of 23 pedestrians say more than three of 104 cars."""
    missed = {name: n / references[name] for name, n in failure.missed.items() if references.get(name)}
    return _weights(missed or {name: float(n) for name, n in failure.false.items()})


def _weights(found: Mapping[str, float]) -> dict[str, float]:
    total = sum(found.values())
    return {name: round(value / total, 6) for name, value in sorted(found.items())}


def places(missed: Sequence[int], total: int, settings: Modes) -> list[int]:
    """How many of `total` places each mode gets: its floor, then by what it missed (highest averages), up to its cap."""
    least = ceil(settings.floor * total - 1e-9)
    most = max(int(settings.cap * total + 1e-9), least, 1)
    given = [0] * len(missed)
    for _ in range(total if missed else 0):
        short = [i for i, n in enumerate(given) if n < least]
        open_ = short or [i for i, n in enumerate(given) if n < most]
        if not open_:
            break
        given[min(open_, key=lambda i: (-missed[i] / (given[i] + 1), i))] += 1
    return given


def thousandths(best: npt.NDArray[np.float64]) -> tuple[tuple[int, ...], ...]:
    """What a model sees in each candidate, as a question holds it, from its highest score (C, K) of each class in each."""
    rows = np.rint(1000 * class_evidence(best))
    return tuple(tuple(int(value) for value in row) for row in rows)


def size(settings: Select, left: int, first: bool, asked: int | None = None) -> int:
    """Scenes of the next batch, where `left` are: as many as were `asked` for, else the configured number or share, and never
    more than there are."""
    wanted = asked if asked is not None else settings.budget
    if wanted is None:
        share, least = (settings.first_share, settings.first_min) if first else (settings.share, settings.min)
        wanted = max(int(share * left + 1e-9), least)
    return min(wanted, left)


# ---------------------------------------------------------------------- answering


@dataclass(frozen=True)
class Known:
    """What a question is answered from: vectors (C, D) of the candidates, (F, D) of the failures that are scenes, (M, D) of the
    labelled scenes; FiftyOne ids of the candidates; vectors of another width (O, E) of the failures that are objects, and (W, E) of the
    windows, both in the order of `cut`."""

    vectors: Vectors
    failures: Vectors
    labelled: Vectors
    ids: Sequence[str]
    objects: Vectors = field(default_factory=lambda: NONE)
    windows: Vectors = field(default_factory=lambda: NONE)


Place = tuple[str, str, Window]
"""Scene, channel and window."""


def cut(question: Question) -> tuple[list[Place], list[Place]]:
    """Where the failing objects of a question are, and all windows that candidates are looked at in."""
    asked = [(one.key, one.object.channel, one.object.window) for one in question.failures if one.object]
    shown = [
        (key, channel, window)
        for key, channels in zip(question.candidates, question.windows, strict=bool(question.windows))
        for channel, windows in sorted(channels.items())
        for window in windows
    ]
    return asked, shown


@dataclass(frozen=True)
class Answer:
    """The manifest that a question leads to, and the coverage score of every candidate."""

    manifest: Manifest
    scores: npt.NDArray[np.float64]


def answer(question: Question, known: Known, dataset: str, progress: Progress | None = None) -> Answer:
    """Chooses. `StateError` when there is nothing to choose from, or a vector is gone."""
    config = parse(question.config, f"the manifest of v{question.number}")
    _all_usable(question, known.vectors, dataset)
    first = question.answers is None
    left = len(question.candidates) + len(question.excluded)
    budget = min(size(config.select, left, first, question.budget), len(question.candidates))
    if budget == 0:
        raise StateError(
            f"no candidates: {left} pool scenes are left, {len(question.excluded)} of them excluded "
            f"({some(f'{key}: {why}' for key, why in question.excluded)})"
        )
    covered, scores, beside = _coverage(question, config, known, budget, progress)
    targets = _targets(question, config, known, dataset)
    share, learned = _share(question, config)
    places = budget - ceil(Fraction(share) * budget)  # for failures
    quotas = _quotas(question, config, targets, places)
    chosen = allocate(
        budget,
        np.arange(len(question.candidates)),
        scores,
        targets.rows,
        targets.scores,
        keys=question.candidates,
        share=share,
        groups=[
            *((mine, wanted) for _, mine, wanted in quotas),
            *_halves(targets, places - sum(wanted for *_, wanted in quotas)),
        ],
    )
    scenes = _reasoned(question, config, chosen, known, targets)
    streams = [scene.stream for scene in scenes]
    manifest = Manifest(
        round=f"v{question.number}",
        number=question.number,
        role="pool",
        size=BatchSize(
            budget=budget,
            size=len(scenes),
            coverage=streams.count("coverage"),
            targeted=streams.count("targeted"),
        ),
        scenes=scenes,
        golden=question.golden,
        second=(twice := second_opinions(question, config, [scene.key for scene in scenes])),
        slots=2 if twice else 1,
        notes=(*([learned.reason] if learned else []), *targets.notes, *(() if first else chosen.notes)),
        modes=tuple(
            ModePlaces(name=name, places=wanted, filled=sum(scene.mode == name for scene in scenes))
            for name, _, wanted in quotas
        ),
        ratio=learned,
        question=question,
        coverage=Coverage(
            draws=covered.draws,
            overlap=covered.overlap,
            interval=covered.interval,
            reason=covered.reason,
        ),
        fingerprints=Fingerprints(
            embeddings=fingerprint(question.candidates, known.vectors),
            failures=fingerprint(
                [one.key for one in targets.failures if one.object is None], targets.queries
            ),
            labelled=beside,
            **_of_objects(question, known),
            pool=digest(list(question.candidates)),
        ),
    )
    return Answer(manifest, covered.scores)


def _share(question: Question, config: LoopConfig) -> tuple[str, Ratio | None]:
    """The share of the batch for coverage, all of the first, and how it was learned where it is."""
    if question.answers is None:
        return "1", None
    if config.select.ratio != "adaptive":
        return config.select.coverage_share, None
    learned = ratio.learned(config.select.coverage_share, question.worths, question.number)
    return learned.share, learned


def _all_usable(question: Question, vectors: Vectors, dataset: str) -> None:
    lost = [key for key, fine in zip(question.candidates, usable(vectors), strict=True) if not fine]
    if lost:
        raise StateError(
            f"{len(lost)} candidates have no usable vector any more: {some(lost)}; run `{command('embed', dataset)}`"
        )


def _coverage(
    question: Question, config: LoopConfig, known: Known, budget: int, progress: Progress | None
) -> tuple[zcore.ZCoreResult, npt.NDArray[np.float64], str | None]:
    """ZCore of the candidates, the scores that the coverage stream goes by, and the fingerprint of the labelled scenes'
    vectors, where those matter."""
    settings, share = config.select, budget / len(question.candidates)
    covered = zcore.score(
        known.vectors,
        seed=config.seed,
        select=share,
        target_overlap=settings.zcore_overlap,
        max_draws=settings.zcore_max_draws,
        k=settings.zcore_neighbors,
        workers=settings.workers,
        progress=progress,
    )
    if settings.coverage_method == "zcore":
        return covered, covered.scores, None
    labelled = known.labelled
    beside = fingerprint(question.labelled, labelled)
    labelled = (
        labelled[usable(labelled)] if labelled.size else np.zeros((0, known.vectors.shape[1]), np.float32)
    )
    scores = coverage_scores(
        known.vectors,
        labelled,
        method=settings.coverage_method,
        seed=config.seed,
        select=share,
        max_draws=settings.zcore_max_draws,
        workers=settings.workers,
    )
    return covered, scores, beside


def _of_objects(question: Question, known: Known) -> dict[str, str]:
    """Fingerprints of the vectors of objects and windows, where objects were asked for."""
    asked, shown = ([f"{key} {channel} {window}" for key, channel, window in part] for part in cut(question))
    if not asked:
        return {}
    return {"objects": fingerprint(asked, known.objects), "windows": fingerprint(shown, known.windows)}


@dataclass(frozen=True)
class _Targets:
    """Failures (scenes first, then objects; worst first), the candidate rows (F, K) that answer each best (-1: none more), their scores,
    and what is worth saying. `queries`: vectors of the scenes; `objects`: of the objects; `windows` (W, E): of what candidates show,
    `of` (W,): the candidate of each."""

    failures: tuple[Wrong, ...]
    queries: Vectors
    rows: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    notes: tuple[str, ...]
    objects: Vectors = field(default_factory=lambda: NONE)
    windows: Vectors = field(default_factory=lambda: NONE)
    of: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def looks(self, failure: int, row: int, vectors: Vectors) -> float:
        """How similar a candidate looks to a failure, or what it shows to an object."""
        if failure < len(self.queries):
            return cosine(self.queries[failure], vectors[row])
        one = self.objects[failure - len(self.queries)]
        return max(cosine(one, window) for window in self.windows[self.of == row])


def _targets(question: Question, config: LoopConfig, known: Known, dataset: str) -> _Targets:
    def nothing(*notes: str) -> _Targets:
        return _Targets((), known.vectors[:0], np.zeros((0, 0), dtype=np.int64), np.zeros((0, 0)), notes)

    if question.answers is None:
        return nothing()
    notes: list[str] = []
    whole, queries, lost = _with_vectors([one for one in question.failures if not one.object], known.failures)
    parts, objects, uncut = _with_vectors([one for one in question.failures if one.object], known.objects)
    if lost:
        notes.append(
            f"{len(lost)} failures have no usable vector and are left out: {some(one.key for one in lost)}; "
            f"run `{command('embed', dataset)}`"
        )
    if uncut:
        named = some(f"{one.object} in {one.key}" for one in uncut)
        notes.append(f"{len(uncut)} failing objects cannot be cut out and are left out: {named}")
    if config.select.modes.share > 0 and not question.modes:
        notes.append(f"{question.answers} has no failure modes: their places go to its failures")
    if not whole and not parts:
        return nothing(*notes, f"{question.answers} has no failures to answer: all places go to coverage")
    share = config.select.class_evidence
    if not question.evidence:
        if share > 0:
            notes.append(
                f"{question.answers} has no model to look for failing kinds with: targets go by looks alone"
            )
        share = 0.0
    evidence = np.array(question.evidence, dtype=float).reshape(len(known.vectors), -1) / 1000
    of, windows = _shown(question, known)
    most = config.select.neighbors
    scenes = _nearest(queries, _by_class(whole, config, evidence), known.vectors, evidence, share, most)
    most *= int(np.bincount(of).max(initial=0))  # windows of as many candidates, at least
    shown, scores = _nearest(objects, _by_class(parts, config, evidence), windows, evidence[of], share, most)
    return _Targets(
        (*whole, *parts), queries, *_together(scenes, (of[shown], scores)), tuple(notes), objects, windows, of
    )


def _with_vectors(failures: Sequence[Wrong], vectors: Vectors) -> tuple[list[Wrong], Vectors, list[Wrong]]:
    """The failures that have a usable vector, those vectors, and the other failures."""
    good = usable(vectors)
    pairs = list(zip(failures, good.tolist(), strict=True))
    return [one for one, fine in pairs if fine], vectors[good], [one for one, fine in pairs if not fine]


def _shown(question: Question, known: Known) -> tuple[npt.NDArray[np.int64], Vectors]:
    """Of all windows with a usable vector: the row (W,) of the candidate, and the vectors (W, E)."""
    counts = [sum(map(len, channels.values())) for channels in question.windows]
    seen = usable(known.windows)
    rows = np.repeat(np.arange(len(counts)), np.array(counts, dtype=np.int64))
    return rows[seen], known.windows[seen]


def _by_class(
    failures: Sequence[Wrong], config: LoopConfig, evidence: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(F, K) weights of the classes that failures are about; (F, 0) without evidence."""
    weights = np.zeros((len(failures), evidence.shape[1]))
    for i, failure in enumerate(failures):
        for name, weight in failure.kinds.items():
            if evidence.shape[1]:
                weights[i, config.classes.index(name)] = weight
    return weights


Floats = npt.NDArray[np.float64]
Ranked = tuple[npt.NDArray[np.int64], Floats]


def _nearest(
    queries: Vectors, weights: Floats, pool: Vectors, evidence: Floats, share: float, most: int
) -> Ranked:
    """`nearest_with_evidence`; no vectors have no width."""
    if not len(queries):
        return np.zeros((0, 0), np.int64), np.zeros((0, 0))
    return nearest_with_evidence(queries, weights, pool, evidence, share, most)


def _together(one: Ranked, other: Ranked) -> Ranked:
    """Rows and scores of both, one list below the other, the shorter lines filled up with -1 and 0."""
    width = max(one[0].shape[1], other[0].shape[1])
    rows, scores = (
        np.concatenate(
            [
                np.pad(two[part], ((0, 0), (0, width - two[part].shape[1])), constant_values=fill)
                for two in (one, other)
            ]
        )
        for part, fill in ((0, -1), (1, 0))
    )
    return rows, scores


def _quotas(
    question: Question, config: LoopConfig, targets: _Targets, places_: int
) -> list[tuple[str, set[int], int]]:
    """Each mode, the positions of the failures that stand for it, and its places of the `places_` for failures."""
    wanted = places(
        [one.missed for one in question.modes],
        int(config.select.modes.share * places_ + 0.5),
        config.select.modes,
    )
    return [
        (mode.name, {i for i, one in enumerate(targets.failures) if one.mode == mode.name}, n)
        for mode, n in zip(question.modes, wanted, strict=True)
    ]


def _halves(targets: _Targets, places_: int) -> list[tuple[set[int], int]]:
    """Where scenes and objects are answered, half of the `places_` are for scenes; objects have what is left."""
    own = [(i, one.object) for i, one in enumerate(targets.failures) if one.mode is None]
    scenes = {i for i, shape in own if shape is None}
    return [(scenes, (places_ + 1) // 2)] if 0 < len(scenes) < len(own) else []


def second_opinions(question: Question, config: LoopConfig, chosen: Sequence[str]) -> tuple[str, ...]:
    """The scenes of a batch that are labelled twice, sorted: a share of them, rounded up, drawn by seed and round."""
    count = ceil(config.annotate.second * len(chosen) - 1e-9)
    rng = np.random.default_rng([config.seed, question.number, 0x5EC0])
    drawn = rng.permutation(len(chosen))[:count]
    ordered = sorted(chosen)
    return tuple(sorted(ordered[i] for i in drawn))


# ---------------------------------------------------------------------- reasons


def _reasoned(
    question: Question, config: LoopConfig, chosen: Allocation, known: Known, targets: _Targets
) -> tuple[Chosen, ...]:
    """The chosen scenes as a manifest has them: who, why, and what is to be labelled."""
    scenes = []
    for row, stream, rank, score, of in zip(
        chosen.rows, chosen.stream, chosen.rank, chosen.score, chosen.failure, strict=True
    ):
        failure, looks = None, None
        if of >= 0:
            failure = targets.failures[of]
            looks = targets.looks(int(of), int(row), known.vectors)
            reason = (
                f"{_of_mode(question, failure)}{_like(question, failure)}: cosine similarity {looks:.4f}"
                f"{_seen(question, config, failure, row)}"
            )
        else:
            reason = (
                f"covers the pool: {config.select.coverage_method} score {score:.4f} "
                f"among {len(question.candidates)} candidates"
            )
        scenes.append(
            Chosen(
                key=question.candidates[row],
                channels=question.channels[row],
                id=str(known.ids[row]),
                stream=_stream(stream),
                rank=int(rank),
                score=float(score),
                reason=reason,
                failure=failure and failure.key,
                similarity=looks,
                object=failure and failure.object,
                mode=failure and failure.mode,
                split="pool",
            )
        )
    return tuple(scenes)


def _like(question: Question, failure: Wrong) -> str:
    """What a scene is like, in words."""
    if failure.object is not None:
        return (
            f"shows what looks like the {failure.object}, in {failure.key}, a failure of {question.answers}"
        )
    return f"like {failure.key}, a failure of {question.answers} ({failure.fn} missed, {failure.fp} false)"


def _of_mode(question: Question, failure: Wrong) -> str:
    """Whose place a scene has, in words; nothing where a failure stands for itself."""
    mode = next((one for one in question.modes if one.name == failure.mode), None)
    return f"place of {mode.name}, {mode.missed} of {mode.objects} missed: " if mode else ""


def _stream(name: Any) -> Stream:
    return "targeted" if name == "targeted" else "coverage"


def _seen(question: Question, config: LoopConfig, failure: Wrong, row: int) -> str:
    """The kind of the failure that the model sees most evidence of in a candidate, in words."""
    if not question.evidence or not failure.kinds:
        return ""
    of = question.evidence[row]
    seen = {name: weight * of[config.classes.index(name)] for name, weight in failure.kinds.items()}
    kind = min(seen, key=lambda name: (-seen[name], name))
    return f"; evidence of {kind} {of[config.classes.index(kind)] / 1000:.2f}" if seen[kind] else ""
