"""What an evaluation found, prediction by prediction: enough to score a round again on any scenes of it, with any weights.

Kept apart from its round (`Evaluated.matches`), so that two rounds are compared on the same drives without running a model
again. Numbers are packed: little-endian arrays, as base64.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.kernels.detection import Matched
from swath.records.base import Record


class ClassMatches(Record):
    """One class, best score first: `scores` (float64), `sample` (int32, positions in `Matches.samples`), `right` (uint16, bit t is
    overlap t) of its predictions; `references` (int32) of each sample."""

    scores: str
    sample: str
    right: str
    references: str


class Matches(Record):
    """One modality. `samples`: (scene, channel, drive, digest of the reference) of each; `overlaps`: how many; those from
    `strict` on are the mean's."""

    samples: tuple[tuple[str, str, str, str], ...]
    classes: tuple[ClassMatches, ...]
    overlaps: int
    strict: int

    @property
    def drives(self) -> list[str]:
        return [drive for _, _, drive, _ in self.samples]

    def unpacked(self, rows: Sequence[int] | None = None) -> list[Matched]:
        """The matches by class; on the samples at `rows` alone, in that order."""
        there = np.arange(len(self.samples)) if rows is None else np.array(rows, dtype=np.int64)
        place = np.full(len(self.samples), -1, dtype=np.int64)
        place[there] = np.arange(len(there))
        bits = np.arange(self.overlaps, dtype=np.uint16)[:, None]
        out = []
        for one in self.classes:
            image = place[_read(one.sample, "<i4").astype(np.int64)]
            kept = image >= 0
            right = (_read(one.right, "<u2")[None, :] >> bits & 1).astype(bool)
            references = _read(one.references, "<i4").astype(np.int64)[there]
            out.append(Matched(_read(one.scores, "<f8")[kept], image[kept], right[:, kept], references))
        return out


def packed(
    matched: Sequence[Matched], samples: Sequence[tuple[str, str, str, str]], strict: int = 0
) -> Matches:
    """The matches of one modality, by class; image i is `samples[i]`."""
    overlaps = max((len(one.right) for one in matched), default=0)
    bit = (1 << np.arange(overlaps, dtype=np.int64))[:, None]
    return Matches(
        samples=tuple(samples),
        classes=tuple(
            ClassMatches(
                scores=_spelled(one.scores, "<f8"),
                sample=_spelled(one.image, "<i4"),
                right=_spelled((one.right * bit).sum(axis=0), "<u2"),
                references=_spelled(one.references, "<i4"),
            )
            for one in matched
        ),
        overlaps=overlaps,
        strict=strict,
    )


def _spelled(values: npt.NDArray[np.generic], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode()


def _read(text: str, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype=kind)
