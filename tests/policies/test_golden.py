"""Are the labels still honest: what is counted, what it is compared with, and what follows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from some_records import a_batch, a_row, golden
from swath.config import Golden
from swath.labels.shapes import Boxes, Cuboids
from swath.policies.golden import Compared, Seen, Wrong, blind_counts, errors, history, rotation, tally
from swath.records.batch import Axis

SETTINGS = Golden()


def boxes(*said: tuple[str, float]) -> Boxes:
    """Boxes of 100 x 100 px, by class and left edge."""
    corners = np.array([[x, 0, x + 100, 100] for _, x in said], float).reshape(-1, 4)
    return Boxes(corners, tuple(name for name, _ in said))


def cuboids(*said: tuple[str, float, float, float]) -> Cuboids:
    """Cuboids of 4 x 2 x 1.5 m, by class, x, z and yaw."""
    rows = [[x, 0, z, 4, 2, 1.5, 0, 0, yaw] for _, x, z, yaw in said]
    return Cuboids(np.array(rows, float).reshape(-1, 9), tuple(name for name, *_ in said))


def counts(found: Compared) -> dict[str, tuple[int, int]]:
    return {one.axis: (one.wrong, one.of) for one in found.axes}


def axis(errors_: int, trials: int) -> Axis:
    return Axis(errors=errors_, trials=trials, accepted=0.05, low=0, high=1, p_value=0.5)


# ---------------------------------------------------------------------- one scene


def test_each_kind_of_error_has_its_axis() -> None:
    """Of four reference objects one is missed, one swapped and one shifted, and one label has no reference; trials are the
    reference's objects for misses, the labels for extras, the pairs for swaps and shifts."""
    careful = boxes(("car", 0), ("person", 200), ("car", 400), ("sign", 600))
    blind = boxes(("car", 0), ("car", 200), ("car", 425), ("person", 900))
    found = errors(blind, careful, SETTINGS)
    assert counts(found) == {"miss": (1, 4), "extra": (1, 4), "swap": (1, 3), "shift": (1, 3)}
    what = {one.axis: one.what for one in found.axes}
    assert what == {
        "miss": "missed: sign",
        "extra": "not in the reference: person",
        "swap": "person called car",
        "shift": "1 drawn too far off",
    }
    assert sorted(found.distances["2d iou"]) == pytest.approx([0.6, 1, 1])


def test_misses_are_the_reference_s_and_extras_are_the_labels() -> None:
    """Nobody labelled two objects: two misses of two trials, and no trial for extras; and the other way round."""
    two = boxes(("car", 0), ("car", 300))
    assert counts(errors(boxes(), two, SETTINGS)) == {
        "miss": (2, 2),
        "extra": (0, 0),
        "swap": (0, 0),
        "shift": (0, 0),
    }
    assert counts(errors(two, boxes(), SETTINGS)) == {
        "miss": (0, 0),
        "extra": (2, 2),
        "swap": (0, 0),
        "shift": (0, 0),
    }


def test_settings_draw_the_lines() -> None:
    """Below the IoU of a pair it is a miss and an extra; below that of a shift, a shift."""
    careful, off = boxes(("car", 0)), boxes(("car", 25))  # IoU 0.6
    assert counts(errors(off, careful, Golden(iou=0.61)))["miss"] == (1, 1)
    assert counts(errors(off, careful, Golden(iou=0.59, shift_iou=0.61)))["shift"] == (1, 1)
    assert counts(errors(off, careful, Golden(iou=0.59, shift_iou=0.59)))["shift"] == (0, 1)


def test_cuboids_are_matched_in_the_plane_and_shifted_in_space() -> None:
    """2 m apart in bird's eye view is another object; 0.6 m too high, or 3 m, is the same one, shifted; the class does not
    matter for the pairing."""
    careful = cuboids(("car", 0, 0, 0), ("car", 20, 0, 0), ("person", 40, 0, 0))
    blind = cuboids(("car", 2.1, 0, 0), ("car", 20, 0.6, 0), ("sign", 40.4, 0, 0))
    found = errors(blind, careful, SETTINGS)
    same = {"flip": (0, 2), "exchange": (0, 2)}
    assert counts(found) == {"miss": (1, 3), "extra": (1, 3), "swap": (1, 2), "shift": (1, 2), **same}
    assert found.distances["3d centre m"] == pytest.approx((0.6, 0.4))
    high = errors(cuboids(("car", 20, 3, 0)), cuboids(("car", 20, 0, 0)), SETTINGS)
    same = {"flip": (0, 1), "exchange": (0, 1)}
    assert counts(high) == {"miss": (0, 1), "extra": (0, 1), "swap": (0, 1), "shift": (1, 1), **same}


def test_yaw_is_compared_round_the_circle() -> None:
    """Angles differ by at most pi, whatever way round they are given."""
    careful = cuboids(("car", 0, 0, 3.1), ("car", 20, 0, 0))
    blind = cuboids(("car", 0, 0, -3.1), ("car", 20, 0, np.pi))
    found = errors(blind, careful, SETTINGS)
    assert found.distances["3d yaw rad"] == pytest.approx((2 * np.pi - 6.2, np.pi))


def test_a_cuboid_that_faces_the_other_way_is_a_flip() -> None:
    """Turned by pi: a flip, named; its sides exchanged: an exchange, of those alone that are long enough."""
    careful = Cuboids(
        np.array([[0.0, 0, 0, 4, 2, 1.5, 0, 0, 0], [20, 0, 0, 1, 1, 1, 0, 0, 0]]), ("car", "cone")
    )
    blind = Cuboids(
        np.array([[0.0, 0, 0, 4, 2, 1.5, 0, 0, np.pi], [20, 0, 0, 1, 1, 1, 0, 0, 0]]), ("car", "cone")
    )
    found = errors(blind, careful, SETTINGS)
    assert (counts(found)["flip"], counts(found)["exchange"]) == ((1, 2), (0, 1))
    assert next(one.what for one in found.axes if one.axis == "flip") == "car faces the other way"
    assert [one.wrong for one in found.objects] == [("flip",), ()]
    crossed = Cuboids(np.array([[0.0, 0, 0, 2, 4, 1.5, 0, 0, 0]]), ("car",))
    found = errors(crossed, careful.take([0]), SETTINGS)
    assert (counts(found)["flip"], counts(found)["exchange"]) == ((0, 1), (1, 1))


def test_reference_objects_are_known_by_the_id_of_their_label() -> None:
    """A stored label's id, else the place; what is wrong, and how the label differs: nothing of a missed one."""
    careful = Boxes(boxes(("car", 0), ("person", 200)).shapes, ("car", "person"), ({"_id": "abc"}, {}))
    found = errors(boxes(("van", 0)), careful, SETTINGS)
    assert [(one.key, one.name, one.wrong) for one in found.objects] == [
        ("abc", "car", ("swap",)),
        ("#1", "person", ("miss",)),
    ]
    assert found.objects[0].values == (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert found.objects[1].values == ()
    assert errors(boxes(("van", 0), ("cone", 900)), careful, SETTINGS).extra == ("cone",)


# ---------------------------------------------------------------------- adding up


def test_scenes_and_channels_add_up_by_modality() -> None:
    """Two cameras of a scene and its cloud: counts by modality and axis, one scene, means over all pairs."""
    front = Compared((Wrong("miss", 1, 3, "missed: car"),), {"2d iou": (0.8,)})
    back = Compared((Wrong("miss", 0, 2, "missed: "),), {"2d iou": (0.6, 1.0)})
    cloud = Compared((Wrong("miss", 2, 4, "missed: car, car"),), {"3d centre m": ()})
    found = tally([("a", "2d", front), ("a", "2d", back), ("a", "3d", cloud), ("b", "2d", back)])
    assert found.errors == {"2d miss": 1, "3d miss": 2}
    assert found.trials == {"2d miss": 7, "3d miss": 4}
    assert found.scenes == 2
    assert found.means == {"2d iou": pytest.approx(0.8), "3d centre m": None}
    assert [(one.scene, one.axis, one.what) for one in found.examples] == [
        ("a", "2d miss", "missed: car"),
        ("a", "3d miss", "missed: car, car"),
    ]


def test_what_was_measured_is_kept_by_scene_and_object() -> None:
    """Counts per scene, in their order; objects with their scene, two cameras of a scene apart; who labelled, nobody where two did."""
    wrong = Wrong("miss", 1, 2, "missed: car")
    one = Compared((wrong,), {}, (Seen("x", "car", ("miss",)), Seen("y", "van", (), (0.5,))), ("cone",))
    found = tally([("b", "2d", one, "ann"), ("a", "2d", one, "ann"), ("a", "2d", one, "bob")]).measured
    assert found.scenes == ("a", "b")
    assert (found.errors, found.trials) == ({"2d miss": (2, 1)}, {"2d miss": (4, 2)})
    assert found.annotators == {"2d": ("", "ann")}
    assert found.objects["2d"].keys == ("b 0 x", "b 0 y", "a 0 x", "a 0 y", "a 1 x", "a 1 y")
    assert found.objects["2d"].scenes == (1, 1, 0, 0, 0, 0)
    assert found.objects["2d"].values[:2] == ((), (0.5,))
    assert found.extra == {"2d": ("cone",) * 3}


def test_fifty_examples_are_enough() -> None:
    """Examples end at fifty; the counts do not."""
    one = Compared((Wrong("swap", 1, 1, "x"), Wrong("shift", 1, 1, "y")), {})
    found = tally([(f"{i}", "2d", one) for i in range(40)])
    assert (len(found.examples), found.errors["2d swap"], found.errors["2d shift"]) == (50, 40, 40)


# ---------------------------------------------------------------------- earlier rounds


def earlier(name: str, verdict: str = "pass", state: Any = "closed", wrong: int = 1, **more: Any) -> Any:
    axes = {"2d miss": axis(wrong, 40), "3d swap": axis(0, 10)}
    return a_batch(name, state, golden=golden(name, verdict, axes=axes, **more))


def test_earlier_rounds_are_a_baseline() -> None:
    """Errors and trials of all earlier rounds are added up, axis by axis."""
    now = a_batch("v3", "labeled")
    assert history([earlier("v0"), earlier("v1", "warn", wrong=4), a_batch("v2"), now], now) == {
        "2d miss": (5, 80),
        "3d swap": (0, 20),
    }
    assert history([now], now) == {}


def test_a_round_is_not_compared_with_itself_or_later_ones() -> None:
    """A round that is checked again (its golden check is recorded) is no baseline of its own, nor is what came after it."""
    again = earlier("v1", "warn", "labeled", wrong=9)
    assert history([earlier("v0"), again, earlier("v2", wrong=7)], again)["2d miss"] == (1, 40)


def test_blocked_rounds_are_no_baseline_overridden_or_not() -> None:
    """Bad labels do not become normal by being let through."""
    now = a_batch("v3", "labeled")
    blocked = earlier("v1", "block", "labeled", wrong=20)
    overridden = earlier("v2", "block", "closed", wrong=20, override="they are new here")
    assert history([earlier("v0"), blocked, overridden, now], now)["2d miss"] == (1, 40)


def test_cancelled_rounds_are_no_baseline() -> None:
    """Neither are those that were given up."""
    now = a_batch("v2", "labeled")
    assert history([earlier("v0"), earlier("v1", state="cancelled", wrong=20), now], now)["2d miss"] == (
        1,
        40,
    )


# ---------------------------------------------------------------------- taking turns


KEYS = [f"g{i:02d}" for i in range(10)]


def test_golden_scenes_take_turns() -> None:
    """Four of ten go along; two of them stay for the next round; in five rounds each came twice; the seed decides which, the order
    in which they are given does not."""
    rounds = [rotation(KEYS, 4, number, 51) for number in range(5)]
    assert [len(one) for one in rounds] == [4] * 5
    assert all(len({*one} & {*two}) == 2 for one, two in pairwise(rounds))
    assert sorted(key for one in rounds for key in one) == sorted(KEYS * 2)
    assert rotation(KEYS[::-1], 4, 3, 51) == rounds[3] == tuple(sorted(rounds[3]))
    assert any(rotation(KEYS, 4, number, 52) != rounds[number] for number in range(5))


def test_all_golden_scenes_go_along_where_there_are_no_more() -> None:
    """Without a number, or with one that there are not; one at a time comes round as well."""
    assert (
        rotation(KEYS, None, 3, 51) == rotation(KEYS, 10, 3, 51) == rotation(KEYS, 99, 0, 51) == tuple(KEYS)
    )
    assert sorted(rotation(KEYS, 1, number, 51)[0] for number in range(10)) == KEYS
    assert rotation([], 3, 0, 51) == ()


# ---------------------------------------------------------------------- the guide's figures


def test_blind_counts() -> None:
    """Golden samples with a label (not the empty ones, not the pool's), all labels, the ten most frequent classes."""
    rows = [
        a_row("v0", "a", role="golden", state="labeled"),
        a_row("v0", "b", role="golden", state="reviewed_empty"),
        a_row("v0", "c", role="golden", state="skipped"),
        a_row("v0", "d", role="golden", state="labeled"),
        a_row("v0", "e", state="labeled"),
    ]
    classes = ["car"] * 3 + ["van"] * 2 + ["bus"] * 2 + [f"k{i:02d}" for i in range(12)]
    found = blind_counts(rows, classes)
    assert (found.samples_with_labels, found.total_detections) == (2, 19)
    assert list(found.top_classes.items())[:4] == [("car", 3), ("bus", 2), ("van", 2), ("k00", 1)]
    assert len(found.top_classes) == 10
