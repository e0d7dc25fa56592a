"""Media in, vectors out: the protocol of all encoders, and the part they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from swath.errors import SwathError

Sensor = Literal["image", "cloud"]
Progress = Callable[[int, int], None]  # scenes done, scenes in all

T = TypeVar("T")


@dataclass(frozen=True)
class Encoded:
    """`vectors` (n, dim) float32, one row per scene given, in its order; a row of NaN where a scene could
    not be read. `problems`: (row, reason) of those, ascending by row."""

    vectors: npt.NDArray[np.float32]
    problems: tuple[tuple[int, str], ...]


@runtime_checkable
class Encoder(Protocol):
    """Turns scenes into vectors. The same files give the same bytes for any number of workers.

    `name` is what `make` was asked for; `version` changes whenever the numbers would; `slices` says which
    sensors are read; `dim` is the length of a vector.
    """

    name: str
    version: str
    slices: tuple[Sensor, ...]

    @property
    def dim(self) -> int: ...

    def encode(
        self, paths: Sequence[Mapping[str, str]], *, workers: int = 1, progress: Progress | None = None
    ) -> Encoded:
        """Vectors of the scenes in `paths`, each a mapping of sensor ("image", "cloud") -> file path.

        `workers` is the number of threads that decode; `progress(done, total)` is called as scenes are done.
        A scene with a missing or damaged file becomes a problem, never an exception.
        """


def gather(
    paths: Sequence[Mapping[str, str]],
    one: Callable[[Mapping[str, str]], npt.NDArray[np.float32]],
    dim: int,
    workers: int,
    progress: Progress | None,
) -> Encoded:
    """Rows of `one(scene)`, (dim,) float32 each, for every scene; what it raises for a damaged file is
    reported."""
    vectors = np.full((len(paths), dim), np.nan, np.float32)
    problems: list[tuple[int, str]] = []

    def attempt(scene: Mapping[str, str]) -> npt.NDArray[np.float32] | str:
        try:
            vector = one(scene)
        except (SwathError, OSError, ValueError, SyntaxError) as error:
            return _reason(error)
        return vector if np.isfinite(vector).all() else "the vector is not finite"

    for row, outcome in enumerate(in_order(attempt, paths, workers)):
        if isinstance(outcome, str):
            problems.append((row, outcome))
        else:
            vectors[row] = outcome
        if progress is not None:
            progress(row + 1, len(paths))
    return Encoded(vectors, tuple(problems))


def in_order(
    function: Callable[[Mapping[str, str]], T], paths: Sequence[Mapping[str, str]], workers: int
) -> Iterator[T]:
    """`function` of each of `paths`, in their order, with a bounded number of them in flight."""
    if workers <= 1:
        yield from map(function, paths)
        return
    with ThreadPoolExecutor(workers) as pool:
        rest = iter(paths)
        flying = [pool.submit(function, scene) for scene in islice(rest, 4 * workers)]
        while flying:
            yield flying.pop(0).result()
            flying += [pool.submit(function, scene) for scene in islice(rest, 1)]


def path_of(scene: Mapping[str, str], sensor: Sensor) -> str:
    """The path of `sensor`, or a SwathError that becomes the scene's problem."""
    path = scene.get(sensor)
    if not path:
        raise SwathError(f"no {sensor} in this scene (it has {', '.join(sorted(scene)) or 'nothing'})")
    return path


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, SwathError) else f"{type(error).__name__}: {text}"
