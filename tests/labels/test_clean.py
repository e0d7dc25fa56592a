"""The validation that all labels from outside pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.labels.clean import clean, wrong_box
from swath.labels.shapes import Boxes, Cuboids

CLASSES = ("Car", "Pedestrian")
GOOD = [10.0, 10, 50, 40]


def boxes(*rows: list[float], names: tuple[str, ...] = ()) -> Boxes:
    return Boxes(np.array(rows, float), names or ("Car",) * len(rows))


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([float("nan"), 0, 10, 10], "not a finite"),
        ([0, 0, float("inf"), 10], "not a finite"),
        ([20, 10, 10, 30], "negative size"),
        ([10, 10, 10, 30], "no area"),
        ([100, 10, 130, 30], "entirely off"),
        ([-30, 10, 0, 30], "entirely off"),
    ],
)
def test_bad_box(box: list[float], said: str) -> None:
    """Each kind of bad box is rejected with its reason; the good ones beside it are kept in order."""
    good, rejected = clean(boxes(GOOD, box, [1, 1, 2, 2]), CLASSES, 100, 50)
    assert good == boxes(GOOD, [1, 1, 2, 2])
    assert [bad.where for bad in rejected] == ["object/1"]
    assert said in rejected[0].reason


@pytest.mark.parametrize("name", ["Bus", "", "<script>alert(1)</script>", "Car\x00", "Car\n", "x" * 100_000])
def test_bad_class(name: str) -> None:
    """A class outside the map is rejected, and what is said about it is short, printable and without
    markup."""
    good, (bad,) = clean(boxes(GOOD, GOOD, names=("Car", name)), CLASSES, 100, 50)
    assert len(good) == 1
    assert len(bad.reason) < 200
    assert bad.reason.isprintable()
    assert not set("<>&") & set(bad.reason)


@pytest.mark.parametrize(("column", "value"), [(0, np.nan), (3, 0), (4, -1), (8, np.inf)])
def test_bad_cuboid(column: int, value: float) -> None:
    """A cuboid that is not finite or has no volume is rejected, the other one kept."""
    table = np.array([[10.0, 0, 0, 4, 2, 1.5, 0, 0, 0]] * 2)
    table[0, column] = value
    good, rejected = clean(Cuboids(table, ("Car", "Car")), CLASSES, 100, 50, where=["a", "b"])
    assert good == Cuboids(table[1:], ("Car",))
    assert [bad.where for bad in rejected] == ["a"]


def test_sticking_out_is_kept() -> None:
    """A box that is partly off the image is kept as it was drawn."""
    labels = boxes([-5, -5, 20, 20])
    assert clean(labels, CLASSES, 100, 50) == (labels, ())


def test_nothing() -> None:
    """No labels give no labels and nothing rejected."""
    assert clean(Boxes.empty(), CLASSES, 100, 50) == (Boxes.empty(), ())
    assert clean(Cuboids.empty(), CLASSES, 100, 50) == (Cuboids.empty(), ())


@given(st.lists(st.lists(st.floats(width=32), min_size=4, max_size=4), max_size=6))
def test_every_label_is_kept_or_rejected(rows: list[list[float]]) -> None:
    """Whatever comes, each label is on exactly one side, and what is kept has pixels in the image."""
    labels = Boxes(np.array(rows, float).reshape(-1, 4), ("Car",) * len(rows))
    good, rejected = clean(labels, CLASSES, 100, 50)
    assert len(good) + len(rejected) == len(rows)
    for box in good.boxes:
        assert wrong_box(box, 100, 50) is None
        assert np.minimum(box[2:], [100, 50]).min() > 0
