"""Does the loop beat chance, on scenes that are labelled already? Hides their labels, and runs selection, training and evaluation
from nothing for every arm and seed.

archive   the scenes, read once, and how each seed parts their drives
arms      who chooses: pure functions; the loop's own choice is `policies.selection`
cells     one arm, seed and round: choose, learn, score; kept in files
answer    curves over cost, compared with random

Method, sources, and when it misleads: docs/methods/backtest.md.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Final

import numpy as np

from swath.backtest import answer, cells
from swath.backtest.archive import Archive, parts, read
from swath.backtest.arms import AGAIN, Arm, arm
from swath.backtest.cells import Plan, TrainerOf, configured
from swath.config import canonical
from swath.errors import ConfigError
from swath.formats.files import write_atomic
from swath.policies import chance
from swath.records.backtest import BacktestResult, Cell, Part, Pilot
from swath.workspace import Progress, Workspace, silent

__all__ = ["ARMS", "Ask", "backtest", "run"]

ARMS: Final = ("coverage", "targeted", "hybrid")  # besides random, where none are named
PILOT: Final = 2  # seeds of the pilot, at most
LEARNED: Final = 0.05  # mAP50 below which a model has learned next to nothing
FEW: Final = 10  # held-out drives below which an interval holds less often than it says


@dataclass(frozen=True)
class Ask:
    """What a backtest is asked. `budget`: scenes per round, None for the loop's own sizes; `jobs`: processes; `pilot_only`: say what
    the run could see, and end there."""

    arms: tuple[str, ...] = ARMS
    seeds: int = 3
    rounds: int = 4
    budget: int | None = None
    jobs: int = 1
    pilot_only: bool = False


def backtest(
    workspace: Workspace, fields: Sequence[str], ask: Ask, folder: Path | None = None
) -> BacktestResult:
    """Runs the arms on the scenes that have labels in `fields`, and writes the result and its page to `folder` (default: `backtest`
    in the dataset's folder). Writes nothing to the dataset, its tags or its journal."""
    from swath.report.backtest import FOLDER, PAGE, RESULT, write_page

    archive = read(workspace, fields)
    folder = (folder or workspace.home / FOLDER).absolute()
    found = run(archive, ask, folder, progress=workspace.progress, tell=workspace.held)
    found = found.with_(field=", ".join(fields))
    if not ask.pilot_only:
        found = found.with_(page=str(write_page(found, folder / PAGE)))
        write_atomic(folder / RESULT, canonical(found.document()))
    return found


def run(
    archive: Archive,
    ask: Ask,
    folder: Path,
    *,
    progress: Progress = silent,
    tell: Callable[[str], None] | None = None,
    trainer_of: TrainerOf = configured,
) -> BacktestResult:
    """The same, of an archive. A run that was killed goes on with the cells that are in `folder`."""
    if min(ask.seeds, ask.rounds, ask.jobs) < 1 or (ask.budget or 1) < 1:
        raise ConfigError(f"backtest: expected seeds, rounds, jobs and budget of at least 1, got {ask}")
    names = ("random", *(name for name in dict.fromkeys(ask.arms) if name != "random"))
    arms = [arm(name, archive.config) for name in names]
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    plan = Plan(folder, ask.rounds, ask.budget)
    lines = _Lines(archive, plan, ask.jobs, progress, trainer_of)
    few = min(PILOT, ask.seeds)
    again = arm(AGAIN, archive.config)
    lines.make("backtest: pilot", [(one, seed) for seed in range(few) for one in (arms[0], again)])
    drives = held_out(archive, ask.seeds)
    pilot = _pilot(archive, lines, few, ask.seeds, drives)
    if tell is not None:
        tell(before(pilot, ask.seeds))
    if not ask.pilot_only:
        lines.make("backtest", [(one, seed) for seed in range(ask.seeds) for one in arms])
    return _result(archive, ask, folder, lines, () if ask.pilot_only else arms, pilot, drives)


def before(pilot: Pilot, seeds: int) -> str:
    """What is said before the run."""
    if pilot.detectable is None:
        return "pilot: two draws of random do not differ at all; what could be seen is not known"
    shown = ", ".join(f"{one:+.3f}" for one in pilot.differences)
    return (
        f"pilot: two draws of random differ by {shown} mAP50 (area between curves over labels); "
        f"{seeds} seeds would see a difference of about {pilot.detectable:.3f} (chance 80 %)"
    )


def held_out(archive: Archive, seeds: int) -> int:
    """How many drives are held out by any of the seeds."""
    return len({archive.drives[row] for seed in range(seeds) for row in parts(archive, seed).score})


# ---------------------------------------------------------------------- making cells


@dataclass
class _Lines:
    """The cells of every (arm, seed), round by round; made where they are missing."""

    archive: Archive
    plan: Plan
    jobs: int
    progress: Progress
    trainer_of: TrainerOf
    done: dict[tuple[str, int], list[Cell]] = field(default_factory=dict)

    def make(self, title: str, wanted: Sequence[tuple[Arm, int]]) -> None:
        missing = []
        for one, seed in wanted:
            line = self.done.setdefault((one.name, seed), [])
            line += self._there(one, seed, len(line))
            missing += [(one, seed)] if len(line) < self.plan.rounds else []
        total = sum(self.plan.rounds - len(self.done[one.name, seed]) for one, seed in missing)
        tick = self.progress(f"{title}, {total} cells")
        tick(0, total)
        made = self._alone(missing) if self.jobs == 1 else self._together(missing)
        for count, (place, cell) in enumerate(made, 1):
            self.done[place].append(cell)
            tick(count, total)

    def _there(self, one: Arm, seed: int, start: int) -> Iterator[Cell]:
        """Cells that a run before has left, up to the first that is missing."""
        trainer = self.trainer_of(self.archive)
        for number in range(start, self.plan.rounds):
            cell = cells.kept(cells.path_of(self.archive, self.plan, one, seed, number, trainer))
            if cell is None:
                return
            yield cell

    def _alone(self, missing: Iterable[tuple[Arm, int]]) -> Iterator[tuple[tuple[str, int], Cell]]:
        for one, seed in missing:
            place = one.name, seed
            for number in range(len(self.done[place]), self.plan.rounds):
                yield place, cells.cell(self.archive, self.plan, one, seed, number, self.trainer_of)

    def _together(self, missing: Iterable[tuple[Arm, int]]) -> Iterator[tuple[tuple[str, int], Cell]]:
        """In processes; of each line the next cell once the one before is there."""
        begin = (self.archive, self.plan, self.trainer_of)
        with ProcessPoolExecutor(self.jobs, get_context("spawn"), _begin, begin) as pool:
            open_: dict[Future[Cell], tuple[str, int]] = {}
            for one, seed in missing:
                place = one.name, seed
                open_[pool.submit(_cell, *place, len(self.done[place]))] = place
            try:
                while open_:
                    ended, _ = wait(open_, return_when=FIRST_COMPLETED)
                    for future in ended:
                        place = open_.pop(future)
                        cell = future.result()
                        if cell.round + 1 < self.plan.rounds:
                            open_[pool.submit(_cell, *place, cell.round + 1)] = place
                        yield place, cell
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


_HERE: list[tuple[Archive, Plan, TrainerOf]] = []


def _begin(archive: Archive, plan: Plan, trainer_of: TrainerOf) -> None:
    """In a process of the pool: what its cells are of. It ends with the process that began it, however that ends."""
    _HERE[:] = [(archive, plan, trainer_of)]
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _cell(name: str, seed: int, number: int) -> Cell:
    archive, plan, trainer_of = _HERE[0]
    return cells.cell(archive, plan, arm(name, archive.config), seed, number, trainer_of)


# ---------------------------------------------------------------------- from cells to the answer


def run_of(archive: Archive, line: Sequence[Cell]) -> answer.Run:
    """The curve of one arm and seed."""
    price = archive.config.cost
    rows = [archive.rows(cell.chosen) for cell in line]
    scenes = np.cumsum([len(one) for one in rows]).astype(np.float64)
    boxes, cuboids = (
        np.cumsum([of[one].sum() for one in rows]).astype(np.float64)
        for of in (archive.boxes, archive.cuboids)
    )
    seconds = price.scene * scenes + price.box * boxes + price.cuboid * cuboids
    learned = boxes if archive.modality == "2d" else cuboids
    return answer.Run(
        {"scenes": scenes, "boxes": learned, "minutes": seconds / 60},
        figures_of(archive, np.array([cell.marks for cell in line], dtype=np.float64)),
    )


def figures_of(archive: Archive, marks: chance.Floats) -> dict[str, chance.Floats]:
    """Figures by name, from marks (R, 1 + B, 1 + K): mAP50, mAP, the mean of the rare classes, and each class that is there."""
    classes = archive.config.classes
    by_class = {name: marks[:, :, 1 + i] for i, name in enumerate(classes)}
    by_class = {name: values for name, values in by_class.items() if not np.isnan(values).all()}
    rare = [values for name, values in by_class.items() if name in archive.rare]
    figures = {"map50": chance.mean(np.stack(list(by_class.values()))), "map": marks[:, :, 0]}
    if rare:
        figures["rare"] = chance.mean(np.stack(rare))
    return {**figures, **by_class}


def _runs(archive: Archive, lines: _Lines, name: str, seeds: int) -> list[answer.Run]:
    """The curves of an arm, by seed, with the figures that all of them have."""
    return [run_of(archive, lines.done[name, seed]) for seed in range(seeds)]


def _alike(every: dict[str, list[answer.Run]]) -> dict[str, list[answer.Run]]:
    """The same with the figures that every arm and seed has: a class may be missing on the held-out drives of a seed."""
    names = [set(run.figures) for runs in every.values() for run in runs]
    there = [name for name in next(iter(every.values()))[0].figures if all(name in one for one in names)]
    return {
        arm_: [answer.Run(run.costs, {name: run.figures[name] for name in there}) for run in runs]
        for arm_, runs in every.items()
    }


def _pilot(archive: Archive, lines: _Lines, few: int, seeds: int, drives: int) -> Pilot:
    """The noise of a difference, from two draws of random: its expectation is known to be 0."""
    ones, others = (_runs(archive, lines, name, few) for name in ("random", AGAIN))
    areas = np.stack(
        [answer.area(one, other, "boxes", "map50") for one, other in zip(ones, others, strict=True)]
    )
    differences = areas[:, 0][~np.isnan(areas[:, 0])]
    of_seeds = float((differences**2).mean() / seeds) if len(differences) else None
    noise = chance.Spread(
        of_seeds, max(seeds, 2), None, drives
    )  # drives are in it: each seed holds out its own
    detectable = noise.detectable()
    return Pilot(
        seeds=few, differences=tuple(round(float(one), 6) for one in differences), detectable=detectable
    )


def _result(
    archive: Archive,
    ask: Ask,
    folder: Path,
    lines: _Lines,
    arms: Sequence[Arm],
    pilot: Pilot,
    drives: int,
) -> BacktestResult:
    what = "boxes" if archive.modality == "2d" else "cuboids"
    every = _alike({one.name: _runs(archive, lines, one.name, ask.seeds) for one in arms}) if arms else {}
    against = tuple(
        answer.against(name, runs, every["random"], cost, drives)
        for name, runs in every.items()
        if name != "random"
        for cost in answer.COSTS
    )
    return BacktestResult(
        dataset=archive.name,
        field="",
        modality=archive.modality,
        trainer=lines.trainer_of(archive).name,
        arms=tuple(every),
        seeds=ask.seeds,
        rounds=ask.rounds,
        parts=_parts(archive, ask.seeds),
        rare=archive.rare,
        costs=archive.config.cost.model_dump(),
        curves=tuple(answer.curve(name, runs, drives) for name, runs in every.items()),
        against=against,
        pilot=pilot,
        sentences=tuple(answer.in_words(one, what) for one in against if one.cost == "boxes"),
        notes=(*_notes(archive, ask, lines, drives), *_unlearned(every)),
        folder=str(folder),
    )


def _parts(archive: Archive, seeds: int) -> dict[str, Part]:
    out = {}
    each = [parts(archive, seed) for seed in range(seeds)]
    for name in ("pool", "mine", "score"):
        rows = [list(getattr(one, name)) for one in each]
        scenes = [len(one) for one in rows]
        drives = [len({archive.drives[row] for row in one}) for one in rows]
        objects = [int(archive.counts[one].sum()) for one in rows]
        out[name] = Part(
            scenes=(min(scenes), max(scenes)),
            drives=(min(drives), max(drives)),
            objects=(min(objects), max(objects)),
        )
    return out


def _unlearned(every: dict[str, list[answer.Run]]) -> list[str]:
    """A word where no arm's models have learned enough to be compared, and where many arms are."""
    notes = []
    best = max(
        (float(np.nanmax(run.figures["map50"][:, 0])) for runs in every.values() for run in runs), default=1.0
    )
    if best < LEARNED:
        notes.append(
            f"no model reached mAP50 {LEARNED:g} (best: {best:.3f}): they have learned next to nothing, and what is not told apart here says "
            "nothing of models that have; train longer, or label more per round"
        )
    if len(every) > 4:
        notes.append(
            f"{len(every) - 1} arms are compared with random: of 20 that are no better, one is called different by chance"
        )
    return notes


def _notes(archive: Archive, ask: Ask, lines: _Lines, drives: int) -> tuple[str, ...]:
    notes = list(archive.notes)
    if ask.seeds == 1:
        notes.append(
            "one seed: the intervals know the drives, not what another draw or training would have brought"
        )
    if drives < FEW:
        notes.append(
            f"{drives} held-out drives in all: with fewer than {FEW} intervals hold less often than they say"
        )
    said = dict.fromkeys(note for line in lines.done.values() for cell in line for note in cell.notes)
    return (*notes, *said)
