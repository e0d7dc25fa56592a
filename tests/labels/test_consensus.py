"""The majority of several opinions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.labels.consensus import consensus
from swath.labels.shapes import Boxes, Cuboids

CAR = [100.0, 100, 200, 150]
WALKER = [300.0, 90, 320, 150]


def boxes(*rows: list[float], names: str = "") -> Boxes:
    known = {"c": "Car", "v": "Van", "t": "Truck"}
    return Boxes(np.array(rows, float).reshape(-1, 4), tuple(known[n] for n in names or "c" * len(rows)))


def cuboid(x: float, y: float, yaw: float, length: float = 4.0, w: float = 1.6) -> Cuboids:
    return Cuboids(np.array([[x, y, -0.9, length, w, 1.5, 0, 0, yaw]]), ("Car",))


def shifted(row: list[float], by: float) -> list[float]:
    return [value + by for value in row]


def test_one_opinion_is_the_consensus() -> None:
    """With one opinion its labels come back, bit for bit, ordered by place."""
    got = consensus([boxes(WALKER, CAR, names="vc")])
    assert got.labels == boxes(CAR, WALKER, names="cv")
    assert (got.objects, got.minority, got.conflicts) == (2, 0, 0)


def test_two_of_three() -> None:
    """What two of three saw is kept at their mean; what one saw is dropped and counted."""
    got = consensus([boxes(CAR, WALKER), boxes(shifted(CAR, 4)), boxes()])
    assert got.labels == boxes(shifted(CAR, 2))
    assert got.support == (2,)
    assert (got.opinions, got.objects, got.minority) == (3, 2, 1)


def test_two_of_two() -> None:
    """One of two is no strict majority."""
    assert len(consensus([boxes(CAR), boxes()]).labels) == 0
    assert len(consensus([boxes(CAR), boxes(CAR)]).labels) == 1


def test_too_far_apart_is_two_objects() -> None:
    """Boxes with an IoU below 0.5 (here 50 / 150) are not one object."""
    got = consensus([boxes([0, 0, 100, 10]), boxes([50, 0, 150, 10])])
    assert (len(got.labels), got.objects, got.minority) == (0, 2, 2)


def test_an_opinion_counts_once() -> None:
    """A double label of one annotator is no majority of three."""
    got = consensus([boxes(CAR, CAR), boxes(), boxes()])
    assert len(got.labels) == 0
    assert got.minority == 2


def test_class_by_majority_then_slot() -> None:
    """The class is the majority's; in a tie the lowest slot's; the conflict is counted."""
    two = consensus([boxes(CAR, names="v"), boxes(CAR, names="c"), boxes(CAR, names="c")])
    tie = consensus([boxes(CAR, names="t"), boxes(CAR, names="v"), boxes(CAR, names="c")])
    assert two.labels.classes == ("Car",)
    assert tie.labels.classes == ("Truck",)
    assert two.conflicts == tie.conflicts == 1


def test_angles_are_circular() -> None:
    """Yaws on both sides of pi average to pi, not to 0; opposite ones go by the lowest slot."""
    got = consensus([cuboid(10, 0, math.pi - 0.1), cuboid(10, 0, -math.pi + 0.1)])
    assert abs(got.labels.cuboids[0, 8]) == pytest.approx(math.pi)
    against = consensus([cuboid(10, 0, 0.5), cuboid(10, 0, 0.5 - math.pi)])
    assert against.labels.cuboids[0, 8] == 0.5


def test_small_cuboids_by_centre() -> None:
    """Two people who place a pedestrian half a metre apart mean the same one; two metres apart they don't."""
    near = consensus([cuboid(10, 0, 0, 0.8, 0.6), cuboid(10, 0.7, 0, 0.8, 0.6)])
    far = consensus([cuboid(10, 0, 0, 0.8, 0.6), cuboid(10, 2.0, 0, 0.8, 0.6)])
    assert near.labels.cuboids[0, 1] == pytest.approx(0.35)
    assert len(far.labels) == 0


def test_nothing() -> None:
    """Empty opinions give an empty consensus of their kind; no opinions at all are refused."""
    assert consensus([Cuboids.empty(), Cuboids.empty()]).labels == Cuboids.empty()
    assert consensus([Boxes.empty()]).labels == Boxes.empty()
    with pytest.raises(ValueError, match="at least one"):
        consensus([])


@st.composite
def crowded(draw: st.DrawFn) -> list[Boxes]:
    """Three opinions of boxes on a coarse grid, so that many overlap and many are equal."""
    side = st.integers(0, 6)
    rows = st.lists(st.tuples(side, side, st.integers(3, 6), st.integers(3, 6)), max_size=5)
    opinions = draw(st.lists(rows, min_size=3, max_size=3))
    return [boxes(*[[x, y, x + w, y + h] for x, y, w, h in some]) for some in opinions]


@settings(max_examples=60)
@given(crowded())
def test_order_is_irrelevant(opinions: list[Boxes]) -> None:
    """Any order of the opinions, and of the labels in them, gives the same bits."""
    first = consensus(opinions)
    for order in itertools.permutations(range(3)):
        again = consensus([opinions[at].take(range(len(opinions[at]))[::-1]) for at in order])
        assert again.labels == first.labels
        assert again.support == first.support
        assert (again.objects, again.minority) == (first.objects, first.minority)


@settings(max_examples=60)
@given(crowded())
def test_all_agree(opinions: list[Boxes]) -> None:
    """Three equal opinions without overlaps of their own come back as they are."""
    apart = boxes(
        *[[100 * at, y, 100 * at + x2 - x, y2] for at, (x, y, x2, y2) in enumerate(opinions[0].boxes)]
    )
    got = consensus([apart] * 3)
    np.testing.assert_allclose(got.labels.boxes, apart.boxes)
    assert got.support == (3,) * len(apart)
