"""Loops on small scenes, brought to a point once per session, and copied for each test that changes something."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import durable
import small_scenes
from support import remove, samples_of
from swath.annotators.base import Answer, Fetched, Task, Work
from swath.labels.channels import Channel
from swath.labels.shapes import Boxes, Cuboids, Labels
from swath.loop import Loop

CLASSES = ("car", "person", "sign")
SCENES, FRAMES = 60, 4  # fifteen drives of four frames
SETTINGS: dict[str, Any] = {
    "classes": CLASSES,
    "embed": {"encoder": "field:given"},
    "select": {"zcore_max_draws": 2000},
    "train": {"steps": 3, "width": 64},
    "evaluate": {"resamples": 10},
    "golden": {"miss": 0.3, "extra": 0.3, "swap": 0.3, "shift": 0.3},
    "annotate": {"annotator": "simulated"},
}


@cache
def media() -> Path:
    """The files of the scenes; removed with the process's temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="small-scenes-"))
    small_scenes.make_media(folder, SCENES + 12, CLASSES)
    return folder


def dataset(name: str, count: int = SCENES, **how: Any) -> Any:
    """A plain FiftyOne dataset with drives, which swath has not seen."""
    remove(name)
    made = small_scenes.make_dataset(name, media(), count, CLASSES, **how)
    give_drives(made)
    return made


def give_drives(made: Any) -> None:
    """Drive N of the scenes 4N .. 4N + 3."""
    flat = made.select_group_slices(_allow_mixed=True) if made.media_type == "group" else made
    numbers = [int(Path(path).stem) for path in flat.values("filepath")]
    flat.set_values("sequence", [f"d{number // FRAMES:02d}" for number in numbers])


@cache
def base(point: str) -> str:
    """Name of a loop that stands at `point`: `new`, `ready` (for v0), `sent` (v0), `closed` (v0). Not to be changed."""
    name = f"t-base-{point}"
    if point == "new":
        dataset(name)
        Loop.init_fiftyone(name, changes=SETTINGS, home=homes() / name)
        return name
    before = {"ready": "new", "sent": "ready", "closed": "sent"}[point]
    remove(name)
    durable.fork(base(before), name, homes() / name)
    loop = Loop.open(name)
    if point == "ready":
        loop.split()
        loop.embed()
        loop.reference("ground_truth")
    if point == "sent":
        loop.select()
        loop.send()
    if point == "closed":
        loop.run(1)
    return name


@cache
def homes() -> Path:
    return Path(tempfile.mkdtemp(prefix="swath-homes-"))


def at(point: str, name: str) -> Loop:
    """A loop of one's own, that stands at `point`."""
    durable.fork(base(point), name, homes() / name)
    return Loop.open(name)


def number_of(task: Task) -> int:
    """Which small scene a task shows: what the name of its media says to whoever made them."""
    return int(Path(next(iter(task.media.values()))).stem)


class Picky:
    """Labels every task that `wants` says, with what is there, without a flaw; leaves or skips the others."""

    opinions = 1

    def __init__(
        self,
        wants: Callable[[Task, Channel], bool] = lambda task, channel: True,
        otherwise: Any = "unreviewed",
        name: str = "simulated",
    ) -> None:
        self.name, self._wants, self._otherwise = name, wants, otherwise
        self.notes: tuple[str, ...] = ()

    def send(self, work: Work) -> dict[str, Any]:
        return {}

    def fetch(self, work: Work, receipt: Any) -> Fetched:
        answers = []
        for task in work.tasks:
            for channel in task.channels:
                if not self._wants(task, channel):
                    answers.append(Answer(task.task, channel.name, self._otherwise, annotator=self.name))
                    continue
                there = small_scenes.objects(number_of(task), CLASSES)
                names = tuple(label for label, _ in there)
                corners = np.array([box for _, box in there], float).reshape(-1, 4)
                labels: Labels = Boxes(corners, names)
                if channel.modality == "3d":
                    labels = Cuboids(cuboids(corners), names)
                state: Any = "labeled" if names else "reviewed_empty"
                answers.append(Answer(task.task, channel.name, state, labels, self.name))
        return Fetched(tuple(answers), self.notes)


def cuboids(corners: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(n, 9): where `small_scenes` puts the cuboids of these boxes (n, 4)."""
    out = np.tile([0, 0, -0.9, 4.0, 1.7, 1.6, 0, 0, 0.3], (len(corners), 1))
    out[:, 0] = 10.0 + corners[:, 1]
    out[:, 1] = (small_scenes.WIDTH / 2 - corners[:, 0]) / 4
    return out


def tag_by_hand(
    loop: Loop, key: str, add: Iterable[str] = (), drop: Iterable[str] = (), on: Any = None
) -> None:
    """Changes tags of a scene behind swath's back, on the slices `on` (all, when None)."""
    collection = samples_of(loop)
    query: dict[str, Any] = {"scene_key": key} | ({"group.name": {"$in": list(on)}} if on else {})
    for tag in drop:
        assert collection.update_many(query, {"$pull": {"tags": tag}}).modified_count
    for tag in add:
        assert collection.update_many(query, {"$addToSet": {"tags": tag}}).modified_count


def tags(loop: Loop, key: str) -> dict[str, list[str]]:
    """slice -> tags of a scene, as they are stored."""
    docs = samples_of(loop).find({"scene_key": key})
    return {(doc.get("group") or {}).get("name", ""): doc["tags"] for doc in docs}
