"""Rigs that are not left, right, pcd: six cameras and a LiDAR, cameras alone, a LiDAR alone. Each goes through the whole loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swath.loop import Loop
from swath.worlds import make_world

SCENES = 48
SETTINGS: dict[str, Any] = {
    "annotate": {"annotator": "simulated"},
    "splits": {"by": "scene", "golden": 0.08},
    "select": {"zcore_max_draws": 500, "first_min": 8, "first_share": 0.2, "min": 4},
    "train": {"center": {"steps": 4, "width": 96}, "pillars": {"steps": 3}},
    "evaluate": {"resamples": 10},
    "golden": {"miss": 0.5, "extra": 0.5, "swap": 0.5, "shift": 0.5},
}


@pytest.fixture(scope="module", params=["surround", "images", "cloud"])
def loop(
    request: pytest.FixtureRequest, mongod: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Loop]:
    """A loop on a made world of that rig, two rounds on."""
    from support import remove

    rig = request.param
    folder = tmp_path_factory.mktemp(rig)
    make_world(folder / "world", scenes=SCENES, seed=5, scale=0.1, rig=rig)
    remove(f"t-rig-{rig}")
    loop, result = Loop.init_rig(f"t-rig-{rig}", folder / "world", changes=SETTINGS, home=folder / "home")
    assert not result.damages
    done = loop.run(2)
    assert done.closed == 2, done.waits
    return rig, loop


def test_it_runs_two_rounds(loop: tuple[str, Loop]) -> None:
    """Two rounds close, on any rig; each was trained on what the rig has and evaluated with failures and figures."""
    rig, run = loop
    for batch in run.workspace.journal.batches.all():
        if not batch.is_round:
            continue
        assert batch.state == "closed"
        assert batch.steps.train is not None
        assert batch.steps.evaluate is not None
        wanted = "3d" if rig == "cloud" else "2d"
        assert batch.steps.train.models[0].modality == batch.steps.evaluate.modality == wanted
        assert batch.steps.evaluate.main.map.value is not None


def test_every_labelled_channel_is_labelled_and_checked(loop: tuple[str, Loop]) -> None:
    """A scene of a batch has an answer in each labelled channel, and its findings stand on each."""
    _, run = loop
    rig = run.workspace.rig
    batch = run.workspace.journal.batches.get("v0")
    rows = run.workspace.journal.assignments.find(round="v0", role="pool")
    names = {channel.name for channel in rig.labelled}
    keys = sorted({row.key for row in rows})
    assert {(row.key, row.channel) for row in rows} == {(key, name) for key in keys for name in names}
    assert batch.steps.check is not None
    assert batch.steps.check.scenes == len(keys)
    for channel in rig.labelled:
        for doc in run.workspace.scenes.values(channel.name, keys, [channel.human, "findings"]):
            assert doc[channel.human] is not None
            assert isinstance(doc["findings"], list)


@pytest.mark.parametrize("loop", ["surround"], indirect=True)
def test_two_cameras_are_labelled_and_six_are_there(loop: tuple[str, Loop]) -> None:
    """The surround rig has six cameras, of which two are labelled, and its tags say that 2D is done when both are."""
    _, run = loop
    rig = run.workspace.rig
    assert len(rig.images) == 6
    labelled = {channel.name: channel.modality for channel in rig.labelled}
    assert sorted(labelled.values()) == ["2d", "2d", "3d"]
    objects = {
        one.name: sum(
            len((doc[one.human] or {}).get("detections", ()))
            for doc in run.workspace.scenes.values(one.name, run.workspace.members("pool"), [one.human])
            if doc.get(one.human)
        )
        for one in rig.labelled
    }
    assert all(objects.values()), objects
    found = run.workspace.journal.batches.get("v0").steps.check
    assert found is not None


def test_the_batch_can_be_chosen_again(loop: tuple[str, Loop]) -> None:
    """Replaying both rounds gives the same bytes, on any rig."""
    _, run = loop
    assert run.replay("v0").equal
    assert run.replay("v1").equal


def test_nothing_differs_from_the_journal(loop: tuple[str, Loop]) -> None:
    """What the dataset shows is what the journal says; the report is written; every sample loads in FiftyOne."""
    _, run = loop
    found = run.repair(check=True)
    assert not found.differences
    assert not found.edited
    path = run.report()
    assert Path(path).stat().st_size > 10_000
    dataset = run.workspace.scenes.dataset
    flat = dataset.select_group_slices(_allow_mixed=True)
    assert len([sample.id for sample in flat]) == SCENES * len(run.workspace.scenes.slices)
