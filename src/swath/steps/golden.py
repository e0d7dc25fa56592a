"""Are the labels still honest? This round's blind labels of the golden scenes against their reference, object by object.

2D objects are matched by IoU, cuboids by the distance of their centres in bird's eye view; then, per modality, four axes:
`miss` (reference objects nobody labelled), `extra` (labels without a reference), `swap` (matched, another class), `shift`
(matched, but drawn too far off). One exact test per axis against the accepted rate, and against earlier rounds
(`kernels.drift`). A verdict of `block` holds training and the next selection until it is overridden with a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from swath.errors import IntegrityError, StateError, WaitingError, some
from swath.journal import Document
from swath.kernels import boxes as box_kernel
from swath.kernels.drift import rate_test, verdict
from swath.kernels.match import match
from swath.labels import Read2D, Read3D, read_boxes, read_cuboids
from swath.steps import reference
from swath.steps.check import latest
from swath.steps.workspace import Workspace

AXES = ("miss", "extra", "swap", "shift")


@dataclass(frozen=True)
class GoldenResult:
    """`axes`: axis (`2d miss`, ...) -> errors, trials, rate, low, high, accepted, p_value, detectable. `scenes`: golden
    scenes that were compared; `examples`: (scene, axis, what)."""

    round: str
    verdict: str
    reasons: tuple[str, ...]
    axes: Mapping[str, Mapping[str, Any]]
    scenes: int
    means: Mapping[str, float | None]
    examples: tuple[Mapping[str, str], ...]
    override: str | None = None


def golden(workspace: Workspace, *, override: str | None = None) -> GoldenResult:
    """Compares, decides and records; a round that passes is `checked`. Raises `WaitingError` when it blocks.

    `override`: the reason to go on all the same, recorded beside the verdict.
    """
    with workspace.writer("golden") as writer:
        batch = latest(workspace, "labeled")
        if "check" not in batch["steps"]:
            raise StateError(
                f"{batch['round']}: its labels were not checked yet; run `swath check --dataset {workspace.name}`"
            )
        if not reference.is_done(workspace):
            raise StateError(
                "golden labels have nothing to be compared with: there is no reference yet; "
                f"run `swath reference --dataset {workspace.name} --from FIELD`"
            )
        if override is not None and not override.strip():
            raise StateError('an override needs its reason: `swath golden --override "reason"`')
        result, labels = _compare(workspace, batch, override)
        entry = {
            "verdict": result.verdict,
            "reasons": list(result.reasons),
            "axes": {axis: dict(values) for axis, values in result.axes.items()},
            "scenes": result.scenes,
            "means": dict(result.means),
            "examples": [dict(one) for one in result.examples],
            "override": override,
            "blind": _counts(workspace, batch["round"], labels),
        }
        blocked = result.verdict == "block" and override is None
        after = "labeled" if blocked else "checked"
        workspace.journal.advance(writer, batch["round"], "labeled", after, {"golden": entry})
        workspace.project(writer, [], views=[])
    if blocked:
        raise WaitingError(
            f"golden check of {result.round}: block: {'; '.join(result.reasons)}; look at the scenes, then have "
            f"them labelled again (`swath round reopen {result.round} --reason ...`), "
            'or go on with `swath golden --override "reason"`'
        )
    return result


def _compare(workspace: Workspace, batch: Document, override: str | None) -> tuple[GoldenResult, list[str]]:
    name, config = batch["round"], workspace.config
    rows = workspace.journal.assignments(round=name, role="golden")
    counts: Counter[str] = Counter()
    trials: Counter[str] = Counter()
    values: dict[str, list[float]] = {}
    examples: list[dict[str, str]] = []
    classes: list[str] = []
    compared: set[str] = set()
    there = set(workspace.members("golden"))
    for modality in workspace.modalities:
        answered = [
            row
            for row in rows
            if row["modality"] == modality
            and row["state"] in ("labeled", "reviewed_empty")
            and row["key"] in there
        ]
        keys = [row["key"] for row in answered]
        blind, careful = _read(workspace, modality, name, keys)
        lost = [
            row["key"] for row, one in zip(answered, blind, strict=True) if len(one.classes) != row["count"]
        ]
        if lost:
            raise IntegrityError(
                f"{name}: blind {modality} labels of {len(lost)} golden scenes are not the ones that were fetched: "
                f"{some(lost)}; restore them, or `swath repair`"
            )
        for key, one, two in zip(keys, blind, careful, strict=True):
            if two is None:
                continue  # no reference: it was skipped
            compared.add(key)
            classes += one.classes if modality == "2d" else ()
            for axis, wrong, of, what in _errors(workspace, modality, one, two, values):
                counts[f"{modality} {axis}"] += wrong
                trials[f"{modality} {axis}"] += of
                if wrong and len(examples) < 50:
                    examples.append({"scene": key, "axis": f"{modality} {axis}", "what": what})
    accepted = {axis: getattr(config.golden, axis) for axis in AXES}
    axes = [f"{modality} {axis}" for modality in workspace.modalities for axis in AXES]
    tests = {
        axis: rate_test(
            counts[axis], trials[axis], accepted[axis.split()[1]], alpha=config.golden.block_alpha
        )
        for axis in axes
    }
    decided = verdict(
        tests,
        warn_alpha=config.golden.warn_alpha,
        block_alpha=config.golden.block_alpha,
        min_trials=config.golden.min_objects,
        history=_history(workspace, name),
    )
    reasons = list(decided.reasons)
    earlier = sum("golden" in one["steps"] for one in workspace.journal.rounds() if one["round"] != name)
    if earlier:
        reasons.append(
            f"the same {len(compared)} golden scenes for the {earlier + 1}. time: annotators may remember them"
        )
    figures = {
        axis: {**asdict(test), "detectable": decided.detectable.get(axis)} for axis, test in tests.items()
    }
    means = {what: float(np.mean(found)) if found else None for what, found in sorted(values.items())}
    result = GoldenResult(
        name, decided.status, tuple(reasons), figures, len(compared), means, tuple(examples), override
    )
    return result, classes


def _read(
    workspace: Workspace, modality: str, name: str, keys: Sequence[str]
) -> tuple[list[Read2D | Read3D], list[Read2D | Read3D | None]]:
    """Blind labels of this round, and the reference (None where there is none), per key."""
    config, table = workspace.config, workspace.scenes.table
    flat = modality == "2d"
    slice_name = config.slices.image if flat else config.slices.cloud
    fields = (
        (config.fields.golden_detections, config.fields.detections)
        if flat
        else (config.fields.golden_cuboids, config.fields.cuboids)
    )
    blind: list[Read2D | Read3D] = []
    careful: list[Read2D | Read3D | None] = []
    for key, doc in zip(keys, workspace.scenes.values(slice_name, keys, fields), strict=True):
        size = (int(table.size[table.rows([key])[0], 0]), int(table.size[table.rows([key])[0], 1]))
        given = (doc.get(fields[0]) or {}).get("detections") or ()
        of_round = {"detections": [one for one in given if one.get("round") == name]}
        blind.append(read_boxes(of_round, size) if flat else read_cuboids(of_round))
        there = doc.get(fields[1])
        careful.append(None if there is None else read_boxes(there, size) if flat else read_cuboids(there))
    return blind, careful


def _errors(
    workspace: Workspace,
    modality: str,
    blind: Read2D | Read3D,
    careful: Read2D | Read3D,
    values: dict[str, list[float]],
) -> list[tuple[str, int, int, str]]:
    """(axis, errors, trials, what) of one scene; adds the matched pairs' distances to `values`."""
    config = workspace.config.golden
    if isinstance(blind, Read2D) and isinstance(careful, Read2D):
        overlap = box_kernel.iou(blind.boxes, careful.boxes)
        pairs = match(overlap, config.iou)
        near = overlap[pairs.pairs[:, 0], pairs.pairs[:, 1]]
        far = near < config.shift_iou
        values.setdefault("2d iou", []).extend(near.tolist())
    else:
        assert isinstance(blind, Read3D)
        assert isinstance(careful, Read3D)
        apart = np.linalg.norm(blind.cuboids[:, None, :2] - careful.cuboids[None, :, :2], axis=2)
        pairs = match(-apart, -config.center)
        off = np.linalg.norm(
            blind.cuboids[pairs.pairs[:, 0], :3] - careful.cuboids[pairs.pairs[:, 1], :3], axis=1
        )
        far = off > config.shift_center
        values.setdefault("3d centre m", []).extend(off.tolist())
        turn = blind.cuboids[pairs.pairs[:, 0], 8] - careful.cuboids[pairs.pairs[:, 1], 8]
        values.setdefault("3d yaw rad", []).extend(np.abs((turn + np.pi) % (2 * np.pi) - np.pi).tolist())
    swapped = [(i, j) for i, j in pairs.pairs.tolist() if blind.classes[i] != careful.classes[j]]
    missed = ", ".join(careful.classes[j] for j in pairs.unmatched_b)
    extra = ", ".join(blind.classes[i] for i in pairs.unmatched_a)
    return [
        ("miss", len(pairs.unmatched_b), len(careful.classes), f"missed: {missed}"),
        ("extra", len(pairs.unmatched_a), len(blind.classes), f"not in the reference: {extra}"),
        (
            "swap",
            len(swapped),
            len(pairs.pairs),
            ", ".join(f"{careful.classes[j]} called {blind.classes[i]}" for i, j in swapped),
        ),
        ("shift", int(far.sum()), len(pairs.pairs), f"{int(far.sum())} drawn too far off"),
    ]


def _history(workspace: Workspace, name: str) -> dict[str, tuple[int, int]]:
    """axis -> (errors, trials) of the earlier rounds that were not blocked."""
    out: dict[str, tuple[int, int]] = {}
    for batch in workspace.journal.rounds():
        record = batch["steps"].get("golden")
        if batch["round"] == name or record is None or batch["state"] in ("labeled", "cancelled"):
            continue
        for axis, values in record["axes"].items():
            before = out.get(axis, (0, 0))
            out[axis] = (before[0] + values["errors"], before[1] + values["trials"])
    return out


def _counts(workspace: Workspace, name: str, labels: Sequence[str]) -> dict[str, Any]:
    """The guide's figures, counted on the blind 2D labels."""
    rows = workspace.journal.assignments(round=name, role="golden", modality="2d", state="labeled")
    top = sorted(Counter(labels).items(), key=lambda one: (-one[1], one[0]))[:10]
    return {"samples_with_labels": len(rows), "total_detections": len(labels), "top_classes": dict(top)}
