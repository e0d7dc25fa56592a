from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the center trainer needs torch: pip install 'swath[train]'")

from swath.kernels.boxes import iou  # noqa: E402
from swath.trainers._center_net import CenterNet, decode, loss, targets  # noqa: E402

BOXES = [np.array([[10.0, 8, 40, 30], [60, 20, 70, 50], [64, 4, 120, 60]]), np.zeros((0, 4))]
LABELS = [np.array([0, 2, 1]), np.zeros(0, dtype=np.int64)]


def _said(wanted: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's answer that says exactly what was wanted."""
    return torch.logit(wanted[0].clamp(1e-6, 1 - 1e-6)), wanted[1]


def test_what_is_wanted_reads_back_as_the_boxes() -> None:
    """Targets decoded as if the network had said them are the boxes and labels, at certainty; an empty
    image has none.
    """
    boxes, scores, labels = decode(*_said(targets(BOXES, LABELS, 3, 64, 128)), most=3)
    assert (scores[0] > 0.99).all()
    assert sorted(labels[0]) == [0, 1, 2]
    for box, label in zip(boxes[0], labels[0], strict=True):
        expected = BOXES[0][np.flatnonzero(LABELS[0] == label)]
        assert iou(box[None], expected)[0, 0] > 0.999
    assert (scores[1] < 1e-5).all()


def test_loss_is_least_at_the_truth() -> None:
    """The truth costs next to nothing; a missed object, a false one and a wrong box cost more."""
    wanted = targets(BOXES, LABELS, 3, 64, 128)
    heat, sides = _said(wanted)
    best = float(loss(heat, sides, wanted))
    assert best < 0.2
    missed, false, wrong = heat.clone(), heat.clone(), sides * 1.5
    missed[0, 0] = -8.0
    false[1, 1, 3, 3] = 8.0
    assert float(loss(missed, sides, wanted)) > best + 1
    assert float(loss(false, sides, wanted)) > best + 1
    # One and a half times the distances: IoU 1 / 2.25, the hull is the larger box.
    assert float(loss(heat, wrong, wanted)) == pytest.approx(best + 2 * (1 - 1 / 2.25), abs=1e-3)


def test_small_boxes_keep_their_cells() -> None:
    """Where a small box lies on a large one, the cells at its centre are told the small one's sides."""
    large, small = [0.0, 0, 128, 64], [58.0, 26, 70, 38]
    for order in ([large, small], [small, large]):
        _, sides, _ = targets([np.array(order)], [np.zeros(2, dtype=np.int64)], 1, 64, 128)
        assert sides[0, :, 8, 16].tolist() == [66 - 58, 34 - 26, 70 - 66, 38 - 34]


def test_boxes_that_cannot_be_learned_are_left_out() -> None:
    """Boxes without area or centred outside the input leave no trace, and the loss stays finite without any
    object.
    """
    odd = np.array([[5.0, 5, 5, 20], [-80, 0, 20, 20], [120, 0, 200, 20]])
    wanted = targets([odd], [np.zeros(3, dtype=np.int64)], 1, 64, 128)
    assert not wanted[0].any()
    assert not wanted[2].any()
    assert np.isfinite(float(loss(*_said(wanted), wanted)))


def test_output_is_a_quarter_of_the_input() -> None:
    """Heat has a channel per class, sides four that are positive, both a quarter of the input's size."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        heat, sides = CenterNet(5).eval()(torch.zeros(2, 3, 48, 96))
    assert heat.shape == (2, 5, 12, 24)
    assert sides.shape == (2, 4, 12, 24)
    assert (sides > 0).all()
