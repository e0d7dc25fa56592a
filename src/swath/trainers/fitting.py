"""What the built-in trainers share: how long they train and on what, the training itself, and how torch is held still."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from swath.errors import ConfigError, SwathError
from swath.trainers.base import Progress

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Conv2d, Module, Parameter

    Rates = Iterable[tuple[list[Parameter], float]]

N = TypeVar("N", bound="Module")
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Pace:
    """How a network learns.

    epochs: how often each file is seen; seconds: no longer than that, by what a file is said to cost, never by a clock:
    the same data give the same steps on every machine; steps: so many instead, if not 0
    batch: files per step; lr: the highest learning rate; checks: checkpoints that held-out files choose among
    """

    epochs: float
    seconds: float
    steps: int
    batch: int
    lr: float
    checks: int

    def __post_init__(self) -> None:
        if min(self.batch, self.checks) < 1 or self.steps < 0:
            raise ConfigError(f"expected positive counts, got {self}")
        if not (self.epochs > 0 and self.seconds > 0 and self.lr > 0):
            raise ConfigError(f"expected epochs, seconds and lr above 0, got {self}")

    def length(self, files: int, seconds: float) -> int:
        """Steps of a training on so many files, one of which costs so many seconds a time; at least one."""
        if self.steps:
            return self.steps
        whole = math.ceil(self.epochs * files / self.batch)
        return max(1, min(whole, int(self.seconds / (seconds * self.batch))))


def alike(net: Module) -> Rates:
    """All parameters learn at the same rate."""
    return [(list(net.parameters()), 1.0)]


@dataclass(frozen=True, eq=False)
class Learner(Generic[N]):
    """What learns: a network that is made anew at each call, its loss on some rows of the data, shaken and plain, and which
    parameters learn at which share of the rate."""

    network: Callable[[], N]
    shaken: Callable[[N, Rows], Tensor]
    plain: Callable[[N, Rows], Tensor]
    rates: Callable[[N], Rates] = alike


def learn(
    learner: Learner[N],
    pace: Pace,
    apart: NDArray[np.bool_],
    seconds: float,
    rng: np.random.Generator,
    progress: Progress | None,
) -> tuple[N, dict[str, Any]]:
    """The network with the smoothed weights of the best checkpoint, ready to predict, and how it went.

    `apart`: which rows are held out: the checkpoint with the least loss on them is taken, the last where none is. A row
    that trains costs so many `seconds` a time.
    """
    import torch

    rows, held = np.flatnonzero(~apart), np.flatnonzero(apart)
    steps = pace.length(len(rows), seconds)
    net, smooth = (channels_last(learner.network()) for _ in range(2))
    smooth.eval().load_state_dict(net.state_dict())
    parts, shares = zip(*learner.rates(net), strict=True)
    highest = [share * pace.lr for share in shares]
    groups = [{"params": part, "lr": lr} for part, lr in zip(parts, highest, strict=True)]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps, pct_start=0.15)
    queue: Rows = rows[:0]
    every = max(1, steps // 2 // pace.checks)  # early checkpoints are unfinished, lucky or not
    best: tuple[float, int, dict[str, Any]] | None = None
    curve: list[tuple[int, float]] = []
    for step in range(1, steps + 1):
        while len(queue) < pace.batch:
            queue = np.concatenate([queue, rng.permutation(rows)])
        batch, queue = queue[: pace.batch], queue[pace.batch :]
        value = learner.shaken(net, batch)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        follow(smooth, net, keep=min(0.98, step / (step + 10)))
        left = steps - step
        if len(held) and left % every == 0 and left // every < pace.checks:
            on_held = _on_held(learner, smooth, held, pace.batch)
            curve.append((step, round(on_held, 4)))
            if best is None or on_held < best[0]:
                best = (on_held, step, {name: v.clone() for name, v in smooth.state_dict().items()})
        if progress:
            progress(step, steps)
    if best:
        smooth.load_state_dict(best[2])
    info = {
        "steps": best[1] if best else steps,
        "epochs": round(steps * pace.batch / len(rows), 1),
        "loss": round(float(value.detach()), 4),
        "held_out_loss": curve,
    }
    return smooth, info


def _on_held(learner: Learner[N], net: N, held: Rows, batch: int) -> float:
    """The mean loss over the held-out rows, batch by batch, so that memory does not grow with their number."""
    import torch

    total = 0.0
    with torch.no_grad():
        for start in range(0, len(held), batch):
            rows = held[start : start + batch]
            total += float(learner.plain(net, rows)) * len(rows)
    return total / len(held)


def weights(net: Module) -> dict[str, NDArray[Any]]:
    """The network's tensors by name, as they go into a file."""
    return {name: values.contiguous().numpy() for name, values in net.state_dict().items()}


def unrivalled(rivals: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) which of n rows, best first, have no better one that stays among their rivals (n, n)."""
    kept = np.ones(len(rivals), dtype=bool)
    for row in range(len(rivals)):
        kept[row] = not (rivals[row, :row] & kept[:row]).any()
    return kept


def hold_out(groups: Sequence[str], share: float, rng: np.random.Generator) -> frozenset[str]:
    """The drives to keep apart: `share` of them, at least one, and at least one is left; of one drive none."""
    names = sorted(set(groups))
    if share == 0 or len(names) < 2:
        return frozenset()
    count = min(max(1, round(share * len(names))), len(names) - 1)
    return frozenset(names[i] for i in rng.permutation(len(names))[:count])


def channels_last(net: N) -> N:
    """The same network with its weights laid out channels last: quicker on CPUs."""
    import torch

    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's types lack it


def begin_at(layer: Conv2d, value: float) -> None:
    """Sets what a layer says before it has learned anything."""
    import torch

    assert layer.bias is not None
    torch.nn.init.constant_(layer.bias, value)


def follow(smooth: Module, net: Module, keep: float) -> None:
    """Moves the smoothed weights towards the current ones: `keep` of the old stays."""
    import torch

    with torch.no_grad():
        for mine, new in zip(smooth.state_dict().values(), net.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(new, 1 - keep)
            else:
                mine.copy_(new)


@contextmanager
def steady_torch(threads: int, seed: int) -> Iterator[None]:
    """torch with so many threads, seeded and held to deterministic ways; all as before afterwards."""
    try:
        import torch
    except ImportError as error:
        raise SwathError("the built-in trainers need torch: pip install 'swath[train]'") from error
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports a compiler: 1.5 s
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.set_deterministic_debug_mode(before[1])
