"""Channels, tasks and works for the tests of annotators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from swath.annotators.base import Answer, Fetched, Task, Work
from swath.config import LoopConfig, parse
from swath.formats.kitti_records import Calibration
from swath.labels.channels import Channel, rig_of
from swath.labels.shapes import Boxes, Cuboids

SIZE = (620, 188)
CALIBRATION = Calibration(
    p2=np.array([[360, 0, 310, 0], [0, 360, 94, 0], [0, 0, 1, 0]], float),
    p3=np.array([[360, 0, 310, -190], [0, 360, 94, 0], [0, 0, 1, 0]], float),
    r0=np.eye(3),
    velo_to_cam=np.array([[0, -1, 0, 0.01], [0, 0, -1, -0.08], [1, 0, 0, -0.27]], float),
)
STORED = CALIBRATION.to_dict()

DEFAULT = rig_of(LoopConfig(), ["left", "right", "pcd"])
LEFT, PCD = DEFAULT["left"], DEFAULT["pcd"]
SURROUND = {
    "front": {"labelled": True},
    "back": {"labelled": True, "calibration": "rear camera"},
    "side view": {"labelled": True},
    "top": {"kind": "cloud", "labelled": True},
    "low": {"kind": "cloud", "labelled": True},
}


def channels_of(settings: Mapping[str, Any], primary: str) -> dict[str, Channel]:
    """Channels by name, of a rig with these settings."""
    rig = rig_of(parse({"channels": dict(settings), "primary": primary}, "test"), settings)
    return {one.name: one for one in rig.channels}


def make_media(folder: Path, key: str, names: Mapping[str, str], extra: bytes = b"") -> dict[str, str]:
    """One file per channel, each with bytes of its own; `names`: channel -> extension."""
    folder.mkdir(parents=True, exist_ok=True)
    media = {}
    for channel, extension in names.items():
        path = folder / f"{channel}-{key}{extension}"
        path.write_bytes(f"{channel} of {key}".encode() + extra)
        media[channel] = str(path)
    return media


def by_channel(fetched: Fetched) -> dict[tuple[str, str], Answer]:
    return {(one.task, one.channel): one for one in fetched.answers}


def boxes_of(answer: Answer) -> Boxes:
    assert isinstance(answer.labels, Boxes)
    return answer.labels


def cuboids_of(answer: Answer) -> Cuboids:
    assert isinstance(answer.labels, Cuboids)
    return answer.labels


def work_of(*tasks: Task, batch: str = "v0", primary: str = "left", sent: int = 0) -> Work:
    classes = ("Car", "Pedestrian", "Cyclist")
    return Work(batch, classes, tuple(sorted(tasks, key=lambda task: task.task)), primary, sent)


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder that can be seen of it: kind, mode, time, size, bytes or target, by relative name."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        stat = path.lstat()
        says: object = None
        if path.is_symlink():
            says = str(path.readlink())
        elif path.is_file():
            says = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        found[name] = (stat.st_mode, stat.st_mtime_ns, says)
    return found
