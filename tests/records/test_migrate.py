"""Documents of 0.1.0 as records of today: all that they held is there, under its new name, and nothing is made up."""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "loop_0_1_0"))
import load_fixture

from swath.config import LoopConfig, digest, parse
from swath.errors import IntegrityError
from swath.projection import scene_states
from swath.records import migrate
from swath.records.batch import Failure
from swath.records.manifest import Manifest
from swath.store.journal import codec
from swath.store.journal.blobs import pack, unpack

Leaf = tuple[Any, ...]
STATES = ("open", "cancelled")


@cache
def stored(state: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = load_fixture.stored(state)["collections"]
    return found


def old_of(state: str) -> codec.Old:
    """What it takes to read the documents of a fixture."""
    loop = stored(state)["swath.loops"][0]
    return codec.Old(migrate.slices_of(loop["config"]), json.loads(gzip.decompress(loop["membership"])))


def leaves(value: Any, path: Leaf = ()) -> Iterator[tuple[Leaf, Any]]:
    """(path, value) of everything in a document that is neither mapping, list nor None."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from leaves(one, (*path, name))
    elif isinstance(value, list | tuple):
        for i, one in enumerate(value):
            yield from leaves(one, (*path, i))
    elif value is not None:
        yield path, value


def compared(old: Any, new: Any, moved: Callable[[Leaf], Leaf | None]) -> tuple[set[Leaf], set[Leaf]]:
    """(what `moved` lets go of the old document, what the new one has beside it), after a check that all the rest is there
    with the value that it had."""
    there = dict(leaves(new))
    gone: set[Leaf] = set()
    reached: set[Leaf] = set()
    for path, value in leaves(old):
        to = moved(path)
        if to is None:
            gone.add(path)
            continue
        assert to in there, f"{path} is not at {to}"
        assert there[to] == value, path
        assert to not in reached, f"two values went to {to}"
        reached.add(to)
    return gone, set(there) - reached


def tops(paths: set[Leaf]) -> set[str]:
    """Paths without places in lists, with dots."""
    return {".".join(str(part) for part in path if not isinstance(part, int)) for path in paths}


# ---------------------------------------------------------------------- where things went


def batch_moved(path: Leaf) -> Leaf | None:
    """Where a value of a round's document is today; None: not in the document."""
    match path:
        case ("manifest" | "manifest_sha256", *_):
            return None
        case ("number",):
            return path
        case ("batch", *rest):
            return ("size", *rest)
        case ("steps", "send", *rest):
            return ("steps", "send", 0, *rest)
        case ("steps", "fetch", "from"):
            return ("steps", "fetch", "source")
        case ("steps", "train", "notes", *rest):
            return ("steps", "train", "notes", *rest)
        case ("steps", "train", *rest):
            return ("steps", "train", "models", 0, *rest)
        case ("steps", "evaluate", "failures", i, *rest):
            return ("steps", "evaluate", "worst", i, *rest)
        case ("steps", "evaluate", "map" | "map50" | "classes" | "operating" | "errors" as part, *rest):
            return ("steps", "evaluate", "figures", "2d", part, *rest)
        case ("steps", "reopen", "times", i, "fetch", "from"):
            return ("steps", "reopen", i, "fetch", "source")
        case ("steps", "reopen", "times", *rest):
            return ("steps", "reopen", *rest)
    return path


BATCH_NEW = {
    *("schema", "role", "slots", "manifest.sha256", "manifest.size", "manifest.pieces"),
    *(f"steps.{step}.round" for step in ("check", "golden", "train", "evaluate", "stop")),
    *("steps.reopen.check.round", "steps.reopen.golden.round"),
    *("steps.golden.icc_rounds", "steps.reopen.golden.icc_rounds"),
    *("steps.send.slots", "steps.send.reopened"),
    *("steps.train.scenes", "steps.train.models.modality"),
    *("steps.evaluate.modality", "steps.evaluate.failing", "steps.evaluate.worst.notable"),
    "steps.evaluate.worst.unclear",
    *(f"steps.evaluate.failures.{part}" for part in ("sha256", "size", "pieces")),
}
"""What a round's document of today has that 0.1.0's had not."""


def manifest_moved(path: Leaf) -> Leaf | None:
    """Where a value of a manifest is today."""
    match path:
        case ("batch", *rest):
            return ("size", *rest)
        case ("zcore", *rest):
            return ("coverage", *rest)
        case ("scenes" | "golden" as part, i, "modalities", j):
            return (part, i, "channels", j)
        case ("modalities", *rest):
            return ("question", "channels", *rest)
        case (
            "candidates"
            | "evidence"
            | "excluded"
            | "failures"
            | "answers"
            | "config"
            | "config_hash"
            | "versions" as part,
            *rest,
        ):
            return ("question", part, *rest)
        case ("seed",):
            return ("question", "config", "seed")
    return path


def channels(value: Any) -> Any:
    """A manifest of 0.1.0 with the names of channels where it said modalities, and without what is said twice."""
    names = {"2d": "left", "3d": "pcd"}

    def renamed(one: Any, inside: bool) -> Any:
        if isinstance(one, Mapping):
            return {name: renamed(part, name == "modalities") for name, part in one.items()}
        if isinstance(one, list):
            return [renamed(part, inside) for part in one]
        return names[one] if inside else one

    whole: dict[str, Any] = renamed(value, False)
    assert whole.get("seed", 0) == whole.get("config", {}).get("seed", whole.get("seed", 0))
    whole.pop("seed", None)
    return whole


# ---------------------------------------------------------------------- the loop


@pytest.mark.parametrize("state", STATES)
def test_the_loop(state: str) -> None:
    """All of the loop's document is in the record, or in the membership beside it; the writer's part stays with the lease."""
    document = stored(state)["swath.loops"][0]
    new, apart = codec.old_loop(document)
    assert apart is not None
    assert apart.value == json.loads(gzip.decompress(document["membership"]))
    assert digest(apart.value) == document["membership_sha256"]
    record = codec.loop(new)
    assert record.schema_ == 1
    assert record.membership is not None
    assert record.membership.members == apart.blob
    outside = ("_id", "writer", "barrier", "membership")

    def moved(path: Leaf) -> Leaf | None:
        match path:
            case (name, *_) if name in outside:
                return None
            case ("membership_sha256",):
                return ("membership", "sha256")
            case ("test_sha256",):
                return ("membership", "test_sha256")
            case ("steps", "embed", "problems", i, j):
                return ("steps", "embed", "problems", i, ("scene", "reason")[j])
        return path

    gone, more = compared(document, record.document(), moved)
    assert {path[0] for path in gone} <= set(outside)
    members = {f"membership.members.{part}" for part in ("sha256", "size", "pieces")}
    assert tops(more) == {"schema_", "secret"} | members
    assert {name: new[name] for name in ("_id", "writer", "barrier")} == {
        name: document[name] for name in ("_id", "writer", "barrier")
    }
    configured = parse(record.config, "the fixture")
    assert configured.channels["pcd"].kind == "cloud"


def test_a_loop_that_has_seen_more() -> None:
    """Steps that the fixture has not: scenes that came in, repair, settings, a final evaluation, scenes without a vector."""
    document = copy.deepcopy(stored("open")["swath.loops"][0])
    evaluation = stored("open")["swath.rounds"][1]["steps"]["evaluate"]
    document["steps"] |= {
        "split_grown": {"added": 3, "set_aside": 1},
        "repair": {"differences": 2},
        "configure": {"hash": "abc"},
        "final_v1": {**evaluation, "on": "test", "failures": []},
    }
    document["steps"]["init"] |= {
        "damages": [{"file": "a.txt", "line": 3, "reason": "not a number"}],
        "history": [{"iteration": -1, "any": "thing"}],
    }
    document["steps"]["embed"]["problems"] = [["0007", "no image"], ["0009", "the vector is zero"]]
    before = copy.deepcopy(document)
    record = codec.loop(codec.old_loop(document)[0])
    assert document == before
    steps = record.steps
    assert steps.split_grown is not None
    assert (steps.split_grown.added, steps.split_grown.set_aside) == (3, 1)
    assert steps.repair is not None
    assert steps.repair.differences == 2
    assert steps.configure is not None
    assert steps.configure.hash == "abc"
    assert steps.embed is not None
    assert [(one.scene, one.reason) for one in steps.embed.problems] == [
        ("0007", "no image"),
        ("0009", "the vector is zero"),
    ]
    assert steps.init is not None
    assert steps.init.damages[0].line == 3
    assert steps.init.history == ({"iteration": -1, "any": "thing"},)
    final = steps.final["v1"]
    assert (final.round, final.on, final.failing, final.worst) == ("v1", "test", 0, ())
    assert final.main.map.value == evaluation["map"]["value"]


def test_a_loop_that_is_not_split() -> None:
    """Without a membership there is none; steps that were not done are None."""
    document = {
        name: value
        for name, value in stored("open")["swath.loops"][0].items()
        if name not in ("membership", "membership_sha256", "test_sha256")
    }
    new, apart = codec.old_loop({**document, "steps": {}})
    assert apart is None
    record = codec.loop(new)
    assert record.membership is None
    assert record.steps.document() == {"final": {}}


# ---------------------------------------------------------------------- rounds


@pytest.mark.parametrize("state", STATES)
def test_rounds(state: str) -> None:
    """All of a round's document is in the record or beside it; what is new in the record is on the list of what is new."""
    for document in stored(state)["swath.rounds"]:
        before = copy.deepcopy(document)
        new, apart = codec.old_batch(document, old_of(state))
        assert document == before
        record = codec.batch(new)
        gone, more = compared(
            document,
            {**record.document(), **{name: new[name] for name in codec.NOT_BATCH}},
            batch_moved_of(document),
        )
        assert tops(gone) <= {"manifest", "manifest_sha256", "number"}, document["round"]
        assert tops(more) <= BATCH_NEW, document["round"]
        assert record.is_round == (document["number"] >= 0)
        assert record.number == (document["number"] if record.is_round else None)
        assert record.manifest == apart[0].blob
        for one in record.steps.send:
            assert (one.slots, one.receipt, one.reopened) == (
                (0, 1, 2) if document["number"] < 0 else (0,),
                {},
                0,
            )
        for step in ("check", "golden", "train", "evaluate", "stop"):
            done = getattr(record.steps, step)
            assert done is None or done.round == document["round"]
        if record.steps.train is not None:
            assert record.steps.train.scenes == document["steps"]["train"]["images"]
            assert record.steps.train.models[0].modality == "2d"


def batch_moved_of(document: Mapping[str, Any]) -> Callable[[Leaf], Leaf | None]:
    """As `batch_moved`; the number of a reference batch was a sign, and is gone."""
    sign = document["number"] < 0
    return lambda path: None if sign and path == ("number",) else batch_moved(path)


@pytest.mark.parametrize("state", STATES)
def test_failures_are_kept_apart(state: str) -> None:
    """All failures of an evaluation are beside it, as they were; the first hundred stand in it."""
    found = 0
    for document in stored(state)["swath.rounds"]:
        new, apart = codec.old_batch(document, old_of(state))
        done = codec.batch(new).steps.evaluate
        if done is None:
            assert len(apart) == 1
            continue
        old = document["steps"]["evaluate"]["failures"]
        assert apart[1].value == old
        assert done.failures == apart[1].blob
        assert done.failing == len(old) > 0
        assert done.worst == tuple(Failure.model_validate(one) for one in old[:100])
        found += len(old)
    assert found > 5


def test_more_failures_than_stand_in_an_evaluation() -> None:
    """Of 250, a hundred stand in it, and all are beside it."""
    document = copy.deepcopy(stored("open")["swath.rounds"][1])
    one = document["steps"]["evaluate"]["failures"][0]
    many = [{**one, "key": f"{i:04d}"} for i in range(250)]
    document["steps"]["evaluate"]["failures"] = many
    new, apart = codec.old_batch(document, old_of("open"))
    done = codec.batch(new).steps.evaluate
    assert done is not None
    assert (done.failing, len(done.worst)) == (250, 100)
    assert apart[1].value == many


def test_a_round_with_a_history() -> None:
    """Reopened twice, closed early, taken over by hand, imported: each record as it was written, under its new name."""
    document = copy.deepcopy(stored("open")["swath.rounds"][1])
    steps = document["steps"]
    once = {"reason": "blurred", "check": steps["check"], "golden": {**steps["golden"], "override": None}}
    twice = {"reason": "again", "fetch": {"from": "truth", "labels": {"2d": 1}, "rejected": 0}}
    steps |= {
        "reopen": {"times": [{**once, "fetch": steps["fetch"]}, twice]},
        "close": {"reason": "late", "returned": 2, "kept": 18},
        "adopt": {"scenes": 20},
        "cancel": {"reason": "x", "was": "labeled", "returned": 1, "kept": 19},
    }
    steps["golden"]["override"] = "a new class"
    new, _ = codec.old_batch(document, old_of("open"))
    record = codec.batch(new)
    gone, more = compared(
        document, {**record.document(), **{name: new[name] for name in codec.NOT_BATCH}}, batch_moved
    )
    assert tops(gone) == {"manifest", "manifest_sha256"}
    assert tops(more) <= BATCH_NEW
    assert [one.reason for one in record.steps.reopen] == ["blurred", "again"]
    assert record.steps.reopen[1].fetch is not None
    assert record.steps.reopen[1].fetch.source == "truth"
    assert record.steps.golden is not None
    assert record.steps.golden.override == "a new class"
    assert record.steps.send[0].reopened == 2
    assert not record.unsent  # 0.1.0 did not ask for sending again


def test_an_imported_reference() -> None:
    """`from` is `source`: the field that labels were taken from."""
    document = copy.deepcopy(stored("open")["swath.rounds"][0])
    document["steps"] = {"fetch": {"from": "ground_truth", "labels": {"2d": 3}, "rejected": 1}}
    fetched = codec.batch(codec.old_batch(document, old_of("open"))[0]).steps.fetch
    assert fetched is not None
    assert (fetched.source, fetched.labels, fetched.rejected) == ("ground_truth", {"2d": 3}, 1)


# ---------------------------------------------------------------------- manifests


@pytest.mark.parametrize("state", STATES)
def test_manifests(state: str) -> None:
    """All of a manifest is in the record, under its new name; only a reference's hash of its settings is let go."""
    for document in stored(state)["swath.rounds"]:
        old = json.loads(gzip.decompress(document["manifest"]))
        apart = codec.old_batch(document, old_of(state))[1][0]
        record = Manifest.model_validate(apart.value)
        reference = old["role"] == "reference"
        let_go = {("config_hash",), ("number",)} if reference else set()

        def moved(path: Leaf, let_go: set[Leaf] = let_go) -> Leaf | None:
            return None if path in let_go else manifest_moved(path)

        gone, more = compared(channels(old), record.document(), moved)
        assert gone == let_go
        new = tops(more)
        if reference:
            assert new == {"scenes.split"}
            continue
        # golden scenes stand in the question too
        assert new <= {
            "scenes.split",
            "slots",
            "question.number",
            "question.golden.key",
            "question.golden.channels",
        }
        assert record.question is not None
        assert record.question.number == record.number == old["number"]
        assert record.question.golden == record.golden
        assert record.slots == old.get("slots", 1)
        assert {scene.split for scene in record.scenes} == {"pool"}
        settings = parse(record.question.config, "an old manifest")
        assert isinstance(settings, LoopConfig)


def test_splits_of_reference_scenes() -> None:
    """A reference's scenes have the split that the membership says; one that left it has none."""
    document = next(one for one in stored("open")["swath.rounds"] if one["number"] < 0)
    old = old_of("open")
    first = json.loads(gzip.decompress(document["manifest"]))["scenes"][0]["key"]
    known = {key: split for key, split in old.membership.items() if key != first}
    manifest = Manifest.model_validate(codec.old_batch(document, old._replace(membership=known))[1][0].value)
    assert {scene.key: scene.split for scene in manifest.scenes} == {
        scene.key: known.get(scene.key, "") for scene in manifest.scenes
    }
    assert {scene.split for scene in manifest.scenes} == {"val", "golden", ""}


def test_an_adopted_round_answers_no_question() -> None:
    """Its manifest named no candidates: there is nothing to choose again, and nothing is made up."""
    old = {
        "round": "v0",
        "number": 0,
        "role": "pool",
        "batch": {"budget": 1, "size": 1, "coverage": 1, "targeted": 0},
        "scenes": [
            {
                "key": "a",
                "modalities": ["3d", "2d"],
                "stream": "coverage",
                "rank": 1,
                "score": 0.0,
                "reason": "adopted",
                "failure": None,
            }
        ],
        "golden": [],
        "excluded": [],
        "notes": ["adopted from tags"],
        "answers": None,
        "zcore": {"draws": 0, "overlap": None, "interval": [None, None], "reason": "adopted"},
        "seed": 51,
        "config_hash": "x",
        "versions": {"swath": "0.1.0"},
        "fingerprints": {"embeddings": None, "pool": None},
    }
    names = {"2d": "cam", "3d": "top"}
    manifest = Manifest.model_validate(migrate.manifest(old, names, {"a": "pool"}))
    assert manifest.question is None
    assert manifest.scenes[0].channels == ("top", "cam")
    assert (manifest.scenes[0].failure, manifest.scenes[0].split) == (None, "pool")
    assert manifest.coverage is not None
    assert (manifest.coverage.reason, manifest.coverage.interval) == ("adopted", (None, None))
    assert manifest.fingerprints.document() == {}
    assert manifest.notes == ("adopted from tags",)


def test_the_fixture_has_what_is_tested() -> None:
    """First and later batches with evidence, failures, excluded scenes and scenes that are half labelled."""
    manifests = [
        Manifest.model_validate(codec.old_batch(one, old_of("cancelled"))[1][0].value)
        for one in stored("cancelled")["swath.rounds"]
    ]
    questions = {one.round: one.question for one in manifests if one.question is not None}
    assert questions["v0"].answers is None
    assert questions["v1"].answers == "v0"
    assert questions["v1"].evidence
    assert questions["v3"].excluded
    assert {one for one in questions["v3"].channels} >= {("pcd",)}
    assert any(scene.failure for scene in manifests[-1].scenes)


# ---------------------------------------------------------------------- assignments


@pytest.mark.parametrize("state", STATES)
def test_assignments(state: str) -> None:
    """All of an assignment is in the record, its modality as a channel; the split is the scene's."""
    old = old_of(state)
    for document in stored(state)["swath.assignments"]:
        before = copy.deepcopy(document)
        record = codec.assignment(document, old)
        assert document == before
        slices = {"2d": "left", "3d": "pcd"}
        said = {**document, "modality": slices[document["modality"]]}
        gone, more = compared(
            said,
            {
                **record.document(),
                "_id": document["_id"],
                "dataset": document["dataset"],
                "fence": document["fence"],
            },
            lambda path: ("channel",) if path == ("modality",) else path,
        )
        assert gone == set()
        assert more <= {("split",)}
        assert record.split == old.membership[record.key]
        assert record.rejected == tuple(record.rejected)
        assert len(record.rejected) == len(document.get("rejected", ()))


def test_the_split_of_an_assignment_is_the_one_it_had() -> None:
    """Pool and golden scenes by their role, whatever became of them; a reference's by the membership, "" where it left."""
    row = {"round": "v0", "key": "a", "modality": "3d", "slot": 0, "state": "unreviewed", "active": True}
    old = codec.Old({"2d": "left", "3d": "pcd"}, {"a": "val"})
    splits = {
        role: codec.assignment({**row, "role": role}, old).split for role in ("pool", "golden", "reference")
    }
    assert splits == {"pool": "pool", "golden": "golden", "reference": "val"}
    assert codec.assignment({**row, "role": "reference", "key": "gone"}, old).split == ""


def test_channels_of_modalities() -> None:
    """Those that the configuration named; left and pcd where it named none."""
    assert migrate.slices_of({"slices": {"image": "cam", "right": "r", "cloud": "top"}}) == {
        "2d": "cam",
        "3d": "top",
    }
    assert migrate.slices_of({"slices": {"cloud": "top"}}) == {"2d": "left", "3d": "top"}
    assert migrate.slices_of({}) == migrate.slices_of({"slices": None}) == {"2d": "left", "3d": "pcd"}


# ---------------------------------------------------------------------- all of it


@pytest.mark.parametrize("state", STATES)
def test_what_is_shown_is_what_0_1_0_showed(state: str) -> None:
    """Tags and status of every scene, from the migrated records, are those that 0.1.0 wrote into the dataset."""
    old = old_of(state)
    batches, failures = [], {}
    for document in stored(state)["swath.rounds"]:
        new, apart = codec.old_batch(document, old)
        batch = codec.batch(new)
        batches.append(batch)
        if len(apart) > 1:
            failures[batch.round] = [Failure.model_validate(one) for one in apart[1].value]
    batches.sort(key=lambda one: -1 if one.number is None else one.number)
    rows = [codec.assignment(one, old) for one in stored(state)["swath.assignments"]]
    found = scene_states(old.membership, batches, rows, failures, {"left": "2d", "right": "2d", "pcd": "3d"})
    said = json.loads((load_fixture.HERE / load_fixture.EXPECTED[state]).read_text())["scenes"]
    assert {
        key: {"tags": list(one.tags), "annotation_status": one.status} for key, one in found.items()
    } == said


@pytest.mark.parametrize("state", STATES)
def test_reading_again_reads_the_same(state: str) -> None:
    """Reading a document twice gives one result, whose bytes are those that would be stored; and what was migrated is of
    today's schema: nobody migrates it again."""
    old = old_of(state)
    for document in stored(state)["swath.rounds"]:
        one, apart = codec.old_batch(document, old)
        two, again = codec.old_batch(document, old)
        assert (one, apart) == (two, again)
        assert codec.schema_of(one) == 2
        assert codec.batch(one) == codec.batch({**codec.batch(one).document(), "schema": 2})
        for part in apart:
            data = pack(part.value)
            assert part.blob.sha256 == hashlib.sha256(data).hexdigest()
            assert unpack(data) == part.value
    loop = stored(state)["swath.loops"][0]
    assert codec.old_loop(loop) == codec.old_loop(loop)


def test_a_manifest_with_another_hash_is_refused() -> None:
    """One byte of it changed, or its hash: the round is named."""
    document = stored("open")["swath.rounds"][2]
    name = document["round"]
    for change in (
        {"manifest": document["manifest"] + b"\0"},
        {"manifest": pack({"round": name})},
        {"manifest_sha256": "0" * 64},
    ):
        with pytest.raises(IntegrityError, match=f"^{name}: the manifest is not the one that was committed"):
            codec.old_batch({**document, **change}, old_of("open"))


def test_a_membership_with_another_hash_is_not_taken_over() -> None:
    """The splits are frozen by their hash: one that differs is refused when the old loop is read."""
    document = stored("open")["swath.loops"][0]
    members = json.loads(gzip.decompress(document["membership"]))
    key = next(key for key, split in members.items() if split == "test")
    for change in (
        {"membership": gzip.compress(json.dumps({**members, key: "pool"}).encode())},
        {"membership_sha256": "0" * 64},
        {"test_sha256": "0" * 64},
    ):
        with pytest.raises(IntegrityError, match="frozen"):
            codec.old_loop({**document, **change})
