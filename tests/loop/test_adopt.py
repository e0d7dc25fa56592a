"""Taking over loops that were run by hand with the guide, broken ones too: every flaw in one line, and put right when asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import durable
import quick_loop
from quick_loop import Picky
from support import samples_of
from swath.errors import ConfigError, StateError
from swath.loop import Loop
from swath.records.batch import Batch
from swath.records.results import AdoptResult
from swath.steps.reference import offered
from swath.store.scenes import load_dataset

pytestmark = pytest.mark.database

COUNT = 40
SPLITS = {"test": range(6), "val": range(6, 12), "golden": range(12, 14), "pool": range(14, COUNT)}
VIEWS = {"test": "test_set", "val": "val_set", "golden": "golden_qa", "pool": "pool"}
V0, V1 = range(14, 22), range(22, 26)


@pytest.fixture(scope="module", autouse=True)
def _database(mongod: str) -> None: ...


def batch_of(loop: Loop, name: str) -> Batch:
    return loop.workspace.journal.batches.get(name)


class Hand:
    """A person with the guide: tags, views, labels, by FiftyOne's own means, on the slices `on`."""

    def __init__(self, name: str, on: Sequence[str] = ("left", "right", "pcd")) -> None:
        self.dataset = quick_loop.dataset(name, COUNT)
        self.on = on
        self._groups = dict(
            zip(
                [int(path[-8:-4]) for path in self.dataset.values("filepath")],
                self.dataset.values("group.id"),
                strict=True,
            )
        )

    def ids(self, numbers: Sequence[int] | range) -> list[str]:
        return [self._groups[number] for number in numbers]

    def tag(self, numbers: Sequence[int] | range, *tags: str, on: Sequence[str] | None = None) -> None:
        flat = self.dataset.select_group_slices(list(on or self.on), _allow_mixed=True)
        flat.select_by("group.id", self.ids(numbers)).tag_samples(list(tags))

    def split(self) -> None:
        for name, numbers in SPLITS.items():
            self.tag(numbers, f"split:{name}")

    def views(self, *, empty: Sequence[str] = ()) -> None:
        for name, numbers in SPLITS.items():
            wanted = [] if name in empty else self.ids(numbers)
            self.dataset.save_view(VIEWS[name], self.dataset.select_groups(wanted))

    def label(self, numbers: Sequence[int] | range, status: str = "annotated") -> None:
        """Copies the truth, as a careful person would draw it, and sets the status on all slices."""
        for slice_name, field in (("left", "human_detections"), ("pcd", "human_cuboids")):
            view = self.dataset.select_group_slices([slice_name]).select_by("group.id", self.ids(numbers))
            view.set_values(field, view.values("ground_truth"))
        self.status(numbers, status)

    def status(self, numbers: Sequence[int] | range, status: str) -> None:
        for slice_name in ("left", "right", "pcd"):
            view = self.dataset.select_group_slices([slice_name]).select_by("group.id", self.ids(numbers))
            view.set_values("annotation_status", [status] * len(view))

    def adopt(self, **how: Any) -> tuple[Loop, AdoptResult]:
        self.dataset.save()
        name = self.dataset.name
        return Loop.adopt(name, changes=quick_loop.SETTINGS, home=quick_loop.homes() / name, **how)


def well_done(name: str) -> Hand:
    """A loop by hand without a flaw: splits, views, v0 labelled."""
    hand = Hand(name)
    hand.split()
    hand.views()
    hand.status(range(COUNT), "unlabeled")
    hand.tag(V0, "batch:v0", "source:coverage")
    hand.label(V0)
    hand.label([*SPLITS["val"], *SPLITS["golden"]])
    return hand


def seen(loop_or_name: Loop | str) -> dict[str, Any]:
    """What people see of a dataset: tags, status, labels, views by scenes."""
    dataset = load_dataset(loop_or_name if isinstance(loop_or_name, str) else loop_or_name.name)
    kept = ("tags", "annotation_status", "human_detections", "human_cuboids", "ground_truth")
    docs = {doc["filepath"]: {name: doc.get(name) for name in kept} for doc in samples_of(dataset).find()}
    views = {name: sorted(dataset.load_saved_view(name).values("id")) for name in dataset.list_saved_views()}
    return {"docs": docs, "views": views}


def right(loop: Loop) -> None:
    """Fails unless the dataset is, everywhere, what the journal says."""
    result = Loop.open(loop.name).repair(check=True)
    assert (result.differences, result.strangers, result.gone, result.edited) == ((), (), (), ())


def numbers(keys: Sequence[str]) -> list[int]:
    return [int(key) for key in keys]


# ---------------------------------------------------------------------- without a flaw


def test_a_flawless_loop_is_taken_over(dataset_name: str) -> None:
    """Splits and rounds are what the tags say; nothing is reported, and tags, labels, status and views stay as they were."""
    hand = well_done(dataset_name)
    before = seen(dataset_name)
    loop, result = hand.adopt()
    assert result.problems == ()
    assert not result.fixed
    assert dict(result.splits) == {name: len(scenes) for name, scenes in SPLITS.items()}
    assert dict(result.rounds) == {"v0": 8}
    assert durable.differences(before, seen(dataset_name)) == []
    for name, scenes in SPLITS.items():
        assert numbers(loop.workspace.members(name)) == list(scenes)
    assert batch_of(loop, "v0").state == "closed"
    with pytest.raises(StateError, match="has a loop already"):
        hand.adopt()


def test_an_adopted_loop_goes_on(dataset_name: str) -> None:
    """v1 is chosen from what has no labels, its model is trained on v0 and v1, status, report and explain work."""
    from swath.report import write_report

    loop, _ = well_done(dataset_name).adopt(fix=True)
    right(loop)
    loop.annotator = Picky()
    loop.embed()
    assert offered(loop.workspace) == ["human_detections", "human_cuboids", "ground_truth"]
    (note,) = loop.reference("human_detections").notes
    assert "no cuboids of pcd" in note
    assert "other fields that hold labels there: ground_truth, human_cuboids" in note
    assert offered(loop.workspace) == ["ground_truth"]
    batch = loop.select()
    assert batch.round == "v1"
    chosen = numbers([one.key for one in batch.scenes])
    assert set(chosen) <= set(SPLITS["pool"]) - set(V0)
    assert batch.size == batch.budget == batch.coverage == 10
    assert any("v0 has no failures" in note for note in batch.notes)
    loop.run(2)
    rounds = loop.status().rounds
    assert [(one.round, one.state, one.annotated) for one in rounds] == [
        ("v0", "closed", 8),
        ("v1", "closed", 10),
    ]
    trained = batch_of(loop, "v1").steps.train
    assert trained is not None
    assert (trained.scenes, trained.models[0].images) == (18, 18)
    right(loop)
    assert loop.explain("0014").rounds[0].round == "v0"
    with pytest.raises(StateError, match="v0 was not chosen by swath"):
        loop.replay("v0")
    assert loop.replay("v1").equal
    page = quick_loop.homes() / f"{dataset_name}.html"
    loop = Loop.open(dataset_name)
    write_report(loop.workspace, loop.status(), page)
    assert "v1" in page.read_text()


def test_the_history_by_hand_is_kept(dataset_name: str) -> None:
    """`golden_qa_history` and other info of before stay; swath's golden checks come after them."""
    hand = well_done(dataset_name)
    old = {"iteration": 0, "samples_with_labels": 2, "total_detections": 5, "top_classes": [["car", 3]]}
    hand.dataset.info.update({"golden_qa_history": [old], "owner": "Ada"})
    loop, _ = hand.adopt()
    assert load_dataset(dataset_name).info["golden_qa_history"] == [old]
    loop.annotator = Picky()
    loop.repair()
    loop.embed()
    loop.reference("human_detections")
    loop.run(2, until="golden")
    info = load_dataset(dataset_name).info
    assert info["golden_qa_history"][0] == old
    assert [one["iteration"] for one in info["golden_qa_history"]] == [0, 1]
    assert info["owner"] == "Ada"
    Loop.init_fiftyone(dataset_name)
    right(loop)


def test_an_open_batch_stays_open(dataset_name: str) -> None:
    """The last batch, partly labelled: what came is kept, the rest waits to be sent and fetched."""
    hand = well_done(dataset_name)
    hand.tag(V1, "batch:v1", "source:targeted", "to_annotate")
    hand.status(V1, "selected")
    hand.label(V1[:1])
    loop, result = hand.adopt()
    assert result.problems == ("v1 is open: 3 of 4 scenes have no labels yet",)
    assert batch_of(loop, "v1").size.as_json() == {
        "budget": 4,
        "size": 4,
        "coverage": 0,
        "targeted": 4,
    }
    assert loop.plan().step == "embed"
    loop.annotator = Picky()
    loop.embed()
    kept = seen(loop)["docs"]
    with pytest.raises(ConfigError, match="not swath's own, got 'golden_detections'"):
        loop.reference("golden_detections")
    reference = loop.reference(["human_detections", "human_cuboids"])
    assert (reference.labels["2d"], reference.notes) == (reference.labels["3d"], ())
    loop.send()
    assert loop.fetch().waiting == 0
    assert batch_of(loop, "v1").state == "labeled"
    labelled = loop.workspace.journal.assignments.find(round="v1", role="pool", state="labeled")
    assert {row.annotator for row in labelled} == {"adopted", "simulated"}
    after = seen(loop)["docs"]
    path = next(path for path in kept if path.endswith(f"left/{V1[0]:04d}.png"))
    assert after[path]["human_detections"] == kept[path]["human_detections"]
    loop.repair()
    right(loop)


# ---------------------------------------------------------------------- broken


def test_nobody_is_tagged(dataset_name: str) -> None:
    """The guide's step 2, run literally, tags 0 scenes and saves empty views: said; a split is all it takes to begin."""
    hand = Hand(dataset_name)
    hand.views(empty=list(SPLITS))
    before = seen(dataset_name)
    loop, result = hand.adopt(fix=True)
    (problem,) = result.problems
    assert problem.startswith("no scene has a split")
    assert "0 of 40 scenes" in problem
    assert "swath split" in problem
    assert (dict(result.rounds), result.fixed) == ({}, False)
    assert durable.differences(before, seen(dataset_name)) == []
    assert loop.plan().step == "split"
    loop.split()
    right(loop)
    assert sum(len(load_dataset(dataset_name).load_saved_view(name)) for name in VIEWS.values()) == COUNT


def test_adoption_may_be_tried_again(dataset_name: str) -> None:
    """As long as nothing was split, adopting again after tagging properly takes the tags."""
    hand = Hand(dataset_name)
    hand.adopt()
    hand.split()
    loop, result = hand.adopt()
    assert dict(result.splits) == {name: len(scenes) for name, scenes in SPLITS.items()}
    assert numbers(loop.workspace.members("test")) == list(SPLITS["test"])


FLAWS = ("one slice", "two splits", "views", "outside", "status", "no split", "twice", "classes")


def broken(name: str) -> Hand:
    """Every flaw at once, each on scenes of its own."""
    hand = Hand(name)
    hand.split()
    hand.tag([0], "split:pool")  # two splits: test is the more protected
    dataset = hand.dataset
    flat = dataset.select_group_slices(["right", "pcd"], _allow_mixed=True)
    flat.select_by("group.id", hand.ids([6, 7])).untag_samples("split:val")  # one slice
    dataset.select_group_slices(_allow_mixed=True).select_by("group.id", hand.ids([39])).untag_samples(
        "split:pool"
    )
    hand.views(empty=["golden"])
    dataset.save_view("pool", dataset.match_tags("split:pool").limit(3), overwrite=True)
    hand.tag(V0, "batch:v0")
    hand.tag([8, 1], "batch:v0")  # outside of the pool
    hand.tag(V1, "batch:v1", on=["left"])  # one slice
    hand.tag([14], "batch:v1")  # twice
    hand.label([*V0, *V1], status="selected")  # never annotated
    view = dataset.select_group_slices(["left"]).select_by("group.id", hand.ids([15]))
    view.set_values(
        "human_detections.detections.label",
        [["ufo"] * len(one.detections) for one in view.values("human_detections")],
    )
    dataset.info["annotation_schema_2d"] = {"classes": ["car", "ufo"]}
    return hand


def test_every_flaw_is_reported_in_one_line(dataset_name: str) -> None:
    """Half-tagged scenes, two splits, empty views, strays, stale status, unknown classes: each named, nothing changed."""
    hand = broken(dataset_name)
    hand.dataset.save()
    before = seen(dataset_name)
    _, result = hand.adopt()
    assert durable.differences(before, seen(dataset_name)) == []
    assert not any("\n" in problem for problem in result.problems)
    for expected in (
        "1 scenes are in two splits, the more protected one is kept: 0000 (test, pool)",
        "split:val is on some slices only of 2 scenes: 0006, 0007",
        "1 scenes have no split; they are set aside: 0039",
        "saved view 'golden_qa' shows 0 scenes where 2 are tagged split:golden",
        "saved view 'pool' shows 3 scenes where 25 are tagged split:pool",
        "2 scenes are in a batch and not in the pool; they are left out of it: "
        "0001 (batch:v0, test), 0008 (batch:v0, val)",
        "batch tags are on some slices only of 4 scenes: 0022, 0023, 0024, 0025",
        "v1: 1 scenes were in an earlier batch and stay there: 0014",
        "v0: annotation_status of 8 labelled scenes is not 'annotated': 0014, 0015, 0016, 0017, 0018 (+3 more)",
        "v1: annotation_status of 4 labelled scenes is not 'annotated': 0022, 0023, 0024, 0025",
        "annotation_schema_2d lists the classes car, ufo, the class map is car, person, sign; "
        "name the ones to keep in --config (classes: [...])",
    ):
        assert expected in result.problems
    (labels,) = (one for one in result.problems if "ufo" in one and "human_detections" in one)
    assert "of no class in the class map" in labels
    assert len(result.problems) == 12


@pytest.mark.parametrize("later", [False, True])
def test_flaws_are_put_right(later: bool, dataset_name: str) -> None:
    """With `fix`, or by `repair` later: all is as the journal says; a test scene in two splits stays test; labels stay."""
    hand = broken(dataset_name)
    hand.dataset.save()
    labels = {
        path: {name: doc[name] for name in ("human_detections", "human_cuboids")}
        for path, doc in seen(dataset_name)["docs"].items()
    }
    loop, result = hand.adopt(fix=not later)
    assert result.fixed is not later
    if later:
        assert loop.repair(check=True).differences
        loop.repair()
    right(loop)
    dataset = load_dataset(dataset_name)
    assert {name: len(dataset.load_saved_view(view)) for name, view in VIEWS.items()} == {
        "test": 6,
        "val": 6,
        "golden": 2,
        "pool": 25,
    }
    for active in dataset.group_slices:
        dataset.group_slice = active
        assert len(dataset.match_tags("split:test")) == 6
        assert len(dataset.match_tags("split:val")) == 6
        assert len(dataset.match_tags("batch:v0")) == 8
        assert len(dataset.match_tags("batch:v1")) == 4
        assert len(dataset.match_tags("annotated:v1")) == 4
    assert all(stored == ["split:test"] for stored in quick_loop.tags(loop, "0000").values())
    assert all(stored == [] for stored in quick_loop.tags(loop, "0039").values())
    after = seen(dataset_name)["docs"]
    assert {path: {name: after[path][name] for name in labels[path]} for path in labels} == labels

    loop = Loop.open(dataset_name)
    loop.annotator = Picky()
    loop.embed()
    loop.reference("ground_truth")
    batch = loop.select()
    assert batch.round == "v2"
    assert set(numbers([one.key for one in batch.scenes])) <= set(SPLITS["pool"]) - {*V0, *V1, 39}
    assert batch.size == batch.budget == 10


def test_a_plain_dataset_is_adopted(dataset_name: str) -> None:
    """An ungrouped image dataset with split tags is taken over, in 2D."""
    made = quick_loop.dataset(dataset_name, 20, grouped=False)
    for name, (start, end) in {"test": (0, 3), "val": (3, 6), "golden": (6, 7), "pool": (7, 20)}.items():
        made[start:end].tag_samples(f"split:{name}")
    made[7:10].tag_samples("batch:v0")
    view = made[7:10]
    view.set_values("human_detections", view.values("ground_truth"))
    loop, result = Loop.adopt(
        dataset_name, changes=quick_loop.SETTINGS, home=quick_loop.homes() / dataset_name, fix=True
    )
    assert dict(result.splits) == {"test": 3, "val": 3, "golden": 1, "pool": 13}
    assert dict(result.rounds) == {"v0": 3}
    right(loop)
    assert loop.workspace.rig.modalities == ("2d",)
