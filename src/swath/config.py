"""Every knob of a loop, validated, with its unit; hashed into each round.

`LoopConfig` is what `swath.yaml` holds; docs/settings.md lists it (`make settings`), from the descriptions here. A setting that
does not exist or is out of range is a `ConfigError` that names it. The configuration of a dataset is kept in the journal at
`init`; a later `--config`, `--set` or option changes it for the rounds that follow, and each round records the hash of what it
ran under.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from swath.changes import Changes
from swath.errors import ConfigError
from swath.settings import Expected, Problem, dotted, flat, problems, shortly
from swath.suggest import meant

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Positive = Annotated[int, Field(ge=1, le=10**9)]
Threads = Annotated[int, Field(ge=1, le=256)]
Rate = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(min_length=1, max_length=200), Expected("a name")]
Text = Annotated[str, Expected("a command")]
ReadField = Annotated[
    str,
    Field(pattern=r"^[^_$.\x00][^$\x00]*$", max_length=200),
    Expected("the name of a field: text that does not begin with _ and has no $ in it"),
]
FieldName = Annotated[
    str,
    Field(pattern=r"^[^_$.\x00][^$.\x00]*$", max_length=200),
    Expected("the name of a field: text that does not begin with _ and has no $ or . in it"),
]
TAKEN = frozenset(
    [
        "id",
        "filepath",
        "tags",
        "metadata",
        "created_at",
        "last_modified_at",
        "group",
        "groups",
        "frames",
        "calibration",
        "dont_care",
        "embeddings_source",
        "findings",
        "label_source",
        "scene_key",
        "swath_fence",
    ]
)
"""Fields that FiftyOne and swath keep for themselves."""

KITTI_CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Channel(_Section):
    """One sensor, by the name of its slice: an image or a cloud. Labelled: 2D boxes in an image, cuboids in a cloud."""

    kind: Literal["image", "cloud"] = Field("image", description="what the sensor gives")
    labelled: bool = Field(
        False, description="whether annotators label it: boxes in an image, cuboids in a cloud"
    )
    embed: bool = Field(False, description="whether its vector is part of the scene's")
    calibration: str | None = Field(
        None, description="its name in a scene's calibration; null: the channel's own name"
    )


CHANNELS: Mapping[str, Channel] = {
    "left": Channel(labelled=True, embed=True, calibration="P2"),
    "right": Channel(calibration="P3"),
    "pcd": Channel(kind="cloud", labelled=True, embed=True),
}


class Fields(_Section):
    """Names of the sample fields. Those of labels are the same in every channel of a kind. Frozen by the split."""

    detections: FieldName = Field(
        "human_detections", description="people's boxes: training set and reference"
    )
    cuboids: FieldName = Field("human_cuboids", description="people's cuboids: training set and reference")
    golden_detections: FieldName = Field(
        "golden_detections", description="boxes of golden scenes labelled blindly again"
    )
    golden_cuboids: FieldName = Field(
        "golden_cuboids", description="cuboids of golden scenes labelled blindly again"
    )
    opinions_2d: FieldName = Field("opinions_2d", description="boxes of second labellings")
    opinions_3d: FieldName = Field("opinions_3d", description="cuboids of second labellings")
    predictions: FieldName = Field("predictions", description="the last model's boxes")
    predictions_3d: FieldName = Field("predictions_3d", description="the last model's cuboids")
    embeddings: FieldName = Field("embeddings", description="the scene's vector, on the primary channel")
    zcore: FieldName = Field(
        "zcore", description="the coverage score of the last selection, on the primary channel"
    )
    status: FieldName = Field("annotation_status", description="unlabeled, selected or annotated")
    sequence: ReadField = Field(
        "sequence", description="the drive that a scene is of; scenes of a drive stay in one split"
    )
    truth: ReadField = Field(
        "ground_truth",
        description="labels that came with the data: read by the simulated annotator and by `reference --from`",
    )

    @model_validator(mode="after")
    def _each_for_itself(self) -> Fields:
        """Boxes and cuboids of one purpose may share a field (they are on other channels), two purposes may not."""
        used: dict[str, str] = {}
        for setting, field in self:
            if field in TAKEN:
                raise ValueError(f"{setting}: expected a field of its own, got {field!r}, which is taken")
            purpose = setting.replace("cuboids", "detections").replace("_2d", "").replace("_3d", "")
            if setting != "truth" and used.setdefault(field, purpose) != purpose:
                raise ValueError(f"{setting}: expected a field of its own, got {field!r} a second time")
        return self


class Splits(_Section):
    """Shares of the scenes; the pool is what is left. Frozen by the split."""

    test: Share = Field(
        0.15, description="share of the scenes for the final evaluation, which nothing else reads"
    )
    val: Share = Field(0.15, description="share of the scenes that every round's model is scored on")
    golden: Share = Field(0.05, description="share of the scenes that are labelled blindly again each round")
    by: Literal["sequence", "scene"] = Field(
        "sequence",
        description="what stays together: all scenes of a drive, or nothing (each scene for itself)",
    )
    join_duplicates: float | None = Field(
        None,
        ge=0,
        le=1,
        description="cosine similarity from which two scenes without a common drive stay together; null: never",
    )
    find_drives: float | None = Field(
        0.95,
        ge=0,
        le=1,
        description="where no drive is known at all: cosine similarity from which scenes that look alike are taken for one; null: none are",
    )
    audit_pairs: Count = Field(
        20,
        description="pairs of most similar scenes across splits that the leak audit lists; 0: no audit, and no look for drives",
    )

    @model_validator(mode="after")
    def _something_is_left(self) -> Splits:
        if self.test + self.val + self.golden >= 1:
            raise ValueError(
                f"test + val + golden must leave a pool: expected a sum below 1, got {self.test + self.val + self.golden:g}"
            )
        return self


NAMED_ENCODERS = ("descriptor", "descriptor:image", "descriptor:cloud", "pretrained:efficientnet-lite0")
MEDIA_ENCODERS = (*NAMED_ENCODERS, "onnx:PATH", "zoo:NAME")
ENCODERS = (*MEDIA_ENCODERS, "model:vN", "field:NAME")
"""What makes vectors: by its whole name; of media, by a name and what stands behind it; of what the loop has."""


class Embed(_Section):
    """How scenes become vectors."""

    encoder: Annotated[str, Expected(f"one of {', '.join(ENCODERS)}")] = Field(
        "descriptor",
        description="what makes the vectors: the built-in descriptor, a pretrained network (extra `pretrained`), an ONNX file, a model "
        "of FiftyOne's zoo, the model of a round, or a field that has them",
    )
    workers: Threads = Field(1, description="threads that read media; the vectors do not depend on it")

    @field_validator("encoder")
    @classmethod
    def _of_a_kind(cls, value: str) -> str:
        kind, _, detail = value.partition(":")
        named = kind in ("onnx", "zoo", "model", "field") and detail != ""
        if not named and value not in NAMED_ENCODERS:
            kinds = [one.partition(":")[0] for one in ENCODERS]
            hint = meant(value, NAMED_ENCODERS) or ("" if kind in kinds else meant(kind, kinds))
            raise ValueError(f"expected one of {', '.join(ENCODERS)}, got {shortly(value)}{hint}")
        return value


class Modes(_Section):
    """What failure modes get of the places of a batch that answer failures."""

    share: Share = Field(
        0.0,
        description="share of the places for failures that the modes get, by what each missed; 0: the worst failures, of whatever mode",
    )
    floor: Share = Field(0.0, description="share of these places that each mode gets, at least")
    cap: Share = Field(1.0, description="share of these places that each mode gets, at most")

    @model_validator(mode="after")
    def _in_order(self) -> Modes:
        if self.floor > self.cap:
            raise ValueError(f"expected floor <= cap, got {self.floor:g} and {self.cap:g}")
        return self


ADAPTIVE: tuple[Fraction, Fraction] = (Fraction("0.3"), Fraction("0.9"))
"""Between what shares for coverage an adaptive ratio moves: coverage keeps 30 %, and targets a tenth, without which their worth would
be known no more."""


class Select(_Section):
    """Sizes of batches, and what fills them."""

    budget: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="scenes per batch, in place of the shares below (what there is, at most); null: the shares",
    )
    first_share: Share = Field(0.25, description="size of v0, as a share of the pool")
    first_min: Count = Field(20, description="scenes of v0, at least")
    share: Share = Field(0.20, description="size of later batches, as a share of what is unlabelled")
    min: Count = Field(10, description="scenes of later batches, at least")
    coverage_share: Annotated[str, Expected('a share from 0 to 1, as 0.3, "0.30" or "3/10"')] = Field(
        "0.30",
        description="share of a batch that covers the pool; the rest is like the failures. v0 covers only",
    )
    ratio: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="whether `coverage_share` holds for every batch, or is where it begins: adaptive, it moves between 0.3 and 0.9 by the "
        "errors that each stream has shown per minute of labelling",
    )
    coverage_method: Literal["zcore", "zcore_joint", "kcenter", "random"] = Field(
        "zcore", description="how scenes that cover the pool are chosen"
    )
    failures: Positive = Field(10, description="failures that are answered, at most")
    queries: Literal["scenes", "objects", "both"] = Field(
        "scenes",
        description="what of the failures is searched for: their scenes, by the vectors; the objects that were missed or seen falsely, cut out "
        "of their images, among what candidates show; or both, with half of the places each",
    )
    failure_by: Literal["count", "rate"] = Field(
        "count",
        description="which failures come first: those with the most errors, or with the most against the objects that they hold",
    )
    modes: Modes = Modes()
    neighbors: Positive = Field(100, description="candidates looked up per failure")
    class_evidence: Share = Field(
        0.5, description="weight of what the model sees of the failing kinds, against looks alone (0)"
    )
    zcore_neighbors: Positive = Field(
        1000, description="nearest scenes that one draw of ZCore takes redundancy from"
    )
    zcore_overlap: Share = Field(
        0.8, description="draws grow until two independent halves agree on this share of the selected scenes"
    )
    zcore_max_draws: int | None = Field(
        None,
        ge=2,
        le=10**9,
        description="draws of ZCore, at most; null: 200 per scene, from 50 000 to 2 000 000",
    )
    workers: Threads = Field(1, description="threads that score; the batch does not depend on it")

    @field_validator("coverage_share", mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:
        """0.3 and "3/10" are shares as well as "0.30"."""
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("coverage_share")
    @classmethod
    def _a_share(cls, value: str) -> str:
        try:
            fine = len(value) <= 40 and "e" not in value.lower() and 0 <= Fraction(value) <= 1
        except (ValueError, ZeroDivisionError):
            fine = False
        if not fine:
            raise ValueError(f'expected a share from 0 to 1, as 0.3, "0.30" or "3/10", got {shortly(value)}')
        return value

    @model_validator(mode="after")
    def _room_to_move(self) -> Select:
        low, high = ADAPTIVE
        if self.ratio == "adaptive" and not low <= Fraction(self.coverage_share) <= high:
            raise ValueError(
                f"ratio: adaptive begins at coverage_share: expected one from {float(low):g} to {float(high):g}, got "
                f"{self.coverage_share}"
            )
        return self


Chances = Annotated[dict[str, dict[str, Share]], Expected("class: {class: share}, such as {Car: {Van: 0.1}}")]
Times = Annotated[float, Field(ge=0.1, le=100)]


class Flaws(_Section):
    """What is wrong with the simulated annotator besides (`worlds/annotators.py`): to see what checks and golden check notice."""

    since: Count = Field(
        0, description="number of the round from which on it errs in these ways: a guideline that changed"
    )
    clump: Annotated[float, Field(ge=0, le=0.9)] = Field(
        0.0, description="how much misses come together in scenes: intra-class correlation"
    )
    annotators: Annotated[int, Field(ge=1, le=100)] = Field(1, description="people who share the work")
    careless: Times = Field(1.0, description="how many times as often the first of them slips")
    tired: Times = Field(1.0, description="how many times as often one slips at the end of a batch")
    far: Share = Field(0.0, description="chance to miss what is far away; grows with the distance")
    hidden: Share = Field(0.0, description="chance to miss what others hide; grows with what they cover")
    confuse: Chances = Field(
        default_factory=dict, description="confusion matrix: the chance that a class is taken for another"
    )
    loose: Annotated[float, Field(ge=-0.4, le=1)] = Field(
        0.0, description="share of its width and height by which each edge of a box lies outside"
    )
    shift: Annotated[float, Field(ge=-100, le=100)] = Field(
        0.0, description="distance by which cuboids are too far away, in metres"
    )
    size: Times = Field(1.0, description="how many times too large cuboids are")
    yaw: Annotated[float, Field(ge=-360, le=360)] = Field(
        0.0, description="angle by which cuboids are turned to the left, in degrees"
    )
    flip: Share = Field(0.0, description="share of the cuboids with front and back exchanged")
    exchange: Share = Field(0.0, description="share of the cuboids with length and width exchanged")
    camera_frame: Share = Field(
        0.0, description="share of the scenes whose cuboids are in the camera's frame"
    )


class Annotate(_Section):
    """Who labels. Secrets (tokens, passwords) are no settings: settings are recorded; secrets come from the environment."""

    annotator: Literal["simulated", "files", "app"] | None = Field(
        None,
        description="who labels: people in FiftyOne's App, or by files in a folder, or the simulation; null: the loop waits for one",
    )
    people: tuple[str, ...] = Field(
        (),
        description="who labels in the App, which knows no users: names that are recorded; several label each reference scene once each",
    )
    prelabel: Share = Field(
        0,
        description="share of the pool scenes of a batch that get the last model's labels to begin with, in the App; golden ones get none",
    )
    folder: Path | None = Field(None, description="where the `files` annotator reads and writes")
    media: Literal["copy", "link"] = Field(
        "copy",
        description="how the `files` annotator gets its media: a copy tells nothing of a scene, a link its name",
    )
    second: Share = Field(
        0.0,
        description="share of a batch's pool scenes that are labelled twice, by two annotators who do not know of it",
    )
    quorum: Annotated[int, Field(ge=1, le=2)] = Field(
        1,
        description="of a scene that is labelled twice: how many must have seen an object for it to count. 1: what either saw",
    )
    miss: Share = Field(0.025, description="share of the objects that the simulated annotator misses")
    extra: Share = Field(0.015, description="boxes and cuboids that it invents, as a share of the objects")
    swap: Share = Field(0.01, description="share of the objects that it gives a wrong class")
    flaws: Flaws = Flaws()

    @field_validator("people")
    @classmethod
    def _have_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value) or not all(one.strip() and one.isprintable() for one in value):
            raise ValueError(f"expected names, each once, got {shortly(list(value))}")
        return value

    @model_validator(mode="after")
    def _files_are_somewhere(self) -> Annotate:
        if self.annotator == "files" and self.folder is None:
            raise ValueError("the files annotator needs a folder: --folder DIR, or annotate: {folder: DIR}")
        return self


class Tolerance(_Section):
    """What the mean over objects may be off, level by level; beyond it a golden check blocks."""

    iou: Share = Field(0.15, description="how far the mean 2D IoU may be below 1")
    area: Rate = Field(0.10, description="size of 2D boxes, as a share: 0.1 is 10 % larger")
    edge: Rate = Field(0.04, description="each edge of 2D boxes, as a share of the box's side")
    center: Rate = Field(0.05, description="centre of cuboids in each direction, in metres")
    distance: Rate = Field(0.25, description="mean distance of centres, in metres")
    size: Rate = Field(0.05, description="length, width and height of cuboids, as a share")
    yaw: Rate = Field(2.0, description="heading, left or right, in degrees")
    turn: Rate = Field(4.0, description="mean size of the difference in heading, in degrees")


class Margin(_Section):
    """What the mean over the same objects may move against earlier rounds; beyond it a golden check warns."""

    iou: Rate = Field(0.01, description="mean 2D IoU")
    area: Rate = Field(0.03, description="size of 2D boxes, as a share: 0.1 is 10 % larger")
    edge: Rate = Field(0.01, description="each edge of 2D boxes, as a share of the box's side")
    center: Rate = Field(0.02, description="centre of cuboids in each direction, in metres")
    distance: Rate = Field(0.03, description="mean distance of centres, in metres")
    size: Rate = Field(0.015, description="length, width and height of cuboids, as a share")
    yaw: Rate = Field(0.75, description="heading, left or right, in degrees")
    turn: Rate = Field(0.75, description="mean size of the difference in heading, in degrees")


class Golden(_Section):
    """Accepted error rates and tolerances per axis, how the reference was made, and when a deviation is called one."""

    miss: Share = Field(0.05, description="accepted share of reference objects that a blind labelling misses")
    extra: Share = Field(0.03, description="accepted share of blind labels without a reference object")
    swap: Share = Field(0.02, description="accepted share of matched objects with another class")
    shift: Share = Field(0.05, description="accepted share of matched objects that are out of place")
    flip: Share = Field(0.01, description="accepted share of matched cuboids that face the other way")
    exchange: Share = Field(
        0.01, description="accepted share of matched cuboids whose length and width are exchanged"
    )
    iou: Share = Field(0.5, description="2D IoU from which a blind label and a reference are one object")
    center: Rate = Field(
        2.0,
        description="distance of centres in bird's eye view, in metres, within which two cuboids are one object",
    )
    shift_iou: Share = Field(0.7, description="2D IoU below which a matched box is out of place")
    shift_center: Rate = Field(
        0.5, description="distance of centres, in metres, from which a matched cuboid is out of place"
    )
    tolerance: Tolerance = Tolerance()
    margin: Margin = Margin()
    warn_alpha: Share = Field(0.05, description="chance of a false warning per check, over all axes")
    block_alpha: Share = Field(0.01, description="chance of a false block per check, over all axes")
    min_objects: Count = Field(
        20, description="objects below which an axis is not enough evidence for a pass"
    )
    icc: Share = Field(
        0.1,
        description="how much errors clump by scene (intra-class correlation) until earlier rounds tell; 0: not at all",
    )
    reference: Literal["single", "adjudicated", "majority"] | None = Field(
        None,
        description="how the reference is made: one careful labelling, two whose differences are decided (reference --adjudicate), or a "
        "majority of three; annotators are asked for as many; null: as many as the annotator gives, an import single",
    )
    reference_errors: float = Field(
        1.0,
        ge=0,
        le=10,
        description="how often one careful labelling errs, as a multiple of the accepted rates; used where no opinions tell",
    )
    per_round: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="golden scenes that go along with each batch; they take turns, half of them stay for the next batch; null: all",
    )


Epochs = Annotated[float, Field(gt=0, le=10**6, description="how often a training sees each image or cloud")]
Seconds = Annotated[
    float,
    Field(
        gt=0,
        le=10**9,
        description="fewer epochs, where they would take longer: processor time by the size of what is seen, never by a clock",
    ),
]
Steps = Annotated[
    Count, Field(description="optimiser steps of one training in place of epochs and seconds, if not 0")
]
PerStep = Annotated[int, Field(ge=1, le=4096, description="images or clouds per step")]
LearningRate = Annotated[float, Field(gt=0, le=100, description="highest learning rate")]


class Center(_Section):
    """The built-in image detector."""

    width: int = Field(
        384, ge=32, le=8192, multiple_of=16, description="width of the network's input, in pixels"
    )
    epochs: Epochs = 64
    seconds: Seconds = 600
    steps: Steps = 0
    batch: PerStep = 4
    lr: LearningRate = 3e-3
    backbone: Literal["built-in", "efficientnet-lite0"] = Field(
        "built-in",
        description="what sees: a network that learns from nothing, or one with ImageNet's weights (extra `pretrained`)",
    )
    backbone_rate: Share = Field(
        0.0, description="a pretrained backbone's share of the learning rate; 0: it stays as it came"
    )


class Pillars(_Section):
    """The built-in point cloud detector."""

    epochs: Epochs = 36
    seconds: Seconds = 600
    steps: Steps = 0
    batch: PerStep = 4
    lr: LearningRate = 6e-3


PLACES: Mapping[str, tuple[str, ...]] = {"fit": ("data", "model"), "predict": ("model", "data", "out")}
"""What stands in braces in a command, and must."""
MORE_PLACES = ("seed", "threads", "classes")


def _command(kind: str, value: str) -> str:
    """The command, if it can be taken apart and says where its data come from and go to."""
    if not value:
        return value
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"expected a command as a shell reads it: {error}") from None
    named = [name for word in words for name in re.findall(r"\{(\w+)\}", word)]
    missing = [name for name in PLACES[kind] if name not in named]
    if missing:
        raise ValueError(f"expected {{{'}, {'.join(PLACES[kind])}}} in it, got no {{{missing[0]}}}")
    known = (*PLACES[kind], *MORE_PLACES)
    odd = [name for name in named if name not in known]
    if odd:
        raise ValueError(f"{{{odd[0]}}}: expected one of {{{'}, {'.join(known)}}}{meant(odd[0], known)}")
    return value


class Command(_Section):
    """A detector of your own for images: two commands (docs/methods/training.md)."""

    fit: Text = Field(
        "", max_length=4000, description="the command that learns: {data} and {model} stand in it"
    )
    predict: Text = Field(
        "", max_length=4000, description="the command that predicts: {model}, {data} and {out} stand in it"
    )
    format: Literal["yolo", "coco", "kitti"] = Field("coco", description="how its data are written")
    predictions: Literal["coco", "kitti"] = Field("coco", description="how its predictions are read")
    seconds: Annotated[float, Field(gt=0, le=10**7)] = Field(
        86_400, description="seconds after which a command is ended"
    )

    _fit = field_validator("fit")(lambda value: _command("fit", value))
    _predict = field_validator("predict")(lambda value: _command("predict", value))


class Command3D(Command):
    """A detector of your own for clouds: two commands (docs/methods/training.md)."""

    format: Literal["kitti"] = Field("kitti", description="how its data are written")
    predictions: Literal["kitti"] = Field("kitti", description="how its predictions are read")


class Ultralytics(_Section):
    """YOLO by ultralytics (AGPL-3.0), in an environment of its own (`make ultralytics`)."""

    python: Path = Field(
        Path(".venv-ultralytics/bin/python"), description="the Python that has ultralytics installed"
    )
    model: Name = Field(
        "yolov8n.yaml", description="a .yaml (from nothing), or weights: a .pt file that is there"
    )
    epochs: Positive = Field(100, description="passes over the training set")
    imgsz: Annotated[int, Field(ge=32, le=8192, multiple_of=32)] = Field(
        640, description="size of the network's input, in pixels"
    )
    batch: Annotated[int, Field(ge=1, le=4096)] = Field(8, description="images per step")
    seconds: Annotated[float, Field(gt=0, le=10**7)] = Field(
        86_400, description="seconds after which a command is ended"
    )


class Train(_Section):
    """`trainer` learns images, `trainer_3d` clouds; each has settings of its own."""

    trainer: Literal["center", "command", "ultralytics"] = Field(
        "center", description="what learns from images"
    )
    trainer_3d: Literal["pillars", "command", "none"] = Field(
        "none",
        description="what learns from clouds; a rig without labelled images uses pillars in place of none",
    )
    threads: Threads = Field(1, description="of torch; 1 gives the same weights every time")
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1), Expected("a whole number of 64 bits")] = Field(
        0, description="of the weights and of the order of scenes"
    )
    repeats: Annotated[int, Field(ge=1, le=100)] = Field(
        1,
        description="trainings of each round, by seeds that follow from this one: more tell luck from learning; the first is the round's model",
    )
    mlflow: (
        Annotated[str, Field(min_length=1, max_length=1000), Expected("where MLflow keeps runs")] | None
    ) = Field(
        None,
        description="where MLflow keeps runs, each evaluated round one of them; null: where MLFLOW_TRACKING_URI says, if it does",
    )
    center: Center = Center()
    pillars: Pillars = Pillars()
    command: Command = Command()
    command_3d: Command3D = Command3D()
    ultralytics: Ultralytics = Ultralytics()

    @model_validator(mode="before")
    @classmethod
    def _flat_in_0_1(cls, given: Any) -> Any:
        """`train: {width, steps, batch, lr}` of swath 0.1 were the image detector's."""
        if not isinstance(given, dict):
            return given
        moved = {name: given[name] for name in ("width", "steps", "batch", "lr") if name in given}
        rest = {name: value for name, value in given.items() if name not in moved}
        if moved and isinstance(rest.get("center", {}), dict):
            rest["center"] = {**rest.get("center", {}), **moved}
        return rest

    @field_validator("mlflow")
    @classmethod
    def _no_secret(cls, value: str | None) -> str | None:
        if value is not None and "@" in value.split("://")[-1].split("/")[0]:
            raise ValueError(
                "expected no name and password in it: settings are recorded; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD hold them"
            )
        return value

    @model_validator(mode="after")
    def _a_command_is_there(self) -> Train:
        """Said when it is set, not after a batch was labelled for it."""
        for trainer, own, name in (
            (self.trainer, self.command, "command"),
            (self.trainer_3d, self.command_3d, "command_3d"),
        ):
            if trainer == "command" and not (own.fit and own.predict):
                raise ValueError(
                    f"the trainer command needs two commands: train: {{{name}: {{fit: ..., predict: ...}}}}"
                )
        return self


class Evaluate(_Section):
    """How models are scored."""

    iou: Share = Field(
        0.5,
        description="2D IoU, in clouds that of the footprints, from which a prediction has found an object: what a failure is",
    )
    resamples: Annotated[int, Field(ge=10, le=100_000)] = Field(
        200, description="resamples of the drives, for the 95 % intervals"
    )
    conditions: Annotated[tuple[str, ...], Expected("a list of names of fields")] = Field(
        ("weather", "timeofday"),
        description="fields of the scenes that say a condition, on the primary channel: figures are told apart by them, where they are there",
    )

    @model_validator(mode="before")
    @classmethod
    def _interval_of_0_1(cls, given: Any) -> Any:
        """`interval` was a setting that nothing read: intervals are 95 %."""
        if isinstance(given, dict):
            return {name: value for name, value in given.items() if name != "interval"}
        return given


class Stop(_Section):
    """When enough is labelled."""

    target: float | None = Field(
        None, ge=0, le=1, description="mAP whose lower bound must be reached; null: none"
    )
    min_gain: float = Field(
        0.01, ge=0, description="the gain in mAP that is worth labelling as many scenes as v1 added"
    )
    patience: Positive = Field(
        2, description="rounds whose gain, taken together, must be below the price to stop"
    )
    price: float | None = Field(
        None,
        ge=0,
        description="the gain in mAP that is worth labelling 100 scenes; null: from `min_gain` and the scenes that v1 added",
    )


class Cost(_Section):
    """What labelling costs in a backtest, in seconds of somebody's time: a scene, and each object in it."""

    scene: float = Field(10.0, ge=0, le=10**6, description="to open a scene and look it through, in seconds")
    box: float = Field(7.0, ge=0, le=10**6, description="to draw one 2D box, in seconds")
    cuboid: float = Field(40.0, ge=0, le=10**6, description="to place one cuboid, in seconds")


class LoopConfig(_Section):
    """The configuration of one loop. `classes` is the frozen class map; its order is the model's."""

    seed: Annotated[int, Field(ge=0, lt=2**63), Expected("a whole number of 64 bits, at least 0")] = Field(
        51,
        description="of splits, batches and whatever else is drawn: the same seed and folder give the same loop",
    )
    classes: Annotated[tuple[str, ...], Expected("a list of names, each once")] = Field(
        KITTI_CLASSES,
        description="the classes that are labelled; the order is the model's. Frozen by the first label",
    )
    channels: dict[str, Channel] = Field(
        default_factory=lambda: dict(CHANNELS),
        description="slice -> what is done with it. Frozen by the split",
    )
    modalities: tuple[Literal["2d", "3d"], ...] = Field(
        ("2d", "3d"),
        description="what is labelled: boxes in images, cuboids in clouds; [2d] leaves clouds alone",
    )
    primary: Name = Field(
        "left",
        description="the channel that is shown, and that carries the scene's embedding. Frozen by the split",
    )
    fields: Fields = Fields()
    splits: Splits = Splits()
    embed: Embed = Embed()
    select: Select = Select()
    annotate: Annotate = Annotate()
    golden: Golden = Golden()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    stop: Stop = Stop()
    cost: Cost = Cost()

    @field_validator("classes")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if not value or twice:
            got = f"{shortly(twice[0])} twice" if twice else "none"
            raise ValueError(f"expected at least one class, each once, got {got}")
        odd = [
            name
            for name in value
            if not name.isprintable() or not 0 < len(name) <= 64 or set(name) & set("<>&")
        ]
        if odd:
            raise ValueError(
                f"expected class names of 1 to 64 printable characters without < > &, got {shortly(odd[0])}"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _slices_of_0_1(cls, given: Any) -> Any:
        """`slices: {image, right, cloud}` of swath 0.1 as channels."""
        if not isinstance(given, dict) or "slices" not in given or not isinstance(given["slices"], dict):
            return given
        names = {"image": "left", "right": "right", "cloud": "pcd"} | given["slices"]
        roles = {"image": "left", "right": "right", "cloud": "pcd"}
        if set(names) != set(roles):
            return given
        rest = {key: value for key, value in given.items() if key != "slices"}
        channels = {str(names[role]): CHANNELS[name] for role, name in roles.items()}
        return {"channels": channels, "primary": names["image"], **rest}

    @model_validator(mode="after")
    def _the_primary_is_a_channel(self) -> LoopConfig:
        if self.primary not in self.channels:
            hint = meant(self.primary, self.channels)
            there = ", ".join(self.channels) or "none"
            raise ValueError(f"primary: no channel {self.primary!r}{hint}; there are: {there}")
        kinds = {"2d" if one.kind == "image" else "3d" for one in self.channels.values() if one.labelled}
        if not kinds & set(self.modalities):
            raise ValueError(
                "channels: nothing is labelled; say `labelled: true` of one at least, of a kind that `modalities` has"
            )
        return self

    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()[:16]


def canonical(value: Any) -> bytes:
    """The one JSON spelling of `value`: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parse(data: Any, source: str, changes: Changes | None = None) -> LoopConfig:
    """A configuration from plain data; `source` names it in the error, where `changes` does not know a place."""
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a mapping of settings, got {shortly(data)}")
    try:
        return LoopConfig.model_validate(data)
    except ValidationError as error:
        told = _told(problems(LoopConfig, error), source, changes or Changes())
    if len(told) == 1:
        raise ConfigError(told[0])
    more = [f"... and {len(told) - MOST} more"] if len(told) > MOST else []
    raise ConfigError(f"{len(told)} settings cannot be", (*told[:MOST], *more))


MOST = 10  # mistakes that one message lists


def _told(found: list[Problem], source: str, changes: Changes) -> list[str]:
    """A line for each, in the order in which they were given."""
    order = {place: i for i, place in enumerate(dict.fromkeys(changes.places.values()))}
    placed = [(changes.place(tuple(map(str, one.at))), one) for one in found]
    placed.sort(key=lambda one: len(order) if one[0] is None else order[one[0]])
    return [
        ": ".join(part for part in (place.where if place else source, dotted(one.at), one.why) if part)
        for place, one in placed
    ]


def merged(base: LoopConfig, changes: Mapping[str, Any], source: str) -> LoopConfig:
    """`base` with the (nested) settings of `changes` put over it; errors say where in `changes`, if it knows (`Changes`)."""
    if not isinstance(changes, Mapping):
        raise ConfigError(f"{source}: expected a mapping of settings, got {shortly(changes)}")

    def over(old: Any, new: Any) -> Any:
        if isinstance(old, dict) and isinstance(new, Mapping):
            return {**old, **{key: over(old.get(key), value) for key, value in new.items()}}
        return new

    below = base.model_dump(mode="json")
    if "slices" in changes:  # of swath 0.1: they say the whole rig
        below = {name: value for name, value in below.items() if name not in ("channels", "primary")}
    known = changes if isinstance(changes, Changes) else None
    return parse(over(below, changes), source, known)


# ---------------------------------------------------------------------- where settings come from

Sources = Mapping[str, str]
"""Dotted name of a setting -> where it was given (`init --config swath.yaml`)."""


def values(config: LoopConfig) -> dict[str, Any]:
    """Dotted name -> value, of every setting."""
    return {".".join(at): value for at, value in flat(config.model_dump(mode="json")).items()}


def sources(
    known: Sources, before: LoopConfig, after: LoopConfig, changes: Mapping[str, Any], source: str
) -> dict[str, str]:
    """Where the settings of `after` come from that are no default: as `known` of `before`, but for those that `changes`
    changed."""
    was, now, defaults = (flat(one.model_dump(mode="json")) for one in (before, after, LoopConfig()))
    out = {}
    for at, value in now.items():
        name = ".".join(at)
        if at in was and was[at] == value:
            if name in known:
                out[name] = known[name]
        elif at not in defaults or defaults[at] != value:
            place = changes.place(at) if isinstance(changes, Changes) else None
            out[name] = place.source if place else source
    return out
