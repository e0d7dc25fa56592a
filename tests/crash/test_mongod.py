"""When the server dies, is gone, or has no room: nothing acknowledged is lost, and people get one clear line."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bench import DB, Bench
from forks import End
from harness import DATASET
from shelf import differences, put_back, say

from swath import database

pytestmark = [pytest.mark.database, pytest.mark.timeout(1200)]
NAMES = ["select", "send", "fetch", "check", "golden"]
GONE = {
    "AutoReconnect",
    "ServerSelectionTimeoutError",
    "NetworkTimeout",
    "NotPrimaryError",
    "ConnectionFailure",
}


class Doomed:
    """A mongod that is killed and started again on the same folder and port, with a prepared loop in it."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder
        self.server = database.start(folder / "data")
        self.patience = "500"  # milliseconds that clients look for the server, to be quick
        self.port = int(self.server.uri.split(":")[2].split("/")[0])
        self.unbroken: dict[str, Any] = {}
        self.writes = 0

    @property
    def uri(self) -> str:
        return self.server.uri.replace(str(database.TIMEOUT_MS), self.patience)

    def prepare(self, name: str) -> None:
        with pymongo.MongoClient[dict[str, Any]](self.uri) as client:
            put_back(client[DB], self.bench.home, self.bench.prepared[name])

    def say(self) -> dict[str, Any]:
        with pymongo.MongoClient[dict[str, Any]](self.uri) as client:
            state: dict[str, Any] = json.loads(json.dumps(say(client[DB], DATASET, self.bench.home)))
        return state

    def run(self, n: int, record: Path) -> End:
        """The operations from the reference on, with the server killed before write `n` (0: never)."""
        return self.bench.forks.call(
            "with_server_killed",
            **{"uri": self.uri, "db": DB, "names": NAMES, "n": n, "server": self.server.process.pid},
            record=str(record),
        )

    def restart(self) -> None:
        if self.server.process.poll() is None:
            self.server.process.kill()
        self.server.process.wait()
        self.server = database.start(self.folder / "data", port=self.port)

    def finish(self) -> End:
        where = {"uri": self.uri, "db": DB, "world": "", "home": ""}
        return self.bench.forks.call("finish", **where, names=NAMES)

    def missing(self, record: Path) -> list[str]:
        """What the record says was acknowledged, and the database does not have."""
        wrong = []
        with pymongo.MongoClient[dict[str, Any]](self.uri) as client:
            db = client[DB]
            samples = db[db.datasets.find_one({"name": DATASET})["sample_collection_name"]]  # type: ignore[index]
            for line in record.read_text().splitlines():
                kind, what = json.loads(line)
                if kind == "round":
                    found = db["swath.rounds"].find_one({"round": what[0]})
                    if found is None or found["revision"] < what[1]:
                        wrong.append(line)
                if kind == "answers" and not db["swath.assignments"].count_documents(
                    {"round": what, "state": {"$ne": "unreviewed"}}
                ):
                    wrong.append(line)
                for key, slice_name, field, ids in what if kind == "labels" else []:
                    doc = samples.find_one({"scene_key": key, "group.name": slice_name}) or {}
                    there = {str(one["_id"]) for one in (doc.get(field) or {}).get("detections") or []}
                    wrong += [f"{key} {slice_name} {field} {one}" for one in ids if one not in there]
        return wrong


@pytest.fixture(scope="module")
def doomed(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doomed]:
    folder = tmp_path_factory.mktemp("doomed")
    made = Doomed(bench, folder)
    made.prepare("reference")
    end = made.run(0, folder / "unbroken")
    assert not end.error, end.text
    made.writes, made.unbroken = len(end.value), made.say()
    assert made.missing(folder / "unbroken") == []
    yield made
    made.server.stop()


def killed_at(doomed: Doomed, n: int, record: Path) -> None:
    doomed.prepare("reference")
    end = doomed.run(n, record)
    assert end.error in GONE, f"write {n}: {end}"
    doomed.restart()
    assert doomed.missing(record) == [], f"server killed before write {n}"
    end = doomed.finish()
    assert not end.error, end.text
    assert differences(doomed.say(), doomed.unbroken) == [], f"server killed before write {n}"


def label_writes(doomed: Doomed, folder: Path) -> list[int]:
    """Numbers of the writes right after labels were written and before the barrier."""
    doomed.prepare("reference")
    log = doomed.run(0, folder / "log").value
    barriers = [n for n, what in enumerate(log, 1) if what == "update swath.loops"]
    return [n for n in barriers if log[n - 2].startswith("update samples.")]


def test_mongod_killed(doomed: Doomed, tmp_path: Path) -> None:
    """SIGKILL of mongod at a few writes, between labels and their barrier too: nothing acknowledged is missing, the loop goes on."""
    chance = random.Random(7)
    points = [*chance.sample(range(1, doomed.writes), 3), label_writes(doomed, tmp_path)[0]]
    for number, n in enumerate(points):
        killed_at(doomed, n, tmp_path / str(number))


@pytest.mark.slow
def test_mongod_killed_many_times(doomed: Doomed, tmp_path: Path) -> None:
    """The same at 25 random writes and at every write between labels and their barrier."""
    chance = random.Random(8)
    points = [*chance.sample(range(1, doomed.writes), 25), *label_writes(doomed, tmp_path)]
    for number, n in enumerate(points):
        killed_at(doomed, n, tmp_path / str(number))


def test_a_missing_acknowledgement_is_found(doomed: Doomed, tmp_path: Path) -> None:
    """The record is independent: a label that is taken out of the database is reported as missing."""
    doomed.prepare("reference")
    assert not doomed.run(0, tmp_path / "record").error
    with pymongo.MongoClient[dict[str, Any]](doomed.uri) as client:
        db = client[DB]
        samples = db[db.datasets.find_one({"name": DATASET})["sample_collection_name"]]  # type: ignore[index]
        done = samples.update_many(
            {"human_cuboids.detections": {"$ne": []}}, {"$set": {"human_cuboids": None}}
        )
    assert done.modified_count > 0
    assert doomed.missing(tmp_path / "record") != []


def test_the_error_comes_soon(doomed: Doomed, tmp_path: Path) -> None:
    """When mongod dies under an operation, nobody waits longer than the seconds that swath asks for: the driver's own wait is six
    times as long."""
    doomed.prepare("reference")
    doomed.patience = str(database.TIMEOUT_MS)
    end = doomed.run(4, tmp_path / "record")
    assert end.error in GONE
    waited = re.findall(r"Timeout: ([0-9.]+)s", end.text)
    assert waited in ([], [f"{database.TIMEOUT_MS / 1000}"]), end.text
    doomed.patience = "500"
    doomed.restart()


def swath(*arguments: str, uri: str) -> tuple[int, str]:
    """Exit code and stderr of the command line."""
    done = subprocess.run(
        [sys.executable, "-m", "swath", *arguments],
        env={**os.environ, "FIFTYONE_DATABASE_URI": uri, "FIFTYONE_DATABASE_NAME": DB},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def test_no_server_is_one_line() -> None:
    """With no server at the URI a command ends with exit code 1 and one line that names it and says what to do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code, stderr = swath("status", "--dataset", DATASET, uri=f"mongodb://127.0.0.1:{port}")
    assert code == 1
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert f"127.0.0.1:{port}" in stderr
    assert "FIFTYONE_DATABASE_URI" in stderr


def test_little_room_is_noticed_before_a_write(bench: Bench) -> None:
    """With less room on the database's disk than swath wants, a step says so and writes nothing."""
    put_back(bench.db, bench.home, bench.prepared["reference"])
    before = bench.say()
    where = {"uri": bench.uri, "db": DB, "names": ["select"], "n": 0, "server": 0}
    end = bench.forks.call("with_server_killed", **where, record=os.devnull, room=2**60)
    assert end.error == "DatabaseError"
    assert "make room" in end.text
    assert differences(bench.say(), before) == []


# ---------------------------------------------------------------------- disk full


class SmallDisk:
    """A small file system of its own, in a mount namespace that a sleeping process keeps, and a mongod on it."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        script = f"mount -t tmpfs -o size={megabytes}m none '{folder}' && echo ready && exec sleep 600"
        self.keeper = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert self.keeper.stdout is not None
        if self.keeper.stdout.readline().strip() != "ready":
            pytest.skip("no private mounts here: a small disk can't be made")
        self.seen = Path(f"/proc/{self.keeper.pid}/root{folder}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = database.with_timeouts(f"mongodb://127.0.0.1:{self.port}")
        self.start()

    def start(self) -> None:
        command = ["nsenter", "-t", str(self.keeper.pid), "-m", str(database.find_mongod()), "--dbpath"]
        command += [str(self.folder), "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
        command += ["--logpath", str(self.folder / "log"), "--logappend", "--wiredTigerCacheSizeGB", "0.25"]
        self.mongod = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.mongod.poll() is None:
            try:
                database.ping(self.uri)
                return
            except Exception:
                time.sleep(0.2)
        raise AssertionError("mongod did not start on the small disk")

    def fill(self, leave: int = 0) -> None:
        """Writes until only `leave` bytes are free."""
        with contextlib.suppress(OSError), (self.seen / "filler").open("ab", buffering=0) as file:
            while leave == 0 or shutil.disk_usage(self.seen).free > leave:
                file.write(b"\0" * 65536)

    def free(self) -> None:
        (self.seen / "filler").unlink()

    def stop(self) -> None:
        for process in (self.mongod, self.keeper):
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("nsenter"):
        pytest.skip("making a small disk takes root, unshare and nsenter")
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = SmallDisk(folder, 700)
    yield disk
    disk.stop()


@pytest.mark.slow
def test_disk_full(bench: Bench, small_disk: SmallDisk, tmp_path: Path) -> None:
    """A full disk kills mongod; with room again and mongod started, what was acknowledged is there and the loop goes on."""
    with pymongo.MongoClient[dict[str, Any]](small_disk.uri) as client:
        put_back(client[DB], bench.home, bench.prepared["reference"])
        client.admin.command("fsync")
        small_disk.fill(leave=100 * 2**20)
        where = {"uri": small_disk.uri, "db": DB, "server": 0, "names": NAMES, "n": 24}
        refused = bench.forks.call("with_server_killed", **where, record=os.devnull, room=2**28)
        assert refused.error == "DatabaseError", refused
        record = tmp_path / "record"
        record.touch()
        worker = bench.forks.start("with_server_killed", **where, record=str(record))
        assert worker.wait_stopped()
        small_disk.fill()
        with pytest.raises(pymongo.errors.PyMongoError):  # a checkpoint needs room that is not there
            for _ in range(100):
                client[DB]["filler"].insert_one({"bytes": os.urandom(2**20)})
                client.admin.command("fsync")
    small_disk.mongod.wait(30)
    worker.go_on()
    assert worker.wait().error in GONE
    assert record.read_text(), "nothing was acknowledged before the disk was full"
    small_disk.free()
    small_disk.start()
    doomed = Doomed.__new__(Doomed)
    doomed.patience = str(database.TIMEOUT_MS)
    doomed.bench, doomed.server = bench, database.Server(small_disk.uri, small_disk.folder, small_disk.mongod)  # type: ignore[arg-type]
    assert doomed.missing(record) == []
    end = doomed.finish()
    assert not end.error, end.text
    after_all = doomed.say()
    put_back(bench.db, bench.home, bench.prepared["reference"])
    about = {**bench.where, "world": "", "home": ""}
    assert not bench.forks.call("operate", **about, names=NAMES).error
    assert differences(after_all, bench.say()) == []
