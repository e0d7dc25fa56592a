"""A FiftyOne dataset as it is stored, read without importing FiftyOne: that import takes four seconds, looking takes none.

`find` reads FiftyOne's own collection of datasets. What it gives has what `Scenes` reads of a dataset; FiftyOne's dataset
itself is loaded when it is asked for (`Stored.fiftyone`), and before anything is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from swath import database
from swath.errors import StateError, UnknownNameError, some
from swath.records.base import Document
from swath.settings import shortly
from swath.suggest import meant

WANTED: Final = dict.fromkeys(
    ("name", "version", "sample_collection_name", "media_type", "group_field", "group_media_types"), 1
)


def find(name: str) -> Stored:
    """The stored dataset of that name; `UnknownNameError` lists the ones that exist. One that another version of FiftyOne
    wrote is opened by FiftyOne, which brings it to its own."""
    db = database.connected()
    document = db.datasets.find_one({"name": name}, WANTED)
    if document is None:
        known = names(db)
        raise UnknownNameError(
            f"no dataset {shortly(name)}{meant(name, known)}; there are: {some(known, 10)}"
        )
    if document.get("version") != database.fiftyone_version():
        return Stored.of(_loaded(name))
    return Stored(db, document)


def _loaded(name: str) -> Any:
    database.ensure()
    import fiftyone as fo

    if not fo.dataset_exists(name):
        raise _gone(name)
    return fo.load_dataset(name)


def names(db: Database[Document]) -> list[str]:
    """Names of the datasets that FiftyOne lists."""
    docs = db.datasets.find({"sample_collection_name": {"$regex": r"^samples\."}}, {"name": 1})
    return sorted(str(doc["name"]) for doc in docs if doc.get("name"))


def names_of(db: Database[Document], ids: Iterable[ObjectId]) -> list[str]:
    """Names of those of these datasets that there are, sorted."""
    return sorted(str(doc["name"]) for doc in db.datasets.find({"_id": {"$in": [*ids]}}, {"name": 1}))


class Stored:
    """One dataset, from its document. `refresh` reads the document anew."""

    def __init__(self, db: Database[Document], document: Document, loaded: Any = None) -> None:
        self.database, self._document = db, document
        self.id: ObjectId = document["_id"]
        if loaded is not None:
            self.fiftyone = loaded

    @classmethod
    def of(cls, loaded: Any) -> Stored:
        """What is stored of a dataset that FiftyOne has loaded."""
        db = database.connected()
        return cls(db, _document(db, loaded._doc.id, loaded.name), loaded)

    @cached_property
    def fiftyone(self) -> Any:
        """FiftyOne's dataset. Loads FiftyOne, and with it whatever it takes to keep the database running. What this process has had in
        memory is read anew: others may have written since."""
        was_there = _is_in_memory(self.name)
        loaded = _loaded(self.name)
        if loaded._doc.id != self.id:
            raise StateError(f"{self.name}: the dataset was replaced meanwhile; run the same command again")
        if was_there:
            _read_anew(loaded)
        return loaded

    def load(self) -> None:
        """Loads FiftyOne's dataset, if it is not loaded yet."""
        _ = self.fiftyone

    @property
    def is_loaded(self) -> bool:
        return "fiftyone" in self.__dict__

    def refresh(self) -> None:
        """Forgets what was read; FiftyOne's dataset in memory, if it is there, sees what was written."""
        self._document = _document(self.database, self.id, self.name)
        if self.is_loaded:
            _read_anew(self.fiftyone)

    # ------------------------------------------------------------------ what FiftyOne calls it

    @property
    def name(self) -> str:
        return str(self._document["name"])

    @property
    def samples(self) -> Collection[Document]:
        """The stored samples, one document per scene and slice."""
        return self.database[self._document["sample_collection_name"]]

    @property
    def grouped(self) -> bool:
        return bool(self._document.get("media_type") == "group")

    @property
    def group_field(self) -> str:
        """Empty in an ungrouped dataset."""
        return str(self._document.get("group_field") or "")

    @property
    def media_types(self) -> dict[str, str]:
        """Slice -> FiftyOne's media type, of a grouped dataset, in the order of their names."""
        return dict(sorted((self._document.get("group_media_types") or {}).items()))


def _is_in_memory(name: str) -> bool:
    """Whether FiftyOne holds the dataset already: it gives back the one that it holds, as it was."""
    fo = sys.modules.get("fiftyone")
    return fo is not None and fo.Dataset._instances.get(name) is not None


def _read_anew(loaded: Any) -> None:
    import fiftyone as fo

    loaded.reload()
    fo.Sample._reload_docs(loaded._sample_collection_name)


def _document(db: Database[Document], dataset: ObjectId, name: str) -> Document:
    found = db.datasets.find_one({"_id": dataset}, WANTED)
    if found is None:
        raise _gone(name)
    return found


def _gone(name: str) -> StateError:
    return StateError(f"the dataset {name} is gone: it was removed or renamed meanwhile")
