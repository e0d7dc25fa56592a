"""What people see of a loop in FiftyOne's App."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import quick_loop
from app_driver import App
from support import remove
from swath import appearance
from swath.loop import Loop

pytestmark = pytest.mark.database
NAME = "t-browser"


@pytest.fixture(scope="module")
def loop(browser: Any, mongod: str) -> Iterator[Loop]:
    """A loop whose first round is closed, as the App shows it."""
    made = quick_loop.at("closed", NAME)
    with made.workspace.writer("look") as writer:
        appearance.show(made.workspace, writer)
    yield made
    remove(NAME)


def test_a_loop_in_the_app(loop: Loop, app: App) -> None:
    """The grid opens with people's labels and sure predictions, the sidebar in its order, hidden things folded; every saved
    view opens on every slice, with its number of scenes."""
    app.open(NAME)
    print(app.count(), app.ticked(), app.groups())
    app.shot("grid")
    dataset = loop.workspace.scenes.dataset
    for slice_name in dataset.group_slices:
        app.show_slice(slice_name)
        for view in dataset.list_saved_views():
            app.show_view(view)
            print(slice_name, view, app.count(), len(dataset.load_saved_view(view)))
