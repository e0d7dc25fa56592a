"""Val scenes that the last evaluated model gets wrong: reference and predictions as boxes to draw over a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from swath.kernels.detection import Predictions, References
from swath.kernels.mistakes import type_mistakes
from swath.labels import Read2D, read_boxes
from swath.report.pictures import Picture
from swath.steps.workspace import Workspace

Array = np.ndarray[Any, Any]
Shape = dict[str, Any]
LETTER = 10.5  # height of a line of text, pixels of the picture

KINDS = {
    "right": "right",
    "location": "badly placed",
    "class": "wrong class",
    "duplicate": "found twice",
    "background": "false alarm",
    "both": "wrong class and place",
    "missed": "missed",
    "found": "found",
}


def overlay(
    workspace: Workspace, round_name: str, record: Mapping[str, Any], pictures: Mapping[str, Picture]
) -> dict[str, dict[str, Any]]:
    """Per val scene of `pictures`: `references` and `predictions` (at or above the operating threshold), each a list of
    x, y, w, h in pixels of the picture, `label`, `kind` (of mistake) and `wrong`; `texts`: what is written beside the wrong
    ones; `note`: what is amiss.

    Predictions of another round than `round_name` are left out: the field holds those of the last evaluation only.
    """
    config, table = workspace.config, workspace.scenes.table
    there = set(table.keys.tolist())
    keys = [key for key in workspace.only("val", list(pictures), "report") if key in there]
    fields = [config.fields.detections, config.fields.predictions]
    out: dict[str, dict[str, Any]] = {
        key: {"references": [], "predictions": [], "texts": [], "note": ""}
        for key in pictures
        if key not in there
    }
    docs = workspace.scenes.values(config.slices.image, keys, fields)
    for key, row, doc in zip(keys, table.rows(keys), docs, strict=True):
        shown = pictures[key]
        known = table.size[row].min() > 0
        size = (int(table.size[row, 0]), int(table.size[row, 1])) if known else (shown.width, shown.height)
        given = (doc.get(fields[1]) or {}).get("detections") or ()
        of_round = [one for one in given if one.get("round") == round_name]
        note = "" if len(of_round) == len(given) else f"the predictions are no longer those of {round_name}"
        truth, truth_labels, _ = _arrays(read_boxes(doc.get(fields[0]), size), config.classes)
        found, found_labels, scores = _arrays(read_boxes({"detections": of_round}, size), config.classes)
        mistakes = type_mistakes(
            Predictions(found, scores, found_labels),
            References(truth, truth_labels),
            record["operating"]["threshold"],
            found_at=config.evaluate.iou,
        )
        scale = np.array([shown.width / size[0], shown.height / size[1]] * 2)
        references = [
            _box(box * scale, config.classes[label], fate, fate != "found")
            for box, label, fate in zip(truth, truth_labels, mistakes.fates, strict=True)
        ]
        predictions = [
            _box(found[i] * scale, config.classes[found_labels[i]], kind, kind != "right", float(scores[i]))
            for i, kind in zip(mistakes.kept, mistakes.kinds, strict=True)
        ]
        texts = _texts(references, predictions, shown)
        out[key] = {"note": note, "references": references, "predictions": predictions, "texts": texts}
    return out


def _arrays(read: Read2D, classes: Sequence[str]) -> tuple[Array, Array, Array]:
    """Boxes (n, 4), labels (n,) and scores (n,) of what is finite and of a class in the class map, as `evaluate` takes it."""
    keep = [i for i, name in enumerate(read.classes) if name in classes and np.isfinite(read.boxes[i]).all()]
    labels = np.array([classes.index(read.classes[i]) for i in keep], dtype=np.int64)
    scores = np.array([float(read.documents[i].get("confidence") or 0.0) for i in keep])
    return read.boxes[keep].reshape(-1, 4), labels, scores


def _box(box: Array, label: str, kind: str, wrong: bool, score: float | None = None) -> Shape:
    x1, y1, x2, y2 = (round(float(one), 1) for one in box)
    shape = {"x": x1, "y": y1, "w": round(max(x2 - x1, 0.0), 1), "h": round(max(y2 - y1, 0.0), 1)}
    return {**shape, "label": label, "kind": KINDS[kind], "wrong": wrong, "score": score}


def _texts(references: Sequence[Shape], predictions: Sequence[Shape], picture: Picture) -> list[Shape]:
    """Labels of what is wrong, above references and below predictions; one that would cover another is left to the tooltip."""
    placed: list[Shape] = []
    for of, boxes in (("reference", references), ("prediction", predictions)):
        for box in boxes:
            words = box["label"] if box["score"] is None else f"{box['label']} {box['score']:.2f}"
            wide = 6.2 * len(words)
            x = max(min(box["x"], picture.width - wide), 0.0)
            y = (
                max(box["y"] - 3, LETTER)
                if of == "reference"
                else min(box["y"] + box["h"] + LETTER, picture.height - 3)
            )
            free = all(
                x > one["x"] + one["wide"] or one["x"] > x + wide or abs(y - one["y"]) > LETTER
                for one in placed
            )
            if box["wrong"] and free:
                placed.append({"of": of, "words": words, "x": round(x, 1), "y": round(y, 1), "wide": wide})
    return placed
