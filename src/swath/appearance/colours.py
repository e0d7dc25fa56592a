"""Colours of labels in the App."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from swath.appearance.names import fields_of, sure
from swath.config import LoopConfig
from swath.labels.channels import Rig
from swath.records.base import Document

PALETTE: Final = (  # Okabe and Ito (2008), https://jfly.uni-koeln.de/color/, but for black: that is Tol's wine
    *("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2", "#882255"),
)
LIGHTER: Final = 0.6  # how far a prediction's colour is on the way to white
OPACITY: Final = 0.6  # of labels: what is in a cuboid stays visible


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """class -> colour, `#RRGGBB`. Eight can be told apart; the next eight are the same, darker, and so on."""
    out = {}
    for place, name in enumerate(classes):
        lap, first = divmod(place, len(PALETTE))
        out[name] = mixed(PALETTE[first], "#000000", 1 - 0.65**lap)
    return out


def mixed(one: str, two: str, share: float) -> str:
    """The colour at `share` of the way from one to the other."""
    pairs = [(int(one[i : i + 2], 16), int(two[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


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
