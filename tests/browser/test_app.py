"""What people see of a loop in FiftyOne's App."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_driver import App

import durable
import quick_loop
from support import remove, samples_of
from swath.appearance.sidebar import HIDDEN
from swath.evaluations import THRESHOLD
from swath.formats.pcd import write_pcd
from swath.loop import Loop

pytestmark = pytest.mark.database
NAME = "t-browser"
FAILURES = "eval_v0_failures"
TICKED = ["human_detections", "predictions_sure", "human_cuboids", "predictions_3d_sure"]


@pytest.fixture(scope="module")
def loop(browser: Any, mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A loop whose first round is closed, with models of images and of clouds; one failure has a cloud with many points."""
    remove(NAME)
    durable.fork(quick_loop.base("sent"), NAME, quick_loop.homes() / NAME)
    more = {"train": {"trainer_3d": "pillars", "center": {"steps": 40}, "pillars": {"steps": 2}}}
    made = Loop.open(NAME, changes=more)
    made.run(1)
    cloud = tmp_path_factory.mktemp("clouds") / "dense.pcd"
    rng = np.random.default_rng(4)
    write_pcd(cloud, rng.uniform((0, -15, -2, 0), (40, 15, -1, 1), (40_000, 4)).astype(np.float32))
    key = str(made.workspace.scenes.dataset.load_saved_view(FAILURES).first().scene_key)
    samples = samples_of(made)
    samples.update_one({"scene_key": key, "group.name": "pcd"}, {"$set": {"filepath": str(cloud)}})
    made.repair()
    yield made
    remove(NAME)


def first_of(dataset: Any, view: str) -> str:
    """The group id of the first scene of a view."""
    return str(dataset.load_saved_view(view).first().group.id)


def points_seen(app: App) -> float:
    """The share of the 3D view that is brighter than its background and its grid."""
    app.wait_for("looker3d")
    app.until(lambda: app.page.get_by_text("All assets loaded").count(), "the cloud is not loaded")
    return float((app.picture("looker3d").max(axis=-1) > 120).mean())


@pytest.mark.slow
def test_a_loop_in_the_app(loop: Loop, app: App) -> None:
    """The grid opens with people's labels and sure predictions, the sidebar in its order; every saved view opens on every slice,
    with its number of scenes."""
    dataset = loop.workspace.scenes.dataset
    app.open(NAME)
    app.counts(3 * quick_loop.SCENES)
    assert app.ticked() == TICKED
    assert app.groups()[:4] == ["tags", "labels", "scene", "scores"]
    assert app.groups()[-1] == HIDDEN
    with_boxes = app.picture("fo-grid")
    app.shot("grid")
    app.click("checkbox-human_detections")
    assert (app.picture("fo-grid") != with_boxes).any(axis=-1).sum() > 1000
    for slice_name in dataset.group_slices:
        app.show_slice(slice_name)
        for view in dataset.list_saved_views():
            app.show_view(view)
            app.counts(len(dataset.load_saved_view(view)))
        app.shot(f"grid-{slice_name}")


@pytest.mark.slow
def test_clouds_are_seen(loop: Loop, app: App) -> None:
    """A scene opens in three dimensions with its points in sight, and nothing set in the browser."""
    app.open(NAME, f"slice=pcd&groupId={first_of(loop.workspace.scenes.dataset, FAILURES)}")
    seen = points_seen(app)
    app.shot("modal")
    assert seen > 0.15


@pytest.mark.slow
def test_what_is_sure_is_seen_and_the_rest_hidden(loop: Loop, app: App) -> None:
    """A scene shows as many predictions as are at or above the threshold of the record; all of them, hidden truth, blind labels
    and what is swath's own stand folded away, unticked."""
    dataset, batches = loop.workspace.scenes.dataset, loop.workspace.journal.batches
    done = batches.get("v0").steps.evaluate
    assert done is not None
    least = done.main.operating.threshold
    scores = {
        str(one.group.id): [label.confidence for label in one.predictions.detections]
        for one in dataset.load_saved_view(FAILURES).select_group_slices(["left"])
    }
    sure = {group: sum(score >= least for score in of_one) for group, of_one in scores.items()}
    group = max(sure, key=lambda one: sure[one])
    assert 0 < sure[group] < len(scores[group])
    app.open(NAME)
    app.unfold(HIDDEN)
    names = {
        "predictions",
        "ground_truth",
        "golden_detections",
        "opinions_2d",
        "swath_fence",
        "embeddings_source",
    }
    app.until(lambda: names <= set(app.fields()), f"{names} are not in the sidebar")
    assert app.ticked() == TICKED
    app.open(NAME, f"slice=left&groupId={group}")
    app.until(
        lambda: app.count_of("predictions_sure") == sure[group], f"{sure[group]} predictions are not shown"
    )
    assert set(app.ticked()) == set(TICKED)
    app.shot("modal-image")


@pytest.mark.slow
def test_the_panel_model_evaluation(loop: Loop, app: App) -> None:
    """It shows mAP as the record has it, and the threshold that TP, FP and FN are at."""
    done = loop.workspace.journal.batches.get("v0").steps.evaluate
    assert done is not None
    app.open(NAME)
    app.click("new-panel-btn")
    app.click("new-panel-option-model_evaluation_panel_builtin")
    app.until(lambda: app.page.get_by_text("eval_v0", exact=True).count(), "no evaluation")
    app.page.get_by_text("eval_v0", exact=True).first.click()
    rows = app.until(lambda: app.table() if "mAP" in app.table() else None, "no table")
    app.shot("panel-evaluation")
    assert done.main.map.value
    assert float(rows["mAP"]) == pytest.approx(done.main.map.value, abs=1e-3)
    assert float(rows[THRESHOLD]) == pytest.approx(done.main.operating.threshold, abs=1e-3)


@pytest.mark.slow
def test_the_map_of_embeddings(loop: Loop, app: App) -> None:
    """The panel Embeddings offers one map, with a point for each scene of pool, val and golden, and draws them."""
    app.open(NAME)
    app.click("new-panel-btn")
    app.click("new-panel-option-Embeddings")
    app.wait_for("embeddings-runs-page")
    app.page.get_by_text("swath_map", exact=True).first.click()
    wanted = f"{len(loop.workspace.members('pool', 'val', 'golden'))} points"
    app.until(lambda: app.page.get_by_text(wanted).count(), f"the map does not have {wanted}")
    seen = app.picture()[250:, 900:]
    app.shot("map")
    assert (seen.max(axis=-1) > 100).sum() > 200


@pytest.mark.slow
def test_bare_clouds_are_black(loop: Loop, app: App) -> None:
    """The same scene drawn from its `.pcd` is dark: when this fails, the App has learned, and scene files may go."""
    import fiftyone as fo

    name = f"{NAME}-bare"
    remove(name)
    dataset = loop.workspace.scenes.dataset.clone(name, persistent=True)
    dataset.app_config = fo.DatasetAppConfig()
    dataset.save()
    try:
        app.open(name, f"slice=pcd&groupId={first_of(dataset, FAILURES)}")
        seen = points_seen(app)
        app.shot("modal-bare")
    finally:
        fo.delete_dataset(name)
    assert seen < 0.05


@pytest.mark.slow
def test_cuboids_without_a_box_are_an_error_page(loop: Loop, app: App) -> None:
    """The grid of a cloud slice breaks on cuboids that lack an empty 2D box: when this fails, `show_cuboids` may go."""
    import fiftyone as fo

    name = f"{NAME}-boxless"
    remove(name)
    dataset = loop.workspace.scenes.dataset.clone(name, persistent=True)
    samples_of(dataset).update_many(
        {"human_cuboids.detections.0": {"$exists": True}},
        {"$unset": {"human_cuboids.detections.$[].bounding_box": ""}},
    )
    try:
        app.open(name)
        with pytest.raises(AssertionError, match="TypeError"):
            app.show_slice("pcd")
            app.until(lambda: False, "no error page")
    finally:
        fo.delete_dataset(name)


@pytest.mark.slow
def test_a_rig_of_any_sensors(browser: Any, mongod: str, app: App, tmp_path: Path) -> None:
    """Six cameras and a LiDAR: every slice and every view opens, and the LiDAR's points are seen."""
    from swath.worlds import make_world

    name = f"{NAME}-rig"
    remove(name)
    make_world(tmp_path / "world", scenes=24, seed=6, scale=0.2, rig="surround")
    changes = {"annotate": {"annotator": "simulated"}, "select": {"zcore_max_draws": 2000}}
    loop, _ = Loop.init_rig(name, tmp_path / "world", changes=changes, home=tmp_path / "home")
    try:
        loop.split()
        loop.embed()
        loop.reference("ground_truth")
        loop.select()
        loop.send()
        loop.fetch()
        dataset = loop.workspace.scenes.dataset
        app.open(name)
        for slice_name in dataset.group_slices:
            app.show_slice(slice_name)
            for view in dataset.list_saved_views():
                app.show_view(view)
                app.counts(len(dataset.load_saved_view(view)))
            app.shot(f"rig-{slice_name}")
        app.open(name, f"slice=lidar&groupId={first_of(dataset, 'batch_v0')}")
        assert points_seen(app) > 0.1
        app.shot("rig-modal")
    finally:
        remove(name)
