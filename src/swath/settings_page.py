"""docs/settings.md, from the settings themselves: `python -m swath.settings_page` prints it (`make settings` writes it)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

from swath.config import CHANNELS, LoopConfig
from swath.settings import NAME, Knob, knobs

HEAD = """# Settings

Made by `make settings` from `src/swath/config.py`; a test holds it up to date.

Settings come in a YAML file (`--config swath.yaml`, any command), one by one
(`swath config --dataset NAME --set select.budget=20`), or as an option that is one (`--annotator`, `--folder`, `--encoder`,
`--classes`). They are kept in the journal by the first step that succeeds with them, for the rounds that follow.
`swath config --dataset NAME` shows those in force, and where each was given.

```yaml
seed: 7
splits: {golden: 0.1}
select:
  budget: 40
```

Shares are of 1, distances in metres. `channels`, `primary`, `fields` and `splits` can't change once the dataset is split,
`classes` not once a label has come.
"""


def page() -> str:
    """The whole page, as Markdown."""
    sections: dict[str, list[Knob]] = {}
    for one in knobs(LoopConfig):
        sections.setdefault(one.name.rpartition(".")[0], []).append(one)
    parts = [HEAD]
    for section, listed in sections.items():
        parts.append("\n".join([f"## {section or 'The loop'}", "", *_about(section), *_table(listed), ""]))
    return "\n".join(parts)


def _about(section: str) -> Iterator[str]:
    model: Any = LoopConfig
    for name in section.split(".") if section else ():
        if name != NAME:
            annotation = model.model_fields[name].annotation
            inner = [
                one for one in get_args(annotation) if isinstance(one, type) and issubclass(one, BaseModel)
            ]
            model = inner[0] if inner else annotation
    if section:
        yield from (" ".join((model.__doc__ or "").split()), "")
    if NAME in section:
        yield from (f"`{NAME}` is a slice of the dataset. By default:", "", "```yaml", "channels:")
        for name, one in CHANNELS.items():
            yield f"  {name}: {json.dumps(one.model_dump(mode='json'))}"
        yield from ("```", "")


def _table(listed: Iterable[Knob]) -> Iterator[str]:
    yield from ("| setting | what it may be | default | what it does |", "|---|---|---|---|")
    for one in listed:
        default = json.dumps(one.default, default=str)
        yield f"| `{one.name}` | {one.expected} | `{default}` | {one.does.replace('|', '/')} |"


if __name__ == "__main__":
    print(page(), end="")
