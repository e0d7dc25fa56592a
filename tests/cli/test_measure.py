"""The measure of the targeting, by hand."""

from __future__ import annotations

import pytest

from some_records import a_failure, an_evaluation, some_figures
from swath import measure
from swath.policies.aim import failing_kinds
from swath.records.manifest import BatchSize, Chosen, Manifest


def test_the_failing_kind_is_measured_against_what_there_is() -> None:
    """Three missed of 23 pedestrians say more than three of 104 cars, and than twenty of 200; nothing missed has no kind; of
    equals the first name."""
    record = an_evaluation(figures={"2d": some_figures(Car=104, Pedestrian=23, Van=200, Bus=23)})
    failures = {
        "a": a_failure("a", missed={"Car": 3, "Pedestrian": 3, "Van": 20}),
        "b": a_failure("b", missed={"Car": 3, "Van": 3}),
        "c": a_failure("c", missed={}, fp=2),
        "d": a_failure("d", missed={"Pedestrian": 1, "Bus": 1}),
    }
    assert failing_kinds(record, failures.values()) == {"a": "Pedestrian", "b": "Car", "d": "Bus"}


def test_hits_and_chance() -> None:
    """Of three targeted scenes that answer a missed object one holds it; chance is averaged over the same failures; coverage
    scenes and failures that missed nothing do not count."""
    answers = {"s1": "a", "s2": "a", "s3": "b", "s4": "c", "s5": None}
    manifest = Manifest(
        round="v1",
        role="pool",
        size=BatchSize(budget=5, size=5),
        scenes=tuple(Chosen(key=key, channels=("left",), failure=of) for key, of in answers.items()),
    )
    held = {"s1": {"Pedestrian"}, "s2": {"Car"}, "s3": set(), "s4": {"Car"}, "s5": {"Bus"}}
    free = [*held.values(), {"Pedestrian"}, {"Bus"}, {"Car"}]
    found = measure.measured(manifest, {"a": "Pedestrian", "b": "Bus"}, held, free)
    assert (found.round, found.targeted, found.hits) == ("v1", 3, 1)
    assert found.share == pytest.approx(1 / 3)
    assert found.base_rate == pytest.approx((2 / 8 + 2 / 8 + 2 / 8) / 3)
    assert found.ratio == pytest.approx((1 / 3) / (1 / 4))


def test_nothing_to_measure() -> None:
    """A batch that answers no missed object has no share, and no ratio."""
    manifest = Manifest(round="v1", role="pool", size=BatchSize(budget=0, size=0), scenes=())
    found = measure.measured(manifest, {}, {}, [])
    assert (found.targeted, found.hits, found.share, found.base_rate, found.ratio) == (0, 0, 0.0, 0.0, None)
