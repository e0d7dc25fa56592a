"""Which stratum an object is of."""

from __future__ import annotations

import numpy as np
import pytest

from swath.kernels.typed import table
from swath.policies.strata import distances, heights, occlusions, strata


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


def test_every_stratum_with_objects() -> None:
    """Two classes, one of them without objects; sizes; no word of occlusion where labels have none."""
    overlap = np.array([[0.9, 0.0], [0.0, 0.0]])
    one = table([(np.array([0.9, 0.8]), np.array([0, 0]), np.array([0, 0]), overlap)])
    none = np.array([-1, -1])
    told = strata(one, ["car", "person"], 0.5, "size", np.array([0, 2]), np.array([0, 2]), none)
    said = [(row.by, row.name, row.objects, row.found) for row in told]
    assert said == [("class", "car", 2, 1), ("size", "small", 1, 1), ("size", "large", 1, 0)]
    assert told[1].ap50 == pytest.approx(1)
    assert told[2].ap50 == 0
    far = strata(one, ["car"], 0.5, "distance", np.array([3, 3]), np.array([3, 3]), np.array([2, 0]))
    assert [row.name for row in far] == ["car", "beyond 50 m", "visible", "largely occluded"]
