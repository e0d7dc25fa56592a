"""Vectors for pool, val and golden: failures of val must be comparable with candidates of the pool. Test stays unread.

Only what is missing or stale is computed: beside each vector stands what it came from (encoder, version, hash of the media).
A scene whose vector is missing, zero or not finite is named, and no step scores it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from swath import appearance, media, models
from swath.encoders import Encoder, make
from swath.errors import ConfigError, StateError, UnknownNameError, some
from swath.kernels.vectors import fingerprint, usable
from swath.projection import EMBEDDED
from swath.records.loop import Embedded, Problem
from swath.records.results import EmbedResult
from swath.settings import shortly
from swath.store.journal.lease import Writer
from swath.store.scenes import SOURCE
from swath.suggest import command, meant
from swath.workspace import Tick, Workspace

CHUNK = 256  # scenes per write, so that a killed run keeps what it had
LISTED = 1000  # scenes without a vector that the journal names
Vectors = npt.NDArray[np.float32]


def embed(workspace: Workspace) -> EmbedResult:
    """Fills the embeddings field for pool, val and golden with the configured encoder."""
    keys = list(workspace.not_test(workspace.members(*EMBEDDED), "embed"))
    notes: list[str] = []
    with workspace.writer("embed") as writer:
        spec = workspace.config.embed.encoder
        if spec.startswith("field:"):
            computed, problems = _from_field(workspace, writer, keys, spec.removeprefix("field:"))
        else:
            computed, problems = _from_media(workspace, writer, keys, spec, notes)
        workspace.scenes.refresh()
        vectors = workspace.scenes.vectors(keys, workspace.config.fields.embeddings)
        good = usable(vectors)
        problems |= {
            key: "no usable vector"
            for key, fine in zip(keys, good, strict=True)
            if not fine and key not in problems
        }
        if len(problems) == len(keys):
            raise StateError(
                f"embed: none of {len(keys)} scenes has a usable vector with {spec!r}; first reasons: "
                f"{some(f'{key}: {why}' for key, why in sorted(problems.items()))}"
            )
        membership = workspace.journal.loop().membership
        listed = tuple(sorted(problems.items()))
        record = Embedded(
            encoder=spec,
            scenes=len(keys),
            dim=vectors.shape[1],
            problems=tuple(Problem(scene=key, reason=why) for key, why in listed[:LISTED]),
            problem_count=len(listed),
            fingerprint=fingerprint(keys, vectors),
            membership_sha256=membership.sha256 if membership else "",
        )
        workspace.journal.record(writer, {"embed": record})
        appearance.show_map(workspace, writer)
    return EmbedResult(
        encoder=spec,
        scenes=len(keys),
        computed=computed,
        dim=record.dim,
        problems=listed,
        fingerprint=record.fingerprint,
        notes=tuple(notes),
    )


def _from_field(
    workspace: Workspace, writer: Writer, keys: list[str], field: str
) -> tuple[int, dict[str, str]]:
    """Takes vectors that are there already."""
    import fiftyone as fo

    schema = workspace.scenes.dataset.get_field_schema()
    if field not in schema:
        raise UnknownNameError(
            f"embed: dataset {workspace.name!r} has no field {shortly(field)}{meant(field, schema)}; "
            f"it has {some(sorted(schema), 12)}"
        )
    if not isinstance(schema[field], fo.VectorField | fo.ArrayField | fo.ListField):
        raise ConfigError(
            f"embed: expected a field that holds vectors, got {shortly(field)}: a {type(schema[field]).__name__}; "
            f"it has {some(sorted(schema), 12)}"
        )
    vectors = workspace.scenes.vectors(keys, field)
    good = usable(vectors)
    problems = {
        key: f"field {field!r} is missing, zero or not finite"
        for key, fine in zip(keys, good, strict=True)
        if not fine
    }
    target = workspace.config.fields.embeddings
    if field != target:
        chosen = np.flatnonzero(good)
        sources = [f"field:{field}"] * len(chosen)
        workspace.scenes.write_vectors(target, [keys[i] for i in chosen], vectors[chosen], sources, writer)
    return int(good.sum()), problems


def _from_media(
    workspace: Workspace, writer: Writer, keys: list[str], spec: str, notes: list[str]
) -> tuple[int, dict[str, str]]:
    """Encodes the scenes whose vector is missing or stale."""
    config, table = workspace.config, workspace.scenes.table
    parts = _encoders(workspace, spec)
    read = [_media(workspace, keys, channels) for _, channels in parts]
    together = [
        {f"{i} {sensor}": path for i, one in enumerate(row) for sensor, path in one.items()}
        for row in zip(*read, strict=True)
    ]
    names = "+".join(f"{encoder.name} {encoder.version}" for encoder, _ in parts)
    seen = media.hashes(workspace.home, together, config.embed.workers, notes.append)
    sources = [f"{names} {one}" for one in seen]
    there = workspace.scenes.values(config.primary, keys, [config.fields.embeddings, SOURCE])
    stale = [
        i
        for i, (doc, source) in enumerate(zip(there, sources, strict=True))
        if doc.get(SOURCE) != source or doc.get(config.fields.embeddings) is None
    ]
    problems = {key: f"no slice {config.primary!r}" for key in keys if not table.has(config.primary, key)}
    stale = [i for i in stale if keys[i] not in problems]
    tick = workspace.progress(f"embed with {parts[0][0].name}")
    for start in range(0, len(stale), CHUNK):
        part = stale[start : start + CHUNK]
        blocks: list[Vectors] = []
        for (encoder, _), scenes in zip(parts, read, strict=True):
            encoded = encoder.encode(
                [scenes[i] for i in part],
                workers=config.embed.workers,
                progress=_from(start, len(stale), tick),
            )
            problems |= {keys[part[row]]: why for row, why in encoded.problems}
            blocks.append(encoded.vectors)
        vectors = fuse(blocks)
        for row, good in enumerate(usable(vectors)):
            if not good:
                problems.setdefault(keys[part[row]], "the vector is zero or not finite")
                vectors[row] = np.nan
        workspace.scenes.write_vectors(
            config.fields.embeddings, [keys[i] for i in part], vectors, [sources[i] for i in part], writer
        )
    return len(stale), problems


def _from(start: int, of_all: int, tick: Tick) -> Tick:
    """Progress of a part, as progress of the whole."""
    return lambda done, of: tick(start + done, of_all)


def fuse(blocks: Sequence[Vectors]) -> Vectors:
    """Vectors (n, d1 + d2 + ...) of scenes seen by several cameras: each block of rows brought to length one and counted
    equally. One block is left as it is."""
    if len(blocks) == 1:
        alone: Vectors = blocks[0].copy()
        return alone
    scaled = []
    for block in blocks:
        length = np.linalg.norm(block.astype(np.float64), axis=1, keepdims=True)
        scaled.append(block / np.where(length > 0, length, np.nan) / np.sqrt(len(blocks)))
    together: Vectors = np.hstack(scaled).astype(np.float32)
    return together


def _encoders(workspace: Workspace, spec: str) -> list[tuple[Encoder, Mapping[str, str]]]:
    """Encoders and what each reads (sensor -> channel): the first image and the first cloud that are embedded together, further
    ones each for itself."""
    embedded = workspace.rig.embedded
    images = [channel.name for channel in embedded if channel.kind == "image"]
    clouds = [channel.name for channel in embedded if channel.kind == "cloud"]
    if not images and not clouds:
        raise StateError(
            "embed: no channel is embedded; say `embed: true` of one in the configuration (channels)"
        )
    first = {"image": images[:1], "cloud": clouds[:1]}
    together = {sensor: names[0] for sensor, names in first.items() if names}
    if spec == "descriptor" and len(together) == 1:
        spec = f"descriptor:{next(iter(together))}"
    main = _encoder(workspace, spec)
    missing = [sensor for sensor in main.slices if sensor not in together]
    if missing:
        raise StateError(
            f"embed: {spec!r} reads {' and '.join(main.slices)}, but no {missing[0]} channel is embedded; "
            "say `embed: true` of one in the configuration (channels)"
        )
    parts: list[tuple[Encoder, Mapping[str, str]]] = [
        (main, {sensor: together[sensor] for sensor in main.slices})
    ]
    for sensor, names in (("image", images[1:]), ("cloud", clouds[1:])):
        if names and sensor in main.slices:
            alone = (
                main if len(main.slices) == 1 else _encoder(workspace, f"{spec.partition(':')[0]}:{sensor}")
            )
            parts += [(alone, {sensor: name}) for name in names]
    return parts


def _encoder(workspace: Workspace, spec: str) -> Encoder:
    if not spec.startswith("model:"):
        return make(spec)
    from swath.encoders.model import ModelEncoder
    from swath.trainers import make as make_trainer

    name = spec.removeprefix("model:")
    trained = workspace.journal.batches.get(name).steps.train
    model = trained.models[0] if trained else None
    if model is None:
        raise StateError(f"{name} has no model yet; `{command('next', workspace.name)}` says what is next")
    models.load(workspace.home, model)  # or says that it is gone
    return ModelEncoder(
        name, workspace.home, model, make_trainer(workspace.config.train, model.modality, model.trainer)
    )


def _media(workspace: Workspace, keys: Sequence[str], channels: Mapping[str, str]) -> list[dict[str, str]]:
    """Per scene: sensor ("image", "cloud") -> media path, for the sensors it has."""
    table = workspace.scenes.table
    return [
        {sensor: table.path(name, key) for sensor, name in channels.items() if table.has(name, key)}
        for key in keys
    ]
