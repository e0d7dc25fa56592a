"""Trains the round's models on the labelled pool, with the frozen class map: of images, and of clouds where that is asked for.

Scenes without objects stay in as negatives; those whose labels are gone from the dataset are left out. Val, golden and test are never trained on, nor used to stop a training: the
trainer holds out drives of the labelled pool for that. Training takes minutes and nobody waits for it: the dataset is held
only to record what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from swath import life, models
from swath.config import Train, digest
from swath.errors import ConflictError, FormatError, StateError, some
from swath.formats.readable import broken
from swath.labels import stored
from swath.labels.shapes import Labels, Modality, known
from swath.records.assignment import Assignment
from swath.records.batch import Trained, TrainedModel
from swath.suggest import command, labels_back
from swath.trainers import Trainer, make, settings_of
from swath.trainers.base import TrainingSet
from swath.workspace import Workspace


def train(workspace: Workspace) -> Trained:
    """Trains the models of the round that was checked last."""
    batches = workspace.journal.batches
    batch = life.latest(batches.all(), "train", dataset=workspace.name)
    name, seeds = batch.round, _seeds(workspace.config.train)
    notes = _Notes(workspace.name, name)
    lessons = [
        lesson for modality in _modalities(workspace) if (lesson := _lesson(workspace, modality, notes))
    ]
    if not lessons:
        wanted = " or ".join(one.upper() for one in _modalities(workspace))
        other = command("round cancel", workspace.name, name, "--reason", "REASON")
        raise StateError(
            f"train: no pool scene has {wanted} labels, those of {name} were skipped or had none; to go on with other scenes: `{other}`"
        )
    trained = [_learn(workspace, name, lesson, seeds, notes) for lesson in lessons]
    record = Trained(
        round=name,
        models=tuple(first for first, *_ in trained),
        repeats=tuple(one for _, *more in trained for one in more),
        scenes=len({key for lesson in lessons for key in lesson.keys}),
        notes=notes.told(),
    )
    with workspace.writer("train") as writer:
        if batches.get(name).revision != batch.revision:
            raise ConflictError(
                f"{name} was changed by another process while its model was trained; see `{command('status', workspace.name)}`"
            )
        batches.advance(writer, name, "train", {"train": record})
    return record


def _seeds(settings: Train) -> list[int]:
    """The configured seed, whose model is the round's, and those of the repeated trainings: 32 bits that follow from it."""
    more = (int(digest([settings.seed, again])[:8], 16) for again in range(1, settings.repeats))
    return [settings.seed, *more]


def _modalities(workspace: Workspace) -> list[Modality]:
    """What is trained: images, where they are labelled; clouds, where that is configured, or no image is labelled."""
    there = workspace.rig.modalities
    clouds = workspace.config.train.trainer_3d != "none" or "2d" not in there
    return [one for one in there if one == "2d" or clouds]


@dataclass
class _Notes:
    """What is worth saying of what was learned from."""

    dataset: str
    round: str
    gone: set[str] = field(default_factory=set)
    bare: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    outside: int = 0
    flat: int = 0

    def told(self) -> tuple[str, ...]:
        notes = []
        if self.gone:
            notes.append(
                f"{len(self.gone)} labelled scenes were deleted from the dataset, whole or in part: {some(sorted(self.gone))}"
            )
        if self.bare:
            notes.append(
                f"{len(self.bare)} labelled scenes are left out, as their labels are gone from the dataset: {some(sorted(self.bare))}; "
                f"{labels_back(self.dataset, self.round)}"
            )
        if self.broken:
            notes.append(
                f"{len(self.broken)} labelled scenes have a file that cannot be read, and are left out: {some(sorted(self.broken))}"
            )
        if self.changed:
            notes.append(
                f"labels of {len(self.changed)} scenes are not the ones that were fetched (edited by hand?): "
                f"{some(sorted(self.changed))}"
            )
        if self.outside:
            notes.append(f"{self.outside} labels are of no class in the class map, or not finite: left out")
        if self.flat:
            notes.append(f"{self.flat} cuboids have no volume: left out")
        return tuple(notes)


@dataclass(frozen=True)
class _Lesson:
    """What one model learns from; `keys` and `names`: scene, and scene and channel, of each row."""

    trainer: Trainer
    data: TrainingSet
    keys: Sequence[str]
    names: Sequence[str]

    def only(self, rows: Sequence[int]) -> _Lesson:
        """The lesson with these rows alone."""

        def of(values: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(values[row] for row in rows)

        rows_of = {name: of(getattr(self.data, name)) for name in ("media", "shapes", "labels", "groups")}
        data = replace(self.data, **rows_of)
        return _Lesson(self.trainer, data, of(self.keys), of(self.names))


def _lesson(workspace: Workspace, modality: Modality, notes: _Notes) -> _Lesson | None:
    """All pool scenes whose labels of this modality came, in the order of their keys; None where there are none."""
    channels = [channel for channel in workspace.rig.labelled if channel.modality == modality]
    rows = _labelled(workspace, [channel.name for channel in channels])
    keys = sorted({key for key, _ in rows})
    table = workspace.scenes.of(workspace.only("pool", keys, "train"))
    there = table.known(keys)
    notes.gone |= set(keys) - set(there)
    found: dict[tuple[str, str], tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]] = {}
    for channel in channels:
        asked = [key for key in there if (key, channel.name) in rows]
        here = [key for key in asked if table.has(channel.name, key)]
        notes.gone |= set(asked) - set(here)
        for key, doc in zip(here, workspace.scenes.values(channel.name, here, [channel.human]), strict=True):
            labels = stored.read(modality, doc.get(channel.human), table.size(channel.name, key))
            as_fetched = _as_fetched(labels, rows[key, channel.name])
            if doc.get(channel.human) is None and not as_fetched:
                notes.bare.add(key)
                continue
            if not as_fetched:
                notes.changed.add(key)
            found[key, channel.name] = _usable(labels, workspace.config.classes, notes)
    places = [(key, channel.name) for key in there for channel in channels if (key, channel.name) in found]
    if not places:
        return None
    data = TrainingSet(
        media=tuple(table.path(channel, key) for key, channel in places),
        shapes=tuple(found[place][0] for place in places),
        labels=tuple(found[place][1] for place in places),
        groups=tuple(table.drive(key) for key, _ in places),
        classes=workspace.config.classes,
    )
    return _Lesson(
        trainer=make(workspace.config.train, modality),
        data=data,
        keys=[key for key, _ in places],
        names=[f"{key} {channel}" for key, channel in places],
    )


def _labelled(workspace: Workspace, channels: Sequence[str]) -> dict[tuple[str, str], Assignment]:
    """(scene, channel) -> the assignment whose labels came last; of a scene that was labelled twice the first of the two."""
    rows: dict[tuple[str, str], Assignment] = {}
    for row in workspace.journal.assignments.labelled(role=("pool", "second")):
        there = rows.get((row.key, row.channel))
        if row.channel in channels and (there is None or there.round != row.round):
            rows[row.key, row.channel] = row
    return rows


def _as_fetched(labels: Labels, row: Assignment) -> bool:
    """Whether labels are the ones that the journal has seen, bit for bit where it kept their digest."""
    if row.stands is None:
        return len(labels) == row.count
    return stored.digest_of(labels.documents) == row.stands


def _usable(
    labels: Labels, classes: Sequence[str], notes: _Notes
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Shapes and positions in the class map of the labels that can be learned from."""
    rows, positions = known(labels, classes)
    notes.outside += len(labels) - len(rows)
    shapes = labels.shapes[rows]
    if labels.modality == "2d":
        return shapes, positions
    solid = (shapes[:, 3:6] > 0).all(axis=1)
    notes.flat += int((~solid).sum())
    return shapes[solid], positions[solid]


def _learn(
    workspace: Workspace, name: str, lesson: _Lesson, seeds: Sequence[int], notes: _Notes
) -> list[TrainedModel]:
    """The models of a lesson, one of each seed; where files of it cannot be read, of the rest."""
    try:
        return _trained(workspace, name, lesson, seeds)
    except FormatError as error:
        kind = "image" if lesson.trainer.modality == "2d" else "cloud"
        bad = set(broken(lesson.data.media, kind))
        if not bad:
            raise workspace.away(error) from error
        notes.broken |= {lesson.keys[row] for row in bad}
        rest = lesson.only([row for row in range(len(lesson.keys)) if row not in bad])
        return _trained(workspace, name, rest, seeds)


def _trained(workspace: Workspace, name: str, lesson: _Lesson, seeds: Sequence[int]) -> list[TrainedModel]:
    """One training after the other: those that are whole when it is killed are on the shelf."""
    which = [""] if len(seeds) == 1 else [f", training {n} of {len(seeds)}" for n in range(1, len(seeds) + 1)]
    return [_model(workspace, name, lesson, *one) for one in zip(seeds, which, strict=True)]


def _model(workspace: Workspace, name: str, lesson: _Lesson, seed: int, which: str) -> TrainedModel:
    """The model of a lesson: from the shelf, where it was trained before."""
    trainer, data, config = lesson.trainer, lesson.data, workspace.config.train
    settings = settings_of(config, trainer.name, trainer.modality)
    key = models.train_key(trainer, data, lesson.names, settings, seed)
    there = models.find(workspace.home, name, trainer.modality, key)
    if there is not None:
        return there
    what = "images" if trainer.modality == "2d" else "clouds"
    with models.alone(workspace.home, name, trainer.modality):
        there = models.find(workspace.home, name, trainer.modality, key)  # somebody may have just ended
        if there is not None:
            return there
        tick = workspace.progress(f"train {trainer.name} on {len(data.media)} {what}{which}")
        return models.fit(
            workspace.home, name, trainer, data, key, seed=seed, settings=settings, progress=tick
        )
