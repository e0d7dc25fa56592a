"""What all operators share: which loop is meant, forms that say why they cannot be sent, and how a step begins and ends."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Final

import fiftyone.operators as foo
import fiftyone.operators.types as types

from swath.annotators import marks
from swath.database import user_line
from swath.errors import StateError, SwathError
from swath.loop import Loop
from swath.plugin.contents import stamp
from swath.plugin.jobs import Job, Jobs
from swath.suggest import init

PLUGIN: Final = "@swath/loop"
PANEL: Final = "swath"
log = logging.getLogger(__name__)
Params = dict[str, Any]


def uri(operator: str) -> str:
    return f"{PLUGIN}/{operator}"


# ---------------------------------------------------------------------- which loop


def name_of(ctx: Any) -> str:
    """The loop that a person means: that of the dataset; in a work set, the one that it was made for."""
    dataset = ctx.dataset
    if dataset is None:
        raise StateError("no dataset is open; open one first")
    of = marks.is_work_set(dataset)
    return of[0] if of else str(dataset.name)


def loop_of(ctx: Any) -> Loop:
    """The loop of the open dataset; `StateError` says how to begin one."""
    name = name_of(ctx)
    from swath.store.scenes import load_dataset, open_journal

    if not open_journal(load_dataset(name)).exists():
        raise StateError(
            f"{name} is no loop of swath yet; begin one in a terminal: `{init(name, '--fiftyone', name)}`"
        )
    return Loop.open(name, wait=0)


def jobs_of(loop: Loop) -> Jobs:
    return Jobs(loop.workspace.home)


def work_set_of(ctx: Any) -> Any:
    """The open dataset, which must be a work set."""
    if ctx.dataset is None or marks.is_work_set(ctx.dataset) is None:
        raise StateError(
            f"{ctx.dataset.name if ctx.dataset else 'nothing'} is no work set: scenes are marked in the dataset that was "
            "made for labelling in the App (NAME-work-vN)"
        )
    return ctx.dataset


# ---------------------------------------------------------------------- errors in words


def in_words(error: Exception) -> tuple[str, tuple[str, ...]]:
    """(one line, ways on) of an error: of a person's mistake as swath says it; of a defect its name, and the log has the rest."""
    if isinstance(error, SwathError):
        return str(error), error.ways
    if (line := user_line(error)) is not None:
        return line, ()
    log.exception("a defect of swath's plugin")
    return (
        f"{type(error).__name__}: {error}; this is a defect, please report it with the lines in the App's log",
        (),
    )


def refuse(inputs: types.Object, error: Exception) -> None:
    """A form that cannot be sent, and says why."""
    line, ways = in_words(error)
    notice(inputs, "refused", line, ways)
    inputs.add_property(
        "cannot", types.Property(types.String(), invalid=True, error_message=line, view=types.HiddenView())
    )


def notice(
    inputs: types.Object, name: str, line: str, ways: Sequence[str] = (), view: Any = types.Error
) -> None:
    """A line in a box, and the ways on below it."""
    inputs.view(name, view(label=line))
    if ways:
        inputs.md("\n".join(f"- `{one}`" for one in ways), name=f"{name}_ways")


def confirmed(inputs: types.Object, what: str) -> None:
    """A box that must be ticked: for what cannot be taken back."""
    inputs.bool("sure", label=what, default=False, required=True, view=types.CheckboxView())


def is_sure(ctx: Any) -> None:
    if ctx.params.get("sure") is not True:
        raise StateError("nothing was done: tick the box that says that you mean it")


def answered(function: Callable[..., Params]) -> Callable[..., Params]:
    """An operator's `execute`: an error becomes `{"error": ..., "ways": [...]}`, and a notification in the App."""

    @wraps(function)
    def execute(self: Any, ctx: Any) -> Params:
        try:
            return function(self, ctx)
        except Exception as error:
            line, ways = in_words(error)
            ctx.ops.notify(line, variant="error")
            return {"error": line, "ways": list(ways)}

    return execute


class Operator(foo.Operator, ABC):  # type: ignore[misc]
    """An operator of swath's: `form` fills a form, `act` does it."""

    name_: str
    label: str
    description: str
    submit = "Go"
    dynamic = False
    unlisted = False
    icon = "grass"

    @property
    def config(self) -> Any:
        return foo.OperatorConfig(
            name=self.name_,
            label=f"swath: {self.label}",
            description=self.description,
            dynamic=self.dynamic,
            unlisted=self.unlisted,
            icon=self.icon,
            view_target=False,
        )

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Fills the form; a `SwathError` becomes a form that cannot be sent."""

    @abstractmethod
    def act(self, ctx: Any) -> Params:
        """Does it; what the App gets back."""

    def resolve_input(self, ctx: Any) -> Any:
        inputs = types.Object()
        try:
            self.form(ctx, inputs)
        except Exception as error:
            refuse(inputs, error)
        return types.Property(
            inputs, view=types.PromptView(label=self.title, submit_button_label=self.submit)
        )

    @property
    def title(self) -> str:
        return self.label[:1].upper() + self.label[1:]

    @answered
    def execute(self, ctx: Any) -> Params:
        return self.act(ctx)

    def resolve_output(self, ctx: Any) -> Any:
        """Says what went wrong; what went well is in the panel."""
        said: Mapping[str, Any] = ctx.results or {}
        if "error" not in said:
            return None
        outputs = types.Object()
        notice(outputs, "failed", str(said["error"]), tuple(said.get("ways") or ()))
        return types.Property(outputs, view=types.View(label=self.title))


# ---------------------------------------------------------------------- a step begins


def begin(ctx: Any, loop: Loop, *arguments: str) -> Params:
    """Begins a step, and shows it in the panel. From Python, the parameter `wait` (seconds) waits for its end and says how it ended."""
    jobs = jobs_of(loop)
    holder = loop.workspace.journal.lease.holder()
    job = jobs.start(loop.name, *arguments, holder=holder, stamp=stamp(loop))
    look(ctx, loop.name)
    wait = ctx.params.get("wait")
    return ended(jobs, job, float(wait)) if wait else {"began": job.line}


OPEN: Final[dict[str, tuple[str, str]]] = {}
"""Dataset -> (id, tab) of its panel that was drawn last."""


def look(ctx: Any, dataset: str) -> None:
    """Has the panel look again, and opens it where none is open."""
    panel, tab = OPEN.get(dataset, ("", ""))
    if panel:
        state = {"tab": tab, **(ctx.params.get("panel_state") or {})}
        ctx.trigger(f"{uri(PANEL)}#refresh", params={"panel_id": panel, "panel_state": state})
    else:
        ctx.ops.open_panel(PANEL, layout="horizontal")


def ended(jobs: Jobs, job: Job, seconds: float) -> Params:
    """How a job ended, for a caller in Python."""
    outcome = jobs.wait(job, seconds)
    if outcome is None:
        return {"began": job.line}
    said: Params = {"did": job.line, "code": outcome.code, "text": outcome.text}
    return {**said, "error": outcome.error, "ways": list(outcome.ways)} if outcome.failed else said
