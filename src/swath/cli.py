"""The command line. A command parses, calls one method of `Loop`, and gives back what came of it; `on_loop` does the rest.

Exit codes: 0 done, 1 a user's mistake (one line), 2 usage, 3 waits for people, is blocked, or differs, 4 a defect,
130 interrupted. With `--json` one object goes to stdout, errors too, and everything else, progress bars and other libraries'
prints included, to stderr.
"""

# Annotations are evaluated here (no `from __future__ import annotations`): typer reads options from them.

import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import typer

from swath.errors import ConfigError, SwathError

if TYPE_CHECKING:
    from swath.changes import Changes
    from swath.demo import DemoResult
    from swath.loop import Loop
    from swath.records.base import Document, Record
    from swath.records.batch import Checked, GoldenChecked, Stopped, Trained
    from swath.records.results import (
        AdoptResult,
        BatchResult,
        EmbedResult,
        EvaluateResult,
        ExplainResult,
        FetchResult,
        InitResult,
        ReferenceResult,
        RepairResult,
        ReplayResult,
        RoundResult,
        SelectResult,
        SendResult,
        Settings,
        SplitResult,
        Status,
    )
    from swath.show import Bars, Did, Finished, Gated, MadeWorld, Ran, Reported, Selected

app = typer.Typer(
    name="swath",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Decide which multi-sensor scenes to label next, and run the whole loop around their labels, on FiftyOne.\n\n"
    "Start with [bold]swath demo[/bold], or [bold]swath init NAME --kitti DIR[/bold] and then "
    "[bold]swath next --dataset NAME[/bold] until it says that you are done.",
)
rounds_app = typer.Typer(
    no_args_is_help=True, help="Cancel a round, close it early, or have it labelled again."
)
app.add_typer(rounds_app, name="round", rich_help_panel="The loop")
START, STEP, LOOK = "Begin", "Steps, in loop order", "The loop"
DIFFERS: Final = 3  # exit code
INTERRUPTED: Final = 130
TRAINING: Final = {"train", "next", "run", "demo"}  # commands that may be in the middle of a training

Dataset = Annotated[str, typer.Option("--dataset", "-d", help="The FiftyOne dataset.", show_default=False)]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings to change, YAML.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
AnnotatorName = Annotated[
    str | None, typer.Option("--annotator", help="simulated, or files.", show_default=False)
]
Folder = Annotated[
    Path | None, typer.Option("--folder", help="Folder of the files annotator.", show_default=False)
]
Encoder = Annotated[
    str | None,
    typer.Option(
        "--encoder", help="descriptor, field:NAME, onnx:PATH, zoo:NAME or model:vN.", show_default=False
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(help="Where derived media, models and reports go.", show_default="~/.swath/NAME"),
]
Round = Annotated[str, typer.Argument(metavar="ROUND", help="v0, v1, ...")]
Reason = Annotated[str, typer.Option(help="Why; recorded.")]
LABELLING: Final = {"annotator": AnnotatorName, "folder": Folder}
"""Options of the steps that annotators have a part in; settings, like `--encoder`: kept by the first step that succeeds."""


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


@app.callback()
def swath(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


# ---------------------------------------------------------------------- what all commands share


class Out:
    """Where results go: tables for people, or one object for machines."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.said = False
        self.interrupted = False
        self._stdout = sys.stdout
        if as_json:
            # Other libraries print to file descriptor 1: it is stderr from here on.
            sys.stdout.flush()
            self._stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
            os.dup2(2, 1)

    def result(self, value: "Record", kept: Mapping[str, Any]) -> None:
        """`kept`: settings that the command changed for good."""
        from swath import show

        if self.as_json:
            self.object({**value.as_json(), **({"kept": kept} if kept else {})})
            return
        show.result(value)
        show.kept(kept)

    def error(self, text: str, code: int, *lines: str, ways: Sequence[str] = ()) -> int:
        """One line on stderr (`lines`, if those are others), and one for each of the `ways` on that it does not name; and the object
        that is due on stdout, unless there was one."""
        from swath.words import printable

        first, *more = map(printable, lines or (text,))
        print(f"swath: {first}", file=sys.stderr)
        for one in more:
            print(f"  {one}", file=sys.stderr)
        for way in ways:
            if way not in text:
                print(f"    {printable(way)}", file=sys.stderr)
        if self.as_json and not self.said:
            self.object({"error": text, "exit": code, **({"ways": list(ways)} if ways else {})})
        return code

    def object(self, value: "Document") -> None:
        self.said = True
        print(json.dumps(value, ensure_ascii=False, default=str), file=self._stdout, flush=True)


class _Interrupted(Exception):
    """Ctrl-C, under a name that the parser's library does not catch."""


R = TypeVar("R", bound=Callable[..., Any])


def alone(panel: str, name: str | None = None) -> Callable[[R], R]:
    """A command that opens no loop: `--json` beside its own options; called with the progress bars first."""

    def made(function: R) -> R:
        def command(ctx: typer.Context, as_json: bool, **own: Any) -> int:
            from swath import show

            with show.progress() as bars:
                value = function(bars, **own)
            ctx.obj.result(value, {})
            return 0

        _add(app, panel, name, function, command, {}, {"as_json": (Json, False)})
        return function

    return made


def on_loop(
    panel: str,
    name: str | None = None,
    *,
    on: typer.Typer = app,
    settings: Mapping[str, Any] | None = None,
    looks: bool = False,
) -> Callable[[R], R]:
    """A command on the loop of `--dataset`; called with the loop first.

    `settings`: options that change the configuration, besides `--config`. `looks`: it writes nothing; the others first put
    right what a killed process left behind. Its exit code is 3 where what came of it says that people are waited for.
    """
    settings = settings or {}

    def made(function: R) -> R:
        def command(
            ctx: typer.Context, dataset: str, config: Path | None, as_json: bool, **given: Any
        ) -> int:
            from swath import show
            from swath.loop import Loop

            own = {option: value for option, value in given.items() if option not in settings}
            said = str(ctx.info_name) if on is app else f"round {ctx.info_name}"
            changes = changes_of(said, config, **{option: given[option] for option in settings})
            with show.progress() as bars:
                loop = Loop.open(
                    dataset,
                    changes=changes,
                    progress=bars,
                    held=bars.say,
                )
                writes = not (looks or own.get("dry_run") or own.get("check"))
                if writes:
                    loop.recover()
                before = stored(loop) if changes and writes else {}
                value = function(loop, **own)
                after = stored(loop) if before else {}
            kept = {name: new for name, new in after.items() if before.get(name) != new}
            ctx.obj.result(value, kept)
            return ended(value, ctx.obj)

        first = {"dataset": (Dataset, inspect.Parameter.empty)}
        last: dict[str, tuple[Any, Any]] = {option: (hint, None) for option, hint in settings.items()}
        last |= {"config": (Config, None), "as_json": (Json, False)}
        _add(on, panel, name, function, command, first, last)
        return function

    return made


def _add(
    on: typer.Typer,
    panel: str,
    name: str | None,
    function: Callable[..., Any],
    command: Callable[..., int],
    first: Mapping[str, tuple[Any, Any]],
    last: Mapping[str, tuple[Any, Any]],
) -> None:
    """Makes `command` a command with the options of `function` between `first` and `last`: name -> (annotation, default)."""

    def parsed(*positional: Any, **given: Any) -> int:
        try:
            return command(*positional, **given)
        except KeyboardInterrupt as error:
            raise _Interrupted from error

    own = list(inspect.signature(function).parameters.values())[1:]
    options = {"ctx": (typer.Context, inspect.Parameter.empty), **first}
    options |= {one.name: (one.annotation, one.default) for one in own}
    options |= last
    parsed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
            for option, (hint, default) in options.items()
        ]
    )
    parsed.__annotations__ = {option: hint for option, (hint, _) in options.items()}
    parsed.__doc__ = function.__doc__
    on.command(name or function.__name__, rich_help_panel=panel)(parsed)


def changes_of(
    said: str,
    config: Path | None,
    *,
    assigned: Iterable[str] = (),
    annotator: str | None = None,
    folder: Path | None = None,
    encoder: str | None = None,
    classes: str | None = None,
) -> "Changes":
    """What the command line of the command `said` changes of the configuration; options stand over the file."""
    from swath.changes import Changes, assignment, read

    changes = read(config, said) if config else Changes()
    for one in assigned:
        at, value = assignment(one)
        changes.put(at, value, "--set", said)
    if encoder is not None:
        changes.put(("embed", "encoder"), encoder, "--encoder", said)
    if annotator is not None or folder is not None:
        option = "--folder" if annotator is None else "--annotator"
        changes.put(("annotate", "annotator"), annotator or "files", option, said)
    if folder is not None:
        changes.put(("annotate", "folder"), str(folder.resolve()), "--folder", said)
    if classes is not None:
        changes.put(("classes",), [one.strip() for one in classes.split(",")], "--classes", said)
    return changes


def stored(loop: "Loop") -> dict[str, Any]:
    """The settings that are in the journal: dotted name -> value."""
    from swath.config import parse, values

    return values(parse(loop.workspace.journal.loop().config, "the journal"))


def ended(value: "Record", out: Out) -> int:
    """The exit code of a command that gave back `value`."""
    from swath.records.results import FetchResult, RepairResult, ReplayResult
    from swath.show import Did, Gated, Ran

    if isinstance(value, Did):
        return ended(value.came, out)
    if isinstance(value, Gated) and value.holds:
        return out.error(value.why, DIFFERS, ways=value.ways)
    if isinstance(value, Ran) and value.waits is not None:
        return out.error(value.waits, DIFFERS)
    waits = isinstance(value, FetchResult) and value.waiting > 0
    differs = isinstance(value, ReplayResult) and not value.equal
    if isinstance(value, RepairResult):
        differs = value.checked_only and bool(value.differences or value.strangers or value.gone)
    return DIFFERS if waits or differs else 0


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
        str | None,
        typer.Option(
            "--from", metavar="FIELD", help="Take over the labels of this field.", show_default=False
        ),
    ] = None,
    final: Annotated[bool, typer.Option("--final", help="Test, before its final evaluation.")] = False,
) -> "ReferenceResult | FetchResult":
    """Careful labels of val and golden, once: from a field, or by the annotator."""
    return loop.reference(field, final=final)


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
) -> "GoldenChecked":
    """Blind labels of the golden scenes against their reference: pass, warn or block."""
    return loop.golden(override=override)


@on_loop(STEP)
def train(loop: "Loop") -> "Trained":
    """Train the round's model on the labelled pool."""
    return loop.train()


@on_loop(STEP)
def evaluate(
    loop: "Loop",
    final: Annotated[bool, typer.Option("--final", help="On test, whose reference must be there.")] = False,
) -> "EvaluateResult":
    """Score the model on val and tag its failures."""
    return loop.evaluate(final=final)


@on_loop(STEP)
def stop(loop: "Loop") -> "Stopped":
    """Go on, or stop? With every criterion's number; closes the round."""
    return loop.stop()


# ---------------------------------------------------------------------- the loop


@on_loop(LOOK, "next", settings=LABELLING)
def next_(loop: "Loop") -> "Did | Finished":
    """Do the next step, and say why it is next."""
    from swath.show import Did, Finished

    plan = loop.plan()
    if plan.step is None:
        return Finished(why=plan.why, ways=loop.ways_on(plan))
    plan, came = loop.next()
    return Did(plan=plan, came=came)


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
        typer.Option("--dataset", "-d", help="Of this dataset; else the defaults.", show_default=False),
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

    changes = changes_of("config", config, assigned=assigned or ())
    if dataset is None:
        default = LoopConfig()
        changed = merged(default, changes, "config")
        return settings_of(changed, sources({}, default, changed, changes, "config"))
    loop = Loop.open(dataset, changes=changes, progress=bars, held=bars.say)
    return loop.configure()


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
def app_(dataset: Dataset, port: Annotated[int, typer.Option(help="On loopback.")] = 5151) -> None:
    """Open the dataset in FiftyOne's App, until interrupted."""
    from swath import show
    from swath.loop import Loop

    loop = Loop.open(dataset)
    import fiftyone as fo

    session = fo.launch_app(loop.workspace.scenes.dataset, port=port, address="127.0.0.1", remote=True)
    show.line(f"http://127.0.0.1:{port}/datasets/{dataset} (Ctrl-C ends it)")
    with suppress(KeyboardInterrupt):
        session.wait(-1)


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
        raise ConfigError(
            f"round close {name}: scenes without labels go back to the pool; say so: --return-missing"
        )
    return loop.close_round(name, reason)


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
        code = app(args=arguments, standalone_mode=False, obj=out) or 0
        if code == INTERRUPTED:
            raise _Interrupted
        return int(code)
    except SwathError as error:
        return out.error(str(error), error.exit_code, *error.lines, ways=error.ways)
    except (KeyboardInterrupt, _Interrupted, typer.Abort):
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
