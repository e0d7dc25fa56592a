from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from swath.kernels.deviations import BOX, CUBOID, of_boxes, of_cuboids


def flat(drawn: list[float], reference: list[float]) -> dict[str, float]:
    return dict(zip(BOX, of_boxes([drawn], [reference])[0].tolist(), strict=True))


def solid(drawn: list[float], reference: list[float]) -> dict[str, float]:
    return dict(zip(CUBOID, of_cuboids([drawn], [reference]).values[0].tolist(), strict=True))


def test_a_looser_box_by_hand() -> None:
    """100 x 50 px, each edge 5 % of its side further out: 110 x 55. IoU 5000 / 6050, area x 1.21, edges + 0.05."""
    found = flat([-5, -2.5, 105, 52.5], [0, 0, 100, 50])
    assert found == pytest.approx(
        {
            "iou": 5000 / 6050,
            "area": math.log(1.21),
            **dict.fromkeys(("left", "top", "right", "bottom"), 0.05),
        }
    )


def test_edges_have_signs_of_their_own() -> None:
    """Moved right by a tenth of its width: the left edge is inside, the right one outside."""
    found = flat([10, 0, 110, 50], [0, 0, 100, 50])
    assert (found["left"], found["right"], found["top"]) == pytest.approx((-0.1, 0.1, 0.0))
    assert found["area"] == 0
    assert all(math.isnan(one) for one in flat([5, 0, 5, 50], [0, 0, 100, 50]).values())


SIDES = st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 60), st.floats(1, 60))


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES)
def test_iou_is_shapely_s(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    """Of any two boxes."""
    one, two = ([x, y, x + w, y + h] for x, y, w, h in (a, b))
    p, q = box(*one), box(*two)
    assert flat(one, two)["iou"] == pytest.approx(p.intersection(q).area / p.union(q).area, abs=1e-9)


CAR = [10.0, 5, 0, 4, 2, 1.5, 0, 0, math.pi / 2]  # it faces left: +y


def moved(by: list[float], **changes: float) -> list[float]:
    names = ["x", "y", "z", "l", "w", "h", "rx", "ry", "rz"]
    one = [value + (by[i] if i < len(by) else 0) for i, value in enumerate(CAR)]
    for name, value in changes.items():
        one[names.index(name)] = value
    return one


def test_a_moved_cuboid_by_hand() -> None:
    """A car that faces +y, moved by (0.1, 0.2, 0.3) m: 0.2 ahead, 0.1 to its right, 0.3 up; in the cloud 0.1 forward, 0.2 left;
    sqrt(0.14) m in all."""
    found = solid(moved([0.1, 0.2, 0.3]), CAR)
    assert found == pytest.approx(
        {
            **dict.fromkeys(CUBOID, 0.0),
            "along": 0.2,
            "across": -0.1,
            "up": 0.3,
            "forward": 0.1,
            "leftward": 0.2,
            "distance": math.sqrt(0.14),
        },
        abs=1e-12,
    )


def test_sizes_and_yaw_by_hand() -> None:
    """4.4 m for 4: log 1.1; 5 degrees to the left and to the right; signs differ, the turn does not."""
    found = solid(moved([], l=4.4, rz=math.pi / 2 + math.radians(5)), CAR)
    assert (found["length"], found["width"]) == pytest.approx((math.log(1.1), 0))
    assert (found["yaw"], found["turn"]) == pytest.approx((5, 5))
    right = solid(moved([], rz=math.pi / 2 - math.radians(5)), CAR)
    assert (right["yaw"], right["turn"]) == pytest.approx((-5, 5))


def test_flips_are_folded_and_flagged() -> None:
    """Turned by 180 + 3 degrees: flipped, and 3 degrees off; by 80: not flipped, and cut at 20."""
    found = of_cuboids(
        [moved([], rz=math.pi / 2 + math.radians(183)), moved([], rz=math.pi / 2 + math.radians(80))],
        [CAR, CAR],
    )
    assert found.flipped.tolist() == [True, False]
    assert found.values[:, CUBOID.index("yaw")] == pytest.approx([3, 20])
    assert found.exchanged.tolist() == [False, False]


def test_exchanged_sides_are_counted_and_not_measured() -> None:
    """2 x 4 for 4 x 2, whichever way it is turned: exchanged, without sizes and yaw, with its place; a square one cannot be told."""
    turned = moved([], l=2.0, w=4.0, rz=math.pi)
    found = of_cuboids([moved([0, 0.1], l=2.1, w=3.9), turned], [CAR, CAR])
    assert found.exchanged.tolist() == [True, True]
    assert not found.flipped.any()
    assert np.isnan(found.values[:, CUBOID.index("length") :]).all()
    assert found.values[0, CUBOID.index("along")] == pytest.approx(0.1)
    square = [0.0, 0, 0, 1.0, 0.9, 1, 0, 0, 0]
    other = of_cuboids([[0.0, 0, 0, 0.9, 1.0, 1, 0, 0, 0]], [square])
    assert (other.exchanged.tolist(), other.elongated.tolist()) == ([False], [False])


def test_broken_cuboids_have_no_values() -> None:
    """A size of zero has no ratio: nothing of it is measured; no cuboids, no rows."""
    found = of_cuboids([moved([], l=0.0)], [CAR])
    assert np.isnan(found.values).all()
    assert of_cuboids([], []).values.shape == (0, 11)
    assert of_boxes([], []).shape == (0, 6)
