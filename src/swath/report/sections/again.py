"""What it takes to get the same again: hashes, seeds, versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from swath import __version__
from swath.records.batch import Batch
from swath.records.manifest import Manifest
from swath.report.known import Known

TITLES: Final = {"test": "test (frozen)"}
Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Again:
    """`facts` of the loop; per round its name, the hash of its manifest, and facts."""

    facts: Facts
    rounds: tuple[tuple[str, str, Facts], ...]


def data(known: Known) -> Again:
    workspace, steps, members = known.workspace, known.loop.steps, known.loop.membership
    config = workspace.config
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
    named = tuple((TITLES.get(name, name), value) for name, value in facts)
    return Again(named, tuple(_round(one, known.manifests[one.round]) for one in known.rounds))


def _round(batch: Batch, manifest: Manifest) -> tuple[str, str, Facts]:
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


def _facts(**values: object) -> Facts:
    """Those that are known, as text."""
    return tuple((name, str(value)) for name, value in values.items() if value is not None)
