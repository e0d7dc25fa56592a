"""Which scenes come next: who may be chosen, what failures are about, how many, and which."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from some_records import a_failure, a_row
from swath.config import LoopConfig, Modes, Select, canonical, digest, parse
from swath.errors import StateError
from swath.kernels.vectors import fingerprint
from swath.policies.ratio import learned
from swath.policies.selection import (
    BY_HAND,
    NO_VECTOR,
    NOTHING_LEFT,
    Known,
    answer,
    candidates,
    kinds,
    of_modes,
    places,
    size,
    wrong,
)
from swath.records.assignment import AnswerState
from swath.records.batch import Failure, Mode
from swath.records.manifest import (
    Asked,
    AskedMode,
    FailingObject,
    Manifest,
    Question,
    RoundWorth,
    StreamWorth,
    Wrong,
)

# ---------------------------------------------------------------------- who may be chosen


def offered(**channels: str) -> dict[str, list[str]]:
    """key -> channels, from `a="left pcd"`."""
    return {key: names.split() for key, names in channels.items()}


def test_who_may_be_chosen() -> None:
    """Open scenes with a vector, sorted, and what each is labelled in; of the others, why not."""
    found = candidates(
        offered(d="left pcd", b="pcd", e="left", c="left", a="left pcd"),
        {"a", "b", "d", "e"},
        [a_row("v0", "e", state="skipped", annotator="ann", active=False)],
    )
    assert found.keys == ("a", "b", "d")
    assert found.channels == (("left", "pcd"), ("pcd",), ("left", "pcd"))
    assert found.excluded == (("c", NO_VECTOR), ("e", "skipped by ann in v0"))


def test_what_is_labelled_is_not_asked_for_again() -> None:
    """Channels with labels of earlier rounds (empty ones too) are left out; a scene that has them all is done."""
    rows = [
        a_row("v0", "a", "left", state="labeled", active=False),
        a_row("v0", "a", "pcd", state="returned", active=False),
        a_row("v0", "b", "left", state="labeled", active=False),
        a_row("v1", "b", "pcd", state="reviewed_empty", active=False),
        a_row("v1", "gone", "left", state="labeled", active=False),
    ]
    found = candidates(offered(a="left pcd", b="left pcd", c="left pcd"), {"a", "b", "c"}, rows)
    assert found.keys == ("a", "c")
    assert found.channels == (("pcd",), ("left", "pcd"))
    assert found.excluded == (("b", NOTHING_LEFT),)


@pytest.mark.parametrize("state", ["unreviewed", "returned"])
def test_a_scene_that_was_given_back_may_be_chosen_again(state: AnswerState) -> None:
    """In all its channels."""
    found = candidates(offered(a="left"), {"a"}, [a_row("v0", "a", state=state, active=False)])
    assert (found.keys, found.channels, found.excluded) == (("a",), (("left",),), ())


def test_reasons_by_weight() -> None:
    """Where several hold: nothing to label, then by hand, then no vector, then skipped; unknown annotators are `the annotator`."""
    skipped = [a_row("v0", key, state="skipped") for key in "abcd"]
    labelled = [a_row("v1", "d", "pcd", state="labeled")]
    found = candidates(
        offered(a="left", b="left", c="left", d="pcd"), {"a"}, [*skipped, *labelled], ["c", "d", "not open"]
    )
    assert found.keys == ()
    assert dict(found.excluded) == {
        "a": "skipped by the annotator in v0",
        "b": NO_VECTOR,
        "c": BY_HAND,
        "d": NOTHING_LEFT,
    }


@given(
    open_=st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from(["left", "pcd"]))),
    vectors=st.sets(st.sampled_from("abcdefgh")),
    exclude=st.sets(st.sampled_from("abcdefgh")),
)
def test_everyone_is_a_candidate_or_has_a_reason(
    open_: dict[str, set[str]], vectors: set[str], exclude: set[str]
) -> None:
    """Candidates and excluded scenes are those that were offered, each once, sorted."""
    found = candidates({key: sorted(names) for key, names in open_.items()}, vectors, [], exclude)
    assert sorted([*found.keys, *dict(found.excluded)]) == sorted(open_)
    assert len(found.channels) == len(found.keys)
    assert list(found.keys) == sorted({key for key, names in open_.items() if names} & vectors - exclude)


# ---------------------------------------------------------------------- what failures are about


CLASSES = {"car": 104, "person": 23, "sign": 5}


def test_a_missed_pedestrian_says_more_than_a_missed_car() -> None:
    """Weights go by the share of the class that was missed, and add up to 1."""
    found = kinds(a_failure("a", 6, missed={"car": 3, "person": 3}), CLASSES)
    car, person = 3 / 104, 3 / 23
    assert found == {"car": round(car / (car + person), 6), "person": round(person / (car + person), 6)}
    assert found["person"] > 4 * found["car"]
    assert list(kinds(a_failure("a", 6, missed={"person": 3, "car": 3}), CLASSES)) == ["car", "person"]
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)


def test_what_was_seen_falsely_counts_where_nothing_was_missed() -> None:
    """Falsely seen objects by number; beside a miss they say nothing."""
    false = {"sign": 3, "car": 1}
    assert kinds(a_failure("a", 0, 4, false=false), CLASSES) == {"car": 0.25, "sign": 0.75}
    assert kinds(a_failure("a", 2, 4, missed={"car": 2}, false=false), CLASSES) == {"car": 1.0}


def test_classes_that_val_does_not_have_weigh_nothing() -> None:
    """A class without references has no share; where that is all that was missed, what was seen falsely counts."""
    assert kinds(a_failure("a", 2, missed={"tram": 1, "person": 1}), CLASSES) == {"person": 1.0}
    assert kinds(a_failure("a", 1, 2, missed={"tram": 1}, false={"car": 2}), CLASSES) == {"car": 1.0}
    assert kinds(a_failure("a", 1, missed={"tram": 1}), CLASSES) == {}


def test_the_worst_failures_are_answered() -> None:
    """The first `most`, in their order, with what they missed and saw falsely."""
    failures = [a_failure("c", 3), a_failure("a", 1, 2), a_failure("b", 1)]
    assert wrong(failures, CLASSES, 2) == (
        Wrong(key="c", fn=3, fp=0, kinds={"car": 1.0}),
        Wrong(key="a", fn=1, fp=2, kinds={"car": 1.0}),
    )
    assert [one.key for one in wrong(failures, CLASSES, 9)] == ["c", "a", "b"]


# ---------------------------------------------------------------------- how many


def test_sizes_of_the_guide() -> None:
    """A quarter of 130 first, a fifth of what is left then, rounded down; at least 20 and 10."""
    assert size(Select(), 130, first=True) == 32
    assert size(Select(), 98, first=False) == 19
    assert size(Select(), 60, first=True) == 20
    assert size(Select(), 30, first=False) == 10


def test_never_more_than_there_are() -> None:
    """Neither by share, nor by minimum, nor by number."""
    assert size(Select(), 15, first=True) == 15
    assert size(Select(), 7, first=False) == 7
    assert size(Select(budget=40), 25, first=False) == 25
    assert size(Select(), 25, first=False, asked=40) == 25
    assert size(Select(), 0, first=True) == size(Select(), 0, first=False, asked=3) == 0


def test_a_number_wins_over_shares() -> None:
    """As many as were asked for; else the configured number; minimums are for shares alone."""
    for first in (True, False):
        assert size(Select(), 1000, first, asked=3) == 3
        assert size(Select(budget=5), 1000, first) == 5
        assert size(Select(budget=5), 1000, first, asked=3) == 3


def test_shares_are_not_lost_to_rounding() -> None:
    """0.29 of 100 is 29, though its product is a hair below."""
    assert 0.29 * 100 < 29
    assert size(Select(share=0.29), 100, first=False) == 29
    assert size(Select(first_share=0.57, first_min=0), 100, first=True) == 57


@given(
    left=st.integers(0, 3000),
    first=st.booleans(),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    least=st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_size_is_the_share_or_the_minimum(
    left: int, first: bool, shares: tuple[float, float], least: tuple[int, int]
) -> None:
    """Within one scene of the exact share where that is above the minimum, and never more than are left."""
    given_ = Select(first_share=shares[0], share=shares[1], first_min=least[0], min=least[1])
    share, minimum = (shares[0], least[0]) if first else (shares[1], least[1])
    found = size(given_, left, first)
    assert found <= left
    assert found >= min(minimum, left)
    if found > minimum:
        assert abs(found - min(share * left, left)) < 1 + 1e-6


# ---------------------------------------------------------------------- which


KEYS = tuple(f"{i:03d}" for i in range(40))
SETTINGS: dict[str, Any] = {"zcore_max_draws": 400, "neighbors": 40, "first_min": 4, "min": 4}
"""Few draws: what is tested does not depend on good coverage."""


def config(**select: Any) -> LoopConfig:
    return parse({"classes": ["car", "person", "sign"], "select": {**SETTINGS, **select}}, "the test")


def vectors(n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """(n, 6) float32."""
    return np.random.default_rng([7, seed]).normal(size=(n, 6)).astype(np.float32)


FAILURES = (
    Wrong(key="f0", fn=2, fp=1, kinds={"person": 1.0}),
    Wrong(key="f1", fn=1, fp=0, kinds={"car": 0.25, "sign": 0.75}),
)


def question(settings: LoopConfig | None = None, **more: Any) -> Question:
    """The question of v1, that answers v0; with `answers=None, failures=()`, that of a first batch."""
    settings = settings or config()
    given_: dict[str, Any] = {
        "number": 1,
        "candidates": KEYS,
        "channels": tuple(("left", "pcd") if i % 2 else ("pcd",) for i in range(len(KEYS))),
        "failures": FAILURES,
        "answers": "v0",
        "config": settings.model_dump(mode="json"),
        "config_hash": settings.hash(),
        "versions": {"swath": "test"},
        **more,
    }
    return Question(**given_)


def known(**more: Any) -> Known:
    given_ = Known(
        vectors(len(KEYS)), vectors(2, 1), np.zeros((0, 6), np.float32), [f"id{key}" for key in KEYS]
    )
    return replace(given_, **more)


FIRST: dict[str, Any] = {"answers": None, "failures": (), "number": 0}
NONE = vectors(0)


def chosen(of: Question, by: Known | None = None) -> Manifest:
    return answer(of, by or known(), "my set").manifest


def test_the_first_batch_is_chosen_for_coverage_alone() -> None:
    """A quarter of the pool, by their scores, best first; nothing is targeted, and nothing is said to run short."""
    found = answer(question(**FIRST), known(failures=NONE), "d")
    manifest = found.manifest
    assert (manifest.round, manifest.number, manifest.role, manifest.slots) == ("v0", 0, "pool", 1)
    n = len(KEYS) // 4
    assert manifest.size.model_dump() == {"budget": n, "size": n, "coverage": n, "targeted": 0}
    assert {scene.stream for scene in manifest.scenes} == {"coverage"}
    assert [scene.rank for scene in manifest.scenes] == list(range(1, n + 1))
    order = sorted(range(len(KEYS)), key=lambda i: (-found.scores[i], KEYS[i]))
    assert [scene.key for scene in manifest.scenes] == [KEYS[i] for i in order[:n]]
    assert [scene.score for scene in manifest.scenes] == [found.scores[i] for i in order[:n]]
    assert manifest.notes == ()
    for scene in manifest.scenes:
        assert scene.reason == f"covers the pool: zcore score {scene.score:.4f} among 40 candidates"
        assert (scene.failure, scene.similarity, scene.split) == (None, None, "pool")


@settings(max_examples=15)
@given(budget=st.integers(1, 40))
def test_later_batches_give_a_third_to_coverage(budget: int) -> None:
    """ceil(30 %) for coverage, the rest for what looks like the failures, ranked from 1 in each stream, no scene twice."""
    manifest = chosen(question(budget=budget))
    covered = math.ceil(0.3 * budget)
    assert manifest.size.model_dump() == {
        "budget": budget,
        "size": budget,
        "coverage": covered,
        "targeted": budget - covered,
    }
    streams = [scene.stream for scene in manifest.scenes]
    assert streams == ["coverage"] * covered + ["targeted"] * (budget - covered)
    ranks = [scene.rank for scene in manifest.scenes]
    assert ranks == [*range(1, covered + 1), *range(1, budget - covered + 1)]
    assert len({scene.key for scene in manifest.scenes}) == budget


def test_another_share_for_coverage() -> None:
    """The configured one, exactly; a first batch goes by coverage all the same."""
    half = config(coverage_share="1/2")
    assert chosen(question(half, budget=9)).size.coverage == 5
    assert chosen(question(half, **FIRST, budget=9), known(failures=NONE)).size.coverage == 9


WORTHS = (
    RoundWorth(
        round="v1",
        coverage=StreamWorth(scenes=30, seconds=1000, errors=90),
        targeted=StreamWorth(scenes=70, seconds=3000, errors=70),
    ),
)


@settings(max_examples=15)
@given(budget=st.integers(2, 40))
def test_an_adaptive_ratio_fills_the_budget(budget: int) -> None:
    """Coverage gets exactly the share that the rounds so far lead to, targets the rest; the manifest says both, and why; the same
    question and vectors give the same bytes."""
    of = question(config(ratio="adaptive"), budget=budget, number=2, answers="v1", worths=WORTHS)
    manifest = chosen(of)
    expected = learned("0.30", WORTHS, 2)
    assert manifest.ratio == expected
    assert Fraction(expected.share) > Fraction("0.30")
    assert manifest.notes[0] == expected.reason
    covered = math.ceil(Fraction(expected.share) * budget)
    assert (manifest.size.coverage, manifest.size.targeted) == (covered, budget - covered)
    again = Manifest.model_validate(manifest.document())
    assert canonical(chosen(again.question or of).document()) == canonical(manifest.document())


def test_an_adaptive_ratio_that_knows_nothing_is_the_fixed_one() -> None:
    """The same scenes, and a note that says so; a first batch is for coverage as ever."""
    fixed, adaptive = (chosen(question(config(ratio=one), budget=10)) for one in ("fixed", "adaptive"))
    assert adaptive.scenes == fixed.scenes
    assert fixed.ratio is None
    assert adaptive.ratio is not None
    assert "nothing is known of what the streams are worth" in adaptive.notes[0]
    first = answer(question(config(ratio="adaptive"), **FIRST), known(failures=NONE), "d").manifest
    assert (first.ratio, first.size.targeted, first.notes) == (None, 0, ())


def test_targets_look_like_failures() -> None:
    """Without evidence the failures take turns, each the candidate most like it that is left, and the reason says so."""
    here = known()
    manifest = chosen(question(budget=6), here)
    taken = [scene for scene in manifest.scenes if scene.stream == "targeted"]
    assert [scene.failure for scene in taken].count("f0") == 2
    lines = here.vectors / np.linalg.norm(here.vectors.astype(float), axis=1, keepdims=True)
    queries = here.failures / np.linalg.norm(here.failures.astype(float), axis=1, keepdims=True)
    cosines = queries @ lines.T
    covered = {scene.key for scene in manifest.scenes if scene.stream == "coverage"}
    for f, failure in enumerate(FAILURES):
        mine = [scene for scene in taken if scene.failure == failure.key]
        others = {scene.key for scene in taken} - {scene.key for scene in mine}
        best = sorted(range(len(KEYS)), key=lambda i: -cosines[f, i])
        free = [KEYS[i] for i in best if KEYS[i] not in covered | others]
        assert [scene.key for scene in mine] == free[: len(mine)]
        for scene in mine:
            looks = cosines[f, KEYS.index(scene.key)]
            assert scene.similarity == pytest.approx(looks, abs=1e-6)
            assert scene.reason == (
                f"like {failure.key}, a failure of v0 ({failure.fn} missed, {failure.fp} false): "
                f"cosine similarity {scene.similarity:.4f}"
            )


def test_scenes_carry_what_is_asked_of_them() -> None:
    """Channels and FiftyOne's id of each chosen scene are those of its row; golden scenes go along as they are."""
    blind = (Asked(key="g", channels=("left",)),)
    asked = question(golden=blind, budget=12)
    manifest = chosen(asked)
    assert manifest.golden == blind
    assert manifest.question == asked
    for scene in manifest.scenes:
        assert scene.channels == asked.channels[KEYS.index(scene.key)]
        assert scene.id == f"id{scene.key}"


def evidence(*seen: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
    """Per candidate what is seen of car, person and sign, in thousandths."""
    return tuple(tuple(one.get(name, 0) for name in ("car", "person", "sign")) for one in seen)


def alike(n: int) -> npt.NDArray[np.float32]:
    """Vectors that all look the same to f0, and differ otherwise (so that coverage has scores)."""
    out = vectors(n, 3)
    out[:, 0] = 0
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    out[:, 0] = 1
    return out


F0 = np.array([[1, 0, 0, 0, 0, 0]], np.float32)


@pytest.mark.parametrize("kind", ["car", "person", "sign"])
def test_evidence_of_the_failing_kind_counts(kind: str) -> None:
    """Of candidates that look alike those come first in which the model sees what the failure missed, and no other class."""
    rng = np.random.default_rng(5)
    seen = [
        {
            name: int(n)
            for name, n in zip(("car", "person", "sign"), rng.permutation([0, 400, 900]), strict=True)
        }
        for _ in KEYS
    ]
    asked = question(
        config(coverage_share="0", class_evidence=0.5),
        budget=8,
        evidence=evidence(*seen),
        failures=(Wrong(key="f0", fn=1, fp=0, kinds={kind: 1.0}),),
    )
    manifest = chosen(asked, known(vectors=alike(40), failures=F0))
    most = sorted(range(40), key=lambda i: (-seen[i][kind], KEYS[i]))[:8]
    assert {seen[i][kind] for i in most} == {900}
    assert {seen[KEYS.index(scene.key)][kind] for scene in manifest.scenes} == {900}
    for scene in manifest.scenes:
        assert scene.reason is not None
        assert scene.reason.endswith(f"; evidence of {kind} 0.90")
        assert scene.score == pytest.approx(0.5 * (scene.similarity or 0) + 0.5 * 0.9, abs=1e-6)


def test_weights_mix_the_kinds() -> None:
    """A score is half looks, half evidence by the weights of the failure's classes; the reason names the kind that counts most."""
    seen = [{"car": 505, "sign": 100}, {"car": 100, "sign": 400}, {"person": 1000}, {"car": 400, "sign": 400}]
    asked = question(
        config(coverage_share="0"),
        candidates=KEYS[:4],
        channels=((),) * 4,
        budget=4,
        evidence=evidence(*seen),
        failures=(Wrong(key="f0", fn=1, fp=0, kinds={"car": 0.25, "sign": 0.75}),),
    )
    manifest = chosen(asked, known(vectors=alike(4), failures=F0, ids=KEYS[:4]))
    looks = 1 / math.sqrt(2)
    expected = {
        KEYS[i]: 0.5 * looks + 0.5 * (0.25 * one.get("car", 0) + 0.75 * one.get("sign", 0)) / 1000
        for i, one in enumerate(seen)
    }
    assert [scene.key for scene in manifest.scenes] == ["003", "001", "000", "002"]
    for scene in manifest.scenes:
        assert scene.score == pytest.approx(expected[scene.key], abs=1e-6)
    said = {scene.key: (scene.reason or "").partition("; ")[2] for scene in manifest.scenes}
    assert said == {
        "000": f"evidence of car {0.505:.2f}",
        "001": "evidence of sign 0.40",
        "002": "",
        "003": "evidence of sign 0.40",
    }


def test_without_a_model_targets_go_by_looks() -> None:
    """No evidence is no error: it is said, unless evidence was not wanted; then nothing is said, and the choice is the same."""
    without = chosen(question(budget=10))
    unwanted = chosen(question(config(class_evidence=0), budget=10))
    assert without.notes == ("v0 has no model to look for failing kinds with: targets go by looks alone",)
    assert unwanted.notes == ()
    assert [scene.key for scene in without.scenes] == [scene.key for scene in unwanted.scenes]
    assert [scene.score for scene in without.scenes] == [scene.score for scene in unwanted.scenes]


def test_failures_without_a_vector_are_left_out() -> None:
    """The others are answered as if they had been all; a note names those left out, and what to do."""
    three = (*FAILURES, Wrong(key="f2", fn=9, fp=9, kinds={}))
    for bad in (np.zeros(6), np.full(6, np.nan), np.full(6, np.inf)):
        there = known().failures
        query = np.vstack([there[:1], bad.astype(np.float32)[None], there[1:]])
        asked = question(budget=10, failures=(three[0], three[2], three[1]))
        manifest = chosen(asked, known(failures=query))
        alone = chosen(question(budget=10))
        assert manifest.scenes == alone.scenes
        assert manifest.fingerprints == alone.fingerprints
        assert manifest.notes[0] == (
            "1 failures have no usable vector and are left out: f2; run `swath embed --dataset 'my set'`"
        )


def test_without_a_failure_all_places_go_to_coverage() -> None:
    """An evaluation that found nothing, or failures without vectors: coverage takes all, and the notes say why."""
    for failures, query in (((), NONE), (FAILURES, np.zeros((2, 6), np.float32))):
        manifest = chosen(question(budget=10, failures=failures), known(failures=query))
        assert (manifest.size.coverage, manifest.size.targeted) == (10, 0)
        assert "v0 has no failures to answer: all places go to coverage" in manifest.notes
        assert any("targets ran short: 0 of their 7 places" in note for note in manifest.notes)
        assert len(manifest.notes) == (2 if not failures else 3)


def test_the_same_question_has_the_same_answer() -> None:
    """Byte by byte, from the same vectors, however they lie in memory, and they are left as they are."""
    seen = evidence(*({"car": 13 * i % 1000, "sign": 29 * i % 1000} for i in range(40)))
    asked = question(budget=12, evidence=seen)
    bytes_ = canonical(chosen(asked).document())
    again = Question.model_validate(asked.document())
    copied = known(vectors=known().vectors.copy(order="F"), failures=known().failures.copy(order="F"))
    assert canonical(chosen(again, copied).document()) == bytes_
    assert np.array_equal(copied.vectors, known().vectors)
    assert np.array_equal(copied.failures, known().failures)


@pytest.mark.parametrize("alike", [False, True])
def test_ids_have_no_part_in_the_choice(alike: bool) -> None:
    """Other ids (another database): the same scenes, in the same order, for the same reasons, ties by key among them."""
    here = known(vectors=np.ones((40, 6), np.float32)) if alike else known()
    first = chosen(question(budget=12), here)
    other = chosen(question(budget=12), replace(here, ids=[f"z{i}" for i in range(60, 20, -1)]))
    assert [one.with_(id=None) for one in first.scenes] == [one.with_(id=None) for one in other.scenes]
    assert first.scenes[0].id != other.scenes[0].id
    if alike:
        assert [one.key for one in first.scenes] == list(KEYS[:12])


def test_the_seed_matters() -> None:
    """Another seed draws otherwise: the coverage scores differ."""
    one = answer(question(**FIRST), known(failures=NONE), "d").scores
    other = parse({**config().model_dump(mode="json"), "seed": 52}, "the test")
    two = answer(question(other, **FIRST), known(failures=NONE), "d").scores
    assert not np.array_equal(one, two)


def test_a_manifest_knows_what_it_was_chosen_from() -> None:
    """Fingerprints of candidates, failures and pool; none of labelled scenes, where coverage does not look at them."""
    here = known()
    prints = chosen(question(), here).fingerprints
    assert prints.embeddings == fingerprint(KEYS, here.vectors)
    assert prints.failures == fingerprint(["f0", "f1"], here.failures)
    assert prints.pool == digest(list(KEYS))
    assert prints.labelled is None
    nothing = chosen(question(**FIRST), known(failures=NONE)).fingerprints
    assert nothing.failures == fingerprint([], vectors(0))
    coverage = chosen(question(**FIRST), known(failures=NONE)).coverage
    assert coverage is not None
    assert coverage.draws == 400
    assert coverage.overlap is not None


@pytest.mark.parametrize("method", ["zcore_joint", "kcenter", "random"])
def test_other_ways_of_covering(method: str) -> None:
    """They go by scores of their own, say so, and know the labelled scenes that they looked at; rows without a vector don't
    count, and none at all is no error."""
    settings_ = config(coverage_method=method)
    labelled = vectors(6, 9)
    asked = question(settings_, **FIRST, labelled=tuple("uvwxyz"), budget=8)
    here = known(labelled=labelled, failures=NONE)
    manifest = chosen(asked, here)
    assert manifest.fingerprints.labelled == fingerprint(tuple("uvwxyz"), labelled)
    assert all(
        (scene.reason or "").startswith(f"covers the pool: {method} score") for scene in manifest.scenes
    )
    holes = np.vstack([labelled, np.zeros((1, 6)), np.full((1, 6), np.nan)]).astype(np.float32)
    more = question(settings_, **FIRST, labelled=tuple("uvwxyz12"), budget=8)
    holed = chosen(more, known(labelled=holes, failures=NONE))
    assert holed.scenes == manifest.scenes
    nobody = chosen(question(settings_, **FIRST, budget=8), known(failures=NONE))
    assert nobody.size.size == 8
    near = here.vectors[[KEYS.index(scene.key) for scene in manifest.scenes]] * np.float32(1.001)
    if method != "random":  # scenes like those that were chosen are labelled now: others are chosen
        next_ = chosen(
            question(settings_, **FIRST, labelled=tuple("abcdefgh"), budget=8),
            known(labelled=near, failures=NONE),
        )
        both = {scene.key for scene in manifest.scenes} & {scene.key for scene in next_.scenes}
        assert len(both) < 4


# ---------------------------------------------------------------------- how many, in a batch


def test_a_share_is_of_all_that_are_left() -> None:
    """Excluded scenes count for the share (they are left), and are not chosen."""
    excluded = tuple((f"x{i}", BY_HAND) for i in range(40))
    manifest = chosen(question(**FIRST, excluded=excluded), known(failures=NONE))
    assert manifest.size.budget == (40 + 40) // 4
    assert {scene.key for scene in manifest.scenes} <= set(KEYS)
    later = chosen(question(excluded=excluded))
    assert later.size.budget == (40 + 40) // 5


def test_a_budget_that_was_asked_for_wins() -> None:
    """Over the share, and over the configured number; no more than there are candidates, whoever is excluded."""
    assert chosen(question(budget=7)).size.budget == 7
    assert chosen(question(config(budget=5), budget=7)).size.budget == 7
    assert chosen(question(config(budget=5))).size.budget == 5
    excluded = tuple((f"x{i}", BY_HAND) for i in range(60))
    everyone = chosen(question(budget=70, excluded=excluded))
    assert (everyone.size.budget, everyone.size.size) == (40, 40)
    assert sorted(scene.key for scene in everyone.scenes) == list(KEYS)


# ---------------------------------------------------------------------- what cannot be answered


def test_no_candidates() -> None:
    """How many are left, and why none of them can be chosen."""
    asked = question(candidates=(), channels=(), excluded=(("a", BY_HAND), ("b", NO_VECTOR)))
    message = (
        "no candidates: 2 pool scenes are left, 2 of them excluded (a: excluded by hand, b: no usable vector)"
    )
    with pytest.raises(StateError, match=re.escape(message)):
        chosen(asked, known(vectors=NONE, ids=()))


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_a_candidate_that_lost_its_vector(value: float) -> None:
    """A replay finds that vectors are gone: it says of whom, and what to do."""
    there = vectors(len(KEYS))
    there[[3, 7]] = value
    with pytest.raises(StateError) as error:
        chosen(question(), known(vectors=there))
    assert str(error.value) == (
        "2 candidates have no usable vector any more: 003, 007; run `swath embed --dataset 'my set'`"
    )


def test_progress_is_told() -> None:
    """Coverage is what takes long: it says how far it is."""
    told: list[Sequence[int]] = []
    answer(question(**FIRST), known(failures=NONE), "d", lambda done, of: told.append((done, of)))
    assert told
    assert told[-1][0] <= told[-1][1]


# ---------------------------------------------------------------------- failure modes


MODES = (
    AskedMode(name="person, small", objects=40, missed=30),
    AskedMode(name="car, beyond 50 m", objects=20, missed=10),
)
OF_MODES = tuple(
    Wrong(key=f"m{i}", fn=3, fp=0, kinds={"person": 1.0} if i < 3 else {"car": 1.0}, mode=MODES[i // 3].name)
    for i in range(5)
)


def with_modes(budget: int = 20, **settings: Any) -> Manifest:
    asked = question(config(modes={"share": 0.5, **settings}), failures=(*FAILURES, *OF_MODES), modes=MODES, budget=budget)  # fmt: skip
    return chosen(asked, known(failures=vectors(7, 1)))


@pytest.mark.parametrize(
    ("missed", "total", "floor", "cap", "told"),
    [
        ((30, 10), 8, 0, 1, [6, 2]),  # by what they missed
        ((30, 10), 8, 0.5, 1, [4, 4]),
        ((30, 10), 8, 0, 0.5, [4, 4]),
        ((30, 10, 5), 10, 0, 0.3, [3, 3, 3]),  # the tenth place goes to no mode
        ((30, 10, 5), 2, 0.4, 1, [1, 1, 0]),  # floors that do not fit: the larger ones first
        ((1, 0), 3, 0, 1, [3, 0]),
        ((), 5, 0.2, 1, []),
        ((30, 10), 0, 0.5, 1, [0, 0]),
    ],
)
def test_places_of_modes(
    missed: tuple[int, ...], total: int, floor: float, cap: float, told: list[int]
) -> None:
    """Floors first, then by highest averages of what was missed, up to the cap."""
    assert places(missed, total, Modes(floor=floor, cap=cap)) == told


def test_modes_have_their_share_of_the_places_for_failures() -> None:
    """Of 20 places 6 go to coverage, of the 14 left half to the modes: 7, by what they missed (30, 15, 10, 7.5, 6, 5 of the one; 10 of the other): 6 and 1. The manifest says whose place
    each scene has and why; the failures take turns for the rest."""
    manifest = with_modes()
    assert [(one.name, one.places, one.filled) for one in manifest.modes] == [
        ("person, small", 6, 6),
        ("car, beyond 50 m", 1, 1),
    ]
    targeted = [one for one in manifest.scenes if one.stream == "targeted"]
    assert [one.mode for one in targeted] == [MODES[0].name] * 6 + [MODES[1].name] + [None] * 7
    for one in targeted:
        of = {wrong.key: wrong.mode for wrong in (*FAILURES, *OF_MODES)}
        assert of[one.failure or ""] == one.mode
    assert targeted[0].reason is not None
    assert targeted[0].reason.startswith("place of person, small, 30 of 40 missed: like m")
    assert len({one.key for one in manifest.scenes}) == manifest.size.size == 20


def test_floors_and_caps_of_modes() -> None:
    """A floor of a half gives both the same; a cap of a quarter leaves the rest to the failures."""
    assert [one.places for one in with_modes(floor=0.5).modes] == [4, 3]
    capped = with_modes(cap=0.25)
    assert [one.places for one in capped.modes] == [1, 1]
    assert sum(one.mode is None and one.stream == "targeted" for one in capped.scenes) == 12


def test_without_a_share_modes_change_nothing() -> None:
    """The batch is the one that it was before modes had places, and a batch without modes to answer says so."""
    plain = question(budget=20)
    assert chosen(plain).scenes == chosen(question(config(modes={"share": 0}), budget=20)).scenes
    none = chosen(question(config(modes={"share": 0.5}), budget=20))
    assert none.scenes == chosen(plain).scenes
    assert "v0 has no failure modes: their places go to its failures" in none.notes


def test_what_stands_for_a_mode() -> None:
    """The scenes with the most of its missed objects, as far as they are failures that are there; weighed by what it missed of a
    class against how many of it there are."""
    references = {"car": 100, "person": 20}
    mode = Mode(
        name="far", objects=9, missed=6, scenes={"a": 3, "gone": 2, "b": 1}, classes={"car": 5, "person": 1}
    )
    there = [Failure(key=key, kinds=("high_fn",), fn=4, fp=1, evidence=4, missed={"person": 4}, false={}) for key in "ba"]  # fmt: skip
    told = of_modes([mode], there, references, 5)
    assert [(one.key, one.fn, one.mode) for one in told] == [("a", 4, "far"), ("b", 4, "far")]
    assert told[0].kinds == {"car": 0.5, "person": 0.5}
    assert [one.key for one in of_modes([mode], there, references, 1)] == ["a"]


# ---------------------------------------------------------------------- objects


def an_object(name: str = "person", x: int = 10, false: bool = False) -> Wrong:
    shape = FailingObject(
        channel="left", name=name, false=false, box=(x, 5, x + 9, 20), window=(x, 0, x + 20, 24)
    )
    return Wrong(key="f0", fn=int(not false), fp=int(false), kinds={name: 1.0}, object=shape)


def shown(at: Mapping[int, int], n: int = 2) -> tuple[Question, Known]:
    """A question about two objects, and candidates with `n` windows each: vectors by chance, but for candidate -> object that its last
    window looks like."""
    rng = np.random.default_rng(5)
    objects = rng.normal(size=(2, 9)).astype(np.float32)
    windows = rng.normal(size=(len(KEYS) * n, 9)).astype(np.float32)
    for row, of in at.items():
        windows[row * n + n - 1] = 3 * objects[of] + rng.normal(0, 0.01, 9).astype(np.float32)
    asked = question(
        config(coverage_share="0", queries="objects", class_evidence=0),
        budget=len(at),
        failures=(an_object(), an_object("car", 40)),
        windows=tuple({"left": tuple((i, 0, i + 24, 24) for i in range(n))} for _ in KEYS),
    )
    return asked, known(failures=NONE, objects=objects, windows=windows)


def test_scenes_that_show_a_failing_object_are_chosen() -> None:
    """A scene is as similar to an object as the most similar of its windows; objects take turns; the reason names the object, and the
    manifest knows the vectors."""
    asked, by = shown({3: 0, 17: 1, 30: 0, 8: 1})
    manifest = chosen(asked, by)
    assert sorted(scene.key for scene in manifest.scenes) == ["003", "008", "017", "030"]
    assert sorted(str(scene.object and scene.object.name) for scene in manifest.scenes) == [
        *["car"] * 2,
        *["person"] * 2,
    ]
    first = next(scene for scene in manifest.scenes if scene.key == "003")
    assert first.similarity is not None
    assert first.similarity > 0.99
    assert first.reason == (
        f"shows what looks like the missed person at 10, 5, 19, 20 px of left, in f0, a failure of v0: cosine similarity "
        f"{first.similarity:.4f}"
    )
    changed = by.windows.copy()
    changed[0, 0] += 1
    assert manifest.fingerprints.windows != chosen(asked, replace(by, windows=changed)).fingerprints.windows
    assert canonical(chosen(asked, by).document()) == canonical(manifest.document())


def test_scenes_and_objects_have_half_of_the_places_each() -> None:
    """However similar windows are to objects, failing scenes have their half."""
    asked, by = shown({3: 0, 17: 1, 30: 0, 8: 1})
    both = asked.with_(failures=(*FAILURES, *asked.failures))
    manifest = chosen(both, replace(by, failures=vectors(2, 1)))
    assert sum(scene.object is None for scene in manifest.scenes) == 2
    assert {scene.key for scene in manifest.scenes if scene.object} <= {"003", "017", "030", "008"}


def test_objects_and_windows_that_cannot_be_read() -> None:
    """An object without a vector is named and left out, a window without one is not looked at."""
    asked, by = shown({3: 0, 17: 1, 30: 0, 8: 1})
    objects, windows = by.objects.copy(), by.windows.copy()
    objects[1], windows[3 * 2 + 1] = np.nan, np.nan
    manifest = chosen(asked, replace(by, objects=objects, windows=windows))
    assert (
        "1 failing objects cannot be cut out and are left out: missed car at 40, 5, 49, 20 px of left in f0"
        in manifest.notes
    )
    assert {scene.object.name for scene in manifest.scenes if scene.object} == {"person"}
    assert "003" not in [scene.key for scene in manifest.scenes][:1]


def test_evidence_counts_for_objects_too() -> None:
    """With a share of 1, the scenes that hold most evidence of the object's class come first, whatever they look like."""
    asked, by = shown({3: 0, 17: 1, 30: 0, 8: 1})
    seen = evidence(
        *({"person": 900} if key == "005" else {"car": 800} if key == "006" else {} for key in KEYS)
    )
    settings_ = config(coverage_share="0", queries="objects", class_evidence=1)
    manifest = chosen(asked.with_(evidence=seen, budget=2, config=settings_.model_dump(mode="json")), by)
    assert {scene.key: scene.object and scene.object.name for scene in manifest.scenes} == {
        "005": "person",
        "006": "car",
    }
