"""Who was asked for what: given once, answered where it was asked, in one open batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId

from some_records import a_row
from swath.errors import ConflictError, FencedError, IntegrityError
from swath.records.assignment import Assignment, Quarantined, Said
from swath.store.journal import Journal, assignments, codec
from swath.store.journal.lease import Writer

pytestmark = pytest.mark.database


def assign(journal: Journal, *rows: Assignment) -> None:
    with journal.lease.writer("select") as writer:
        journal.assignments.assign(writer, rows)


def said(row: Assignment, **more: Any) -> Said:
    return Said(
        key=row.key, role=row.role, channel=row.channel, slot=row.slot, **{"state": "labeled", **more}
    )


def answer(journal: Journal, name: str, *answers: Said) -> None:
    with journal.lease.writer("fetch") as writer:
        journal.assignments.answer(writer, name, answers)


ROWS = (
    a_row("v0", "a", "left"),
    a_row("v0", "a", "pcd"),
    a_row("v0", "b", "left", stream="targeted"),
    a_row("v0", "g", "left", role="golden", split="golden", stream=None),
    a_row("reference", "g", "left", role="reference", split="golden", stream=None),
    a_row("reference", "g", "left", role="reference", split="golden", stream=None, slot=1),
)


# ---------------------------------------------------------------------- asking


def test_what_is_asked_is_there(journal: Journal, other: Journal) -> None:
    """Every assignment as it was given, in the order batch, scene, role, channel, slot."""
    assign(journal, *reversed(ROWS))
    in_order = sorted(ROWS, key=lambda row: (row.round, row.key, row.role, row.channel, row.slot))
    assert other.assignments.find() == in_order


def test_asking_again_changes_nothing(journal: Journal) -> None:
    """A commit that goes on where it was killed adds what is missing, and leaves the answers of the rest."""
    assign(journal, *ROWS[:2])
    answer(journal, "v0", said(ROWS[0], count=3))
    assign(journal, *ROWS)
    found = journal.assignments.find()
    assert len(found) == len(ROWS)
    (first,) = [row for row in found if row.place == ROWS[0].place]
    assert (first.state, first.count) == ("labeled", 3)


def test_many_are_written_in_parts(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their number is of the size of a part."""
    monkeypatch.setattr(assignments, "CHUNK", 4)
    for n in (1, 4, 5, 8):
        rows = [a_row(f"v{n}", f"{n}-{i}") for i in range(n)]
        assign(journal, *rows)
        answer(journal, f"v{n}", *(said(row) for row in rows))
        assert len(journal.assignments.labelled(round=f"v{n}")) == n
        assert len(journal.assignments.find(keys=[row.key for row in rows])) == n


def test_a_scene_is_in_one_open_batch(journal: Journal) -> None:
    """A pool scene's channel that another open batch has is a conflict that names the batch; the other one keeps it."""
    assign(journal, *ROWS)
    with pytest.raises(ConflictError, match="v1: scene b is in another open batch already"):
        assign(journal, a_row("v1", "c"), a_row("v1", "b"))
    assert {row.round for row in journal.assignments.find(keys=["b"])} == {"v0"}
    assert len(journal.assignments.find(round="v1", keys=["c"])) == 1


def test_other_channels_roles_and_datasets_do_not_count(journal: Journal, database: Any) -> None:
    """Another channel of the scene, a golden scene in every batch, the same keys in another dataset: no conflict."""
    assign(journal, *ROWS)
    assign(
        journal,
        a_row("v1", "b", "pcd"),
        a_row("v1", "g", role="golden"),
        a_row("reference-test", "b", role="reference"),
    )
    another = Journal(database, ObjectId(), "another")
    another.create({}, "/home")
    assign(another, *ROWS)
    assert len(another.assignments.find()) == len(ROWS)
    another.forget()
    assert len(journal.assignments.find()) == len(ROWS) + 3


def test_a_scene_that_was_let_go_may_be_asked_for_again(journal: Journal) -> None:
    """Once its batch ended."""
    assign(journal, *ROWS)
    with journal.lease.writer("stop") as writer:
        journal.assignments.release(writer, "v0")
    assign(journal, a_row("v1", "a", "left"), a_row("v1", "b", "left"))
    assert [row.round for row in journal.assignments.find(keys=["b"])] == ["v0", "v1"]


# ---------------------------------------------------------------------- finding


def test_what_is_looked_for(journal: Journal) -> None:
    """All of the conditions hold; several values of one are alternatives; none given means all."""
    assign(journal, *ROWS)
    bad = (Quarantined(where="t/left/1", reason="no class"),)
    answer(
        journal,
        "v0",
        said(ROWS[0], count=1, rejected=bad),
        said(ROWS[1], state="skipped"),
        said(ROWS[3], state="reviewed_empty"),
    )

    def places(**query: Any) -> list[tuple[str, str, int]]:
        return [row.place for row in journal.assignments.find(**query)]

    assert places(round="v0", role="pool") == [("a", "left", 0), ("a", "pcd", 0), ("b", "left", 0)]
    assert places(role=("golden", "reference")) == [("g", "left", 0), ("g", "left", 1), ("g", "left", 0)]
    assert places(state=["skipped", "reviewed_empty"]) == [("a", "pcd", 0), ("g", "left", 0)]
    assert places(keys={"b"}) == [("b", "left", 0)]
    assert places(keys=[]) == []
    assert places(rejected=True) == [("a", "left", 0)]
    assert places(active=False) == []
    assert [row.place for row in journal.assignments.labelled(role="pool")] == [("a", "left", 0)]
    assert [row.place for row in journal.assignments.labelled()] == [("a", "left", 0), ("g", "left", 0)]


def test_scenes_that_wait(journal: Journal) -> None:
    """Scenes of which somebody has yet to look at something; not those that are done, returned, or let go."""
    assign(journal, *ROWS)
    assert journal.assignments.waiting("v0") == 3
    assert journal.assignments.waiting("v7") == 0
    answer(journal, "v0", said(ROWS[0]))
    assert journal.assignments.waiting("v0") == 3  # its cloud waits
    answer(journal, "v0", said(ROWS[1], state="skipped"), said(ROWS[2], state="reviewed_empty"))
    assert journal.assignments.waiting("v0") == 1
    answer(journal, "v0", said(ROWS[3], state="returned"))
    assert journal.assignments.waiting("v0") == 0
    assert journal.assignments.waiting("reference") == 1
    with journal.lease.writer("close") as writer:
        journal.assignments.release(writer, "reference")
    assert journal.assignments.waiting("reference") == 0


# ---------------------------------------------------------------------- answering


def test_answers_reach_their_assignment(journal: Journal) -> None:
    """Of that batch, role, channel and slot alone; what an answer does not say stays as it was."""
    assign(journal, *ROWS)
    bad = (Quarantined(where="t/left/1", reason="no class"),)
    answer(
        journal,
        "reference",
        said(ROWS[5], annotator="ann", count=2, digest="d", rejected=bad, active=False),
    )
    found = {(row.round, row.place): row for row in journal.assignments.find()}
    (changed,) = [row for row in found.values() if row.state != "unreviewed"]
    assert changed == ROWS[5].with_(
        state="labeled", annotator="ann", count=2, digest="d", rejected=bad, active=False
    )
    answer(journal, "reference", said(ROWS[5], state="unreviewed"))
    (again,) = journal.assignments.find(round="reference", active=False)
    assert (again.state, again.annotator, again.count) == ("unreviewed", "ann", 2)


def test_an_answer_without_an_assignment(journal: Journal) -> None:
    """Nobody was asked: an integrity error that says how many; the answers that have one are there."""
    assign(journal, *ROWS)
    strangers = [said(a_row("v0", "z")), said(a_row("v0", "a", slot=3)), said(a_row("v0", "g", role="pool"))]
    with pytest.raises(IntegrityError, match="v0: 3 answers have no assignment"):
        answer(journal, "v0", said(ROWS[0]), *strangers)
    assert len(journal.assignments.labelled()) == 1


def test_letting_go(journal: Journal) -> None:
    """Those in a state, or all; each once; with another state where one is given; of this batch alone."""
    assign(journal, *ROWS)
    answer(journal, "v0", said(ROWS[0]))
    with journal.lease.writer("close") as writer:
        assert journal.assignments.release(writer, "v0", "unreviewed", "returned") == 3
        assert journal.assignments.release(writer, "v0", "unreviewed", "returned") == 0
        states = [(row.place[0], row.state, row.active) for row in journal.assignments.find(round="v0")]
        assert states == [
            ("a", "labeled", True),
            ("a", "returned", False),
            ("b", "returned", False),
            ("g", "returned", False),
        ]
        assert journal.assignments.release(writer, "v0") == 1
    assert len(journal.assignments.find(active=True)) == 2


# ---------------------------------------------------------------------- overtaken


def test_an_overtaken_writer_reaches_no_assignment(
    journal: Journal, other: Journal, overtake: Callable[[], Writer]
) -> None:
    """Not even one that does not know: the new writer's fence is on every assignment. The new one reaches all."""
    assign(journal, *ROWS)
    with pytest.raises(FencedError), journal.lease.writer("fetch") as writer:
        new = overtake()
        other.assignments.raise_fence(new)
        for act in (
            lambda: journal.assignments.answer(writer, "v0", [said(ROWS[0])]),
            lambda: journal.assignments.release(writer, "v0"),
            lambda: journal.assignments.assign(writer, [a_row("v5", "z")]),
        ):
            journal.lease._lost.clear()  # it was not told yet
            with pytest.raises(FencedError):
                act()
                journal.lease.barrier(writer)
        assert [row.state for row in other.assignments.find()] == ["unreviewed"] * len(
            other.assignments.find()
        )
        assert all(row.active for row in other.assignments.find(round="v0"))
        raise ValueError
    other.assignments.answer(new, "v0", [said(ROWS[0])])
    assert len(other.assignments.labelled()) == 1


# ---------------------------------------------------------------------- of 0.1.0


OLD = codec.Old(
    {"2d": "left", "3d": "pcd"}, {"p": "pool", "q": "pool", "g": "golden", "v": "val", "moved": ""}
)


def old_rows(journal: Journal) -> list[dict[str, Any]]:
    """Assignments as 0.1.0 stored them."""
    out = []
    for key, role in (
        ("p", "pool"),
        ("q", "pool"),
        ("g", "golden"),
        ("g", "reference"),
        ("v", "reference"),
        ("gone", "reference"),
        ("gone", "pool"),
        ("moved", "reference"),
    ):
        for modality in ("2d", "3d"):
            row = {
                "dataset": journal.dataset_id,
                "round": "reference" if role == "reference" else "v0",
                "key": key,
            }
            row |= {
                "role": role,
                "modality": modality,
                "slot": 0,
                "state": "unreviewed",
                "active": key != "q",
                "fence": 1,
            }
            out.append(row)
    return out


def test_rows_of_0_1_0_get_a_channel_and_a_split(journal: Journal) -> None:
    """What reading them gave before is what is stored afterwards; rows of today, and of other datasets, stay as they are."""
    raw = journal.assignments._rows
    stranger = {"dataset": ObjectId(), "round": "v0", "key": "p", "role": "pool", "modality": "2d", "slot": 0}
    raw.insert_many([*old_rows(journal), stranger])
    assign(journal, a_row("v9", "q"))
    read = [codec.assignment(row, OLD) for row in raw.find({"dataset": journal.dataset_id})]
    with journal.lease.writer("migrate") as writer:
        for _ in range(2):
            journal.assignments.migrate(writer, OLD)
            assert raw.count_documents({"dataset": journal.dataset_id, "modality": {"$exists": True}}) == 0
            found = journal.assignments.find()
            order = sorted(read, key=lambda row: (row.round, row.key, row.role, row.channel, row.slot))
            assert found == order
    assert raw.find_one({"_id": stranger["_id"]}) == stranger
    raw.delete_one({"_id": stranger["_id"]})


def test_a_migration_that_was_overtaken_changes_nothing(journal: Journal) -> None:
    """Rows behind a higher fence are another writer's."""
    raw = journal.assignments._rows
    raw.insert_many([{**row, "fence": 99} for row in old_rows(journal)])
    with journal.lease.writer("migrate") as writer:
        journal.assignments.migrate(writer, OLD)
    assert raw.count_documents({"dataset": journal.dataset_id, "modality": {"$exists": True}}) == len(
        old_rows(journal)
    )


def test_a_row_without_a_channel_in_a_journal_of_today(journal: Journal) -> None:
    """It cannot be: an integrity error, not a guess."""
    journal.assignments._rows.insert_one(old_rows(journal)[0])
    with pytest.raises(IntegrityError, match="names no channel"):
        journal.assignments.find()
