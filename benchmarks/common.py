"""What the benchmarks share: options, the machine, time and memory, made data, results that are kept."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

Array = NDArray[Any]
Row = Mapping[str, Any]

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "faiss-cpu", "fiftyone", "pymongo", "torch")


def options(description: str | None) -> bool:
    """Read the command line: True for `--long`, False for `--short`, which is what none of both means."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--short", action="store_true", help="under a minute (the default)")
    group.add_argument("--long", action="store_true", help="what the figures in the documentation come from")
    return bool(parser.parse_args().long)


def machine() -> dict[str, Any]:
    """Date, processor, cores, memory, load and the versions of what is measured."""
    found: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "load_before": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "blas_threads": os.environ.get("OMP_NUM_THREADS", "default"),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def save(
    name: str, long: bool, what: str | None, tables: Mapping[str, Sequence[Row]], notes: Sequence[str] = ()
) -> None:
    """Keep and print `tables` (title -> rows of one shape) with the machine, as JSON and as Markdown."""
    size = "long" if long else "short"
    here = machine()
    RESULTS.mkdir(exist_ok=True)
    content = {"benchmark": name, "size": size, "machine": here, "tables": tables, "notes": list(notes)}
    (RESULTS / f"{name}-{size}.json").write_text(json.dumps(content, indent=1, default=_plain) + "\n")
    text = [f"# {name} ({size})", "", (what or "").strip(), ""]
    text += [", ".join(f"{key} {value}" for key, value in here.items()), ""]
    for title, rows in tables.items():
        text += [f"## {title}", "", *_markdown(rows), ""]
    text += [f"- {note}" for note in notes]
    (RESULTS / f"{name}-{size}.md").write_text("\n".join(text).rstrip() + "\n")
    print("\n".join(text))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


def _markdown(rows: Sequence[Row]) -> Iterator[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(_short(row.get(column, "")) for column in columns) + " |"


def _short(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return (
        f"{value:,}" if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else str(value)
    )


def say(text: str) -> None:
    """Progress, for people: on stderr, with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


@dataclass
class Cost:
    """Seconds on the clock, seconds of processor time, and the most memory above what was held before, in MB."""

    wall: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0


@contextmanager
def cost() -> Iterator[Cost]:
    """Measure the block. Memory is sampled every 2 ms, so that short peaks may be missed."""
    found, stop, process = Cost(), threading.Event(), psutil.Process()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield found
    finally:
        found.wall, found.cpu = time.perf_counter() - wall, time.process_time() - cpu
        stop.set()
        watcher.join()
        found.peak_mb = (max(peak, process.memory_info().rss) - before) / 2**20


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call in a fresh process, whose memory nothing else has touched."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def interval(values: Array, seed: int = 0) -> tuple[float, float, float]:
    """Mean of paired differences and its 95 % bootstrap interval (2,000 resamples)."""
    values = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    return float(values.mean()), *(float(q) for q in np.quantile(means, [0.025, 0.975]))


def clustered(rows: int, width: int, seed: int = 0) -> Array:
    """(rows, width) float32: 300 clusters of Zipf sizes and unlike spreads, with tails of Student's t (3)."""
    rng = np.random.default_rng(seed)
    sizes = 1 / np.arange(1, 301)
    centre = rng.standard_normal((300, width), dtype=np.float32)
    spread = rng.uniform(0.05, 0.5, 300).astype(np.float32)
    x = np.empty((rows, width), np.float32)
    for start in range(0, rows, 20_000):
        block = x[start : start + 20_000]
        label = rng.choice(300, len(block), p=sizes / sizes.sum())
        rng.standard_normal(out=block, dtype=np.float32)
        block *= (spread[label] / np.sqrt(rng.chisquare(3, len(block)) / 3).astype(np.float32))[:, None]
        block += centre[label]
    return x


def ragged(rows: int, width: int, seed: int = 0) -> Array:
    """As `clustered`, but every value has a tail of its own: outliers lie far out in some dimensions only."""
    rng = np.random.default_rng(seed)
    sizes = 1 / np.arange(1, 301)
    centre = rng.standard_normal((300, width), dtype=np.float32)
    spread = rng.uniform(0.05, 0.5, 300).astype(np.float32)
    x = np.empty((rows, width), np.float32)
    for start in range(0, rows, 20_000):
        block = x[start : start + 20_000]
        label = rng.choice(300, len(block), p=sizes / sizes.sum())
        block[:] = rng.standard_t(3, block.shape)
        block *= spread[label][:, None]
        block += centre[label]
    return x


def normalised(rows: int, width: int, seed: int = 0) -> Array:
    """As `clustered`, every row of length one."""
    x = clustered(rows, width, seed)
    x /= np.sqrt(np.einsum("ij,ij->i", x, x))[:, None]
    return x


def pictures() -> list[Array]:
    """scikit-image's larger colour photographs, (height, width, 3) uint8."""
    from skimage import data

    found = [
        getattr(data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket", "stereo_motorcycle")
    ]
    return [picture[0] if isinstance(picture, tuple) else picture for picture in found]


def described(image: Array) -> Array:
    """(486,) float32, the built-in descriptor of an image of 192 x 64 px."""
    from swath.encoders.descriptor import image_descriptor

    return image_descriptor(image).astype(np.float32)


def crop(picture: Array, middle: tuple[float, float], step: int, light: float) -> Array:
    """(64, 192, 3) float32 in 0 .. 1: of a crop of 192 x 64 times `step` px as near to `middle` as fits, every `step`-th pixel.

    middle: row and column as shares of the picture; light: what the brightness is multiplied by.
    """
    height, width = 64 * step, 192 * step
    top = int(np.clip(middle[0] * picture.shape[0] - height / 2, 0, picture.shape[0] - height))
    left = int(np.clip(middle[1] * picture.shape[1] - width / 2, 0, picture.shape[1] - width))
    part = picture[top : top + height : step, left : left + width : step]
    return np.asarray(part / 255 * light, np.float32)


def photographs(rows: int, seed: int = 0) -> Array:
    """(rows, 486) float32: descriptors of random crops of photographs."""
    rng, some = np.random.default_rng(seed), pictures()
    x = np.empty((rows, 486), np.float32)
    for row in range(rows):
        picture = some[rng.integers(len(some))]
        step = int(rng.integers(1, 1 + min(picture.shape[0] // 64, picture.shape[1] // 192)))
        x[row] = described(crop(picture, (rng.random(), rng.random()), step, rng.uniform(0.5, 1.0)))
    return x
