"""ultralytics' YOLO as a trainer: that it learns, says what went wrong, and reaches nothing outside."""

from __future__ import annotations

import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import yolo
from swath.config import Train
from swath.errors import ConfigError, SwathError
from swath.kernels.boxes import iou
from swath.trainers import make
from swath.trainers.base import Predictions, TrainingSet
from swath.trainers.command import CommandTrainer
from swath.trainers.ultralytics import PROGRAM

pytestmark = [pytest.mark.slow, yolo.needed]


def trainer(**settings: object) -> CommandTrainer:
    made = make(Train.model_validate({"ultralytics": {**yolo.SETTINGS, **settings}}), "2d", "ultralytics")
    assert isinstance(made, CommandTrainer)
    return made


def bright(folder: Path, images: int) -> TrainingSet:
    """Grey images of two drives with one bright rectangle each, somewhere."""
    rng, paths, boxes = np.random.default_rng(0), [], []
    for i in range(images):
        x, y = rng.integers(0, 64, 2)
        pixels = rng.normal(90, 8, (128, 128, 3))
        pixels[y : y + 48, x : x + 60] = 240
        paths.append(folder / f"{i}.png")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1])
        boxes.append(np.array([[x, y, x + 60, y + 48]], float))
    groups = tuple(f"d{i % 4}" for i in range(images))
    return TrainingSet(
        tuple(map(str, paths)), tuple(boxes), (np.array([1]),) * images, groups, ("no", "thing")
    )


def test_it_learns(tmp_path: Path) -> None:
    """From nothing it finds bright rectangles in images that it has not seen, most at the right place, and calls them by their
    class."""
    data = bright(tmp_path, 40)
    seen = {part: getattr(data, part)[:32] for part in ("media", "shapes", "labels", "groups")}
    one = trainer(imgsz=128, epochs=80, batch=8)
    model = one.fit(replace(data, **seen), tmp_path / "m.pt", seed=0)
    found = one.predict(model, data.media[32:])
    right = 0
    for box, there in zip(data.shapes[32:], found, strict=True):
        assert isinstance(there, Predictions)
        right += bool(len(there.scores)) and there.labels[0] == 1 and iou(there.boxes[:1], box)[0, 0] > 0.5
    assert right >= 6


def test_a_failure_is_told(tmp_path: Path) -> None:
    """A model that ultralytics does not have, and weights that are none: its last words and its log, no model, nothing in between;
    a training that takes too long is ended."""
    data = bright(tmp_path, 4)
    with pytest.raises(
        SwathError, match=r"ended with exit code 1; its last words: .*nosuch\.yaml.*; all of them: .*m\.log"
    ):
        trainer(model="nosuch.yaml").fit(data, tmp_path / "m.pt", seed=0)
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"none")
    with pytest.raises(SwathError, match="ended with exit code 1"):
        trainer(model=str(weights)).fit(data, tmp_path / "m.pt", seed=0)
    with pytest.raises(SwathError, match=r"did not end within 2 seconds and was ended"):
        trainer(seconds=2).fit(data, tmp_path / "m.pt", seed=0)
    assert not (tmp_path / "m.pt").exists()


def test_it_trains_on_from_weights(tmp_path: Path) -> None:
    """Weights that are there are where it begins: another model than from nothing, and the same each time."""
    data = bright(tmp_path, 8)
    first = trainer(imgsz=64, epochs=1, batch=4)
    first.fit(data, tmp_path / "first.pt", seed=0)
    with zipfile.ZipFile(tmp_path / "first.pt") as packed:
        (tmp_path / "w.pt").write_bytes(packed.read("model"))
    on = trainer(imgsz=64, epochs=1, batch=4, model=str(tmp_path / "w.pt"))
    one, two = (on.fit(data, tmp_path / f"{i}.pt", seed=0).sha256 for i in (1, 2))
    assert one == two != first.fit(data, tmp_path / "again.pt", seed=0).sha256


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    """Names of weights that ultralytics would fetch are refused before it starts; and its process finds no host."""
    for model in ("yolov8n.pt", "yolov8n", "https://example.org/yolov8n.yaml"):
        with pytest.raises(ConfigError, match="nothing is downloaded"):
            trainer(model=model)
    program = (
        f"import runpy, socket; nowhere = runpy.run_path({str(PROGRAM)!r})['nowhere']; socket.getaddrinfo = nowhere\n"
        "from ultralytics.utils.downloads import attempt_download_asset\n"
        f"attempt_download_asset({str(tmp_path / 'yolov8n.pt')!r})\n"
    )
    done = subprocess.run([yolo.PYTHON, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "without a network" in done.stderr or "Download failure" in done.stderr
    assert not (tmp_path / "yolov8n.pt").exists()
