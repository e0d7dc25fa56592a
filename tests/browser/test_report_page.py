"""The report in a browser: on a screen, on a phone, on paper, by keyboard."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_driver import screenshots

import durable
import quick_loop
from support import remove
from swath.loop import Loop
from swath.report.sections import SECTIONS

pytestmark = pytest.mark.database
NAME = "t-report-page"
WIDTHS = {390: 844, 1280: 800}
PAPER = 703  # pixels between the margins of A4
OUTSIDE = """width => [...document.querySelectorAll("body *")].filter(one => {
    const box = one.getBoundingClientRect();
    const hidden = one.closest("svg") && one.tagName != "svg" || one.closest(".cards thead, .skip") || !box.width;
    return !hidden && (box.right > width + 1 || box.left < -1);
}).map(one => one.tagName + " " + one.className + " " + one.textContent.trim().slice(0, 60))"""
CUT = """() => [...document.querySelectorAll("body *:not(svg *)")].filter(one =>
    one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX != "visible" && one.clientWidth
).map(one => one.tagName + " " + one.className)"""


@pytest.fixture(scope="module")
def path(browser: Any, mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The report of two closed rounds, with models of images and of clouds."""
    remove(NAME)
    durable.fork(quick_loop.base("sent"), NAME, quick_loop.homes() / NAME)
    more = {"train": {"trainer_3d": "pillars", "pillars": {"steps": 1}}}
    loop = Loop.open(NAME, changes=more)
    assert loop.run(2).closed == 2
    yield loop.report()
    remove(NAME)


def opened(browser: Any, path: Path, width: int) -> Any:
    """The page in a window of its own; the narrow one is a phone's. What the page asks for or complains of is an error."""
    phone = width < 700
    context = browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]}, has_touch=phone, is_mobile=phone
    )
    page = context.new_page()
    page.on("console", lambda message: pytest.fail(message.text))
    page.on(
        "request", lambda asked: None if asked.url.startswith(("file:", "data:")) else pytest.fail(asked.url)
    )
    page.goto(path.as_uri())
    if folder := screenshots():
        page.screenshot(path=str(folder / f"report-{width}.png"), full_page=True)
    return page


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_can_be_seen(browser: Any, path: Path, width: int) -> None:
    """Nothing sticks out of the window or is cut, with every closed part opened; every section has a link that leads to it;
    what is told about dots fits the device."""
    page = opened(browser, path, width)
    page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OUTSIDE, width) == []
    assert page.evaluate(CUT) == []
    for section in SECTIONS[1:]:
        page.locator("nav").get_by_role("link", name=section.title, exact=True).click()
        place = page.locator(f"#title-{section.name}").bounding_box()
        assert place is not None
        assert 0 <= place["y"] < WIDTHS[width]
        page.get_by_label("to the top").first.evaluate("one => one.click()")
    phone = width < 700
    assert page.locator(".touch").is_visible() == phone
    assert page.locator(".pointer").is_visible() != phone
    dots = page.locator("#chart-map .dots > *").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().width)"
    )
    assert min(dots) > 3
    page.context.close()


def test_the_first_screen_answers(browser: Any, path: Path) -> None:
    """On a screen all five answers are there before anything is scrolled, and what is next is a command to copy."""
    page = opened(browser, path, 1280)
    boxes = page.locator(".answer").evaluate_all("all => all.map(one => one.getBoundingClientRect().bottom)")
    assert len(boxes) == 5
    assert max(boxes) <= WIDTHS[1280]
    assert page.locator(".answer .command").first.inner_text().startswith("swath ")
    page.context.close()


def test_by_keyboard(browser: Any, path: Path) -> None:
    """The first key reaches a link past the first screen; a closed part is opened by a key; layers of the map are switched."""
    page = opened(browser, path, 1280)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#rounds")
    closed = page.locator("details:not([open]) > summary").first
    part = closed.locator("xpath=..").element_handle()
    closed.focus()
    page.keyboard.press("Enter")
    assert part.evaluate("one => one.open")
    page.locator("#show-pool").focus()
    page.keyboard.press("Space")
    assert page.locator(".layer-pool").first.evaluate("one => getComputedStyle(one).display") == "none"
    page.context.close()


def test_on_paper(browser: Any, path: Path, tmp_path: Path) -> None:
    """On A4 nothing sticks out, every column of every table is there, closed parts are printed as well, and what is only of use on
    a screen is not; colours that say something are kept."""
    page = opened(browser, path, 1280)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": 1000})
    assert page.evaluate(OUTSIDE, PAPER) == []
    cells = page.locator("td:not(:empty), th, li, figcaption").evaluate_all(
        "all => all.filter(one => !one.getBoundingClientRect().height).map(one => one.textContent)"
    )
    assert [one for one in cells if one.strip()] == []
    assert page.locator("details:not([open])").count() > 0, "some are closed, and printed"
    assert not page.locator("nav").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.progress')).printColorAdjust") == "exact"
    printed = Path(tmp_path / "report.pdf")
    printed.write_bytes(page.pdf(prefer_css_page_size=True))
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", "-layout", str(printed), "-"], capture_output=True, text=True, check=True
        )
        words = " ".join(text.stdout.split())
        for row in page.locator("tr.scene .reason").all_inner_texts():
            assert " ".join(row.split())[:20] in words
        assert "decision" in words
        assert "labels" in words
    page.context.close()
