"""The axes of a golden check: what is counted and what is measured in each modality, in which unit, within which tolerance, and
how that reads in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from swath.config import Golden
from swath.kernels import deviations
from swath.records.batch import Confused

Unit = Literal["iou", "ratio", "share", "m", "degrees"]

COUNTED: Final[Mapping[str, tuple[str, ...]]] = {
    "2d": ("miss", "extra", "swap", "shift"),
    "3d": ("miss", "extra", "swap", "shift", "flip", "exchange"),
}
"""Per modality, what is counted: reference objects nobody labelled, labels without a reference object, pairs of another class, pairs
drawn too far off, cuboids that face the other way, cuboids whose length and width are exchanged."""
KINDS: Final = COUNTED["3d"]
WORDS: Final[Mapping[str, str]] = {
    "miss": "missed",
    "extra": "labelled without a reference object",
    "swap": "of another class",
    "shift": "drawn too far off",
    "flip": "facing the other way",
    "exchange": "with length and width exchanged",
}


CUT: Final[Mapping[Unit, float]] = {"iou": 0.2, "ratio": 0.25, "share": 0.1, "m": 0.2, "degrees": 10.0}
"""How far from the median of all objects a single one counts at most: what is further off is an error, and counted as one."""


class Measure(NamedTuple):
    """A measured axis. `setting`: its tolerance and margin in `golden: {tolerance, margin}`; `signed`: whether both directions
    count; `more`, `less`: what labels are when the value is high, or low."""

    name: str
    unit: Unit
    setting: str
    signed: bool
    more: str
    less: str

    def tolerance(self, settings: Golden) -> float:
        """In the unit of the values: 10 % larger is log 1.1."""
        return self._of(float(getattr(settings.tolerance, self.setting)))

    def margin(self, settings: Golden) -> float:
        return self._of(float(getattr(settings.margin, self.setting)))

    def _of(self, value: float) -> float:
        return math.log1p(value) if self.unit == "ratio" else value


MEASURED: Final[Mapping[str, tuple[Measure, ...]]] = {
    "2d": (
        Measure("iou", "iou", "iou", False, "boxes fit better", "boxes fit worse"),
        Measure("area", "ratio", "area", True, "boxes are larger", "boxes are smaller"),
        Measure("left", "share", "edge", True, "left edges are further out", "left edges are further in"),
        Measure("top", "share", "edge", True, "top edges are further out", "top edges are further in"),
        Measure("right", "share", "edge", True, "right edges are further out", "right edges are further in"),
        Measure("bottom", "share", "edge", True, "bottom edges are further out", "bottom edges are further in"),
    ),
    "3d": (
        Measure("along", "m", "center", True, "cuboids sit further ahead, along their heading", "cuboids sit further back, along their heading"),
        Measure("across", "m", "center", True, "cuboids sit further to their left", "cuboids sit further to their right"),
        Measure("up", "m", "center", True, "cuboids sit higher", "cuboids sit lower"),
        Measure("forward", "m", "center", True, "cuboids sit further from the sensor, forward", "cuboids sit nearer, backward"),
        Measure("leftward", "m", "center", True, "cuboids sit further left of the sensor", "cuboids sit further right of the sensor"),
        Measure("distance", "m", "distance", False, "centres are further off", "centres are nearer"),
        Measure("length", "ratio", "size", True, "cuboids are longer", "cuboids are shorter"),
        Measure("width", "ratio", "size", True, "cuboids are wider", "cuboids are narrower"),
        Measure("height", "ratio", "size", True, "cuboids are taller", "cuboids are flatter"),
        Measure("yaw", "degrees", "yaw", True, "cuboids are turned further to the left", "cuboids are turned further to the right"),
        Measure("turn", "degrees", "turn", False, "headings are further off", "headings are nearer"),
    ),
}  # fmt: skip
assert tuple(one.name for one in MEASURED["2d"]) == deviations.BOX
assert tuple(one.name for one in MEASURED["3d"]) == deviations.CUBOID


def mistaken(one: Confused) -> str:
    """`car called van`, `car missed`, `car that is none`."""
    if one.said is None:
        return f"{one.truth} missed"
    return f"{one.said} that is none" if one.truth is None else f"{one.truth} called {one.said}"


LARGEST: Final = math.log(100)
"""Of a logarithm of a ratio that is said as a number."""


def measure_of(axis: str) -> Measure:
    """`2d iou` -> its measure."""
    modality, _, name = axis.partition(" ")
    return next(one for one in MEASURED[modality] if one.name == name)


def in_words(value: float, unit: Unit, *, sign: bool = False, short: bool = False) -> str:
    """A value with its unit: `0.872`, `+10.3 %`, `0.11 m`, `-2.1 degrees`; ratios are logarithms, and read as per cent. `short`: for
    tables and charts, `-2.1°`. A ratio above a hundred is said as such."""
    plus = "+" if sign else ""
    if unit == "ratio" and value > LARGEST:
        return f"over {100 * math.expm1(LARGEST):.0f} %"  # a few objects that scatter widely: nothing would be seen
    digits = {"iou": 3, "m": 2}.get(unit, 1)
    shown = 100 * math.expm1(value) if unit == "ratio" else 100 * value if unit == "share" else value
    number = f"{round(shown, digits) + 0.0:{plus}.{digits}f}"  # + 0.0: never minus zero
    if unit == "iou":
        return number
    if unit == "m":
        return f"{number} m"
    if unit == "degrees":
        return f"{number}°" if short else f"{number} degrees"
    return f"{number} %" if unit == "ratio" or short else f"{number} % of the side"
