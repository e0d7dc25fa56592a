"""The report of rigs that are not KITTI's: a LiDAR alone, and several labelled cameras."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import remove
from swath.config import LoopConfig
from swath.labels.channels import Rig, rig_of
from swath.loop import Loop
from swath.report import pictures
from swath.report.sections import batches as batches_
from swath.report.sections import failures as failures_
from swath.worlds import make_world

pytestmark = pytest.mark.database
SCENES = 36
SETTINGS: dict[str, Any] = {
    "annotate": {"annotator": "simulated"},
    "select": {"zcore_max_draws": 2000, "first_min": 6, "min": 4},
    "splits": {"golden": 0.1},
    "train": {"center": {"steps": 5, "width": 64}, "pillars": {"steps": 2}},
    "evaluate": {"resamples": 10},
}


@pytest.fixture(scope="module")
def closed(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Loop]]:
    """A loop on a made rig with one round closed, by the rig's name."""
    made: dict[str, Loop] = {}

    def get(rig: str) -> Loop:
        if rig not in made:
            folder = tmp_path_factory.mktemp(rig)
            make_world(folder / "rig", scenes=SCENES, seed=3, scale=0.1, rig=rig)
            name = f"t-report-{rig}"
            remove(name)
            made[rig], _ = Loop.init_rig(name, folder / "rig", changes=SETTINGS, home=folder / "home")
            assert made[rig].run(1).closed == 1
        return made[rig]

    yield get
    for loop in made.values():
        remove(loop.name)


def batch_keys(loop: Loop) -> list[str]:
    batches = loop.workspace.journal.batches
    return [scene.key for scene in batches.manifest(batches.get("v0")).scenes]


def uri(loop: Loop, channel: str, key: str, width: int) -> str:
    found = pictures.picture(loop.workspace.scenes.table.path(channel, key), width).uri
    assert found is not None
    return found


def test_a_rig_without_cameras(closed: Callable[[str], Loop]) -> None:
    """No photo is embedded; each scene of the batch says why; every failure is there with what was missed, the notable ones as
    clouds seen from above, in which the thick cuboids number what was missed."""
    loop = closed("cloud")
    page = loop.report().read_text()
    assert "data:image/jpeg" not in page
    assert page.count("the rig has no camera") == len(batch_keys(loop))
    batches = loop.workspace.journal.batches
    failed = batches.failures(batches.get("v0"))
    assert failed, "a model of two steps finds nothing"
    section = page[page.index('<section id="failures"') : page.index('<section id="batches"')]
    named = [key for key in re.findall(r"<code>(.*?)</code>", section) if not key.startswith("swath ")]
    first = failures_.first(failed)
    assert named[: len(first)] == [one.key for one in first]
    assert sorted(named) == sorted(one.key for one in failed)
    figures = re.findall(r"<figure>(.*?)</figure>", section, flags=re.DOTALL)
    for figure, one in zip(figures, first, strict=True):
        assert "data:image/png" in figure
        assert figure.count('<g class="ref wrong">') == one.fn
    assert "3D " in html.unescape(page)


@pytest.mark.slow
def test_several_cameras(closed: Callable[[str], Loop]) -> None:
    """Pictures are of the camera that is shown, of the batch and of the failures, and of no other; the page says which cameras
    the counts are of, and what came of each labelled channel."""
    loop = closed("surround")
    page = loop.report().read_text()
    assert loop.workspace.rig.primary == "front"
    batches = loop.workspace.journal.batches
    failed = [one.key for one in failures_.first(batches.failures(batches.get("v0")))]
    assert failed
    for keys, width in ((batch_keys(loop), batches_.SMALL), (failed, failures_.LARGE)):
        for key in keys:
            assert uri(loop, "front", key, width) in page
            assert uri(loop, "back", key, width) not in page
    for key in loop.workspace.members("test"):
        for camera in loop.workspace.rig.images:
            for width in (batches_.SMALL, failures_.LARGE):
                assert uri(loop, camera.name, key, width) not in page
    assert "The pictures are of front; what is not found or wrong is counted in front, back." in page
    row = next(
        row
        for row in re.findall(r'<tr class="mid scene">.*?</tr>', page, flags=re.DOTALL)
        if batch_keys(loop)[0] in row
    )
    assert re.search(r">back \w+<br>front \w+<br>3D \w+</td>", row)


def rig(primary: str, **channels: dict[str, Any]) -> Rig:
    return rig_of(LoopConfig.model_validate({"channels": channels, "primary": primary}), channels)


def test_which_camera_is_shown_and_which_drawn_in() -> None:
    """The shown channel where it is a camera, else the first camera; boxes are drawn where there are some."""
    cloud = {"kind": "cloud", "labelled": True}
    two = rig("a", a={"labelled": False}, b={"labelled": True}, lidar=cloud)
    assert (pictures.shown(two), pictures.drawn(two)) == (two["a"], two["b"])
    turned = rig("lidar", a={}, b={}, lidar=cloud)
    assert (pictures.shown(turned), pictures.drawn(turned)) == (turned["a"], None)
    blind = rig("lidar", lidar=cloud)
    assert (pictures.shown(blind), pictures.drawn(blind)) == (None, None)
