from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.kernels.detection import Predictions, References, score_detections
from swath.kernels.mistakes import type_mistakes

CAR, VAN = 0, 1
# Two cars and a van, 100 px wide and 50 high, far apart.
TRUTH = References(
    np.array([[0, 0, 100, 50], [300, 0, 400, 50], [600, 0, 700, 50]], dtype=float), np.array([CAR, CAR, VAN])
)


def _predicted(*rows: tuple[float, float, int, float]) -> Predictions:
    """Boxes of the same size as the truth's, from (x, y, label, score)."""
    boxes = np.array([[x, y, x + 100, y + 50] for x, y, _, _ in rows], dtype=float).reshape(-1, 4)
    return Predictions(
        boxes, np.array([r[3] for r in rows], dtype=float), np.array([r[2] for r in rows], dtype=np.int64)
    )


@pytest.mark.parametrize(
    ("row", "kind", "fate", "partner"),
    [
        ((0, 0, CAR, 0.9), "right", "found", 0),
        ((50, 0, CAR, 0.9), "location", "location", 0),  # IoU 50 / 150
        ((600, 0, CAR, 0.9), "class", "class", 2),
        ((650, 0, CAR, 0.9), "both", "missed", 2),
        ((150, 0, CAR, 0.9), "background", "missed", -1),
        ((90, 0, CAR, 0.9), "background", "missed", -1),  # IoU 10 / 190: not near
    ],
)
def test_each_kind_by_hand(row: tuple[float, float, int, float], kind: str, fate: str, partner: int) -> None:
    """One prediction, placed by hand, has the kind that its overlaps say, and so has the object it is
    about.
    """
    found = type_mistakes(_predicted(row), TRUTH, 0.5)
    assert found.kinds == (kind,)
    assert found.partner.tolist() == [partner]
    about = partner if partner >= 0 else 0
    assert found.fates[about] == fate
    assert [f for i, f in enumerate(found.fates) if i != about] == ["missed"] * 2


def test_duplicates_are_the_less_certain() -> None:
    """Of two predictions on one object the surer is right, though it comes second and overlaps less."""
    found = type_mistakes(_predicted((0, 0, CAR, 0.7), (10, 0, CAR, 0.8)), TRUTH, 0.5)
    assert found.kept.tolist() == [1, 0]
    assert found.kinds == ("right", "duplicate")
    assert (found.tp, found.fp, found.fn) == (1, 1, 2)


def test_the_threshold_counts_in() -> None:
    """A prediction exactly at the threshold counts, one below does not."""
    found = type_mistakes(_predicted((0, 0, CAR, 0.5), (300, 0, CAR, 0.49)), TRUTH, 0.5)
    assert found.kept.tolist() == [0]
    assert found.fates == ("found", "missed", "missed")


def test_nothing_is_defined() -> None:
    """No predictions: all missed. No references: all background. Neither: nothing."""
    blind = type_mistakes(Predictions.none(), TRUTH, 0.5)
    assert (blind.fates, blind.fn, blind.fp) == (("missed",) * 3, 3, 0)
    alone = type_mistakes(_predicted((0, 0, CAR, 0.9)), References.none(), 0.5)
    assert (alone.kinds, alone.partner.tolist(), alone.fn) == (("background",), [-1], 0)
    assert type_mistakes(Predictions.none(), References.none(), 0.5).kinds == ()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_counts_agree_with_pycocotools_matches(seed: int) -> None:
    """At the operating threshold, right and wrong add up to the precision and recall it states."""
    rng = np.random.default_rng(seed)
    predictions, references = [], []
    for _ in range(4):
        x = rng.uniform(0, 250, (4, 1))
        truth = np.hstack([x, x * 0, x + 60, x * 0 + 40])
        labels = rng.integers(0, 2, 4)
        references.append(References(truth, labels))
        shaken = np.vstack([truth, truth]) + rng.normal(0, 6, (8, 4))
        guessed = np.where(rng.random(8) < 0.3, 1, np.tile(labels, 2))
        predictions.append(Predictions(shaken, rng.random(8), guessed))
    operating = score_detections(predictions, references, 2, rng=rng, resamples=0).operating
    found = [type_mistakes(p, r, operating.threshold) for p, r in zip(predictions, references, strict=True)]
    tp, fp, fn = (sum(getattr(one, name) for one in found) for name in ("tp", "fp", "fn"))
    assert tp / (tp + fp) == pytest.approx(operating.precision)
    assert tp / (tp + fn) == pytest.approx(operating.recall)
    for one in found:
        assert one.fates.count("found") == one.tp
