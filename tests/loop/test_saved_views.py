"""Saved views in the App: every one opens by the path that FiftyOne's server takes, whatever slice is active."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bson import ObjectId

import durable
import quick_loop
import small_scenes
from support import in_the_app, remove
from swath.loop import Loop
from swath.store import scenes as module

pytestmark = pytest.mark.database
SLICES = ("left", "pcd", "right")
LACKING = ((3, "left"), (7, "pcd"), (11, "right"), (12, "right"), (12, "pcd"), (20, "pcd"), (33, "left"))
NAMES = {
    "test_set",
    "val_set",
    "golden_qa",
    "pool",
    "batch_v0",
    "batch_v1",
    "eval_v0_failures",
}
SIZED = {"by ids": module.LARGE, "by tag": 1}  # form of the views -> scenes from which they go by tag


@pytest.fixture(scope="module")
def chosen(mongod: str) -> Iterator[str]:
    """A loop with v0 closed and v1 chosen; of its scenes some lack a slice."""
    name = "t-views"
    made = quick_loop.dataset(name, without=LACKING)
    assert made.group_slices
    loop, _ = Loop.init_fiftyone(name, changes=quick_loop.SETTINGS, home=quick_loop.homes() / name)
    assert loop.run(1).closed == 1
    loop.select()
    yield name
    remove(name)


@pytest.fixture(params=SIZED)
def loop(
    chosen: str, dataset_name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Loop:
    """A copy of it, whose views are all of one form."""
    durable.fork(chosen, dataset_name, quick_loop.homes() / dataset_name)
    monkeypatch.setattr(module, "LARGE", SIZED[request.param])
    loop = Loop.open(dataset_name)
    loop.repair()
    views = loop.workspace.scenes.views
    for name in NAMES:
        assert (views.tag(name) is not None, views.ids(name) is not None) == (
            (True, False) if request.param == "by tag" else (False, True)
        )
    return Loop.open(dataset_name)


def members(loop: Loop) -> dict[str, set[str]]:
    """Saved view -> its scenes, by what the journal says of splits, batches and failures."""
    workspace = loop.workspace
    split = {"test_set": "test", "val_set": "val", "golden_qa": "golden", "pool": "pool"}
    batches = workspace.journal.batches
    out = {view: set(workspace.members(one)) for view, one in split.items()}
    for name in ("v0", "v1"):
        out[f"batch_{name}"] = {scene.key for scene in batches.manifest(batches.get(name)).scenes}
    out["eval_v0_failures"] = {
        failure.key for failure in batches.failures(batches.get("v0")) if failure.notable
    }
    return out


def with_slice(keys: set[str], name: str) -> set[str]:
    """Those of the scenes that have a slice."""
    return keys - {f"{number:04d}" for number, missing in LACKING if missing == name}


def test_the_views_are_all_there(loop: Loop) -> None:
    """Those of the splits, of both batches and of the failures, each with the scenes that the journal has in it, and not empty."""
    dataset = loop.workspace.scenes.dataset
    assert set(dataset.list_saved_views()) == NAMES == members(loop).keys()
    for name, keys in members(loop).items():
        assert loop.workspace.scenes.view_members(name) == sorted(keys)
        assert keys
    assert loop.repair(check=True).differences == ()


@pytest.mark.parametrize("active", SLICES)
def test_a_view_opens_on_every_slice(loop: Loop, active: str) -> None:
    """In the grid a view shows the chosen slice of its scenes: one sample of each that has it, none else, and no error; with
    several slices chosen, those of each; in the modal, the slices of one scene."""
    dataset = loop.workspace.scenes.dataset
    dataset.group_slice = active
    ids = {key: loop.workspace.scenes.ids([key])[0] for key in loop.workspace.membership()}
    for name, keys in members(loop).items():
        view = dataset.load_saved_view(name)
        shown = in_the_app(view, active)
        assert sorted(shown) == sorted(with_slice(keys, active)), name
        both = in_the_app(view, *SLICES)
        assert sorted(both) == sorted(key for one in SLICES for key in with_slice(keys, one)), name
        one = min(with_slice(keys, active))
        assert in_the_app(view, active, group=ids[one]) == [one]


@pytest.mark.parametrize("active", SLICES)
def test_a_view_counts_scenes_and_leads_to_slices(loop: Loop, active: str) -> None:
    """`len` is the number of its scenes, of those that have the active slice: FiftyOne counts groups by it. It stays grouped, its
    groups are whole, and any slice can be chosen from it, as the guide does, of the scenes that have both."""
    dataset = loop.workspace.scenes.dataset
    dataset.group_slice = active
    for name, keys in members(loop).items():
        view = dataset.load_saved_view(name)
        assert (len(view), view.media_type) == (len(with_slice(keys, active)), "group")
        assert set(view.values("scene_key")) == with_slice(keys, active)
        for other in SLICES:
            flat = view.select_group_slices([other])
            both = with_slice(with_slice(keys, active), other)
            assert sorted(flat.values("scene_key")) == sorted(both), (name, other)
        group = next(iter(view.iter_groups()))
        key = group[active].scene_key
        assert set(group) == {one for one in SLICES if key in with_slice({key}, one)}


def test_a_view_is_right_when_scenes_come_and_go(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The views of an open batch that is cancelled go; that of the next one shows its scenes, in either form; a view that
    outgrows its ids goes by tag."""
    before = members(loop)["batch_v1"]
    loop.cancel("v1", "another one")
    dataset = loop.workspace.scenes.dataset
    assert "batch_v1" not in dataset.list_saved_views()
    loop.select(exclude=sorted(before)[:2])
    batches = loop.workspace.journal.batches
    keys = {scene.key for scene in batches.manifest(batches.get("v2")).scenes}
    assert sorted(in_the_app(dataset.load_saved_view("batch_v2"), "pcd")) == sorted(with_slice(keys, "pcd"))
    monkeypatch.setattr(module, "LARGE", len(keys) - 1)
    loop.repair()
    assert loop.workspace.scenes.views.tag("batch_v2") == "batch:v2"
    shown = in_the_app(dataset.load_saved_view("batch_v2"), "right")
    assert sorted(shown) == sorted(with_slice(keys, "right"))


def test_the_path_is_the_one_that_broke(loop: Loop) -> None:
    """A view of 0.1.0's kind, by `select_groups`, fails on this path, as it did in the App: else these tests would prove nothing."""
    dataset = loop.workspace.scenes.dataset
    view = dataset.select_groups([str(one) for one in dataset.values("group.id")[:3]])
    with pytest.raises(TypeError, match="NoneType"):
        in_the_app(view, "left")


def test_a_plain_dataset(mongod: str, dataset_name: str, tmp_path: Path) -> None:
    """Without groups a view shows its samples, and opens on the same path."""
    small_scenes.make_dataset(dataset_name, quick_loop.media(), 40, quick_loop.CLASSES, grouped=False)
    loop, _ = Loop.init_fiftyone(dataset_name, changes=quick_loop.SETTINGS, home=tmp_path)
    loop.split()
    dataset = loop.workspace.scenes.dataset
    from fiftyone.server.view import get_view

    for name, split in (("test_set", "test"), ("pool", "pool")):
        view = dataset.load_saved_view(name)
        found = get_view(dataset_name, stages=view._serialize(), pagination_data=True)
        assert sorted(found.values("scene_key")) == loop.workspace.members(split)
        assert all(ObjectId.is_valid(one) for one in view.values("id"))
