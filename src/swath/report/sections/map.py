"""The map of the embeddings: pool, labelled, last batch by stream, val and failures, in the plane of most variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from swath.errors import SwathError
from swath.kernels.plane import plane
from swath.kernels.vectors import usable
from swath.records.batch import Failure
from swath.records.manifest import Chosen
from swath.report.charts import Frame, span
from swath.report.known import Known
from swath.workspace import Workspace

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


@dataclass(frozen=True)
class Dot:
    """A scene on the map, in pixels, and what its tooltip says. `number`: of a failure, as the failures are numbered."""

    x: float
    y: float
    text: str
    number: int | None = None


@dataclass(frozen=True)
class Layer:
    name: str
    title: str
    points: tuple[Dot, ...]


@dataclass(frozen=True)
class Map:
    """`why`: there is no map; else `lines` lead (x1, y1, x2, y2) from targeted scenes to the val scene they answer, `share` of
    the variance that the axes keep, `shown` scenes of `of`, `without` a usable vector. `round`: of the last batch; `evaluated`:
    of the failures."""

    why: str = ""
    frame: Frame | None = None
    dim: int = 0
    round: str | None = None
    evaluated: str | None = None
    layers: tuple[Layer, ...] = ()
    lines: tuple[tuple[float, float, float, float], ...] = ()
    share: tuple[float, ...] = ()
    shown: int = 0
    of: int = 0
    without: int = 0


def data(known: Known) -> Map:
    """The map of pool and val, with the last batch that was not cancelled and the failures of the last evaluation."""
    workspace, batch = known.workspace, None
    if not workspace.is_split() or known.loop.steps.embed is None:
        return Map(why="There are no embeddings yet.")
    if known.standing:
        batch = known.manifests[known.standing[-1].round]
    scenes = batch.scenes if batch else ()
    chosen = {scene.key: scene for scene in scenes}
    keys, of = _sample(workspace, list(chosen))
    workspace.not_test(keys, "report")
    try:
        vectors = workspace.scenes.vectors(keys, workspace.config.fields.embeddings)
    except SwathError as error:
        return Map(why=f"There is no map: {error}")
    good = usable(vectors)
    keys = [key for key, fine in zip(keys, good, strict=True) if fine]
    if len(keys) < 3:
        return Map(why=f"There is no map: {len(keys)} of {len(good)} scenes have a usable embedding.")
    xy, share = plane(vectors[good])
    frame = _frame(span(xy[:, 0]), span(xy[:, 1]))
    at = {key: (frame.at_x(float(x)), frame.at_y(float(y))) for key, (x, y) in zip(keys, xy, strict=True)}
    return Map(
        frame=frame,
        dim=known.loop.steps.embed.dim,
        round=batch.round if batch else None,
        evaluated=known.last.round if known.last else None,
        layers=_layers(known, at, chosen),
        lines=tuple(
            (*at[one.key], *at[one.failure]) for one in scenes if one.failure in at and one.key in at
        ),
        share=tuple(float(one) for one in share),
        shown=len(keys),
        of=of,
        without=int(np.count_nonzero(~good)),
    )


def _layers(
    known: Known, at: Mapping[str, tuple[float, float]], chosen: Mapping[str, Chosen]
) -> tuple[Layer, ...]:
    """The dots, by what they are."""
    workspace = known.workspace
    answered = known.failures[: workspace.config.select.failures]  # as many as selection looks at
    wrong = {one.key: (nth, one) for nth, one in enumerate(answered, 1)}
    layers: dict[str, list[Dot]] = {name: [] for name, _ in LAYERS}
    states, val = workspace.states(at), set(workspace.members("val"))
    for key, place in at.items():
        number, failure = wrong.get(key, (None, None))
        layer, text = _place(key, key in val, chosen.get(key), failure, states[key].status)
        layers[layer].append(Dot(*place, text, number))
    return tuple(Layer(name, title, tuple(layers[name])) for name, title in LAYERS if layers[name])


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


def _place(key: str, val: bool, chosen: Chosen | None, wrong: Failure | None, status: str) -> tuple[str, str]:
    """(layer, tooltip) of one scene."""
    if wrong is not None:
        return "failure", f"{key} (val): {wrong.fn} missed, {wrong.fp} false"
    if val:
        return "val", f"{key} (val)"
    if chosen is not None and chosen.stream is not None:
        return chosen.stream, f"{key}: {chosen.stream} {chosen.rank}, {chosen.reason}"
    return ("labelled", f"{key}: labelled") if status == "annotated" else ("pool", f"{key}: {status}")
