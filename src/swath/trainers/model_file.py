"""A model on disk: a header (JSON) and named tensors in one .npz, without pickled code, written whole or
not at all.

A model is known by the sha256 of its content, not of the file's bytes: the header, and every tensor by
name, shape, type and values.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import IntegrityError, SwathError
from swath.trainers.base import Model


def _digest(header: Mapping[str, Any], state: Mapping[str, NDArray[Any]]) -> str:
    """sha256 of what a model is: classes, input size, and every tensor by name, shape, type and values."""
    whole = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(state):
        values = state[name]
        whole.update(f"{name} {values.shape} {values.dtype.str}".encode())
        whole.update(np.ascontiguousarray(values).tobytes())
    return whole.hexdigest()


def write_model(out: Path, header: Mapping[str, Any], state: Mapping[str, NDArray[Any]]) -> str:
    """Writes the model whole or not at all (a new file, then a rename), and returns its digest."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {f"state:{name}": values for name, values in state.items()}
    np.savez(content, header=np.array(json.dumps(header)), **arrays)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return _digest(header, state)


def read_model(model: Model, formats: Sequence[int]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and tensors of a model file of one of these formats; IntegrityError unless they are exactly those of
    `model`."""
    try:
        with np.load(model.path, allow_pickle=False) as content:
            header = json.loads(str(content["header"]))
            state = {name[6:]: content[name] for name in content.files if name.startswith("state:")}
    except FileNotFoundError as error:
        raise SwathError(f"{model.path}: the model file is not there; train again") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise IntegrityError(f"{model.path}: expected a model file, got: {error}; train again") from error
    digest = _digest(header, state)
    if digest != model.sha256 or tuple(header["classes"]) != tuple(model.classes):
        raise IntegrityError(
            f"{model.path}: expected the model {model.sha256[:12]}, got {digest[:12]}: the file was changed or "
            "belongs to another round; train again"
        )
    if header["format"] not in formats:
        known = " or ".join(map(str, formats))
        raise SwathError(
            f"{model.path}: expected a model file of format {known}, got {header['format']}: another version of swath wrote it; use that "
            "one, or train again"
        )
    return header, state
