"""Chooses the next batch, with a reason for every scene, and commits it.

v0 is chosen for coverage alone. Later rounds give `ceil(30 %)` of the budget to coverage and the rest to scenes that look
like the failures of the last evaluation, failure by failure in turn (`kernels.allocate`).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from swath import __version__
from swath.config import LoopConfig, parse
from swath.errors import StateError, UnknownNameError, WaitingError, some
from swath.journal import Document, digest
from swath.kernels import zcore
from swath.kernels.allocate import Allocation, allocate
from swath.kernels.coverage import coverage_scores
from swath.kernels.evidence import class_evidence, nearest_with_evidence
from swath.steps.embed import Vectors, fingerprint, usable
from swath.steps.workspace import Workspace, commit


@dataclass(frozen=True)
class Choice:
    """One scene of a batch. `rank` counts from 1 within its stream; `failure` is the val scene it answers, or None."""

    key: str
    stream: str
    rank: int
    score: float
    reason: str
    failure: str | None = None
    similarity: float | None = None


@dataclass(frozen=True)
class SelectResult:
    """A batch. `excluded`: (scene, reason) of pool scenes that could not be candidates; `notes`: what ran short."""

    round: str
    budget: int
    size: int
    coverage: int
    targeted: int
    scenes: tuple[Choice, ...]
    golden: int
    excluded: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    overlap: float | None
    dry_run: bool


def select(
    workspace: Workspace, *, exclude: Sequence[str] = (), dry_run: bool = False, anyway: bool = False
) -> SelectResult:
    """Chooses and commits the next round. `dry_run` writes nothing; `anyway` goes on after a decision to stop."""
    if dry_run:
        manifest, _ = decide(workspace, exclude, anyway)
        return result_of(manifest, dry_run=True)
    with workspace.writer("select") as writer:
        manifest, scores = decide(workspace, exclude, anyway)
        name = manifest["round"]
        fields = workspace.config.fields
        values = {key: {fields.zcore: score} for key, score in scores.items()}
        workspace.scenes.write(workspace.config.slices.image, values, writer)
        workspace.journal.plan(writer, name, manifest["number"], manifest)
        commit(workspace, writer, name)
    return result_of(manifest, dry_run=False)


def result_of(manifest: Mapping[str, Any], *, dry_run: bool) -> SelectResult:
    """A manifest as users see it."""
    scenes = tuple(
        Choice(
            **{
                name: row.get(name)
                for name in ("key", "stream", "rank", "score", "reason", "failure", "similarity")
            }
        )
        for row in manifest["scenes"]
    )
    return SelectResult(
        round=manifest["round"],
        scenes=scenes,
        golden=len(manifest["golden"]),
        excluded=tuple((key, why) for key, why in manifest["excluded"]),
        notes=tuple(manifest["notes"]),
        overlap=manifest["zcore"]["overlap"],
        dry_run=dry_run,
        **manifest["batch"],
    )


@dataclass(frozen=True)
class Question:
    """All that a decision depends on, besides the vectors: what a manifest keeps, so that it can be asked again.

    candidates (C,) keys, sorted; modalities: what is to be labelled in each; evidence: per candidate and class what the model
    sees, in thousandths (none without a model); failures: worst first, with weights by class; `answers`: the round that they
    are of, None for the first batch.
    """

    number: int
    candidates: tuple[str, ...]
    modalities: tuple[tuple[str, ...], ...]
    evidence: tuple[tuple[int, ...], ...]
    excluded: tuple[tuple[str, str], ...]
    failures: tuple[Mapping[str, Any], ...]
    answers: str | None
    golden: tuple[Mapping[str, Any], ...]
    config: LoopConfig


def decide(
    workspace: Workspace, exclude: Sequence[str] = (), anyway: bool = False
) -> tuple[Document, dict[str, float]]:
    """The manifest of the next round, and ZCore of every candidate. Reads; writes nothing."""
    return answer(workspace, ask(workspace, exclude, anyway))


def answer(workspace: Workspace, question: Question) -> tuple[Document, dict[str, float]]:
    """The manifest that a question leads to, and ZCore of every candidate.

    The same question and vectors give the same manifest, byte by byte.
    """
    config = question.config.select
    candidates = list(question.candidates)
    workspace.only("pool", candidates, "select")
    vectors = workspace.scenes.vectors(candidates, question.config.fields.embeddings)
    lost = [key for key, fine in zip(candidates, usable(vectors), strict=True) if not fine]
    if len(lost):
        raise StateError(
            f"{len(lost)} candidates have no usable vector any more: {some(lost)}; run `swath embed`"
        )
    first = question.answers is None
    left = len(candidates) + len(question.excluded)
    wanted = int((config.first_share if first else config.share) * left + 1e-9)
    budget = min(max(wanted, config.first_min if first else config.min), len(candidates))
    if budget == 0:
        raise StateError(
            f"no candidates: {left} pool scenes are left, {len(question.excluded)} of them excluded "
            f"({some(f'{key}: {why}' for key, why in question.excluded)})"
        )
    covered, scores, beside = _coverage(workspace, question, vectors, budget / len(candidates))
    failures, queries, rows, mixed, notes = _targets(workspace, question, vectors)
    chosen = allocate(
        budget,
        np.arange(len(candidates)),
        scores,
        rows,
        mixed,
        keys=candidates,
        share="1" if first else config.coverage_share,
    )
    scenes = _reasoned(workspace, question, chosen, vectors, failures, queries)
    streams = [scene["stream"] for scene in scenes]
    manifest: Document = {
        "round": f"v{question.number}",
        "number": question.number,
        "role": "pool",
        "batch": {
            "budget": budget,
            "size": len(scenes),
            "coverage": streams.count("coverage"),
            "targeted": streams.count("targeted"),
        },
        "scenes": scenes,
        "golden": [dict(one) for one in question.golden],
        "candidates": candidates,
        "modalities": [list(one) for one in question.modalities],
        "evidence": [list(one) for one in question.evidence],
        "excluded": [list(one) for one in question.excluded],
        "failures": [dict(one) for one in question.failures],
        "answers": question.answers,
        "notes": notes + ([] if first else list(chosen.notes)),
        "zcore": {
            "draws": covered.draws,
            "overlap": covered.overlap,
            "interval": list(covered.interval),
            "reason": covered.reason,
        },
        "seed": question.config.seed,
        "config_hash": question.config.hash(),
        "config": question.config.model_dump(mode="json"),
        "versions": {"swath": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "fingerprints": {
            "embeddings": fingerprint(candidates, vectors),
            "failures": fingerprint([failure["key"] for failure in failures], queries),
            "labelled": beside,
            "pool": digest(candidates),
        },
    }
    return manifest, dict(zip(candidates, covered.scores.tolist(), strict=True))


def _reasoned(
    workspace: Workspace,
    question: Question,
    chosen: Allocation,
    vectors: Vectors,
    failures: Sequence[Mapping[str, Any]],
    queries: Vectors,
) -> list[Document]:
    """The chosen scenes as a manifest has them: who, why, and what is to be labelled."""
    candidates = question.candidates
    ids = workspace.scenes.table.ids[workspace.scenes.table.rows(candidates)]
    scenes = []
    for row, stream, rank, score, of in zip(
        chosen.rows, chosen.stream, chosen.rank, chosen.score, chosen.failure, strict=True
    ):
        entry = {"key": candidates[row], "id": str(ids[row]), "stream": str(stream), "rank": int(rank)}
        entry |= {"score": float(score), "modalities": list(question.modalities[row])}
        if of >= 0:
            failure = failures[of]
            looks = _cosine(queries[of], vectors[row])
            entry |= {"failure": failure["key"], "similarity": looks}
            entry["reason"] = (
                f"like {failure['key']}, a failure of {question.answers} ({failure['fn']} missed, "
                f"{failure['fp']} false): cosine similarity {looks:.4f}{_seen(question, failure, row)}"
            )
        else:
            method = question.config.select.coverage_method
            entry["reason"] = (
                f"covers the pool: {method} score {score:.4f} among {len(candidates)} candidates"
            )
        scenes.append(entry)
    return scenes


def question_of(manifest: Mapping[str, Any]) -> Question:
    """The question that a committed manifest answered."""
    return Question(
        manifest["number"],
        tuple(manifest["candidates"]),
        tuple(tuple(one) for one in manifest["modalities"]),
        tuple(tuple(one) for one in manifest["evidence"]),
        tuple((key, why) for key, why in manifest["excluded"]),
        tuple(manifest["failures"]),
        manifest["answers"],
        tuple(manifest["golden"]),
        parse(manifest["config"], f"the manifest of {manifest['round']}"),
    )


def ask(workspace: Workspace, exclude: Sequence[str] = (), anyway: bool = False) -> Question:
    """What the next round is chosen from, as the journal stands."""
    number, last = _next_number(workspace, anyway)
    candidates, modalities, excluded = _candidates(workspace, exclude)
    failures: list[Document] = []
    evidence: list[tuple[int, ...]] = []
    if last is not None:
        batch = workspace.journal.round(last)
        record = batch["steps"].get("evaluate")
        found = record["failures"] if record else []
        there = set(workspace.scenes.table.known(failure["key"] for failure in found))
        found = [failure for failure in found if failure["key"] in there]
        for failure in found[: workspace.config.select.failures]:
            told = {name: failure[name] for name in ("key", "fn", "fp")}
            failures.append({**told, "kinds": _kinds(failure, record["classes"])})
        if failures and workspace.config.select.class_evidence > 0 and "train" in batch["steps"]:
            evidence = _evidence(workspace, batch, candidates)
    golden = [
        {"key": key, "modalities": modalities_of(workspace, key)} for key in workspace.members("golden")
    ]
    return Question(
        number,
        tuple(candidates),
        tuple(modalities),
        tuple(evidence),
        tuple(excluded),
        tuple(failures),
        last,
        tuple(golden),
        workspace.config,
    )


def _coverage(
    workspace: Workspace, question: Question, vectors: Vectors, share: float
) -> tuple[zcore.ZCoreResult, np.ndarray[Any, Any], str | None]:
    """ZCore of the candidates, the scores that the coverage stream goes by, and the fingerprint of the labelled scenes'
    vectors, where those matter."""
    config = question.config.select
    covered = zcore.score(
        vectors,
        seed=question.config.seed,
        select=share,
        target_overlap=config.zcore_overlap,
        max_draws=config.zcore_max_draws,
        k=config.zcore_neighbors,
        workers=config.workers,
        progress=workspace.progress("score coverage (ZCore)"),
    )
    if config.coverage_method == "zcore":
        return covered, covered.scores, None
    keys = _labelled(workspace, question.number)
    labelled = workspace.scenes.vectors(keys, question.config.fields.embeddings)
    beside = fingerprint(keys, labelled)
    labelled = labelled[usable(labelled)] if labelled.size else np.zeros((0, vectors.shape[1]), np.float32)
    scores = coverage_scores(
        vectors,
        labelled,
        method=config.coverage_method,
        seed=question.config.seed,
        select=share,
        max_draws=config.zcore_max_draws,
        workers=config.workers,
    )
    return covered, scores, beside


NO_VECTOR = "no usable vector"
NOTHING_LEFT = "nothing is left to label: it has labels, or no medium for them"


def modalities_of(workspace: Workspace, key: str) -> list[str]:
    """What can be labelled in a scene: 2d where it has the primary image, 3d where it has a cloud."""
    table, slices = workspace.scenes.table, workspace.config.slices
    row = table.rows([key])[0]
    out = ["2d"] if table.paths[slices.image][row] else []
    return out + (["3d"] if slices.cloud in table.paths and table.paths[slices.cloud][row] else [])


def _next_number(workspace: Workspace, anyway: bool) -> tuple[int, str | None]:
    """(number of the next round, the last evaluated round or None); refuses while a round is open or says stop."""
    rounds = [batch for batch in workspace.journal.rounds() if batch["state"] != "cancelled"]
    number = max((batch["number"] for batch in workspace.journal.rounds()), default=-1) + 1
    if not rounds:
        return number, None
    last = rounds[-1]
    if last["state"] != "closed":
        raise WaitingError(
            f"{last['round']} is {last['state']}: finish or cancel it before the next batch; see `swath next`"
        )
    if last["steps"]["stop"]["decision"] == "stop" and not anyway:
        raise WaitingError(
            f"{last['round']} ended with the decision to stop ({last['steps']['stop']['why']}); "
            "to go on all the same: `swath select --anyway`"
        )
    return number, last["round"]


def _candidates(
    workspace: Workspace, exclude: Sequence[str]
) -> tuple[list[str], list[tuple[str, ...]], list[tuple[str, str]]]:
    """Pool scenes that may be chosen, sorted, what is to be labelled in each, and (scene, reason) of those that may not."""
    pool = workspace.members("pool")
    unknown = sorted(set(exclude) - set(pool))
    if unknown:
        workspace.not_test(unknown, "select --exclude")
        raise UnknownNameError(
            f"--exclude: not in the pool: {some(unknown)}; pool keys look like {some(pool, 3)}"
        )
    states = workspace.states()
    open_keys = [key for key in pool if states[key].status == "unlabeled"]
    why: dict[str, str] = {}
    done: dict[str, set[str]] = {}
    for row in workspace.journal.assignments(role="pool"):
        if row["state"] == "skipped":
            why[row["key"]] = f"skipped by {row.get('annotator') or 'the annotator'} in {row['round']}"
        elif row["state"] in ("labeled", "reviewed_empty"):
            done.setdefault(row["key"], set()).add(row["modality"])
    good = usable(workspace.scenes.vectors(open_keys, workspace.config.fields.embeddings))
    if not good.any() and open_keys:
        raise StateError(
            f"none of {len(open_keys)} pool scenes has a usable vector in {workspace.config.fields.embeddings!r}; "
            f"run `swath embed --dataset {workspace.name}`"
        )
    why |= {key: NO_VECTOR for key, fine in zip(open_keys, good, strict=True) if not fine}
    why |= dict.fromkeys(exclude, "excluded by hand")
    missing = {
        key: tuple(one for one in modalities_of(workspace, key) if one not in done.get(key, ()))
        for key in open_keys
    }
    why |= {key: NOTHING_LEFT for key in open_keys if not missing[key]}
    keep = [key for key in open_keys if key not in why]
    return keep, [missing[key] for key in keep], sorted((key, why[key]) for key in open_keys if key in why)


def _labelled(workspace: Workspace, before: int) -> list[str]:
    """Pool scenes whose 2D labels came in a round before round number `before`, sorted."""
    number = {batch["round"]: batch["number"] for batch in workspace.journal.rounds()}
    done = workspace.journal.assignments(
        role="pool", modality="2d", state={"$in": ["labeled", "reviewed_empty"]}
    )
    return workspace.scenes.table.known(sorted({row["key"] for row in done if number[row["round"]] < before}))


def _kinds(failure: Mapping[str, Any], classes: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Weights by class, adding up to 1: what a failure missed, against how many of the class val has; without a miss, what
    it saw falsely. Three missed of 23 pedestrians say more than three of 104 cars."""
    missed = {
        name: n / classes[name]["references"] for name, n in failure["missed"].items() if name in classes
    }
    kinds = missed or dict(failure["false"])
    total = sum(kinds.values())
    return {name: round(value / total, 6) for name, value in sorted(kinds.items())}


def _evidence(workspace: Workspace, batch: Document, candidates: Sequence[str]) -> list[tuple[int, ...]]:
    """What the model of `batch` sees in each candidate, per class of the class map, in thousandths."""
    from swath.steps.train import load_model, make_trainer

    table = workspace.scenes.table
    images = [str(one) for one in table.paths[workspace.config.slices.image][table.rows(candidates)]]
    tick = workspace.progress(f"look for failing kinds in {len(images)} candidates")
    predictions = make_trainer(workspace).predict(load_model(workspace, batch), images, progress=tick)
    best = np.zeros((len(images), len(workspace.config.classes)))
    for row, one in enumerate(predictions):
        np.maximum.at(best[row], one.labels, one.scores)
    return [tuple(int(value) for value in row) for row in np.rint(1000 * class_evidence(best))]


def _seen(question: Question, failure: Mapping[str, Any], row: int) -> str:
    """The kind of the failure that the model sees most evidence of in a candidate, in words."""
    if not question.evidence or not failure["kinds"]:
        return ""
    classes = question.config.classes
    seen = {
        name: weight * question.evidence[row][classes.index(name)]
        for name, weight in failure["kinds"].items()
    }
    kind = min(seen, key=lambda name: (-seen[name], name))
    return (
        f"; evidence of {kind} {question.evidence[row][classes.index(kind)] / 1000:.2f}" if seen[kind] else ""
    )


def _targets(
    workspace: Workspace, question: Question, vectors: Vectors
) -> tuple[list[Mapping[str, Any]], Vectors, np.ndarray[Any, Any], np.ndarray[Any, Any], list[str]]:
    """Failures (worst first) and their vectors, the candidate rows (F, K) that answer each best, their scores, and what is
    worth saying."""
    nothing = vectors[:0], np.zeros((0, 0), dtype=np.int64), np.zeros((0, 0))
    if question.answers is None:
        return [], *nothing, []
    keys = [failure["key"] for failure in question.failures]
    workspace.only("val", keys, "targeted selection")
    queries = workspace.scenes.vectors(keys, question.config.fields.embeddings)
    good = usable(queries)
    notes = []
    if not good.all():
        named = some(key for key, fine in zip(keys, good, strict=True) if not fine)
        notes.append(
            f"{int((~good).sum())} failures have no usable vector and are left out: {named}; run `swath embed`"
        )
    if not good.any():
        notes.append(f"{question.answers} has no failures to answer: all places go to coverage")
        return [], *nothing, notes
    failures = [one for one, fine in zip(question.failures, good, strict=True) if fine]
    share, classes = question.config.select.class_evidence, question.config.classes
    if not question.evidence:
        if share > 0:
            notes.append(
                f"{question.answers} has no model to look for failing kinds with: targets go by looks alone"
            )
        share = 0.0
    evidence = np.array(question.evidence, dtype=float).reshape(len(vectors), -1) / 1000
    weights = np.zeros((len(failures), evidence.shape[1]))
    for i, failure in enumerate(failures):
        for name, weight in failure["kinds"].items():
            if evidence.shape[1]:
                weights[i, classes.index(name)] = weight
    k = question.config.select.neighbors
    rows, mixed = nearest_with_evidence(queries[good], weights, vectors, evidence, share, k)
    return failures, queries[good], rows, mixed, notes


def _cosine(one: Vectors, two: Vectors) -> float:
    a, b = one.astype(np.float64), two.astype(np.float64)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
