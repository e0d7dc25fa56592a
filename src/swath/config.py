"""Every knob of a loop, validated, with its unit; hashed into each round.

`LoopConfig` is what `swath.yaml` holds. A setting that does not exist or is out of range is a `ConfigError` that names it.
The configuration of a dataset is kept in the journal at `init`; a later `--config` changes it for the rounds that follow,
and each round records the hash of what it ran under.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from swath.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]

LARGEST = 1_000_000  # bytes of a file of settings
DEEPEST = 20  # levels of its nesting

KITTI_CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Channel(_Section):
    """One sensor, by the name of its slice: an image or a cloud. Labelled: 2D boxes in an image, cuboids in a cloud."""

    kind: Literal["image", "cloud"] = "image"
    labelled: bool = False
    embed: bool = Field(False, description="its vector is part of the scene's")
    calibration: str | None = Field(
        None, description="its name in a scene's calibration; without one, the channel's own"
    )


CHANNELS: Mapping[str, Channel] = {
    "left": Channel(labelled=True, embed=True, calibration="P2"),
    "right": Channel(calibration="P3"),
    "pcd": Channel(kind="cloud", labelled=True, embed=True),
}


class Fields(_Section):
    """Names of the sample fields. Those of labels are the same in every channel of a kind."""

    detections: str = "human_detections"
    cuboids: str = "human_cuboids"
    golden_detections: str = "golden_detections"
    golden_cuboids: str = "golden_cuboids"
    opinions_2d: str = "opinions_2d"
    opinions_3d: str = "opinions_3d"
    predictions: str = "predictions"
    predictions_3d: str = "predictions_3d"
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

    budget: int | None = Field(
        None, ge=1, description="scenes per batch, in place of the shares; what there is at most"
    )
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

    @field_validator("coverage_share", mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:
        """0.3 and "3/10" are shares as well as "0.30"."""
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("coverage_share")
    @classmethod
    def _a_share(cls, value: str) -> str:
        if value.endswith("/0") or not 0 <= Fraction(value) <= 1:
            raise ValueError("expected a share between 0 and 1")
        return value


class Annotate(_Section):
    """Who labels. Secrets (tokens, passwords) are no settings: settings are recorded; secrets come from the environment."""

    annotator: Literal["simulated", "files"] | None = None
    folder: Path | None = Field(None, description="where the `files` annotator reads and writes")
    media: Literal["copy", "link"] = Field(
        "copy",
        description="how the `files` annotator gets its media: a copy tells nothing of a scene, a link its name",
    )
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


class Center(_Section):
    """The built-in image detector."""

    width: int = Field(384, ge=32, multiple_of=16, description="pixels: width of the network's input")
    steps: int = Field(600, ge=1)
    batch: int = Field(4, ge=1)
    lr: float = Field(2e-3, gt=0)


class Pillars(_Section):
    """The built-in point cloud detector."""

    steps: int = Field(400, ge=1)
    batch: int = Field(4, ge=1)
    lr: float = Field(2e-3, gt=0)


class Train(_Section):
    """`trainer` learns images, `trainer_3d` clouds; each has settings of its own."""

    trainer: Literal["center"] = "center"
    trainer_3d: Literal["pillars", "none"] = Field(
        "none", description="also train on clouds; a rig without labelled images always does"
    )
    threads: int = Field(1, ge=1)
    seed: int = 0
    center: Center = Center()
    pillars: Pillars = Pillars()

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


class Evaluate(_Section):
    iou: Share = 0.5
    resamples: int = Field(200, ge=10, description="of the drives, for the 95 % intervals")

    @model_validator(mode="before")
    @classmethod
    def _interval_of_0_1(cls, given: Any) -> Any:
        """`interval` was a setting that nothing read: intervals are 95 %."""
        if isinstance(given, dict):
            return {name: value for name, value in given.items() if name != "interval"}
        return given


class Stop(_Section):
    """`target`: mAP whose lower bound must be reached. `min_gain`: the gain in mAP per round that is worth a round."""

    target: float | None = Field(None, ge=0, le=1)
    min_gain: float = Field(0.01, ge=0)
    patience: int = Field(2, ge=1, description="rounds in a row below `min_gain`")


class LoopConfig(_Section):
    """The configuration of one loop. `classes` is the frozen class map; its order is the model's."""

    seed: int = Field(51, ge=0, lt=2**63)
    classes: tuple[str, ...] = KITTI_CLASSES
    channels: dict[str, Channel] = Field(
        default_factory=lambda: dict(CHANNELS), description="slice -> what is done with it"
    )
    modalities: tuple[Literal["2d", "3d"], ...] = Field(
        ("2d", "3d"),
        description="what is labelled: boxes in images, cuboids in clouds; [2d] leaves clouds alone",
    )
    primary: str = Field(
        "left", description="the channel that is shown, and that carries the scene's embedding"
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
            raise ValueError(
                f"primary: no channel {self.primary!r}; there are: {', '.join(self.channels) or 'none'}"
            )
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
        if path.stat().st_size > LARGEST:
            raise ConfigError(
                f"{path}: expected settings, got {path.stat().st_size:,} bytes (at most {LARGEST:,})"
            )
        text = path.read_text()
        _plain_yaml(path, text)
        data = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give --config an existing YAML file"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected YAML in UTF-8, got other bytes") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}{where}: not YAML: {problem}") from None
    except (ValueError, RecursionError) as error:  # a date or a number that cannot be
        raise ConfigError(f"{path}: not YAML that can be read: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, got {type(data).__name__}")
    return data


def _plain_yaml(path: Path, text: str) -> None:
    """Refuses YAML that is deeper than any settings are, or refers to itself: a few lines of that fill the memory."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(
                f"{path}, line {line}: references (*{event.anchor}) are not for settings; write it out"
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ConfigError(f"{path}, line {line}: nested deeper than any setting is ({DEEPEST} levels)")
