"""How records are spelled as documents, and back. The one place that knows the names of keys, of today's schema and of 0.1.0's.

Documents of 0.1.0 are read as they are (`records.migrate`), so that looking at an old loop needs no write; the first writer
brings them to today's schema for good (`Journal.migrate`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from swath.config import digest
from swath.errors import IntegrityError
from swath.records import migrate
from swath.records.assignment import Assignment
from swath.records.base import SCHEMA, Blob, Document
from swath.records.batch import Batch
from swath.records.loop import LoopRecord
from swath.store.journal.blobs import PIECE, pack

NOT_BATCH: Final = ("_id", "dataset", "schema")
NOT_ASSIGNMENT: Final = ("_id", "dataset", "fence")
NOT_LOOP: Final = ("_id", "writer", "barrier", "schema")


class Old(NamedTuple):
    """What it takes to read documents of 0.1.0: which channel a modality was, who was in which split."""

    slices: Mapping[str, str]
    membership: Mapping[str, str]


class Apart(NamedTuple):
    """A value of an old document that is kept apart today, and how it will be known."""

    blob: Blob
    value: Any


def schema_of(document: Mapping[str, Any]) -> int:
    schema = int(document.get("schema", 1))
    if schema > SCHEMA:
        raise IntegrityError(
            f"the journal has schema {schema}, this swath reads up to {SCHEMA}; install a newer swath"
        )
    return schema


def blob_of(value: Any) -> Blob:
    """How `Blobs.put` would know a value, without storing it."""
    data = pack(value)
    return Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data), pieces=-(-len(data) // PIECE))


# ---------------------------------------------------------------------- the loop


def loop(document: Mapping[str, Any]) -> LoopRecord:
    rest = {name: value for name, value in document.items() if name not in NOT_LOOP}
    return LoopRecord.model_validate({**rest, "schema_": schema_of(document)})


def old_loop(document: Mapping[str, Any]) -> tuple[Document, Apart | None]:
    """A loop's document of 0.1.0 as one of today, and its membership."""
    new, members = migrate.loop(document, secret="")
    if members is None:
        return new, None
    test = sorted(key for key, split in members.items() if split == "test")
    if (digest(members), digest(test)) != (document["membership_sha256"], document["test_sha256"]):
        raise IntegrityError("the splits in the journal are not the ones that were frozen (hash differs)")
    apart = Apart(blob_of(members), members)
    new["membership"] = {
        "members": apart.blob.document(),
        "sha256": document["membership_sha256"],
        "test_sha256": document["test_sha256"],
    }
    return new, apart


# ---------------------------------------------------------------------- batches


def batch(document: Mapping[str, Any]) -> Batch:
    return Batch.model_validate({name: value for name, value in document.items() if name not in NOT_BATCH})


def old_batch(document: Mapping[str, Any], old: Old) -> tuple[Document, list[Apart]]:
    """A round's document of 0.1.0 as one of today, and what is kept apart of it."""
    if (
        "manifest_sha256" in document
        and hashlib.sha256(document["manifest"]).hexdigest() != document["manifest_sha256"]
    ):
        raise IntegrityError(
            f"{document['round']}: the manifest is not the one that was committed (its hash differs)"
        )
    new, manifest, failures = migrate.batch(document, old.slices, old.membership)
    apart = [Apart(blob_of(manifest), manifest)]
    new["manifest"] = apart[0].blob.document()
    if failures is not None:
        apart.append(Apart(blob_of(failures), failures))
        new["steps"]["evaluate"]["failures"] = apart[1].blob.document()
    return {**new, "schema": SCHEMA}, apart


# ---------------------------------------------------------------------- assignments


def assignment(document: Mapping[str, Any], old: Old | None) -> Assignment:
    if "channel" not in document:
        if old is None:
            raise IntegrityError(f"an assignment of {document.get('round')} names no channel")
        document = migrate.assignment(document, old.slices, old.membership)
    return Assignment.model_validate(
        {name: value for name, value in document.items() if name not in NOT_ASSIGNMENT}
    )
