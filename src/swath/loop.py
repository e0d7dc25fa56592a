"""The loop of one dataset: `plan()` says the next step and why, `next()` does it, `run()` goes on until people are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from swath import config as configuration
from swath.config import LoopConfig
from swath.errors import ConfigError, StateError, WaitingError
from swath.scenes import Scenes, load_dataset, open_journal
from swath.steps.workspace import Progress, Workspace, default_home, silent

if TYPE_CHECKING:
    from swath.annotators.base import Annotator
    from swath.steps.adopt import AdoptResult
    from swath.steps.annotate import FetchResult, SendResult
    from swath.steps.check import CheckResult
    from swath.steps.embed import EmbedResult
    from swath.steps.evaluate import EvaluateResult
    from swath.steps.golden import GoldenResult
    from swath.steps.init import InitResult
    from swath.steps.mend import ExplainResult, RepairResult, ReplayResult, RoundResult
    from swath.steps.reference import ReferenceResult
    from swath.steps.select import SelectResult
    from swath.steps.splits import SplitResult
    from swath.steps.stop import StopResult
    from swath.steps.train import TrainResult

STEPS: Final = (
    "split",
    "embed",
    "reference",
    "select",
    "send",
    "fetch",
    "check",
    "golden",
    "train",
    "evaluate",
    "stop",
)
Result = TypeVar("Result")
FROZEN: Final = ("classes", "slices", "fields", "splits")  # settings that a split dataset keeps


@dataclass(frozen=True)
class Next:
    """The next step; `step` is None when there is none, `people` says that it waits for somebody."""

    step: str | None
    why: str
    people: bool = False


@dataclass(frozen=True)
class RunResult:
    """`done`: (step, what came of it), in order; `waits`: why it ended before the rounds were closed, or None."""

    done: tuple[tuple[str, Any], ...]
    closed: int
    next: Next
    waits: str | None = None


@dataclass(frozen=True)
class Status:
    """Where the loop stands (`swath status --json`)."""

    dataset: str
    scenes: int
    slices: Mapping[str, int]
    splits: Mapping[str, int]
    pool: Mapping[str, int]
    rounds: tuple[Mapping[str, Any], ...]
    next: Next
    embeddings: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] | None = None
    set_aside: int = 0
    held_by: str | None = None

    def as_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["next"] = {"step": self.next.step, "why": self.next.why}
        return data


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
        source: str = "config",
        progress: Progress = silent,
        wait: float = 30.0,
    ) -> Loop:
        """Opens the loop of a dataset and recovers what a killed process left behind.

        `changes` are settings put over the ones in the journal; the first step that succeeds with them keeps them there.
        """
        dataset = load_dataset(name)
        journal = open_journal(dataset)
        stored = journal.loop()
        config = configuration.parse(stored["config"], "the journal")
        workspace = Workspace(Scenes(dataset, config), journal, config, Path(stored["home"]), progress, wait)
        loop = cls(workspace)
        if changes:
            loop._configure(configuration.merged(config, dict(changes), source))
        if journal.unclean():
            with workspace.writer("recover"):
                pass  # recovery comes with taking the dataset
        return loop

    def _configure(self, config: LoopConfig) -> None:
        before = self.workspace.config
        if config == before:
            return
        if self.workspace.is_split():
            for name in FROZEN:
                if getattr(config, name) != getattr(before, name):
                    raise ConfigError(
                        f"{name}: cannot change once the dataset is split (it is {getattr(before, name)!r}); "
                        "start another dataset for that"
                    )
        self.workspace.config = config
        self.workspace.scenes = Scenes(self.workspace.scenes.dataset, config)
        self._changed = True

    def _done(self, result: Result) -> Result:
        """A step that succeeded: the settings it ran under are kept."""
        if self._changed:
            config = self.workspace.config
            with self.workspace.writer("configure") as writer:
                entry = {"hash": config.hash()}
                self.workspace.journal.record(
                    writer, "configure", entry, config=config.model_dump(mode="json")
                )
            self._changed = False
        return result

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
    ) -> tuple[Loop, InitResult]:
        """Imports a KITTI folder as the dataset `name`, or adds its new frames to it."""
        from swath.steps.init import init_kitti

        config, home = _config_of(name, changes, home)
        workspace, result = init_kitti(name, Path(root), config, home, strict=strict, progress=progress)
        return cls(workspace), result

    @classmethod
    def init_fiftyone(
        cls,
        name: str,
        *,
        changes: Mapping[str, Any] | None = None,
        home: Path | None = None,
        progress: Progress = silent,
    ) -> tuple[Loop, InitResult]:
        """Begins the loop of a FiftyOne dataset that exists, grouped or plain."""
        from swath.steps.init import init_fiftyone

        config, home = _config_of(name, changes, home)
        workspace, result = init_fiftyone(name, config, home, progress=progress)
        return cls(workspace), result

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
        from swath.steps.adopt import adopt

        config = configuration.merged(LoopConfig(), dict(changes or {}), "config")
        workspace, result = adopt(name, config, home or default_home(name), fix=fix, progress=progress)
        return cls(workspace), result

    @property
    def name(self) -> str:
        return self.workspace.name

    @property
    def annotator(self) -> Annotator:
        """Who labels: the configured annotator, or the one that was set."""
        if self._annotator is None:
            from swath.steps.annotate import make_annotator

            self._annotator = make_annotator(self.workspace)
        return self._annotator

    @annotator.setter
    def annotator(self, annotator: Annotator) -> None:
        self._annotator = annotator

    # ------------------------------------------------------------------ steps

    def split(self) -> SplitResult:
        from swath.steps.splits import split

        return self._done(split(self.workspace))

    def embed(self) -> EmbedResult:
        from swath.steps.embed import embed

        return self._done(embed(self.workspace))

    def reference(self, field: str | None = None, *, final: bool = False) -> ReferenceResult | FetchResult:
        """Takes the reference over from `field`, or has val and golden (test, with `final`) labelled by the annotator."""
        from swath.steps import reference
        from swath.steps.annotate import open_batch

        if field is not None:
            return self._done(reference.import_reference(self.workspace, field, final=final))
        if reference.is_done(self.workspace, final=final):
            raise StateError("the reference is there already; it is made once")
        name = reference.plan_reference(self.workspace, self.annotator, final=final)
        if open_batch(self.workspace)["round"] != name:
            raise StateError(
                f"{open_batch(self.workspace)['round']} is open; fetch it before the {name} batch"
            )
        self.send()
        return self.fetch()

    def select(
        self, *, exclude: Sequence[str] = (), dry_run: bool = False, anyway: bool = False
    ) -> SelectResult:
        from swath.steps.select import select

        result = select(self.workspace, exclude=exclude, dry_run=dry_run, anyway=anyway)
        return result if dry_run else self._done(result)

    def send(self) -> SendResult:
        from swath.steps.annotate import send

        return self._done(send(self.workspace, self.annotator))

    def fetch(self) -> FetchResult:
        from swath.steps.annotate import fetch

        return self._done(fetch(self.workspace, self.annotator))

    def check(self) -> CheckResult:
        from swath.steps.check import check

        return self._done(check(self.workspace))

    def golden(self, *, override: str | None = None) -> GoldenResult:
        from swath.steps.golden import golden

        return self._done(golden(self.workspace, override=override))

    def train(self) -> TrainResult:
        from swath.steps.train import train

        return self._done(train(self.workspace))

    def evaluate(self, *, final: bool = False) -> EvaluateResult:
        from swath.steps.evaluate import evaluate

        return self._done(evaluate(self.workspace, final=final))

    def stop(self) -> StopResult:
        from swath.steps.stop import stop

        return self._done(stop(self.workspace))

    # ------------------------------------------------------------------ the loop

    def plan(self) -> Next:
        """The next step and why. Reads the journal; changes nothing."""
        from swath.steps import reference

        journal = self.workspace.journal
        loop = journal.loop()
        if "membership" not in loop:
            return Next("split", "the scenes are not split into test, val, golden and pool yet")
        embedded = loop["steps"].get("embed")
        if embedded is None:
            return Next("embed", "pool, val and golden have no embeddings yet")
        if embedded["encoder"] != self.workspace.config.embed.encoder:
            return Next(
                "embed",
                f"the encoder is {self.workspace.config.embed.encoder!r} now, it was {embedded['encoder']!r}",
            )
        if embedded["membership_sha256"] != loop["membership_sha256"]:
            return Next("embed", "scenes came in after the last embedding")
        for batch in journal.batches():
            name = batch["round"]
            if batch["state"] == "planned":
                why = f"{name} is being committed by {journal.holder() or 'a process that ended'}; open the loop again"
                return Next("select", why, True)
            if batch["state"] == "committed":
                return Next(
                    "send", f"{batch['batch']['size']} scenes of {name} wait to be sent to annotators"
                )
            if batch["state"] == "annotating":
                waiting = len(
                    {row["key"] for row in journal.assignments(round=name, active=True, state="unreviewed")}
                )
                return Next("fetch", f"{waiting} scenes of {name} wait for labels")
        if not reference.is_done(self.workspace):
            people = self._annotator is None and self.workspace.config.annotate.annotator is None
            how = "; import it with `swath reference --from FIELD`, or give an annotator" if people else ""
            return Next("reference", f"val and golden have no reference labels yet{how}", people)
        rounds = [batch for batch in journal.rounds() if batch["state"] != "cancelled"]
        return (
            self._after(rounds[-1]) if rounds else Next("select", "nothing is chosen yet: v0, for coverage")
        )

    def _after(self, batch: Mapping[str, Any]) -> Next:
        name, state, steps = batch["round"], batch["state"], batch["steps"]
        if state == "labeled":
            if "check" not in steps:
                return Next("check", f"the labels of {name} came and are not checked yet")
            if steps.get("golden", {}).get("verdict") == "block" and not steps["golden"].get("override"):
                return Next(
                    "golden",
                    f"the golden check of {name} blocks: {'; '.join(steps['golden']['reasons'])}",
                    True,
                )
            return Next("golden", f"the blind labels of {name} are not compared with the reference yet")
        if state == "checked":
            return Next(
                "train", f"{name} is labelled and checked; golden check: {steps['golden']['verdict']}"
            )
        if state == "trained":
            return Next("evaluate", f"the model of {name} was not evaluated yet")
        if state == "evaluated":
            return Next("stop", f"{name} is evaluated: go on, or stop?")
        if steps["stop"]["decision"] == "stop":
            return Next(None, f"{name} ended with the decision to stop: {steps['stop']['why']}")
        return Next("select", f"{name} is closed ({steps['stop']['why']})")

    def next(self) -> tuple[Next, Any]:
        """Does the next step; returns what it was and what came of it. `WaitingError` when people are needed."""
        plan = self.plan()
        if plan.step is None or plan.people:
            raise WaitingError(plan.why)
        return plan, getattr(self, plan.step)()

    def run(
        self, rounds: int = 1, *, until: str | None = None, tell: Callable[[Next, Any], None] | None = None
    ) -> RunResult:
        """Steps until `rounds` rounds are closed, `until` was done, people are needed, or the decision is to stop."""
        if until is not None and until not in STEPS:
            raise ConfigError(f"--until: no step {until!r}; there are: {', '.join(STEPS)}")
        done: list[tuple[str, Any]] = []
        waits: str | None = None
        while self._closed() < rounds:
            plan = self.plan()
            if plan.step is None:
                break
            if plan.people:
                waits = plan.why
                break
            try:
                result = getattr(self, plan.step)()
            except WaitingError as error:
                waits = str(error)
                break
            done.append((plan.step, result))
            if tell is not None:
                tell(plan, result)
            if getattr(result, "waiting", 0):
                waits = f"{result.waiting} scenes of {result.batch} wait for labels from {result.annotator}"
                if result.rejected:
                    first = result.rejected[0]
                    waits += f"; {len(result.rejected)} labels were rejected, the first ({first['where']}): {first['reason']}"
                waits += "".join(f"; {note}" for note in result.notes)
                break
            if plan.step == until:
                break
        return RunResult(tuple(done), self._closed(), self.plan(), waits)

    def pictures(self, keys: Sequence[str]) -> dict[str, str]:
        """Path of the primary image of each scene."""
        table = self.workspace.scenes.table
        paths = table.paths[self.workspace.config.slices.image][table.rows(keys)]
        return dict(zip(keys, (str(one) for one in paths), strict=True))

    def _closed(self) -> int:
        return sum(batch["state"] == "closed" for batch in self.workspace.journal.rounds())

    # ------------------------------------------------------------------ changing one's mind, putting right

    def cancel(self, name: str, reason: str) -> RoundResult:
        """Cancels a round before its model is trained; labels that came are kept."""
        from swath.steps.mend import cancel

        return cancel(self.workspace, name, reason)

    def close_round(self, name: str, reason: str = "") -> RoundResult:
        """Ends the wait for labels of a round: what did not come goes back to the pool."""
        from swath.steps.mend import close

        return close(self.workspace, name, reason)

    def reopen(self, name: str, reason: str) -> RoundResult:
        """Sends a round that is labelled and not trained yet back to its annotators, to be labelled again."""
        from swath.steps.mend import reopen

        return reopen(self.workspace, name, reason)

    def repair(self, *, check: bool = False) -> RepairResult:
        """Makes every tag, view and mirror what the journal says; with `check`, only says what differs."""
        from swath.steps.mend import repair

        return repair(self.workspace, check=check)

    def replay(self, name: str) -> ReplayResult:
        """Chooses the batch of a round again, and compares byte by byte."""
        from swath.steps.mend import replay

        return replay(self.workspace, name)

    # ------------------------------------------------------------------ showing

    def explain(self, key: str) -> ExplainResult:
        """All that the journal knows of one scene, by key or FiftyOne id."""
        from swath.steps.mend import explain

        return explain(self.workspace, key)

    def status(self) -> Status:
        """Progress by scene and slice, round by round."""
        workspace = self.workspace
        journal, table = workspace.journal, workspace.scenes.table
        loop = journal.loop()
        batches = journal.batches()
        states = workspace.states()
        membership = workspace.membership() if workspace.is_split() else {}
        pool = [states[key].status for key, split in membership.items() if split == "pool" and key in states]
        from swath.projection import SPLITS

        embedded = loop["steps"].get("embed")
        return Status(
            dataset=self.name,
            scenes=len(table),
            slices=table.counts(),
            splits={name: sum(split == name for split in membership.values()) for name in SPLITS}
            if membership
            else {},
            pool={
                "total": len(pool),
                **{status: pool.count(status) for status in ("selected", "annotated", "unlabeled")},
            },
            rounds=tuple(self._round(batch, states) for batch in batches if batch["number"] >= 0),
            next=self.plan(),
            embeddings=embedded
            and {name: embedded[name] for name in ("encoder", "scenes", "dim", "problem_count")},
            reference=next(
                (
                    {"state": batch["state"], "scenes": batch["batch"]["size"]}
                    for batch in batches
                    if batch["round"] == "reference"
                ),
                None,
            ),
            set_aside=sum(split == "" for split in membership.values()),
            held_by=journal.holder(),
        )

    def _round(self, batch: Mapping[str, Any], states: Mapping[str, Any]) -> dict[str, Any]:
        name, steps = batch["round"], batch["steps"]
        evaluated = steps.get("evaluate")
        return {
            "round": name,
            "state": batch["state"],
            "batch": dict(batch["batch"]),
            "annotated": sum(f"annotated:{name}" in state.tags for state in states.values()),
            "map": evaluated["map"]["value"] if evaluated else None,
            "map50": evaluated["map50"]["value"] if evaluated else None,
            "golden": steps["golden"]["verdict"] if "golden" in steps else None,
            "decision": steps["stop"]["decision"] if "stop" in steps else None,
        }


def _config_of(name: str, changes: Mapping[str, Any] | None, home: Path | None) -> tuple[LoopConfig, Path]:
    """The configuration and folder of a dataset: the journal's, where it has a loop already, with `changes` over them."""
    from swath import database

    database.ensure()
    import fiftyone as fo

    base = LoopConfig()
    if fo.dataset_exists(name):
        journal = open_journal(fo.load_dataset(name))
        if journal.exists():
            stored = journal.loop()
            base = configuration.parse(stored["config"], "the journal")
            home = home or (Path(stored["home"]) if "home" in stored else None)
            changed = configuration.merged(base, dict(changes or {}), "config")
            if "membership" in stored and any(getattr(changed, one) != getattr(base, one) for one in FROZEN):
                raise ConfigError(f"{', '.join(FROZEN)} cannot change once the dataset is split")
    return configuration.merged(base, dict(changes or {}), "config"), home or default_home(name)
