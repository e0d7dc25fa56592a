"""What tests share besides fixtures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bson
from pymongo import monitoring


def remove(name: str) -> None:
    """Removes a dataset with its journal, if there is one."""
    import fiftyone as fo

    from swath.store.scenes import open_journal

    if fo.dataset_exists(name):
        dataset = fo.load_dataset(name)
        open_journal(dataset).forget()
        fo.delete_dataset(name)


def samples_of(where: Any) -> Any:
    """The stored samples, in plain pymongo, of a dataset (by name), a loop, scenes or a FiftyOne dataset: to read what is there
    to the byte, and to change it behind swath's back."""
    import fiftyone as fo

    if isinstance(where, str):
        where = fo.load_dataset(where)
    where = getattr(where, "workspace", where)
    where = getattr(where, "scenes", where)
    return getattr(where, "dataset", where)._sample_collection


def journal_of(loop: Any, part: str) -> Any:
    """A collection of the journal (`loops`, `rounds`, `assignments`, `pieces`), in plain pymongo, for the same purposes."""
    return loop.workspace.journal._loops.database[f"swath.{part}"]


def in_the_app(view: Any, *slices: str, group: str | None = None) -> list[str]:
    """Keys of the samples that FiftyOne's server shows of a view, with these slices chosen; `group`: in the modal of a scene."""
    from fiftyone.server.filters import GroupElementFilter, SampleFilter
    from fiftyone.server.view import get_view

    chosen = SampleFilter(group=GroupElementFilter(id=group, slice=slices[0], slices=list(slices)))
    stages = view._serialize()
    found = get_view(view.dataset_name, stages=stages, pagination_data=True, sample_filter=chosen)
    return list(found.values("scene_key"))


WRITES = (
    "insert", "update", "delete", "findAndModify", "bulkWrite", "create", "createIndexes", "drop", "dropIndexes",
    "dropDatabase", "collMod", "renameCollection",
)  # fmt: skip


@dataclass
class Commands:
    """What was asked of the database. `writes`: one line each; but not `stamps`: FiftyOne notes when a dataset or a view was
    loaded. `documents`, `size`: of the replies to what was read, and their BSON bytes; `read`: documents by collection."""

    writes: list[str] = field(default_factory=list)
    stamps: int = 0
    documents: int = 0
    size: int = 0
    read: dict[str, int] = field(default_factory=dict)

    def asked(self, name: str, command: Mapping[str, Any]) -> None:
        stages = command.get("pipeline") or ()
        if name in WRITES or any(one in stage for stage in stages for one in ("$out", "$merge")):
            if name == "update" and all(_is_a_stamp(one["u"]) for one in command["updates"]):
                self.stamps += 1
            else:
                self.writes.append(f"{name} {str(dict(command))[:200]}")

    def told(self, reply: Mapping[str, Any]) -> None:
        cursor = reply.get("cursor")
        if isinstance(cursor, Mapping):
            found = cursor.get("firstBatch", cursor.get("nextBatch", ()))
            self.documents += len(found)
            self.size += sum(len(bson.encode(one)) for one in found)
            collection = str(cursor.get("ns", "")).split(".", 1)[-1]
            self.read[collection] = self.read.get(collection, 0) + len(found)


def _is_a_stamp(change: Any) -> bool:
    return isinstance(change, Mapping) and [list(one) for one in change.values()] == [["last_loaded_at"]]


class _Listener(monitoring.CommandListener):
    """Hears every command of every client of this process that was made after it was registered (in `conftest`)."""

    def __init__(self) -> None:
        self.watching: list[Commands] = []

    def started(self, event: Any) -> None:
        for one in self.watching:
            one.asked(event.command_name, event.command)

    def succeeded(self, event: Any) -> None:
        for one in self.watching:
            one.told(event.reply)

    def failed(self, event: Any) -> None: ...


LISTENER = _Listener()
monitoring.register(LISTENER)


@contextmanager
def watched() -> Iterator[Commands]:
    """What this process asks of the database meanwhile."""
    one = Commands()
    LISTENER.watching.append(one)
    try:
        yield one
    finally:
        LISTENER.watching.remove(one)


QUICK: dict[str, Any] = {"train": {"steps": 30, "width": 160}, "select": {"zcore_max_draws": 4000}}
"""Settings that make a round take seconds; what is tested does not depend on a good model."""
