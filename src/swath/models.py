"""The shelf of models: one file per round and modality, known by what it learned from.

    HOME/models/v0-2d-1f0c5a7be2d4.pt      the model, in the trainer's own format
    HOME/models/v0-2d-1f0c5a7be2d4.json    what was trained: written after the model, so that it says the model is whole
    HOME/models/.v0-2d.training            locked while one trains; it stays, since a lock on a file that may go keeps nobody out

Training takes minutes and holds nothing: a model that is on the shelf already, from the same labels, settings and seed, is
taken from there. So a training whose record could not be written (the database went away) is not lost.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from swath.config import canonical, digest
from swath.errors import ConflictError, IntegrityError
from swath.formats.files import write_atomic
from swath.records.base import Document
from swath.records.batch import TrainedModel
from swath.trainers.base import Model, Progress, Trainer, TrainingSet

SHORT: Final = 12  # digits of the digest in a file's name


def folder(home: Path) -> Path:
    return home / "models"


def train_key(
    trainer: Trainer, data: TrainingSet, names: Sequence[str], settings: Mapping[str, Any], seed: int
) -> str:
    """SHA-256 of all that a model depends on. `names`: what stands in each row of `data` (scene and channel), wherever its
    file lies."""
    rows = [
        [name, group, _digest(shapes), _digest(labels)]
        for name, group, shapes, labels in zip(names, data.groups, data.shapes, data.labels, strict=True)
    ]
    return digest(
        {
            "trainer": trainer.name,
            "modality": trainer.modality,
            "settings": dict(settings),
            "seed": seed,
            "classes": list(data.classes),
            "rows": rows,
        }
    )


def _digest(values: np.ndarray[Any, Any]) -> str:
    whole = hashlib.sha256(f"{values.shape} {values.dtype.str}".encode())
    whole.update(np.ascontiguousarray(values).tobytes())
    return whole.hexdigest()


def find(home: Path, name: str, modality: str, key: str) -> TrainedModel | None:
    """The model that learned from `key`, where it is on the shelf and whole: that of round `name`, or of an earlier one that
    learned from the same (a round can bring nothing new)."""
    ending = f"-{modality}-{key[:SHORT]}.json"
    mine = folder(home) / f"{name}{ending}"
    for path in (mine, *sorted(folder(home).glob(f"v*{ending}"))):
        found = _whole(path)
        if found is not None and found.data == key:
            return found
    return None


def _whole(path: Path) -> TrainedModel | None:
    """What a note on the shelf says, if the model is the one that it speaks of."""
    try:
        note: Document = json.loads(path.read_bytes())
        found = TrainedModel.model_validate(note["trained"])
        whole = note["file_sha256"] == _file_digest(path.with_name(found.model))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if whole else None


@contextmanager
def alone(home: Path, name: str, modality: str) -> Iterator[None]:
    """While it lasts, nobody else on this machine trains this model; `ConflictError` where somebody does. Whoever is killed lets go."""
    lock = folder(home) / f".{name}-{modality}.training"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConflictError(
                f"the {modality.upper()} model of {name} is being trained by process {file.read().strip() or 'unknown'}: wait for it, or end it "
                "and run the same command again"
            ) from None
        except OSError:  # a disk that knows no locks
            yield
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def fit(
    home: Path,
    name: str,
    trainer: Trainer,
    data: TrainingSet,
    key: str,
    *,
    seed: int,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> TrainedModel:
    """Trains a model of round `name`, and puts it on the shelf; `settings` are noted with it."""
    out = folder(home) / f"{name}-{trainer.modality}-{key[:SHORT]}.pt"
    out.parent.mkdir(parents=True, exist_ok=True)
    model = trainer.fit(data, out, seed=seed, progress=progress)
    counts = np.bincount(np.concatenate([*data.labels, np.zeros(0, np.int64)]), minlength=len(data.classes))
    trained = TrainedModel(
        modality=trainer.modality,
        trainer=trainer.name,
        model=out.name,
        sha256=model.sha256,
        images=len(data.media),
        negatives=sum(len(labels) == 0 for labels in data.labels),
        objects={label: int(n) for label, n in zip(data.classes, counts, strict=True) if n},
        classes=model.classes,
        info=plain(model.info),
        data=key,
        seed=seed,
        settings=plain(settings or {}),
    )
    note = {"trained": trained.document(), "file_sha256": _file_digest(out)}
    write_atomic(out.with_suffix(".json"), canonical(note))
    return trained


def load(home: Path, trained: TrainedModel) -> Model:
    """A model as its record describes it; `IntegrityError` when its file is gone."""
    path = folder(home) / trained.model
    if not path.exists():
        raise IntegrityError(
            f"{path}: the model of {_round(trained)} is gone; put it back, its hash is {trained.sha256[:12]}..."
        )
    return Model(str(path), trained.sha256, trained.classes, trained.trainer, trained.info)


def _round(trained: TrainedModel) -> str:
    return Path(trained.model).stem.split("-")[0]


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plain(value: Any) -> Any:
    """`value` with numpy scalars, tuples and paths turned into what a database and JSON hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value
