"""The panel: where a loop stands, what is next and why, the step that runs; in a work set, how far the labelling is.

FiftyOne calls a method for each event, then `render`. Nothing is kept between calls but which tab is open, in the browser, and
what was read last of each loop, here; it is read again when the journal has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final
from urllib.parse import quote

import fiftyone.operators as foo
import fiftyone.operators.types as types

from swath.loop import Loop
from swath.plugin import contents, plots
from swath.plugin._forms import OPEN, PANEL, in_words, jobs_of, loop_of, name_of, uri
from swath.plugin._marks import go_on, put
from swath.plugin._steps import as_markdown, label_for, operator_for
from swath.plugin.contents import AtHand, Labelling, Shown
from swath.plugin.jobs import Job, Jobs, dry_run
from swath.suggest import command

TABS: Final = (
    ("loop", "Loop"),
    ("batch", "Batch"),
    ("failures", "Failures"),
    ("honest", "Labels"),
)
SOON, LATER = 2_000, 10_000  # milliseconds between looks: while a step runs, and while none does
NARROW: Final = {"table": {"sx": {"minWidth": 0, "& td, & th": {"px": 1}}}}
"""The App's tables are 650 pixels wide unless told otherwise: half a window has fewer."""
_READ: Final[dict[str, Shown]] = {}
"""What was read last, by dataset."""

Handler = Callable[[Any, Any], None]


def in_panel(function: Handler) -> Handler:
    """An event whose error is shown in the panel: what is raised there takes the whole panel away."""

    @wraps(function)
    def event(self: Any, ctx: Any) -> None:
        try:
            function(self, ctx)
        except Exception as error:
            ctx.ops.notify(in_words(error)[0], variant="error")

    return event


class SwathPanel(foo.Panel):  # type: ignore[misc]
    """swath's panel in the grid, and beside an open scene."""

    @property
    def config(self) -> Any:
        return foo.PanelConfig(
            name=PANEL,
            label="swath",
            icon="grass",
            help_markdown="Where the loop stands, and what is next",
            surfaces="grid modal",
        )

    # ------------------------------------------------------------------ events

    @in_panel
    def on_load(self, ctx: Any) -> None:
        if ctx.dataset is not None:  # else `render` says so
            _READ.pop(name_of(ctx), None)

    @in_panel
    def on_change_dataset(self, ctx: Any) -> None:
        self.on_load(ctx)

    @in_panel
    def on_change_current_sample(self, ctx: Any) -> None:
        """A work set says what is known of the scene that is open."""

    @in_panel
    def on_change_selected(self, ctx: Any) -> None:
        """A work set has buttons for the scenes that are selected."""

    @in_panel
    def on_unload(self, ctx: Any) -> None:
        OPEN.pop(name_of(ctx), None)

    @in_panel
    def refresh(self, ctx: Any) -> None:
        _READ.pop(name_of(ctx), None)

    @in_panel
    def choose_tab(self, ctx: Any) -> None:
        ctx.panel.set_state("tab", ctx.params.get("value") or ctx.params.get("tab") or "loop")

    @in_panel
    def tick(self, ctx: Any) -> None:
        """Looks whether the step has ended; what it wrote is shown in the grid too."""
        loop = loop_of(ctx)
        jobs = jobs_of(loop)
        job = jobs.last()
        if job is None or jobs.running() is not None or ctx.panel.get_state("seen") == job.key:
            return
        ctx.panel.set_state("seen", job.key)
        if not job.is_dry:
            ctx.ops.reload_dataset()

    @in_panel
    def forget(self, ctx: Any) -> None:
        jobs_of(loop_of(ctx)).forget()

    @in_panel
    def interrupt(self, ctx: Any) -> None:
        jobs_of(loop_of(ctx)).interrupt()

    @in_panel
    def show_keys(self, ctx: Any) -> None:
        """Scenes in the grid: those of the button's parameters, or the row's of a table."""
        loop = loop_of(ctx)
        show(ctx, loop, list(ctx.params.get("keys") or ()))

    @in_panel
    def show_row(self, ctx: Any) -> None:
        """The scenes of a row that was clicked."""
        loop = loop_of(ctx)
        table, row = str(ctx.params.get("path") or "").split(".")[-1], int(ctx.params["row"])
        found = keys_by_row(read(loop), proposed_keys(jobs_of(loop)), table)
        if 0 <= row < len(found):  # the head of a table is row -1
            show(ctx, loop, found[row])

    @in_panel
    def show_all(self, ctx: Any) -> None:
        ctx.ops.clear_view()

    @in_panel
    def mark(self, ctx: Any) -> None:
        """Marks the scene that is open, and goes on to the next that waits; where none is open, those that are selected."""
        what = None if ctx.params["what"] == "none" else str(ctx.params["what"])
        put(ctx, ctx.dataset, what)
        if not ctx.current_sample:
            ctx.ops.clear_selected_samples()
        elif what is not None:
            go_on(ctx, ctx.dataset, str(ctx.current_sample))

    @in_panel
    def next_waiting(self, ctx: Any) -> None:
        now = contents.at_hand(ctx.dataset, ctx.current_sample)
        go_on(ctx, ctx.dataset, now.task if now else None)

    # ------------------------------------------------------------------ what is drawn

    def render(self, ctx: Any) -> Any:
        panel = types.Object()
        if ctx.params.get("__method__") == "on_unload":
            return types.Property(panel)
        try:
            name_of(ctx)  # there is a dataset
            labelling = contents.labelling(ctx.dataset)
            if labelling is not None:
                self._work(ctx, panel, labelling)
            else:
                self._loop(ctx, panel)
        except Exception as error:
            line, ways = in_words(error)
            panel.view("wrong", types.Error(label=line))
            if ways:
                panel.md(_listed(ways), name="wrong_ways")
            panel.btn("again", label="Look again", on_click=self.refresh, variant="outlined")
        return types.Property(panel, view=types.GridView(gap=1.5, pad_x=2, pad_y=1.5))

    # ------------------------------------------------------------------ a loop

    def _loop(self, ctx: Any, panel: types.Object) -> None:
        loop = loop_of(ctx)
        shown = read(loop)
        jobs = jobs_of(loop)
        running = jobs.running()
        self._next(panel, shown, running)
        self._job(ctx, panel, jobs, running)
        tab = str(ctx.panel.get_state("tab") or "loop")
        OPEN[loop.name] = (str(ctx.panel.id), tab)
        tabs = types.TabsView(variant="fullWidth")
        for name, label in TABS:
            tabs.add_choice(name, label=label)
        panel.enum("tab", [name for name, _ in TABS], view=tabs, default=tab, on_change=self.choose_tab)
        {
            "loop": self._where,
            "batch": self._batch,
            "failures": self._failures,
            "honest": self._honest,
        }.get(tab, self._where)(ctx, panel, shown)
        panel.view("timer", types.TimerView(interval=SOON if running else LATER, on_interval=self.tick))

    def _next(self, panel: types.Object, shown: Shown, running: Job | None) -> None:
        plan = shown.next
        panel.md(
            f"##### {shown.status.dataset}\n\n**Next: {plan.step or 'nothing'}** — {_plain(plan.why)}",
            name="next",
        )
        row = panel.h_stack("steps", gap=1, align_y="center")
        if running is None:
            row.btn(
                "go",
                label=label_for(plan.step, plan.people),
                on_click=uri(operator_for(plan.step, plan.people)),
                prompt=True,
                variant="contained",
            )
        row.btn("refresh", label="Look again", on_click=self.refresh, variant="outlined", icon="refresh")
        row.btn(
            "explain", label="Explain a scene", on_click=uri("explain_scene"), prompt=True, variant="outlined"
        )
        for i, name in enumerate(shown.work_sets):
            row.md(_leads(f"Label in {name}", name), name=f"label_{i}")
        if plan.people and shown.ways and running is None:
            panel.md("In a terminal:\n" + _listed(shown.ways), name="ways")
        if shown.status.held_by and running is None:
            panel.view(
                "held", types.Warning(label=f"{shown.status.dataset} is held by {shown.status.held_by}")
            )

    def _job(self, ctx: Any, panel: types.Object, jobs: Jobs, running: Job | None) -> None:
        if running is not None:
            progress = jobs.progress()
            share = progress.done / progress.of if progress.of and progress.done is not None else None
            panel.md(
                f"**{running.step}** runs since {running.begun}. {_plain(progress.text)}", name="running"
            )
            if share is not None:
                panel.float("share", default=share, view=types.ProgressView(label=" "))
                ctx.panel.set_data("share", share)
            panel.btn("interrupt", label="Interrupt it", on_click=self.interrupt, variant="outlined")
            return
        job, outcome = jobs.last(), jobs.outcome()
        if job is None or outcome is None:
            return
        if outcome.failed:
            panel.view("outcome", types.Error(label=f"{job.step}: {outcome.error}"))
            if outcome.more or outcome.ways:
                panel.md("\n".join([*outcome.more, "", _listed(outcome.ways)]), name="outcome_ways")
        elif (batch := dry_run(jobs)) is not None:
            self._proposed(ctx, panel, batch)
            return
        else:
            panel.view(
                "outcome",
                types.Success(label="The step has ended" if job.step == "next" else f"{job.step} ended"),
            )
            panel.md(as_markdown(outcome.text), name="said")
        panel.btn("forget", label="Dismiss", on_click=self.forget, variant="outlined")

    def _proposed(self, ctx: Any, panel: types.Object, batch: dict[str, Any]) -> None:
        keys = [one["key"] for one in batch["scenes"]]
        panel.view(
            "proposal",
            types.Notice(
                label=f"{batch['round']} would be {batch['size']} scenes: {batch['coverage']} for coverage, {batch['targeted']} "
                f"targeted; {batch['golden']} golden scenes go along blind. Nothing is written yet."
            ),
        )
        row = panel.h_stack("proposal_buttons", gap=1)
        row.btn("commit", label="Commit it", on_click=uri("commit_batch"), prompt=True, variant="contained")
        row.btn(
            "see",
            label="Show it in the grid",
            on_click=self.show_keys,
            params={"keys": keys},
            variant="outlined",
        )
        row.btn("drop", label="Drop it", on_click=self.forget, variant="outlined")
        if batch["notes"]:
            panel.md("\n".join(f"- {_plain(one)}" for one in batch["notes"]), name="proposal_notes")
        rows = [
            {"key": one["key"], "stream": f"{one['stream']} {one['rank']}", "reason": one["reason"]}
            for one in batch["scenes"][: contents.ROWS]
        ]
        self._table(
            ctx, panel, "proposed", rows, {"key": "scene", "stream": "stream", "reason": "why"}, len(keys)
        )

    def _where(self, ctx: Any, panel: types.Object, shown: Shown) -> None:
        status = shown.status
        if status.splits:
            sizes = ", ".join(f"{n} {name}" for name, n in status.splits.items())
            of = status.pool
            panel.md(
                f"**{status.scenes} scenes**: {sizes}. The pool: {of.annotated} annotated, {of.selected} selected, "
                f"{of.unlabeled} unlabeled of {of.total}.",
                name="scenes",
            )
            self._plot(panel, "pool", plots.pool(status))
        else:
            panel.md(f"**{status.scenes} scenes**, not split yet.", name="scenes")
        if status.rounds:
            columns = {
                "round": "round",
                "state": "state",
                "batch": "annotated",
                "map50": "mAP50",
                "golden": "golden",
            }
            self._table(
                ctx, panel, "rounds", contents.round_rows(shown), columns, len(status.rounds), "the batch"
            )
        if shown.curve:
            panel.md(
                f"**Is it getting better?** {contents.last_figures(shown)}; bars are 95 % intervals.",
                name="better",
            )
            self._plot(panel, "curve", plots.curve(shown.curve))

    def _batch(self, ctx: Any, panel: types.Object, shown: Shown) -> None:
        batch = shown.batch
        if batch is None:
            panel.md("No batch was chosen yet.", name="none")
            return
        size = batch.size
        panel.md(
            f"**{batch.round}** is {batch.state}: {size.size} scenes of a budget of {size.budget}, {size.coverage} for "
            f"coverage, {size.targeted} targeted; {batch.golden} golden scenes go along blind.",
            name="batch_head",
        )
        row = panel.h_stack("batch_buttons", gap=1)
        keys = [one.choice.key for one in batch.scenes]
        row.btn(
            "see_batch",
            label="Show it in the grid",
            on_click=self.show_keys,
            params={"keys": keys},
            variant="outlined",
        )
        row.btn("see_all", label="Show all scenes", on_click=self.show_all, variant="outlined")
        row.btn("change", label="Change it", on_click=uri("change_round"), prompt=True, variant="outlined")
        if batch.notes:
            panel.md("\n".join(f"- {_plain(one)}" for one in batch.notes), name="batch_notes")
        columns = {"key": "scene", "stream": "stream", "reason": "why"}
        self._table(ctx, panel, "scenes_of_batch", contents.batch_rows(batch), columns, len(keys))

    def _failures(self, ctx: Any, panel: types.Object, shown: Shown) -> None:
        if shown.failed is None:
            panel.md("No model was evaluated yet.", name="none")
            return
        panel.md(
            f"**{shown.failing} of {shown.looked_at} val scenes** hold an error of the model of {shown.failed}; "
            f"{len(shown.failures)} are worth a look.",
            name="failing",
        )
        row = panel.h_stack("failure_buttons", gap=1)
        keys = [one.key for one in shown.failures]
        row.btn(
            "see_failures",
            label="Show them in the grid",
            on_click=self.show_keys,
            params={"keys": keys},
            variant="outlined",
        )
        row.btn("see_all", label="Show all scenes", on_click=self.show_all, variant="outlined")
        self._table(
            ctx,
            panel,
            "modes",
            contents.mode_rows(shown.modes),
            {"what": "how it fails", "objects": "objects", "scenes": "scenes"},
            len(shown.modes),
            "the scenes",
        )
        self._table(
            ctx,
            panel,
            "failures",
            contents.failure_rows(shown.failures),
            {"key": "scene", "missed": "missed", "false": "false"},
            len(shown.failures),
        )

    def _honest(self, ctx: Any, panel: types.Object, shown: Shown) -> None:
        if not shown.golden:
            panel.md("No golden check was done yet.", name="none")
            return
        for checked in shown.golden:
            word = f" (passed over: {_plain(checked.override)})" if checked.override else ""
            box = {"pass": types.Success, "block": types.Error}.get(checked.verdict, types.Warning)
            panel.view(
                f"verdict_{checked.round}",
                box(label=f"{checked.round}: {checked.verdict}{word}; {checked.scenes} golden scenes"),
            )
            if checked.reasons:
                panel.md(
                    "\n".join(f"- {_plain(one)}" for one in checked.reasons), name=f"why_{checked.round}"
                )
        last = shown.golden[0]
        columns = {
            "axis": "error",
            "errors": "seen",
            "rate": "rate",
            "interval": "95 % interval",
            "accepted": "accepted",
        }
        rows = contents.golden_rows(last)
        panel.md(f"**{last.round}**, blind labels against the reference:", name="axes_head")
        self._table(ctx, panel, "axes", rows, columns, len(rows), click=False)

    # ------------------------------------------------------------------ a work set

    def _work(self, ctx: Any, panel: types.Object, labelling: Labelling) -> None:
        panel.md(
            f"##### {labelling.batch} of {labelling.loop}\n\n**{labelling.done} of {labelling.scenes} scenes** have an answer, "
            f"{len(labelling.waits)} wait.",
            name="head",
        )
        self._plot(panel, "work", plots.work(labelling))
        if labelling.torn:
            panel.view(
                "torn",
                types.Warning(
                    label=f"{labelling.torn} scenes are marked as skipped and as something else: they wait"
                ),
            )
        now = contents.at_hand(ctx.dataset, ctx.current_sample)
        if now is not None:
            self._at_hand(panel, now)
        elif ctx.selected:
            panel.md(f"**{len(ctx.selected):,} selected.** Mark them:", name="selected")
            self._marks(panel, marked=True)
        row = panel.h_stack("go_on", gap=1)
        if labelling.waits:
            row.btn(
                "next_one",
                label="Next scene that waits",
                on_click=self.next_waiting,
                variant="contained",
                icon="arrow_forward",
            )
        row.btn("refresh", label="Look again", on_click=self.on_load, variant="outlined", icon="refresh")
        row.md(_leads(f"To {labelling.loop}", labelling.loop), name="to_loop")
        if not labelling.waits:
            how = command("fetch", labelling.loop)
            panel.view("all_done", types.Success(label="Every scene has an answer."))
            panel.md(
                f"What is drawn here is safe once it is fetched: `{how}`, or the button in the dataset of the loop.",
                name="fetch",
            )
        panel.view("timer", types.TimerView(interval=LATER, on_interval=self.refresh))  # what is drawn counts

    def _at_hand(self, panel: types.Object, now: AtHand) -> None:
        drawn = ", ".join(f"{n} on {name}" for name, n in now.labels.items())
        said = f"marked: **{now.said}**" if now.said else ("it waits" if now.waits else "labelled")
        panel.md(f"Open: `{now.task}`, {said}. Labels: {drawn}.", name="at_hand")
        self._marks(panel, marked=now.said is not None)

    def _marks(self, panel: types.Object, marked: bool) -> None:
        """Buttons that mark what is open or selected; `marked`: there may be a mark to take away."""
        row = panel.h_stack("marks", gap=1)
        for what, label, icon in (
            ("done", "Done", "done"),
            ("empty", "Empty", "check_box_outline_blank"),
            ("skip", "Skip", "skip_next"),
        ):
            row.btn(
                what, label=label, on_click=self.mark, params={"what": what}, variant="outlined", icon=icon
            )
        if marked:
            row.btn(
                "unmark",
                label="Take the mark away",
                on_click=self.mark,
                params={"what": "none"},
                variant="outlined",
            )

    # ------------------------------------------------------------------ parts

    def _plot(self, panel: types.Object, name: str, made: plots.Plot) -> None:
        size = made["layout"]
        panel.plot(
            name,
            data=made["data"],
            layout=size,
            config=made["config"],
            width=f"{size['width']}px",
            height=f"{size['height']}px",
        )

    def _table(
        self,
        ctx: Any,
        panel: types.Object,
        name: str,
        rows: list[contents.Row],
        columns: dict[str, str],
        of: int,
        what: str = "the scene",
        click: bool = True,
    ) -> None:
        """Rows; a click shows `what` in the grid."""
        asked = {"on_click_row": uri_of(self, "show_row")} if click else {}
        view = types.TableView(componentsProps=NARROW, **asked)
        for key, label in columns.items():
            view.add_column(key, label=label)
        panel.list(name, types.Object(), view=view)
        ctx.panel.set_data(name, rows)
        hint = f"A click shows {what} in the grid." if click and rows else ""
        more = f"{len(rows)} of {of} are listed. " if len(rows) < of else ""
        if hint or more:
            panel.md(f"*{more}{hint}*", name=f"{name}_hint")


def uri_of(panel: SwathPanel, method: str) -> str:
    return str(panel.method_to_uri(method))


def read(loop: Loop) -> Shown:
    """What is known of a loop; read again when its journal has changed."""
    there = _READ.get(loop.name)
    if there is None or there.stamp != contents.stamp(loop):
        there = _READ[loop.name] = contents.gather(loop)
    return there


def proposed_keys(jobs: Jobs) -> list[str]:
    found = dry_run(jobs)
    return [one["key"] for one in found["scenes"]] if found else []


def keys_by_row(shown: Shown, proposed: list[str], table: str) -> list[list[str]]:
    """The scenes of each row of a table."""
    if table == "modes":
        return [list(one.keys) for one in shown.modes]
    if table == "rounds":
        return [[f"batch_{one.round}"] for one in shown.status.rounds]
    if table == "proposed":
        return [[key] for key in proposed]
    if table == "scenes_of_batch":
        return [[one.choice.key] for one in shown.batch.scenes] if shown.batch else []
    return [[one.key] for one in shown.failures]


def show(ctx: Any, loop: Loop, keys: list[str]) -> None:
    """Scenes in the grid, by id: grouped, whatever slice is active. `batch_vN` is a saved view."""
    if len(keys) == 1 and keys[0].startswith("batch_"):
        ctx.ops.set_view(name=keys[0])
        return
    ctx.ops.set_view(view=loop.workspace.scenes.view(keys))


def _plain(text: str) -> str:
    """As markdown that shows it as it is."""
    return text.replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")


def _leads(text: str, dataset: str) -> str:
    """A link to another dataset. It loads the page anew: where FiftyOne's own operator changes the dataset, an open scene keeps the
    sidebar of the one before, in which no field of labels is on, and nothing can be drawn."""
    return f"[{_plain(text)}](./{quote(dataset, safe='')})"


def _listed(commands: tuple[str, ...]) -> str:
    return "\n".join(f"- `{one}`" for one in commands)


ALL = (SwathPanel,)
