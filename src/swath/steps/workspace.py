"""What every step works on: the scenes, the journal, the configuration, a folder, and the guards between splits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swath import projection
from swath.config import LoopConfig
from swath.errors import FrozenSplitError, IntegrityError, StateError, some
from swath.journal import Document, Journal, Writer, digest, unpack
from swath.scenes import Scenes, SceneState

Tick = Callable[[int, int], None]  # (done, of)
Progress = Callable[[str], Tick]  # a title -> a tick


def silent(title: str) -> Tick:
    """Progress that nobody sees."""
    return lambda done, of: None


def default_home(name: str) -> Path:
    """Where swath keeps derived media, models and reports of a dataset: `$SWATH_HOME/NAME`, else `~/.swath/NAME`."""
    return Path(os.environ.get("SWATH_HOME") or Path.home() / ".swath") / name


@dataclass
class Workspace:
    """One dataset under swath's hands."""

    scenes: Scenes
    journal: Journal
    config: LoopConfig
    home: Path
    progress: Progress = silent
    wait: float = 30.0
    _membership: tuple[str, dict[str, str]] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return str(self.scenes.dataset.name)

    @property
    def modalities(self) -> tuple[str, ...]:
        """`2d`, and `3d` where the dataset has a cloud slice."""
        return ("2d", "3d") if self.config.slices.cloud in self.scenes.slices else ("2d",)

    # ------------------------------------------------------------------ splits and their guards

    def membership(self) -> dict[str, str]:
        """key -> split of every scene ("" for those set aside); `StateError` before the split."""
        loop = self.journal.loop()
        if "membership" not in loop:
            raise StateError(f"{self.name} is not split yet; run `swath split --dataset {self.name}`")
        if self._membership is None or self._membership[0] != loop["membership_sha256"]:
            members: dict[str, str] = unpack(loop["membership"])
            test = sorted(key for key, split in members.items() if split == "test")
            if digest(members) != loop["membership_sha256"] or digest(test) != loop["test_sha256"]:
                raise IntegrityError(
                    f"{self.name}: the splits in the journal are not the ones that were frozen (hash differs)"
                )
            self._membership = (loop["membership_sha256"], members)
        return self._membership[1]

    def is_split(self) -> bool:
        return "membership" in self.journal.loop()

    def members(self, *splits: str) -> list[str]:
        """Keys of these splits, sorted; those that were deleted from the dataset by hand are left out (`repair` names them)."""
        wanted = sorted(key for key, split in self.membership().items() if split in splits)
        return self.scenes.table.known(wanted)

    def not_test(self, keys: Sequence[str], operation: str) -> Sequence[str]:
        """`keys`, or `FrozenSplitError` when a test scene is among them."""
        membership = self.membership()
        test = [key for key in keys if membership.get(key) == "test"]
        if test:
            raise FrozenSplitError(
                f"{operation} would read {len(test)} test scenes ({some(test)}); test is frozen: "
                "only the leak audit and `swath evaluate --final` read it"
            )
        return keys

    def only(self, split: str, keys: Sequence[str], operation: str) -> Sequence[str]:
        """`keys`, or `StateError` when one is of another split (a test scene: `FrozenSplitError`)."""
        membership = self.membership()
        other = [key for key in self.not_test(keys, operation) if membership.get(key) != split]
        if other:
            raise StateError(
                f"{operation} works on {split}; {len(other)} scenes are not in it: {some(other)}"
            )
        return keys

    # ------------------------------------------------------------------ writing

    @contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:
        """Holds the dataset for `operation`; what a killed writer left behind is put right first."""
        with self.journal.writer(operation, wait=self.wait, recover=self.recover) as writer:
            yield writer

    def recover(self, writer: Writer) -> None:
        """After a writer that did not end: shut it out, roll planned rounds forward, project everything."""
        self.raise_fence(writer)
        if not self.is_split():
            return
        settle(self, writer)
        self.project(writer)

    def raise_fence(self, writer: Writer) -> None:
        """Shuts out every earlier writer, everywhere, and reads the dataset anew."""
        self.journal.raise_fence(writer)
        self.scenes.raise_fence(writer)
        self.scenes.refresh()

    def states(self, keys: Iterable[str] | None = None) -> dict[str, SceneState]:
        """Tags and status of `keys` (of every scene, when None), as the journal has them."""
        if not self.is_split():
            return {str(key): SceneState((), "unlabeled") for key in self.scenes.table.keys}
        membership = self.membership()
        if keys is not None:
            membership = {key: membership[key] for key in keys}
        return projection.scene_states(membership, self.journal.batches(), self.journal.assignments())

    def views(self) -> dict[str, list[str]]:
        """Saved views, as the journal has them."""
        return projection.views(self.membership(), self.journal.batches(), self.journal.assignments())

    def info(self) -> dict[str, Any]:
        """What `dataset.info` mirrors, as the journal has it."""
        earlier = self.journal.loop()["steps"].get("init", {}).get("history", ())
        return projection.info(self.config.classes, self.modalities, self.journal.rounds(), earlier)

    def project(
        self, writer: Writer, keys: Iterable[str] | None = None, views: Iterable[str] | None = None
    ) -> None:
        """Writes tags and status of `keys` (all that differ, when None) and the saved `views` (all, when None).

        Scenes that were removed from the dataset by hand are left out; views of rounds that are no more are deleted.
        """
        there = set(self.scenes.table.keys.tolist())
        known = None if keys is None else sorted(there & set(keys))
        states = self.states(known)
        if known is None:
            known = sorted({one.scene for one in self.scenes.differences(states)})
        self.scenes.project({key: states[key] for key in known}, writer)
        wanted = self.views()
        for name, members in wanted.items():
            if views is None or name in views:
                self.scenes.save_view(
                    name, [key for key in members if key in there], f"swath: {name}", writer
                )
        for name in self.scenes.views.owned():
            if views is None and name not in wanted:
                self.scenes.views.delete(name, writer)
        self.scenes.set_info(self.info(), writer)
        self.journal.barrier(writer)
        self.scenes.refresh()


def commit(workspace: Workspace, writer: Writer, name: str) -> Document:
    """Steps 2 to 4 of committing a planned batch, from its manifest; doing it again changes nothing."""
    manifest = workspace.journal.manifest(name)
    workspace.journal.assign(writer, name, assignments_of(manifest))
    keys = [row["key"] for row in manifest["scenes"]]
    workspace.project(writer, keys, views=[f"batch_{name}"])
    return workspace.journal.advance(writer, name, "planned", "committed")


def settle(workspace: Workspace, writer: Writer) -> None:
    """Finishes in the journal what a killed process had decided: planned batches are committed, ended ones let go."""
    for batch in workspace.journal.batches():
        name = batch["round"]
        if batch["state"] == "planned":
            commit(workspace, writer, name)
        if batch["state"] == "cancelled" or "close" in batch["steps"]:
            workspace.journal.release(writer, name, {"state": "unreviewed"}, state="returned")
        if batch["state"] in ("cancelled", "closed"):
            workspace.journal.release(writer, name, {})


def assignments_of(manifest: Mapping[str, Any]) -> Iterator[Document]:
    """One assignment per scene, modality and slot of a manifest, golden scenes included."""
    for role, rows in ((manifest["role"], manifest["scenes"]), ("golden", manifest.get("golden", ()))):
        for row in rows:
            for modality in row["modalities"]:
                for slot in range(manifest.get("slots", 1)):
                    entry = {"key": row["key"], "role": role, "modality": modality, "slot": slot}
                    yield {**entry, "stream": row["stream"]} if "stream" in row else entry
