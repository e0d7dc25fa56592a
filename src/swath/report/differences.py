"""The page that draws what two labellings of the reference see differently, for whoever decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from swath import adjudication
from swath.formats.files import write_atomic
from swath.records.results import AdjudicateResult, Differs
from swath.report import templates
from swath.report.beside import Shown, View, views
from swath.workspace import Workspace

DRAWN: Final = 200  # differences with pictures, open ones first
NAME: Final = "adjudicate.html"


@dataclass(frozen=True)
class Drawn:
    """A difference with its pictures."""

    one: Differs
    views: tuple[View, ...]


def write_page(workspace: Workspace, result: AdjudicateResult) -> Path:
    """Writes the page into the dataset's folder; returns its path."""
    ordered = sorted(result.differences, key=lambda one: one.choice is not None)
    text = (
        templates()
        .get_template("differences.html")
        .render(result=result, drawn=_drawn(workspace, result.batch, ordered[:DRAWN]), others=ordered[DRAWN:])
    )
    path = workspace.home / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path.resolve(), text.encode())
    return path


def _drawn(workspace: Workspace, batch: str, listed: Sequence[Differs]) -> list[Drawn]:
    keys = sorted({one.scene for one in _known(workspace, listed)})
    places = adjudication.both(workspace, workspace.journal.batches.get(batch), keys)
    found = {name: (place, difference) for name, place, difference in adjudication.named(places)}
    table, calibrations = workspace.scenes.of(keys), workspace.scenes.calibrations(keys)
    labels: dict[str, dict[str, adjudication.Both]] = {}
    for place in places:
        labels.setdefault(place.key, {})[place.channel.name] = place
    out, tick = [], workspace.progress("pictures of differences")
    for done, one in enumerate(listed, 1):
        if one.name in found:
            place, difference = found[one.name]
            scene = Shown(
                one.scene,
                table,
                calibrations.get(one.scene),
                {name: of.labels for name, of in labels[one.scene].items()},
            )
            out.append(Drawn(one, views(workspace, scene, place.channel, difference.rows)))
        tick(done, len(listed))
    return out


def _known(workspace: Workspace, listed: Sequence[Differs]) -> list[Differs]:
    """Those whose scenes are still in the dataset; a test scene among them is a `FrozenSplitError`."""
    keys = workspace.not_test([one.scene for one in listed], "adjudicate")
    there = set(workspace.scenes.of(keys).known(keys))
    return [one for one in listed if one.scene in there]
