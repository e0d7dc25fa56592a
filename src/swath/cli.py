"""The command line. Each command parses, calls one method of `Loop`, shows the result.

Exit codes: 0 done, 1 a user's mistake (one line), 2 usage, 3 waits for people, is blocked, or differs, 4 a defect.
With `--json` one object goes to stdout and everything else, progress bars and other libraries' prints included, to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from swath import show
from swath.errors import ConfigError, SwathError, WaitingError

if TYPE_CHECKING:
    from swath.loop import Loop

app = typer.Typer(
    name="swath",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Decide which multi-sensor scenes to label next, and run the whole loop around their labels, on FiftyOne.\n\n"
    "Start with [bold]swath demo[/bold], or [bold]swath init NAME --kitti DIR[/bold] and then "
    "[bold]swath next --dataset NAME[/bold] until it says that you are done.",
)
rounds_app = typer.Typer(no_args_is_help=True, help="Cancel a round, or close it early.")
app.add_typer(rounds_app, name="round", rich_help_panel="The loop")
START, STEP, LOOK = "Begin", "Steps, in loop order", "The loop"

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
Home = Annotated[
    Path | None,
    typer.Option(help="Where derived media, models and reports go.", show_default="~/.swath/NAME"),
]


class Out:
    """Where results go: a table for people, or one object for machines."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._stdout = sys.stdout
        if as_json:
            # Other libraries print to file descriptor 1: it is stderr from here on.
            self._stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
            os.dup2(2, 1)

    def result(self, value: Any, text: Callable[[Any], None], **also: Any) -> None:
        if self.as_json:
            print(
                json.dumps({**plain(value), **plain(also)}, ensure_ascii=False), file=self._stdout, flush=True
            )
        else:
            text(value)


def plain(value: Any) -> Any:
    """`value` as JSON has it."""
    if hasattr(value, "as_json"):
        return value.as_json()
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


@contextmanager
def opened(
    dataset: str, config: Path | None, annotator: str | None = None, folder: Path | None = None
) -> Iterator[Loop]:
    """The loop of `dataset`, with what the command line says put over its configuration, and progress bars."""
    from swath.loop import Loop

    with show.progress() as progress:
        yield Loop.open(
            dataset,
            changes=changes_of(config, annotator, folder),
            source=str(config or "command line"),
            progress=progress,
        )


def changes_of(
    config: Path | None, annotator: str | None = None, folder: Path | None = None
) -> dict[str, Any]:
    from swath.config import read

    changes = read(config) if config else {}
    if annotator or folder:
        section = dict(section_of(changes, "annotate"))
        section |= {"annotator": annotator} if annotator else {}
        section |= {"folder": str(folder.resolve()), "annotator": annotator or "files"} if folder else {}
        changes = {**changes, "annotate": section}
    return changes


def section_of(changes: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = changes.get(name) or {}
    if not isinstance(section, Mapping):
        raise ConfigError(f"--config: {name}: expected a mapping of settings, got {section!r}")
    return section


# ---------------------------------------------------------------------- begin


@app.command(rich_help_panel=START)
def demo(
    folder: Annotated[Path, typer.Option(help="Where the made folder, models and report go.")] = Path("demo"),
    scenes: Annotated[int, typer.Option(min=40, help="Scenes to make.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds to run.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the made world.")] = 0,
    scale: Annotated[float, typer.Option(min=0.1, max=1, help="Image size, as a share of KITTI's.")] = 0.5,
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="Name of the dataset; one of a former demo is replaced.")
    ] = "swath-demo",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """A made KITTI folder, then the whole loop on it, and a report."""
    from swath.demo import run_demo

    out = Out(as_json)
    with show.progress() as progress:
        result = run_demo(
            folder,
            dataset,
            scenes=scenes,
            rounds=rounds,
            seed=seed,
            scale=scale,
            changes=changes_of(config),
            progress=progress,
            tell=show.step,
        )
    out.result(result, show.demo)


@app.command(rich_help_panel=START)
def world(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
    scenes: Annotated[int, typer.Option(min=1, help="Scenes to make.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    scale: Annotated[float, typer.Option(min=0.1, max=1, help="Image size, as a share of KITTI's.")] = 0.5,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    as_json: Json = False,
) -> None:
    """Only the made KITTI folder: left and right images, LiDAR, exact labels, calibration."""
    from swath.worlds import make_world

    out = Out(as_json)
    with show.progress() as progress:
        result = make_world(
            folder, scenes=scenes, seed=seed, scale=scale, workers=workers, progress=progress("make scenes")
        )
    out.result(result, show.world)


@app.command(rich_help_panel=START)
def init(
    name: Annotated[str, typer.Argument(help="Name of the dataset.")],
    kitti: Annotated[
        Path | None, typer.Option(help="KITTI object folder (training/image_2, ...).", show_default=False)
    ] = None,
    fiftyone: Annotated[
        str | None, typer.Option(help="A FiftyOne dataset that exists.", show_default=False)
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Class map, comma separated.", show_default="KITTI's")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Damaged files are an error.")] = False,
    home: Home = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Take scenes in: a KITTI folder, or a FiftyOne dataset. Again: adds what is new."""
    from swath.loop import Loop

    out = Out(as_json)
    changes = changes_of(config)
    if classes:
        changes["classes"] = [one.strip() for one in classes.split(",")]
    if (kitti is None) == (fiftyone is None):
        raise typer.BadParameter("give one of --kitti DIR and --fiftyone NAME")
    if fiftyone is not None and fiftyone != name:
        raise ConfigError(
            f"init: a loop runs on the dataset itself: `swath init {fiftyone} --fiftyone {fiftyone}`"
        )
    with show.progress() as progress:
        if kitti is not None:
            _, result = Loop.init_kitti(
                name, kitti, changes=changes, home=home, strict=strict, progress=progress
            )
        else:
            _, result = Loop.init_fiftyone(name, changes=changes, home=home, progress=progress)
    out.result(result, show.init)


@app.command(rich_help_panel=START)
def adopt(
    name: Annotated[str, typer.Argument(help="A FiftyOne dataset that was run by hand with the guide.")],
    fix: Annotated[
        bool, typer.Option("--fix", help="Make tags, status and views what the journal says.")
    ] = False,
    home: Home = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Take over a loop that was run by hand; say what does not add up."""
    from swath.loop import Loop

    out = Out(as_json)
    with show.progress() as progress:
        _, result = Loop.adopt(name, changes=changes_of(config), home=home, fix=fix, progress=progress)
    out.result(result, show.adopt)


# ---------------------------------------------------------------------- steps


@app.command(rich_help_panel=STEP)
def split(dataset: Dataset, config: Config = None, as_json: Json = False) -> None:
    """Split by drive into test (frozen), val, golden and pool; audit for leaks."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.split()
    out.result(result, show.split)


@app.command(rich_help_panel=STEP)
def embed(
    dataset: Dataset,
    encoder: Annotated[
        str | None,
        typer.Option(help="descriptor, field:NAME, onnx:PATH, zoo:NAME or model:vN.", show_default=False),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Vectors for pool, val and golden: what is missing or stale."""
    from swath.loop import Loop

    out = Out(as_json)
    changes = changes_of(config)
    if encoder:
        changes["embed"] = {**section_of(changes, "embed"), "encoder": encoder}
    with show.progress() as progress:
        result = Loop.open(
            dataset, changes=changes, source=str(config or "--encoder"), progress=progress
        ).embed()
    out.result(result, show.embed)


@app.command(rich_help_panel=STEP)
def reference(
    dataset: Dataset,
    field: Annotated[
        str | None, typer.Option("--from", help="Take over the labels of this field.", show_default=False)
    ] = None,
    final: Annotated[bool, typer.Option("--final", help="Test, before its final evaluation.")] = False,
    annotator: AnnotatorName = None,
    folder: Folder = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Careful labels of val and golden, once: from a field, or by the annotator."""
    out = Out(as_json)
    with opened(dataset, config, annotator, folder) as loop:
        result = loop.reference(field, final=final)
    out.result(result, show.reference)
    waits(getattr(result, "waiting", 0))


@app.command(rich_help_panel=STEP)
def select(
    dataset: Dataset,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the batch; write nothing.")] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Keep this scene out; may be given again.", show_default=False)
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Every scene with its reason and its picture's path.")
    ] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Go on after a decision to stop.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Choose the next batch: 30 % coverage, 70 % like the failures; exactly to budget."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.select(exclude=exclude or (), dry_run=dry_run, anyway=anyway)
        pictures = loop.pictures([choice.key for choice in result.scenes]) if explain or dry_run else {}
    out.result(
        result, lambda value: show.select(value, pictures), **({"pictures": pictures} if pictures else {})
    )


@app.command(rich_help_panel=STEP)
def send(
    dataset: Dataset,
    annotator: AnnotatorName = None,
    folder: Folder = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Hand the open batch to annotators, golden scenes mixed in."""
    out = Out(as_json)
    with opened(dataset, config, annotator, folder) as loop:
        result = loop.send()
    out.result(result, show.send)


@app.command(rich_help_panel=STEP)
def fetch(
    dataset: Dataset,
    annotator: AnnotatorName = None,
    folder: Folder = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Take in what annotators answered so far."""
    out = Out(as_json)
    with opened(dataset, config, annotator, folder) as loop:
        result = loop.fetch()
    out.result(result, show.fetch)
    waits(result.waiting)


@app.command(rich_help_panel=STEP)
def check(dataset: Dataset, config: Config = None, as_json: Json = False) -> None:
    """Labels that cannot be right: in 2D, in 3D, between the sensors."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.check()
    out.result(result, show.check)


@app.command(rich_help_panel=STEP)
def golden(
    dataset: Dataset,
    override: Annotated[
        str | None, typer.Option(help="Go on despite a block, for this reason.", show_default=False)
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Blind labels of the golden scenes against their reference: pass, warn or block."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.golden(override=override)
    out.result(result, show.golden)


@app.command(rich_help_panel=STEP)
def train(dataset: Dataset, config: Config = None, as_json: Json = False) -> None:
    """Train the round's model on the labelled pool."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.train()
    out.result(result, show.train)


@app.command(rich_help_panel=STEP)
def evaluate(
    dataset: Dataset,
    final: Annotated[bool, typer.Option("--final", help="On test, whose reference must be there.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Score the model on val and tag its failures."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.evaluate(final=final)
    out.result(result, show.evaluate)


@app.command(rich_help_panel=STEP)
def stop(dataset: Dataset, config: Config = None, as_json: Json = False) -> None:
    """Go on, or stop? With every criterion's number; closes the round."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.stop()
    out.result(result, show.stop)


# ---------------------------------------------------------------------- the loop


@app.command("next", rich_help_panel=LOOK)
def next_(
    dataset: Dataset,
    annotator: AnnotatorName = None,
    folder: Folder = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Do the next step, and say why it is next."""
    out = Out(as_json)
    with opened(dataset, config, annotator, folder) as loop:
        plan, result = loop.next()
    out.result({"step": plan.step, "why": plan.why, "result": result}, lambda value: show.step(plan, result))
    waits(getattr(result, "waiting", 0))


@app.command(rich_help_panel=LOOK)
def run(
    dataset: Dataset,
    rounds: Annotated[int, typer.Option(min=1, help="Until this many rounds are closed.")] = 1,
    until: Annotated[str | None, typer.Option(help="Until this step was done.", show_default=False)] = None,
    annotator: AnnotatorName = None,
    folder: Folder = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Step after step, until the rounds are closed or people are needed."""
    out = Out(as_json)
    with opened(dataset, config, annotator, folder) as loop:
        result = loop.run(rounds, until=until, tell=show.step)
        status = loop.status()
    out.result(
        {"steps": [step for step, _ in result.done], "waits": result.waits, "status": status},
        lambda value: show.status(status),
    )
    if result.waits:
        raise WaitingError(result.waits)


@app.command(rich_help_panel=LOOK)
def status(dataset: Dataset, config: Config = None, as_json: Json = False) -> None:
    """Where the loop stands, by scene, slice and round."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.status()
    out.result(result, show.status)


@app.command(rich_help_panel=LOOK)
def report(
    dataset: Dataset,
    to: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="report.html in the dataset's folder")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """One self-contained HTML file: rounds, batches with reasons, failures with pictures."""
    from swath.report import write_report

    out = Out(as_json)
    with opened(dataset, config) as loop:
        path = write_report(loop.workspace, loop.status(), to)
    out.result({"report": str(path)}, lambda value: show.line(f"report: {path}"))


@app.command(rich_help_panel=LOOK)
def explain(
    scene: Annotated[str, typer.Argument(help="Key of a scene, or its FiftyOne id.")],
    dataset: Dataset,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Why a scene is where it is: split, rounds, stream, rank, score, the failure it answers."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.explain(scene)
    out.result(result, show.explain)


@app.command(rich_help_panel=LOOK)
def replay(
    name: Annotated[str, typer.Argument(metavar="ROUND", help="v0, v1, ...")],
    dataset: Dataset,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Choose a batch again from its manifest and compare, byte by byte."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.replay(name)
    out.result(result, show.replay)
    if not result.equal:
        raise typer.Exit(3)


@app.command(rich_help_panel=LOOK)
def repair(
    dataset: Dataset,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what differs (exit code 3 if anything does).")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make tags, status, views and info what the journal says."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.repair(check=check)
    out.result(result, show.repair)
    if check and (result.differences or result.strangers or result.gone):
        raise typer.Exit(3)


@app.command("app", rich_help_panel=LOOK)
def app_(
    dataset: Dataset, port: Annotated[int, typer.Option(help="On loopback.")] = 5151, config: Config = None
) -> None:
    """Open the dataset in FiftyOne's App, until interrupted."""
    with opened(dataset, config) as loop:
        import fiftyone as fo

        session = fo.launch_app(loop.workspace.scenes.dataset, port=port, address="127.0.0.1", remote=True)
        show.line(f"http://127.0.0.1:{port}/datasets/{dataset} (Ctrl-C ends it)")
        session.wait(-1)


@rounds_app.command("cancel")
def round_cancel(
    name: Annotated[str, typer.Argument(metavar="ROUND", help="v0, v1, ...")],
    dataset: Dataset,
    reason: Annotated[str, typer.Option(help="Why; recorded.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Cancel a round before its model is trained; labels that came are kept."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.cancel(name, reason)
    out.result(result, show.round_)


@rounds_app.command("reopen")
def round_reopen(
    name: Annotated[str, typer.Argument(metavar="ROUND", help="v0, v1, ...")],
    dataset: Dataset,
    reason: Annotated[str, typer.Option(help="Why; recorded.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Have a labelled round labelled again, golden scenes too, before its model is trained."""
    out = Out(as_json)
    with opened(dataset, config) as loop:
        result = loop.reopen(name, reason)
    out.result(result, show.round_)


@rounds_app.command("close")
def round_close(
    name: Annotated[str, typer.Argument(metavar="ROUND", help="v0, v1, ...")],
    dataset: Dataset,
    return_missing: Annotated[
        bool, typer.Option("--return-missing", help="What was not labelled goes back to the pool.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; recorded.")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """End the wait for labels; go on with those that came."""
    out = Out(as_json)
    if not return_missing:
        raise ConfigError(
            f"round close {name}: scenes without labels go back to the pool; say so: --return-missing"
        )
    with opened(dataset, config) as loop:
        result = loop.close_round(name, reason)
    out.result(result, show.round_)


def waits(scenes: int) -> None:
    """Ends with exit code 3 when people are waited for."""
    if scenes:
        raise typer.Exit(3)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: errors become one line and an exit code."""
    try:
        app(args=arguments, standalone_mode=True)
    except SwathError as error:
        print(f"swath: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("swath: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if user_line := database_line(error):
            print(f"swath: {user_line}", file=sys.stderr)
            sys.exit(1)
        import traceback

        traceback.print_exc()
        print("swath: this is a defect; please report it with the lines above", file=sys.stderr)
        sys.exit(4)


def database_line(error: Exception) -> str | None:
    """A line for people when the database went away; None for anything else."""
    if type(error).__module__.startswith("pymongo"):
        return (
            f"the database went away ({type(error).__name__}: {str(error).split(',')[0][:200]}); what was acknowledged is "
            "safe; start it and run the same command again"
        )
    if isinstance(error, OSError) and error.errno == 28:
        return f"the disk is full ({error.filename or 'no space left'}); make room and run the same command again"
    return None


if __name__ == "__main__":
    main()
