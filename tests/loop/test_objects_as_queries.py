"""Failing objects as queries, in a loop: cut out of val, found in candidates, explained, chosen again."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

import durable
import quick_loop
from swath import evaluations, show
from swath.errors import ConfigError
from swath.loop import Loop

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def closed(mongod: str) -> str:
    """A loop after v0, whose vectors are those of the built-in descriptor."""
    loop = quick_loop.at("closed", "t-objects-closed")
    loop = Loop.open(loop.name, changes={"embed": {"encoder": "descriptor"}})
    loop.embed()
    return loop.name


def a_loop(closed: str, name: str, **select: Any) -> Loop:
    durable.fork(closed, name, quick_loop.homes() / name)
    return Loop.open(name, changes={"select": select})


@pytest.mark.parametrize("queries", ["objects", "both"])
def test_scenes_are_chosen_that_show_what_was_missed(queries: str, closed: str, dataset_name: str) -> None:
    """A targeted scene names an object of val that v0's model missed or saw falsely, and how similar a window of it is, which is the
    most similar one of its windows; with `both`, failing scenes have half of the places."""
    loop = a_loop(closed, dataset_name, queries=queries, coverage_share="0.3")
    batch = loop.select()
    manifest = loop.workspace.journal.batches.manifest(loop.workspace.journal.batches.get("v1"))
    truths = {one.key: one for one in evaluations.truths(loop.workspace, loop.workspace.members("val"), "2d")}
    targeted = [one for one in manifest.scenes if one.stream == "targeted"]
    with_objects = [one for one in targeted if one.object is not None]
    assert len(targeted) == batch.targeted == 7
    for one in with_objects:
        assert one.object is not None
        truth = truths[str(one.failure)]
        if not one.object.false:
            near = np.abs(truth.labels.shapes[truth.rows] - np.array(one.object.box)).max(axis=1)
            assert truth.labels.classes[truth.rows[near.argmin()]] == one.object.name
            assert near.min() < 0.01
        assert f"shows what looks like the {one.object}, in {one.failure}, a failure of v0" in str(one.reason)
        assert -1 <= float(one.similarity or 0) <= 1
    assert len(with_objects) == (3 if queries == "both" else 7)
    assert loop.replay("v1").equal


def test_it_is_shown(closed: str, dataset_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`explain` says which object a scene answers, in words and in `--json`."""
    loop = a_loop(closed, dataset_name, queries="objects")
    choice = next(one for one in loop.select().scenes if one.object is not None)
    told = loop.explain(choice.key)
    show.result(told)
    assert str(choice.object) in " ".join(capsys.readouterr().out.split())
    (of_round,) = told.as_json()["rounds"]
    assert choice.object is not None
    assert of_round["object"] == choice.object.as_json()


def test_what_was_looked_at_is_kept(closed: str, dataset_name: str) -> None:
    """A dry run is what comes; without what it kept the same batch is chosen again."""
    loop = a_loop(closed, dataset_name, queries="objects")
    dry = loop.select(dry_run=True)
    kept = loop.workspace.home / "crops"
    assert list(kept.glob("*.npz"))
    assert dry.with_(dry_run=False) == loop.select()
    shutil.rmtree(kept)
    assert loop.replay("v1").equal


def test_the_question_holds_all_that_was_looked_at(closed: str, dataset_name: str) -> None:
    """Not more objects than `select.failures`, and the windows of each candidate, inside its image; the manifest has fingerprints of the
    vectors of both."""
    loop = a_loop(closed, dataset_name, queries="objects", failures=3)
    loop.select()
    batches, table = loop.workspace.journal.batches, loop.workspace.scenes.table
    manifest = batches.manifest(batches.get("v1"))
    question = manifest.question
    assert question is not None
    assert len(question.failures) == 3
    assert all(one.object is not None for one in question.failures)
    for key, channels in zip(question.candidates, question.windows, strict=True):
        width, height = table.size("left", key)
        assert channels["left"]
        assert all(0 <= a < c <= width and 0 <= b < d <= height for a, b, c, d in channels["left"])
    found = manifest.fingerprints
    assert len({found.objects, found.windows, found.embeddings, None}) == 4


def test_without_an_encoder_of_images(mongod: str, dataset_name: str) -> None:
    """Where vectors come from a field, one line says what to take; nothing is written."""
    loop = quick_loop.at("closed", dataset_name)
    loop = Loop.open(loop.name, changes={"select": {"queries": "objects"}})
    with pytest.raises(
        ConfigError, match=r"embed\.encoder 'field:given' is no encoder; take one of descriptor, "
    ):
        loop.select()
    assert [one.round for one in loop.status().rounds] == ["v0"]
