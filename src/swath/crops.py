"""Vectors of parts of images: what an encoder sees in each window, kept, so that no window is encoded twice.

    HOME/crops/ENCODER-IMAGE.npz     boxes (n, 4) px and vectors (n, D) of one image, known by its content

A cache: what is damaged or gone is made again.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from swath import media
from swath.config import MEDIA_ENCODERS
from swath.encoders import make
from swath.encoders.base import Encoder
from swath.errors import ConfigError, FormatError
from swath.formats.files import write_atomic
from swath.formats.images import decode

Vectors = npt.NDArray[np.float32]
Window = tuple[int, int, int, int]
Progress = Callable[[int, int], None]
TOGETHER: Final = 256  # windows that are encoded in one go


def encoder_of(spec: str) -> Encoder:
    """The encoder of images that goes with the one of scenes; `ConfigError` where there is none."""
    kind = spec.partition(":")[0]
    if kind in ("field", "model") or spec == "descriptor:cloud":
        raise ConfigError(
            f"select.queries: objects are cut out of images, for which embed.encoder {spec!r} is no encoder; take one of "
            f"{', '.join(one for one in MEDIA_ENCODERS if one != 'descriptor:cloud')}, or `select.queries: scenes`"
        )
    return make("descriptor:image" if kind == "descriptor" else spec)


def vectors(
    home: Path, encoder: Encoder, wanted: Sequence[tuple[str, Window]], progress: Progress | None = None
) -> Vectors:
    """(n, D) float32, of the windows (x1, y1, x2, y2; whole px) of the images at these paths; a row of NaN where an image cannot be
    read. Quickest where those of an image stand together."""
    paths = list(dict.fromkeys(path for path, _ in wanted))
    of = dict(zip(paths, media.hashes(home, [{"image": path} for path in paths], 1), strict=True))
    (home / "crops").mkdir(parents=True, exist_ok=True)
    maker = hashlib.sha256(f"{encoder.name} {encoder.version}".encode()).hexdigest()[:12]
    out = np.full((len(wanted), encoder.dim), np.nan, np.float32)
    at = 0
    for number, (path, group) in enumerate(groupby(wanted, key=lambda one: one[0]), 1):
        windows = [window for _, window in group]
        kept = home / "crops" / f"{maker}-{of[path]}.npz"
        out[at : at + len(windows)] = _of_image(kept, encoder, path, windows)
        at += len(windows)
        if progress is not None:
            progress(number, len(paths))
    return out


def _of_image(kept: Path, encoder: Encoder, path: str, windows: Sequence[Window]) -> Vectors:
    known = _known(kept, encoder.dim)
    new = [window for window in dict.fromkeys(windows) if window not in known]
    if new:
        try:
            known |= zip(new, _encoded(encoder, path, new), strict=True)
        except FormatError:
            return np.full((len(windows), encoder.dim), np.nan, np.float32)
        _keep(kept, known)
    return np.stack([known[window] for window in windows])


def _encoded(encoder: Encoder, path: str, windows: Sequence[Window]) -> Vectors:
    """The windows as images of their own: encoders read files."""
    whole = decode(path)
    blocks = []
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(windows), TOGETHER):
            scenes = []
            for number, window in enumerate(windows[start : start + TOGETHER]):
                file = Path(folder) / f"{number}.bmp"
                whole.crop(window).save(file)
                scenes.append({"image": str(file)})
            blocks.append(encoder.encode(scenes).vectors)
    return np.concatenate(blocks)


def _known(kept: Path, dim: int) -> dict[Window, npt.NDArray[np.float32]]:
    """What is kept of an image; nothing where the file is not there or not whole."""
    try:
        with np.load(BytesIO(kept.read_bytes())) as file:
            boxes, found = file["boxes"], file["vectors"]
    except Exception:  # a damaged file makes numpy raise about anything
        return {}
    if boxes.shape != (len(found), 4) or found.shape[1:] != (dim,):
        return {}
    return {tuple(box): vector for box, vector in zip(boxes.tolist(), found, strict=True)}


def _keep(kept: Path, known: dict[Window, npt.NDArray[np.float32]]) -> None:
    data = BytesIO()
    np.savez(data, boxes=np.array(list(known), np.int32), vectors=np.stack(list(known.values())))
    write_atomic(kept, data.getvalue())
