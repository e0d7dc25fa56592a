"""One self-contained HTML file about a loop, for whoever leads the labelling: no script, no network.

known       what every section starts from, read once
sections/   one module per section: a function from `Known` to frozen values; their order is the page's
templates/  page.html around one template per section; parts.html: what several use; style.css. All that is put in is escaped
changes     whether two evaluations can be told apart
pictures    images of pool and val scenes as small JPEGs, never those of test scenes
above       clouds of such scenes from above
overlays    labels and predictions as outlines to draw over both
charts      coordinates of curves, bars and their axes

To add a section: `sections/__init__.py` says how.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swath.errors import ConfigError
from swath.formats.files import write_atomic
from swath.records.results import Status
from swath.words import brief, interval, number, percent, ranked
from swath.workspace import Workspace

if TYPE_CHECKING:
    from swath.report.known import Known

__all__ = ["write_report"]

FILTERS: Final[dict[str, Callable[..., str]]] = {
    "number": number,
    "percent": percent,
    "interval": interval,
    "counts": ranked,
    "brief": brief,
}


def write_report(
    workspace: Workspace, status: Status, to: Path | None = None, *, today: datetime.date | None = None
) -> Path:
    """Writes the report of a loop to `to` (default: `report.html` in the dataset's folder) and returns its path.

    A reader sees the old file or the new one, never half of it. The same journal, labels and media give the same bytes on the
    same day (`today`, UTC). Reads no embeddings, images or labels of test scenes; an image that cannot be read becomes a
    placeholder that says so. Raises `ConfigError` when `to` is a folder.
    """
    from swath.report.known import Known

    path = workspace.home / "report.html" if to is None else Path(to)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the file to write, for instance {path / 'report.html'}")
    day = today or datetime.datetime.now(datetime.timezone.utc).date()
    text = page(Known(workspace, status, day))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path.resolve(), text.encode())  # a link stays one
    return path


def page(known: Known) -> str:
    """The page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from swath.report.sections import SECTIONS

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=lambda name: name != "style.css",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= FILTERS
    data = {one.name: one.data(known) for one in SECTIONS}
    return templates.get_template("page.html").render(
        dataset=known.workspace.name, sections=SECTIONS, data=data
    )
