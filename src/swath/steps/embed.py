"""Vectors for pool, val and golden: failures of val must be comparable with candidates of the pool. Test stays unread.

Only what is missing or stale is computed: beside each vector stands what it came from (encoder, version, hash of the media).
A scene whose vector is missing, zero or not finite is named, and no step scores it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.encoders import make
from swath.errors import StateError, UnknownNameError, some
from swath.journal import digest
from swath.scenes import SceneTable
from swath.steps.workspace import Workspace

EMBEDDED = ("pool", "val", "golden")
CHUNK = 256  # scenes per write, so that a killed run keeps what it had
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EmbedResult:
    """`problems`: (scene, reason) of scenes without a usable vector; they are excluded from selection."""

    encoder: str
    scenes: int
    computed: int
    dim: int
    problems: tuple[tuple[str, str], ...]
    fingerprint: str


def embed(workspace: Workspace) -> EmbedResult:
    """Fills the embeddings field for pool, val and golden with the configured encoder."""
    keys = list(workspace.not_test(workspace.members(*EMBEDDED), "embed"))
    with workspace.writer("embed") as writer:
        spec = workspace.config.embed.encoder
        if spec.startswith("field:"):
            computed, problems = _from_field(workspace, writer, keys, spec.removeprefix("field:"))
        else:
            computed, problems = _from_media(workspace, writer, keys, spec)
        workspace.scenes.refresh()
        vectors = workspace.scenes.vectors(keys, workspace.config.fields.embeddings)
        problems |= {
            key: "no usable vector"
            for key in np.array(keys)[~usable(vectors)].tolist()
            if key not in problems
        }
        if len(problems) == len(keys):
            raise StateError(
                f"embed: none of {len(keys)} scenes has a usable vector with {spec!r}; first reasons: "
                f"{some(f'{key}: {why}' for key, why in sorted(problems.items()))}"
            )
        result = EmbedResult(
            spec,
            len(keys),
            computed,
            vectors.shape[1],
            tuple(sorted(problems.items())),
            fingerprint(keys, vectors),
        )
        entry = {
            "encoder": spec,
            "scenes": len(keys),
            "dim": result.dim,
            "problems": [list(one) for one in result.problems[:1000]],
            "problem_count": len(result.problems),
            "fingerprint": result.fingerprint,
            "membership_sha256": workspace.journal.loop()["membership_sha256"],
        }
        workspace.journal.record(writer, "embed", entry)
    return result


def usable(vectors: Vectors) -> npt.NDArray[np.bool_]:
    """(n,) whether each row of (n, d) is finite and not zero."""
    if vectors.shape[1] == 0:
        return np.zeros(len(vectors), dtype=bool)
    good: npt.NDArray[np.bool_] = np.isfinite(vectors).all(axis=1) & (
        np.abs(vectors).max(axis=1, initial=0) > 0
    )
    return good


def fingerprint(keys: Sequence[str], vectors: Vectors) -> str:
    """SHA-256 over keys and vectors: tells whether a batch was chosen from the same embeddings."""
    sha = hashlib.sha256(digest(list(keys)).encode())
    sha.update(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
    return sha.hexdigest()


def _from_field(workspace: Workspace, writer: Any, keys: list[str], field: str) -> tuple[int, dict[str, str]]:
    """Takes vectors that are there already."""
    schema = workspace.scenes.dataset.get_field_schema()
    if field not in schema:
        raise UnknownNameError(
            f"embed: dataset {workspace.name!r} has no field {field!r}; it has {some(sorted(schema), 12)}"
        )
    vectors = workspace.scenes.vectors(keys, field)
    good = usable(vectors)
    problems = {
        key: f"field {field!r} is missing, zero or not finite" for key in np.array(keys)[~good].tolist()
    }
    target = workspace.config.fields.embeddings
    if field != target:
        chosen = np.flatnonzero(good)
        sources = [f"field:{field}"] * len(chosen)
        workspace.scenes.write_vectors(target, [keys[i] for i in chosen], vectors[chosen], sources, writer)
    return int(good.sum()), problems


def _from_media(workspace: Workspace, writer: Any, keys: list[str], spec: str) -> tuple[int, dict[str, str]]:
    """Encodes the scenes whose vector is missing or stale."""
    config, table = workspace.config, workspace.scenes.table
    encoder: Any
    if spec.startswith("model:"):
        from swath.steps.train import ModelEncoder

        encoder = ModelEncoder(workspace, spec.removeprefix("model:"))
    elif spec == "descriptor" and "3d" not in workspace.modalities:
        encoder = make("descriptor:image")
    else:
        encoder = make(spec)
    media = media_of(
        table, {"image": config.slices.image, "cloud": config.slices.cloud}, keys, encoder.slices
    )
    with ThreadPoolExecutor(config.embed.workers) as pool:
        hashes = list(pool.map(_media_hash, media))
    sources = [f"{encoder.name} {encoder.version} {one}" for one in hashes]
    there = workspace.scenes.values(
        config.slices.image, keys, [config.fields.embeddings, "embeddings_source"]
    )
    stale = [
        i
        for i, (doc, source) in enumerate(zip(there, sources, strict=True))
        if doc.get("embeddings_source") != source or doc.get(config.fields.embeddings) is None
    ]
    tick = workspace.progress(f"embed with {encoder.name}")
    has_primary = table.samples[config.slices.image][table.rows(keys)] != ""
    problems = {keys[i]: f"no slice {config.slices.image!r}" for i in np.flatnonzero(~has_primary)}
    stale = [i for i in stale if has_primary[i]]
    for start in range(0, len(stale), CHUNK):
        part = stale[start : start + CHUNK]
        encoded = encoder.encode(
            [media[i] for i in part],
            workers=config.embed.workers,
            progress=lambda done, of, start=start: tick(start + done, len(stale)),
        )
        reasons = dict(encoded.problems)
        vectors = encoded.vectors.copy()
        for row, good in enumerate(usable(vectors)):
            if not good:
                problems[keys[part[row]]] = reasons.get(row, "the vector is zero or not finite")
                vectors[row] = np.nan
        workspace.scenes.write_vectors(
            config.fields.embeddings, [keys[i] for i in part], vectors, [sources[i] for i in part], writer
        )
    return len(stale), problems


def media_of(
    table: SceneTable, slice_of: Mapping[str, str], keys: Sequence[str], sensors: Sequence[str]
) -> list[dict[str, str]]:
    """Per scene: sensor ("image", "cloud") -> media path, for the sensors it has."""
    rows = table.rows(keys)
    columns = {sensor: table.paths[slice_of[sensor]] for sensor in sensors if slice_of[sensor] in table.paths}
    return [{sensor: str(paths[row]) for sensor, paths in columns.items() if paths[row]} for row in rows]


def _media_hash(media: Mapping[str, str]) -> str:
    sha = hashlib.blake2b(digest_size=12)
    for sensor in sorted(media):
        try:
            with open(media[sensor], "rb") as file:
                while block := file.read(1 << 20):
                    sha.update(block)
        except OSError:
            sha.update(b"unreadable")
    return sha.hexdigest()
