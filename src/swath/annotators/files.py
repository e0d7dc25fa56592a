"""Labels from a folder: people with any tool that writes KITTI label files can be an annotator, in 2D and in 3D.

    FOLDER/BATCH/                      what to label, written by `send` (see `work_folder`)
    FOLDER/BATCH/label_2/TASK.txt      read by `fetch`: boxes of the image that is shown, and cuboids, of one task
    FOLDER/BATCH/label_CHANNEL/...     the same for each further labelled channel
    FOLDER/BATCH/skipped.txt           tasks that won't be labelled, one a line

No file means that nobody has looked; an empty file means that somebody has, and there is nothing. Files that were there
before the batch was sent (or sent again, once it is reopened) count when they are saved again; nothing is read from
anywhere else. A line without a box, or without a cuboid, is a label in the other alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from swath.annotators import work_folder
from swath.annotators.base import Answer, Fetched, Receipt, State, Task, Work, answered
from swath.annotators.work_folder import Seen
from swath.errors import ConfigError, FormatError, SwathError, some
from swath.formats.kitti_records import Calibration, KittiObject, parse_object, read_lines, spelled, to_cuboid
from swath.formats.readable import opens
from swath.labels.channels import Channel
from swath.labels.clean import Rejected, clean
from swath.labels.shapes import Boxes, Cuboids, Labels


class Files:
    """What people put into `folder`. It has one opinion of each scene: the file that is there.

    `media`: "copy" gives them copies under names of the tasks; "link" links, which tell the scenes.
    """

    opinions = 1

    def __init__(
        self, folder: Path | str, name: str = "files", media: Literal["copy", "link"] = "copy"
    ) -> None:
        self.name = name
        self.folder = Path(folder)
        self._media: Literal["copy", "link"] = media

    def send(self, work: Work) -> Receipt:
        """Write the batch's folder. Files that are right already are left alone, and labels always.

        The receipt: `folder`, how often it was `sent`; the tasks `without_calibration`: nobody can draw their cuboids; where there
        are any, `unreadable`: [task, channel, file] of what could not be handed over and counts as skipped; and `respelled`:
        [class, its name in label files].
        """
        _refuse_second_opinions(work)
        words = spelled(work.classes)
        work, unreadable = _readable(work)
        folder = self._folder_of(work)
        try:
            work_folder.write(folder, work, self._media)
        except OSError as error:
            raise SwathError(
                f"expected to write the tasks into {folder}, but {error.strerror}; check the folder, then send again"
            ) from error
        layout = work_folder.layout_of(work)
        clouds = [task for task in work.tasks if any(one.kind == "cloud" for one in task.channels)]
        without = sum(isinstance(work_folder.placing(task, work, layout), str) for task in clouds)
        receipt = {"folder": str(folder), "sent": work.sent, "without_calibration": without}
        respelled = [[name, word] for word, name in words.items() if word != name]
        return receipt | {
            name: told for name, told in (("unreadable", unreadable), ("respelled", respelled)) if told
        }

    def fetch(self, work: Work, receipt: Receipt) -> Fetched:
        """Read the labels of the work's tasks: an answer for each and channel, `unreviewed` where there is no new file.

        The folder may have been moved since: it is looked for below the configured one. SwathError where it is not there.
        """
        folder = self._folder_of(work)
        if not folder.is_dir():
            raise SwathError(
                f"expected {work.batch} in {folder}, found no such folder (it was sent to {receipt.get('folder', folder)}); "
                "say where it is now with --folder, or send it again"
            )
        try:
            return self._fetched(folder, work, receipt)
        except OSError as error:
            raise SwathError(
                f"expected to read the labels in {folder}, but {error.filename or 'a file'}: {error.strerror}; "
                "check the folder, then fetch again"
            ) from error

    def _folder_of(self, work: Work) -> Path:
        return self.folder.absolute() / work.batch

    def _fetched(self, folder: Path, work: Work, receipt: Receipt) -> Fetched:
        needed = {(task.task, one.name) for task in work.tasks for one in task.channels}
        unreadable = [one for one in receipt.get("unreadable", ()) if (one[0], one[1]) in needed]
        unseen = {(task, channel) for task, channel, _ in unreadable}
        seen = work_folder.sent_with(folder, work.sent)
        layout = work_folder.layout_of(work)
        found = {}
        for name, channels in work_folder.label_folders(work, layout).items():
            tasks = {task.task for task in work.tasks if any(one.name in channels for one in task.channels)}
            found[name] = _found(folder, name, tasks, seen)
        skipped, about_skips = _skipped(folder, work, found, seen)
        answers: list[Answer] = []
        partly: dict[str, list[str]] = {"2d": [], "3d": []}
        for task in work.tasks:
            files = {
                name: _read(one.new[task.task], work.classes)
                for name, one in found.items()
                if task.task in one.new
            }
            frame = work_folder.placing(task, work, layout)
            for channel in task.channels:
                file = files.get(layout.labels(channel))
                if channel.kind == "cloud" and isinstance(frame, str):
                    answer = self._nowhere(task, channel, file, frame)
                elif file is None:
                    is_skipped = task.task in skipped or (task.task, channel.name) in unseen
                    state: State = "skipped" if is_skipped else "unreviewed"
                    answer = Answer(task.task, channel.name, state, annotator=self.name)
                else:
                    answer, whole = self._answer(task, channel, file, frame, work.classes)
                    partly[channel.modality] += [] if whole else [task.task]
                answers.append(answer)
        notes = [*_about(folder, work, found), *about_skips]
        if respelled := receipt.get("respelled") if not any(one.new for one in found.values()) else None:
            said = ", ".join(f"{name!r} is written {word}" for name, word in respelled)
            notes.append(f"in label files, whose columns are parted by spaces, {said}")
        if unreadable:
            notes.append(
                f"{len({task for task, _ in unseen})} tasks count as skipped, whole or in part: media of theirs could not be read "
                f"when they were sent ({_shown(unreadable)}); bring them back and send again, before the batch is labeled"
            )
        for modality, what in (("2d", "box"), ("3d", "cuboid")):
            if tasks_partly := partly[modality]:
                notes.append(
                    f"{len(tasks_partly)} tasks have labels without any {what}, and count as not looked at in "
                    f"{modality.upper()}: {some(tasks_partly)}"
                )
        return Fetched(tuple(answers), tuple(notes))

    def _nowhere(self, task: Task, channel: Channel, file: _File | None, reason: str) -> Answer:
        """Nobody can place a KITTI cuboid in this scene: waiting for one would be waiting for good."""
        where = str(file.path) if file else f"{task.task}/{channel.name}"
        rejected = (
            *(file.broken if file else ()),
            Rejected(where, f"cuboids can't be placed: {reason}"),
        )
        return Answer(task.task, channel.name, "skipped", None, self.name, rejected)

    def _answer(
        self, task: Task, channel: Channel, file: _File, frame: Calibration | str, classes: Sequence[str]
    ) -> tuple[Answer, bool]:
        """The answer for one channel from its label file, and whether the file says anything of this channel."""
        flat = channel.kind == "image"
        lines = [one for one in file.lines if (one.boxed if flat else one.item.has_cuboid)]
        if not file.whole or (file.lines and not lines):
            answer = Answer(task.task, channel.name, "unreviewed", None, self.name, file.broken)
            return answer, not file.whole
        where = [f"{file.path}:{one.number}" for one in lines]
        class_of = spelled(classes)
        names = tuple(class_of.get(one.item.label, one.item.label) for one in lines)
        good: Labels
        if flat:
            boxes = np.array([one.item.box for one in lines], float).reshape(-1, 4)
            good, bad = clean(Boxes(boxes, names), classes, *task.sizes[channel.name], where)
        else:
            assert isinstance(frame, Calibration)
            cuboids = np.array([to_cuboid(one.item, frame) for one in lines], float).reshape(-1, 9)
            good, bad = clean(Cuboids(cuboids, names), classes, 0, 0, where)
        return answered(task, channel, good, [*file.broken, *bad], self.name), True


def _readable(work: Work) -> tuple[Work, list[list[str]]]:
    """The work without files that cannot be opened, nor what was to be labelled in them; [task, channel, file] of those. SwathError
    where that is more than half of the tasks: a disk is away then."""
    unreadable: list[list[str]] = []
    tasks = []
    for task in work.tasks:
        bad = {name: path for name, path in sorted(task.media.items()) if not opens(path)}
        unreadable += [[task.task, name, path] for name, path in bad.items()]
        media = {name: path for name, path in task.media.items() if name not in bad}
        channels = tuple(one for one in task.channels if one.name not in bad)
        if channels:
            tasks.append(replace(task, media=media, channels=channels))
    needed = {(task.task, one.name) for task in work.tasks for one in task.channels}
    without = len({task for task, name, _ in unreadable if (task, name) in needed})
    if 2 * without > len(work.tasks):
        raise SwathError(
            f"expected to copy the media of {len(work.tasks)} tasks for the annotators, but those of {without} cannot be read "
            f"({_shown(unreadable)}); bring them back, then send again"
        )
    return replace(work, tasks=tuple(tasks)), unreadable


def _shown(unreadable: Sequence[Sequence[str]]) -> str:
    return some([path for _, _, path in unreadable], 3)


def _refuse_second_opinions(work: Work) -> None:
    first: dict[frozenset[tuple[str, str]], str] = {}
    for task in work.tasks:
        shown = frozenset(task.media.items())
        if shown and first.setdefault(shown, task.task) != task.task:
            raise ConfigError(
                f"a folder of files has one opinion of a scene, but one was sent more than once (tasks {first[shown]}, "
                f"{task.task}); ask for one labelling per scene, or use another annotator"
            )


# ---------------------------------------------------------------------- which files count


@dataclass(frozen=True)
class _Found:
    """The files of one label folder: `new` ones by task; names of `old` ones that wait to be saved again, of `second` ones of
    a task (and the first), and of `strays` that belong to no task."""

    new: Mapping[str, Path]
    old: Sequence[str]
    second: Sequence[tuple[str, str]]
    strays: Sequence[str]


def _found(folder: Path, name: str, tasks: set[str], seen: Mapping[str, Seen]) -> _Found:
    of: dict[str, list[Path]] = {}
    strays = []
    for path in work_folder.files_in(folder / name):
        if path.suffix.lower() == ".txt" and path.stem in tasks:
            of.setdefault(path.stem, []).append(path)
        else:
            strays.append(path.name)
    new: dict[str, Path] = {}
    old: list[str] = []
    second: list[tuple[str, str]] = []
    for task, paths in of.items():
        is_old = {path: work_folder.is_old(folder, f"{name}/{path.name}", seen) for path in paths}
        first, *others = sorted(paths, key=lambda path: (is_old[path], path.suffix != ".txt", path.name))
        if is_old[first]:
            old.append(f"{name}/{first.name}")
        else:
            new[task] = first
        second += [(f"{name}/{path.name}", f"{name}/{first.name}") for path in others]
    return _Found(new, old, second, strays)


def _skipped(
    folder: Path, work: Work, found: Mapping[str, _Found], seen: Mapping[str, Seen]
) -> tuple[set[str], list[str]]:
    """The tasks that skipped.txt names, and what is odd about it."""
    path = folder / "skipped.txt"
    if not path.is_file():
        return set(), []
    if work_folder.is_old(folder, path.name, seen):
        return set(), [f"{path} was there before the batch was sent, and counts once it is saved again"]
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    named = {line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")}
    notes = []
    if strange := sorted(named - {task.task for task in work.tasks}):
        notes.append(f"{path} names {len(strange)} tasks that are not in this batch: {some(strange)}")
    if both := sorted(named & {task for one in found.values() for task in one.new}):
        notes.append(f"{len(both)} tasks are in {path} and have labels; the labels count: {some(both)}")
    return named, notes


def _about(folder: Path, work: Work, found: Mapping[str, _Found]) -> list[str]:
    """Where it looked, if nothing was found; files that are not read, and why."""
    notes = []
    if work.tasks and not any(one.new or one.old for one in found.values()):
        looked = ", ".join(str(folder / name / "TASK.txt") for name in found)
        example = min(task.task for task in work.tasks)
        notes.append(
            f"no label file for any of {len(work.tasks)} tasks; looked for {looked} (as {example}.txt)"
        )
    if old := [name for one in found.values() for name in one.old]:
        notes.append(
            f"{len(old)} label files in {folder} were there before the batch was sent, and count once they are saved again, "
            f"even if nothing in them changes: {some(old)}"
        )
    if second := [pair for one in found.values() for pair in one.second]:
        said = some(f"{name} (not {first})" for name, first in second)
        notes.append(f"{len(second)} files in {folder} are a second file of a task, and are not read: {said}")
    for name, one in found.items():
        if one.strays:
            notes.append(
                f"{len(one.strays)} files in {folder / name} belong to no task of {work.batch}: {some(one.strays)}"
            )
    return notes


# ---------------------------------------------------------------------- what a file says


class _Line(NamedTuple):
    """An object, the 1-based number of its line, and whether it has a box in the image."""

    number: int
    item: KittiObject
    boxed: bool


@dataclass(frozen=True)
class _File:
    """A label file: its good lines (without DontCare) and the `broken` ones; not `whole`: it can't be read at all."""

    path: Path
    lines: tuple[_Line, ...]
    broken: tuple[Rejected, ...]
    whole: bool = True


def _read(path: Path, classes: Sequence[str]) -> _File:
    spaced = {tuple(words): "_".join(words) for name in classes if len(words := name.split()) > 1}
    try:
        written = read_lines(path)
    except FormatError as error:
        return _File(path, (), (Rejected(str(path), str(error)),), whole=False)
    lines: list[_Line] = []
    broken: list[Rejected] = []
    for number, words in written:
        for name, word in spaced.items():  # as people write it all the same
            if tuple(words[: len(name)]) == name:
                words = [word, *words[len(name) :]]
        boxed = not _is_no_box(words[4:8])
        try:
            item = parse_object(words if boxed else [*words[:4], "0", "0", "1", "1", *words[8:]])
            if item.label != "DontCare":
                if not boxed and not item.has_cuboid:
                    raise ValueError("expected a box or a cuboid, got neither")
                lines.append(_Line(number, item, boxed))
        except ValueError as error:
            broken.append(Rejected(f"{path}:{number}", str(error)))
    return _File(path, tuple(lines), tuple(broken))


def _is_no_box(words: Sequence[str]) -> bool:
    """Whether four words say that there is no box: `-1 -1 -1 -1` or `0 0 0 0`, as tools for clouds write it."""
    try:
        values = {float(word) for word in words}
    except ValueError:
        return False
    return len(words) == 4 and values in ({-1.0}, {0.0})
