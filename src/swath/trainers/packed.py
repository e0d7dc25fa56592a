"""A foreign model on disk: what a command wrote, a file or a folder, and a header (JSON), in one zip file.

It is known by the sha256 of its content: the header, and every file by name and bytes; never by time stamps.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from swath.errors import IntegrityError, SwathError
from swath.trainers.base import Model


class Hash(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


HEADER: Final = "swath.json"
ROOT: Final = "model"
_TIME: Final = (1980, 1, 1, 0, 0, 0)


def pack(made: Path, header: Mapping[str, Any], out: Path) -> str:
    """Packs the file or folder `made` into `out`, whole or not at all; returns the digest."""
    files = (
        {ROOT: made}
        if made.is_file()
        else {
            f"{ROOT}/{path.relative_to(made).as_posix()}": path for path in made.rglob("*") if path.is_file()
        }
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    whole = _begun(header)
    try:
        with zipfile.ZipFile(partial, "w") as target:
            target.writestr(zipfile.ZipInfo(HEADER, _TIME), json.dumps(header, sort_keys=True))
            for name, path in sorted(files.items()):
                with (
                    path.open("rb") as source,
                    target.open(zipfile.ZipInfo(name, _TIME), "w", force_zip64=True) as into,
                ):
                    whole.update(f"{name} {path.stat().st_size} ".encode())
                    while block := source.read(1 << 20):
                        whole.update(block)
                        into.write(block)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return whole.hexdigest()


def unpack(model: Model, folder: Path) -> Path:
    """Puts the model into `folder`; returns the path of the file or folder that the command wrote. IntegrityError unless it is
    exactly that of `model`."""
    try:
        with zipfile.ZipFile(model.path) as source:
            header = json.loads(source.read(HEADER))
            whole = _begun(header)
            for entry in sorted(source.infolist(), key=lambda one: one.filename):
                if entry.filename == HEADER:
                    continue
                whole.update(f"{entry.filename} {entry.file_size} ".encode())
                _copy(source, entry, folder, whole)
    except FileNotFoundError as error:
        raise SwathError(f"{model.path}: the model file is not there; train again") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise IntegrityError(f"{model.path}: expected a model file, got: {error}; train again") from error
    digest = whole.hexdigest()
    if digest != model.sha256 or tuple(header["classes"]) != tuple(model.classes):
        raise IntegrityError(
            f"{model.path}: expected the model {model.sha256[:12]}, got {digest[:12]}: the file was changed or "
            "belongs to another round; train again"
        )
    return folder / ROOT


def _begun(header: Mapping[str, Any]) -> Hash:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode())


def _copy(source: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, whole: Hash) -> None:
    """Writes one file of the zip below `folder`, and hashes it on its way."""
    target = folder / entry.filename
    if not target.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"a file that leads out of the model: {entry.filename[:60]!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open(entry) as packed, target.open("wb") as into:
        while block := packed.read(1 << 20):
            whole.update(block)
            into.write(block)


def remove(folder: Path) -> None:
    """Removes a folder, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
