"""The paired gain of two rounds on the same drives, and the draws that it comes from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from swath.kernels.detection import Matched, score_matches
from swath.kernels.gain import difference, paired, resampled

ALL = slice(None)


def matched(rng: np.random.Generator, images: int, level: np.ndarray, overlaps: int = 2) -> Matched:
    """Five objects an image, found with the probability `level[image]`, and some false alarms, at falling overlaps."""
    scores, image, right = [], [], []
    for i in range(images):
        found = rng.random(5) < level[i]
        scores.append(np.concatenate([rng.normal(1, 1, found.sum()), rng.normal(0, 1, 2)]))
        image.append(np.full(found.sum() + 2, i))
        hit = np.concatenate([np.ones(found.sum(), bool), np.zeros(2, bool)])
        right.append(np.array([hit & (rng.random(len(hit)) < 1 - t / 4) for t in range(overlaps)]))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Matched(
        np.concatenate(scores)[order],
        np.concatenate(image)[order],
        np.hstack(right)[:, order],
        np.full(images, 5),
    )


def two(
    seed: int = 0, drives: int = 12, better: float = 0.1
) -> tuple[list[Matched], list[Matched], list[str]]:
    """Two rounds on drives of four images; what makes a drive hard makes it hard for both."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.uniform(0.2, 0.7, drives), 4)
    names = [f"d{i // 4:02d}" for i in range(4 * drives)]
    return [matched(rng, len(names), level)], [matched(rng, len(names), level + better)], names


def test_the_values_are_those_of_the_evaluation() -> None:
    """mAP and mAP50 of each round are what `score_matches` says, the gain is their difference."""
    before, after, names = two()
    found = resampled([before, after], names, rng=np.random.default_rng(0), resamples=20)
    for row, one in zip(found.values, (before, after), strict=True):
        scores = score_matches(one, names, rng=np.random.default_rng(0), resamples=0)
        assert row == pytest.approx([scores.map.value, scores.map50.value], abs=1e-12)
    gain = paired(found)
    assert gain.map.value == pytest.approx(found.values[1, 0] - found.values[0, 0])
    assert gain.map50.value == pytest.approx(found.values[1, 1] - found.values[0, 1])


def test_the_interval_is_that_of_the_difference() -> None:
    """Half of it is Student's t at D - 1 times the standard deviation of the drawn differences times sqrt(D / (D - 1)); scipy
    has the t."""
    before, after, names = two(drives=7)
    found = resampled([before, after], names, rng=np.random.default_rng(0), resamples=50)
    gain = paired(found)
    s = np.std(found.drawn[:, 1, 1] - found.drawn[:, 0, 1], ddof=1)
    half = stats.t.ppf(0.975, 6) * s * np.sqrt(7 / 6)
    assert gain.clusters == 7
    assert gain.map50.high == pytest.approx(gain.map50.value + half)
    assert gain.map50.low == pytest.approx(gain.map50.value - half)


def test_pairing_is_narrower_than_two_intervals() -> None:
    """Where drives differ far more than rounds do, the paired interval is less than half of what quadrature gives."""
    rng = np.random.default_rng(3)
    level = np.repeat(rng.uniform(0.1, 0.9, 12), 4)
    names = [f"d{i // 4:02d}" for i in range(48)]
    before = [matched(rng, 48, level)]
    after = [
        Matched(
            before[0].scores,
            before[0].image,
            before[0].right | (rng.random(before[0].right.shape) < 0.1),
            before[0].references,
        )
    ]
    found = resampled([before, after], names, rng=np.random.default_rng(0), resamples=100)
    gain = paired(found).map50
    apart = np.hypot(
        *(
            score_matches(one, names, rng=np.random.default_rng(0), resamples=100).map50.high
            - score_matches(one, names, rng=np.random.default_rng(0), resamples=0).map50.value
            for one in (before, after)
        )
    )
    assert gain.high is not None
    assert gain.high - gain.value < apart / 2  # type: ignore[operator]


def test_the_same_model_gains_nothing_for_sure() -> None:
    """The same matches twice: a gain of 0 in every draw, an interval without width."""
    before, _, names = two()
    gain = paired(resampled([before, before], names, rng=np.random.default_rng(0), resamples=10))
    assert (gain.map.value, gain.map.low, gain.map.high) == (0, 0, 0)


def test_exchanged_rounds_exchange_the_sign() -> None:
    """The gain of a over b is less that of b over a, ends included."""
    before, after, names = two()
    one = paired(resampled([before, after], names, rng=np.random.default_rng(1), resamples=30)).map
    other = paired(resampled([after, before], names, rng=np.random.default_rng(1), resamples=30)).map
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))  # type: ignore[operator]


def test_one_drive_has_a_gain_and_no_interval() -> None:
    """One drive cannot say how far drives differ; nor can many of which one holds references."""
    before, after, names = two()
    gain = paired(resampled([before, after], ["a"] * len(names), rng=np.random.default_rng(0), resamples=10))
    assert gain.map.value is not None
    assert (gain.map.low, gain.map.high, gain.clusters) == (None, None, 1)
    only = np.where(np.arange(len(names)) < 4, 5, 0)
    rare = [
        [Matched(m.scores[m.image < 4], m.image[m.image < 4], m.right[:, m.image < 4], only)]
        for m in (before[0], after[0])
    ]
    gain = paired(resampled(rare, names, rng=np.random.default_rng(0), resamples=10))
    assert (gain.map.low, gain.clusters) == (None, 1)


def test_nothing_to_find_is_no_gain() -> None:
    """No images, no classes or no references: the gain is None, not 0."""
    none = Matched(np.zeros(0), np.zeros(0, np.int64), np.zeros((2, 0), bool), np.zeros(3, np.int64))
    for rounds, names in (([[none], [none]], ["a", "b", "c"]), ([[], []], [])):
        gain = paired(resampled(rounds, names, rng=np.random.default_rng(0), resamples=5))
        assert gain.map.value is None
        assert gain.map50.high is None


def test_rounds_on_other_images_are_refused() -> None:
    """Two rounds are paired image by image: another number of images is an error."""
    before, after, names = two()
    with pytest.raises(ValueError, match="expected matches on 47 images"):
        resampled([before, after], names[:-1], rng=np.random.default_rng(0), resamples=5)


def test_three_rounds_share_their_draws() -> None:
    """The gain of the last over the first is the sum of the two steps between, draw by draw."""
    before, after, names = two()
    third = two(better=0.2)[1]
    found = resampled([before, after, third], names, rng=np.random.default_rng(0), resamples=20)
    whole = difference(found, 0, 2).value
    steps = [difference(found, 0, 1).value, difference(found, 1, 2).value]
    assert whole == pytest.approx(sum(steps))  # type: ignore[arg-type]
