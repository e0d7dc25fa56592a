"""The durable record of a loop: what was decided, who was asked, what came back. Tags, fields and views are a projection of it.

Four collections in FiftyOne's own database, all written with `w=1, j=True`:

    swath.loops         one document per dataset: configuration, splits, records of steps outside rounds, who writes now
    swath.rounds        one per dataset and batch: state, revision, records of its steps
    swath.assignments   one per dataset, batch, scene, role, channel and annotator slot
    swath.pieces        what is too large for those: membership, manifests, failures

An insert can't be filtered by a fence (`lease`): a batch that is inserted below the `floor` (the token of the last who raised
the fences) never happened, and is cleared; assignments are inserted after their batch is confirmed, and those of a confirmed
batch are there already when a late insert comes.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from swath.config import digest
from swath.errors import IntegrityError, StateError, UnknownNameError
from swath.records.base import SCHEMA, Document, Record
from swath.records.loop import LoopRecord, Membership, Origin
from swath.records.migrate import slices_of
from swath.store.journal import codec
from swath.store.journal.assignments import Assignments
from swath.store.journal.batches import Batches
from swath.store.journal.blobs import Blobs
from swath.store.journal.lease import Lease, Writer
from swath.suggest import command


def datasets_with_a_loop(database: Database[Document]) -> list[ObjectId]:
    """Ids of the datasets that this database has a journal of."""
    return [
        one for one in database.get_collection("swath.loops").distinct("_id") if isinstance(one, ObjectId)
    ]


class Journal:
    """The journal of one dataset, known by the dataset's ObjectId, so that it survives a rename."""

    def __init__(self, database: Database[Document], dataset_id: ObjectId, name: str) -> None:
        concern = WriteConcern(w=1, j=True)

        def collection(part: str) -> Collection[Document]:
            return database.get_collection(f"swath.{part}", write_concern=concern)

        self.dataset_id, self.name = dataset_id, name
        self._loops = collection("loops")
        self._old_reading: codec.Old | None = None
        self._frozen: list[Membership] = []
        self.lease = Lease(self._loops, dataset_id, name)
        self.blobs = Blobs(collection("pieces"), dataset_id)
        self.batches = Batches(collection("rounds"), dataset_id, self.lease, self.blobs, self._as_0_1)
        self.assignments = Assignments(collection("assignments"), dataset_id, self.lease, self._if_0_1)

    # ------------------------------------------------------------------ the loop

    def create(
        self,
        config: Mapping[str, Any],
        home: str,
        *,
        origins: Mapping[str, str] = MappingProxyType({}),
        token: int = 0,
    ) -> None:
        """Begins the record of this dataset, with tokens above `token`. Doing it again changes nothing."""
        self._create_indexes()
        begun = {
            "schema": SCHEMA,
            "config": dict(config),
            "origins": _listed(origins),
            "home": home,
            "secret": secrets.token_hex(16),
            "steps": {},
            "revision": 0,
            "writer": {"token": token},
            "floor": token,
            "barrier": 0,
        }
        self._loops.update_one({"_id": self.dataset_id}, {"$setOnInsert": begun}, upsert=True)

    def _create_indexes(self) -> None:
        for part in (self.batches, self.assignments, self.blobs):
            part.create()

    def exists(self) -> bool:
        return self._loops.find_one({"_id": self.dataset_id}, {"_id": 1}) is not None

    def loop(self) -> LoopRecord:
        """Configuration, splits and records; `UnknownNameError` when the dataset has no loop yet."""
        found = self._document()
        if codec.schema_of(found) == SCHEMA:
            return codec.loop(found)
        new, apart = codec.old_loop(found)
        if apart is not None:
            self.blobs.remember(apart.blob, apart.value)
        return codec.loop(new)

    def is_old(self) -> bool:
        """Whether it was written by 0.1.0, and not brought to today's schema yet."""
        found = self._loops.find_one({"_id": self.dataset_id}, {"schema": 1})
        return found is not None and codec.schema_of(found) < SCHEMA

    def _document(self) -> Document:
        found = self._loops.find_one({"_id": self.dataset_id})
        if found is None:
            raise UnknownNameError(
                f"dataset {self.name!r} has no loop yet; run `swath init {self.name} --kitti DIR` "
                f"or `swath init {self.name} --fiftyone {self.name}`"
            )
        return found

    def members(self, record: LoopRecord | None = None) -> dict[str, str]:
        """key -> split of every scene ("" for those set aside), not to be changed; `StateError` before the split."""
        record = record or self.loop()
        if record.membership is None:
            raise StateError(f"{self.name} is not split yet; run `{command('split', self.name)}`")
        told = record.membership
        known: dict[str, str] = self.blobs.get(told.members, f"{self.name}: the list of splits")
        if told not in self._frozen:  # hashed once: it is asked for at every turn
            test = sorted(key for key, split in known.items() if split == "test")
            if (digest(known), digest(test)) != (told.sha256, told.test_sha256):
                raise IntegrityError(
                    f"{self.name}: the splits in the journal are not the ones that were frozen (hash differs)"
                )
            self._frozen.append(told)
        return known

    def frozen(self, members: Mapping[str, str]) -> Membership:
        """Stores who is in which split; returns what refers to it."""
        return Membership(
            members=self.blobs.put(dict(members)),
            sha256=digest(members),
            test_sha256=digest(sorted(key for key, split in members.items() if split == "test")),
        )

    def record(
        self,
        writer: Writer,
        steps: Mapping[str, Record],
        *,
        config: Mapping[str, Any] | None = None,
        origins: Mapping[str, str] | None = None,
        home: str | None = None,
        membership: Membership | None = None,
    ) -> None:
        """Records steps that belong to no batch (`init`, `split`, `embed`, `final.v2`), and what they change of the loop."""
        change: Document = {f"steps.{step}": entry.document() for step, entry in steps.items()}
        change |= {} if config is None else {"config": dict(config)}
        if origins is not None:
            change["origins"] = _listed(origins)
        change |= {} if home is None else {"home": home}
        change |= {} if membership is None else {"membership": membership.document()}
        self.lease.change(writer, {"$set": change, "$inc": {"revision": 1}})

    # ------------------------------------------------------------------ recovery

    def unclean(self) -> bool:
        """Whether something was begun and not finished, and no live process holds the dataset."""
        return self.lease.unclean() or (self.lease.holder() is None and self.unfinished())

    def unfinished(self) -> bool:
        """Whether the next writer has something to put right first: a planned batch, or a journal of 0.1.0."""
        return self.batches.has_planned() or self.is_old()

    def raise_fence(self, writer: Writer) -> None:
        """Shuts out every earlier writer from batches and assignments; batches it planned too late never happened."""
        self.lease.check(writer)
        self.batches.raise_fence(writer, self.loop().floor)
        self.assignments.raise_fence(writer)
        self.lease.change(writer, {"$set": {"floor": writer.token}})

    def migrate(self, writer: Writer) -> None:
        """Brings a journal of 0.1.0 to today's schema. Interrupted anywhere, it reads the same, and goes on when called again:
        each document is one or the other, and the loop's own comes last."""
        if not self.is_old():
            return
        self._create_indexes()
        new, apart = codec.old_loop(self._document())
        if apart is not None:
            self.blobs.put(apart.value)
        self.batches.migrate(writer)
        self.assignments.migrate(writer, self._as_0_1())
        change = {name: value for name, value in new.items() if name not in ("_id", "writer", "barrier")}
        change |= {"schema": SCHEMA, "secret": secrets.token_hex(16)}
        gone = {"membership_sha256": 1, "test_sha256": 1}
        self.lease.change(writer, {"$set": change, "$unset": gone})
        self._old_reading = None

    def _as_0_1(self) -> codec.Old:
        """What it takes to read documents of 0.1.0."""
        if self._old_reading is None:
            record = self.loop()
            members = {} if record.membership is None else self.members(record)
            self._old_reading = codec.Old(slices_of(record.config), members)
        return self._old_reading

    def _if_0_1(self) -> codec.Old | None:
        return self._as_0_1() if self.is_old() else None

    def forget(self) -> None:
        """Removes everything the journal has of this dataset."""
        for part in (self.assignments, self.batches, self.blobs):
            part.forget()
        self._loops.delete_many({"_id": self.dataset_id})


def _listed(origins: Mapping[str, str]) -> list[Document]:
    return [Origin(setting=name, source=source).document() for name, source in sorted(origins.items())]
