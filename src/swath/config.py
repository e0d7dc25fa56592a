"""Every knob of a loop, validated, with its unit; hashed into each round.

`LoopConfig` is what `swath.yaml` holds. A setting that does not exist or is out of range is a `ConfigError` that names it.
The configuration of a dataset is kept in the journal at `init`; a later `--config` changes it for the rounds that follow,
and each round records the hash of what it ran under.
"""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from swath.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]

KITTI_CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Slices(_Section):
    """Names of the slices. `image` is the primary one: it carries embeddings and 2D labels."""

    image: str = "left"
    right: str = "right"
    cloud: str = "pcd"


class Fields(_Section):
    """Names of the sample fields (DESIGN section 4)."""

    detections: str = "human_detections"
    cuboids: str = "human_cuboids"
    golden_detections: str = "golden_detections"
    golden_cuboids: str = "golden_cuboids"
    predictions: str = "predictions"
    embeddings: str = "embeddings"
    zcore: str = "zcore"
    status: str = "annotation_status"
    sequence: str = "sequence"
    truth: str = "ground_truth"


class Splits(_Section):
    """Shares of the scenes; the pool is what is left."""

    test: Share = 0.15
    val: Share = 0.15
    golden: Share = 0.05
    by: Literal["sequence", "scene"] = "sequence"
    join_duplicates: float | None = Field(
        None,
        ge=0,
        le=1,
        description="cosine similarity from which two scenes without a common drive are one unit",
    )
    audit_pairs: Count = 20

    @model_validator(mode="after")
    def _something_is_left(self) -> Splits:
        if self.test + self.val + self.golden >= 1:
            raise ValueError("test + val + golden must leave a pool (sum below 1)")
        return self


class Embed(_Section):
    """`encoder`: `descriptor[:image|:cloud]`, `onnx:PATH`, `zoo:NAME`, `model:vN`, `field:NAME`."""

    encoder: str = Field("descriptor", pattern=r"^(descriptor(:image|:cloud)?|(onnx|zoo|model|field):.+)$")
    workers: int = Field(1, ge=1)


class Select(_Section):
    """Sizes of batches, and what fills them."""

    first_share: Share = 0.25
    first_min: Count = 20
    share: Share = 0.20
    min: Count = 10
    coverage_share: str = "0.30"
    coverage_method: Literal["zcore", "zcore_joint", "kcenter", "random"] = "zcore"
    failures: int = Field(10, ge=1, description="failures that are answered, at most")
    neighbors: int = Field(100, ge=1, description="candidates looked up per failure")
    class_evidence: Share = Field(
        0.5, description="what the model sees of the failing kinds, against looks alone (0)"
    )
    zcore_neighbors: int = Field(1000, ge=1)
    zcore_overlap: Share = 0.8
    zcore_max_draws: int | None = Field(None, ge=2)
    workers: int = Field(1, ge=1)

    @field_validator("coverage_share")
    @classmethod
    def _a_share(cls, value: str) -> str:
        if value.endswith("/0") or not 0 <= Fraction(value) <= 1:
            raise ValueError("expected a share between 0 and 1")
        return value


class Annotate(_Section):
    annotator: Literal["simulated", "files"] | None = None
    folder: Path | None = Field(None, description="where the `files` annotator reads and writes")
    miss: Share = 0.025
    extra: Share = 0.015
    swap: Share = 0.01

    @model_validator(mode="after")
    def _files_are_somewhere(self) -> Annotate:
        if self.annotator == "files" and self.folder is None:
            raise ValueError("the files annotator needs a folder: --folder DIR, or annotate: {folder: DIR}")
        return self


class Golden(_Section):
    """Accepted error rates per axis, and when a deviation is called one."""

    miss: Share = 0.05
    extra: Share = 0.03
    swap: Share = 0.02
    shift: Share = 0.05
    iou: Share = Field(0.5, description="2D IoU from which a blind label and a reference are one object")
    center: float = Field(
        2.0, gt=0, description="metres in bird's eye view within which two cuboids are one object"
    )
    shift_iou: Share = Field(0.7, description="a matched box below this 2D IoU is shifted")
    shift_center: float = Field(0.5, gt=0, description="metres from which a matched cuboid is shifted")
    warn_alpha: Share = 0.05
    block_alpha: Share = 0.01
    min_objects: Count = 20


class Train(_Section):
    trainer: Literal["center"] = "center"
    width: int = Field(384, ge=32, multiple_of=16, description="pixels: width of the network's input")
    steps: int = Field(600, ge=1)
    batch: int = Field(4, ge=1)
    lr: float = Field(2e-3, gt=0)
    threads: int = Field(1, ge=1)
    seed: int = 0


class Evaluate(_Section):
    iou: Share = 0.5
    resamples: int = Field(200, ge=10)
    interval: float = Field(0.95, gt=0, lt=1)


class Stop(_Section):
    """`target`: mAP whose lower bound must be reached. `min_gain`: the gain in mAP per round that is worth a round."""

    target: float | None = Field(None, ge=0, le=1)
    min_gain: float = Field(0.01, ge=0)
    patience: int = Field(2, ge=1, description="rounds in a row below `min_gain`")


class LoopConfig(_Section):
    """The configuration of one loop. `classes` is the frozen class map; its order is the model's."""

    seed: int = Field(51, ge=0)
    classes: tuple[str, ...] = KITTI_CLASSES
    slices: Slices = Slices()
    fields: Fields = Fields()
    splits: Splits = Splits()
    embed: Embed = Embed()
    select: Select = Select()
    annotate: Annotate = Annotate()
    golden: Golden = Golden()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    stop: Stop = Stop()

    @field_validator("classes")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("expected at least one class, each once")
        odd = [
            name
            for name in value
            if not name.isprintable() or not 0 < len(name) <= 64 or set(name) & set("<>&")
        ]
        if odd:
            raise ValueError(f"class names of 1 to 64 printable characters without < > &; not {odd[0]!r}")
        return value

    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()[:16]


def canonical(value: Any) -> bytes:
    """The one JSON spelling of `value`: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def parse(data: Any, source: str) -> LoopConfig:
    """A configuration from plain data; `source` names it in the error."""
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a mapping of settings, got {type(data).__name__}")
    try:
        return LoopConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        more = f" (+{error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(
            f"{source}: {name or 'settings'}: {first['msg']}, got {first['input']!r}{more}"
        ) from None


def merged(base: LoopConfig, changes: dict[str, Any], source: str) -> LoopConfig:
    """`base` with the (nested) settings of `changes` put over it."""
    if not isinstance(changes, dict):
        raise ConfigError(f"{source}: expected a mapping of settings, got {type(changes).__name__}")

    def over(old: Any, new: Any) -> Any:
        if isinstance(old, dict) and isinstance(new, dict):
            return {**old, **{key: over(old.get(key), value) for key, value in new.items()}}
        return new

    return parse(over(base.model_dump(mode="json"), changes), source)


def read(path: Path) -> dict[str, Any]:
    """The settings of a YAML file, not yet validated."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give --config an existing YAML file"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected YAML in UTF-8, got other bytes") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, got {type(data).__name__}")
    return data
