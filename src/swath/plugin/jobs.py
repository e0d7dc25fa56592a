"""A step in a process of its own: the command line's, so that the App's server goes on answering while it works.

The loop's folder has `plugin/`, and in it what became of the last job: `job.json` (what was asked, by which process), `out.txt`
and `err.txt` (what the command said), `code` (its exit code, written last). So every App on this machine sees the same job, and
a job outlives the App that began it. One at a time: who comes second is told what runs. Who writes to the dataset from elsewhere
holds its lease, which is asked first.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil

from swath.errors import ConflictError
from swath.suggest import command

FOLDER: Final = "plugin"  # in the loop's folder
JOB, OUT, ERR, CODE = "job.json", "out.txt", "err.txt", "code"
SHELL: Final = '"$@" >out.txt 2>err.txt; echo $? >code.new; mv code.new code'
"""Runs a command, and leaves its exit code when it ended: whoever began it may be gone by then."""
PROGRESS: Final = re.compile(r"^(?P<what>\S.*?): (?P<done>[\d,]+) of (?P<of>[\d,]+)\b")
SAID: Final = "swath: "  # what the command line puts before a line of its own on standard error
WAITED: Final = f"{SAID}waiting for "  # says that it waits for another writer: no error


@dataclass(frozen=True)
class Job:
    """A command of `dataset`. `begun`: local time, `14:03:12`; `pid`, `born`: of the process that runs it; `stamp`: of the journal
    when it began."""

    key: str
    dataset: str
    arguments: tuple[str, ...]
    begun: str
    pid: int
    born: float
    stamp: str = ""

    @property
    def step(self) -> str:
        """`round cancel` is two words."""
        return " ".join(self.arguments[: 2 if self.arguments[0] == "round" else 1])

    @property
    def line(self) -> str:
        """As it is typed in a terminal."""
        return command(self.step, self.dataset, *self.arguments[len(self.step.split()) :])

    @property
    def is_dry(self) -> bool:
        return "--dry-run" in self.arguments


@dataclass(frozen=True)
class Progress:
    """`done` of `of`, while it works; None where it says no numbers."""

    text: str = ""
    done: int | None = None
    of: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `code`: the exit code, None where it was killed; `text`: what it said; `error`: why it failed, with `more`
    lines and `ways` on (commands)."""

    code: int | None
    text: str = ""
    error: str = ""
    more: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return bool(self.error)

    @property
    def is_defect(self) -> bool:
        return self.code == 4


class Jobs:
    """The jobs of one loop; `home`: its folder."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER

    def start(self, dataset: str, *arguments: str, holder: str | None = None, stamp: str = "") -> Job:
        """Begins `swath ARGUMENTS --dataset DATASET`. `ConflictError` while another job runs, or `holder` holds the dataset."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if (running := self.running()) is not None:
                raise ConflictError(
                    f"{dataset}: `{running.step}` runs since {running.begun} (process {running.pid}); try again when it is done"
                )
            if holder is not None:
                raise ConflictError(
                    f"{dataset} is held by {holder}; nothing was begun; try again when it is done"
                )
            for name in (CODE, OUT, ERR, JOB):
                (self.folder / name).unlink(missing_ok=True)
            return self._begin(dataset, arguments, stamp)

    def _begin(self, dataset: str, arguments: Sequence[str], stamp: str) -> Job:
        whole = [sys.executable, "-m", "swath", *arguments, "--dataset", dataset]
        process = subprocess.Popen(
            ["/bin/sh", "-c", SHELL, "sh", *whole],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": _path(), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the App's terminal ends the App, not a training
        )
        threading.Thread(target=process.wait, daemon=True, name="swath-job").start()  # or it stays a zombie
        job = Job(
            key=uuid.uuid4().hex,
            dataset=dataset,
            arguments=tuple(arguments),
            begun=datetime.now().strftime("%H:%M:%S"),
            pid=process.pid,
            born=_born(process.pid),
            stamp=stamp,
        )
        new = self.folder / f"{JOB}.new"
        new.write_text(json.dumps(asdict(job)))
        new.replace(self.folder / JOB)
        return job

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of two who press at once, the second waits until the first has begun."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def last(self) -> Job | None:
        """The last job, running or not."""
        with suppress(OSError, ValueError, TypeError):
            found = json.loads((self.folder / JOB).read_text())
            return Job(**{**found, "arguments": tuple(found["arguments"])})
        return None

    def running(self) -> Job | None:
        """The job that runs now."""
        job = self.last()
        return job if job and not (self.folder / CODE).exists() and _alive(job) else None

    def progress(self) -> Progress:
        """What the running job said last of how far it is."""
        for line in reversed(self._read(ERR).splitlines()):
            if found := PROGRESS.match(line):
                done, of = (int(found[name].replace(",", "")) for name in ("done", "of"))
                return Progress(line, done, of)
            if line.startswith(SAID):
                return Progress(line.removeprefix(SAID))
        return Progress()

    def outcome(self) -> Outcome | None:
        """How the last job ended; None while it runs, or where there was none."""
        if (job := self.last()) is None or self.running() is not None:
            return None
        said = self._read(OUT)
        if not (self.folder / CODE).exists():
            return Outcome(
                None,
                said,
                f"`{job.step}` was killed before it ended; begin it again, it goes on where it was",
            )
        code = int(self._read(CODE) or 1)
        error, more, ways = told(self._read(ERR)) if code else ("", (), ())
        if code and not error and code != 3:
            error = f"`{job.step}` ended with code {code}; what it said is in {self.folder / ERR}"
        return Outcome(code, said, error, more, ways)

    def wait(self, job: Job, seconds: float) -> Outcome | None:
        """How `job` ended, once it has; None where it still runs after so many seconds, or another one followed it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            last = self.last()
            if last is None or last.key != job.key:
                return None
            if (ended := self.outcome()) is not None:
                return ended
            time.sleep(0.1)
        return None

    def interrupt(self) -> bool:
        """Interrupts the running job as Ctrl-C does; whether there was one."""
        job = self.running()
        if job is None:
            return False
        for child in psutil.Process(job.pid).children():
            with suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGINT)
        return True

    def forget(self) -> None:
        """Takes away what the last job said, if it has ended."""
        if self.folder.is_dir():
            with self._alone():
                if self.running() is None:
                    (self.folder / JOB).unlink(missing_ok=True)

    def _read(self, name: str) -> str:
        with suppress(OSError):
            return (self.folder / name).read_text(errors="replace")
        return ""


def dry_run(jobs: Jobs) -> dict[str, Any] | None:
    """The batch that the last job showed (`select --dry-run --json`), if it was one and is there."""
    job, outcome = jobs.last(), jobs.outcome()
    if job is None or outcome is None or not job.is_dry or outcome.code != 0:
        return None
    found: dict[str, Any] = json.loads(outcome.text)
    return found


def told(err: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """(error, more lines, ways on) of what the command line wrote to standard error: its last line of its own, and those below
    it that are indented; ways on are indented further."""
    lines = err.splitlines()
    own = [i for i, line in enumerate(lines) if line.startswith(SAID) and not line.startswith(WAITED)]
    at = own[-1] if own else None
    if at is None:
        return "", (), ()
    below = [line for line in lines[at + 1 :] if line.startswith("  ")]
    ways = tuple(line.strip() for line in below if line.startswith("    "))
    more = tuple(line.strip() for line in below if not line.startswith("    "))
    return lines[at].removeprefix(SAID), more, ways


def _path() -> str:
    """Where this swath is: a process of its own must find the same."""
    here = str(Path(__file__).parents[2])
    there = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    return os.pathsep.join([here, *(one for one in there if one != here)])


def _born(pid: int) -> float:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).create_time()
    return 0.0  # it has ended already


def _alive(job: Job) -> bool:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(job.pid)
        return abs(process.create_time() - job.born) < 1 and process.status() != psutil.STATUS_ZOMBIE
    return False
