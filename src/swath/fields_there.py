"""What a dataset has already when a loop begins on it: fields of its own under names that swath writes, labels, classes, drives.

Nothing of anybody's is taken over unsaid; what is found out when it is too late, once the dataset is split, is said before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from swath.config import LoopConfig, parse
from swath.errors import ConfigError, some
from swath.labels import schema
from swath.store.dataset import Stored
from swath.store.journal.lease import FENCE
from swath.store.scenes import KEY, LABEL_DIGEST, Scenes, open_journal
from swath.suggest import adopt as suggested_adopt
from swath.suggest import command, meant
from swath.suggest import init as suggested
from swath.workspace import Workspace


def labels_there(dataset: Any, config: LoopConfig) -> list[str]:
    """What to say of people's labels that are there already, in fields that the configuration names. `ConfigError` where the dataset
    has other fields of its own under names that swath writes."""
    scenes, there = Scenes(Stored.of(dataset), config), dataset.get_field_schema()
    if FENCE in there and not open_journal(scenes.stored).exists():
        return []  # a clone of a dataset with a loop: its fields are swath's
    fields, usual = config.fields, LoopConfig().fields
    labels = {fields.detections, fields.cuboids} - {usual.detections, usual.cuboids}
    has_vectors = config.embed.encoder == f"field:{fields.embeddings}"
    read = {fields.sequence, *([fields.embeddings] if has_vectors else [])}
    told: list[str] = []
    others: dict[str, str] = {}
    for name, how in _new_fields(scenes).items():
        if name not in there or name in read:
            continue
        count = scenes.holding(name)
        if not schema.fits(there[name], how):
            others[name] = f"{name} (of another type, {count} values)"
        elif count and name in labels:
            told.append(
                f"{name} holds labels of {count} samples already; they stay until their scene is labelled, and are replaced then"
            )
        elif count and name != KEY:
            others[name] = f"{name} ({count} values)"
    if others:
        raise ConfigError(_others(dataset.name, config, others))
    return told


def _new_fields(scenes: Scenes) -> dict[str, dict[str, Any]]:
    """The fields that swath writes, but for those that its loop on this dataset, if there is one, named before: they are swath's."""
    journal, wanted = open_journal(scenes.stored), scenes.fields()
    if not journal.exists():
        return wanted
    before = Scenes(scenes.stored, parse(journal.loop().config, "the journal")).fields()
    return {name: how for name, how in wanted.items() if name not in before}


def _others(name: str, config: LoopConfig, others: Mapping[str, str]) -> str:
    """That a dataset has `others`, fields of its own (name -> in words) under names that swath writes, and the ways out."""
    mine = ", ".join(f"{setting}: NAME" for setting, field in config.fields if field in others)
    ways = [f"give swath other names (--config, `fields: {{{mine}}}`)"] if mine else []
    ways.append("rename yours in FiftyOne (`dataset.rename_sample_field(OLD, NEW)`)")
    return (
        f"dataset {name!r} has {len(others)} fields of its own under names that swath writes: {some(others.values(), 20)}; nothing was "
        f"changed: {', or '.join(ways)}; where a loop was run by hand with the guide: `{suggested_adopt(name)}`"
    )


def other_classes(workspace: Workspace) -> list[str]:
    """What to say where label fields hold classes that the class map lacks."""
    classes, collection = workspace.config.classes, workspace.scenes
    late = workspace.journal.assignments.any_labelled()
    told = []
    fields = dict.fromkeys([*collection.label_fields(), *(one.human for one in workspace.rig.labelled)])
    for field in fields:
        found = collection.label_names(field)
        strange = sorted(found - set(classes))
        if strange:
            listed = sorted(found & set(classes)) + strange
            way = (
                f"; to take them in, before the first label comes: `{_with_classes(workspace.name, listed)}`"
            )
            told.append(
                f"{field} holds labels of {len(strange)} classes that are not in the class map ({', '.join(classes)}): {some(strange)}; "
                f"nothing is trained or compared on them{'' if late else way}"
            )
    return told


def _with_classes(name: str, classes: Sequence[str]) -> str:
    """The command that makes `classes` the class map; those with a comma cannot be told apart in `--classes`."""
    if any("," in one or one != one.strip() for one in classes):
        return command("config", name, "--set", f"classes={json.dumps(classes, ensure_ascii=False)}")
    return suggested(name, "--fiftyone", name, "--classes", ",".join(classes))


def read_fields(workspace: Workspace, config: LoopConfig, before: Collection[str]) -> list[str]:
    """What to say where there is nothing in a field that is read: it is found out when it is too late, once the dataset is split.
    `before`: the fields that were there."""
    if workspace.is_split():
        return []
    told, usual = [], LoopConfig().fields
    labels = [one for one in workspace.scenes.label_fields() if workspace.scenes.holding(one)]
    drives = _like_drives(workspace, before)
    for setting, what, instead in (
        ("truth", "no labels came with the data; fields with labels", labels),
        ("sequence", "no drive is known; fields whose values scenes share", drives),
    ):
        field = getattr(config.fields, setting)
        is_lost = field != getattr(usual, setting) and field.split(".")[0] not in before
        if not is_lost and (not instead or workspace.scenes.holding(field)):
            continue
        lost = (
            f"the dataset has no such field{meant(field, before)}" if is_lost else "nothing is in this field"
        )
        told.append(
            f"fields: {{{setting}: {field}}}: {lost}: {what}: {some(instead)}; it can be corrected until the split: "
            f"`{command('config', workspace.name, '--set', f'fields.{setting}=NAME')}`"
        )
    return told


def _like_drives(workspace: Workspace, before: Collection[str]) -> list[str]:
    """Fields of the dataset's own that may say a scene's drive: text or numbers, several, of which one stands for two scenes or more
    as a rule."""
    import fiftyone as fo

    scenes = workspace.scenes
    ours = {*scenes.fields(), "filepath", LABEL_DIGEST}
    found = scenes.dataset.get_field_schema(ftype=(fo.StringField, fo.IntField)).keys() & set(before) - ours
    most = len(scenes.table) // 2
    return [name for name in sorted(found) if 1 < scenes.different(name, most + 1) <= most]


def without_calibration(workspace: Workspace) -> list[str]:
    """What to say where cuboids are wanted in scenes of which no camera is calibrated."""
    rig = workspace.rig
    if not rig.images or "3d" not in rig.modalities:
        return []
    clouds = [channel.name for channel in rig.clouds if channel.labelled]
    table = workspace.scenes.table
    wanted = [key for key in table.keys.tolist() if any(table.has(name, key) for name in clouds)]
    without = sorted(set(wanted) - workspace.scenes.calibrations(wanted).keys())
    if not without:
        return []
    return [
        f"{len(without)} of {len(wanted)} scenes with a cloud have no calibration: box and cuboid are not compared there, and label "
        "files, which place cuboids by the camera, cannot hold any; to label boxes alone: `modalities: [2d]` in the configuration"
    ]
