"""What a person does in the App's tab Annotate: draws boxes and cuboids, names them, deletes them, tags a scene."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from app_driver import App

SETTLE = 0.7  # seconds that the 3D view wants between a move of the mouse and a click


def annotate(app: App, work_set: str, group: str, slice_name: str) -> None:
    """Opens a scene on a slice, in the tab Annotate."""
    app.open(work_set, f"slice={slice_name}&groupId={group}")
    app.click("annotate")
    choose_slice(app, slice_name)


def choose_slice(app: App, slice_name: str) -> None:
    """In the tab Annotate: another slice of the scene."""
    app.wait_for("selector-annotation-slice")
    chosen = app.page.locator("[data-cy=selector-annotation-slice]").first
    if chosen.input_value() != slice_name:  # the tab begins with the first image, whichever slice was shown
        app.click("selector-annotation-slice")
        app.click(f"selector-result-{slice_name}")
        app.until(lambda: chosen.input_value() == slice_name, f"slice {slice_name} is not chosen")


def draw_box(app: App, size: tuple[int, int], box: Sequence[float], label: str) -> None:
    """Draws a box, corners in pixels of an image of `size`, and gives it a class."""
    canvas = app.page.locator("[data-cy=lighter-sample-renderer-canvas]").first
    app.until(canvas.is_visible, "no picture to draw on")
    app.picture()  # a tool that is chosen before the picture is there is put down again: a drag moves the picture out of sight
    _take(app, "detection-mode", "Click and drag to create a bounding box")
    place = canvas.bounding_box()
    scale = min(place["width"] / size[0], place["height"] / size[1])
    left = place["x"] + (place["width"] - size[0] * scale) / 2
    top = place["y"] + (place["height"] - size[1] * scale) / 2
    points = [(left + x * scale, top + y * scale) for x, y in (box[:2], box[2:])]
    mouse = app.page.mouse
    mouse.move(*points[0])
    mouse.down()
    mouse.move((points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2, steps=4)
    mouse.move(*points[1], steps=4)
    mouse.up()
    choose_class(app, label)


def _take(app: App, tool: str, hint: str) -> None:
    """Chooses a tool of the tab, whose button puts it down as well, until the App says how it is used, and still says so."""

    def taken() -> bool:
        if not app.page.get_by_text(hint).count():
            app.click(tool)
            time.sleep(1)
            return False
        time.sleep(2)
        return bool(app.page.get_by_text(hint).count())

    app.until(taken, f"{tool} is not chosen")


def _class_field(app: App) -> Any:
    return app.page.locator("[data-cy=root_label_container] input[role=combobox]").first


def back(app: App) -> None:
    """Closes the label that is open."""
    app.click("annotate-edit-back")
    app.until(lambda: not _class_field(app).is_visible(), "the label stays open")


def leave(app: App) -> None:
    """Closes the scene that is open, by a click beside it: after the tab Annotate was used, Escape does not always reach it."""
    modal = app.page.locator("[data-cy=modal]").first

    def gone() -> bool:
        if modal.is_visible():
            app.page.mouse.click(8, 940)
            time.sleep(1)
        return not modal.is_visible()

    app.until(gone, "the scene stays open")


def choose_class(app: App, label: str) -> None:
    """Names the label that is open."""
    field = _class_field(app)
    app.until(field.is_visible, "no label is open")

    def offered() -> Any:
        field.focus()
        app.page.keyboard.press("ArrowDown")
        time.sleep(0.5)
        option = app.page.get_by_role("option", name=label, exact=True)
        return option.first if option.count() else None

    app.until(offered, f"class {label} is not offered").click()
    time.sleep(1)


def place_cuboid(app: App, cuboid: Sequence[float], label: str) -> None:
    """Places a cuboid by three clicks, names it, and types its place and size: x, y, z, l, w, h, metres."""
    app.wait_for("looker3d")
    app.until(lambda: app.page.get_by_text("All assets loaded").count(), "the cloud is not loaded")
    app.click("looker-3d-set-top-view")
    app.click("cuboid-mode")
    app.click("create-cuboid")
    view = app.page.locator("[data-cy=looker3d]").first.bounding_box()
    middle = (view["x"] + view["width"] / 2, view["y"] + view["height"] / 2)
    for dx, dy in ((-40, -40), (40, -40), (40, 20)):
        app.page.mouse.move(middle[0] + dx, middle[1] + dy, steps=5)
        time.sleep(SETTLE)
        app.page.mouse.click(middle[0] + dx, middle[1] + dy)
        time.sleep(SETTLE)
    choose_class(app, label)
    for name, value in zip(("x", "y", "z", "lx", "ly", "lz"), cuboid, strict=True):
        box = app.page.locator(f"input[data-cy=position3d-{name}]").first
        app.until(box.is_visible, f"no number {name}")
        box.fill(str(value))
        box.press("Tab")
        time.sleep(0.5)


def tag_in_grid(app: App, work_set: str, place: int, samples: int, name: str) -> None:
    """Tags the sample at a place of the grid, which has so many (all slices counted)."""
    app.open(work_set)
    app.counts(samples)
    one = app.page.locator("[data-cy=looker]").nth(place)
    one.hover()
    one.locator("input[type=checkbox]").first.evaluate("box => box.click()")  # it is drawn by its label
    app.page.locator("[data-cy=action-tag-sample-labels]").first.click()
    _apply(app, name)


def tag_in_scene(app: App, work_set: str, group: str, slice_name: str, name: str) -> None:
    """Tags the sample that is shown of an open scene: there the menu begins with labels."""
    app.open(work_set, f"slice={slice_name}&groupId={group}")
    app.wait_for("annotate")
    menu = app.page.locator("[data-cy=modal] [data-cy=action-tag-sample-labels]").first
    app.until(menu.is_visible, "no tag menu")
    time.sleep(2)
    menu.click()
    app.click("tagger-switch-sample")
    _apply(app, name)


def _apply(app: App, name: str) -> None:
    field = app.page.locator("[data-cy=sample-tag-input]").first
    app.until(field.is_visible, "no field for a tag")
    field.fill(name)
    app.page.keyboard.press("Enter")
    time.sleep(1)
    app.page.get_by_text("Apply", exact=True).first.click()


def delete_label(app: App, label: str) -> None:
    """Opens a label of the tab's list by its class, and deletes it."""
    app.page.locator("[data-cy=modal]").get_by_text(label, exact=True).first.click()
    app.click("label-menu-trigger")
    app.click("label-menu-delete")
