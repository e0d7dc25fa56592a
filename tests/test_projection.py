"""What the dataset must show, from the journal alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from some_records import a_batch, a_failure, a_row, an_evaluation, golden, some_figures
from swath import projection
from swath.projection import failure_tags, info, scene_states, tag_of, view_names
from swath.records.assignment import AnswerState, Assignment
from swath.records.base import Estimate
from swath.records.batch import Batch, Failure, State
from swath.records.shown import SceneState

MODALITY = {"left": "2d", "right": "2d", "pcd": "3d"}
SPLITS = ("test", "val", "golden", "pool")
STATES: tuple[State, ...] = get_args(State)


def shown(rows: Iterable[Assignment], *batches: Batch, split: str = "pool") -> tuple[set[str], str]:
    """Tags (but `split:`) and status of the scene "a"."""
    found = scene_states({"a": split}, batches or [a_batch()], rows, {}, MODALITY)["a"]
    assert list(found.tags) == sorted(set(found.tags))
    assert f"split:{split}" in found.tags
    return {tag for tag in found.tags if not tag.startswith("split:")}, found.status


def rows(*states: AnswerState, active: bool = True, **more: Any) -> list[Assignment]:
    """The scene "a" in v0, in the left image and the cloud, with these answers."""
    return [
        a_row("v0", "a", channel, state=state, active=active, **more)
        for channel, state in zip(("left", "pcd"), states, strict=True)
    ]


# ---------------------------------------------------------------------- one scene


@pytest.mark.parametrize("split", [*SPLITS, ""])
def test_a_scene_in_no_batch(split: str) -> None:
    """Its split's tag, none where it was set aside, and nobody has labelled it."""
    found = scene_states({"a": split}, [a_batch()], [], {}, MODALITY)
    assert found == {"a": SceneState((f"split:{split}",) if split else (), "unlabeled")}


@pytest.mark.parametrize("state", ["planned", "committed", "annotating"])
def test_an_open_batch(state: State) -> None:
    """Its scenes are to be annotated, and selected; they say which batch they are in, and why."""
    there = rows("unreviewed", "unreviewed", stream="targeted")
    assert shown(there, a_batch("v0", state)) == ({"batch:v0", "source:targeted", "to_annotate"}, "selected")


def test_half_of_a_scene_is_labelled() -> None:
    """The half that is labelled is named; the scene still waits."""
    for done in ("labeled", "reviewed_empty"):
        tags, status = shown(rows("unreviewed", done), a_batch("v0", "annotating"))
        assert tags == {"batch:v0", "source:coverage", "to_annotate", "annotated_3d:v0"}
        assert status == "selected"


def test_a_labelled_scene() -> None:
    """Labels in every channel, empty ones too: annotated, and waited for no more, though its batch is open."""
    everything = {"batch:v0", "source:coverage", "annotated_2d:v0", "annotated_3d:v0", "annotated:v0"}
    for state in ("annotating", "labeled", "closed"):
        for active in (True, False):
            there = rows("labeled", "reviewed_empty", active=active)
            assert shown(there, a_batch("v0", state)) == (everything, "annotated")  # type: ignore[arg-type]


def test_a_channel_that_cannot_be_labelled_holds_up_nothing() -> None:
    """Skipped in one channel, labelled in the other: the scene is annotated, in that modality."""
    tags, status = shown(rows("skipped", "labeled"), a_batch("v0", "annotating"))
    assert tags == {"batch:v0", "source:coverage", "annotated_3d:v0", "annotated:v0"}
    assert status == "annotated"
    tags, status = shown(rows("skipped", "unreviewed"), a_batch("v0", "annotating"))
    assert tags == {"batch:v0", "source:coverage", "to_annotate"}
    assert status == "selected"


def test_a_scene_that_nobody_could_label() -> None:
    """Skipped in all channels: it stays in its batch, nobody is waited for, and it is not annotated."""
    assert shown(rows("skipped", "skipped"), a_batch("v0", "annotating")) == (
        {"batch:v0", "source:coverage"},
        "unlabeled",
    )


def test_a_scene_that_was_given_back() -> None:
    """It is no part of the batch any more; what was labelled of it before stays labelled."""
    closed = a_batch("v0", "labeled")
    assert shown(rows("returned", "returned", active=False), closed) == (set(), "unlabeled")
    assert shown(rows("labeled", "returned", active=False), closed) == ({"annotated_2d:v0"}, "unlabeled")


def test_a_cancelled_batch_leaves_its_labels() -> None:
    """No tag of the batch; what was labelled when it was cancelled is annotated all the same."""
    gone = a_batch("v0", "cancelled")
    assert shown(rows("unreviewed", "unreviewed", active=False), gone) == (set(), "unlabeled")
    assert shown(rows("labeled", "labeled", active=False), gone) == (
        {"annotated_2d:v0", "annotated_3d:v0", "annotated:v0"},
        "annotated",
    )


def test_assignments_that_ended_wait_for_nobody() -> None:
    """Not yet answered, and let go: neither selected nor to be annotated."""
    assert shown(rows("unreviewed", "unreviewed", active=False), a_batch("v0", "annotating")) == (
        {"batch:v0", "source:coverage"},
        "unlabeled",
    )


def test_active_assignments_of_a_batch_on_its_way_are_selected() -> None:
    """A scene of a labelled batch that somebody still has (not reached in one pass) is selected, and no more to annotate."""
    tags, status = shown(rows("unreviewed", "labeled"), a_batch("v0", "labeled"))
    assert "to_annotate" not in tags
    assert status == "selected"


def test_several_slots() -> None:
    """A channel is labelled when all its annotators are done and one has labelled it; skipped when all skip it; one who waits holds
    it up. A second labelling that was given up is not waited for."""
    annotating = a_batch("v0", "annotating")

    def slots(*states: AnswerState) -> list[Assignment]:
        return [a_row("v0", "a", slot=slot, state=state) for slot, state in enumerate(states)]

    whole = {"batch:v0", "source:coverage", "annotated_2d:v0", "annotated:v0"}
    waits = {"batch:v0", "source:coverage", "to_annotate"}
    assert shown(slots("labeled", "reviewed_empty", "labeled"), annotating) == (whole, "annotated")
    assert shown(slots("labeled", "unreviewed", "labeled"), annotating) == (waits, "selected")
    assert shown(slots("skipped", "skipped", "skipped"), annotating) == (waits - {"to_annotate"}, "unlabeled")
    assert shown(slots("labeled", "skipped", "labeled"), annotating) == (whole, "annotated")
    given_up = [
        a_row("v0", "a", state="labeled"),
        a_row("v0", "a", role="second", slot=1, state="returned"),
    ]
    assert shown(given_up, annotating) == (whole, "annotated")
    waits_for_it = [given_up[0], given_up[1].with_(state="unreviewed")]
    assert shown(waits_for_it, annotating) == (waits, "selected")


def test_two_channels_of_one_modality() -> None:
    """annotated_2d only when every image is done; the cloud counts by itself."""
    images = [
        a_row("v0", "a", "left", state="labeled"),
        a_row("v0", "a", "right"),
        a_row("v0", "a", "pcd", state="labeled"),
    ]
    tags, status = shown(images, a_batch("v0", "annotating"))
    assert tags == {"batch:v0", "source:coverage", "to_annotate", "annotated_3d:v0"}
    assert status == "selected"
    both = [one.with_(state="labeled") for one in images]
    assert {"annotated_2d:v0", "annotated_3d:v0", "annotated:v0"} < shown(both)[0]
    skipped = [images[0], images[1].with_(state="skipped"), images[2]]
    tags, status = shown(skipped)
    assert {"annotated:v0", "annotated_3d:v0"} < tags
    assert "annotated_2d:v0" not in tags
    assert status == "annotated"


def test_golden_scenes_show_nothing_of_their_batches() -> None:
    """Blind labels of a golden scene leave neither tag nor status; its careful ones make it annotated."""
    blind = rows("labeled", "labeled", role="golden", stream=None)
    assert shown(blind, a_batch("v0", "annotating"), split="golden") == (set(), "unlabeled")
    assert shown(
        rows("unreviewed", "unreviewed", role="golden"), a_batch("v0", "annotating"), split="golden"
    ) == (set(), "unlabeled")
    careful = [a_row("reference", "a", role="reference", split="golden", stream=None, state="labeled")]
    batches = [a_batch("reference"), a_batch("v0", "annotating")]
    assert shown([*careful, *blind], *batches, split="golden") == (set(), "annotated")


def test_reference_batches_give_a_status_alone() -> None:
    """val scenes are selected, then annotated, and carry no tag of the batch."""
    for state, status in (("unreviewed", "selected"), ("labeled", "annotated"), ("skipped", "unlabeled")):
        for batch in ("annotating", "closed", "cancelled"):
            asked = [a_row("reference", "a", role="reference", split="val", stream=None, state=state)]
            found = shown(asked, a_batch("reference", batch), split="val")  # type: ignore[arg-type]
            assert found == (set(), status)


def test_an_annotated_scene_stays_annotated() -> None:
    """Whichever batch comes first in the journal: one that labelled a scene outweighs one that waits for it."""
    done = [a_row("v0", "a", "left", state="labeled", active=False)]
    waits = [a_row("v1", "a", "pcd")]
    batches = [a_batch("v0"), a_batch("v1", "annotating")]
    for order in ([*done, *waits], [*waits, *done]):
        tags, status = shown(order, *batches)
        assert status == "annotated"
        assert {"batch:v0", "batch:v1", "to_annotate", "annotated:v0"} < tags


def test_strangers_are_passed_over() -> None:
    """Assignments of scenes that are not asked for, or of batches that the journal does not have, change nothing."""
    strangers = [a_row("v0", "b"), a_row("v9", "a", state="labeled")]
    assert shown(strangers) == (set(), "unlabeled")
    failures = {"v0": [a_failure("b")]}
    batches = [a_batch("v0", evaluate=an_evaluation())]
    assert scene_states({"a": "val"}, batches, [], failures, MODALITY)["a"].tags == ("split:val",)


def test_a_channel_that_is_configured_no_more_is_an_image() -> None:
    """Labels of a channel that the configuration lost count as boxes."""
    assert "annotated_2d:v0" in shown([a_row("v0", "a", "thermal", state="labeled")])[0]


# ---------------------------------------------------------------------- failures


def test_only_the_last_evaluation_says_high() -> None:
    """`failure:vN` of every evaluation; `high_fn` and `high_fp` of the last alone: they do not pile up."""
    batches = [a_batch(name, evaluate=an_evaluation(name)) for name in ("v0", "v1")]
    failures = {
        "v0": [a_failure("a", 2, 0), a_failure("b", 1, 1)],
        "v1": [a_failure("b", 0, 2), a_failure("c", 1, 1)],
    }
    assert failure_tags(batches, failures) == {
        "a": {"failure:v0"},
        "b": {"failure:v0", "failure:v1", "failure:high_fp"},
        "c": {"failure:v1", "failure:high_fn", "failure:high_fp"},
    }
    states = scene_states(dict.fromkeys("abc", "val"), batches, [], failures, MODALITY)
    assert states["a"].tags == ("failure:v0", "split:val")
    assert states["b"].tags == ("failure:high_fp", "failure:v0", "failure:v1", "split:val")


def test_cancelled_rounds_failed_nowhere() -> None:
    """A cancelled round's evaluation leaves no tag, and the one before it is the last again; references have none."""
    batches = [
        a_batch("reference"),
        a_batch("v0", evaluate=an_evaluation("v0")),
        a_batch("v1", "cancelled", evaluate=an_evaluation("v1")),
        a_batch("v2", "trained"),
    ]
    failures = {"v0": [a_failure("a")], "v1": [a_failure("b")]}
    assert failure_tags(batches, failures) == {"a": {"failure:v0", "failure:high_fn"}}


def test_failures_that_are_not_notable_have_no_tag() -> None:
    """Only those that are worth a look are tagged, of every evaluation."""
    failures = {
        "v0": [a_failure("a"), a_failure("b").with_(notable=False)],
        "v1": [a_failure("b").with_(notable=False), a_failure("c")],
    }
    batches = [a_batch(name, evaluate=an_evaluation(name)) for name in ("v0", "v1")]
    assert failure_tags(batches, failures) == {"a": {"failure:v0"}, "c": {"failure:v1", "failure:high_fn"}}


def test_an_evaluation_without_failures_clears_high() -> None:
    """The last evaluation found nothing: nothing is high any more."""
    batches = [a_batch(name, evaluate=an_evaluation(name)) for name in ("v0", "v1")]
    assert failure_tags(batches, {"v0": [a_failure("a")]}) == {"a": {"failure:v0"}}
    assert failure_tags([], {"v0": [a_failure("a")]}) == {}


# ---------------------------------------------------------------------- views


def test_names_of_views() -> None:
    """Four of the splits, one per standing round, one more per evaluation; none of references and cancelled rounds."""
    batches = [
        a_batch("reference"),
        a_batch("v0", evaluate=an_evaluation("v0")),
        a_batch("v1", "cancelled", evaluate=an_evaluation("v1")),
        a_batch("v2", "annotating"),
    ]
    splits = ["test_set", "val_set", "golden_qa", "pool"]
    assert view_names([]) == splits
    assert view_names(batches) == [*splits, "batch_v0", "eval_v0_failures", "batch_v2"]


def test_tags_of_views() -> None:
    """Each view has the tag of what it shows."""
    tags = [tag_of(view) for view in ("test_set", "golden_qa", "pool", "batch_v12", "eval_v3_failures")]
    assert tags == ["split:test", "split:golden", "split:pool", "batch:v12", "failure:v3"]


def test_a_batch_view_leaves_out_what_was_given_back() -> None:
    """Pool scenes, each once, sorted; a scene of which one channel was given back is out."""
    there = [
        a_row("v0", "c"),
        a_row("v0", "a", "left"),
        a_row("v0", "a", "pcd"),
        a_row("v0", "b", "left", state="labeled"),
        a_row("v0", "b", "pcd", state="returned"),
        a_row("v0", "g", role="golden", state="returned"),
    ]
    assert projection.batch_view(there) == ["a", "c"]
    assert projection.split_view({"b": "val", "a": "val", "c": ""}, "val") == ["a", "b"]


# ---------------------------------------------------------------------- dataset.info


def test_info_of_a_loop() -> None:
    """Schemas by modality; figures of every evaluation; the guide's golden history, after what was there before."""
    figures = some_figures(0.25, car=4, person=2)
    record = an_evaluation("v0", figures={"2d": figures, "3d": some_figures(0.75)})
    over = golden("v1", "block", override="a new class")
    found = info(
        ("car", "person"),
        ("2d", "3d"),
        [a_batch("v0", evaluate=record, golden=golden("v0")), a_batch("v1", "checked", golden=over)],
        [{"iteration": "by hand"}],
    )
    assert found["annotation_schema_2d"] == found["annotation_schema_3d"] == {"classes": ["car", "person"]}
    assert found["eval_v0"] == {
        "mAP": 0.25,
        "mAP50": 0.5,
        "AP50": {"car": 0.375, "person": 0.375},
        "scenes": 30,
    }
    assert set(found) == {"annotation_schema_2d", "annotation_schema_3d", "eval_v0", "golden_qa_history"}
    by_hand, first, second = found["golden_qa_history"]
    assert by_hand == {"iteration": "by hand"}
    assert first == {
        "iteration": 0,
        "samples_with_labels": 4,
        "total_detections": 39,
        "top_classes": {"car": 39},
        "round": "v0",
        "verdict": "pass",
        "axes": {"2d miss": golden().axes["2d miss"].as_json()},
    }
    assert (second["iteration"], second["verdict"], second["override"]) == (1, "block", "a new class")


def test_info_follows_the_modality_that_is_mined() -> None:
    """A loop on clouds shows the clouds' figures; an unknown mAP is shown as such."""
    of = {"2d": some_figures(0.25), "3d": some_figures(0.75).with_(map=Estimate())}
    record = an_evaluation("v0", figures=of, modality="3d")
    shown_ = info(["car"], ["3d"], [a_batch("v0", evaluate=record)])["eval_v0"]
    assert (shown_["mAP"], shown_["mAP50"]) == (None, 1.0)


def test_info_forgets_cancelled_rounds() -> None:
    """Neither their evaluation nor their golden check is history."""
    done = {"evaluate": an_evaluation("v0"), "golden": golden("v0")}
    for state in STATES:
        found = info(["car"], ["2d"], [a_batch("v0", state, **done)])
        there = state != "cancelled"
        assert ("eval_v0" in found) == there
        assert len(found["golden_qa_history"]) == there


# ---------------------------------------------------------------------- any journal


@dataclass
class Journal:
    """Some journal: who is in which split, batches, who was asked for what, which scenes failed."""

    membership: dict[str, str]
    batches: list[Batch]
    assignments: list[Assignment]
    failures: dict[str, list[Failure]]

    def states(self, **other: Any) -> dict[str, SceneState]:
        of: dict[str, Any] = {"membership": self.membership, "assignments": self.assignments, **other}
        return scene_states(of["membership"], self.batches, of["assignments"], self.failures, MODALITY)


KEYS = tuple("abcdefgh")


@st.composite
def journals(draw: st.DrawFn) -> Journal:
    membership = {key: draw(st.sampled_from([*SPLITS, "pool", "pool", ""])) for key in KEYS}
    batches, assignments, failures = [], [], {}
    named = draw(st.lists(st.sampled_from(["reference", "v0", "v1", "v2"]), unique=True).map(sorted))
    for name in named:
        state = draw(st.sampled_from(STATES))
        round_ = name != "reference"
        steps: dict[str, Any] = {}
        if round_ and draw(st.booleans()):
            steps["evaluate"] = an_evaluation(name)
            wrong = draw(st.lists(st.sampled_from(KEYS), unique=True))
            failures[name] = [
                a_failure(key, *draw(st.sampled_from([(1, 0), (0, 1), (2, 3)]))) for key in wrong
            ]
        batches.append(a_batch(name, state, **steps))
        for key in draw(st.lists(st.sampled_from(KEYS), unique=True)):
            split = membership[key]
            role = "golden" if round_ and split == "golden" else "pool" if round_ else "reference"
            stream = draw(st.sampled_from(["coverage", "targeted"])) if role == "pool" else None
            for channel in draw(st.sets(st.sampled_from(sorted(MODALITY)), min_size=1)):
                for slot in range(draw(st.integers(1, 2))):
                    assignments.append(
                        a_row(
                            name,
                            key,
                            channel,
                            role=role,
                            split=split,
                            slot=slot,
                            stream=stream,
                            state=draw(st.sampled_from(get_args(AnswerState))),
                            active=draw(st.booleans()),
                        )
                    )
    return Journal(membership, batches, assignments, failures)


def by_the_book(journal: Journal, key: str) -> SceneState:
    """The same by the words of the guide, scene by scene, without sharing a line with the projection."""
    tags = {"split:" + journal.membership[key]} if journal.membership[key] else set()
    statuses = ["unlabeled"]
    for batch in journal.batches:
        of = [row for row in journal.assignments if (row.round, row.key) == (batch.round, key)]
        if not of or of[0].role == "golden":
            continue
        answers: dict[str, Counter[str]] = {}
        for row in of:
            answers.setdefault(row.channel, Counter())[row.state] += 1
        came = {"labeled", "reviewed_empty"}
        labelled = {
            one for one, said in answers.items() if came & set(said) and set(said) <= came | {"skipped"}
        }
        hopeless = {one for one, said in answers.items() if set(said) == {"skipped"}}
        ready = bool(labelled) and labelled | hopeless == set(answers)
        waiting = any(row.active and row.state in ("unreviewed", "returned") for row in of)
        statuses += ["annotated"] * ready + ["selected"] * waiting
        if of[0].role != "pool":
            continue
        for modality in ("2d", "3d"):
            channels = {one for one in answers if MODALITY[one] == modality}
            if channels and channels <= labelled:
                tags.add(f"annotated_{modality}:{batch.round}")
        if ready:
            tags.add(f"annotated:{batch.round}")
        if batch.state != "cancelled" and not any(row.state == "returned" for row in of):
            tags |= {f"batch:{batch.round}", f"source:{of[0].stream}"}
            if waiting and batch.state in ("planned", "committed", "annotating"):
                tags.add("to_annotate")
    done = [one for one in journal.batches if one.steps.evaluate and one.state != "cancelled"]
    for batch in done:
        for failure in journal.failures[batch.round]:
            if failure.key == key:
                tags.add(f"failure:{batch.round}")
                if batch == done[-1]:
                    tags |= {f"failure:{kind}" for kind in failure.kinds}
    status = next(one for one in ("annotated", "selected", "unlabeled") if one in statuses)
    return SceneState(tuple(sorted(tags)), status)


@given(journal=journals())
def test_every_scene_by_the_book(journal: Journal) -> None:
    """Tags and status of any journal are those that the guide's words give, scene by scene."""
    assert journal.states() == {key: by_the_book(journal, key) for key in KEYS}


@given(journal=journals(), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_assignments_changes_nothing(journal: Journal, shuffle: Any) -> None:
    """Assignments come from a database, in any order."""
    other = list(journal.assignments)
    shuffle.shuffle(other)
    assert journal.states(assignments=other) == journal.states()


@given(journal=journals(), keys=st.sets(st.sampled_from(KEYS)))
def test_some_scenes_are_projected_as_all_are(journal: Journal, keys: set[str]) -> None:
    """What is shown of a scene depends on its own records: of some scenes, with their assignments, the same comes out."""
    some = {key: journal.membership[key] for key in sorted(keys)}
    theirs = [row for row in journal.assignments if row.key in keys]
    states = journal.states()
    assert journal.states(membership=some, assignments=theirs) == {key: states[key] for key in some}
    assert journal.states(membership=some) == {key: states[key] for key in some}


@given(journal=journals())
def test_a_view_has_the_scenes_that_carry_its_tag(journal: Journal) -> None:
    """Of every saved view: its members, as they are listed, are the scenes that carry its tag."""
    known = {key: split for key, split in journal.membership.items()}
    states = journal.states()
    for view in view_names(journal.batches):
        carrying = sorted(key for key, state in states.items() if tag_of(view) in state.tags)
        assert members(journal, view, known) == carrying, view


def members(journal: Journal, view: str, known: Mapping[str, str]) -> Sequence[str]:
    """Members of a view, as a commit lists them."""
    split = {name: split for split, name in projection.VIEWS.items()}.get(view)
    if split is not None:
        return projection.split_view(known, split)
    kind, name, *_ = view.split("_")
    if kind == "batch":
        return projection.batch_view([row for row in journal.assignments if row.round == name])
    return sorted(failure.key for failure in journal.failures[name])
