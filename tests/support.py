"""What tests share besides fixtures."""

from __future__ import annotations

from typing import Any


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


QUICK: dict[str, Any] = {"train": {"steps": 30, "width": 160}, "select": {"zcore_max_draws": 4000}}
"""Settings that make a round take seconds; what is tested does not depend on a good model."""
