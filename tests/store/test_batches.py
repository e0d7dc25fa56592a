"""Rounds and reference batches in the journal: planned once, moved by compare-and-set, never by a writer that was overtaken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
from pymongo.errors import AutoReconnect

from some_records import a_failure, an_evaluation, checked, golden, stopped
from swath import life
from swath.errors import ConflictError, FencedError, IntegrityError, StateError, UnknownNameError
from swath.records.batch import Batch, Fetched, ReopenedOnce, Sent, State
from swath.records.manifest import BatchSize, Chosen, Manifest
from swath.store.journal import Journal
from swath.store.journal.lease import Writer

pytestmark = pytest.mark.database


def a_manifest(name: str = "v0", keys: str = "ab") -> Manifest:
    """A batch of these scenes, of images alone."""
    reference = name.startswith("reference")
    return Manifest(
        round=name,
        number=None if reference else int(name[1:]),
        role="reference" if reference else "pool",
        size=BatchSize(budget=len(keys), size=len(keys), coverage=len(keys)),
        scenes=tuple(Chosen(key=key, channels=("left",), split="pool") for key in keys),
    )


def plan(journal: Journal, *names: str) -> list[Batch]:
    with journal.lease.writer("select") as writer:
        return [journal.batches.plan(writer, a_manifest(name), journal.loop().floor) for name in names]


def put(journal: Journal, name: str, **fields: Any) -> None:
    """Makes the stored batch another one."""
    where = {"dataset": journal.dataset_id, "round": name}
    assert journal.batches._rounds.update_one(where, {"$set": fields}).matched_count == 1


# ---------------------------------------------------------------------- planning and reading


def test_a_planned_batch_is_there_whole(journal: Journal, other: Journal) -> None:
    """State, size, number, who wrote it; and its manifest as it was decided, for every process."""
    (batch,) = plan(journal, "v0")
    assert (batch.round, batch.number, batch.role, batch.state) == ("v0", 0, "pool", "planned")
    assert (batch.size.size, batch.revision, batch.fence) == (2, 0, 1)
    assert other.batches.get("v0") == batch
    assert other.batches.manifest(batch) == journal.batches.manifest(batch) == a_manifest()
    assert journal.batches.has("v0")
    assert not journal.batches.has("v1")
    assert other.batches.has_planned()
    assert journal.unfinished()


def test_reference_batches_have_no_number(journal: Journal) -> None:
    """And come first; rounds come in the order of their numbers, not of their names."""
    plan(journal, "v10", "v2", "reference-test", "v0", "reference")
    assert [batch.round for batch in journal.batches.all()] == [
        "reference",
        "reference-test",
        "v0",
        "v2",
        "v10",
    ]
    assert journal.batches.get("reference").number is None


def test_unknown_batches(journal: Journal) -> None:
    """The message names those that there are, or says that there are none."""
    with pytest.raises(UnknownNameError, match="no round 'v1'; there are: none yet"):
        journal.batches.get("v1")
    plan(journal, "v0", "reference")
    with pytest.raises(UnknownNameError, match="no round 'v1'; there are: reference, v0"):
        journal.batches.get("v1")


def test_one_process_wins(journal: Journal, other: Journal) -> None:
    """A second batch of one name is a conflict, and the first stays what it was."""
    (first,) = plan(journal, "v0")
    with pytest.raises(ConflictError, match="v0 exists already"), other.lease.writer("select") as writer:
        other.batches.plan(writer, a_manifest("v0", "xyz"), 0)
    assert journal.batches.get("v0") == first


def test_a_batch_planned_below_the_floor_never_happened(journal: Journal) -> None:
    """Planned late, by a writer whose insert no fence could stop: it is cleared, and its name is free. Above the floor, or
    committed, it stays."""
    plan(journal, "v0", "v1", "v2")
    put(journal, "v0", fence=3)
    put(journal, "v1", fence=9)
    put(journal, "v2", fence=3, state="committed")
    with journal.lease.writer("repair") as writer:
        journal.batches.raise_fence(writer, 5)
        assert [(batch.round, batch.fence) for batch in journal.batches.all()] == [("v1", 9), ("v2", 3)]
    put(journal, "v1", fence=3)
    with journal.lease.writer("select") as writer:
        again = journal.batches.plan(writer, a_manifest("v1", "xyz"), 5)
        assert again.size.size == 3
        with pytest.raises(ConflictError):
            journal.batches.plan(writer, a_manifest("v2"), 5)


def test_a_changed_manifest_is_refused(journal: Journal, other: Journal, database: Any) -> None:
    """It is checked against its hash whenever it is read anew."""
    (batch,) = plan(journal, "v0")
    piece = {"dataset": journal.dataset_id, "sha256": batch.manifest.sha256}
    database["swath.pieces"].update_one(piece, {"$set": {"data": b"other"}})
    with pytest.raises(IntegrityError, match="v0: the manifest is not the one that was committed"):
        other.batches.manifest(batch)


# ---------------------------------------------------------------------- moving


RECORDS: dict[str, dict[str, Any]] = {
    "send": {"send": [Sent(annotator="ann", tasks=2)]},
    "fetch": {"fetch": Fetched(states={"labeled": 2})},
    "check": {"check": checked()},
    "golden": {"golden": golden()},
    "evaluate": {"evaluate": an_evaluation()},
    "stop": {"stop": stopped()},
}


def test_a_round_goes_along_its_line(journal: Journal, other: Journal) -> None:
    """Step by step, with what each recorded, all of it there in the end; every change has a revision and a mark of its own."""
    plan(journal, "v0")
    marks = set()
    with journal.lease.writer("all") as writer:
        for n, step in enumerate(
            ("commit", "send", "fetch", "check", "golden", "train", "evaluate", "stop"), 1
        ):
            batch = journal.batches.advance(writer, "v0", step, RECORDS.get(step))
            assert (batch.revision, batch.fence) == (n, writer.token)
            marks.add(batch.mark)
    assert len(marks) == 8
    found = other.batches.get("v0")
    assert found == batch
    assert found.state == "closed"
    assert found.steps.send == (Sent(annotator="ann", tasks=2),)
    assert found.steps.fetch == Fetched(states={"labeled": 2})
    assert (found.steps.check, found.steps.golden) == (checked(), golden())
    assert (found.steps.evaluate, found.steps.stop, found.steps.train) == (an_evaluation(), stopped(), None)


@pytest.mark.parametrize("step", ["commit", "import", "fetch", "golden", "train", "stop", "reopen"])
def test_only_from_where_the_step_begins(journal: Journal, step: str) -> None:
    """A batch that is elsewhere is not moved: the error names where it is, and where it would have to be."""
    plan(journal, "v0")
    for state in get_args(State):
        put(journal, "v0", state=state, revision=7)
        with journal.lease.writer("test") as writer:
            if state in life.MOVES[step].before:
                moved = journal.batches.advance(writer, "v0", step)
                assert (moved.state, moved.revision) == (life.MOVES[step].after, 8)
                continue
            wanted = " or ".join(life.MOVES[step].before)
            with pytest.raises(StateError, match=f"^v0 is {state}; this step needs it to be {wanted}$"):
                journal.batches.advance(writer, "v0", step)
        assert journal.batches.get("v0").revision == 7


def test_a_reference_batch_ends_with_its_labels(journal: Journal) -> None:
    """Fetching closes it."""
    plan(journal, "reference")
    with journal.lease.writer("fetch") as writer:
        for step in ("commit", "send", "fetch"):
            batch = journal.batches.advance(writer, "reference", step)
    assert batch.state == "closed"


def test_reopening_drops_what_was_said(journal: Journal) -> None:
    """Dropped steps are gone; what was recorded at the same time is there."""
    plan(journal, "v0")
    with journal.lease.writer("reopen") as writer:
        for step in ("commit", "send", "fetch", "check", "golden"):
            batch = journal.batches.advance(writer, "v0", step, RECORDS.get(step))
        once = ReopenedOnce(reason="blurred", fetch=batch.steps.fetch, golden=batch.steps.golden)
        batch = journal.batches.advance(
            writer, "v0", "reopen", {"reopen": [once]}, drop=("fetch", "check", "golden")
        )
    assert batch.state == "annotating"
    assert (batch.steps.fetch, batch.steps.check, batch.steps.golden) == (None, None, None)
    assert batch.steps.reopen == (once,)
    assert batch.steps.send == (Sent(annotator="ann", tasks=2),)


def test_a_batch_that_another_changed(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading and writing: compare-and-set notices, nothing is written, and the error says where it is now."""
    plan(journal, "v0")
    get = journal.batches.get
    reads: list[str] = []

    def changed_behind(name: str) -> Batch:
        found = get(name)
        if not reads:
            put(journal, "v0", state="cancelled", revision=5)
        reads.append(name)
        return found

    monkeypatch.setattr(journal.batches, "get", changed_behind)
    message = r"v0 was changed by another process \(now cancelled\)"
    with journal.lease.writer("commit") as writer, pytest.raises(ConflictError, match=message):
        journal.batches.advance(writer, "v0", "commit")
    assert (get("v0").state, get("v0").revision) == ("cancelled", 5)


def test_a_reply_that_was_lost_is_settled_by_reading(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write landed, its reply did not: the mark tells. Where it did not land, it is a conflict."""
    plan(journal, "v0")
    rounds = journal.batches._rounds
    update = rounds.update_one

    class Flaky:
        def __init__(self, landed: bool) -> None:
            self.landed = landed

        def __getattr__(self, name: str) -> Any:
            return getattr(rounds, name)

        def update_one(self, *how: Any) -> Any:
            if self.landed:
                update(*how)
            raise AutoReconnect("no reply")

    with journal.lease.writer("commit") as writer:
        monkeypatch.setattr(journal.batches, "_rounds", Flaky(True))
        assert journal.batches.advance(writer, "v0", "commit").state == "committed"
        monkeypatch.setattr(journal.batches, "_rounds", Flaky(False))
        with pytest.raises(ConflictError):
            journal.batches.advance(writer, "v0", "send")
    assert journal.batches.get("v0").state == "committed"


# ---------------------------------------------------------------------- overtaken


def test_an_overtaken_writer_moves_nothing(
    journal: Journal, other: Journal, overtake: Callable[[], Writer]
) -> None:
    """Neither plans nor moves, though it does not know yet: the fence of the new writer is on the batch."""
    plan(journal, "v0")
    with pytest.raises(FencedError), journal.lease.writer("commit") as writer:
        new = overtake()
        other.batches.raise_fence(new, 0)
        before = other.batches.get("v0")
        assert before.fence == new.token
        with pytest.raises(FencedError):
            journal.batches.advance(writer, "v0", "commit")
        with pytest.raises(FencedError):
            journal.batches.plan(writer, a_manifest("v1"), 0)
        raise ValueError
    assert other.batches.get("v0") == before
    assert other.batches.advance(new, "v0", "commit").state == "committed"


def test_a_writer_that_ended_cannot_write(journal: Journal) -> None:
    """Its right ends with its block, and another's is not its own."""
    plan(journal, "v0")
    with journal.lease.writer("one") as writer:
        pass
    for act in (
        lambda: journal.batches.advance(writer, "v0", "commit"),
        lambda: journal.batches.plan(writer, a_manifest("v1"), 0),
    ):
        with pytest.raises(FencedError), journal.lease.writer("two"):
            act()


# ---------------------------------------------------------------------- failures


def test_failures_are_kept_apart(journal: Journal, other: Journal) -> None:
    """All of them, worst first, while the worst stand in the record; none where nothing was evaluated, or nothing failed."""
    failures = tuple(a_failure(f"{i:04d}", 200 - i) for i in range(150))
    plan(journal, "v0", "v1", "v2", "v3")
    blob = journal.batches.keep(failures)
    for name, done in (
        ("v0", {"failing": 150, "worst": failures[:100], "failures": blob}),
        ("v1", {"failing": 2, "worst": failures[:2]}),
        ("v2", {"failing": 0}),
    ):
        put(journal, name, **{"steps.evaluate": an_evaluation(name, **done).document()})
    assert [other.batches.failures(batch) for batch in other.batches.all()] == [
        failures,
        failures[:2],
        (),
        (),
    ]


def test_forgetting(journal: Journal, database: Any) -> None:
    """Nothing of this dataset is left, and all of another's is."""
    another = Journal(database, type(journal.dataset_id)(), "another")
    another.create({}, "/home")
    plan(another, "v0")
    plan(journal, "v0")
    journal.forget()
    for part in ("loops", "rounds", "pieces"):
        of = "_id" if part == "loops" else "dataset"
        assert database[f"swath.{part}"].count_documents({of: journal.dataset_id}) == 0
        assert database[f"swath.{part}"].count_documents({of: another.dataset_id}) == 1
    another.forget()
