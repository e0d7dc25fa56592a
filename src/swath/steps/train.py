"""Trains the round's model on the labelled pool, with the frozen class map.

Scenes without objects stay in as negatives. Val, golden and test are never trained on, nor used to stop a training: the
trainer holds out drives of the labelled pool for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from swath.encoders.base import Encoded
from swath.errors import IntegrityError, StateError, some
from swath.journal import Document
from swath.labels import read_boxes
from swath.steps.check import latest
from swath.steps.workspace import Workspace
from swath.trainers.base import Model, Trainer, TrainingSet


@dataclass(frozen=True)
class TrainResult:
    """`negatives`: images without objects; `objects`: labelled objects by class."""

    round: str
    trainer: str
    model: str
    sha256: str
    images: int
    negatives: int
    objects: Mapping[str, int]
    info: Mapping[str, Any]
    notes: tuple[str, ...]


def make_trainer(workspace: Workspace) -> Trainer:
    """The configured trainer."""
    from swath.trainers.center import CenterTrainer

    config = workspace.config.train
    return CenterTrainer(
        width=config.width, steps=config.steps, batch=config.batch, lr=config.lr, threads=config.threads
    )


def train(workspace: Workspace) -> TrainResult:
    """Trains the model of the round that was checked last."""
    with workspace.writer("train") as writer:
        batch = latest(workspace, "checked")
        name = batch["round"]
        data, notes = training_set(workspace)
        trainer = make_trainer(workspace)
        out = workspace.home / "models" / f"{name}.pt"
        out.parent.mkdir(parents=True, exist_ok=True)
        model = trainer.fit(
            data,
            out,
            seed=workspace.config.train.seed,
            progress=workspace.progress(f"train {trainer.name} on {len(data.images)} images"),
        )
        counts = np.bincount(
            np.concatenate([*data.labels, np.zeros(0, np.int64)]), minlength=len(data.classes)
        )
        result = TrainResult(
            name,
            trainer.name,
            str(out),
            model.sha256,
            len(data.images),
            sum(len(labels) == 0 for labels in data.labels),
            {label: int(n) for label, n in zip(data.classes, counts, strict=True) if n},
            dict(model.info),
            tuple(notes),
        )
        record = {**asdict(result), "model": out.name, "classes": list(model.classes), "notes": list(notes)}
        record.pop("round")
        workspace.journal.advance(writer, name, "checked", "trained", {"train": plain(record)})
    return result


def training_set(workspace: Workspace) -> tuple[TrainingSet, list[str]]:
    """All pool scenes whose 2D labels came, in the order of their keys."""
    config, table = workspace.config, workspace.scenes.table
    rows = workspace.journal.assignments(
        role="pool", modality="2d", state={"$in": ["labeled", "reviewed_empty"]}
    )
    count = {row["key"]: row["count"] for row in rows}
    keys = table.known(workspace.only("pool", sorted(count), "train"))
    if not keys:
        raise StateError("train: no pool scene has 2D labels yet; `swath next` says what is next")
    docs = workspace.scenes.values(config.slices.image, keys, [config.fields.detections])
    where = table.rows(keys)
    position = {name: i for i, name in enumerate(config.classes)}
    boxes, labels, changed, outside = [], [], [], 0
    for key, row, doc in zip(keys, where, docs, strict=True):
        read = read_boxes(
            doc.get(config.fields.detections), (int(table.size[row, 0]), int(table.size[row, 1]))
        )
        if doc.get(config.fields.detections) is None or len(read.classes) != count[key]:
            changed.append(key)
        keep = [
            i
            for i, label in enumerate(read.classes)
            if label in position and np.isfinite(read.boxes[i]).all()
        ]
        outside += len(read.classes) - len(keep)
        boxes.append(read.boxes[keep])
        labels.append(np.array([position[read.classes[i]] for i in keep], dtype=np.int64))
    notes = []
    if gone := sorted(set(count) - set(keys)):
        notes.append(f"{len(gone)} labelled scenes were deleted from the dataset: {some(gone)}")
    if changed:
        notes.append(
            f"labels of {len(changed)} scenes are not the ones that were fetched (edited by hand?): {some(changed)}"
        )
    if outside:
        notes.append(f"{outside} labels are of no class in the class map, or not finite: left out")
    drives = [str(table.sequence[row]) or key for key, row in zip(keys, where, strict=True)]
    images = tuple(str(one) for one in table.paths[config.slices.image][where])
    return TrainingSet(images, tuple(boxes), tuple(labels), tuple(drives), config.classes), notes


def load_model(workspace: Workspace, batch: Document) -> Model:
    """The model of a round, as its journal record describes it."""
    record = batch["steps"].get("train")
    if record is None:
        raise StateError(f"{batch['round']} has no model yet; `swath next` says what is next")
    path = workspace.home / "models" / record["model"]
    if not path.exists():
        raise IntegrityError(
            f"{path}: the model of {batch['round']} is gone; put it back, its hash is {record['sha256'][:12]}..."
        )
    return Model(str(path), record["sha256"], tuple(record["classes"]), record["trainer"], record["info"])


def plain(value: Any) -> Any:
    """`value` with numpy scalars, tuples and paths turned into what a database and JSON hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


class ModelEncoder:
    """The encoder `model:vN`: pooled features of the loop's own detector."""

    slices = ("image",)

    def __init__(self, workspace: Workspace, round_name: str) -> None:
        self._model = load_model(workspace, workspace.journal.round(round_name))
        self._trainer: Any = make_trainer(workspace)
        self.name, self.version = f"model:{round_name}", self._model.sha256[:12]

    def encode(
        self,
        paths: Sequence[Mapping[str, str]],
        *,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> Encoded:
        vectors = self._trainer.features(self._model, [media["image"] for media in paths], progress=progress)
        return Encoded(vectors, ())
