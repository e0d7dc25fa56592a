"""Point clouds as PCD v0.7, the format that FiftyOne's App draws.

Source: the PCD file format page of the Point Cloud Library,
https://pointclouds.org/documentation/tutorials/pcd_file_format.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import FormatError
from swath.formats.files import write_atomic

_DTYPES = {
    **{("F", size): f"<f{size}" for size in (4, 8)},
    **{("I", size): f"<i{size}" for size in (1, 2, 4, 8)},
    **{("U", size): f"<u{size}" for size in (1, 2, 4, 8)},
}
_LONGEST_HEADER = 4096


def write_pcd(path: Path, cloud: NDArray[np.float32]) -> None:
    """Write a cloud, (N, 4) `x, y, z, intensity` in metres and 0..1, as binary PCD. N may be 0.

    The same cloud gives the same bytes, and a reader never sees half a file.
    """
    points = np.ascontiguousarray(cloud, dtype="<f4")
    if points.ndim != 2 or points.shape[1] != 4:
        raise ValueError(f"expected a cloud of shape (N, 4), got {points.shape}")
    header = (
        "# .PCD v0.7 - Point Cloud Data file format\n"
        "VERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
        f"WIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA binary\n"
    )
    write_atomic(path, header.encode("ascii") + points.tobytes())


def read_pcd(path: Path) -> NDArray[np.float32]:
    """Read a cloud, (N, 4) float32 `x, y, z, intensity`; intensity is 0 where the file has none.

    Binary and ascii files with any further fields are read. FormatError for everything else,
    `binary_compressed` included.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: expected a PCD file, but it can't be read: {error.strerror}") from error
    header, start = _header(path, data)
    try:
        count = int(header["POINTS"][0])
        kinds = zip(header["FIELDS"], header["TYPE"], header["SIZE"], strict=True)
        counts = [int(n) for n in header.get("COUNT", ["1"] * len(header["FIELDS"]))]
        fields: list[Any] = [
            (f"{name}{i}" if name == "_" else name, _DTYPES[kind, int(size)], (n,) if n > 1 else ())
            for i, ((name, kind, size), n) in enumerate(zip(kinds, counts, strict=True))
        ]
        dtype = np.dtype(fields)
        encoding = header["DATA"][0]
        if encoding == "binary":
            points = np.frombuffer(data, dtype, count, start)
        elif encoding == "ascii":
            points = np.array(
                [tuple(row.split()) for row in data[start:].decode("ascii").splitlines()], dtype
            )
        else:
            raise FormatError(
                f"{path}: expected DATA binary or ascii, got {encoding}; convert the file to binary"
            )
        if len(points) != count:
            raise ValueError(f"{len(points)} points where the header says {count}")
        intensity = points["intensity"] if "intensity" in header["FIELDS"] else np.zeros(count)
        columns = [
            np.asarray(column, np.float32) for column in (points["x"], points["y"], points["z"], intensity)
        ]
        if any(column.shape != (count,) for column in columns):
            raise ValueError("x, y, z and intensity are expected to be one number each")
        return np.stack(columns, axis=1)
    except (KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
        raise FormatError(
            f"{path}: expected a whole PCD v0.7 file with x, y, z; reading it failed: {error}"
        ) from error


def _header(path: Path, data: bytes) -> tuple[dict[str, list[str]], int]:
    """The header's entries, and where the points start."""
    entries: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in entries:
        end = data.find(b"\n", start, _LONGEST_HEADER)
        if end < 0:
            raise FormatError(f"{path}: expected a PCD header that ends in a DATA line, found none")
        words = data[start:end].decode("ascii", errors="replace").split()
        if words and not words[0].startswith("#"):
            entries[words[0]] = words[1:]
        start = end + 1
    return entries, start
