"""The plugin, installed in a folder of this session's own; a loop to press its buttons on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from operators import to_its_end

from swath.plugin.install import install

URI = "@swath/loop"


@pytest.fixture(scope="session")
def plugins(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """FiftyOne's plugins folder, with swath's plugin in it and nothing else."""
    import fiftyone as fo

    folder, before = tmp_path_factory.mktemp("plugins"), fo.config.plugins_dir
    install(folder)
    fo.config.plugins_dir = str(folder)
    yield folder
    fo.config.plugins_dir = before


@pytest.fixture
def press(plugins: Path) -> Callable[..., dict[str, Any]]:
    """Runs an operator on a dataset, as FiftyOne does after a form was sent; gives back what it says."""
    import fiftyone.operators as foo

    def pressed(name: str, dataset: str, **given: Any) -> dict[str, Any]:
        context = {part: given.pop(part) for part in ("selected", "current_sample") if part in given}
        request = {"dataset": dataset, "params": given, **context}
        result = to_its_end(lambda: foo.execute_operator(f"{URI}/{name}", request))
        assert result.error is None
        return dict(result.result or {})

    return pressed


@pytest.fixture
def form(plugins: Path) -> Callable[..., Any]:
    """The form of an operator, filled in so far: what the App gets to draw."""
    import asyncio

    from fiftyone.operators.executor import resolve_type
    from fiftyone.operators.registry import OperatorRegistry

    def resolved(name: str, dataset: str, **given: Any) -> dict[str, Any]:
        context = {part: given.pop(part) for part in ("selected", "current_sample") if part in given}
        request = {"dataset_name": dataset, "params": given, "target": "inputs", **context}
        found = to_its_end(lambda: asyncio.run(resolve_type(OperatorRegistry(), f"{URI}/{name}", request)))
        told: dict[str, Any] = found.to_json()
        assert "error" not in told, told
        return told

    return resolved
