"""Which database is used: a URI that is set, FiftyOne's own binary, one on the PATH; else one clear line."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath import commands, database
from swath.errors import DatabaseError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any database, as far as swath can see: no URI, no binary, an empty PATH. The PATH's one folder."""
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    monkeypatch.setenv("FIFTYONE_CONFIG_PATH", str(tmp_path / "config.json"))
    monkeypatch.setattr(database, "bundled_mongod", lambda: None)
    monkeypatch.setattr(
        sys, "modules", {name: one for name, one in sys.modules.items() if name != "fiftyone"}
    )
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    return path


def put_mongod(folder: Path, script: str = "exit 0") -> Path:
    path = folder / "mongod"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_nothing_found_says_what_to_do(bare: Path) -> None:
    """Without any database: one line that names the three ways out, for the loop and for a server of our own."""
    for call in (database.ensure, database.find_mongod):
        with pytest.raises(DatabaseError) as refused:
            call()
        message = str(refused.value)
        assert "\n" not in message
        assert "no usable mongod" in message
        for way in ("FIFTYONE_DATABASE_URI", "PATH", "python -m swath.database"):
            assert way in message


def test_a_uri_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a URI set, nothing else is looked at: it is pinged, with timeouts, and FiftyOne will see those too."""
    put_mongod(bare)
    monkeypatch.setattr(database, "bundled_mongod", lambda: pytest.fail("looked for a binary"))
    asked: list[str] = []
    monkeypatch.setattr(database, "ping", asked.append)
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://there:1")
    database.ensure()
    assert asked == [database.with_timeouts("mongodb://there:1")] == [os.environ["FIFTYONE_DATABASE_URI"]]
    assert "there:1" in database.install()


def test_fiftyones_own_configuration_counts_as_a_uri(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`database_uri` in FiftyOne's configuration file is used like the variable; a file that can't be read is none."""
    path = Path(os.environ["FIFTYONE_CONFIG_PATH"])
    assert database.configured_uri() is None
    for content in ("not json", "[1]", "{}", '{"database_uri": null}'):
        path.write_text(content)
        assert database.configured_uri() is None
    path.write_text(json.dumps({"database_uri": "mongodb://configured:2"}))
    assert database.configured_uri() == "mongodb://configured:2"
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://set:3")
    assert database.configured_uri() == "mongodb://set:3"


def test_the_bundled_binary_comes_before_the_path(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FiftyOne's own mongod is used where it is there; then one on the PATH, which FiftyOne itself would not find."""
    constants = SimpleNamespace(FIFTYONE_DB_BIN_DIR="untouched")
    monkeypatch.setitem(sys.modules, "fiftyone.constants", constants)  # type: ignore[arg-type]
    on_path = put_mongod(bare)
    own = bare.parent / "own-mongod"
    monkeypatch.setattr(database, "bundled_mongod", lambda: own)
    assert database.find_mongod() == own
    assert str(own) in database.install()
    monkeypatch.setattr(database, "_open_own", lambda: None)
    database.ensure()
    assert constants.FIFTYONE_DB_BIN_DIR == "untouched"
    monkeypatch.setattr(database, "bundled_mongod", lambda: None)
    assert database.find_mongod() == on_path
    assert str(on_path) in database.install()


def test_a_mongod_that_dies_is_reported(bare: Path, tmp_path: Path) -> None:
    """A binary that ends at once: the error names the folder, the exit code, and what it logged last."""
    script = 'while [ "$1" != "--logpath" ]; do shift; done; echo "libssl.so.3: not found" > "$2"; exit 7'
    put_mongod(bare, script)
    with pytest.raises(DatabaseError, match=r"data \(exit code 7\): libssl.so.3: not found"):
        database.start(tmp_path / "data")


def test_the_fallback_wheel_that_does_not_install(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing can be had, `python -m swath.database` says so in one line and what else to do."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        asked.append(command)
        return SimpleNamespace(returncode=1, stdout="", stderr="")

    monkeypatch.setattr(database.subprocess, "run", run)
    with pytest.raises(DatabaseError, match=r"could not be installed; set FIFTYONE_DATABASE_URI"):
        database.install()
    assert asked[0][-2:] == ["--no-deps", database.FALLBACK_WHEEL]


def test_a_server_of_our_own_answers_and_ends(tmp_path: Path) -> None:
    """`start` returns a server that answers on loopback with timeouts in its URI; after `stop` nobody answers there."""
    server = database.start(tmp_path / "data")
    try:
        database.ping(server.uri)
        assert server.uri.startswith("mongodb://127.0.0.1:")
        assert "serverSelectionTimeoutMS" in server.uri
    finally:
        server.stop()
    assert server.process.poll() is not None
    with pytest.raises(DatabaseError, match=r"no MongoDB answers at mongodb://127\.0\.0\.1"):
        database.ping(server.uri.replace("=5000", "=300"))


def test_a_password_is_not_shown() -> None:
    """The line about a server that does not answer leaves user and password out."""
    uri = "mongodb://me:hunter2@127.0.0.1:9/db?serverSelectionTimeoutMS=200&connectTimeoutMS=200"
    with pytest.raises(DatabaseError) as refused:
        database.ping(uri)
    assert "hunter2" not in str(refused.value)
    assert "127.0.0.1:9" in str(refused.value)


hosts = st.sampled_from(["localhost", "a:1", "a:1,b:2", "user:p%40ss@a:1"])
options = st.lists(
    st.sampled_from(["w=1", "ssl=true", "serverSelectionTimeoutMS=7", "connecttimeoutms=8"]), unique=True
)


@given(hosts, st.sampled_from(["", "/", "/db"]), options)
def test_timeouts_are_added_once(host: str, path: str, given_options: list[str]) -> None:
    """Both timeouts are there afterwards, pymongo reads the same hosts and options, and again changes nothing."""
    from pymongo.uri_parser import parse_uri

    query = "&".join(given_options)
    uri = f"mongodb://{host}{path or ('/' if query else '')}" + (f"?{query}" if query else "")
    after = database.with_timeouts(uri)
    assert database.with_timeouts(after) == after
    one, two = parse_uri(uri, warn=False), parse_uri(after, warn=False)
    assert one["nodelist"] == two["nodelist"]
    assert one["database"] == two["database"]
    assert {name.lower() for name in two["options"]} >= {"serverselectiontimeoutms", "connecttimeoutms"}
    for name, value in one["options"].items():
        assert two["options"][name] == value


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_commands_that_begin_at_once(tmp_path: Path, times: int) -> None:
    """No mongod runs, and two commands begin at the same time, once or again and again: all of them end well. One starts it, the other
    uses it; and one that ends with its last user is waited for."""
    surroundings = {name: one for name, one in os.environ.items() if not name.startswith("FIFTYONE_")}
    surroundings |= {"HOME": str(tmp_path), "FIFTYONE_DATABASE_DIR": str(tmp_path / "mongo")}
    code = "from swath import database; database.ensure(); import fiftyone as fo; print(fo.list_datasets())"
    for _ in range(times):
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code],
                env=surroundings,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for one in both:
            said, errors = one.communicate(timeout=120)
            assert one.returncode == 0, errors
            assert said.splitlines()[-1].startswith("["), (
                said
            )  # another test's database may run, and is taken then


def test_a_database_that_ended_with_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that looked over another process's mongod is run once more when that is gone; where a server is configured, or
    FiftyOne is loaded already, it is told to the user as ever."""
    from pymongo.errors import AutoReconnect

    gone = AutoReconnect("connection reset by peer")
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    monkeypatch.setenv("FIFTYONE_CONFIG_PATH", "/nowhere")
    without = {name: one for name, one in sys.modules.items() if name != "fiftyone"}
    monkeypatch.setattr(sys, "modules", without)
    assert database.went_with_its_owner(gone)
    assert not database.went_with_its_owner(ValueError("else"))
    tries: list[int] = []

    def command(value: int) -> int:
        tries.append(value)
        if len(tries) == 1:
            raise gone
        return value

    monkeypatch.setattr(database, "ensure", lambda: None)
    assert commands._once_more(command, 3) == 3
    assert tries == [3, 3]
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://there:1")
    assert not database.went_with_its_owner(gone)
    monkeypatch.delenv("FIFTYONE_DATABASE_URI")
    without["fiftyone"] = sys
    tries.clear()
    with pytest.raises(AutoReconnect):
        commands._once_more(command, 3)
