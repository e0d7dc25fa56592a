"""Takes scenes in: a KITTI folder, or a FiftyOne dataset that exists. Doing it again adds what is new.

Writes media, metadata, calibration, drive and `ground_truth` (2D on the primary slice, 3D on the cloud); what cannot be
used is listed with file, line and reason. Once the dataset is split, new frames of a known drive inherit its split, those
of a test drive are set aside and counted, and the others join the pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from swath import labels
from swath.config import LoopConfig
from swath.errors import ConfigError, FormatError, StateError, some
from swath.formats.kitti import Frame, read_cloud, scan, to_cuboid
from swath.formats.pcd import write_pcd
from swath.journal import digest, pack
from swath.scenes import Scenes, load_dataset, open_journal
from swath.steps.workspace import Progress, Workspace, silent

CHUNK = 100  # frames per insert


@dataclass(frozen=True)
class InitResult:
    """What was taken in. `damages`: (file, line, reason); `set_aside`: new frames of test drives."""

    dataset: str
    scenes: int
    added: int
    slices: Mapping[str, int]
    damages: tuple[Mapping[str, Any], ...]
    set_aside: int = 0


def init_kitti(
    name: str,
    root: Path,
    config: LoopConfig,
    home: Path,
    *,
    strict: bool = False,
    progress: Progress = silent,
) -> tuple[Workspace, InitResult]:
    """Imports the KITTI folder `root` into the dataset `name`. With `strict`, any damage is an error and nothing is written."""
    import fiftyone as fo

    folder = scan(root, progress=progress("read the folder"), workers=config.embed.workers)
    if strict and folder.damages:
        raise FormatError(
            f"{root}: {len(folder.damages)} damages and --strict was given: {some(map(str, folder.damages), 3)}; nothing was written"
        )
    if not folder.frames:
        raise FormatError(
            f"{root}: no usable frame; {len(folder.damages)} damages: {some(map(str, folder.damages), 3)}"
        )
    if fo.dataset_exists(name):
        dataset = fo.load_dataset(name)
        bare = not open_journal(dataset).exists()
        if bare and not len(dataset) and not dataset.info:
            dataset.delete()  # empty: FiftyOne makes a dataset in many writes, and may have been killed in between
        elif bare:
            raise StateError(
                f"dataset {name!r} exists and has no loop; choose another name, or start one on it: "
                f"`swath init {name} --fiftyone {name}`"
            )
    if not fo.dataset_exists(name):
        dataset = fo.Dataset(name, persistent=True)
        dataset.add_group_field("group", default=config.slices.image)
    workspace = _open(dataset, config, home, progress)
    with workspace.writer("init") as writer:
        _declare_kitti(workspace)
        added = _add_frames(workspace, folder.frames)
        workspace.scenes.declare()  # once more: the cloud's fields, now that there is a cloud
        workspace.scenes.give_keys()
        aside = _place_new(workspace, writer)
        damages = tuple({"file": one.file, "line": one.line, "reason": one.reason} for one in folder.damages)
        return workspace, _record(workspace, writer, {"kitti": str(root.resolve())}, added, damages, aside)


def init_fiftyone(
    name: str, config: LoopConfig, home: Path, *, progress: Progress = silent
) -> tuple[Workspace, InitResult]:
    """Starts a loop on the dataset `name`, grouped or plain; doing it again takes in scenes that were added since."""
    dataset = load_dataset(name)
    if dataset.media_type not in ("group", "image"):
        raise ConfigError(
            f"dataset {name!r} holds {dataset.media_type or 'nothing'}; expected groups or images"
        )
    if dataset.media_type == "group" and config.slices.image not in dataset.group_slices:
        raise ConfigError(
            f"dataset {name!r} has no slice {config.slices.image!r}; it has {some(sorted(dataset.group_slices))}; "
            "name the primary camera in the configuration (slices: {image: ...})"
        )
    if dataset.media_type == "image" and config.slices.image == "left":
        config = config.model_copy(update={"slices": config.slices.model_copy(update={"image": "image"})})
    dataset.persistent = True
    workspace = _open(dataset, config, home, progress)
    with workspace.writer("init") as writer:
        workspace.scenes.declare()
        added = workspace.scenes.give_keys()
        primary = dataset.select_group_slices([config.slices.image]) if workspace.scenes.grouped else dataset
        primary.compute_metadata(skip_failures=True, progress=False)
        workspace.scenes.refresh()
        without = workspace.scenes.table.keys[workspace.scenes.table.size[:, 0] == 0]
        damages = tuple(
            {"file": str(key), "line": None, "reason": "the image's size is unknown: missing or unreadable"}
            for key in without
        )
        aside = _place_new(workspace, writer)
        return workspace, _record(workspace, writer, {"fiftyone": name}, added, damages, aside)


def _open(dataset: Any, config: LoopConfig, home: Path, progress: Progress) -> Workspace:
    journal = open_journal(dataset)
    scenes = Scenes(dataset, config)
    journal.create(config.model_dump(mode="json"), token=scenes.highest_fence())
    return Workspace(scenes, journal, config, home, progress)


def _record(
    workspace: Workspace,
    writer: Any,
    source: Mapping[str, str],
    added: int,
    damages: Sequence[Mapping[str, Any]],
    aside: int,
) -> InitResult:
    table, info = workspace.scenes.table, workspace.scenes.dataset.info
    before = workspace.journal.loop()["steps"].get("init")
    history = info.get("golden_qa_history") if before is None else before["history"]
    entry = {
        **source,
        "scenes": len(table),
        "history": history if isinstance(history, list) else [],  # golden checks of before swath, shown first
        "damages": list(damages[:1000]),
        "damage_count": len(damages),
        "set_aside": aside,
    }
    also = {"home": str(workspace.home.resolve()), "config": workspace.config.model_dump(mode="json")}
    workspace.journal.record(writer, "init", entry, **also)
    new = workspace.info().items()
    workspace.scenes.set_info({key: value for key, value in new if key not in info}, writer)
    return InitResult(workspace.name, len(table), added, table.counts(), tuple(damages), aside)


# ---------------------------------------------------------------------- KITTI


def _declare_kitti(workspace: Workspace) -> None:
    import fiftyone as fo

    dataset, fields = workspace.scenes.dataset, workspace.config.fields
    workspace.scenes.declare()
    for field in (fields.truth, "dont_care"):
        if field not in dataset.get_field_schema():
            dataset.add_sample_field(field, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    if "calibration" not in dataset.get_field_schema():
        dataset.add_sample_field("calibration", fo.DictField)


def _add_frames(workspace: Workspace, frames: Sequence[Frame]) -> int:
    """Adds what is missing, slice by slice: an import that was killed goes on where it was. Returns the new scenes."""
    import fiftyone as fo

    workspace.scenes.give_keys()
    table = workspace.scenes.table
    known = {str(key): row for row, key in enumerate(table.keys)}
    tick = workspace.progress("import scenes")
    samples: list[Any] = []
    for done, frame in enumerate(frames, 1):
        row = known.get(frame.key)
        group = fo.Group() if row is None else fo.Group(id=str(table.ids[row]))
        for slice_name, path in _media(workspace, frame):
            if row is None or not table.samples.get(slice_name, np.full(len(table), ""))[row]:
                samples.append(_sample(workspace, frame, group, slice_name, path))
        if done % CHUNK == 0 or done == len(frames):
            workspace.scenes.dataset.add_samples(samples, progress=False)
            samples = []
            tick(done, len(frames))
    return sum(frame.key not in known for frame in frames)


def _media(workspace: Workspace, frame: Frame) -> Iterable[tuple[str, Path]]:
    slices = workspace.config.slices
    if frame.left:
        yield slices.image, frame.left.resolve()
    if frame.right:
        yield slices.right, frame.right.resolve()
    if frame.cloud:
        path = workspace.home / "clouds" / f"{frame.key}.pcd"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_pcd(path, read_cloud(frame.cloud)[0])
        yield slices.cloud, path.resolve()


def _sample(workspace: Workspace, frame: Frame, group: Any, slice_name: str, path: Path) -> Any:
    import fiftyone as fo

    slices, fields = workspace.config.slices, workspace.config.fields
    values: dict[str, Any] = {"scene_key": frame.key, "swath_fence": 0, fields.status: "unlabeled"}
    if frame.sequence:
        values[fields.sequence] = frame.sequence
    if frame.calibration:
        values["calibration"] = frame.calibration.to_dict()
    if slice_name != slices.cloud and frame.width and frame.height:
        values["metadata"] = fo.ImageMetadata(
            width=frame.width, height=frame.height, size_bytes=path.stat().st_size
        )
    if frame.objects is not None and slice_name == slices.image:
        size = (frame.width or 1, frame.height or 1)
        for field, wanted in ((fields.truth, False), ("dont_care", True)):
            objects = [one for one in frame.objects if (one.label == "DontCare") == wanted]
            documents = labels.box_documents(
                np.array([one.box for one in objects], dtype=float),
                [one.label for one in objects],
                size,
                [frame.key, field],
                truncated=[one.truncated for one in objects],
                occluded=[one.occluded for one in objects],
                alpha=[one.alpha for one in objects],
            )
            values[field] = fo.Detections.from_dict(labels.detections(documents))
    if frame.objects is not None and slice_name == slices.cloud and frame.calibration:
        solid = [one for one in frame.objects if one.label != "DontCare" and one.has_cuboid]
        documents = labels.cuboid_documents(
            np.array([to_cuboid(one, frame.calibration) for one in solid], dtype=float),
            [one.label for one in solid],
            [frame.key, fields.truth, "3d"],
            truncated=[one.truncated for one in solid],
            occluded=[one.occluded for one in solid],
        )
        values[fields.truth] = fo.Detections.from_dict(labels.detections(documents))
    return fo.Sample(filepath=str(path), group=group.element(slice_name), **values)


# ---------------------------------------------------------------------- new frames of a split dataset


def _place_new(workspace: Workspace, writer: Any) -> int:
    """Gives scenes that came after the split their place; returns how many were set aside."""
    if not workspace.is_split():
        return 0
    before = workspace.membership()
    table = workspace.scenes.table
    if set(table.keys.tolist()) <= set(before):
        return 0
    split_of_drive: dict[str, set[str]] = {}
    for key, drive in zip(table.keys.tolist(), table.sequence.tolist(), strict=True):
        if drive and before.get(key):
            split_of_drive.setdefault(drive, set()).add(before[key])
    after, aside = dict(before), 0
    for key, drive in zip(table.keys.tolist(), table.sequence.tolist(), strict=True):
        if key in before:
            continue
        splits = split_of_drive.get(drive, set())
        if "test" in splits:
            after[key], aside = "", aside + 1
        else:
            after[key] = "val" if "val" in splits else "pool"
    also = {"membership": pack(after), "membership_sha256": digest(after)}
    workspace.journal.record(
        writer, "split_grown", {"added": len(after) - len(before), "set_aside": aside}, **also
    )
    workspace.project(writer)
    return aside
