"""How numbers and names read, in the terminal and in the report: one place for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from swath.records.base import Estimate

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
