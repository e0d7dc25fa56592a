"""Errors of a model that people make too: questions of labelling, not of learning.

A missed object is unclear if not every labelling of its scene holds it; a false one, if some labelling holds it
(`policies.opinions.excused`). Both need a scene that was labelled more than once. Such errors don't count as evidence of a failure, and
when most of what is left is of this kind, more labels of the same people will not help.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from swath.kernels.clustered import interval, mean
from swath.records.base import Estimate
from swath.records.batch import Ambiguity


class Error(NamedTuple):
    """One error of a model in a scene that people labelled more than once."""

    drive: str
    name: str
    unclear: bool


class Unclear(NamedTuple):
    """Of one channel of a scene: `missed` rows of the reference and `false` rows of the predictions that are unclear."""

    missed: frozenset[int] = frozenset()
    false: frozenset[int] = frozenset()


CLEAR: Final = Unclear()


def ambiguity(errors: Iterable[Error]) -> Ambiguity | None:
    """How much of what a model gets wrong is unclear; None where nothing can be said: no error in a scene with two labellings."""
    listed = list(errors)
    if not listed:
        return None
    drives = sorted({one.drive for one in listed})
    at = [drives.index(one.drive) for one in listed]
    share = mean([float(one.unclear) for one in listed], np.array(at))
    low, high = interval(share)
    of = Counter(one.name for one in listed)
    unclear = Counter(one.name for one in listed if one.unclear)
    return Ambiguity(
        errors=len(listed),
        ambiguous=sum(unclear.values()),
        share=Estimate(
            value=share.value,
            low=None if low is None else max(0.0, low),
            high=None if high is None else min(1.0, high),
        ),
        drives=len(drives),
        classes={name: round(unclear[name] / count, 6) for name, count in sorted(of.items())},
    )
