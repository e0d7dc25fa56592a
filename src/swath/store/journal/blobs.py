"""Values that outgrow a document, in pieces that MongoDB holds: membership, manifests, failures, measurements.

Known by the hash of their bytes: storing one again writes the same pieces, and a late or repeated write changes nothing,
so that pieces need no fence. What refers to them is written after they are on disk.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import OrderedDict
from typing import Any, Final

import pymongo
from bson import ObjectId
from pymongo.collection import Collection

from swath.config import canonical
from swath.errors import IntegrityError
from swath.records.base import Blob, Document

PIECE: Final = 4 * 2**20  # bytes: half of what any document of swath's may have
KEPT: Final = 8  # values that are remembered


def pack(value: Any) -> bytes:
    """Canonical JSON, compressed; equal values give equal bytes."""
    return gzip.compress(canonical(value), compresslevel=6, mtime=0)


def unpack(data: bytes) -> Any:
    return json.loads(gzip.decompress(data))


class Blobs:
    """The values of one dataset that are kept apart."""

    def __init__(self, collection: Collection[Document], dataset_id: ObjectId) -> None:
        self._pieces, self._dataset = collection, dataset_id
        self._known: OrderedDict[str, Any] = OrderedDict()

    def create(self) -> None:
        self._pieces.create_index([("dataset", 1), ("sha256", 1), ("n", 1)], unique=True)

    def put(self, value: Any) -> Blob:
        """Stores plain data; returns when it is on disk."""
        data = pack(value)
        blob = Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data), pieces=-(-len(data) // PIECE))
        of = {"dataset": self._dataset, "sha256": blob.sha256}
        if self._pieces.count_documents(of) != blob.pieces:
            self._pieces.bulk_write(
                [
                    pymongo.UpdateOne(
                        {**of, "n": n},
                        {"$setOnInsert": {"data": data[n * PIECE : (n + 1) * PIECE]}},
                        upsert=True,
                    )
                    for n in range(blob.pieces)
                ]
            )
        return blob

    def get(self, blob: Blob, what: str) -> Any:
        """The value again, not to be changed; `IntegrityError` when its pieces are not the ones that were stored."""
        if blob.sha256 in self._known:
            self._known.move_to_end(blob.sha256)
            return self._known[blob.sha256]
        found = self._pieces.find({"dataset": self._dataset, "sha256": blob.sha256}).sort("n", 1)
        data = b"".join(piece["data"] for piece in found)
        if len(data) != blob.size or hashlib.sha256(data).hexdigest() != blob.sha256:
            raise IntegrityError(f"{what} is not the one that was committed (its hash differs)")
        self.remember(blob, unpack(data))
        return self._known[blob.sha256]

    def remember(self, blob: Blob, value: Any) -> None:
        self._known[blob.sha256] = value
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def forget(self) -> None:
        self._pieces.delete_many({"dataset": self._dataset})
