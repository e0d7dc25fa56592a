"""Annotators label scenes. `make(settings, ...)` gives the one that is configured.

base         the protocol: Work goes out, a Receipt comes back; Answers come in
files        people, with any tool that reads and writes files
work_folder  what `files` writes for them
simulated    the hidden truth, with known errors
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from swath.annotators.base import Annotator
from swath.config import Annotate
from swath.errors import ConfigError

if TYPE_CHECKING:
    from swath.annotators.simulated import Truth

__all__ = ["make"]


def make(settings: Annotate, *, truth: Callable[[], Truth], seed: int) -> Annotator:
    """The annotator that `settings` name; ConfigError when they name none.

    `truth()` gives the hidden truth, and is called for the simulated annotator alone; `seed` is its seed. Settings and
    receipts are recorded, so neither holds a secret: an annotator that needs a token reads it from the environment, at each
    call.
    """
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
        "no annotator is configured; give --annotator simulated, or --annotator files --folder DIR"
    )
