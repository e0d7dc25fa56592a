"""Whatever people, processes and kills do to a dataset in whatever order: after a repair it shows what the journal says."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support import remove, samples_of
from swath import life

pytestmark = [pytest.mark.database, pytest.mark.timeout(1200)]
SCENES = 14
OWNED = re.compile(r"(split|batch|source|failure|annotated|annotated_2d|annotated_3d):|to_annotate$")
CHANGES: dict[str, Any] = {
    "embed": {"encoder": "field:given"},
    "splits": {"by": "scene", "golden": 0.1, "audit_pairs": 0},  # there are no media to look at
    "select": {"first_min": 3, "first_share": 0.2, "min": 2, "zcore_max_draws": 60},
}


class Killed(BaseException):
    """As if the process were gone: no handler of errors sees it."""


class People:
    """Annotators who have looked at some scenes: those whose number leaves a rest of at most `busy` by three. Clouds of some
    scenes they skip."""

    name, opinions = "people", 1

    def __init__(self) -> None:
        self.busy = 0

    def send(self, work: Any) -> dict[str, Any]:
        return {}

    def fetch(self, work: Any, receipt: Any) -> Any:
        from swath.annotators.base import Answer, Fetched
        from swath.labels.shapes import Boxes, Cuboids, empty

        answers = []
        for task in work.tasks:
            number = int(Path(next(iter(task.media.values()))).stem)
            for channel in task.channels:
                labels: Any = Boxes(np.array([[1.0, 2, 30, 20]]), ("Car",))
                if channel.modality == "3d":
                    labels = Cuboids(np.array([[9.0, 1, 0, 4, 2, 1.5, 0, 0, 0.3]]), ("Car",))
                if number % 3 > self.busy:
                    answers.append(Answer(task.task, channel.name, "unreviewed"))
                elif number % 5 == 1 and channel.kind == "cloud":
                    answers.append(Answer(task.task, channel.name, "skipped", annotator="a"))
                elif number % 4 == 0:
                    nothing = empty(channel.modality)
                    answers.append(Answer(task.task, channel.name, "reviewed_empty", nothing, "a"))
                else:
                    answers.append(Answer(task.task, channel.name, "labeled", labels, "a"))
        return Fetched(tuple(answers))


def make_dataset(name: str) -> Any:
    """Groups of three slices without media files; some lack `right` or `pcd`."""
    import fiftyone as fo

    dataset = fo.Dataset(name, persistent=True)
    dataset.add_group_field("group", default="left")
    rng = np.random.default_rng(5)
    samples = []
    for number in range(SCENES):
        group = fo.Group()
        for part in ("left", "right", "pcd"):
            if (number % 5 == 3 and part == "right") or (number % 7 == 4 and part == "pcd"):
                continue
            values: dict[str, Any] = {}
            if part != "pcd":
                values["metadata"] = fo.ImageMetadata(width=96, height=48)
            if part == "left":
                values["given"] = rng.normal(size=6).astype(np.float32)
                values["ground_truth"] = fo.Detections(detections=[])
            path = f"/nowhere/{part}/{number:03}.{'pcd' if part == 'pcd' else 'png'}"
            samples.append(fo.Sample(filepath=path, group=group.element(part), **values))
    dataset.add_samples(samples, progress=False)
    return dataset


def expected(db: Any, dataset_id: Any, members: dict[str, str]) -> dict[str, set[str]]:
    """swath's tags of every scene, told anew from the raw journal."""
    tags = {key: {f"split:{split}"} if split else set() for key, split in members.items()}
    for batch in db["swath.rounds"].find({"dataset": dataset_id, "role": "pool"}):
        name = batch["round"]
        rows = list(db["swath.assignments"].find({"dataset": dataset_id, "round": name, "role": "pool"}))
        for key in {row["key"] for row in rows}:
            mine = [row for row in rows if row["key"] == key]
            done = {row["channel"] for row in mine if row["state"] in ("labeled", "reviewed_empty")}
            skipped = {row["channel"] for row in mine if row["state"] == "skipped"}
            tags[key] |= {f"annotated_{'3d' if one == 'pcd' else '2d'}:{name}" for one in done}
            if done and len(done) + len(skipped) == len(mine):
                tags[key].add(f"annotated:{name}")
            if batch["state"] == "cancelled" or any(row["state"] == "returned" for row in mine):
                continue
            tags[key] |= {f"batch:{name}", f"source:{mine[0]['stream']}"}
            if batch["state"] in ("committed", "annotating") and any(
                row["state"] == "unreviewed" for row in mine
            ):
                tags[key].add("to_annotate")
    return tags


class Hands(RuleBasedStateMachine):
    """One loop and all that may happen to it. `dirty`: something was changed behind swath's back since the last repair."""

    base: Any = None
    home: Path = Path()
    count = 0

    def __init__(self) -> None:
        super().__init__()
        from swath.loop import Loop

        Hands.count += 1
        self.name = f"hands-{Hands.count}"
        type(self).base.clone(self.name, persistent=True)
        self.people = People()
        self.loop, _ = Loop.init_fiftyone(self.name, changes=CHANGES, home=self.home / self.name)
        self.loop.annotator = self.people
        self.dirty = False
        self.mine: set[tuple[str, str]] = set()  # (scene, slice) that people tagged for themselves

    # ------------------------------------------------------------------ what is where

    @property
    def dataset(self) -> Any:
        return self.loop.workspace.scenes.dataset

    @property
    def samples(self) -> Any:
        return samples_of(self.dataset)

    def step(self) -> str | None:
        return self.loop.plan().step

    def is_split(self) -> bool:
        return self.loop.workspace.is_split()

    def again(self) -> None:
        """A new process opens the loop, and recovers."""
        from swath.loop import Loop

        self.loop = Loop.open(self.name, wait=2)
        self.loop.annotator = self.people
        self.loop.recover()

    def state(self) -> str:
        """Of the last round."""
        rounds = life.rounds(self.loop.workspace.journal.batches.all())
        return rounds[-1].state if rounds else "none"

    def last(self) -> str:
        """The name of the last round."""
        return life.rounds(self.loop.workspace.journal.batches.all())[-1].round

    # ------------------------------------------------------------------ what swath does

    @precondition(lambda self: not self.is_split())
    @rule()
    def split(self) -> None:
        self.loop.split()
        self.loop.embed()
        self.people.busy = 2
        self.loop.reference()

    @precondition(lambda self: self.is_split() and self.step() in ("select", "send"))
    @rule()
    def select_or_send(self) -> None:
        self.loop.next()

    @precondition(lambda self: self.is_split() and self.step() == "fetch")
    @rule(busy=st.integers(0, 2))
    def fetch(self, busy: int) -> None:
        self.people.busy = busy
        self.loop.fetch()

    @precondition(lambda self: self.state() in ("committed", "annotating", "labeled"))
    @rule()
    def cancel(self) -> None:
        self.loop.cancel(self.last(), "changed our minds")
        self.dirty = False  # cancelling projects everything

    @precondition(lambda self: self.state() == "annotating")
    @rule()
    def close(self) -> None:
        from swath.errors import StateError

        with suppress(StateError):  # no labels yet: there is nothing to close
            self.loop.close_round(self.last())
            self.dirty = False

    @precondition(lambda self: self.state() == "labeled")
    @rule()
    def reopen(self) -> None:
        self.loop.reopen(self.last(), "the boxes are loose")

    @rule()
    def repair(self) -> None:
        self.loop.repair()
        self.dirty = False

    # ------------------------------------------------------------------ what people do

    @rule(
        number=st.integers(0, SCENES - 1),
        part=st.sampled_from(["left", "right", "pcd"]),
        tag=st.sampled_from(["mine", "split:test", "batch:v0", "to_annotate", "annotated:v9"]),
    )
    def tag_by_hand(self, number: int, part: str, tag: str) -> None:
        query = {"scene_key": f"{number:03}", "group.name": part}
        if self.samples.update_one(query, {"$addToSet": {"tags": tag}}).matched_count:
            if tag == "mine":
                self.mine.add((f"{number:03}", part))
            else:
                self.dirty = True

    @rule(number=st.integers(0, SCENES - 1))
    def untag_by_hand(self, number: int) -> None:
        self.samples.update_many({"scene_key": f"{number:03}"}, {"$set": {"tags": []}})
        self.mine = {one for one in self.mine if one[0] != f"{number:03}"}
        self.dirty = True

    @precondition(lambda self: self.is_split())
    @rule()
    def delete_a_view(self) -> None:
        if self.dataset.has_saved_view("pool"):
            self.dataset.delete_saved_view("pool")
        self.dirty = True

    @rule(part=st.sampled_from(["left", "right", "pcd"]))
    def change_the_active_slice(self, part: str) -> None:
        self.dataset.group_slice = part

    @rule()
    def reload(self) -> None:
        self.dataset.reload()

    @rule()
    def rename(self) -> None:
        self.name += "x"
        self.dataset.name = self.name

    @rule(number=st.integers(0, SCENES - 1))
    def lose_a_slice(self, number: int) -> None:
        """The right image of a scene is deleted, as by someone who cleans up."""
        self.samples.delete_many({"scene_key": f"{number:03}", "group.name": "right"})
        self.mine.discard((f"{number:03}", "right"))
        self.loop.workspace.scenes.refresh()

    @rule()
    def clone(self) -> None:
        """A copy gets a loop of its own, and neither touches the other."""
        from swath.loop import Loop

        name = f"{self.name}-copy"
        self.dataset.clone(name, persistent=True)
        copy, _ = Loop.init_fiftyone(name, changes=CHANGES, home=self.home / name)
        copy.split()
        assert copy.repair(check=True).differences == ()
        remove(name)

    # ------------------------------------------------------------------ what goes wrong

    @precondition(lambda self: self.is_split() and self.step() in ("select", "send", "fetch"))
    @rule(at=st.sampled_from(["project", "write", "save_view", "assign", "advance", "answer", "barrier"]))
    def crash_in_a_step(self, at: str) -> None:
        """The step dies at its first write of a kind; a new process opens the loop."""
        scenes, journal = self.loop.workspace.scenes, self.loop.workspace.journal
        owners = {
            "assign": journal.assignments,
            "answer": journal.assignments,
            "advance": journal.batches,
            "barrier": journal.lease,
        }

        def die(*args: Any, **kwargs: Any) -> None:
            raise Killed

        assert callable(getattr(owners.get(at, scenes), at))
        setattr(owners.get(at, scenes), at, die)
        try:
            self.loop.next()
        except Killed:
            self.dirty = False  # recovery projects everything
        self.again()

    @rule()
    def a_process_ended_while_it_held_the_dataset(self) -> None:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        database = self.loop.workspace.journal._loops.database
        held = {
            "mark": "gone",
            "pid": gone.pid,
            "host": socket.gethostname(),
            "born": 0.0,
            "operation": "select",
        }
        database["swath.loops"].update_one(
            {"_id": self.dataset._doc.id},
            [
                {
                    "$set": {
                        "writer": {
                            **held,
                            "token": {"$add": ["$writer.token", 1]},
                            "expires": {"$add": ["$$NOW", 99999]},
                        }
                    }
                }
            ],
        )
        self.again()
        if self.is_split():
            self.dirty = False

    # ------------------------------------------------------------------ what must hold

    @invariant()
    def the_dataset_shows_what_the_journal_says(self) -> None:
        if self.dirty or not self.is_split():
            return
        assert self.loop.repair(check=True).differences == ()
        database = self.loop.workspace.journal._loops.database
        wanted = expected(database, self.dataset._doc.id, self.loop.workspace.membership())
        for doc in self.samples.find({}):
            owned = {tag for tag in doc.get("tags") or [] if OWNED.match(tag)}
            assert owned == wanted[doc["scene_key"]], (doc["scene_key"], doc["group"]["name"])
            has_mine = (doc["scene_key"], doc["group"]["name"]) in self.mine
            assert ("mine" in (doc.get("tags") or [])) == has_mine
        pool = {key for key, tags in wanted.items() if "split:pool" in tags}
        self.dataset.reload()
        assert set(self.loop.workspace.scenes.view_members("pool") or ()) == pool
        shown = {"group.name": self.dataset.group_slice, "scene_key": {"$in": sorted(pool)}}
        # FiftyOne counts the groups that have the active slice, in views as in whole datasets.
        assert len(self.dataset.load_saved_view("pool")) == self.samples.count_documents(shown)

    def teardown(self) -> None:
        try:
            self.repair()
            self.the_dataset_shows_what_the_journal_says()
        finally:
            remove(self.name)


def play(folder: Path, examples: int, steps: int, *phases: Phase) -> None:
    import fiftyone as fo

    if fo.dataset_exists("hands-base"):
        fo.delete_dataset("hands-base")
    Hands.base, Hands.home = make_dataset("hands-base"), folder
    try:
        run_state_machine_as_test(
            Hands,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=True,
                database=None,
                phases=(Phase.generate, *phases),
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        fo.delete_dataset("hands-base")


def test_a_few_histories(mongod: str, tmp_path: Path) -> None:
    """After a few sequences of what swath, people and kills do, tags, views and status are the journal's on every slice."""
    play(tmp_path, 5, 12)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_many_histories(mongod: str, tmp_path: Path) -> None:
    """After many and long sequences, tags, views and status are the journal's on every slice."""
    play(tmp_path, 150, 30, Phase.shrink)
