"""Which fields are visible when the App opens, in which order the sidebar has them, and what it says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from swath import life
from swath.appearance.names import EVALUATION, SCENE, fields_of
from swath.config import Fields, LoopConfig
from swath.labels.channels import Rig, sure
from swath.records.base import Document
from swath.records.batch import Batch
from swath.store.journal.lease import FENCE
from swath.store.scenes import FINDINGS, KEY, SOURCE

OF_SOURCES: Final = ("dont_care", "calibration", "label_source")  # fields that imports write
HIDDEN: Final = "hidden by default"
Kind = Literal["label", "primitive", "other"]


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
    human, every = fields_of(rig, "human"), fields_of(rig, "predictions")
    seen = [sure(name) if sure(name) in there else name for name in every]
    labels = [name for pair in zip(human, seen, strict=True) for name in pair]
    blind = [*fields_of(rig, "golden"), *fields_of(rig, "opinions")]
    hidden = [
        *(name for name in every if name not in seen),
        *(names.truth, *OF_SOURCES, *blind, FINDINGS),
        *(names.embeddings, SOURCE, FENCE, SCENE, "id", "filepath", "created_at", "last_modified_at"),
        *(path for path in there if path.split(".")[0] == "group"),
    ]
    parts = (labels, [names.status, names.sequence, KEY], [names.zcore], list(dict.fromkeys(hidden)))
    return _Known(*([name for name in part if name in there] for part in parts))


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
