"""Golden checks object by object: which class is called what, the worst labels beside their reference, by class and by annotator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.shapes import Floats, Labels
from swath.policies import golden as policy
from swath.policies.golden_axes import COUNTED, CUT, MEASURED, mistaken
from swath.records.agreement import ClassAgreement
from swath.records.batch import Batch, Confused, GoldenChecked
from swath.records.measured import Measured
from swath.report.beside import Pair, Rows, Shown, View, views
from swath.report.known import Known
from swath.workspace import Workspace

WORST: Final = 8  # objects with pictures
OF_SCENE, OF_KIND = 2, 3  # of them
ERRORS: Final = {
    "miss": "missed",
    "swap": "wrong class",
    "shift": "out of place",
    "flip": "turned round",
    "exchange": "sides exchanged",
}
SEVERE: Final = {"miss": 2.0, "extra": 1.5, "swap": 1.5, "flip": 1.5, "exchange": 1.2, "shift": 1.0}
"""How much an error counts when the worst objects are looked for; a measure counts as many times as it is beyond the cut."""


# ---------------------------------------------------------------------- which class is called what


@dataclass(frozen=True)
class Matrix:
    """Of one modality: a row per class of the reference, a column per class of the label; the last of each: none. `cells`: (objects,
    whether both are the same)."""

    modality: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, bool], ...]], ...]
    told: str


def matrices(check: GoldenChecked) -> tuple[Matrix, ...]:
    """A matrix for each modality that was compared."""
    out = []
    for modality in dict.fromkeys(one.modality for one in check.confusion):
        mine = [one for one in check.confusion if one.modality == modality]
        out.append(_matrix(modality, mine))
    return tuple(out)


def _matrix(modality: str, mine: Sequence[Confused]) -> Matrix:
    count = {(one.truth, one.said): one.objects for one in mine}
    classes = sorted({name for pair in count for name in pair if name is not None})
    truths: list[str | None] = [*classes, None]
    rows = tuple(
        (
            "not in the reference" if truth is None else truth,
            tuple((count.get((truth, said), 0), truth == said) for said in truths),
        )
        for truth in truths
        if any((truth, said) in count for said in truths)
    )
    wrong = sorted((one for one in mine if one.truth != one.said), key=lambda one: -one.objects)
    told = ", ".join(f"{mistaken(one)} {one.objects}" for one in wrong[:5])
    return Matrix(modality, (*classes, "missed"), rows, told or "nothing")


# ---------------------------------------------------------------------- by class and by annotator


@dataclass(frozen=True)
class Row:
    """Objects of the reference of one class, or scenes of one annotator, over all rounds: errors among them, how far labels are off
    (mean IoU, or distance of centres in metres), and for a class how far people differ on it."""

    name: str
    modality: str
    objects: int
    errors: Mapping[str, int]
    off: float | None
    agreement: ClassAgreement | None = None


def by_class(rounds: Sequence[Measured], agreed: Mapping[tuple[str, str], ClassAgreement]) -> tuple[Row, ...]:
    """agreed: (modality, class) -> how far people agree on it."""
    parts = [
        (modality, name, wrong, values)
        for one in rounds
        for modality, of in one.objects.items()
        for name, wrong, values in zip(of.classes, of.wrong, of.values, strict=True)
    ]
    found = _rows(parts)
    there = {(row.modality, row.name) for row in found}
    alone = [
        Row(name, modality, 0, {}, None) for modality, name in sorted(agreed) if (modality, name) not in there
    ]
    return tuple(
        Row(row.name, row.modality, row.objects, row.errors, row.off, agreed.get((row.modality, row.name)))
        for row in (*found, *alone)
    )


def by_annotator(rounds: Sequence[Measured]) -> tuple[Row, ...]:
    """Those whose name is known; nothing where there is one alone."""
    parts = []
    for one in rounds:
        for modality, of in one.objects.items():
            named = one.annotators.get(modality, ())
            for at, wrong, values in zip(of.scenes, of.wrong, of.values, strict=True):
                if at < len(named) and named[at]:
                    parts.append((modality, named[at], wrong, values))
    found = _rows(parts)
    return tuple(found) if len({row.name for row in found}) > 1 else ()


Part = tuple[str, str, tuple[str, ...], tuple[float | None, ...]]


def _rows(parts: Iterable[Part]) -> list[Row]:
    """(modality, name, what is wrong, how it differs) of objects, put together by modality and name."""
    groups: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        groups.setdefault(part[:2], []).append(part)
    out = []
    for (modality, name), mine in sorted(groups.items()):
        wrong = Counter(kind for part in mine for kind in part[2])
        errors = {kind: wrong[kind] for kind in ERRORS if modality == "3d" or kind in COUNTED["2d"]}
        out.append(Row(name, modality, len(mine), errors, _mean([part[3] for part in mine], modality)))
    return out


def _mean(values: Iterable[tuple[float | None, ...]], modality: str) -> float | None:
    """Mean IoU, or distance."""
    place = [one.name for one in MEASURED[modality]].index("iou" if modality == "2d" else "distance")
    there = [one[place] for one in values if one and one[place] is not None]
    return float(np.mean([value for value in there if value is not None])) if there else None


def agreed(rounds: Sequence[Batch]) -> dict[tuple[str, str], ClassAgreement]:
    """(modality, class) -> objects that were labelled twice in any round and those that people differ on; alpha of the last."""
    out: dict[tuple[str, str], ClassAgreement] = {}
    for batch in rounds:
        found = batch.steps.check.agreement if batch.steps.check else {}
        for modality, one in found.items():
            for name, of in one.classes.items():
                before = out.get((modality, name))
                objects, ambiguous = (before.objects, before.ambiguous) if before else (0, 0)
                out[modality, name] = of.with_(
                    objects=of.objects + objects, ambiguous=of.ambiguous + ambiguous
                )
    return out


# ---------------------------------------------------------------------- the worst labels


@dataclass(frozen=True)
class Worst:
    """A label of a golden scene that is far from the reference, in words and pictures."""

    scene: str
    channel: str
    words: str
    annotator: str
    views: tuple[View, ...]


class _Bad(NamedTuple):
    score: float
    key: str
    channel: Channel
    kind: str
    words: str
    annotator: str
    rows: Rows  # of the reference, of the blind labels


def worst(known: Known, batch: Batch) -> tuple[Worst, ...]:
    """Of a round's golden check, the worst first; a few of each scene and kind."""
    workspace = known.workspace
    bad, labels = _compared(workspace, batch)
    chosen: list[_Bad] = []
    for one in sorted(bad, key=lambda one: (-one.score, one.key, one.channel.name, str(one.rows))):
        scenes, kinds = Counter(each.key for each in chosen), Counter(each.kind for each in chosen)
        if len(chosen) < WORST and scenes[one.key] < OF_SCENE and kinds[one.kind] < OF_KIND:
            chosen.append(one)
    keys = sorted({one.key for one in chosen})
    table, calibrations = workspace.scenes.of(keys), workspace.scenes.calibrations(keys)
    return tuple(
        Worst(
            one.key,
            one.channel.name,
            one.words,
            one.annotator,
            views(
                workspace,
                Shown(one.key, table, calibrations.get(one.key), labels[one.key]),
                one.channel,
                one.rows,
            ),
        )
        for one in chosen
    )


def _compared(workspace: Workspace, batch: Batch) -> tuple[list[_Bad], dict[str, dict[str, Pair]]]:
    """What is wrong with the blind labels of a round, and (reference, blind) of each scene and channel."""
    rows = workspace.journal.assignments.find(round=batch.round, role="golden")
    bad: list[_Bad] = []
    labels: dict[str, dict[str, Pair]] = {}
    for channel in workspace.rig.labelled:
        who = {row.key: row.annotator or "" for row in rows if row.channel == channel.name and row.labelled}
        table = workspace.scenes.of(workspace.not_test(sorted(who), "report"))
        keys = table.known(sorted(who))
        docs = workspace.scenes.values(channel.name, keys, [channel.golden, channel.human])
        for key, doc in zip(keys, docs, strict=True):
            if doc.get(channel.human) is None:
                continue
            size = table.size(channel.name, key)
            careful = stored.read(channel.modality, doc[channel.human], size)
            blind = stored.read(channel.modality, doc.get(channel.golden), size, of_round=batch.round)
            labels.setdefault(key, {})[channel.name] = careful, blind
            bad += _bad(workspace, key, channel, careful, blind, who[key])
    return bad, labels


def _bad(
    workspace: Workspace, key: str, channel: Channel, careful: Labels, blind: Labels, who: str
) -> Iterable[_Bad]:
    found = policy.paired(blind, careful, workspace.config.golden)
    for row in found.free_careful.tolist():
        yield _Bad(SEVERE["miss"], key, channel, "miss", f"{careful.classes[row]} missed", who, (row, None))
    for row in found.free_blind.tolist():
        words = f"{blind.classes[row]} that is not in the reference"
        yield _Bad(SEVERE["extra"], key, channel, "extra", words, who, (None, row))
    for at, (one, two) in enumerate(found.rows.tolist()):
        kinds = [kind for kind, of in found.flags.items() if of[at]]
        said, truth = blind.classes[one], careful.classes[two]
        kinds += ["swap"] if said != truth else []
        beyond = _beyond(channel.modality, found.values[at])
        if kinds or beyond > 1:
            score = sum(SEVERE[kind] for kind in kinds) + beyond / 4
            words = f"{truth} called {said}" if said != truth else truth
            far = [f"{measure} {value[at]:.2f}" for measure, value in _far(found)]
            more = [ERRORS[kind] for kind in kinds if kind != "swap"]
            kind = kinds[0] if kinds else "drawn"
            yield _Bad(score, key, channel, kind, ", ".join([words, *more, *far]), who, (two, one))


def _far(found: policy.Pairs) -> list[tuple[str, tuple[float, ...]]]:
    """Words -> values of all pairs: how far apart they are."""
    words = {"2d iou": "IoU", "3d centre m": "centre off (m)", "3d yaw rad": "heading off (rad)"}
    return [(words[name], values) for name, values in found.distances.items()]


def _beyond(modality: str, values: Floats) -> float:
    """How many times the cut the furthest of the measures of a pair is off."""
    most = 0.0
    for measure, value in zip(MEASURED[modality], values.tolist(), strict=True):
        if np.isfinite(value):
            off = 1 - value if measure.unit == "iou" else abs(value)
            most = max(most, float(off) / CUT[measure.unit])
    return most
