"""What the checks of labels found, rule by rule in words, with an example of each that is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from swath.kernels.checks import RULES
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.shapes import Labels
from swath.records.batch import Checked, Finding
from swath.report import above, beside, overlays, pictures
from swath.report.known import Known
from swath.report.overlays import Outline
from swath.report.pictures import Picture
from swath.store.table import SceneTable
from swath.workspace import Workspace

LISTED: Final = 20
MEDIUM: Final = 330  # width of a picture, pixels


@dataclass(frozen=True)
class RuleRow:
    """How often a rule found something, round by round, and in all."""

    rule: str
    words: str
    counts: tuple[int, ...]
    total: int


@dataclass(frozen=True)
class Example:
    """A finding that is drawn: the label it is about among the `others` of its channel."""

    finding: Finding
    words: str
    picture: Picture
    about: Outline
    others: tuple[Outline, ...]
    above: bool


@dataclass(frozen=True)
class Findings:
    """`rounds`: what was checked; `first`: findings of the last of them, errors first; `examples`: one of each rule there."""

    rounds: tuple[Checked, ...]
    rows: tuple[RuleRow, ...]
    first: tuple[tuple[Finding, str], ...]
    examples: tuple[Example, ...]


def data(known: Known) -> Findings:
    done = [one.steps.check for one in known.rounds if one.steps.check is not None]
    total: Counter[str] = Counter()
    for check in done:
        total.update(check.rules)
    rows = tuple(
        RuleRow(rule, words(rule), tuple(check.rules.get(rule, 0) for check in done), n)
        for rule, n in sorted(total.items(), key=lambda one: (-one[1], one[0]))
    )
    last = done[-1].findings if done else ()
    first = tuple((one, words(one.rule)) for one in last[:LISTED])
    return Findings(tuple(done), rows, first, tuple(_examples(known.workspace, last)))


def words(rule: str) -> str:
    """What a rule says, in words."""
    return RULES.get(rule, rule)


def _examples(workspace: Workspace, findings: Sequence[Finding]) -> list[Example]:
    """The first finding of each rule that is about one label which can be drawn."""
    table = workspace.scenes.of({one.scene for one in findings})
    out: dict[str, Example] = {}
    for one in findings:
        if one.rule in out or one.object is None or one.channel is None:
            continue
        if one.channel in workspace.rig:
            found = _example(workspace, table, one, workspace.rig[one.channel], one.object)
            if found is not None:
                out[one.rule] = found
    return list(out.values())


def _example(
    workspace: Workspace, table: SceneTable, finding: Finding, channel: Channel, row: int
) -> Example | None:
    """None where the label is no longer there, or has no shape that can be drawn."""
    if not table.known(workspace.not_test([finding.scene], "report")):
        return None
    (doc,) = workspace.scenes.values(channel.name, [finding.scene], [channel.human])
    size, path = table.size(channel.name, finding.scene), table.path(channel.name, finding.scene)
    labels = stored.read(channel.modality, doc.get(channel.human), size)
    if row >= len(labels) or not np.isfinite(labels.shapes[row]).all():
        return None
    canvas: overlays.Canvas
    if channel.kind == "cloud":
        canvas = on = above.ground(labels.shapes[row : row + 1])
        image = above.picture(path, on)
    else:
        part = beside.window(labels.shapes[row], size)
        image = pictures.picture(path, MEDIUM, size, part)
        at = (part[2] - part[0], part[3] - part[1]) if part else (image.width, image.height)
        canvas = overlays.Photo(image.width, image.height, at, part[:2] if part else (0, 0))
    drawn = _outlines(canvas, labels)
    return Example(
        finding,
        words(finding.rule),
        image,
        drawn[row],
        tuple(one for nth, one in drawn.items() if nth != row),
        channel.kind == "cloud",
    )


def _outlines(canvas: overlays.Canvas, labels: Labels) -> dict[int, Outline]:
    """Row -> what is drawn of a label, of those that are finite."""
    rows = np.flatnonzero(np.isfinite(labels.shapes).all(axis=1))
    shapes = labels.shapes[rows]
    return {
        int(row): overlays.outline(points, labels.classes[row], "", False, solid=shapes.shape[1] == 9)
        for row, points in zip(rows, canvas.outlines(shapes), strict=True)
    }
