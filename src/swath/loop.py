"""The loop of one dataset: `plan()` says the next step and why, `next()` does it, `run()` goes on until people are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from swath import config as configuration
from swath import life
from swath.config import LoopConfig
from swath.errors import ConfigError, StateError, SwathError, UnknownNameError, WaitingError
from swath.life import STEPS
from swath.records.loop import Configured
from swath.records.results import FetchResult, RunResult, Setting, Settings, Standing, StepResult, Where
from swath.records.shown import Next
from swath.store.dataset import find, names_of
from swath.store.journal import datasets_with_a_loop
from swath.store.scenes import Scenes, open_journal
from swath.suggest import command, meant, ways_on
from swath.workspace import Progress, Workspace, checked_name, default_home, may_change, silent

if TYPE_CHECKING:
    from swath.annotators.base import Annotator
    from swath.backtest import Ask
    from swath.records.backtest import BacktestResult
    from swath.records.batch import Checked, GoldenChecked, Stopped, Trained
    from swath.records.results import (
        AdjudicateResult,
        AdoptResult,
        BatchResult,
        EmbedResult,
        EvaluateResult,
        ExplainResult,
        GoldenPlan,
        InitResult,
        ReferenceResult,
        RepairResult,
        ReplayResult,
        RoundResult,
        SelectResult,
        SendResult,
        SplitResult,
        Status,
    )
    from swath.report import Look

Result = TypeVar("Result")
LISTED: Final = 6  # loops that `where` tells of


@dataclass
class Loop:
    """The loop of one dataset. `Loop.open("name")`, or `Loop.init_kitti(...)` to begin one."""

    workspace: Workspace
    _annotator: Annotator | None = field(default=None, repr=False)
    _changed: bool = field(default=False, repr=False)

    # ------------------------------------------------------------------ opening

    @classmethod
    def open(
        cls,
        name: str,
        *,
        changes: Mapping[str, Any] | None = None,
        source: str = "the call",
        progress: Progress = silent,
        wait: float = 30.0,
        held: Callable[[str], None] | None = None,
    ) -> Loop:
        """Opens the loop of a dataset. Writes nothing: what a killed process left behind is put right by the next step that
        writes, or by `recover`.

        `changes` are settings put over the ones in the journal, `source` says where they are from (if they do not say it
        themselves: `swath.changes`); the first step that succeeds with them keeps them there, and so does `configure`.
        `wait`: seconds to wait for another process that holds the dataset; `held` is told which.
        """
        dataset = find(name)
        journal = open_journal(dataset)
        stored = journal.loop()
        if stored.steps.init is None or stored.home is None:
            if (holder := journal.lease.holder()) is not None:
                raise StateError(
                    f"{name}: its scenes are being taken in, by {holder}; try again when it is done"
                )
            raise StateError(
                f"{name}: taking its scenes in was interrupted; run the same init command again, it goes on where it was"
            )
        config = configuration.parse(stored.config, "the journal")
        workspace = Workspace(
            Scenes(dataset, config), journal, config, Path(stored.home), progress, wait, held, stored.known()
        )
        loop = cls(workspace)
        if changes:
            loop._change(changes, source)
        return loop

    def _change(self, changes: Mapping[str, Any], source: str) -> None:
        before = self.workspace.config
        config = configuration.merged(before, changes, source)
        if config == before:
            return
        may_change(self.workspace.journal, before, config)
        begun = self.workspace.journal.loop().steps.init
        if config.fields != before.fields and begun is not None and begun.fiftyone:
            from swath.fields_there import labels_there

            labels_there(self.workspace.scenes.dataset, config)
        self.workspace.config = config
        self.workspace.origins = configuration.sources(
            self.workspace.origins, before, config, changes, source
        )
        self.workspace.scenes = Scenes(self.workspace.scenes.stored, config)
        self._changed = True

    def _done(self, result: Result) -> Result:
        """A step that succeeded: the settings it ran under are kept."""
        if self._changed:
            config = self.workspace.config
            with self.workspace.writer("configure") as writer:
                entry = {"configure": Configured(hash=config.hash())}
                origins = self.workspace.origins
                self.workspace.journal.record(
                    writer, entry, config=config.model_dump(mode="json"), origins=origins
                )
            self._changed = False
        return result

    def _cleared(self, result: Result) -> Result:
        """A batch has ended: its work sets go, and what is kept of them is said."""
        from swath.steps.annotate import clear

        for kept in clear(self.workspace):
            if self.workspace.held is not None:
                self.workspace.held(kept)
        return result

    def configure(self) -> Settings:
        """Keeps the changed settings that the loop was opened with; returns those in force."""
        before = configuration.parse(self.workspace.journal.loop().config, "the journal")
        was, now = configuration.values(before), configuration.values(self.workspace.config)
        kept = {name: value for name, value in now.items() if was.get(name) != value}
        return self._done(self.settings().with_(kept=kept))

    def settings(self) -> Settings:
        """The settings in force, and where each was given."""
        return settings_of(self.workspace.config, self.workspace.origins, self.name)

    def recover(self) -> None:
        """Puts right what a killed process left behind, if it did, and brings a loop of swath 0.1.0 to today's schema."""
        if self.workspace.journal.unclean():
            with self.workspace.writer("recover"):
                pass  # recovery comes with taking the dataset

    @classmethod
    def init_kitti(
        cls,
        name: str,
        root: Path,
        *,
        changes: Mapping[str, Any] | None = None,
        home: Path | None = None,
        strict: bool = False,
        progress: Progress = silent,
        held: Callable[[str], None] | None = None,
    ) -> tuple[Loop, InitResult]:
        """Imports a KITTI folder as the dataset `name`, or adds its new frames to it."""
        return cls._init_folder("kitti", name, root, changes, home, strict, progress, held)

    @classmethod
    def init_rig(
        cls,
        name: str,
        root: Path,
        *,
        changes: Mapping[str, Any] | None = None,
        home: Path | None = None,
        strict: bool = False,
        progress: Progress = silent,
        held: Callable[[str], None] | None = None,
    ) -> tuple[Loop, InitResult]:
        """Imports a rig folder (any number of cameras and clouds) as the dataset `name`, or adds its new frames to it."""
        return cls._init_folder("rig", name, root, changes, home, strict, progress, held)

    @classmethod
    def _init_folder(
        cls,
        kind: str,
        name: str,
        root: Path,
        changes: Mapping[str, Any] | None,
        home: Path | None,
        strict: bool,
        progress: Progress,
        held: Callable[[str], None] | None,
    ) -> tuple[Loop, InitResult]:
        from swath.steps.init import init_folder

        config, origins, home = _config_of(name, changes, home)
        workspace, result = init_folder(
            kind, name, Path(root), config, home, origins=origins, strict=strict, progress=progress, held=held
        )
        return cls(workspace), result

    @classmethod
    def init_fiftyone(
        cls,
        name: str,
        *,
        changes: Mapping[str, Any] | None = None,
        home: Path | None = None,
        progress: Progress = silent,
        held: Callable[[str], None] | None = None,
    ) -> tuple[Loop, InitResult]:
        """Begins the loop of a FiftyOne dataset that exists, grouped or plain. `ConfigError` where it has fields of its own under names
        that swath writes."""
        from swath.steps.init import init_fiftyone

        config, origins, home = _config_of(name, changes, home)
        workspace, result = init_fiftyone(name, config, home, origins=origins, progress=progress, held=held)
        return cls(workspace), result

    @staticmethod
    def may_init_fiftyone(name: str) -> None:
        """`SwathError` where there is no FiftyOne dataset `name` that a loop could run on."""
        from swath import database
        from swath.steps.init import usable

        database.ensure()
        usable(name)

    @classmethod
    def adopt(
        cls,
        name: str,
        *,
        changes: Mapping[str, Any] | None = None,
        home: Path | None = None,
        fix: bool = False,
        progress: Progress = silent,
    ) -> tuple[Loop, AdoptResult]:
        """Takes over a dataset that was run by hand with the guide; reports what does not add up, and puts it right with `fix`."""
        from swath.steps.adopt import adopt, refuse_a_loop
        from swath.steps.init import init_fiftyone

        configuration.merged(LoopConfig(), changes or {}, "the call")  # settings that cannot be come first
        refuse_a_loop(open_journal(find(name)), name)
        config, origins, home = _config_of(name, changes, home)
        workspace, _ = init_fiftyone(name, config, home, origins=origins, by_hand=True, progress=progress)
        return cls(workspace), adopt(workspace, fix=fix)

    @property
    def name(self) -> str:
        """Of the dataset."""
        return self.workspace.name

    @property
    def annotator(self) -> Annotator:
        """Who labels: the configured annotator, or the one that was set."""
        if self._annotator is None:
            from swath.annotators import make
            from swath.steps.annotate import hidden_truth, suggest

            workspace = self.workspace
            self._annotator = make(
                workspace.config.annotate,
                truth=lambda: hidden_truth(workspace),
                seed=workspace.config.seed,
                loop=workspace.name,
                home=workspace.home,
                suggest=lambda work: suggest(workspace, work),
            )
        return self._annotator

    @annotator.setter
    def annotator(self, annotator: Annotator) -> None:
        self._annotator = annotator

    def _may_send(self) -> None:
        """`SwathError` where the configured annotator could not be given a batch: before one is committed."""
        if self._annotator is None:
            from swath.annotators import may_send

            may_send(self.workspace.config.annotate, self.workspace.config.classes)

    # ------------------------------------------------------------------ steps

    def split(self) -> SplitResult:
        """Splits the scenes by drive into test (frozen), val, golden and pool, and audits them for leaks."""
        from swath.steps.splits import split

        self.recover()  # a dataset that is split already is not written to
        return self._done(split(self.workspace))

    def embed(self) -> EmbedResult:
        """Fills the embeddings of pool, val and golden: what is missing or stale."""
        from swath.steps.embed import embed

        return self._done(embed(self.workspace))

    def reference(
        self, field: str | Sequence[str] | None = None, *, final: bool = False
    ) -> ReferenceResult | FetchResult:
        """Takes the reference over from `field` (several: the first that a scene has labels in), or has val and golden (test, with
        `final`) labelled by the annotator."""
        from swath.steps.reference import import_reference, plan_reference

        self.recover()  # it looks at where the reference stands before it writes
        if field is not None:
            fields = [field] if isinstance(field, str) else list(dict.fromkeys(field))
            return self._cleared(self._done(import_reference(self.workspace, fields, final=final)))
        self._may_send()
        plan_reference(self.workspace, self.annotator, final=final)
        self.send()
        return self.fetch()

    def adjudicate(self, choices: Mapping[str, str] | None = None) -> AdjudicateResult:
        """What the two labellings of the reference see differently, drawn on a page; `choices`: `KEY:N` (`*`: all that are open) ->
        `a`, `b`, `mean` or `none`."""
        from swath.report.differences import write_page
        from swath.steps.adjudicate import adjudicate

        result = self._done(adjudicate(self.workspace, choices or {}))
        return result.with_(page=str(write_page(self.workspace, result))) if result.differences else result

    def select(
        self,
        *,
        exclude: Sequence[str] = (),
        dry_run: bool = False,
        anyway: bool = False,
        budget: int | None = None,
    ) -> SelectResult:
        """Chooses the next batch and commits it; `dry_run` only says what it would be."""
        from swath.steps.select import select

        if not dry_run:
            self._may_send()
        result = select(self.workspace, exclude=exclude, dry_run=dry_run, anyway=anyway, budget=budget)
        return result if dry_run else self._done(result)

    def send(self) -> SendResult:
        """Hands the open batch to the annotator."""
        from swath.steps.annotate import send

        return self._done(send(self.workspace, self.annotator))

    def fetch(
        self, *, accept_partial: bool = False, edits: Literal["mine", "theirs"] | None = None
    ) -> FetchResult:
        """Takes in what the annotator answered so far. `accept_partial`: without the labels that are in quarantine; `edits`: whose
        labels hold where a scene was edited by hand and changed by the annotator too."""
        from swath.steps.annotate import fetch

        done = self._done(fetch(self.workspace, self.annotator, accept_partial=accept_partial, edits=edits))
        return self._cleared(done) if done.state in life.ENDED else done

    def check(self, *, model: bool = False) -> Checked:
        """Looks for labels of the last round that cannot be right; with `model`, the model of the round before is asked as well."""
        from swath.steps.check import check

        return self._done(check(self.workspace, model=model))

    def golden(self, override: str | None = None) -> GoldenChecked:
        """Compares the blind labels of the golden scenes with their reference; `WaitingError` when that blocks.

        `override`: the reason to go on all the same.
        """
        from swath.steps.golden import golden

        return self._done(golden(self.workspace, override=override))

    def golden_plan(self) -> GoldenPlan:
        """How many golden scenes a round must have labelled again to see what; writes nothing."""
        from swath.steps.golden import plan

        return plan(self.workspace)

    def train(self) -> Trained:
        """Trains the round's model on the labelled pool."""
        from swath.steps.train import train

        return self._done(train(self.workspace))

    def evaluate(self, final: bool = False) -> EvaluateResult:
        """Scores the model on val and tags its failures; on test, with `final`."""
        from swath.steps.evaluate import evaluate

        return self._done(evaluate(self.workspace, final=final))

    def stop(self) -> Stopped:
        """Decides whether to go on, and closes the round."""
        from swath.steps.stop import stop

        return self._cleared(self._done(stop(self.workspace)))

    # ------------------------------------------------------------------ the loop

    def plan(self) -> Next:
        """The next step and why. Reads the journal; changes nothing."""
        return self.standing().next

    def standing(self) -> Standing:
        """Where the loop stands, in a line: its last round, the next step and why. Reads the journal; changes nothing."""
        journal, config = self.workspace.journal, self.workspace.config
        batches = journal.batches.all()
        opened = next((batch for batch in batches if batch.state == "annotating"), None)
        at = life.Situation(
            waiting=journal.assignments.waiting(opened.round) if opened else 0,
            holder=journal.lease.holder(),
            encoder=config.embed.encoder,
            annotator=self._annotator is not None or config.annotate.annotator is not None,
        )
        plan = life.plan(journal.loop(), batches, at, self.name)
        rounds = life.rounds(batches)
        last = rounds[-1].round if rounds else None
        return Standing(
            dataset=self.name,
            round=last,
            state=rounds[-1].state if rounds else None,
            waiting=at.waiting,
            next=plan,
            ways=ways_on(plan.step, plan.people, self.name, last),
        )

    def next(self) -> tuple[Next, StepResult]:
        """Does the next step; returns what it was and what came of it. `WaitingError` when people are needed."""
        self.recover()
        plan = self.plan()
        if plan.step is None or plan.people:
            raise WaitingError(plan.why, self.ways_on(plan))
        return plan, self.step(plan.step)

    def ways_on(self, plan: Next) -> tuple[str, ...]:
        """Commands to choose from where `plan` waits for people, or nothing is next."""
        there = life.rounds(self.workspace.journal.batches.all())
        last, left = there[-1].round if there else None, plan.step is not None or self._pool_left()
        return ways_on(plan.step, plan.people, self.name, last, left)

    def _pool_left(self) -> bool:
        """Whether a scene of the pool could still be chosen."""
        pool = self.workspace.members("pool")
        states = self.workspace.states(pool)
        return any(states[key].status == "unlabeled" for key in pool)

    def step(self, name: str) -> StepResult:
        """Does a step by its name (one of `life.STEPS`)."""
        steps: dict[str, Callable[[], StepResult]] = {
            "split": self.split,
            "embed": self.embed,
            "reference": self.reference,
            "select": self.select,
            "send": self.send,
            "fetch": self.fetch,
            "check": self.check,
            "golden": self.golden,
            "train": self.train,
            "evaluate": self.evaluate,
            "stop": self.stop,
        }
        if name not in steps:
            raise UnknownNameError(f"no step {name!r}{meant(name, steps)}; there are: {', '.join(steps)}")
        return steps[name]()

    def run(
        self,
        rounds: int = 1,
        *,
        until: str | None = None,
        tell: Callable[[Next, StepResult], None] | None = None,
    ) -> RunResult:
        """Steps until `rounds` rounds are closed, `until` was done, people are needed, or the decision is to stop."""
        if until is not None and until not in STEPS:
            raise ConfigError(
                f"--until: no step {until!r}{meant(until, STEPS)}; there are: {', '.join(STEPS)}"
            )
        self.recover()
        done: list[tuple[str, StepResult]] = []
        waits: str | None = None
        while self._closed() < rounds and waits is None:
            plan = self.plan()
            if plan.step is None:
                break
            if plan.people:
                waits = plan.why
                break
            try:
                result = self.step(plan.step)
            except WaitingError as error:
                waits = str(error)
                break
            done.append((plan.step, result))
            if tell is not None:
                tell(plan, result)
            if isinstance(result, FetchResult) and result.waiting:
                waits = _why_it_waits(result)
            if plan.step == until:
                break
        return RunResult(done=tuple(done), closed=self._closed(), next=self.plan(), waits=waits)

    def _closed(self) -> int:
        return sum(batch.state == "closed" for batch in life.rounds(self.workspace.journal.batches.all()))

    # ------------------------------------------------------------------ changing one's mind, putting right

    def cancel(self, name: str, reason: str) -> RoundResult:
        """Cancels a round before its model is trained; labels that came are kept."""
        from swath.steps.rounds import cancel

        return self._cleared(cancel(self.workspace, name, reason))

    def close_round(self, name: str, reason: str = "") -> RoundResult:
        """Ends the wait for labels of a round: what did not come goes back to the pool."""
        from swath.steps.rounds import close

        return close(self.workspace, name, reason)

    def reopen(self, name: str, reason: str) -> RoundResult:
        """Sends a round that is labelled and not trained yet back to its annotators, to be labelled again."""
        from swath.steps.rounds import reopen

        return reopen(self.workspace, name, reason)

    def repair(self, *, check: bool = False) -> RepairResult:
        """Makes every tag, view and mirror what the journal says; with `check`, only says what differs."""
        from swath.steps.repair import repair

        return repair(self.workspace, check=check)

    def replay(self, name: str) -> ReplayResult:
        """Chooses the batch of a round again, and compares byte by byte."""
        from swath.steps.select import replay

        return replay(self.workspace, name)

    # ------------------------------------------------------------------ showing

    @staticmethod
    def names() -> list[str]:
        """The datasets that have a loop, sorted."""
        from swath import database

        if database.is_new():
            return []
        db = database.connected()
        return names_of(db, datasets_with_a_loop(db))

    @classmethod
    def where(cls, name: str | None = None) -> Where:
        """Where the loops stand: that of `name`, else all of them, but for those beyond the first few."""
        there = cls.names() if name is None else [name]
        return Where(loops=tuple(map(_standing, there[:LISTED])), others=tuple(there[LISTED:]))

    def last_golden(self) -> GoldenChecked:
        """What the last golden check said."""
        from swath.steps.explain import last_golden

        return last_golden(self.workspace)

    def last_stopped(self) -> Stopped:
        """What was decided after the last round that was."""
        from swath.steps.explain import last_stopped

        return last_stopped(self.workspace)

    def last_evaluated(self, *, final: bool = False) -> EvaluateResult:
        """The last evaluation, on val or, with `final`, on test."""
        from swath.steps.explain import last_evaluated

        return last_evaluated(self.workspace, final=final)

    def explain(self, key: str) -> ExplainResult:
        """All that the journal knows of one scene, by key or FiftyOne id."""
        from swath.steps.explain import explain

        return explain(self.workspace, key)

    def batch(self, name: str) -> BatchResult:
        """A committed batch, scene by scene."""
        from swath.steps.explain import list_batch

        return list_batch(self.workspace, name)

    def status(self) -> Status:
        """Progress by scene and slice, round by round."""
        from swath.steps.explain import status

        return status(self.workspace, self.plan())

    def pictures(self, keys: Sequence[str]) -> dict[str, str]:
        """Path of the primary channel's medium of each scene."""
        table = self.workspace.scenes.of(keys)
        primary = self.workspace.rig.primary
        return {key: table.path(primary, key) if key in table.row_of else "" for key in keys}

    def backtest(
        self, field: str | Sequence[str], ask: Ask | None = None, *, to: Path | None = None
    ) -> BacktestResult:
        """Runs arms against random on scenes that have labels in `field` (several: the first that a channel has), from nothing; into
        the folder `to`. Writes nothing to the dataset."""
        from swath.backtest import Ask, backtest

        fields = [field] if isinstance(field, str) else list(dict.fromkeys(field))
        return backtest(self.workspace, fields, ask or Ask(), to)

    def report(self, to: Path | None = None) -> Path:
        """Writes the HTML report; returns its path."""
        from swath.report import write_report

        return write_report(self.workspace, self.status(), to)

    def look(self, *sections: str, height: int = 640) -> Look:
        """Sections of the report (`first`, `scores`, `golden`, ...; all, when none is named), as a notebook shows them."""
        from swath.report import look

        return look(self.workspace, self.status(), sections, height)


def _standing(name: str) -> Standing:
    try:
        return Loop.open(name).standing()
    except SwathError as error:  # one that cannot be opened is a line among the others
        return Standing(dataset=name, round=None, state=None, waiting=0, next=Next(None, str(error)), ways=())


def _why_it_waits(result: FetchResult) -> str:
    waits = f"{result.waiting} scenes of {result.batch} wait for labels from {result.annotator}"
    if result.rejected:
        first = result.rejected[0]
        waits += f"; {len(result.rejected)} labels were rejected, the first ({first.where}): {first.reason}"
    how = command("fetch", result.dataset)
    return "; ".join((waits, *result.notes)) + f"; when they are there: `{how}`"


def settings_of(
    config: LoopConfig, origins: Mapping[str, str] = MappingProxyType({}), dataset: str | None = None
) -> Settings:
    """Every setting of `config`, beside its default and where it was given."""
    defaults = configuration.values(LoopConfig())
    listed = []
    for name, value in configuration.values(config).items():
        differs = name not in defaults or value != defaults[name]
        source = origins.get(name, "the journal") if differs else "default"
        listed.append(
            Setting(name=name, value=value, default=defaults.get(name), differs=differs, source=source)
        )
    return Settings(dataset=dataset, settings=tuple(listed))


def _config_of(
    name: str, changes: Mapping[str, Any] | None, home: Path | None
) -> tuple[LoopConfig, dict[str, str], Path]:
    """The configuration of a dataset, where its settings were given, and its folder: the journal's, where it has a loop already,
    with `changes` over them."""
    from swath import database

    database.ensure()
    import fiftyone as fo

    base, known, given = LoopConfig(), {}, changes or {}
    checked_name(name)
    if fo.dataset_exists(name):
        journal = open_journal(fo.load_dataset(name))
        if journal.exists():
            stored = journal.loop()
            base, known = configuration.parse(stored.config, "the journal"), stored.known()
            home = home or (Path(stored.home) if stored.home else None)
            may_change(journal, base, configuration.merged(base, given, "the call"))
    config = configuration.merged(base, given, "the call")
    return config, configuration.sources(known, base, config, given, "the call"), home or default_home(name)
