"""Saved views and `dataset.info`, written whole and fenced: mirrors of the journal for people, never the record.

FiftyOne saves a view in two writes (a document of its own, and its id in the dataset's list); killed in between it leaves a
view that nothing lists, or an id without a view, and then the dataset's views can't be read any more. Here a view's id is a
function of dataset and name, its document is there before it is listed, and is unlisted before it goes: whatever is left in
between is invisible, and the next writer clears it. Like samples, both documents are filtered by `swath_fence <= token`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from bson import ObjectId

from swath.errors import FencedError
from swath.store.dataset import Stored
from swath.store.journal.lease import FENCE, Writer

OWNED: Final = r"^(test_set|val_set|golden_qa|pool|batch_v\d+|eval_v\d+_failures)$"
OWNED_RUNS: Final = r"^(eval_v\d+(_3d)?|swath_map)$"
OF: Final = "swath_dataset"  # of a file in GridFS: the dataset whose run has these results
WRITTEN: Final = "swath_style"  # of a view: colour and description as swath wrote them


class ViewStyle(NamedTuple):
    """`colour`: one of those that the App offers for views."""

    colour: str
    description: str


class Views:
    """The saved views and the info of one FiftyOne dataset. Reads and writes; keeps nothing."""

    def __init__(self, dataset: Stored) -> None:
        self._dataset, self._id, db = dataset, dataset.id, dataset.database
        self._views, self._datasets, self._runs = db.views, db.datasets, db.runs
        self._files = db.fs.files

    def _listed(self) -> dict[Any, dict[str, Any]]:
        """id -> document of the views that the dataset lists; those that are gone are left out."""
        doc = self._datasets.find_one({"_id": self._id}, {"saved_views": 1}) or {}
        ids = [getattr(one, "id", one) for one in doc.get("saved_views") or []]
        return {one["_id"]: one for one in self._views.find({"_id": {"$in": ids}})}

    def owned(self) -> list[str]:
        """Names of the views that are there and carry a name of swath's, sorted."""
        return sorted({one["name"] for one in self._listed().values() if re.match(OWNED, one["name"])})

    def ids(self, name: str) -> list[str] | None:
        """Group or sample ids that the view selects, sorted; None when there is none, or it selects otherwise."""
        stage, kwargs = self._stage(name)
        if stage.endswith(".SelectBy"):
            return sorted(str(getattr(one, "id", one)) for one in kwargs["values"])
        return sorted(kwargs["sample_ids"]) if stage.endswith(".Select") else None

    def tag(self, name: str) -> str | None:
        """The tag that the view goes by; None when there is none, or it selects otherwise."""
        stage, kwargs = self._stage(name)
        tags = kwargs.get("tags") if stage.endswith(".MatchTags") else None
        return str(tags[0] if isinstance(tags, list) else tags) if tags else None

    def _stage(self, name: str) -> tuple[str, dict[str, Any]]:
        """The one stage of a view, and its arguments; "" when there is no such view, or it has several."""
        found = [one for one in self._listed().values() if one["name"] == name]
        if len(found) != 1 or len(found[0]["view_stages"]) != 1:
            return "", {}
        stage = json.loads(found[0]["view_stages"][0])
        return stage["_cls"], dict(stage["kwargs"])

    def style(self, name: str, wanted: ViewStyle) -> tuple[ViewStyle, bool]:
        """(the style that a view must have, whether it has it): `wanted`, or what somebody made of swath's."""
        for one in self._listed().values():
            if one["name"] == name and WRITTEN in one:
                found, written = ViewStyle(one.get("color") or "", one.get("description") or ""), one[WRITTEN]
                if found != wanted and [*found] != written:
                    return found, True
                return wanted, [*found] == written == [*wanted]
        return wanted, False

    def save(self, name: str, view: Any, wanted: ViewStyle, writer: Writer) -> None:
        """Saves `view` under `name`; one of that name by other hands is replaced, a style that they gave it stays."""
        import fiftyone.core.utils as fou
        from bson import json_util
        from pymongo.errors import DuplicateKeyError

        mine = ObjectId(hashlib.sha256(f"{self._id} {name}".encode()).digest()[:12])
        self._remove(
            [key for key, one in self._listed().items() if one["name"] == name and key != mine], writer
        )
        now, style = datetime.now(timezone.utc), self.style(name, wanted)[0]
        content = {
            "_dataset_id": self._id,
            "name": name,
            "slug": fou.to_slug(name),
            "color": style.colour or None,
            "description": style.description,
            WRITTEN: [*wanted],
            "view_stages": [json_util.dumps(stage) for stage in view._serialize(include_uuids=False)],
            "last_modified_at": now,
            FENCE: writer.token,
        }
        try:
            self._views.update_one(
                {"_id": mine, FENCE: {"$lte": writer.token}},
                {"$set": content, "$setOnInsert": {"created_at": now, "last_loaded_at": None}},
                upsert=True,
            )
        except DuplicateKeyError:  # it is there, under a higher fence
            raise self._fenced(writer, f"the view {name!r}") from None
        self._write({"$addToSet": {"saved_views": mine}}, writer, f"the view {name!r}")

    def delete(self, name: str, writer: Writer) -> None:
        self._remove([key for key, one in self._listed().items() if one["name"] == name], writer)

    def _remove(self, ids: Sequence[Any], writer: Writer) -> None:
        if ids:
            self._write({"$pull": {"saved_views": {"$in": list(ids)}}}, writer, "views")
            self._views.delete_many({"_id": {"$in": list(ids)}, **writer.fenced})

    def set_info(self, entries: Mapping[str, Any], writer: Writer) -> None:
        """Sets keys of `dataset.info`; its other keys stay."""
        self._write(
            {"$set": {f"info.{key}": value for key, value in entries.items()}}, writer, "dataset.info"
        )

    def raise_fence(self, writer: Writer) -> None:
        """Shuts out every earlier writer, and clears what one that was killed left half done, FiftyOne's own included:
        ids of views and runs that are gone, and documents of swath's that nothing lists."""
        self._datasets.update_one({"_id": self._id}, {"$max": {FENCE: writer.token}})
        self._views.update_many(
            {"_dataset_id": self._id, FENCE: {"$lt": writer.token}}, {"$set": {FENCE: writer.token}}
        )
        kinds = ("evaluations", "brain_methods")
        doc = self._datasets.find_one({"_id": self._id}, {"saved_views": 1, **dict.fromkeys(kinds, 1)}) or {}
        listed = [getattr(one, "id", one) for one in doc.get("saved_views") or []]
        there = {one["_id"]: one["name"] for one in self._views.find({"_dataset_id": self._id}, {"name": 1})}
        gone = [one for one in doc.get("saved_views") or [] if getattr(one, "id", one) not in there]
        if gone:
            self._write({"$pull": {"saved_views": {"$in": gone}}}, writer, "views")
        lost = [key for key, name in there.items() if key not in listed and re.match(OWNED, name)]
        if lost:
            self._views.delete_many({"_id": {"$in": lost}, **writer.fenced})
        runs = {
            f"{kind}.{key}": getattr(one, "id", one)
            for kind in kinds
            for key, one in (doc.get(kind) or {}).items()
        }
        known = {
            one["_id"]: one.get("results")
            for one in self._runs.find({"_id": {"$in": list(runs.values())}}, {"results": 1})
        }
        dangling = {path: "" for path, one in runs.items() if one not in known}
        if dangling:
            self._write({"$unset": dangling}, writer, "evaluations")
        self._clear_runs(known, writer)

    def _clear_runs(self, listed: Mapping[Any, Any], writer: Writer) -> None:
        """Deletes runs of swath's that are not `listed` (id -> file with its results), and files with results of none."""
        from gridfs import GridFS

        mine = {"_dataset_id": self._id, "key": {"$regex": OWNED_RUNS}}
        self._runs.delete_many({**mine, "_id": {"$nin": list(listed)}, **writer.fenced})
        kept = {OF: self._id, "_id": {"$nin": list(listed.values())}, **writer.fenced}
        for file in self._files.find(kept, {"_id": 1}):
            GridFS(self._dataset.database).delete(file["_id"])

    def _write(self, change: Mapping[str, Any], writer: Writer, what: str) -> None:
        if self._datasets.update_one({"_id": self._id, **writer.fenced}, change).matched_count != 1:
            raise self._fenced(writer, what)

    def _fenced(self, writer: Writer, what: str) -> FencedError:
        return FencedError(
            f"{self._dataset.name}: {writer.operation} lost the dataset to another process before it wrote {what}; "
            "the rest was not written; run it again"
        )
