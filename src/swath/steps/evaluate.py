"""How good is the model, and where does it fail? Predictions on val against the reference, in 2D.

mAP and mAP50 as COCO computes them, with intervals by drive; every prediction typed at one operating threshold; failures
ranked by evidence, and a scene without an error is none. `final` evaluates on test instead, once its reference is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from swath.errors import StateError, some
from swath.journal import FINAL_REFERENCE, REFERENCE, Document, Writer
from swath.kernels.detection import DetectionScores, Predictions, References, score_detections
from swath.kernels.mistakes import Mistakes, type_mistakes
from swath.labels import box_documents, detections, read_boxes
from swath.steps import reference
from swath.steps.check import latest
from swath.steps.train import load_model, make_trainer, plain
from swath.steps.workspace import Workspace


@dataclass(frozen=True)
class EvaluateResult:
    """`classes`: class -> references, ap, ap50 with intervals; `failures`: val scenes with errors, strongest evidence first:
    key, kinds, fn, fp, evidence, missed (class -> count), false (class -> count)."""

    round: str
    on: str
    scenes: int
    map: Mapping[str, float | None]
    map50: Mapping[str, float | None]
    classes: Mapping[str, Mapping[str, Any]]
    operating: Mapping[str, float]
    errors: Mapping[str, int]
    failures: tuple[Mapping[str, Any], ...]
    uses: int
    notes: tuple[str, ...]


def evaluate(workspace: Workspace, *, final: bool = False) -> EvaluateResult:
    """Evaluates the model of the last round on val, and tags failures; with `final`, on test (no tags, no failures)."""
    with workspace.writer("evaluate") as writer:
        if not reference.is_done(workspace, final=final):
            name = FINAL_REFERENCE if final else REFERENCE
            more = " --final" if final else ""
            raise StateError(
                f"evaluate: the {name} batch has no labels yet; run `swath reference{more} --dataset {workspace.name} --from FIELD`"
            )
        batch = latest(workspace, "trained", *(("evaluated", "closed") if final else ()))
        keys, references, notes = _references(workspace, workspace.members("test" if final else "val"))
        predictions = _predict(workspace, batch, keys)
        config, table = workspace.config, workspace.scenes.table
        rows = table.rows(keys)
        scores = score_detections(
            predictions,
            references,
            len(config.classes),
            clusters=[str(table.sequence[row]) or key for key, row in zip(keys, rows, strict=True)],
            rng=np.random.default_rng([config.seed, batch["number"], 0xE7A1]),
            resamples=config.evaluate.resamples,
        )
        mistakes = [
            type_mistakes(one, two, scores.operating.threshold, found_at=config.evaluate.iou)
            for one, two in zip(predictions, references, strict=True)
        ]
        result = _result(workspace, batch, final, keys, predictions, references, scores, mistakes, notes)
        record = plain({**asdict(result)})
        record.pop("round")
        if final:
            workspace.journal.record(writer, f"final_{batch['round']}", record)
            return result
        _write_predictions(workspace, writer, batch["round"], keys, predictions)
        _show_in_app(workspace, batch["round"], keys, result)
        workspace.journal.barrier(writer)
        workspace.journal.advance(writer, batch["round"], "trained", "evaluated", {"evaluate": record})
        workspace.project(writer, views=[f"eval_{batch['round']}_failures"])
    return result


def _references(workspace: Workspace, keys: Sequence[str]) -> tuple[list[str], list[References], list[str]]:
    """Scenes that have a 2D reference, their objects, and a note on those that have none."""
    config, table = workspace.config, workspace.scenes.table
    position = {name: i for i, name in enumerate(config.classes)}
    docs = workspace.scenes.values(config.slices.image, keys, [config.fields.detections])
    found: list[str] = []
    out: list[References] = []
    for key, row, doc in zip(keys, table.rows(keys), docs, strict=True):
        if doc.get(config.fields.detections) is None:
            continue
        read = read_boxes(doc[config.fields.detections], (int(table.size[row, 0]), int(table.size[row, 1])))
        keep = [
            i
            for i, label in enumerate(read.classes)
            if label in position and np.isfinite(read.boxes[i]).all()
        ]
        out.append(
            References(read.boxes[keep], np.array([position[read.classes[i]] for i in keep], dtype=np.int64))
        )
        found.append(key)
    without = sorted(set(keys) - set(found))
    notes = [f"{len(without)} scenes have no reference and are left out: {some(without)}"] if without else []
    if not found:
        raise StateError(
            f"evaluate: none of {len(keys)} scenes has a reference in {config.fields.detections!r}"
        )
    return found, out, notes


def _predict(workspace: Workspace, batch: Document, keys: Sequence[str]) -> list[Predictions]:
    table = workspace.scenes.table
    images = [str(one) for one in table.paths[workspace.config.slices.image][table.rows(keys)]]
    model = load_model(workspace, batch)
    return make_trainer(workspace).predict(
        model, images, progress=workspace.progress(f"predict {len(images)} images")
    )


def _result(
    workspace: Workspace,
    batch: Document,
    final: bool,
    keys: Sequence[str],
    predictions: Sequence[Predictions],
    references: Sequence[References],
    scores: DetectionScores,
    mistakes: Sequence[Mistakes],
    notes: list[str],
) -> EvaluateResult:
    names = workspace.config.classes
    failures: list[dict[str, Any]] = []
    kinds: Counter[str] = Counter()
    for key, predicted, truth, one in zip(keys, predictions, references, mistakes, strict=True):
        kinds.update(kind for kind in one.kinds if kind != "right")
        kinds["missed"] += one.fates.count("missed")
        if not one.fn and not one.fp:
            continue
        lost = Counter(names[truth.labels[j]] for j, fate in enumerate(one.fates) if fate != "found")
        wrong = [i for i, kind in zip(one.kept, one.kinds, strict=True) if kind != "right"]
        false = Counter(names[predicted.labels[i]] for i in wrong)
        # A missed object is certain evidence; a false one is as strong as the model was sure of it.
        evidence = one.fn + float(sum(predicted.scores[i] for i in wrong))
        failures.append(
            {
                "key": key,
                "kinds": [kind for kind, n in (("high_fn", one.fn), ("high_fp", one.fp)) if n],
                "fn": one.fn,
                "fp": one.fp,
                "evidence": round(evidence, 6),
                "missed": dict(sorted(lost.items())),
                "false": dict(sorted(false.items())),
            }
        )
    failures.sort(key=lambda failure: (-failure["evidence"], failure["key"]))
    uses = sum("evaluate" in one["steps"] for one in workspace.journal.rounds()) + 1
    if not final and uses > 1:
        notes.append(
            f"val is evaluated and mined for the {uses}. time: a claim about gain needs `swath evaluate --final`"
        )
    return EvaluateResult(
        round=batch["round"],
        on="test" if final else "val",
        scenes=len(keys),
        map=asdict(scores.map),
        map50=asdict(scores.map50),
        classes={
            name: asdict(one) for name, one in zip(names, scores.classes, strict=True) if one.references
        },
        operating=asdict(scores.operating),
        errors=dict(sorted(kinds.items())),
        failures=() if final else tuple(failures),
        uses=uses,
        notes=tuple(notes),
    )


def _write_predictions(
    workspace: Workspace, writer: Writer, name: str, keys: Sequence[str], predictions: Sequence[Predictions]
) -> None:
    config, table = workspace.config, workspace.scenes.table
    values = {}
    for key, row, one in zip(keys, table.rows(keys), predictions, strict=True):
        documents = box_documents(
            one.boxes,
            [config.classes[label] for label in one.labels],
            (int(table.size[row, 0]), int(table.size[row, 1])),
            [key, name, "prediction"],
            confidence=[float(score) for score in one.scores],
            round=name,
        )
        values[key] = {config.fields.predictions: detections(documents)}
    workspace.scenes.write(config.slices.image, values, writer)
    workspace.scenes.refresh()


def _show_in_app(workspace: Workspace, name: str, keys: Sequence[str], result: EvaluateResult) -> None:
    """FiftyOne's own evaluation `eval_vN`, for the App, of the predictions above the operating threshold."""
    config, dataset = workspace.config, workspace.scenes.dataset
    key = f"eval_{name}"
    if key in dataset.list_evaluations():
        dataset.delete_evaluation(key)
    from fiftyone import ViewField as F

    view = workspace.scenes.slice_view(keys, config.slices.image)
    shown = view.filter_labels(
        config.fields.predictions, F("confidence") >= result.operating["threshold"], only_matches=False
    )
    shown.evaluate_detections(
        config.fields.predictions,
        gt_field=config.fields.detections,
        eval_key=key,
        iou=config.evaluate.iou,
        classes=list(config.classes),
        progress=False,
    )
