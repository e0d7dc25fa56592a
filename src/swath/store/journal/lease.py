"""The one writer of a dataset: a lease, and a fence that only grows.

`Lease.writer()` takes the dataset by compare-and-set and hands out a `Writer` with a fencing token, a number that only
grows. Every write to samples, views, batches and assignments is filtered by `fence <= token` and leaves the token behind.
Whoever takes over from a writer that did not end cleanly first raises all fences, so that what the old writer's connection
still delivers matches nothing. Leases run on the server's clock; order never uses a clock.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psutil
import pymongo
from bson import ObjectId
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, PyMongoError

from swath.errors import ConflictError, DatabaseError, FencedError, StateError
from swath.records.base import Document
from swath.records.loop import Held
from swath.store.journal import codec

FENCE: Final = "swath_fence"
"""Of samples, views, runs, their files, and the dataset: the token of who wrote it last."""
LEASE_SECONDS: Final = 30
ROOM: Final = 256 * 2**20  # bytes that must be free on the database's disk before a step writes
_HELD: Final[set[str]] = set()  # marks of the writers of this process: one that is not among them has ended


@dataclass(frozen=True)
class Writer:
    """The right to write, until released. `token` is the fence of this writer's sample writes."""

    token: int
    mark: str
    operation: str
    unclean: bool = field(default=False, compare=False)

    @property
    def fenced(self) -> Document:
        """Of documents that no later writer has written, as a query: what was read before it came says nothing of its own."""
        return {FENCE: {"$not": {"$gt": self.token}}}


class Lease:
    """Who may write to one dataset. Kept in the loop's document, under `writer`."""

    def __init__(self, loops: Collection[Document], dataset_id: ObjectId, name: str) -> None:
        self._loops, self.dataset_id, self.name = loops, dataset_id, name
        self._current: Writer | None = None
        self._lost = threading.Event()

    @contextmanager
    def writer(
        self,
        operation: str,
        *,
        wait: float = 30,
        recover: Callable[[Writer], None] | None = None,
        unfinished: Callable[[], bool] = lambda: False,
        held: Callable[[str], None] | None = None,
    ) -> Iterator[Writer]:
        """Holds the dataset for `operation`. Inside another `writer()` of this lease it is the same one.

        `recover` is called first when the last writer did not end cleanly, or something is `unfinished`. Raises
        `ConflictError`, naming the holder, when another live process still holds it after `wait` seconds; `held` is told who
        does, once.
        """
        if self._current is not None:
            yield self._current
            return
        writer = self._acquire(operation, wait, unfinished, held)
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
            clean = recovered and not isinstance(error, PyMongoError | FencedError)
            if not isinstance(error, PyMongoError | FencedError) and self.fenced(writer):
                raise self.lost(writer) from error  # whatever it stumbled over, this is why
            raise
        finally:
            self._current = None
            ended.set()
            beat.join(1)  # a beat that waits for a server that is gone harms nobody
            self._release(writer, clean and not lost.is_set())

    def change(self, writer: Writer, update: Mapping[str, Any]) -> None:
        """Changes the loop's document, if `writer` still holds the dataset."""
        self.check(writer)
        held = {"_id": self.dataset_id, "writer.token": writer.token}
        if self._loops.update_one(held, update).matched_count != 1:
            raise self.lost(writer)

    def barrier(self, writer: Writer) -> None:
        """Returns once all that this client wrote before is on disk: the server's log is sequential."""
        self.change(writer, {"$inc": {"barrier": 1}})

    def check(self, writer: Writer) -> None:
        """`FencedError` unless `writer` is the one that holds the dataset here and now."""
        if self._lost.is_set() or self._current is not writer:
            raise self.lost(writer)

    def lost(self, writer: Writer) -> FencedError:
        """The error of a writer that was overtaken."""
        self._lost.set()
        return FencedError(
            f"{self.name}: {writer.operation} lost the dataset to {self.holder() or 'another process'}; "
            "nothing more of it was written; run it again"
        )

    def fenced(self, writer: Writer) -> bool:
        """Whether another writer has taken over since."""
        return self._state().token != writer.token

    def unclean(self) -> bool:
        """Whether the last writer did not end cleanly, and no live process holds the dataset."""
        held = self._state()
        if held.mark is not None:
            return self._is_dead(held) or self._has_expired()
        return held.unclean

    def holder(self) -> str | None:
        """Who holds the dataset now, in words; None where nobody does, or who did has ended on this host."""
        held = self._state()
        if held.mark is None or self._is_dead(held):
            return None
        return f"process {held.pid} on {held.host} ({held.operation})"

    def _state(self) -> Held:
        found = self._loops.find_one({"_id": self.dataset_id}, {"writer": 1})
        if found is None:
            raise StateError(f"the loop of {self.name} is gone: it was removed meanwhile")
        return codec.held(found)

    def _has_expired(self) -> bool:
        late = {"$expr": {"$lt": ["$writer.expires", "$$NOW"]}}
        return self._loops.find_one({"_id": self.dataset_id, **late}, {"_id": 1}) is not None

    def _acquire(
        self,
        operation: str,
        wait: float,
        unfinished: Callable[[], bool],
        told: Callable[[str], None] | None,
    ) -> Writer:
        self._enough_room()
        deadline = time.monotonic() + wait
        mark = uuid.uuid4().hex
        _HELD.add(mark)
        while True:
            held = self._state()
            dead = held.mark is not None and self._is_dead(held)
            with suppress(AutoReconnect):  # the read below tells whether it landed
                self._loops.update_one(
                    {"_id": self.dataset_id, "$expr": {"$or": _free(held.mark if dead else None)}},
                    [{"$set": {"writer": _claim(mark, operation)}}],
                )
            now = self._state()
            if now.mark == mark:
                return Writer(now.token, mark, operation, now.unclean or unfinished())
            if time.monotonic() >= deadline:
                _HELD.discard(mark)
                raise ConflictError(
                    f"{self.name}: {operation} needs the dataset, but {self.holder() or 'another process'} holds it; "
                    f"waited {wait:.0f} s; try again when it is done"
                )
            if told is not None:
                told(f"waiting for {self.holder() or 'another process'}, up to {wait:.0f} s")
                told = None
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

    def _is_dead(self, held: Held) -> bool:
        """Whether the holder ran on this host and has ended. Other hosts: the lease must run out."""
        if held.host != socket.gethostname():
            return False
        if held.pid == os.getpid() and held.mark in _HELD:
            return False
        try:
            process = psutil.Process(held.pid)
            other = abs(process.create_time() - held.born) > 1 or process.status() == psutil.STATUS_ZOMBIE
            return other or held.pid == os.getpid()
        except psutil.NoSuchProcess:
            return True

    def _renew(self, writer: Writer, ended: threading.Event, lost: threading.Event) -> None:
        while not ended.wait(LEASE_SECONDS / 3):
            try:
                done = self._loops.update_one(
                    {"_id": self.dataset_id, "writer.mark": writer.mark},
                    [{"$set": {"writer.expires": {"$add": ["$$NOW", LEASE_SECONDS * 1000]}}}],
                )
            except PyMongoError:
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
        except PyMongoError:
            if clean:
                raise  # else the error that brought us here is the one to show; the lease runs out by itself


def _free(dead: str | None) -> list[Document]:
    """When the dataset may be taken: nobody holds it, the lease ran out, or its holder `dead` has ended."""
    free: list[Document] = [
        {"$eq": [{"$ifNull": ["$writer.mark", None]}, None]},
        {"$lt": ["$writer.expires", "$$NOW"]},
    ]
    return [*free, {"$eq": ["$writer.mark", dead]}] if dead else free


def _claim(mark: str, operation: str) -> Document:
    was_unclean = {
        "$or": [
            {"$ne": [{"$ifNull": ["$writer.mark", None]}, None]},
            {"$ifNull": ["$writer.unclean", False]},
        ]
    }
    return {
        "token": {"$add": [{"$ifNull": ["$writer.token", 0]}, 1]},
        "mark": mark,
        "operation": operation,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "born": psutil.Process().create_time(),
        "expires": {"$add": ["$$NOW", LEASE_SECONDS * 1000]},
        "unclean": was_unclean,
    }
