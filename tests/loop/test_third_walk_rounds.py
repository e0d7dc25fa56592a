"""What a third walk with other people's data ran into between two rounds: labels that were gone, scenes that did not come back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import quick_loop
from run_cli import run_cli
from support import samples_of
from swath.errors import ConfigError, FormatError
from swath.loop import Loop
from swath.records.assignment import Assignment
from swath.steps.annotate import task_id

pytestmark = pytest.mark.database


@pytest.fixture
def at(dataset_name: str, mongod: str) -> Callable[[str], Loop]:
    return lambda point: quick_loop.at(point, dataset_name)


@pytest.fixture
def checked(at: Callable[[str], Loop]) -> Loop:
    """v0 is to be trained next."""
    loop = at("sent")
    loop.run(1, until="golden")
    return loop


def asked(loop: Loop, *, empty: bool = False) -> list[Assignment]:
    """Images of pool scenes that were labelled, with objects or as empty, by key."""
    rows = loop.workspace.journal.assignments.labelled(role="pool")
    return [row for row in rows if row.channel == "left" and (row.count == 0) == empty]


def lost(loop: Loop, key: str, channel: str = "left") -> None:
    """Deletes a sample in FiftyOne."""
    dataset = loop.workspace.scenes.dataset
    place = {"scene_key": key, "group.name": channel}
    dataset.delete_samples([str(one["_id"]) for one in samples_of(loop).find(place, {"_id": 1})])
    loop.workspace.scenes.refresh()


def read_again(loop: Loop, key: str, channel: str = "left") -> tuple[str, ...]:
    """Deletes a sample in FiftyOne, adds its file again and inits; what is said then."""
    import fiftyone as fo

    (doc,) = samples_of(loop).find({"scene_key": key, "group.name": channel})
    lost(loop, key, channel)
    group = fo.Group(id=str(doc["group"]["_id"])).element(channel)
    sample = fo.Sample(filepath=doc["filepath"], group=group, sequence=doc["sequence"])
    loop.workspace.scenes.dataset.add_sample(sample)
    _, result = Loop.init_fiftyone(loop.name)
    loop.workspace.scenes.refresh()
    return result.notes


# ---------------------------------------------------------------------- labels that are gone


def test_labels_that_are_gone_are_no_negatives(checked: Loop) -> None:
    """A labelled scene whose image was deleted and taken in again is left out of training, by name; one that was found empty stays a
    negative; init and explain say that labels are gone, and `fetch --theirs` brings them back."""
    loop, name = checked, checked.name
    (gone, *_), (nothing, *_) = asked(loop), asked(loop, empty=True)
    images = len({*asked(loop), *asked(loop, empty=True)})
    back = f"`swath fetch --theirs --dataset {name}`"
    notes = read_again(loop, gone.key)
    (said,) = (note for note in notes if "without their labels" in note)
    assert gone.key in said
    assert back in said
    assert not loop.repair(check=True).differences
    read_again(loop, nothing.key)
    assert any("labels came, and are gone" in note for note in loop.explain(gone.key).notes)
    assert loop.explain(nothing.key).notes == ()

    trained = loop.train()
    (note,) = trained.notes
    assert note.startswith(
        f"1 labelled scenes are left out, as their labels are gone from the dataset: {gone.key}"
    )
    assert back in note
    assert trained.models[0].images == images - 1
    assert trained.models[0].negatives >= 1


def test_labels_that_are_gone_come_back(checked: Loop) -> None:
    """`fetch --theirs`, as it is said: the round is checked again and trained on all that was labelled."""
    loop = checked
    gone = asked(loop)[0]
    read_again(loop, gone.key)
    loop.fetch(edits="theirs")
    assert loop.explain(gone.key).notes == ()
    loop.run(1, until="golden")
    assert loop.train().notes == ()


def test_a_deleted_image_is_named(checked: Loop) -> None:
    """Its scene is there, the image alone was deleted: train goes on without it, and says so."""
    gone = asked(checked)[0].key
    lost(checked, gone)
    assert checked.train().notes == (
        f"1 labelled scenes were deleted from the dataset, whole or in part: {gone}",
    )


def test_explain_says_what_the_samples_say(at: Callable[[str], Loop]) -> None:
    """Tags that are not what the journal says are named, with the command that puts them right."""
    loop = at("closed")
    key = loop.batch("v0").scenes[0].choice.key
    samples_of(loop).update_one({"scene_key": key, "group.name": "left"}, {"$set": {"tags": []}})
    code, out, _ = run_cli("explain", key, "--dataset", loop.name)
    assert code == 0
    assert "its samples say otherwise (left tags: nothing)" in " ".join(out.split())
    loop.repair()
    assert loop.explain(key).notes == ()


def test_a_reference_that_is_gone_is_said(checked: Loop) -> None:
    """Cuboids of the golden scenes were deleted: the golden check names the scenes that it does not compare in 3D."""
    loop = checked
    loop.reopen("v0", "again")
    loop.run(1, until="check")
    samples_of(loop).update_many({"group.name": "pcd"}, {"$set": {"human_cuboids": None}})
    loop.workspace.scenes.refresh()
    (said,) = (one for one in loop.golden("seen").reasons if "is gone from" in one)
    assert "golden scenes is gone from human_cuboids of pcd, and they are not compared there" in said


# ---------------------------------------------------------------------- scenes that come back


def test_nobody_skips_what_cannot_be_placed(at: Callable[[str], Loop], tmp_path: Path) -> None:
    """Without calibration label files hold no cuboids. A round that nobody labelled gives all of its scenes back, and they are chosen
    again."""
    loop = at("ready")
    files = {"annotate": {"annotator": "files", "folder": str(tmp_path / "work")}}
    loop = Loop.open(loop.name, changes=files)
    first = loop.select(budget=5)
    loop.send()
    loop.fetch()
    result = loop.cancel("v0", "no cuboids can be drawn")
    assert (result.returned, result.kept) == (5, 0)
    assert loop.plan().why == "nothing is chosen yet: v1, for coverage"
    again = loop.select(budget=5)
    assert again.round == "v1"
    assert again.excluded == ()
    assert {one.key for one in again.scenes} == {one.key for one in first.scenes}
    assert not loop.repair(check=True).differences


def test_labels_that_came_stay_where_no_cuboid_can_be_placed(
    at: Callable[[str], Loop], tmp_path: Path
) -> None:
    """A scene with boxes is labelled, though its cuboids could not be drawn: an early end gives back the others alone."""
    loop = at("ready")
    files = {"annotate": {"annotator": "files", "folder": str(tmp_path / "work")}}
    loop = Loop.open(loop.name, changes=files)
    late = loop.select(budget=5).scenes[0].key
    loop.send()
    place, secret = tmp_path / "work" / "v0", loop.workspace.journal.loop().secret
    for path in (place / "media" / "left").iterdir():
        if path.stem != task_id(secret, "v0", late, 0):
            line = "car 0 0 0 10 10 30 30 -1 -1 -1 -1000 -1000 -1000 -10\n"
            (place / "label_2" / f"{path.stem}.txt").write_text(line)
    assert loop.fetch().waits_for == (late,)
    result = loop.close_round("v0")
    assert (result.returned, result.kept) == (1, 4)
    states = {one.choice.key: one.status for one in loop.batch("v0").scenes}
    assert {key for key, status in states.items() if status == "unlabeled"} == {late}
    assert not loop.repair(check=True).differences


def test_more_are_asked_for_than_there_are(at: Callable[[str], Loop]) -> None:
    """A budget beyond the pool is said to be one."""
    result = at("ready").select(budget=100_000, dry_run=True)
    assert f"100000 scenes were asked for; {result.size} could be chosen, all of them are" in result.notes


# ---------------------------------------------------------------------- ways that end nowhere


def test_the_truth_is_named_after_the_split(at: Callable[[str], Loop]) -> None:
    """The simulated annotator lacks its field: the command that is printed is taken, and the batch can be sent."""
    loop = at("ready")
    dataset = loop.workspace.scenes.dataset
    dataset.rename_sample_field("ground_truth", "gt")
    loop.select()
    with pytest.raises(
        ConfigError, match=r"fields with labels: gt; name one: `swath config --set fields.truth=FIELD"
    ):
        loop.send()
    assert run_cli("config", "--set", "fields.truth=gt", "--dataset", loop.name)[0] == 0
    loop = Loop.open(loop.name)
    loop.send()
    assert not loop.fetch().waiting


def test_media_that_moved(at: Callable[[str], Loop]) -> None:
    """Training and choosing say what to do where most of the media are not where they were."""
    loop = at("closed")
    samples_of(loop).update_many({"group.name": "left"}, {"$set": {"filepath": "/gone/a.png"}})
    loop.workspace.scenes.refresh()
    with pytest.raises(
        FormatError, match="where they have moved, give the samples their new filepath in FiftyOne"
    ):
        loop.select()


def test_run_amid_a_round_says_how_to_go_on(at: Callable[[str], Loop]) -> None:
    """One round is closed and the next is under way: it is named, with the command."""
    loop = at("closed")
    loop.select()
    code, out, _ = run_cli("run", "--dataset", loop.name)
    assert code == 0
    said = f"to go on with v1, which is committed: `swath run --rounds 2 --dataset {loop.name}`"
    assert said in " ".join(out.split())
