"""Operators in a work set: what somebody says of a scene besides its labels, and where to go on."""

from __future__ import annotations

from typing import Any, Final

import fiftyone.operators.types as types

from swath.annotators import marks
from swath.errors import StateError
from swath.plugin import _forms
from swath.plugin._forms import Params, work_set_of
from swath.plugin.contents import at_hand

VIEWER: Final = types.Places.SAMPLES_VIEWER_ACTIONS


def scenes_meant(ctx: Any) -> list[str]:
    """The scene that is open, else those that are selected: their sample ids."""
    there = [ctx.current_sample] if ctx.current_sample else list(ctx.selected)
    if not there:
        raise StateError("no scene is open or selected; open one, or select some in the grid")
    return [str(one) for one in there]


def put(ctx: Any, work_set: Any, what: str | None) -> int:
    """Marks the scenes that are meant, or takes their marks away (None); says how many they are."""
    there = scenes_meant(ctx)
    for one in there:
        if what is None:
            marks.unmark(work_set, one)
        else:
            marks.mark(work_set, one, what)
    ctx.ops.reload_samples()
    return len(there)


def go_on(ctx: Any, work_set: Any, after: str | None) -> Params:
    """Opens the next scene that waits; says so when none does."""
    scene = marks.following(work_set, after)
    if scene is None:
        ctx.ops.notify("every scene has an answer; `fetch` takes them in", variant="success")
        return {"next": None}
    shown = [one.sample_id for one in scene.slices if one.name == ctx.group_slice]
    group = scene.group_id if work_set.media_type == "group" else None
    # By its group alone the App opens a scene too, but then tells no operator which one is open.
    ctx.ops.open_sample(id=(shown or [scene.opens_at.sample_id])[0], group_id=group)
    return {"next": scene.group_id}


class Mark(_forms.Operator):
    """Marks the scene that is open (or those selected), and goes on to the next that waits when one is open."""

    what: str
    icon_name: str

    def resolve_input(self, ctx: Any) -> Any:
        return None

    def resolve_placement(self, ctx: Any) -> Any:
        if ctx.dataset is None or marks.is_work_set(ctx.dataset) is None:
            return None
        return types.Placement(VIEWER, types.Button(label=self.label, icon=self.icon_name, prompt=False))

    def act(self, ctx: Any) -> Params:
        work_set = work_set_of(ctx)
        marked = put(ctx, work_set, self.what)
        said = {"marked": marked, "as": self.what}
        if ctx.current_sample:
            return {**said, **go_on(ctx, work_set, str(ctx.current_sample))}
        ctx.ops.notify(f"{marked} marked: {self.what}", variant="success")
        return said


class MarkDone(Mark):
    name_ = "mark_done"
    label = "done, what is drawn is all there is"
    description = "This scene is labelled: goes on to the next that waits"
    what, icon_name = marks.DONE, "done"


class MarkEmpty(Mark):
    name_ = "mark_empty"
    label = "empty, there is nothing to label here"
    description = "Looked at, and there is nothing (more): goes on to the next that waits"
    what, icon_name = marks.EMPTY, "check_box_outline_blank"


class MarkSkip(Mark):
    name_ = "mark_skip"
    label = "skip this scene"
    description = "Looked at, and won't be labelled: goes on to the next that waits"
    what, icon_name = marks.SKIPPED, "skip_next"


class TakeMarkAway(_forms.Operator):
    name_ = "take_mark_away"
    label = "take the mark away"
    description = "The scene waits again, unless what is drawn says otherwise; labels stay"

    def resolve_input(self, ctx: Any) -> Any:
        return None

    def act(self, ctx: Any) -> Params:
        unmarked = put(ctx, work_set_of(ctx), None)
        ctx.ops.notify(f"{unmarked} not marked any more", variant="success")
        return {"unmarked": unmarked}


class NextWaiting(_forms.Operator):
    name_ = "next_waiting"
    label = "next scene that waits"
    description = "Opens the next scene of this work set that nobody has answered"

    def resolve_input(self, ctx: Any) -> Any:
        return None

    def resolve_placement(self, ctx: Any) -> Any:
        if ctx.dataset is None or marks.is_work_set(ctx.dataset) is None:
            return None
        return types.Placement(VIEWER, types.Button(label=self.label, icon="arrow_forward", prompt=False))

    def act(self, ctx: Any) -> Params:
        work_set = work_set_of(ctx)
        now = at_hand(work_set, ctx.current_sample)
        return go_on(ctx, work_set, now.task if now else None)


ALL = (MarkDone, MarkEmpty, MarkSkip, TakeMarkAway, NextWaiting)
