"""What follows from a golden check, what its reference costs, and how many scenes it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from some_records import a_batch, golden
from swath.config import Golden
from swath.policies.golden import Tally
from swath.policies.golden_axes import COUNTED, MEASURED, Unit, in_words
from swath.policies.golden_plan import plan
from swath.policies.golden_reference import cost, expected, made, quality
from swath.policies.golden_verdict import asked, decide
from swath.records.batch import Axis, BlindCounts, Fetched, GoldenChecked
from swath.records.measured import Measured, Objects

SETTINGS = Golden()
EASY = Golden(miss=0.3, extra=0.3, swap=0.3, shift=0.3)
EXACT = quality("majority", Golden(reference_errors=0.0))
NOBODY = BlindCounts(samples_with_labels=0, total_detections=0, top_classes={})
SCENES = 30


def measured(
    wrong: dict[str, Sequence[int]] | None = None,
    each: int = 5,
    scenes: int = SCENES,
    modalities: Sequence[str] = ("2d",),
    seed: int = 0,
    off: dict[str, float] | None = None,
    **more: Any,
) -> Measured:
    """So many scenes of `each` objects; `wrong`: axis -> errors of the first scenes; `off`: measure -> what its mean is off. Labels
    are steady to 1 % of a size, 2 cm, 1 degree."""
    rng = np.random.default_rng(seed)
    errors = {f"{one} {kind}": [0] * scenes for one in modalities for kind in COUNTED[one]}
    for axis, told in (wrong or {}).items():
        errors[axis][: len(told)] = told
    objects = {}
    for one in modalities:
        columns = []
        for measure in MEASURED[one]:
            steady = {"iou": 0.01, "ratio": 0.01, "share": 0.01, "m": 0.02, "degrees": 1.0}[measure.unit]
            values = rng.normal(0, steady, scenes * each)
            whole = 0.95 if measure.unit == "iou" else 0.0
            off_by = (off or {}).get(f"{one} {measure.name}", 0.0)
            columns.append(
                whole + (values if measure.signed else -abs(values) if whole else abs(values)) + off_by
            )
        objects[one] = Objects(
            keys=tuple(f"{i}" for i in range(scenes * each)),
            scenes=tuple(i // each for i in range(scenes * each)),
            classes=tuple("person" if i % each == 0 else "car" for i in range(scenes * each)),
            wrong=tuple(() for _ in range(scenes * each)),
            values=tuple(map(tuple, np.array(columns).T.tolist())),
        )
    given: dict[str, Any] = {
        "scenes": tuple(f"s{i:02d}" for i in range(scenes)),
        "errors": {axis: tuple(told) for axis, told in errors.items()},
        "trials": {axis: (each,) * scenes for axis in errors},
        "annotators": {one: ("ann",) * scenes for one in modalities},
        "objects": objects,
        **more,
    }
    return Measured(**given)


def check(
    now: Measured, *earlier: Measured, settings: Golden = SETTINGS, before: Any = None, **more: Any
) -> GoldenChecked:
    batch = a_batch("v9", "labeled")
    modalities = [one for one in ("2d", "3d") if f"{one} miss" in now.errors]
    given: dict[str, Any] = {"reference": EXACT, "earlier": earlier, **more}
    return decide(batch, [*(before or ()), batch], modalities, Tally(now), NOBODY, settings, **given)


# ---------------------------------------------------------------------- verdicts


def test_every_modality_has_its_axes_with_their_accepted_rates() -> None:
    """Four counts of boxes, six of cuboids, six and eleven measures; each count with its own accepted rate."""
    settings = Golden(miss=0.4, extra=0.3, swap=0.2, shift=0.1, flip=0.05, exchange=0.06)
    found = check(measured({"2d swap": [1] * 3}, modalities=("2d", "3d")), settings=settings)
    assert list(found.axes) == [f"{one} {kind}" for one in ("2d", "3d") for kind in COUNTED[one]]
    assert list(found.measures) == [
        f"{one} {measure.name}" for one in ("2d", "3d") for measure in MEASURED[one]
    ]
    assert {name: one.accepted for name, one in found.axes.items() if name.startswith("3d")} == {
        "3d miss": 0.4,
        "3d extra": 0.3,
        "3d swap": 0.2,
        "3d shift": 0.1,
        "3d flip": 0.05,
        "3d exchange": 0.06,
    }
    swap = found.axes["2d swap"]
    assert (swap.errors, swap.trials, swap.rate) == (3, 150, 0.02)
    assert list(check(measured(modalities=("3d",))).axes) == [f"3d {kind}" for kind in COUNTED["3d"]]


def test_verdicts() -> None:
    """Accepted rates pass where enough could be seen, far above blocks, a little above warns; an override is kept, and lifts the
    block."""
    many = {"scenes": 150}
    fine = check(measured({"2d miss": [1] * 20}, **many), settings=EASY)
    assert (fine.verdict, fine.holds) == ("pass", False)
    assert fine.reasons[0] == "no axis is above what is accepted (4 counted, 6 measured)"
    some = check(measured({"2d miss": [1] * 14}))
    assert (some.verdict, some.holds) == ("warn", False)
    bad = measured({"2d miss": [2] * 20})
    assert (check(bad).verdict, check(bad).holds) == ("block", True)
    assert check(bad).reasons[0].startswith("2d miss: 40 of 150 (26.7%) missed (95 % interval ")
    anyway = check(bad, override="new people")
    assert (anyway.verdict, anyway.holds, anyway.override) == ("block", False, "new people")


def test_few_objects_are_no_pass_but_no_excuse() -> None:
    """Below 20 objects nothing that is wrong is not enough evidence; eight of ten missed block all the same; nothing compared is
    said."""
    few = check(measured(scenes=4, each=4), settings=EASY)
    assert few.verdict == "not enough evidence"
    assert any("needs 20 of each: 2d miss 16" in reason for reason in few.reasons)
    assert check(measured({"2d miss": [2, 2, 2, 2, 0]}, scenes=5, each=2)).verdict == "block"
    nothing = check(Measured(scenes=(), errors={"2d miss": ()}, trials={"2d miss": ()}))
    assert nothing.verdict == "not enough evidence"
    assert "nothing was compared" in nothing.reasons[0]


def test_a_pass_must_have_been_able_to_see() -> None:
    """150 objects could not have seen three times 2 % swaps: no pass, and which axes; a thousand could have seen 5 % misses."""
    found = check(measured())
    assert found.verdict == "not enough evidence"
    assert "it could not have seen 3 times what is accepted: " in found.reasons[0]
    swap = found.axes["2d swap"]
    assert swap.detectable is not None
    assert swap.detectable > 0.06
    assert f"2d swap is seen from {swap.detectable:.1%} (accepted 2.0%)" in found.reasons[0]
    longer = check(measured(), measured(), measured())
    assert longer.axes["2d swap"].window_detectable is not None
    assert longer.axes["2d swap"].window_detectable < swap.detectable
    assert check(measured(scenes=300)).verdict == "pass"


def test_looser_boxes_block_and_are_named() -> None:
    """Edges 6 % of the side further out than the reference, at a tolerance of 4 %: a block, with direction, size and interval."""
    found = check(measured(off={"2d left": 0.06}))
    assert found.verdict == "block"
    (told,) = (one for one in found.reasons if one.startswith("2d left"))
    assert told.startswith("2d left: left edges are further out than the reference, +6.")
    assert "tolerance 4.0 % of the side" in told
    one = found.measures["2d left"]
    assert one.low is not None
    assert one.high is not None
    assert one.low < one.mean < one.high
    assert one.low > one.tolerance


def test_a_mean_iou_is_told_as_it_is() -> None:
    """0.80, where 0.85 is tolerated: `boxes fit worse`; its interval stands in order; a better one is nothing."""
    found = check(measured(off={"2d iou": -0.14}))
    one = found.measures["2d iou"]
    assert found.verdict == "block"
    assert "2d iou: boxes fit worse than the reference, 0.8" in found.reasons[0]
    assert one.tolerance == 0.85
    assert one.low is not None
    assert one.high is not None
    assert 0.78 < one.low < one.mean < one.high < 0.82
    assert one.detectable is not None
    assert 0.8 < one.detectable < 0.85


def test_a_change_within_the_tolerance_warns() -> None:
    """Boxes 5 % larger than in two earlier rounds, on the same objects: a warning; by how much, on how many."""
    found = check(measured(off={"2d area": 0.05}, seed=3), measured(seed=1), measured(seed=2))
    assert found.verdict == "warn"
    (told,) = (one for one in found.reasons if one.startswith("2d area"))
    assert told.startswith("2d area: boxes are larger than in earlier rounds, by 5.")
    assert "on the same 150 objects; margin 3.0 %" in told
    one = found.measures["2d area"]
    assert one.paired == 150
    assert one.change == pytest.approx(0.05, abs=0.005)
    worse = check(measured(off={"2d iou": -0.04}, seed=3), measured(seed=1))
    assert worse.measures["2d iou"].change == pytest.approx(-0.04, abs=0.005)
    assert "boxes fit worse than in earlier rounds, by 0.04" in worse.reasons[0]


def test_objects_are_paired_by_what_they_are_known_by() -> None:
    """In another order the same objects are the same; others have no pair."""
    now, before = measured(seed=1), measured(seed=1)
    old = before.objects["2d"]
    back = Objects(**{name: getattr(old, name)[::-1] for name in Objects.model_fields})
    turned = before.with_(objects={"2d": back})
    same = check(now, turned).measures["2d area"]
    assert (same.paired, same.change) == (150, pytest.approx(0, abs=1e-12))
    others = old.with_(keys=tuple(f"x{key}" for key in old.keys))
    assert check(now, before.with_(objects={"2d": others})).measures["2d area"].paired == 0


def test_a_window_over_rounds() -> None:
    """Ten of 150 in each of three rounds, in other scenes each time: the window says what one round does not, and names the rounds."""
    rounds = [measured({"2d miss": [0] * (10 * i) + [1] * 10}) for i in range(3)]
    assert check(rounds[0]).verdict != "warn"
    found = check(*rounds[::-1])
    axis = found.axes["2d miss"]
    assert (axis.window_errors, axis.window_trials) == (30, 450)
    assert axis.window_p is not None
    assert axis.window_p < axis.p_value
    five = check(measured(), *[measured({"2d miss": [5]})] * 4)
    assert five.axes["2d miss"].window_trials == 450  # three rounds, not five


def test_a_rise_above_rounds_that_kept_totals_alone_warns() -> None:
    """Rounds of 0.1.0 have no scenes and objects: they count as history all the same."""
    old = a_batch(
        "v0",
        golden=golden(
            "v0", axes={"2d miss": Axis(errors=1, trials=3000, accepted=0.05, low=0, high=1, p_value=1)}
        ),
    )
    blocked = a_batch(
        "v0",
        golden=golden(
            "v0",
            "block",
            axes={"2d miss": Axis(errors=1, trials=3000, accepted=0.05, low=0, high=1, p_value=1)},
        ),
    )
    now = measured({"2d miss": [1] * 7})
    found = check(now, before=[old])
    assert found.verdict == "warn"
    assert "more than in earlier rounds" in found.reasons[0]
    assert check(now, before=[blocked]).verdict != "warn"


def test_the_class_that_stands_out_is_named() -> None:
    """Eight of thirty persons missed, and two of 120 cars; persons 10 % too large, cars not."""
    now = measured({"2d miss": [1] * 15})
    wrong = [("miss",) if (i % 5 == 0 and i < 40) or i in (1, 2) else () for i in range(150)]
    objects = now.objects["2d"].with_(wrong=tuple(wrong))
    found = check(now.with_(objects={"2d": objects}))
    assert found.reasons[0].endswith("; mostly person (8 of 30, others 2 of 120)")
    values = [
        tuple(value + (0.3 if i % 5 == 0 and at == 1 else 0) for at, value in enumerate(row))
        for i, row in enumerate(objects.values)
    ]
    larger = now.with_(
        objects={"2d": now.objects["2d"].with_(values=tuple(values))}, errors=measured().errors
    )
    (told,) = (one for one in check(larger, measured(seed=1)).reasons if one.startswith("2d area"))
    assert "; mostly person (+" in told


def test_the_order_of_scenes_changes_nothing() -> None:
    """The same scenes and objects the other way round: the same check."""
    one = measured({"2d miss": [1, 2, 0, 3], "2d swap": [0, 1]}, off={"2d area": 0.05})
    flip = lambda told: tuple(told[::-1])  # noqa: E731
    objects = one.objects["2d"]
    other = Measured(
        scenes=flip(one.scenes),
        errors={axis: flip(told) for axis, told in one.errors.items()},
        trials={axis: flip(told) for axis, told in one.trials.items()},
        annotators=one.annotators,
        objects={
            "2d": Objects(
                **{name: flip(getattr(objects, name)) for name in ("keys", "classes", "wrong", "values")},
                scenes=tuple(SCENES - 1 - at for at in flip(objects.scenes)),
            )
        },
    )
    first, second = check(one, measured(seed=4)), check(other, measured(seed=4))
    assert first.axes == second.axes
    assert first.verdict == second.verdict
    for name, deviation in first.measures.items():
        assert deviation.mean == pytest.approx(second.measures[name].mean)
        assert deviation.p_value == pytest.approx(second.measures[name].p_value)


RANK = ("pass", "not enough evidence", "warn", "block")


@effort(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=SCENES, max_size=SCENES), st.integers(0, SCENES - 1))
def test_more_errors_never_lower_the_verdict(errors: list[int], at: int) -> None:
    """One more missed object anywhere."""
    more = [e + (i == at) for i, e in enumerate(errors)]
    one, two = (check(measured({"2d miss": told})).verdict for told in (errors, more))
    assert RANK.index(two) >= RANK.index(one)


def test_scenes_that_were_seen_before_are_said() -> None:
    """Annotators had the golden scenes in every round that was checked, blocked and cancelled ones included; not in this one's own
    earlier check, nor in rounds without one."""
    others = [
        a_batch("v0", golden=golden("v0")),
        a_batch("v1", "cancelled", golden=golden("v1", "block")),
        a_batch("v2"),
        a_batch("v9", "labeled", golden=golden("v9", "block")),
    ]
    found = decide(others[-1], others, ("2d",), Tally(measured(scenes=12)), NOBODY, SETTINGS)
    assert found.reasons[-1] == "the same 12 golden scenes for the 3rd time: annotators may remember them"
    assert not any("golden scenes" in reason for reason in check(measured()).reasons)
    assert (found.round, found.scenes) == ("v9", 12)


# ---------------------------------------------------------------------- clumps and annotators


def test_the_icc_comes_from_earlier_rounds() -> None:
    """Without any it is the setting's; rounds whose errors stand alone lower it, those with whole scenes missed raise it."""
    assert check(measured()).icc == 0.1
    alone = measured({"2d miss": [1] * 30})
    clumped = measured({"2d miss": [5] * 6})
    low, high = check(measured(), alone), check(measured(), clumped)
    assert low.icc is not None
    assert high.icc is not None
    assert low.icc < 0.1 < high.icc
    assert (low.icc_rounds, check(measured()).icc_rounds) == (1, 0)
    assert check(measured(), alone, settings=Golden(icc=0)).icc == 0


def test_a_careless_annotator_is_named_and_does_not_decide() -> None:
    """Of two who labelled half the scenes each, over three rounds: the one with all the errors; the verdict is the round's own."""
    names = {"2d": ("ann", "bob") * (SCENES // 2)}
    rounds = [measured({"2d miss": [0, 1] * 10}, annotators=names) for _ in range(3)]
    found = check(*rounds[::-1])
    assert [(one.annotator, one.axis, one.errors, one.trials) for one in found.suspects] == [
        ("bob", "2d miss", 30, 225)
    ]
    assert any(reason.startswith("bob, over all rounds: 2d miss 30 of 225") for reason in found.reasons)
    alone = [measured({"2d miss": [0, 1] * 10}) for _ in range(3)]
    assert check(*alone).suspects == ()


# ---------------------------------------------------------------------- the reference


def test_a_reference_s_own_errors_by_hand() -> None:
    """5 % missed and 3 % invented by one labelling. Single: as many. A majority of independent inventions: 3 * 0.03^2 - 2 * 0.03^3.
    Missed ones of hard scenes at an ICC of 0.1: E[p^2] = 0.05 * (0.05 + 0.1 * 0.95) = 0.00725, E[p^3] = 0.00725 * (0.05 * 0.9 + 0.2) /
    1.1, so 3 * 0.00725 - 2 * 0.001615. Two and a decision: 0.00725 + 2 * 0.04275 * 0.05."""
    assert quality("single", SETTINGS).rates["miss"] == 0.05
    three = quality("majority", SETTINGS).rates
    assert three["extra"] == pytest.approx(3 * 0.03**2 - 2 * 0.03**3, abs=1e-6)
    assert three["miss"] == pytest.approx(3 * 0.00725 - 2 * 0.00725 * 0.245 / 1.1, abs=1e-6)
    assert quality("adjudicated", SETTINGS).rates["miss"] == pytest.approx(
        0.00725 + 2 * 0.04275 * 0.05, abs=1e-6
    )


def test_majorities_are_those_of_simulated_labellers() -> None:
    """Two of three miss the same object as often as the formula says, where all three find the same scenes hard."""
    rng = np.random.default_rng(0)
    p = rng.beta(0.05 * 9, 0.95 * 9, 400_000)
    missed = (rng.random((3, len(p))) < p).sum(axis=0) >= 2
    assert quality("majority", SETTINGS).rates["miss"] == pytest.approx(missed.mean(), abs=0.002)


def test_what_the_reference_lacks_is_extra() -> None:
    """Its missed objects are the annotators' extra labels, and its inventions their misses; its swaps are swaps."""
    of = quality("single", SETTINGS)
    assert expected(SETTINGS, of, "miss") == pytest.approx(1 - 0.95 * 0.97)
    assert expected(SETTINGS, of, "extra") == pytest.approx(1 - 0.97 * 0.95)
    assert expected(SETTINGS, of, "swap") == pytest.approx(1 - 0.98 * 0.98)
    assert expected(SETTINGS, EXACT, "miss") == pytest.approx(0.05)


def test_opinions_tell_how_good_it_is() -> None:
    """Single labellings that missed nothing of 450 objects: the settings' 5 % counts for 50 of them; they are told."""
    found = quality("majority", SETTINGS, {"miss": (0, 450)})
    assert found.rates["miss"] < quality("majority", SETTINGS).rates["miss"] / 5
    assert (found.source, found.labellings) == ("opinions", 450)
    assert "from 450 labels of opinions" in cost(found)
    assert "by the settings" in cost(quality("single", SETTINGS))


def test_a_worse_reference_lets_more_pass_and_says_so() -> None:
    """What warns against a majority is nothing against one labelling, whose errors are expected; the verdict says how it was made."""
    now = measured({"2d miss": [1] * 15})
    one, three = (check(now, reference=quality(how, SETTINGS)) for how in ("single", "majority"))
    assert (one.verdict, three.verdict) == ("not enough evidence", "warn")
    assert any(reason.startswith("the reference is one labelling") for reason in one.reasons)
    assert one.axes["2d miss"].expected == pytest.approx(1 - 0.95 * 0.97)
    assert one.axes["2d miss"].accepted == 0.05
    assert one.measures["2d iou"].tolerance < three.measures["2d iou"].tolerance


def test_how_the_reference_was_made() -> None:
    """As the settings say; else as they said then; else a majority where three were asked; else single."""
    imported = a_batch("reference", fetch=Fetched(source="f", made="adjudicated"))
    assert made([imported], Golden(reference="single")) == "single"
    assert made([imported], SETTINGS) == "adjudicated"
    assert made([a_batch("reference").with_(slots=3)], SETTINGS) == "majority"
    assert made([a_batch("reference").with_(slots=2)], SETTINGS) == "single"
    assert (
        made([a_batch("reference", "cancelled").with_(slots=3), a_batch("reference")], SETTINGS) == "single"
    )
    assert made([], SETTINGS) == "single"


# ---------------------------------------------------------------------- how many scenes


def test_a_plan_before_anything_was_checked() -> None:
    """Usual values; every axis has its number, larger effects need fewer scenes, and a worse reference more."""
    found = plan("d", 20, ("2d", "3d"), [], SETTINGS, EXACT)
    needs = {one.axis: one.needs for one in found.planned}
    assert (found.scenes, found.per_round, found.rounds, found.objects) == (20, 20, 0, {"2d": 5.0, "3d": 5.0})
    assert list(needs)[:10] == [f"{one} {kind}" for one in ("2d", "3d") for kind in COUNTED[one]]
    assert all(needs.values())
    single = plan("d", 20, ("2d", "3d"), [], SETTINGS, quality("single", SETTINGS))
    more = {one.axis: one.needs for one in single.planned}
    assert more["2d miss"] > needs["2d miss"]  # type: ignore[operator]
    assert plan("d", 20, ("2d",), [], Golden(per_round=8), EXACT).per_round == 8


def test_a_plan_keeps_its_word() -> None:
    """With as many scenes as it says, a check of so many objects sees what it said, and with half as many it does not."""
    last = measured(modalities=("2d",))
    found = plan("d", 30, ("2d",), [last], SETTINGS, EXACT)
    (miss,) = (one for one in found.planned if one.axis == "2d miss")
    assert found.objects == {"2d": 5.0}
    assert miss.what == "15% missed, where 5% are accepted"
    assert miss.needs is not None
    rng = np.random.default_rng(5)
    seen = {}
    for scenes in (miss.needs, miss.needs // 2):
        hits = 0
        for _ in range(60):
            errors = rng.binomial(5, rng.beta(0.15 * 9, 0.85 * 9, scenes)).tolist()
            hits += check(measured({"2d miss": errors}, scenes=scenes)).verdict in ("warn", "block")
        seen[scenes] = hits / 60
    assert seen[miss.needs] > 0.68
    assert seen[miss.needs // 2] < seen[miss.needs]


def test_spread_that_was_seen_counts() -> None:
    """Steadier labels need fewer scenes for the same effect."""

    def needs(*rounds: Measured) -> dict[str, Any]:
        return {one.axis: one.needs for one in plan("d", 30, ("2d",), rounds, SETTINGS, EXACT).planned}

    assert needs(measured(), measured(seed=1))["2d area"] < needs()["2d area"]


def test_values_read_in_their_units() -> None:
    """A ratio is a logarithm; shares are of the side."""
    assert in_words(np.log(1.1), "ratio", sign=True) == "+10.0 %"
    assert in_words(0.025, "share") == "2.5 % of the side"
    assert in_words(-0.1, "m", sign=True) == "-0.10 m"
    assert in_words(5, "degrees") == "5.0 degrees"
    assert in_words(0.8724, "iou") == "0.872"


def test_an_earlier_round_of_other_axes_is_no_trouble() -> None:
    """A round of images alone before one of both, and objects without values."""
    now = measured(modalities=("2d", "3d"))
    given_ = asked(now, [measured()], {}, ("2d", "3d"), SETTINGS, EXACT)
    assert np.isnan(given_.values["3d up"].earlier).all()
    assert check(now, measured()).verdict == "not enough evidence"


@pytest.mark.parametrize("unit", ["iou", "ratio", "share", "m", "degrees"])
def test_wide_scatter_is_said(unit: Unit) -> None:
    """What a few objects that scatter widely would show is a large number, and said in every unit."""
    for value in (5.0, 90.0, 5000.0, 1e300):
        assert in_words(value, unit)
    assert in_words(5000.0, "ratio") == "over 9900 %"
    assert in_words(math.log(2), "ratio") == "100.0 %"
