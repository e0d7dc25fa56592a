"""Images of pool and val scenes, small enough to be part of a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from swath.errors import FormatError
from swath.formats.images import decode
from swath.steps.workspace import Workspace


@dataclass(frozen=True)
class Picture:
    """`uri`: a JPEG as a data URI, None when the image cannot be shown, and then `why`. Size in pixels as shown."""

    uri: str | None
    width: int
    height: int
    why: str = ""


def load(workspace: Workspace, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Picture]:
    """The primary image of each (scene key, width in pixels). A test scene among them is a `FrozenSplitError`."""
    listed = list(dict.fromkeys(wanted))
    if not listed:
        return {}
    workspace.not_test([key for key, _ in listed], "report")
    table = workspace.scenes.table
    there = set(table.keys.tolist())
    tick = workspace.progress("pictures of the report")
    found: dict[tuple[str, int], Picture] = {}
    for done, (key, width) in enumerate(listed, 1):
        if key in there:
            row = table.rows([key])[0]
            path, size = table.paths[workspace.config.slices.image][row], table.size[row]
            found[key, width] = picture(str(path), width, (int(size[0]), int(size[1])))
        else:
            found[key, width] = Picture(None, width, round(width * 0.3), "the scene is gone from the dataset")
        tick(done, len(listed))
    return found


def picture(path: str, width: int, size: tuple[int, int] = (0, 0)) -> Picture:
    """The image at `path`, `width` pixels wide. `size`: the image's (width, height) as far as known, for a placeholder."""
    height = max(1, round(width * size[1] / size[0])) if size[0] > 0 and size[1] > 0 else round(width * 0.3)
    if not path:
        return Picture(None, width, height, "the scene has no image")
    try:
        image = decode(path, near=width)
        height = max(1, round(width * image.height / image.width))
        small = image.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)
        out = io.BytesIO()
        small.save(out, "JPEG", quality=72, optimize=True)
    except FormatError:
        why = "the image cannot be read" if Path(path).exists() else "the image file is missing"
        return Picture(None, width, height, why)
    return Picture(f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}", width, height)
