"""Scenes as aligned columns, and the names that scenes get."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import IntegrityError, UnknownNameError
from swath.store.table import SceneTable, names


def table() -> SceneTable:
    """Three scenes: b has no cloud, c has no drive, a has an image of unknown size."""
    return SceneTable(
        keys=np.array(["a", "b", "c"]),
        ids=np.array(["1", "2", "3"]),
        paths={
            "left": np.array(["/m/a.png", "/m/b.png", "/m/c.png"]),
            "pcd": np.array(["/m/a.pcd", "", "/m/c.pcd"]),
        },
        sizes={"left": np.array([[0, 0], [96, 48], [100, 50]])},
        sequence=np.array(["d1", "d1", ""]),
    )


def test_columns_by_key() -> None:
    """Path, size, drive and whether there is a medium, of the scene that is named."""
    there = table()
    assert len(there) == 3
    assert there.row_of == {"a": 0, "b": 1, "c": 2}
    assert [there.path("left", key) for key in "abc"] == ["/m/a.png", "/m/b.png", "/m/c.png"]
    assert [there.has("pcd", key) for key in "abc"] == [True, False, True]
    assert [there.size("left", key) for key in "abc"] == [(0, 0), (96, 48), (100, 50)]
    assert there.counts() == {"left": 3, "pcd": 2}
    assert all(type(one) is int for one in there.size("left", "b"))


def test_a_channel_that_nobody_has() -> None:
    """No path and no size, and no error."""
    there = table()
    assert (there.path("right", "a"), there.has("right", "a"), there.size("pcd", "a")) == ("", False, (0, 0))


def test_a_scene_without_a_drive_is_a_drive_of_its_own() -> None:
    """Known by its key."""
    assert [table().drive(key) for key in "abc"] == ["d1", "d1", "c"]


def test_rows_in_the_order_of_their_keys() -> None:
    """As asked for, twice where asked twice, none where none was asked."""
    assert table().rows(["c", "a", "c"]).tolist() == [2, 0, 2]
    assert table().rows(iter("ab")).tolist() == [0, 1]
    assert table().rows([]).tolist() == []


def test_unknown_scenes_are_named() -> None:
    """How many of how many, which, and what keys look like."""
    with pytest.raises(UnknownNameError) as error:
        table().rows(["a", "x", "y"])
    assert str(error.value) == "2 of 3 scenes are not in the dataset: x, y; keys look like a, b, c"


def test_deleted_scenes_are_passed_over() -> None:
    """`known` keeps the order of what is left."""
    assert table().known(["c", "x", "a"]) == ["c", "a"]


# ---------------------------------------------------------------------- names


def paths(*given_: str) -> dict[str, PurePosixPath]:
    return {f"id{i}": PurePosixPath(path) for i, path in enumerate(given_)}


def named(*given_: str, taken: set[str] | None = None, new: list[str] | None = None) -> list[str]:
    there = paths(*given_)
    found = names(there, taken or set(), list(there) if new is None else new)
    return [found[one] for one in there]


def test_stems_where_they_tell_all_apart() -> None:
    """Without folder and ending."""
    assert named("/k/image_2/000001.png", "/k/image_2/000002.png") == ["000001", "000002"]


def test_as_much_of_the_path_as_it_takes() -> None:
    """Two drives with the same file names: the folders that differ are part of all names, with the ending."""
    assert named("/k/d1/01.png", "/k/d2/01.png", "/k/d2/02.png") == ["d1/01.png", "d2/01.png", "d2/02.png"]
    assert named("/k/d1/left/01.png", "/k/d2/left/01.png") == ["d1/left/01.png", "d2/left/01.png"]


def test_two_media_of_one_stem() -> None:
    """The ending tells them apart."""
    assert named("/m/01.png", "/m/01.jpg") == ["m/01.png", "m/01.jpg"]


def test_names_that_are_taken_are_not_given_again() -> None:
    """A new scene gets a longer name where its stem is a key already; that of an old scene may well be its own."""
    there = ["/a/01.png", "/b/02.png"]
    assert named(*there, taken={"01"}, new=["id1"]) == ["01", "02"]
    assert named(*there, taken={"02"}, new=["id1"]) == ["a/01.png", "b/02.png"]
    assert named(*there, taken={"02", "b/02.png"}, new=["id1"]) == there


def test_one_medium_for_two_scenes() -> None:
    """No name can tell them apart: it is an error that names the medium; without new scenes nobody needs a name."""
    with pytest.raises(IntegrityError, match=r"1 scenes have the same media path: /m/1.png;"):
        named("/m/1.png", "/m/1.png", "/m/2.png")
    there = paths("/m/1.png", "/m/1.png")
    assert names(there, set(), []) == {}
    assert names({}, {"a"}, []) == {}


PARTS = st.lists(st.sampled_from(["a", "b", "c1"]), min_size=1, max_size=4)


@given(
    folders=st.lists(PARTS, min_size=1, max_size=8, unique_by=tuple),
    endings=st.data(),
)
def test_names_are_unique_and_end_the_path(folders: list[list[str]], endings: Any) -> None:
    """Each scene has a name of its own that is the stem or the end of its path; whatever order they are listed in."""
    there = {str(i): PurePosixPath("/", *parts[:-1], parts[-1] + ".png") for i, parts in enumerate(folders)}
    found = names(there, set(), list(there))
    assert len(set(found.values())) == len(there)
    for one, path in there.items():
        assert found[one] == path.stem or str(path).endswith(found[one])
    order = endings.draw(st.permutations(list(there)))
    assert names({one: there[one] for one in order}, set(), order) == found
