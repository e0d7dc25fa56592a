"""A whole backtest in worlds where a model's learning is a formula: what is truly better is found, what is not is not, and a kill
changes nothing."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image

from swath import models
from swath.backtest import Ask, answer, run, run_of
from swath.backtest.archive import Archive, parts
from swath.backtest.arms import AGAIN, arm
from swath.backtest.cells import Plan, cell, kept, path_of
from swath.config import merged
from swath.errors import ConfigError, StateError
from swath.media import hashes
from swath.policies import chance
from swath.policies.ratio import learned
from swath.records.backtest import BacktestResult, Cell
from swath.records.batch import TrainedModel
from swath.records.manifest import RoundWorth, StreamWorth

HERE = Path(__file__)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where many small files are cheap, if there is such a place."""
    import tempfile

    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def of(world: tiny.TinyWorld, folder: Path, *arms: str, **how: Any) -> BacktestResult:
    return run(world.archive(), Ask(arms, **how), folder, trainer_of=tiny.Learns(world))


# ---------------------------------------------------------------------- what is truly so


def test_where_targeting_is_better_that_is_found(folder: Path) -> None:
    """A rare class that looks like nothing else: targeted and oracle are called better, and need fewer boxes."""
    found = of(tiny.targeting_helps(2), folder, "targeted", "oracle", seeds=5, rounds=4, budget=8)
    for name in ("targeted", "oracle"):
        one = found.of(name, "boxes")
        assert one.verdict == "better", found.sentences
        assert one.ratio.high is not None
        assert one.ratio.high < 1
        assert one.figures["tram"].value is not None
        assert one.figures["tram"].value > 0.1
    assert found.sentences[0].startswith("targeted is better than random: +")


def test_where_targeting_is_worse_that_is_found(folder: Path) -> None:
    """Scenes that nobody can learn fail for ever and draw all labels: targeted is called worse, and so it says."""
    found = of(tiny.targeting_hurts(2), folder, "targeted", seeds=5, rounds=4, budget=8)
    assert found.of("targeted", "boxes").verdict == "worse", found.sentences
    assert "targeted is worse than random: -" in found.sentences[0]


@pytest.mark.slow
def test_random_against_random(folder: Path) -> None:
    """Two draws of random, in 200 worlds, each with models and drives of its own: at most one in twenty is called different."""
    assert sum(told_apart(number, folder / str(number)) for number in range(200)) <= 10


def told_apart(number: int, folder: Path) -> bool:
    """Whether two draws of random are called different in a world of its own, with three seeds."""
    world = replace(tiny.no_difference(number), drives=24, frames=2)
    archive = world.archive()
    archive = replace(archive, config=merged(archive.config, {"evaluate": {"resamples": 20}}, "a test"))
    plan, learns = Plan(folder, 2, 6), tiny.Learns(world)
    areas = []
    for seed in range(3):
        one, other = (
            run_of(
                archive,
                [cell(archive, plan, arm(name, archive.config), seed, turn, learns) for turn in (0, 1)],
            )
            for name in ("random", AGAIN)
        )
        areas.append(answer.area(one, other, "boxes", "map50"))
    drives = len({archive.drives[row] for seed in range(3) for row in parts(archive, seed).score})
    values = np.stack(areas)
    estimate = chance.spread(values, drives).around(float(chance.mean(values)[0]))
    return answer.verdict(estimate) != "not told apart"


# ---------------------------------------------------------------------- what no arm sees


def test_nobody_sees_the_held_out_drives(folder: Path) -> None:
    """Drives are whole; no model learns from held-out or mined scenes; when an arm asks, held-out scenes are not predicted."""
    world = tiny.targeting_helps(1)
    archive, spy = world.archive(), tiny.Spies(world)
    run(archive, Ask(("hybrid", "hybrid ratio=adaptive", "entropy"), 1, 3, 8), folder, trainer_of=spy)
    part = parts(archive, 0)
    drives = [{archive.drives[row] for row in rows} for rows in (part.pool, part.mine, part.score)]
    assert not drives[0] & drives[1]
    assert not (drives[0] | drives[1]) & drives[2]
    paths = [{archive.samples[row][0].path for row in rows} for rows in (part.pool, part.mine, part.score)]
    assert spy.learned <= paths[0]
    assert spy.learned
    asked = [seen for seen in spy.predicted if seen != paths[2]]
    assert asked
    assert not any(seen & paths[2] for seen in asked)


def test_parts_are_drawn_by_seed() -> None:
    """Each seed holds out other drives, the same ones each time; together they are all scenes."""
    archive = tiny.no_difference(1).archive()
    one, again, other = parts(archive, 0), parts(archive, 0), parts(archive, 1)
    assert one == again
    assert one.score != other.score
    assert sorted((*one.pool, *one.mine, *one.score)) == list(range(len(archive.keys)))


# ---------------------------------------------------------------------- files, kills, processes


def test_what_was_killed_goes_on(folder: Path) -> None:
    """A run in another process, killed (SIGKILL) at three points, and run again each time, ends with the result of a run that was
    not; what was there is not made again."""
    world = tiny.targeting_helps(3)
    whole = of(world, folder / "whole", "hybrid", seeds=2, rounds=3, budget=8)
    there = 0
    for more in (2, 4, 3):
        child = subprocess.Popen([sys.executable, str(HERE), str(folder / "killed")], env=environment())
        wait_for(folder / "killed" / "cells", there + more, child)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        there = len(list((folder / "killed" / "cells").glob("*.json")))
    spy = tiny.Spies(world)
    again = run(world.archive(), Ask(("hybrid",), 2, 3, 8), folder / "killed", trainer_of=spy)
    assert again.with_(folder="") == whole.with_(folder="")
    assert there <= len(list((folder / "killed" / "cells").glob("*.json"))) == 18
    assert spy.fits <= 18 - there + 1


def wait_for(cells: Path, count: int, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 240
    while len(list(cells.glob("*.json"))) < count:
        assert child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])}


def test_processes_give_the_same_table(folder: Path) -> None:
    """Two processes find what one finds."""
    world = tiny.targeting_helps(3)
    archive, ask = world.archive(), Ask(("coverage",), 2, 2, 8)
    one = run(archive, ask, folder / "one", trainer_of=tiny.Learns(world))
    two = run(archive, replace(ask, jobs=2), folder / "two", trainer_of=tiny.Learns(world))
    assert one.with_(folder="") == two.with_(folder="")


def test_prices_change_no_cell(folder: Path) -> None:
    """Another price is another table from the same cells: nothing is learned again, minutes are what it says."""
    world = tiny.no_difference(4)
    before = of(world, folder, "coverage", seeds=1, rounds=2, budget=8)
    archive, spy = world.archive(), tiny.Spies(world)
    dear = replace(archive, config=merged(archive.config, {"cost": {"scene": 60, "box": 120}}, "a test"))
    after = run(dear, Ask(("coverage",), 1, 2, 8), folder, trainer_of=spy)
    assert spy.fits == 0
    point = after.curves[0].points[-1]
    assert point.minutes == pytest.approx(point.scenes + 2 * point.boxes)
    assert after.of("coverage", "boxes") == before.of("coverage", "boxes")


def test_an_adaptive_arm_goes_by_what_its_streams_were_worth(folder: Path) -> None:
    """`hybrid ratio=adaptive` is hybrid until a batch of both streams is labelled; then coverage gets of each batch what the errors of
    every model in the batch after it lead to, counted here from the tiny trainer's own predictions. Another price is another cell."""
    world = tiny.targeting_hurts(2)
    archive, plan, learns = world.archive(), Plan(folder, 4, 25), tiny.Learns(world)
    half = "hybrid coverage_share=0.5"
    adaptive, fixed = (arm(name, archive.config) for name in (f"{half} ratio=adaptive", half))
    line = [cell(archive, plan, adaptive, 0, number, learns) for number in range(4)]
    same = [cell(archive, plan, fixed, 0, number, learns) for number in range(2)]
    assert [one.chosen for one in line[:2]] == [one.chosen for one in same]
    assert [len(one.targeted) for one in line[:2]] == [0, 12]
    trainer, worths = learns(archive), []
    for before, one, after in zip(line, line[1:], line[2:], strict=False):
        model = models.load(folder, shelved(folder, before.model))
        worths.append(counted(archive, trainer, model, one))
        share = Fraction(learned("0.5", worths, after.round).share)
        assert len(after.targeted) == 25 - math.ceil(share * 25)
    assert len(line[-1].targeted) > 12, "what nobody can learn has errors for ever"
    dear = replace(archive, config=merged(archive.config, {"cost": {"box": 70}}, "a test"))
    trainer = learns(archive)
    paths = [path_of(one, plan, arm(adaptive.name, one.config), 0, 0, trainer) for one in (archive, dear)]
    assert paths[0] != paths[1]


def shelved(folder: Path, key: str) -> TrainedModel:
    """The model that learned from `key`."""
    found = next(one for n in range(4) if (one := models.find(folder, f"v{n}", "2d", key)) is not None)
    return found


def counted(archive: Archive, trainer: Any, model: Any, one: Cell) -> RoundWorth:
    """What the streams of a cell were worth, to a model: what a tiny trainer finds has a score of 0.4 and more, what it sees out of
    place has less than 0.3, which is below the operating threshold."""
    sums = {name: np.zeros(3) for name in ("coverage", "targeted")}
    for key in one.chosen:
        row = archive.row_of[key]
        (sample,) = archive.samples[row]
        (found,) = trainer.predict(model, [sample.path])
        missed = len(sample.labels) - int((found.scores >= 0.4).sum())
        name = "targeted" if key in one.targeted else "coverage"
        sums[name] += [1, 10 + 7 * archive.boxes[row], missed]
    streams = {
        name: StreamWorth(scenes=int(n), seconds=seconds, errors=errors)
        for name, (n, seconds, errors) in sums.items()
    }
    return RoundWorth(round=f"v{one.round}", **streams)


def with_images(archive: Archive, folder: Path) -> Archive:
    """The same with a file for each scene: noise, and its objects in the colours of their classes."""
    samples = []
    for key, (sample,) in zip(archive.keys, archive.samples, strict=True):
        path = folder / Path(sample.path).name
        pixels = np.random.default_rng(int(key)).integers(0, 90, (50, 160, 3), np.uint8)
        for (x1, y1, x2, y2), label in zip(sample.shapes.astype(int), sample.labels, strict=True):
            pixels[y1:y2, x1:x2] = np.eye(3, dtype=np.uint8)[label] * 250
        Image.fromarray(pixels).save(path)
        samples.append((replace(sample, path=str(path)),))
    return replace(archive, samples=tuple(samples))


def test_an_arm_that_searches_for_objects(folder: Path) -> None:
    """`targeted queries=objects` finds scenes of the class that the model misses, and looks at windows of candidates and mined scenes
    alone; its cells are the same when they are made again, and others with another encoder."""
    world = replace(tiny.targeting_helps(2), drives=24)
    archive, plan, learns = with_images(world.archive(), folder), Plan(folder, 2, 6), tiny.Learns(world)
    chooser = arm("targeted queries=objects", archive.config)
    line = [cell(archive, plan, chooser, 0, number, learns) for number in range(2)]
    assert [len(one.targeted) for one in line] == [0, 6]
    kept = {path.stem.partition("-")[2] for path in (folder / "crops").glob("*.npz")}
    part = parts(archive, 0)
    held = hashes(folder, [{"image": archive.samples[row][0].path} for row in part.score], 1)
    assert kept
    assert not kept & set(held)
    shutil.rmtree(folder / "cells")
    assert [cell(archive, plan, chooser, 0, number, learns) for number in range(2)] == line
    other = merged(archive.config, {"embed": {"encoder": "field:given"}}, "a test")
    with pytest.raises(ConfigError, match="field:given"):
        arm("targeted queries=objects", other)


def test_a_broken_cell_is_made_again(folder: Path) -> None:
    """A file that is cut off is no cell; the table is the same."""
    world = tiny.no_difference(5)
    before = of(world, folder, "coverage", seeds=1, rounds=2, budget=8)
    broken = sorted((folder / "cells").glob("*.json"))[0]
    broken.write_bytes(broken.read_bytes()[:40])
    assert kept(broken) is None
    assert of(world, folder, "coverage", seeds=1, rounds=2, budget=8) == before
    assert kept(broken) is not None


def test_other_labels_are_other_cells() -> None:
    """The digest of an archive changes with a label, a drive or a vector, and not with where files lie."""
    archive: Archive = tiny.no_difference(6).archive()
    moved = [
        tuple(replace(one, path=f"/elsewhere{one.path}") for one in samples) for samples in archive.samples
    ]
    assert replace(archive, samples=tuple(moved)).digest == archive.digest
    first = archive.samples[0][0]
    other = ((replace(first, labels=1 - first.labels),), *archive.samples[1:])
    assert replace(archive, samples=other).digest != archive.digest
    assert replace(archive, drives=("new", *archive.drives[1:])).digest != archive.digest
    assert replace(archive, vectors=archive.vectors + np.float32(0.1)).digest != archive.digest


# ---------------------------------------------------------------------- mistakes


def test_more_rounds_than_scenes(folder: Path) -> None:
    """Where the pool runs out, one line says which seed and round, and what to change."""
    with pytest.raises(StateError, match="no scenes left to choose from in round 2: give fewer --rounds"):
        of(replace(tiny.no_difference(1), drives=12), folder, seeds=1, rounds=3, budget=15)


def short(given: Any) -> list[int]:
    return [0, 0, 1]


def test_an_arm_that_chooses_too_few(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says how many were expected and how many came."""
    monkeypatch.syspath_prepend(str(HERE.parent))
    with pytest.raises(
        ConfigError, match="expected at least 8 different positions of 80 candidates, got 3, 2 of them"
    ):
        of(tiny.no_difference(1), folder, "test_backtest:short", seeds=1, rounds=1, budget=8)


def test_the_arm_of_the_documentation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of docs/methods/backtest.md, word for word: after random's first batch, scenes of drives that have no labels."""
    page = (HERE.parents[2] / "docs" / "methods" / "backtest.md").read_text()
    (folder / "mine.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    monkeypatch.chdir(folder)
    world = tiny.no_difference(7)
    archive, plan = world.archive(), Plan(folder, 2, 6)
    chooser = arm("mine:fresh_drives", archive.config)
    first, second = (cell(archive, plan, chooser, 0, turn, tiny.Learns(world)) for turn in (0, 1))
    drives = [{archive.drives[row] for row in archive.rows(one.chosen)} for one in (first, second)]
    assert not drives[0] & drives[1]


def test_what_nobody_learned_is_said(folder: Path) -> None:
    """Where no model learns anything a note says that the comparison says nothing."""
    world = tiny.TinyWorld((tiny.Mode(1.0, {"car": 2}, 1e9),), ("car",))
    found = of(world, folder, "coverage", seeds=1, rounds=2, budget=8)
    assert any("learned next to nothing" in note for note in found.notes)


if __name__ == "__main__":
    WORLD = tiny.targeting_helps(3)
    run(WORLD.archive(), Ask(("hybrid",), 2, 3, 8), Path(sys.argv[1]), trainer_of=tiny.Learns(WORLD))
