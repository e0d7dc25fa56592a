"""Colours of classes, that colour-blind people can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

PALETTE: Final = (  # Okabe and Ito (2008), https://jfly.uni-koeln.de/color/, but for black: that is Tol's wine
    *("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2", "#882255"),
)


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
