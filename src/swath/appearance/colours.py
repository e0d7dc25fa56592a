"""Colours of labels in the App."""

from __future__ import annotations

from typing import Final

from swath.appearance.names import fields_of
from swath.config import LoopConfig
from swath.labels.channels import Rig, sure
from swath.labels.colours import PALETTE, class_colours, mixed
from swath.records.base import Document

__all__ = ["LIGHTER", "PALETTE", "class_colours", "color_scheme", "mixed"]
LIGHTER: Final = 0.6  # how far a prediction's colour is on the way to white
OPACITY: Final = 0.6  # of labels: what is in a cuboid stays visible


def color_scheme(config: LoopConfig, rig: Rig) -> Document:
    """Colours by class, for every field that holds labels: predictions lighter than what people drew."""
    plain = class_colours(config.classes)
    light = {name: mixed(colour, "#FFFFFF", LIGHTER) for name, colour in plain.items()}
    ours, theirs, truth = PALETTE[0], mixed(PALETTE[0], "#FFFFFF", LIGHTER), PALETTE[-1]
    fields = []
    for name, colours, own in (
        *((name, plain, ours) for name in fields_of(rig, "human")),
        *((name, light, theirs) for field in fields_of(rig, "predictions") for name in (sure(field), field)),
        *((name, plain, PALETTE[3]) for name in (*fields_of(rig, "golden"), *fields_of(rig, "opinions"))),
        (config.fields.truth, plain, truth),
    ):
        values = [{"value": label, "color": colour} for label, colour in colours.items()]
        fields.append({"path": name, "fieldColor": own, "colorByAttribute": "label", "valueColors": values})
    return {"color_by": "value", "color_pool": list(PALETTE), "fields": fields, "opacity": OPACITY}
