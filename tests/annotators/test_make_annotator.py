"""The configured annotator."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from works import LEFT, SIZE, work_of

from swath.annotators import make
from swath.annotators.base import Task
from swath.annotators.files import Files
from swath.annotators.simulated import ErrorRates, Known, Simulated, Truth
from swath.config import Annotate
from swath.errors import ConfigError
from swath.labels.shapes import Boxes


def no_truth() -> NoReturn:
    raise AssertionError("the hidden truth was asked for")


@pytest.mark.parametrize("media", ["copy", "link"])
def test_files(tmp_path: Path, media: str) -> None:
    """`files` works in the configured folder, with copies or links, and never asks for the hidden truth."""
    settings = Annotate.model_validate({"annotator": "files", "folder": tmp_path, "media": media})
    made = make(settings, truth=no_truth, seed=1)
    assert isinstance(made, Files)
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"picture")
    made.send(work_of(Task("a", {"left": str(picture)}, {"left": SIZE}, (LEFT,))))
    assert (tmp_path / "v0/media/left/a.png").is_symlink() == (media == "link")


def test_simulated() -> None:
    """`simulated` errs at the configured rates, by the seed that is given."""
    boxes = Boxes([[float(i), 0, i + 9, 9] for i in range(0, 600, 10)], ("Car",) * 60)  # type: ignore[arg-type]

    def truth() -> Truth:
        return lambda task: Known(task, {"left": boxes})

    work = work_of(Task("a", {}, {"left": SIZE}, (LEFT,)))
    settings = Annotate(annotator="simulated", miss=0.5, extra=0.25, swap=0.125)
    made = make(settings, truth=truth, seed=7)
    alike = Simulated(truth(), ErrorRates(miss=0.5, extra=0.25, swap=0.125), seed=7)
    assert made.fetch(work, {}) == alike.fetch(work, {})
    assert made.fetch(work, {}) != make(settings, truth=truth, seed=8).fetch(work, {})


def test_none() -> None:
    """Without an annotator, or with `files` and no folder, the error says what to give."""
    with pytest.raises(ConfigError, match="no annotator is configured; give --annotator simulated"):
        make(Annotate(), truth=no_truth, seed=1)
    with pytest.raises(ConfigError, match="needs a folder: --folder DIR"):
        make(Annotate.model_construct(annotator="files", folder=None), truth=no_truth, seed=1)
