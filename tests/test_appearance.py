"""What FiftyOne's App is told to show: computed from records alone, and written where nobody else has set it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quick_loop
from some_records import a_batch, an_evaluation, some_figures
from support import samples_of
from swath import appearance, commit
from swath.appearance.clouds import show_clouds, show_cuboids
from swath.appearance.colours import LIGHTER, PALETTE, class_colours, color_scheme, mixed
from swath.appearance.names import MAP, SCENE
from swath.appearance.predictions import show_predictions, shown, thresholds
from swath.appearance.settings import needed_changes
from swath.appearance.sidebar import HIDDEN, active_fields, descriptions, sidebar_groups
from swath.config import Fields, LoopConfig
from swath.errors import FencedError
from swath.labels import stored
from swath.labels.channels import rig_of, sure
from swath.labels.shapes import Boxes
from swath.loop import Loop
from swath.projection import VIEWS
from swath.records.batch import OperatingPoint
from swath.records.manifest import BatchSize
from swath.store.journal.lease import Writer
from swath.workspace import Workspace

CONFIG = LoopConfig()
RIG = rig_of(CONFIG, ["left", "right", "pcd"])

# ---------------------------------------------------------------------- colours

SEEN_BY: dict[str, Any] = {  # linear RGB as it is seen: Machado, Oliveira and Fernandes (2009), severity 1
    "everybody": np.eye(3),
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopes": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}


def lab(colour: str, eyes: Any) -> np.ndarray:
    """CIE L*a*b* of a colour as these eyes see it (D65)."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(eyes) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.asarray(to_xyz) @ seen / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("whose", SEEN_BY)
def test_eight_classes_can_be_told_apart(whose: str) -> None:
    """Colours of eight classes are 15 and more apart in CIE L*a*b* (2.3 is just noticeable), for colour-blind eyes too."""
    seen = [lab(colour, SEEN_BY[whose]) for colour in class_colours(CONFIG.classes).values()]
    assert len(seen) == 8
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


def test_colours_follow_the_class_map() -> None:
    """A class has the colour of its place, whatever its name; no two of thirty are the same."""
    classes = [f"c{i}" for i in range(30)]
    colours = class_colours(classes)
    assert list(colours.values())[:8] == list(PALETTE)
    assert len(set(colours.values())) == 30
    assert class_colours(["x", "y"]) == {"x": PALETTE[0], "y": PALETTE[1]}
    assert class_colours([]) == {}


def test_mixing() -> None:
    """A share of the way from one colour to another."""
    assert mixed("#000000", "#FFFFFF", 0) == "#000000"
    assert mixed("#000000", "#FFFFFF", 0.5) == "#808080"
    assert mixed("#102030", "#FF0080", 1) == "#FF0080"


def test_predictions_are_lighter_than_labels() -> None:
    """A class has one hue: people's boxes carry it, predictions are `LIGHTER` of the way to white; both have all classes."""
    of = {one["path"]: one for one in color_scheme(CONFIG, RIG)["fields"]}
    assert {"human_detections", "human_cuboids", "predictions_sure", "predictions_3d_sure"} <= of.keys()
    for human, predicted in (("human_detections", "predictions_sure"), ("human_cuboids", "predictions_3d")):
        colours = {one["value"]: one["color"] for one in of[human]["valueColors"]}
        lighter = {one["value"]: one["color"] for one in of[predicted]["valueColors"]}
        assert list(colours) == list(CONFIG.classes)
        assert lighter == {name: mixed(one, "#FFFFFF", LIGHTER) for name, one in colours.items()}


# ---------------------------------------------------------------------- what is visible, and where

THERE: dict[str, Any] = {
    **dict.fromkeys(("id", "filepath", "created_at", "scene_key", "swath_fence"), "primitive"),
    **dict.fromkeys(("metadata.width", "metadata.height", "group.id", "group.name"), "primitive"),
    **dict.fromkeys(
        ("annotation_status", "zcore", "sequence", "embeddings_source", "label_source"), "primitive"
    ),
    **dict.fromkeys(("embeddings", "findings", "calibration"), "other"),
    **dict.fromkeys(("human_detections", "golden_detections", "opinions_2d", "predictions"), "label"),
    **dict.fromkeys(("human_cuboids", "golden_cuboids", "opinions_3d", "predictions_3d"), "label"),
    **dict.fromkeys(("ground_truth", "dont_care"), "label"),
}
EVALUATED = {f"eval_{name}_{what}": "primitive" for name in ("v0", "v1") for what in ("tp", "fp", "fn")}
OWN = {"weather": "label", "speed": "primitive", "gps": "other"}


def groups(fields: dict[str, Any], *batches: Any) -> dict[str, list[str]]:
    return {one["name"]: one["paths"] for one in sidebar_groups(CONFIG, RIG, fields, batches)}


def test_every_field_stands_in_one_group() -> None:
    """Each path once; nothing that is not there; what is hidden comes last."""
    fields = {**THERE, **EVALUATED, **OWN, "predictions_sure": "label"}
    found = groups(fields, a_batch("v0", evaluate=an_evaluation()))
    paths = [path for group in found.values() for path in group]
    assert sorted(paths) == sorted([*fields, "tags", "_label_tags"])
    assert list(found)[:4] == ["tags", "labels", "scene", "scores"]
    assert list(found)[-1] == HIDDEN


def test_what_is_visible() -> None:
    """What people drew and what the model is sure of: not the hidden truth, blind labels, second opinions, all predictions."""
    assert active_fields(CONFIG, RIG, {**THERE, "predictions_sure": "label"}) == [
        "human_detections",
        "predictions_sure",
        "human_cuboids",
        "predictions_3d",
    ]
    hidden = groups({**THERE, "predictions_sure": "label"})[HIDDEN]
    assert {"ground_truth", "golden_detections", "golden_cuboids", "opinions_2d", "dont_care"} <= set(hidden)
    assert {"predictions", "swath_fence", "embeddings_source", "label_source", "findings"} <= set(hidden)
    assert "predictions_3d" not in hidden


def test_groups_that_are_folded() -> None:
    """What is seldom looked at is folded; the rest is left to the App."""
    found = sidebar_groups(CONFIG, RIG, {**THERE, **EVALUATED}, [a_batch("v1", evaluate=an_evaluation("v1"))])
    folded = {one["name"] for one in found if one.get("expanded") is False}
    assert folded == {"earlier evaluations", "metadata", HIDDEN}


def test_fields_of_other_people_stay() -> None:
    """Labels that swath does not know are visible, as FiftyOne has them; other fields stand in a group of their own."""
    assert active_fields(CONFIG, RIG, {**THERE, **OWN})[-1] == "weather"
    found = groups({**THERE, **OWN})
    assert found["other fields"] == ["speed", "gps"]
    assert "weather" in found["labels"]


def test_the_last_evaluation_is_at_hand() -> None:
    """Counts of the last evaluated round stand with the scores, also those of a second modality; others are folded away."""
    evaluated = [a_batch(name, evaluate=an_evaluation(name)) for name in ("v1", "v10")]
    fields = {**THERE, **dict.fromkeys(("eval_v1_fn", "eval_v10_fn", "eval_v10_3d_fn"), "primitive")}
    found = groups(fields, *evaluated)
    assert found["scores"] == ["zcore", "eval_v10_fn", "eval_v10_3d_fn"]
    assert found["earlier evaluations"] == ["eval_v1_fn"]


def test_each_field_of_swath_is_explained() -> None:
    """Every field that the configuration names, and swath's own, has a description."""
    said = descriptions(Fields())
    assert set(Fields().model_dump().values()) - said.keys() == {"sequence"}
    assert {
        "scene_key",
        "swath_fence",
        "embeddings_source",
        "findings",
        SCENE,
        "predictions_sure",
    } <= said.keys()


# ---------------------------------------------------------------------- settings that somebody else has made

OURS: dict[str, Any] = {
    "color_scheme": {"color_by": "value"},
    "active_fields": {"paths": ["a"]},
    "sidebar_groups": [{"name": "scene", "paths": ["a", "eval_v0_tp"]}],
}
UNSET: dict[str, Any] = {"plugins": {}, "sidebar_groups": None}


def applied(there: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    out = json.loads(json.dumps(there))
    for path, value in change.items():
        _, *above, last = path.split(".")
        (out.setdefault(above[0], {}) if above else out)[last] = value
    return dict(out)


def test_what_is_unset_is_set_once() -> None:
    """All parts are set; after that there is nothing to change, whatever FiftyOne adds to them (ids, nulls)."""
    change = needed_changes(UNSET, OURS)
    now = applied(UNSET, change)
    assert {name: now[name] for name in OURS} == OURS
    assert needed_changes(now, OURS) == {}
    now["color_scheme"] |= {"_id": "x", "opacity": None}
    now["sidebar_groups"][0]["expanded"] = None
    assert needed_changes(now, OURS) == {}


def test_what_somebody_set_stays() -> None:
    """A part that is neither FiftyOne's default nor what swath wrote is left alone; the others are written."""
    theirs = {**UNSET, "color_scheme": {"color_by": "field"}}
    change = needed_changes(theirs, OURS)
    assert "app_config.color_scheme" not in change
    assert "app_config.active_fields" in change
    before = applied(UNSET, needed_changes(UNSET, OURS))
    edited = {**before, "active_fields": {"paths": ["b"]}}
    assert needed_changes(edited, {**OURS, "active_fields": {"paths": ["a", "c"]}}) == {}


def test_what_swath_wrote_it_may_change() -> None:
    """A part that is as swath wrote it follows when there is something new."""
    before = applied(UNSET, needed_changes(UNSET, OURS))
    change = needed_changes(before, {**OURS, "active_fields": {"paths": ["a", "c"]}})
    assert change["app_config.active_fields"] == {"paths": ["a", "c"]}
    assert "app_config.color_scheme" not in change


def test_evaluations_in_the_sidebar_are_nobodys_will() -> None:
    """FiftyOne puts a group for each evaluation into the sidebar, and takes it out with its fields: no reason to leave it."""
    before = applied(UNSET, needed_changes(UNSET, OURS))
    moved = [{"name": "scene", "paths": ["a"]}, {"name": "eval_v0", "paths": ["eval_v0_tp"]}]
    change = needed_changes({**before, "sidebar_groups": moved}, OURS)
    assert change == {"app_config.sidebar_groups": OURS["sidebar_groups"]}
    default = [{"name": "labels", "paths": ["x"]}, {"name": "eval_v0", "paths": ["eval_v0_tp"]}]
    assert "app_config.sidebar_groups" in needed_changes({**UNSET, "sidebar_groups": default}, OURS)
    folded = [{"name": "labels", "paths": ["x"], "expanded": False}]
    assert "app_config.sidebar_groups" not in needed_changes({**UNSET, "sidebar_groups": folded}, OURS)


# ---------------------------------------------------------------------- saved views


def test_every_view_has_a_colour_and_a_purpose() -> None:
    """Views of splits, batches and failures each have a colour of their own kind, and say what they are for."""
    batch = a_batch("v1").with_(size=BatchSize(budget=10, size=10, coverage=3, targeted=7))
    batch = batch.with_(steps=batch.steps.with_(evaluate=an_evaluation("v1", failing=12)))
    styles = {
        name: appearance.view_style(name, [batch])
        for name in (*VIEWS.values(), "batch_v1", "eval_v1_failures")
    }
    assert len({one.colour for one in styles.values()}) == len(styles)
    assert len({one.description for one in styles.values()}) == len(styles)
    assert styles["test_set"].description.startswith("Frozen")
    assert styles["batch_v1"].description == "v1: 10 scenes chosen (3 for coverage, 7 for failures)"
    assert styles["eval_v1_failures"].description.endswith("12 of 30 have errors at scores from 0.30")


def test_colours_are_those_that_the_app_offers() -> None:
    """The App's dialog knows nine colours for views, by their code."""
    offered = {
        "#667085",
        "#2970FF",
        "#06AED4",
        "#16B364",
        "#FAC515",
        "#EF6820",
        "#F04438",
        "#EE46BC",
        "#7A5AF8",
    }
    names = (*VIEWS.values(), "batch_v0", "eval_v0_failures")
    assert {appearance.view_style(name, []).colour for name in names} <= offered


def test_what_a_view_says_does_not_change_with_its_round() -> None:
    """A batch's view says the same from its plan to its end: it need not be written again."""
    first, last = a_batch("v0", "planned"), a_batch("v0", "closed", evaluate=an_evaluation())
    assert appearance.view_style("batch_v0", [first]) == appearance.view_style("batch_v0", [last])
    assert appearance.view_style("pool", []) == appearance.view_style("pool", [last])


# ---------------------------------------------------------------------- predictions


def test_thresholds_of_rounds() -> None:
    """Each evaluated round has the threshold of its own model; one that was cancelled or not evaluated has none."""
    point = OperatingPoint(threshold=0.7, precision=1, recall=1, f1=1)
    high = some_figures(car=1).with_(operating=point)
    batches = [
        a_batch("v0", evaluate=an_evaluation()),
        a_batch("v1", evaluate=an_evaluation("v1", figures={"2d": high})),
        a_batch("v2", "trained"),
        a_batch("v3", "cancelled", evaluate=an_evaluation("v3")),
    ]
    assert thresholds(batches, "2d") == {"v0": 0.3, "v1": 0.7}
    assert thresholds(batches, "3d") == {}


def test_predictions_at_the_threshold(mongod: str) -> None:
    """MongoDB keeps what is at or above the threshold of its round, in order; labels of no known round it keeps all; one
    without a score is not sure; where there is no field there is none."""
    import pymongo

    def one(round_: str | None, confidence: float | None) -> dict[str, Any]:
        said = {"round": round_, "confidence": confidence}
        return {name: value for name, value in said.items() if value is not None}

    rows = [
        one("v0", 0.3),
        one("v0", 0.29),
        one("v1", 0.69),
        one("v1", 0.7),
        one("v0", None),
        one(None, 0.01),
    ]
    at = {"v0": 0.3, "v1": 0.7}
    client: Any = pymongo.MongoClient(mongod)
    rooms = client["swath-test-appearance"]
    try:
        rooms.rows.insert_many(
            [
                {"_id": 1, "p": {"_cls": "Detections", "detections": rows}},
                {"_id": 2, "p": {"_cls": "Detections", "detections": []}},
                {"_id": 3, "p": None},
                {"_id": 4},
            ]
        )
        found = {doc["_id"]: doc["q"] for doc in rooms.rows.aggregate([{"$project": {"q": shown("p", at)}}])}
        every = next(
            iter(rooms.rows.aggregate([{"$match": {"_id": 1}}, {"$project": {"q": shown("p", {})}}]))
        )
    finally:
        client.drop_database("swath-test-appearance")
        client.close()
    wanted = [
        row for row in rows if row.get("round") is None or row.get("confidence", -1) >= at[row["round"]]
    ]
    assert found == {
        1: {"_cls": "Detections", "detections": wanted},
        2: {"_cls": "Detections", "detections": []},
        3: None,
        4: None,
    }
    assert len(wanted) == 3
    assert every["q"]["detections"] == rows


# ---------------------------------------------------------------------- clouds


def test_a_scene_file_is_a_fiftyone_scene(mongod: str, tmp_path: Path) -> None:
    """FiftyOne reads it: one cloud, coloured by height, seen from behind the sensor with z up."""
    import fiftyone as fo

    cloud = tmp_path / "a.pcd"
    made = appearance.scene_file(cloud, tmp_path / "new" / "a.fo3d")
    scene = fo.Scene.from_fo3d(str(made))
    assert [Path(path) for path in scene.get_asset_paths()] == [cloud]
    (points,) = scene.children
    assert points.default_material.shading_mode == "height"
    assert scene.camera.up == "Z"
    assert scene.camera.position.x < 0 < scene.camera.position.z


def test_a_scene_file_is_a_function_of_its_cloud(tmp_path: Path) -> None:
    """The same cloud gives the same bytes; another one does not."""
    one, two, other = (
        appearance.scene_file(tmp_path / name, tmp_path / f"{place}.fo3d").read_bytes()
        for place, name in enumerate(("a.pcd", "a.pcd", "b.pcd"))
    )
    assert one == two != other


# ---------------------------------------------------------------------- written to a dataset


@pytest.fixture
def loop(dataset_name: str) -> Loop:
    """A loop of one's own, whose first round is closed."""
    return quick_loop.at("closed", dataset_name)


def show(workspace: Workspace) -> None:
    with workspace.writer("look") as writer:
        appearance.show(workspace, writer)


def documents(workspace: Workspace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The dataset's document, and those of its samples."""
    import fiftyone.core.odm as foo

    dataset = workspace.scenes.dataset
    doc = foo.get_db_conn().datasets.find_one({"_id": dataset._doc.id})
    assert doc is not None
    for name in ("last_modified_at", "last_loaded_at"):
        doc.pop(name, None)
    return doc, list(samples_of(dataset).find({}).sort("_id", 1))


def as_of_old(workspace: Workspace) -> None:
    """Takes away all that is shown: a loop of 0.1.0's."""
    import fiftyone.core.odm as foo

    dataset = workspace.scenes.dataset
    gone = {"color_scheme": "", "active_fields": "", "sidebar_groups": "", "plugins.swath": ""}
    unset = {**{f"app_config.{name}": "" for name in gone}, f"brain_methods.{MAP}": ""}
    bare = {"media_fields": ["filepath"], "modal_media_field": "filepath", "media_fallback": False}
    change = {"$unset": unset, "$set": {f"app_config.{name}": value for name, value in bare.items()}}
    foo.get_db_conn().datasets.update_one({"_id": dataset._doc.id}, change)
    samples = samples_of(dataset)
    shown_fields = [SCENE, sure("predictions"), sure("predictions_3d")]
    samples.update_many({}, {"$unset": dict.fromkeys(shown_fields, "")})
    for field in ("human_cuboids", "golden_cuboids"):
        samples.update_many(
            {f"{field}.detections.0": {"$exists": True}},
            {"$unset": {f"{field}.detections.$[].bounding_box": ""}},
        )
    workspace.scenes.refresh()


@pytest.mark.database
def test_showing_again_changes_nothing(loop: Loop) -> None:
    """A second time neither the dataset nor a sample nor the map is written."""
    workspace = loop.workspace
    show(workspace)
    before = documents(workspace)
    show(workspace)
    assert documents(workspace) == before


@pytest.mark.database
def test_fiftyone_loads_what_is_shown(loop: Loop) -> None:
    """FiftyOne reads settings and samples; each cloud has a scene file of its own, and stays a cloud."""
    show(loop.workspace)
    dataset = loop.workspace.scenes.dataset
    assert dataset.app_config.color_scheme.color_by == "value"
    assert dataset.app_config.modal_media_field == SCENE
    assert dataset.group_media_types["pcd"] == "point-cloud"
    assert dataset.get_field("predictions").description
    clouds = dataset.select_group_slices(["pcd"])
    paths = clouds.values(SCENE)
    assert len(set(paths)) == len(clouds)
    for sample in clouds.limit(3):
        assert json.loads(Path(sample[SCENE]).read_text())["children"][0]["pcdPath"] == sample.filepath
    assert set(dataset.select_group_slices(["left"]).values(SCENE)) == {None}


@pytest.mark.database
def test_only_what_is_sure_is_visible(loop: Loop) -> None:
    """`predictions` holds all of them, `predictions_sure` those at or above the threshold of the record, with the same ids."""
    workspace = loop.workspace
    (done,) = [one.steps.evaluate for one in workspace.journal.batches.all() if one.round == "v0"]
    assert done is not None
    least = done.main.operating.threshold
    boxes = Boxes(np.array([[1.0, 1, 9, 9]] * 3), ("car",) * 3)
    scores = [least - 0.01, least, least + 0.01]
    given = {
        key: stored.field_of(stored.documents_of(boxes, (96, 48), [key], confidence=scores, round="v0"))
        for key in workspace.members("val")
    }
    with workspace.writer("predict") as writer:
        workspace.scenes.write("left", {key: {"predictions": one} for key, one in given.items()}, writer)
    show(workspace)
    dataset = workspace.scenes.dataset
    val = dataset.select_group_slices(["left"]).match_tags("split:val")
    every, kept = val.values("predictions.detections"), val.values("predictions_sure.detections")
    assert [len(one) for one in every] == [3] * len(given)
    assert [[x.id for x in one] for one in kept] == [[x.id for x in one[1:]] for one in every]
    others = dataset.select_group_slices(["left"]).match_tags("split:pool").values("predictions_sure")
    assert set(others) == {None}
    assert "predictions_sure" in dataset.app_config.active_fields.paths
    assert "predictions" not in dataset.app_config.active_fields.paths


@pytest.mark.database
def test_a_scene_file_that_was_lost_comes_back(loop: Loop) -> None:
    """A scene file that somebody deleted is made again."""
    show(loop.workspace)
    path = Path(loop.workspace.scenes.dataset.select_group_slices(["pcd"]).first()[SCENE])
    before = path.read_bytes()
    path.unlink()
    show(loop.workspace)
    assert path.read_bytes() == before


@pytest.mark.database
def test_cuboids_have_a_box_and_stay_the_same_labels(loop: Loop) -> None:
    """FiftyOne's own cuboids have an empty 2D box, and its App stumbles over those without: they get one, and say the same."""
    workspace = loop.workspace
    collection = samples_of(workspace)
    collection.update_many(
        {"human_cuboids.detections.0": {"$exists": True}},
        {"$unset": {"human_cuboids.detections.$[].bounding_box": ""}},
    )
    query = {"human_cuboids.detections.0": {"$exists": True}}
    before = [stored.digest_of(doc["human_cuboids"]["detections"]) for doc in collection.find(query)]
    assert before
    show(workspace)
    after = [doc["human_cuboids"]["detections"] for doc in collection.find(query)]
    assert all(one["bounding_box"] == [] for labels in after for one in labels)
    assert [stored.digest_of(one) for one in after] == before


@pytest.mark.database
def test_the_map_is_of_the_vectors(loop: Loop) -> None:
    """The map holds pool, val and golden, where the plane of their vectors has them; no test scene."""
    from swath.kernels.plane import plane

    workspace = loop.workspace
    show(workspace)
    dataset = workspace.scenes.dataset
    results = dataset.load_brain_results(MAP)
    keys = workspace.members("pool", "val", "golden")
    left = dataset.select_group_slices(["left"])
    key_of = dict(zip(left.values("id"), left.values("scene_key"), strict=True))
    assert sorted(key_of[one] for one in results.sample_ids) == keys
    xy, _ = plane(workspace.scenes.vectors(keys, "given" if "given" in left.first() else "embeddings"))
    rows = [keys.index(key_of[one]) for one in results.sample_ids]
    np.testing.assert_allclose(results.points, xy[rows], atol=1e-6)


@pytest.mark.database
def test_a_map_that_was_interrupted_is_made_again(loop: Loop) -> None:
    """A run without results (its writer was killed in between) is no map."""
    workspace = loop.workspace
    show(workspace)
    dataset = workspace.scenes.dataset
    run = dataset._doc.brain_methods[MAP]
    run.results.delete()
    run.save()
    workspace.scenes.refresh()
    show(workspace)
    dataset.reload()
    dataset._brain_cache.clear()
    assert len(dataset.load_brain_results(MAP).points) > 3


@pytest.mark.database
def test_a_writer_that_was_overtaken_shows_nothing(loop: Loop) -> None:
    """Settings, predictions and cuboids of a writer whose fence is too low do not land, and it is told."""
    workspace = loop.workspace
    as_of_old(workspace)
    with workspace.writer("new") as writer:
        commit.raise_fence(workspace, writer)
        late = Writer(writer.token - 1, "late", "late")
        settings, samples = documents(workspace)
        for step in (show_clouds, show_cuboids, show_predictions, appearance.configure, appearance.show_map):
            with pytest.raises(FencedError, match="late lost the dataset"):
                step(workspace, late)
        after, samples_after = documents(workspace)
    assert samples_after == samples
    changed = {name for name in after if after[name] != settings.get(name)}
    assert changed <= {"sample_fields"}  # a field that nothing is in


@pytest.mark.database
def test_colours_that_somebody_chose_stay(loop: Loop) -> None:
    """Colours and a sidebar that were set in Python or in the App are not touched; nor is a description."""
    import fiftyone as fo

    dataset = loop.workspace.scenes.dataset
    dataset.app_config.color_scheme = fo.ColorScheme(color_by="field")
    dataset.save()
    field = dataset.get_field("predictions")
    field.description = "mine"
    field.save()
    show(loop.workspace)
    dataset.reload()
    assert dataset.app_config.color_scheme.color_by == "field"
    assert dataset.get_field("predictions").description == "mine"
    assert dataset.app_config.sidebar_groups[-1].name == HIDDEN
    assert sure("predictions") in dataset.app_config.active_fields.paths


@pytest.mark.database
def test_a_plain_dataset_before_its_split(dataset_name: str, tmp_path: Path) -> None:
    """Images alone, taken in a moment ago: settings and descriptions, no scene files, no map."""
    quick_loop.dataset(dataset_name, 12, grouped=False)
    loop, _ = Loop.init_fiftyone(dataset_name, changes=quick_loop.SETTINGS, home=tmp_path / "home")
    show(loop.workspace)
    dataset = loop.workspace.scenes.dataset
    assert dataset.app_config.active_fields.paths == ["human_detections", "predictions"]
    assert dataset.app_config.media_fields == ["filepath"]
    assert SCENE not in dataset.get_field_schema()
    assert dataset.list_brain_runs() == []
    before = documents(loop.workspace)
    show(loop.workspace)
    assert documents(loop.workspace) == before
