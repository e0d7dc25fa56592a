"""Values that are kept apart, in pieces, known by the hash of their bytes."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swath.errors import IntegrityError
from swath.records.base import Blob
from swath.store.journal import Journal, blobs, codec
from swath.store.journal.blobs import Blobs, pack, unpack

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def pieces(database: Any) -> Iterator[Any]:
    collection = database["pieces-of-blobs"]
    Blobs(collection, ObjectId()).create()
    yield collection
    collection.drop()


def noise(size: int) -> str:
    """Text that hardly gets shorter when it is compressed."""
    return base64.b85encode(random.Random(size).randbytes(size * 4 // 5)).decode()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES, piece=st.integers(1, 200))
def test_any_value_in_any_number_of_pieces(
    pieces: Any, monkeypatch: pytest.MonkeyPatch, value: Any, piece: int
) -> None:
    """What was put is what is got, by who put it and by others; its hash, size and pieces are those of its bytes."""
    monkeypatch.setattr(blobs, "PIECE", piece)
    dataset = ObjectId()
    one = Blobs(pieces, dataset)
    blob = one.put(value)
    data = pack(value)
    assert blob == Blob(
        sha256=hashlib.sha256(data).hexdigest(), size=len(data), pieces=(len(data) + piece - 1) // piece
    )
    assert pieces.count_documents({"dataset": dataset}) == blob.pieces
    assert max(len(found["data"]) for found in pieces.find({"dataset": dataset})) <= piece
    assert one.get(blob, "it") == value
    assert Blobs(pieces, dataset).get(blob, "it") == value
    one.forget()


def test_a_value_that_outgrows_a_document(pieces: Any) -> None:
    """Ten megabytes that do not compress: several pieces, of at most four megabytes each, and the value again."""
    dataset = ObjectId()
    value = [noise(11_000_000)]
    blob = Blobs(pieces, dataset).put(value)
    assert blob.size > 2 * blobs.PIECE
    assert blob.pieces == 3
    assert Blobs(pieces, dataset).get(blob, "it") == value
    assert blob == codec.blob_of(value)
    Blobs(pieces, dataset).forget()


@given(value=VALUES)
def test_equal_values_have_equal_bytes(value: Any) -> None:
    """Whatever the order of their keys; and the bytes are the value."""
    other = unpack(pack(value))
    assert pack(other) == pack(value)
    assert other == value
    assert pack({"a": value, "b": 1}) == pack({"b": 1, "a": value})


def test_putting_again_writes_nothing(pieces: Any) -> None:
    """The pieces are those that were there; in another dataset they are others."""
    dataset, another = ObjectId(), ObjectId()
    one = Blobs(pieces, dataset)
    first = one.put({"a": 1})
    before = list(pieces.find({"dataset": dataset}))
    assert one.put({"a": 1}) == Blobs(pieces, dataset).put({"a": 1}) == first
    assert list(pieces.find({"dataset": dataset})) == before
    Blobs(pieces, another).put({"a": 1})
    one.forget()
    assert pieces.count_documents({"dataset": dataset}) == 0
    assert Blobs(pieces, another).get(first, "it") == {"a": 1}


def test_a_put_that_was_interrupted_is_finished(pieces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever pieces had arrived, putting the value again adds the others."""
    monkeypatch.setattr(blobs, "PIECE", 10)
    value = noise(100)
    for lost in ({0}, {1, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8}):
        dataset = ObjectId()
        blob = Blobs(pieces, dataset).put(value)
        pieces.delete_many({"dataset": dataset, "n": {"$in": list(lost)}})
        with pytest.raises(IntegrityError):
            Blobs(pieces, dataset).get(blob, "it")
        assert Blobs(pieces, dataset).put(value) == blob
        assert Blobs(pieces, dataset).get(blob, "it") == value


@pytest.mark.parametrize("damage", ["lost", "changed", "shorter", "swapped", "all lost"])
def test_pieces_that_are_not_those_that_were_put(
    pieces: Any, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """One lost, changed, cut short, two swapped, all gone: an error that says of what."""
    monkeypatch.setattr(blobs, "PIECE", 16)
    dataset = ObjectId()
    blob = Blobs(pieces, dataset).put(noise(200))
    second = pieces.find_one({"dataset": dataset, "n": 1})
    assert second is not None
    here = {"_id": second["_id"]}
    if damage == "lost":
        pieces.delete_one(here)
    elif damage == "changed":
        pieces.update_one(here, {"$set": {"data": bytes([second["data"][0] ^ 1]) + second["data"][1:]}})
    elif damage == "shorter":
        pieces.update_one(here, {"$set": {"data": second["data"][:-1]}})
    elif damage == "swapped":
        pieces.update_one(here, {"$set": {"n": 99}})
    else:
        pieces.delete_many({"dataset": dataset})
    with pytest.raises(IntegrityError, match=r"^v3: the manifest is not the one that was committed"):
        Blobs(pieces, dataset).get(blob, "v3: the manifest")


def test_a_few_values_are_remembered(pieces: Any) -> None:
    """Those that were looked at last: they are not read again, and memory does not grow."""
    dataset = ObjectId()
    one = Blobs(pieces, dataset)
    kept = [one.put(i) for i in range(blobs.KEPT + 1)]
    for i in range(blobs.KEPT):
        assert one.get(kept[i], "it") == i
    assert one.get(kept[0], "it") == 0  # looked at again: the second is the oldest now
    assert one.get(kept[-1], "it") == blobs.KEPT
    pieces.delete_many({"dataset": dataset})
    assert one.get(kept[0], "it") == 0
    assert one.get(kept[-1], "it") == blobs.KEPT
    with pytest.raises(IntegrityError):
        one.get(kept[1], "it")


# ---------------------------------------------------------------------- the splits, which are kept apart

MEMBERS = {"a": "test", "b": "test", "c": "val", "d": "pool", "e": ""}


def frozen(journal: Journal) -> None:
    with journal.lease.writer("split") as writer:
        journal.record(writer, {}, membership=journal.frozen(MEMBERS))


def test_the_membership_is_what_was_frozen(journal: Journal, other: Journal) -> None:
    """Members of every split, set aside ones too, to whoever asks."""
    frozen(journal)
    assert journal.members() == other.members() == MEMBERS


def test_a_membership_that_changed_is_refused(journal: Journal, other: Journal, database: Any) -> None:
    """Other bytes under its name: an integrity error, not another split."""
    frozen(journal)
    thawed = pack({**MEMBERS, "b": "pool"})
    database["swath.pieces"].update_one({"dataset": journal.dataset_id}, {"$set": {"data": thawed}})
    with pytest.raises(IntegrityError, match="the list of splits is not the one"):
        other.members()


@pytest.mark.parametrize("part", ["sha256", "test_sha256"])
def test_the_membership_is_frozen_by_its_hashes(
    journal: Journal, other: Journal, database: Any, part: str
) -> None:
    """Splits that were put in place of the frozen ones, with a name of their own, are told by the hashes of members and test."""
    frozen(journal)
    thawed = journal.frozen({**MEMBERS, "b": "pool"}).document()
    thawed[part] = journal.frozen(MEMBERS).document()[part]
    database["swath.loops"].update_one({"_id": journal.dataset_id}, {"$set": {"membership": thawed}})
    with pytest.raises(IntegrityError):
        other.members()
