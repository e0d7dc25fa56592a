"""Failure modes: what missed objects share, in words."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swath.policies.modes import EXAMPLES, LEAST, MOST, SCENES, Trait, modes
from swath.records.batch import Missed, Mode

CLASS = {0: "Car", 1: "Pedestrian"}
SIZE = {0: "small", 1: "large"}


def traits(label: list[int], size: list[int]) -> list[Trait]:
    return [Trait("class", np.array(label), CLASS), Trait("size", np.array(size), SIZE)]


def test_what_is_shared_is_named() -> None:
    """Ten small pedestrians, nine missed; large ones and cars are mostly found: one mode, named by both traits."""
    label = [1] * 10 + [1] * 10 + [0] * 40
    size = [0] * 10 + [1] * 10 + [0, 1] * 20
    missed = np.array([True] * 9 + [False] + [True] + [False] * 9 + [True] * 2 + [False] * 38)
    (one,) = modes(traits(label, size), missed)
    assert (one.name, one.objects, one.missed, one.before) == ("Pedestrian, small", 10, 9, None)
    assert one.share == 0.9


def test_one_trait_is_enough_where_it_says_all() -> None:
    """Pedestrians are missed whatever their size: the mode is the class, not one of its sizes."""
    label, size = [1] * 20 + [0] * 20, [0, 1] * 20
    missed = np.array([True] * 20 + [False] * 20)
    assert [one.name for one in modes(traits(label, size), missed)] == ["Pedestrian"]


def test_the_next_mode_is_among_the_rest() -> None:
    """Objects of the first mode are not counted again: after all pedestrians, what is left of the small ones are cars."""
    label, size = [1] * 20 + [0] * 40, [0, 1] * 10 + [0] * 10 + [1] * 30
    missed = np.array([True] * 20 + [True] * 8 + [False] * 32)
    found = modes(traits(label, size), missed)
    assert [(one.name, one.objects, one.missed) for one in found] == [
        ("Pedestrian", 20, 20),
        ("small", 10, 8),
    ]


def test_the_trend_is_that_of_the_same_name() -> None:
    """A mode that the round before had too carries the share that was missed then."""
    label, size = [1] * 10 + [0] * 10, [0] * 20
    missed = np.array([True] * 6 + [False] * 14)
    before = [Mode(name="Pedestrian", objects=10, missed=9), Mode(name="Car", objects=3, missed=3)]
    assert modes(traits(label, size), missed, before)[0].before == 0.9


def test_nothing_to_say() -> None:
    """No objects, none missed, all missed, too few missed, traits that nobody knows: no modes."""
    none = np.zeros(0, int)
    assert modes([Trait("class", none, CLASS)], np.zeros(0, bool)) == ()
    for missed in (np.zeros(10, bool), np.ones(10, bool), np.arange(10) < LEAST - 1):
        assert modes(traits([0] * 10, [0] * 10), missed) == ()
    unknown = Trait("occlusion", np.full(20, -1), {0: "visible"})
    assert modes([unknown], np.arange(20) < 10) == ()


def test_what_is_kept_of_a_mode() -> None:
    """Scenes with the most of its missed objects first; each class; an example of each drive before a second of one. Objects of no
    mode, and those that were found, are not in it."""
    scenes = [f"s{i % 40:02d}" for i in range(50)] + ["zz"] * 200
    objects = [Missed(scene=s, drive=f"d{int(s[1:]) // 16}" if s != "zz" else "z", channel="left", name="Car", shape=(i,)) for i, s in enumerate(scenes)]  # fmt: skip
    missed = np.array([True] * 49 + [False] * 201)
    (one,) = modes([Trait("size", np.array([0] * 50 + [1] * 200), SIZE)], missed, (), objects)
    assert (one.missed, one.objects, one.classes) == (49, 50, {"Car": 49})
    assert len(one.scenes) == SCENES
    assert list(one.scenes)[:10] == [*(f"s{i:02d}" for i in range(9)), "s09"]
    assert (one.scenes["s08"], one.scenes["s09"]) == (2, 1)
    assert [(e.scene, e.drive, e.shape) for e in one.examples] == [
        ("s00", "d0", (0,)), ("s16", "d1", (16,)), ("s32", "d2", (32,)), ("s01", "d0", (1,)),
    ]  # fmt: skip
    assert len(one.examples) == EXAMPLES


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-1, 1), st.booleans()), max_size=60))
def test_modes_are_apart_and_worse_than_the_rest(rows: list[tuple[int, int, bool]]) -> None:
    """Whatever there is: few modes, each missed more often than objects are on the whole, no object in two."""
    label, size, lost = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    missed = np.array(lost, dtype=bool)
    found = modes(traits(label, size), missed)
    assert len(found) <= MOST
    assert sum(one.objects for one in found) <= len(rows)
    assert sum(one.missed for one in found) <= missed.sum()
    assert all(one.missed >= LEAST and one.share > missed.mean() for one in found)
