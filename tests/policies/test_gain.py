"""Which scenes a gain is measured on, and what it is called."""

from __future__ import annotations

import numpy as np
import pytest

from swath.kernels.detection import Matched
from swath.policies.gain import again, alike, gain, repeated
from swath.records.base import Estimate
from swath.records.batch import Gain, TrainedModel
from swath.records.matches import Matches, packed
from swath.words import compared, spread

Sample = tuple[str, str, str, str]


def scenes(n: int, digest: str = "x") -> list[Sample]:
    """n scenes, two of each drive."""
    return [(f"s{i}", "left", f"d{i // 2}", digest) for i in range(n)]


def found(samples: list[Sample], right: list[bool], strict: int = 0) -> Matches:
    """One class, one object a scene, one prediction a scene, which is right at both overlaps or at none."""
    n = len(samples)
    hits = np.array([right, right])
    return packed(
        [Matched(np.linspace(1, 0.5, n), np.arange(n), hits, np.ones(n, np.int64))], samples, strict
    )


def measured(before: Matches, now: Matches) -> Gain:
    return gain("v0", [before], [now], rng=np.random.default_rng(0), resamples=50)


def test_matches_come_back_as_they_were() -> None:
    """Scores to the bit, hits of ten overlaps, references; also of a class without predictions."""
    rng = np.random.default_rng(0)
    one = Matched(
        np.sort(rng.random(50))[::-1],
        rng.integers(0, 9, 50),
        rng.random((10, 50)) < 0.5,
        rng.integers(0, 4, 9),
    )
    none = Matched(np.zeros(0), np.zeros(0, np.int64), np.zeros((10, 0), bool), np.zeros(9, np.int64))
    again_ = Matches.model_validate(packed([one, none], scenes(9)).document()).unpacked()
    for was, now in zip((one, none), again_, strict=True):
        for part in ("scores", "image", "right", "references"):
            assert np.array_equal(getattr(was, part), getattr(now, part))


def test_some_scenes_of_the_matches() -> None:
    """Rows in another order: what was found in them, and nothing of the others."""
    whole = found(scenes(4), [True, False, True, True])
    part = whole.unpacked([3, 1])[0]
    assert part.scores.tolist() == pytest.approx([1 - 0.5 / 3, 0.5])
    assert part.image.tolist() == [1, 0]
    assert part.right[0].tolist() == [False, True]
    assert part.references.tolist() == [1, 1]


def test_only_scenes_with_the_same_reference_in_both() -> None:
    """A scene that one round lacks, and one whose reference was changed, are left out and counted; the order is no matter."""
    before = found(scenes(6), [True] * 6)
    samples = [one for one in reversed(scenes(6)) if one[0] != "s0"]
    samples = [(*one[:3], "other") if one[0] == "s5" else one for one in samples]
    now = found(samples, [True] * 5)
    rows = alike([before, now])
    assert [before.samples[row][0] for row in rows[0]] == ["s1", "s2", "s3", "s4"]
    assert [now.samples[row][0] for row in rows[1]] == ["s1", "s2", "s3", "s4"]
    told = measured(before, now)
    assert (told.scenes, told.left_out, told.drives, told.over) == (4, 2, 3, "v0")
    assert told.map.value == pytest.approx(0, abs=1e-12)


def test_nothing_in_common_is_no_gain() -> None:
    """References that were all changed: no scenes, no gain, and the words say so."""
    told = measured(found(scenes(4), [True] * 4), found(scenes(4, "y"), [True] * 4))
    assert (told.scenes, told.map.value, told.verdict) == (0, None, "unknown")
    assert "on the same 0 scenes" in compared("v1", told)


def test_many_rounds_are_drawn_on_what_all_have() -> None:
    """Three rounds, one without a scene: all three values are of the rest."""
    some = [
        found(scenes(6), [True] * 6),
        found(scenes(5), [True] * 5),
        found(scenes(6), [True] * 5 + [False]),
    ]
    drawn = again(some, rng=np.random.default_rng(0), resamples=10)
    assert drawn.values[:, 1] == pytest.approx([1, 1, 1])
    assert drawn.drawn.shape == (10, 3, 2)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.2, "better"),
        (-0.2, -0.01, "worse"),
        (-0.1, 0.2, "not told apart"),
        (None, None, "unknown"),
        (0.0, 0.2, "not told apart"),
    ],
)
def test_the_interval_decides_the_word(low: float | None, high: float | None, verdict: str) -> None:
    """Better or worse is said where the whole interval is on one side of nothing."""
    map_ = Estimate(value=0.1, low=low, high=high)
    told = Gain(over="v0", scenes=30, drives=12, map=map_, map50=Estimate())
    assert told.verdict == verdict
    assert compared("v1", told).startswith("v1 against v0 on the same 30 scenes of 12 drives: mAP +0.100")
    assert verdict in compared("v1", told) or verdict == "unknown"


# ---------------------------------------------------------------------- repeated trainings


def some(rng: np.random.Generator, count: int, share: float) -> list[Matches]:
    """Trainings of one round on 24 scenes of 12 drives, each of which finds about this share of the objects."""
    return [found(scenes(24), (rng.random(24) < share).tolist()) for _ in range(count)]


def test_the_gain_of_repeated_trainings_is_that_of_their_means() -> None:
    """What the means of the trainings differ by; how many there were is told, in words too; the chance in trainings widens the
    interval that drives alone would give the mean difference."""
    rng = np.random.default_rng(4)
    before, now = some(rng, 3, 0.4), some(rng, 2, 0.7)
    told = gain("v0", before, now, rng=np.random.default_rng(0), resamples=200)
    each = again([*before, *now], rng=np.random.default_rng(0), resamples=200)
    assert told.map50.value == pytest.approx(each.values[3:, 1].mean() - each.values[:3, 1].mean())
    assert told.trainings == (3, 2)
    assert (told.scenes, told.drives) == (24, 12)
    assert ", 2 trainings against 3: mAP" in compared("v1", told)
    drawn = each.drawn[:, 3:, 1].mean(axis=1) - each.drawn[:, :3, 1].mean(axis=1)
    assert told.map50.high is not None
    assert told.map50.value is not None
    assert told.map50.high - told.map50.value > drawn.std(ddof=1) * 2.2 * np.sqrt(12 / 11) * 0.8


def test_luck_is_not_taken_for_learning() -> None:
    """Trainings that find the same share of objects, each others of them, are told apart at most one time in twenty, and what 60
    repeats leave to chance."""
    rng, different = np.random.default_rng(5), 0
    for _ in range(60):
        told = gain("v0", some(rng, 3, 0.5), some(rng, 3, 0.5), rng=np.random.default_rng(0), resamples=50)
        different += told.verdict in ("better", "worse")
    assert different <= 60 * (0.05 + 2 * np.sqrt(0.05 * 0.95 / 60))


def test_on_one_drive_repeated_trainings_tell_nothing_either() -> None:
    """Their spread is of trainings alone: an interval of it would leave the drives out."""
    rng = np.random.default_rng(6)
    samples = [(f"s{i}", "left", "d", "x") for i in range(9)]
    before, now = (
        [found(samples, (rng.random(9) < share).tolist()) for _ in range(3)] for share in (0.2, 0.9)
    )
    told = gain("v0", before, now, rng=np.random.default_rng(0), resamples=50)
    assert told.map.value is not None
    assert (told.map.low, told.verdict) == (None, "unknown")


def test_how_far_trainings_are_from_each_other() -> None:
    """Each with its seed, hash and figures; mean and standard deviation are numpy's; the words name them."""
    each = some(np.random.default_rng(7), 3, 0.5)
    models = [
        TrainedModel(
            modality="2d",
            trainer="t",
            model="m",
            sha256=str(seed),
            images=1,
            negatives=0,
            objects={},
            classes=("a",),
            seed=seed,
        )
        for seed in (5, 6, 7)
    ]
    told = repeated(models, each, rng=np.random.default_rng(0), resamples=100)
    values = [again([one], rng=np.random.default_rng(0), resamples=0).values[0, 1] for one in each]
    assert [one.map50 for one in told.each] == pytest.approx(values)
    assert [(one.seed, one.sha256) for one in told.each] == [(5, "5"), (6, "6"), (7, "7")]
    assert told.map50.value == pytest.approx(np.mean(values))
    assert told.map50_sd == pytest.approx(np.std(values, ddof=1))
    assert told.map50.low is not None
    assert 0 <= told.map50.low < told.map50.value
    assert spread(told).startswith(
        f"3 trainings: mAP50 {values[0]:.3f}, {values[1]:.3f}, {values[2]:.3f}; mean {np.mean(values):.3f} ("
    )
