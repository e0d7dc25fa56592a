"""Writing to samples: which, to which fields, and whether another writer has taken over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from swath.errors import FencedError
from swath.labels import schema
from swath.records.base import Document
from swath.store.journal.lease import Writer
from swath.store.scenes import CHUNK, KEY

if TYPE_CHECKING:
    from swath.workspace import Workspace


def slice_of(workspace: Workspace, channel: str) -> Document:
    """A filter for the samples of a channel."""
    scenes = workspace.scenes
    return {f"{scenes.dataset.group_field}.name": channel} if scenes.grouped else {}


def chosen(keys: Sequence[str] | None) -> Iterator[Document]:
    """Filters for the samples of these scenes, together; one for all of them, when None."""
    if keys is None:
        yield {}
        return
    for start in range(0, len(keys), CHUNK):
        yield {KEY: {"$in": list(keys[start : start + CHUNK])}}


def declare(workspace: Workspace, name: str, *, labels: bool = False) -> None:
    """Adds a field, of words or of labels: a value of one that FiftyOne does not know keeps it from loading the sample."""
    import fiftyone as fo

    schema.declare(
        workspace.scenes.dataset, {name: schema.labels_field() if labels else {"ftype": fo.StringField}}
    )


def not_overtaken(workspace: Workspace, writer: Writer, what: str) -> None:
    """Raises `FencedError`, if another writer has taken over."""
    if workspace.journal.lease.fenced(writer):
        raise overtaken(workspace, writer, what)


def overtaken(workspace: Workspace, writer: Writer, what: str) -> FencedError:
    return FencedError(
        f"{workspace.name}: {writer.operation} lost the dataset to another process before it wrote {what}; "
        "the rest was not written; run it again"
    )
