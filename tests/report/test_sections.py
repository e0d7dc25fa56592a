"""What sections say, against what FiftyOne has and what the journal holds; and no more than it allows."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import quick_loop
from support import remove
from swath import aspects, evaluations
from swath.loop import Loop
from swath.policies import modes as policy
from swath.policies.modes import Trait
from swath.records.base import Estimate
from swath.records.batch import Axis, Batch, BlindCounts, Gain, GoldenChecked
from swath.report.known import Known
from swath.report.sections import curves, first, golden, modes, scores, strata, targeting

pytestmark = pytest.mark.database
NAME = "t-report-sections"
TODAY = datetime.date(2026, 12, 1)


@pytest.fixture(scope="module")
def loop(mongod: str) -> Iterator[Loop]:
    """Two closed rounds; the second answers failures of the first."""
    remove(NAME)
    loop = quick_loop.at("closed", NAME)
    assert loop.run(2).closed == 2
    yield loop
    remove(NAME)


def known_of(loop: Loop) -> Known:
    return Known(loop.workspace, loop.status(), TODAY)


def test_targeting_counts_what_people_labelled(loop: Loop) -> None:
    """Of each kind: how many of the scenes that were chosen for it hold one, and how many coverage scenes do, counted on the
    labels that FiftyOne has; all of them add up."""
    (round_,) = targeting.data(known_of(loop)).rounds
    batches = loop.workspace.journal.batches
    v0, v1 = batches.get("v0"), batches.get("v1")
    record = v0.steps.evaluate
    assert record is not None
    missed = {one.key: one.missed for one in batches.failures(v0)}
    held: dict[str, set[str]] = {}
    view = loop.workspace.scenes.dataset.select_group_slices(["left"]).exists("human_detections")
    for sample in view:
        held[sample.scene_key] = {one.label for one in sample.human_detections.detections}

    def kind(failure: str) -> str:
        """The class it missed most of, as a share of those in val; of equal ones the first by name."""
        shares = {name: -n / record.main.classes[name].references for name, n in missed[failure].items()}
        return sorted(shares, key=lambda name: (shares[name], name))[0]

    asked = [
        (one.key, kind(one.failure))
        for one in batches.manifest(v1).scenes
        if one.failure and missed[one.failure]
    ]
    assert asked
    hits = [name for key, name in asked if name in held[key]]
    assert (round_.all.hits, round_.all.of) == (len(hits), len(asked))
    covered = [
        one.key for name in (v0, v1) for one in batches.manifest(name).scenes if one.stream == "coverage"
    ]
    for one in round_.kinds:
        assert (one.targeted.hits, one.targeted.of) == (
            hits.count(one.name),
            [name for _, name in asked].count(one.name),
        )
        assert (one.coverage.hits, one.coverage.of) == (
            sum(one.name in held[key] for key in covered),
            len(covered),
        )
        assert (
            (one.targeted.share.low or 0) <= (one.targeted.share.value or 0) <= (one.targeted.share.high or 0)
        )
    assert sum(one.targeted.of for one in round_.kinds) == round_.all.of


def test_drift_is_drawn_from_the_checks(loop: Loop) -> None:
    """One chart per kind of error that was counted, with the errors of each round; a higher rate is drawn higher."""
    found = golden.data(known_of(loop))
    checks = [
        one.steps.golden for one in loop.workspace.journal.batches.all() if one.is_round and one.steps.golden
    ]
    counted = {golden.title(name): name for name, axis in checks[0].axes.items() if axis.trials}
    assert {one.title for one in found.drift} >= set(counted)
    for chart in found.drift:
        name = counted[chart.title]
        assert [(dot.of.round, dot.of.errors, dot.of.trials) for dot in chart.dots] == [
            (one.round, one.axes[name].errors, one.axes[name].trials) for one in checks
        ]
        by_rate = sorted(chart.dots, key=lambda dot: dot.of.rate)
        assert [dot.y for dot in by_rate] == sorted((dot.y for dot in by_rate), reverse=True)
    assert golden.data(known_of(loop)).checks[0].check.round == "v1", "the last check comes first"


def checked(verdict: Any, detectable: float) -> GoldenChecked:
    axis = Axis(
        errors=1, trials=50, accepted=0.05, rate=0.02, low=0.0, high=0.1, p_value=0.9, detectable=detectable
    )
    blind = BlindCounts(samples_with_labels=5, total_detections=50, top_classes={})
    return GoldenChecked(
        round="v1", verdict=verdict, reasons=("why",), axes={"2d miss": axis}, scenes=5, blind=blind
    )


@pytest.mark.parametrize(
    ("verdict", "detectable", "short"),
    [
        ("pass", 0.22, "Pass, as far as it can see"),
        ("pass", 0.09, "Pass"),
        ("block", 0.22, "Blocked"),
        ("warn", 0.22, "Warn"),
        ("not enough evidence", 0.5, "Not enough evidence"),
    ],
)
def test_a_verdict_is_no_stronger_than_its_check(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, verdict: Any, detectable: float, short: str
) -> None:
    """A check that passed and could not have seen twice the accepted rate says so, and from which rate on it sees; what blocks
    says why."""
    known = known_of(loop)
    rounds = [with_golden(one, checked(verdict, detectable)) for one in known.rounds]
    known.__dict__["rounds"] = rounds
    answer = first.data(known).answers[1]
    assert answer.question == "Are the labels honest?"
    assert answer.short == short
    said = " ".join(answer.lines)
    assert (
        f"with 50 objects per kind of error it would notice {round(100 * detectable)} % wrong; accepted are 5 %"
        in said
    )
    assert ("why." in said) == (verdict in ("block", "warn"))


def with_golden(batch: Batch, check: GoldenChecked) -> Batch:
    return batch.with_(steps=batch.steps.with_(golden=check))


@pytest.mark.parametrize(
    ("was", "now", "short"),
    [
        ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "Better than v0"),
        ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3), "Worse than v0"),
        ((0.1, 0.2, 0.45), (0.4, 0.5, 0.6), "Not told apart from v0"),
    ],
)
def test_better_is_said_where_it_holds(
    loop: Loop, was: tuple[float, ...], now: tuple[float, ...], short: str
) -> None:
    """A higher value alone is not better: where no paired gain is kept the intervals have to lie apart. How many drives val has
    stands beside it."""
    known = known_of(loop)
    known.__dict__["evaluated"] = [
        scored(one, Estimate(low=low, value=value, high=high))
        for one, (low, value, high) in zip(known.rounds, (was, now), strict=True)
    ]
    answer = first.data(known).answers[0]
    assert answer.short == short
    said = " ".join(answer.lines)
    assert f"{now[1]:.2f} ({now[0]:.2f} – {now[2]:.2f})" in said
    assert f"{known.drives_of_val} drive" in said
    assert ("The intervals overlap." in said) == (short.startswith("Not"))


@pytest.mark.parametrize(
    ("low", "high", "short"),
    [
        (0.01, 0.05, "Better than v0"),
        (-0.05, -0.01, "Worse than v0"),
        (-0.01, 0.05, "Not told apart from v0"),
    ],
)
def test_the_paired_gain_decides(loop: Loop, low: float, high: float, short: str) -> None:
    """Where both rounds kept what they found, the interval of their difference on the same scenes says it, though each round's own
    is far too wide."""
    known = known_of(loop)
    wide = Estimate(low=0.1, value=0.3, high=0.6)
    gain = Gain(
        over="v0", scenes=8, drives=4, map=Estimate(value=0.02, low=low, high=high), map50=Estimate(value=0.0)
    )
    before, now = known.rounds
    known.__dict__["evaluated"] = [scored(before, wide), scored(now, wide, gain)]
    answer = first.data(known).answers[0]
    assert answer.short == short
    assert (
        f"On the same 8 scenes of 4 drives, paired: mAP +0.020 ({low:+.3f} to {high:+.3f})." in answer.lines
    )


def test_curves_are_those_of_the_evaluation(loop: Loop) -> None:
    """One chart per class that val has, whose area is its AP50; dots whose recall is that of the stratum of the class; the confusion
    adds up to the objects."""
    known = known_of(loop)
    record = known.record
    assert record is not None
    (model,) = curves.data(known)
    assert [one.title for one in model.charts] == list(record.main.classes)
    found = {one.name: one for one in record.main.strata if one.by == "class"}
    for one in model.charts:
        frame = one.frame
        points = np.array([point.split(",") for point in one.lines[0][1].split()], float)
        x = (points[:, 0] - frame.left) / (frame.width - frame.left - frame.right)
        y = (frame.height - frame.bottom - points[:, 1]) / (frame.height - frame.top - frame.bottom)
        assert np.trapezoid(y, x) == pytest.approx(record.main.classes[one.title].ap50.value, abs=0.02)
        if one.at is not None:
            assert one.at[2] == pytest.approx(found[one.title].recall)
    assert model.confusion is not None
    total = sum(cell.count for name, cells in model.confusion.rows[:-1] for cell in cells)
    assert total == sum(one.references for one in record.main.classes.values())


def test_strata_and_modes_are_those_of_the_record(loop: Loop) -> None:
    """Every stratum is shown once; every mode with its shares of the rounds that had it, and pictures of val scenes alone."""
    known = known_of(loop)
    record = known.record
    assert record is not None
    (model,) = strata.data(known).models
    assert [one for axis in model.axes for one in axis.strata] == list(record.main.strata)
    val = set(loop.workspace.members("val"))
    truths = evaluations.truths(loop.workspace, sorted(val), "2d")
    label = np.concatenate([one.positions for one in truths])
    named = Trait("class", label, dict(enumerate(quick_loop.CLASSES)))
    found = policy.modes([named], label == 0, (), aspects.Objects(loop.workspace, truths))
    last = known.evaluated[-1]
    done = record.with_(figures={"2d": record.main.with_(modes=found)})
    known.__dict__["evaluated"] = [
        *known.evaluated[:-1], last.with_(steps=last.steps.with_(evaluate=done))
    ]  # fmt: skip
    rows = [row for one in modes.data(known) for row in one.rows]
    assert [row.mode for row in rows] == list(found) != []
    for row in rows:
        assert row.trend[-1] == ("v1", row.mode.share)
        assert {one.of.scene for one in row.shown} <= val
        assert len(row.shown) == len(row.mode.examples) > 0
        assert sum(row.mode.scenes.values()) == row.mode.missed == sum(row.mode.classes.values())
        for one in row.shown:
            corners = np.array([point.split(",") for point in one.about.points.split()], float)
            assert one.picture.uri
            assert (corners >= -0.1).all()
            assert (corners <= [one.picture.width + 0.1, one.picture.height + 0.1]).all()


def test_what_is_expected_is_drawn_beside_the_curve(loop: Loop) -> None:
    """The forecast of the last decision: so many scenes further, so much higher than the last round, in its interval."""
    known = known_of(loop)
    assert known.last is not None
    stop = known.last.steps.stop
    assert stop is not None
    assert stop.forecasts == {"2d": stop.forecast}
    (model,) = scores.data(known).models
    assert model.expected == stop.forecast
    assert model.curve.ahead is not None
    now, then = model.curve.ahead
    assert stop.forecast is not None
    assert then.scenes == now.scenes + stop.forecast.scenes
    assert then.estimate.value == pytest.approx((now.estimate.value or 0) + (stop.forecast.gain or 0))
    if then.estimate.low is not None:
        assert then.low is not None
        assert then.high is not None
        assert then.high <= then.y <= then.low


def scored(batch: Batch, map50: Estimate, gain: Gain | None = None) -> Batch:
    record = batch.steps.evaluate
    assert record is not None
    figures = {**record.figures, record.modality: record.main.with_(map50=map50, gain=gain)}
    return batch.with_(steps=batch.steps.with_(evaluate=record.with_(figures=figures)))


def test_what_needs_a_person(mongod: str) -> None:
    """A batch that waits for labels is said with its count, and how to go on is a command."""
    name = f"{NAME}-sent"
    remove(name)
    loop = quick_loop.at("sent", name)
    loop.annotator = quick_loop.Picky(wants=lambda task, channel: False)
    loop.fetch()
    found = first.data(known_of(loop))
    waiting = loop.workspace.journal.assignments.waiting("v0")
    assert waiting
    assert f"{waiting} scenes of v0 wait for labels." in found.answers[3].lines
    assert any(one.startswith("swath fetch") for one in found.answers[2].commands)
    remove(name)
