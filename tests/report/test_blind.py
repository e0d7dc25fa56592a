"""Golden checks object by object: matrices and rows by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swath.config import Golden
from swath.labels.shapes import Boxes
from swath.policies.golden import errors, tally
from swath.records.agreement import ClassAgreement
from swath.records.base import Estimate
from swath.records.measured import Measured, Objects
from swath.report import blind
from swath.report.beside import window


def boxes(*given: tuple[float, str]) -> Boxes:
    table = np.array([[left, 0, left + 20, 20] for left, _ in given], float).reshape(-1, 4)
    return Boxes(table, tuple(name for _, name in given))


def test_what_is_called_what_by_hand() -> None:
    """Two cars, one called van; a sign missed; a person that is none."""
    careful = boxes((0, "car"), (50, "car"), (100, "sign"))
    drawn = boxes((0, "car"), (50, "van"), (200, "person"))
    found = tally([("0001", "2d", errors(drawn, careful, Golden()))])
    counts = {(one.truth, one.said): one.objects for one in found.confusion}
    assert counts == {
        ("car", "car"): 1,
        ("car", "van"): 1,
        ("sign", None): 1,
        (None, "person"): 1,
    }
    matrix = blind._matrix("2d", found.confusion)
    assert matrix.columns == ("car", "person", "sign", "van", "missed")
    rows = dict(matrix.rows)
    assert rows["car"] == ((1, True), (0, False), (0, False), (1, False), (0, False))
    assert rows["not in the reference"][1] == (1, False)
    assert matrix.told == "car called van 1, sign missed 1, person that is none 1"


def measured(
    who: tuple[str, ...], wrong: tuple[tuple[str, ...], ...], iou: tuple[float | None, ...]
) -> Measured:
    """Of one round: a car in each scene."""
    values: Any = tuple(() if one is None else (one, 0.0, 0.0, 0.0, 0.0, 0.0) for one in iou)
    objects = Objects(
        keys=tuple(map(str, range(len(who)))),
        scenes=tuple(range(len(who))),
        classes=("car",) * len(who),
        wrong=wrong,
        values=values,
    )
    return Measured(
        scenes=tuple(map(str, range(len(who)))),
        errors={},
        trials={},
        annotators={"2d": who},
        objects={"2d": objects},
    )


def test_errors_by_class_and_by_annotator_over_rounds() -> None:
    """Two rounds of two scenes: anna misses one of three, ben swaps the one that he had; scenes of several are nobody's. One annotator
    alone is not listed."""
    one = measured(("anna", "ben"), ((), ("swap",)), (0.9, 0.8))
    two = measured(("anna", "anna"), (("miss",), ()), (None, 0.7))
    three = measured(("", "anna"), ((), ()), (0.5, 0.9))
    rows = {row.name: row for row in blind.by_annotator([one, two, three])}
    assert (rows["anna"].objects, rows["anna"].errors["miss"], rows["anna"].errors["swap"]) == (4, 1, 0)
    assert rows["anna"].off == pytest.approx((0.9 + 0.7 + 0.9) / 3)
    assert (rows["ben"].objects, rows["ben"].errors["swap"]) == (1, 1)
    assert "flip" not in rows["ben"].errors
    assert blind.by_annotator([two]) == ()
    agreed = {
        ("2d", "car"): ClassAgreement(objects=10, ambiguous=4, alpha=Estimate(value=0.5)),
        ("2d", "cyclist"): ClassAgreement(objects=2, ambiguous=2, alpha=Estimate()),
    }
    car, cyclist = blind.by_class([one, two, three], agreed)
    assert (car.name, car.objects, car.errors["miss"], car.agreement) == ("car", 6, 1, agreed["2d", "car"])
    assert (cyclist.name, cyclist.objects, cyclist.off) == ("cyclist", 0, None)
    assert cyclist.agreement == agreed["2d", "cyclist"]


def test_a_window_holds_its_box_and_its_shape() -> None:
    """In an image of 1000 x 300 px: three times as wide as the box, or as its height asks for; never beyond the image."""
    assert window(np.array([400.0, 100, 500, 150]), (1000, 300)) == (300, 41, 600, 208)
    x1, y1, x2, y2 = window(np.array([0.0, 0, 10, 290]), (1000, 300)) or (0, 0, 0, 0)
    assert (x1, y1, y2) == (0, 0, 300)
    assert x2 <= 1000
    assert window(np.zeros(4), (0, 0)) is None
