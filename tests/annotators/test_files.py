"""Labels from a folder of KITTI files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from swath.annotators.base import Answer, Task, Work
from swath.annotators.files import Files
from swath.errors import ConfigError, SwathError
from swath.formats.kitti import Calibration, read_calibration

CALIBRATION = Calibration(
    p2=np.array([[360, 0, 310, 0], [0, 360, 94, 0], [0, 0, 1, 0]], float),
    p3=np.array([[360, 0, 310, -190], [0, 360, 94, 0], [0, 0, 1, 0]], float),
    r0=np.eye(3),
    velo_to_cam=np.array([[0, -1, 0, 0.01], [0, 0, -1, -0.08], [1, 0, 0, -0.27]], float),
)
CAR = "Car 0.00 0 0.0 200 80 290 130 1.5 1.6 3.9 -2.0 1.6 12.0 -1.57"
FLAT = "Car 0.00 0 0.0 300 80 390 130 -1 -1 -1 -1000 -1000 -1000 -10"
DONT_CARE = "DontCare -1 -1 -10 500 80 510 90 -1 -1 -1 -1000 -1000 -1000 -10"
OFF = "Car 0.00 0 0.0 900 80 990 130 -1 -1 -1 -1000 -1000 -1000 -10"
BUS = "Bus 0.00 0 0.0 200 80 290 130 2.5 2.6 9.9 -2.0 1.6 22.0 -1.57"


def task(key: str, calibration: Calibration | None = CALIBRATION, slot: int = 0) -> Task:
    return Task(f"id-{key}-{slot}", key, {"left": f"img/{key}.png"}, 620, 188, calibration, slot=slot)


def work(*keys: str, batch: str = "v0") -> Work:
    return Work(batch, batch, ("Car", "Pedestrian"), tuple(task(key) for key in keys))


def put(folder: Path, text: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text(text)


def fetch(folder: Path, of: Work) -> tuple[dict[tuple[str, str], Answer], tuple[str, ...]]:
    files = Files(folder)
    answers = files.fetch(of)
    return {(next(t.key for t in of.tasks if t.task == a.task), a.modality): a for a in answers}, files.notes


def test_send_writes_the_task_list(tmp_path: Path) -> None:
    """The task list names keys, media and sizes; the classes and a calibration that reads back are beside
    it."""
    Files(tmp_path).send(work("b", "a"))
    with (tmp_path / "v0" / "tasks.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [(r["key"], r["label"], r["left"], r["width"], r["height"]) for r in rows] == [
        ("a", "a.txt", "img/a.png", "620", "188"),
        ("b", "b.txt", "img/b.png", "620", "188"),
    ]
    assert (tmp_path / "v0" / "classes.txt").read_text() == "Car\nPedestrian\n"
    back = read_calibration(tmp_path / "v0" / "calib" / "a.txt")
    assert all(
        np.array_equal(getattr(back, n), getattr(CALIBRATION, n)) for n in ("p2", "p3", "r0", "velo_to_cam")
    )


def test_send_tells_nothing(tmp_path: Path) -> None:
    """What is sent holds no task id, and is the same bytes for any order of the tasks."""
    Files(tmp_path / "one").send(work("a", "b", "c"))
    Files(tmp_path / "two").send(work("c", "a", "b"))
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.*") if p.is_file()} for n in ("one", "two")
    )
    assert one == two
    assert not any(b"id-" in data for data in one.values())


def test_send_again_changes_nothing(tmp_path: Path) -> None:
    """Sending twice leaves every file as it was, labels that people have put there included."""
    Files(tmp_path).send(work("a"))
    put(tmp_path / "v0" / "label_2" / "a.txt", CAR)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()}
    Files(tmp_path).send(work("a"))
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()}


def test_four_states(tmp_path: Path) -> None:
    """A file with labels, an empty one, a line in skipped.txt and nothing at all are four different
    states."""
    put(tmp_path / "v0" / "label_2" / "full.txt", CAR)
    put(tmp_path / "v0" / "label_2" / "empty.txt", "\n")
    put(tmp_path / "v0" / "skipped.txt", "dark\n")
    answers, notes = fetch(tmp_path, work("full", "empty", "dark", "new"))
    states = {
        key: answers[key, kind].state for key in ("full", "empty", "dark", "new") for kind in ("2d", "3d")
    }
    assert states == {"full": "labeled", "empty": "reviewed_empty", "dark": "skipped", "new": "unreviewed"}
    assert notes == ()


def test_dont_care_is_no_object(tmp_path: Path) -> None:
    """A scene with DontCare regions only is empty."""
    put(tmp_path / "a.txt", DONT_CARE)
    answers, _ = fetch(tmp_path, work("a"))
    assert {a.state for a in answers.values()} == {"reviewed_empty"}


@pytest.mark.parametrize("place", ["v0/label_2", "label_2", "."])
def test_places(tmp_path: Path, place: str) -> None:
    """Labels are found in the batch's folder, in a plain label_2 and in the folder itself."""
    put(tmp_path / place / "a.txt", CAR)
    answers, _ = fetch(tmp_path, work("a"))
    assert answers["a", "3d"].state == "labeled"


def test_the_batch_comes_first(tmp_path: Path) -> None:
    """Where a scene has labels in two places, those of the batch are taken."""
    put(tmp_path / "label_2" / "a.txt", "")
    put(tmp_path / "v0" / "label_2" / "a.txt", CAR)
    answers, _ = fetch(tmp_path, work("a"))
    assert answers["a", "2d"].state == "labeled"


def test_cuboid_projects_into_its_box(tmp_path: Path) -> None:
    """The cuboid made from a line stands where the line says: its centre projects to the camera's own
    numbers."""
    put(tmp_path / "a.txt", CAR)
    answers, _ = fetch(tmp_path, work("a"))
    cuboids = answers["a", "3d"].cuboids
    assert cuboids is not None
    pixel, depth = CALIBRATION.project(cuboids.cuboids[:, :3])
    # location (-2, 1.6, 12) is the bottom's middle, half of 1.5 m below the centre.
    np.testing.assert_allclose(pixel[0], [310 - 360 * 2 / 12, 94 + 360 * (1.6 - 0.75) / 12])
    np.testing.assert_allclose(depth, 12)
    np.testing.assert_allclose(cuboids.cuboids[0, 3:6], [3.9, 1.6, 1.5])


def test_bad_lines_have_file_and_line(tmp_path: Path) -> None:
    """Bad lines are rejected with file:line in both modalities; the good line of the scene is kept."""
    put(tmp_path / "a.txt", f"Car 1 2 3\n\n{CAR}\n{OFF}\n{BUS}\n{CAR.replace('290', 'nan')}\n")
    answers, _ = fetch(tmp_path, work("a"))
    answer = answers["a", "2d"]
    assert answer.boxes is not None
    assert answer.boxes.classes == ("Car",)
    reasons = {bad.where.rsplit(":", 1)[1]: bad.reason for bad in answer.rejected}
    assert set(reasons) == {"1", "4", "5", "6"}
    assert "columns" in reasons["1"]
    assert "off the" in reasons["4"]
    assert "Bus" in reasons["5"]
    assert {bad.where.rsplit(":", 1)[1] for bad in answers["a", "3d"].rejected} == {"1", "5", "6"}


def test_only_bad_lines_are_not_an_empty_scene(tmp_path: Path) -> None:
    """Where every line was rejected somebody has to look again."""
    put(tmp_path / "a.txt", "Car 1 2 3\n")
    answers, _ = fetch(tmp_path, work("a"))
    assert {a.state for a in answers.values()} == {"unreviewed"}
    assert all(len(a.rejected) == 1 for a in answers.values())


def test_boxes_without_cuboids(tmp_path: Path) -> None:
    """2D lines alone leave 3D unreviewed, and a note says so; one cuboid among them is enough."""
    put(tmp_path / "flat.txt", FLAT)
    put(tmp_path / "both.txt", f"{FLAT}\n{CAR}\n")
    answers, notes = fetch(tmp_path, work("flat", "both"))
    assert answers["flat", "2d"].state == "labeled"
    assert answers["flat", "3d"].state == "unreviewed"
    assert any("1 scenes have labels without any cuboid" in note and "flat" in note for note in notes)
    assert answers["both", "3d"].cuboids is not None
    assert len(answers["both", "3d"].cuboids) == 1


def test_no_calibration(tmp_path: Path) -> None:
    """Without a calibration nobody can place a cuboid: 3D is skipped with the reason, and the box is kept."""
    put(tmp_path / "a.txt", CAR)
    answers, _ = fetch(tmp_path, Work("v0", "v0", ("Car",), (task("a", None),)))
    assert answers["a", "2d"].state == "labeled"
    assert answers["a", "3d"].state == "skipped"
    assert "no calibration" in answers["a", "3d"].rejected[0].reason


def test_nothing_found_is_said(tmp_path: Path) -> None:
    """Where no file matches, the note says where it looked and what is there instead."""
    put(tmp_path / "label_2" / "999.txt", CAR)
    answers, notes = fetch(tmp_path, work("a", "b"))
    assert {a.state for a in answers.values()} == {"unreviewed"}
    said = "\n".join(notes)
    assert str(tmp_path / "v0" / "label_2") in said
    assert str(tmp_path / "label_2") in said
    assert "999.txt" in said


def test_strays_are_counted(tmp_path: Path) -> None:
    """Files that belong to no scene of the batch, and unknown or doubtful skips, are reported."""
    put(tmp_path / "v0" / "label_2" / "a.txt", CAR)
    put(tmp_path / "v0" / "label_2" / "z.txt", CAR)
    put(tmp_path / "v0" / "label_2" / "a.xml", "")
    put(tmp_path / "v0" / "skipped.txt", "a\nnobody\n")
    answers, notes = fetch(tmp_path, work("a"))
    said = "\n".join(notes)
    assert answers["a", "2d"].state == "labeled"
    assert "2 files" in said
    assert "z.txt" in said
    assert "nobody" in said
    assert "the labels count: a" in said


def test_keys_that_are_no_file_names(tmp_path: Path) -> None:
    """Keys with folders in them get distinct label files inside the label folder."""
    batch = work("../../up", "day/1", "day_1", "day 1")
    Files(tmp_path).send(batch)
    with (tmp_path / "v0" / "tasks.csv").open() as table:
        names = [row["label"] for row in csv.DictReader(table)]
    assert len(set(names)) == 4
    assert all("/" not in name and not name.startswith(".") for name in names)
    for name in names:
        put(tmp_path / "v0" / "label_2" / name, CAR)
    answers, _ = fetch(tmp_path, batch)
    assert {a.state for a in answers.values()} == {"labeled"}


def test_one_opinion_only(tmp_path: Path) -> None:
    """Asking a folder for two labellings of one scene is refused: it would agree with itself."""
    twice = Work("v0", "v0", ("Car",), (task("a"), task("a", slot=1)))
    with pytest.raises(ConfigError, match="one opinion"):
        Files(tmp_path).send(twice)


def test_missing_folder(tmp_path: Path) -> None:
    """A folder that is not there is a user's mistake with the path in it."""
    with pytest.raises(SwathError, match="nowhere"):
        Files(tmp_path / "nowhere").fetch(work("a"))
