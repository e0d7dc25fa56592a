"""Whole units that add up to a target, and keys spread over units."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.kernels import subsets
from swath.kernels.subsets import choose, spread


def slow_choose(lengths: Sequence[int], target: int) -> set[int]:
    """`swath.steps.splits.choose` of 0.1.0: every sum of every first few units, bit by bit."""
    furthest = (1 << target + max(lengths, default=0) + 1) - 1
    reached, last = 1, dict[int, int]()
    for i, length in enumerate(lengths):
        new = (reached << length) & furthest & ~reached
        reached |= new
        while new:
            sum_ = (new & -new).bit_length() - 1
            last[sum_] = i
            new &= new - 1
        if reached >> target & 1:
            break
    total = min([0, *last], key=lambda one: (abs(one - target), one))
    taken: set[int] = set()
    while total:
        taken.add(last[total])
        total -= lengths[last[total]]
    return taken


def slow_spread(units: Sequence[Sequence[str]], n: int, rng: np.random.Generator) -> set[str]:
    """`swath.steps.splits.spread` of 0.1.0."""
    queues = [[unit[i] for i in rng.permutation(len(unit))] for unit in units]
    out: list[str] = []
    while len(out) < n and any(queues):
        for queue in queues:
            if queue and len(out) < n:
                out.append(queue.pop())
    return set(out)


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[int], int]:
    """Lengths of one size, of many, with a common divisor, with a giant among them; a target among their sums or beyond."""
    most = draw(st.sampled_from([1, 2, 9, 40, 200]))
    step = draw(st.sampled_from([1, 1, 2, 7]))
    lengths = [step * one for one in draw(st.lists(st.integers(0, most), max_size=60))]
    if draw(st.booleans()):
        lengths.insert(draw(st.integers(0, len(lengths))), draw(st.integers(1, 500)))
    return lengths, draw(st.integers(0, sum(lengths) + 20))


@given(problem=problems(), widths=st.sampled_from([(), (1,), (4, 16), (16, 64), subsets._WIDTHS]))
def test_choose_answers_as_before(problem: tuple[list[int], int], widths: tuple[int, ...]) -> None:
    """The same positions as the old, slow way, however few sums are listed first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subsets, "_WIDTHS", widths)
        assert choose(*problem) == slow_choose(*problem)


@given(lengths=st.lists(st.integers(1, 9), max_size=12), target=st.integers(0, 60))
def test_choose_is_as_near_as_any_subset(lengths: list[int], target: int) -> None:
    """The chosen lengths are as near to the target as the nearest of all subsets; of two equally near, the smaller sum."""
    sums = {sum(some) for size in range(len(lengths) + 1) for some in combinations(lengths, size)}
    assert sum(lengths[i] for i in choose(lengths, target)) == min(
        sums, key=lambda one: (abs(one - target), one)
    )


@pytest.mark.parametrize("most", [1, 2, 40, 900])
@pytest.mark.parametrize("share", [0.02, 0.15, 0.5, 0.97])
def test_choose_answers_as_before_among_many(most: int, share: float) -> None:
    """Hundreds of units, sums far beyond those that are listed first: still the old answers."""
    lengths = np.random.default_rng(most).integers(max(1, most // 5), most + 1, 200).tolist()
    target = int(share * sum(lengths))
    assert choose(lengths, target) == slow_choose(lengths, target)


@pytest.mark.parametrize(
    ("lengths", "target"),
    [
        ([1] * 5_000 + [1_000], 900),  # a giant among singles must not hide them
        ([1] + [2] * 1_000, 100),  # an odd first one must not make an even target odd
        ([2] * 3_000 + [1] + [2] * 10, 5_001),  # what makes it odd comes long after it is long enough
        ([7] * 300 + [1], 701),
        ([200_000] * 3 + [1] * 3_000, 2_000),
    ],
)
def test_choose_hits_large_targets(lengths: list[int], target: int) -> None:
    """Where a subset adds up exactly, it is found, however far apart its members are."""
    taken = choose(lengths, target)
    assert sum(lengths[i] for i in taken) == target
    assert taken == slow_choose(lengths, target)


def test_choose_is_quick_for_a_million_scenes() -> None:
    """150,000 of 1,000,000 scenes without drives, the first ones in their order: under 5 s of processor time."""
    started = time.process_time()
    assert choose([1] * 1_000_000, 150_000) == set(range(150_000))
    assert time.process_time() - started < 5


def test_choose_is_quick_for_a_hundred_thousand_drives() -> None:
    """15 % of the scenes of 100,000 drives of 1 to 40, to the scene: under 5 s of processor time."""
    lengths = np.random.default_rng(0).integers(1, 41, 100_000).tolist()
    target = int(0.15 * sum(lengths))
    started = time.process_time()
    taken = choose(lengths, target)
    assert time.process_time() - started < 5
    assert sum(lengths[i] for i in taken) == target


def test_choose_refuses_negative_numbers() -> None:
    """A length or a target below 0 is a ValueError with both."""
    with pytest.raises(ValueError, match="got -2, 5"):
        choose([3, -2], 5)
    with pytest.raises(ValueError, match="got 3, -5"):
        choose([3, 4], -5)


@given(
    sizes=st.lists(st.integers(0, 6), max_size=20),
    n=st.integers(0, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_spread_draws_as_before(sizes: list[int], n: int, seed: int) -> None:
    """The same keys as the old way, and a generator that goes on with the same draws."""
    units = [tuple(f"{i}-{j}" for j in range(size)) for i, size in enumerate(sizes)]
    rng, other = np.random.default_rng(seed), np.random.default_rng(seed)
    found = spread(units, n, rng)
    assert found == slow_spread(units, n, other)
    assert rng.random() == other.random()
    assert len(found) == min(n, sum(sizes))


def test_spread_goes_round_again_when_units_run_out() -> None:
    """Nine of four units of 5, 5, 5 and 2: two each, and one more."""
    units = [[f"{i}-{j}" for j in range(size)] for i, size in enumerate([5, 5, 5, 2])]
    found = spread(units, 9, np.random.default_rng(0))
    assert sorted(len(found & set(unit)) for unit in units) == [2, 2, 2, 3]
