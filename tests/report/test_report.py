"""The report of a loop: complete, escaped, self-contained, the same each time, and blind to test scenes."""

from __future__ import annotations

import datetime
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
from swath.errors import ConfigError, FrozenSplitError, UnknownNameError
from swath.kernels.checks import RULES
from swath.labels import stored
from swath.loop import Loop
from swath.records.base import Estimate, Record
from swath.records.batch import Batch, Evaluated, Failure
from swath.records.manifest import Chosen
from swath.report import above, beside, changes, charts, pictures, write_report
from swath.report import sections as parts
from swath.report.known import Known
from swath.report.sections import batches, failures, golden, scores
from swath.store.journal.batches import Batches
from swath.store.scenes import Scenes
from swath.words import brief

TODAY = datetime.date(2026, 12, 1)
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
    path = write_report(loop.workspace, loop.status(), None, today=TODAY)
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
        pictures.picture(str(one), width).uri for one in paths for width in (batches.SMALL, failures.LARGE)
    ]
    return [one for one in found if one is not None]


def test_every_scene_of_the_batch_is_there_with_its_reason_and_picture(loop: Loop, page: str) -> None:
    """Each scene of v0 has a row that holds its key, stream, rank, score and reason as the manifest has them, and its image."""
    scenes = scenes_of(loop)
    listed = re.findall(r'<tr class="mid scene">.*?</tr>', page, flags=re.DOTALL)
    rows = {key: row for row in listed for key in re.findall(r"<code>(.*?)</code>", row)}
    assert len(scenes) == 20
    for scene in scenes:
        row = rows[scene.key]
        assert f'data-th="reason">{html.escape(brief(scene.reason))}</td>' in row
        assert f">{scene.stream}</span>" in row
        assert f'data-th="rank">{scene.rank}</td><td class="n" data-th="score">{scene.score:.2f}</td>' in row
        assert f'alt="scene {scene.key}"' in row
        assert uris(loop, [scene.key])[0] in row


def test_the_numbers_are_those_of_the_journal(loop: Loop, page: str) -> None:
    """mAP50, the objects of each class, the golden check by axis, the decision's reasons and the findings per rule are shown."""
    batch = loop.workspace.journal.batches.get("v0")
    steps, main = batch.steps, evaluated(loop).main
    assert steps.golden
    assert steps.stop
    assert steps.check
    text = html.unescape(page)
    assert f"v0: mAP50 {main.map50.value:.2f}" in text
    cells = re.findall(r"<tr[^>]*>(.*?)</tr>", text, flags=re.DOTALL)
    rows = [
        [re.sub(r"\s*<[^>]+>\s*", " ", one).strip() for one in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in cells
    ]
    for name, one in main.classes.items():
        assert any(
            row[:2] == [name, str(one.references)] and f"{one.ap50.value:.2f}" in row[2] for row in rows
        )
    assert all(reason in text for reason in steps.golden.reasons)
    for axis, test in steps.golden.axes.items():
        found = [row for row in rows if row[:3] == [golden.title(axis), str(test.errors), str(test.trials)]]
        assert bool(found) == bool(test.trials)
    assert all(f"<b>{name}</b>: {one.why}" in text for name, one in steps.stop.criteria.items())
    for rule, n in steps.check.rules.items():
        assert any(row[:3] == [RULES[rule], rule, str(n)] for row in rows)
    assert batch.manifest.sha256 in page


def test_failures_have_pictures_with_the_boxes_that_were_counted(loop: Loop, page: str) -> None:
    """Of each shown failure the thick reference boxes number its `fn`, and the wrong predictions its `fp`; each of them has a
    sign besides its dash; the view from above has the cuboids of the reference."""
    listed = failures.first(failed(loop))
    section = page.partition('<section id="failures"')[2].partition("</section>")[0]
    shown = dict(
        re.findall(
            r'<figure>\s*<svg class="camera"[^>]*aria-label="(.*?):(.*?)</figure>', section, flags=re.DOTALL
        )
    )
    assert list(shown)[: len(listed)] == [failure.key for failure in listed]
    assert listed, "the model of thirty steps makes mistakes"
    (docs,) = (loop.workspace.scenes.values("pcd", [one.key for one in listed], ["human_cuboids"]),)
    for failure, doc in zip(listed, docs, strict=True):
        camera, above = shown[failure.key].split('<svg class="above"')
        for kind, count in (("ref", failure.fn), ("pred", failure.fp)):
            wrong = re.findall(rf'<g class="{kind} wrong">.*?</g>', camera, flags=re.DOTALL)
            assert len(wrong) == count
            assert all('class="sign"' in one for one in wrong)
        assert above.count('<g class="ref">') == len(doc["human_cuboids"]["detections"])
        assert uris(loop, [failure.key])[1] in camera


def test_the_worst_blind_labels_lie_beside_their_reference(loop: Loop, page: str) -> None:
    """In the left and right image and from above; what the reference has and what was drawn blindly are in one picture, at the places
    that the labels say; what is counted in the matrices are the errors of the check."""
    done = loop.workspace.journal.batches.get("v0").steps.golden
    assert done is not None
    known = Known(loop.workspace, loop.status(), TODAY)
    found = golden.data(known)
    assert found.worst
    for one in found.worst:
        assert [view.name for view in one.views] in (["left", "right", "pcd"], ["left", "pcd"])
        assert all(view.picture.uri for view in one.views)
        about = next(view for view in one.views if view.name == one.channel)
        assert sum(outline.wrong for outline in (*about.first, *about.second)) in (1, 2)
        assert one.words in page.replace("&#39;", "'")
    for modality in ("2d", "3d"):
        mine = [one for one in done.confusion if one.modality == modality]
        for axis, there in {
            "miss": [one for one in mine if one.said is None],
            "extra": [one for one in mine if one.truth is None],
            "swap": [one for one in mine if None not in (one.truth, one.said) and one.truth != one.said],
        }.items():
            assert sum(one.objects for one in there) == done.axes[f"{modality} {axis}"].errors
        rows = [one for one in found.classes if one.modality == modality]
        assert sum(one.objects for one in rows) == done.axes[f"{modality} miss"].trials
        assert sum(one.errors["miss"] for one in rows) == done.axes[f"{modality} miss"].errors
    assert found.annotators == ()


def test_two_labels_are_drawn_where_they_are(loop: Loop) -> None:
    """A box and the same 3 px further right: both in one window of the image, at that distance; the box is found in the cloud, whose
    picture is around the cuboid that projects onto it; in the right image it lies where the cuboid does."""
    workspace, channel = loop.workspace, loop.workspace.rig["left"]
    key = workspace.members("golden")[0]
    table, calibration = workspace.scenes.of([key]), workspace.scenes.calibrations([key])[key]
    size = table.size("left", key)
    (flat,) = workspace.scenes.values("left", [key], [channel.human])
    (deep,) = workspace.scenes.values("pcd", [key], [workspace.rig["pcd"].human])
    careful = stored.read("2d", flat[channel.human], size)
    solid = stored.read("3d", deep[workspace.rig["pcd"].human], (0, 0))
    row = int(np.argmax(careful.shapes[:, 3] - careful.shapes[:, 1]))
    moved = type(careful)(careful.shapes + np.array([3.0, 0, 3, 0]), careful.classes)
    scene = beside.Shown(key, table, calibration, {"left": (careful, moved), "pcd": (solid, solid)})
    left, right, cloud = beside.views(workspace, scene, channel, (row, row))
    assert (left.name, right.name, cloud.name, cloud.above) == ("left", "right", "pcd", True)
    box = careful.shapes[row]
    part = beside.window(np.array([box[0], box[1], box[2] + 3, box[3]]), size)
    assert part is not None
    scale = beside.WIDTH / (part[2] - part[0])
    for view, off in ((left.first, 0.0), (left.second, 3.0)):
        (thick,) = [one for one in view if one.wrong]
        points = np.array([pair.split(",") for pair in thick.points.split()], float)
        assert points[:, 0].min() == pytest.approx((box[0] + off - part[0]) * scale, abs=0.1)
        assert points[:, 1].max() - points[:, 1].min() == pytest.approx(
            (box[3] - box[1]) * left.picture.height / (part[3] - part[1]), abs=0.2
        )
    assert right.first == right.second == ()  # no labels of it were given
    middle = np.array([cloud.picture.width, cloud.picture.height]) / 2
    centres = [np.array(one.front[:2]) for one in cloud.first if one.front]
    assert min(float(np.hypot(*(one - middle))) for one in centres) < 1


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
    values, opened, seen = Scenes.values, pictures.picture, above.picture

    def spy(self: Scenes, channel: str, keys: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        asked.update(keys)
        return values(self, channel, keys, fields)

    def look(path: str, *how: Any) -> pictures.Picture:
        asked.add(Path(path).stem)
        return opened(path, *how)

    def from_above(path: str, *how: Any) -> pictures.Picture:
        asked.add(Path(path).stem)
        return seen(path, *how)

    monkeypatch.setattr(Scenes, "values", spy)
    monkeypatch.setattr(pictures, "picture", look)
    monkeypatch.setattr(above, "picture", from_above)
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
    hurt = tuple(one._replace(data=lambda known, of=one.data: hostile(of(known))) for one in parts.SECTIONS)
    monkeypatch.setattr(parts, "SECTIONS", hurt)
    text = write_report(loop.workspace, loop.status(), tmp_path / "report.html").read_text()
    assert text.count("&lt;script&gt;") > 500
    assert "<script" not in text.lower()
    assert "<script" not in page.lower()
    assert set(re.findall(r"<[a-zA-Z!/][^\s>]*", text)) <= set(re.findall(r"<[a-zA-Z!/][^\s>]*", page)) | {
        "<br"
    }


def test_the_file_refers_to_nothing_outside(page: str) -> None:
    """Every src and href is a data URI or an anchor of the page, there is no CSS url or import, and a policy forbids the rest."""
    refers = re.findall(r"""\s(?:src|href|srcset|data|action|poster)\s*=\s*["']?([^"'\s>]*)""", page)
    assert refers
    assert [
        one
        for one in refers
        if not one.startswith(("data:image/jpeg;base64,", "data:image/png;base64,", "#"))
    ] == []
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
    """A report written again on the same day, by a loop that is opened anew, is the same file to the byte; it says the day."""
    assert "written on 1 December 2026" in page
    again = Loop.open(loop.name)
    path = write_report(again.workspace, again.status(), tmp_path / "deep" / "again.html", today=TODAY)
    assert path.read_text() == page
    assert [one.name for one in path.parent.iterdir()] == ["again.html"]


def test_a_link_stays_a_link(loop: Loop, page: str, tmp_path: Path) -> None:
    """A report that is to go where a link points is written there."""
    (tmp_path / "report.html").symlink_to(tmp_path / "there.html")
    write_report(loop.workspace, loop.status(), tmp_path / "report.html", today=TODAY)
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
    for words in (
        "not split yet",
        "There is no round yet.",
        "There are no embeddings yet.",
        "Next: split",
        f"swath split --dataset {dataset_name}",
    ):
        assert words in re.sub(r"<[^>]+>", "", text)
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
    assert charts.learning_curve([], scores.SERIES, 560, 300) is None
    point = charts.Point("v0", 20, {"map50": Estimate(value=0.5), "map": Estimate()})
    curve = charts.learning_curve([point], scores.SERIES, 560, 300)
    assert curve is not None
    marks = {line.key: line.marks for line in curve.lines}
    assert marks["map"] == ()
    assert [(one.low, one.high) for one in marks["map50"]] == [(None, None)]
    assert curve.base is None, "one point is no baseline of itself"


def test_a_curve_begins_at_its_baseline() -> None:
    """From the second round on the band is where the first series began: the first round's value and interval."""
    points = [
        charts.Point(
            f"v{i}",
            20 * i + 20,
            {"map50": Estimate(value=0.5 + i / 10, low=0.3, high=0.7), "map": Estimate()},
        )
        for i in range(2)
    ]
    curve = charts.learning_curve(points, scores.SERIES, 560, 300)
    assert curve is not None
    first = curve.lines[0].marks[0]
    assert curve.base == charts.Band("v0", first.y, first.low, first.high)


ESTIMATES = (
    st.lists(st.floats(0, 1), min_size=3, max_size=3)
    .map(sorted)
    .map(lambda one: Estimate(low=one[0], value=one[1], high=one[2]))
)


@given(ESTIMATES, ESTIMATES)
def test_rounds_are_told_apart_by_intervals_that_lie_apart(one: Estimate, two: Estimate) -> None:
    """Better and worse are opposites; a round is never told apart from itself, nor from one whose interval touches its own."""
    opposite = {"better": "worse", "worse": "better", "not told apart": "not told apart"}
    assert changes.told(two, one) == opposite[changes.told(one, two)]
    assert changes.told(one, one) == "not told apart"
    ends = [end for end in (one.low, one.high, two.low, two.high) if end is not None]
    overlap = ends[0] <= ends[3] and ends[2] <= ends[1]
    assert (changes.told(one, two) == "not told apart") == overlap
    assert changes.told(Estimate(value=0.1), two) == "not told apart"


def test_a_long_batch_shows_the_best_of_each_stream() -> None:
    """Of more scenes than are listed, those of the best ranks of both streams are, in the order of the manifest."""

    def scene(stream: Any, rank: int) -> Chosen:
        return Chosen(key=f"{stream}{rank}", channels=("left",), stream=stream, rank=rank)

    scenes = [scene(stream, rank) for stream in ("coverage", "targeted") for rank in range(1, 6)]
    assert batches.best(scenes, 4) == [scenes[0], scenes[1], scenes[5], scenes[6]]
    assert batches.best(scenes, 99) == scenes
    assert batches.best(scenes, 0) == []


@given(st.floats(-40, 120), st.floats(-60, 60), st.floats(-3, 3))
def test_cuboids_lie_where_they_are_seen_from_above(x: float, y: float, yaw: float) -> None:
    """Forward is up and left is left: the centre of an outline is as many metres from the sensor as the cuboid is, the first and
    last point are its front, and all of it lies in the picture."""
    cuboid = np.array([[x, y, 0.0, 4.0, 2.0, 1.5, 0.0, 0.0, yaw]])
    on = above.ground(cuboid)
    (points,) = on.outlines(cuboid)
    scale = on.span / on.side
    assert np.allclose((np.array(on.sensor) - points.mean(axis=0)) * scale, [y, x], atol=0.1 * scale)
    front = (points[0] + points[3]) / 2 - points.mean(axis=0)
    assert np.allclose(front * scale, [-2 * np.sin(yaw), -2 * np.cos(yaw)], atol=1e-6)
    assert ((points >= 0) & (points <= on.side)).all()


@given(st.tuples(st.floats(-50, 400), st.floats(-50, 200), st.floats(1, 500), st.floats(1, 300)))
def test_a_finding_is_cut_from_within_its_image(box: tuple[float, float, float, float]) -> None:
    """The part of an image that shows a box lies in the image, and holds what of the box is in it, up to the image's size."""
    x, y, w, h = box
    x1, y1, x2, y2 = beside.window(np.array([x, y, x + w, y + h]), (320, 120)) or (0, 0, 0, 0)
    assert 0 <= x1 < x2 <= 320
    assert 0 <= y1 < y2 <= 120
    middle = np.clip([x + w / 2, y + h / 2], 0, [320, 120])
    assert x1 - 1 <= middle[0] <= x2 + 1
    assert y1 - 1 <= middle[1] <= y2 + 1


def test_sections_of_it_in_a_notebook(loop: Loop) -> None:
    """What is asked for comes, in a frame of its own without scripts, and nothing else; a slip gets the name that was meant."""
    shown = loop.look("scores", "first", height=500)
    frame = shown._repr_html_()
    assert re.match(
        r'<iframe sandbox="" style="[^"<>]*height:500px[^"<>]*" srcdoc="[^"<>]*"></iframe>$', frame
    )
    assert html.unescape(frame.split('srcdoc="')[1].removesuffix('"></iframe>')) == shown.page
    assert re.findall(r'<section id="(\w+)"', shown.page) == ["scores"]
    assert "Is it getting better?" in shown.page
    assert "<nav" not in shown.page
    with pytest.raises(UnknownNameError, match="did you mean 'scores'"):
        loop.look("score")
