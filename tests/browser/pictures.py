"""The pictures of the README, made anew: the report, the App with a batch and with swath's panel, the demo's closing lines.

    python tests/browser/pictures.py [DATASET]        (make pictures)

Takes them of the demo's loop, and runs the demo first where there is none; of another loop, if one is named. Writes PNGs of at most
300 kB to docs/pictures/.
"""

from __future__ import annotations

import contextlib
import html
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[2]
OUT = ROOT / "docs" / "pictures"
LARGEST = 300_000  # bytes of a picture
COLUMNS = 110
DEMO = "swath-demo"


def report(page: Any, loop: Any) -> dict[str, bytes]:
    """The report's first screen, and its first failures in the image and from above."""
    page.set_viewport_size({"width": 1240, "height": 590})
    page.goto(loop.report().as_uri())
    first = page.screenshot()
    shots = page.locator(".shots figure")
    shots.first.scroll_into_view_if_needed()
    page.evaluate("document.querySelector('nav').style.display = 'none'")
    box, last = shots.nth(0).bounding_box(), shots.nth(min(1, shots.count() - 1)).bounding_box()
    clip = {
        "x": box["x"],
        "y": box["y"],
        "width": last["x"] + last["width"] - box["x"],
        "height": box["height"],
    }
    return {"report": first, "report_failures": page.screenshot(clip=clip)}


@contextlib.contextmanager
def in_the_app(page: Any) -> Iterator[Any]:
    """FiftyOne's App on a server of its own, with swath's plugin."""
    from app_driver import QUIET, App, served

    from swath.plugin.install import install

    with tempfile.TemporaryDirectory() as folder:
        os.environ["FIFTYONE_PLUGINS_DIR"] = folder
        install(Path(folder))
        with served(Path(folder) / "app.log") as address:
            page.context.add_init_script("".join(f"localStorage.setItem('{one}', 'true');" for one in QUIET))
            page.set_viewport_size({"width": 1400, "height": 820})
            yield App(page, address, None)


def batch_in_the_app(page: Any, loop: Any) -> dict[str, bytes]:
    """The last batch, as its saved view shows it."""
    last = loop.status().rounds[-1]
    with in_the_app(page) as app:
        app.open(loop.name)
        app.show_view(f"batch_{last.round}")
        app.counts(last.batch.size)
        page.mouse.move(1390, 810)  # off whatever tells something of itself
        app.picture()  # at rest
        return {"app_batch": page.screenshot()}


def panel(page: Any, loop: Any) -> dict[str, bytes]:
    """swath's panel beside the grid: where the loop stands, and what is next."""
    from plugin_driver import Panel

    with in_the_app(page) as app:
        app.open(loop.name)
        app.until(lambda: app.has("looker"), "the grid shows nothing")
        there = Panel(app)
        app.until(lambda: there.at.locator(".js-plotly-plot").count() == 2, "no charts")
        page.mouse.move(1390, 810)
        app.picture()  # at rest
        return {"panel": page.screenshot()}


def closing_lines(page: Any, loop: Any) -> dict[str, bytes]:
    """What the demo says at its end."""
    from swath import show
    from swath.demo import result_of

    said = io.StringIO()
    os.environ["COLUMNS"] = str(COLUMNS)
    with contextlib.redirect_stdout(said):
        show.result(result_of(loop))
    text = "\n".join(
        line for line in said.getvalue().splitlines() if not line.startswith(("report:", "look at it"))
    )
    style = "margin:0;padding:22px 26px;background:#1d2530;color:#e8edf3;font:14px/1.5 'DejaVu Sans Mono',monospace"
    page.set_viewport_size({"width": 1240, "height": 400})
    page.set_content(
        f'<body style="margin:0"><pre style="{style};display:inline-block">{html.escape(text.strip())}</pre>'
    )
    return {"demo": page.locator("pre").screenshot()}


PICTURES: tuple[Callable[[Any, Any], dict[str, bytes]], ...] = (
    report,
    batch_in_the_app,
    panel,
    closing_lines,
)


def main(dataset: str) -> None:
    from playwright.sync_api import sync_playwright

    from conftest import CHROMIUM

    loop = _loop(dataset)
    OUT.mkdir(parents=True, exist_ok=True)
    from app_driver import FLAGS

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for make in PICTURES:
            page = browser.new_context().new_page()
            page.set_default_timeout(120_000)
            for name, data in make(page, loop).items():
                print(keep(OUT / f"{name}.png", data))
            page.context.close()
        browser.close()


def _loop(dataset: str) -> Any:
    from swath import database
    from swath.demo import run_demo
    from swath.errors import SwathError
    from swath.loop import Loop

    database.ensure()
    try:
        return Loop.open(dataset)
    except SwathError:
        if dataset != DEMO:
            raise
        run_demo(ROOT / "demo", DEMO)
        return Loop.open(DEMO)


def keep(path: Path, data: bytes) -> str:
    """Writes a picture, with fewer colours and then smaller until it is small enough; says how large it is."""
    image: Image.Image = Image.open(io.BytesIO(data)).convert("RGB")
    data = as_png(image)
    while len(data) > LARGEST:
        data = as_png(image.quantize(256, dither=Image.Dither.NONE))
        image = image.resize((image.width * 9 // 10, image.height * 9 // 10), Image.Resampling.LANCZOS)
    path.write_bytes(data)
    return f"{path.relative_to(ROOT)}: {len(data) / 1000:.0f} kB"


def as_png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DEMO)
