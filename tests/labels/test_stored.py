"""Labels as FiftyOne stores them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.labels.shapes import Boxes, Cuboids, Labels
from swath.labels.stored import detections, digest_of, documents_of, field_of, object_id, read

SIZE = (620, 188)
CLASSES = st.sampled_from(["Car", "Van", "Tram"])


@st.composite
def labels(draw: st.DrawFn) -> Labels:
    kind, width = draw(st.sampled_from([(Boxes, 4), (Cuboids, 9)]))
    number = st.floats(-1e3, 1e3) | st.just(float("nan"))
    rows = draw(st.lists(st.tuples(CLASSES, st.lists(number, min_size=width, max_size=width)), max_size=5))
    table = np.array([row for _, row in rows], float).reshape(-1, width)
    return kind(table, tuple(name for name, _ in rows))


@given(labels())
def test_round_trip(drawn: Labels) -> None:
    """What is stored reads back: cuboids bit for bit, boxes to rounding, NaN as NaN, with the documents they came from.

    A NaN in a box may spread to the sum or difference that is stored with it: to the same axis, and no further.
    """
    documents = documents_of(drawn, SIZE, ["key"])
    back = read(drawn.modality, field_of(documents), SIZE)
    assert type(back) is type(drawn)
    assert back.classes == drawn.classes
    assert list(back.documents) == documents
    if isinstance(drawn, Cuboids):
        assert back == drawn
        return
    for got, was in zip(back.shapes, drawn.shapes, strict=True):
        for axis in ([0, 2], [1, 3]):
            if np.isnan(was[axis]).any():
                assert np.isnan(got[axis]).any()
            else:
                np.testing.assert_allclose(got[axis], was[axis], atol=1e-9)


def test_boxes_are_shares_of_the_image() -> None:
    """FiftyOne's box is x, y, w, h from 0 to 1."""
    (one,) = documents_of(Boxes(np.array([[62.0, 94, 124, 188]]), ("Car",)), SIZE, ["key"])
    assert one["bounding_box"] == [0.1, 0.5, 0.1, 0.5]
    assert (one["_cls"], one["label"]) == ("Detection", "Car")


@pytest.mark.database
@pytest.mark.usefixtures("mongod")
def test_labels_are_as_fiftyones_own() -> None:
    """Boxes and cuboids are the documents that FiftyOne itself stores of the same detections."""
    import fiftyone as fo

    box = {"bounding_box": [0.1, 0.5, 0.1, 0.5]}
    cuboid = {"location": [1.0, 2.0, 3.0], "dimensions": [4.0, 2.0, 1.5], "rotation": [0.0, 0.0, 0.5]}
    drawn = (
        (Boxes(np.array([[62.0, 94, 124, 188]]), ("Car",)), box),
        (Cuboids(np.array([[1.0, 2, 3, 4, 2, 1.5, 0, 0, 0.5]]), ("Car",)), cuboid),
    )
    for labels_, shape in drawn:
        own = fo.Detection(label="Car", **shape).to_dict() | {"_id": object_id("key", 0)}
        assert documents_of(labels_, SIZE, ["key"]) == [own]


def test_an_empty_box_says_nothing() -> None:
    """A cuboid's digest is that of the same cuboid as swath stored it before 0.2.0, without a 2D box."""
    documents = documents_of(Cuboids(np.ones((1, 9)), ("Car",)), SIZE, ["key"])
    before = [{name: value for name, value in one.items() if name != "bounding_box"} for one in documents]
    assert before != documents
    assert digest_of(before) == digest_of(documents)


def test_ids_are_a_function_of_identity() -> None:
    """The same identity and place give the same ids, another one others; the shapes have no part in it."""
    table = np.array([[0.0, 0, 10, 10], [5.0, 5, 20, 20]])
    one = documents_of(Boxes(table, ("Car", "Van")), SIZE, ["key", "v0"])
    again = documents_of(Boxes(table + 1, ("Van", "Van")), SIZE, ["key", "v0"])
    other = documents_of(Boxes(table, ("Car", "Van")), SIZE, ["key", "v1"])
    ids = [one["_id"] for one in one]
    assert ids == [one["_id"] for one in again] == [object_id("key", "v0", 0), object_id("key", "v0", 1)]
    assert len({*ids, *(one["_id"] for one in other)}) == 4


def test_attributes() -> None:
    """An attribute is everybody's, but a list gives each label its own."""
    drawn = Cuboids(np.ones((2, 9)), ("Car", "Car"))
    documents = documents_of(drawn, SIZE, ["key"], round="v0", slot=[0, 1])
    assert [(one["round"], one["slot"]) for one in documents] == [("v0", 0), ("v0", 1)]


def test_of_one_round() -> None:
    """Labels of one round alone, out of a field that holds several."""
    drawn = Boxes(np.array([[0.0, 0, 10, 10], [5.0, 5, 20, 20]]), ("Car", "Van"))
    field = field_of(documents_of(drawn, SIZE, ["key"], round=["v0", "v1"]))
    assert read("2d", field, SIZE, of_round="v1").classes == ("Van",)
    assert len(read("2d", field, SIZE, of_round="v2")) == 0
    assert len(read("2d", field, SIZE)) == 2


def test_no_field_is_no_labels() -> None:
    """A field that is not there has no labels, of the modality that was asked for."""
    assert read("2d", None, SIZE) == Boxes.empty()
    assert read("3d", None, SIZE) == Cuboids.empty()
    assert detections(None) == detections({"_cls": "Detections"}) == ()


def test_what_is_no_box_becomes_nan() -> None:
    """A document of another form is kept as a row of NaN, for the checks to find; a cuboid without rotation is upright."""
    field: dict[str, Any] = {
        "detections": [{"label": "Car", "bounding_box": [0, 0, 1]}, {"label": None}, {"bounding_box": "abcd"}]
    }
    flat = read("2d", field, SIZE)
    assert np.isnan(flat.shapes).all()
    assert flat.classes == ("Car", "None", "None")
    solid = read(
        "3d",
        {
            "detections": [
                {"label": "Car", "location": [1, 2, 3], "dimensions": [4, 5, 6]},
                {"label": "Car", "location": [1, 2, 3]},
            ]
        },
        SIZE,
    )
    assert solid.shapes[0].tolist() == [1, 2, 3, 4, 5, 6, 0, 0, 0]
    assert np.isnan(solid.shapes[1]).all()


def test_digest_is_what_the_labels_say() -> None:
    """Classes, shapes and order change the digest; ids, rounds and what FiftyOne adds do not."""
    drawn = Boxes(np.array([[0.0, 0, 10, 10], [5.0, 5, 20, 20]]), ("Car", "Van"))
    one = digest_of(documents_of(drawn, SIZE, ["key"], round="v0"))
    added = [{**document, "tags": ["seen"], "index": 3} for document in documents_of(drawn, SIZE, ["other"])]
    assert digest_of(added) == one
    others = [
        drawn.take([1, 0]),
        drawn.take([0]),
        Boxes(drawn.shapes, ("Car", "Car")),
        Boxes(drawn.shapes + np.array([0, 0, 0, 1.0]), drawn.classes),
    ]
    digests = {digest_of(documents_of(other, SIZE, ["key"])) for other in others}
    assert len({one, *digests}) == 5
