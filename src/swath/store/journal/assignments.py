"""Who was asked for what, and what came back: one document per batch, scene, role, channel and annotator slot."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import pymongo
from bson import ObjectId
from pymongo import collection as mongo
from pymongo.errors import BulkWriteError, OperationFailure

from swath.errors import ConflictError, IntegrityError
from swath.records.assignment import DONE, LABELLED, AnswerState, Assignment, Role, Said
from swath.records.base import Document
from swath.store.journal import codec
from swath.store.journal.lease import Lease, Writer
from swath.suggest import command

CHUNK: Final = 20_000
ONE_OPEN: Final = "one_open_batch_per_channel"
NEW: Final = {"channel": {"$exists": True}}
OF_0_1: Final = (
    "dataset_1_round_1_key_1_role_1_modality_1_slot_1",
    "one_open_batch_per_scene",
    "dataset_1_key_1",
)


class Assignments:
    """The assignments of one dataset."""

    def __init__(
        self,
        collection: mongo.Collection[Document],
        dataset_id: ObjectId,
        lease: Lease,
        old: Callable[[], codec.Old | None],
    ) -> None:
        self._rows, self._dataset = collection, dataset_id
        self._lease, self._old = lease, old

    def create(self) -> None:
        """Makes the indexes. Those of 0.1.0 go: they would take two channels of a scene for the same assignment, or be chosen where
        they don't help."""
        for name in OF_0_1:
            with suppress(OperationFailure):  # not there
                self._rows.drop_index(name)
        place = [("dataset", 1), ("round", 1), ("key", 1), ("role", 1), ("channel", 1), ("slot", 1)]
        self._rows.create_index(place, unique=True, partialFilterExpression=NEW)
        self._rows.create_index(
            [("dataset", 1), ("key", 1), ("channel", 1)],
            unique=True,
            partialFilterExpression={"role": "pool", "active": True, **NEW},
            name=ONE_OPEN,
        )
        # The key first: for one batch's rows the server has one index to choose, not two of which one goes through all.
        self._rows.create_index([("key", 1), ("dataset", 1)])
        self._rows.create_index([("dataset", 1), ("round", 1), ("active", 1)])

    # ------------------------------------------------------------------ reading

    def find(
        self,
        *,
        round: str | None = None,
        keys: Collection[str] | None = None,
        role: Role | Sequence[Role] | None = None,
        state: AnswerState | Sequence[AnswerState] | None = None,
        active: bool | None = None,
        rejected: bool = False,
    ) -> list[Assignment]:
        """Assignments that are all of this, in the order round, key, role, channel, slot."""
        query: Document = {"dataset": self._dataset}
        for name, value in (("round", round), ("role", role), ("state", state), ("active", active)):
            if value is not None:
                query[name] = {"$in": list(value)} if isinstance(value, tuple | list) else value
        if rejected:
            query["rejected.0"] = {"$exists": True}
        found: list[Assignment] = []
        old = self._old()
        for part in [None] if keys is None else _parts(sorted(keys)):
            more = {} if part is None else {"key": {"$in": part}}
            found += [codec.assignment(one, old) for one in self._rows.find({**query, **more})]
        return sorted(found, key=lambda one: (one.round, one.key, one.role, one.channel, one.slot))

    def labelled(self, **query: Any) -> list[Assignment]:
        """Those that somebody has labelled, or found empty."""
        return self.find(state=LABELLED, **query)

    def any_labelled(self) -> bool:
        """Whether any label has come."""
        query = {"dataset": self._dataset, "state": {"$in": list(LABELLED)}}
        return self._rows.find_one(query, {"_id": 1}) is not None

    def waiting(self, name: str) -> int:
        """Scenes of a batch that somebody has yet to look at."""
        query = {
            "dataset": self._dataset,
            "round": name,
            "active": True,
            "state": {"$nin": [*DONE, "returned"]},
        }
        found = self._rows.aggregate([{"$match": query}, {"$group": {"_id": "$key"}}, {"$count": "n"}])
        return int(next(iter(found), {"n": 0})["n"])

    # ------------------------------------------------------------------ writing

    def assign(self, writer: Writer, rows: Iterable[Assignment]) -> None:
        """Step 2 of a commit: one document each. Those that exist stay as they are."""
        self._lease.check(writer)
        batch: list[Document] = []
        for row in rows:
            batch.append({"dataset": self._dataset, "fence": writer.token, **row.document()})
            if len(batch) == CHUNK:
                self._insert(batch)
                batch = []
        self._insert(batch)

    def _insert(self, batch: list[Document]) -> None:
        if not batch:
            return
        try:
            self._rows.insert_many(batch, ordered=False)
        except BulkWriteError as error:
            for failure in error.details["writeErrors"]:
                row = codec.assignment(failure["op"], None)
                open_elsewhere = ONE_OPEN in failure["errmsg"]
                if failure["code"] != 11000 or (open_elsewhere and not self._is_ours(row)):
                    raise ConflictError(
                        f"{row.round}: scene {row.key} is in another open batch already; see `{command('explain', self._lease.name, row.key)}`"
                    ) from None

    def _is_ours(self, row: Assignment) -> bool:
        same = row.model_dump(include={"round", "key", "role", "channel", "slot"})
        return self._rows.find_one({"dataset": self._dataset, **same}) is not None

    def answer(self, writer: Writer, name: str, said: Iterable[Said]) -> None:
        """Records what annotators answered, after its labels were written."""
        self._lease.check(writer)
        changes = [
            pymongo.UpdateOne(
                {
                    "dataset": self._dataset,
                    "round": name,
                    "key": one.key,
                    "role": one.role,
                    "channel": one.channel,
                    "slot": one.slot,
                    "fence": {"$lte": writer.token},
                },
                {"$set": {**_told(one), "fence": writer.token}},
            )
            for one in said
        ]
        for start in range(0, len(changes), CHUNK):
            part = changes[start : start + CHUNK]
            done = self._rows.bulk_write(part, ordered=False)
            if done.matched_count != len(part):
                if self._lease.fenced(writer):
                    raise self._lease.lost(writer)
                raise IntegrityError(f"{name}: {len(part) - done.matched_count} answers have no assignment")

    def release(
        self,
        writer: Writer,
        name: str,
        state: AnswerState | None = None,
        to: AnswerState | None = None,
        keys: Collection[str] | None = None,
    ) -> int:
        """Ends assignments of a batch (those in `state`, of `keys`; all, when None): their scenes may be chosen again."""
        self._lease.check(writer)
        query: Document = {"dataset": self._dataset, "round": name, "active": True}
        query |= {"fence": {"$lte": writer.token}} | ({"state": state} if state else {})
        change: Document = {"active": False, "fence": writer.token} | ({"state": to} if to else {})
        ended = 0
        for part in [None] if keys is None else _parts(sorted(keys)):
            more = {} if part is None else {"key": {"$in": part}}
            ended += int(self._rows.update_many({**query, **more}, {"$set": change}).modified_count)
        return ended

    def raise_fence(self, writer: Writer) -> None:
        """Shuts out every earlier writer."""
        self._rows.update_many(
            {"dataset": self._dataset, "fence": {"$not": {"$gte": writer.token}}},
            {"$set": {"fence": writer.token}},
        )

    def migrate(self, writer: Writer, old: codec.Old) -> None:
        """Gives the rows of 0.1.0 their channel and their scene's split; those that have one stay as they are."""
        self._lease.check(writer)
        keys_of: dict[str, list[str]] = {}
        for key, split in old.membership.items():
            keys_of.setdefault(split, []).append(key)
        mine = {"dataset": self._dataset, "channel": {"$exists": False}, "fence": {"$lte": writer.token}}
        for modality, channel in old.slices.items():
            change = {"channel": channel, "fence": writer.token}
            for role in ("pool", "golden"):
                query = {**mine, "modality": modality, "role": role}
                self._rows.update_many(query, {"$set": {**change, "split": role}, "$unset": {"modality": 1}})
            for split, keys in sorted(keys_of.items()):
                for part in _parts(sorted(keys)):
                    query = {**mine, "modality": modality, "key": {"$in": part}}
                    self._rows.update_many(
                        query, {"$set": {**change, "split": split}, "$unset": {"modality": 1}}
                    )
            query = {**mine, "modality": modality}
            self._rows.update_many(query, {"$set": {**change, "split": ""}, "$unset": {"modality": 1}})

    def forget(self) -> None:
        self._rows.delete_many({"dataset": self._dataset})


def _told(one: Said) -> Document:
    """What an answer sets; None clears nothing."""
    told = one.document()
    for name in ("key", "role", "channel", "slot"):
        del told[name]
    return told


def _parts(keys: list[str]) -> Iterable[list[str]]:
    return (keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK))
