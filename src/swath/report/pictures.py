"""Images of pool and val scenes, small enough to be part of a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from swath.errors import FormatError
from swath.formats.images import decode
from swath.labels.channels import Channel, Rig
from swath.workspace import Workspace


@dataclass(frozen=True)
class Picture:
    """`uri`: a JPEG as a data URI, None when the image cannot be shown, and then `why`. Size in pixels as shown."""

    uri: str | None
    width: int
    height: int
    why: str = ""


def shown(rig: Rig) -> Channel | None:
    """The camera that pictures are of: the channel that is shown, or the first camera where that is a cloud."""
    cameras = rig.images
    return next((one for one in cameras if one.name == rig.primary), next(iter(cameras), None))


def drawn(rig: Rig) -> Channel | None:
    """The camera that boxes are drawn in: the one that pictures are of, or the first labelled one."""
    labelled = [one for one in rig.images if one.labelled]
    of = shown(rig)
    return of if of in labelled else next(iter(labelled), None)


def load(
    workspace: Workspace, camera: Channel | None, wanted: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Picture]:
    """The image that `camera` took of each (scene key, width in pixels). A test scene among them is a `FrozenSplitError`."""
    listed = list(dict.fromkeys(wanted))
    if not listed:
        return {}
    keys = [key for key, _ in listed]
    table = workspace.scenes.of(workspace.not_test(keys, "report"))
    tick = workspace.progress("pictures of the report")
    found: dict[tuple[str, int], Picture] = {}
    for done, (key, width) in enumerate(listed, 1):
        if key not in table.row_of:
            found[key, width] = Picture(None, width, round(width * 0.3), "the scene is gone from the dataset")
        elif camera is None:
            found[key, width] = Picture(None, width, round(width * 0.3), "the rig has no camera")
        else:
            found[key, width] = picture(table.path(camera.name, key), width, table.size(camera.name, key))
        tick(done, len(listed))
    return found


def picture(
    path: str, width: int, size: tuple[int, int] = (0, 0), window: tuple[int, int, int, int] | None = None
) -> Picture:
    """The image at `path`, `width` pixels wide, or the part of it in `window` (x1, y1, x2, y2; its pixels). `size`: the image's
    (width, height) as far as known, for a placeholder."""
    if window is not None:
        size = window[2] - window[0], window[3] - window[1]
    height = max(1, round(width * size[1] / size[0])) if size[0] > 0 and size[1] > 0 else round(width * 0.3)
    if not path:
        return Picture(None, width, height, "the scene has no image")
    try:
        image = decode(path, near=width) if window is None else decode(path).crop(window)
        height = max(1, round(width * image.height / image.width))
        small = image.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)
        out = io.BytesIO()
        small.save(out, "JPEG", quality=72, optimize=True)
    except FormatError:
        why = "the image cannot be read" if Path(path).exists() else "the image file is missing"
        return Picture(None, width, height, why)
    return Picture(f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}", width, height)
