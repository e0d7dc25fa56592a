"""swath's panel in the App, as somebody with a mouse uses it."""

from __future__ import annotations

import re
from typing import Any

from app_driver import App

GRID = "[data-cy=panel-content-swath]:not([data-cy=modal] *)"


class Panel:
    """The panel beside the grid, opened if it is not; with `beside`, that of the open scene, in a tab of its own."""

    def __init__(self, app: App, beside: bool = False) -> None:
        self.app, self._page = app, app.page
        self._where = "[data-cy=modal] [data-cy=panel-content-swath]" if beside else GRID
        if beside:
            app.page.locator("[data-cy=modal] [data-cy=panel-tab-swath]").first.click()
            app.until(self.at.is_visible, "no panel beside the scene")
            return
        app.until(lambda: app.has("panel-content-swath") or app.has("new-panel-btn"), "no panels")
        if not app.has("panel-content-swath"):
            app.click("new-panel-btn")
            app.click("new-panel-option-swath")
        app.wait_for("panel-content-swath")

    @property
    def at(self) -> Any:
        return self._page.locator(self._where).last

    @property
    def text(self) -> str:
        return str(self.at.inner_text())

    def says(self, *words: str) -> str:
        """Waits until the panel says all of this; gives back what it says."""
        for word in words:
            for last in (
                False,
                False,
                False,
                True,
            ):  # the App's patience is for a page; a step may take several
                try:
                    self.app.until(lambda word=word: word in self.text, f"the panel does not say {word!r}")
                    break
                except AssertionError:
                    if last:
                        raise
        return self.text

    def press(self, name: str) -> None:
        """A button of the panel."""
        button = self.at.get_by_role("button", name=name).first
        self.app.until(button.is_visible, f"no button {name!r}")
        button.click()

    def leads_to(self, link: str, dataset: str) -> Panel:
        """Follows a link to another dataset, where the App closes all panels; gives back the panel there."""
        page, there = self._page, self.at.get_by_role("link", name=link).first
        self.app.until(there.is_visible, f"no link {link!r}")
        there.click()
        self.app.until(
            lambda: page.url.partition("?")[0].endswith(f"/datasets/{dataset}"), f"{dataset} is not open"
        )
        self.app.until(lambda: not self.app.has("panel-content-swath"), "the old panel stays open")
        return Panel(self.app)

    def tab(self, name: str) -> None:
        self.at.get_by_role("tab", name=name).click()

    def row(self, text: str) -> None:
        """A row of a table."""
        cell = self.at.get_by_role("cell", name=text, exact=True).first
        self.app.until(cell.is_visible, f"no row {text!r}")
        cell.click()

    def form(self) -> str:
        """What the form says that is open."""
        self.app.wait_for("operators-prompt-modal")
        modal = self._page.locator("[data-cy=operators-prompt-modal]").first
        self.app.until(lambda: len(modal.inner_text()) > 20, "the form is empty")
        return str(modal.inner_text())

    def fill(self, label: str, text: str) -> None:
        """Types into a field of the form that is open."""
        self._field(label).locator("input, textarea").first.fill(text)

    def choose(self, label: str, option: str) -> None:
        """Chooses from a list of the form that is open."""
        self._field(label).get_by_role("combobox").first.click()
        self._page.get_by_role("option", name=option, exact=True).first.click()

    def tick(self, label: str) -> None:
        """Ticks a box of the form that is open."""
        self._page.locator("[data-cy=operators-prompt-modal]").first.get_by_label(label).first.check()

    def _field(self, label: str) -> Any:
        """The smallest part of the form that holds a label and something to fill in."""
        modal = self._page.locator("[data-cy=operators-prompt-modal]").first
        name = modal.get_by_text(re.compile(rf"^\s*{re.escape(label)}\s*\*?\s*$")).first
        holds = name.locator("xpath=ancestor::div[.//input or .//textarea][1]")
        self.app.until(holds.count, f"the form has no {label!r}")
        return holds

    def send(self, button: str, answers: bool = False) -> None:
        """Presses a form's button; the form goes away, unless it `answers`."""
        modal = self._page.locator("[data-cy=operators-prompt-modal]").first
        modal.get_by_role("button", name=button, exact=True).click()
        if not answers:
            self.app.until(lambda: not modal.is_visible(), "the form stays open")

    def close(self) -> None:
        """Closes what an operator answered."""
        modal = self._page.locator("[data-cy=operators-prompt-modal]").first
        modal.get_by_role("button", name="Close", exact=True).click()
        self.app.until(lambda: not modal.is_visible(), "the answer stays")
