"""The whole loop on a made KITTI folder: interrupted or not, asked once or twice, with honest and with careless annotators."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import durable
from run_cli import run_cli
from support import QUICK, remove, samples_of
from swath.annotators.base import Answer, Fetched, Receipt, Work
from swath.cli import main
from swath.errors import ConfigError, FrozenSplitError, IntegrityError, StateError, SwathError, WaitingError
from swath.labels.shapes import Boxes
from swath.life import STEPS
from swath.loop import Loop
from swath.records.batch import Steps

SETTINGS = {**QUICK, "annotate": {"annotator": "simulated"}, "splits": {"golden": 0.1}}
NEEDS = {"send": "sent", "fetch": "fetched", "evaluate": "evaluated"}  # points of v0 to go on from


@pytest.fixture(scope="module")
def begin(
    mongod: str, world: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Loop]]:
    """A loop on the made folder, by name of its dataset."""
    names: list[str] = []

    def make(name: str) -> Loop:
        names.append(name)
        loop, result = Loop.init_kitti(name, world(60), changes=SETTINGS, home=tmp_path_factory.mktemp(name))
        assert result.scenes == result.added == 60
        assert result.damages == ()
        return loop

    yield make
    for name in names:
        remove(name)


@pytest.fixture(scope="module")
def unbroken(begin: Callable[[str], Loop]) -> Loop:
    """Two rounds in one go."""
    loop = begin("t-unbroken")
    result = loop.run(2)
    assert result.waits is None
    assert result.closed == 2
    rounds = ("select", "send", "fetch", "check", "golden", "train", "evaluate", "stop")
    assert [step for step, _ in result.done] == ["split", "embed", "reference", *rounds, *rounds]
    return loop


def test_fiftyone_alone_reads_every_sample(unbroken: Loop) -> None:
    """In a new process, without swath, every sample of every slice loads with all that two rounds have written to it."""
    code = (
        "import sys, fiftyone as fo\n"
        "dataset, fields = fo.load_dataset(sys.argv[1]), set()\n"
        "for name in dataset.group_slices:\n"
        "    for sample in dataset.select_group_slices([name]):\n"
        "        fields |= {field for field in sample.field_names if sample[field] is not None}\n"
        "print(*sorted(fields))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, unbroken.name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    written = {
        "opinions_2d",
        "opinions_3d",
        "findings",
        "human_detections",
        "human_cuboids",
        "golden_cuboids",
    }
    assert written | {"predictions", "embeddings", "zcore", "annotation_status"} <= set(done.stdout.split())


class Walk:
    """Two rounds, a new `Loop` for each step, each step asked for twice; `changed`: what the second time changed."""

    def __init__(self, name: str, homes: Path) -> None:
        self.name, self.homes = name, homes
        self.changed: list[str] = []
        self.whys: list[str] = []
        closed = 0
        while closed < 2:
            plan, _ = Loop.open(name).next()
            assert plan.step is not None
            self.whys.append(plan.why)
            before = durable.everything(Loop.open(name))
            with suppress(StateError, WaitingError):
                Loop.open(name).step(plan.step)
            after = durable.everything(Loop.open(name))
            self.changed += [f"{plan.step}: {one}" for one in durable.differences(before, after)]
            closed = sum(batch["state"] == "closed" for batch in after["journal"]["rounds"][1:])
            last = after["journal"]["rounds"][-1:]
            if plan.step in NEEDS and last and last[0]["round"] == "v0":
                durable.fork(name, f"t-{NEEDS[plan.step]}", homes / NEEDS[plan.step])


@pytest.fixture(scope="module")
def walk(begin: Callable[[str], Loop], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    begin("t-walk")
    yield Walk("t-walk", tmp_path_factory.mktemp("homes"))
    for point in NEEDS.values():
        remove(f"t-{point}")


@pytest.fixture
def at(walk: Walk, dataset_name: str) -> Callable[[str], Loop]:
    """A loop of this test's own, that stands at a point of v0: `sent`, `fetched` or `evaluated`."""

    def copy(point: str) -> Loop:
        durable.fork(f"t-{point}", dataset_name, walk.homes / dataset_name)
        return Loop.open(dataset_name)

    return copy


def steps_of(loop: Loop, name: str) -> Steps:
    return loop.workspace.journal.batches.get(name).steps


def failures_of(loop: Loop, name: str) -> list[str]:
    batches = loop.workspace.journal.batches
    return [failure.key for failure in batches.failures(batches.get(name))]


# ---------------------------------------------------------------------- the same, however it is run


def test_a_run_in_pieces_is_the_run_in_one_go(unbroken: Loop, walk: Walk) -> None:
    """Batches, labels, tags, predictions, models, figures, views, info: equal, value by value, in all slices."""
    one, two = durable.everything(unbroken), durable.everything(Loop.open(walk.name))
    assert durable.differences(one, two) == []
    assert len(one["samples"]) == 180
    assert [batch["round"] for batch in one["journal"]["rounds"]] == ["reference", "v0", "v1"]
    for (_, slice_name), doc in one["samples"].items():  # what was compared is there
        if "batch:v1" in doc["tags"] and slice_name == "left":
            assert doc["human_detections"]["detections"] is not None
    trained = steps_of(unbroken, "v0").train
    assert trained is not None
    assert trained.models[0].sha256


def test_each_step_twice_changes_nothing(walk: Walk) -> None:
    """Asking again for a step that was done leaves dataset, journal, views and info as they were."""
    assert walk.changed == []


def test_every_step_says_why(walk: Walk) -> None:
    """Each of the 19 steps of two rounds comes with its reason, the round's name, and how many scenes it is about."""
    golden = len(Loop.open(walk.name).workspace.members("golden"))
    expected = [
        "the scenes are not split into test, val, golden and pool yet",
        "pool, val and golden have no embeddings yet",
        "val and golden have no reference labels yet",
    ]
    for name, size, before in (("v0", 20, None), ("v1", 10, "v0 is closed (no criterion says stop)")):
        record = steps_of(Loop.open(walk.name), name).golden
        assert record is not None
        expected += [
            before or "nothing is chosen yet: v0, for coverage",
            f"{size} scenes of {name} wait to be sent to annotators",
            f"{size + golden} scenes of {name} wait for labels",
            f"the labels of {name} came and are not checked yet",
            f"the blind labels of {name} are not compared with the reference yet",
            f"{name} is labelled and checked; golden check: {record.verdict}",
            f"the model of {name} was not evaluated yet",
            f"{name} is evaluated: go on, or stop?",
        ]
    assert walk.whys == expected


def test_replay_chooses_the_same_batch(unbroken: Loop) -> None:
    """Both batches can be chosen again from their manifests, byte by byte, and a look changes nothing."""
    before = durable.everything(unbroken)
    assert all(unbroken.replay(name).equal for name in ("v0", "v1"))
    assert unbroken.repair(check=True).differences == ()
    unbroken.status()
    unbroken.plan()
    unbroken.select(dry_run=True)
    assert durable.differences(before, durable.everything(unbroken)) == []


# ---------------------------------------------------------------------- what a round is


def test_budget_and_quota(unbroken: Loop) -> None:
    """v0 fills its budget with coverage, v1 with 3 of 10 for coverage and 7 near failures of v0, ranked."""
    rounds = unbroken.status().rounds
    left = unbroken.status().splits["pool"]
    assert rounds[0].batch.as_json() == {"budget": 20, "size": 20, "coverage": 20, "targeted": 0}
    assert left - 20 >= 10
    assert rounds[1].batch.as_json() == {"budget": 10, "size": 10, "coverage": 3, "targeted": 7}
    batches = unbroken.workspace.journal.batches
    manifest, failures = batches.manifest(batches.get("v1")), failures_of(unbroken, "v0")
    for stream, size in (("coverage", 3), ("targeted", 7)):
        chosen = [scene for scene in manifest.scenes if scene.stream == stream]
        assert [scene.rank for scene in chosen] == list(range(1, size + 1))
        assert all(scene.reason for scene in chosen)
        assert all((scene.failure in failures) == (stream == "targeted") for scene in chosen)


def test_status_has_the_promised_shape(unbroken: Loop) -> None:
    """`status --json`: the names and types of the design, counts that add up by scene and by slice."""
    status = unbroken.status().as_json()
    assert status["scenes"] == 60
    assert status["slices"] == {"left": 60, "right": 60, "pcd": 60}
    assert sum(status["splits"].values()) == 60
    pool = status["pool"]
    assert (
        pool["total"] == status["splits"]["pool"] == pool["selected"] + pool["annotated"] + pool["unlabeled"]
    )
    assert (pool["selected"], pool["annotated"]) == (0, 30)
    for row, size in zip(status["rounds"], (20, 10), strict=True):
        assert {"round", "state", "batch", "annotated", "map", "map50", "golden", "decision"} <= set(row)
        assert row["state"] == "closed"
        assert row["annotated"] == size
        assert isinstance(row["map"], float)
        assert row["decision"] == "continue"
    assert status["next"]["step"] == "select"
    assert status["next"]["why"]


def test_predictions_never_become_labels(unbroken: Loop) -> None:
    """Every label in `human_*` says which annotator and batch it came from, and none has a confidence."""
    labels = 0
    for doc in durable.samples(unbroken).values():
        for field in ("human_detections", "human_cuboids"):
            for one in (doc.get(field) or {}).get("detections", ()):
                labels += 1
                assert one["annotator"] == "simulated"
                assert one["round"] in ("reference", "v0", "v1")
                assert "confidence" not in one or one["confidence"] is None
    assert labels > 200


# ---------------------------------------------------------------------- frozen, blind


def test_test_scenes_are_never_touched(unbroken: Loop) -> None:
    """No vector, score, label, prediction, assignment or tag but the split's: test is as it came."""
    test = unbroken.workspace.members("test")
    assert len(test) >= 5
    asked = {row.key for row in unbroken.workspace.journal.assignments.find()}
    mined = {key for name in ("v0", "v1") for key in failures_of(unbroken, name)}
    assert not set(test) & (asked | mined)
    assert mined <= set(unbroken.workspace.members("val"))
    for (key, _), doc in durable.samples(unbroken).items():
        if key in test:
            assert [tag for tag in doc["tags"] if ":" in tag] == ["split:test"]
            assert doc["annotation_status"] == "unlabeled"
            touched = (
                "embeddings",
                "zcore",
                "human_detections",
                "human_cuboids",
                "predictions",
                "golden_detections",
            )
            assert {field: doc[field] for field in touched if doc.get(field) is not None} == {}


def test_guards_of_the_frozen_split(unbroken: Loop) -> None:
    """Whatever way a test scene comes in - by name, among failures, among labels - the step that meets it refuses."""
    workspace = unbroken.workspace
    test = workspace.members("test")[0]
    with pytest.raises(FrozenSplitError, match=test):
        unbroken.select(exclude=[test], dry_run=True)
    with pytest.raises(FrozenSplitError, match="frozen"):
        workspace.not_test([test], "embed")
    rounds = workspace.journal._loops.database["swath.rounds"]
    v1 = rounds.find_one({"dataset": workspace.journal.dataset_id, "round": "v1"})
    batches = workspace.journal.batches
    first, *rest = batches.failures(batches.get("v1"))
    planted = batches.keep([first.with_(key=test), *rest])
    try:
        rounds.update_one({"_id": v1["_id"]}, {"$set": {"steps.evaluate.failures": planted}})
        with pytest.raises(FrozenSplitError, match="targeted selection"):
            unbroken.select(dry_run=True)
    finally:
        rounds.replace_one({"_id": v1["_id"]}, v1)
    assignments = workspace.journal._loops.database["swath.assignments"]
    row = assignments.find_one({"dataset": workspace.journal.dataset_id, "round": "v1", "role": "pool"})
    row |= {"key": test, "active": False}
    del row["_id"]
    try:
        assignments.insert_one(row)
        rounds.update_one({"_id": v1["_id"]}, {"$set": {"state": "checked"}})
        with pytest.raises(FrozenSplitError, match="train"):
            unbroken.train()
    finally:
        assignments.delete_one({"_id": row["_id"]})
        rounds.replace_one({"_id": v1["_id"]}, v1)


def test_a_thawed_split_is_noticed(unbroken: Loop) -> None:
    """Moving one scene from test to the pool in the stored pieces is an integrity error at the next look."""
    from swath.store.journal.blobs import pack

    journal = unbroken.workspace.journal
    membership = journal.loop().membership
    assert membership is not None
    moved = {**unbroken.workspace.membership(), unbroken.workspace.members("test")[0]: "pool"}
    pieces = journal._loops.database["swath.pieces"]
    which = {"dataset": journal.dataset_id, "sha256": membership.members.sha256}
    piece = pieces.find_one(which)
    try:
        pieces.update_one(which, {"$set": {"data": pack(moved)}})
        with pytest.raises(IntegrityError, match="list of splits is not the one that was committed"):
            Loop.open(unbroken.name).workspace.membership()
    finally:
        pieces.replace_one({"_id": piece["_id"]}, piece)


def test_golden_labels_are_blind_and_apart(unbroken: Loop) -> None:
    """Golden scenes: `human_*` holds the reference alone, `golden_*` one blind labelling per round; pool has none."""
    membership = unbroken.workspace.membership()
    found = 0
    for (key, _), doc in durable.samples(unbroken).items():
        human = [
            one
            for f in ("human_detections", "human_cuboids")
            for one in (doc.get(f) or {}).get("detections", ())
        ]
        blind = [
            one
            for f in ("golden_detections", "golden_cuboids")
            for one in (doc.get(f) or {}).get("detections", ())
        ]
        if membership[key] == "golden":
            assert {one["round"] for one in human} <= {"reference"}
            assert {one["round"] for one in blind} <= {"v0", "v1"}
            found += len({one["round"] for one in blind})
        else:
            assert blind == []
        if membership[key] == "pool":
            assert {one["round"] for one in human} <= {"v0", "v1"}
    assert found >= 2 * 2 * len(unbroken.workspace.members("golden")) - 4


def test_work_tells_nothing(at: Callable[[str], Loop]) -> None:
    """Annotators get golden and pool scenes under ids that sort them anew, with nothing but media and calibration in a task:
    the same task, asked for as golden or as pool, would be the same bytes but for its id."""
    loop = at("sent")
    seen: list[Work] = []

    class Curious:
        name, opinions = "simulated", 1

        def send(self, work: Work) -> Receipt:
            seen.append(work)
            return {}

        def fetch(self, work: Work, receipt: Receipt) -> Fetched:
            return Fetched(())

    loop.annotator = Curious()
    assert loop.send().sent_before
    (work,) = seen
    rows = loop.workspace.journal.assignments.find(round="v0", active=True)
    golden = {row.key for row in rows if row.role == "golden"}
    table = loop.workspace.scenes.table
    key_of = {table.path("left", key): key for key in table.keys.tolist()}
    role = ["g" if key_of[task.media["left"]] in golden else "p" for task in work.tasks]
    assert role.count("g") == len(golden) >= 4
    assert role != sorted(role)
    assert role != sorted(role, reverse=True)
    assert [task.task for task in work.tasks] == sorted(task.task for task in work.tasks)
    for task in work.tasks:
        key = key_of[task.media["left"]]
        assert len(task.task) == 16
        assert int(task.task, 16) >= 0
        assert task.media == {name: table.path(name, key) for name in ("left", "right", "pcd")}
        assert task.sizes == {name: table.size(name, key) for name in ("left", "right")}
        assert [channel.name for channel in task.channels] == ["left", "pcd"]
        assert task.calibration == loop.workspace.scenes.calibrations([key])[key]
        assert task.slot == 0
    assert (work.batch, work.primary, work.sent) == ("v0", "left", 0)
    assert loop.fetch().waiting == len(work.tasks)  # nobody looked: all are waited for, nothing is empty


# ---------------------------------------------------------------------- truth is hidden


def test_garbage_in_ground_truth_changes_nothing(at: Callable[[str], Loop], unbroken: Loop) -> None:
    """Once the labels are in, `ground_truth` may say anything: same findings, verdict, model, figures, next batch."""
    loop = at("fetched")
    dataset = loop.workspace.scenes.dataset
    garbage = {
        "_cls": "Detections",
        "detections": [{"_cls": "Detection", "label": "Tram", "bounding_box": [0, 0, 1, 1]}],
    }
    changed = samples_of(dataset).update_many({}, {"$set": {"ground_truth": garbage}})
    assert changed.modified_count == 180
    loop = Loop.open(loop.name)
    loop.run(1)
    loop.select()
    expected, found = durable.journal(unbroken), durable.journal(loop)
    for one, two in zip(expected["rounds"][:2], found["rounds"][:2], strict=True):
        assert durable.differences(one, two) == []
    assert found["rounds"][1]["steps"]["train"]["models"][0]["sha256"]
    assert durable.differences(expected["rounds"][2]["manifest"], found["rounds"][2]["manifest"]) == []


# ---------------------------------------------------------------------- annotators who err


class Wrapped:
    """The loop's own annotator, with its answers changed on the way."""

    opinions = 1

    def __init__(self, loop: Loop, change: Callable[[list[Answer]], list[Answer]]) -> None:
        self._inner, self._change = loop.annotator, change
        self.name = self._inner.name

    def send(self, work: Work) -> Receipt:
        return self._inner.send(work)

    def fetch(self, work: Work, receipt: Receipt) -> Fetched:
        return Fetched(tuple(self._change(list(self._inner.fetch(work, receipt).answers))))


FORGED = {
    "unknown": lambda answers: [*answers, Answer("0123456789abcdef", "left", "labeled", Boxes.empty())],
    "given twice": lambda answers: [*answers, answers[0]],
}


def test_answers_that_were_not_asked_for_are_refused(at: Callable[[str], Loop]) -> None:
    """An unknown id, one given twice: refused by name, and not a byte is written. One that is missing is waited for."""
    loop = at("sent")
    before = durable.everything(loop)
    for what, change in FORGED.items():
        loop = Loop.open(loop.name)
        loop.annotator = Wrapped(loop, change)
        with pytest.raises(IntegrityError, match=f"{what}.*nothing was written"):
            loop.fetch()
        assert durable.differences(before, durable.everything(loop)) == []
    loop = Loop.open(loop.name)
    loop.annotator = Wrapped(loop, lambda answers: answers[1:])
    assert (loop.fetch().waiting, loop.plan().step) == (1, "fetch")
    assert Loop.open(loop.name).fetch().state == "labeled"


def test_bad_labels_are_kept_apart_and_good_ones_kept(at: Callable[[str], Loop]) -> None:
    """NaN, a negative size, an unknown class: listed with a reason, absent from the dataset, the rest is there."""
    from swath.labels.clean import clean

    loop = at("sent")
    chosen: dict[str, int] = {}

    def spoil(answers: list[Answer]) -> list[Answer]:
        first = next(
            i
            for i, one in enumerate(answers)
            if one.channel == "left" and one.labels is not None and len(one.labels)
        )
        old = answers[first]
        assert isinstance(old.labels, Boxes)
        bad = np.array([[np.nan, 1, 2, 3], [9, 9, 2, 2], [1, 1, 5, 5]])
        boxes = Boxes(
            np.concatenate([old.labels.boxes, bad]), (*old.labels.classes, "Car", "Car", "Spaceship")
        )
        good, rejected = clean(boxes, loop.workspace.config.classes, 300, 90)
        chosen["good"] = len(good)
        answers[first] = Answer(old.task, "left", "labeled", good, old.annotator, rejected)
        return answers

    loop.annotator = Wrapped(loop, spoil)
    result = loop.fetch()
    assert len(result.rejected) == 3
    assert all(one.reason and one.scene for one in result.rejected)
    rows = loop.workspace.journal.assignments.find(round="v0", rejected=True)
    assert [(row.channel, row.count, len(row.rejected)) for row in rows] == [("left", chosen["good"], 3)]
    for doc in durable.samples(loop).values():
        for one in (doc.get("human_detections") or {}).get("detections", ()):
            assert np.isfinite(one["bounding_box"]).all()
            assert one["label"] != "Spaceship"


def test_careless_annotators_are_stopped(
    at: Callable[[str], Loop], capfd: pytest.CaptureFixture[str]
) -> None:
    """Missing 30 % of the objects blocks: training and selection are held, by Python and by the command line, until a
    reason is given; the reason is recorded beside the verdict, and the next round says what it was built on."""
    loop = at("sent")
    loop = Loop.open(loop.name, changes={"annotate": {"miss": 0.4}})
    loop.run(1, until="check")
    plan = loop.plan()
    assert plan.step == "golden"
    with pytest.raises(WaitingError, match=r"block.*3d miss"):
        loop.next()
    entry = steps_of(loop, "v0").golden
    assert entry is not None
    assert entry.verdict == "block"
    miss = entry.axes["3d miss"]
    assert miss.rate is not None
    assert miss.rate > 0.2 > miss.accepted
    assert miss.p_value < 0.01
    for step in (loop.train, loop.select, lambda: loop.select(anyway=True), loop.next):
        with pytest.raises(WaitingError):
            step()
    assert loop.run(1).waits
    assert loop.status().rounds[0].golden == "block"
    for command in (["golden"], ["train"], ["select"], ["next"], ["run"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--dataset", loop.name])
        assert ended.value.code == 3, command
    assert "Traceback" not in capfd.readouterr().err
    with pytest.raises(SwathError, match="reason"):
        loop.golden(override="  ")
    assert loop.golden(override="one annotator was new; relabelling is under way").verdict == "block"
    loop.run(1)
    (only,) = Loop.open(loop.name).status().rounds
    assert (only.state, only.golden) == ("closed", "block")
    entry = steps_of(loop, "v0").golden
    assert entry is not None
    assert entry.override == "one annotator was new; relabelling is under way"
    assert loop.select().size == 10


def boxes_of(loop: Loop) -> dict[str, int]:
    """Scene -> boxes that came in v0."""
    rows = loop.workspace.journal.assignments.find(round="v0")
    return {row.key: row.count or 0 for row in rows if row.channel == "left"}


def test_a_blocked_round_is_labelled_again(at: Callable[[str], Loop]) -> None:
    """Reopened with a reason, all of it waits to be sent to its annotators again; careful labels pass, and what the first ones were
    said to be is kept beside the reason."""
    loop = Loop.open(at("sent").name, changes={"annotate": {"miss": 0.4}})
    with pytest.raises(WaitingError):
        loop.run(1, until="check")
        loop.golden()
    with pytest.raises(SwathError, match="reason"):
        loop.reopen("v0", "")
    first = boxes_of(loop)
    assert loop.reopen("v0", "half of the cars were missed").state == "annotating"
    assert loop.plan().step == "send"
    assert loop.status().pool.selected == 20
    with pytest.raises(StateError, match="not sent again"):
        loop.fetch()
    with pytest.raises(StateError):
        loop.reopen("v0", "again")
    loop = Loop.open(loop.name, changes={"annotate": {"miss": 0.0}})
    loop.run(1, until="golden")
    second = boxes_of(loop)
    assert sum(second.values()) > 1.3 * sum(first.values())
    steps = steps_of(loop, "v0")
    assert steps.golden is not None
    assert steps.golden.axes["2d miss"].errors == 0
    (time,) = steps.reopen
    assert time.reason == "half of the cars were missed"
    assert time.golden is not None
    assert time.golden.verdict == "block"
    assert not loop.repair(check=True).differences


def test_settings_are_kept_once_a_step_succeeded_with_them(at: Callable[[str], Loop]) -> None:
    """An encoder that fails is not the loop's encoder afterwards; a threshold that a step ran under is."""
    name = at("sent").name
    with pytest.raises(SwathError):
        Loop.open(name, changes={"embed": {"encoder": "field:oops"}}).embed()
    with pytest.raises(ConfigError, match="expected a field that holds vectors, got 'zcore': a FloatField"):
        Loop.open(name, changes={"embed": {"encoder": "field:zcore"}}).embed()
    assert Loop.open(name).workspace.config.embed.encoder != "field:oops"
    Loop.open(name, changes={"golden": {"min_objects": 3}}).fetch()
    assert Loop.open(name).workspace.config.golden.min_objects == 3


# ---------------------------------------------------------------------- stopping, order of steps


def test_a_reached_target_stops_the_loop(at: Callable[[str], Loop]) -> None:
    """With the lower bound at the target the decision is stop: nothing is next, select refuses, `--anyway` goes on."""
    loop = at("evaluated")
    loop = Loop.open(loop.name, changes={"stop": {"target": 0.0}})
    result = loop.stop()
    assert result.decision == "stop"
    assert result.criteria["target"].stop is True
    assert result.criteria["pool"].numbers["left"] == loop.status().splits["pool"] - 20
    assert loop.plan().step is None
    assert "target" in loop.plan().why
    for step in (loop.next, loop.select, lambda: loop.select(dry_run=True)):
        with pytest.raises(WaitingError, match="stop"):
            step()
    assert loop.run(2).done == ()
    code, said, _ = run_cli("next", "--dataset", loop.name)
    assert code == 0
    assert said.startswith("nothing is next: ")
    assert f"`swath evaluate --final --dataset {loop.name}`" in said
    assert f"`swath select --anyway --dataset {loop.name}`" in said
    assert loop.select(anyway=True).round == "v1"
    assert loop.plan().step == "send"


REFUSED = {
    "sent": {
        "reference": "the reference is there already; it is made once; until something is compared with it, it can be taken back: "
        "`swath round cancel reference --reason REASON --dataset NAME`",
        "select": "v0 is annotating: finish or cancel it before the next batch; see `swath next --dataset NAME`",
        **{
            step: f"v0 is annotating; this step needs it to be {state}; `swath next --dataset NAME` says what is next"
            for step, state in (
                ("check", "labeled"),
                ("golden", "labeled"),
                ("train", "checked"),
                ("evaluate", "trained"),
                ("stop", "evaluated"),
            )
        },
    },
    "evaluated": {
        "reference": "the reference is there already; it is made once; v0 was compared with it, and it stays",
        "select": "v0 is evaluated: finish or cancel it before the next batch; see `swath next --dataset NAME`",
        **dict.fromkeys(
            ("send", "fetch"),
            "no batch is open; choose one first: `swath select --dataset NAME`, or `swath next --dataset NAME` says what is next",
        ),
        **{
            step: f"v0 is evaluated; this step needs it to be {state}; `swath next --dataset NAME` says what is next{again}"
            for step, state, again in (
                ("check", "labeled", ""),
                ("golden", "labeled", ", `swath golden --show --dataset NAME` what it said"),
                ("train", "checked", ""),
                ("evaluate", "trained", ", `swath evaluate --show --dataset NAME` what it said"),
            )
        },
    },
}


@pytest.mark.parametrize("point", ["sent", "evaluated"])
def test_steps_out_of_order_are_refused(at: Callable[[str], Loop], point: str) -> None:
    """A step whose time has not come, or is over, says where the round stands and what is next, and changes nothing."""
    loop = at(point)
    fine = {"sent": {"split", "embed", "send", "fetch"}, "evaluated": {"split", "embed", "stop"}}[point]
    assert fine | REFUSED[point].keys() == set(STEPS)
    before = durable.everything(loop)
    for step, why in REFUSED[point].items():
        with pytest.raises((StateError, WaitingError)) as refused:
            Loop.open(loop.name).step(step)
        assert str(refused.value) == why.replace("NAME", loop.name)
    assert durable.differences(before, durable.everything(loop)) == []


def test_settings_that_are_frozen_with_the_split(at: Callable[[str], Loop]) -> None:
    """Classes, slices, fields and split shares can't change any more; other settings can, and are kept by the next step."""
    from swath.errors import ConfigError

    loop = at("evaluated")
    for change in ({"classes": ["Car"]}, {"splits": {"test": 0.3}}, {"fields": {"truth": "other"}}):
        with pytest.raises(ConfigError, match="cannot change"):
            Loop.open(loop.name, changes=change)
    Loop.open(loop.name, changes={"select": {"failures": 3}}).stop()
    again = Loop.open(loop.name)
    assert again.workspace.config.select.failures == 3
    assert again.workspace.config.train.center.steps == QUICK["train"]["steps"]


def test_the_files_on_disk_are_checked(at: Callable[[str], Loop]) -> None:
    """A model file that is gone, or is another one, is refused by name before it predicts."""
    loop = at("evaluated")
    journal = loop.workspace.journal
    rounds = journal._loops.database["swath.rounds"]
    rounds.update_one({"dataset": journal.dataset_id, "round": "v0"}, {"$set": {"state": "trained"}})
    trained = steps_of(loop, "v0").train
    assert trained is not None
    path = loop.workspace.home / "models" / trained.models[0].model
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SwathError, match=r"v0"):
        loop.evaluate()
    path.unlink()
    with pytest.raises(IntegrityError, match="gone"):
        loop.evaluate()
