"""Puts the plugin where FiftyOne looks for plugins, and takes it away: a link to this folder, so that it is always this swath's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

from swath.errors import ConfigError
from swath.records.results import PluginResult

NAME: Final = "swath"  # of the link
SOURCE: Final = Path(__file__).parent


def plugins_folder() -> Path:
    """FiftyOne's plugins folder: `FIFTYONE_PLUGINS_DIR`, else what its configuration says."""
    from swath import database

    if given := os.environ.get("FIFTYONE_PLUGINS_DIR"):
        return Path(given).expanduser().absolute()
    database.ensure()
    import fiftyone as fo

    return Path(str(fo.config.plugins_dir)).expanduser().absolute()


def install(folder: Path | None = None) -> PluginResult:
    """Links the plugin into `folder` (FiftyOne's). Again: changes nothing, or leads a link of another swath to this one."""
    place = (folder or plugins_folder()) / NAME
    done: Literal["installed", "was installed already", "updated"] = "installed"
    if _is_ours(place):
        done = "was installed already" if place.resolve() == SOURCE.resolve() else "updated"
    elif os.path.lexists(place):
        raise ConfigError(
            f"{place} is there, and is not swath's plugin; rename it, or set FIFTYONE_PLUGINS_DIR to another folder"
        )
    if done != "was installed already":
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_name(f".{NAME}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(SOURCE.resolve(), target_is_directory=True)
        new.replace(place)
    return PluginResult(place=str(place), source=str(SOURCE.resolve()), done=done)


def remove(folder: Path | None = None) -> PluginResult:
    """Takes the link away. A folder of others under that name stays, and is an error."""
    place = (folder or plugins_folder()) / NAME
    if not os.path.lexists(place):
        return PluginResult(place=str(place), source=str(SOURCE.resolve()), done="was not installed")
    if not _is_ours(place):
        raise ConfigError(f"{place} is not swath's plugin: it was not made by `swath plugin install`")
    place.unlink()
    return PluginResult(place=str(place), source=str(SOURCE.resolve()), done="removed")


def _is_ours(place: Path) -> bool:
    """Whether it is a link to a plugin folder of some swath, also of one that is gone."""
    return place.is_symlink() and os.readlink(place).rstrip(os.sep).endswith(os.path.join("swath", "plugin"))
