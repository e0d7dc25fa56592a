"""Hashes of media files, remembered by size and time of change: a file that was read once is not read again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

CHUNK: Final = 10_000  # scenes per write
UNREADABLE: Final = "unreadable"
Stamp = tuple[int, int]  # bytes, nanoseconds of the last change


def hashes(home: Path, scenes: Sequence[Mapping[str, str]], workers: int) -> list[str]:
    """One hash per scene (sensor -> media path), over the bytes of its files, in the order of the sensors' names."""
    paths = sorted({path for scene in scenes for path in scene.values()})
    found = _files(home, paths, workers)
    out = []
    for scene in scenes:
        if len(scene) == 1:
            out.append(found[next(iter(scene.values()))])
        else:
            whole = "\x1f".join(f"{sensor} {found[scene[sensor]]}" for sensor in sorted(scene))
            out.append(hashlib.blake2b(whole.encode(), digest_size=12).hexdigest())
    return out


def _files(home: Path, paths: Sequence[str], workers: int) -> dict[str, str]:
    """path -> hash of its bytes. What is remembered is a cache: without it, all is read again."""
    home.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(home / "media.sqlite", timeout=30)) as cache:
        cache.execute(
            "CREATE TABLE IF NOT EXISTS media (path TEXT PRIMARY KEY, size INT, changed INT, hash TEXT)"
        )
        known: dict[str, tuple[Stamp, str]] = {
            path: ((size, changed), value)
            for path, size, changed, value in cache.execute("SELECT path, size, changed, hash FROM media")
        }
        out: dict[str, str] = {}
        for start in range(0, len(paths), CHUNK):
            part = paths[start : start + CHUNK]
            stamps = {path: _stamp(path) for path in part}
            new = [path for path in part if path not in known or known[path][0] != stamps[path]]
            with ThreadPoolExecutor(workers) as pool:
                fresh = dict(zip(new, pool.map(_hash, new), strict=True))
            read = (path for path in new if fresh[path] != UNREADABLE)  # tomorrow it may be readable
            rows = [(path, *stamp, fresh[path]) for path in read if (stamp := stamps[path]) is not None]
            with cache:
                cache.executemany("INSERT OR REPLACE INTO media VALUES (?, ?, ?, ?)", rows)
            out |= {path: fresh[path] if path in fresh else known[path][1] for path in part}
    return out


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _hash(path: str) -> str:
    sha = hashlib.blake2b(digest_size=12)
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    except OSError:
        return UNREADABLE
    return sha.hexdigest()
