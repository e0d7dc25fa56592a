"""What a backtest runs on: scenes that are labelled already, read once, and how each seed parts their drives.

From here on nothing of the dataset is read but its media, and nothing is written to it. Test scenes are not in an archive:
that split stays frozen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from swath import evaluations
from swath.config import LoopConfig, Splits, digest
from swath.errors import StateError, some
from swath.evaluations import Truth
from swath.kernels.detection import References
from swath.kernels.detection3d import References3D
from swath.kernels.vectors import fingerprint, usable
from swath.labels.shapes import Modality
from swath.steps.reference import hold_labels
from swath.steps.splits import assign, units_of
from swath.suggest import command
from swath.workspace import Workspace

Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
SCORE: Final = 0.3  # share of the scenes that arms are scored on
MINE: Final = 0.2  # share of the scenes whose failures arms may look at
RARE: Final = 0.05  # a class with a smaller share of the objects is rare


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled channel of a scene: its file, its shapes (n, 4) in px or (n, 9), their positions (n,) in the class map."""

    channel: str
    path: str
    shapes: npt.NDArray[np.float64]
    labels: Ints

    @property
    def references(self) -> References | References3D:
        if self.shapes.shape[1] == 4:
            return References(self.shapes, self.labels)
        return References3D(self.shapes, self.labels)


@dataclass(frozen=True, eq=False)
class Archive:
    """Labelled scenes, sorted by key; each column has one entry per scene.

    drives; channels: what would be labelled in each; samples: those of the modality that is learned; vectors (N, D); boxes,
    cuboids (N,): how many a labeller would draw. notes: what was left out.
    """

    name: str
    config: LoopConfig
    modality: Modality
    keys: tuple[str, ...]
    drives: tuple[str, ...]
    channels: tuple[tuple[str, ...], ...]
    samples: tuple[tuple[Sample, ...], ...]
    vectors: Vectors
    boxes: Ints
    cuboids: Ints
    notes: tuple[str, ...] = ()

    @cached_property
    def row_of(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self.keys)}

    def rows(self, keys: Iterable[str]) -> list[int]:
        return [self.row_of[key] for key in keys]

    @cached_property
    def counts(self) -> Ints:
        """(N, K) objects of each class in each scene, of the modality that is learned."""
        out = np.zeros((len(self.keys), len(self.config.classes)), dtype=np.int64)
        for row, samples in enumerate(self.samples):
            for sample in samples:
                np.add.at(out[row], sample.labels, 1)
        return out

    @property
    def rare(self) -> tuple[str, ...]:
        """Classes that are there, with less than 5 % of the objects each."""
        share = self.counts.sum(axis=0) / max(int(self.counts.sum()), 1)
        return tuple(name for name, of in zip(self.config.classes, share, strict=True) if 0 < of < RARE)

    @cached_property
    def digest(self) -> str:
        """Of scenes, drives, labels and vectors; not of where files lie."""
        labels = [
            [[one.channel, one.labels.tolist(), one.shapes.round(4).tolist()] for one in samples]
            for samples in self.samples
        ]
        scenes = [list(self.keys), list(self.drives), [list(names) for names in self.channels], labels]
        counts = [self.boxes.tolist(), self.cuboids.tolist()]
        return digest([scenes, counts, self.modality, fingerprint(self.keys, self.vectors)])


# ---------------------------------------------------------------------- parting


@dataclass(frozen=True)
class Parts:
    """Rows of the archive. pool: what arms choose from; mine: whose failures they may look at; score: what they are scored on,
    which no arm sees. Drives stay whole."""

    pool: tuple[int, ...]
    mine: tuple[int, ...]
    score: tuple[int, ...]


def parts(archive: Archive, seed: int) -> Parts:
    """The parts of one seed: each seed draws its own, by drive. `StateError` where the scenes are too few."""
    units = units_of(archive.keys, archive.drives)
    shares = Splits(test=SCORE, val=MINE, golden=0)
    member, _ = assign(units, shares, archive.config.seed + seed)
    of = {
        name: tuple(row for row, key in enumerate(archive.keys) if member[key] == name)
        for name in ("pool", "val", "test")
    }
    return Parts(of["pool"], of["val"], of["test"])


# ---------------------------------------------------------------------- reading


def read(workspace: Workspace, fields: Sequence[str]) -> Archive:
    """The scenes of pool, val and golden that have labels in one of `fields` (the first that a channel has), with vectors."""
    hold_labels(workspace, fields, "backtest")
    _blind_vectors(workspace)
    config, rig, table = workspace.config, workspace.rig, workspace.scenes.table
    keys = workspace.not_test(workspace.members("pool", "val", "golden"), "backtest")
    modality: Modality = "2d" if "2d" in rig.modalities else "3d"
    there = {
        (one.key, one.channel.name): one
        for kind in rig.modalities
        for one in evaluations.truths(workspace, keys, kind, fields)
    }
    mine = [channel for channel in rig.labelled if channel.modality == modality]
    labelled = [key for key in keys if any((key, one.name) in there for one in mine)]
    vectors = workspace.scenes.vectors(labelled, config.fields.embeddings)
    fine = usable(vectors)
    if not fine.any():
        raise StateError(
            f"backtest: none of {len(keys)} scenes has labels in {some(fields)} and a usable vector; "
            f"first `{command('embed', workspace.name)}`"
        )
    kept = [key for key, good in zip(labelled, fine, strict=True) if good]
    notes = (
        [f"{len(keys) - len(labelled)} scenes have no labels in {some(fields)}: left out"]
        if len(keys) > len(labelled)
        else []
    )
    if len(kept) < len(labelled):
        notes.append(f"{len(labelled) - len(kept)} labelled scenes have no usable vector: left out")
    found = [[there[key, one.name] for one in mine if (key, one.name) in there] for key in kept]
    samples = tuple(
        tuple(_sample(one, table.path(one.channel.name, one.key)) for one in of_scene) for of_scene in found
    )
    outside = sum(len(one.labels) for of_scene in found for one in of_scene)
    outside -= sum(len(one.labels) for of_scene in samples for one in of_scene)
    if outside:
        notes.append(
            f"{outside} labels are of no class in the class map, not finite or without volume: left out"
        )
    drawn = {
        kind: [
            sum(
                len(there[key, one.name].labels)
                for one in rig.labelled
                if one.modality == kind and (key, one.name) in there
            )
            for key in kept
        ]
        for kind in ("2d", "3d")
    }
    return Archive(
        name=workspace.name,
        config=config,
        modality=modality,
        keys=tuple(kept),
        drives=tuple(table.drive(key) for key in kept),
        channels=tuple(tuple(one.name for one in rig.labelled if (key, one.name) in there) for key in kept),
        samples=samples,
        vectors=vectors[fine],
        boxes=np.array(drawn["2d"], dtype=np.int64),
        cuboids=np.array(drawn["3d"], dtype=np.int64),
        notes=tuple(notes),
    )


def _blind_vectors(workspace: Workspace) -> None:
    """`StateError` before there are vectors, or where a model made them that has learned from labels."""
    embedded = workspace.journal.loop().steps.embed
    if embedded is None:
        raise StateError(
            f"backtest: the scenes have no vectors yet; first `{command('embed', workspace.name)}`"
        )
    if embedded.encoder.startswith("model:"):
        blind = command("embed", workspace.name, "--encoder", "descriptor")
        raise StateError(
            f"backtest: the vectors are those of {embedded.encoder}, which has learned from labels that are to be hidden; "
            f"embed without: `{blind}`"
        )


def _sample(truth: Truth, path: str) -> Sample:
    """What can be learned from: labels of a class, finite, with a volume."""
    shapes = truth.labels.shapes[truth.rows]
    solid = np.ones(len(shapes), bool) if shapes.shape[1] == 4 else (shapes[:, 3:6] > 0).all(axis=1)
    return Sample(truth.channel.name, path, shapes[solid], truth.positions[solid])
