"""Fields of FiftyOne's schema: what a bulk write puts into a sample must be there before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def declare(loaded: Any, fields: Mapping[str, Mapping[str, Any]]) -> None:
    """Adds those of these fields (path -> what `add_sample_field` takes) that FiftyOne's dataset lacks, all in one go: one by one
    it reads the dataset's whole document anew for each."""
    from fiftyone.core.odm import create_field

    lacking = {
        path: create_field(path.rsplit(".", 1)[-1], **how)
        for path, how in fields.items()
        if loaded.get_field(path) is None
    }
    if lacking:
        loaded._merge_sample_field_schema(lacking)


def labels_field() -> dict[str, Any]:
    """What `declare` is told of a field of boxes or cuboids."""
    import fiftyone as fo

    return {"ftype": fo.EmbeddedDocumentField, "embedded_doc_type": fo.Detections}
