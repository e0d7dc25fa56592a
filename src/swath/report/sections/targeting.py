"""Do targeted scenes hold what their failure missed? What the labels that came say, with n and interval.

A failure misses some kind of object most (`policies.aim`); a scene that was chosen for it should hold one. Beside that stands how
often the scenes that were chosen for coverage hold the same kinds: they were chosen without a look at failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from swath.labels import stored
from swath.policies.aim import failing_kinds
from swath.records.base import Estimate
from swath.records.batch import Batch, Evaluated
from swath.report import charts
from swath.report.known import Known
from swath.workspace import Workspace

Held = Mapping[str, set[str]]


@dataclass(frozen=True)
class Share:
    """`hits` of `of`, with the exact 95 % interval."""

    hits: int
    of: int
    share: Estimate


@dataclass(frozen=True)
class Kind:
    """One kind that failures missed: scenes that were chosen for it, and coverage scenes, that hold one."""

    name: str
    targeted: Share
    coverage: Share


@dataclass(frozen=True)
class Aimed:
    """One round that answers failures of `answers`. `all`: over all kinds; `expected`: how many of them would hold theirs at the
    rates of the coverage scenes; `unlabelled`: targeted scenes without labels yet."""

    round: str
    answers: str
    all: Share
    expected: float
    kinds: tuple[Kind, ...]
    unlabelled: int


@dataclass(frozen=True)
class Targeting:
    rounds: tuple[Aimed, ...]
    ruler: charts.Ruler


def data(known: Known) -> Targeting:
    rounds = [_aimed(known, one, record) for one in known.standing if (record := _answered(known, one))]
    return Targeting(tuple(rounds), charts.ruler(1.0, percent=True))


def _answered(known: Known, batch: Batch) -> Evaluated | None:
    """The evaluation whose failures a round answers."""
    question = known.manifests[batch.round].question
    name = question.answers if question else None
    there = next((one for one in known.rounds if one.round == name), None)
    return there.steps.evaluate if there else None


def _aimed(known: Known, batch: Batch, record: Evaluated) -> Aimed:
    workspace, manifest = known.workspace, known.manifests[batch.round]
    of = next(one for one in known.rounds if one.round == record.round)
    failing = failing_kinds(record, workspace.journal.batches.failures(of))
    asked = [(one.key, failing[one.failure]) for one in manifest.scenes if one.failure in failing]
    held = _held(workspace, [key for key, _ in asked], record.modality)
    there = [(kind, kind in held[key]) for key, kind in asked if key in held]
    covered = _held(workspace, _coverage(known), record.modality)
    kinds = []
    for name, _ in Counter(kind for kind, _ in there).most_common():
        holds = [hit for kind, hit in there if kind == name]
        beside = sum(name in one for one in covered.values())
        kinds.append(Kind(name, _share(sum(holds), len(holds)), _share(beside, len(covered))))
    return Aimed(
        batch.round,
        record.round,
        _share(sum(hit for _, hit in there), len(there)),
        sum(one.targeted.of * (one.coverage.share.value or 0.0) for one in kinds),
        tuple(kinds),
        len(asked) - len(there),
    )


def _coverage(known: Known) -> list[str]:
    """Scenes that were chosen for coverage, in all rounds that stand."""
    listed = [known.manifests[one.round] for one in known.standing]
    return sorted({one.key for manifest in listed for one in manifest.scenes if one.stream == "coverage"})


def _held(workspace: Workspace, keys: Sequence[str], modality: str) -> Held:
    """Scene -> classes of the labels that came, in any channel of this modality; scenes without an answer are left out."""
    held: dict[str, set[str]] = {}
    table = workspace.scenes.of(keys)
    for channel in workspace.rig.labelled:
        if channel.modality == modality:
            here = [key for key in table.known(keys) if table.has(channel.name, key)]
            for key, doc in zip(
                here, workspace.scenes.values(channel.name, here, [channel.human]), strict=True
            ):
                if doc.get(channel.human) is not None:
                    labels = stored.read(modality, doc[channel.human], (1, 1))
                    held.setdefault(key, set()).update(labels.classes)
    return held


def _share(hits: int, of: int) -> Share:
    """With Clopper and Pearson's interval."""
    if not of:
        return Share(hits, of, Estimate())
    exact = binomtest(hits, of).proportion_ci(0.95, "exact")
    return Share(hits, of, Estimate(value=hits / of, low=float(exact.low), high=float(exact.high)))
