"""The gain of a round, as the loop records and shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import durable
import quick_loop
from support import journal_of
from swath import evaluations, measure, show
from swath.kernels import detection
from swath.kernels.detection import Predictions, References
from swath.kernels.typed import TYPES
from swath.loop import Loop

pytestmark = pytest.mark.usefixtures("mongod")


@pytest.fixture(scope="module")
def twice(mongod: Any) -> str:
    """A loop of two rounds."""
    loop = quick_loop.at("closed", "t-gain-twice")
    loop.run(2)
    return loop.name


def test_the_gain_is_paired_with_the_round_before(twice: str) -> None:
    """v1 has the difference of its figures and v0's, on all scenes and drives of val; v0 has none; status and JSON show it."""
    loop = Loop.open(twice)
    v0, v1 = (loop.workspace.journal.batches.get(name).steps.evaluate for name in ("v0", "v1"))
    assert v0 is not None
    assert v1 is not None
    assert v0.gain is None
    gain = v1.gain
    assert gain is not None
    assert gain.over == "v0"
    assert (gain.scenes, gain.left_out) == (v1.scenes, 0)
    assert gain.drives == v1.main.drives == 2  # nine scenes of val, four to a drive; one drive holds one
    for name in ("map", "map50"):
        values = [getattr(one.main, name).value for one in (v1, v0)]
        assert getattr(gain, name).value == pytest.approx(values[0] - values[1], abs=1e-12)
    assert loop.status().rounds[1].gain == gain
    assert v1.as_json()["gain"]["over"] == "v0"
    assert "matches" not in v1.as_json()


def test_the_gain_on_scenes_that_nobody_mined(twice: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo's gain is on the test scenes, by hidden truth: what the whole evaluation says of both models there; asking writes
    nothing. A loop of one round has none."""
    loop = Loop.open(twice)
    work = loop.workspace
    keys = work.members("test")
    said = measure.unmined(work)
    assert said is not None
    assert (said.over, said.scenes) == ("v0", len(keys))
    truth = evaluations.truths(work, keys, "2d", [work.config.fields.truth])
    scores = []
    for name in ("v0", "v1"):
        found = evaluations.predict(work, work.journal.batches.get(name), truth, "2d")
        boxes = [one for one in found if isinstance(one, Predictions)]
        wanted = [one for one in (it.references for it in truth) if isinstance(one, References)]
        curves = detection.detection_curves(boxes, wanted, len(work.config.classes))
        scores.append(float(np.nanmean(curves.precision[0].mean(axis=1))))
    assert said.map50.value == pytest.approx(scores[1] - scores[0], abs=1e-12)
    show.beginning.line(show.beginning.unmined("v1", said))
    assert f"gain on {len(keys)} test scenes" in capsys.readouterr().out
    assert measure.unmined(Loop.open(quick_loop.base("closed")).workspace) is None


def test_errors_and_strata_are_of_the_same_objects(twice: str) -> None:
    """The strata of a class hold its objects; what is missed and what is found by the strata add up to them; mending has a figure
    for each type."""
    loop = Loop.open(twice)
    record = loop.workspace.journal.batches.get("v1").steps.evaluate
    assert record is not None
    main = record.main
    by_class = {one.name: one for one in main.strata if one.by == "class"}
    assert {name: one.objects for name, one in by_class.items()} == {
        name: one.references for name, one in main.classes.items()
    }
    for name, one in by_class.items():
        assert one.ap50 == pytest.approx(main.classes[name].ap50.value, abs=1e-9)
    total = sum(one.objects for one in by_class.values())
    assert sum(one.objects for one in main.strata if one.by == "size") == total
    assert set(main.mending) == set(TYPES)
    assert sum(one.found for one in by_class.values()) == pytest.approx(main.operating.recall * total)
    assert all(one.share > 0 for one in main.modes)


def test_it_is_said(twice: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line but those of what is next says whether the model got better."""
    show.result(Loop.open(twice).status())
    assert "v1 against v0 on the same" in capsys.readouterr().out


def test_the_matches_say_what_the_figures_say(twice: str) -> None:
    """What is kept of an evaluation gives its figures again, without the model."""
    loop = Loop.open(twice)
    record = loop.workspace.journal.batches.get("v1").steps.evaluate
    assert record is not None
    matches = loop.workspace.journal.batches.matches(record, "2d")
    assert matches is not None
    assert len({scene for scene, *_ in matches.samples}) == record.scenes
    found = {name: one for name, one in zip(quick_loop.CLASSES, matches.unpacked(), strict=True)}
    for name, one in record.main.classes.items():
        assert found[name].references.sum() == one.references
        assert len(found[name].scores) == one.predictions


def test_a_round_of_an_earlier_swath_cannot_be_paired(
    twice: str, dataset_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its evaluation kept no matches: no gain, a note says why, and no model of it is run."""
    durable.fork(quick_loop.base("closed"), dataset_name, quick_loop.homes() / dataset_name)
    loop = Loop.open(dataset_name)
    told = journal_of(loop, "rounds").update_one(
        {"round": "v0", "dataset": loop.workspace.scenes.dataset._doc.id},
        {"$unset": {"steps.evaluate.matches": 1}},
    )
    assert told.modified_count == 1
    asked: list[str] = []
    real = evaluations.predict

    def predict(workspace: Any, batch: Any, *rest: Any) -> Any:
        asked.append(batch.round)
        return real(workspace, batch, *rest)

    monkeypatch.setattr(evaluations, "predict", predict)
    loop.run(2)
    record = loop.workspace.journal.batches.get("v1").steps.evaluate
    assert record is not None
    assert record.gain is None
    assert any("no gain over v0" in note for note in record.notes)
    assert set(asked) == {"v1"}


# ---------------------------------------------------------------------- repeated trainings


@pytest.fixture(scope="module")
def repeated(mongod: Any) -> str:
    """A loop of three rounds: v0 was trained once, v1 and v2 three and two times."""
    loop = quick_loop.at("closed", "t-gain-repeated")
    Loop.open(loop.name, changes={"train": {"repeats": 3}}).run(2)
    Loop.open(loop.name, changes={"train": {"repeats": 2}}).run(3)
    return loop.name


def test_every_training_is_evaluated(repeated: str) -> None:
    """Its figures are those that its model's predictions have, the first are the round's; without repeats nothing is told of them."""
    work = Loop.open(repeated).workspace
    v0, v1 = (work.journal.batches.get(name) for name in ("v0", "v1"))
    assert v0.steps.evaluate is not None
    assert v1.steps.evaluate is not None
    assert v1.steps.train is not None
    assert v0.steps.evaluate.main.trainings is None
    told = v1.steps.evaluate.main.trainings
    assert told is not None
    assert [(one.seed, one.sha256) for one in told.each] == [
        (one.seed, one.sha256) for one in v1.steps.train.trainings("2d")
    ]
    assert told.each[0].map50 == pytest.approx(v1.steps.evaluate.main.map50.value, abs=1e-12)
    truth = evaluations.truths(work, work.members("val"), "2d")
    wanted = [one for one in (it.references for it in truth) if isinstance(one, References)]
    for training, model in zip(told.each, v1.steps.train.trainings("2d"), strict=True):
        found = [one for one in evaluations.predict_with(work, model, truth) if isinstance(one, Predictions)]
        curves = detection.detection_curves(found, wanted, len(work.config.classes))
        assert training.map50 == pytest.approx(float(np.nanmean(curves.precision[0].mean(axis=1))), abs=1e-12)


def test_the_gain_of_rounds_with_repeated_trainings(
    repeated: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is of the means over the trainings of either round, also where one was trained once; status, the screen of the evaluation and
    JSON say how many, and how far they are from each other."""
    loop = Loop.open(repeated)
    v0, v1, v2 = (loop.workspace.journal.batches.get(name).steps.evaluate for name in ("v0", "v1", "v2"))
    assert v0 is not None
    assert v1 is not None
    assert v2 is not None
    means = [v0.main.map50.value]
    for one, count in ((v1, 3), (v2, 2)):
        assert one.main.trainings is not None
        assert len(one.main.trainings.each) == count
        means.append(one.main.trainings.map50.value)
    for one, (was, now), counts in ((v1, means[:2], (1, 3)), (v2, means[1:], (3, 2))):
        assert one.gain is not None
        assert one.gain.trainings == counts
        assert one.gain.map50.value == pytest.approx(now - was, abs=1e-12)
    status = loop.status()
    assert status.rounds[2].trainings == v2.main.trainings
    show.result(status)
    show.result(loop.last_evaluated())
    said = capsys.readouterr().out
    assert said.count("2 trainings: mAP50 ") == 2
    assert said.count(", 2 trainings against 3") == 2
    assert "repeats" not in v2.as_json()
    assert v2.as_json()["trainings"]["each"][1]["seed"] == v2.main.trainings.each[1].seed  # type: ignore[union-attr]
