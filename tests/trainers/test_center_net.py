from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the center trainer needs torch: pip install 'swath[train]'")

from swath.kernels.boxes import iou  # noqa: E402
from swath.trainers._center_net import (  # noqa: E402
    STRIDES,
    CenterNet,
    Wanted,
    cells,
    decode,
    loss,
    targets,
)

SIZE = (64, 128)  # height, width
BOXES = [np.array([[10.0, 8, 40, 30], [60, 20, 70, 50], [64, 4, 120, 60]]), np.zeros((0, 4))]
LABELS = [np.array([0, 2, 1]), np.zeros(0, dtype=np.int64)]


def _said(wanted: Wanted, images: int = 2, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's answer that says exactly what was wanted."""
    count = len(cells(*SIZE)[0])
    heat, sides = torch.full((images, classes, count), -15.0), torch.ones(images, 4, count)
    heat[wanted.image, wanted.label, wanted.cell] = 15.0
    sides.permute(0, 2, 1)[wanted.image, wanted.cell] = wanted.sides
    return heat, sides


def test_what_is_wanted_reads_back_as_the_boxes() -> None:
    """Targets decoded as if the network had said them are the boxes and labels, once each; an empty image has none."""
    full, empty = decode(*_said(targets(BOXES, LABELS, *SIZE)), *SIZE, most=10)
    boxes, scores, labels = (one[full[1] > 0.5] for one in full)
    assert sorted(labels) == [0, 1, 2]
    assert (scores > 0.99).all()
    for box, label in zip(boxes, labels, strict=True):
        expected = BOXES[0][np.flatnonzero(LABELS[0] == label)]
        assert iou(box[None], expected)[0, 0] > 0.999
    assert (empty[1] < 1e-5).all()


def test_loss_is_least_at_the_truth() -> None:
    """The truth costs next to nothing; a missed object, a false one and a wrong box cost more."""
    wanted = targets(BOXES, LABELS, *SIZE)
    heat, sides = _said(wanted)
    best = float(loss(heat, sides, wanted))
    assert best == pytest.approx(0.0, abs=1e-4)
    missed, false = heat.clone(), heat.clone()
    missed[0, 0] = -8.0
    false[1, 1, 3] = 8.0
    assert float(loss(missed, sides, wanted)) > best + 1
    assert float(loss(false, sides, wanted)) > best + 0.3
    # One and a half times the distances: IoU 1 / 2.25, the hull is the larger box; the class is told that IoU.
    told = heat.clone()
    told[wanted.image, wanted.label, wanted.cell] = float(np.log((1 / 2.25) / (1 - 1 / 2.25)))
    around = (
        wanted.sides.min(dim=1).values > 0
    )  # where the middle lies outside, the boxes only partly overlap
    inner = Wanted(*(getattr(wanted, name)[around] for name in ("image", "cell", "label", "sides", "weight")))
    other = [_said(inner)[0], sides * 1.5]
    other[0][inner.image, inner.label, inner.cell] = told[inner.image, inner.label, inner.cell]
    assert float(loss(other[0], other[1], inner)) == pytest.approx(2 * (1 - 1 / 2.25), abs=1e-3)


def test_objects_are_told_on_the_level_of_their_size() -> None:
    """A box of 16 x 16 px is told on cells of 8 px, one of 60 x 60 on those of 16, one between both on both; each told
    something; the weights of an object add up to 1.
    """
    _, level = cells(192, 624)
    for size, levels in ((16, {0}), (34, {0, 1}), (60, {1}), (180, {2})):
        wanted = targets([np.array([[4.0, 4, 4 + size, 4 + size]])], [np.array([1])], 192, 624)
        assert set(level[wanted.cell.numpy()].tolist()) == levels
        assert float(wanted.weight.sum()) == pytest.approx(1.0)
        assert wanted.label.unique().tolist() == [1]


def test_a_thin_box_has_a_cell() -> None:
    """A box of 3 px that holds no cell's middle is told to the nearest, and reads back."""
    thin = np.array([[16.5, 10.0, 19.5, 30.0]])
    wanted = targets([thin], [np.array([2])], *SIZE)
    assert (wanted.sides.min(dim=1).values < 0).any()
    middles, _ = cells(*SIZE)
    at = middles[wanted.cell.numpy()]
    sides = wanted.sides.numpy()
    np.testing.assert_allclose(np.hstack([at - sides[:, :2], at + sides[:, 2:]]), np.tile(thin, (len(at), 1)))


def test_small_boxes_keep_their_cells() -> None:
    """Where a small box lies on a large one and they compete for a cell, it is told of the small one, whatever their order."""
    large, small = [44.0, 12, 84, 52], [58.0, 26, 76, 38]
    for order, mine in (([large, small], 1), ([small, large], 0)):
        wanted = targets([np.array(order)], [np.arange(2)], *SIZE)
        (centre,) = np.flatnonzero((cells(*SIZE)[0] == (68, 36)).all(axis=1) & (cells(*SIZE)[1] == 0))
        assert wanted.label[wanted.cell == centre].tolist() == [mine]
        assert wanted.sides[wanted.cell == centre].tolist() == [[68 - 58, 36 - 26, 76 - 68, 38 - 36]]


def test_boxes_that_cannot_be_learned_are_left_out() -> None:
    """Boxes without area or centred outside the input leave no trace, and the loss stays finite without any object."""
    odd = np.array([[5.0, 5, 5, 20], [-80, 0, 20, 20], [120, 0, 200, 20]])
    wanted = targets([odd], [np.zeros(3, dtype=np.int64)], *SIZE)
    assert not len(wanted.cell)
    assert np.isfinite(float(loss(*_said(wanted, images=1), wanted)))


def test_of_rivals_the_better_stays() -> None:
    """Of two boxes of a class that overlap the lesser goes; boxes of two classes, and boxes apart, stay; no more than asked."""
    count = len(cells(*SIZE)[0])
    heat, sides = torch.full((1, 2, count), -15.0), torch.full((1, 4, count), 16.0)
    heat[0, 0, 20], heat[0, 0, 21], heat[0, 1, 21], heat[0, 0, 28] = 2.0, 1.0, 0.5, 0.0
    ((boxes, scores, labels),) = decode(heat, sides, *SIZE, most=3)
    assert labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(boxes[:, 0], cells(*SIZE)[0][[20, 21, 28], 0] - 16)
    assert (np.diff(scores) < 0).all()


def test_the_network_speaks_of_every_cell() -> None:
    """Classes and sides for all cells, of inputs that the coarsest cells do not divide too; sides are positive."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = CenterNet(5).eval()
        for height, width in ((48, 96), (64, 128), (112, 384)):
            classes, sides = net(torch.zeros(2, 3, height, width))
            count = sum(-(-height // stride) * -(-width // stride) for stride in STRIDES)
            assert (classes.shape, sides.shape) == ((2, 5, count), (2, 4, count))
            assert len(cells(height, width)[0]) == count
            assert (sides > 0).all()
        assert net.pooled(torch.zeros(2, 3, 48, 96)).shape == (2, CenterNet.features)
