"""A journal of its own for every test, in plain pymongo: no FiftyOne."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import Any

import pymongo
import pytest
from bson import ObjectId

from swath.config import LoopConfig
from swath.store.journal import Journal
from swath.store.journal.lease import Writer


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
def overtake(journal: Journal, other: Journal) -> Iterator[Callable[[], Writer]]:
    """Takes the dataset from the writer that holds it, as if its lease had run out; returns the new writer, who keeps it."""
    with ExitStack() as held:

        def now() -> Writer:
            late = {"writer.expires": datetime(2000, 1, 1, tzinfo=timezone.utc)}
            journal._loops.update_one({"_id": journal.dataset_id}, {"$set": late})
            return held.enter_context(other.lease.writer("overtake", wait=5))

        yield now
