"""KITTI's rules: each a case with its arithmetic, and all of them against a loop that follows the development kit line by line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.kernels.kitti import (
    HEIGHT,
    NEIGHBOURS,
    OCCLUDED,
    OVERLAP,
    TRUNCATED,
    Difficulty,
    Scene,
    score,
    thresholds,
)

CLASSES = ("Car", "Van", "Pedestrian", "Person_sitting")
CAR, VAN, PERSON, SITTING = range(4)


def scene(predictions: list[tuple[int, float]], objects: list[int], overlap: Any, **more: Any) -> Scene:
    """Predictions (class, score) of 50 px, objects of 50 px, wholly visible."""
    n, m = len(predictions), len(objects)
    given: dict[str, Any] = {
        "scores": np.array([one[1] for one in predictions], float),
        "labels": np.array([one[0] for one in predictions], np.int64),
        "heights": np.full(n, 50.0),
        "wanted": np.array(objects, np.int64),
        "tall": np.full(m, 50.0),
        "truncated": np.zeros(m),
        "occluded": np.zeros(m, np.int64),
        "overlap": np.array(overlap, float).reshape(n, m),
        "absorbed": np.zeros(n),
    }
    return Scene(**{**given, **more})


def ap(one: Scene, name: str = "Car", difficulty: Difficulty = "moderate") -> float | None:
    return score([one], CLASSES, name, difficulty).ap


HALF = pytest.approx(0.5)
"""A false alarm surer than the only right prediction: precision 1/2 at every recall."""


def test_one_found() -> None:
    """One object, found: recall 1/1 is reached at the first threshold, and only there: R40 has 40 points, of which one object
    fills none but the 0th; the kit's own arithmetic gives 0 of 40."""
    assert score([scene([(CAR, 0.9)], [CAR], [[0.8]])], CLASSES, "Car", "easy").objects == 1
    assert thresholds(np.array([0.9]), 1).tolist() == [0.9]
    assert ap(scene([(CAR, 0.9)], [CAR], [[0.8]])) == 0


def forty(found: int = 40, **more: Any) -> Scene:
    """Forty cars in a row, each found by a prediction of its own, the sure ones first."""
    overlap = np.diag([0.8] * found + [0.0] * (40 - found))
    return scene([(CAR, 0.99 - i / 100) for i in range(40)], [CAR] * 40, overlap, **more)


def test_recalls_are_a_fortieth_apart() -> None:
    """Forty objects: the first threshold is for recall 0 and takes the first hit, (2/40 - 0) < (0 - 1/40) is never so; each next one
    stands for a fortieth more. 40 thresholds fill points 0 to 39: AP 39/40."""
    assert len(thresholds(np.linspace(1, 0.5, 40), 40)) == 40
    assert ap(forty()) == pytest.approx(39 / 40)


def test_misses_take_their_points() -> None:
    """Twenty of forty found: points 1 to 19 have precision 1, and the other predictions are false alarms less sure than they: 19/40."""
    assert ap(forty(20)) == pytest.approx(19 / 40)


def test_overlap_is_strictly_greater() -> None:
    """Cars need more than 0.7, pedestrians more than 0.5: equal is not enough."""
    one = forty()
    assert ap(replace(one, overlap=one.overlap * 0.7 / 0.8)) == 0
    assert ap(replace(one, overlap=np.where(one.overlap > 0, np.nextafter(0.7, 1), 0))) == pytest.approx(
        39 / 40
    )
    people = replace(one, labels=np.full(40, PERSON), wanted=np.full(40, PERSON), overlap=np.diag([0.5] * 40))
    assert ap(people, "Pedestrian") == 0
    assert ap(replace(people, overlap=np.diag([0.51] * 40)), "Pedestrian") == pytest.approx(39 / 40)


@pytest.mark.parametrize(
    ("what", "value", "counts"),
    [
        ("tall", 40.0, "easy moderate hard"), ("tall", 39.9, "moderate hard"), ("tall", 24.9, ""),
        ("occluded", 0, "easy moderate hard"), ("occluded", 1, "moderate hard"), ("occluded", 2, "hard"), ("occluded", 3, ""),
        ("truncated", 0.15, "easy moderate hard"), ("truncated", 0.30, "moderate hard"), ("truncated", 0.5, "hard"), ("truncated", 0.51, ""),
    ],
)  # fmt: skip
def test_difficulties(what: str, value: float, counts: str) -> None:
    """An object at the limit counts, beyond it neither way."""
    for difficulty in ("easy", "moderate", "hard"):
        one = forty()
        objects = getattr(one, what).copy()
        objects[0] = value
        told = score([replace(one, **{what: objects})], CLASSES, "Car", difficulty)
        assert told.objects == (40 if difficulty in counts else 39)


def test_who_finds_what_does_not_count_is_no_false_alarm() -> None:
    """The surest prediction finds a car that is too hidden: as if neither were there. Were it a false alarm, precision would begin
    at 1/2 and AP be less."""
    one = forty()
    hidden = one.occluded.copy()
    hidden[0] = 3
    without = scene([(CAR, 0.98 - i / 100) for i in range(39)], [CAR] * 39, np.diag([0.8] * 39))
    assert ap(replace(one, occluded=hidden)) == pytest.approx(ap(without))  # type: ignore[arg-type]
    alarm = replace(one, occluded=hidden, overlap=np.where(np.arange(40)[:, None] == 0, 0, one.overlap))
    assert ap(alarm) < ap(without)  # type: ignore[operator]


def test_neighbours_count_neither_way() -> None:
    """A car seen in a van is no false alarm, and the van is no miss; a van seen in a car is no hit."""
    one = forty()
    wanted = one.wanted.copy()
    wanted[0] = VAN
    told = score([replace(one, wanted=wanted)], CLASSES, "Car", "easy")
    assert told.objects == 39
    assert told.ap == pytest.approx(
        ap(scene([(CAR, 0.98 - i / 100) for i in range(39)], [CAR] * 39, np.diag([0.8] * 39)))
    )
    assert ap(replace(one, labels=np.full(40, VAN))) == 0
    sitting = replace(one, labels=np.full(40, PERSON), wanted=np.where(np.arange(40) == 0, SITTING, PERSON))
    assert score([sitting], CLASSES, "Pedestrian", "easy").objects == 39


def test_small_predictions_count_neither_way() -> None:
    """False alarms of 39 px are none at easy, and are at moderate."""
    one = forty()
    alarms = scene(
        [(CAR, 0.995)] * 5 + [(CAR, s) for s in one.scores],
        [CAR] * 40,
        np.vstack([np.zeros((5, 40)), one.overlap]),
    )
    small = replace(alarms, heights=np.where(np.arange(45) < 5, 39.0, 50.0))
    assert ap(small, difficulty="easy") == pytest.approx(39 / 40)
    assert ap(small, difficulty="moderate") < 39 / 40  # type: ignore[operator]
    unknown = replace(small, heights=np.where(np.arange(45) < 5, np.nan, 50.0))
    assert ap(unknown, difficulty="easy") == ap(alarms, difficulty="easy")


def test_heights_go_with_the_image() -> None:
    """In an image of 188 rows 21 px are as 42 in KITTI's: easy."""
    one = replace(forty(), tall=np.full(40, 21.0), heights=np.full(40, 21.0))
    assert score([one], CLASSES, "Car", "easy").objects == 0
    assert score([replace(one, rows=187.5)], CLASSES, "Car", "easy").objects == 40


def test_dont_care_absorbs_false_alarms() -> None:
    """A false alarm that lies in a DontCare area by more than the threshold is none; by the threshold it is one; a right prediction
    in it stays right."""
    one = forty()
    alarms = scene(
        [(CAR, 0.995)] + [(CAR, s) for s in one.scores],
        [CAR] * 40,
        np.vstack([np.zeros((1, 40)), one.overlap]),
    )
    assert ap(replace(alarms, absorbed=np.full(41, 0.71))) == pytest.approx(39 / 40)
    assert ap(replace(alarms, absorbed=np.full(41, 0.7))) == ap(alarms)
    assert ap(alarms) < 39 / 40  # type: ignore[operator]


def test_nothing_has_a_name() -> None:
    """No scenes, no objects: None. No predictions: 0. NaN scores: an error. Equal scores: one threshold for all of them."""
    assert score([], CLASSES, "Car", "easy").ap is None
    assert ap(scene([(CAR, 0.9)], [], [])) is None
    assert ap(scene([], [CAR], [])) == 0
    with pytest.raises(ValueError, match="got NaN"):
        ap(scene([(CAR, np.nan)], [CAR], [[0.8]]))
    assert ap(replace(forty(), scores=np.full(40, 0.5))) == pytest.approx(39 / 40)


# ---------------------------------------------------------------------- the kit, line by line


def slow(scenes: list[Scene], name: str, difficulty: Difficulty) -> float | None:
    """`evaluate_object.cpp`, in Python: loops, flags and all."""
    at, least = CLASSES.index(name), OVERLAP.get(name, 0.5)
    beside = [CLASSES.index(one) for one in NEIGHBOURS.get(name, ())]

    def clean(one: Scene) -> tuple[list[int], list[int]]:
        low = HEIGHT[difficulty] * one.rows / 375
        of_objects, of_predictions = [], []
        for j in range(len(one.wanted)):
            hard = (
                one.tall[j] < low
                or one.occluded[j] > OCCLUDED[difficulty]
                or one.truncated[j] > TRUNCATED[difficulty]
            )
            of_objects.append(
                (1 if hard else 0) if one.wanted[j] == at else 1 if one.wanted[j] in beside else -1
            )
        for i in range(len(one.scores)):
            of_predictions.append(-1 if one.labels[i] != at else 1 if one.heights[i] < low else 0)
        return of_objects, of_predictions

    def statistics(one: Scene, cut: float, compute_fp: bool) -> tuple[int, int, list[float]]:
        of_objects, of_predictions = clean(one)
        assigned, tp, fp, hits = [False] * len(one.scores), 0, 0, []
        for j, ignored in enumerate(of_objects):
            if ignored == -1:
                continue
            chosen, valid, best, by_ignored = -1, -1e9, 0.0, False
            for i, told in enumerate(of_predictions):
                if told == -1 or assigned[i] or one.scores[i] < cut or not one.overlap[i, j] > least:
                    continue
                if not compute_fp and one.scores[i] > valid:
                    chosen, valid = i, one.scores[i]
                elif compute_fp and (one.overlap[i, j] > best or by_ignored) and told == 0:
                    chosen, valid, best, by_ignored = i, 1, one.overlap[i, j], False
                elif compute_fp and valid == -1e9 and told == 1:
                    chosen, valid, by_ignored = i, 1, True
            if chosen < 0:
                continue
            assigned[chosen] = True
            if ignored == 0 and of_predictions[chosen] == 0:
                tp += 1
                hits.append(float(one.scores[chosen]))
        for i, told in enumerate(of_predictions):
            fp += not assigned[i] and told == 0 and one.scores[i] >= cut and not one.absorbed[i] > least
        return tp, fp, hits

    objects = sum(clean(one)[0].count(0) for one in scenes)
    if not objects:
        return None
    cuts = thresholds(np.array([hit for one in scenes for hit in statistics(one, -1e9, False)[2]]), objects)
    precision = [0.0] * 41
    for t, cut in enumerate(cuts):
        told = [statistics(one, cut, True) for one in scenes]
        tp, fp = sum(one[0] for one in told), sum(one[1] for one in told)
        precision[t] = tp / (tp + fp) if tp + fp else 0.0
    return sum(max(precision[i:]) for i in range(1, 41)) / 40


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from(["Car", "Pedestrian"]),
    st.sampled_from(["easy", "moderate", "hard"]),
)
def test_the_kit_agrees(seed: int, name: str, difficulty: Difficulty) -> None:
    """Random scenes with every flag set at random, ties among the scores: the same AP as the loops give."""
    rng = np.random.default_rng(seed)
    scenes = []
    for _ in range(4):
        n, m = rng.integers(0, 12, 2)
        scenes.append(
            Scene(
                np.round(rng.random(n), 1),
                rng.integers(0, 4, n),
                rng.uniform(20, 60, n),
                rng.integers(0, 4, m),
                rng.uniform(20, 60, m),
                rng.choice([0, 0.2, 0.4, 0.6], m),
                rng.integers(0, 4, m),
                np.where(rng.random((n, m)) < 0.4, rng.uniform(0.4, 1, (n, m)), 0),
                np.where(rng.random(n) < 0.3, 0.8, 0.0),
                float(rng.choice([187.5, 375])),
            )
        )
    assert score(scenes, CLASSES, name, difficulty).ap == pytest.approx(slow(scenes, name, difficulty))
