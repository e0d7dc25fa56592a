"""KITTI's object folder (`training/image_2` or `velodyne`, `label_2`, `calib`, `ImageSets`), and its result files read back.

A set of images has boxes, and no 3D numbers (-1, -1000, -10); a set of clouds has cuboids. Clouds get a calibration of their
own, the same for all: a camera that stands where the LiDAR stands and looks along its x axis. The labels of cuboids are then
exact (in the frame of a real camera, which leans, KITTI's upright objects would not be upright in the cloud), and whoever
reads them with `calib/` gets the LiDAR's frame back. Fusion with images is not what this folder is for.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, Final

import numpy as np

from swath.errors import FormatError
from swath.exports.base import PARTS, Read, inside, judged, lines, number, part, put_image
from swath.formats.damage import DamageError
from swath.formats.images import image_size
from swath.formats.kitti_records import (
    Calibration,
    KittiObject,
    from_cuboid,
    parse_object,
    read_lines,
    spelled,
    to_cuboid,
    write_objects,
)
from swath.formats.pcd import read_pcd
from swath.labels.clean import Rejected
from swath.labels.shapes import Boxes, Cuboids, Modality
from swath.trainers.base import TrainingSet

FOCAL, CENTRE = 700.0, (620.0, 190.0)  # px, of the camera that clouds get
CAMERA: Final = Calibration(
    p2=np.array([[FOCAL, 0, CENTRE[0], 0], [0, FOCAL, CENTRE[1], 0], [0, 0, 1, 0]], float),
    p3=np.array([[FOCAL, 0, CENTRE[0], 0], [0, FOCAL, CENTRE[1], 0], [0, 0, 1, 0]], float),
    r0=np.eye(3),
    velo_to_cam=np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]], float),
)
NO_BOX: Final = (0.0, 0.0, 1.0, 1.0)  # of a cuboid that no image shows
NOTHING: Final = ((-1.0, -1.0, -1.0), (-1000.0, -1000.0, -1000.0), -10.0)  # of a box without a cuboid


def write(data: TrainingSet, apart: Set[str], folder: Path) -> None:
    """See `exports.write`."""
    word_of = {name: word for word, name in spelled(data.classes).items()}
    write_media(data.media, data.modality, folder / "training")
    (folder / "training" / "label_2").mkdir()
    (folder / "ImageSets").mkdir()
    for row, (shapes, labels) in enumerate(zip(data.shapes, data.labels, strict=True)):
        names = [word_of[data.classes[label]] for label in labels]
        if data.modality == "2d":
            objects = _flat(inside(shapes, image_size(data.media[row], whole=False)), names)
        else:
            objects = _solid(shapes, names)
        write_objects(folder / "training" / "label_2" / f"{number(row)}.txt", objects)
    rows = {
        which: [row for row in range(len(data.media)) if part(data, apart, row) == which] for which in PARTS
    }
    for which, listed in rows.items():
        (folder / "ImageSets" / f"{which}.txt").write_text(lines(map(number, listed)))
    (folder / "classes.txt").write_text(lines(spelled(data.classes)))


def write_media(media: Sequence[str], modality: Modality, folder: Path) -> None:
    """`image_2/`, or `velodyne/` and `calib/`."""
    where = folder / ("image_2" if modality == "2d" else "velodyne")
    where.mkdir(parents=True)
    if modality == "3d":
        (folder / "calib").mkdir()
    for row, path in enumerate(media):
        if modality == "2d":
            put_image(path, where, number(row))
        else:
            read_pcd(Path(path)).astype("<f4").tofile(where / f"{number(row)}.bin")
            (folder / "calib" / f"{number(row)}.txt").write_text(_calibration())


def _calibration() -> str:
    rows = {
        **{f"P{i}": CAMERA.p2 for i in range(4)},
        "R0_rect": CAMERA.r0,
        "Tr_velo_to_cam": CAMERA.velo_to_cam,
        "Tr_imu_to_velo": np.eye(4)[:3],
    }
    return lines(
        f"{name}: {' '.join(f'{value:.12e}' for value in matrix.ravel())}" for name, matrix in rows.items()
    )


def _flat(boxes: np.ndarray, names: Sequence[str]) -> list[KittiObject]:
    sizes, location, turn = NOTHING
    return [
        KittiObject(name, 0.0, 0, -10.0, (x1, y1, x2, y2), sizes, location, turn, None)
        for name, (x1, y1, x2, y2) in zip(names, boxes.tolist(), strict=True)
        if x2 > x1 and y2 > y1
    ]


def _solid(cuboids: np.ndarray, names: Sequence[str]) -> list[KittiObject]:
    out = []
    for name, one in zip(names, cuboids, strict=True):
        sizes, location, turn = from_cuboid(one, CAMERA)
        out.append(KittiObject(name, 0.0, 0, -10.0, NO_BOX, sizes, location, turn, None))
    return out


def read(folder: Path, media: Sequence[str], classes: Sequence[str], modality: Modality) -> Read:
    """The results in `folder`: `000000.txt` for each medium, 16 columns, the last the score; a medium without a file has none,
    but one file must be there. Cuboids are in the frame of the folder's calibration."""
    class_of = spelled(classes)
    files = [folder / f"{number(row)}.txt" for row in range(len(media))]
    if media and not any(path.exists() for path in files):
        raise FormatError(
            f"{folder}: expected KITTI results, {files[0].name} to {files[-1].name}, found none of them"
        )
    known = {path.name for path in files}
    rejected = [
        Rejected(path.name, f"no medium of this name: expected {files[0].name} to {files[-1].name}")
        for path in sorted(folder.glob("*.txt"))
        if path.name not in known
    ]
    found: list[Any] = []
    for path, medium in zip(files, media, strict=True):
        objects, refused = _objects(path)
        rejected += refused
        names = tuple(class_of.get(one.label, one.label) for _, one in objects)
        scores, where = [one.score for _, one in objects], [at for at, _ in objects]
        if modality == "2d":
            boxes = np.array([one.box for _, one in objects], float).reshape(-1, 4)
            size = image_size(medium, whole=False)
            one, refused_ones = judged(Boxes(boxes, names), scores, classes, size, where)
        else:
            solid = [to_cuboid(one, CAMERA) if one.has_cuboid else np.full(9, np.nan) for _, one in objects]
            cuboids = np.array(solid, float).reshape(-1, 9)
            one, refused_ones = judged(Cuboids(cuboids, names), scores, classes, (1, 1), where)
        found.append(one)
        rejected += refused_ones
    return Read(tuple(found), tuple(rejected))


def _objects(path: Path) -> tuple[list[tuple[str, KittiObject]], list[Rejected]]:
    """(file:line, object) of each good line, and the others."""
    if not path.exists():
        return [], []
    good: list[tuple[str, KittiObject]] = []
    bad: list[Rejected] = []
    try:
        listed = read_lines(path)
    except DamageError as error:
        return [], [Rejected(path.name, str(error))]
    for line, words in listed:
        where = f"{path.name}:{line}"
        try:
            if len(words) != 16:
                raise ValueError(f"expected 16 columns, the last the score, got {len(words)}")
            good.append((where, parse_object(words)))
        except ValueError as error:
            bad.append(Rejected(where, str(error)))
    return good, bad
