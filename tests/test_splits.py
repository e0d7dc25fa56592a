"""Splits: drives stay whole, sizes are met, the same keys and seed give the same split, near-duplicates are found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from swath.config import LoopConfig, Splits
from swath.errors import FrozenSplitError, IntegrityError, StateError
from swath.journal import digest, pack
from swath.scenes import SceneTable
from swath.steps import splits
from swath.steps.workspace import Workspace, silent

SHARES = st.tuples(*[st.floats(0, 0.3)] * 3).map(
    lambda three: Splits(test=three[0], val=three[1], golden=three[2])
)
LENGTHS = st.lists(st.integers(1, 9), max_size=12)


def world(lengths: Sequence[int], alone: int = 0) -> list[splits.Unit]:
    """Units of drives with these many frames, and `alone` scenes without a drive."""
    keys = [f"{drive:03d}-{i}" for drive, n in enumerate(lengths) for i in range(n)]
    drives = [key.split("-")[0] for key in keys]
    return splits.units_of(
        keys + [f"x{i}" for i in range(alone)],
        drives + [""] * alone,
    )


# ---------------------------------------------------------------------- sizes


def test_sizes_of_the_guide() -> None:
    """200 scenes at 15/15/5/65 % are 30/30/10/130."""
    assert splits.sizes(200, Splits()) == {"test": 30, "val": 30, "golden": 10, "pool": 130}


@given(n=st.integers(0, 500), shares=SHARES)
def test_sizes_are_largest_remainders(n: int, shares: Splits) -> None:
    """Sizes sum to n; each is its exact share rounded down or up; no split that got one more had a smaller remainder."""
    got = splits.sizes(n, shares)
    exact = {"test": shares.test * n, "val": shares.val * n, "golden": shares.golden * n}
    exact["pool"] = n - sum(exact.values())
    assert sum(got.values()) == n
    assert all(abs(got[name] - exact[name]) < 1 + 1e-6 for name in got)
    over = {name: exact[name] - got[name] for name in got}  # > 0: was rounded down
    assert max(over.values()) - min(over.values()) <= 1 + 1e-6


def test_equal_remainders_go_to_the_more_protected_split() -> None:
    """Two scenes over, four equal remainders: test and val get them."""
    assert splits.sizes(10, Splits(test=0.25, val=0.25, golden=0.25)) == {
        "test": 3,
        "val": 3,
        "golden": 2,
        "pool": 2,
    }


# ---------------------------------------------------------------------- choosing units


@given(lengths=LENGTHS, target=st.integers(0, 60))
def test_choose_is_as_near_as_any_subset(lengths: list[int], target: int) -> None:
    """The chosen lengths are as near to the target as the nearest of all subsets; of two equally near, the smaller sum."""
    taken = splits.choose(lengths, target)
    sums = {sum(some) for size in range(len(lengths) + 1) for some in combinations(lengths, size)}
    assert sum(lengths[i] for i in taken) == min(sums, key=lambda one: (abs(one - target), one))


@pytest.mark.parametrize(
    ("lengths", "target"),
    [
        ([1] * 5_000 + [1_000], 900),  # a giant among singles must not hide them
        ([1] + [2] * 1_000, 100),  # an odd first one must not make an even target odd
        ([7] * 300 + [1], 701),
    ],
)
def test_choose_hits_large_targets(lengths: list[int], target: int) -> None:
    """Where a subset adds up exactly, it is found, however far apart its members are."""
    assert sum(lengths[i] for i in splits.choose(lengths, target)) == target


def test_choose_is_quick_for_half_a_million_scenes() -> None:
    """75,000 of 500,000 scenes without drives: the first ones, in their order."""
    assert splits.choose([1] * 500_000, 75_000) == set(range(75_000))


# ---------------------------------------------------------------------- assigning


@given(lengths=st.lists(st.integers(1, 8), min_size=25, max_size=50), seed=st.integers(0, 5))
def test_no_drive_is_in_two_protected_splits(lengths: list[int], seed: int) -> None:
    """Every scene has a split; a drive's frames are all test, all val, or all pool and golden."""
    units = world(lengths)
    membership, _ = splits.assign(units, Splits(), seed)
    assert sorted(membership) == sorted(key for unit in units for key in unit)
    for unit in units:
        assert {membership[key] for key in unit} in (
            {"test"},
            {"val"},
            {"pool"},
            {"pool", "golden"},
            {"golden"},
        )


@given(lengths=st.lists(st.integers(1, 8), min_size=40, max_size=50), seed=st.integers(0, 5))
def test_golden_takes_one_frame_per_drive_first(lengths: list[int], seed: int) -> None:
    """No drive gives two golden frames while another of the pool gives none."""
    membership, _ = splits.assign(world(lengths), Splits(golden=0.1), seed)
    per_drive: dict[str, int] = {}
    for key, split in membership.items():
        if split in ("pool", "golden"):
            drive = key.split("-")[0]
            per_drive[drive] = per_drive.get(drive, 0) + (split == "golden")
    assert sum(per_drive.values()) == splits.sizes(sum(lengths), Splits(golden=0.1))["golden"]
    assert max(per_drive.values()) <= 1 or min(per_drive.values()) >= 1


def test_golden_goes_round_again_when_drives_run_out() -> None:
    """Nine golden frames of four drives of 5, 5, 5 and 2: two each, and one more."""
    units = world([5, 5, 5, 2])
    golden = splits.spread(units, 9, np.random.default_rng(0))
    per_unit = [len(golden & set(unit)) for unit in units]
    assert sum(per_unit) == 9
    assert sorted(per_unit) == [2, 2, 2, 3]


@given(
    lengths=st.lists(st.integers(1, 8), min_size=25, max_size=40),
    alone=st.integers(0, 10),
    seed=st.integers(0, 3),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_order_of_scenes_changes_nothing(lengths: list[int], alone: int, seed: int, shuffle: Any) -> None:
    """Scenes in another order, drives of other names in the same order of keys: the same split."""
    pairs = [(f"{d:03d}-{i}", f"{d:03d}") for d, n in enumerate(lengths) for i in range(n)]
    pairs += [(f"x{i}", "") for i in range(alone)]
    expected = splits.assign(splits.units_of(*zip(*pairs, strict=True)), Splits(), seed)
    shuffle.shuffle(pairs)
    assert splits.assign(splits.units_of(*zip(*pairs, strict=True)), Splits(), seed) == expected
    renamed = [(key, drive and f"drive {999 - int(drive)}") for key, drive in pairs]
    assert splits.assign(splits.units_of(*zip(*renamed, strict=True)), Splits(), seed) == expected


def test_seeds_matter() -> None:
    """Twenty seeds give twenty different test sets."""
    units = world([], alone=200)
    tests = {
        tuple(key for key, split in splits.assign(units, Splits(), seed)[0].items() if split == "test")
        for seed in range(20)
    }
    assert len(tests) == 20


def test_one_giant_drive_is_one_clear_error() -> None:
    """200 frames of one drive can't be split by drive: the message says how many, what is empty and what to do."""
    with pytest.raises(
        StateError, match=r"1 units \(drives\) of 200 scenes leave test, val.*by: scene"
    ) as error:
        splits.assign(world([200]), Splits(), 0)
    assert "\n" not in str(error.value)


def test_sizes_that_drives_cannot_meet_are_noted() -> None:
    """Drives of 4 can't make 30: the nearest (28) is taken, and said."""
    membership, notes = splits.assign(world([4] * 50), Splits(), 0)
    got = sorted(membership.values())
    assert got.count("test") == 28
    assert any(note.startswith("test has 28 scenes where 30 were wanted") for note in notes)
    assert splits.assign(world([], alone=200), Splits(), 0)[1] == []


# ---------------------------------------------------------------------- near-duplicates and leaks


def pictures(folder: Path, count: int, twins: Sequence[tuple[int, int]]) -> Workspace:
    """`count` scenes of different noise, some of which are twins; what `splits` needs of a workspace, without a database."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        source = next((one for one, two in twins if two == i), i)
        rng = np.random.default_rng([4, source])
        blocks = rng.integers(0, 255, (4, 12, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        grain = np.random.default_rng([5, i]).integers(0, 2, blocks.shape)  # twins are near, not equal
        Image.fromarray(np.clip(blocks + grain, 0, 255).astype(np.uint8)).save(folder / f"{i:03d}.png")
    keys = np.array([f"{i:03d}" for i in range(count)])
    paths = np.array([str(folder / f"{key}.png") for key in keys])
    blank = np.full(count, "")
    table = SceneTable(keys, keys, {"left": keys}, {"left": paths}, blank, np.ones((count, 2), np.int64))
    scenes: Any = SimpleNamespace(table=table, dataset=SimpleNamespace(name="made"))
    journal: Any = SimpleNamespace()
    return Workspace(scenes, journal, LoopConfig(), folder / "home", silent)


def test_the_audit_finds_a_planted_duplicate_first(tmp_path: Path) -> None:
    """A test scene whose twin is in the pool leads the list, with both names and both splits."""
    workspace = pictures(tmp_path, 40, [(3, 31)])
    membership = {f"{i:03d}": "test" if i < 8 else "val" if i < 16 else "pool" for i in range(40)}
    found = splits.leaks(workspace, membership, 5)
    assert len(found) == 5
    assert found[0]["scenes"] == ["003", "031"]
    assert found[0]["splits"] == ["test", "pool"]
    assert found[0]["similarity"] > 0.99 > found[1]["similarity"]
    assert splits.leaks(workspace, membership, 0) == []
    assert splits.leaks(workspace, dict.fromkeys(membership, "pool"), 5) == []


def test_the_audit_reads_test_scenes_once(tmp_path: Path) -> None:
    """Descriptors are kept beside the derived media: a second audit needs no image, other media are read anew."""
    workspace = pictures(tmp_path, 12, [])
    keys, vectors = splits.looks(workspace)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    again, same = splits.looks(workspace)
    assert again == keys == [f"{i:03d}" for i in range(12)]
    assert np.array_equal(vectors, same)
    other = pictures(tmp_path, 13, [(1, 2)])
    assert len(splits.looks(other)[0]) == 13


def test_near_duplicates_are_joined(tmp_path: Path) -> None:
    """Twins without a common drive become one unit, twins of twins too; strangers stay apart."""
    workspace = pictures(tmp_path, 30, [(2, 9), (2, 20), (11, 12)])
    units = [(f"{i:03d}",) for i in range(30)]
    joined, count = splits._join(workspace, units, 0.99)
    assert [unit for unit in joined if len(unit) > 1] == [("002", "009", "020"), ("011", "012")]
    assert count == 3
    assert sorted(key for unit in joined for key in unit) == [f"{i:03d}" for i in range(30)]


def test_large_families_are_joined_whole(tmp_path: Path) -> None:
    """Sixty near-equal frames are one unit, however few neighbours one look returns."""
    workspace = pictures(tmp_path, 70, [(0, i) for i in range(1, 60)])
    joined, count = splits._join(workspace, [(f"{i:03d}",) for i in range(70)], 0.99)
    assert count == 59
    assert max(len(unit) for unit in joined) == 60


def test_two_chained_families_are_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two families of thirty, each closer to its own than to the other, both above the bar: one unit."""
    angles = np.r_[np.linspace(0, 0.02, 30), np.linspace(0.10, 0.12, 30), np.linspace(2, 3, 10)]
    vectors = np.c_[np.cos(angles), np.sin(angles)].astype(np.float32)
    keys = [f"{i:03d}" for i in range(70)]
    monkeypatch.setattr(splits, "looks", lambda workspace: (keys, vectors))
    workspace: Any = SimpleNamespace()
    joined, _ = splits._join(workspace, [(key,) for key in keys], 0.9955)  # within about 0.095 rad
    assert tuple(keys[:60]) in joined


# ---------------------------------------------------------------------- frozen


MEMBERS = {"a": "test", "b": "test", "c": "val", "d": "pool"}


def frozen(**changes: Any) -> Workspace:
    """A workspace whose journal holds the split of MEMBERS, with some of its record changed by a hostile hand."""
    record = {
        "membership": pack(MEMBERS),
        "membership_sha256": digest(MEMBERS),
        "test_sha256": digest(["a", "b"]),
    } | changes
    scenes: Any = SimpleNamespace(dataset=SimpleNamespace(name="made"))
    journal: Any = SimpleNamespace(loop=lambda: record)
    return Workspace(scenes, journal, LoopConfig(), Path("nowhere"))


def test_the_membership_is_frozen_by_its_hashes() -> None:
    """Changing the members, or members and their hash, or dropping a test scene: an integrity error each time."""
    assert frozen().membership() == MEMBERS
    thawed = {**MEMBERS, "b": "pool"}
    for changes in (
        {"membership": pack(thawed)},
        {"membership": pack(thawed), "membership_sha256": digest(thawed)},
        {"test_sha256": digest(["a"])},
    ):
        with pytest.raises(IntegrityError, match="frozen"):
            frozen(**changes).membership()


def test_guards() -> None:
    """A test scene is refused by name, another split's scene as well; the right ones pass unchanged."""
    workspace = frozen()
    with pytest.raises(FrozenSplitError, match=r"select.*b.*frozen"):
        workspace.only("pool", ["d", "b"], "select")
    with pytest.raises(StateError, match=r"pool; 1 scenes are not in it: c") as error:
        workspace.only("pool", ["c", "d"], "select")
    assert not isinstance(error.value, FrozenSplitError)
    assert workspace.only("pool", ["d"], "select") == ["d"]
    assert workspace.not_test([], "select") == []
