"""FiftyOne's runs of a dataset (evaluations, maps of embeddings), written whole and fenced.

FiftyOne lists a run before it has results, and writes over one that is there; killed in between it leaves half of one. Here a
run is written anew, under ids that nothing had before: its results are stored first, then the run, and the dataset lists it last.
What is in between, nobody sees, and the next writer clears it (`views.Views.raise_fence`). Both carry the token of their writer,
so that one who was overtaken clears nothing of its successor's; and an id that was taken off the list is never on it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Literal

from bson import ObjectId

from swath import database
from swath.errors import FencedError
from swath.records.base import Document
from swath.store.journal.lease import FENCE, Writer
from swath.store.views import OF


class Runs:
    """The runs of one kind, as FiftyOne calls it. Reads and writes; keeps nothing."""

    def __init__(self, dataset: Any, kind: Literal["evaluations", "brain_methods"]) -> None:
        self._dataset, self._kind, self._database = dataset, kind, database.connected()

    @property
    def _id(self) -> Any:
        return self._dataset._doc.id

    def get(self, key: str) -> Document | None:
        """The run that the dataset lists under a key; None also while its results are not whole."""
        run = self._listed(key)
        if run is None or run.get("results") is None:
            return None
        whole = self._database.fs.files.find_one({"_id": run["results"]}, {"_id": 1})
        return None if whole is None else run

    def put(self, key: str, results: Any, view: Any, writer: Writer) -> None:
        """Lists a run with these results of FiftyOne's, of the samples of `view`, in the place of the one before."""
        import fiftyone.constants as foc
        from bson import json_util
        from gridfs import GridFS

        config = results.config.serialize()
        data = json_util.dumps(results.serialize()).encode()
        stages = [json_util.dumps(stage) for stage in view._serialize(include_uuids=False)]
        before, run_id, file_id = self._listed(key), ObjectId(), ObjectId()
        own = {OF: self._id, FENCE: writer.token}
        GridFS(self._database).put(data, _id=file_id, contentType="application/json", **own)
        run = {
            "_id": run_id,
            "_dataset_id": self._id,
            "key": key,
            "version": foc.VERSION,
            "timestamp": datetime.now(timezone.utc),
            "config": config,
            "view_stages": stages,
            "results": file_id,
            "results_meta": {},
            FENCE: writer.token,
        }
        self._database.runs.insert_one(run)
        self._change({"$set": {f"{self._kind}.{key}": run_id}}, writer)
        if before is not None:
            self._drop(before)

    def forget(self, keys: Sequence[str], writer: Writer) -> None:
        """Takes runs off the list, whosever they are."""
        there = [run for key in keys if (run := self._listed(key)) is not None]
        self._change({"$unset": {f"{self._kind}.{key}": "" for key in keys}}, writer)
        for run in there:
            self._drop(run)

    def _listed(self, key: str) -> Document | None:
        doc = self._database.datasets.find_one({"_id": self._id}, {f"{self._kind}.{key}": 1}) or {}
        listed = (doc.get(self._kind) or {}).get(key)
        if listed is None:
            return None
        found: Document | None = self._database.runs.find_one({"_id": getattr(listed, "id", listed)})
        return found

    def _change(self, change: Document, writer: Writer) -> None:
        """Changes the dataset's own document, unless another writer has taken over."""
        if self._database.datasets.update_one({"_id": self._id, **writer.fenced}, change).matched_count != 1:
            raise FencedError(
                f"{self._dataset.name}: {writer.operation} lost the dataset to another process before it wrote "
                f"{self._kind}; the rest was not written; run it again"
            )

    def _drop(self, run: Document) -> None:
        """Deletes a run that nothing lists any more."""
        from gridfs import GridFS

        self._database.runs.delete_one({"_id": run["_id"]})
        if run.get("results") is not None:
            GridFS(self._database).delete(run["results"])
