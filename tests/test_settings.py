"""Settings: what is said of one that cannot be, where it stands, where it came from; the page that lists them is up to date."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from swath.changes import Changes, assignment, read
from swath.config import LoopConfig, merged, parse, sources, values
from swath.errors import ConfigError
from swath.settings import NAME, knobs, shortly
from swath.settings_page import page
from swath.suggest import meant, nearest

ROOT = Path(__file__).parents[1]
PYDANTIC = (
    "Input should",
    "Extra inputs",
    "not permitted",
    "valid dictionary",
    "String should",
    "unable to",
    "^",
    "\\",
)

MISTAKES: dict[str, tuple[str, str]] = {
    "a slip": ("trian: {steps: 1}", "line 1: trian: there is no such setting; did you mean train?"),
    "a slip inside": ("train:\n  center:\n    step: 1", "line 3: train.center.step: there is no such setting; did you mean train.center.steps?"),
    "elsewhere": ("patience: 3", "line 1: patience: there is no such setting; did you mean stop.patience?"),
    "in two places": ("lr: 3", "did you mean train.center.lr or train.pillars.lr?"),
    "nothing like it": ("stop: {qqq: 1}", "there is no such setting; there are: target, min_gain, patience, price"),
    "a share": ("\nsplits:\n  val: 1.5", "line 3: splits.val: expected a number from 0 to 1, got 1.5"),
    "a word for a number": ("stop: {min_gain: much}", "stop.min_gain: expected a number, at least 0, got 'much'"),
    "half a step": ("stop: {patience: 1.5}", "stop.patience: expected a whole number from 1 to 1,000,000,000, got 1.5"),
    "beyond all": ("select: {budget: 99999999999999999999}", "from 1 to 1,000,000,000, or null, got 99999999999999999999"),
    "not a number": ("splits: {val: .nan}", "splits.val: expected a number from 0 to 1, got nan"),
    "infinite": ("golden: {center: .inf}", "golden.center: expected a number above 0, got inf"),
    "one of several": ("annotate: {media: fax}", "annotate.media: expected one of copy, link, got 'fax'"),
    "one of several, in a list": ("modalities: [2d, 4d]", "modalities[1]: expected one of 2d, 3d, got '4d'"),
    "no list": ("classes: Car", "classes: expected a list of names, each once, got 'Car'"),
    "a class twice": ("classes: [a, b, a]", "classes: expected at least one class, each once, got 'a' twice"),
    "a class of markup": ("classes: [<b>]", "1 to 64 printable characters without < > &, got '<b>'"),
    "a word for a section": ("annotate: simulated", "annotate: expected a mapping of settings, got 'simulated'"),
    "a channel that is none": ("channels: {front: 3}", "channels.front: expected a mapping of settings, got 3"),
    "a channel's slip": ("channels: {front: {knd: image}}", "channels.front.knd: there is no such setting; did you mean channels.front.kind?"),
    "a primary that is not there": ("primary: lfet", "primary: no channel 'lfet' (did you mean 'left'?); there are: left, right, pcd"),
    "an encoder": ("embed: {encoder: descripter}", "got 'descripter' (did you mean 'descriptor'?)"),
    "a pretrained encoder": (
        "embed: {encoder: pretrained:efficientnet}",
        "(did you mean 'pretrained:efficientnet-lite0'?)",
    ),
    "a field's name": ("fields: {zcore: _z}", "fields.zcore: expected the name of a field"),
    "a field of FiftyOne's": ("fields: {status: filepath}", "fields: status: expected a field of its own, got 'filepath', which is taken"),
    "a field of swath's": ("fields: {zcore: findings}", "got 'findings', which is taken"),
    "a field for two purposes": ("fields: {golden_cuboids: human_cuboids}", "got 'human_cuboids' a second time"),
    "a field inside another": ("fields: {predictions: a.b}", "has no $ or . in it, got 'a.b'"),
    "a rate without bounds": ("train: {center: {lr: 1e+308}}", "expected a number above 0, at most 100, got '1e+308'"),
    "a number for a name": ("1: 2", "line 1: 1: there is no such setting"),
    "a number for a channel": ("channels:\n  7: {kind: image}", "line 2: channels.7: expected text as a name, got 7"),
    "twice": ("seed: 1\nsplits: {}\nseed: 2", "line 3: seed is given twice (first in line 1)"),
    "an odd multiple": ("train: {center: {width: 100}}", "from 32 to 8,192, a multiple of 16, got 100"),
    "yes and no": ("channels: {left: {labelled: perhaps}}", "expected true or false, got 'perhaps'"),
}  # fmt: skip


def refused(text: str, tmp_path: Path) -> ConfigError:
    path = tmp_path / "swath.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        merged(LoopConfig(), read(path), str(path))
    return error.value


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_setting_that_cannot_be(mistake: str, tmp_path: Path) -> None:
    """File, line, dotted name, what was expected and what came, in words of ours; a slip with what was meant."""
    text, expected = MISTAKES[mistake]
    error = refused(text, tmp_path)
    assert expected in str(error)
    assert str(error).startswith(f"{tmp_path / 'swath.yaml'}, line ")
    assert error.lines == (str(error),)
    assert not [word for word in PYDANTIC if word in str(error)]


def test_fields_that_may_be_shared() -> None:
    """Boxes and cuboids of one purpose (they are on other channels); what is only read may lie within a field, or be anybody's."""
    names = {"detections": "ours", "cuboids": "ours", "predictions": "theirs", "predictions_3d": "theirs"}
    config = parse({"fields": {**names, "sequence": "metadata.drive", "truth": "ours"}}, "x")
    assert config.fields.cuboids == config.fields.detections == config.fields.truth == "ours"


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Of several, the first ten in the order of the file, each on a line with its own place; and how many more there are."""
    wrong = [f"x{i}: 1" for i in range(8)]
    error = refused("\n".join([*wrong, "seed: -1", "stop:", "  target: 2", "  patience: 0"]), tmp_path)
    assert error.lines[0] == "11 settings cannot be:"
    assert len(error.lines) == 12
    assert error.lines[-1] == "... and 1 more"
    where = [line.split(", line ")[1].split(":")[0] for line in error.lines[1:-1]]
    assert where == [str(i) for i in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11)]
    assert "\n" not in str(error)


def test_an_option_stands_over_the_file(tmp_path: Path) -> None:
    """Of a setting in the file and on the command line the latter holds; an error names the one it is from."""
    path = tmp_path / "swath.yaml"
    path.write_text("embed: {encoder: nonsense, workers: 2}\nseed: -1\n")
    changes = read(path, "embed")
    changes.put(("embed", "encoder"), "field:given", "--encoder", "embed")
    changes.put(("seed",), 3, "--set", "embed")
    config = merged(LoopConfig(), changes, "x")
    assert (config.embed.encoder, config.embed.workers, config.seed) == ("field:given", 2, 3)
    told = sources({}, LoopConfig(), config, changes, "x")
    assert told == {
        "embed.encoder": "embed --encoder",
        "embed.workers": f"embed --config {path}",
        "seed": "embed --set",
    }
    changes.put(("seed",), "many", "--set", "embed")
    with pytest.raises(ConfigError, match=r"^--set: seed: expected a whole number"):
        merged(LoopConfig(), changes, "x")


def test_an_option_does_not_mend_a_broken_section(tmp_path: Path) -> None:
    """`annotate: simulated` beside `--annotator` is still a mistake, with its line."""
    path = tmp_path / "swath.yaml"
    path.write_text("\nannotate: simulated\n")
    changes = read(path)
    changes.put(("annotate", "annotator"), "simulated", "--annotator", "run")
    with pytest.raises(
        ConfigError, match=r"swath.yaml, line 2: annotate: expected a mapping of settings, got 'simul"
    ):
        merged(LoopConfig(), changes, "x")


def test_sources_are_kept_and_forgotten() -> None:
    """What did not change keeps where it came from; what is a default again has come from nowhere."""
    one = parse({"seed": 1, "stop": {"patience": 5}}, "x")
    known = {"seed": "init --config a.yaml", "stop.patience": "init --config a.yaml"}
    two = merged(one, {"seed": 51, "select": {"budget": 3}}, "x")
    told = sources(known, one, two, Changes({"seed": 51}), "the call")
    assert told == {"stop.patience": "init --config a.yaml", "select.budget": "the call"}


@pytest.mark.parametrize(
    ("text", "at", "value"),
    [
        ("seed=3", ("seed",), 3),
        ("select.budget=null", ("select", "budget"), None),
        ("select . coverage_share = 3/10", ("select", "coverage_share"), "3/10"),
        ("modalities=[2d]", ("modalities",), ["2d"]),
        ("annotate.folder=a=b", ("annotate", "folder"), "a=b"),
    ],
)
def test_an_assignment(text: str, at: tuple[str, ...], value: Any) -> None:
    """NAME=VALUE: a dotted name, and a value as YAML reads it."""
    assert assignment(text) == (at, value)


@pytest.mark.parametrize(
    "text", ["seed", "=3", "a..b=1", "a=[1", "a=&x [*x]", "a=" + "[" * 50 + "]" * 50, ""]
)
def test_no_assignment(text: str) -> None:
    """What is none says so, and what one looks like or what is wrong with the value."""
    with pytest.raises(ConfigError, match="--set"):
        assignment(text)


def test_every_default_is_allowed_and_every_setting_has_words() -> None:
    """Each setting says what it does and what it may be; its default, given again, changes nothing."""
    defaults = LoopConfig()
    names = set(values(defaults))
    for one in knobs(LoopConfig):
        assert len(one.does) > 8, one.name
        assert one.expected not in ("", "text"), one.name
        if NAME not in one.name:
            assert any(name == one.name for name in names), one.name
    assert parse(json.loads(defaults.model_dump_json()), "x") == defaults


def test_no_number_is_beyond_what_can_be_kept() -> None:
    """No number may be infinite or none at all; whole ones fit into the 64 bits of the journal."""
    numbers = [one for one in knobs(LoopConfig) if one.expected.startswith(("a number", "a whole number"))]
    assert len(numbers) > 30
    for one in numbers:
        whole = one.expected.startswith("a whole")
        for value in (math.inf, -math.inf, math.nan, *((2**64, -(2**64)) if whole else ())):
            given: Any = value
            for name in reversed(one.name.split(".")):
                given = {name: given}
            with pytest.raises(ValidationError):
                LoopConfig.model_validate(given)


def test_the_page_is_current() -> None:
    """docs/settings.md is what `make settings` writes, and lists every setting."""
    there = (ROOT / "docs" / "settings.md").read_text()
    assert there == page(), "run `make settings`"
    for one in knobs(LoopConfig):
        assert f"`{one.name}`" in there


def test_what_was_meant() -> None:
    """The nearest name, whatever its case; none where nothing is near; quick among very many, and with a very long name."""
    assert nearest("drivse", ["drives", "night"]) == "drives"
    assert nearest("DRIVES", ["drives", "night"]) == "drives"
    assert meant("abc", ["drives"]) == ""
    assert meant("000012", (f"{i:06d}x" for i in range(100_000))).startswith(" (did you mean '000")
    assert nearest("x" * 100_000, ["drives"]) is None
    assert nearest("drives", []) is None


def test_a_value_is_shown_shortly() -> None:
    """As YAML spells it; the middle of a long one is left out; a number of too many digits is none."""
    assert [shortly(one) for one in (None, True, "a", 3)] == ["null", "true", "'a'", "3"]
    assert len(shortly("x" * 100_000)) < 70
    assert shortly("\x1b[31m\n") == "'\\x1b[31m\\n'"
    assert shortly(10**5000) == "a int"


def test_slices_of_0_1_say_the_whole_rig() -> None:
    """Slices with names of their own, as settings of swath 0.1 have them, are the channels: those of the default are not added."""
    found = merged(LoopConfig(), {"slices": {"image": "front", "right": "back", "cloud": "top"}}, "x")
    assert list(found.channels) == ["front", "back", "top"]
    assert found.primary == "front"
    assert (found.channels["front"].labelled, found.channels["top"].kind) == (True, "cloud")
    assert merged(found, {"slices": {"image": "front", "right": "back", "cloud": "top"}}, "x") == found
