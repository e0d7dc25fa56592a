"""What runs in the environment that has ultralytics. It imports nothing of swath, and swath nothing of it.

It reaches nothing outside: no weights, fonts, packages or counts of use go over a network, whatever ultralytics would like.

fit      --data FOLDER (yolo)  --model FILE  --base yolov8n.yaml  --epochs N --imgsz N --batch N --seed N --threads N
predict  --data FOLDER (images/, images.json)  --model FILE  --out FOLDER  --threads N
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["fit", "predict"])
    for name in ("data", "model", "out", "base"):
        parser.add_argument(f"--{name}")
    for name in ("epochs", "imgsz", "batch", "seed", "threads"):
        parser.add_argument(f"--{name}", type=int, default=1)
    given = parser.parse_args()
    home = tempfile.mkdtemp(prefix="ultralytics-")  # it writes settings and caches: not into the user's home
    os.environ.update(YOLO_CONFIG_DIR=home, YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
    os.environ.update(OMP_NUM_THREADS=str(given.threads))
    socket.getaddrinfo = nowhere
    try:
        import torch

        torch.set_num_threads(given.threads)
        (fit if given.what == "fit" else predict)(given, Path(home))
    finally:
        shutil.rmtree(home, ignore_errors=True)


def nowhere(*_: Any, **__: Any) -> Any:
    """In place of what finds a host."""
    raise OSError("swath runs ultralytics without a network")


def device() -> str:
    import torch

    return "0" if torch.cuda.is_available() else "cpu"


def fit(given: argparse.Namespace, home: Path) -> None:
    from ultralytics import YOLO

    model = YOLO(given.base)
    model.add_callback(
        "on_train_epoch_end",
        lambda trainer: print(f"progress {trainer.epoch + 1}/{trainer.epochs}", flush=True),
    )
    model.train(
        data=str(Path(given.data) / "data.yaml"),
        epochs=given.epochs,
        imgsz=given.imgsz,
        batch=given.batch,
        seed=given.seed % 2**32,
        deterministic=True,
        device=device(),
        workers=0,
        project=str(home),
        name="fit",
        plots=False,
        amp=False,
        verbose=False,
    )
    keep(home / "fit" / "weights" / "best.pt", Path(given.model))


def keep(best: Path, out: Path) -> None:
    """Writes what predicts, without the dates, paths and timings of its training: the same training gives the same file."""
    import torch

    made = torch.load(best, map_location="cpu", weights_only=False)
    model, args = made["model"], made["train_args"]
    model.args = {}
    content = {
        "model": model,
        "train_args": {name: args[name] for name in ("task", "imgsz")},
        "version": made["version"],
        "license": made["license"],
    }
    with out.open("wb") as file:
        torch.save(content, file)


def predict(given: argparse.Namespace, home: Path) -> None:
    from ultralytics import YOLO

    weights = home / "model.pt"  # it reads files by their ending
    shutil.copyfile(given.model, weights)
    model = YOLO(str(weights))
    images = json.loads((Path(given.data) / "images.json").read_text())["images"]
    results = []
    for at, image in enumerate(images, 1):
        path = Path(given.data) / "images" / image["file_name"]
        (found,) = model.predict(
            str(path), conf=0.01, max_det=100, device=device(), verbose=False, save=False
        )
        boxes = found.boxes
        for (x1, y1, x2, y2), score, label in zip(
            boxes.xyxy.tolist(), boxes.conf.tolist(), boxes.cls.tolist(), strict=True
        ):
            results.append(
                {
                    "image_id": image["id"],
                    "category_id": int(label) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                }
            )
        print(f"progress {at}/{len(images)}", flush=True)
    (Path(given.out) / "predictions.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
