"""Which scenes the model gets wrong, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.kernels.detection import Predictions, References
from swath.kernels.mistakes import Mistakes, type_mistakes
from swath.policies.failures import Seen, confusion, kinds, ordered, rank, worst
from swath.policies.unclear import Unclear
from swath.records.migrate import WORST

CLASSES = ("car", "person", "sign")
CAR, PERSON, SIGN = range(3)


def seen(
    key: str,
    right: Sequence[int] = (),
    missed: Sequence[int] = (),
    false: Sequence[tuple[int, float]] = (),
) -> Seen:
    """A channel that found objects of the classes `right` (score 0.9), missed others, and saw (class, score) falsely.

    Predictions of 0.01 in between are below the threshold; the kept ones come in the order of their scores.
    """
    said = [(label, 0.9, "right") for label in right] + [
        (label, score, "background") for label, score in false
    ]
    rows = [entry for one in said for entry in (one, (SIGN, 0.01, ""))]
    kept = sorted((row for row in range(len(rows)) if rows[row][2]), key=lambda row: -rows[row][1])
    found = iter(range(len(right)))
    partner = [next(found) if rows[row][2] == "right" else -1 for row in kept]
    mistakes = Mistakes(
        np.array(kept, dtype=np.int64),
        tuple(rows[row][2] for row in kept),  # type: ignore[misc]
        np.array(partner, dtype=np.int64),
        ("found",) * len(right) + ("missed",) * len(missed),
    )
    scores, labels = np.array([row[1] for row in rows]), np.array([row[0] for row in rows], dtype=np.int64)
    return Seen(key, mistakes, scores, labels, np.array([*right, *missed], dtype=np.int64))


def test_a_false_alarm_weighs_what_the_model_was_sure_of_it() -> None:
    """Missed objects count one each, false ones their score: two half-sure ones are worth one missed, not two."""
    (one,) = rank([seen("a", missed=[CAR], false=[(PERSON, 0.5), (CAR, 0.25)])], CLASSES)
    assert (one.fn, one.fp, one.evidence) == (1, 2, 1.75)
    order = rank(
        [seen("sure", false=[(CAR, 0.8), (CAR, 0.9)]), seen("unsure", false=[(CAR, 0.1)] * 9)], CLASSES
    )
    assert [one.key for one in order] == ["sure", "unsure"]
    assert [one.evidence for one in order] == [1.7, 0.9]


def test_worst_first_and_equals_by_key() -> None:
    """The order is by evidence, then by key, whatever order the scenes come in."""
    given_ = [
        seen("c", missed=[CAR]),
        seen("a", false=[(CAR, 0.5), (CAR, 0.5)]),
        seen("b", missed=[SIGN]),
        seen("z", missed=[CAR, CAR]),
    ]
    for listed in (given_, given_[::-1]):
        assert [one.key for one in rank(listed, CLASSES)] == ["z", "a", "b", "c"]


def test_a_scene_without_an_error_is_no_failure() -> None:
    """What was found counts for nothing, and what is below the threshold neither."""
    assert rank([seen("clean", right=[CAR, PERSON]), seen("empty")], CLASSES) == ()


def test_kinds_say_which_errors_there_are() -> None:
    """`high_fn` where something was missed, `high_fp` where something was seen falsely, both in this order."""
    of = {
        one.key: one.kinds
        for one in rank(
            [
                seen("a", missed=[CAR]),
                seen("b", false=[(CAR, 0.5)]),
                seen("c", missed=[CAR], false=[(CAR, 0.5)]),
            ],
            CLASSES,
        )
    }
    assert of == {"a": ("high_fn",), "b": ("high_fp",), "c": ("high_fn", "high_fp")}


def test_missed_and_false_are_told_apart_by_class() -> None:
    """Missed objects are counted by their own class, false ones by the class that the model gave them."""
    (one,) = rank(
        [seen("a", right=[CAR], missed=[PERSON, PERSON, CAR], false=[(SIGN, 0.5), (CAR, 0.5)])], CLASSES
    )
    assert one.missed == {"car": 1, "person": 2}
    assert one.false == {"car": 1, "sign": 1}


def test_channels_of_a_scene_add_up() -> None:
    """A scene of two cameras is one failure, with the errors of both, each once."""
    front, back = (
        seen("a", missed=[CAR], false=[(SIGN, 0.25)]),
        seen("a", missed=[CAR, PERSON], false=[(SIGN, 0.5)]),
    )
    (one,) = rank([front, seen("b", right=[CAR]), back], CLASSES)
    assert (one.key, one.fn, one.fp, one.evidence) == ("a", 3, 2, 3.75)
    assert (one.missed, one.false) == ({"car": 2, "person": 1}, {"sign": 2})


def test_an_object_that_was_drawn_wrongly_is_missed_too() -> None:
    """A badly placed box is a false one, and its object is not found: both count, as in the kernel."""
    truth = References(np.array([[0.0, 0, 10, 10]]), np.array([CAR]))
    near = Predictions(np.array([[0.0, 6, 10, 16]]), np.array([0.5]), np.array([CAR]))
    mistakes = type_mistakes(near, truth, 0.3)
    assert mistakes.kinds == ("location",)
    (one,) = rank([Seen("a", mistakes, near.scores, near.labels, truth.labels)], CLASSES)
    assert (one.fn, one.fp, one.evidence, one.missed, one.false) == (1, 1, 1.5, {"car": 1}, {"car": 1})


boxes = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 2), st.integers(1, 99)), max_size=5
)


@given(st.lists(st.tuples(st.sampled_from("abc"), boxes, boxes), max_size=5))
def test_counts_are_those_of_a_slow_reading(scenes: list[tuple[str, list, list]]) -> None:  # type: ignore[type-arg]
    """Against the definition read scene by scene: fn, fp, evidence and the order."""
    expected: dict[str, list[float]] = {}
    listed = []
    for key, predicted, wanted in scenes:
        said, truth = (
            (
                np.array([[x, y, x + 8, y + 8] for x, y, _, _ in some], float).reshape(-1, 4),
                np.array([label for _, _, label, _ in some], dtype=np.int64),
            )
            for some in (predicted, wanted)
        )
        scores = np.array([score / 100 for *_, score in predicted])
        mistakes = type_mistakes(Predictions(said[0], scores, said[1]), References(*truth), 0.2)
        listed.append(Seen(key, mistakes, scores, said[1], truth[1]))
        right = [int(row) for row, kind in zip(mistakes.kept, mistakes.kinds, strict=True) if kind == "right"]
        wrong = [row for row in range(len(scores)) if scores[row] >= 0.2 and row not in right]
        total = expected.setdefault(key, [0, 0, 0])
        total[0] += len(wanted) - len(right)
        total[1] += len(wrong)
        total[2] += len(wanted) - len(right) + float(scores[wrong].sum())
    found = rank(listed, CLASSES)
    assert {one.key for one in found} == {key for key, (fn, fp, _) in expected.items() if fn or fp}
    for one in found:
        assert [one.fn, one.fp] == expected[one.key][:2]
        assert one.evidence == pytest.approx(expected[one.key][2], abs=1e-6)
    assert list(found) == sorted(found, key=lambda one: (-one.evidence, one.key))


def test_the_record_keeps_the_worst() -> None:
    """As many as a record of 0.1.0 is cut to when it is migrated, from the top."""
    many = rank([seen(f"{i:03d}", false=[(CAR, i / 1000)]) for i in range(1, 121)], CLASSES)
    assert worst(many) == many[:WORST]
    assert worst(many)[0].key == "120"
    assert worst(many[:3]) == many[:3]


def test_kinds_of_errors_are_counted() -> None:
    """Every wrong prediction by its kind, what nothing points at as missed; right ones and found objects are no errors."""
    truth = References(
        np.array([[0.0, 0, 10, 10], [40, 0, 50, 10], [80, 0, 90, 10]]), np.array([CAR, CAR, PERSON])
    )
    said = Predictions(
        np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [40, 6, 50, 16], [200, 0, 210, 10]]),
        np.array([0.9, 0.8, 0.7, 0.6]),
        np.array([CAR, CAR, CAR, SIGN]),
    )
    one = type_mistakes(said, truth, 0.3)
    assert kinds([one]) == {"background": 1, "duplicate": 1, "location": 1, "missed": 1}
    assert kinds([one, one]) == {"background": 2, "duplicate": 2, "location": 2, "missed": 2}
    nothing = type_mistakes(Predictions.none(), References.none(), 0.3)
    assert kinds([nothing]) == {"missed": 0}


def test_by_rate_crowds_do_not_come_first() -> None:
    """Six of twelve missed are more errors than three of three, and a lower rate; a scene without errors is in neither order."""
    crowd = seen("crowd", right=[CAR] * 6, missed=[CAR] * 6)
    few = seen("few", missed=[CAR] * 3)
    one = seen("one", missed=[CAR])
    found = rank([few, crowd, one, seen("clean", right=[CAR])], CLASSES)
    assert [failure.objects for failure in found] == [12, 3, 1]
    assert [failure.key for failure in ordered(found, "count")] == ["crowd", "few", "one"]
    assert [failure.key for failure in ordered(found, "rate")] == ["few", "one", "crowd"]
    assert [round(failure.rate, 3) for failure in ordered(found, "rate")] == [0.75, 0.5, round(6 / 13, 3)]


def test_a_failure_of_an_earlier_swath_keeps_its_place() -> None:
    """Where the number of objects was not kept, the rate is the evidence."""
    old = rank([seen("a", missed=[CAR] * 2), seen("b", missed=[CAR])], CLASSES)
    bare = [one.with_(objects=None) for one in old]
    assert [one.key for one in ordered(bare, "rate")] == ["a", "b"]


def test_what_people_disagree_about_is_no_evidence() -> None:
    """Unclear errors are counted, shown and tagged, and rank nothing: a scene with nothing else comes last, and is a failure still."""
    unclear = replace(
        seen("a", missed=[CAR, PERSON], false=[(SIGN, 0.5)]), unclear=Unclear(frozenset([0]), frozenset([0]))
    )
    other = seen("b", false=[(CAR, 0.4)])
    nothing = replace(seen("c", missed=[CAR]), unclear=Unclear(frozenset([0])))
    one, two, last = rank([nothing, other, unclear], CLASSES)
    assert [found.key for found in (one, two, last)] == ["a", "b", "c"]
    assert (one.fn, one.fp, one.unclear, one.evidence) == (2, 1, 2, 1.0)
    assert (last.fn, last.kinds, last.unclear, last.evidence) == (1, ("high_fn",), 1, 0.0)


def test_what_is_taken_for_what() -> None:
    """Two cars, a person, a sign. The first car is found; the person is taken for a car, twice, and counts once: as the surer one;
    a person is seen where nothing is; the second car is seen again beside the first, and is nothing of it."""
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]], float)
    wanted = References(boxes, np.array([CAR, CAR, PERSON, SIGN]))
    seen_at = boxes[[0, 0, 2, 2, 2]] + [[0] * 4, [1] * 4, [0] * 4, [1] * 4, [0, 200, 0, 200]]
    found = Predictions(seen_at, np.array([0.9, 0.8, 0.5, 0.7, 0.6]), np.array([CAR, CAR, CAR, SIGN, PERSON]))
    one = Seen("a", type_mistakes(found, wanted, 0.3), found.scores, found.labels, wanted.labels)
    told = {(row.of, row.found): row.count for row in confusion([one], CLASSES)}
    assert told == {
        ("car", "car"): 1, ("car", None): 1, ("person", "sign"): 1, ("sign", None): 1, (None, "car"): 2, (None, "person"): 1,
    }  # fmt: skip
    assert confusion([], CLASSES) == ()


@given(st.integers(0, 10**6))
def test_everything_is_taken_for_something(seed: int) -> None:
    """Rows add up to the objects of a class, columns to the predictions of one at the threshold."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 12, (2, 8, 2))
    boxes = [np.hstack([one, one + 6]).astype(float) for one in corner]
    found = Predictions(boxes[0], rng.random(8).round(1), rng.integers(0, 3, 8))
    wanted = References(boxes[1], rng.integers(0, 3, 8))
    one = Seen("a", type_mistakes(found, wanted, 0.4), found.scores, found.labels, wanted.labels)
    rows, columns = np.zeros(4, int), np.zeros(4, int)
    place = {name: i for i, name in enumerate((*CLASSES, None))}
    for cell in confusion([one], CLASSES):
        rows[place[cell.of]] += cell.count
        columns[place[cell.found]] += cell.count
    assert rows[:3].tolist() == np.bincount(wanted.labels, minlength=3).tolist()
    assert columns[:3].tolist() == np.bincount(found.labels[found.scores >= 0.4], minlength=3).tolist()
