"""Splits: drives stay whole, sizes are met, the same keys and seed give the same split, near-duplicates are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from support import remove
from swath.config import LoopConfig, Splits
from swath.errors import FrozenSplitError, StateError
from swath.kernels.subsets import choose
from swath.labels.channels import rig_of
from swath.loop import Loop
from swath.records.loop import Pair
from swath.steps import splits
from swath.steps.init import placed
from swath.store.table import SceneTable
from swath.workspace import Workspace, silent

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


@pytest.mark.parametrize("bad", [1, 3, 12])
def test_golden_scenes_can_be_labelled(bad: int) -> None:
    """Scenes that cannot are in every other split, and said; who can is drawn as if they were not there, and asked alone."""
    units = world([4] * 20)
    first = {
        key for key, split in splits.assign(units, Splits(golden=0.1), 3)[0].items() if split == "golden"
    }
    lost = set(sorted(first)[:bad]) if bad < 12 else first
    asked: list[str] = []

    def can(key: str) -> bool:
        asked.append(key)
        return key not in lost

    membership, notes = splits.assign(units, Splits(golden=0.1), 3, can)
    golden = {key for key, split in membership.items() if split == "golden"}
    assert len(golden) == len(first)
    assert not golden & lost
    assert {membership[key] for key in lost} == {"pool"}
    assert len(asked) <= 3 * len(first)
    assert any(note.startswith(f"{len(lost)} scenes were not taken as golden ones") for note in notes)
    everybody = splits.assign(units, Splits(golden=0.1), 3, lambda key: True)
    assert everybody == splits.assign(units, Splits(golden=0.1), 3)


def test_a_pool_without_one_scene_to_label_has_no_golden() -> None:
    """It is one clear error."""
    with pytest.raises(StateError, match="no scene of the pool can be a golden one"):
        splits.assign(world([], alone=40), Splits(), 0, lambda key: False)


def test_golden_of_no_scene_is_said() -> None:
    """5 % of ten scenes are none: nobody checks annotators then, and the split says so."""
    membership, notes = splits.assign(world([], alone=10), Splits(), 0)
    assert "golden" not in membership.values()
    assert [note.split(":")[0] for note in notes if "golden" in note] == ["golden has no scene (0.05 of 10)"]
    assert any("annotators are never checked" in note for note in notes)
    assert not [
        note for note in splits.assign(world([], alone=10), Splits(golden=0), 0)[1] if "golden" in note
    ]


def test_golden_images_are_looked_at(tmp_path: Path) -> None:
    """A scene whose image is cut short, or gone, is no golden one; a cloud need only be there."""
    workspace = pictures(tmp_path, 4, [])
    whole = (tmp_path / "001.png").read_bytes()
    (tmp_path / "001.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "002.png").unlink()
    readable = splits._readable(workspace)
    assert [readable(f"{i:03d}") for i in range(4)] == [True, False, False, True]


@given(seed=st.integers(0, 30))
def test_very_long_drives_do_not_take_test_and_val(seed: int) -> None:
    """Sixty drives of three to six scenes and six of a hundred: ten drives and more in both, at the sizes that were wanted; the six
    are in the pool. One of them alone would have filled a split."""
    units = world([3, 4, 5, 6] * 15 + [100] * 6)
    membership, notes = splits.assign(units, Splits(), seed)
    wanted = splits.sizes(len(membership), Splits())
    for name in ("test", "val"):
        assert sum(membership[unit[0]] == name for unit in units) >= 10
        assert list(membership.values()).count(name) == wanted[name]
    assert not [note for note in notes if "drives:" in note]


@given(lengths=st.lists(st.integers(3, 6), min_size=30, max_size=50), seed=st.integers(0, 9))
def test_drives_of_about_one_length_are_drawn_as_ever(lengths: list[int], seed: int) -> None:
    """None is twice as long as the median: test is the first units that fit, as in 0.1.0, and long ones are in it as short ones."""
    units = world(lengths)
    order = [units[i] for i in np.random.default_rng([seed, 0x5711]).permutation(len(units))]
    first = choose([len(unit) for unit in order], splits.sizes(sum(lengths), Splits())["test"])
    membership, _ = splits.assign(units, Splits(), seed)
    assert {key for key, split in membership.items() if split == "test"} == {
        key for i in first for key in order[i]
    }


def test_few_drives_are_said() -> None:
    """Fifty drives of four: seven fit in 28 scenes, and the note says what that costs; one drive gives no interval at all."""
    notes = splits.assign(world([4] * 50), Splits(), 0)[1]
    assert any(note.startswith("val has 7 drives: with fewer than 10") for note in notes)
    alone = splits.assign(world([30] * 7), Splits(), 0)[1]
    assert any(note.startswith("test has 1 drives: figures will have no intervals") for note in alone)


def test_enough_drives_are_drawn_as_ever() -> None:
    """Where the first units that fit are ten and more, no length is left out: the draw of 0.1.0."""
    units = world([3, 5] * 100)
    order = [units[i] for i in np.random.default_rng([7, 0x5711]).permutation(len(units))]
    first = choose([len(unit) for unit in order], 120)
    membership, _ = splits.assign(units, Splits(), 7)
    assert {key for key, split in membership.items() if split == "test"} == {
        key for i in first for key in order[i]
    }


# ---------------------------------------------------------------------- leaks


def pointing(*degrees: float) -> npt.NDArray[np.float32]:
    """(n, 2) vectors in these directions."""
    angle = np.radians(degrees)
    return np.c_[np.cos(angle), np.sin(angle)].astype(np.float32)


def leaks(directions: dict[str, float], membership: dict[str, str], pairs: int) -> tuple[Pair, ...]:
    return splits.leaks(list(directions), pointing(*directions.values()), membership, pairs)


MADE = {"t1": 0.0, "t2": 90.0, "v1": 40.0, "p1": 91.0, "p2": 50.0, "g1": 0.5}
WHERE = {"t1": "test", "t2": "test", "v1": "val", "p1": "pool", "p2": "pool", "g1": "golden"}


def test_the_pairs_that_look_most_alike() -> None:
    """Each scene of test and val with the nearest of another split, most alike first; golden is no part of it."""
    found = leaks(MADE, WHERE, 10)
    assert [(one.scenes, one.splits) for one in found] == [
        (("t2", "p1"), ("test", "pool")),
        (("v1", "p2"), ("val", "pool")),
        (("t1", "v1"), ("test", "val")),
        (("t1", "p2"), ("test", "pool")),
        (("t2", "v1"), ("test", "val")),
    ]
    away = [1, 10, 40, 50, 50]
    assert [one.similarity for one in found] == pytest.approx(np.cos(np.radians(away)), abs=1e-6)


def test_as_many_pairs_as_were_asked_for() -> None:
    """The first of them; none for 0, none where a split is empty, none for scenes without a split."""
    every = leaks(MADE, WHERE, 10)
    assert leaks(MADE, WHERE, 2) == every[:2]
    assert leaks(MADE, WHERE, 0) == ()
    assert leaks(MADE, dict.fromkeys(WHERE, "pool"), 5) == ()
    assert leaks(MADE, {}, 5) == ()


def test_equal_pairs_by_name() -> None:
    """Of equally similar pairs the first by their keys, whatever the order of the scenes."""
    directions = {"t1": 0.0, "t2": 10.0, "p1": 0.0, "p2": 10.0}
    where = {"t1": "test", "t2": "test", "p1": "pool", "p2": "pool"}
    for order in (["t1", "t2", "p1", "p2"], ["t2", "p2", "p1", "t1"]):
        found = leaks({key: directions[key] for key in order}, where, 5)
        assert [one.scenes for one in found] == [("t1", "p1"), ("t2", "p2")]


# ---------------------------------------------------------------------- looking at the scenes


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
    table = SceneTable(keys, keys, {"left": paths}, {}, np.full(count, ""))
    config = LoopConfig()
    scenes: Any = SimpleNamespace(
        table=table, rig=rig_of(config, ["left"]), dataset=SimpleNamespace(name="made")
    )
    return Workspace(scenes, SimpleNamespace(), config, folder / "home", silent)  # type: ignore[arg-type]


def test_the_audit_finds_a_planted_duplicate_first(tmp_path: Path) -> None:
    """A test scene whose twin is in the pool leads the list, with both names and both splits."""
    keys, vectors = splits.looks(pictures(tmp_path, 40, [(3, 31)]))
    membership = {f"{i:03d}": "test" if i < 8 else "val" if i < 16 else "pool" for i in range(40)}
    found = splits.leaks(keys, vectors, membership, 5)
    assert len(found) == 5
    assert found[0].scenes == ("003", "031")
    assert found[0].splits == ("test", "pool")
    assert found[0].similarity > 0.99 > found[1].similarity


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


def test_scenes_that_cannot_be_read_are_not_audited(tmp_path: Path) -> None:
    """A file that is no image, and one that is not there: their scenes are left out, the others are looked at."""
    workspace = pictures(tmp_path, 6, [])
    (tmp_path / "001.png").write_text("no image")
    (tmp_path / "004.png").unlink()
    keys, vectors = splits.looks(workspace)
    assert keys == ["000", "002", "003", "005"]
    assert len(vectors) == 4


# ---------------------------------------------------------------------- near-duplicates


def test_near_duplicates_are_joined(tmp_path: Path) -> None:
    """Twins without a common drive become one unit, twins of twins too; strangers stay apart."""
    seen = splits.looks(pictures(tmp_path, 30, [(2, 9), (2, 20), (11, 12)]))
    units = [(f"{i:03d}",) for i in range(30)]
    joined, count = splits._join(seen, units, 0.99)
    assert [unit for unit in joined if len(unit) > 1] == [("002", "009", "020"), ("011", "012")]
    assert count == 3
    assert sorted(key for unit in joined for key in unit) == [f"{i:03d}" for i in range(30)]


def test_look_alikes_are_drives_where_none_is_known(tmp_path: Path) -> None:
    """Twins are taken for a drive, and it is said how many; nothing alike, more alike than val could hold, no audit or no wish for it:
    by scene, and why."""
    alone = [(f"{i:03d}",) for i in range(40)]
    found, said = splits._alike(pictures(tmp_path / "a", 40, [(2, 9), (2, 20), (11, 12)]), alone)
    assert [unit for unit in found if len(unit) > 1] == [("002", "009", "020"), ("011", "012")]
    assert said.startswith(
        "5 scenes that look alike (cosine similarity from 0.95; splits: find_drives) are taken for 2 drives, up to 3"
    )
    strangers = splits._alike(pictures(tmp_path / "b", 40, []), alone)
    assert strangers == (
        alone,
        "no two scenes look alike (cosine similarity from 0.95; splits: find_drives): split by scene",
    )
    crowd = pictures(tmp_path / "c", 40, [(0, i) for i in range(1, 7)])
    assert splits._alike(crowd, alone) == (
        alone,
        "7 scenes look alike (cosine similarity from 0.95; splits: find_drives), too many for one drive: split by scene",
    )
    unwanted: dict[str, Any]
    for unwanted in ({"find_drives": None}, {"audit_pairs": 0}):
        config = LoopConfig(splits=Splits(**unwanted))
        assert splits._alike(replace(crowd, config=config), alone) == (alone, "split by scene")


@pytest.mark.database
def test_drives_by_looks_are_written_and_found_again(dataset_name: str, mongod: str, tmp_path: Path) -> None:
    """Scenes that look alike are in one split and have one drive, by which intervals go; a split that was killed after it wrote drives
    comes to the same when it is run again."""
    import fiftyone as fo

    remove(dataset_name)
    twins = [(i, i + 20) for i in range(0, 20, 2)]
    pictures(tmp_path, 40, twins)
    dataset = fo.Dataset(dataset_name, persistent=True)
    dataset.add_samples(
        [fo.Sample(filepath=str(one)) for one in sorted(tmp_path.glob("*.png"))], progress=False
    )
    changes = {"classes": ["car"], "splits": {"audit_pairs": 5}}
    loop, _ = Loop.init_fiftyone(dataset_name, changes=changes, home=tmp_path / "home")
    with loop.workspace.writer("test") as writer:
        splits._write_drives(loop.workspace, writer, [("000", "001", "002")])  # a part of another one's work
    loop = Loop.open(dataset_name)
    told = loop.split()
    assert told.units == 30
    assert any("20 scenes that look alike" in note for note in told.notes)
    table, membership = loop.workspace.scenes.table, loop.workspace.membership()
    assert table.drive("001") == "001"
    for one, two in twins:
        keys = f"{one:03d}", f"{two:03d}"
        assert {table.drive(key) for key in keys} == {f"alike:{one:03d}"}
        assert membership[keys[0]] == membership[keys[1]] or {membership[key] for key in keys} == {
            "pool",
            "golden",
        }
    remove(dataset_name)


def test_units_are_joined_whole() -> None:
    """One frame of a drive that looks like one of another drive joins both drives; scenes without a vector stay where they are."""
    units = [("a1", "a2"), ("b1", "b2"), ("c1", "x")]
    keys = ["a1", "a2", "b1", "b2", "c1"]
    joined, count = splits._join((keys, pointing(0, 30, 60, 31, 120)), units, 0.999)
    assert joined == [("a1", "a2", "b1", "b2"), ("c1", "x")]
    assert count == 2


def test_large_families_are_joined_whole() -> None:
    """Sixty near-equal frames are one unit, however few neighbours one look returns."""
    directions = np.r_[np.linspace(0, 1, 60), np.linspace(90, 180, 10)]
    keys = [f"{i:03d}" for i in range(70)]
    joined, count = splits._join((keys, pointing(*directions)), [(key,) for key in keys], 0.9997)
    assert count == 59
    assert max(len(unit) for unit in joined) == 60


def test_two_chained_families_are_one() -> None:
    """Two families of thirty, each closer to its own than to the other, both above the bar: one unit."""
    angles = np.r_[np.linspace(0, 0.02, 30), np.linspace(0.10, 0.12, 30), np.linspace(2, 3, 10)]
    vectors = np.c_[np.cos(angles), np.sin(angles)].astype(np.float32)
    keys = [f"{i:03d}" for i in range(70)]
    joined, _ = splits._join((keys, vectors), [(key,) for key in keys], 0.9955)  # within about 0.095 rad
    assert tuple(keys[:60]) in joined


# ---------------------------------------------------------------------- scenes that come in later


BEFORE = {
    "a1": "test",
    "b1": "val",
    "c1": "pool",
    "c2": "golden",
    "d1": "val",
    "d2": "pool",
    "e1": "",
    "f1": "pool",
}
DRIVES = {key: key[0] for key in BEFORE}


def test_new_scenes_follow_their_drive() -> None:
    """New frames of test drives are set aside; of val drives they are val; all others, of new drives too, are pool."""
    new = {"a2": "a", "b2": "b", "c3": "c", "d3": "d", "e2": "e", "g1": "g", "alone": ""}
    after, aside = placed(BEFORE, {**DRIVES, **new})
    assert aside == 1
    assert {key: after[key] for key in BEFORE} == BEFORE
    assert {key: after[key] for key in new} == {
        "a2": "",
        "b2": "val",
        "c3": "pool",
        "d3": "val",
        "e2": "pool",
        "g1": "pool",
        "alone": "pool",
    }


def test_scenes_without_a_drive_have_none_in_common() -> None:
    """A test scene without a drive holds nothing back from another one without."""
    after, aside = placed({"t": "test", "v": "val"}, {"t": "", "v": "", "n": ""})
    assert (after["n"], aside) == ("pool", 0)


@given(
    before=st.dictionaries(
        st.sampled_from("abcdefgh"), st.sampled_from(["test", "val", "golden", "pool", ""])
    ),
    drives=st.fixed_dictionaries({key: st.sampled_from(["x", "y", "z", ""]) for key in "abcdefghijkl"}),
)
def test_test_never_grows(before: dict[str, str], drives: dict[str, str]) -> None:
    """Whoever has a split keeps it; test and golden get nobody; nobody new comes from a drive of test; doing it again changes
    nothing."""
    after, aside = placed(before, drives)
    assert set(after) == set(before) | set(drives)
    assert {key: after[key] for key in before} == before
    new = set(after) - set(before)
    assert {after[key] for key in new} <= {"val", "pool", ""}
    assert aside == sum(after[key] == "" for key in new)
    test = {drives[key] for key, split in before.items() if split == "test" and drives[key]}
    assert {key for key in new if after[key] == ""} == {key for key in new if drives[key] in test}
    assert placed(after, drives) == (after, 0)


# ---------------------------------------------------------------------- guards


MEMBERS = {"a": "test", "b": "test", "c": "val", "d": "pool"}


def test_guards() -> None:
    """A test scene is refused by name, another split's scene as well; the right ones pass unchanged."""
    scenes: Any = SimpleNamespace(dataset=SimpleNamespace(name="made"))
    journal: Any = SimpleNamespace(members=lambda: MEMBERS)
    workspace = Workspace(scenes, journal, LoopConfig(), Path("nowhere"))
    with pytest.raises(FrozenSplitError, match=r"select.*b.*frozen"):
        workspace.only("pool", ["d", "b"], "select")
    with pytest.raises(StateError, match=r"pool; 1 scenes are not in it: c") as error:
        workspace.only("pool", ["c", "d"], "select")
    assert not isinstance(error.value, FrozenSplitError)
    assert workspace.only("pool", ["d"], "select") == ["d"]
    assert workspace.not_test([], "select") == []
