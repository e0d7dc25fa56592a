"""Whole units that add up to a target, and a few members spread over units. Index space: positions in the list of units."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, count

import numpy as np

_WIDTHS = (2**10, 2**14, 2**18, 2**22)  # how many sums are listed: more, where fewer don't tell; then all


def choose(lengths: Sequence[int], target: int) -> set[int]:
    """Positions whose lengths add up to `target`, or as near as can be (then below rather than above).

    lengths (n,) >= 0, target >= 0. A sum is made of the first units that can make it. ValueError on negative numbers.

    What n units leave out of a sum adds up to (all n) - sum, so the first n units make a sum where they make that rest. Of
    the first units that are long enough little is left out, and the small sums say nearly always which units make a large
    one; where they don't, more sums are listed.
    """
    if target < 0 or min(lengths, default=0) < 0:
        raise ValueError(
            f"expected lengths and a target of 0 or more, got {min(lengths, default=0)}, {target}"
        )
    every = target + max(lengths, default=0) + 1  # a larger sum comes nearer without one of its units
    for width in (*(one for one in _WIDTHS if one < every), every):
        try:
            return _choose(_Sums(lengths, width, target), target)
        except _MoreSumsNeeded:
            continue
    raise AssertionError("where every sum is listed, no more are needed")


def _choose(sums: _Sums, target: int) -> set[int]:
    total = next(one for one in sums.near(target) if one == 0 or sums.made_by(one) is not None)
    taken: set[int] = set()
    while total:
        last = sums.made_by(total)
        assert last is not None, "what a sum is made of is a sum"
        taken.add(last)
        total -= sums.lengths[last]
    return taken


class _MoreSumsNeeded(Exception):
    """The sums that are listed don't tell."""


class _Sums:
    """Sums of the first units: those below `width` are listed, larger ones are made out from what is left out of them."""

    def __init__(self, lengths: Sequence[int], width: int, target: int) -> None:
        self.lengths = lengths
        self._width = width
        self._listed = _listed(lengths, width, target)
        self._totals = list(accumulate(lengths))
        self._unit = math.gcd(*lengths)

    def near(self, target: int) -> Iterator[int]:
        """What could be a sum, nearest to the target first, of two equally near the smaller."""
        most = self._totals[-1] if self._totals else 0
        for away in count(max(0, target - most)):
            for one in (target - away, target + away):
                if 0 <= one <= most and (one == 0 or one % self._unit == 0):
                    yield one

    def made_by(self, one: int) -> int | None:
        """The last of the first units that can make this sum (> 0); None if all of them can't."""
        if one < self._width:
            return self._listed.get(one)
        for i in range(bisect_left(self._totals, one), len(self._totals)):
            rest = self._totals[i] - one
            if rest >= self._width:
                raise _MoreSumsNeeded
            if rest == 0 or self._listed.get(rest, len(self._totals)) <= i:
                return i
        return None


def _listed(lengths: Sequence[int], width: int, target: int) -> dict[int, int]:
    """Sum, 0 < sum < width -> position of the last of the first units that can make it; those needed for `target`."""
    every = (1 << width) - 1
    reached, found = 1, dict[int, int]()  # bit s of `reached`: some units make s
    idle: set[int] = set()  # lengths that add no sum to `reached`
    for i, length in enumerate(lengths):
        if length in idle or length >= width:
            continue
        new = (reached << length) & every & ~reached
        if not new:
            idle.add(length)
            continue
        idle.clear()
        reached |= new
        one = 0
        while new:
            zeros = (new & -new).bit_length() - 1
            one += zeros
            found[one] = i
            new >>= zeros + 1
            one += 1
        if reached == every or reached >> target & 1:
            break
    return found


def spread(units: Sequence[Sequence[str]], n: int, rng: np.random.Generator) -> set[str]:
    """`n` keys (all, if there are fewer), one per unit in turn, each unit's keys in a random order."""
    queues = [
        [unit[i] for i in rng.permutation(len(unit))] if len(unit) > 1 else list(unit) for unit in units
    ]
    out: list[str] = []
    while len(out) < n and any(queues):
        for queue in queues:
            if queue and len(out) < n:
                out.append(queue.pop())
    return set(out)
