"""What hidden truth says of the choices of a loop: for the demo and the benchmarks. No step of the loop reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swath import life
from swath.labels import stored
from swath.policies.aim import failing_kinds
from swath.records.base import Estimate, Record
from swath.records.batch import Gain
from swath.records.manifest import Manifest
from swath.records.results import SelectResult
from swath.workspace import Workspace


class Targeted(Record):
    """One round. `targeted`: scenes that answer a missed object; `hits`: those that hold the kind of object that their failure
    missed, `share` of them; `base_rate`: the share of the scenes that could have been chosen; `ratio`: of the two shares."""

    round: str
    targeted: int
    hits: int
    share: float
    base_rate: float
    ratio: float | None


def targeting(workspace: Workspace) -> tuple[Targeted, ...]:
    """Per round with targeted scenes: does a targeted scene hold the failing kind of object of the failure it answers?

    The failing kind of a failure is the class it missed most of (`policies.aim`). The base rate is that of the scenes that could have been
    chosen, averaged over the same failures, so that both numbers speak of the same kinds.
    """
    batches = workspace.journal.batches
    pool = workspace.members("pool")
    out: list[Targeted] = []
    taken: set[str] = set()
    for batch in batches.all():
        if not batch.is_round:
            continue
        manifest = batches.manifest(batch)
        answered = manifest.question.answers if manifest.question else None
        record = batches.get(answered).steps.evaluate if answered else None
        if answered and record:
            kinds = failing_kinds(record, batches.failures(batches.get(answered)))
            there = held(workspace, pool, record.modality)
            free = [there[key] for key in pool if key not in taken]
            out.append(measured(manifest, kinds, there, free))
        taken |= {scene.key for scene in manifest.scenes}
    return tuple(out)


def unmined(workspace: Workspace) -> Gain | None:
    """By how much the last model is better than that of the round before on the test scenes, by hidden truth: the gain on val is on the
    scenes whose failures chose the batch, this is on drives that nobody chose from, mined or learned from. None before two rounds were
    evaluated, and where the truth of test is not known."""
    import numpy as np

    from swath import evaluations
    from swath.kernels.gain import paired, resampled

    two = life.evaluated(workspace.journal.batches.all())[-2:]
    modality = two[-1].steps.evaluate.modality if two and two[-1].steps.evaluate else "2d"
    truth = evaluations.truths(
        workspace, workspace.members("test"), modality, [workspace.config.fields.truth]
    )
    if len(two) < 2 or not truth:
        return None
    wanted, count = [one.references for one in truth], len(workspace.config.classes)
    found = [
        evaluations.matched(evaluations.predict(workspace, one, truth, modality), wanted, count)[0]
        for one in two
    ]
    table = workspace.scenes.of({one.key for one in truth})
    drives = [table.drive(one.key) for one in truth]
    rng, strict = np.random.default_rng([workspace.config.seed, 0x7E57]), slice(modality == "3d", None)
    gain = paired(
        resampled(found, drives, rng=rng, resamples=workspace.config.evaluate.resamples, strict=strict)
    )
    of_map, of_map50 = (
        Estimate(value=one.value, low=one.low, high=one.high) for one in (gain.map, gain.map50)
    )
    scenes = len({one.key for one in truth})
    return Gain(over=two[0].round, scenes=scenes, drives=gain.clusters, map=of_map, map50=of_map50)


def held(workspace: Workspace, keys: Sequence[str], modality: str) -> dict[str, set[str]]:
    """Scene -> classes that truly are in it, in any channel that is labelled in this modality."""
    field = workspace.config.fields.truth
    there: dict[str, set[str]] = {key: set() for key in keys}
    for channel in workspace.rig.labelled:
        if channel.modality == modality:
            for key, doc in zip(keys, workspace.scenes.values(channel.name, keys, [field]), strict=True):
                there[key] |= set(stored.read(modality, doc.get(field), (1, 1)).classes)
    return there


def measured(
    batch: Manifest | SelectResult,
    kinds: Mapping[str, str],
    held: Mapping[str, set[str]],
    free: Sequence[set[str]],
) -> Targeted:
    """Of a batch, committed or not. `kinds`: the failing kind of each failure (that of an object is its class); `held`: what scenes hold;
    `free`: what those hold that could have been chosen."""
    asked = [
        (one.key, one.object.name if one.object else kinds[one.failure])
        for one in batch.scenes
        if one.failure and (one.object or one.failure in kinds)
    ]
    hits = sum(kind in held.get(key, ()) for key, kind in asked)
    rates = [sum(kind in one for one in free) / len(free) for _, kind in asked]
    share = hits / len(asked) if asked else 0.0
    base = sum(rates) / len(rates) if rates else 0.0
    return Targeted(
        round=batch.round,
        targeted=len(asked),
        hits=hits,
        share=share,
        base_rate=base,
        ratio=share / base if base else None,
    )
