"""What is compared in a golden check: blind labels of the golden scenes against their reference, object by object.

2D objects are matched by IoU, cuboids by the distance of their centres in bird's eye view; then errors are counted and
differences measured, on the axes of `policies.golden_axes`. What follows from it is decided in `policies.golden_verdict`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from swath import life
from swath.config import Golden, digest
from swath.kernels import boxes as box_kernel
from swath.kernels import deviations
from swath.kernels.match import match
from swath.labels.shapes import Boxes, Labels
from swath.records.assignment import Assignment
from swath.records.batch import Batch, BlindCounts, Confused, Example
from swath.records.measured import Measured, Objects

EXAMPLES: Final = 50  # that a check names
TOP: Final = 10  # classes that the guide's figures name
DIGITS: Final = 5  # that a measured value is kept with


class Wrong(NamedTuple):
    """Errors of one axis in one scene, of so many trials, and what they are."""

    axis: str
    wrong: int
    of: int
    what: str


class Seen(NamedTuple):
    """A reference object: what it is known by, its class, what is wrong with its label, and how that differs (`deviations`; nothing
    where there is no label)."""

    key: str
    name: str
    wrong: tuple[str, ...] = ()
    values: tuple[float | None, ...] = ()


class Compared(NamedTuple):
    """One channel of one scene, blind against careful: all axes; how far apart the matched pairs are, by measure (`2d iou`; `3d
    centre m`, `3d yaw rad`); the reference objects; classes of the labels that have none; `named`: (class of the reference, class of the label) of every
    object, None where there is none."""

    axes: tuple[Wrong, ...]
    distances: dict[str, tuple[float, ...]]
    objects: tuple[Seen, ...] = ()
    extra: tuple[str, ...] = ()
    named: tuple[tuple[str | None, str | None], ...] = ()


class Pairs(NamedTuple):
    """Rows (blind, reference) that belong together, those that have no partner, and what was measured of each pair: values, axes that
    are wrong (but for its class), distances."""

    rows: npt.NDArray[np.int64]
    free_blind: npt.NDArray[np.int64]
    free_careful: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    flags: dict[str, npt.NDArray[np.bool_]]
    trials: dict[str, int]
    distances: dict[str, tuple[float, ...]]


def errors(blind: Labels, careful: Labels, settings: Golden) -> Compared:
    """Compares two labellings of one channel of a scene, both boxes or both cuboids."""
    found = paired(blind, careful, settings)
    names = [(blind.classes[a], careful.classes[b]) for a, b in found.rows.tolist()]
    swapped = np.array([said != truth for said, truth in names], dtype=bool)
    flags = {"swap": swapped, **found.flags}
    missed = ", ".join(careful.classes[row] for row in found.free_careful)
    extra = tuple(blind.classes[row] for row in found.free_blind)
    told = {
        "swap": ", ".join(f"{truth} called {said}" for said, truth in names if said != truth),
        "shift": f"{int(found.flags['shift'].sum())} drawn too far off",
        "flip": _named(names, found.flags.get("flip"), "faces the other way"),
        "exchange": _named(names, found.flags.get("exchange"), "with length and width exchanged"),
    }
    axes = (
        Wrong("miss", len(found.free_careful), len(careful), f"missed: {missed}"),
        Wrong("extra", len(found.free_blind), len(blind), f"not in the reference: {', '.join(extra)}"),
        *(
            Wrong(axis, int(of.sum()), found.trials.get(axis, len(names)), told[axis])
            for axis, of in flags.items()
        ),
    )
    named = [(truth, said) for said, truth in names]
    named += [(careful.classes[row], None) for row in found.free_careful.tolist()]
    named += [(None, name) for name in extra]
    return Compared(axes, found.distances, _objects(careful, found, flags), extra, tuple(named))


def paired(blind: Labels, careful: Labels, settings: Golden) -> Pairs:
    """Which label is of which reference object, of one channel of a scene."""
    return (
        _boxes(blind, careful, settings) if isinstance(blind, Boxes) else _cuboids(blind, careful, settings)
    )


def _named(names: Sequence[tuple[str, str]], flags: npt.NDArray[np.bool_] | None, how: str) -> str:
    there = [] if flags is None else np.flatnonzero(flags).tolist()
    return ", ".join(f"{names[row][1]} {how}" for row in there)


def _objects(careful: Labels, found: Pairs, flags: Mapping[str, npt.NDArray[np.bool_]]) -> tuple[Seen, ...]:
    """The reference objects in their order."""
    keys = [_key(careful, row) for row in range(len(careful))]
    out = {row: Seen(keys[row], careful.classes[row], ("miss",)) for row in found.free_careful.tolist()}
    for at, row in enumerate(found.rows[:, 1].tolist()):
        values = tuple(
            round(value, DIGITS) if np.isfinite(value) else None for value in found.values[at].tolist()
        )
        wrong = tuple(axis for axis, of in flags.items() if of[at])
        out[row] = Seen(keys[row], careful.classes[row], wrong, values)
    return tuple(out[row] for row in sorted(out))


def _key(labels: Labels, row: int) -> str:
    """What an object is known by from round to round: the id of its stored label, else its place."""
    stored = labels.documents[row].get("_id") if labels.documents else None
    return str(stored) if stored is not None else f"#{row}"


def _boxes(blind: Labels, careful: Labels, settings: Golden) -> Pairs:
    overlap = box_kernel.iou(blind.shapes, careful.shapes)
    pairs = match(overlap, settings.iou)
    i, j = pairs.pairs.T
    near = overlap[i, j]
    values = deviations.of_boxes(blind.shapes[i], careful.shapes[j])
    flags = {"shift": near < settings.shift_iou}
    return Pairs(
        pairs.pairs, pairs.unmatched_a, pairs.unmatched_b, values, flags, {}, {"2d iou": tuple(near.tolist())}
    )


def _cuboids(blind: Labels, careful: Labels, settings: Golden) -> Pairs:
    one, two = blind.shapes, careful.shapes
    apart = np.linalg.norm(one[:, None, :2] - two[None, :, :2], axis=2)
    pairs = match(-apart, -settings.center)
    i, j = pairs.pairs.T
    off = np.linalg.norm(one[i, :3] - two[j, :3], axis=1)
    turn = _turn(one[i, 8] - two[j, 8])
    found = deviations.of_cuboids(one[i], two[j])
    return Pairs(
        pairs.pairs,
        pairs.unmatched_a,
        pairs.unmatched_b,
        found.values,
        {"shift": off > settings.shift_center, "flip": found.flipped, "exchange": found.exchanged},
        {"exchange": int(found.elongated.sum())},
        {"3d centre m": tuple(off.tolist()), "3d yaw rad": tuple(turn.tolist())},
    )


def _turn(yaw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Differences of yaw as angles in 0 .. pi."""
    return np.abs((yaw + np.pi) % (2 * np.pi) - np.pi)


# ---------------------------------------------------------------------- a round


@dataclass(frozen=True)
class Tally:
    """All comparisons of a round: what was measured by scene and object, mean distances, examples, and which class of the reference
    is called what."""

    measured: Measured
    means: Mapping[str, float | None] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    confusion: tuple[Confused, ...] = ()

    @property
    def scenes(self) -> int:
        return len(self.measured.scenes)

    @property
    def errors(self) -> dict[str, int]:
        """By axis (`2d miss`, ...)."""
        return {axis: sum(of) for axis, of in self.measured.errors.items()}

    @property
    def trials(self) -> dict[str, int]:
        return {axis: sum(of) for axis, of in self.measured.trials.items()}


def tally(compared: Iterable[tuple[str, str, Compared] | tuple[str, str, Compared, str]]) -> Tally:
    """Adds up comparisons (scene, modality, what was found, and by whom the labels are), over the channels of a modality."""
    every = [(one[0], one[1], one[2], one[3] if len(one) > 3 else "") for one in compared]
    place = {key: at for at, key in enumerate(sorted({key for key, *_ in every}))}
    wrong: dict[str, list[int]] = defaultdict(lambda: [0] * len(place))
    trials: dict[str, list[int]] = defaultdict(lambda: [0] * len(place))
    who: dict[str, list[set[str]]] = defaultdict(lambda: [set() for _ in place])
    objects: dict[str, list[tuple[int, Seen]]] = defaultdict(list)
    extra: dict[str, list[str]] = defaultdict(list)
    distances: dict[str, list[float]] = {}
    examples: list[Example] = []
    channel: Counter[tuple[str, str]] = Counter()
    named: Counter[tuple[str, str | None, str | None]] = Counter()
    for key, modality, found, annotator in every:
        at, nth = place[key], channel[key, modality]
        channel[key, modality] += 1
        who[modality][at].add(annotator)
        objects[modality] += [(at, one._replace(key=f"{key} {nth} {one.key}")) for one in found.objects]
        extra[modality] += found.extra
        named.update((modality, truth, said) for truth, said in found.named)
        for axis, errors_, of, what in found.axes:
            name = f"{modality} {axis}"
            wrong[name][at] += errors_
            trials[name][at] += of
            if errors_ and len(examples) < EXAMPLES:
                examples.append(Example(scene=key, axis=name, what=what))
        for measure, values in found.distances.items():
            distances.setdefault(measure, []).extend(values)
    means = {what: float(np.mean(values)) if values else None for what, values in sorted(distances.items())}
    measured = Measured(
        scenes=tuple(place),
        errors={axis: tuple(of) for axis, of in wrong.items()},
        trials={axis: tuple(of) for axis, of in trials.items()},
        annotators={
            modality: tuple(next(iter(one)) if len(one) == 1 else "" for one in named)
            for modality, named in who.items()
        },
        objects={modality: _columns(of) for modality, of in objects.items()},
        extra={modality: tuple(of) for modality, of in extra.items()},
    )
    return Tally(measured, means, tuple(examples), tuple(_confused(named)))


def _confused(named: Mapping[tuple[str, str | None, str | None], int]) -> Iterable[Confused]:
    """By modality, class of the reference and class of the label; those without one last."""
    for (modality, truth, said), times in sorted(
        named.items(), key=lambda one: (one[0][0], *((name is None, name or "") for name in one[0][1:]))
    ):
        yield Confused(modality=modality, truth=truth, said=said, objects=times)


def _columns(objects: Sequence[tuple[int, Seen]]) -> Objects:
    return Objects(
        keys=tuple(one.key for _, one in objects),
        scenes=tuple(at for at, _ in objects),
        classes=tuple(one.name for _, one in objects),
        wrong=tuple(one.wrong for _, one in objects),
        values=tuple(one.values for _, one in objects),
    )


# ---------------------------------------------------------------------- earlier rounds


def baseline(batches: Iterable[Batch], now: Batch) -> list[Batch]:
    """The rounds before `now` that it is compared with: checked, and neither cancelled nor blocked. An override lets a blocked round
    go on; it does not make its labels what others are measured by."""
    out = []
    for batch in life.standing(batches):
        done = batch.steps.golden
        if done is None or done.verdict == "block" or (batch.number or 0) >= (now.number or 0):
            continue
        out.append(batch)
    return out


def history(batches: Iterable[Batch], now: Batch) -> dict[str, tuple[int, int]]:
    """axis -> (errors, trials) of the rounds that `now` is compared with."""
    out: dict[str, tuple[int, int]] = {}
    for batch in baseline(batches, now):
        for name, axis in batch.steps.golden.axes.items() if batch.steps.golden else ():
            before = out.get(name, (0, 0))
            out[name] = (before[0] + axis.errors, before[1] + axis.trials)
    return out


def rotation(keys: Sequence[str], per_round: int | None, number: int, seed: int) -> tuple[str, ...]:
    """The golden scenes that go along with round `number`, sorted: all, or `per_round` of them in turn.

    The scenes stand in a circle in an order that the seed draws; each round takes `per_round` of them, and the next begins half
    of that further on. So every scene comes round, and half of each round's scenes were labelled the round before as well.
    """
    if per_round is None or per_round >= len(keys):
        return tuple(sorted(keys))
    circle = sorted(keys, key=lambda key: (digest([seed, "golden", key]), key))
    start = number * max(per_round - per_round // 2, 1)
    return tuple(sorted(circle[(start + at) % len(circle)] for at in range(per_round)))


def blind_counts(rows: Iterable[Assignment], classes: Iterable[str]) -> BlindCounts:
    """The guide's figures: golden assignments with labels among `rows`, and the classes of the blind labels."""
    named = list(classes)
    top = sorted(Counter(named).items(), key=lambda one: (-one[1], one[0]))[:TOP]
    return BlindCounts(
        samples_with_labels=sum(row.role == "golden" and row.state == "labeled" for row in rows),
        total_detections=len(named),
        top_classes=dict(top),
    )
