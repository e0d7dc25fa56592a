from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swath.errors import ConfigError
from swath.trainers.fitting import Pace, unrivalled

PACE = Pace(epochs=10, seconds=100, steps=0, batch=4, lr=1e-3, checks=5)


def test_training_grows_with_the_files_up_to_the_seconds() -> None:
    """Ten epochs of 50 files in fours are 125 steps; ten times as many files ten times as many, until what they are said to
    cost is more than the seconds; a given number of steps is what it is; there is always one.
    """
    assert [PACE.length(files, 0.01) for files in (50, 500, 5000)] == [125, 1250, 2500]
    assert replace(PACE, steps=7).length(500, 0.01) == 7
    assert PACE.length(500, 1000.0) == PACE.length(1, 0.01) - 2 == 1


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"seconds": 0}, {"steps": -1}, {"batch": 0}, {"lr": 0}, {"checks": 0}]
)
def test_a_pace_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    """Nothing to do, and nothing to do it with."""
    with pytest.raises(ConfigError, match="expected"):
        replace(PACE, **wrong)  # type: ignore[arg-type]


def test_who_lost_to_a_loser_stays() -> None:
    """Of three in a row, each the rival of its neighbours, the first and the last stay."""
    rivals = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=bool)
    assert unrivalled(rivals).tolist() == [True, False, True]
    assert unrivalled(rivals[:0, :0]).tolist() == []
