"""FiftyOne's own evaluations `eval_vN`, for the App: what the journal says of a round's model, object by object.

Computed from the reference, the predictions and the operating threshold of the record, whenever it is missing; written in the
form that `dataset.evaluate_detections` gives it, but without its slow loop, and fenced:

    eval_vN, eval_vN_id, eval_vN_iou       of each object: tp, fp or fn, and its partner
    eval_vN_tp, eval_vN_fp, eval_vN_fn     of each sample, counts
    eval_vN                                the run, for the panel Model Evaluation, with mAP as the record has it

The failures of a round are those of its mined modality, and so is `eval_vN`; a second modality has `eval_vN_3d`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from swath import life, models
from swath.config import digest
from swath.errors import FormatError, IntegrityError, SwathError, some
from swath.formats.readable import broken
from swath.kernels import boxes as box_kernel
from swath.kernels import cuboids as cuboid_kernel
from swath.kernels.detection import (
    MOST,
    OVERLAPS,
    RECALLS,
    Curves,
    Matched,
    Predictions,
    References,
    detection_curves,
    match_images,
)
from swath.kernels.detection3d import (
    OVERLAPS_3D,
    Predictions3D,
    References3D,
    cuboid_curves,
    match_scenes,
    type_mistakes_3d,
)
from swath.kernels.mistakes import Mistakes, type_mistakes
from swath.labels import schema, stored
from swath.labels.channels import Channel, Rig
from swath.labels.shapes import Boxes, Cuboids, Labels, Modality, known
from swath.records.base import Document
from swath.records.batch import Batch, Evaluated, TrainedModel
from swath.records.shown import Difference
from swath.store.journal.lease import Writer
from swath.store.runs import Runs
from swath.store.scenes import DONT_CARE, KEY, LARGE
from swath.trainers import make

if TYPE_CHECKING:
    from swath.workspace import Workspace

MARK: Final = "swath"  # what a run was made from; a run without it is FiftyOne's own, or of swath 0.1.0
THRESHOLD: Final = "Score threshold of TP, FP, FN"  # what the panel calls it
Found = Predictions | Predictions3D


# ---------------------------------------------------------------------- reference and predictions


@dataclass(frozen=True, eq=False)
class Truth:
    """The reference of one channel of a scene: its labels as they are stored; the `rows` (m,) that count, which are finite and
    of a class, and their positions (m,) in the class map; areas of an image (k, 4) px to leave alone."""

    key: str
    channel: Channel
    size: tuple[int, int]
    labels: Labels
    rows: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    dont_care: npt.NDArray[np.float64]

    @property
    def documents(self) -> list[Mapping[str, Any]]:
        """The stored labels that count."""
        return [self.labels.documents[row] for row in self.rows]

    @property
    def digest(self) -> str:
        """Of what counts of the reference: two rounds with the same one were scored on the same."""
        return digest([self.positions.tolist(), self.labels.shapes[self.rows].round(6).tolist()])[:12]

    @property
    def references(self) -> References | References3D:
        shapes = self.labels.shapes[self.rows]
        if self.channel.modality == "2d":
            return References(shapes, self.positions)
        return References3D(shapes, self.positions)


def truths(
    workspace: Workspace, keys: Sequence[str], modality: str, fields: Sequence[str] = ()
) -> list[Truth]:
    """The reference of every labelled channel of a modality in the scenes that have one, by key, in the rig's order. `fields`: take the
    first of these that has labels for it; an empty list of labels is one."""
    table, classes = workspace.scenes.of(keys), workspace.config.classes
    channels = [channel for channel in workspace.rig.labelled if channel.modality == modality]
    there: dict[tuple[str, str], Truth] = {}
    for channel in channels:
        here = [key for key in table.known(keys) if table.has(channel.name, key)]
        sources = fields or [channel.human]
        docs = workspace.scenes.values(channel.name, here, [*sources, DONT_CARE])
        for key, doc in zip(here, docs, strict=True):
            source = next((one for one in sources if doc.get(one) is not None), None)
            if source is not None:
                size = table.size(channel.name, key)
                labels = stored.read(modality, doc[source], size)
                areas = stored.read("2d", doc.get(DONT_CARE), size).shapes
                there[key, channel.name] = Truth(key, channel, size, labels, *known(labels, classes), areas)
    places = [(key, channel.name) for key in keys for channel in channels]
    return [there[place] for place in places if place in there]


def readable(workspace: Workspace, listed: Sequence[Truth]) -> list[Truth]:
    """Those whose file can be read, to go on with: all of them where none of the others may be left out (`formats.readable`)."""
    table = workspace.scenes.of({one.key for one in listed})
    paths = [table.path(one.channel.name, one.key) for one in listed]
    bad = set(broken(paths, listed[0].channel.kind)) if listed else set()
    return [one for i, one in enumerate(listed) if i not in bad]


def predict(
    workspace: Workspace,
    batch: Batch,
    listed: Sequence[Truth],
    modality: Modality,
    notes: list[str] | None = None,
) -> list[Found]:
    """What the model of a round sees in the media of a reference; `notes` gets what its trainer has to say of it."""
    trained = batch.steps.train
    model = trained.of(modality) if trained else None
    if model is None:
        raise SwathError(f"{batch.round} has no {modality} model")
    return predict_with(workspace, model, listed, notes)


def predict_with(
    workspace: Workspace, model: TrainedModel, listed: Sequence[Truth], notes: list[str] | None = None
) -> list[Found]:
    """What a model sees in the media of a reference; see `predict`."""
    table = workspace.scenes.of({one.key for one in listed})
    media = [table.path(one.channel.name, one.key) for one in listed]
    what = "images" if model.modality == "2d" else "clouds"
    trainer = make(workspace.config.train, model.modality, model.trainer)
    found = trainer.predict(
        models.load(workspace.home, model),
        media,
        progress=workspace.progress(f"predict {len(media)} {what}"),
    )
    if notes is not None:
        notes += trainer.notes
    return list(found)


def predict_readable(
    workspace: Workspace, batch: Batch, truths: Sequence[Truth], modality: Modality, notes: list[str]
) -> tuple[Sequence[Truth], Sequence[Found]]:
    """What the model sees; without the scenes whose file cannot be read, which a note names."""
    try:
        return truths, predict(workspace, batch, truths, modality, notes)
    except FormatError as error:
        whole = readable(workspace, truths)
        if len(whole) == len(truths):
            raise workspace.away(error) from error
        lost = sorted({one.key for one in truths} - {one.key for one in whole})
        notes.append(f"{len(lost)} scenes have a file that cannot be read, and are left out: {some(lost)}")
        return whole, predict(workspace, batch, whole, modality, notes)


def labels_of(found: Found, classes: Sequence[str]) -> Labels:
    """Predictions of one sample as labels."""
    names = tuple(classes[label] for label in found.labels)
    return Boxes(found.boxes, names) if isinstance(found, Predictions) else Cuboids(found.cuboids, names)


def documents(rig: Rig, classes: Sequence[str], name: str, truth: Truth, found: Found) -> list[Document]:
    """Predictions of round `name` as FiftyOne stores them; their ids are a function of round, scene, channel and place."""
    labels = labels_of(found, classes)
    first = next((channel for channel in rig.labelled if channel.kind == "image"), rig.labelled[0])
    identity = [truth.key, name, "prediction", *(() if truth.channel == first else (truth.channel.name,))]
    return stored.documents_of(
        labels, truth.size, identity, confidence=[float(score) for score in found.scores], round=name
    )


def overlap(found: Found, truth: Truth, *, volumes: bool = False) -> npt.NDArray[np.float64]:
    """(n, m) IoU of each prediction with each object of the reference: of boxes, or of footprints; or of `volumes`."""
    wanted = truth.labels.shapes[truth.rows]
    if isinstance(found, Predictions):
        return box_kernel.iou(found.boxes, wanted)
    iou = cuboid_kernel.iou if volumes else cuboid_kernel.bev_iou
    return iou(cuboid_kernel.yawed(found.cuboids), cuboid_kernel.yawed(wanted))


def matched(
    found: Sequence[Found],
    wanted: Sequence[References | References3D],
    classes: int,
    by: Literal["bev", "3d"] = "bev",
) -> tuple[Sequence[Matched], npt.NDArray[np.float64] | None]:
    """Matches by class: of boxes, with pycocotools' AP (classes, T); of cuboids `by` footprints or volumes."""
    if any(isinstance(one, Predictions3D) for one in found):
        solid = [one for one in found if isinstance(one, Predictions3D)]
        cuboids = [one for one in wanted if isinstance(one, References3D)]
        return match_scenes(
            solid, cuboids, np.broadcast_to(OVERLAPS_3D, (classes, len(OVERLAPS_3D))), by
        ), None
    flat = [one for one in found if isinstance(one, Predictions)]
    return match_images(flat, [one for one in wanted if isinstance(one, References)], classes)


def mistakes(found: Found, wanted: References | References3D, threshold: float, iou: float) -> Mistakes:
    """What is wrong with predictions at or above a score."""
    if isinstance(found, Predictions) and isinstance(wanted, References):
        return type_mistakes(found, wanted, threshold, found_at=iou)
    if isinstance(found, Predictions3D) and isinstance(wanted, References3D):
        return type_mistakes_3d(found, wanted, threshold, found_at=iou)
    raise TypeError(f"predictions {type(found).__name__} against {type(wanted).__name__}")


# ---------------------------------------------------------------------- showing


def show(workspace: Workspace, writer: Writer, batch: Batch) -> None:
    """Makes the evaluations of a round that are missing in FiftyOne. One that can't be made, since its model is gone, stays
    missing: `differences` says so."""
    for run in _runs(workspace, [batch]):
        if not run.is_shown():
            with suppress(_Gone):
                run.show(writer)


def forget(workspace: Workspace, writer: Writer, batch: Batch) -> None:
    """Takes evaluations with the names of this round's off the list, whosever they are: it is about to have new ones."""
    keys = [f"eval_{batch.round}", f"eval_{batch.round}_3d"]
    _listed(workspace).forget(keys, writer)
    workspace.scenes.refresh()


def differences(workspace: Workspace) -> list[Difference]:
    """Evaluations that FiftyOne lacks, or has otherwise."""
    missing = (run for run in _runs(workspace, workspace.journal.batches.all()) if not run.is_shown())
    return [
        Difference(f"evaluation {run.key}", "", "run", "as journaled", "missing or changed")
        for run in missing
    ]


def _listed(workspace: Workspace) -> Runs:
    return Runs(workspace.scenes.dataset, "evaluations")


class _Gone(Exception):
    """The predictions of a round are not there any more, nor its model to make them again."""


def _runs(workspace: Workspace, batches: Iterable[Batch]) -> list[_Run]:
    """The evaluations that rounds must have."""
    return [
        _Run(workspace, batch, batch.steps.evaluate, modality)
        for batch in life.evaluated(batches)
        if batch.steps.evaluate is not None and batch.steps.evaluate.on == "val"
        for modality in ("2d", "3d")
        if modality in batch.steps.evaluate.figures
    ]


class _Run:
    """One evaluation, of one round and modality."""

    def __init__(self, workspace: Workspace, batch: Batch, done: Evaluated, modality: Modality) -> None:
        self._workspace, self._batch, self._done, self._modality = workspace, batch, done, modality
        self.key = f"eval_{batch.round}" + ("" if modality == done.modality else f"_{modality}")
        figures = done.figures[modality]
        self._threshold = figures.operating.threshold
        self._mark = digest([done.round, modality, figures.model_dump(mode="json", exclude_defaults=True)])[
            :16
        ]
        fields, flat = workspace.config.fields, modality == "2d"
        self._human = fields.detections if flat else fields.cuboids
        self._predictions = fields.predictions if flat else fields.predictions_3d

    # ------------------------------------------------------------------ is it there?

    def is_shown(self) -> bool:
        """Whether FiftyOne has it, whole."""
        dataset = self._workspace.scenes.dataset
        if any(name not in dataset.get_field_schema() for name in self._counts(0, 0, 0)):
            return False
        run = _listed(self._workspace).get(self.key)
        if run is None:
            return False
        config = run.get("config") or {}
        fits = (config.get("pred_field"), config.get("gt_field")) == (self._predictions, self._human)
        whole = (
            bool(config.get("compute_mAP")) or not self._has_model()
        )  # 0.1.0 and FiftyOne list some without mAP
        return fits and whole and config.get(MARK, self._mark) == self._mark

    def _has_model(self) -> bool:
        """Whether the model is there, so that the evaluation can be made again."""
        trained = self._batch.steps.train
        model = trained.of(self._modality) if trained else None
        if model is None:
            return False
        try:
            models.load(self._workspace.home, model)
        except IntegrityError:
            return False
        return True

    def _counts(self, tp: int, fp: int, fn: int) -> dict[str, int]:
        return {f"{self.key}_tp": tp, f"{self.key}_fp": fp, f"{self.key}_fn": fn}

    # ------------------------------------------------------------------ making it

    def _fields(self) -> dict[str, dict[str, Any]]:
        """The fields of an evaluation of FiftyOne's: counts of a sample, and of each label what it is, its partner and their IoU."""
        import fiftyone as fo

        kinds: dict[str, Any] = {name: fo.IntField for name in self._counts(0, 0, 0)}
        for labels in (self._human, self._predictions):
            path = f"{labels}.detections.{self.key}"
            kinds |= {path: fo.StringField, f"{path}_id": fo.StringField, f"{path}_iou": fo.FloatField}
        return {path: {"ftype": kind} for path, kind in kinds.items()}

    def show(self, writer: Writer) -> None:
        """Writes fields, run and results; the run is listed last."""
        from fiftyone.utils.eval.coco import COCOEvaluationConfig

        workspace, iou = self._workspace, self._workspace.config.evaluate.iou
        listed = truths(workspace, workspace.members("val"), self._modality)
        if not listed:
            raise _Gone
        try:
            predicted, is_stored = self._predicted(listed)
        except _Gone:
            whole = readable(workspace, listed)
            if len(whole) == len(listed):
                raise
            listed = whole
            predicted, is_stored = self._predicted(listed)
        overlaps = OVERLAPS.tolist() if self._modality == "2d" else list(OVERLAPS_3D[1:])
        config = COCOEvaluationConfig(
            *(self._predictions, self._human),
            **{"iou": iou, "classwise": True, MARK: self._mark},
            **{"compute_mAP": True, "iou_threshs": overlaps, "max_preds": MOST},
        )
        view = self._view(listed)
        schema.declare(workspace.scenes.dataset, self._fields())  # before there is a value
        found = [self._found(labels) for labels in predicted]
        compared = [
            self._compare(truth, labels, one, iou)
            for truth, labels, one in zip(listed, predicted, found, strict=True)
        ]
        self._write_fields(writer, listed, compared, is_stored)
        matches = [match for one in compared for match in one.matches]
        results = self._results(view, config, matches, self._curves(listed, found))
        _listed(workspace).put(self.key, results, view, writer)
        workspace.journal.lease.barrier(writer)
        workspace.scenes.dataset._evaluation_cache.pop(self.key, None)
        workspace.scenes.refresh()

    def _predicted(self, listed: Sequence[Truth]) -> tuple[list[Labels], bool]:
        """The predictions of the round, and whether they are the stored ones: those of later rounds are written over them, and
        then they are made again."""
        stored_ones = self._stored(listed)
        if stored_ones is not None:
            return stored_ones, True
        workspace, name = self._workspace, self._batch.round
        try:
            found = predict(workspace, self._batch, listed, self._modality)
        except SwathError as error:
            raise _Gone from error
        return [
            stored.read(
                self._modality,
                stored.field_of(documents(workspace.rig, workspace.config.classes, name, truth, one)),
                truth.size,
            )
            for truth, one in zip(listed, found, strict=True)
        ], False

    def _stored(self, listed: Sequence[Truth]) -> list[Labels] | None:
        """The stored predictions, if they are of this round."""
        name = self._batch.round
        there: dict[tuple[str, str], Document | None] = {}
        for channel in {one.channel.name: one.channel for one in listed}.values():
            keys = [one.key for one in listed if one.channel == channel]
            docs = self._workspace.scenes.values(channel.name, keys, [channel.predictions])
            there |= {
                (key, channel.name): doc.get(channel.predictions) for key, doc in zip(keys, docs, strict=True)
            }
        fields = [there[one.key, one.channel.name] for one in listed]
        alien = any(one.get("round") != name for field in fields for one in stored.detections(field))
        if alien or any(field is None for field in fields):
            return None
        return [
            stored.read(self._modality, field, one.size) for one, field in zip(listed, fields, strict=True)
        ]

    def _found(self, labels: Labels) -> Found:
        """The predictions that count: finite ones, of a class."""
        rows, positions = known(labels, self._workspace.config.classes)
        scores = np.array([float(labels.documents[row].get("confidence") or 0.0) for row in rows])
        shape: type[Found] = Predictions if self._modality == "2d" else Predictions3D
        return shape(labels.shapes[rows], scores, positions)

    def _curves(self, listed: Sequence[Truth], found: Sequence[Found]) -> Curves:
        wanted, classes = [one.references for one in listed], len(self._workspace.config.classes)
        if self._modality == "2d":
            return detection_curves(
                [one for one in found if isinstance(one, Predictions)],
                [one for one in wanted if isinstance(one, References)],
                classes,
            )
        return cuboid_curves(
            [one for one in found if isinstance(one, Predictions3D)],
            [one for one in wanted if isinstance(one, References3D)],
            classes,
        )

    def _compare(self, truth: Truth, labels: Labels, found: Found, iou: float) -> _Compared:
        """Matches one sample's predictions, as FiftyOne would: class by class, best first."""
        rows, _ = known(labels, self._workspace.config.classes)
        scores, shared = found.scores, overlap(found, truth)
        wrong = mistakes(found, truth.references, self._threshold, iou)
        out = _Compared(self.key)
        taken: dict[int, int] = {}
        for row, kind, partner in zip(wrong.kept, wrong.kinds, wrong.partner, strict=True):
            mine = labels.documents[rows[row]]
            if kind == "right":
                taken[int(partner)] = int(row)
                other = truth.labels.documents[truth.rows[partner]]
                out.pair(other, mine, float(shared[row, partner]), float(scores[row]))
            else:
                out.alone(mine, "fp", float(scores[row]))
        for row in range(len(truth.rows)):
            if row not in taken:
                out.alone(truth.labels.documents[truth.rows[row]], "fn")
        return out

    def _view(self, listed: Sequence[Truth]) -> Any:
        """The samples, with the predictions that count."""
        from fiftyone import ViewField as F

        scenes = self._workspace.scenes
        slices = sorted({one.channel.name for one in listed})
        whole = scenes.dataset.select_group_slices(slices) if scenes.grouped else scenes.dataset
        keys = sorted({one.key for one in listed})
        chosen = whole.match_tags("split:val") if len(keys) > LARGE else whole.match(F(KEY).is_in(keys))
        sure = F("confidence") >= self._threshold
        return chosen.filter_labels(self._predictions, sure, only_matches=False)

    def _write_fields(
        self, writer: Writer, listed: Sequence[Truth], compared: Sequence[_Compared], is_stored: bool
    ) -> None:
        values: dict[str, dict[str, Document]] = {}
        for truth, one in zip(listed, compared, strict=True):
            changes: Document = {**self._counts(one.tp, one.fp, one.fn)}
            changes[self._human] = _merged(self._human, one.of_reference)
            if is_stored:
                changes[self._predictions] = _merged(self._predictions, one.of_predictions)
            values.setdefault(truth.channel.name, {})[truth.key] = changes
        for name, changed in values.items():
            self._workspace.scenes.write(name, changed, writer, by_pipeline=True)

    def _results(self, view: Any, config: Any, matches: Sequence[Any], curves: Curves) -> Any:
        """FiftyOne's results: matches at the operating threshold, and the curves that mAP is the mean of, of all scores."""
        from fiftyone.utils.eval.coco import COCODetectionResults

        precision, recall = (
            np.nan_to_num(one, nan=-1.0).round(6).tolist() for one in (curves.precision, curves.recall)
        )
        at = {"key": "threshold", "value": self._threshold, "lower_is_better": False}
        return COCODetectionResults(
            view,
            config,
            self.key,
            list(matches),
            precision,
            RECALLS.tolist(),
            config.iou_threshs,
            list(self._workspace.config.classes),
            recall_sweep=recall,
            custom_metrics={"swath/threshold": {**at, "label": THRESHOLD}},
            backend=config.build(),
        )


class _Compared:
    """One sample: what its objects get written (with their ids), and the matches as FiftyOne's results hold them:
    (class of the reference, class predicted, IoU, confidence, id of the reference, id of the prediction)."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.of_reference: list[Document] = []
        self.of_predictions: list[Document] = []
        self.matches: list[tuple[Any, ...]] = []
        self.tp = self.fp = self.fn = 0

    def pair(self, truth: Any, mine: Any, iou: float, score: float) -> None:
        self.tp += 1
        more = {f"{self._key}_iou": iou}
        self.of_reference.append(self._said(truth, "tp", str(mine["_id"])) | more)
        self.of_predictions.append(self._said(mine, "tp", str(truth["_id"])) | more)
        ids = str(truth["_id"]), str(mine["_id"])
        self.matches.append((truth["label"], mine["label"], iou, score, *ids))

    def alone(self, one: Any, what: str, score: float | None = None) -> None:
        if what == "fn":
            self.fn += 1
            self.of_reference.append(self._said(one, what))
            self.matches.append((one["label"], None, None, None, str(one["_id"]), None))
        else:
            self.fp += 1
            self.of_predictions.append(self._said(one, what))
            self.matches.append((None, one["label"], None, score, None, str(one["_id"])))

    def _said(self, one: Any, what: str, partner: str = "") -> Document:
        return {"_id": one["_id"], self._key: what, f"{self._key}_id": partner}


def _merged(field: str, rows: Sequence[Document]) -> Document:
    """A pipeline expression: the labels of a field, each with what `rows` say of its id. Labels that were moved, added or
    removed meanwhile stay as they are."""
    mine = {
        "$filter": {
            "input": {"$literal": list(rows)},
            "as": "row",
            "cond": {"$eq": ["$$row._id", "$$one._id"]},
        }
    }
    labels = {
        "$map": {
            "input": f"${field}.detections",
            "as": "one",
            "in": {"$mergeObjects": ["$$one", {"$arrayElemAt": [mine, 0]}]},
        }
    }
    there = {"$isArray": [f"${field}.detections"]}
    return {"$cond": [there, {"$mergeObjects": [f"${field}", {"detections": labels}]}, f"${field}"]}
