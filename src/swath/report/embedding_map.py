"""The map of the embeddings: pool, labelled, last batch by stream, val and failures, in the plane of most variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from swath.errors import SwathError
from swath.journal import Document
from swath.report.charts import Frame, plane, span
from swath.steps.embed import usable
from swath.steps.workspace import Workspace

POINTS: Final = 4000  # scenes on the map; of a larger pool an even sample
WIDTH, LOWEST, HIGHEST, MARGIN = 1100.0, 320.0, 560.0, 16.0  # pixels
LAYERS: Final = (  # in the order they are drawn
    ("pool", "pool, not labelled"),
    ("labelled", "labelled before"),
    ("val", "val"),
    ("coverage", "last batch: coverage"),
    ("targeted", "last batch: targeted"),
    ("failure", "worst failures"),
)


def embedding_map(
    workspace: Workspace, rounds: Sequence[Document], manifests: Mapping[str, Document], last: Document | None
) -> dict[str, Any]:
    """Layers of points with tooltips, lines from targeted scenes to the val scene they answer; or `why` there is none.

    `rounds`: those that were not cancelled, in order; `last`: the last evaluated one.
    """
    if not workspace.is_split() or "embed" not in workspace.journal.loop()["steps"]:
        return {"why": "There are no embeddings yet."}
    batch = manifests[rounds[-1]["round"]]["scenes"] if rounds else []
    chosen = {scene["key"]: scene for scene in batch}
    keys, of = _sample(workspace, list(chosen))
    workspace.not_test(keys, "report")
    try:
        vectors = workspace.scenes.vectors(keys, workspace.config.fields.embeddings)
    except SwathError as error:
        return {"why": f"There is no map: {error}"}
    good = usable(vectors)
    keys = [key for key, fine in zip(keys, good, strict=True) if fine]
    if len(keys) < 3:
        return {"why": f"There is no map: {len(keys)} of {len(good)} scenes have a usable embedding."}
    xy, share = plane(vectors[good])
    frame = _frame(span(xy[:, 0]), span(xy[:, 1]))
    at = {key: (frame.at_x(float(x)), frame.at_y(float(y))) for key, (x, y) in zip(keys, xy, strict=True)}
    wrong = _failures(workspace, last)
    layers: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in LAYERS}
    states, val = workspace.states(), set(workspace.members("val"))
    for key in keys:
        layer, text = _place(key, key in val, chosen.get(key), wrong.get(key), states[key].status)
        layers[layer].append({"x": at[key][0], "y": at[key][1], "text": text})
    lines = [
        (*at[scene["key"]], *at[scene["failure"]])
        for scene in batch
        if scene.get("failure") in at and scene["key"] in at
    ]
    return {
        "why": "",
        "frame": frame,
        "round": rounds[-1]["round"] if rounds else None,
        "evaluated": last["round"] if last else None,
        "layers": [
            {"name": name, "title": title, "points": layers[name]} for name, title in LAYERS if layers[name]
        ],
        "lines": lines,
        "share": [float(one) for one in share],
        "shown": len(keys),
        "of": of,
        "without": int(np.count_nonzero(~good)),
    }


def _frame(x: tuple[float, float], y: tuple[float, float]) -> Frame:
    """A frame in which a distance is as long across as it is up."""
    inner = WIDTH - 2 * MARGIN
    height = min(max(inner * (y[1] - y[0]) / (x[1] - x[0]) + 2 * MARGIN, LOWEST), HIGHEST)
    unit = max((x[1] - x[0]) / inner, (y[1] - y[0]) / (height - 2 * MARGIN))

    def widened(low: float, high: float, pixels: float) -> tuple[float, float]:
        slack = (unit * pixels - (high - low)) / 2
        return low - slack, high + slack

    across, up = widened(*x, inner), widened(*y, height - 2 * MARGIN)
    return Frame(WIDTH, round(height), across, up, MARGIN, MARGIN, MARGIN, MARGIN)


def _sample(workspace: Workspace, first: Sequence[str]) -> tuple[list[str], int]:
    """(keys on the map, how many there are): all of val and `first` as far as `POINTS` goes, then every n-th of the pool."""
    pool, val = workspace.members("pool"), workspace.members("val")
    certain = sorted({*val, *first})
    others = sorted(set(pool) - set(certain))
    keys = _every(certain, POINTS)
    return sorted(keys + _every(others, POINTS - len(keys))), len(pool) + len(val)


def _every(keys: Sequence[str], most: int) -> list[str]:
    """At most `most` of `keys`, evenly spread over their order."""
    if most <= 0:
        return []
    return list(keys[:: max(1, -(-len(keys) // most))])


def _failures(workspace: Workspace, last: Document | None) -> dict[str, Mapping[str, Any]]:
    """The failures that the next batch answers, as many as selection looks at."""
    listed = last["steps"]["evaluate"]["failures"] if last else []
    return {failure["key"]: failure for failure in listed[: workspace.config.select.failures]}


def _place(
    key: str, val: bool, chosen: Mapping[str, Any] | None, wrong: Mapping[str, Any] | None, status: str
) -> tuple[str, str]:
    """(layer, tooltip) of one scene."""
    if wrong is not None:
        return "failure", f"{key} (val): {wrong['fn']} missed, {wrong['fp']} false"
    if val:
        return "val", f"{key} (val)"
    if chosen is not None:
        return chosen["stream"], f"{key}: {chosen['stream']} {chosen['rank']}, {chosen['reason']}"
    return ("labelled", f"{key}: labelled") if status == "annotated" else ("pool", f"{key}: {status}")
