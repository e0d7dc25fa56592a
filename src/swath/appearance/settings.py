"""The App's settings of a dataset, written where nobody else has set them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swath import database
from swath.appearance.colours import color_scheme
from swath.appearance.names import EVALUATION, MARK, SCENE
from swath.appearance.samples import overtaken
from swath.appearance.sidebar import Kind, active_fields, descriptions, sidebar_groups
from swath.config import digest
from swath.records.base import Document
from swath.store.journal.lease import Writer

if TYPE_CHECKING:
    from swath.workspace import Workspace


def configure(workspace: Workspace, writer: Writer) -> None:
    """Writes the App's settings, where they are not what they should be, in one update. Reads the dataset's document alone."""
    dataset, datasets = workspace.scenes.dataset, database.connected().datasets
    doc = datasets.find_one({"_id": dataset._doc.id}, {"app_config": 1, "sample_fields": 1}) or {}
    config, rig, fields = workspace.config, workspace.rig, _fields(dataset)
    change = needed_changes(
        doc.get("app_config") or {},
        {
            "color_scheme": color_scheme(config, rig),
            "active_fields": {"paths": active_fields(config, rig, fields)},
            "sidebar_groups": sidebar_groups(config, rig, fields, workspace.journal.batches.all()),
            "media": _media(SCENE in fields),
        },
    )
    if "app_config.color_scheme" in change:
        from bson import ObjectId

        made = hashlib.sha256(f"{dataset._doc.id} colours".encode()).digest()[:12]
        change["app_config.color_scheme"] = {"_id": ObjectId(made), **change["app_config.color_scheme"]}
    said = descriptions(config.fields)
    untold = {
        str(one["name"])
        for one in doc.get("sample_fields") or []
        if one["name"] in said and not one.get("description")
    }
    filters = []
    for place, name in enumerate(sorted(untold)):
        change[f"sample_fields.$[f{place}].description"] = said[name]
        filters.append({f"f{place}.name": name})
    if not change:
        return
    query = {"_id": dataset._doc.id, **writer.fenced}
    if datasets.update_one(query, {"$set": change}, array_filters=filters or None).matched_count != 1:
        raise overtaken(workspace, writer, "the App's settings")
    dataset.reload()


def _media(clouds: bool) -> Document:
    """Which field the App draws from: pictures have no scene file, and are drawn as they are."""
    fields = ["filepath", *([SCENE] if clouds else [])]
    return {"media_fields": fields, "modal_media_field": fields[-1], "media_fallback": clouds}


def needed_changes(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> Document:
    """What must be set of the App's settings. A part that somebody else has set stays as it is."""
    before = dict((there.get("plugins") or {}).get(MARK) or {})
    marks, change = dict(before), {}
    for part, value in wanted.items():
        now = {name: there.get(name) for name in value} if part == "media" else there.get(part)
        mark = _mark(part, value)
        if not _is_free(part, now) and _mark(part, now) not in (mark, before.get(part)):
            continue
        marks[part] = mark
        if _plain(now) != _plain(value):
            for name, one in value.items() if part == "media" else ((part, value),):
                change[f"app_config.{name}"] = one
    if marks != before:
        change[f"app_config.plugins.{MARK}"] = marks
    return change


def _plain(value: Any) -> Any:
    """A setting without what FiftyOne adds to it."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items() if name != "_id" and one is not None}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _mark(part: str, value: Any) -> str:
    """What a part says, in short. Fields of evaluations come and go without anybody's will, and do not count."""
    if part == "sidebar_groups":
        groups = [
            {**one, "paths": [path for path in one["paths"] if not re.match(EVALUATION, path)]}
            for one in value or ()
        ]
        value = [one for one in groups if one["paths"] and not re.match(EVALUATION, one["name"])]
    return digest(_plain(value))[:16]


def _is_free(part: str, now: Any) -> bool:
    """Whether nobody has set a part: FiftyOne fills the sidebar itself when an evaluation wants a group there."""
    if part == "media":
        return bool(_plain(now) == _media(False))
    if part == "sidebar_groups" and now:
        default = {"tags", "metadata", "labels", "group", "primitives", "other"}
        return all(
            one.get("expanded") is None and (one["name"] in default or re.match(EVALUATION, one["name"]))
            for one in now
        )
    return not now


def _fields(dataset: Any) -> dict[str, Kind]:
    """Path -> kind, of all fields of the samples; parts of a document (`metadata.width`) on their own."""
    import fiftyone as fo

    plain = (
        *(fo.ObjectIdField, fo.IntField, fo.FloatField, fo.StringField, fo.BooleanField),
        *(fo.DateField, fo.DateTimeField),
    )
    out: dict[str, Kind] = {}
    for name, field in dataset.get_field_schema().items():
        if name == "tags":
            continue
        if not isinstance(field, fo.EmbeddedDocumentField):
            out[name] = "primitive" if isinstance(field, plain) else "other"
        elif issubclass(field.document_type, fo.Label):
            out[name] = "label"
        else:
            out |= {f"{name}.{part}": "primitive" for part in field.get_field_schema()}
    return out
