"""Embedding vectors: which can be compared, how alike two are, and whether they are still the same.

Index space: row i of `vectors` (n, D) belongs to `keys[i]`. Nothing here makes a copy of the vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.config import canonical

Vectors = NDArray[Any]

_VALUES = 2**20  # values that are handled in one go


def usable(vectors: Vectors) -> NDArray[np.bool_]:
    """(n,) whether each row of (n, D) is finite and not zero; no row is where D = 0."""
    if vectors.shape[1] == 0:
        return np.zeros(len(vectors), dtype=bool)
    low, high = vectors.min(axis=1), vectors.max(axis=1)  # NaN where there is one
    return np.asarray(np.isfinite(low) & np.isfinite(high) & ((low != 0) | (high != 0)))


def cosine(one: Vectors, two: Vectors) -> float:
    """Cosine similarity of two vectors (D,), neither zero, added up in float64."""
    a, b = one.astype(np.float64), two.astype(np.float64)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def fingerprint(keys: Sequence[str], vectors: Vectors) -> str:
    """SHA-256 over keys (n) and vectors (n, D) as little-endian float32: tells whether a batch was chosen from the same ones."""
    sha = hashlib.sha256(hashlib.sha256(canonical(list(keys))).hexdigest().encode())
    step = max(1, _VALUES // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        sha.update(np.ascontiguousarray(vectors[start : start + step], dtype="<f4").tobytes())
    return sha.hexdigest()
