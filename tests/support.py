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


QUICK: dict[str, Any] = {"train": {"steps": 30, "width": 160}, "select": {"zcore_max_draws": 4000}}
"""Settings that make a round take seconds; what is tested does not depend on a good model."""
