"""Settings that a user gives to change: from a file of YAML, `--set NAME=VALUE`, or an option that is one; with where each stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from swath.errors import ConfigError
from swath.settings import shortly

LARGEST: Final = 1_000_000  # bytes of a file of settings
DEEPEST: Final = 20  # levels of its nesting
At = tuple[str, ...]  # the keys of a setting, from the outside in


class Place(NamedTuple):
    """Where a setting was given. `where`: for messages, `swath.yaml, line 3`; `source`: what is kept, `init --config swath.yaml`."""

    where: str
    source: str


class Changes(dict[str, Any]):
    """Settings to change, nested, not yet validated. `places`: where they stand."""

    def __init__(
        self, settings: Mapping[str, Any] | None = None, places: Mapping[At, Place] | None = None
    ) -> None:
        super().__init__(settings or {})
        self.places: dict[At, Place] = dict(places or {})

    def put(self, at: At, value: Any, option: str, said: str) -> None:
        """Sets one, given by an `option` of the command `said`. Over what is no section nothing is put: that is an error
        already."""
        here: dict[str, Any] = self
        for name in at[:-1]:
            section = here.get(name)
            if section is not None and not isinstance(section, Mapping):
                return
            here[name] = dict(section or {})
            here = here[name]
        here[at[-1]] = value
        self.places = {one: place for one, place in self.places.items() if one[: len(at)] != at}
        self.places[at] = Place(option, f"{said} {option}")

    def place(self, at: At) -> Place | None:
        """Where a setting stands, or the section around it, or the first thing in it."""
        near = (at[:end] for end in range(len(at), 0, -1))
        within = (one for one in self.places if one[: len(at)] == at and at)
        return next((self.places[one] for one in (*near, *within) if one in self.places), None)


def read(path: Path, said: str = "") -> Changes:
    """The settings of a YAML file, given to the command `said`; `ConfigError` with the line for what cannot be settings."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ConfigError(f"{path}: expected settings, got {size:,} bytes (at most {LARGEST:,})")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give --config an existing YAML file"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected YAML in UTF-8, got other bytes") from None
    except ValueError as error:  # a name with a NUL in it
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    data, lines = _yaml(text, str(path), lined=True)
    if data is None:
        return Changes()
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, got {shortly(data)}")
    source = f"{said} --config {path}".strip()
    return Changes(data, {at: Place(f"{path}, line {line}", source) for at, line in lines.items()})


def assignment(text: str) -> tuple[At, Any]:
    """`select.budget=20` as (("select", "budget"), 20); the value is YAML."""
    name, equals, value = text.partition("=")
    at = tuple(part.strip() for part in name.split("."))
    if not equals or not all(at):
        raise ConfigError(f"--set: expected NAME=VALUE, such as select.budget=20, got {shortly(text)}")
    return at, _yaml(value, f"--set {name.strip()}", lined=False)[0]


def _yaml(text: str, source: str, *, lined: bool) -> tuple[Any, dict[At, int]]:
    """(plain data, line of every key)."""
    import yaml

    def where(mark: Any) -> str:
        return f"{source}, line {mark.line + 1}" if lined and mark is not None else source

    try:
        _plain(text, where)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        lines: dict[At, int] = {}
        _lines(node, (), lines, where)
        return loader.construct_document(node), lines
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where(getattr(error, 'problem_mark', None))}: not YAML: {problem}") from None
    except (ValueError, RecursionError, OverflowError) as error:  # a date or a number that cannot be
        raise ConfigError(f"{source}: not YAML that can be read: {error}") from None


def _plain(text: str, where: Any) -> None:
    """Refuses YAML that is deeper than any settings are, or refers to itself: a few lines of that fill the memory."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        at = where(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{at}: references (*{event.anchor}) are not for settings; write it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ConfigError(f"{at}: nested deeper than any setting is ({DEEPEST} levels)")


def _lines(node: Any, at: At, lines: dict[At, int], where: Any) -> None:
    """Notes the line of every key; refuses one that is given twice, of which YAML would take the last."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        here = (*at, str(key.value) if isinstance(key, yaml.ScalarNode) else "")
        if here in lines:
            name, line = ".".join(here), lines[here]
            raise ConfigError(f"{where(key.start_mark)}: {name} is given twice (first in line {line})")
        lines[here] = key.start_mark.line + 1
        _lines(value, here, lines, where)
