"""Where scenes come from. `make("kitti", ROOT)`: a folder on disk, behind the one face that `init` knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from swath.config import CHANNELS, Channel
from swath.errors import UnknownNameError
from swath.sources.base import Found, Labelled, Scan, Source

__all__ = ["KINDS", "Found", "Labelled", "Scan", "Source", "make"]

KINDS = ("kitti", "rig")


def make(kind: str, root: Path, channels: Mapping[str, Channel] = CHANNELS) -> Source:
    """The source of `kind` at `root`. `channels`: what a KITTI folder's three sensors are called and used
    for; a rig folder says that itself. UnknownNameError for another kind."""
    if kind == "kitti":
        from swath.sources.kitti import Kitti

        return Kitti(root, channels)
    if kind == "rig":
        from swath.sources.rig import RigFolder

        return RigFolder(root)
    raise UnknownNameError(f"no source {kind!r}; expected one of {', '.join(KINDS)}")
