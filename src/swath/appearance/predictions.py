"""Predictions at or above the operating threshold, in a field of their own.

A model's predictions have a long tail of low scores, which mAP needs and nobody wants to look at: most of them are below
the threshold. So `predictions` holds them all, hidden, and `predictions_sure` those that an evaluation calls right or wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from swath import life
from swath.appearance.samples import chosen, declare, not_overtaken, slice_of
from swath.labels.channels import sure
from swath.records.base import Document
from swath.records.batch import Batch
from swath.store.journal.lease import FENCE, Writer

if TYPE_CHECKING:
    from swath.workspace import Workspace


def thresholds(batches: Iterable[Batch], modality: str) -> dict[str, float]:
    """Round -> operating threshold of its model of a modality."""
    done = [(batch.round, batch.steps.evaluate) for batch in life.evaluated(batches)]
    figures = [(name, one.figures[modality]) for name, one in done if one and modality in one.figures]
    return {name: one.operating.threshold for name, one in figures}


def shown(field: str, at: Mapping[str, float]) -> Document:
    """An expression for MongoDB: the predictions of `field` at or above the threshold of the round that they say they are of.
    Those of no known round are all kept; null where there is no field."""
    cases = [{"case": {"$eq": ["$$one.round", name]}, "then": value} for name, value in sorted(at.items())]
    least = {"$switch": {"branches": cases, "default": None}} if cases else None
    enough = {"$or": [{"$eq": [least, None]}, {"$gte": ["$$one.confidence", least]}]}
    kept = {"$filter": {"input": f"${field}.detections", "as": "one", "cond": enough}}
    there = {"$isArray": [f"${field}.detections"]}
    return {"$cond": [there, {"_cls": "Detections", "detections": kept}, None]}


def show_predictions(workspace: Workspace, writer: Writer, keys: Sequence[str] | None = None) -> None:
    """Writes those predictions that are at or above the operating threshold into a field of their own, where it differs; in the
    scenes `keys` (in all, when None)."""
    batches, collection = workspace.journal.batches.all(), workspace.scenes.samples
    for channel in workspace.rig.labelled:
        field, at = channel.predictions, thresholds(batches, channel.modality)
        if not at:
            continue
        declare(workspace, sure(field), labels=True)
        wanted = shown(field, at)
        there = {"$ifNull": [f"${sure(field)}", None]}
        for some in chosen(keys):
            collection.update_many(
                {
                    **{**slice_of(workspace, channel.name), **some},
                    "$or": [{field: {"$ne": None}}, {sure(field): {"$ne": None}}],
                    "$expr": {"$ne": [there, wanted]},
                    FENCE: {"$lte": writer.token},
                },
                [{"$set": {sure(field): wanted, FENCE: writer.token, "last_modified_at": "$$NOW"}}],
            )
    not_overtaken(workspace, writer, "predictions")
