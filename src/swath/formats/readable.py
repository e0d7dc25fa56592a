"""Whether a scene's file can be read: asked before people are given it, and where reading it failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swath.errors import FormatError
from swath.formats.images import image_size
from swath.formats.pcd import read_pcd


def opens(path: str | Path) -> bool:
    """Whether a file is there and may be read. Nothing of it is read."""
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


def is_whole(path: str, kind: str) -> bool:
    """Whether the file of an "image" or a "cloud" can be read whole, as a model must."""
    try:
        if kind == "image":
            image_size(path)
        else:
            read_pcd(Path(path))
    except FormatError:
        return False
    return True


def broken(paths: Sequence[str], kind: str) -> list[int]:
    """Positions of the files that cannot be read whole, to go on without them; none where that is more than half: a disk is away
    then, and nothing should go on."""
    found = [i for i, path in enumerate(paths) if not is_whole(path, kind)]
    return found if 2 * len(found) <= len(paths) else []
