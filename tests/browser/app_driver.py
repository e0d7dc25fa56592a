"""FiftyOne's App in a browser: opened, clicked, read, photographed. What works in 1.22, and the traps, is in `docs/app.md`."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FLAGS = (
    *("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--ignore-gpu-blocklist", "--no-first-run", "--disable-background-networking", "--disable-sync"),
)
QUIET = ("fiftyone-enterprise-tooltip-seen", "fo-3d-annotation-tips-dismissed")  # pop-ups that take the focus
ERRORS = ("GraphQL API Error", "TypeError", "Something went wrong", "Not Found", "Trace")
PATIENCE = 90.0  # seconds that a page may take; the drawing is done in software, on a busy machine


@contextmanager
def served(log: Path) -> Iterator[str]:
    """The address of an App server of one's own, on loopback, on the database of this process; it ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "fiftyone.server.main", "--port", str(port), "--address", "127.0.0.1"]
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(lambda: server.poll() is not None or _answers(address), "the App server does not answer")
        assert server.poll() is None, log.read_text()[-2000:]
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/fiftyone", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _wait(until: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := until()):
        assert time.monotonic() < deadline, f"{what}, after {seconds:.0f} s"
        time.sleep(0.2)
    return found


class App:
    """One page. A method waits until what it asks for is there; an error page is an error."""

    def __init__(self, page: Any, address: str, shots: Path | None) -> None:
        self.page, self._address, self._shots = page, address, shots

    # ------------------------------------------------------------------ going somewhere

    def open(self, dataset: str, query: str = "") -> None:
        """The grid of a dataset; with `query`, what the URL says (`groupId=...&slice=pcd`)."""
        self.page.goto(f"{self._address}/datasets/{dataset}{'?' if query else ''}{query}")
        self.wait_for("sidebar")

    def show_slice(self, name: str) -> None:
        """Another slice in the grid."""
        self.click("selector-slice")
        self.click(f"selector-result-{name}")
        self.until(lambda: self._at("selector-slice").input_value() == name, f"slice {name} is not shown")

    def show_view(self, name: str) -> None:
        """A saved view, by the list that people use."""
        asked = -PATIENCE

        def shown() -> bool:
            nonlocal asked
            if name in self._at("saved-views-selection").inner_text():
                return True
            if time.monotonic() - asked > PATIENCE / 4:  # the list was drawn anew under the click before
                asked = time.monotonic()
                self._at("saved-views-selection").click(timeout=5000)
                self.page.get_by_role("option", name=name, exact=True).first.click(timeout=5000)
            return False

        self.until(shown, f"view {name} is not shown")

    # ------------------------------------------------------------------ reading

    def counts(self, wanted: int) -> None:
        """Waits until the grid says that it has so many samples (or groups), and shows one, if there is one."""

        def says() -> bool:
            found = re.search(r"[\d,]+", self._at("entry-counts").inner_text())
            return found is not None and int(found[0].replace(",", "")) == wanted

        self.until(says, f"the grid does not say {wanted}")
        self.until(lambda: not wanted or self.has("looker"), "the grid shows nothing")
        time.sleep(0.3)  # an error page comes with the first sample that is drawn
        self.no_error()

    def until(self, there: Callable[[], Any], what: str) -> Any:
        """Waits for something, looking for error pages."""

        def ready() -> Any:
            self.no_error()
            try:
                return there()
            except Exception as error:  # the page is drawn anew under our hands
                if type(error).__module__.startswith("playwright"):
                    return None
                raise

        try:
            return _wait(ready, what)
        except AssertionError:
            self.shot("late")
            raise

    def no_error(self) -> None:
        """Fails on one of the App's error pages."""
        body = self.page.locator("body").inner_text()
        found = [line for line in body.splitlines() if any(word in line for word in ERRORS)]
        if found:
            self.shot("error")
        assert not found, found

    def ticked(self) -> list[str]:
        """Fields whose labels are visible, as the sidebar has them."""
        boxes = self.page.locator(
            "[data-cy^=checkbox-]:has(input:checked), input[data-cy^=checkbox-]:checked"
        )
        names = [boxes.nth(i).get_attribute("data-cy") or "" for i in range(boxes.count())]
        return [name.removeprefix("checkbox-") for name in names]

    def groups(self) -> list[str]:
        """Groups of the sidebar, in order."""
        found = self.page.locator("[data-cy^=sidebar-group-entry-]")
        names = [found.nth(i).get_attribute("data-cy") or "" for i in range(found.count())]
        return [name.removeprefix("sidebar-group-entry-").lower() for name in names]

    def unfold(self, group: str) -> None:
        """Opens a group of the sidebar that is folded."""
        header = self.page.locator(f"[data-cy='sidebar-group-entry-{group}' i]").first
        self.until(header.is_visible, f"no group {group}")
        header.locator("svg").last.click()

    def fields(self) -> list[str]:
        """Fields in the groups of the sidebar that are open."""
        found = self.page.locator("[data-cy^=sidebar-entry-draggable-]")
        names = [found.nth(i).get_attribute("data-cy") or "" for i in range(found.count())]
        return [name.removeprefix("sidebar-entry-draggable-") for name in names]

    def count_of(self, field: str) -> int | None:
        """How many labels of a field the open scene has, as the sidebar says; None while it says nothing."""
        found = self.page.locator(
            f"[data-cy=sidebar-field-container-{field}] [data-cy=entry-count-all]"
        ).all_inner_texts()
        return int(found[-1]) if found and found[-1].isdigit() else None

    def table(self) -> dict[str, str]:
        """Rows of two columns, of all tables of the page: name -> value."""
        rows = [one.split("\t") for one in self.page.locator("tr").all_inner_texts()]
        return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}

    # ------------------------------------------------------------------ looking

    def picture(self, data_cy: str | None = None) -> np.ndarray:
        """(h, w, 3) uint8: the page, or a part of it, once two pictures in a row are the same."""
        before = b""

        def still() -> bytes | None:
            nonlocal before
            self.no_error()
            now = (self._at(data_cy) if data_cy else self.page).screenshot()
            before, same = now, now == before
            time.sleep(0.7)
            return now if same else None

        data = _wait(still, "the page does not come to rest")
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def shot(self, name: str) -> None:
        """Keeps a picture of the page, where `SWATH_SCREENSHOTS` names a folder."""
        if self._shots is not None:
            self.page.screenshot(path=str(self._shots / f"{name}.png"))

    # ------------------------------------------------------------------ parts

    def _at(self, data_cy: str) -> Any:
        return self.page.locator(f"[data-cy={data_cy}]").first

    def wait_for(self, data_cy: str) -> None:
        self.until(lambda: self._at(data_cy).is_visible(), f"{data_cy} is not there")

    def click(self, data_cy: str) -> None:
        self.wait_for(data_cy)
        self._at(data_cy).click(timeout=PATIENCE * 1000)

    def has(self, data_cy: str) -> bool:
        return bool(self._at(data_cy).count())


def screenshots() -> Path | None:
    """Where pictures go: the folder that `SWATH_SCREENSHOTS` names, if it names one."""
    name = os.environ.get("SWATH_SCREENSHOTS")
    if not name:
        return None
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
