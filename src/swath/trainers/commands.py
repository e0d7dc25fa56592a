"""Runs a command of the user's: without a shell, in a process group of its own, its output in a log, with an end to its time.

A line `progress 3/100` of its output moves the bar.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from swath.errors import SwathError
from swath.trainers.base import Progress

LAST: Final = 5  # lines of a log that an error shows
_PROGRESS: Final = re.compile(r"^progress (\d{1,12})/(\d{1,12})\s*$")


def arguments(command: str, values: Mapping[str, object]) -> list[str]:
    """The command's words with `{name}` replaced by the values; one word stays one, whatever is put in."""
    words = shlex.split(command)
    for name, value in values.items():
        words = [word.replace("{" + name + "}", str(value)) for word in words]
    return words


def run(
    command: str, values: Mapping[str, object], log: Path, seconds: float, progress: Progress | None
) -> float:
    """Runs the command to its end; returns the seconds it took. SwathError with the last lines of its output where it cannot be
    started, ends with another code than 0, or takes longer than `seconds`; whatever it started is ended then."""
    words = arguments(command, values)
    started = time.monotonic()
    last: deque[str] = deque(maxlen=LAST)
    with log.open("wb") as file:
        file.write((shlex.join(words) + "\n").encode())
        try:
            process = subprocess.Popen(
                words,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise SwathError(f"the command could not be started: {words[0]!r}: {error.strerror}") from None
        late = threading.Event()

        def end_it() -> None:
            late.set()
            _end(process)

        clock = threading.Timer(seconds, end_it)
        clock.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                file.flush()
                text = line.decode(errors="replace").rstrip()
                found = _PROGRESS.match(text)
                if found and progress and int(found[2]) > 0:
                    progress(min(int(found[1]), int(found[2])), int(found[2]))
                elif text and not found:
                    last.append(text[-200:])
            code = process.wait()
        finally:
            clock.cancel()
            _end(process)
            process.wait()
    if late.is_set():
        raise SwathError(_told(f"did not end within {seconds:g} seconds and was ended", last, log))
    if code != 0:
        how = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
        raise SwathError(_told(how, last, log))
    return time.monotonic() - started


def _told(what: str, last: deque[str], log: Path) -> str:
    said = " | ".join("".join(c if c.isprintable() else " " for c in line) for line in last) or "nothing"
    return f"the command {what}; its last words: {said}; all of them: {log}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the command and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
