"""The rig: the sensors of a dataset as channels, and what is done with each.

A channel is a slice with a role: an image or a cloud, labelled or not (2D boxes in images, cuboids in clouds), embedded or
not. One channel is shown (`primary`): its picture stands for the scene, and it carries the scene's embedding and score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from swath.config import LoopConfig
from swath.labels.shapes import Modality

Kind = Literal["image", "cloud"]


@dataclass(frozen=True)
class Channel:
    """One sensor. `name`: its slice; `camera`: its entry in a scene's calibration; the rest: names of sample fields."""

    name: str
    kind: Kind
    labelled: bool
    embed: bool
    camera: str
    human: str
    golden: str
    opinions: str
    predictions: str

    @property
    def modality(self) -> Modality:
        """What labels of it are: `2d` in an image, `3d` in a cloud."""
        return "2d" if self.kind == "image" else "3d"


@dataclass(frozen=True)
class Rig:
    """The channels of a dataset that it has, in the configuration's order, and the name of the one that is shown."""

    channels: tuple[Channel, ...]
    primary: str

    def __getitem__(self, name: str) -> Channel:
        return next(channel for channel in self.channels if channel.name == name)

    def __contains__(self, name: object) -> bool:
        return any(channel.name == name for channel in self.channels)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.channels)

    @property
    def images(self) -> tuple[Channel, ...]:
        return tuple(channel for channel in self.channels if channel.kind == "image")

    @property
    def clouds(self) -> tuple[Channel, ...]:
        return tuple(channel for channel in self.channels if channel.kind == "cloud")

    @property
    def labelled(self) -> tuple[Channel, ...]:
        return tuple(channel for channel in self.channels if channel.labelled)

    @property
    def embedded(self) -> tuple[Channel, ...]:
        return tuple(channel for channel in self.channels if channel.embed)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """`2d`, `3d`: those in which something is labelled, in this order."""
        kinds = {channel.modality for channel in self.labelled}
        return tuple(one for one in ("2d", "3d") if one in kinds)


def sure(field: str) -> str:
    """Name of the field with those predictions of `field` that are at or above the operating threshold."""
    return f"{field}_sure"


def rig_of(config: LoopConfig, slices: Iterable[str]) -> Rig:
    """The rig of a dataset with these `slices`: the configured channels that it has."""
    there = set(slices)
    fields = config.fields
    channels = []
    for name, one in config.channels.items():
        flat = one.kind == "image"
        asked = ("2d" if flat else "3d") in config.modalities
        if name in there:
            channels.append(
                Channel(
                    name,
                    one.kind,
                    one.labelled and asked,
                    one.embed,
                    one.calibration or name,
                    human=fields.detections if flat else fields.cuboids,
                    golden=fields.golden_detections if flat else fields.golden_cuboids,
                    opinions=fields.opinions_2d if flat else fields.opinions_3d,
                    predictions=fields.predictions if flat else fields.predictions_3d,
                )
            )
    return Rig(tuple(channels), config.primary)


def found(kinds: Mapping[str, str], default: str | None) -> tuple[dict[str, dict[str, object]], str]:
    """Settings (`channels`, `primary`) for a dataset whose slices are of these `kinds` ("image", "cloud").

    Where `left`, `right`, `pcd` cover it they are what they always are. Else every cloud is labelled and embedded, and of
    the images the one that the dataset shows by `default`, or the first.
    """
    images = sorted(name for name, kind in kinds.items() if kind == "image")
    clouds = sorted(name for name, kind in kinds.items() if kind == "cloud")
    primary = default if default in kinds else next(iter(images + clouds))
    if default in clouds and images:
        primary = images[0]
    channels: dict[str, dict[str, object]] = {}
    for name in [*images, *clouds]:
        used = name in clouds or name == primary
        channels[name] = {"kind": kinds[name], "labelled": used, "embed": used}
    return channels, str(primary)
