"""Which objects are asked for, and where candidates are looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swath.kernels.detection import Predictions, References
from swath.kernels.mistakes import type_mistakes
from swath.policies.objects import BLANK, CONTEXT, LEAST, SEEN, Looked, around, failing, windows
from swath.records.manifest import FailingObject, Wrong

CLASSES = ("car", "person")
SIZE = (400, 100)
Box = tuple[float, float, float, float]


def boxes(*given_: Box) -> np.ndarray[Any, Any]:
    return np.array(given_, float).reshape(-1, 4)


def seen(*given_: tuple[Box, float, str]) -> Predictions:
    return Predictions(
        boxes(*(box for box, _, _ in given_)),
        np.array([score for _, score, _ in given_], float),
        np.array([CLASSES.index(name) for _, _, name in given_], np.int64),
    )


def looked(key: str, wanted: list[tuple[Box, str]], *found: tuple[Box, float, str]) -> Looked:
    of = References(
        boxes(*(box for box, _ in wanted)), np.array([CLASSES.index(name) for _, name in wanted], np.int64)
    )
    return Looked(key, "left", SIZE, seen(*found), of, type_mistakes(seen(*found), of, 0.3, found_at=0.5))


def asked(given_: list[Looked], most: int = 10, **references: int) -> list[tuple[str, str, bool, float]]:
    """(scene, class, false, left edge) of the objects that are asked for."""
    found = failing(given_, CLASSES, references, most)
    assert all(one.object is not None and one.kinds == {one.object.name: 1.0} for one in found)
    return [(one.key, one.object.name, one.object.false, one.object.box[0]) for one in found if one.object]


def wide(x: float, width: float) -> Box:
    return (x, 10.0, x + width, 30.0)


def test_classes_take_turns_and_scenes_too() -> None:
    """The class that most of went wrong first; of a class the largest of each scene, then the second largest; at most so many."""
    there = [
        looked("a", [(wide(0, 60), "car"), (wide(100, 50), "car"), (wide(200, 9), "person")]),
        looked("b", [(wide(0, 10), "car")]),
    ]
    expected = [
        ("a", "person", False, 200.0),  # 1 of 2 against 3 of 30
        ("a", "car", False, 0.0),
        ("b", "car", False, 0.0),
        ("a", "car", False, 100.0),
    ]
    assert asked(there, person=2, car=30) == expected
    assert asked(there[::-1], person=2, car=30) == expected
    assert asked(there, 2, person=2, car=30) == expected[:2]


def test_what_was_found_is_not_asked_for_and_what_is_not_there_is() -> None:
    """Found objects are left out; what was seen falsely comes behind what was missed, the surest first; below the threshold it was
    not seen."""
    there = looked(
        "a",
        [(wide(0, 40), "car"), (wide(100, 40), "car")],
        (wide(0, 40), 0.9, "car"),
        (wide(200, 30), 0.5, "car"),
        (wide(300, 30), 0.8, "car"),
        (wide(350, 30), 0.2, "car"),
    )
    assert asked([there], car=2) == [
        ("a", "car", False, 100.0),
        ("a", "car", True, 300.0),
        ("a", "car", True, 200.0),
    ]
    assert asked([looked("b", [])]) == []


def test_an_object_says_what_and_where_it_is() -> None:
    """Class, place and channel in words; one missed, or one false, object."""
    (one, other) = failing(
        [looked("a", [(wide(100, 40), "car")], (wide(300, 30), 0.8, "person"))], CLASSES, {"car": 4}, 5
    )
    assert str(one.object) == "missed car at 100, 10, 140, 30 px of left"
    assert str(other.object) == "false person at 300, 10, 330, 30 px of left"
    assert [(of.fn, of.fp) for of in (one, other)] == [(1, 0), (0, 1)]
    assert one.object is not None
    assert one.object.window == (90, 5, 150, 35)  # half as much again, to each side the same
    assert Wrong.model_validate(one.document()) == one


edges = st.floats(-50, 500)


@given(x=edges, y=edges, width=st.floats(0.5, 300), height=st.floats(0.5, 300))
def test_what_is_cut_out_is_inside_the_image(x: float, y: float, width: float, height: float) -> None:
    """Whole px, never empty, wherever a box lies; a box inside is in it whole, with its surroundings as far as there are any."""
    x1, y1, x2, y2 = around(np.array([x, y, x + width, y + height]), *SIZE)
    assert 0 <= x1 < x2 <= SIZE[0]
    assert 0 <= y1 < y2 <= SIZE[1]
    if 0 <= x <= x + width <= SIZE[0] and 0 <= y <= y + height <= SIZE[1]:
        assert x1 <= x <= x + width <= x2
        assert y1 <= y <= y + height <= y2
        grown = max(width * CONTEXT, LEAST)
        if x + width / 2 - grown / 2 >= 0 and x + width / 2 + grown / 2 <= SIZE[0]:
            assert grown <= x2 - x1 < grown + 2


SOUGHT = [
    (FailingObject(channel="left", name="car", box=wide(0, 1), window=(0, 40, 40, 60)), SIZE),
    (FailingObject(channel="left", name="car", box=wide(0, 1), window=(100, 160, 180, 240)), (800, 400)),
]
"""A tenth wide and a fifth high, in images of two sizes, both half way down."""


def test_where_candidates_are_looked_at() -> None:
    """Around the surest detections, however unsure; and in a row of windows of the size and height of what is asked for, as shares of
    the image, but where the model sees something already."""
    assert windows(seen(), 0.3, SIZE, SOUGHT) == (
        (30, 40, 70, 60),
        (130, 40, 170, 60),
        (230, 40, 270, 60),
        (330, 40, 370, 60),
    )
    sure = (120.0, 20.0, 180.0, 80.0)
    found = windows(seen((sure, 0.9, "car"), ((300, 0, 399, 99), 0.1, "car")), 0.3, SIZE, SOUGHT)
    assert found[0] == around(np.array(sure), *SIZE)
    assert found[2:] == ((30, 40, 70, 60), (230, 40, 270, 60), (330, 40, 370, 60))
    many = seen(*((wide(7 * i, 9), 1 - i / 50, "car") for i in range(30)))
    assert len(windows(many, 2.0, SIZE, SOUGHT)) == SEEN + BLANK
    assert windows(many, 2.0, SIZE, SOUGHT)[:SEEN] == tuple(
        around(np.array(wide(7 * i, 9)), *SIZE) for i in range(SEEN)
    )
