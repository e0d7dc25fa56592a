"""Errors of a model that people make too: their share, by drive and class."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from swath.policies.unclear import Error, ambiguity


def test_counts_by_hand() -> None:
    """Three drives with 4, 2 and 2 errors, of which 3, 0 and 1 are unclear: half of eight, and by class."""
    listed = (
        [Error("a", "car", True)] * 3
        + [Error("a", "person", False)]
        + [Error("b", "car", False)] * 2
        + [Error("c", "person", True), Error("c", "person", False)]
    )
    found = ambiguity(listed)
    assert found is not None
    assert (found.errors, found.ambiguous, found.share.value, found.drives) == (8, 4, 0.5, 3)
    assert found.classes == {"car": 0.6, "person": round(1 / 3, 6)}
    # Ratio estimate by drive: sums of (value - mean) are 3 - 2, 0 - 1, 1 - 1; variance 3/2 * (1 + 1) / 64.
    half = stats.t.ppf(0.975, 2) * np.sqrt(1.5 * 2 / 64)
    assert found.share.low == pytest.approx(max(0.0, 0.5 - half))
    assert found.share.high == pytest.approx(min(1.0, 0.5 + half))


def test_what_cannot_be_said() -> None:
    """No error in a scene with two labellings: nothing; one drive: a share without an interval."""
    assert ambiguity([]) is None
    alone = ambiguity([Error("a", "car", True)])
    assert alone is not None
    assert (alone.share.value, alone.share.low, alone.share.high) == (1.0, None, None)
