"""swath's panel in the App, as somebody with a mouse uses it."""

from __future__ import annotations

from typing import Any

from app_driver import App


class Panel:
    """The panel beside the grid; opened if it is not."""

    def __init__(self, app: App) -> None:
        self.app, self._page = app, app.page
        app.until(lambda: app.has("panel-content-swath") or app.has("new-panel-btn"), "no panels")
        if not app.has("panel-content-swath"):
            app.click("new-panel-btn")
            app.click("new-panel-option-swath")
        app.wait_for("panel-content-swath")

    @property
    def at(self) -> Any:
        return self._page.locator("[data-cy=panel-content-swath]").last

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
