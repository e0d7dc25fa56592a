"""Operators on a loop: one for every step that a person triggers. Each begins the command of the same name."""

from __future__ import annotations

from typing import Any, Final

import fiftyone.operators.types as types

from swath import life, show
from swath.errors import ConfigError, StateError, WaitingError
from swath.loop import Loop
from swath.plugin import _forms
from swath.plugin._forms import PANEL, Params, begin, confirmed, is_sure, loop_of, notice
from swath.plugin.contents import keys_of, stamp
from swath.plugin.jobs import dry_run
from swath.steps.reference import offered
from swath.suggest import ways_on

OF_STEP: Final = {
    "select": "choose_batch",
    "send": "send_batch",
    "fetch": "fetch_labels",
    "reference": "reference",
}
"""Steps with a form of their own; the others are done by `next_step`."""


def operator_for(step: str | None, people: bool) -> str:
    """The operator whose form leads on from where a loop stands."""
    if step is None:
        return "choose_batch"
    if step == "golden" and people:
        return "override_golden"
    if step == "reference" and not people:
        return "next_step"
    return OF_STEP.get(step, "next_step")


def label_for(step: str | None, people: bool) -> str:
    """What the button of that operator says."""
    if step is None:
        return "Choose another batch all the same"
    words = {
        "select": "Choose the next batch",
        "send": "Send the batch",
        "fetch": "Fetch labels",
        "reference": "Take in the reference",
        "golden": "Go on despite the golden check" if people else "Do golden",
    }
    return words.get(step, f"Do {step}")


class NextStep(_forms.Operator):
    name_ = "next_step"
    label = "do the next step"
    description = "Does the step that is next, and says why it is"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        loop = loop_of(ctx)
        plan = loop.plan()
        if plan.step is None or plan.people:
            raise WaitingError(plan.why, loop.ways_on(plan))
        inputs.md(f"**{plan.step}** of `{loop.name}`: {plan.why}", name="plan")
        if plan.step == "select":
            notice(
                inputs,
                "dry",
                "This commits the batch at once. To look at it first: `swath: choose the next batch`.",
                view=types.Notice,
            )

    def act(self, ctx: Any) -> Params:
        return begin(ctx, loop_of(ctx), "next")


class ChooseBatch(_forms.Operator):
    name_ = "choose_batch"
    label = "choose the next batch"
    description = (
        "Chooses the next batch and shows it with its reasons; nothing is written until it is committed"
    )
    submit = "Show me the batch"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        loop = loop_of(ctx)
        batches = loop.workspace.journal.batches.all()
        life.may_select(batches, anyway=True, dataset=loop.name)
        plan = loop.plan()
        if plan.step not in ("select", None):
            raise StateError(f"{plan.step} is next: {plan.why}", loop.ways_on(plan))
        inputs.md("Nothing is written yet: the batch is shown first, then committed or not.", name="dry")
        inputs.int(
            "budget",
            min=1,
            label="Scenes",
            description="As many as this; empty: the share that is configured",
            required=False,
        )
        inputs.str(
            "exclude",
            label="Scenes to keep out",
            description="Their keys, separated by commas",
            required=False,
        )
        if selected := keys_of(loop, ctx.selected):
            inputs.bool(
                "exclude_selected",
                label=f"Keep out the scenes that are selected in the grid ({len(selected)})",
                default=False,
            )
        if plan.step is None:
            notice(inputs, "stopped", plan.why, view=types.Warning)
            inputs.bool("anyway", label="Go on all the same", default=False)

    def act(self, ctx: Any) -> Params:
        loop = loop_of(ctx)
        return begin(ctx, loop, "select", *chosen(loop, ctx), "--dry-run", "--json")


def chosen(loop: Loop, ctx: Any) -> list[str]:
    """The options of `select` that a form gives."""
    params = ctx.params
    exclude = [one.strip() for one in str(params.get("exclude") or "").split(",") if one.strip()]
    if params.get("exclude_selected"):
        exclude += keys_of(loop, ctx.selected)
    options = [part for key in dict.fromkeys(exclude) for part in ("--exclude", key)]
    if params.get("budget") is not None:
        options += ["--budget", str(int(params["budget"]))]
    return [*options, *(["--anyway"] if params.get("anyway") else [])]


class CommitBatch(_forms.Operator):
    name_ = "commit_batch"
    label = "commit the batch that is shown"
    description = "Commits the batch that was shown: its scenes are set aside for annotators"
    submit = "Commit"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        loop = loop_of(ctx)
        shown = proposed(loop)
        inputs.md(
            f"**{shown['round']}: {shown['size']} scenes**, {shown['coverage']} for coverage and {shown['targeted']} targeted; "
            f"{shown['golden']} golden scenes go along blind.\n\n"
            "It can be cancelled before its model is trained; that is recorded, and its number stays taken.",
            name="what",
        )

    def act(self, ctx: Any) -> Params:
        loop = loop_of(ctx)
        proposed(loop)
        job = _forms.jobs_of(loop).last()
        assert job is not None
        return begin(ctx, loop, *(one for one in job.arguments if one not in ("--dry-run", "--json")))


def proposed(loop: Loop) -> Params:
    """The batch that was shown last, as `select --dry-run --json` gives it; `StateError` where there is none that still holds."""
    jobs = _forms.jobs_of(loop)
    job, found = jobs.last(), dry_run(jobs)
    if job is None or found is None:
        raise StateError("no batch is shown that could be committed; choose one first")
    if job.stamp != stamp(loop):
        raise StateError(f"the loop has moved on since {job.begun}, when the batch was chosen; choose again")
    return found


class Reference(_forms.Operator):
    name_ = "reference"
    label = "take in the reference"
    description = "The careful labels of val and golden (of test, before its final evaluation)"
    dynamic = True
    submit = "Take in"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        loop = loop_of(ctx)
        ways = types.RadioGroup()
        ways.add_choice("field", label="From a field of the dataset")
        ways.add_choice("annotator", label="Ask the annotator")
        inputs.enum("how", ways.values(), view=ways, default="field", label="Where they are", required=True)
        if ctx.params.get("how", "field") == "field":
            fields = types.DropdownView()
            for name in offered(loop.workspace, final=bool(ctx.params.get("final"))):
                fields.add_choice(name, label=name)
            if not fields.values():
                raise StateError(f"{loop.name} has no field of labels besides swath's own")
            inputs.enum("field", fields.values(), view=fields, label="Field", required=True)
            inputs.enum(
                "also",
                fields.values(),
                view=fields,
                label="And, where a scene has none there, from",
                description="Boxes and cuboids are often in different fields",
                required=False,
            )
        else:
            whom(loop, inputs, ctx)
        inputs.bool("final", label="Of test, for its final evaluation", default=False)

    def act(self, ctx: Any) -> Params:
        loop = loop_of(ctx)
        final = ["--final"] if ctx.params.get("final") else []
        if ctx.params.get("how", "field") == "field":
            field = str(ctx.params.get("field") or "")
            if not field:
                raise ConfigError("choose a field to take the labels from")
            fields = dict.fromkeys([field, *filter(None, [ctx.params.get("also")])])
            return begin(
                ctx, loop, "reference", *(part for one in fields for part in ("--from", str(one))), *final
            )
        return begin(ctx, loop, "reference", *annotator_options(ctx), *final)


def whom(loop: Loop, inputs: types.Object, ctx: Any) -> None:
    """Who labels: the fields of a form."""
    from typing import get_args

    from swath.config import Annotate

    allowed = [
        one
        for part in get_args(Annotate.model_fields["annotator"].annotation)
        for one in get_args(part)
        if isinstance(one, str)
    ]
    now = loop.workspace.config.annotate
    words = {
        "files": "people, with files in a folder",
        "simulated": "the simulation (hidden truth)",
        "app": "people, in this App",
    }
    names = types.DropdownView()
    for name in allowed:
        names.add_choice(name, label=words.get(name, name))
    inputs.enum("annotator", allowed, view=names, label="Annotator", default=now.annotator, required=True)
    if ctx.params.get("annotator", now.annotator) == "files":
        inputs.str(
            "folder",
            label="Folder",
            description="On the machine where the App runs",
            default=str(now.folder) if now.folder else None,
            required=True,
        )


def annotator_options(ctx: Any) -> list[str]:
    options = []
    if name := ctx.params.get("annotator"):
        options += ["--annotator", str(name)]
        if name == "files" and ctx.params.get("folder"):
            options += ["--folder", str(ctx.params["folder"]).strip()]
    return options


class SendBatch(_forms.Operator):
    name_ = "send_batch"
    label = "send the batch"
    description = "Hands the open batch to annotators, golden scenes mixed in"
    dynamic = True
    submit = "Send"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        loop = loop_of(ctx)
        batch = life.open_batch(loop.workspace.journal.batches.all(), loop.name)
        inputs.md(
            f"**{batch.size.size} scenes of {batch.round}**, it is {batch.state}. Sending twice does no harm.",
            name="what",
        )
        whom(loop, inputs, ctx)

    def act(self, ctx: Any) -> Params:
        return begin(ctx, loop_of(ctx), "send", *annotator_options(ctx))


class FetchLabels(_forms.Operator):
    name_ = "fetch_labels"
    label = "fetch labels"
    description = "Takes in what annotators answered so far"
    submit = "Fetch"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        loop = loop_of(ctx)
        journal = loop.workspace.journal
        batch = life.to_fetch(journal.batches.all(), loop.name)
        waiting = journal.assignments.waiting(batch.round)
        inputs.md(
            f"**{batch.round}** is {batch.state}; {waiting} of its scenes wait. Fetching twice does no harm.",
            name="what",
        )
        inputs.bool(
            "accept_partial",
            label="Take scenes without their labels in quarantine",
            description="Labels that cannot be right are left out for good, and their scenes count as labelled",
            default=False,
        )
        whose = types.RadioGroup()
        whose.add_choice("ask", label="Say so, and decide nothing")
        whose.add_choice("mine", label="Keep what was edited by hand")
        whose.add_choice("theirs", label="Take the annotators' labels over the edits")
        inputs.enum(
            "edits",
            whose.values(),
            view=whose,
            default="ask",
            label="Where a scene was edited by hand, and by its annotators too",
        )

    def act(self, ctx: Any) -> Params:
        edits = str(ctx.params.get("edits") or "ask")
        options = [f"--{edits}"] if edits in ("mine", "theirs") else []
        partial = ["--accept-partial"] if ctx.params.get("accept_partial") else []
        return begin(ctx, loop_of(ctx), "fetch", *partial, *options)


class OverrideGolden(_forms.Operator):
    name_ = "override_golden"
    label = "go on despite the golden check"
    description = "A round whose golden check blocks goes on all the same, for a reason that is recorded"
    submit = "Go on all the same"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        loop = loop_of(ctx)
        held = life.standing(loop.workspace.journal.batches.all())
        checked = held[-1].steps.golden if held else None
        if checked is None or not checked.holds or held[-1].state != "labeled":
            raise StateError("no golden check holds this loop: there is nothing to pass over")
        notice(inputs, "blocks", f"The golden check of {checked.round} blocks.", view=types.Warning)
        inputs.md("\n".join(f"- {one}" for one in checked.reasons), name="reasons")
        others = [one for one in ways_on("golden", True, loop.name, checked.round) if "--override" not in one]
        inputs.md("Other ways on:\n" + "\n".join(f"- `{one}`" for one in others), name="others")
        inputs.str(
            "reason",
            label="Why you go on",
            description="Recorded with the round, and shown in the report",
            required=True,
        )
        confirmed(inputs, "This cannot be taken back once the model is trained")

    def act(self, ctx: Any) -> Params:
        is_sure(ctx)
        reason = str(ctx.params.get("reason") or "").strip()
        if not reason:
            raise ConfigError("say why you go on: the reason is recorded")
        return begin(ctx, loop_of(ctx), "golden", "--override", reason)


class ChangeRound(_forms.Operator):
    name_ = "change_round"
    label = "cancel, reopen or close a round"
    description = "For a change of mind before the model of a round is trained"
    submit = "Do it"
    MEANS = (
        ("reopen", "Have it labelled again, golden scenes too"),
        ("cancel", "Cancel it: scenes without labels go back to the pool"),
        ("close", "End the wait: what was not labelled goes back to the pool"),
    )

    def form(self, ctx: Any, inputs: types.Object) -> None:
        loop = loop_of(ctx)
        batches = loop.workspace.journal.batches.all()
        there = [one for one in batches if one.state in life.MOVES["cancel"].before]
        if not there:
            raise StateError("no round is open that could be cancelled, reopened or closed")
        names = types.DropdownView()
        for one in reversed(there):
            names.add_choice(one.round, label=f"{one.round}: {one.state}")
        inputs.enum(
            "round", names.values(), view=names, default=there[-1].round, label="Round", required=True
        )
        means = types.RadioGroup()
        for name, label in self.MEANS:
            means.add_choice(name, label=label)
        inputs.enum("what", means.values(), view=means, label="What to do", required=True)
        inputs.str("reason", label="Why", description="Recorded", required=True)
        confirmed(inputs, "I mean it: this is recorded and cannot be taken back")

    def act(self, ctx: Any) -> Params:
        is_sure(ctx)
        what, name = str(ctx.params.get("what")), str(ctx.params.get("round"))
        reason = str(ctx.params.get("reason") or "").strip()
        if not reason:
            raise ConfigError("say why: the reason is recorded")
        missing = ["--return-missing"] if what == "close" else []
        return begin(ctx, loop_of(ctx), "round", what, name, *missing, "--reason", reason)


class ExplainScene(_forms.Operator):
    name_ = "explain_scene"
    label = "explain a scene"
    description = "Why a scene is where it is: split, rounds, stream, rank, score, the failure it answers"
    submit = "Explain"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        loop = loop_of(ctx)
        there = [ctx.current_sample] if ctx.current_sample else ctx.selected
        keys = keys_of(loop, there)
        inputs.str(
            "scene",
            label="Scene",
            description="Its key, or its FiftyOne id; open or select one to have it filled in",
            default=keys[0] if keys else None,
            required=True,
        )

    def act(self, ctx: Any) -> Params:
        return {"text": show.told(loop_of(ctx).explain(str(ctx.params.get("scene") or "").strip()))}

    def resolve_output(self, ctx: Any) -> Any:
        said = ctx.results or {}
        if "text" not in said:
            return super().resolve_output(ctx)
        outputs = types.Object()
        outputs.md(as_markdown(said["text"]), name="text")
        return types.Property(outputs, view=types.View(label="Why this scene"))


def as_markdown(text: str) -> str:
    """What the command line says, line for line."""
    out = []
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        escaped = line.strip().replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
        if line.strip():
            out.append(f"{'    ' * depth}- {escaped}")
    return "\n".join(out)


class OpenSwath(_forms.Operator):
    name_ = "open_swath"
    label = "open the panel"
    description = "Where the loop stands, and what is next"

    def resolve_input(self, ctx: Any) -> Any:
        return None

    def resolve_placement(self, ctx: Any) -> Any:
        return types.Placement(
            types.Places.SAMPLES_GRID_SECONDARY_ACTIONS,
            types.Button(label="swath: where the loop stands", icon="grass", prompt=False),
        )

    def act(self, ctx: Any) -> Params:
        ctx.ops.open_panel(PANEL, layout="horizontal", is_active=True)
        return {}


ALL = (
    OpenSwath,
    NextStep,
    ChooseBatch,
    CommitBatch,
    Reference,
    SendBatch,
    FetchLabels,
    OverrideGolden,
    ChangeRound,
    ExplainScene,
)
