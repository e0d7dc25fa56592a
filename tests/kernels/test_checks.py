"""Each planted fault is found by its rule, and clean scenes give no findings."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.formats.kitti import read_cloud, scan, to_cuboid
from swath.kernels import boxes as box_kernel
from swath.kernels import checks, doubts
from swath.kernels.checks import RULES, Finding, check_across, check_boxes, check_cuboids
from swath.kernels.doubts import RULE
from swath.kernels.ground import ground_height
from swath.kernels.sight import projected
from swath.kernels.sizes import KITTI
from swath.policies import checks as policy
from swath.worlds.make import make_world

WIDTH, HEIGHT = 1240, 376
CLASSES = tuple(KITTI)
GROUND = -1.73

# Apart in the image and on the road: a car, a van, a pedestrian.
NAMES = ["Car", "Van", "Pedestrian"]
CUBOIDS = np.array(
    [
        [14.0, 5, GROUND + 0.75, 3.9, 1.6, 1.5, 0, 0, 0.1],
        [22.0, -5, GROUND + 1.1, 5.0, 1.9, 2.2, 0, 0, -2.0],
        [12.0, -1, GROUND + 0.9, 0.8, 0.6, 1.8, 0, 0, 1.5],
    ]
)


def project(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A camera at the sensor that looks along x, with a focal length of 720 px."""
    depth = points[:, 0]
    ahead = np.where(depth > 0, depth, np.nan)
    pixels = np.c_[620 - 720 * points[:, 1] / ahead, 188 - 720 * points[:, 2] / ahead]
    return pixels, depth


def make_cloud(cuboids: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """Ground on a grid of 0.5 m, rising by `slope`, and points on the outlines of the cuboids."""
    x, y = np.meshgrid(np.arange(-40, 60, 0.5), np.arange(-30, 30, 0.5))
    ground = np.c_[x.ravel(), y.ravel(), GROUND + slope * x.ravel()]
    around = np.linspace(0, 2 * math.pi, 60)
    bodies = [
        np.c_[a + 0.3 * np.cos(around), b + 0.3 * np.sin(around), np.full(60, c)]
        for a, b, c in cuboids[:, :3]
    ]
    return np.concatenate([ground, *bodies])


CLOUD = make_cloud(CUBOIDS)
BOXES = projected(CUBOIDS, project)[0]


def rules(findings: tuple[Finding, ...]) -> set[tuple[str, int | None]]:
    return {(finding.rule, finding.object) for finding in findings}


def in_2d(boxes: np.ndarray, names: list[str] | None = None) -> set[tuple[str, int | None]]:
    return rules(check_boxes(boxes, names or ["Car"] * len(boxes), CLASSES, WIDTH, HEIGHT))


def in_3d(cuboids: np.ndarray, names: list[str] = NAMES, cloud: np.ndarray | None = CLOUD) -> set[object]:
    return set(rules(check_cuboids(cuboids, names, CLASSES, cloud)))


def across(
    boxes: np.ndarray, names: list[str], cuboids: np.ndarray, cuboid_names: list[str]
) -> set[tuple[str, str, int | None]]:
    found = check_across(boxes, names, cuboids, cuboid_names, project, WIDTH, HEIGHT)
    return {(finding.rule, finding.modality, finding.object) for finding in found}


def changed(row: int, column: int, value: float) -> np.ndarray:
    table = CUBOIDS.copy()
    table[row, column] = value
    return table


def test_clean_scene() -> None:
    """A scene that is right has no findings at all."""
    assert in_2d(BOXES, NAMES) == set()
    assert in_3d(CUBOIDS) == set()
    assert across(BOXES, NAMES, CUBOIDS, NAMES) == set()


@pytest.mark.parametrize(
    ("box", "rule"),
    [
        ([np.nan, 0, 10, 10], "degenerate"),
        ([50, 50, 50, 90], "degenerate"),
        ([90, 50, 60, 90], "degenerate"),
        ([1300, 50, 1390, 90], "off_image"),
        ([-60, 50, 50, 90], "off_image"),
        ([100, 50, 101, 90], "size"),
        ([1, 1, 1239, 375], "size"),
        ([100, 50, 600, 90], "aspect"),
        (BOXES[0] + 0.5, "duplicate"),
    ],
)
def test_planted_in_2d(box: list[float], rule: str) -> None:
    """A fourth box with one fault is found by its rule, and nothing is said of the other three."""
    names = [*NAMES, "Car"]
    assert {row for _, row in in_2d(np.vstack([BOXES, box]), names)} == {3}
    assert rule in {name for name, _ in in_2d(np.vstack([BOXES, box]), names)}


def test_severity_off_image() -> None:
    """Outside is an error, sticking out a warning, two pixels over the edge nothing."""
    boxes = np.array([[-50, 50, -10, 90], [-60, 50, 50, 90], [-2, 50, 50, 90]], float)
    found = check_boxes(boxes, ["Car", "Van", "Tram"], CLASSES, WIDTH, HEIGHT)
    assert [(f.object, f.severity) for f in found if f.rule == "off_image"] == [(0, "error"), (1, "warning")]


def test_duplicates_need_the_same_class() -> None:
    """The same box with two classes is a person on a bicycle, not a duplicate."""
    assert in_2d(BOXES[[0, 0]], ["Car", "Car"]) == {("duplicate", 1)}
    assert in_2d(BOXES[[0, 0]], ["Pedestrian", "Cyclist"]) == set()


def test_cut_objects_may_be_narrow() -> None:
    """A narrow strip at the image's edge is an object that is cut off; in the middle it is implausible."""
    strip = np.array([[0, 50, 10, 200], [600, 50, 610, 200]], float)
    assert in_2d(strip, ["Car", "Van"]) == {("aspect", 1)}


def test_no_labels() -> None:
    """An empty image, an empty cloud and two empty sides are nothing: there are such scenes."""
    assert check_boxes([], [], CLASSES, WIDTH, HEIGHT) == ()
    assert check_cuboids([], [], CLASSES, CLOUD) == ()
    assert check_across([], [], [], [], project, WIDTH, HEIGHT) == ()


def test_unknown_class() -> None:
    """A class outside the map is an error in either modality."""
    assert ("unknown_class", 1) in in_2d(BOXES, ["Car", "Bus", "Pedestrian"])
    assert ("unknown_class", 1) in in_3d(CUBOIDS, ["Car", "Bus", "Pedestrian"])


@pytest.mark.parametrize(
    ("row", "column", "value", "rule"),
    [
        (0, 0, np.nan, "degenerate"),
        (0, 3, 0.0, "degenerate"),
        (0, 4, -1.6, "degenerate"),
        (0, 3, 12.0, "size"),
        (2, 5, 4.0, "size"),
        (1, 6, 0.6, "tilt"),
        (1, 7, -0.6, "tilt"),
        (0, 8, -7.0, "yaw_range"),
        (0, 8, 90.0, "yaw_range"),
        (0, 2, GROUND + 0.75 + 0.9, "off_ground"),
        (0, 2, GROUND + 0.75 - 0.9, "off_ground"),
        (0, 1, 12.0, "no_points"),
    ],
)
def test_planted_in_3d(row: int, column: int, value: float, rule: str) -> None:
    """One number of one cuboid is wrong: its rule finds it, and nothing is said of the others."""
    found = in_3d(changed(row, column, value))
    assert (rule, row) in found
    assert {at for _, at in found} == {row}  # type: ignore[misc]


def test_length_and_width_swapped() -> None:
    """A car that is wider than long is said to have them swapped; a pedestrian may be."""
    table = CUBOIDS.copy()
    table[:, [3, 4]] = table[:, [4, 3]]
    assert {("aspect", 0), ("aspect", 1)} == {one for one in in_3d(table) if one[0] == "aspect"}  # type: ignore[index]


def test_no_points_and_the_line_of_sight() -> None:
    """An empty cuboid that the sensor sees through is an error; one hidden by a wall, or out of range, is nothing."""
    cuboid = np.array([[20.0, 0, GROUND + 0.75, 3.9, 1.6, 1.5, 0, 0, 0]])
    y, z = (axis.ravel() for axis in np.meshgrid(np.linspace(-5, 5, 60), np.linspace(-1.7, 1, 20)))
    ground = CLOUD[CLOUD[:, 2] == GROUND]
    severities = {}
    for name, wall in (("behind", 40.0), ("before", 10.0), ("none", None)):
        face = np.zeros((0, 3)) if wall is None else np.c_[np.full(len(y), wall), y * wall / 10, z]
        found = check_cuboids(cuboid, ["Car"], CLASSES, np.r_[ground[ground[:, 0] < 18], face])
        severities[name] = [finding.severity for finding in found if finding.rule == "no_points"]
    assert severities == {"behind": ["error"], "before": [], "none": []}


def test_two_things_in_one_place() -> None:
    """A second cuboid where one stands is a duplicate whatever its class; two cars nose to tail are not."""
    double = np.vstack([CUBOIDS, CUBOIDS[0] + [0.3, 0.2, 0, 0, 0, 0, 0, 0, 0]])
    behind = np.vstack([CUBOIDS, CUBOIDS[0] + [4.2, 0, 0, 0, 0, 0, 0, 0, 0]])
    assert ("duplicate", 3) in in_3d(double, [*NAMES, "Van"])
    assert not [one for one in in_3d(behind, [*NAMES, "Car"]) if one[0] == "duplicate"]  # type: ignore[index]


def test_without_a_cloud() -> None:
    """Without points the rules that need them are silent, the others are not."""
    for cloud in (None, np.zeros((0, 4)), np.full((3, 4), np.nan)):
        assert in_3d(changed(0, 2, 9.0), cloud=cloud) == set()
        assert in_3d(changed(0, 8, 9.0), cloud=cloud) == {("yaw_range", 0)}


@pytest.mark.parametrize("slope", [-0.05, 0.0, 0.08])
def test_ground_height(slope: float) -> None:
    """The ground is found to 5 cm on level roads and on hills, beside objects and away from them."""
    cuboids = CUBOIDS.copy()
    cuboids[:, 2] += slope * cuboids[:, 0]
    cloud = make_cloud(cuboids, slope)
    places = np.array([[14.0, 5], [35, -10], [-20, 8], [55, 20]])
    np.testing.assert_allclose(ground_height(cloud, places), GROUND + slope * places[:, 0], atol=0.05)
    assert in_3d(cuboids, cloud=cloud) == set()


def test_unknown_ground() -> None:
    """Where there are no points far around, no height is claimed, and nothing floats."""
    assert np.isnan(ground_height(CLOUD, np.array([[90.0, 0]]))).all()
    assert np.isnan(ground_height(CLOUD[:4], np.array([[10.0, 0]]))).all()


def test_planted_across() -> None:
    """A missing box, a missing cuboid, another class and a box elsewhere are each found, on the label
    concerned."""
    assert across(BOXES[1:], NAMES[1:], CUBOIDS, NAMES) == {("missing_2d", "3d", 0)}
    assert across(BOXES, NAMES, CUBOIDS[:2], NAMES[:2]) == {("missing_3d", "2d", 2)}
    assert across(BOXES, ["Car", "Truck", "Pedestrian"], CUBOIDS, NAMES) == {("class_mismatch", "2d", 1)}
    moved = BOXES.copy()
    moved[0, [0, 2]] += 0.5 * (moved[0, 2] - moved[0, 0])
    assert across(moved, NAMES, CUBOIDS, NAMES) == {("poor_overlap", "2d", 0)}


@pytest.mark.parametrize(
    "cuboid",
    [
        [-14.0, 2, GROUND + 0.75, 3.9, 1.6, 1.5, 0, 0, 0],  # behind the camera
        [10.0, 25, GROUND + 0.75, 3.9, 1.6, 1.5, 0, 0, 0],  # beside the image
        [90.0, 3, GROUND + 0.75, 3.9, 1.6, 1.5, 0, 0, 0],  # 12 px high
        [1.0, 2, GROUND + 0.75, 3.9, 1.6, 1.5, 0, 0, 0],  # around the camera's plane
        [24.0, 9, GROUND + 0.75, 3.9, 1.6, 1.5, 0, 0, 0.1],  # behind the first car
        [np.nan, 2, 0, 3.9, 1.6, 1.5, 0, 0, 0],
    ],
)
def test_what_the_image_does_not_show_needs_no_box(cuboid: list[float]) -> None:
    """A cuboid behind the camera, out of the image, tiny, or hidden by a nearer one is no finding."""
    assert across(BOXES, NAMES, np.vstack([CUBOIDS, cuboid]), [*NAMES, "Car"]) == set()


def test_right_image() -> None:
    """A cuboid that the left image shows and the right one doesn't is no finding in the right one."""

    def right(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels, depth = project(points)
        return pixels - [1100, 0], depth

    assert check_across([], [], CUBOIDS[:1], ["Car"], right, WIDTH, HEIGHT, image="right") == ()
    (finding,) = check_across([], [], CUBOIDS[:1], ["Car"], project, WIDTH, HEIGHT)
    assert finding.rule == "missing_2d"


def test_projection_is_cut_at_the_camera() -> None:
    """A cuboid that begins behind the camera has the box of its part 0.5 m and more before it."""
    boxes, cut, depth = projected([[1.0, 2, 0, 4, 1, 1, 0, 0, 0]], project)
    # x from 0.5 to 3, y from 1.5 to 2.5, z from -0.5 to 0.5; u = 620 - 720 y / x.
    np.testing.assert_allclose(boxes, [[620 - 720 * 5, 188 - 720, 620 - 720 * 0.5, 188 + 720]])
    assert cut.tolist() == [True]
    assert depth.tolist() == [1.0]


@settings(max_examples=100, deadline=None)
@given(st.floats(8, 60), st.floats(-0.6, 0.6), st.floats(-math.pi, math.pi), st.sampled_from(sorted(KITTI)))
def test_mean_sizes_are_plausible(x: float, side: float, yaw: float, name: str) -> None:
    """A cuboid of a class's mean size, standing on the ground with points inside, has no findings
    anywhere."""
    length, width, height = KITTI[name].mean
    cuboid = np.array([[x, side * x, GROUND + height / 2, length, width, height, 0, 0, yaw]])
    assert in_3d(cuboid, [name], make_cloud(cuboid)) == set()
    box = box_kernel.clip(projected(cuboid, project)[0], WIDTH, HEIGHT)
    assert across(box, [name], cuboid, [name]) == set()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(width=32), min_size=9, max_size=9), max_size=4))
def test_any_numbers(rows: list[list[float]]) -> None:
    """Whatever numbers a label holds, the checks answer: known rules, rows that exist, evidence in words."""
    cuboids = np.array(rows, float).reshape(-1, 9)
    names = ["Car"] * len(rows)
    with np.errstate(all="ignore"):
        found = [
            *check_boxes(cuboids[:, :4], names, CLASSES, WIDTH, HEIGHT),
            *check_cuboids(cuboids, names, CLASSES, CLOUD[::50]),
            *check_across(cuboids[:, :4], names, cuboids, names, project, WIDTH, HEIGHT),
        ]
    for finding in found:
        assert finding.rule in RULES
        assert finding.object is None or 0 <= finding.object < len(rows)
        assert finding.evidence


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """The labels, projection, size and cloud of 16 made scenes."""
    root = tmp_path_factory.mktemp("world")
    make_world(root, scenes=16, seed=5, scale=0.5)
    scenes: list[tuple[object, ...]] = []
    for frame in scan(root).frames:
        objects = [item for item in frame.objects or () if item.label != "DontCare"]
        assert frame.calibration is not None
        assert frame.cloud is not None
        names = [item.label for item in objects]
        boxes = np.array([item.box for item in objects]).reshape(-1, 4)
        cuboids = np.array([to_cuboid(item, frame.calibration) for item in objects]).reshape(-1, 9)
        size = (frame.width, frame.height)
        scenes.append((names, boxes, cuboids, frame.calibration.project, size, read_cloud(frame.cloud)[0]))
    return scenes


def world_findings(
    world: list[tuple[object, ...]], spoil: Callable[..., None] = lambda *_: None
) -> list[Finding]:
    found: list[Finding] = []
    for names, boxes, cuboids, project_left, (width, height), cloud in world:  # type: ignore[misc]
        b, bn, c, cn = boxes.copy(), list(names), cuboids.copy(), list(names)  # type: ignore[has-type]
        spoil(b, bn, c, cn)
        found += check_boxes(b, bn, CLASSES, width, height)  # type: ignore[has-type]
        found += check_cuboids(c, cn, CLASSES, cloud)  # type: ignore[has-type]
        found += check_across(b, bn, c, cn, project_left, width, height)  # type: ignore[has-type]
    return found


def test_true_labels_of_a_made_world(world: list[tuple[object, ...]]) -> None:
    """Exact labels of rendered scenes have no error, and warnings on less than 5 % of the objects."""
    found = [finding for finding in world_findings(world) if finding.rule != "empty"]
    objects = sum(len(scene[0]) for scene in world)  # type: ignore[arg-type]
    assert objects > 50
    assert [finding for finding in found if finding.severity == "error"] == []
    assert len(found) < 0.05 * objects


def test_planted_in_a_made_world(world: list[tuple[object, ...]]) -> None:
    """In rendered scenes too: one floating cuboid, and one other class, per scene are found in 9 of 10."""

    def spoil(boxes: np.ndarray, names: list[str], cuboids: np.ndarray, cuboid_names: list[str]) -> None:
        if names:
            cuboids[0, 2] += 1.5
            names[-1] = "Tram" if names[-1] == "Misc" else "Misc"

    spoiled = sum(bool(scene[0]) for scene in world)
    found = world_findings(world, spoil)
    assert sum(finding.rule == "off_ground" for finding in found) >= 0.9 * spoiled
    assert sum(finding.rule == "class_mismatch" for finding in found) >= 0.9 * spoiled


def test_every_rule_has_words() -> None:
    """What the code can say a finding breaks is what has words in reports, no more and no less."""
    said = set(RULE.values())
    for module in (checks, doubts, policy):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Finding", "checks.Finding"):
                rules = [one.value for one in node.keywords if one.arg == "rule"] or node.args[:1]
                said |= {one.value for one in rules if isinstance(one, ast.Constant)}
    assert said == set(RULES)
