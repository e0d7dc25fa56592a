"""Labels from a folder: any tool that writes KITTI label files can be an annotator, in 2D and in 3D.

    FOLDER/BATCH/tasks.csv, classes.txt, README.txt, calib/   written by `send`: what to label
    FOLDER/BATCH/label_2/KEY.txt                               read by `fetch`: one file per scene
    FOLDER/BATCH/skipped.txt                                   keys of scenes that won't be labelled, one a
    line

A folder of labels that exists already is read as well: `FOLDER/label_2/KEY.txt`, then `FOLDER/KEY.txt`. No
file means that nobody has looked; an empty file means that somebody has, and there is nothing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from swath.annotators.base import Answer, Boxes, Cuboids, Rejected, State, Task, Work, answered
from swath.annotators.clean import clean
from swath.errors import ConfigError, FormatError, SwathError, some

if TYPE_CHECKING:
    from swath.formats.kitti import Calibration, KittiObject

README = """\
Label the {scenes} scenes of tasks.csv, with the classes in classes.txt.

Labels go to label_2/, one KITTI label file per scene, named as the column `label` says:
    type truncated occluded alpha x1 y1 x2 y2 h w l x y z rotation_y
A 2D box needs x1 y1 x2 y2 (0-based pixels of the left image). A cuboid needs h w l (metres), x y z (the
middle of its bottom face) and rotation_y, in the rectified camera frame of calib/; where there is none write
-1 -1 -1 -1000 -1000 -1000 -10. DontCare lines are left out.

A scene with nothing to label: an empty file. A scene that can't be labelled: its key on a line of
skipped.txt. A scene without a file counts as not looked at.
"""


class Files:
    """Reads what people put into `folder`. It has one opinion of each scene: the file that is there.

    `notes`, after `fetch`: where it looked if nothing was found, files that belong to no scene of the work,
    and scenes whose labels have no cuboids.
    """

    opinions = 1

    def __init__(self, folder: Path | str, name: str = "files") -> None:
        self.name = name
        self.folder = Path(folder)
        self.notes: tuple[str, ...] = ()

    def send(self, work: Work) -> None:
        """Write the task list of the batch. Files that are right already are left alone."""
        labels = _label_files(work)
        folder = self.folder / work.batch
        try:
            (folder / "label_2").mkdir(parents=True, exist_ok=True)
            (folder / "calib").mkdir(exist_ok=True)
            for task in work.tasks:
                if task.calibration is not None:
                    _write(folder / "calib" / labels[task.key], _calibration_text(task.calibration))
            _write(folder / "README.txt", README.format(scenes=len(work.tasks)))
            _write(folder / "classes.txt", "".join(f"{name}\n" for name in work.classes))
            _write(folder / "tasks.csv", _tasks_csv(work, labels))
        except OSError as error:
            raise SwathError(
                f"expected to write the tasks into {folder}, but {error.strerror}; check the folder"
            ) from error

    def fetch(self, work: Work) -> Sequence[Answer]:
        """Read the label files of the work's scenes. SwathError where `folder` is not there."""
        if not self.folder.is_dir():
            raise SwathError(
                f"expected a folder of labels at {self.folder}, found none; send first, or make it"
            )
        labels = _label_files(work)
        places = [self.folder / work.batch / "label_2", self.folder / "label_2", self.folder]
        found = {key: _first(places, name) for key, name in labels.items()}
        skipped, notes = self._skipped(work, found)
        notes = [*self._strays(work, places, labels, found), *notes]
        answers: list[Answer] = []
        flat: list[str] = []
        for task in work.tasks:
            path = found[task.key]
            if path is None:
                state: State = "skipped" if task.key in skipped else "unreviewed"
                answers += [Answer(task.task, kind, state, annotator=self.name) for kind in task.modalities]
                continue
            scene, whole = self._read(task, work.classes, path)
            answers += scene
            flat += [] if whole else [task.key]
        if flat:
            notes.append(
                f"{len(flat)} scenes have labels without any cuboid, and count as not looked at in 3D: "
                f"{some(flat)}"
            )
        self.notes = tuple(notes)
        return answers

    def _read(self, task: Task, classes: Sequence[str], path: Path) -> tuple[list[Answer], bool]:
        """The answers from one label file, and whether 3D, where it was asked for, was looked at."""
        from swath.formats.kitti import read_objects

        try:
            objects, damages = read_objects(path)
            lines = _good_lines(path, {damage.line for damage in damages})
        except FormatError as error:
            bad = (Rejected(str(path), str(error)),)
            kinds = task.modalities
            return [Answer(task.task, kind, "unreviewed", None, None, self.name, bad) for kind in kinds], True
        wanted = [(line, item) for line, item in zip(lines, objects, strict=True) if item.label != "DontCare"]
        broken = [Rejected(f"{path}:{damage.line}", damage.reason) for damage in damages]
        answers: list[Answer] = []
        whole = True
        labels: Boxes | Cuboids
        for modality in task.modalities:
            if modality == "2d":
                labels, where, bad3 = _boxes(path, wanted)
            elif task.calibration is None:
                # Nobody can place a KITTI cuboid in this scene: waiting for one would be waiting for good.
                reason = Rejected(str(path), "cuboids can't be placed: the scene has no calibration")
                answers.append(
                    Answer(task.task, modality, "skipped", None, None, self.name, (*broken, reason))
                )
                continue
            else:
                labels, where, bad3 = _cuboids(path, wanted, task.calibration)
                whole = bool(len(labels) or bad3 or not wanted)
            good, rejected = clean(labels, classes, task.width, task.height, where)
            answer = answered(task, modality, good, [*broken, *bad3, *rejected], self.name)
            if modality == "3d" and not whole:
                answer = Answer(task.task, modality, "unreviewed", None, None, self.name, tuple(broken))
            answers.append(answer)
        return answers, whole

    def _skipped(self, work: Work, found: dict[str, Path | None]) -> tuple[set[str], list[str]]:
        """The scenes that skipped.txt names, and what is odd about it."""
        path = self.folder / work.batch / "skipped.txt"
        if not path.is_file():
            return set(), []
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
        named = {line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")}
        notes = []
        if strange := sorted(named - found.keys()):
            notes.append(f"{path} names {len(strange)} scenes that are not in this batch: {some(strange)}")
        if both := sorted(key for key in named & found.keys() if found[key] is not None):
            notes.append(f"{len(both)} scenes are in {path} and have labels; the labels count: {some(both)}")
        return named, notes

    def _strays(
        self, work: Work, places: list[Path], labels: dict[str, str], found: dict[str, Path | None]
    ) -> list[str]:
        """Where it looked, if nothing was found; files in those places that belong to no scene of the
        work."""
        notes = []
        if labels and not any(found.values()):
            looked = ", ".join(str(place / "KEY.txt") for place in places)
            example = labels[min(labels)]
            notes.append(f"no label file for any of {len(labels)} scenes; looked for {looked} (as {example})")
        names = set(labels.values())
        for place in places:
            if place.is_dir():
                files = sorted(path.name for path in place.iterdir() if path.is_file())
                strays = [name for name in files if name not in names and not name.startswith(".")]
                if strays:
                    notes.append(
                        f"{len(strays)} files in {place} belong to no scene of {work.batch}: {some(strays)}"
                    )
        return notes


def _label_files(work: Work) -> dict[str, str]:
    """Scene key -> name of its label file; a key that is no file name is made one. One task per scene."""
    names: dict[str, str] = {}
    for task in work.tasks:
        if task.key in names:
            raise ConfigError(
                f"a folder of files has one opinion of a scene, but {task.key} was sent more than once; "
                "ask for one labelling per scene, or use another annotator"
            )
        stem = task.key
        if not re.fullmatch(r"[\w-][\w.-]{0,99}", stem):
            digest = hashlib.blake2b(stem.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
            stem = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', stem)[-80:]}-{digest}"
        names[task.key] = f"{stem}.txt"
    return names


def _first(places: list[Path], name: str) -> Path | None:
    return next((place / name for place in places if (place / name).is_file()), None)


def _good_lines(path: Path, bad: set[int | None]) -> list[int]:
    """The 1-based numbers of the lines that became objects."""
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    return [n for n, line in enumerate(text.split("\n"), start=1) if line.strip() and n not in bad]


def _boxes(path: Path, items: list[tuple[int, KittiObject]]) -> tuple[Boxes, list[str], list[Rejected]]:
    boxes = np.array([item.box for _, item in items], float).reshape(-1, 4)
    where = [f"{path}:{line}" for line, _ in items]
    return Boxes(boxes, tuple(item.label for _, item in items)), where, []


def _cuboids(
    path: Path, items: list[tuple[int, KittiObject]], calibration: Calibration
) -> tuple[Cuboids, list[str], list[Rejected]]:
    from swath.formats.kitti import to_cuboid

    solid = [(line, item) for line, item in items if item.has_cuboid]
    cuboids = np.array([to_cuboid(item, calibration) for _, item in solid], float).reshape(-1, 9)
    where = [f"{path}:{line}" for line, _ in solid]
    return Cuboids(cuboids, tuple(item.label for _, item in solid)), where, []


def _tasks_csv(work: Work, labels: dict[str, str]) -> str:
    """One line per scene, by key: nothing in it depends on why a scene is there."""
    slices = sorted({name for task in work.tasks for name in task.media})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["key", "label", *slices, "width", "height", "modalities"])
    for task in sorted(work.tasks, key=lambda task: task.key):
        media = [task.media.get(name, "") for name in slices]
        kinds = " ".join(task.modalities)
        table.writerow([task.key, labels[task.key], *media, task.width, task.height, kinds])
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


def _write(path: Path, text: str) -> None:
    from swath.formats.files import write_atomic

    data = text.encode()
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)
