"""Several labellings of one scene: all are kept, in the channel's field of opinions; the labels that count are made of them.

Of the reference a strict majority counts; of a pool scene that was labelled twice, what `annotate.quorum` of the two saw. While some are
missing, those that came count. Opinions are never merged for good: another quorum makes other labels of the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.consensus import consensus
from swath.labels.shapes import Boxes, Cuboids, Labels
from swath.policies import opinions as policy
from swath.records.agreement import Agreement
from swath.records.assignment import Assignment
from swath.records.base import Document
from swath.records.batch import Batch
from swath.workspace import Workspace

Place = tuple[str, str]
"""A scene's key, and a channel's name."""


def several(rows: Sequence[Assignment]) -> dict[Place, list[Assignment]]:
    """Places of which more than one labelling was asked for -> their assignments, by slot. Golden scenes are labelled once."""
    out: dict[Place, list[Assignment]] = {}
    for row in rows:
        if row.role != "golden":
            out.setdefault((row.key, row.channel), []).append(row)
    return {place: sorted(them, key=lambda row: row.slot) for place, them in out.items() if len(them) > 1}


@dataclass(frozen=True)
class Opinion:
    """One labelling: its documents as they are stored, and its labels."""

    documents: Sequence[Mapping[str, Any]]
    labels: Labels


def there(
    workspace: Workspace, name: str, channel: Channel, rows: Sequence[Assignment]
) -> dict[str, dict[int, Opinion]]:
    """Scene -> slot -> the opinions of batch `name` that have come, of one channel."""
    labelled = [row for row in rows if row.labelled]
    keys = sorted({row.key for row in labelled})
    table = workspace.scenes.of(keys)
    values = workspace.scenes.values(channel.name, keys, [channel.opinions])
    fields = {
        key: stored.detections(doc.get(channel.opinions)) for key, doc in zip(keys, values, strict=True)
    }
    out: dict[str, dict[int, Opinion]] = {}
    for row in labelled:
        documents = [
            one for one in fields[row.key] if (one.get("round"), one.get("slot")) == (name, row.slot)
        ]
        if row.key in table.row_of and len(documents) == (row.count or 0):
            size = table.size(channel.name, row.key)
            labels = stored.read(channel.modality, stored.field_of(documents), size)
            out.setdefault(row.key, {})[row.slot] = Opinion(documents, labels)
    return out


def agreement_of(workspace: Workspace, name: str) -> dict[str, Agreement]:
    """Modality -> how far the labellings of batch `name` agree, where scenes of it were labelled more than once."""
    asked = several(workspace.journal.assignments.find(round=name))
    scenes: dict[str, list[policy.Opinions]] = {}
    for channel in workspace.rig.labelled:
        rows = [row for (_, of), them in sorted(asked.items()) if of == channel.name for row in them]
        for key, by_slot in there(workspace, name, channel, rows).items():
            if len(by_slot) > 1:
                drawn = tuple(by_slot[slot].labels for slot in sorted(by_slot))
                scenes.setdefault(channel.modality, []).append(policy.Opinions(key, drawn))
    return {
        modality: policy.agreement(found, workspace.config.classes)
        for modality, found in sorted(scenes.items())
    }


def merged(by_slot: Mapping[int, Opinion], role: str, quorum: int) -> Labels:
    """The labels that count, of one opinion at least."""
    drawn = [by_slot[slot].labels for slot in sorted(by_slot)]
    if len(drawn) == 1:
        return drawn[0]
    needed = None if role == "reference" else quorum
    flat = [one for one in drawn if isinstance(one, Boxes)]
    if flat:
        return consensus(flat, needed).labels
    return consensus([one for one in drawn if isinstance(one, Cuboids)], needed).labels


def identity(workspace: Workspace, batch: Batch, channel: Channel, key: str, role: object) -> list[object]:
    """What the ids of labels are a function of. A second channel of a modality has its name in it."""
    first = next(one for one in workspace.rig.labelled if one.modality == channel.modality)
    return [key, batch.round, role, channel.modality, *(() if channel == first else (channel.name,))]


def kept(field: str, name: str, documents: Document) -> Document:
    """A pipeline expression: the field with the labels of batch `name` replaced by those of the expression `documents`, those of
    other batches kept."""
    others = {
        "$filter": {
            "input": {"$ifNull": [f"${field}.detections", []]},
            "as": "one",
            "cond": {"$ne": ["$$one.round", name]},
        }
    }
    return {"_cls": "Detections", "detections": {"$concatArrays": [others, documents]}}
