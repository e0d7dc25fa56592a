"""The built-in detector for point clouds: a small bird's-eye-view center detector, trained from nothing.

The 3D side of `center`, made for the same end: it closes the loop on any machine, in under a minute on one
CPU thread, with 0.17 million parameters. What it does differently is said in `_pillars_net` and
`_pillars_clouds`. With one thread the same scans, settings and seed give the same weights, bit for bit, on
the same machine and torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, SwathError, some
from swath.formats.pcd import read_pcd
from swath.kernels.cuboids import from_yawed, yawed
from swath.kernels.detection3d import Predictions3D, References3D, match_scenes
from swath.labels.shapes import Modality
from swath.trainers._pillars_clouds import (
    Cutout,
    Grid,
    Shake,
    Sweep,
    choose_grid,
    cut_out,
    from_above,
    read_sweep,
    set_in,
)
from swath.trainers.base import Model, Progress
from swath.trainers.fitting import Learner, Pace, channels_last, hold_out, learn, steady_torch, weights
from swath.trainers.model_file import read_model, write_model
from swath.trainers.scores import fit_scores, fitted

if TYPE_CHECKING:
    from torch import Tensor

    from swath.trainers._pillars_net import PillarNet, Wanted

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

FORMATS: Final = (1, 2)  # of the model file; 1: no fitted scores
SECONDS: Final = 0.8
"""Of processor time that a million pillars of a window cost each time they train (Intel Xeon, one thread)."""

_LOOKED_AT = 12  # scans whose points say how bright bright is, and without objects how far to look


class LabelledClouds(Protocol):
    """What `PillarTrainer.fit` reads of a training set: the fields of `CloudSet`, under these names."""

    @property
    def media(self) -> tuple[str, ...]: ...
    @property
    def shapes(self) -> tuple[Array, ...]: ...
    @property
    def labels(self) -> tuple[Labels, ...]: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, eq=False)
class CloudSet:
    """Labelled clouds. Row i of each: the path of a .pcd, its cuboids (n, 9), its labels (n,), and its drive.

    Cuboids are x, y, z, l, w, h, rx, ry, rz in the LiDAR frame, metres and radians. `groups` and `classes`:
    as of `TrainingSet`. SwathError if rows don't fit together, a label is no class, or a cuboid holds a NaN
    or has no volume.
    """

    media: tuple[str, ...]
    shapes: tuple[Array, ...]
    labels: tuple[Labels, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        counts = {name: len(getattr(self, name)) for name in ("media", "shapes", "labels", "groups")}
        if len(set(counts.values())) > 1:
            raise SwathError(
                f"training set: expected as many cuboids, labels and groups as clouds, got {counts}"
            )
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            raise SwathError(f"training set: expected a list of different classes, got {some(self.classes)}")
        for cloud, cuboids, labels in zip(self.media, self.shapes, self.labels, strict=True):
            if cuboids.shape != (len(labels), 9) or not np.isfinite(cuboids).all():
                expected = f"{len(labels)} cuboids of 9 finite numbers, one per label"
                raise SwathError(f"training set, {cloud}: expected {expected}, got shape {cuboids.shape}")
            if len(labels) and not (cuboids[:, 3:6] > 0).all():
                least = cuboids[:, 3:6].min()
                raise SwathError(f"training set, {cloud}: expected sizes above 0, got {least:g} m")
            if len(labels) and not (labels.min() >= 0 and labels.max() < len(self.classes)):
                most = len(self.classes) - 1
                raise SwathError(f"training set, {cloud}: expected labels 0 to {most}, got {labels.tolist()}")


@dataclass(frozen=True)
class PillarTrainer:
    """Settings of the pillar detector; the defaults suit a loop that is to go on within a minute or two.

    cell: metres, side of a pillar; layers: into which its height is cut; reach: metres, as far as it looks
    epochs, seconds, steps, batch, lr: see `Pace`
    added: objects of other scans that are set into a training scan, at most
    threads: of torch; 1 gives the same weights every time
    holdout: share of the drives that is kept apart, to choose among `checks` checkpoints; 0: take the last
    min_score, most: predictions below the score or beyond the count (per scan) are not reported
    apart: of two predictions of a class with a greater BEV IoU the lesser is not reported
    """

    cell: float = 0.25
    layers: int = 12
    reach: float = 52.0
    epochs: float = 36.0
    seconds: float = 600.0
    steps: int = 0
    batch: int = 4
    lr: float = 6e-3
    added: int = 6
    threads: int = 1
    holdout: float = 0.15
    checks: int = 5
    min_score: float = 0.02
    most: int = 60
    apart: float = 0.2

    def __post_init__(self) -> None:
        counts = (self.layers, self.threads, self.most)
        if (
            min(counts) < 1
            or self.added < 0
            or not 0 < self.cell <= 2
            or not 8 * self.cell <= self.reach <= 300
        ):
            raise ConfigError(
                "pillar trainer: expected positive counts, 0 < cell <= 2 and 8 cells <= reach <= 300 m, "
                f"got {self}"
            )
        if not 0 <= self.holdout < 1:
            raise ConfigError(f"pillar trainer: expected 0 <= holdout < 1, got {self}")
        _ = self.pace

    @property
    def pace(self) -> Pace:
        return Pace(self.epochs, self.seconds, self.steps, self.batch, self.lr, self.checks)

    @property
    def name(self) -> str:
        return "pillars"

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @property
    def modality(self) -> Modality:
        return "3d"

    def fit(self, data: LabelledClouds, out: Path, *, seed: int, progress: Progress | None = None) -> Model:
        """Trains, and writes `out` in one piece. See `Trainer.fit`.

        Held-out drives are what they are to `CenterTrainer.fit`. Where it looks follows from the scans that
        train: see `choose_grid`. Scans without objects train too; if none has any, the model finds nothing.
        """
        data = CloudSet(data.media, data.shapes, data.labels, data.groups, data.classes)
        if not data.media:
            raise SwathError("training: expected labelled clouds, got none; label a batch first")
        started = time.process_time()
        rng = np.random.default_rng(seed)
        held = hold_out(data.groups, self.holdout, rng)
        apart = np.array([group in held for group in data.groups], dtype=bool)
        upright = [yawed(cuboids) for cuboids in data.shapes]
        rows = np.flatnonzero(~apart)
        objects = np.concatenate([upright[row] for row in rows])
        some_rows = rows[np.unique(np.linspace(0, len(rows) - 1, _LOOKED_AT).astype(np.int64))]
        grid = choose_grid(
            [read_pcd(Path(data.media[row])) for row in some_rows],
            objects,
            cell=self.cell,
            layers=self.layers,
            reach=self.reach,
        )
        usual = _usual(objects, np.concatenate([data.labels[row] for row in rows]), len(data.classes), grid)
        sweeps = [read_sweep(path, grid) for path in data.media]
        scans = _Scans(sweeps, upright, data.labels, usual, grid, grid.window(self.reach))
        with _steady(self.threads, seed):
            state, fit, info = _train(self, scans, apart, rng, progress)
        header = {
            "format": FORMATS[-1],
            "classes": list(data.classes),
            "grid": grid.to_dict(),
            "usual": usual.tolist(),
            "scores": fit.tolist(),
        }
        digest = write_model(out, header, state)
        info |= {
            "clouds": len(data.media),
            "objects": sum(len(cuboids) for cuboids in data.shapes),
            "held_out": sorted(held),
            "grid": grid.to_dict(),
            "cpu_seconds": round(time.process_time() - started, 1),
        }
        return Model(str(out), digest, data.classes, self.name, info)

    def predict(
        self, model: Model, clouds: Sequence[str], *, progress: Progress | None = None
    ) -> list[Predictions3D]:
        """One result per cloud (path of a .pcd), in order; cuboids in the LiDAR frame, best first.

        IntegrityError if the file's content is not `model.sha256`.
        """
        found: list[Predictions3D] = []

        def collect(net: PillarNet, seen: Tensor, grid: Grid, usual: Array, fit: Array) -> None:
            found.extend(_read(self, net, seen, grid, usual, fit))

        self._see(model, clouds, collect, progress)
        return found

    def features(
        self, model: Model, clouds: Sequence[str], *, progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """(n, 176) what the backbone sees, pooled over each cloud's grid. See `FeatureTrainer.features`."""
        from swath.trainers._pillars_net import FEATURES

        rows = [np.zeros((0, FEATURES), dtype=np.float32)]

        def collect(net: PillarNet, seen: Tensor, *_: object) -> None:
            rows.append(net.pooled(seen).numpy())

        self._see(model, clouds, collect, progress)
        return np.concatenate(rows)

    def _see(
        self,
        model: Model,
        clouds: Sequence[str],
        collect: Callable[[PillarNet, Tensor, Grid, Array, Array], None],
        progress: Progress | None,
    ) -> None:
        """Hands the loaded network, the scans and what is known of its scores to `collect`, batch by batch, in order."""
        header, state = read_model(model, FORMATS)
        grid, usual = Grid.from_dict(header["grid"]), np.array(header["usual"])
        fit = np.array(header.get("scores", [[1.0, 0.0]] * len(model.classes)))
        with _steady(self.threads, seed=0):
            import torch

            from swath.trainers._pillars_net import PillarNet

            net = PillarNet(grid.channels, len(model.classes))
            net.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
            channels_last(net.eval())
            with torch.no_grad():
                for start in range(0, len(clouds), self.batch):
                    paths = clouds[start : start + self.batch]
                    maps = [from_above(read_sweep(path, grid).points(), grid) for path in paths]
                    collect(net, _as_input(maps), grid, usual, fit)
                    if progress:
                        progress(start + len(paths), len(clouds))


@contextmanager
def _steady(threads: int, seed: int) -> Iterator[None]:
    """As `steady_torch`, but new memory is not filled before it is written to: nothing here reads it, and it is slow."""
    with steady_torch(threads, seed):
        # A property of the module, which type checkers do not see.
        deterministic: Any = import_module("torch.utils.deterministic")
        before = deterministic.fill_uninitialized_memory
        deterministic.fill_uninitialized_memory = False
        try:
            yield
        finally:
            deterministic.fill_uninitialized_memory = before


def _usual(objects: Array, labels: Labels, classes: int, grid: Grid) -> Array:
    """(classes, 4) the mean z, l, w, h of each class's objects (n, 7), metres; of a class without any, of all."""
    around = (sum(grid.z) / 2, 4.0, 1.8, 1.6)
    mean = objects[:, 2:6].mean(axis=0) if len(objects) else np.array(around)
    means = [objects[labels == label, 2:6] for label in range(classes)]
    return np.array([one.mean(axis=0) if len(one) else mean for one in means])


def _as_input(maps: list[NDArray[np.float32]]) -> Tensor:
    """(channels, H, W) each -> (B, channels, H, W), channels last in memory."""
    import torch

    return torch.from_numpy(np.stack(maps)).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, eq=False)
class _Scans:
    """Training scans, their upright cuboids (n, 7) and labels, and what is needed to see them.

    A scan trains through a window, a part of the grid anywhere in it: a step costs the same whether the
    sensor looks ahead or all around.
    """

    sweeps: list[Sweep]
    cuboids: list[Array]
    labels: Sequence[Labels]
    usual: Array
    grid: Grid
    window: Grid

    def plain(self, rows: Labels) -> tuple[Tensor, Wanted]:
        """A batch as it is."""
        maps = [from_above(self.sweeps[row].points(), self.grid) for row in rows]
        return self._told(
            maps, [self.cuboids[row] for row in rows], [self.labels[row] for row in rows], self.grid
        )

    def shaken(
        self, rows: Labels, rng: np.random.Generator, cutouts: Sequence[Sequence[Cutout]], most: int
    ) -> tuple[Tensor, Wanted]:
        """A batch: up to `most` objects are set into each scan, of a class drawn evenly from those in
        `cutouts`; then it is mirrored or not, turned a little, scaled a little, and seen through the window.
        """
        maps, cuboids, labels = [], [], []
        for row in rows:
            drawn = []
            for _ in range(int(rng.integers(0, most + 1)) if cutouts else 0):
                kind = cutouts[int(rng.integers(len(cutouts)))]
                drawn.append(kind[int(rng.integers(len(kind)))])
            seen, there, named = set_in(self.sweeps[row].points(), self.cuboids[row], self.labels[row], drawn)
            shake = Shake.drawn(rng, self.grid, self.window)
            maps.append(from_above(shake.points(seen, self.window), self.window))
            cuboids.append(shake.cuboids(there, self.window))
            labels.append(named)
        return self._told(maps, cuboids, labels, self.window)

    def _told(
        self, maps: list[NDArray[np.float32]], cuboids: list[Array], labels: list[Labels], grid: Grid
    ) -> tuple[Tensor, Wanted]:
        from swath.trainers._pillars_net import targets

        return _as_input(maps), targets(cuboids, labels, self.usual, grid)


def _read(
    settings: PillarTrainer, net: PillarNet, seen: Tensor, grid: Grid, usual: Array, fit: Array
) -> Iterator[Predictions3D]:
    """What the network finds in a batch, its scores as they were fitted."""
    from swath.trainers._pillars_net import decode

    heat, numbers = net(seen)
    for cuboids, scores, labels in decode(
        heat, numbers, usual, grid, most=settings.most, apart=settings.apart
    ):
        keep = scores >= settings.min_score
        sure = fitted(scores[keep], labels[keep], fit)
        order = np.argsort(-sure, kind="stable")
        yield Predictions3D(cuboids[keep][order], sure[order], labels[keep][order])


def _train(
    settings: PillarTrainer,
    scans: _Scans,
    apart: NDArray[np.bool_],
    rng: np.random.Generator,
    progress: Progress | None,
) -> tuple[dict[str, NDArray[Any]], Array, dict[str, Any]]:
    """The weights, what held-out scans say of their scores, and how it went."""
    from swath.trainers._pillars_net import PillarNet, loss

    cutouts = _cutouts(scans, np.flatnonzero(~apart)) if settings.added else []

    def told(net: PillarNet, seen: Tensor, wanted: Wanted) -> Tensor:
        heat, numbers = net(seen)
        return loss(heat, numbers, wanted)

    learner = Learner(
        network=lambda: PillarNet(scans.grid.channels, len(scans.usual)),
        shaken=lambda net, rows: told(net, *scans.shaken(rows, rng, cutouts, settings.added)),
        plain=lambda net, rows: told(net, *scans.plain(rows)),
    )
    window = scans.window.shape
    net, info = learn(learner, settings.pace, apart, SECONDS * window[0] * window[1] / 1e6, rng, progress)
    return weights(net), _fit(settings, net, scans, np.flatnonzero(apart)), info


def _fit(settings: PillarTrainer, net: PillarNet, scans: _Scans, rows: Labels) -> Array:
    """(classes, 2) what these scans say of the network's scores, footprints counted from an IoU of 0.5: see `fit_scores`."""
    import torch

    classes = len(scans.usual)
    plain = np.tile([1.0, 0.0], (classes, 1))
    found: list[Predictions3D] = []
    with torch.no_grad():
        for start in range(0, len(rows), settings.batch):
            seen, _ = scans.plain(rows[start : start + settings.batch])
            found += _read(settings, net, seen, scans.grid, scans.usual, plain)
    truth = [References3D(from_yawed(scans.cuboids[row]), scans.labels[row]) for row in rows]
    if not found:
        return plain
    return fit_scores(match_scenes(found, truth, np.full((classes, 1), 0.5), "bev"), overlap=0)


def _cutouts(scans: _Scans, rows: Labels) -> list[list[Cutout]]:
    """The objects of these scans by class; classes without any are left out."""
    every = [one for row in rows for one in cut_out(scans.sweeps[row], scans.cuboids[row], scans.labels[row])]
    by_class = [[one for one in every if one.label == label] for label in range(len(scans.usual))]
    return [kind for kind in by_class if kind]
