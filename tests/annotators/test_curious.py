"""The curious annotator: has the folders of several rounds, knows that golden scenes come again, and wants to know which.

Everything that can be seen of a task but the bytes of its media is looked at, in one round and across rounds. What recurs
with some tasks and not with all of them tells golden scenes, and so does an order in which they come first.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from works import LEFT, PCD, SIZE, STORED, make_media, tree, work_of

from swath.annotators.base import Task, Work
from swath.annotators.files import Files

ROUNDS = ("v0", "v1", "v2")
GOLDEN = [f"golden-{i:02}" for i in range(6)]
POOL = {batch: [f"pool-{batch}-{i:02}" for i in range(14)] for batch in ROUNDS}
MEDIA = {"left": ".png", "right": ".png", "pcd": ".pcd"}


def task_id(batch: str, key: str) -> str:
    return hashlib.blake2b(f"51\x1f{batch}\x1f{key}\x1f0".encode(), digest_size=8).hexdigest()


def work(root: Path, batch: str, keys: Sequence[str], sent: int = 0) -> Work:
    """The work set of a round, in the order of `keys`: media of all sizes and ages, one calibration."""
    tasks = []
    for key in keys:
        age = int(hashlib.sha256(key.encode()).hexdigest()[:6], 16)
        media = make_media(root / "dataset", key, MEDIA, bytes(age % 997))
        for path in media.values():
            os.utime(path, (age, age))
        tasks.append(Task(task_id(batch, key), media, {"left": SIZE, "right": SIZE}, (LEFT, PCD), STORED))
    return Work(batch, work_of().classes, tuple(tasks), "left", sent)


def send_all(root: Path, folder: Path, media: str = "copy") -> Path:
    """Three rounds: the golden scenes are in each, the others in one; the second round was reopened."""
    annotator = Files(folder, media=media)  # type: ignore[arg-type]
    for batch in ROUNDS:
        keys = [*GOLDEN, *POOL[batch]]
        annotator.send(work(root, batch, keys))
        for key in keys:
            (folder / batch / "label_2" / f"{task_id(batch, key)}.txt").write_text("")
    annotator.send(work(root, "v1", [*GOLDEN, *POOL["v1"]], sent=1))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return send_all(tmp_path, tmp_path / "out")


Facts = dict[str, list[tuple[str, object]]]


def facts(folder: Path) -> Facts:
    """What can be seen of each task of one round: (what, value), without the task's own id and its media's bytes and sizes;
    labels are people's own."""
    with (folder / "tasks.csv").open() as table:
        rows = {row["task"]: row for row in csv.DictReader(table)}
    found: Facts = {
        task: [(name, cell.replace(task, "TASK")) for name, cell in row.items()] for task, row in rows.items()
    }
    for path in folder.rglob("*"):
        place = path.relative_to(folder)
        task = path.stem
        if task not in found or place.parts[0].startswith("label"):
            continue
        stat = path.lstat()
        where = place.as_posix().replace(task, "TASK")
        seen = {
            "is there": True,
            "time": stat.st_mtime_ns,
            "mode": stat.st_mode,
            "links": stat.st_nlink,
            "owner": (stat.st_uid, stat.st_gid),
            "inode": (stat.st_dev, stat.st_ino),
            "target": os.readlink(path) if path.is_symlink() else None,
        }
        if place.parts[0] != "media":
            seen["bytes"] = path.read_bytes()
        found[task] += [(f"{where}: {what}", value) for what, value in seen.items()]
    for path in folder.iterdir():
        if path.is_file() and not path.name.startswith(".sent") and path.name != "tasks.csv":
            for task in found:
                found[task].append((f"{path.name} names it", task in path.read_text()))
    return found


def suspects(folder: Path, below: float = 1.0) -> dict[str, set[str]]:
    """By round, the tasks of which something recurs in another round, with less than this share of the tasks of each."""
    carried = {}
    for batch in ROUNDS:
        seen = facts(folder / batch)
        counts = Counter(fact for one in seen.values() for fact in set(one))
        carried[batch] = seen, {fact for fact, count in counts.items() if count < below * len(seen)}
    return {
        one: {
            task
            for two in ROUNDS
            if two != one
            for task, seen in carried[one][0].items()
            if carried[one][1] & carried[two][1] & set(seen)
        }
        for one in ROUNDS
    }


def golden(batch: str) -> set[str]:
    return {task_id(batch, key) for key in GOLDEN}


def test_work_has_no_place_for_a_role() -> None:
    """No field of what is sent depends on why a scene is in it: a task has an id, media, sizes, channels and a calibration."""
    assert {one.name for one in fields(Task)} == {"task", "media", "sizes", "channels", "calibration", "slot"}
    assert {one.name for one in fields(Work)} == {"batch", "classes", "tasks", "primary", "sent"}


def test_roles_change_no_byte(tmp_path: Path) -> None:
    """With golden and pool exchanged, and listed in any order, the folder is the same: names, bytes, modes and times."""
    keys = [*GOLDEN, *POOL["v0"]]
    orders = (keys, keys[::-1], [*keys[3:], *keys[:3]])
    trees = []
    for i, order in enumerate(orders):
        Files(tmp_path / str(i)).send(work(tmp_path, "v0", order))
        trees.append(tree(tmp_path / str(i) / "v0"))
    assert trees[0] == trees[1] == trees[2]
    assert len(trees[0]) > 4 * len(keys)


def test_rounds_share_no_name(folder: Path) -> None:
    """No two rounds share the name of a file of a task, and `comm` on their task lists finds the header alone."""
    names = [
        {path.name for path in (folder / batch).rglob("*.*") if path.parent != folder / batch}
        for batch in ROUNDS
    ]
    lines = [set((folder / batch / "tasks.csv").read_text().splitlines()) for batch in ROUNDS]
    for i, one in enumerate(ROUNDS):
        assert len(names[i]) >= 20
        for j in range(i):
            assert not names[i] & names[j], one
            assert len(lines[i] & lines[j]) == 1


def test_no_text_names_a_scene(folder: Path, tmp_path: Path) -> None:
    """Neither a key nor the path of a dataset's file is in any text or name."""
    for path in folder.rglob("*"):
        assert "golden" not in path.name
        assert "pool" not in path.name
        if path.is_file() and "media" not in path.parts:
            text = path.read_text()
            assert str(tmp_path) not in text
            assert not any(key in text for key in ("golden", "pool", *GOLDEN))


def test_nothing_recurs(folder: Path) -> None:
    """What recurs between rounds recurs with every task: nobody is suspected."""
    assert sum(len(seen) for seen in facts(folder / "v0").values()) > 30 * 20
    assert suspects(folder) == {batch: set() for batch in ROUNDS}


def test_one_round_alone(folder: Path) -> None:
    """In one round every task looks like every other, but for the inodes of its files."""
    for batch in ROUNDS:
        seen = facts(folder / batch).values()
        looks = [
            {(what, value) for what, value in one if not what.endswith(("task", "inode"))} for one in seen
        ]
        assert all(one == looks[0] for one in looks)


def orders(folder: Path) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Every order in which a round shows its tasks: (which, position by task)."""
    with (folder / "tasks.csv").open() as table:
        yield "tasks.csv", {row["task"]: i for i, row in enumerate(csv.DictReader(table))}
    for below in ("media/left", "media/right", "media/pcd", "calib"):
        files = list((folder / below).iterdir())
        yield f"{below} as listed", {path.stem: i for i, path in enumerate(files)}
        yield f"{below} by inode", {path.stem: path.stat().st_ino for path in files}
        yield f"{below} by change", {path.stem: path.stat().st_ctime_ns for path in files}


def test_no_order_tells(folder: Path) -> None:
    """In no order do golden tasks come before or after the others: over three rounds the chance that one precedes (AUC) stays
    within four standard errors of a half."""
    pairs: dict[str, list[float]] = {}
    for batch in ROUNDS:
        for which, position in orders(folder / batch):
            first = [position[task] for task in sorted(golden(batch))]
            rest = [place for task, place in position.items() if task not in golden(batch)]
            before = np.sign(np.subtract.outer(rest, first))
            pairs.setdefault(which, []).append(float((before + 1).mean() / 2))
    m, n = len(GOLDEN), 14
    error = np.sqrt((m + n + 1) / (12 * m * n) / len(ROUNDS))
    for which, chances in pairs.items():
        assert abs(np.mean(chances) - 0.5) < 4 * error, which


# ---------------------------------------------------------------------- the curious annotator is good at it


def dated(source: Path, copy: Path) -> None:
    shutil.copystat(source, copy)


def hard_linked(source: Path, copy: Path) -> None:
    copy.unlink()
    os.link(source, copy)


def linked(source: Path, copy: Path) -> None:
    copy.unlink()
    copy.symlink_to(source)
    os.utime(copy, (1, 1), follow_symlinks=False)


@pytest.mark.parametrize("leak", [dated, hard_linked, linked])
def test_leaks_are_found(folder: Path, tmp_path: Path, leak: Callable[[Path, Path], None]) -> None:
    """With copies that keep the dataset's times, or are hard or symbolic links, the golden tasks are found, and no others."""
    for batch in ROUNDS:
        for key in [*GOLDEN, *POOL[batch]]:
            leak(
                tmp_path / "dataset" / f"left-{key}.png",
                folder / batch / "media/left" / f"{task_id(batch, key)}.png",
            )
    assert suspects(folder, 0.5) == {batch: golden(batch) for batch in ROUNDS}


def test_links_are_not_blind(tmp_path: Path) -> None:
    """`media: link` gives the golden scenes away, as its documentation says."""
    assert suspects(send_all(tmp_path, tmp_path / "out", "link"), 0.5) == {
        batch: golden(batch) for batch in ROUNDS
    }
