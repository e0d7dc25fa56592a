"""YOLO by ultralytics as a ready-made command: it runs in an environment of its own, since ultralytics is AGPL-3.0 and needs a
torchvision that swath's own torch may not fit. swath imports nothing of it: it starts that environment's Python.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from swath.config import Ultralytics
from swath.errors import ConfigError
from swath.trainers.command import CommandTrainer

PROGRAM: Final = Path(__file__).with_name("_ultralytics_program.py")


def ultralytics(settings: Ultralytics, threads: int) -> CommandTrainer:
    """The trainer. ConfigError where there is no such Python, or a model is named that ultralytics would have to download."""
    python = settings.python.expanduser().absolute()
    if not python.exists():
        raise ConfigError(
            f"train.ultralytics.python: expected a Python that has ultralytics, there is no {python}; make one: make ultralytics"
        )
    given = Path(settings.model)
    if not given.exists() and (given.suffix not in (".yaml", ".yml") or "://" in settings.model):
        raise ConfigError(
            f"train.ultralytics.model: expected a file that is there, or a .yaml that ultralytics has, as yolov8n.yaml; there is no "
            f"{settings.model}, and nothing is downloaded"
        )
    model = str(given.absolute()) if given.exists() else settings.model
    begin = shlex.join(
        [str(python), "-I", str(PROGRAM)]
    )  # apart from this folder, whose modules have its packages' names
    own = shlex.join(
        [
            "--base",
            model,
            "--epochs",
            str(settings.epochs),
            "--imgsz",
            str(settings.imgsz),
            "--batch",
            str(settings.batch),
        ]
    )
    return CommandTrainer(
        modality="2d",
        fit_command=f"{begin} fit --data {{data}} --model {{model}} --seed {{seed}} --threads {{threads}} {own}",
        predict_command=f"{begin} predict --data {{data}} --model {{model}} --out {{out}} --threads {{threads}}",
        format="yolo",
        predictions="coco",
        seconds=settings.seconds,
        threads=threads,
        label="ultralytics",
    )
