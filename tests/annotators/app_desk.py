"""People at the App, without the App: what it writes to the database when they draw, delete, name and tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bson import ObjectId

from support import samples_of
from swath.annotators import marks
from swath.annotators.app import App
from swath.annotators.base import Work

BOX = {"label": "Car", "bounding_box": [0.1, 0.2, 0.3, 0.4]}
CUBOID = {
    "label": "Car",
    "bounding_box": [],
    "location": [12.0, 2.0, -0.9],
    "dimensions": [3.9, 1.6, 1.5],
    "rotation": [0.0, 0.0, 0.3],
}


def remove_work_sets(loop: str) -> None:
    import fiftyone as fo

    for name in fo.list_datasets(f"{loop}-work-*"):
        fo.delete_dataset(name)


class Person:
    """Somebody who labels in the work set of a batch."""

    def __init__(self, app: App, batch: str = "v0", slot: int = 0) -> None:
        self.name = app.work_set(batch, slot)

    @property
    def dataset(self) -> Any:
        import fiftyone as fo

        return fo.load_dataset(self.name)

    def draws(self, task: str, channel: str, *labels: Mapping[str, Any], field: str = marks.LABELS) -> None:
        """Adds labels to a slice, as the App does."""
        new = [
            {"_id": ObjectId(), "_cls": "Detection", "attributes": {}, "tags": [], **one} for one in labels
        ]
        self._update(
            task,
            channel,
            {"$set": {f"{field}._cls": "Detections"}, "$push": {f"{field}.detections": {"$each": new}}},
        )

    def deletes_all(self, task: str, channel: str) -> None:
        self._update(task, channel, {"$set": {f"{marks.LABELS}.detections": []}})

    def renames(self, task: str, channel: str, label: str) -> None:
        """Gives the first label of a slice another class."""
        self._update(task, channel, {"$set": {f"{marks.LABELS}.detections.0.label": label}})

    def tags(self, task: str, channel: str, *tags: str) -> None:
        """Tags one slice, as the App's grid does."""
        self._update(task, channel, {"$addToSet": {"tags": {"$each": list(tags)}}})

    def marks(self, task: str, what: str) -> None:
        marks.mark(self.dataset, task, what)

    def labels(self, task: str, channel: str) -> list[dict[str, Any]]:
        (doc,) = samples_of(self.name).find({"task": task, "group.name": channel})
        return list((doc.get(marks.LABELS) or {}).get("detections") or [])

    def _update(self, task: str, channel: str, change: Mapping[str, Any]) -> None:
        where = {"task": task, **({"group.name": channel} if self.dataset.group_field else {})}
        assert samples_of(self.name).update_one(where, change).matched_count == 1


def documents(name: str, without: Iterable[str] = ()) -> dict[tuple[str, str], dict[str, Any]]:
    """(task, slice) -> the stored sample of a work set."""
    found = {}
    for doc in samples_of(name).find({}):
        place = doc["task"], (doc.get("group") or {}).get("name", "")
        assert place not in found
        found[place] = {name: value for name, value in doc.items() if name not in without}
    return found


def home_of(tmp_path: Path) -> Path:
    return tmp_path / "home"


def draws_everything(app: App, work: Work) -> None:
    """A box and a cuboid in every scene."""
    person = Person(app, work.batch)
    for task in work.tasks:
        for channel in task.channels:
            person.draws(task.task, channel.name, BOX if channel.kind == "image" else CUBOID)
