"""What people say of a scene of a work set in FiftyOne's App, besides its labels: three tags, on any slice of it.

    done     looked at, and labelled: what is drawn is all that there is, and suggestions that are left are right
    empty    looked at, and there is nothing (more): a channel without labels has none, suggestions that are left are wrong
    skip     looked at, and won't be labelled

A scene without a tag is looked at once every channel that is to be labelled has labels. One with labels in its image and none
in its cloud waits: nobody can tell whether its cloud is empty or comes next. So does one with `skip` and another mark.

Labels that were there when the scene was sent (suggestions of a model; those of a round that was reopened) are `given`: they
are somebody's once their class or shape was changed, or the scene is `done`; until then their scene waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swath.errors import ConfigError, UnknownNameError, some
from swath.labels import stored
from swath.suggest import meant

DONE: Final = "done"
EMPTY: Final = "empty"
SKIPPED: Final = "skip"
MARKS: Final = (DONE, EMPTY, SKIPPED)

INFO: Final = "swath_work_set"  # in `dataset.info`: what makes a dataset a work set
LABELS: Final = "human_labels"  # the field that people draw in, on every slice
TASK, DRAW, GIVEN = "task", "draw", "given"  # fields of its samples
BOXES, CUBOIDS, NOTHING = "boxes", "cuboids", "nothing"  # what is to be drawn on a slice


# ---------------------------------------------------------------------- for whoever has buttons


def is_work_set(dataset: Any) -> tuple[str, str] | None:
    """(name of the loop, batch) that a FiftyOne dataset is a work set of; None of any other dataset."""
    info = dict(dataset.info or {}).get(INFO)
    return (str(info["loop"]), str(info["batch"])) if isinstance(info, Mapping) else None


def mark(work_set: Any, group_id: str, what: str) -> None:
    """Marks a scene, on all its slices, in the place of any other mark; doing it again changes nothing.

    `group_id`: of the scene, or of one of its samples, or its task. `UnknownNameError` where there is no such scene.
    """
    if what not in MARKS:
        raise ConfigError(f"expected one of {', '.join(MARKS)}, got {what!r}")
    scene = _scene(work_set, group_id)
    if others := _marks_as_written(scene, but=what):
        _samples(work_set, scene).untag_samples(others)
    _samples(work_set, scene).tag_samples(what)


def unmark(work_set: Any, group_id: str) -> None:
    """Takes the marks of a scene away; labels stay. `UnknownNameError` where there is no such scene."""
    scene = _scene(work_set, group_id)
    if marks := _marks_as_written(scene):
        _samples(work_set, scene).untag_samples(marks)


def waiting(work_set: Any) -> list[str]:
    """Group ids (sample ids, in a plain work set) of the scenes that wait for a person, in the order of the tasks."""
    return [scene.group_id for scene in scenes(work_set) if scene.waits]


def following(work_set: Any, after: str | None = None) -> Scene | None:
    """The first scene that waits, of those that follow the scene `after` (round the end, to `after` itself last); None when
    none waits. An unknown `after` is passed over."""
    there = scenes(work_set)
    at = next((i for i, scene in enumerate(there) if after in scene.names), -1) + 1
    return next((scene for scene in [*there[at:], *there[:at]] if scene.waits), None)


def next_waiting(work_set: Any, after: str | None = None) -> str | None:
    """The group id of that scene."""
    scene = following(work_set, after)
    return scene.group_id if scene else None


# ---------------------------------------------------------------------- what there is


@dataclass(frozen=True)
class Slice:
    """One sample of a scene. `draw`: what is to be drawn on it; `labels`: raw labels of all its fields, in order; `given`:
    label id -> digest of those that were there when it was sent; `emptied`: it had labels once."""

    name: str
    sample_id: str
    draw: str
    labels: tuple[Mapping[str, Any], ...]
    given: Mapping[str, str]
    tags: tuple[str, ...]
    emptied: bool

    @property
    def untouched(self) -> tuple[Mapping[str, Any], ...]:
        """The labels that are as they were given."""
        return tuple(one for one in self.labels if self.given.get(str(one.get("_id"))) == digest(one))

    @property
    def own(self) -> tuple[Mapping[str, Any], ...]:
        """The labels that somebody drew or changed."""
        left = {id(one) for one in self.untouched}
        return tuple(one for one in self.labels if id(one) not in left)

    @property
    def drawn(self) -> bool:
        """Whether it says by itself that somebody is done with it."""
        return bool(self.own) and not self.untouched


@dataclass(frozen=True)
class Scene:
    """One task of a work set, and what its slices hold."""

    task: str
    group_id: str
    slices: tuple[Slice, ...]

    @property
    def names(self) -> set[str]:
        """What it is known by: its group, its task, its samples."""
        return {self.group_id, self.task, *(one.sample_id for one in self.slices)}

    @property
    def asked(self) -> tuple[Slice, ...]:
        """The slices that are to be labelled."""
        return tuple(one for one in self.slices if one.draw != NOTHING)

    @property
    def opens_at(self) -> Slice:
        """The first slice that lacks labels, of those that want some; else the first."""
        return next((one for one in self.asked if not one.drawn), self.slices[0])

    @property
    def marks(self) -> frozenset[str]:
        """Its marks, on whichever slice they are, in whichever case they were typed."""
        typed = {tag.strip().lower() for one in self.slices for tag in one.tags}
        return frozenset(typed & set(MARKS))

    @property
    def torn(self) -> bool:
        """Whether it is marked as skipped and as something else."""
        return SKIPPED in self.marks and len(self.marks) > 1

    @property
    def said(self) -> str | None:
        """Its mark, if it has one that can be understood. On one that is `done` here and `empty` there, `done` goes further."""
        if self.torn or not self.marks:
            return None
        return DONE if DONE in self.marks else next(iter(self.marks))

    @property
    def waits(self) -> bool:
        """Whether somebody has to look at it."""
        return self.said is None and (self.torn or not all(one.drawn for one in self.asked))


def scenes(work_set: Any) -> list[Scene]:
    """The scenes of a work set, in the order of their tasks; none of one that is only begun."""
    import fiftyone as fo

    grouped = work_set.media_type == "group"
    flat = work_set.select_group_slices(_allow_mixed=True) if grouped else work_set.view()
    schema = work_set.get_field_schema()
    if not {TASK, DRAW, GIVEN} <= schema.keys():
        return []
    fields = [
        name
        for name, field in schema.items()
        if isinstance(field, fo.EmbeddedDocumentField) and issubclass(field.document_type, fo.Detections)
    ]
    group = work_set.group_field
    wanted = ["id", *([f"{group}.id", f"{group}.name"] if grouped else []), TASK, DRAW, GIVEN, "tags"]
    columns = [flat.values(name) for name in wanted] + [flat.values(name, _raw=True) for name in fields]
    found: dict[str, tuple[str, list[Slice]]] = {}
    for row in zip(*columns, strict=True):
        sample_id, row = row[0], row[1:]
        group_id, name, row = (row[0], row[1], row[2:]) if grouped else (sample_id, "", row)
        task, draw, given, tags, *held = row
        if not task:  # somebody added it by hand
            continue
        labels = _once(one for field in held for one in stored.detections(field))
        one = Slice(
            str(name),
            str(sample_id),
            str(draw or NOTHING),
            labels,
            json.loads(given) if given else {},
            tuple(tags or ()),
            emptied=not labels and any(field is not None for field in held),
        )
        found.setdefault(str(task), (str(group_id), []))[1].append(one)
    return [
        Scene(task, group_id, tuple(sorted(slices, key=lambda one: one.name)))
        for task, (group_id, slices) in sorted(found.items())
    ]


def _once(labels: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Labels without those that are in a second field as well."""
    first: dict[object, Mapping[str, Any]] = {}
    for place, one in enumerate(labels):
        first.setdefault(one.get("_id", place), one)
    return tuple(first.values())


def strange_tags(there: Iterable[Scene]) -> dict[str, int]:
    """Tag -> scenes that have it, of tags that are no marks."""
    counted: dict[str, int] = {}
    for scene in there:
        for tag in sorted({tag for one in scene.slices for tag in one.tags}):
            if tag.strip().lower() not in MARKS:
                counted[tag] = counted.get(tag, 0) + 1
    return counted


def digest(label: Mapping[str, Any]) -> str:
    """What a raw label says: class and shape, to a millionth: the App may write 12 for 12.0, and rounds what it writes again."""
    shapes = [_rounded(label.get(shape) or ()) for shape in stored.SHAPES]
    return stored.digest_of([{"label": label.get("label"), **dict(zip(stored.SHAPES, shapes, strict=True))}])[
        :16
    ]


def _rounded(shape: Any) -> Any:
    try:
        return [round(float(value), 6) for value in shape]
    except (TypeError, ValueError):
        return str(shape)


def packed(labels: Sequence[Mapping[str, Any]]) -> str | None:
    """What `given` holds of these raw labels; None where there are none."""
    return (
        json.dumps({str(one.get("_id")): digest(one) for one in labels}, sort_keys=True) if labels else None
    )


# ---------------------------------------------------------------------- one scene


def _scene(work_set: Any, name: str) -> Scene:
    there = scenes(work_set)
    for scene in there:
        if name in scene.names:
            return scene
    tasks = [scene.task for scene in there]
    raise UnknownNameError(
        f"no scene {name!r} in the work set {work_set.name!r}{meant(name, tasks)}; it has {len(tasks)}: {some(tasks)}"
    )


def _samples(work_set: Any, scene: Scene) -> Any:
    grouped = work_set.media_type == "group"
    flat = work_set.select_group_slices(_allow_mixed=True) if grouped else work_set.view()
    return flat.select([one.sample_id for one in scene.slices])


def _marks_as_written(scene: Scene, but: str = "") -> list[str]:
    tags = {tag for one in scene.slices for tag in one.tags}
    return sorted(tag for tag in tags if tag.strip().lower() in MARKS and tag != but)
