"""Any detector as a trainer: swath writes a folder, runs the user's command on it, and reads back what it predicts.

    fit        {data}  the training set, in the configured format (docs/methods/training.md)
               {model} where the command writes its model: one file, or a folder
    predict    {model} what it wrote; {data} media to predict; {out} the folder for its predictions
    both       {seed}, {threads}, {classes} (a file with a class a line)

What the command says is in a log beside the model. Predictions that cannot be right are left out, and `notes` says how many and why.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import psutil

from swath import exports
from swath.errors import ConfigError, SwathError, some
from swath.exports import coco, kitti
from swath.kernels.detection import Predictions
from swath.kernels.detection3d import Predictions3D
from swath.labels.shapes import Modality
from swath.trainers.base import Model, Progress, TrainingSet
from swath.trainers.commands import run
from swath.trainers.fitting import hold_out
from swath.trainers.packed import pack, remove, unpack

_FORMAT: Final = 1  # of the model file
WORK: Final = ".work-"


@dataclass(frozen=True)
class CommandTrainer:
    """`fit`, `predict`: the commands; `format`: of the data; `predictions`: of what comes back; `seconds`: after which a command
    is ended; `holdout`: share of the drives that is written as the validation part. `label`: what the trainer is called."""

    modality: Modality
    fit_command: str
    predict_command: str
    format: Literal["yolo", "coco", "kitti"] = "coco"
    predictions: Literal["coco", "kitti"] = "coco"
    seconds: float = 86_400
    threads: int = 1
    holdout: float = 0.15
    label: str = "command"
    notes: list[str] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.fit_command or not self.predict_command:
            which = "command" if self.modality == "2d" else "command_3d"
            raise ConfigError(
                f"train: the trainer {self.label} needs two commands: train: {{{which}: {{fit: ..., predict: ...}}}}"
            )
        if self.modality == "3d" and (self.format, self.predictions) != ("kitti", "kitti"):
            raise ConfigError(
                "train: cuboids are written and read as kitti alone; set format and predictions to kitti"
            )

    @property
    def name(self) -> str:
        return self.label

    def fit(self, data: TrainingSet, out: Path, *, seed: int, progress: Progress | None = None) -> Model:
        """Writes `data`, runs the command, packs its model. See `Trainer.fit`."""
        if not data.media:
            raise SwathError("training: expected labelled media, got none; label a batch first")
        if data.modality != self.modality:
            other = "boxes in images" if self.modality == "2d" else "cuboids of 9 numbers"
            raise SwathError(
                f"training: the command learns {other}, got shapes of {data.shapes[0].shape[-1]} numbers"
            )
        apart = hold_out(data.groups, self.holdout, np.random.default_rng(seed))
        log = out.with_suffix(".log")
        with _work_folder(out.parent) as folder:
            exports.write(self.format, data, apart, folder / "data")
            made = folder / "model"
            values = self._values(folder, data.classes, seed) | {"data": folder / "data", "model": made}
            seconds = run(self.fit_command, values, log, self.seconds, progress)
            if not made.exists() or (made.is_dir() and not any(made.iterdir())):
                raise SwathError(
                    f"the command ended well, but wrote no model to {{model}}; what it said: {log}"
                )
            header = {"format": _FORMAT, "classes": list(data.classes), "command": self.fit_command}
            digest = pack(made, header, out)
        info: dict[str, Any] = {
            "held_out": sorted(apart),
            "seconds": round(seconds, 1),
            "log": log.name,
            "command": self.fit_command,
        }
        return Model(str(out), digest, data.classes, self.name, info)

    def predict(
        self, model: Model, media: Sequence[str], /, *, progress: Progress | None = None
    ) -> Sequence[Predictions | Predictions3D]:
        """Writes the media, runs the command, reads what it predicts. See `Trainer.predict`."""
        if not media:
            return []
        log = Path(model.path).with_suffix(".predict.log")
        with _work_folder(Path(model.path).parent) as folder:
            there = unpack(model, folder / "unpacked")
            if self.format == "kitti":
                kitti.write_media(media, self.modality, folder / "data")
            else:
                coco.write_media(media, model.classes, folder / "data")
            (folder / "out").mkdir()
            values = self._values(folder, model.classes, 0)
            values |= {"data": folder / "data", "model": there, "out": folder / "out"}
            run(self.predict_command, values, log, self.seconds, progress)
            read = exports.read(self.predictions, folder / "out", media, model.classes, self.modality)
        if read.rejected:
            why = some((f"{one.where}: {one.reason}" for one in read.rejected), 3)
            self.notes.append(
                f"{len(read.rejected)} predictions of the command are no good and were left out: {why}"
            )
        return read.found

    def _values(self, folder: Path, classes: Sequence[str], seed: int) -> dict[str, object]:
        names = folder / "classes.txt"
        names.write_text("".join(f"{name}\n" for name in classes))
        return {"seed": seed, "threads": self.threads, "classes": names}


@contextmanager
def _work_folder(beside: Path) -> Iterator[Path]:
    """A folder for one run of a command, removed afterwards; those that killed processes left are removed first."""
    beside.mkdir(parents=True, exist_ok=True)
    for old in beside.glob(f"{WORK}*"):
        owner = old.name.removeprefix(WORK).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            remove(old)
    folder = Path(tempfile.mkdtemp(prefix=f"{WORK}{os.getpid()}-", dir=beside)).resolve()
    try:
        yield folder
    finally:
        remove(folder)
