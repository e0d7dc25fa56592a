"""What mending each type of error would bring, against predictions that are mended in truth and scored by pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.kernels.boxes import iou
from swath.kernels.detection import Predictions, References, match_images
from swath.kernels.typed import KINDS, RIGHT, TYPES, Table, average_precision, gains, strata, table

CLASSES = 3


def made(seed: int, images: int = 6) -> tuple[list[Predictions], list[References]]:
    """Images with every type of error in them."""
    rng = np.random.default_rng(seed)
    found, wanted = [], []
    for _ in range(images):
        n = int(rng.integers(0, 6))
        corner = rng.uniform(0, 200, (n, 2))
        boxes = np.hstack([corner, corner + rng.uniform(15, 60, (n, 2))])
        labels = rng.integers(0, CLASSES, n)
        near = np.repeat(np.arange(n), rng.integers(0, 3, n))
        shaken = boxes[near] + rng.normal(0, 1, (len(near), 4)) * rng.choice([1, 8, 15], len(near))[:, None]
        noise = rng.uniform(0, 200, (int(rng.integers(0, 3)), 2))
        every = np.vstack([shaken, np.hstack([noise, noise + 25])])
        every[:, 2:] = np.maximum(every[:, 2:], every[:, :2] + 1)
        said = np.append(labels[near], rng.integers(0, CLASSES, len(noise)))
        said = np.where(rng.random(len(said)) < 0.2, rng.integers(0, CLASSES, len(said)), said).astype(
            np.int64
        )
        found.append(Predictions(every, rng.permutation(len(said)) / 50 + rng.random() / 100, said))
        wanted.append(References(boxes, labels.astype(np.int64)))
    return found, wanted


def told(found: list[Predictions], wanted: list[References]) -> Table:
    return table(
        (p.scores, p.labels, r.labels, iou(p.boxes, r.boxes)) for p, r in zip(found, wanted, strict=True)
    )


def map50(found: list[Predictions], wanted: list[References]) -> np.ndarray:
    """(classes,) pycocotools' AP at IoU 0.5."""
    return match_images(found, wanted, CLASSES)[1][:, 0]


def mended(kind: str, found: list[Predictions], wanted: list[References]) -> np.ndarray:
    """AP by class of predictions and objects that were changed one by one, as the head of the module says."""
    one = told(found, wanted)
    boxes = np.vstack([r.boxes for r in wanted])
    base, out, left = 0, [], []
    hit = set(one.partner[one.kind == RIGHT].tolist())
    for image, (p, r) in enumerate(zip(found, wanted, strict=True)):
        rows = np.flatnonzero(one.image == image)
        order = np.argsort(-p.scores, kind="stable")
        b, s, c = p.boxes[order].copy(), p.scores[order], p.labels[order].copy()
        keep = np.ones(len(rows), bool)
        pointed = set()
        done = set(hit)
        for i, row in enumerate(rows):
            name, partner = KINDS[one.kind[row]], int(one.partner[row])
            if name in ("location", "class"):
                pointed.add(partner)
            if kind == "false":
                keep[i] = name == "right"
            elif name == kind:
                keep[i] = kind in ("location", "class") and partner not in done
                if keep[i]:
                    done.add(partner)
                    b[i], c[i] = boxes[partner], one.wanted[partner]
        out.append(Predictions(b[keep], s[keep], c[keep]))
        mine = np.arange(base, base + len(r.labels))
        base += len(r.labels)
        stay = np.array(
            [
                kind not in ("missed", "unfound") or j in hit or (kind == "missed" and j in pointed)
                for j in mine
            ],
            bool,
        )
        left.append(References(r.boxes[stay], r.labels[stay]))
    return map50(out, left)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_the_oracle_is_exact(seed: int) -> None:
    """For each type: boxes moved, classes changed, predictions and objects dropped in truth, scored by pycocotools, give the same
    gain; the AP that it is measured from is pycocotools' too."""
    found, wanted = made(seed)
    base = map50(found, wanted)
    one = told(found, wanted)
    assert average_precision(one, CLASSES) == pytest.approx(base, nan_ok=True)
    there = ~np.isnan(base)
    got = gains(one, CLASSES)
    for kind in TYPES if there.any() else ():
        after = mended(kind, found, wanted)[there]
        assert got[kind] == pytest.approx(np.where(np.isnan(after), 1, after).mean() - base[there].mean()), (
            kind
        )
    assert set(got) == (set(TYPES) if there.any() else set())


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_mending_never_costs(seed: int) -> None:
    """No type costs less than nothing, and all false ones together cost at least as much as those of the three types that are
    dropped."""
    got = gains(told(*made(seed)), CLASSES)
    assert all(value >= -1e-12 for value in got.values())
    for kind in ("duplicate", "background", "both"):
        assert not got or got["false"] >= got[kind] - 1e-12


def test_a_case_by_hand() -> None:
    """One class, two objects; a sure false alarm (0.9) before a right one (0.8), the other object missed. AP is 0.5 * 51 / 101;
    without the alarm 51 / 101; without the missed object 0.5; with both away 1."""
    overlap = np.array([[0.0, 0.0], [0.8, 0.0]])
    one = table([(np.array([0.9, 0.8]), np.array([0, 0]), np.array([0, 0]), overlap)])
    base = 0.5 * 51 / 101
    assert average_precision(one, 1)[0] == pytest.approx(base)
    got = gains(one, 1)
    assert got["background"] == pytest.approx(51 / 101 - base)
    assert got["missed"] == pytest.approx(0.5 - base)
    assert (got["class"], got["location"], got["duplicate"]) == pytest.approx((0, 0, 0))


def test_nothing_has_a_name() -> None:
    """No images, no objects: no gains. No predictions: what is missed is all there is. NaN scores: an error that says where."""
    assert gains(table([]), 2) == {}
    none = np.zeros(0, np.int64)
    empty = (np.zeros(0), none, np.array([1, 1]), np.zeros((0, 2)))
    got = gains(table([empty]), 2)
    assert got["missed"] == 1
    assert got["background"] == got["location"] == 0
    assert gains(table([(np.array([0.5]), np.array([0]), none, np.zeros((1, 0)))]), 2) == {}
    with pytest.raises(ValueError, match="image 1: expected scores that are numbers, got NaN"):
        table([empty, (np.array([np.nan]), np.array([0]), none, np.zeros((1, 0)))])


def test_at_most_a_hundred_of_a_class() -> None:
    """Of 10,000 boxes with equal scores in one image a hundred of each class count, the first ones: as pycocotools has it."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 500, (10_000, 2))
    found = [
        Predictions(np.hstack([corner, corner + 20]), np.full(10_000, 0.5), rng.integers(0, CLASSES, 10_000))
    ]
    wanted = [References(np.hstack([corner[:300], corner[:300] + 20]), found[0].labels[:300])]
    one = told(found, wanted)
    assert len(one.score) == 300
    assert average_precision(one, CLASSES) == pytest.approx(map50(found, wanted))


# ---------------------------------------------------------------------- strata


def test_strata_count_neither_way_for_each_other() -> None:
    """Near: one object of two found. Far: its only one found, after a false alarm that could be near or far: it counts in both, or
    in the stratum that it is said to be of. An object of no stratum counts in none."""
    overlap = np.zeros((3, 4))
    overlap[0, 0] = overlap[2, 2] = 0.9
    one = table([(np.array([0.9, 0.8, 0.7]), np.zeros(3, int), np.zeros(4, int), overlap)])
    bins, names = np.array([0, 0, 1, 9]), {0: "near", 1: "far", 2: "none"}
    near, far, none = strata(one, 1, 0.5, bins, names)
    assert (near.objects, near.found, near.recall) == (2, 1, 0.5)
    assert (far.objects, far.found, far.recall, far.ap50) == (1, 1, 1.0, pytest.approx(0.5))
    assert (none.objects, none.recall, none.ap50) == (0, None, None)
    far_only = strata(one, 1, 0.75, bins, names, np.array([0, 0, 0]))
    assert far_only[1].ap50 == pytest.approx(1.0)
    assert far_only[1].recall == 0.0  # found by a score of 0.7, below the operating threshold


def test_one_stratum_is_the_whole() -> None:
    """All objects in one stratum: AP is that of the evaluation."""
    one = told(*made(3))
    whole = strata(one, CLASSES, 0.0, np.zeros(len(one.wanted), int), {0: "all"})[0]
    assert whole.ap50 == pytest.approx(np.nanmean(average_precision(one, CLASSES)))
    assert whole.found == (one.kind == RIGHT).sum()
