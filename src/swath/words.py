"""How numbers and names read, in the terminal and in the report: one place for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from swath.records.base import Estimate
from swath.records.batch import Gain, Trainings

UNKNOWN: Final = "–"


def number(value: float | None, digits: int = 3) -> str:
    """`0.310`."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """`5.4 %`."""
    return UNKNOWN if value is None else f"{100 * value:.{digits}f} %"


def interval(estimate: Estimate | None, digits: int = 2) -> str:
    """`0.22 – 0.40`, empty where there is none."""
    if estimate is None or estimate.value is None or estimate.low is None:
        return ""
    return f"{number(estimate.low, digits)} – {number(estimate.high, digits)}"


def estimated(estimate: Estimate | None) -> str:
    """`0.310 (0.220 to 0.400)`."""
    if estimate is None or estimate.low is None:
        return number(estimate.value if estimate else None)
    return f"{number(estimate.value)} ({number(estimate.low)} to {number(estimate.high)})"


def signed(estimate: Estimate | None) -> str:
    """`+0.031 (-0.004 to +0.066)`."""
    if estimate is None or estimate.value is None:
        return UNKNOWN
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"


def compared(name: str, gain: Gain) -> str:
    """`v1 against v0 on the same 30 scenes of 12 drives: mAP +0.031 (-0.004 to +0.066): not told apart`."""
    said = {
        "better": "better",
        "worse": "worse",
        "not told apart": "not told apart",
        "unknown": "cannot be told: an interval needs two drives",
    }
    where = f"{name} against {gain.over} on the same {gain.scenes} scenes of {drives(gain.drives)}{trainings(gain)}"
    return f"{where}: mAP {signed(gain.map)}, mAP50 {signed(gain.map50)}: {said[gain.verdict]}"


def trainings(gain: Gain) -> str:
    """`, 3 trainings against 3`; empty where they were not repeated."""
    return "" if gain.trainings is None else ", {1} trainings against {0}".format(*gain.trainings)


def spread(of: Trainings) -> str:
    """`3 trainings: mAP50 0.310, 0.290, 0.330; mean 0.310 (0.220 to 0.400), standard deviation 0.020; mAP mean ...`."""
    each = ", ".join(number(one.map50) for one in of.each)
    return (
        f"{len(of.each)} trainings: mAP50 {each}; mean {estimated(of.map50)}, standard deviation {number(of.map50_sd)}; "
        f"mAP mean {estimated(of.map)}, standard deviation {number(of.map_sd)}"
    )


def drives(n: int | None) -> str:
    """`1 drive`, `12 drives`."""
    return UNKNOWN if n is None else f"{n} drive{'' if n == 1 else 's'}"


def counts(values: Mapping[str, int]) -> str:
    """`130 pool, 20 test`, in their order."""
    return ", ".join(f"{n} {name}" for name, n in values.items()) or "none"


def ranked(values: Mapping[str, int]) -> str:
    """`2 Cyclist, 1 Car`, most first."""
    return counts(dict(sorted(values.items(), key=lambda one: (-one[1], one[0]))))


def brief(text: str | None) -> str:
    """`text` with its numbers to two decimals: `zcore score 0.9716` becomes `zcore score 0.97`."""
    return re.sub(r"\b\d+\.\d{3,}\b", lambda found: f"{float(found[0]):.2f}", text or UNKNOWN)


def ordinal(n: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`, `22nd`."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def printable(text: str) -> str:
    """`text` on one line, without what a terminal would obey: names of files may hold anything."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
