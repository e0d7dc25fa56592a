"""Labels as arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.labels.shapes import Boxes, Cuboids, Labels, empty, known

ROW = {Boxes: 4, Cuboids: 9}


def make(kind: type[Labels], count: int, documents: bool = False) -> Labels:
    table = np.arange(float(count * ROW[kind])).reshape(count, ROW[kind])
    names = tuple("abc"[i % 3] for i in range(count))
    return kind(table, names, tuple({"row": i} for i in range(count)) if documents else ())


@pytest.mark.parametrize("kind", [Boxes, Cuboids])
def test_equality(kind: type[Labels]) -> None:
    """Equal shapes and classes are equal labels, NaN included, whatever documents they came from; all else differs."""
    one = make(kind, 3)
    assert one == make(kind, 3, documents=True)
    assert one != make(kind, 2)
    assert one != kind(one.shapes, ("a", "b", "b"))
    assert one != kind(one.shapes + 1, one.classes)
    holed = np.where(one.shapes == 5, np.nan, one.shapes)
    assert kind(holed, one.classes) == kind(holed.copy(), one.classes)
    assert kind(holed, one.classes) != one


def test_kinds_differ() -> None:
    """No boxes and no cuboids are not the same labels, and neither is something else."""
    assert Boxes.empty() != Cuboids.empty()
    assert Cuboids.empty() != Boxes.empty()
    assert Boxes.empty() != 0
    assert empty("2d") == Boxes.empty()
    assert empty("3d") == Cuboids.empty()
    assert (Boxes.empty().modality, Cuboids.empty().modality) == ("2d", "3d")


@pytest.mark.parametrize("kind", [Boxes, Cuboids])
@given(data=st.data())
def test_take(kind: type[Labels], data: st.DataObject) -> None:
    """Taken rows come in the order asked for, each with its class and its document; labels without documents have none."""
    count = data.draw(st.integers(0, 6))
    rows = data.draw(st.lists(st.integers(0, count - 1), max_size=8)) if count else []
    labels = make(kind, count, documents=True)
    taken = labels.take(rows)
    assert len(taken) == len(rows)
    assert taken.shapes.shape == (len(rows), ROW[kind])
    for at, row in enumerate(rows):
        assert (taken.shapes[at] == labels.shapes[row]).all()
        assert taken.classes[at] == labels.classes[row]
        assert taken.documents[at] == labels.documents[row]
    assert make(kind, count).take(rows).documents == ()


def test_shapes_of_nothing() -> None:
    """However empty labels are given, their shapes have the columns of their kind."""
    assert Boxes(np.zeros((0,)), ()).shapes.shape == (0, 4)
    assert Cuboids(np.zeros((0,)), ()).shapes.shape == (0, 9)


def test_known() -> None:
    """Labels of a class in the map that are finite, with their places in the map, in the order of the labels."""
    table = np.array([[0, 0, 1, 1]] * 5, float)
    table[1, 2], table[4, 0] = np.nan, np.inf
    rows, classes = known(Boxes(table, ("Car", "Car", "Tram", "Van", "Van")), ("Van", "Car"))
    assert rows.tolist() == [0, 3]
    assert classes.tolist() == [1, 0]
    none, at = known(Cuboids.empty(), ("Car",))
    assert (none.dtype, at.dtype, len(none), len(at)) == (np.int64, np.int64, 0, 0)
