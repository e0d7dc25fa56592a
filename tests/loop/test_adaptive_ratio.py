"""The ratio that adapts, in a loop: measured from what was labelled, recorded, explained, chosen again."""

from __future__ import annotations

import json
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest

import durable
import quick_loop
from swath import models, show
from swath.config import Cost
from swath.labels import stored
from swath.loop import Loop
from swath.policies.ratio import learned, price
from swath.records.batch import Batch
from swath.trainers import make

pytestmark = pytest.mark.database
ADAPTIVE = {"select": {"ratio": "adaptive"}}


@pytest.fixture(scope="module")
def twice(mongod: str) -> str:
    """A loop of two rounds whose ratio adapts: v0, and v1 in two streams."""
    loop = quick_loop.at("closed", "t-adaptive-twice")
    loop = Loop.open(loop.name, changes=ADAPTIVE)
    loop.run(2)
    return loop.name


@pytest.fixture
def loop(twice: str, dataset_name: str) -> Loop:
    durable.fork(twice, dataset_name, quick_loop.homes() / dataset_name)
    return Loop.open(dataset_name)


def by_hand(loop: Loop, before: Batch, key: str) -> tuple[float, float]:
    """(errors, seconds) of a scene: predictions of a model matched with its labels one by one, and what drawing them costs."""
    workspace = loop.workspace
    trained, done = before.steps.train, before.steps.evaluate
    assert trained is not None
    assert done is not None
    model, table = trained.models[0], workspace.scenes.table
    trainer = make(workspace.config.train, model.modality, model.trainer)
    (found,) = trainer.predict(models.load(workspace.home, model), [table.path("left", key)])
    drawn = {}
    for channel, field in (("left", "human_detections"), ("pcd", "human_cuboids")):
        (doc,) = workspace.scenes.values(channel, [key], [field])
        drawn[channel] = doc[field]
    wanted = stored.read("2d", drawn["left"], table.size("left", key))
    free, errors = set(range(len(wanted.shapes))), 0.0
    for row in np.argsort(-found.scores, kind="stable"):
        if found.scores[row] < done.main.operating.threshold:
            break
        name = workspace.config.classes[found.labels[row]]
        near = {at: iou(found.boxes[row], wanted.shapes[at]) for at in free if wanted.classes[at] == name}
        best = max(near, key=lambda at: near[at], default=None)
        if best is not None and near[best] >= 0.5:
            free.remove(best)
        else:
            errors += float(found.scores[row])
    cuboids = len(stored.detections(drawn["pcd"]))
    return errors + len(free), price(Cost(), len(wanted.shapes), cuboids)


def iou(a: Any, b: Any) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(width, 0) * max(height, 0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def test_the_streams_are_worth_what_the_model_before_gets_wrong(loop: Loop) -> None:
    """Errors of v0's model in the scenes of v1, matched by hand, and what their boxes and cuboids cost, stream by stream; coverage of
    v2 gets what follows of its places; the answer is the same when it is chosen again, with v0's model gone."""
    batches = loop.workspace.journal.batches
    v0, v1 = batches.get("v0"), batches.get("v1")
    result = loop.select()
    question = batches.manifest(batches.get("v2")).question
    assert question is not None
    (known,) = question.worths
    assert known.round == "v1"
    for name in ("coverage", "targeted"):
        keys = [one.key for one in batches.manifest(v1).scenes if one.stream == name]
        errors, seconds = (sum(one) for one in zip(*[by_hand(loop, v0, key) for key in keys], strict=True))
        found = getattr(known, name)
        assert found.scenes == len(keys) > 0
        assert found.errors == pytest.approx(errors, abs=1e-4)
        assert found.seconds == pytest.approx(seconds)
    expected = learned("0.30", [known], 2)
    assert result.ratio == expected
    assert len(expected.moves) == 1
    assert result.coverage == ceil(Fraction(expected.share) * result.budget)
    assert result.coverage + result.targeted == result.size == result.budget
    assert v0.steps.train is not None
    (models.folder(loop.workspace.home) / v0.steps.train.models[0].model).unlink()
    assert loop.replay("v2").equal


def test_the_first_batch_of_two_streams_is_by_the_share_that_is_set(loop: Loop) -> None:
    """v0 covers, without a word about a ratio; v1 begins with the configured share, and says that nothing is known."""
    batches = loop.workspace.journal.batches
    v0, v1 = (batches.manifest(batches.get(name)) for name in ("v0", "v1"))
    assert v0.ratio is None
    assert v1.ratio is not None
    assert (v1.ratio.share, v1.ratio.moves) == ("0.30", ())
    assert (
        "nothing is known of what the streams are worth (no round with both streams is labelled yet)"
        in v1.notes[0]
    )
    assert loop.replay("v1").equal


def test_a_model_that_is_gone_is_said(loop: Loop) -> None:
    """Where the model before a round cannot be loaded any more, the round says nothing, with the reason; the share stays."""
    v0 = loop.workspace.journal.batches.get("v0")
    assert v0.steps.train is not None
    (models.folder(loop.workspace.home) / v0.steps.train.models[0].model).unlink()
    result = loop.select(dry_run=True)
    assert result.ratio is not None
    assert result.ratio.share == "0.30"
    assert "the model of v0 is gone" in result.ratio.reason


def test_the_ratio_is_shown(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    """`select`, `batch` and `explain` say the share and why; `--json` has every figure of it."""
    result = loop.select()
    assert result.ratio is not None
    for value in (result, loop.batch("v2"), loop.explain(result.scenes[0].key)):
        show.result(value)
        told = " ".join(capsys.readouterr().out.split())
        assert f"coverage gets {result.ratio.share} of v2; it began with 0.30 (v1: " in told
        assert json.dumps(result.ratio.as_json()) in json.dumps(value.as_json())


def test_a_ratio_that_is_fixed_asks_nothing(loop: Loop) -> None:
    """Without `adaptive` there is neither a ratio in the manifest nor a note, and no model looks at what was labelled."""
    fixed = Loop.open(loop.name, changes={"select": {"ratio": "fixed"}})
    result = fixed.select()
    question = fixed.workspace.journal.batches.manifest(fixed.workspace.journal.batches.get("v2")).question
    assert question is not None
    assert (result.ratio, question.worths) == (None, ())
    assert not any("ratio" in note for note in result.notes)
