"""Looking changes nothing: the commands that only look send the database no command that writes, whatever state the loop is in."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import durable
import quick_loop
from quick_loop import tag_by_hand
from support import journal_of, samples_of, watched
from swath import commit
from swath.errors import StateError, SwathError, WaitingError
from swath.loop import Loop

pytestmark = pytest.mark.database
LOOKS: dict[str, Callable[[Loop], Any]] = {
    "open": lambda loop: Loop.open(loop.name),
    "status": lambda loop: loop.status(),
    "plan": lambda loop: loop.plan(),
    "where": lambda loop: Loop.where(loop.name),
    "golden --show": lambda loop: loop.last_golden(),
    "stop --show": lambda loop: loop.last_stopped(),
    "evaluate --show": lambda loop: loop.last_evaluated(),
    "explain": lambda loop: [loop.explain(key) for key in loop.workspace.scenes.some_keys(5)],
    "batch": lambda loop: [loop.batch(one.round) for one in loop.workspace.journal.batches.all()],
    "replay": lambda loop: [loop.replay(one.round) for one in loop.status().rounds],
    "pictures": lambda loop: loop.pictures(loop.workspace.members("pool")),
    "report": lambda loop: loop.report(),
    "repair --check": lambda loop: loop.repair(check=True),
    "select --dry-run": lambda loop: loop.select(dry_run=True),
}


@pytest.fixture
def healthy(dataset_name: str) -> Loop:
    """v0 is closed, v1 is not chosen yet; some tags were changed by hand, so that there is something to put right."""
    loop = quick_loop.at("closed", dataset_name)
    key = loop.workspace.members("pool")[0]
    tag_by_hand(loop, key, add=["batch:v7"])
    return Loop.open(dataset_name)


@pytest.fixture
def killed(dataset_name: str, monkeypatch: pytest.MonkeyPatch) -> Loop:
    """v1 is planned and not committed: its writer was killed, and still has the lease."""
    loop = quick_loop.at("closed", dataset_name)

    class Killed(BaseException): ...

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(commit, "commit", kill)
        with pytest.raises(Killed):
            loop.select()
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    held = {"mark": "killed", "host": socket.gethostname(), "pid": int(dead.stdout), "born": 1.0}
    change = {f"writer.{name}": value for name, value in held.items()}
    journal_of(loop, "loops").update_one({"_id": loop.workspace.journal.dataset_id}, {"$set": change})
    loop = Loop.open(dataset_name)
    assert loop.workspace.journal.batches.get("v1").state == "planned"
    assert loop.workspace.journal.unclean()
    return loop


def stored(loop: Loop) -> str:
    """A fingerprint of every document of every collection that is the dataset's, or everybody's; without FiftyOne's stamps."""
    samples, digest = samples_of(loop), hashlib.sha256()
    for name in sorted(samples.database.list_collection_names()):
        if name.startswith("samples.") and not name.startswith(samples.name):
            continue
        for doc in sorted(samples.database[name].find({}), key=lambda one: str(one["_id"])):
            doc.pop("last_loaded_at", None)
            digest.update(f"{name} {doc}".encode())
    return digest.hexdigest()


def lease_of(loop: Loop) -> dict[str, Any]:
    """Who writes, as it is stored."""
    found = journal_of(loop, "loops").find_one({"_id": loop.workspace.journal.dataset_id})
    assert found is not None
    lease: dict[str, Any] = found["writer"]
    return lease


def files(folder: Path) -> dict[str, int]:
    """Path -> time of change, of the files below a folder; but for the report."""
    there = (path for path in folder.rglob("*") if path.is_file() and path.name != "report.html")
    return {str(path): path.stat().st_mtime_ns for path in there}


WAITS: dict[str, type[SwathError]] = {"select --dry-run": WaitingError}
UNDECIDED = {f"{step} --show": StateError for step in ("golden", "stop", "evaluate")}


def look(loop: Loop, refused: Mapping[str, type[SwathError]] = MappingProxyType({})) -> dict[str, Any]:
    """Everything that looks, each in a loop of its own, of which none may write; what it said. `refused`: those that have nothing
    to say yet -> the error that says so."""
    before, there, said = stored(loop), files(loop.workspace.home), {}
    for name, command in LOOKS.items():
        fresh = Loop.open(loop.name)
        with watched() as commands:
            if name in refused:
                with pytest.raises(refused[name]):
                    command(fresh)
            else:
                said[name] = command(fresh)
        assert commands.writes == [], name
        assert commands.documents > 0, name
    assert stored(loop) == before
    assert files(loop.workspace.home) == there
    return said


def test_the_watch_sees_writes(healthy: Loop) -> None:
    """A step that writes is seen to: else these tests would prove nothing."""
    with watched() as commands:
        healthy.repair()
    assert len(commands.writes) > 5
    assert any(one.startswith("update {'update': 'samples.") for one in commands.writes)
    assert any(one.startswith("update {'update': 'swath.loops'") for one in commands.writes)


def test_a_healthy_loop(healthy: Loop) -> None:
    """Not a write, though tags are wrong; each command says what it has to say; the writer's token stays what it was."""
    lease = lease_of(healthy)
    said = look(healthy)
    assert lease_of(healthy) == lease
    assert said["status"].next.step == "select"
    assert {one.what for one in said["repair --check"].differences} == {"tags"}
    assert [one.equal for one in said["replay"]] == [True]
    assert said["select --dry-run"].dry_run
    assert Path(said["report"]).stat().st_size > 10_000
    assert len(said["batch"]) == 2
    assert all(said["pictures"].values())


def test_a_loop_that_a_killed_writer_left_behind(killed: Loop) -> None:
    """The planned round stays planned, and the dead writer's lease his, however often one looks; what is there is said, with
    what finishes it. The next step that writes does."""
    lease = lease_of(killed)
    said = look(killed, refused=WAITS)
    assert lease_of(killed) == lease
    assert lease["mark"] == "killed"
    assert killed.workspace.journal.batches.get("v1").state == "planned"
    assert [one.state for one in said["status"].rounds] == ["closed", "planned"]
    finishes = "v1 is being committed by a process that ended; the next step that writes finishes it"
    assert (said["status"].held_by, said["status"].next.why) == (None, finishes)
    assert not said["status"].next.people
    assert [one.equal for one in said["replay"]] == [True, True]
    batch = said["batch"][-1]
    assert (batch.round, batch.state, batch.size.size) == ("v1", "planned", 10)
    assert all(scene.answers == {} for scene in batch.scenes)

    loop = Loop.open(killed.name)
    loop.recover()
    assert loop.workspace.journal.batches.get("v1").state == "committed"
    assert loop.repair(check=True).differences == ()
    assert {one.choice.key for one in loop.batch("v1").scenes} == {one.choice.key for one in batch.scenes}
    before = durable.everything(loop)
    look(loop, refused=WAITS)
    assert durable.differences(before, durable.everything(loop)) == []


def test_a_loop_that_waits_for_people(dataset_name: str) -> None:
    """The same while labels are awaited, and no verdict has come."""
    loop = quick_loop.at("sent", dataset_name)
    said = look(loop, refused=WAITS | UNDECIDED)
    assert said["status"].next.step == "fetch"


def test_a_loop_of_0_1_0(mongod: str, tmp_path: Path) -> None:
    """Looking at a loop of swath 0.1.0, in either state of the fixture, leaves every document of its database as it is."""
    for state in ("open", "cancelled"):
        script = Path(__file__).with_name("old_loop.py")
        arguments = [
            sys.executable,
            str(script),
            "look",
            state,
            f"swath-old-look-{state}",
            str(tmp_path / state),
        ]
        done = subprocess.run(arguments, capture_output=True, text=True, env=os.environ, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        said = json.loads(done.stdout.splitlines()[-1])
        assert said["writes"] == {name: [] for name in said["writes"]}
        assert set(said["writes"]) == {
            "open",
            "status",
            "plan",
            "explain",
            "batch",
            "replay",
            "report",
            "repair --check",
        }
        assert said["unchanged"]
        assert said["old"]
