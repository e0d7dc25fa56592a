"""Writing a file so that a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` beside `path` and rename it into place. The folder must exist; what is there and is no file (a folder, a
    device) is not replaced: `OSError`. A link is.

    A killed process leaves at most a hidden `.NAME.PID-THREAD.tmp` behind. Nothing is forced to disk: after a
    power cut the file may be missing or empty, so whoever needs more than this must be able to make it again.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
