"""Opening FiftyOne's App: which dataset, at which scene, on which port, and what to say about it.

Every call has an App server of its own, on loopback: a server remembers slice, view and panels, and a second page that opens
another dataset switches the first one's.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from swath import database
from swath.annotators import marks
from swath.annotators.marks import INFO, Scene
from swath.errors import ConflictError, StateError, SwathError, some
from swath.store.scenes import load_dataset
from swath.suggest import command

FIRST_PORT: Final = 5151
TRIED: Final = 50  # ports from there that are looked at
ADDRESS: Final = "127.0.0.1"
CUBOIDS: Final = "cuboids: click a corner at the front, then back along the side, then across; begun at the rear they face backwards"
LOOKS: Final = 2.0  # seconds between looks whether the server is there


@dataclass(frozen=True)
class Place:
    """What to open: a dataset, and of a work set the scene that waits next; `lines`: what there is to say."""

    dataset: Any
    query: str = ""
    lines: tuple[str, ...] = ()

    def url(self, port: int) -> str:
        asked = f"?{self.query}" if self.query else ""
        return f"http://{ADDRESS}:{port}/datasets/{quote(str(self.dataset.name), safe='')}{asked}"


def place_of(name: str) -> Place:
    """What `swath app` opens: the dataset `name`, of a work set at the scene that waits next."""
    database.ensure()
    dataset = load_dataset(name)
    if marks.is_work_set(dataset) is None:
        return Place(dataset)
    return _next(dataset)


def work_sets(loop: str | None = None) -> list[str]:
    """Names of the work sets there are, sorted; those of one `loop`, if it is named."""
    wanted = {"$exists": True} if loop is None else loop
    found = database.connected().datasets.find({f"info.{INFO}.loop": wanted}, {"name": 1})
    return sorted(str(one["name"]) for one in found)


def open_work_set(loop: str | None = None) -> str | None:
    """Name of the one work set in which scenes wait, of those of a `loop` if one is named; None where there is no work set.
    `StateError` where one cannot tell which is meant."""
    names = work_sets(loop)
    if not names:
        return None
    waiting = [name for name in names if marks.waiting(load_dataset(name))] if len(names) > 1 else names
    if len(waiting) == 1:
        return waiting[0]
    which = waiting or names
    ways = [command("app", name) for name in which]
    raise StateError(f"{len(which)} work sets are there ({some(which)}); say which one", ways)


def _next(dataset: Any) -> Place:
    name, (loop, batch) = dataset.name, marks.is_work_set(dataset) or ("", "")
    scenes = marks.scenes(dataset)
    waits = [scene for scene in scenes if scene.waits]
    fetch = command("fetch", loop)
    if not waits:
        line = f"{name}: all {len(scenes)} scenes of {batch} are labelled or marked; take them in: `{fetch}`"
        return Place(dataset, lines=(line,))
    first = waits[0]
    lines = (
        f"{name}: {len(waits)} of {len(scenes)} scenes wait; opens at {first.task}",
        f"what you draw is saved as you draw; take it in as often as you like: `{fetch}`",
        *([CUBOIDS] if any(one.draw == marks.CUBOIDS for scene in scenes for one in scene.slices) else []),
    )
    return Place(dataset, _query(dataset, first), lines)


def _query(dataset: Any, scene: Scene) -> str:
    """The part of the App's address that opens a scene, on the first slice that lacks labels. With the group alone the App shows
    the scene, but tells no operator which one is open: the buttons that mark it need the sample."""
    one = scene.opens_at
    if dataset.media_type != "group":
        return urlencode({"id": one.sample_id})
    return urlencode({"slice": one.name, "groupId": scene.group_id, "id": one.sample_id})


# ---------------------------------------------------------------------- the server


def free_port(asked: int | None) -> int:
    """The port that was `asked` for, or the first free one; `ConflictError` where it is taken."""
    ports: Sequence[int] = range(FIRST_PORT, FIRST_PORT + TRIED) if asked is None else [asked]
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
            return port
    if asked is not None:
        raise ConflictError(
            f"port {asked} is taken (another App?); leave --port out, and a free one is found"
        )
    raise ConflictError(f"ports {ports[0]} to {ports[-1]} are taken; end an App, or give a free one: --port")


def wait(name: str, port: int) -> None:
    """Until the App's server on `port` is gone: SwathError; `name`: of the dataset that it shows."""
    while True:
        time.sleep(LOOKS)
        with socket.socket() as probe:
            if probe.connect_ex((ADDRESS, port)) == errno.ECONNREFUSED:
                break
    ways = [command("app", name)]
    raise SwathError(
        f"the App's server on port {port} has ended; what was drawn is saved; open it again", ways
    )


def has_display() -> bool:
    """Whether a browser can be shown here."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def remotely(port: int) -> str:
    """What to say where there is no display."""
    return (
        f"no display here: the App is served on loopback; from your own machine: ssh -N -L {port}:{ADDRESS}:{port} HOST, then "
        "open the address above there"
    )
