"""Records for tests of decisions: as little as a record can hold, and what a test is about by name."""

from __future__ import annotations

from typing import Any

from swath.records.assignment import Assignment
from swath.records.base import Blob, Estimate
from swath.records.batch import (
    FINAL_REFERENCE,
    REFERENCE,
    Axis,
    Batch,
    BlindCounts,
    Checked,
    ClassFigures,
    Evaluated,
    Failure,
    Figures,
    GoldenChecked,
    OperatingPoint,
    State,
    Steps,
    Stopped,
    Trained,
    TrainedModel,
)
from swath.records.manifest import BatchSize

BLOB = Blob(sha256="0" * 64, size=1, pieces=1)


def a_batch(name: str = "v0", state: State = "closed", **steps: Any) -> Batch:
    """Round `vN`, or a reference batch, of ten scenes; `steps`: what its steps recorded."""
    reference = name in (REFERENCE, FINAL_REFERENCE)
    return Batch(
        round=name,
        number=None if reference else int(name.removeprefix("v")),
        role="reference" if reference else "pool",
        state=state,
        size=BatchSize(budget=10, size=10),
        manifest=BLOB,
        steps=Steps(**steps),
    )


def a_row(name: str, key: str, channel: str = "left", **more: Any) -> Assignment:
    """A pool scene's assignment, chosen for coverage, that nobody has looked at; `more` says otherwise."""
    given: dict[str, Any] = {"role": "pool", "split": "pool", "stream": "coverage", **more}
    return Assignment(round=name, key=key, channel=channel, **given)


def a_failure(key: str, fn: int = 1, fp: int = 0, **more: Any) -> Failure:
    """A failure that missed `fn` cars and saw `fp` false ones, each with a score of one half."""
    given: dict[str, Any] = {
        "kinds": tuple(kind for kind, n in (("high_fn", fn), ("high_fp", fp)) if n),
        "evidence": fn + fp / 2,
        "missed": {"car": fn} if fn else {},
        "false": {"car": fp} if fp else {},
        **more,
    }
    return Failure(key=key, fn=fn, fp=fp, **given)


def some_figures(value: float = 0.5, **references: int) -> Figures:
    """Figures of a model with this mAP (0.1 wide each way) on classes with so many `references`."""
    map_ = Estimate(value=value, low=value - 0.1, high=value + 0.1)
    return Figures(
        map=map_,
        map50=Estimate(value=value + 0.25, low=value, high=1.0),
        classes={
            name: ClassFigures(references=n, predictions=n + 1, ap=map_, ap50=Estimate(value=value + 0.125))
            for name, n in references.items()
        },
        operating=OperatingPoint(threshold=0.3, precision=0.5, recall=0.25, f1=1 / 3),
        errors={"missed": 3},
    )


def an_evaluation(name: str = "v0", value: float = 0.5, **more: Any) -> Evaluated:
    """An evaluation of images on 30 val scenes."""
    given: dict[str, Any] = {"on": "val", "scenes": 30, "figures": {"2d": some_figures(value, car=4)}, **more}
    return Evaluated(round=name, **given)


def a_model(**more: Any) -> TrainedModel:
    given: dict[str, Any] = {
        "modality": "2d",
        "trainer": "center",
        "model": "v0.pt",
        "sha256": "1" * 64,
        "images": 20,
        "negatives": 2,
        "objects": {"car": 30},
        "classes": ("car",),
        **more,
    }
    return TrainedModel(**given)


def trained(name: str = "v0", scenes: int = 20) -> Trained:
    return Trained(round=name, models=(a_model(),), scenes=scenes)


def checked(name: str = "v0") -> Checked:
    return Checked(round=name, scenes=10, rules={}, errors=0, warnings=0, findings=())


def golden(name: str = "v0", verdict: Any = "pass", **more: Any) -> GoldenChecked:
    """A golden check of one axis, 1 missed of 40."""
    given: dict[str, Any] = {
        "reasons": (f"because it is {verdict}",),
        "axes": {
            "2d miss": Axis(errors=1, trials=40, accepted=0.05, rate=0.025, low=0, high=0.13, p_value=0.9)
        },
        "scenes": 5,
        "blind": BlindCounts(samples_with_labels=4, total_detections=39, top_classes={"car": 39}),
        **more,
    }
    return GoldenChecked(round=name, verdict=verdict, **given)


def stopped(name: str = "v0", decision: Any = "continue", why: str = "no criterion says stop") -> Stopped:
    return Stopped(round=name, decision=decision, why=why)
