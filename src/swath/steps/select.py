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
from swath.errors import StateError, UnknownNameError, WaitingError, some
from swath.journal import Document, digest
from swath.kernels import zcore
from swath.kernels.allocate import allocate
from swath.kernels.coverage import coverage_scores
from swath.kernels.neighbors import top_k
from swath.steps.embed import fingerprint, usable
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


def decide(
    workspace: Workspace, exclude: Sequence[str] = (), anyway: bool = False
) -> tuple[Document, dict[str, float]]:
    """The manifest of the next round, and ZCore of every candidate. Reads; writes nothing.

    The same journal, embeddings and configuration give the same manifest, byte by byte.
    """
    number, last = _next_number(workspace, anyway)
    config = workspace.config.select
    candidates, vectors, excluded = _candidates(workspace, exclude)
    first = last is None
    left = len(candidates) + len(excluded)
    wanted = max(
        int((config.first_share if first else config.share) * left + 1e-9),
        config.first_min if first else config.min,
    )
    budget = min(wanted, len(candidates))
    if budget == 0:
        raise StateError(
            f"no candidates: {left} pool scenes are left, {len(excluded)} of them excluded "
            f"({some(f'{key}: {why}' for key, why in excluded)})"
        )
    share = budget / len(candidates)
    covered = zcore.score(
        vectors,
        seed=workspace.config.seed,
        select=share,
        target_overlap=config.zcore_overlap,
        max_draws=config.zcore_max_draws,
        k=config.zcore_neighbors,
        workers=config.workers,
        progress=workspace.progress("score coverage (ZCore)"),
    )
    scores = covered.scores
    if config.coverage_method != "zcore":
        labelled = workspace.scenes.vectors(_labelled(workspace), workspace.config.fields.embeddings)
        labelled = (
            labelled[usable(labelled)] if labelled.size else np.zeros((0, vectors.shape[1]), np.float32)
        )
        scores = coverage_scores(
            vectors,
            labelled,
            method=config.coverage_method,
            seed=workspace.config.seed,
            select=share,
            workers=config.workers,
        )
    failures, rows, similar, notes = _targets(workspace, last, vectors)
    chosen = allocate(
        budget,
        np.arange(len(candidates)),
        scores,
        rows,
        similar,
        keys=candidates,
        share="1" if first else config.coverage_share,
    )
    scenes = []
    ids = workspace.scenes.table.ids[workspace.scenes.table.rows(candidates)]
    for row, stream, rank, score, answered in zip(
        chosen.rows, chosen.stream, chosen.rank, chosen.score, chosen.failure, strict=True
    ):
        entry = {
            "key": candidates[row],
            "id": str(ids[row]),
            "stream": str(stream),
            "rank": int(rank),
            "score": float(score),
        }
        if answered >= 0:
            failure = failures[answered]
            entry |= {"failure": failure["key"], "similarity": float(score)}
            entry["reason"] = (
                f"like {failure['key']}, a failure of {last} ({failure['fn']} missed, {failure['fp']} false): "
                f"cosine similarity {score:.4f}"
            )
        else:
            entry["reason"] = (
                f"covers the pool: {config.coverage_method} score {score:.4f} among {len(candidates)} candidates"
            )
        scenes.append({**entry, "modalities": modalities_of(workspace, candidates[row])})
    name = f"v{number}"
    golden = [
        {"key": key, "modalities": modalities_of(workspace, key)} for key in workspace.members("golden")
    ]
    streams = [scene["stream"] for scene in scenes]
    manifest: Document = {
        "round": name,
        "number": number,
        "role": "pool",
        "batch": {
            "round": name,
            "budget": budget,
            "size": len(scenes),
            "coverage": streams.count("coverage"),
            "targeted": streams.count("targeted"),
        },
        "scenes": scenes,
        "golden": golden,
        "excluded": [list(one) for one in excluded],
        "notes": notes + ([] if first else list(chosen.notes)),
        "zcore": {
            "draws": covered.draws,
            "overlap": covered.overlap,
            "interval": list(covered.interval),
            "reason": covered.reason,
        },
        "answers": last,
        "seed": workspace.config.seed,
        "config_hash": workspace.config.hash(),
        "config": workspace.config.model_dump(mode="json"),
        "versions": {"swath": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "fingerprints": {"embeddings": fingerprint(candidates, vectors), "pool": digest(candidates)},
    }
    del manifest["batch"]["round"]
    return manifest, dict(zip(candidates, covered.scores.tolist(), strict=True))


NO_VECTOR = "no usable vector"


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
) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float32]], list[tuple[str, str]]]:
    """Pool scenes that may be chosen, sorted, their vectors, and (scene, reason) of those that may not."""
    pool = workspace.members("pool")
    unknown = sorted(set(exclude) - set(pool))
    if unknown:
        workspace.not_test(unknown, "select --exclude")
        raise UnknownNameError(
            f"--exclude: not in the pool: {some(unknown)}; pool keys look like {some(pool, 3)}"
        )
    taken = set()
    skipped: dict[str, str] = {}
    for row in workspace.journal.assignments(role="pool"):
        if row["state"] == "skipped":
            skipped[row["key"]] = f"skipped by {row.get('annotator') or 'the annotator'} in {row['round']}"
        elif row["active"] or row["state"] in ("labeled", "reviewed_empty"):
            taken.add(row["key"])
    open_keys = [key for key in pool if key not in taken]
    workspace.only("pool", open_keys, "select")
    vectors = workspace.scenes.vectors(open_keys, workspace.config.fields.embeddings)
    good = usable(vectors)
    if not good.any() and open_keys:
        raise StateError(
            f"none of {len(open_keys)} pool scenes has a usable vector in {workspace.config.fields.embeddings!r}; "
            f"run `swath embed --dataset {workspace.name}`"
        )
    why = {key: NO_VECTOR for key, fine in zip(open_keys, good, strict=True) if not fine}
    why |= {key: reason for key, reason in skipped.items() if key not in taken}
    why |= dict.fromkeys(exclude, "excluded by hand")
    keep = [i for i, key in enumerate(open_keys) if key not in why]
    return [open_keys[i] for i in keep], vectors[keep], sorted(why.items())


def _labelled(workspace: Workspace) -> list[str]:
    done = workspace.journal.assignments(
        role="pool", modality="2d", state={"$in": ["labeled", "reviewed_empty"]}
    )
    return sorted({row["key"] for row in done})


def _targets(
    workspace: Workspace, last: str | None, vectors: np.ndarray[Any, np.dtype[np.float32]]
) -> tuple[list[Document], np.ndarray[Any, Any], np.ndarray[Any, Any], list[str]]:
    """Failures (worst first), the candidate rows (F, K) nearest to each, their similarities, and what is worth saying."""
    nothing = np.zeros((0, 0), dtype=np.int64), np.zeros((0, 0))
    if last is None:
        return [], *nothing, []
    config = workspace.config.select
    record = workspace.journal.round(last)["steps"]["evaluate"]
    failures = record["failures"][: config.failures]
    workspace.only("val", [failure["key"] for failure in failures], "targeted selection")
    queries = workspace.scenes.vectors(
        [failure["key"] for failure in failures], workspace.config.fields.embeddings
    )
    good = usable(queries)
    notes = []
    if not good.all():
        named = some(failure["key"] for failure, fine in zip(failures, good, strict=True) if not fine)
        notes.append(
            f"{int((~good).sum())} failures have no usable vector and are left out: {named}; run `swath embed`"
        )
    if not good.any():
        notes.append(f"{last} has no failures to answer: all places go to coverage")
        return [], *nothing, notes
    rows, similar = top_k(queries[good], vectors, min(config.neighbors, len(vectors)))
    return [failure for failure, fine in zip(failures, good, strict=True) if fine], rows, similar, notes
