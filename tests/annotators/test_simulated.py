"""The simulated annotator errs as often as it says, and always in the same way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from works import DEFAULT, LEFT, PCD, SURROUND, by_channel, channels_of

from swath.annotators.base import Answer, Task, Work
from swath.annotators.simulated import ErrorRates, Known, Simulated
from swath.errors import ConfigError
from swath.kernels import boxes as box_kernel
from swath.labels.channels import Channel
from swath.labels.shapes import Boxes, Cuboids, Labels

CLASSES = ("Car", "Van", "Pedestrian", "Tram")
NONE = ErrorRates(0, 0, 0, 0, 0, 0, 0, 0)
SIZES = {"left": (1000, 300)}


def objects(key: int) -> tuple[Boxes, Cuboids]:
    """Ten objects a scene, well apart, of classes that depend on the key."""
    rng = np.random.default_rng(key)
    left = np.arange(10) * 100.0
    boxes = np.c_[left, np.full(10, 100), left + 60, np.full(10, 160)]
    place = np.c_[10 + np.arange(10) * 5.0, np.where(np.arange(10) % 2, 6, -6), np.full(10, -0.9)]
    cuboids = np.c_[place, np.tile([3.9, 1.6, 1.5, 0, 0, 0.2], (10, 1))]
    names = tuple(rng.choice(["Car", "Pedestrian", "DontCare", "Tram"], 10, p=[0.6, 0.2, 0.1, 0.1]))
    return Boxes(boxes, names), Cuboids(cuboids, names)


def truth(task: str) -> Known:
    """The objects of scene 0007 for the task t7, in every channel of its kind."""
    boxes, cuboids = objects(int(task[1:]))
    labels: dict[str, Labels | None] = {"left": boxes, "right": None, "pcd": cuboids}
    return Known(f"{int(task[1:]):04}", labels)


def work(
    scenes: int,
    batch: str = "v0",
    slot: int = 0,
    channels: tuple[Channel, ...] = (LEFT, PCD),
    primary: str = "left",
) -> Work:
    sizes = {one.name: (1000, 300) for one in channels if one.kind == "image"}
    tasks = tuple(Task(f"t{i}", {}, sizes, channels, slot=slot) for i in range(scenes))
    return Work(batch, CLASSES, tasks, primary)


def fetch(annotator: Simulated, of: Work) -> tuple[Answer, ...]:
    return annotator.fetch(of, annotator.send(of)).answers


def labels(answers: tuple[Answer, ...]) -> list[Labels]:
    return [one.labels for one in answers if one.labels is not None]


def test_the_draws_of_the_default_rig_are_those_of_0_1_0() -> None:
    """The same seed, names and keys give the same labels as swath 0.1.0: its digest over rates, batches and slots is pinned,
    with numbers to 1e-6 (no two processors agree on the last bit)."""

    def some_empty(task: str) -> Known:
        if int(task[1:]) % 7 == 3:
            return Known(f"{int(task[1:]):04}", {"left": Boxes.empty(), "pcd": Cuboids.empty()})
        return truth(task)

    said = []
    for rates in (ErrorRates(), ErrorRates(0.2, 0.3, 0.2, 0.1)):
        for batch in ("v0", "v1"):
            for slot in range(3):
                for one in fetch(Simulated(some_empty, rates, seed=51), work(12, batch, slot)):
                    drawn = one.labels
                    values = [] if drawn is None else np.round(drawn.shapes, 6).tolist()
                    names = [] if drawn is None else list(map(str, drawn.classes))
                    modality = DEFAULT[one.channel].modality
                    said.append([batch, slot, one.task, modality, one.state, values, names])
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    assert digest == "e9704058cba5a60dcf04cf43a7be973301e09790362d9c0cc1be39aca355627a"


@pytest.mark.parametrize("channel", [LEFT, PCD], ids=["2d", "3d"])
def test_rates_are_kept(channel: Channel) -> None:
    """Misses, extras and swaps come at their rates: 400 scenes lie within four standard errors of each."""
    rates = replace(NONE, miss=0.05, extra=0.03, swap=0.02)
    batch = work(400, channels=(channel,))
    seen = missed = swapped = extra = 0
    for task, answer in zip(batch.tasks, fetch(Simulated(truth, rates), batch), strict=True):
        real = truth(task.task).labels[channel.name]
        assert real is not None
        pairs = zip(real.shapes, real.classes, strict=True)
        there = {tuple(row): name for row, name in pairs if name in CLASSES}
        assert answer.labels is not None
        drawn = answer.labels
        got = {tuple(row): name for row, name in zip(drawn.shapes, drawn.classes, strict=True)}
        seen += len(there)
        missed += len(there.keys() - got.keys())
        extra += len(got.keys() - there.keys())
        swapped += sum(got[row] != there[row] for row in got.keys() & there.keys())
    for count, rate in ((missed, 0.05), (extra, 0.03), (swapped, 0.02 * 0.95)):
        assert abs(count / seen - rate) < 4 * np.sqrt(rate * (1 - rate) / seen)


def test_without_errors_the_truth_comes_back() -> None:
    """At rates of 0 the labels are the truth, less what is outside the class map."""
    for drawn, real in zip(labels(fetch(Simulated(truth, NONE), work(1))), objects(0), strict=True):
        assert drawn == real.take([row for row, name in enumerate(real.classes) if name != "DontCare"])


def test_jitter_has_the_stated_size() -> None:
    """Edges, centres and yaws scatter with the standard deviations that were asked for."""
    answers = labels(fetch(Simulated(truth, replace(NONE, jitter_2d=0.05, centre=0.2, yaw=0.1)), work(150)))
    edges, moves, turns = [], [], []
    for i, (flat, solid) in enumerate(zip(answers[::2], answers[1::2], strict=True)):
        real, cuboids = objects(i)
        keep = [row for row, name in enumerate(real.classes) if name in CLASSES]
        inner = flat.shapes[:, 0] > 50  # the first box touches the image's edge
        edges.append(((flat.shapes - real.boxes[keep]) / 60)[inner])
        moves.append((solid.shapes - cuboids.cuboids[keep])[:, :3])
        turns.append((solid.shapes - cuboids.cuboids[keep])[:, 8])
    for drawn, sd in ((edges, 0.05), (moves, 0.2), (turns, 0.1)):
        assert np.concatenate(drawn).std() == pytest.approx(sd, rel=0.1)


def test_rounds_and_slots_and_seeds_err_apart() -> None:
    """Another batch, slot, seed or name draws other errors; the same ones draw the same."""
    rates = ErrorRates()
    base = labels(fetch(Simulated(truth, rates, seed=1), work(3)))
    assert labels(fetch(Simulated(truth, rates, seed=1), work(3))) == base
    others = [
        fetch(Simulated(truth, rates, seed=1), work(3, "v1")),
        fetch(Simulated(truth, rates, seed=1), work(3, slot=1)),
        fetch(Simulated(truth, rates, seed=2), work(3)),
        fetch(Simulated(truth, rates, seed=1, name="other"), work(3)),
    ]
    for other in others:
        assert not any(a == b for a, b in zip(labels(other), base, strict=True))


def test_the_scene_decides_not_its_task() -> None:
    """A scene under another task id, or beside other scenes, in any order, gets the same labels."""
    annotator = Simulated(lambda task: truth(f"t{int(task[1:]) % 10}"), ErrorRates(0.2, 0.2, 0.2), seed=4)
    batch = work(14)
    answers = by_channel(annotator.fetch(batch, {}))
    assert answers["t3", "left"].labels == answers["t13", "left"].labels
    few = replace(batch, tasks=(batch.tasks[5], batch.tasks[3]))
    for which, answer in by_channel(annotator.fetch(few, {})).items():
        assert answer == answers[which]


@pytest.mark.parametrize("primary", ["front", "top"])
def test_channels_of_one_kind_err_apart(primary: str) -> None:
    """With the same truth in all of them, no two channels of a kind get the same errors; what else is labelled changes
    none of them."""
    every = channels_of(SURROUND, primary)

    def everywhere(task: str) -> Known:
        boxes, cuboids = objects(int(task[1:]))
        return Known(task, {name: boxes if one.kind == "image" else cuboids for name, one in every.items()})

    annotator = Simulated(everywhere, ErrorRates(), seed=1)
    answers = by_channel(annotator.fetch(work(4, channels=tuple(every.values()), primary=primary), {}))
    for task in ("t0", "t3"):
        for kind in ("image", "cloud"):
            drawn = [answers[task, name].labels for name, one in every.items() if one.kind == kind]
            assert not any(a == b for i, a in enumerate(drawn) for b in drawn[:i])
    for name, one in every.items():
        alone = by_channel(annotator.fetch(work(4, channels=(one,), primary=primary), {}))
        assert all(answer == answers[task, name] for (task, _), answer in alone.items())


def test_the_first_of_a_kind_keeps_its_numbers() -> None:
    """The image that is shown and the first cloud are drawn alike, whatever they are called and whatever stands beside."""

    def of(flat: str, solid: str) -> Callable[[str], Known]:
        def known(task: str) -> Known:
            boxes, cuboids = objects(0)
            return Known("k", {flat: boxes, "right": boxes, solid: cuboids, "zz": cuboids})

        return known

    def drawn(flat: str, solid: str) -> list[Labels]:
        channels = (replace(LEFT, name=flat), replace(PCD, name=solid))
        return labels(fetch(Simulated(of(flat, solid), seed=1), work(1, channels=channels, primary=flat)))

    assert drawn("left", "pcd") == drawn("front", "top")


def test_extras_are_no_duplicates() -> None:
    """Invented boxes lie in the image, on no real object, and have a class of the map."""
    found = 0
    answers = fetch(Simulated(truth, replace(NONE, extra=0.5)), work(100, channels=(LEFT,)))
    for i, drawn in enumerate(labels(answers)):
        real = objects(i)[0]
        known = {tuple(row) for row in real.boxes}
        for row, name in zip(drawn.shapes, drawn.classes, strict=True):
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

    def empty(task: str) -> Known:
        return Known(task, {"left": Boxes.empty(), "pcd": Cuboids.empty()})

    assert {one.state for one in fetch(Simulated(empty, NONE), work(5))} == {"reviewed_empty"}
    assert {one.state for one in fetch(Simulated(empty, replace(NONE, extra=1.0)), work(5))} == {"labeled"}


def test_no_truth_and_skips() -> None:
    """A channel without a truth is skipped with a reason, and a skip rate of 1 skips everything without one."""
    for nothing in ({"left": None, "pcd": Cuboids.empty()}, {"pcd": Cuboids.empty()}):
        flat, solid = fetch(Simulated(lambda task, it=nothing: Known(task, it), NONE), work(1))  # type: ignore[misc]
        assert (flat.state, solid.state) == ("skipped", "reviewed_empty")
        assert "no hidden truth" in flat.rejected[0].reason
    answers = fetch(Simulated(truth, replace(NONE, skip=1.0)), work(3))
    assert {(one.state, one.rejected) for one in answers} == {("skipped", ())}


def test_swaps_prefer_what_looks_alike() -> None:
    """A swapped Car becomes a Van, and in a map of one class nothing can be swapped."""
    batch = work(20)
    for answer in fetch(Simulated(truth, replace(NONE, swap=1.0)), batch):
        assert answer.labels is not None
        was = [name for name in objects(int(answer.task[1:]))[0].classes if name in CLASSES]
        assert all(now != old for now, old in zip(answer.labels.classes, was, strict=True))
        assert all(now == "Van" for now, old in zip(answer.labels.classes, was, strict=True) if old == "Car")
    for drawn in labels(fetch(Simulated(truth, replace(NONE, swap=1.0)), replace(batch, classes=("Car",)))):
        assert set(drawn.classes) <= {"Car"}


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
        "from swath.labels.channels import Channel\n"
        "c = Cuboids(np.tile([9.0, 1, 0, 4, 2, 2, 0, 0, 0], (9, 1)), ('Car', 'Van', 'Truck') * 3)\n"
        "pcd = Channel('pcd', 'cloud', True, True, 'pcd', *'abcd')\n"
        "w = Work('v0', ('Car', 'Van', 'Truck'), (Task('t', {}, {}, (pcd,)),), 'pcd')\n"
        "s = Simulated(lambda t: Known('k', {'pcd': c}), ErrorRates(swap=0.5, extra=0.5))\n"
        "a = s.fetch(w, s.send(w)).answers[0].labels\n"
        "print(hashlib.sha256(a.cuboids.tobytes() + repr(a.classes).encode()).hexdigest())\n"
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
