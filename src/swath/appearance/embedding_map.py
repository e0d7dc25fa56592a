"""The map of the embeddings, for the App's panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swath.appearance.names import MAP, MARK
from swath.appearance.samples import not_overtaken, slice_of
from swath.errors import SwathError
from swath.kernels.plane import plane
from swath.kernels.vectors import usable
from swath.store.journal.lease import Writer
from swath.store.scenes import KEY

if TYPE_CHECKING:
    from swath.workspace import Workspace


def show_map(workspace: Workspace, writer: Writer) -> None:
    """Registers where the embeddings of pool, val and golden lie in the plane of most variance, when they have changed."""
    steps = workspace.journal.loop().steps
    if steps.embed is None or not workspace.is_split():
        return
    dataset, mark = workspace.scenes.dataset, f"{steps.embed.fingerprint} {workspace.config.primary}"
    if _is_mapped(dataset, mark):
        return
    points = _points(workspace)
    if len(points) < 3:
        return
    not_overtaken(workspace, writer, "the map of embeddings")
    import fiftyone.brain as fob

    seen = dataset.select_group_slices([workspace.config.primary]) if workspace.scenes.grouped else dataset
    fob.compute_visualization(
        seen, points=points, method="manual", brain_key=MAP, progress=False, **{MARK: mark}
    )


def _is_mapped(dataset: Any, mark: str) -> bool:
    """Whether the run is there, whole, and of these embeddings. One that was interrupted has no results."""
    if MAP not in dataset.list_brain_runs():
        return False
    try:
        same = getattr(dataset.get_brain_info(MAP).config, MARK, None) == mark
        return same and dataset._doc.brain_methods[MAP].results.grid_id is not None
    except (AttributeError, KeyError, ValueError):
        return False


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
    docs = workspace.scenes.dataset._sample_collection.find(query, {KEY: 1})
    ids = {doc[KEY]: str(doc["_id"]) for doc in docs}
    there = [key for key, fine in zip(keys, good, strict=True) if fine]
    return {ids[key]: xy[row] for row, key in enumerate(there) if key in ids}
