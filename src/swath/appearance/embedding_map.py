"""The map of the embeddings, for the App's panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swath.appearance.names import MAP, MARK
from swath.appearance.samples import slice_of
from swath.errors import SwathError
from swath.kernels.plane import plane
from swath.kernels.vectors import usable
from swath.store.journal.lease import Writer
from swath.store.runs import Runs
from swath.store.scenes import KEY

if TYPE_CHECKING:
    from swath.workspace import Workspace


def show_map(workspace: Workspace, writer: Writer) -> None:
    """Registers where the embeddings of pool, val and golden lie in the plane of most variance, when they have changed."""
    steps, primary = workspace.journal.loop().steps, workspace.config.primary
    if steps.embed is None or not workspace.is_split():
        return
    dataset, mark = workspace.scenes.dataset, f"{steps.embed.fingerprint} {primary}"
    runs = Runs(dataset, "brain_methods")
    before = runs.get(MAP)
    if before is not None and (before.get("config") or {}).get(MARK) == mark:
        return
    points = _points(workspace)
    if len(points) < 3:
        return
    from fiftyone.brain.visualization import ManualVisualizationConfig, VisualizationResults

    seen = dataset.select_group_slices([primary]) if workspace.scenes.grouped else dataset.view()
    results = VisualizationResults(
        seen,
        ManualVisualizationConfig(**{MARK: mark}),
        MAP,
        np.array(list(points.values())),
        sample_ids=np.array(list(points)),
    )
    runs.put(MAP, results, seen, writer)
    dataset.reload()
    dataset._brain_cache.pop(MAP, None)


def _points(workspace: Workspace) -> dict[str, Any]:
    """id of the primary sample -> xy (2,), of each scene with a usable vector."""
    keys = workspace.members("pool", "val", "golden")
    workspace.not_test(keys, "the map of embeddings")
    try:
        vectors = workspace.scenes.vectors(keys, workspace.config.fields.embeddings)
    except SwathError:  # of different lengths: `embed` puts it right
        return {}
    good = usable(vectors)
    xy, _ = plane(vectors[good])
    query = {**slice_of(workspace, workspace.config.primary), KEY: {"$gt": ""}}
    docs = workspace.scenes.samples.find(query, {KEY: 1})
    ids = {doc[KEY]: str(doc["_id"]) for doc in docs}
    there = [key for key, fine in zip(keys, good, strict=True) if fine]
    return {ids[key]: xy[row] for row, key in enumerate(there) if key in ids}
