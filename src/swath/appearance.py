"""What FiftyOne's App shows when it opens the dataset: colours, what is visible, the sidebar, clouds, the map of embeddings.

All of it is computed from the configuration, the rig, the fields there are and the batches; none of it is a record. What
somebody else has set in the App or in Python stays: swath writes what nobody has set, and what it wrote itself.

    color_scheme     colours by class that colour-blind people can tell apart; predictions in a lighter shade than labels
    active_fields    labels of people, predictions at or above the operating threshold; fields that swath does not know
    sidebar_groups   in the order of their use; what is hidden comes last, folded
    media            clouds through a scene file (`scene_3d`): the App draws a bare cloud without colours black on black
    swath_map        the plane of most variance of the embeddings, for the panel Embeddings
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from swath import life
from swath.config import Fields, LoopConfig, digest
from swath.errors import FencedError, SwathError
from swath.formats.files import write_atomic
from swath.kernels.plane import plane
from swath.kernels.vectors import usable
from swath.labels.channels import Rig
from swath.projection import VIEWS
from swath.records.base import Document
from swath.records.batch import Batch
from swath.store.journal.lease import Writer
from swath.store.scenes import FENCE, FINDINGS, KEY, SOURCE
from swath.words import counts, number

if TYPE_CHECKING:
    from swath.workspace import Workspace

SCENE: Final = "scene_3d"  # field of the cloud slices: the file that the App draws
MAP: Final = "swath_map"
MARK: Final = "swath"  # what the map was made from, and which settings of the App are swath's
EVALUATION: Final = r"^eval_v\d+(_3d)?(_|$)"
OF_SOURCES: Final = ("dont_care", "label_source", "calibration")  # fields that imports write
HIDDEN: Final = "hidden by default"
PALETTE: Final = (  # Okabe and Ito (2008), without black; https://jfly.uni-koeln.de/color/
    *("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2", "#BBBBBB"),
)
LIGHTER: Final = 0.75  # how far a prediction's colour is on the way to white
OPACITY: Final = 0.6  # of boxes' fillings: what is in a cuboid stays visible

Kind = Literal["label", "primitive", "other"]


def sure(field: str) -> str:
    """Name of the field with those predictions of `field` that are at or above the operating threshold."""
    return f"{field}_sure"


# ---------------------------------------------------------------------- colours


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """class -> colour, `#RRGGBB`. Eight can be told apart; the next eight are the same, darker, and so on."""
    out = {}
    for place, name in enumerate(classes):
        lap, first = divmod(place, len(PALETTE))
        out[name] = mixed(PALETTE[first], "#000000", 1 - 0.65**lap)
    return out


def mixed(one: str, two: str, share: float) -> str:
    """The colour at `share` of the way from one to the other."""
    pairs = [(int(one[i : i + 2], 16), int(two[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def color_scheme(config: LoopConfig, rig: Rig) -> Document:
    """Colours by class, for every field that holds labels: predictions lighter than what people drew."""
    plain = class_colours(config.classes)
    light = {name: mixed(colour, "#FFFFFF", LIGHTER) for name, colour in plain.items()}
    ours, theirs, truth = PALETTE[0], mixed(PALETTE[0], "#FFFFFF", LIGHTER), PALETTE[-1]
    fields = []
    for name, colours, own in (
        *((name, plain, ours) for name in _of(rig, "human")),
        *((name, light, theirs) for field in _of(rig, "predictions") for name in (sure(field), field)),
        *((name, plain, PALETTE[3]) for name in (*_of(rig, "golden"), *_of(rig, "opinions"))),
        (config.fields.truth, plain, truth),
    ):
        values = [{"value": label, "color": colour} for label, colour in colours.items()]
        fields.append({"path": name, "fieldColor": own, "colorByAttribute": "label", "valueColors": values})
    return {"color_by": "value", "color_pool": list(PALETTE), "fields": fields, "opacity": OPACITY}


def _of(rig: Rig, role: str) -> list[str]:
    """Names of the fields that labelled channels have for `role`, each once."""
    return list(dict.fromkeys(getattr(channel, role) for channel in rig.labelled))


# ---------------------------------------------------------------------- what is visible, and where


def active_fields(config: LoopConfig, rig: Rig, fields: Mapping[str, Kind]) -> list[str]:
    """Fields that are ticked when the App opens. `fields`: path -> kind, of all that there are."""
    known = _known(config, rig, fields)
    own = [name for name, kind in fields.items() if kind == "label" and name not in known.all]
    return [*known.labels, *own]


def sidebar_groups(
    config: LoopConfig, rig: Rig, fields: Mapping[str, Kind], batches: Iterable[Batch]
) -> list[Document]:
    """The groups of the sidebar; each path of `fields` stands in one of them. Empty groups are left out."""
    known = _known(config, rig, fields)
    rest = [name for name in fields if name not in known.all and not name.startswith("metadata.")]
    last = [batch.round for batch in life.evaluated(batches)][-1:]
    scored = [name for name in rest if re.match(EVALUATION, name)]
    now = [name for name in scored if any(re.match(rf"eval_{one}(_|$)", name) for one in last)]
    other = [name for name in rest if name not in scored]
    groups: list[tuple[str, list[str], bool]] = [
        ("tags", ["tags", "_label_tags"], True),
        ("labels", [*known.labels, *(name for name in other if fields[name] == "label")], True),
        ("scene", known.scene, True),
        ("scores", [*known.scores, *now], True),
        ("other fields", [name for name in other if fields[name] != "label"], True),
        ("earlier evaluations", [name for name in scored if name not in now], False),
        ("metadata", [name for name in fields if name.startswith("metadata.")], False),
        (HIDDEN, known.hidden, False),
    ]
    return [
        {"name": name, "paths": paths, **({} if expanded else {"expanded": False})}
        for name, paths, expanded in groups
        if paths
    ]


class _Known(NamedTuple):
    """The fields that swath knows, of those that there are."""

    labels: list[str]
    scene: list[str]
    scores: list[str]
    hidden: list[str]

    @property
    def all(self) -> set[str]:
        return {"tags", *self.labels, *self.scene, *self.scores, *self.hidden}


def _known(config: LoopConfig, rig: Rig, there: Mapping[str, Kind]) -> _Known:
    names = config.fields
    human, every = _of(rig, "human"), _of(rig, "predictions")
    seen = [sure(name) if sure(name) in there else name for name in every]
    labels = [name for pair in zip(human, seen, strict=True) for name in pair]
    blind = [*_of(rig, "golden"), *_of(rig, "opinions")]
    hidden = [
        *(name for name in every if name not in seen),
        *(names.truth, "dont_care", *blind, FINDINGS, "calibration", "label_source"),
        *(names.embeddings, SOURCE, FENCE, SCENE, "id", "filepath", "created_at", "last_modified_at"),
        *(path for path in there if path.split(".")[0] == "group"),
    ]
    parts = (labels, [names.status, names.sequence, KEY], [names.zcore], list(dict.fromkeys(hidden)))
    return _Known(*([name for name in part if name in there] for part in parts))


# ---------------------------------------------------------------------- saved views


class ViewStyle(NamedTuple):
    """`colour`: one of those that the App offers for views."""

    colour: str
    description: str


GRAY, BLUE, GREEN, YELLOW, ORANGE, RED, PURPLE = (
    *("#667085", "#2970FF", "#16B364", "#FAC515", "#EF6820", "#F04438", "#7A5AF8"),
)
OF_SPLITS: Final = {
    "test_set": ViewStyle(RED, "Frozen: read by the final evaluation and the leak audit alone"),
    "val_set": ViewStyle(PURPLE, "Models are scored and their failures mined here; nothing is trained on it"),
    "golden_qa": ViewStyle(YELLOW, "Measures annotators: sent along blind with every batch"),
    "pool": ViewStyle(GRAY, "Scenes that batches are chosen from, labelled ones included"),
}
assert OF_SPLITS.keys() == set(VIEWS.values())


def view_style(name: str, batches: Iterable[Batch]) -> ViewStyle:
    """Colour and description of one of swath's saved views. They change with nothing that happens after the view was made."""
    if name in OF_SPLITS:
        return OF_SPLITS[name]
    kind, round_name, *_ = name.split("_")
    batch = next((one for one in batches if one.round == round_name), None)
    if kind == "batch":
        if batch is None:
            return ViewStyle(BLUE, f"Scenes chosen for {round_name}")
        streams = {"for coverage": batch.size.coverage, "for failures": batch.size.targeted}
        of = counts({name: n for name, n in streams.items() if n})
        return ViewStyle(BLUE, f"{round_name}: {batch.size.size} scenes chosen ({of})")
    done = batch.steps.evaluate if batch else None
    text = f"Val scenes that the model of {round_name} gets worst"
    if done is not None:
        at = number(done.main.operating.threshold, 2)
        text += f": {done.failing} of {done.scenes} have errors at scores from {at}"
    return ViewStyle(ORANGE, text)


# ---------------------------------------------------------------------- what swath's fields are


def descriptions(fields: Fields) -> dict[str, str]:
    """Field -> what the App says of it when the pointer rests on it."""
    out = {
        KEY: "Stable name of the scene, the same in every slice",
        FENCE: "swath's own: the last writer of this sample",
        SOURCE: "swath's own: what the embedding was computed from",
        SCENE: "swath's own: the file that the App draws for this cloud",
        FINDINGS: "What the checks noticed in the labels",
        fields.status: "unlabeled, selected or annotated",
        fields.zcore: "Coverage score: high where the pool has scenes that nothing chosen stands for",
        fields.embeddings: "The scene's vector",
        fields.detections: "Boxes that people drew: of batches, and the reference of val and golden",
        fields.cuboids: "Cuboids that people drew: of batches, and the reference of val and golden",
        fields.golden_detections: "Blind labels of golden scenes, for the golden check",
        fields.golden_cuboids: "Blind labels of golden scenes, for the golden check",
        fields.opinions_2d: "Second labellings, one per annotator",
        fields.opinions_3d: "Second labellings, one per annotator",
        fields.truth: "Labels that came with the dataset: no step reads them unasked",
    }
    for name in (fields.predictions, fields.predictions_3d):
        out[name] = (
            "All predictions of the last evaluated model, whatever their score: what mAP is computed from"
        )
        out[sure(name)] = (
            f"Those of `{name}` at or above the operating threshold (the score with the best F1)"
        )
    return out


# ---------------------------------------------------------------------- predictions at the operating threshold


def thresholds(batches: Iterable[Batch], modality: str) -> dict[str, float]:
    """Round -> operating threshold of its model of a modality."""
    done = [(batch.round, batch.steps.evaluate) for batch in life.evaluated(batches)]
    figures = [(name, one.figures[modality]) for name, one in done if one and modality in one.figures]
    return {name: one.operating.threshold for name, one in figures}


def shown(field: str, at: Mapping[str, float]) -> Document:
    """An expression for MongoDB: the predictions of `field` at or above the threshold of the round that they say they are of.
    Those of no known round are all kept; null where there is no field."""
    cases = [{"case": {"$eq": ["$$one.round", name]}, "then": value} for name, value in sorted(at.items())]
    least = {"$switch": {"branches": cases, "default": None}} if cases else None
    enough = {"$or": [{"$eq": [least, None]}, {"$gte": ["$$one.confidence", least]}]}
    kept = {"$filter": {"input": f"${field}.detections", "as": "one", "cond": enough}}
    there = {"$isArray": [f"${field}.detections"]}
    return {"$cond": [there, {"_cls": "Detections", "detections": kept}, None]}


# ---------------------------------------------------------------------- clouds


def scene_file(cloud: Path, target: Path) -> Path:
    """Writes a FiftyOne scene (`.fo3d`) that draws one cloud, coloured by height, from above and behind the sensor: x ahead,
    z up. The same cloud gives the same bytes. Nothing of the cloud is copied."""
    still = {"visible": True, "position": [0.0] * 3, "quaternion": [0.0, 0.0, 0.0, 1.0], "scale": [1.0] * 3}
    material = {"_type": "PointCloudMaterial", "shadingMode": "height", "customColor": "#ffffff"}
    points = {
        **{"_type": "PointCloud", "uuid": _uuid(cloud, "points"), "name": "cloud", **still, "children": []},
        **{"pcdPath": str(cloud), "centerGeometry": False, "flagForProjection": False},
        "defaultMaterial": {**material, "pointSize": 2.0, "attenuateByDistance": False, "opacity": 1.0},
    }
    lens = {"aspect": None, "up": "Z", "fov": 50.0, "near": 0.1, "far": 2000.0}
    scene = {
        **{"_type": "Scene", "uuid": _uuid(cloud, "scene"), "name": "Scene", **still, "children": [points]},
        **{"__FO3D_VERSION": "1.0", "lights": None, "background": None},
        "camera": {"position": [-18.0, 0.0, 14.0], "lookAt": [12.0, 0.0, -1.0], **lens},
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, json.dumps(scene).encode())
    return target


def _uuid(cloud: Path, part: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{part} of {cloud}"))


# ---------------------------------------------------------------------- showing it


def show(workspace: Workspace, writer: Writer) -> None:
    """Brings the App's part of the dataset up to date; doing it again changes nothing."""
    show_clouds(workspace, writer)
    show_cuboids(workspace, writer)
    show_predictions(workspace, writer)
    configure(workspace, writer)
    show_map(workspace, writer)


def show_clouds(workspace: Workspace, writer: Writer) -> None:
    """Gives every cloud that the App would draw black a scene file; those that have one are not looked at."""
    scenes = workspace.scenes
    for channel in workspace.rig.clouds:
        query = {**_slice(workspace, channel.name), SCENE: None, "filepath": {"$regex": r"\.pcd$"}}
        docs = scenes.dataset._sample_collection.find(query, {"_id": 0, KEY: 1, "filepath": 1})
        paths = {str(doc[KEY]): Path(doc["filepath"]) for doc in docs if doc.get(KEY)}
        if not paths:
            continue
        _declare(workspace, SCENE)
        values = {}
        for key, cloud in sorted(paths.items()):
            place = hashlib.blake2b(str(cloud).encode(), digest_size=6).hexdigest()
            target = workspace.home / "scenes_3d" / f"{cloud.stem}-{place}.fo3d"
            values[key] = {SCENE: str(target if target.exists() else scene_file(cloud, target))}
        scenes.write(channel.name, values, writer)


def show_cuboids(workspace: Workspace, writer: Writer) -> None:
    """Gives cuboids an empty 2D box, as FiftyOne's own have: without one, the App's grid of a cloud slice is an error page."""
    lacks = {"bounding_box": {"$exists": False}}
    for channel in workspace.rig.clouds:
        for field in (channel.human, channel.golden, channel.opinions, channel.predictions):
            workspace.scenes.dataset._sample_collection.update_many(
                {
                    **_slice(workspace, channel.name),
                    f"{field}.detections": {"$elemMatch": lacks},
                    FENCE: {"$lte": writer.token},
                },
                {
                    "$set": {f"{field}.detections.$[one].bounding_box": [], FENCE: writer.token},
                    "$currentDate": {"last_modified_at": True},
                },
                array_filters=[{f"one.{name}": how for name, how in lacks.items()}],
            )
    _not_overtaken(workspace, writer, "cuboids")


def show_predictions(workspace: Workspace, writer: Writer) -> None:
    """Writes those predictions that are at or above the operating threshold into a field of their own, where it differs."""
    batches = workspace.journal.batches.all()
    for channel in workspace.rig.labelled:
        field, at = channel.predictions, thresholds(batches, channel.modality)
        if not at:
            continue
        _declare(workspace, sure(field))
        wanted = shown(field, at)
        there = {"$ifNull": [f"${sure(field)}", None]}
        workspace.scenes.dataset._sample_collection.update_many(
            {
                **_slice(workspace, channel.name),
                "$or": [{field: {"$ne": None}}, {sure(field): {"$ne": None}}],
                "$expr": {"$ne": [there, wanted]},
                FENCE: {"$lte": writer.token},
            },
            [{"$set": {sure(field): wanted, FENCE: writer.token, "last_modified_at": "$$NOW"}}],
        )
    _not_overtaken(workspace, writer, "predictions")


def _slice(workspace: Workspace, channel: str) -> Document:
    """A filter for the samples of a channel."""
    scenes = workspace.scenes
    return {f"{scenes.dataset.group_field}.name": channel} if scenes.grouped else {}


def _declare(workspace: Workspace, name: str) -> None:
    """Adds a field to the schema: a value of one that FiftyOne does not know keeps it from loading the sample."""
    import fiftyone as fo

    dataset = workspace.scenes.dataset
    if name in dataset.get_field_schema():
        return
    if name == SCENE:
        dataset.add_sample_field(name, fo.StringField)
    else:
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)


# ---------------------------------------------------------------------- settings of the dataset


def configure(workspace: Workspace, writer: Writer) -> None:
    """Writes the App's settings, where they are not what they should be, in one update. Reads the dataset's document alone."""
    import fiftyone.core.odm as foo

    dataset, datasets = workspace.scenes.dataset, foo.get_db_conn().datasets
    doc = datasets.find_one({"_id": dataset._doc.id}, {"app_config": 1, "sample_fields": 1}) or {}
    config, rig, fields = workspace.config, workspace.rig, _fields(dataset)
    change = _changes(
        doc.get("app_config") or {},
        {
            "color_scheme": color_scheme(config, rig),
            "active_fields": {"paths": active_fields(config, rig, fields)},
            "sidebar_groups": sidebar_groups(config, rig, fields, workspace.journal.batches.all()),
            "media": _media(SCENE in fields),
        },
    )
    if "app_config.color_scheme" in change:
        from bson import ObjectId

        made = hashlib.sha256(f"{dataset._doc.id} colours".encode()).digest()[:12]
        change["app_config.color_scheme"] = {"_id": ObjectId(made), **change["app_config.color_scheme"]}
    said = descriptions(config.fields)
    untold = {
        str(one["name"])
        for one in doc.get("sample_fields") or []
        if one["name"] in said and not one.get("description")
    }
    filters = []
    for place, name in enumerate(sorted(untold)):
        change[f"sample_fields.$[f{place}].description"] = said[name]
        filters.append({f"f{place}.name": name})
    if not change:
        return
    query = {"_id": dataset._doc.id, "$or": [{FENCE: {"$lte": writer.token}}, {FENCE: None}]}
    if datasets.update_one(query, {"$set": change}, array_filters=filters or None).matched_count != 1:
        raise _overtaken(workspace, writer, "the App's settings")
    dataset.reload()


def _media(clouds: bool) -> Document:
    """Which field the App draws from: pictures have no scene file, and are drawn as they are."""
    fields = ["filepath", *([SCENE] if clouds else [])]
    return {"media_fields": fields, "modal_media_field": fields[-1], "media_fallback": clouds}


def _changes(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> Document:
    """What must be set of the App's settings. A part that somebody else has set stays as it is."""
    marks = dict((there.get("plugins") or {}).get(MARK) or {})
    before, change = dict(marks), {}
    for part, value in wanted.items():
        now = {name: there.get(name) for name in value} if part == "media" else there.get(part)
        if _spelled(part, now) == _spelled(part, value):
            if marks.get(part) != _spelled(part, value):
                marks[part] = _spelled(part, value)
        elif _is_free(part, now) or _spelled(part, now) == marks.get(part):
            marks[part] = _spelled(part, value)
        else:
            continue
        if now != value and not (part == "color_scheme" and _spelled(part, now) == _spelled(part, value)):
            for name, one in value.items() if part == "media" else ((part, value),):
                change[f"app_config.{name}"] = one
    if marks != before:
        change[f"app_config.plugins.{MARK}"] = marks
    return change


def _is_free(part: str, now: Any) -> bool:
    """Whether nobody has set a part: FiftyOne fills the sidebar itself when an evaluation wants a group there."""
    if part == "media":
        return bool(_spelled(part, now) == _spelled(part, _media(False)))
    if part == "sidebar_groups" and now:
        default = {"tags", "metadata", "labels", "group", "primitives", "other"}
        return all(
            one.get("expanded") is None and (one["name"] in default or re.match(EVALUATION, one["name"]))
            for one in now
        )
    return not now


def _spelled(part: str, value: Any) -> str:
    """What a part says, in short. Fields of evaluations come and go without anybody's will, and do not count."""
    if part == "sidebar_groups":
        value = [
            [one["name"], one.get("expanded"), [path for path in one["paths"] if not _is_scored(path)]]
            for one in value or ()
        ]
        value = [one for one in value if one[2] and not _is_scored(one[0])]
    elif isinstance(value, Mapping):
        value = {name: one for name, one in value.items() if name != "_id" and one is not None}
    return digest(value)[:16]


def _is_scored(path: str) -> bool:
    return re.match(EVALUATION, path) is not None


def _fields(dataset: Any) -> dict[str, Kind]:
    """Path -> kind, of all fields of the samples; parts of a document (`metadata.width`) on their own."""
    import fiftyone as fo

    plain = (
        *(fo.ObjectIdField, fo.IntField, fo.FloatField, fo.StringField, fo.BooleanField),
        *(fo.DateField, fo.DateTimeField),
    )
    out: dict[str, Kind] = {}
    for name, field in dataset.get_field_schema().items():
        if name == "tags":
            continue
        if not isinstance(field, fo.EmbeddedDocumentField):
            out[name] = "primitive" if isinstance(field, plain) else "other"
        elif issubclass(field.document_type, fo.Label):
            out[name] = "label"
        else:
            out |= {f"{name}.{part}": "primitive" for part in field.get_field_schema()}
    return out


# ---------------------------------------------------------------------- the map of embeddings


@dataclass(frozen=True)
class _Map:
    """Scenes on the map and where they are; `mark`: what the map was made from."""

    points: dict[str, Any]
    mark: str


def show_map(workspace: Workspace, writer: Writer) -> None:
    """Registers where the embeddings of pool, val and golden lie in the plane of most variance, when they have changed."""
    steps = workspace.journal.loop().steps
    if steps.embed is None or not workspace.is_split():
        return
    dataset, mark = workspace.scenes.dataset, f"{steps.embed.fingerprint} {workspace.config.primary}"
    if _is_mapped(dataset, mark):
        return
    made = _map(workspace, mark)
    if len(made.points) < 3:
        return
    _not_overtaken(workspace, writer, "the map of embeddings")
    import fiftyone.brain as fob

    seen = dataset.select_group_slices([workspace.config.primary]) if workspace.scenes.grouped else dataset
    fob.compute_visualization(
        seen, points=made.points, method="manual", brain_key=MAP, progress=False, **{MARK: mark}
    )


def _is_mapped(dataset: Any, mark: str) -> bool:
    """Whether the run is there, whole, and of these embeddings. One that was interrupted has no results."""
    if MAP not in dataset.list_brain_runs():
        return False
    try:
        same = getattr(dataset.get_brain_info(MAP).config, MARK, None) == mark
        return same and dataset._doc.brain_methods[MAP].results.grid_id is not None
    except (AttributeError, KeyError, ValueError):
        return False


def _map(workspace: Workspace, mark: str) -> _Map:
    """Where each scene with a usable vector lies, by the id of its primary sample."""
    keys = workspace.members("pool", "val", "golden")
    workspace.not_test(keys, "the map of embeddings")
    try:
        vectors = workspace.scenes.vectors(keys, workspace.config.fields.embeddings)
    except SwathError:  # of different lengths: `embed` puts it right
        return _Map({}, mark)
    good = usable(vectors)
    xy, _ = plane(vectors[good])
    query = {**_slice(workspace, workspace.config.primary), KEY: {"$gt": ""}}
    ids = {
        doc[KEY]: str(doc["_id"]) for doc in workspace.scenes.dataset._sample_collection.find(query, {KEY: 1})
    }
    there = [key for key, fine in zip(keys, good, strict=True) if fine]
    return _Map({ids[key]: xy[row] for row, key in enumerate(there) if key in ids}, mark)


# ---------------------------------------------------------------------- the fence


def _not_overtaken(workspace: Workspace, writer: Writer, what: str) -> None:
    if workspace.journal.lease.fenced(writer):
        raise _overtaken(workspace, writer, what)


def _overtaken(workspace: Workspace, writer: Writer, what: str) -> FencedError:
    return FencedError(
        f"{workspace.name}: {writer.operation} lost the dataset to another process before it wrote {what}; "
        "the rest was not written; run it again"
    )
