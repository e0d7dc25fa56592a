"""`swath demo`: a made KITTI folder, the whole loop on it, and what hidden truth says of the targeting.

Its figures are those of one machine: training on another processor adds up in another order, and the other model asks for
other scenes.

With `drift` the labeller changes at v1, as if somebody had told all annotators something else, and the demo ends where swath
does not go on: that is what it is to show.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from swath.errors import StateError
from swath.measure import Targeted, targeting, unmined
from swath.records.base import Estimate, Record
from swath.records.batch import Batch, Gain
from swath.records.results import StepResult
from swath.records.shown import Next
from swath.suggest import command
from swath.workspace import Progress, Workspace, silent

if TYPE_CHECKING:
    from swath.loop import Loop

MARK = "made by swath demo"


class Drift(Record):
    """What became wrong with a labeller, from round v`since` on: `flaws`, as `annotate.flaws` names them."""

    since: int
    flaws: dict[str, float]


DRIFT: Final = Drift(since=1, flaws={"shift": 0.9, "loose": 0.08, "far": 0.35})
"""Cuboids 0.9 m too far away, boxes 8 % of their size looser at each edge, a third of the farthest objects missed."""


class DemoRound(Record):
    """One round. `batch`: its size and streams, in words; `gain`: over the round before, on the same scenes of val."""

    round: str
    batch: str
    car_ap50: Estimate
    map50: Estimate
    golden: str | None
    decision: str | None
    gain: Gain | None = None


class DemoResult(Record):
    """`targeting`: per round, the share of targeted scenes that hold the kind of object their failure missed, next to the
    share of pool scenes that hold it. `unmined`: the gain of the last round on scenes that nobody mined (test, by hidden truth). `drift`: what became wrong with the labeller; `waits`: why the loop does not go on, with
    the golden check's `reasons`, and the `ways` on."""

    dataset: str
    scenes: int
    rounds: tuple[DemoRound, ...]
    targeting: tuple[Targeted, ...]
    report: str
    seconds: float
    unmined: Gain | None = None
    drift: Drift | None = None
    waits: str | None = None
    reasons: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()


def run_demo(
    folder: Path,
    dataset: str,
    *,
    scenes: int = 200,
    rounds: int = 2,
    seed: int = 0,
    scale: float = 0.5,
    drift: bool = False,
    changes: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    tell: Callable[[Next, StepResult], None] | None = None,
) -> DemoResult:
    """Makes the folder, imports it as `dataset` (replacing that of a former demo), runs `rounds` rounds, writes a report. With
    `drift` the labeller changes at v1."""
    from swath.loop import Loop
    from swath.worlds import make_world

    started = time.monotonic()
    _clear(dataset)
    kitti = folder / "kitti"
    make_world(kitti, scenes=scenes, seed=seed, scale=scale, progress=progress("make scenes"))
    settings = {**(changes or {})}
    flaws = {"flaws": {"since": DRIFT.since, **DRIFT.flaws}} if drift else {}
    settings["annotate"] = {"annotator": "simulated", **flaws, **settings.get("annotate", {})}
    loop, _ = Loop.init_kitti(dataset, kitti, changes=settings, home=folder / "swath", progress=progress)
    with loop.workspace.writer("demo") as writer:
        loop.workspace.scenes.set_info({"made_by": MARK}, writer)
    loop.run(rounds, tell=tell)
    return result_of(loop, seconds=time.monotonic() - started, drift=DRIFT if drift else None)


def result_of(loop: Loop, seconds: float = 0.0, drift: Drift | None = None) -> DemoResult:
    """What the demo says at its end, of any loop whose hidden truth is known; writes the report."""
    plan = loop.plan()
    held = [batch.steps.golden for batch in loop.workspace.journal.batches.all() if batch.steps.golden]
    return DemoResult(
        dataset=loop.name,
        scenes=len(loop.workspace.scenes.table),
        rounds=_rounds(loop.workspace),
        targeting=targeting(loop.workspace),
        report=str(loop.report()),
        seconds=seconds,
        unmined=unmined(loop.workspace),
        drift=drift,
        waits=plan.why if plan.people else None,
        reasons=held[-1].reasons if plan.people and held else (),
        ways=loop.ways_on(plan) if plan.people else (),
    )


def _clear(dataset: str) -> None:
    """Removes the dataset of a former demo; refuses to remove anything else."""
    from swath import database

    database.ensure()
    import fiftyone as fo

    from swath.store.scenes import open_journal

    if fo.dataset_exists(dataset):
        former = fo.load_dataset(dataset)
        if former.info.get("made_by") != MARK and len(former):
            raise StateError(
                f"dataset {dataset!r} exists and no demo made it; give another name: `{command('demo', 'NAME')}`"
            )
        open_journal(former).forget()
        former.delete()


def _rounds(workspace: Workspace) -> tuple[DemoRound, ...]:
    return tuple(_round(batch) for batch in workspace.journal.batches.all() if batch.is_round)


def _round(batch: Batch) -> DemoRound:
    steps, size = batch.steps, batch.size
    main = steps.evaluate.main if steps.evaluate else None
    cars = main.classes.get("Car") if main else None
    return DemoRound(
        round=batch.round,
        batch=f"{size.size} scenes: {size.coverage} coverage, {size.targeted} targeted",
        car_ap50=cars.ap50 if cars else Estimate(),
        map50=main.map50 if main else Estimate(),
        golden=steps.golden.verdict if steps.golden else None,
        decision=steps.stop.decision if steps.stop else None,
        gain=main.gain if main else None,
    )
