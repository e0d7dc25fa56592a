"""The report of a loop: complete, escaped, self-contained, the same each time, and blind to test scenes."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape
from PIL import Image

from support import QUICK, remove
from swath.errors import ConfigError, FrozenSplitError
from swath.loop import Loop
from swath.records.base import Estimate, Record
from swath.records.batch import Batch, Evaluated, Failure
from swath.records.manifest import Chosen
from swath.report import charts, contents, pictures, write_report
from swath.store.journal.batches import Batches
from swath.store.scenes import Scenes

HOSTILE = "\"'><script>alert(1)</script>"
pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def loop(
    mongod: str, world: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loop]:
    """One closed round on a copy of a made folder."""
    name, folder = "t-report", tmp_path_factory.mktemp("report")
    remove(name)
    shutil.copytree(world(40), folder / "kitti")
    changes = {**QUICK, "annotate": {"annotator": "simulated"}}
    loop, _ = Loop.init_kitti(name, folder / "kitti", changes=changes, home=folder / "home")
    assert loop.run(1).closed == 1
    yield loop
    remove(name)


@pytest.fixture(scope="module")
def page(loop: Loop) -> str:
    path = write_report(loop.workspace, loop.status(), None)
    assert path == loop.workspace.home / "report.html"
    return path.read_text()


def evaluated(loop: Loop) -> Evaluated:
    """What v0's evaluation recorded."""
    record = loop.workspace.journal.batches.get("v0").steps.evaluate
    assert record is not None
    return record


def failed(loop: Loop) -> tuple[Failure, ...]:
    batches = loop.workspace.journal.batches
    return batches.failures(batches.get("v0"))


def scenes_of(loop: Loop) -> tuple[Chosen, ...]:
    """The scenes of v0."""
    batches = loop.workspace.journal.batches
    return batches.manifest(batches.get("v0")).scenes


def uris(loop: Loop, keys: Sequence[str]) -> list[str]:
    """The pictures of these scenes as the report would embed them, in both sizes, by the report's own encoder."""
    table = loop.workspace.scenes.table
    paths = [table.path("left", key) for key in keys]
    found = [
        pictures.picture(str(one), width).uri for one in paths for width in (contents.SMALL, contents.LARGE)
    ]
    return [one for one in found if one is not None]


def test_every_scene_of_the_batch_is_there_with_its_reason_and_picture(loop: Loop, page: str) -> None:
    """Each scene of v0 has a row that holds its key, stream, rank, score and reason as the manifest has them, and its image."""
    scenes = scenes_of(loop)
    listed = re.findall(r'<tr class="mid">.*?</tr>', page, flags=re.DOTALL)
    rows = {key: row for row in listed for key in re.findall(r"<code>(.*?)</code>", row)}
    assert len(scenes) == 20
    for scene in scenes:
        row = rows[scene.key]
        assert f'<td class="small reason">{html.escape(scene.reason or "?")}</td>' in row
        assert f">{scene.stream}</span>" in row
        assert f'<td class="n">{scene.rank}</td><td class="n">{scene.score:.4f}</td>' in row
        assert uris(loop, [scene.key])[0] in row


def test_the_numbers_are_those_of_the_journal(loop: Loop, page: str) -> None:
    """mAP50, the objects of each class, the golden check by axis, the decision's reasons and the findings per rule are shown."""
    batch = loop.workspace.journal.batches.get("v0")
    steps, main = batch.steps, evaluated(loop).main
    assert steps.golden
    assert steps.stop
    assert steps.check
    text = html.unescape(page)
    assert f"<b>{main.map50.value:.3f}</b>" in page
    for name, one in main.classes.items():
        assert f'<tr><td class="name">{name}</td><td class="n">{one.references}</td>' in page
    assert all(reason in text for reason in steps.golden.reasons)
    for axis, test in steps.golden.axes.items():
        cells = f'{axis}</td><td class="n">{test.errors}</td><td class="n">{test.trials}</td>'
        assert (cells in page) == bool(test.trials)
    assert all(f"<b>{name}</b>: {one.why}" in text for name, one in steps.stop.criteria.items())
    for rule, n in steps.check.rules.items():
        assert f'<code>{rule}</code></td><td class="n">{n}</td>' in page
    assert batch.manifest.sha256 in page


def test_failures_have_pictures_with_the_boxes_that_were_counted(loop: Loop, page: str) -> None:
    """Of each shown failure the thick reference boxes number its `fn`, and the wrong predictions its `fp`."""
    listed = failed(loop)[: contents.FAILURES]
    shown = dict(re.findall(r'<figure><svg[^>]*aria-label="(.*?)">(.*?)</figure>', page, flags=re.DOTALL))
    assert list(shown) == [failure.key for failure in listed]
    assert shown, "the model of thirty steps makes mistakes"
    for failure in listed:
        assert shown[failure.key].count('class="ref wrong"') == failure.fn
        assert shown[failure.key].count('class="pred wrong"') == failure.fp
        assert uris(loop, [failure.key])[1] in shown[failure.key]


def test_no_image_of_a_test_scene_is_embedded(loop: Loop, page: str) -> None:
    """The pictures of test scenes, as the report would encode them, are not in the file, while those of the batch are."""
    workspace = loop.workspace
    assert not any(uri in page for uri in uris(loop, workspace.members("test")))
    assert page.count("data:image/jpeg") > 20
    with pytest.raises(FrozenSplitError):
        pictures.load(workspace, workspace.rig["left"], [(workspace.members("test")[0], 100)])


def test_nothing_of_a_test_scene_is_read(loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a report is written no value, vector or image of a test scene is asked for."""
    asked: set[str] = set()
    values, opened = Scenes.values, pictures.picture

    def spy(self: Scenes, channel: str, keys: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        asked.update(keys)
        return values(self, channel, keys, fields)

    def look(path: str, width: int, size: tuple[int, int] = (0, 0)) -> pictures.Picture:
        asked.add(Path(path).stem)
        return opened(path, width, size)

    monkeypatch.setattr(Scenes, "values", spy)
    monkeypatch.setattr(pictures, "picture", look)
    write_report(loop.workspace, loop.status(), tmp_path / "report.html")
    assert set(loop.workspace.members("val")) <= asked
    assert not asked & set(loop.workspace.members("test"))


def hostile(value: Any) -> Any:
    """`value` with markup in every string, picture data and what the page's own logic compares excepted, and every `Car`."""
    if isinstance(value, Record) and not isinstance(value, Estimate):
        return hostile({name: getattr(value, name) for name in type(value).model_fields})
    if is_dataclass(value) and not isinstance(value, charts.Frame):
        return hostile({one.name: getattr(value, one.name) for one in fields(value)})
    if isinstance(value, Mapping):
        return {key.replace("Car", HOSTILE): hostile(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [hostile(one) for one in value]
    return value + HOSTILE if isinstance(value, str) and not value.startswith("data:") else value


def test_names_are_escaped(loop: Loop, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With markup in every name, class, reason and note that goes into the page, the page holds the same tags as without."""
    gather = contents.gather
    monkeypatch.setattr(contents, "gather", lambda *given: hostile(gather(*given)))
    text = write_report(loop.workspace, loop.status(), tmp_path / "report.html").read_text()
    assert text.count("&lt;script&gt;") > 500
    assert "<script" not in text.lower()
    assert "<script" not in page.lower()
    assert set(re.findall(r"<[a-zA-Z!/][^\s>]*", text)) <= set(re.findall(r"<[a-zA-Z!/][^\s>]*", page)) | {
        "<br"
    }


def test_the_file_refers_to_nothing_outside(page: str) -> None:
    """Every src and href is a data URI or an anchor of the page, there is no CSS url or import, and a policy forbids the rest."""
    refers = re.findall(r"""\b(?:src|href|srcset|data|action|poster)\s*=\s*["']?([^"'\s>]*)""", page)
    assert refers
    assert [one for one in refers if not one.startswith(("data:image/jpeg;base64,", "#"))] == []
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page
    anchors = {one[1:] for one in refers if one.startswith("#")}
    assert anchors <= set(re.findall(r'\bid="([^"]+)"', page))


def test_tags_are_balanced(page: str) -> None:
    """Every element that is opened is closed, in order."""
    from html.parser import HTMLParser

    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "br", "img", "input"):
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: Any) -> None: ...

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag, self.getpos()

    parser = Balance()
    parser.feed(page)
    assert parser.open == []


def test_the_same_journal_gives_the_same_bytes(loop: Loop, page: str, tmp_path: Path) -> None:
    """A report written again, by a loop that is opened anew, is the same file to the byte."""
    again = Loop.open(loop.name)
    path = write_report(again.workspace, again.status(), tmp_path / "deep" / "again.html")
    assert path.read_text() == page
    assert [one.name for one in path.parent.iterdir()] == ["again.html"]


def test_a_link_stays_a_link(loop: Loop, page: str, tmp_path: Path) -> None:
    """A report that is to go where a link points is written there."""
    (tmp_path / "report.html").symlink_to(tmp_path / "there.html")
    write_report(loop.workspace, loop.status(), tmp_path / "report.html")
    assert (tmp_path / "report.html").is_symlink()
    assert (tmp_path / "there.html").read_text() == page


def test_an_image_that_is_gone_or_damaged_is_said(loop: Loop, tmp_path: Path) -> None:
    """With one image of the batch deleted and another cut short the report is written and names both."""
    table = loop.workspace.scenes.table
    gone, cut = (Path(table.path("left", scene.key)) for scene in scenes_of(loop)[:2])
    before = gone.read_bytes(), cut.read_bytes()
    try:
        gone.unlink()
        cut.write_bytes(before[1][:200])
        text = write_report(loop.workspace, loop.status(), tmp_path / "report.html").read_text()
    finally:
        gone.write_bytes(before[0])
        cut.write_bytes(before[1])
    assert text.count("the image file is missing") == 1
    assert text.count("the image cannot be read") == 1


def test_no_failures(loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation without any error gives a report that says so."""
    every = Batches.all

    def flawless(self: Batches) -> list[Batch]:
        record = evaluated(loop)
        figures = {"2d": record.main.with_(errors={})}
        done = record.with_(failing=0, worst=(), failures=None, figures=figures)
        return [
            one.with_(steps=one.steps.with_(evaluate=done)) if one.is_round else one for one in every(self)
        ]

    monkeypatch.setattr(Batches, "all", flawless)
    text = write_report(loop.workspace, loop.status(), tmp_path / "report.html").read_text()
    assert "No val scene holds an error." in text


def test_a_plain_dataset_before_and_after_the_split(dataset_name: str, mongod: str, tmp_path: Path) -> None:
    """An ungrouped dataset has a report before the split, after it, and with embeddings: each says what is not there yet."""
    import fiftyone as fo

    rng = np.random.default_rng(0)
    dataset = fo.Dataset(dataset_name, persistent=True)
    for i in range(24):
        path = tmp_path / f'a"<b>{i:02d}.png'
        Image.fromarray(rng.integers(0, 255, (24, 40, 3), dtype=np.uint8)).save(path)
        dataset.add_sample(fo.Sample(filepath=str(path)))
    loop, _ = Loop.init_fiftyone(dataset_name, home=tmp_path / "home")
    text = write_report(loop.workspace, loop.status(), None).read_text()
    for words in ("not split yet", "There is no round yet.", "There are no embeddings yet.", "Next: split"):
        assert words in text
    loop.split()
    text = write_report(loop.workspace, loop.status(), None).read_text()
    assert "Next: embed" in text
    assert str(escape('a"<b>')) in text, "the leak audit names scenes"
    assert 'a"<b>' not in text
    loop.embed()
    text = write_report(loop.workspace, loop.status(), None).read_text()
    assert (
        text.count('<circle class="dot-pool" cx="') == len(loop.workspace.members("pool")) + 1
    )  # one in the legend
    assert "No model was evaluated yet." in text


def test_a_folder_is_no_file(loop: Loop, tmp_path: Path) -> None:
    """Asked to write over a folder, it says that it wants a file."""
    with pytest.raises(ConfigError, match="is a folder"):
        write_report(loop.workspace, loop.status(), tmp_path)


# ---------------------------------------------------------------------- coordinates


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(2, 9))
def test_ticks_are_round_and_within(low: float, width: float, most: int) -> None:
    """At most `most` + 1 evenly spaced values between the ends, and at least one gap fits where the step is the smallest."""
    found = charts.ticks(low, low + width, most)
    assert len(found) <= most + 1
    assert all(low - 1e-6 * width <= one <= low + width + 1e-6 * width for one in found)
    gaps = np.diff(found)
    assert len(gaps) == 0 or np.allclose(gaps, gaps[0], rtol=1e-3)


def test_learning_curve_of_nothing_and_without_intervals() -> None:
    """No rounds, no curve; a round without an interval has a point and no bar; a round without a value has no point."""
    assert charts.learning_curve([], contents.SERIES, 560, 300) is None
    point = charts.Point("v0", 20, {"map50": Estimate(value=0.5), "map": Estimate()})
    curve = charts.learning_curve([point], contents.SERIES, 560, 300)
    assert curve is not None
    marks = {line.key: line.marks for line in curve.lines}
    assert marks["map"] == ()
    assert [(one.low, one.high) for one in marks["map50"]] == [(None, None)]


def test_a_long_batch_shows_the_best_of_each_stream() -> None:
    """Of more scenes than are listed, those of the best ranks of both streams are, in the order of the manifest."""

    def scene(stream: Any, rank: int) -> Chosen:
        return Chosen(key=f"{stream}{rank}", channels=("left",), stream=stream, rank=rank)

    scenes = [scene(stream, rank) for stream in ("coverage", "targeted") for rank in range(1, 6)]
    assert contents._best(scenes, 4) == [scenes[0], scenes[1], scenes[5], scenes[6]]
    assert contents._best(scenes, 99) == scenes
    assert contents._best(scenes, 0) == []
