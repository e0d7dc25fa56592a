"""Takes scenes in: a folder, or a FiftyOne dataset that exists. Doing it again adds what is new.

Writes media, metadata, calibration, drive and `ground_truth` (2D on labelled images, 3D on labelled clouds); what cannot be
used is listed with file, line and reason. Once the dataset is split, new frames of a known drive inherit its split, those
of a test drive are set aside and counted, and the others join the pool.
"""

from __future__ import annotations

import filecmp
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from swath import appearance, commit, fields_there, life
from swath.config import LoopConfig, Sources, parse, sources
from swath.errors import ConfigError, ConflictError, FormatError, StateError, some
from swath.formats.images import image_size
from swath.formats.pcd import write_pcd
from swath.labels import schema, stored
from swath.labels.channels import found
from swath.records.loop import Damaged, Grown, Initialised
from swath.records.results import InitResult
from swath.sources import make
from swath.sources.base import Found, Labelled, Scan, Source
from swath.store.dataset import Stored
from swath.store.journal.lease import FENCE, Writer
from swath.store.scenes import (
    DONT_CARE,
    KEY,
    KINDS,
    LABEL_DIGEST,
    Scenes,
    load_dataset,
    open_journal,
    slice_kinds,
)
from swath.suggest import labels_back
from swath.workspace import Progress, Workspace, may_change, silent

CHUNK = 100  # frames per insert
LISTED = 1000  # damages that the journal keeps
PATIENCE = 3.0  # seconds for a process that is making a dataset; one that was killed is not heard of any more
Held = Callable[[str], None] | None


def init_folder(
    kind: str,
    name: str,
    root: Path,
    config: LoopConfig,
    home: Path,
    *,
    origins: Sources | None = None,
    strict: bool = False,
    progress: Progress = silent,
    held: Held = None,
) -> tuple[Workspace, InitResult]:
    """Imports the folder `root` of a `kind` ("kitti", "rig") into the dataset `name`. With `strict`, any damage is an error and
    nothing is written. `origins`: where the settings of `config` were given."""
    source = make(kind, root, config.channels)
    scan = source.scan(progress=progress("read the folder"), workers=config.embed.workers)
    if strict and scan.damages:
        raise FormatError(
            f"{root}: {len(scan.damages)} damages and --strict was given: {some(map(str, scan.damages), 3)}; nothing was written"
        )
    if not scan.scenes:
        raise FormatError(
            f"{root}: no usable frame; {len(scan.damages)} damages: {some(map(str, scan.damages), 3)}"
        )
    given, config = config, _with_channels(config, kind, scan)
    if config != given:
        _may_change(name, given, config)
    origins = sources(origins or {}, given, config, {}, "the folder's rig")
    home = _made(home)
    workspace = _open(_dataset(name, config.primary), config, origins, home, progress, held)
    with workspace.writer("init") as writer:
        _declare(workspace)
        found, told = _recognised(workspace, source, scan.scenes)
        added = _add(workspace, source, found)
        workspace.scenes.refresh()
        told += _labels_again(workspace, writer, found)
        workspace.scenes.declare()  # once more: fields of slices that came just now
        workspace.scenes.give_keys()
        aside = _place_new(workspace, writer)
        told += _came_back(workspace, writer)
        damages = tuple(Damaged(file=one.file, line=one.line, reason=one.reason) for one in scan.damages)
        begun = Initialised(scenes=0, **{kind: str(source.root.resolve())})
        told += fields_there.other_classes(workspace) + fields_there.without_calibration(workspace)
        return workspace, _record(workspace, writer, begun, added, damages, aside, told)


def _dataset(name: str, primary: str) -> Any:
    """The dataset `name` of a folder; made, where there is none yet."""
    import fiftyone as fo

    if fo.dataset_exists(name):
        _clear_half_made(fo.load_dataset(name), name)
    if not fo.dataset_exists(name):
        try:
            fo.Dataset(name, persistent=True).add_group_field("group", default=primary)
        except Exception as error:
            if not fo.dataset_exists(name):
                raise
            raise ConflictError(
                f"{name}: another process is making this dataset; run the same command again when it is done"
            ) from error
    return fo.load_dataset(name)


def _clear_half_made(dataset: Any, name: str) -> None:
    """Removes a dataset that FiftyOne has half made: it makes one in many writes, and may have been killed in between. Somebody
    who is making it now is waited for."""
    bare = not open_journal(dataset).exists()
    deadline = time.monotonic() + PATIENCE
    while bare and not len(dataset) and time.monotonic() < deadline:
        time.sleep(0.1)
        bare = not open_journal(dataset).exists()
    if bare and not len(dataset) and not dataset.info:
        dataset.delete()
    elif bare:
        raise StateError(
            f"dataset {name!r} exists and has no loop; choose another name, or start one on it: "
            f"`swath init {name} --fiftyone {name}`"
        )


def _may_change(name: str, before: LoopConfig, after: LoopConfig) -> None:
    """`ConfigError` where the loop that is there already must keep what a folder would change."""
    import fiftyone as fo

    if fo.dataset_exists(name) and (journal := open_journal(fo.load_dataset(name))).exists():
        may_change(journal, before, after)


def _with_channels(config: LoopConfig, kind: str, scan: Scan) -> LoopConfig:
    """The configuration, with the channels of a rig folder where the user named none."""
    if kind == "kitti" or config.channels != LoopConfig().channels:
        return config
    return _with(config, scan.channels, scan.primary, "the folder's rig")


def _with(config: LoopConfig, channels: Mapping[str, Any], primary: str, source: str) -> LoopConfig:
    """The configuration with other channels."""
    return parse({**config.model_dump(mode="json"), "channels": dict(channels), "primary": primary}, source)


def init_fiftyone(
    name: str,
    config: LoopConfig,
    home: Path,
    *,
    origins: Sources | None = None,
    by_hand: bool = False,
    progress: Progress = silent,
    held: Held = None,
) -> tuple[Workspace, InitResult]:
    """Starts a loop on the dataset `name`, grouped or plain; doing it again takes in scenes that were added since. `by_hand`: its fields
    of swath's names are of a loop that was run by hand, and are taken over."""
    dataset = usable(name)
    given, config = config, _fitting(dataset, config)
    labelled = [] if by_hand else fields_there.labels_there(dataset, config)
    origins = sources(origins or {}, given, config, {}, "the dataset's slices")
    home = _made(home)
    dataset.persistent = True
    workspace = _open(dataset, config, origins, home, progress, held)
    before = set(dataset.get_field_schema())
    with workspace.writer("init") as writer:
        workspace.scenes.declare()
        added = workspace.scenes.give_keys()
        damages = _measure_images(workspace, writer)
        aside = _place_new(workspace, writer)
        begun = Initialised(scenes=0, fiftyone=name)
        told = (
            labelled
            + _came_back(workspace, writer)
            + fields_there.read_fields(workspace, given, before)
            + fields_there.other_classes(workspace)
            + fields_there.without_calibration(workspace)
        )
        return workspace, _record(workspace, writer, begun, added, damages, aside, told)


def usable(name: str) -> Any:
    """FiftyOne's dataset `name`; `SwathError` where there is none, or none of media that swath reads."""
    dataset = load_dataset(name)
    if dataset.media_type not in ("group", *KINDS):
        raise ConfigError(
            f"dataset {name!r} holds {dataset.media_type or 'nothing'}; expected groups, images or point clouds"
        )
    return dataset


def _fitting(dataset: Any, config: LoopConfig) -> LoopConfig:
    """The configuration, with channels for the slices that the dataset has where those configured do not fit."""
    name, own = dataset.name, config.channels != LoopConfig().channels
    if dataset.media_type != "group":
        kind = KINDS[dataset.media_type]
        if config.primary in config.channels and own and config.channels[config.primary].kind == kind:
            return config
        primary = kind if config.primary == "left" else config.primary
        channel = {"kind": kind, "labelled": True, "embed": True}
        return _with(config, {primary: channel}, primary, "the dataset")
    if config.primary in dataset.group_slices:
        return config
    if own:
        raise ConfigError(
            f"dataset {name!r} has no slice {config.primary!r}; it has {some(sorted(dataset.group_slices))}; "
            "name the channel that is shown in the configuration (primary: ...)"
        )
    kinds = slice_kinds(dataset)
    if not kinds:
        raise ConfigError(
            f"dataset {name!r} has no slice of images or point clouds; it has {some(dataset.group_slices)}"
        )
    channels, primary = found(kinds, dataset.default_group_slice)
    return _with(config, channels, primary, "the dataset")


def _measure_images(workspace: Workspace, writer: Writer) -> tuple[Damaged, ...]:
    """Has FiftyOne note the sizes of images that it does not know, upright as they are seen; names the scenes where it cannot."""
    dataset, rig = workspace.scenes.dataset, workspace.rig
    wanted = [channel.name for channel in rig.images if channel.labelled or channel.name == rig.primary]
    for name in wanted:
        images = dataset.select_group_slices([name]) if workspace.scenes.grouped else dataset
        images.compute_metadata(skip_failures=True, progress=False)
    workspace.scenes.refresh()
    _upright(workspace, writer, wanted)
    table = workspace.scenes.table
    damages = []
    for name in wanted:
        for key in table.keys[(table.sizes[name][:, 0] == 0)].tolist():
            if table.has(name, key) or name == rig.primary:
                reason = "the image's size is unknown: missing or unreadable"
                damages.append(Damaged(file=key if name == rig.primary else f"{key} ({name})", reason=reason))
    return tuple(damages)


def _upright(workspace: Workspace, writer: Writer, channels: Sequence[str]) -> None:
    """Corrects the sizes of images that EXIF turns: FiftyOne notes them as they lie. Scenes that are split were looked at before."""
    table = workspace.scenes.table
    known = workspace.membership() if workspace.is_split() else {}
    new = [key for key in table.keys.tolist() if key not in known]
    tick = workspace.progress("measure images")
    for name in channels:
        turned: dict[str, dict[str, int]] = {}
        for done, key in enumerate(new):
            tick(done, len(new))
            there = table.size(name, key) if table.has(name, key) else (0, 0)
            if there == (0, 0):
                continue
            with suppress(FormatError):
                width, height = image_size(table.path(name, key), whole=False)
                if (width, height) != there:
                    turned[key] = {"metadata.width": width, "metadata.height": height}
        workspace.scenes.write(name, turned, writer)
    tick(1, 1)
    workspace.scenes.refresh()


def _made(home: Path) -> Path:
    """The loop's folder, made before anything else is: where it cannot be, nothing is begun."""
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    return home


def _open(
    dataset: Any, config: LoopConfig, origins: Sources, home: Path, progress: Progress, held: Held
) -> Workspace:
    journal = open_journal(dataset)
    scenes = Scenes(Stored.of(dataset), config)
    journal.create(config.model_dump(mode="json"), str(home), origins=origins, token=scenes.highest_fence())
    return Workspace(scenes, journal, config, home, progress, origins=origins, held=held)


def _record(
    workspace: Workspace,
    writer: Writer,
    begun: Initialised,
    added: int,
    damages: Sequence[Damaged],
    aside: int,
    notes: Sequence[str],
) -> InitResult:
    table, info = workspace.scenes.table, workspace.scenes.dataset.info
    before = workspace.journal.loop().steps.init
    history = info.get("golden_qa_history") if before is None else before.history
    record = begun.with_(
        scenes=len(table),
        history=tuple(history) if isinstance(history, list | tuple) else (),  # of before swath, shown first
        damages=tuple(damages[:LISTED]),
        damage_count=len(damages),
        set_aside=aside,
    )
    config = workspace.config.model_dump(mode="json")
    journal, home = workspace.journal, str(workspace.home)
    journal.record(writer, {"init": record}, config=config, origins=workspace.origins, home=home)
    new = commit.info(workspace).items()
    workspace.scenes.set_info({key: value for key, value in new if key not in info}, writer)
    appearance.show(workspace, writer)
    return InitResult(
        dataset=workspace.name,
        scenes=len(table),
        added=added,
        slices=table.counts(),
        damages=tuple(damages),
        set_aside=aside,
        notes=tuple(notes),
    )


# ---------------------------------------------------------------------- folders


def _declare(workspace: Workspace) -> None:
    import fiftyone as fo

    workspace.scenes.declare()
    more: dict[str, dict[str, Any]] = {
        workspace.config.fields.truth: schema.labels_field(),
        DONT_CARE: schema.labels_field(),
        "calibration": {"ftype": fo.DictField},
        LABEL_DIGEST: {"ftype": fo.StringField},
    }
    schema.declare(workspace.scenes.dataset, more)


def _recognised(
    workspace: Workspace, source: Source, scenes: Sequence[Found]
) -> tuple[list[Found], list[str]]:
    """The scenes under the keys that they have in the dataset, and what is worth saying.

    A name that is there already is the same scene if one of its media is the same file, or all have the same bytes (one alone may
    be the black image of a covered camera), or if its files have moved here; else it is another scene, and gets a key with the
    folder's name before it. Under another name it is a scene that is there where it has a file that no other scene has.
    """
    workspace.scenes.give_keys()
    table = workspace.scenes.table
    places = [
        {channel: str(_target(workspace, source, scene, channel)) for channel in scene.media}
        for scene in scenes
    ]
    keys_of: dict[str, set[str]] = {}
    for paths in table.paths.values():
        for path, key in zip(paths.tolist(), table.keys.tolist(), strict=True):
            keys_of.setdefault(path, set()).add(key)
    shared = Counter(path for ours in places for path in set(ours.values()))
    lengths = _lengths(workspace)
    out: list[Found] = []
    renamed: list[str] = []
    moved: dict[str, dict[str, str]] = {}
    for scene, ours in zip(scenes, places, strict=True):

        def is_there(key: str, scene: Found = scene, ours: Mapping[str, str] = ours) -> dict[str, str] | None:
            """The media of the scene `key`, if it is this one."""
            there = {name: path for name in ours if (path := table.path(name, key))}
            same = bool(there) and all(_same_bytes(path, ours[name]) for name, path in there.items())
            return there if same or _has_moved(key, there, scene, lengths) else None

        mine = {key for path in ours.values() for key in keys_of.get(path, ())}
        tried = takewhile(lambda one: one in table.row_of, _keys(source, scene))
        key = next((one for one in tried if one in mine), None)
        if key is None:
            alone = (keys_of.get(path, set()) for path in ours.values() if shared[path] == 1)
            key = next((min(keys) for keys in alone if len(keys) == 1), None)
        if key is None:
            key = next(one for one in _keys(source, scene) if one not in table.row_of or is_there(one))
            if key not in table.row_of and key != scene.key:
                renamed.append(key)
        if key in table.row_of:
            there = {name: table.path(name, key) for name in ours}
            lost = {
                n: ours[n]
                for n, path in there.items()
                if path not in ("", ours[n]) and not Path(path).exists()
            }
            moved |= {key: lost} if lost else {}
        out.append(replace(scene, key=key))
    told = []
    if moved:
        workspace.scenes.relocate(moved)
        told.append(f"{len(moved)} scenes had moved: their media are found in {source.root} now")
    if renamed:
        told.append(
            f"{len(renamed)} frames have names that other scenes have already; they are taken in under keys of their own: {some(renamed)}"
        )
    return out, told


def _target(workspace: Workspace, source: Source, scene: Found, channel: str) -> Path:
    """Where the medium of a channel is, or will be, for the dataset."""
    path = scene.media[channel]
    return path.resolve() if channel in scene.sizes else _readable(workspace, source, scene, path)


def _keys(source: Source, scene: Found) -> Iterator[str]:
    """Keys for a frame, in the order in which they are tried: its name, then with the folder's name before it."""
    folder = source.root.resolve().name
    yield scene.key
    yield f"{folder}/{scene.key}"
    for number in count(2):
        yield f"{folder}-{number}/{scene.key}"


def _lengths(workspace: Workspace) -> Callable[[str], dict[str, int]]:
    """Of a channel: key -> bytes of its file when it was taken in, where that is known. Read when it is asked for."""

    @cache
    def of(channel: str) -> dict[str, int]:
        keys = workspace.scenes.table.keys.tolist()
        docs = workspace.scenes.values(channel, keys, ["metadata"])
        found = {
            key: (doc.get("metadata") or {}).get("size_bytes") for key, doc in zip(keys, docs, strict=True)
        }
        return {key: int(size) for key, size in found.items() if size}

    return of


def _has_moved(
    key: str, there: Mapping[str, str], scene: Found, lengths: Callable[[str], dict[str, int]]
) -> bool:
    """Whether the files of a scene are gone from where they were, and those found have their lengths: the same name is not enough,
    another folder's scenes may be away (a disk that is not mounted)."""
    if not there or any(Path(path).exists() for path in there.values()):
        return False
    known = {name: size for name in there if (size := lengths(name).get(key))}
    return bool(known) and all(scene.media[name].stat().st_size == size for name, size in known.items())


def _same_bytes(one: str, two: str) -> bool:
    try:
        return filecmp.cmp(one, two, shallow=False)
    except OSError:
        return False


def _labels_again(workspace: Workspace, writer: Writer, scenes: Sequence[Found]) -> list[str]:
    """Takes over the source's labels and calibrations of scenes of which these changed since they were taken in. What is gone from
    the source stays, and is said."""
    keys = [scene.key for scene in scenes]
    table, fields = workspace.scenes.table, workspace.config.fields
    docs = workspace.scenes.values(workspace.rig.primary, keys, [LABEL_DIGEST])
    calibrations = workspace.scenes.calibrations(keys)
    values: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in workspace.rig.names}
    relabelled, recalibrated, unlabelled, uncalibrated = [], [], [], []
    for scene, doc in zip(scenes, docs, strict=True):
        before, then = doc.get(LABEL_DIGEST), calibrations.get(scene.key)
        placed = scene.calibration is not None and then != scene.calibration
        uncalibrated += [scene.key] if then and scene.calibration is None else []
        unlabelled += [scene.key] if before and scene.label_digest is None else []
        read = scene.label_digest is not None and before != scene.label_digest
        relabelled += [scene.key] if read and before is not None else []
        recalibrated += [scene.key] if placed else []
        if not read and not placed:
            continue
        for channel in scene.media:
            if not table.has(channel, scene.key):
                continue
            value: dict[str, Any] = {LABEL_DIGEST: scene.label_digest} if read else {}
            value |= {"calibration": dict(scene.calibration)} if placed and scene.calibration else {}
            for field, labelled in ((fields.truth, scene.truth), (DONT_CARE, scene.dont_care)):
                solid = channel in labelled and labelled[channel].labels.modality == "3d"
                if channel in labelled and ((read and before is not None) or (placed and solid)):
                    size = scene.sizes.get(channel)
                    documents = _documents(scene, field, channel, labelled[channel], size, workspace.config)
                    value[field] = stored.field_of(documents)
            values[channel][scene.key] = value
    for channel, of_channel in values.items():
        if of_channel:
            workspace.scenes.write(channel, of_channel, writer)
    return _said_of(
        (relabelled, "label files of {} scenes had changed, and were read again"),
        (
            recalibrated,
            "calibrations of {} scenes had changed or are new, and were read again, with their cuboids",
        ),
        (
            unlabelled,
            "label files of {} scenes are gone; the labels that came with them stay (an empty file says that there is nothing)",
        ),
        (uncalibrated, "calibrations of {} scenes are gone or cannot be read any more; those that came stay"),
    )


def _said_of(*told: tuple[Sequence[str], str]) -> list[str]:
    """A line for each that there is any scene of, with the first of them."""
    return [f"{text.format(len(keys))}: {some(keys)}" for keys, text in told if keys]


def _add(workspace: Workspace, source: Source, scenes: Sequence[Found]) -> int:
    """Adds what is missing, slice by slice: an import that was killed goes on where it was. Returns the new scenes."""
    import fiftyone as fo

    table = workspace.scenes.table
    tick = workspace.progress("import scenes")
    samples: list[Any] = []
    for done, scene in enumerate(scenes, 1):
        row = table.row_of.get(scene.key)
        group = fo.Group() if row is None else fo.Group(id=str(table.ids[row]))
        for channel, path in scene.media.items():
            if row is None or not table.has(channel, scene.key):
                samples.append(_sample(workspace, source, scene, group, channel, path))
        if done % CHUNK == 0 or done == len(scenes):
            workspace.scenes.dataset.add_samples(samples, progress=False)
            samples = []
            tick(done, len(scenes))
    return sum(scene.key not in table.row_of for scene in scenes)


def _sample(workspace: Workspace, source: Source, scene: Found, group: Any, channel: str, path: Path) -> Any:
    import fiftyone as fo

    fields = workspace.config.fields
    values: dict[str, Any] = {KEY: scene.key, FENCE: 0, fields.status: "unlabeled"}
    if scene.sequence:
        values[fields.sequence] = scene.sequence
    if scene.calibration:
        values["calibration"] = dict(scene.calibration)
    if scene.label_digest:
        values[LABEL_DIGEST] = scene.label_digest
    size = scene.sizes.get(channel)
    if size:
        values["metadata"] = fo.ImageMetadata(width=size[0], height=size[1], size_bytes=path.stat().st_size)
    for field, labelled in ((fields.truth, scene.truth), (DONT_CARE, scene.dont_care)):
        if channel in labelled:
            documents = _documents(scene, field, channel, labelled[channel], size, workspace.config)
            values[field] = fo.Detections.from_dict(stored.field_of(documents))
    media = _target(workspace, source, scene, channel)
    return fo.Sample(filepath=str(media), group=group.element(channel), **values)


def _documents(
    scene: Found,
    field: str,
    channel: str,
    labelled: Labelled,
    size: tuple[int, int] | None,
    config: LoopConfig,
) -> list[dict[str, Any]]:
    flat = labelled.labels.modality == "2d"
    first = channel in (config.primary, *(() if flat else _first_cloud(config)))
    identity = [scene.key, field, *(() if flat else ("3d",)), *(() if first else (channel,))]
    return stored.documents_of(labelled.labels, size or (1, 1), identity, **labelled.attributes)


def _first_cloud(config: LoopConfig) -> tuple[str, ...]:
    return tuple(name for name, one in config.channels.items() if one.kind == "cloud")[:1]


def _readable(workspace: Workspace, source: Source, scene: Found, path: Path) -> Path:
    """A file that FiftyOne's App can show: the medium itself, or a cloud converted to PCD, under a name that its content gives:
    another cloud of the same name is another file."""
    cloud = source.cloud(path)
    if cloud is None:
        return path.resolve()
    content = hashlib.blake2b(cloud.tobytes(), digest_size=6).hexdigest()
    target = workspace.home / "clouds" / f"{Path(scene.key).name}-{content}.pcd"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_pcd(target, cloud)
    return target.resolve()


# ---------------------------------------------------------------------- new frames of a split dataset


def _place_new(workspace: Workspace, writer: Writer) -> int:
    """Gives scenes that came after the split their place; returns how many were set aside."""
    if not workspace.is_split():
        return 0
    before = workspace.membership()
    table = workspace.scenes.table
    drives = dict(zip(table.keys.tolist(), table.sequence.tolist(), strict=True))
    if set(drives) <= set(before):
        return 0
    after, aside = placed(before, drives)
    record = Grown(added=len(after) - len(before), set_aside=aside)
    frozen = workspace.journal.frozen(after)
    workspace.journal.record(writer, {"split_grown": record}, membership=frozen)
    commit.project_all(workspace, writer)
    return aside


def _came_back(workspace: Workspace, writer: Writer) -> list[str]:
    """Gives scenes that were deleted and came again their tags; what to say where their labels did not come with them."""
    if not workspace.is_split():
        return []
    if workspace.scenes.differences(workspace.states()):
        commit.project_all(workspace, writer)
    bare = workspace.bare(workspace.journal.assignments.labelled(role=("pool", "reference")))
    keys = sorted({key for of_channel in bare.values() for key in of_channel})
    if not keys:
        return []
    last = [one.round for one in life.standing(workspace.journal.batches.all())][-1:]
    how = "; ".join(
        [
            "nothing is learned from them or compared with them",
            *(labels_back(workspace.name, one) for one in last),
        ]
    )
    return [
        f"{len(keys)} labelled scenes are without their labels (deleted, and taken in again?): {some(keys)}; {how}"
    ]


def placed(before: Mapping[str, str], drives: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """(key -> split with the new scenes of `drives` (key -> drive) in it, how many of them were set aside)."""
    splits_of: dict[str, set[str]] = {}
    for key, drive in drives.items():
        if drive and before.get(key):
            splits_of.setdefault(drive, set()).add(before[key])
    after, aside = dict(before), 0
    for key, drive in drives.items():
        if key in before:
            continue
        splits = splits_of.get(drive, set())
        if "test" in splits:
            after[key], aside = "", aside + 1
        else:
            after[key] = "val" if "val" in splits else "pool"
    return after, aside
