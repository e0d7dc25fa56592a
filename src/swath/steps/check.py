"""Looks for labels that cannot be right: in 2D, in 3D, and between the sensors. Findings are shown, never acted upon.

The rules are `kernels.checks`. Findings of a batch are written to the field `findings` of the primary slice (and of the
cloud for scenes without one) and counted in the journal; nothing is deleted or changed on their account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swath.errors import FormatError, StateError, WaitingError
from swath.formats.pcd import read_pcd
from swath.kernels.checks import Finding, check_across, check_boxes, check_cuboids
from swath.labels import read_boxes, read_cuboids
from swath.scenes import FINDINGS
from swath.steps.annotate import calibrations
from swath.steps.workspace import Workspace

LISTED = 500  # findings that the journal and the report keep in full


@dataclass(frozen=True)
class CheckResult:
    """`rules`: rule -> findings; `findings`: (scene, rule, severity, modality, object, evidence), errors first."""

    round: str
    scenes: int
    rules: Mapping[str, int]
    errors: int
    warnings: int
    findings: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]


def check(workspace: Workspace) -> CheckResult:
    """Checks the labels of the round that was fetched last. Doing it again replaces its findings."""
    with workspace.writer("check") as writer:
        batch = latest(workspace, "labeled")
        name = batch["round"]
        config, table = workspace.config, workspace.scenes.table
        rows = workspace.journal.assignments(
            round=name, role="pool", state={"$in": ["labeled", "reviewed_empty"]}
        )
        done = {(row["key"], row["modality"]) for row in rows}
        keys = table.known(sorted({key for key, _ in done}))
        flat = workspace.scenes.values(config.slices.image, keys, [config.fields.detections])
        solid: list[dict[str, Any]] = [{} for _ in keys]
        if "3d" in workspace.modalities:
            solid = workspace.scenes.values(config.slices.cloud, keys, [config.fields.cuboids])
        known = calibrations(workspace.scenes, keys)
        found: dict[str, list[Finding]] = {}
        notes: list[str] = []
        tick = workspace.progress(f"check labels of {name}")
        for i, key in enumerate(keys):
            row = int(table.rows([key])[0])
            size = (int(table.size[row, 0]), int(table.size[row, 1]))
            boxes = read_boxes(flat[i].get(config.fields.detections), size)
            cuboids = read_cuboids(solid[i].get(config.fields.cuboids))
            found[key] = []
            if (key, "2d") in done:
                found[key] += check_boxes(boxes.boxes, boxes.classes, config.classes, *size)
            if (key, "3d") in done:
                try:
                    cloud = read_pcd(table.paths[config.slices.cloud][row])[:, :3]
                except FormatError as error:
                    cloud = None
                    notes.append(f"{key}: points were not checked: {error}")
                found[key] += check_cuboids(cuboids.cuboids, cuboids.classes, config.classes, cloud)
            if {(key, "2d"), (key, "3d")} <= done and key in known:
                found[key] += check_across(
                    boxes.boxes, boxes.classes, cuboids.cuboids, cuboids.classes, known[key].project, *size
                )
            tick(i + 1, len(keys))
        for slice_name in (config.slices.image, config.slices.cloud):
            if slice_name in table.samples:
                here = [key for key in keys if table.samples[slice_name][table.rows([key])[0]]]
                values = {key: {FINDINGS: [f"{name} {_line(one)}" for one in found[key]]} for key in here}
                workspace.scenes.write(slice_name, values, writer)
        result = _result(name, found, notes)
        workspace.journal.barrier(writer)
        entry = {
            "scenes": result.scenes,
            "rules": dict(result.rules),
            "errors": result.errors,
            "warnings": result.warnings,
            "notes": list(result.notes),
            "findings": [dict(one) for one in result.findings[:LISTED]],
        }
        workspace.journal.advance(writer, name, "labeled", "labeled", {"check": entry})
        workspace.scenes.refresh()
    return result


def latest(workspace: Workspace, *states: str) -> Any:
    """The last round, which must be in one of `states`."""
    rounds = [batch for batch in workspace.journal.rounds() if batch["state"] != "cancelled"]
    if not rounds:
        raise StateError("there is no round yet; `swath next` says what is next")
    if rounds[-1]["state"] not in states:
        held = rounds[-1]["state"] == "labeled" and "golden" in rounds[-1]["steps"]
        raise (WaitingError if held else StateError)(
            f"{rounds[-1]['round']} is {rounds[-1]['state']}{', its golden check blocks' if held else ''}; "
            f"this step needs it to be {' or '.join(states)}; `swath next` says what is next"
        )
    return rounds[-1]


def _result(name: str, found: Mapping[str, list[Finding]], notes: list[str]) -> CheckResult:
    listed = [
        {
            "scene": key,
            "rule": one.rule,
            "severity": one.severity,
            "modality": one.modality,
            "object": one.object,
            "evidence": one.evidence,
        }
        for key, findings in sorted(found.items())
        for one in findings
    ]
    listed.sort(key=lambda one: one["severity"] != "error")
    rules: dict[str, int] = {}
    for entry in listed:
        rules[str(entry["rule"])] = rules.get(str(entry["rule"]), 0) + 1
    errors = sum(entry["severity"] == "error" for entry in listed)
    return CheckResult(
        name,
        len(found),
        dict(sorted(rules.items())),
        errors,
        len(listed) - errors,
        tuple(listed),
        tuple(notes),
    )


def _line(finding: Finding) -> str:
    where = "" if finding.object is None else f" #{finding.object}"
    return f"{finding.severity} {finding.modality} {finding.rule}{where}: {finding.evidence}"
