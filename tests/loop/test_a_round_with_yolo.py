"""A round with ultralytics' YOLO, from nothing and without a network, on a made world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import yolo
from support import QUICK, samples_of
from swath import models
from swath.labels import stored
from swath.loop import Loop
from swath.trainers import make
from swath.trainers.base import Predictions

pytestmark = [pytest.mark.slow, pytest.mark.database, yolo.needed]

SETTINGS = {
    **QUICK,
    "annotate": {"annotator": "simulated"},
    "train": {
        "trainer": "ultralytics",
        "ultralytics": {**yolo.SETTINGS, "imgsz": 160, "epochs": 3, "batch": 4},
    },
}


def test_a_round(world: Callable[[int], Path], dataset_name: str, tmp_path: Path) -> None:
    """It trains on the round's labels, holds out drives of the pool, keeps the classes; its predictions are read back, scored and
    stored; training the same again takes the model from the shelf."""
    loop, _ = Loop.init_kitti(dataset_name, world(60), changes=SETTINGS, home=tmp_path / "home")
    loop.run(1, until="train")
    work = loop.workspace
    trained = work.journal.batches.get("v0").steps.train
    assert trained is not None
    (model,) = trained.models
    assert (model.trainer, model.classes, model.seed) == ("ultralytics", work.config.classes, 0)
    pool = work.members("pool")
    drives = {work.scenes.of(pool).drive(key) for key in pool}
    assert 0 < len(model.info["held_out"]) < len(drives)
    assert set(model.info["held_out"]) < drives
    log = (models.folder(work.home) / model.info["log"]).read_text()
    assert "progress 3/3" in log
    assert "yolov8n.yaml" in log

    record = loop.evaluate().record
    assert record.main.map50.value is not None
    assert record.main.classes["Car"].references > 0
    keys = work.members("val")
    table = work.scenes.of(keys)
    trainer = make(work.config.train, "2d")
    found = trainer.predict(models.load(work.home, model), [table.path("left", key) for key in keys])
    docs = {
        doc["scene_key"]: doc
        for doc in samples_of(loop).find({"scene_key": {"$in": keys}, "group.name": "left"})
    }
    for key, one in zip(keys, found, strict=True):
        assert isinstance(one, Predictions)
        there = stored.read("2d", docs[key]["predictions"], table.size("left", key))
        np.testing.assert_allclose(there.shapes, one.boxes, atol=1e-6)
        assert [work.config.classes[label] for label in one.labels] == list(there.classes)
    total = sum(one.predictions for one in record.main.classes.values())  # few, or none, after three epochs
    assert sum(len(one.scores) for one in found) == total
