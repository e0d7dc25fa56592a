"""What the built-in trainers share: which drives are held out, how torch is held still, and how weights begin and follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from swath.errors import SwathError

if TYPE_CHECKING:
    from torch.nn import Conv2d, Module

    M = TypeVar("M", bound=Module)


def hold_out(groups: Sequence[str], share: float, rng: np.random.Generator) -> frozenset[str]:
    """The drives to keep apart: `share` of them, at least one, and at least one is left; of one drive none."""
    names = sorted(set(groups))
    if share == 0 or len(names) < 2:
        return frozenset()
    count = min(max(1, round(share * len(names))), len(names) - 1)
    return frozenset(names[i] for i in rng.permutation(len(names))[:count])


def channels_last(net: M) -> M:
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
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])
