"""Fields of FiftyOne's schema: what a bulk write puts into a sample must be there before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def declare(loaded: Any, fields: Mapping[str, Mapping[str, Any]]) -> None:
    """Adds those of these fields (path -> what `add_sample_field` takes) that FiftyOne's dataset lacks.

    `add_sample_field` reads the dataset's whole document anew for each field, and writes the list of all fields as it was read: what
    another process declared meanwhile would be gone. Here each is added to the list, unless it is there by then.
    """
    import pymongo
    from fiftyone.core.odm import create_field
    from fiftyone.core.odm.dataset import SampleFieldDocument

    now, changes = datetime.utcnow(), []
    for path, how in fields.items():
        if loaded.get_field(path) is None:
            field = create_field(path.rsplit(".", 1)[-1], **how)
            field._set_created_at(now)
            query, place, inside = _unless_there(path)
            push = {"$push": {place: SampleFieldDocument.from_field(field).to_mongo()}}
            changes.append(pymongo.UpdateOne({"_id": loaded._doc.id} | query, push, array_filters=inside))
    if changes:
        loaded._doc._get_collection().bulk_write(changes)
        loaded.reload()


def _unless_there(path: str) -> tuple[dict[str, Any], str, list[Mapping[str, Any]] | None]:
    """Where the field of a path belongs in a dataset's document, and the query and filters that find that place without it."""
    *parents, name = path.split(".")
    if not parents:
        return {"sample_fields.name": {"$ne": name}}, "sample_fields", None
    last = {f"at{len(parents) - 1}.fields.name": {"$ne": name}}
    inside: list[Mapping[str, Any]] = [{f"at{n}.name": one} for n, one in enumerate(parents)]
    inside[-1] = {**inside[-1], **last}
    return {}, ".".join(["sample_fields", *(f"$[at{n}].fields" for n in range(len(parents)))]), inside


def fits(field: Any, how: Mapping[str, Any]) -> bool:
    """Whether a field that is there is of the type that `declare` would give it."""
    from fiftyone.core.odm import create_field

    def kind(one: Any) -> tuple[Any, ...]:
        return type(one), getattr(one, "document_type", None), type(getattr(one, "field", None))

    return kind(field) == kind(create_field("any", **how))


def labels_field() -> dict[str, Any]:
    """What `declare` is told of a field of boxes or cuboids."""
    import fiftyone as fo

    return {"ftype": fo.EmbeddedDocumentField, "embedded_doc_type": fo.Detections}
