"""What people find in a folder: the tasks of one batch, their media and calibrations, and nothing of what they are for.

    FOLDER/BATCH/README.txt, classes.txt, tasks.csv   what to label, with which classes, where the labels go
    FOLDER/BATCH/media/CHANNEL/TASK.png               pictures and clouds, under the names of the tasks
    FOLDER/BATCH/calib/TASK.txt                       KITTI's calibration: the frame of the cuboids
    FOLDER/BATCH/label_2/, label_CHANNEL/             empty: the labels go here
    FOLDER/BATCH/.sent-N                              the labels that were here when it was sent: those are not new

Everything is written in the order of the task ids, with one time stamp, as files of their own: names, order, times, modes,
inodes and texts tell nothing of golden and pool, in one batch or over several. What can't be hidden is what is to be
labelled: golden scenes come again in each batch, and their media (and calibrations) are the same bytes each time. With `link`
the media are symbolic links to the dataset's own files, whose names tell the scenes: that is not blind.

`calib/TASK.txt` holds a calibration in KITTI's names as it is stored. Of named cameras it holds one, that of the image whose
boxes are in label_2: P2 (and P3, which KITTI's readers want) is its projection, R0_rect the identity, Tr_velo_to_cam its
pose. Without a calibration and without an image, cuboids are in the cloud's own frame with KITTI's axes: x right, y down, z
forward. Without a calibration but with an image nobody can place a cuboid, and none are asked for.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from swath.annotators.base import Task, Work
from swath.errors import FormatError, StateError, SwathError
from swath.formats.files import write_atomic
from swath.formats.kitti_records import Calibration, spelled
from swath.labels.calibration import Camera, camera
from swath.labels.channels import Channel

README = """\
Label the {tasks} scenes of tasks.csv with the classes of classes.txt, spelled as they are there: columns are parted by spaces, so
that a class with a space in its name has _ in its place. Labels are KITTI label files, named by the task:

{folders}

One object per line:
    type truncated occluded alpha x1 y1 x2 y2 h w l x y z rotation_y
A box is x1 y1 x2 y2, 0-based pixels of the picture; where there is none: -1 -1 -1 -1. A cuboid is h w l (metres), x y z (the
middle of its bottom face) and rotation_y, in the camera frame of calib/TASK.txt (x right, y down, z forward); where there is
none: -1 -1 -1 -1000 -1000 -1000 -10. DontCare lines are left out. Which of them a scene needs is in the columns boxes and
cuboids of tasks.csv.

A scene with nothing to label: an empty file. A scene that can't be labelled: its task on a line of skipped.txt. A scene
without a file counts as not looked at. Files that were here before the scenes were sent, or sent again, count once they are
saved again, even if nothing in them changes.
"""
TIME = 946_684_800  # s: 2000-01-01 UTC, the time stamp of all that swath writes here
MEDIA = re.compile(r"\.(png|jpe?g|bmp|gif|webp|tiff?|pcd|ply|bin|npy|las|laz)")
AXES = Calibration(
    p2=np.eye(3, 4),
    p3=np.eye(3, 4),
    r0=np.eye(3),
    velo_to_cam=np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]], float),
)

Seen = tuple[int, int, str]
"""A file as it was: size in bytes, mtime in ns, SHA-256."""


# ---------------------------------------------------------------------- where things are


@dataclass(frozen=True)
class Layout:
    """Where the labels of a channel are: those of `image` (its boxes) and `cloud` (its cuboids) in label_2.

    They are the channel that is shown where that is labelled, else the first labelled one of the kind, by name.
    """

    image: str | None
    cloud: str | None

    def labels(self, channel: Channel) -> str:
        """The folder of a channel's labels."""
        return "label_2" if channel.name in (self.image, self.cloud) else f"label_{_plain(channel.name)}"


def layout_of(work: Work) -> Layout:
    """The layout of a work set: the same for any order of its tasks."""

    def first(kind: str) -> str | None:
        names = {one.name for task in work.tasks for one in task.channels if one.kind == kind}
        return work.primary if work.primary in names else min(names, default=None)

    return Layout(first("image"), first("cloud"))


def label_folders(work: Work, layout: Layout) -> dict[str, dict[str, Channel]]:
    """Folder of labels -> the channels whose labels are in it, by name; label_2 first."""
    found: dict[str, dict[str, Channel]] = {"label_2": {}}
    for task in work.tasks:
        for channel in task.channels:
            found.setdefault(layout.labels(channel), {})[channel.name] = channel
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "label_2", name))}


def media_name(task: Task, channel: str) -> str:
    """Where the file of a channel goes, below the batch's folder: of its name only a usual extension is left."""
    extension = Path(task.media[channel]).suffix.lower()
    return f"media/{_plain(channel)}/{task.task}{extension if MEDIA.fullmatch(extension) else ''}"


def _plain(channel: str) -> str:
    """A channel's name as a part of a file name; `2` is taken, by KITTI's label_2."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}", channel) and channel != "2":
        return channel
    digest = hashlib.blake2b(channel.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', channel)[:50]}-{digest}"


# ---------------------------------------------------------------------- where cuboids are placed


def placing(task: Task, work: Work, layout: Layout) -> Calibration | str:
    """The frame of a task's cuboids, or why nobody can place one."""
    stored = task.calibration
    if not stored:
        return "the scene has no calibration" if task.sizes else AXES
    try:
        if "cameras" in stored:
            one = _camera(stored, task, work, layout)
            if one is None:
                return "the scene's calibration has no camera"
            return Calibration(one.projection, one.projection, np.eye(3), one.from_cloud[:3])
        p2 = _either(stored, "p2", "P2")
        p3 = stored.get("p3", stored.get("P3", p2))
        r0, to_camera = _either(stored, "r0", "R0_rect"), _either(stored, "velo_to_cam", "Tr_velo_to_cam")
        return Calibration(*(np.array(matrix, float) for matrix in (p2, p3, r0, to_camera)))
    except (FormatError, AttributeError, KeyError, TypeError, ValueError) as error:
        return f"the scene's calibration can't be used ({error})"


def _camera(stored: Mapping[str, Any], task: Task, work: Work, layout: Layout) -> Camera | None:
    """The camera of the image in label_2, else of the one that is shown, else the first by name."""
    named = {channel.name: channel.camera for channel in task.channels}
    wanted = [named.get(name, name) for name in (layout.image, work.primary) if name is not None]
    found = (camera(stored, name) for name in [*wanted, *sorted(stored["cameras"])])
    return next((one for one in found if one is not None), None)


def _either(stored: Mapping[str, Any], one: str, two: str) -> Any:
    return stored[one] if one in stored else stored[two]


# ---------------------------------------------------------------------- writing


def may_be_written(folder: Path) -> None:
    """SwathError where nothing could be written into `folder`, which need not be there yet. Leaves nothing behind."""
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise SwathError(
            f"expected a folder for the annotators' tasks, got {folder}: {error.strerror or error}; give another: --folder DIR, or "
            "`annotate: {folder: DIR}`"
        ) from error


def write(folder: Path, work: Work, media: Literal["copy", "link"]) -> None:
    """Write all that people need into `folder`, the batch's own. What is right already is left alone.

    SwathError where the media can't be read; OSError where `folder` can't be written.
    """
    layout, tasks = layout_of(work), sorted(work.tasks, key=lambda task: task.task)
    labels = label_folders(work, layout)
    channels = sorted({_plain(name) for task in tasks for name in task.media})
    folders = [*labels, "calib", "media", *(f"media/{channel}" for channel in channels)]
    for name in folders:
        (folder / name).mkdir(parents=True, exist_ok=True)
    seen = _mark(folder, work.sent, labels)
    for task in tasks:
        files = _files_of(task, work, layout, media)
        if any(_differs(folder / name, data) for name, data in files):
            # Labels that are there were drawn on another picture, or in another frame.
            there = look(folder, labels, task.task)
            if not there.items() <= seen.items():
                seen |= there
                _put(folder / _marker(work.sent), _packed(seen))
        for name, data in files:
            _put(folder / name, data)
    _put(folder / "classes.txt", "".join(f"{name}\n" for name in spelled(work.classes)).encode())
    _put(folder / "README.txt", _readme(work, labels).encode())
    _put(folder / "tasks.csv", _tasks_csv(tasks, work, layout, labels).encode())
    people = {name for name in labels if files_in(folder / name)}
    for name in folders:
        if name not in people:
            _stamp(folder / name)
    if not (folder / "skipped.txt").exists():
        _stamp(folder)


def copy_media(folder: Path, task: Task) -> dict[str, Path]:
    """Copies of a task's media below `folder`, under its name and with the one time stamp: channel -> path. What is right already
    is left alone. SwathError where a medium can't be read; OSError where `folder` can't be written."""
    copies = {channel: folder / media_name(task, channel) for channel in sorted(task.media)}
    for channel, path in copies.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, _read(Path(task.media[channel]).absolute()))
    return copies


def stamp_all(folder: Path) -> None:
    """Gives `folder` and all that is in it the one time stamp."""
    for path in [*folder.rglob("*"), folder]:
        _stamp(path)


def _put(path: Path, data: bytes | Path) -> None:
    """Make `path` a file of these bytes, or a link to that path, with the one time stamp."""
    if isinstance(data, Path):
        if not (path.is_symlink() and Path(os.readlink(path)) == data):
            new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            new.unlink(missing_ok=True)
            new.symlink_to(data)
            os.replace(new, path)
    elif path.is_symlink() or not path.is_file() or _differs(path, data):
        write_atomic(path, data)
    _stamp(path)


def _differs(path: Path, data: bytes | Path) -> bool:
    """Whether a file is there, and says something else; of links that is not asked."""
    if isinstance(data, Path) or path.is_symlink() or not path.is_file():
        return False
    return path.stat().st_size != len(data) or path.read_bytes() != data


def _stamp(path: Path) -> None:
    """Give `path`, a link itself, the one time stamp; what somebody else owns keeps its own."""
    if path.lstat().st_mtime_ns != TIME * 10**9:
        with suppress(PermissionError, NotImplementedError):
            os.utime(path, (TIME, TIME), follow_symlinks=False)


def _files_of(
    task: Task, work: Work, layout: Layout, media: Literal["copy", "link"]
) -> list[tuple[str, bytes | Path]]:
    """The files of one task: (name below the batch's folder, its bytes or where it links to)."""
    files: list[tuple[str, bytes | Path]] = []
    calibration = placing(task, work, layout)
    if isinstance(calibration, Calibration):
        files.append((f"calib/{task.task}.txt", _calibration_text(calibration).encode()))
    for channel in sorted(task.media):
        source = Path(task.media[channel]).absolute()
        files.append((media_name(task, channel), source if media == "link" else _read(source)))
    return files


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise SwathError(
            f"expected to copy {source} for the annotators, but {error.strerror}; bring the file back, then send again"
        ) from error


# ---------------------------------------------------------------------- what was there before


def look(folder: Path, labels: Iterable[str], task: str | None = None) -> dict[str, Seen]:
    """The label files that are there now, those of one task or all with skipped.txt, by name below `folder`."""
    found = {}
    for name in labels:
        for path in files_in(folder / name):
            if task is None or path.stem == task:
                found[f"{name}/{path.name}"] = _seen(path)
    if task is None and (folder / "skipped.txt").is_file():
        found["skipped.txt"] = _seen(folder / "skipped.txt")
    return found


def files_in(folder: Path) -> list[Path]:
    """The files that people put there, by name."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())


def sent_with(folder: Path, sent: int) -> dict[str, Seen]:
    """What was there when the work was sent for the `sent`-th time. StateError where that is not known."""
    found = _unpacked(folder / _marker(sent))
    if found is None:
        raise StateError(
            f"expected {folder / _marker(sent)}, as sending leaves it, found none: the batch was not sent (again), or its "
            "folder was moved without hidden files; send it (again): labels that are there then count once they are saved again"
        )
    return found


def is_old(folder: Path, name: str, seen: Mapping[str, Seen]) -> bool:
    """Whether a file is as it was: size, time and bytes. One that was saved again since is new, even if it says the same."""
    before = seen.get(name)
    if before is None:
        return False
    now = (folder / name).stat()
    return (now.st_size, now.st_mtime_ns) == before[:2] and _seen(folder / name) == before


def _mark(folder: Path, sent: int, labels: Iterable[str]) -> dict[str, Seen]:
    """Write down what is there, once per sending."""
    found = _unpacked(folder / _marker(sent))
    if found is None:
        found = look(folder, labels)
        _put(folder / _marker(sent), _packed(found))
    return found


def _marker(sent: int) -> str:
    return f".sent-{sent}"


def _seen(path: Path) -> Seen:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()


def _packed(seen: Mapping[str, Seen]) -> bytes:
    return json.dumps(seen, indent=0, sort_keys=True).encode()


def _unpacked(path: Path) -> dict[str, Seen] | None:
    """What a marker says; None where it is not there, or cut short."""
    try:
        found = json.loads(path.read_bytes())
        return {name: (int(size), int(time), str(digest)) for name, (size, time, digest) in found.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return None


# ---------------------------------------------------------------------- texts


def _readme(work: Work, labels: Mapping[str, Mapping[str, Channel]]) -> str:
    lines = []
    for folder, channels in labels.items():
        parts = [
            f"{'boxes' if one.kind == 'image' else 'cuboids'} of media/{_plain(name)}"
            for name, one in sorted(channels.items(), key=lambda item: (item[1].kind != "image", item[0]))
        ]
        lines.append(f"    {f'{folder}/TASK.txt':<22}  {', '.join(parts)}".rstrip())
    return README.format(tasks=len(work.tasks), folders="\n".join(lines))


def _tasks_csv(
    tasks: Iterable[Task], work: Work, layout: Layout, labels: Mapping[str, Mapping[str, Channel]]
) -> str:
    """One line per task, in the order of their ids; columns are named by the folders that files are in."""
    tasks = list(tasks)
    channels = sorted({name for task in tasks for name in task.media})
    images = sorted({name for task in tasks for name in task.sizes})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["task", "boxes", "cuboids", "calib", *labels]
        + [f"media/{_plain(name)}" for name in channels]
        + [f"{side}/{_plain(name)}" for name in images for side in ("width", "height")]
    )
    for task in tasks:
        placed = isinstance(placing(task, work, layout), Calibration)
        wanted = [one for one in task.channels if one.kind == "image" or placed]
        into = {layout.labels(one) for one in wanted}
        table.writerow(
            [
                task.task,
                " ".join(_plain(one.name) for one in wanted if one.kind == "image"),
                " ".join(_plain(one.name) for one in wanted if one.kind == "cloud"),
                f"calib/{task.task}.txt" if placed else "",
                *(f"{folder}/{task.task}.txt" if folder in into else "" for folder in labels),
                *(media_name(task, name) if name in task.media else "" for name in channels),
                *(side for name in images for side in task.sizes.get(name, ("", ""))),
            ]
        )
    return text.getvalue()


def _calibration_text(calibration: Calibration) -> str:
    matrices = {
        "P2": calibration.p2,
        "P3": calibration.p3,
        "R0_rect": calibration.r0,
        "Tr_velo_to_cam": calibration.velo_to_cam,
    }
    lines = (f"{name}: {' '.join(repr(float(v)) for v in m.ravel())}" for name, m in matrices.items())
    return "\n".join(lines) + "\n"
