"""Where people see different things: by hand-made scenes."""

from __future__ import annotations

import numpy as np
import pytest

from swath.kernels.agreement import alpha, coincidences
from swath.labels.shapes import Boxes, Cuboids
from swath.policies.opinions import Opinions, agreement, excused, holds, ratings

CLASSES = ("car", "van", "person")
PLACES = {"a": [0, 0, 10, 10], "b": [100, 0, 120, 20], "c": [200, 50, 230, 90]}


def boxes(**named: str) -> Boxes:
    """Boxes at the places a, b, c, of these classes."""
    return Boxes(np.array([PLACES[place] for place in named], float).reshape(-1, 4), tuple(named.values()))


def test_an_object_is_a_unit_and_who_did_not_see_it_said_nothing() -> None:
    """Labels of one place are one object whatever their class; places that one alone saw are objects too."""
    one, two = boxes(a="car", b="van"), boxes(b="car", c="person")
    found = sorted(map(tuple, ratings([one, two], CLASSES).tolist()))
    assert found == [(0, 3), (1, 0), (3, 2)]


def test_a_class_that_is_in_no_map_is_not_seen() -> None:
    """A label of an unknown class says nothing, and an object that only has such labels is none."""
    one, two = boxes(a="car", b="ghost"), boxes(a="ghost")
    assert ratings([one, two], CLASSES).tolist() == [[0, 3]]


def test_counts_by_hand() -> None:
    """Two scenes: three objects agreed on, one swapped, one missed: two of five are ambiguous, and alpha is that of the table."""
    scenes = [
        Opinions("1", (boxes(a="car", b="van", c="person"), boxes(a="car", b="car", c="person"))),
        Opinions("2", (boxes(a="car", b="car"), boxes(a="car"))),
    ]
    found = agreement(scenes, CLASSES)
    assert (found.scenes, found.objects, found.ambiguous, found.share) == (2, 5, 2, 0.4)
    table = [[0, 0], [1, 0], [2, 2], [0, 0], [0, 3]]
    assert found.alpha.value == pytest.approx(alpha(coincidences(table, 4)))
    assert found.scenes_ambiguous == {"1": round(1 / 3, 6), "2": 0.5}
    counts = {name: (one.objects, one.ambiguous) for name, one in found.classes.items()}
    assert counts == {"car": (4, 2), "van": (1, 1), "person": (1, 0)}
    assert found.classes["person"].alpha.value == 1
    van = [[1, 1], [0, 1], [1, 1], [1, 1], [1, 1]]  # van: 0
    assert found.classes["van"].alpha.value == pytest.approx(alpha(coincidences(van, 2)))


def test_channels_of_a_scene_are_one_scene() -> None:
    """Two cameras of a scene count once in scenes, and together in its ambiguity."""
    same = (boxes(a="car"), boxes(a="car"))
    other = (boxes(a="car"), boxes(a="van"))
    found = agreement([Opinions("1", same), Opinions("1", other)], CLASSES)
    assert (found.scenes, found.scenes_ambiguous) == (1, {"1": 0.5})


def test_nothing_to_compare() -> None:
    """No scenes, and scenes that all found empty: no alpha, and no ambiguity."""
    for scenes in ([], [Opinions("1", (boxes(), boxes()))]):
        found = agreement(scenes, CLASSES)
        assert (found.objects, found.ambiguous, found.alpha.value, found.share) == (0, 0, None, None)


def test_errors_that_people_make_too() -> None:
    """A missed object that one labelling lacks too, or calls otherwise, is excused; one that all hold is not. A false prediction
    that one labelling holds is excused, in its class."""
    first, second = boxes(a="car", b="car", c="person"), boxes(a="car", b="van")
    missed, false = excused([first, second], boxes(a="car", b="car", c="person"), boxes(b="van", c="car"))
    assert missed.tolist() == [False, True, True]
    assert false.tolist() == [True, False]
    alone, none = excused([first], boxes(c="person"), boxes(b="van"))
    assert (alone.tolist(), none.tolist()) == ([False], [False])
    empty = excused([first, second], boxes(), boxes())
    assert [one.tolist() for one in empty] == [[], []]


def test_cuboids_are_held_by_place_and_class() -> None:
    """A metre apart is the same pedestrian; two metres, or another class, is not."""
    at = np.array([[10.0, 0, 0, 0.8, 0.6, 1.8, 0, 0, 0]])
    one = Cuboids(at, ("person",))
    assert [holds(Cuboids(at + np.eye(9)[:1] * x, ("person",)), one).tolist() for x in (0.9, 2.0)] == [
        [True],
        [False],
    ]
    assert holds(Cuboids(at, ("car",)), one).tolist() == [False]
