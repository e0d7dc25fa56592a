"""Are the labels still honest? Blind labels of the golden scenes against their reference, object by object.

2D objects are matched by IoU, cuboids by the distance of their centres in bird's eye view; then, per modality, four axes:
`miss` (reference objects nobody labelled), `extra` (labels without a reference), `swap` (matched, another class), `shift`
(matched, but drawn too far off). One exact test per axis against the accepted rate, and against earlier rounds
(`kernels.drift`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from swath import life
from swath.config import Golden
from swath.kernels import boxes as box_kernel
from swath.kernels.drift import rate_test, verdict
from swath.kernels.match import match
from swath.labels.shapes import Boxes, Labels
from swath.records.assignment import Assignment
from swath.records.batch import Axis, Batch, BlindCounts, Example, GoldenChecked
from swath.words import ordinal

AXES: Final = ("miss", "extra", "swap", "shift")
EXAMPLES: Final = 50  # that a check names
TOP: Final = 10  # classes that the guide's figures name


class Wrong(NamedTuple):
    """Errors of one axis in one scene, of so many trials, and what they are."""

    axis: Literal["miss", "extra", "swap", "shift"]
    wrong: int
    of: int
    what: str


class Compared(NamedTuple):
    """One channel of one scene, blind against careful: all axes; and how far apart the matched pairs are, by measure
    (`2d iou`; `3d centre m`, `3d yaw rad`)."""

    axes: tuple[Wrong, ...]
    distances: dict[str, tuple[float, ...]]


def errors(blind: Labels, careful: Labels, settings: Golden) -> Compared:
    """Compares two labellings of one channel of a scene, both boxes or both cuboids."""
    if isinstance(blind, Boxes):
        overlap = box_kernel.iou(blind.shapes, careful.shapes)
        pairs = match(overlap, settings.iou)
        i, j = pairs.pairs.T
        near = overlap[i, j]
        far = near < settings.shift_iou
        distances = {"2d iou": tuple(near.tolist())}
    else:
        one, two = blind.shapes, careful.shapes
        apart = np.linalg.norm(one[:, None, :2] - two[None, :, :2], axis=2)
        pairs = match(-apart, -settings.center)
        i, j = pairs.pairs.T
        off = np.linalg.norm(one[i, :3] - two[j, :3], axis=1)
        far = off > settings.shift_center
        turn = _turn(one[i, 8] - two[j, 8])
        distances = {"3d centre m": tuple(off.tolist()), "3d yaw rad": tuple(turn.tolist())}
    names = [(blind.classes[a], careful.classes[b]) for a, b in pairs.pairs.tolist()]
    swapped = [f"{truth} called {said}" for said, truth in names if said != truth]
    missed = ", ".join(careful.classes[row] for row in pairs.unmatched_b)
    extra = ", ".join(blind.classes[row] for row in pairs.unmatched_a)
    shifted = int(far.sum())
    axes = (
        Wrong("miss", len(pairs.unmatched_b), len(careful), f"missed: {missed}"),
        Wrong("extra", len(pairs.unmatched_a), len(blind), f"not in the reference: {extra}"),
        Wrong("swap", len(swapped), len(names), ", ".join(swapped)),
        Wrong("shift", shifted, len(names), f"{shifted} drawn too far off"),
    )
    return Compared(axes, distances)


def _turn(yaw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Differences of yaw as angles in 0 .. pi."""
    return np.abs((yaw + np.pi) % (2 * np.pi) - np.pi)


@dataclass(frozen=True)
class Tally:
    """All comparisons of a round: errors and trials by axis (`2d miss`, ...), mean distances, examples, scenes."""

    errors: Mapping[str, int]
    trials: Mapping[str, int]
    means: Mapping[str, float | None]
    examples: tuple[Example, ...]
    scenes: int


def tally(compared: Iterable[tuple[str, str, Compared]]) -> Tally:
    """Adds up comparisons (scene, modality, what was found), over scenes and over the channels of a modality."""
    wrong: Counter[str] = Counter()
    trials: Counter[str] = Counter()
    distances: dict[str, list[float]] = {}
    examples: list[Example] = []
    scenes: set[str] = set()
    for key, modality, found in compared:
        scenes.add(key)
        for axis, errors_, of, what in found.axes:
            name = f"{modality} {axis}"
            wrong[name] += errors_
            trials[name] += of
            if errors_ and len(examples) < EXAMPLES:
                examples.append(Example(scene=key, axis=name, what=what))
        for measure, values in found.distances.items():
            distances.setdefault(measure, []).extend(values)
    means = {what: float(np.mean(values)) if values else None for what, values in sorted(distances.items())}
    return Tally(dict(wrong), dict(trials), means, tuple(examples), len(scenes))


def history(batches: Iterable[Batch], now: Batch) -> dict[str, tuple[int, int]]:
    """axis -> (errors, trials) of the rounds before `now` that are a baseline: neither cancelled nor blocked. An override lets
    a blocked round go on; it does not make its labels what others are measured by."""
    out: dict[str, tuple[int, int]] = {}
    for batch in life.standing(batches):
        done = batch.steps.golden
        if done is None or done.verdict == "block" or (batch.number or 0) >= (now.number or 0):
            continue
        for name, axis in done.axes.items():
            before = out.get(name, (0, 0))
            out[name] = (before[0] + axis.errors, before[1] + axis.trials)
    return out


def decide(
    now: Batch,
    batches: Sequence[Batch],
    modalities: Sequence[str],
    found: Tally,
    blind: BlindCounts,
    settings: Golden,
    override: str | None = None,
) -> GoldenChecked:
    """The golden check of round `now`: a test per axis, and one verdict over all of them."""
    tests = {}
    for modality in modalities:
        for axis in AXES:
            name, accepted = f"{modality} {axis}", float(getattr(settings, axis))
            counts = found.errors.get(name, 0), found.trials.get(name, 0)
            tests[name] = rate_test(*counts, accepted, alpha=settings.block_alpha)
    decided = verdict(
        tests,
        warn_alpha=settings.warn_alpha,
        block_alpha=settings.block_alpha,
        min_trials=settings.min_objects,
        history=history(batches, now),
    )
    return GoldenChecked(
        round=now.round,
        verdict=decided.status,
        reasons=(*decided.reasons, *_seen_before(now, batches, found.scenes)),
        axes={
            name: Axis.model_validate({**asdict(test), "detectable": decided.detectable.get(name)})
            for name, test in tests.items()
        },
        scenes=found.scenes,
        means=dict(found.means),
        examples=found.examples,
        override=override,
        blind=blind,
    )


def _seen_before(now: Batch, batches: Iterable[Batch], scenes: int) -> tuple[str, ...]:
    """A caution where annotators have had these scenes before, cancelled and blocked rounds included: they were looked at."""
    earlier = sum(one.steps.golden is not None for one in life.rounds(batches) if one.round != now.round)
    if not earlier:
        return ()
    return (
        f"the same {scenes} golden scenes for the {ordinal(earlier + 1)} time: annotators may remember them",
    )


def blind_counts(rows: Iterable[Assignment], classes: Iterable[str]) -> BlindCounts:
    """The guide's figures: golden assignments with labels among `rows`, and the classes of the blind labels."""
    named = list(classes)
    top = sorted(Counter(named).items(), key=lambda one: (-one[1], one[0]))[:TOP]
    return BlindCounts(
        samples_with_labels=sum(row.role == "golden" and row.state == "labeled" for row in rows),
        total_detections=len(named),
        top_classes=dict(top),
    )
