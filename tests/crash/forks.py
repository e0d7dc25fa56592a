"""A fork server: a process that has imported everything and holds no database client, so that a child costs little.

`Forks.start(name, **arguments)` runs the function `name` of `harness` in a new child, and `Child.wait()` says how it ended:
by itself (with what the function returned or raised), by a signal, or not yet (stopped). Children that are killed cost
nothing; the server reaps them.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class End:
    """How a child ended. `signal`: what killed it, or 0; `error`: name of the exception, or ""; `text`: its message."""

    signal: int = 0
    value: Any = None
    error: str = ""
    text: str = ""


class Forks:
    """The server's handle. `folder` takes the results of children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        paths = [str(HERE), *(path for path in sys.path if path)]
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        theirs.close()
        self._line = Connection(ours.detach())
        self._count = 0

    def start(self, name: str, **arguments: Any) -> Child:
        self._count += 1
        result = self.folder / f"{self._count}.pickle"
        self._line.send(("start", name, arguments, str(result)))
        return Child(self, self._line.recv(), result)

    def call(self, name: str, **arguments: Any) -> End:
        """Runs a function in a child, to its end."""
        return self.start(name, **arguments).wait()

    def poll(self, pid: int) -> int | None:
        """The wait status of a child, None while it runs or is stopped."""
        self._line.send(("poll", pid))
        status: int | None = self._line.recv()
        return status

    def close(self) -> None:
        self._line.close()
        self._server.wait(30)


@dataclass(frozen=True)
class Child:
    forks: Forks
    pid: int
    result: Path

    def wait(self, timeout: float = 60) -> End:
        deadline = time.monotonic() + timeout
        while (end := self.look()) is None:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(f"child {self.pid} did not end within {timeout} s")
            time.sleep(0.003)
        return end

    def look(self) -> End | None:
        """How it ended; None while it has not. Once it is known, don't ask again."""
        status = self.forks.poll(self.pid)
        if status is None:
            return None
        if os.WIFSIGNALED(status):
            return End(signal=os.WTERMSIG(status))
        end: End = pickle.loads(self.result.read_bytes())
        self.result.unlink()
        return end

    def wait_stopped(self, timeout: float = 60) -> bool:
        """True once it has stopped itself (SIGSTOP); False when it ended before."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                return False
            if state in "TZ":
                return state == "T"
            time.sleep(0.003)
        raise TimeoutError(f"child {self.pid} neither stopped nor ended")

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> End:
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()


def _child(name: str, arguments: dict[str, Any], result: str) -> None:
    try:
        import harness

        end = End(value=getattr(harness, name)(**arguments))
    except BaseException as error:
        text = str(error) if type(error).__module__ == "swath.errors" else traceback.format_exc()
        end = End(error=type(error).__name__, text=text)
    partial = f"{result}.partial"
    with open(partial, "wb", opener=os.open) as file:
        pickle.dump(end, file)
    os.rename(partial, result)


def serve(line: Connection) -> None:
    """Forks a child per `start`, and says by `poll` how it is; ends when the other side does."""
    import harness

    harness.warm()
    gc.freeze()  # else every child copies what is loaded as soon as it collects garbage
    while True:
        try:
            message = line.recv()
        except EOFError:
            return
        if message[0] == "poll":
            pid, status = os.waitpid(message[1], os.WNOHANG)
            line.send(status if pid else None)
            continue
        pid = os.fork()
        if pid == 0:
            line.close()
            _child(*message[1:])
            os._exit(0)
        line.send(pid)


if __name__ == "__main__":
    sys.modules["forks"] = sys.modules["__main__"]  # pickles name the classes of this file so
    End.__module__ = "forks"
    serve(Connection(int(sys.argv[1])))
