"""The batches: each scene with its picture, why it was chosen, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from swath.records.batch import Batch
from swath.records.manifest import BatchSize, Chosen, Coverage, Manifest
from swath.report import pictures
from swath.report.known import Known
from swath.report.pictures import Picture
from swath.suggest import command
from swath.workspace import Workspace

ROWS, ALL_ROWS = 1000, 2000  # scenes that are listed, per round and in all
PER_ROUND, PICTURES = 60, 240  # scenes with a picture, per round and in all
SMALL: Final = 150  # width of a picture, pixels
Images = Mapping[tuple[str, int], Picture]
Answers = Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True)
class SceneRow:
    """A scene of a batch. `answered`: the picture of the failure that it answers; `labels`: what came of it, in words."""

    scene: Chosen
    picture: Picture | None
    answered: Picture | None
    labels: tuple[str, ...]


@dataclass(frozen=True)
class OneBatch:
    """`unlisted`: scenes that are not listed; `pictured`: those with a picture; `targets`: whether any answers a failure."""

    round: str
    state: str
    batch: BatchSize
    scenes: tuple[SceneRow, ...]
    unlisted: int
    pictured: int
    targets: bool
    golden: int
    coverage: Coverage | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Batches:
    """The last one first. `explain`: the command that says why a scene was chosen."""

    batches: tuple[OneBatch, ...]
    explain: str


def data(known: Known) -> Batches:
    workspace = known.workspace
    listed, illustrated = _listed(known), _illustrated(known)
    wanted = [(key, SMALL) for keys in illustrated.values() for key in keys]
    images = pictures.load(workspace, pictures.shown(workspace.rig), wanted)
    answers = _answers(workspace)
    return Batches(
        tuple(
            _batch(
                one, known.manifests[one.round], listed[one.round], illustrated[one.round], images, answers
            )
            for one in reversed(known.rounds)
        ),
        command("explain", workspace.name, "SCENE"),
    )


def best(scenes: Sequence[Chosen], most: int) -> list[Chosen]:
    """At most `most` scenes, the best of each stream in turn, in the order they came."""
    order = [(one.rank or 0, one.stream or "", i) for i, one in enumerate(scenes)]
    return [scenes[i] for i in sorted(i for _, _, i in sorted(order)[:most])]


def _listed(known: Known) -> dict[str, list[Chosen]]:
    """Round -> scenes that are listed; the last rounds first, as far as `ALL_ROWS` goes."""
    left, out = ALL_ROWS, {}
    for batch in reversed(known.rounds):
        out[batch.round] = best(known.manifests[batch.round].scenes, min(ROWS, left))
        left -= len(out[batch.round])
    return out


def _illustrated(known: Known) -> dict[str, list[str]]:
    """Round -> scenes with a picture, and the failures they answer; the last rounds first, as far as `PICTURES` goes."""
    left, out = PICTURES, {}
    for batch in reversed(known.rounds):
        scenes = best(known.manifests[batch.round].scenes, min(PER_ROUND, left))
        left -= len(scenes)
        answered = [scene.failure for scene in scenes if scene.failure]
        out[batch.round] = list(dict.fromkeys([scene.key for scene in scenes] + answered))
    return out


def _answers(workspace: Workspace) -> Answers:
    """(round, scene) -> what came of it, in words, one entry per channel; a modality stands for its only channel."""
    modality_of = workspace.modality_of()
    of: Counter[str] = Counter(channel.modality for channel in workspace.rig.labelled)
    out: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in workspace.journal.assignments.find(role="pool"):
        modality = modality_of.get(row.channel, "2d")
        where = row.channel if of[modality] > 1 else modality.upper()
        words = {"labeled": str(row.count or ""), "reviewed_empty": "empty", "unreviewed": "waits"}
        told = f"{where} {words.get(row.state, row.state)}"
        out[row.round, row.key] = (*out.get((row.round, row.key), ()), told)
    return out


def _batch(
    batch: Batch,
    manifest: Manifest,
    listed: Sequence[Chosen],
    illustrated: Sequence[str],
    images: Images,
    answers: Answers,
) -> OneBatch:
    def picture(scene: Chosen, key: str | None) -> Picture | None:
        return images[key, SMALL] if scene.key in illustrated and key is not None else None

    rows = tuple(
        SceneRow(
            scene,
            picture(scene, scene.key),
            picture(scene, scene.failure),
            answers.get((batch.round, scene.key), ("returned",)),
        )
        for scene in listed
    )
    return OneBatch(
        round=batch.round,
        state=batch.state,
        batch=batch.size,
        scenes=rows,
        unlisted=len(manifest.scenes) - len(listed),
        pictured=sum(row.picture is not None for row in rows),
        targets=any(scene.failure for scene in listed),
        golden=len(manifest.golden),
        coverage=manifest.coverage,
        notes=manifest.notes,
    )
