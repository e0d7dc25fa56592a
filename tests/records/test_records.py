"""Records: frozen, complete, and the same again when they are read from their documents."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from some_records import a_batch, a_failure, a_model, a_row, an_evaluation, golden, some_figures
from swath.config import canonical
from swath.errors import IntegrityError
from swath.records import assignment, base, batch, loop, manifest, results
from swath.records.base import SCHEMA, Record
from swath.records.batch import Criterion, Failure, Left, ReopenedOnce, Sent, Stopped, Trained
from swath.records.results import BatchResult, BatchScene, Choice, EvaluateResult, ExplainedRound, Status
from swath.records.shown import Next
from swath.store.journal import codec

STORED = [
    found
    for module in (base, assignment, batch, loop, manifest)
    for _, found in inspect.getmembers(module, inspect.isclass)
    if issubclass(found, Record) and found is not Record and found.__module__ == module.__name__
]
"""Every record that a document of the journal is made of."""


# ---------------------------------------------------------------------- any record

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if inspect.isclass(kind) and issubclass(kind, Record):
        return of_record(kind)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(parts)
    if origin in (Union, types.UnionType):
        return st.one_of(*(of(part) for part in parts))
    if origin is tuple and parts[-1:] == (...,):
        return st.lists(of(parts[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(of(part) for part in parts))
    if origin is dict:
        return st.dictionaries(of(parts[0]), of(parts[1]), max_size=2)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: st.integers(-(2**40), 2**40),
        float: NUMBER,
        bool: st.booleans(),
        type(None): st.none(),
        Any: PLAIN,
    }
    return plain[kind]


def of_record(kind: type[Record]) -> st.SearchStrategy[Record]:
    """Records of a kind, with any values of its fields."""
    if kind is Criterion:  # its numbers stand beside its own fields, under names of their own
        names = TEXT.filter(lambda name: name not in ("stop", "why", "numbers"))
        numbers = st.dictionaries(names, PLAIN, max_size=2)
        return st.builds(Criterion, stop=st.none() | st.booleans(), why=TEXT, numbers=numbers)
    fields = {name: of(field.annotation) for name, field in kind.model_fields.items()}
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
@settings(max_examples=15)  # drawing a whole batch takes long
@given(data=st.data())
def test_every_record_comes_back_from_its_document(kind: type[Record], data: st.DataObject) -> None:
    """Read from its document, and from the JSON of it, a record is what it was, and spelled the same again."""
    record = data.draw(of_record(kind))
    document = record.document()
    text = canonical(document)
    assert kind.model_validate(document) == record
    assert kind.model_validate(json.loads(text)) == record
    assert canonical(kind.model_validate(json.loads(text)).document()) == text


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_a_key_that_a_record_does_not_know_is_an_error(kind: type[Record]) -> None:
    """Nothing is lost unseen: but for `Criterion`, whose numbers are named by the criterion."""
    if kind is Criterion:
        assert Criterion.model_validate({"stop": None, "why": "x", "stray": 1}).numbers == {"stray": 1}
        return
    with pytest.raises(ValidationError, match="stray"):
        kind.model_validate({"stray": 1})


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_records_are_frozen(kind: type[Record]) -> None:
    """No field of a record can be changed."""
    assert kind.model_config.get("frozen") is True
    assert kind.model_config.get("extra") == "forbid"


def test_a_record_with_other_fields() -> None:
    """`with_` leaves the first one as it is, which refuses an assignment."""
    row = a_row("v0", "a")
    other = row.with_(state="labeled", count=2)
    assert (other.state, other.count, other.key) == ("labeled", 2, "a")
    assert (row.state, row.count) == ("unreviewed", None)
    with pytest.raises(ValidationError, match="frozen"):
        row.state = "labeled"  # type: ignore[misc]


def test_what_is_none_is_not_stored() -> None:
    """A document leaves out fields that are None, and keeps None inside what others wrote; `--json` prints all fields."""
    row = a_row("v0", "a")
    assert {"annotator", "count", "digest"} & set(row.document()) == set()
    assert row.as_json()["annotator"] is None
    sent = Sent(annotator="ann", tasks=1, receipt={"project": None})
    assert sent.document()["receipt"] == {"project": None}


# ---------------------------------------------------------------------- what they say


def test_who_has_labelled_an_assignment() -> None:
    """Labels, or an empty scene that somebody looked at: labelled; skipped and returned are not, though skipped is done."""
    states = {state for state in get_args(assignment.AnswerState) if a_row("v0", "a", state=state).labelled}
    assert states == set(assignment.LABELLED) == {"labeled", "reviewed_empty"}
    assert set(assignment.DONE) == {"labeled", "reviewed_empty", "skipped"}
    assert a_row("v0", "a", "pcd", slot=2).place == ("a", "pcd", 2)


def test_what_kind_a_batch_is() -> None:
    """Rounds by their role, cancelled by their state."""
    assert a_batch("v0").is_round
    assert not a_batch("reference").is_round
    assert a_batch("v0", "cancelled").cancelled
    assert not a_batch("v0", "closed").cancelled


def test_a_reopened_batch_is_unsent_until_all_have_it_again() -> None:
    """Every annotator must be handed the batch once more after each time it was reopened; unsent before it was ever sent: no."""
    ann, bob = Sent(annotator="ann", tasks=1), Sent(annotator="bob", tasks=1, slots=(1,))
    once = (ReopenedOnce(reason="x"),)
    assert not a_batch().unsent
    assert not a_batch(send=(ann, bob)).unsent
    assert a_batch(send=(ann, bob), reopen=once).unsent
    again = ann.with_(reopened=1)
    assert a_batch(send=(again, bob), reopen=once).unsent
    assert not a_batch(send=(again, bob.with_(reopened=1)), reopen=once).unsent
    assert a_batch(send=(again,), reopen=once * 2).unsent


def test_a_golden_check_holds_while_it_blocks() -> None:
    """And nobody said why it may go on."""
    assert golden(verdict="block").holds
    assert not golden(verdict="block", override="new class").holds
    assert not any(golden(verdict=one).holds for one in ("pass", "warn", "not enough evidence"))


def test_failures_of_before_are_all_notable() -> None:
    """A failure that was recorded before there was a choice says nothing of it, and is shown, as it was; one of today says it."""
    today = a_failure("a").with_(notable=False)
    assert Failure.model_validate(today.document()) == today
    before = {name: value for name, value in today.document().items() if name != "notable"}
    assert Failure.model_validate(before) == a_failure("a")
    assert a_failure("a").notable


def test_models_of_a_round_by_modality() -> None:
    """The one that predicts it, or none."""
    flat, solid = a_model(), a_model(modality="3d", model="v0_3d.pt")
    both = Trained(round="v0", models=(flat, solid), scenes=20)
    assert (both.of("2d"), both.of("3d")) == (flat, solid)
    assert Trained(round="v0", models=(flat,), scenes=20).of("3d") is None
    shown = both.as_json()
    assert (shown["model"], shown["scenes"], len(shown["models"])) == ("v0.pt", 20, 2)
    assert shown["images"] == 20


def test_an_evaluation_shows_what_is_mined() -> None:
    """`--json` has the mined modality's figures at the top, and failures as a list."""
    figures = {"2d": some_figures(0.25, car=1), "3d": some_figures(0.75, car=1)}
    worst = (a_failure("a"),)
    record = an_evaluation(figures=figures, modality="3d", worst=worst, failing=7)
    assert record.main == figures["3d"]
    shown = record.as_json()
    assert shown["map"]["value"] == 0.75
    assert shown["figures"]["2d"]["map"]["value"] == 0.25
    assert [one["key"] for one in shown["failures"]] == ["a"]
    assert "worst" not in shown
    every = EvaluateResult(record=record, failures=(*worst, a_failure("b")))
    assert [one["key"] for one in every.as_json()["failures"]] == ["a", "b"]


def test_a_criterion_is_flat() -> None:
    """Its numbers stand beside `stop` and `why`, None among them, as they did in 0.1.0."""
    one = Criterion(stop=None, why="no target is set", numbers={"target": None, "map": 0.5})
    flat = {"stop": None, "target": None, "map": 0.5, "why": "no target is set"}
    assert one.document() == one.as_json() == flat
    whole = Stopped(round="v0", decision="continue", why="", criteria={"target": one})
    assert whole.document()["criteria"] == {"target": flat}
    assert Stopped.model_validate(whole.document()) == whole


def test_a_label_in_quarantine() -> None:
    """Named with its scene and channel."""
    one = assignment.Quarantined(where="t/left/3", reason="no class")
    assert Left.of("a", "2d", "left", one).as_json() == {
        "scene": "a",
        "modality": "2d",
        "channel": "left",
        "where": "t/left/3",
        "reason": "no class",
    }


def test_results_as_json_are_flat() -> None:
    """A batch's sizes and a scene's choice stand at the top; `status` tells the next step without `people`."""
    choice = Choice(key="a", stream="coverage", rank=1, score=0.5, reason="x")
    scene = BatchScene(choice=choice, status="selected", answers={"left": "labeled"}, picture="a.png")
    size = manifest.BatchSize(budget=3, size=2, coverage=1, targeted=1)
    whole = BatchResult(
        round="v0", state="closed", size=size, scenes=(scene,), golden=1, excluded=(), notes=()
    ).as_json()
    assert (whole["budget"], whole["size"], whole["coverage"], whole["targeted"]) == (3, 2, 1, 1)
    assert whole["scenes"][0]["key"] == "a"
    assert whole["scenes"][0]["answers"] == {"left": "labeled"}
    assert "choice" not in whole["scenes"][0]
    status = Status(
        dataset="d",
        scenes=1,
        slices={},
        splits={},
        pool=results.Pool(),
        rounds=(),
        next=Next("send", "it waits", True),
    ).as_json()
    assert status["next"] == {"step": "send", "why": "it waits"}


def test_an_explained_round_names_modalities() -> None:
    """Each answer with its modality; of what was chosen, the modalities each once."""
    chosen = manifest.Chosen(key="a", channels=("left", "right", "pcd"), stream="coverage", rank=1)
    answers = (a_row("v0", "a", "left", state="labeled", count=1), a_row("v0", "a", "gone"))
    kinds = {"left": "2d", "right": "2d", "pcd": "3d"}
    shown = ExplainedRound(
        round="v0", state="closed", chosen=chosen, answers=answers, modality_of=kinds
    ).as_json()
    assert shown["modalities"] == ["2d", "3d"]
    assert [(one["modality"], one["state"]) for one in shown["answers"]] == [
        ("2d", "labeled"),
        ("", "unreviewed"),
    ]
    blind = ExplainedRound(round="v0", state="closed", chosen=None, answers=(), modality_of=kinds).as_json()
    assert blind == {"round": "v0", "state": "closed", "answers": []}


# ---------------------------------------------------------------------- the codec


@settings(max_examples=10)
@given(data=st.data())
def test_the_codec_reads_what_is_written(data: st.DataObject) -> None:
    """Batches, assignments and the loop, with the keys that a database adds, are the records that were written."""
    one = data.draw(of_record(batch.Batch))
    row = data.draw(of_record(assignment.Assignment))
    whole = data.draw(of_record(loop.LoopRecord)).with_(schema_=SCHEMA)
    added: Mapping[str, Any] = {"_id": 1, "dataset": 2}
    assert codec.batch({**added, "schema": SCHEMA, **one.document()}) == one
    assert codec.assignment({**added, "fence": 3, **row.document()}, None) == row
    stored = {name: value for name, value in whole.document().items() if name != "schema_"}
    told = {"_id": 1, "schema": SCHEMA, "writer": {"token": 3}, "barrier": 4}
    assert codec.loop({**stored, **told}) == whole


@pytest.mark.parametrize("schema", [SCHEMA + 1, 99])
def test_a_journal_of_a_later_swath_is_refused(schema: int) -> None:
    """Its schema is named, and what to do."""
    with pytest.raises(
        IntegrityError, match=f"has schema {schema}, this swath reads up to {SCHEMA}.*newer swath"
    ):
        codec.schema_of({"schema": schema})
    with pytest.raises(IntegrityError):
        codec.loop({"schema": schema, "config": {}})


def test_schemas() -> None:
    """0.1.0 wrote none, which is 1; today's is 2."""
    assert codec.schema_of({}) == 1
    assert codec.schema_of({"schema": 1}) == 1
    assert codec.schema_of({"schema": 2}) == SCHEMA == 2


def test_an_assignment_without_a_channel_is_refused() -> None:
    """Unless it is read as one of 0.1.0."""
    with pytest.raises(IntegrityError, match="an assignment of v3 names no channel"):
        codec.assignment({"round": "v3", "key": "a", "role": "pool", "modality": "2d"}, None)
