"""Labels from a folder of KITTI files."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from works import (
    CALIBRATION,
    DEFAULT,
    LEFT,
    PCD,
    SIZE,
    STORED,
    SURROUND,
    boxes_of,
    by_channel,
    channels_of,
    cuboids_of,
    make_media,
    tree,
    work_of,
)

from swath.annotators import may_send, work_folder
from swath.annotators.base import Answer, Task, Work
from swath.annotators.files import Files
from swath.config import Annotate
from swath.errors import ConfigError, StateError, SwathError
from swath.formats.kitti_records import read_calibration
from swath.labels.calibration import Camera
from swath.labels.channels import Channel

CAR = "Car 0.00 0 0.0 200 80 290 130 1.5 1.6 3.9 -2.0 1.6 12.0 -1.57"
FLAT = "Car 0.00 0 0.0 300 80 390 130 -1 -1 -1 -1000 -1000 -1000 -10"
SOLID = "Car 0.00 0 0.0 -1 -1 -1 -1 1.5 1.6 3.9 -2.0 1.6 -12.0 -1.57"
DONT_CARE = "DontCare -1 -1 -10 500 80 510 90 -1 -1 -1 -1000 -1000 -1000 -10"
OFF = "Car 0.00 0 0.0 900 80 990 130 -1 -1 -1 -1000 -1000 -1000 -10"
BUS = "Bus 0.00 0 0.0 200 80 290 130 2.5 2.6 9.9 -2.0 1.6 22.0 -1.57"
IMAGE_AND_CLOUD = {"left": ".png", "pcd": ".pcd"}
EYE = Camera(np.eye(3, 4), np.eye(4))


class Desk:
    """A folder with the media of some scenes, and the annotator that works in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "out"
        self.files = Files(self.out)

    def task(
        self,
        name: str,
        channels: tuple[Channel, ...] = (LEFT, PCD),
        calibration: Mapping[str, Any] | None = STORED,
        media: Mapping[str, str] = IMAGE_AND_CLOUD,
        slot: int = 0,
    ) -> Task:
        images = {one.name for one in (*channels, *DEFAULT.images) if one.kind == "image"}
        sizes = {one: SIZE for one in media if one in images}
        return Task(name, make_media(self.root / "in", name, media), sizes, channels, calibration, slot)

    def work(self, *names: str, **more: Any) -> Work:
        return work_of(*(self.task(name) for name in names), **more)

    def put(self, name: str, text: str, batch: str = "v0") -> Path:
        path = self.out / batch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def fetch(self, work: Work) -> tuple[dict[tuple[str, str], Answer], str]:
        """Answers by task and channel, and all notes."""
        fetched = self.files.fetch(work, self.files.send(work))
        return by_channel(fetched), "\n".join(fetched.notes)

    def labelled(self, **labels: str) -> tuple[dict[tuple[str, str], Answer], str]:
        """What is fetched of a batch of one task per file of labels."""
        work = self.work(*labels)
        self.files.send(work)
        for name, text in labels.items():
            self.put(f"label_2/{name}.txt", text)
        return self.fetch(work)

    def rows(self, batch: str = "v0") -> list[dict[str, str]]:
        with (self.out / batch / "tasks.csv").open() as table:
            return list(csv.DictReader(table))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def touch(path: Path) -> None:
    """Saved again, a second later."""
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))


# ---------------------------------------------------------------------- what is written


def test_send_writes_what_people_need(desk: Desk) -> None:
    """The task list names tasks, media, sizes and where labels go; media, classes and a calibration that reads back are
    there; the receipt says where."""
    work = desk.work("b", "a")
    receipt = desk.files.send(work)
    assert receipt == {"folder": str(desk.out / "v0"), "sent": 0, "without_calibration": 0}
    assert desk.rows() == [
        {
            "task": name,
            "boxes": "left",
            "cuboids": "pcd",
            "calib": f"calib/{name}.txt",
            "label_2": f"label_2/{name}.txt",
            "media/left": f"media/left/{name}.png",
            "media/pcd": f"media/pcd/{name}.pcd",
            "width/left": "620",
            "height/left": "188",
        }
        for name in ("a", "b")
    ]
    folder = desk.out / "v0"
    assert (folder / "media/left/a.png").read_bytes() == b"left of a"
    assert (folder / "media/pcd/b.pcd").read_bytes() == b"pcd of b"
    assert (folder / "classes.txt").read_text() == "Car\nPedestrian\nCyclist\n"
    assert "label_2/TASK.txt" in (folder / "README.txt").read_text()
    back = read_calibration(folder / "calib/a.txt")
    assert all(
        np.array_equal(getattr(back, one), getattr(CALIBRATION, one))
        for one in ("p2", "p3", "r0", "velo_to_cam")
    )


def test_one_time_for_all(desk: Desk) -> None:
    """All that is written, folders too, has one time stamp, whatever the media's own times and modes."""
    work = desk.work("a", "b")
    os.utime(work.tasks[0].media["left"], (1, 1))
    Path(work.tasks[0].media["pcd"]).chmod(0o400)
    desk.files.send(work)
    found = {path: path.stat() for path in (desk.out / "v0").rglob("*")}
    assert len(found) > 12
    assert {stat.st_mtime for stat in [*found.values(), (desk.out / "v0").stat()]} == {work_folder.TIME}
    assert len({stat.st_mode for path, stat in found.items() if path.is_file()}) == 1
    assert {stat.st_nlink for path, stat in found.items() if path.is_file()} == {1}


def test_order_of_tasks_is_not_seen(desk: Desk) -> None:
    """The same tasks in another order are the same folder."""
    work = desk.work("a", "b", "c")
    desk.files.send(work)
    Files(desk.root / "two").send(replace(work, tasks=work.tasks[::-1]))
    assert tree(desk.out / "v0") == tree(desk.root / "two" / "v0")


def test_names_of_media_tell_nothing(desk: Desk) -> None:
    """Of a file's name only a usual extension is left; where the channel's name is no file name it is made one."""
    every = channels_of(SURROUND, "front")
    names = {"front": ".000017.JPG", "side view": ".golden", "2": ".png", "top": ".pcd"}
    task = desk.task("a", tuple(every.values()), media=names)
    desk.files.send(work_of(replace(task, sizes={one: SIZE for one in every}), primary="front"))
    found = sorted(
        path.relative_to(desk.out / "v0").as_posix() for path in (desk.out / "v0/media").rglob("a*")
    )
    assert [name.rsplit("/", 1)[1] for name in found] == ["a.png", "a.jpg", "a", "a.pcd"]
    assert found[1] == "media/front/a.jpg"
    assert found[2].startswith("media/side_view-")
    assert {row["media/front"] for row in desk.rows()} == {"media/front/a.jpg"}


def test_links(tmp_path: Path) -> None:
    """Linked media point to the dataset's files, and nothing of theirs is changed; copies then replace the links."""
    desk = Desk(tmp_path)
    work = desk.work("a")
    before = tree(desk.root / "in")
    linking = Files(desk.out, media="link")
    receipt = linking.send(work)
    one = desk.out / "v0/media/left/a.png"
    assert one.is_symlink()
    assert one.resolve() == Path(work.tasks[0].media["left"]).resolve()
    first = tree(desk.out)
    assert linking.send(work) == receipt
    assert tree(desk.out) == first
    desk.files.send(work)
    assert not one.is_symlink()
    assert one.read_bytes() == b"left of a"
    assert tree(desk.root / "in") == before


def test_a_cut_sending_is_finished(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sending that was killed anywhere is finished by the next one, to the same folder as one in one go."""
    work = desk.work("a", "b")
    whole = Files(desk.root / "whole")
    whole.send(work)
    real, left = work_folder.write_atomic, 0

    def until(path: Path, data: bytes) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        real(path, data)

    monkeypatch.setattr(work_folder, "write_atomic", until)
    for writes in range(11):
        left, cut = writes, Files(desk.root / f"cut{writes}")
        if writes < 10:
            with pytest.raises(KeyboardInterrupt):
                cut.send(work)
        left = 100
        assert cut.send(work)["sent"] == 0
        assert tree(desk.root / f"cut{writes}") | {".": ()} == tree(whole.folder) | {".": ()}


def test_what_is_wrong_is_mended(desk: Desk) -> None:
    """A file that was changed, cut or lost is written again; one that is right is not touched."""
    work = desk.work("a", "b")
    desk.files.send(work)
    before = tree(desk.out)
    inode = (desk.out / "v0/media/left/b.png").stat().st_ino
    (desk.out / "v0/media/left/a.png").write_bytes(b"")
    (desk.out / "v0/tasks.csv").unlink()
    touch(desk.out / "v0/README.txt")
    desk.files.send(work)
    assert tree(desk.out) == before
    assert (desk.out / "v0/media/left/b.png").stat().st_ino == inode


def test_media_that_are_gone(desk: Desk) -> None:
    """A picture that can't be read is named, with what to do."""
    work = desk.work("a")
    Path(work.tasks[0].media["left"]).unlink()
    with pytest.raises(SwathError, match=r"left-a\.png.*send again"):
        desk.files.send(work)


def test_a_folder_that_cannot_be_written(desk: Desk) -> None:
    """A file where the folder should be is a user's mistake with the path in it."""
    desk.out.write_text("")
    with pytest.raises(SwathError, match="out"):
        desk.files.send(desk.work("a"))


def test_one_opinion_only(desk: Desk) -> None:
    """Asking a folder for two labellings of one scene is refused: it would agree with itself."""
    one = desk.task("a")
    with pytest.raises(ConfigError, match="one opinion"):
        desk.files.send(work_of(one, replace(one, task="b", slot=1)))


# ---------------------------------------------------------------------- what is read


def test_four_states(desk: Desk) -> None:
    """A file with labels, an empty one, a line in skipped.txt and nothing at all are four different states."""
    work = desk.work("dark", "empty", "full", "new")
    desk.files.send(work)
    desk.put("label_2/full.txt", CAR)
    desk.put("label_2/empty.txt", "\n")
    desk.put("skipped.txt", "# too dark\ndark\n")
    answers, notes = desk.fetch(work)
    states = {task: {answers[task, one].state for one in ("left", "pcd")} for task, _ in answers}
    assert states == {
        "full": {"labeled"},
        "empty": {"reviewed_empty"},
        "dark": {"skipped"},
        "new": {"unreviewed"},
    }
    assert notes == ""


def test_dont_care_is_no_object(desk: Desk) -> None:
    """A scene with DontCare regions only is empty."""
    answers, _ = desk.labelled(a=f"{DONT_CARE}\n{DONT_CARE.replace('500 80 510 90', '-1 -1 -1 -1')}\n")
    assert {one.state for one in answers.values()} == {"reviewed_empty"}


def test_classes_with_spaces(desk: Desk) -> None:
    """Columns are parted by spaces, so a class is written with underscores there, and is itself again when it comes back."""
    work = replace(desk.work("a"), classes=("traffic light", "corrosion (heavy)"))
    desk.files.send(work)
    assert (desk.out / "v0/classes.txt").read_text().split() == ["traffic_light", "corrosion_(heavy)"]
    desk.put("label_2/a.txt", f"{FLAT.replace('Car', 'corrosion_(heavy)')}\n{FLAT.replace('Car', 'bus')}\n")
    answers, _ = desk.fetch(work)
    found = answers["a", "left"]
    assert found.labels is not None
    assert found.labels.classes == ("corrosion (heavy)",)
    assert len(found.rejected) == 1
    with pytest.raises(ConfigError, match="cannot tell the classes 'a b' and 'a_b' apart"):
        desk.files.send(replace(desk.work("a"), classes=("a b", "a_b")))


@pytest.mark.parametrize("place", ["label_2", ".", "v1/label_2", "v0"])
def test_nothing_is_read_from_elsewhere(desk: Desk, place: str) -> None:
    """Labels in any other folder are not this batch's: those of another round least of all."""
    work = desk.work("a")
    desk.files.send(work)
    (desk.out / place).mkdir(parents=True, exist_ok=True)
    (desk.out / place / "a.txt").write_text(CAR)
    answers, notes = desk.fetch(work)
    assert {one.state for one in answers.values()} == {"unreviewed"}
    assert str(desk.out / "v0" / "label_2" / "TASK.txt") in notes


def test_cuboid_projects_into_its_box(desk: Desk) -> None:
    """The cuboid made from a line stands where the line says: its centre projects to the camera's own numbers."""
    answers, _ = desk.labelled(a=CAR)
    cuboids = cuboids_of(answers["a", "pcd"]).cuboids
    pixel, depth = CALIBRATION.project(cuboids[:, :3])
    # location (-2, 1.6, 12) is the bottom's middle, half of 1.5 m below the centre.
    np.testing.assert_allclose(pixel[0], [310 - 360 * 2 / 12, 94 + 360 * (1.6 - 0.75) / 12])
    np.testing.assert_allclose(depth, 12)
    np.testing.assert_allclose(cuboids[0, 3:6], [3.9, 1.6, 1.5])


def test_bad_lines_have_file_and_line(desk: Desk) -> None:
    """Bad lines are rejected with file:line in both channels; the good line of the scene is kept."""
    answers, _ = desk.labelled(a=f"Car 1 2 3\n\n{CAR}\n{OFF}\n{BUS}\n{CAR.replace('290', 'nan')}\n")
    flat, solid = answers["a", "left"], answers["a", "pcd"]
    assert boxes_of(flat).classes == ("Car",)
    reasons = {bad.where.rsplit(":", 1)[1]: bad.reason for bad in flat.rejected}
    assert set(reasons) == {"1", "4", "5", "6"}
    assert "columns" in reasons["1"]
    assert "off the" in reasons["4"]
    assert "Bus" in reasons["5"]
    assert {bad.where.rsplit(":", 1)[0] for bad in flat.rejected} == {str(desk.out / "v0/label_2/a.txt")}
    assert {bad.where.rsplit(":", 1)[1] for bad in solid.rejected} == {"1", "5", "6"}


def test_only_bad_lines_are_not_an_empty_scene(desk: Desk) -> None:
    """Where every line was rejected somebody has to look again."""
    answers, _ = desk.labelled(a="Car 1 2 3\n")
    assert {one.state for one in answers.values()} == {"unreviewed"}
    assert all(len(one.rejected) == 1 for one in answers.values())


def test_boxes_without_cuboids(desk: Desk) -> None:
    """2D lines alone leave 3D unreviewed, and a note says so; one cuboid among them is enough."""
    answers, notes = desk.labelled(flat=FLAT, both=f"{FLAT}\n{CAR}\n")
    assert answers["flat", "left"].state == "labeled"
    assert answers["flat", "pcd"].state == "unreviewed"
    assert "1 tasks have labels without any cuboid" in notes
    assert "in 3D: flat" in notes
    assert len(cuboids_of(answers["both", "pcd"])) == 1


def test_cuboids_without_boxes(desk: Desk) -> None:
    """What no camera sees has no box, and is a label of the cloud alone; a line with neither is rejected."""
    neither = FLAT.replace("300 80 390 130", "0 0 0 0")
    answers, notes = desk.labelled(solid=SOLID, both=f"{CAR}\n{SOLID}\n", bad=f"{CAR}\n{neither}\n")
    assert len(cuboids_of(answers["both", "pcd"])) == 2
    assert len(boxes_of(answers["both", "left"])) == 1
    assert not answers["both", "left"].rejected
    assert answers["solid", "pcd"].state == "labeled"
    assert answers["solid", "left"].state == "unreviewed"
    assert "without any box, and count as not looked at in 2D: solid" in notes
    assert [bad.reason for bad in answers["bad", "left"].rejected] == [
        "expected a box or a cuboid, got neither"
    ]


def test_a_second_file_of_a_task(desk: Desk) -> None:
    """`.TXT` is read as well; where a task has two files one is read, and the other is named."""
    work = desk.work("a", "b")
    desk.files.send(work)
    desk.put("label_2/a.TXT", CAR)
    desk.put("label_2/b.txt", "")
    desk.put("label_2/b.Txt", CAR)
    answers, notes = desk.fetch(work)
    assert answers["a", "left"].state == "labeled"
    assert answers["b", "left"].state == "reviewed_empty"
    assert "label_2/b.Txt (not label_2/b.txt)" in notes


def test_nothing_found_is_said(desk: Desk) -> None:
    """Where no file matches, the notes say where it looked and what is there instead."""
    work = desk.work("a", "b")
    desk.files.send(work)
    desk.put("label_2/999.txt", CAR)
    answers, notes = desk.fetch(work)
    assert {one.state for one in answers.values()} == {"unreviewed"}
    assert "no label file for any of 2 tasks" in notes
    assert "as a.txt" in notes
    assert "999.txt" in notes


def test_strays_are_counted(desk: Desk) -> None:
    """Files that belong to no task of the batch, and unknown or doubtful skips, are reported; hidden files are not."""
    work = desk.work("a")
    desk.files.send(work)
    for name in ("a.txt", "z.txt", "a.xml", ".a.txt.swp"):
        desk.put(f"label_2/{name}", CAR)
    desk.put("skipped.txt", "a\nnobody\n")
    answers, notes = desk.fetch(work)
    assert answers["a", "left"].state == "labeled"
    assert "2 files" in notes
    assert "a.xml, z.txt" in notes
    assert "nobody" in notes
    assert "the labels count: a" in notes


def test_a_file_that_cannot_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label file that can't be read is rejected as a whole, and its scene is not looked at."""
    work = desk.work("a")
    desk.files.send(work)
    path = desk.put("label_2/a.txt", CAR)
    real = Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    answers = by_channel(desk.files.fetch(work, {})).values()
    assert {one.state for one in answers} == {"unreviewed"}
    assert all("Permission denied" in one.rejected[0].reason for one in answers)


def test_missing_folder(desk: Desk) -> None:
    """A folder that is not there is a user's mistake, with where it is looked for and where it was."""
    with pytest.raises(SwathError, match=r"out/v0.*sent to /elsewhere.*--folder"):
        desk.files.fetch(desk.work("a"), {"folder": "/elsewhere"})


def test_a_moved_folder(desk: Desk) -> None:
    """A folder that was moved since is read where it is now."""
    work = desk.work("a")
    receipt = desk.files.send(work)
    desk.put("label_2/a.txt", CAR)
    desk.out.rename(desk.root / "moved")
    answers = by_channel(Files(desk.root / "moved").fetch(work, receipt))
    assert answers["a", "left"].state == "labeled"


# ---------------------------------------------------------------------- what is new


def test_what_was_there_before_is_not_new(desk: Desk) -> None:
    """Label files and skips that lay there before the batch was sent don't count, and are named; saved again they do."""
    old = desk.put("label_2/a.txt", CAR)
    skips = desk.put("skipped.txt", "b\n")
    work = desk.work("a", "b")
    answers, notes = desk.fetch(work)
    assert {one.state for one in answers.values()} == {"unreviewed"}
    assert "1 label files" in notes
    assert "label_2/a.txt" in notes
    assert "skipped.txt was there before" in notes
    assert "no label file" not in notes
    touch(old)
    touch(skips)
    answers, notes = desk.fetch(work)
    assert answers["a", "left"].state == "labeled"
    assert answers["b", "left"].state == "skipped"
    assert notes == ""


def test_reopened_batches_want_new_labels(desk: Desk) -> None:
    """After the second sending only what was changed, or saved again, since then counts; sending again changes nothing."""
    work = desk.work("a", "b", "c", "d")
    desk.files.send(work)
    paths = {name: desk.put(f"label_2/{name}.txt", CAR) for name in "abc"}
    assert desk.fetch(work)[0]["a", "left"].state == "labeled"
    again = replace(work, sent=1)
    assert desk.files.send(again)["sent"] == 1
    answers, notes = desk.fetch(again)
    assert {one.state for one in answers.values()} == {"unreviewed"}
    assert "3 label files" in notes
    touch(paths["a"])
    mtime = paths["b"].stat().st_mtime_ns
    paths["b"].write_text(CAR.replace("290", "291"))  # as long, and as old, as it was
    os.utime(paths["b"], ns=(mtime, mtime))
    desk.put("label_2/d.txt", "")
    desk.files.send(again)
    answers, notes = desk.fetch(again)
    states = [answers[name, "left"].state for name in "abcd"]
    assert states == ["labeled", "labeled", "unreviewed", "reviewed_empty"]
    assert "1 label files" in notes
    assert by_channel(desk.files.fetch(work, {}))["c", "left"].state == "labeled"


def test_a_batch_that_was_not_sent_again(desk: Desk) -> None:
    """Fetching what was not sent (again), or whose marker was lost or cut, says to send it: nothing is taken for new."""
    work = desk.work("a")
    desk.files.send(work)
    desk.put("label_2/a.txt", CAR)
    with pytest.raises(StateError, match=r"\.sent-1.*send it"):
        desk.files.fetch(replace(work, sent=1), {})
    (desk.out / "v0/.sent-0").write_bytes(b"{")
    with pytest.raises(StateError, match=r"\.sent-0.*send it"):
        desk.files.fetch(work, {})
    answers, notes = desk.fetch(work)
    assert answers["a", "left"].state == "unreviewed"
    assert "label_2/a.txt" in notes


def test_labels_of_other_pictures(desk: Desk) -> None:
    """Where a task's picture or calibration turns out to be another one, labels that are there were not drawn on it: they
    don't count until they are saved again. Those of other tasks do."""
    work = desk.work("a", "b", "c")
    desk.files.send(work)
    for name in "abc":
        desk.put(f"label_2/{name}.txt", CAR)
    Path(work.tasks[0].media["left"]).write_bytes(b"another frame of the same name")
    moved = {**STORED, "velo_to_cam": [[0, -1, 0, 9], [0, 0, -1, 9], [1, 0, 0, 9]]}
    work = replace(work, tasks=(*work.tasks[:2], replace(work.tasks[2], calibration=moved)))
    answers, notes = desk.fetch(work)
    assert [answers[name, "left"].state for name in "abc"] == ["unreviewed", "labeled", "unreviewed"]
    assert "2 label files" in notes
    assert desk.fetch(work)[0] == answers


# ---------------------------------------------------------------------- channels and frames


def test_further_channels_have_folders_of_their_own(desk: Desk) -> None:
    """Boxes of the image that is shown and cuboids of the first cloud are in label_2, all others in label_CHANNEL."""
    every = channels_of(SURROUND, "front")
    task = replace(desk.task("a", tuple(every.values())), sizes={one: SIZE for one in every})
    work = work_of(task, primary="front")
    desk.files.send(work)
    (row,) = desk.rows()
    assert row["boxes"].split()[:2] == ["front", "back"]
    assert row["cuboids"] == "top low"
    side = next(name for name in row if name.startswith("label_side"))
    places = {
        "label_2": CAR,
        "label_back": f"{FLAT}\n{CAR}\n",
        "label_top": f"{SOLID}\n{CAR}\n{CAR}\n",
        side: "",
    }
    assert {name for name in row if name.startswith("label_")} == set(places)
    for folder, text in places.items():
        assert (desk.out / "v0" / folder).is_dir()
        desk.put(row[folder], text)
    answers, notes = desk.fetch(work)
    counts = {channel: len(one.labels or ()) for (_, channel), one in answers.items()}
    assert counts == {"front": 1, "back": 2, "side view": 0, "low": 1, "top": 3}
    assert answers["a", "side view"].state == "reviewed_empty"
    assert notes == ""


def test_a_cloud_that_is_shown_comes_first(desk: Desk) -> None:
    """Without a labelled image label_2 holds cuboids alone, those of the cloud that is shown."""
    every = channels_of({"low": SURROUND["low"], "top": SURROUND["top"]}, "top")
    work = work_of(desk.task("a", tuple(every.values()), None, {"top": ".pcd"}), primary="top")
    desk.files.send(work)
    desk.put("label_2/a.txt", f"{SOLID}\n{SOLID}\n")
    desk.put("label_low/a.txt", SOLID)
    answers, _ = desk.fetch(work)
    assert (len(cuboids_of(answers["a", "top"])), len(cuboids_of(answers["a", "low"]))) == (2, 1)


def test_no_calibration(desk: Desk) -> None:
    """With an image and no calibration nobody can place a cuboid: none is asked for, 3D is skipped with the reason, label
    file or not, and the receipt counts it; boxes are kept."""
    work = work_of(desk.task("a", calibration=None), desk.task("b", calibration=None), desk.task("c"))
    assert desk.files.send(work)["without_calibration"] == 2
    assert [(row["boxes"], row["cuboids"], row["calib"]) for row in desk.rows()] == [
        ("left", "", ""),
        ("left", "", ""),
        ("left", "pcd", "calib/c.txt"),
    ]
    desk.put("label_2/a.txt", f"Car 1 2\n{CAR}\n")
    answers, notes = desk.fetch(work)
    assert answers["a", "left"].state == "labeled"
    assert answers["b", "left"].state == "unreviewed"
    for task in ("a", "b"):
        assert answers[task, "pcd"].state == "skipped"
        assert answers[task, "pcd"].rejected[-1].reason == (
            "cuboids can't be placed: the scene has no calibration"
        )
    assert len(answers["a", "pcd"].rejected) == 2
    assert answers["c", "pcd"].state == "unreviewed"
    assert notes == ""


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({**STORED, "r0": np.ones((3, 3)).tolist()}, "rotation"),
        ({name: value for name, value in STORED.items() if name != "velo_to_cam"}, "velo_to_cam"),
        ({"cameras": {}}, "no camera"),
        ({"cameras": {"P2": {"projection": [[1, 2], [3]], "from_cloud": np.eye(4).tolist()}}}, "P2"),
        ({"cameras": {"P2": {**EYE.to_dict(), "from_cloud": np.full((4, 4), 2.0).tolist()}}}, "rotation"),
        ({"cameras": {"P2": 3}}, "P2"),
        ({"cameras": {"P2": {}}}, "can't be used"),
    ],
)
def test_a_calibration_that_cannot_be_used(desk: Desk, stored: dict[str, Any], said: str) -> None:
    """A broken calibration is none, with what is wrong in the reason."""
    work = work_of(desk.task("a", calibration=stored))
    assert desk.files.send(work)["without_calibration"] == 1
    answer = desk.fetch(work)[0]["a", "pcd"]
    assert answer.state == "skipped"
    assert said in answer.rejected[-1].reason


def test_kitti_names_in_a_calibration(desk: Desk) -> None:
    """A calibration under KITTI's own names, without the right camera, is written as it is; the left one stands for it."""
    stored = {"P2": STORED["p2"], "R0_rect": STORED["r0"], "Tr_velo_to_cam": STORED["velo_to_cam"]}
    desk.files.send(work_of(desk.task("a", calibration=stored)))
    back = read_calibration(desk.out / "v0/calib/a.txt")
    assert np.array_equal(back.p3, CALIBRATION.p2)
    assert np.array_equal(back.velo_to_cam, CALIBRATION.velo_to_cam)


def turned(yaw: float) -> np.ndarray:
    """From the cloud to a camera that looks `yaw` to the left of ahead."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    whole = np.eye(4)
    whole[:3, :3] = CALIBRATION.velo_to_cam[:, :3] @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    whole[:3, 3] = [0.3, -0.2, 0.1]
    return whole


@pytest.mark.parametrize(
    ("primary", "camera"), [("front", "front"), ("back", "rear camera"), ("low", "front")]
)
def test_named_cameras(desk: Desk, primary: str, camera: str) -> None:
    """Of named cameras calib/ holds that of the image in label_2 (of the first one by name, where a cloud is shown), and
    cuboids are placed by it: a car before that camera is before it in the cloud."""
    poses = {"front": turned(0.0), "rear camera": turned(np.pi), "side": turned(np.pi / 2)}
    stored = {"cameras": {name: Camera(CALIBRATION.p2, pose).to_dict() for name, pose in poses.items()}}
    every = channels_of(SURROUND, primary)
    used = tuple(every[name] for name in (("low",) if primary == "low" else ("front", "back", "low")))
    task = replace(desk.task("a", used, stored), sizes={"front": SIZE, "back": SIZE})
    work = work_of(task, primary=primary)
    desk.files.send(work)
    back = read_calibration(desk.out / "v0/calib/a.txt")
    np.testing.assert_array_equal(back.p2, CALIBRATION.p2)
    np.testing.assert_array_equal(back.r0, np.eye(3))
    np.testing.assert_array_equal(back.velo_to_cam, poses[camera][:3])
    desk.put("label_2/a.txt", CAR)
    cuboid = cuboids_of(desk.fetch(work)[0]["a", "low"]).cuboids[0]
    place = poses[camera] @ [*cuboid[:3], 1]
    np.testing.assert_allclose(place[:3], [-2, 1.6 - 0.75, 12], atol=1e-9)


def test_clouds_alone(desk: Desk) -> None:
    """Without any image cuboids are in the cloud's own frame with KITTI's axes: z of the line is ahead, x to the right."""
    pcd = replace(PCD, name="lidar")
    work = work_of(desk.task("a", (pcd,), None, {"lidar": ".bin"}), primary="lidar")
    assert desk.files.send(work)["without_calibration"] == 0
    written = read_calibration(desk.out / "v0/calib/a.txt")
    desk.put("label_2/a.txt", "Car 0 0 0 0 0 0 0 1.5 1.6 3.9 -2.0 1.6 12.0 -1.5707963267948966\n")
    answers, _ = desk.fetch(work)
    cuboid = cuboids_of(answers["a", "lidar"]).cuboids[0]
    np.testing.assert_allclose(cuboid, [12, 2, -1.6 + 0.75, 3.9, 1.6, 1.5, 0, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(written.velo_to_cam[:, :3], [[0, -1, 0], [0, 0, -1], [1, 0, 0]])


def test_an_empty_batch(desk: Desk) -> None:
    """Nothing to label is a folder without tasks."""
    work = replace(work_of(), tasks=())
    desk.files.send(work)
    assert desk.rows() == []
    assert desk.fetch(work) == ({}, "")


# ---------------------------------------------------------------------- classes with spaces, media that are away


def test_a_class_with_a_space_may_be_written_either_way(desk: Desk) -> None:
    """`traffic_light`, as the texts say, or `traffic light`, as people write: the same class; other words stay broken lines."""
    work = replace(desk.work("a"), classes=("Car", "traffic light", "corrosion (heavy)"))
    receipt = desk.files.send(work)
    assert receipt["respelled"] == [
        ["traffic light", "traffic_light"],
        ["corrosion (heavy)", "corrosion_(heavy)"],
    ]
    assert (desk.out / "v0/classes.txt").read_text() == "Car\ntraffic_light\ncorrosion_(heavy)\n"
    names = ("traffic_light", "traffic light", "corrosion (heavy)", "Car", "traffic jam")
    rest = "0 0 0 10 10 90 90 -1 -1 -1 -1000 -1000 -1000 -10"
    desk.put("label_2/a.txt", "".join(f"{name} {rest}\n" for name in names))
    answers, _ = desk.fetch(work)
    found = answers["a", "left"]
    assert boxes_of(found).classes == ("traffic light", "traffic light", "corrosion (heavy)", "Car")
    assert [one.where.rpartition(":")[2] for one in found.rejected] == ["5"]


def test_media_that_are_away_hold_nothing_up(desk: Desk) -> None:
    """A scene whose picture is gone does not keep the others from being sent: it counts as skipped in what needs it, is said, and
    is sent when it is back."""
    work = desk.work("a", "b", "c")
    gone = Path(next(task for task in work.tasks if task.task == "b").media["left"])
    data = gone.read_bytes()
    gone.unlink()
    receipt = desk.files.send(work)
    assert receipt["unreadable"] == [["b", "left", str(gone)]]
    assert (desk.out / "v0/media/left/a.png").is_file()
    assert not (desk.out / "v0/media/left/b.png").exists()
    assert [row["boxes"] for row in desk.rows()] == ["left", "", "left"]
    answers, notes = desk.fetch(work)
    states = {place: one.state for place, one in answers.items()}
    assert states.pop(("b", "left")) == "skipped"
    assert set(states.values()) == {"unreviewed"}
    assert str(gone) in notes
    gone.write_bytes(data)
    assert "unreadable" not in desk.files.send(work)
    answers, _ = desk.fetch(work)
    assert answers["b", "left"].state == "unreviewed"


def test_a_disk_that_is_away_is_not_skipped(desk: Desk) -> None:
    """Where most pictures are gone nothing is sent."""
    work = desk.work("a", "b", "c")
    for task in work.tasks[:2]:
        Path(task.media["left"]).unlink()
    with pytest.raises(SwathError, match=r"those of 2 cannot be read .* then send again"):
        desk.files.send(work)
    assert not (desk.out / "v0").exists()


def test_a_folder_that_cannot_be_is_said_before_a_batch_is_chosen(tmp_path: Path) -> None:
    """`may_send`: below a file, or with classes that label files cannot tell apart; nothing is left behind where it can be."""
    (tmp_path / "file").write_text("")
    may_send(Annotate(annotator="files", folder=tmp_path / "new" / "er"), ("a b",))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(SwathError, match="expected a folder"):
        may_send(Annotate(annotator="files", folder=tmp_path / "file" / "work"), ("a",))
    with pytest.raises(SwathError, match="cannot tell the classes"):
        may_send(Annotate(annotator="files", folder=tmp_path), ("a b", "a_b"))
    may_send(Annotate(annotator="simulated"), ("a b", "a_b"))


def test_a_camera_that_nobody_labels_is_not_missed(desk: Desk) -> None:
    """Its pictures are gone from every task: what is to be labelled is handed over whole, and nothing counts as skipped."""
    media = {**IMAGE_AND_CLOUD, "right": ".png"}
    work = work_of(*(desk.task(name, media=media) for name in ("a", "b")))
    for task in work.tasks:
        Path(task.media["right"]).unlink()
    assert {name for _, name, _ in desk.files.send(work)["unreadable"]} == {"right"}
    answers, notes = desk.fetch(work)
    assert {one.state for one in answers.values()} == {"unreviewed"}
    assert "skipped" not in notes
