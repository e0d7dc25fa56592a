"""Where a decision turns: values that lie exactly on a line, the first round, the order in which things are told."""

from __future__ import annotations

import numpy as np
import pytest

from some_records import a_batch, a_row, an_evaluation, golden, trained
from swath.config import Golden, Stop
from swath.kernels.gain import Resampled
from swath.kernels.mistakes import Mistakes
from swath.labels.shapes import Boxes, Cuboids
from swath.policies.failures import Seen, kinds, rank
from swath.policies.golden import Compared, blind_counts, errors, history, tally
from swath.policies.stopping import Point, criteria, curve
from swath.records.base import Estimate


def mistakes(false: int, fates: tuple[str, ...]) -> Mistakes:
    """So many background predictions, best first, and these fates of the references."""
    return Mistakes(
        np.arange(false),
        ("background",) * false,
        np.full(false, -1),
        fates,  # type: ignore[arg-type]
    )


# ---------------------------------------------------------------------- failures


def test_evidence_has_six_digits() -> None:
    """As the records keep it: more would differ between machines."""
    said = Seen("a", mistakes(1, ()), np.array([0.1234567]), np.array([0]), np.array([], np.int64))
    (one,) = rank([said], ["car"])
    assert one.evidence == 0.123457


def test_classes_are_told_in_order() -> None:
    """Missed and false classes by name, kinds of mistakes too, whatever came first."""
    labels = np.array([1, 0])
    said = Seen("a", mistakes(2, ("missed", "missed")), np.array([0.9, 0.8]), labels, labels)
    (one,) = rank([said], ["car", "person"])
    assert list(one.missed) == list(one.false) == ["car", "person"]
    other = Mistakes(np.arange(2), ("location", "background"), np.array([0, -1]), ("location", "missed"))
    assert list(kinds([other])) == ["background", "location", "missed"]


# ---------------------------------------------------------------------- golden


def test_a_box_on_the_line_is_not_shifted() -> None:
    """An IoU of exactly the limit (0.7) is as near as was asked for; a hair less is not."""
    whole = Boxes(np.array([[0.0, 0, 100, 100]]), ("car",))
    for height, wrong in ((70.0, 0), (69.9, 1)):
        part = Boxes(np.array([[0.0, 0, 100, height]]), ("car",))
        shift = errors(part, whole, Golden(shift_iou=0.7)).axes[3]
        assert (shift.wrong, shift.of) == (wrong, 1)


def test_a_cuboid_on_the_line_is_not_shifted() -> None:
    """Exactly half a metre off is as near as was asked for; a hair more is not."""
    there = Cuboids(np.array([[8.0, 0, 0, 4, 2, 1.5, 0, 0, 0]]), ("car",))
    for x, wrong in ((8.5, 0), (8.501, 1)):
        off = Cuboids(np.array([[x, 0, 0, 4, 2, 1.5, 0, 0, 0]]), ("car",))
        shift = errors(off, there, Golden(shift_center=0.5)).axes[3]
        assert (shift.wrong, shift.of) == (wrong, 1)


def test_the_first_round_is_a_baseline_of_the_second() -> None:
    """And not of itself."""
    first = a_batch("v0", golden=golden("v0"))
    assert history([first, a_batch("v1", "labeled")], a_batch("v1", "labeled")) == {"2d miss": (1, 40)}
    assert history([first], first) == {}


def test_means_are_told_in_order() -> None:
    """By name, whichever sensor came first."""
    cloud, flat = (
        Compared((), {"3d yaw rad": (1.0,), "3d centre m": (2.0,)}),
        Compared((), {"2d iou": (0.5,)}),
    )
    assert list(tally([("a", "3d", cloud), ("a", "2d", flat)]).means) == [
        "2d iou",
        "3d centre m",
        "3d yaw rad",
    ]


def test_empty_golden_scenes_have_no_labels() -> None:
    """Three with labels, one that is empty: three."""
    states = ("labeled", "labeled", "labeled", "reviewed_empty")
    rows = [a_row("v0", f"{i}", role="golden", state=state) for i, state in enumerate(states)]
    assert blind_counts(rows, []).samples_with_labels == 3


# ---------------------------------------------------------------------- stopping


def test_the_curve_is_of_trained_rounds() -> None:
    """A round without a model of swath's is no point of it."""
    batches = [
        a_batch("v0", evaluate=an_evaluation("v0", 0.25)),
        a_batch("v1", train=trained("v1", 40), evaluate=an_evaluation("v1", 0.5)),
        a_batch("v2", train=trained("v2", 60)),
    ]
    assert [(one.scenes, one.map.value) for one in curve(batches)] == [(40, 0.5)]


def test_an_expected_gain_on_the_line_is_worth_a_round() -> None:
    """Flat, and exactly as much expected as the scenes must bring: go on; below it: stop."""
    falling = [Point(20 * (i + 1), Estimate(value=0.5 - i / 10)) for i in range(3)]
    values = np.array([[one.map.value] * 2 for one in falling])
    sure = Resampled(values, np.stack([values, values]), 12)  # the same in every draw
    nothing = criteria(falling, 9, 0, Stop(min_gain=0, patience=2), sure)["plateau"]  # a gain of exactly 0
    assert nothing.numbers["next_gain"] == pytest.approx(0, abs=0)
    assert nothing.stop is False
    assert criteria(falling, 9, 0, Stop(min_gain=0.001, patience=2), sure)["plateau"].stop is True
