"""The plugin gets where FiftyOne looks for it, and away again, and nothing of others is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from run_cli import run_cli
from swath.errors import ConfigError
from swath.plugin.install import NAME, SOURCE, install, remove


def test_it_is_a_link_to_this_swath(tmp_path: Path) -> None:
    """Installing twice is installing once; removing twice is removing once."""
    place = tmp_path / "plugins" / NAME
    assert [install(place.parent).done, install(place.parent).done] == ["installed", "was installed already"]
    assert place.resolve() == SOURCE.resolve()
    assert [remove(place.parent).done, remove(place.parent).done] == ["removed", "was not installed"]
    assert list(place.parent.iterdir()) == []


def test_a_link_to_a_swath_that_is_gone_is_led_here(tmp_path: Path) -> None:
    """An environment that was made anew leaves a link to nowhere: it is put right."""
    (tmp_path / NAME).symlink_to(tmp_path / "old" / "swath" / "plugin")
    assert install(tmp_path).done == "updated"
    assert (tmp_path / NAME).resolve() == SOURCE.resolve()


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_others_put_there_stays(tmp_path: Path, kind: str) -> None:
    """A plugin of that name that is not swath's is neither overwritten nor removed."""
    place = tmp_path / NAME
    if kind == "folder":
        place.mkdir()
        (place / "fiftyone.yml").write_text("name: mine")
    elif kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path)
    before = sorted(one.name for one in tmp_path.rglob("*"))
    for act in (install, remove):
        with pytest.raises(ConfigError, match="not swath's plugin"):
            act(tmp_path)
    assert sorted(one.name for one in tmp_path.rglob("*")) == before


def test_the_command_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`swath plugin install` goes where FIFTYONE_PLUGINS_DIR says, and says where that is; a folder of others is one line."""
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", str(tmp_path))
    code, out, _ = run_cli("plugin", "install")
    assert code == 0
    assert str(tmp_path / NAME) in out
    assert run_cli("plugin", "remove")[0] == 0
    (tmp_path / NAME).mkdir()
    code, _, err = run_cli("plugin", "install")
    assert code == 1
    assert err.startswith(f"swath: {tmp_path / NAME} is there")
    assert len(err.splitlines()) == 1


def test_fiftyone_is_told_of_every_operator_and_panel() -> None:
    """`fiftyone.yml` names what `register` gives, no more and no less: what it does not name, FiftyOne leaves out silently."""
    from swath.plugin import register

    given = []

    class Plugin:
        def register(self, one: type) -> None:
            given.append(one)

    register(Plugin())
    told = yaml.safe_load((SOURCE / "fiftyone.yml").read_text())
    named = sorted(one().config.name for one in given)
    assert named == sorted([*told["operators"], *told["panels"]])


def test_it_is_in_the_package() -> None:
    """What FiftyOne reads besides Python is package data, or an installed swath has a plugin that is none."""
    tomllib = pytest.importorskip("tomllib")
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "plugin/fiftyone.yml" in settings["tool"]["setuptools"]["package-data"]["swath"]
