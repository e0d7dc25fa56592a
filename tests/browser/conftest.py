"""A browser, an App server on the session's mongod, and a loop to look at; skipped, with the reason, where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from app_driver import FLAGS, QUIET, App, screenshots, served

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium that draws in software, driven by playwright."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH (`make browser` installs Debian's, or set CHROMIUM)")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: `make browser`")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def app(browser: Any, mongod: str, tmp_path: Path) -> Iterator[App]:
    """A fresh page on a server of its own: a server remembers slice, view and panels of the page before."""
    with served(tmp_path / "app.log") as address:
        context = browser.new_context(viewport={"width": 1500, "height": 950})
        context.add_init_script("".join(f"localStorage.setItem('{name}', 'true');" for name in QUIET))
        context.set_default_timeout(60_000)
        yield App(context.new_page(), address, screenshots())
        context.close()
