"""What a model says of labels: it is heard where it is right, and its doubts are of the right kind and label."""

from __future__ import annotations

import numpy as np
import pytest

from swath.kernels.detection import Predictions, References
from swath.kernels.detection3d import Predictions3D, References3D, type_mistakes_3d
from swath.kernels.doubts import doubts, heard, opposed, turned
from swath.kernels.mistakes import type_mistakes

CLASSES = ("car", "person")


def test_heard_where_it_is_right() -> None:
    """By hand: of 40 predictions, best first, the 21st and those from the 31st on are wrong. Down to the 31st 29 of 31 are right
    (0.935), to the 32nd 0.906, to the 33rd 0.879: heard from the 32nd on."""
    scores = np.linspace(0.99, 0.60, 40)
    kinds = ["right"] * 20 + ["class"] + ["right"] * 9 + ["background"] * 10
    got = heard(scores, kinds)
    assert got is not None
    assert got.score == pytest.approx(scores[31])
    assert got.wrong == pytest.approx(3 / 32)
    order = np.random.default_rng(0).permutation(40)
    assert heard(scores[order], [kinds[i] for i in order]) == got


def test_not_heard() -> None:
    """A model that is right too seldom, or was right too few times, or said nothing, is not heard; ties count together."""
    assert heard(np.linspace(0.9, 0.1, 50), ["right", "background"] * 25) is None
    assert heard(np.full(19, 0.9), ["right"] * 19) is None
    assert heard([], []) is None
    assert heard(np.full(30, 0.5), ["right"] * 26 + ["class"] * 4) is None


def test_each_kind_on_its_label() -> None:
    """A car that has no label, a person labelled car, and a box beside its object; not what is right, unsure, or seen twice."""
    labels = References(
        np.array([[0, 0, 10, 10], [50, 0, 60, 20], [100, 0, 120, 20], [200, 0, 220, 20]], float),
        np.array([0, 0, 1, 0]),
    )
    seen = [  # box, class, score
        ([0, 0, 10, 10], 0, 0.99),  # right
        ([50, 0, 60, 20], 1, 0.95),  # a person, labelled car
        ([112, 0, 132, 20], 1, 0.90),  # IoU 8 / 32 with the person
        ([300, 0, 310, 10], 0, 0.97),  # overlooked
        ([400, 0, 410, 10], 0, 0.50),  # not sure
        ([1, 0, 11, 10], 0, 0.93),  # the first car again
        ([200, 0, 220, 20], 0, 0.94),  # right, ...
        ([201, 0, 221, 20], 1, 0.92),  # ... so another class there is the model's own trouble
    ]
    found = Predictions(
        np.array([box for box, _, _ in seen], float),
        np.array([score for _, _, score in seen]),
        np.array([label for _, label, _ in seen]),
    )
    wrong = type_mistakes(found, labels, 0.05)
    said = doubts(
        wrong,
        found.scores,
        [CLASSES[label] for label in found.labels],
        [CLASSES[label] for label in labels.labels],
        ["there"] * len(seen),
        "2d",
        "m",
        0.8,
    )
    assert [(one.rule, one.object, one.score) for one in said] == [
        ("overlooked", None, 0.97),
        ("swapped", 1, 0.95),
        ("badly_placed", 2, 0.90),
    ]
    assert {one.severity for one in said} == {"warning"}


def test_the_order_of_swaps_is_fiftyones() -> None:
    """Where classes differ, FiftyOne's mistakenness is (1 + confidence) / 2: it ranks labels as their doubts' scores do."""
    from fiftyone.brain.internal.core import mistakenness

    scores = np.random.default_rng(2).random(20)
    theirs = [mistakenness._compute_mistakenness_class_conf(score, 0.0) for score in scores]
    np.testing.assert_allclose(theirs, (1 + scores) / 2)
    assert np.array_equal(np.argsort(theirs), np.argsort(scores))


def test_who_faces_the_other_way() -> None:
    """Of predictions in the right place those that are turned by more than a quarter, at either end of the circle; one that is not sure,
    or found nothing, says nothing."""
    labelled = np.array(
        [[10.0 * (1 + i), 0, 0, 4, 2, 1.6, 0, 0, yaw] for i, yaw in enumerate((0.0, 3.1, 1.0, 0.5))]
    )
    predicted = labelled[[0, 1, 2, 3]].copy()
    predicted[:, 8] += [
        np.pi,
        -2 * 3.1,
        np.pi,
        0.0,
    ]  # flipped; 3.1 and -3.1 are 5 degrees apart; flipped; right
    predicted[3, 0] += 30.0  # found nothing
    scores = np.array([0.9, 0.95, 0.4, 0.99])
    labels = np.zeros(4, np.int64)
    wrong = type_mistakes_3d(Predictions3D(predicted, scores, labels), References3D(labelled, labels), 0.05)
    rows, partner, other = opposed(wrong, predicted, labelled)
    assert dict(zip(rows.tolist(), zip(partner.tolist(), other.tolist(), strict=True), strict=True)) == {
        0: (0, True),
        1: (1, False),
        2: (2, True),
    }
    said = turned(wrong, scores, predicted, labelled, ["car"] * 4, "m", 0.5)
    assert [(one.rule, one.severity, one.modality, one.object, one.score) for one in said] == [
        ("turned", "warning", "3d", 0, 0.9)
    ]
