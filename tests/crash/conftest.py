"""The bench that the proofs share: made once, put back to a prepared state before each experiment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "fixtures" / "loop_0_1_0"))

from bench import Bench


@pytest.fixture(scope="session")
def bench(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    from swath.worlds import make_world

    assert hasattr(os, "fork"), "these proofs fork, kill and stop processes"
    folder = tmp_path_factory.mktemp("bench")
    make_world(folder / "world", scenes=24, seed=3, scale=0.1)
    made = Bench(mongod, folder, folder / "world")
    yield made
    made.close()
