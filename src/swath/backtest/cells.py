"""One cell: an arm chooses, a model learns from what was chosen so far, and is scored on drives that nobody saw.

A cell is a function of the archive, the arm, the seed and the round, and lies in a file that is named by the digest of those:

    FOLDER/cells/DIGEST.json     written whole or not at all: a run that is killed goes on with the cells that are there
    FOLDER/models/               the shelf (`models`): arms that labelled the same scenes share a model
    FOLDER/mirrored/             images mirrored left to right, for the arm that asks for them
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

import swath
from swath import crops, evaluations, models
from swath.backtest.archive import Archive, Parts, Sample, parts
from swath.backtest.arms import Arm, Found, Given, Mined
from swath.config import canonical, digest, merged
from swath.errors import ConfigError, StateError
from swath.formats.files import write_atomic
from swath.formats.images import image_size
from swath.kernels.detection import (
    Matched,
    Predictions,
    References,
    draws,
    mean,
    numbered,
    precision_of,
    score_matches,
)
from swath.policies import failures as policy
from swath.policies import objects, ratio, selection
from swath.policies.selection import Vectors
from swath.records.backtest import Cell
from swath.records.batch import Failure, TrainedModel
from swath.records.manifest import Manifest, RoundWorth, Stream, Window, Wrong
from swath.trainers import make, settings_of
from swath.trainers.base import Model, Trainer, TrainingSet

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CODE: Final = ("backtest", "kernels", "policies", "trainers")  # rooms whose code makes cells what they are


@dataclass(frozen=True)
class Plan:
    """What all cells of a run share. `budget`: scenes per round; None: as the loop has it (shares of the pool)."""

    folder: Path
    rounds: int
    budget: int | None = None


TrainerOf = Callable[[Archive], Trainer]


def configured(archive: Archive) -> Trainer:
    """The trainer of the configuration."""
    return make(archive.config.train, archive.modality)


# ---------------------------------------------------------------------- cells on disk


def path_of(archive: Archive, plan: Plan, arm: Arm, seed: int, number: int, trainer: Trainer) -> Path:
    """Where a cell lies: by the digest of all that it depends on."""
    config = archive.config.model_dump(mode="json")
    name = digest(
        {
            "code": _code(),
            "archive": archive.digest,
            "arm": arm.mark,
            "config": [config[part] for part in ("seed", "classes", "select", "evaluate")],
            "train": [trainer.name, archive.config.train.seed, _settings(archive, trainer)],
            "budget": plan.budget,
            "place": [seed, number],
        }
    )
    return plan.folder / "cells" / f"{name[:32]}.json"


@cache
def _code() -> str:
    """Of the files that cells are made by, with this numpy: what another swath made is made anew."""
    whole = hashlib.sha256(np.__version__.encode())
    for room in CODE:
        for path in sorted((Path(swath.__file__).parent / room).glob("*.py")):
            whole.update(path.read_bytes())
    return whole.hexdigest()


def _settings(archive: Archive, trainer: Trainer) -> object:
    """What a trainer depends on; one that is not of the configuration says so itself, by its name."""
    train = archive.config.train
    if not hasattr(train, trainer.name):
        return trainer.name
    return dict(settings_of(train, trainer.name, archive.modality))


def kept(path: Path) -> Cell | None:
    """A cell that is there; one that cannot be read is made again."""
    try:
        return Cell.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def cell(
    archive: Archive, plan: Plan, arm: Arm, seed: int, number: int, trainer_of: TrainerOf = configured
) -> Cell:
    """The cell of an arm, a seed and a round, whose earlier rounds are there; made, if it is not."""
    trainer = trainer_of(archive)
    path = path_of(archive, plan, arm, seed, number, trainer)
    there = kept(path)
    if there is not None:
        return there
    before = [kept(path_of(archive, plan, arm, seed, one, trainer)) for one in range(number)]
    if any(one is None for one in before):
        raise StateError(
            f"backtest: a cell of {arm.name}, seed {seed}, before round {number} is gone; run it again"
        )
    made = _made(archive, plan, arm, seed, [one for one in before if one is not None], trainer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, canonical(made.document()))
    return made


# ---------------------------------------------------------------------- one cell


def _made(
    archive: Archive, plan: Plan, arm: Arm, seed: int, before: Sequence[Cell], trainer: Trainer
) -> Cell:
    part = parts(archive, seed)
    labelled = sorted(archive.rows(key for one in before for key in one.chosen))
    candidates = [row for row in part.pool if row not in set(labelled)]
    at = _At(archive, plan.folder, part, candidates, trainer, seed)
    chosen, targeted = _choice(at, plan, arm, labelled, before)
    labelled = sorted(labelled + chosen)
    learned = at.learn(len(before), labelled)
    marks = at.marks(models.load(plan.folder, learned))
    return Cell(
        arm=arm.name,
        seed=seed,
        round=len(before),
        chosen=tuple(archive.keys[row] for row in sorted(chosen)),
        targeted=tuple(archive.keys[row] for row in sorted(targeted)),
        marks=marks,
        model=learned.data or "",
        notes=tuple(trainer.notes),
    )


def _choice(
    at: _At, plan: Plan, arm: Arm, labelled: list[int], before: Sequence[Cell]
) -> tuple[list[int], list[int]]:
    """Rows of the archive that the arm labels next, and which of them are targeted."""
    archive, candidates = at.archive, at.candidates
    config = merged(archive.config, {"seed": archive.config.seed + at.seed}, "backtest")
    budget = selection.size(config.select, len(candidates), not before, plan.budget)
    if not budget:
        raise StateError(
            f"backtest: seed {at.seed} has no scenes left to choose from in round {len(before)}: give fewer --rounds, or a smaller --budget"
        )
    key = at.learn(len(before) - 1, labelled) if before else None
    given = Given(
        dataset=archive.name,
        config=config,
        round=len(before),
        budget=budget,
        keys=tuple(archive.keys[row] for row in candidates),
        drives=tuple(archive.drives[row] for row in candidates),
        channels=tuple(archive.channels[row] for row in candidates),
        vectors=archive.vectors[candidates],
        labelled=tuple(archive.keys[row] for row in labelled),
        labelled_drives=tuple(archive.drives[row] for row in labelled),
        labelled_vectors=archive.vectors[labelled],
        model=_Asked(at, models.load(plan.folder, key), before) if key else None,
        rng=np.random.default_rng([config.seed, len(before), 0xBAC7, arm.draw]),
        truth=archive.counts[candidates] if arm.knows else None,
    )
    chosen = arm.choose(given)
    if isinstance(chosen, Manifest):
        place = {name: row for row, name in enumerate(given.keys)}
        targeted = [candidates[place[one.key]] for one in chosen.scenes if one.stream == "targeted"]
        return [candidates[place[one.key]] for one in chosen.scenes], targeted
    rows = [int(row) for row in chosen]
    fine = all(0 <= row < len(candidates) for row in rows) and len(set(rows)) == len(rows)
    if not fine or len(rows) < budget:
        raise ConfigError(
            f"backtest: arm {arm.name!r}: expected at least {budget} different positions of {len(candidates)} candidates, "
            f"got {len(rows)}, {len(set(rows))} of them different"
        )
    return [candidates[row] for row in rows[:budget]], []


@dataclass(eq=False)
class _At:
    """A seed of an archive: what is learned and predicted there."""

    archive: Archive
    folder: Path
    part: Parts
    candidates: Sequence[int]
    trainer: Trainer
    seed: int

    def learn(self, number: int, labelled: Sequence[int]) -> TrainedModel:
        """The model that learned from these rows: from the shelf, where somebody trained it before."""
        archive, trainer = self.archive, self.trainer
        train = archive.config.train
        at = [(row, sample) for row in labelled for sample in archive.samples[row]]
        data = TrainingSet(
            media=tuple(sample.path for _, sample in at),
            shapes=tuple(sample.shapes for _, sample in at),
            labels=tuple(sample.labels for _, sample in at),
            groups=tuple(archive.drives[row] for row, _ in at),
            classes=archive.config.classes,
        )
        names = [f"{archive.keys[row]} {sample.channel}" for row, sample in at]
        seed = train.seed + self.seed
        settings = {"of": _settings(archive, trainer)}
        key = models.train_key(trainer, data, names, settings, seed)
        there = models.find(self.folder, f"v{number}", trainer.modality, key)
        return there or models.fit(self.folder, f"v{number}", trainer, data, key, seed=seed)

    def predict(self, model: Model, rows: Sequence[int]) -> list[tuple[Found, ...]]:
        """Per row, per channel: what the model sees."""
        samples = [sample for row in rows for sample in self.archive.samples[row]]
        found = iter(self.trainer.predict(model, [sample.path for sample in samples]))
        return [tuple(next(found) for _ in self.archive.samples[row]) for row in rows]

    def matched(
        self, model: Model, rows: Sequence[int]
    ) -> tuple[list[Found], list[Sample], Sequence[Matched]]:
        """Detections and samples of the rows, one per channel, and their matches by class."""
        found = [one for channels in self.predict(model, rows) for one in channels]
        samples = [sample for row in rows for sample in self.archive.samples[row]]
        return (
            found,
            samples,
            evaluations.matched(found, [one.references for one in samples], len(self.archive.config.classes))[
                0
            ],
        )

    def operating(self, model: Model) -> tuple[list[Found], float]:
        """Its detections on the drives that are mined, and its operating threshold there."""
        archive, rows = self.archive, self.part.mine
        found, _, matched = self.matched(model, rows)
        keys = [archive.keys[row] for row in rows for _ in archive.samples[row]]
        rng = np.random.default_rng(0)  # without resamples nothing is drawn
        return found, score_matches(matched, keys, rng=rng, resamples=0).operating.threshold

    def failures(self, rows: Sequence[int], found: Sequence[Found], threshold: float) -> tuple[Failure, ...]:
        """What is wrong with the detections of these rows, one per channel, as an evaluation ranks it."""
        archive, iou = self.archive, self.archive.config.evaluate.iou
        at = [(archive.keys[row], sample) for row in rows for sample in archive.samples[row]]
        seen = (
            policy.Seen(
                key,
                evaluations.mistakes(one, sample.references, threshold, iou),
                one.scores,
                one.labels,
                sample.labels,
            )
            for (key, sample), one in zip(at, found, strict=True)
        )
        return policy.rank(seen, archive.config.classes)

    def worth(self, line: Sequence[Cell]) -> RoundWorth:
        """What the streams of the last of these cells were worth, to the model that had learned from those before."""
        archive, last = self.archive, line[-1]
        labelled = sorted(archive.rows(key for one in line[:-1] for key in one.chosen))
        model = models.load(self.folder, self.learn(len(line) - 2, labelled))
        rows = archive.rows(last.chosen)
        found = [one for channels in self.predict(model, rows) for one in channels]
        failures = self.failures(rows, found, self.operating(model)[1])
        streams: dict[str, Stream] = {
            key: "targeted" if key in last.targeted else "coverage" for key in last.chosen
        }
        counts = zip(archive.boxes[rows].tolist(), archive.cuboids[rows].tolist(), strict=True)
        prices = [ratio.price(archive.config.cost, *one) for one in counts]
        return ratio.worth(f"v{last.round}", streams, dict(zip(last.chosen, prices, strict=True)), failures)

    def marks(self, model: Model) -> tuple[tuple[float | None, ...], ...]:
        """The figures of a cell, on the held-out drives. The draws are of all drives of the archive, the same in every cell:
        arms are compared on the same ones, and a drive that two seeds hold out counts as often for both."""
        archive, rows = self.archive, self.part.score
        _, _, matched = self.matched(model, rows)
        cluster, count = numbered(archive.drives)
        rng = np.random.default_rng([archive.config.seed, 0xD4A5])
        samples = np.array([row for row in rows for _ in archive.samples[row]], dtype=np.int64)
        weights = [np.ones(len(archive.keys), dtype=np.int64)]
        weights += draws(cluster, count, rng, archive.config.evaluate.resamples)
        strict = slice(0 if archive.modality == "2d" else 1, None)
        return tuple(_mark(matched, one[samples], strict) for one in weights)


def _mark(matched: Sequence[Matched], weights: Ints, strict: slice) -> tuple[float | None, ...]:
    """mAP, then AP50 by class."""
    precision = precision_of(matched, weights)
    values = [mean(precision[:, strict].reshape(1, -1))[0], *precision[:, 0]]
    return tuple(None if np.isnan(one) else round(float(one), 5) for one in values)


# ---------------------------------------------------------------------- what the last model says


@dataclass(eq=False)
class _Asked:
    """`arms.Looks`: predictions are made when an arm asks for them."""

    at: _At
    model: Model
    before: Sequence[Cell]

    def mined(self) -> Mined:
        return self._mined

    def worths(self) -> tuple[RoundWorth, ...]:
        return tuple(self.at.worth(self.before[: number + 1]) for number in range(1, len(self.before)))

    def objects(self, most: int) -> tuple[Wrong, ...]:
        archive, rows = self.at.archive, self.at.part.mine
        looked = []
        found, threshold = self._operating
        at = [(row, sample) for row in rows for sample in archive.samples[row]]
        for (row, sample), one in zip(at, found, strict=True):
            wanted = sample.references
            if not isinstance(one, Predictions) or not isinstance(wanted, References):
                raise ConfigError(
                    "backtest: select.queries: objects are cut out of images, and clouds are learned here"
                )
            wrong = evaluations.mistakes(one, wanted, threshold, archive.config.evaluate.iou)
            size = image_size(sample.path, whole=False)
            looked.append(objects.Looked(archive.keys[row], sample.channel, size, one, wanted, wrong))
        return objects.failing(looked, archive.config.classes, self._mined.references, most)

    def windows(self, asked: Sequence[Wrong]) -> tuple[dict[str, tuple[Window, ...]], ...]:
        archive, threshold = self.at.archive, self._operating[1]
        sought = [
            (one.object, image_size(self._path(one.key, one.object.channel), whole=False))
            for one in asked
            if one.object is not None
        ]
        return tuple(
            {
                sample.channel: objects.windows(
                    found, threshold, image_size(sample.path, whole=False), sought
                )
                for sample, found in zip(archive.samples[row], channels, strict=True)
                if isinstance(found, Predictions)
            }
            for row, channels in zip(self.at.candidates, self._found, strict=True)
        )

    def cut(self, places: Sequence[selection.Place]) -> Vectors:
        encoder = crops.encoder_of(self.at.archive.config.embed.encoder)
        wanted = [(self._path(key, channel), window) for key, channel, window in places]
        return crops.vectors(self.at.folder, encoder, wanted)

    def _path(self, key: str, channel: str) -> str:
        archive = self.at.archive
        return next(one.path for one in archive.samples[archive.row_of[key]] if one.channel == channel)

    def found(self) -> Sequence[Sequence[Found]]:
        return self._found

    def mirrored(self) -> Sequence[Sequence[Predictions]]:
        return self._mirrored

    @cached_property
    def _found(self) -> list[tuple[Found, ...]]:
        return self.at.predict(self.model, self.at.candidates)

    @cached_property
    def _operating(self) -> tuple[list[Found], float]:
        return self.at.operating(self.model)

    @cached_property
    def _mined(self) -> Mined:
        """The failures of the drives that are mined, as an evaluation ranks them."""
        archive, rows = self.at.archive, self.at.part.mine
        config = archive.config
        found, threshold = self._operating
        failures = self.at.failures(rows, found, threshold)
        there = archive.counts[list(rows)].sum(axis=0)
        return Mined(
            failures,
            {name: int(n) for name, n in zip(config.classes, there, strict=True) if n},
            archive.vectors[archive.rows(one.key for one in failures)],
        )

    @cached_property
    def _mirrored(self) -> list[tuple[Predictions, ...]]:
        archive, rows = self.at.archive, self.at.candidates
        if archive.modality != "2d":
            raise ConfigError(
                "backtest: the arm flips looks at mirrored images; there are none where clouds are learned"
            )
        samples = [sample for row in rows for sample in archive.samples[row]]
        made = [_mirror(self.at.folder / "mirrored", sample.path) for sample in samples]
        found = self.at.trainer.predict(self.model, [path for path, _ in made])
        back = iter([_back(one, width) for one, (_, width) in zip(found, made, strict=True)])
        return [tuple(next(back) for _ in archive.samples[row]) for row in rows]


def _mirror(folder: Path, path: str) -> tuple[str, int]:
    """The mirrored image of a file, made once, and its width in pixels."""
    from PIL import Image, ImageOps

    out = folder / f"{digest(path)[:24]}.png"
    with Image.open(path) as image:
        width = image.width
        if not out.exists():
            folder.mkdir(parents=True, exist_ok=True)
            part = out.with_name(f".{out.name}.{os.getpid()}.png")
            ImageOps.mirror(image).save(part, compress_level=1)
            os.replace(part, out)
    return str(out), width


def _back(found: Found, width: int) -> Predictions:
    """Detections in a mirrored image, where they are in the image itself."""
    if not isinstance(found, Predictions):
        raise TypeError("expected boxes in a mirrored image")
    x1, y1, x2, y2 = found.boxes.T
    return Predictions(np.stack([width - x2, y1, width - x1, y2], axis=1), found.scores, found.labels)
