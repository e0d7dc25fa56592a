"""Training sets as folders: each format read by somebody who knows it, and predictions read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from swath import exports
from swath.errors import ConfigError, FormatError
from swath.exports import kitti
from swath.formats.kitti_records import read_calibration, read_objects, to_cuboid
from swath.formats.pcd import write_pcd
from swath.kernels.detection3d import Predictions3D
from swath.trainers.base import TrainingSet

CLASSES = ("car", "traffic light")
BOXES = np.array([[10.0, 5.0, 30.0, 25.0], [40.0, 8.0, 70.0, 20.0]])
CUBOIDS = np.array(
    [[12.0, 3.0, -0.8, 4.0, 1.8, 1.5, 0, 0, 0.7], [25.0, -6.0, -0.9, 0.8, 0.6, 1.8, 0, 0, -2.9]]
)


@pytest.fixture
def images(tmp_path: Path) -> TrainingSet:
    """Three images of three drives, 64 x 32: two boxes (the second sticks out), none, and one."""
    paths = []
    for i in range(3):
        path = tmp_path / f"scene {i}.png"
        Image.fromarray(np.full((32, 64, 3), 40 * i, np.uint8)).save(path)
        paths.append(str(path))
    none = np.zeros((0, 4))
    return TrainingSet(
        tuple(paths),
        (BOXES, none, BOXES[:1]),
        (np.array([0, 1]), np.zeros(0, np.int64), np.array([1])),
        ("a", "b", "c"),
        CLASSES,
    )


@pytest.fixture
def clouds(tmp_path: Path) -> TrainingSet:
    """Two clouds of two drives."""
    points = np.random.default_rng(1).normal(0, 9, (50, 4)).astype(np.float32)
    paths = [tmp_path / f"{i}.pcd" for i in range(2)]
    for path in paths:
        write_pcd(path, points)
    return TrainingSet(
        tuple(map(str, paths)),
        (CUBOIDS, np.zeros((0, 9))),
        (np.array([0, 1]), np.zeros(0, np.int64)),
        ("a", "b"),
        CLASSES,
    )


def test_coco_is_what_pycocotools_reads(images: TrainingSet, tmp_path: Path) -> None:
    """Images with and without objects, categories from 1 in the order of the class map, boxes to the digit; drives apart are val."""
    exports.write("coco", images, {"c"}, tmp_path / "out")
    train, val = (COCO(str(tmp_path / "out" / "annotations" / f"{part}.json")) for part in ("train", "val"))
    assert sorted(train.imgs) == [1, 2]
    assert sorted(val.imgs) == [3]
    assert [one["name"] for one in train.loadCats([1, 2])] == list(CLASSES)
    found = train.loadAnns(train.getAnnIds(imgIds=[1]))
    assert [one["category_id"] for one in found] == [1, 2]
    x, y, width, height = np.array([one["bbox"] for one in found]).T
    np.testing.assert_array_equal(np.column_stack([x, y, x + width, y + height]), BOXES)
    assert train.getAnnIds(imgIds=[2]) == []
    ids = [one for part in (train, val) for one in part.anns]
    assert len(set(ids)) == len(ids) == 3
    for part in (train, val):
        for one in part.imgs.values():
            with Image.open(tmp_path / "out" / "images" / one["file_name"]) as image:
                assert image.size == (one["width"], one["height"]) == (64, 32)


def test_yolo_is_in_shares_of_the_image(images: TrainingSet, tmp_path: Path) -> None:
    """Class, centre and size as shares, cut to the image; an image without objects has an empty file; val is train's own where no
    drive is apart."""
    exports.write("yolo", images, frozenset(), tmp_path / "out")
    about = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert about["names"] == {0: "car", 1: "traffic light"}
    assert (about["train"], about["val"]) == ("images/train", "images/train")
    rows = [
        list(map(float, line.split()))
        for line in (tmp_path / "out" / "labels" / "train" / "000000.txt").read_text().splitlines()
    ]
    expected = [[0, 20 / 64, 15 / 32, 20 / 64, 20 / 32], [1, 52 / 64, 14 / 32, 24 / 64, 12 / 32]]
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert (tmp_path / "out" / "labels" / "train" / "000001.txt").read_text() == ""
    exports.write("yolo", images, {"a"}, tmp_path / "apart")
    assert yaml.safe_load((tmp_path / "apart" / "data.yaml").read_text())["val"] == "images/val"
    assert [one.name for one in (tmp_path / "apart" / "images" / "val").iterdir()] == ["000000.png"]


def test_kitti_holds_cuboids_to_a_micrometre(clouds: TrainingSet, tmp_path: Path) -> None:
    """Its labels and calibration, read as any KITTI folder is, are the cuboids of the LiDAR frame; clouds come as they were."""
    exports.write("kitti", clouds, {"b"}, tmp_path / "out")
    folder = tmp_path / "out" / "training"
    objects, damages = read_objects(folder / "label_2" / "000000.txt")
    calibration = read_calibration(folder / "calib" / "000000.txt")
    assert not damages
    assert [one.label for one in objects] == ["car", "traffic_light"]
    np.testing.assert_allclose([to_cuboid(one, calibration) for one in objects], CUBOIDS, atol=2e-6)
    assert np.fromfile(folder / "velodyne" / "000001.bin", "<f4").reshape(-1, 4).shape == (50, 4)
    assert (tmp_path / "out" / "ImageSets" / "train.txt").read_text() == "000000\n"
    assert (tmp_path / "out" / "ImageSets" / "val.txt").read_text() == "000001\n"


def test_kitti_images_have_boxes_alone(images: TrainingSet, tmp_path: Path) -> None:
    """Boxes cut to the image, and no 3D numbers: nobody takes them for cuboids."""
    exports.write("kitti", images, frozenset(), tmp_path / "out")
    objects, damages = read_objects(tmp_path / "out" / "training" / "label_2" / "000000.txt")
    assert not damages
    np.testing.assert_allclose([one.box for one in objects], np.minimum(BOXES, [64, 32, 64, 32]))
    assert not any(one.has_cuboid for one in objects)


def test_images_that_other_readers_see_otherwise_are_written_anew(tmp_path: Path) -> None:
    """Sixteen bits become eight and EXIF's turn is done, so that boxes fit what the tool reads; plain images are links."""
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((32, 64), 30000, np.uint16)).save(deep)
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(turned, exif=exif)
    plain = tmp_path / "plain.jpg"
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(plain)
    none = np.zeros((0, 4))
    data = TrainingSet(
        (str(deep), str(turned), str(plain)), (none,) * 3, (np.zeros(0, np.int64),) * 3, ("a",) * 3, CLASSES
    )
    exports.write("coco", data, frozenset(), tmp_path / "out")
    names = ["000000.png", "000001.png", "000002.jpg"]
    seen = [Image.open(tmp_path / "out" / "images" / name) for name in names]
    assert [one.size for one in seen] == [(64, 32), (32, 64), (64, 32)]
    assert [one.mode for one in seen] == ["RGB"] * 3
    assert seen[0].getpixel((0, 0)) == (117, 117, 117)  # 30000 / 257
    assert (tmp_path / "out" / "images" / names[2]).is_symlink()


def test_cuboids_are_kitti_alone(clouds: TrainingSet, tmp_path: Path) -> None:
    """Other formats cannot hold them: that is said before anything is written."""
    with pytest.raises(ConfigError, match="kitti alone, got 'coco'"):
        exports.write("coco", clouds, frozenset(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_written_comes_back_as_predictions(clouds: TrainingSet, tmp_path: Path) -> None:
    """Labels with a score added are predictions of the same cuboids, best first, classes with blanks included."""
    exports.write("kitti", clouds, frozenset(), tmp_path / "data")
    written = (tmp_path / "data" / "training" / "label_2" / "000000.txt").read_text().splitlines()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "000000.txt").write_text(f"{written[0]} 0.25\n{written[1]} 0.75\n")
    read = exports.read("kitti", tmp_path / "out", clouds.media, CLASSES, "3d")
    assert read.rejected == ()
    one, none = read.found
    assert isinstance(one, Predictions3D)
    np.testing.assert_allclose(one.cuboids, CUBOIDS[::-1], atol=2e-6)
    assert (one.scores.tolist(), one.labels.tolist()) == ([0.75, 0.25], [1, 0])
    assert len(none.scores) == 0


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}, "image_id: expected 1 to 3, got '0'"),
        ({"image_id": True, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}, "image_id"),
        ({"image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5], "score": 0.5}, "category_id: expected 1 to 2"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 1, 5], "score": 0.5}, "bbox: expected x, y, width, height"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 1, -5, 5], "score": 0.5}, "negative size"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 1, 0, 5], "score": 0.5}, "no area"),
        ({"image_id": 1, "category_id": 1, "bbox": [90, 1, 5, 5], "score": 0.5}, "entirely off the 64 x 32 image"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, float("nan")], "score": 0.5}, "not a finite number"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}, "score: expected a number from 0 to 1, got 'None'"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": float("nan")}, "score"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 1.5}, "score"),
        ([1, 2], "expected an object"),
    ],
)  # fmt: skip
def test_bad_results_are_refused_with_the_reason(
    images: TrainingSet, tmp_path: Path, entry: object, reason: str
) -> None:
    """One that cannot be right does not take the others with it, and says where it stood."""
    good = {"file_name": "images/000002.png", "category_id": 2, "bbox": [60, 1, 9, 5], "score": 0.5}
    (tmp_path / "predictions.json").write_text(json.dumps({"annotations": [entry, good]}))
    read = exports.read("coco", tmp_path, images.media, CLASSES, "2d")
    assert [len(one.scores) for one in read.found] == [0, 0, 1]
    np.testing.assert_array_equal(read.found[2].boxes, [[60, 1, 64, 6]])  # type: ignore[union-attr]
    (refused,) = read.rejected
    assert refused.where == "predictions.json[0]"
    assert reason in refused.reason


def test_results_that_are_not_there_are_said(images: TrainingSet, tmp_path: Path) -> None:
    """No file, no JSON, no list; no KITTI file at all; and a file of no medium."""
    with pytest.raises(FormatError, match="can't be read"):
        exports.read("coco", tmp_path, images.media, CLASSES, "2d")
    for text in ("{", "3", '{"annotations": 4}'):
        (tmp_path / "predictions.json").write_text(text)
        with pytest.raises(FormatError, match=r"COCO results|a list of results"):
            exports.read("coco", tmp_path, images.media, CLASSES, "2d")
    with pytest.raises(FormatError, match=r"000000.txt to 000002.txt, found none"):
        exports.read("kitti", tmp_path, images.media, CLASSES, "2d")
    (tmp_path / "000001.txt").write_text("")
    (tmp_path / "7.txt").write_text("")
    read = exports.read("kitti", tmp_path, images.media, CLASSES, "2d")
    assert [one.where for one in read.rejected] == ["7.txt"]


def test_the_clouds_camera_is_a_calibration() -> None:
    """It turns x forward, y left, z up into x right, y down, z forward, and nothing else."""
    linear, offset = kitti.CAMERA.to_rect()
    np.testing.assert_array_equal(linear @ np.array([1.0, 2.0, 3.0]) + offset, [-2, -3, 1])
