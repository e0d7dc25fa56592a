"""People who label in FiftyOne's App: what they draw and say comes back, and nothing of it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from app_desk import BOX, CUBOID, Person, documents, draws_everything, remove_work_sets
from bson import ObjectId
from works import LEFT, PCD, SIZE, STORED, by_channel, make_media, tree, work_of

from support import samples_of
from swath.annotators import marks, work_set
from swath.annotators.app import App
from swath.annotators.base import Fetched, Task, Work
from swath.errors import ConfigError, StateError, SwathError, UnknownNameError
from swath.labels.channels import Channel
from swath.labels.shapes import Boxes

pytestmark = pytest.mark.database
LOOP = "t-app"
MEDIA = {"left": ".png", "right": ".png", "pcd": ".pcd"}


class Desk:
    """An App with the media of some scenes, and a person who labels them."""

    def __init__(self, root: Path, people: tuple[str, ...] = ()) -> None:
        self.root = root
        self.app = App(LOOP, root / "home", people)
        self.person = Person(self.app)

    def work(
        self, *names: str, channels: tuple[Channel, ...] = (LEFT, PCD), sent: int = 0, slots: int = 1
    ) -> Work:
        tasks = []
        for name in names:
            media = make_media(self.root / "media", name, MEDIA)
            sizes = {"left": SIZE, "right": SIZE}
            for slot in range(slots):
                task = f"{name}{'x' * slot}"
                tasks.append(Task(task, media, sizes, channels, STORED, slot))
        return work_of(*tasks, sent=sent)

    def sent(self, *names: str) -> Work:
        work = self.work(*names)
        self.app.send(work)
        return work

    def fetched(self, work: Work) -> Fetched:
        return self.app.fetch(work, self.app.send(work))

    def states(self, work: Work) -> dict[str, tuple[str, str]]:
        """task -> states of its image and its cloud."""
        got = by_channel(self.app.fetch(work, {}))
        return {task.task: (got[task.task, "left"].state, got[task.task, "pcd"].state) for task in work.tasks}


@pytest.fixture
def desk(mongod: str, tmp_path: Path) -> Iterator[Desk]:
    remove_work_sets(LOOP)
    yield Desk(tmp_path)
    remove_work_sets(LOOP)


WAITS, LABELS, EMPTY, SKIPPED = "unreviewed", "labeled", "reviewed_empty", "skipped"


def test_what_a_scene_means(desk: Desk) -> None:
    """Labels on every slice that is asked for are an answer, labels on some are half of one; `done` and `empty` make what is not
    drawn empty, `skip` leaves a scene out, and `skip` with another mark says nothing. Marks count on any slice, however typed."""
    meant = {
        "a-untouched": (WAITS, WAITS),
        "b-both": (LABELS, LABELS),
        "c-half": (LABELS, WAITS),
        "d-half-done": (LABELS, EMPTY),
        "e-half-empty": (EMPTY, LABELS),
        "f-empty": (EMPTY, EMPTY),
        "g-skip": (SKIPPED, SKIPPED),
        "h-drawn-skip": (SKIPPED, SKIPPED),
        "i-torn": (WAITS, WAITS),
        "j-typed": (EMPTY, EMPTY),
        "k-emptied": (WAITS, WAITS),
        "l-two": (LABELS, EMPTY),
        "m-strange": (WAITS, WAITS),
        "n-on-a-label": (LABELS, WAITS),
    }
    work, person = desk.sent(*meant), desk.person
    for task in ("b-both", "c-half", "d-half-done", "h-drawn-skip", "k-emptied", "l-two"):
        person.draws(task, "left", BOX)
    for task in ("b-both", "e-half-empty", "h-drawn-skip"):
        person.draws(task, "pcd", CUBOID)
    person.deletes_all("k-emptied", "left")
    person.tags("d-half-done", "right", "done")
    person.tags("e-half-empty", "pcd", "empty")
    person.tags("f-empty", "left", "empty")
    person.tags("g-skip", "pcd", "skip")
    person.tags("h-drawn-skip", "left", "skip")
    person.tags("i-torn", "left", "skip")
    person.tags("i-torn", "pcd", "done")
    person.tags("j-typed", "pcd", " Empty")
    person.tags("l-two", "left", "done")
    person.tags("l-two", "pcd", "empty")
    person.tags("m-strange", "left", "skipped")
    person.draws("n-on-a-label", "left", {**BOX, "tags": ["done"]})
    assert desk.states(work) == meant
    waits = {"a-untouched", "c-half", "i-torn", "k-emptied", "m-strange", "n-on-a-label"}
    there = {scene.group_id: scene.task for scene in marks.scenes(person.dataset)}
    assert [there[one] for one in marks.waiting(person.dataset)] == sorted(waits)
    said = "\n".join(desk.app.fetch(work, {}).notes)
    for words in (
        "2 scenes have labels on some slices and none on others, and wait: draw the rest, or mark them done: c-half, n-on-a-label",
        "1 scenes have a mark on labels, where it says nothing: choose Sample in the tag menu, not Labels: n-on-a-label",
        "1 scenes are marked skip and as something else, and wait: take one of the marks away: i-torn",
        "1 scenes have no labels any more, and wait: mark them empty if nothing is there: k-emptied",
        "1 scenes are marked skip and have labels, which are not taken while they are: h-drawn-skip",
        "tags that are no marks ('skipped' on 1)",
    ):
        assert words in said, said


def test_nothing_drawn_yet(desk: Desk) -> None:
    """Fetching before anything is drawn says so, with the command that opens the work set."""
    fetched = desk.fetched(desk.work("a", "b"))
    assert {one.state for one in fetched.answers} == {WAITS}
    (note,) = fetched.notes
    assert note == (
        "nothing is drawn in t-app-work-v0 yet, and no scene is marked; open it: `swath app --dataset t-app-work-v0`"
    )


def test_all_that_was_drawn_is_deleted_again(desk: Desk) -> None:
    """Who draws one box, and deletes it, is told that the scene waits for a mark, and not that nothing was drawn yet."""
    work = desk.sent("a", "b")
    desk.person.draws("a", "left", BOX)
    desk.fetched(work)
    desk.person.deletes_all("a", "left")
    (note,) = desk.fetched(work).notes
    assert "1 scenes have no labels any more, and wait: mark them empty if nothing is there: a" in note


def test_a_work_set_whose_making_was_killed(desk: Desk) -> None:
    """Killed after FiftyOne had written the field of groups, and before it had made groups, the work set is made when it is sent
    again."""
    import fiftyone as fo

    work = desk.work("a", "b")
    name = desk.app.work_set(work.batch)
    half = fo.Dataset(name, persistent=True)
    half.info[marks.INFO] = {"loop": desk.app.loop, "batch": work.batch, "sent": work.sent, "classes": []}
    half.save()
    half._sample_doc_cls.add_field("group", fo.EmbeddedDocumentField, embedded_doc_type=fo.Group)
    desk.app.send(work)
    made = fo.load_dataset(name)
    made.reload()
    assert made.media_type == "group"
    assert {scene.task for scene in marks.scenes(made)} == {"a", "b"}


def test_labels_are_read_by_slice_and_shape(desk: Desk) -> None:
    """A box on an image and a cuboid in a cloud count whichever field they were drawn in, once; one of the wrong kind goes to
    quarantine, with the reason."""
    import fiftyone as fo

    work = desk.sent("a")
    kind = {"embedded_doc_type": fo.Detections}
    desk.person.dataset.add_sample_field("another", fo.EmbeddedDocumentField, **kind)
    twice = {"_id": ObjectId(), **CUBOID}
    desk.person.draws("a", "left", BOX, field="another")
    desk.person.draws("a", "pcd", twice)
    desk.person.draws("a", "pcd", twice, field="another")
    desk.person.draws("a", "left", CUBOID)
    desk.person.draws("a", "pcd", BOX)
    got = by_channel(desk.app.fetch(work, {}))
    box, cuboid = got["a", "left"], got["a", "pcd"]
    assert isinstance(box.labels, Boxes)
    assert box.labels.shapes[0].tolist() == pytest.approx([62, 37.6, 248, 112.8])
    assert cuboid.labels is not None
    assert cuboid.labels.shapes.tolist() == [[12.0, 2.0, -0.9, 3.9, 1.6, 1.5, 0.0, 0.0, 0.3]]
    assert [one.reason for one in box.rejected] == ["a cuboid in an image: draw boxes here"]
    assert [one.reason for one in cuboid.rejected] == ["a box in a cloud: draw cuboids here"]


def test_labels_keep_their_ids(desk: Desk) -> None:
    """Labels come with the ids that the App gave them, and with the name of who labels."""
    desk.app = App(LOOP, desk.root / "home", ("anna",))
    work = desk.sent("a")
    draws_everything(desk.app, work)
    for answer in desk.app.fetch(work, {}).answers:
        drawn = desk.person.labels("a", answer.channel)
        assert answer.labels is not None
        assert [one["_id"] for one in answer.labels.documents] == [one["_id"] for one in drawn]
        assert answer.annotator == "anna"


def test_one_field_to_draw_in(desk: Desk) -> None:
    """One schema is active, so that a box cannot go where cuboids are; it offers the classes in their order, and a class map that
    changed is offered once the work is sent again."""
    work = desk.sent("a")
    person = desk.person
    assert list(person.dataset.active_label_schemas) == [marks.LABELS]
    assert person.dataset.label_schemas[marks.LABELS]["classes"] == list(work.classes)
    desk.app.send(replace(work, classes=("Tram", "Car")))
    person.dataset.reload()
    assert person.dataset.label_schemas[marks.LABELS]["classes"] == ["Tram", "Car"]
    assert [one["value"] for one in person.dataset.app_config.color_scheme.fields[0]["valueColors"]] == [
        "Tram",
        "Car",
    ]


def test_sending_again_goes_on(desk: Desk) -> None:
    """Sending again adds what is missing, and touches nothing of what is there: labels, marks, files."""
    work = desk.work("a", "b")
    receipt = desk.app.send(work)
    draws_everything(desk.app, desk.work("a"))
    desk.person.marks("b", "skip")
    before = documents(desk.person.name)
    files = tree(desk.root / "home")
    samples_of(desk.person.name).delete_one({"task": "b", "group.name": "pcd"})
    (desk.root / "home/work/v0/media/left/a.png").unlink()
    assert desk.app.send(work) == receipt
    after = documents(desk.person.name)
    changed = {place for place in before if after[place] != before[place]}
    assert changed == {("b", "pcd")}
    own = ("_id", "created_at", "last_modified_at", "tags", "_rand")
    assert {name: value for name, value in after["b", "pcd"].items() if name not in own} == {
        name: value for name, value in before["b", "pcd"].items() if name not in own
    }
    assert after["b", "pcd"]["group"] == before["b", "pcd"]["group"]
    assert tree(desk.root / "home") == files


def test_no_task_twice(desk: Desk) -> None:
    """The server refuses a second sample of a task and slice: what a dead process still delivers cannot double one."""
    from pymongo.errors import DuplicateKeyError

    desk.sent("a")
    copy = samples_of(desk.person.name).find_one({"task": "a", "group.name": "left"})
    del copy["_id"]
    with pytest.raises(DuplicateKeyError):
        samples_of(desk.person.name).insert_one(copy)


def test_a_work_set_that_was_deleted(desk: Desk) -> None:
    """Fetching from a work set that somebody deleted says what is lost and how to have it again; sending makes it."""
    work = desk.sent("a")
    remove_work_sets(LOOP)
    with pytest.raises(
        SwathError, match=r"is gone .*make it again, empty: `swath send --annotator app --dataset t-app`"
    ):
        desk.app.fetch(work, {})
    desk.app.send(work)
    assert desk.states(work) == {"a": (WAITS, WAITS)}


def test_names_that_are_taken(desk: Desk) -> None:
    """A dataset of the work set's name that is somebody else's, or a work set of an earlier loop of this name, is left alone."""
    import fiftyone as fo

    other = fo.Dataset(desk.person.name, persistent=True)
    other.add_sample(fo.Sample(filepath="/nowhere.png"))
    with pytest.raises(StateError, match="that is no work set of swath's"):
        desk.sent("a")
    assert other.count() == 1
    other.delete()
    desk.sent("old")
    with pytest.raises(StateError, match="none of them of this batch"):
        desk.sent("a")
    assert desk.states(desk.work("old")) == {"old": (WAITS, WAITS)}


def test_sent_again_after_reopening(desk: Desk) -> None:
    """What was drawn before a batch was reopened stays to be looked at, and counts once it was changed, or its scene is done; all
    marks are gone; what is sent again a second time changes nothing."""
    desk.sent("a", "b", "c", "d")
    for task in "abc":
        draws_everything(desk.app, desk.work(task))
    desk.person.marks("d", "skip")
    work = desk.work("a", "b", "c", "d", sent=1)
    assert desk.states(work) == {
        "a": (LABELS, LABELS),
        "b": (LABELS, LABELS),
        "c": (LABELS, LABELS),
        "d": (SKIPPED, SKIPPED),
    }
    desk.app.send(work)
    assert set(desk.states(work).values()) == {(WAITS, WAITS)}
    desk.person.renames("a", "left", "Cyclist")
    desk.person.renames("a", "pcd", "Cyclist")
    desk.person.marks("b", "done")
    desk.person.renames("c", "left", "Cyclist")
    desk.app.send(work)
    states = desk.states(work)
    assert states == {"a": (LABELS, LABELS), "b": (LABELS, LABELS), "c": (LABELS, WAITS), "d": (WAITS, WAITS)}


def test_suggestions(desk: Desk) -> None:
    """Labels of a model are marked, and nobody's until they are changed or their scene is done: a scene with one that is left
    waits, and `empty` says that those that are left are wrong."""
    names = ("a", "b", "c", "d", "e")
    work = desk.work(*names)
    boxes = Boxes([[10.0, 20, 90, 80], [100, 20, 190, 80]], ("Car", "Car"))  # type: ignore[arg-type]
    desk.app = App(LOOP, desk.root / "home", suggest=lambda work: {name: {"left": boxes} for name in names})
    desk.app.send(work)
    assert {tag for one in desk.person.labels("a", "left") for tag in one["tags"]} == {"suggestion"}
    for name in names:
        desk.person.draws(name, "pcd", CUBOID)
    desk.person.renames("b", "left", "Cyclist")
    desk.person.marks("c", "done")
    desk.person.marks("d", "empty")
    desk.person.renames("e", "left", "Cyclist")
    desk.person.draws("e", "left", BOX)
    desk.person.marks("e", "empty")
    got = by_channel(desk.app.fetch(work, {}))
    assert [got[name, "left"].state for name in names] == [WAITS, WAITS, LABELS, EMPTY, LABELS]
    confirmed, corrected = got["c", "left"].labels, got["e", "left"].labels
    assert confirmed is not None
    assert confirmed.classes == boxes.classes
    assert confirmed.shapes.tolist() == [pytest.approx(one) for one in boxes.boxes]
    assert corrected is not None
    assert corrected.classes == ("Cyclist", "Car")
    assert corrected.shapes[1].tolist() == pytest.approx([62, 37.6, 248, 112.8])
    assert any(
        "labels that were there when they were sent" in note for note in desk.app.fetch(work, {}).notes
    )
    before = documents(desk.person.name)
    desk.app.send(work)
    assert documents(desk.person.name) == before


def test_two_people(desk: Desk) -> None:
    """Where each scene is labelled twice, each person has a work set, and the labels carry the names; where once, both names."""
    desk.app = App(LOOP, desk.root / "home", ("anna", "ben"))
    assert desk.app.opinions == 2
    work = desk.work("a", slots=2)
    assert desk.app.send(work)["work_sets"] == ["t-app-work-v0", "t-app-work-v0-2"]
    ben = Person(desk.app, slot=1)
    desk.person.draws("a", "left", BOX)
    ben.draws("ax", "left", BOX, BOX)
    got = by_channel(desk.app.fetch(work, {}))
    assert [(one.annotator, len(one.labels or ())) for one in (got["a", "left"], got["ax", "left"])] == [
        ("anna", 1),
        ("ben", 2),
    ]
    assert {one.annotator for one in desk.fetched(desk.work("a")).answers} == {"anna, ben"}


def test_a_plain_work_set(desk: Desk) -> None:
    """Scenes of one medium are samples of a plain dataset; everything else is the same."""
    media = make_media(desk.root / "media", "a", {"left": ".png"})
    work = work_of(*(Task(name, media, {"left": SIZE}, (LEFT,)) for name in ("a", "b", "c")))
    desk.app.send(work)
    assert desk.person.dataset.media_type == "image"
    desk.person.draws("a", "left", BOX)
    desk.person.marks("b", "empty")
    got = by_channel(desk.app.fetch(work, {}))
    assert [got[name, "left"].state for name in "abc"] == [LABELS, EMPTY, WAITS]
    (waits,) = marks.waiting(desk.person.dataset)
    assert marks.scenes(desk.person.dataset)[2].names == {waits, "c"}


def test_marks(desk: Desk) -> None:
    """A mark is set on every slice, in the place of any other, as often as one likes; it is taken away again; scenes are known by
    group, sample or task, and an unknown one is said to be."""
    work = desk.sent("a", "b", "c")
    dataset = desk.person.dataset
    scene = marks.scenes(dataset)[1]
    desk.person.tags("b", "left", "Skip", "mine")
    for name in (scene.group_id, scene.slices[2].sample_id, "b"):
        marks.mark(dataset, name, marks.DONE)
        tags = {one.name: set(one.tags) for one in marks.scenes(dataset)[1].slices}
        assert tags == {"left": {"mine", "done"}, "right": {"done"}, "pcd": {"done"}}
    assert [one.marks for one in marks.scenes(dataset)] == [set(), {"done"}, set()]
    ids = [one.group_id for one in marks.scenes(dataset)]
    assert marks.waiting(dataset) == [ids[0], ids[2]]
    assert [marks.next_waiting(dataset, after) for after in (None, ids[0], ids[1], ids[2], "gone")] == [
        ids[0],
        ids[2],
        ids[2],
        ids[0],
        ids[0],
    ]
    marks.mark(dataset, "a", marks.SKIPPED)
    assert marks.next_waiting(dataset, ids[2]) == ids[2]
    marks.mark(dataset, "c", marks.EMPTY)
    assert marks.next_waiting(dataset) is None
    marks.unmark(dataset, "b")
    marks.unmark(dataset, "b")
    assert marks.waiting(dataset) == [ids[1]]
    assert desk.states(work)["b"] == (WAITS, WAITS)
    with pytest.raises(UnknownNameError, match="no scene 'bb' in the work set 't-app-work-v0'"):
        marks.mark(dataset, "bb", marks.DONE)
    with pytest.raises(ConfigError, match="expected one of done, empty, skip, got 'finished'"):
        marks.mark(dataset, "b", "finished")
    assert marks.is_work_set(dataset) == (LOOP, "v0")
    dataset.info = {}
    assert marks.is_work_set(dataset) is None


def test_junk(desk: Desk) -> None:
    """Labels that cannot be right are quarantined one by one, with their ids, and the others come."""
    work = desk.sent("a")
    bad = {"_id": ObjectId(), "label": "Car", "bounding_box": [0.1, float("nan"), 0.2, 0.2]}
    desk.person.draws(
        "a",
        "left",
        BOX,
        bad,
        {"label": None, "bounding_box": [0.1, 0.1, 0.2, 0.2]},
        {"label": "Car", "bounding_box": [0.1]},
        {"label": "Car"},
    )
    desk.person.draws("a", "pcd", {**CUBOID, "dimensions": [1.0, -1.0, 1.0]}, {**CUBOID, "dimensions": None})
    got = by_channel(desk.app.fetch(work, {}))
    assert (got["a", "left"].state, len(got["a", "left"].rejected)) == (LABELS, 4)
    assert (got["a", "pcd"].state, len(got["a", "pcd"].rejected)) == (WAITS, 2)
    assert f"a/left/{bad['_id']}" in {one.where for one in got["a", "left"].rejected}


def test_long_names(desk: Desk) -> None:
    """The name of a work set is one that FiftyOne takes, however long the loop's is, and two loops' are two."""
    one, two = App("x" * 99 + "a", desk.root), App("x" * 99 + "b", desk.root)
    assert len(one.work_set("reference-test", 1)) == 100
    assert one.work_set("v0") != two.work_set("v0")


def test_removed(desk: Desk) -> None:
    """A work set goes with its media, once or twice."""
    desk.sent("a")
    assert desk.app.has("v0", 0)
    for _ in range(2):
        desk.app.remove("v0", 0)
        assert not desk.app.has("v0", 0)
    assert not (desk.root / "home/work/v0").exists()
    assert work_set.there(desk.person.name) is None
