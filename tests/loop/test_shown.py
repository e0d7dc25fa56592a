"""What the steps leave for the App: it is up to date, without anybody asking for it."""

from __future__ import annotations

from typing import Any

import pytest

import quick_loop
from support import samples_of
from swath import appearance
from swath.loop import Loop
from swath.store.views import WRITTEN

pytestmark = pytest.mark.database


def told(loop: Loop) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """The dataset's document, its samples and runs, as they are stored."""
    loop.workspace.scenes.refresh()
    dataset = loop.workspace.scenes.dataset
    database = samples_of(loop).database
    doc = database.datasets.find_one({"_id": dataset._doc.id})
    runs = {one["key"]: one for one in database.runs.find({"_dataset_id": dataset._doc.id})}
    shown = {"app_config", "brain_methods", "evaluations", "sample_fields"}
    samples = list(samples_of(loop).find({}, {"swath_fence": 0}).sort("_id", 1))
    return {name: doc[name] for name in shown}, samples, runs


@pytest.mark.parametrize("point", ["new", "ready", "sent", "closed"])
def test_a_step_leaves_it_up_to_date(dataset_name: str, mongod: str, point: str) -> None:
    """Wherever a loop stands, showing everything anew changes neither settings, nor samples, nor runs."""
    loop = quick_loop.at(point, dataset_name)
    before = told(loop)
    with loop.workspace.writer("look") as writer:
        appearance.show(loop.workspace, writer)
    assert told(loop) == before
    dataset = loop.workspace.scenes.dataset
    assert dataset.app_config.sidebar_groups[-1].name == "hidden by default"
    assert all(dataset.select_group_slices(["pcd"]).values("scene_3d"))
    assert ("swath_map" in dataset.list_brain_runs()) == (point != "new")
    assert ("predictions_sure" in dataset.get_field_schema()) == (point == "closed")


def test_the_failures_are_ranked_and_chosen(dataset_name: str, mongod: str) -> None:
    """The view of failures has those that are worth a look, and the tags with it; the journal has all of them."""
    loop = quick_loop.at("closed", dataset_name)
    batches, dataset = loop.workspace.journal.batches, loop.workspace.scenes.dataset
    failures = batches.failures(batches.get("v0"))
    chosen = {one.key for one in failures if one.notable}
    assert 3 <= len(chosen) < len(failures)
    assert failures[0].notable
    view = dataset.load_saved_view("eval_v0_failures")
    assert set(view.values("scene_key")) == chosen
    assert set(dataset.match_tags("failure:v0").values("scene_key")) == chosen
    kinds = dataset.match_tags(["failure:high_fn", "failure:high_fp"])
    assert set(kinds.values("scene_key")) == chosen


def test_views_have_a_colour_and_a_purpose(dataset_name: str, mongod: str) -> None:
    """Each saved view has them; a loop of before gets them by `repair`."""
    loop = quick_loop.at("closed", dataset_name)
    dataset = loop.workspace.scenes.dataset

    def style(name: str) -> tuple[str, str]:
        loop.workspace.scenes.refresh()
        said = dataset.get_saved_view_info(name)
        return said["color"], said["description"]

    batches = loop.workspace.journal.batches.all()
    for name in dataset.list_saved_views():
        assert style(name) == appearance.view_style(name, batches)
    views = samples_of(loop).database.views
    query = {"_dataset_id": dataset._doc.id, "name": "pool"}
    views.update_one(query, {"$set": {"color": None, "description": "swath: pool"}, "$unset": {WRITTEN: ""}})
    loop.repair()
    assert style("pool") == appearance.view_style("pool", batches)


def test_a_style_that_somebody_gave_a_view_stays(dataset_name: str, mongod: str) -> None:
    """Also when its scenes are put right; the other views have swath's."""
    loop = quick_loop.at("closed", dataset_name)
    loop.repair()  # the views of a copy are FiftyOne's
    dataset, mine = loop.workspace.scenes.dataset, {"color": "#EE46BC", "description": "mine"}
    members = loop.workspace.scenes.view_members("pool")
    dataset.update_saved_view_info("pool", mine)
    loop.repair()
    samples_of(loop).database.views.update_one(
        {"_dataset_id": dataset._doc.id, "name": "pool"}, {"$set": {"view_stages": []}}
    )
    loop.repair()
    loop.repair()
    dataset.reload()
    said = dataset.get_saved_view_info("pool")
    assert {name: said[name] for name in mine} == mine
    assert loop.workspace.scenes.view_members("pool") == members
    assert dataset.get_saved_view_info("val_set")["color"] == appearance.view_style("val_set", []).colour
