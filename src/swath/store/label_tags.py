"""Tags of single labels, written by the server in one step with what is there: people's own tags stay, and so do labels that
came meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swath.records.base import Document

CHECK = "check:"
"""How the tags begin that a check puts on labels: they go with the labels that it saw."""
SAME = ("label", "bounding_box", "location", "dimensions", "rotation")
"""What two labels of one id have in common where one is the other, unchanged."""


def with_tags(field: str, documents: Sequence[Mapping[str, Any]], *, drawn: bool) -> Document:
    """A pipeline expression: `documents` as a list, with the tags that people gave to the labels of these ids that stand in `field`
    now. Ids that annotators gave (`drawn`) are of one object whatever becomes of it; of others the label must be unchanged."""
    same: list[Document] = [{"$eq": ["$$was._id", "$$new._id"]}]
    same += [] if drawn else [{"$eq": [f"$$was.{one}", f"$$new.{one}"]} for one in SAME]
    was = {
        "$filter": {"input": {"$ifNull": [f"${field}.detections", []]}, "as": "was", "cond": {"$and": same}}
    }
    is_ours = {"$eq": [{"$substrCP": ["$$tag", 0, len(CHECK)]}, CHECK]}
    earlier = {
        "$reduce": {
            "input": was,
            "initialValue": [],
            "in": {"$concatArrays": ["$$value", {"$ifNull": ["$$this.tags", []]}]},
        }
    }
    theirs = {
        "$filter": {
            "input": earlier,
            "as": "tag",
            "cond": {"$and": [{"$not": [is_ours]}, {"$not": [{"$in": ["$$tag", "$$new.tags"]}]}]},
        }
    }
    return {
        "$map": {
            "input": {"$literal": list(documents)},
            "as": "new",
            "in": {"$mergeObjects": ["$$new", {"tags": {"$concatArrays": ["$$new.tags", theirs]}}]},
        }
    }


def retagged(field: str, tags: Mapping[Any, Sequence[str]], prefix: str) -> Document:
    """A pipeline expression: the `Detections` in `field` with the tags that begin with `prefix` replaced by `tags` (label's id -> its
    new ones), on all of its labels. A field that is not there stays away."""
    new = [{"id": one, "tags": list(of)} for one, of in tags.items() if of]
    is_ours = {"$eq": [{"$substrCP": ["$$tag", 0, len(prefix)]}, prefix]}
    others = {"$filter": {"input": {"$ifNull": ["$$one.tags", []]}, "as": "tag", "cond": {"$not": [is_ours]}}}
    mine = {
        "$reduce": {
            "input": {
                "$filter": {
                    "input": {"$literal": new},
                    "as": "new",
                    "cond": {"$eq": ["$$new.id", "$$one._id"]},
                }
            },
            "initialValue": [],
            "in": {"$concatArrays": ["$$value", "$$this.tags"]},
        }
    }
    labels = {
        "$map": {
            "input": {"$ifNull": [f"${field}.detections", []]},
            "as": "one",
            "in": {"$mergeObjects": ["$$one", {"tags": {"$concatArrays": [others, mine]}}]},
        }
    }
    there = {"$eq": [{"$type": f"${field}"}, "object"]}
    return {"$cond": [there, {"$mergeObjects": [f"${field}", {"detections": labels}]}, f"${field}"]}
