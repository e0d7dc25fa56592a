"""Which stratum an object is of."""

from __future__ import annotations

import numpy as np
import pytest

from swath.kernels.typed import table
from swath.policies.strata import (
    DISTANCES,
    MOST,
    OCCLUSIONS,
    POINTS,
    SIZES,
    Axis,
    condition,
    distances,
    heights,
    occlusions,
    points,
    strata,
    traits,
)


def test_sizes_are_shares_of_the_image() -> None:
    """24, 25, 39.9 and 40 px of 375 rows are small, medium, medium, large; in an image of twice the rows the same boxes are half
    as large."""
    boxes = np.array([[0, 10, 5, 10 + height] for height in (24, 25, 39.9, 40)], float)
    assert heights(boxes, 375).tolist() == [0, 1, 1, 2]
    assert heights(boxes * 2, 750).tolist() == [0, 1, 1, 2]
    assert heights(boxes, 750).tolist() == [0, 0, 0, 0]
    assert heights(np.zeros((0, 4)), 375).tolist() == []


def test_distances_go_by_the_ground() -> None:
    """9 m ahead and 12 m aside are 15 m away, whatever the height; 50 m is beyond."""
    cuboids = np.zeros((4, 9))
    cuboids[:, :3] = [[9, 12, 40], [9, 11.9, 0], [-30, 0, 0], [0, -50, 0]]
    assert distances(cuboids).tolist() == [1, 0, 2, 3]


def test_occlusion_is_what_labels_say() -> None:
    """0, 1 and 2; unknown (3, -1, nothing, words) is none of them."""
    said = [{"occluded": value} for value in (0, 1.0, 2, 3, -1, "much", None)] + [{}]
    assert occlusions(said).tolist() == [0, 1, 2, -1, -1, -1, -1, -1]


def test_points_are_counted_in_steps() -> None:
    """0, 1, 9, 10, 49 and 50 points; a cloud that cannot be read says nothing."""
    assert points(np.array([0, 1, 9, 10, 49, 50, -1])).tolist() == [0, 1, 1, 2, 2, 3, -1]


def test_conditions_are_of_scenes() -> None:
    """Objects and predictions are in the condition of their image; an image of which nothing is said is in none."""
    axis = condition("weather", ["rain", "", "clear"], np.array([0, 1, 2, 2]), np.array([2, 0]))
    assert axis is not None
    assert axis.false is not None
    said = [axis.words.get(int(one)) for one in (*axis.stratum, *axis.false)]
    assert said == ["rain", None, "clear", "clear", "clear", "rain"]
    none = np.zeros(0, np.int64)
    assert condition("weather", ["", ""], none, none) is None
    assert condition("weather", ["rain", "rain"], none, none) is None
    assert condition("name", [str(i) for i in range(MOST + 1)], none, none) is None
    assert condition("name", [str(i) for i in range(MOST)], none, none) is not None


def test_every_stratum_with_objects() -> None:
    """Two classes, one of them without objects; sizes; no word of occlusion where labels have none."""
    overlap = np.array([[0.9, 0.0], [0.0, 0.0]])
    one = table([(np.array([0.9, 0.8]), np.array([0, 0]), np.array([0, 0]), overlap)])
    names = Axis("class", {0: "car", 1: "person"}, one.wanted, one.label)
    sizes = Axis("size", SIZES, np.array([0, 2]), np.array([0, 2]))
    hidden = Axis("occlusion", OCCLUSIONS, np.array([-1, -1]))
    told = strata(one, 2, 0.5, [names, sizes, hidden])
    said = [(row.by, row.name, row.objects, row.found) for row in told]
    assert said == [("class", "car", 2, 1), ("size", "small", 1, 1), ("size", "large", 1, 0)]
    assert told[1].ap50 == pytest.approx(1)
    assert told[2].ap50 == 0
    far = Axis("distance", DISTANCES, np.array([3, 3]), np.array([3, 3]))
    hidden = Axis("occlusion", OCCLUSIONS, np.array([2, 0]))
    assert [row.name for row in strata(one, 1, 0.5, [far, hidden])] == [
        "beyond 50 m",
        "visible",
        "largely occluded",
    ]


def test_modes_are_named_by_what_is_shared() -> None:
    """Points go with distance, and say it again."""
    few = Axis("points", POINTS, np.zeros(2, np.int64), shared=False)
    assert [one.name for one in traits([few, Axis("occlusion", OCCLUSIONS, np.zeros(2, np.int64))])] == [
        "occlusion"
    ]
