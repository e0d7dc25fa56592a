"""How a command is made: what it parses besides its own options, where its result goes, and its exit code.

`on_loop` makes one that works on the loop of `--dataset`, `alone` one that opens none.
"""

# Annotations are evaluated here (no `from __future__ import annotations`): typer reads options from them.

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

if TYPE_CHECKING:
    from swath.changes import Changes
    from swath.loop import Loop
    from swath.records.base import Document, Record

app = typer.Typer(
    name="swath",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Decide which multi-sensor scenes to label next, and run the whole loop around their labels, on FiftyOne.\n\n"
    "Start with [bold]swath demo[/bold], or [bold]swath init NAME --kitti DIR[/bold] and then "
    "[bold]swath next[/bold] until it says that you are done. [bold]swath[/bold] alone says where you are.",
)
rounds_app = typer.Typer(
    no_args_is_help=True, help="Cancel a round, close it early, or have it labelled again."
)
app.add_typer(rounds_app, name="round", rich_help_panel="The loop")
plugin_app = typer.Typer(no_args_is_help=True, help="swath's panel and buttons in FiftyOne's App.")
app.add_typer(plugin_app, name="plugin", rich_help_panel="The loop")
START, STEP, LOOK = "Begin", "Steps, in loop order", "The loop"
DIFFERS: Final = 3  # exit code
LOOKING: Final = ("dry_run", "check", "plan", "show")  # options with which a command writes nothing

DATASET: Final = "SWATH_DATASET"  # environment variable
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        "-d",
        envvar=DATASET,
        help="The FiftyOne dataset; may be left out where there is one loop.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings to change, YAML.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
AnnotatorName = Annotated[
    str | None, typer.Option("--annotator", help="app, files or simulated.", show_default=False)
]
Folder = Annotated[
    Path | None, typer.Option("--folder", help="Folder of the files annotator.", show_default=False)
]
Encoder = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        help="descriptor, pretrained:efficientnet-lite0, field:NAME, onnx:PATH, zoo:NAME or model:vN.",
        show_default=False,
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(help="Where derived media, models and reports go.", show_default="~/.swath/NAME"),
]
Round = Annotated[str, typer.Argument(metavar="ROUND", help="v0, v1, ...")]
Reason = Annotated[str, typer.Option(help="Why; recorded.")]
Show = Annotated[bool, typer.Option("--show", help="What it said the last time, again; write nothing.")]
LABELLING: Final = {"annotator": AnnotatorName, "folder": Folder}
"""Options of the steps that annotators have a part in; settings, like `--encoder`: kept by the first step that succeeds."""


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


class Interrupted(Exception):
    """Ctrl-C, under a name that the parser's library does not catch."""


R = TypeVar("R", bound=Callable[..., Any])


def alone(panel: str, name: str | None = None, *, on: typer.Typer = app) -> Callable[[R], R]:
    """A command that opens no loop: `--json` beside its own options; called with the progress bars first."""

    def made(function: R) -> R:
        def command(ctx: typer.Context, as_json: bool, **own: Any) -> int:
            from swath import show

            with show.progress() as bars:
                value = function(bars, **own)
            ctx.obj.result(value, {})
            return 0

        _add(on, panel, name, function, command, {}, {"as_json": (Json, False)})
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
            ctx: typer.Context, dataset: str | None, config: Path | None, as_json: bool, **given: Any
        ) -> int:
            from swath import show
            from swath.loop import Loop

            own = {option: value for option, value in given.items() if option not in settings}
            said = str(ctx.info_name) if on is app else f"round {ctx.info_name}"
            changes = changes_of(said, config, **{option: given[option] for option in settings})
            with show.progress() as bars:
                loop = Loop.open(the_dataset(dataset), changes=changes, progress=bars, held=bars.say)
                writes = not (looks or any(own.get(option) for option in LOOKING))
                if writes:
                    loop.recover()
                before = stored(loop) if changes and writes else {}
                value = function(loop, **own)
                after = stored(loop) if before else {}
            kept = {name: new for name, new in after.items() if before.get(name) != new}
            ctx.obj.result(value, kept)
            return ended(value, ctx.obj)

        first = {"dataset": (Dataset, None)}
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
            return _once_more(command, *positional, **given)
        except KeyboardInterrupt as error:
            raise Interrupted from error

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


def _once_more(command: Callable[..., int], *positional: Any, **given: Any) -> int:
    """Runs a command; again, where it looked over another process's mongod, and that ended."""
    from swath import database

    try:
        return command(*positional, **given)
    except Exception as error:
        if not database.went_with_its_owner(error):
            raise
    database.ensure()
    return command(*positional, **given)


def from_environment() -> str | None:
    """The dataset that the environment names."""
    return os.environ.get(DATASET) or None


def the_dataset(given: str | None) -> str:
    """`given`, or that of the only loop there is."""
    from swath.errors import ConfigError, UnknownNameError, some
    from swath.loop import Loop
    from swath.suggest import BEGIN

    if given is not None:
        return given
    there = Loop.names()
    if not there:
        raise UnknownNameError("there is no loop yet; begin one:", BEGIN)
    if len(there) > 1:
        raise ConfigError(
            f"there are {len(there)} loops: {some(there, 10)}; say which: --dataset NAME, or set {DATASET}"
        )
    return there[0]


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
