"""The rig of a dataset."""

from __future__ import annotations

import pytest

from swath.config import LoopConfig, parse
from swath.labels.channels import found, rig_of


def test_the_default_rig() -> None:
    """left and pcd are labelled and embedded, right is neither; the cameras are KITTI's; labels have the known fields."""
    rig = rig_of(LoopConfig(), ["pcd", "right", "left"])
    assert rig.names == ("left", "right", "pcd")
    assert rig.primary == "left"
    assert [one.name for one in rig.labelled] == [one.name for one in rig.embedded] == ["left", "pcd"]
    assert [one.name for one in rig.images] == ["left", "right"]
    assert [one.name for one in rig.clouds] == ["pcd"]
    assert [one.camera for one in rig.images] == ["P2", "P3"]
    assert rig.modalities == ("2d", "3d")
    flat, solid = rig["left"], rig["pcd"]
    assert (flat.modality, solid.modality) == ("2d", "3d")
    assert (flat.human, flat.golden, flat.opinions, flat.predictions) == (
        "human_detections",
        "golden_detections",
        "opinions_2d",
        "predictions",
    )
    assert (solid.human, solid.golden, solid.opinions, solid.predictions) == (
        "human_cuboids",
        "golden_cuboids",
        "opinions_3d",
        "predictions_3d",
    )


def test_only_what_is_there() -> None:
    """A slice that the dataset lacks is no channel; one that the configuration does not know is none either."""
    rig = rig_of(LoopConfig(), ["left", "thermal"])
    assert rig.names == ("left",)
    assert "left" in rig
    assert "pcd" not in rig
    assert "thermal" not in rig
    assert rig.modalities == ("2d",)


def test_six_cameras() -> None:
    """Any number of channels, in the configuration's order; a channel's camera is its own name if none is given."""
    names = [f"cam{i}" for i in (3, 1, 2, 6, 5, 4)]
    channels: dict[str, dict[str, object]] = {name: {"labelled": name != "cam1"} for name in names}
    channels["top"] = {"kind": "cloud", "embed": True}
    rig = rig_of(parse({"channels": channels, "primary": "cam3"}, "test"), [*sorted(names), "top"])
    assert rig.names == (*names, "top")
    assert [one.camera for one in rig.images] == names
    assert [one.name for one in rig.labelled] == [name for name in names if name != "cam1"]
    assert rig.modalities == ("2d",)
    assert [one.name for one in rig.embedded] == ["top"]


@pytest.mark.parametrize(
    ("kinds", "default", "primary", "labelled"),
    [
        ({"left": "image", "right": "image", "pcd": "cloud"}, "left", "left", {"left", "pcd"}),
        ({"left": "image", "right": "image", "pcd": "cloud"}, "pcd", "left", {"left", "pcd"}),
        ({"b": "image", "a": "image"}, None, "a", {"a"}),
        ({"b": "image", "a": "image"}, "b", "b", {"b"}),
        ({"b": "image", "a": "image"}, "gone", "a", {"a"}),
        ({"top": "cloud", "side": "cloud"}, "top", "top", {"side", "top"}),
        ({"top": "cloud"}, None, "top", {"top"}),
    ],
)
def test_found(kinds: dict[str, str], default: str | None, primary: str, labelled: set[str]) -> None:
    """The image that the dataset shows is labelled, else the first; all clouds are; a cloud is shown where no image is.
    What is found is a configuration."""
    channels, shown = found(kinds, default)
    assert shown == primary
    assert {name for name, one in channels.items() if one["labelled"]} == labelled
    assert {name: one["kind"] for name, one in channels.items()} == kinds
    rig = rig_of(parse({"channels": channels, "primary": shown}, "test"), kinds)
    assert set(rig.names) == set(kinds)
    assert {one.name for one in rig.labelled} == {one.name for one in rig.embedded} == labelled
