"""What the steps give back, where that is more than what they store. `--json` prints `as_json()`; `show` and the report read them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from swath.records.assignment import Assignment
from swath.records.base import Document, Record
from swath.records.batch import Evaluated, Failure, Finding, Gain, Left, Stopped, Trainings
from swath.records.loop import Damaged, Pair
from swath.records.manifest import BatchSize, Chosen, FailingObject, Ratio
from swath.records.shown import Difference, Next

# ---------------------------------------------------------------------- outside rounds


class InitResult(Record):
    """What was taken in. `damages`: what could not be used; `set_aside`: new frames of test drives."""

    dataset: str
    scenes: int
    added: int
    slices: dict[str, int]
    damages: tuple[Damaged, ...] = ()
    set_aside: int = 0
    notes: tuple[str, ...] = ()


class AdoptResult(Record):
    """`problems`: what did not add up, one line each; `fixed`: whether the dataset was made to match the journal."""

    dataset: str
    scenes: int
    splits: dict[str, int]
    rounds: dict[str, int]
    problems: tuple[str, ...]
    fixed: bool


class SplitResult(Record):
    """Sizes by split; `closest`: pairs of scenes in different splits that look most alike, most alike first."""

    splits: dict[str, int]
    units: int
    seed: int
    test_sha256: str
    closest: tuple[Pair, ...]
    notes: tuple[str, ...]


class EmbedResult(Record):
    """`problems`: (scene, reason) of scenes without a usable vector; they are excluded from selection. `notes`: what else is
    worth knowing."""

    encoder: str
    scenes: int
    computed: int
    dim: int
    problems: tuple[tuple[str, str], ...]
    fingerprint: str
    notes: tuple[str, ...] = ()


class ReferenceResult(Record):
    """`rejected`: labels that were left out; `without`: scenes the fields say nothing of; `notes`: channels of which nothing came."""

    batch: str
    state: str
    scenes: int
    labels: dict[str, int]
    rejected: tuple[Left, ...] = ()
    without: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Differs(Record):
    """One thing that two labellings of the reference see differently. `name`: `KEY:N`; `what`: in words, the labellings as A and B;
    `choices`: what may be decided; `choice`: what was."""

    name: str
    scene: str
    channel: str
    what: str
    choices: tuple[str, ...]
    choice: str | None = None


class AdjudicateResult(Record):
    """`scenes` with both labellings; `open`: differences that nobody decided; `way`: how one is decided; `page`: where they are drawn."""

    dataset: str
    batch: str
    scenes: int
    open: int
    differences: tuple[Differs, ...]
    way: str
    page: str | None = None
    notes: tuple[str, ...] = ()


# ---------------------------------------------------------------------- batches


class Choice(Record):
    """One scene of a batch. `rank` counts from 1 within its stream; `failure` is the val scene it answers, or None; `object` that of
    it, where an object was searched for."""

    key: str
    stream: str
    rank: int
    score: float
    reason: str
    failure: str | None = None
    similarity: float | None = None
    object: FailingObject | None = None


class SelectResult(Record):
    """A batch. `excluded`: (scene, reason) of pool scenes that could not be candidates; `notes`: what ran short, and how the ratio
    came about where it adapts (`ratio`)."""

    dataset: str
    round: str
    budget: int
    size: int
    coverage: int
    targeted: int
    scenes: tuple[Choice, ...]
    golden: int
    excluded: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    overlap: float | None
    ratio: Ratio | None = None
    dry_run: bool


class BatchScene(Record):
    """A scene of a batch, with what became of it. `answers`: channel -> state (and how many labels); `picture`: path."""

    choice: Choice
    status: str
    answers: dict[str, str]
    picture: str

    def as_json(self) -> Document:
        return {**self.choice.as_json(), **self.model_dump(mode="json", exclude={"choice"})}


class BatchResult(Record):
    """`swath batch vN`: a committed batch, scene by scene."""

    round: str
    state: str
    size: BatchSize
    scenes: tuple[BatchScene, ...]
    golden: int
    excluded: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    overlap: float | None = None
    ratio: Ratio | None = None

    def as_json(self) -> Document:
        data = self.model_dump(mode="json", exclude={"scenes", "size"})
        return {**data, **self.size.as_json(), "scenes": [one.as_json() for one in self.scenes]}


class SendResult(Record):
    """`receipt`: what the annotator needs to find the work again, for people to look at as well."""

    dataset: str
    batch: str
    annotator: str
    tasks: int
    sent_before: bool
    receipt: Document = Field(default_factory=dict)

    @property
    def folder(self) -> str | None:
        """Where the work is, if it is in a folder."""
        return self.receipt.get("folder")

    @property
    def work_sets(self) -> tuple[str, ...]:
        """The datasets to label in FiftyOne's App, if there are any."""
        return tuple(self.receipt.get("work_sets", ()))

    @property
    def without_calibration(self) -> int:
        """Scenes whose cuboids nobody can place."""
        return int(self.receipt.get("without_calibration", 0))

    @property
    def unreadable(self) -> list[str]:
        """Files that could not be handed over."""
        return [path for _, _, path in self.receipt.get("unreadable", ())]

    @property
    def respelled(self) -> dict[str, str]:
        """Class -> its name in label files, of those that are called otherwise there."""
        return dict(self.receipt.get("respelled", ()))


class FetchResult(Record):
    """`states`: answers by state, over channels; `waiting`: scenes that somebody has yet to label, to mend or to decide about
    (`waits_for`: which); `rejected`: labels in quarantine; `edited`: scenes whose labels were changed by hand since
    they were fetched, and were kept; `disputed`: those of them that the annotators changed as well, and nobody has decided."""

    dataset: str
    batch: str
    annotator: str
    state: str
    states: dict[str, int]
    labels: dict[str, int]
    waiting: int
    waits_for: tuple[str, ...] = ()
    rejected: tuple[Left, ...] = ()
    edited: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class EvaluateResult(Record):
    """What was recorded, and every failure, worst first. `told`: what became of telling MLflow, where that was done."""

    record: Evaluated
    failures: tuple[Failure, ...]
    told: str | None = None

    def as_json(self) -> Document:
        told = {} if self.told is None else {"mlflow": self.told}
        return {**self.record.as_json(), "failures": [one.as_json() for one in self.failures], **told}


# ---------------------------------------------------------------------- changing one's mind, putting right


class RoundResult(Record):
    """`returned`: scenes that went back to the pool; `kept`: scenes of the round whose labels are kept."""

    round: str
    state: str
    returned: int
    kept: int
    reason: str


class RepairResult(Record):
    """Of `dataset`. `differences`: what was (with `checked_only`: is) not as the journal says; `strangers`: scenes the journal does not
    know; `gone`: scenes it knows that are not in the dataset; `edited`: scenes whose labels are not those that were fetched;
    `drawn`: scenes that wait for labels, and have some that somebody drew by hand."""

    dataset: str = "NAME"
    differences: tuple[Difference, ...]
    strangers: tuple[str, ...]
    gone: tuple[str, ...]
    edited: tuple[str, ...]
    drawn: tuple[str, ...] = ()
    checked_only: bool


class ReplayResult(Record):
    """Whether choosing again gives the committed manifest, byte for byte (but for the versions that chose it); `differs`: which
    parts, and why they may."""

    round: str
    equal: bool
    differs: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


# ---------------------------------------------------------------------- looking


class ExplainedRound(Record):
    """A batch that a scene was part of: why it was chosen (None: sent blind, or as a reference), how much of the batch was for which
    stream, where that adapts, and what came back."""

    round: str
    state: str
    chosen: Chosen | None
    answers: tuple[Assignment, ...]
    modality_of: dict[str, str]
    ratio: Ratio | None = None

    def as_json(self) -> Document:
        parts = ("role", "channel", "slot", "state", "annotator", "count", "rejected")
        answers = []
        for one in self.answers:
            told = {part: value for part, value in one.as_json().items() if part in parts}
            answers.append({"modality": self.modality_of.get(one.channel, ""), **told})
        chosen = self.chosen.document() if self.chosen else {}
        if self.chosen:
            kinds = [self.modality_of.get(name, "") for name in self.chosen.channels]
            chosen["modalities"] = list(dict.fromkeys(kinds))
        more = {"ratio": self.ratio.as_json()} if self.ratio else {}
        return {"round": self.round, "state": self.state, **chosen, **more, "answers": answers}


class ExplainedFailure(Record):
    round: str
    failure: Failure

    def as_json(self) -> Document:
        return {"round": self.round, **self.failure.as_json()}


class ExplainedFinding(Record):
    round: str
    finding: Finding

    def as_json(self) -> Document:
        return {"round": self.round, **self.finding.as_json()}


class ExplainResult(Record):
    """All that the journal knows of one scene. `drawn`: channel -> labels that somebody drew by hand while it waits for some;
    `no_vector`: why it has no usable vector, where it should have one; `notes`: where the dataset is not as the journal says."""

    scene: str
    id: str
    split: str
    sequence: str
    status: str
    tags: tuple[str, ...]
    media: dict[str, str]
    rounds: tuple[ExplainedRound, ...]
    failures: tuple[ExplainedFailure, ...]
    findings: tuple[ExplainedFinding, ...]
    drawn: dict[str, int] = {}
    no_vector: str | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> Document:
        listed = ("rounds", "failures", "findings")
        data = self.model_dump(mode="json", exclude=set(listed))
        return {**data, **{part: [one.as_json() for one in getattr(self, part)] for part in listed}}


class Planned(Record):
    """`what` would be seen on this axis with so many golden scenes (`needs`; None: thousands); `sees`: from what on today's number
    sees it, None: never."""

    axis: str
    what: str
    needs: int | None
    sees: str | None


class GoldenPlan(Record):
    """How many golden scenes a round must have labelled again. `scenes`: golden scenes of the dataset, `per_round`: of a batch;
    `rounds`: checks that objects per scene and spread come from (0: usual values); `objects`: per scene, by modality."""

    dataset: str
    scenes: int
    per_round: int
    rounds: int
    objects: dict[str, float]
    power: float
    icc: float
    reference: str
    planned: tuple[Planned, ...]


class Setting(Record):
    """A setting in force. `name`: dotted; `default`: None also where there is none (channels of other names); `source`: the command
    and option that it was given with, `default`, or `the journal`, where that was not recorded."""

    name: str
    value: Any
    default: Any = None
    differs: bool
    source: str


class Settings(Record):
    """`swath config`: every setting. `dataset`: None for the defaults; `asked`: those that were given to be changed; `kept`: those that
    were changed for good."""

    dataset: str | None = None
    settings: tuple[Setting, ...]
    asked: tuple[str, ...] = ()
    kept: dict[str, Any] = Field(default_factory=dict)


class RoundStatus(Record):
    """One round, as `swath status` shows it; None until known. `map_range`, `map50_range`: the ends of the 95 % intervals."""

    round: str
    state: str
    batch: BatchSize
    annotated: int
    map: float | None = None
    map50: float | None = None
    gain: Gain | None = None
    golden: str | None = None
    decision: str | None = None
    map_range: tuple[float, float] | None = None
    map50_range: tuple[float, float] | None = None
    trainings: Trainings | None = None


class EmbeddingStatus(Record):
    encoder: str
    scenes: int
    dim: int
    problem_count: int


class ReferenceStatus(Record):
    state: str
    scenes: int


class Pool(Record):
    total: int = 0
    selected: int = 0
    annotated: int = 0
    unlabeled: int = 0


class Status(Record):
    """Where the loop stands (`swath status --json`)."""

    dataset: str
    scenes: int
    slices: dict[str, int]
    splits: dict[str, int]
    pool: Pool
    rounds: tuple[RoundStatus, ...]
    next: Next
    embeddings: EmbeddingStatus | None = None
    reference: ReferenceStatus | None = None
    set_aside: int = 0
    held_by: str | None = None

    def as_json(self) -> Document:
        data = super().as_json()
        return {**data, "next": {"step": self.next.step, "why": self.next.why}}


class Standing(Record):
    """Where a loop stands (`swath`, `swath next --plan`): its last round, None before the first; `waiting`: scenes of the open
    batch that nobody has looked at; `ways`: what can be typed next."""

    dataset: str
    round: str | None
    state: str | None
    waiting: int
    next: Next
    ways: tuple[str, ...]

    def as_json(self) -> Document:
        data = self.model_dump(mode="json", exclude={"next"})
        return {**data, "step": self.next.step, "why": self.next.why, "people": self.next.people}


class Where(Record):
    """`swath` alone. `loops`: where they stand, by name; `others`: loops that are not told of."""

    loops: tuple[Standing, ...]
    others: tuple[str, ...] = ()

    def as_json(self) -> Document:
        return {"loops": [one.as_json() for one in self.loops], "others": list(self.others)}


class PluginResult(Record):
    """`swath plugin install` and `remove`. `place`: where FiftyOne finds the plugin, or found it; `source`: what stands there."""

    place: str
    source: str
    done: Literal["installed", "was installed already", "updated", "removed", "was not installed"]


class RunResult(Record):
    """`done`: (step, what came of it), in order; `waits`: why it ended before the rounds were closed, or None."""

    done: tuple[tuple[str, Any], ...]
    closed: int
    next: Next
    waits: str | None = None


StepResult = (
    SplitResult
    | EmbedResult
    | ReferenceResult
    | SelectResult
    | SendResult
    | FetchResult
    | EvaluateResult
    | Stopped
    | Record
)
"""What a step of the loop gives back."""
