"""`swath app`, in a process of its own: a server that answers, at the address that is said, and nothing left of it afterwards."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import quick_loop
import work_sets
from support import remove
from swath.annotators import marks

pytestmark = pytest.mark.database
LOOP, WORK_SET = "t-app-command", "t-app-command-work-v0"
PATIENCE = 120  # seconds
SAID = re.compile(r"(http://127\.0\.0\.1:(\d+)/datasets/(\S+)) \(Ctrl-C ends it\)")


@pytest.fixture
def work_set(mongod: str) -> Iterator[Any]:
    """A work set of four scenes, the first of which is marked."""
    made = work_sets.make(WORK_SET, LOOP)
    marks.mark(made, marks.waiting(made)[0], marks.DONE)
    yield made
    remove(WORK_SET)


def until(there: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := there()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return found


class Opened:
    """`swath app ARGUMENTS` that runs; `family`: it and the processes that it began."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        without = {
            key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")
        }
        with log.open("wb") as out:
            command = [sys.executable, "-m", "swath", "app", *arguments]
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=without
            )
        self.family = [psutil.Process(self.process.pid)]

    @property
    def text(self) -> str:
        return self._log.read_text()

    def address(self) -> re.Match[str]:
        """What it says, once it says it: address, port, dataset with what is opened of it."""
        found = until(lambda: SAID.search(self.text) or self.process.poll() is not None, self.text)
        assert isinstance(found, re.Match), self.text
        self.family += self.family[0].children(recursive=True)
        return found

    def ends(self, how: signal.Signals) -> int:
        """Its exit code after a signal, once nothing of it is left."""
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        _, left = psutil.wait_procs(self.family, PATIENCE)
        assert not left
        return code


@contextmanager
def opened(log: Path, *arguments: str) -> Iterator[Opened]:
    app = Opened(log, *arguments)
    try:
        yield app
    finally:
        for one in app.family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        app.process.wait()


def answer(address: str) -> tuple[int, str]:
    with urllib.request.urlopen(address, timeout=PATIENCE) as reply:
        return int(reply.status), reply.read().decode()


@pytest.mark.slow
def test_it_serves_until_it_is_interrupted(work_set: Any, tmp_path: Path) -> None:
    """The open work set opens at the next scene that waits, on loopback; the page is FiftyOne's App. The port that is taken is a
    line. Ctrl-C ends it with code 0, and none of its processes is left."""
    with opened(tmp_path / "log", "--dataset", WORK_SET) as app:
        said = app.address()
        following = marks.following(work_set)
        assert following is not None
        left = next(one for one in following.slices if one.name == "left")
        assert said[3] == f"{WORK_SET}?slice=left&groupId={following.group_id}&id={left.sample_id}"
        assert "3 of 4 scenes wait" in app.text
        assert f"ssh -N -L {said[2]}:127.0.0.1:{said[2]}" in app.text
        status, page = answer(said[1])
        assert status == 200
        assert "<title>FiftyOne</title>" in page
        assert '"version"' in answer(f"http://127.0.0.1:{said[2]}/fiftyone")[1]
        with opened(tmp_path / "second", "--dataset", WORK_SET, "--port", said[2]) as second:
            assert second.process.wait(PATIENCE) == 1
            assert f"port {said[2]} is taken" in second.text
            assert "Traceback" not in second.text
        assert app.ends(signal.SIGINT) == 0
        assert "Traceback" not in app.text
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(said[2])))


@pytest.mark.slow
def test_it_ends_with_its_server(mongod: str, tmp_path: Path) -> None:
    """`--dataset` opens a loop's own. Where the server is gone the command says so, and how to go on, and ends."""
    name = quick_loop.base("closed")
    with opened(tmp_path / "log", "--dataset", name) as app:
        said = app.address()
        assert said[3] == name
        assert answer(said[1])[0] == 200
        server = next(one for one in app.family[1:] if one.cmdline()[1:2] == ["main.py"])  # not what minds it
        server.kill()
        assert app.process.wait(PATIENCE) == 1
        assert f"swath app --dataset {name}" in app.text
        _, left = psutil.wait_procs(app.family, PATIENCE)
        assert not left


@pytest.mark.slow
def test_nothing_is_left_of_one_that_is_killed(work_set: Any, tmp_path: Path) -> None:
    """Its server ends when the command is killed at once."""
    with opened(tmp_path / "log", "--dataset", WORK_SET) as app:
        app.address()
        assert app.ends(signal.SIGKILL) == -signal.SIGKILL
