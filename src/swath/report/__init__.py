"""One self-contained HTML file about a loop, for whoever leads the labelling: no script, no network.

known       what every section starts from, read once
sections/   one module per section: a function from `Known` to frozen values; their order is the page's
templates/  page.html around one template per section; parts.html: what several use; style.css. All that is put in is escaped
changes     whether two evaluations can be told apart
pictures    images of pool and val scenes as small JPEGs, never those of test scenes
above       clouds of such scenes from above
overlays    labels and predictions as outlines to draw over both
beside      two labellings of one object, in all sensors; differences: the page of what two labellings see differently
charts      coordinates of curves, bars and their axes
drift       how labels of the golden scenes differ, over the rounds
backtest    the page of a backtest, and what its section shares with it

To add a section: `sections/__init__.py` says how.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swath.errors import ConfigError, UnknownNameError
from swath.formats.files import write_atomic
from swath.records.results import Status
from swath.suggest import meant
from swath.words import brief, interval, number, percent, ranked, signed
from swath.workspace import Workspace

if TYPE_CHECKING:
    from jinja2 import Environment

    from swath.report.known import Known

__all__ = ["Look", "look", "write_report"]

FILTERS: Final[dict[str, Callable[..., str]]] = {
    "number": number,
    "percent": percent,
    "interval": interval,
    "counts": ranked,
    "brief": brief,
    "signed": signed,
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


@dataclass(frozen=True)
class Look:
    """Sections of a report: in a notebook they show in a frame of `height` pixels, which runs no script and loads nothing."""

    page: str
    height: int

    def _repr_html_(self) -> str:
        style = f"width:100%;height:{self.height}px;border:1px solid #e1e5eb"
        return f'<iframe sandbox="" style="{style}" srcdoc="{escape(self.page)}"></iframe>'


def look(workspace: Workspace, status: Status, names: Sequence[str], height: int) -> Look:
    """The sections `names` of the report (all, for none); `UnknownNameError` for one that is not there."""
    from swath.report.known import Known
    from swath.report.sections import SECTIONS

    there = [one.name for one in SECTIONS]
    for name in names:
        if name not in there:
            raise UnknownNameError(f"no section {name!r}{meant(name, there)}; there are: {', '.join(there)}")
    day = datetime.datetime.now(datetime.timezone.utc).date()
    return Look(page(Known(workspace, status, day), names or there), height)


def templates() -> Environment:
    """All that is put into a page is escaped, but for its style sheet."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=lambda name: name != "style.css",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= FILTERS
    return made


def page(known: Known, only: Sequence[str] | None = None) -> str:
    """The page; with `only` some sections of it, without a way from one to the other."""
    from swath.report import sections

    shown = [one for one in sections.SECTIONS if only is None or one.name in only]
    return (
        templates()
        .get_template("page.html")
        .render(
            dataset=known.workspace.name,
            sections=shown,
            data={one.name: one.data(known) for one in shown},
            whole=only is None,
        )
    )
