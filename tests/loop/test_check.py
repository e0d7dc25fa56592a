"""Findings are tags on the labels that they are about, and nothing else of a label changes; a gate holds up whoever asks."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest

import quick_loop
from quick_loop import CLASSES
from run_cli import run_cli
from support import samples_of, watched
from swath import evaluations
from swath.evaluations import Truth
from swath.kernels.detection import Predictions
from swath.kernels.detection3d import Predictions3D
from swath.kernels.doubts import heard
from swath.labels import stored
from swath.loop import Loop
from swath.records.shown import Difference
from swath.steps import check

Document = dict[str, Any]


@pytest.fixture
def fetched(dataset_name: str, mongod: str) -> Loop:
    """A loop whose first labels came, without a flaw."""
    loop = quick_loop.at("sent", dataset_name)
    loop.annotator = quick_loop.Picky()
    loop.fetch()
    return loop


def keys_of(loop: Loop, name: str = "v0") -> list[str]:
    rows = loop.workspace.journal.assignments.labelled(round=name, role="pool")
    return sorted({row.key for row in rows if row.count})


def labels_of(loop: Loop, key: str, channel: str = "left", field: str = "human_detections") -> list[Document]:
    (doc,) = loop.workspace.scenes.values(channel, [key], [field])
    return list(doc[field]["detections"])


def put(
    loop: Loop, key: str, labels: list[Document], channel: str = "left", field: str = "human_detections"
) -> None:
    query = {"scene_key": key, "group.name": channel}
    assert samples_of(loop).update_one(query, {"$set": {f"{field}.detections": labels}}).matched_count == 1


def tags_of(loop: Loop, key: str, **where: str) -> list[list[str]]:
    return [one["tags"] for one in labels_of(loop, key, **where)]


def plant_twice(loop: Loop, key: str) -> int:
    """Draws the first box of a scene once more, with a tag of somebody's own; returns its place."""
    labels = labels_of(loop, key)
    again = {**labels[0], "_id": stored.object_id(key, "again"), "tags": ["mine"]}
    put(loop, key, [*labels, again])
    return len(labels)


def differences(loop: Loop) -> tuple[Difference, ...]:
    return loop.repair(check=True).differences


def test_findings_are_tags_on_their_labels(fetched: Loop) -> None:
    """The box that is there twice is tagged, and no other; own tags, shapes and digests stay; repair sees no difference; once it is
    gone, so is the tag."""
    key, clean = keys_of(fetched)[:2]
    assert fetched.check().rules.get("duplicate") is None
    row = plant_twice(fetched, key)
    before = labels_of(fetched, key)
    result = fetched.check()
    assert result.rules["duplicate"] == 1
    (finding,) = [one for one in result.findings if one.rule == "duplicate"]
    assert (finding.scene, finding.channel, finding.object) == (key, "left", row)
    after = labels_of(fetched, key)
    assert after[row]["tags"] == ["mine", "check:duplicate"]
    assert not [tag for one in after[:row] for tag in one["tags"] if tag == "check:duplicate"]
    assert [{**one, "tags": 0} for one in after] == [{**one, "tags": 0} for one in before]
    assert stored.digest_of(after) == stored.digest_of(before)
    assert differences(fetched) == ()
    assert fetched.repair().differences == ()
    assert "check:duplicate" in labels_of(fetched, key)[row]["tags"]
    put(fetched, key, [*after[:row], {**after[row], "bounding_box": [0.7, 0.1, 0.2, 0.3]}])
    fetched.check()
    assert "check:duplicate" not in tags_of(fetched, key)[row]
    assert "mine" in tags_of(fetched, key)[row]
    assert not [tag for tags in tags_of(fetched, clean) for tag in tags if "duplicate" in tag]


def test_checking_again_changes_no_label(fetched: Loop) -> None:
    """The second of two checks leaves every label as it is, to the byte, and finds the same."""
    key = keys_of(fetched)[0]
    plant_twice(fetched, key)
    first = fetched.check()
    where = {"scene_key": {"$in": keys_of(fetched)}}
    wanted = {"human_detections": 1, "human_cuboids": 1, "findings": 1}
    before = sorted(samples_of(fetched).find(where, wanted), key=lambda one: str(one["_id"]))
    with watched() as asked:
        assert fetched.check() == first
    after = sorted(samples_of(fetched).find(where, wanted), key=lambda one: str(one["_id"]))
    assert after == before
    assert not [line for line in asked.writes if "$map" in line]


def test_fiftyone_filters_by_the_tags(fetched: Loop) -> None:
    """FiftyOne counts label tags, and matches labels by them."""
    key = keys_of(fetched)[0]
    plant_twice(fetched, key)
    fetched.check()
    view = fetched.workspace.scenes.dataset.select_group_slices(["left"])
    view.reload()
    assert view.count_label_tags("human_detections")["check:duplicate"] == 1
    assert view.match_labels(tags="check:duplicate", fields="human_detections").values("scene_key") == [key]


def test_the_gate(fetched: Loop) -> None:
    """`check --gate error` ends with 3 where there are errors, with the findings on stdout and the ways on; else with 0."""
    key = next(
        one for one in keys_of(fetched) if one not in {found.scene for found in fetched.check().findings}
    )
    labels = labels_of(fetched, key)
    for other in {one.scene for one in fetched.check().findings if one.severity == "error"}:
        put(fetched, other, [], "pcd", "human_cuboids")
    assert fetched.check().errors == 0
    plant_twice(fetched, key)
    here = ("--dataset", fetched.name)
    code, said, errors = run_cli("check", "--gate", "error", *here)
    assert code == 3
    assert "duplicate" in said
    assert "1 errors" in errors
    for way in ("swath round reopen v0 --reason REASON", "swath check --gate error", "swath golden"):
        assert f"{way} --dataset {fetched.name}" in errors
    code, said, _ = run_cli("check", "--gate", "error", "--json", *here)
    result = json.loads(said)
    assert (code, result["errors"], result["holds"], len(result["ways"])) == (3, 1, True, 4)
    assert run_cli("check", *here)[0] == 0
    put(fetched, key, labels)
    code, said, errors = run_cli("check", "--gate", "error", *here)
    assert (code, errors) == (0, "")
    code, said, _ = run_cli("check", "--gate", "error", "--json", *here)
    assert json.loads(said)["ways"] == []


def test_no_model_to_ask(fetched: Loop) -> None:
    """Before there is a model, `check --model` says so, and checks all the same."""
    result = fetched.check(model=True)
    assert any("no model was asked: none is trained yet" in note for note in result.notes)
    assert result.scenes == fetched.check().scenes


def test_a_model_that_is_never_sure(dataset_name: str, mongod: str) -> None:
    """A model of three steps is not heard: it says so, and what the rules say stays."""
    loop = quick_loop.at("closed", dataset_name)
    loop.run(2, until="fetch")
    assert "was not asked" in " ".join(loop.check(model=True).notes)


def test_what_a_model_contradicts(dataset_name: str, mongod: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that sees what is there (its predictions are given: the truth, at 0.99) names the box that was left out, and the one
    with another class, and nothing else; the second is tagged."""

    def sees(workspace: Any, batch: Any, listed: list[Truth], *_: Any) -> list[Predictions]:
        assert batch.round == "v0"
        out = []
        for one in listed:
            (doc,) = workspace.scenes.values(one.channel.name, [one.key], ["ground_truth"])
            there = stored.read("2d", doc["ground_truth"], one.size)
            labels = np.array([CLASSES.index(name) for name in there.classes], np.int64)
            out.append(Predictions(there.shapes, np.full(len(there), 0.99), labels))
        return out

    loop = quick_loop.at("closed", dataset_name)
    loop.annotator = quick_loop.Picky()
    loop.run(2, until="fetch")
    monkeypatch.setattr(evaluations, "predict", sees)
    monkeypatch.setattr(
        check, "heard", partial(heard, fewest=10)
    )  # val has fewer objects here than are wanted
    members = loop.workspace.members("val")
    for key in members:  # the careful labels of val, without the slips of the simulation
        (doc,) = loop.workspace.scenes.values("left", [key], ["ground_truth"])
        put(loop, key, doc["ground_truth"]["detections"])
    assert not [one for one in loop.check(model=True).findings if one.score is not None]
    two = [key for key in keys_of(loop, "v1") if len(labels_of(loop, key)) >= 2]
    left_out, swapped = two[:2]
    put(loop, left_out, labels_of(loop, left_out)[1:])
    labels = labels_of(loop, swapped)
    other = next(name for name in CLASSES if name != labels[1]["label"])
    put(loop, swapped, [labels[0], {**labels[1], "label": other}, *labels[2:]])
    result = loop.check(model=True)
    said = [(one.scene, one.rule, one.object, one.score) for one in result.findings if one.score is not None]
    assert sorted(said) == sorted([(left_out, "overlooked", None, 0.99), (swapped, "swapped", 1, 0.99)])
    assert "check:swapped" in tags_of(loop, swapped)[1]
    assert any("contradicts 2 labels" in note and "about 0 of as many" in note for note in result.notes)


def test_a_cuboid_that_faces_the_other_way(
    dataset_name: str, mongod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 3D model that knows fronts from backs (its predictions are given: the truth) names the one cuboid that was turned round, and tags
    it; nothing else can see that."""

    def sees(workspace: Any, batch: Any, listed: list[Truth], *_: Any) -> list[Predictions3D]:
        out = []
        for one in listed:
            (doc,) = workspace.scenes.values(one.channel.name, [one.key], ["ground_truth"])
            there = stored.read("3d", doc["ground_truth"], one.size)
            labels = np.array([CLASSES.index(name) for name in there.classes], np.int64)
            out.append(Predictions3D(there.shapes, np.full(len(there), 0.99), labels))
        return out

    loop = quick_loop.at("closed", dataset_name)
    loop.annotator = quick_loop.Picky()
    loop.run(2, until="fetch")
    monkeypatch.setattr(evaluations, "predict", sees)
    monkeypatch.setattr(check, "heard", partial(heard, fewest=10))
    for key in loop.workspace.members("val"):
        (doc,) = loop.workspace.scenes.values("pcd", [key], ["ground_truth"])
        put(loop, key, doc["ground_truth"]["detections"], "pcd", "human_cuboids")
    taught = loop.workspace.journal.batches.get("v0")
    notes: list[str] = []
    key = next(key for key in keys_of(loop, "v1") if labels_of(loop, key, "pcd", "human_cuboids"))
    asked = check._asked(loop.workspace, "v1", notes)
    assert check._asked_model(loop.workspace, taught, "3d", [one.key for one in asked], notes) == []
    labels = labels_of(loop, key, "pcd", "human_cuboids")
    rx, ry, rz = labels[0]["rotation"]
    put(loop, key, [{**labels[0], "rotation": [rx, ry, rz + np.pi]}, *labels[1:]], "pcd", "human_cuboids")
    (found,) = check._asked_model(loop.workspace, taught, "3d", [one.key for one in asked], notes)
    assert (found.scene, found.rule, found.object, found.score) == (key, "turned", 0, 0.99)
    assert any("face the other way" in note and "about 0 of as many" in note for note in notes)


def test_a_labeller_that_drifts(dataset_name: str, mongod: str) -> None:
    """Cuboids that are 1.5 m too far away from v1 on: v0's like are accepted, v1 is held up; `next` says why and lists the ways on,
    and an override with its reason goes on."""
    quick_loop.at("closed", dataset_name)
    changes = {"annotate": {"flaws": {"since": 1, "shift": 1.5}}, "golden": {"min_objects": 1, "shift": 0.05}}
    loop = Loop.open(dataset_name, changes=changes)
    ran = loop.run(2)
    assert ran.waits is not None
    plan = loop.plan()
    assert (plan.step, plan.people) == ("golden", True)
    assert "the golden check of v1 blocks" in plan.why
    assert "3d" in plan.why
    code, _, errors = run_cli("next", "--dataset", dataset_name)
    assert code == 3
    for way in ("report", "round reopen v1", "round cancel v1", "golden --override REASON"):
        assert f"swath {way}" in errors
    held = loop.workspace.journal.batches.get("v1").steps.golden
    assert held is not None
    assert any(
        one.startswith("3d shift: ") and " drawn too far off (95 % interval" in one for one in held.reasons
    )
    assert held.measures["3d distance"].mean == pytest.approx(
        1.5, abs=0.5
    )  # cut at 2 m, beside the own jitter
    assert loop.golden("we know").override == "we know"
    kept = loop.workspace.journal.batches.get("v1").steps.golden
    assert kept is not None
    assert (kept.verdict, kept.override, kept.holds) == ("block", "we know", False)
    assert loop.plan().step == "train"
