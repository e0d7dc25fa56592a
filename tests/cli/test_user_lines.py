"""What a person can mend, in one line; what nobody can mend by running it again is a defect."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pymongo import errors

from swath import database
from swath.errors import DatabaseError

GONE = (
    errors.ServerSelectionTimeoutError("no servers"),
    errors.AutoReconnect("connection closed"),
    errors.NetworkTimeout("timed out"),
    errors.NotPrimaryError("not primary"),
    errors.OperationFailure("interrupted at shutdown", 11600),
    errors.CursorNotFound("cursor id 7 not found", 43),
)
DEFECTS = (
    errors.DocumentTooLarge("BSON document too large (17000000 bytes)"),
    errors.WriteError("object to insert too large", 10334),
    errors.OperationFailure("unknown operator: $foo", 2),
    errors.DuplicateKeyError("E11000 duplicate key", 11000),
    errors.BulkWriteError({"writeErrors": [{"code": 9, "errmsg": "bad"}], "writeConcernErrors": []}),
    errors.InvalidOperation("cannot use MongoClient after close"),
    ValueError("anything"),
    KeyError("home"),
    FileNotFoundError(errno.ENOENT, "No such file", "x"),
    PermissionError(errno.EPERM, "not permitted"),
)
AGAIN = "run the same command again"


@pytest.mark.parametrize("error", GONE, ids=lambda one: type(one).__name__)
def test_a_server_that_went_away(error: Exception) -> None:
    """A server that cannot be reached, shuts down or was restarted: start it, then the same command goes on."""
    line = database.user_line(error)
    assert line is not None
    assert "went away" in line
    assert line.endswith(f"start it and {AGAIN}")


@pytest.mark.parametrize("error", DEFECTS, ids=lambda one: f"{type(one).__name__}")
def test_a_defect_is_no_line(error: Exception) -> None:
    """What would fail again, a document that is too large above all, keeps its traceback."""
    assert database.user_line(error) is None


@pytest.mark.parametrize("code", [13, 18, 8000])
def test_a_refused_log_in(code: int) -> None:
    """Starting the server would not help: the line speaks of the log-in."""
    line = database.user_line(errors.OperationFailure("Authentication failed.", code))
    assert line is not None
    assert "refused the log-in (Authentication failed.)" in line
    assert "start it" not in line


def test_the_databases_disk_is_full() -> None:
    """Told by the server's code, by its words, and in a bulk write: make room there."""
    written = {"writeErrors": [{"code": 14031, "errmsg": "no room"}], "writeConcernErrors": []}
    late = {"writeErrors": [], "writeConcernErrors": [{"code": 14031, "errmsg": "no room"}]}
    for error in (
        errors.OperationFailure("Out of disk space", 14031),
        errors.OperationFailure("WiredTiger: No space left on device", 8),
        errors.BulkWriteError(written),
        errors.BulkWriteError(late),
    ):
        line = database.user_line(error)
        assert line is not None
        assert "the database's disk is full" in line
        assert "make room there" in line


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.ENOTDIR, "is a file"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.ENOSPC, "the disk is full"),
    ],
)
def test_a_file_that_cannot_be_written(code: int, words: str) -> None:
    """The line names the file, and what is wrong with it."""
    line = database.user_line(OSError(code, os.strerror(code), "/some/where"))
    assert line is not None
    assert "/some/where" in line
    assert words in line


def test_what_is_wrapped_is_seen() -> None:
    """FiftyOne raises errors of its own from those of the driver: the cause tells."""
    wrapped = ConnectionError("Could not connect to `mongod`")
    wrapped.__cause__ = errors.ServerSelectionTimeoutError("no servers")
    assert "went away" in str(database.user_line(wrapped))
    beside = ValueError("mistake of ours")
    beside.__context__ = errors.AutoReconnect("closed")
    assert database.user_line(beside) is None, "what it came upon is not why it was raised"


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://127.0.0.1:notaport",
        "mongodb://127.0.0.1:99999",
        "http://here",
        "mongodb://",
        "mongodb://a:hunter2/x",
    ],
)
def test_an_address_that_cannot_be(uri: str) -> None:
    """One line that says which setting it is and what it looks like; no password that stands at the wrong place."""
    with pytest.raises(DatabaseError) as refused:
        database.ping(database.with_timeouts(uri))
    line = str(refused.value)
    assert line.startswith("FIFTYONE_DATABASE_URI cannot be used (")
    assert "mongodb://HOST:PORT" in line
    assert "\n" not in line
    assert "hunter2" not in line


def swath(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "swath", *arguments]
    env = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


def test_a_bad_address_is_exit_code_1() -> None:
    """The whole command: one line, no traceback, no "defect"."""
    done = swath("status", "-d", "any", FIFTYONE_DATABASE_URI="mongodb://127.0.0.1:notaport")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("swath: FIFTYONE_DATABASE_URI cannot be used (")
    assert done.stderr.count("\n") == 1


def test_a_log_in_that_is_refused(tmp_path: Path) -> None:
    """A real server that wants a log-in, and gets a wrong one."""
    server = database.start(tmp_path / "data")
    try:
        uri = server.uri.replace("mongodb://", "mongodb://nobody:wrong@")
        with pytest.raises(DatabaseError, match="refused the log-in") as refused:
            database.ping(uri)
        assert "wrong@" not in str(refused.value)
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    """`swath world` where one cannot write: one line with the path."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    done = swath("world", str(locked / "w"), "--scenes", "1")
    assert done.returncode == 1
    assert str(locked) in done.stderr
    assert "no permission" in done.stderr


def test_a_file_in_the_way(tmp_path: Path) -> None:
    """`swath world` below a file: one line with the path."""
    (tmp_path / "file").write_text("")
    done = swath("world", str(tmp_path / "file" / "w"), "--scenes", "1")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "file") in done.stderr


def test_a_place_where_nothing_can_be_made() -> None:
    """Where the system itself shows its state, a new file or folder is "not found": the place is named, not a defect."""
    with pytest.raises(FileNotFoundError) as raised:
        Path("/proc/report.html").write_text("")
    line = database.user_line(raised.value)
    assert line is not None
    assert line.startswith("/proc/report.html: nothing can be made there; name another place")


def test_an_interruption_that_a_library_swallows(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Ctrl-C while something is imported may be caught there, and what follows goes wrong: it stays an interruption."""
    from swath import cli

    def half_imported(*args: object, **options: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            pass
        raise AttributeError("module 'half' has no attribute 'there'")

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(cli, "app", half_imported)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main(["status", "--dataset", "x"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "swath: interrupted; run the same command again to go on\n"


def test_a_device_is_not_replaced() -> None:
    """A result is renamed into its place, but not into that of a device: `report --to /dev/full` made a file of it."""
    from swath.formats.files import write_atomic

    with pytest.raises(FileExistsError) as raised:
        write_atomic(Path("/dev/full"), b"text")
    assert Path("/dev/full").is_char_device()
    line = database.user_line(raised.value)
    assert line is not None
    assert line.startswith("/dev/full: something else is in the way")
