"""The simulated annotator errs as often as it says, and always in the same way."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from swath.annotators.base import Answer, Boxes, Cuboids, Task, Work
from swath.annotators.simulated import ErrorRates, Simulated
from swath.errors import ConfigError
from swath.kernels import boxes as box_kernel

CLASSES = ("Car", "Van", "Pedestrian", "Tram")
NONE = ErrorRates(0, 0, 0, 0, 0, 0, 0, 0)


def truth(task: Task) -> tuple[Boxes, Cuboids]:
    """Ten objects a scene, well apart, of classes that depend on the key."""
    rng = np.random.default_rng(int(task.key))
    left = np.arange(10) * 100.0
    boxes = np.c_[left, np.full(10, 100), left + 60, np.full(10, 160)]
    place = np.c_[10 + np.arange(10) * 5.0, np.where(np.arange(10) % 2, 6, -6), np.full(10, -0.9)]
    cuboids = np.c_[place, np.tile([3.9, 1.6, 1.5, 0, 0, 0.2], (10, 1))]
    names = tuple(rng.choice(["Car", "Pedestrian", "DontCare", "Tram"], 10, p=[0.6, 0.2, 0.1, 0.1]))
    return Boxes(boxes, names), Cuboids(cuboids, names)


def work(scenes: int, round: str = "v0", slot: int = 0) -> Work:
    tasks = tuple(Task(f"t{i}", f"{i:04}", {}, 1000, 300, slot=slot) for i in range(scenes))
    return Work(round, round, CLASSES, tasks)


def labels(answers: list[Answer]) -> list[Boxes | Cuboids]:
    return [a.boxes if a.boxes is not None else a.cuboids for a in answers]  # type: ignore[misc]


@pytest.mark.parametrize("modality", ["2d", "3d"])
def test_rates_are_kept(modality: str) -> None:
    """Misses, extras and swaps come at their rates: 400 scenes lie within four standard errors of each."""
    rates = replace(NONE, miss=0.05, extra=0.03, swap=0.02)
    batch = work(400)
    batch = replace(batch, tasks=tuple(replace(t, modalities=(modality,)) for t in batch.tasks))  # type: ignore[arg-type]
    seen = missed = swapped = extra = 0
    for task, answer in zip(batch.tasks, Simulated(truth, rates).fetch(batch), strict=True):
        real = truth(task)[0 if modality == "2d" else 1]
        table = real.boxes if isinstance(real, Boxes) else real.cuboids
        there = {tuple(row): name for row, name in zip(table, real.classes, strict=True) if name in CLASSES}
        drawn = answer.boxes if answer.boxes is not None else answer.cuboids
        assert drawn is not None
        values = drawn.boxes if isinstance(drawn, Boxes) else drawn.cuboids
        got = {tuple(row): name for row, name in zip(values, drawn.classes, strict=True)}
        seen += len(there)
        missed += len(there.keys() - got.keys())
        extra += len(got.keys() - there.keys())
        swapped += sum(got[row] != there[row] for row in got.keys() & there.keys())
    for count, rate in ((missed, 0.05), (extra, 0.03), (swapped, 0.02 * 0.95)):
        assert abs(count / seen - rate) < 4 * np.sqrt(rate * (1 - rate) / seen)


def test_without_errors_the_truth_comes_back() -> None:
    """At rates of 0 the labels are the truth, less what is outside the class map."""
    (answer, _) = Simulated(truth, NONE).fetch(work(1))
    real = truth(work(1).tasks[0])[0]
    keep = [row for row, name in enumerate(real.classes) if name != "DontCare"]
    assert answer.boxes == real.take(keep)


def test_jitter_has_the_stated_size() -> None:
    """Edges, centres and yaws scatter with the standard deviations that were asked for."""
    rates = replace(NONE, jitter_2d=0.05, centre=0.2, yaw=0.1)
    batch = work(150)
    answers = list(Simulated(truth, rates).fetch(batch))
    edges, moves, turns = [], [], []
    for task, flat, solid in zip(batch.tasks, answers[::2], answers[1::2], strict=True):
        real, cuboids = truth(task)
        keep = [row for row, name in enumerate(real.classes) if name in CLASSES]
        assert flat.boxes is not None
        assert solid.cuboids is not None
        inner = flat.boxes.boxes[:, 0] > 50  # the first box touches the image's edge
        edges.append(((flat.boxes.boxes - real.boxes[keep]) / 60)[inner])
        moves.append((solid.cuboids.cuboids - cuboids.cuboids[keep])[:, :3])
        turns.append((solid.cuboids.cuboids - cuboids.cuboids[keep])[:, 8])
    for drawn, sd in ((edges, 0.05), (moves, 0.2), (turns, 0.1)):
        assert np.concatenate(drawn).std() == pytest.approx(sd, rel=0.1)


def test_rounds_and_slots_and_seeds_err_apart() -> None:
    """Another round, slot, seed or name draws other errors; the same ones draw the same."""
    rates = ErrorRates()
    base = labels(list(Simulated(truth, rates, seed=1).fetch(work(3))))
    assert labels(list(Simulated(truth, rates, seed=1).fetch(work(3)))) == base
    others = [
        Simulated(truth, rates, seed=1).fetch(work(3, round="v1")),
        Simulated(truth, rates, seed=1).fetch(work(3, slot=1)),
        Simulated(truth, rates, seed=2).fetch(work(3)),
        Simulated(truth, rates, seed=1, name="other").fetch(work(3)),
    ]
    for other in others:
        assert not any(a == b for a, b in zip(labels(list(other)), base, strict=True))


def test_extras_are_no_duplicates() -> None:
    """Invented boxes lie in the image, on no real object, and have a class of the map."""
    batch = work(100)
    batch = replace(batch, tasks=tuple(replace(t, modalities=("2d",)) for t in batch.tasks))
    found = 0
    for task, answer in zip(
        batch.tasks, Simulated(truth, replace(NONE, extra=0.5)).fetch(batch), strict=True
    ):
        real = truth(task)[0]
        assert answer.boxes is not None
        known = {tuple(row) for row in real.boxes}
        for row, name in zip(answer.boxes.boxes, answer.boxes.classes, strict=True):
            if tuple(row) not in known:
                found += 1
                assert name in CLASSES
                assert (row >= 0).all()
                assert (row <= [1000, 300, 1000, 300]).all()
                named = [r for r, n in enumerate(real.classes) if n in CLASSES]
                assert box_kernel.iou([row], real.boxes[named]).max() <= 0.2
    assert found > 200


def test_empty_scenes() -> None:
    """A scene with nothing is reviewed_empty, unless something is invented there."""
    empty = lambda task: (Boxes.empty(), Cuboids.empty())  # noqa: E731
    assert {a.state for a in Simulated(empty, NONE).fetch(work(5))} == {"reviewed_empty"}
    assert {a.state for a in Simulated(empty, replace(NONE, extra=1.0)).fetch(work(5))} == {"labeled"}


def test_no_truth_and_skips() -> None:
    """A scene without a truth is skipped with a reason, and a skip rate of 1 skips everything without one."""
    answers = list(Simulated(lambda task: (None, Cuboids.empty()), NONE).fetch(work(1)))
    assert [a.state for a in answers] == ["skipped", "reviewed_empty"]
    assert "no hidden truth" in answers[0].rejected[0].reason
    assert {a.state for a in Simulated(truth, replace(NONE, skip=1.0)).fetch(work(3))} == {"skipped"}


def test_swaps_prefer_what_looks_alike() -> None:
    """A swapped Car becomes a Van, and in a map of one class nothing can be swapped."""
    batch = work(20)
    for answer in Simulated(truth, replace(NONE, swap=1.0)).fetch(batch):
        real = truth(batch.tasks[int(answer.task[1:])])[0]
        drawn = answer.boxes if answer.boxes is not None else answer.cuboids
        assert drawn is not None
        was = [name for name in real.classes if name in CLASSES]
        assert all(now != old for now, old in zip(drawn.classes, was, strict=True))
        assert all(now == "Van" for now, old in zip(drawn.classes, was, strict=True) if old == "Car")
    only = replace(batch, classes=("Car",))
    for answer in Simulated(truth, replace(NONE, swap=1.0)).fetch(only):
        drawn = answer.boxes if answer.boxes is not None else answer.cuboids
        assert drawn is None or set(drawn.classes) <= {"Car"}


def test_rates_are_checked() -> None:
    """A rate above 1, below 0 or NaN is refused by name."""
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="miss"):
            ErrorRates(miss=wrong)


def test_hash_seed_changes_nothing() -> None:
    """Two processes with different PYTHONHASHSEED draw the same labels."""
    script = (
        "import numpy as np, hashlib\n"
        "from swath.annotators.base import *\n"
        "from swath.annotators.simulated import *\n"
        "c = Cuboids(np.tile([9.0, 1, 0, 4, 2, 2, 0, 0, 0], (9, 1)), ('Car', 'Van', 'Truck') * 3)\n"
        "w = Work('v0', 'v0', ('Car', 'Van', 'Truck'), (Task('t', 'k', {}, 9, 9, modalities=('3d',)),))\n"
        "a = next(iter(Simulated(lambda t: (None, c), ErrorRates(swap=0.5, extra=0.5)).fetch(w)))\n"
        "print(hashlib.sha256(a.cuboids.cuboids.tobytes() + repr(a.cuboids.classes).encode()).hexdigest())\n"
    )
    out = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert out[0] == out[1] != ""
