"""The command line. A command parses, calls one method of `Loop`, and gives back what came of it; `on_loop` (`commands`) does
the rest.

Exit codes: 0 done, 1 a user's mistake (one line), 2 usage, 3 waits for people, is blocked, or differs, 4 a defect,
130 interrupted. With `--json` one object goes to stdout, errors too, and everything else, progress bars and other libraries'
prints included, to stderr.
"""

# Annotations are evaluated here (no `from __future__ import annotations`): typer reads options from them.

import signal
import sys
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from swath.commands import (
    DATASET,
    LABELLING,
    LOOK,
    START,
    STEP,
    Config,
    Encoder,
    Home,
    Interrupted,
    Json,
    Out,
    Reason,
    Round,
    Show,
    alone,
    app,
    changes_of,
    from_environment,
    on_loop,
    plugin_app,
    rounds_app,
    the_dataset,
)
from swath.errors import ConfigError, SwathError

if TYPE_CHECKING:
    from swath.demo import DemoResult
    from swath.loop import Loop
    from swath.records.backtest import BacktestResult
    from swath.records.batch import Checked, GoldenChecked, Stopped, Trained
    from swath.records.results import (
        AdjudicateResult,
        AdoptResult,
        BatchResult,
        EmbedResult,
        EvaluateResult,
        ExplainResult,
        FetchResult,
        GoldenPlan,
        InitResult,
        PluginResult,
        ReferenceResult,
        RepairResult,
        ReplayResult,
        RoundResult,
        SelectResult,
        SendResult,
        Settings,
        SplitResult,
        Standing,
        Status,
    )
    from swath.show import Bars, Did, Finished, Gated, MadeWorld, Ran, Reported, Selected

INTERRUPTED: Final = 130
PATHS: Final = {"--home", "--folder", "--config", "--to", "--kitti", "--rig"}  # options
TRAINING: Final = {
    "train",
    "next",
    "run",
    "demo",
    "backtest",
}  # commands that may be in the middle of a training


class Rig(str, Enum):
    """Sensors of a made world."""

    kitti = "kitti"
    surround = "surround"
    images = "images"
    cloud = "cloud"


def _print_version(asked: bool) -> None:
    if asked:
        from swath import __version__

        typer.echo(f"swath {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def swath(
    ctx: typer.Context,
    as_json: Json = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        from swath.loop import Loop

        ctx.obj.result(Loop.where(from_environment()), {})


# ---------------------------------------------------------------------- begin


@alone(START)
def demo(
    bars: "Bars",
    folder: Annotated[Path, typer.Option(help="Where the made folder, models and report go.")] = Path("demo"),
    scenes: Annotated[int, typer.Option(min=40, help="Scenes to make.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds to run.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the made world.")] = 0,
    scale: Annotated[float, typer.Option(min=0.1, max=1, help="Image size, as a share of KITTI's.")] = 0.5,
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="Name of the dataset; one of a former demo is replaced.")
    ] = "swath-demo",
    drift: Annotated[
        bool,
        typer.Option("--drift", help="A labeller who errs otherwise from v1 on: what swath does about it."),
    ] = False,
    config: Config = None,
) -> "DemoResult":
    """A made KITTI folder, then the whole loop on it, and a report."""
    from swath import show
    from swath.demo import run_demo

    sizes = {"scenes": scenes, "rounds": rounds, "seed": seed}
    return run_demo(
        folder,
        dataset,
        **sizes,
        scale=scale,
        drift=drift,
        changes=changes_of("demo", config),
        progress=bars,
        tell=show.step,
    )


@alone(START)
def world(
    bars: "Bars",
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
    rig: Annotated[
        Rig,
        typer.Option(help="Its sensors: KITTI's, six cameras and a cloud, cameras only, or a cloud only."),
    ] = Rig.kitti,
    scenes: Annotated[int, typer.Option(min=1, help="Scenes to make.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    scale: Annotated[float, typer.Option(min=0.1, max=1, help="Image size, as a share of KITTI's.")] = 0.5,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> "MadeWorld":
    """Only the made folder: images, LiDAR, exact labels, calibration."""
    from swath.show import MadeWorld
    from swath.worlds import make_world

    made = make_world(
        folder,
        rig=rig.value,
        scenes=scenes,
        seed=seed,
        scale=scale,
        workers=workers,
        progress=bars("make scenes"),
    )
    return MadeWorld(root=str(made.root), scenes=made.scenes, drives=made.drives, objects=made.objects)


@alone(START)
def init(
    bars: "Bars",
    name: Annotated[str, typer.Argument(help="Name of the dataset.")],
    kitti: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="KITTI object folder (training/image_2, ...).", show_default=False),
    ] = None,
    rig: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Rig folder: any cameras and clouds.", show_default=False),
    ] = None,
    fiftyone: Annotated[
        str | None, typer.Option(metavar="NAME", help="A FiftyOne dataset that exists.", show_default=False)
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Class map, comma separated.", show_default="KITTI's")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Damaged files are an error.")] = False,
    home: Home = None,
    config: Config = None,
) -> "InitResult":
    """Take scenes in: a KITTI folder, a rig folder, or a FiftyOne dataset. Again: adds what is new."""
    from swath.loop import Loop
    from swath.suggest import init as suggested

    if sum(one is not None for one in (kitti, rig, fiftyone)) != 1:
        raise typer.BadParameter("give one of --kitti DIR, --rig DIR and --fiftyone NAME")
    changes = changes_of("init", config, classes=classes)
    for folder, begin in ((kitti, Loop.init_kitti), (rig, Loop.init_rig)):
        if folder is not None:
            _, begun = begin(
                name, folder, changes=changes, home=home, strict=strict, progress=bars, held=bars.say
            )
            return begun
    if fiftyone is not None and fiftyone != name:
        Loop.may_init_fiftyone(fiftyone)
        how = suggested(fiftyone, "--fiftyone", fiftyone)
        raise ConfigError(f"init: a loop runs on the dataset itself: `{how}`")
    return Loop.init_fiftyone(name, changes=changes, home=home, progress=bars, held=bars.say)[1]


@alone(START)
def adopt(
    bars: "Bars",
    name: Annotated[str, typer.Argument(help="A FiftyOne dataset that was run by hand with the guide.")],
    fix: Annotated[
        bool, typer.Option("--fix", help="Make tags, status and views what the journal says.")
    ] = False,
    home: Home = None,
    config: Config = None,
) -> "AdoptResult":
    """Take over a loop that was run by hand; say what does not add up."""
    from swath.loop import Loop

    return Loop.adopt(name, changes=changes_of("adopt", config), home=home, fix=fix, progress=bars)[1]


# ---------------------------------------------------------------------- steps


@on_loop(STEP)
def split(loop: "Loop") -> "SplitResult":
    """Split by drive into test (frozen), val, golden and pool; audit for leaks."""
    return loop.split()


@on_loop(STEP, settings={"encoder": Encoder})
def embed(loop: "Loop") -> "EmbedResult":
    """Vectors for pool, val and golden: what is missing or stale."""
    return loop.embed()


@on_loop(STEP, settings=LABELLING)
def reference(
    loop: "Loop",
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="FIELD",
            help="Take over the labels of this field; may be given again (boxes, cuboids).",
            show_default=False,
        ),
    ] = None,
    final: Annotated[bool, typer.Option("--final", help="Test, before its final evaluation.")] = False,
    adjudicate: Annotated[
        bool, typer.Option("--adjudicate", help="What its two labellings see differently, with pictures.")
    ] = False,
    ask: Annotated[bool, typer.Option("--ask", help="With --adjudicate: ask for each, one by one.")] = False,
    decide: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY:N=CHOICE",
            help="With --adjudicate: a, b, mean or none; '*=a' for all that are open; or a file of such lines.",
            show_default=False,
        ),
    ] = None,
) -> "ReferenceResult | FetchResult | AdjudicateResult":
    """Careful labels of val and golden, once: from a field, or by the annotator."""
    if not adjudicate and (ask or decide):
        raise typer.BadParameter("--ask and --decide need --adjudicate")
    if adjudicate and (field or final):
        raise typer.BadParameter("--adjudicate goes with --ask and --decide only")
    if not adjudicate:
        return loop.reference(field or None, final=final)
    from swath.show import ask_each, decisions_of

    found = loop.adjudicate(decisions_of(decide or ()))
    return ask_each(found, loop.adjudicate) if ask else found


@on_loop(STEP)
def select(
    loop: "Loop",
    budget: Annotated[
        int | None, typer.Option(min=1, help="So many scenes, in place of a share.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the batch; write nothing.")] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Keep this scene out; may be given again.", show_default=False)
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Every scene with its reason and its picture's path.")
    ] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Go on after a decision to stop.")] = False,
) -> "SelectResult | Selected":
    """Choose the next batch: 30 % coverage, 70 % like the failures; exactly to budget."""
    from swath.show import Selected

    batch = loop.select(exclude=exclude or (), dry_run=dry_run, anyway=anyway, budget=budget)
    if not (explain or dry_run):
        return batch
    return Selected(batch=batch, pictures=loop.pictures([choice.key for choice in batch.scenes]))


@on_loop(STEP, settings=LABELLING)
def send(loop: "Loop") -> "SendResult":
    """Hand the open batch to annotators, golden scenes mixed in."""
    return loop.send()


@on_loop(STEP, settings=LABELLING)
def fetch(
    loop: "Loop",
    accept_partial: Annotated[
        bool, typer.Option("--accept-partial", help="Take scenes without their labels in quarantine.")
    ] = False,
    mine: Annotated[
        bool, typer.Option("--mine", help="Where both changed, keep what was edited by hand.")
    ] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="Take the annotators' labels over edits.")] = False,
) -> "FetchResult":
    """Take in what annotators answered so far."""
    if mine and theirs:
        raise typer.BadParameter("give one of --mine and --theirs")
    edits: Literal["mine", "theirs"] | None = "mine" if mine else "theirs" if theirs else None
    return loop.fetch(accept_partial=accept_partial, edits=edits)


class Gate(str, Enum):
    """Findings that `check` ends with 3 for."""

    error = "error"
    warning = "warning"


@on_loop(STEP)
def check(
    loop: "Loop",
    model: Annotated[
        bool, typer.Option("--model", help="Ask the model of the round before which labels it contradicts.")
    ] = False,
    gate: Annotated[
        Gate | None,
        typer.Option(help="Exit with 3 where there are errors (warning: or warnings).", show_default=False),
    ] = None,
) -> "Checked | Gated":
    """Labels that cannot be right: in 2D, in 3D, between the sensors."""
    from swath.show import Gated

    checked = loop.check(model=model)
    return checked if gate is None else Gated(checked=checked, gate=gate.value, dataset=loop.name)


@on_loop(STEP)
def golden(
    loop: "Loop",
    override: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Go on despite a block, for this reason.", show_default=False),
    ] = None,
    show: Show = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="How many golden scenes it takes to see what; checks nothing.")
    ] = False,
) -> "GoldenChecked | GoldenPlan":
    """Blind labels of the golden scenes against their reference: pass, warn or block."""
    if sum((show, plan, override is not None)) > 1:
        raise typer.BadParameter("give one of --show, --plan and --override")
    if plan:
        return loop.golden_plan()
    if show:
        return loop.last_golden()
    return loop.golden(override=override)


@on_loop(STEP)
def train(loop: "Loop") -> "Trained":
    """Train the round's model on the labelled pool."""
    return loop.train()


@on_loop(STEP)
def evaluate(
    loop: "Loop",
    final: Annotated[bool, typer.Option("--final", help="On test, whose reference must be there.")] = False,
    show: Show = False,
) -> "EvaluateResult":
    """Score the model on val and tag its failures."""
    return loop.last_evaluated(final=final) if show else loop.evaluate(final=final)


@on_loop(STEP)
def stop(loop: "Loop", show: Show = False) -> "Stopped":
    """Go on, or stop? With every criterion's number; closes the round."""
    return loop.last_stopped() if show else loop.stop()


# ---------------------------------------------------------------------- the loop


@on_loop(LOOK, "next", settings=LABELLING)
def next_(
    loop: "Loop",
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say which step is next, and why; write nothing.")
    ] = False,
) -> "Did | Finished | Standing":
    """Do the next step, and say why it is next."""
    from swath.show import Did, Finished

    standing = loop.standing()
    if plan:
        return standing
    if standing.next.step is None:
        return Finished(why=standing.next.why, ways=standing.ways)
    planned, came = loop.next()
    return Did(plan=planned, came=came)


@on_loop(LOOK, settings=LABELLING)
def run(
    loop: "Loop",
    rounds: Annotated[
        int, typer.Option(min=1, help="Until this many rounds are closed, those before included.")
    ] = 1,
    until: Annotated[str | None, typer.Option(help="Until this step was done.", show_default=False)] = None,
) -> "Ran":
    """Step after step, until the rounds are closed or people are needed."""
    from swath import show

    came = loop.run(rounds, until=until, tell=show.step)
    return show.Ran(steps=tuple(step for step, _ in came.done), waits=came.waits, status=loop.status())


@on_loop(LOOK, looks=True)
def status(loop: "Loop") -> "Status":
    """Where the loop stands, by scene, slice and round."""
    return loop.status()


@alone(LOOK, "config")
def config_(
    bars: "Bars",
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            envvar=DATASET,
            help="Of this dataset; else the defaults.",
            show_default=False,
        ),
    ] = None,
    assigned: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change a setting; may be given again.", show_default=False
        ),
    ] = None,
    config: Config = None,
) -> "Settings":
    """The settings in force, and where each comes from; changes them for the rounds that follow."""
    from swath.config import LoopConfig, merged, sources
    from swath.loop import Loop, settings_of
    from swath.settings import flat

    changes = changes_of("config", config, assigned=assigned or ())
    if dataset is None:
        default = LoopConfig()
        changed = merged(default, changes, "config")
        return settings_of(changed, sources({}, default, changed, changes, "config"))
    value = Loop.open(dataset, changes=changes, progress=bars, held=bars.say).configure()
    given = tuple(".".join(at) for at in flat(changes)) if changes else ()
    within = tuple(f"{one}." for one in given)
    names = (one.name for one in value.settings)
    asked = (one for one in names if one in value.kept or one in given or one.startswith(within))
    return value.with_(asked=tuple(asked))


@on_loop(LOOK, looks=True)
def batch(loop: "Loop", name: Round) -> "BatchResult":
    """A committed batch: its scenes, why each was chosen, what became of it, where its picture is."""
    return loop.batch(name)


@on_loop(LOOK, looks=True)
def report(
    loop: "Loop",
    to: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="report.html in the dataset's folder")
    ] = None,
) -> "Reported":
    """One self-contained HTML file: rounds, batches with reasons, failures with pictures."""
    from swath.show import Reported

    return Reported(report=str(loop.report(to)))


@on_loop(LOOK, looks=True)
def backtest(
    loop: "Loop",
    field: Annotated[
        list[str],
        typer.Option(
            "--from", metavar="FIELD", help="Labels that are there; may be given again (boxes, cuboids)."
        ),
    ],
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help="coverage, targeted, hybrid, guide, least, entropy, flips, oracle or module:function; may be given again.",
            show_default="coverage, targeted, hybrid",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repeats, each with its own held-out drives.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Batches that each arm labels.")] = 4,
    budget: Annotated[
        int | None, typer.Option(min=1, help="So many scenes per batch.", show_default="the loop's sizes")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    pilot: Annotated[
        bool, typer.Option("--pilot", help="Only say how small a difference would be seen.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder of its cells.", show_default="backtest in the dataset's folder"),
    ] = None,
) -> "BacktestResult":
    """Does the loop beat chance? Hides labels that are there, and lets arms choose against random."""
    from swath.backtest import ARMS, Ask

    ask = Ask(tuple(arm or ARMS), seeds, rounds, budget, jobs, pilot)
    return loop.backtest(field, ask, to=to)


@on_loop(LOOK, looks=True)
def explain(
    loop: "Loop", scene: Annotated[str, typer.Argument(help="Key of a scene, or its FiftyOne id.")]
) -> "ExplainResult":
    """Why a scene is where it is: split, rounds, stream, rank, score, the failure it answers."""
    return loop.explain(scene)


@on_loop(LOOK, looks=True)
def replay(loop: "Loop", name: Round) -> "ReplayResult":
    """Choose a batch again from its manifest and compare, byte by byte."""
    return loop.replay(name)


@on_loop(LOOK)
def repair(
    loop: "Loop",
    check: Annotated[
        bool, typer.Option("--check", help="Only say what differs (exit code 3 if anything does).")
    ] = False,
) -> "RepairResult":
    """Make tags, status, views and info what the journal says."""
    return loop.repair(check=check)


@app.command("app", rich_help_panel=LOOK)
def app_(
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", "-d", help="A loop's dataset, or a work set.", show_default="the open work set"
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="On loopback.", show_default="the first free one from 5151")
    ] = None,
) -> None:
    """Open FiftyOne's App until interrupted: the open work set at the scene that waits next, or a dataset."""
    import webbrowser

    from swath import opening, show

    loop = from_environment()
    place = opening.place_of(dataset or opening.open_work_set(loop) or the_dataset(loop))
    at = opening.free_port(port)
    for text in place.lines:
        show.line(text)
    import fiftyone as fo

    fo.launch_app(place.dataset, port=at, address=opening.ADDRESS, remote=True)
    show.line(f"{place.url(at)} (Ctrl-C ends it)")
    if not opening.has_display() or not webbrowser.open(place.url(at)):
        show.note(opening.remotely(at))
    with suppress(KeyboardInterrupt):
        opening.wait(place.dataset.name, at)


@on_loop(LOOK, on=rounds_app)
def cancel(loop: "Loop", name: Round, reason: Reason) -> "RoundResult":
    """Cancel a round before its model is trained; labels that came are kept."""
    return loop.cancel(name, reason)


@on_loop(LOOK, on=rounds_app)
def reopen(loop: "Loop", name: Round, reason: Reason) -> "RoundResult":
    """Have a labelled round labelled again, golden scenes too, before its model is trained."""
    return loop.reopen(name, reason)


@on_loop(LOOK, on=rounds_app)
def close(
    loop: "Loop",
    name: Round,
    return_missing: Annotated[
        bool, typer.Option("--return-missing", help="What was not labelled goes back to the pool.")
    ] = False,
    reason: Reason = "",
) -> "RoundResult":
    """End the wait for labels; go on with those that came."""
    if not return_missing:
        back = "stay without a reference" if name.startswith("reference") else "go back to the pool"
        raise ConfigError(f"round close {name}: scenes without labels {back}; say so: --return-missing")
    return loop.close_round(name, reason)


@alone(LOOK, "install", on=plugin_app)
def install_plugin(bars: "Bars") -> "PluginResult":
    """Put the plugin where FiftyOne looks for plugins; again: changes nothing."""
    from swath.plugin.install import install

    return install()


@alone(LOOK, "remove", on=plugin_app)
def remove_plugin(bars: "Bars") -> "PluginResult":
    """Take the plugin away."""
    from swath.plugin.install import remove

    return remove()


# ---------------------------------------------------------------------- how it ends


def main(arguments: list[str] | None = None) -> None:
    """The entry point: errors become one line and an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    out = Out("--json" in arguments)
    with suppress(ValueError):  # not in the main thread: somebody else minds the signals

        def interrupted(number: int, frame: object) -> None:
            out.interrupted = True  # libraries may swallow what is raised while they are imported
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, interrupted)
    sys.exit(_run(arguments, out))


def encodable(argument: str) -> bool:
    """Whether the bytes of an argument are text, as the database and reports need it."""
    return not any("\ud800" <= one <= "\udfff" for one in argument)


UsageError: Final = next(one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException")


def _run(arguments: list[str], out: Out) -> int:
    try:
        for one in arguments:
            if not encodable(one):
                raise ConfigError(f"expected an argument in UTF-8, got {one!a}; rename what it names")
        for before, one in zip(("", *arguments), arguments, strict=False):
            option = before if one == "" else one.removesuffix("=")
            if option in PATHS and one in ("", f"{option}="):
                raise ConfigError(f"{option}: expected a path, got nothing; the folder one is in is `.`")
        code = app(args=arguments, standalone_mode=False, obj=out) or 0
        if code == INTERRUPTED:
            raise Interrupted
        return int(code)
    except SwathError as error:
        return out.error(str(error), error.exit_code, *error.lines, ways=error.ways)
    except (KeyboardInterrupt, Interrupted, typer.Abort):
        return _interrupted(arguments, out)
    except Exception as error:
        if out.interrupted:
            return _interrupted(arguments, out)
        if isinstance(error, UsageError):
            return _usage(error, out)
        from swath.database import user_line

        if line := user_line(error):
            return out.error(line, 1)
        import traceback

        traceback.print_exc()
        what = f"{type(error).__name__}: {error}"
        return out.error(what, 4, "this is a defect; please report it with the lines above")


def _interrupted(arguments: list[str], out: Out) -> int:
    anew = "; a training starts anew" if TRAINING & set(arguments) else ""
    return out.error(f"interrupted; run the same command again to go on{anew}", INTERRUPTED)


PARSED: Final = (
    (", unable to parse string as an integer", ""),
    (", unable to parse string as a number", ""),
    ("Input should be a valid integer", "expected a whole number"),
    ("Input should be a valid number", "expected a number"),
    ("Input should be greater than or equal to", "expected at least"),
    ("Input should be less than or equal to", "expected at most"),
    ("Input should be", "expected"),
    ("Value error, ", ""),
)
"""How the parser's library words what is no value of an option, and how we do."""


def _usage(error: Any, out: Out) -> int:
    """What the parser could not take, as it words it."""
    for theirs, ours in PARSED:
        error.message = error.message.replace(theirs, ours)
    error.show()
    if out.as_json:
        out.object({"error": error.format_message(), "exit": error.exit_code})
    return int(error.exit_code)


if __name__ == "__main__":
    main()
