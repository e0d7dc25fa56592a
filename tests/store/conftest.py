"""A journal of its own for every test, in plain pymongo: no FiftyOne."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pymongo
import pytest
from bson import ObjectId

from swath.config import LoopConfig
from swath.store.journal import Journal
from swath.store.journal.lease import Writer

Holding = Callable[..., AbstractContextManager[Writer]]


@pytest.fixture(scope="session")
def database(mongod: str) -> Iterator[Any]:
    """A database of the tests' server that FiftyOne does not use."""
    with pymongo.MongoClient[dict[str, Any]](mongod) as client:
        yield client["swath-tests"]


@pytest.fixture
def journal(database: Any) -> Iterator[Journal]:
    """The journal of a dataset that no other test knows, begun."""
    one = Journal(database, ObjectId(), "made")
    one.create(LoopConfig().model_dump(mode="json"), "/home/of/made")
    yield one
    one.forget()


@pytest.fixture
def other(journal: Journal, database: Any) -> Journal:
    """The same journal, as another process sees it."""
    return Journal(database, journal.dataset_id, journal.name)


@pytest.fixture
def overtake(journal: Journal, other: Journal) -> Callable[[], Writer]:
    """Takes the dataset from the writer that holds it, as if its lease had run out; returns the new writer, who keeps it."""
    held: list[Any] = []

    def now() -> Writer:
        late = {"$set": {"writer.expires": __import__("datetime").datetime(2000, 1, 1)}}
        journal._loops.update_one({"_id": journal.dataset_id}, late)
        held.append(other.lease.writer("overtake", wait=5))
        writer: Writer = held[-1].__enter__()
        return writer

    return now
