"""Rig folders: what is taken in, and what is named as damage; whatever lies there, nothing is raised."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from swath.formats.pcd import write_pcd
from swath.labels.calibration import camera
from swath.sources import make
from swath.sources.base import Found, Scan
from swath.sources.rig import MOST_ATTRIBUTES, MOST_DAMAGES, RESERVED

CHANNELS: dict[str, Any] = {
    "front": {"kind": "image", "labelled": True, "embed": True},
    "back": {"kind": "image"},
    "top": {"kind": "cloud", "labelled": True, "embed": False},
    "side": {"kind": "cloud"},
}
CAMERA = {
    "projection": [[50, 0, 20, 0], [0, 50, 10, 0], [0, 0, 1, 0]],
    "from_cloud": [[0, -1, 0, 0], [0, 0, -1, 0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]],
}
BOX = {"label": "Car", "box": [2, 3, 12.5, 14], "occluded": 1, "note": "by hand"}
CUBOID = {"label": "Lkw-größer", "cuboid": [9, 1, -1, 4, 1.6, 1.5, 0, 0, 0.3], "track": 7}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Scenes a and b with two cameras and two clouds, one of them .bin, calibrated, labelled, of two
    drives."""
    write(tmp_path / "rig.json", {"channels": CHANNELS, "primary": "front"})
    for number, key in enumerate("ab"):
        for name in ("front", "back"):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (40, 20), (9, 9, 99)).save(
                tmp_path / name / f"{key}.{'png' if number else 'jpg'}"
            )
        cloud = np.arange(12, dtype="<f4").reshape(3, 4)
        (tmp_path / "top").mkdir(exist_ok=True)
        write_pcd(tmp_path / "top" / f"{key}.pcd", cloud)
        write(tmp_path / "side" / f"{key}.bin", cloud.tobytes())
        write(tmp_path / f"labels/front/{key}.json", {"labels": [BOX]})
        write(tmp_path / f"labels/top/{key}.json", {"labels": [CUBOID, {**CUBOID, "label": "DontCare"}]})
        write(tmp_path / f"calibration/{key}.json", {"cameras": {"front": CAMERA, "back": CAMERA}})
    write(tmp_path / "drives.txt", "a one\nb two\n")
    write(tmp_path / "README.md", "files beside the folders are nobody's business")
    return tmp_path


def scan(root: Path) -> Scan:
    return make("rig", root).scan()


def told(root: Path) -> list[tuple[str, int | None, str]]:
    return [(one.file, one.line, one.reason) for one in scan(root).damages]


def scene(root: Path, key: str = "a") -> Found:
    return next(one for one in scan(root).scenes if one.key == key)


def test_a_whole_folder(root: Path) -> None:
    """Media, sizes, drives, cameras and labels are what the files say; nothing is damaged."""
    found = scan(root)
    assert found.damages == ()
    assert found.primary == "front"
    assert list(found.channels) == list(CHANNELS)
    assert found.channels["back"] == {"kind": "image", "labelled": False, "embed": False}
    one, two = found.scenes
    assert (one.key, one.sequence, two.key, two.sequence) == ("a", "one", "b", "two")
    assert one.media["front"] == (root / "front/a.jpg").resolve()
    assert one.sizes == {"front": (40, 20), "back": (40, 20)}
    np.testing.assert_array_equal(one.truth["front"].labels.shapes, [BOX["box"]])
    assert one.truth["front"].labels.classes == ("Car",)
    assert one.truth["front"].attributes == {"occluded": [1], "note": ["by hand"]}
    np.testing.assert_array_equal(one.truth["top"].labels.shapes, [CUBOID["cuboid"]])
    assert one.truth["top"].labels.classes == ("Lkw-größer",)
    assert one.dont_care["top"].labels.classes == ("DontCare",)
    assert set(one.truth) == {"front", "top"}
    assert set(one.dont_care) == {"top"}
    front = camera(one.calibration, "front")
    assert front is not None
    np.testing.assert_allclose(front.project([[10.3, 2, -1]])[0], [[20 - 2 * 5, 10 + 5 * 1.1]])


def test_clouds(root: Path) -> None:
    """A .bin is converted, a PCD used as it is, and one with points that aren't finite is converted too, and
    named."""
    source = make("rig", root)
    media = scene(root).media
    assert source.cloud(media["top"]) is None
    cloud = source.cloud(media["side"])
    assert cloud is not None
    assert cloud.shape == (3, 4)
    points = np.ones((5, 4), np.float32)
    points[1, 2], points[3, 0] = np.nan, np.inf
    write_pcd(root / "top/a.pcd", points)
    assert told(root) == [("top/a.pcd", None, "2 points are not finite and are left out")]
    cleaned = source.cloud(media["top"])
    assert cleaned is not None
    np.testing.assert_array_equal(cleaned, np.ones((3, 4)))


def test_one_calibration_for_all(root: Path) -> None:
    """calibration.json holds for scenes without a file of their own; without either a scene has none, and
    that is named."""
    other = {**CAMERA, "projection": [[80, 0, 20, 0], [0, 80, 10, 0], [0, 0, 1, 0]]}
    (root / "calibration/a.json").unlink()
    assert told(root) == [("calibration", None, "1 scenes have no calibration: a")]
    assert scene(root).calibration is None
    write(root / "calibration.json", {"cameras": {"front": other}})
    assert told(root) == []
    own, common = scene(root, "b").calibration, scene(root, "a").calibration
    assert own is not None
    assert common is not None
    assert set(own["cameras"]) == {"front", "back"}
    assert set(common["cameras"]) == {"front"}
    assert common["cameras"]["front"]["projection"] == other["projection"]


@pytest.mark.parametrize("kept", [["front", "back"], ["top"], ["back"], ["side"]])
def test_part_of_a_rig(root: Path, kept: list[str]) -> None:
    """Images alone and clouds alone are rigs; where nothing is labelled, what is shown is."""
    channels = {name: CHANNELS[name] for name in kept}
    write(root / "rig.json", {"channels": channels, "primary": kept[0]})
    shutil.rmtree(root / "calibration")
    for name in set(CHANNELS) - set(kept):
        shutil.rmtree(root / name)
        shutil.rmtree(root / "labels" / name, ignore_errors=True)
    found = scan(root)
    assert found.damages == ()
    assert found.primary == kept[0]
    assert found.channels[kept[0]]["labelled"] is True
    assert all(set(one.media) == set(kept) for one in found.scenes)


def test_changed_labels_change_the_digest(root: Path) -> None:
    """The digest is of the label files' bytes alone, of all channels."""
    before = {one.key: one.label_digest for one in scan(root).scenes}
    write(root / "labels/top/b.json", json.dumps({"labels": [CUBOID]}) + " ")
    after = {one.key: one.label_digest for one in scan(root).scenes}
    assert before["a"] == after["a"]
    assert before["b"] != after["b"]
    assert before["a"] == before["b"]  # the same labels
    for name in ("front", "top"):
        (root / f"labels/{name}/a.json").unlink()
    assert scene(root, "a").label_digest is None
    assert scene(root, "a").truth == {}


def test_an_empty_file_of_labels_says_that_nothing_is_there(root: Path) -> None:
    """No labels in a file are labels; no file is none."""
    write(root / "labels/front/a.json", {"labels": []})
    (root / "labels/front/b.json").unlink()
    assert len(scene(root, "a").truth["front"].labels) == 0
    assert "front" not in scene(root, "b").truth
    assert told(root) == []


# ---------------------------------------------------------------------- damage

LABELS = {
    "box: expected 4 numbers, got NaN among them": None,
    "box: expected 4 numbers, got nan, which is not finite, or above 1e+06": [1, 2, float("nan"), 4],
    "box: expected 4 numbers, got inf, which is not finite, or above 1e+06": [1, 2, 3, float("inf")],
    "box: expected 4 numbers, got 3 values": [1, 2, 3],
    "box: expected 4 numbers, got '3' among them": [1, 2, "3", 4],
    "box: expected 4 numbers, got True among them": [1, 2, True, 4],
    "box: expected 4 numbers, got 1e+400, which": [1, 2, 3, 10**400],
    "box: expected 4 numbers, got an object": {"x": 1},
    "box 5 5 2 9: negative size": [5, 5, 2, 9],
    "box 5 5 5 9: no area": [5, 5, 5, 9],
    "box 50 5 60 9: entirely off the 40 x 20 image": [50, 5, 60, 9],
}


def test_bad_boxes_are_named_and_good_ones_kept(root: Path) -> None:
    """Each bad box is one damage with its place in the file; the good ones around it are kept, in order."""
    bad = [value for value in LABELS.values() if value is not None]
    labels = [
        label
        for number, box in enumerate(bad)
        for label in ({**BOX, "n": number}, {"label": "Car", "box": box})
    ]
    write(root / "labels/front/a.json", {"labels": labels})
    found = told(root)
    assert scene(root).truth["front"].attributes["n"] == list(range(len(bad)))
    assert [file for file, _, _ in found] == ["labels/front/a.json"] * len(bad)
    for reason, place in zip(
        [name for name, value in LABELS.items() if value is not None], range(1, 2 * len(bad), 2), strict=True
    ):
        said = reason.replace("got 1e+400", "got a very large number")
        assert any(one.startswith(f"labels[{place}]: {said}") for _, _, one in found), (place, said)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("text", "expected label and cuboid, got 'text'"),
        ({"label": "Car"}, r"expected a cuboid, as labels of a cloud have, got a list of 1 \('label'"),
        ({"label": "Car", "box": [1, 2, 3, 4]}, "expected a cuboid"),
        ({**CUBOID, "box": [1, 2, 3, 4]}, "expected a cuboid"),
        (
            {"cuboid": CUBOID["cuboid"]},
            "label: expected a class name of at most 64 printable characters, got None",
        ),
        ({**CUBOID, "label": ""}, "label: expected a class name"),
        ({**CUBOID, "label": "C" * 65}, "label: expected a class name"),
        ({**CUBOID, "label": "a\x1b[31m"}, r"got 'a\\x1b\[31m'"),
        ({**CUBOID, "label": "\ud800"}, "label: expected a class name"),
        ({**CUBOID, "cuboid": [0] * 8}, "cuboid: expected 9 numbers, got 8 values"),
        ({**CUBOID, "cuboid": [9, 1, -1, 4, 0, 1.5, 0, 0, 0]}, "cuboid size 4 0 1.5: no volume"),
        ({**CUBOID, "cuboid": [9, 1, -1, 4, -1, 1.5, 0, 0, 0]}, "cuboid size 4 -1 1.5: negative"),
    ],
)
def test_bad_labels(root: Path, label: Any, says: str) -> None:
    """What is no label is named and left out."""
    write(root / "labels/top/a.json", {"labels": [label, CUBOID]})
    ((file, line, reason),) = told(root)
    assert (file, line) == ("labels/top/a.json", None)
    assert re.search(rf"^labels\[0\]: .*{says}", reason), reason
    assert reason.endswith("; the label is left out")
    assert reason.isprintable()
    assert len(scene(root).truth["top"].labels) == 1


def test_attributes(root: Path) -> None:
    """Plain values are kept, None where a label has none; names that are taken, lists and what no database
    holds are named."""
    bad: dict[str, Any] = {name: 1 for name in sorted(RESERVED - {"label"})}
    bad |= {"_id": 1, "a.b": 1, "$x": 1, "1a": 1, "größe": 1, "n" * 65: 1}
    bad |= {
        "listed": [1],
        "deep": {"a": 1},
        "huge": 2**63,
        "nan": float("nan"),
        "long": "x" * 1001,
        "odd": "\ud800",
    }
    good = {"occluded": 2, "score": 0.5, "name": "Ä\n", "flag": True, "none": None}
    write(
        root / "labels/front/a.json",
        {"labels": [{"label": "Car", "box": BOX["box"], **good}, {**BOX, **dict(list(bad.items())[:18])}]},
    )
    write(root / "labels/front/b.json", {"labels": [{**BOX, **dict(list(bad.items())[18:])}]})
    found = scene(root).truth["front"]
    assert len(found.labels) == 2
    assert found.attributes == {
        **{name: [value, None] for name, value in good.items()},
        "occluded": [2, 1],
        "note": [None, "by hand"],
    }
    assert len(told(root)) == len(bad)
    assert all("is left out: expected" in reason for _, _, reason in told(root))
    assert set(scene(root, "b").truth["front"].attributes) == {"occluded", "note"}


def test_endless_lists_of_damage_are_cut(root: Path) -> None:
    """Of one file the first damages are listed and the rest counted; a flood of attributes is cut too."""
    write(root / "labels/front/a.json", {"labels": [1] * 5000})
    found = told(root)
    assert len(found) == MOST_DAMAGES + 1
    assert ("labels/front/a.json", None, f"{5000 - MOST_DAMAGES} more things are wrong in it") in found
    write(root / "labels/front/a.json", {"labels": [{**BOX, f"a{number}": number} for number in range(500)]})
    assert len(scene(root).truth["front"].attributes) == MOST_ATTRIBUTES
    assert len(scene(root).truth["front"].labels) == 500


BAD_JSON: dict[str, tuple[bytes, int | None, str]] = {
    "empty": (b"", 1, "expected JSON, but expecting value"),
    "cut": (b'{"labels":\n [{"label"', 2, "expected JSON, but "),
    "binary": (b"\x89PNG\r\n\x1a\n\xff\xfe", None, "expected JSON in UTF-8, got other bytes"),
    "deep": (b"[" * 500_000, None, "expected JSON that is less deep"),
    "deep objects": (b'{"labels":' * 100_000, None, "expected JSON that is less deep"),
    "digits": (b"1" * 100_000, None, "expected JSON, but a number in it has thousands of digits"),
    "huge": (b" " * (8 * 2**20 + 1), None, "expected at most 8,388,608 bytes, it is larger"),
    "list": (b"[1, 2]", None, "expected {"),
    "null": (b"null", None, "expected {"),
    "wrong": (b'{"labels": {"a": 1}, "cameras": [], "channels": []}', None, "expected {"),
}


@pytest.mark.parametrize("name", BAD_JSON)
@pytest.mark.parametrize(
    "file", ["labels/front/a.json", "labels/top/b.json", "calibration/a.json", "rig.json"]
)
def test_bad_json(root: Path, file: str, name: str) -> None:
    """A file that is no JSON, endless, deep or of another shape is one damage, with the line where there is
    one."""
    content, line, says = BAD_JSON[name]
    write(root / file, content)
    found = told(root)
    assert len(found) == 1
    assert found[0][:2] == (file, line)
    assert found[0][2].startswith(says)
    if file == "rig.json":
        result = scan(root)
        assert (result.scenes, result.channels, result.primary) == ((), {}, "")
    else:
        assert len(scan(root).scenes) == 2


def test_text_with_a_mark_is_read(root: Path) -> None:
    """A byte-order mark, as editors on Windows write it, does no harm."""
    for file in ("rig.json", "labels/front/a.json", "calibration/a.json", "drives.txt"):
        write(root / file, b"\xef\xbb\xbf" + (root / file).read_bytes())
    assert told(root) == []
    assert scene(root).sequence == "one"


def test_rig_json_is_read_with_care(root: Path) -> None:
    """Names that would lead elsewhere, kinds that aren't, keys that nobody knows and a primary that isn't are
    named; the other channels are used."""
    odd: dict[str, Any] = {
        name: {"kind": "image"} for name in ("../x", "a/b", "", ".", "labels", "calibration", "x" * 65, "a.b")
    }
    odd |= {"radar": {"kind": "radar"}, "lost": 3, "none": {}}
    extra = {**CHANNELS, "front": {**CHANNELS["front"], "fps": 10, "labelled": "yes"}}
    write(root / "rig.json", {"channels": {**odd, **extra}, "primary": "middle", "version": 2})
    found = told(root)
    assert len(found) == len(odd) + 4
    reasons = " | ".join(reason for _, _, reason in found)
    for part in (
        "unknown key 'version'; expected channels, primary",
        "channel '../x' is left out: expected a name",
        "channel radar is left out: expected the kind image or cloud, got 'radar'",
        "channel lost is left out: expected the kind image or cloud, got 3",
        "channel none is left out: expected the kind image or cloud, got None",
        "channel front: unknown key 'fps'; expected kind, labelled, embed",
        "channel front: labelled: expected true or false, got 'yes'; false is taken",
        "primary: expected one of front, back, top, side, got 'middle'",
    ):
        assert part in reasons
    result = scan(root)
    assert set(result.channels) == set(CHANNELS)
    assert result.primary == "top"  # the first that is labelled
    assert len(result.scenes) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (3, "camera front is left out: expected projection and from_cloud, got 3"),
        ({"projection": CAMERA["projection"]}, "from_cloud: expected 4 rows of 4 numbers, got None"),
        (
            {**CAMERA, "projection": [[1, 2], [3, 4]]},
            "projection: expected 3 rows of 4 numbers, got a list of 2",
        ),
        ({**CAMERA, "projection": [[1, 2, 3]] * 3}, "projection: expected 4 numbers, got 3 values"),
        ({**CAMERA, "projection": [[float("nan"), 0, 0, 0]] * 3}, "projection: .*nan, which is not finite"),
        ({**CAMERA, "from_cloud": (2 * np.eye(4)).tolist()}, "from_cloud: expected a rotation"),
        ({**CAMERA, "from_cloud": np.diag([1, 1, -1, 1]).tolist()}, "from_cloud: expected a rotation"),
        ({**CAMERA, "from_cloud": [*np.eye(4).tolist()[:3], [1, 2, 3, 1]]}, "last row 0 0 0 1"),
    ],
)
def test_bad_cameras(root: Path, change: Any, says: str) -> None:
    """A camera that can't be one is named and left out; the other one stays."""
    write(root / "calibration/a.json", {"cameras": {"front": change, "back": CAMERA}})
    ((file, _, reason),) = told(root)
    assert file == "calibration/a.json"
    assert re.search(says, reason), reason
    calibration = scene(root).calibration
    assert calibration is not None
    assert set(calibration["cameras"]) == {"back"}


def test_odd_keys_of_cameras(root: Path) -> None:
    """Cameras of no image, and keys that nobody knows, are named; known cameras are kept."""
    cameras = {"front": {**CAMERA, "distortion": [0.1]}, "roof": CAMERA, "top": CAMERA}
    write(root / "calibration/a.json", {"cameras": cameras, "date": "today"})
    assert {reason for _, _, reason in told(root)} == {
        "unknown key 'date'; expected cameras",
        "camera front: 'distortion' is not used; expected projection, from_cloud",
        "camera 'roof' is left out: no image channel of rig.json has this name",
        "camera 'top' is left out: no image channel of rig.json has this name",
    }
    calibration = scene(root).calibration
    assert calibration is not None
    assert set(calibration["cameras"]) == {"front"}


def test_damaged_media(root: Path) -> None:
    """A damaged image or cloud is named and missing from its scene; a scene without any is left out."""
    write(root / "front/a.jpg", (root / "front/a.jpg").read_bytes()[:60])
    write(root / "top/a.pcd", b"# .PCD\n")
    write(root / "side/a.bin", b"\0" * 33)
    one = scene(root)
    assert set(one.media) == {"back"}
    assert set(one.truth) == set()
    assert one.label_digest is not None
    assert [file for file, _, _ in told(root)] == ["front/a.jpg", "side/a.bin", "top/a.pcd"]
    write_pcd(root / "top/a.pcd", np.zeros((0, 4), np.float32))
    assert told(root)[-1] == ("top/a.pcd", None, "expected points, but none of 0 is finite")
    write(root / "back/a.jpg", b"")
    assert told(root)[0] == ("*/a", None, "scene left out: no image or cloud of it can be used")
    assert [one.key for one in scan(root).scenes] == ["b"]


@pytest.mark.parametrize(
    "header",
    [
        "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nPOINTS 99999999999999999999999999\nDATA binary\n",
        "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nPOINTS -3\nDATA binary\n",
        "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 9999999999 1 1\nPOINTS 1\nDATA binary\n",
        "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 3 3 3\nPOINTS 1\nDATA ascii\n1 2 3\n",
        "FIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 2 2 2 2\nPOINTS 0\nDATA binary\n",
        "FIELDS x x z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nPOINTS 1\nDATA ascii\n1 2 3\n",
        "FIELDS\nSIZE\nTYPE\nPOINTS\nDATA\n",
        "DATA binary\n" * 400,
    ],
)
def test_hostile_pcd_files(root: Path, header: str) -> None:
    """Headers that lie are damage, whatever they promise."""
    write(root / "top/a.pcd", header)
    ((file, _, reason),) = told(root)
    assert file == "top/a.pcd"
    assert reason.startswith("expected")


def test_what_does_not_belong(root: Path) -> None:
    """Files of other kinds, doubles, folders of no channel, labels and calibrations of no scene, and gaps are
    named."""
    write(root / "front/Thumbs.db", b"\0")
    shutil.copy(root / "front/b.png", root / "front/a.png")
    (root / "back/a.jpg").unlink()
    (root / "cam7").mkdir()
    (root / ".git").mkdir()
    write(root / "labels/cam7/a.json", {"labels": []})
    write(root / "labels/front/zz.json", {"labels": []})
    write(root / "labels/side/a.txt", "x")
    write(root / "calibration/zz.json", {"cameras": {}})
    write(root / "drives.txt", "a one\nzz two\n")
    assert told(root) == [
        ("back", None, "1 scenes have no file: a"),
        ("calibration/zz.json", None, "not used: no image or cloud is named zz"),
        ("cam7", None, "not used: rig.json has no channel of this name"),
        ("drives.txt", None, "1 frames are not listed and have no drive: b"),
        ("drives.txt", 2, "not used: no image or cloud is named zz"),
        ("front/Thumbs.db", None, "unexpected: expected files that end in .png or .jpg or .jpeg"),
        ("front/a.png", None, "unexpected: a.jpg is there too, and is used"),
        ("labels/cam7", None, "not used: rig.json has no channel of this name"),
        ("labels/front/zz.json", None, "not used: the channel front has no file named zz"),
        ("labels/side/a.txt", None, "unexpected: expected files that end in .json"),
    ]
    assert "back" not in scene(root, "a").media
    shutil.rmtree(root / "side")
    assert ("side", None, "missing: no such folder") in told(root)
    assert set(scan(root).channels) == {"front", "back", "top"}


names = st.sampled_from(
    [
        "label",
        "box",
        "cuboid",
        "labels",
        "channels",
        "kind",
        "front",
        "cameras",
        "projection",
        "from_cloud",
        "x",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(rig=st.none() | values, labels=values, cuboids=values, calibration=values)
def test_nothing_is_raised(
    tmp_path_factory: pytest.TempPathFactory, rig: Any, labels: Any, cuboids: Any, calibration: Any
) -> None:
    """Whatever JSON says, at any depth, a scan ends: each file is used or named, and every damage can be
    printed."""
    root = tmp_path_factory.mktemp("any")
    write(root / "rig.json", {"channels": CHANNELS, "primary": "front"} if rig is None else rig)
    for name in CHANNELS:
        (root / name).mkdir()
    Image.new("L", (8, 4)).save(root / "front/a.png")
    write_pcd(root / "top/a.pcd", np.ones((1, 4), np.float32))
    write(root / "labels/front/a.json", {"labels": [labels, {"label": "Car", "box": labels}]})
    write(root / "labels/top/a.json", {"labels": cuboids})
    write(root / "calibration/a.json", {"cameras": {"front": calibration}})
    found = scan(root)
    assert len(found.scenes) == (1 if rig is None or found.channels else 0)
    assert all(str(one).isprintable() for one in found.damages)
    for one in found.scenes:
        for labelled in one.truth.values():
            assert np.isfinite(labelled.labels.shapes).all()
