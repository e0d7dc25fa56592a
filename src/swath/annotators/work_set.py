"""A work set in FiftyOne: what people label in its App. Media, calibration, an empty field to draw in, and nothing of what the
scenes are for.

It is a dataset of its own: scenes are groups where they have several media, and stand under their tasks, in the order of
those; ids of groups are a function of tasks. Everything is made in steps that look first whether they are done, so that
sending again goes on where a killed process stopped, and never touches what was drawn. No two samples can be of one task and
slice: the server refuses the second.

People draw in one field, `human_labels`, boxes on cameras and cuboids on clouds. With two fields whose schemas are both
active the App puts a box into the one for cuboids as often as not; with one there is nothing to go wrong.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from swath import database
from swath.annotators import marks, work_folder
from swath.annotators.base import Task, Work
from swath.annotators.marks import BOXES, CUBOIDS, DRAW, GIVEN, INFO, LABELS, NOTHING, TASK
from swath.errors import StateError, SwathError
from swath.formats.fo3d import scene_file
from swath.labels import schema, stored
from swath.labels.colours import PALETTE, class_colours
from swath.labels.shapes import Labels

SCENE: Final = "scene_3d"  # the file that the App draws for a cloud
CALIBRATION: Final = "calibration"
SUGGESTION: Final = "suggestion"  # tag of labels that a model drew
SAYS: Final = {
    TASK: "The scene's name here; it is another one in every batch",
    DRAW: "What is to be drawn on this slice: boxes, cuboids, or nothing",
    LABELS: "Draw here, on every slice",
    GIVEN: "swath's own: labels that were there when the scene was sent",
    SCENE: "swath's own: the file that the App draws for this cloud",
    CALIBRATION: "How the sensors of the scene stand to each other",
}
HOW: Final = (
    "Work set of swath. Open a scene, choose Annotate, and draw boxes on the slices whose `draw` says boxes, cuboids on those "
    "that say cuboids. A scene with labels in all of them is done. Otherwise tag it, on any slice: `done` (what is drawn is "
    "all there is), `empty` (nothing to draw), `skip` (can't be labelled)."
)


def there(name: str) -> Any | None:
    """The work set `name` as it is now; None where there is no dataset of that name, StateError where it is something else."""
    database.ensure()
    import fiftyone as fo

    if not fo.dataset_exists(name):
        return None
    dataset = fo.load_dataset(name)
    dataset.reload()
    if marks.is_work_set(dataset) is None and dataset.count():
        raise StateError(
            f"a dataset {name!r} is there that is no work set of swath's; rename it (dataset.name = ...) or delete it, then send again"
        )
    return dataset


def is_of(name: str, loop: str) -> bool:
    """Whether there is a work set `name` of a loop."""
    database.ensure()
    import fiftyone as fo

    return fo.dataset_exists(name) and (marks.is_work_set(fo.load_dataset(name)) or ("",))[0] == loop


def bring(
    name: str,
    folder: Path,
    loop: str,
    work: Work,
    suggest: Callable[[Work], Mapping[str, Mapping[str, Labels]]],
) -> None:
    """Makes the work set `name` of the tasks of `work`, with media in `folder`, or what lacks of it. What was drawn stays.

    `suggest` gives task -> channel -> labels to begin with; it is asked where scenes are missing. A work set that was sent less often than `work` says has its
    marks taken away, and what is drawn counts as given.
    """
    tasks = sorted(work.tasks, key=lambda task: task.task)
    files = _files(folder, tasks)
    dataset = there(name)
    if dataset is not None and _is_half_made(dataset):
        dataset.delete()
        dataset = None
    if dataset is None:
        import fiftyone as fo

        dataset = fo.Dataset(name, persistent=True)
    known = dict(dict(dataset.info or {}).get(INFO) or {})
    _declare(dataset, loop, work, known)
    _refuse_another(dataset, tasks, known)
    _add(dataset, tasks, work, files, suggest)
    _schema(dataset, work.classes)
    _appearance(dataset, work.classes)
    if known and int(known["sent"]) < work.sent:
        _ask_again(dataset)
    _note(dataset, loop, work, sent=work.sent)


def remove(name: str, folder: Path) -> None:
    """Removes a work set and its media; one that is gone already is no error."""
    dataset = there(name)
    if dataset is not None:
        dataset.delete()
    shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------------- files


def _files(folder: Path, tasks: Sequence[Task]) -> dict[str, dict[str, dict[str, Path]]]:
    """task -> channel -> field -> path, of the copies that the App shows."""
    files: dict[str, dict[str, dict[str, Path]]] = {}
    try:
        for task in tasks:
            files[task.task] = {}
            for channel, path in work_folder.copy_media(folder, task).items():
                files[task.task][channel] = {"filepath": path}
                if path.suffix == ".pcd":
                    target = path.with_suffix(".fo3d")
                    if not target.exists():
                        scene_file(path, target)
                    files[task.task][channel][SCENE] = target
        if tasks:
            work_folder.stamp_all(folder)
    except OSError as error:
        raise SwathError(
            f"expected to write the media of the work set into {folder}, but {error.strerror}; check the folder, then send again"
        ) from error
    return files


# ---------------------------------------------------------------------- the dataset


def _is_half_made(dataset: Any) -> bool:
    """FiftyOne was killed while it made groups of it: there is the field, but no groups, and it will not make them any more."""
    return not len(dataset) and not dataset.group_field and dataset.has_field("group")


def _refuse_another(dataset: Any, tasks: Sequence[Task], known: Mapping[str, Any]) -> None:
    """StateError where a work set of this name is of another loop, whose dataset was deleted."""
    if not known or not tasks:
        return
    held = {scene.task for scene in marks.scenes(dataset)}
    if held and not held & {task.task for task in tasks}:
        raise StateError(
            f"the work set {dataset.name!r} holds {len(held)} scenes, none of them of this batch (of an earlier loop of this name?); "
            f"rename or delete it: fiftyone datasets delete {dataset.name}"
        )


def _grouped(work: Work) -> bool:
    return any(len(task.media) > 1 for task in work.tasks)


def _declare(dataset: Any, loop: str, work: Work, known: Mapping[str, Any]) -> None:
    """The mark that it is a work set, its fields, and that no task and slice is there twice."""
    import fiftyone as fo

    if not known:
        _note(dataset, loop, work, sent=work.sent)
    if _grouped(work) and not dataset.group_field:
        dataset.add_group_field("group", default=_first_slice(work))
    wanted: dict[str, dict[str, Any]] = {
        **{name: {"ftype": fo.StringField} for name in (TASK, DRAW, GIVEN, SCENE)},
        CALIBRATION: {"ftype": fo.DictField},
        LABELS: schema.labels_field(),
    }
    schema.declare(dataset, {name: how | {"description": SAYS[name]} for name, how in wanted.items()})
    place = [(TASK, 1), *([(f"{dataset.group_field}.name", 1)] if dataset.group_field else [])]
    dataset.create_index(place if len(place) > 1 else TASK, unique=True)


def _note(dataset: Any, loop: str, work: Work, sent: int) -> None:
    """Writes down what it is a work set of, where that is not there yet."""
    now = {"loop": loop, "batch": work.batch, "sent": sent, "classes": list(work.classes)}
    if dict(dataset.info or {}).get(INFO) != now or dataset.description != HOW:
        dataset.info[INFO] = now
        dataset.description = HOW
        dataset.save()


def _first_slice(work: Work) -> str:
    """The slice that the App opens with: the one that is shown where it is to be labelled, else the first that is."""
    asked = {channel.name for task in work.tasks for channel in task.channels}
    media = {name for task in work.tasks for name in task.media}
    return work.primary if work.primary in asked or not asked else min(asked & media, default=work.primary)


def _add(
    dataset: Any,
    tasks: Sequence[Task],
    work: Work,
    files: Mapping[str, Mapping[str, Mapping[str, Path]]],
    suggest: Callable[[Work], Mapping[str, Mapping[str, Labels]]],
) -> None:
    """Adds the samples that are not there."""
    held = {(scene.task, one.name) for scene in marks.scenes(dataset) for one in scene.slices}
    grouped = bool(dataset.group_field)
    missing = [
        (task, channel)
        for task in tasks
        for channel in sorted(task.media)
        if (task.task, channel if grouped else "") not in held
    ]
    if missing:
        suggested = suggest(work)
        samples = [
            _sample(task, name, files[task.task][name], suggested.get(task.task, {}).get(name), grouped)
            for task, name in missing
        ]
        dataset.add_samples(samples, progress=False)


def _sample(
    task: Task, channel: str, files: Mapping[str, Path], suggestion: Labels | None, grouped: bool
) -> Any:
    import fiftyone as fo

    paths = {name: str(path) for name, path in files.items()}
    kind = next((one.kind for one in task.channels if one.name == channel), None)
    sample = fo.Sample(**paths)
    if grouped:
        group = fo.Group(id=str(stored.object_id("group", task.task)))
        sample["group"] = group.element(channel)
    sample[TASK] = task.task
    sample[DRAW] = {"image": BOXES, "cloud": CUBOIDS, None: NOTHING}[kind]
    size = task.sizes.get(channel)
    if size is not None:
        sample["metadata"] = fo.ImageMetadata(width=int(size[0]), height=int(size[1]))
    if task.calibration and (kind is not None or not task.channels):
        sample[CALIBRATION] = dict(task.calibration)
    if suggestion is not None and len(suggestion):
        tags = [[SUGGESTION] for _ in suggestion.classes]
        documents = stored.documents_of(
            suggestion, size or (0, 0), [SUGGESTION, task.task, channel], tags=tags
        )
        sample[LABELS] = fo.Detections.from_dict(stored.field_of(documents))
        sample[GIVEN] = marks.packed(documents)
    return sample


# ---------------------------------------------------------------------- the App


def _schema(dataset: Any, classes: Sequence[str]) -> None:
    """One active schema, with the classes in their order: the Annotate tab offers these, and draws into this field alone."""
    wanted = {"type": "detections", "component": "dropdown", "classes": list(classes), "attributes": []}
    if dict(dataset.label_schemas.get(LABELS) or {}).get("classes") != list(classes):
        dataset.update_label_schema(LABELS, wanted)
    if list(dataset.active_label_schemas) != [LABELS]:
        dataset.active_label_schemas = [LABELS]


def _appearance(dataset: Any, classes: Sequence[str]) -> None:
    """Colours by class, labels ticked, what is swath's own folded away, clouds drawn from their scene files."""
    import fiftyone as fo
    from fiftyone.core.odm.dataset import ActiveFields, SidebarGroupDocument

    values = [{"value": name, "color": colour} for name, colour in class_colours(classes).items()]
    field = {"path": LABELS, "fieldColor": PALETTE[0], "colorByAttribute": "label", "valueColors": values}
    config = dataset.app_config
    if config.color_scheme is not None and list(config.color_scheme.fields or ()) == [field]:
        return
    config.color_scheme = fo.ColorScheme(
        color_by="value", color_pool=list(PALETTE), fields=[field], opacity=0.6
    )
    config.active_fields = ActiveFields(paths=[LABELS, DRAW])
    group = [f"{dataset.group_field}.{part}" for part in ("id", "name", "_id")] if dataset.group_field else []
    rest = (GIVEN, SCENE, CALIBRATION, "id", "filepath", "created_at", "last_modified_at")
    known = set(dataset.get_field_schema(flat=True))
    groups = {
        "tags": ["tags", "_label_tags"],
        "labels": [LABELS],
        "scene": [TASK, DRAW],
        "metadata": [name for name in sorted(known) if name.startswith("metadata.")],
        "hidden by default": [name for name in (*rest, *group) if name in known],
    }
    config.sidebar_groups = [
        SidebarGroupDocument(
            name=name, paths=paths, expanded=None if name in ("tags", "labels", "scene") else False
        )
        for name, paths in groups.items()
    ]
    config.media_fields, config.modal_media_field, config.media_fallback = ["filepath", SCENE], SCENE, True
    dataset.save()


def _ask_again(dataset: Any) -> None:
    """What is drawn becomes what is given, and every mark goes: somebody has to look again."""
    flat = dataset.select_group_slices(_allow_mixed=True) if dataset.media_type == "group" else dataset.view()
    before = marks.scenes(dataset)
    given = {one.sample_id: marks.packed(one.labels) for scene in before for one in scene.slices}
    flat.set_values(GIVEN, given, key_field="id")
    written = {tag for scene in before for one in scene.slices for tag in one.tags}
    if old := sorted(tag for tag in written if tag.strip().lower() in marks.MARKS):
        flat.untag_samples(old)
