"""Who chooses: the loop's own choice is the loop's, the others are what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quick_loop
from swath import models
from swath.backtest.arms import Given, Mined, arm
from swath.config import LoopConfig, merged
from swath.errors import ConfigError, SwathError, UnknownNameError
from swath.kernels.detection import Predictions
from swath.records.batch import Failure
from swath.records.manifest import Manifest, RoundWorth
from swath.trainers import make

CONFIG = LoopConfig(classes=("car", "tram"))


@dataclass
class Said:
    """A model that says what it is given."""

    seen: Any = ()
    turned: Any = ()
    wrong: Mined | None = None

    def found(self) -> Any:
        return self.seen

    def mirrored(self) -> Any:
        return self.turned

    def worths(self) -> tuple[RoundWorth, ...]:
        raise AssertionError("nobody asked what streams were worth")

    def mined(self) -> Mined:
        assert self.wrong is not None, "nobody asked for failures"
        return self.wrong


def boxes(*scored: tuple[float, float, int]) -> tuple[Predictions]:
    """One channel with a detection (x, score, class) each."""
    x = np.array([one[0] for one in scored], float)
    corners = np.stack([x, 0 * x, x + 10, 0 * x + 10], axis=1).reshape(-1, 4)
    scores, labels = [np.array([one[i] for one in scored]) for i in (1, 2)]
    return (Predictions(corners, scores.astype(float), labels.astype(np.int64)),)


def given(count: int, **more: Any) -> Given:
    rng = np.random.default_rng(1)
    base = Given(
        dataset="d",
        config=CONFIG,
        round=1,
        budget=2,
        keys=tuple(f"k{i}" for i in range(count)),
        drives=tuple(f"d{i // 2}" for i in range(count)),
        channels=(("left",),) * count,
        vectors=rng.normal(size=(count, 4)).astype(np.float32),
        labelled=("a",),
        labelled_drives=("d9",),
        labelled_vectors=rng.normal(size=(1, 4)).astype(np.float32),
        model=None,
        rng=np.random.default_rng(2),
    )
    return replace(base, **more)


@pytest.mark.database
def test_hybrid_chooses_what_select_chooses(dataset_name: str) -> None:
    """On a loop with a model and failures, the arm gives the batch of `select`, scene by scene: it is the same function, asked the
    same question."""
    loop = quick_loop.at("closed", dataset_name)
    workspace = loop.workspace
    chosen = loop.select(dry_run=True)
    batch = workspace.journal.batches.get("v0")
    pool, states = workspace.members("pool"), workspace.states()
    keys = tuple(key for key in pool if states[key].status == "unlabeled")
    table, config = workspace.scenes.table, workspace.config
    trained, done = batch.steps.train, batch.steps.evaluate
    assert trained is not None
    assert done is not None
    model = trained.models[0]
    trainer = make(config.train, model.modality, model.trainer)
    seen = trainer.predict(models.load(workspace.home, model), [table.path("left", key) for key in keys])
    failures = workspace.journal.batches.failures(batch)
    field = config.fields.embeddings
    mined = Mined(
        failures,
        {name: one.references for name, one in done.main.classes.items()},
        workspace.scenes.vectors([one.key for one in failures], field),
    )
    asked = Given(
        dataset=loop.name,
        config=config,
        round=1,
        budget=chosen.size,
        keys=keys,
        drives=tuple(table.drive(key) for key in keys),
        channels=tuple(tuple(one.name for one in workspace.channels_of(table, key)) for key in keys),
        vectors=workspace.scenes.vectors(keys, field),
        labelled=(),
        labelled_drives=(),
        labelled_vectors=np.zeros((0, 16), np.float32),
        model=Said([(one,) for one in seen], wrong=mined),
        rng=np.random.default_rng(0),
    )
    found = arm("hybrid", config).choose(asked)
    assert isinstance(found, Manifest)
    assert [one.key for one in found.scenes] == [one.key for one in chosen.scenes]
    assert [one.stream for one in found.scenes] == [one.stream for one in chosen.scenes]
    assert {one.stream for one in chosen.scenes} == {"coverage", "targeted"}


def test_coverage_asks_no_model() -> None:
    """The arm that covers looks at vectors alone: neither predictions nor failures are asked for, and settings behind it hold."""
    found = arm("coverage coverage_method=kcenter", CONFIG).choose(given(12, model=Said()))
    assert isinstance(found, Manifest)
    assert len({one.key for one in found.scenes}) == len(found.scenes) == 2


def test_an_adaptive_loop_leaves_other_arms_as_they_are() -> None:
    """Where the configured ratio adapts, coverage, targeted and guide keep theirs; cells of hybrid alone depend on prices."""
    adaptive = merged(CONFIG, {"select": {"ratio": "adaptive"}}, "a test")
    dear = merged(adaptive, {"cost": {"box": 70}}, "a test")
    for name in ("coverage", "targeted", "guide"):
        assert arm(name, adaptive).mark == arm(name, CONFIG).mark == arm(name, dear).mark
    marks = {arm("hybrid", one).mark for one in (CONFIG, adaptive, dear)}
    assert len(marks) == 3
    assert arm("hybrid ratio=adaptive", CONFIG).mark == arm("hybrid", adaptive).mark


def test_uncertain_scenes_come_first() -> None:
    """Entropy: the most detections near 0.5. Least: the lowest mean score, scenes without detections last. Scores below 0.1 are
    noise to both."""
    seen = [boxes((0, 0.99, 0)), boxes((0, 0.5, 0), (30, 0.5, 1)), boxes((0, 0.05, 0)), boxes((0, 0.3, 0))]
    assert list(arm("entropy", CONFIG).choose(given(4, model=Said(seen)))[:2]) == [1, 3]
    assert list(arm("least", CONFIG).choose(given(4, model=Said(seen)))) == [3, 1, 0, 2]


def test_disagreement_with_the_mirrored_image() -> None:
    """0 where both see the same, 1 where none of it is in the other (another place or class), in between by score."""
    seen = [boxes((0, 0.8, 0)), boxes((0, 0.8, 0)), boxes((0, 0.8, 0)), boxes((0, 0.8, 0))]
    turned = [boxes((0, 0.8, 0)), boxes((50, 0.8, 0)), boxes((1, 0.4, 0)), boxes((0, 0.8, 1), (0, 0.2, 0))]
    assert list(arm("flips", CONFIG).choose(given(4, model=Said(seen, turned)))) == [1, 3, 2, 0]


def test_the_oracle_goes_by_what_is_missed() -> None:
    """Of hidden objects those count whose class the model misses; a class that nobody could mine counts as missed."""
    failure = Failure(
        key="v",
        kinds=("high_fn",),
        fn=2,
        fp=0,
        evidence=2.0,
        missed={"tram": 2},
        false={},
        objects=2,
        unclear=0,
    )
    mined = Mined((failure,), {"car": 50, "tram": 4}, np.zeros((1, 4), np.float32))
    truth = np.array([[9, 0], [0, 1], [3, 2], [0, 0]])
    rows = arm("oracle", CONFIG).choose(given(4, model=Said(wrong=mined), truth=truth))
    assert list(rows)[:2] == [2, 1]
    assert arm("oracle", CONFIG).knows
    assert not any(arm(name, CONFIG).knows for name in ("random", "hybrid", "entropy", "guide"))


@pytest.mark.parametrize(
    ("name", "expected", "error"),
    [
        ("hybird", "did you mean 'hybrid'", UnknownNameError),
        ("random budget=3", "settings go with", ConfigError),
        ("hybrid kcenter", "expected SETTING=VALUE", ConfigError),
        ("hybrid coverage_share=7", "a share from 0 to 1", ConfigError),
        ("targeted ratio=adaptive", "expected one from 0.3 to 0.9, got 0", ConfigError),
        ("hybrid coverage_mehtod=kcenter", "coverage_method", ConfigError),
        ("nowhere_to_be_found:choose", "cannot be imported", UnknownNameError),
    ],
)
def test_arms_that_there_are_not(name: str, expected: str, error: type[SwathError]) -> None:
    """One line that says what was expected."""
    with pytest.raises(error, match=expected):
        arm(name, CONFIG)


def test_an_arm_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function in a file where one is; what it chose is known by the file's content."""
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "my_own_arm.py"
    source.write_text("def last(given):\n    return range(len(given.keys) - 1, -1, -1)\n")
    found = arm("my_own_arm:last", CONFIG)
    assert list(found.choose(given(3))) == [2, 1, 0]
    source.write_text(source.read_text() + "# changed\n")
    assert arm("my_own_arm:last", CONFIG).mark != found.mark
