"""One self-contained HTML file about a loop, for whoever leads the labelling: no script, no network, the same bytes each time.

contents       the records of the journal, section by section
pictures       images of pool and val scenes as small JPEGs, never those of test scenes
failures       val scenes that the last model gets wrong, with boxes to draw
embedding_map  pool and val scenes in the plane of most variance
charts         coordinates of the learning curve and of the map
drift          how labels of the golden scenes differ, over the rounds
report.html    the page; everything that is put into it is escaped
"""

from __future__ import annotations

from pathlib import Path

from swath.errors import ConfigError
from swath.formats.files import write_atomic
from swath.records.results import Status
from swath.workspace import Workspace

__all__ = ["write_report"]


def write_report(workspace: Workspace, status: Status, to: Path | None = None) -> Path:
    """Writes the report of a loop to `to` (default: `report.html` in the dataset's folder) and returns its path.

    A reader sees the old file or the new one, never half of it. The same journal, labels and media give the same bytes.
    Reads no embeddings, images or labels of test scenes; an image that cannot be read becomes a placeholder that says so.
    Raises `ConfigError` when `to` is a folder.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from swath.report import contents

    path = workspace.home / "report.html" if to is None else Path(to)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the file to write, for instance {path / 'report.html'}")
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters |= contents.FILTERS
    text = page.get_template("report.html").render(contents.gather(workspace, status))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path.resolve(), text.encode())  # a link stays one
    return path
