"""What a fetch reads is what its batch has: not more in a dataset ten times as large. Counted in documents and bytes, not in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quick_loop
import small_scenes
from support import Commands, remove, samples_of, watched
from swath.annotators.base import Answer, Fetched, Work
from swath.labels.shapes import Boxes
from swath.loop import Loop

pytestmark = pytest.mark.database
SIZES = (80, 800)
BATCH, GOLDEN = 8, 2
MORE = 1.05  # times as much is allowed, in bytes: a batch is not byte for byte the other
# `GOLDEN` documents more are: which tasks come late is drawn, and of golden scenes that wait nobody looks for labels drawn by hand.


class Steady:
    """Draws one box in every scene; `late`: of so many tasks there is no answer yet."""

    name, opinions = "steady", 1

    def __init__(self, late: int = 0) -> None:
        self._late = late

    def send(self, work: Work) -> dict[str, Any]:
        return {}

    def fetch(self, work: Work, receipt: Any) -> Fetched:
        drawn = Boxes(np.array([[4.0, 8.0, 24.0, 28.0]]), ("car",))
        done = work.tasks[self._late :]
        return Fetched(tuple(Answer(one.task, "image", "labeled", drawn, self.name) for one in done))


def begin(name: str, count: int, folder: Path) -> Loop:
    """A loop on `count` scenes, `GOLDEN` of them golden, whose v0 of `BATCH` scenes is sent."""
    import fiftyone as fo

    remove(name)
    dataset = fo.Dataset(name, persistent=True)
    size = fo.ImageMetadata(width=small_scenes.WIDTH, height=small_scenes.HEIGHT, size_bytes=1000)
    car = {"label": "car", "bounding_box": [0.1, 0.2, 0.2, 0.4]}
    samples = []
    for number in range(count):
        path = folder / f"{number:04d}.png"  # nobody opens it
        truth = fo.Detections(detections=[fo.Detection(**car)])
        given = small_scenes.vector(number)
        samples.append(fo.Sample(filepath=str(path), metadata=size, given=given, ground_truth=truth))
    dataset.add_samples(samples, progress=False)
    splits = {"test": 0.1, "val": 0.1, "golden": GOLDEN / count, "audit_pairs": 0}
    changes = {**quick_loop.SETTINGS, "splits": splits}
    loop, _ = Loop.init_fiftyone(name, changes=changes, home=folder / name)
    loop.split()
    loop.embed()
    loop.reference("ground_truth")
    loop.annotator = Steady()
    assert loop.select(budget=BATCH).size == BATCH
    assert loop.send().tasks == BATCH + GOLDEN
    return loop


@dataclass(frozen=True)
class Cost:
    """What was asked of the database, and how many documents and index entries the server looked at for each operation."""

    commands: Commands
    examined: tuple[tuple[int, str, str], ...]

    @property
    def looked_at(self) -> int:
        return sum(count for count, _, _ in self.examined)


def fetched(name: str, late: int) -> Cost:
    """The cost of a fetch, from opening the loop on; `late`: tasks that have no answer yet."""
    database = samples_of(name).database
    database.command("profile", 2)  # the server notes every operation
    try:
        with watched() as commands:
            loop = Loop.open(name)
            loop.annotator = Steady(late)
            assert loop.fetch().waiting == late
    finally:
        database.command("profile", 0)
    noted = list(database["system.profile"].find({}))
    database.drop_collection("system.profile")
    assert len(noted) > 20
    examined = [(one.get("docsExamined", 0) + one.get("keysExamined", 0), one) for one in noted]
    said = [
        (count, str(one.get("planSummary")), f"{one['ns']} {one.get('command')}")
        for count, one in examined
        if count
    ]
    return Cost(commands, tuple(sorted(said, reverse=True)))


@pytest.fixture(scope="module")
def costs(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[int, Cost]]]:
    """What a fetch of some answers, and then one of all, asked for, by the size of the dataset."""
    folder = tmp_path_factory.mktemp("cost")
    out: dict[str, dict[int, Cost]] = {"some": {}, "all": {}}
    for count in SIZES:
        begin(f"t-cost-{count}", count, folder)
        out["some"][count] = fetched(f"t-cost-{count}", late=3)
        out["all"][count] = fetched(f"t-cost-{count}", late=0)
    yield out
    for count in SIZES:
        remove(f"t-cost-{count}")


@pytest.mark.parametrize("answers", ["some", "all"])
def test_a_fetch_costs_its_batch(costs: dict[str, dict[int, Cost]], answers: str) -> None:
    """Ten times the dataset, the same batch: as many documents, and as many bytes, are read, and as many writes are made; the
    server looks at as many documents and index entries for them: none is found by going through all."""
    of_small, of_large = (costs[answers][count] for count in SIZES)
    assert 0 < of_large.looked_at <= MORE * of_small.looked_at, of_large.examined[:3]
    small, large = of_small.commands, of_large.commands
    assert 0 < large.documents <= small.documents + GOLDEN
    assert len(small.writes) == len(large.writes) > 0
    assert 0 < large.size <= MORE * small.size


@pytest.mark.parametrize("answers", ["some", "all"])
def test_no_collection_grows(costs: dict[str, dict[int, Cost]], answers: str) -> None:
    """Not one of the collections is read more; what is kept in pieces, such as who is in which split, is not read at all."""
    small, large = (costs[answers][count].commands.read for count in SIZES)

    def kind(name: str) -> str:
        return "samples" if name.startswith("samples.") else name

    of_small, of_large = ({kind(name): n for name, n in one.items()} for one in (small, large))
    assert of_large.keys() == of_small.keys()
    assert all(n <= of_small[name] + GOLDEN for name, n in of_large.items()), (of_small, of_large)
    assert {"samples", "swath.rounds", "swath.assignments"} <= of_small.keys()
    assert "swath.pieces" not in of_small


def test_the_counting_sees_a_whole_read(costs: dict[str, dict[int, Cost]]) -> None:
    """Reading all scenes is seen to: else these tests would prove nothing."""
    for count in SIZES:
        with watched() as commands:
            assert len(Loop.open(f"t-cost-{count}").workspace.scenes.table) == count
        assert commands.documents > count
