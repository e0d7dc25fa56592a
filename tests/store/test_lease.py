"""One writer per dataset: who gets it, who waits, who was overtaken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import psutil
import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect

from swath.errors import ConflictError, DatabaseError, FencedError, StateError
from swath.records.base import Blob
from swath.records.loop import Membership, Repaired
from swath.store.journal import Journal, lease
from swath.store.journal.lease import Lease, Writer

pytestmark = pytest.mark.database

FAR = datetime.now(timezone.utc) + timedelta(days=1)


@pytest.fixture
def loops(database: Any) -> Any:
    return database["swath.loops"]


def stored(journal: Journal, loops: Any) -> dict[str, Any]:
    found: dict[str, Any] = loops.find_one({"_id": journal.dataset_id})["writer"]
    return found


def put(journal: Journal, loops: Any, **writer: Any) -> None:
    """Makes the stored writer another one."""
    change = {f"writer.{name}": value for name, value in writer.items()}
    loops.update_one({"_id": journal.dataset_id}, {"$set": change})


def elsewhere(journal: Journal, loops: Any, **more: Any) -> None:
    """As if a process on another machine held the dataset, with a lease that lasts."""
    held = {"token": 7, "mark": "theirs", "operation": "select", "pid": 1, "host": "elsewhere", "born": 0.0}
    put(journal, loops, **{**held, "expires": FAR, "unclean": False, **more})


# ---------------------------------------------------------------------- taking and giving back


def test_each_writer_has_a_higher_token(journal: Journal, loops: Any) -> None:
    """Tokens grow by one, across processes; in between nobody holds the dataset."""
    tokens = []
    for lease_ in (journal.lease, Lease(loops, journal.dataset_id, "made"), journal.lease):
        with lease_.writer("fetch") as writer:
            tokens.append(writer.token)
            assert not writer.unclean
            assert lease_.holder() == f"process {os.getpid()} on {socket.gethostname()} (fetch)"
        assert lease_.holder() is None
        assert not lease_.unclean()
    assert tokens == [1, 2, 3]


def test_tokens_begin_above_what_was_there(database: Any) -> None:
    """A journal that was begun again goes on above the fences that its scenes carry."""
    one = Journal(database, ObjectId(), "made")
    one.create({}, "/home", token=41)
    with one.lease.writer("init") as writer:
        assert writer.token == 42
    assert one.loop().floor == 41
    one.forget()


def test_a_writer_inside_a_writer_is_the_same(journal: Journal) -> None:
    """Steps that call steps hold the dataset once, until the outer one ends."""
    with journal.lease.writer("run") as outer:
        with journal.lease.writer("fetch", wait=0) as inner:
            assert inner is outer
        journal.lease.check(outer)
        assert journal.lease.holder() is not None
    with pytest.raises(FencedError):
        journal.lease.check(outer)


def test_what_a_writer_changes(journal: Journal) -> None:
    """Steps, configuration, folder and splits land in the loop's document; every change counts."""
    blob = Blob(sha256="m", size=1, pieces=1)
    members = Membership(members=blob, sha256="s", test_sha256="t")
    with journal.lease.writer("repair") as writer:
        journal.record(
            writer, {"repair": Repaired(differences=3)}, config={"seed": 1}, home="/new", membership=members
        )
        journal.lease.barrier(writer)
    record = journal.loop()
    assert record.steps.repair == Repaired(differences=3)
    assert (record.config, record.home, record.membership, record.revision) == (
        {"seed": 1},
        "/new",
        members,
        1,
    )
    with journal.lease.writer("repair") as writer:
        journal.record(writer, {"repair": Repaired(differences=0)})
    again = journal.loop()
    assert (again.config, again.home, again.revision) == ({"seed": 1}, "/new", 2)
    assert journal.exists()


def test_beginning_again_changes_nothing(journal: Journal, other: Journal) -> None:
    """`create` on a journal that is there leaves its settings, its secret and its writer."""
    before = journal.loop()
    other.create({"seed": 99}, "/elsewhere", token=9)
    assert other.loop() == before
    assert len(before.secret) == 32


# ---------------------------------------------------------------------- waiting


def test_who_holds_the_dataset_is_named(journal: Journal, loops: Any) -> None:
    """Another one gets a conflict that names the holder, after it waited; it was told once, and nothing changed."""
    elsewhere(journal, loops)
    told: list[str] = []
    with pytest.raises(ConflictError) as error, journal.lease.writer("train", wait=0.2, held=told.append):
        raise AssertionError("it must not get here")
    assert "train needs the dataset, but process 1 on elsewhere (select) holds it; waited 0 s" in str(
        error.value
    )
    assert told == ["waiting for process 1 on elsewhere (select), up to 0 s"]
    assert stored(journal, loops)["mark"] == "theirs"
    assert stored(journal, loops)["token"] == 7


def test_two_writers_of_one_process(journal: Journal, other: Journal) -> None:
    """Two loops in one process exclude each other; the second gets it when the first is done."""
    with journal.lease.writer("select"), pytest.raises(ConflictError), other.lease.writer("train", wait=0):
        raise AssertionError("it must not get here")
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with other.lease.writer("train", wait=60, held=lambda who: waits.set()) as writer:
            order.append(f"second {writer.token}")

    thread = threading.Thread(target=second)
    with journal.lease.writer("select") as writer:
        thread.start()
        assert waits.wait(60)
        order.append(f"first {writer.token}")
    thread.join(60)
    assert order == ["first 2", "second 3"]


def test_a_lease_that_ran_out_is_free(journal: Journal, loops: Any) -> None:
    """By the server's clock. Who takes it knows that the other did not end."""
    elsewhere(journal, loops, expires=datetime(2000, 1, 1, tzinfo=timezone.utc))
    assert journal.lease.unclean()
    with journal.lease.writer("train", wait=0) as writer:
        assert writer.token == 8
        assert writer.unclean


# ---------------------------------------------------------------------- writers that ended badly


def ended() -> tuple[int, float]:
    """Process id and birth of a process of this machine that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = psutil.Process(child.pid).create_time()
    child.communicate(b"\n")
    return child.pid, born


def test_a_process_that_ended_holds_nothing(journal: Journal, loops: Any) -> None:
    """On this machine it need not be waited for: its lease is taken at once, unclean."""
    pid, born = ended()
    elsewhere(journal, loops, host=socket.gethostname(), pid=pid, born=born)
    assert journal.lease.unclean()
    with journal.lease.writer("train", wait=0) as writer:
        assert writer.unclean


def test_another_process_with_its_number_is_not_it(journal: Journal, loops: Any) -> None:
    """A process id that was given again: whoever was born at another time is not the holder. The same birth is."""
    living = psutil.Process(os.getppid())
    elsewhere(journal, loops, host=socket.gethostname(), pid=living.pid, born=living.create_time())
    assert not journal.lease.unclean()
    with pytest.raises(ConflictError), journal.lease.writer("train", wait=0):
        raise AssertionError("it must not get here")
    put(journal, loops, born=living.create_time() - 100)
    assert journal.lease.unclean()
    with journal.lease.writer("train", wait=0) as writer:
        assert writer.unclean


def test_a_writer_of_this_process_that_is_no_more(journal: Journal, loops: Any) -> None:
    """A mark that this process does not hold any longer (its release never arrived) is free."""
    me = psutil.Process()
    elsewhere(journal, loops, host=socket.gethostname(), pid=me.pid, born=me.create_time())
    with journal.lease.writer("train", wait=0) as writer:
        assert writer.unclean


def test_a_users_mistake_leaves_nothing_to_put_right(journal: Journal) -> None:
    """An error inside a writer gives the dataset back, clean."""
    for error in (StateError("no"), ValueError("no")):
        with suppress(StateError, ValueError), journal.lease.writer("train"):
            raise error
        assert not journal.lease.unclean()
    with journal.lease.writer("train") as writer:
        assert not writer.unclean


@pytest.mark.parametrize("error", [AutoReconnect("gone"), FencedError("gone"), KeyboardInterrupt()])
def test_what_may_be_in_flight_is_put_right(journal: Journal, error: BaseException) -> None:
    """A database that went away, a lost lease, an interruption: the next writer recovers first, once."""
    with pytest.raises(type(error)), journal.lease.writer("train"):
        raise error
    assert journal.lease.unclean()
    assert journal.lease.holder() is None
    recovered: list[int] = []
    for _ in range(2):
        with journal.lease.writer("train", recover=lambda writer: recovered.append(writer.token)):
            pass
    assert recovered == [2]
    assert not journal.lease.unclean()


def test_a_recovery_that_failed_is_tried_again(journal: Journal) -> None:
    """Also where it failed by a user's mistake: nobody writes before it is done."""
    with suppress(KeyboardInterrupt), journal.lease.writer("train"):
        raise KeyboardInterrupt

    def fails(writer: Writer) -> None:
        raise StateError("the media are not mounted")

    reached = False
    with pytest.raises(StateError), journal.lease.writer("train", recover=fails):
        reached = True
    assert not reached
    assert journal.lease.unclean()
    again: list[Writer] = []
    with journal.lease.writer("train", recover=again.append) as writer:
        assert again == [writer]


def test_what_is_unfinished_is_recovered_too(journal: Journal) -> None:
    """A planned batch, say, though its writer ended cleanly."""
    seen: list[Writer] = []
    with journal.lease.writer("train", recover=seen.append, unfinished=lambda: True) as writer:
        assert writer.unclean
    with journal.lease.writer("train", recover=seen.append, unfinished=lambda: False):
        pass
    assert seen == [writer]
    assert not journal.unfinished()


# ---------------------------------------------------------------------- overtaken


def test_an_overtaken_writer_writes_nothing(
    journal: Journal, loops: Any, overtake: Callable[[], Writer]
) -> None:
    """Its changes match nothing; it says who has the dataset; and its end takes nothing from the other."""
    with (
        pytest.raises(FencedError, match="train lost the dataset to process"),
        journal.lease.writer("train") as first,
    ):
        second = overtake()
        assert second.unclean
        assert journal.lease.fenced(first)
        with pytest.raises(FencedError):
            journal.record(first, {"repair": Repaired(differences=1)})
        with pytest.raises(FencedError):
            journal.lease.check(first)
        raise StateError("it stumbled over what the other did")
    assert stored(journal, loops)["mark"] == second.mark
    assert journal.loop().steps.repair is None


def test_any_error_of_an_overtaken_writer_is_told_as_that(
    journal: Journal, overtake: Callable[[], Writer]
) -> None:
    """Whatever it stumbles over is a consequence."""
    with pytest.raises(FencedError) as error, journal.lease.writer("train"):
        overtake()
        raise ValueError("a batch that vanished")
    assert isinstance(error.value.__cause__, ValueError)


def test_the_heartbeat_tells_that_the_lease_is_lost(
    journal: Journal, loops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that computes for long learns at the next beat that it is no writer any more, without asking the database."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.1)
    with suppress(FencedError), journal.lease.writer("train") as writer:
        put(journal, loops, mark="theirs", token=99)
        until = time.monotonic() + 60
        while not journal.lease._lost.is_set() and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(FencedError):
            journal.lease.check(writer)
    assert stored(journal, loops)["mark"] == "theirs"


def test_the_heartbeat_keeps_the_lease(journal: Journal, loops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a writer works, the end of its lease moves on."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.3)
    with journal.lease.writer("train"):
        ends = {stored(journal, loops)["expires"]}
        until = time.monotonic() + 60
        while len(ends) < 3 and time.monotonic() < until:
            time.sleep(0.02)
            ends.add(stored(journal, loops)["expires"])
    assert len(ends) == 3


# ---------------------------------------------------------------------- what else can be


def test_a_loop_that_was_removed_meanwhile(journal: Journal) -> None:
    """It is said so, not taken for a lost database."""
    journal.forget()
    with pytest.raises(StateError, match="the loop of made is gone"), journal.lease.writer("train"):
        raise AssertionError("it must not get here")
    assert not journal.exists()


def test_a_disk_that_is_nearly_full(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step begins: MongoDB would die in the middle of it. The message has both figures."""
    monkeypatch.setattr(lease, "ROOM", 2**60)
    message = "MB left, swath wants at least 1,099,511,627,776 MB"
    with pytest.raises(DatabaseError, match=message), journal.lease.writer("train"):
        raise AssertionError("it must not get here")
    assert journal.lease.holder() is None
