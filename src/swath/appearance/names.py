"""Names of the fields that are for the App alone, and of those that channels have."""

from __future__ import annotations

from typing import Final

from swath.labels.channels import Rig

SCENE: Final = "scene_3d"  # of cloud slices: the file that the App draws
MAP: Final = "swath_map"  # the brain run with the map of embeddings
MARK: Final = "swath"  # what the map was made from, and which settings of the App are swath's
EVALUATION: Final = r"^eval_v\d+(_3d)?(_|$)"


def fields_of(rig: Rig, role: str) -> list[str]:
    """Names of the fields that labelled channels have for `role` (`human`, `predictions`, ...), each once."""
    return list(dict.fromkeys(getattr(channel, role) for channel in rig.labelled))
