"""A mongod of the session's own, and folders and datasets made once. Threads are few: two cores must do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
os.environ["FIFTYONE_DATABASE_VALIDATION"] = "false"
os.environ["FIFTYONE_SHOW_PROGRESS_BARS"] = "false"
os.environ["FIFTYONE_DEFAULT_BATCHER"] = (
    "static"  # by default FiftyOne writes as many samples at once as the clock allows
)
os.environ["FIFTYONE_BATCHER_STATIC_SIZE"] = "20"

import pytest
from hypothesis import settings

from support import remove

LONG_FIRST = (
    "crash",
    "loop",
    "replay",
    "plugin",
    "browser",
    "properties",
    "cli",
    "report",
    "worlds",
    "backtest",
)

settings.register_profile("swath", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("swath")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `database` have the session's mongod before anything else: FiftyOne, imported earlier, would take the database of
    whoever runs the tests. Folders of long tests come first: else one process has them at the end, and the other nothing to do."""
    here = Path(__file__).parent
    for item in items:
        if item.get_closest_marker("database") and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "mongod")

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(here).parts[0]
        return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)

    items.sort(key=place)


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a mongod that this session starts and ends; FiftyOne in this process and in children uses it."""
    from swath import database

    server = database.start(tmp_path_factory.mktemp("mongod"))
    os.environ["FIFTYONE_DATABASE_URI"] = server.uri
    os.environ["FIFTYONE_DATABASE_DIR"] = str(server.folder)
    yield server.uri
    server.stop()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Made KITTI folders at a quarter of KITTI's size, by number of scenes; each is made once."""
    from swath.worlds import make_world

    made: dict[int, Path] = {}

    def get(scenes: int) -> Path:
        if scenes not in made:
            made[scenes] = tmp_path_factory.mktemp(f"world{scenes}")
            make_world(made[scenes], scenes=scenes, seed=3, scale=0.25)
        return made[scenes]

    return get


@pytest.fixture
def dataset_name(mongod: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test uses; its dataset and journal are removed afterwards."""
    import hashlib

    name = "t-" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    remove(name)
    yield name
    remove(name)
