"""FiftyOne's own evaluations `eval_vN`, for the App: what the journal says of a round's model, object by object.

Computed from the reference, the predictions and the operating threshold of the record, whenever it is missing; written in the
form that `dataset.evaluate_detections` gives it, but without its slow loop, and fenced:

    eval_vN, eval_vN_id, eval_vN_iou       of each object: tp, fp or fn, and its partner
    eval_vN_tp, eval_vN_fp, eval_vN_fn     of each sample, counts
    eval_vN                                the run, for the panel Model Evaluation

The failures of a round are those of its mined modality, and so is `eval_vN`; a second modality has `eval_vN_3d`. A run is
known by its content. It is inserted first, and listed in the dataset last: what is in between, nobody sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from bson import ObjectId

from swath import life, models
from swath.config import digest
from swath.errors import FencedError, SwathError
from swath.kernels import boxes as box_kernel
from swath.kernels import cuboids as cuboid_kernel
from swath.kernels.detection import Predictions, References
from swath.kernels.detection3d import Predictions3D, References3D, type_mistakes_3d
from swath.kernels.mistakes import Mistakes, type_mistakes
from swath.labels import stored
from swath.labels.channels import Channel, Rig
from swath.labels.shapes import Boxes, Cuboids, Labels, Modality, known
from swath.records.base import Document
from swath.records.batch import Batch, Evaluated
from swath.records.shown import Difference
from swath.store.journal.lease import Writer
from swath.store.scenes import KEY, LARGE
from swath.store.views import FENCE
from swath.trainers import make

if TYPE_CHECKING:
    from swath.workspace import Workspace

MARK: Final = "swath"  # what a run was made from; a run without it is FiftyOne's own, or of swath 0.1.0
Found = Predictions | Predictions3D


# ---------------------------------------------------------------------- reference and predictions


@dataclass(frozen=True, eq=False)
class Truth:
    """The reference of one channel of a scene: its labels as they are stored; the `rows` (m,) that count, which are finite and
    of a class, and their positions (m,) in the class map."""

    key: str
    channel: Channel
    size: tuple[int, int]
    labels: Labels
    rows: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]

    @property
    def references(self) -> References | References3D:
        shapes = self.labels.shapes[self.rows]
        if self.channel.modality == "2d":
            return References(shapes, self.positions)
        return References3D(shapes, self.positions)


def truths(workspace: Workspace, keys: Sequence[str], modality: str) -> list[Truth]:
    """The reference of every labelled channel of a modality in the scenes that have one, by key, in the rig's order."""
    table, classes = workspace.scenes.of(keys), workspace.config.classes
    channels = [channel for channel in workspace.rig.labelled if channel.modality == modality]
    there: dict[tuple[str, str], Truth] = {}
    for channel in channels:
        here = [key for key in table.known(keys) if table.has(channel.name, key)]
        for key, doc in zip(here, workspace.scenes.values(channel.name, here, [channel.human]), strict=True):
            if doc.get(channel.human) is not None:
                size = table.size(channel.name, key)
                labels = stored.read(modality, doc[channel.human], size)
                there[key, channel.name] = Truth(key, channel, size, labels, *known(labels, classes))
    places = [(key, channel.name) for key in keys for channel in channels]
    return [there[place] for place in places if place in there]


def predict(workspace: Workspace, batch: Batch, listed: Sequence[Truth], modality: Modality) -> list[Found]:
    """What the model of a round sees in the media of a reference."""
    trained = batch.steps.train
    model = trained.of(modality) if trained else None
    if model is None:
        raise SwathError(f"{batch.round} has no {modality} model")
    table = workspace.scenes.of({one.key for one in listed})
    media = [table.path(one.channel.name, one.key) for one in listed]
    what = "images" if modality == "2d" else "clouds"
    return list(
        make(workspace.config.train, modality).predict(
            models.load(workspace.home, model),
            media,
            progress=workspace.progress(f"predict {len(media)} {what}"),
        )
    )


def documents(rig: Rig, classes: Sequence[str], name: str, truth: Truth, found: Found) -> list[Document]:
    """Predictions of round `name` as FiftyOne stores them; their ids are a function of round, scene, channel and place."""
    names = tuple(classes[label] for label in found.labels)
    labels: Labels = (
        Boxes(found.boxes, names) if isinstance(found, Predictions) else Cuboids(found.cuboids, names)
    )
    first = next((channel for channel in rig.labelled if channel.kind == "image"), rig.labelled[0])
    identity = [truth.key, name, "prediction", *(() if truth.channel == first else (truth.channel.name,))]
    return stored.documents_of(
        labels, truth.size, identity, confidence=[float(score) for score in found.scores], round=name
    )


def mistakes(found: Found, truth: Truth, threshold: float, iou: float) -> Mistakes:
    """What is wrong with predictions at or above a score."""
    wanted = truth.references
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
    there = [run for key in keys if (run := _listed(workspace, key)) is not None]
    _change_dataset(workspace, writer, {"$unset": {f"evaluations.{key}": "" for key in keys}})
    for run in there:
        _drop(run)
    workspace.scenes.refresh()


def differences(workspace: Workspace) -> list[Difference]:
    """Evaluations that FiftyOne lacks, or has otherwise."""
    missing = (run for run in _runs(workspace, workspace.journal.batches.all()) if not run.is_shown())
    return [
        Difference(f"evaluation {run.key}", "", "run", "as journaled", "missing or changed")
        for run in missing
    ]


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
        self._workspace, self._batch, self._modality = workspace, batch, modality
        self.key = f"eval_{batch.round}" + ("" if modality == done.modality else f"_{modality}")
        figures = done.figures[modality]
        self._threshold = figures.operating.threshold
        self._mark = digest([done.round, modality, figures.document()])[:16]
        fields, flat = workspace.config.fields, modality == "2d"
        self._human = fields.detections if flat else fields.cuboids
        self._predictions = fields.predictions if flat else fields.predictions_3d

    # ------------------------------------------------------------------ is it there?

    def is_shown(self) -> bool:
        """Whether FiftyOne has it, whole."""
        dataset = self._workspace.scenes.dataset
        if any(name not in dataset.get_field_schema() for name in self._counts(0, 0, 0)):
            return False
        run = _listed(self._workspace, self.key)
        if run is None or run.get("results") is None:
            return False
        config = run.get("config") or {}
        fits = (config.get("pred_field"), config.get("gt_field")) == (self._predictions, self._human)
        whole = _database().fs.files.find_one({"_id": run["results"]}, {"_id": 1}) is not None
        return fits and whole and config.get(MARK, self._mark) == self._mark

    def _counts(self, tp: int, fp: int, fn: int) -> dict[str, int]:
        return {f"{self.key}_tp": tp, f"{self.key}_fp": fp, f"{self.key}_fn": fn}

    # ------------------------------------------------------------------ making it

    def show(self, writer: Writer) -> None:
        """Writes fields, run and results; the run is listed last."""
        from fiftyone.utils.eval.coco import COCOEvaluationConfig

        workspace, iou = self._workspace, self._workspace.config.evaluate.iou
        listed = truths(workspace, workspace.members("val"), self._modality)
        if not listed:
            raise _Gone
        predicted, is_stored = self._predicted(listed)
        config = COCOEvaluationConfig(
            self._predictions, self._human, iou=iou, classwise=True, **{MARK: self._mark}
        )
        method = config.build()
        view = self._view(listed)
        method.register_samples(view, self.key)  # declares the fields: before there is a value
        compared = [
            self._compare(truth, labels, iou) for truth, labels in zip(listed, predicted, strict=True)
        ]
        self._write_fields(writer, listed, compared, is_stored)
        method.add_fields_to_sidebar_group(view, self.key, omit_fields=(self._predictions, self._human))
        self._write_run(writer, view, config, method, [match for one in compared for match in one.matches])
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

    def _compare(self, truth: Truth, labels: Labels, iou: float) -> _Compared:
        """Matches one sample's predictions, as FiftyOne would: class by class, best first."""
        rows, positions = known(labels, self._workspace.config.classes)
        scores = np.array([float(labels.documents[row].get("confidence") or 0.0) for row in rows])
        shapes, wanted = labels.shapes[rows], truth.labels.shapes[truth.rows]
        found: Found
        if self._modality == "2d":
            found = Predictions(shapes, scores, positions)
            overlap = box_kernel.iou(shapes, wanted)
        else:
            found = Predictions3D(shapes, scores, positions)
            overlap = cuboid_kernel.bev_iou(cuboid_kernel.yawed(shapes), cuboid_kernel.yawed(wanted))
        wrong = mistakes(found, truth, self._threshold, iou)
        out = _Compared(self.key)
        taken: dict[int, int] = {}
        for row, kind, partner in zip(wrong.kept, wrong.kinds, wrong.partner, strict=True):
            mine = labels.documents[rows[row]]
            if kind == "right":
                taken[int(partner)] = int(row)
                other = truth.labels.documents[truth.rows[partner]]
                out.pair(other, mine, float(overlap[row, partner]), float(scores[row]))
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

    def _write_run(self, writer: Writer, view: Any, config: Any, method: Any, matches: Sequence[Any]) -> None:
        import fiftyone.constants as foc
        from bson import json_util
        from fiftyone.utils.eval.detection import DetectionResults

        workspace = self._workspace
        dataset_id = workspace.scenes.dataset._doc.id
        classes = list(workspace.config.classes)
        results = DetectionResults(view, config, self.key, list(matches), classes=classes, backend=method)
        data = json_util.dumps(results.serialize()).encode()
        stages = [json_util.dumps(stage) for stage in view._serialize(include_uuids=False)]
        content = [str(dataset_id), self.key, config.serialize(), stages, hashlib.sha256(data).hexdigest()]
        run_id = ObjectId(hashlib.sha256(json_util.dumps(content).encode()).digest()[:12])
        file_id = ObjectId(hashlib.sha256(str(run_id).encode() + data).digest()[:12])
        before = _listed(workspace, self.key)
        _put_file(file_id, data)
        run = {
            "_dataset_id": dataset_id,
            "key": self.key,
            "version": foc.VERSION,
            "timestamp": datetime.now(timezone.utc),
            "config": config.serialize(),
            "view_stages": stages,
            "results": file_id,
            "results_meta": {},
        }
        _database().runs.update_one({"_id": run_id}, {"$setOnInsert": run}, upsert=True)
        _change_dataset(workspace, writer, {"$set": {f"evaluations.{self.key}": run_id}})
        if before is not None and before["_id"] != run_id:
            _drop(before)


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


# ---------------------------------------------------------------------- FiftyOne's collections


def _database() -> Any:
    import fiftyone.core.odm as foo

    return foo.get_db_conn()


def _listed(workspace: Workspace, key: str) -> Document | None:
    """The run that the dataset lists under a key."""
    query = {"_id": workspace.scenes.dataset._doc.id}
    doc = _database().datasets.find_one(query, {f"evaluations.{key}": 1}) or {}
    listed = (doc.get("evaluations") or {}).get(key)
    if listed is None:
        return None
    found: Document | None = _database().runs.find_one({"_id": getattr(listed, "id", listed)})
    return found


def _change_dataset(workspace: Workspace, writer: Writer, change: Document) -> None:
    """Changes the dataset's own document, unless another writer has taken over."""
    query = {
        "_id": workspace.scenes.dataset._doc.id,
        "$or": [{FENCE: {"$lte": writer.token}}, {FENCE: None}],
    }
    if _database().datasets.update_one(query, change).matched_count != 1:
        raise FencedError(
            f"{workspace.name}: {writer.operation} lost the dataset to another process before it wrote evaluations; "
            "the rest was not written; run it again"
        )


def _put_file(file_id: ObjectId, data: bytes) -> None:
    """Stores a file under an id that is a function of its content; half a file that somebody left is cleared first."""
    from gridfs import GridFS
    from gridfs.errors import FileExists

    files = GridFS(_database())
    for _ in range(3):
        if files.exists(file_id):
            return
        files.delete(file_id)
        with suppress(FileExists):  # another process writes the same, or wrote half of it
            files.put(data, _id=file_id, contentType="application/json")


def _drop(run: Document) -> None:
    """Deletes a run that nothing lists any more."""
    from gridfs import GridFS

    _database().runs.delete_one({"_id": run["_id"]})
    if run.get("results") is not None:
        GridFS(_database()).delete(run["results"])
