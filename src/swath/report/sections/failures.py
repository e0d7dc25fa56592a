"""Where the model fails: val scenes with what it missed and what it made up, in the image and seen from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from swath.labels.channels import Channel
from swath.records.batch import Evaluated, Failure, Figures
from swath.report import above, overlays, pictures
from swath.report.known import Known
from swath.report.overlays import Overlay
from swath.report.pictures import Picture
from swath.workspace import Workspace

SHOWN: Final = 12  # failures with a picture
ROWS: Final = 500  # failures that are listed besides
LARGE: Final = 620  # width of a picture, pixels
Sizes = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class ErrorBar:
    """How many errors of one kind, their share of the most frequent kind, and what mending them would add to mAP50 (None: not
    known)."""

    kind: str
    name: str
    count: int
    share: float
    mending: float | None


@dataclass(frozen=True)
class FromAbove:
    """A cloud with what is drawn over it. `sensor`: where it stands; `rings`: (pixels, what it says), around it."""

    picture: Picture
    drawn: Overlay
    sensor: tuple[float, float]
    rings: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Shot:
    """A failure with its pictures, what is drawn over them, and what it is in words. `number`: its place among failures."""

    number: int
    failure: Failure
    drive: str
    camera: Picture | None
    drawn: Overlay
    above: FromAbove | None


@dataclass(frozen=True)
class Model:
    """What holds at the operating point: `found` of `references` objects; `wrong`: kinds of errors, the most frequent first."""

    modality: str
    figures: Figures
    references: int
    found: int
    wrong: tuple[ErrorBar, ...]


@dataclass(frozen=True)
class Failures:
    """`shown`: those with a picture, worst first; `cameras`: the labelled ones, the one that is shown first; `cloud`: the one
    that is seen from above; `solid`: whether a model looked at it."""

    round: str
    scenes: int
    drives: int
    count: int
    notable: int
    models: tuple[Model, ...]
    shown: tuple[Shot, ...]
    others: tuple[tuple[int, Failure], ...]
    cameras: tuple[str, ...]
    cloud: str
    solid: bool
    mined: str


def data(known: Known) -> Failures | None:
    record, rig = known.record, known.workspace.rig
    if record is None:
        return None
    found, number = known.failures, {one.key: nth for nth, one in enumerate(known.failures, 1)}
    camera = pictures.drawn(rig)
    cloud = next((one for one in rig.clouds if one.labelled), None)
    chosen = first(found) if camera is not None or cloud is not None else []
    picked = {one.key for one in chosen}
    labelled = [one.name for one in rig.images if one.labelled]
    ordered = [record.modality, *sorted(set(record.figures) - {record.modality})]
    return Failures(
        round=record.round,
        scenes=record.scenes,
        drives=known.drives_of_val,
        count=len(found),
        notable=sum(one.notable for one in found),
        models=tuple(_model(modality, record.figures[modality]) for modality in ordered),
        shown=tuple(_shots(known.workspace, camera, cloud, record, chosen, number)),
        others=tuple((number[one.key], one) for one in found if one.key not in picked)[:ROWS],
        cameras=tuple(sorted(labelled, key=lambda name: (camera is None or name != camera.name, name))),
        cloud=cloud.name if cloud else "",
        solid="3d" in record.figures,
        mined=record.modality,
    )


def first(found: Sequence[Failure]) -> list[Failure]:
    """Those with a picture: the notable ones, a few of each drive, worst first."""
    return [one for one in found if one.notable][:SHOWN]


def _model(modality: str, figures: Figures) -> Model:
    most = max(figures.errors.values(), default=0)
    ordered = sorted(figures.errors.items(), key=lambda one: (-one[1], one[0]))
    references = sum(one.references for one in figures.classes.values())
    return Model(
        modality,
        figures,
        references,
        round(figures.operating.recall * references),
        tuple(
            ErrorBar(
                kind, overlays.KINDS.get(kind, kind), n, n / most if most else 0.0, figures.mending.get(kind)
            )
            for kind, n in ordered
        ),
    )


def _shots(
    workspace: Workspace,
    camera: Channel | None,
    cloud: Channel | None,
    record: Evaluated,
    chosen: Sequence[Failure],
    number: dict[str, int],
) -> list[Shot]:
    keys = [one.key for one in chosen]
    photos, drawn = _photos(workspace, camera, record, keys)
    clouds = _clouds(workspace, cloud, record, keys)
    table = workspace.scenes.of(keys)
    return [
        Shot(
            number[one.key],
            one,
            table.drive(one.key) if one.key in table.row_of else "",
            photos.get(one.key),
            drawn.get(one.key, Overlay()),
            clouds.get(one.key),
        )
        for one in chosen
    ]


def _photos(
    workspace: Workspace, camera: Channel | None, record: Evaluated, keys: Sequence[str]
) -> tuple[dict[str, Picture], dict[str, Overlay]]:
    """The images that `camera` took, and what to draw over them."""
    if camera is None:
        return {}, {}
    loaded = pictures.load(workspace, camera, [(key, LARGE) for key in keys])
    images = {key: loaded[key, LARGE] for key in keys}
    table = workspace.scenes.of(keys)
    sizes: Sizes = {}
    for key, one in images.items():
        size = table.size(camera.name, key) if key in table.row_of else (0, 0)
        sizes[key] = size if min(size) > 0 else (one.width, one.height)
    drawn = {
        key: overlays.overlay(
            overlays.Photo(images[key].width, images[key].height, sizes[key]),
            one,
            workspace.config.classes,
            record.round,
        )
        for key, one in overlays.compare(workspace, camera, record, sizes).items()
    }
    return images, drawn


def _clouds(
    workspace: Workspace, cloud: Channel | None, record: Evaluated, keys: Sequence[str]
) -> dict[str, FromAbove]:
    """The clouds of these scenes from above."""
    if cloud is None:
        return {}
    table, out = workspace.scenes.of(keys), {}
    tick = workspace.progress("clouds of the report")
    compared = overlays.compare(workspace, cloud, record, dict.fromkeys(keys, (1, 1)))
    for done, (key, one) in enumerate(compared.items(), 1):
        on = above.ground(one.shown)
        out[key] = FromAbove(
            above.picture(table.path(cloud.name, key), on),
            overlays.overlay(on, one, workspace.config.classes, record.round),
            on.sensor,
            on.rings,
        )
        tick(done, len(compared))
    return out
