"""The durable record of rounds: what was decided, who was asked, what came back. Tags, fields and views are a projection of it.

Three collections in FiftyOne's own database, all written with `w=1, j=True`:

    swath.loops         one document per dataset: configuration, splits, records of steps outside rounds, who writes now
    swath.rounds        one per dataset and round: state, revision, manifest, records of its steps
    swath.assignments   one per dataset, round, scene, role, modality and annotator slot

**One writer at a time.** `Journal.writer()` takes the dataset by compare-and-set and hands out a `Writer` with a fencing
token, a number that only grows. Every write to samples, views, rounds and assignments is filtered by `fence <= token` and
leaves the token behind. Whoever takes over from a writer that did not end cleanly first raises all fences, so that what the
old writer's connection still delivers matches nothing. An insert can't be filtered: a round that is inserted below the
`floor` (the token of the last who raised the fences) never happened, and is cleared; assignments are inserted after their
round is confirmed, and those of a confirmed round are there already when a late insert comes. Leases run on the server's
clock; order never uses a clock.

**Rounds move by compare-and-set** on (state, revision), with a random mark: when a reply is lost, reading the mark back
tells whether the write landed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psutil
import pymongo
from bson import ObjectId
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError
from pymongo.write_concern import WriteConcern

from swath.config import canonical
from swath.errors import (
    ConflictError,
    DatabaseError,
    FencedError,
    IntegrityError,
    StateError,
    UnknownNameError,
)

Document = dict[str, Any]

STATES: Final = ("planned", "committed", "annotating", "labeled", "checked", "trained", "evaluated", "closed")
REFERENCE: Final = "reference"
FINAL_REFERENCE: Final = "reference-test"
DONE: Final = ("labeled", "reviewed_empty", "skipped")  # states of an assignment that wait for nobody
LEASE_SECONDS: Final = 30
CHUNK: Final = 20_000
_HELD: Final[set[str]] = set()  # marks of the writers of this process: one that is not among them has ended
ROOM: Final = 256 * 2**20  # bytes that must be free on the database's disk before a step writes


@dataclass(frozen=True)
class Writer:
    """The right to write, until released. `token` is the fence of this writer's sample writes."""

    token: int
    mark: str
    operation: str
    unclean: bool = field(default=False, compare=False)


def pack(value: Any) -> bytes:
    """Canonical JSON, compressed; equal values give equal bytes."""
    return gzip.compress(canonical(value), mtime=0)


def unpack(data: bytes) -> Any:
    return json.loads(gzip.decompress(data))


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()


class Journal:
    """The journal of one dataset, known by the dataset's ObjectId, so that it survives a rename."""

    def __init__(
        self, database: pymongo.database.Database[Document], dataset_id: ObjectId, name: str
    ) -> None:
        concern = WriteConcern(w=1, j=True)
        self.dataset_id, self.name = dataset_id, name
        self._loops = database.get_collection("swath.loops", write_concern=concern)
        self._rounds = database.get_collection("swath.rounds", write_concern=concern)
        self._assignments = database.get_collection("swath.assignments", write_concern=concern)
        self._current: Writer | None = None
        self._lost = threading.Event()

    # ------------------------------------------------------------------ the loop document

    def create(self, config: Mapping[str, Any], *, token: int = 0) -> None:
        """Begins the record of this dataset, with tokens above `token`. Doing it again changes nothing."""
        self._rounds.create_index([("dataset", 1), ("round", 1)], unique=True)
        self._assignments.create_index(
            [("dataset", 1), ("round", 1), ("key", 1), ("role", 1), ("modality", 1), ("slot", 1)], unique=True
        )
        self._assignments.create_index(
            [("dataset", 1), ("key", 1), ("modality", 1)],
            unique=True,
            partialFilterExpression={"role": "pool", "active": True},
            name="one_open_batch_per_scene",
        )
        self._loops.update_one(
            {"_id": self.dataset_id},
            {
                "$setOnInsert": {
                    "config": dict(config),
                    "steps": {},
                    "revision": 0,
                    "writer": {"token": token},
                    "floor": token,
                    "barrier": 0,
                }
            },
            upsert=True,
        )

    def exists(self) -> bool:
        return self._loops.find_one({"_id": self.dataset_id}, {"_id": 1}) is not None

    def loop(self) -> Document:
        """Configuration, splits and records; `UnknownNameError` when the dataset has no loop yet."""
        found: Document | None = self._loops.find_one({"_id": self.dataset_id})
        if found is None:
            raise UnknownNameError(
                f"dataset {self.name!r} has no loop yet; run `swath init {self.name} --kitti DIR` or `--fiftyone {self.name}`"
            )
        return found

    def record(self, writer: Writer, step: str, entry: Mapping[str, Any], **also: Any) -> None:
        """Records a step that belongs to no round (init, split, embed); `also` sets further keys of the loop."""
        self._change_loop(writer, {"$set": {f"steps.{step}": dict(entry), **also}, "$inc": {"revision": 1}})

    def forget(self) -> None:
        """Removes everything the journal has of this dataset."""
        for collection, query in (
            (self._assignments, {"dataset": self.dataset_id}),
            (self._rounds, {"dataset": self.dataset_id}),
            (self._loops, {"_id": self.dataset_id}),
        ):
            collection.delete_many(query)

    def barrier(self, writer: Writer) -> None:
        """Returns once all that this client wrote before is on disk: the server's log is sequential."""
        self._change_loop(writer, {"$inc": {"barrier": 1}})

    def _change_loop(self, writer: Writer, change: Mapping[str, Any]) -> None:
        self._of(writer)
        held = {"_id": self.dataset_id, "writer.token": writer.token}
        if self._loops.update_one(held, change).matched_count != 1:
            raise self._fenced(writer)

    # ------------------------------------------------------------------ the writer

    @contextmanager
    def writer(
        self, operation: str, *, wait: float = 30, recover: Callable[[Writer], None] | None = None
    ) -> Iterator[Writer]:
        """Holds the dataset for `operation`. Inside another `writer()` of this journal it is the same one.

        `recover` is called first when the last writer did not end cleanly. Raises `ConflictError`, naming the holder,
        when another live process still holds it after `wait` seconds.
        """
        if self._current is not None:
            yield self._current
            return
        writer = self._acquire(operation, wait)
        self._lost = lost = threading.Event()
        ended = threading.Event()
        beat = threading.Thread(
            target=self._renew, args=(writer, ended, lost), daemon=True, name="swath-lease"
        )
        beat.start()
        self._current = writer
        clean = recovered = False
        try:
            if writer.unclean and recover is not None:
                recover(writer)
            recovered = True
            yield writer
            clean = True
        except Exception as error:
            # A user's mistake leaves nothing in flight, provided that every reply arrived.
            clean = recovered and not isinstance(error, pymongo.errors.PyMongoError | FencedError)
            if not isinstance(error, pymongo.errors.PyMongoError | FencedError) and self.fenced(writer):
                raise self._fenced(writer) from error  # whatever it stumbled over, this is why
            raise
        finally:
            self._current = None
            ended.set()
            beat.join(1)  # a beat that waits for a server that is gone harms nobody
            self._release(writer, clean and not lost.is_set())

    def unclean(self) -> bool:
        """Whether something was begun and not finished, and no live process holds the dataset."""
        held = self.loop().get("writer", {})
        if held.get("mark") is not None:
            return self._is_dead(held) or self._has_expired()
        return bool(held.get("unclean")) or self._has_planned()

    def _has_expired(self) -> bool:
        late = {"$expr": {"$lt": ["$writer.expires", "$$NOW"]}}
        return self._loops.find_one({"_id": self.dataset_id, **late}, {"_id": 1}) is not None

    def _has_planned(self) -> bool:
        return self._rounds.find_one({"dataset": self.dataset_id, "state": "planned"}, {"_id": 1}) is not None

    def raise_fence(self, writer: Writer) -> None:
        """Shuts out every earlier writer from rounds and assignments; rounds it planned too late never happened."""
        self._of(writer)
        floor = int(self.loop().get("floor", 0))
        self._rounds.delete_many({"dataset": self.dataset_id, "state": "planned", "fence": {"$lt": floor}})
        for collection in (self._rounds, self._assignments):
            collection.update_many(
                {"dataset": self.dataset_id, "fence": {"$not": {"$gte": writer.token}}},
                {"$set": {"fence": writer.token}},
            )
        self._change_loop(writer, {"$set": {"floor": writer.token}})

    def holder(self) -> str | None:
        """Who holds the dataset now, in words."""
        held = self.loop().get("writer", {})
        if held.get("mark") is None:
            return None
        return f"process {held['pid']} on {held['host']} ({held['operation']})"

    def _acquire(self, operation: str, wait: float) -> Writer:
        self._enough_room()
        deadline = time.monotonic() + wait
        mark = uuid.uuid4().hex
        _HELD.add(mark)
        while True:
            held = self.loop().get("writer", {})
            dead = held.get("mark") is not None and self._is_dead(held)
            free: list[Document] = [{"$eq": [{"$ifNull": ["$writer.mark", None]}, None]}]
            free.append({"$lt": ["$writer.expires", "$$NOW"]})
            if dead:
                free.append({"$eq": ["$writer.mark", held["mark"]]})
            was_unclean = {
                "$or": [
                    {"$ne": [{"$ifNull": ["$writer.mark", None]}, None]},
                    {"$ifNull": ["$writer.unclean", False]},
                ]
            }
            claim: Document = {
                "token": {"$add": [{"$ifNull": ["$writer.token", 0]}, 1]},
                "mark": mark,
                "operation": operation,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "born": psutil.Process().create_time(),
                "expires": {"$add": ["$$NOW", LEASE_SECONDS * 1000]},
                "unclean": was_unclean,
            }
            with suppress(AutoReconnect):  # the read below tells whether it landed
                self._loops.update_one(
                    {"_id": self.dataset_id, "$expr": {"$or": free}}, [{"$set": {"writer": claim}}]
                )
            now = self.loop()["writer"]
            if now.get("mark") == mark:
                unclean = bool(now["unclean"]) or self._has_planned()
                return Writer(int(now["token"]), mark, operation, unclean)
            if time.monotonic() >= deadline:
                _HELD.discard(mark)
                raise ConflictError(
                    f"{self.name}: {operation} needs the dataset, but {self.holder() or 'another process'} holds it; "
                    f"waited {wait:.0f} s; try again when it is done"
                )
            time.sleep(0.05)

    def _enough_room(self) -> None:
        """MongoDB dies when its disk is full, and does not start until there is room: stop before that."""
        stats = self._loops.database.command("dbStats")
        free = stats.get("fsTotalSize", 0) - stats.get("fsUsedSize", 0)
        if "fsTotalSize" in stats and free < ROOM:
            raise DatabaseError(
                f"the database's disk has {free / 2**20:,.0f} MB left, swath wants at least {ROOM / 2**20:,.0f} MB before it "
                "writes; make room and run the same command again"
            )

    def _is_dead(self, held: Mapping[str, Any]) -> bool:
        """Whether the holder ran on this host and has ended. Other hosts: the lease must run out."""
        if held.get("host") != socket.gethostname():
            return False
        if held["pid"] == os.getpid() and held["mark"] in _HELD:
            return False
        try:
            process = psutil.Process(held["pid"])
            other = abs(process.create_time() - held["born"]) > 1 or process.status() == psutil.STATUS_ZOMBIE
            return other or held["pid"] == os.getpid()
        except psutil.NoSuchProcess:
            return True

    def _renew(self, writer: Writer, ended: threading.Event, lost: threading.Event) -> None:
        while not ended.wait(LEASE_SECONDS / 3):
            try:
                done = self._loops.update_one(
                    {"_id": self.dataset_id, "writer.mark": writer.mark},
                    [{"$set": {"writer.expires": {"$add": ["$$NOW", LEASE_SECONDS * 1000]}}}],
                )
            except pymongo.errors.PyMongoError:
                continue  # the next beat tries again; the fence holds in any case
            if done.matched_count != 1:
                lost.set()
                return

    def _release(self, writer: Writer, clean: bool) -> None:
        _HELD.discard(writer.mark)
        try:
            with pymongo.timeout(None if clean else 2):  # an error that waits to be shown must not wait long
                self._loops.update_one(
                    {"_id": self.dataset_id, "writer.mark": writer.mark},
                    {"$set": {"writer.mark": None, "writer.unclean": not clean}},
                )
        except pymongo.errors.PyMongoError:
            if clean:
                raise  # else the error that brought us here is the one to show; the lease runs out by itself

    def _of(self, writer: Writer) -> None:
        if self._lost.is_set() or self._current is not writer:
            raise self._fenced(writer)

    def _fenced(self, writer: Writer) -> FencedError:
        self._lost.set()
        return FencedError(
            f"{self.name}: {writer.operation} lost the dataset to {self.holder() or 'another process'}; "
            "nothing more of it was written; run it again"
        )

    def fenced(self, writer: Writer) -> bool:
        """Whether another writer has taken over since."""
        return int(self.loop()["writer"]["token"]) != writer.token

    # ------------------------------------------------------------------ rounds

    def rounds(self) -> list[Document]:
        """Rounds `v0`, `v1`, ... in order, cancelled ones included; the reference batches are left out."""
        found = self._rounds.find({"dataset": self.dataset_id, "number": {"$gte": 0}}, {"manifest": 0})
        return list(found.sort([("number", 1), ("_id", 1)]))

    def batches(self) -> list[Document]:
        """All batches: the reference batches first, then the rounds."""
        found = self._rounds.find({"dataset": self.dataset_id}, {"manifest": 0})
        return list(found.sort([("number", 1), ("_id", 1)]))

    def round(self, name: str) -> Document:
        """One batch by name, manifest included."""
        found: Document | None = self._rounds.find_one({"dataset": self.dataset_id, "round": name})
        if found is None:
            known = [batch["round"] for batch in self.batches()]
            raise UnknownNameError(f"no round {name!r}; there are: {', '.join(known) or 'none yet'}")
        return found

    def has_round(self, name: str) -> bool:
        return self._rounds.find_one({"dataset": self.dataset_id, "round": name}, {"_id": 1}) is not None

    def plan(self, writer: Writer, name: str, number: int, manifest: Mapping[str, Any]) -> Document:
        """Step 1 of a commit: the whole decision, durably, before anything shows. The unique index lets one process win."""
        self._of(writer)
        packed = pack(manifest)
        if len(packed) > 15_000_000:
            raise StateError(
                f"{name}: the manifest takes {len(packed):,} bytes, more than one document holds; choose a smaller batch"
            )
        document = {
            "dataset": self.dataset_id,
            "round": name,
            "number": number,
            "state": "planned",
            "revision": 0,
            "mark": writer.mark,
            "fence": writer.token,
            "manifest": packed,
            "manifest_sha256": hashlib.sha256(packed).hexdigest(),
            "batch": manifest["batch"],
            "steps": {},
        }
        late = {"dataset": self.dataset_id, "round": name, "state": "planned"}
        self._rounds.delete_many({**late, "fence": {"$lt": int(self.loop().get("floor", 0))}})
        with suppress(AutoReconnect, DuplicateKeyError):  # settled by reading
            self._rounds.insert_one(document)
        if not self.has_round(name) or self.round(name)["mark"] != writer.mark:
            raise ConflictError(f"{name} exists already: another process was first; see `swath status`")
        self.barrier(writer)  # from here on it is known to be planned by whoever held the dataset
        return document

    def manifest(self, name: str) -> Document:
        """The decision of a round, checked against its hash."""
        found = self.round(name)
        if hashlib.sha256(found["manifest"]).hexdigest() != found["manifest_sha256"]:
            raise IntegrityError(f"{name}: the manifest is not the one that was committed (its hash differs)")
        manifest: Document = unpack(found["manifest"])
        return manifest

    def advance(
        self,
        writer: Writer,
        name: str,
        states: str | Sequence[str],
        to: str,
        records: Mapping[str, Any] | None = None,
        drop: Sequence[str] = (),
    ) -> Document:
        """Moves a round from one of `states` to `to` by compare-and-set, with `records` of steps, and without those of `drop`."""
        self._of(writer)
        expected = (states,) if isinstance(states, str) else tuple(states)
        before = self.round(name)
        if before["state"] not in expected:
            if self.fenced(writer):
                raise self._fenced(writer)
            raise StateError(f"{name} is {before['state']}; this step needs it to be {' or '.join(expected)}")
        mark = uuid.uuid4().hex
        change = {
            "state": to,
            "mark": mark,
            "fence": writer.token,
            **{f"steps.{step}": entry for step, entry in (records or {}).items()},
        }
        query = {"_id": before["_id"], "state": before["state"], "revision": before["revision"]}
        query["fence"] = {"$lte": writer.token}
        update: Document = {"$set": change, "$inc": {"revision": 1}}
        if drop:
            update["$unset"] = {f"steps.{step}": 1 for step in drop}
        with suppress(AutoReconnect):  # settled by reading
            self._rounds.update_one(query, update)
        after = self.round(name)
        if after["mark"] != mark:
            if self.fenced(writer):
                raise self._fenced(writer)
            raise ConflictError(
                f"{name} was changed by another process (now {after['state']}); see `swath status`"
            )
        return after

    # ------------------------------------------------------------------ assignments

    def assign(self, writer: Writer, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Step 2 of a commit: one assignment per scene, role, modality and slot. Those that exist stay as they are."""
        self._of(writer)
        batch: list[Document] = []
        for row in rows:
            batch.append(
                {
                    **{"dataset": self.dataset_id, "round": name, "fence": writer.token},
                    **{"state": "unreviewed", "active": True, **row},
                }
            )
            if len(batch) == CHUNK:
                self._insert(name, batch)
                batch = []
        self._insert(name, batch)

    def _insert(self, name: str, batch: list[Document]) -> None:
        if not batch:
            return
        try:
            self._assignments.insert_many(batch, ordered=False)
        except BulkWriteError as error:
            for failure in error.details["writeErrors"]:
                open_elsewhere = "one_open_batch_per_scene" in failure["errmsg"]
                if failure["code"] != 11000 or (open_elsewhere and not self._is_ours(name, failure["op"])):
                    raise ConflictError(
                        f"{name}: scene {failure['op']['key']} is in another open batch already; see `swath explain`"
                    ) from None

    def _is_ours(self, name: str, row: Mapping[str, Any]) -> bool:
        same = {key: row[key] for key in ("key", "role", "modality", "slot")}
        return self._assignments.find_one({"dataset": self.dataset_id, "round": name, **same}) is not None

    def assignments(self, **query: Any) -> list[Document]:
        """Assignments of this dataset, in the order round, key, modality, slot."""
        order = [("round", 1), ("key", 1), ("role", 1), ("modality", 1), ("slot", 1)]
        return list(
            self._assignments.find(
                {"dataset": self.dataset_id, **query}, {"_id": 0, "dataset": 0, "fence": 0}
            ).sort(order)
        )

    def answer(
        self, writer: Writer, name: str, rows: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]
    ) -> None:
        """Records what annotators answered: (which assignment, what to set), after its labels were written."""
        self._of(writer)
        changes = [
            pymongo.UpdateOne(
                {"dataset": self.dataset_id, "round": name, "fence": {"$lte": writer.token}, **which},
                {"$set": {**what, "fence": writer.token}},
            )
            for which, what in rows
        ]
        for start in range(0, len(changes), CHUNK):
            part = changes[start : start + CHUNK]
            done = self._assignments.bulk_write(part, ordered=False)
            if done.matched_count != len(part):
                if self.fenced(writer):
                    raise self._fenced(writer)
                raise IntegrityError(f"{name}: {len(part) - done.matched_count} answers have no assignment")

    def release(self, writer: Writer, name: str, query: Mapping[str, Any], **also: Any) -> int:
        """Ends assignments of a batch: their scenes may be chosen again."""
        self._of(writer)
        done = self._assignments.update_many(
            {
                "dataset": self.dataset_id,
                "round": name,
                "active": True,
                "fence": {"$lte": writer.token},
                **query,
            },
            {"$set": {"active": False, "fence": writer.token, **also}},
        )
        return int(done.modified_count)
