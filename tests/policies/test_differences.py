"""What two labellings of a scene see differently, and what decisions make of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.config import Golden
from swath.labels.consensus import consensus
from swath.labels.shapes import Boxes, Cuboids
from swath.policies.differences import decided, differences

PLACE = ("0007", "left")


def boxes(*given: tuple[float, str]) -> Boxes:
    """20 x 20 px, so many from the left, of these classes."""
    table = np.array([[left, 0, left + 20, 20] for left, _ in given], float).reshape(-1, 4)
    return Boxes(table, tuple(name for _, name in given))


def cuboid(**changes: float) -> Cuboids:
    value = {"x": 10, "y": 0, "z": 0, "l": 4, "w": 2, "h": 1.6, "rx": 0, "ry": 0, "rz": 0, **changes}
    return Cuboids(np.array([list(value.values())], float), ("car",))


def what(a: Any, b: Any) -> list[str]:
    return [one.what for one in differences(PLACE, a, b, Golden())]


def test_who_agrees_differs_in_nothing() -> None:
    """Boxes a pixel apart (IoU 19 / 21 = 0.90) are one object of both."""
    assert what(boxes((0, "car"), (50, "sign")), boxes((1, "car"), (50, "sign"))) == []


def test_kinds_of_differences_in_images() -> None:
    """Missing in either, another class, and an IoU of 16 / 24 = 0.67, below 0.7."""
    a = boxes((0, "car"), (100, "car"), (200, "car"))
    b = boxes((4, "car"), (100, "van"), (300, "sign"))
    assert what(a, b) == [
        "car: IoU 0.67",
        "A says car, B says van",
        "car that A alone has",
        "sign that B alone has",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x": 10.6}, "centres 0.60 m apart"),
        ({"x": 10.4}, None),
        ({"rz": np.pi}, "they face opposite ways"),
        ({"l": 2, "w": 4}, "length and width are each other's"),
        ({"rz": np.radians(12)}, "headings 12 degrees apart"),
        ({"rz": np.radians(8)}, None),
        ({"h": 1.6 / 1.5}, "height 50 % apart"),
    ],
)
def test_kinds_of_differences_in_clouds(changes: dict[str, float], said: str | None) -> None:
    """What is further apart than a gross error is in a golden check: half a metre, half a turn, ten degrees, e^0.25 in size."""
    assert what(cuboid(), cuboid(**changes)) == ([] if said is None else [f"car: {said}"])


def test_decisions_by_hand() -> None:
    """Each choice of a pair that is 4 px apart, and of an object that A alone has."""
    a, b = boxes((0, "car"), (200, "car")), boxes((4, "car"))
    pair, alone = differences(PLACE, a, b, Golden())
    assert pair.choices == ("a", "b", "mean", "none")
    assert alone.choices == ("a", "b", "none")
    lefts = {
        (): [2],
        ((pair, "a"),): [0],
        ((pair, "b"),): [4],
        ((pair, "mean"),): [2],
        ((pair, "none"),): [],
        ((alone, "a"),): [2, 200],
        ((alone, "b"),): [2],
        ((alone, "none"), (pair, "b")): [4],
    }
    for choices, expected in lefts.items():
        found = decided(PLACE, a, b, Golden(), {one.id: choice for one, choice in choices})  # type: ignore[misc]
        assert found.shapes[:, 0].tolist() == expected


def test_a_decision_is_of_two_labels_in_one_place() -> None:
    """Another label, class, scene or channel is another difference; other objects of the scene change nothing."""
    a, b = boxes((0, "car")), boxes((4, "car"))
    (one,) = differences(PLACE, a, b, Golden())
    others = [
        differences(PLACE, a, boxes((5, "car")), Golden())[0],
        differences(PLACE, a, boxes((4, "van")), Golden())[0],
        differences(("0008", "left"), a, b, Golden())[0],
        differences(("0007", "right"), a, b, Golden())[0],
    ]
    assert len({one.id, *(other.id for other in others)}) == 5
    more = differences(PLACE, boxes((100, "sign"), (0, "car")), boxes((4, "car")), Golden())
    assert one.id in {other.id for other in more}


NAMES = st.sampled_from(["car", "van", "sign"])
LABELS = st.lists(
    st.tuples(st.integers(0, 12).map(lambda n: 7.0 * n), NAMES), max_size=6, unique_by=lambda one: one[0]
).map(lambda of: boxes(*of))


@given(LABELS, LABELS)
def test_without_decisions_it_is_the_majority_of_both(a: Boxes, b: Boxes) -> None:
    """What nobody decided is what two labellings come to in any case."""
    assert decided(PLACE, a, b, Golden(), {}) == consensus([a, b]).labels


@given(LABELS, LABELS)
def test_deciding_all_for_one_gives_what_it_drew(a: Boxes, b: Boxes) -> None:
    """`a` for every difference: as many labels as A has, each of A's class, within what is no difference."""
    choices: dict[str, Any] = {one.id: "a" for one in differences(PLACE, a, b, Golden())}
    found = decided(PLACE, a, b, Golden(), choices)
    assert sorted(found.classes) == sorted(a.classes)
    assert differences(PLACE, a, found, Golden()) == []
