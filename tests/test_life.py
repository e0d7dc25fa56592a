"""A batch's life: which step moves it from where to where, who is waited for, what is next."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from some_records import a_batch, an_evaluation, checked, golden, stopped, trained
from swath import life
from swath.errors import StateError, WaitingError
from swath.life import MOVES, Situation, plan
from swath.records.base import Blob
from swath.records.batch import Batch, Fetched, ReopenedOnce, Sent, State
from swath.records.loop import Embedded, LoopRecord, LoopSteps, Membership
from swath.records.shown import Next
from swath.suggest import ways_on

STATES: tuple[State, ...] = get_args(State)
LINE = ("planned", "committed", "annotating", "labeled", "checked", "trained", "evaluated", "closed")
TABLE: dict[str, dict[str, str]] = {
    "commit": {"planned": "committed"},
    "send": {"committed": "annotating"},
    "send more": {"annotating": "annotating"},
    "import": {"committed": "closed"},
    "fetch": {"annotating": "labeled"},
    "fetch again": {"labeled": "labeled", "checked": "labeled"},
    "check": {"labeled": "labeled"},
    "golden": {"labeled": "checked"},
    "golden blocks": {"labeled": "labeled"},
    "train": {"checked": "trained"},
    "evaluate": {"trained": "evaluated"},
    "stop": {"evaluated": "closed"},
    "cancel": dict.fromkeys(("planned", "committed", "annotating", "labeled", "checked"), "cancelled"),
    "adjudicate": {"closed": "closed"},
    "take back": {"closed": "cancelled"},
    "close": {"annotating": "labeled"},
    "reopen": {"labeled": "annotating", "checked": "annotating"},
    "adopt": {"planned": "closed"},
    "adopt open": {"planned": "committed"},
}
"""step -> state before -> state after, of a round."""


# ---------------------------------------------------------------------- the table


def test_every_step_has_its_place() -> None:
    """There is a move for every step of the table and for no other, and every state is one of the line, or cancelled."""
    assert set(MOVES) == set(TABLE)
    assert all(name == move.step for name, move in MOVES.items())
    assert set(STATES) == {*LINE, "cancelled"}


@pytest.mark.parametrize("step", TABLE)
@pytest.mark.parametrize("state", STATES)
def test_a_step_moves_a_round_as_the_table_says(step: str, state: State) -> None:
    """From the states that the table names, and from no other, to the one that it names; twice the same."""
    assert (state in MOVES[step].before) == (state in TABLE[step])
    if state in TABLE[step]:
        assert life.after(step, a_batch("v3", state)) == TABLE[step][state]


@pytest.mark.parametrize("name", ["reference", "reference-test"])
def test_a_reference_batch_ends_with_its_labels(name: str) -> None:
    """What brings a round its labels closes a reference batch; whatever else happens to it is the same."""
    for step, moves in TABLE.items():
        for state, after in moves.items():
            ends = step in ("fetch", "close")
            batch = a_batch(name, state)  # type: ignore[arg-type]
            assert life.after(step, batch) == ("closed" if ends else after), step


def test_the_steps_follow_the_line() -> None:
    """Step by step a round goes along the whole line, and a reference batch ends after its labels."""
    state = "planned"
    seen = [state]
    for step in ("commit", "send", "fetch", "golden", "train", "evaluate", "stop"):
        state = TABLE[step][state]
        assert life.after(step, a_batch("v0", seen[-1])) == state  # type: ignore[arg-type]
        seen.append(state)
    assert tuple(seen) == LINE


def test_what_has_ended_stays_ended() -> None:
    """No step begins at a closed or cancelled batch, but that a reference may be decided and taken back; every other state has a way on, and a way
    to be cancelled until trained."""
    begun = {
        state
        for move in MOVES.values()
        for state in move.before
        if move.step not in ("take back", "adjudicate")
    }
    assert begun == set(STATES) - {"closed", "cancelled"}
    assert set(life.ENDED) == {"closed", "cancelled"}
    assert set(life.OPEN) == set(LINE[: LINE.index("labeled")])
    assert set(MOVES["cancel"].before) == set(LINE[: LINE.index("trained")])


# ---------------------------------------------------------------------- which batch


BATCHES = (
    a_batch("reference"),
    a_batch("reference-test", "annotating"),
    a_batch("v0", "closed", evaluate=an_evaluation("v0")),
    a_batch("v1", "cancelled", evaluate=an_evaluation("v1")),
    a_batch("v2", "evaluated", evaluate=an_evaluation("v2")),
    a_batch("v3", "labeled"),
    a_batch("v4", "cancelled"),
)


def names(batches: list[Batch]) -> list[str]:
    return [batch.round for batch in batches]


def test_rounds_standing_and_evaluated() -> None:
    """References are no rounds; cancelled rounds do not stand, whatever they had done; the order stays."""
    assert names(life.rounds(BATCHES)) == ["v0", "v1", "v2", "v3", "v4"]
    assert names(life.standing(BATCHES)) == ["v0", "v2", "v3"]
    assert names(life.evaluated(BATCHES)) == ["v0", "v2"]


def test_what_a_reference_was_compared_with() -> None:
    """The first standing round with an evaluation or a golden check; cancelled rounds count for nothing, and no round for test's."""
    assert life.compared([a_batch("reference"), a_batch("v0", "labeled")]) is None
    assert life.compared([a_batch("v0", "cancelled", evaluate=an_evaluation("v0"))]) is None
    done = a_batch("v1", "evaluated", evaluate=an_evaluation("v1"))
    assert life.compared([a_batch("v0", "cancelled"), done]) == "v1"
    assert life.compared([done], final=True) is None


def test_cancelled_rounds_keep_their_number() -> None:
    """The next number is one above the highest there was; the first is 0, references or not."""
    assert life.next_number(BATCHES) == 5
    assert life.next_number(BATCHES[:2]) == life.next_number([]) == 0
    assert life.next_number(BATCHES[:3]) == 1


@pytest.mark.parametrize("step", TABLE)
@pytest.mark.parametrize("state", STATES)
def test_latest_is_the_last_round_where_the_step_may_be_done(step: str, state: State) -> None:
    """The last standing round, or an error that says where it stands, where the step would find it, and how to go on."""
    last = a_batch("v3", state)
    batches = [*BATCHES[:3], last, a_batch("v4", "cancelled"), a_batch("reference-test", "annotating")]
    if state == "cancelled":
        last = batches[2]  # v0, which is closed
    if last.state in TABLE[step]:
        assert life.latest(batches, step) is last
        return
    with pytest.raises(StateError) as error:
        life.latest(batches, step)
    wanted = " or ".join(TABLE[step])
    said = (
        ", `swath evaluate --show --dataset NAME` what it said"
        if (state, step) == ("cancelled", "evaluate")
        else ""
    )
    assert str(error.value) == (
        f"{last.round} is {last.state}; this step needs it to be {wanted}; `swath next --dataset NAME` says what is next{said}"
    )


def test_latest_takes_one_of_several_steps() -> None:
    """Where a step may be done at several places of the line, each will do, and the error names each once."""
    for state, fine in (("trained", True), ("evaluated", True), ("checked", False)):
        batches = [a_batch("v0", state)]  # type: ignore[arg-type]
        if fine:
            assert life.latest(batches, "evaluate", "stop").state == state
        else:
            with pytest.raises(StateError, match="needs it to be trained or evaluated; "):
                life.latest(batches, "evaluate", "stop", "evaluate")


def test_latest_where_there_is_no_round() -> None:
    """References alone, or cancelled rounds alone, are no round."""
    for batches in ([], BATCHES[:2], [a_batch("v0", "cancelled")]):
        with pytest.raises(StateError, match="there is no round yet"):
            life.latest(batches, "check")


def test_a_golden_check_that_blocks_is_waited_for() -> None:
    """The step after a blocking golden check needs people (exit 3), not another step; the message says why."""
    blocked = a_batch("v0", "labeled", golden=golden("v0", "block"))
    with pytest.raises(WaitingError, match=r"^v0 is labeled, its golden check blocks; .*checked"):
        life.latest([blocked], "train")
    assert life.latest([blocked], "golden") is blocked
    with pytest.raises(StateError) as error:
        life.latest([a_batch("v0", "labeled")], "train")
    assert "blocks" not in str(error.value)


@pytest.mark.parametrize("state", STATES)
def test_the_open_batch(state: State) -> None:
    """The first that is with annotators or waits to be sent, reference batches included."""
    batches = [a_batch("reference"), a_batch("v0", state), a_batch("v1", "committed")]
    assert life.open_batch(batches).round == ("v0" if state in ("committed", "annotating") else "v1")
    if state not in ("committed", "annotating"):
        with pytest.raises(StateError, match="no batch is open"):
            life.open_batch(batches[:2])
    assert life.open_batch([a_batch("reference", "committed")]).round == "reference"


def test_whose_reference_is_done() -> None:
    """`reference` and `reference-test` are told apart, and are done when they are closed; a round is neither."""
    val, test = a_batch("reference"), a_batch("reference-test")
    assert life.reference_done([val])
    assert not life.reference_done([val], final=True)
    assert life.reference_done([test], final=True)
    assert not life.reference_done([test, a_batch("v0")])
    for state in STATES:
        assert life.reference_done([a_batch("reference", state)]) == (state == "closed")


# ---------------------------------------------------------------------- may the next batch be chosen?


@pytest.mark.parametrize("state", STATES)
def test_a_batch_is_chosen_when_the_last_round_is_closed(state: State) -> None:
    """Then it answers that round; while it is anywhere else people must finish or cancel it."""
    batches = [a_batch("reference"), a_batch("v0"), a_batch("v1", state)]
    if state in ("closed", "cancelled"):
        found = life.may_select(batches)
        assert found is not None
        assert found.round == ("v1" if state == "closed" else "v0")
        return
    for anyway in (False, True):
        with pytest.raises(WaitingError, match=f"^v1 is {state}: finish or cancel"):
            life.may_select(batches, anyway=anyway)


def test_the_first_batch_answers_nothing() -> None:
    """No round, or none that stands: the next is chosen for coverage."""
    assert life.may_select([]) is None
    assert life.may_select([a_batch("reference"), a_batch("v0", "cancelled")]) is None


def test_a_decision_to_stop_is_passed_over_on_purpose_only() -> None:
    """After `stop` the next batch needs `--anyway`, which the message says; after `continue` it does not."""
    closed = a_batch("v0", stop=stopped(decision="stop", why="pool: 0 pool scenes are left"))
    with pytest.raises(WaitingError, match=r"pool: 0 pool scenes are left.*swath select --anyway"):
        life.may_select([closed])
    assert life.may_select([closed], anyway=True) is closed
    going = a_batch("v0", stop=stopped())
    assert life.may_select([going]) is going


# ---------------------------------------------------------------------- what is next


def a_loop(*, split: bool = True, encoder: str | None = "descriptor", grown: bool = False) -> LoopRecord:
    """A loop that is split, and embedded with `encoder` (before it grew)."""
    embedded = encoder and Embedded(
        encoder=encoder, scenes=9, dim=4, fingerprint="f", membership_sha256="old" if grown else "now"
    )
    members = Membership(members=Blob(sha256="m", size=1, pieces=1), sha256="now", test_sha256="t")
    return LoopRecord(
        schema_=2,
        config={},
        membership=members if split else None,
        steps=LoopSteps(embed=embedded or None),
    )


def next_of(*batches: Batch, loop: LoopRecord | None = None, reference: bool = True, **at: Any) -> Next:
    given = [*([a_batch("reference")] if reference else []), *batches]
    return plan(loop or a_loop(), given, Situation(**at), "my set")


def test_first_the_split() -> None:
    """Before anything else, whatever else there is."""
    assert next_of(a_batch("v0", "planned"), loop=a_loop(split=False)).step == "split"


def test_then_embeddings_of_all_scenes_by_the_configured_encoder() -> None:
    """Missing, of another encoder, or from before scenes came in: embed, with the reason; also while a batch is open."""
    for loop, at, why in (
        (a_loop(encoder=None), {}, "no embeddings yet"),
        (a_loop(), {"encoder": "zoo:clip"}, "the encoder is 'zoo:clip' now, it was 'descriptor'"),
        (a_loop(grown=True), {}, "scenes came in after"),
    ):
        found = next_of(a_batch("v0", "annotating"), loop=loop, **at)
        assert (found.step, found.people) == ("embed", False)
        assert why in found.why


def test_then_the_reference() -> None:
    """People must give one where there is no annotator; the message has the command. An open one is finished first."""
    asked = next_of(reference=False)
    assert (asked.step, asked.people) == ("reference", True)
    assert "`swath reference --from FIELD --dataset 'my set'`" in asked.why
    there = next_of(reference=False, annotator=True)
    assert (there.step, there.people) == ("reference", False)
    assert "--from" not in there.why
    assert next_of(a_batch("reference", "committed"), reference=False).step == "send"
    assert next_of(a_batch("reference", "annotating"), reference=False).step == "fetch"
    assert next_of(a_batch("v0", "labeled"), reference=False).step == "reference"


def test_then_the_first_batch() -> None:
    """With a reference and no round, or only cancelled ones, whose numbers are taken: select, for coverage."""
    for name, batches in (("v0", []), ("v1", [a_batch("v0", "cancelled")])):
        assert next_of(*batches) == Next("select", f"nothing is chosen yet: {name}, for coverage")


def test_a_planned_batch_is_waited_for_while_somebody_lives() -> None:
    """Its holder finishes it; without one, the next step that writes does."""
    held = next_of(a_batch("v1", "planned"), holder="process 7 on here (select)")
    assert (held.step, held.people) == ("select", True)
    assert "v1 is being committed by process 7 on here (select)" in held.why
    left = next_of(a_batch("v1", "planned"))
    assert (left.step, left.people) == ("select", False)
    assert "the next step that writes finishes it" in left.why


def test_an_open_batch_is_sent_and_fetched() -> None:
    """Committed: send, with how many scenes; annotating: fetch, with how many wait; reopened: send again."""
    assert next_of(a_batch("v1", "committed")).step == "send"
    assert "10 scenes of v1" in next_of(a_batch("v1", "committed")).why
    given = a_batch("v1", "annotating", send=(Sent(annotator="ann", tasks=3),))
    assert next_of(given).why.startswith("all scenes of v1 have an answer")
    assert next_of(given, waiting=4) == Next("fetch", "4 scenes of v1 wait for labels")
    once = (ReopenedOnce(reason="blurred", fetch=Fetched()),)
    reopened = a_batch("v1", "annotating", send=given.steps.send, reopen=once)
    assert next_of(reopened).step == "send"
    assert "reopened" in next_of(reopened).why
    again = a_batch("v1", "annotating", send=(Sent(annotator="ann", tasks=3, reopened=1),), reopen=once)
    assert next_of(again).step == "fetch"
    two = (*again.steps.send, Sent(annotator="bob", tasks=3, slots=(1,)))
    assert next_of(a_batch("v1", "annotating", send=two, reopen=once)).step == "send"


def test_an_open_batch_comes_before_a_round_that_went_on() -> None:
    """The reference batch that is with annotators, while v0 is labelled, is fetched first."""
    batches = [a_batch("reference", "annotating"), a_batch("v0", "labeled")]
    assert next_of(*batches, reference=False, waiting=2).why == "2 scenes of reference wait for labels"


def test_a_labelled_round_is_checked_then_compared() -> None:
    """check, then golden; a golden check that blocks needs people, and one with an override does not block."""
    assert next_of(a_batch("v1", "labeled")).step == "check"
    ready = next_of(a_batch("v1", "labeled", check=checked("v1")))
    assert (ready.step, ready.people) == ("golden", False)
    blocked = next_of(a_batch("v1", "labeled", check=checked("v1"), golden=golden("v1", "block")))
    assert (blocked.step, blocked.people) == ("golden", True)
    assert blocked.why == "the golden check of v1 blocks: because it is block"
    over = golden("v1", "block", override="they are new")
    assert not next_of(a_batch("v1", "labeled", check=checked("v1"), golden=over)).people


def test_then_train_evaluate_stop() -> None:
    """Each by the state of the last standing round, with its name."""
    for state, step in (("checked", "train"), ("trained", "evaluate"), ("evaluated", "stop")):
        batches = [a_batch("v0"), a_batch("v1", state), a_batch("v2", "cancelled")]  # type: ignore[arg-type]
        found = next_of(*batches)
        assert (found.step, found.people) == (step, False)
        assert "v1" in found.why
    assert next_of(a_batch("v0", "checked", golden=golden(verdict="warn"))).why.endswith("golden check: warn")
    assert next_of(a_batch("v0", "checked")).why.endswith("golden check: none")
    passed = a_batch("v0", "checked", golden=golden(verdict="block", override="they are new"))
    assert next_of(passed).why.endswith("golden check: block, passed over (they are new)")


def test_then_the_next_batch_or_the_end() -> None:
    """A closed round is followed by the next, unless the decision was to stop; an adopted one had none."""
    assert next_of(a_batch("v0", stop=stopped())) == Next("select", "v0 is closed (no criterion says stop)")
    assert next_of(a_batch("v0")) == Next("select", "v0 is closed (no decision)")
    ended = next_of(a_batch("v0", stop=stopped(decision="stop", why="target: reached")))
    assert ended == Next(None, "v0 ended with the decision to stop: target: reached")


@given(rounds=st.integers(1, 3))
def test_following_the_plan_closes_round_after_round(rounds: int) -> None:
    """Doing what `plan` says, and moving as the table says, is the whole loop: nothing else is ever next."""
    records = {"check": checked(), "golden": golden(), "train": trained(), "evaluate": an_evaluation()}
    records["stop"] = stopped()
    batches, done = [a_batch("reference")], []
    for _ in range(8 * rounds):
        step = plan(a_loop(), batches, Situation(), "d").step
        assert step is not None
        done.append(step)
        if step == "select":
            life.may_select(batches)
            batches.append(a_batch(f"v{life.next_number(batches)}", "planned"))
            step = "commit"
        last = batches[-1]
        after = life.after(step, last)
        assert last.state in MOVES[step].before
        changes = {step: records[step]} if step in records else {}
        batches[-1] = last.with_(state=after, steps=last.steps.with_(**changes))
    assert done == ["select", "send", "fetch", "check", "golden", "train", "evaluate", "stop"] * rounds
    assert [batch.state for batch in batches] == ["closed"] * (1 + rounds)


# ---------------------------------------------------------------------- how to go on


def test_ways_on() -> None:
    """What to type next, complete: names are quoted, people get a choice, the end has two ways on."""
    assert ways_on("train", False, "d", "v0") == ("swath train --dataset d",)
    assert ways_on("fetch", True, "d", "v0") == ("swath status --dataset d",)
    assert ways_on(None, False, "d", "v0") == (
        "swath evaluate --final --dataset d",
        "swath select --anyway --dataset d",
    )
    assert ways_on(None, False, "d", "v0", left=False) == ("swath evaluate --final --dataset d",)
    assert ways_on("reference", True, "my set", None) == (
        "swath reference --from FIELD --dataset 'my set'",
        "swath reference --annotator files --folder DIR --dataset 'my set'",
    )
    assert ways_on("reference", False, "d", None) == ("swath reference --dataset d",)
    assert ways_on("golden", True, "d", "v2") == (
        "swath golden --show --dataset d",
        "swath report --dataset d",
        "swath round reopen v2 --reason REASON --dataset d",
        "swath round cancel v2 --reason REASON --dataset d",
        "swath golden --override REASON --dataset d",
    )
