"""Each flaw of a labeller is the one that its name says, as large as was asked for, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from shapely import affinity
from shapely.geometry import box as rectangle

from swath.annotators import make
from swath.annotators.base import Task, Work
from swath.annotators.simulated import Known, Simulated
from swath.config import Annotate
from swath.errors import ConfigError
from swath.kernels.cuboids import iou, yawed
from swath.kernels.frames import AXES
from swath.labels.channels import Channel
from swath.labels.shapes import Boxes, Cuboids, Labels
from swath.worlds import annotators as labellers
from swath.worlds.annotators import ErrorRates, Flaws, burden

CLASSES = ("Car", "Van", "Pedestrian")
SIZE = (1000, 400)
LEFT = Channel("left", "image", True, True, "left", *"abcd")
PCD = Channel("pcd", "cloud", True, True, "pcd", *"abcd")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def some_cuboids(n: int = 400) -> Cuboids:
    draw = rng(1)
    table = np.zeros((n, 9))
    table[:, 0], table[:, 1] = draw.uniform(5, 60, n), draw.uniform(-20, 20, n)
    table[:, 2], table[:, 3:6] = -0.9, (4.0, 1.6, 1.5)
    table[:, 8] = draw.uniform(-math.pi, math.pi, n)
    return Cuboids(table, tuple(CLASSES[i % 3] for i in range(n)))


BOXES = Boxes(np.array([[100, 100, 200, 150], [500, 200, 520, 240]], float), ("Car", "Van"))


def test_loosened_boxes() -> None:
    """By hand: 10 % of a width of 100 and a height of 50 at each edge; what leaves the image is cut."""
    got = labellers.loosened(BOXES, 0.1, SIZE).boxes
    np.testing.assert_allclose(got, [[90, 95, 210, 155], [498, 196, 522, 244]])
    edge = Boxes(np.array([[0.0, 0, 100, 100]]), ("Car",))
    np.testing.assert_allclose(labellers.loosened(edge, 0.1, SIZE).boxes, [[0, 0, 110, 110]])
    tight = labellers.loosened(BOXES, -0.1, SIZE).boxes[0]
    assert rectangle(*BOXES.boxes[0]).contains(rectangle(*tight))


def test_cuboids_are_shifted_away() -> None:
    """Every centre is half a metre further from the sensor, in its own direction."""
    truth = some_cuboids()
    moved = labellers.shifted(truth, 0.5).cuboids - truth.cuboids
    away = truth.cuboids[:, :2] / np.hypot(*truth.cuboids[:, :2].T)[:, None]
    np.testing.assert_allclose(moved[:, :2], 0.5 * away)
    assert not moved[:, 2:].any()


def test_cuboids_are_resized_on_their_ground() -> None:
    """10 % larger in each direction: 1.331 times the volume, the bottom where it was, all of the old one inside."""
    truth = some_cuboids(20)
    got = labellers.resized(truth, 1.1)
    np.testing.assert_allclose(got.cuboids[:, 3:6].prod(axis=1), 1.331 * truth.cuboids[:, 3:6].prod(axis=1))
    bottom = truth.cuboids[:, 2] - truth.cuboids[:, 5] / 2
    np.testing.assert_allclose(got.cuboids[:, 2] - got.cuboids[:, 5] / 2, bottom)
    overlap = np.diag(iou(yawed(truth.cuboids), yawed(got.cuboids)))
    np.testing.assert_allclose(overlap, 1 / 1.331)


def footprint(cuboid: np.ndarray) -> object:
    x, y, _, length, width, *_, yaw = cuboid
    flat = rectangle(-length / 2, -width / 2, length / 2, width / 2)
    return affinity.translate(affinity.rotate(flat, yaw, origin=(0, 0), use_radians=True), x, y)


def test_turned_flipped_exchanged_against_shapely() -> None:
    """Half a turn keeps the footprint and reverses the heading; exchanged sides are a quarter of a turn of it; 5 degrees are 5
    degrees: shapely's footprints."""
    truth = some_cuboids(30)
    flipped = labellers.flipped(truth, 1.0, rng()).cuboids
    crossed = labellers.exchanged(truth, 1.0, rng()).cuboids
    turned = labellers.turned(truth, 5.0).cuboids
    for a, b, c, d in zip(truth.cuboids, flipped, crossed, turned, strict=True):
        outline = footprint(a)
        assert outline.symmetric_difference(footprint(b)).area < 1e-9  # type: ignore[attr-defined]
        assert math.cos(a[8] - b[8]) == pytest.approx(-1)
        quarter = affinity.rotate(outline, 90)
        assert quarter.symmetric_difference(footprint(c)).area < 1e-9
        assert affinity.rotate(outline, 5).symmetric_difference(footprint(d)).area < 1e-9
    assert np.abs(turned[:, 8]).max() <= math.pi


@pytest.mark.parametrize("flaw", [labellers.flipped, labellers.exchanged])
def test_shares_are_kept(flaw: Callable[..., Cuboids]) -> None:
    """A fifth of 400 cuboids, within four standard errors, is changed; with a chance of nothing, none; the input never."""
    truth = some_cuboids()
    before = truth.cuboids.copy()
    changed = (flaw(truth, 0.2, rng(3)).cuboids != truth.cuboids).any(axis=1).sum()
    assert abs(changed - 80) < 4 * math.sqrt(400 * 0.2 * 0.8)
    assert flaw(truth, 0.0, rng(3)) == truth
    assert np.array_equal(truth.cuboids, before)


def test_misses_grow_with_the_distance() -> None:
    """At 30 m of 60 half of `far` is missed, next to the sensor nearly none: the slope of a line through misses by distance."""
    n = 4000
    table = np.tile([0.0, 0, 0, 4, 2, 2, 0, 0, 0], (n, 1))
    table[:, 0] = np.linspace(0.1, 60, n)
    truth = Cuboids(table, ("Car",) * n)
    seen = labellers.unseen(truth, (0, 0), 0.6, 0.0, rng(4)).cuboids[:, 0]
    missed = ~np.isin(table[:, 0], seen)
    line = stats.linregress(table[:, 0] / 60, missed.astype(float))
    assert line.slope == pytest.approx(0.6, abs=4 * line.stderr)
    assert line.intercept == pytest.approx(0.0, abs=4 * line.intercept_stderr)


def test_misses_grow_with_what_hides() -> None:
    """Of two cars behind each other the far one is missed at the rate, the near one never; in images the upper of two boxes."""
    near, far = [10.0, 0, 0, 4, 2, 2, 0, 0, 0], [20.0, 0, 0, 4, 2, 2, 0, 0, 0]
    solid = Cuboids(np.array([near, far]), ("Car", "Car"))
    flat = Boxes(np.array([[0, 100, 100, 200], [10, 110, 90, 150]], float), ("Car", "Car"))
    for labels in (solid, flat):
        counts = [len(labellers.unseen(labels, SIZE, 0.0, 0.5, rng(seed))) for seed in range(300)]
        assert set(counts) == {1, 2}
        assert abs(counts.count(1) - 150) < 4 * math.sqrt(300 * 0.25)
        left = labellers.unseen(labels, SIZE, 0.0, 1.0, rng())
        assert np.array_equal(left.shapes, labels.shapes[:1])


def test_swaps_follow_the_matrix() -> None:
    """Three tenths of the cars become vans and one tenth pedestrians; vans and pedestrians stay; classes that are not there, too."""
    n = 3000
    truth = Cuboids(np.zeros((n, 9)), ("Car",) * 2000 + ("Van",) * 1000)
    matrix = {"Car": {"Van": 0.3, "Pedestrian": 0.1, "Tram": 0.5}}
    got = labellers.confused(truth, matrix, CLASSES, rng(5)).classes
    counts = [got[:2000].count(name) for name in ("Van", "Pedestrian", "Car")]
    assert stats.chisquare(counts, [600, 200, 1200]).pvalue > 1e-4
    assert set(got[2000:]) == {"Van"}


def test_clumps_have_the_stated_correlation() -> None:
    """Misses of ten objects per scene at 10 %, ICC 0.1: their variance is that of a beta-binomial, n p (1 - p) (1 + (n - 1) ICC),
    within 15 %; the mean stays; without a clump it is the binomial's."""
    n, p, scenes = 10, 0.1, 8000
    for clump, wanted in ((0.1, n * p * (1 - p) * (1 + (n - 1) * 0.1)), (0.0, n * p * (1 - p))):
        draw = rng(6)
        rates = [min(p * burden(Flaws(clump=clump), p, 0, 1, draw), 0.9) for _ in range(scenes)]
        counts = draw.binomial(n, rates)
        assert counts.mean() == pytest.approx(n * p, rel=0.08)
        assert counts.var() == pytest.approx(wanted, rel=0.15)


def test_tired_and_careless() -> None:
    """At the end of a session one slips three times as often as at its beginning; the first of five, ten times as often as others."""
    flaws = Flaws(tired=3, annotators=5, careless=10)
    assert [burden(flaws, 0.05, at, 1, rng()) for at in (0, 0.5, 1)] == [1, 2, 3]
    assert burden(flaws, 0.05, 0, 0, rng()) == 10
    assert burden(Flaws(careless=10), 0.05, 0, 0, rng()) == 1  # alone, nobody is the first of several
    assert ErrorRates(0.05, 0.03, 0.02).times(10) == replace(ErrorRates(0.5, 0.3, 0.2))
    assert ErrorRates(0.5).times(10).miss == 0.9


# ---------------------------------------------------------------------- the annotator that has them


def truth(task: str) -> Known:
    labels: dict[str, Labels | None] = {"left": BOXES, "pcd": some_cuboids(6)}
    return Known(task, labels)


def work(batch: str, tasks: int = 40) -> Work:
    return Work(
        batch, CLASSES, tuple(Task(f"t{i}", {}, {"left": SIZE}, (LEFT, PCD)) for i in range(tasks)), "left"
    )


def test_a_guideline_that_changes() -> None:
    """Before the round `since`, and in references, the labels are those of a labeller without flaws; from it on they are not."""
    good = Simulated(truth, seed=3)
    bad = Simulated(truth, seed=3, flaws=Flaws(since=2, shift=1.0))
    for batch in ("reference", "reference-test", "v0", "v1", "v2", "v3"):
        same = bad.fetch(work(batch), {}) == good.fetch(work(batch), {})
        assert same == (batch not in ("v2", "v3")), batch


def test_one_flaw_changes_no_other_draw() -> None:
    """Cuboids that are shifted are, but for the shift, those that would have been drawn; boxes are to the bit."""
    good = Simulated(truth, seed=3).fetch(work("v1"), {}).answers
    bad = Simulated(truth, seed=3, flaws=Flaws(shift=1.0)).fetch(work("v1"), {}).answers
    for one, two in zip(good, bad, strict=True):
        assert one.labels is not None
        if isinstance(one.labels, Cuboids):
            assert two.labels == labellers.shifted(one.labels, 1.0)
        else:
            assert two == one


def test_who_drew_what() -> None:
    """Five annotators share the work under names of their own, and the first misses most."""
    crew = Simulated(truth, ErrorRates(miss=0.05), flaws=Flaws(annotators=5, careless=10)).fetch(
        work("v0", 200), {}
    )
    missed: dict[str, list[int]] = {}
    for one in crew.answers:
        if one.channel == "pcd" and one.labels is not None:
            missed.setdefault(one.annotator, []).append(6 - len(one.labels))
    assert sorted(missed) == [f"simulated {i}" for i in range(1, 6)]
    means = {name: float(np.mean(values)) for name, values in missed.items()}
    assert means["simulated 1"] > 2 > 4 * max(value for name, value in means.items() if name != "simulated 1")


def test_the_camera_frame() -> None:
    """A third of the scenes has its cuboids where the camera's axes put them: right, down, forward."""
    truths = some_cuboids(6).cuboids
    plain = ErrorRates(0, 0, 0, 0, 0, 0, 0, 0)
    got = Simulated(truth, plain, flaws=Flaws(camera_frame=0.33)).fetch(work("v0", 200), {})
    x, y, z = truths[:, :3].T
    mixed = 0
    for one in got.answers:
        if isinstance(one.labels, Cuboids) and not np.array_equal(one.labels.cuboids, truths):
            np.testing.assert_allclose(one.labels.cuboids[:, :3], np.c_[-y, -z, x])
            mixed += 1
    assert abs(mixed - 66) < 4 * math.sqrt(200 * 0.33 * 0.67)
    assert np.array_equal(AXES[:3, :3] @ [1, 0, 0], [0, 0, 1])


def test_settings_are_the_flaws() -> None:
    """Every setting of `annotate: {flaws: ...}` is a flaw of the same name, and reaches the annotator."""
    given = {"annotator": "simulated", "flaws": {"since": 1, "loose": 0.1, "confuse": {"Car": {"Van": 0.2}}}}
    settings = Annotate.model_validate(given)
    assert Flaws(**settings.flaws.model_dump()) == Flaws(since=1, loose=0.1, confuse={"Car": {"Van": 0.2}})
    assert Flaws(**Annotate().flaws.model_dump()) == Flaws()
    made = make(settings, truth=lambda: truth, seed=3)
    assert made.fetch(work("v1"), {}) != Simulated(truth, seed=3).fetch(work("v1"), {})
    with pytest.raises(ConfigError, match="expected 0"):
        ErrorRates(miss=2)
