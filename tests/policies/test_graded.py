"""What labels say of themselves, as KITTI's rules take it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swath.policies.graded import absorbed, flag, graded, has_flags, scene


@pytest.mark.parametrize(
    ("value", "occluded", "truncated"),
    [
        (0, 0, 0), (1, 1, 1), (2.0, 2, -1), (3, 3, -1), (0.5, 0.5, 0.5), (True, 1, 1), (-1, -1, -1), (4, -1, -1),
        (None, -1, -1), ("much", -1, -1), (float("nan"), -1, -1),
    ],
)  # fmt: skip
def test_flags(value: Any, occluded: float, truncated: float) -> None:
    """Numbers within what KITTI's labels say; whatever else there is says nothing."""
    one = {"occluded": value, "truncated": value}
    assert (flag(one, "occluded"), flag(one, "truncated")) == (occluded, truncated)


def test_whether_there_are_flags() -> None:
    """One label with one flag is enough; unknown ones are none."""
    assert not has_flags([])
    assert not has_flags([{"label": "Car"}, {"occluded": None, "truncated": -1}])
    assert has_flags([{}, {"truncated": 0.0}])


def test_areas_absorb_what_lies_in_them() -> None:
    """Half of a box in one area, a fifth in another: a half. A box without area, areas that are none: nothing."""
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], float)
    areas = np.array([[5, 0, 20, 10], [0, 0, 2, 10], [np.nan] * 4])
    assert absorbed(boxes, areas).tolist() == [0.5, 0.0]
    assert absorbed(boxes, np.zeros((0, 4))).tolist() == [0, 0]
    assert absorbed(np.zeros((0, 4)), areas).tolist() == []


def test_only_what_there_is() -> None:
    """KITTI's classes that are in the class map and have objects at a difficulty: here a hidden pedestrian, hard alone. Found:
    (1/1) at recall 0 of one object, which R40 leaves out: 0; and a prediction of nothing is no error of this arithmetic."""
    one = scene(
        np.array([0.9]), np.array([1]), np.array([50.0]), np.array([1]), np.array([50.0]), [{"occluded": 2}],
        np.array([[0.9]]), np.zeros(1),
    )  # fmt: skip
    (row,) = graded("2d", [one], ("Car", "Pedestrian", "Tram"))
    assert (row.by, row.name, row.difficulty, row.objects, row.ap) == ("2d", "Pedestrian", "hard", 1, 0)
    assert graded("2d", [one], ("car", "person")) == ()
    assert graded("2d", [], ("Car",)) == ()
