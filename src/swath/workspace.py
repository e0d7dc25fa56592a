"""What every step works on: the scenes, the journal, the configuration, a folder, and the guards between splits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from swath import projection
from swath.config import LoopConfig, values
from swath.errors import ConfigError, FormatError, FrozenSplitError, StateError, some
from swath.labels import stored
from swath.labels.channels import Channel, Rig
from swath.records.assignment import Assignment
from swath.records.batch import Batch, Failure
from swath.records.shown import SceneState
from swath.settings import shortly
from swath.store.journal import Journal
from swath.store.journal.lease import Writer
from swath.store.scenes import Scenes
from swath.store.table import SceneTable
from swath.suggest import init

Tick = Callable[[int, int], None]  # (done, of)
Progress = Callable[[str], Tick]  # a title -> a tick


def silent(title: str) -> Tick:
    """Progress that nobody sees."""
    return lambda done, of: None


LONGEST_NAME = 100
FROZEN = ("channels", "primary", "fields", "splits")  # settings that a split dataset keeps


def checked_name(name: str) -> str:
    """`name`, if a dataset may have it; else a `ConfigError`."""
    if not name.strip() or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigError(
            f"expected a name of 1 to {LONGEST_NAME} printable characters, got {name[:40]!r}; give the dataset another one"
        )
    if not any(character.isalnum() for character in name):
        raise ConfigError(f"expected a name with a letter or a digit in it, got {name!r}")
    return name


def default_home(name: str) -> Path:
    """Where swath keeps derived media, models and reports of a dataset: `$SWATH_HOME/NAME`, else `~/.swath/NAME`; what a folder
    cannot be called is spelled with percent signs."""
    folder = quote(name, safe=" !#$&'()+,;=@[]{}~")
    return Path(os.environ.get("SWATH_HOME") or Path.home() / ".swath") / folder


def may_change(journal: Journal, before: LoopConfig, after: LoopConfig) -> None:
    """`ConfigError` for settings that can no longer change: those of the rig and the splits once the dataset is split, the class
    map once a label has come."""
    if journal.loop().membership is not None:
        was, now = values(before), values(after)
        begun = journal.loop().steps.init
        free = ("fields.truth",) if begun and begun.fiftyone else ()  # no step but init of a folder writes it
        for name in {**was, **now}:
            if name.split(".")[0] in FROZEN and name not in free and was.get(name) != now.get(name):
                raise ConfigError(
                    f"{name}: cannot change once the dataset is split (it is {shortly(was.get(name))}); "
                    "start another dataset for that"
                )
    if after.classes != before.classes and journal.assignments.any_labelled():
        raise ConfigError(
            f"classes: cannot change once labels have come (they are {', '.join(before.classes)}); start another dataset for that"
        )


@dataclass
class Workspace:
    """One dataset under swath's hands. `origins`: where the settings of `config` were given."""

    scenes: Scenes
    journal: Journal
    config: LoopConfig
    home: Path
    progress: Progress = silent
    wait: float = 30.0
    held: Callable[[str], None] | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.scenes.stored.name

    @property
    def rig(self) -> Rig:
        """The channels that the dataset has."""
        return self.scenes.rig

    def channels_of(self, table: SceneTable, key: str) -> tuple[Channel, ...]:
        """What can be labelled in a scene: the labelled channels that it has."""
        return tuple(channel for channel in self.rig.labelled if table.has(channel.name, key))

    # ------------------------------------------------------------------ splits and their guards

    def membership(self) -> dict[str, str]:
        """key -> split of every scene ("" for those set aside); `StateError` before the split."""
        return self.journal.members()

    def is_split(self) -> bool:
        return self.journal.loop().membership is not None

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
                "only the leak audit and the final evaluation read it"
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

    # ------------------------------------------------------------------ labels that nobody sent

    def bare(self, rows: Iterable[Assignment]) -> dict[str, list[str]]:
        """Channel -> scenes whose labels came and are gone from the dataset, of the pool's and the references' `rows`: the sample is
        there, and its field is empty, as of one that was deleted and taken in again."""
        came = [row for row in rows if row.role in ("pool", "reference") and row.labelled and row.count]
        of = {
            one.name: self.scenes.without(
                one.name, (row.key for row in came if row.channel == one.name), one.human
            )
            for one in self.rig.labelled
        }
        return {name: keys for name, keys in of.items() if keys}

    def away(self, error: FormatError) -> FormatError:
        """`error`, of media most of which cannot be read, with the way out."""
        begun = self.journal.loop().steps.init
        how = "give the samples their new filepath in FiftyOne"
        if begun and begun.rig:
            how = f"`{init(self.name, '--rig', 'NEWPLACE')}`"
        elif begun and begun.kitti:
            how = f"`{init(self.name, '--kitti', 'NEWPLACE')}`"
        return FormatError(f"{error}; most of the media cannot be read: where they have moved, {how}")

    def drawn(self, rows: Iterable[Assignment]) -> dict[tuple[str, str], int]:
        """(scene, channel) -> labels that are there and came with no fetch, of those of `rows` that wait: somebody drew them."""
        asked = [row for row in rows if row.role == "pool" and row.active and row.state == "unreviewed"]
        found: dict[tuple[str, str], int] = {}
        for channel in self.rig.labelled:
            keys = self.scenes.of(row.key for row in asked if row.channel == channel.name).keys.tolist()
            for key, doc in zip(keys, self.scenes.values(channel.name, keys, [channel.human]), strict=True):
                labels = stored.detections(doc.get(channel.human))
                if drawn := sum(one.get("round") is None for one in labels):
                    found[key, channel.name] = drawn
        return found

    # ------------------------------------------------------------------ what the journal says must be shown

    def states(self, keys: Iterable[str] | None = None) -> dict[str, SceneState]:
        """Tags and status of `keys` (of every scene, when None), as the journal has them."""
        if not self.is_split():
            every = self.scenes.table.keys.tolist() if keys is None else keys
            return {str(key): SceneState((), "unlabeled") for key in every}
        members = self.membership()
        wanted = None if keys is None else sorted(set(keys) & members.keys())
        batches = self.journal.batches.all()
        return projection.scene_states(
            members if wanted is None else {key: members[key] for key in wanted},
            batches,
            self.journal.assignments.find(keys=wanted),
            self.failures(batches),
            self.modality_of(),
        )

    def modality_of(self) -> dict[str, str]:
        """channel -> `2d` or `3d`, of all that are configured."""
        return {name: "2d" if one.kind == "image" else "3d" for name, one in self.config.channels.items()}

    def failures(self, batches: Iterable[Batch]) -> dict[str, tuple[Failure, ...]]:
        """The failures of every evaluation."""
        return {
            batch.round: self.journal.batches.failures(batch)
            for batch in batches
            if batch.steps.evaluate is not None and not batch.cancelled
        }

    # ------------------------------------------------------------------ writing

    @contextmanager
    def writer(self, operation: str) -> Iterator[Writer]:
        """Holds the dataset for `operation`; what a killed writer left behind, or swath 0.1.0, is put right first.

        FiftyOne is loaded before: it keeps its own mongod running for those that use it, and brings up to date what it opens.
        """
        from swath import commit  # what only looks does without

        self.scenes.stored.load()
        with self.journal.lease.writer(
            operation,
            wait=self.wait,
            recover=lambda writer: commit.recover(self, writer),
            unfinished=self.journal.unfinished,
            held=self.held,
        ) as writer:
            yield writer
