"""Are the labels still honest: what is counted, what it is compared with, and what follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from some_records import a_batch, a_row, golden
from swath.config import Golden
from swath.labels.shapes import Boxes, Cuboids
from swath.policies.golden import AXES, Compared, Tally, Wrong, blind_counts, decide, errors, history, tally
from swath.records.batch import Axis, BlindCounts

SETTINGS = Golden()
NOBODY = BlindCounts(samples_with_labels=0, total_detections=0, top_classes={})


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


def of(wrong: dict[str, int], trials: dict[str, int], scenes: int = 5) -> Tally:
    return Tally(wrong, trials, {}, (), scenes)


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
    assert counts(found) == {"miss": (1, 3), "extra": (1, 3), "swap": (1, 2), "shift": (1, 2)}
    assert found.distances["3d centre m"] == pytest.approx((0.6, 0.4))
    high = errors(cuboids(("car", 20, 3, 0)), cuboids(("car", 20, 0, 0)), SETTINGS)
    assert counts(high) == {"miss": (0, 1), "extra": (0, 1), "swap": (0, 1), "shift": (1, 1)}


def test_yaw_is_compared_round_the_circle() -> None:
    """Angles differ by at most pi, whatever way round they are given."""
    careful = cuboids(("car", 0, 0, 3.1), ("car", 20, 0, 0))
    blind = cuboids(("car", 0, 0, -3.1), ("car", 20, 0, np.pi))
    found = errors(blind, careful, SETTINGS)
    assert found.distances["3d yaw rad"] == pytest.approx((2 * np.pi - 6.2, np.pi))


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


# ---------------------------------------------------------------------- deciding


def test_every_modality_has_four_axes_with_their_accepted_rates() -> None:
    """Axes without objects are there too; each is tested against its own accepted rate."""
    settings = Golden(miss=0.4, extra=0.3, swap=0.2, shift=0.1)
    now = a_batch("v0", "labeled")
    found = decide(now, [now], ("2d", "3d"), of({"2d swap": 3}, {"2d swap": 30}), NOBODY, settings)
    assert list(found.axes) == [f"{modality} {axis}" for modality in ("2d", "3d") for axis in AXES]
    assert {name: one.accepted for name, one in found.axes.items() if name.startswith("3d")} == {
        "3d miss": 0.4,
        "3d extra": 0.3,
        "3d swap": 0.2,
        "3d shift": 0.1,
    }
    swap = found.axes["2d swap"]
    assert (swap.errors, swap.trials, swap.rate) == (3, 30, 0.1)
    assert found.axes["2d miss"].trials == 0
    only = decide(now, [now], ("3d",), of({}, {}), NOBODY, settings)
    assert list(only.axes) == [f"3d {axis}" for axis in AXES]


ENOUGH = dict.fromkeys((f"2d {axis}" for axis in AXES), 100)


def test_verdicts() -> None:
    """Accepted rates pass, far above blocks, a little above warns, too few objects are said; an override is kept, and lifts
    the block."""
    now = a_batch("v0", "labeled")

    def verdict(wrong: int, trials: dict[str, int] = ENOUGH, **more: Any) -> Any:
        return decide(now, [now], ("2d",), of({"2d miss": wrong}, trials), NOBODY, SETTINGS, **more)

    assert (verdict(3).verdict, verdict(3).holds) == ("pass", False)
    assert (verdict(12).verdict, verdict(12).holds) == ("warn", False)
    assert (verdict(30).verdict, verdict(30).holds) == ("block", True)
    assert verdict(30).reasons[0].startswith("2d miss: 30 of 100")
    anyway = verdict(30, override="new people")
    assert (anyway.verdict, anyway.holds, anyway.override) == ("block", False, "new people")
    few = verdict(0, dict.fromkeys(ENOUGH, 19))
    assert few.verdict == "not enough evidence"
    assert any("needs 20 of each: 2d miss 19" in reason for reason in few.reasons)


def test_worse_than_before_warns() -> None:
    """A rate that is accepted, but above that of the earlier rounds, warns; against a bad baseline it would not."""
    now = a_batch("v1", "labeled")
    before = a_batch("v0", golden=golden("v0", axes={"2d miss": axis(1, 1000)}))
    bad = a_batch("v0", golden=golden("v0", "block", axes={"2d miss": axis(1, 1000)}))
    found = of({"2d miss": 8}, ENOUGH)
    warned = decide(now, [before, now], ("2d",), found, NOBODY, SETTINGS)
    assert warned.verdict == "warn"
    assert "in earlier rounds" in warned.reasons[0]
    assert decide(now, [bad, now], ("2d",), found, NOBODY, SETTINGS).verdict == "pass"


def test_scenes_that_were_seen_before_are_said() -> None:
    """Annotators had the golden scenes in every round that was checked, blocked and cancelled ones included; not in this
    one's own earlier check, nor in rounds without one."""
    now = earlier("v3", "block", "labeled")
    others = [earlier("v0"), earlier("v1", "block", "cancelled"), a_batch("v2")]
    found = decide(now, [*others, now], ("2d",), of({}, ENOUGH, scenes=12), NOBODY, SETTINGS)
    assert found.reasons[-1] == "the same 12 golden scenes for the 3rd time: annotators may remember them"
    first = decide(now, [now], ("2d",), of({}, ENOUGH), NOBODY, SETTINGS)
    assert not any("golden scenes" in reason for reason in first.reasons)
    assert (found.round, found.scenes) == ("v3", 12)


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
