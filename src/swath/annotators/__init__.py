"""Annotators label scenes. `make(settings, ...)` gives the one that is configured.

base         the protocol: Work goes out, a Receipt comes back; Answers come in
app          people, in FiftyOne's App
work_set     what `app` makes for them
marks        what they say there of a scene: done, empty, skip
files        people, with any tool that reads and writes files
work_folder  what `files` writes for them
simulated    the hidden truth, with known errors
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swath.annotators.base import Annotator
from swath.config import Annotate
from swath.errors import ConfigError
from swath.labels.shapes import Labels

if TYPE_CHECKING:
    from swath.annotators.base import Work
    from swath.annotators.simulated import Truth

__all__ = ["make", "may_send"]


def may_send(settings: Annotate, classes: Sequence[str]) -> None:
    """SwathError where the annotator that `settings` name could be given no batch with these classes: asked before one is chosen."""
    if settings.annotator == "files" and settings.folder is not None:
        from swath.annotators import work_folder
        from swath.formats.kitti_records import spelled

        spelled(classes)
        work_folder.may_be_written(settings.folder)


def _nothing(work: Work) -> Mapping[str, Mapping[str, Labels]]:
    return {}


def make(
    settings: Annotate,
    *,
    truth: Callable[[], Truth],
    seed: int,
    loop: str = "",
    home: Path = Path(),
    suggest: Callable[[Work], Mapping[str, Mapping[str, Labels]]] = _nothing,
) -> Annotator:
    """The annotator that `settings` name; ConfigError when they name none.

    `truth()` gives the hidden truth, and is called for the simulated annotator alone; `seed` is its seed. `loop` and `home`: the
    dataset's name and its folder, for work sets; `suggest(work)` gives labels to begin with, by task and channel. Settings and
    receipts are recorded, so neither holds a secret: an annotator that needs a token reads it from the environment, at each
    call.
    """
    if settings.annotator == "app":
        from swath.annotators.app import App

        return App(loop, home, settings.people, suggest)
    if settings.annotator == "files":
        from swath.annotators.files import Files

        if settings.folder is None:
            raise ConfigError(
                "the `files` annotator needs a folder: --folder DIR, or annotate: {folder: DIR}"
            )
        return Files(settings.folder, media=settings.media)
    if settings.annotator == "simulated":
        from swath.annotators.simulated import Simulated
        from swath.worlds.annotators import ErrorRates, Flaws

        rates = ErrorRates(miss=settings.miss, extra=settings.extra, swap=settings.swap)
        flaws = Flaws(**settings.flaws.model_dump())
        return Simulated(truth(), rates, seed, flaws=flaws)
    raise ConfigError(
        "no annotator is configured; give --annotator simulated, --annotator app, or --annotator files --folder DIR"
    )
