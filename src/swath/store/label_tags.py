"""Tags of single labels, written by the server in one step with what is there: people's own tags stay, and so do labels that
came meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swath.records.base import Document


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
