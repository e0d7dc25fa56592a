"""Rounds and reference batches. They move by compare-and-set on (state, revision), with a random mark: when a reply is lost,
reading the mark back tells whether the write landed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, DuplicateKeyError

from swath import life
from swath.errors import ConflictError, StateError, UnknownNameError
from swath.records.base import SCHEMA, Blob, Document, Record
from swath.records.batch import Batch, Evaluated, Failure
from swath.records.manifest import Manifest
from swath.records.matches import Matches
from swath.records.measured import Measured
from swath.settings import shortly
from swath.store.journal import codec
from swath.store.journal.blobs import Blobs
from swath.store.journal.lease import Lease, Writer
from swath.suggest import command


class Batches:
    """The batches of one dataset."""

    def __init__(
        self,
        collection: Collection[Document],
        dataset_id: ObjectId,
        lease: Lease,
        blobs: Blobs,
        old: Callable[[], codec.Old],
    ) -> None:
        self._rounds, self._dataset = collection, dataset_id
        self._lease, self._blobs, self._old = lease, blobs, old

    def create(self) -> None:
        self._rounds.create_index([("dataset", 1), ("round", 1)], unique=True)

    # ------------------------------------------------------------------ reading

    def all(self) -> list[Batch]:
        """All batches: the reference batches first, then the rounds in order, cancelled ones included."""
        found = [self._read(document) for document in self._rounds.find({"dataset": self._dataset})]
        return sorted(found, key=lambda one: (one.number is not None, one.number or 0, one.round))

    def get(self, name: str) -> Batch:
        """One batch by name; `UnknownNameError` names those that there are."""
        found = self._find(name)
        if found is None:
            known = [batch.round for batch in self.all()]
            raise UnknownNameError(f"no round {shortly(name)}; there are: {_listed(known)}")
        return found

    def has(self, name: str) -> bool:
        return self._rounds.find_one({"dataset": self._dataset, "round": name}, {"_id": 1}) is not None

    def has_planned(self) -> bool:
        """Whether a batch was decided and its commit not finished."""
        return self._rounds.find_one({"dataset": self._dataset, "state": "planned"}, {"_id": 1}) is not None

    def manifest(self, batch: Batch) -> Manifest:
        """The decision of a batch, checked against its hash."""
        return Manifest.model_validate(self._blobs.get(batch.manifest, f"{batch.round}: the manifest"))

    def failures(self, batch: Batch) -> tuple[Failure, ...]:
        """All failures of a batch's evaluation, worst first; none where it has none."""
        done = batch.steps.evaluate
        if done is None or done.failing == 0:
            return ()
        if done.failures is None:
            return done.worst
        found = self._blobs.get(done.failures, f"{batch.round}: the list of failures")
        return tuple(Failure.model_validate(one) for one in found)

    def measured(self, batch: Batch) -> Measured | None:
        """What the golden check of a batch measured; None where it has none, or is older than that was kept."""
        done = batch.steps.golden
        if done is None or done.measured is None:
            return None
        (found,) = self._blobs.get(done.measured, f"{batch.round}: what its golden check measured")
        return Measured.model_validate(found)

    def matches(self, record: Evaluated, modality: str) -> Matches | None:
        """What an evaluation found, prediction by prediction; None where it kept nothing (before 0.2.0)."""
        blob = record.matches.get(modality)
        return None if blob is None else self._matches(record, blob)

    def matches_of_all(self, record: Evaluated, modality: str) -> tuple[Matches, ...]:
        """Those of every training that was evaluated, the round's own model first; () where nothing was kept."""
        first = self.matches(record, modality)
        if first is None:
            return ()
        return first, *(self._matches(record, blob) for blob in record.repeats.get(modality, ()))

    def _matches(self, record: Evaluated, blob: Blob) -> Matches:
        return Matches.model_validate(self._blobs.get(blob, f"{record.round}: the matches of its evaluation"))

    def _find(self, name: str) -> Batch | None:
        found = self._rounds.find_one({"dataset": self._dataset, "round": name})
        return None if found is None else self._read(found)

    def _read(self, document: Mapping[str, object]) -> Batch:
        if codec.schema_of(document) < SCHEMA:
            document, apart = codec.old_batch(document, self._old())
            for one in apart:
                self._blobs.remember(one.blob, one.value)
        return codec.batch(document)

    # ------------------------------------------------------------------ writing

    def plan(self, writer: Writer, manifest: Manifest, floor: int) -> Batch:
        """Step 1 of a commit: the whole decision, durably, before anything shows. The unique index lets one process win."""
        self._lease.check(writer)
        batch = Batch(
            round=manifest.round,
            number=manifest.number,
            role=manifest.role,
            state="planned",
            size=manifest.size,
            slots=manifest.slots,
            manifest=self._blobs.put(manifest.document()),
            mark=writer.mark,
            fence=writer.token,
        )
        late = {"dataset": self._dataset, "round": batch.round, "state": "planned"}
        self._rounds.delete_many({**late, "fence": {"$lt": floor}})
        with suppress(AutoReconnect, DuplicateKeyError):  # settled by reading
            self._rounds.insert_one({"dataset": self._dataset, "schema": SCHEMA, **batch.document()})
        found = self._find(batch.round)
        if found is None or found.mark != writer.mark:
            raise ConflictError(
                f"{batch.round} exists already: another process was first; see `{command('status', self._lease.name)}`"
            )
        self._lease.barrier(writer)  # from here on it is known to be planned by whoever held the dataset
        return found

    def keep(self, records: Sequence[Record]) -> Document:
        """Stores a list of records (failures, what a golden check measured) apart; returns what refers to it."""
        return self._blobs.put([one.document() for one in records]).document()

    def keep_matches(self, matches: Matches) -> Blob:
        """Stores what an evaluation found apart; returns what refers to it."""
        return self._blobs.put(matches.document())

    def advance(
        self,
        writer: Writer,
        name: str,
        step: str,
        records: Mapping[str, Record | Sequence[Record]] | None = None,
        drop: Sequence[str] = (),
    ) -> Batch:
        """Moves a batch as `life.MOVES[step]` says, by compare-and-set, with `records` of steps, and without those of `drop`."""
        self._lease.check(writer)
        before = self.get(name)
        states = life.MOVES[step].before
        if before.state not in states:
            if self._lease.fenced(writer):
                raise self._lease.lost(writer)
            raise StateError(f"{name} is {before.state}; this step needs it to be {' or '.join(states)}")
        mark = uuid.uuid4().hex
        change = {"state": life.after(step, before), "mark": mark, "fence": writer.token}
        for part, record in (records or {}).items():
            change[f"steps.{part}"] = (
                record.document() if isinstance(record, Record) else [one.document() for one in record]
            )
        query = {"dataset": self._dataset, "round": name, "state": before.state, "revision": before.revision}
        update: Document = {"$set": change, "$inc": {"revision": 1}}
        if drop:
            update["$unset"] = {f"steps.{part}": 1 for part in drop}
        with suppress(AutoReconnect):  # settled by reading
            self._rounds.update_one({**query, "fence": {"$lte": writer.token}}, update)
        after = self.get(name)
        if after.mark != mark:
            if self._lease.fenced(writer):
                raise self._lease.lost(writer)
            raise ConflictError(
                f"{name} was changed by another process (now {after.state}); see `{command('status', self._lease.name)}`"
            )
        return after

    def raise_fence(self, writer: Writer, floor: int) -> None:
        """Shuts out every earlier writer; batches that one planned below the `floor` never happened."""
        self._rounds.delete_many({"dataset": self._dataset, "state": "planned", "fence": {"$lt": floor}})
        self._rounds.update_many(
            {"dataset": self._dataset, "fence": {"$not": {"$gte": writer.token}}},
            {"$set": {"fence": writer.token}},
        )

    def migrate(self, writer: Writer) -> None:
        """Writes what 0.1.0 wrote in today's schema, batch by batch; those that are already stay as they are."""
        old = self._old()
        for document in self._rounds.find({"dataset": self._dataset, "schema": {"$exists": False}}):
            new, apart = codec.old_batch(document, old)
            for one in apart:
                self._blobs.put(one.value)
            self._lease.check(writer)
            query = {"_id": document["_id"], "schema": {"$exists": False}, "fence": {"$lte": writer.token}}
            self._rounds.replace_one(query, {**new, "fence": writer.token})

    def forget(self) -> None:
        self._rounds.delete_many({"dataset": self._dataset})


def _listed(names: list[str]) -> str:
    """`reference, v0 to v3`."""
    rounds = [name for name in names if name[:1] == "v" and name[1:].isdigit()]
    others = [name for name in names if name not in rounds]
    span = [f"{rounds[0]} to {rounds[-1]}"] if len(rounds) > 2 else rounds
    return ", ".join(others + span) or "none yet"
