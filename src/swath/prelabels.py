"""Labels to begin with: what the last evaluated model predicts for scenes of a batch, for people to correct.

None on golden scenes, and none in a reference: what measures people must not be the model's. So a scene without suggestions is
golden more often than others; only a share of the pool scenes gets them, and how much is given away is said.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from swath import life, models
from swath.kernels.detection import Predictions
from swath.labels.channels import Channel
from swath.labels.shapes import Boxes, Cuboids, Labels
from swath.records.batch import Batch
from swath.trainers import make
from swath.words import percent

if TYPE_CHECKING:
    from swath.workspace import Workspace


def chosen(keys: Sequence[str], share: float, secret: str) -> list[str]:
    """The scenes of `keys` that get suggestions, sorted: this share of them, rounded down, by chance to whoever lacks the loop's
    secret; the same each time."""

    def place(key: str) -> bytes:
        return hashlib.blake2b(f"suggest\x1f{key}".encode(), key=secret.encode(), digest_size=8).digest()

    return sorted(sorted(keys, key=place)[: math.floor(share * len(keys))])


def given_away(suggested: int, pool: int, golden: int) -> str:
    """What a look at the suggestions tells of golden scenes, in words: of `pool` scenes `suggested` have some."""
    bare, every = pool - suggested + golden, pool + golden
    return (
        f"suggestions on {suggested} of {pool} pool scenes, on none of {golden} golden ones: of the scenes without, "
        f"{percent(golden / bare if bare else 0.0)} are golden, of all {percent(golden / every if every else 0.0)}"
    )


def predicted(workspace: Workspace, keys: Sequence[str]) -> dict[str, dict[str, Labels]]:
    """key -> channel -> what the models of the last evaluated round see there, at or above their operating thresholds; {} while no
    round is evaluated."""
    done = life.evaluated(workspace.journal.batches.all())
    out: dict[str, dict[str, Labels]] = {key: {} for key in keys}
    for channel in workspace.rig.labelled if done else ():
        for key, labels in _of_channel(workspace, done[-1], channel, keys):
            out[key][channel.name] = labels
    return {key: labels for key, labels in out.items() if labels}


def _of_channel(
    workspace: Workspace, batch: Batch, channel: Channel, keys: Sequence[str]
) -> list[tuple[str, Labels]]:
    trained, evaluated = batch.steps.train, batch.steps.evaluate
    model = trained.of(channel.modality) if trained else None
    if model is None or evaluated is None or channel.modality not in evaluated.figures:
        return []
    least = evaluated.figures[channel.modality].operating.threshold
    table = workspace.scenes.of(keys)
    there = [key for key in table.keys.tolist() if table.has(channel.name, key)]
    found = make(workspace.config.train, channel.modality, model.trainer).predict(
        models.load(workspace.home, model),
        [table.path(channel.name, key) for key in there],
        progress=workspace.progress(f"suggest labels for {len(there)} scenes"),
    )
    out: list[tuple[str, Labels]] = []
    for key, one in zip(there, found, strict=True):
        sure = one.scores >= least
        names = tuple(workspace.config.classes[label] for label in one.labels[sure])
        labels = (
            Boxes(one.boxes[sure], names)
            if isinstance(one, Predictions)
            else Cuboids(one.cuboids[sure], names)
        )
        if names:
            out.append((key, labels))
    return out
